//! Calls on the responder itself.

use serde_json::{Value, json};

use super::{event, line, now, session_of, trail_facts, verdict, verdicts, watch, with_facts};
use crate::{Facts, Verdict, judge};

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
        ("EnableRule", json!({"name": "guard-sessions-taken"})),
    ]), @"
    respond: our rule guard-trail-tampered was disabled by IAM user eve
    respond: our rule guard-trail-tampered was deleted by IAM user eve
    respond: our rule guard-trails-checked was replaced by IAM user eve
    respond: our rule guard-trail-tampered was given other targets by IAM user eve
    respond: our rule guard-trail-tampered lost targets by IAM user eve
    ignore: DisableRule of something else than a rule of the responder
    ignore: DisableRule of something else than a rule of the responder
    escalate: DisableRule succeeded, and the event does not say whether on a rule of the responder
    ignore: our rule guard-trail-tampered was enabled
    respond: our rule guard-sessions-taken was enabled without the calls that read by IAM user eve
    ");
}

/// A call that another region recorded, by whom.
fn elsewhere(service: &str, name: &str, request: Value, by: Value) -> Value {
    let changes = json!({"awsRegion": "us-east-1", "userIdentity": by});
    event(service, name, request, changes)
}

fn eve() -> Value {
    json!({"type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/eve"})
}

#[test]
fn what_forwards_the_events_of_other_regions_is_ours() {
    let of = |service: &str, name: &str, request: Value| {
        let event = elsewhere(service, name, request, eve());
        line(judge(&event, &watch(&[]), &Facts::default(), now()))
    };
    let rule = |name: &str| json!({"name": name});
    let named = |name: &str| json!({"roleName": name});
    insta::assert_snapshot!([
        of("events", "DisableRule", rule("guard-forward-changes")),
        of("events", "DeleteRule", rule("guard-forward-sessions")),
        of("events", "PutRule", rule("guard-forward-changes")),
        of("events", "PutTargets", json!({"rule": "guard-forward-sessions"})),
        of("events", "RemoveTargets", json!({"rule": "guard-forward-changes", "eventBusName": "default"})),
        of("iam", "DeleteRole", named("guard-forward-us-east-1")),
        of("iam", "DeleteRolePolicy", named("Guard-Forward-US-East-1")),
        of("iam", "UpdateAssumeRolePolicy", named("guard-forward-us-gov-east-1")),
        of("iam", "AttachRolePolicy", named("guard-forward-ap-southeast-2")),
        // Somebody else's.
        of("events", "DisableRule", rule("guard-forward-other")),
        of("events", "DisableRule", rule("guard-dev-forward-changes")),
        of("events", "DisableRule", json!({"name": "guard-forward-changes", "eventBusName": "other"})),
        verdict("events", "DisableRule", rule("guard-forward-changes"), json!({})),
        of("iam", "DeleteRole", named("guard-forward-eu-west-1")),
        of("iam", "DeleteRole", named("guard-forward-mail")),
        of("iam", "DeleteRole", named("guard-forward-us-east-x")),
    ].join("\n"), @"
    respond: a rule that forwards events to the responder was changed (DisableRule): guard-forward-changes of us-east-1 by IAM user eve [remedy]
    respond: a rule that forwards events to the responder was changed (DeleteRule): guard-forward-sessions of us-east-1 by IAM user eve [remedy]
    respond: a rule that forwards events to the responder was changed (PutRule): guard-forward-changes of us-east-1 by IAM user eve [remedy]
    respond: a rule that forwards events to the responder was changed (PutTargets): guard-forward-sessions of us-east-1 by IAM user eve [remedy]
    respond: a rule that forwards events to the responder was changed (RemoveTargets): guard-forward-changes of us-east-1 by IAM user eve [remedy]
    respond: the role that forwards events to the responder was changed (DeleteRole): guard-forward-us-east-1 of us-east-1 by IAM user eve [remedy]
    respond: the role that forwards events to the responder was changed (DeleteRolePolicy): Guard-Forward-US-East-1 of us-east-1 by IAM user eve [remedy]
    respond: the role that forwards events to the responder was changed (UpdateAssumeRolePolicy): guard-forward-us-gov-east-1 of us-gov-east-1 by IAM user eve [remedy]
    respond: the role that forwards events to the responder was changed (AttachRolePolicy): guard-forward-ap-southeast-2 of ap-southeast-2 by IAM user eve [remedy]
    ignore: DisableRule of something else than a rule of the responder
    ignore: DisableRule of something else than a rule of the responder
    ignore: DisableRule of something else than a rule of the responder
    ignore: DisableRule of something else than a rule of the responder
    ignore: DeleteRole of something else than a role of the responder
    ignore: DeleteRole of something else than a role of the responder
    ignore: DeleteRole of something else than a role of the responder
    ");
}

#[test]
fn how_the_forwarding_is_put_right_is_said_with_the_exact_calls() {
    let request = json!({"name": "guard-forward-changes"});
    let event = elsewhere("events", "DisableRule", request, eve());
    let Verdict::Respond { incident, .. } = judge(&event, &watch(&[]), &Facts::default(), now())
    else {
        panic!("an incident");
    };
    insta::assert_snapshot!(incident.remedy.unwrap(), @"until it is put right, what is recorded in us-east-1 may not arrive. CloudFormation does not mend what was changed beside it, so by a deploy role: aws cloudformation delete-stack --region us-east-1 --stack-name guard-forward; then, from a source you trust: sam deploy --region us-east-1 --template-file infra/forward-global-events.yaml --stack-name guard-forward --resolve-s3 --capabilities CAPABILITY_NAMED_IAM --parameter-overrides HomeRegion=eu-west-1 StackName=guard NotificationEmail=<whom to tell>. Then look in that region for what was done meanwhile: aws cloudtrail lookup-events --region us-east-1");
}

#[test]
fn a_deploy_role_may_change_the_forwarding_through_cloudformation_only() {
    let judged = |deployers, service, name, request, by, through: Option<&str>| {
        let mut by = session_of(by);
        by["invokedBy"] = json!(through);
        let event = elsewhere(service, name, request, by);
        let watch = watch(&[("DEPLOY_ROLE_ARNS", deployers)]);
        line(judge(&event, &watch, &Facts::default(), now()))
    };
    let cloudformation = Some("cloudformation.amazonaws.com");
    let ci = "arn:aws:iam::123456789012:role/ci/deploy";
    let rule = || json!({"name": "guard-forward-changes"});
    let forwarder = || json!({"roleName": "guard-forward-us-east-1"});
    insta::assert_snapshot!([
        judged(ci, "events", "DeleteRule", rule(), "ci/deploy", cloudformation),
        judged(ci, "iam", "DeleteRole", forwarder(), "ci/deploy", cloudformation),
        judged(ci, "events", "DeleteRule", rule(), "ci/deploy", None),
        judged(ci, "events", "DeleteRule", rule(), "admin", cloudformation),
        judged("none", "events", "PutRule", rule(), "admin", cloudformation),
    ].join("\n"), @"
    ignore: a deployment by a deploy role
    ignore: a deployment by a deploy role
    respond: a rule that forwards events to the responder was changed (DeleteRule): guard-forward-changes of us-east-1 by role deploy, session run [remedy]
    respond: a rule that forwards events to the responder was changed (DeleteRule): guard-forward-changes of us-east-1 by role admin, session run through cloudformation.amazonaws.com [remedy]
    escalate: a rule that forwards events to the responder was changed (PutRule) through CloudFormation; whether that was a deployment of yours is not known, since no deploy role is configured (PutRule by role admin, session run)
    ");
}

#[test]
fn taking_the_wire_away_is_told_of_when_it_is_denied() {
    let denied = |request: Value, message: &str| {
        let mut event = elsewhere("events", "DisableRule", request, eve());
        event["detail"]["errorCode"] = json!("AccessDenied");
        event["detail"]["errorMessage"] = json!(message);
        line(judge(&event, &watch(&[]), &Facts::default(), now()))
    };
    let says = "not authorized to perform: events:DisableRule on resource: \
                arn:aws:events:us-east-1:123456789012:rule/guard-forward-changes";
    insta::assert_snapshot!([
        denied(json!({"name": "guard-forward-changes"}), ""),
        denied(json!(null), says),
        denied(json!(null), &says.replace("guard", "other")),
    ].join("\n"), @"
    escalate: DisableRule of a rule that forwards events to the responder was attempted and denied
    escalate: DisableRule of a rule of the responder was attempted and denied
    ignore: DisableRule of something else than a rule of the responder was denied
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
    escalate: DetachRolePolicy succeeded, and the event does not say whether on the denial of somebody who is contained
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
    ignore: triage was started by the responder itself
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

/// A rule of ours, put as it was deployed.
fn as_deployed(name: &str) -> Value {
    let rules = watch(&[]).ours.rules;
    let rule = rules.into_iter().find(|rule| rule.name == name).unwrap();
    json!({
        "name": rule.name,
        "state": "ENABLED",
        "eventPattern": rule.pattern.map(|pattern| pattern.to_string()),
        "scheduleExpression": rule.schedule,
    })
}

#[test]
fn our_rules_may_be_put_as_they_were_deployed() {
    let target = || {
        json!({
            "id": "triage",
            "arn": format!("{MACHINE}triage"),
            "roleArn": "arn:aws:iam::123456789012:role/tourniquet/guard-events",
        })
    };
    let mut silenced = target();
    silenced["input"] = json!("{}");
    let mut disabled = as_deployed("guard-trail-tampered");
    disabled["state"] = json!("DISABLED");
    let on = |field: &str, value: Value| json!({"rule": "guard-trail-tampered", field: value});
    insta::assert_snapshot!(verdicts("events", &Facts::default(), [
        ("PutRule", as_deployed("guard-trail-tampered")),
        ("PutRule", as_deployed("guard-trails-checked")),
        ("PutRule", disabled),
        ("PutTargets", on("targets", json!([target()]))),
        ("PutTargets", on("targets", json!([silenced]))),
        ("PutTargets", on("targets", json!([target(), {"id": "x", "arn": "arn:aws:sqs:::x"}]))),
        ("RemoveTargets", on("ids", json!(["x"]))),
        ("RemoveTargets", on("ids", json!(["x", "triage"]))),
    ]), @"
    ignore: the rule was put as it was deployed
    ignore: the rule was put as it was deployed
    respond: our rule guard-trail-tampered was replaced by IAM user eve
    ignore: the rule was given the target it was deployed with
    respond: our rule guard-trail-tampered was given other targets by IAM user eve
    respond: our rule guard-trail-tampered was given other targets by IAM user eve
    ignore: the rule lost targets that it was not deployed with
    respond: our rule guard-trail-tampered lost targets by IAM user eve
    ");
}

#[test]
fn our_own_actions_start_nothing_and_a_stolen_role_of_ours_does() {
    let ours = || json!({"userIdentity": session_of("tourniquet/guard-restore-cloudtrail")});
    let like = || json!({"userIdentity": session_of("guard-restore-cloudtrail")});
    let narrowed = || json!({"name": "clinic", "isMultiRegionTrail": false});
    let restored =
        json!({"name": "clinic", "isMultiRegionTrail": true, "s3BucketName": "clinic-logs"});
    insta::assert_snapshot!([
        with_facts("cloudtrail", "UpdateTrail", restored, ours(), &trail_facts(None)),
        verdict("events", "PutRule", as_deployed("guard-trail-tampered"), ours()),
        verdict("cloudtrail", "StartLogging", json!({"name": "clinic"}), ours()),
        verdict("kms", "EnableKey", json!({"keyId": "x"}), ours()),
        // What our workers do is told when it is not how they do it, and starts no repair of a repair.
        verdict("cloudtrail", "UpdateTrail", narrowed(), ours()),
        verdict("events", "PutRule", json!({"name": "guard-trail-tampered"}), ours()),
        // No worker stops a trail: whoever does with its role has stolen it.
        verdict("cloudtrail", "StopLogging", json!({"name": "clinic"}), ours()),
        verdict("cloudtrail", "UpdateTrail", narrowed(), like()),
    ].join("\n"), @"
    ignore: the update is as recorded, or makes the trail stronger
    ignore: the rule was put as it was deployed
    ignore: StartLogging of cloudtrail.amazonaws.com is not an indicator
    ignore: EnableKey of kms.amazonaws.com is not an indicator
    escalate: the watched trail was narrowed to one region by role guard-restore-cloudtrail, session run: one of our own roles did what it never does
    escalate: our rule guard-trail-tampered was replaced by role guard-restore-cloudtrail, session run: one of our own roles did what it never does
    respond: the watched trail was stopped by role guard-restore-cloudtrail, session run
    respond: the watched trail was narrowed to one region by role guard-restore-cloudtrail, session run
    ");
}

#[test]
fn what_only_a_human_repairs_is_one_incident_an_hour() {
    let id = |name: &str, at: &str, by: &str| {
        let request = json!({"bucketName": "clinic-logs", "key": "AWSLogs/x"});
        let changes = json!({
            "eventID": format!("{name}-{at}"),
            "eventTime": at,
            "userIdentity": {"type": "IAMUser", "arn": format!("arn:aws:iam::123456789012:user/{by}")},
        });
        let event = event("s3", name, request, changes);
        match judge(&event, &watch(&[]), &Facts::default(), now()) {
            Verdict::Respond { incident_id, .. } => incident_id.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let first = id("DeleteObject", "2026-11-25T03:00:01Z", "eve");
    assert_eq!(first, id("DeleteObject", "2026-11-25T03:12:00Z", "eve"));
    assert_ne!(first, id("DeleteObject", "2026-11-25T02:59:59Z", "eve"));
    assert_ne!(first, id("DeleteObject", "2026-11-25T03:00:01Z", "mallory"));
    assert_ne!(first, id("PutObject", "2026-11-25T03:00:01Z", "eve"));
}

#[test]
fn what_is_a_day_old_is_told_and_starts_nothing() {
    let stop = |at: &str| {
        let changes = json!({"eventTime": at});
        verdict(
            "cloudtrail",
            "StopLogging",
            json!({"name": "clinic"}),
            changes,
        )
    };
    insta::assert_snapshot!([stop("2026-11-24T03:13:00Z"), stop("2026-11-24T03:12:00Z")].join("\n"), @"
    respond: the watched trail was stopped by IAM user eve
    escalate: the watched trail was stopped by IAM user eve; the event is more than a day old
    ");
}

#[test]
fn our_alarms_by_the_name_of_the_stack() {
    insta::assert_snapshot!(verdicts("monitoring", &Facts::default(), [
        ("DeleteAlarms", json!({"alarmNames": ["other", "guard-undelivered-events"]})),
        ("DisableAlarmActions", json!({"alarmNames": ["guard-check-trails-silent"]})),
        ("PutMetricAlarm", json!({"alarmName": "guard-check-trails-silent"})),
        ("DeleteAlarms", json!({"alarmNames": ["other", "guardian"]})),
        ("DescribeAlarms", json!({"alarmNames": ["guard-undelivered-events"]})),
    ]), @"
    respond: an alarm of the responder was changed (DeleteAlarms) by IAM user eve [remedy]
    respond: an alarm of the responder was changed (DisableAlarmActions) by IAM user eve [remedy]
    respond: an alarm of the responder was changed (PutMetricAlarm) by IAM user eve [remedy]
    ignore: DeleteAlarms of something else than an alarm of the responder
    ignore: DescribeAlarms of monitoring.amazonaws.com is not an indicator
    ");
}
