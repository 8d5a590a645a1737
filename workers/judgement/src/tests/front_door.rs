//! The firewall, the user pool, and the alarms of an attack on them.

use incident::Target;
use serde_json::{Value, json};

use super::{event, line, now, session_of, watch};
use crate::{Facts, Verdict, Watch, judge};

const POOL: &str = "eu-west-1_ClinicPool";
const WEB_ACL: &str = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/clinic/11111111-aaaa";
const IPV4: &str = "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/guard-v4/44444444-aaaa";
const IPV6: &str = "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/guard-v6/66666666-aaaa";
const STAGE: &str = "arn:aws:apigateway:eu-west-1::/restapis/abc/stages/live";

fn watched() -> Watch {
    watch(&[
        ("USER_POOL_ID", POOL),
        ("WEB_ACL_ARN", WEB_ACL),
        ("IP_SET_V4_ARN", IPV4),
        ("IP_SET_V6_ARN", IPV6),
        ("API_ALARM_NAMES", "clinic waf,clinic-api"),
    ])
}

fn judged(event: &Value) -> Verdict {
    judge(event, &watched(), &Facts::default(), now())
}

fn called(service: &str, name: &str, request: Value, changes: Value) -> String {
    line(judged(&event(service, name, request, changes)))
}

fn firewall(name: &str, request: Value) -> String {
    called("wafv2", name, request, json!({}))
}

fn by_id(id: &str) -> Value {
    json!({"name": "named", "scope": "REGIONAL", "id": id, "lockToken": "t"})
}

fn alarm(name: &str, changes: Value) -> Value {
    let mut event = json!({
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": "123456789012",
        "time": "2026-11-25T03:12:44Z",
        "region": "eu-west-1",
        "detail": {
            "alarmName": name,
            "configuration": {"metrics": [{"id": "m"}]},
            "state": {"value": "ALARM", "reasonData": "{}"},
            "previousState": {"value": "OK"},
        },
    });
    for (field, value) in changes.as_object().unwrap() {
        event["detail"][field] = value.clone();
    }
    event
}

#[test]
fn an_alarm_of_an_attack_on_the_api_starts_the_search_for_offenders() {
    let went_off = |name: &str| line(judged(&alarm(name, json!({}))));
    insta::assert_snapshot!([
        went_off("guard-api-attacked-rate"),
        went_off("guard-api-attacked-sql-injection"),
        went_off("guard-api-attacked-cross-site-scripting"),
        went_off("guard-api-attacked-ip-reputation"),
        went_off("guard-api-attacked-known-bad-inputs"),
        went_off("clinic waf"),
        went_off("guard-api-attacked-otherwise"),
        went_off("api-attacked-rate"),
        went_off("clinic"),
    ].join("\n"), @"
    respond: single addresses send the API more requests than people do: guard-api-attacked-rate went off
    respond: the firewall stops SQL injection: guard-api-attacked-sql-injection went off
    respond: the firewall stops cross-site scripting: guard-api-attacked-cross-site-scripting went off
    respond: the firewall stops requests from addresses of ill repute: guard-api-attacked-ip-reputation went off
    respond: the firewall stops requests that are known to exploit something: guard-api-attacked-known-bad-inputs went off
    respond: the API is attacked: clinic waf went off
    ignore: guard-api-attacked-otherwise is none of our alarms
    ignore: api-attacked-rate is none of our alarms
    ignore: clinic is none of our alarms
    ");
    let Verdict::Respond { incident, .. } = judged(&alarm("clinic-api", json!({}))) else {
        panic!("an alarm that is named to us");
    };
    let arn = WEB_ACL.parse().unwrap();
    assert_eq!(incident.target, Target::WebAcl { arn });
    assert_eq!(incident.severity.to_string(), "high");
    assert_eq!(incident.runbook.to_string(), "api-attack");
    assert!(incident.containment.is_none());
}

#[test]
fn several_alarms_within_half_an_hour_are_one_incident() {
    let incident = |name: &str, time: &str| {
        let mut event = alarm(name, json!({}));
        event["time"] = json!(time);
        match judged(&event) {
            Verdict::Respond { incident_id, .. } => incident_id.to_string(),
            other => line(other),
        }
    };
    let first = incident("guard-api-attacked-rate", "2026-11-25T03:02:00Z");
    assert_eq!(incident("clinic waf", "2026-11-25T03:29:59Z"), first);
    assert_ne!(
        incident("guard-api-attacked-rate", "2026-11-25T03:30:00Z"),
        first
    );
}

#[test]
fn only_the_change_to_alarm_is_one_whoever_may_hear_it() {
    let with = |changes| line(judged(&alarm("clinic-api", changes)));
    let mut replayed = alarm("clinic-api", json!({}));
    replayed["replay-name"] = json!("again");
    let mut contributor = alarm("clinic-api", json!({}));
    contributor["detail-type"] = json!("CloudWatch Alarm Contributor State Change");
    insta::assert_snapshot!([
        with(json!({"state": {"value": "OK"}, "previousState": {"value": "ALARM"}})),
        with(json!({"state": {"value": "INSUFFICIENT_DATA"}, "previousState": null})),
        with(json!({"previousState": {"value": "ALARM"}})),
        with(json!({"previousState": null})),
        with(json!({"muteDetail": {"mutedByArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm-mute-rule:x"}})),
        with(json!({
            "configuration": {"alarmRule": "ALARM(one) OR ALARM(other)"},
            "state": {"value": "ALARM", "actionsSuppressedBy": "WaitPeriod"},
        })),
        line(judged(&replayed)),
        line(judged(&contributor)),
    ].join("\n"), @"
    ignore: clinic-api did not go off
    ignore: clinic-api did not go off
    ignore: clinic-api did not go off
    respond: the API is attacked: clinic-api went off
    respond: the API is attacked: clinic-api went off (muted or suppressed, which stops no attack)
    respond: the API is attacked: clinic-api went off (muted or suppressed, which stops no attack)
    escalate: the API is attacked: clinic-api went off; the event is replayed from an archive
    ignore: not an API call recorded by CloudTrail
    ");
}

#[test]
fn an_alarm_that_names_nobody_and_nothing_is_told() {
    let no_web_acl = watch(&[("API_ALARM_NAMES", "clinic-api")]);
    let went_off = alarm("clinic-api", json!({}));
    let unusual = alarm("guard-sign-ins-unusual", json!({}));
    insta::assert_snapshot!([
        line(judge(&went_off, &no_web_acl, &Facts::default(), now())),
        line(judged(&unusual)),
    ].join("\n"), @"
    escalate: the API is attacked: clinic-api went off, and no web ACL is configured to look for offenders in
    escalate: far more people sign in to the CRM than usual, or fail to, and an alarm names nobody: look at the user pool's metrics by app client, and at the sign-ins in CloudTrail
    ");
}

#[test]
fn whoever_weakens_the_firewall_is_told_of() {
    let logged = |arn: &str| json!({"resourceArn": arn});
    let other = WEB_ACL
        .replace("clinic", "other")
        .replace("1-aaaa", "2-bbbb");
    insta::assert_snapshot!([
        firewall("DeleteWebACL", by_id("11111111-aaaa")),
        firewall("UpdateWebACL", by_id("11111111-aaaa")),
        firewall("DeleteWebACL", by_id("22222222-bbbb")),
        firewall("DeleteWebACL", json!(null)),
        firewall("DeleteLoggingConfiguration", logged(WEB_ACL)),
        firewall("DeleteLoggingConfiguration", logged(&other)),
        firewall("PutLoggingConfiguration", json!({"loggingConfiguration": logged(WEB_ACL)})),
        firewall("DisassociateWebACL", logged(STAGE)),
        firewall("DisassociateWebACL", logged(&format!("arn:aws:cognito-idp:eu-west-1:123456789012:userpool/{POOL}"))),
        firewall("DisassociateWebACL", logged("arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_Other")),
        firewall("DisassociateWebACL", logged("arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/1")),
        firewall("DisassociateWebACL", logged(&STAGE.replace("eu-west-1", "us-west-2"))),
        firewall("AssociateWebACL", json!({"webACLArn": other, "resourceArn": STAGE})),
        firewall("AssociateWebACL", json!({"webACLArn": WEB_ACL, "resourceArn": STAGE})),
        firewall("UpdateIPSet", by_id("44444444-aaaa")),
        firewall("DeleteIPSet", by_id("66666666-aaaa")),
        firewall("UpdateIPSet", by_id("55555555-aaaa")),
        firewall("CreateIPSet", json!({"name": "another"})),
    ].join("\n"), @"
    escalate: the web ACL was deleted: nothing guards the API and the sign-in (DeleteWebACL by IAM user eve)
    escalate: the web ACL was changed: whether it still guards is to be seen (UpdateWebACL by IAM user eve)
    ignore: DeleteWebACL of something else than the web ACL
    escalate: DeleteWebACL succeeded, and the event does not say whether on the web ACL
    escalate: the web ACL's logs were turned off, by which offenders are found (DeleteLoggingConfiguration by IAM user eve)
    ignore: DeleteLoggingConfiguration of something else than the web ACL
    escalate: the web ACL's logs were changed, by which offenders are found (PutLoggingConfiguration by IAM user eve)
    escalate: a web ACL was taken off an API or the sign-in; the event does not say which (DisassociateWebACL by IAM user eve)
    escalate: a web ACL was taken off an API or the sign-in; the event does not say which (DisassociateWebACL by IAM user eve)
    ignore: DisassociateWebACL of something else than the web ACL
    ignore: DisassociateWebACL of something else than the web ACL
    ignore: DisassociateWebACL of something else than the web ACL
    escalate: another web ACL took the place of the one that guards the API or the sign-in (AssociateWebACL by IAM user eve)
    ignore: AssociateWebACL of something else than the web ACL
    escalate: the addresses that the firewall blocks were changed (UpdateIPSet by IAM user eve)
    escalate: an IP set of the firewall was deleted: what it blocked gets in (DeleteIPSet by IAM user eve)
    ignore: UpdateIPSet of something else than an IP set of the firewall
    ignore: CreateIPSet of wafv2.amazonaws.com is not an indicator
    ");
}

#[test]
fn an_attempt_that_was_denied_is_told_when_it_may_have_been_on_ours() {
    let denied = |name: &str, on: &str| {
        let message =
            format!("User: eve is not authorized to perform: wafv2:{name} on resource: {on}");
        let denied = json!({"errorCode": "AccessDenied", "errorMessage": message});
        called("wafv2", name, json!(null), denied)
    };
    insta::assert_snapshot!([
        denied("DeleteWebACL", WEB_ACL),
        denied("UpdateIPSet", IPV6),
        denied("UpdateIPSet", &IPV6.replace("66666666", "77777777")),
        called("wafv2", "UpdateIPSet", by_id("44444444-aaaa"), json!({"errorCode": "WAFOptimisticLockException"})),
    ].join("\n"), @"
    escalate: DeleteWebACL of the web ACL was attempted and denied
    escalate: UpdateIPSet of an IP set of the firewall was attempted and denied
    ignore: UpdateIPSet of something else than an IP set of the firewall was denied
    ignore: UpdateIPSet failed (WAFOptimisticLockException): nothing changed
    ");
}

#[test]
fn whoever_may_change_the_front_door_changes_it_unremarked() {
    let by = |role: &str, through: Option<&str>| {
        let mut identity = session_of(role);
        identity["invokedBy"] = json!(through);
        json!({"userIdentity": identity})
    };
    let cloudformation = Some("cloudformation.amazonaws.com");
    let acl = || by_id("11111111-aaaa");
    let set = || by_id("44444444-aaaa");
    insta::assert_snapshot!([
        called("wafv2", "UpdateIPSet", set(), by("tourniquet/guard-block-ip", None)),
        called("wafv2", "UpdateIPSet", set(), by("tourniquet/guard-sweep-blocks", None)),
        called("wafv2", "UpdateIPSet", set(), by("guard-block-ip", None)),
        called("wafv2", "DeleteIPSet", set(), by("tourniquet/guard-block-ip", None)),
        called("wafv2", "UpdateIPSet", set(), by("operator", None)),
        called("wafv2", "UpdateWebACL", acl(), by("ci/deploy", cloudformation)),
        called("wafv2", "UpdateWebACL", acl(), by("ci/deploy", None)),
        called("wafv2", "UpdateWebACL", acl(), by("other", cloudformation)),
        called("cognito-idp", "UpdateUserPool", json!({"userPoolId": POOL}), by("operator", None)),
    ].join("\n"), @"
    ignore: the responder blocked addresses, or let them in again
    ignore: the responder blocked addresses, or let them in again
    escalate: the addresses that the firewall blocks were changed (UpdateIPSet by role guard-block-ip, session run)
    escalate: an IP set of the firewall was deleted: what it blocked gets in (DeleteIPSet by role guard-block-ip, session run)
    ignore: the front door was changed by an operator
    ignore: a deployment by a deploy role
    escalate: the web ACL was changed: whether it still guards is to be seen (UpdateWebACL by role deploy, session run)
    escalate: the web ACL was changed: whether it still guards is to be seen (UpdateWebACL by role other, session run)
    ignore: the front door was changed by an operator
    ");
    let nobody_deploys = watch(&[("WEB_ACL_ARN", WEB_ACL), ("DEPLOY_ROLE_ARNS", "none")]);
    let deployed = event("wafv2", "UpdateWebACL", acl(), by("other", cloudformation));
    assert_eq!(
        line(judge(&deployed, &nobody_deploys, &Facts::default(), now())),
        "escalate: the front door was changed (UpdateWebACL) through CloudFormation; whether that was \
         a deployment of yours is not known, since no deploy role is configured (UpdateWebACL by role \
         other, session run)"
    );
}

#[test]
fn whoever_weakens_the_user_pool_is_told_of_and_whom_others_disable_is_their_business() {
    let pool = |name: &str, pool: Value| {
        called("cognito-idp", name, json!({"userPoolId": pool}), json!({}))
    };
    let ours = json!({"userIdentity": session_of("tourniquet/guard-disable-crm-user")});
    let by_us = |name: &str| {
        let request = json!({"userPoolId": POOL, "username": "anna"});
        called("cognito-idp", name, request, ours.clone())
    };
    insta::assert_snapshot!([
        pool("UpdateUserPoolClient", json!(POOL)),
        pool("UpdateUserPool", json!(POOL)),
        pool("DeleteUserPool", json!(POOL)),
        pool("DeleteUserPoolClient", json!(POOL)),
        pool("SetRiskConfiguration", json!(POOL)),
        pool("SetUserPoolMfaConfig", json!(POOL)),
        pool("SetLogDeliveryConfiguration", json!(POOL)),
        pool("UpdateUserPool", json!("eu-west-1_Other")),
        pool("UpdateUserPool", json!(null)),
        pool("AdminDisableUser", json!(POOL)),
        pool("AdminEnableUser", json!(POOL)),
        by_us("AdminDisableUser"),
        by_us("AdminEnableUser"),
        by_us("AdminUserGlobalSignOut"),
    ].join("\n"), @"
    escalate: how people sign in was changed: whether it is still as hard is to be seen (UpdateUserPoolClient by IAM user eve)
    escalate: how people sign in was changed: whether it is still as hard is to be seen (UpdateUserPool by IAM user eve)
    escalate: the user pool was deleted: nobody can sign in (DeleteUserPool by IAM user eve)
    escalate: an app client of the user pool was deleted (DeleteUserPoolClient by IAM user eve)
    escalate: how people sign in was changed: whether it is still as hard is to be seen (SetRiskConfiguration by IAM user eve)
    escalate: how people sign in was changed: whether it is still as hard is to be seen (SetUserPoolMfaConfig by IAM user eve)
    escalate: the user pool's logs were changed (SetLogDeliveryConfiguration by IAM user eve)
    ignore: UpdateUserPool of something else than the user pool
    escalate: UpdateUserPool succeeded, and the event does not say whether on the user pool
    ignore: AdminDisableUser of cognito-idp.amazonaws.com is not an indicator
    ignore: AdminEnableUser of cognito-idp.amazonaws.com is not an indicator
    ignore: a user was contained or let go by the responder
    ignore: a user was contained or let go by the responder
    ignore: a user was contained or let go by the responder
    ");
}

#[test]
fn what_is_not_configured_is_not_watched() {
    let bare = watch(&[]);
    let judged = |service: &str, name: &str, request: Value| {
        let event = event(service, name, request, json!({}));
        line(judge(&event, &bare, &Facts::default(), now()))
    };
    insta::assert_snapshot!([
        judged("wafv2", "DeleteWebACL", by_id("1")),
        judged("wafv2", "DisassociateWebACL", json!({"resourceArn": STAGE})),
        judged("wafv2", "UpdateIPSet", by_id("1")),
        judged("cognito-idp", "UpdateUserPool", json!({"userPoolId": POOL})),
    ].join("\n"), @"
    ignore: the web ACL is not configured, so it is not watched
    ignore: the web ACL is not configured, so it is not watched
    ignore: an IP set of the firewall is not configured, so it is not watched
    ignore: the user pool is not configured, so it is not watched
    ");
}
