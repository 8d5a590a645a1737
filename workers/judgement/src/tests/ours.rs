//! Calls on the responder itself.

use serde_json::{Value, json};

use super::{event, line, now, session_of, verdict, verdicts, watch};
use crate::{Facts, judge};

const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:stateMachine:guard-";

#[test]
fn our_rules_by_exact_name() {
    insta::assert_snapshot!(verdicts("events", &Facts::default(), [
        ("DisableRule", json!({"name": "guard-trail-tampered"})),
        ("DeleteRule", json!({"name": "guard-trail-tampered", "force": true})),
        ("PutRule", json!({"name": "guard-trails-checked", "state": "DISABLED"})),
        ("PutTargets", json!({"rule": "guard-trail-tampered"})),
        ("RemoveTargets", json!({"rule": "guard-trail-tampered", "eventBusName": "default"})),
        ("DisableRule", json!({"name": "guard-trail-tampered", "eventBusName": "other"})),
        ("DisableRule", json!({"name": "guard-dev-trail-tampered"})),
        ("DisableRule", json!(null)),
        ("EnableRule", json!({"name": "guard-trail-tampered"})),
    ]), @"
    respond: our rule guard-trail-tampered was disabled by IAM user eve
    respond: our rule guard-trail-tampered was deleted by IAM user eve
    respond: our rule guard-trails-checked was replaced by IAM user eve
    respond: our rule guard-trail-tampered was given other targets by IAM user eve
    respond: our rule guard-trail-tampered lost targets by IAM user eve
    ignore: DisableRule of something else than a rule of the responder
    ignore: DisableRule of something else than a rule of the responder
    escalate: DisableRule succeeded, and the event does not say whether on a rule of the responder
    ignore: EnableRule of events.amazonaws.com is not an indicator
    ");
}

#[test]
fn our_machines_functions_roles_ledger_topic_queue_and_stack() {
    let of = |service: &str, name: &str, request: Value| verdict(service, name, request, json!({}));
    let machine = |name: &str| json!({"stateMachineArn": format!("{MACHINE}{name}")});
    let function = |name: &str| json!({"functionName": name});
    insta::assert_snapshot!([
        of("states", "UpdateStateMachine", machine("triage")),
        of("states", "DeleteStateMachine", machine("triage:7")),
        of("states", "DeleteStateMachine", machine("other")),
        of("lambda", "UpdateFunctionCode20150331v2", function("guard-notify")),
        of("lambda", "DeleteFunction20150331", function("arn:aws:lambda:eu-west-1:123456789012:function:guard-notify:3")),
        of("lambda", "PutFunctionConcurrency20171031", function("guard-notify")),
        of("lambda", "UpdateFunctionCode20150331v2", function("guard-notify-2")),
        of("lambda", "DeleteFunctionUrlConfig", function("guard-notify")),
        of("dynamodb", "DeleteTable", json!({"tableName": "guard-Ledger-1ABC"})),
        of("dynamodb", "UpdateTable", json!({"tableName": "arn:aws:dynamodb:eu-west-1:123456789012:table/guard-Ledger-1ABC"})),
        of("dynamodb", "DeleteTable", json!({"tableName": "Patients"})),
        of("sns", "DeleteTopic", json!({"topicArn": "arn:aws:sns:eu-west-1:123456789012:guard-Topic-1ABC"})),
        of("sns", "Unsubscribe", json!({"subscriptionArn": "arn:aws:sns:eu-west-1:123456789012:guard-Topic-1ABC:5b"})),
        of("sns", "Unsubscribe", json!({"subscriptionArn": "arn:aws:sns:eu-west-1:123456789012:news:5b"})),
        of("sqs", "PurgeQueue", json!({"queueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/guard-UndeliveredEvents-1ABC"})),
        of("iam", "PutRolePolicy", json!({"roleName": "guard-notify"})),
        of("iam", "DetachRolePolicy", json!({"roleName": "guard-dev-notify"})),
        of("cloudformation", "DeleteStack", json!({"stackName": "guard"})),
        of("cloudformation", "SetStackPolicy", json!({"stackName": "arn:aws:cloudformation:eu-west-1:123456789012:stack/guard/1"})),
        of("cloudformation", "DeleteStack", json!({"stackName": "guard-dev"})),
        of("cloudformation", "UpdateTerminationProtection", json!({"stackName": "guard", "enableTerminationProtection": true})),
        of("cloudformation", "ExecuteChangeSet", json!({"changeSetName": "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/c/1"})),
    ].join("\n"), @"
    respond: a state machine of the responder was changed (UpdateStateMachine) by IAM user eve [remedy]
    respond: a state machine of the responder was changed (DeleteStateMachine) by IAM user eve [remedy]
    ignore: DeleteStateMachine of something else than a state machine of the responder
    respond: a function of the responder was changed (UpdateFunctionCode20150331v2) by IAM user eve [remedy]
    respond: a function of the responder was changed (DeleteFunction20150331) by IAM user eve [remedy]
    respond: a function of the responder was changed (PutFunctionConcurrency20171031) by IAM user eve [remedy]
    ignore: UpdateFunctionCode20150331v2 of something else than a function of the responder
    ignore: DeleteFunctionUrlConfig of lambda.amazonaws.com is not an indicator
    respond: the responder's ledger was changed (DeleteTable) by IAM user eve [remedy]
    respond: the responder's ledger was changed (UpdateTable) by IAM user eve [remedy]
    ignore: DeleteTable of something else than the responder's ledger
    respond: the responder's topic was changed (DeleteTopic) by IAM user eve [remedy]
    escalate: somebody who was told of incidents is not, or is told of fewer (Unsubscribe by IAM user eve)
    ignore: Unsubscribe of something else than a subscription to the responder's topic
    respond: the responder's queue of undelivered events was changed (PurgeQueue) by IAM user eve [remedy]
    respond: a role of the responder was changed (PutRolePolicy) by IAM user eve [remedy]
    ignore: DetachRolePolicy of something else than a role of the responder
    respond: the responder's stack was changed (DeleteStack) by IAM user eve [remedy]
    respond: the responder's stack was changed (SetStackPolicy) by IAM user eve [remedy]
    ignore: DeleteStack of something else than the responder's stack
    ignore: termination protection was turned on
    ignore: ExecuteChangeSet of something else than the responder's stack
    ");
}

#[test]
fn a_role_is_the_same_in_any_case() {
    let request = json!({"roleName": "GUARD-Notify"});
    assert_eq!(
        verdict("iam", "DeleteRole", request, json!({})),
        "respond: a role of the responder was changed (DeleteRole) by IAM user eve [remedy]"
    );
}

#[test]
fn a_deploy_role_may_change_all_of_it_through_cloudformation_only() {
    let by = |role: &str, through: Option<&str>| {
        let mut identity = session_of(role);
        if let Some(service) = through {
            identity["invokedBy"] = json!(service);
        }
        json!({"userIdentity": identity})
    };
    let cloudformation = Some("cloudformation.amazonaws.com");
    let function = || json!({"functionName": "guard-notify"});
    let code = "UpdateFunctionCode20150331v2";
    insta::assert_snapshot!([
        verdict("lambda", code, function(), by("ci/deploy", cloudformation)),
        verdict("lambda", code, function(), by("ci/deploy", None)),
        verdict("lambda", code, function(), by("ci/deploy", Some("codepipeline.amazonaws.com"))),
        verdict("lambda", code, function(), by("admin", cloudformation)),
        // The same name under another path is not the role that was named.
        verdict("lambda", code, function(), by("deploy", cloudformation)),
        verdict("events", "PutRule", json!({"name": "guard-trail-tampered"}), by("ci/deploy", cloudformation)),
        verdict("cloudformation", "UpdateStack", json!({"stackName": "guard"}), by("ci/deploy", None)),
        verdict("cloudformation", "UpdateStack", json!({"stackName": "guard"}), by("admin", None)),
    ].join("\n"), @"
    ignore: a deployment by a deploy role
    respond: a function of the responder was changed (UpdateFunctionCode20150331v2) by role deploy, session run [remedy]
    respond: a function of the responder was changed (UpdateFunctionCode20150331v2) by role deploy, session run through codepipeline.amazonaws.com [remedy]
    respond: a function of the responder was changed (UpdateFunctionCode20150331v2) by role admin, session run through cloudformation.amazonaws.com [remedy]
    respond: a function of the responder was changed (UpdateFunctionCode20150331v2) by role deploy, session run through cloudformation.amazonaws.com [remedy]
    ignore: a deployment by a deploy role
    ignore: a deployment by a deploy role
    respond: the responder's stack was changed (UpdateStack) by role admin, session run [remedy]
    ");
    let unknown = watch(&[("DEPLOY_ROLE_ARNS", "none")]);
    let event = event("lambda", code, function(), by("admin", cloudformation));
    insta::assert_snapshot!(line(judge(&event, &unknown, &Facts::default(), now())), @"escalate: a function of the responder was changed (UpdateFunctionCode20150331v2) through CloudFormation; whether that was a deployment of yours is not known, since no deploy role is configured (UpdateFunctionCode20150331v2 by role admin, session run)");
}

#[test]
fn our_buttons_are_the_operators() {
    let start = |machine: &str| json!({"stateMachineArn": format!("{MACHINE}{machine}")});
    let stop = || json!({"executionArn": "arn:aws:states:eu-west-1:123456789012:execution:guard-triage:x"});
    let by = |role: &str| json!({"userIdentity": session_of(role)});
    let glass = || json!({"userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/glass"}});
    insta::assert_snapshot!([
        verdict("states", "StartExecution", start("record-baseline"), by("operator")),
        verdict("states", "StartExecution", start("record-baseline"), glass()),
        verdict("states", "StartExecution", start("record-baseline"), json!({})),
        verdict("states", "StartExecution", start("triage"), json!({})),
        verdict("states", "StartExecution", start("triage"), by("tourniquet/guard-events")),
        verdict("states", "StartExecution", start("other"), json!({})),
        verdict("states", "StopExecution", stop(), json!({})),
        verdict("states", "StopExecution", stop(), by("operator")),
    ].join("\n"), @"
    ignore: record-baseline was started by an operator
    ignore: record-baseline was started by an operator
    respond: record-baseline was started by IAM user eve [remedy]
    escalate: triage was started by none of the operators (StartExecution by IAM user eve)
    ignore: StartExecution of a runbook: the responder's own action
    ignore: StartExecution of something else than a runbook
    respond: an execution of the responder was stopped by IAM user eve [remedy]
    ignore: an operator stopped an execution
    ");
    let nobody = watch(&[("OPERATOR_ROLE_ARNS", "none")]);
    let event = event(
        "states",
        "StartExecution",
        start("record-baseline"),
        json!({}),
    );
    insta::assert_snapshot!(line(judge(&event, &nobody, &Facts::default(), now())), @"escalate: a baseline was recorded, and whether by an operator is not known, since none is configured (OperatorRoleArns) (StartExecution by IAM user eve)");
}

#[test]
fn our_own_actions_start_nothing_and_a_stolen_role_of_ours_does() {
    let ours = || json!({"userIdentity": session_of("tourniquet/guard-restore-cloudtrail")});
    let like = || json!({"userIdentity": session_of("guard-restore-cloudtrail")});
    let trail = || json!({"name": "clinic", "isMultiRegionTrail": false});
    insta::assert_snapshot!([
        verdict("cloudtrail", "UpdateTrail", trail(), ours()),
        verdict("cloudtrail", "PutEventSelectors", json!({"trailName": "clinic"}), ours()),
        verdict("s3", "PutBucketPolicy", json!({"bucketName": "clinic-logs"}), ours()),
        verdict("events", "PutRule", json!({"name": "guard-trail-tampered"}), ours()),
        verdict("cloudtrail", "StartLogging", json!({"name": "clinic"}), ours()),
        verdict("kms", "EnableKey", json!({"keyId": "x"}), ours()),
        // No worker stops a trail: whoever does with its role has stolen it.
        verdict("cloudtrail", "StopLogging", json!({"name": "clinic"}), ours()),
        verdict("cloudtrail", "UpdateTrail", trail(), like()),
    ].join("\n"), @"
    ignore: UpdateTrail of the watched trail: the responder's own action
    ignore: PutEventSelectors of the watched trail: the responder's own action
    ignore: PutBucketPolicy of the trail's log bucket: the responder's own action
    ignore: PutRule of a rule of the responder: the responder's own action
    ignore: StartLogging of cloudtrail.amazonaws.com is not an indicator
    ignore: EnableKey of kms.amazonaws.com is not an indicator
    respond: the watched trail was stopped by role guard-restore-cloudtrail, session run
    respond: the watched trail was narrowed to one region by role guard-restore-cloudtrail, session run
    ");
}
