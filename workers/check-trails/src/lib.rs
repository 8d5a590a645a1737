//! Compares a trail, its log archive and our own rules with what was recorded and deployed.
//!
//! **Act.** It only reads. A runbook asks it after a repair whether everything holds; a schedule asks
//! it every five minutes (`heartbeat`), for the case where no event can come: then a deviation is an
//! incident without an actor, once for as long as it lasts.
//!
//! - **Missing** is what a repair can put back: a trail that does not log or is not as recorded, a log
//!   archive that is not as recorded, rules that are not as deployed.
//! - **Left** is what only a human can: what no worker repairs, with the call; what could not be
//!   read; log files that could not be delivered (AWS keeps the last error until the next delivery);
//!   and anything of which nothing is recorded.
//!
//! What cannot be read hides nothing else. Only where nothing at all can be read is that a failure.
//!
//! Without a ledger, or without a baseline, what needs none is compared all the same: whether the
//! trail logs and sees every change, whether the key can be used, whether the rules are as deployed.
//!
//! **An episode** is the time that deviations last. The ledger keeps their fingerprints, since when,
//! and the incident's id. A deviation that is not yet among them begins a new episode; one that is gone
//! is forgotten, also when a runbook that repaired it asks, so that its return is new. While an
//! episode lasts every heartbeat answers the same incident: its execution exists, so starting it
//! again does nothing, unless the first start failed. After an hour it asks for a reminder. Where the ledger cannot be reached the id
//! is made of the hour and the deviations, so that one incident an hour is the most.
//!
//! In a heartbeat everything that is left is a deviation too, so that people learn of a check whose
//! eyes were put out. What waits for the next heartbeat:
//!
//! - **What could not be read**, once: it is a deviation when the heartbeat before could not read
//!   it either. A slow answer of AWS is no attack.
//! - **What is new while a run of the runbook is under way** that began less than ten minutes ago:
//!   it may be at work on just that, and it verifies itself. Two heartbeats in a row at most wait
//!   for it, so that nobody keeps us quiet by starting runs. Where Step Functions does not tell, nothing waits.
//!
//! Where the ledger cannot keep what a heartbeat saw, nothing waits.
//!
//! **A notice** is what people should know though nothing deviates: that something else is recorded
//! than at the heartbeat before, by whom and since when; and once a day that a change is still
//! allowed which was recorded as intended more than a day ago. Where something deviates, the news
//! go with that. They are answered for a quarter of an hour, in case they could not be told;
//! `notify` tells them once.
//!
//! **Undo.** None: nothing is changed but the episode and what a heartbeat leaves for the next. **A
//! second run** answers the same.
//!
//! **Calls.** `cloudtrail:GetTrailStatus`, `GetTrail`, `GetEventSelectors`, `GetInsightSelectors`,
//! `ListTags` in the trail's home region; `s3:GetBucketPolicy`, `GetLifecycleConfiguration`,
//! `GetBucketVersioning`, `GetEncryptionConfiguration` on its bucket; `kms:DescribeKey`,
//! `GetKeyPolicy` on its key; `logs:DescribeLogGroups`; `events:DescribeRule`,
//! `ListTargetsByRule`; `states:ListExecutions` of the runbook, where something new deviates;
//! `dynamodb:GetItem`, and for a heartbeat `PutItem` and `DeleteItem`.

mod episode;
mod heartbeat;
mod look;

use aws_config::SdkConfig;
use detection::Rule;
use heartbeat::{Heartbeat, Machines};
use incident::{
    Actor, Deviation, Incident, IncidentId, Mode, Runbook, Settings, Severity, Target, Text, Tiers,
    TrailArn, cut,
};
use jiff::Timestamp;
use ledger::Ledger;
use log_archive::{Clients, Names};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use worker::{Failure, Worker};

/// A summary is for people: the whole lists are beside it.
const LONGEST_SUMMARY: usize = 1_000;

/// Which trail is compared, and for whom.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The name of the execution that asks.
    pub incident_id: IncidentId,
    /// The trail.
    pub trail_arn: TrailArn,
    /// Whether the schedule asks: then a deviation is an incident.
    #[serde(default)]
    pub heartbeat: bool,
}

/// What is not as it should be.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether nothing is missing.
    pub holds: bool,
    /// What a repair can put back, one line each, for people.
    pub missing: Vec<String>,
    /// What only a human can, one line each, with the call where there is one.
    pub left: Vec<String>,
    /// All of it in one sentence.
    pub summary: String,
    /// The name of the execution that answers, when the schedule asked and something deviates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    /// Its input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<Box<Incident>>,
    /// Whether people should be reminded that it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remind: Option<bool>,
    /// Why what deviates is left to the next heartbeat, when the schedule asked and none of it is
    /// answered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// What people should know of what is recorded, when the schedule asked and nothing deviates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// The worker.
#[derive(Debug)]
pub struct CheckTrails {
    cloudtrail: aws_sdk_cloudtrail::Client,
    archive: Clients,
    names: Names,
    events: aws_sdk_eventbridge::Client,
    rules: Vec<Rule>,
    states: aws_sdk_sfn::Client,
    machines: Machines,
    ledger: Ledger,
    tiers: Tiers,
    mode: Mode,
    now: fn() -> Timestamp,
}

impl CheckTrails {
    /// Reads the settings `MODE`, `LEDGER_TABLE`, and those of [`Tiers`], [`Names`] and
    /// [`detection::rules`], which name our state machines too.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        let control = worker::CONTROL.on(config);
        Ok(Self {
            cloudtrail: aws_sdk_cloudtrail::Client::new(&control),
            archive: Clients::new(&control),
            names: Names::from_settings(&settings)?,
            events: aws_sdk_eventbridge::Client::new(&control),
            rules: detection::rules(&settings)?,
            states: aws_sdk_sfn::Client::new(&worker::LEDGER.on(config)),
            machines: Machines::from_settings(&settings)?,
            ledger: Ledger::from_settings(config, &settings)?,
            tiers: Tiers::from_settings(&settings)?,
            mode: settings.required("MODE")?,
            now: Timestamp::now,
        })
    }
}

impl Worker for CheckTrails {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let now = (self.now)();
        let seen = self.look(&input.trail_arn, now).await?;
        let deviations = seen.deviations();
        let mut output = self.answer(&deviations);
        if !input.heartbeat {
            self.forget_mended(&input.trail_arn, &deviations).await;
            return Ok(output);
        }
        let Heartbeat {
            deviations,
            waits,
            notice,
        } = self.heartbeat(&input.trail_arn, &seen, now).await?;
        if deviations.is_empty() && waits.is_some() {
            output.waits = waits;
            return Ok(output);
        }
        let episode = self.episode(&input.trail_arn, &deviations, waits.is_none(), now);
        let Some(episode) = episode.await else {
            output.notice = notice;
            return Ok(output);
        };
        if let Some(notice) = notice {
            let room = LONGEST_SUMMARY.saturating_sub(notice.chars().count());
            output.summary = format!("{}; {notice}", cut(&output.summary, room));
        }
        let incident = self.incident(&input.trail_arn, &output.summary, episode.since);
        output.incident_id = Some(episode.incident_id);
        output.incident = Some(Box::new(incident));
        output.remind = Some(episode.remind);
        Ok(output)
    }
}

impl CheckTrails {
    fn incident(&self, trail: &TrailArn, reason: &str, since: Timestamp) -> Incident {
        let actor =
            Actor::unidentified("found by a check, which sees what was done and not by whom");
        Incident {
            runbook: Runbook::CloudtrailDisabled,
            reason: Text::cut(reason),
            severity: Severity::Critical,
            event: None,
            occurred_at: since,
            discovered_at: since,
            containment: self.tiers.containment(&actor),
            actor,
            accomplices: Vec::new(),
            invoked_by: None,
            source_address: None,
            target: Target::Trail { arn: trail.clone() },
            remedy: None,
            dry_run: self.mode == Mode::Observe,
        }
    }

    /// What people are told of `deviations`.
    fn answer(&self, deviations: &[Deviation]) -> Output {
        let repaired = deviations.iter().filter(|it| it.remedy.is_none());
        let missing: Vec<_> = repaired.map(|it| it.what.clone()).collect();
        let left = deviations.iter().filter_map(Deviation::for_a_human);
        let whats: Vec<_> = deviations.iter().map(|it| it.what.as_str()).collect();
        let summary = match (whats.as_slice(), self.names.is_empty()) {
            ([], false) => {
                "the trail logs and is as recorded, as is its log archive, and our rules are as \
                 deployed"
                    .to_owned()
            }
            ([], true) => {
                "the trail logs and is as recorded, and our rules are as deployed; its log archive \
                 is not watched"
                    .to_owned()
            }
            (whats, _) => whats.join("; "),
        };
        Output {
            holds: missing.is_empty(),
            missing,
            left: left.collect(),
            summary: cut(&summary, LONGEST_SUMMARY),
            incident_id: None,
            incident: None,
            remind: None,
            waits: None,
            notice: None,
        }
    }
}

#[cfg(test)]
mod tests;
