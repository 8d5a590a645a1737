//! The calls that put the archive back.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use incident::KeyArn;
use log_archive::{Archive, Encryption, Found, KeyState, Lifecycle};
use serde_json::Value;
use worker::Failure;

use crate::{
    RestoreLogArchive,
    mechanism::{Mechanism, is_barred},
    report::Report,
};

impl RestoreLogArchive {
    pub(crate) async fn put_back(
        &self,
        mechanism: Mechanism,
        found: &Found,
        expected: &Archive,
        report: &mut Report,
    ) {
        let bucket = found.archive.bucket.as_deref().unwrap_or_default();
        let put = match mechanism {
            Mechanism::Key => return self.enable_key(found, report).await,
            Mechanism::Policy => {
                self.put_policy(bucket, expected.bucket_policy.as_ref())
                    .await
            }
            Mechanism::Versioning => self.turn_versioning_on(bucket).await,
            Mechanism::Lifecycle => self.put_lifecycle(bucket, &expected.bucket_lifecycle).await,
            Mechanism::Encryption => self.put_encryption(bucket, &expected.encrypts()).await,
        };
        if put.is_ok() && mechanism == Mechanism::Policy && is_barred(found, expected) {
            report.failed(Failure::Transient(
                "the log bucket did not let us read its policy, which is put back; run again to \
                 see the rest"
                    .to_owned(),
            ));
        }
        report.put_back(mechanism, put);
    }

    async fn enable_key(&self, found: &Found, report: &mut Report) {
        let Some(key) = &found.archive.key else {
            return;
        };
        if found.key_state == Some(KeyState::PendingDeletion) {
            match self.cancel_deletion(key).await {
                Ok(()) => report.did("the deletion of the key is cancelled"),
                Err(failure) => return report.failed(failure),
            }
        }
        let enabled = self
            .clients
            .kms_of(key)
            .enable_key()
            .key_id(key.to_string());
        match enabled.send().await {
            Ok(_) => report.did("the key is enabled"),
            Err(error) => report.failed(Failure::aws("kms:EnableKey", &error)),
        }
    }

    async fn cancel_deletion(&self, key: &KeyArn) -> Result<(), Failure> {
        let cancelled = self.clients.kms_of(key).cancel_key_deletion();
        let cancelled = cancelled.key_id(key.to_string()).send().await;
        cancelled
            .map(|_| ())
            .map_err(|error| Failure::aws("kms:CancelKeyDeletion", &error))
    }

    async fn put_policy(&self, bucket: &str, policy: Option<&Value>) -> Result<(), Failure> {
        self.clients
            .s3_of(bucket)
            .put_bucket_policy()
            .bucket(bucket)
            .expected_bucket_owner(&self.names.account)
            .set_policy(policy.map(Value::to_string))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("s3:PutBucketPolicy", &error))
    }

    async fn turn_versioning_on(&self, bucket: &str) -> Result<(), Failure> {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
        self.clients
            .s3_of(bucket)
            .put_bucket_versioning()
            .bucket(bucket)
            .expected_bucket_owner(&self.names.account)
            .versioning_configuration(on.build())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("s3:PutBucketVersioning", &error))
    }

    /// S3 takes no empty lifecycle: that is one to delete.
    async fn put_lifecycle(&self, bucket: &str, lifecycle: &Lifecycle) -> Result<(), Failure> {
        const CALL: &str = "s3:PutLifecycleConfiguration";
        let (s3, owner) = (self.clients.s3_of(bucket), &self.names.account);
        if lifecycle.is_empty() {
            let delete = s3.delete_bucket_lifecycle().bucket(bucket);
            let deleted = delete.expected_bucket_owner(owner).send().await;
            return deleted
                .map(|_| ())
                .map_err(|error| Failure::aws(CALL, &error));
        }
        s3.put_bucket_lifecycle_configuration()
            .bucket(bucket)
            .expected_bucket_owner(owner)
            .lifecycle_configuration(lifecycle.to_sdk().map_err(unwritable)?)
            .set_transition_default_minimum_object_size(lifecycle.smallest_to_sdk())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws(CALL, &error))
    }

    async fn put_encryption(&self, bucket: &str, encryption: &Encryption) -> Result<(), Failure> {
        self.clients
            .s3_of(bucket)
            .put_bucket_encryption()
            .bucket(bucket)
            .expected_bucket_owner(&self.names.account)
            .server_side_encryption_configuration(encryption.to_sdk().map_err(unwritable)?)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("s3:PutEncryptionConfiguration", &error))
    }
}

fn unwritable(error: impl std::fmt::Display) -> Failure {
    Failure::Rejected(format!("the baseline cannot be written: {error}"))
}
