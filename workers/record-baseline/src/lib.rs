//! Records what a healthy trail looks like, so that it can be restored.
//!
//! **Act.** An operator runs it after deployment, and around every change that is intended: until
//! the change is recorded, `restore-cloudtrail` takes it for tampering and puts it back. The trail
//! and its health are read, and the trail becomes the baseline in the ledger. A trail that is not
//! healthy is refused with every reason ([`Failure::Rejected`]): whoever tampers with it must not
//! be able to make that the baseline. So is one that writes to CloudWatch Logs by a role that
//! `restore-cloudtrail` may not pass, since the baseline would promise what it could not keep.
//!
//! **Undo.** None: put the trail right and record it again.
//!
//! **Calls.** `cloudtrail:GetTrail`, `GetEventSelectors`, `GetInsightSelectors`, `ListTags`,
//! `GetTrailStatus` in the trail's home region and by its full ARN; `dynamodb:GetItem`, `PutItem`.
//!
//! **A second run** finds the baseline as the trail is and writes nothing. Unlike containment,
//! this worker fails without the ledger: recording is its whole job.

use aws_config::SdkConfig;
use aws_sdk_cloudtrail::Client;
use incident::{Arn, IncidentId, Settings, Text, TrailArn};
use jiff::Timestamp;
use ledger::Ledger;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trail::Trail;
use worker::{Failure, Worker};

/// Which trail is recorded, and on whose word.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The name of the execution that records it.
    pub incident_id: IncidentId,
    /// The trail.
    pub trail_arn: TrailArn,
    /// What the operator wrote.
    pub request: Request,
}

/// The runbook's own input, checked here so that a mistake is told by field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Why it is recorded now.
    pub reason: Text<1000>,
    /// Whether to say what would be recorded and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was recorded.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether the baseline is another one now; false for "already so" and for a dry run.
    pub changed: bool,
    /// What is in the baseline and what is new about it, in one sentence for people.
    pub summary: String,
}

/// The worker.
#[derive(Debug)]
pub struct RecordBaseline {
    cloudtrail: Client,
    ledger: Ledger,
    /// The role that a recreated trail can be given.
    logs_role: Option<Arn>,
    now: fn() -> Timestamp,
}

impl RecordBaseline {
    /// Reads the settings `LEDGER_TABLE` and, where there is one, `TRAIL_LOGS_ROLE_ARN`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let (settings, config) = (Settings::from_env(), worker::CONTROL.on(config));
        Ok(Self {
            cloudtrail: Client::new(&config),
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
        self.record(&input).await
    }
}

impl RecordBaseline {
    async fn record(&self, input: &Input) -> Result<Output, Failure> {
        let (arn, name) = (&input.trail_arn, input.trail_arn.name());
        let client = trail::client_for(&self.cloudtrail, arn);
        let (trail, previous) = tokio::join!(trail::read(&client, arn), self.previous(arn));
        let Some(trail) = trail? else {
            return Err(Failure::TargetNotFound(format!(
                "there is no trail {arn}: a baseline is taken of a trail that exists"
            )));
        };
        let mut ill = trail::health(&client, arn, &trail).await?;
        ill.extend(self.unrestorable(&trail));
        if !ill.is_empty() {
            return Err(Failure::Rejected(format!(
                "trail {name} is not healthy and was not recorded: {}",
                ill.join("; ")
            )));
        }
        let previous = previous?;
        if previous.as_ref() == Some(&Previous::Known(Box::new(trail.clone()))) {
            return Ok(Output {
                changed: false,
                summary: format!("trail {name} is recorded already: {}", described(&trail)),
            });
        }
        let baseline = serde_json::to_value(&trail)
            .map_err(|error| Failure::Rejected(format!("the baseline is not JSON: {error}")))?;
        let changed = !input.request.dry_run;
        if changed {
            self.ledger
                .save_baseline(arn, &baseline, input.incident_id.as_str(), (self.now)())
                .await?;
        }
        Ok(Output {
            changed,
            summary: format!(
                "trail {name} {} ({}): {}; {}",
                if changed {
                    "is recorded"
                } else {
                    "would be recorded"
                },
                input.request.reason,
                described(&trail),
                news(&trail, previous.as_ref()),
            ),
        })
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

    async fn previous(&self, trail: &TrailArn) -> Result<Option<Previous>, Failure> {
        let previous = self.ledger.baseline(trail).await?;
        Ok(previous.map(|json| {
            serde_json::from_value(json).map_or(Previous::Unreadable, |trail| {
                Previous::Known(Box::new(trail))
            })
        }))
    }
}

/// The baseline until now.
#[derive(Debug, PartialEq, Eq)]
enum Previous {
    Known(Box<Trail>),
    Unreadable,
}

/// What matters to people about a baseline; health has seen to the rest.
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

/// What is new about a baseline, by field: values may be what nobody should read in a message.
fn news(trail: &Trail, previous: Option<&Previous>) -> String {
    let previous = match previous {
        None => return "it is the first baseline".to_owned(),
        Some(Previous::Unreadable) => return "the one before was not readable".to_owned(),
        Some(Previous::Known(previous)) => previous,
    };
    let mut fields = trail.settings.differences(&previous.settings);
    fields.extend(
        [
            (
                "eventSelectors",
                trail.event_selectors != previous.event_selectors,
            ),
            (
                "insightSelectors",
                trail.insight_selectors != previous.insight_selectors,
            ),
            ("tags", trail.tags != previous.tags),
        ]
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name.to_owned()),
    );
    format!("new since the one before: {}", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap};

    use aws_sdk_cloudtrail::{
        config::{http::HttpResponse, retry::RetryConfig},
        operation::{
            get_event_selectors::GetEventSelectorsOutput,
            get_insight_selectors::GetInsightSelectorsOutput, get_trail::GetTrailOutput,
            get_trail_status::GetTrailStatusOutput, list_tags::ListTagsOutput,
        },
        types,
    };
    use aws_sdk_dynamodb::{
        Client as DynamoDb,
        operation::{get_item::GetItemOutput, put_item::PutItemOutput},
        types::AttributeValue,
    };
    use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
    use serde_json::{Value, json};
    use trail::EventSelectors;
    use worker::answer;

    use super::*;

    const ARN: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main";

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

    /// What AWS answers: the error code of each call that is refused, and a trail.
    struct World {
        trail: Trail,
        logging: bool,
        refuses: HashMap<&'static str, &'static str>,
        baseline: Option<String>,
        logs_role: Option<Arn>,
    }

    impl Default for World {
        fn default() -> Self {
            Self {
                trail: healthy(),
                logging: true,
                refuses: HashMap::new(),
                baseline: None,
                logs_role: None,
            }
        }
    }

    impl World {
        fn refusing(call: &'static str, code: &'static str) -> Self {
            Self {
                refuses: HashMap::from([(call, code)]),
                ..Self::default()
            }
        }

        fn recorded(baseline: &Trail) -> Self {
            Self {
                baseline: Some(serde_json::to_string(baseline).unwrap()),
                ..Self::default()
            }
        }

        fn answer<O, E>(&self, call: &str, output: O) -> impl Fn() -> MockResponse<O, E> + use<O, E>
        where
            O: Clone,
        {
            let refusal = self.refuses.get(call).copied();
            move || match refusal {
                Some(code) => MockResponse::Http(refused(code)),
                None => MockResponse::Output(output.clone()),
            }
        }

        /// The answer or failure, and what was written.
        async fn run(&self, payload: Value) -> (Result<Output, Failure>, usize) {
            let settings = self.trail.settings.clone();
            let trail = types::Trail::builder()
                .s3_bucket_name(settings.s3_bucket_name)
                .set_s3_key_prefix(settings.s3_key_prefix)
                .include_global_service_events(settings.include_global_service_events)
                .is_multi_region_trail(settings.is_multi_region_trail)
                .log_file_validation_enabled(settings.log_file_validation_enabled)
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
            let cloudtrail = mock_client!(
                aws_sdk_cloudtrail,
                RuleMode::MatchAny,
                [&get, &selectors, &insights, &tags, &status],
                |config| config.retry_config(RetryConfig::disabled())
            );

            let baseline = self.baseline.clone().map(AttributeValue::S);
            let item = baseline.map(|json| HashMap::from([("baseline".to_owned(), json)]));
            let item = self.answer("GetItem", GetItemOutput::builder().set_item(item).build());
            let item = mock!(DynamoDb::get_item).then_compute_response(move |_| item());
            let put: Rule = {
                let put = self.answer("PutItem", PutItemOutput::builder().build());
                let expected = serde_json::to_value(&self.trail).unwrap();
                mock!(DynamoDb::put_item)
                    .match_requests(move |request| {
                        let item = request.item().unwrap();
                        let text = |name: &str| item[name].as_s().unwrap().as_str();
                        text("recordedBy") == "first-baseline"
                            && text("recordedAt") == "2026-11-25T10:00:00Z"
                            && text("baseline").parse::<Value>().unwrap() == expected
                    })
                    .then_compute_response(move |_| put())
            };
            let ledger = mock_client!(
                aws_sdk_dynamodb,
                RuleMode::MatchAny,
                [&item, &put],
                |config| config.retry_config(RetryConfig::disabled())
            );

            let worker = RecordBaseline {
                cloudtrail,
                ledger: Ledger::new(ledger, "ledger"),
                logs_role: self.logs_role.clone(),
                now,
            };
            let answered = answer(&worker, &payload).await;
            let output = answered.map(|output| Output {
                changed: output["changed"].as_bool().unwrap(),
                summary: output["summary"].as_str().unwrap().to_owned(),
            });
            (output, put.num_calls())
        }

        async fn record(&self) -> (Result<Output, Failure>, usize) {
            self.run(json!({
                "incidentId": "first-baseline",
                "trailArn": ARN,
                "request": {"reason": "first deployment"}
            }))
            .await
        }
    }

    fn refused(code: &str) -> HttpResponse {
        let body = format!(r#"{{"__type":"{code}","message":"what AWS said"}}"#);
        HttpResponse::new(400.try_into().unwrap(), body.into())
    }

    #[tokio::test]
    async fn a_healthy_trail_becomes_the_baseline() {
        let (output, written) = World::default().record().await;
        let output = output.unwrap();
        assert!(output.changed);
        assert_eq!(written, 1);
        insta::assert_snapshot!(output.summary, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, no insight selectors; it is the first baseline");
    }

    #[tokio::test]
    async fn a_baseline_that_is_as_the_trail_is_stays() {
        let (output, written) = World::recorded(&healthy()).record().await;
        let output = output.unwrap();
        assert!(!output.changed);
        assert_eq!(written, 0);
        insta::assert_snapshot!(output.summary, @"trail main is recorded already: all regions to s3://logs/, 1 basic event selector, no insight selectors");
    }

    #[tokio::test]
    async fn what_is_new_is_named_by_field_without_its_value() {
        let mut before = healthy();
        before.settings.kms_key_id = Some("arn:aws:kms:eu-west-1:123456789012:key/k".to_owned());
        before.insight_selectors = None;
        before.tags.insert("owner".to_owned(), "nobody".to_owned());
        before.event_selectors = EventSelectors::Advanced(BTreeSet::new());
        let mut world = World::recorded(&before);
        world.trail.settings.s3_key_prefix = Some("crm".to_owned());
        let rate = types::InsightType::ApiCallRateInsight;
        let insight = types::InsightSelector::builder().insight_type(rate).build();
        world.trail.insight_selectors = Some(BTreeSet::from([insight.into()]));
        let (output, written) = world.record().await;
        assert_eq!(written, 1);
        insta::assert_snapshot!(output.unwrap().summary, @"trail main is recorded (first deployment): all regions to s3://logs/crm, 1 basic event selector, insights by ApiCallRateInsight; new since the one before: kmsKeyId, s3KeyPrefix, eventSelectors, insightSelectors, tags");
    }

    #[tokio::test]
    async fn insights_that_cannot_be_read_are_said() {
        let mut world = World::refusing("GetInsightSelectors", "UnsupportedOperationException");
        world.trail.insight_selectors = None;
        let (output, written) = world.record().await;
        assert_eq!(written, 1);
        insta::assert_snapshot!(output.unwrap().summary, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, insight selectors that cannot be read here and will not be restored; it is the first baseline");
    }

    #[tokio::test]
    async fn a_baseline_that_is_not_readable_is_replaced() {
        let world = World {
            baseline: Some("{}".to_owned()),
            ..World::default()
        };
        let (output, written) = world.record().await;
        assert_eq!(written, 1);
        insta::assert_snapshot!(output.unwrap().summary, @"trail main is recorded (first deployment): all regions to s3://logs/, 1 basic event selector, no insight selectors; the one before was not readable");
    }

    #[tokio::test]
    async fn a_trail_that_is_not_healthy_is_refused_with_every_reason() {
        let mut world = World {
            logging: false,
            ..World::default()
        };
        world.trail.settings.is_multi_region_trail = false;
        let (output, written) = world.record().await;
        let failure = output.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
        assert_eq!(written, 0);
        insta::assert_snapshot!(failure, @"trail main is not healthy and was not recorded: it is not logging; it records one region only");
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
        assert_eq!(written, 1);

        world.trail.settings.cloud_watch_logs_role_arn = None;
        let (output, _) = world.record().await;
        assert!(
            output.unwrap().changed,
            "a role that is given need not be used"
        );
    }

    #[tokio::test]
    async fn a_dry_run_says_what_would_be_recorded_and_writes_nothing() {
        let payload = |dry_run: bool| {
            json!({
                "incidentId": "first-baseline",
                "trailArn": ARN,
                "request": {"reason": "a look", "dryRun": dry_run}
            })
        };
        let (output, written) = World::default().run(payload(true)).await;
        let output = output.unwrap();
        assert!(!output.changed);
        assert_eq!(written, 0);
        insta::assert_snapshot!(output.summary, @"trail main would be recorded (a look): all regions to s3://logs/, 1 basic event selector, no insight selectors; it is the first baseline");
    }

    #[tokio::test]
    async fn what_is_missing_barred_or_throttled_fails_by_its_class() {
        for (call, code, name) in [
            ("GetTrail", "TrailNotFoundException", "TargetNotFound"),
            ("GetTrail", "AccessDeniedException", "AccessDenied"),
            ("GetEventSelectors", "ThrottlingException", "Transient"),
            ("GetTrailStatus", "ThrottlingException", "Transient"),
            ("GetItem", "ResourceNotFoundException", "Rejected"),
            ("GetItem", "ThrottlingException", "Transient"),
        ] {
            let (output, written) = World::refusing(call, code).record().await;
            assert_eq!(output.unwrap_err().name(), name, "{call} {code}");
            assert_eq!(written, 0, "{call} {code}");
        }
        let (output, _) = World::refusing("PutItem", "AccessDeniedException")
            .record()
            .await;
        assert_eq!(output.unwrap_err().name(), "AccessDenied");
    }

    #[tokio::test]
    async fn a_mistake_in_the_operators_input_is_told_by_field() {
        let refusal = async |request: Value| {
            let payload = json!({"incidentId": "i", "trailArn": ARN, "request": request});
            World::default()
                .run(payload)
                .await
                .0
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(refusal(json!({})).await, @"`request`: missing field `reason`");
        insta::assert_snapshot!(
            refusal(json!({"reason": "x", "dryrun": true})).await,
            @"`request.dryrun`: unknown field `dryrun`, expected `reason` or `dryRun`"
        );
    }
}
