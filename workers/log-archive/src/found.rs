//! What is there, and how it differs from what should be there.

mod deviations;

use std::collections::BTreeMap;

use aws_sdk_kms::types;
use incident::Recorded;
use jiff::Timestamp;
use serde_json::Value;
use worker::Failure;

use crate::{Archive, Encryption, Names, Versioning, Watched, policy};

/// What is there of a log archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Its settings; what is not there, and what was not read, is empty. The names are those that
    /// are watched.
    pub archive: Archive,
    /// Whether there is such a bucket, as far as AWS says.
    pub bucket_exists: bool,
    /// Whether the key can be used; none when no key is watched, and when AWS does not say.
    pub key_state: Option<KeyState>,
    /// Whether there is such a log group.
    pub log_group_exists: bool,
    /// What could not be read, and why.
    pub unread: BTreeMap<Property, Failure>,
}

/// Whether a key can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It can.
    Enabled,
    /// Not until it is enabled.
    Disabled,
    /// Not until its deletion is cancelled, which can be done until its day comes.
    PendingDeletion,
    /// There is no such key.
    Gone,
    /// Not, for another reason: `PendingImport`, `Unavailable`, ….
    Other(String),
}

impl From<&types::KeyState> for KeyState {
    fn from(state: &types::KeyState) -> Self {
        match state {
            types::KeyState::Enabled => Self::Enabled,
            types::KeyState::Disabled => Self::Disabled,
            types::KeyState::PendingDeletion => Self::PendingDeletion,
            other => Self::Other(other.as_str().to_owned()),
        }
    }
}

/// A part of the archive that AWS is asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// The bucket's policy.
    BucketPolicy,
    /// The bucket's lifecycle.
    BucketLifecycle,
    /// The bucket's versioning.
    BucketVersioning,
    /// The bucket's encryption.
    BucketEncryption,
    /// The key's state.
    Key,
    /// The key's policy.
    KeyPolicy,
    /// The log group.
    LogGroup,
}

impl Property {
    const OF_BUCKET: [Self; 4] = [
        Self::BucketPolicy,
        Self::BucketLifecycle,
        Self::BucketVersioning,
        Self::BucketEncryption,
    ];

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BucketPolicy => "the policy of the log bucket",
            Self::BucketLifecycle => "the lifecycle of the log bucket",
            Self::BucketVersioning => "versioning of the log bucket",
            Self::BucketEncryption => "the encryption of the log bucket",
            Self::Key => "the state of the trail's key",
            Self::KeyPolicy => "the policy of the trail's key",
            Self::LogGroup => "the trail's log group",
        }
    }
}

impl Found {
    /// What it should be by what is recorded of it. What is stronger stays as it is: log files kept
    /// longer (than `min_retention_days`, or than is recorded where that is less), events too,
    /// versioning on, a bucket policy or an encryption that is no weaker.
    ///
    /// Where another bucket, key or log group is watched than is recorded, nothing is known of the
    /// new one, and it should be as it is.
    #[must_use]
    pub fn should_be<'a>(
        &self,
        recorded: &Recorded<Archive>,
        watched: impl Into<Watched<'a>>,
        now: Timestamp,
    ) -> Archive {
        let is = &self.archive;
        let watched = watched.into();
        let names = watched.names;
        let about = |test: &dyn Fn(&Archive) -> bool| about(recorded, test);
        let mut expected = Archive {
            bucket: recorded.baseline.bucket.clone(),
            key: recorded.baseline.key.clone(),
            log_group: recorded.baseline.log_group.clone(),
            ..is.clone()
        };
        let recorded = about(&|it| it.bucket == is.bucket);
        if !recorded.is_empty() {
            expected.bucket.clone_from(&is.bucket);
        }
        if let Some(it) = unless(&recorded, |it| is.has_no_weaker_policy_than(it, watched)) {
            expected.bucket_policy.clone_from(&it.bucket_policy);
        }
        if let Some(it) = unless(&recorded, |it| is.keeps_as_long_as(it, names, now)) {
            expected.bucket_lifecycle = it.bucket_lifecycle.clone();
        }
        if let Some(it) = unless(&recorded, |it| is.keeps_versions_as(it)) {
            expected.bucket_versioning = it.bucket_versioning;
        }
        let encrypts = |it: &Archive| is.encrypts().is_no_weaker(&it.encrypts(), names);
        if let Some(it) = unless(&recorded, encrypts) {
            expected.bucket_encryption.clone_from(&it.bucket_encryption);
        }
        let recorded = about(&|it| it.key == is.key);
        if !recorded.is_empty() {
            expected.key.clone_from(&is.key);
        }
        if let Some(it) = unless(&recorded, |it| is.has_key_policy_of(it)) {
            expected.key_policy.clone_from(&it.key_policy);
        }
        let recorded = about(&|it| it.log_group == is.log_group);
        if !recorded.is_empty() {
            expected.log_group.clone_from(&is.log_group);
        }
        let keeps = |it: &Archive| self.log_group_exists && is.keeps_events_as_long_as(it);
        if let Some(it) = unless(&recorded, keeps) {
            expected.log_retention_days = it.log_retention_days;
        }
        expected
    }

    /// Which parts are stronger than anything that is recorded of them, and stay so.
    #[must_use]
    pub fn stronger<'a>(
        &self,
        recorded: &Recorded<Archive>,
        watched: impl Into<Watched<'a>>,
        now: Timestamp,
    ) -> Vec<Property> {
        let is = &self.archive;
        let expected = self.should_be(recorded, watched, now);
        let mut parts = [&Property::OF_BUCKET[..], &[Property::LogGroup]].concat();
        parts.retain(|part| {
            let recorded = match part {
                Property::LogGroup => about(recorded, &|it| it.log_group == is.log_group),
                _ => about(recorded, &|it| it.bucket == is.bucket),
            };
            let is_other = |it: &&Archive| {
                self.differs(*part, it)
                    && match part {
                        Property::BucketLifecycle => is.outlasts(it, now),
                        Property::BucketVersioning => is.bucket_versioning == Versioning::Enabled,
                        _ => true,
                    }
            };
            !recorded.is_empty() && !self.differs(*part, &expected) && recorded.iter().all(is_other)
        });
        parts
    }

    /// What it should be where nobody recorded anything: as it is, but with versioning turned on
    /// again where it was suspended. That the bucket, the key and the log group are there, and the
    /// key enabled, needs no record.
    #[must_use]
    pub fn unrecorded(&self) -> Archive {
        let mut expected = self.archive.clone();
        if expected.bucket_versioning == Versioning::Suspended {
            expected.bucket_versioning = Versioning::Enabled;
        }
        expected
    }

    /// Whether a part is known to be another than it should be; of the key, whether it is known not
    /// to be enabled.
    #[must_use]
    pub fn differs(&self, property: Property, expected: &Archive) -> bool {
        let is = &self.archive;
        let of_bucket = Property::OF_BUCKET.contains(&property);
        let there = if of_bucket { self.bucket_exists } else { true };
        there
            && self.knows(property)
            && match property {
                Property::BucketPolicy => !is.has_bucket_policy_of(expected),
                Property::BucketLifecycle => {
                    let lifecycle = &is.bucket_lifecycle;
                    !lifecycle.does_the_same(&expected.bucket_lifecycle)
                }
                Property::BucketVersioning => is.bucket_versioning != expected.bucket_versioning,
                Property::BucketEncryption => is.encrypts() != expected.encrypts(),
                Property::Key => !matches!(self.key_state, None | Some(KeyState::Enabled)),
                Property::KeyPolicy => {
                    self.key_state != Some(KeyState::Gone) && !is.has_key_policy_of(expected)
                }
                Property::LogGroup => {
                    is.log_group.is_some()
                        && (!self.log_group_exists
                            || is.log_retention_days != expected.log_retention_days)
                }
            }
    }

    fn knows(&self, property: Property) -> bool {
        !self.unread.contains_key(&property)
    }
}

const ENCRYPTS_FOR_OTHERS: &str = "the log bucket encrypts with a key of another account";

/// What is recorded of what is there, as `test` tells.
fn about<'a>(recorded: &'a Recorded<Archive>, test: &dyn Fn(&Archive) -> bool) -> Vec<&'a Archive> {
    let both = std::iter::once(&recorded.baseline).chain(&recorded.intended);
    both.filter(|archive| test(archive)).collect()
}

/// What is recorded first, unless what is there fits something recorded.
fn unless<'a>(recorded: &[&'a Archive], fits: impl Fn(&Archive) -> bool) -> Option<&'a Archive> {
    let first = recorded.first().copied();
    first.filter(|_| !recorded.iter().any(|recorded| fits(recorded)))
}

impl Archive {
    /// Why CloudTrail could not write to an archive with these settings, or not for long enough;
    /// nothing when it could. That everything is there, [`Found::deviations`] tells.
    #[must_use]
    pub fn health<'a>(&self, watched: impl Into<Watched<'a>>, now: Timestamp) -> Vec<String> {
        let watched = watched.into();
        let (names, delivery) = (watched.names, watched.delivery());
        let mut ill = Vec::new();
        if let Some(bucket) = &self.bucket {
            let policy = self.bucket_policy.as_ref();
            if !policy.is_some_and(|policy| delivery.may_write(policy, bucket)) {
                ill.push("the policy of the log bucket does not let CloudTrail write".to_owned());
            }
            let fewest = names.min_retention_days;
            if let Some(expiry) = self
                .expiry(now)
                .filter(|_| self.expires_within(fewest, now))
            {
                ill.push(format!("{expiry}, and they are to be kept {fewest}"));
            }
            if self.encrypts_for_others(names) {
                ill.push(ENCRYPTS_FOR_OTHERS.to_owned());
            }
        }
        if self.key.is_some() {
            let policy = self.key_policy.as_ref();
            if !policy.is_some_and(|policy| delivery.may_encrypt(policy)) {
                ill.push(
                    "the policy of the trail's key does not let CloudTrail encrypt".to_owned(),
                );
            }
        }
        ill
    }

    fn expires_within(&self, days: u32, now: Timestamp) -> bool {
        let earliest = self.bucket_lifecycle.earliest_expiry_days(now);
        earliest.is_some_and(|earliest| earliest < days)
    }

    /// How the bucket encrypts: without a configuration S3 does with its own key.
    #[must_use]
    pub fn encrypts(&self) -> Encryption {
        self.bucket_encryption.clone().unwrap_or_default()
    }

    fn has_bucket_policy_of(&self, other: &Self) -> bool {
        same_policy(self.bucket_policy.as_ref(), other.bucket_policy.as_ref())
    }

    fn has_no_weaker_policy_than(&self, recorded: &Self, watched: Watched<'_>) -> bool {
        let (policy, recorded) = (self.bucket_policy.as_ref(), recorded.bucket_policy.as_ref());
        let bucket = self.bucket.as_deref().unwrap_or_default();
        match (policy, recorded) {
            (Some(policy), Some(recorded)) => {
                watched.delivery().is_no_weaker(policy, recorded, bucket)
            }
            _ => policy == recorded,
        }
    }

    fn has_key_policy_of(&self, other: &Self) -> bool {
        same_policy(self.key_policy.as_ref(), other.key_policy.as_ref())
    }

    /// Whether log files are kept for as long as in `recorded`, or for long enough.
    fn keeps_as_long_as(&self, recorded: &Self, names: &Names, now: Timestamp) -> bool {
        let recorded = recorded.bucket_lifecycle.earliest_expiry_days(now);
        let enough = names.min_retention_days;
        !self.expires_within(recorded.map_or(enough, |days| days.min(enough)), now)
    }

    /// Whether log files are kept for longer than in `recorded`.
    fn outlasts(&self, recorded: &Self, now: Timestamp) -> bool {
        let days = |archive: &Self| archive.bucket_lifecycle.earliest_expiry_days(now);
        days(recorded).is_some_and(|recorded| days(self).is_none_or(|days| days > recorded))
    }

    /// Versioning that was ever on can be suspended only; both keep nothing new.
    fn keeps_versions_as(&self, recorded: &Self) -> bool {
        let on = |archive: &Self| archive.bucket_versioning == Versioning::Enabled;
        on(self) || !on(recorded)
    }

    fn keeps_events_as_long_as(&self, recorded: &Self) -> bool {
        let (days, recorded) = (self.log_retention_days, recorded.log_retention_days);
        days.is_none_or(|days| recorded.is_some_and(|recorded| days >= recorded))
    }

    fn expiry(&self, now: Timestamp) -> Option<String> {
        let days = self.bucket_lifecycle.earliest_expiry_days(now)?;
        Some(format!(
            "the lifecycle of the log bucket expires log files after {}",
            counted(days)
        ))
    }

    /// Whether the bucket encrypts with a key of another account that is not the trail's own.
    fn encrypts_for_others(&self, names: &Names) -> bool {
        self.bucket_encryption.as_ref().is_some_and(|encryption| {
            let key = names.key.as_ref().map(|key| key.arn().as_str());
            encryption.is_foreign(&names.account) && encryption.kms_key.as_deref() != key
        })
    }
}

fn same_policy(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => policy::same(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn counted(days: u32) -> String {
    match days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests;
