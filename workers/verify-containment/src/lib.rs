//! Re-reads whether containment holds, and names what does not.
//!
//! IAM takes seconds to enforce a denial, and until then whoever is denied can take it off again, or
//! leave a key, a password or a policy behind. So the runbook waits and asks this worker, which
//! changes nothing.
//!
//! - **Principal.** The deny-all policy is attached, or is the permissions boundary; it denies older
//!   sessions too, since IAM evaluates every request anew, and where it is missing a policy of their
//!   own must. Every access key is off; no password since the event; no policy since the denial, as
//!   far as the ledger knows what was there before.
//! - **Session.** The shared role's policy denies that session's tokens from before the event.
//! - **None.** The actor was to be left alone: nothing to read.
//!
//! What cannot be read counts as not holding. A principal that is gone, permission that is lacking
//! and calls worth repeating are failures; they say what was found all the same.
//!
//! **Left for a human**: policies for which the ledger has nothing to compare with, since another
//! round would not help.
//!
//! **Calls.** `iam:GetUser`, `iam:GetUserPolicy`, `iam:ListUserPolicies`,
//! `iam:ListAttachedUserPolicies` or the same four of a role; `iam:ListAccessKeys`,
//! `iam:GetLoginProfile`; `dynamodb:GetItem`. All at once.
//!
//! **Undo.** None. **A second run** reads again.

use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_iam::{
    Client,
    primitives::DateTime,
    types::{AccessKeyMetadata, StatusType},
};
use incident::{Accomplice, Actor, Containment, IncidentId, Session, Settings, Tiers, cut};
use jiff::Timestamp;
use ledger::Ledger;
use principal::{
    Before, DENIAL, Principal, REVOKE_POLICY, SESSION_POLICY, SessionDenials, cutoff_of, masked,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker::{Failure, Worker};

/// A summary is for people: the whole list is beside it.
const LONGEST_SUMMARY: usize = 1_000;

/// Whose containment to verify.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident.
    pub incident_id: IncidentId,
    /// The actor.
    #[serde(deserialize_with = "incident::written::deserialize")]
    #[schemars(with = "Actor")]
    pub actor: Actor,
    /// How far the actor was contained.
    pub containment: Containment,
    /// Who was contained with the actor.
    #[serde(default)]
    pub accomplices: Vec<Accomplice>,
    /// When the event happened: older sessions are denied, and nothing was created since.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Whether the run changed nothing, so that there is nothing to verify.
    #[serde(default)]
    pub dry_run: bool,
}

/// Whether containment holds.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether nothing is missing.
    pub holds: bool,
    /// What does not hold, one line each, for people.
    pub missing: Vec<String>,
    /// What could not be verified, one line each: the run ends red while there is any.
    pub left: Vec<String>,
    /// All of it in one sentence.
    pub summary: String,
}

/// The worker.
#[derive(Debug)]
pub struct VerifyContainment {
    iam: Client,
    ledger: Ledger,
    tiers: Tiers,
}

impl VerifyContainment {
    /// Reads the settings of [`Tiers`] and `LEDGER_TABLE`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            iam: Client::new(&worker::CONTROL.on(config)),
            ledger: Ledger::from_settings(config, &settings)?,
            tiers: Tiers::from_settings(&settings)?,
        })
    }
}

impl Worker for VerifyContainment {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        if input.dry_run {
            return Ok(Output {
                holds: true,
                missing: Vec::new(),
                left: Vec::new(),
                summary: "dry run: nothing to verify".to_owned(),
            });
        }
        let Input {
            actor,
            containment,
            since,
            ..
        } = &input;
        let mut found = self.contained(actor, containment, *since).await?;
        for Accomplice { actor, containment } in &input.accomplices {
            let other = self.contained(actor, containment, *since).await?;
            found.join(other, actor);
        }
        found.answer()
    }
}

impl VerifyContainment {
    async fn contained(
        &self,
        actor: &Actor,
        containment: &Containment,
        since: Timestamp,
    ) -> Result<Findings, Failure> {
        let principal = Principal::of(actor, &self.iam);
        match (containment, principal, actor) {
            (Containment::None { .. }, _, actor) => {
                Ok(Findings::note(format!("{actor} was not to be contained")))
            }
            (Containment::Principal { .. }, Some(principal), _) => {
                // Boxed: that many SDK calls side by side are more than a caller's stack should carry.
                Ok(Box::pin(self.principal(&principal, since)).await)
            }
            (
                Containment::Session { .. },
                Some(role),
                Actor::Role {
                    session: Some(session),
                    ..
                },
            ) => Ok(session_of(&role, session, since).await),
            _ => Err(Failure::InvalidInput(
                "`containment`: does not fit the actor".to_owned(),
            )),
        }
    }

    async fn principal(&self, principal: &Principal, since: Timestamp) -> Findings {
        let (identity, attached, inline, revocation, keys, password, before) = tokio::join!(
            principal.look_up(),
            principal.attached(),
            principal.inline_names(),
            principal.inline(REVOKE_POLICY),
            self.keys(principal),
            self.password(principal),
            self.ledger.original(principal.arn().as_str(), DENIAL),
        );
        let mut found = Findings::about(principal);
        let identity = found.read(identity);
        let attached = found.read(attached);
        let inline = found.read(inline);

        let deny = self.tiers.deny_policy().as_str();
        let boundary = identity
            .as_ref()
            .and_then(|identity| identity.boundary.as_deref());
        let denied =
            boundary == Some(deny) || attached.iter().flatten().any(|policy| policy == deny);
        if !denied && identity.is_some() && attached.is_some() {
            found.miss(format!(
                "the deny-all policy is not attached to {principal}"
            ));
        }
        if let Some(document) = found.read(revocation) {
            let revoked = document.as_deref().and_then(cutoff_of) >= Some(since);
            if !(revoked || denied) {
                found.miss(format!("older sessions of {principal} are not revoked"));
            }
        }
        for key in found.read(keys).into_iter().flatten() {
            if key.status == Some(StatusType::Active) {
                let id = masked(key.access_key_id().unwrap_or_default());
                let created = match key.create_date {
                    Some(date) if is_since(date, since) => " (created since the event)",
                    _ => "",
                };
                found.miss(format!("access key {id} of {principal} is active{created}"));
            }
        }
        if let Some(Some(created)) = found.read(password)
            && is_since(created, since)
        {
            found.miss(format!(
                "{principal} was given a console password since the event"
            ));
        }
        let Some(before) = known(before) else {
            found.leave(
                "policies could not be compared with those before: the ledger does not say"
                    .to_owned(),
            );
            return found;
        };
        for policy in attached.iter().flatten() {
            if policy != deny && !before.policies.contains(policy) {
                found.miss(format!(
                    "policy {policy} was attached to {principal} since it was denied"
                ));
            }
        }
        let Some(inline_before) = before.inline_policies else {
            found.leave(
                "inline policies could not be compared with those before: they could not be read \
                 when the principal was denied"
                    .to_owned(),
            );
            return found;
        };
        for policy in inline.iter().flatten() {
            let ours = [REVOKE_POLICY, SESSION_POLICY].contains(&policy.as_str());
            if !ours && !inline_before.contains(policy) {
                found.miss(format!(
                    "inline policy {policy} was added to {principal} since it was denied"
                ));
            }
        }
        found
    }

    /// A user's access keys; a role has none.
    async fn keys(&self, principal: &Principal) -> Result<Vec<AccessKeyMetadata>, Failure> {
        if !principal.is_user() {
            return Ok(Vec::new());
        }
        self.iam
            .list_access_keys()
            .user_name(principal.name())
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Failure::aws("iam:ListAccessKeys", &error))
    }

    /// When a user was given a password, if ever; a role has none.
    async fn password(&self, principal: &Principal) -> Result<Option<DateTime>, Failure> {
        if !principal.is_user() {
            return Ok(None);
        }
        let profile = self
            .iam
            .get_login_profile()
            .user_name(principal.name())
            .send()
            .await
            .map_err(|error| Failure::aws("iam:GetLoginProfile", &error));
        match profile {
            Ok(output) => Ok(output.login_profile.map(|profile| profile.create_date)),
            Err(Failure::TargetNotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Whether one session of a shared role is denied.
async fn session_of(role: &Principal, session: &Session, since: Timestamp) -> Findings {
    // Without the first, a role that is gone looks like one that has no such policy.
    let (identity, document) = tokio::join!(role.look_up(), role.inline(SESSION_POLICY));
    let name = format!("session {} of {role}", session.name);
    let mut found = Findings::about(&name);
    if let (Some(identity), Some(document)) = (found.read(identity), found.read(document)) {
        let user_id = identity.user_id(session);
        let denials = SessionDenials::read(document.as_deref());
        if denials.cutoff(&user_id) < Some(since) {
            found.miss(format!("{name} is not denied"));
        }
    }
    found
}

/// What a principal had before it was denied; none when the ledger cannot be read, or does not know
/// of the denial.
fn known(original: Result<Option<Value>, Failure>) -> Option<Before> {
    serde_json::from_value(original.ok()??).ok()
}

/// What was found about the actor.
#[derive(Default)]
struct Findings {
    /// What holds or does not; none when there was nothing to contain.
    subject: Option<String>,
    /// What does not hold.
    missing: Vec<String>,
    /// What is left for a human.
    left: Vec<String>,
    /// What is no lack, but should be said.
    notes: Vec<String>,
    /// What keeps the question open.
    failure: Option<Failure>,
}

impl Findings {
    fn about(who: impl fmt::Display) -> Self {
        Self {
            subject: Some(format!("containment of {who}")),
            ..Self::default()
        }
    }

    fn note(note: String) -> Self {
        Self {
            notes: vec![note],
            ..Self::default()
        }
    }

    fn miss(&mut self, lack: String) {
        self.missing.push(lack);
    }

    fn leave(&mut self, what: String) {
        self.left.push(what);
    }

    /// What was read; none when it could not be. A principal that is gone outweighs a call worth
    /// repeating, and that a permission that is lacking.
    fn read<T>(&mut self, read: Result<T, Failure>) -> Option<T> {
        let failure = match read {
            Ok(value) => return Some(value),
            Err(failure) => failure,
        };
        let weight = |failure: &Failure| match failure {
            Failure::TargetNotFound(_) => 3,
            Failure::Transient(_) => 2,
            Failure::AccessDenied(_) => 1,
            _ => 0,
        };
        if weight(&failure) == 0 {
            self.miss(format!("IAM could not be read: {failure}"));
        } else if weight(&failure) > self.failure.as_ref().map_or(0, weight) {
            self.failure = Some(failure);
        }
        None
    }

    /// With what was found about an accomplice: whoever was made for the attack and is gone again
    /// needs no containment.
    fn join(&mut self, other: Self, accomplice: &Actor) {
        match other.failure {
            Some(Failure::TargetNotFound(_)) => {
                self.notes.push(format!("{accomplice} is gone"));
                return;
            }
            Some(failure) => drop(self.read::<()>(Err(failure))),
            None if other.missing.is_empty() => {
                let held = other.subject.map(|subject| format!("{subject} holds"));
                self.notes.extend(held);
            }
            None => {}
        }
        self.missing.extend(other.missing);
        self.left.extend(other.left);
        self.notes.extend(other.notes);
    }

    /// The answer; a failure hides nothing that was found.
    fn answer(self) -> Result<Output, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure.rephrase(|why| {
                let found = self.missing.iter().chain(&self.left).map(String::as_str);
                [why]
                    .into_iter()
                    .chain(found)
                    .collect::<Vec<_>>()
                    .join("; ")
            }));
        }
        let verdict = self.subject.map(|subject| match self.missing.as_slice() {
            [] => format!("{subject} holds"),
            missing => format!("{subject} does not hold: {}", missing.join(", ")),
        });
        let said: Vec<_> = verdict
            .into_iter()
            .chain(self.notes)
            .chain(self.left.iter().cloned())
            .collect();
        Ok(Output {
            holds: self.missing.is_empty(),
            missing: self.missing,
            left: self.left,
            summary: cut(&said.join("; "), LONGEST_SUMMARY),
        })
    }
}

/// Whether IAM, which keeps whole seconds, created something at or after `since`.
fn is_since(created: DateTime, since: Timestamp) -> bool {
    created.secs() >= since.as_second()
}

#[cfg(test)]
mod fake;

#[cfg(test)]
mod tests {
    use aws_sdk_iam::types::StatusType::{Active, Inactive};
    use principal::revoke_document;
    use serde_json::json;
    use worker::answer;

    use super::{fake::Aws, *};

    const EVE: &str = "arn:aws:iam::123456789012:user/eve";
    const ADMIN: &str = "arn:aws:iam::123456789012:role/admin";
    const DENY: &str = "arn:aws:iam::aws:policy/AWSDenyAll";
    const POWER: &str = "arn:aws:iam::aws:policy/PowerUserAccess";
    const SINCE: &str = "2026-11-25T12:00:00Z";
    const EARLIER: &str = "2026-11-25T11:59:59Z";
    const KEY: &str = "AKIAI44QH8DHBEXA7XYZ";

    /// A user or role that is contained in every way.
    fn contained() -> Aws {
        Aws::default().but(|aws| {
            aws.attached = vec![POWER, DENY];
            aws.inline.insert(REVOKE_POLICY, revoked(SINCE));
            aws.inline.insert("tools", "{}".to_owned());
            aws.keys = vec![
                ("AKIAIOSFODNN7EXAMPLE", Inactive, EARLIER),
                (KEY, Inactive, EARLIER),
            ];
            aws.password = Some(EARLIER);
            aws.before = Some(
                json!({"attached": false, "policies": [POWER], "inlinePolicies": ["tools"]})
                    .to_string(),
            );
        })
    }

    fn revoked(cutoff: &str) -> String {
        revoke_document(cutoff.parse().unwrap())
    }

    impl Aws {
        async fn verify(&self, actor: &str, more: Value) -> Result<Output, Failure> {
            let worker = VerifyContainment {
                iam: self.iam(),
                ledger: self.ledger(),
                tiers: tiers(),
            };
            let mut payload = json!({
                "incidentId": "i-1",
                "actor": actor,
                "containment": {"kind": "principal", "reason": "an ordinary principal"},
                "since": SINCE,
            });
            for (field, value) in more.as_object().unwrap() {
                payload[field] = value.clone();
            }
            let output = answer(&worker, &payload).await?;
            Ok(Output {
                holds: output["holds"].as_bool().unwrap(),
                missing: serde_json::from_value(output["missing"].clone()).unwrap(),
                left: serde_json::from_value(output["left"].clone()).unwrap(),
                summary: output["summary"].as_str().unwrap().to_owned(),
            })
        }

        /// What is missing, one a line.
        async fn missing(&self, actor: &str, more: Value) -> String {
            let output = self.verify(actor, more).await.unwrap();
            assert_eq!(output.holds, output.missing.is_empty());
            output.missing.join("\n")
        }
    }

    fn tiers() -> Tiers {
        Tiers::from_settings(&Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => DENY,
                _ => return None,
            };
            Some(value.to_owned())
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn containment_that_is_whole_holds() {
        let output = contained().verify(EVE, json!({})).await.unwrap();
        assert!(output.holds && output.missing.is_empty() && output.left.is_empty());
        insta::assert_snapshot!(output.summary, @"containment of IAM user eve holds");
        let output = contained().verify(ADMIN, json!({})).await.unwrap();
        assert!(output.holds && output.missing.is_empty() && output.left.is_empty());
        insta::assert_snapshot!(output.summary, @"containment of role admin holds");
    }

    #[tokio::test]
    async fn everything_that_does_not_hold_is_named() {
        let aws = contained().but(|aws| {
            aws.attached = vec![POWER, "arn:aws:iam::aws:policy/AdministratorAccess"];
            aws.inline.remove(REVOKE_POLICY);
            aws.inline.insert("back-door", "{}".to_owned());
            aws.keys[0].1 = Active;
            aws.keys[1].1 = Active;
            aws.keys[1].2 = SINCE;
            aws.password = Some(SINCE);
        });
        let output = aws.verify(EVE, json!({})).await.unwrap();
        assert!(!output.holds);
        insta::assert_snapshot!(output.missing.join("\n"), @"
        the deny-all policy is not attached to IAM user eve
        older sessions of IAM user eve are not revoked
        access key AKIA…MPLE of IAM user eve is active
        access key AKIA…7XYZ of IAM user eve is active (created since the event)
        IAM user eve was given a console password since the event
        policy arn:aws:iam::aws:policy/AdministratorAccess was attached to IAM user eve since it was denied
        inline policy back-door was added to IAM user eve since it was denied
        ");
        insta::assert_snapshot!(output.summary, @"containment of IAM user eve does not hold: the deny-all policy is not attached to IAM user eve, older sessions of IAM user eve are not revoked, access key AKIA…MPLE of IAM user eve is active, access key AKIA…7XYZ of IAM user eve is active (created since the event), IAM user eve was given a console password since the event, policy arn:aws:iam::aws:policy/AdministratorAccess was attached to IAM user eve since it was denied, inline policy back-door was added to IAM user eve since it was denied");
    }

    #[tokio::test]
    async fn a_denial_as_permissions_boundary_is_one() {
        for actor in [EVE, ADMIN] {
            let bounded = contained().but(|aws| {
                aws.attached = vec![POWER];
                aws.boundary = Some(DENY);
            });
            assert_eq!(bounded.missing(actor, json!({})).await, "");
            let other = bounded.but(|aws| aws.boundary = Some(POWER));
            let missing = other.missing(actor, json!({})).await;
            assert!(missing.starts_with("the deny-all policy is not attached to "));
        }
    }

    #[tokio::test]
    async fn a_denial_covers_older_sessions_and_so_does_their_own() {
        for (actor, name) in [(EVE, "IAM user eve"), (ADMIN, "role admin")] {
            let lacks = |policy: Option<String>| {
                contained().but(|aws| {
                    aws.inline.remove(REVOKE_POLICY);
                    aws.inline
                        .extend(policy.map(|policy| (REVOKE_POLICY, policy)));
                })
            };
            let undenied = format!("the deny-all policy is not attached to {name}");
            let unrevoked = format!("older sessions of {name} are not revoked");
            for (policy, revoked) in [
                (None, false),
                (Some(revoked(EARLIER)), false),
                (Some(revoked(SINCE).replace("Deny", "Allow")), false),
                (Some(revoked(SINCE)), true),
            ] {
                let denied = lacks(policy);
                assert_eq!(denied.missing(actor, json!({})).await, "");
                let bounded = denied.but(|aws| {
                    aws.attached = vec![POWER];
                    aws.boundary = Some(DENY);
                });
                assert_eq!(bounded.missing(actor, json!({})).await, "");
                let neither = bounded.but(|aws| aws.boundary = None);
                let expected = if revoked {
                    undenied.clone()
                } else {
                    format!("{undenied}\n{unrevoked}")
                };
                assert_eq!(neither.missing(actor, json!({})).await, expected);
            }
        }
    }

    #[tokio::test]
    async fn what_was_there_before_the_event_is_no_lack() {
        let aws = contained().but(|aws| {
            aws.inline.insert(SESSION_POLICY, "{}".to_owned());
            aws.password = None;
        });
        assert_eq!(aws.missing(EVE, json!({})).await, "");
    }

    #[tokio::test]
    async fn without_the_ledger_policies_are_not_compared_and_that_is_said() {
        let added = || contained().but(|aws| aws.attached.push("arn:aws:iam::aws:policy/New"));
        for aws in [
            added().but(|aws| aws.before = None),
            added().but(|aws| aws.before = Some("{}".to_owned())),
            added().but(|aws| {
                aws.refuses.insert("GetItem", "ServiceUnavailable");
            }),
        ] {
            let output = aws.verify(EVE, json!({})).await.unwrap();
            assert!(output.holds);
            assert_eq!(
                output.left,
                ["policies could not be compared with those before: the ledger does not say"]
            );
            insta::allow_duplicates! {
                insta::assert_snapshot!(output.summary, @"containment of IAM user eve holds; policies could not be compared with those before: the ledger does not say");
            }
        }
        assert_eq!(
            added().missing(EVE, json!({})).await,
            "policy arn:aws:iam::aws:policy/New was attached to IAM user eve since it was denied"
        );
    }

    #[tokio::test]
    async fn inline_policies_that_were_not_read_before_are_left_to_a_human() {
        let aws = contained().but(|aws| {
            aws.inline.insert("back-door", "{}".to_owned());
            aws.attached.push("arn:aws:iam::aws:policy/New");
            aws.before = Some(json!({"policies": [POWER], "inlinePolicies": null}).to_string());
        });
        let output = aws.verify(EVE, json!({})).await.unwrap();
        insta::assert_snapshot!(output.missing.join("\n"), @"policy arn:aws:iam::aws:policy/New was attached to IAM user eve since it was denied");
        insta::assert_snapshot!(output.left.join("\n"), @"inline policies could not be compared with those before: they could not be read when the principal was denied");
    }

    #[tokio::test]
    async fn a_federated_session_is_contained_with_its_issuer() {
        let federated = json!({"kind": "federated-user", "issuer": EVE, "name": "temp"});
        let aws = contained().but(|aws| aws.keys[0].1 = Active);
        let missing = aws.missing(EVE, json!({"actor": federated})).await;
        assert_eq!(missing, "access key AKIA…MPLE of IAM user eve is active");
    }

    fn session(user_id: Option<&str>) -> Value {
        let session = json!({"name": "run-7", "userId": user_id});
        json!({
            "containment": {"kind": "session", "reason": "shared"},
            "actor": {"kind": "role", "arn": ADMIN, "session": session},
        })
    }

    fn denying(user_id: &str, cutoff: &str) -> Aws {
        let mut denials = SessionDenials::default();
        denials.deny(user_id, cutoff.parse().unwrap());
        Aws::default().but(|aws| {
            aws.inline.insert(SESSION_POLICY, denials.document());
        })
    }

    #[tokio::test]
    async fn one_session_of_a_shared_role_is_denied() {
        let user_id = Some("AROAEXAMPLE:run-7");
        let denied = denying("AROAEXAMPLE:run-7", SINCE);
        let output = denied.verify(ADMIN, session(user_id)).await.unwrap();
        assert!(output.holds);
        insta::assert_snapshot!(output.summary, @"containment of session run-7 of role admin holds");
        assert_eq!(denied.missing(ADMIN, session(None)).await, "");

        for aws in [
            Aws::default(),
            denying("AROAEXAMPLE:run-7", EARLIER),
            denying("AROAEXAMPLE:run-8", SINCE),
            denying("AROAOTHER:run-7", SINCE),
        ] {
            for user_id in [user_id, None] {
                assert_eq!(
                    aws.missing(ADMIN, session(user_id)).await,
                    "session run-7 of role admin is not denied"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_session_whose_role_is_gone_is_not_found() {
        let aws = Aws::default().but(|aws| aws.gone = true);
        let failure = aws.verify(ADMIN, session(None)).await.unwrap_err();
        assert_eq!(failure.name(), "TargetNotFound");
    }

    #[tokio::test]
    async fn of_an_actor_left_alone_nothing_is_read() {
        let none = json!({
            "actor": {"kind": "root", "account": "123456789012"},
            "containment": {"kind": "none", "reason": "IAM cannot deny root", "byHand": "call"},
        });
        let aws = contained();
        let output = aws.verify(EVE, none).await.unwrap();
        assert_eq!((output.holds, aws.calls()), (true, 0));
        insta::assert_snapshot!(output.summary, @"root of account 123456789012 was not to be contained");
    }

    #[tokio::test]
    async fn accomplices_are_verified_with_the_actor() {
        let with = |kind: &str| {
            json!({"accomplices": [{
                "actor": {"kind": "role", "arn": ADMIN},
                "containment": {"kind": kind, "reason": "said so", "byHand": "a call"},
            }]})
        };
        let mut principal = with("principal");
        let containment = principal["accomplices"][0]["containment"].as_object_mut();
        containment.unwrap().remove("byHand");
        let output = contained().verify(EVE, principal.clone()).await.unwrap();
        assert!(output.holds, "{output:?}");
        insta::assert_snapshot!(output.summary, @"containment of IAM user eve holds; containment of role admin holds");
        let denied_once = contained().but(|aws| aws.attached.retain(|policy| *policy != DENY));
        insta::assert_snapshot!(denied_once.missing(EVE, principal).await, @"
        the deny-all policy is not attached to IAM user eve
        the deny-all policy is not attached to role admin
        ");
        let output = contained().verify(EVE, with("none")).await.unwrap();
        insta::assert_snapshot!(output.summary, @"containment of IAM user eve holds; role admin was not to be contained");
    }

    #[tokio::test]
    async fn an_accomplice_that_is_gone_needs_no_containment() {
        let gone = json!({
            "containment": {"kind": "none", "reason": "root", "byHand": "a call"},
            "accomplices": [{
                "actor": {"kind": "role", "arn": ADMIN},
                "containment": {"kind": "principal", "reason": "made by the actor"},
            }],
        });
        let output = contained()
            .but(|aws| aws.gone = true)
            .verify(EVE, gone)
            .await
            .unwrap();
        assert!(output.holds);
        insta::assert_snapshot!(output.summary, @"IAM user eve was not to be contained; role admin is gone");
    }

    #[tokio::test]
    async fn after_a_dry_run_nothing_is_read() {
        let aws = Aws::default();
        let output = aws.verify(EVE, json!({"dryRun": true})).await.unwrap();
        assert_eq!((output.holds, aws.calls()), (true, 0));
        assert_eq!(output.summary, "dry run: nothing to verify");
    }

    #[tokio::test]
    async fn a_principal_that_is_gone_is_not_found() {
        for actor in [EVE, ADMIN] {
            let aws = contained().but(|aws| aws.gone = true);
            let failure = aws.verify(actor, json!({})).await.unwrap_err();
            assert_eq!(failure.name(), "TargetNotFound");
        }
    }

    #[tokio::test]
    async fn reads_that_fail_are_failures_worst_first_and_hide_nothing() {
        let failing = |calls: &[(&'static str, &'static str)]| {
            contained().but(|aws| {
                aws.refuses.extend(calls.iter().copied());
                aws.keys[1].1 = Active;
            })
        };
        for (calls, class) in [
            (&[("GetLoginProfile", "AccessDenied")][..], "AccessDenied"),
            (&[("GetUser", "Throttling")], "Transient"),
            (&[("ListUserPolicies", "NoSuchEntity")], "TargetNotFound"),
            (
                &[
                    ("GetUser", "AccessDenied"),
                    ("GetLoginProfile", "Throttling"),
                ],
                "Transient",
            ),
            (
                &[
                    ("GetUser", "Throttling"),
                    ("GetLoginProfile", "AccessDenied"),
                ],
                "Transient",
            ),
            (
                &[("GetUserPolicy", "Throttling"), ("GetUser", "NoSuchEntity")],
                "TargetNotFound",
            ),
        ] {
            let failure = failing(calls).verify(EVE, json!({})).await.unwrap_err();
            assert_eq!(failure.name(), class, "{calls:?}");
            let missing = "; access key AKIA…7XYZ of IAM user eve is active";
            assert!(failure.to_string().ends_with(missing), "{failure}");
        }
    }

    #[tokio::test]
    async fn what_iam_will_not_say_counts_as_missing() {
        for call in [
            "GetUser",
            "GetUserPolicy",
            "GetLoginProfile",
            "ListAccessKeys",
            "ListAttachedUserPolicies",
            "ListUserPolicies",
        ] {
            let aws = contained().but(|aws| {
                aws.refuses.insert(call, "ValidationError");
            });
            assert_eq!(
                aws.missing(EVE, json!({})).await,
                format!("IAM could not be read: iam:{call}: ValidationError: as AWS says")
            );
        }
    }

    #[tokio::test]
    async fn a_containment_that_does_not_fit_the_actor_is_refused() {
        let root = json!({"actor": {"kind": "root", "account": "123456789012"}});
        let of_user = json!({"containment": {"kind": "session", "reason": "shared"}});
        for payload in [root, of_user] {
            let failure = contained().verify(EVE, payload).await.unwrap_err();
            assert_eq!(failure.name(), "InvalidInput");
            assert_eq!(failure.to_string(), "`containment`: does not fit the actor");
        }
        let failure = contained()
            .verify(EVE, json!({"since": "yesterday"}))
            .await
            .unwrap_err();
        assert_eq!(failure.name(), "InvalidInput");
        assert!(failure.to_string().starts_with("`since`: "), "{failure}");
    }

    #[tokio::test]
    async fn a_long_summary_is_cut_and_the_list_is_not() {
        let aws = contained().but(|aws| {
            aws.before = Some(json!({"policies": [], "inlinePolicies": []}).to_string());
            aws.attached.extend([POWER; 30]);
        });
        let output = aws.verify(EVE, json!({})).await.unwrap();
        assert_eq!(output.missing.len(), 32);
        assert!(output.summary.ends_with("… [cut]"));
    }
}
