//! What incidents ask for: who is blocked, and for how long.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use incident::{IncidentId, Network};
use jiff::{SignedDuration, Timestamp};
use ledger::{Block, Known, Ledger};
use tokio::time::Instant;
use worker::Failure;

use crate::{Blocklist, PATIENCE, pause::Pauses};

/// The longest block.
pub(crate) const LONGEST_MINUTES: u32 = 7 * 24 * 60;

/// How many incidents' asks for one network are kept; the soonest to end gives way.
const MOST_ASKS: usize = 32;

/// How many groups of networks are written at once.
const AT_ONCE: usize = 2;

/// What became of one incident's ask for one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The network is blocked until then, or longer than it was.
    Anew(Timestamp),
    /// The incident had asked already; the network is blocked until then.
    Already(Timestamp),
    /// The incident had asked already, and that block has ended.
    Ended,
}

/// Why asks were not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The ledger does not take them.
    Unreachable(Failure),
    /// There were too many of them; some are written.
    OutOfTime,
}

/// What to write for an ask.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing: it was asked before.
    Nothing(Asked),
    /// A block.
    Put {
        block: Block,
        /// The expired block in whose place it comes.
        remember: Option<Block>,
    },
}

impl Decision {
    /// What the ask comes to once that is written.
    pub(crate) fn asked(&self) -> Asked {
        match self {
            Self::Nothing(asked) => *asked,
            Self::Put { block, .. } => Asked::Anew(block.until()),
        }
    }
}

/// How long the `offences`th block of a network lasts: four times as long as the one before.
fn term(minutes: u32, offences: u32) -> SignedDuration {
    let times = 4_u32.saturating_pow(offences.saturating_sub(1));
    SignedDuration::from_mins(minutes.saturating_mul(times).min(LONGEST_MINUTES).into())
}

pub(crate) fn decide(
    known: Known,
    network: Network,
    incident: &IncidentId,
    minutes: u32,
    now: Timestamp,
) -> Decision {
    let Known { block, last } = known;
    let (mut block, ended) = match block {
        Some(block) if block.is_live(now) => (block, None),
        ended => {
            let before = [&ended, &last].into_iter().flatten();
            let before: Vec<_> = before.filter(|block| block.is_remembered(now)).collect();
            if before.iter().any(|block| block.is_asked_by(incident)) {
                return Decision::Nothing(Asked::Ended);
            }
            let offences = before.iter().map(|block| block.offences).max();
            let mut fresh = match &ended {
                Some(ended) => ended.anew(now),
                None => Block::new(network, now),
            };
            fresh.offences = offences.unwrap_or_default().saturating_add(1);
            (fresh, ended)
        }
    };
    if block.is_asked_by(incident) {
        return Decision::Nothing(Asked::Already(block.until()));
    }
    if block.asks.len() >= MOST_ASKS
        && let Some(soonest) = soonest(&block)
    {
        block.asks.remove(&soonest);
    }
    let until = now + term(minutes, block.offences);
    block.asks.insert(incident.as_str().to_owned(), until);
    Decision::Put {
        block,
        remember: ended,
    }
}

fn soonest(block: &Block) -> Option<String> {
    let soonest = block.asks.iter().min_by_key(|(_, until)| **until);
    soonest.map(|(incident, _)| incident.clone())
}

impl Blocklist {
    /// Writes an incident's ask for each of `networks`. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`Unwritten`], when some of them are perhaps written.
    pub(crate) async fn ask(
        &self,
        incident: &IncidentId,
        networks: &[Network],
        until: Instant,
    ) -> Result<Vec<Asked>, Unwritten> {
        let groups = networks.chunks(Ledger::MOST_KNOWN);
        let asked: Vec<_> =
            stream::iter(groups.map(|group| self.ask_group(incident, group, until)))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
        Ok(asked.into_iter().flatten().collect())
    }

    async fn ask_group(
        &self,
        incident: &IncidentId,
        group: &[Network],
        until: Instant,
    ) -> Result<Vec<Asked>, Unwritten> {
        let mut pauses = Pauses::new(
            (self.seed)(),
            Duration::from_millis(50),
            Duration::from_secs(1),
        );
        let mut left = group.to_vec();
        let mut asked = Vec::new();
        let mut patient_until = Instant::now() + PATIENCE;
        while !left.is_empty() {
            let mut busy = None;
            match self.ask_once(incident, &left).await {
                Ok(answers) => {
                    let before = left.len();
                    left.clear();
                    for (network, answer) in answers {
                        match answer {
                            Ok(Some(answer)) => asked.push(answer),
                            // Another incident asked for it at this very moment.
                            Ok(None) => left.push(network),
                            Err(failure @ Failure::Transient(_)) => {
                                left.push(network);
                                busy = Some(failure);
                            }
                            Err(failure) => return Err(Unwritten::Unreachable(failure)),
                        }
                    }
                    if left.len() < before {
                        patient_until = Instant::now() + PATIENCE;
                    }
                }
                Err(failure @ Failure::Transient(_)) => busy = Some(failure),
                Err(failure) => return Err(Unwritten::Unreachable(failure)),
            }
            if !left.is_empty() && !pauses.pause(until.min(patient_until)).await {
                return Err(match busy {
                    Some(failure) if Instant::now() < until => Unwritten::Unreachable(failure),
                    _ => Unwritten::OutOfTime,
                });
            }
        }
        Ok(asked)
    }

    async fn ask_once(
        &self,
        incident: &IncidentId,
        networks: &[Network],
    ) -> Result<Vec<(Network, Result<Option<Asked>, Failure>)>, Failure> {
        let mut known = self.ledger.known(networks).await?;
        let asks = networks.iter().map(|network| {
            let known = known.remove(network).unwrap_or_default();
            async move {
                let asked = self.ask_one(incident, *network, known).await;
                (*network, asked)
            }
        });
        Ok(join_all(asks).await)
    }

    /// None when somebody else changed the block meanwhile.
    async fn ask_one(
        &self,
        incident: &IncidentId,
        network: Network,
        known: Known,
    ) -> Result<Option<Asked>, Failure> {
        let decision = decide(known, network, incident, self.minutes, (self.now)());
        let asked = decision.asked();
        if let Decision::Put { block, remember } = decision {
            if let Some(ended) = remember {
                self.ledger.remember_block(&ended).await?;
            }
            if !self.ledger.put_block(&block).await? {
                return Ok(None);
            }
        }
        Ok(Some(asked))
    }
}
