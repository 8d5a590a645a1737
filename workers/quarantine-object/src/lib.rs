//! Keeps the bad version of a site's object as evidence, and puts the last good one back.
//!
//! **Act**, on an object:
//! 1. *Quarantine.* The version is held in the ledger: from now on it is bad.
//! 2. *Restore.* The newest version, or delete marker, that no incident has quarantined is put back on
//!    the key: a version as a copy, a marker as a marker. Without any the object is taken off with
//!    a delete marker. A version of ours counts as its source, so that the outcome is the same in
//!    whatever order events arrive. No version is ever deleted.
//! 3. *Evidence.* The exact version is copied to the quarantine bucket, to `<incident>/<key>`, with
//!    its metadata, content type and tags; above 5 GB by parts. The copy is read again and compared
//!    with its source: by the checksum that S3 keeps of the whole source, if it does; else by MD5,
//!    which the entity tags are of objects of one part without a KMS key; else by size. S3 computes
//!    a checksum of every copy itself. One that is there already is not made again. It comes last,
//!    in the time that is left, as nothing takes the version from its bucket meanwhile; where
//!    versioning is not enabled it comes first, and the hold says where it is.
//!
//! Each write is conditional on the entity tag of what was read (`If-Match` on `CopyObject`,
//! `CompleteMultipartUpload` and `DeleteObject`, `If-None-Match: *` over a marker), so that a newer
//! write wins; and since equal content has equal tags, the key is read again after it. Each is
//! recorded in the ledger before it is made, so that a version whose answer was lost is still known
//! as ours.
//!
//! **`DeleteObject`**: its delete marker is what is quarantined, so the object comes back. A version
//! that was deleted for good is left for a human.
//!
//! **`DeleteObjects`** says no keys: the target is the bucket. Every object that got a delete marker
//! within 15 seconds of the event is brought back. What CI/CD deleted within these seconds cannot be
//! told from it and comes back too: a file too many until the next deployment deletes it again. After
//! 14 minutes it stops and is `Transient`; a second run goes on.
//!
//! The call may delete versions by their ids as well, which leaves nothing to be listed. So the ledger
//! is asked of every other object, one `Query` each: what is live and in quarantine is replaced, what
//! we had put there is put there again, and a human is told of either. An older version that is live
//! again stays where the ledger knows nothing of its object: the summary says that nobody can tell.
//! Only a bucket policy that denies `s3:DeleteObjectVersion` prevents it.
//!
//! **`PutObjectAcl`** changes no content: everybody but the owner loses what the object's ACL grants.
//! Changed tags are left for a human, as nobody knows what they were.
//!
//! **What a human finds in `left`**, while the run does all the rest:
//!
//! | case | outcome |
//! |---|---|
//! | no versioning | the evidence is kept, then the object is deleted while it is still the same one: deploy again; without evidence it is not touched |
//! | versioning suspended | as with versions, from those that are there; what overwrites `null` needs the evidence first: deploy again |
//! | MFA delete | nothing: a marker needs no MFA, and no version is deleted |
//! | Object Lock | nothing: it protects versions, not keys; copies take the lock of the bucket they are in |
//! | bad version archived | it stays where it is; `aws s3api restore-object` |
//! | good version archived | the bad one is taken off the site all the same; `aws s3api restore-object` |
//! | not ours to read: KMS key, SSE-C, another account's object | the same, with AWS's reason |
//! | the bad version is gone | it cannot be kept; the key is restored |
//! | larger than 200 GiB, or not copied in time | it stays where it is; copied by hand |
//! | `DeleteObjects` left no marker, or took a version of ours | what else it deleted cannot be listed: deploy again |
//!
//! **Without a ledger** the evidence is kept, and an ACL is closed; replacing a live object waits, as
//! only the ledger knows which versions are good. The failure is `Transient` where a retry may do it.
//!
//! **Undo**, for an operator who learned that the write was legitimate: the version is not quarantined
//! by this incident any more, and the newest good version goes live again, by the same conditions. One
//! that is gone comes back from quarantine if nothing is there. An ACL is put back as it was.
//!
//! **Calls.** On the site: `s3:GetBucketVersioning`, `ListObjectVersions`, `HeadObject`, `CopyObject`,
//! `DeleteObject` without a version, `GetObjectTagging`, `GetObjectAcl`, `PutObjectAcl`; above 5 GB
//! `CreateMultipartUpload`, `UploadPartCopy`, `CompleteMultipartUpload`, `AbortMultipartUpload`. On
//! the quarantine bucket `HeadObject`, `CopyObject` and the same for uploads. `dynamodb:Query`,
//! `PutItem`, `UpdateItem`, `DeleteItem`, and on an undo `GetItem`.
//!
//! **A second run** finds the evidence and the right version, and changes nothing. `paths` names what
//! CloudFront must forget in either.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>

mod acl;
mod bulk;
mod copy;
mod encode;
mod evidence;
mod history;
mod report;
mod s3;
mod settle;
mod subject;
mod undo;

use std::{ops::ControlFlow, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use incident::{IncidentId, ObjectKey, Settings, Target, Text, VersionId};
use jiff::Timestamp;
use ledger::{Done, Hold, Ledger};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use worker::{Failure, Worker};

use crate::{
    encode::quoted,
    history::{MECHANISM, version_of},
    report::{Report, shown},
    s3::{Refusal, S3, Versioning},
    settle::{Belief, Live, Run},
    subject::{Is, Subject},
};

/// How long a run takes on more work; the Lambda function has 15 minutes.
const TIME_TO_BEGIN: Duration = Duration::from_mins(14);

/// What was written, or deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that quarantines it.
    pub incident_id: IncidentId,
    /// An object of the site, or the bucket of a `DeleteObjects`.
    pub target: Target,
    /// When it happened.
    #[schemars(with = "String")]
    pub occurred_at: Timestamp,
    /// The event's name; none when a human names the object.
    #[serde(default)]
    pub event_name: Option<Text<128>>,
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether to let go instead.
    #[serde(default)]
    pub undo: bool,
    /// For an undo that the ledger cannot know: what an earlier answer returned as `undo`.
    #[serde(default)]
    pub holds: Vec<Hold>,
}

/// What was done, and what CloudFront must forget.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// What was done.
    #[serde(flatten)]
    pub done: Done,
    /// The paths of the objects, encoded as CloudFront takes them: up to 300, or `/*`.
    pub paths: Vec<String>,
}

/// The worker.
#[derive(Debug)]
pub struct QuarantineObject {
    s3: S3,
    ledger: Ledger,
    partition: String,
    now: fn() -> Timestamp,
}

impl QuarantineObject {
    /// Reads the settings `SITE_BUCKET_NAME`, `QUARANTINE_BUCKET_NAME`, `ACCOUNT_ID`, `PARTITION` and
    /// `LEDGER_TABLE`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        let (site, quarantine) = (
            settings.required("SITE_BUCKET_NAME")?,
            settings.required("QUARANTINE_BUCKET_NAME")?,
        );
        Ok(Self {
            s3: S3::new(config, settings.required("ACCOUNT_ID")?, site, quarantine),
            ledger: Ledger::from_settings(config, &settings)?,
            partition: settings.required("PARTITION")?,
            now: Timestamp::now,
        })
    }
}

impl Worker for QuarantineObject {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        match &input.target {
            Target::Object { bucket, .. } | Target::Bucket { name: bucket }
                if *bucket != self.s3.site =>
            {
                Err(Failure::Protected(format!(
                    "bucket {bucket} is not the site's, {}",
                    self.s3.site
                )))
            }
            Target::Object { key, .. } if input.undo => self.let_go(&input, key).await,
            Target::Object { key, version, .. } => match Deed::of(&input) {
                Deed::Acl => self.close(&input, key, version.as_ref()).await,
                Deed::Tags => self.tags(&input, key, version.as_ref()),
                deed => self.respond(&input, key, version.as_ref(), deed).await,
            },
            Target::Bucket { .. } => self.all_deleted(&input).await,
            _ => Err(Failure::InvalidInput(
                "`target`: expected an object or a bucket".to_owned(),
            )),
        }
    }
}

/// What an event did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Write,
    Delete,
    Acl,
    Tags,
}

impl Deed {
    fn of(input: &Input) -> Self {
        match input.event_name.as_ref().map(Text::as_str) {
            Some("DeleteObject") => Self::Delete,
            Some("PutObjectAcl") => Self::Acl,
            Some("PutObjectTagging" | "DeleteObjectTagging") => Self::Tags,
            _ => Self::Write,
        }
    }
}

impl QuarantineObject {
    async fn respond(
        &self,
        input: &Input,
        key: &ObjectKey,
        version: Option<&VersionId>,
        deed: Deed,
    ) -> Result<Output, Failure> {
        let mut report = Report::of(format!("object {}", shown(key)), input.dry_run);
        report.purge(key);
        let run = Run {
            incident: &input.incident_id,
            key,
            versioning: self.s3.versioning().await?,
            deadline: deadline(),
            dry: input.dry_run,
        };
        let subject = self.subject(run, input, version).await?;
        let ControlFlow::Continue(bad) = self.bad(run, subject, deed, version, &mut report) else {
            return report.end(Vec::new());
        };
        let keep = async |report: &mut Report| match &bad {
            Some(Bad { id, head, .. }) => self.keep(run, id, head.as_deref()?, report).await,
            None => None,
        };
        if run.versioning == Versioning::Enabled {
            // The bad version stays where it is, and large ones take minutes to copy.
            self.restore(run, bad.as_ref(), None, &mut report).await;
            keep(&mut report).await;
        } else {
            let evidence = keep(&mut report).await;
            self.restore(run, bad.as_ref(), evidence.as_deref(), &mut report)
                .await;
        }
        report.end(Vec::new())
    }

    /// Quarantines what is bad, and makes the object what it should be.
    async fn restore(
        &self,
        run: Run<'_>,
        bad: Option<&Bad>,
        evidence: Option<&str>,
        report: &mut Report,
    ) {
        if let Some(bad) = bad
            && !run.dry
            && let Err(failure) = self.mark(run, &bad.id, bad.hold(evidence)).await
        {
            return report.fail(failure.rephrase(|why| {
                format!("nothing on the site is replaced without the ledger: {why}")
            }));
        }
        let bad = bad.map(|bad| bad.id.as_str());
        let believe = Belief {
            bad,
            kept: bad.filter(|_| evidence.is_some()),
            good: None,
        };
        match self.settle(run, believe).await {
            Ok(settled) => {
                let overwrites = bad.is_none_or(|bad| version_of(bad) == history::NULL);
                if overwrites && settled.live != Live::Untouched {
                    self.warn_of_lost_versions(run.versioning, report);
                }
                report.settled(settled);
            }
            Err(failure) => report.fail(failure),
        }
    }

    /// What is to be quarantined, if anything; a break where there is nothing to restore. Says
    /// what cannot be kept.
    fn bad(
        &self,
        run: Run<'_>,
        subject: Subject,
        deed: Deed,
        named: Option<&VersionId>,
        report: &mut Report,
    ) -> ControlFlow<(), Option<Bad>> {
        let Subject { id, is } = subject;
        // A version called `null` has no id of its own once it is gone, and is as gone as any.
        let version = id.as_deref().map(version_of);
        let version = version.or(named.map(VersionId::as_str)).map(str::to_owned);
        let bad = |marker, head| id.map(|id| Bad { id, marker, head });
        match (is, deed) {
            (Is::Replaced, _) => {
                report.found("what is there was written later, and stays");
                ControlFlow::Break(())
            }
            (Is::Marker, _) => ControlFlow::Continue(bad(true, None)),
            (Is::Object(head), Deed::Write) => ControlFlow::Continue(bad(false, Some(head))),
            (Is::Unreadable(failure), Deed::Write) => {
                let evidence = evidence::evidence_key(run.incident, run.key);
                let (from, to) = (
                    self.s3
                        .on_site(run.key, version.as_deref().unwrap_or_default()),
                    self.s3.in_quarantine(&evidence),
                );
                self.not_kept(run, from, to, Refusal::Failed(failure), report);
                ControlFlow::Continue(bad(false, None))
            }
            (Is::Gone, Deed::Write) => {
                if let Some(version) = version {
                    report.leave(format!(
                        "{}: version {version} was deleted for good before it could be kept",
                        shown(run.key)
                    ));
                }
                report.found("what was written is gone");
                ControlFlow::Continue(bad(false, None))
            }
            // A deletion of one version leaves nothing to be quarantined.
            (Is::Object(_), _) => {
                let version = version.unwrap_or_default();
                report.found(format!("version {version} is there"));
                ControlFlow::Continue(None)
            }
            (Is::Unreadable(why), _) => {
                report.leave(format!(
                    "{}: what was deleted, version {}, could not be looked at ({why}): mend that \
                     and start the runbook again with the same input",
                    shown(run.key),
                    version.unwrap_or_default(),
                ));
                ControlFlow::Continue(None)
            }
            (Is::Gone, _) => {
                if let Some(version) = version {
                    report.leave(format!(
                        "{}: version {version} was deleted for good and cannot be brought back: \
                         deploy it again if the site needs it",
                        shown(run.key)
                    ));
                }
                ControlFlow::Continue(None)
            }
        }
    }

    /// Quarantines a version: from now on no incident takes it for good.
    async fn mark(&self, run: Run<'_>, id: &str, original: Value) -> Result<(), Failure> {
        let hold = Hold {
            resource: self.arn(run.key),
            mechanism: format!("{MECHANISM}{id}"),
            original,
        };
        let now = (self.now)();
        self.ledger.hold(run.incident, &hold, now).await.map(|_| ())
    }

    async fn mark_deleted(&self, run: Run<'_>, id: &str) -> Result<(), Failure> {
        let marker = Bad {
            id: id.to_owned(),
            marker: true,
            head: None,
        };
        self.mark(run, id, marker.hold(None)).await
    }

    async fn close(
        &self,
        input: &Input,
        key: &ObjectKey,
        version: Option<&VersionId>,
    ) -> Result<Output, Failure> {
        let mut report = Report::of(format!("object {}", shown(key)), input.dry_run);
        let mut holds = self.ledger.holds_for(&input.incident_id, (self.now)());
        let hold = async |hold| holds.put(hold).await;
        let version = version.map(VersionId::as_str);
        match self.close_acl(key, version, input.dry_run, hold).await {
            Ok(acl::Closed::Already) => {
                report.found("its ACL grants nobody but its owner anything");
            }
            Ok(acl::Closed::Gone) => report.found("the version is gone, and its ACL with it"),
            Ok(acl::Closed::Now { grants }) => report.did(format!(
                "its ACL {} {grants} grants to others; what it holds is as it was",
                if input.dry_run { "would lose" } else { "lost" },
            )),
            Err(failure) => report.fail(failure),
        }
        report.end(holds.unrecorded())
    }

    fn tags(
        &self,
        input: &Input,
        key: &ObjectKey,
        version: Option<&VersionId>,
    ) -> Result<Output, Failure> {
        let mut report = Report::of(format!("object {}", shown(key)), input.dry_run);
        report.found("its tags were changed, and what it holds was not");
        let version = version.map_or_else(String::new, |version| {
            format!(" --version-id {}", quoted(version.as_str()))
        });
        report.leave(format!(
            "the tags of {} were changed, and nobody recorded what they were: aws s3api \
             get-object-tagging --bucket {} --key {}{version}; put-object-tagging sets them",
            shown(key),
            self.s3.site,
            quoted(key.as_str()),
        ));
        report.end(Vec::new())
    }

    fn arn(&self, key: &ObjectKey) -> String {
        format!(
            "arn:{}:s3:::{}/{}",
            self.partition,
            self.s3.site,
            key.as_str()
        )
    }

    /// Where the bucket does not keep versions, what was live before may be lost.
    fn warn_of_lost_versions(&self, versioning: Versioning, report: &mut Report) {
        let (site, lost) = match versioning {
            Versioning::Enabled => return,
            Versioning::Suspended => (&self.s3.site, "the last good version may be lost"),
            Versioning::Never => (&self.s3.site, "there is no good version to put back"),
        };
        report.leave(format!(
            "bucket {site} keeps no versions, so {lost}: deploy the site again, and turn versioning \
             on: aws s3api put-bucket-versioning --bucket {site} --versioning-configuration \
             Status=Enabled"
        ));
    }
}

/// What is to be quarantined.
struct Bad {
    id: String,
    marker: bool,
    /// What is to be kept of it.
    head: Option<Box<HeadObjectOutput>>,
}

impl Bad {
    /// What its hold keeps.
    fn hold(&self, evidence: Option<&str>) -> Value {
        json!({"marker": self.marker, "evidence": evidence})
    }
}

fn deadline() -> Instant {
    Instant::now() + TIME_TO_BEGIN
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod tests;
