//! Who was given more privileges.

use iam_policy::{Document, Known, managed};
use incident::{Actor, Arn, BadSetting, Grant, Principal, Runbook, Settings, Severity, Target};

use crate::{
    call::{Aim, Case, Denied, Effect, Response, Touched},
    facts::{Answer, GroupPolicies, PolicyVersion},
    iam::{self, IAM, IamCall, STS},
};

/// What a call gives, to people.
const POLICY: &str = "a policy that grants administration";
const CREDENTIALS: &str = "somebody else's credentials";
const TRUST: &str = "the trust of a role";

/// Reads `IAM_ADMIN_ARNS` and `CI_ROLE_ARNS`: who may give privileges.
///
/// # Errors
/// Names the setting that does not parse.
pub(crate) fn givers<F>(settings: &Settings<F>) -> Result<Vec<Principal>, BadSetting>
where
    F: Fn(&str) -> Option<String>,
{
    let mut givers: Vec<Principal> = settings.list("IAM_ADMIN_ARNS")?;
    givers.extend(settings.list::<Principal>("CI_ROLE_ARNS")?);
    Ok(givers)
}

/// The managed policy whose document decides what a call gives.
pub(crate) fn policy_of(iam: &IamCall<'_>) -> Option<PolicyVersion> {
    let boundary = || iam.given("permissionsBoundary")?.parse().ok();
    let (policy, version): (Arn, _) = match (iam.service(), iam.name()) {
        (IAM, "AttachUserPolicy" | "AttachRolePolicy" | "AttachGroupPolicy") => {
            (iam.policy()?, None)
        }
        (IAM, "PutUserPermissionsBoundary" | "PutRolePermissionsBoundary") => (boundary()?, None),
        (IAM, "SetDefaultPolicyVersion") => (iam.policy()?, Some(iam.default_version()?)),
        _ => return None,
    };
    let unknown = !iam.is_denial(&policy) && managed(policy.as_str()) == Known::Unknown;
    (unknown || version.is_some()).then_some(PolicyVersion { policy, version })
}

pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let iam = iam::of(case);
    let thing = match (iam.service(), iam.name()) {
        (
            IAM,
            "AttachUserPolicy"
            | "AttachRolePolicy"
            | "AttachGroupPolicy"
            | "PutUserPolicy"
            | "PutRolePolicy"
            | "PutGroupPolicy"
            | "CreatePolicyVersion"
            | "SetDefaultPolicyVersion",
        ) => POLICY,
        (IAM, "AddUserToGroup") => "a group that has privileges",
        (IAM, "CreateAccessKey" | "CreateLoginProfile" | "UpdateLoginProfile") => CREDENTIALS,
        (IAM, "UpdateAssumeRolePolicy" | "CreateRole") => TRUST,
        (
            IAM,
            "DeleteUserPermissionsBoundary"
            | "DeleteRolePermissionsBoundary"
            | "PutUserPermissionsBoundary"
            | "PutRolePermissionsBoundary",
        ) => "a permissions boundary",
        (STS, "GetFederationToken") => "a session that outlives its issuer's keys",
        ("sso.amazonaws.com", "CreateAccountAssignment") => "an assignment of Identity Center",
        _ => return None,
    };
    let says = iam.given_target().is_some() || iam.service() != IAM || is_idle_version(&iam);
    let aim = match (&case.call.error, says) {
        (None, false) => Aim::Unsaid(String::new(), ""),
        // What would have done no harm is no attempt at any.
        (Some(_), true) if matches!(weighed(case), Effect::Harmless(_)) => Aim::Other,
        _ => Aim::Watched,
    };
    Some(Touched {
        // It may be our own containment at work.
        denied: Denied::EscalatesUnlessExplicit,
        ..Touched::new(thing, aim, weighed)
    })
}

/// A version of a policy that does not become its default.
fn is_idle_version(iam: &IamCall<'_>) -> bool {
    iam.name() == "CreatePolicyVersion" && !iam.sets_default()
}

/// What a call gave.
pub(crate) fn weighed(case: &Case<'_>) -> Effect {
    let iam = iam::of(case);
    let watch = case.watch;
    if watch.tiers.is_responder(iam.actor()) {
        return Effect::Harmless("the responder's own action".to_owned());
    }
    let by = iam.actor().principal();
    if by.is_some_and(|by| watch.givers.iter().any(|giver| giver.is_same(&by))) {
        return Effect::Harmless("by CI/CD or an administrator of IAM".to_owned());
    }
    match iam.name() {
        "GetFederationToken" => federated(&iam),
        "CreateAccountAssignment" => Effect::Unclear(
            "a permission set of Identity Center was assigned in this account: what it grants, and \
             taking it back, is Identity Center's"
                .to_owned(),
        ),
        "CreatePolicyVersion" if !iam.sets_default() => idle_version(&iam),
        _ => match iam.given_target() {
            Some(Target::Grant { grant }) => given(case, &iam, grant),
            Some(Target::Root { account }) => Response {
                target: Some(Target::Root { account }),
                remedy: Some(
                    "delete it: sign in as root, Security credentials, Access keys; or with root's own \
                     credentials: aws iam delete-access-key --access-key-id <id>"
                        .to_owned(),
                ),
                ..escalation("an access key of root was made".to_owned())
            }
            .into(),
            _ => Effect::Unclear("what was given to whom cannot be read".to_owned()),
        },
    }
}

fn escalation(what: String) -> Response {
    Response::new(Runbook::PrivilegeEscalation, Severity::Critical, what)
}

/// How much a grant is.
enum Weight {
    /// It is answered: what it gives, in words.
    Heavy(String),
    /// It gives nothing that matters, and why.
    Light(String),
    /// What it gives is not known, and why.
    Unknown(String),
}

use Weight::{Heavy, Light, Unknown};

/// What comes of a grant, as its content weighs.
fn given(case: &Case<'_>, iam: &IamCall<'_>, grant: Grant) -> Effect {
    let weight = match &grant {
        Grant::AttachedPolicy { policy, .. } => of_policy(case, iam, policy),
        Grant::InlinePolicy { .. } => of_document(iam.document().as_ref()),
        Grant::PolicyVersion { .. } if iam.name() == "CreatePolicyVersion" => {
            of_document(iam.document().as_ref())
        }
        Grant::PolicyVersion { .. } => of_version(case),
        Grant::Membership { group, .. } => of_group(case, group.name()),
        Grant::AccessKey { user } | Grant::LoginProfile { user } => {
            of_credentials(iam.actor(), &Principal::User(user.clone()))
        }
        Grant::Trust { .. } | Grant::Role { .. } => of_trust(iam),
        Grant::Boundary { .. } => of_boundary(case, iam),
    };
    match weight {
        Light(why) => Effect::Harmless(why),
        Unknown(why) => Effect::Unclear(format!("{grant}: {why}")),
        Heavy(how) => Response {
            accomplices: taken_over(&grant),
            remedy: remedy(iam, &grant),
            target: Some(Target::Grant {
                grant: grant.clone(),
            }),
            ..escalation(done(iam, &grant, &how))
        }
        .into(),
    }
}

/// What was done, before "by whom".
fn done(iam: &IamCall<'_>, grant: &Grant, how: &str) -> String {
    match grant {
        Grant::AttachedPolicy { grantee, policy } => {
            format!("policy {policy}, which grants {how}, was attached to {grantee}")
        }
        Grant::InlinePolicy { grantee, name } => {
            format!("inline policy {name}, which grants {how}, was written for {grantee}")
        }
        Grant::PolicyVersion { policy, version } => {
            format!(
                "version {version} of policy {policy}, which grants {how}, was made its default"
            )
        }
        Grant::Membership { user, group } => {
            format!("{user} was put into {group}, which has {how},")
        }
        Grant::AccessKey { user } => format!("an access key was made for {user}"),
        Grant::LoginProfile { user } => format!("a password was set for {user}"),
        Grant::Trust { role } => format!("{role} was opened to {how}"),
        Grant::Role { role } => format!("{role}, which lets in {how}, was created"),
        Grant::Boundary { principal } if iam.name().starts_with("Delete") => {
            format!("the permissions boundary of {principal} was taken off")
        }
        Grant::Boundary { principal } => {
            format!("the permissions boundary of {principal} was replaced by one that allows {how}")
        }
    }
}

/// What was made for the attack. Whoever was there before is no accomplice: an attacker could make
/// us deny anybody by making a key for them, or by opening their role.
fn taken_over(grant: &Grant) -> Vec<Actor> {
    match grant {
        Grant::Role { role } => vec![iam::actor(Principal::Role(role.clone()))],
        _ => Vec::new(),
    }
}

/// What no step takes back.
fn remedy(iam: &IamCall<'_>, grant: &Grant) -> Option<String> {
    match grant {
        Grant::Trust { role } if names_caller(iam) => Some(format!(
            "take {} out of the trust of {role}, unless it belongs there: aws iam \
             update-assume-role-policy --role-name {} --policy-document <the trust without it>",
            iam.actor(),
            role.name()
        )),
        _ => None,
    }
}

fn of_policy(case: &Case<'_>, iam: &IamCall<'_>, policy: &Arn) -> Weight {
    if iam.is_denial(policy) {
        return Light(format!("{policy} only denies"));
    }
    match managed(policy.as_str()) {
        Known::Administration => Heavy("administration".to_owned()),
        Known::Denial => Light(format!("{policy} only denies")),
        Known::Ordinary => Light(format!("{policy} grants no administration")),
        Known::Unknown => of_answer(&case.facts.policy, Unknown(NOT_ASKED.to_owned())),
    }
}

const NOT_ASKED: &str = "what it grants is not known, since no account was asked";

/// Somebody who changes what a policy is by changing its default writes no document: where nobody can
/// be asked, that alone is answered.
fn of_version(case: &Case<'_>) -> Weight {
    let unasked = Heavy("perhaps everything (no account was asked)".to_owned());
    of_answer(&case.facts.policy, unasked)
}

fn of_answer(policy: &Answer<Option<Document>>, unasked: Weight) -> Weight {
    match policy {
        Answer::Is(Some(document)) => of_document(Some(document)),
        Answer::Is(None) => Unknown("there is no such policy any more".to_owned()),
        Answer::Unasked => unasked,
        Answer::Unreadable => Unknown("what it grants could not be read".to_owned()),
    }
}

fn of_document(document: Option<&Document>) -> Weight {
    match document.map(Document::administration) {
        Some(Some(how)) => Heavy(how),
        Some(None) => Light("the policy grants no administration".to_owned()),
        None => Unknown("the policy's document cannot be read".to_owned()),
    }
}

/// A policy that does not become the default gives nothing yet.
fn idle_version(iam: &IamCall<'_>) -> Effect {
    match of_document(iam.document().as_ref()) {
        Heavy(how) => Effect::Unclear(format!(
            "a version of policy {} was written that grants {how}; it is not the default, so that it \
             gives nothing yet",
            iam.given("policyArn").unwrap_or("unknown")
        )),
        Light(why) => Effect::Harmless(why),
        Unknown(why) => Effect::Unclear(why),
    }
}

fn of_group(case: &Case<'_>, name: &str) -> Weight {
    match &case.facts.group {
        Answer::Is(Some(policies)) => match policies.administration() {
            Some(how) => Heavy(how),
            None => Light(format!("group {name} has no administration")),
        },
        Answer::Is(None) => Unknown("there is no such group any more".to_owned()),
        Answer::Unreadable => Unknown("what the group has could not be read".to_owned()),
        Answer::Unasked if sounds_privileged(name) => {
            Heavy("privileges by its name (no account was asked)".to_owned())
        }
        Answer::Unasked => {
            Unknown("what the group has is not known, since no account was asked".to_owned())
        }
    }
}

/// Where nothing else tells. A name accuses; it never excuses.
fn sounds_privileged(group: &str) -> bool {
    let group = group.to_ascii_lowercase();
    ["admin", "root", "power", "super", "sudo"]
        .iter()
        .any(|word| group.contains(word))
}

impl GroupPolicies {
    fn administration(&self) -> Option<String> {
        let mut names = self.attached.iter().map(|policy| managed(policy.as_str()));
        if names.any(|known| known == Known::Administration) {
            return Some("administration".to_owned());
        }
        self.documents.iter().find_map(Document::administration)
    }
}

/// One's own credentials are nobody else's. Whoever assumes a role chooses the session's name, so that
/// a session that is called like the user may be anybody.
fn of_credentials(by: &Actor, user: &Principal) -> Weight {
    let own = by.principal().is_some_and(|by| by.is_same(user));
    let called_alike = matches!(by, Actor::Role { session: Some(session), .. }
        if session.name.as_str().eq_ignore_ascii_case(user.name()));
    if own {
        Light("their own credentials".to_owned())
    } else if called_alike {
        Unknown("by a session of that name, which whoever assumes the role chooses".to_owned())
    } else {
        Heavy(String::new())
    }
}

fn of_trust(iam: &IamCall<'_>) -> Weight {
    let Some(trust) = iam.document() else {
        return Unknown("the trust cannot be read".to_owned());
    };
    let account = iam.watch().tiers.account();
    let mut let_in = trust.outsiders(account);
    if iam.name() == "UpdateAssumeRolePolicy" && names_caller(iam) {
        let_in.push("the caller".to_owned());
    }
    if !let_in.is_empty() {
        return Heavy(let_in.join(", "));
    }
    match trust.vouched_for(account) {
        vouched if vouched.is_empty() => Light("the trust lets in nobody of outside".to_owned()),
        vouched => Unknown(format!(
            "it lets in {}; whether those are yours, only you know",
            vouched.join(", ")
        )),
    }
}

/// Whether a trust names the very caller.
fn names_caller(iam: &IamCall<'_>) -> bool {
    let by = iam.actor().principal();
    let trust = iam.document();
    by.zip(trust)
        .is_some_and(|(by, trust)| trust.names(by.arn()))
}

fn of_boundary(case: &Case<'_>, iam: &IamCall<'_>) -> Weight {
    if iam.name().starts_with("Delete") {
        return Heavy(String::new());
    }
    match iam.given("permissionsBoundary").map(str::parse::<Arn>) {
        Some(Ok(policy)) => of_policy(case, iam, &policy),
        _ => Unknown("which policy it became cannot be read".to_owned()),
    }
}

/// A session can do no more than its issuer, and ends with a deny on the issuer; but not with the
/// issuer's keys.
fn federated(iam: &IamCall<'_>) -> Effect {
    let document = iam.document();
    let inline = document.as_ref().and_then(Document::administration);
    let mut managed = iam.session_policies().map(managed);
    let managed = managed.any(|known| matches!(known, Known::Administration | Known::Unknown));
    match inline.or_else(|| managed.then(|| "what a managed policy grants".to_owned())) {
        Some(how) => Effect::Unclear(format!(
            "a session of up to 36 hours was issued that is given {how}, as far as its issuer may do \
             that; turning its issuer's keys off does not end it"
        )),
        None => Effect::Harmless("the session is given no administration".to_owned()),
    }
}
