//! EventBridge's event patterns: which events a rule takes.
//!
//! Follows [the operators](https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html)
//! and, where that page is silent, [Event Ruler](https://github.com/aws/event-ruler), the matcher that
//! AWS published: an event is the list of its leaves, each at its path, so an operator sees one plain
//! value and never an object or a list; fields of one object match within one element of a list.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde_json::{Map, Value};

/// How far from zero a number may be compared; numbers beyond are only equal or not.
const LARGEST: f64 = 5e9;
/// How many branches `$or` may make of one pattern.
const MOST_BRANCHES: usize = 1000;
/// Inside `$or` these name no field, since a list of operators was probably meant.
const OPERATORS: [&str; 8] = [
    "anything-but",
    "cidr",
    "equals-ignore-case",
    "exists",
    "numeric",
    "prefix",
    "suffix",
    "wildcard",
];

/// Whether `pattern` takes `event`.
///
/// # Errors
/// When the pattern is none, or has an operator that is not known.
pub fn matches(pattern: &Value, event: &Value) -> Result<bool, BadPattern> {
    Ok(Pattern::read(pattern)?.takes(event))
}

/// A pattern, read once for many events.
#[derive(Debug, Clone)]
pub struct Pattern(Vec<Branch>);

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern's `{path}` {why}")]
pub struct BadPattern {
    path: String,
    why: String,
}

/// One way to fulfil a pattern: what each field must be.
type Branch = BTreeMap<String, Vec<Test>>;

/// What a field may be.
#[derive(Debug, Clone)]
enum Test {
    Is(Value),
    /// Any of these would do for `anything-but` to refuse.
    AnythingBut(Vec<Self>),
    Text(Text),
    Numeric(Vec<(Comparison, f64)>),
    Cidr(IpNet),
    Exists(bool),
}

#[derive(Debug, Clone)]
enum Text {
    Prefix(String),
    Suffix(String),
    /// In lower case, as are the next two.
    Equals(String),
    PrefixInAnyCase(String),
    SuffixInAnyCase(String),
    /// What is between the asterisks.
    Wildcard(Vec<String>),
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Names the field that EventBridge would refuse.
    pub fn read(pattern: &Value) -> Result<Self, BadPattern> {
        let object = pattern.as_object().ok_or_else(|| bad("", "is no object"))?;
        branches(object, "", false).map(Self)
    }

    /// Whether a rule with this pattern takes `event`.
    #[must_use]
    pub fn takes(&self, event: &Value) -> bool {
        let mut leaves = Leaves::default();
        leaves.collect(event, "", &[]);
        event.is_object()
            && self.0.iter().any(|branch| {
                let fields: Vec<_> = branch.iter().collect();
                hold(&fields, &leaves, &[])
            })
    }
}

/// An event's plain values by path.
#[derive(Default)]
struct Leaves<'a> {
    by_path: BTreeMap<String, Vec<(&'a Value, Vec<Place>)>>,
    lists: usize,
}

/// A list of the event, and which of its elements.
type Place = (usize, usize);

impl<'a> Leaves<'a> {
    fn collect(&mut self, value: &'a Value, path: &str, places: &[Place]) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    self.collect(value, &join(path, name), places);
                }
            }
            Value::Array(values) => {
                let list = self.lists;
                self.lists += 1;
                for (index, value) in values.iter().enumerate() {
                    // Plain values of one list are alternatives, which any two fields may share.
                    if value.is_object() || value.is_array() {
                        self.collect(value, path, &[places, &[(list, index)]].concat());
                    } else {
                        self.collect(value, path, places);
                    }
                }
            }
            leaf => {
                let leaves = self.by_path.entry(path.to_owned()).or_default();
                leaves.push((leaf, places.to_owned()));
            }
        }
    }
}

/// Whether every field holds, none of them in another element of a list than the others.
fn hold(fields: &[(&String, &Vec<Test>)], event: &Leaves<'_>, places: &[Place]) -> bool {
    let Some(((path, tests), rest)) = fields.split_first() else {
        return true;
    };
    let Some(leaves) = event.by_path.get(*path) else {
        return tests.iter().any(|test| matches!(test, Test::Exists(false)))
            && hold(rest, event, places);
    };
    leaves.iter().any(|(leaf, at)| {
        let agrees = |(list, element): &Place| {
            let mut places = places.iter();
            places.all(|(other, index)| other != list || index == element)
        };
        at.iter().all(agrees)
            && tests.iter().any(|test| test.takes(leaf))
            && hold(rest, event, &[places, at].concat())
    })
}

impl Test {
    fn takes(&self, leaf: &Value) -> bool {
        match self {
            Self::Is(wanted) => equal(wanted, leaf),
            Self::AnythingBut(unwanted) => !unwanted.iter().any(|test| test.takes(leaf)),
            Self::Text(text) => leaf.as_str().is_some_and(|leaf| text.takes(leaf)),
            Self::Numeric(bounds) => leaf
                .as_f64()
                .filter(|number| number.abs() <= LARGEST)
                .is_some_and(|number| bounds.iter().all(|(is, bound)| is.holds(number, *bound))),
            Self::Cidr(network) => address(leaf).is_some_and(|leaf| network.contains(&leaf)),
            Self::Exists(wanted) => *wanted,
        }
    }
}

/// Equal, however a number or an address is written.
fn equal(wanted: &Value, leaf: &Value) -> bool {
    let same_number = || Some(wanted.as_f64()?.total_cmp(&leaf.as_f64()?).is_eq());
    let same_address = || Some(address(wanted)? == address(leaf)?);
    wanted == leaf || same_number().or_else(same_address).is_some_and(|same| same)
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

impl Text {
    fn takes(&self, text: &str) -> bool {
        let lower = || text.to_lowercase();
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::Equals(whole) => lower() == *whole,
            Self::PrefixInAnyCase(prefix) => lower().starts_with(prefix),
            Self::SuffixInAnyCase(suffix) => lower().ends_with(suffix),
            Self::Wildcard(pieces) => is_wild(text, pieces),
        }
    }
}

/// Whether `text` is the pieces in their order, with anything between them.
fn is_wild(text: &str, pieces: &[String]) -> bool {
    let [first, between @ .., last] = pieces else {
        return pieces.iter().all(|whole| whole == text);
    };
    let Some(mut rest) = text
        .strip_prefix(first.as_str())
        .and_then(|rest| rest.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for piece in between {
        match rest.split_once(piece.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

impl Comparison {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, number: f64, bound: f64) -> bool {
        let order = number.total_cmp(&bound);
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Multiplies `$or` out, as the service does.
fn branches(
    pattern: &Map<String, Value>,
    path: &str,
    inside_or: bool,
) -> Result<Vec<Branch>, BadPattern> {
    if pattern.is_empty() {
        return Err(bad(path, "is an empty object"));
    }
    let mut product = vec![Branch::new()];
    for (name, value) in pattern {
        let here = join(path, name);
        let factors = match value {
            Value::Array(alternatives) if name == "$or" => either(alternatives, path, &here)?,
            _ if name == "$or" => return Err(bad(&here, "is no list")),
            _ if inside_or && OPERATORS.contains(&name.as_str()) => {
                return Err(bad(&here, "is an operator where `$or` wants a field"));
            }
            Value::Object(object) => branches(object, &here, inside_or)?,
            Value::Array(tests) => {
                vec![Branch::from([(here.clone(), alternatives(tests, &here)?)])]
            }
            _ => return Err(bad(&here, "is neither an object nor a list")),
        };
        product = times(&product, &factors)?;
    }
    Ok(product)
}

fn either(alternatives: &[Value], path: &str, here: &str) -> Result<Vec<Branch>, BadPattern> {
    if alternatives.len() < 2 {
        return Err(bad(here, "has fewer than two alternatives"));
    }
    let mut all = Vec::new();
    for alternative in alternatives {
        let object = alternative.as_object();
        let object = object.ok_or_else(|| bad(here, "has an alternative that is no object"))?;
        all.extend(branches(object, path, true)?);
    }
    Ok(all)
}

fn times(some: &[Branch], others: &[Branch]) -> Result<Vec<Branch>, BadPattern> {
    if some.len() * others.len() > MOST_BRANCHES {
        return Err(bad("$or", "has more than 1,000 combinations"));
    }
    let mut product = Vec::with_capacity(some.len() * others.len());
    for one in some {
        for other in others {
            if let Some(twice) = other.keys().find(|path| one.contains_key(*path)) {
                return Err(bad(
                    twice,
                    "is named twice, and only one of them would count",
                ));
            }
            let both = one.iter().chain(other);
            product.push(
                both.map(|(path, tests)| (path.clone(), tests.clone()))
                    .collect(),
            );
        }
    }
    Ok(product)
}

fn alternatives(values: &[Value], path: &str) -> Result<Vec<Test>, BadPattern> {
    if values.is_empty() {
        return Err(bad(path, "is an empty list"));
    }
    values.iter().map(|value| test(value, path)).collect()
}

fn test(value: &Value, path: &str) -> Result<Test, BadPattern> {
    let object = match value {
        Value::Object(object) => object,
        Value::Array(_) => return Err(bad(path, "has a list within its list")),
        plain => return Ok(Test::Is(plain.clone())),
    };
    let (operator, operand) = only(object, path)?;
    let wrong = |expected| wrong(path, operator, expected);
    Ok(match operator {
        "exists" => Test::Exists(operand.as_bool().ok_or_else(|| wrong("true or false"))?),
        "anything-but" => Test::AnythingBut(unwanted(operand, path)?),
        "numeric" => Test::Numeric(bounds(operand).ok_or_else(|| {
            wrong("one comparison within ±5,000,000,000, or `>` or `>=` and then `<` or `<=`")
        })?),
        "cidr" => {
            let network = operand.as_str().and_then(|text| text.parse().ok());
            Test::Cidr(network.ok_or_else(|| wrong("a network, as 10.0.0.0/8 or 2001:db8::/32"))?)
        }
        "prefix" | "suffix" if operand.is_object() => {
            let Some(Value::String(text)) = operand
                .get("equals-ignore-case")
                .filter(|_| operand.as_object().is_some_and(|object| object.len() == 1))
            else {
                return Err(wrong("a text, or `equals-ignore-case` with one"));
            };
            Test::Text(if operator == "prefix" {
                Text::PrefixInAnyCase(text.to_lowercase())
            } else {
                Text::SuffixInAnyCase(text.to_lowercase())
            })
        }
        _ => Test::Text(text(operator, operand, path)?),
    })
}

fn text(operator: &str, operand: &Value, path: &str) -> Result<Text, BadPattern> {
    let read: fn(&str) -> Option<Text> = match operator {
        "prefix" => |text| Some(Text::Prefix(text.to_owned())),
        "suffix" => |text| Some(Text::Suffix(text.to_owned())),
        "equals-ignore-case" => |text| Some(Text::Equals(text.to_lowercase())),
        "wildcard" => |text| pieces(text).map(Text::Wildcard),
        _ => {
            return Err(bad(
                path,
                &format!("has an operator `{operator}` that is not known"),
            ));
        }
    };
    operand.as_str().and_then(read).ok_or_else(|| {
        wrong(
            path,
            operator,
            "a text (of a wildcard: no `**`, and `\\` only before `*` or `\\`)",
        )
    })
}

fn unwanted(operand: &Value, path: &str) -> Result<Vec<Test>, BadPattern> {
    let wrong = || {
        wrong(
            path,
            "anything-but",
            "texts only, numbers only, or one operator with texts, of which no prefix and no suffix \
             is empty",
        )
    };
    if let Value::Object(object) = operand {
        let (operator, operand) = only(object, path)?;
        let values = each(operand);
        let nothing = ["prefix", "suffix"].contains(&operator) && values.iter().any(|it| it == "");
        if values.is_empty() || nothing {
            return Err(wrong());
        }
        let tests = values.iter().map(|value| text(operator, value, path));
        return tests.map(|test| test.map(Test::Text)).collect();
    }
    let values = each(operand);
    let alike = values.iter().all(Value::is_string) || values.iter().all(Value::is_number);
    if values.is_empty() || !alike {
        return Err(wrong());
    }
    Ok(values.iter().cloned().map(Test::Is).collect())
}

fn bounds(operand: &Value) -> Option<Vec<(Comparison, f64)>> {
    use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual};

    let mut bounds = Vec::new();
    for pair in operand.as_array()?.chunks(2) {
        let [comparison, bound] = pair else {
            return None;
        };
        let bound = bound.as_f64().filter(|bound| bound.abs() <= LARGEST)?;
        bounds.push((Comparison::read(comparison.as_str()?)?, bound));
    }
    match bounds.as_slice() {
        [_] => Some(bounds),
        [(Greater | GreaterOrEqual, low), (Less | LessOrEqual, high)] if low < high => Some(bounds),
        _ => None,
    }
}

/// What is between the asterisks of a wildcard.
fn pieces(wildcard: &str) -> Option<Vec<String>> {
    let mut pieces = vec![String::new()];
    let mut characters = wildcard.chars().peekable();
    while let Some(character) = characters.next() {
        let literal = match character {
            '*' if characters.peek() == Some(&'*') => return None,
            '*' => {
                pieces.push(String::new());
                continue;
            }
            '\\' => characters
                .next()
                .filter(|next| ['*', '\\'].contains(next))?,
            other => other,
        };
        pieces.last_mut()?.push(literal);
    }
    Some(pieces)
}

fn only<'a>(
    object: &'a Map<String, Value>,
    path: &str,
) -> Result<(&'a str, &'a Value), BadPattern> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        _ => Err(bad(path, "has an object that is not exactly one operator")),
    }
}

fn each(value: &Value) -> &[Value] {
    value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn wrong(path: &str, operator: &str, expected: &str) -> BadPattern {
    bad(
        path,
        &format!("has `{operator}` without what it takes: {expected}"),
    )
}

fn bad(path: &str, why: &str) -> BadPattern {
    BadPattern {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Tests of one field `f`: the list a rule gives, values it takes, values it does not.
    fn table() -> Vec<(Value, Vec<Value>, Vec<Value>)> {
        let row = |tests: Value, takes: Value, refuses: Value| {
            (tests, each(&takes).to_vec(), each(&refuses).to_vec())
        };
        vec![
            row(
                json!(["a", "b"]),
                json!(["a", "b"]),
                json!(["A", "", null, 1, true]),
            ),
            row(json!([""]), json!([""]), json!(["a", null])),
            row(json!([null]), json!([null]), json!(["null", false, 0])),
            row(json!([true]), json!([true]), json!(["true", false, 1])),
            row(json!([5]), json!([5, 5.0]), json!(["5", 5.1, null])),
            row(
                json!(["10.0.0.1", "2001:db8::1"]),
                json!(["10.0.0.1", "2001:DB8:0:0:0:0:0:1"]),
                json!(["10.0.0.2", "10.0.0.1 "]),
            ),
            row(
                json!([{"prefix": "ab"}]),
                json!(["ab", "abc"]),
                json!(["a", "AB", 1, null]),
            ),
            row(
                json!([{"suffix": "bc"}]),
                json!(["bc", "abc"]),
                json!(["c", "BC", 1]),
            ),
            row(
                json!([{"prefix": {"equals-ignore-case": "aB"}}]),
                json!(["ab", "ABc"]),
                json!(["a", 1]),
            ),
            row(
                json!([{"suffix": {"equals-ignore-case": "bC"}}]),
                json!(["BC", "abc"]),
                json!(["cb", null]),
            ),
            row(
                json!([{"equals-ignore-case": "aB"}]),
                json!(["ab", "AB"]),
                json!(["abc", 1]),
            ),
            row(
                json!([{"wildcard": "*/x/*.png"}]),
                json!(["/x/.png", "a/x/b/x/c.png"]),
                json!(["a/x.png", "a/x/b.pngs", "x/.png", 1]),
            ),
            row(
                json!([{"wildcard": "ab*ba"}]),
                json!(["abba", "abXba"]),
                json!(["aba"]),
            ),
            row(
                json!([{"wildcard": r"a\*\\*"}]),
                json!([r"a*\", r"a*\b"]),
                json!([r"ab\b"]),
            ),
            row(
                json!([{"wildcard": "plain"}]),
                json!(["plain"]),
                json!(["plainer"]),
            ),
            row(
                json!([{"anything-but": "a"}]),
                json!(["b", "", 1, null, true]),
                json!(["a"]),
            ),
            row(
                json!([{"anything-but": ["a", "b"]}]),
                json!(["c"]),
                json!(["a", "b"]),
            ),
            row(
                json!([{"anything-but": [1, 2]}]),
                json!([3, "1", null]),
                json!([1, 2.0]),
            ),
            row(
                json!([{"anything-but": {"prefix": "a"}}]),
                json!(["ba", 1]),
                json!(["a", "ab"]),
            ),
            row(
                json!([{"anything-but": {"suffix": [".a", ".b"]}}]),
                json!(["x.c", ".A"]),
                json!(["x.a", "x.b"]),
            ),
            row(
                json!([{"anything-but": {"equals-ignore-case": ["a", "b"]}}]),
                json!(["c", 1]),
                json!(["A", "b"]),
            ),
            row(
                json!([{"anything-but": {"wildcard": "*/lib/*"}}]),
                json!(["/lib", "lib/"]),
                json!(["/lib/", "a/lib/b"]),
            ),
            row(
                json!([{"numeric": ["=", 301.8]}]),
                json!([301.8, 3.018e2]),
                json!([301, "301.8"]),
            ),
            row(
                json!([{"numeric": [">", 0, "<=", 5]}]),
                json!([1, 5, 0.5]),
                json!([0, 5.1, -1, "1", null, 6e9]),
            ),
            row(
                json!([{"numeric": [">=", 0]}]),
                json!([0, 5e9]),
                json!([-1, 6e9]),
            ),
            row(json!([{"numeric": ["<", 0]}]), json!([-1]), json!([0, 1])),
            row(
                json!([{"cidr": "10.0.0.0/24"}, {"cidr": "2001:db8::/32"}]),
                json!(["10.0.0.255", "2001:db8:1::"]),
                json!(["10.0.1.0", "2001:db9::", "s3.amazonaws.com", "", 1, null]),
            ),
            row(
                json!([{"exists": true}]),
                json!(["", null, 0, false, ["a"]]),
                json!([{"a": 1}, {}, []]),
            ),
            row(
                json!([{"exists": false}, "a"]),
                json!(["a", {"a": 1}, {}]),
                json!(["b", null]),
            ),
            // A list is taken when any of its values is.
            row(
                json!(["a", {"numeric": [">", 1]}]),
                json!([["b", "a"], [1, 2], [["a"]]]),
                json!([["b"], [1], []]),
            ),
            row(
                json!([{"anything-but": "a"}]),
                json!([["a", "b"]]),
                json!([["a"], []]),
            ),
        ]
    }

    #[test]
    fn an_operator_takes_what_it_should_and_nothing_else() {
        for (tests, takes, refuses) in table() {
            let pattern = json!({"d": {"f": tests}});
            for (values, expected) in [(takes, true), (refuses, false)] {
                for value in values {
                    let found = matches(&pattern, &json!({"d": {"f": value}}));
                    assert_eq!(found, Ok(expected), "{pattern} of {value}");
                }
            }
        }
    }

    #[test]
    fn an_absent_field_fulfils_nothing_but_its_absence() {
        for (tests, ..) in table() {
            let absent = tests.to_string().contains(r#""exists":false"#);
            let pattern = json!({"d": {"f": tests}});
            for event in [json!({}), json!({"d": null}), json!({"d": {"g": "a"}})] {
                assert_eq!(
                    matches(&pattern, &event),
                    Ok(absent),
                    "{pattern} of {event}"
                );
            }
        }
    }

    #[test]
    fn every_field_must_hold() {
        let pattern = json!({"source": ["aws.s3"], "detail": {"a": ["x"], "b": {"c": [1]}}});
        for (event, expected) in [
            (
                json!({"source": "aws.s3", "detail": {"a": "x", "b": {"c": 1}, "z": 0}}),
                true,
            ),
            (
                json!({"source": "aws.s3", "detail": {"a": "x", "b": {"c": 2}}}),
                false,
            ),
            (json!({"source": "aws.s3", "detail": {"a": "x"}}), false),
            (json!({"source": "aws.s3"}), false),
            (json!({"detail": {"a": "x", "b": {"c": 1}}}), false),
            (
                json!({"source": "aws.s3", "detail": {"a": "x", "b.c": 1}}),
                true,
            ),
            (json!([]), false),
            (json!("aws.s3"), false),
        ] {
            assert_eq!(matches(&pattern, &event), Ok(expected), "{event}");
        }
    }

    #[test]
    fn fields_of_one_object_hold_within_one_element_of_a_list() {
        let pattern = json!({"r": {"type": ["bucket"], "name": ["ours"]}});
        let mixed =
            json!({"r": [{"type": "bucket", "name": "x"}, {"type": "key", "name": "ours"}]});
        let same = json!({"r": [{"type": "key"}, {"type": "bucket", "name": "ours"}]});
        assert_eq!(matches(&pattern, &mixed), Ok(false));
        assert_eq!(matches(&pattern, &same), Ok(true));
        // Absence is of the whole event.
        let absent = json!({"r": {"name": [{"exists": false}]}});
        assert_eq!(matches(&absent, &same), Ok(false));
    }

    #[test]
    fn or_takes_either_beside_its_fields() {
        let pattern = json!({"d": {
            "x": [1],
            "$or": [
                {"a": [1], "b": [{"prefix": "p"}]},
                {"c": [2], "$or": [{"e": [3]}, {"f": {"g": [4]}}]},
            ],
        }});
        for (event, expected) in [
            (json!({"x": 1, "a": 1, "b": "pq"}), true),
            (json!({"x": 1, "c": 2, "e": 3}), true),
            (json!({"x": 1, "c": 2, "f": {"g": 4}}), true),
            (json!({"x": 2, "a": 1, "b": "pq"}), false),
            (json!({"x": 1, "a": 1}), false),
            (json!({"x": 1, "c": 2}), false),
            (json!({"x": 1, "a": 1, "e": 3}), false),
        ] {
            assert_eq!(
                matches(&pattern, &json!({"d": event})),
                Ok(expected),
                "{event}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_name() {
        let many: Vec<_> = (0..32).map(|n| json!({format!("a{n}"): [1]})).collect();
        let more: Vec<_> = (0..32).map(|n| json!({format!("b{n}"): [1]})).collect();
        for (pattern, path) in [
            (json!([]), ""),
            (json!({}), ""),
            (json!({"d": {}}), "d"),
            (json!({"d": "a"}), "d"),
            (json!({"d": {"f": 1}}), "d.f"),
            (json!({"d": {"f": []}}), "d.f"),
            (json!({"f": [["a"]]}), "f"),
            (json!({"f": [{}]}), "f"),
            (json!({"f": [{"prefix": "a", "suffix": "b"}]}), "f"),
            (json!({"f": [{"regex": "a"}]}), "f"),
            (json!({"f": [{"prefix": 1}]}), "f"),
            (json!({"f": [{"suffix": {"prefix": "a"}}]}), "f"),
            (json!({"f": [{"exists": "true"}]}), "f"),
            (json!({"f": [{"wildcard": "a**"}]}), "f"),
            (json!({"f": [{"wildcard": r"a\b"}]}), "f"),
            (json!({"f": [{"wildcard": r"a\"}]}), "f"),
            (json!({"f": [{"cidr": "10.0.0.0/33"}]}), "f"),
            (json!({"f": [{"cidr": "10.0.0.0"}]}), "f"),
            (json!({"f": [{"numeric": []}]}), "f"),
            (json!({"f": [{"numeric": [">"]}]}), "f"),
            (json!({"f": [{"numeric": ["<", 1, ">", 0]}]}), "f"),
            (json!({"f": [{"numeric": [">", 1, "<", 0]}]}), "f"),
            (json!({"f": [{"numeric": [">", 6e9]}]}), "f"),
            (json!({"f": [{"numeric": ["!=", 1]}]}), "f"),
            (json!({"f": [{"anything-but": []}]}), "f"),
            (json!({"f": [{"anything-but": ["a", 1]}]}), "f"),
            (json!({"f": [{"anything-but": null}]}), "f"),
            (
                json!({"f": [{"anything-but": {"cidr": "10.0.0.0/8"}}]}),
                "f",
            ),
            (json!({"f": [{"anything-but": {"prefix": ""}}]}), "f"),
            (json!({"f": [{"anything-but": {"prefix": []}}]}), "f"),
            (json!({"$or": {"a": [1]}}), "$or"),
            (json!({"$or": [{"a": [1]}]}), "$or"),
            (json!({"$or": [{"a": [1]}, 2]}), "$or"),
            (json!({"$or": [{"a": [1]}, {"prefix": ["a"]}]}), "prefix"),
            (json!({"a": [1], "$or": [{"a": [2]}, {"b": [1]}]}), "a"),
            (json!({"x": {"$or": many}, "y": {"$or": more}}), "$or"),
        ] {
            let found = Pattern::read(&pattern).map(|_| ()).unwrap_err();
            assert_eq!(found.path, path, "{pattern}: {found}");
        }
    }
}
