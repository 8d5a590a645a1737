//! From what the sources told to the answer.

use incident::{Network, cut};
use worker::Failure;

use crate::{
    Offenders, Output, Query,
    offenders::Offender,
    search::{PATIENCE, Search, several},
};

/// How many offenders are told.
const MOST_OFFENDERS: usize = 50;

/// How many are handed on to be blocked: what an IP set holds.
const MOST_NETWORKS: usize = 10_000;

/// How much JSON they may be: the answer travels in an execution, of which a state may hold 256 KiB.
const MOST_JSON: usize = 150 * 1024;

/// How many a sentence names.
const MOST_NAMED: usize = 5;

/// A summary is for people: everybody is beside it.
const LONGEST_SUMMARY: usize = 1_000;

/// What a source told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Who attacked.
    pub(crate) offenders: Offenders,
    /// Whether there was anything to read.
    pub(crate) read: bool,
    /// What could not be read.
    pub(crate) failures: Vec<Failure>,
    /// The query that still runs.
    pub(crate) query: Option<Query>,
    /// What only a human can do.
    pub(crate) left: Vec<String>,
    /// Why nobody may have been found.
    pub(crate) hints: Vec<String>,
    /// Whether there is more to come.
    pending: bool,
    /// Whether there was more, and nobody waits for it.
    given_up: bool,
}

impl Told {
    /// Something could not be read.
    pub(crate) fn unreadable(&mut self, failure: &Failure, what: &str, by_hand: &str) {
        self.left
            .push(format!("{what}: {failure}. By hand: {by_hand}"));
    }

    /// The log group will tell more later.
    pub(crate) fn pending(&mut self, why: &str, by_hand: &str) {
        self.pending = true;
        self.left.push(format!(
            "not all that was logged is known: {why}. By hand: {by_hand}"
        ));
    }

    /// The log group will not tell more.
    pub(crate) fn given_up(&mut self, why: &str, by_hand: &str) {
        self.pending(why, by_hand);
        self.pending = false;
        self.given_up = true;
    }

    /// Adds what another source told.
    pub(crate) fn or(&mut self, other: Self) {
        self.offenders.or(other.offenders);
        self.read |= other.read;
        self.failures.extend(other.failures);
        self.query = self.query.take().or(other.query);
        self.left.extend(other.left);
        self.hints.extend(other.hints);
        self.pending |= other.pending;
        self.given_up |= other.given_up;
    }

    /// The answer.
    ///
    /// # Errors
    /// When there was something to read and none of it could be.
    pub(crate) fn answer(mut self, search: &Search<'_>) -> Result<Output, Failure> {
        let nothing = !self.read && !self.pending && !self.given_up;
        if nothing && let Some(failure) = Failure::worst(self.failures.clone()) {
            return Err(failure);
        }
        let transient = |failure: &Failure| matches!(failure, Failure::Transient(_));
        let worthwhile = search.window.age(search.now) < PATIENCE;
        let worker = search.worker;
        let offenders = self.offenders.list(&worker.never, worker.minimum);
        let networks: Vec<_> = blocked(&offenders)
            .map(|offender| offender.network)
            .collect();
        let complete = self.failures.is_empty() && !self.pending && !self.given_up;
        let summary = summary(search, complete, &offenders);
        let mut left = self.left(search, &offenders);
        let mut room = MOST_JSON;
        let fits = |network: &Network| {
            // With its quotes and a comma.
            let rest = room.checked_sub(network.to_string().len() + 3);
            room = rest.unwrap_or_default();
            rest.is_some()
        };
        let all = networks.len();
        let networks: Vec<_> = networks
            .into_iter()
            .take(MOST_NETWORKS)
            .take_while(fits)
            .collect();
        if networks.len() < all {
            left.push(format!(
                "{} more networks are to be blocked than one answer holds: run new executions for parts \
                 of that time",
                all - networks.len()
            ));
        }
        Ok(Output {
            complete,
            again: self.pending || (worthwhile && self.failures.iter().any(transient)),
            query: self.query,
            offenders: offenders.into_iter().take(MOST_OFFENDERS).collect(),
            networks,
            summary,
            left,
        })
    }

    fn left(&mut self, search: &Search<'_>, offenders: &[Offender]) -> Vec<String> {
        let mut left = std::mem::take(&mut self.left);
        if let Some((requests, why)) = self.offenders.unattributed() {
            left.push(format!(
                "{requests} attacks are held against nobody: {why}; find in the proxy's log who sent \
                 them, and block them there"
            ));
        }
        let (never, minimum) = (&search.worker.never, search.worker.minimum);
        let own = self.offenders.own(never, minimum);
        let own: Vec<_> = own.map(ToString::to_string).collect();
        if !own.is_empty() {
            left.push(format!(
                "attacks come from the clinic's own: {}; look for who or what sends them there",
                several("network", &own)
            ));
        }
        if offenders.is_empty() {
            left.extend(self.nobody(left.is_empty()));
        }
        left
    }

    /// Why nobody may have been found. None when that is told already.
    fn nobody(&self, untold: bool) -> Option<String> {
        let mut hints = self.hints.clone();
        hints.extend(self.offenders.harmless().map(|(requests, why)| {
            format!("{requests} requests are no reason to block anybody: {why}")
        }));
        if hints.is_empty() && untold {
            hints.push("no rule has blocked anything of which WAF has a sample".to_owned());
        }
        (!hints.is_empty()).then(|| {
            format!(
                "nobody was found ({}): see in the web ACL's dashboard what set the alarm off",
                hints.join("; ")
            )
        })
    }
}

fn blocked(offenders: &[Offender]) -> impl Iterator<Item = &Offender> {
    offenders
        .iter()
        .filter(|offender| offender.spared.is_none())
}

fn summary(search: &Search<'_>, complete: bool, offenders: &[Offender]) -> String {
    let so_far = if complete { "" } else { "so far, " };
    let (acl, window) = (search.acl.name_and_id().0, search.window);
    if offenders.is_empty() {
        return format!("{so_far}nobody is known to have attacked web ACL {acl} {window}");
    }
    let mut named: Vec<_> = offenders.iter().take(MOST_NAMED).map(describe).collect();
    let more = offenders.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let (count, to_block) = (offenders.len(), blocked(offenders).count());
    let networks = if count == 1 { "network" } else { "networks" };
    let summary = format!(
        "{so_far}{count} {networks} attacked web ACL {acl} {window}, {to_block} to be blocked: {}",
        named.join("; ")
    );
    cut(&summary, LONGEST_SUMMARY)
}

fn describe(offender: &Offender) -> String {
    let why = offender.why.first().map(String::as_str).unwrap_or_default();
    let spared = if offender.spared.is_some() {
        " (not to be blocked)"
    } else {
        ""
    };
    format!("{}{spared}: {why}", offender.network)
}
