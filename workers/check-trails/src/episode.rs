//! How long deviations last, so that each is an incident once.

use std::collections::BTreeSet;

use incident::{Deviation, IncidentId, TrailArn};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use worker::Failure;

use crate::CheckTrails;

/// How long until people are reminded.
const REMINDED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What the ledger keeps of an episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Episode {
    pub(crate) incident_id: IncidentId,
    pub(crate) since: Timestamp,
    pub(crate) fingerprints: BTreeSet<String>,
}

/// The incident of the episode that lasts.
pub(crate) struct Lasting {
    pub(crate) incident_id: IncidentId,
    /// Since when it is known.
    pub(crate) since: Timestamp,
    pub(crate) remind: bool,
}

impl CheckTrails {
    /// Whether `deviations` are all known, as those of the episode that lasts.
    pub(crate) async fn lasts(&self, trail: &TrailArn, deviations: &[Deviation]) -> bool {
        let known = self.ledger.episode::<Episode>(trail).await;
        let known = known.ok().flatten();
        known.is_some_and(|known| {
            let mut fingerprints = deviations.iter().map(fingerprint);
            fingerprints.all(|it| known.fingerprints.contains(&it))
        })
    }

    /// The incident that `deviations` are; none when there are none. Unless they are `all` there
    /// is, nothing that is not among them is forgotten.
    pub(crate) async fn episode(
        &self,
        trail: &TrailArn,
        deviations: &[Deviation],
        all: bool,
        now: Timestamp,
    ) -> Option<Lasting> {
        let fingerprints: BTreeSet<_> = deviations.iter().map(fingerprint).collect();
        let kept = self.keep(trail, &fingerprints, all, now).await;
        let kept = kept.unwrap_or_else(|failure| {
            let why = failure.name();
            tracing::warn!(why, "the ledger does not keep the episode");
            None
        });
        if fingerprints.is_empty() {
            return None;
        }
        match kept {
            Some(episode) => Some(Lasting {
                // A beginning that is still to come is not believed.
                remind: now.duration_since(episode.since).abs() >= REMINDED_AFTER,
                since: episode.since,
                incident_id: episode.incident_id,
            }),
            None => Some(Lasting {
                incident_id: by_the_hour(&fingerprints, now)?,
                since: now,
                // A new incident every hour is reminder enough.
                remind: false,
            }),
        }
    }

    /// Takes what a repair has mended out of the episode, so that its return is new: a trail that is
    /// stopped again before the next heartbeat is restored again.
    pub(crate) async fn forget_mended(&self, trail: &TrailArn, deviations: &[Deviation]) {
        if let Err(failure) = self.try_to_forget_mended(trail, deviations).await {
            let why = failure.name();
            tracing::warn!(why, "the ledger does not forget what is mended");
        }
    }

    async fn try_to_forget_mended(
        &self,
        trail: &TrailArn,
        deviations: &[Deviation],
    ) -> Result<(), Failure> {
        let Some(known) = self.ledger.episode::<Episode>(trail).await? else {
            return Ok(());
        };
        let mut lasting = known.clone();
        let still: BTreeSet<_> = deviations.iter().map(fingerprint).collect();
        lasting.fingerprints.retain(|known| still.contains(known));
        if lasting.fingerprints.is_empty() {
            self.ledger.end_episode(trail).await
        } else if lasting != known {
            self.ledger.save_episode(trail, &lasting).await
        } else {
            Ok(())
        }
    }

    /// The episode that lasts, as the ledger has it from now on; none when nothing deviates.
    async fn keep(
        &self,
        trail: &TrailArn,
        fingerprints: &BTreeSet<String>,
        all: bool,
        now: Timestamp,
    ) -> Result<Option<Episode>, Failure> {
        let known: Option<Episode> = self.ledger.episode(trail).await?;
        if fingerprints.is_empty() {
            if known.is_some() && all {
                self.ledger.end_episode(trail).await?;
            }
            return Ok(None);
        }
        if let Some(known) = known
            && fingerprints.is_subset(&known.fingerprints)
        {
            if !all {
                return Ok(Some(known));
            }
            let lasting = Episode {
                fingerprints: fingerprints.clone(),
                ..known.clone()
            };
            if lasting != known
                && let Err(failure) = self.ledger.save_episode(trail, &lasting).await
            {
                let why = failure.name();
                tracing::warn!(why, "the ledger does not forget what is gone");
            }
            return Ok(Some(lasting));
        }
        let begun = begun(fingerprints, now);
        if let Some(episode) = &begun {
            self.ledger.save_episode(trail, episode).await?;
        }
        Ok(begun)
    }
}

fn begun(fingerprints: &BTreeSet<String>, now: Timestamp) -> Option<Episode> {
    let began = now.strftime("%Y%m%dT%H%M%SZ");
    let id = format!("check-{began}-{}", short(fingerprints));
    Some(Episode {
        incident_id: id.parse().ok()?,
        since: now,
        fingerprints: fingerprints.clone(),
    })
}

fn by_the_hour(fingerprints: &BTreeSet<String>, now: Timestamp) -> Option<IncidentId> {
    let hour = now.strftime("%Y%m%dT%HZ");
    let id = format!("check-{hour}-{}", short(fingerprints));
    id.parse().ok()
}

/// Made of the state alone: what people read may change from day to day, or with AWS's words.
fn fingerprint(deviation: &Deviation) -> String {
    hash(&[&deviation.state], 16)
}

fn short(fingerprints: &BTreeSet<String>) -> String {
    let parts: Vec<_> = fingerprints.iter().map(String::as_str).collect();
    hash(&parts, 8)
}

/// The first hexadecimal `digits` of the SHA-256 of all `parts`.
pub(crate) fn hash(parts: &[&str], digits: usize) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let hex = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    hex.filter_map(|digit| char::from_digit(digit.into(), 16))
        .take(digits)
        .collect()
}
