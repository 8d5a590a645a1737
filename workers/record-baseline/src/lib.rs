//! Records what a healthy trail and its log archive look like, so that they can be restored.
//!
//! **Act.** An operator runs it after deployment, and around every change that is intended. The
//! trail, its health and its log archive are read, and what they are becomes the baseline in the
//! ledger. Refused with every reason ([`Failure::Rejected`]) is
//!
//! - a trail that is not healthy, and an archive that CloudTrail cannot write to or that forgets
//!   too early: whoever tampers with them must not be able to make that the baseline;
//! - a trail that writes to CloudWatch Logs by a role that `restore-cloudtrail` may not pass, since
//!   the baseline would promise what it could not keep;
//! - an archive that is not the trail's own, by the names that the template takes. What no name is
//!   given of is not guarded; the answer says so;
//! - a request that no run of the `record-baseline` state machine makes, which is under way and was
//!   started with it: starting that is watched, and invoking this worker's function is not.
//!
//! **An intended change** is recorded before it is made: `intended` holds the fields that will
//! change, named as in the baseline, and what they may become. From then on each of them may be
//! either. A bucket, key, topic or log group that it names must be this account's, unless the
//! baseline has it already. Once the change is made, a run without `intended` makes the result the baseline. A
//! change that is not recorded first is taken for tampering and put back. A move to another bucket,
//! key or log group ends with its name in the template's parameter.
//!
//! **Undo.** None: put right what is wrong and record it again.
//!
//! **Calls.** `cloudtrail:GetTrail`, `GetEventSelectors`, `GetInsightSelectors`, `ListTags`,
//! `GetTrailStatus` in the trail's home region and by its full ARN; those of
//! [`log_archive::read`]; `s3:GetBucketLocation` on a bucket that is intended;
//! `states:DescribeExecution` on the run; `dynamodb:GetItem`, `PutItem`.
//!
//! **A second run** finds everything recorded as it is and writes nothing. After one that came to
//! recording the archive only it records the trail. Unlike containment, this worker fails without
//! the ledger: recording is its whole job.

mod button;
mod destinations;
mod intended;

pub use intended::Intended;

use aws_config::SdkConfig;
use aws_sdk_cloudtrail::Client;
use incident::{Arn, IncidentId, Recorded, Settings, Text, TrailArn};
use jiff::Timestamp;
use ledger::{Ledger, Part};
use log_archive::{Archive, Names, Versioning, Watched};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trail::Trail;
use worker::{Failure, Worker};

use intended::merged;

/// Which trail is recorded, and on whose word.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The name of the execution that records it.
    pub incident_id: IncidentId,
    /// That execution.
    pub execution_arn: Arn,
    /// The trail.
    pub trail_arn: TrailArn,
    /// What the operator wrote.
    pub request: Request,
}

/// The runbook's own input, checked here so that a mistake is told by field.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Why it is recorded now.
    pub reason: Text<1000>,
    /// What will be changed next, so that it is not taken for tampering.
    #[serde(default)]
    pub intended: Intended,
    /// Whether to say what would be recorded and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was recorded.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether another thing is recorded now; false for "already so" and for a dry run.
    pub changed: bool,
    /// What is in the baseline and what is new about it, in one sentence for people.
    pub summary: String,
}

/// The worker.
#[derive(Debug)]
pub struct RecordBaseline {
    cloudtrail: Client,
    archive: log_archive::Clients,
    states: aws_sdk_sfn::Client,
    names: Names,
    ledger: Ledger,
    /// How the ARN of every run of our state machine begins.
    executions: String,
    /// The role that a recreated trail can be given.
    logs_role: Option<Arn>,
    now: fn() -> Timestamp,
}

impl RecordBaseline {
    /// Reads the settings `LEDGER_TABLE`, `STACK_NAME`, `ACCOUNT_ID`, `AWS_REGION`, `PARTITION`,
    /// those of [`Names`] and, where there is one, `TRAIL_LOGS_ROLE_ARN`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let (settings, config) = (Settings::from_env(), worker::CONTROL.on(config));
        Ok(Self {
            cloudtrail: Client::new(&config),
            archive: log_archive::Clients::new(&config),
            states: aws_sdk_sfn::Client::new(&config),
            executions: button::executions(&settings)?,
            names: Names::from_settings(&settings)?,
            ledger: Ledger::from_settings(&config, &settings)?,
            logs_role: settings.optional("TRAIL_LOGS_ROLE_ARN")?,
            now: Timestamp::now,
        })
    }
}

impl Worker for RecordBaseline {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        self.is_asked_by_a_run(&input).await?;
        let (trail, archive) = self.look(&input).await?;
        let name = input.trail_arn.name();
        let described = self.described(&trail.now, &archive.now);
        if trail.is_recorded() && archive.is_recorded() {
            return Ok(Output {
                changed: false,
                summary: format!("trail {name} is recorded already: {described}"),
            });
        }
        let changed = !input.request.dry_run;
        if changed {
            let now = (self.now)();
            self.record(&input, Part::Archive, &archive, now).await?;
            self.record(&input, Part::Trail, &trail, now).await?;
        }
        let would_be = if changed { "is" } else { "would be" };
        Ok(Output {
            changed,
            summary: format!(
                "trail {name} {would_be} recorded ({}): {described}; {}",
                input.request.reason,
                news(&trail, &archive),
            ),
        })
    }
}

impl RecordBaseline {
    /// What there is to record, once nothing speaks against it.
    async fn look(&self, input: &Input) -> Result<(Candidate<Trail>, Candidate<Archive>), Failure> {
        let (arn, name) = (&input.trail_arn, input.trail_arn.name());
        let client = trail::client_for(&self.cloudtrail, arn);
        let (trail, archive, trail_before, archive_before) = tokio::join!(
            Box::pin(trail::read(&client, arn)),
            Box::pin(log_archive::read(&self.archive, &self.names)),
            self.ledger.recorded(arn, Part::Trail),
            self.ledger.recorded(arn, Part::Archive),
        );
        let Some(trail) = trail? else {
            return Err(Failure::TargetNotFound(format!(
                "there is no trail {arn}: a baseline is taken of a trail that exists"
            )));
        };
        let mut ill = trail::health(&client, arn, &trail).await?;
        ill.extend(self.unrestorable(&trail));
        ill.extend(self.parts(&trail).iter().filter_map(ArchivePart::foreign));
        if let Ok(archive) = &archive {
            ill.extend(self.unusable(archive));
            ill.extend(
                archive
                    .archive
                    .health(self.written_by(arn, &trail), (self.now)()),
            );
        }
        if !ill.is_empty() {
            return Err(Failure::Rejected(format!(
                "trail {name} is not healthy and was not recorded: {}",
                ill.join("; ")
            )));
        }
        let archive = archive?.archive;
        let changes = &input.request.intended;
        let intended_trail = merged(&trail, "trail", &changes.trail)?;
        let intended_archive = merged(&archive, "archive", &changes.archive)?;
        let mut ill: Vec<_> = intended_trail.iter().flat_map(trail::blind_spots).collect();
        let writer = intended_trail.as_ref().unwrap_or(&trail);
        ill.extend(
            intended_archive
                .iter()
                .flat_map(|archive| archive.health(self.written_by(arn, writer), (self.now)())),
        );
        if !ill.is_empty() {
            return Err(Failure::Rejected(format!(
                "trail {name} would not be healthy by what is intended, and nothing was recorded: {}",
                ill.join("; ")
            )));
        }
        let trail = Candidate::new(trail, intended_trail, trail_before)?;
        let archive = Candidate::new(archive, intended_archive, archive_before)?;
        let strangers = self.strangers(&trail, &archive).await?;
        if !strangers.is_empty() {
            return Err(Failure::Rejected(format!(
                "trail {name} would send its logs elsewhere by what is intended, and nothing was \
                 recorded: {}; where they are to leave this account all the same, make the change \
                 while Mode is observe, then record the baseline",
                strangers.join("; ")
            )));
        }
        Ok((trail, archive))
    }

    /// What is watched, as `trail` writes there.
    fn written_by<'a>(&'a self, arn: &'a TrailArn, trail: &'a Trail) -> Watched<'a> {
        let prefix = trail.settings.s3_key_prefix.as_deref();
        self.names.of(arn).under(prefix.unwrap_or_default())
    }

    async fn record<T>(
        &self,
        input: &Input,
        part: Part,
        found: &Candidate<T>,
        now: Timestamp,
    ) -> Result<(), Failure>
    where
        T: PartialEq + Serialize,
    {
        if found.is_recorded() {
            return Ok(());
        }
        let by = input.execution_arn.as_str();
        self.ledger
            .record(&input.trail_arn, part, &found.now, by, now)
            .await
    }

    /// Why a deleted trail could not be made like this one again.
    fn unrestorable(&self, trail: &Trail) -> Option<String> {
        let role = trail.settings.cloud_watch_logs_role_arn.as_deref()?;
        (self.logs_role.as_ref().map(Arn::as_str) != Some(role)).then(|| {
            format!(
                "it writes to CloudWatch Logs by {role}, which could not be given to it again after a \
                 deletion: set the template's parameter TrailLogsRoleArn to that role"
            )
        })
    }

    fn parts(&self, trail: &Trail) -> [ArchivePart; 3] {
        let (names, settings) = (&self.names, &trail.settings);
        let log_group = settings.cloud_watch_logs_log_group_arn.as_deref();
        [
            ArchivePart {
                what: "bucket",
                parameter: "TrailBucketName",
                given: names.bucket.clone(),
                own: Some(settings.s3_bucket_name.clone()),
            },
            ArchivePart {
                what: "key",
                parameter: "TrailKeyArn",
                given: names.key.as_ref().map(ToString::to_string),
                own: settings.kms_key_id.clone(),
            },
            ArchivePart {
                what: "log group",
                parameter: "TrailLogGroupName",
                given: names.log_group.clone(),
                own: log_group.and_then(log_group_name),
            },
        ]
    }

    /// What of the archive is gone, switched off, or cannot be read.
    fn unusable(&self, found: &log_archive::Found) -> Vec<String> {
        let deviations = found.deviations(&found.archive, &self.names, (self.now)());
        let deviations = deviations.into_iter();
        deviations.map(|deviation| deviation.what).collect()
    }

    /// What is in a baseline, as far as people should read it; health has seen to the rest.
    fn described(&self, trail: &Recorded<Trail>, archive: &Recorded<Archive>) -> String {
        let mut parts = vec![described(&trail.baseline)];
        parts.extend(kept(&archive.baseline, (self.now)()));
        let archive_parts = self.parts(&trail.baseline);
        parts.extend(archive_parts.iter().filter_map(ArchivePart::unguarded));
        let intended = [intended_fields(trail), intended_fields(archive)].concat();
        if !intended.is_empty() {
            parts.push(format!("may change: {}", intended.join(", ")));
        }
        parts.join("; ")
    }
}

/// A part of the archive, by the template and by the trail.
struct ArchivePart {
    what: &'static str,
    /// The template's parameter that names it.
    parameter: &'static str,
    given: Option<String>,
    own: Option<String>,
}

impl ArchivePart {
    /// That the template takes another one for the trail's.
    fn foreign(&self) -> Option<String> {
        let given = self.given.as_deref()?;
        let own = self.own.as_deref().unwrap_or("none");
        let (what, parameter) = (self.what, self.parameter);
        (own != given).then(|| {
            format!("its {what} is {own}, and the template's parameter {parameter} is {given}")
        })
    }

    /// That the template was not told of the trail's.
    fn unguarded(&self) -> Option<String> {
        let (what, parameter) = (self.what, self.parameter);
        (self.given.is_none() && self.own.is_some())
            .then(|| format!("its {what} is not guarded, as {parameter} is not set"))
    }
}

/// One part: what there is to record, and what the ledger has.
struct Candidate<T> {
    now: Recorded<T>,
    before: Result<Option<Recorded<T>>, Unreadable>,
}

/// The ledger has something that is no baseline.
struct Unreadable;

impl<T> Candidate<T> {
    fn new(
        now: T,
        intended: Option<T>,
        before: Result<Option<Recorded<T>>, Failure>,
    ) -> Result<Self, Failure> {
        let before = match before {
            Ok(before) => Ok(before),
            Err(Failure::Rejected(_)) => Err(Unreadable),
            Err(failure) => return Err(failure),
        };
        Ok(Self {
            now: Recorded {
                baseline: now,
                intended,
            },
            before,
        })
    }
}

impl<T: PartialEq + Serialize> Candidate<T> {
    fn is_recorded(&self) -> bool {
        matches!(&self.before, Ok(Some(before)) if *before == self.now)
    }

    fn is_first(&self) -> bool {
        matches!(self.before, Ok(None))
    }

    /// What is new about the baseline of `part`, by field.
    fn news(&self, part: &str) -> Vec<String> {
        match &self.before {
            Ok(Some(before)) => differing(&before.baseline, &self.now.baseline),
            Ok(None) => vec![format!("the whole {part}")],
            Err(Unreadable) => vec![format!("the whole {part}, which was not readable")],
        }
    }
}

fn news(trail: &Candidate<Trail>, archive: &Candidate<Archive>) -> String {
    if trail.is_first() && archive.is_first() {
        return "it is the first baseline".to_owned();
    }
    let news = [trail.news("trail"), archive.news("log archive")].concat();
    if news.is_empty() {
        return "the baseline is as before".to_owned();
    }
    format!("new since the one before: {}", news.join(", "))
}

fn intended_fields<T: Serialize>(recorded: &Recorded<T>) -> Vec<String> {
    let intended = recorded.intended.as_ref();
    intended.map_or_else(Vec::new, |intended| differing(&recorded.baseline, intended))
}

/// The fields that differ: their values may be what nobody should read in a message.
fn differing<T: Serialize>(one: &T, other: &T) -> Vec<String> {
    let (one, other) = (fields(one), fields(other));
    let changed = other
        .into_iter()
        .filter(|(name, value)| one.get(name) != Some(value));
    changed.map(|(name, _)| name).collect()
}

fn fields(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// What matters to people about a trail.
fn described(trail: &Trail) -> String {
    let settings = &trail.settings;
    let prefix = settings.s3_key_prefix.as_deref().unwrap_or_default();
    let insights = match &trail.insight_selectors {
        None => "insight selectors that cannot be read here and will not be restored".to_owned(),
        Some(selectors) if selectors.is_empty() => "no insight selectors".to_owned(),
        Some(selectors) => {
            let kinds: Vec<_> = selectors.iter().map(|s| s.insight_type.as_str()).collect();
            format!("insights by {}", kinds.join(" and "))
        }
    };
    format!(
        "all regions to s3://{}/{prefix}, {}, {insights}",
        settings.s3_bucket_name, trail.event_selectors
    )
}

/// How long an archive keeps what it gets.
fn kept(archive: &Archive, now: Timestamp) -> Option<String> {
    archive.bucket.as_ref()?;
    let for_long = match archive.bucket_lifecycle.earliest_expiry_days(now) {
        Some(days) => format!("log files are kept {days} days"),
        None => "log files never expire".to_owned(),
    };
    Some(match archive.bucket_versioning {
        Versioning::Enabled => for_long,
        Versioning::Suspended | Versioning::Off => {
            format!("{for_long} but are not versioned, so one that is deleted is gone")
        }
    })
}

/// The name in `arn:aws:logs:<region>:<account>:log-group:<name>:*`.
fn log_group_name(arn: &str) -> Option<String> {
    let name = arn.split(':').nth(6)?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet, HashMap},
        sync::{Arc, Mutex},
    };

    use aws_sdk_cloudtrail::{
        config::{http::HttpResponse, retry::RetryConfig},
        operation::{
            get_event_selectors::GetEventSelectorsOutput,
            get_insight_selectors::GetInsightSelectorsOutput, get_trail::GetTrailOutput,
            get_trail_status::GetTrailStatusOutput, list_tags::ListTagsOutput,
        },
        types,
    };
    use aws_sdk_cloudwatchlogs::{
        Client as Logs, operation::describe_log_groups::DescribeLogGroupsOutput, types::LogGroup,
    };
    use aws_sdk_dynamodb::{
        Client as DynamoDb,
        operation::{get_item::GetItemOutput, put_item::PutItemOutput},
        types::AttributeValue,
    };
    use aws_sdk_kms::{
        Client as Kms,
        operation::{describe_key::DescribeKeyOutput, get_key_policy::GetKeyPolicyOutput},
        types::{KeyMetadata, KeyState},
    };
    use aws_sdk_s3::{
        Client as S3,
        operation::{
            get_bucket_encryption::GetBucketEncryptionOutput,
            get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput,
            get_bucket_location::GetBucketLocationOutput, get_bucket_policy::GetBucketPolicyOutput,
            get_bucket_versioning::GetBucketVersioningOutput,
        },
        types::{
            BucketVersioningStatus, ExpirationStatus, LifecycleExpiration, LifecycleRule,
            LifecycleRuleFilter,
        },
    };
    use aws_sdk_sfn::{
        Client as StepFunctions, operation::describe_execution::DescribeExecutionOutput,
        primitives::DateTime, types::ExecutionStatus,
    };
    use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
    use serde_json::json;
    use trail::EventSelectors;
    use worker::answer;

    use super::*;

    const ARN: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main";
    const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555";
    const LOG_GROUP: &str = "arn:aws:logs:eu-west-1:123456789012:log-group:trail:*";
    const ROLE: &str = "arn:aws:iam::123456789012:role/trail";
    const RUN: &str =
        "arn:aws:states:eu-west-1:123456789012:execution:guard-record-baseline:first-baseline";

    fn now() -> Timestamp {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    fn healthy() -> Trail {
        Trail {
            name: "main".to_owned(),
            settings: settings(types::Trail::builder()),
            event_selectors: EventSelectors::everything_managed(),
            insight_selectors: Some(BTreeSet::new()),
            tags: BTreeMap::new(),
        }
    }

    fn settings(trail: types::builders::TrailBuilder) -> trail::Settings {
        trail
            .s3_bucket_name("logs")
            .include_global_service_events(true)
            .is_multi_region_trail(true)
            .log_file_validation_enabled(true)
            .build()
            .into()
    }

    type Item = HashMap<String, AttributeValue>;

    /// The bucket of the log files, as AWS knows it.
    struct Bucket {
        policy: Value,
        versioning: Option<BucketVersioningStatus>,
        expires_after_days: Option<i32>,
    }

    impl Default for Bucket {
        fn default() -> Self {
            Self {
                policy: writable(),
                versioning: Some(BucketVersioningStatus::Enabled),
                expires_after_days: None,
            }
        }
    }

    fn writable() -> Value {
        writable_bucket("logs")
    }

    fn writable_bucket(name: &str) -> Value {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
             "Action": "s3:GetBucketAcl", "Resource": format!("arn:aws:s3:::{name}")},
            {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
             "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::{name}/*")}
        ]})
    }

    fn encrypting() -> Value {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
             "Action": ["kms:GenerateDataKey*", "kms:DescribeKey"], "Resource": "*"}
        ]})
    }

    /// What AWS answers: the error code of each call that is refused, a trail, its log archive, and
    /// what the ledger holds of each part, and the run that asks.
    struct World {
        trail: Trail,
        logging: bool,
        bucket: Bucket,
        key_policy: Value,
        key_state: KeyState,
        names: Names,
        refuses: HashMap<&'static str, &'static str>,
        ledger: Arc<Mutex<HashMap<String, Item>>>,
        logs_role: Option<Arn>,
        run: Run,
    }

    /// The run that asks.
    struct Run {
        arn: &'static str,
        status: ExecutionStatus,
        /// What it was started with, where that is not what the worker is given.
        input: Option<String>,
    }

    impl Default for World {
        fn default() -> Self {
            Self {
                trail: healthy(),
                logging: true,
                bucket: Bucket::default(),
                key_policy: encrypting(),
                key_state: KeyState::Enabled,
                names: names(None, None, None),
                refuses: HashMap::new(),
                ledger: Arc::default(),
                logs_role: None,
                run: Run {
                    arn: RUN,
                    status: ExecutionStatus::Running,
                    input: None,
                },
            }
        }
    }

    fn names(bucket: Option<&str>, key: Option<&str>, log_group: Option<&str>) -> Names {
        Names {
            account: "123456789012".to_owned(),
            bucket: bucket.map(str::to_owned),
            key: key.map(|key| key.parse().unwrap()),
            log_group: log_group.map(str::to_owned),
            min_retention_days: 365,
        }
    }

    impl World {
        fn refusing(refuses: &[(&'static str, &'static str)]) -> Self {
            Self {
                refuses: refuses.iter().copied().collect(),
                ..Self::default()
            }
        }

        /// With a bucket, a key and a log group, which the template knows.
        fn guarded() -> Self {
            let mut world = Self {
                names: names(Some("logs"), Some(KEY), Some("trail")),
                logs_role: Some(ROLE.parse().unwrap()),
                ..Self::default()
            };
            let settings = &mut world.trail.settings;
            settings.kms_key_id = Some(KEY.to_owned());
            settings.cloud_watch_logs_log_group_arn = Some(LOG_GROUP.to_owned());
            settings.cloud_watch_logs_role_arn = Some(ROLE.to_owned());
            world
        }

        fn has(self, part: &str, baseline: &str) -> Self {
            let json = AttributeValue::S(baseline.to_owned());
            let item = HashMap::from([("baseline".to_owned(), json)]);
            self.ledger.lock().unwrap().insert(part.to_owned(), item);
            self
        }

        fn recorded(&self, part: &str, attribute: &str) -> Option<Value> {
            let ledger = self.ledger.lock().unwrap();
            let json = ledger.get(part)?.get(attribute)?.as_s().unwrap();
            Some(serde_json::from_str(json).unwrap())
        }

        fn answer<O, E>(&self, call: &str, output: O) -> impl Fn() -> MockResponse<O, E> + use<O, E>
        where
            O: Clone,
        {
            let by_s3 = call.contains("Bucket");
            let refusal = self.refuses.get(call).copied();
            move || match refusal {
                Some(code) if by_s3 => MockResponse::Http(refused_by_s3(code)),
                Some(code) => MockResponse::Http(refused(code)),
                None => MockResponse::Output(output.clone()),
            }
        }

        fn cloudtrail(&self) -> Client {
            let settings = self.trail.settings.clone();
            let trail = types::Trail::builder()
                .s3_bucket_name(settings.s3_bucket_name)
                .set_s3_key_prefix(settings.s3_key_prefix)
                .include_global_service_events(settings.include_global_service_events)
                .is_multi_region_trail(settings.is_multi_region_trail)
                .log_file_validation_enabled(settings.log_file_validation_enabled)
                .set_kms_key_id(settings.kms_key_id)
                .set_cloud_watch_logs_log_group_arn(settings.cloud_watch_logs_log_group_arn)
                .set_cloud_watch_logs_role_arn(settings.cloud_watch_logs_role_arn);
            let trail = GetTrailOutput::builder().trail(trail.build()).build();
            let get = self.answer("GetTrail", trail);
            let get = mock!(Client::get_trail)
                .match_requests(|request| request.name() == Some(ARN))
                .then_compute_response(move |_| get());
            let selectors = GetEventSelectorsOutput::builder()
                .set_event_selectors(self.trail.event_selectors.basic())
                .build();
            let selectors = self.answer("GetEventSelectors", selectors);
            let selectors =
                mock!(Client::get_event_selectors).then_compute_response(move |_| selectors());
            let insights = self.trail.insight_selectors.iter().flatten();
            let insights = GetInsightSelectorsOutput::builder()
                .set_insight_selectors(Some(insights.map(trail::InsightSelector::to_sdk).collect()))
                .build();
            let insights = self.answer("GetInsightSelectors", insights);
            let insights =
                mock!(Client::get_insight_selectors).then_compute_response(move |_| insights());
            let tags = self.answer("ListTags", ListTagsOutput::builder().build());
            let tags = mock!(Client::list_tags).then_compute_response(move |_| tags());
            let status = GetTrailStatusOutput::builder()
                .is_logging(self.logging)
                .build();
            let status = self.answer("GetTrailStatus", status);
            let status = mock!(Client::get_trail_status).then_compute_response(move |_| status());
            mock_client!(
                aws_sdk_cloudtrail,
                RuleMode::MatchAny,
                [&get, &selectors, &insights, &tags, &status],
                |config| config.retry_config(RetryConfig::disabled())
            )
        }

        fn archive(&self) -> log_archive::Clients {
            log_archive::Clients {
                s3: self.s3(),
                kms: self.kms(),
                logs: self.logs(),
            }
        }

        fn s3(&self) -> S3 {
            let location = GetBucketLocationOutput::builder().build();
            let location = self.answer("GetBucketLocation", location);
            let location = mock!(S3::get_bucket_location)
                .match_requests(|request| request.expected_bucket_owner() == Some("123456789012"))
                .then_compute_response(move |_| location());
            let policy = GetBucketPolicyOutput::builder().policy(self.bucket.policy.to_string());
            let policy = self.answer("GetBucketPolicy", policy.build());
            let policy = mock!(S3::get_bucket_policy).then_compute_response(move |_| policy());
            let versioning = GetBucketVersioningOutput::builder()
                .set_status(self.bucket.versioning.clone())
                .build();
            let versioning = self.answer("GetBucketVersioning", versioning);
            let versioning =
                mock!(S3::get_bucket_versioning).then_compute_response(move |_| versioning());
            let expiry = self.bucket.expires_after_days;
            let rules = expiry.map(|days| {
                let rule = LifecycleRule::builder()
                    .id("expire")
                    .status(ExpirationStatus::Enabled)
                    .filter(LifecycleRuleFilter::builder().prefix("").build())
                    .expiration(LifecycleExpiration::builder().days(days).build());
                vec![rule.build().unwrap()]
            });
            let lifecycle = GetBucketLifecycleConfigurationOutput::builder()
                .set_rules(rules)
                .build();
            let lifecycle = self.answer("GetBucketLifecycleConfiguration", lifecycle);
            let lifecycle = mock!(S3::get_bucket_lifecycle_configuration)
                .then_compute_response(move |_| lifecycle());
            let encryption = GetBucketEncryptionOutput::builder().build();
            let encryption = self.answer("GetBucketEncryption", encryption);
            let encryption =
                mock!(S3::get_bucket_encryption).then_compute_response(move |_| encryption());
            mock_client!(
                aws_sdk_s3,
                RuleMode::MatchAny,
                [&location, &policy, &versioning, &lifecycle, &encryption],
                |config| config.retry_config(RetryConfig::disabled())
            )
        }

        fn kms(&self) -> Kms {
            let key = KeyMetadata::builder()
                .key_id("k")
                .arn(KEY)
                .enabled(self.key_state == KeyState::Enabled)
                .key_state(self.key_state.clone())
                .build()
                .unwrap();
            let key = DescribeKeyOutput::builder().key_metadata(key).build();
            let key = self.answer("DescribeKey", key);
            let key = mock!(Kms::describe_key).then_compute_response(move |_| key());
            let policy = GetKeyPolicyOutput::builder().policy(self.key_policy.to_string());
            let policy = self.answer("GetKeyPolicy", policy.build());
            let policy = mock!(Kms::get_key_policy).then_compute_response(move |_| policy());
            mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&key, &policy], |config| {
                config.retry_config(RetryConfig::disabled())
            })
        }

        fn logs(&self) -> Logs {
            let group = LogGroup::builder().log_group_name("trail").arn(LOG_GROUP);
            let groups = DescribeLogGroupsOutput::builder()
                .log_groups(group.retention_in_days(400).build())
                .build();
            let groups = self.answer("DescribeLogGroups", groups);
            let groups = mock!(Logs::describe_log_groups).then_compute_response(move |_| groups());
            mock_client!(
                aws_sdk_cloudwatchlogs,
                RuleMode::MatchAny,
                [&groups],
                |config| config.retry_config(RetryConfig::disabled())
            )
        }

        /// The ledger, and the rule for what is written to it.
        fn ledger(&self) -> (Ledger, Rule) {
            let (items, refused_call) = (Arc::clone(&self.ledger), self.refuses.clone());
            let get = mock!(DynamoDb::get_item).then_compute_response(move |request| {
                if let Some(code) = refused_call.get("GetItem") {
                    return MockResponse::Http(refused(code));
                }
                let part = request.key().unwrap()["sk"].as_s().unwrap();
                let item = items.lock().unwrap().get(part).cloned();
                MockResponse::Output(GetItemOutput::builder().set_item(item).build())
            });
            let (items, refused_call) = (Arc::clone(&self.ledger), self.refuses.clone());
            let put = mock!(DynamoDb::put_item).then_compute_response(move |request| {
                let item = request.item().unwrap();
                let text = |name: &str| item[name].as_s().unwrap().as_str();
                let by = (text("recordedBy"), text("recordedAt"));
                assert_eq!(by, (RUN, "2026-11-25T10:00:00Z"));
                assert_eq!(text("pk"), format!("baseline#{ARN}"));
                let part = text("sk");
                let call = format!("PutItem {part}");
                if let Some(code) = refused_call.get(call.as_str()) {
                    return MockResponse::Http(refused(code));
                }
                items.lock().unwrap().insert(part.to_owned(), item.clone());
                MockResponse::Output(PutItemOutput::builder().build())
            });
            let client = mock_client!(
                aws_sdk_dynamodb,
                RuleMode::MatchAny,
                [&get, &put],
                |config| config.retry_config(RetryConfig::disabled())
            );
            (Ledger::new(client, "ledger"), put)
        }

        fn states(&self, request: &Value) -> StepFunctions {
            let input = self.run.input.clone();
            let run = DescribeExecutionOutput::builder()
                .execution_arn(RUN)
                .state_machine_arn("m")
                .start_date(DateTime::from_secs(0))
                .status(self.run.status.clone())
                .input(input.unwrap_or_else(|| request.to_string()))
                .build()
                .unwrap();
            let run = self.answer("DescribeExecution", run);
            let run = mock!(StepFunctions::describe_execution)
                .match_requests(|request| request.execution_arn() == Some(RUN))
                .then_compute_response(move |_| run());
            mock_client!(aws_sdk_sfn, RuleMode::MatchAny, [&run], |config| config
                .retry_config(RetryConfig::disabled()))
        }

        /// The answer or failure, and how many items were written.
        async fn run(&self, request: Value) -> (Result<Output, Failure>, usize) {
            let (ledger, put) = self.ledger();
            let worker = RecordBaseline {
                cloudtrail: self.cloudtrail(),
                archive: self.archive(),
                states: self.states(&request),
                executions: button::executions(&Settings::new(deployed)).unwrap(),
                names: self.names.clone(),
                ledger,
                logs_role: self.logs_role.clone(),
                now,
            };
            let payload = json!({
                "incidentId": "first-baseline", "executionArn": self.run.arn, "trailArn": ARN,
                "request": request
            });
            let answered = Box::pin(answer(&worker, &payload)).await;
            let output = answered.map(|output| Output {
                changed: output["changed"].as_bool().unwrap(),
                summary: output["summary"].as_str().unwrap().to_owned(),
            });
            (output, put.num_calls())
        }

        async fn record(&self) -> (Result<Output, Failure>, usize) {
            self.run(json!({"reason": "first deployment"})).await
        }
    }

    fn deployed(name: &str) -> Option<String> {
        let value = match name {
            "PARTITION" => "aws",
            "AWS_REGION" => "eu-west-1",
            "ACCOUNT_ID" => "123456789012",
            "STACK_NAME" => "guard",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn refused(code: &str) -> HttpResponse {
        let body = format!(r#"{{"__type":"{code}","message":"what AWS said"}}"#);
        HttpResponse::new(400.try_into().unwrap(), body.into())
    }

    /// S3 speaks XML.
    fn refused_by_s3(code: &str) -> HttpResponse {
        let body = format!("<Error><Code>{code}</Code><Message>what AWS said</Message></Error>");
        HttpResponse::new(400.try_into().unwrap(), body.into())
    }

    async fn refusal(world: World) -> String {
        let (output, written) = world.record().await;
        let failure = output.unwrap_err();
        assert_eq!((failure.name(), written), ("Rejected", 0));
        failure.to_string()
    }

    async fn summary(world: &World) -> String {
        let (output, written) = world.record().await;
        let output = output.unwrap();
        assert_eq!((output.changed, written), (true, 2));
        output.summary
    }

    #[tokio::test]
    async fn a_healthy_trail_and_its_archive_become_the_baseline() {
        let world = World::guarded();
        insta::assert_snapshot!(summary(&world).await, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, no insight selectors; log files never expire; it is the first baseline");
        let trail = serde_json::to_value(&world.trail).unwrap();
        assert_eq!(world.recorded("trail", "baseline"), Some(trail));
        let archive = world.recorded("archive", "baseline").unwrap();
        assert_eq!(archive["bucket"], "logs");
        assert_eq!(archive["bucketPolicy"], writable());
        assert_eq!(archive["keyPolicy"], encrypting());
        assert_eq!(archive["logRetentionDays"], 400);
        assert_eq!(world.recorded("archive", "intended"), None);
    }

    #[tokio::test]
    async fn a_baseline_that_is_as_everything_is_stays() {
        let world = World::guarded();
        world.record().await.0.unwrap();
        let (output, written) = world.record().await;
        let output = output.unwrap();
        assert!(!output.changed);
        assert_eq!(written, 0);
        insta::assert_snapshot!(output.summary, @"trail main is recorded already: all regions to s3://logs/, 1 basic event selector, no insight selectors; log files never expire");
    }

    #[tokio::test]
    async fn a_run_that_came_to_the_archive_only_is_finished_by_the_next() {
        let mut world = World::guarded();
        world.refuses = HashMap::from([("PutItem trail", "ThrottlingException")]);
        let (output, _) = world.record().await;
        assert_eq!(output.unwrap_err().name(), "Transient");
        assert!(world.recorded("archive", "baseline").is_some());
        assert_eq!(world.recorded("trail", "baseline"), None);

        world.refuses.clear();
        let (output, written) = world.record().await;
        assert!(output.unwrap().changed);
        assert_eq!(written, 1);
        assert!(world.recorded("trail", "baseline").is_some());
    }

    #[tokio::test]
    async fn what_is_new_is_named_by_field_without_its_value() {
        let mut world = World::guarded();
        world.record().await.0.unwrap();
        world.trail.settings.s3_key_prefix = Some("crm".to_owned());
        let rate = types::InsightType::ApiCallRateInsight;
        let insight = types::InsightSelector::builder().insight_type(rate).build();
        world.trail.insight_selectors = Some(BTreeSet::from([insight.into()]));
        let statement = json!({"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:user/eve"},
                               "Action": "s3:*", "Resource": "arn:aws:s3:::logs/*"});
        let statements = world.bucket.policy["Statement"].as_array_mut().unwrap();
        statements.push(statement);
        insta::assert_snapshot!(summary(&world).await, @"trail main is recorded (first deployment): all regions to s3://logs/crm, 1 basic event selector, insights by ApiCallRateInsight; log files never expire; new since the one before: s3KeyPrefix, insightSelectors, bucketPolicy");
    }

    #[tokio::test]
    async fn what_the_template_does_not_name_is_said_not_to_be_guarded() {
        let mut world = World::guarded();
        world.names = names(None, None, None);
        insta::assert_snapshot!(summary(&world).await, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, no insight selectors; its bucket is not guarded, as TrailBucketName is not set; its key is not guarded, as TrailKeyArn is not set; its log group is not guarded, as TrailLogGroupName is not set; it is the first baseline");
    }

    #[tokio::test]
    async fn an_archive_that_is_not_the_trails_own_is_refused() {
        let key = "arn:aws:kms:eu-west-1:123456789012:key/other";
        let mut world = World::guarded();
        world.names = names(Some("attic"), Some(key), Some("crm"));
        // Nobody can look into what is not there, and nobody needs to.
        world.refuses.insert("DescribeKey", "NotFoundException");
        insta::assert_snapshot!(refusal(world).await, @"trail main is not healthy and was not recorded: its bucket is logs, and the template's parameter TrailBucketName is attic; its key is arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555, and the template's parameter TrailKeyArn is arn:aws:kms:eu-west-1:123456789012:key/other; its log group is trail, and the template's parameter TrailLogGroupName is crm; the trail's key is gone; the trail's log group crm is gone; the policy of the log bucket does not let CloudTrail write");

        let world = World {
            names: names(Some("logs"), Some(KEY), None),
            ..World::default()
        };
        insta::assert_snapshot!(refusal(world).await, @"trail main is not healthy and was not recorded: its key is none, and the template's parameter TrailKeyArn is arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555");
    }

    #[tokio::test]
    async fn an_archive_that_is_ill_is_refused_with_every_reason() {
        let mut world = World::guarded();
        world.bucket.policy = json!({"Version": "2012-10-17", "Statement": []});
        world.bucket.expires_after_days = Some(30);
        world.key_policy = json!({"Version": "2012-10-17", "Statement": []});
        world.key_state = KeyState::Disabled;
        insta::assert_snapshot!(refusal(world).await, @"trail main is not healthy and was not recorded: the trail's key is disabled; the policy of the log bucket does not let CloudTrail write; the lifecycle of the log bucket expires log files after 30 days, and they are to be kept 365; the policy of the trail's key does not let CloudTrail encrypt");

        let mut world = World::guarded();
        world.refuses = HashMap::from([
            ("GetBucketPolicy", "NoSuchBucket"),
            ("GetBucketVersioning", "NoSuchBucket"),
            ("GetBucketLifecycleConfiguration", "NoSuchBucket"),
            ("GetBucketEncryption", "NoSuchBucket"),
        ]);
        insta::assert_snapshot!(refusal(world).await, @"trail main is not healthy and was not recorded: the log bucket logs is gone; the policy of the log bucket does not let CloudTrail write");
    }

    #[tokio::test]
    async fn a_bucket_without_versions_is_recorded_and_said_so() {
        let mut world = World::guarded();
        world.bucket.versioning = None;
        world.bucket.expires_after_days = Some(400);
        insta::assert_snapshot!(summary(&world).await, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, no insight selectors; log files are kept 400 days but are not versioned, so one that is deleted is gone; it is the first baseline");
    }

    #[tokio::test]
    async fn an_intended_change_is_recorded_beside_what_there_is() {
        let world = World::guarded();
        let request = json!({"reason": "move", "intended": {
            "trail": {"s3BucketName": "new", "eventSelectors": {"advanced": [
                {"name": null, "fieldSelectors": [{"field": "eventCategory", "equals": ["Management"]}]}
            ]}},
            "archive": {"logRetentionDays": 500}
        }});
        let (output, written) = world.run(request.clone()).await;
        assert_eq!(written, 2);
        insta::assert_snapshot!(output.unwrap().summary, @"trail main is recorded (move): all regions to s3://logs/, 1 basic event selector, no insight selectors; log files never expire; may change: s3BucketName, eventSelectors, logRetentionDays; it is the first baseline");
        let trail = serde_json::to_value(&world.trail).unwrap();
        assert_eq!(world.recorded("trail", "baseline"), Some(trail));
        let intended = world.recorded("trail", "intended").unwrap();
        assert_eq!(intended["s3BucketName"], "new");
        assert_eq!(intended["isMultiRegionTrail"], true);
        let intended = world.recorded("archive", "intended").unwrap();
        assert_eq!(intended["logRetentionDays"], 500);

        let (output, written) = world.run(request).await;
        assert_eq!((output.unwrap().changed, written), (false, 0));

        let (output, written) = world.record().await;
        assert_eq!(written, 2);
        insta::assert_snapshot!(output.unwrap().summary, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, no insight selectors; log files never expire; the baseline is as before");
        assert_eq!(world.recorded("trail", "intended"), None);
    }

    #[tokio::test]
    async fn what_is_intended_and_already_so_is_no_change() {
        let world = World::guarded();
        let request = json!({"reason": "x", "intended": {"trail": {"s3BucketName": "logs"}}});
        world.run(request).await.0.unwrap();
        assert_eq!(world.recorded("trail", "intended"), None);
    }

    #[tokio::test]
    async fn an_intended_change_that_would_blind_the_trail_is_refused() {
        let world = World::guarded();
        let request = json!({"reason": "x", "intended": {
            "trail": {
                "isMultiRegionTrail": false,
                "eventSelectors": {"basic": [{"readWriteType": "ReadOnly"}]}
            },
            "archive": {"bucketPolicy": null, "keyPolicy": {"Statement": []}}
        }});
        let (output, written) = world.run(request).await;
        let failure = output.unwrap_err();
        assert_eq!((failure.name(), written), ("Rejected", 0));
        insta::assert_snapshot!(failure, @"trail main would not be healthy by what is intended, and nothing was recorded: no event selector takes every management write event; it records one region only; the policy of the log bucket does not let CloudTrail write; the policy of the trail's key does not let CloudTrail encrypt");
    }

    #[tokio::test]
    async fn nobody_but_a_run_of_our_own_machine_records() {
        let refused = async |run: Run| {
            let world = World {
                run,
                ..World::guarded()
            };
            let reason = refusal(world).await;
            let (why, rest) = reason.split_once(": a baseline").unwrap();
            assert_eq!(
                rest,
                " is recorded by starting the record-baseline state machine, and nothing was recorded"
            );
            why.to_owned()
        };
        let running = |arn| Run {
            arn,
            status: ExecutionStatus::Running,
            input: None,
        };
        for other in [
            "arn:aws:states:eu-west-1:123456789012:execution:guard-record-baseline:another",
            "arn:aws:states:eu-west-1:123456789012:execution:eves-record-baseline:first-baseline",
            "arn:aws:states:eu-west-1:666666666666:execution:guard-record-baseline:first-baseline",
            "arn:aws:states:us-east-1:123456789012:execution:guard-record-baseline:first-baseline",
            "arn:aws-cn:states:eu-west-1:123456789012:execution:guard-record-baseline:first-baseline",
            "arn:aws:states:eu-west-1:123456789012:express:guard-record-baseline:first-baseline:x",
        ] {
            assert_eq!(
                refused(running(other)).await,
                format!("{other} is not the run {RUN}")
            );
        }
        let over = Run {
            status: ExecutionStatus::Succeeded,
            ..running(RUN)
        };
        insta::assert_snapshot!(refused(over).await, @"arn:aws:states:eu-west-1:123456789012:execution:guard-record-baseline:first-baseline is not running, but SUCCEEDED");
        for input in [
            r#"{"reason": "another"}"#,
            r#"{"reason": "first deployment", "dryRun": true}"#,
            r#"{"reason": "first deployment", "intended": {"trail": {"s3BucketName": "eves"}}}"#,
            r#"{"reason": "first deployment", "more": 1}"#,
            "no JSON",
            "",
        ] {
            let run = Run {
                input: Some(input.to_owned()),
                ..running(RUN)
            };
            let why = refused(run).await;
            assert_eq!(why, format!("{RUN} was started with another input"));
        }
    }

    #[tokio::test]
    async fn a_run_that_cannot_be_seen_records_nothing() {
        for (code, name) in [
            ("AccessDeniedException", "AccessDenied"),
            ("ThrottlingException", "Transient"),
            ("ExecutionDoesNotExist", "Rejected"),
        ] {
            let world = World {
                refuses: HashMap::from([("DescribeExecution", code)]),
                ..World::guarded()
            };
            let (output, written) = world.record().await;
            let failure = output.unwrap_err();
            assert_eq!((failure.name(), written), (name, 0));
            let message = failure.to_string();
            assert_eq!(
                message,
                format!(
                    "whether a run asks for it is not known, and nothing was recorded: \
                     states:DescribeExecution: {code}: what AWS said"
                )
            );
        }
    }

    #[tokio::test]
    async fn an_input_that_says_the_same_in_other_words_is_the_same() {
        let mut world = World::guarded();
        world.run.input = Some(
            r#"{ "dryRun": false, "intended": {"archive": {}}, "reason": "first deployment" }"#
                .to_owned(),
        );
        assert!(world.record().await.0.unwrap().changed);
    }

    fn moving(trail: Value, archive: Value) -> Value {
        json!({"reason": "move", "intended": {"trail": trail, "archive": archive}})
    }

    #[tokio::test]
    async fn an_intended_change_keeps_the_logs_in_this_account() {
        let foreign = |arn: &str| arn.replace("123456789012", "666666666666");
        let (key, group) = (foreign(KEY), foreign(LOG_GROUP));
        let mut world = World::guarded();
        world.refuses.insert("GetBucketLocation", "AccessDenied");
        let request = moving(
            json!({
                "s3BucketName": "theirs", "kmsKeyId": key, "cloudWatchLogsLogGroupArn": group,
                "snsTopic": "arn:aws:sns:eu-west-1:666666666666:theirs",
            }),
            json!({"key": key, "bucket": "theirs", "bucketPolicy": writable_bucket("theirs")}),
        );
        let (output, written) = world.run(request).await;
        let failure = output.unwrap_err();
        assert_eq!((failure.name(), written), ("Rejected", 0));
        insta::assert_snapshot!(failure.to_string().replace("; ", "\n"), @"
        trail main would send its logs elsewhere by what is intended, and nothing was recorded: the key arn:aws:kms:eu-west-1:666666666666:key/11111111-2222-3333-4444-555555555555 is not of account 123456789012
        the topic arn:aws:sns:eu-west-1:666666666666:theirs is not of account 123456789012
        the log group arn:aws:logs:eu-west-1:666666666666:log-group:trail:* is not of account 123456789012
        the bucket theirs is not of account 123456789012, as far as can be seen (s3:GetBucketLocation: AccessDenied: what AWS said)
        where they are to leave this account all the same, make the change while Mode is observe, then record the baseline
        ");

        let alias = moving(json!({"kmsKeyId": "alias/mine"}), json!({}));
        let (output, _) = world.run(alias).await;
        let failure = output.unwrap_err().to_string();
        assert!(
            failure.contains("whose the key alias/mine is cannot be seen: write its whole ARN"),
            "{failure}"
        );

        world.refuses.insert("GetBucketLocation", "NoSuchBucket");
        let nowhere = moving(json!({"s3BucketName": "nowhere"}), json!({}));
        let (output, written) = world.run(nowhere.clone()).await;
        let failure = output.unwrap_err();
        assert_eq!((failure.name(), written), ("Rejected", 0));
        assert!(
            failure
                .to_string()
                .contains("there is no bucket nowhere, and whoever makes it would get the logs"),
            "{failure}"
        );

        world.refuses.insert("GetBucketLocation", "SlowDown");
        let (output, written) = world.run(nowhere).await;
        assert_eq!((output.unwrap_err().name(), written), ("Transient", 0));
    }

    #[tokio::test]
    async fn what_is_of_this_account_or_in_the_baseline_already_may_get_the_logs() {
        let mut world = World::guarded();
        let request = moving(
            json!({
                "s3BucketName": "new", "kmsKeyId": format!("{KEY}2"), "snsTopic": "by-name",
                "cloudWatchLogsLogGroupArn": LOG_GROUP.replace("trail", "new"),
            }),
            json!({"bucket": "new", "bucketPolicy": writable_bucket("new")}),
        );
        assert!(world.run(request).await.0.unwrap().changed);

        // Another account's bucket that was recorded before, and is written to now.
        world.names = names(None, None, None);
        world.refuses.insert("GetBucketLocation", "AccessDenied");
        world.trail.settings.s3_bucket_name = "central".to_owned();
        world.record().await.0.unwrap();
        let prefix = moving(json!({"s3KeyPrefix": "crm"}), json!({}));
        assert!(world.run(prefix).await.0.unwrap().changed);
        // And that is to be written to again.
        world.trail.settings.s3_bucket_name = "logs".to_owned();
        let back = moving(json!({"s3BucketName": "central"}), json!({}));
        assert!(world.run(back).await.0.unwrap().changed);
    }

    #[tokio::test]
    async fn insights_that_cannot_be_read_are_said() {
        let mut world =
            World::refusing(&[("GetInsightSelectors", "UnsupportedOperationException")]);
        world.trail.insight_selectors = None;
        insta::assert_snapshot!(summary(&world).await, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, insight selectors that cannot be read here and will not be restored; its bucket is not guarded, as TrailBucketName is not set; it is the first baseline");
    }

    #[tokio::test]
    async fn a_baseline_that_is_not_readable_is_replaced() {
        for broken in ["{", "{}"] {
            let world = World::default().has("trail", broken).has("archive", broken);
            let said = summary(&world).await;
            insta::allow_duplicates! {
                insta::assert_snapshot!(said, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, no insight selectors; its bucket is not guarded, as TrailBucketName is not set; new since the one before: the whole trail, which was not readable, the whole log archive, which was not readable");
            }
            let trail = serde_json::to_value(&world.trail).unwrap();
            assert_eq!(world.recorded("trail", "baseline"), Some(trail));
        }
    }

    #[tokio::test]
    async fn a_trail_that_is_not_healthy_is_refused_with_every_reason() {
        let mut world = World {
            logging: false,
            ..World::default()
        };
        world.trail.settings.is_multi_region_trail = false;
        insta::assert_snapshot!(refusal(world).await, @"trail main is not healthy and was not recorded: it is not logging; it records one region only");
    }

    #[tokio::test]
    async fn a_role_that_a_deleted_trail_could_not_be_given_again_is_refused() {
        let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
        let mut world = World::default();
        world.trail.settings.cloud_watch_logs_role_arn = Some(role("trail"));
        for given in [None, Some(role("other"))] {
            world.logs_role = given.map(|arn| arn.parse().unwrap());
            let (output, written) = world.record().await;
            let failure = output.unwrap_err();
            assert_eq!((failure.name(), written), ("Rejected", 0));
            insta::allow_duplicates! {
                insta::assert_snapshot!(failure, @"trail main is not healthy and was not recorded: it writes to CloudWatch Logs by arn:aws:iam::123456789012:role/trail, which could not be given to it again after a deletion: set the template's parameter TrailLogsRoleArn to that role");
            }
        }

        world.logs_role = Some(role("trail").parse().unwrap());
        let (output, written) = world.record().await;
        assert!(output.unwrap().changed);
        assert_eq!(written, 2);

        world.trail.settings.cloud_watch_logs_role_arn = None;
        let (output, _) = world.record().await;
        assert!(
            output.unwrap().changed,
            "a role that is given need not be used"
        );
    }

    #[tokio::test]
    async fn a_dry_run_says_what_would_be_recorded_and_writes_nothing() {
        let world = World::guarded();
        let request = json!({
            "reason": "a look", "dryRun": true, "intended": {"trail": {"s3BucketName": "new"}}
        });
        let (output, written) = world.run(request).await;
        let output = output.unwrap();
        assert!(!output.changed);
        assert_eq!(written, 0);
        insta::assert_snapshot!(output.summary, @"trail main would be recorded (a look): all regions to s3://logs/, 1 basic event selector, no insight selectors; log files never expire; may change: s3BucketName; it is the first baseline");
    }

    #[tokio::test]
    async fn what_is_missing_barred_or_throttled_fails_by_its_class() {
        for (call, code, name) in [
            ("GetTrail", "TrailNotFoundException", "TargetNotFound"),
            ("GetTrail", "AccessDeniedException", "AccessDenied"),
            ("GetEventSelectors", "ThrottlingException", "Transient"),
            ("GetTrailStatus", "ThrottlingException", "Transient"),
            ("GetItem", "AccessDeniedException", "AccessDenied"),
            ("GetItem", "ThrottlingException", "Transient"),
            // What cannot be read must not become an empty baseline.
            ("GetBucketPolicy", "AccessDenied", "Rejected"),
            ("GetBucketVersioning", "AccessDenied", "Rejected"),
            (
                "GetBucketLifecycleConfiguration",
                "AccessDenied",
                "Rejected",
            ),
            ("GetBucketEncryption", "AccessDenied", "Rejected"),
            ("GetKeyPolicy", "AccessDeniedException", "Rejected"),
            ("DescribeLogGroups", "AccessDeniedException", "Rejected"),
            ("GetBucketVersioning", "SlowDown", "Transient"),
            ("DescribeKey", "ThrottlingException", "Transient"),
        ] {
            let mut world = World::guarded();
            world.refuses.insert(call, code);
            let (output, written) = world.record().await;
            assert_eq!(output.unwrap_err().name(), name, "{call} {code}");
            assert_eq!(written, 0, "{call} {code}");
        }
        for (code, name) in [
            ("AccessDeniedException", "AccessDenied"),
            ("ResourceNotFoundException", "Rejected"),
        ] {
            let (output, written) = World::refusing(&[("PutItem archive", code)]).record().await;
            assert_eq!(
                (output.unwrap_err().name(), written),
                (name, 1),
                "the trail is not tried"
            );
        }
    }

    #[tokio::test]
    async fn a_mistake_in_the_operators_input_is_told_by_field() {
        let refusal = async |request: Value| {
            let (output, written) = World::guarded().run(request).await;
            let failure = output.unwrap_err();
            assert_eq!((failure.name(), written), ("InvalidInput", 0));
            failure.to_string()
        };
        let intended = |part: &str, field: &str, value: Value| json!({"reason": "x", "intended": {part: {field: value}}});
        insta::assert_snapshot!(refusal(json!({})).await, @"`request`: missing field `reason`");
        insta::assert_snapshot!(
            refusal(json!({"reason": "x", "dryrun": true})).await,
            @"`request.dryrun`: unknown field `dryrun`, expected one of `reason`, `intended`, `dryRun`"
        );
        insta::assert_snapshot!(
            refusal(intended("bucket", "policy", json!({}))).await,
            @"`request.intended.bucket`: unknown field `bucket`, expected `trail` or `archive`"
        );
        insta::assert_snapshot!(
            refusal(intended("trail", "bucket", json!("new"))).await,
            @"`request.intended.trail.bucket`: unknown field, expected one of `name`, `s3BucketName`, `s3KeyPrefix`, `snsTopic`, `includeGlobalServiceEvents`, `isMultiRegionTrail`, `logFileValidationEnabled`, `kmsKeyId`, `cloudWatchLogsLogGroupArn`, `cloudWatchLogsRoleArn`, `isOrganizationTrail`, `recursiveLogging`, `eventSelectors`, `insightSelectors`, `tags`"
        );
        insta::assert_snapshot!(
            refusal(intended("trail", "isMultiRegionTrail", json!("yes"))).await,
            @r#"`request.intended.trail.isMultiRegionTrail`: invalid type: string "yes", expected a boolean"#
        );
        insta::assert_snapshot!(
            refusal(intended("trail", "eventSelectors", json!({"basic": [{"readWrite": "All"}]}))).await,
            @"`request.intended.trail.eventSelectors`: unknown field `readWrite`, expected one of `readWriteType`, `includeManagementEvents`, `dataResources`, `excludeManagementEventSources`"
        );
        insta::assert_snapshot!(
            refusal(intended("archive", "logRetentionDays", json!("a year"))).await,
            @r#"`request.intended.archive.logRetentionDays`: invalid type: string "a year", expected u32"#
        );
    }
}
