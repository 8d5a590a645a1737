//! The deny, taken off somebody who is contained.

use iam_policy::Document;
use incident::{Actor, Arn, Principal, Runbook, Severity, Target};
use jiff::SignedDuration;
use principal::{REVOKE_POLICY, SESSION_POLICY, cutoff_of};

use crate::{
    call::{Aim, Case, Effect, Response, Touched},
    facts::{Answer, GroupPolicies},
    iam::{self, IAM, IamCall},
};

/// A cut-off that ends every session there is lies no longer back: clocks differ.
const FRESH: SignedDuration = SignedDuration::from_mins(1);

const DENY_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;

/// The user or role of whom it matters whether they are contained.
pub(crate) fn subject_of(iam: &IamCall<'_>) -> Option<Actor> {
    let concerns = iam.service() == IAM && (iam.is_about_boundary() || turns_key_on(iam));
    let subject = concerns.then(|| iam.principal()).flatten();
    subject.map(iam::actor)
}

fn turns_key_on(iam: &IamCall<'_>) -> bool {
    iam.name() == "UpdateAccessKey" && iam.given("status") == Some("Active")
}

pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let iam = iam::of(case);
    if iam.service() != IAM {
        return None;
    }
    let of_policy = || iam.policy().map(|policy| iam.is_denial(&policy));
    let of_name = || iam.given("policyName").map(|name| denies(&iam, name));
    let (at_denial, effect): (_, fn(&Case<'_>) -> Effect) = match iam.name() {
        "DetachUserPolicy" | "DetachRolePolicy" | "DetachGroupPolicy" => (of_policy(), detached),
        "DeleteUserPolicy" | "DeleteRolePolicy" | "DeleteGroupPolicy" => (of_name(), deleted),
        "DeletePolicy" | "DeletePolicyVersion" => (of_policy(), unmade),
        // Where these do not say at what they were aimed, they are told of as grants.
        "PutUserPolicy" | "PutRolePolicy" | "PutGroupPolicy" => (Some(of_name()?), written_over),
        "CreatePolicyVersion" | "SetDefaultPolicyVersion" => (Some(of_policy()?), weakened),
        "RemoveUserFromGroup" => (Some(may_deny(case)), left_group),
        "UpdateAccessKey" if turns_key_on(&iam) => (Some(may_be_held(case)?), key_on),
        _ if iam.is_about_boundary() => {
            let held = case.facts.subject_is_held == Answer::Is(true);
            (held.then(|| Some(!becomes_denial(&iam)))?, unbounded)
        }
        _ => return None,
    };
    let aim = match at_denial {
        Some(at_denial) => Aim::at(at_denial),
        // Of a denied call nothing but its name may be left.
        None if case.call.error.is_some() => Aim::Watched,
        None => Aim::Unsaid(String::new(), ""),
    };
    Some(Touched::new(
        "the denial of somebody who is contained",
        aim,
        effect,
    ))
}

/// Whether an inline policy of this name is one that denies.
fn denies(iam: &IamCall<'_>, name: &str) -> bool {
    [iam.denial_name(), REVOKE_POLICY, SESSION_POLICY].contains(&name)
}

/// Whether the group may be one that denies: where that is not known, it may be.
fn may_deny(case: &Case<'_>) -> bool {
    match &case.facts.group {
        Answer::Is(Some(policies)) => policies.deny(&iam::of(case)),
        Answer::Is(None) | Answer::Unasked | Answer::Unreadable => true,
    }
}

/// Whether the user or role that a call is about may be contained. None where that is not known, and
/// known is that the actor is: then the call is the actor's next step.
fn may_be_held(case: &Case<'_>) -> Option<bool> {
    match case.facts.subject_is_held {
        Answer::Is(held) => Some(held),
        Answer::Unasked | Answer::Unreadable => {
            (case.facts.actor_is_held != Answer::Is(true)).then_some(true)
        }
    }
}

impl GroupPolicies {
    fn deny(&self, iam: &IamCall<'_>) -> bool {
        self.attached.iter().any(|policy| iam.is_denial(policy))
            || self.documents.iter().any(Document::denies_everything)
    }
}

/// Whether the boundary becomes the policy that denies everything.
fn becomes_denial(iam: &IamCall<'_>) -> bool {
    let policy = iam.given("permissionsBoundary");
    let policy = policy.and_then(|policy| policy.parse::<Arn>().ok());
    policy.is_some_and(|policy| iam.is_denial(&policy))
}

/// What comes of it that a deny was taken off `whom`; where none is given, off those whom only the
/// account knows.
fn taken_off(
    case: &Case<'_>,
    what: String,
    whom: Option<Principal>,
    remedy: Option<String>,
) -> Effect {
    let (tiers, actor) = (&case.watch.tiers, &case.call.actor);
    if tiers.is_responder(actor) {
        return Effect::Harmless("the responder's own action".to_owned());
    }
    if tiers.is_operator(actor) {
        return Effect::Unclear(format!(
            "{what} by hand: the runbook release-containment lets go of everything at once"
        ));
    }
    let own = actor.principal();
    let other = whom.filter(|whom| !own.as_ref().is_some_and(|own| own.is_same(whom)));
    let principal = other.clone().or(own);
    let principal = principal.map(|arn| Target::Principal { arn });
    let patients = || {
        let patients = case.watch.patients.as_ref()?;
        Some(Target::Table {
            arn: patients.table.clone(),
        })
    };
    let Some(target) = principal.or_else(patients) else {
        return Effect::Unclear(what);
    };
    Response {
        target: Some(target),
        accomplices: other.map(iam::actor).into_iter().collect(),
        remedy,
        ..Response::new(Runbook::PatientDataAccess, Severity::Critical, what)
    }
    .into()
}

fn detached(case: &Case<'_>) -> Effect {
    let iam = iam::of(case);
    let policy = case.given("policyArn").unwrap_or_default();
    let (of, whom) = of_whom(&iam);
    let remedy = iam.group().map(|group| {
        let group = group.name();
        format!("aws iam attach-group-policy --group-name {group} --policy-arn {policy}")
    });
    taken_off(
        case,
        format!("{policy} was detached from {of}"),
        whom,
        remedy,
    )
}

fn deleted(case: &Case<'_>) -> Effect {
    let (of, whom) = of_whom(&iam::of(case));
    let name = case.given("policyName").unwrap_or_default();
    let what = format!("inline policy {name} of {of} was deleted");
    taken_off(case, what, whom, inline_remedy(case))
}

fn written_over(case: &Case<'_>) -> Effect {
    let iam = iam::of(case);
    let name = case.given("policyName").unwrap_or_default();
    let document = case.given("policyDocument").unwrap_or_default();
    let still_denies = if name == REVOKE_POLICY {
        cutoff_of(document).is_some_and(|cutoff| cutoff + FRESH >= case.call.occurred_at)
    } else {
        name != SESSION_POLICY && iam.document().is_some_and(|it| it.denies_everything())
    };
    if still_denies {
        return Effect::Harmless(format!("inline policy {name} denies as it should"));
    }
    let (of, whom) = of_whom(&iam);
    let what = format!("inline policy {name} of {of} was written over");
    taken_off(case, what, whom, inline_remedy(case))
}

/// How a human puts an inline denial back that nobody's containment does.
fn inline_remedy(case: &Case<'_>) -> Option<String> {
    let name = case.given("policyName")?;
    if name == SESSION_POLICY {
        return Some(
            "for every session of the role that was contained: start its runbook again with New \
             execution and the same input"
                .to_owned(),
        );
    }
    let group = iam::of(case).group()?;
    let group = group.name();
    Some(format!(
        "aws iam put-group-policy --group-name {group} --policy-name {name} --policy-document \
         '{DENY_ALL}'"
    ))
}

/// The policy that denies everything was given another content: taking that back is the repair, for
/// everybody whom it denies.
fn weakened(case: &Case<'_>) -> Effect {
    let iam = iam::of(case);
    let policy = case.given("policyArn").unwrap_or_default();
    let becomes_default = iam.name() == "SetDefaultPolicyVersion" || iam.sets_default();
    let written = iam.document();
    let document = match (&case.facts.policy, &written) {
        (_, Some(document)) | (Answer::Is(Some(document)), None) => Some(document),
        _ => None,
    };
    if document.is_some_and(Document::denies_everything) {
        return Effect::Harmless(format!("{policy} still denies everything"));
    }
    if !becomes_default {
        return Effect::Unclear(format!(
            "a version of {policy} was written that does not deny everything; it is not the default, \
             so that the policy denies as before"
        ));
    }
    let what = format!("{policy}, which denies whoever is contained, was given another content");
    let remedy = format!(
        "aws iam set-default-policy-version --policy-arn {policy} --version-id <one that denies \
         everything>"
    );
    match (taken_off(case, what, None, None), iam.given_target()) {
        (Effect::Respond(response), target @ Some(_)) => Response {
            target,
            runbook: Runbook::PrivilegeEscalation,
            ..*response
        }
        .into(),
        (Effect::Respond(response), None) => Response {
            remedy: Some(remedy),
            ..*response
        }
        .into(),
        (other, _) => other,
    }
}

fn unmade(case: &Case<'_>) -> Effect {
    let iam = iam::of(case);
    let policy = case.given("policyArn").unwrap_or_default();
    if iam.name() == "DeletePolicyVersion" {
        let what = format!("a version of {policy}, which denies whoever is contained, was deleted");
        return taken_off(case, what, None, None);
    }
    let name = iam.denial_name();
    let remedy = format!(
        "aws iam create-policy --policy-name {name} --policy-document '{DENY_ALL}'; then start a \
         runbook for everybody who was contained"
    );
    let what = format!("{policy}, which denies whoever is contained, was deleted");
    taken_off(case, what, None, Some(remedy))
}

fn left_group(case: &Case<'_>) -> Effect {
    let iam = iam::of(case);
    let (of, whom) = of_whom(&iam);
    let group = case.given("groupName").unwrap_or("unknown");
    if !matches!(case.facts.group, Answer::Is(Some(_))) {
        return Effect::Unclear(format!(
            "{of} was taken out of group {group}, of which is not known whether it denies"
        ));
    }
    let what = format!("{of} was taken out of group {group}, which denies everything,");
    taken_off(case, what, whom, None)
}

fn unbounded(case: &Case<'_>) -> Effect {
    let (of, whom) = of_whom(&iam::of(case));
    let what = format!("the permissions boundary of {of}, who is contained, was changed");
    taken_off(case, what, whom, None)
}

fn key_on(case: &Case<'_>) -> Effect {
    let (of, whom) = of_whom(&iam::of(case));
    let what = format!("an access key of {of}, who is contained, was turned on");
    match case.facts.subject_is_held {
        Answer::Is(true) => taken_off(case, what, whom, None),
        Answer::Is(false) | Answer::Unasked | Answer::Unreadable => Effect::Unclear(format!(
            "an access key of {of} was turned on, of whom is not known whether they are contained"
        )),
    }
}

/// Whose a policy is, to people and as somebody to contain: of a group only its members are.
fn of_whom(iam: &IamCall<'_>) -> (String, Option<Principal>) {
    let principal = iam.principal();
    let group = || format!("group {}", iam.given("groupName").unwrap_or("unknown"));
    let of = principal.as_ref().map_or_else(group, ToString::to_string);
    (of, principal)
}
