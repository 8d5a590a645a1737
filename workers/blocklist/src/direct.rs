//! Blocking without the ledger: its bookkeeping must not keep anybody from being blocked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use incident::Network;
use tokio::time::{Instant, sleep};
use worker::Failure;

use crate::{
    Blocked, Blocklist, list,
    pause::Pauses,
    set::{IpSet, Trouble, entry},
};

/// As long as WAF's own limit of one update a second.
const SECOND: Duration = Duration::from_secs(1);

impl Blocklist {
    /// Puts networks into a set that nobody will take out again, and says so; `why` is what the
    /// ledger answered.
    pub(crate) async fn block_directly(
        &self,
        set: &IpSet,
        networks: &[Network],
        why: &Failure,
        until: Instant,
    ) -> Result<Blocked, Failure> {
        let mut pauses = Pauses::new((self.seed)(), SECOND, 2 * SECOND);
        let (added, there) = loop {
            let trouble = match self.put_directly(set, networks).await {
                Ok(put) => break put,
                Err(Trouble::Refused(failure)) => return Err(failure),
                Err(Trouble::Lost) => format!("{set} is being changed by others"),
                Err(Trouble::Throttled(failure)) => {
                    sleep(SECOND).await;
                    failure.to_string()
                }
                Err(Trouble::Unclear(failure)) => failure.to_string(),
            };
            if !pauses.pause(until).await {
                return Err(Failure::Transient(format!("{trouble}; run again")));
            }
        };
        let (blocked, displaced): (Vec<_>, Vec<_>) =
            networks.iter().partition(|network| there.contains(network));
        // An earlier run may have put them there, and died.
        let endless = if added.is_empty() {
            format!("{}, unless they were there before", list(&blocked))
        } else {
            list(&added)
        };
        let arguments = set.arguments();
        let mut left = vec![format!(
            "the ledger does not know of these blocks, so nothing will end them ({why}): {endless}. \
             When it is time, take them out by hand: aws wafv2 get-ip-set {arguments}, then aws wafv2 \
             update-ip-set {arguments} with its LockToken and the addresses without them"
        )];
        if !displaced.is_empty() {
            left.push(format!(
                "{set} is full, so these are not blocked: {}. Take out by hand what need not be in \
                 it, and run this again (aws wafv2 get-ip-set {arguments})",
                list(&displaced)
            ));
        }
        Ok(Blocked {
            changed: !added.is_empty(),
            networks: blocked.len(),
            anew: added.len(),
            left,
            ..Blocked::default()
        })
    }

    /// The networks that were put into the set, and all that are in it now.
    async fn put_directly(
        &self,
        set: &IpSet,
        networks: &[Network],
    ) -> Result<(Vec<Network>, BTreeSet<Network>), Trouble> {
        let listed = set.get().await?;
        let before: BTreeMap<_, _> = listed.networks();
        let room = self.capacity.saturating_sub(listed.entries.len());
        let missing = networks
            .iter()
            .filter(|network| !before.contains_key(network));
        let added: Vec<_> = missing.take(room).copied().collect();
        let there = before
            .keys()
            .copied()
            .chain(added.iter().copied())
            .collect();
        if added.is_empty() {
            return Ok((added, there));
        }
        let addresses = listed.entries.iter().map(|(text, _)| text.clone());
        let addresses = addresses.chain(added.iter().map(entry)).collect();
        set.replace(listed, addresses).await?;
        Ok((added, there))
    }
}
