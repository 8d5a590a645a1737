//! Ends a principal's keys and sessions.
//!
//! **Act.** Of an IAM user, every active access key is turned off and stays as evidence. Then, of a
//! user as of a role, every call with a token issued before a cut-off half a minute ahead is denied
//! by the inline policy `AWSRevokeOlderSessions`, as the IAM console does it. A key that cannot be
//! turned off stops neither the others nor the denial: everything is tried before the failure is
//! reported. For a federated session it is the IAM user who issued it. A workload role, a shared
//! role and whatever else must not be touched is [`Failure::Protected`]: revoking reaches everybody
//! who uses the role.
//!
//! **Undo.** Keys that were active are turned on, and the policy is put back as it was, or removed,
//! by the last incident that holds them. What no longer exists counts as undone. When the ledger
//! was unreachable, the holds that the answer returned are the `holds` of the undo's payload.
//!
//! **Calls.** `iam:ListAccessKeys`, `iam:UpdateAccessKey`; `iam:GetUser`, `iam:GetUserPolicy`,
//! `iam:PutUserPolicy`, `iam:DeleteUserPolicy` or the same four of a role; `dynamodb:UpdateItem`
//! before each change, `GetItem`, `UpdateItem` and `DeleteItem` on the undo.
//!
//! **A second run** finds the keys off. It moves the cut-off forward once the earlier one has
//! passed, since sessions may have begun after it, and never backwards.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html>

use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_iam::{
    Client,
    types::{AccessKeyMetadata, StatusType},
};
use incident::{Actor, Containment, IncidentId, Settings, Tiers};
use jiff::Timestamp;
use ledger::{Done, Hold, Holds, Ledger, Release, Undo};
use principal::{
    CUTOFF_MARGIN, Principal, REVOKE_POLICY, Room, cutoff_of, key_hold, masked, revoke_document,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use worker::{Failure, Worker};

/// The hold on the inline policy; each access key has its own, `access-key/<id>`.
const MECHANISM: &str = "revoke-sessions";

/// Whose keys and sessions end, and for which incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that holds what is changed.
    pub incident_id: IncidentId,
    /// The actor.
    #[serde(deserialize_with = "incident::written::deserialize")]
    #[schemars(with = "Actor")]
    pub actor: Actor,
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
pub struct RevokeSessions {
    iam: Client,
    ledger: Ledger,
    tiers: Tiers,
    now: fn() -> Timestamp,
}

impl RevokeSessions {
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

impl Worker for RevokeSessions {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        let Some(principal) = self.principal(&input)? else {
            return Ok(Done {
                changed: false,
                summary: format!("{}: this incident holds nothing here", input.actor),
                undo: Vec::new(),
                left: Vec::new(),
            });
        };
        let run = Run::new(&input, &principal);
        if input.undo {
            self.undo(run).await
        } else {
            self.revoke(run).await
        }
    }
}

impl RevokeSessions {
    /// Whom to act on. Letting go is always safe, also of a principal that became protected
    /// meanwhile, or of none.
    fn principal(&self, input: &Input) -> Result<Option<Principal>, Failure> {
        let containment = self.tiers.containment(&input.actor);
        let principal = Principal::of(&input.actor, &self.iam)
            .filter(|principal| principal.arn().account() == self.tiers.account());
        match (principal, &containment) {
            (principal, _) if input.undo => Ok(principal),
            (Some(principal), Containment::Principal { .. }) => Ok(Some(principal)),
            (Some(principal), Containment::Session { .. }) => Err(Failure::Protected(format!(
                "{principal} is shared: revoking would cut off everybody; deny-all-policy denies \
                 the one session"
            ))),
            _ => Err(Failure::Protected(containment.reason().to_owned())),
        }
    }

    async fn revoke(&self, mut run: Run<'_>) -> Result<Done, Failure> {
        let now = (self.now)();
        let mut holds = self.ledger.holds_for(&run.input.incident_id, now);
        if run.principal.is_user() {
            match self.keys(run.principal).await {
                Ok(keys) => {
                    for key in &keys {
                        self.turn_off(&mut run, &mut holds, key).await;
                    }
                }
                Err(gone @ Failure::TargetNotFound(_)) => return Err(gone),
                Err(failure) => run.failures.push(failure),
            }
        }
        if let Err(failure) = deny_older_sessions(&mut run, &mut holds, now).await {
            run.failures.push(failure);
        }
        run.end(holds.unrecorded())
    }

    /// A key that is off is held too: another incident may have turned it off, and its release
    /// must not turn the key on while this incident lasts.
    async fn turn_off(&self, run: &mut Run<'_>, holds: &mut Holds<'_>, key: &Key) {
        let status = json!({"status": key.status.as_str()});
        run.hold(holds, &key.mechanism(), status).await;
        if !key.is_active() {
            run.found(format!("{key} already off"));
            return;
        }
        match self.set(run, key, StatusType::Inactive).await {
            Ok(existed) => run.note(existed, &key.to_string(), "turned off"),
            Err(failure) => run.failures.push(failure),
        }
    }

    async fn undo(&self, mut run: Run<'_>) -> Result<Done, Failure> {
        if run.principal.is_user() {
            match self.keys(run.principal).await {
                Ok(keys) => {
                    for key in &keys {
                        let undone = self.turn_on_again(&mut run, key).await;
                        run.failures.extend(undone.err());
                    }
                }
                Err(Failure::TargetNotFound(_)) => {}
                Err(failure) => run.failures.push(failure),
            }
        }
        let undone = self.put_policy_back(&mut run).await;
        run.failures.extend(undone.err());
        if run.steps.is_empty() {
            run.found("this incident holds nothing here".to_owned());
        }
        run.end(Vec::new())
    }

    async fn turn_on_again(&self, run: &mut Run<'_>, key: &Key) -> Result<(), Failure> {
        let mechanism = key.mechanism();
        let Some(original) = self.release(run, &mechanism, &key.to_string()).await? else {
            return Ok(());
        };
        if original["status"] == StatusType::Active.as_str() && !key.is_active() {
            let existed = self.set(run, key, StatusType::Active).await?;
            run.note(existed, &key.to_string(), "turned on");
        } else {
            run.found(format!("{key} left as it is"));
        }
        self.forget(run, &mechanism).await
    }

    async fn put_policy_back(&self, run: &mut Run<'_>) -> Result<(), Failure> {
        let policy = format!("policy {REVOKE_POLICY}");
        let Some(original) = self.release(run, MECHANISM, &policy).await? else {
            return Ok(());
        };
        let original = self.document(run.input, &original)?;
        let (principal, dry_run) = (run.principal, run.input.dry_run);
        match (original, principal.inline(REVOKE_POLICY).await?) {
            (before, now) if before == now => run.found(format!("{policy} is as it was")),
            (Some(document), _) => {
                let put = match principal.put_inline(REVOKE_POLICY, &document) {
                    _ if dry_run => Ok(()),
                    put => match put.await {
                        Ok(Room::Enough) => Ok(()),
                        Ok(Room::None) => Err(Failure::Rejected(format!(
                            "{policy} finds no room among the inline policies"
                        ))),
                        Err(failure) => Err(failure),
                    },
                };
                run.note(existed(put)?, &policy, "put back as it was");
            }
            (None, _) => {
                if !dry_run {
                    principal.delete_inline(REVOKE_POLICY).await?;
                }
                run.note(true, &policy, "removed");
            }
        }
        self.forget(run, MECHANISM).await
    }

    /// The policy document to put back; none when there was none. Whoever may invoke this worker
    /// must not write policies with it: what a payload hands over may deny older sessions only.
    fn document(&self, input: &Input, original: &Value) -> Result<Option<String>, Failure> {
        let document = match original.get("document") {
            Some(Value::String(document)) => document,
            Some(Value::Null) => return Ok(None),
            // No licence to delete a policy.
            _ => {
                return Err(Failure::Rejected(format!(
                    "the hold {MECHANISM} does not say what to put back"
                )));
            }
        };
        if input.holds.is_empty() {
            return Ok(Some(document.clone()));
        }
        match cutoff_of(document) {
            Some(cutoff) if cutoff <= (self.now)() => Ok(Some(revoke_document(cutoff))),
            _ => Err(Failure::Rejected(format!(
                "the payload's {REVOKE_POLICY} does more than deny older sessions: put it back by \
                 hand"
            ))),
        }
    }

    /// The original to put back now; none when this incident does not hold it, or others do too.
    async fn release(
        &self,
        run: &mut Run<'_>,
        mechanism: &str,
        what: &str,
    ) -> Result<Option<Value>, Failure> {
        let resource = run.principal.arn().as_str();
        let release = self.undo_of(run).release(resource, mechanism).await?;
        Ok(match release {
            Release::Last(original) => Some(original),
            Release::StillHeld => {
                run.found(format!("{what} still held by another incident"));
                None
            }
            Release::NotHeld => None,
        })
    }

    async fn forget(&self, run: &Run<'_>, mechanism: &str) -> Result<(), Failure> {
        let resource = run.principal.arn().as_str();
        self.undo_of(run).forget(resource, mechanism).await
    }

    fn undo_of<'a>(&'a self, run: &Run<'a>) -> Undo<'a> {
        let input = run.input;
        self.ledger
            .undo_for(&input.incident_id, &input.holds, input.dry_run)
    }

    async fn keys(&self, user: &Principal) -> Result<Vec<Key>, Failure> {
        let keys: Vec<AccessKeyMetadata> = self
            .iam
            .list_access_keys()
            .user_name(user.name())
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Failure::aws("iam:ListAccessKeys", &error))?;
        Ok(keys.into_iter().filter_map(Key::of).collect())
    }

    /// Sets a key's status; false when the key no longer exists.
    async fn set(&self, run: &Run<'_>, key: &Key, status: StatusType) -> Result<bool, Failure> {
        if run.input.dry_run {
            return Ok(true);
        }
        let set = self
            .iam
            .update_access_key()
            .user_name(run.principal.name())
            .access_key_id(&key.id)
            .status(status)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("iam:UpdateAccessKey", &error));
        existed(set)
    }
}

/// Denies every call with a token issued before a cut-off ahead of `now`.
async fn deny_older_sessions(
    run: &mut Run<'_>,
    holds: &mut Holds<'_>,
    now: Timestamp,
) -> Result<(), Failure> {
    let principal = run.principal;
    // Without the first, a principal that is gone looks like one that has no such policy.
    let (_, document) = tokio::try_join!(principal.look_up(), principal.inline(REVOKE_POLICY))?;
    run.hold(holds, MECHANISM, json!({"document": document}))
        .await;
    let sessions = |cutoff: Timestamp| format!("sessions from before {cutoff:.0}");
    if let Some(cutoff) = document.as_deref().and_then(cutoff_of)
        && cutoff > now
    {
        run.found(format!("{} already denied", sessions(cutoff)));
        return Ok(());
    }
    let cutoff = now + CUTOFF_MARGIN;
    if !run.input.dry_run
        && principal
            .put_inline(REVOKE_POLICY, &revoke_document(cutoff))
            .await?
            == Room::None
    {
        // No failure: the deny-all policy denies these sessions too, and that is verified.
        run.found(format!(
            "{REVOKE_POLICY} finds no room among the inline policies, so older sessions end with \
             the deny-all policy only"
        ));
        return Ok(());
    }
    run.note(true, &sessions(cutoff), "denied");
    Ok(())
}

/// Whether there was something to change.
fn existed(changed: Result<(), Failure>) -> Result<bool, Failure> {
    match changed {
        Ok(()) => Ok(true),
        Err(Failure::TargetNotFound(_)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// One run: its payload, and how it goes. A step that fails does not stop the next one.
struct Run<'a> {
    input: &'a Input,
    principal: &'a Principal,
    changed: bool,
    steps: Vec<String>,
    failures: Vec<Failure>,
}

impl<'a> Run<'a> {
    fn new(input: &'a Input, principal: &'a Principal) -> Self {
        Self {
            input,
            principal,
            changed: false,
            steps: Vec::new(),
            failures: Vec::new(),
        }
    }

    async fn hold(&self, holds: &mut Holds<'_>, mechanism: &str, original: Value) {
        if !self.input.dry_run {
            holds
                .put(Hold {
                    resource: self.principal.arn().to_string(),
                    mechanism: mechanism.to_owned(),
                    original,
                })
                .await;
        }
    }

    /// What was changed, or would be; nothing when it no longer `existed`.
    fn note(&mut self, existed: bool, what: &str, deed: &str) {
        if !existed {
            self.found(format!("{what} is gone"));
        } else if self.input.dry_run && self.input.undo {
            self.found(format!("{what} would be {deed}, unless others hold it"));
        } else if self.input.dry_run {
            self.found(format!("{what} would be {deed}"));
        } else {
            self.changed = true;
            self.found(format!("{what} {deed}"));
        }
    }

    /// What was found and needs no change.
    fn found(&mut self, state: String) {
        self.steps.push(state);
    }

    /// The answer, or the failure: a transient one first, since a retry may finish what is left.
    /// Where the ledger does not know of what was done, it is an answer all the same: it carries
    /// the undo, which a retry could not find out any more.
    fn end(self, undo: Vec<Hold>) -> Result<Done, Failure> {
        let done = self.steps.join(", ");
        let is_final = |failure: &Failure| !matches!(failure, Failure::Transient(_));
        let mut failures = self.failures;
        failures.sort_by_key(is_final);
        if failures.is_empty() || !undo.is_empty() {
            return Ok(Done {
                changed: self.changed,
                summary: format!("{}: {done}", self.principal),
                undo,
                left: failures.iter().map(ToString::to_string).collect(),
            });
        }
        let all_the_same = match done.as_str() {
            "" => String::new(),
            done => format!("; {}, all the same: {done}", self.principal),
        };
        Err(failures
            .swap_remove(0)
            .rephrase(|why| format!("{why}{all_the_same}")))
    }
}

/// One access key of a user. Shown without the middle of its id.
struct Key {
    id: String,
    status: StatusType,
}

impl Key {
    fn of(metadata: AccessKeyMetadata) -> Option<Self> {
        Some(Self {
            id: metadata.access_key_id?,
            status: metadata.status?,
        })
    }

    fn is_active(&self) -> bool {
        self.status == StatusType::Active
    }

    fn mechanism(&self) -> String {
        key_hold(&self.id)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access key {}", masked(&self.id))
    }
}

#[cfg(test)]
mod fake;

#[cfg(test)]
mod tests {
    use worker::answer;

    use super::{
        StatusType::{Active, Inactive},
        fake::Aws,
        *,
    };

    const EVE: &str = "arn:aws:iam::123456789012:user/eve";
    const ADMIN: &str = "arn:aws:iam::123456789012:role/admin";
    const FIRST: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECOND: &str = "AKIAI44QH8DHBEXA7XYZ";

    impl Aws {
        async fn run_at(
            &self,
            now: fn() -> Timestamp,
            actor: &str,
            more: Value,
        ) -> Result<Done, Failure> {
            let worker = RevokeSessions {
                iam: self.iam(),
                ledger: self.ledger(),
                tiers: tiers(),
                now,
            };
            let mut payload = json!({"incidentId": "i-1", "actor": actor});
            for (field, value) in more.as_object().unwrap() {
                payload[field] = value.clone();
            }
            let done = answer(&worker, &payload).await?;
            Ok(serde_json::from_value(done).unwrap())
        }

        async fn run(&self, actor: &str, more: Value) -> Result<Done, Failure> {
            self.run_at(noon, actor, more).await
        }
    }

    fn tiers() -> Tiers {
        Tiers::from_settings(&Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
                "BREAK_GLASS_ARNS" => "arn:aws:iam::123456789012:user/glass",
                "WORKLOAD_ROLE_ARNS" => "arn:aws:iam::123456789012:role/crm",
                "SHARED_ROLE_ARNS" => "arn:aws:iam::123456789012:role/ci/deploy",
                _ => return None,
            };
            Some(value.to_owned())
        }))
        .unwrap()
    }

    fn noon() -> Timestamp {
        "2026-11-25T12:00:00.5Z".parse().unwrap()
    }

    fn a_second_later() -> Timestamp {
        "2026-11-25T12:00:01.5Z".parse().unwrap()
    }

    fn an_hour_later() -> Timestamp {
        "2026-11-25T13:00:00Z".parse().unwrap()
    }

    fn revoked(cutoff: &str) -> String {
        revoke_document(cutoff.parse().unwrap())
    }

    #[tokio::test]
    async fn every_active_key_of_a_user_is_off_and_older_sessions_are_denied() {
        let aws = Aws::user(&[(FIRST, Active), (SECOND, Inactive)]);
        let done = aws.run(EVE, json!({})).await.unwrap();
        assert!(done.changed && done.undo.is_empty());
        insta::assert_snapshot!(done.summary, @"IAM user eve: access key AKIA…MPLE turned off, access key AKIA…7XYZ already off, sessions from before 2026-11-25T12:00:30Z denied");
        assert_eq!(aws.statuses(), [Inactive, Inactive]);
        insta::assert_snapshot!(aws.policy().unwrap(), @r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-25T12:00:30Z"}}}]}"#);
        insta::assert_snapshot!(aws.writes().join("\n"), @r"
        UpdateAccessKey AKIAIOSFODNN7EXAMPLE Inactive
        PutUserPolicy
        ");
        insta::assert_snapshot!(aws.holds(), @r#"
        access-key/AKIAI44QH8DHBEXA7XYZ: {"status":"Inactive"} (i-1)
        access-key/AKIAIOSFODNN7EXAMPLE: {"status":"Active"} (i-1)
        revoke-sessions: {"document":null} (i-1)
        "#);
    }

    #[tokio::test]
    async fn a_second_run_changes_nothing() {
        let aws = Aws::user(&[(FIRST, Active)]);
        aws.run(EVE, json!({})).await.unwrap();
        let (holds, policy) = (aws.holds(), aws.policy());
        aws.writes();
        let done = aws.run_at(a_second_later, EVE, json!({})).await.unwrap();
        assert!(!done.changed && done.undo.is_empty());
        insta::assert_snapshot!(done.summary, @"IAM user eve: access key AKIA…MPLE already off, sessions from before 2026-11-25T12:00:30Z already denied");
        assert_eq!(aws.writes(), [""; 0]);
        assert_eq!((aws.holds(), aws.policy()), (holds, policy));
    }

    #[tokio::test]
    async fn a_run_after_the_cut_off_has_passed_moves_it_forward_and_keeps_the_original() {
        let aws = Aws::role(None);
        aws.run(ADMIN, json!({})).await.unwrap();
        let holds = aws.holds();
        let done = aws.run_at(an_hour_later, ADMIN, json!({})).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"role admin: sessions from before 2026-11-25T13:00:30Z denied");
        assert_eq!(aws.policy(), Some(revoked("2026-11-25T13:00:30Z")));
        assert_eq!(aws.holds(), holds);
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_turned_off_stops_nothing_else() {
        let aws = Aws::user(&[(FIRST, Active), (SECOND, Active)]).refusing(FIRST, "AccessDenied");
        let failure = aws.run(EVE, json!({})).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        insta::assert_snapshot!(failure, @"iam:UpdateAccessKey: AccessDenied: as AWS says; IAM user eve, all the same: access key AKIA…7XYZ turned off, sessions from before 2026-11-25T12:00:30Z denied");
        assert_eq!(aws.statuses(), [Active, Inactive]);
        assert!(aws.policy().is_some());

        aws.granting();
        let done = aws.run(EVE, json!({})).await.unwrap();
        insta::assert_snapshot!(done.summary, @"IAM user eve: access key AKIA…MPLE turned off, access key AKIA…7XYZ already off, sessions from before 2026-11-25T12:00:30Z already denied");
        insta::assert_snapshot!(aws.holds(), @r#"
        access-key/AKIAI44QH8DHBEXA7XYZ: {"status":"Active"} (i-1)
        access-key/AKIAIOSFODNN7EXAMPLE: {"status":"Active"} (i-1)
        revoke-sessions: {"document":null} (i-1)
        "#);
    }

    #[tokio::test]
    async fn of_several_failures_the_transient_one_is_reported_so_that_a_retry_finishes() {
        for (key, policy) in [
            ("AccessDenied", "Throttling"),
            ("Throttling", "AccessDenied"),
        ] {
            let aws = Aws::user(&[(FIRST, Active)])
                .refusing(FIRST, key)
                .refusing("PutUserPolicy", policy);
            let failure = aws.run(EVE, json!({})).await.unwrap_err();
            assert_eq!(failure.name(), "Transient");
        }
    }

    #[tokio::test]
    async fn keys_that_cannot_be_listed_do_not_stop_the_denial() {
        let aws = Aws::user(&[(FIRST, Active)]).refusing("ListAccessKeys", "AccessDenied");
        let failure = aws.run(EVE, json!({})).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        assert!(aws.policy().is_some());
    }

    #[tokio::test]
    async fn a_key_that_was_deleted_meanwhile_counts_as_off() {
        let aws = Aws::user(&[(FIRST, Active)]).refusing(FIRST, "NoSuchEntity");
        let done = aws.run(EVE, json!({})).await.unwrap();
        insta::assert_snapshot!(done.summary, @"IAM user eve: access key AKIA…MPLE is gone, sessions from before 2026-11-25T12:00:30Z denied");
    }

    #[tokio::test]
    async fn when_inline_policies_are_full_the_keys_are_off_all_the_same() {
        let aws = Aws::user(&[(FIRST, Active)]).refusing("PutUserPolicy", "LimitExceeded");
        let done = aws.run(EVE, json!({})).await.unwrap();
        insta::assert_snapshot!(done.summary, @"IAM user eve: access key AKIA…MPLE turned off, AWSRevokeOlderSessions finds no room among the inline policies, so older sessions end with the deny-all policy only");
        assert_eq!(aws.statuses(), [Inactive]);
    }

    #[tokio::test]
    async fn a_federated_session_ends_with_its_issuer() {
        let aws = Aws::user(&[(FIRST, Active)]);
        let federated = json!({"kind": "federated-user", "issuer": EVE, "name": "temp"});
        let done = aws.run(EVE, json!({"actor": federated})).await.unwrap();
        assert!(done.changed && done.summary.starts_with("IAM user eve: "));
        assert_eq!(aws.statuses(), [Inactive]);
    }

    #[tokio::test]
    async fn older_sessions_of_a_role_are_denied() {
        let aws = Aws::role(None);
        let done = aws.run(ADMIN, json!({})).await.unwrap();
        assert!(done.changed);
        insta::assert_snapshot!(done.summary, @"role admin: sessions from before 2026-11-25T12:00:30Z denied");
        assert_eq!(aws.policy(), Some(revoked("2026-11-25T12:00:30Z")));
        assert_eq!(aws.writes(), ["PutRolePolicy"]);
        insta::assert_snapshot!(aws.holds(), @r#"revoke-sessions: {"document":null} (i-1)"#);
    }

    #[tokio::test]
    async fn an_earlier_cut_off_is_moved_forward_and_kept_by_the_hold() {
        let aws = Aws::role(Some(revoked("2026-01-01T00:00:00Z")));
        assert!(aws.run(ADMIN, json!({})).await.unwrap().changed);
        assert_eq!(aws.policy(), Some(revoked("2026-11-25T12:00:30Z")));
        assert!(aws.holds().contains("2026-01-01T00:00:00Z"));
    }

    #[tokio::test]
    async fn a_later_cut_off_never_moves_backwards() {
        for later in [
            "2026-11-25T12:00:01Z",
            "2026-11-25T12:00:31Z",
            "2027-01-01T00:00:00Z",
        ] {
            let aws = Aws::role(Some(revoked(later)));
            let done = aws.run(ADMIN, json!({})).await.unwrap();
            assert!(!done.changed);
            assert!(done.summary.contains(later), "{}", done.summary);
            assert_eq!(aws.writes(), [""; 0]);
            assert!(aws.holds().contains(later), "held by this incident too");
        }
    }

    #[tokio::test]
    async fn a_policy_of_that_name_that_denies_nothing_is_replaced_and_kept_by_the_hold() {
        let weakened = revoked("2027-01-01T00:00:00Z").replace("Deny", "Allow");
        let aws = Aws::role(Some(weakened.clone()));
        assert!(aws.run(ADMIN, json!({})).await.unwrap().changed);
        assert_eq!(aws.policy(), Some(revoked("2026-11-25T12:00:30Z")));
        aws.run(ADMIN, json!({"undo": true})).await.unwrap();
        assert_eq!(aws.policy(), Some(weakened));
    }

    #[tokio::test]
    async fn a_principal_that_is_gone_is_not_found_and_not_held() {
        for (actor, dry_run) in [(EVE, false), (ADMIN, false), (EVE, true), (ADMIN, true)] {
            let aws = Aws::default();
            aws.state().gone = true;
            let failure = aws
                .run(actor, json!({"dryRun": dry_run}))
                .await
                .unwrap_err();
            assert_eq!(failure.name(), "TargetNotFound");
            assert_eq!(aws.writes(), [""; 0]);
            assert_eq!(aws.holds(), "");
        }
    }

    #[tokio::test]
    async fn what_iam_refuses_keeps_its_class() {
        for (call, code, class) in [
            ("GetRolePolicy", "AccessDenied", "AccessDenied"),
            ("GetRole", "ServiceFailure", "Transient"),
            ("PutRolePolicy", "Throttling", "Transient"),
            ("PutRolePolicy", "UnmodifiableEntity", "Protected"),
            ("PutRolePolicy", "MalformedPolicyDocument", "Rejected"),
            ("PutRolePolicy", "NoSuchEntity", "TargetNotFound"),
        ] {
            let aws = Aws::role(None).refusing(call, code);
            let failure = aws.run(ADMIN, json!({})).await.unwrap_err();
            assert_eq!(failure.name(), class, "{call}: {code}");
            assert!(
                !failure.to_string().contains("deny-all policy"),
                "{failure}"
            );
        }
    }

    #[tokio::test]
    async fn whoever_must_not_be_revoked_is_refused_before_any_call() {
        let mut refusals = Vec::new();
        for actor in [
            "arn:aws:sts::123456789012:assumed-role/deploy/run-7",
            "arn:aws:iam::123456789012:role/ci/deploy",
            "arn:aws:sts::123456789012:assumed-role/crm/crm",
            "arn:aws:iam::123456789012:user/glass",
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::999988887777:user/eve",
        ] {
            let aws = Aws::user(&[(FIRST, Active)]);
            let failure = aws.run(actor, json!({})).await.unwrap_err();
            assert_eq!(failure.name(), "Protected");
            assert_eq!((aws.writes().len(), aws.holds().len()), (0, 0));
            refusals.push(failure.to_string());
        }
        insta::assert_snapshot!(refusals.join("\n"), @r"
        role deploy is shared: revoking would cut off everybody; deny-all-policy denies the one session
        role deploy is shared, and which session did it is not known
        role crm is a workload of the CRM: denying it stops patient care, and a thief's session looks like production's
        IAM user glass is break-glass access
        IAM cannot deny root
        the principal belongs to account 999988887777, which this account cannot change
        ");
    }

    #[tokio::test]
    async fn without_the_ledger_it_acts_and_hands_the_undo_over() {
        let aws = Aws::user(&[(FIRST, Active), (SECOND, Inactive)])
            .refusing("ledger", "ServiceUnavailable");
        let done = aws.run(EVE, json!({})).await.unwrap();
        assert!(done.changed);
        assert_eq!(aws.statuses(), [Inactive, Inactive]);
        let undo = serde_json::to_value(&done.undo).unwrap();
        insta::assert_snapshot!(undo, @r#"[{"resource":"arn:aws:iam::123456789012:user/eve","mechanism":"access-key/AKIAIOSFODNN7EXAMPLE","original":{"status":"Active"}},{"resource":"arn:aws:iam::123456789012:user/eve","mechanism":"access-key/AKIAI44QH8DHBEXA7XYZ","original":{"status":"Inactive"}},{"resource":"arn:aws:iam::123456789012:user/eve","mechanism":"revoke-sessions","original":{"document":null}}]"#);

        let undone = aws
            .run(EVE, json!({"undo": true, "holds": undo}))
            .await
            .unwrap();
        assert!(undone.changed);
        insta::assert_snapshot!(undone.summary, @"IAM user eve: access key AKIA…MPLE turned on, access key AKIA…7XYZ left as it is, policy AWSRevokeOlderSessions removed");
        assert_eq!(aws.statuses(), [Active, Inactive]);
        assert_eq!(aws.policy(), None);
    }

    #[tokio::test]
    async fn a_failure_does_not_lose_the_undo_that_the_ledger_does_not_know() {
        let aws = Aws::user(&[(FIRST, Active)])
            .refusing("ledger", "ServiceUnavailable")
            .refusing("PutUserPolicy", "MalformedPolicyDocument");
        let done = aws.run(EVE, json!({})).await.unwrap();
        assert_eq!(done.undo[0].original, json!({"status": "Active"}));
        assert_eq!(
            done.left,
            ["iam:PutUserPolicy: MalformedPolicyDocument: as AWS says"]
        );
    }

    #[tokio::test]
    async fn a_dry_run_only_says_what_it_would_do() {
        for (aws, actor) in [
            (Aws::user(&[(FIRST, Active), (SECOND, Inactive)]), EVE),
            (Aws::role(None), ADMIN),
        ] {
            let done = aws.run(actor, json!({"dryRun": true})).await.unwrap();
            assert!(!done.changed && done.undo.is_empty());
            assert_eq!((aws.writes().len(), aws.holds().len()), (0, 0));
            assert!(done.summary.contains("would be"), "{}", done.summary);
        }
    }

    #[tokio::test]
    async fn an_undo_puts_everything_back_and_only_once() {
        let aws = Aws::user(&[(FIRST, Active), (SECOND, Inactive)]);
        aws.run(EVE, json!({})).await.unwrap();
        let undone = aws.run(EVE, json!({"undo": true})).await.unwrap();
        assert!(undone.changed);
        insta::assert_snapshot!(undone.summary, @"IAM user eve: access key AKIA…MPLE turned on, access key AKIA…7XYZ left as it is, policy AWSRevokeOlderSessions removed");
        assert_eq!(aws.statuses(), [Active, Inactive]);
        assert_eq!((aws.policy(), aws.holds()), (None, String::new()));

        aws.writes();
        let again = aws.run(EVE, json!({"undo": true})).await.unwrap();
        assert!(!again.changed);
        insta::assert_snapshot!(again.summary, @"IAM user eve: this incident holds nothing here");
        assert_eq!(aws.writes(), [""; 0]);
    }

    #[tokio::test]
    async fn the_last_incident_out_puts_back_what_was_before_the_first() {
        let aws = Aws::user(&[(FIRST, Active)]);
        aws.run(EVE, json!({})).await.unwrap();
        let second = json!({"incidentId": "i-2"});
        aws.run_at(an_hour_later, EVE, second).await.unwrap();

        let kept = aws.run(EVE, json!({"undo": true})).await.unwrap();
        assert!(!kept.changed);
        insta::assert_snapshot!(kept.summary, @"IAM user eve: access key AKIA…MPLE still held by another incident, policy AWSRevokeOlderSessions still held by another incident");
        assert_eq!(aws.statuses(), [Inactive]);

        let second = json!({"incidentId": "i-2", "undo": true});
        assert!(aws.run(EVE, second).await.unwrap().changed);
        assert_eq!(aws.statuses(), [Active]);
        assert_eq!((aws.policy(), aws.holds()), (None, String::new()));
    }

    #[tokio::test]
    async fn an_undo_puts_the_earlier_policy_of_a_role_back() {
        let before = Some(revoked("2026-01-01T00:00:00Z"));
        let aws = Aws::role(before.clone());
        aws.run(ADMIN, json!({})).await.unwrap();
        let undone = aws.run(ADMIN, json!({"undo": true})).await.unwrap();
        insta::assert_snapshot!(undone.summary, @"role admin: policy AWSRevokeOlderSessions put back as it was");
        assert_eq!((aws.policy(), aws.holds()), (before, String::new()));
    }

    #[tokio::test]
    async fn what_is_as_it_was_is_left_and_let_go() {
        let aws = Aws::user(&[(FIRST, Active)]);
        aws.run(EVE, json!({})).await.unwrap();
        aws.state().policy = None;
        aws.state().keys[0].1 = Active;
        aws.writes();
        let undone = aws.run(EVE, json!({"undo": true})).await.unwrap();
        assert!(!undone.changed);
        insta::assert_snapshot!(undone.summary, @"IAM user eve: access key AKIA…MPLE left as it is, policy AWSRevokeOlderSessions is as it was");
        assert_eq!((aws.writes().len(), aws.holds().len()), (0, 0));
    }

    #[tokio::test]
    async fn an_undo_of_what_is_gone_is_done() {
        let user = Aws::user(&[(FIRST, Active)]);
        let role = Aws::role(Some(revoked("2026-01-01T00:00:00Z")));
        for (aws, actor) in [(user, EVE), (role, ADMIN)] {
            aws.run(actor, json!({})).await.unwrap();
            aws.state().gone = true;
            let undone = aws.run(actor, json!({"undo": true})).await.unwrap();
            assert!(!undone.changed, "{}", undone.summary);
            assert!(!aws.holds().contains("document"));
        }
    }

    #[tokio::test]
    async fn a_key_deleted_during_the_undo_counts_as_undone() {
        let aws = Aws::user(&[(FIRST, Active)]);
        aws.run(EVE, json!({})).await.unwrap();
        let aws = aws.refusing(FIRST, "NoSuchEntity");
        let undone = aws.run(EVE, json!({"undo": true})).await.unwrap();
        assert!(undone.summary.contains("is gone"), "{}", undone.summary);
        assert_eq!(aws.holds(), "");
    }

    #[tokio::test]
    async fn an_undo_that_fails_keeps_the_hold_and_does_the_rest() {
        let aws = Aws::user(&[(FIRST, Active), (SECOND, Active)]);
        aws.run(EVE, json!({})).await.unwrap();
        let aws = aws.refusing(FIRST, "AccessDenied");
        let failure = aws.run(EVE, json!({"undo": true})).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        assert_eq!(
            (aws.statuses(), aws.policy()),
            (vec![Inactive, Active], None)
        );
        insta::assert_snapshot!(aws.holds(), @r#"access-key/AKIAIOSFODNN7EXAMPLE: {"status":"Active"} (i-1)"#);
    }

    #[tokio::test]
    async fn an_undo_without_the_ledger_changes_nothing() {
        let aws = Aws::user(&[(FIRST, Active)]);
        aws.run(EVE, json!({})).await.unwrap();
        aws.writes();
        let aws = aws.refusing("ledger", "ServiceUnavailable");
        let failure = aws.run(EVE, json!({"undo": true})).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(aws.writes(), [""; 0]);
    }

    #[tokio::test]
    async fn a_hold_that_keeps_no_document_deletes_none() {
        let policy = Some(revoked("2026-11-25T12:00:30Z"));
        let aws = Aws::role(policy.clone());
        let hold = |original| {
            json!({"undo": true, "holds": [
                {"resource": ADMIN, "mechanism": MECHANISM, "original": original},
            ]})
        };
        for original in [json!({}), json!(null), json!({"document": 7})] {
            let failure = aws.run(ADMIN, hold(original)).await.unwrap_err();
            assert_eq!(failure.name(), "Rejected");
        }
        assert_eq!((aws.writes().len(), aws.policy()), (0, policy));
    }

    #[tokio::test]
    async fn a_payload_cannot_write_a_policy_that_does_more_than_deny_older_sessions() {
        let handed = |document: &str| {
            json!({"undo": true, "holds": [
                {"resource": ADMIN, "mechanism": MECHANISM, "original": {"document": document}},
            ]})
        };
        let past = revoked("2026-01-01T00:00:00Z");
        let grant = r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny""#;
        let aws = Aws::role(None);
        for document in [
            past.replace("Deny", "Allow"),
            revoked("2027-01-01T00:00:00Z"),
            "{}".to_owned(),
        ] {
            let failure = aws.run(ADMIN, handed(&document)).await.unwrap_err();
            assert_eq!(failure.name(), "Rejected");
            assert_eq!(aws.writes(), [""; 0]);
        }
        for document in [&past, &past.replacen(r#"{"Effect":"Deny""#, grant, 1)] {
            aws.run(ADMIN, handed(document)).await.unwrap();
            assert_eq!(aws.policy().as_ref(), Some(&past));
        }
    }

    #[tokio::test]
    async fn holds_of_somebody_else_undo_nothing() {
        let aws = Aws::role(Some(revoked("2026-11-25T12:00:30Z")));
        let holds = json!([
            {"resource": EVE, "mechanism": MECHANISM, "original": {"document": null}},
            {"resource": ADMIN, "mechanism": "deny-all-policy", "original": {}},
        ]);
        let undone = aws
            .run(ADMIN, json!({"undo": true, "holds": holds}))
            .await
            .unwrap();
        assert!(!undone.changed);
        assert_eq!(aws.writes(), [""; 0]);
    }

    #[tokio::test]
    async fn an_undo_reaches_a_principal_that_was_protected_meanwhile_but_no_namesake() {
        let handed = |user: &str| {
            let key = format!("access-key/{FIRST}");
            json!({"undo": true, "holds": [
                {"resource": user, "mechanism": key, "original": {"status": "Active"}},
            ]})
        };
        let glass = "arn:aws:iam::123456789012:user/glass";
        let aws = Aws::user(&[(FIRST, Inactive)]);
        assert!(aws.run(glass, handed(glass)).await.unwrap().changed);
        assert_eq!(aws.statuses(), [Active]);

        let elsewhere = "arn:aws:iam::999988887777:user/eve";
        let aws = Aws::user(&[(FIRST, Inactive)]);
        assert!(!aws.run(elsewhere, handed(elsewhere)).await.unwrap().changed);
        assert_eq!(aws.writes(), [""; 0]);
    }

    #[tokio::test]
    async fn a_dry_undo_only_says_what_it_would_do() {
        let before = Some(revoked("2026-01-01T00:00:00Z"));
        let user = Aws::user(&[(FIRST, Active)]);
        let role = Aws::role(before);
        for (aws, actor) in [(user, EVE), (role, ADMIN)] {
            aws.run(actor, json!({})).await.unwrap();
            let holds = aws.holds();
            aws.writes();
            let undone = aws
                .run(actor, json!({"undo": true, "dryRun": true}))
                .await
                .unwrap();
            assert!(!undone.changed);
            assert!(undone.summary.contains("would be"), "{}", undone.summary);
            assert_eq!((aws.writes().len(), aws.holds()), (0, holds));
        }
    }

    #[tokio::test]
    async fn a_payload_that_does_not_fit_names_the_field() {
        for (payload, message) in [
            (
                json!({"actor": "eve"}),
                "`actor`: expected the ARN of a user, a role or a role session",
            ),
            (json!({"extra": 1}), "`extra`: unknown field"),
            (
                json!({"incidentId": "a b"}),
                "`incidentId`: expected the name of an execution",
            ),
        ] {
            let failure = Aws::default().run(EVE, payload).await.unwrap_err();
            assert_eq!(failure.name(), "InvalidInput");
            assert!(failure.to_string().starts_with(message), "{failure}");
        }
    }
}
