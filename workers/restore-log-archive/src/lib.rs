//! Puts the bucket and the key of a trail back as they were recorded.
//!
//! **Act.** What is there is compared with what `record-baseline` recorded, and what deviates is
//! put back where that is safe: the key first, since nothing can be written or read without it
//! (`CancelKeyDeletion` leaves it disabled, so `EnableKey` follows), then the bucket's policy,
//! versioning, lifecycle and encryption. Each is held in the ledger before it is changed, and a step
//! that fails does not stop the next one. What is stronger than recorded stays, and is said to be.
//!
//! **A bucket that bars us.** A bucket policy can deny us to read what it says. The recorded policy
//! is then put back unseen: S3 takes it for a bucket of this account only. The run ends as
//! transient, so that the retry sees the rest.
//!
//! **Left for a human**, each with the call: a bucket, a key or a log group that is gone, a key's
//! policy (whoever may write that may take the key over), a log group's retention, what cannot be
//! read, and all that would have to be compared with a baseline where there is none. Without one the
//! key is enabled and suspended versioning turned on all the same.
//!
//! **Undo.** Putting the attack back is no undo, so this worker cannot do it. An undo lets go of the
//! holds and says the calls by which an operator, with their own credentials, brings the state
//! before the incident back.
//!
//! **Calls.** On the bucket `s3:GetBucketPolicy`, `GetLifecycleConfiguration`,
//! `GetBucketVersioning`, `GetEncryptionConfiguration`, and as needed `PutBucketPolicy`,
//! `PutBucketVersioning`, `PutLifecycleConfiguration` (which also deletes), and
//! `PutEncryptionConfiguration`; on the key `kms:DescribeKey`, `GetKeyPolicy`, and as needed
//! `CancelKeyDeletion`, `EnableKey`; `logs:DescribeLogGroups`; `dynamodb:GetItem`, `UpdateItem`
//! before a change, `DeleteItem` on an undo. Every call on the bucket names the account that must
//! own it, and goes to the region where S3 says that the bucket is.
//!
//! **A second run** finds everything as recorded and changes nothing. It finishes what an earlier
//! run left half-done: a key whose deletion was cancelled and that was not yet enabled is disabled.
//!
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html>

mod calls;
mod mechanism;
mod report;

use aws_config::SdkConfig;
use incident::{IncidentId, Settings, TrailArn};
use jiff::Timestamp;
use ledger::{Done, Hold, Ledger, Part, Release};
use log_archive::{Clients, Names};
use schemars::JsonSchema;
use serde::Deserialize;
use worker::{Failure, Worker};

use mechanism::Mechanism;
use report::Report;

/// Whose log archive is restored, and for which incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that holds what is changed.
    pub incident_id: IncidentId,
    /// The trail.
    pub trail_arn: TrailArn,
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

/// The worker.
#[derive(Debug)]
pub struct RestoreLogArchive {
    clients: Clients,
    names: Names,
    ledger: Ledger,
    now: fn() -> Timestamp,
}

impl RestoreLogArchive {
    /// Reads the setting `LEDGER_TABLE` and those of [`Names`].
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            clients: Clients::new(&worker::CONTROL.on(config)),
            names: Names::from_settings(&settings)?,
            ledger: Ledger::from_settings(config, &settings)?,
            now: Timestamp::now,
        })
    }
}

impl Worker for RestoreLogArchive {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        let report = Report::of(&input.trail_arn);
        if self.names.is_empty() {
            return report.unwatched();
        }
        if input.undo {
            self.let_go(&input, report).await
        } else {
            self.restore(&input, report).await
        }
    }
}

impl RestoreLogArchive {
    async fn restore(&self, input: &Input, mut report: Report) -> Result<Done, Failure> {
        let (names, now) = (&self.names, (self.now)());
        let (found, recorded) = tokio::join!(
            log_archive::look(&self.clients, names),
            self.ledger.recorded(&input.trail_arn, Part::Archive),
        );
        let watched = names.of(&input.trail_arn);
        let expected = match report.recorded(recorded) {
            Some(recorded) => {
                report.stronger(&found.stronger(&recorded, watched, now));
                found.should_be(&recorded, watched, now)
            }
            None => found.unrecorded(),
        };
        report.leave(found.deviations(&expected, watched, now));
        report.unread(&found);
        let mut needed = Mechanism::ALL.to_vec();
        needed.retain(|mechanism| mechanism.is_needed(&found, &expected));
        report.needed(&needed, input.dry_run);
        if input.dry_run {
            return report.end(Vec::new());
        }
        let mut holds = self.ledger.holds_for(&input.incident_id, now);
        for mechanism in needed {
            let Some(resource) = mechanism.resource(names, &input.trail_arn) else {
                continue;
            };
            holds
                .put(Hold {
                    resource,
                    mechanism: mechanism.as_str().to_owned(),
                    original: mechanism.original(&found),
                })
                .await;
            self.put_back(mechanism, &found, &expected, &mut report)
                .await;
        }
        report.too_large(holds.too_large());
        report.end(holds.unrecorded())
    }

    async fn let_go(&self, input: &Input, mut report: Report) -> Result<Done, Failure> {
        let undo = self
            .ledger
            .undo_for(&input.incident_id, &input.holds, input.dry_run);
        let mut parts = Vec::new();
        for mechanism in Mechanism::ALL {
            let Some(resource) = mechanism.resource(&self.names, &input.trail_arn) else {
                continue;
            };
            let released = undo.release(&resource, mechanism.as_str()).await;
            let forgotten = match &released {
                Ok(Release::Last(_)) => undo.forget(&resource, mechanism.as_str()).await,
                _ => Ok(()),
            };
            parts.push((mechanism, resource, forgotten.and(released)));
        }
        report.let_go(parts);
        report.end(Vec::new())
    }
}

#[cfg(test)]
mod tests;
