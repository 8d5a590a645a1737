//! Time limits, retries and catches.

use serde_json::Value;
use worker::Failure;

use super::{Project, Runbook, wiring};
use crate::asl::{Catcher, Kind, Retrier, State, expression};

/// The errors of Step Functions itself that a machine may name.
const STEP_FUNCTIONS: [&str; 12] = [
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
];

/// A name already taken, as AWS and as the local AWS spell it; only triage starts executions.
const ALREADY_EXISTS: [&str; 2] = [
    "ExecutionAlreadyExists",
    "StepFunctions.ExecutionAlreadyExistsException",
];

/// The Retry of every Task: what may succeed later, with full jitter.
#[must_use]
pub fn common_retry() -> Retrier {
    let errors = [
        "Transient",
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        "Lambda.Unknown",
        "Sandbox.Timedout",
    ];
    Retrier {
        comment: None,
        error_equals: errors.map(str::to_owned).to_vec(),
        interval_seconds: Some(1),
        max_attempts: Some(4),
        backoff_rate: Some(2.0),
        max_delay_seconds: Some(15),
        jitter_strategy: Some("FULL".to_owned()),
    }
}

/// Whether a Catch is the one that every Task, Map and Parallel ends its list with.
pub(super) fn is_common(catcher: &Catcher) -> bool {
    catcher.error_equals == ["States.ALL"]
}

/// A name that no worker, Lambda or Step Functions gives matches nothing, silently; and AWS wants
/// States.ALL alone and last.
pub(super) fn errors_exist(runbook: &Runbook, _: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, state) in runbook.flow.walk() {
        let retry: Vec<_> = state.retry.iter().map(|it| &it.error_equals).collect();
        let catch: Vec<_> = state.catch.iter().map(|it| &it.error_equals).collect();
        for (field, lists) in [("Retry", retry), ("Catch", catch)] {
            for (n, errors) in lists.iter().enumerate() {
                for error in errors.iter().filter(|it| !exists(it, &runbook.name)) {
                    violations.push(format!(
                        "`{name}` matches `{error}` in {field}, an error that nothing gives"
                    ));
                }
                let all = errors.iter().any(|error| error == "States.ALL");
                if errors.is_empty() {
                    violations.push(format!("`{name}` has a {field} of no error"));
                } else if all && errors.len() > 1 {
                    violations.push(format!("`{name}` has States.ALL beside others in {field}"));
                } else if all && n + 1 < lists.len() {
                    violations.push(format!("`{name}` has a {field} after States.ALL"));
                }
            }
        }
    }
    violations
}

fn exists(error: &str, runbook: &str) -> bool {
    Failure::NAMES.contains(&error)
        || STEP_FUNCTIONS.contains(&error)
        || error.starts_with("Lambda.")
        || error == "Sandbox.Timedout"
        || runbook == "triage" && ALREADY_EXISTS.contains(&error)
}

/// The machine and every Task end by themselves, a Task later than its worker, whose own time-out
/// is retried; every Task has the common Retry; every Task, Map and Parallel catches everything.
/// ASL gives Map and Parallel no time limit of their own.
pub(super) fn are_kept(runbook: &Runbook, project: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    if runbook.flow.timeout_seconds.is_none() {
        violations.push("the machine has no TimeoutSeconds".to_owned());
    }
    for (name, state) in runbook.flow.walk() {
        violations.extend(
            broken_by(state)
                .into_iter()
                .map(|violation| format!("`{name}` {violation}")),
        );
        let worker = wiring::worker_of(state);
        let limit = worker.and_then(|worker| wiring::seconds_of(&worker, project));
        let given = state.timeout_seconds.as_ref().and_then(Value::as_u64);
        if let (Some(given), Some(limit)) = (given, limit)
            && given <= limit
        {
            violations.push(format!(
                "`{name}` gives up after {given} s, its worker after {limit} s"
            ));
        }
    }
    violations
}

fn broken_by(state: &State) -> Vec<&'static str> {
    let mut broken = Vec::new();
    if matches!(state.kind, Kind::Task | Kind::Map | Kind::Parallel)
        && !state.catch.last().is_some_and(is_common)
    {
        broken.push("does not catch States.ALL last");
    }
    if state.kind == Kind::Task {
        if state.timeout_seconds.is_none() {
            broken.push("has no TimeoutSeconds");
        }
        if state.retry != [common_retry()] {
            broken.push("has not the common Retry");
        }
    } else if state.timeout_seconds.is_some() || state.heartbeat_seconds.is_some() {
        broken.push("is no Task and cannot have TimeoutSeconds or HeartbeatSeconds");
    }
    let numbers = [
        &state.timeout_seconds,
        &state.heartbeat_seconds,
        &state.seconds,
    ];
    let is_text = |text: &str| expression(text).is_none();
    if numbers
        .into_iter()
        .flatten()
        .any(|it| it.as_str().is_some_and(is_text))
    {
        broken.push("gives a number of seconds as text: write a number or `{% … %}`");
    }
    broken
}
