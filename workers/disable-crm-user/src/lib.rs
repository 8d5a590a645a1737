//! Disables a user of the CRM and ends all sessions.
//!
//! **Act.** First the user's tokens are put on the deny list that the CRM's authorizer reads for every
//! request: whatever was issued is refused at once, while its signature stays valid until it expires.
//! The entry lasts as long as a token that is issued now, and two minutes more; it never gets shorter.
//! Then the subject is resolved to its user, who is disabled and signed out everywhere, which ends the
//! refresh tokens. A step that fails stops no other: everything is tried before the failure is
//! reported. A subject of `PROTECTED_SUBJECTS` is [`Failure::Protected`], with the calls for a human; a
//! user who does not exist is [`Failure::TargetNotFound`], whose tokens are refused all the same.
//!
//! **What it cannot do.** Without a deny list, issued tokens live until they expire: `left` says until
//! when. The managed login's cookie is not cleared; a disabled user gains nothing by it. A federated
//! user (`EXTERNAL_PROVIDER`) is disabled here and keeps the account at the identity provider, which
//! is left to a human. A reset of the password is offered in the summary, not left to anybody.
//!
//! **Undo.** The last incident that holds the user enables it, unless it was disabled before, and
//! puts the deny list's entry back as it was, or takes it off; an entry that somebody made longer
//! stays. A user who no longer exists counts as undone. Whoever was signed out signs in again. When
//! the ledger was unreachable, the holds that the answer returned are the `holds` of the undo's
//! payload.
//!
//! **Calls.** `dynamodb:GetItem` and `UpdateItem` on the deny list, `DeleteItem` on the undo;
//! `cognito-idp:ListUsers`, `AdminDisableUser`, `AdminUserGlobalSignOut`, or `AdminEnableUser`;
//! `dynamodb:UpdateItem` of the ledger before each change, `GetItem`, `UpdateItem` and `DeleteItem` on
//! the undo. Only the `sub` is asked for, and the username is neither logged nor returned.
//!
//! **A second run** finds the tokens refused and the user disabled, and signs out again, which changes
//! nothing.
//!
//! <https://docs.aws.amazon.com/cognito/latest/developerguide/token-revocation.html>

mod deny_list;
mod directory;

use aws_config::SdkConfig;
use incident::{IncidentId, Settings, Subject, UserPoolId};
use jiff::{SignedDuration, Timestamp};
use ledger::{Done, Hold, Holds, Ledger, Release, Undo};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use worker::{Failure, Worker};

use deny_list::DenyList;
use directory::{Directory, User};

/// The hold on the account.
const ACCOUNT: &str = "disable-crm-user";

/// The hold on the entry of the deny list.
const TOKENS: &str = "deny-list";

/// How long an entry outlives a token that was issued before it was written: some are issued while
/// this still runs.
const MARGIN: SignedDuration = SignedDuration::from_mins(2);

/// Cognito's own default.
const TOKEN_MINUTES: u16 = 60;

/// Who is disabled, and for which incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that holds what is changed.
    pub incident_id: IncidentId,
    /// The CRM's user pool.
    pub user_pool: UserPoolId,
    /// The user.
    pub subject: Subject,
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
pub struct DisableCrmUser {
    cognito: aws_sdk_cognitoidentityprovider::Client,
    user_pool: Option<UserPoolId>,
    deny_list: Option<DenyList>,
    token_life: SignedDuration,
    protected: Vec<Subject>,
    ledger: Ledger,
    now: fn() -> Timestamp,
}

impl DisableCrmUser {
    /// Reads the settings `USER_POOL_ID`, `DENY_LIST_TABLE_NAME`, `TOKEN_MINUTES`,
    /// `PROTECTED_SUBJECTS` and `LEDGER_TABLE`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        let minutes = settings.optional("TOKEN_MINUTES")?.unwrap_or(TOKEN_MINUTES);
        let table = settings.optional("DENY_LIST_TABLE_NAME")?;
        Ok(Self {
            cognito: aws_sdk_cognitoidentityprovider::Client::new(&worker::CONTROL.on(config)),
            user_pool: settings.optional("USER_POOL_ID")?,
            deny_list: table.map(|table| DenyList::new(config, table)),
            token_life: SignedDuration::from_mins(minutes.into()),
            protected: settings.list("PROTECTED_SUBJECTS")?,
            ledger: Ledger::from_settings(config, &settings)?,
            now: Timestamp::now,
        })
    }
}

impl Worker for DisableCrmUser {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        let Some(pool) = &self.user_pool else {
            return Ok(unconfigured(&input));
        };
        if *pool != input.user_pool {
            return Err(Failure::InvalidInput(
                "`userPool`: expected the one that is configured (the template's parameter \
                 UserPoolId)"
                    .to_owned(),
            ));
        }
        let run = Run::new(&input);
        if input.undo {
            return self.undo(run).await;
        }
        if self.protected.contains(&input.subject) {
            return Err(self.protected(&input));
        }
        self.disable(run).await
    }
}

impl DisableCrmUser {
    async fn disable(&self, mut run: Run<'_>) -> Result<Done, Failure> {
        let (input, now) = (run.input, (self.now)());
        let mut holds = self.ledger.holds_for(&input.incident_id, now);
        let tokens = match &self.deny_list {
            Some(list) => Some(self.refuse_tokens(&run, list, &mut holds, now).await),
            None => None,
        };
        let user = self.directory(&run).find().await;
        match &user {
            Ok(Some(user)) => self.shut(&mut run, &mut holds, user).await,
            Ok(None) => run.failures.push(Failure::TargetNotFound(
                "cognito-idp:ListUsers: there is no user with this `sub`".to_owned(),
            )),
            Err(failure) => run.failures.push(failure.clone()),
        }
        // No token was issued to a disabled user after the last change.
        let issued = match &user {
            Ok(Some(user)) if !user.is_enabled => user.modified.unwrap_or(now),
            _ => now,
        };
        let expire = issued.checked_add(self.token_life).unwrap_or(now);
        match tokens {
            Some(mut tokens) => {
                if tokens.until.is_none_or(|until| until < expire) {
                    self.refuse_until(&run, &mut tokens, now + self.token_life + MARGIN)
                        .await;
                }
                run.refused(tokens);
            }
            None if expire > now => run.left.push(format!(
                "tokens of user {} that were issued already are taken until {expire:.0}, since no \
                 deny list is configured (the template's parameter DenyListTableName): until then \
                 block the addresses that they are used from, or let the API's authorizer refuse this \
                 `sub`",
                input.subject
            )),
            None => {}
        }
        run.end(holds.unrecorded())
    }

    /// Sees to it that tokens are refused now, whoever asked for it.
    async fn refuse_tokens<'a>(
        &self,
        run: &Run<'_>,
        list: &'a DenyList,
        holds: &mut Holds<'_>,
        now: Timestamp,
    ) -> Tokens<'a> {
        // The entry is written in any case, unless there is a longer one.
        let entry = list.until(&run.input.subject).await.unwrap_or_default();
        run.hold(
            holds,
            TOKENS,
            json!({"expiresAt": entry.map(Timestamp::as_second)}),
        )
        .await;
        let mut tokens = Tokens {
            list,
            until: entry.filter(|until| *until > now),
            changed: false,
            failure: None,
        };
        if tokens.until.is_none() {
            self.refuse_until(run, &mut tokens, now + self.token_life + MARGIN)
                .await;
        }
        tokens
    }

    async fn refuse_until(&self, run: &Run<'_>, tokens: &mut Tokens<'_>, until: Timestamp) {
        let Input {
            dry_run, subject, ..
        } = run.input;
        let refused = if *dry_run {
            Ok(true)
        } else {
            tokens.list.refuse(subject, until).await
        };
        tokens.failure = None;
        match refused {
            Ok(changed) => {
                tokens.changed |= changed;
                tokens.until = Some(until);
            }
            Err(failure) => tokens.failure = Some(failure),
        }
    }

    /// Disables the user and ends its sessions. One who is disabled is held too: another incident may
    /// have done it, and its release must not enable the user while this incident lasts.
    async fn shut(&self, run: &mut Run<'_>, holds: &mut Holds<'_>, user: &User) {
        let directory = self.directory(run);
        let dry_run = run.input.dry_run;
        run.hold(holds, ACCOUNT, json!({"enabled": user.is_enabled}))
            .await;
        if !user.is_enabled {
            run.found("account already disabled".to_owned());
        } else if dry_run {
            run.note("account", "disabled");
        } else {
            match directory.disable(user).await {
                Ok(()) => run.note("account", "disabled"),
                Err(failure) => run.failures.push(failure),
            }
        }
        if dry_run {
            run.note("sessions", "ended");
        } else {
            match directory.sign_out(user).await {
                Ok(()) => run.found("sessions ended".to_owned()),
                Err(failure) => run.failures.push(failure),
            }
        }
        let (pool, subject) = (&run.input.user_pool, &run.input.subject);
        if user.is_federated {
            run.left.push(format!(
                "user {subject} signs in through an identity provider, where the account still works: \
                 end its sessions and change its password there"
            ));
        } else {
            run.offer = Some(format!(
                "it needs another password before it is enabled again (aws cognito-idp \
                 admin-reset-user-password --user-pool-id {pool} --username {subject}, useless when \
                 the attacker owns the mailbox that the code is sent to)"
            ));
        }
    }

    async fn undo(&self, mut run: Run<'_>) -> Result<Done, Failure> {
        let enabled = self.enable_again(&mut run).await;
        run.failures.extend(enabled.err());
        let taken = self.take_tokens_again(&mut run).await;
        run.failures.extend(taken.err());
        if run.steps.is_empty() && run.failures.is_empty() {
            run.found("this incident holds nothing here".to_owned());
        }
        run.end(Vec::new())
    }

    async fn enable_again(&self, run: &mut Run<'_>) -> Result<(), Failure> {
        let Some(original) = self.release(run, ACCOUNT, "account").await? else {
            return Ok(());
        };
        let Some(was_enabled) = original["enabled"].as_bool() else {
            return Err(unreadable(ACCOUNT));
        };
        let directory = self.directory(run);
        match directory.find().await? {
            None => run.found("account is gone".to_owned()),
            Some(user) if !was_enabled || user.is_enabled => {
                let state = if user.is_enabled {
                    "enabled already"
                } else {
                    "disabled as it was before"
                };
                run.found(format!("account {state}"));
            }
            Some(user) => {
                let enabled = if run.input.dry_run {
                    Ok(())
                } else {
                    directory.enable(&user).await
                };
                match enabled {
                    Ok(()) => run.note("account", "enabled"),
                    Err(Failure::TargetNotFound(_)) => run.found("account is gone".to_owned()),
                    Err(failure) => return Err(failure),
                }
            }
        }
        self.undo_of(run).forget(&run.resource, ACCOUNT).await
    }

    async fn take_tokens_again(&self, run: &mut Run<'_>) -> Result<(), Failure> {
        let what = "entry of the deny list";
        let Some(original) = self.release(run, TOKENS, what).await? else {
            return Ok(());
        };
        let original = match original.get("expiresAt") {
            Some(Value::Null) => None,
            Some(Value::Number(second)) => {
                let at = second.as_i64().map(Timestamp::from_second);
                Some(at.and_then(Result::ok).ok_or_else(|| unreadable(TOKENS))?)
            }
            _ => return Err(unreadable(TOKENS)),
        };
        let (now, subject) = ((self.now)(), &run.input.subject);
        // What lasts longer is not ours.
        let ours = now + self.token_life + MARGIN;
        let entry = match &self.deny_list {
            Some(list) => list.until(subject).await?.map(|until| (list, until)),
            None => None,
        };
        match entry {
            None => run.found(format!("{what} is gone")),
            Some((_, until)) if until > ours => {
                run.found(format!("{what} stays, which somebody made longer"));
            }
            Some((list, _)) => {
                let original = original.filter(|until| *until > now);
                let put_back = run.input.dry_run || list.put_back(subject, original, ours).await?;
                match (put_back, original) {
                    (true, None) => run.note(what, "taken off"),
                    (true, Some(_)) => run.note(what, "put back as it was"),
                    (false, _) => run.found(format!("{what} is as it was")),
                }
            }
        }
        self.undo_of(run).forget(&run.resource, TOKENS).await
    }

    /// The original to put back now; none when this incident does not hold it, or others do too.
    async fn release(
        &self,
        run: &mut Run<'_>,
        mechanism: &str,
        what: &str,
    ) -> Result<Option<Value>, Failure> {
        Ok(
            match self.undo_of(run).release(&run.resource, mechanism).await? {
                Release::Last(original) => Some(original),
                Release::StillHeld => {
                    run.found(format!("{what} still held by another incident"));
                    None
                }
                Release::NotHeld => None,
            },
        )
    }

    fn undo_of<'a>(&'a self, run: &Run<'a>) -> Undo<'a> {
        let input = run.input;
        self.ledger
            .undo_for(&input.incident_id, &input.holds, input.dry_run)
    }

    fn directory<'a>(&'a self, run: &Run<'a>) -> Directory<'a> {
        Directory {
            cognito: &self.cognito,
            pool: &run.input.user_pool,
            subject: &run.input.subject,
        }
    }

    fn protected(&self, input: &Input) -> Failure {
        let denied = match &self.deny_list {
            Some(list) => list.by_hand(&input.subject, (self.now)() + self.token_life + MARGIN),
            None => {
                "no deny list is configured, so issued tokens live until they expire".to_owned()
            }
        };
        Failure::Protected(format!(
            "{} is one of ProtectedSubjects, whom only a human disables: {}; {denied}",
            input.whom(),
            by_hand(input, "disable-user"),
        ))
    }
}

fn unconfigured(input: &Input) -> Done {
    let why = "no user pool is configured (the template's parameter UserPoolId)";
    let action = if input.undo {
        "enable-user"
    } else {
        "disable-user"
    };
    Done {
        changed: false,
        summary: format!("{} is as it was: {why}", input.whom()),
        undo: Vec::new(),
        left: vec![format!("{why}, so by hand: {}", by_hand(input, action))],
    }
}

/// The calls that a human makes. A local user's `sub` is as good as its username.
fn by_hand(input: &Input, action: &str) -> String {
    let (pool, subject) = (&input.user_pool, &input.subject);
    let call = |action: &str| {
        format!("aws cognito-idp admin-{action} --user-pool-id {pool} --username {subject}")
    };
    let sign_out = if action == "disable-user" {
        format!(", then {}", call("user-global-sign-out"))
    } else {
        String::new()
    };
    format!(
        "{}{sign_out} (a federated user by the username that aws cognito-idp list-users \
         --user-pool-id {pool} --filter 'sub = \"{subject}\"' gives)",
        call(action)
    )
}

fn unreadable(mechanism: &str) -> Failure {
    Failure::Rejected(format!(
        "the hold {mechanism} does not say what to put back"
    ))
}

impl Input {
    /// The user, as people are told: never by name.
    fn whom(&self) -> String {
        format!("user {} of user pool {}", self.subject, self.user_pool)
    }
}

/// What is done about issued tokens.
struct Tokens<'a> {
    list: &'a DenyList,
    /// Until when they are refused.
    until: Option<Timestamp>,
    changed: bool,
    failure: Option<Failure>,
}

/// One run: its payload, and how it goes. A step that fails does not stop the next one.
struct Run<'a> {
    input: &'a Input,
    resource: String,
    changed: bool,
    steps: Vec<String>,
    offer: Option<String>,
    left: Vec<String>,
    failures: Vec<Failure>,
}

impl<'a> Run<'a> {
    fn new(input: &'a Input) -> Self {
        Self {
            input,
            resource: format!("crm-user#{}/{}", input.user_pool, input.subject),
            changed: false,
            steps: Vec::new(),
            offer: None,
            left: Vec::new(),
            failures: Vec::new(),
        }
    }

    async fn hold(&self, holds: &mut Holds<'_>, mechanism: &str, original: Value) {
        if !self.input.dry_run {
            holds
                .put(Hold {
                    resource: self.resource.clone(),
                    mechanism: mechanism.to_owned(),
                    original,
                })
                .await;
        }
    }

    fn refused(&mut self, tokens: Tokens<'_>) {
        match (tokens.until, tokens.changed) {
            (Some(until), true) => self.note("tokens", &format!("refused until {until:.0}")),
            (Some(_), false) => self.found("tokens already refused".to_owned()),
            (None, _) => {}
        }
        self.failures.extend(tokens.failure);
    }

    /// What was changed, or would be.
    fn note(&mut self, what: &str, deed: &str) {
        let Input { dry_run, undo, .. } = *self.input;
        self.changed |= !dry_run;
        self.found(match (dry_run, undo) {
            (false, _) => format!("{what} {deed}"),
            (true, false) => format!("{what} would be {deed}"),
            (true, true) => format!("{what} would be {deed}, unless others hold it"),
        });
    }

    /// What was found and needs no change.
    fn found(&mut self, state: String) {
        self.steps.push(state);
    }

    fn end(self, undo: Vec<Hold>) -> Result<Done, Failure> {
        let steps = match self.steps.as_slice() {
            [] => "nothing was done".to_owned(),
            steps => steps.join(", "),
        };
        let offer = self.offer.filter(|_| self.failures.is_empty());
        let offer = offer.map(|offer| format!("; {offer}"));
        let done = Done {
            changed: self.changed,
            summary: format!(
                "{}: {steps}{}",
                self.input.whom(),
                offer.unwrap_or_default()
            ),
            undo,
            left: self.left,
        };
        done.unless(self.failures, "")
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
