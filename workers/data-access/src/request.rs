//! The parameters of requests. CloudTrail writes their names with a small first letter, mostly.

use serde_json::{Map, Value};

use crate::{condition::Condition, scalar::Scalar};

/// A field, whatever the case of its name; null when there is none.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let found = value.as_object().and_then(|object| {
        let mut fields = object.iter();
        object.get(name).or_else(|| {
            let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
            Some(value)
        })
    });
    found.unwrap_or(&Value::Null)
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    field(value, name).as_str()
}

pub(crate) fn has(value: &Value, name: &str) -> bool {
    !field(value, name).is_null()
}

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    field(value, name).as_array().map_or(&[], Vec::as_slice)
}

/// One part of a batch or a transaction.
pub(crate) struct Entry<'a> {
    /// The name or ARN of its table.
    pub(crate) table: Option<&'a str>,
    /// `get`, `put`, `update`, `delete` or `conditionCheck`, whatever its case.
    pub(crate) verb: Option<&'a str>,
    pub(crate) body: &'a Value,
}

/// What may stand around an entry and say what it does.
const WRAPPERS: [(&str, &str); 7] = [
    ("get", "get"),
    ("put", "put"),
    ("update", "update"),
    ("delete", "delete"),
    ("conditionCheck", "conditionCheck"),
    ("putRequest", "put"),
    ("deleteRequest", "delete"),
];

/// The parts of a batch or a transaction: a map by table, or a list.
pub(crate) fn entries(request: &Value) -> Vec<Entry<'_>> {
    let items = ["requestItems", "transactItems"].map(|name| field(request, name));
    let mut entries = Vec::new();
    for items in items {
        match items {
            Value::Object(tables) => {
                for (table, body) in tables {
                    let parts = body
                        .as_array()
                        .map_or(std::slice::from_ref(body), Vec::as_slice);
                    entries.extend(parts.iter().map(|part| entry(Some(table), part)));
                }
            }
            Value::Array(parts) => entries.extend(parts.iter().map(|part| entry(None, part))),
            _ => {}
        }
    }
    entries
}

fn entry<'a>(table: Option<&'a str>, part: &'a Value) -> Entry<'a> {
    let mut wrappers = WRAPPERS.iter();
    let wrapped = wrappers.find_map(|(wrapper, verb)| {
        let body = field(part, wrapper);
        body.is_object().then_some((*verb, body))
    });
    let (verb, body) = match wrapped {
        Some((verb, body)) => (Some(verb), body),
        None => (text(part, "operation"), part),
    };
    Entry {
        table: table.or_else(|| text(body, "tableName")),
        verb,
        body,
    }
}

/// The items that are given by their keys.
pub(crate) fn keyed(body: &Value) -> Condition {
    let keys = list(body, "keys");
    match (field(body, "key"), field(body, "item")) {
        (Value::Object(key), _) | (_, Value::Object(key)) if !key.is_empty() => with_key(key),
        _ if !keys.is_empty() => Condition::Any(
            keys.iter()
                .map(|key| match key {
                    Value::Object(key) if !key.is_empty() => with_key(key),
                    _ => Condition::Unknown,
                })
                .collect(),
        ),
        _ => Condition::Unknown,
    }
}

fn with_key(key: &Map<String, Value>) -> Condition {
    let parts = key.iter().map(|(name, value)| {
        Scalar::read(value).map_or(Condition::Unknown, |value| {
            Condition::Is(name.clone(), value)
        })
    });
    Condition::All(parts.collect())
}
