//! Objects that a `DeleteObjects` took off the site, of which its event names none.

use futures_util::{StreamExt, stream};
use incident::ObjectKey;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use worker::Failure;

use crate::{
    Input, Output, QuarantineObject, deadline,
    history::Entry,
    report::Report,
    s3::Versioning,
    settle::{Belief, Run, Settled},
};

/// How long before or after its event a call's delete markers may be written.
const AROUND: SignedDuration = SignedDuration::from_secs(15);

/// Objects dealt with side by side.
const AT_ONCE: usize = 16;

/// What to do with each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    BringBack,
    LetGo,
}

impl QuarantineObject {
    /// Brings back every object that got a delete marker when the event happened; an undo lets go of
    /// them again.
    pub(crate) async fn all_deleted(&self, input: &Input) -> Result<Output, Failure> {
        let what = if input.undo {
            What::LetGo
        } else {
            What::BringBack
        };
        let deadline = deadline();
        let mut report = Report::of(format!("bucket {}", self.s3.site), input.dry_run);
        let versioning = self.s3.versioning().await?;
        if versioning == Versioning::Never {
            self.warn_of_lost_versions(versioning, &mut report);
            return report.end(Vec::new());
        }
        let (mut next, mut complete) = (None, true);
        let mut done = Vec::new();
        loop {
            let page = match self.s3.page(None, next).await {
                Ok(page) => page,
                Err(failure) => {
                    report.fail(failure);
                    complete = false;
                    break;
                }
            };
            let exposed = if what == What::BringBack {
                exposed(&page.entries)
            } else {
                Vec::new()
            };
            let deleted = page.entries.into_iter().filter_map(|(key, entry)| {
                let deleted = entry.marker && is_around(input.occurred_at, entry.modified);
                let key = deleted.then(|| key.parse::<ObjectKey>().ok())??;
                Some((key, entry))
            });
            let deleted: Vec<_> = deleted.collect();
            let each = deleted.into_iter().map(|(key, marker)| async move {
                let run = Run {
                    incident: &input.incident_id,
                    key: &key,
                    versioning,
                    deadline,
                    dry: input.dry_run,
                };
                let settled = self.one_deleted(run, &marker, what, input).await;
                settled.transpose().map(|settled| (key, settled))
            });
            let settled: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
            let each = exposed.into_iter().map(|(key, current)| async move {
                let run = Run {
                    incident: &input.incident_id,
                    key: &key,
                    versioning,
                    deadline,
                    dry: input.dry_run,
                };
                let settled = self.one_exposed(run, &current).await;
                settled.transpose().map(|settled| (key, settled))
            });
            let exposed: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
            for (key, settled) in settled.into_iter().chain(exposed).flatten() {
                report.purge(&key);
                done.push((key, settled));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        if done.is_empty() && complete && what == What::BringBack {
            report.leave(format!(
                "no object of bucket {} was deleted with a delete marker around {}: versions were \
                 deleted for good, which cannot be listed; deploy the site again",
                self.s3.site, input.occurred_at
            ));
        } else {
            self.warn_of_lost_versions(versioning, &mut report);
        }
        done.sort_by(|(one, _), (other, _)| one.cmp(other));
        report.settled_all(done);
        report.end(Vec::new())
    }

    /// None for a current version that no incident has quarantined.
    async fn one_exposed(&self, run: Run<'_>, current: &Entry) -> Result<Option<Settled>, Failure> {
        if Instant::now() >= run.deadline {
            return Err(Failure::Transient(
                "not reached in time; run again to go on".to_owned(),
            ));
        }
        if self
            .known(run.key)
            .await?
            .quarantined(&current.id())
            .is_none()
        {
            return Ok(None);
        }
        self.settle(run, Belief::default()).await.map(Some)
    }

    /// None for a marker of ours.
    async fn one_deleted(
        &self,
        run: Run<'_>,
        marker: &Entry,
        what: What,
        input: &Input,
    ) -> Result<Option<Settled>, Failure> {
        if Instant::now() >= run.deadline {
            return Err(Failure::Transient(
                "not reached in time; run again to go on".to_owned(),
            ));
        }
        let id = marker.id();
        if what == What::LetGo {
            return self.let_go_of(run, &id, input).await.map(Some);
        }
        if self.known(run.key).await?.writing(&id).is_some() {
            return Ok(None);
        }
        if !run.dry {
            self.mark_deleted(run, &id).await?;
        }
        let believe = Belief {
            bad: Some(&id),
            ..Belief::default()
        };
        self.settle(run, believe).await.map(Some)
    }
}

/// The current versions of keys that have others: one of them may be live again because what was put
/// over it was deleted for good.
fn exposed(entries: &[(String, Entry)]) -> Vec<(ObjectKey, Entry)> {
    let current = entries.iter().filter(|(key, entry)| {
        let others = entries.iter().filter(|(other, _)| other == key).take(2);
        entry.latest && !entry.marker && others.count() > 1
    });
    let parsed = current.filter_map(|(key, entry)| Some((key.parse().ok()?, entry.clone())));
    parsed.collect()
}

fn is_around(event: Timestamp, modified: Timestamp) -> bool {
    event.duration_since(modified).abs() <= AROUND
}
