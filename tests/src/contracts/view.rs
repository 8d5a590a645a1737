//! A machine as a reviewer wants to see it change: who leads where, and what is handed to whom.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Runbook, wiring};
use crate::asl::{Exit, Flow, State};

/// The derived view of a machine, one fact a line: ways sorted by state, then calls.
#[must_use]
pub fn view(runbook: &Runbook) -> String {
    let mut ways = Vec::new();
    let mut calls = Vec::new();
    collect(&runbook.flow, "(start)", &mut ways);
    for (name, state) in runbook.flow.walk() {
        calls.extend(call(name, state));
    }
    ways.sort();
    calls.sort();
    format!("{}\n\n{}\n", ways.join("\n"), calls.join("\n"))
}

fn collect(flow: &Flow, from: &str, ways: &mut Vec<String>) {
    ways.push(format!("{from} => {}", flow.start_at));
    for (name, state) in &flow.states {
        for (exit, to) in state.exits() {
            ways.push(match exit {
                Exit::Next => format!("{name} -> {to}"),
                Exit::Default => format!("{name} -otherwise-> {to}"),
                Exit::Rule(rule) => {
                    let label = rule.comment.as_deref().unwrap_or_default();
                    format!("{name} -{label}-> {to}")
                }
                Exit::Catch(catcher) => {
                    format!("{name} -.{}.-> {to}", catcher.error_equals.join(", "))
                }
            });
        }
        for inside in state.flows() {
            collect(inside, name, ways);
        }
    }
}

/// `Deny all: deny-all-policy(actor, dryRun, incidentId) within 70 s`.
fn call(name: &str, state: &State) -> Option<String> {
    let resource = state.resource.as_deref()?;
    let (callee, arguments) = match wiring::worker_of(state) {
        Some(worker) => (worker, state.payload()),
        None => (resource.to_owned(), state.arguments.as_ref()),
    };
    let keys: BTreeSet<&str> = arguments
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|object| object.keys().map(String::as_str))
        .collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let seconds = state
        .timeout_seconds
        .as_ref()
        .map_or_else(|| "any number of".to_owned(), Value::to_string);
    Some(format!(
        "{name}: {callee}({}) within {seconds} s",
        keys.join(", ")
    ))
}
