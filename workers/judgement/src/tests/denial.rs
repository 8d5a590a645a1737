//! The deny, taken off somebody who is contained.

use iam_policy::Document;
use serde_json::{Value, json};

use super::{event, line, now, privilege::in_full, session_of, watch};
use crate::{Answer, Asked, Facts, GroupPolicies, Verdict, judge};

const DENY: &str = "arn:aws:iam::123456789012:policy/ir/deny";
const DENY_ALL: &str = r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
const NOTHING: &str = r#"{"Statement":{"Effect":"Deny","Action":"none:none","Resource":"*"}}"#;

fn told(event: &Value, facts: &Facts) -> String {
    in_full(judge(
        event,
        &watch(&[("DENY_POLICY_ARN", DENY)]),
        facts,
        now(),
    ))
}

fn with(name: &str, request: Value, changes: Value, facts: &Facts) -> String {
    told(&event("iam", name, request, changes), facts)
}

fn iam(name: &str, request: Value) -> String {
    with(name, request, json!({}), &Facts::default())
}

fn held(subject: Answer<bool>) -> Facts {
    Facts {
        subject_is_held: subject,
        ..Facts::default()
    }
}

#[test]
fn the_policy_was_detached() {
    let told = [
        iam(
            "DetachUserPolicy",
            json!({"userName": "mallory", "policyArn": DENY}),
        ),
        iam(
            "DetachUserPolicy",
            json!({"userName": "eve", "policyArn": DENY}),
        ),
        iam(
            "DetachRolePolicy",
            json!({"roleName": "admin", "policyArn": DENY}),
        ),
        iam(
            "DetachGroupPolicy",
            json!({"groupName": "quarantine", "policyArn": DENY}),
        ),
        iam(
            "DetachUserPolicy",
            json!({"userName": "mallory",
            "policyArn": "arn:aws-us-gov:iam::123456789012:policy/ir/deny"}),
        ),
        iam(
            "DetachUserPolicy",
            json!({"userName": "mallory",
            "policyArn": "arn:aws:iam::123456789012:policy/deny"}),
        ),
        iam(
            "DetachUserPolicy",
            json!({"userName": "mallory",
            "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ),
        iam("DetachUserPolicy", json!(null)),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: arn:aws:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:user/mallory by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    respond: arn:aws:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:user/eve by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    respond: arn:aws:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:role/admin by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:role/admin + role admin
    respond: arn:aws:iam::123456789012:policy/ir/deny was detached from group quarantine by IAM user eve [remedy]
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    respond: arn:aws-us-gov:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:user/mallory by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    ignore: DetachUserPolicy of something else than the denial of somebody who is contained
    ignore: DetachUserPolicy of something else than the denial of somebody who is contained
    escalate: DetachUserPolicy succeeded, and the event does not say whether on the denial of somebody who is contained
    ");
}

#[test]
fn the_policy_of_aws_counts_in_every_partition() {
    let request =
        json!({"userName": "mallory", "policyArn": "arn:aws-cn:iam::aws:policy/AWSDenyAll"});
    let event = event("iam", "DetachUserPolicy", request, json!({}));
    let of = |watch| line(judge(&event, &watch, &Facts::default(), now()));
    assert!(of(watch(&[])).starts_with("respond"));
    assert!(of(watch(&[("DENY_POLICY_ARN", DENY)])).starts_with("ignore"));
}

#[test]
fn an_inline_denial_was_deleted() {
    let of = |name: &str, whose: &str, policy: &str| {
        iam(name, json!({whose: "mallory", "policyName": policy}))
    };
    let told = [
        of("DeleteUserPolicy", "userName", "deny"),
        of("DeleteUserPolicy", "userName", "AWSRevokeOlderSessions"),
        of("DeleteRolePolicy", "roleName", "AWSRevokeOlderSessions"),
        of("DeleteRolePolicy", "roleName", "TourniquetDenySessions"),
        of("DeleteGroupPolicy", "groupName", "deny"),
        of("DeleteUserPolicy", "userName", "other"),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: inline policy deny of arn:aws:iam::123456789012:user/mallory was deleted by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    respond: inline policy AWSRevokeOlderSessions of arn:aws:iam::123456789012:user/mallory was deleted by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    respond: inline policy AWSRevokeOlderSessions of arn:aws:iam::123456789012:role/mallory was deleted by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:role/mallory + role mallory
    respond: inline policy TourniquetDenySessions of arn:aws:iam::123456789012:role/mallory was deleted by IAM user eve [remedy]
      patient-data-access: principal arn:aws:iam::123456789012:role/mallory + role mallory
    respond: inline policy deny of group mallory was deleted by IAM user eve [remedy]
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    ignore: DeleteUserPolicy of something else than the denial of somebody who is contained
    ");
}

#[test]
fn an_inline_denial_was_written_over() {
    let revoked = |cutoff: &str| {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*",
            "Resource": "*", "Condition": {"DateLessThan": {"aws:TokenIssueTime": cutoff}}}]})
        .to_string()
    };
    let put = |policy: &str, document: &str| {
        iam(
            "PutRolePolicy",
            json!({"roleName": "admin", "policyName": policy,
            "policyDocument": document}),
        )
    };
    let told = [
        put("deny", NOTHING),
        put("deny", DENY_ALL),
        put("AWSRevokeOlderSessions", NOTHING),
        put("AWSRevokeOlderSessions", &revoked("2026-11-25T03:12:40Z")),
        put("AWSRevokeOlderSessions", &revoked("2020-01-01T00:00:00Z")),
        put("TourniquetDenySessions", NOTHING),
        put("other", NOTHING),
        iam(
            "PutGroupPolicy",
            json!({"groupName": "quarantine", "policyName": "deny",
            "policyDocument": NOTHING}),
        ),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: inline policy deny of arn:aws:iam::123456789012:role/admin was written over by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:role/admin + role admin
    ignore: inline policy deny denies as it should
    respond: inline policy AWSRevokeOlderSessions of arn:aws:iam::123456789012:role/admin was written over by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:role/admin + role admin
    ignore: inline policy AWSRevokeOlderSessions denies as it should
    respond: inline policy AWSRevokeOlderSessions of arn:aws:iam::123456789012:role/admin was written over by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:role/admin + role admin
    respond: inline policy TourniquetDenySessions of arn:aws:iam::123456789012:role/admin was written over by IAM user eve [remedy]
      patient-data-access: principal arn:aws:iam::123456789012:role/admin + role admin
    ignore: the policy grants no administration
    respond: inline policy deny of group quarantine was written over by IAM user eve [remedy]
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    ");
}

#[test]
fn the_policy_itself_was_changed() {
    let policy = |text: &str| Facts {
        policy: Answer::Is(Document::read(text)),
        ..Facts::default()
    };
    let written = |document: &str, default: bool| {
        let answer = json!({"responseElements": {"policyVersion": {"versionId": "v2"}}});
        let request =
            json!({"policyArn": DENY, "policyDocument": document, "setAsDefault": default});
        with("CreatePolicyVersion", request, answer, &Facts::default())
    };
    let made_default = |facts: &Facts| {
        let request = json!({"policyArn": DENY, "versionId": "v2"});
        with("SetDefaultPolicyVersion", request, json!({}), facts)
    };
    let told = [
        written(NOTHING, true),
        written(DENY_ALL, true),
        written(NOTHING, false),
        written("{", true),
        iam(
            "CreatePolicyVersion",
            json!({"policyArn": DENY, "policyDocument": NOTHING,
            "setAsDefault": true}),
        ),
        made_default(&policy(NOTHING)),
        made_default(&policy(DENY_ALL)),
        made_default(&Facts::default()),
        iam(
            "DeletePolicyVersion",
            json!({"policyArn": DENY, "versionId": "v1"}),
        ),
        iam("DeletePolicy", json!({"policyArn": DENY})),
        iam(
            "DeletePolicy",
            json!({"policyArn": "arn:aws:iam::123456789012:policy/other"}),
        ),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: arn:aws:iam::123456789012:policy/ir/deny, which denies whoever is contained, was given another content by IAM user eve
      privilege-escalation: default version v2 of policy arn:aws:iam::123456789012:policy/ir/deny
    ignore: arn:aws:iam::123456789012:policy/ir/deny still denies everything
    escalate: a version of arn:aws:iam::123456789012:policy/ir/deny was written that does not deny everything; it is not the default, so that the policy denies as before (CreatePolicyVersion by IAM user eve)
    respond: arn:aws:iam::123456789012:policy/ir/deny, which denies whoever is contained, was given another content by IAM user eve
      privilege-escalation: default version v2 of policy arn:aws:iam::123456789012:policy/ir/deny
    respond: arn:aws:iam::123456789012:policy/ir/deny, which denies whoever is contained, was given another content by IAM user eve [remedy]
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    respond: arn:aws:iam::123456789012:policy/ir/deny, which denies whoever is contained, was given another content by IAM user eve
      privilege-escalation: default version v2 of policy arn:aws:iam::123456789012:policy/ir/deny
    ignore: arn:aws:iam::123456789012:policy/ir/deny still denies everything
    respond: arn:aws:iam::123456789012:policy/ir/deny, which denies whoever is contained, was given another content by IAM user eve
      privilege-escalation: default version v2 of policy arn:aws:iam::123456789012:policy/ir/deny
    respond: a version of arn:aws:iam::123456789012:policy/ir/deny, which denies whoever is contained, was deleted by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    respond: arn:aws:iam::123456789012:policy/ir/deny, which denies whoever is contained, was deleted by IAM user eve [remedy]
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    ignore: DeletePolicy of something else than the denial of somebody who is contained
    ");
}

#[test]
fn a_boundary_counts_where_its_owner_is_contained() {
    let deleted = |facts: &Facts| {
        with(
            "DeleteUserPermissionsBoundary",
            json!({"userName": "mallory"}),
            json!({}),
            facts,
        )
    };
    let put = |boundary: &str| {
        let request = json!({"roleName": "admin", "permissionsBoundary": boundary});
        with(
            "PutRolePermissionsBoundary",
            request,
            json!({}),
            &held(Answer::Is(true)),
        )
    };
    let told = [
        deleted(&held(Answer::Is(true))),
        deleted(&held(Answer::Is(false))),
        deleted(&held(Answer::Unreadable)),
        put("arn:aws:iam::aws:policy/ReadOnlyAccess"),
        put(DENY),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: the permissions boundary of arn:aws:iam::123456789012:user/mallory, who is contained, was changed by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    respond: the permissions boundary of arn:aws:iam::123456789012:user/mallory was taken off by IAM user eve
      privilege-escalation: permissions boundary of arn:aws:iam::123456789012:user/mallory
    respond: the permissions boundary of arn:aws:iam::123456789012:user/mallory was taken off by IAM user eve
      privilege-escalation: permissions boundary of arn:aws:iam::123456789012:user/mallory
    respond: the permissions boundary of arn:aws:iam::123456789012:role/admin, who is contained, was changed by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:role/admin + role admin
    ignore: arn:aws:iam::123456789012:policy/ir/deny only denies
    ");
}

#[test]
fn a_group_counts_where_it_denies() {
    let left = |facts: &Facts| {
        let request = json!({"userName": "mallory", "groupName": "quarantine"});
        with("RemoveUserFromGroup", request, json!({}), facts)
    };
    let group = |attached: &[&str], documents: &[&str]| Facts {
        group: Answer::Is(Some(GroupPolicies {
            attached: attached.iter().map(|arn| arn.parse().unwrap()).collect(),
            documents: documents
                .iter()
                .filter_map(|it| Document::read(it))
                .collect(),
        })),
        ..Facts::default()
    };
    let unreadable = Facts {
        group: Answer::Unreadable,
        ..Facts::default()
    };
    let told = [
        left(&group(&[DENY], &[])),
        left(&group(&[], &[NOTHING, DENY_ALL])),
        left(&group(
            &["arn:aws:iam::aws:policy/ReadOnlyAccess"],
            &[NOTHING],
        )),
        left(&unreadable),
        left(&Facts::default()),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: arn:aws:iam::123456789012:user/mallory was taken out of group quarantine, which denies everything, by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    respond: arn:aws:iam::123456789012:user/mallory was taken out of group quarantine, which denies everything, by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    ignore: RemoveUserFromGroup of something else than the denial of somebody who is contained
    escalate: arn:aws:iam::123456789012:user/mallory was taken out of group quarantine, of which is not known whether it denies (RemoveUserFromGroup by IAM user eve)
    escalate: arn:aws:iam::123456789012:user/mallory was taken out of group quarantine, of which is not known whether it denies (RemoveUserFromGroup by IAM user eve)
    ");
}

#[test]
fn a_key_counts_where_its_owner_is_contained() {
    let turned = |request: Value, facts: &Facts| with("UpdateAccessKey", request, json!({}), facts);
    let on = json!({"userName": "mallory", "status": "Active", "accessKeyId": "AKIAEXAMPLE"});
    let told = [
        turned(on.clone(), &held(Answer::Is(true))),
        turned(on.clone(), &held(Answer::Is(false))),
        turned(on.clone(), &held(Answer::Unreadable)),
        turned(on, &Facts::default()),
        turned(json!({"status": "Active"}), &held(Answer::Is(true))),
        turned(
            json!({"userName": "mallory", "status": "Inactive"}),
            &held(Answer::Is(true)),
        ),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: an access key of arn:aws:iam::123456789012:user/mallory, who is contained, was turned on by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    ignore: UpdateAccessKey of something else than the denial of somebody who is contained
    escalate: an access key of arn:aws:iam::123456789012:user/mallory was turned on, of whom is not known whether they are contained (UpdateAccessKey by IAM user eve)
    escalate: an access key of arn:aws:iam::123456789012:user/mallory was turned on, of whom is not known whether they are contained (UpdateAccessKey by IAM user eve)
    respond: an access key of arn:aws:iam::123456789012:user/eve, who is contained, was turned on by IAM user eve
      patient-data-access: principal arn:aws:iam::123456789012:user/eve
    ignore: UpdateAccessKey of iam.amazonaws.com is not an indicator
    ");
}

#[test]
fn the_responder_lets_go_and_an_operator_is_asked_to_use_the_runbook() {
    let by = |identity: Value| {
        let request = json!({"userName": "mallory", "policyArn": DENY});
        with(
            "DetachUserPolicy",
            request,
            json!({"userIdentity": identity}),
            &Facts::default(),
        )
    };
    let told = [
        by(session_of("tourniquet/guard-notify")),
        by(session_of("notify")),
        by(session_of("operator")),
        by(session_of("ci/deploy")),
        by(json!({"type": "Root", "accountId": "123456789012"})),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    ignore: the responder's own action
    respond: arn:aws:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:user/mallory by role notify, session run
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    escalate: arn:aws:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:user/mallory by hand: the runbook release-containment lets go of everything at once (DetachUserPolicy by role operator, session run)
    respond: arn:aws:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:user/mallory by role deploy, session run
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    respond: arn:aws:iam::123456789012:policy/ir/deny was detached from arn:aws:iam::123456789012:user/mallory by root of account 123456789012
      patient-data-access: principal arn:aws:iam::123456789012:user/mallory + IAM user mallory
    ");
}

#[test]
fn where_nobody_is_known_the_patients_are_what_was_attacked() {
    let request = json!({"groupName": "quarantine", "policyArn": DENY});
    let root = json!({"userIdentity": {"type": "Root", "accountId": "123456789012"}});
    let event = event("iam", "DetachGroupPolicy", request, root);
    let of = |table| {
        let watch = watch(&[("DENY_POLICY_ARN", DENY), ("PATIENTS_TABLE_ARN", table)]);
        match judge(&event, &watch, &Facts::default(), now()) {
            Verdict::Respond { incident, .. } => incident.target.to_string(),
            other => line(other),
        }
    };
    let table = "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients";
    assert_eq!(of(table), format!("table {table}"));
    assert!(of("none").starts_with("escalate"));
}

#[test]
fn every_failed_attempt_is_told_and_what_was_not_there_is_not() {
    let failed = |name: &str, request: Value, code: &str| {
        let changes = json!({"errorCode": code, "errorMessage": "with an explicit deny"});
        with(name, request, changes, &Facts::default())
    };
    let of = |policy: &str| json!({"userName": "mallory", "policyArn": policy});
    let told = [
        failed("DetachUserPolicy", of(DENY), "AccessDenied"),
        failed("DetachUserPolicy", json!(null), "AccessDenied"),
        failed(
            "DetachUserPolicy",
            of("arn:aws:iam::aws:policy/ReadOnlyAccess"),
            "AccessDenied",
        ),
        failed("DetachUserPolicy", of(DENY), "NoSuchEntityException"),
        failed(
            "DeleteUserPolicy",
            json!({"userName": "mallory", "policyName": "deny"}),
            "AccessDenied",
        ),
        failed(
            "RemoveUserFromGroup",
            json!({"userName": "mallory", "groupName": "all"}),
            "AccessDenied",
        ),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    escalate: DetachUserPolicy of the denial of somebody who is contained was attempted and denied
    escalate: DetachUserPolicy of the denial of somebody who is contained was attempted and denied
    ignore: DetachUserPolicy of something else than the denial of somebody who is contained was denied
    ignore: DetachUserPolicy failed (NoSuchEntityException): nothing changed
    escalate: DeleteUserPolicy of the denial of somebody who is contained was attempted and denied
    escalate: RemoveUserFromGroup of the denial of somebody who is contained was attempted and denied
    ");
}

#[test]
fn whether_somebody_is_contained_is_asked_only_where_it_matters() {
    let subject = |name: &str, request: Value| {
        let asked = Asked::by(&event("iam", name, request, json!({})), &watch(&[]));
        asked.subject.map(|actor| actor.to_string())
    };
    let on = json!({"userName": "mallory", "status": "Active"});
    let off = json!({"userName": "mallory", "status": "Inactive"});
    assert_eq!(subject("UpdateAccessKey", on).unwrap(), "IAM user mallory");
    assert_eq!(
        subject("UpdateAccessKey", json!({"status": "Active"})).unwrap(),
        "IAM user eve"
    );
    assert_eq!(subject("UpdateAccessKey", off), None);
    let role = json!({"roleName": "admin"});
    assert_eq!(
        subject("DeleteRolePermissionsBoundary", role.clone()).unwrap(),
        "role admin"
    );
    assert_eq!(subject("DeleteRole", role), None);
}
