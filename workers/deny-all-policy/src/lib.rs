//! Denies a principal everything.
//!
//! **Act.** The deny-all managed policy is attached to the user or role; for a federated session, to
//! the IAM user who issued it. That ends whatever it may do with keys, console and temporary
//! credentials. When every policy slot is taken, by the account's quota or by IAM's own answer, the
//! policy becomes the permissions boundary instead, where an explicit deny counts as much; where
//! somebody takes denials off, it becomes the boundary too (`withBoundary`). Of a role that others
//! share, only the one session is denied: its `aws:userId`, with tokens issued up to half a minute
//! from now, in the inline policy `TourniquetDenySessions`; of any other role as well, where only the
//! session is the attacker's (`sessionOnly`). Whatever must not be contained is
//! [`Failure::Protected`], whatever the payload says.
//!
//! **Undo.** The last incident that holds the principal detaches the policy, puts the old boundary
//! back, or takes the session out of the inline policy, with `sessionOnly` nothing but that; the actor
//! counts as let go. What was denied before us stays denied; a boundary that somebody set since stays
//! as it is; what no longer exists counts as undone. When the ledger was unreachable, the holds that
//! the answer returned are the `holds` of the undo's payload.
//!
//! | hold | when | its original |
//! |---|---|---|
//! | `deny-all-policy` | a principal is denied | `attached`: whether the policy was attached already; `policies` and `inlinePolicies`: all that it had, so that what is added later can be told |
//! | `permissions-boundary` | by its boundary | `boundary`: the old one's ARN, or null |
//! | `deny-session/<aws:userId>` | a session is denied | `denied`: false |
//!
//! **Calls.** `iam:ListAttachedUserPolicies`, `iam:ListUserPolicies`, `iam:GetUser`,
//! `iam:AttachUserPolicy`, `iam:DetachUserPolicy`, `iam:PutUserPermissionsBoundary`,
//! `iam:DeleteUserPermissionsBoundary`, or the same of a role; `iam:GetAccountSummary` where ten
//! policies or more are attached; `iam:GetRolePolicy`, `iam:PutRolePolicy` and `iam:DeleteRolePolicy`
//! for a session; `dynamodb:UpdateItem` before each change, and `GetItem`, `UpdateItem` and
//! `DeleteItem` on the undo.
//!
//! **A second run** finds the denial in place and only adds its incident to the holds. A session's
//! cut-off moves forward once the earlier one has passed, since the session may have fetched new
//! tokens.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_disable-perms.html>

use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_iam::{Client, types::SummaryKeyType};
use incident::{Actor, Arn, Containment, IncidentId, Session, Settings, Text, Tiers};
use jiff::Timestamp;
use ledger::{Done, Hold, Holds, Ledger, Release};
use principal::{
    Before, CUTOFF_MARGIN, DENIAL, Identity, Principal, Room, SESSION_POLICY, SessionDenials,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use worker::{Failure, Worker};

/// Every account may attach as many policies to a principal, and some may attach more.
const LEAST_QUOTA: usize = 10;

/// Who is denied everything, and for which incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a payload's switches, each of which a state machine sets by its name"
)]
pub struct Input {
    /// The incident that holds what is changed.
    pub incident_id: IncidentId,
    /// The actor.
    #[serde(deserialize_with = "incident::written::deserialize")]
    #[schemars(with = "Actor")]
    pub actor: Actor,
    /// Whether the policy is to be the permissions boundary of a principal too, so that one denial
    /// is left when somebody takes off the other.
    #[serde(default)]
    pub with_boundary: bool,
    /// Whether only the session that the actor names is to be denied, though its role could be.
    #[serde(default)]
    pub session_only: bool,
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether to let go instead.
    #[serde(default)]
    pub undo: bool,
    /// For an undo that the ledger cannot know: what an earlier answer returned as `undo`.
    #[serde(default)]
    pub holds: Vec<Hold>,
}

/// The worker.
#[derive(Debug)]
pub struct DenyAllPolicy {
    iam: Client,
    ledger: Ledger,
    tiers: Tiers,
    now: fn() -> Timestamp,
}

impl DenyAllPolicy {
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
            now: Timestamp::now,
        })
    }
}

impl Worker for DenyAllPolicy {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        let containment = self.containment(&input)?;
        let principal = Principal::of(&input.actor, &self.iam)
            .filter(|principal| principal.arn().account() == self.tiers.account());
        let Some(principal) = principal else {
            return if input.undo {
                Ok(nothing_to_undo(&input.actor))
            } else {
                Err(Failure::Protected(containment.reason().to_owned()))
            };
        };
        let run = Run {
            worker: self,
            input: &input,
            principal: &principal,
            now: (self.now)(),
        };
        let done = match (&containment, session(&input.actor)) {
            // Letting go is always safe, also of a principal that became protected meanwhile.
            _ if input.undo => return run.undo(&containment).await,
            (Containment::Principal { .. }, _) => run.deny().await,
            (Containment::Session { .. }, Some(session)) => run.deny_session(session).await,
            _ => return Err(Failure::Protected(containment.reason().to_owned())),
        };
        done.map_err(|failure| self.by_hand(failure, &input.actor))
    }
}

impl DenyAllPolicy {
    /// How far the actor is contained: as far as it may be, unless less is asked for.
    fn containment(&self, input: &Input) -> Result<Containment, Failure> {
        match (self.tiers.containment(&input.actor), session(&input.actor)) {
            (Containment::Principal { .. }, Some(session)) if input.session_only => {
                Ok(Containment::Session {
                    reason: Text::cut(&format!("only session {} is to be denied", session.name)),
                })
            }
            (Containment::Principal { .. }, None) if input.session_only && !input.undo => Err(
                Failure::InvalidInput("`sessionOnly`: the actor names no session".to_owned()),
            ),
            (containment, _) => Ok(containment),
        }
    }

    /// A role that only AWS may modify, which no ARN without a path tells, comes with the call by
    /// which a human contains it.
    fn by_hand(&self, failure: Failure, actor: &Actor) -> Failure {
        match self.tiers.none(actor, "only AWS may modify it") {
            Containment::None { by_hand, .. } if matches!(failure, Failure::Protected(_)) => {
                Failure::Protected(format!("by hand: {by_hand}; {failure}"))
            }
            _ => failure,
        }
    }
}

fn session(actor: &Actor) -> Option<&Session> {
    match actor {
        Actor::Role { session, .. } => session.as_ref(),
        _ => None,
    }
}

fn nothing_to_undo(who: impl fmt::Display) -> Done {
    Done {
        changed: false,
        summary: format!("{who}: this incident holds nothing"),
        undo: Vec::new(),
        left: Vec::new(),
    }
}

/// How a principal is denied, or was found denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deny {
    AlreadyAttached,
    AlreadyBoundary,
    Attach,
    SetBoundary,
}

/// A change that this worker makes, named as in the ledger.
enum Mechanism {
    Policy,
    Boundary,
    Session(String),
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str(DENIAL),
            Self::Boundary => f.write_str("permissions-boundary"),
            Self::Session(user_id) => write!(f, "deny-session/{user_id}"),
        }
    }
}

/// One run on one principal.
struct Run<'a> {
    worker: &'a DenyAllPolicy,
    input: &'a Input,
    principal: &'a Principal,
    now: Timestamp,
}

impl Run<'_> {
    async fn deny(&self) -> Result<Done, Failure> {
        let (principal, policy) = (self.principal, self.policy());
        let (policies, identity, inline_policies) = tokio::join!(
            principal.attached(),
            principal.look_up(),
            principal.inline_names(),
        );
        let (policies, identity) = (policies?, identity?);
        // Only for the record: no reason not to deny.
        let inline_policies = inline_policies.ok();
        let attached = policies.iter().any(|other| other == policy.as_str());
        let bounded = identity.boundary.as_deref() == Some(policy.as_str());
        let mut deny = if attached {
            Deny::AlreadyAttached
        } else if bounded && !self.input.with_boundary {
            Deny::AlreadyBoundary
        } else if !self.slots_full(policies.len()).await {
            Deny::Attach
        } else if bounded {
            Deny::AlreadyBoundary
        } else {
            Deny::SetBoundary
        };
        let mut bound_too = false;
        let mut holds = self.holds();
        if !self.input.dry_run {
            let original = json!(Before {
                attached,
                policies,
                inline_policies,
            });
            holds.put(self.hold(&Mechanism::Policy, original)).await;
            if deny == Deny::Attach && principal.attach(policy).await? == Room::None {
                deny = if bounded {
                    Deny::AlreadyBoundary
                } else {
                    Deny::SetBoundary
                };
            }
            let by_boundary = matches!(deny, Deny::SetBoundary | Deny::AlreadyBoundary);
            if by_boundary || self.input.with_boundary {
                let original = json!({"boundary": identity.boundary});
                holds.put(self.hold(&Mechanism::Boundary, original)).await;
            }
            bound_too = self.input.with_boundary && !by_boundary && !bounded;
            if deny == Deny::SetBoundary || bound_too {
                principal.set_boundary(policy).await?;
            }
        }
        let what = match deny {
            Deny::AlreadyAttached => format!("{policy} is attached already"),
            Deny::AlreadyBoundary => format!("{policy} is the permissions boundary already"),
            Deny::Attach => format!("{} {policy}", self.tense("attached", "would attach")),
            Deny::SetBoundary => format!(
                "no policy slot is free; {} the permissions boundary to {policy} (before: {})",
                self.tense("set", "would set"),
                identity.boundary.as_deref().unwrap_or("none"),
            ),
        };
        let what = if bound_too {
            format!("{what} and set the permissions boundary to it")
        } else {
            what
        };
        let changes = bound_too || matches!(deny, Deny::Attach | Deny::SetBoundary);
        Ok(self.done(changes, &what, holds.unrecorded()))
    }

    /// Whether as many policies are attached as the account allows. When IAM does not say, the
    /// attempt to attach one more will.
    async fn slots_full(&self, attached: usize) -> bool {
        if attached < LEAST_QUOTA {
            return false;
        }
        let quota = if self.principal.is_user() {
            SummaryKeyType::AttachedPoliciesPerUserQuota
        } else {
            SummaryKeyType::AttachedPoliciesPerRoleQuota
        };
        let account = self.worker.iam.get_account_summary().send().await.ok();
        account
            .and_then(|account| usize::try_from(*account.summary_map()?.get(&quota)?).ok())
            .is_some_and(|quota| attached >= quota)
    }

    async fn deny_session(&self, session: &Session) -> Result<Done, Failure> {
        let (role, document) = tokio::try_join!(
            self.principal.look_up(),
            self.principal.inline(SESSION_POLICY),
        )?;
        let user_id = role.user_id(session);
        let mut denials = SessionDenials::read(document.as_deref());
        denials.drop_dead(self.now);
        let already = denials
            .cutoff(&user_id)
            .filter(|cutoff| *cutoff >= self.now);
        let cutoff = already.unwrap_or(self.now + CUTOFF_MARGIN);
        let mut holds = self.holds();
        if !self.input.dry_run {
            let hold = self.hold(
                &Mechanism::Session(user_id.clone()),
                json!({"denied": false}),
            );
            holds.put(hold).await;
            if denials.deny(&user_id, cutoff) {
                self.write(&denials, &user_id).await?;
            }
        }
        let name = &session.name;
        let what = match already {
            Some(_) => format!("session {name} is denied already"),
            None => format!("{} session {name}", self.tense("denied", "would deny")),
        };
        let what = format!("{what}, with tokens from before {cutoff:.0}");
        Ok(self.done(already.is_none(), &what, holds.unrecorded()))
    }

    /// Writes the denied sessions and reads them back: IAM has no conditional write, so a run on
    /// another session of the role may take ours out in the same moment.
    async fn write(&self, denials: &SessionDenials, user_id: &str) -> Result<(), Failure> {
        let role = self.principal;
        if denials.is_empty() {
            role.delete_inline(SESSION_POLICY).await?;
        } else if role.put_inline(SESSION_POLICY, &denials.document()).await? == Room::None {
            return Err(Failure::Rejected(format!(
                "iam:PutRolePolicy: LimitExceeded: the inline policies of {role} leave no room for \
                 {SESSION_POLICY}; delete one that is not needed and run again"
            )));
        }
        let there = SessionDenials::read(role.inline(SESSION_POLICY).await?.as_deref());
        if there.cutoff(user_id) == denials.cutoff(user_id) {
            Ok(())
        } else {
            Err(Failure::Transient(format!(
                "another run changed {SESSION_POLICY} of {role} in the same moment; run again"
            )))
        }
    }

    async fn undo(&self, containment: &Containment) -> Result<Done, Failure> {
        let identity = match self.principal.look_up().await {
            Ok(identity) => Some(identity),
            Err(Failure::TargetNotFound(_)) => None,
            Err(failure) => return Err(failure),
        };
        let input = self.input;
        let ledger = &self.worker.ledger;
        let undo = ledger.undo_for(&input.incident_id, &input.holds, input.dry_run);
        let resource = self.principal.arn().as_str();
        let (mut steps, mut restored) = (Vec::new(), Vec::new());
        let (mut changed, mut stays) = (false, false);
        for mechanism in self.mechanisms(identity.as_ref()) {
            match undo.release(resource, &mechanism.to_string()).await? {
                Release::NotHeld => {}
                Release::StillHeld => {
                    stays = true;
                    steps.push(format!("{mechanism} stays, held by another incident"));
                }
                Release::Last(original) => {
                    let step = match &identity {
                        Some(identity) => self.restore(&mechanism, &original, identity).await?,
                        None => Step::found(format!("{mechanism} is gone with it")),
                    };
                    changed |= step.changes;
                    steps.push(step.what);
                    restored.push(mechanism);
                }
            }
        }
        if steps.is_empty() {
            return Ok(nothing_to_undo(self.principal));
        }
        if input.dry_run {
            steps.push("what another incident holds too stays".to_owned());
        } else if !stays {
            steps.extend(self.let_go(containment).await?);
        }
        for mechanism in restored {
            undo.forget(resource, &mechanism.to_string()).await?;
        }
        Ok(self.done(changed, &steps.join("; "), Vec::new()))
    }

    /// Every change that there can be, whatever today's tiers say: where only the session is asked
    /// for, its role stays denied.
    fn mechanisms(&self, identity: Option<&Identity>) -> Vec<Mechanism> {
        let mut mechanisms = Vec::new();
        if !self.input.session_only {
            mechanisms.extend([Mechanism::Policy, Mechanism::Boundary]);
        }
        if let Some(session) = session(&self.input.actor) {
            let user_id = match identity {
                Some(role) => Some(role.user_id(session)),
                None => session.user_id.as_ref().map(ToString::to_string),
            };
            mechanisms.extend(user_id.map(Mechanism::Session));
        }
        mechanisms
    }

    async fn restore(
        &self,
        mechanism: &Mechanism,
        original: &Value,
        identity: &Identity,
    ) -> Result<Step, Failure> {
        let unreadable = || {
            Failure::Rejected(format!(
                "the hold {mechanism} does not say what to put back"
            ))
        };
        match mechanism {
            Mechanism::Policy => match original["attached"].as_bool() {
                Some(attached) => self.restore_policy(attached).await,
                None => Err(unreadable()),
            },
            Mechanism::Boundary => match original.get("boundary") {
                Some(Value::Null) => self.restore_boundary(None, identity).await,
                Some(Value::String(arn)) => {
                    let arn = arn.parse().map_err(|_| unreadable())?;
                    self.restore_boundary(Some(&arn), identity).await
                }
                _ => Err(unreadable()),
            },
            Mechanism::Session(user_id) => self.restore_session(user_id).await,
        }
    }

    async fn restore_policy(&self, was_attached: bool) -> Result<Step, Failure> {
        let policy = self.policy();
        if was_attached {
            return Ok(Step::found(format!("{policy} stays, attached before")));
        }
        let attached = self.principal.attached().await?;
        if !attached.iter().any(|other| other == policy.as_str()) {
            return Ok(Step::found(format!("{policy} is not attached")));
        }
        if !self.input.dry_run {
            self.principal.detach(policy).await?;
        }
        let verb = self.tense("detached", "would detach");
        Ok(Step::change(format!("{verb} {policy}")))
    }

    async fn restore_boundary(
        &self,
        before: Option<&Arn>,
        identity: &Identity,
    ) -> Result<Step, Failure> {
        let policy = self.policy();
        if identity.boundary.as_deref() != Some(policy.as_str()) {
            let stays = "the permissions boundary stays, changed by somebody since";
            return Ok(Step::found(stays.to_owned()));
        }
        match before {
            Some(before) if before == policy => Ok(Step::found(format!(
                "{policy} stays, the permissions boundary before"
            ))),
            Some(before) => {
                if !self.input.dry_run {
                    self.principal.set_boundary(before).await?;
                }
                let verb = self.tense("set", "would set");
                Ok(Step::change(format!(
                    "{verb} the permissions boundary back to {before}"
                )))
            }
            None => {
                if !self.input.dry_run {
                    self.principal.remove_boundary().await?;
                }
                let verb = self.tense("removed", "would remove");
                Ok(Step::change(format!("{verb} the permissions boundary")))
            }
        }
    }

    async fn restore_session(&self, user_id: &str) -> Result<Step, Failure> {
        let document = self.principal.inline(SESSION_POLICY).await?;
        let mut denials = SessionDenials::read(document.as_deref());
        if !denials.allow(user_id) {
            return Ok(Step::found(format!("session {user_id} is not denied")));
        }
        if !self.input.dry_run {
            self.write(&denials, user_id).await?;
        }
        let verb = self.tense("lifted", "would lift");
        Ok(Step::change(format!(
            "{verb} the denial of session {user_id}"
        )))
    }

    /// Tells the ledger that older events are no reason to contain the actor again. An undo that
    /// the ledger does not know of does not depend on it either.
    async fn let_go(&self, containment: &Containment) -> Result<Option<String>, Failure> {
        let Some(actor) = self.input.actor.key(containment) else {
            return Ok(None);
        };
        match self.worker.ledger.let_go(&actor, self.now).await {
            Ok(()) => Ok(None),
            Err(failure) if self.input.holds.is_empty() => Err(failure),
            Err(_) => Ok(Some("the ledger could not be told".to_owned())),
        }
    }

    fn policy(&self) -> &Arn {
        self.worker.tiers.deny_policy()
    }

    fn holds(&self) -> Holds<'_> {
        self.worker
            .ledger
            .holds_for(&self.input.incident_id, self.now)
    }

    fn hold(&self, mechanism: &Mechanism, original: Value) -> Hold {
        Hold {
            resource: self.principal.arn().to_string(),
            mechanism: mechanism.to_string(),
            original,
        }
    }

    fn tense<'t>(&self, done: &'t str, would_do: &'t str) -> &'t str {
        if self.input.dry_run { would_do } else { done }
    }

    fn done(&self, changes: bool, what: &str, undo: Vec<Hold>) -> Done {
        Done {
            changed: changes && !self.input.dry_run,
            summary: format!("{}: {what}", self.principal),
            undo,
            left: Vec::new(),
        }
    }
}

/// One part of an undo: whether it changes anything, and what it does or finds.
struct Step {
    changes: bool,
    what: String,
}

impl Step {
    fn change(what: String) -> Self {
        Self {
            changes: true,
            what,
        }
    }

    fn found(what: String) -> Self {
        Self {
            changes: false,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet, HashMap},
        sync::{Arc, Mutex, MutexGuard},
    };

    use aws_sdk_dynamodb::{
        Client as Table,
        operation::{
            delete_item::DeleteItemInput,
            get_item::{GetItemInput, GetItemOutput},
            update_item::{UpdateItemInput, UpdateItemOutput},
        },
        types::AttributeValue,
    };
    use aws_sdk_iam::{
        config::{http::HttpResponse, retry::RetryConfig},
        operation::{
            get_account_summary::GetAccountSummaryOutput, get_role::GetRoleOutput,
            get_role_policy::GetRolePolicyOutput, get_user::GetUserOutput,
            list_attached_role_policies::ListAttachedRolePoliciesOutput,
            list_attached_user_policies::ListAttachedUserPoliciesOutput,
            list_role_policies::ListRolePoliciesOutput, list_user_policies::ListUserPoliciesOutput,
        },
        primitives::DateTime,
        types::{AttachedPermissionsBoundary, AttachedPolicy, Role, User},
    };
    use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
    use worker::answer;

    use super::*;

    const EVE: &str = "arn:aws:iam::123456789012:user/eve";
    const ADMIN: &str = "arn:aws:iam::123456789012:role/admin";
    const DEPLOY: &str = "arn:aws:iam::123456789012:role/deploy";
    const ALICE: &str = "arn:aws:sts::123456789012:assumed-role/deploy/alice";
    const BOB: &str = "arn:aws:sts::123456789012:assumed-role/deploy/bob";
    const DENY: &str = "arn:aws:iam::aws:policy/AWSDenyAll";
    const DEV: &str = "arn:aws:iam::123456789012:policy/dev";

    /// What AWS answers a call: an output, or an error code.
    type Answer<T> = Result<T, &'static str>;

    /// One principal in IAM, whatever its name and kind, and the ledger.
    #[derive(Default)]
    struct State {
        gone: bool,
        attached: Vec<String>,
        boundary: Option<String>,
        inline: BTreeMap<String, String>,
        /// By mechanism, the original and the incidents.
        holds: BTreeMap<String, (String, BTreeSet<String>)>,
        /// The error code of each call that AWS refuses.
        refuses: HashMap<&'static str, &'static str>,
        /// The writes of [`SESSION_POLICY`] that another run overwrites.
        lost: usize,
        /// Every call, in order.
        calls: Vec<String>,
    }

    impl State {
        fn call(&mut self, call: &str, with: &str) -> Answer<()> {
            self.calls.push(format!("{call} {with}").trim().to_owned());
            match self.refuses.get(call) {
                Some(code) => Err(code),
                None if self.gone && !with.starts_with("ledger") => Err("NoSuchEntity"),
                None => Ok(()),
            }
        }

        fn attached(&mut self) -> Answer<Vec<AttachedPolicy>> {
            self.call("List", "attached")?;
            let policies = self.attached.iter();
            Ok(policies
                .map(|arn| AttachedPolicy::builder().policy_arn(arn).build())
                .collect())
        }

        fn inline_names(&mut self) -> Answer<Vec<String>> {
            self.call("ListInline", "")?;
            Ok(self.inline.keys().cloned().collect())
        }

        fn attach(&mut self, policy: Option<&str>) -> Answer<()> {
            self.call("Attach", policy.unwrap())?;
            self.attached.push(policy.unwrap().to_owned());
            Ok(())
        }

        fn detach(&mut self, policy: Option<&str>) -> Answer<()> {
            self.call("Detach", policy.unwrap())?;
            self.attached.retain(|arn| arn != policy.unwrap());
            Ok(())
        }

        fn boundary(&self) -> Option<AttachedPermissionsBoundary> {
            let arn = self.boundary.as_ref()?;
            let boundary = AttachedPermissionsBoundary::builder();
            Some(boundary.permissions_boundary_arn(arn).build())
        }

        fn put_boundary(&mut self, policy: Option<&str>) -> Answer<()> {
            self.call("PutBoundary", policy.unwrap())?;
            self.boundary = policy.map(str::to_owned);
            Ok(())
        }

        fn delete_boundary(&mut self) -> Answer<()> {
            self.call("DeleteBoundary", "")?;
            self.boundary.take().map(drop).ok_or("NoSuchEntity")
        }

        fn inline(&mut self, name: Option<&str>) -> Answer<GetRolePolicyOutput> {
            self.call("GetInline", "")?;
            let document = self.inline.get(name.unwrap()).ok_or("NoSuchEntity")?;
            let output = GetRolePolicyOutput::builder()
                .role_name("deploy")
                .policy_name(name.unwrap())
                .policy_document(document.replace('%', "%25").replace('"', "%22"));
            Ok(output.build().unwrap())
        }

        fn put_inline(&mut self, name: Option<&str>, document: Option<&str>) -> Answer<()> {
            self.call("PutInline", name.unwrap())?;
            if self.lost > 0 {
                self.lost -= 1;
            } else {
                let (name, document) = (name.unwrap().to_owned(), document.unwrap().to_owned());
                self.inline.insert(name, document);
            }
            Ok(())
        }

        fn delete_inline(&mut self, name: Option<&str>) -> Answer<()> {
            self.call("DeleteInline", name.unwrap())?;
            self.inline
                .remove(name.unwrap())
                .map(drop)
                .ok_or("NoSuchEntity")
        }

        /// What the ledger's three updates mean: a hold, a release by one of several incidents, and
        /// letting go of an actor.
        fn update_item(&mut self, request: &UpdateItemInput) -> Answer<UpdateItemOutput> {
            let (pk, sk) = keys(request.key());
            let values = request.expression_attribute_values().unwrap();
            let update = request.update_expression().unwrap();
            let output = UpdateItemOutput::builder();
            if update.starts_with("SET releasedAt") {
                self.call("LetGo", &format!("ledger {pk}"))?;
                return Ok(output.build());
            }
            let incident = values[":incident"].as_ss().unwrap()[0].clone();
            if update.starts_with("DELETE") {
                self.call("Leave", &format!("ledger {sk}"))?;
                let (_, incidents) = self.holds.get_mut(&sk).unwrap();
                assert!(incidents.len() > 1 && incidents.remove(&incident));
                return Ok(output.build());
            }
            self.call("Hold", &format!("ledger {sk}"))?;
            let original = values[":original"].as_s().unwrap().clone();
            let hold = self.holds.entry(sk);
            let (original, incidents) = hold.or_insert_with(|| (original, BTreeSet::new()));
            incidents.insert(incident);
            let original = AttributeValue::S(original.clone());
            Ok(output.attributes("original", original).build())
        }

        fn get_item(&mut self, request: &GetItemInput) -> Answer<GetItemOutput> {
            let (_, sk) = keys(request.key());
            self.call("GetHold", &format!("ledger {sk}"))?;
            let item = self.holds.get(&sk).map(|(original, incidents)| {
                let incidents = AttributeValue::Ss(incidents.iter().cloned().collect());
                HashMap::from([
                    ("original".to_owned(), AttributeValue::S(original.clone())),
                    ("incidents".to_owned(), incidents),
                ])
            });
            Ok(GetItemOutput::builder().set_item(item).build())
        }

        fn delete_item(&mut self, request: &DeleteItemInput) -> Answer<()> {
            let (_, sk) = keys(request.key());
            self.call("Forget", &format!("ledger {sk}"))?;
            self.holds.remove(&sk);
            Ok(())
        }
    }

    fn keys(key: Option<&HashMap<String, AttributeValue>>) -> (String, String) {
        let part = |name| key.unwrap()[name].as_s().unwrap().clone();
        (part("pk"), part("sk"))
    }

    fn http(status: u16, body: String) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), body.into())
    }

    /// A refusal as the service writes it, whose codes tell the two apart.
    fn refusal(code: &str) -> HttpResponse {
        let body = if code.ends_with("Exception") {
            json!({"__type": code}).to_string()
        } else {
            format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>as AWS says</Message></Error>\
                 </ErrorResponse>"
            )
        };
        http(400, body)
    }

    /// Answers a read with its output, and a write with nothing.
    macro_rules! rule {
        ($aws:ident, $call:path, |$state:ident, $request:ident| read $answer:expr) => {
            rule!($aws, $call, $state, $request, $answer, MockResponse::Output)
        };
        ($aws:ident, $call:path, |$state:ident, $request:ident| write $answer:expr) => {
            rule!($aws, $call, $state, $request, $answer, |()| {
                MockResponse::Http(http(200, "{}".to_owned()))
            })
        };
        ($aws:ident, $call:path, $state:ident, $request:ident, $answer:expr, $ok:expr) => {{
            let aws = $aws.clone();
            mock!($call).then_compute_response(move |$request| {
                let mut $state = aws.state();
                $answer.map_or_else(|code| MockResponse::Http(refusal(code)), $ok)
            })
        }};
    }

    #[derive(Clone, Default)]
    struct Aws(Arc<Mutex<State>>);

    impl Aws {
        fn with(state: State) -> Self {
            Self(Arc::new(Mutex::new(state)))
        }

        /// A principal with so many policies attached.
        fn attached(policies: usize) -> Self {
            Self::with(State {
                attached: (0..policies)
                    .map(|n| format!("arn:aws:iam::123456789012:policy/p{n}"))
                    .collect(),
                ..State::default()
            })
        }

        fn refusing(self, call: &'static str, code: &'static str) -> Self {
            self.state().refuses.insert(call, code);
            self
        }

        fn without_ledger(self) -> Self {
            ["Hold", "GetHold", "Leave", "Forget", "LetGo"]
                .into_iter()
                .fold(self, |aws, call| {
                    aws.refusing(call, "ResourceNotFoundException")
                })
        }

        fn granting(&self) {
            self.state().refuses.clear();
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().unwrap()
        }

        /// The calls since this was last asked.
        fn calls(&self) -> Vec<String> {
            std::mem::take(&mut self.state().calls)
        }

        /// Those of them that change something.
        fn writes(&self) -> Vec<String> {
            let mut calls = self.calls();
            calls.retain(|call| !call.starts_with("Get") && !call.starts_with("List"));
            calls
        }

        /// Each hold as `mechanism: original (incidents)`.
        fn holds(&self) -> String {
            let state = self.state();
            let holds = state.holds.iter();
            holds
                .map(|(mechanism, (original, incidents))| {
                    let incidents: Vec<_> = incidents.iter().map(String::as_str).collect();
                    format!("{mechanism}: {original} ({})", incidents.join(", "))
                })
                .collect::<Vec<_>>()
                .join("\n")
        }

        fn sessions(&self) -> Option<String> {
            self.state().inline.get(SESSION_POLICY).cloned()
        }

        async fn run(&self, payload: &Value) -> Result<Done, Failure> {
            self.run_at("02:00:00", payload).await
        }

        async fn run_at(&self, time: &str, payload: &Value) -> Result<Done, Failure> {
            let worker = DenyAllPolicy {
                iam: self.iam(),
                ledger: Ledger::new(self.table(), "ledger"),
                tiers: tiers(),
                now: match time {
                    "02:00:00" => || "2026-11-25T02:00:00.5Z".parse().unwrap(),
                    "02:00:31" => || "2026-11-25T02:00:31Z".parse().unwrap(),
                    "15:00:00" => || "2026-11-25T15:00:00Z".parse().unwrap(),
                    _ => panic!("{time}"),
                },
            };
            let answer = answer(&worker, payload).await?;
            Ok(serde_json::from_value(answer).unwrap())
        }

        fn iam(&self) -> Client {
            let rules = [
                rule!(self, Client::list_attached_user_policies, |state, _request| read
                state.attached().map(|policies| {
                    let output = ListAttachedUserPoliciesOutput::builder();
                    output.set_attached_policies(Some(policies)).build()
                })),
                rule!(self, Client::list_attached_role_policies, |state, _request| read
                state.attached().map(|policies| {
                    let output = ListAttachedRolePoliciesOutput::builder();
                    output.set_attached_policies(Some(policies)).build()
                })),
                rule!(self, Client::list_user_policies, |state, _request| read
                state.inline_names().map(|names| {
                    let output = ListUserPoliciesOutput::builder();
                    output.set_policy_names(Some(names)).build().unwrap()
                })),
                rule!(self, Client::list_role_policies, |state, _request| read
                state.inline_names().map(|names| {
                    let output = ListRolePoliciesOutput::builder();
                    output.set_policy_names(Some(names)).build().unwrap()
                })),
                rule!(self, Client::get_user, |state, request| read
                state.call("GetUser", request.user_name().unwrap()).map(|()| {
                    let user = User::builder()
                        .path("/")
                        .user_name("eve")
                        .user_id("AIDAEXAMPLE")
                        .arn(EVE)
                        .create_date(DateTime::from_secs(0))
                        .set_permissions_boundary(state.boundary());
                    GetUserOutput::builder().user(user.build().unwrap()).build()
                })),
                rule!(self, Client::get_role, |state, request| read
                state.call("GetRole", request.role_name().unwrap()).map(|()| {
                    let role = Role::builder()
                        .path("/")
                        .role_name("deploy")
                        .role_id("AROAEXAMPLE")
                        .arn(DEPLOY)
                        .create_date(DateTime::from_secs(0))
                        .set_permissions_boundary(state.boundary());
                    GetRoleOutput::builder().role(role.build().unwrap()).build()
                })),
                rule!(self, Client::get_account_summary, |state, _request| read
                state.call("GetAccountSummary", "").map(|()| {
                    GetAccountSummaryOutput::builder()
                        .summary_map(SummaryKeyType::AttachedPoliciesPerUserQuota, 10)
                        .summary_map(SummaryKeyType::AttachedPoliciesPerRoleQuota, 20)
                        .build()
                })),
                rule!(self, Client::attach_user_policy, |state, request| write
                    state.attach(request.policy_arn())),
                rule!(self, Client::attach_role_policy, |state, request| write
                    state.attach(request.policy_arn())),
                rule!(self, Client::detach_user_policy, |state, request| write
                    state.detach(request.policy_arn())),
                rule!(self, Client::put_user_permissions_boundary, |state, request| write
                    state.put_boundary(request.permissions_boundary())),
                rule!(self, Client::put_role_permissions_boundary, |state, request| write
                    state.put_boundary(request.permissions_boundary())),
                rule!(self, Client::delete_user_permissions_boundary, |state, _request| write
                    state.delete_boundary()),
                rule!(self, Client::get_role_policy, |state, request| read
                    state.inline(request.policy_name())),
                rule!(self, Client::put_role_policy, |state, request| write
                    state.put_inline(request.policy_name(), request.policy_document())),
                rule!(self, Client::delete_role_policy, |state, request| write
                    state.delete_inline(request.policy_name())),
            ];
            mock_client!(aws_sdk_iam, RuleMode::MatchAny, &rules, |config| config
                .retry_config(RetryConfig::disabled()))
        }

        fn table(&self) -> Table {
            let rules = [
                rule!(self, Table::update_item, |state, request| read state.update_item(request)),
                rule!(self, Table::get_item, |state, request| read state.get_item(request)),
                rule!(self, Table::delete_item, |state, request| write state.delete_item(request)),
            ];
            mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &rules, |config| {
                config.retry_config(RetryConfig::disabled())
            })
        }
    }

    fn tiers() -> Tiers {
        Tiers::from_settings(&Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => DENY,
                "BREAK_GLASS_ARNS" => "arn:aws:iam::123456789012:user/glass",
                "WORKLOAD_ROLE_ARNS" => "arn:aws:iam::123456789012:role/crm",
                "SHARED_ROLE_ARNS" => DEPLOY,
                _ => return None,
            };
            Some(value.to_owned())
        }))
        .unwrap()
    }

    fn deny(actor: impl Into<Value>) -> Value {
        json!({"incidentId": "i-1", "actor": actor.into()})
    }

    fn undo(actor: impl Into<Value>) -> Value {
        with(deny(actor), "undo", true)
    }

    fn with(mut payload: Value, field: &str, value: impl Into<Value>) -> Value {
        payload[field] = value.into();
        payload
    }

    fn dry(payload: Value) -> Value {
        with(payload, "dryRun", true)
    }

    fn second(payload: Value) -> Value {
        with(payload, "incidentId", "i-2")
    }

    #[tokio::test]
    async fn a_user_is_denied_everything_and_held_first() {
        let aws = Aws::attached(1);
        aws.state().inline.insert("own".to_owned(), "{}".to_owned());
        let done = aws.run(&deny(EVE)).await.unwrap();
        assert!(done.changed && done.undo.is_empty());
        insta::assert_snapshot!(done.summary, @"IAM user eve: attached arn:aws:iam::aws:policy/AWSDenyAll");
        assert_eq!(
            aws.writes(),
            [
                "Hold ledger deny-all-policy".to_owned(),
                format!("Attach {DENY}")
            ]
        );
        insta::assert_snapshot!(aws.holds(), @r#"deny-all-policy: {"attached":false,"policies":["arn:aws:iam::123456789012:policy/p0"],"inlinePolicies":["own"]} (i-1)"#);
    }

    #[tokio::test]
    async fn a_role_and_a_federated_sessions_issuer_are_denied_alike() {
        let federated = json!({"kind": "federated-user", "issuer": EVE, "name": "temp"});
        for actor in [json!(ADMIN), federated] {
            let aws = Aws::default();
            assert!(aws.run(&deny(actor)).await.unwrap().changed);
            assert_eq!(aws.state().attached, [DENY]);
        }
    }

    #[tokio::test]
    async fn a_second_run_changes_nothing_and_keeps_the_original() {
        let aws = Aws::default();
        aws.run(&deny(EVE)).await.unwrap();
        let before = aws.holds();
        aws.writes();
        let done = aws.run(&deny(EVE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: arn:aws:iam::aws:policy/AWSDenyAll is attached already");
        assert_eq!(aws.writes(), ["Hold ledger deny-all-policy"]);
        assert_eq!(aws.holds(), before);
    }

    #[tokio::test]
    async fn a_second_incident_holds_the_same_original() {
        let aws = Aws::default();
        aws.run(&deny(EVE)).await.unwrap();
        let done = aws.run(&second(deny(EVE))).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(aws.holds(), @r#"deny-all-policy: {"attached":false,"policies":[],"inlinePolicies":[]} (i-1, i-2)"#);
    }

    #[tokio::test]
    async fn with_every_slot_taken_the_boundary_denies_and_the_old_one_is_held() {
        let aws = Aws::attached(10);
        aws.state().boundary = Some(DEV.to_owned());
        let done = aws.run(&deny(EVE)).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: no policy slot is free; set the permissions boundary to arn:aws:iam::aws:policy/AWSDenyAll (before: arn:aws:iam::123456789012:policy/dev)");
        assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
        let writes = aws.writes();
        assert_eq!(writes[1], "Hold ledger permissions-boundary");
        assert_eq!(writes[2], format!("PutBoundary {DENY}"));
        assert!(aws.holds().contains(&format!(
            r#"permissions-boundary: {{"boundary":"{DEV}"}} (i-1)"#
        )));
    }

    #[tokio::test]
    async fn where_denials_are_taken_off_the_boundary_denies_too() {
        let mut twice = deny(EVE);
        twice["withBoundary"] = json!(true);
        let aws = Aws::default();
        aws.state().boundary = Some(DEV.to_owned());
        let done = aws.run(&twice).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: attached arn:aws:iam::aws:policy/AWSDenyAll and set the permissions boundary to it");
        assert_eq!(aws.state().attached, [DENY]);
        assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
        assert!(!aws.run(&twice).await.unwrap().changed);
        // Only one of them was taken off.
        aws.state().attached.clear();
        assert!(aws.run(&twice).await.unwrap().changed);
        assert_eq!(aws.state().attached, [DENY]);
        aws.state().boundary = None;
        assert!(aws.run(&twice).await.unwrap().changed);
        aws.run(&undo(EVE)).await.unwrap();
        assert!(aws.state().attached.is_empty());
        assert_eq!(aws.state().boundary.as_deref(), Some(DEV));
    }

    #[tokio::test]
    async fn with_no_slot_free_the_boundary_alone_denies() {
        let mut twice = deny(EVE);
        twice["withBoundary"] = json!(true);
        let aws = Aws::attached(10);
        assert!(aws.run(&twice).await.unwrap().changed);
        assert!(!aws.run(&twice).await.unwrap().changed);
        assert_eq!(aws.state().attached.len(), 10);
        assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
    }

    #[tokio::test]
    async fn a_quota_counts_for_its_own_kind_of_principal() {
        let aws = Aws::attached(10);
        aws.run(&deny(ADMIN)).await.unwrap();
        assert_eq!(aws.state().attached.len(), 11);
        let aws = Aws::attached(20);
        aws.run(&deny(ADMIN)).await.unwrap();
        assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
    }

    #[tokio::test]
    async fn the_quota_is_asked_only_when_it_may_be_reached() {
        let aws = Aws::attached(9);
        aws.run(&deny(EVE)).await.unwrap();
        assert!(!aws.calls().contains(&"GetAccountSummary".to_owned()));
    }

    #[tokio::test]
    async fn an_unknown_quota_is_found_out_by_trying() {
        let aws = Aws::attached(10).refusing("GetAccountSummary", "AccessDenied");
        aws.run(&deny(EVE)).await.unwrap();
        assert_eq!(aws.state().attached.len(), 11);
    }

    #[tokio::test]
    async fn a_refused_slot_falls_back_to_the_boundary() {
        let aws = Aws::default().refusing("Attach", "LimitExceeded");
        let done = aws.run(&deny(EVE)).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: no policy slot is free; set the permissions boundary to arn:aws:iam::aws:policy/AWSDenyAll (before: none)");
        assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
        insta::assert_snapshot!(aws.holds(), @r#"
        deny-all-policy: {"attached":false,"policies":[],"inlinePolicies":[]} (i-1)
        permissions-boundary: {"boundary":null} (i-1)
        "#);
    }

    #[tokio::test]
    async fn a_retry_after_a_half_done_run_does_not_lose_the_old_boundary() {
        let aws = Aws::attached(10).refusing("PutBoundary", "Throttling");
        aws.state().boundary = Some(DEV.to_owned());
        let failure = aws.run(&deny(EVE)).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        aws.granting();
        // The second run acts; the third finds its act, as if its answer had been lost.
        assert!(aws.run(&deny(EVE)).await.unwrap().changed);
        let done = aws.run(&deny(EVE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: arn:aws:iam::aws:policy/AWSDenyAll is the permissions boundary already");
        aws.run(&undo(EVE)).await.unwrap();
        assert_eq!(aws.state().boundary.as_deref(), Some(DEV));
    }

    #[tokio::test]
    async fn who_must_not_be_contained_is_left_alone_whatever_the_payload_says() {
        for actor in [
            json!("arn:aws:iam::123456789012:user/glass"),
            json!("arn:aws:iam::123456789012:role/crm"),
            json!("arn:aws:iam::999988887777:user/eve"),
            json!("arn:aws:iam::123456789012:root"),
            json!(DEPLOY),
            json!({"kind": "unidentified", "reason": "the event names no identity"}),
        ] {
            for payload in [deny(actor.clone()), dry(deny(actor.clone()))] {
                let aws = Aws::default();
                let failure = aws.run(&payload).await.unwrap_err();
                assert_eq!(failure.name(), "Protected", "{actor}");
                assert!(aws.calls().is_empty(), "{actor}");
            }
        }
    }

    #[tokio::test]
    async fn a_principal_that_is_gone_is_not_found_and_not_held() {
        for actor in [EVE, ADMIN, ALICE] {
            let aws = Aws::with(State {
                gone: true,
                ..State::default()
            });
            for payload in [deny(actor), dry(deny(actor))] {
                let failure = aws.run(&payload).await.unwrap_err();
                assert_eq!(failure.name(), "TargetNotFound");
            }
            assert_eq!(aws.holds(), "");
        }
    }

    #[tokio::test]
    async fn a_deny_policy_that_is_gone_is_not_taken_for_the_actor() {
        let aws = Aws::default().refusing("Attach", "NoSuchEntity");
        let failure = aws.run(&deny(EVE)).await.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
    }

    #[tokio::test]
    async fn a_role_that_only_aws_may_modify_comes_with_the_call_by_hand() {
        let aws = Aws::default().refusing("Attach", "UnmodifiableEntity");
        let sso = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0/alice";
        let failure = aws.run(&deny(sso)).await.unwrap_err();
        assert_eq!(failure.name(), "Protected");
        let failure = failure.to_string();
        assert!(
            failure.contains("put-inline-policy-to-permission-set"),
            "{failure}"
        );
        assert!(failure.contains("UnmodifiableEntity"), "{failure}");
    }

    #[tokio::test]
    async fn refusals_keep_their_class() {
        for (code, class) in [
            ("AccessDenied", "AccessDenied"),
            ("UnmodifiableEntity", "Protected"),
            ("Throttling", "Transient"),
            ("ConcurrentModification", "Transient"),
            ("InvalidInput", "Rejected"),
        ] {
            for call in ["List", "GetUser", "Attach"] {
                let aws = Aws::default().refusing(call, code);
                let failure = aws.run(&deny(EVE)).await.unwrap_err();
                assert_eq!(failure.name(), class, "{call}: {code}");
            }
            for call in ["GetRole", "PutInline"] {
                let aws = Aws::default().refusing(call, code);
                let failure = aws.run(&deny(ALICE)).await.unwrap_err();
                assert_eq!(failure.name(), class, "{call}: {code}");
            }
        }
    }

    #[tokio::test]
    async fn without_the_ledger_it_acts_all_the_same_and_hands_over_the_undo() {
        let aws = Aws::attached(10).without_ledger();
        aws.state().boundary = Some(DEV.to_owned());
        let done = aws.run(&deny(EVE)).await.unwrap();
        assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
        let mechanisms: Vec<_> = done.undo.iter().map(|hold| &hold.mechanism).collect();
        assert_eq!(mechanisms, ["deny-all-policy", "permissions-boundary"]);
        let holds = serde_json::to_value(&done.undo).unwrap();
        let done = aws.run(&with(undo(EVE), "holds", holds)).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: arn:aws:iam::aws:policy/AWSDenyAll is not attached; set the permissions boundary back to arn:aws:iam::123456789012:policy/dev; the ledger could not be told");
        assert_eq!(aws.state().boundary.as_deref(), Some(DEV));
    }

    #[tokio::test]
    async fn an_undo_by_its_payload_leaves_what_another_incident_holds() {
        let aws = Aws::default();
        aws.run(&with(deny(EVE), "incidentId", "i-2"))
            .await
            .unwrap();
        let holds = json!([{
            "resource": EVE, "mechanism": "deny-all-policy", "original": {"attached": false},
        }]);
        let done = aws.run(&with(undo(EVE), "holds", holds)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: deny-all-policy stays, held by another incident");
    }

    #[tokio::test]
    async fn an_inline_policy_that_cannot_be_listed_is_no_reason_not_to_deny() {
        let aws = Aws::default().refusing("ListInline", "AccessDenied");
        assert!(aws.run(&deny(EVE)).await.unwrap().changed);
        assert!(aws.holds().contains(r#""inlinePolicies":null"#));
    }

    #[tokio::test]
    async fn a_shared_roles_session_is_denied_without_the_ledger_too() {
        let aws = Aws::default().without_ledger();
        let done = aws.run(&deny(ALICE)).await.unwrap();
        assert!(aws.sessions().is_some());
        let holds = serde_json::to_value(&done.undo).unwrap();
        aws.run(&with(undo(ALICE), "holds", holds)).await.unwrap();
        assert!(aws.sessions().is_none());
    }

    #[tokio::test]
    async fn the_holds_of_others_undo_nothing() {
        let aws = Aws::attached(1);
        aws.run(&deny(EVE)).await.unwrap();
        let hold = |resource: &str, mechanism: &str| json!({"resource": resource, "mechanism": mechanism, "original": {"attached": false}});
        let holds = json!([hold(ADMIN, "deny-all-policy"), hold(EVE, "revoke-sessions")]);
        let done = aws.run(&with(undo(EVE), "holds", holds)).await.unwrap();
        assert!(!done.changed);
        assert_eq!(aws.state().attached.len(), 2);
    }

    #[tokio::test]
    async fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
        for (aws, actor) in [
            (Aws::default(), EVE),
            (Aws::attached(10), EVE),
            (Aws::default(), ALICE),
        ] {
            let done = aws.run(&dry(deny(actor))).await.unwrap();
            assert!(!done.changed && done.undo.is_empty());
            assert!(done.summary.contains("would "), "{}", done.summary);
            assert_eq!(aws.writes(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn of_a_shared_role_only_the_session_and_its_older_tokens_are_denied() {
        let aws = Aws::default();
        let done = aws.run(&deny(ALICE)).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"role deploy: denied session alice, with tokens from before 2026-11-25T02:00:30Z");
        assert_eq!(
            aws.writes(),
            [
                "Hold ledger deny-session/AROAEXAMPLE:alice",
                "PutInline TourniquetDenySessions"
            ]
        );
        insta::assert_snapshot!(aws.sessions().unwrap(), @r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-25T02:00:30Z"},"StringEquals":{"aws:userId":"AROAEXAMPLE:alice"}}}]}"#);
        insta::assert_snapshot!(aws.holds(), @r#"deny-session/AROAEXAMPLE:alice: {"denied":false} (i-1)"#);
        assert!(aws.state().attached.is_empty());
    }

    #[tokio::test]
    async fn of_any_other_role_the_session_alone_is_denied_where_that_is_asked_for() {
        let eve = "arn:aws:sts::123456789012:assumed-role/admin/eve";
        let aws = Aws::default();
        let only = with(deny(eve), "sessionOnly", true);
        let done = aws.run(&only).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"role admin: denied session eve, with tokens from before 2026-11-25T02:00:30Z");
        assert_eq!(
            aws.writes(),
            [
                "Hold ledger deny-session/AROAEXAMPLE:eve",
                "PutInline TourniquetDenySessions"
            ]
        );
        assert!(aws.state().attached.is_empty());
        assert!(!aws.run(&only).await.unwrap().changed);
        assert!(!aws.run(&dry(only)).await.unwrap().changed);
    }

    #[tokio::test]
    async fn asking_for_the_session_alone_lets_nobody_be_denied_who_must_not_be() {
        let denied = async |actor: &str| {
            let only = with(deny(actor), "sessionOnly", true);
            let aws = Aws::default();
            let failure = aws.run(&only).await.unwrap_err();
            assert_eq!(aws.writes(), [""; 0], "{actor}");
            format!("{}: {failure}", failure.name())
        };
        let crm = "arn:aws:sts::123456789012:assumed-role/crm/production";
        assert!(
            denied(crm)
                .await
                .starts_with("Protected: role crm is a workload")
        );
        insta::assert_snapshot!(denied(ADMIN).await, @"InvalidInput: `sessionOnly`: the actor names no session");
        insta::assert_snapshot!(denied(EVE).await, @"InvalidInput: `sessionOnly`: the actor names no session");
    }

    #[tokio::test]
    async fn undoing_the_session_alone_leaves_its_role_denied() {
        let eve = "arn:aws:sts::123456789012:assumed-role/admin/eve";
        let aws = Aws::default();
        aws.run(&deny(ADMIN)).await.unwrap();
        aws.run(&with(deny(eve), "sessionOnly", true))
            .await
            .unwrap();
        aws.writes();
        let done = aws
            .run(&with(undo(eve), "sessionOnly", true))
            .await
            .unwrap();
        insta::assert_snapshot!(done.summary, @"role admin: lifted the denial of session AROAEXAMPLE:eve");
        assert_eq!(
            aws.writes(),
            [
                "DeleteInline TourniquetDenySessions",
                "LetGo ledger claim#role/admin/eve",
                "Forget ledger deny-session/AROAEXAMPLE:eve"
            ]
        );
        assert_eq!(aws.state().attached, [DENY]);
        // An undo that fits nobody undoes nothing.
        let done = aws
            .run(&with(undo(EVE), "sessionOnly", true))
            .await
            .unwrap();
        assert!(!done.changed);
    }

    #[tokio::test]
    async fn a_session_is_denied_by_the_user_id_that_the_event_gave() {
        let aws = Aws::default();
        let session = json!({"name": "alice", "userId": "AROAEVENT:alice"});
        let actor = json!({"kind": "role", "arn": DEPLOY, "session": session});
        aws.run(&deny(actor)).await.unwrap();
        let denials = SessionDenials::read(aws.sessions().as_deref());
        assert!(denials.cutoff("AROAEVENT:alice").is_some());
        assert!(denials.cutoff("AROAEXAMPLE:alice").is_none());
    }

    #[tokio::test]
    async fn sessions_of_one_role_are_denied_side_by_side_until_their_tokens_are_dead() {
        let aws = Aws::default();
        aws.run(&deny(ALICE)).await.unwrap();
        aws.run_at("02:00:31", &deny(BOB)).await.unwrap();
        let denials = SessionDenials::read(aws.sessions().as_deref());
        assert!(denials.cutoff("AROAEXAMPLE:alice") < denials.cutoff("AROAEXAMPLE:bob"));
        aws.run_at("15:00:00", &deny(BOB)).await.unwrap();
        let denials = SessionDenials::read(aws.sessions().as_deref());
        assert!(denials.cutoff("AROAEXAMPLE:alice").is_none());
    }

    #[tokio::test]
    async fn a_denied_session_stays_and_its_cutoff_moves_on_when_it_has_passed() {
        let aws = Aws::default();
        aws.run(&deny(ALICE)).await.unwrap();
        let first = aws.sessions();
        aws.writes();
        let done = aws.run(&deny(ALICE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"role deploy: session alice is denied already, with tokens from before 2026-11-25T02:00:30Z");
        assert_eq!(aws.writes(), ["Hold ledger deny-session/AROAEXAMPLE:alice"]);
        let done = aws.run_at("02:00:31", &deny(ALICE)).await.unwrap();
        assert!(done.changed);
        assert_ne!(aws.sessions(), first);
    }

    #[tokio::test]
    async fn a_denial_that_another_runs_write_took_out_is_tried_again() {
        let aws = Aws::with(State {
            lost: 1,
            ..State::default()
        });
        let failure = aws.run(&deny(ALICE)).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        insta::assert_snapshot!(failure, @"another run changed TourniquetDenySessions of role deploy in the same moment; run again");
        assert!(aws.run(&deny(ALICE)).await.unwrap().changed);
        assert!(aws.sessions().is_some());
    }

    #[tokio::test]
    async fn a_denial_that_somebody_weakened_is_written_again() {
        let aws = Aws::default();
        aws.run(&deny(ALICE)).await.unwrap();
        let whole = aws.sessions().unwrap();
        let weakened = whole.replace("\"Action\":\"*\"", "\"Action\":\"s3:*\"");
        assert_ne!(weakened, whole);
        let inline = (SESSION_POLICY.to_owned(), weakened);
        aws.state().inline.extend([inline]);
        assert!(aws.run(&deny(ALICE)).await.unwrap().changed);
        assert_eq!(aws.sessions().unwrap(), whole);
    }

    #[tokio::test]
    async fn no_room_for_one_more_session_is_said() {
        let aws = Aws::default().refusing("PutInline", "LimitExceeded");
        let failure = aws.run(&deny(ALICE)).await.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
        insta::assert_snapshot!(failure, @"iam:PutRolePolicy: LimitExceeded: the inline policies of role deploy leave no room for TourniquetDenySessions; delete one that is not needed and run again");
    }

    #[tokio::test]
    async fn the_undo_detaches_the_policy_and_lets_the_actor_go() {
        let aws = Aws::default();
        aws.run(&deny(EVE)).await.unwrap();
        aws.writes();
        let done = aws.run(&undo(EVE)).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: detached arn:aws:iam::aws:policy/AWSDenyAll");
        assert_eq!(
            aws.writes(),
            [
                &format!("Detach {DENY}"),
                "LetGo ledger claim#user/eve",
                "Forget ledger deny-all-policy"
            ]
        );
        assert_eq!(aws.holds(), "");
        let done = aws.run(&undo(EVE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: this incident holds nothing");
        assert_eq!(aws.writes(), [""; 0]);
    }

    #[tokio::test]
    async fn what_was_denied_before_us_stays_denied() {
        let aws = Aws::default();
        aws.state().attached.push(DENY.to_owned());
        aws.run(&deny(EVE)).await.unwrap();
        let done = aws.run(&undo(EVE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: arn:aws:iam::aws:policy/AWSDenyAll stays, attached before");
        assert_eq!(aws.state().attached, [DENY]);

        let aws = Aws::default();
        aws.state().boundary = Some(DENY.to_owned());
        aws.run(&deny(EVE)).await.unwrap();
        let done = aws.run(&undo(EVE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: arn:aws:iam::aws:policy/AWSDenyAll is not attached; arn:aws:iam::aws:policy/AWSDenyAll stays, the permissions boundary before");
        assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
    }

    #[tokio::test]
    async fn a_boundary_where_none_was_is_removed() {
        let aws = Aws::attached(10);
        aws.run(&deny(EVE)).await.unwrap();
        let done = aws.run(&undo(EVE)).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: arn:aws:iam::aws:policy/AWSDenyAll is not attached; removed the permissions boundary");
        assert_eq!(aws.state().boundary, None);
    }

    #[tokio::test]
    async fn a_boundary_that_a_human_set_since_stays() {
        for since in [
            Some("arn:aws:iam::123456789012:policy/human".to_owned()),
            None,
        ] {
            let aws = Aws::attached(10);
            aws.state().boundary = Some(DEV.to_owned());
            aws.run(&deny(EVE)).await.unwrap();
            aws.state().boundary.clone_from(&since);
            let done = aws.run(&undo(EVE)).await.unwrap();
            assert!(!done.changed);
            assert_eq!(aws.state().boundary, since);
            assert_eq!(aws.holds(), "");
        }
    }

    #[tokio::test]
    async fn an_old_boundary_that_no_longer_exists_is_reported_and_stays_held() {
        let aws = Aws::attached(10);
        aws.state().boundary = Some(DEV.to_owned());
        aws.run(&deny(EVE)).await.unwrap();
        let aws = aws.refusing("PutBoundary", "NoSuchEntity");
        let failure = aws.run(&undo(EVE)).await.unwrap_err();
        insta::assert_snapshot!(failure, @"IAM user eve or policy arn:aws:iam::123456789012:policy/dev does not exist (iam:PutUserPermissionsBoundary: NoSuchEntity: as AWS says)");
        assert!(aws.holds().contains("permissions-boundary"));
    }

    #[tokio::test]
    async fn the_last_incident_out_restores() {
        let aws = Aws::default();
        aws.run(&deny(EVE)).await.unwrap();
        aws.run(&second(deny(EVE))).await.unwrap();
        aws.writes();
        let done = aws.run(&undo(EVE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"IAM user eve: deny-all-policy stays, held by another incident");
        assert_eq!(aws.writes(), ["Leave ledger deny-all-policy"]);
        assert!(aws.run(&second(undo(EVE))).await.unwrap().changed);
        assert_eq!(aws.state().attached, [""; 0]);
    }

    #[tokio::test]
    async fn a_session_is_let_go_beside_the_others() {
        let aws = Aws::default();
        aws.run(&deny(ALICE)).await.unwrap();
        aws.run(&deny(BOB)).await.unwrap();
        aws.writes();
        let done = aws.run(&undo(ALICE)).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"role deploy: lifted the denial of session AROAEXAMPLE:alice");
        assert_eq!(
            aws.writes(),
            [
                "PutInline TourniquetDenySessions",
                "LetGo ledger claim#role/deploy/alice",
                "Forget ledger deny-session/AROAEXAMPLE:alice"
            ]
        );
        let denials = SessionDenials::read(aws.sessions().as_deref());
        assert!(denials.cutoff("AROAEXAMPLE:alice").is_none());
        assert!(denials.cutoff("AROAEXAMPLE:bob").is_some());
        aws.run(&undo(BOB)).await.unwrap();
        assert_eq!(aws.sessions(), None);
    }

    #[tokio::test]
    async fn what_is_gone_counts_as_undone() {
        let event = json!({"name": "alice", "userId": "AROAEXAMPLE:alice"});
        let alice = json!({"kind": "role", "arn": DEPLOY, "session": event});
        for actor in [json!(EVE), alice] {
            let aws = Aws::default();
            aws.run(&deny(actor.clone())).await.unwrap();
            aws.state().gone = true;
            let done = aws.run(&undo(actor)).await.unwrap();
            assert!(!done.changed);
            assert!(
                done.summary.ends_with("is gone with it"),
                "{}",
                done.summary
            );
            assert_eq!(aws.holds(), "");
        }
        // Somebody else's undo of the same, in the same moment.
        let aws = Aws::default();
        aws.run(&deny(ALICE)).await.unwrap();
        aws.state().inline.clear();
        let done = aws.run(&undo(ALICE)).await.unwrap();
        assert!(!done.changed);
        insta::assert_snapshot!(done.summary, @"role deploy: session AROAEXAMPLE:alice is not denied");
        assert_eq!(aws.holds(), "");
    }

    #[tokio::test]
    async fn a_dry_undo_says_what_it_would_do_and_writes_nothing() {
        for (aws, actor) in [
            (Aws::default(), EVE),
            (Aws::attached(10), EVE),
            (Aws::default(), ALICE),
        ] {
            aws.run(&deny(actor)).await.unwrap();
            aws.writes();
            let done = aws.run(&dry(undo(actor))).await.unwrap();
            assert!(!done.changed);
            assert!(done.summary.contains("would "), "{}", done.summary);
            assert_eq!(aws.writes(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn letting_go_is_allowed_of_whom_denying_is_not() {
        let glass = "arn:aws:iam::123456789012:user/glass";
        let hold = json!({
            "resource": glass,
            "mechanism": "deny-all-policy",
            "original": {"attached": false},
        });
        let aws = Aws::default();
        aws.state().attached.push(DENY.to_owned());
        let payload = with(undo(glass), "holds", json!([hold]));
        assert!(aws.run(&payload).await.unwrap().changed);
        assert_eq!(aws.state().attached, [""; 0]);
    }

    #[tokio::test]
    async fn an_undo_of_nobody_touches_no_namesake() {
        for actor in [
            "arn:aws:iam::999988887777:user/eve",
            "arn:aws:iam::123456789012:root",
        ] {
            let aws = Aws::default();
            assert!(!aws.run(&undo(actor)).await.unwrap().changed);
            assert_eq!(aws.calls(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn an_undo_that_the_ledger_interrupts_can_be_run_again() {
        let aws = Aws::default();
        aws.run(&deny(EVE)).await.unwrap();
        for call in ["GetHold", "LetGo", "Forget"] {
            let code = "ThrottlingException";
            let failure = aws
                .clone()
                .refusing(call, code)
                .run(&undo(EVE))
                .await
                .unwrap_err();
            assert_eq!(failure.name(), "Transient", "{call}");
            aws.granting();
            assert!(aws.holds().contains("deny-all-policy"), "{call}");
        }
        aws.writes();
        let done = aws.run(&undo(EVE)).await.unwrap();
        insta::assert_snapshot!(done.summary, @"IAM user eve: arn:aws:iam::aws:policy/AWSDenyAll is not attached");
        assert_eq!(
            aws.writes(),
            [
                "LetGo ledger claim#user/eve",
                "Forget ledger deny-all-policy"
            ]
        );
    }

    #[tokio::test]
    async fn a_hold_that_says_nothing_is_no_licence_to_undo() {
        for mechanism in ["deny-all-policy", "permissions-boundary"] {
            for original in [
                json!({}),
                json!(null),
                json!({"attached": 1, "boundary": "x"}),
            ] {
                let aws = Aws::attached(10);
                aws.run(&deny(EVE)).await.unwrap();
                let hold = json!({
                    "resource": EVE, "mechanism": mechanism, "original": original,
                });
                let payload = with(undo(EVE), "holds", json!([hold]));
                let failure = aws.run(&payload).await.unwrap_err();
                assert_eq!(failure.name(), "Rejected");
                assert_eq!(aws.state().boundary.as_deref(), Some(DENY));
            }
        }
    }

    #[tokio::test]
    async fn a_payload_that_does_not_fit_is_refused_by_field() {
        for (payload, says) in [
            (json!({"actor": EVE}), "missing field `incidentId`"),
            (deny("eve"), "`actor`: expected the ARN of a user"),
            (with(deny(EVE), "force", true), "`force`: unknown field"),
            (with(deny(EVE), "incidentId", "a b"), "`incidentId`: "),
        ] {
            let failure = Aws::default().run(&payload).await.unwrap_err();
            assert_eq!(failure.name(), "InvalidInput");
            assert!(failure.to_string().contains(says), "{failure}");
        }
    }
}
