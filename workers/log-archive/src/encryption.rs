//! How a bucket encrypts.

use std::collections::BTreeSet;

use aws_sdk_s3::{error::BuildError, types};
use incident::Arn;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Names, lifecycle::event};

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

    /// Whether it is the recorded one, or a stronger one: by KMS where S3 used its own key, and then
    /// with the trail's key or S3's own in KMS, never with another; no kind of encryption may be
    /// chosen that could not be before.
    #[must_use]
    pub fn is_no_weaker(&self, recorded: &Self, names: &Names) -> bool {
        if self == recorded {
            return true;
        }
        // S3 writes an empty list as one of nothing.
        let blocks = |kind: &String| kind == "NONE" || self.blocked_encryption_types.contains(kind);
        let mut blocked = recorded.blocked_encryption_types.iter();
        let (Some(now), Some(before)) = (self.strength(), recorded.strength()) else {
            return false;
        };
        let same_key = now == before
            && self.kms_key == recorded.kms_key
            && self.bucket_key_enabled == recorded.bucket_key_enabled;
        blocked.all(blocks) && (same_key || now > before && self.has_known_key(recorded, names))
    }

    fn strength(&self) -> Option<u8> {
        let known = ["AES256", "aws:kms", "aws:kms:dsse"];
        let at = known.iter().position(|known| *known == self.algorithm)?;
        u8::try_from(at).ok()
    }

    fn has_known_key(&self, recorded: &Self, names: &Names) -> bool {
        if recorded.kms_key.is_some() && self.kms_key == recorded.kms_key {
            return true;
        }
        let Some(key) = &self.kms_key else {
            // S3's own, which is a weaker one than the key that is recorded.
            return recorded.kms_key.is_none();
        };
        let of_trail = names
            .key
            .as_ref()
            .is_some_and(|trails| key == trails.arn().as_str() || key == trails.name());
        let of_s3 = key == "alias/aws/s3"
            || key.parse().is_ok_and(|arn: Arn| {
                arn.account() == names.account && arn.resource() == "alias/aws/s3"
            });
        of_trail || of_s3 && recorded.kms_key.is_none()
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
    fn encryption_may_become_stronger_with_a_key_that_is_known() {
        const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/k";
        const S3S: &str = "arn:aws:kms:eu-west-1:123456789012:alias/aws/s3";
        let names = Names {
            account: "123456789012".to_owned(),
            bucket: None,
            key: Some(KEY.parse().unwrap()),
            log_group: None,
            min_retention_days: 365,
        };
        let of = |algorithm: &str, key: Option<&str>| Encryption {
            algorithm: algorithm.to_owned(),
            kms_key: key.map(str::to_owned),
            ..Encryption::default()
        };
        let (plain, kms) = (Encryption::default(), "aws:kms");
        for (now, recorded, fits) in [
            (plain.clone(), plain.clone(), true),
            (of(kms, None), plain.clone(), true),
            (of(kms, Some(KEY)), plain.clone(), true),
            (of(kms, Some("k")), plain.clone(), true),
            (of(kms, Some("alias/aws/s3")), plain.clone(), true),
            (of(kms, Some(S3S)), plain.clone(), true),
            (of("aws:kms:dsse", Some(KEY)), of(kms, Some(KEY)), true),
            (of("aws:kms:dsse", Some(KEY)), of(kms, None), true),
            (of("aws:kms:dsse", Some("own")), of(kms, Some("own")), true),
            // Another key, be it of this account.
            (of(kms, Some("other")), plain.clone(), false),
            (
                of(kms, Some(&KEY.replace("123", "666"))),
                plain.clone(),
                false,
            ),
            (
                of(kms, Some(&S3S.replace("123", "666"))),
                plain.clone(),
                false,
            ),
            (of(kms, Some("other")), of(kms, Some(KEY)), false),
            (of("aws:kms:dsse", Some("other")), of(kms, Some(KEY)), false),
            (of("aws:kms:dsse", None), of(kms, Some(KEY)), false),
            // Weaker.
            (plain.clone(), of(kms, None), false),
            (of(kms, None), of(kms, Some(KEY)), false),
            (of("rot13", Some(KEY)), plain.clone(), false),
        ] {
            assert_eq!(
                now.is_no_weaker(&recorded, &names),
                fits,
                "{now:?} {recorded:?}"
            );
        }

        let blocking = |kinds: &[&str], encryption: Encryption| Encryption {
            blocked_encryption_types: kinds.iter().map(ToString::to_string).collect(),
            ..encryption
        };
        let sse_c = || blocking(&["SSE-C"], plain.clone());
        assert!(sse_c().is_no_weaker(&plain, &names));
        assert!(!plain.is_no_weaker(&sse_c(), &names));
        assert!(!of(kms, Some(KEY)).is_no_weaker(&sse_c(), &names));
        assert!(plain.is_no_weaker(&blocking(&["NONE"], plain.clone()), &names));
        let cheaper = Encryption {
            bucket_key_enabled: true,
            ..of(kms, Some(KEY))
        };
        assert!(!cheaper.is_no_weaker(&of(kms, Some(KEY)), &names));
        assert!(cheaper.is_no_weaker(&plain, &names));
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
