//! Reads state machines: Amazon States Language in JSON, with `JSONata` as its query language.
//!
//! A field that the language does not know is refused, so that a misspelt `Catch` is no Catch
//! that silently never catches.

pub mod jsonata;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// States that follow one another: a whole machine, a branch of a Parallel, a Map's processor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Flow {
    /// What an auditor reads first.
    pub comment: Option<String>,
    /// `JSONata`, on a machine.
    pub query_language: Option<String>,
    /// How many seconds an execution may take, on a machine.
    pub timeout_seconds: Option<u64>,
    /// How a Map runs its items, on a processor.
    pub processor_config: Option<Value>,
    /// The first state.
    pub start_at: String,
    /// The states by name.
    pub states: BTreeMap<String, State>,
}

/// One state; which fields it may have depends on its kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct State {
    /// What it does.
    #[serde(rename = "Type")]
    pub kind: Kind,
    /// Why it is there.
    pub comment: Option<String>,
    /// The state after it.
    pub next: Option<String>,
    /// Whether its flow ends here.
    #[serde(default)]
    pub end: bool,
    /// Variables it sets.
    #[serde(default)]
    pub assign: Map<String, Value>,
    /// What it hands to the next state.
    pub output: Option<Value>,
    /// What a Task calls.
    pub resource: Option<String>,
    /// What it calls it with.
    pub arguments: Option<Value>,
    /// How many seconds a Task may take: a number or an expression.
    pub timeout_seconds: Option<Value>,
    /// How many seconds a Task may be silent: a number or an expression.
    pub heartbeat_seconds: Option<Value>,
    /// Which errors run it again.
    #[serde(default)]
    pub retry: Vec<Retrier>,
    /// Which errors lead elsewhere.
    #[serde(default)]
    pub catch: Vec<Catcher>,
    /// A Choice's rules, in order.
    #[serde(default)]
    pub choices: Vec<Rule>,
    /// The state after a Choice of which no rule holds.
    pub default: Option<String>,
    /// A Parallel's branches.
    #[serde(default)]
    pub branches: Vec<Flow>,
    /// What a Map does with each item.
    pub item_processor: Option<Box<Flow>>,
    /// A Map's items.
    pub items: Option<Value>,
    /// What a Map hands to its processor for each item.
    pub item_selector: Option<Value>,
    /// How a Map groups its items.
    pub item_batcher: Option<Value>,
    /// How many items a Map handles at once.
    pub max_concurrency: Option<Value>,
    /// How long a Wait takes, in seconds: a number or an expression.
    pub seconds: Option<Value>,
    /// Until when a Wait waits.
    pub timestamp: Option<String>,
    /// The name of the error that a Fail ends with.
    pub error: Option<String>,
    /// Its cause.
    pub cause: Option<String>,
}

/// What a state does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// Calls a worker or an AWS API.
    Task,
    /// Runs branches at once.
    Parallel,
    /// Runs its processor for each item.
    Map,
    /// Decides.
    Choice,
    /// Waits.
    Wait,
    /// Shapes data.
    Pass,
    /// Ends green.
    Succeed,
    /// Ends red.
    Fail,
}

/// When a state is run again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Retrier {
    /// Why.
    pub comment: Option<String>,
    /// After which errors.
    pub error_equals: Vec<String>,
    /// Seconds before the first time.
    pub interval_seconds: Option<u64>,
    /// How often.
    pub max_attempts: Option<u64>,
    /// What the interval is multiplied by each time.
    pub backoff_rate: Option<f64>,
    /// The longest interval, in seconds.
    pub max_delay_seconds: Option<u64>,
    /// `FULL`, or none.
    pub jitter_strategy: Option<String>,
}

/// Where an error leads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Catcher {
    /// Why.
    pub comment: Option<String>,
    /// Which errors.
    pub error_equals: Vec<String>,
    /// Variables it sets.
    #[serde(default)]
    pub assign: Map<String, Value>,
    /// What it hands to the next state.
    pub output: Option<Value>,
    /// The state after it.
    pub next: String,
}

/// One rule of a Choice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Rule {
    /// The answer it stands for; the diagram's label.
    pub comment: Option<String>,
    /// An expression that is true or false.
    pub condition: String,
    /// Variables it sets.
    #[serde(default)]
    pub assign: Map<String, Value>,
    /// What it hands to the next state.
    pub output: Option<Value>,
    /// The state after it.
    pub next: String,
}

/// One way out of a state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Exit<'a> {
    /// `Next`.
    Next,
    /// A rule of a Choice.
    Rule(&'a Rule),
    /// A Choice's `Default`.
    Default,
    /// An error.
    Catch(&'a Catcher),
}

/// A text in a state, and the path of fields that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<'a> {
    /// `Arguments.Payload.incidentId`.
    pub path: String,
    /// The text.
    pub text: &'a str,
}

impl Flow {
    /// Every state at any depth, by name; branches and processors included.
    #[must_use]
    pub fn walk(&self) -> Vec<(&str, &State)> {
        let mut all = Vec::new();
        for (name, state) in &self.states {
            all.push((name.as_str(), state));
            all.extend(state.flows().flat_map(Flow::walk));
        }
        all
    }
}

impl State {
    /// The flows inside: branches, or a processor.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.branches.iter().chain(self.item_processor.as_deref())
    }

    /// Every way out, in the order in which Step Functions considers them, and where it leads.
    #[must_use]
    pub fn exits(&self) -> Vec<(Exit<'_>, &str)> {
        let rules = self
            .choices
            .iter()
            .map(|rule| (Exit::Rule(rule), rule.next.as_str()));
        let default = self.default.iter().map(|to| (Exit::Default, to.as_str()));
        let next = self.next.iter().map(|to| (Exit::Next, to.as_str()));
        let catch = self
            .catch
            .iter()
            .map(|catcher| (Exit::Catch(catcher), catcher.next.as_str()));
        rules.chain(default).chain(next).chain(catch).collect()
    }

    /// The worker's payload, when this state calls a Lambda function.
    #[must_use]
    pub fn payload(&self) -> Option<&Value> {
        self.arguments.as_ref()?.get("Payload")
    }

    /// Every text that Step Functions may evaluate; those of the flows inside are not this state's.
    #[must_use]
    pub fn texts(&self) -> Vec<Written<'_>> {
        let mut texts = Vec::new();
        for (path, value) in [
            ("Arguments", &self.arguments),
            ("Output", &self.output),
            ("TimeoutSeconds", &self.timeout_seconds),
            ("HeartbeatSeconds", &self.heartbeat_seconds),
            ("Items", &self.items),
            ("ItemSelector", &self.item_selector),
            ("ItemBatcher", &self.item_batcher),
            ("MaxConcurrency", &self.max_concurrency),
            ("Seconds", &self.seconds),
        ] {
            texts.extend(value.iter().flat_map(|value| texts_in(path, value)));
        }
        for (path, text) in [
            ("Timestamp", &self.timestamp),
            ("Error", &self.error),
            ("Cause", &self.cause),
        ] {
            texts.extend(text.iter().map(|text| written(path, text)));
        }
        texts.extend(texts_in_map("Assign", &self.assign));
        for (n, rule) in self.choices.iter().enumerate() {
            texts.push(written(&format!("Choices.{n}.Condition"), &rule.condition));
            texts.extend(shaped(
                &format!("Choices.{n}"),
                &rule.assign,
                rule.output.as_ref(),
            ));
        }
        for (n, catcher) in self.catch.iter().enumerate() {
            let path = format!("Catch.{n}");
            texts.extend(shaped(&path, &catcher.assign, catcher.output.as_ref()));
        }
        texts
    }
}

/// The expression in `{% … %}`; nothing for a literal text.
#[must_use]
pub fn expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{%")?.strip_suffix("%}")?;
    Some(inner.trim())
}

/// The names in `${Name}`, which the template replaces.
pub fn substitutions(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// Every text in a JSON value, with its path.
#[must_use]
pub fn texts_in<'a>(path: &str, value: &'a Value) -> Vec<Written<'a>> {
    match value {
        Value::String(text) => vec![written(path, text)],
        Value::Array(values) => values
            .iter()
            .enumerate()
            .flat_map(|(n, value)| texts_in(&format!("{path}.{n}"), value))
            .collect(),
        Value::Object(map) => texts_in_map(path, map),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn texts_in_map<'a>(path: &str, map: &'a Map<String, Value>) -> Vec<Written<'a>> {
    map.iter()
        .flat_map(|(key, value)| texts_in(&format!("{path}.{key}"), value))
        .collect()
}

fn shaped<'a>(
    path: &str,
    assign: &'a Map<String, Value>,
    output: Option<&'a Value>,
) -> Vec<Written<'a>> {
    let output = output
        .into_iter()
        .flat_map(|value| texts_in(&format!("{path}.Output"), value));
    texts_in_map(&format!("{path}.Assign"), assign)
        .into_iter()
        .chain(output)
        .collect()
}

fn written<'a>(path: &str, text: &'a str) -> Written<'a> {
    Written {
        path: path.to_owned(),
        text,
    }
}
