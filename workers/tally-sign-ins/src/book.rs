//! Where attempts are kept.

use std::{cell::RefCell, collections::BTreeMap};

use incident::UserPoolId;
use jiff::{SignedDuration, Timestamp};
use ledger::{Answered, Attempt, Ledger, Series};
use worker::Failure;

/// Where attempts are kept, and who answered what. [`Ledger`] says what each of these promises.
pub(crate) trait Book {
    async fn keep_attempt(
        &self,
        series: &Series,
        attempt: &Attempt,
        until: Timestamp,
    ) -> Result<(), Failure>;

    async fn attempts(
        &self,
        series: &Series,
        from: Timestamp,
        to: Timestamp,
        most: usize,
    ) -> Result<Vec<Attempt>, Failure>;

    async fn answered(&self, series: &Series, kind: &str) -> Result<Option<Answered>, Failure>;

    async fn claim_attack(
        &self,
        series: &Series,
        kind: &str,
        attempt: &Answered,
        window: SignedDuration,
    ) -> Result<bool, Failure>;

    async fn admit_attack(
        &self,
        user_pool: &UserPoolId,
        scope: &str,
        from: Timestamp,
        window: SignedDuration,
        attack: &str,
        most: usize,
    ) -> Result<bool, Failure>;
}

impl Book for Ledger {
    async fn keep_attempt(
        &self,
        series: &Series,
        attempt: &Attempt,
        until: Timestamp,
    ) -> Result<(), Failure> {
        Ledger::keep_attempt(self, series, attempt, until).await
    }

    async fn attempts(
        &self,
        series: &Series,
        from: Timestamp,
        to: Timestamp,
        most: usize,
    ) -> Result<Vec<Attempt>, Failure> {
        Ledger::attempts(self, series, from, to, most).await
    }

    async fn answered(&self, series: &Series, kind: &str) -> Result<Option<Answered>, Failure> {
        Ledger::answered(self, series, kind).await
    }

    async fn claim_attack(
        &self,
        series: &Series,
        kind: &str,
        attempt: &Answered,
        window: SignedDuration,
    ) -> Result<bool, Failure> {
        Ledger::claim_attack(self, series, kind, attempt, window).await
    }

    async fn admit_attack(
        &self,
        user_pool: &UserPoolId,
        scope: &str,
        from: Timestamp,
        window: SignedDuration,
        attack: &str,
        most: usize,
    ) -> Result<bool, Failure> {
        Ledger::admit_attack(self, user_pool, scope, from, window, attack, most).await
    }
}

/// A book in memory, where there is no ledger.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    attempts: RefCell<BTreeMap<(String, Timestamp, String), Attempt>>,
    answered: RefCell<BTreeMap<String, Answered>>,
    admitted: RefCell<BTreeMap<(String, Timestamp), Vec<String>>>,
}

impl Book for Memory {
    async fn keep_attempt(
        &self,
        series: &Series,
        attempt: &Attempt,
        _until: Timestamp,
    ) -> Result<(), Failure> {
        let key = (series.to_string(), attempt.at, attempt.event.to_string());
        self.attempts.borrow_mut().insert(key, attempt.clone());
        Ok(())
    }

    async fn attempts(
        &self,
        series: &Series,
        from: Timestamp,
        to: Timestamp,
        most: usize,
    ) -> Result<Vec<Attempt>, Failure> {
        let series = series.to_string();
        let attempts = self.attempts.borrow();
        let of_series = attempts
            .range((series.clone(), from, String::new())..)
            .take_while(|((of, at, _), _)| *of == series && *at <= to);
        let found: Vec<_> = of_series.map(|(_, attempt)| attempt.clone()).collect();
        Ok(found.into_iter().rev().take(most).collect())
    }

    async fn answered(&self, series: &Series, kind: &str) -> Result<Option<Answered>, Failure> {
        let answered = self.answered.borrow();
        Ok(answered.get(&format!("{series} {kind}")).cloned())
    }

    async fn claim_attack(
        &self,
        series: &Series,
        kind: &str,
        attempt: &Answered,
        window: SignedDuration,
    ) -> Result<bool, Failure> {
        let key = format!("{series} {kind}");
        let mut answered = self.answered.borrow_mut();
        let before = attempt.at.checked_sub(window).unwrap_or(Timestamp::MIN);
        let is_free = answered
            .get(&key)
            .is_none_or(|claimed| claimed.at < before || claimed.by == attempt.by);
        if is_free {
            answered.insert(key, attempt.clone());
        }
        Ok(is_free)
    }

    async fn admit_attack(
        &self,
        user_pool: &UserPoolId,
        scope: &str,
        from: Timestamp,
        _window: SignedDuration,
        attack: &str,
        most: usize,
    ) -> Result<bool, Failure> {
        let mut admitted = self.admitted.borrow_mut();
        let attacks = admitted
            .entry((format!("{user_pool}/{scope}"), from))
            .or_default();
        let is_known = attacks.iter().any(|known| known == attack);
        let is_admitted = is_known || attacks.len() < most;
        if is_admitted && !is_known {
            attacks.push(attack.to_owned());
        }
        Ok(is_admitted)
    }
}
