//! `tally-sign-ins`: counts an attempt to sign in to the CRM, and says whether it is part of an attack.
//!
//! **Count.** An attempt is written to the ledger once for each thing that it is counted by: whose
//! account, from which network (an IPv6 /64), or that the user does not exist. An item's key is the
//! time and the event, so that an event that is delivered twice is counted once. Then the attempts
//! around it are read, consistently and no more of them than decide, and [`decide()`] says what they
//! are. Since every attempt is written before it reads, the last to arrive sees all the others:
//! nothing is missed in whatever order they come and however many are counted at once.
//!
//! | what | when |
//! |---|---|
//! | one account | 5 failures within 15 minutes, or 20 within a day |
//! | one network | 10 failures of several accounts or unknown users within 15 minutes, or 100 within a day |
//! | unknown users | 50 failures within 15 minutes, from anywhere |
//! | the hosted login | 60 attempts from one network within 15 minutes: how they end is not told |
//! | an account is broken into | a sign-in after an attack on it, from where it was guessed or was not at home before; or from a network that tried many accounts, where it was not at home |
//! | a country never seen | a sign-in from it, where threat protection is on |
//!
//! The numbers are settings; see [`Thresholds::from_settings`].
//!
//! **Answer.** The attempt that completes an attack claims it, by a conditional write: `respond`, with
//! the incident to open, or `escalate` where the network is the clinic's own and would not be blocked.
//! Everybody else gets `count`, until a window later. A claim that was won is won again by a retry of
//! the same event, under the same incident id. A break-in has its own claim. Of more attacks at once
//! than [`Thresholds::at_once`] people are told instead: an attacker must not start a thousand
//! runbooks.
//!
//! **An account under attack is not one that is broken into:** only the latter is compromised, and
//! disabled. **Undo.** None: what is counted expires. **A second run** changes nothing.
//!
//! **Calls.** `dynamodb:PutItem`, `dynamodb:Query`, `dynamodb:GetItem`, `dynamodb:UpdateItem`; with
//! threat protection `cognito-idp:ListUsers` and `cognito-idp:AdminListUserAuthEvents`, whose failures
//! stop nothing.

mod answer;
mod book;
mod decide;
mod history;
mod places;
mod rehearsal;
mod tally;
mod thresholds;

use aws_config::SdkConfig;
use aws_sdk_cognitoidentityprovider::Client;
use incident::{BadSetting, Outcome, Settings, SignIn};
use jiff::Timestamp;
use judgement::Verdict;
use ledger::Ledger;
use schemars::JsonSchema;
use serde::Deserialize;
use worker::{Failure, Worker};

pub use decide::{Decision, Finding, Pattern, decide};
pub use history::{History, Location, Record, SignedIn};
pub use rehearsal::Rehearsal;
pub use thresholds::Thresholds;

use places::Places;
use tally::Tally;

/// One attempt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The attempt, as `assess-event` read it.
    pub sign_in: SignIn,
}

/// The worker.
#[derive(Debug)]
pub struct TallySignIns {
    tally: Tally<Ledger>,
    places: Option<Places>,
    now: fn() -> Timestamp,
}

impl TallySignIns {
    /// Reads the settings `MODE`, `LEDGER_TABLE`, `THREAT_PROTECTION` (`on` where Cognito's threat
    /// protection is), and what [`incident::Tiers`] and [`Thresholds`] read.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        let ledger = Ledger::from_settings(config, &settings)?;
        Ok(Self::counting_in(ledger, config, &settings)?)
    }

    /// Reads the same settings, but for the ledger.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn counting_in<F>(
        ledger: Ledger,
        config: &SdkConfig,
        settings: &Settings<F>,
    ) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        // Where somebody is, is never waited for long.
        let cognito = || Places(Client::new(&worker::LEDGER.on(config)));
        Ok(Self {
            tally: Tally::from_settings(ledger, settings)?,
            places: has_threat_protection(settings)?.then(cognito),
            now: Timestamp::now,
        })
    }
}

fn has_threat_protection<F>(settings: &Settings<F>) -> Result<bool, BadSetting>
where
    F: Fn(&str) -> Option<String>,
{
    const SETTING: &str = "THREAT_PROTECTION";
    let set: Option<String> = settings.optional(SETTING)?;
    match set.as_deref() {
        Some("on") => Ok(true),
        Some("off") | None => Ok(false),
        Some(_) => Err(BadSetting::new(
            SETTING,
            "expected `on` or `off`".to_owned(),
        )),
    }
}

impl Worker for TallySignIns {
    type Input = Input;
    type Output = Verdict;

    async fn run(&self, input: Input) -> Result<Verdict, Failure> {
        let sign_in = &input.sign_in;
        let succeeded = sign_in.outcome == Outcome::Succeeded;
        let location = match (&self.places, &sign_in.subject) {
            (Some(places), Some(subject)) if succeeded => {
                let located = places.locate(sign_in, subject).await;
                located.unwrap_or_else(|failure| {
                    let why = failure.name();
                    tracing::warn!(
                        why,
                        "threat protection does not say where a sign-in came from"
                    );
                    None
                })
            }
            _ => None,
        };
        self.tally.count(sign_in, location, (self.now)()).await
    }
}

#[cfg(test)]
mod tests;
