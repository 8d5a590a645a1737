//! Who was given more privileges.

use iam_policy::Document;
use incident::Actor;
use serde_json::{Value, json};

use super::{event, line, now, session_of, watch};
use crate::{Answer, Asked, Facts, GroupPolicies, Verdict, judge};

const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
const TEAM: &str = "arn:aws:iam::123456789012:policy/team";

fn told(event: &Value, facts: &Facts) -> String {
    in_full(judge(event, &watch(&[]), facts, now()))
}

/// The verdict; of a response also the runbook, the target and who is contained with the actor.
pub(super) fn in_full(verdict: Verdict) -> String {
    let more = match &verdict {
        Verdict::Respond { incident, .. } => {
            let (runbook, target) = (incident.runbook, &incident.target);
            let with = incident.accomplices.iter();
            let with: Vec<_> = with.map(|one| format!(" + {}", one.actor)).collect();
            format!("\n  {runbook}: {target}{}", with.concat())
        }
        _ => String::new(),
    };
    format!("{}{more}", line(verdict))
}

fn iam(name: &str, request: Value) -> String {
    with(name, request, json!({}), &Facts::default())
}

fn with(name: &str, request: Value, changes: Value, facts: &Facts) -> String {
    told(&event("iam", name, request, changes), facts)
}

fn kind(verdict: &str) -> &str {
    verdict.split(':').next().unwrap()
}

fn document(statement: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn everything() -> String {
    document(json!({"Effect": "Allow", "Action": "*", "Resource": "*"}))
}

fn reading() -> String {
    document(json!({"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}))
}

fn policy(text: &str) -> Facts {
    Facts {
        policy: Answer::Is(Some(Document::read(text).unwrap())),
        ..Facts::default()
    }
}

#[test]
fn an_administrative_policy_was_attached() {
    let told = [
        iam(
            "AttachUserPolicy",
            json!({"userName": "mallory", "policyArn": ADMIN}),
        ),
        iam(
            "AttachRolePolicy",
            json!({"roleName": "report", "policyArn": ADMIN}),
        ),
        iam(
            "AttachGroupPolicy",
            json!({"groupName": "staff", "policyArn": ADMIN}),
        ),
        iam(
            "AttachUserPolicy",
            json!({"userName": "mallory",
            "policyArn": "arn:aws-cn:iam::aws:policy/IAMFullAccess"}),
        ),
        iam(
            "AttachUserPolicy",
            json!({"userName": "mallory",
            "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ),
        iam(
            "AttachUserPolicy",
            json!({"userName": "mallory",
            "policyArn": "arn:aws:iam::aws:policy/AWSDenyAll"}),
        ),
        iam(
            "AttachUserPolicy",
            json!({"userName": "mallory",
            "policyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"}),
        ),
        iam(
            "AttachUserPolicy",
            json!({"userName": "mallory", "policyArn": "team"}),
        ),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: policy arn:aws:iam::aws:policy/AdministratorAccess, which grants administration, was attached to arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/mallory
    respond: policy arn:aws:iam::aws:policy/AdministratorAccess, which grants administration, was attached to arn:aws:iam::123456789012:role/report by IAM user eve
      privilege-escalation: policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:role/report
    respond: policy arn:aws:iam::aws:policy/AdministratorAccess, which grants administration, was attached to arn:aws:iam::123456789012:group/staff by IAM user eve
      privilege-escalation: policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:group/staff
    respond: policy arn:aws-cn:iam::aws:policy/IAMFullAccess, which grants administration, was attached to arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: policy arn:aws-cn:iam::aws:policy/IAMFullAccess attached to arn:aws:iam::123456789012:user/mallory
    ignore: arn:aws:iam::aws:policy/ReadOnlyAccess grants no administration
    ignore: arn:aws:iam::aws:policy/AWSDenyAll only denies
    ignore: arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3 only denies
    escalate: AttachUserPolicy succeeded, and the event does not say whether on a policy that grants administration
    ");
}

#[test]
fn what_the_name_does_not_tell_the_document_does() {
    let attached = |facts: &Facts| {
        let request = json!({"userName": "mallory", "policyArn": TEAM});
        with("AttachUserPolicy", request, json!({}), facts)
    };
    let gone = Facts {
        policy: Answer::Is(None),
        ..Facts::default()
    };
    let unreadable = Facts {
        policy: Answer::Unreadable,
        ..Facts::default()
    };
    let told = [
        policy(&everything()),
        policy(&reading()),
        gone,
        unreadable,
        Facts::default(),
    ]
    .map(|facts| attached(&facts));
    insta::assert_snapshot!(told.join("\n"), @"
    respond: policy arn:aws:iam::123456789012:policy/team, which grants every action on every resource, was attached to arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: policy arn:aws:iam::123456789012:policy/team attached to arn:aws:iam::123456789012:user/mallory
    ignore: the policy grants no administration
    escalate: policy arn:aws:iam::123456789012:policy/team attached to arn:aws:iam::123456789012:user/mallory: there is no such policy any more (AttachUserPolicy by IAM user eve)
    escalate: policy arn:aws:iam::123456789012:policy/team attached to arn:aws:iam::123456789012:user/mallory: what it grants could not be read (AttachUserPolicy by IAM user eve)
    escalate: policy arn:aws:iam::123456789012:policy/team attached to arn:aws:iam::123456789012:user/mallory: what it grants is not known, since no account was asked (AttachUserPolicy by IAM user eve)
    ");
}

#[test]
fn an_inline_policy_is_judged_by_its_document() {
    let put = |name: &str, whose: &str, document: Value| {
        let request = json!({whose: "mallory", "policyName": "p", "policyDocument": document});
        iam(name, request)
    };
    let told = [
        put("PutUserPolicy", "userName", json!(everything())),
        put("PutRolePolicy", "roleName", json!(everything())),
        put("PutGroupPolicy", "groupName", json!(everything())),
        put("PutUserPolicy", "userName", json!(reading())),
        put("PutUserPolicy", "userName", json!("{")),
        put("PutUserPolicy", "userName", json!(null)),
        iam("PutUserPolicy", json!(null)),
        iam("PutUserPolicy", json!({"omitted": true})),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: inline policy p, which grants every action on every resource, was written for arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: inline policy p of arn:aws:iam::123456789012:user/mallory
    respond: inline policy p, which grants every action on every resource, was written for arn:aws:iam::123456789012:role/mallory by IAM user eve
      privilege-escalation: inline policy p of arn:aws:iam::123456789012:role/mallory
    respond: inline policy p, which grants every action on every resource, was written for arn:aws:iam::123456789012:group/mallory by IAM user eve
      privilege-escalation: inline policy p of arn:aws:iam::123456789012:group/mallory
    ignore: the policy grants no administration
    escalate: inline policy p of arn:aws:iam::123456789012:user/mallory: the policy's document cannot be read (PutUserPolicy by IAM user eve)
    escalate: inline policy p of arn:aws:iam::123456789012:user/mallory: the policy's document cannot be read (PutUserPolicy by IAM user eve)
    escalate: PutUserPolicy succeeded, and the event does not say whether on a policy that grants administration
    escalate: PutUserPolicy succeeded, and the event does not say whether on a policy that grants administration
    ");
}

#[test]
fn a_version_counts_once_it_is_the_default() {
    let answered = json!({"responseElements": {"policyVersion": {"versionId": "v3"}}});
    let written = |document: String, default: Value| {
        let request =
            json!({"policyArn": TEAM, "policyDocument": document, "setAsDefault": default});
        with(
            "CreatePolicyVersion",
            request,
            answered.clone(),
            &Facts::default(),
        )
    };
    let made_default = |facts: &Facts| {
        let request = json!({"policyArn": TEAM, "versionId": "v1"});
        with("SetDefaultPolicyVersion", request, json!({}), facts)
    };
    let unreadable = Facts {
        policy: Answer::Unreadable,
        ..Facts::default()
    };
    let told = [
        written(everything(), json!(true)),
        written(everything(), json!(false)),
        written(everything(), json!(null)),
        written(reading(), json!(true)),
        written(reading(), json!(false)),
        iam(
            "CreatePolicyVersion",
            json!({"policyArn": TEAM, "policyDocument": everything(),
            "setAsDefault": true}),
        ),
        made_default(&policy(&everything())),
        made_default(&policy(&reading())),
        made_default(&unreadable),
        made_default(&Facts::default()),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: version v3 of policy arn:aws:iam::123456789012:policy/team, which grants every action on every resource, was made its default by IAM user eve
      privilege-escalation: default version v3 of policy arn:aws:iam::123456789012:policy/team
    escalate: a version of policy arn:aws:iam::123456789012:policy/team was written that grants every action on every resource; it is not the default, so that it gives nothing yet (CreatePolicyVersion by IAM user eve)
    escalate: a version of policy arn:aws:iam::123456789012:policy/team was written that grants every action on every resource; it is not the default, so that it gives nothing yet (CreatePolicyVersion by IAM user eve)
    ignore: the policy grants no administration
    ignore: the policy grants no administration
    escalate: CreatePolicyVersion succeeded, and the event does not say whether on a policy that grants administration
    respond: version v1 of policy arn:aws:iam::123456789012:policy/team, which grants every action on every resource, was made its default by IAM user eve
      privilege-escalation: default version v1 of policy arn:aws:iam::123456789012:policy/team
    ignore: the policy grants no administration
    escalate: default version v1 of policy arn:aws:iam::123456789012:policy/team: what it grants could not be read (SetDefaultPolicyVersion by IAM user eve)
    respond: version v1 of policy arn:aws:iam::123456789012:policy/team, which grants perhaps everything (no account was asked), was made its default by IAM user eve
      privilege-escalation: default version v1 of policy arn:aws:iam::123456789012:policy/team
    ");
}

#[test]
fn a_group_gives_what_its_policies_give() {
    let joined = |group: &str, facts: &Facts| {
        let request = json!({"userName": "mallory", "groupName": group});
        with("AddUserToGroup", request, json!({}), facts)
    };
    let group = |attached: &[&str], documents: &[String]| {
        let documents = documents.iter().map(|text| Document::read(text).unwrap());
        Facts {
            group: Answer::Is(Some(GroupPolicies {
                attached: attached.iter().map(|arn| arn.parse().unwrap()).collect(),
                documents: documents.collect(),
            })),
            ..Facts::default()
        }
    };
    let gone = Facts {
        group: Answer::Is(None),
        ..Facts::default()
    };
    let unreadable = Facts {
        group: Answer::Unreadable,
        ..Facts::default()
    };
    let told = [
        joined("staff", &group(&[ADMIN], &[])),
        joined("staff", &group(&[TEAM], &[reading(), everything()])),
        joined("Administrators", &group(&[TEAM], &[reading()])),
        joined("staff", &gone),
        joined("staff", &unreadable),
        joined("staff", &Facts::default()),
        joined("Administrators", &Facts::default()),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: arn:aws:iam::123456789012:user/mallory was put into arn:aws:iam::123456789012:group/staff, which has administration, by IAM user eve
      privilege-escalation: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/staff
    respond: arn:aws:iam::123456789012:user/mallory was put into arn:aws:iam::123456789012:group/staff, which has every action on every resource, by IAM user eve
      privilege-escalation: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/staff
    ignore: group Administrators has no administration
    escalate: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/staff: there is no such group any more (AddUserToGroup by IAM user eve)
    escalate: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/staff: what the group has could not be read (AddUserToGroup by IAM user eve)
    escalate: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/staff: what the group has is not known, since no account was asked (AddUserToGroup by IAM user eve)
    respond: arn:aws:iam::123456789012:user/mallory was put into arn:aws:iam::123456789012:group/Administrators, which has privileges by its name (no account was asked), by IAM user eve
      privilege-escalation: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/Administrators
    ");
}

#[test]
fn somebody_elses_credentials() {
    let of = |name: &str, user: &str| iam(name, json!({"userName": user}));
    let by = |identity: Value, request: Value, answer: Value| {
        let changes = json!({"userIdentity": identity, "responseElements": answer});
        with("CreateAccessKey", request, changes, &Facts::default())
    };
    let key_of =
        |user: &str| json!({"accessKey": {"userName": user, "accessKeyId": "AKIAEXAMPLE"}});
    let root = json!({"type": "Root", "accountId": "123456789012"});
    let federated = json!({"type": "FederatedUser",
        "arn": "arn:aws:sts::123456789012:federated-user/temp",
        "sessionContext": {"sessionIssuer": {
            "type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/eve"}}});
    let told = [
        of("CreateAccessKey", "mallory"),
        of("CreateLoginProfile", "mallory"),
        of("UpdateLoginProfile", "mallory"),
        of("CreateAccessKey", "eve"),
        of("UpdateLoginProfile", "Eve"),
        iam("CreateAccessKey", json!(null)),
        by(
            session_of("admin"),
            json!({"userName": "mallory"}),
            json!(null),
        ),
        by(session_of("admin"), json!({"userName": "run"}), json!(null)),
        by(session_of("admin"), json!(null), key_of("mallory")),
        by(federated, json!({"userName": "eve"}), json!(null)),
        by(
            root.clone(),
            json!(null),
            json!({"accessKey": {"status": "Active"}}),
        ),
        by(root, json!({"userName": "mallory"}), json!(null)),
        by(json!({}), json!(null), json!(null)),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: an access key was made for arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: access key of arn:aws:iam::123456789012:user/mallory
    respond: a password was set for arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: password of arn:aws:iam::123456789012:user/mallory
    respond: a password was set for arn:aws:iam::123456789012:user/mallory by IAM user eve
      privilege-escalation: password of arn:aws:iam::123456789012:user/mallory
    ignore: their own credentials
    ignore: their own credentials
    ignore: their own credentials
    respond: an access key was made for arn:aws:iam::123456789012:user/mallory by role admin, session run
      privilege-escalation: access key of arn:aws:iam::123456789012:user/mallory
    escalate: access key of arn:aws:iam::123456789012:user/run: by a session of that name, which whoever assumes the role chooses (CreateAccessKey by role admin, session run)
    respond: an access key was made for arn:aws:iam::123456789012:user/mallory by role admin, session run
      privilege-escalation: access key of arn:aws:iam::123456789012:user/mallory
    ignore: their own credentials
    respond: an access key of root was made by root of account 123456789012 [remedy]
      privilege-escalation: root of account 123456789012
    respond: an access key was made for arn:aws:iam::123456789012:user/mallory by root of account 123456789012
      privilege-escalation: access key of arn:aws:iam::123456789012:user/mallory
    escalate: CreateAccessKey succeeded, and the event does not say whether on somebody else's credentials
    ");
}

/// A trust that lets in `principal`.
fn trust(principal: Value) -> String {
    document(json!({"Effect": "Allow", "Principal": principal,
        "Action": ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"],
        "Condition": {"StringLike":
            {"token.actions.githubusercontent.com:sub": "repo:clinic/*"}}}))
}

#[test]
fn a_role_that_others_may_be() {
    let eve = "arn:aws:iam::123456789012:user/eve";
    let github = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";
    let opened = |document: String| {
        iam(
            "UpdateAssumeRolePolicy",
            json!({"roleName": "admin", "policyDocument": document}),
        )
    };
    let created = |document: String| {
        let answer = json!({"role": {"arn": "arn:aws:iam::123456789012:role/x/admin"}});
        with(
            "CreateRole",
            json!({"roleName": "admin", "assumeRolePolicyDocument": document}),
            json!({"responseElements": answer}),
            &Facts::default(),
        )
    };
    let told = [
        opened(trust(json!({"AWS": "arn:aws:iam::999988887777:root"}))),
        opened(trust(json!("*"))),
        opened(trust(json!({"AWS": [eve, "999988887777"]}))),
        opened(trust(json!({"AWS": eve}))),
        opened(trust(
            json!({"AWS": "123456789012", "Service": "ec2.amazonaws.com"}),
        )),
        opened(trust(json!({"Federated": github}))),
        opened("{".to_owned()),
        iam("UpdateAssumeRolePolicy", json!({})),
        created(trust(json!({"AWS": "999988887777"}))),
        created(trust(json!({"AWS": eve}))),
        created(trust(json!({"Federated": github}))),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: arn:aws:iam::123456789012:role/admin was opened to account 999988887777 by IAM user eve
      privilege-escalation: trust of arn:aws:iam::123456789012:role/admin
    respond: arn:aws:iam::123456789012:role/admin was opened to anybody by IAM user eve
      privilege-escalation: trust of arn:aws:iam::123456789012:role/admin
    respond: arn:aws:iam::123456789012:role/admin was opened to account 999988887777, the caller by IAM user eve [remedy]
      privilege-escalation: trust of arn:aws:iam::123456789012:role/admin
    respond: arn:aws:iam::123456789012:role/admin was opened to the caller by IAM user eve [remedy]
      privilege-escalation: trust of arn:aws:iam::123456789012:role/admin
    ignore: the trust lets in nobody of outside
    escalate: trust of arn:aws:iam::123456789012:role/admin: it lets in identities of token.actions.githubusercontent.com; whether those are yours, only you know (UpdateAssumeRolePolicy by IAM user eve)
    escalate: trust of arn:aws:iam::123456789012:role/admin: the trust cannot be read (UpdateAssumeRolePolicy by IAM user eve)
    escalate: UpdateAssumeRolePolicy succeeded, and the event does not say whether on a role of the responder
    respond: arn:aws:iam::123456789012:role/x/admin, which lets in account 999988887777, was created by IAM user eve
      privilege-escalation: new role arn:aws:iam::123456789012:role/x/admin + role admin
    ignore: the trust lets in nobody of outside
    escalate: new role arn:aws:iam::123456789012:role/x/admin: it lets in identities of token.actions.githubusercontent.com; whether those are yours, only you know (CreateRole by IAM user eve)
    ");
}

#[test]
fn a_permissions_boundary_that_was_taken_off_or_replaced() {
    let put = |boundary: Value, facts: &Facts| {
        let request = json!({"roleName": "admin", "permissionsBoundary": boundary});
        with("PutRolePermissionsBoundary", request, json!({}), facts)
    };
    let none = Facts::default();
    let told = [
        iam(
            "DeleteUserPermissionsBoundary",
            json!({"userName": "mallory"}),
        ),
        iam(
            "DeleteRolePermissionsBoundary",
            json!({"roleName": "admin"}),
        ),
        put(json!(ADMIN), &none),
        put(json!(TEAM), &policy(&everything())),
        put(json!(TEAM), &policy(&reading())),
        put(json!(TEAM), &none),
        put(json!("arn:aws:iam::aws:policy/AWSDenyAll"), &none),
        put(json!(null), &none),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    respond: the permissions boundary of arn:aws:iam::123456789012:user/mallory was taken off by IAM user eve
      privilege-escalation: permissions boundary of arn:aws:iam::123456789012:user/mallory
    respond: the permissions boundary of arn:aws:iam::123456789012:role/admin was taken off by IAM user eve
      privilege-escalation: permissions boundary of arn:aws:iam::123456789012:role/admin
    respond: the permissions boundary of arn:aws:iam::123456789012:role/admin was replaced by one that allows administration by IAM user eve
      privilege-escalation: permissions boundary of arn:aws:iam::123456789012:role/admin
    respond: the permissions boundary of arn:aws:iam::123456789012:role/admin was replaced by one that allows every action on every resource by IAM user eve
      privilege-escalation: permissions boundary of arn:aws:iam::123456789012:role/admin
    ignore: the policy grants no administration
    escalate: permissions boundary of arn:aws:iam::123456789012:role/admin: what it grants is not known, since no account was asked (PutRolePermissionsBoundary by IAM user eve)
    ignore: arn:aws:iam::aws:policy/AWSDenyAll only denies
    escalate: permissions boundary of arn:aws:iam::123456789012:role/admin: which policy it became cannot be read (PutRolePermissionsBoundary by IAM user eve)
    ");
}

#[test]
fn a_session_that_outlives_the_keys_of_its_issuer() {
    let issued = |request: Value| {
        told(
            &event("sts", "GetFederationToken", request, json!({})),
            &Facts::default(),
        )
    };
    let told = [
        issued(json!({"name": "temp", "policy": everything()})),
        issued(json!({"name": "temp", "policyArns": [{"arn": ADMIN}]})),
        issued(json!({"name": "temp", "policyArns": [{"arn": TEAM}]})),
        issued(json!({"name": "temp", "policy": reading(),
            "policyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]})),
        issued(json!({"name": "temp"})),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    escalate: a session of up to 36 hours was issued that is given every action on every resource, as far as its issuer may do that; turning its issuer's keys off does not end it (GetFederationToken by IAM user eve)
    escalate: a session of up to 36 hours was issued that is given what a managed policy grants, as far as its issuer may do that; turning its issuer's keys off does not end it (GetFederationToken by IAM user eve)
    escalate: a session of up to 36 hours was issued that is given what a managed policy grants, as far as its issuer may do that; turning its issuer's keys off does not end it (GetFederationToken by IAM user eve)
    ignore: the session is given no administration
    ignore: the session is given no administration
    ");
}

#[test]
fn an_assignment_of_identity_center_is_told_to_a_human() {
    let event = event(
        "sso",
        "CreateAccountAssignment",
        json!({"targetId": "123456789012"}),
        json!({}),
    );
    insta::assert_snapshot!(told(&event, &Facts::default()), @"escalate: a permission set of Identity Center was assigned in this account: what it grants, and taking it back, is Identity Center's (CreateAccountAssignment by IAM user eve)");
}

#[test]
fn whoever_may_give_privileges_is_excused_by_arn_and_nobody_who_is_called_alike() {
    let changed = [(
        "IAM_ADMIN_ARNS",
        "arn:aws:iam::123456789012:user/staff/ann,\
        arn:aws:iam::123456789012:role/iam-admin",
    )];
    let attached = |identity: Value| {
        let request = json!({"userName": "mallory", "policyArn": ADMIN});
        let event = event(
            "iam",
            "AttachUserPolicy",
            request,
            json!({"userIdentity": identity}),
        );
        let verdict = line(judge(&event, &watch(&changed), &Facts::default(), now()));
        kind(&verdict).to_owned()
    };
    let user = |arn: &str| json!({"type": "IAMUser", "accountId": "123456789012", "arn": arn});
    for (identity, expected) in [
        (session_of("ci/deploy"), "ignore"),
        (session_of("iam-admin"), "ignore"),
        (user("arn:aws:iam::123456789012:user/staff/ann"), "ignore"),
        (session_of("tourniquet/guard-notify"), "ignore"),
        (session_of("ci/deploy-2"), "respond"),
        (session_of("iam-admin-evil"), "respond"),
        (user("arn:aws:iam::123456789012:user/iam-admin"), "respond"),
        (user("arn:aws:iam::999988887777:user/staff/ann"), "respond"),
        (session_of("operator"), "respond"),
        (
            json!({"type": "Root", "accountId": "123456789012"}),
            "respond",
        ),
        (json!(null), "respond"),
    ] {
        assert_eq!(attached(identity.clone()), expected, "{identity}");
    }
}

#[test]
fn a_denied_attempt_is_told_unless_it_was_harmless_or_denied_explicitly() {
    let denied = |request: Value, message: &str| {
        let changes = json!({"errorCode": "AccessDenied", "errorMessage": message});
        with("AttachUserPolicy", request, changes, &Facts::default())
    };
    let of = |policy: &str| json!({"userName": "mallory", "policyArn": policy});
    let implicit = "is not authorized to perform: iam:AttachUserPolicy on resource: user mallory";
    let told = [
        denied(json!(null), implicit),
        denied(of(ADMIN), implicit),
        denied(of(TEAM), implicit),
        denied(of("arn:aws:iam::aws:policy/ReadOnlyAccess"), implicit),
        denied(
            of(ADMIN),
            "is not authorized … with an explicit deny in an identity-based policy",
        ),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    escalate: AttachUserPolicy of a policy that grants administration was attempted and denied
    escalate: AttachUserPolicy of a policy that grants administration was attempted and denied
    escalate: AttachUserPolicy of a policy that grants administration was attempted and denied
    ignore: AttachUserPolicy of something else than a policy that grants administration was denied
    ignore: AttachUserPolicy of a policy that grants administration was denied explicitly
    ");
    for (name, code) in [
        ("CreateAccessKey", "LimitExceededException"),
        ("AttachUserPolicy", "NoSuchEntityException"),
        ("UpdateAssumeRolePolicy", "MalformedPolicyDocumentException"),
        ("CreateRole", "EntityAlreadyExistsException"),
    ] {
        assert_eq!(
            with(
                name,
                json!(null),
                json!({"errorCode": code}),
                &Facts::default()
            ),
            format!("ignore: {name} failed ({code}): nothing changed")
        );
    }
}

#[test]
fn only_what_the_judgement_uses_is_asked() {
    let asked = |name: &str, request: Value, changes: Value| {
        Asked::by(&event("iam", name, request, changes), &watch(&[]))
    };
    let policy = |name: &str, request: Value| {
        let policy = asked(name, request, json!({})).policy;
        policy.map(|it| (it.policy.to_string(), it.version.map(|it| it.to_string())))
    };
    let team = Some((TEAM.to_owned(), None));
    let of = |policy: &str| json!({"userName": "mallory", "policyArn": policy});
    assert_eq!(policy("AttachUserPolicy", of(TEAM)), team);
    for known in [ADMIN, "arn:aws:iam::aws:policy/AWSDenyAll", "team"] {
        assert_eq!(policy("AttachUserPolicy", of(known)), None, "{known}");
    }
    let boundary = json!({"userName": "mallory", "permissionsBoundary": TEAM});
    assert_eq!(policy("PutUserPermissionsBoundary", boundary), team);
    let version = json!({"policyArn": TEAM, "versionId": "v1"});
    assert_eq!(
        policy("SetDefaultPolicyVersion", version),
        Some((TEAM.to_owned(), Some("v1".to_owned())))
    );
    assert_eq!(policy("CreatePolicyVersion", of(TEAM)), None);

    let joined = json!({"userName": "mallory", "groupName": "staff"});
    let joined = asked("AddUserToGroup", joined, json!({}));
    assert_eq!(joined.group.unwrap().name(), "staff");
    assert!(matches!(joined.actor, Some(Actor::IamUser { .. })));
    assert_eq!(joined.subject, None);

    let failed = json!({"errorCode": "AccessDenied"});
    assert_eq!(
        asked("AttachUserPolicy", of(TEAM), failed),
        Asked::default()
    );
    let elsewhere = json!({"recipientAccountId": "999988887777"});
    assert_eq!(
        asked("AttachUserPolicy", of(TEAM), elsewhere),
        Asked::default()
    );
    assert_eq!(asked("ListUsers", json!(null), json!({})), Asked::default());
    assert_eq!(Asked::by(&json!(null), &watch(&[])), Asked::default());
}

#[test]
fn without_an_account_facts_may_be_stated() {
    let stated = json!({
        "policies": {TEAM: everything()},
        "groups": {"staff": [ADMIN], "readers": [{"Statement": []}]},
        "contained": ["arn:aws:iam::123456789012:user/eve"],
    });
    let told = |name: &str, request: Value| {
        let event = event("iam", name, request, json!({}));
        let facts = Facts::stated(&Asked::by(&event, &watch(&[])), &stated);
        told(&event, &facts)
    };
    let other = json!({"contained": []});
    let event = event("iam", "CreateUser", json!({"userName": "x"}), json!({}));
    let asked = Asked::by(&event, &watch(&[]));
    assert_eq!(
        Facts::stated(&asked, &other).actor_is_held,
        Answer::Is(false)
    );
    assert_eq!(
        Facts::stated(&asked, &json!(null)).actor_is_held,
        Answer::Unasked
    );
    insta::assert_snapshot!([
        told("CreateUser", json!({"userName": "x"})),
        told("AddUserToGroup", json!({"userName": "mallory", "groupName": "readers"})),
    ].join("\n"), @"
    respond: the next step of a contained principal (CreateUser: principal arn:aws:iam::123456789012:user/x) was taken by IAM user eve
      privilege-escalation: principal arn:aws:iam::123456789012:user/x + IAM user x
    respond: the next step of a contained principal (AddUserToGroup: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/readers) was taken by IAM user eve
      privilege-escalation: membership of arn:aws:iam::123456789012:user/mallory in arn:aws:iam::123456789012:group/readers + IAM user mallory
    ");
}
