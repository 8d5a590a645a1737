//! The value of a key.

use serde_json::Value;

/// A text, a number, or binary as its base64.
#[derive(Clone)]
pub(crate) struct Scalar {
    text: String,
    is_number: bool,
}

impl Scalar {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_number: false,
        }
    }

    /// As it is written.
    pub(crate) fn as_text(&self) -> &str {
        &self.text
    }

    /// A number as it is written; none when it is not one.
    pub(crate) fn number(text: &str) -> Option<Self> {
        decimal(text).map(|_| Self {
            text: text.to_owned(),
            is_number: true,
        })
    }

    /// Reads a value, plain as CloudTrail writes it or typed as DynamoDB does (`{"S": …}`). None when
    /// it is no key's value, or was redacted.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) if is_redacted(text) => None,
            Value::String(text) => Some(Self::text(text)),
            Value::Number(number) => Self::number(&number.to_string()),
            Value::Object(typed) if typed.len() == 1 => {
                let (kind, value) = typed.iter().next()?;
                match (kind.as_str(), value) {
                    ("N", Value::String(text)) => Self::number(text),
                    ("S" | "B", Value::String(_)) | ("N", Value::Number(_)) => Self::read(value),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether both are the same key. A number may have been written as a text, and in several ways.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.text == other.text
            || (self.is_number || other.is_number)
                && decimal(&self.text).is_some_and(|number| Some(number) == decimal(&other.text))
    }
}

fn is_redacted(text: &str) -> bool {
    text.starts_with("***") || text == "HIDDEN_DUE_TO_SECURITY_REASONS"
}

/// Sign, digits without zeros around them, and exponent: DynamoDB's numbers have 38 digits, more than
/// a float can tell apart.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (text, 0_i64),
    };
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let leading = digits.trim_start_matches('0');
    let significant = leading.trim_end_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0));
    }
    let zeros = i64::try_from(leading.len() - significant.len()).ok()?;
    let exponent = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(zeros)?;
    Some((mantissa.starts_with('-'), significant.to_owned(), exponent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(one: Value, other: Value) -> bool {
        Scalar::read(&one)
            .unwrap()
            .is(&Scalar::read(&other).unwrap())
    }

    #[test]
    fn a_value_is_the_same_however_it_is_written() {
        for (one, other) in [
            (json!("a"), json!("a")),
            (json!("a"), json!({"S": "a"})),
            (json!("YQ=="), json!({"B": "YQ=="})),
            (json!(7), json!({"N": "7"})),
            (json!(7), json!({"N": 7})),
            (json!(7), json!("7")),
            (json!(7), json!({"N": "7.00"})),
            (json!(700), json!({"N": "7e2"})),
            (json!(0.07), json!({"N": "7E-2"})),
            (json!(-7), json!({"N": "-07"})),
            (json!(0), json!({"N": "-0.0"})),
            (
                json!({"N": "12345678901234567890123456789012345678"}),
                json!("12345678901234567890123456789012345678"),
            ),
        ] {
            assert!(same(one.clone(), other.clone()), "{one} {other}");
            assert!(same(other.clone(), one.clone()), "{other} {one}");
        }
    }

    #[test]
    fn another_value_is_another() {
        for (one, other) in [
            (json!("a"), json!("A")),
            (json!("a"), json!("a ")),
            (json!("07"), json!("7")),
            (json!(7), json!(-7)),
            (json!(7), json!(70)),
            (json!(7), json!("7 ")),
            (
                json!({"N": "12345678901234567890123456789012345678"}),
                json!({"N": "12345678901234567890123456789012345679"}),
            ),
        ] {
            assert!(!same(one.clone(), other.clone()), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_value_of_a_key_is_none() {
        for value in [
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!({"S": 7}),
            json!({"N": "seven"}),
            json!({"N": "1e99999999999999999999"}),
            json!({"L": []}),
            json!({"S": "a", "N": "7"}),
            json!({"S": {"S": "a"}}),
            json!("***(Redacted)"),
            json!({"S": "***(Redacted)"}),
            json!("HIDDEN_DUE_TO_SECURITY_REASONS"),
        ] {
            assert!(Scalar::read(&value).is_none(), "{value}");
        }
    }
}
