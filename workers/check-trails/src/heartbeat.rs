//! What a heartbeat makes of what it sees and of what the one before it left: what is answered now,
//! what can wait for the next, and what people should know besides.

use std::collections::BTreeMap;

use aws_sdk_sfn::types::ExecutionStatus;
use incident::{BadSetting, Deviation, Settings, Text, TrailArn, cut};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use worker::Failure;

use crate::{
    CheckTrails, LONGEST_SUMMARY,
    episode::hash,
    look::{Recording, Seen},
};

/// Two heartbeats are five minutes apart; nearer to each other they are one, delivered twice or
/// tried again.
const APART: SignedDuration = SignedDuration::from_mins(3);

/// How long a run of the runbook may take to repair what it was started for.
const REPAIRED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// How many heartbeats in a row leave what is new to such a run.
const MOST_LEFT_TO_A_RUN: u8 = 2;

/// For how long news are told again, in case they could not be: `notify` tells them once.
const TOLD_FOR: SignedDuration = SignedDuration::from_mins(15);

/// How long until people are reminded of an intended change that is neither recorded nor given up,
/// and from then on how often.
const INTENDED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The state machines that a heartbeat has to do with, by their ARNs.
#[derive(Debug)]
pub(crate) struct Machines {
    /// What repairs.
    pub(crate) runbook: String,
    /// What an operator records with.
    pub(crate) record_baseline: String,
}

impl Machines {
    /// # Errors
    /// Names the setting that is missing.
    pub(crate) fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let setting = |name| settings.required::<String>(name);
        let (partition, region) = (setting("PARTITION")?, setting("AWS_REGION")?);
        let (account, stack) = (setting("ACCOUNT_ID")?, setting("STACK_NAME")?);
        let machine =
            |name| format!("arn:{partition}:states:{region}:{account}:stateMachine:{stack}-{name}");
        Ok(Self {
            runbook: machine("cloudtrail-disabled"),
            record_baseline: machine("record-baseline"),
        })
    }

    /// Whether a run of the machine that records goes by this ARN.
    fn records(&self, run: &str) -> bool {
        let runs = self
            .record_baseline
            .replace(":stateMachine:", ":execution:");
        run.strip_prefix(&runs)
            .is_some_and(|name| name.starts_with(':'))
    }
}

/// What one heartbeat leaves for the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Memory {
    /// Since when each thing could not be read.
    unread: BTreeMap<String, Timestamp>,
    /// How many heartbeats in a row, this one included, left what is new to a run.
    left_to_a_run: u8,
    /// What is recorded of each part, by its fingerprint.
    recorded: BTreeMap<String, String>,
    /// That something else is recorded than before.
    news: Option<News>,
    /// When people were reminded, last, of a change that is still allowed.
    reminded_at: Option<Timestamp>,
}

/// What people are told, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct News {
    text: String,
    since: Timestamp,
}

/// What a heartbeat comes to.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// What is answered now.
    pub(crate) deviations: Vec<Deviation>,
    /// Why there is more that waits for the next heartbeat.
    pub(crate) waits: Option<String>,
    /// What people should know besides.
    pub(crate) notice: Option<String>,
}

impl CheckTrails {
    /// Decides what is answered. Without the ledger nothing can wait, since the next heartbeat
    /// would not know of it.
    ///
    /// # Errors
    /// When the ledger cannot be read for now, where all that deviates is that something could not
    /// be read: the check is to be tried again.
    pub(crate) async fn heartbeat(
        &self,
        trail: &TrailArn,
        seen: &Seen,
        now: Timestamp,
    ) -> Result<Heartbeat, Failure> {
        let all_at_once = |notice| Heartbeat {
            deviations: seen.deviations(),
            waits: None,
            notice,
        };
        let before: Memory = match self.ledger.heartbeat(trail).await {
            Ok(before) => before.unwrap_or_default(),
            Err(failure) => {
                let nothing_is_certain = seen.findings.iter().all(|it| it.unread.is_some());
                let later = matches!(failure, Failure::Transient(_));
                if later && nothing_is_certain && !seen.findings.is_empty() {
                    return Err(failure.rephrase(|why| {
                        format!(
                            "not everything could be read, and whether that is new is not known: \
                             {why}"
                        )
                    }));
                }
                let why = failure.name();
                tracing::warn!(why, "the ledger does not tell of the heartbeat before");
                return Ok(all_at_once(None));
            }
        };
        let mut memory = before.clone();
        let mut heartbeat = memory.sort(seen, now);
        if let Some(run) = self.leaves_to(trail, &before, &heartbeat, now).await {
            memory.left_to_a_run += 1;
            heartbeat.deviations.clear();
            heartbeat.waits = Some(format!("the run {run} is repairing"));
        } else {
            memory.left_to_a_run = 0;
        }
        let settled = heartbeat.deviations.is_empty() && heartbeat.waits.is_none();
        memory.learn(&seen.records, &self.machines, now);
        heartbeat.notice = memory.news(settled, now);
        if heartbeat.notice.is_none() && settled {
            heartbeat.notice = memory.reminder(&seen.records, &self.machines, now);
        }
        if memory != before
            && let Err(failure) = self.ledger.save_heartbeat(trail, &memory).await
        {
            let why = failure.name();
            tracing::warn!(why, "the ledger does not keep the heartbeat");
            return Ok(all_at_once(heartbeat.notice));
        }
        Ok(heartbeat)
    }

    /// The run that repairs what may be all that is new, by its name; none where nothing is new, or
    /// where that was believed often enough.
    async fn leaves_to(
        &self,
        trail: &TrailArn,
        before: &Memory,
        heartbeat: &Heartbeat,
        now: Timestamp,
    ) -> Option<String> {
        let deviations = heartbeat.deviations.as_slice();
        if deviations.is_empty()
            || before.left_to_a_run >= MOST_LEFT_TO_A_RUN
            || self.lasts(trail, deviations).await
        {
            return None;
        }
        let runs = self.states.list_executions();
        let runs = runs.state_machine_arn(&self.machines.runbook);
        let runs = runs.status_filter(ExecutionStatus::Running).send().await;
        let runs = runs
            .map_err(|error| {
                let why = Failure::aws("states:ListExecutions", &error);
                tracing::warn!(why = why.name(), "whether a run is repairing is not known");
            })
            .ok()?;
        let mut runs = runs.executions.into_iter();
        let run = runs.find(|run| {
            let started = Timestamp::from_second(run.start_date.secs());
            started.is_ok_and(|started| between(started, now) < REPAIRED_WITHIN)
        })?;
        Some(run.name)
    }
}

impl Memory {
    /// What is answered now of what is seen, by what was seen before: what deviates for certain,
    /// and what could not be read before either.
    fn sort(&mut self, seen: &Seen, now: Timestamp) -> Heartbeat {
        let before = std::mem::take(&mut self.unread);
        let mut heartbeat = Heartbeat::default();
        let mut waiting = Vec::new();
        for finding in &seen.findings {
            let since = finding.unread.as_ref().map(|thing| {
                let since = before.get(thing).copied().unwrap_or(now);
                self.unread.insert(thing.clone(), since);
                since
            });
            if since.is_none_or(|since| between(since, now) >= APART) {
                heartbeat.deviations.push(finding.deviation.clone());
            } else {
                waiting.push(finding.deviation.what.as_str());
            }
        }
        if !waiting.is_empty() {
            heartbeat.waits = Some(cut(&waiting.join("; "), LONGEST_SUMMARY));
        }
        heartbeat
    }

    /// Notes what is recorded now, and what of it is new. What is gone is remembered, so that what
    /// takes its place is new.
    fn learn(&mut self, records: &[Recording], machines: &Machines, now: Timestamp) {
        let mut new = BTreeMap::<_, Vec<_>>::new();
        for recording in records {
            let fingerprint = hash(&recording.record.written(), 64);
            let known = self
                .recorded
                .insert(recording.of.to_owned(), fingerprint.clone());
            if known != Some(fingerprint) {
                let (by, at) = (recording.record.by(), recording.record.at());
                new.entry((at, by)).or_default().push(recording.of);
            }
        }
        if new.is_empty() {
            return;
        }
        let recorded = new.into_iter().map(|((at, by), parts)| {
            let by = match by.map(|by| (Text::<300>::cut(by), machines.records(by))) {
                Some((by, true)) => by.to_string(),
                Some((by, false)) => format!("“{by}”, which is no run of record-baseline"),
                None => "nobody it names".to_owned(),
            };
            let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
            let parts = parts.join(" and ");
            format!("the baseline of {parts} is new: it was recorded{at} by {by}")
        });
        let recorded: Vec<_> = recorded.collect();
        self.news = Some(News {
            text: format!(
                "{}. If it was none of you, treat it as an attack: find out who did it, and \
                 have an operator record the baseline again",
                recorded.join("; ")
            ),
            since: now,
        });
    }

    /// The news, for as long as they are told. Where something deviates they go along with that,
    /// and are told by themselves once it does not.
    fn news(&mut self, settled: bool, now: Timestamp) -> Option<String> {
        let news = self.news.as_mut()?;
        if !settled {
            news.since = now;
        }
        if between(news.since, now) >= TOLD_FOR {
            self.news = None;
        }
        self.news.as_ref().map(|news| news.text.clone())
    }

    /// That a change is still allowed which was recorded as intended long ago.
    fn reminder(
        &mut self,
        records: &[Recording],
        machines: &Machines,
        now: Timestamp,
    ) -> Option<String> {
        let forgotten: Vec<_> = records
            .iter()
            .filter(|it| {
                let at = it.record.at();
                !it.intended.is_empty() && at.is_none_or(|at| between(at, now) >= INTENDED_FOR)
            })
            .collect();
        if forgotten.is_empty() {
            self.reminded_at = None;
            return None;
        }
        let since = |at: &Timestamp| between(*at, now);
        if self
            .reminded_at
            .as_ref()
            .is_none_or(|at| since(at) >= INTENDED_FOR)
        {
            self.reminded_at = Some(now);
        }
        self.reminded_at
            .as_ref()
            .filter(|at| since(at) < TOLD_FOR)?;
        let changes: Vec<_> = forgotten
            .iter()
            .map(|it| {
                let at = it.record.at();
                let at = at
                    .map(|at| format!(", recorded at {at}"))
                    .unwrap_or_default();
                format!("{} of {}{at}", it.intended.join(", "), it.of)
            })
            .collect();
        let changes = changes.join("; ");
        let what = if forgotten.iter().all(|it| it.done) {
            format!("The intended change is done: {changes}. Record the baseline again")
        } else {
            format!(
                "An intended change is still allowed, and whoever makes it is not answered: \
                 {changes}. Once it is done or given up, record the baseline again"
            )
        };
        Some(format!(
            "{what}, without `intended`: aws stepfunctions start-execution --state-machine-arn {} \
             --input '{{\"reason\": \"<why>\"}}'",
            machines.record_baseline
        ))
    }
}

/// How far apart two times are: one that is still to come is not believed, but taken for as long ago.
fn between(one: Timestamp, other: Timestamp) -> SignedDuration {
    other.duration_since(one).abs()
}
