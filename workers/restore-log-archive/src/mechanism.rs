//! What can be put back, each with a hold of its own.

use incident::{KeyArn, TrailArn};
use log_archive::{Archive, Found, KeyState, Names, Property};
use serde_json::{Value, json};
use worker::Failure;

/// A part of the archive that can be put back safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Key,
    Policy,
    Versioning,
    Lifecycle,
    Encryption,
}

impl Mechanism {
    /// All of them, in the order in which they are put back: first what CloudTrail cannot write
    /// without.
    pub(crate) const ALL: [Self; 5] = [
        Self::Key,
        Self::Policy,
        Self::Versioning,
        Self::Lifecycle,
        Self::Encryption,
    ];

    /// Its name in the ledger.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Policy => "bucket-policy",
            Self::Versioning => "bucket-versioning",
            Self::Lifecycle => "bucket-lifecycle",
            Self::Encryption => "bucket-encryption",
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "the key",
            Self::Policy => "the bucket's policy",
            Self::Versioning => "the bucket's versioning",
            Self::Lifecycle => "the bucket's lifecycle",
            Self::Encryption => "the bucket's encryption",
        }
    }

    fn property(self) -> Property {
        match self {
            Self::Key => Property::Key,
            Self::Policy => Property::BucketPolicy,
            Self::Versioning => Property::BucketVersioning,
            Self::Lifecycle => Property::BucketLifecycle,
            Self::Encryption => Property::BucketEncryption,
        }
    }

    /// The ARN of what is changed; none where it is not watched.
    pub(crate) fn resource(self, names: &Names, trail: &TrailArn) -> Option<String> {
        if self == Self::Key {
            return names.key.as_ref().map(KeyArn::to_string);
        }
        let (bucket, partition) = (names.bucket.as_ref(), trail.arn().partition());
        bucket.map(|bucket| format!("arn:{partition}:s3:::{bucket}"))
    }

    /// Whether it is not as it should be, and can be put back.
    pub(crate) fn is_needed(self, found: &Found, expected: &Archive) -> bool {
        let differs = found.differs(self.property(), expected);
        match self {
            Self::Key => matches!(
                found.key_state,
                Some(KeyState::Disabled | KeyState::PendingDeletion)
            ),
            Self::Policy => {
                expected.bucket_policy.is_some() && (differs || is_barred(found, expected))
            }
            Self::Versioning | Self::Lifecycle | Self::Encryption => differs,
        }
    }

    /// What the hold keeps: the state before.
    pub(crate) fn original(self, found: &Found) -> Value {
        let is = &found.archive;
        match self {
            Self::Key => json!({"keyState": state_of(found)}),
            Self::Policy => json!({"bucketPolicy": is.bucket_policy}),
            Self::Versioning => json!({"bucketVersioning": is.bucket_versioning}),
            Self::Lifecycle => json!({"bucketLifecycle": is.bucket_lifecycle}),
            Self::Encryption => json!({"bucketEncryption": is.bucket_encryption}),
        }
    }

    /// The call that brings the state before back, where that says it all.
    pub(crate) fn by_hand(self, resource: &str, original: &Value) -> Option<String> {
        match self {
            Self::Key if original["keyState"] == PENDING_DELETION => {
                Some(format!("aws kms schedule-key-deletion --key-id {resource}"))
            }
            Self::Key => Some(format!("aws kms disable-key --key-id {resource}")),
            Self::Versioning => {
                let bucket = resource.rsplit(':').next()?;
                Some(format!(
                    "aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration \
                     Status=Suspended"
                ))
            }
            Self::Policy | Self::Lifecycle | Self::Encryption => None,
        }
    }
}

const PENDING_DELETION: &str = "PendingDeletion";

fn state_of(found: &Found) -> &'static str {
    match found.key_state {
        Some(KeyState::PendingDeletion) => PENDING_DELETION,
        _ => "Disabled",
    }
}

/// Whether the bucket does not let us read its policy, though one is recorded of it.
pub(crate) fn is_barred(found: &Found, expected: &Archive) -> bool {
    let unread = found.unread.get(&Property::BucketPolicy);
    matches!(unread, Some(Failure::AccessDenied(_))) && expected.bucket == found.archive.bucket
}
