//! What time and other people do to the sets, put right.

use futures_util::{StreamExt, future::join_all, stream};
use ledger::Block;
use tokio::time::Instant;
use worker::Failure;

use crate::{BUDGET, Blocklist, set::IpSet};

/// How many expired blocks are put aside at once.
const AT_ONCE: usize = 16;

/// What came of a sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// Whether anything is different now.
    pub changed: bool,
    /// How many sets were looked after.
    pub sets: usize,
    /// How many blocks have expired since the last sweep.
    pub expired: usize,
    /// How many are live.
    pub live: usize,
    /// How many entries were put into the sets.
    pub added: usize,
    /// How many were taken out of them.
    pub removed: usize,
    /// What is left for a human.
    pub left: Vec<String>,
    /// What failed.
    pub failures: Vec<Failure>,
}

impl Blocklist {
    /// Makes every configured set what the blocks say now, and puts aside those that have expired. A
    /// dry run only reads the ledger.
    ///
    /// What fails is in the answer.
    pub async fn sweep(&self, dry_run: bool) -> Swept {
        let until = Instant::now() + BUDGET;
        let swept = self.sets.iter().map(async |set| {
            let mut swept = Swept {
                sets: 1,
                ..Swept::default()
            };
            let done = self.sweep_set(set, dry_run, until, &mut swept).await;
            swept.failures.extend(done.err());
            swept
        });
        let swept = join_all(swept).await.into_iter();
        swept.reduce(Swept::and).unwrap_or_default()
    }

    async fn sweep_set(
        &self,
        set: &IpSet,
        dry_run: bool,
        until: Instant,
        swept: &mut Swept,
    ) -> Result<(), Failure> {
        let blocks = self.ledger.blocks(set.family()).await?;
        let now = (self.now)();
        let (live, expired): (Vec<_>, Vec<_>) =
            blocks.into_iter().partition(|block| block.is_live(now));
        (swept.live, swept.expired) = (live.len(), expired.len());
        if dry_run {
            return Ok(());
        }
        let applied = self.apply(set, until).await?;
        swept.added = applied.change.added;
        swept.removed = applied.change.removed;
        swept.changed = !applied.change.is_none();
        swept.left.extend(self.fullness(set, applied.fill));
        self.put_aside(expired, until, swept).await
    }

    /// Puts expired blocks where nobody reads them to write a set; those for which there is no time
    /// are the next sweep's.
    async fn put_aside(
        &self,
        expired: Vec<Block>,
        until: Instant,
        swept: &mut Swept,
    ) -> Result<(), Failure> {
        let aside = expired.into_iter().map(|block| async move {
            if Instant::now() >= until {
                return Ok(false);
            }
            self.ledger.remember_block(&block).await?;
            self.ledger.drop_block(&block).await
        });
        let mut aside = stream::iter(aside).buffer_unordered(AT_ONCE);
        let mut failures = Vec::new();
        while let Some(done) = aside.next().await {
            match done {
                Ok(done) => swept.changed |= done,
                Err(failure) => failures.push(failure),
            }
        }
        Failure::worst(failures).map_or(Ok(()), Err)
    }
}

impl Swept {
    fn and(mut self, other: Self) -> Self {
        self.changed |= other.changed;
        self.sets += other.sets;
        self.expired += other.expired;
        self.live += other.live;
        self.added += other.added;
        self.removed += other.removed;
        self.left.extend(other.left);
        self.failures.extend(other.failures);
        self
    }
}
