//! The example inputs, which the drill, the README and an operator start from.

use incident::{Incident, Settings};
use jiff::Timestamp;
use judgement::{Facts, Verdict, Watch, judge};
use serde::Deserialize;
use serde_json::Value;

use super::{Project, Runbook, kebab};
use crate::template::Resource;

/// What an operator starts `record-baseline` with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct BaselineRequest {
    reason: String,
    dry_run: bool,
    intended: Option<Value>,
}

/// A runbook's example is an incident of that runbook; triage's is an event that starts one,
/// and that of a machine that keeps time is what a rule of the template sends by schedule.
pub(super) fn are_real(runbook: &Runbook, project: &Project) -> Vec<String> {
    let input = &runbook.input;
    let fits = match runbook.name.as_str() {
        "triage" => is_answered(input),
        "check-trails" | "sweep-blocks" => is_scheduled(input, project),
        "record-baseline" => worker::parse::<BaselineRequest>(input)
            .map(|_| ())
            .map_err(|failure| failure.to_string()),
        name => match worker::parse::<Incident>(input) {
            Ok(incident) if incident.runbook.to_string() == name => Ok(()),
            Ok(incident) => Err(format!("it is an incident for {}", incident.runbook)),
            Err(failure) => Err(failure.to_string()),
        },
    };
    let words = |why: String| format!("the example input does not fit: {why}");
    fits.map_err(words).err().into_iter().collect()
}

fn occurred(event: &Value) -> Timestamp {
    let time = event["time"].as_str().and_then(|time| time.parse().ok());
    time.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whether triage would respond, if what the event names is what we watch.
fn is_answered(event: &Value) -> Result<(), String> {
    let text = |pointer| Some(event.pointer(pointer)?.as_str()?.to_owned());
    let settings = Settings::new(|name| match name {
        "ACCOUNT_ID" => text("/account"),
        "MIN_LOG_RETENTION_DAYS" => Some("365".to_owned()),
        "STACK_NAME" => Some("tourniquet".to_owned()),
        "AWS_REGION" => text("/region"),
        "PARTITION" => Some("aws".to_owned()),
        "UNDELIVERED_EVENTS_ARN" => Some("arn:aws:sqs:eu-west-1:123456789012:x".to_owned()),
        "TRAIL_ARN" => text("/detail/requestParameters/name"),
        "DENY_POLICY_ARN" => Some("arn:aws:iam::aws:policy/AWSDenyAll".to_owned()),
        "MODE" => Some("enforce".to_owned()),
        _ => None,
    });
    let watch = Watch::from_settings(&settings).map_err(|why| why.to_string())?;
    match judge(event, &watch, &Facts::default(), occurred(event)) {
        Verdict::Respond { .. } => Ok(()),
        Verdict::Count { reason, .. }
        | Verdict::Escalate { reason, .. }
        | Verdict::Ignore { reason, .. } => Err(reason),
    }
}

/// Whether it is what EventBridge sends for a rule of ours that keeps time.
fn is_scheduled(event: &Value, project: &Project) -> Result<(), String> {
    if event["source"] != "aws.events" || event["detail-type"] != "Scheduled Event" {
        return Err("it is no Scheduled Event of aws.events".to_owned());
    }
    let by_time = |rule: &Resource<'_>| !rule.properties["ScheduleExpression"].is_null();
    let mut rules = project
        .template
        .of_type("AWS::Events::Rule")
        .filter(by_time);
    let sender = event["resources"][0].as_str().unwrap_or_default();
    if rules.any(|rule| sender.ends_with(&format!("-{}", kebab(rule.id)))) {
        Ok(())
    } else {
        Err(format!("`{sender}` is no rule of ours that keeps time"))
    }
}
