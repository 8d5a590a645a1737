//! The tally without an account: what would come of attempts in a row.

use futures_util::FutureExt as _;
use incident::{BadSetting, Settings, SignIn};
use jiff::Timestamp;
use judgement::Verdict;
use worker::Failure;

use crate::{book::Memory, tally::Tally};

/// The tally in memory, by the code that counts in the ledger.
#[derive(Debug)]
pub struct Rehearsal(Tally<Memory>);

impl Rehearsal {
    /// One in which nothing is counted yet, with the settings of the worker.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        Tally::from_settings(Memory::default(), settings).map(Self)
    }

    /// Counts one attempt, and answers what it makes of those before it.
    ///
    /// # Errors
    /// None that a book in memory knows.
    pub fn count(&self, sign_in: &SignIn, now: Timestamp) -> Result<Verdict, Failure> {
        let counted = self.0.count(sign_in, None, now).now_or_never();
        counted.unwrap_or_else(|| Err(Failure::Rejected("memory does not wait".to_owned())))
    }
}
