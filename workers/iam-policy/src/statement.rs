//! One statement of a document.

use serde_json::Value;

use crate::glob::fits;

/// A character that no name holds, so that only a wildcard fits it.
pub(crate) const ANY: &str = "\u{1}";

/// One statement.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    effect: Effect,
    actions: Choice,
    resources: Choice,
    written: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// What a statement is about, by patterns.
#[derive(Debug, Clone)]
enum Choice {
    Of(Vec<String>),
    AllBut(Vec<String>),
}

impl Statement {
    /// Reads a statement; none when it neither allows nor denies.
    pub(crate) fn read(statement: &Value) -> Option<Self> {
        let effect = match part(statement, "Effect")?.as_str()? {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            _ => return None,
        };
        let actions = Choice::read(statement, "Action", "NotAction");
        Some(Self {
            effect,
            actions: actions.map(str::to_ascii_lowercase),
            resources: Choice::read(statement, "Resource", "NotResource"),
            written: statement.clone(),
        })
    }

    pub(crate) fn allows(&self) -> bool {
        self.effect == Effect::Allow
    }

    pub(crate) fn denies(&self) -> bool {
        self.effect == Effect::Deny
    }

    /// As it is written.
    pub(crate) fn written(&self) -> &Value {
        &self.written
    }

    /// Whether it has a condition to meet.
    pub(crate) fn is_conditional(&self) -> bool {
        let condition = part(&self.written, "Condition").and_then(Value::as_object);
        condition.is_some_and(|operators| !operators.is_empty())
    }

    /// Its conditions: the operator, the key, its values.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = (&str, &str, &[Value])> {
        let condition = part(&self.written, "Condition").and_then(Value::as_object);
        let operators = condition.into_iter().flatten();
        operators.flat_map(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(|(key, values)| (operator.as_str(), key.as_str(), list(values)))
        })
    }

    /// Whether it is about an action, given in lower case.
    pub(crate) fn is_about(&self, action: &str) -> bool {
        self.actions.has(|pattern| fits(pattern, action))
    }

    /// Whether it is about every action but those that it leaves out, if it leaves out any.
    pub(crate) fn is_about_most_actions(&self) -> bool {
        self.is_about(&format!("{ANY}:{ANY}"))
    }

    pub(crate) fn leaves_actions_out(&self) -> bool {
        matches!(self.actions, Choice::AllBut(_))
    }

    /// Whether it is about every resource of one kind, `role`; of every kind and service when none
    /// is given. Patterns of IAM's names may hold `${aws:username}` where `own` is given: whoever
    /// reads it sees a name of their own.
    pub(crate) fn is_on_every(&self, kind: Option<&str>, own: bool) -> bool {
        self.resources.has(|pattern| {
            let pattern = if own {
                pattern.replace("${aws:username}", "*")
            } else {
                pattern.to_owned()
            };
            fits(&pattern, &any_resource(&pattern, kind))
        })
    }

    pub(crate) fn denies_everything(&self) -> bool {
        self.denies()
            && !self.is_conditional()
            && !self.leaves_actions_out()
            && self.is_about_most_actions()
            && self.is_on_every(None, false)
    }
}

/// The ARN of some resource. It lies in the partition and account that the pattern names: those are
/// taken to be ours.
fn any_resource(pattern: &str, kind: Option<&str>) -> String {
    let parts: Vec<_> = pattern.splitn(6, ':').collect();
    let partition = parts.get(1).copied().unwrap_or("aws");
    let account = match parts[..] {
        [_, _, _, _, account, _] => account,
        _ => "123456789012",
    };
    match kind {
        Some(kind) => format!("arn:{partition}:iam::{account}:{kind}/{ANY}"),
        None => format!("arn:{partition}:{ANY}:{ANY}:{ANY}:{ANY}"),
    }
}

impl Choice {
    fn read(statement: &Value, of: &str, all_but: &str) -> Self {
        let texts = |name| {
            let values = part(statement, name).map(list).unwrap_or_default();
            let texts = values.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        match part(statement, all_but) {
            Some(_) => Self::AllBut(texts(all_but)),
            None => Self::Of(texts(of)),
        }
    }

    fn map(self, change: impl Fn(&str) -> String) -> Self {
        let all = |patterns: Vec<String>| patterns.iter().map(|it| change(it)).collect();
        match self {
            Self::Of(patterns) => Self::Of(all(patterns)),
            Self::AllBut(patterns) => Self::AllBut(all(patterns)),
        }
    }

    fn has(&self, fits: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Of(patterns) => patterns.iter().any(|pattern| fits(pattern)),
            Self::AllBut(patterns) => !patterns.iter().any(|pattern| fits(pattern)),
        }
    }
}

/// An element by its name. However it is spelled, IAM has accepted it.
pub(crate) fn part<'a>(of: &'a Value, name: &str) -> Option<&'a Value> {
    let parts = of.as_object()?;
    let named = parts.get(name).or_else(|| {
        let mut parts = parts.iter();
        parts.find_map(|(other, part)| other.eq_ignore_ascii_case(name).then_some(part))
    });
    named.filter(|part| !part.is_null())
}

/// An object with one element replaced.
pub(crate) fn with(of: &Value, name: &str, element: Value) -> Value {
    let mut of = of.clone();
    if let Some(parts) = of.as_object_mut() {
        let spelled = parts.keys().find(|key| key.eq_ignore_ascii_case(name));
        let spelled = spelled.cloned().unwrap_or_else(|| name.to_owned());
        parts.insert(spelled, element);
    }
    of
}

/// Policies write a list of one as the one.
pub(crate) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        Value::Null => &[],
        value => std::slice::from_ref(value),
    }
}
