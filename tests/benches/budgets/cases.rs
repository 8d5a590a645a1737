//! What is measured: every function of the template, with its settings and an event for it.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use tests::template::{Resource, Template, entries, filled};

use crate::Result;

pub(crate) const REGION: &str = "eu-west-1";

const WEB_ACL: &str = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/clinic/11111111-2222-3333-4444-555555555555";

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) worker: String,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) payload: Value,
}

/// The examples that the payloads are made of.
struct Examples {
    /// What triage is started with.
    event: Value,
    /// What that event becomes.
    incident: Value,
    /// What `record-baseline` is started with.
    request: Value,
}

impl Case {
    /// Of the Python function, which does with an event what `assess-event` does to ask the ledger.
    pub(crate) fn boto3() -> Self {
        Self {
            name: "Python and boto3".to_owned(),
            worker: String::new(),
            settings: BTreeMap::from([("LEDGER_TABLE".to_owned(), "ledger".to_owned())]),
            payload: json!({"id": "5c1f4f0e-6a1b-4f5e-9d55-0a4b5a3c2d10"}),
        }
    }
}

/// Every function of the template.
pub(crate) fn of_template(root: &Path) -> Result<Vec<Case>> {
    let template = Template::read(&fs::read_to_string(root.join("infra/template.yaml"))?)?;
    let example = |name| -> Result<Value> {
        let path = root.join(format!("state-machines/{name}.input.json"));
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    };
    let examples = Examples {
        event: example("triage")?,
        incident: example("cloudtrail-disabled")?,
        request: example("record-baseline")?,
    };
    let mut cases = Vec::new();
    for function in template.of_type("AWS::Serverless::Function") {
        let code = function.text("CodeUri").unwrap_or_default();
        let worker = code.trim_end_matches('/').rsplit('/').next();
        let worker = worker.unwrap_or_default();
        for (what, payload) in examples.payloads(worker)? {
            cases.push(Case {
                name: format!("{worker} {what}").trim_end().to_owned(),
                worker: worker.to_owned(),
                settings: settings(&template, function)?,
                payload,
            });
        }
    }
    Ok(cases)
}

impl Examples {
    /// What a worker is sent while the example's incident is answered, and what tells one payload
    /// from the other where there are two.
    fn payloads(&self, worker: &str) -> Result<Vec<(&'static str, Value)>> {
        let Self {
            event,
            incident,
            request,
        } = self;
        let (id, trail, actor) = (
            &incident["event"]["id"],
            &incident["target"]["arn"],
            &incident["actor"],
        );
        let execution = "arn:aws:states:eu-west-1:123456789012:execution:tourniquet-cloudtrail-disabled:example";
        let payload = match worker {
            "assess-event" => {
                // Whether a change is tampering is a question to the ledger; a stop always is.
                let mut update = event.clone();
                update["detail"]["eventName"] = json!("UpdateTrail");
                update["detail"]["requestParameters"]["s3BucketName"] = json!("elsewhere");
                return Ok(vec![
                    ("StopLogging", json!({ "event": event })),
                    ("UpdateTrail", json!({ "event": update })),
                ]);
            }
            "open-incident" => json!({
                "incidentId": id, "executionArn": execution,
                "runbook": "cloudtrail-disabled", "incident": incident,
            }),
            "restore-cloudtrail" | "restore-log-archive" => {
                json!({"incidentId": id, "trailArn": trail})
            }
            "restore-detection" => json!({ "incidentId": id }),
            "deny-all-policy" | "revoke-sessions" => json!({"incidentId": id, "actor": actor}),
            "verify-containment" => json!({
                "incidentId": id, "actor": actor,
                "containment": incident["containment"], "since": incident["occurredAt"],
            }),
            "quarantine-object" => json!({
                "incidentId": id, "occurredAt": incident["occurredAt"],
                "target": {"kind": "object", "bucket": "clinic-site", "key": "index.html"},
            }),
            "purge-cache" => json!({"incidentId": id, "paths": ["/index.html"]}),
            "roll-back-grant" => json!({
                "incidentId": id, "occurredAt": incident["occurredAt"],
                "grant": {"kind": "attached-policy", "grantee": actor["arn"],
                    "policy": "arn:aws:iam::aws:policy/AdministratorAccess"},
            }),
            "find-readers" => json!({
                "incidentId": id, "from": incident["occurredAt"], "to": incident["discoveredAt"],
                "tableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients",
            }),
            "find-sessions" => json!({
                "incidentId": id, "actor": actor, "occurredAt": incident["occurredAt"],
            }),
            "tally-sign-ins" => json!({"signIn": {
                "event": {"id": id, "name": "InitiateAuth"}, "occurredAt": incident["occurredAt"],
                "userPool": "eu-west-1_ClinicPool", "network": "203.0.113.7", "outcome": "failed",
            }}),
            "block-ip" => json!({"incidentId": id, "networks": ["203.0.113.7"]}),
            "sweep-blocks" => json!({}),
            "disable-crm-user" => json!({
                "incidentId": id, "userPool": "eu-west-1_ClinicPool",
                "subject": "5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22",
            }),
            "find-activity" => json!({
                "incidentId": id, "subject": "5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22",
                "from": incident["occurredAt"], "to": incident["discoveredAt"],
            }),
            "find-offenders" => json!({
                "incidentId": id, "webAcl": WEB_ACL,
                "from": incident["occurredAt"], "to": incident["discoveredAt"],
            }),
            "check-trails" => json!({"incidentId": id, "trailArn": trail, "heartbeat": true}),
            "record-baseline" => json!({
                "incidentId": "example", "trailArn": trail, "request": request,
                "executionArn": "arn:aws:states:eu-west-1:123456789012:execution:\
                    tourniquet-record-baseline:example",
            }),
            "notify" => json!({
                "incidentId": id, "executionArn": execution,
                "occasion": "opened", "incident": incident,
            }),
            "close-incident" => json!({
                "incidentId": id, "executionArn": execution, "incident": incident, "rounds": 1,
                "steps": [{
                    "step": "Restore CloudTrail",
                    "result": {"changed": true, "summary": "trail clinic logs again"},
                }],
                "verification": {"holds": true, "missing": [], "summary": "everything holds"},
            }),
            _ => return Err(format!("there is no payload here to measure {worker} with").into()),
        };
        Ok(vec![("", payload)])
    }
}

/// A function's variables, as they are once deployed.
fn settings(template: &Template, function: Resource<'_>) -> Result<BTreeMap<String, String>> {
    let given = |name: &str| given(template, name);
    let common = &template.0["Globals"]["Function"]["Environment"]["Variables"];
    let own = &function.properties["Environment"]["Variables"];
    entries(common)
        .chain(entries(own))
        .map(|(name, value)| match filled(value, &given)? {
            Value::String(value) => Ok((name.to_owned(), value)),
            value => Ok((name.to_owned(), value.to_string())),
        })
        .collect()
}

/// What the template's names stand for; a parameter that is not here for its default.
fn given(template: &Template, name: &str) -> Option<String> {
    let value = match name {
        "AWS::AccountId" => "123456789012",
        "AWS::Partition" => "aws",
        "AWS::Region" => REGION,
        "AWS::StackName" => "tourniquet",
        "Mode" => "enforce",
        "BreakGlassArns" => "arn:aws:iam::123456789012:user/break-glass",
        "NeverBlockCidrs" => "198.51.100.0/24",
        "TrailArn" => "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic",
        "TrailBucketName" => "clinic-trail-logs",
        "TrailKeyArn" => {
            "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
        }
        "TrailLogGroupName" => "clinic-trail",
        "SiteBucketName" => "clinic-site",
        "CiRoleArns" => "arn:aws:iam::123456789012:role/clinic-ci",
        "DistributionId" => "E2EXAMPLE",
        "PatientsTableArn" => "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients",
        "UserPoolId" => "eu-west-1_ClinicPool",
        "WebAclArn" => WEB_ACL,
        "IpSetV4Arn" => {
            "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/v4/11111111-2222-3333-4444-555555555555"
        }
        "IpSetV6Arn" => {
            "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/v6/11111111-2222-3333-4444-555555555555"
        }
        "DenyListTableName" => "clinic-deny-list",
        "ApiLogGroupName" => "/aws/apigateway/clinic",
        "WafLogGroupName" => "aws-waf-logs-clinic",
        "Quarantine" => "tourniquet-quarantine",
        "TrailLogsRoleArn" => "arn:aws:iam::123456789012:role/clinic-trail",
        "Ledger" => "tourniquet-ledger",
        "Topic" => "arn:aws:sns:eu-west-1:123456789012:tourniquet-topic",
        "UndeliveredEvents.Arn" => "arn:aws:sqs:eu-west-1:123456789012:tourniquet-undelivered",
        _ => match &template.0["Parameters"][name]["Default"] {
            Value::String(text) => return Some(text.clone()),
            Value::Number(number) => return Some(number.to_string()),
            _ => return None,
        },
    };
    Some(value.to_owned())
}
