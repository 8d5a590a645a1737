//! How a trust is closed, and told again.

use iam_policy::Document;
use incident::Arn;
use serde_json::Value;

/// A trust that lets nobody in. IAM takes none without a principal.
const NOBODY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;

/// A trust without its outsiders.
pub(crate) fn closed(trust: &Document, account: &str) -> String {
    let left = trust.without_outsiders(account);
    left.map_or_else(|| NOBODY.to_owned(), |left| left.to_string())
}

/// Whether two trusts say the same. IAM writes them in its own words: the root of an account for its
/// number, one value for a list of one, lists in any order.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str(text).ok().map(plain);
    matches!((read(one), read(other)), (Some(one), Some(other)) if one == other)
}

fn plain(document: Value) -> Value {
    match document {
        Value::Array(values) => {
            let mut values: Vec<_> = values.into_iter().map(plain).collect();
            values.sort_by_key(Value::to_string);
            match values.pop() {
                Some(only) if values.is_empty() => only,
                last => Value::Array(values.into_iter().chain(last).collect()),
            }
        }
        Value::Object(parts) => {
            let parts = parts.into_iter().map(|(name, part)| (name, plain(part)));
            Value::Object(parts.collect())
        }
        Value::String(text) => match text.parse::<Arn>() {
            Ok(arn) if arn.service() == "iam" && arn.resource() == "root" => arn.account().into(),
            _ => Value::String(text),
        },
        other => other,
    }
}
