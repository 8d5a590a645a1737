//! Takes back a privilege that was granted, and nothing else.
//!
//! **Act.** What was granted is looked for, held in the ledger, and taken back:
//!
//! | grant | is taken back by | hold, and its original |
//! |---|---|---|
//! | `attached-policy` | detaching that policy, never the one that denies | `attached-policy/<arn>`: `attached` |
//! | `inline-policy` | deleting it, unless it grants no administration any more | `inline-policy/<name>`: `document` |
//! | `policy-version` | making the newest version from before the event that grants no administration the default; of the policy that denies, the newest that denies everything. The attacker's version stays, as evidence | `policy-version`: `default`, `rolledBackTo` |
//! | `membership` | taking the user out of the group | `membership/<group>`: `member` |
//! | `access-key` | turning off every key of the user made since the event | `access-key/<id>`, the same as of `revoke-sessions`: `status` |
//! | `login-profile` | deleting the password, which its owner no longer knows | `login-profile`: `existed` |
//! | `trust`, `role` | taking the outsiders out of the trust; where nobody is left, the trust denies everybody | `trust`: `trust` |
//! | `boundary` | a human: which one it was, neither the event nor IAM says | none |
//!
//! Workload and shared roles are rolled back too: that takes away only what somebody gave. The
//! responder's own roles, the operators' and break-glass access are [`Failure::Protected`], with the
//! calls for a human, as is what only AWS may modify.
//!
//! **What cannot be known.** IAM keeps no earlier text of an inline policy or a trust. A policy that
//! was written over is deleted, not restored; an outsider who belonged there before is taken out with
//! the others; a policy that was attached again is detached. The summary says what was taken, and
//! the undo gives it back. For a role that others depend on, a human is told to look.
//!
//! **IAM takes seconds to settle.** What was granted a moment ago may not be visible yet. Where
//! nothing is found and nobody holds it, the worker waits until the event is 15 seconds old and looks
//! again. Whoever or whatever is gone by then counts as taken back.
//!
//! **Undo.** The last incident that holds the grant gives it back, unless somebody changed it since.
//! A deleted password is not known: the undo says the call that sets a new one. What no longer exists
//! counts as undone. When the ledger was unreachable, the holds that the answer returned are the
//! `holds` of the undo's payload; of those only keys are turned on, and for the rest the calls are
//! said: whoever may invoke this worker must not grant with it.
//!
//! **Calls.** `iam:ListAttachedUserPolicies`, `iam:GetUserPolicy`, `iam:DetachUserPolicy`,
//! `iam:DeleteUserPolicy`, or the same of a role or a group; `iam:ListPolicyVersions`,
//! `iam:GetPolicyVersion`, `iam:SetDefaultPolicyVersion`; `iam:ListGroupsForUser`,
//! `iam:RemoveUserFromGroup`; `iam:ListAccessKeys`, `iam:UpdateAccessKey`; `iam:GetLoginProfile`,
//! `iam:DeleteLoginProfile`; `iam:GetRole`, `iam:GetUser`, `iam:UpdateAssumeRolePolicy`; on the undo
//! also `iam:AttachUserPolicy`, `iam:PutUserPolicy`, or the same of a role or a group,
//! `iam:GetPolicy` and `iam:AddUserToGroup`. `dynamodb:UpdateItem` before each change, `GetItem`
//! where nothing is found, `GetItem`, `UpdateItem` and `DeleteItem` on the undo.
//!
//! **A second run** finds nothing to take back and only adds its incident to the hold.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency>

mod change;
mod grant;
mod iam;
mod look;
mod report;
mod trust;
mod undo;

use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use incident::{Actor, Grant, IncidentId, RoleArn, Settings, Tiers, responder_roles};
use jiff::{SignedDuration, Timestamp};
use ledger::{Done, Hold, Ledger};
use schemars::JsonSchema;
use serde::Deserialize;
use worker::{Failure, Worker};

use grant::{Subject, mechanism};
use iam::Iam;
use look::Look;
use report::Report;

/// After so long every server of IAM answers alike.
const SETTLING: SignedDuration = SignedDuration::from_secs(15);

/// What is taken back, and for which incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that holds what is changed.
    pub incident_id: IncidentId,
    /// The privilege.
    pub grant: Grant,
    /// When it was granted.
    #[schemars(with = "String")]
    pub occurred_at: Timestamp,
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether to give it back instead.
    #[serde(default)]
    pub undo: bool,
    /// For an undo that the ledger cannot know: what an earlier answer returned as `undo`.
    #[serde(default)]
    pub holds: Vec<Hold>,
}

/// The worker.
#[derive(Debug)]
pub struct RollBackGrant {
    iam: Iam,
    ledger: Ledger,
    tiers: Tiers,
    responders: Vec<RoleArn>,
    now: fn() -> Timestamp,
}

impl RollBackGrant {
    /// Reads the settings of [`Tiers`] and `LEDGER_TABLE`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            iam: Iam::new(Client::new(&worker::CONTROL.on(config))),
            ledger: Ledger::from_settings(config, &settings)?,
            tiers: Tiers::from_settings(&settings)?,
            responders: responder_roles(&settings)?,
            now: Timestamp::now,
        })
    }
}

impl Worker for RollBackGrant {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        match self.foreign(&input.grant) {
            None if input.undo => self.give_back(&input).await,
            None => self.take_back(&input).await,
            // What is never taken back is never held.
            Some(_) if input.undo => Report::of(&input).end(Vec::new()),
            Some(reason) => Err(Failure::Protected(format!("{}: {reason}", input.grant))),
        }
    }
}

impl RollBackGrant {
    async fn take_back(&self, input: &Input) -> Result<Done, Failure> {
        let subject = Subject::of(&input.grant);
        let look = self.look_until_settled(input).await?;
        if let Some(reason) = self.protected(&subject)
            && let Some(calls) = look.by_hand()
        {
            let grant = &input.grant;
            return Err(Failure::Protected(format!(
                "{grant}: {reason}; by hand: {calls}"
            )));
        }
        let mut report = Report::of(input);
        let mut holds = self.ledger.holds_for(&input.incident_id, (self.now)());
        for part in look.parts {
            if !input.dry_run {
                holds
                    .put(Hold {
                        resource: subject.resource(),
                        mechanism: part.mechanism,
                        original: part.original,
                    })
                    .await;
            }
            report.make(part.step, &self.iam).await;
        }
        report.found(look.states);
        report.leave(look.left);
        report.end(holds.unrecorded())
    }

    /// Looks for the grant; once more when IAM may not show it yet.
    async fn look_until_settled<'a>(&self, input: &'a Input) -> Result<Look<'a>, Failure> {
        let mut look = self.look_now(input).await?;
        let held = look.found || self.is_held(&input.grant).await;
        let age = (self.now)().duration_since(input.occurred_at);
        if !held && !input.dry_run && age < SETTLING {
            let wait = (SETTLING - age).min(SETTLING).unsigned_abs();
            tokio::time::sleep(wait).await;
            look = self.look_now(input).await?;
        }
        if !held {
            look.left.append(&mut look.unexplained);
        }
        Ok(look)
    }

    async fn look_now<'a>(&self, input: &'a Input) -> Result<Look<'a>, Failure> {
        match self.look(&input.grant, input.occurred_at).await {
            Err(Failure::TargetNotFound(why)) => Ok(Look::nothing(format!("gone with it ({why})"))),
            look => look,
        }
    }

    /// Whether some incident took it back already. A ledger that does not answer costs a second look.
    async fn is_held(&self, grant: &Grant) -> bool {
        let Some(mechanism) = mechanism(grant) else {
            return false;
        };
        let resource = Subject::of(grant).resource();
        let original = self.ledger.original(&resource, &mechanism).await;
        matches!(original, Ok(Some(_)))
    }

    /// Why it is not this account's to take back; none when it is.
    fn foreign(&self, grant: &Grant) -> Option<String> {
        if let Grant::AttachedPolicy { policy, .. } = grant
            && policy == self.tiers.deny_policy()
        {
            return Some("the policy that denies is no privilege".to_owned());
        }
        let subject = Subject::of(grant);
        match subject.arn().account() {
            account if account == self.tiers.account() => None,
            "aws" => Some("only AWS may change its own policies".to_owned()),
            account => Some(format!(
                "it belongs to account {account}, which this account cannot change"
            )),
        }
    }

    /// Why whoever was given it must not be touched; none when they may.
    fn protected(&self, subject: &Subject<'_>) -> Option<String> {
        let actor = subject.actor()?;
        let responders = &self.responders;
        let is_responder = matches!(&actor, Actor::Role { arn, .. }
            if responders.iter().any(|own| own.is_same(arn)));
        (is_responder || self.tiers.is_operator(&actor))
            .then(|| self.tiers.containment(&actor).reason().to_owned())
    }

    /// Whether it is a role on which others depend: the CRM's, or one that is shared.
    fn is_depended_on(&self, subject: &Subject<'_>) -> bool {
        let actor = subject.actor();
        let role = actor.filter(|actor| matches!(actor, Actor::Role { .. }));
        role.is_some_and(|role| self.tiers.containment(&role).is_none())
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
