//! How a bucket encrypts.

use std::collections::BTreeSet;

use aws_sdk_s3::{error::BuildError, types};
use incident::Arn;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lifecycle::event;

/// How a bucket encrypts objects that do not say it themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Encryption {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    /// The KMS key, as it was given: by ARN, id or alias.
    pub kms_key: Option<String>,
    /// Whether S3 asks KMS for a key of the bucket rather than of each object.
    pub bucket_key_enabled: bool,
    /// Kinds of encryption that a writer may not choose.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub blocked_encryption_types: BTreeSet<String>,
}

impl Default for Encryption {
    /// S3 with its own key: what every bucket does that is told nothing.
    fn default() -> Self {
        Self {
            algorithm: types::ServerSideEncryption::Aes256.as_str().to_owned(),
            kms_key: None,
            bucket_key_enabled: false,
            blocked_encryption_types: BTreeSet::new(),
        }
    }
}

impl Encryption {
    /// What a call of `PutBucketEncryption` asks for, from the `requestParameters` that CloudTrail
    /// records of it; none when they cannot be read.
    #[must_use]
    pub fn from_event(request: &Value) -> Option<Self> {
        let rule = event::list(
            request
                .get("ServerSideEncryptionConfiguration")?
                .get("Rule")?,
        );
        let rule = rule.first()?;
        let default = rule.get("ApplyServerSideEncryptionByDefault")?;
        let blocked = rule.get("BlockedEncryptionTypes");
        let blocked = blocked.and_then(|blocked| blocked.get("EncryptionType"));
        Some(Self {
            algorithm: event::text(default.get("SSEAlgorithm"))?,
            kms_key: event::text(default.get("KMSMasterKeyID")),
            bucket_key_enabled: event::flag(rule.get("BucketKeyEnabled")).unwrap_or(false),
            blocked_encryption_types: blocked
                .map(event::list)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|kind| event::text(Some(kind)))
                .collect(),
        })
    }

    /// Whether the key is one of another account than `account`, as far as its name tells.
    #[must_use]
    pub fn is_foreign(&self, account: &str) -> bool {
        let key = self.kms_key.as_ref().and_then(|key| key.parse().ok());
        key.is_some_and(|key: Arn| key.account() != account)
    }

    /// What S3 answered; none when it has no rule.
    pub(crate) fn of(configuration: &types::ServerSideEncryptionConfiguration) -> Option<Self> {
        let rule = configuration.rules().first()?;
        let default = rule.apply_server_side_encryption_by_default()?;
        let blocked = rule.blocked_encryption_types();
        Some(Self {
            algorithm: default.sse_algorithm().as_str().to_owned(),
            kms_key: default.kms_master_key_id().map(ToOwned::to_owned),
            bucket_key_enabled: rule.bucket_key_enabled().unwrap_or(false),
            blocked_encryption_types: blocked
                .map(types::BlockedEncryptionTypes::encryption_type)
                .unwrap_or_default()
                .iter()
                .map(|kind| kind.as_str().to_owned())
                .collect(),
        })
    }

    /// The configuration as `PutBucketEncryption` takes it.
    ///
    /// # Errors
    /// When a part of it is missing, which none that was read has.
    pub fn to_sdk(&self) -> Result<types::ServerSideEncryptionConfiguration, BuildError> {
        let default = types::ServerSideEncryptionByDefault::builder()
            .sse_algorithm(self.algorithm.as_str().into())
            .set_kms_master_key_id(self.kms_key.clone())
            .build()?;
        let blocked = self.blocked_encryption_types.iter();
        let blocked: Vec<_> = blocked.map(|kind| kind.as_str().into()).collect();
        let blocked = (!blocked.is_empty()).then(|| {
            types::BlockedEncryptionTypes::builder()
                .set_encryption_type(Some(blocked))
                .build()
        });
        let rule = types::ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .bucket_key_enabled(self.bucket_key_enabled)
            .set_blocked_encryption_types(blocked)
            .build();
        types::ServerSideEncryptionConfiguration::builder()
            .rules(rule)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(rule: Value) -> Option<Encryption> {
        Encryption::from_event(&json!({
            "bucketName": "logs", "ServerSideEncryptionConfiguration": {"Rule": rule}
        }))
    }

    #[test]
    fn a_recorded_request_reads_like_what_it_asks_for() {
        let key = "arn:aws:kms:eu-west-1:666666666666:key/k";
        let given = asked(json!({
            "ApplyServerSideEncryptionByDefault":
                {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
            "BucketKeyEnabled": true,
            "BlockedEncryptionTypes": {"EncryptionType": "SSE-C"}
        }))
        .unwrap();
        assert_eq!(given.kms_key.as_deref(), Some(key));
        assert!(given.is_foreign("123456789012") && !given.is_foreign("666666666666"));
        let written = given.to_sdk().unwrap();
        assert_eq!(Encryption::of(&written), Some(given));

        let default = json!({"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}});
        assert_eq!(asked(json!([default])), Some(Encryption::default()));
        assert!(!Encryption::default().is_foreign("123456789012"));
    }

    #[test]
    fn a_key_without_an_account_is_not_said_to_be_foreign() {
        let mut given = Encryption {
            algorithm: "aws:kms".to_owned(),
            ..Encryption::default()
        };
        for key in ["11111111-2222-3333-4444-555555555555", "alias/aws/s3"] {
            given.kms_key = Some(key.to_owned());
            assert!(!given.is_foreign("123456789012"));
        }
    }

    #[test]
    fn a_request_that_is_not_understood_is_not_read() {
        assert_eq!(asked(json!([])), None);
        assert_eq!(
            asked(json!({"ApplyServerSideEncryptionByDefault": {}})),
            None
        );
        assert_eq!(Encryption::from_event(&json!(null)), None);
    }
}
