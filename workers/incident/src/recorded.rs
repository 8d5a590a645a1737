//! What an operator recorded of something that is watched.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// What something should be, and what it may become: an operator records an intended change
/// first, makes it, and records the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded<T> {
    /// What it was when it was recorded.
    pub baseline: T,
    /// What it may become.
    pub intended: Option<T>,
}

impl<T: Clone + Serialize + DeserializeOwned> Recorded<T> {
    /// What it should be, seeing what it is `now`. Field by field, as one change may take several
    /// calls: as intended where it is so already, as in the baseline everywhere else.
    #[must_use]
    pub fn expected(&self, now: &T) -> T {
        let merged = self
            .intended
            .as_ref()
            .and_then(|intended| merge(&self.baseline, intended, now));
        merged.unwrap_or_else(|| self.baseline.clone())
    }
}

fn merge<T: Serialize + DeserializeOwned>(baseline: &T, intended: &T, now: &T) -> Option<T> {
    let (mut expected, now) = (fields(baseline)?, fields(now)?);
    for (name, intended) in fields(intended)? {
        if now.get(&name) == Some(&intended) {
            expected.insert(name, intended);
        }
    }
    serde_json::from_value(Value::Object(expected)).ok()
}

fn fields(of: &impl Serialize) -> Option<Map<String, Value>> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Settings = BTreeMap<String, u8>;

    fn settings(list: &[(&str, u8)]) -> Settings {
        list.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
    }

    #[test]
    fn without_an_intended_change_it_should_be_as_recorded() {
        let recorded = Recorded {
            baseline: settings(&[("a", 1)]),
            intended: None,
        };
        assert_eq!(recorded.expected(&settings(&[("a", 2)])), recorded.baseline);
    }

    #[test]
    fn every_field_may_be_as_recorded_or_as_intended() {
        let recorded = Recorded {
            baseline: settings(&[("a", 1), ("b", 1), ("c", 1)]),
            intended: Some(settings(&[("a", 2), ("b", 2), ("c", 1)])),
        };
        for (now, expected) in [
            ([1, 1, 1], [1, 1, 1]),
            ([2, 1, 1], [2, 1, 1]),
            ([2, 2, 1], [2, 2, 1]),
            ([3, 2, 3], [1, 2, 1]),
        ] {
            let of = |[a, b, c]: [u8; 3]| settings(&[("a", a), ("b", b), ("c", c)]);
            assert_eq!(recorded.expected(&of(now)), of(expected));
        }
    }
}
