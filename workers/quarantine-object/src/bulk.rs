//! Objects that a `DeleteObjects` took off the site, of which its event names none.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use incident::ObjectKey;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use worker::Failure;

use crate::{
    Input, Output, QuarantineObject, deadline,
    history::{Entry, MECHANISM, version_of},
    report::{Report, shown},
    s3::{Found, Versioning},
    settle::{Belief, Live, Run, Settled, is_written_by},
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

/// What one run has come to with each object so far.
type Each = Vec<(ObjectKey, Result<Settled, Failure>)>;

/// One run on all objects.
#[derive(Debug, Clone, Copy)]
struct Bulk<'a> {
    input: &'a Input,
    what: What,
    versioning: Versioning,
    deadline: Instant,
}

impl<'a> Bulk<'a> {
    fn run(self, key: &'a ObjectKey) -> Run<'a> {
        Run {
            incident: &self.input.incident_id,
            key,
            versioning: self.versioning,
            deadline: self.deadline,
            dry: self.input.dry_run,
        }
    }
}

impl QuarantineObject {
    /// Brings back every object that got a delete marker when the event happened, and what we know of
    /// that was deleted by its version; an undo lets go of them again.
    pub(crate) async fn all_deleted(&self, input: &Input) -> Result<Output, Failure> {
        let what = if input.undo {
            What::LetGo
        } else {
            What::BringBack
        };
        let mut report = Report::of(format!("bucket {}", self.s3.site), input.dry_run);
        let versioning = self.s3.versioning().await?;
        if versioning == Versioning::Never {
            self.warn_of_lost_versions(versioning, &mut report);
            return report.end(Vec::new());
        }
        let bulk = Bulk {
            input,
            what,
            versioning,
            deadline: deadline(),
        };
        let (mut done, complete) = self.marked(bulk, &mut report).await;
        let answers = what == What::BringBack && complete && !done.iter().any(is_transient);
        let marked = !done.is_empty();
        if marked || !answers {
            self.warn_of_lost_versions(versioning, &mut report);
        } else {
            report.leave(format!(
                "no object of bucket {} was deleted with a delete marker around {}: versions were \
                 deleted for good, which cannot be listed; deploy the site again",
                self.s3.site, input.occurred_at
            ));
        }
        if answers {
            self.uncovered(bulk, &mut done, &mut report).await;
        }
        for (key, _) in &done {
            report.purge(key);
        }
        done.sort_by(|(one, _), (other, _)| one.cmp(other));
        report.settled_all(done);
        if answers && marked {
            report.found("what it deleted by version, if anything, cannot be listed");
        }
        report.end(Vec::new())
    }

    /// Deals with the markers of around the event; says whether it saw all of them.
    async fn marked(&self, bulk: Bulk<'_>, report: &mut Report) -> (Each, bool) {
        let (mut next, mut done) = (None, Vec::new());
        loop {
            let page = match self.s3.page(None, next).await {
                Ok(page) => page,
                Err(failure) => {
                    report.fail(failure);
                    return (done, false);
                }
            };
            let deleted = page.entries.into_iter().filter_map(|(key, entry)| {
                let deleted = entry.marker && is_around(bulk.input.occurred_at, entry.modified);
                let key = deleted.then(|| key.parse::<ObjectKey>().ok())??;
                Some((key, entry))
            });
            let deleted: Vec<_> = deleted.collect();
            let each = deleted.into_iter().map(|(key, marker)| async move {
                let settled = self.one_deleted(bulk, &key, &marker).await;
                settled.transpose().map(|settled| (key, settled))
            });
            let settled: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
            done.extend(settled.into_iter().flatten());
            next = page.next;
            if next.is_none() {
                return (done, true);
            }
        }
    }

    /// Puts right what is live again because what was over it was deleted by its version. No listing
    /// tells, so that the ledger is asked of each object, once; what it does not know of stays.
    async fn uncovered(&self, bulk: Bulk<'_>, done: &mut Each, report: &mut Report) {
        let put_right = done
            .iter()
            .filter(|(_, settled)| !matches!(settled, Ok(settled) if settled.live == Live::Stays));
        let put_right: BTreeSet<_> = put_right.map(|(key, _)| key.clone()).collect();
        let mut next = None;
        loop {
            let page = match self.s3.page(None, next).await {
                Ok(page) => page,
                Err(failure) => return report.fail(failure),
            };
            let current = page.entries.into_iter().filter_map(|(key, entry)| {
                let answered = entry.marker && is_around(bulk.input.occurred_at, entry.modified);
                let asked = entry.latest && !answered;
                asked.then(|| key.parse::<ObjectKey>().ok()).flatten()
            });
            let current: Vec<_> = current.filter(|key| !put_right.contains(key)).collect();
            if let Some(first) = current.first()
                && Instant::now() >= bulk.deadline
            {
                return report.leave(format!(
                    "what is live from {} on was not compared in time with what is in quarantine: \
                     deploy the site again",
                    shown(first)
                ));
            }
            let each = current.into_iter().map(|key| async move {
                let settled = self.one_uncovered(bulk, &key).await;
                settled.transpose().map(|settled| (key, settled))
            });
            let settled: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
            let settled: Each = settled.into_iter().flatten().collect();
            let stop = settled.iter().any(is_transient);
            done.extend(settled);
            next = page.next;
            if stop || next.is_none() {
                return;
            }
        }
    }

    /// None where nothing that we know of is wrong.
    async fn one_uncovered(
        &self,
        bulk: Bulk<'_>,
        key: &ObjectKey,
    ) -> Result<Option<Settled>, Failure> {
        let run = bulk.run(key);
        // Whatever we wrote over was quarantined first.
        let held = self.ledger.holds_on(&self.arn(run.key)).await?;
        let mut mechanisms = held.iter().map(|held| &held.hold.mechanism);
        if !mechanisms.any(|mechanism| mechanism.starts_with(MECHANISM)) {
            return Ok(None);
        }
        let history = self.look(run, Belief::default(), &[]).await?;
        let torn_off = history.torn_off(run.incident);
        // What was written later has its own event.
        let bad = history.current().filter(|entry| {
            history.known.is_bad(entry) && is_written_by(bulk.input.occurred_at, entry.modified)
        });
        if bad.is_none() && torn_off.is_empty() {
            return Ok(None);
        }
        let key = shown(run.key);
        let mut lost = Vec::new();
        for (made, writing) in &torn_off {
            let made = version_of(made);
            let ours = format!(
                "{key}: version {made}, by which we had put it right, was deleted for good"
            );
            lost.push(match &writing.source {
                Some(source) if self.is_gone(run.key, &source.version).await? => format!(
                    "{ours}, and so was version {}, which it was a copy of: deploy it again",
                    version_of(&source.version)
                ),
                _ => format!(
                    "{ours}; what else the same call deleted cannot be listed: deploy the site again"
                ),
            });
        }
        // A write that is under way replaces it.
        if let Some(bad) = bad
            && torn_off.is_empty()
            && history.known.open.is_empty()
        {
            lost.push(format!(
                "{key}: version {} is in quarantine and was live, so that what had replaced it was \
                 deleted for good: deploy it again if the site needs it",
                bad.version
            ));
        }
        let mut settled = self.settle(run, Belief::default()).await?;
        settled.left.extend(lost);
        Ok(Some(settled))
    }

    async fn is_gone(&self, key: &ObjectKey, id: &str) -> Result<bool, Failure> {
        match self.s3.head(self.s3.on_site(key, version_of(id))).await {
            Ok(found) => Ok(matches!(found, Found::Gone)),
            Err(failure @ Failure::Transient(_)) => Err(failure),
            Err(_) => Ok(false),
        }
    }

    /// None for a marker of ours.
    async fn one_deleted(
        &self,
        bulk: Bulk<'_>,
        key: &ObjectKey,
        marker: &Entry,
    ) -> Result<Option<Settled>, Failure> {
        if Instant::now() >= bulk.deadline {
            return Err(Failure::Transient(
                "not reached in time; run again to go on".to_owned(),
            ));
        }
        let (run, id) = (bulk.run(key), marker.id());
        if bulk.what == What::LetGo {
            return self.let_go_of(run, &id, bulk.input).await.map(Some);
        }
        let known = self.known(key).await?;
        if known.writing(&id).is_some() {
            return Ok(None);
        }
        // Of many calls in the same seconds, one answers for its marker.
        if known.quarantined(&id).is_some() && !marker.latest {
            return Ok(Some(Settled {
                live: Live::Stays,
                left: Vec::new(),
            }));
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

fn is_around(event: Timestamp, modified: Timestamp) -> bool {
    event.duration_since(modified).abs() <= AROUND
}

fn is_transient((_, settled): &(ObjectKey, Result<Settled, Failure>)) -> bool {
    matches!(settled, Err(Failure::Transient(_)))
}
