//! What is not as it should be.

use incident::{Deviation, Recorded, TrailArn};
use jiff::Timestamp;
use ledger::Part;
use log_archive::{Archive, Found};
use tokio::task::JoinSet;
use trail::{Status, Trail};
use worker::Failure;

use crate::CheckTrails;

/// What somebody does about the thing that is not recorded.
const RECORD: &str = "check it, then start the record-baseline runbook";

/// What somebody does about what this worker may not read any more.
const UNREAD: &str =
    "look at it by hand; if this worker's role was changed, deploy this stack again";

/// What a look at one part of the surveillance came to.
#[derive(Default)]
struct Look {
    deviations: Vec<Deviation>,
    /// Whether AWS told anything of it.
    saw: bool,
    /// Why the rest could not be read.
    unread: Vec<Failure>,
}

impl CheckTrails {
    /// Everything that deviates: first what a repair can put back.
    ///
    /// # Errors
    /// When nothing at all could be read.
    pub(crate) async fn look(
        &self,
        trail: &TrailArn,
        now: Timestamp,
    ) -> Result<Vec<Deviation>, Failure> {
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
        let deviations = looks.into_iter().flat_map(|look| look.deviations);
        let mut deviations: Vec<_> = deviations.collect();
        deviations.sort_by_key(|deviation| deviation.remedy.is_some());
        Ok(deviations)
    }

    async fn trail(&self, arn: &TrailArn) -> Look {
        let client = trail::client_for(&self.cloudtrail, arn);
        let (status, current, recorded) = tokio::join!(
            trail::status(&client, arn),
            trail::read(&client, arn),
            self.ledger.recorded::<Trail>(arn, Part::Trail),
        );
        let gone = matches!(status, Err(Failure::TargetNotFound(_)));
        if gone || matches!(current, Ok(None)) {
            return Look {
                deviations: vec![repaired("the trail does not exist", "trail gone")],
                saw: true,
                ..Look::default()
            };
        }
        let mut look = Look {
            saw: status.is_ok() || current.is_ok(),
            ..Look::default()
        };
        match status {
            Ok(status) => look.deviations.extend(of_status(status)),
            Err(failure) => look.misses("whether the trail logs", failure),
        }
        match (current, recorded) {
            (Ok(Some(current)), Ok(Some(recorded))) => {
                look.deviations.extend(of_settings(&current, &recorded));
            }
            (Ok(Some(current)), recorded) => {
                look.deviations
                    .push(unrecorded("the trail", recorded.err()));
                let blind = trail::blind_spots(&current).into_iter();
                look.deviations.extend(blind.map(|why| {
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
        let (found, recorded) = tokio::join!(
            log_archive::look(&self.archive, &self.names),
            self.ledger.recorded::<Archive>(arn, Part::Archive),
        );
        let (expected, unrecorded) = self.expected(&found, recorded, now);
        let mut deviations = found.deviations(&expected, &self.names, now);
        deviations.extend(unrecorded);
        let unread: Vec<_> = found.unread.into_values().collect();
        Look {
            deviations,
            saw: unread.len() < self.parts_of_archive(),
            unread,
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
        found: &Found,
        recorded: Result<Option<Recorded<Archive>>, Failure>,
        now: Timestamp,
    ) -> (Archive, Option<Deviation>) {
        match recorded {
            Ok(Some(recorded)) => (found.should_be(&recorded, &self.names, now), None),
            recorded => (
                found.unrecorded(),
                Some(unrecorded("the trail's log archive", recorded.err())),
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
                    let told = drift.iter().flat_map(|drift| drift.deviations(rule));
                    look.deviations.extend(told);
                    look.saw = true;
                }
                Err(failure) => look.misses(&format!("our rule {}", rule.name), failure),
            }
        }
        look
    }
}

impl Look {
    fn misses(&mut self, what: &str, failure: Failure) {
        self.deviations.push(unread(what, &failure));
        self.unread.push(failure);
    }
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
fn of_settings(current: &Trail, recorded: &Recorded<Trail>) -> Vec<Deviation> {
    let expected = current.should_be(recorded);
    let values = serde_json::to_value(current).unwrap_or_default();
    let differences = current.differences(&expected).into_iter();
    let mut deviations: Vec<_> = differences
        .map(|field| {
            repaired(
                &format!("the trail is not as recorded: {field}"),
                &format!("trail {field} {}", values[&field]),
            )
        })
        .collect();
    if current.hides_insights(&expected) {
        deviations.push(left(
            "the trail's insight selectors cannot be read and were not compared with its baseline"
                .to_owned(),
            UNREAD,
            "trail insights unread".to_owned(),
        ));
    }
    deviations
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
fn unread(what: &str, failure: &Failure) -> Deviation {
    left(
        format!("{what} could not be read: {failure}"),
        UNREAD,
        format!("{what} unread: {}", failure.name()),
    )
}

fn unrecorded(what: &str, failure: Option<Failure>) -> Deviation {
    match failure {
        None => left(
            format!("nothing is recorded of {what}"),
            RECORD,
            format!("{what} unrecorded"),
        ),
        Some(failure) => unread(&format!("what is recorded of {what}"), &failure),
    }
}
