//! What counts and names nobody.

use serde_json::{Value, json};

use super::{line, now, verdict, watch};
use crate::{Facts, Verdict, judge};

fn alarm(name: &str, from: &str, to: &str) -> Value {
    json!({
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": "123456789012",
        "time": "2026-11-25T03:12:44Z",
        "region": "eu-west-1",
        "detail": {
            "alarmName": name,
            "state": {"value": to, "reasonData": "{}"},
            "previousState": {"value": from},
        },
    })
}

fn answer(event: &Value) -> Verdict {
    let table = "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients";
    let watch = watch(&[("PATIENTS_TABLE_ARN", table)]);
    judge(event, &watch, &Facts::default(), now())
}

fn judged(event: &Value) -> String {
    line(answer(event))
}

#[test]
fn our_alarms_on_reads_start_the_search_for_readers() {
    let mut replayed = alarm("guard-patients-drained", "OK", "ALARM");
    replayed["replay-name"] = json!("again");
    let mut foreign = alarm("guard-patients-drained", "OK", "ALARM");
    foreign["account"] = json!("999988887777");
    insta::assert_snapshot!([
        judged(&alarm("guard-patients-drained", "OK", "ALARM")),
        judged(&alarm("guard-patients-index-drained", "INSUFFICIENT_DATA", "ALARM")),
        judged(&alarm("guard-patients-drained", "ALARM", "OK")),
        judged(&alarm("guard-patients-drained", "ALARM", "ALARM")),
        judged(&alarm("guard-dev-patients-drained", "OK", "ALARM")),
        judged(&alarm("other", "OK", "ALARM")),
        judged(&replayed),
        judged(&foreign),
        judged(&json!({"source": "aws.cloudwatch", "account": "123456789012"})),
    ].join("\n"), @"
    respond: more was read from the patients' table than the CRM ever needs, and an alarm names nobody
    respond: more was read from the patients' table than the CRM ever needs, and an alarm names nobody
    ignore: guard-patients-drained did not go off
    ignore: guard-patients-drained did not go off
    ignore: guard-dev-patients-drained is none of our alarms
    ignore: other is none of our alarms
    escalate: more was read from the patients' table than the CRM ever needs, and an alarm names nobody; the event is replayed from an archive
    ignore: not an API call recorded by CloudTrail
    ignore: not an API call recorded by CloudTrail
    ");
    let event = alarm("guard-patients-drained", "OK", "ALARM");
    let Verdict::Respond {
        incident,
        incident_id,
        ..
    } = answer(&event)
    else {
        panic!("an alarm of ours");
    };
    assert_eq!(incident_id.as_str(), "11111111-2222-3333-4444-555555555555");
    assert!(incident.containment.is_none());
    assert_eq!(incident.occurred_at.to_string(), "2026-11-25T03:12:44Z");
}

#[test]
fn the_bill_and_who_pays_it_are_told() {
    let anomaly = json!({
        "id": "a-1",
        "detail-type": "Anomaly Detected",
        "source": "aws.ce",
        "account": "123456789012",
        "time": "2026-11-25T00:00:00Z",
        "detail": {"impact": {"totalImpact": 4021.7}, "rootCauses": [{"service": "Amazon S3"}]},
    });
    let operator = json!({"userIdentity": super::session_of("operator")});
    insta::assert_snapshot!([
        judged(&anomaly),
        verdict("budgets", "DeleteBudget", json!({}), json!({})),
        verdict("ce", "DeleteAnomalyMonitor", json!({}), json!({})),
        verdict("payments", "UpdatePaymentPreferences", json!({}), operator),
        verdict("ce", "GetCostAndUsage", json!({}), json!({})),
    ].join("\n"), @"
    escalate: the bill rose out of the ordinary by 4022 dollars: data may be leaving, or somebody computes at your expense; Cost Explorer's anomaly names the service and the region
    escalate: billing was changed (DeleteBudget): who pays, or who is told what it costs (DeleteBudget by IAM user eve)
    escalate: billing was changed (DeleteAnomalyMonitor): who pays, or who is told what it costs (DeleteAnomalyMonitor by IAM user eve)
    ignore: billing was changed by an operator
    ignore: GetCostAndUsage of ce.amazonaws.com is not an indicator
    ");
}
