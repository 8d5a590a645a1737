//! From JSON to a typed payload, with an error that names the field and quotes no value.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Failure;

/// Reads `payload` as `T`.
///
/// # Errors
/// [`Failure::InvalidInput`] with the path of the field that does not fit. The message says what
/// was expected there and never repeats what was found, which may be anything.
pub fn parse<T: DeserializeOwned>(payload: &Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => "the payload".to_owned(),
            path => format!("`{path}`"),
        };
        Failure::InvalidInput(format!(
            "{path}: {}",
            without_value(&error.into_inner().to_string())
        ))
    })
}

/// serde writes `invalid type: string "…", expected …`: only what follows the value is ours.
fn without_value(message: &str) -> String {
    let quotes_a_value = ["invalid type: ", "invalid value: ", "unknown variant "]
        .iter()
        .any(|start| message.starts_with(start));
    match message.rfind(", expected ").filter(|_| quotes_a_value) {
        Some(at) => message[at + 2..].to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code, reason = "only parsed")]
        inner_one: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Inner {
        count: u32,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        One,
        Two,
    }

    fn refusal(payload: Value) -> String {
        parse::<Outer>(&payload).unwrap_err().to_string()
    }

    #[test]
    fn the_error_names_the_field() {
        insta::assert_snapshot!(refusal(json!({})), @"the payload: missing field `innerOne`");
        insta::assert_snapshot!(refusal(json!({"innerOne": {}})), @"`innerOne`: missing field `count`");
        insta::assert_snapshot!(
            refusal(json!({"innerOne": {"count": 1, "extra": 2}})),
            @"`innerOne.extra`: unknown field `extra`, expected `count` or `kind`"
        );
    }

    #[test]
    fn the_error_never_quotes_the_value() {
        insta::assert_snapshot!(
            refusal(json!({"innerOne": {"count": "a patient, expected nothing"}})),
            @"`innerOne.count`: expected u32"
        );
        insta::assert_snapshot!(
            refusal(json!({"innerOne": {"count": 1, "kind": "a patient"}})),
            @"`innerOne.kind`: expected `one` or `two`"
        );
    }
}
