//! What WAF's IP sets should block, and the one writer that makes them so.
//!
//! `UpdateIPSet` replaces a whole set under a lock token, and WAF takes one a second in an account and
//! region. So the ledger says what should be blocked, and whoever holds a set's lease there writes it
//! for everybody who waits: a thousand runs at once cost a handful of calls.
//!
//! 1. A run writes its asks, one item for each network, and then takes a number: its request.
//! 2. It waits, looking only at the ledger, until the set answers to that request; or it finds the
//!    set's lease free, or its holder silent for 20 seconds, and takes it.
//! 3. The writer reads the set, then the number of the last request, then every block. It merges the
//!    live ones with those entries that are not ours, replaces the set under its token where that
//!    changes anything, and records the number. It goes on while others ask and time allows.
//!
//! **Whose an entry is.** Before a set is replaced, the ledger gets the list of all that we put into
//! it, and afterwards the list without what was taken out. Every other entry is somebody else's and
//! stays, as does one that was there before we wanted it. A writer that dies between the two lists
//! leaves the longer one: nothing of ours is ever taken for somebody else's. Only an entry that
//! somebody makes by hand within those minutes, of the very network that was being put in or taken
//! out, counts as ours.
//!
//! **How long.** The setting `BLOCK_MINUTES`, and four times as long as the last time for a network
//! that was blocked within the 30 days before; seven days at most. Another incident's ask makes a
//! block last longer; the same incident's changes nothing. The last one to let go unblocks.
//!
//! **Never.** What [`NeverBlock`] refuses is not asked for, and what it has come to refuse since goes
//! out. A set holds 10,000 entries: of our blocks those that expire first give way.
//!
//! **Without the ledger** a network is put straight into the set, under its token. That looks like
//! somebody else's entry from then on, and nothing unblocks it: a human is told.
//!
//! A change reaches WAF's edges within seconds to minutes, unevenly: an answer here says that WAF has
//! it, never that it works already.
//!
//! <https://docs.aws.amazon.com/waf/latest/APIReference/API_UpdateIPSet.html>

mod ask;
mod direct;
mod pause;
mod plan;
mod set;
mod sweep;
mod unblock;
mod writer;

#[cfg(any(test, feature = "test-util"))]
pub mod fake;

#[cfg(test)]
mod orders;
#[cfg(test)]
mod tests;

pub use sweep::Swept;
pub use unblock::Unblocked;

use std::{collections::BTreeSet, time::Duration};

use aws_config::SdkConfig;
use futures_util::future::join_all;
use incident::{BadNetwork, BadSetting, Family, IncidentId, Network, NeverBlock, Settings, cut};
use jiff::Timestamp;
use ledger::{Fill, Ledger};
use tokio::time::Instant;
use worker::Failure;

use ask::{Asked, LONGEST_MINUTES, Unwritten};
use set::{CAPACITY, IpSet, named};

/// How long a run begins anything; a function of 60 seconds can then still finish it.
const BUDGET: Duration = Duration::from_secs(45);

/// How long a ledger may give no answer until it counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many networks a line for people names.
const MOST_NAMED: usize = 20;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// What is blocked, and where.
#[derive(Debug)]
pub struct Blocklist {
    ledger: Ledger,
    never: NeverBlock,
    minutes: u32,
    sets: Vec<IpSet>,
    capacity: usize,
    now: fn() -> Timestamp,
    seed: fn() -> u64,
}

/// What came of blocking.
#[derive(Debug, Default)]
pub struct Blocked {
    /// Whether anything is different now.
    pub changed: bool,
    /// How many of the networks are blocked now, or would be.
    pub networks: usize,
    /// How many of them were not, or not for so long.
    pub anew: usize,
    /// When the first and the last of them are let go; none where the ledger cannot tell.
    pub until: Option<(Timestamp, Timestamp)>,
    /// How many had been blocked for this incident, and were let go since.
    pub ended: usize,
    /// What is left for a human.
    pub left: Vec<String>,
    /// What failed.
    pub failures: Vec<Failure>,
}

/// A network that is not blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked for; cut where it is too long to be a network.
    pub network: String,
    /// Why it is not.
    pub why: String,
    /// Whether it is the clinic's own.
    pub is_own: bool,
}

impl Blocklist {
    /// Reads the settings `LEDGER_TABLE`, `IP_SET_V4_ARN`, `IP_SET_V6_ARN`, `BLOCK_MINUTES` and
    /// `NEVER_BLOCK_CIDRS`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_settings<F>(config: &SdkConfig, settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let ledger = Ledger::from_settings(config, settings)?;
        Self::new(ledger, config, settings)
    }

    /// The same with a ledger that is there already: its limits may have to be others.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn new<F>(
        ledger: Ledger,
        config: &SdkConfig,
        settings: &Settings<F>,
    ) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let mut sets = Vec::new();
        for family in FAMILIES {
            let arn = settings.optional(setting(family))?;
            sets.extend(arn.map(|arn| IpSet::new(config, arn, family)));
        }
        let minutes = settings.optional("BLOCK_MINUTES")?.unwrap_or(60);
        if !(1..=LONGEST_MINUTES).contains(&minutes) {
            let why = format!("expected 1 to {LONGEST_MINUTES} minutes");
            return Err(BadSetting::new("BLOCK_MINUTES", why));
        }
        Ok(Self {
            ledger,
            never: NeverBlock::from_settings(settings)?,
            minutes,
            sets,
            capacity: CAPACITY,
            now: Timestamp::now,
            seed: pause::seed,
        })
    }

    /// Reads what is asked for, each network once, and says what is refused and why.
    #[must_use]
    pub fn screen(&self, asked: &[String]) -> (BTreeSet<Network>, Vec<Refusal>) {
        let (mut networks, mut refused) = (BTreeSet::new(), Vec::new());
        for text in asked {
            let refusal = match text.parse() {
                Ok(network) => match self.never.refusal(&network) {
                    None => {
                        networks.insert(network);
                        continue;
                    }
                    Some(why) => Refusal {
                        is_own: self.never.is_own(&network),
                        network: network.to_string(),
                        why,
                    },
                },
                Err(BadNetwork) => Refusal::no_network(text),
            };
            if !refused.contains(&refusal) {
                refused.push(refusal);
            }
        }
        (networks, refused)
    }

    /// Blocks networks for an incident; those of a kind of address for which no set is configured
    /// are left. A dry run only reads the ledger.
    ///
    /// What fails is in the answer: what could be blocked is.
    pub async fn block(
        &self,
        incident: &IncidentId,
        networks: &BTreeSet<Network>,
        dry_run: bool,
    ) -> Blocked {
        let until = Instant::now() + BUDGET;
        let both = FAMILIES.map(|family| {
            let mine = networks.iter().filter(|network| network.family() == family);
            let mine: Vec<_> = mine.copied().collect();
            async move {
                let Some(set) = self.set(family).filter(|_| !mine.is_empty()) else {
                    return unconfigured(family, &mine);
                };
                let blocked = if dry_run {
                    self.would_block(incident, &mine).await
                } else {
                    self.block_in(set, incident, &mine, until).await
                };
                blocked.unwrap_or_else(|failure| Blocked {
                    failures: vec![failure],
                    ..Blocked::default()
                })
            }
        });
        let both = join_all(both).await.into_iter();
        both.reduce(Blocked::and).unwrap_or_default()
    }

    async fn block_in(
        &self,
        set: &IpSet,
        incident: &IncidentId,
        networks: &[Network],
        until: Instant,
    ) -> Result<Blocked, Failure> {
        let asked = match self.ask(incident, networks, until).await {
            Ok(asked) => asked,
            Err(Unwritten::Unreachable(why)) => {
                return self.block_directly(set, networks, &why, until).await;
            }
            Err(Unwritten::OutOfTime) => {
                return Err(Failure::Transient(format!(
                    "not all of {} {} networks are recorded yet; run again",
                    networks.len(),
                    named(set.family())
                )));
            }
        };
        let mut blocked = Blocked::of(&asked);
        let applied = self.apply(set, until).await?;
        blocked.changed = blocked.anew > 0 || !applied.change.is_none();
        blocked.left.extend(self.fullness(set, applied.fill));
        Ok(blocked)
    }

    async fn would_block(
        &self,
        incident: &IncidentId,
        networks: &[Network],
    ) -> Result<Blocked, Failure> {
        let mut asked = Vec::new();
        for group in networks.chunks(Ledger::MOST_KNOWN) {
            let known = self.ledger.known(group).await?;
            asked.extend(known.into_iter().map(|(network, known)| {
                ask::decide(known, network, incident, self.minutes, (self.now)()).asked()
            }));
        }
        Ok(Blocked::of(&asked))
    }

    fn set(&self, family: Family) -> Option<&IpSet> {
        self.sets.iter().find(|set| set.family() == family)
    }

    /// What to tell people of a set that is full, or will be soon.
    fn fullness(&self, set: &IpSet, fill: Fill) -> Option<String> {
        let Fill { entries, displaced } = fill;
        let (capacity, arguments) = (self.capacity, set.arguments());
        let what = if displaced > 0 {
            format!(
                "{set} is full: it has no place for {displaced} of the blocks, the first to expire"
            )
        } else if entries * 10 >= capacity * 9 {
            format!(
                "{set} holds {entries} of {capacity} entries: once it is full, the blocks that \
                 expire first give way"
            )
        } else {
            return None;
        };
        Some(format!(
            "{what}. Take out by hand what need not be in it, and see whether the attack can be stopped \
             by a rule instead (aws wafv2 get-ip-set {arguments})"
        ))
    }
}

impl Refusal {
    /// Of what is no network.
    #[must_use]
    pub fn no_network(text: &str) -> Self {
        Self {
            network: cut(&text.replace(char::is_control, " "), 64),
            why: "it is no network".to_owned(),
            is_own: false,
        }
    }
}

impl Blocked {
    fn of(asked: &[Asked]) -> Self {
        let mut blocked = Self::default();
        for asked in asked {
            match *asked {
                Asked::Anew(until) => {
                    blocked.anew += 1;
                    blocked.extend(until);
                }
                Asked::Already(until) => blocked.extend(until),
                Asked::Ended => blocked.ended += 1,
            }
        }
        blocked
    }

    fn extend(&mut self, until: Timestamp) {
        self.networks += 1;
        self.until = Some(match self.until {
            None => (until, until),
            Some((first, last)) => (first.min(until), last.max(until)),
        });
    }

    fn and(mut self, other: Self) -> Self {
        self.changed |= other.changed;
        self.networks += other.networks;
        self.anew += other.anew;
        self.ended += other.ended;
        self.until = match (self.until, other.until) {
            (Some((first, last)), Some((others_first, others_last))) => {
                Some((first.min(others_first), last.max(others_last)))
            }
            (one, other) => one.or(other),
        };
        self.left.extend(other.left);
        self.failures.extend(other.failures);
        self
    }
}

fn setting(family: Family) -> &'static str {
    match family {
        Family::V4 => "IP_SET_V4_ARN",
        Family::V6 => "IP_SET_V6_ARN",
    }
}

/// What to tell people where nothing can be blocked.
fn unconfigured(family: Family, networks: &[Network]) -> Blocked {
    let mut blocked = Blocked::default();
    if !networks.is_empty() {
        let parameter = match family {
            Family::V4 => "IpSetV4Arn",
            Family::V6 => "IpSetV6Arn",
        };
        blocked.left.push(format!(
            "nothing of {family} is blocked, since no IP set is configured for it: {networks}. Name one \
             that a rule of the web ACL blocks in the parameter {parameter}, and run this again",
            family = named(family),
            networks = list(networks),
        ));
    }
    blocked
}

/// Some networks by name, and how many more there are.
fn list(networks: &[Network]) -> String {
    let first = networks.iter().take(MOST_NAMED).map(Network::to_string);
    let first = first.collect::<Vec<_>>().join(", ");
    match networks.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
