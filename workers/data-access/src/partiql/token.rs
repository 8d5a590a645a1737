//! What a statement is made of.

use serde_json::Value;

use crate::scalar::Scalar;

#[derive(Clone)]
pub(super) enum Token {
    /// A keyword, a name or a number, as it stands there.
    Word(String),
    /// A name in double quotes.
    Name(String),
    /// A text in single quotes, or the value of a parameter.
    Value(Scalar),
    /// A value that the record does not hold.
    Unknown,
    /// Anything else.
    Mark(&'static str),
}

/// The longest first.
const MARKS: [&str; 21] = [
    "<>", "<=", ">=", "!=", "<<", ">>", "=", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", ":",
    "*", "/", "|",
];

/// The tokens of a statement. None when a quote is left open or a character has no meaning.
pub(super) fn tokens(text: &str, parameters: &Value) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut parameters = parameters.as_array().into_iter().flatten();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let token;
        (token, rest) = match first {
            '\'' => {
                quoted(rest, '\'').map(|(text, rest)| (Token::Value(Scalar::text(text)), rest))?
            }
            '"' => quoted(rest, '"').map(|(name, rest)| (Token::Name(name), rest))?,
            '?' => {
                let value = parameters.next().and_then(Scalar::read);
                (value.map_or(Token::Unknown, Token::Value), &rest[1..])
            }
            '*' if rest.starts_with("***") => {
                let rest = rest.trim_start_matches('*');
                (
                    Token::Unknown,
                    rest.strip_prefix("(Redacted)").unwrap_or(rest),
                )
            }
            first if is_of_word(first) => word(rest),
            _ => mark(rest)?,
        };
        tokens.push(token);
        rest = rest.trim_start();
    }
    Some(tokens)
}

/// What stands between two quotes, of which two in a row are one.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut rest = &text[1..];
    loop {
        let (part, after) = rest.split_once(quote)?;
        inside.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                inside.push(quote);
                rest = more;
            }
            None => return Some((inside, after)),
        }
    }
}

/// CloudTrail leaves quotes out, so that a name may have dashes. A number may have a dot and a sign.
fn word(text: &str) -> (Token, &str) {
    let is_number = text
        .trim_start_matches('-')
        .starts_with(|first: char| first.is_ascii_digit());
    let is_inside = |c: char| is_of_word(c) || is_number && (c == '.' || c == '+');
    let end = text.find(|c| !is_inside(c)).unwrap_or(text.len());
    (Token::Word(text[..end].to_owned()), &text[end..])
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || "_-#$".contains(c)
}

fn mark(text: &str) -> Option<(Token, &str)> {
    let mut marks = MARKS.iter();
    marks.find_map(|mark| Some((Token::Mark(mark), text.strip_prefix(mark)?)))
}

impl Token {
    pub(super) fn is(&self, mark: &str) -> bool {
        matches!(self, Self::Mark(own) if *own == mark)
    }

    pub(super) fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn one_of<T: Copy>(&self, keywords: &[(&str, T)]) -> Option<T> {
        let mut keywords = keywords.iter();
        keywords.find_map(|(keyword, meant)| self.is_word(keyword).then_some(*meant))
    }

    /// The name of a table, an index or an attribute.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    pub(super) fn opens(&self) -> bool {
        ["(", "[", "{", "<<"].iter().any(|mark| self.is(mark))
    }

    pub(super) fn closes(&self) -> bool {
        [")", "]", "}", ">>"].iter().any(|mark| self.is(mark))
    }
}
