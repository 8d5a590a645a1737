//! Ways to blind the trail that leave it logging.

use super::{Drill, Report, answered, proof, undone};
use crate::range::{Context, LOG_BUCKET, Range, Result};

pub(super) const SELECTORS_NARROWED: Drill = Drill {
    name: "selectors-narrowed",
    what: "a user makes the trail record reads only",
    run: |range, report| Box::pin(selectors_narrowed(range, report)),
};

async fn selectors_narrowed(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("nadia").await?;
    report.attack("nadia calls cloudtrail:PutEventSelectors, for reads only");
    undone(range, report, &user, async || user.narrow_trail().await).await
}

pub(super) const TRAIL_REDIRECTED: Drill = Drill {
    name: "trail-redirected",
    what: "a user sends the trail's files to a bucket of their own",
    run: |range, report| Box::pin(trail_redirected(range, report)),
};

async fn trail_redirected(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("rudolf").await?;
    report.attack("rudolf calls cloudtrail:UpdateTrail, with another bucket");
    undone(range, report, &user, async || {
        user.redirect_trail("rudolfs-own").await
    })
    .await
}

pub(super) const BUCKET_POLICY_REMOVED: Drill = Drill {
    name: "bucket-policy-removed",
    what: "a user deletes the policy by which CloudTrail may write to its bucket",
    run: |range, report| Box::pin(bucket_policy_removed(range, report)),
};

async fn bucket_policy_removed(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("petra").await?;
    report.attack("petra calls s3:DeleteBucketPolicy on the log bucket");
    undone(range, report, &user, async || {
        user.delete_bucket_policy().await
    })
    .await
}

pub(super) const LIFECYCLE_SHORTENED: Drill = Drill {
    name: "lifecycle-shortened",
    what: "a user lets the log files expire after a day",
    run: |range, report| Box::pin(lifecycle_shortened(range, report)),
};

async fn lifecycle_shortened(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("lars").await?;
    report.attack("lars calls s3:PutBucketLifecycleConfiguration: a day instead of two years");
    undone(range, report, &user, async || {
        user.shorten_lifecycle().await
    })
    .await
}

pub(super) const VERSIONING_SUSPENDED: Drill = Drill {
    name: "versioning-suspended",
    what: "a user makes the log bucket forget what is deleted",
    run: |range, report| Box::pin(versioning_suspended(range, report)),
};

async fn versioning_suspended(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("vera").await?;
    report.attack("vera calls s3:PutBucketVersioning: suspended");
    undone(range, report, &user, async || {
        user.suspend_versioning().await
    })
    .await
}

pub(super) const LOG_FILES_DELETED: Drill = Drill {
    name: "log-files-deleted",
    what: "a user deletes a log file; only a human can bring it back",
    run: |range, report| Box::pin(log_files_deleted(range, report)),
};

async fn log_files_deleted(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("dora").await?;
    let file = range.log_file().await?;
    report.attack("dora calls s3:DeleteObjects on a log file");
    let event = user.delete_log_file(file).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_red(report, &run, "list-object-versions")?;
    proof::user_is_denied(range, report, &user).await?;
    proof::refused_again(report, user.delete_log_file(file).await)?;

    // The way that a human is told.
    let (s3, lost) = (&range.aws.s3, "finding what was deleted");
    let versions = s3.list_object_versions().bucket(LOG_BUCKET).send().await;
    let versions = versions.context(lost)?;
    for marker in versions.delete_markers() {
        let delete = s3.delete_object().bucket(LOG_BUCKET);
        let delete = delete.set_key(marker.key.clone());
        let deleted = delete.set_version_id(marker.version_id.clone()).send();
        deleted.await.context("deleting a marker")?;
    }
    let there = s3.head_object().bucket(LOG_BUCKET).key(file).send().await;
    report.proves("the calls that they are told bring it back", there.is_ok())
}

pub(super) const KEY_SCHEDULED_FOR_DELETION: Drill = Drill {
    name: "key-scheduled-for-deletion",
    what: "a user has the key deleted without which no log file can be read or written",
    run: |range, report| Box::pin(key_scheduled_for_deletion(range, report)),
};

async fn key_scheduled_for_deletion(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("kevin").await?;
    report.attack("kevin calls kms:ScheduleKeyDeletion");
    undone(range, report, &user, async || {
        user.schedule_key_deletion(&range.key).await
    })
    .await
}
