//! What somebody who is contained already still makes: IAM takes seconds to settle, and attackers use
//! them to become somebody else.

use incident::{Actor, Principal, Runbook, Severity, Target};

use crate::{
    call::{Aim, Case, Effect, Response, Touched},
    facts::Answer,
    iam::{self, IAM, IamCall, STS},
    privilege,
};

/// What a call of a contained actor leads to.
enum Step {
    /// To somebody else, or to more privileges.
    Identity,
    /// To credentials that end with the actor's own.
    Credentials,
    /// To something that a human has to look at: there is nobody in it to contain.
    Thing,
}

fn step(iam: &IamCall<'_>) -> Option<Step> {
    Some(match (iam.service(), iam.name()) {
        (
            IAM,
            "AddRoleToInstanceProfile"
            | "AddUserToGroup"
            | "AttachGroupPolicy"
            | "AttachRolePolicy"
            | "AttachUserPolicy"
            | "CreateAccessKey"
            | "CreateLoginProfile"
            | "CreatePolicyVersion"
            | "CreateRole"
            | "CreateUser"
            | "DeleteRolePermissionsBoundary"
            | "DeleteUserPermissionsBoundary"
            | "PutGroupPolicy"
            | "PutRolePermissionsBoundary"
            | "PutRolePolicy"
            | "PutUserPermissionsBoundary"
            | "PutUserPolicy"
            | "SetDefaultPolicyVersion"
            | "UpdateAssumeRolePolicy"
            | "UpdateLoginProfile",
        )
        | (STS, "AssumeRole") => Step::Identity,
        (IAM, "UpdateAccessKey") if iam.given("status") == Some("Active") => Step::Identity,
        (STS, "GetFederationToken" | "GetSessionToken") => Step::Credentials,
        (
            IAM,
            "CreateGroup"
            | "CreateInstanceProfile"
            | "CreateOpenIDConnectProvider"
            | "CreatePolicy"
            | "CreateSAMLProvider"
            | "CreateServiceSpecificCredential"
            | "UploadSSHPublicKey"
            | "UploadSigningCertificate",
        ) => Step::Thing,
        _ => return None,
    })
}

/// Whether it matters for a call if its actor is contained already.
pub(crate) fn concerns(iam: &IamCall<'_>) -> bool {
    step(iam).is_some() && iam.actor().principal().is_some()
}

pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let may_be = match case.facts.actor_is_held {
        Answer::Is(held) => held,
        Answer::Unasked => false,
        // What is answered anyway is answered as what it is.
        Answer::Unreadable => match privilege::touched(case) {
            Some(_) => matches!(privilege::weighed(case), Effect::Harmless(_)),
            None => true,
        },
    };
    let concerns = case.call.error.is_none() && concerns(&iam::of(case));
    (concerns && may_be).then(|| {
        Touched::new(
            "what a contained principal still reaches",
            Aim::Watched,
            effect,
        )
    })
}

fn effect(case: &Case<'_>) -> Effect {
    let iam = iam::of(case);
    let name = iam.name();
    if case.facts.actor_is_held == Answer::Unreadable {
        return Effect::Unclear(format!(
            "whether {name} was called by a contained principal could not be read"
        ));
    }
    let Some(step @ (Step::Identity | Step::Credentials)) = step(&iam) else {
        return Effect::Unclear(format!(
            "{name} was called by a contained principal: find and remove what was made"
        ));
    };
    let made = made(&iam);
    let whom = made.as_ref().unwrap_or(iam.actor()).principal();
    let target = iam
        .given_target()
        .or_else(|| whom.map(|arn| Target::Principal { arn }));
    let of = target
        .as_ref()
        .map_or_else(String::new, |it| format!(": {it}"));
    let what = format!("the next step of a contained principal ({name}{of}) was taken");
    Response {
        target,
        accomplices: made.into_iter().collect(),
        // They end with the actor's own, so that one answer is enough.
        hourly: matches!(step, Step::Credentials),
        ..Response::new(Runbook::PrivilegeEscalation, Severity::Critical, what)
    }
    .into()
}

/// Whom the call leads to, if it is somebody else than the actor.
fn made(iam: &IamCall<'_>) -> Option<Actor> {
    match iam.name() {
        "AssumeRole" => iam.assumed(),
        "CreatePolicyVersion"
        | "SetDefaultPolicyVersion"
        | "AttachGroupPolicy"
        | "PutGroupPolicy"
        | "GetFederationToken"
        | "GetSessionToken" => None,
        _ => {
            let principal = iam.principal()?;
            let own = iam.actor().principal();
            let is_own = own.is_some_and(|own: Principal| own.is_same(&principal));
            (!is_own).then(|| iam::actor(principal))
        }
    }
}
