//! What answers cost: executions, state transitions, invocations, API calls and dollars.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::{
    asl::{Flow, Kind},
    range::{Calls, Context, Delivery, Result, Run},
};

/// The runbook whose inner states are counted by its definition.
const RUNBOOK: &str = include_str!("../../../state-machines/site-vandalism.asl.json");

/// Dollars in us-east-1, for one: those of states as AWS documents them, the others from memory.
const TRANSITION: f64 = 0.025 / 1_000.0;
const WRITE: f64 = 0.625 / 1_000_000.0;
const READ: f64 = 0.125 / 1_000_000.0;
const PUT_OR_LIST: f64 = 0.005 / 1_000.0;
const GET: f64 = 0.000_4 / 1_000.0;
const MESSAGE: f64 = 0.50 / 1_000_000.0;

/// An Express execution: the request, and half a second at 64 MB.
const TRIAGE: f64 = 1.00 / 1_000_000.0 + 0.5 * 0.0625 * 0.000_016_67;

/// A worker: the request, a fifth of a second at 256 MB on arm64, and a kilobyte of logs.
const INVOCATION: f64 = 0.20 / 1_000_000.0 + 0.2 * 0.25 * 0.000_013_333_4 + 0.50 / 1_000_000.0;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Bill {
    triages: usize,
    runs: BTreeSet<String>,
    transitions: usize,
    invocations: usize,
    calls: Calls,
}

impl Bill {
    /// Adds an event's way through triage.
    pub(super) fn add_triage(&mut self, delivery: &Delivery) {
        self.triages += 1;
        self.invocations += delivery.triage.answers("Assess event").count();
    }

    /// Adds a run of the runbook. The emulator's history leaves out what is inside a Parallel state:
    /// that is counted by the definition, along the way on which its Tasks ran.
    pub(super) fn add_run(&mut self, run: &Run) -> Result<()> {
        let flow: Flow = serde_json::from_str(RUNBOOK).context("reading the runbook")?;
        let ran: BTreeSet<_> = run.moments.iter().map(|it| it.state.as_str()).collect();
        self.runs.insert(run.name.clone());
        self.invocations += run.moments.len();
        for name in &run.entered {
            let inner = flow.states.get(name).map_or(0, |state| {
                state.branches.iter().map(|it| entered(it, &ran)).sum()
            });
            self.transitions += 1 + inner;
        }
        Ok(())
    }

    /// Adds what the workers called.
    pub(super) fn add_calls(&mut self, calls: Calls) {
        for (call, times) in calls {
            *self.calls.entry(call).or_default() += times;
        }
    }

    /// How many runs there were, each by a name of its own.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Tells all of it.
    pub(super) fn told(&self, report: &mut Report<'_>) {
        report.figure(format!(
            "{} triages, {} runs, {} transitions, {} invocations of workers",
            self.triages,
            self.runs(),
            self.transitions,
            self.invocations
        ));
        let mut services: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((service, name), times) in &self.calls {
            let told = format!("{times} {name}");
            services.entry(service).or_default().push(told);
        }
        for (service, calls) in services {
            report.figure(format!("{service}: {}", calls.join(", ")));
        }
        report.figure(format!("{:.2} dollars", self.dollars()));
    }

    fn dollars(&self) -> f64 {
        let calls = self.calls.iter();
        calls
            .map(|((service, name), times)| price(service, name) * float(*times))
            .sum::<f64>()
            + TRIAGE * float(self.triages)
            + TRANSITION * float(self.transitions)
            + INVOCATION * float(self.invocations)
    }
}

/// Of one call; most services take nothing for their control plane, nor CloudFront for the first
/// thousand paths of a month.
fn price(service: &str, name: &str) -> f64 {
    match (service, name) {
        ("dynamodb", "GetItem" | "Query" | "Scan") => READ,
        ("dynamodb", _) => WRITE,
        ("s3", "GetObject" | "HeadObject" | "HeadBucket") => GET,
        ("s3", "DeleteObject") => 0.0,
        ("s3", _) => PUT_OR_LIST,
        ("sns", _) => MESSAGE,
        _ => 0.0,
    }
}

#[allow(clippy::cast_precision_loss)] // Nobody floods a site with as many files.
fn float(count: usize) -> f64 {
    count as f64
}

/// How many states a flow enters: at a Choice it goes where one of those leads that ran.
fn entered(flow: &Flow, ran: &BTreeSet<&str>) -> usize {
    let mut count = 0;
    let mut next = Some(&flow.start_at);
    while let Some(state) = next.and_then(|name| flow.states.get(name)) {
        count += 1;
        count += state
            .branches
            .iter()
            .map(|branch| entered(branch, ran))
            .sum::<usize>();
        next = match state.kind {
            Kind::Choice => {
                let mut ways = state.choices.iter().map(|rule| &rule.next);
                ways.find(|way| ran_at(flow, way, ran))
                    .or(state.default.as_ref())
            }
            _ => state.next.as_ref(),
        };
    }
    count
}

/// Whether the Task `name`, or one inside of it, ran.
fn ran_at(flow: &Flow, name: &str, ran: &BTreeSet<&str>) -> bool {
    let inside = |branch: &Flow| ran_at(branch, &branch.start_at, ran);
    ran.contains(name)
        || flow
            .states
            .get(name)
            .is_some_and(|state| state.branches.iter().any(inside))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_states_inside_are_those_on_the_way_to_what_ran() {
        let flow: Flow = serde_json::from_value(json!({
            "StartAt": "Contain?",
            "States": {
                "Contain?": {
                    "Type": "Choice",
                    "Choices": [{"Condition": "{% $contain %}", "Next": "Contain"}],
                    "Default": "Leave alone",
                },
                "Contain": {
                    "Type": "Parallel",
                    "Branches": [
                        {"StartAt": "Deny all", "States": {"Deny all": {"Type": "Task", "End": true}}},
                        {"StartAt": "Revoke", "States": {"Revoke": {"Type": "Task", "End": true}}},
                    ],
                    "Next": "Contained",
                },
                "Contained": {"Type": "Pass", "End": true},
                "Leave alone": {"Type": "Pass", "End": true},
            },
        }))
        .unwrap();
        assert_eq!(entered(&flow, &BTreeSet::from(["Notify"])), 2);
        assert_eq!(entered(&flow, &BTreeSet::from(["Deny all"])), 5);
    }
}
