//! The worker and its ledger, as AWS answers.

use aws_sdk_cognitoidentityprovider::operation::list_users::{ListUsersError, ListUsersOutput};
use aws_sdk_dynamodb::{
    Client,
    config::retry::RetryConfig,
    error::ErrorMetadata,
    operation::{
        get_item::GetItemOutput,
        put_item::{PutItemError, PutItemInput, PutItemOutput},
        query::{QueryError, QueryOutput},
        update_item::UpdateItemOutput,
    },
    types::AttributeValue,
};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use incident::SignIn;
use ledger::Ledger;
use serde_json::{Value, json};
use worker::{Failure, answer};

use super::{POOL, address, anna, at, burst, failed, settings, succeeded};
use crate::{TallySignIns, has_threat_protection, places::Places, tally::Tally};

fn worker_with(
    changed: &[(&'static str, &'static str)],
    ledger: &[&Rule],
    cognito: &[&Rule],
) -> TallySignIns {
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, ledger, |config| {
        config.retry_config(RetryConfig::disabled())
    });
    let cognito = mock_client!(
        aws_sdk_cognitoidentityprovider,
        RuleMode::MatchAny,
        cognito,
        |config| config
            .retry_config(aws_sdk_cognitoidentityprovider::config::retry::RetryConfig::disabled())
    );
    let settings = settings(changed);
    let is_on = has_threat_protection(&settings).unwrap();
    TallySignIns {
        tally: Tally::from_settings(Ledger::new(client, "ledger"), &settings).unwrap(),
        places: is_on.then_some(Places(cognito)),
        now: || at(10, 0),
    }
}

fn worker(ledger: &[&Rule]) -> TallySignIns {
    worker_with(&[], ledger, &[])
}

fn payload(sign_in: &SignIn) -> Value {
    json!({ "signIn": sign_in })
}

fn kept(fits: impl Fn(&PutItemInput) -> bool + Send + Sync + 'static) -> Rule {
    mock!(Client::put_item)
        .match_requests(fits)
        .then_output(|| PutItemOutput::builder().build())
}

fn is_claim(request: &PutItemInput) -> bool {
    let key = request.item().unwrap()["sk"].as_s().unwrap();
    key.starts_with("claim#")
}

fn attempts_kept() -> Rule {
    kept(|request| !is_claim(request))
}

/// A series that ends with `name` holds these attempts.
fn holding(name: &'static str, attempts: &[SignIn]) -> Rule {
    let items: Vec<_> = attempts
        .iter()
        .rev()
        .map(|one| {
            let text = |value: String| AttributeValue::S(value);
            let at = format!("{:.9} {}", one.occurred_at, one.event.id);
            [
                ("pk".to_owned(), text(name.to_owned())),
                ("sk".to_owned(), text(at)),
                ("network".to_owned(), text(one.network.unwrap().to_string())),
            ]
            .into()
        })
        .collect();
    mock!(Client::query)
        .match_requests(move |request| {
            let series = &request.expression_attribute_values().unwrap()[":series"];
            series.as_s().unwrap().ends_with(name)
        })
        .then_output(move || {
            QueryOutput::builder()
                .set_items(Some(items.clone()))
                .build()
        })
}

fn nothing_found() -> Rule {
    mock!(Client::query).then_output(|| QueryOutput::builder().build())
}

fn unanswered() -> Rule {
    mock!(Client::get_item).then_output(|| GetItemOutput::builder().build())
}

fn put_error(code: &'static str) -> PutItemError {
    PutItemError::generic(ErrorMetadata::builder().code(code).build())
}

#[tokio::test]
async fn an_honest_sign_in_costs_two_writes_and_two_reads() {
    let (kept, found) = (attempts_kept(), nothing_found());
    let (get, update) = (unanswered(), admitted());
    let worker = worker(&[&kept, &found, &get, &update]);
    let sign_in = succeeded(anna(), address(1), at(0, 0));
    let verdict = answer(&worker, &payload(&sign_in)).await.unwrap();
    assert_eq!(verdict["verdict"], "count");
    assert_eq!(verdict["signIn"]["outcome"], "succeeded");
    assert_eq!((kept.num_calls(), found.num_calls()), (2, 2));
    assert_eq!((get.num_calls(), update.num_calls()), (0, 0));
}

fn admitted() -> Rule {
    mock!(Client::update_item).then_output(|| UpdateItemOutput::builder().build())
}

/// What the ledger finds when the fifth failure of an account is counted.
fn fifth() -> (SignIn, Rule, Rule) {
    let attack = burst(&anna(), 0, 5);
    let account = holding(
        "account/00000000-0000-0000-0000-000000000001/failed",
        &attack,
    );
    let others = nothing_found();
    (attack[4].clone(), account, others)
}

#[tokio::test]
async fn the_failure_that_completes_an_attack_claims_and_answers_it() {
    let (sign_in, account, others) = fifth();
    let claims = kept(|request| {
        let item = request.item().unwrap();
        is_claim(request)
            && request.condition_expression().is_some()
            && item["pk"]
                .as_s()
                .unwrap()
                .starts_with(&format!("sign-ins#{POOL}/account/"))
            && item["sk"].as_s().unwrap() == "claim#attacked"
    });
    let (kept, get, admitted) = (attempts_kept(), unanswered(), admitted());
    let rules = [&account, &others, &claims, &kept, &get, &admitted];
    let verdict = answer(&worker(&rules), &payload(&sign_in)).await.unwrap();
    assert_eq!(verdict["verdict"], "respond");
    assert_eq!(verdict["incident"]["runbook"], "credential-attack");
    assert_eq!(verdict["incident"]["discoveredAt"], "2026-11-25T12:10:00Z");
    assert_eq!((claims.num_calls(), admitted.num_calls()), (1, 2));
}

#[tokio::test]
async fn of_two_failures_that_complete_it_the_slower_one_is_only_counted() {
    let (sign_in, account, others) = fifth();
    let lost = mock!(Client::put_item)
        .match_requests(is_claim)
        .then_error(|| put_error("ConditionalCheckFailedException"));
    let (kept, get, admitted) = (attempts_kept(), unanswered(), admitted());
    let rules = [&account, &others, &lost, &kept, &get, &admitted];
    let verdict = answer(&worker(&rules), &payload(&sign_in)).await.unwrap();
    assert_eq!(verdict["verdict"], "count");
    assert_eq!(verdict["reason"], "counted: no attack that is not answered");
    assert_eq!((lost.num_calls(), admitted.num_calls()), (1, 0));
}

#[tokio::test]
async fn an_attack_that_was_answered_is_not_claimed_again() {
    let (sign_in, account, others) = fifth();
    let answered = mock!(Client::get_item).then_output(|| {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        GetItemOutput::builder()
            .item("claimedAt", text("2026-11-25T12:00:20.000000000Z"))
            .item("claimedBy", text("another"))
            .build()
    });
    let (kept, claims) = (attempts_kept(), kept(is_claim));
    let rules = [&account, &others, &claims, &kept, &answered];
    let verdict = answer(&worker(&rules), &payload(&sign_in)).await.unwrap();
    assert_eq!(verdict["verdict"], "count");
    assert_eq!(claims.num_calls(), 0);
}

#[tokio::test]
async fn what_cannot_be_kept_or_read_fails_so_that_it_is_counted_later() {
    let sign_in = failed(anna(), address(1), at(0, 0));
    for (code, name) in [
        ("ProvisionedThroughputExceededException", "Transient"),
        ("ThrottlingException", "Transient"),
        ("AccessDeniedException", "AccessDenied"),
        ("ResourceNotFoundException", "Rejected"),
    ] {
        let refused = mock!(Client::put_item).then_error(move || put_error(code));
        let failure = answer(&worker(&[&refused]), &payload(&sign_in)).await;
        assert_eq!(failure.unwrap_err().name(), name, "{code}");
        let unread = mock!(Client::query)
            .then_error(move || QueryError::generic(ErrorMetadata::builder().code(code).build()));
        let failure = answer(&worker(&[&attempts_kept(), &unread]), &payload(&sign_in)).await;
        assert_eq!(failure.unwrap_err().name(), name, "{code}");
    }
}

#[tokio::test]
async fn a_claim_that_may_have_been_lost_is_asked_for_again() {
    let (sign_in, account, others) = fifth();
    let mut calls = mock!(Client::put_item)
        .match_requests(is_claim)
        .sequence()
        .error(|| put_error("InternalServerError"))
        .output(|| PutItemOutput::builder().build())
        .build();
    let claims = &mut calls;
    let (kept, get, admitted) = (attempts_kept(), unanswered(), admitted());
    let rules = [&account, &others, &*claims, &kept, &get, &admitted];
    let worker = worker(&rules);
    let failure = answer(&worker, &payload(&sign_in)).await.unwrap_err();
    assert!(matches!(failure, Failure::Transient(_)), "{failure}");
    let verdict = answer(&worker, &payload(&sign_in)).await.unwrap();
    assert_eq!(verdict["verdict"], "respond");
}

#[tokio::test]
async fn threat_protection_is_asked_where_it_is_on_and_its_failures_stop_nothing() {
    let sign_in = succeeded(anna(), address(1), at(0, 0));
    let on = [("THREAT_PROTECTION", "on")];
    let throttled = mock!(aws_sdk_cognitoidentityprovider::Client::list_users).then_error(|| {
        let code = ErrorMetadata::builder().code("TooManyRequestsException");
        ListUsersError::generic(code.build())
    });
    let ledger = (attempts_kept(), nothing_found());
    let asked = worker_with(&on, &[&ledger.0, &ledger.1], &[&throttled]);
    let verdict = answer(&asked, &payload(&sign_in)).await.unwrap();
    assert_eq!(verdict["verdict"], "count");
    assert_eq!(throttled.num_calls(), 1);
    let nobody = mock!(aws_sdk_cognitoidentityprovider::Client::list_users)
        .then_output(|| ListUsersOutput::builder().build());
    for setting in ["off", "none"] {
        let off = [("THREAT_PROTECTION", setting)];
        let worker = worker_with(&off, &[&ledger.0, &ledger.1], &[&nobody]);
        answer(&worker, &payload(&sign_in)).await.unwrap();
    }
    let wrong = failed(anna(), address(1), at(1, 0));
    let worker = worker_with(&on, &[&ledger.0, &ledger.1], &[&nobody]);
    answer(&worker, &payload(&wrong)).await.unwrap();
    assert_eq!(nobody.num_calls(), 0);
    let refused = has_threat_protection(&settings(&[("THREAT_PROTECTION", "yes")])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the setting THREAT_PROTECTION: expected `on` or `off`"
    );
}

#[tokio::test]
async fn a_payload_that_is_no_attempt_is_refused() {
    let mut wrong = payload(&failed(anna(), address(1), at(0, 0)));
    wrong["signIn"]["outcome"] = json!("maybe");
    let failure = answer(&worker(&[]), &wrong).await.unwrap_err();
    insta::assert_snapshot!(failure, @"`signIn.outcome`: expected one of `succeeded`, `failed`, `unknown`");
}
