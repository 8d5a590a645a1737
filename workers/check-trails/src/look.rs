//! What is not as it should be.

use incident::{Deviation, Recorded, TrailArn};
use jiff::Timestamp;
use ledger::{Part, Record};
use log_archive::{Archive, Found, Property};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use trail::{Status, Trail};
use worker::Failure;

use crate::CheckTrails;

/// What somebody does about the thing that is not recorded.
const RECORD: &str = "check it, then start the record-baseline runbook";

/// What somebody does about what this worker may not read any more.
const UNREAD: &str =
    "look at it by hand; if this worker's role was changed, deploy this stack again";

/// What a look at everything came to.
pub(crate) struct Seen {
    /// Everything that deviates: first what a repair can put back.
    pub(crate) findings: Vec<Finding>,
    /// What is recorded, as far as it could be read and anything is.
    pub(crate) records: Vec<Recording>,
}

/// One thing that deviates, or that could not be read.
pub(crate) struct Finding {
    pub(crate) deviation: Deviation,
    /// What could not be read, whyever; none where it was.
    pub(crate) unread: Option<String>,
}

/// What is recorded of one part of the surveillance.
pub(crate) struct Recording {
    /// Which part, for people.
    pub(crate) of: &'static str,
    pub(crate) record: Record,
    /// The fields that may change, by what is intended.
    pub(crate) intended: Vec<String>,
    /// Whether all of them have.
    pub(crate) done: bool,
}

impl Seen {
    pub(crate) fn deviations(&self) -> Vec<Deviation> {
        let deviations = self.findings.iter();
        deviations.map(|it| it.deviation.clone()).collect()
    }
}

impl From<Deviation> for Finding {
    fn from(deviation: Deviation) -> Self {
        Self {
            deviation,
            unread: None,
        }
    }
}

/// What a look at one part of the surveillance came to.
#[derive(Default)]
struct Look {
    findings: Vec<Finding>,
    recording: Option<Recording>,
    /// Whether AWS told anything of it.
    saw: bool,
    /// Why the rest could not be read.
    unread: Vec<Failure>,
}

impl CheckTrails {
    /// Looks at everything.
    ///
    /// # Errors
    /// When nothing at all could be read.
    pub(crate) async fn look(&self, trail: &TrailArn, now: Timestamp) -> Result<Seen, Failure> {
        let (of_trail, of_archive, of_rules) = tokio::join!(
            // Boxed: that many SDK calls side by side are more than a caller's stack should carry.
            Box::pin(self.trail(trail)),
            Box::pin(self.log_archive(trail, now)),
            Box::pin(self.detection()),
        );
        let looks = [of_trail, of_archive, of_rules];
        if !looks.iter().any(|look| look.saw) {
            return Err(blind(looks.into_iter().flat_map(|look| look.unread)));
        }
        let (mut findings, mut records) = (Vec::new(), Vec::new());
        for look in looks {
            findings.extend(look.findings);
            records.extend(look.recording);
        }
        findings.sort_by_key(|finding| finding.deviation.remedy.is_some());
        Ok(Seen { findings, records })
    }

    async fn trail(&self, arn: &TrailArn) -> Look {
        let client = trail::client_for(&self.cloudtrail, arn);
        let (status, current, record) = tokio::join!(
            trail::status(&client, arn),
            trail::read(&client, arn),
            self.ledger.record_of(arn, Part::Trail),
        );
        let (recorded, told) = (read::<Trail>(&record), record.is_ok());
        let there = current.as_ref().ok().and_then(Option::as_ref);
        let recording = recording("the trail", record, &recorded, there);
        let gone = matches!(status, Err(Failure::TargetNotFound(_)));
        if gone || matches!(current, Ok(None)) {
            return Look {
                findings: vec![repaired("the trail does not exist", "trail gone").into()],
                recording,
                saw: true,
                ..Look::default()
            };
        }
        let mut look = Look {
            saw: status.is_ok() || current.is_ok(),
            recording,
            ..Look::default()
        };
        match status {
            Ok(status) => look.finds(of_status(status)),
            Err(failure) => look.misses("whether the trail logs", failure),
        }
        match (current, recorded) {
            (Ok(Some(current)), Ok(Some(recorded))) => {
                look.findings.extend(of_settings(&current, &recorded));
            }
            (Ok(Some(current)), recorded) => {
                look.findings
                    .push(unrecorded("the trail", recorded.err(), told));
                let blind = trail::blind_spots(&current).into_iter();
                look.finds(blind.map(|why| {
                    let state = format!("trail blind: {why}");
                    left(format!("of the trail: {why}"), RECORD, state)
                }));
            }
            (Ok(None), _) => {}
            (Err(failure), _) => look.misses("the trail", failure),
        }
        look
    }

    async fn log_archive(&self, arn: &TrailArn, now: Timestamp) -> Look {
        if self.names.is_empty() {
            return Look::default();
        }
        let (found, record) = tokio::join!(
            log_archive::look(&self.archive, &self.names),
            self.ledger.record_of(arn, Part::Archive),
        );
        let (recorded, told) = (read::<Archive>(&record), record.is_ok());
        let recording = recording("the log archive", record, &recorded, Some(&found.archive));
        let (expected, unrecorded) = self.expected(arn, &found, recorded, told, now);
        let deviations = found
            .deviations(&expected, self.names.of(arn), now)
            .into_iter();
        let findings = deviations.map(|deviation| Finding {
            unread: unread_of_archive(&found, &deviation),
            deviation,
        });
        Look {
            findings: findings.chain(unrecorded).collect(),
            recording,
            saw: found.unread.len() < self.parts_of_archive(),
            unread: found.unread.into_values().collect(),
        }
    }

    /// How many parts of the archive are read, each by itself.
    fn parts_of_archive(&self) -> usize {
        let names = &self.names;
        4 * usize::from(names.bucket.is_some())
            + 2 * usize::from(names.key.is_some())
            + usize::from(names.log_group.is_some())
    }

    fn expected(
        &self,
        arn: &TrailArn,
        found: &Found,
        recorded: Result<Option<Recorded<Archive>>, Failure>,
        told: bool,
        now: Timestamp,
    ) -> (Archive, Option<Finding>) {
        match recorded {
            Ok(Some(recorded)) => (found.should_be(&recorded, self.names.of(arn), now), None),
            recorded => (
                found.unrecorded(),
                Some(unrecorded("the trail's log archive", recorded.err(), told)),
            ),
        }
    }

    async fn detection(&self) -> Look {
        // All at once: one after another, a service that does not answer would take too long.
        let mut drifts = JoinSet::new();
        for (at, rule) in self.rules.iter().cloned().enumerate() {
            let events = self.events.clone();
            drifts.spawn(async move { (at, detection::drift(&events, &rule).await) });
        }
        let mut drifts = drifts.join_all().await;
        drifts.sort_by_key(|(at, _)| *at);
        let mut look = Look::default();
        for ((_, drift), rule) in drifts.into_iter().zip(&self.rules) {
            match drift {
                Ok(drift) => {
                    look.finds(drift.iter().flat_map(|drift| drift.deviations(rule)));
                    look.saw = true;
                }
                Err(failure) => look.misses(&format!("our rule {}", rule.name), failure),
            }
        }
        look
    }
}

impl Look {
    fn finds(&mut self, deviations: impl IntoIterator<Item = Deviation>) {
        let findings = deviations.into_iter().map(Finding::from);
        self.findings.extend(findings);
    }

    fn misses(&mut self, what: &str, failure: Failure) {
        self.findings.push(unread(what, &failure));
        self.unread.push(failure);
    }
}

fn read<T: serde::de::DeserializeOwned>(
    record: &Result<Option<Record>, Failure>,
) -> Result<Option<Recorded<T>>, Failure> {
    match record {
        Ok(record) => record.as_ref().map(Record::read).transpose(),
        Err(failure) => Err(failure.clone()),
    }
}

/// What is recorded of a part of the surveillance that is as `current` now, where that is known.
fn recording<T: Serialize>(
    of: &'static str,
    record: Result<Option<Record>, Failure>,
    recorded: &Result<Option<Recorded<T>>, Failure>,
    current: Option<&T>,
) -> Option<Recording> {
    let record = record.ok()??;
    let recorded = recorded.as_ref().ok().and_then(Option::as_ref);
    let mut intended = recorded
        .and_then(|it| it.intended.as_ref())
        .map(fields)
        .unwrap_or_default();
    if let Some(baseline) = recorded.map(|it| fields(&it.baseline)) {
        intended.retain(|name, value| baseline.get(name) != Some(value));
    }
    let current = current.map(fields).unwrap_or_default();
    let mut changes = intended.iter();
    Some(Recording {
        of,
        record,
        done: changes.all(|(name, value)| current.get(name) == Some(value)),
        intended: intended.keys().cloned().collect(),
    })
}

fn fields(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// What of the archive a deviation says could not be read, by [`Found::unread`]. A bucket is one:
/// whoever shuts us out of more and less of it in turn hides no less.
pub(crate) fn unread_of_archive(found: &Found, deviation: &Deviation) -> Option<String> {
    if deviation.state == "bucket unread" {
        return Some("bucket".to_owned());
    }
    let mut unread = found.unread.keys();
    let property = unread.find(|property| deviation.state == format!("{property:?} unread"))?;
    Some(match property {
        Property::Key | Property::KeyPolicy | Property::LogGroup => format!("{property:?}"),
        _ => "bucket".to_owned(),
    })
}

/// Nothing could be read: transient where any of it may be read later.
fn blind(failures: impl Iterator<Item = Failure>) -> Failure {
    let all: Vec<_> = failures.collect();
    let why: Vec<_> = all.iter().map(ToString::to_string).collect();
    let why = format!("nothing could be read: {}", why.join("; "));
    match Failure::worst(all) {
        Some(worst) => worst.rephrase(|_| why),
        None => Failure::Rejected(why),
    }
}

fn of_status(status: Status) -> Vec<Deviation> {
    let mut deviations = Vec::new();
    if !status.is_logging {
        deviations.push(repaired("the trail is not logging", "trail stopped"));
    }
    for (place, error) in [
        ("bucket", status.delivery_error),
        ("log group", status.logs_delivery_error),
    ] {
        deviations.extend(error.map(|error| {
            left(
                format!("the trail could not deliver to its {place}, last ({error})"),
                "CloudTrail tries again for 30 days, once nothing is in its way",
                format!("trail delivery to {place}: {error}"),
            )
        }));
    }
    deviations
}

/// One deviation a field: what was put back is no longer among them.
fn of_settings(current: &Trail, recorded: &Recorded<Trail>) -> Vec<Finding> {
    let expected = current.should_be(recorded);
    let values = serde_json::to_value(current).unwrap_or_default();
    let differences = current.differences(&expected).into_iter();
    let mut findings: Vec<_> = differences
        .map(|field| {
            let what = format!("the trail is not as recorded: {field}");
            repaired(&what, &format!("trail {field} {}", values[&field])).into()
        })
        .collect();
    if current.hides_insights(&expected) {
        findings.push(Finding {
            deviation: left(
                "the trail's insight selectors cannot be read and were not compared with its \
                 baseline"
                    .to_owned(),
                UNREAD,
                "trail insights unread".to_owned(),
            ),
            unread: Some("insights".to_owned()),
        });
    }
    findings
}

fn repaired(what: &str, state: &str) -> Deviation {
    Deviation {
        what: what.to_owned(),
        remedy: None,
        state: state.to_owned(),
    }
}

fn left(what: String, remedy: &str, state: String) -> Deviation {
    Deviation {
        what,
        remedy: Some(remedy.to_owned()),
        state,
    }
}

/// The failure's name is all of its state: AWS words the same refusal in many ways.
fn unread(what: &str, failure: &Failure) -> Finding {
    Finding {
        deviation: left(
            format!("{what} could not be read: {failure}"),
            UNREAD,
            format!("{what} unread: {}", failure.name()),
        ),
        unread: Some(what.to_owned()),
    }
}

/// Nothing is recorded, or nothing that can be used; `told` where that is all that the ledger has.
fn unrecorded(what: &str, failure: Option<Failure>, told: bool) -> Finding {
    match failure {
        None => left(
            format!("nothing is recorded of {what}"),
            RECORD,
            format!("{what} unrecorded"),
        )
        .into(),
        Some(failure) => {
            let finding = unread(&format!("what is recorded of {what}"), &failure);
            Finding {
                unread: finding.unread.filter(|_| !told),
                ..finding
            }
        }
    }
}
