//! What somebody who is contained already still makes.

use serde_json::{Value, json};

use super::{event, now, privilege::in_full, session_of, watch};
use crate::{Answer, Asked, Facts, Verdict, judge};

const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

fn held(actor: Answer<bool>) -> Facts {
    Facts {
        actor_is_held: actor,
        ..Facts::default()
    }
}

fn told(event: &Value, facts: &Facts) -> String {
    in_full(judge(event, &watch(&[]), facts, now()))
}

/// A call by eve, who is contained.
fn next(service: &str, name: &str, request: Value, answer: Value) -> String {
    let event = event(service, name, request, json!({"responseElements": answer}));
    assert!(Asked::by(&event, &watch(&[])).actor.is_some(), "{name}");
    told(&event, &held(Answer::Is(true)))
}

fn iam(name: &str, request: Value) -> String {
    next("iam", name, request, json!(null))
}

fn reading() -> String {
    json!({"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}).to_string()
}

#[test]
fn whoever_is_made_or_taken_over_is_contained_with_the_actor() {
    let user = |name: &str| json!({"user": {"userName": name}});
    let role = json!({"role": {"arn": "arn:aws:iam::123456789012:role/x/back"}});
    let service = json!({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "ec2.amazonaws.com"}}})
    .to_string();
    let team = json!({"policyArn": "arn:aws:iam::123456789012:policy/team", "versionId": "v2"});
    let told = [
        next(
            "iam",
            "CreateUser",
            json!({"userName": "back"}),
            user("back"),
        ),
        next(
            "iam",
            "CreateRole",
            json!({"roleName": "back", "assumeRolePolicyDocument": service}),
            role,
        ),
        iam("CreateAccessKey", json!({"userName": "back"})),
        iam("CreateAccessKey", json!({"userName": "eve"})),
        iam("CreateLoginProfile", json!({"userName": "back"})),
        iam("UpdateLoginProfile", json!({"userName": "back"})),
        iam(
            "PutUserPolicy",
            json!({"userName": "back", "policyName": "p", "policyDocument": reading()}),
        ),
        iam(
            "PutRolePolicy",
            json!({"roleName": "back", "policyName": "p", "policyDocument": reading()}),
        ),
        iam(
            "PutGroupPolicy",
            json!({"groupName": "all", "policyName": "p", "policyDocument": reading()}),
        ),
        iam(
            "AttachUserPolicy",
            json!({"userName": "eve", "policyArn": ADMIN}),
        ),
        iam(
            "AttachRolePolicy",
            json!({"roleName": "back", "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ),
        iam(
            "AddUserToGroup",
            json!({"userName": "back", "groupName": "all"}),
        ),
        iam(
            "UpdateAssumeRolePolicy",
            json!({"roleName": "back", "policyDocument": service}),
        ),
        iam("SetDefaultPolicyVersion", team),
        iam(
            "UpdateAccessKey",
            json!({"userName": "back", "status": "Active"}),
        ),
        iam(
            "AddRoleToInstanceProfile",
            json!({"roleName": "back", "instanceProfileName": "p"}),
        ),
        iam("DeleteRolePermissionsBoundary", json!({"roleName": "back"})),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: the next step of a contained principal (CreateUser: principal arn:aws:iam::123456789012:user/back) was taken by IAM user eve
      privilege-escalation: principal arn:aws:iam::123456789012:user/back + IAM user back
    respond: the next step of a contained principal (CreateRole: new role arn:aws:iam::123456789012:role/x/back) was taken by IAM user eve
      privilege-escalation: new role arn:aws:iam::123456789012:role/x/back + role back
    respond: the next step of a contained principal (CreateAccessKey: access key of arn:aws:iam::123456789012:user/back) was taken by IAM user eve
      privilege-escalation: access key of arn:aws:iam::123456789012:user/back + IAM user back
    respond: the next step of a contained principal (CreateAccessKey: access key of arn:aws:iam::123456789012:user/eve) was taken by IAM user eve
      privilege-escalation: access key of arn:aws:iam::123456789012:user/eve
    respond: the next step of a contained principal (CreateLoginProfile: password of arn:aws:iam::123456789012:user/back) was taken by IAM user eve
      privilege-escalation: password of arn:aws:iam::123456789012:user/back + IAM user back
    respond: the next step of a contained principal (UpdateLoginProfile: password of arn:aws:iam::123456789012:user/back) was taken by IAM user eve
      privilege-escalation: password of arn:aws:iam::123456789012:user/back + IAM user back
    respond: the next step of a contained principal (PutUserPolicy: inline policy p of arn:aws:iam::123456789012:user/back) was taken by IAM user eve
      privilege-escalation: inline policy p of arn:aws:iam::123456789012:user/back + IAM user back
    respond: the next step of a contained principal (PutRolePolicy: inline policy p of arn:aws:iam::123456789012:role/back) was taken by IAM user eve
      privilege-escalation: inline policy p of arn:aws:iam::123456789012:role/back + role back
    respond: the next step of a contained principal (PutGroupPolicy: inline policy p of arn:aws:iam::123456789012:group/all) was taken by IAM user eve
      privilege-escalation: inline policy p of arn:aws:iam::123456789012:group/all
    respond: the next step of a contained principal (AttachUserPolicy: policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/eve) was taken by IAM user eve
      privilege-escalation: policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/eve
    respond: the next step of a contained principal (AttachRolePolicy: policy arn:aws:iam::aws:policy/ReadOnlyAccess attached to arn:aws:iam::123456789012:role/back) was taken by IAM user eve
      privilege-escalation: policy arn:aws:iam::aws:policy/ReadOnlyAccess attached to arn:aws:iam::123456789012:role/back + role back
    respond: the next step of a contained principal (AddUserToGroup: membership of arn:aws:iam::123456789012:user/back in arn:aws:iam::123456789012:group/all) was taken by IAM user eve
      privilege-escalation: membership of arn:aws:iam::123456789012:user/back in arn:aws:iam::123456789012:group/all + IAM user back
    respond: the next step of a contained principal (UpdateAssumeRolePolicy: trust of arn:aws:iam::123456789012:role/back) was taken by IAM user eve
      privilege-escalation: trust of arn:aws:iam::123456789012:role/back + role back
    respond: the next step of a contained principal (SetDefaultPolicyVersion: default version v2 of policy arn:aws:iam::123456789012:policy/team) was taken by IAM user eve
      privilege-escalation: default version v2 of policy arn:aws:iam::123456789012:policy/team
    respond: the next step of a contained principal (UpdateAccessKey: principal arn:aws:iam::123456789012:user/back) was taken by IAM user eve
      privilege-escalation: principal arn:aws:iam::123456789012:user/back + IAM user back
    respond: the next step of a contained principal (AddRoleToInstanceProfile: principal arn:aws:iam::123456789012:role/back) was taken by IAM user eve
      privilege-escalation: principal arn:aws:iam::123456789012:role/back + role back
    respond: the next step of a contained principal (DeleteRolePermissionsBoundary: permissions boundary of arn:aws:iam::123456789012:role/back) was taken by IAM user eve
      privilege-escalation: permissions boundary of arn:aws:iam::123456789012:role/back + role back
    ");
}

#[test]
fn a_session_that_is_assumed_is_contained_by_its_own_id() {
    let assumed = |role: &str, name: &str| {
        let request = json!({"roleArn": role, "roleSessionName": name});
        let answer = json!({"assumedRoleUser": {"assumedRoleId": format!("AROAEXAMPLE:{name}")}});
        let event = event(
            "sts",
            "AssumeRole",
            request,
            json!({"responseElements": answer}),
        );
        judge(&event, &watch(&[]), &held(Answer::Is(true)), now())
    };
    let Verdict::Respond { incident, .. } =
        assumed("arn:aws:iam::123456789012:role/ci/deploy", "run")
    else {
        panic!("not answered");
    };
    insta::assert_json_snapshot!(incident.accomplices, @r#"
    [
      {
        "actor": {
          "kind": "role",
          "arn": "arn:aws:iam::123456789012:role/ci/deploy",
          "session": {
            "name": "run",
            "userId": "AROAEXAMPLE:run"
          }
        },
        "containment": {
          "kind": "session",
          "reason": "role deploy is shared: only session run and its older tokens are denied"
        }
      }
    ]
    "#);
    let foreign = assumed("arn:aws:iam::999988887777:role/x", "run");
    let Verdict::Respond { incident, .. } = foreign else {
        panic!("not answered");
    };
    assert!(incident.accomplices[0].containment.is_none());
}

#[test]
fn a_session_of_a_contained_role_rotates_like_a_user() {
    let request = json!({"userName": "back"});
    let changes = json!({"userIdentity": session_of("admin")});
    let event = event("iam", "CreateUser", request, changes);
    insta::assert_snapshot!(told(&event, &held(Answer::Is(true))), @"
    respond: the next step of a contained principal (CreateUser: principal arn:aws:iam::123456789012:user/back) was taken by role admin, session run
      privilege-escalation: principal arn:aws:iam::123456789012:user/back + IAM user back
    ");
}

#[test]
fn credentials_that_end_with_the_actor_are_answered_once_an_hour() {
    let id = |minute: u8| {
        let changes = json!({
            "eventTime": format!("2026-11-25T03:{minute:02}:40Z"), "eventID": format!("e-{minute}"),
        });
        let event = event("sts", "GetSessionToken", json!(null), changes);
        match judge(&event, &watch(&[]), &held(Answer::Is(true)), now()) {
            Verdict::Respond { incident_id, .. } => incident_id,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(id(10), id(12));
    insta::assert_snapshot!(
        next("sts", "GetFederationToken", json!({"name": "temp", "policy": reading()}), json!(null)),
        @"
    respond: the next step of a contained principal (GetFederationToken: principal arn:aws:iam::123456789012:user/eve) was taken by IAM user eve
      privilege-escalation: principal arn:aws:iam::123456789012:user/eve
    "
    );
}

#[test]
fn what_holds_nobody_is_told_to_a_human() {
    for name in [
        "CreateGroup",
        "CreateInstanceProfile",
        "CreateOpenIDConnectProvider",
        "CreatePolicy",
        "CreateSAMLProvider",
        "CreateServiceSpecificCredential",
        "UploadSSHPublicKey",
    ] {
        assert_eq!(
            iam(name, json!({})),
            format!(
                "escalate: {name} was called by a contained principal: find and remove what was made \
                 ({name} by IAM user eve)"
            )
        );
    }
}

#[test]
fn whoever_may_give_privileges_may_not_once_contained() {
    let request = json!({"userName": "mallory", "policyArn": ADMIN});
    let changes = json!({"userIdentity": session_of("ci/deploy")});
    let event = event("iam", "AttachUserPolicy", request, changes);
    let of = |actor| told(&event, &held(actor));
    assert!(of(Answer::Is(true)).starts_with("respond: the next step"));
    assert!(of(Answer::Is(false)).starts_with("ignore"));
}

#[test]
fn of_anybody_else_none_of_it_is_an_indicator() {
    let users = event("iam", "CreateUser", json!({"userName": "new"}), json!({}));
    let assumed = event("sts", "AssumeRole", json!({"roleArn": "x"}), json!({}));
    for event in [users, assumed] {
        for actor in [Answer::Is(false), Answer::Unasked] {
            let told = told(&event, &held(actor));
            assert!(told.ends_with("is not an indicator"), "{told}");
        }
    }
}

#[test]
fn where_the_ledger_cannot_be_read_a_human_is_told_of_what_is_not_answered_anyway() {
    let told = |name: &str, request: Value| {
        told(
            &event("iam", name, request, json!({})),
            &held(Answer::Unreadable),
        )
    };
    let told = [
        told("CreateUser", json!({"userName": "new"})),
        told("CreateAccessKey", json!({"userName": "eve"})),
        told("CreateAccessKey", json!({"userName": "mallory"})),
        told(
            "AttachUserPolicy",
            json!({"userName": "mallory", "policyArn": ADMIN}),
        ),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    escalate: whether CreateUser was called by a contained principal could not be read (CreateUser by IAM user eve)
    escalate: whether CreateAccessKey was called by a contained principal could not be read (CreateAccessKey by IAM user eve)
    respond: an access key was made for arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: access key of arn:aws:iam::123456789012:user/mallory
    respond: policy arn:aws:iam::aws:policy/AdministratorAccess, which grants administration, was attached to arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/mallory
    ");
}

#[test]
fn a_failed_step_and_a_call_by_nobody_ask_nothing() {
    let asked = |changes: Value| {
        let event = event("iam", "CreateUser", json!({"userName": "new"}), changes);
        Asked::by(&event, &watch(&[]))
    };
    assert_eq!(
        asked(json!({"errorCode": "AccessDenied"})),
        Asked::default()
    );
    for identity in [
        json!({"type": "Root", "accountId": "123456789012"}),
        json!({"type": "AWSService", "invokedBy": "x.amazonaws.com"}),
    ] {
        assert_eq!(asked(json!({"userIdentity": identity})), Asked::default());
    }
}
