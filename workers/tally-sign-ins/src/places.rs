//! Where sign-ins came from, as Cognito's threat protection knows it.

use std::collections::BTreeSet;

use aws_sdk_cognitoidentityprovider::{
    Client,
    types::{AuthEventType, EventResponseType, EventRiskType, EventType, RiskDecisionType},
};
use incident::{Network, SignIn, Subject, UserPoolId, cut};
use jiff::{SignedDuration, Timestamp};
use worker::Failure;

use crate::history::Location;

/// How far apart CloudTrail and threat protection may date one sign-in.
const APART: SignedDuration = SignedDuration::from_mins(2);

/// How many of an account's events are read, newest first: the most that Cognito gives at once.
const MOST: i32 = 60;

/// City and country are Cognito's; nothing keeps them short.
const LONGEST_PLACE: usize = 80;

/// The history of threat protection.
#[derive(Debug)]
pub(crate) struct Places(pub(crate) Client);

impl Places {
    /// Where a sign-in came from; none where threat protection does not know it, or not yet.
    pub(crate) async fn locate(
        &self,
        sign_in: &SignIn,
        subject: &Subject,
    ) -> Result<Option<Location>, Failure> {
        let Some(username) = self.username(&sign_in.user_pool, subject).await? else {
            return Ok(None);
        };
        let listed = self
            .0
            .admin_list_user_auth_events()
            .user_pool_id(sign_in.user_pool.as_str())
            .username(username)
            .max_results(MOST)
            .send()
            .await
            .map_err(|error| Failure::aws("cognito-idp:AdminListUserAuthEvents", &error))?;
        let events = listed.auth_events().iter().filter_map(Seen::of);
        Ok(located(&events.collect::<Vec<_>>(), sign_in))
    }

    async fn username(
        &self,
        user_pool: &UserPoolId,
        subject: &Subject,
    ) -> Result<Option<String>, Failure> {
        let listed = self
            .0
            .list_users()
            .user_pool_id(user_pool.as_str())
            .filter(format!("sub = \"{subject}\""))
            .limit(1)
            .send()
            .await
            .map_err(|error| Failure::aws("cognito-idp:ListUsers", &error))?;
        Ok(listed
            .users()
            .first()
            .and_then(|user| user.username.clone()))
    }
}

/// A sign-in as threat protection saw it.
struct Seen<'a> {
    at: Timestamp,
    network: Option<Network>,
    city: Option<&'a str>,
    country: &'a str,
    risk: Option<&'a EventRiskType>,
}

impl<'a> Seen<'a> {
    /// One that succeeded, and of which the country is known.
    fn of(event: &'a AuthEventType) -> Option<Self> {
        let signed_in = event.event_type() == Some(&EventType::SignIn)
            && event.event_response() == Some(&EventResponseType::Pass);
        let context = event.event_context_data().filter(|_| signed_in)?;
        let address = context.ip_address().and_then(|it| it.parse().ok());
        Some(Self {
            at: Timestamp::from_second(event.creation_date()?.secs()).ok()?,
            network: address.map(Network::of),
            city: context.city().filter(|city| !city.is_empty()),
            country: context.country().filter(|country| !country.is_empty())?,
            risk: event.event_risk(),
        })
    }
}

fn located(events: &[Seen<'_>], sign_in: &SignIn) -> Option<Location> {
    let apart = |seen: &Seen<'_>| seen.at.duration_since(sign_in.occurred_at).abs();
    let is_it = |seen: &&Seen<'_>| {
        let same = sign_in.network.is_none() || sign_in.network == seen.network;
        same && apart(seen) <= APART
    };
    let own = events.iter().filter(is_it).min_by_key(|seen| apart(seen))?;
    let earlier: BTreeSet<_> = events
        .iter()
        .filter(|seen| seen.at < own.at)
        .map(|seen| seen.country)
        .collect();
    let place = match own.city {
        Some(city) => format!("{city}, {}", own.country),
        None => own.country.to_owned(),
    };
    Some(Location {
        place: cut(&place.replace(char::is_control, " "), LONGEST_PLACE),
        is_new: !earlier.is_empty() && !earlier.contains(own.country),
        risk: own.risk.and_then(risk),
    })
}

fn risk(risk: &EventRiskType) -> Option<String> {
    if risk.compromised_credentials_detected() == Some(true) {
        return Some("the password is known to be stolen".to_owned());
    }
    let decision = risk.risk_decision()?;
    let level = risk.risk_level().map_or("unknown", |level| level.as_str());
    match decision {
        RiskDecisionType::NoRisk => None,
        decision => Some(format!("{}, level {level}", decision.as_str())),
    }
}
