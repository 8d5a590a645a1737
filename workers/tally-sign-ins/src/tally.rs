//! The counting itself: keep the attempt, read those around it, decide, claim, answer.

use std::{cmp::Reverse, collections::BTreeMap};

use futures_util::future::{join_all, try_join_all};
use incident::{BadSetting, Mode, Network, Outcome, Settings, SignIn, Subject, Tiers};
use jiff::{SignedDuration, Timestamp};
use judgement::Verdict;
use ledger::{Answered, Attempt, Counted, Series};
use worker::Failure;

use crate::{
    answer::{Answer, Found},
    book::Book,
    decide::{Finding, Pattern, at_home, decide, may_be_attack},
    history::{History, Location, Reading, Readings, Record, SignedIn, until},
    thresholds::{DAY, TOOK_PART, Thresholds},
};

/// Counts attempts in a book.
#[derive(Debug)]
pub(crate) struct Tally<B> {
    pub(crate) book: B,
    thresholds: Thresholds,
    tiers: Tiers,
    mode: Mode,
}

impl<B: Book> Tally<B> {
    /// Reads `MODE` and what [`Tiers`] and [`Thresholds`] read.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub(crate) fn from_settings<F>(book: B, settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        Ok(Self {
            book,
            thresholds: Thresholds::from_settings(settings)?,
            tiers: Tiers::from_settings(settings)?,
            mode: settings.required("MODE")?,
        })
    }

    /// Counts an attempt, and answers what it makes of those around it.
    ///
    /// Every attempt is written before it reads, so that of those that make an attack the last one to
    /// be written sees them all.
    pub(crate) async fn count(
        &self,
        sign_in: &SignIn,
        location: Option<Location>,
        now: Timestamp,
    ) -> Result<Verdict, Failure> {
        let attempt = Attempt::from(sign_in);
        let readings = self.readings(sign_in);
        let until = until(sign_in);
        let series = readings.of(sign_in);
        let kept = series
            .iter()
            .map(|series| self.book.keep_attempt(series, &attempt, until));
        try_join_all(kept).await?;
        let history = match sign_in.outcome {
            Outcome::Succeeded => self.of_success(sign_in, attempt, location).await?,
            Outcome::Failed | Outcome::Unknown => self.of_failure(sign_in).await?,
        };
        let Some(history) = history else {
            return Ok(counted(sign_in, "no threshold is crossed"));
        };
        let decision = decide(&self.thresholds, &history, sign_in);
        let won = self.claim(sign_in, decision.findings).await?;
        if won.is_empty() {
            return Ok(counted(sign_in, "no attack that is not answered"));
        }
        self.answer(sign_in, won, now).await
    }

    fn readings<'a>(&'a self, sign_in: &'a SignIn) -> Readings<'a> {
        Readings {
            user_pool: &sign_in.user_pool,
            thresholds: &self.thresholds,
        }
    }

    async fn read(&self, reading: Reading) -> Result<Vec<Attempt>, Failure> {
        let Reading {
            series,
            from,
            to,
            most,
        } = reading;
        self.book.attempts(&series, from, to, most).await
    }

    async fn read_some(&self, reading: Option<Reading>) -> Result<Vec<Attempt>, Failure> {
        match reading {
            Some(reading) => self.read(reading).await,
            None => Ok(Vec::new()),
        }
    }

    /// What a success may be the end of; none where nothing went before.
    async fn of_success(
        &self,
        sign_in: &SignIn,
        attempt: Attempt,
        location: Option<Location>,
    ) -> Result<Option<History>, Failure> {
        let signed_in = self.signed_in(sign_in, attempt, location).await?;
        Ok(signed_in.map(|signed_in| History {
            signed_in: vec![signed_in],
            ..History::default()
        }))
    }

    async fn signed_in(
        &self,
        sign_in: &SignIn,
        attempt: Attempt,
        location: Option<Location>,
    ) -> Result<Option<SignedIn>, Failure> {
        let readings = self.readings(sign_in);
        let subject = attempt.subject.as_ref();
        let of_account = subject.map(|subject| readings.account(subject, Outcome::Failed));
        let of_network = attempt
            .network
            .map(|network| readings.network(network, Outcome::Failed));
        let until = |series: Option<Series>| {
            self.read_some(series.map(|series| readings.until(series, attempt.at)))
        };
        let (account_failures, network_failures) =
            tokio::try_join!(until(of_account), until(of_network))?;
        let mut signed_in = SignedIn {
            account_failures,
            network_failures,
            at_home: Vec::new(),
            location,
            attempt: attempt.clone(),
        };
        let is_abroad = signed_in.location.as_ref().is_some_and(|it| it.is_new);
        if !is_abroad && !signed_in.follows_attack(&self.thresholds) {
            return Ok(None);
        }
        let at_home = subject.map(|subject| readings.at_home(subject, attempt.at));
        signed_in.at_home = self.read_some(at_home).await?;
        Ok(Some(signed_in))
    }

    /// What a failure may be part of; none where it is part of nothing.
    async fn of_failure(&self, sign_in: &SignIn) -> Result<Option<History>, Failure> {
        let readings = self.readings(sign_in);
        let series = readings.of(sign_in);
        let records = series.iter().map(async |series| {
            let reading = readings.around(series.clone(), sign_in.occurred_at);
            let most = reading.most;
            let attempts = self.read(reading).await?;
            Ok::<_, Failure>(Record {
                is_cut: attempts.len() >= most,
                attempts,
                answered: None,
            })
        });
        let records = try_join_all(records).await?;
        let mut history = History::default();
        for (series, record) in series.iter().zip(records) {
            *history.record(series) = record;
        }
        if !may_be_attack(&self.thresholds, &history, sign_in) {
            return Ok(None);
        }
        let answered = series
            .iter()
            .map(|series| self.book.answered(series, Pattern::OneAccount.kind()));
        let later = self.later(sign_in);
        let (answered, later) = tokio::try_join!(try_join_all(answered), later)?;
        for (series, answered) in series.iter().zip(answered) {
            history.record(series).answered = answered;
        }
        history.signed_in = later;
        Ok(Some(history))
    }

    /// Sign-ins that came after a failure and were counted before it.
    async fn later(&self, sign_in: &SignIn) -> Result<Vec<SignedIn>, Failure> {
        if sign_in.outcome != Outcome::Failed {
            return Ok(Vec::new());
        }
        let readings = self.readings(sign_in);
        let later = |series| self.read(readings.later(series, sign_in.occurred_at));
        let subject = sign_in.subject.as_ref();
        let account = subject.map(|subject| later(readings.account(subject, Outcome::Succeeded)));
        let network = sign_in
            .network
            .map(|network| later(readings.network(network, Outcome::Succeeded)));
        let found = try_join_all(account.into_iter().chain(network)).await?;
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        found.sort_by(|one, other| {
            (one.at, one.event.as_str()).cmp(&(other.at, other.event.as_str()))
        });
        found.dedup();
        let signed_in = found
            .into_iter()
            .map(|attempt| self.signed_in(sign_in, attempt, None));
        let signed_in = try_join_all(signed_in).await?;
        Ok(signed_in.into_iter().flatten().collect())
    }

    /// Those that this attempt, and no other, is to answer.
    async fn claim(
        &self,
        sign_in: &SignIn,
        findings: Vec<Finding>,
    ) -> Result<Vec<Finding>, Failure> {
        let window = self.thresholds.window;
        let claims = findings.iter().map(async |finding| {
            let attempt = Answered {
                at: finding.at,
                by: sign_in.event.id.clone(),
            };
            let kind = finding.pattern.kind();
            self.book
                .claim_attack(&finding.series, kind, &attempt, window)
                .await
        });
        // A claim that was won is not given up for one that failed: the retry asks for both again.
        let claims: Result<Vec<_>, _> = join_all(claims).await.into_iter().collect();
        let won = findings.into_iter().zip(claims?);
        Ok(won
            .filter_map(|(finding, won)| won.then_some(finding))
            .collect())
    }

    async fn answer(
        &self,
        sign_in: &SignIn,
        won: Vec<Finding>,
        now: Timestamp,
    ) -> Result<Verdict, Failure> {
        let found = won.into_iter().map(async |finding| {
            let networks = self.networks(sign_in, &finding).await?;
            Ok::<_, Failure>(Found { finding, networks })
        });
        let mut answer = Answer {
            thresholds: &self.thresholds,
            tiers: &self.tiers,
            mode: self.mode,
            sign_in,
            found: try_join_all(found).await?,
            disables: true,
            now,
        };
        let Some(attack) = answer.id().filter(|_| !answer.is_our_own()) else {
            return Ok(answer.verdict());
        };
        let Thresholds {
            window,
            at_once,
            accounts_per_hour,
            ..
        } = self.thresholds;
        let admits = |scope: String, window, most| {
            let begin = begin(sign_in.occurred_at, window);
            let (pool, attack) = (&sign_in.user_pool, attack.as_str());
            async move {
                let book = &self.book;
                book.admit_attack(pool, &scope, begin, window, attack, most)
                    .await
            }
        };
        if answer.is_urgent() {
            // Whoever makes many sign-ins look like break-ins would have us lock the hospital out.
            let hour = SignedDuration::from_hours(1);
            answer.disables = admits("disabled".to_owned(), hour, accounts_per_hour).await?;
            return Ok(answer.verdict());
        }
        // One wider network cannot use up what is left for all others.
        let wider = answer.wider();
        let admitted = admits(wider, window, at_once).await?
            && admits("all".to_owned(), window, at_once * 10).await?;
        Ok(if admitted {
            answer.verdict()
        } else {
            answer.too_many()
        })
    }

    /// Where an attack came from, the most attempts first, where somebody else is at home left out.
    async fn networks(&self, sign_in: &SignIn, finding: &Finding) -> Result<Vec<Network>, Failure> {
        let readings = self.readings(sign_in);
        let own = match finding.pattern {
            Pattern::OneNetwork | Pattern::SlowNetwork | Pattern::Untold => sign_in.network,
            Pattern::Found => finding.signed_in.as_ref().and_then(|it| it.network),
            Pattern::NewPlace | Pattern::Doubtful => None,
            Pattern::UnknownUsers => {
                let series = readings.unknown_users();
                let all = Reading::all(series, sign_in.occurred_at, self.thresholds.window);
                return Ok(by_attempts(&self.read(all).await?, |_| true));
            }
            Pattern::TakenOver | Pattern::OneAccount | Pattern::SlowAccount => {
                return match &finding.subject {
                    Some(subject) => self.networks_of(sign_in, finding, subject).await,
                    None => Ok(Vec::new()),
                };
            }
        };
        Ok(own.into_iter().collect())
    }

    async fn networks_of(
        &self,
        sign_in: &SignIn,
        finding: &Finding,
        subject: &Subject,
    ) -> Result<Vec<Network>, Failure> {
        let readings = self.readings(sign_in);
        let span = match finding.pattern {
            Pattern::OneAccount => self.thresholds.window,
            _ => DAY,
        };
        let at = sign_in.occurred_at;
        let failures = Reading::all(readings.account(subject, Outcome::Failed), at, span);
        let at_home_there = readings.at_home(subject, finding.since);
        let (failures, successes) =
            tokio::try_join!(self.read(failures), self.read(at_home_there))?;
        let home = at_home(&successes, finding.since);
        let taken_from = finding.signed_in.as_ref().and_then(|it| it.network);
        let attempts: Vec<_> = failures
            .into_iter()
            .filter(|one| one.at >= finding.since)
            .collect();
        let networks = by_attempts(&attempts, |(network, count)| {
            *count >= TOOK_PART || !home.contains(&Some(*network))
        });
        let others = networks
            .into_iter()
            .filter(|network| Some(*network) != taken_from);
        Ok(taken_from.into_iter().chain(others).collect())
    }
}

impl History {
    fn record(&mut self, series: &Series) -> &mut Record {
        match (&series.counted, series.outcome) {
            (Counted::Account(_), _) => &mut self.account,
            (Counted::Network(_), Outcome::Unknown) => &mut self.untold,
            (Counted::Network(_), _) => &mut self.network,
            (Counted::UnknownUsers, _) => &mut self.unknown_users,
        }
    }
}

fn counted(sign_in: &SignIn, why: &str) -> Verdict {
    Verdict::Count {
        reason: format!("counted: {why}"),
        sign_in: Box::new(sign_in.clone()),
    }
}

/// The windows in which attacks are counted follow one another.
fn begin(at: Timestamp, window: SignedDuration) -> Timestamp {
    let (at, window) = (at.as_second(), window.as_secs().max(1));
    Timestamp::from_second(at - at.rem_euclid(window)).unwrap_or(Timestamp::MIN)
}

fn by_attempts(attempts: &[Attempt], keep: impl Fn(&(Network, usize)) -> bool) -> Vec<Network> {
    let mut counts = BTreeMap::new();
    for network in attempts.iter().filter_map(|one| one.network) {
        *counts.entry(network).or_insert(0_usize) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().filter(keep).collect();
    counts.sort_by_key(|(network, count)| (Reverse(*count), *network));
    counts.into_iter().map(|(network, _)| network).collect()
}
