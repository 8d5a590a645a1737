//! Whether an attempt makes an attack of those around it. Pure: the same history, the same decision.

use std::{collections::BTreeSet, ops::Range};

use incident::{Network, NeverBlock, Outcome, SignIn, Subject};
use jiff::{SignedDuration, Timestamp};
use ledger::{Attempt, Counted, Series};

use crate::{
    history::{History, Location, Readings, Record, SignedIn, after, before},
    thresholds::{DAY, TOOK_PART, Thresholds},
};

/// What an attempt makes of those around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is found, the gravest first; nothing where it is only counted.
    pub findings: Vec<Finding>,
}

/// An attack that was not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub pattern: Pattern,
    /// In which series it is found: it is answered once for each of them and each kind of pattern.
    pub series: Series,
    /// Whose account; none where there are many, or nobody knows.
    pub subject: Option<Subject>,
    /// When it began.
    pub since: Timestamp,
    /// When it was complete: with the last attempt, or the sign-in.
    pub at: Timestamp,
    /// How many attempts were seen of it.
    pub attempts: usize,
    /// From how many networks they came.
    pub networks: usize,
    /// How many accounts they tried, each user who does not exist being one.
    pub accounts: usize,
    /// The sign-in that may be the attacker's.
    pub signed_in: Option<Attempt>,
    /// Where that came from, as threat protection knows it.
    pub location: Option<Location>,
}

/// What an attack looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Somebody signed in to an account after its password was guessed at.
    TakenOver,
    /// Somebody signed in from a network that had tried other accounts.
    Found,
    /// One account is tried.
    OneAccount,
    /// One account is tried, slowly.
    SlowAccount,
    /// One network tries many accounts.
    OneNetwork,
    /// One network tries, slowly.
    SlowNetwork,
    /// Users are tried who do not exist.
    UnknownUsers,
    /// One network tries the hosted login.
    Untold,
    /// An account signed in from a country it never signed in from.
    NewPlace,
    /// An account that was guessed at signed in, and it may have been its owner.
    Doubtful,
}

impl Pattern {
    /// Whether an account is broken into.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::TakenOver | Self::Found)
    }

    /// What is answered once in a window.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::TakenOver | Self::Found => "taken-over",
            Self::NewPlace | Self::Doubtful => "new-place",
            _ => "attacked",
        }
    }
}

/// Decides what an attempt makes of those around it, itself included.
#[must_use]
pub fn decide(thresholds: &Thresholds, history: &History, sign_in: &SignIn) -> Decision {
    let judge = Judge {
        thresholds,
        readings: Readings {
            user_pool: &sign_in.user_pool,
            thresholds,
        },
        sign_in,
    };
    let mut findings: Vec<_> = judge.successes(history).collect();
    findings.extend(judge.attacks(history));
    Decision { findings }
}

/// Whether an attack that `sign_in` belongs to may be in what was read, so that more has to be read.
pub(crate) fn may_be_attack(thresholds: &Thresholds, history: &History, sign_in: &SignIn) -> bool {
    let records = [
        &history.account,
        &history.network,
        &history.unknown_users,
        &history.untold,
    ];
    records.iter().any(|record| record.is_cut)
        || !decide(thresholds, history, sign_in).findings.is_empty()
}

struct Judge<'a> {
    thresholds: &'a Thresholds,
    readings: Readings<'a>,
    sign_in: &'a SignIn,
}

impl Judge<'_> {
    fn successes<'a>(&'a self, history: &'a History) -> impl Iterator<Item = Finding> + 'a {
        history.signed_in.iter().filter_map(|it| {
            let found = it
                .guessed(self.thresholds)
                .or_else(|| it.found(self.thresholds));
            let (pattern, attempts) = match found {
                Some(found) => found,
                None => it.far_away()?,
            };
            let subject = it.attempt.subject.as_ref();
            let account = subject.map(|subject| self.readings.account(subject, Outcome::Succeeded));
            let network = it.attempt.network;
            let network = network.map(|it| self.readings.network(it, Outcome::Succeeded));
            Some(Finding {
                subject: subject.cloned(),
                at: it.attempt.at,
                signed_in: Some(it.attempt.clone()),
                location: it.location.clone(),
                ..self.finding(pattern, account.or(network)?, &attempts)
            })
        })
    }

    fn attacks(&self, history: &History) -> Vec<Finding> {
        let Self {
            thresholds,
            readings,
            sign_in,
        } = self;
        let mut findings = Vec::new();
        let network = sign_in
            .network
            .and_then(|network| self.by_network(history, network));
        if let Some(subject) = &sign_in.subject
            && let Some((pattern, attempts)) = self.in_account(&history.account)
            && !self.is_covered(history, network.as_ref(), &attempts)
        {
            let series = readings.account(subject, Outcome::Failed);
            findings.push(Finding {
                subject: Some(subject.clone()),
                ..self.finding(pattern, series, &attempts)
            });
        }
        findings.extend(network);
        let many = |attempts: &[&Attempt]| attempts.len() >= thresholds.unknown_users;
        if let Some(attempts) = self.within(&history.unknown_users, thresholds.window, many) {
            let series = readings.unknown_users();
            findings.push(self.finding(Pattern::UnknownUsers, series, &attempts));
        }
        let many = |attempts: &[&Attempt]| attempts.len() >= thresholds.untold();
        if let Some(network) = sign_in.network
            && let Some(attempts) = self.within(&history.untold, thresholds.window, many)
        {
            let series = readings.network(network, Outcome::Unknown);
            findings.push(self.finding(Pattern::Untold, series, &attempts));
        }
        findings
    }

    fn in_account<'a>(&self, record: &'a Record) -> Option<(Pattern, Vec<&'a Attempt>)> {
        let thresholds = self.thresholds;
        let quick = self.within(record, thresholds.window, |attempts| {
            attempts.len() >= thresholds.account
        });
        let slow = || self.anew(record, |attempts| attempts.len() >= thresholds.slow_account);
        let quick = quick.map(|attempts| (Pattern::OneAccount, attempts));
        quick.or_else(|| Some((Pattern::SlowAccount, slow()?)))
    }

    fn by_network(&self, history: &History, network: Network) -> Option<Finding> {
        let thresholds = self.thresholds;
        let record = &history.network;
        let quick = self.within(record, thresholds.window, |attempts| {
            is_spray(thresholds, attempts)
        });
        let slow = || self.anew(record, |attempts| attempts.len() >= thresholds.slow_network);
        let quick = quick.map(|attempts| (Pattern::OneNetwork, attempts));
        let (pattern, attempts) = quick.or_else(|| Some((Pattern::SlowNetwork, slow()?)))?;
        let series = self.readings.network(network, Outcome::Failed);
        Some(self.finding(pattern, series, &attempts))
    }

    /// Whether an account is tried by one network alone, and that is answered as a whole: whoever
    /// tries a thousand accounts from one place is one incident.
    fn is_covered(
        &self,
        history: &History,
        network: Option<&Finding>,
        attempts: &[&Attempt],
    ) -> bool {
        let Some(own) = self.sign_in.network else {
            return false;
        };
        let is_claimed = |record: &Record| {
            let answered = record.answered.as_ref();
            answered.is_some_and(|answered| answered.by == self.sign_in.event.id)
        };
        attempts.iter().all(|one| one.network == Some(own))
            && (network.is_some() || self.is_answered(&history.network))
            && self.thresholds.never_block.refusal(&own).is_none()
            // What this attempt has answered already is not taken back by its retry.
            && !is_claimed(&history.account)
    }

    /// Whether another attempt's answer covers this one.
    fn is_answered(&self, record: &Record) -> bool {
        let begin = before(self.sign_in.occurred_at, self.thresholds.window);
        let answered = record.answered.as_ref();
        answered.is_some_and(|it| it.at >= begin && it.by != self.sign_in.event.id)
    }

    /// The attempts within `span` of each other, this one among them, that are an attack; none where
    /// that is answered.
    fn within<'a>(
        &self,
        record: &'a Record,
        span: SignedDuration,
        is_attack: impl Fn(&[&'a Attempt]) -> bool,
    ) -> Option<Vec<&'a Attempt>> {
        if self.is_answered(record) {
            return None;
        }
        self.largest(&sorted(record.attempts.iter()), span, is_attack)
    }

    /// The same within a day, of those only that came after the window of the last answer.
    fn anew<'a>(
        &self,
        record: &'a Record,
        is_attack: impl Fn(&[&'a Attempt]) -> bool,
    ) -> Option<Vec<&'a Attempt>> {
        if self.is_answered(record) {
            return None;
        }
        let answered = record.answered.as_ref();
        let answered = answered.filter(|answered| answered.by != self.sign_in.event.id);
        let since = answered.map_or(Timestamp::MIN, |answered| {
            after(answered.at, self.thresholds.window)
        });
        let attempts = record.attempts.iter().filter(|one| one.at > since);
        self.largest(&sorted(attempts), DAY, is_attack)
    }

    fn largest<'a>(
        &self,
        attempts: &[&'a Attempt],
        span: SignedDuration,
        is_attack: impl Fn(&[&'a Attempt]) -> bool,
    ) -> Option<Vec<&'a Attempt>> {
        let own = attempts
            .iter()
            .position(|one| one.event == self.sign_in.event.id)?;
        windows(attempts, span)
            .filter(|window| window.contains(&own))
            .map(|window| &attempts[window])
            .filter(|attempts| is_attack(attempts))
            .max_by_key(|attempts| attempts.len())
            .map(<[_]>::to_vec)
    }

    fn finding(&self, pattern: Pattern, series: Series, attempts: &[&Attempt]) -> Finding {
        let at = self.sign_in.occurred_at;
        Finding {
            pattern,
            since: attempts.first().map_or(at, |first| first.at),
            at,
            subject: match &series.counted {
                Counted::Account(subject) => Some(subject.clone()),
                Counted::Network(_) | Counted::UnknownUsers => None,
            },
            series,
            attempts: attempts.len(),
            networks: networks(attempts),
            accounts: accounts(attempts),
            signed_in: None,
            location: None,
        }
    }
}

impl SignedIn {
    /// Whether an attack on its account, or from its network, went before.
    pub(crate) fn follows_attack(&self, thresholds: &Thresholds) -> bool {
        self.attack(thresholds).is_some() || self.spray(thresholds).is_some()
    }

    /// The attack on its account that it may be the success of, and whether that was quick.
    fn attack(&self, thresholds: &Thresholds) -> Option<(Vec<&Attempt>, bool)> {
        let failures = sorted(self.account_failures.iter());
        let quick = |attempts: &[&Attempt]| attempts.len() >= thresholds.account;
        let slow = |attempts: &[&Attempt]| attempts.len() >= thresholds.slow_account;
        let quick = self.preceding(&failures, thresholds.window, quick);
        let slow = || self.preceding(&failures, DAY, slow);
        quick
            .map(|attack| (attack, true))
            .or_else(|| Some((slow()?, false)))
    }

    /// The attack from its network that it may be the success of.
    fn spray(&self, thresholds: &Thresholds) -> Option<Vec<&Attempt>> {
        let network = self.attempt.network?;
        if thresholds.never_block.refusal(&network).is_some() {
            return None;
        }
        let failures = sorted(self.network_failures.iter());
        self.preceding(&failures, thresholds.window, |attempts| {
            is_spray(thresholds, attempts)
        })
    }

    /// The failures since the first attack that went on within `span` before the sign-in; an attack is
    /// of attempts within `span` of each other.
    fn preceding<'a>(
        &self,
        failures: &[&'a Attempt],
        span: SignedDuration,
        is_attack: impl Fn(&[&'a Attempt]) -> bool,
    ) -> Option<Vec<&'a Attempt>> {
        let begin = before(self.attempt.at, span);
        let went_on = |window: &Range<usize>| failures[window.end - 1].at >= begin;
        windows(failures, span)
            .filter(went_on)
            .find(|window| is_attack(&failures[window.clone()]))
            .map(|window| failures[window.start..].to_vec())
    }

    /// Whether the password was guessed: the sign-in came from where it was guessed at or, right after
    /// a quick attack, from where the account is not at home.
    ///
    /// Elsewhere its owner may have signed in, and to take them for the thief would let a stranger lock
    /// them out, so people are asked: within a day of slow guessing, on the clinic's own network, where
    /// owner and guesser have one address, and through a server, which shows its own.
    fn guessed(&self, thresholds: &Thresholds) -> Option<(Pattern, Vec<&Attempt>)> {
        let (attack, is_quick) = self.attack(thresholds)?;
        let since = attack.first()?.at;
        let never_block = &thresholds.never_block;
        let network = self.attempt.network;
        let tells = network.is_some_and(|network| !never_block.is_own(&network));
        let from_here = |one: &&&Attempt| tells && one.network == network;
        let tried = attack.iter().filter(from_here).count();
        let is_stranger = tells && !self.is_home(never_block, since);
        let is_guess =
            tried >= TOOK_PART || self.is_abroad() || is_stranger && (is_quick || tried > 0);
        let tried_here = attack.iter().filter(|one| one.network == network).count();
        let is_doubtful = is_stranger || !tells && tried_here >= TOOK_PART;
        if is_guess {
            Some((Pattern::TakenOver, attack))
        } else {
            is_doubtful.then_some((Pattern::Doubtful, attack))
        }
    }

    /// Whether the password was found by trying one on many accounts.
    fn found(&self, thresholds: &Thresholds) -> Option<(Pattern, Vec<&Attempt>)> {
        let spray = self.spray(thresholds)?;
        let since = spray.first()?.at;
        let is_home = self.is_home(&thresholds.never_block, since);
        (self.is_abroad() || !is_home).then_some((Pattern::Found, spray))
    }

    fn far_away(&self) -> Option<(Pattern, Vec<&Attempt>)> {
        self.is_abroad().then_some((Pattern::NewPlace, Vec::new()))
    }

    fn is_abroad(&self) -> bool {
        self.location.as_ref().is_some_and(|it| it.is_new)
    }

    /// Whether the account signed in from that network before the attack, or it is the clinic's own.
    fn is_home(&self, never_block: &NeverBlock, since: Timestamp) -> bool {
        let network = self.attempt.network;
        network.is_some_and(|network| never_block.is_own(&network))
            || at_home(&self.at_home, since).contains(&network)
    }
}

/// From where an account signed in before an attack began.
pub(crate) fn at_home(successes: &[Attempt], since: Timestamp) -> BTreeSet<Option<Network>> {
    let before = successes.iter().filter(|one| one.at < since);
    before.map(|one| one.network).collect()
}

fn is_spray(thresholds: &Thresholds, attempts: &[&Attempt]) -> bool {
    attempts.len() >= thresholds.spray && accounts(attempts) > 1
}

/// How many accounts were tried; each user who does not exist is one.
fn accounts(attempts: &[&Attempt]) -> usize {
    let known: BTreeSet<_> = attempts
        .iter()
        .filter_map(|one| one.subject.as_ref())
        .collect();
    let unknown = attempts.iter().filter(|one| one.subject.is_none()).count();
    known.len() + unknown
}

fn networks(attempts: &[&Attempt]) -> usize {
    let networks: BTreeSet<_> = attempts.iter().filter_map(|one| one.network).collect();
    networks.len()
}

/// Oldest first, and in the same order however they were read.
fn sorted<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Vec<&'a Attempt> {
    let mut attempts: Vec<_> = attempts.collect();
    attempts.sort_by(|one, other| {
        let order = |it: &'a Attempt| (it.at, it.event.as_str());
        order(one).cmp(&order(other))
    });
    attempts
}

/// From each of the attempts, as many as lie within `span` after it.
fn windows<'a>(
    attempts: &'a [&Attempt],
    span: SignedDuration,
) -> impl Iterator<Item = Range<usize>> + 'a {
    attempts.iter().enumerate().map(move |(first, start)| {
        let within = |one: &&Attempt| one.at.duration_since(start.at) <= span;
        let length = attempts[first..].partition_point(within);
        first..first + length
    })
}
