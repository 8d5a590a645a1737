//! Records that nobody has a reason to touch.

use std::{fmt, str::FromStr};

use serde_json::Value;

use crate::{
    Access, Transfer,
    condition::{Condition, Key},
    scalar::Scalar,
};

/// The keys of records that nobody has a reason to touch; by default none.
///
/// A decoy is touched by whatever touches every attribute of its key, so that any schema will do, and
/// the attributes of an index too.
#[derive(Clone, Default)]
pub struct Decoys(Vec<Key>);

/// Why a text is no list of decoys. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDecoys {
    /// It is no JSON array, or an empty one.
    #[error("expected a JSON array of keys, [{{\"patientId\":\"…\"}}]")]
    NoList,
    /// The key at this place, counted from 1, is no object of texts and numbers, or an empty one.
    #[error("key {0} is not an object of attributes' names and texts or numbers")]
    NoKey(usize),
}

/// How certain it is that a call touched a decoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It did not.
    No,
    /// The record does not tell.
    Possibly,
    /// It did, among others that it did not ask for by their keys.
    Certainly,
    /// It asked for it by its key.
    Exactly,
}

impl FromStr for Decoys {
    type Err = BadDecoys;

    fn from_str(text: &str) -> Result<Self, BadDecoys> {
        let keys: Vec<Value> = serde_json::from_str(text).map_err(|_| BadDecoys::NoList)?;
        if keys.is_empty() {
            return Err(BadDecoys::NoList);
        }
        let keys = keys.iter().enumerate();
        keys.map(|(index, key)| read(key).ok_or(BadDecoys::NoKey(index + 1)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn read(key: &Value) -> Option<Key> {
    let attributes = key.as_object().filter(|key| !key.is_empty())?;
    let attributes = attributes.iter();
    attributes
        .map(|(name, value)| Some((name.clone(), Scalar::read(value)?)))
        .collect()
}

impl fmt::Debug for Decoys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoys({})", self.0.len())
    }
}

impl Decoys {
    /// Whether a decoy was read.
    #[must_use]
    pub fn read_by(&self, access: &Access) -> Certainty {
        match access {
            Access::Items(items) => self.met_by(&items.read),
            Access::Transfer(transfer) => self.among_all(match transfer {
                Transfer::Export | Transfer::Backup | Transfer::Restore | Transfer::Replica => {
                    Certainty::Certainly
                }
                Transfer::Kinesis => Certainty::Possibly,
            }),
            Access::Stream | Access::Share(_) => self.among_all(Certainty::Possibly),
            Access::Deletion => Certainty::No,
        }
    }

    /// Whether a decoy was written or deleted.
    #[must_use]
    pub fn written_by(&self, access: &Access) -> Certainty {
        match access {
            Access::Items(items) => self.met_by(&items.written),
            Access::Deletion => self.among_all(Certainty::Certainly),
            Access::Stream | Access::Transfer(_) | Access::Share(_) => Certainty::No,
        }
    }

    fn among_all(&self, certainty: Certainty) -> Certainty {
        if self.0.is_empty() {
            Certainty::No
        } else {
            certainty
        }
    }

    fn met_by(&self, conditions: &[Condition]) -> Certainty {
        let pairs = conditions
            .iter()
            .flat_map(|condition| self.0.iter().map(move |decoy| meets(decoy, condition)));
        pairs.max().unwrap_or(Certainty::No)
    }
}

fn meets(decoy: &Key, condition: &Condition) -> Certainty {
    match condition.holds(decoy) {
        Some(false) => Certainty::No,
        _ if condition.names(decoy) => Certainty::Exactly,
        Some(true) => Certainty::Certainly,
        None => Certainty::Possibly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoys_are_keys_of_any_schema() {
        for (text, count) in [
            (r#"[{"patientId":"HONEY-1"}]"#, 1),
            (
                r#" [{"pk":"x","sk":7},{"pk":{"S":"y"},"sk":{"N":"8"}}] "#,
                2,
            ),
        ] {
            let decoys: Decoys = text.parse().unwrap();
            assert_eq!(format!("{decoys:?}"), format!("Decoys({count})"));
        }
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_without_being_quoted() {
        for (text, error) in [
            ("", BadDecoys::NoList),
            ("HONEY-1", BadDecoys::NoList),
            (r#"{"patientId":"HONEY-1"}"#, BadDecoys::NoList),
            (r#"[{"patientId":"HONEY-1"}"#, BadDecoys::NoList),
            ("[]", BadDecoys::NoList),
            (r#"["HONEY-1"]"#, BadDecoys::NoKey(1)),
            (r#"[{"patientId":"HONEY-1"},{}]"#, BadDecoys::NoKey(2)),
            (r#"[{"patientId":null}]"#, BadDecoys::NoKey(1)),
            (r#"[{"patientId":["HONEY-1"]}]"#, BadDecoys::NoKey(1)),
        ] {
            let refused = text.parse::<Decoys>().unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains("HONEY"), "{refused}");
        }
    }

    #[test]
    fn how_certain_is_in_order() {
        use Certainty::{Certainly, Exactly, No, Possibly};
        assert!(No < Possibly && Possibly < Certainly && Certainly < Exactly);
    }
}
