//! When attempts to sign in are an attack.

use std::str::FromStr;

use incident::{BadSetting, NeverBlock, Settings};
use jiff::SignedDuration;

/// How far back slow guessing is looked for.
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Failures by which a network took part in an attack on an account that is at home there: to mistype
/// twice is human.
pub(crate) const TOOK_PART: usize = 3;

/// A hosted login tells of every attempt and not how it ended; of people's, most succeed.
const UNTOLD: usize = 6;

/// No threshold is higher: twice as many attempts are read at once.
const MOST: usize = 500;

/// When attempts to sign in are an attack. What a nurse does who forgot her password is none: she is
/// wrong three times and then right, from one address.
#[derive(Debug, Clone)]
pub struct Thresholds {
    /// The time within which attempts belong together.
    pub window: SignedDuration,
    /// Failures of one account within the window.
    pub account: usize,
    /// Failures from one network, of several accounts or of users who do not exist, within the window.
    pub spray: usize,
    /// Failures of users who do not exist, from anywhere, within the window.
    pub unknown_users: usize,
    /// Failures of one account within a day.
    pub slow_account: usize,
    /// Failures from one network within a day.
    pub slow_network: usize,
    /// Attacks from one wider network that are answered within one window, and a tenth of those that
    /// are answered in all; of more, people are told.
    pub at_once: usize,
    /// Accounts that are disabled within an hour; of more, people are told.
    pub accounts_per_hour: usize,
    /// What is never blocked.
    pub never_block: NeverBlock,
}

/// A number of attempts, more than none.
struct Attempts(usize);

impl FromStr for Attempts {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number @ 1..=MOST) => Ok(Self(number)),
            _ => Err("expected a number from 1 to 500"),
        }
    }
}

/// A window of whole minutes, up to a day.
struct Minutes(SignedDuration);

impl FromStr for Minutes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(minutes @ 1..=1_440) => Ok(Self(SignedDuration::from_mins(minutes))),
            _ => Err("expected minutes, from 1 to 1440"),
        }
    }
}

impl Thresholds {
    /// Reads `SIGN_IN_WINDOW_MINUTES` (15 where it is not set), `ACCOUNT_FAILURES` (5),
    /// `SPRAY_FAILURES` (10), `UNKNOWN_USER_FAILURES` (50), `SLOW_ACCOUNT_FAILURES` (20),
    /// `SLOW_NETWORK_FAILURES` (100), `SIGN_IN_ATTACKS_AT_ONCE` (20), `MAX_ACCOUNTS_PER_HOUR` (5) and
    /// `NEVER_BLOCK_CIDRS`.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let attempts = |name, usual| -> Result<usize, BadSetting> {
            let set: Option<Attempts> = settings.optional(name)?;
            Ok(set.map_or(usual, |set| set.0))
        };
        let window: Option<Minutes> = settings.optional("SIGN_IN_WINDOW_MINUTES")?;
        Ok(Self {
            window: window.map_or(SignedDuration::from_mins(15), |window| window.0),
            account: attempts("ACCOUNT_FAILURES", 5)?,
            spray: attempts("SPRAY_FAILURES", 10)?,
            unknown_users: attempts("UNKNOWN_USER_FAILURES", 50)?,
            slow_account: attempts("SLOW_ACCOUNT_FAILURES", 20)?,
            slow_network: attempts("SLOW_NETWORK_FAILURES", 100)?,
            at_once: attempts("SIGN_IN_ATTACKS_AT_ONCE", 20)?,
            accounts_per_hour: attempts("MAX_ACCOUNTS_PER_HOUR", 5)?,
            never_block: NeverBlock::from_settings(settings)?,
        })
    }

    /// Attempts from one network at a hosted login, within the window.
    pub(crate) fn untold(&self) -> usize {
        (UNTOLD * self.spray).min(MOST)
    }
}
