//! The trail's log archive: the bucket of its files, and the key that encrypts them.

use std::fmt::Debug;

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{
        BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus,
        LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration,
        ServerSideEncryptionConfiguration, VersioningConfiguration,
    },
};
use serde_json::{Value, json};

use super::{
    ACCOUNT, LOG_BUCKET, Range,
    clients::Clients,
    error::{Context, Result},
    snapshot::Things,
};

/// How long the CRM's template keeps log files.
const RETENTION_DAYS: i32 = 2192;

/// Sets what the emulator's CloudFormation leaves out of the bucket: when its files expire.
pub(crate) async fn furnish(aws: &Clients) -> Result<()> {
    aws.s3
        .put_bucket_lifecycle_configuration()
        .bucket(LOG_BUCKET)
        .lifecycle_configuration(expiring_after(RETENTION_DAYS)?)
        .send()
        .await
        .context("s3:PutBucketLifecycleConfiguration")
        .map(|_| ())
}

/// What the CRM's stack made of it.
#[derive(Debug)]
pub(crate) struct Archive {
    policy: String,
    lifecycle: BucketLifecycleConfiguration,
    encryption: ServerSideEncryptionConfiguration,
    key_policy: String,
}

impl Archive {
    /// Reads the settings of the bucket, and the policy of its key.
    pub(crate) async fn read(aws: &Clients, key: &str) -> Result<Self> {
        let (s3, kms) = (&aws.s3, &aws.kms);
        let policy = s3.get_bucket_policy().bucket(LOG_BUCKET).send().await;
        let policy = policy.context("s3:GetBucketPolicy")?.policy;
        let lifecycle = s3.get_bucket_lifecycle_configuration().bucket(LOG_BUCKET);
        let lifecycle = lifecycle.send().await;
        let rules = lifecycle.context("s3:GetLifecycleConfiguration")?.rules;
        let lifecycle = BucketLifecycleConfiguration::builder().set_rules(rules);
        let encryption = s3.get_bucket_encryption().bucket(LOG_BUCKET).send().await;
        let encryption = encryption.context("s3:GetEncryptionConfiguration")?;
        let key_policy = kms.get_key_policy().key_id(key).send().await;
        let key_policy = key_policy.context("kms:GetKeyPolicy")?.policy;
        Ok(Self {
            policy: policy.context("the log bucket has no policy")?,
            lifecycle: lifecycle.build().context("a lifecycle")?,
            encryption: encryption
                .server_side_encryption_configuration
                .context("the log bucket does not encrypt")?,
            key_policy: key_policy.context("the trail's key has no policy")?,
        })
    }

    /// Makes it so again: the bucket open to CloudTrail, keeping what is deleted or old; the key
    /// usable.
    async fn put_back(&self, aws: &Clients, key: &str) -> Result<()> {
        let (s3, kms) = (&aws.s3, &aws.kms);
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
        s3.put_bucket_versioning()
            .bucket(LOG_BUCKET)
            .versioning_configuration(enabled.build())
            .send()
            .await
            .context("s3:PutBucketVersioning")?;
        s3.put_bucket_policy()
            .bucket(LOG_BUCKET)
            .policy(&self.policy)
            .send()
            .await
            .context("s3:PutBucketPolicy")?;
        s3.put_bucket_lifecycle_configuration()
            .bucket(LOG_BUCKET)
            .lifecycle_configuration(self.lifecycle.clone())
            .send()
            .await
            .context("s3:PutBucketLifecycleConfiguration")?;
        s3.put_bucket_encryption()
            .bucket(LOG_BUCKET)
            .server_side_encryption_configuration(self.encryption.clone())
            .send()
            .await
            .context("s3:PutBucketEncryption")?;
        kms.put_key_policy()
            .key_id(key)
            .policy(&self.key_policy)
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
        self.deployed_archive.put_back(&self.aws, &self.key).await
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
