//! What is known when an attempt is judged: which series it belongs to, and how much of each is read.

use incident::{Network, Outcome, SignIn, Subject, Target, UserPoolId};
use jiff::{SignedDuration, Timestamp};
use ledger::{Answered, Attempt, Counted, Series};

use crate::thresholds::{DAY, Thresholds};

/// How far back it is known where somebody is at home, and how many of their sign-ins are read.
const AT_HOME: SignedDuration = SignedDuration::from_hours(24 * 30);
const MOST_AT_HOME: usize = 300;

/// How many later sign-ins a failure that arrives late is compared with.
const MOST_LATER: usize = 20;

/// The attempts that matter to one of them. Only what it belongs to is filled in.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Failures of its account.
    pub account: Record,
    /// Failures from its network.
    pub network: Record,
    /// Failures of users who do not exist.
    pub unknown_users: Record,
    /// Attempts from its network at the hosted login, of which nothing tells how they ended.
    pub untold: Record,
    /// Sign-ins that may be the attack's success: the attempt itself, or those after a failure that
    /// arrives late.
    pub signed_in: Vec<SignedIn>,
}

/// Attempts of a series around the one that is judged, and which attack among them was answered last.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The attempts, newest first.
    pub attempts: Vec<Attempt>,
    /// Whether there are more of them than were read.
    pub is_cut: bool,
    /// The answer; none where nothing was answered.
    pub answered: Option<Answered>,
}

/// A sign-in, and what was before it.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The sign-in.
    pub attempt: Attempt,
    /// Failures of its account until then.
    pub account_failures: Vec<Attempt>,
    /// Failures from its network until then.
    pub network_failures: Vec<Attempt>,
    /// Where its account signed in until then.
    pub at_home: Vec<Attempt>,
    /// Where it came from, as threat protection knows it.
    pub location: Option<Location>,
}

/// Where a sign-in came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The city and the country, for people.
    pub place: String,
    /// Whether the account signed in before, and never from that country.
    pub is_new: bool,
    /// What threat protection says of the risk, where it sees one.
    pub risk: Option<String>,
}

/// Attempts that are to be read, newest first.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) series: Series,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) most: usize,
}

impl Reading {
    /// The attempts around an attack, as many as an incident tells of.
    pub(crate) fn all(series: Series, at: Timestamp, span: SignedDuration) -> Self {
        Self {
            series,
            from: before(at, span),
            to: after(at, span),
            most: Target::MOST_NETWORKS,
        }
    }
}

/// Which series are read for the attempts of one pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readings<'a> {
    pub(crate) user_pool: &'a UserPoolId,
    pub(crate) thresholds: &'a Thresholds,
}

impl Readings<'_> {
    pub(crate) fn account(&self, subject: &Subject, outcome: Outcome) -> Series {
        self.series(Counted::Account(subject.clone()), outcome)
    }

    pub(crate) fn network(&self, network: Network, outcome: Outcome) -> Series {
        self.series(Counted::Network(network), outcome)
    }

    pub(crate) fn unknown_users(&self) -> Series {
        self.series(Counted::UnknownUsers, Outcome::Failed)
    }

    fn series(&self, counted: Counted, outcome: Outcome) -> Series {
        Series {
            user_pool: self.user_pool.clone(),
            counted,
            outcome,
        }
    }

    /// The series that an attempt is one of.
    pub(crate) fn of(&self, sign_in: &SignIn) -> Vec<Series> {
        let outcome = sign_in.outcome;
        let subject = sign_in.subject.as_ref();
        // Where nothing tells how it ended, nothing certain tells whose account it was.
        let account = subject.filter(|_| outcome != Outcome::Unknown);
        let is_unknown = outcome == Outcome::Failed && subject.is_none();
        [
            account.map(|subject| self.account(subject, outcome)),
            sign_in
                .network
                .map(|network| self.network(network, outcome)),
            is_unknown.then(|| self.unknown_users()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The attempts of a series around one of them, as many as tell whether it belongs to an attack.
    ///
    /// One that it belongs to and that consists of `enough` attempts within `span` lies within the
    /// nearest `enough` before it and after it. Of twice as many, the newest are read; where there are
    /// more, those newer than it are an attack by themselves, which they have seen.
    pub(crate) fn around(&self, series: Series, at: Timestamp) -> Reading {
        let span = self.span(&series);
        Reading {
            most: 2 * self.enough(&series) - 1,
            from: before(at, span),
            to: after(at, span),
            series,
        }
    }

    /// The attempts of a series until `at`, as many as tell whether an attack went before.
    pub(crate) fn until(&self, series: Series, at: Timestamp) -> Reading {
        Reading {
            to: at,
            ..self.around(series, at)
        }
    }

    /// Where an account signed in until `at`.
    pub(crate) fn at_home(&self, subject: &Subject, at: Timestamp) -> Reading {
        Reading {
            series: self.account(subject, Outcome::Succeeded),
            from: before(at, AT_HOME),
            to: at,
            most: MOST_AT_HOME,
        }
    }

    /// The sign-ins after `at` that may be the success of an attack which an attempt of then completes.
    pub(crate) fn later(&self, series: Series, at: Timestamp) -> Reading {
        let span = match series.counted {
            Counted::Account(_) => DAY,
            Counted::Network(_) | Counted::UnknownUsers => self.thresholds.window * 2,
        };
        Reading {
            series,
            from: at,
            to: after(at, span),
            most: MOST_LATER,
        }
    }

    fn enough(&self, series: &Series) -> usize {
        let thresholds = self.thresholds;
        match (&series.counted, series.outcome) {
            (Counted::Account(_), _) => thresholds.account.max(thresholds.slow_account),
            (Counted::Network(_), Outcome::Unknown) => thresholds.untold(),
            (Counted::Network(_), _) => thresholds.spray.max(thresholds.slow_network),
            (Counted::UnknownUsers, _) => thresholds.unknown_users,
        }
    }

    fn span(&self, series: &Series) -> SignedDuration {
        match (&series.counted, series.outcome) {
            (Counted::UnknownUsers, _) | (Counted::Network(_), Outcome::Unknown) => {
                self.thresholds.window
            }
            (Counted::Account(_) | Counted::Network(_), _) => DAY,
        }
    }
}

/// How long an attempt may matter.
pub(crate) fn until(sign_in: &SignIn) -> Timestamp {
    after(
        sign_in.occurred_at,
        match sign_in.outcome {
            Outcome::Succeeded => AT_HOME,
            Outcome::Failed | Outcome::Unknown => DAY * 2,
        },
    )
}

pub(crate) fn before(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

pub(crate) fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
