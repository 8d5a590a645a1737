//! A lifecycle as S3 answers and takes it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::{error::BuildError, primitives::DateTime, types};
use jiff::Timestamp;

use super::{
    Expiration, Lifecycle, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
    NoncurrentTransition, Transition,
};

impl Lifecycle {
    pub(crate) fn of(
        rules: Vec<types::LifecycleRule>,
        smallest: Option<types::TransitionDefaultMinimumObjectSize>,
    ) -> Self {
        let default = types::TransitionDefaultMinimumObjectSize::AllStorageClasses128K;
        Self {
            rules: set_of(Some(rules)),
            transition_default_minimum_object_size: smallest
                .filter(|smallest| *smallest != default)
                .map(|smallest| smallest.as_str().to_owned()),
        }
    }

    /// The rules as `PutBucketLifecycleConfiguration` takes them.
    ///
    /// # Errors
    /// When a part is missing, which none that was read has.
    pub fn to_sdk(&self) -> Result<types::BucketLifecycleConfiguration, BuildError> {
        let rules = self.rules.iter().map(LifecycleRule::to_sdk);
        types::BucketLifecycleConfiguration::builder()
            .set_rules(Some(rules.collect::<Result<_, _>>()?))
            .build()
    }

    /// The smallest object that moves, as `PutBucketLifecycleConfiguration` takes it.
    #[must_use]
    pub fn smallest_to_sdk(&self) -> Option<types::TransitionDefaultMinimumObjectSize> {
        let smallest = self.transition_default_minimum_object_size.as_deref();
        smallest.map(Into::into)
    }
}

impl From<types::LifecycleRule> for LifecycleRule {
    fn from(rule: types::LifecycleRule) -> Self {
        Self {
            status: rule.status().as_str().to_owned(),
            #[allow(deprecated, reason = "buckets still have it")]
            prefix: rule.prefix,
            id: rule.id,
            filter: rule.filter.map(Into::into),
            expiration: rule.expiration.map(Into::into),
            noncurrent_version_expiration: rule.noncurrent_version_expiration.map(Into::into),
            transitions: set_of(rule.transitions),
            noncurrent_version_transitions: set_of(rule.noncurrent_version_transitions),
            abort_incomplete_multipart_upload_days: rule
                .abort_incomplete_multipart_upload
                .and_then(|abort| abort.days_after_initiation),
        }
    }
}

impl LifecycleRule {
    fn to_sdk(&self) -> Result<types::LifecycleRule, BuildError> {
        let transitions = self.transitions.iter().map(Transition::to_sdk);
        let noncurrent = self.noncurrent_version_transitions.iter();
        let noncurrent = noncurrent.map(NoncurrentTransition::to_sdk);
        let filter = self.filter.as_ref().map(LifecycleFilter::to_sdk);
        let abort = self.abort_incomplete_multipart_upload_days.map(|days| {
            types::AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(days)
                .build()
        });
        #[allow(deprecated, reason = "buckets still have a prefix without a filter")]
        types::LifecycleRule::builder()
            .set_id(self.id.clone())
            .status(self.status.as_str().into())
            .set_prefix(self.prefix.clone())
            .set_filter(filter.transpose()?)
            .set_expiration(self.expiration.as_ref().map(Expiration::to_sdk))
            .set_noncurrent_version_expiration(
                self.noncurrent_version_expiration
                    .as_ref()
                    .map(NoncurrentExpiration::to_sdk),
            )
            .set_transitions(some(transitions.collect()))
            .set_noncurrent_version_transitions(some(noncurrent.collect()))
            .set_abort_incomplete_multipart_upload(abort)
            .build()
    }
}

impl From<types::LifecycleRuleFilter> for LifecycleFilter {
    fn from(filter: types::LifecycleRuleFilter) -> Self {
        let tags_of = |tags: Vec<types::Tag>| tags.into_iter().map(|tag| (tag.key, tag.value));
        match filter.and {
            Some(and) => Self {
                prefix: and.prefix,
                tags: tags_of(and.tags.unwrap_or_default()).collect(),
                object_size_greater_than: and.object_size_greater_than,
                object_size_less_than: and.object_size_less_than,
                and: true,
            },
            None => Self {
                prefix: filter.prefix,
                tags: tags_of(filter.tag.into_iter().collect()).collect(),
                object_size_greater_than: filter.object_size_greater_than,
                object_size_less_than: filter.object_size_less_than,
                and: false,
            },
        }
    }
}

impl LifecycleFilter {
    fn to_sdk(&self) -> Result<types::LifecycleRuleFilter, BuildError> {
        let tags = self.tags()?;
        let filter = types::LifecycleRuleFilter::builder();
        // An operator may record an intended filter without saying that it is an `And`.
        let conditions = self.tags.len()
            + usize::from(self.prefix.is_some())
            + usize::from(self.object_size_greater_than.is_some())
            + usize::from(self.object_size_less_than.is_some());
        if !self.and && conditions < 2 {
            return Ok(filter
                .set_prefix(self.prefix.clone())
                .set_tag(tags.into_iter().next())
                .set_object_size_greater_than(self.object_size_greater_than)
                .set_object_size_less_than(self.object_size_less_than)
                .build());
        }
        let and = types::LifecycleRuleAndOperator::builder()
            .set_prefix(self.prefix.clone())
            .set_tags(some(tags))
            .set_object_size_greater_than(self.object_size_greater_than)
            .set_object_size_less_than(self.object_size_less_than);
        Ok(filter.and(and.build()).build())
    }

    fn tags(&self) -> Result<Vec<types::Tag>, BuildError> {
        let tags: &BTreeMap<_, _> = &self.tags;
        tags.iter()
            .map(|(key, value)| types::Tag::builder().key(key).value(value).build())
            .collect()
    }
}

impl From<types::LifecycleExpiration> for Expiration {
    fn from(expiration: types::LifecycleExpiration) -> Self {
        Self {
            days: expiration.days,
            date: expiration.date.as_ref().and_then(time),
            expired_object_delete_marker: expiration.expired_object_delete_marker,
        }
    }
}

impl Expiration {
    fn to_sdk(&self) -> types::LifecycleExpiration {
        types::LifecycleExpiration::builder()
            .set_days(self.days)
            .set_date(self.date.map(written))
            .set_expired_object_delete_marker(self.expired_object_delete_marker)
            .build()
    }
}

impl From<types::NoncurrentVersionExpiration> for NoncurrentExpiration {
    fn from(expiration: types::NoncurrentVersionExpiration) -> Self {
        Self {
            noncurrent_days: expiration.noncurrent_days,
            newer_noncurrent_versions: expiration.newer_noncurrent_versions,
        }
    }
}

impl NoncurrentExpiration {
    fn to_sdk(&self) -> types::NoncurrentVersionExpiration {
        types::NoncurrentVersionExpiration::builder()
            .set_noncurrent_days(self.noncurrent_days)
            .set_newer_noncurrent_versions(self.newer_noncurrent_versions)
            .build()
    }
}

impl From<types::Transition> for Transition {
    fn from(transition: types::Transition) -> Self {
        Self {
            days: transition.days,
            date: transition.date.as_ref().and_then(time),
            storage_class: transition.storage_class.map(class),
        }
    }
}

impl Transition {
    fn to_sdk(&self) -> types::Transition {
        types::Transition::builder()
            .set_days(self.days)
            .set_date(self.date.map(written))
            .set_storage_class(self.storage_class.as_deref().map(Into::into))
            .build()
    }
}

impl From<types::NoncurrentVersionTransition> for NoncurrentTransition {
    fn from(transition: types::NoncurrentVersionTransition) -> Self {
        Self {
            noncurrent_days: transition.noncurrent_days,
            newer_noncurrent_versions: transition.newer_noncurrent_versions,
            storage_class: transition.storage_class.map(class),
        }
    }
}

impl NoncurrentTransition {
    fn to_sdk(&self) -> types::NoncurrentVersionTransition {
        types::NoncurrentVersionTransition::builder()
            .set_noncurrent_days(self.noncurrent_days)
            .set_newer_noncurrent_versions(self.newer_noncurrent_versions)
            .set_storage_class(self.storage_class.as_deref().map(Into::into))
            .build()
    }
}

fn class(class: types::TransitionStorageClass) -> String {
    class.as_str().to_owned()
}

fn time(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}

fn written(time: Timestamp) -> DateTime {
    DateTime::from_secs(time.as_second())
}

fn set_of<A, B: From<A> + Ord>(list: Option<Vec<A>>) -> BTreeSet<B> {
    list.unwrap_or_default().into_iter().map(B::from).collect()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lifecycle_is_written_as_it_was_read() {
        let lifecycle: Lifecycle = serde_json::from_value(json!({
            "rules": [
                {"id": "old", "status": "Disabled", "prefix": "AWSLogs/", "expiration": {"days": 400}},
                {"id": "all", "status": "Enabled", "filter": {"prefix": ""},
                 "expiration": {"date": "2030-01-01T00:00:00Z"},
                 "noncurrentVersionExpiration": {"noncurrentDays": 30, "newerNoncurrentVersions": 2},
                 "transitions": [{"days": 90, "storageClass": "GLACIER"},
                                 {"date": "2029-01-01T00:00:00Z", "storageClass": "DEEP_ARCHIVE"}],
                 "noncurrentVersionTransitions":
                    [{"noncurrentDays": 9, "newerNoncurrentVersions": 1, "storageClass": "STANDARD_IA"}],
                 "abortIncompleteMultipartUploadDays": 7},
                {"id": "one", "status": "Enabled", "filter": {"tags": {"a": "b"}},
                 "expiration": {"expiredObjectDeleteMarker": true}},
                {"id": "and", "status": "Enabled",
                 "filter": {"and": true, "prefix": "x", "tags": {"a": "b", "c": "d"},
                            "objectSizeGreaterThan": 1, "objectSizeLessThan": 9}}
            ],
            "transitionDefaultMinimumObjectSize": "varies_by_storage_class"
        }))
        .unwrap();
        let written = lifecycle.to_sdk().unwrap();
        assert_eq!(
            Lifecycle::of(written.rules, lifecycle.smallest_to_sdk()),
            lifecycle
        );
        let json = serde_json::to_value(&lifecycle).unwrap();
        assert_eq!(
            serde_json::from_value::<Lifecycle>(json).unwrap(),
            lifecycle
        );
    }

    #[test]
    fn several_conditions_are_an_and() {
        let filter: LifecycleFilter =
            serde_json::from_value(json!({"prefix": "x", "objectSizeLessThan": 9})).unwrap();
        let written = filter.to_sdk().unwrap();
        assert_eq!(
            (written.prefix(), written.object_size_less_than()),
            (None, None)
        );
        assert_eq!(written.and().and_then(|and| and.prefix()), Some("x"));
    }

    #[test]
    fn the_default_size_is_nothing_special() {
        let default = types::TransitionDefaultMinimumObjectSize::AllStorageClasses128K;
        assert_eq!(Lifecycle::of(vec![], Some(default)), Lifecycle::default());
    }
}
