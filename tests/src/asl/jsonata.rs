//! As much `JSONata` as it takes to see what an expression reads and whether it yields a boolean.
//!
//! Expressions are cut into tokens, not parsed: whatever the tokens leave in doubt counts as "not
//! proven", never as "fine".

use std::collections::BTreeSet;

/// The functions of `JSONata`, and those that Step Functions adds; `$eval` is not among them.
const FUNCTIONS: &str = "\
    abs append assert average base64decode base64encode boolean ceil clone contains count \
    decodeUrl decodeUrlComponent distinct each encodeUrl encodeUrlComponent error exists \
    filter floor formatBase formatInteger formatNumber fromMillis hash join keys length lookup \
    lowercase map match max merge millis min not now number pad parse parseInteger partition \
    power random range reduce replace reverse round shuffle sift single sort split spread sqrt \
    string substring substringAfter substringBefore sum toMillis trim type uppercase uuid \
    zip";

/// Names that `$` has a meaning for already: functions, `$eval`, and the `$states` of Step Functions.
const RESERVED: [&str; 2] = ["eval", "states"];

/// Functions whose value is a boolean.
const PREDICATES: [&str; 4] = ["boolean", "contains", "exists", "not"];

/// Operators whose value is a boolean.
const BOOLEAN: [&str; 9] = ["=", "!=", "<", "<=", ">", ">=", "in", "and", "or"];

/// Longest first.
const SYMBOLS: [&str; 35] = [
    ":=", "!=", "<=", ">=", "~>", "..", "**", "?:", "??", ".", "[", "]", "{", "}", "(", ")", ",",
    "@", "#", ";", ":", "?", "+", "-", "*", "/", "%", "|", "=", "<", ">", "^", "&", "~", "!",
];

/// An expression cut into tokens, its brackets matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression<'a> {
    tokens: Vec<Token<'a>>,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// A text, a name, a pattern or a comment goes on to the end.
    #[error("has no end to what starts at `{0}`")]
    Open(String),
    /// A bracket without its counterpart.
    #[error("has brackets that do not match")]
    Brackets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// Without its first `$`.
    Variable(&'a str),
    /// A field, a keyword, or `*` and `%` in a field's place.
    Name(&'a str),
    /// As written between the quotes.
    Text(&'a str),
    Number(&'a str),
    Pattern,
    Symbol(&'a str),
}

/// Whether a variable of this name would hide what `JSONata` or Step Functions means by it.
#[must_use]
pub fn is_taken(name: &str) -> bool {
    RESERVED.contains(&name) || is_built_in(name)
}

fn is_built_in(name: &str) -> bool {
    FUNCTIONS.split(' ').any(|function| function == name)
}

impl<'a> Expression<'a> {
    /// Cuts `source`, which is what stands between `{%` and `%}`.
    ///
    /// # Errors
    /// When something is left open.
    pub fn read(source: &'a str) -> Result<Self, Unreadable> {
        let mut tokens = Vec::new();
        let mut rest = source.trim_start();
        while !rest.is_empty() {
            let after_operand = tokens.last().is_some_and(Token::ends_operand);
            if let Some(comment) = rest.strip_prefix("/*") {
                rest = comment.split_once("*/").ok_or_else(|| open(rest))?.1;
            } else {
                let (token, length) = next(rest, after_operand)?;
                tokens.push(token);
                rest = &rest[length..];
            }
            rest = rest.trim_start();
        }
        if tokens.is_empty() {
            return Err(Unreadable::Empty);
        }
        matched(&tokens)?;
        Ok(Self { tokens })
    }

    /// Whether the value is certainly a boolean: a comparison, `and`, `or`, a call of `$boolean`,
    /// `$contains`, `$exists` or `$not`, or a literal.
    #[must_use]
    pub fn is_boolean(&self) -> bool {
        is_boolean(&self.tokens)
    }

    /// The variables it reads that are neither bound inside it nor functions, `$states` left out.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<&'a str> {
        let mut reads = BTreeSet::new();
        let mut scopes: Vec<Vec<&str>> = vec![Vec::new()];
        let mut parameters = Vec::new();
        let mut of_function = false;
        for (n, token) in self.tokens.iter().enumerate() {
            let before = n.checked_sub(1).and_then(|n| self.tokens.get(n));
            match *token {
                Token::Symbol("(") if before.is_some_and(Token::is_function) => of_function = true,
                Token::Symbol(")") if of_function => of_function = false,
                Token::Symbol("{") => scopes.push(std::mem::take(&mut parameters)),
                Token::Symbol("(" | "[") => scopes.push(Vec::new()),
                Token::Symbol(")" | "]" | "}") => {
                    scopes.pop();
                }
                Token::Variable(name) if of_function => parameters.push(name),
                Token::Variable(name) => {
                    let binds = self.tokens.get(n + 1) == Some(&Token::Symbol(":="))
                        || matches!(before, Some(Token::Symbol("@" | "#")));
                    if binds && let Some(scope) = scopes.last_mut() {
                        scope.push(name);
                    } else if !matches!(name, "" | "$" | "states")
                        && !is_built_in(name)
                        && !scopes.iter().flatten().any(|bound| *bound == name)
                    {
                        reads.insert(name);
                    }
                }
                _ => {}
            }
        }
        reads
    }

    /// The paths that start at a variable: `$states.input.id` is `["input", "id"]` of `states`. An
    /// index, a filter or a call ends a path with `[]`: what it takes is a part.
    #[must_use]
    pub fn paths(&self, variable: &str) -> Vec<Vec<&'a str>> {
        let starts = self.tokens.iter().enumerate();
        starts
            .filter(|(_, token)| **token == Token::Variable(variable))
            .map(|(n, _)| {
                let mut path = Vec::new();
                let mut rest = &self.tokens[n + 1..];
                while let [Token::Symbol("."), Token::Name(name), after @ ..] = rest {
                    path.push(*name);
                    rest = after;
                }
                if matches!(rest, [Token::Symbol("[" | "."), ..]) {
                    path.push("[]");
                }
                path
            })
            .collect()
    }

    /// Whether `word` occurs as a field or as a text, however it is spelt.
    #[must_use]
    pub fn mentions(&self, word: &str) -> bool {
        let spelt = [Token::Name(word), Token::Text(word)];
        self.tokens.iter().any(|token| spelt.contains(token))
    }
}

impl Token<'_> {
    fn ends_operand(&self) -> bool {
        match self {
            Self::Symbol(symbol) => matches!(*symbol, ")" | "]" | "}"),
            _ => true,
        }
    }

    fn is_function(&self) -> bool {
        matches!(self, Self::Name("function" | "λ"))
    }
}

/// The token that `rest` starts with, and its length in bytes.
fn next(rest: &str, after_operand: bool) -> Result<(Token<'_>, usize), Unreadable> {
    let first = rest.chars().next().ok_or(Unreadable::Empty)?;
    match first {
        '"' | '\'' => quoted(rest, first).map(|(text, length)| (Token::Text(text), length)),
        '`' => quoted(rest, first).map(|(name, length)| (Token::Name(name), length)),
        '/' if !after_operand => {
            let (_, length) = quoted(rest, '/')?;
            let flags = rest[length..].bytes().take_while(u8::is_ascii_lowercase);
            Ok((Token::Pattern, length + flags.count()))
        }
        '$' => {
            let name = word(&rest[1..]);
            // `$$` is the whole input of an expression.
            let name = if name.is_empty() && rest[1..].starts_with('$') {
                &rest[1..2]
            } else {
                name
            };
            Ok((Token::Variable(name), 1 + name.len()))
        }
        '0'..='9' => {
            let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
            let mut length = digits(rest);
            let fraction = rest[length..].strip_prefix('.').map_or(0, digits);
            if fraction > 0 {
                length += 1 + fraction;
            }
            Ok((Token::Number(&rest[..length]), length))
        }
        _ => {
            if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
                let token = if matches!(symbol, "*" | "**" | "%") && !after_operand {
                    Token::Name(symbol)
                } else {
                    Token::Symbol(symbol)
                };
                return Ok((token, symbol.len()));
            }
            let name = word(rest);
            let token = if after_operand && matches!(name, "and" | "or" | "in") {
                Token::Symbol(name)
            } else {
                Token::Name(name)
            };
            Ok((token, name.len()))
        }
    }
}

/// What stands between `quote` and the next one that is not escaped, and the length of it all.
fn quoted(rest: &str, quote: char) -> Result<(&str, usize), Unreadable> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return Ok((&rest[1..at], at + 1)),
            _ => {}
        }
    }
    Err(open(rest))
}

fn word(rest: &str) -> &str {
    let end = rest.find(|c: char| {
        c.is_whitespace() || "\"'`$".contains(c) || SYMBOLS.iter().any(|s| s.starts_with(c))
    });
    &rest[..end.unwrap_or(rest.len())]
}

fn open(rest: &str) -> Unreadable {
    Unreadable::Open(rest.chars().take(12).collect())
}

fn matched(tokens: &[Token<'_>]) -> Result<(), Unreadable> {
    let mut expected = Vec::new();
    for token in tokens {
        match token {
            Token::Symbol("(") => expected.push(")"),
            Token::Symbol("[") => expected.push("]"),
            Token::Symbol("{") => expected.push("}"),
            Token::Symbol(symbol @ (")" | "]" | "}")) if expected.pop() != Some(*symbol) => {
                return Err(Unreadable::Brackets);
            }
            _ => {}
        }
    }
    if expected.is_empty() {
        Ok(())
    } else {
        Err(Unreadable::Brackets)
    }
}

fn is_boolean(tokens: &[Token<'_>]) -> bool {
    if let Some(inner) = in_parentheses(tokens) {
        return is_boolean(last_of_block(inner));
    }
    if let [Token::Name("true" | "false")] = tokens {
        return true;
    }
    if let [Token::Variable(function), call @ ..] = tokens
        && PREDICATES.contains(function)
        && let Some(arguments) = in_parentheses(call)
    {
        // With a placeholder it is no call: its value is a function.
        return !outermost(arguments).any(|token| *token == Token::Symbol("?"));
    }
    let decides = |token: &Token<'_>| matches!(token, Token::Symbol(s) if BOOLEAN.contains(s));
    // Each of these binds less tightly than a comparison, as tightly, or makes a function.
    let doubtful = |token: &Token<'_>| {
        token.is_function()
            || matches!(
                token,
                Token::Symbol(":=" | "?" | "?:" | "??" | ":" | ";" | "," | "~>" | "^" | "|" | "!")
            )
    };
    outermost(tokens).any(decides) && !outermost(tokens).any(doubtful)
}

/// What is between the parentheses, when one pair encloses everything.
fn in_parentheses<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let [Token::Symbol("("), inner @ .., Token::Symbol(")")] = tokens else {
        return None;
    };
    matched(inner).is_ok().then_some(inner)
}

/// A block's value is that of its last expression.
fn last_of_block<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 0_usize;
    let mut start = 0;
    for (n, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol("(" | "[" | "{") => depth += 1,
            Token::Symbol(")" | "]" | "}") => depth = depth.saturating_sub(1),
            Token::Symbol(";") if depth == 0 && n + 1 < tokens.len() => start = n + 1,
            _ => {}
        }
    }
    let last = &tokens[start..];
    last.strip_suffix(&[Token::Symbol(";")]).unwrap_or(last)
}

/// The tokens that stand in no brackets.
fn outermost<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t Token<'a>> {
    let mut depth = 0_usize;
    tokens.iter().filter(move |token| match token {
        Token::Symbol("(" | "[" | "{") => {
            depth += 1;
            false
        }
        Token::Symbol(")" | "]" | "}") => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Expression<'_> {
        Expression::read(source).unwrap_or_else(|error| panic!("{source} {error}"))
    }

    #[test]
    fn comparisons_conjunctions_and_predicates_are_boolean() {
        for source in [
            "$x.holds = true",
            "$verification.holds = false and $round < 3",
            "$round <= 3 or $x",
            "$a & 'b' != $c",
            "$a + 1 > $b",
            "'eve' in $names",
            "$exists($states.input.actor)",
            "$not($x)",
            "$boolean($x[0])",
            "$contains($x, /a=b/)",
            "($exists($x))",
            "( $y := $x.a; $y = 1 )",
            "( $y := $x.a; $y = 1; )",
            "$count($filter($xs, function($v) { $v.ok })) = 0",
            "true",
            "false",
            "'a' = 'b' /* why */",
            "$x.`in` = 1",
            "$x.and = 1",
        ] {
            assert!(read(source).is_boolean(), "{source}");
        }
    }

    #[test]
    fn whatever_is_in_doubt_is_not_boolean() {
        for source in [
            "$verification.holds",
            "holds",
            "$x",
            "$x.in",
            "$x.and",
            "'a = b'",
            "$x ? true : false",
            "$x = 1 ? 'yes' : 'no'",
            "$not",
            "$not($x) & 'text'",
            "$exists(?)",
            "$string($x = 1)",
            "[$x = 1]",
            "{'a': $x = 1}",
            "$xs[ok = true]",
            "function($v) { $v = 1 }",
            "function($v)<b:b> { $v }",
            "$x := $y = 1",
            "( $y = 1; $x )",
            "$x = 1 ~> $string",
            "$xs^(<age)",
            "$x ?: $y = 1",
            "`a = b`",
            "1",
            "$contains",
            "($a) = ($b) ? 1 : 2",
        ] {
            assert!(!read(source).is_boolean(), "{source}");
        }
    }

    #[test]
    fn variables_are_what_is_read_and_not_bound() {
        for (source, variables) in [
            (
                "$append($steps, {'step': 'a', 'x': $states.input})",
                "steps",
            ),
            ("$map($xs, function($v, $i) { $v + $i + $y })", "xs y"),
            ("$map($xs, λ($v) { $v }) ~> $append($v)", "v xs"),
            ("( $x := $a; $x + $b )", "a b"),
            ("[( $x := 1; $x ), $x]", "x"),
            ("$xs@$x.ys#$i[$i = $x.n]", "xs"),
            ("$map($xs, $string)", "xs"),
            ("$ + $$.a", ""),
            ("'$no' & \"$no\" & `$no` /* $no */ & $yes", "yes"),
            ("$contains($a, /$no/i)", "a"),
            ("$a / $b / $c", "a b c"),
            ("$eval($a)", "a eval"),
            ("'it\\'s $no' & $a", "a"),
        ] {
            let read = read(source);
            let found: Vec<_> = read.variables().into_iter().collect();
            assert_eq!(found.join(" "), variables, "{source}");
        }
    }

    #[test]
    fn paths_show_what_is_taken_whole() {
        for (source, paths) in [
            ("$states.input", vec!["input"]),
            (
                "$states.input.id & $states.input[0]",
                vec!["input.id", "input.[]"],
            ),
            (
                "$states.context.Execution.Input",
                vec!["context.Execution.Input"],
            ),
            ("$states.`input`", vec!["input"]),
            ("$states.input.*", vec!["input.*"]),
            ("$states", vec![""]),
            ("$states.input.$string()", vec!["input.[]"]),
        ] {
            let found: Vec<_> = read(source)
                .paths("states")
                .iter()
                .map(|p| p.join("."))
                .collect();
            assert_eq!(found, paths, "{source}");
        }
    }

    #[test]
    fn a_word_is_found_however_it_is_spelt() {
        for source in [
            "$x.detail",
            "$x.`detail`.y",
            "$lookup($x, 'detail')",
            "$x.\"detail\"",
        ] {
            assert!(read(source).mentions("detail"), "{source}");
        }
        for source in ["$detail", "$x.details", "'in detail'"] {
            assert!(!read(source).mentions("detail"), "{source}");
        }
    }

    #[test]
    fn what_is_left_open_is_refused() {
        for (source, error) in [
            ("", "is empty"),
            (" /* only */ ", "is empty"),
            ("$f('a)", "has no end to what starts at `'a)`"),
            ("$a /* b", "has no end to what starts at `/* b`"),
            ("$f($a", "has brackets that do not match"),
            ("[$a)", "has brackets that do not match"),
            ("$a]", "has brackets that do not match"),
        ] {
            assert_eq!(Expression::read(source).unwrap_err().to_string(), error);
        }
    }
}
