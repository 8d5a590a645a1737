//! A change that is recorded before it is made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use worker::Failure;

/// Fields, named as in the baseline, with what they may become.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Intended {
    /// Of the trail, such as `s3BucketName` or `eventSelectors`.
    pub trail: BTreeMap<String, Value>,
    /// Of its log archive, such as `bucketPolicy` or `logRetentionDays`.
    pub archive: BTreeMap<String, Value>,
}

/// What `now` becomes by `changes`; none where that is what it is.
///
/// # Errors
/// [`Failure::InvalidInput`] names the field of `request.intended` that is unknown or does not fit.
pub(crate) fn merged<T>(
    now: &T,
    part: &str,
    changes: &BTreeMap<String, Value>,
) -> Result<Option<T>, Failure>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned,
{
    let mut intended = now.clone();
    for (field, value) in changes {
        intended = with(&intended, field, value).map_err(|why| {
            Failure::InvalidInput(format!("`request.intended.{part}.{field}`: {why}"))
        })?;
    }
    Ok((intended != *now).then_some(intended))
}

fn with<T>(now: &T, field: &str, value: &Value) -> Result<T, String>
where
    T: Serialize + DeserializeOwned,
{
    let mut all = serde_json::to_value(now).map_err(|error| error.to_string())?;
    let Some(there) = all.get_mut(field) else {
        let known: Vec<_> = all
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys())
            .collect();
        let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        return Err(format!(
            "unknown field, expected one of {}",
            known.join(", ")
        ));
    };
    *there = value.clone();
    serde_json::from_value(all).map_err(|error| error.to_string())
}
