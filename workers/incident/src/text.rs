//! Text of bounded length, so that an incident always fits where it must travel.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

const MARK: &str = "… [cut]";

/// `text`, no longer than `longest` characters; what was cut off is marked.
#[must_use]
pub fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}{MARK}", &text[..end]),
        None => text.to_owned(),
    }
}

/// Text of at most `LONGEST` characters and no control characters. What we read from an event is
/// cut with a mark; what somebody hands to us is refused when it is longer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const LONGEST: usize>(String);

impl<const LONGEST: usize> Text<LONGEST> {
    /// `text`, cut with a mark when it is longer; control characters become spaces.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let text = text.replace(char::is_control, " ");
        if text.chars().count() <= LONGEST {
            return Self(text);
        }
        Self(cut(&text, LONGEST.saturating_sub(MARK.chars().count())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const LONGEST: usize> fmt::Display for Text<LONGEST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de, const LONGEST: usize> Deserialize<'de> for Text<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.chars().count() > LONGEST {
            return Err(D::Error::custom(format!(
                "longer than {LONGEST} characters"
            )));
        }
        if text.contains(char::is_control) {
            return Err(D::Error::custom("holds control characters"));
        }
        Ok(Self(text))
    }
}

impl<const LONGEST: usize> JsonSchema for Text<LONGEST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Text{LONGEST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": LONGEST})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_cut_and_marked() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("éééé", 2), "éé… [cut]");
        assert_eq!(Text::<10>::cut("0123456789").as_str(), "0123456789");
        assert_eq!(Text::<10>::cut("0123456789a").as_str(), "012… [cut]");
        assert_eq!(Text::<10>::cut("a\nb").as_str(), "a b");
    }

    #[test]
    fn what_is_handed_to_us_is_refused_when_it_is_longer() {
        let read = |text: &str| serde_json::from_value::<Text<3>>(text.into());
        assert_eq!(read("ééé").unwrap().as_str(), "ééé");
        assert!(
            read("abcd")
                .unwrap_err()
                .to_string()
                .contains("longer than 3")
        );
        assert!(read("a\u{1b}").unwrap_err().to_string().contains("control"));
    }
}
