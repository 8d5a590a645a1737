//! A lifecycle as CloudTrail records the request for it: S3's XML, turned into JSON. One element is
//! an object and several are an array; an empty one is an empty text.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Expiration, Lifecycle, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
    NoncurrentTransition, Transition,
};

/// Something is there and cannot be read.
struct Misread;

type Read<T> = Result<T, Misread>;

impl Lifecycle {
    /// What a call of `PutBucketLifecycle` asks for, from the `requestParameters` that CloudTrail
    /// records of it, or their `LifecycleConfiguration`; none when they cannot be read.
    #[must_use]
    pub fn from_event(request: &Value) -> Option<Self> {
        let asked = request.get("LifecycleConfiguration").unwrap_or(request);
        let rules = all(asked, "Rule", rule).ok()?;
        let smallest = request.get("x-amz-transition-default-minimum-object-size");
        let smallest = smallest.and_then(|smallest| list(smallest).first().copied());
        (!rules.is_empty()).then(|| Self {
            rules,
            transition_default_minimum_object_size: text(smallest)
                .filter(|smallest| smallest != "all_storage_classes_128K"),
        })
    }
}

fn rule(rule: &Value) -> Read<LifecycleRule> {
    let abort = |abort: &Value| number(abort, "DaysAfterInitiation");
    Ok(LifecycleRule {
        id: text(rule.get("ID")),
        status: text(rule.get("Status")).ok_or(Misread)?,
        prefix: prefix(rule),
        filter: one(rule, "Filter", filter)?,
        expiration: one(rule, "Expiration", expiration)?,
        noncurrent_version_expiration: one(
            rule,
            "NoncurrentVersionExpiration",
            noncurrent_expiration,
        )?,
        transitions: all(rule, "Transition", transition)?,
        noncurrent_version_transitions: all(
            rule,
            "NoncurrentVersionTransition",
            noncurrent_transition,
        )?,
        abort_incomplete_multipart_upload_days: one(rule, "AbortIncompleteMultipartUpload", abort)?
            .flatten(),
    })
}

fn filter(filter: &Value) -> Read<LifecycleFilter> {
    let and = filter.get("And");
    let conditions = and.unwrap_or(filter);
    let tag = |tag: &Value| {
        let key = text(tag.get("Key")).ok_or(Misread)?;
        Ok((key, text(tag.get("Value")).unwrap_or_default()))
    };
    let tags: BTreeMap<_, _> = all(conditions, "Tag", tag)?.into_iter().collect();
    Ok(LifecycleFilter {
        prefix: prefix(conditions),
        tags,
        object_size_greater_than: number(conditions, "ObjectSizeGreaterThan")?,
        object_size_less_than: number(conditions, "ObjectSizeLessThan")?,
        and: and.is_some(),
    })
}

fn expiration(expiration: &Value) -> Read<Expiration> {
    Ok(Expiration {
        days: number(expiration, "Days")?,
        date: date(expiration)?,
        expired_object_delete_marker: flag(expiration.get("ExpiredObjectDeleteMarker")),
    })
}

fn noncurrent_expiration(expiration: &Value) -> Read<NoncurrentExpiration> {
    Ok(NoncurrentExpiration {
        noncurrent_days: number(expiration, "NoncurrentDays")?,
        newer_noncurrent_versions: number(expiration, "NewerNoncurrentVersions")?,
    })
}

fn transition(transition: &Value) -> Read<Transition> {
    Ok(Transition {
        days: number(transition, "Days")?,
        date: date(transition)?,
        storage_class: text(transition.get("StorageClass")),
    })
}

fn noncurrent_transition(transition: &Value) -> Read<NoncurrentTransition> {
    Ok(NoncurrentTransition {
        noncurrent_days: number(transition, "NoncurrentDays")?,
        newer_noncurrent_versions: number(transition, "NewerNoncurrentVersions")?,
        storage_class: text(transition.get("StorageClass")),
    })
}

/// An element that may be left out.
fn one<T>(of: &Value, name: &str, read: impl Fn(&Value) -> Read<T>) -> Read<Option<T>> {
    of.get(name).map(read).transpose()
}

/// An element that there may be any number of.
fn all<T: Ord>(of: &Value, name: &str, read: impl Fn(&Value) -> Read<T>) -> Read<BTreeSet<T>> {
    let elements = of.get(name).map(list).unwrap_or_default();
    elements.into_iter().map(read).collect()
}

pub(crate) fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Null => Vec::new(),
        value => vec![value],
    }
}

pub(crate) fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(ToOwned::to_owned)
}

pub(crate) fn flag(value: Option<&Value>) -> Option<bool> {
    let value = value?;
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

/// An empty prefix is an empty element, which is not always recorded as a text.
fn prefix(of: &Value) -> Option<String> {
    let prefix = of.get("Prefix");
    prefix.map(|_| text(prefix).unwrap_or_default())
}

fn number<T: TryFrom<i64>>(of: &Value, name: &str) -> Read<Option<T>> {
    one(of, name, |value| {
        let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
        number
            .and_then(|number| number.try_into().ok())
            .ok_or(Misread)
    })
}

/// A time, or a day without one.
fn date(of: &Value) -> Read<Option<Timestamp>> {
    one(of, "Date", |value| {
        let text = value.as_str().ok_or(Misread)?;
        let time = text
            .parse()
            .or_else(|_| format!("{text}T00:00:00Z").parse());
        time.map_err(|_| Misread)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(rules: Value) -> Option<Lifecycle> {
        Lifecycle::from_event(&json!({
            "bucketName": "logs", "lifecycle": "", "LifecycleConfiguration": {"Rule": rules}
        }))
    }

    fn lifecycle(rules: Value) -> Lifecycle {
        serde_json::from_value(json!({"rules": rules})).unwrap()
    }

    #[test]
    fn one_rule_is_an_object_and_several_are_an_array() {
        let asked = json!({"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "AWSLogs/"},
                           "Expiration": {"Days": 3}});
        let rule = json!({"id": "r", "status": "Enabled", "filter": {"prefix": "AWSLogs/"},
                          "expiration": {"days": 3}});
        assert_eq!(read(asked.clone()), Some(lifecycle(json!([rule]))));
        let other =
            json!({"ID": "s", "Status": "Disabled", "Prefix": "", "Expiration": {"Days": "9"}});
        let same =
            json!({"id": "s", "status": "Disabled", "prefix": "", "expiration": {"days": 9}});
        assert_eq!(
            read(json!([other, asked])),
            Some(lifecycle(json!([rule, same])))
        );
    }

    #[test]
    fn everything_that_a_rule_can_say_is_read() {
        let asked = json!({
            "ID": "r", "Status": "Enabled",
            "Filter": {"And": {"Prefix": "x", "Tag": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": ""}],
                               "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 9}},
            "Expiration": {"Date": "2030-01-01T00:00:00.000Z", "ExpiredObjectDeleteMarker": "true"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 1},
            "Transition": [{"Days": 1, "StorageClass": "GLACIER"}, {"Date": "2029-01-01", "StorageClass": "GLACIER"}],
            "NoncurrentVersionTransition": {"NoncurrentDays": 1, "StorageClass": "GLACIER"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}
        });
        let rule = json!({
            "id": "r", "status": "Enabled",
            "filter": {"and": true, "prefix": "x", "tags": {"a": "b", "c": ""},
                       "objectSizeGreaterThan": 1, "objectSizeLessThan": 9},
            "expiration": {"date": "2030-01-01T00:00:00Z", "expiredObjectDeleteMarker": true},
            "noncurrentVersionExpiration": {"noncurrentDays": 3, "newerNoncurrentVersions": 1},
            "transitions": [{"days": 1, "storageClass": "GLACIER"},
                            {"date": "2029-01-01T00:00:00Z", "storageClass": "GLACIER"}],
            "noncurrentVersionTransitions": [{"noncurrentDays": 1, "storageClass": "GLACIER"}],
            "abortIncompleteMultipartUploadDays": 7
        });
        assert_eq!(read(asked), Some(lifecycle(json!([rule]))));
    }

    #[test]
    fn an_empty_filter_is_about_every_object() {
        for filter in [json!(""), json!({"Prefix": ""}), json!({"Prefix": {}})] {
            let asked = json!({"Status": "Enabled", "Filter": filter, "Expiration": {"Days": 1}});
            let days =
                read(asked).and_then(|asked| asked.earliest_expiry_days(Timestamp::UNIX_EPOCH));
            assert_eq!(days, Some(1), "{filter}");
        }
    }

    #[test]
    fn a_request_that_is_not_understood_is_not_read() {
        for rules in [
            json!(null),
            json!([]),
            json!("all"),
            json!({"Expiration": {"Days": 1}}),
            json!({"Status": "Enabled", "Expiration": {"Days": "soon"}}),
            json!({"Status": "Enabled", "Expiration": {"Date": "soon"}}),
        ] {
            assert_eq!(read(rules.clone()), None, "{rules}");
        }
        assert_eq!(Lifecycle::from_event(&json!({"bucketName": "logs"})), None);
        assert_eq!(Lifecycle::from_event(&json!(null)), None);
    }
}
