//! Where somebody signs in from.

use std::slice;

use aws_sdk_cognitoidentityprovider::{
    Client,
    config::retry::RetryConfig,
    error::ErrorMetadata,
    operation::{
        admin_list_user_auth_events::{
            AdminListUserAuthEventsError, AdminListUserAuthEventsOutput,
        },
        list_users::{ListUsersError, ListUsersOutput},
    },
    primitives::DateTime,
    types::{
        AuthEventType, EventContextDataType, EventResponseType, EventRiskType, EventType,
        RiskDecisionType, RiskLevelType, UserType,
    },
};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use incident::SignIn;
use jiff::Timestamp;
use judgement::Verdict;

use super::{address, anna, at, attempt, failed, line, settings, succeeded};
use crate::{Location, book::Memory, places::Places, tally::Tally};

fn cognito(rules: &[&Rule]) -> Places {
    let client = mock_client!(
        aws_sdk_cognitoidentityprovider,
        RuleMode::MatchAny,
        rules,
        |config| { config.retry_config(RetryConfig::disabled()) }
    );
    Places(client)
}

fn anna_is_found() -> Rule {
    mock!(Client::list_users)
        .match_requests(|request| {
            request.filter() == Some("sub = \"00000000-0000-0000-0000-000000000001\"")
                && request.user_pool_id() == Some(super::POOL)
        })
        .then_output(|| {
            let user = UserType::builder().username("anna").build();
            ListUsersOutput::builder().users(user).build()
        })
}

fn seen(at: Timestamp, from: &str, country: &str, response: EventResponseType) -> AuthEventType {
    let context = EventContextDataType::builder()
        .ip_address(from)
        .country(country)
        .city("Somewhere")
        .build();
    AuthEventType::builder()
        .event_type(EventType::SignIn)
        .event_response(response)
        .creation_date(DateTime::from_secs(at.as_second()))
        .event_context_data(context)
        .build()
}

fn passed(at: Timestamp, from: &str, country: &str) -> AuthEventType {
    seen(at, from, country, EventResponseType::Pass)
}

fn listed(events: Vec<AuthEventType>) -> Rule {
    mock!(Client::admin_list_user_auth_events)
        .match_requests(|request| request.username() == Some("anna"))
        .then_output(move || {
            AdminListUserAuthEventsOutput::builder()
                .set_auth_events(Some(events.clone()))
                .build()
        })
}

async fn located(events: Vec<AuthEventType>, sign_in: &SignIn) -> Option<Location> {
    let places = cognito(&[&anna_is_found(), &listed(events)]);
    places.locate(sign_in, &anna()).await.unwrap()
}

#[tokio::test]
async fn a_country_is_new_when_the_account_signed_in_before_and_never_from_there() {
    let sign_in = succeeded(anna(), address(0), at(0, 0));
    let own = passed(at(0, 20), "198.51.0.1", "Elsewhere");
    let home = |minutes| passed(at(minutes, 0), "203.0.113.9", "Home");
    let new = located(vec![own.clone(), home(-60), home(-90)], &sign_in).await;
    insta::assert_debug_snapshot!(new, @r#"
    Some(
        Location {
            place: "Somewhere, Elsewhere",
            is_new: true,
            risk: None,
        },
    )
    "#);
    let is_new = async |earlier: Vec<AuthEventType>| {
        let events = std::iter::once(own.clone()).chain(earlier).collect();
        located(events, &sign_in).await.unwrap().is_new
    };
    assert!(!is_new(vec![]).await);
    assert!(
        !is_new(vec![
            passed(at(-900, 0), "203.0.113.1", "Elsewhere"),
            home(-60)
        ])
        .await
    );
    // Who failed from there was not there.
    let failed = seen(
        at(-5, 0),
        "203.0.113.1",
        "Elsewhere",
        EventResponseType::Fail,
    );
    assert!(is_new(vec![failed, home(-60)]).await);
    // What came later is not earlier.
    assert!(!is_new(vec![home(60)]).await);
}

#[tokio::test]
async fn a_sign_in_is_found_by_its_address_and_its_time() {
    let sign_in = succeeded(anna(), address(0), at(0, 0));
    for (event, found) in [
        (passed(at(1, 59), "198.51.0.1", "Home"), true),
        (passed(at(2, 1), "198.51.0.1", "Home"), false),
        (passed(at(0, 0), "198.51.0.2", "Home"), false),
        (passed(at(0, 0), "not an address", "Home"), false),
        (passed(at(0, 0), "198.51.0.1", ""), false),
        (
            seen(
                at(0, 0),
                "198.51.0.1",
                "Home",
                EventResponseType::InProgress,
            ),
            false,
        ),
    ] {
        let is_found = located(vec![event.clone()], &sign_in).await.is_some();
        assert_eq!(is_found, found, "{event:?}");
    }
    let by_server = attempt(Some(anna()), None, at(0, 0), incident::Outcome::Succeeded);
    let anywhere = passed(at(0, 0), "203.0.113.9", "Home");
    assert!(located(vec![anywhere], &by_server).await.is_some());
}

#[tokio::test]
async fn what_threat_protection_says_of_the_risk_is_told() {
    let sign_in = succeeded(anna(), address(0), at(0, 0));
    let risky = |risk: EventRiskType| {
        let mut event = passed(at(0, 0), "198.51.0.1", "Home");
        event.event_risk = Some(risk);
        event
    };
    let decided = |decision| {
        EventRiskType::builder()
            .risk_decision(decision)
            .risk_level(RiskLevelType::High)
            .build()
    };
    for (risk, told) in [
        (decided(RiskDecisionType::NoRisk), None),
        (
            decided(RiskDecisionType::AccountTakeover),
            Some("AccountTakeover, level High"),
        ),
        (
            EventRiskType::builder()
                .compromised_credentials_detected(true)
                .build(),
            Some("the password is known to be stolen"),
        ),
        (EventRiskType::builder().build(), None),
    ] {
        let location = located(vec![risky(risk)], &sign_in).await.unwrap();
        assert_eq!(location.risk.as_deref(), told);
    }
}

#[tokio::test]
async fn a_user_who_is_gone_is_nowhere() {
    let nobody = mock!(Client::list_users).then_output(|| ListUsersOutput::builder().build());
    let sign_in = succeeded(anna(), address(0), at(0, 0));
    let places = cognito(&[&nobody]);
    assert_eq!(places.locate(&sign_in, &anna()).await.unwrap(), None);
}

#[tokio::test]
async fn what_cognito_refuses_is_named() {
    let throttled = mock!(Client::list_users).then_error(|| {
        let code = ErrorMetadata::builder().code("TooManyRequestsException");
        ListUsersError::generic(code.build())
    });
    let denied = mock!(Client::admin_list_user_auth_events).then_error(|| {
        let code = ErrorMetadata::builder().code("AccessDeniedException");
        AdminListUserAuthEventsError::generic(code.build())
    });
    let sign_in = succeeded(anna(), address(0), at(0, 0));
    let refused = async |rules: &[&Rule]| {
        let failure = cognito(rules).locate(&sign_in, &anna()).await.unwrap_err();
        failure.name()
    };
    assert_eq!(refused(&[&throttled]).await, "Transient");
    assert_eq!(refused(&[&anna_is_found(), &denied]).await, "AccessDenied");
}

/// The last of attempts in a row, of which it is known where it came from.
async fn told(before: &[SignIn], sign_in: &SignIn, is_new: bool) -> String {
    let tally = Tally::from_settings(Memory::default(), &settings(&[])).unwrap();
    for one in before {
        tally.count(one, None, at(5, 0)).await.unwrap();
    }
    let location = Location {
        place: "Far, Away".to_owned(),
        is_new,
        risk: Some("AccountTakeover, level High".to_owned()),
    };
    match tally
        .count(sign_in, Some(location), at(5, 0))
        .await
        .unwrap()
    {
        Verdict::Respond { incident, .. } => line(&incident),
        other => format!("{other:?}").chars().take(5).collect(),
    }
}

#[tokio::test]
async fn a_country_never_seen_is_told_of_and_after_a_burst_a_break_in() {
    let home = succeeded(anna(), address(9), at(-90, 0));
    let sign_in = succeeded(anna(), address(9), at(4, 0));
    let mut burst = super::burst(&anna(), 0, 5);
    burst.insert(0, home.clone());
    let failures = [failed(anna(), address(9), at(1, 0)), home.clone()];
    insta::assert_snapshot!([
        told(slice::from_ref(&home), &sign_in, true).await,
        told(slice::from_ref(&home), &sign_in, false).await,
        told(&failures, &sign_in, true).await,
        told(&burst, &sign_in, true).await,
        told(&burst, &sign_in, false).await,
    ].join("\n"), @"
    high: somebody signed in to an account of the CRM, from Far, Away, a country it never signed in from (threat protection: AccountTakeover, level High): 000000000001, no network
    Count
    high: somebody signed in to an account of the CRM, from Far, Away, a country it never signed in from (threat protection: AccountTakeover, level High): 000000000001, no network
    critical: somebody signed in to an account of the CRM after 5 wrong passwords or codes from 5 networks, from Far, Away, a country it never signed in from (threat protection: AccountTakeover, level High): 000000000001, 6 networks COMPROMISED
    Count
    ");
}
