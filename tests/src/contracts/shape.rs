//! Names, comments, and how the states are joined.

use std::collections::BTreeSet;

use super::{Project, Runbook};
use crate::asl::{Flow, Kind, State};

/// The longest name that Step Functions takes.
const LONGEST_NAME: usize = 80;

/// The machine says what it is for; its states have sentence-case names of their own, can all be
/// reached, and lead to each other until a Succeed or a Fail ends the machine.
pub(super) fn is_sound(runbook: &Runbook, _: &Project) -> Vec<String> {
    let flow = &runbook.flow;
    let mut violations = Vec::new();
    if flow.comment.as_deref().unwrap_or_default().is_empty() {
        violations.push("the machine has no Comment".to_owned());
    }
    if flow.query_language.as_deref() != Some("JSONata") {
        violations.push("the machine's QueryLanguage is not JSONata".to_owned());
    }
    let mut names = BTreeSet::new();
    for (name, _) in flow.walk() {
        if !names.insert(name) {
            violations.push(format!("two states are called `{name}`"));
        }
        if !is_sentence_case(name) {
            violations.push(format!("`{name}` is not sentence case"));
        }
        if name.chars().count() > LONGEST_NAME {
            violations.push(format!("`{name}` is longer than {LONGEST_NAME} characters"));
        }
    }
    joints(flow, true, &mut violations);
    violations
}

/// One capital, at the start; words with capitals inside, `CloudTrail` and `IAM`, are names.
fn is_sentence_case(name: &str) -> bool {
    let capital = |word: &str| word.starts_with(char::is_uppercase);
    let proper = |word: &str| word.chars().skip(1).any(char::is_uppercase);
    let tidy = name.split(' ').all(|word| !word.is_empty());
    tidy && capital(name)
        && !name
            .split(' ')
            .skip(1)
            .any(|word| capital(word) && !proper(word))
}

fn joints(flow: &Flow, top: bool, violations: &mut Vec<String>) {
    if !flow.states.contains_key(&flow.start_at) {
        violations.push(format!("StartAt is `{}`, which is no state", flow.start_at));
    }
    let reached = reached(flow);
    for (name, state) in &flow.states {
        if !reached.contains(name.as_str()) {
            violations.push(format!("`{name}` cannot be reached"));
        }
        for (_, to) in state.exits() {
            if !flow.states.contains_key(to) {
                violations.push(format!(
                    "`{name}` leads to `{to}`, which is no state beside it"
                ));
            }
        }
        if let Some(why) = ends_badly(state, top) {
            violations.push(format!("`{name}` {why}"));
        }
        for inside in state.flows() {
            joints(inside, false, violations);
        }
    }
}

fn ends_badly(state: &State, top: bool) -> Option<&'static str> {
    match (state.kind, &state.next) {
        (Kind::Succeed | Kind::Fail, None) if !state.end => None,
        (Kind::Succeed | Kind::Fail, _) => Some("ends the flow and leads nowhere"),
        (Kind::Choice, None) if !state.end => state.default.is_none().then_some("has no Default"),
        (Kind::Choice, _) => Some("is a Choice: its rules and Default lead on, not Next or End"),
        (_, Some(_)) if state.end => Some("has both Next and End"),
        (_, None) if !state.end => Some("has neither Next nor End"),
        (_, None) if top => Some("ends the machine, and is neither Succeed nor Fail"),
        _ => None,
    }
}

fn reached(flow: &Flow) -> BTreeSet<&str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![flow.start_at.as_str()];
    while let Some(name) = open.pop() {
        if reached.insert(name)
            && let Some(state) = flow.states.get(name)
        {
            open.extend(state.exits().iter().map(|(_, to)| to));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_case_is_one_capital_and_names() {
        for name in [
            "Open incident",
            "Restore CloudTrail",
            "Let IAM settle",
            "Holds?",
            "A",
        ] {
            assert!(is_sentence_case(name), "{name}");
        }
        for name in [
            "open incident",
            "Open Incident",
            "Open  incident",
            "Open ",
            "",
        ] {
            assert!(!is_sentence_case(name), "{name}");
        }
    }
}
