//! Makes an object of the site what it should be.

use std::time::Duration;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use incident::{IncidentId, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use ledger::Writing;
use tokio::time::{Instant, sleep};
use worker::Failure;

use crate::{
    QuarantineObject,
    copy::{Copy, Proof, When, same},
    encode::quoted,
    history::{Entry, History, Known, NULL, Root, identity, sort, source, version_of},
    report::shown,
    s3::{Found, Refusal, Versioning, time},
};

/// Attempts at a key that others keep writing before it is left to a retry.
const ATTEMPTS: u32 = 8;

/// How long after a write was begun, by our clock, its version may appear, by S3's.
const LONGEST_WRITE: SignedDuration = SignedDuration::from_mins(15);
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

/// One run on one object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) incident: &'a IncidentId,
    pub(crate) key: &'a ObjectKey,
    pub(crate) versioning: Versioning,
    pub(crate) deadline: Instant,
    pub(crate) dry: bool,
}

/// What to believe beside the ledger, of versions by their identity.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Belief<'a> {
    pub(crate) bad: Option<&'a str>,
    pub(crate) good: Option<&'a str>,
    /// Of this one a copy is in quarantine.
    pub(crate) kept: Option<&'a str>,
}

/// How the site's object came to be what it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Live {
    /// It was right already.
    Stays,
    /// There was no object, and should be none.
    Absent,
    /// A copy of a version was put on the key.
    Back { version: String, proof: Proof },
    /// It was taken off.
    Off,
    /// Nothing was done, as nobody could read the right version or replace the wrong one safely.
    Untouched,
}

/// The object as it is now, and what is left for a human.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) live: Live,
    pub(crate) left: Vec<String>,
}

/// What one run has come to so far.
#[derive(Default)]
struct Work {
    did: Option<Live>,
    /// Writes of this run of which it is not known what they made.
    begun: Vec<Writing>,
    failed: Option<Failure>,
    unreadable: Option<Unreadable>,
}

/// A version that should be live and cannot be copied.
struct Unreadable {
    id: String,
    by_hand: String,
}

impl Work {
    /// What became of the writes that were begun, as far as it is known now.
    fn learn(&mut self, known: &Known) {
        let (open, made) = std::mem::take(&mut self.begun)
            .into_iter()
            .partition(|begun| known.open.contains(begun));
        self.begun = open;
        let made: Vec<Writing> = made;
        if let Some(made) = made.into_iter().next_back() {
            self.did.get_or_insert(match made.source {
                Some(source) => Live::Back {
                    version: version_of(&source.version).to_owned(),
                    proof: Proof::Size,
                },
                None => Live::Off,
            });
        }
    }

    /// The version to put back, none where the object is to be taken off; and what is left for a
    /// human where that is only because the right one cannot be copied.
    fn goal<'h>(&self, history: &'h History) -> (Option<(&'h Entry, Root)>, Vec<String>) {
        let good = history.newest_good().filter(|(entry, _)| !entry.marker);
        match (good, &self.unreadable) {
            (Some((_, root)), Some(unreadable)) if unreadable.id == root.id => {
                (None, vec![unreadable.by_hand.clone()])
            }
            (good, _) => (good, Vec::new()),
        }
    }
}

impl QuarantineObject {
    /// Reads S3 first and then the ledger, which knows of each of our writes before S3 does.
    pub(crate) async fn look(
        &self,
        run: Run<'_>,
        believe: Belief<'_>,
        begun: &[Writing],
    ) -> Result<History, Failure> {
        let (entries, mut next) = self.s3.entries(run.key, None).await?;
        let mut history = History {
            entries,
            known: self.known(run.key).await?,
        };
        if let Some(bad) = believe.bad {
            history.known.suspect(bad);
        }
        if let Some(good) = believe.good {
            history.known.forgive(good);
        }
        loop {
            sort(&mut history.entries);
            self.adopt(run, &mut history, begun).await?;
            if next.is_none() || history.reaches_far_enough() {
                return Ok(history);
            }
            let (older, further) = self.s3.entries(run.key, next).await?;
            history.entries.extend(older);
            next = further;
        }
    }

    pub(crate) async fn known(&self, key: &ObjectKey) -> Result<Known, Failure> {
        let object = self.arn(key);
        let (holds, writings) =
            tokio::try_join!(self.ledger.holds_on(&object), self.ledger.writings(&object))?;
        Ok(Known::new(holds, writings))
    }

    /// Finds the versions that writes of ours made of which the answer was lost. Only the run that
    /// began a write records it: another's may have been refused a moment ago, for somebody's write
    /// of the same content. The two cannot be told apart only where S3 refused it for such a write
    /// and the refusal was lost as well.
    async fn adopt(
        &self,
        run: Run<'_>,
        history: &mut History,
        begun: &[Writing],
    ) -> Result<(), Failure> {
        for writing in history.known.open.clone() {
            let mut found = None;
            for entry in history.written_over(&writing.over) {
                let may_be = history.known.is_foreign(entry) && may_be_of(entry, &writing);
                if may_be && self.is_of(run, entry, &writing).await? {
                    found = Some(entry.id());
                    break;
                }
            }
            if let Some(id) = found {
                if begun.contains(&writing) {
                    let object = self.arn(run.key);
                    self.ledger.finish_writing(&object, &writing, &id).await?;
                }
                history.known.wrote(id, writing);
            }
        }
        Ok(())
    }

    async fn is_of(&self, run: Run<'_>, entry: &Entry, writing: &Writing) -> Result<bool, Failure> {
        let Some(source) = &writing.source else {
            return Ok(true);
        };
        // What is ours may be written over: where that destroys it, it must be known to be.
        let overwritable = entry.version == NULL;
        let (Some(copied), Some(copy)) = (
            self.head_of(run.key, &source.version).await?,
            self.head_of(run.key, &entry.id()).await?,
        ) else {
            return Ok(!overwritable);
        };
        Ok(match same(&copied, &copy) {
            Some(Proof::Size) => !overwritable,
            proof => proof.is_some(),
        })
    }

    /// A version that we can read; none where it is gone, or not ours to read.
    pub(crate) async fn head_of(
        &self,
        key: &ObjectKey,
        id: &str,
    ) -> Result<Option<Box<HeadObjectOutput>>, Failure> {
        let version = version_of(id);
        match self.s3.head(self.s3.on_site(key, version)).await {
            Ok(Found::Object(head)) => {
                let now = identity(version, time(head.last_modified())?);
                Ok((now == id).then_some(head))
            }
            Ok(_) | Err(Failure::AccessDenied(_) | Failure::Rejected(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Makes the object what it should be, under conditions that let every newer write win, and looks
    /// again: they compare content, not versions. A dry run says what it would do.
    pub(crate) async fn settle(
        &self,
        run: Run<'_>,
        believe: Belief<'_>,
    ) -> Result<Settled, Failure> {
        let mut work = Work::default();
        for attempt in 0..ATTEMPTS {
            sleep(backoff(attempt)).await;
            let history = self.look(run, believe, &work.begun).await?;
            work.learn(&history.known);
            if let Some(settled) = self.step(run, believe, &history, &mut work).await? {
                // What they were to replace is not there any more: these made nothing.
                for begun in work.begun {
                    self.ledger.drop_writing(&self.arn(run.key), &begun).await?;
                }
                return Ok(settled);
            }
        }
        Err(work.failed.unwrap_or_else(|| {
            Failure::Transient(format!("others keep writing {}; run again", shown(run.key)))
        }))
    }

    /// One attempt; none where it is to be looked at again.
    async fn step(
        &self,
        run: Run<'_>,
        believe: Belief<'_>,
        history: &History,
        work: &mut Work,
    ) -> Result<Option<Settled>, Failure> {
        let (good, left) = work.goal(history);
        let settled = |live, left| Ok(Some(Settled { live, left }));
        if history.is_right(good.as_ref().map(|(_, root)| root)) {
            let already = match good {
                Some(_) => Live::Stays,
                None => Live::Absent,
            };
            return settled(work.did.take().unwrap_or(already), left);
        }
        let Some(current) = history.current() else {
            return Err(Failure::Rejected(
                "s3:ListBucketVersions: no version is the current one".to_owned(),
            ));
        };
        if !left.is_empty() && !history.known.is_bad(current) {
            return settled(Live::Untouched, left);
        }
        if !is_kept(run, believe, current, &history.known) {
            let left = format!(
                "{} is as it was, since the bucket keeps no versions and no copy of it is in \
                 quarantine; once one is, start the runbook again with the same input",
                shown(run.key)
            );
            return settled(Live::Untouched, vec![left]);
        }
        if run.dry {
            let live = good.map_or(Live::Off, |(entry, _)| Live::Back {
                version: entry.version.clone(),
                proof: Proof::Size,
            });
            return settled(live, left);
        }
        let writing = Writing {
            incident: run.incident.clone(),
            at: (self.now)(),
            over: current.id(),
            source: good
                .as_ref()
                .map(|(entry, root)| source(entry, root.clone())),
            made: None,
        };
        let object = self.arn(run.key);
        if let Err(failure) = self.ledger.begin_writing(&object, &writing).await {
            // It may be recorded all the same, and is not going to be made.
            self.ledger.drop_writing(&object, &writing).await?;
            return Err(failure);
        }
        let written = match &good {
            Some((entry, _)) => self.put_back(run, entry, current, &writing).await,
            None => self.take_off(run, current, &writing).await,
        };
        let refusal = match written {
            Ok(live) => {
                work.did = Some(live);
                work.begun.push(writing);
                return Ok(None);
            }
            // Only its answer may be lost.
            Err(Refusal::Failed(failure @ Failure::Transient(_))) => {
                work.failed = Some(failure);
                work.begun.push(writing);
                return Ok(None);
            }
            Err(refusal) => refusal,
        };
        self.ledger.drop_writing(&object, &writing).await?;
        match (refusal, good) {
            (Refusal::Moved, _) => Ok(None),
            (refusal, Some((entry, root))) => {
                let by_hand = self.by_hand(run, &entry.version, refusal);
                let id = root.id;
                work.unreadable = Some(Unreadable { id, by_hand });
                Ok(None)
            }
            (refusal, None) => Err(Failure::from(refusal)
                .rephrase(|why| [&[why.to_owned()], &left[..]].concat().join("; "))),
        }
    }

    async fn put_back(
        &self,
        run: Run<'_>,
        entry: &Entry,
        over: &Entry,
        writing: &Writing,
    ) -> Result<Live, Refusal> {
        let from = self.s3.on_site(run.key, &entry.version);
        let head = match self.s3.head(from).await {
            Ok(Found::Object(head)) => head,
            Ok(_) => return Err(Refusal::Moved),
            Err(failure) => return Err(Refusal::Failed(failure)),
        };
        let copy = Copy {
            from,
            head: &head,
            to: crate::s3::Place {
                version: None,
                ..from
            },
            when: if over.marker {
                When::Absent
            } else {
                When::Matches(&over.etag)
            },
            keep_class: true,
            deadline: run.deadline,
        };
        let made = match self.s3.copy(copy).await {
            // A run that begins anew has all its time for it.
            Err(refusal @ Refusal::OutOfTime) => return Err(Refusal::Failed(refusal.into())),
            made => made?,
        };
        self.finish(run, writing, made.as_deref()).await?;
        let made = made.as_deref().map_or(NULL, version_of);
        let proof = self.s3.verify(&head, self.s3.on_site(run.key, made)).await;
        let proof = proof.or_else(|failure| match failure {
            // Somebody wrote over it, or it may be written and not read: S3 took the whole copy.
            Failure::TargetNotFound(_) | Failure::AccessDenied(_) => Ok(Proof::Size),
            failure => Err(Refusal::Failed(failure)),
        })?;
        Ok(Live::Back {
            version: entry.version.clone(),
            proof,
        })
    }

    async fn take_off(
        &self,
        run: Run<'_>,
        over: &Entry,
        writing: &Writing,
    ) -> Result<Live, Refusal> {
        let made = self.s3.delete(run.key, &over.etag).await?;
        self.finish(run, writing, made.as_deref()).await?;
        Ok(Live::Off)
    }

    async fn finish(
        &self,
        run: Run<'_>,
        writing: &Writing,
        made: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(made) = made else {
            return Ok(());
        };
        let finished = self
            .ledger
            .finish_writing(&self.arn(run.key), writing, made)
            .await;
        finished.map_err(|failure| {
            // The version is there: whoever looks next finds that it is ours.
            let why = failure.to_string();
            Refusal::Failed(Failure::Transient(why))
        })
    }

    fn by_hand(&self, run: Run<'_>, version: &str, refusal: Refusal) -> String {
        let key = shown(run.key);
        match refusal {
            Refusal::Archived => format!(
                "{key}: its last good version {version} is archived: {}",
                self.restore_archived(run.key, version)
            ),
            refusal => format!(
                "{key}: its last good version {version} could not be copied ({}); deploy it, or \
                 mend that and start the runbook again with the same input",
                Failure::from(refusal)
            ),
        }
    }

    pub(crate) fn restore_archived(&self, key: &ObjectKey, version: &str) -> String {
        format!(
            "aws s3api restore-object --bucket {} --key {} --version-id {} --restore-request \
             Days=7; once it is restored, start the runbook again with the same input",
            self.s3.site,
            quoted(key.as_str()),
            quoted(version),
        )
    }
}

/// Whether nothing is lost by writing over an entry. Where the bucket keeps versions, nothing ever
/// is; elsewhere only what is in quarantine, or a copy of ours, may go.
fn is_kept(run: Run<'_>, believe: Belief<'_>, current: &Entry, known: &Known) -> bool {
    let id = current.id();
    let evidence = known
        .quarantined(&id)
        .map(|held| &held.hold.original["evidence"]);
    run.versioning == Versioning::Enabled
        || run.dry
        || current.marker
        || current.version != NULL
        || known.writing(&id).is_some()
        || believe.kept == Some(&id)
        || evidence.is_some_and(serde_json::Value::is_string)
}

/// Whether a version may be the one that a write made.
fn may_be_of(entry: &Entry, writing: &Writing) -> bool {
    let like = match &writing.source {
        Some(source) => !entry.marker && entry.size == source.size,
        None => entry.marker,
    };
    let earliest = writing.at - CLOCKS_DIFFER;
    let latest = writing.at + LONGEST_WRITE;
    like && (earliest..latest).contains(&entry.modified)
}

fn backoff(attempt: u32) -> Duration {
    match attempt {
        0 => Duration::ZERO,
        attempt => Duration::from_millis(50 << attempt.min(5)),
    }
}

/// Whether a version was written by `at`, clocks differing by some seconds.
pub(crate) fn is_written_by(at: Timestamp, modified: Timestamp) -> bool {
    modified <= at + CLOCKS_DIFFER
}
