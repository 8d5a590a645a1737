//! `assess-event`: does this event deserve a response?
//!
//! The judgement is [`judgement::judge`], a pure function; this worker gives it the configuration,
//! the time and the facts it asks for: what an operator recorded of the trail and its log archive,
//! what a managed policy or a group grants, whether somebody is contained already. Most events ask
//! for none. It changes nothing: a second run answers the same, and there is nothing to undo. What an
//! event holds never makes it fail, nor does a fact that cannot be read within 12 seconds: the
//! judgement says what comes of that.
//!
//! AWS calls, for facts only: `dynamodb:GetItem`, `iam:GetPolicy`, `iam:GetPolicyVersion`,
//! `iam:ListAttachedGroupPolicies`, `iam:ListGroupPolicies`, `iam:GetGroupPolicy`.

mod facts;

use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use incident::Settings;
use jiff::Timestamp;
use judgement::{Verdict, Watch, judge};
use ledger::Ledger;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use worker::{Failure, Worker};

/// The payload.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The event, as EventBridge delivered it.
    pub event: Value,
}

/// The worker.
#[derive(Debug)]
pub struct AssessEvent {
    watch: Watch,
    ledger: Ledger,
    iam: Client,
    now: fn() -> Timestamp,
}

impl AssessEvent {
    /// Builds the worker from its settings: `LEDGER_TABLE` and those of [`Watch::from_settings`].
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            watch: Watch::from_settings(&settings)?,
            ledger: Ledger::from_settings(config, &settings)?,
            iam: Client::new(&worker::CONTROL.on(config)),
            now: Timestamp::now,
        })
    }
}

impl Worker for AssessEvent {
    type Input = Input;
    type Output = Verdict;

    async fn run(&self, input: Input) -> Result<Verdict, Failure> {
        let facts = self.facts(&input.event).await;
        Ok(judge(&input.event, &self.watch, &facts, (self.now)()))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        Client,
        config::retry::RetryConfig as DynamoRetry,
        error::ErrorMetadata,
        operation::get_item::{GetItemError, GetItemOutput},
        types::AttributeValue,
    };
    use aws_sdk_iam::config::retry::RetryConfig;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use serde_json::json;
    use worker::answer;

    use super::*;

    const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";

    fn worker(ledger: &[&Rule]) -> AssessEvent {
        asking(ledger, &[])
    }

    /// A worker whose ledger and whose IAM answer by these rules.
    pub(crate) fn asking(ledger: &[&Rule], iam: &[&Rule]) -> AssessEvent {
        let settings = Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
                "AWS_REGION" => "eu-west-1",
                "PARTITION" => "aws",
                "UNDELIVERED_EVENTS_ARN" => "arn:aws:sqs:eu-west-1:123456789012:undelivered",
                "MODE" => "enforce",
                "TRAIL_ARN" => TRAIL,
                "TRAIL_BUCKET_NAME" => "clinic-logs",
                "MIN_LOG_RETENTION_DAYS" => "365",
                "STACK_NAME" => "guard",
                _ => return None,
            };
            Some(value.to_owned())
        });
        AssessEvent {
            watch: Watch::from_settings(&settings).unwrap(),
            ledger: Ledger::new(
                mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, ledger, |config| {
                    config.retry_config(DynamoRetry::disabled())
                }),
                "ledger",
            ),
            iam: mock_client!(aws_sdk_iam, RuleMode::MatchAny, iam, |config| config
                .retry_config(RetryConfig::disabled())),
            now: || "2026-11-25T03:12:46Z".parse().unwrap(),
        }
    }

    /// The watched trail, sent to another bucket.
    fn redirected() -> Value {
        let event = include_str!("../../../state-machines/triage.input.json");
        let mut event: Value = serde_json::from_str(event).unwrap();
        event["detail"]["eventName"] = json!("UpdateTrail");
        event["detail"]["requestParameters"] = json!({"name": TRAIL, "s3BucketName": "new-logs"});
        json!({ "event": event })
    }

    fn recorded(intended: Option<&str>) -> Rule {
        let trail = |bucket: &str| {
            json!({
                "name": "clinic", "s3BucketName": bucket, "s3KeyPrefix": null, "snsTopic": null,
                "includeGlobalServiceEvents": true, "isMultiRegionTrail": true,
                "logFileValidationEnabled": true, "kmsKeyId": null,
                "cloudWatchLogsLogGroupArn": null, "cloudWatchLogsRoleArn": null,
                "isOrganizationTrail": false, "recursiveLogging": true,
                "eventSelectors": {"basic": []}, "insightSelectors": null, "tags": {},
            })
            .to_string()
        };
        let mut item =
            GetItemOutput::builder().item("baseline", AttributeValue::S(trail("clinic-logs")));
        if let Some(bucket) = intended {
            item = item.item("intended", AttributeValue::S(trail(bucket)));
        }
        let item = item.build();
        mock!(Client::get_item).then_output(move || item.clone())
    }

    #[tokio::test]
    async fn the_shipped_event_starts_the_shipped_incident() {
        let event: Value =
            serde_json::from_str(include_str!("../../../state-machines/triage.input.json"))
                .unwrap();
        let incident: Value = serde_json::from_str(include_str!(
            "../../../state-machines/cloudtrail-disabled.input.json"
        ))
        .unwrap();
        let answer = answer(&worker(&[]), &json!({ "event": event }))
            .await
            .unwrap();
        assert_eq!(answer["verdict"], "respond");
        assert_eq!(answer["incidentId"], incident["event"]["id"]);
        assert_eq!(answer["incident"], incident);
    }

    #[tokio::test]
    async fn what_an_operator_recorded_decides() {
        let judged = async |rule: Rule| {
            let answer = answer(&worker(&[&rule]), &redirected()).await.unwrap();
            assert_eq!(rule.num_calls(), 1);
            answer["verdict"].clone()
        };
        assert_eq!(judged(recorded(None)).await, "respond");
        assert_eq!(judged(recorded(Some("new-logs"))).await, "ignore");
        let empty = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
        assert_eq!(judged(empty).await, "respond");
    }

    #[tokio::test]
    async fn a_baseline_that_cannot_be_read_is_no_failure() {
        let denied = mock!(Client::get_item).then_error(|| {
            GetItemError::generic(
                ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .build(),
            )
        });
        let mut event = redirected();
        event["event"]["detail"]["requestParameters"]["s3BucketName"] = json!("clinic-logs");
        let answer = answer(&worker(&[&denied]), &event).await.unwrap();
        assert_eq!(answer["verdict"], "escalate");
    }

    #[tokio::test]
    async fn any_event_is_answered() {
        for event in [
            json!(null),
            json!("text"),
            json!({"detail": {"userIdentity": 7}}),
        ] {
            let answer = answer(&worker(&[]), &json!({ "event": event }))
                .await
                .unwrap();
            assert_eq!(answer["verdict"], "ignore", "{event}");
        }
    }

    #[tokio::test]
    async fn a_payload_without_an_event_is_refused() {
        let failure = answer(&worker(&[]), &json!({})).await.unwrap_err();
        assert_eq!(failure.to_string(), "the payload: missing field `event`");
    }
}
