//! Calls on the patients' table.

use incident::{Containment, Settings};
use serde_json::{Value, json};

use super::{event, line, now, session_of, watch};
use crate::{Facts, Patients, Verdict, Watch, judge};

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients";

fn watched(changed: &[(&'static str, &'static str)]) -> Watch {
    let mut all = vec![
        ("PATIENTS_TABLE_ARN", TABLE),
        (
            "DECOY_KEYS",
            r#"[{"patientId":"DECOY-1"},{"patientId":"DECOY-2"}]"#,
        ),
        (
            "WORKLOAD_ROLE_ARNS",
            "arn:aws:iam::123456789012:role/crm,arn:aws:iam::123456789012:role/app/jobs",
        ),
    ];
    all.splice(0..0, changed.iter().copied());
    watch(&all)
}

/// A call on the table by an IAM user, with fields of the record replaced.
fn call(name: &str, request: Value, changes: Value) -> Value {
    let mut event = event(
        "dynamodb",
        name,
        request,
        json!({"resources": [{"ARN": TABLE}]}),
    );
    for (field, value) in changes.as_object().unwrap() {
        event["detail"][field] = value.clone();
    }
    event
}

fn get(key: &str) -> Value {
    json!({"tableName": "Patients", "key": {"patientId": key}})
}

/// The verdict, with the runbook where one answers, and how a human mends the rest.
fn judged_with(watch: &Watch, event: &Value) -> String {
    match judge(event, watch, &Facts::default(), now()) {
        Verdict::Respond {
            reason, incident, ..
        } => {
            assert_eq!(
                serde_json::to_value(&incident.target).unwrap(),
                json!({"kind": "table", "arn": TABLE})
            );
            let remedy = incident.remedy;
            format!(
                "{} ({}): {reason}{}",
                incident.runbook,
                incident.severity,
                remedy.map_or_else(String::new, |remedy| format!("\n  {remedy}"))
            )
        }
        other => line(other),
    }
}

fn judged(name: &str, request: Value, changes: Value) -> String {
    judged_with(&watched(&[]), &call(name, request, changes))
}

fn by(identity: Value) -> Value {
    json!({"userIdentity": identity})
}

/// A Lambda function of the CRM, which lives in its network.
fn by_crm(changes: Value) -> Value {
    let mut record = json!({
        "userIdentity": session_of("crm"),
        "sourceIPAddress": "10.0.1.12",
        "userAgent": "aws-sdk-rust/1.3 exec-env/AWS_Lambda_rust",
    });
    for (field, value) in changes.as_object().unwrap() {
        record[field] = value.clone();
    }
    record
}

#[test]
fn whoever_is_not_the_crm_is_answered() {
    insta::assert_snapshot!([
        judged("GetItem", get("P-1"), json!({})),
        judged("Query", json!({"tableName": "Patients", "indexName": "lastName-index", "key": {"lastName": "Q"}}), json!({})),
        judged("Scan", json!({"tableName": "Patients", "limit": 50}), json!({})),
        judged("BatchGetItem", json!(null), json!({})),
        judged("ExecuteStatement", json!({"statement": "SELECT * FROM Patients.lastName-index WHERE lastName = ***(Redacted)"}), json!({})),
        judged("UpdateItem", get("P-1"), json!({})),
        judged("TransactWriteItems", json!(null), json!({})),
        judged("GetItem", get("P-1"), by(session_of("crm-dev"))),
        judged("GetItem", get("P-1"), by(session_of("operator"))),
        judged("GetItem", get("P-1"), by(session_of("ci/deploy"))),
        judged("GetItem", get("P-1"), by(session_of("tourniquet/guard-evil"))),
        judged("GetItem", get("P-1"), by(json!({"type": "Root", "accountId": "123456789012"}))),
        judged("GetItem", get("P-1"), by(json!({"type": "AWSAccount", "accountId": "999988887777"}))),
        judged("GetItem", get("P-1"), by(json!({}))),
    ].join("\n"), @"
    patient-data-access (high): the patients table was read by IAM user eve
    patient-data-access (high): the patients table was read by IAM user eve
    patient-data-access (high): the patients table was read by IAM user eve
    patient-data-access (high): the patients table was read by IAM user eve
    patient-data-access (high): the patients table was read by IAM user eve
    patient-data-access (critical): the patients table was written by IAM user eve
      compare what was written with what was there, and put it right: aws dynamodb restore-table-to-point-in-time --source-table-name Patients --target-table-name Patients-before --restore-date-time <a moment before 2026-11-25T03:12:40Z>; the events of this actor from then on name the records
    patient-data-access (critical): the patients table was read and written by IAM user eve
      compare what was written with what was there, and put it right: aws dynamodb restore-table-to-point-in-time --source-table-name Patients --target-table-name Patients-before --restore-date-time <a moment before 2026-11-25T03:12:40Z>; the events of this actor from then on name the records
    patient-data-access (high): the patients table was read by role crm-dev, session run
    patient-data-access (high): the patients table was read by role operator, session run
    patient-data-access (high): the patients table was read by role deploy, session run
    patient-data-access (high): the patients table was read by role guard-evil, session run
    patient-data-access (high): the patients table was read by root of account 123456789012
    patient-data-access (high): the patients table was read by a principal of account 999988887777
      shut the other account out of the table: aws dynamodb get-resource-policy --resource-arn arn:aws:dynamodb:eu-west-1:123456789012:table/Patients, then put-resource-policy without it, or delete-resource-policy
    patient-data-access (high): the patients table was read by nobody known (the event names no identity)
    ");
}

#[test]
fn a_decoy_or_a_drain_is_a_honey_token() {
    insta::assert_snapshot!([
        judged("GetItem", get("DECOY-2"), json!({})),
        judged("GetItem", get("decoy-2"), json!({})),
        judged("Query", json!({"tableName": "Patients", "key": {"patientId": "DECOY-1"}, "select": "COUNT"}), json!({})),
        judged("BatchGetItem", json!({"requestItems": {TABLE: {"Keys": [{"patientId": {"S": "DECOY-1"}}]}}}), json!({})),
        judged("BatchExecuteStatement", json!({"requestItems": [{"statement": "SELECT * FROM Patients WHERE patientId = 'DECOY-1'"}]}), json!({})),
        judged("ExecuteStatement", json!({"statement": "SELECT * FROM Patients WHERE patientId <> 'P-1'"}), json!({})),
        judged("Scan", json!({"tableName": "Patients"}), json!({})),
        judged("Scan", json!({"tableName": "Patients", "indexName": "lastName-index"}), json!({})),
        judged("Scan", json!({"tableName": "Patients", "totalSegments": 4, "segment": 1}), json!({})),
        judged("DeleteItem", get("DECOY-1"), json!({})),
        judged("UpdateItem", json!({"tableName": "Patients", "key": {"patientId": "DECOY-1"}, "returnValues": "ALL_OLD"}), json!({})),
        judged("GetItem", get("DECOY-1"), by(json!({"type": "AWSAccount", "accountId": "999988887777"}))),
    ].join("\n"), @"
    honey-token (critical): a decoy record of the patients table was read by IAM user eve
    patient-data-access (high): the patients table was read by IAM user eve
    honey-token (critical): a decoy record of the patients table was read by IAM user eve
    honey-token (critical): a decoy record of the patients table was read by IAM user eve
    honey-token (critical): a decoy record of the patients table was read by IAM user eve
    honey-token (critical): a decoy record of the patients table was read by IAM user eve
    honey-token (critical): a decoy record of the patients table was read by IAM user eve
    honey-token (critical): the patients table was read as a whole by IAM user eve
    honey-token (critical): the patients table was read as a whole by IAM user eve
    honey-token (critical): a decoy record of the patients table was written by IAM user eve
      compare what was written with what was there, and put it right: aws dynamodb restore-table-to-point-in-time --source-table-name Patients --target-table-name Patients-before --restore-date-time <a moment before 2026-11-25T03:12:40Z>; the events of this actor from then on name the records
    honey-token (critical): a decoy record of the patients table was read and written by IAM user eve
      compare what was written with what was there, and put it right: aws dynamodb restore-table-to-point-in-time --source-table-name Patients --target-table-name Patients-before --restore-date-time <a moment before 2026-11-25T03:12:40Z>; the events of this actor from then on name the records
    honey-token (critical): a decoy record of the patients table was read by a principal of account 999988887777
      shut the other account out of the table: aws dynamodb get-resource-policy --resource-arn arn:aws:dynamodb:eu-west-1:123456789012:table/Patients, then put-resource-policy without it, or delete-resource-policy
    ");
    let without = watched(&[("DECOY_KEYS", "none")]);
    assert_eq!(
        judged_with(
            &without,
            &call("Scan", json!({"tableName": "Patients"}), json!({}))
        ),
        "honey-token (critical): the patients table was read as a whole by IAM user eve"
    );
}

#[test]
fn every_way_to_carry_the_table_off_is_a_honey_token() {
    let policy = |principal: &str| {
        let policy = json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": principal}}]});
        json!({"resourceArn": TABLE, "policy": policy.to_string()})
    };
    let answered =
        json!({"responseElements": {"backupDetails": {"backupArn": format!("{TABLE}/backup/01")}}});
    insta::assert_snapshot!([
        judged("GetRecords", json!({"shardIterator": format!("{TABLE}/stream/2026|1|A")}), json!({})),
        judged("ExportTableToPointInTime", json!({"tableArn": TABLE, "s3Bucket": "drop", "s3BucketOwner": "999988887777"}), json!({})),
        judged("CreateBackup", json!({"tableName": "Patients", "backupName": "b"}), answered),
        judged("RestoreTableToPointInTime", json!({"sourceTableName": "Patients", "targetTableName": "tmp"}), json!({})),
        judged("UpdateTable", json!({"tableName": "Patients", "replicaUpdates": [{"create": {"regionName": "us-east-1"}}]}), json!({})),
        judged("EnableKinesisStreamingDestination", json!({"tableName": "Patients", "streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"}), json!({})),
        judged("PutResourcePolicy", policy("arn:aws:iam::999988887777:root"), json!({})),
        judged("PutResourcePolicy", policy("arn:aws:iam::123456789012:role/reports"), json!({})),
        judged("PutResourcePolicy", json!({"resourceArn": TABLE}), json!({})),
        judged("DeleteTable", json!({"tableName": "Patients"}), json!({})),
    ].join("\n"), @r#"
    honey-token (critical): the patients table was read through its stream by IAM user eve
    honey-token (critical): the patients table was exported to S3 by IAM user eve
      an export cannot be stopped: if the bucket is yours, delete what is in it (aws s3 rm --recursive s3://drop/<prefix>/AWSDynamoDB/<export>); if not, every record is disclosed
    honey-token (critical): the patients table was backed up by IAM user eve
      aws dynamodb delete-backup --backup-arn arn:aws:dynamodb:eu-west-1:123456789012:table/Patients/backup/01
    honey-token (critical): the patients table was restored into another table by IAM user eve
      find who read the copy, then: aws dynamodb delete-table --table-name tmp
    honey-token (critical): the patients table was replicated to another region by IAM user eve
      aws dynamodb update-table --table-name Patients --replica-updates '[{"Delete":{"RegionName":"<the region the event names>"}}]'
    honey-token (critical): the patients table was streamed to Kinesis by IAM user eve
      aws dynamodb disable-kinesis-streaming-destination --table-name Patients --stream-arn arn:aws:kinesis:eu-west-1:123456789012:stream/s
    honey-token (critical): the patients table was opened to others by its resource policy by IAM user eve
      aws dynamodb delete-resource-policy --resource-arn arn:aws:dynamodb:eu-west-1:123456789012:table/Patients, or put the policy that was there
    escalate: the patients table was opened to principals of this account by its resource policy; whether they may read patients' data is for a human to say (PutResourcePolicy by IAM user eve)
    escalate: the patients table was given a resource policy that the event does not show; whether they may read patients' data is for a human to say (PutResourcePolicy by IAM user eve)
    patient-data-access (critical): the patients table was deleted by IAM user eve
      aws dynamodb list-backups --table-name Patients --backup-type ALL, then restore-table-from-backup --target-table-name Patients --backup-arn <the newest: with point-in-time recovery DynamoDB keeps one of a deleted table for 35 days>
    "#);
}

#[test]
fn what_shows_no_patient_is_told_to_a_human() {
    let probe = json!({"tableName": "Patients", "limit": 1});
    let console = json!({"sessionCredentialFromConsole": "true"});
    insta::assert_snapshot!([
        judged("Scan", probe.clone(), console.clone()),
        judged("Scan", probe, json!({})),
        judged("Scan", json!({"tableName": "Patients", "limit": 1, "exclusiveStartKey": {"patientId": "P-1"}}), console),
        judged("Scan", json!({"tableName": "Patients", "select": "COUNT"}), json!({})),
        judged("Scan", json!({"tableName": "Patients", "select": "COUNT", "filterExpression": "#a = :a"}), json!({})),
    ].join("\n"), @"
    escalate: the patients table was read by its first record, as the console does whenever somebody opens the table (Scan by IAM user eve)
    patient-data-access (high): the patients table was read by IAM user eve
    patient-data-access (high): the patients table was read by IAM user eve
    escalate: the patients table was counted, and no record was shown (Scan by IAM user eve)
    patient-data-access (high): the patients table was read by IAM user eve
    ");
}

#[test]
fn the_crm_may_touch_all_but_a_decoy() {
    let all = json!({"tableName": "Patients"});
    insta::assert_snapshot!([
        judged("GetItem", get("P-1"), by_crm(json!({}))),
        judged("Scan", all.clone(), by_crm(json!({}))),
        judged("DeleteItem", get("P-1"), by_crm(json!({}))),
        judged("GetRecords", json!(null), by_crm(json!({}))),
        judged("CreateBackup", all.clone(), by_crm(json!({}))),
        judged("GetItem", get("P-1"), by_crm(json!({"userIdentity": session_of("app/jobs")}))),
        judged("GetItem", get("P-1"), by_crm(json!({"sourceIPAddress": "203.0.113.9"}))),
        judged("ExportTableToPointInTime", json!({"tableArn": TABLE}), by_crm(json!({}))),
        judged("DeleteTable", all, by_crm(json!({}))),
        judged("DeleteItem", get("DECOY-1"), by_crm(json!({}))),
        judged("Query", json!({"tableName": "Patients", "key": {"patientId": "DECOY-1"}, "keyConditionExpression": "#a = :a"}), by_crm(json!({}))),
    ].join("\n"), @"
    ignore: the patients table was read by the CRM
    ignore: the patients table was read as a whole by the CRM
    ignore: the patients table was written by the CRM
    ignore: the patients table was read through its stream by the CRM
    ignore: the patients table was backed up by the CRM
    ignore: the patients table was read by the CRM
    ignore: the patients table was read by the CRM
    escalate: the patients table was exported to S3 by a role of the CRM, which no application does (ExportTableToPointInTime by role crm, session run)
    escalate: the patients table was deleted by a role of the CRM, which no application does (DeleteTable by role crm, session run)
    honey-token (critical): a decoy record of the patients table was written by role crm, session run
      compare what was written with what was there, and put it right: aws dynamodb restore-table-to-point-in-time --source-table-name Patients --target-table-name Patients-before --restore-date-time <a moment before 2026-11-25T03:12:40Z>; the events of this actor from then on name the records
    honey-token (critical): a decoy record of the patients table was read by role crm, session run
    ");
    let event = call("GetItem", get("DECOY-1"), by_crm(json!({})));
    let Verdict::Respond { incident, .. } = judge(&event, &watched(&[]), &Facts::default(), now())
    else {
        panic!("not answered");
    };
    assert!(matches!(incident.containment, Containment::None { .. }));
}

#[test]
fn a_role_of_the_crm_that_is_used_by_others_is_told_to_a_human() {
    let laptop =
        json!({"userAgent": "aws-cli/2.17.60 md/awscrt", "sourceIPAddress": "203.0.113.9"});
    let with = |changes: Value| {
        let mut all = laptop.clone();
        for (field, value) in changes.as_object().unwrap() {
            all[field] = value.clone();
        }
        judged("GetItem", get("P-1"), by_crm(all))
    };
    let identity = |changes: Value| {
        let mut identity = session_of("crm");
        for (field, value) in changes.as_object().unwrap() {
            identity[field] = value.clone();
        }
        judged("GetItem", get("P-1"), by_crm(by(identity)))
    };
    let scope = |function: &str| {
        json!({"inScopeOf": {
            "issuerType": "AWS::Lambda::Function",
            "credentialsIssuedTo": format!("arn:aws:lambda:eu-west-1:123456789012:function:{function}"),
        }})
    };
    let mut begun = session_of("crm");
    begun["sessionContext"]["sourceIdentity"] = json!("alice");
    insta::assert_snapshot!([
        with(json!({})),
        with(json!({"userAgent": "[aws-cli/1.16.93 Python/3]", "sourceIPAddress": "2001:db8::9"})),
        with(json!({"vpcEndpointId": "vpce-1"})),
        with(json!({"sourceIPAddress": "10.0.1.9"})),
        with(json!({"sourceIPAddress": "fd00::9"})),
        with(json!({"sourceIPAddress": "lambda.amazonaws.com"})),
        with(json!({"sourceIPAddress": null})),
        judged("GetItem", get("P-1"), by_crm(json!({"sessionCredentialFromConsole": "true"}))),
        judged("GetItem", get("P-1"), by_crm(by(begun))),
        identity(scope("attacker-fn")),
        identity(scope("run")),
        judged("GetItem", get("P-1"), by_crm(by(session_of("evil/crm")))),
        judged("GetItem", get("P-1"), by_crm(by(session_of("crm/evil")))),
    ].join("\n"), @"
    escalate: the patients table was read by a role of the CRM, but from outside, with a tool that people use: somebody may have borrowed or stolen it (GetItem by role crm, session run)
    escalate: the patients table was read by a role of the CRM, but from outside, with a tool that people use: somebody may have borrowed or stolen it (GetItem by role crm, session run)
    ignore: the patients table was read by the CRM
    ignore: the patients table was read by the CRM
    ignore: the patients table was read by the CRM
    ignore: the patients table was read by the CRM
    ignore: the patients table was read by the CRM
    escalate: the patients table was read by a role of the CRM, but from the console: somebody may have borrowed or stolen it (GetItem by role crm, session run)
    escalate: the patients table was read by a role of the CRM, but in a session that a person began: somebody may have borrowed or stolen it (GetItem by role crm, session run)
    escalate: the patients table was read by a role of the CRM, but for another function than the session is named after: somebody may have borrowed or stolen it (GetItem by role crm, session run)
    ignore: the patients table was read by the CRM
    escalate: the patients table was read by a role of the CRM, but under another path than is configured: somebody may have borrowed or stolen it (GetItem by role crm, session run)
    patient-data-access (high): the patients table was read by role evil, session run
    ");
}

#[test]
fn services_deployments_and_operators_are_not_contained_for_what_they_do() {
    let via = |service: &str, role: &str| {
        let mut identity = session_of(role);
        identity["invokedBy"] = json!(service);
        by(identity)
    };
    let backup = json!({"tableName": "Patients"});
    let restore = json!({"sourceTableName": "Patients", "targetTableName": "tmp"});
    let linked =
        "aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication";
    let cloudformation = "cloudformation.amazonaws.com";
    let service = json!({"type": "AWSService", "invokedBy": "dynamodb.amazonaws.com"});
    let lines = [
        judged(
            "Scan",
            backup.clone(),
            by(session_of("tourniquet/guard-notify")),
        ),
        judged("Scan", backup.clone(), by(session_of(linked))),
        judged("GetRecords", json!(null), by(service.clone())),
        judged(
            "CreateBackup",
            backup.clone(),
            via("backup.amazonaws.com", "backups"),
        ),
        judged(
            "RestoreTableToPointInTime",
            restore.clone(),
            via("backup.amazonaws.com", "backups"),
        ),
        judged("CreateBackup", backup.clone(), by(service.clone())),
        judged(
            "ExportTableToPointInTime",
            json!({"tableArn": TABLE}),
            by(service),
        ),
        judged(
            "DeleteTable",
            backup.clone(),
            via(cloudformation, "ci/deploy"),
        ),
        judged("DeleteTable", backup.clone(), via(cloudformation, "admin")),
        judged("CreateBackup", backup.clone(), by(session_of("operator"))),
        judged(
            "RestoreTableToPointInTime",
            restore,
            by(session_of("operator")),
        ),
        judged("CreateBackup", backup.clone(), by(session_of("backups"))),
        judged_with(
            &watched(&[("DEPLOY_ROLE_ARNS", "none")]),
            &call("DeleteTable", backup, via(cloudformation, "admin")),
        ),
    ];
    // The remedies are in other tests.
    let lines = lines.map(|line| line.split('\n').next().unwrap_or_default().to_owned());
    insta::assert_snapshot!(lines.join("\n"), @"
    ignore: the patients table was read as a whole by the responder itself
    ignore: the patients table was read as a whole by a service of AWS, for what somebody set up
    ignore: the patients table was read through its stream by a service of AWS, for what somebody set up
    ignore: the patients table was backed up by AWS Backup
    escalate: the patients table was restored into another table by a service of AWS; who asked it to is not known (RestoreTableToPointInTime by role backups, session run)
    ignore: the patients table was backed up by AWS Backup
    escalate: the patients table was exported to S3 by a service of AWS; who asked it to is not known (ExportTableToPointInTime by AWS service dynamodb.amazonaws.com)
    ignore: the patients table was deleted by a deployment
    patient-data-access (critical): the patients table was deleted by role admin, session run through cloudformation.amazonaws.com
    escalate: the patients table was backed up by an operator (CreateBackup by role operator, session run)
    escalate: the patients table was restored into another table by an operator (RestoreTableToPointInTime by role operator, session run)
    honey-token (critical): the patients table was backed up by role backups, session run
    escalate: the patients table was deleted through CloudFormation; whether that was a deployment of yours is not known, since no deploy role is configured (DeleteTable by role admin, session run)
    ");
}

#[test]
fn a_denied_access_is_told_unless_it_may_be_our_own_denial() {
    let denied = |name: &str, message: &str, changes: Value| {
        let mut record = json!({
            "errorCode": "AccessDenied", "errorMessage": message, "requestParameters": null,
            "resources": [],
        });
        for (field, value) in changes.as_object().unwrap() {
            record[field] = value.clone();
        }
        judged(name, json!(null), record)
    };
    let on = |arn: &str, why: &str| {
        format!("User: … is not authorized to perform: dynamodb:GetItem on resource: {arn} {why}")
    };
    let implicit = "because no identity-based policy allows the dynamodb:GetItem action";
    let explicit =
        "with an explicit deny in an identity-based policy: arn:aws:iam::aws:policy/AWSDenyAll";
    insta::assert_snapshot!([
        denied("GetItem", &on(TABLE, implicit), json!({})),
        denied("GetItem", &on(TABLE, explicit), json!({})),
        denied("ExportTableToPointInTime", &on(TABLE, explicit), json!({})),
        denied("GetItem", &on(&format!("{TABLE}-archive"), implicit), json!({})),
        denied("GetItem", "", json!({})),
        denied("GetItem", "", json!({"requestParameters": get("DECOY-1")})),
        denied("GetItem", "", json!({"errorCode": "AccessDeniedException", "requestParameters": {"tableName": "Visits"}})),
        denied("GetItem", "", json!({"errorCode": "ValidationException", "requestParameters": get("DECOY-1")})),
        denied("GetItem", "", json!({"errorCode": "ResourceNotFoundException"})),
    ].join("\n"), @"
    escalate: GetItem of the patients table was attempted and denied
    ignore: GetItem of the patients table was denied explicitly
    ignore: ExportTableToPointInTime of the patients table was denied explicitly
    ignore: GetItem of something else than the patients table was denied
    escalate: GetItem of the patients table was attempted and denied
    escalate: GetItem of the patients table was attempted and denied
    ignore: GetItem of something else than the patients table was denied
    ignore: GetItem failed (ValidationException): nothing changed
    ignore: GetItem failed (ResourceNotFoundException): nothing changed
    ");
}

#[test]
fn a_failed_condition_that_answers_with_the_item_is_a_read() {
    let failed = |key: &str, by: Value| {
        let mut record = by;
        record["errorCode"] = json!("ConditionalCheckFailedException");
        let request = json!({
            "tableName": "Patients", "key": {"patientId": key},
            "returnValuesOnConditionCheckFailure": "ALL_OLD",
        });
        judged("UpdateItem", request, record)
    };
    insta::assert_snapshot!([
        failed("P-1", json!({})),
        failed("DECOY-1", json!({})),
        failed("P-1", by_crm(json!({}))),
        failed("P-1", by_crm(json!({"userAgent": "aws-cli/1.16", "sourceIPAddress": "203.0.113.9"}))),
        failed("DECOY-1", by_crm(json!({}))),
        judged("UpdateItem", get("P-1"), json!({"errorCode": "ConditionalCheckFailedException"})),
    ].join("\n"), @"
    patient-data-access (high): the patients table was read by IAM user eve
    honey-token (critical): a decoy record of the patients table was read by IAM user eve
    ignore: the patients table was read by the CRM for a condition that was not met
    ignore: the patients table was read by the CRM for a condition that was not met
    honey-token (critical): a decoy record of the patients table was read by role crm, session run
    ignore: UpdateItem failed (ConditionalCheckFailedException): nothing changed
    ");
}

#[test]
fn other_tables_and_other_calls_are_none_of_these() {
    let elsewhere = json!({"resources": [{"ARN": format!("{TABLE}-archive")}]});
    insta::assert_snapshot!([
        judged("GetItem", json!({"tableName": "Patients-archive", "key": {"patientId": "DECOY-1"}}), elsewhere),
        judged("DescribeTable", json!({"tableName": "Patients"}), json!({})),
        judged("UpdateTable", json!({"tableName": "Patients", "provisionedThroughput": {}}), json!({})),
        judged("PutResourcePolicy", json!({"resourceArn": TABLE, "policy": "{\"Statement\":[]}"}), json!({})),
        judged("ImportTable", json!({"tableCreationParameters": {"tableName": "Patients"}}), json!({"resources": null})),
        judged("GetItem", json!(null), json!({"resources": null})),
    ].join("\n"), @"
    ignore: GetItem of something else than the patients table
    ignore: DescribeTable of dynamodb.amazonaws.com is not an indicator
    ignore: UpdateTable of something else than the responder's ledger
    ignore: nothing in the patients table was touched
    ignore: ImportTable of dynamodb.amazonaws.com is not an indicator
    escalate: GetItem succeeded, and the event does not say whether on the patients table
    ");
    // The ledger is the responder's own.
    let ledger = call(
        "DeleteTable",
        json!({"tableName": "guard-Ledger-1ABC"}),
        json!({"resources": null}),
    );
    assert_eq!(
        line(judge(&ledger, &watched(&[]), &Facts::default(), now())),
        "respond: the responder's ledger was changed (DeleteTable) by IAM user eve [remedy]"
    );
    let unwatched = watch(&[]);
    assert_eq!(
        judged_with(&unwatched, &call("GetItem", get("DECOY-1"), json!({}))),
        "ignore: GetItem of dynamodb.amazonaws.com is not an indicator"
    );
}

#[test]
fn many_reads_by_one_actor_are_one_incident_an_hour() {
    let id = |name: &str, request: Value, changes: Value| {
        let event = call(name, request, changes);
        match judge(&event, &watched(&[]), &Facts::default(), now()) {
            Verdict::Respond { incident_id, .. } => incident_id.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let first = id("GetItem", get("P-1"), json!({}));
    assert!(first.starts_with("hourly-"), "{first}");
    assert_eq!(
        id("GetItem", get("P-2"), json!({"eventID": "another"})),
        first
    );
    let others = [
        id("GetItem", get("DECOY-1"), json!({})),
        id("Query", get("P-1"), json!({})),
        id(
            "GetItem",
            get("P-1"),
            json!({"eventTime": "2026-11-25T02:12:40Z"}),
        ),
        id("GetItem", get("P-1"), by(session_of("admin"))),
        id(
            "ExecuteStatement",
            json!({"statement": "SELECT * FROM Patients WHERE a = 1"}),
            json!({}),
        ),
        id(
            "ExecuteStatement",
            json!({"statement": "DELETE FROM Patients WHERE patientId = 'P-1'"}),
            json!({}),
        ),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, first);
        assert!(!others[..index].contains(other));
    }
    // Every copy is one more to find.
    let export = |event: &str| {
        id(
            "ExportTableToPointInTime",
            json!({"tableArn": TABLE}),
            json!({"eventID": event}),
        )
    };
    assert_eq!(export("one"), "one");
    assert_eq!(export("two"), "two");
}

#[test]
fn no_verdict_shows_a_key() {
    for (name, request) in [
        ("GetItem", get("DECOY-1")),
        ("DeleteItem", get("P-SECRET")),
        (
            "ExecuteStatement",
            json!({"statement": "SELECT * FROM Patients WHERE patientId = 'P-SECRET'"}),
        ),
        (
            "ExecuteStatement",
            json!({"statement": "SELECT * FROM Patients WHERE patientId <> 'P-SECRET'"}),
        ),
    ] {
        for changes in [
            json!({}),
            by_crm(json!({})),
            json!({"errorCode": "AccessDenied"}),
        ] {
            let event = call(name, request.clone(), changes);
            let verdict = judge(&event, &watched(&[]), &Facts::default(), now());
            let shown = format!("{verdict:?} {}", serde_json::to_value(&verdict).unwrap());
            for secret in ["DECOY", "SECRET", "patientId"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
    let watch = format!("{:?}", watched(&[]));
    assert!(
        !watch.contains("DECOY") && watch.contains("Decoys(2)"),
        "{watch}"
    );
}

#[test]
fn settings_are_named_when_they_do_not_parse_and_decoys_never_shown() {
    let read = |name: &'static str, value: &'static str| {
        let settings = Settings::new(move |asked| match asked {
            _ if asked == name => Some(value.to_owned()),
            "PATIENTS_TABLE_ARN" => Some(TABLE.to_owned()),
            _ => None,
        });
        Patients::from_settings(&settings)
    };
    assert!(read("PATIENTS_TABLE_ARN", "none").unwrap().is_none());
    assert!(read("PATIENTS_TABLE_ARN", "Patients").is_err());
    assert!(read("WORKLOAD_ROLE_ARNS", "crm").is_err());
    assert_eq!(
        read("DECOY_KEYS", r#"[{"patientId":"DECOY-1"},"DECOY-2"]"#)
            .unwrap_err()
            .to_string(),
        "the setting DECOY_KEYS: key 2 is not an object of attributes' names and texts or numbers"
    );
}
