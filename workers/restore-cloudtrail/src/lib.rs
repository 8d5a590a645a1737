//! Makes a trail what is recorded of it, logging first.
//!
//! **Act.** `StartLogging` is the very first call, before anything is read: where a trail was
//! stopped every second counts, and where it logs the call is harmless. Then the trail is compared
//! with what `record-baseline` recorded, and what differs is put back: settings, event selectors,
//! insight selectors. A deleted trail is created from its baseline, tags included, and started as
//! soon as CloudTrail allows a second `StartLogging`; what the creation dropped is put back like any
//! other difference. A step that fails does not stop the next one.
//!
//! **What is no difference?** A change that was recorded as intended, however much of it is made: a
//! field may be as in the baseline or as intended, and one that is neither goes back to the
//! baseline. And hardening: a switch that records or proves more, selectors that take more
//! ([`Trail::should_be`]). A deleted trail has nothing left to judge and gets its baseline, not what
//! was intended of it.
//!
//! **All or nothing?** CloudTrail refuses a whole call for one setting: a log group whose role may
//! not be passed, a key that is gone. So a creation that is refused is tried again with the essentials,
//! where to record and what, and an update, which holds only what differs, one part at a time. What
//! stays refused is the failure of a run whose trail is there and logging.
//!
//! **Left for a human**: what was not compared, for want of a baseline, of the ledger that keeps it
//! or of an API that tells. Without a baseline a trail that was deleted can only be reported.
//!
//! **Was it stopped?** That is read after the call, from `GetTrailStatus`, since nothing may come
//! before it. The trail counts as started by this run when its logging began no earlier than the
//! call (times are whole seconds; one more is allowed for clocks), or when the status still shows
//! it stopped. A trail that has delivered and was never stopped was logging, whatever its status
//! says of the start. AWS does not document whether `StartLogging` on a logging trail dates its
//! start anew. Where it does, a trail that was once stopped counts as started by every run.
//!
//! **Undo.** Turning surveillance off is the attack itself, so this worker has no way to stop or
//! delete a trail, and its role no permission. An undo lets go of the hold and says the call by
//! which an operator, with their own credentials, brings the state before the incident back.
//!
//! **Calls.** `cloudtrail:StartLogging`, `GetTrailStatus`, `GetTrail`, `GetEventSelectors`,
//! `GetInsightSelectors`, `ListTags`, and as needed `DescribeTrails`, `CreateTrail`, `AddTags`,
//! `UpdateTrail`, `PutEventSelectors`, `PutInsightSelectors`, all in the trail's home region and by
//! its full ARN; `iam:PassRole` for the role that writes to the log group; `dynamodb:GetItem` beside
//! the first call, `UpdateItem` before a change, `DeleteItem` on an undo. CloudTrail allows one
//! `StartLogging`, `UpdateTrail` and `PutEventSelectors` a second: one run calls the first twice at
//! most and the second five times, 1.1 s apart, and the third once.
//!
//! **A second run** starts a logging trail again, finds no difference and changes nothing. It
//! finishes what an earlier run left half-done, and when two runs recreate a trail at once, the
//! slower one goes on with the trail that it finds.
//!
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_StartLogging.html>

mod home;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_cloudtrail::Client;
use incident::{IncidentId, Recorded, Settings, TrailArn};
use jiff::{SignedDuration, Timestamp};
use ledger::{Done, Hold, Holds, Ledger, Part, Release};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use trail::{EventSelectors, Status, Trail};
use worker::{Failure, Worker};

use home::{Home, MECHANISM, Start};

/// Between two calls of `StartLogging` or `UpdateTrail`, of which CloudTrail allows one a second.
const PACE: Duration = Duration::from_millis(1_100);

/// Which trail is restored, and for which incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that holds what is changed.
    pub incident_id: IncidentId,
    /// The trail.
    pub trail_arn: TrailArn,
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether to let go instead.
    #[serde(default)]
    pub undo: bool,
    /// For an undo that the ledger cannot know: what an earlier answer returned as `undo`.
    #[serde(default)]
    pub holds: Vec<Hold>,
}

/// The worker.
#[derive(Debug)]
pub struct RestoreCloudTrail {
    cloudtrail: Client,
    ledger: Ledger,
    now: fn() -> Timestamp,
}

impl RestoreCloudTrail {
    /// Reads the setting `LEDGER_TABLE`.
    ///
    /// # Errors
    /// When it is missing.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        Ok(Self {
            cloudtrail: Client::new(&worker::CONTROL.on(config)),
            ledger: Ledger::from_settings(config, &Settings::from_env())?,
            now: Timestamp::now,
        })
    }
}

impl Worker for RestoreCloudTrail {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        match (input.undo, input.dry_run) {
            (true, _) => self.let_go(&input).await,
            (false, true) => self.rehearse(&input).await,
            (false, false) => self.restore(&input).await,
        }
    }
}

/// The first call, and what was learnt meanwhile.
struct Begun {
    home: Home,
    called: Instant,
    called_at: Timestamp,
    start: Result<Start, Failure>,
    recorded: Result<Option<Recorded<Trail>>, Failure>,
}

impl RestoreCloudTrail {
    async fn restore(&self, input: &Input) -> Result<Done, Failure> {
        let mut begun = self.begin(input.trail_arn.clone()).await;
        if begun.start == Ok(Start::Elsewhere)
            && let Some(arn) = trail::home_of(&begun.home.client, &begun.home.arn).await?
        {
            begun = self.begin(arn).await;
        }
        let Begun {
            home,
            called,
            called_at,
            start,
            recorded,
        } = begun;
        let mut run = Run::of(&home.arn);
        let mut holds = self.ledger.holds_for(&input.incident_id, called_at);
        if start == Ok(Start::Deleted) {
            let baseline = run.baseline_of_deleted(recorded)?;
            holds.put(home.hold(json!({"existed": false}))).await;
            recreate(&home, &baseline, called, &mut run).await?;
            run.tells(&holds);
            return run.end(holds.unrecorded());
        }
        let (status, current) = tokio::join!(
            trail::status(&home.client, &home.arn),
            trail::read(&home.client, &home.arn),
        );
        run.logs(start, status, called_at);
        if let Some(recorded) = run.recorded_of_existing(recorded)
            && let Some(current) = run.current(current)
        {
            let expected = current.should_be(&recorded);
            run.compares_insights(&current, &expected);
            if current.differences(&expected).is_empty() {
                run.found("it is as recorded".to_owned());
            } else {
                let original = json!({"existed": true, "trail": current});
                holds.put(home.hold(original)).await;
                converge(&home, &current, &expected, &mut run).await;
            }
        }
        run.tells(&holds);
        run.end(holds.unrecorded())
    }

    async fn begin(&self, arn: TrailArn) -> Begun {
        let home = Home::of(arn, &self.cloudtrail);
        let (called, called_at) = (Instant::now(), (self.now)());
        let (start, recorded) = tokio::join!(
            biased;
            home.start_logging(),
            self.ledger.recorded(&home.arn, Part::Trail),
        );
        Begun {
            home,
            called,
            called_at,
            start,
            recorded,
        }
    }

    async fn rehearse(&self, input: &Input) -> Result<Done, Failure> {
        let home = Home::of(input.trail_arn.clone(), &self.cloudtrail);
        let mut run = Run::of(&home.arn);
        let (current, status, recorded) = tokio::join!(
            trail::read(&home.client, &home.arn),
            trail::status(&home.client, &home.arn),
            self.ledger.recorded(&home.arn, Part::Trail),
        );
        let Some(current) = current? else {
            run.baseline_of_deleted(recorded)?;
            run.found("is deleted; it would be recreated from its baseline and started".to_owned());
            return run.end(Vec::new());
        };
        run.found(if status?.is_logging {
            "is logging".to_owned()
        } else {
            "is stopped and would be started".to_owned()
        });
        if let Some(recorded) = run.recorded_of_existing(recorded) {
            let expected = current.should_be(&recorded);
            run.compares_insights(&current, &expected);
            let differences = current.differences(&expected);
            run.found(if differences.is_empty() {
                "it is as recorded".to_owned()
            } else {
                format!("would be put back: {}", differences.join(", "))
            });
        }
        run.end(Vec::new())
    }

    async fn let_go(&self, input: &Input) -> Result<Done, Failure> {
        let trail = &input.trail_arn;
        let resource = trail.arn().as_str();
        let undo = self
            .ledger
            .undo_for(&input.incident_id, &input.holds, input.dry_run);
        let mut run = Run::of(trail);
        run.found("is left as it is".to_owned());
        match undo.release(resource, MECHANISM).await? {
            Release::NotHeld => run.found("this incident does not hold it".to_owned()),
            Release::StillHeld => run.found("other incidents still hold it".to_owned()),
            Release::Last(original) => {
                undo.forget(resource, MECHANISM).await?;
                run.found(by_hand(trail, &original));
            }
        }
        run.end(Vec::new())
    }
}

/// Creates a deleted trail, starts it, and puts back what the creation left out.
async fn recreate(
    home: &Home,
    baseline: &Trail,
    called: Instant,
    run: &mut Run,
) -> Result<(), Failure> {
    let mut asked = baseline.clone();
    let mut created = home.create(&asked).await;
    let mut refusal = None;
    if let Err(refused) = created {
        refusal = Some(refused);
        asked = essentials_of(baseline);
        created = home.create(&asked).await;
    }
    match created {
        Ok(true) if refusal.is_none() => {
            run.did("was deleted and is recreated from its baseline".to_owned());
        }
        Ok(true) => run.did("was deleted and is recreated with the essentials only".to_owned()),
        Ok(false) => run.found("was deleted and recreated by another run".to_owned()),
        Err(failure) => {
            let context = format!("trail {} is deleted and was not recreated", run.name);
            return Err(failure.rephrase(|why| format!("{context}: {why}")));
        }
    }
    // A new trail records nothing until it is started; its settings are read in the meantime.
    let start = async {
        sleep_until(called + PACE).await;
        home.start_logging().await
    };
    let (start, current) = tokio::join!(start, trail::read(&home.client, &home.arn));
    match start {
        Ok(Start::Accepted) => run.found("logs again".to_owned()),
        Ok(Start::Deleted | Start::Elsewhere) => run.not_logging(Failure::Transient(
            "CloudTrail does not know the new trail yet; run again".to_owned(),
        )),
        Err(failure) => run.not_logging(failure),
    }
    let current = match current {
        Ok(Some(current)) => current,
        Ok(None) => as_created(&asked),
        Err(failure) => {
            run.failures.push(failure);
            as_created(&asked)
        }
    };
    // Where insights cannot be read, a new trail has none.
    let current = Trail {
        insight_selectors: current.insight_selectors.or(Some(BTreeSet::new())),
        ..current
    };
    converge(home, &current, baseline, run).await;
    if current.tags != baseline.tags {
        let put = home.add_tags(baseline).await;
        run.put_back(vec!["tags".to_owned()], put);
    }
    // Where everything could be put back after all, why not at once no longer matters.
    if !run.failures.is_empty() {
        run.failures.splice(0..0, refusal);
    }
    Ok(())
}

/// What a trail cannot record without: where to, and what of. No other service has a say in it but
/// the bucket, and the organization where it is the organization's trail.
fn essentials_of(baseline: &Trail) -> Trail {
    Trail {
        settings: trail::Settings {
            sns_topic: None,
            kms_key_id: None,
            cloud_watch_logs_log_group_arn: None,
            cloud_watch_logs_role_arn: None,
            recursive_logging: true,
            ..baseline.settings.clone()
        },
        tags: BTreeMap::new(),
        ..baseline.clone()
    }
}

/// What `CreateTrail` makes of a baseline: everything but the selectors.
fn as_created(baseline: &Trail) -> Trail {
    Trail {
        event_selectors: EventSelectors::everything_managed(),
        insight_selectors: None,
        ..baseline.clone()
    }
}

/// Puts back whatever differs from what is expected; what fails stops nothing else.
async fn converge(home: &Home, current: &Trail, expected: &Trail, run: &mut Run) {
    if current.settings != expected.settings {
        update(home, &current.settings, &expected.settings, run).await;
    }
    if current.event_selectors != expected.event_selectors {
        let put = home.put_event_selectors(expected).await;
        run.put_back(vec!["eventSelectors".to_owned()], put);
    }
    if current.insights_differ(expected) {
        let put = home.put_insight_selectors(expected).await;
        run.put_back(vec!["insightSelectors".to_owned()], put);
    }
}

/// Puts back the settings that differ: together, or one part at a time where that is refused.
async fn update(home: &Home, now: &trail::Settings, expected: &trail::Settings, run: &mut Run) {
    let whole = home.update(now, expected).await;
    let parts = parts_of(now, expected);
    if matches!(whole, Ok(()) | Err(Failure::Transient(_))) || parts.len() < 2 {
        return run.put_back(now.differences(expected), whole);
    }
    for part in parts {
        sleep(PACE).await;
        let put = home.update(now, &part).await;
        run.put_back(now.differences(&part), put);
    }
}

/// `now` with one part of `expected` each, what is recorded and where to first; only the parts that
/// change anything.
fn parts_of(now: &trail::Settings, expected: &trail::Settings) -> Vec<trail::Settings> {
    let (now, expected) = (now.clone(), expected.clone());
    let parts = [
        trail::Settings {
            sns_topic: now.sns_topic.clone(),
            kms_key_id: now.kms_key_id.clone(),
            cloud_watch_logs_log_group_arn: now.cloud_watch_logs_log_group_arn.clone(),
            cloud_watch_logs_role_arn: now.cloud_watch_logs_role_arn.clone(),
            ..expected.clone()
        },
        trail::Settings {
            kms_key_id: expected.kms_key_id,
            ..now.clone()
        },
        trail::Settings {
            cloud_watch_logs_log_group_arn: expected.cloud_watch_logs_log_group_arn,
            cloud_watch_logs_role_arn: expected.cloud_watch_logs_role_arn,
            ..now.clone()
        },
        trail::Settings {
            sns_topic: expected.sns_topic,
            ..now.clone()
        },
    ];
    parts.into_iter().filter(|part| *part != now).collect()
}

/// Whether `StartLogging`, called at `called_at`, started the trail.
fn started(status: &Status, called_at: Timestamp) -> bool {
    let began_now = status
        .started_at
        .is_some_and(|at| at >= called_at - SignedDuration::from_secs(1));
    let never_stopped = status.stopped_at.is_none() && status.delivered_at.is_some();
    !status.is_logging || (began_now && !never_stopped)
}

/// How an operator brings the state before the incident back.
fn by_hand(trail: &TrailArn, original: &Value) -> String {
    if original["existed"] == false {
        return format!(
            "it did not exist before, and only an operator may delete it: aws cloudtrail \
             delete-trail --name {trail} --region {}",
            trail.region()
        );
    }
    "what was put back stays; an operator who intends another state records it as such with the \
     record-baseline runbook, then changes the trail"
        .to_owned()
}

/// One run, and how it goes.
struct Run {
    name: String,
    changed: bool,
    steps: Vec<String>,
    put_back: Vec<String>,
    failures: Vec<Failure>,
    left: Vec<String>,
}

impl Run {
    /// Says of which original only a mark is kept.
    fn tells(&mut self, holds: &Holds<'_>) {
        self.steps.extend(holds.too_large().iter().cloned());
    }

    fn of(trail: &TrailArn) -> Self {
        Self {
            name: trail.name().to_owned(),
            changed: false,
            steps: Vec::new(),
            put_back: Vec::new(),
            failures: Vec::new(),
            left: Vec::new(),
        }
    }

    fn found(&mut self, state: String) {
        self.steps.push(state);
    }

    fn did(&mut self, deed: String) {
        self.changed = true;
        self.steps.push(deed);
    }

    /// Says what this run cannot see to.
    fn leave(&mut self, what: String) {
        self.steps.push(what.clone());
        self.left.push(what);
    }

    fn put_back(&mut self, fields: Vec<String>, put: Result<(), Failure>) {
        match put {
            Ok(()) => self.put_back.extend(fields),
            Err(failure) => self.failures.push(failure),
        }
    }

    fn not_logging(&mut self, failure: Failure) {
        self.found("may not be logging".to_owned());
        self.failures.push(failure);
    }

    /// Says whether the trail logs, and whether this run made it.
    fn logs(
        &mut self,
        start: Result<Start, Failure>,
        status: Result<Status, Failure>,
        called_at: Timestamp,
    ) {
        let refusal = match start {
            Ok(Start::Accepted) => None,
            Ok(Start::Deleted | Start::Elsewhere) => Some(Failure::Rejected(
                "cloudtrail:StartLogging: the trail's home is another region, and \
                 cloudtrail:DescribeTrails does not say which"
                    .to_owned(),
            )),
            Err(failure) => Some(failure),
        };
        match (refusal, status) {
            (None, Ok(status)) if !started(&status, called_at) => {
                self.found("was logging already".to_owned());
            }
            (None, Ok(status)) => self.did(match status.stopped_at {
                Some(at) => format!("was started (it was last stopped at {at})"),
                None => "logs now".to_owned(),
            }),
            (None, Err(failure)) => {
                self.did("logs now".to_owned());
                self.failures.push(failure);
            }
            (Some(refusal), Ok(status)) if status.is_logging => {
                self.found("is logging".to_owned());
                self.failures.push(refusal);
            }
            (Some(refusal), _) => self.not_logging(refusal),
        }
    }

    fn current(&mut self, current: Result<Option<Trail>, Failure>) -> Option<Trail> {
        let failure = match current {
            Ok(Some(current)) => return Some(current),
            Ok(None) => Failure::Transient("it was deleted meanwhile; run again".to_owned()),
            Err(failure) => failure,
        };
        self.failures.push(failure);
        None
    }

    /// What to compare with; without it the trail logs all the same.
    fn recorded_of_existing(
        &mut self,
        recorded: Result<Option<Recorded<Trail>>, Failure>,
    ) -> Option<Recorded<Trail>> {
        match recorded {
            Ok(Some(recorded)) => return Some(recorded),
            Ok(None) => self.leave(
                "no baseline is recorded, so its settings could not be compared: check them, then \
                 start the record-baseline runbook"
                    .to_owned(),
            ),
            Err(failure) => self.leave(format!(
                "its settings were not compared with the baseline ({failure})"
            )),
        }
        None
    }

    fn compares_insights(&mut self, current: &Trail, expected: &Trail) {
        if current.hides_insights(expected) {
            self.leave(
                "its insight selectors cannot be read and were not compared with the baseline"
                    .to_owned(),
            );
        }
    }

    /// The baseline to recreate a trail from; without one nobody here knows what it was.
    fn baseline_of_deleted(
        &self,
        recorded: Result<Option<Recorded<Trail>>, Failure>,
    ) -> Result<Trail, Failure> {
        let name = &self.name;
        match recorded {
            Ok(Some(recorded)) => Ok(recorded.baseline),
            Ok(None) => Err(Failure::TargetNotFound(format!(
                "trail {name} does not exist and no baseline of it is recorded: create it by hand \
                 from what the CreateTrail and PutEventSelectors events in CloudTrail's event \
                 history say, then start the record-baseline runbook"
            ))),
            Err(failure) => Err(failure.rephrase(|why| {
                format!("trail {name} is deleted and its baseline was not read: {why}")
            })),
        }
    }

    fn end(mut self, undo: Vec<Hold>) -> Result<Done, Failure> {
        if !self.put_back.is_empty() {
            self.did(format!("put back: {}", self.put_back.join(", ")));
        }
        let done = Done {
            changed: self.changed,
            summary: format!("trail {} {}", self.name, self.steps.join("; ")),
            undo,
            left: self.left,
        };
        // What is left is among the steps already.
        done.unless(self.failures, "")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{Arc, Mutex},
    };

    use aws_sdk_cloudtrail::{
        config::{http::HttpResponse, retry::RetryConfig},
        operation::{
            add_tags::AddTagsOutput,
            create_trail::{CreateTrailInput, CreateTrailOutput},
            describe_trails::DescribeTrailsOutput,
            get_event_selectors::GetEventSelectorsOutput,
            get_insight_selectors::GetInsightSelectorsOutput,
            get_trail::GetTrailOutput,
            get_trail_status::GetTrailStatusOutput,
            list_tags::ListTagsOutput,
            put_event_selectors::PutEventSelectorsOutput,
            put_insight_selectors::PutInsightSelectorsOutput,
            start_logging::StartLoggingOutput,
            update_trail::{UpdateTrailInput, UpdateTrailOutput},
        },
        primitives::DateTime,
        types::{AdvancedEventSelector, AdvancedFieldSelector, ResourceTag, Tag},
    };
    use aws_sdk_dynamodb::{
        Client as DynamoDb,
        operation::{
            delete_item::DeleteItemOutput, get_item::GetItemOutput, update_item::UpdateItemOutput,
        },
        types::AttributeValue,
    };
    use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
    use worker::answer;

    use super::*;

    const ARN: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main";
    const MISTAKEN: &str = "arn:aws:cloudtrail:us-east-1:123456789012:trail/main";
    const HOLD: &str = "hold#arn:aws:cloudtrail:eu-west-1:123456789012:trail/main";
    const BASELINE: &str = "baseline#arn:aws:cloudtrail:eu-west-1:123456789012:trail/main";

    fn now() -> Timestamp {
        "2026-11-25T10:00:00.7Z".parse().unwrap()
    }

    fn later() -> Timestamp {
        "2026-11-25T10:05:00Z".parse().unwrap()
    }

    fn healthy() -> Trail {
        serde_json::from_value(json!({
            "name": "main",
            "s3BucketName": "logs",
            "s3KeyPrefix": "crm",
            "snsTopic": null,
            "includeGlobalServiceEvents": true,
            "isMultiRegionTrail": true,
            "logFileValidationEnabled": true,
            "kmsKeyId": null,
            "cloudWatchLogsLogGroupArn": "arn:aws:logs:eu-west-1:123456789012:log-group:trail:*",
            "cloudWatchLogsRoleArn": "arn:aws:iam::123456789012:role/trail",
            "isOrganizationTrail": false,
            "recursiveLogging": true,
            "eventSelectors": {"basic": [{
                "readWriteType": "All",
                "includeManagementEvents": true,
                "dataResources": [{"type": "AWS::S3::Object", "values": ["arn:aws:s3:::site/"]}],
                "excludeManagementEventSources": []
            }]},
            "insightSelectors": [
                {"insightType": "ApiCallRateInsight", "eventCategories": ["Management"]}
            ],
            "tags": {"owner": "security"}
        }))
        .unwrap()
    }

    fn tampered() -> Trail {
        let mut trail = healthy();
        trail.settings.s3_bucket_name = "mine".to_owned();
        trail.settings.is_multi_region_trail = false;
        trail.settings.kms_key_id = Some("arn:aws:kms:eu-west-1:666666666666:key/k".to_owned());
        trail.event_selectors = EventSelectors::everything_managed();
        trail.insight_selectors = Some(BTreeSet::new());
        trail
    }

    #[derive(Default, PartialEq)]
    enum Creation {
        #[default]
        Whole,
        WithoutLogGroup,
        /// The trail cannot be started yet.
        Slow,
        /// Another run recreates the trail just before this one.
        Outrun,
    }

    /// An account with one trail, and the ledger.
    #[derive(Default)]
    struct World {
        trail: Option<Trail>,
        logging: bool,
        started_at: Option<Timestamp>,
        stopped_at: Option<Timestamp>,
        delivered_at: Option<Timestamp>,
        /// Whether some minutes have passed.
        later: bool,
        creation: Creation,
        /// The error code of each call that is refused.
        refuses: HashMap<&'static str, &'static str>,
        /// The error code of a call that would give the trail a role.
        refuses_role: Option<&'static str>,
        /// Whether such a call is refused only once.
        refuses_once: bool,
        items: HashMap<String, HashMap<String, AttributeValue>>,
        calls: Vec<(&'static str, Instant)>,
        created: Option<CreateTrailInput>,
        updated: Option<UpdateTrailInput>,
    }

    impl World {
        /// The trail that a call names, which must be by its full ARN.
        fn named(&mut self, name: Option<&str>) -> Result<&mut Trail, &'static str> {
            match name {
                Some(ARN) => self.trail.as_mut().ok_or("TrailNotFoundException"),
                Some(MISTAKEN) => Err("InvalidHomeRegionException"),
                _ => Err("InvalidTrailNameException"),
            }
        }

        fn may_pass(&mut self, role: Option<&str>) -> Result<(), &'static str> {
            let passed = role.is_some_and(|role| !role.is_empty());
            let refused = self.refuses_role.filter(|_| passed);
            if refused.is_some() && self.refuses_once {
                self.refuses_role = None;
            }
            refused.map_or(Ok(()), Err)
        }

        fn start(&mut self) {
            if !self.logging {
                self.started_at = Some(self.now()());
            }
            self.logging = true;
        }

        fn now(&self) -> fn() -> Timestamp {
            if self.later { later } else { now }
        }
    }

    type Shared = Arc<Mutex<World>>;

    fn world(trail: Option<Trail>) -> Shared {
        let stopped = World {
            trail,
            stopped_at: Some("2026-11-25T09:58:03Z".parse().unwrap()),
            ..World::default()
        };
        let world = Arc::new(Mutex::new(stopped));
        record(&world, Some(&healthy()));
        world
    }

    fn logging(trail: Trail) -> Shared {
        let world = world(Some(trail));
        {
            let mut world = world.lock().unwrap();
            world.logging = true;
            world.started_at = Some("2026-11-25T09:59:59Z".parse().unwrap());
        }
        world
    }

    fn record(world: &Shared, baseline: Option<&Trail>) {
        let mut world = world.lock().unwrap();
        world.items.remove(BASELINE);
        if let Some(trail) = baseline {
            let json = AttributeValue::S(serde_json::to_string(trail).unwrap());
            let item = HashMap::from([("baseline".to_owned(), json)]);
            world.items.insert(BASELINE.to_owned(), item);
        }
    }

    fn intend(world: &Shared, intended: &Trail) {
        let json = AttributeValue::S(serde_json::to_string(intended).unwrap());
        let mut world = world.lock().unwrap();
        let item = world.items.get_mut(BASELINE).unwrap();
        item.insert("intended".to_owned(), json);
    }

    /// To another bucket, encrypted, and without data events.
    fn intended() -> Trail {
        let mut trail = healthy();
        trail.settings.s3_bucket_name = "new".to_owned();
        trail.settings.kms_key_id = Some("arn:aws:kms:eu-west-1:123456789012:key/k".to_owned());
        trail.event_selectors = EventSelectors::everything_managed();
        trail
    }

    fn refuse(world: &Shared, refuses: &[(&'static str, &'static str)]) {
        world.lock().unwrap().refuses = refuses.iter().copied().collect();
    }

    fn refusal(code: &str) -> HttpResponse {
        let body = format!(r#"{{"__type":"{code}","message":"what AWS said"}}"#);
        HttpResponse::new(400.try_into().unwrap(), body.into())
    }

    /// A rule for one call: notes it, and answers or refuses.
    macro_rules! on {
        ($world:expr, $client:ident::$call:ident, |$state:ident, $request:ident| $answer:expr) => {{
            let world = Arc::clone($world);
            mock!($client::$call).then_compute_response(move |$request| {
                let mut guard = world.lock().unwrap();
                let $state = &mut *guard;
                let call = stringify!($call);
                $state.calls.push((call, Instant::now()));
                let refused = $state.refuses.get(call).copied();
                let answer = || -> Result<_, &'static str> { $answer };
                match refused.map_or_else(answer, Err) {
                    Ok(output) => MockResponse::Output(output),
                    Err(code) => MockResponse::Http(refusal(code)),
                }
            })
        }};
    }

    fn time(time: Option<Timestamp>) -> Option<DateTime> {
        time.map(|at| DateTime::from_secs(at.as_second()))
    }

    fn cloudtrail(world: &Shared) -> Client {
        mock_client!(
            aws_sdk_cloudtrail,
            RuleMode::MatchAny,
            reads(world).iter().chain(&changes(world)),
            |config| config.retry_config(RetryConfig::disabled())
        )
    }

    fn reads(world: &Shared) -> [Rule; 6] {
        let status = on!(world, Client::get_trail_status, |world, request| {
            world.named(request.name())?;
            Ok(GetTrailStatusOutput::builder()
                .is_logging(world.logging)
                .set_start_logging_time(time(world.started_at))
                .set_stop_logging_time(time(world.stopped_at))
                .set_latest_delivery_time(time(world.delivered_at))
                .build())
        });
        let get = on!(world, Client::get_trail, |world, request| {
            let settings = world.named(request.name())?.settings.clone();
            let trail = aws_sdk_cloudtrail::types::Trail::builder()
                .s3_bucket_name(settings.s3_bucket_name)
                .set_s3_key_prefix(settings.s3_key_prefix)
                .include_global_service_events(settings.include_global_service_events)
                .is_multi_region_trail(settings.is_multi_region_trail)
                .log_file_validation_enabled(settings.log_file_validation_enabled)
                .set_kms_key_id(settings.kms_key_id)
                .set_cloud_watch_logs_log_group_arn(settings.cloud_watch_logs_log_group_arn)
                .set_cloud_watch_logs_role_arn(settings.cloud_watch_logs_role_arn)
                .build();
            Ok(GetTrailOutput::builder().trail(trail).build())
        });
        let selectors = on!(world, Client::get_event_selectors, |world, request| {
            let selectors = &world.named(request.trail_name())?.event_selectors;
            Ok(GetEventSelectorsOutput::builder()
                .set_event_selectors(selectors.basic())
                .set_advanced_event_selectors(selectors.advanced().unwrap())
                .build())
        });
        let insights = on!(world, Client::get_insight_selectors, |world, request| {
            let insights = &world.named(request.trail_name())?.insight_selectors;
            let insights = insights.as_ref().ok_or("UnsupportedOperationException")?;
            if insights.is_empty() {
                return Err("InsightNotEnabledException");
            }
            Ok(GetInsightSelectorsOutput::builder()
                .set_insight_selectors(Some(
                    insights
                        .iter()
                        .map(trail::InsightSelector::to_sdk)
                        .collect(),
                ))
                .build())
        });
        let tags = on!(world, Client::list_tags, |world, request| {
            let name = request.resource_id_list().first().map(String::as_str);
            let tags = world.named(name)?.tags.iter();
            let tags =
                tags.map(|(key, value)| Tag::builder().key(key).value(value).build().unwrap());
            let tags = ResourceTag::builder().set_tags_list(Some(tags.collect()));
            Ok(ListTagsOutput::builder()
                .resource_tag_list(tags.build())
                .build())
        });
        let describe = on!(world, Client::describe_trails, |_world, _request| {
            let home = aws_sdk_cloudtrail::types::Trail::builder().home_region("eu-west-1");
            Ok(DescribeTrailsOutput::builder()
                .trail_list(home.build())
                .build())
        });
        [status, get, selectors, insights, tags, describe]
    }

    fn created_by(request: CreateTrailInput) -> Trail {
        let tags = request.tags_list().iter();
        Trail {
            name: request.name.clone().unwrap(),
            event_selectors: EventSelectors::everything_managed(),
            insight_selectors: Some(BTreeSet::new()),
            tags: tags.map(pair).collect(),
            settings: trail::Settings {
                s3_bucket_name: request.s3_bucket_name.unwrap(),
                s3_key_prefix: request.s3_key_prefix,
                sns_topic: request.sns_topic_name,
                include_global_service_events: request.include_global_service_events.unwrap(),
                is_multi_region_trail: request.is_multi_region_trail.unwrap(),
                log_file_validation_enabled: request.enable_log_file_validation.unwrap(),
                kms_key_id: request.kms_key_id,
                cloud_watch_logs_log_group_arn: request.cloud_watch_logs_log_group_arn,
                cloud_watch_logs_role_arn: request.cloud_watch_logs_role_arn,
                is_organization_trail: request.is_organization_trail.unwrap(),
                recursive_logging: request.recursive_logging.unwrap_or(true),
            },
        }
    }

    fn pair(tag: &Tag) -> (String, String) {
        (tag.key.clone(), tag.value.clone().unwrap())
    }

    fn changes(world: &Shared) -> [Rule; 6] {
        let start = on!(world, Client::start_logging, |world, request| {
            world.named(request.name())?;
            if world.creation == Creation::Slow {
                return Err("ConflictException");
            }
            world.start();
            Ok(StartLoggingOutput::builder().build())
        });
        let create = on!(world, Client::create_trail, |world, request| {
            world.may_pass(request.cloud_watch_logs_role_arn())?;
            let mut trail = created_by(request.clone());
            if world.creation == Creation::WithoutLogGroup {
                trail.settings.cloud_watch_logs_log_group_arn = None;
                trail.settings.cloud_watch_logs_role_arn = None;
            }
            world.created = Some(request.clone());
            if world.creation == Creation::Outrun {
                world.trail = Some(healthy());
                world.start();
            }
            if world.trail.is_some() {
                return Err("TrailAlreadyExistsException");
            }
            world.trail = Some(trail);
            Ok(CreateTrailOutput::builder().build())
        });
        let update = on!(world, Client::update_trail, |world, request| {
            world.may_pass(request.cloud_watch_logs_role_arn())?;
            let settings = &mut world.named(request.name())?.settings;
            let set = |field: &mut Option<String>, value: &Option<String>| {
                if let Some(value) = value {
                    *field = Some(value.clone()).filter(|value| !value.is_empty());
                }
            };
            let bucket = &mut settings.s3_bucket_name;
            *bucket = request.s3_bucket_name.clone().unwrap_or(bucket.clone());
            let multi_region = &mut settings.is_multi_region_trail;
            *multi_region = request.is_multi_region_trail.unwrap_or(*multi_region);
            set(&mut settings.s3_key_prefix, &request.s3_key_prefix);
            set(&mut settings.kms_key_id, &request.kms_key_id);
            set(
                &mut settings.cloud_watch_logs_log_group_arn,
                &request.cloud_watch_logs_log_group_arn,
            );
            set(
                &mut settings.cloud_watch_logs_role_arn,
                &request.cloud_watch_logs_role_arn,
            );
            world.updated = Some(request.clone());
            Ok(UpdateTrailOutput::builder().build())
        });
        let selectors = on!(world, Client::put_event_selectors, |world, request| {
            let trail = world.named(request.trail_name())?;
            trail.event_selectors = healthy().event_selectors;
            if let Some(advanced) = &request.advanced_event_selectors {
                assert_eq!(request.event_selectors, None, "never both");
                assert_eq!(advanced.as_slice(), [only_management()]);
                trail.event_selectors = advanced_selectors();
            } else {
                assert_eq!(request.event_selectors, trail.event_selectors.basic());
            }
            Ok(PutEventSelectorsOutput::builder().build())
        });
        let insights = on!(world, Client::put_insight_selectors, |world, request| {
            let insights = request.insight_selectors().iter().cloned();
            world.named(request.trail_name())?.insight_selectors =
                Some(insights.map(<_>::from).collect());
            Ok(PutInsightSelectorsOutput::builder().build())
        });
        let tags = on!(world, Client::add_tags, |world, request| {
            let trail = world.named(request.resource_id())?;
            trail.tags.extend(request.tags_list().iter().map(pair));
            Ok(AddTagsOutput::builder().build())
        });
        [start, create, update, selectors, insights, tags]
    }

    fn only_management() -> AdvancedEventSelector {
        let field = AdvancedFieldSelector::builder()
            .field("eventCategory")
            .equals("Management");
        AdvancedEventSelector::builder()
            .field_selectors(field.build().unwrap())
            .build()
            .unwrap()
    }

    fn advanced_selectors() -> EventSelectors {
        EventSelectors::Advanced(BTreeSet::from([only_management().into()]))
    }

    fn ledger(world: &Shared) -> Ledger {
        fn pk(key: Option<&HashMap<String, AttributeValue>>) -> String {
            key.unwrap()["pk"].as_s().unwrap().clone()
        }
        let get = on!(world, DynamoDb::get_item, |world, request| {
            let item = world.items.get(&pk(request.key())).cloned();
            Ok(GetItemOutput::builder().set_item(item).build())
        });
        let hold = on!(world, DynamoDb::update_item, |world, request| {
            let values = request.expression_attribute_values().unwrap();
            let item = world.items.entry(pk(request.key())).or_default();
            if request.update_expression().unwrap().starts_with("DELETE") {
                item.insert(
                    "incidents".to_owned(),
                    AttributeValue::Ss(vec!["i-2".to_owned()]),
                );
            } else {
                item.entry("original".to_owned())
                    .or_insert(values[":original"].clone());
                item.entry("incidents".to_owned())
                    .or_insert(values[":incident"].clone());
            }
            Ok(UpdateItemOutput::builder()
                .set_attributes(Some(item.clone()))
                .build())
        });
        let forget = on!(world, DynamoDb::delete_item, |world, request| {
            world.items.remove(&pk(request.key()));
            Ok(DeleteItemOutput::builder().build())
        });
        let client = mock_client!(
            aws_sdk_dynamodb,
            RuleMode::MatchAny,
            [&get, &hold, &forget],
            |config| config.retry_config(RetryConfig::disabled())
        );
        Ledger::new(client, "ledger")
    }

    async fn run_with(world: &Shared, payload: Value) -> Result<Done, Failure> {
        let now = {
            let mut world = world.lock().unwrap();
            world.calls.clear();
            world.now()
        };
        let worker = RestoreCloudTrail {
            cloudtrail: cloudtrail(world),
            ledger: ledger(world),
            now,
        };
        let done = answer(&worker, &payload).await?;
        Ok(serde_json::from_value(done).unwrap())
    }

    async fn run(world: &Shared) -> Result<Done, Failure> {
        run_with(world, json!({"incidentId": "i-1", "trailArn": ARN})).await
    }

    async fn run_again(world: &Shared) -> Result<Done, Failure> {
        world.lock().unwrap().later = true;
        run(world).await
    }

    async fn rehearse(world: &Shared) -> Result<Done, Failure> {
        let before = world.lock().unwrap().trail.clone();
        let payload = json!({"incidentId": "i-1", "trailArn": ARN, "dryRun": true});
        let done = run_with(world, payload).await;
        assert_eq!(writes(world), [""; 0]);
        assert_eq!(world.lock().unwrap().trail, before);
        done
    }

    async fn undo(world: &Shared) -> Result<Done, Failure> {
        run_with(
            world,
            json!({"incidentId": "i-1", "trailArn": ARN, "undo": true}),
        )
        .await
    }

    /// The calls that may change something, in order.
    fn writes(world: &Shared) -> Vec<&'static str> {
        let world = world.lock().unwrap();
        let calls = world.calls.iter().map(|(call, _)| *call);
        calls
            .filter(|call| {
                !call.starts_with("get_") && !["list_tags", "describe_trails"].contains(call)
            })
            .collect()
    }

    /// When a call was made, each time.
    fn at(world: &Shared, wanted: &str) -> Vec<Instant> {
        let world = world.lock().unwrap();
        let calls = world.calls.iter().filter(|(call, _)| *call == wanted);
        calls.map(|(_, at)| *at).collect()
    }

    fn first_call(world: &Shared) -> &'static str {
        world.lock().unwrap().calls[0].0
    }

    fn trail_of(world: &Shared) -> Trail {
        world.lock().unwrap().trail.clone().unwrap()
    }

    fn original(world: &Shared) -> Value {
        let world = world.lock().unwrap();
        serde_json::from_str(world.items[HOLD]["original"].as_s().unwrap()).unwrap()
    }

    fn is_logging(world: &Shared) -> bool {
        world.lock().unwrap().logging
    }

    #[tokio::test]
    async fn a_stopped_trail_is_started_before_anything_else() {
        let world = world(Some(healthy()));
        let done = run(&world).await.unwrap();
        assert_eq!(first_call(&world), "start_logging");
        assert_eq!(writes(&world), ["start_logging"]);
        assert!(done.changed && is_logging(&world));
        insta::assert_snapshot!(done.summary, @"trail main was started (it was last stopped at 2026-11-25T09:58:03Z); it is as recorded");

        let again = run_again(&world).await.unwrap();
        assert_eq!(writes(&world), ["start_logging"]);
        assert!(!again.changed);
        insta::assert_snapshot!(again.summary, @"trail main was logging already; it is as recorded");
    }

    #[test]
    fn the_status_tells_whether_this_call_started_the_trail() {
        let status = |is_logging, started: &str, stopped: Option<&str>, delivered: bool| Status {
            is_logging,
            started_at: Some(started.parse().unwrap()),
            stopped_at: stopped.map(|at| at.parse().unwrap()),
            delivered_at: delivered.then(now),
            delivery_error: None,
            logs_delivery_error: None,
        };
        let (old, new) = ("2026-11-24T00:00:00Z", "2026-11-25T10:00:00Z");
        for (expected, status, why) in [
            (
                true,
                status(true, new, Some(old), true),
                "stopped, and started now",
            ),
            (
                false,
                status(true, old, None, true),
                "logging since yesterday",
            ),
            (
                false,
                status(true, "2026-11-25T09:59:59Z", Some(old), true),
                "two runs at once",
            ),
            (
                true,
                status(false, old, Some(new), true),
                "the status lags behind",
            ),
            (
                false,
                status(true, new, None, true),
                "never stopped, dated anew",
            ),
            (
                true,
                status(true, new, None, false),
                "new, and never started before",
            ),
        ] {
            assert_eq!(started(&status, now()), expected, "{why}");
        }
    }

    #[tokio::test]
    async fn whatever_was_changed_is_put_back_and_its_state_before_is_held() {
        let world = logging(tampered());
        let done = run(&world).await.unwrap();
        assert_eq!(first_call(&world), "start_logging");
        assert_eq!(
            writes(&world),
            [
                "start_logging",
                "update_item",
                "update_trail",
                "put_event_selectors",
                "put_insight_selectors"
            ]
        );
        assert_eq!(trail_of(&world), healthy());
        assert_eq!(
            original(&world),
            json!({"existed": true, "trail": tampered()})
        );
        insta::assert_snapshot!(done.summary, @"trail main was logging already; put back: isMultiRegionTrail, kmsKeyId, s3BucketName, eventSelectors, insightSelectors");
        assert!(done.changed && done.undo.is_empty() && done.left.is_empty());

        let again = run_again(&world).await.unwrap();
        assert_eq!(writes(&world), ["start_logging"]);
        assert!(!again.changed);
    }

    #[tokio::test]
    async fn what_the_baseline_has_not_is_cleared_and_what_is_as_it_was_is_not_sent() {
        let world = logging(tampered());
        // Not what differs, so it does not come into it.
        world.lock().unwrap().refuses_role = Some("AccessDeniedException");
        run(&world).await.unwrap();
        let updated = world.lock().unwrap().updated.clone().unwrap();
        let expected = UpdateTrailInput::builder()
            .name(ARN)
            .s3_bucket_name("logs")
            .is_multi_region_trail(true)
            .kms_key_id("");
        assert_eq!(updated, expected.build().unwrap());
    }

    #[tokio::test]
    async fn a_log_group_and_its_role_are_sent_together() {
        let mut tampered = healthy();
        tampered.settings.cloud_watch_logs_log_group_arn = Some("arn:aws:logs:mine".to_owned());
        let world = logging(tampered);
        run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());
        let updated = world.lock().unwrap().updated.clone().unwrap();
        let settings = healthy().settings;
        let expected = UpdateTrailInput::builder()
            .name(ARN)
            .set_cloud_watch_logs_log_group_arn(settings.cloud_watch_logs_log_group_arn)
            .set_cloud_watch_logs_role_arn(settings.cloud_watch_logs_role_arn);
        assert_eq!(updated, expected.build().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_together_is_put_back_part_by_part_a_second_apart() {
        let mut changed = tampered();
        changed.settings.cloud_watch_logs_log_group_arn = None;
        changed.settings.cloud_watch_logs_role_arn = None;
        let world = logging(changed);
        world.lock().unwrap().refuses_role = Some("AccessDeniedException");
        let failure = run(&world).await.unwrap_err();
        let mut expected = healthy();
        expected.settings.cloud_watch_logs_log_group_arn = None;
        expected.settings.cloud_watch_logs_role_arn = None;
        assert_eq!(trail_of(&world), expected);
        assert_eq!(failure.name(), "AccessDenied");
        insta::assert_snapshot!(failure, @"trail main was logging already; put back: isMultiRegionTrail, s3BucketName, kmsKeyId, eventSelectors, insightSelectors; failed: cloudtrail:UpdateTrail: AccessDeniedException: what AWS said");
        let updates = at(&world, "update_trail");
        assert_eq!(updates.len(), 4);
        assert!(updates.windows(2).all(|pair| pair[1] - pair[0] >= PACE));
    }

    #[tokio::test]
    async fn advanced_selectors_are_put_back_alone() {
        let mut baseline = healthy();
        baseline.event_selectors = advanced_selectors();
        let mut narrowed = healthy();
        narrowed.event_selectors = serde_json::from_value(json!({"basic": [
            {"excludeManagementEventSources": ["kms.amazonaws.com"]}
        ]}))
        .unwrap();
        let world = logging(narrowed);
        record(&world, Some(&baseline));
        run(&world).await.unwrap();
        assert_eq!(trail_of(&world), baseline);
    }

    async fn assert_left_alone(trail: Trail, world: &Shared) {
        let done = run(world).await.unwrap();
        assert_eq!(writes(world), ["start_logging"]);
        assert_eq!(trail_of(world), trail);
        assert!(!done.changed && done.left.is_empty());
        let said = "trail main is logging; it is as recorded";
        assert_eq!(rehearse(world).await.unwrap().summary, said);
    }

    #[tokio::test]
    async fn an_intended_change_that_was_recorded_first_is_left_alone() {
        let world = logging(intended());
        intend(&world, &intended());
        assert_left_alone(intended(), &world).await;
    }

    #[tokio::test]
    async fn an_intended_change_that_is_half_made_is_left_alone() {
        let mut half = healthy();
        half.settings.s3_bucket_name = "new".to_owned();
        let world = logging(half.clone());
        intend(&world, &intended());
        assert_left_alone(half, &world).await;
    }

    #[tokio::test]
    async fn an_intended_change_that_is_not_made_yet_is_not_made_here() {
        let world = logging(healthy());
        intend(&world, &intended());
        assert_left_alone(healthy(), &world).await;
    }

    #[tokio::test]
    async fn a_change_beyond_baseline_and_intent_goes_back_to_the_baseline_alone() {
        let mut beyond = intended();
        beyond.settings.kms_key_id = Some("arn:aws:kms:eu-west-1:666666666666:key/k".to_owned());
        let world = logging(beyond);
        intend(&world, &intended());
        let said = rehearse(&world).await.unwrap().summary;
        assert_eq!(said, "trail main is logging; would be put back: kmsKeyId");
        let done = run(&world).await.unwrap();
        let mut expected = intended();
        expected.settings.kms_key_id = None;
        assert_eq!(trail_of(&world), expected);
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"trail main was logging already; put back: kmsKeyId");
    }

    #[tokio::test]
    async fn hardening_is_left_alone() {
        let mut weak = healthy();
        weak.settings.is_multi_region_trail = false;
        weak.settings.log_file_validation_enabled = false;
        weak.event_selectors = EventSelectors::everything_managed();
        weak.insight_selectors = Some(BTreeSet::new());
        let world = logging(healthy());
        record(&world, Some(&weak));
        assert_left_alone(healthy(), &world).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_trail_gets_its_baseline_and_not_what_was_intended() {
        let world = world(None);
        intend(&world, &intended());
        run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());
    }

    #[tokio::test]
    async fn insights_that_cannot_be_read_are_left_to_a_human() {
        let mut unknown = healthy();
        unknown.insight_selectors = None;
        let world = logging(unknown);
        let left = ["its insight selectors cannot be read and were not compared with the baseline"];
        let done = run(&world).await.unwrap();
        assert!(!done.changed);
        assert_eq!(done.left, left);
        assert_eq!(writes(&world), ["start_logging"]);
        assert_eq!(rehearse(&world).await.unwrap().left, left);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_trail_is_recreated_equal_to_its_baseline_and_started() {
        let world = world(None);
        let done = run(&world).await.unwrap();
        assert_eq!(
            writes(&world),
            [
                "start_logging",
                "update_item",
                "create_trail",
                "start_logging",
                "put_event_selectors",
                "put_insight_selectors"
            ]
        );
        assert_eq!(trail_of(&world), healthy());
        assert!(is_logging(&world) && done.changed);
        assert_eq!(original(&world), json!({"existed": false}));
        insta::assert_snapshot!(done.summary, @"trail main was deleted and is recreated from its baseline; logs again; put back: eventSelectors, insightSelectors");
        let created = world.lock().unwrap().created.clone().unwrap();
        assert_eq!(created.name(), Some("main"));
        assert_eq!(
            created.cloud_watch_logs_role_arn(),
            Some("arn:aws:iam::123456789012:role/trail")
        );
        assert_eq!(created.tags_list()[0].key(), "owner");
    }

    #[tokio::test(start_paused = true)]
    async fn start_logging_is_called_once_a_second_and_the_reads_do_not_wait() {
        let world = world(None);
        run(&world).await.unwrap();
        let starts = at(&world, "start_logging");
        assert_eq!(starts.len(), 2);
        assert!(starts[1] - starts[0] >= PACE);
        assert_eq!(at(&world, "get_event_selectors"), [starts[0]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_creation_dropped_is_put_back() {
        let world = world(None);
        world.lock().unwrap().creation = Creation::WithoutLogGroup;
        let done = run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());
        insta::assert_snapshot!(done.summary, @"trail main was deleted and is recreated from its baseline; logs again; put back: cloudWatchLogsLogGroupArn, cloudWatchLogsRoleArn, eventSelectors, insightSelectors");
    }

    #[tokio::test(start_paused = true)]
    async fn a_creation_that_is_refused_is_tried_with_the_essentials_and_reported() {
        let mut baseline = healthy();
        baseline.settings.kms_key_id = Some("arn:aws:kms:eu-west-1:123456789012:key/k".to_owned());
        for (code, name) in [
            ("AccessDeniedException", "AccessDenied"),
            ("InvalidCloudWatchLogsLogGroupArnException", "Rejected"),
            ("ThrottlingException", "Transient"),
        ] {
            let world = world(None);
            record(&world, Some(&baseline));
            world.lock().unwrap().refuses_role = Some(code);
            let failure = run(&world).await.unwrap_err();
            assert_eq!(failure.name(), name, "{code}");
            assert!(is_logging(&world), "{code}");
            let created = world.lock().unwrap().created.clone().unwrap();
            let essentials = CreateTrailInput::builder()
                .name("main")
                .s3_bucket_name("logs")
                .s3_key_prefix("crm")
                .include_global_service_events(true)
                .is_multi_region_trail(true)
                .enable_log_file_validation(true)
                .is_organization_trail(false);
            assert_eq!(created, essentials.build().unwrap());

            if name != "Transient" {
                let mut expected = baseline.clone();
                expected.settings.cloud_watch_logs_log_group_arn = None;
                expected.settings.cloud_watch_logs_role_arn = None;
                assert_eq!(trail_of(&world), expected, "{code}");
            }
            if code == "AccessDeniedException" {
                insta::assert_snapshot!(failure, @"trail main was deleted and is recreated with the essentials only; logs again; put back: kmsKeyId, eventSelectors, insightSelectors, tags; failed: cloudtrail:CreateTrail: AccessDeniedException: what AWS said; cloudtrail:UpdateTrail: AccessDeniedException: what AWS said");
            }

            world.lock().unwrap().refuses_role = None;
            run(&world).await.unwrap();
            assert_eq!(trail_of(&world), baseline, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_creation_is_forgotten_once_everything_is_put_back() {
        let world = world(None);
        world.lock().unwrap().refuses_role = Some("InvalidCloudWatchLogsRoleArnException");
        world.lock().unwrap().refuses_once = true;
        let done = run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());
        insta::assert_snapshot!(done.summary, @"trail main was deleted and is recreated with the essentials only; logs again; put back: cloudWatchLogsLogGroupArn, cloudWatchLogsRoleArn, eventSelectors, insightSelectors, tags");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_trail_that_cannot_be_started_yet_is_left_to_a_retry_and_told_so() {
        let world = world(None);
        world.lock().unwrap().creation = Creation::Slow;
        let failure = run(&world).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(trail_of(&world), healthy());
        insta::assert_snapshot!(failure, @"trail main was deleted and is recreated from its baseline; may not be logging; put back: eventSelectors, insightSelectors; failed: cloudtrail:StartLogging: ConflictException: what AWS said");

        world.lock().unwrap().creation = Creation::Whole;
        assert!(run(&world).await.unwrap().changed && is_logging(&world));
        assert_eq!(writes(&world), ["start_logging"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_trail_that_cannot_be_read_gets_its_selectors_all_the_same() {
        let world = world(None);
        refuse(&world, &[("get_trail", "TrailNotFoundException")]);
        run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());

        let world = self::world(None);
        refuse(&world, &[("list_tags", "AccessDeniedException")]);
        let failure = run(&world).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        assert_eq!(trail_of(&world), healthy());
    }

    #[tokio::test]
    async fn an_earlier_run_that_got_no_further_than_the_creation_is_finished() {
        let world = world(Some(as_created(&healthy())));
        {
            let mut world = world.lock().unwrap();
            world.stopped_at = None;
            world.trail.as_mut().unwrap().insight_selectors = Some(BTreeSet::new());
        }
        let done = run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());
        assert!(is_logging(&world) && done.changed);
        insta::assert_snapshot!(done.summary, @"trail main logs now; put back: eventSelectors, insightSelectors");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_runs_at_once_the_slower_one_goes_on_with_the_others_trail() {
        let world = world(None);
        world.lock().unwrap().creation = Creation::Outrun;
        let done = run(&world).await.unwrap();
        assert_eq!(
            writes(&world),
            [
                "start_logging",
                "update_item",
                "create_trail",
                "start_logging"
            ]
        );
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"trail main was deleted and recreated by another run; logs again");
    }

    #[tokio::test]
    async fn without_a_baseline_a_trail_is_only_started() {
        let world = world(Some(tampered()));
        record(&world, None);
        let done = run(&world).await.unwrap();
        assert_eq!(writes(&world), ["start_logging"]);
        assert_eq!(trail_of(&world), tampered());
        assert_eq!(
            done.left,
            [
                "no baseline is recorded, so its settings could not be compared: check them, then start the record-baseline runbook"
            ]
        );
        insta::assert_snapshot!(done.summary, @"trail main was started (it was last stopped at 2026-11-25T09:58:03Z); no baseline is recorded, so its settings could not be compared: check them, then start the record-baseline runbook");
    }

    #[tokio::test]
    async fn without_a_baseline_a_deleted_trail_is_reported() {
        let world = world(None);
        record(&world, None);
        let failure = run(&world).await.unwrap_err();
        assert_eq!(writes(&world), ["start_logging"]);
        assert_eq!(failure.name(), "TargetNotFound");
        insta::assert_snapshot!(failure, @"trail main does not exist and no baseline of it is recorded: create it by hand from what the CreateTrail and PutEventSelectors events in CloudTrail's event history say, then start the record-baseline runbook");
    }

    #[tokio::test]
    async fn without_the_ledger_a_trail_is_started() {
        let world = world(Some(tampered()));
        refuse(&world, &[("get_item", "ResourceNotFoundException")]);
        let done = run(&world).await.unwrap();
        assert!(done.changed && is_logging(&world));
        insta::assert_snapshot!(done.left.join("\n"), @"its settings were not compared with the baseline (dynamodb:GetItem: ResourceNotFoundException: what AWS said)");
        insta::assert_snapshot!(done.summary, @"trail main was started (it was last stopped at 2026-11-25T09:58:03Z); its settings were not compared with the baseline (dynamodb:GetItem: ResourceNotFoundException: what AWS said)");
    }

    #[tokio::test]
    async fn without_the_ledger_a_deleted_trail_fails_as_the_ledger_does() {
        let world = world(None);
        refuse(&world, &[("get_item", "ThrottlingException")]);
        let failure = run(&world).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        insta::assert_snapshot!(failure, @"trail main is deleted and its baseline was not read: dynamodb:GetItem: ThrottlingException: what AWS said");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_that_the_ledger_does_not_take_is_handed_over() {
        let refuses = [("update_item", "ResourceNotFoundException")];
        let world = logging(tampered());
        refuse(&world, &refuses);
        let done = run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());
        assert_eq!(
            done.undo[0].original,
            json!({"existed": true, "trail": tampered()})
        );

        let world = self::world(None);
        refuse(&world, &refuses);
        let done = run(&world).await.unwrap();
        assert_eq!(trail_of(&world), healthy());
        assert_eq!(done.undo.len(), 1);
        assert_eq!(done.undo[0].original, json!({"existed": false}));

        let world = logging(tampered());
        refuse(
            &world,
            &[refuses[0], ("update_trail", "AccessDeniedException")],
        );
        let done = run(&world).await.unwrap();
        assert_eq!(done.undo.len(), 1);
        insta::assert_snapshot!(done.left.join("\n"), @"cloudtrail:UpdateTrail: AccessDeniedException: what AWS said");
    }

    #[tokio::test]
    async fn a_baseline_that_cannot_be_read_is_as_good_as_none() {
        let world = logging(tampered());
        let item = HashMap::from([("baseline".to_owned(), AttributeValue::S("{}".to_owned()))]);
        world
            .lock()
            .unwrap()
            .items
            .insert(BASELINE.to_owned(), item);
        let done = run(&world).await.unwrap();
        assert_eq!(done.left.len(), 1);
        insta::assert_snapshot!(done.summary, @"trail main was logging already; its settings were not compared with the baseline (the baseline of the trail is not readable: missing field `name` at line 1 column 2; record it anew)");
    }

    #[tokio::test]
    async fn the_call_is_repeated_in_the_home_region() {
        let world = world(Some(healthy()));
        let payload = json!({"incidentId": "i-1", "trailArn": MISTAKEN});
        let done = run_with(&world, payload.clone()).await.unwrap();
        assert_eq!(first_call(&world), "start_logging");
        assert_eq!(writes(&world), ["start_logging"; 2]);
        assert!(done.changed && is_logging(&world));

        refuse(&world, &[("start_logging", "InvalidHomeRegionException")]);
        let failure = run_with(&world, payload.clone()).await.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
        insta::assert_snapshot!(failure, @"trail main is logging; it is as recorded; failed: cloudtrail:StartLogging: the trail's home is another region, and cloudtrail:DescribeTrails does not say which");

        refuse(&world, &[("describe_trails", "AccessDeniedException")]);
        let failure = run_with(&world, payload).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
    }

    #[tokio::test]
    async fn a_step_that_fails_stops_no_other_and_the_failure_says_that_logging_is_on() {
        let world = world(Some(tampered()));
        refuse(&world, &[("put_event_selectors", "AccessDeniedException")]);
        let failure = run(&world).await.unwrap_err();
        let mut expected = healthy();
        expected.event_selectors = EventSelectors::everything_managed();
        assert_eq!(trail_of(&world), expected);
        assert_eq!(failure.name(), "AccessDenied");
        insta::assert_snapshot!(failure, @"trail main was started (it was last stopped at 2026-11-25T09:58:03Z); put back: isMultiRegionTrail, kmsKeyId, s3BucketName, insightSelectors; failed: cloudtrail:PutEventSelectors: AccessDeniedException: what AWS said");
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_failures_the_transient_one_decides_since_a_retry_helps() {
        let world = logging(tampered());
        refuse(
            &world,
            &[
                ("update_trail", "InsufficientS3BucketPolicyException"),
                ("put_event_selectors", "ThrottlingException"),
                ("put_insight_selectors", "ConflictException"),
            ],
        );
        let failure = run(&world).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        insta::assert_snapshot!(failure, @"trail main was logging already; failed: cloudtrail:UpdateTrail: InsufficientS3BucketPolicyException: what AWS said; cloudtrail:PutEventSelectors: ThrottlingException: what AWS said; cloudtrail:PutInsightSelectors: ConflictException: what AWS said");

        refuse(&world, &[]);
        assert!(run(&world).await.unwrap().changed);
        assert_eq!(trail_of(&world), healthy());
    }

    #[tokio::test]
    async fn a_start_that_is_refused_is_reported_after_everything_else_was_done() {
        let world = world(Some(tampered()));
        refuse(&world, &[("start_logging", "ThrottlingException")]);
        let failure = run(&world).await.unwrap_err();
        assert_eq!(trail_of(&world), healthy());
        assert_eq!(failure.name(), "Transient");
        insta::assert_snapshot!(failure, @"trail main may not be logging; put back: isMultiRegionTrail, kmsKeyId, s3BucketName, eventSelectors, insightSelectors; failed: cloudtrail:StartLogging: ThrottlingException: what AWS said");

        let world = logging(healthy());
        refuse(&world, &[("start_logging", "AccessDeniedException")]);
        let failure = run(&world).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        insta::assert_snapshot!(failure, @"trail main is logging; it is as recorded; failed: cloudtrail:StartLogging: AccessDeniedException: what AWS said");
    }

    #[tokio::test]
    async fn a_state_that_cannot_be_read_is_a_failure_with_logging_on() {
        for (call, code, name) in [
            ("get_trail_status", "AccessDeniedException", "AccessDenied"),
            ("get_trail", "ThrottlingException", "Transient"),
            ("get_trail", "TrailNotFoundException", "Transient"),
        ] {
            let world = world(Some(healthy()));
            refuse(&world, &[(call, code)]);
            let failure = run(&world).await.unwrap_err();
            assert_eq!(failure.name(), name, "{call}");
            let message = failure.to_string();
            assert!(
                message.contains("was started") || message.contains("logs now"),
                "{message}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trail_that_cannot_be_recreated_is_reported() {
        let world = world(None);
        refuse(
            &world,
            &[("create_trail", "MaximumNumberOfTrailsExceededException")],
        );
        let failure = run(&world).await.unwrap_err();
        assert_eq!(
            writes(&world),
            [
                "start_logging",
                "update_item",
                "create_trail",
                "create_trail"
            ]
        );
        assert_eq!(failure.name(), "Rejected");
        insta::assert_snapshot!(failure, @"trail main is deleted and was not recreated: cloudtrail:CreateTrail: MaximumNumberOfTrailsExceededException: what AWS said");
    }

    #[tokio::test]
    async fn a_rehearsal_says_what_would_be_done() {
        let said = async |world: Shared| rehearse(&world).await.unwrap().summary;
        insta::assert_snapshot!(said(world(Some(healthy()))).await, @"trail main is stopped and would be started; it is as recorded");
        insta::assert_snapshot!(said(logging(tampered())).await, @"trail main is logging; would be put back: isMultiRegionTrail, kmsKeyId, s3BucketName, eventSelectors, insightSelectors");
        insta::assert_snapshot!(said(world(None)).await, @"trail main is deleted; it would be recreated from its baseline and started");
        let unrecorded = logging(healthy());
        record(&unrecorded, None);
        assert_eq!(
            rehearse(&unrecorded).await.unwrap().left,
            [
                "no baseline is recorded, so its settings could not be compared: check them, then start the record-baseline runbook"
            ]
        );
        insta::assert_snapshot!(said(unrecorded).await, @"trail main is logging; no baseline is recorded, so its settings could not be compared: check them, then start the record-baseline runbook");
        let done = rehearse(&logging(tampered())).await.unwrap();
        assert!(!done.changed && done.left.is_empty());
    }

    #[tokio::test]
    async fn a_rehearsal_fails_where_the_run_would() {
        let gone = world(None);
        record(&gone, None);
        assert_eq!(rehearse(&gone).await.unwrap_err().name(), "TargetNotFound");
        let barred = logging(healthy());
        refuse(&barred, &[("get_trail", "AccessDeniedException")]);
        assert_eq!(rehearse(&barred).await.unwrap_err().name(), "AccessDenied");
    }

    #[tokio::test(start_paused = true)]
    async fn an_undo_lets_go_and_leaves_the_trail_as_it_is() {
        let world = world(None);
        run(&world).await.unwrap();
        let done = undo(&world).await.unwrap();
        assert_eq!(writes(&world), ["delete_item"]);
        assert!(!done.changed && is_logging(&world));
        assert_eq!(trail_of(&world), healthy());
        insta::assert_snapshot!(done.summary, @"trail main is left as it is; it did not exist before, and only an operator may delete it: aws cloudtrail delete-trail --name arn:aws:cloudtrail:eu-west-1:123456789012:trail/main --region eu-west-1");
        insta::assert_snapshot!(undo(&world).await.unwrap().summary, @"trail main is left as it is; this incident does not hold it");

        let world = logging(tampered());
        run(&world).await.unwrap();
        insta::assert_snapshot!(undo(&world).await.unwrap().summary, @"trail main is left as it is; what was put back stays; an operator who intends another state records it as such with the record-baseline runbook, then changes the trail");
    }

    #[tokio::test]
    async fn an_undo_lets_go_of_its_own_incident_only() {
        let world = logging(tampered());
        run(&world).await.unwrap();
        let both = AttributeValue::Ss(vec!["i-1".to_owned(), "i-2".to_owned()]);
        let held = HashMap::from([("incidents".to_owned(), both)]);
        world
            .lock()
            .unwrap()
            .items
            .get_mut(HOLD)
            .unwrap()
            .extend(held);
        let done = undo(&world).await.unwrap();
        assert_eq!(writes(&world), ["update_item"]);
        insta::assert_snapshot!(done.summary, @"trail main is left as it is; other incidents still hold it");
    }

    #[tokio::test]
    async fn an_undo_takes_what_the_ledger_could_not_record() {
        let world = logging(healthy());
        let hold = |mechanism: &str| json!({"resource": ARN, "mechanism": mechanism, "original": {"existed": false}});
        let with = async |hold: Value| {
            let payload = json!({
                "incidentId": "i-1", "trailArn": ARN, "undo": true, "holds": [hold]
            });
            run_with(&world, payload).await.unwrap().summary
        };
        insta::assert_snapshot!(with(hold(MECHANISM)).await, @"trail main is left as it is; it did not exist before, and only an operator may delete it: aws cloudtrail delete-trail --name arn:aws:cloudtrail:eu-west-1:123456789012:trail/main --region eu-west-1");
        insta::assert_snapshot!(with(hold("other")).await, @"trail main is left as it is; this incident does not hold it");
        // The last one only asked the ledger who else holds the trail.
        let calls: Vec<_> = world
            .lock()
            .unwrap()
            .calls
            .iter()
            .map(|(call, _)| *call)
            .collect();
        assert_eq!(calls, ["get_item"]);
    }

    #[tokio::test]
    async fn an_undo_by_its_payload_leaves_what_another_incident_holds() {
        let world = logging(tampered());
        run(&world).await.unwrap();
        let payload = json!({
            "incidentId": "i-2", "trailArn": ARN, "undo": true,
            "holds": [{"resource": ARN, "mechanism": MECHANISM, "original": {"existed": false}}],
        });
        let done = run_with(&world, payload).await.unwrap();
        insta::assert_snapshot!(done.summary, @"trail main is left as it is; other incidents still hold it");
    }

    #[tokio::test]
    async fn an_undo_can_be_rehearsed_and_fails_without_the_ledger() {
        let world = logging(tampered());
        run(&world).await.unwrap();
        let payload = json!({"incidentId": "i-1", "trailArn": ARN, "undo": true, "dryRun": true});
        run_with(&world, payload).await.unwrap();
        assert_eq!(writes(&world), [""; 0]);
        assert_eq!(original(&world)["existed"], true);

        refuse(&world, &[("get_item", "ThrottlingException")]);
        assert_eq!(undo(&world).await.unwrap_err().name(), "Transient");
    }

    #[tokio::test]
    async fn bad_input_is_refused_by_field() {
        let world = world(Some(healthy()));
        let payload = json!({"incidentId": "i-1", "trailArn": "main"});
        let failure = run_with(&world, payload).await.unwrap_err();
        insta::assert_snapshot!(failure, @"`trailArn`: expected an ARN like arn:partition:service:region:account:resource");
        assert_eq!(world.lock().unwrap().calls, []);
    }
}
