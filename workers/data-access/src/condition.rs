//! Which items a call was about.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::scalar::Scalar;

/// The key of an item: its attributes' names and values.
pub(crate) type Key = BTreeMap<String, Scalar>;

/// A condition on an item, of which some parts may be unknown.
#[derive(Clone)]
pub(crate) enum Condition {
    /// Whatever it says, the record does not.
    Unknown,
    /// An attribute has this value.
    Is(String, Scalar),
    /// The other is false.
    Not(Box<Condition>),
    /// All of them are true; of none at all, so is every item.
    All(Vec<Condition>),
    /// One of them is true; of none at all, no item is.
    Any(Vec<Condition>),
}

impl Condition {
    /// True of every item.
    pub(crate) fn every() -> Self {
        Self::All(Vec::new())
    }

    /// True of none.
    pub(crate) fn none() -> Self {
        Self::Any(Vec::new())
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self::All(vec![self, other])
    }

    /// Whether it is true of the item with this key; none when that is unknown.
    pub(crate) fn holds(&self, key: &Key) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Is(attribute, value) => key.get(attribute).map(|own| own.is(value)),
            Self::Not(other) => other.holds(key).map(|holds| !holds),
            Self::All(parts) => quantified(parts, key, false),
            Self::Any(parts) => quantified(parts, key, true),
        }
    }

    /// Whether it asks for the item with this key by every attribute of the key.
    pub(crate) fn names(&self, key: &Key) -> bool {
        !key.is_empty() && self.named(key).len() == key.len()
    }

    /// The attributes by which it asks for the item with this key.
    fn named<'a>(&'a self, key: &Key) -> BTreeSet<&'a str> {
        match self {
            _ if self.holds(key) == Some(false) => BTreeSet::new(),
            Self::Is(attribute, _) if key.contains_key(attribute) => BTreeSet::from([&**attribute]),
            Self::All(parts) => parts.iter().flat_map(|part| part.named(key)).collect(),
            Self::Any(parts) => {
                let alternatives = parts.iter().map(|part| part.named(key));
                alternatives.max_by_key(BTreeSet::len).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }
}

/// Whether any part is as `decides`; otherwise not, unless one is unknown.
fn quantified(parts: &[Condition], key: &Key, decides: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part.holds(key) {
            Some(holds) if holds == decides => return Some(decides),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decides)
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[(&str, &str)]) -> Key {
        let parts = parts.iter();
        parts
            .map(|(name, value)| ((*name).to_owned(), Scalar::text(*value)))
            .collect()
    }

    fn is(attribute: &str, value: &str) -> Condition {
        Condition::Is(attribute.to_owned(), Scalar::text(value))
    }

    #[test]
    fn a_condition_is_true_false_or_unknown() {
        use Condition::{All, Any, Not, Unknown};
        let decoy = key(&[("pk", "a"), ("sk", "b")]);
        for (condition, expected) in [
            (Unknown, None),
            (is("pk", "a"), Some(true)),
            (is("pk", "x"), Some(false)),
            (is("name", "a"), None),
            (Not(Box::new(is("pk", "x"))), Some(true)),
            (Not(Box::new(Unknown)), None),
            (Condition::every(), Some(true)),
            (Condition::none(), Some(false)),
            (All(vec![is("pk", "a"), Unknown]), None),
            (All(vec![is("pk", "x"), Unknown]), Some(false)),
            (Any(vec![is("pk", "a"), Unknown]), Some(true)),
            (Any(vec![is("pk", "x"), Unknown]), None),
        ] {
            assert_eq!(condition.holds(&decoy), expected);
        }
    }

    #[test]
    fn an_item_is_named_by_every_attribute_of_its_key_in_one_alternative() {
        use Condition::{All, Any, Not, Unknown};
        let decoy = key(&[("pk", "a"), ("sk", "b")]);
        let both = || All(vec![is("pk", "a"), is("sk", "b")]);
        for (condition, expected) in [
            (both(), true),
            (both().and(Unknown), true),
            (both().and(is("pk", "x")), false),
            (Any(vec![is("pk", "x"), both()]), true),
            (
                All(vec![Any(vec![is("pk", "x"), is("pk", "a")]), is("sk", "b")]),
                true,
            ),
            (
                Any(vec![All(vec![is("pk", "a"), Unknown]), is("sk", "b")]),
                false,
            ),
            (is("pk", "a"), false),
            (Not(Box::new(both())), false),
            (Condition::every(), false),
        ] {
            assert_eq!(condition.names(&decoy), expected);
        }
    }

    #[test]
    fn nothing_is_shown() {
        let shown = format!("{:?}", is("pk", "secret").and(Condition::Unknown));
        assert_eq!(shown, "Condition(…)");
    }
}
