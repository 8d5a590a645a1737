//! `assess-event`: does this event deserve a response?
//!
//! The judgement is [`incident::judge`], a pure function; this worker gives it the configuration
//! and the time. It calls no AWS API and changes nothing: a second run answers the same, and there
//! is nothing to undo. What an event holds never makes it fail: an event that it does not know is
//! ignored, and one that it cannot read is escalated, each with the reason.

use aws_config::SdkConfig;
use incident::{Settings, Verdict, Watch, judge};
use jiff::Timestamp;
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
    now: fn() -> Timestamp,
}

impl AssessEvent {
    /// Builds the worker from its settings; see [`Watch::from_settings`].
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(_: &SdkConfig) -> Result<Self, Failure> {
        Ok(Self {
            watch: Watch::from_settings(&Settings::from_env())?,
            now: Timestamp::now,
        })
    }
}

impl Worker for AssessEvent {
    type Input = Input;
    type Output = Verdict;

    async fn run(&self, input: Input) -> Result<Verdict, Failure> {
        Ok(judge(&input.event, &self.watch, (self.now)()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use worker::answer;

    use super::*;

    fn worker() -> AssessEvent {
        let settings = Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
                "MODE" => "enforce",
                "TRAIL_ARN" => "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic",
                _ => return None,
            };
            Some(value.to_owned())
        });
        AssessEvent {
            watch: Watch::from_settings(&settings).unwrap(),
            now: || "2026-11-25T03:12:46Z".parse().unwrap(),
        }
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
        let answer = answer(&worker(), &json!({ "event": event })).await.unwrap();
        assert_eq!(answer["verdict"], "respond");
        assert_eq!(answer["incidentId"], incident["event"]["id"]);
        assert_eq!(answer["incident"], incident);
    }

    #[tokio::test]
    async fn any_event_is_answered() {
        for event in [
            json!(null),
            json!("text"),
            json!({"detail": {"userIdentity": 7}}),
        ] {
            let answer = answer(&worker(), &json!({ "event": event })).await.unwrap();
            assert_eq!(answer["verdict"], "ignore", "{event}");
        }
    }

    #[tokio::test]
    async fn a_payload_without_an_event_is_refused() {
        let failure = answer(&worker(), &json!({})).await.unwrap_err();
        assert_eq!(failure.to_string(), "the payload: missing field `event`");
    }
}
