use worker::answer;

use super::{
    fake::{Aws, POOL, SUBJECT, USERNAME},
    *,
};

impl Aws {
    fn worker(&self, now: fn() -> Timestamp) -> DisableCrmUser {
        self.state().now = Some(now());
        DisableCrmUser {
            cognito: self.cognito(),
            user_pool: Some(POOL.parse().unwrap()),
            deny_list: Some(DenyList {
                client: self.dynamodb(),
                table: "deny-list".to_owned(),
            }),
            token_life: SignedDuration::from_mins(60),
            protected: vec!["99999999-2222-3333-4444-555555555555".parse().unwrap()],
            ledger: Ledger::new(self.dynamodb(), "ledger"),
            now,
        }
    }

    async fn run_at(&self, now: fn() -> Timestamp, more: Value) -> Result<Done, Failure> {
        done(&self.worker(now), more).await
    }

    async fn run(&self, more: Value) -> Result<Done, Failure> {
        self.run_at(noon, more).await
    }

    /// What a run for `incident` made of it, before another one.
    async fn held_by(self, incident: &str) -> Self {
        self.run(json!({"incidentId": incident})).await.unwrap();
        self.writes();
        self
    }
}

/// The answer to a payload; whatever it is, it never names the user.
async fn done(worker: &DisableCrmUser, more: Value) -> Result<Done, Failure> {
    let mut payload = json!({"incidentId": "i-1", "userPool": POOL, "subject": SUBJECT});
    for (field, value) in more.as_object().unwrap() {
        payload[field] = value.clone();
    }
    let answer = answer(worker, &payload).await;
    let told = format!("{answer:?}");
    assert!(!told.contains(USERNAME) && !told.contains("anna"), "{told}");
    Ok(serde_json::from_value(answer?).unwrap())
}

fn noon() -> Timestamp {
    "2026-11-25T12:00:00.5Z".parse().unwrap()
}

fn ten_minutes_later() -> Timestamp {
    "2026-11-25T12:10:00Z".parse().unwrap()
}

fn two_hours_later() -> Timestamp {
    "2026-11-25T14:00:00Z".parse().unwrap()
}

fn undo() -> Value {
    json!({"undo": true})
}

#[tokio::test]
async fn tokens_are_refused_then_the_user_is_disabled_and_signed_out() {
    let aws = Aws::user();
    let done = aws.run(json!({})).await.unwrap();
    assert!(done.changed && done.undo.is_empty() && done.left.is_empty());
    insta::assert_snapshot!(done.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account disabled, sessions ended, tokens refused until 2026-11-25T13:02:00Z; it needs another password before it is enabled again (aws cognito-idp admin-reset-user-password --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555, useless when the attacker owns the mailbox that the code is sent to)");
    insta::assert_snapshot!(aws.writes().join("\n"), @"
    deny until 2026-11-25T13:02:00Z
    AdminDisableUser
    AdminUserGlobalSignOut
    ");
    insta::assert_snapshot!(aws.holds(), @r#"
    deny-list: {"expiresAt":null} (i-1)
    disable-crm-user: {"enabled":true} (i-1)
    "#);
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T13:02:00Z");
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let aws = Aws::user().held_by("i-1").await;
    let (holds, denied) = (aws.holds(), aws.denied_until());
    let done = aws.run_at(ten_minutes_later, json!({})).await.unwrap();
    assert!(!done.changed && done.left.is_empty());
    insta::assert_snapshot!(done.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account already disabled, sessions ended, tokens already refused; it needs another password before it is enabled again (aws cognito-idp admin-reset-user-password --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555, useless when the attacker owns the mailbox that the code is sent to)");
    assert_eq!(aws.writes(), ["AdminUserGlobalSignOut"]);
    assert_eq!((aws.holds(), aws.denied_until()), (holds, denied));
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let aws = Aws::user();
    let done = aws.run(json!({"dryRun": true})).await.unwrap();
    assert!(!done.changed);
    insta::assert_snapshot!(done.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account would be disabled, sessions would be ended, tokens would be refused until 2026-11-25T13:02:00Z; it needs another password before it is enabled again (aws cognito-idp admin-reset-user-password --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555, useless when the attacker owns the mailbox that the code is sent to)");
    let aws = aws.held_by("i-1").await;
    let holds = aws.holds();
    let done = aws
        .run(json!({"dryRun": true, "undo": true}))
        .await
        .unwrap();
    assert!(!done.changed);
    insta::assert_snapshot!(done.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account would be enabled, unless others hold it, entry of the deny list would be taken off, unless others hold it");
    assert_eq!((aws.writes(), aws.holds()), (vec![], holds));
}

#[tokio::test]
async fn a_user_enabled_again_meanwhile_is_disabled_and_the_entry_lasts_longer() {
    let aws = Aws::user().held_by("i-1").await;
    aws.state().accounts[0].is_enabled = true;
    let done = aws.run_at(ten_minutes_later, json!({})).await.unwrap();
    assert!(done.changed);
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T13:12:00Z");
    assert!(!aws.is_enabled());
}

#[tokio::test]
async fn an_entry_never_gets_shorter() {
    let far = "2027-01-01T00:00:00Z";
    let aws = Aws::user().denied(far);
    let done = aws.run(json!({})).await.unwrap();
    insta::assert_snapshot!(done.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account disabled, sessions ended, tokens already refused; it needs another password before it is enabled again (aws cognito-idp admin-reset-user-password --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555, useless when the attacker owns the mailbox that the code is sent to)");
    assert_eq!(aws.denied_until().unwrap(), far);
}

#[tokio::test]
async fn an_entry_that_is_over_or_too_short_for_the_last_token_is_made_longer() {
    for (disabled, before, after) in [
        // Over.
        (
            "2026-11-01T00:00:00Z",
            "2026-11-25T11:59:59Z",
            "2026-11-25T13:02:00Z",
        ),
        // Somebody disabled the user a minute ago and refused the tokens for a minute.
        (
            "2026-11-25T11:59:00Z",
            "2026-11-25T12:01:00Z",
            "2026-11-25T13:02:00Z",
        ),
        // The last token expires before it.
        (
            "2026-11-25T11:00:30Z",
            "2026-11-25T12:01:00Z",
            "2026-11-25T12:01:00Z",
        ),
    ] {
        let aws = Aws::disabled(disabled).denied(before);
        aws.run(json!({})).await.unwrap();
        assert_eq!(aws.denied_until().unwrap(), after, "{before}");
    }
    let aws = Aws::disabled("2026-11-25T11:00:30Z").denied("2026-11-25T12:01:00Z");
    aws.state().accounts[0].modified = None;
    aws.run(json!({})).await.unwrap();
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T13:02:00Z");
}

#[tokio::test]
async fn a_user_who_does_not_exist_is_not_found_and_refused_all_the_same() {
    let aws = Aws::default();
    let failure = aws.run(json!({})).await.unwrap_err();
    assert_eq!(failure.name(), "TargetNotFound");
    insta::assert_snapshot!(failure, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: tokens refused until 2026-11-25T13:02:00Z; failed: cognito-idp:ListUsers: there is no user with this `sub`");
    assert_eq!(aws.writes(), ["deny until 2026-11-25T13:02:00Z"]);
}

#[tokio::test]
async fn a_step_that_fails_stops_no_other() {
    for (refused, code, class, written) in [
        (
            "deny UpdateItem",
            "AccessDeniedException",
            "AccessDenied",
            &["AdminDisableUser", "AdminUserGlobalSignOut"][..],
        ),
        (
            "ListUsers",
            "TooManyRequestsException",
            "Transient",
            &["deny until 2026-11-25T13:02:00Z"],
        ),
        (
            "ListUsers",
            "NotAuthorizedException",
            "AccessDenied",
            &["deny until 2026-11-25T13:02:00Z"],
        ),
        (
            "ListUsers",
            "ResourceNotFoundException",
            "TargetNotFound",
            &["deny until 2026-11-25T13:02:00Z"],
        ),
        (
            "AdminDisableUser",
            "TooManyRequestsException",
            "Transient",
            &[
                "deny until 2026-11-25T13:02:00Z",
                "AdminDisableUser",
                "AdminUserGlobalSignOut",
            ],
        ),
        (
            "AdminUserGlobalSignOut",
            "InvalidParameterException",
            "Rejected",
            &[
                "deny until 2026-11-25T13:02:00Z",
                "AdminDisableUser",
                "AdminUserGlobalSignOut",
            ],
        ),
        (
            "AdminUserGlobalSignOut",
            "UserNotFoundException",
            "TargetNotFound",
            &[
                "deny until 2026-11-25T13:02:00Z",
                "AdminDisableUser",
                "AdminUserGlobalSignOut",
            ],
        ),
    ] {
        let aws = Aws::user().refusing(refused, code);
        let failure = aws.run(json!({})).await.unwrap_err();
        assert_eq!(failure.name(), class, "{refused} {code}");
        assert_eq!(aws.writes(), written, "{refused} {code}");

        // A half-done run is finished by the next one.
        aws.granting();
        aws.run_at(ten_minutes_later, json!({})).await.unwrap();
        assert!(!aws.is_enabled() && aws.denied_until().is_some());
        insta::allow_duplicates! {
            insta::assert_snapshot!(aws.holds().lines().next().unwrap(), @r#"deny-list: {"expiresAt":null} (i-1)"#);
        }
    }
}

#[tokio::test]
async fn a_failure_says_what_was_done_and_names_nobody() {
    let aws = Aws::user().refusing("AdminUserGlobalSignOut", "InvalidParameterException");
    insta::assert_snapshot!(aws.run(json!({})).await.unwrap_err(), @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account disabled, tokens refused until 2026-11-25T13:02:00Z; failed: cognito-idp:AdminUserGlobalSignOut: InvalidParameterException: as AWS says of …");
}

#[tokio::test]
async fn of_several_failures_the_transient_one_is_reported_so_that_a_retry_finishes() {
    for (list, account) in [
        ("AccessDeniedException", "TooManyRequestsException"),
        ("ThrottlingException", "NotAuthorizedException"),
    ] {
        let aws = Aws::user()
            .refusing("deny UpdateItem", list)
            .refusing("AdminDisableUser", account);
        let failure = aws.run(json!({})).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_written_all_the_same() {
    let aws = Aws::user().refusing("deny GetItem", "AccessDeniedException");
    let done = aws.run(json!({})).await.unwrap();
    assert!(done.changed);
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T13:02:00Z");
}

#[tokio::test]
async fn several_users_of_one_subject_are_disabled_by_nobody() {
    let aws = Aws::user();
    let account = aws.state().accounts[0];
    aws.state().accounts.push(account);
    let failure = aws.run(json!({})).await.unwrap_err();
    assert_eq!(failure.name(), "Rejected");
    assert_eq!(aws.writes(), ["deny until 2026-11-25T13:02:00Z"]);
}

#[tokio::test]
async fn a_federated_user_is_disabled_and_the_identity_provider_left_to_a_human() {
    let aws = Aws::user();
    aws.state().accounts[0].is_federated = true;
    let done = aws.run(json!({})).await.unwrap();
    assert!(!aws.is_enabled());
    insta::assert_snapshot!(done.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account disabled, sessions ended, tokens refused until 2026-11-25T13:02:00Z");
    insta::assert_snapshot!(done.left.join("\n"), @"user 11111111-2222-3333-4444-555555555555 signs in through an identity provider, where the account still works: end its sessions and change its password there");
}

#[tokio::test]
async fn without_a_deny_list_a_human_is_told_how_long_tokens_live() {
    let aws = Aws::user();
    let worker = |now| DisableCrmUser {
        deny_list: None,
        ..aws.worker(now)
    };
    let first = done(&worker(noon), json!({})).await.unwrap();
    insta::assert_snapshot!(first.left.join("\n"), @"tokens of user 11111111-2222-3333-4444-555555555555 that were issued already are taken until 2026-11-25T13:00:00Z, since no deny list is configured (the template's parameter DenyListTableName): until then block the addresses that they are used from, or let the API's authorizer refuse this `sub`");
    assert_eq!(aws.writes(), ["AdminDisableUser", "AdminUserGlobalSignOut"]);
    insta::assert_snapshot!(aws.holds(), @r#"disable-crm-user: {"enabled":true} (i-1)"#);

    let again = done(&worker(ten_minutes_later), json!({})).await.unwrap();
    assert_eq!(again.left, first.left, "the last token is as old as before");
    let later = done(&worker(two_hours_later), json!({})).await.unwrap();
    assert!(later.left.is_empty(), "the last token has expired");
}

#[tokio::test]
async fn a_protected_user_is_left_to_a_human_with_the_calls() {
    let aws = Aws::user();
    let worker = DisableCrmUser {
        protected: vec![SUBJECT.parse().unwrap()],
        ..aws.worker(noon)
    };
    let failure = done(&worker, json!({})).await.unwrap_err();
    assert_eq!(failure.name(), "Protected");
    insta::assert_snapshot!(failure, @r#"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab is one of ProtectedSubjects, whom only a human disables: aws cognito-idp admin-disable-user --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555, then aws cognito-idp admin-user-global-sign-out --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555 (a federated user by the username that aws cognito-idp list-users --user-pool-id eu-west-1_ExAmPl3Ab --filter 'sub = "11111111-2222-3333-4444-555555555555"' gives); issued tokens are refused by aws dynamodb put-item --table-name deny-list --item '{"subject":{"S":"11111111-2222-3333-4444-555555555555"},"expiresAt":{"N":"1795611720"}}'"#);
    let worker = DisableCrmUser {
        deny_list: None,
        ..worker
    };
    let failure = done(&worker, json!({})).await.unwrap_err();
    assert!(
        failure.to_string().ends_with("live until they expire"),
        "{failure}"
    );
    assert_eq!((aws.writes(), aws.holds()), (vec![], String::new()));
    // Letting go is always safe.
    done(&worker, undo()).await.unwrap();
}

#[tokio::test]
async fn another_pool_and_what_is_no_user_is_refused() {
    let aws = Aws::user();
    for (more, message) in [
        (
            json!({"userPool": "eu-west-1_AnOther"}),
            "`userPool`: expected the one that is configured (the template's parameter UserPoolId)",
        ),
        (
            json!({"subject": "anna\" or 1=1"}),
            "`subject`: expected a `sub`, like 11111111-2222-3333-4444-555555555555",
        ),
    ] {
        let failure = aws.run(more).await.unwrap_err();
        assert_eq!(failure.name(), "InvalidInput");
        assert_eq!(failure.to_string(), message);
    }
    assert_eq!(aws.writes(), [""; 0]);
}

#[tokio::test]
async fn without_a_pool_a_human_is_told_what_to_call() {
    let aws = Aws::user();
    let worker = DisableCrmUser {
        user_pool: None,
        ..aws.worker(noon)
    };
    let mut told = Vec::new();
    for more in [json!({}), undo()] {
        let done = done(&worker, more).await.unwrap();
        assert!(!done.changed);
        told.push(done.left.join("\n"));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    no user pool is configured (the template's parameter UserPoolId), so by hand: aws cognito-idp admin-disable-user --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555, then aws cognito-idp admin-user-global-sign-out --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555 (a federated user by the username that aws cognito-idp list-users --user-pool-id eu-west-1_ExAmPl3Ab --filter 'sub = "11111111-2222-3333-4444-555555555555"' gives)
    no user pool is configured (the template's parameter UserPoolId), so by hand: aws cognito-idp admin-enable-user --user-pool-id eu-west-1_ExAmPl3Ab --username 11111111-2222-3333-4444-555555555555 (a federated user by the username that aws cognito-idp list-users --user-pool-id eu-west-1_ExAmPl3Ab --filter 'sub = "11111111-2222-3333-4444-555555555555"' gives)
    "#);
    assert_eq!(aws.writes(), [""; 0]);
}

#[tokio::test]
async fn an_unreachable_ledger_stops_nothing_and_the_answer_carries_the_undo() {
    let aws = Aws::user().refusing("ledger", "ThrottlingException");
    let done = aws.run(json!({})).await.unwrap();
    assert!(done.changed && !aws.is_enabled());
    let holds = serde_json::to_value(&done.undo).unwrap();
    insta::assert_snapshot!(holds, @r#"[{"resource":"crm-user#eu-west-1_ExAmPl3Ab/11111111-2222-3333-4444-555555555555","mechanism":"deny-list","original":{"expiresAt":null}},{"resource":"crm-user#eu-west-1_ExAmPl3Ab/11111111-2222-3333-4444-555555555555","mechanism":"disable-crm-user","original":{"enabled":true}}]"#);
    aws.writes();

    let undone = aws
        .run(json!({"undo": true, "holds": holds}))
        .await
        .unwrap();
    assert!(undone.changed && aws.is_enabled());
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account enabled, entry of the deny list taken off");
    assert_eq!(aws.denied_until(), None);
}

#[tokio::test]
async fn what_failed_is_left_where_the_ledger_does_not_know_what_was_done() {
    let aws = Aws::user()
        .refusing("ledger", "AccessDeniedException")
        .refusing("AdminUserGlobalSignOut", "TooManyRequestsException");
    let done = aws.run(json!({})).await.unwrap();
    assert_eq!(done.undo.len(), 2);
    insta::assert_snapshot!(done.left.join("\n"), @"cognito-idp:AdminUserGlobalSignOut: TooManyRequestsException: as AWS says of …");
}

#[tokio::test]
async fn an_undo_enables_the_user_and_takes_the_entry_off() {
    let aws = Aws::user().held_by("i-1").await;
    let undone = aws.run(undo()).await.unwrap();
    assert!(undone.changed && aws.is_enabled());
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account enabled, entry of the deny list taken off");
    assert_eq!(aws.writes(), ["AdminEnableUser", "deny no longer"]);
    assert_eq!(aws.holds(), "");

    let again = aws.run(undo()).await.unwrap();
    assert!(!again.changed);
    insta::assert_snapshot!(again.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: this incident holds nothing here");
    assert_eq!(aws.writes(), [""; 0]);
}

#[tokio::test]
async fn the_last_incident_out_lets_go() {
    let aws = Aws::user().held_by("i-1").await.held_by("i-2").await;
    let first = aws.run(undo()).await.unwrap();
    assert!(!first.changed && !aws.is_enabled());
    insta::assert_snapshot!(first.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account still held by another incident, entry of the deny list still held by another incident");
    let last = aws
        .run(json!({"incidentId": "i-2", "undo": true}))
        .await
        .unwrap();
    assert!(last.changed && aws.is_enabled());
    assert_eq!((aws.denied_until(), aws.holds()), (None, String::new()));
}

#[tokio::test]
async fn a_user_who_was_disabled_before_stays_so() {
    let aws = Aws::disabled("2026-11-01T00:00:00Z").held_by("i-1").await;
    let undone = aws.run(undo()).await.unwrap();
    assert!(!aws.is_enabled());
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account disabled as it was before, entry of the deny list taken off");
    assert_eq!(aws.writes(), ["deny no longer"]);
}

#[tokio::test]
async fn a_user_enabled_by_hand_and_an_entry_that_is_gone_need_no_undo() {
    let aws = Aws::user().held_by("i-1").await;
    aws.state().accounts[0].is_enabled = true;
    aws.state().denied_until = None;
    let undone = aws.run(undo()).await.unwrap();
    assert!(!undone.changed);
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account enabled already, entry of the deny list is gone");
    assert_eq!((aws.writes(), aws.holds()), (vec![], String::new()));
}

#[tokio::test]
async fn an_undo_puts_back_an_entry_of_before_and_leaves_one_that_was_made_longer() {
    let aws = Aws::user()
        .denied("2026-11-25T12:30:00Z")
        .held_by("i-1")
        .await;
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T13:02:00Z");
    let undone = aws.run(undo()).await.unwrap();
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account enabled, entry of the deny list put back as it was");
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T12:30:00Z");

    // Over by now: it is not put back.
    let aws = Aws::user()
        .denied("2026-11-25T12:05:00Z")
        .held_by("i-1")
        .await;
    aws.run_at(ten_minutes_later, undo()).await.unwrap();
    assert_eq!(aws.denied_until(), None);

    let aws = Aws::user()
        .held_by("i-1")
        .await
        .denied("2027-01-01T00:00:00Z");
    let undone = aws.run(undo()).await.unwrap();
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account enabled, entry of the deny list stays, which somebody made longer");
    assert_eq!(aws.denied_until().unwrap(), "2027-01-01T00:00:00Z");

    let aws = Aws::user()
        .denied("2026-11-25T13:01:00Z")
        .held_by("i-1")
        .await;
    let undone = aws.run(undo()).await.unwrap();
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account enabled, entry of the deny list is as it was");
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T13:01:00Z");
}

#[tokio::test]
async fn a_user_who_is_gone_counts_as_undone() {
    let aws = Aws::user().held_by("i-1").await;
    aws.state().accounts.clear();
    let undone = aws.run(undo()).await.unwrap();
    insta::assert_snapshot!(undone.summary, @"user 11111111-2222-3333-4444-555555555555 of user pool eu-west-1_ExAmPl3Ab: account is gone, entry of the deny list taken off");
    assert_eq!((aws.denied_until(), aws.holds()), (None, String::new()));

    let aws = Aws::user()
        .held_by("i-1")
        .await
        .refusing("AdminEnableUser", "UserNotFoundException");
    aws.run(undo()).await.unwrap();
    assert_eq!(aws.holds(), "");
}

#[tokio::test]
async fn an_undo_that_fails_keeps_its_hold_and_stops_no_other() {
    for (refused, code, class, kept) in [
        (
            "AdminEnableUser",
            "TooManyRequestsException",
            "Transient",
            ACCOUNT,
        ),
        (
            "ListUsers",
            "NotAuthorizedException",
            "AccessDenied",
            ACCOUNT,
        ),
        ("deny GetItem", "ThrottlingException", "Transient", TOKENS),
        (
            "deny DeleteItem",
            "AccessDeniedException",
            "AccessDenied",
            TOKENS,
        ),
    ] {
        let aws = Aws::user().held_by("i-1").await.refusing(refused, code);
        let failure = aws.run(undo()).await.unwrap_err();
        assert_eq!(failure.name(), class, "{refused}");
        assert!(aws.holds().starts_with(kept) && aws.holds().lines().count() == 1);
        aws.granting();
        aws.run(undo()).await.unwrap();
        assert!(aws.is_enabled() && aws.denied_until().is_none());
        assert_eq!(aws.holds(), "");
    }
    let aws = Aws::user()
        .held_by("i-1")
        .await
        .refusing("ledger", "ThrottlingException");
    let failure = aws.run(undo()).await.unwrap_err();
    assert_eq!(failure.name(), "Transient");
    assert_eq!(aws.writes(), [""; 0]);
}

#[tokio::test]
async fn holds_that_say_nothing_put_nothing_back() {
    let aws = Aws::user().held_by("i-1").await;
    for (mechanism, original) in [
        (ACCOUNT, json!({})),
        (TOKENS, json!({})),
        (TOKENS, json!({"expiresAt": "soon"})),
        (TOKENS, json!({"expiresAt": 1.5})),
        (TOKENS, json!({"expiresAt": i64::MAX})),
    ] {
        let hold = json!({
            "resource": format!("crm-user#{POOL}/{SUBJECT}"),
            "mechanism": mechanism,
            "original": original,
        });
        let undo = json!({"incidentId": "i-1", "undo": true, "holds": [hold]});
        let failure = aws.run(undo).await.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
    }
    assert_eq!(aws.writes(), [""; 0]);
}

#[tokio::test]
async fn a_hold_that_is_handed_over_never_makes_an_entry_longer() {
    let aws = Aws::user().denied("2026-11-25T12:30:00Z");
    let far = noon().as_second() + 1_000_000;
    let hold = json!({
        "resource": format!("crm-user#{POOL}/{SUBJECT}"),
        "mechanism": TOKENS,
        "original": {"expiresAt": far},
    });
    let undone = aws
        .run(json!({"undo": true, "holds": [hold]}))
        .await
        .unwrap();
    assert!(!undone.changed);
    assert_eq!(aws.denied_until().unwrap(), "2026-11-25T12:30:00Z");
}

#[tokio::test]
async fn a_deny_list_that_is_no_longer_configured_needs_no_undo() {
    let aws = Aws::user().held_by("i-1").await;
    let worker = DisableCrmUser {
        deny_list: None,
        ..aws.worker(noon)
    };
    done(&worker, undo()).await.unwrap();
    assert!(aws.is_enabled());
    assert_eq!(aws.holds(), "");
}
