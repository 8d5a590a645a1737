//! What is recorded of a log archive.

use aws_sdk_s3::types::BucketVersioningStatus;
use incident::KeyArn;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Encryption, Lifecycle};

/// Everything that is watched about a log archive; its JSON is the baseline in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Archive {
    /// The bucket of the log files.
    pub bucket: Option<String>,
    /// Who may do what with it, as JSON.
    pub bucket_policy: Option<Value>,
    /// When objects expire.
    pub bucket_lifecycle: Lifecycle,
    /// Whether what is overwritten or deleted is kept.
    pub bucket_versioning: Versioning,
    /// How objects are encrypted that do not say it themselves.
    pub bucket_encryption: Option<Encryption>,
    /// The key that encrypts the log files.
    pub key: Option<KeyArn>,
    /// Who may do what with it, as JSON.
    pub key_policy: Option<Value>,
    /// The log group that gets the events too.
    pub log_group: Option<String>,
    /// How many days it keeps them; none when for ever.
    pub log_retention_days: Option<u32>,
}

/// Whether a bucket keeps what is overwritten or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// It does.
    Enabled,
    /// It did; the versions of that time are still there.
    Suspended,
    /// It never did.
    #[default]
    Off,
}

impl From<Option<BucketVersioningStatus>> for Versioning {
    fn from(status: Option<BucketVersioningStatus>) -> Self {
        match status {
            Some(BucketVersioningStatus::Enabled) => Self::Enabled,
            Some(_) => Self::Suspended,
            None => Self::Off,
        }
    }
}
