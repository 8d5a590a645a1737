//! When a bucket's objects expire or move.

pub(crate) mod event;
mod sdk;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A bucket's lifecycle: its rules, whose order means nothing, and how small an object may be to
/// move. Empty when the bucket has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Lifecycle {
    /// The rules.
    pub rules: BTreeSet<LifecycleRule>,
    /// Which objects are too small to move; none for S3's default, `all_storage_classes_128K`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition_default_minimum_object_size: Option<String>,
}

/// What happens to some of the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LifecycleRule {
    /// What people call it; S3 makes a name up when it is given none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Enabled` or `Disabled`.
    pub status: String,
    /// How the keys of its objects start, the way it was said before there were filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Which objects it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<LifecycleFilter>,
    /// When they expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
    /// When their older versions do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noncurrent_version_expiration: Option<NoncurrentExpiration>,
    /// When they move to another storage class.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub transitions: BTreeSet<Transition>,
    /// When their older versions do.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub noncurrent_version_transitions: BTreeSet<NoncurrentTransition>,
    /// After how many days uploads are given up that were never finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort_incomplete_multipart_upload_days: Option<i32>,
}

/// Which objects a rule is about: those that fit all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LifecycleFilter {
    /// How their keys start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Tags that they have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How many bytes they are larger than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_size_greater_than: Option<i64>,
    /// How many bytes they are smaller than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_size_less_than: Option<i64>,
    /// Whether S3 was told it as an `And`, as it must be where there is more than one condition.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub and: bool,
}

/// When objects expire.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Expiration {
    /// So many days after they were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i32>,
    /// From then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// Whether delete markers go that mark nothing any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_object_delete_marker: Option<bool>,
}

/// When older versions expire.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NoncurrentExpiration {
    /// So many days after a newer one, or a delete marker, took their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noncurrent_days: Option<i32>,
    /// How many of them stay all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newer_noncurrent_versions: Option<i32>,
}

/// When objects move, and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Transition {
    /// So many days after they were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i32>,
    /// From then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// `GLACIER`, `STANDARD_IA`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

/// When older versions move, and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NoncurrentTransition {
    /// So many days after a newer one, or a delete marker, took their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noncurrent_days: Option<i32>,
    /// How many of them stay all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newer_noncurrent_versions: Option<i32>,
    /// `GLACIER`, `STANDARD_IA`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

impl Lifecycle {
    /// Whether the bucket has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// After how many days something is deleted, at the earliest; none when nothing ever is.
    ///
    /// Every enabled rule counts, whatever prefix, size or tags it is about: CloudTrail tags no log
    /// file, but an attacker may. A date counts as the days until it comes, and as no days from
    /// then on, since S3 goes on deleting. Older versions count too: they are what a deletion leaves.
    #[must_use]
    pub fn earliest_expiry_days(&self, now: Timestamp) -> Option<u32> {
        let rules = self.rules.iter().filter(|rule| rule.status != "Disabled");
        rules.filter_map(|rule| rule.earliest_days(now)).min()
    }

    /// Whether both do the same, whatever their rules are called.
    #[must_use]
    pub fn does_the_same(&self, other: &Self) -> bool {
        let nameless = |lifecycle: &Self| -> BTreeSet<_> {
            let rules = lifecycle.rules.iter().cloned();
            rules
                .map(|rule| LifecycleRule { id: None, ..rule })
                .collect()
        };
        self.transition_default_minimum_object_size == other.transition_default_minimum_object_size
            && nameless(self) == nameless(other)
    }
}

impl LifecycleRule {
    fn earliest_days(&self, now: Timestamp) -> Option<u32> {
        let expiration = self.expiration.as_ref();
        let noncurrent = self.noncurrent_version_expiration.as_ref();
        let days = [
            expiration.and_then(|expiration| expiration.days),
            noncurrent.and_then(|noncurrent| noncurrent.noncurrent_days),
        ];
        let date = expiration.and_then(|expiration| expiration.date);
        let until = date.map(|date| (date.as_second() - now.as_second()).div_euclid(24 * 60 * 60));
        let days = days.into_iter().flatten().map(i64::from).chain(until);
        days.map(|days| u32::try_from(days.max(0)).unwrap_or(u32::MAX))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn earliest(rules: Value) -> Option<u32> {
        let lifecycle: Lifecycle = serde_json::from_value(json!({"rules": rules})).unwrap();
        lifecycle.earliest_expiry_days("2026-11-25T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn the_earliest_expiry_counts_whatever_it_is_about() {
        let rule = |more: Value| {
            let mut rule = json!({"status": "Enabled"});
            let more = more.as_object().unwrap().clone();
            rule.as_object_mut().unwrap().extend(more);
            rule
        };
        let in_days = |days: u32| rule(json!({"expiration": {"days": days}}));
        assert_eq!(earliest(json!([in_days(400), in_days(30)])), Some(30));
        assert_eq!(earliest(json!([])), None);
        for (more, days) in [
            (
                json!({"prefix": "AWSLogs/", "expiration": {"days": 1}}),
                Some(1),
            ),
            (
                json!({"filter": {"objectSizeLessThan": 9}, "expiration": {"days": 1}}),
                Some(1),
            ),
            (
                json!({"filter": {"tags": {"a": "b"}}, "expiration": {"days": 1}}),
                Some(1),
            ),
            (
                json!({"status": "Disabled", "expiration": {"days": 1}}),
                None,
            ),
            (
                json!({"noncurrentVersionExpiration": {"noncurrentDays": 7}}),
                Some(7),
            ),
            (
                json!({"expiration": {"date": "2026-12-25T00:00:00Z"}}),
                Some(29),
            ),
            (
                json!({"expiration": {"date": "2020-01-01T00:00:00Z"}}),
                Some(0),
            ),
            (
                json!({"expiration": {"expiredObjectDeleteMarker": true}}),
                None,
            ),
            (
                json!({"transitions": [{"days": 1, "storageClass": "GLACIER"}]}),
                None,
            ),
            (json!({"abortIncompleteMultipartUploadDays": 1}), None),
        ] {
            assert_eq!(earliest(json!([rule(more.clone())])), days, "{more}");
        }
    }

    #[test]
    fn the_names_and_the_order_of_rules_make_no_difference() {
        let lifecycle = |ids: [&str; 2], days: [u32; 2]| -> Lifecycle {
            let rule = |i: usize| json!({"id": ids[i], "status": "Enabled", "expiration": {"days": days[i]}});
            serde_json::from_value(json!({"rules": [rule(0), rule(1)]})).unwrap()
        };
        let one = lifecycle(["a", "b"], [400, 800]);
        assert_eq!(one, lifecycle(["b", "a"], [800, 400]));
        assert!(one.does_the_same(&lifecycle(["x", "y"], [800, 400])));
        assert!(!one.does_the_same(&lifecycle(["a", "b"], [400, 801])));
    }
}
