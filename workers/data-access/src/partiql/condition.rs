//! The conditions of statements.

use super::token::Token;
use crate::{condition::Condition, scalar::Scalar};

/// How deep a condition is followed.
const DEEPEST: usize = 64;

/// Comparisons of which the outcome is unknown unless they are for equality.
const COMPARISONS: [&str; 7] = ["=", "<>", "!=", "<", "<=", ">", ">="];

/// Words that are values.
const VALUES: [&str; 4] = ["NULL", "TRUE", "FALSE", "MISSING"];

/// Words that are no operand.
const KEYWORDS: [&str; 6] = ["AND", "OR", "NOT", "IN", "BETWEEN", "IS"];

/// What follows a `WHERE`.
pub(super) fn condition(tokens: &[Token]) -> Condition {
    let mut parser = Parser { rest: tokens };
    let condition = parser.any(0).filter(|_| parser.rest.is_empty());
    condition.unwrap_or(Condition::Unknown)
}

/// What follows a `VALUE`: the item that is written.
pub(super) fn tuple(tokens: &[Token]) -> Condition {
    let mut parser = Parser { rest: tokens };
    match parser.tuple() {
        Some(item) if parser.rest.is_empty() && !item.is_empty() => Condition::All(item),
        _ => Condition::Unknown,
    }
}

enum Operand {
    Attribute(String),
    Value(Scalar),
    Unknown,
}

struct Parser<'a> {
    rest: &'a [Token],
}

/// Every function leaves out what it has parsed; none means that it cannot.
impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take(&mut self, is: impl Fn(&Token) -> bool) -> bool {
        let takes = self.rest.first().is_some_and(is);
        if takes {
            self.rest = &self.rest[1..];
        }
        takes
    }

    fn takes(&mut self, mark: &str) -> bool {
        self.take(|token| token.is(mark))
    }

    fn takes_word(&mut self, keyword: &str) -> bool {
        self.take(|token| token.is_word(keyword))
    }

    fn any(&mut self, depth: usize) -> Option<Condition> {
        let mut parts = vec![self.all(depth)?];
        while self.takes_word("OR") {
            parts.push(self.all(depth)?);
        }
        Some(Condition::Any(parts))
    }

    fn all(&mut self, depth: usize) -> Option<Condition> {
        let mut parts = vec![self.one(depth)?];
        while self.takes_word("AND") {
            parts.push(self.one(depth)?);
        }
        Some(Condition::All(parts))
    }

    fn one(&mut self, depth: usize) -> Option<Condition> {
        if depth > DEEPEST {
            return None;
        }
        if self.takes_word("NOT") {
            return Some(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        let operand = if self.takes("(") {
            let inside = self.any(depth + 1)?;
            if !self.takes(")") {
                return None;
            }
            if !self.is_compared() {
                return Some(inside);
            }
            Operand::Unknown
        } else {
            self.operand()?
        };
        self.comparison(operand)
    }

    fn is_compared(&self) -> bool {
        self.rest.first().is_some_and(|token| {
            COMPARISONS.iter().any(|mark| token.is(mark))
                || ["NOT", "IN", "BETWEEN", "IS"]
                    .iter()
                    .any(|word| token.is_word(word))
        })
    }

    /// What follows an operand; a function alone may be a condition.
    fn comparison(&mut self, left: Operand) -> Option<Condition> {
        if self.takes("=") {
            return Some(equal(left, self.operand()?));
        }
        if self.takes("<>") || self.takes("!=") {
            let equal = equal(left, self.operand()?);
            return Some(Condition::Not(Box::new(equal)));
        }
        if self.take(|token| COMPARISONS.iter().any(|mark| token.is(mark))) {
            self.operand()?;
            return Some(Condition::Unknown);
        }
        if self.takes_word("IS") {
            self.takes_word("NOT");
            self.next()?;
            return Some(Condition::Unknown);
        }
        let is_negated = self.takes_word("NOT");
        let found = if self.takes_word("IN") {
            self.list(&left)?
        } else if self.takes_word("BETWEEN") {
            self.operand()?;
            self.takes_word("AND").then_some(())?;
            self.operand()?;
            Condition::Unknown
        } else if is_negated {
            return None;
        } else {
            Condition::Unknown
        };
        Some(if is_negated {
            Condition::Not(Box::new(found))
        } else {
            found
        })
    }

    fn list(&mut self, left: &Operand) -> Option<Condition> {
        if !self.takes("[") && !self.takes("(") {
            return None;
        }
        let mut alternatives = Vec::new();
        loop {
            let value = self.operand()?;
            alternatives.push(match (left, value) {
                (Operand::Attribute(name), Operand::Value(value)) => {
                    Condition::Is(name.clone(), value)
                }
                _ => Condition::Unknown,
            });
            if self.takes("]") || self.takes(")") {
                return Some(Condition::Any(alternatives));
            }
            self.takes(",").then_some(())?;
        }
    }

    fn operand(&mut self) -> Option<Operand> {
        if self.rest.first()?.opens() {
            self.skip_brackets()?;
            return Some(Operand::Unknown);
        }
        let name = match self.next()? {
            Token::Value(value) => return Some(Operand::Value(value.clone())),
            Token::Unknown => return Some(Operand::Unknown),
            Token::Mark(_) => return None,
            Token::Name(name) => name,
            Token::Word(word) => {
                if let Some(number) = Scalar::number(word) {
                    return Some(Operand::Value(number));
                }
                let is_in = |words: &[&str]| words.iter().any(|one| word.eq_ignore_ascii_case(one));
                if is_in(&VALUES) {
                    return Some(Operand::Unknown);
                }
                if is_in(&KEYWORDS) {
                    return None;
                }
                word
            }
        };
        let mut is_attribute = true;
        loop {
            if self.takes(".") {
                self.next()?.name()?;
            } else if self
                .rest
                .first()
                .is_some_and(|token| token.is("[") || token.is("("))
            {
                self.skip_brackets()?;
            } else if is_attribute {
                return Some(Operand::Attribute(name.clone()));
            } else {
                return Some(Operand::Unknown);
            }
            is_attribute = false;
        }
    }

    /// Skips what is in brackets.
    fn skip_brackets(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let token = self.next()?;
            if token.opens() {
                depth += 1;
            } else if token.closes() {
                depth = depth.checked_sub(1)?;
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn tuple(&mut self) -> Option<Vec<Condition>> {
        self.takes("{").then_some(())?;
        let mut attributes = Vec::new();
        while !self.takes("}") {
            let name = match self.next()? {
                Token::Value(name) => name.as_text().to_owned(),
                name => name.name()?,
            };
            self.takes(":").then_some(())?;
            attributes.push(equal(Operand::Attribute(name), self.operand()?));
            if !self.takes(",") && !self.rest.first()?.is("}") {
                return None;
            }
        }
        Some(attributes)
    }
}

fn equal(left: Operand, right: Operand) -> Condition {
    match (left, right) {
        (Operand::Attribute(name), Operand::Value(value))
        | (Operand::Value(value), Operand::Attribute(name)) => Condition::Is(name, value),
        _ => Condition::Unknown,
    }
}
