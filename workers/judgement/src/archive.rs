//! Calls on the trail's log archive: its bucket, its key, its log group.

use incident::{Actor, KeyArn};
use log_archive::{Archive, Delivery, Encryption, Lifecycle, Versioning, policy};
use serde_json::Value;

use crate::{
    Fact,
    call::{Aim, Case, Effect, Touched},
};

const BUCKET: &str = "the trail's log bucket";
const KEY: &str = "the trail's key";

pub(crate) fn bucket(case: &Case<'_>) -> Option<Touched> {
    let effect: fn(&Case<'_>) -> Effect = match case.name() {
        "DeleteBucket" => |_| Effect::tampering("the trail's log bucket was deleted"),
        "DeleteBucketPolicy" => delete_policy,
        "PutBucketPolicy" => put_policy,
        "PutBucketLifecycle" => put_lifecycle,
        "PutBucketVersioning" => put_versioning,
        "PutBucketEncryption" => put_encryption,
        "DeleteBucketEncryption" => delete_encryption,
        "PutBucketLogging" => put_logging,
        "DeleteObject" | "DeleteObjects" => deleted_objects,
        "PutObject" | "CopyObject" | "CompleteMultipartUpload" => written_objects,
        "PutObjectTagging" | "DeleteObjectTagging" => |_| {
            Effect::Unclear(
                "a log file of the trail was tagged, which a lifecycle or a policy may go by"
                    .to_owned(),
            )
        },
        _ => return None,
    };
    let aim = match &case.watch.archive.bucket {
        None => Aim::Nothing,
        Some(bucket) => aim_at_bucket(case, bucket),
    };
    Some(Touched::new(BUCKET, aim, effect))
}

/// A request through an access point names that instead, and the resources name the bucket.
pub(crate) fn aim_at_bucket(case: &Case<'_>, bucket: &str) -> Aim {
    let given = case.given("bucketName");
    match given {
        Some(given) if given == bucket => Aim::Watched,
        Some(given) if given.starts_with("arn:") || given.ends_with("-s3alias") => {
            Aim::at(case.resources().any(|arn| in_bucket(arn, bucket)))
        }
        Some(_) => Aim::Other,
        None => Aim::Unsaid(format!(":s3:::{bucket}"), ":s3:::"),
    }
}

/// Whether an ARN is that of the bucket, or of an object in it.
fn in_bucket(arn: &str, bucket: &str) -> bool {
    let name = arn.split_once(":s3:::").map_or("", |(_, name)| name);
    name.split('/').next() == Some(bucket)
}

fn allowed<T>(case: &Case<'_>, test: impl Fn(&Archive) -> T) -> Vec<T> {
    case.facts.archive.allowed().map(test).collect()
}

fn name_of_bucket<'a>(case: &Case<'a>) -> &'a str {
    case.watch.archive.bucket.as_deref().unwrap_or_default()
}

fn delete_policy(case: &Case<'_>) -> Effect {
    if allowed(case, |archive| archive.bucket_policy.is_none()).contains(&true) {
        return Effect::Harmless("no bucket policy is recorded".to_owned());
    }
    Effect::tampering(
        "the policy of the trail's log bucket was deleted, so that CloudTrail cannot write there,",
    )
}

fn put_policy(case: &Case<'_>) -> Effect {
    let given = &case.call.request["bucketPolicy"];
    let Some(given) = document(given) else {
        return Effect::Unclear(
            "the policy of the trail's log bucket was replaced, and the event does not say by what"
                .to_owned(),
        );
    };
    let (delivery, bucket) = (delivery(case), name_of_bucket(case));
    let recorded = allowed(case, |archive| {
        let recorded = archive.bucket_policy.as_ref();
        recorded.is_some_and(|recorded| delivery.is_no_weaker(&given, recorded, bucket))
    });
    let lets_in = delivery.may_write(&given, bucket);
    let texts = (BUCKET, "the bucket policy", "write");
    policy_of(case, texts, &recorded, lets_in)
}

/// What CloudTrail must be let do, as far as it is known.
fn delivery<'a>(case: &Case<'a>) -> Delivery<'a> {
    Delivery {
        account: Some(&case.watch.archive.account),
        trail: case.watch.trail.as_ref(),
        prefix: None,
    }
}

fn same(recorded: Option<&Value>, given: &Value) -> bool {
    recorded.is_some_and(|recorded| policy::same(recorded, given))
}

/// What a new policy does: that of `thing`, which is `called` so for short and must let CloudTrail do
/// its `work`. `recorded` says of everything that is recorded whether it is the same.
fn policy_of(
    case: &Case<'_>,
    (thing, called, work): (&str, &str, &str),
    recorded: &[bool],
    lets_in: bool,
) -> Effect {
    let facts = &case.facts.archive;
    match (facts, lets_in) {
        (Fact::Recorded(_), _) if recorded.contains(&true) => {
            facts.harmless(&format!("{called} is as recorded, or stronger"))
        }
        (Fact::Recorded(_), _) => Effect::tampering(format!("the policy of {thing} was changed")),
        (_, true) => facts.harmless(&format!("{called} lets CloudTrail {work}")),
        (_, false) => Effect::tampering(format!(
            "the policy of {thing} was made to shut CloudTrail out"
        )),
    }
}

/// A policy is an object in S3's events and a text in those of KMS.
fn document(given: &Value) -> Option<Value> {
    match given {
        Value::Object(_) => Some(given.clone()),
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    }
}

fn put_lifecycle(case: &Case<'_>) -> Effect {
    let Some(given) = Lifecycle::from_event(&case.call.request) else {
        return Effect::Unclear(
            "the lifecycle of the trail's log bucket was replaced, and the event does not say by \
             what"
                .to_owned(),
        );
    };
    let facts = &case.facts.archive;
    if allowed(case, |archive| archive.bucket_lifecycle == given).contains(&true) {
        return facts.harmless("the lifecycle is as recorded");
    }
    let recorded = allowed(case, |archive| {
        archive.bucket_lifecycle.earliest_expiry_days(case.now)
    });
    let earliest = recorded.into_iter().flatten().min();
    let fewest = case.watch.archive.min_retention_days;
    let fewest = earliest.map_or(fewest, |earliest| earliest.min(fewest));
    match given.earliest_expiry_days(case.now) {
        Some(days) if days < fewest => Effect::tampering(format!(
            "the lifecycle of the trail's log bucket was made to expire log files after {}",
            counted(days)
        )),
        _ => facts.harmless("the lifecycle keeps log files long enough"),
    }
}

fn put_versioning(case: &Case<'_>) -> Effect {
    match case.call.request["VersioningConfiguration"]["Status"].as_str() {
        Some("Enabled") => Effect::Harmless("versioning was turned on".to_owned()),
        Some("Suspended") => {
            let off = |archive: &Archive| archive.bucket_versioning != Versioning::Enabled;
            if allowed(case, off).contains(&true) {
                Effect::Harmless("versioning is recorded as off".to_owned())
            } else {
                Effect::tampering("versioning of the trail's log bucket was suspended")
            }
        }
        _ => Effect::Unclear(
            "versioning of the trail's log bucket was set, and the event does not say to what"
                .to_owned(),
        ),
    }
}

fn put_encryption(case: &Case<'_>) -> Effect {
    let Some(given) = Encryption::from_event(&case.call.request) else {
        return Effect::Unclear(
            "the encryption of the trail's log bucket was set, and the event does not say to what"
                .to_owned(),
        );
    };
    let facts = &case.facts.archive;
    if facts.is_recorded() {
        let watched = &case.watch.archive;
        let no_weaker = |archive: &Archive| given.is_no_weaker(&archive.encrypts(), watched);
        return if allowed(case, no_weaker).contains(&true) {
            facts.harmless("the encryption is as recorded, or stronger")
        } else {
            Effect::tampering("the encryption of the trail's log bucket was changed")
        };
    }
    if given.is_foreign(&case.watch.archive.account) {
        Effect::tampering(
            "the trail's log bucket was made to encrypt with a key of another account",
        )
    } else {
        facts.harmless("the bucket does not encrypt with a foreign key")
    }
}

/// Without a configuration of its own S3 encrypts with its own key.
fn delete_encryption(case: &Case<'_>) -> Effect {
    let facts = &case.facts.archive;
    let recorded = allowed(case, |archive| archive.bucket_encryption.is_some());
    if recorded.contains(&true) && !recorded.contains(&false) {
        Effect::tampering("the encryption of the trail's log bucket was removed")
    } else {
        facts.harmless("S3 goes on encrypting, with its own key")
    }
}

fn put_logging(case: &Case<'_>) -> Effect {
    let status = &case.call.request["BucketLoggingStatus"];
    if status["LoggingEnabled"].is_null() {
        Effect::Unclear("access logging of the trail's log bucket was turned off".to_owned())
    } else {
        Effect::Harmless("access logging was turned on".to_owned())
    }
}

fn deleted_objects(case: &Case<'_>) -> Effect {
    let bucket = name_of_bucket(case);
    Effect::beyond_repair(
        "objects of the trail's log bucket were deleted",
        format!(
            "find what was deleted (aws s3api list-object-versions --bucket {bucket} --query \
             'DeleteMarkers[?IsLatest]'), and bring each back by deleting its marker (aws s3api \
             delete-object --bucket {bucket} --key <key> --version-id <the marker's>); versions that \
             are gone are gone: CloudTrail's event history has the last 90 days"
        ),
    )
}

/// Nobody but CloudTrail writes log files; a version that was overwritten is still there.
fn written_objects(case: &Case<'_>) -> Effect {
    let cloudtrail = matches!(
        &case.call.actor,
        Actor::AwsService { name } if name.as_str() == "cloudtrail.amazonaws.com"
    );
    if cloudtrail {
        return Effect::Harmless("CloudTrail delivered a log file".to_owned());
    }
    if case
        .given("key")
        .is_some_and(|key| !key.contains("AWSLogs/"))
    {
        return Effect::Unclear(
            "something was written to the trail's log bucket, outside the trail's own files"
                .to_owned(),
        );
    }
    let bucket = name_of_bucket(case);
    Effect::beyond_repair(
        "log files of the trail were overwritten or forged",
        format!(
            "see which of them no longer are what CloudTrail delivered (aws cloudtrail validate-logs \
             --start-time <before the event> --trail-arn <the trail>), and take their version from \
             before (aws s3api list-object-versions --bucket {bucket} --prefix <key>)"
        ),
    )
}

pub(crate) fn key(case: &Case<'_>) -> Option<Touched> {
    let effect: fn(&Case<'_>) -> Effect = match case.name() {
        "DisableKey" => |_| Effect::tampering("the trail's key was disabled"),
        "ScheduleKeyDeletion" => {
            |_| Effect::tampering("the trail's key was scheduled for deletion")
        }
        "DeleteImportedKeyMaterial" => |case| {
            let key = case.given("keyId").unwrap_or("<key>");
            Effect::beyond_repair(
                "the key material of the trail's key was deleted",
                format!(
                    "import it again: aws kms get-parameters-for-import --key-id {key}, then aws \
                     kms import-key-material --key-id {key}"
                ),
            )
        },
        "PutKeyPolicy" => put_key_policy,
        _ => return None,
    };
    let aim = match &case.watch.archive.key {
        None => Aim::Nothing,
        Some(key) => aim_at_key(case, key),
    };
    Some(Touched::new(KEY, aim, effect))
}

/// A request may give the key's id, its ARN or an alias; CloudTrail mostly adds the ARN.
fn aim_at_key(case: &Case<'_>, key: &KeyArn) -> Aim {
    let arn = key.arn().as_str();
    let named = case
        .resources()
        .chain(case.record["responseElements"]["keyId"].as_str());
    if named.chain(case.given("keyId")).any(|named| named == arn) {
        return Aim::Watched;
    }
    match case.given("keyId") {
        Some(given) => Aim::at(given == key.name() && case.call.region == key.arn().region()),
        None => Aim::Unsaid(arn.to_owned(), ":key/"),
    }
}

fn put_key_policy(case: &Case<'_>) -> Effect {
    let Some(given) = document(&case.call.request["policy"]) else {
        return Effect::Unclear(
            "the policy of the trail's key was replaced, and the event does not say by what"
                .to_owned(),
        );
    };
    let recorded = allowed(case, |archive| same(archive.key_policy.as_ref(), &given));
    let lets_in = delivery(case).may_encrypt(&given);
    let texts = (KEY, "the key's policy", "encrypt");
    policy_of(case, texts, &recorded, lets_in)
}

pub(crate) fn log_group(case: &Case<'_>) -> Option<Touched> {
    let effect: fn(&Case<'_>) -> Effect = match case.name() {
        "DeleteLogGroup" => |_| Effect::tampering("the trail's log group was deleted"),
        "DeleteLogStream" => |_| {
            Effect::beyond_repair(
                "a log stream of the trail's log group was deleted",
                "CloudTrail makes a new one; what was in it is still in the log bucket",
            )
        },
        "PutRetentionPolicy" => put_retention,
        "AssociateKmsKey" => |_| {
            Effect::Unclear(
                "the trail's log group was given another key, and whoever holds that can make it \
                 unreadable"
                    .to_owned(),
            )
        },
        _ => return None,
    };
    let aim = match (&case.watch.archive.log_group, case.given("logGroupName")) {
        (None, _) => Aim::Nothing,
        (Some(group), Some(given)) => Aim::at(group == given),
        (Some(group), None) => Aim::Unsaid(format!(":log-group:{group}:"), ":log-group:"),
    };
    Some(Touched::new("the trail's log group", aim, effect))
}

fn put_retention(case: &Case<'_>) -> Effect {
    let Some(days) = case.call.request["retentionInDays"].as_u64() else {
        return Effect::Unclear(
            "the retention of the trail's log group was set, and the event does not say to what"
                .to_owned(),
        );
    };
    let facts = &case.facts.archive;
    let kept = |archive: &Archive| {
        let recorded = archive.log_retention_days;
        recorded.is_some_and(|recorded| u64::from(recorded) <= days)
    };
    match facts {
        Fact::Recorded(_) if allowed(case, kept).contains(&true) => {
            facts.harmless("the log group keeps its events as long as recorded")
        }
        Fact::Recorded(_) => Effect::tampering(format!(
            "the trail's log group was made to drop its events after {}",
            counted(days)
        )),
        _ if days >= u64::from(case.watch.archive.min_retention_days) => {
            facts.harmless("the log group keeps its events long enough")
        }
        _ => Effect::Unclear(format!(
            "the trail's log group was made to drop its events after {}, and how long it should keep \
             them is not recorded",
            counted(days)
        )),
    }
}

fn counted(days: impl Into<u64>) -> String {
    match days.into() {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
