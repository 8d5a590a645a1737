//! Every kind of event, by the shape that AWS writes it in.

mod archive;
mod calls;
mod denial;
mod front_door;
mod ours;
mod patients;
mod privilege;
mod rotation;
mod sign_in;
mod site;
mod trail;
mod volume;

use ::trail::Trail;
use incident::{Recorded, Settings};
use jiff::Timestamp;
use log_archive::Archive;
use serde_json::{Map, Value, json};

use crate::{Fact, Facts, Verdict, Watch, judge};

const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";
const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/0a0a0a0a-1111-2222-3333-444444444444";

/// What the template would hand to the worker, `changed` where a test asks for it.
fn watch(changed: &[(&'static str, &'static str)]) -> Watch {
    let changed = changed.to_vec();
    Watch::from_settings(&Settings::new(move |name| {
        let set = changed.iter().find(|(changed, _)| *changed == name);
        let value = match (set, name) {
            (Some((_, value)), _) => value,
            (_, "ACCOUNT_ID") => "123456789012",
            (_, "DENY_POLICY_ARN") => "arn:aws:iam::aws:policy/AWSDenyAll",
            (_, "BREAK_GLASS_ARNS") => "arn:aws:iam::123456789012:user/glass",
            (_, "OPERATOR_ROLE_ARNS") => "arn:aws:iam::123456789012:role/operator",
            (_, "DEPLOY_ROLE_ARNS" | "CI_ROLE_ARNS") => "arn:aws:iam::123456789012:role/ci/deploy",
            (_, "AWS_REGION") => "eu-west-1",
            (_, "PARTITION") => "aws",
            (_, "SITE_BUCKET_NAME") => "clinic-site",
            (_, "MODE") => "enforce",
            (_, "TRAIL_ARN") => TRAIL,
            (_, "TRAIL_BUCKET_NAME") => "clinic-logs",
            (_, "TRAIL_KEY_ARN") => KEY,
            (_, "TRAIL_LOG_GROUP_NAME") => "trail/clinic",
            (_, "MIN_LOG_RETENTION_DAYS") => "365",
            (_, "STACK_NAME") => "guard",
            (_, "LEDGER_TABLE") => "guard-Ledger-1ABC",
            (_, "TOPIC_ARN") => "arn:aws:sns:eu-west-1:123456789012:guard-Topic-1ABC",
            (_, "UNDELIVERED_EVENTS_ARN") => {
                "arn:aws:sqs:eu-west-1:123456789012:guard-UndeliveredEvents-1ABC"
            }
            _ => return None,
        };
        Some(value.to_owned())
    }))
    .unwrap()
}

/// A call by an IAM user, with fields of the record replaced.
fn event(service: &str, name: &str, request: Value, changes: Value) -> Value {
    let mut event = json!({
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": "AWS API Call via CloudTrail",
        "source": format!("aws.{service}"),
        "account": "123456789012",
        "time": "2026-11-25T03:12:44Z",
        "region": "eu-west-1",
        "detail": {
            "userIdentity": {
                "type": "IAMUser",
                "accountId": "123456789012",
                "arn": "arn:aws:iam::123456789012:user/eve",
            },
            "eventTime": "2026-11-25T03:12:40Z",
            "eventSource": format!("{service}.amazonaws.com"),
            "eventName": name,
            "awsRegion": "eu-west-1",
            "sourceIPAddress": "203.0.113.7",
            "requestParameters": request,
            "eventID": "9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77",
            "recipientAccountId": "123456789012",
        },
    });
    for (field, value) in changes.as_object().unwrap() {
        event["detail"][field] = value.clone();
    }
    event
}

/// A session of a role, as the identity of a call.
fn session_of(role: &str) -> Value {
    json!({
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE:run",
        "sessionContext": {"sessionIssuer": {
            "type": "Role", "arn": format!("arn:aws:iam::123456789012:role/{role}"),
        }},
    })
}

fn now() -> Timestamp {
    "2026-11-25T03:12:46Z".parse().unwrap()
}

fn line(verdict: Verdict) -> String {
    match verdict {
        Verdict::Respond {
            reason, incident, ..
        } => {
            let remedy = if incident.remedy.is_some() {
                " [remedy]"
            } else {
                ""
            };
            format!("respond: {reason}{remedy}")
        }
        Verdict::Escalate { reason, .. } => format!("escalate: {reason}"),
        Verdict::Count { reason, .. } => format!("count: {reason}"),
        Verdict::Ignore { reason } => format!("ignore: {reason}"),
    }
}

fn verdict(service: &str, name: &str, request: Value, changes: Value) -> String {
    with_facts(service, name, request, changes, &Facts::default())
}

fn with_facts(service: &str, name: &str, request: Value, changes: Value, facts: &Facts) -> String {
    let event = event(service, name, request, changes);
    line(judge(&event, &watch(&[]), facts, now()))
}

/// The verdicts of calls of one service, one a line.
fn verdicts<const N: usize>(service: &str, facts: &Facts, calls: [(&str, Value); N]) -> String {
    let lines = calls.map(|(name, request)| with_facts(service, name, request, json!({}), facts));
    lines.join("\n")
}

fn recorded<T>(baseline: T, intended: Option<T>) -> Fact<T> {
    Fact::Recorded(Box::new(Recorded { baseline, intended }))
}

fn changed<T: serde::Serialize + serde::de::DeserializeOwned>(of: &T, changes: Value) -> T {
    let mut fields: Map<String, Value> =
        serde_json::from_value(serde_json::to_value(of).unwrap()).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        assert!(fields.contains_key(field), "no field {field}");
        fields.insert(field.clone(), value.clone());
    }
    serde_json::from_value(Value::Object(fields)).unwrap()
}

fn a_trail() -> Trail {
    serde_json::from_value(json!({
        "name": "clinic",
        "s3BucketName": "clinic-logs",
        "s3KeyPrefix": null,
        "snsTopic": "arn:aws:sns:eu-west-1:123456789012:trail",
        "includeGlobalServiceEvents": true,
        "isMultiRegionTrail": true,
        "logFileValidationEnabled": true,
        "kmsKeyId": KEY,
        "cloudWatchLogsLogGroupArn": "arn:aws:logs:eu-west-1:123456789012:log-group:trail/clinic:*",
        "cloudWatchLogsRoleArn": "arn:aws:iam::123456789012:role/trail",
        "isOrganizationTrail": false,
        "recursiveLogging": true,
        "eventSelectors": {"advanced": [
            {"name": null, "fields": [{"field": "eventCategory", "equals": ["Management"]}]},
            {"name": null, "fields": [
                {"field": "eventCategory", "equals": ["Data"]},
                {"field": "resources.type", "equals": ["AWS::DynamoDB::Table"]},
            ]},
        ]},
        "insightSelectors": [
            {"insightType": "ApiCallRateInsight", "eventCategories": ["Management"]},
        ],
        "tags": {},
    }))
    .unwrap()
}

fn trail_facts(intended: Option<Value>) -> Facts {
    let trail = a_trail();
    let intended = intended.map(|changes| changed(&trail, changes));
    Facts {
        trail: recorded(trail, intended),
        ..Facts::default()
    }
}

fn archive_facts(archive: Archive, intended: Option<Archive>) -> Facts {
    Facts {
        archive: recorded(archive, intended),
        ..Facts::default()
    }
}
