//! What the machines' `JSONata` reads and yields.

use std::collections::{BTreeMap, BTreeSet};

use super::{Project, Runbook, wiring};
use crate::asl::{
    Exit, Flow, State, Written, expression,
    jsonata::{self, Expression, Unreadable},
};

/// Where a machine's whole input goes: to the worker that refuses what it does not know.
const VALIDATED: [(&str, &str); 2] = [
    ("open-incident", "Arguments.Payload.incident"),
    ("record-baseline", "Arguments.Payload.request"),
];

/// AWS wants a boolean of every Condition, and fails the execution when it gets something else;
/// the local AWS takes anything.
pub(super) fn conditions(runbook: &Runbook, _: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, state) in runbook.flow.walk() {
        for rule in &state.choices {
            let read = expression(&rule.condition).map(Expression::read);
            if !matches!(read, Some(Ok(condition)) if condition.is_boolean()) {
                violations.push(format!(
                    "`{name}`: `{}` is not certainly true or false",
                    rule.condition
                ));
            }
        }
    }
    violations
}

/// Every variable is set on every way to where it is read. What a branch or a processor sets ends
/// with it: AWS isolates them, while the local AWS lets variables out.
pub(super) fn variables(runbook: &Runbook, _: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    read_before_set(&runbook.flow, &BTreeSet::new(), &mut violations);
    violations
}

fn read_before_set<'a>(flow: &'a Flow, outer: &BTreeSet<&'a str>, violations: &mut Vec<String>) {
    let inner: BTreeSet<&str> = flow
        .states
        .values()
        .flat_map(State::flows)
        .flat_map(Flow::walk)
        .flat_map(|(_, state)| assigned(state))
        .collect();
    for (name, set) in set_before(flow, outer) {
        let Some(state) = flow.states.get(name) else {
            continue;
        };
        for text in state.texts() {
            let path = &text.path;
            match reads(&text) {
                Err(why) => violations.push(format!("`{name}`: the expression in {path} {why}")),
                Ok(variables) => {
                    for variable in variables.into_iter().filter(|it| !set.contains(it)) {
                        violations.push(if inner.contains(variable) {
                            format!(
                                "`{name}` reads ${variable} in {path}, outside the branch that sets it"
                            )
                        } else {
                            format!(
                                "`{name}` reads ${variable} in {path}, and not every way there sets it"
                            )
                        });
                    }
                }
            }
        }
        for inside in state.flows() {
            read_before_set(inside, &set, violations);
        }
    }
}

/// The variables that are certainly set when each state that can be reached is entered.
fn set_before<'a>(
    flow: &'a Flow,
    outer: &BTreeSet<&'a str>,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut before = BTreeMap::from([(flow.start_at.as_str(), outer.clone())]);
    let mut open = vec![flow.start_at.as_str()];
    while let Some(name) = open.pop() {
        let (Some(state), Some(set)) = (flow.states.get(name), before.get(name).cloned()) else {
            continue;
        };
        for (exit, to) in state.exits() {
            let assign = match exit {
                Exit::Next | Exit::Default => &state.assign,
                Exit::Rule(rule) => &rule.assign,
                Exit::Catch(catcher) => &catcher.assign,
            };
            let mut arriving = set.clone();
            arriving.extend(assign.keys().map(String::as_str));
            let known = before.get(to);
            let meet = known.map_or(arriving.clone(), |known| &arriving & known);
            if known != Some(&meet) {
                before.insert(to, meet);
                open.push(to);
            }
        }
    }
    before
}

fn assigned(state: &State) -> impl Iterator<Item = &str> {
    let rules = state.choices.iter().map(|rule| &rule.assign);
    let catch = state.catch.iter().map(|catcher| &catcher.assign);
    let all = rules.chain(catch).chain([&state.assign]);
    all.flat_map(|assign| assign.keys().map(String::as_str))
}

fn reads<'a>(text: &Written<'a>) -> Result<BTreeSet<&'a str>, Unreadable> {
    match expression(text.text) {
        Some(source) => Expression::read(source).map(|read| read.variables()),
        None => Ok(BTreeSet::new()),
    }
}

/// A variable may not be called like what `JSONata` or Step Functions has already: `$round` would
/// be a number here and a function there.
pub(super) fn hidden_functions(runbook: &Runbook, _: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, state) in runbook.flow.walk() {
        for variable in assigned(state).filter(|it| jsonata::is_taken(it)) {
            violations.push(format!("`{name}` sets ${variable}, a name that is taken"));
        }
    }
    violations
}

/// A Standard machine's history keeps every state's input for 90 days: raw events, with whatever
/// they hold of patients, stay in the Express one.
pub(super) fn raw_events(runbook: &Runbook, project: &Project) -> Vec<String> {
    let machine = wiring::machine(project, &runbook.name);
    if machine.is_some_and(|machine| machine.text("Type") == Some("EXPRESS")) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (name, state) in runbook.flow.walk() {
        for Written { path, text } in state.texts() {
            let read = expression(text).map(Expression::read);
            let Some(Ok(read)) = read else { continue };
            if read.mentions("detail") || path.split('.').any(|key| key == "detail") {
                violations.push(format!("`{name}` takes an event's detail in {path}"));
            }
            let worker = wiring::worker_of(state);
            let validated = VALIDATED
                .into_iter()
                .any(|(by, at)| worker.as_deref() == Some(by) && path == at);
            let whole = read.paths("states").iter().any(|path| is_whole(path));
            if whole && !validated && path.starts_with("Arguments.") {
                violations.push(format!("`{name}` hands on its whole input in {path}"));
            }
        }
    }
    violations
}

/// Whether a path from `$states` takes the input, or something that the input is part of.
fn is_whole(path: &[&str]) -> bool {
    let path: Vec<_> = path
        .iter()
        .copied()
        .filter(|step| !step.starts_with('*'))
        .collect();
    ["input", "context.Execution.Input"].iter().any(|whole| {
        let whole: Vec<_> = whole.split('.').collect();
        whole.starts_with(&path)
    })
}
