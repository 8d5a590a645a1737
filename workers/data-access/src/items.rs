//! Which items a call read and wrote.

use serde_json::Value;

use crate::{
    access::{Items, Manner},
    condition::Condition,
    partiql::{Statement, Verb},
    request::{Entry, entries, field, has, keyed, list, text},
};

/// What came of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// It wrote nothing, because a condition was not met; it may have answered with the item.
    ConditionFailed,
}

impl Items {
    fn read(mut self, condition: Condition) -> Self {
        self.read.push(condition);
        self
    }

    fn written(mut self, condition: Condition) -> Self {
        self.written.push(condition);
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.read.extend(other.read);
        self.written.extend(other.written);
        self.manner = self.manner.max(other.manner);
        self
    }

    fn is_empty(&self) -> bool {
        self.read.is_empty() && self.written.is_empty()
    }
}

/// What a call of this name did to the items of a table, of which `is` knows the name. None when the
/// name is of no such call; empty when it touched nothing.
pub(crate) fn items(
    name: &str,
    request: &Value,
    outcome: Outcome,
    is: impl Fn(&str) -> bool,
) -> Option<Items> {
    let failed = outcome == Outcome::ConditionFailed;
    let known = match name {
        "GetItem" | "Query" | "Scan" if failed => Items::default(),
        "GetItem" => Items::default().read(keyed(request)),
        "Query" => Items::default().read(query(request)),
        "Scan" if has(request, "tableName") => scan(request),
        "Scan" => Items::default(),
        "PutItem" | "UpdateItem" | "DeleteItem" => write(request, outcome),
        "BatchGetItem" | "TransactGetItems" | "BatchWriteItem" | "TransactWriteItems" => {
            let entries = entries(request).into_iter();
            let ours = entries.filter(|entry| entry.table.is_none_or(&is));
            ours.map(|entry| part(name, &entry, outcome))
                .fold(Items::default(), Items::and)
        }
        "ExecuteStatement" | "BatchExecuteStatement" | "ExecuteTransaction" => {
            let statements = statements(request).into_iter();
            statements
                .map(|given| statement(name, request, given, outcome, &is))
                .fold(Items::default(), Items::and)
        }
        _ => return None,
    };
    if failed || !known.is_empty() {
        return Some(known);
    }
    // The record leaves out what was asked for.
    Some(match name {
        "GetItem" | "BatchGetItem" | "TransactGetItems" | "Query" | "Scan" => {
            Items::default().read(Condition::Unknown)
        }
        "BatchWriteItem" => Items::default().written(Condition::Unknown),
        _ => unsaid(),
    })
}

fn unsaid() -> Items {
    Items::default()
        .read(Condition::Unknown)
        .written(Condition::Unknown)
}

/// Whether the answer to a condition that is not met holds the item.
fn answers_failure(body: &Value) -> bool {
    is_asked_for(field(body, "returnValuesOnConditionCheckFailure"))
}

fn is_asked_for(values: &Value) -> bool {
    !values.is_null() && values != "NONE"
}

fn write(request: &Value, outcome: Outcome) -> Items {
    let items = keyed(request);
    if outcome == Outcome::ConditionFailed {
        return if answers_failure(request) {
            Items::default().read(items)
        } else {
            Items::default()
        };
    }
    if !has(request, "tableName") && !has(request, "key") {
        return unsaid();
    }
    let written = Items::default().written(items.clone());
    if is_asked_for(field(request, "returnValues")) {
        written.read(items)
    } else {
        written
    }
}

fn part(name: &str, entry: &Entry<'_>, outcome: Outcome) -> Items {
    let items = keyed(entry.body);
    let checks = |verb: &str| verb.eq_ignore_ascii_case("conditionCheck");
    let reads = match (outcome, name) {
        (Outcome::ConditionFailed, _) => {
            answers_failure(entry.body) || entry.verb.is_some_and(checks)
        }
        (_, "BatchGetItem" | "TransactGetItems") => true,
        (_, "BatchWriteItem") => false,
        // A part that does not say what it does may do either.
        (_, _) => entry.verb.is_none_or(checks),
    };
    let writes = outcome == Outcome::Success
        && match name {
            "BatchGetItem" | "TransactGetItems" => false,
            "BatchWriteItem" => true,
            _ => !entry.verb.is_some_and(checks),
        };
    let mut touched = Items::default();
    if writes {
        touched = touched.written(items.clone());
    }
    if reads {
        touched = touched.read(items);
    }
    touched
}

fn query(request: &Value) -> Condition {
    let items = keyed(request);
    let is_all_of_them = !is_narrowed(request)
        && !has(request, "limit")
        && !has(request, "exclusiveStartKey")
        && !counts(request)
        && is_by_known_key(request);
    if is_all_of_them {
        items
    } else {
        items.and(Condition::Unknown)
    }
}

fn is_narrowed(request: &Value) -> bool {
    ["filterExpression", "queryFilter", "scanFilter"]
        .iter()
        .any(|filter| has(request, filter))
}

fn counts(request: &Value) -> bool {
    field(request, "select") == "COUNT"
}

/// Whether the recorded key is the whole of the condition: there is none on a sort key beside it.
fn is_by_known_key(request: &Value) -> bool {
    let recorded = field(request, "key")
        .as_object()
        .map_or(0, serde_json::Map::len);
    let conditions = match text(request, "keyConditionExpression") {
        Some(expression) => {
            let mut words = expression.split_whitespace();
            1 + usize::from(words.any(|word| word.eq_ignore_ascii_case("AND")))
        }
        None => match field(request, "keyConditions").as_object() {
            Some(conditions) => conditions.len(),
            None => return false,
        },
    };
    recorded >= conditions
}

fn scan(request: &Value) -> Items {
    let starts_later = has(request, "exclusiveStartKey");
    let is_part = field(request, "totalSegments")
        .as_u64()
        .map_or_else(|| has(request, "segment"), |segments| segments > 1);
    let is_of_index = has(request, "indexName");
    let is_narrowed = is_narrowed(request);
    let is_probe = field(request, "limit") == 1
        && !(starts_later || is_part || is_of_index || is_narrowed || counts(request));
    let (manner, read) = match () {
        () if counts(request) && !is_narrowed => (Manner::Counted, Condition::none()),
        () if is_probe => (Manner::Probed, Condition::Unknown),
        () if is_narrowed || has(request, "limit") => (Manner::Picked, Condition::Unknown),
        // An index may leave items out.
        () if is_of_index || is_part || starts_later => (Manner::Whole, Condition::Unknown),
        () => (Manner::Whole, Condition::every()),
    };
    Items {
        manner,
        ..Items::default().read(read)
    }
}

/// The statements of a call: what holds each, and its parameters.
fn statements(request: &Value) -> Vec<&Value> {
    let mut statements: Vec<_> = ["requestItems", "statements", "transactStatements"]
        .iter()
        .flat_map(|name| list(request, name))
        .collect();
    if has(request, "statement") {
        statements.push(request);
    }
    statements
}

/// Whether a statement of a call is about the table for which `is` is true; none when the call has no
/// statement that can be read.
pub(crate) fn is_stated(request: &Value, is: impl Fn(&str) -> bool) -> Option<bool> {
    let statements = statements(request).into_iter();
    let read = statements
        .filter_map(read)
        .map(|statement| statement.is_about(&is));
    read.reduce(|one, other| one || other)
}

fn read(given: &Value) -> Option<Statement> {
    Statement::read(text(given, "statement")?, field(given, "parameters"))
}

fn statement(
    name: &str,
    request: &Value,
    given: &Value,
    outcome: Outcome,
    is: impl Fn(&str) -> bool,
) -> Items {
    let failed = outcome == Outcome::ConditionFailed;
    let Some(statement) = read(given) else {
        return match failed {
            true if answers_failure(given) => Items::default().read(Condition::Unknown),
            true => Items::default(),
            false => unsaid(),
        };
    };
    if !statement.is_about(is) {
        return Items::default();
    }
    let Statement { verb, items, .. } = &statement;
    let selects = matches!(verb, Verb::Select | Verb::Exists);
    // A batch succeeds whatever comes of its statements.
    let reads = match outcome {
        Outcome::ConditionFailed => answers_failure(given) || *verb == Verb::Exists,
        Outcome::Success => {
            selects
                || statement.returns
                || name == "BatchExecuteStatement" && answers_failure(given)
        }
    };
    let mut touched = Items::default();
    if !selects && !failed {
        touched = touched.written(items.clone());
    }
    if !reads {
        return touched;
    }
    let is_part = has(request, "limit") || has(request, "nextToken") || statement.is_about_index();
    touched = if selects && is_part {
        touched.read(items.clone().and(Condition::Unknown))
    } else {
        touched.read(items.clone())
    };
    if *verb == Verb::Select && statement.is_unconditional && !has(request, "limit") {
        touched.manner = Manner::Whole;
    }
    touched
}
