use std::time::Duration;

use aws_sdk_iam::types::StatusType::{Active, Inactive};
use incident::Settings;
use serde_json::{Value, json};
use tokio::time::Instant;
use worker::answer;

use super::{
    fake::{Aws, State, Version},
    *,
};

const EVE: &str = "arn:aws:iam::123456789012:user/eve";
const ADMIN: &str = "arn:aws:iam::123456789012:role/admin";
const STAFF: &str = "arn:aws:iam::123456789012:group/staff";
const CRM: &str = "arn:aws:iam::123456789012:role/crm";
const DENY: &str = "arn:aws:iam::123456789012:policy/deny";
const FULL: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
const OURS: &str = "arn:aws:iam::123456789012:policy/ours";
const OLD: &str = "AKIAIOSFODNN7EXAMPLE";
const NEW: &str = "AKIAI44QH8DHBEXA7XYZ";
const NEWER: &str = "AKIAI44QH8DHBEXA8ABC";

const EVERYTHING: &str = r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const LITTLE: &str = r#"{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
const DENIAL: &str = r#"{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
const OPENED: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::999988887777:root","arn:aws:iam::123456789012:user/bob"],"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const FOREIGN: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"999988887777"},"Action":"sts:AssumeRole"}]}"#;
const OWN: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

impl Aws {
    async fn run(&self, payload: Value) -> Result<Done, Failure> {
        let settings = Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "PARTITION" => "aws",
                "STACK_NAME" => "guard",
                "DENY_POLICY_ARN" => DENY,
                "BREAK_GLASS_ARNS" => "arn:aws:iam::123456789012:user/glass",
                "OPERATOR_ROLE_ARNS" => "arn:aws:iam::123456789012:role/operator",
                "WORKLOAD_ROLE_ARNS" => CRM,
                "SHARED_ROLE_ARNS" => "arn:aws:iam::123456789012:role/deploy",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let worker = RollBackGrant {
            iam: self.iam(),
            ledger: self.ledger(),
            tiers: Tiers::from_settings(&settings).unwrap(),
            responders: responder_roles(&settings).unwrap(),
            now: || "2026-11-25T12:00:00Z".parse().unwrap(),
        };
        let answer = answer(&worker, &payload).await?;
        Ok(serde_json::from_value(answer).unwrap())
    }

    async fn done(&self, payload: Value) -> Done {
        self.run(payload).await.unwrap()
    }

    /// Whether all is there that is in `state`, and as it is there.
    fn is_as(&self, state: &State) -> bool {
        let now = self.state();
        now.attached == state.attached
            && now.inline == state.inline
            && now.default == state.default
            && now.groups == state.groups
            && now.keys == state.keys
            && now.password == state.password
            && now.trust == state.trust
    }

    async fn summary(&self, payload: Value) -> String {
        self.done(payload).await.summary
    }

    async fn fails(&self, payload: Value) -> (&'static str, String) {
        let failure = self.run(payload).await.unwrap_err();
        (failure.name(), failure.to_string())
    }
}

fn payload(grant: Value) -> Value {
    json!({"incidentId": "i-1", "grant": grant, "occurredAt": "2026-11-25T11:58:00Z"})
}

fn with(mut payload: Value, field: &str, value: impl Into<Value>) -> Value {
    payload[field] = value.into();
    payload
}

fn undo(payload: Value) -> Value {
    with(payload, "undo", true)
}

fn dry(payload: Value) -> Value {
    with(payload, "dryRun", true)
}

fn second(payload: Value) -> Value {
    with(payload, "incidentId", "i-2")
}

fn attached(grantee: &str) -> Value {
    payload(json!({"kind": "attached-policy", "grantee": grantee, "policy": FULL}))
}

fn inline(grantee: &str) -> Value {
    payload(json!({"kind": "inline-policy", "grantee": grantee, "name": "extra"}))
}

fn version(policy: &str, version: &str) -> Value {
    payload(json!({"kind": "policy-version", "policy": policy, "version": version}))
}

fn membership() -> Value {
    payload(json!({"kind": "membership", "user": EVE, "group": STAFF}))
}

fn keys() -> Value {
    payload(json!({"kind": "access-key", "user": EVE}))
}

fn password() -> Value {
    payload(json!({"kind": "login-profile", "user": EVE}))
}

fn trust(role: &str) -> Value {
    payload(json!({"kind": "trust", "role": role}))
}

fn role(role: &str) -> Value {
    payload(json!({"kind": "role", "role": role}))
}

fn boundary(principal: &str) -> Value {
    payload(json!({"kind": "boundary", "principal": principal}))
}

fn made(id: &'static str, made: &'static str, document: &str) -> Version {
    Version {
        id,
        made,
        document: document.to_owned(),
    }
}

/// Everything that an attacker can have granted.
fn granted() -> State {
    State {
        attached: [FULL.to_owned()].into(),
        inline: [("extra".to_owned(), EVERYTHING.to_owned())].into(),
        versions: vec![
            made("v1", "2026-01-01T00:00:00Z", LITTLE),
            made("v2", "2026-11-25T11:58:00Z", EVERYTHING),
        ],
        default: "v2".to_owned(),
        groups: ["staff".to_owned()].into(),
        keys: vec![
            (OLD, "2026-01-01T00:00:00Z", Active),
            (NEW, "2026-11-25T11:58:00Z", Active),
        ],
        password: true,
        trust: OPENED.to_owned(),
        ..State::default()
    }
}

/// One of each that is taken back.
fn all() -> [Value; 8] {
    [
        attached(EVE),
        inline(EVE),
        version(OURS, "v2"),
        membership(),
        keys(),
        password(),
        trust(ADMIN),
        role(ADMIN),
    ]
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_grant_is_held_and_then_taken_back() {
    let mut told = Vec::new();
    for grant in all() {
        let aws = Aws::with(granted());
        let done = aws.done(grant).await;
        assert!(done.changed && done.undo.is_empty() && done.left.is_empty());
        told.extend([done.summary, aws.holds(), aws.writes().join(", then ")]);
    }
    insta::assert_snapshot!(lines(told));
}

#[tokio::test]
async fn users_roles_and_groups_are_rolled_back_alike_whatever_their_path() {
    for path in [
        "user/eve",
        "user/staff/eve",
        "role/x/admin",
        "group/y/staff",
    ] {
        let grantee = format!("arn:aws:iam::123456789012:{path}");
        let aws = Aws::with(granted());
        assert!(aws.done(attached(&grantee)).await.changed);
        assert!(aws.done(inline(&grantee)).await.changed);
        let state = aws.state();
        assert!(state.attached.is_empty() && state.inline.is_empty());
    }
    let aws = Aws::with(granted());
    aws.done(attached("arn:aws:iam::123456789012:group/y/staff"))
        .await;
    assert!(aws.holds().starts_with("group/staff attached-policy/"));
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_keeps_the_original() {
    for grant in all() {
        let aws = Aws::with(granted());
        aws.done(grant.clone()).await;
        let held = aws.holds();
        aws.writes();
        let again = aws.done(grant.clone()).await;
        assert!(!again.changed && again.left.is_empty(), "{}", again.summary);
        assert_eq!(aws.holds(), held);
        aws.done(second(grant)).await;
        assert_eq!(aws.holds(), held.replace("(i-1)", "(i-1, i-2)"));
        let writes = aws.writes();
        assert!(
            writes.iter().all(|call| call.starts_with("Hold")),
            "{writes:?}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let mut told = Vec::new();
    for grant in all() {
        let aws = Aws::with(granted());
        let done = aws.done(dry(grant)).await;
        assert!(!done.changed);
        assert_eq!(aws.writes(), [""; 0]);
        told.push(done.summary);
    }
    insta::assert_snapshot!(lines(told), @"
    policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/eve: would be detached
    inline policy extra of arn:aws:iam::123456789012:user/eve: would be deleted
    default version v2 of policy arn:aws:iam::123456789012:policy/ours: would be set back from v2 to v1, v2 kept
    membership of arn:aws:iam::123456789012:user/eve in arn:aws:iam::123456789012:group/staff: would be taken out
    access key of arn:aws:iam::123456789012:user/eve: would be turned off: AKIA…7XYZ
    password of arn:aws:iam::123456789012:user/eve: would be deleted
    trust of arn:aws:iam::123456789012:role/admin: would be closed to account 999988887777
    new role arn:aws:iam::123456789012:role/admin: would be closed to account 999988887777
    ");
}

#[tokio::test]
async fn whoever_is_gone_took_the_grant_along() {
    let boundary = boundary(EVE);
    for grant in all().into_iter().chain([boundary]) {
        let aws = Aws::with(State {
            gone: true,
            ..granted()
        });
        let done = aws.done(grant).await;
        assert!(!done.changed && done.left.is_empty(), "{}", done.summary);
        assert_eq!(aws.state().attached.len(), 1);
    }
    let aws = Aws::with(State {
        gone: true,
        ..granted()
    });
    insta::assert_snapshot!(aws.summary(attached(EVE)).await, @"policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/eve: gone with it (IAM user eve does not exist (iam:ListAttachedUserPolicies: NoSuchEntity: as AWS says))");
    insta::assert_snapshot!(aws.summary(keys()).await, @"access key of arn:aws:iam::123456789012:user/eve: gone with it (iam:ListAccessKeys: NoSuchEntity: as AWS says)");
}

#[tokio::test]
async fn what_is_not_there_any_more_is_taken_back() {
    let mut told = Vec::new();
    for grant in all() {
        let aws = Aws::with(State {
            trust: OWN.to_owned(),
            versions: vec![made("v1", "2026-01-01T00:00:00Z", LITTLE)],
            default: "v1".to_owned(),
            ..State::default()
        });
        let done = aws.done(grant).await;
        assert!(!done.changed);
        told.extend([done.summary, aws.holds()]);
    }
    insta::assert_snapshot!(lines(told));
}

#[tokio::test]
async fn an_earlier_run_that_stopped_halfway_is_finished() {
    let aws = Aws::with(granted()).refusing("Detach", "ServiceFailure");
    let (class, _) = aws.fails(attached(EVE)).await;
    assert_eq!(class, "Transient");
    aws.granting();
    assert!(aws.done(attached(EVE)).await.changed);
    aws.done(undo(attached(EVE))).await;
    assert_eq!(aws.state().attached.len(), 1);
}

#[tokio::test]
async fn without_a_ledger_it_acts_all_the_same_and_hands_over_the_undo() {
    for grant in all() {
        let aws = Aws::with(granted()).without_ledger();
        let done = aws.done(grant).await;
        assert!(done.changed);
        assert_eq!(done.undo.len(), 1);
    }
}

#[tokio::test]
async fn the_policy_that_denies_is_never_detached() {
    let grant = json!({"kind": "attached-policy", "grantee": EVE, "policy": DENY});
    let aws = Aws::with(State {
        attached: [DENY.to_owned()].into(),
        ..State::default()
    });
    let (class, why) = aws.fails(payload(grant)).await;
    assert_eq!((class, aws.writes()), ("Protected", vec![]));
    insta::assert_snapshot!(why, @"policy arn:aws:iam::123456789012:policy/deny attached to arn:aws:iam::123456789012:user/eve: the policy that denies is no privilege");
}

#[tokio::test]
async fn what_belongs_to_aws_or_to_another_account_is_refused() {
    for (grant, reason) in [
        (
            attached("arn:aws:iam::999988887777:user/eve"),
            "999988887777",
        ),
        (
            version("arn:aws:iam::999988887777:policy/p", "v2"),
            "999988887777",
        ),
        (version(FULL, "v2"), "only AWS may change"),
    ] {
        let aws = Aws::with(granted());
        let (class, why) = aws.fails(grant.clone()).await;
        assert_eq!(class, "Protected");
        assert!(why.contains(reason), "{why}");
        let done = aws.done(undo(grant)).await;
        assert!(done.summary.ends_with("this incident holds nothing"));
        assert_eq!(aws.writes(), [""; 0]);
    }
}

#[tokio::test]
async fn the_responder_operators_and_break_glass_are_left_with_the_calls() {
    let of = |name: &str| format!("arn:aws:iam::123456789012:{name}");
    let refused = [
        attached(&of("role/tourniquet/guard-deny-all-policy")),
        // As an event gives it, which names no path.
        inline(&of("role/guard-deny-all-policy")),
        trust(&of("role/operator")),
        payload(json!({"kind": "access-key", "user": of("user/glass")})),
        payload(json!({"kind": "login-profile", "user": of("user/glass")})),
        payload(json!({"kind": "membership", "user": of("user/glass"), "group": STAFF})),
    ];
    let mut told = Vec::new();
    for grant in refused {
        let aws = Aws::with(granted());
        let (class, why) = aws.fails(grant).await;
        assert_eq!((class, aws.writes()), ("Protected", vec![]));
        told.push(why);
    }
    insta::assert_snapshot!(lines(told));
    let clean = Aws::with(State::default());
    let done = clean.done(attached(&of("role/operator"))).await;
    assert!(!done.changed, "nothing there is nothing to refuse");
}

#[tokio::test]
async fn workload_and_shared_roles_lose_only_what_they_were_given() {
    for role in [CRM, "arn:aws:iam::123456789012:role/deploy"] {
        let aws = Aws::with(granted());
        let done = aws.done(attached(role)).await;
        assert!(done.changed && done.left.is_empty());
        assert!(aws.done(trust(role)).await.changed);
        assert!(aws.state().trust.contains("lambda.amazonaws.com"));
        let done = aws.done(inline(role)).await;
        assert!(done.changed);
        assert!(
            done.left[0].starts_with("others depend on role"),
            "{:?}",
            done.left
        );
    }
}

#[tokio::test]
async fn an_inline_policy_that_grants_no_administration_any_more_stays() {
    for (document, deleted) in [
        (LITTLE, false),
        (DENIAL, false),
        (EVERYTHING, true),
        ("not a document that anybody reads", true),
    ] {
        let aws = Aws::with(granted());
        aws.state()
            .inline
            .insert("extra".to_owned(), document.to_owned());
        let done = aws.done(inline(EVE)).await;
        assert_eq!(done.changed, deleted, "{document}");
        assert_eq!(aws.state().inline.is_empty(), deleted);
        assert_eq!(aws.holds().is_empty(), !deleted);
    }
}

#[tokio::test]
async fn the_newest_earlier_version_without_administration_becomes_the_default() {
    let early = "2026-01-01T00:00:00Z";
    let at = "2026-11-25T11:58:00Z";
    for (versions, default, expected) in [
        // Ten is newer than nine, in the same second.
        (
            vec![
                ("v9", early, LITTLE),
                ("v10", early, LITTLE),
                ("v11", at, EVERYTHING),
            ],
            "v11",
            "v10",
        ),
        // Administration is passed over, and what nobody can read.
        (
            vec![
                ("v1", early, LITTLE),
                ("v2", early, EVERYTHING),
                ("v3", early, "?"),
                ("v4", at, EVERYTHING),
            ],
            "v4",
            "v1",
        ),
        // An old version was made the default.
        (
            vec![
                ("v1", early, EVERYTHING),
                ("v2", early, LITTLE),
                ("v3", "2026-02-01T00:00:00Z", LITTLE),
            ],
            "v1",
            "v3",
        ),
        // What came with or after the attack is no way back.
        (
            vec![
                ("v1", early, LITTLE),
                ("v2", at, EVERYTHING),
                ("v3", "2026-11-25T11:59:00Z", LITTLE),
            ],
            "v2",
            "v1",
        ),
        // The attacker's next version, whose own event comes too.
        (
            vec![
                ("v1", early, LITTLE),
                ("v2", at, LITTLE),
                ("v3", "2026-11-25T11:59:00Z", EVERYTHING),
            ],
            "v3",
            "v1",
        ),
        // Somebody has mended it.
        (
            vec![
                ("v1", early, LITTLE),
                ("v2", at, EVERYTHING),
                ("v3", "2026-11-25T11:59:00Z", LITTLE),
            ],
            "v3",
            "v3",
        ),
    ] {
        let aws = Aws::with(State {
            versions: versions
                .into_iter()
                .map(|(id, at, document)| made(id, at, document))
                .collect(),
            default: default.to_owned(),
            ..State::default()
        });
        let granted = if default == "v3" { "v2" } else { default };
        let before = aws.state().versions.clone();
        let done = aws.done(version(OURS, granted)).await;
        assert_eq!(aws.state().default, expected, "{}", done.summary);
        assert_eq!(done.changed, default != expected);
        assert_eq!(
            aws.state().versions,
            before,
            "every version stays, as evidence"
        );
    }
}

#[tokio::test]
async fn without_an_earlier_version_a_human_is_told_the_calls() {
    let aws = Aws::with(State {
        versions: vec![
            made("v1", "2026-01-01T00:00:00Z", EVERYTHING),
            made("v2", "2026-11-25T11:58:00Z", EVERYTHING),
        ],
        default: "v2".to_owned(),
        ..State::default()
    });
    let done = aws.done(version(OURS, "v2")).await;
    assert!(!done.changed);
    assert_eq!((aws.writes(), aws.holds()), (vec![], String::new()));
    insta::assert_snapshot!(lines([done.summary, done.left.join("\n")]), @"
    default version v2 of policy arn:aws:iam::123456789012:policy/ours: v2 stays the default
    no earlier version of policy arn:aws:iam::123456789012:policy/ours can take the place of v2: write one (aws iam create-policy-version --policy-arn arn:aws:iam::123456789012:policy/ours --policy-document <what it should say> --set-as-default; of five versions, delete one that is not v2), or take it off whoever has it (aws iam list-entities-for-policy --policy-arn arn:aws:iam::123456789012:policy/ours; aws iam detach-user-policy, detach-role-policy, detach-group-policy)
    ");
}

#[tokio::test]
async fn the_policy_that_denies_denies_everything_again_and_stays_so() {
    let aws = Aws::with(State {
        versions: vec![
            made("v1", "2026-01-01T00:00:00Z", DENIAL),
            made("v2", "2026-11-25T11:58:00Z", LITTLE),
        ],
        default: "v2".to_owned(),
        ..State::default()
    });
    assert!(aws.done(version(DENY, "v2")).await.changed);
    assert_eq!(aws.state().default, "v1");
    insta::assert_snapshot!(aws.summary(version(DENY, "v2")).await, @"default version v2 of policy arn:aws:iam::123456789012:policy/deny: v1, the default now, denies everything");
    insta::assert_snapshot!(aws.summary(undo(version(DENY, "v2"))).await, @"default version v2 of policy arn:aws:iam::123456789012:policy/deny: it stays as it is: it denies everything");
    assert_eq!(aws.state().default, "v1");
}

#[tokio::test]
async fn every_key_made_since_is_turned_off_and_none_from_before() {
    let aws = Aws::with(State {
        keys: vec![
            (OLD, "2026-11-25T11:57:54Z", Active),
            (NEW, "2026-11-25T11:57:55Z", Active),
            (NEWER, "2026-11-25T11:59:00Z", Inactive),
        ],
        ..State::default()
    });
    let done = aws.done(keys()).await;
    insta::assert_snapshot!(done.summary, @"access key of arn:aws:iam::123456789012:user/eve: turned off: AKIA…7XYZ; already off: AKIA…8ABC");
    let writes = aws.writes();
    assert_eq!(
        writes.last().unwrap(),
        &format!("Hold ledger user/eve access-key/{NEWER}")
    );
    let updates: Vec<_> = writes
        .iter()
        .filter(|call| call.starts_with("Update"))
        .collect();
    assert_eq!(updates, [&format!("UpdateAccessKey {NEW} Inactive")]);
}

#[tokio::test]
async fn a_key_that_cannot_be_turned_off_stops_no_other() {
    let aws = Aws::with(State {
        keys: vec![
            (NEW, "2026-11-25T11:58:00Z", Active),
            (NEWER, "2026-11-25T11:58:00Z", Active),
        ],
        ..State::default()
    })
    .refusing(NEW, "AccessDenied");
    let (class, why) = aws.fails(keys()).await;
    assert_eq!(class, "AccessDenied");
    assert_eq!(aws.state().keys[1].2, Inactive);
    insta::assert_snapshot!(why, @"access key of arn:aws:iam::123456789012:user/eve: turned off: AKIA…8ABC; failed: iam:UpdateAccessKey: AccessDenied: as AWS says; by hand: aws iam update-access-key --user-name eve --status Inactive --access-key-id AKIA…7XYZ");
}

#[tokio::test]
async fn a_key_deleted_meanwhile_is_gone() {
    let aws = Aws::with(granted()).refusing(NEW, "NoSuchEntity");
    let done = aws.done(keys()).await;
    assert!(!done.changed);
    insta::assert_snapshot!(done.summary, @"access key of arn:aws:iam::123456789012:user/eve: gone meanwhile (iam:UpdateAccessKey: NoSuchEntity: as AWS says)");
}

#[tokio::test]
async fn outsiders_are_taken_out_of_a_trust_and_nobody_else() {
    let aws = Aws::with(granted());
    aws.done(trust(ADMIN)).await;
    insta::assert_snapshot!(aws.state().trust, @r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:user/bob"],"Service":["lambda.amazonaws.com"]},"Action":"sts:AssumeRole"}]}"#);
}

#[tokio::test]
async fn a_trust_that_lets_in_only_outsiders_lets_in_nobody() {
    for (grant, left) in [(trust(ADMIN), 1), (role(ADMIN), 0)] {
        let aws = Aws::with(State {
            trust: FOREIGN.to_owned(),
            ..State::default()
        });
        let done = aws.done(grant).await;
        assert_eq!(
            done.left.len(),
            left,
            "a role made for outsiders is nobody's"
        );
        insta::allow_duplicates! {
            insta::assert_snapshot!(aws.state().trust, @r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#);
        }
        if left == 1 {
            insta::assert_snapshot!(lines([done.summary, done.left.join("\n")]), @"
            trust of arn:aws:iam::123456789012:role/admin: closed to account 999988887777, and so to everybody
            see whom role admin lets in: aws iam get-role --role-name admin; and write the trust it should have: aws iam update-assume-role-policy --role-name admin --policy-document <the trust>
            ");
        }
    }
}

#[tokio::test]
async fn a_trust_that_shows_no_outsider_or_cannot_be_read_is_for_a_human() {
    for document in [OWN, "nothing that anybody reads"] {
        let aws = Aws::with(State {
            trust: document.to_owned(),
            ..State::default()
        });
        let done = aws.done(trust(ADMIN)).await;
        assert!(!done.changed);
        assert_eq!(aws.state().trust, document);
        assert!(done.left[0].contains("aws iam get-role"), "{:?}", done.left);
    }
}

#[tokio::test]
async fn a_boundary_comes_back_by_hand_only() {
    for principal in [EVE, ADMIN] {
        let aws = Aws::with(State::default());
        let done = aws.done(boundary(principal)).await;
        assert!(!done.changed && done.left.len() == 1);
        assert_eq!(aws.writes(), [""; 0]);
        aws.state().boundary = Some(OURS.to_owned());
        let done = aws.done(boundary(principal)).await;
        assert!(done.left.is_empty());
        let held = aws.done(undo(boundary(principal))).await;
        assert!(held.summary.ends_with("this incident holds nothing"));
    }
    let aws = Aws::with(State::default());
    let done = aws
        .done(boundary("arn:aws-us-gov:iam::123456789012:user/eve"))
        .await;
    insta::assert_snapshot!(lines([done.summary, done.left.join("\n")]), @"
    permissions boundary of arn:aws-us-gov:iam::123456789012:user/eve: there is none, and which it was IAM does not say
    user eve needs its boundary back: aws iam put-user-permissions-boundary --user-name eve --permissions-boundary <the one it had>, as the last event says that set it: aws cloudtrail lookup-events --region us-gov-west-1 --lookup-attributes AttributeKey=ResourceName,AttributeValue=eve
    ");
}

#[tokio::test(start_paused = true)]
async fn what_iam_does_not_show_yet_is_looked_for_again_once_it_has_settled() {
    for grant in [
        attached(EVE),
        keys(),
        membership(),
        password(),
        trust(ADMIN),
    ] {
        let aws = Aws::with(State {
            stale: 1,
            ..granted()
        });
        let started = Instant::now();
        aws.state().keys[1].1 = "2026-11-25T11:59:55Z";
        let young = with(grant, "occurredAt", "2026-11-25T11:59:55Z");
        assert!(aws.done(young).await.changed);
        assert_eq!(started.elapsed(), Duration::from_secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_nothing_that_is_settled_held_or_a_rehearsal() {
    let young = |payload| with(payload, "occurredAt", "2026-11-25T11:59:55Z");
    let started = Instant::now();
    let aws = Aws::with(granted());
    aws.done(young(attached(EVE))).await;
    aws.done(young(attached(EVE))).await;
    let absent = Aws::with(State::default());
    absent.done(dry(young(attached(EVE)))).await;
    absent.done(attached(EVE)).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    // A clock that is ahead of ours is waited for no longer.
    absent
        .done(with(membership(), "occurredAt", "2026-11-25T13:00:00Z"))
        .await;
    assert_eq!(started.elapsed(), Duration::from_secs(15));
}

#[tokio::test]
async fn what_aws_refuses_is_a_failure_of_its_class() {
    let writes = [
        ("Detach", attached(EVE)),
        ("Detach", attached(STAFF)),
        ("DeleteInline", inline(ADMIN)),
        ("DeleteInline", inline(STAFF)),
        ("SetDefaultPolicyVersion", version(OURS, "v2")),
        ("RemoveUserFromGroup", membership()),
        ("UpdateAccessKey", keys()),
        ("DeleteLoginProfile", password()),
        ("UpdateAssumeRolePolicy", trust(ADMIN)),
    ];
    let reads = [
        ("ListAttached", attached(EVE)),
        ("ListAttached", attached(STAFF)),
        ("GetInline", inline(ADMIN)),
        ("GetInline", inline(STAFF)),
        ("ListPolicyVersions", version(OURS, "v2")),
        ("GetPolicyVersion", version(OURS, "v2")),
        ("ListGroupsForUser", membership()),
        ("ListAccessKeys", keys()),
        ("GetLoginProfile", password()),
        ("GetRole", trust(ADMIN)),
        ("GetUser", boundary(EVE)),
    ];
    for (code, class) in [
        ("AccessDenied", "AccessDenied"),
        ("Throttling", "Transient"),
        ("ServiceFailure", "Transient"),
        ("ConcurrentModification", "Transient"),
        ("EntityTemporarilyUnmodifiable", "Transient"),
        ("UnmodifiableEntity", "Protected"),
        ("LimitExceeded", "Rejected"),
        ("DeleteConflict", "Rejected"),
        ("MalformedPolicyDocument", "Rejected"),
    ] {
        for (call, grant) in writes.clone() {
            let aws = Aws::with(granted()).refusing(call, code);
            let (name, why) = aws.fails(grant).await;
            assert_eq!(name, class, "{call} {code}");
            assert!(why.contains(code), "{why}");
            let by_hand = matches!(class, "AccessDenied" | "Protected");
            assert_eq!(why.contains("by hand: aws iam "), by_hand, "{why}");
        }
        for (call, grant) in reads.clone() {
            let aws = Aws::with(granted()).refusing(call, code);
            assert_eq!(aws.fails(grant).await.0, class, "{call} {code}");
            assert_eq!(aws.holds(), "");
        }
    }
}

#[tokio::test]
async fn a_role_that_only_aws_may_modify_comes_with_the_call_that_does() {
    let mut told = Vec::new();
    for (call, grant) in [
        (
            "Detach",
            attached("arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_0"),
        ),
        (
            "DeleteInline",
            inline("arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_0"),
        ),
        (
            "Detach",
            attached("arn:aws:iam::123456789012:role/AWSServiceRoleForX"),
        ),
    ] {
        let aws = Aws::with(granted()).refusing(call, "UnmodifiableEntity");
        told.push(aws.fails(grant).await.1);
    }
    insta::assert_snapshot!(lines(told));
}

#[tokio::test]
async fn a_hostile_document_stays_one_word_of_the_call() {
    let hostile = json!({"Statement": [{
        "Sid": "'; rm -rf '", "Effect": "Allow", "Principal": {"AWS": [EVE, "999988887777"]},
        "Action": "sts:AssumeRole",
    }]});
    let aws = Aws::with(State {
        trust: hostile.to_string(),
        ..State::default()
    })
    .refusing("UpdateAssumeRolePolicy", "AccessDenied");
    let (_, why) = aws.fails(trust(ADMIN)).await;
    assert!(why.contains(r"'\''; rm -rf '\''"), "{why}");
}

#[tokio::test]
async fn the_last_incident_gives_everything_back_as_it_was() {
    let mut told = Vec::new();
    for grant in all() {
        let aws = Aws::with(granted());
        aws.done(grant.clone()).await;
        aws.done(second(grant.clone())).await;
        aws.writes();
        let first = aws.done(undo(grant.clone())).await;
        assert!(!first.changed && first.summary.contains("held by another incident"));
        assert_eq!(aws.writes().len(), 1, "only the ledger is told");
        let last = aws.done(undo(second(grant.clone()))).await;
        assert_eq!(aws.holds(), "");
        // Whatever the password was, nobody knows it any more.
        assert_eq!(last.changed, aws.is_as(&granted()));
        told.push(last.summary);
        told.extend(last.left);
        let again = aws.done(undo(grant)).await;
        assert!(again.summary.ends_with("this incident holds nothing"));
    }
    insta::assert_snapshot!(lines(told));
}

#[tokio::test]
async fn a_dry_undo_writes_nothing() {
    let mut told = Vec::new();
    for grant in all() {
        let aws = Aws::with(granted());
        aws.done(grant.clone()).await;
        aws.writes();
        let held = aws.holds();
        let done = aws.done(dry(undo(grant))).await;
        assert!(!done.changed);
        assert_eq!((aws.writes(), aws.holds()), (vec![], held));
        told.push(done.summary);
    }
    insta::assert_snapshot!(lines(told));
}

#[tokio::test]
async fn what_somebody_changed_since_stays() {
    let mut told = Vec::new();
    for (grant, change) in [
        (
            attached(EVE),
            (|state| state.attached.extend([FULL.to_owned()])) as fn(&mut State),
        ),
        (inline(EVE), |state| {
            state.inline.insert("extra".to_owned(), LITTLE.to_owned());
        }),
        (version(OURS, "v2"), |state| {
            state
                .versions
                .push(made("v3", "2026-11-25T11:59:00Z", LITTLE));
            "v3".clone_into(&mut state.default);
        }),
        (version(OURS, "v2"), |state| {
            state.versions.retain(|one| one.id == "v1");
        }),
        (membership(), |state| {
            state.groups.extend(["staff".to_owned()]);
        }),
        (keys(), |state| state.keys[1].2 = Active),
        (password(), |state| state.password = true),
        (trust(ADMIN), |state| OWN.clone_into(&mut state.trust)),
    ] {
        let aws = Aws::with(granted());
        aws.done(grant.clone()).await;
        change(&mut aws.state());
        aws.writes();
        let done = aws.done(undo(grant)).await;
        assert!(!done.changed && done.left.is_empty());
        assert_eq!(aws.holds(), "");
        assert_eq!(aws.writes().len(), 1, "only the hold is forgotten");
        told.push(done.summary);
    }
    insta::assert_snapshot!(lines(told), @"
    policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/eve: attached already
    inline policy extra of arn:aws:iam::123456789012:user/eve: written by somebody since, it stays
    default version v2 of policy arn:aws:iam::123456789012:policy/ours: the default was changed by somebody since, it stays
    default version v2 of policy arn:aws:iam::123456789012:policy/ours: v2 is gone
    membership of arn:aws:iam::123456789012:user/eve in arn:aws:iam::123456789012:group/staff: a member already
    access key of arn:aws:iam::123456789012:user/eve: left as it is: AKIA…7XYZ
    password of arn:aws:iam::123456789012:user/eve: there is one again
    trust of arn:aws:iam::123456789012:role/admin: changed by somebody since, it stays
    ");
}

#[tokio::test]
async fn a_trust_comes_back_though_iam_has_put_it_in_its_own_words() {
    let of = |principal: &str| {
        format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":{principal}}},"Action":"sts:AssumeRole"}}]}}"#
        )
    };
    let found = of(
        r#"["123456789012","arn:aws:iam::123456789012:user/bob","arn:aws:iam::999988887777:root"]"#,
    );
    let others = of(r#"["arn:aws:iam::123456789012:user/bob","arn:aws:iam::123456789012:root"]"#);
    let narrower = of(r#""arn:aws:iam::123456789012:user/bob""#);
    for (now, expected) in [(&others, &found), (&narrower, &narrower)] {
        let aws = Aws::with(State {
            trust: found.clone(),
            ..State::default()
        });
        aws.done(trust(ADMIN)).await;
        now.clone_into(&mut aws.state().trust);
        aws.done(undo(trust(ADMIN))).await;
        assert_eq!(&aws.state().trust, expected);
    }
}

#[tokio::test]
async fn an_undo_that_stopped_before_it_forgot_is_finished() {
    for grant in all() {
        let aws = Aws::with(granted());
        aws.done(grant.clone()).await;
        let aws = aws.refusing("Forget", "ThrottlingException");
        assert_eq!(aws.fails(undo(grant.clone())).await.0, "Transient");
        aws.granting();
        let done = aws.done(undo(grant)).await;
        assert!(!done.changed, "{}", done.summary);
        assert_eq!(aws.holds(), "");
    }
}

#[tokio::test]
async fn what_no_longer_exists_counts_as_undone() {
    for grant in all()
        .into_iter()
        .filter(|grant| grant["grant"]["kind"] != "access-key")
    {
        let aws = Aws::with(granted());
        aws.done(grant.clone()).await;
        aws.state().gone = true;
        let done = aws.done(undo(grant.clone())).await;
        assert!(!done.changed, "{}", done.summary);
        assert_eq!(aws.holds(), "");
    }
    let aws = Aws::with(granted());
    aws.done(keys()).await;
    aws.state().gone = true;
    assert!(!aws.done(undo(keys())).await.changed);
    // The policy alone.
    let aws = Aws::with(granted());
    aws.done(attached(EVE)).await;
    let aws = aws.refusing("GetPolicy", "NoSuchEntity");
    insta::assert_snapshot!(aws.summary(undo(attached(EVE))).await, @"policy arn:aws:iam::aws:policy/AdministratorAccess attached to arn:aws:iam::123456789012:user/eve: the policy is gone");
    // The group alone.
    let aws = Aws::with(granted());
    aws.done(membership()).await;
    let aws = aws.refusing("AddUserToGroup", "NoSuchEntity");
    assert!(!aws.done(undo(membership())).await.changed);
    assert_eq!(aws.holds(), "");
}

#[tokio::test]
async fn nothing_comes_back_that_was_not_there() {
    for grant in all() {
        let aws = Aws::with(State {
            trust: OWN.to_owned(),
            versions: vec![made("v1", "2026-01-01T00:00:00Z", LITTLE)],
            default: "v1".to_owned(),
            ..State::default()
        });
        aws.done(grant.clone()).await;
        let done = aws.done(undo(grant)).await;
        assert!(!done.changed && done.left.is_empty(), "{}", done.summary);
        assert_eq!(aws.holds(), "");
    }
}

#[tokio::test]
async fn what_cannot_be_given_back_stays_held_and_comes_with_the_call() {
    for (call, grant) in [
        ("Attach", attached(EVE)),
        ("Attach", attached(STAFF)),
        ("PutInline", inline(EVE)),
        ("PutInline", inline(STAFF)),
        ("SetDefaultPolicyVersion", version(OURS, "v2")),
        ("AddUserToGroup", membership()),
        ("UpdateAccessKey", keys()),
        ("UpdateAssumeRolePolicy", trust(ADMIN)),
    ] {
        for (code, class) in [
            ("AccessDenied", "AccessDenied"),
            ("LimitExceeded", "Rejected"),
            ("Throttling", "Transient"),
        ] {
            let aws = Aws::with(granted());
            aws.done(grant.clone()).await;
            let held = aws.holds();
            let aws = aws.refusing(call, code);
            let (name, why) = aws.fails(undo(grant.clone())).await;
            assert_eq!(name, class, "{call} {code}");
            assert!(why.contains(code), "{why}");
            assert_eq!(
                why.contains("by hand: aws iam "),
                class == "AccessDenied",
                "{why}"
            );
            assert_eq!(aws.holds(), held);
        }
    }
}

#[tokio::test]
async fn an_undo_without_a_ledger_is_a_failure() {
    let aws = Aws::with(granted());
    aws.done(attached(EVE)).await;
    let aws = aws.without_ledger();
    let (_, why) = aws.fails(undo(attached(EVE))).await;
    assert!(why.contains("dynamodb:GetItem"), "{why}");
}

#[tokio::test]
async fn no_payload_grants_anything_but_keys_come_on_again() {
    let mut told = Vec::new();
    for grant in all() {
        let aws = Aws::with(granted()).without_ledger();
        let done = aws.done(grant.clone()).await;
        aws.writes();
        let holds = serde_json::to_value(&done.undo).unwrap();
        let back = aws.done(with(undo(grant.clone()), "holds", holds)).await;
        let is_key = grant["grant"]["kind"] == "access-key";
        assert_eq!(back.changed, is_key);
        assert_eq!(aws.writes().len(), usize::from(is_key));
        told.extend([back.summary, back.left.join("\n")]);
    }
    insta::assert_snapshot!(lines(told));
}

#[tokio::test]
async fn a_hold_that_does_not_say_what_to_give_back_gives_nothing_back() {
    for grant in all() {
        let aws = Aws::with(granted()).without_ledger();
        let done = aws.done(grant.clone()).await;
        aws.writes();
        let mut hold = serde_json::to_value(&done.undo[0]).unwrap();
        hold["original"] = json!({});
        let (class, why) = aws.fails(with(undo(grant), "holds", json!([hold]))).await;
        assert_eq!((class, aws.writes()), ("Rejected", vec![]), "{why}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_field() {
    let (class, why) = Aws::default()
        .fails(payload(json!({"kind": "crown"})))
        .await;
    assert_eq!(class, "InvalidInput");
    assert!(why.starts_with("`grant"), "{why}");
    let (class, why) = Aws::default().fails(with(keys(), "extra", 1)).await;
    assert_eq!((class, why.contains("`extra`")), ("InvalidInput", true));
}
