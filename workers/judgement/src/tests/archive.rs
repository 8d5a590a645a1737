//! Calls on the log archive.

use log_archive::Archive;
use serde_json::{Value, json};

use super::{KEY, archive_facts, changed, event, now, verdict, verdicts, watch};
use crate::{Fact, Facts, judge};

fn bucket(name: &'static str, extra: Value) -> (&'static str, Value) {
    let mut request = json!({"bucketName": "clinic-logs"});
    for (field, value) in extra.as_object().unwrap() {
        request[field] = value.clone();
    }
    (name, request)
}

fn policy(effect: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
         "Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::clinic-logs"},
        {"Effect": effect, "Principal": {"Service": "cloudtrail.amazonaws.com"},
         "Action": "s3:PutObject", "Resource": "arn:aws:s3:::clinic-logs/*"},
    ]})
}

fn key_policy(service: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service},
         "Action": "kms:GenerateDataKey*", "Resource": "*"},
    ]})
}

fn expiring(days: u32, status: &str) -> Value {
    json!({"Status": status, "ID": "r", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}})
}

fn lifecycle(rules: Value) -> (&'static str, Value) {
    bucket(
        "PutBucketLifecycle",
        json!({"LifecycleConfiguration": {"Rule": rules}}),
    )
}

fn an_archive() -> Archive {
    serde_json::from_value(json!({
        "bucket": "clinic-logs",
        "bucketPolicy": policy("Allow"),
        "bucketLifecycle": [],
        "bucketVersioning": "Enabled",
        "bucketEncryption": null,
        "key": KEY,
        "keyPolicy": key_policy("cloudtrail.amazonaws.com"),
        "logGroup": "trail/clinic",
        "logRetentionDays": 400,
    }))
    .unwrap()
}

#[test]
fn the_log_bucket_by_its_values_alone() {
    let versioning = |status: Value| {
        bucket(
            "PutBucketVersioning",
            json!({"VersioningConfiguration": {"Status": status}}),
        )
    };
    insta::assert_snapshot!(verdicts("s3", &Facts::default(), [
        bucket("DeleteBucket", json!({})),
        bucket("DeleteBucketPolicy", json!({})),
        bucket("PutBucketPolicy", json!({"bucketPolicy": policy("Deny")})),
        bucket("PutBucketPolicy", json!({"bucketPolicy": policy("Allow")})),
        bucket("PutBucketPolicy", json!({"bucketPolicy": "not a policy"})),
        bucket("PutBucketPolicy", json!({})),
        versioning(json!("Suspended")),
        versioning(json!("Enabled")),
        versioning(json!(null)),
        bucket("PutBucketLogging", json!({"BucketLoggingStatus": {}})),
        bucket("PutBucketLogging", json!({"BucketLoggingStatus": {"LoggingEnabled": {}}})),
        bucket("DeleteObjects", json!({"delete": ""})),
        bucket("DeleteObject", json!({"key": "AWSLogs/1.json.gz"})),
        bucket("PutBucketAcl", json!({})),
        ("DeleteBucket", json!({"bucketName": "clinic-logs-old"})),
    ]), @"
    respond: the trail's log bucket was deleted by IAM user eve
    respond: the policy of the trail's log bucket was deleted, so that CloudTrail cannot write there, by IAM user eve
    respond: the policy of the trail's log bucket was made to shut CloudTrail out by IAM user eve
    ignore: the bucket policy lets CloudTrail write (no baseline to compare with)
    escalate: the policy of the trail's log bucket was replaced, and the event does not say by what (PutBucketPolicy by IAM user eve)
    escalate: the policy of the trail's log bucket was replaced, and the event does not say by what (PutBucketPolicy by IAM user eve)
    respond: versioning of the trail's log bucket was suspended by IAM user eve
    ignore: versioning was turned on
    escalate: versioning of the trail's log bucket was set, and the event does not say to what (PutBucketVersioning by IAM user eve)
    escalate: access logging of the trail's log bucket was turned off (PutBucketLogging by IAM user eve)
    ignore: access logging was turned on
    respond: objects of the trail's log bucket were deleted by IAM user eve [remedy]
    respond: objects of the trail's log bucket were deleted by IAM user eve [remedy]
    ignore: PutBucketAcl of s3.amazonaws.com is not an indicator
    ignore: DeleteBucket of something else than the trail's log bucket
    ");
}

#[test]
fn a_lifecycle_is_judged_by_the_earliest_expiry_that_is_in_force() {
    insta::assert_snapshot!(verdicts("s3", &Facts::default(), [
        lifecycle(expiring(1, "Enabled")),
        lifecycle(json!([expiring(2_555, "Enabled"), expiring(7, "Enabled")])),
        lifecycle(expiring(1, "Disabled")),
        lifecycle(expiring(365, "Enabled")),
        lifecycle(json!({"Status": "Enabled", "Expiration": {"Date": "2026-12-01T00:00:00Z"}})),
        lifecycle(json!({"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 3}})),
        bucket("PutBucketLifecycle", json!({})),
    ]), @"
    respond: the lifecycle of the trail's log bucket was made to expire log files after 1 day by IAM user eve
    respond: the lifecycle of the trail's log bucket was made to expire log files after 7 days by IAM user eve
    ignore: the lifecycle keeps log files long enough (no baseline to compare with)
    ignore: the lifecycle keeps log files long enough (no baseline to compare with)
    respond: the lifecycle of the trail's log bucket was made to expire log files after 5 days by IAM user eve
    respond: the lifecycle of the trail's log bucket was made to expire log files after 3 days by IAM user eve
    escalate: the lifecycle of the trail's log bucket was replaced, and the event does not say by what (PutBucketLifecycle by IAM user eve)
    ");
}

#[test]
fn a_key_of_another_account_makes_log_files_unreadable() {
    let encryption = |rule: Value| {
        bucket(
            "PutBucketEncryption",
            json!({"ServerSideEncryptionConfiguration": {"Rule": {
                "ApplyServerSideEncryptionByDefault": rule,
            }}}),
        )
    };
    insta::assert_snapshot!(verdicts("s3", &Facts::default(), [
        encryption(json!({"SSEAlgorithm": "aws:kms",
                          "KMSMasterKeyID": "arn:aws:kms:eu-west-1:999988887777:key/1"})),
        encryption(json!({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY})),
        encryption(json!({"SSEAlgorithm": "AES256"})),
        bucket("PutBucketEncryption", json!({})),
        bucket("DeleteBucketEncryption", json!({})),
    ]), @"
    respond: the trail's log bucket was made to encrypt with a key of another account by IAM user eve
    ignore: the bucket does not encrypt with a foreign key (no baseline to compare with)
    ignore: the bucket does not encrypt with a foreign key (no baseline to compare with)
    escalate: the encryption of the trail's log bucket was set, and the event does not say to what (PutBucketEncryption by IAM user eve)
    ignore: S3 goes on encrypting, with its own key (no baseline to compare with)
    ");
}

#[test]
fn what_is_recorded_of_the_bucket_decides() {
    let archive = an_archive();
    let intended = changed(&archive, json!({"bucketVersioning": "Suspended"}));
    let facts = archive_facts(archive, Some(intended));
    let versioning = json!({"VersioningConfiguration": {"Status": "Suspended"}});
    let mut other = policy("Allow");
    other["Statement"][1]["Action"] = json!("s3:*");
    insta::assert_snapshot!(verdicts("s3", &facts, [
        bucket("PutBucketPolicy", json!({"bucketPolicy": policy("Allow")})),
        bucket("PutBucketPolicy", json!({"bucketPolicy": other})),
        bucket("PutBucketVersioning", versioning),
        lifecycle(expiring(400, "Enabled")),
        lifecycle(expiring(30, "Enabled")),
        bucket("DeleteBucketPolicy", json!({})),
        bucket("DeleteBucketEncryption", json!({})),
    ]), @"
    ignore: the bucket policy is as recorded, or stronger
    respond: the policy of the trail's log bucket was changed by IAM user eve
    ignore: versioning is recorded as off
    ignore: the lifecycle keeps log files long enough
    respond: the lifecycle of the trail's log bucket was made to expire log files after 30 days by IAM user eve
    respond: the policy of the trail's log bucket was deleted, so that CloudTrail cannot write there, by IAM user eve
    ignore: S3 goes on encrypting, with its own key
    ");
}

#[test]
fn the_key_may_be_given_in_every_form() {
    let id = "0a0a0a0a-1111-2222-3333-444444444444";
    let disable = |request: Value, changes: Value| verdict("kms", "DisableKey", request, changes);
    let watched = "respond: the trail's key was disabled by IAM user eve";
    assert_eq!(disable(json!({"keyId": KEY}), json!({})), watched);
    assert_eq!(disable(json!({"keyId": id}), json!({})), watched);
    let resources = json!({"resources": [{"ARN": KEY}]});
    assert_eq!(disable(json!({"keyId": "alias/trail"}), resources), watched);
    let answer = json!({"responseElements": {"keyId": KEY}});
    assert_eq!(disable(json!({"keyId": "alias/trail"}), answer), watched);
    for (request, region) in [
        (
            json!({"keyId": "99999999-1111-2222-3333-444444444444"}),
            "eu-west-1",
        ),
        // The same id in another region is another key.
        (json!({"keyId": id}), "us-east-1"),
    ] {
        assert_eq!(
            disable(request, json!({"awsRegion": region, "resources": null})),
            "ignore: DisableKey of something else than the trail's key"
        );
    }
    assert_eq!(
        disable(json!(null), json!({})),
        "escalate: DisableKey succeeded, and the event does not say whether on the trail's key"
    );
}

#[test]
fn every_way_to_take_the_key_away() {
    let policy = |policy: Value| {
        (
            "PutKeyPolicy",
            json!({"keyId": KEY, "policy": policy.to_string()}),
        )
    };
    let calls = || {
        [
            (
                "ScheduleKeyDeletion",
                json!({"keyId": KEY, "pendingWindowInDays": 7}),
            ),
            ("DeleteImportedKeyMaterial", json!({"keyId": KEY})),
            policy(key_policy("cloudtrail.amazonaws.com")),
            policy(key_policy("ec2.amazonaws.com")),
            ("PutKeyPolicy", json!({"keyId": KEY})),
            ("EnableKey", json!({"keyId": KEY})),
        ]
    };
    insta::assert_snapshot!(verdicts("kms", &Facts::default(), calls()), @"
    respond: the trail's key was scheduled for deletion by IAM user eve
    respond: the key material of the trail's key was deleted by IAM user eve [remedy]
    ignore: the key's policy lets CloudTrail encrypt (no baseline to compare with)
    respond: the policy of the trail's key was made to shut CloudTrail out by IAM user eve
    escalate: the policy of the trail's key was replaced, and the event does not say by what (PutKeyPolicy by IAM user eve)
    ignore: EnableKey of kms.amazonaws.com is not an indicator
    ");
    insta::assert_snapshot!(verdicts("kms", &archive_facts(an_archive(), None), calls()), @"
    respond: the trail's key was scheduled for deletion by IAM user eve
    respond: the key material of the trail's key was deleted by IAM user eve [remedy]
    ignore: the key's policy is as recorded, or stronger
    respond: the policy of the trail's key was changed by IAM user eve
    escalate: the policy of the trail's key was replaced, and the event does not say by what (PutKeyPolicy by IAM user eve)
    ignore: EnableKey of kms.amazonaws.com is not an indicator
    ");
}

#[test]
fn the_log_group() {
    let retain = |days: u32| {
        (
            "PutRetentionPolicy",
            json!({"logGroupName": "trail/clinic", "retentionInDays": days}),
        )
    };
    let calls = || {
        [
            ("DeleteLogGroup", json!({"logGroupName": "trail/clinic"})),
            (
                "DeleteLogGroup",
                json!({"logGroupName": "trail/clinic-old"}),
            ),
            (
                "DeleteLogStream",
                json!({"logGroupName": "trail/clinic", "logStreamName": "s"}),
            ),
            retain(1),
            retain(400),
            (
                "PutRetentionPolicy",
                json!({"logGroupName": "trail/clinic"}),
            ),
        ]
    };
    insta::assert_snapshot!(verdicts("logs", &Facts::default(), calls()), @"
    respond: the trail's log group was deleted by IAM user eve
    ignore: DeleteLogGroup of something else than the trail's log group
    respond: a log stream of the trail's log group was deleted by IAM user eve [remedy]
    escalate: the trail's log group was made to drop its events after 1 day, and how long it should keep them is not recorded (PutRetentionPolicy by IAM user eve)
    ignore: the log group keeps its events long enough (no baseline to compare with)
    escalate: the retention of the trail's log group was set, and the event does not say to what (PutRetentionPolicy by IAM user eve)
    ");
    insta::assert_snapshot!(verdicts("logs", &archive_facts(an_archive(), None), calls()), @"
    respond: the trail's log group was deleted by IAM user eve
    ignore: DeleteLogGroup of something else than the trail's log group
    respond: a log stream of the trail's log group was deleted by IAM user eve [remedy]
    respond: the trail's log group was made to drop its events after 1 day by IAM user eve
    ignore: the log group keeps its events as long as recorded
    escalate: the retention of the trail's log group was set, and the event does not say to what (PutRetentionPolicy by IAM user eve)
    ");
}

#[test]
fn a_baseline_that_cannot_be_read_leaves_what_is_not_plain_to_a_human() {
    let facts = Facts {
        archive: Fact::Unreadable,
        ..Facts::default()
    };
    insta::assert_snapshot!(verdicts("s3", &facts, [
        bucket("PutBucketPolicy", json!({"bucketPolicy": policy("Deny")})),
        bucket("PutBucketPolicy", json!({"bucketPolicy": policy("Allow")})),
        lifecycle(expiring(1, "Enabled")),
        lifecycle(expiring(400, "Enabled")),
    ]), @"
    respond: the policy of the trail's log bucket was made to shut CloudTrail out by IAM user eve
    escalate: the bucket policy lets CloudTrail write, but the baseline could not be read to compare (PutBucketPolicy by IAM user eve)
    respond: the lifecycle of the trail's log bucket was made to expire log files after 1 day by IAM user eve
    escalate: the lifecycle keeps log files long enough, but the baseline could not be read to compare (PutBucketLifecycle by IAM user eve)
    ");
}

#[test]
fn what_is_not_configured_is_not_watched() {
    let watch = watch(&[
        ("TRAIL_BUCKET_NAME", "none"),
        ("TRAIL_KEY_ARN", "none"),
        ("TRAIL_LOG_GROUP_NAME", "none"),
    ]);
    for (service, name) in [
        ("s3", "DeleteBucket"),
        ("kms", "DisableKey"),
        ("logs", "DeleteLogGroup"),
    ] {
        let event = event(service, name, json!({}), json!({}));
        let line = super::line(judge(&event, &watch, &Facts::default(), now()));
        assert!(
            line.ends_with("is not configured, so it is not watched"),
            "{line}"
        );
    }
}

#[test]
fn a_denied_attempt_on_the_archive_is_told_to_a_human() {
    let denied = json!({"errorCode": "AccessDenied", "errorMessage": "Access Denied"});
    let (name, request) = bucket("DeleteBucket", json!({}));
    assert_eq!(
        verdict("s3", name, request, denied.clone()),
        "escalate: DeleteBucket of the trail's log bucket was attempted and denied"
    );
    assert_eq!(
        verdict("kms", "DisableKey", json!({"keyId": "other"}), denied),
        "ignore: DisableKey of something else than the trail's key was denied"
    );
}

#[test]
fn log_files_are_written_by_cloudtrail_alone() {
    let at = |bucket: &str, key: &str| json!({"bucketName": bucket, "key": key});
    let log = "AWSLogs/123456789012/CloudTrail/x.json.gz";
    let cloudtrail =
        json!({"userIdentity": {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}});
    let point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/logs";
    let through = json!({"resources": [
        {"type": "AWS::S3::Object", "ARN": format!("arn:aws:s3:::clinic-logs/{log}")},
        {"type": "AWS::S3::AccessPoint", "ARN": point},
    ]});
    let elsewhere = json!({"resources": [{"ARN": "arn:aws:s3:::clinic-logs-2/x"}]});
    insta::assert_snapshot!([
        verdict("s3", "PutObject", at("clinic-logs", log), cloudtrail),
        verdict("s3", "PutObject", at("clinic-logs", log), json!({})),
        verdict("s3", "CopyObject", at("clinic-logs", log), json!({})),
        verdict("s3", "PutObject", at("clinic-logs", "notes.txt"), json!({})),
        verdict("s3", "PutObjectTagging", at("clinic-logs", log), json!({})),
        verdict("s3", "DeleteObject", at(point, log), through),
        verdict("s3", "DeleteObject", at(point, "x"), elsewhere),
    ].join("\n"), @"
    ignore: CloudTrail delivered a log file
    respond: log files of the trail were overwritten or forged by IAM user eve [remedy]
    respond: log files of the trail were overwritten or forged by IAM user eve [remedy]
    escalate: something was written to the trail's log bucket, outside the trail's own files (PutObject by IAM user eve)
    escalate: a log file of the trail was tagged, which a lifecycle or a policy may go by (PutObjectTagging by IAM user eve)
    respond: objects of the trail's log bucket were deleted by IAM user eve [remedy]
    ignore: DeleteObject of something else than the trail's log bucket
    ");
}
