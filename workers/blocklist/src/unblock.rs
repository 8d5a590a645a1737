//! Letting go of what one incident asked for.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use incident::{Family, IncidentId, Network};
use ledger::Block;
use tokio::time::Instant;
use worker::Failure;

use crate::{BUDGET, Blocklist, FAMILIES};

/// How many blocks are written at once.
const AT_ONCE: usize = 32;

/// How often a block that others keep changing is read anew.
const ATTEMPTS: u32 = 10;

/// What came of letting go.
#[derive(Debug, Default)]
pub struct Unblocked {
    /// Whether anything is different now.
    pub changed: bool,
    /// The networks that nobody asks for any more.
    pub networks: Vec<Network>,
    /// The networks that other incidents still ask for.
    pub held: Vec<Network>,
    /// Those incidents.
    pub holders: BTreeSet<String>,
    /// What is left for a human.
    pub left: Vec<String>,
    /// What failed.
    pub failures: Vec<Failure>,
}

/// What letting go of one network came to.
enum LetGo {
    /// The incident does not ask for it.
    Nothing,
    /// Nobody asks for it any more.
    Last,
    /// Others do.
    Held(Vec<String>),
}

impl Blocklist {
    /// Lets go of what an incident asked for: of `networks`, or of all where there are none. A dry run
    /// only reads.
    ///
    /// What fails is in the answer.
    pub async fn unblock(
        &self,
        incident: &IncidentId,
        networks: &BTreeSet<Network>,
        dry_run: bool,
    ) -> Unblocked {
        let until = Instant::now() + BUDGET;
        let families = FAMILIES.into_iter().filter(|family| {
            networks.is_empty() || networks.iter().any(|network| network.family() == *family)
        });
        let unblocked = families.map(async |family| {
            let mut unblocked = Unblocked::default();
            let done = self
                .unblock_in(family, incident, networks, dry_run, until, &mut unblocked)
                .await;
            unblocked.failures.extend(done.err());
            unblocked
        });
        let unblocked = join_all(unblocked).await.into_iter();
        unblocked.reduce(Unblocked::and).unwrap_or_default()
    }

    async fn unblock_in(
        &self,
        family: Family,
        incident: &IncidentId,
        networks: &BTreeSet<Network>,
        dry_run: bool,
        until: Instant,
        unblocked: &mut Unblocked,
    ) -> Result<(), Failure> {
        let blocks = self.ledger.blocks(family).await?;
        let now = (self.now)();
        let ours = blocks.into_iter().filter(|block| {
            (networks.is_empty() || networks.contains(&block.network))
                && block.is_live(now)
                && block.is_asked_by(incident)
        });
        let let_go = ours.map(|block| async move {
            let network = block.network;
            let let_go = self.let_go(incident, block, dry_run).await?;
            Ok::<_, Failure>((network, let_go))
        });
        let mut let_go = stream::iter(let_go).buffer_unordered(AT_ONCE);
        while let Some((network, let_go)) = let_go.try_next().await? {
            match let_go {
                LetGo::Nothing => continue,
                LetGo::Last => unblocked.networks.push(network),
                LetGo::Held(by) => {
                    unblocked.held.push(network);
                    unblocked.holders.extend(by);
                }
            }
            unblocked.changed |= !dry_run;
        }
        // An earlier run may have let go, and died before the set was written.
        if let Some(set) = self.set(family).filter(|_| !dry_run) {
            let applied = self.apply(set, until).await?;
            unblocked.changed |= !applied.change.is_none();
            unblocked.left.extend(self.fullness(set, applied.fill));
        }
        Ok(())
    }

    async fn let_go(
        &self,
        incident: &IncidentId,
        mut block: Block,
        dry_run: bool,
    ) -> Result<LetGo, Failure> {
        for _ in 0..ATTEMPTS {
            let now = (self.now)();
            if !block.is_live(now) || block.asks.remove(incident.as_str()).is_none() {
                return Ok(LetGo::Nothing);
            }
            let written = if dry_run {
                true
            } else if block.asks.is_empty() {
                self.ledger.drop_block(&block).await?
            } else {
                self.ledger.put_block(&block).await?
            };
            if written {
                return Ok(if block.is_live(now) {
                    LetGo::Held(block.asks.into_keys().collect())
                } else {
                    LetGo::Last
                });
            }
            let mut known = self.ledger.known(&[block.network]).await?;
            let known = known.remove(&block.network).unwrap_or_default();
            let Some(read) = known.block else {
                return Ok(LetGo::Nothing);
            };
            block = read;
        }
        Err(Failure::Transient(format!(
            "other runs keep changing the block of {}; run again",
            block.network
        )))
    }
}

impl Unblocked {
    fn and(mut self, other: Self) -> Self {
        self.changed |= other.changed;
        self.networks.extend(other.networks);
        self.held.extend(other.held);
        self.holders.extend(other.holders);
        self.left.extend(other.left);
        self.failures.extend(other.failures);
        self
    }
}
