//! The trail's log archive: the bucket of its files, and the key that encrypts them.

use std::fmt::Debug;

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{
        BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus,
        LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration,
        ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
        ServerSideEncryptionRule, VersioningConfiguration,
    },
};
use serde_json::{Value, json};

use super::{
    ACCOUNT, LOG_BUCKET, Range, TRAIL_ARN,
    clients::Clients,
    error::{Context, Result},
    snapshot::Things,
};

/// How long log files are kept.
const RETENTION_DAYS: i32 = 730;

/// Makes the trail's key, and answers its ARN.
pub(crate) async fn make_key(aws: &Clients) -> Result<String> {
    let create = aws.kms.create_key().description("The trail's log files");
    let created = create.policy(key_policy().to_string()).send().await;
    let key = created.context("kms:CreateKey")?.key_metadata;
    let arn = key.and_then(|key| key.arn);
    arn.context("no key was created")
}

/// Makes the bucket what it should be: there, open to CloudTrail, keeping what is deleted or old.
pub(crate) async fn make_bucket_whole(aws: &Clients) -> Result<()> {
    let s3 = &aws.s3;
    if s3.head_bucket().bucket(LOG_BUCKET).send().await.is_err() {
        let made = s3.create_bucket().bucket(LOG_BUCKET).send().await;
        made.context("creating the log bucket")?;
    }
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    s3.put_bucket_versioning()
        .bucket(LOG_BUCKET)
        .versioning_configuration(enabled.build())
        .send()
        .await
        .context("s3:PutBucketVersioning")?;
    s3.put_bucket_policy()
        .bucket(LOG_BUCKET)
        .policy(bucket_policy().to_string())
        .send()
        .await
        .context("s3:PutBucketPolicy")?;
    s3.put_bucket_lifecycle_configuration()
        .bucket(LOG_BUCKET)
        .lifecycle_configuration(expiring_after(RETENTION_DAYS)?)
        .send()
        .await
        .context("s3:PutBucketLifecycleConfiguration")?;
    let own_key = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::Aes256)
        .build();
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(own_key.context("an encryption")?);
    let encryption = ServerSideEncryptionConfiguration::builder().rules(rule.build());
    s3.put_bucket_encryption()
        .bucket(LOG_BUCKET)
        .server_side_encryption_configuration(encryption.build().context("an encryption")?)
        .send()
        .await
        .context("s3:PutBucketEncryption")
        .map(|_| ())
}

/// Makes the key what it should be: usable, by CloudTrail too.
pub(crate) async fn make_key_whole(aws: &Clients, key: &str) -> Result<()> {
    let kms = &aws.kms;
    kms.put_key_policy()
        .key_id(key)
        .policy(key_policy().to_string())
        .send()
        .await
        .context("kms:PutKeyPolicy")?;
    let cancelled = kms.cancel_key_deletion().key_id(key).send().await;
    // AWS refuses where none is scheduled; the emulator does not.
    if let Err(error) = cancelled
        && error.code() != Some("KMSInvalidStateException")
    {
        return Err(error).context("kms:CancelKeyDeletion");
    }
    let enabled = kms.enable_key().key_id(key).send().await;
    enabled.context("kms:EnableKey").map(|_| ())
}

/// The policy that AWS documents for a trail's bucket.
fn bucket_policy() -> Value {
    let bucket = format!("arn:aws:s3:::{LOG_BUCKET}");
    json!({"Version": "2012-10-17", "Statement": [
        {
            "Sid": "AWSCloudTrailAclCheck",
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "s3:GetBucketAcl",
            "Resource": bucket,
            "Condition": {"StringEquals": {"aws:SourceArn": TRAIL_ARN}},
        },
        {
            "Sid": "AWSCloudTrailWrite",
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": format!("{bucket}/AWSLogs/{ACCOUNT}/*"),
            "Condition": {"StringEquals": {
                "s3:x-amz-acl": "bucket-owner-full-control",
                "aws:SourceArn": TRAIL_ARN,
            }},
        },
    ]})
}

/// The policy that AWS documents for a trail's key.
fn key_policy() -> Value {
    let mut policy = account_only();
    let statements = [
        json!({
            "Sid": "Allow CloudTrail to encrypt logs",
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "kms:GenerateDataKey*",
            "Resource": "*",
            "Condition": {
                "StringEquals": {"aws:SourceArn": TRAIL_ARN},
                "StringLike": {
                    "kms:EncryptionContext:aws:cloudtrail:arn":
                        format!("arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"),
                },
            },
        }),
        json!({
            "Sid": "Allow CloudTrail to describe key",
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "kms:DescribeKey",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceArn": TRAIL_ARN}},
        }),
    ];
    if let Some(all) = policy["Statement"].as_array_mut() {
        all.extend(statements);
    }
    policy
}

/// A key policy that leaves CloudTrail out.
pub(crate) fn account_only() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Enable IAM policies",
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
        "Action": "kms:*",
        "Resource": "*",
    }]})
}

/// A lifecycle by which log files expire after so many days.
pub(crate) fn expiring_after(days: i32) -> Result<BucketLifecycleConfiguration> {
    let expiration = LifecycleExpiration::builder().days(days).build();
    let noncurrent = NoncurrentVersionExpiration::builder().noncurrent_days(days);
    let rule = LifecycleRule::builder()
        .id("expire-log-files")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("AWSLogs/").build())
        .expiration(expiration)
        .noncurrent_version_expiration(noncurrent.build());
    let lifecycle = BucketLifecycleConfiguration::builder();
    let lifecycle = lifecycle.rules(rule.build().context("a lifecycle rule")?);
    lifecycle.build().context("a lifecycle")
}

impl Range {
    /// Makes the archive what it should be, whatever a drill left of it.
    pub(crate) async fn reset_archive(&self) -> Result<()> {
        make_bucket_whole(&self.aws).await?;
        make_key_whole(&self.aws, &self.key).await
    }

    /// Puts a log file where CloudTrail would, and answers its key.
    pub(crate) async fn log_file(&self) -> Result<&'static str> {
        const FILE: &str = "AWSLogs/000000000000/CloudTrail/us-east-1/2026/11/25/evidence.json.gz";
        let put = self.aws.s3.put_object().bucket(LOG_BUCKET).key(FILE);
        let put = put.body(ByteStream::from_static(b"evidence")).send().await;
        put.context("s3:PutObject").map(|_| FILE)
    }

    /// The settings of the bucket, and the key's state and policy.
    pub(crate) async fn archive(&self) -> Result<Things> {
        let (s3, kms) = (&self.aws.s3, &self.aws.kms);
        let mut things = Things::default();
        let mut add = |name: &str, state| things.add(format!("{name} of the archive"), state);
        let policy = s3.get_bucket_policy().bucket(LOG_BUCKET).send().await;
        add("bucket policy", state(policy, |is| json_text(is.policy()))?);
        let lifecycle = s3.get_bucket_lifecycle_configuration();
        let lifecycle = lifecycle.bucket(LOG_BUCKET).send().await;
        add("lifecycle", state(lifecycle, |is| shown(&is.rules))?);
        let versioning = s3.get_bucket_versioning().bucket(LOG_BUCKET).send().await;
        add("versioning", state(versioning, |is| shown(&is.status))?);
        let encryption = s3.get_bucket_encryption().bucket(LOG_BUCKET).send().await;
        let encryption = state(encryption, |is| {
            shown(&is.server_side_encryption_configuration)
        });
        add("encryption", encryption?);
        let key = kms.describe_key().key_id(&self.key).send().await;
        let key = state(key, |is| {
            shown(
                &is.key_metadata
                    .as_ref()
                    .and_then(|key| key.key_state.clone()),
            )
        });
        add("key", key?);
        let policy = kms.get_key_policy().key_id(&self.key).send().await;
        add("key policy", state(policy, |is| json_text(is.policy()))?);
        Ok(things)
    }
}

/// What was answered, or the code that says that there is nothing.
fn state<T, E, R>(
    answer: std::result::Result<T, SdkError<E, R>>,
    of: impl Fn(&T) -> String,
) -> Result<String>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: Debug,
{
    match answer {
        Ok(answer) => Ok(of(&answer)),
        Err(SdkError::ServiceError(error)) if error.err().code().is_some() => {
            Ok(error.err().code().unwrap_or_default().to_owned())
        }
        Err(error) => Err(error).context("reading the archive"),
    }
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// A policy without its layout.
pub(crate) fn json_text(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let read = serde_json::from_str::<Value>(text);
    read.map_or_else(|_| text.to_owned(), |read| read.to_string())
}
