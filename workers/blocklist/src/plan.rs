//! What a set should hold: everything that is somebody else's, and as many live blocks as fit.

use std::{cmp::Reverse, collections::BTreeSet};

use incident::Network;
use jiff::Timestamp;
use ledger::Fill;

use crate::set::{Listed, entry};

/// What to make of a set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// All its entries.
    pub(crate) addresses: Vec<String>,
    /// Those of them that are ours.
    pub(crate) ours: BTreeSet<Network>,
    /// How full that makes it.
    pub(crate) fill: Fill,
    /// What it changes.
    pub(crate) change: Change,
}

/// How many entries came and went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) added: usize,
    pub(crate) removed: usize,
}

impl Change {
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            added: self.added + other.added,
            removed: self.removed + other.removed,
        }
    }
}

impl Plan {
    /// Merges what is `listed`, of which `put` may be ours, with the networks that are `wanted` until
    /// some time. Of those the soonest to expire find no place in a set of `capacity`. What was there
    /// before us stays somebody else's, wanted or not.
    pub(crate) fn of(
        listed: &Listed,
        put: &BTreeSet<Network>,
        wanted: impl IntoIterator<Item = (Network, Timestamp)>,
        capacity: usize,
    ) -> Self {
        let there = listed.networks();
        let is_ours = |network: &Network| put.contains(network);
        let others = listed.entries.iter();
        let others = others.filter(|(_, network)| !network.as_ref().is_some_and(is_ours));
        let mut addresses: Vec<_> = others.map(|(text, _)| text.clone()).collect();

        let mut wanted: Vec<_> = wanted
            .into_iter()
            .filter(|(network, _)| is_ours(network) || !there.contains_key(network))
            .collect();
        wanted.sort_by_key(|(network, until)| (Reverse(*until), *network));
        let room = capacity.saturating_sub(addresses.len());
        let displaced = wanted.len().saturating_sub(room);
        let ours: BTreeSet<_> = wanted
            .iter()
            .take(room)
            .map(|(network, _)| *network)
            .collect();

        let text = |network| {
            there
                .get(network)
                .map_or_else(|| entry(network), |&text| text.into())
        };
        addresses.extend(ours.iter().map(text));
        let before: BTreeSet<_> = there.keys().copied().filter(is_ours).collect();
        let fill = Fill {
            entries: addresses.len(),
            displaced,
        };
        let change = Change {
            added: ours.difference(&before).count(),
            removed: before.difference(&ours).count(),
        };
        Self {
            addresses,
            ours,
            fill,
            change,
        }
    }
}
