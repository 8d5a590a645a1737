//! Pauses that no two runs make alike.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Ever longer pauses, up to a longest one, each of half to all of its length.
#[derive(Debug)]
pub(crate) struct Pauses {
    dice: u64,
    next: Duration,
    longest: Duration,
}

/// A number that no other process comes by.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0)
}

impl Pauses {
    pub(crate) fn new(seed: u64, first: Duration, longest: Duration) -> Self {
        Self {
            dice: seed | 1,
            next: first,
            longest,
        }
    }

    /// Makes one; false when there is no time for it before `until`.
    pub(crate) async fn pause(&mut self, until: Instant) -> bool {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let half = self.next / 2;
        // The upper bits are the better ones.
        let thousandths = u32::try_from((self.dice >> 32) % 1_000).unwrap_or_default();
        let pause = half + half * thousandths / 1_000;
        self.next = (self.next * 3 / 2).min(self.longest);
        if Instant::now() + pause >= until {
            return false;
        }
        sleep(pause).await;
        true
    }
}
