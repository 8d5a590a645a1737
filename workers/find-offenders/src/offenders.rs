//! Everybody who attacked, and whom of them to block.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
};

use incident::{Network, NeverBlock};
use schemars::JsonSchema;
use serde::Serialize;

use crate::classify::{Offence, Spared};

/// How many reasons of an offender are told.
const MOST_WHYS: usize = 3;

/// How many different reasons are kept: a rule's name is in each.
const MOST_KEPT: usize = 1_000;

/// Somebody who attacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offender {
    /// Who: an IPv4 address, or an IPv6 /64.
    pub network: Network,
    /// How many of its requests were blocked. WAF's samples make it an estimate, and its list of who
    /// is over a rate tells no number.
    pub requests: u64,
    /// For what, at most three reasons, the most frequent first.
    pub why: Vec<String>,
    /// Why it is not to be blocked; null when it is.
    pub spared: Option<String>,
}

/// Requests, summed up by who sent them.
#[derive(Debug, Default)]
pub struct Offenders {
    tallies: BTreeMap<Network, Tally>,
    harmless: BTreeMap<String, u64>,
    unattributed: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Tally {
    /// How many there were, by an estimate where only samples are known.
    requests: u64,
    /// How many were looked at.
    seen: u64,
    conclusive: bool,
    /// A reason without a number comes from no request.
    whys: BTreeMap<String, u64>,
}

impl Offenders {
    /// Counts one request.
    pub fn count(&mut self, judged: Result<Offence, Spared>) {
        self.count_many(judged, 1, 1);
    }

    /// Counts requests that are alike, of which `seen` were looked at and which stand for `requests`.
    pub(crate) fn count_many(&mut self, judged: Result<Offence, Spared>, requests: u64, seen: u64) {
        let offence = match judged {
            Ok(offence) => offence,
            Err(Spared::Harmless(why)) => return add(&mut self.harmless, why, requests),
            Err(Spared::Unattributed(why)) => return add(&mut self.unattributed, why, requests),
        };
        let tally = self.tallies.entry(offence.network).or_default();
        tally.requests = tally.requests.saturating_add(requests);
        tally.seen = tally.seen.saturating_add(seen);
        tally.conclusive |= offence.conclusive;
        add(&mut tally.whys, offence.why, requests);
    }

    /// Adds what another source tells of the same requests: the higher count is the truer one.
    pub(crate) fn or(&mut self, other: Self) {
        for (network, theirs) in other.tallies {
            match self.tallies.entry(network) {
                Entry::Vacant(entry) => {
                    entry.insert(theirs);
                }
                Entry::Occupied(mut entry) => {
                    let ours = entry.get_mut();
                    ours.requests = ours.requests.max(theirs.requests);
                    ours.seen = ours.seen.max(theirs.seen);
                    ours.conclusive |= theirs.conclusive;
                    higher(&mut ours.whys, theirs.whys);
                }
            }
        }
        higher(&mut self.harmless, other.harmless);
        higher(&mut self.unattributed, other.unattributed);
    }

    /// Whether nobody attacked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }

    /// Everybody who attacked, by requests. Spared is whom `never` refuses, and whose requests are
    /// all inconclusive and fewer than `minimum`.
    #[must_use]
    pub fn list(&self, never: &NeverBlock, minimum: u64) -> Vec<Offender> {
        let mut tallies: Vec<_> = self.tallies.iter().collect();
        tallies.sort_by_key(|(_, tally)| (Reverse(tally.requests), !tally.conclusive));
        let told = |(network, tally): (&Network, &Tally)| Offender {
            network: *network,
            requests: tally.requests,
            why: tally.whys(),
            spared: never.refusal(network).or_else(|| tally.doubt(minimum)),
        };
        tallies.into_iter().map(told).collect()
    }

    /// Whom to block, by requests.
    #[must_use]
    pub fn networks(&self, never: &NeverBlock, minimum: u64) -> Vec<Network> {
        let all = self.list(never, minimum).into_iter();
        let blocked = all.filter(|offender| offender.spared.is_none());
        blocked.map(|offender| offender.network).collect()
    }

    /// The clinic's own networks that would be blocked if they were not.
    pub(crate) fn own(&self, never: &NeverBlock, minimum: u64) -> impl Iterator<Item = &Network> {
        let sure = move |tally: &Tally| tally.doubt(minimum).is_none();
        let tallies = self.tallies.iter();
        tallies
            .filter(move |(network, tally)| sure(tally) && never.is_own(network))
            .map(|(network, _)| network)
    }

    /// How many attacks are nobody's, and why.
    pub(crate) fn unattributed(&self) -> Option<(u64, &str)> {
        let requests = self.unattributed.values().sum();
        let most = self.unattributed.iter().max_by_key(|(_, count)| **count);
        most.map(|(why, _)| (requests, why.as_str()))
    }

    /// Why most blocked requests were held against nobody.
    pub(crate) fn harmless(&self) -> Option<(u64, &str)> {
        let most = self.harmless.iter().max_by_key(|(_, count)| **count);
        most.map(|(why, count)| (*count, why.as_str()))
    }
}

impl Tally {
    fn doubt(&self, minimum: u64) -> Option<String> {
        let enough = self.conclusive || self.seen >= minimum;
        (!enough).then(|| {
            format!("fewer than {minimum} of its requests were seen, and none is enough by itself")
        })
    }

    fn whys(&self) -> Vec<String> {
        let mut whys: Vec<_> = self.whys.iter().collect();
        whys.sort_by_key(|(_, count)| Reverse(**count));
        let told = |(why, count): (&String, &u64)| match count {
            0 => why.clone(),
            count => format!("{count} × {why}"),
        };
        whys.into_iter().take(MOST_WHYS).map(told).collect()
    }
}

fn add(counts: &mut BTreeMap<String, u64>, why: String, requests: u64) {
    if counts.len() < MOST_KEPT || counts.contains_key(&why) {
        let count = counts.entry(why).or_default();
        *count = count.saturating_add(requests);
    }
}

fn higher(ours: &mut BTreeMap<String, u64>, theirs: BTreeMap<String, u64>) {
    for (why, count) in theirs {
        let our = ours.entry(why).or_default();
        *our = count.max(*our);
    }
}
