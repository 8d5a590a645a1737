//! Time limits, retries and catches.

use serde_json::Value;
use worker::Failure;

use super::{INVOKE, Project, Runbook, START, wiring};
use crate::asl::{Catcher, Flow, Kind, Retrier, State, expression};

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

/// The name is taken: the machine was started before. As the local AWS and as AWS spell it.
const ALREADY_EXISTS: [&str; 2] = [
    "ExecutionAlreadyExists",
    "StepFunctions.ExecutionAlreadyExistsException",
];

/// The Retry of every Task that calls a worker: what may succeed later.
fn common_retry() -> Vec<Retrier> {
    vec![patient(&[
        "Transient",
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        "Lambda.Unknown",
        "Sandbox.Timedout",
    ])]
}

/// The Retry of every Task that starts a machine: whatever fails, as AWS's many names for it all
/// count as `States.TaskFailed`, except that it was started before.
fn start_retry() -> Vec<Retrier> {
    let never = Retrier {
        comment: None,
        error_equals: ALREADY_EXISTS.map(str::to_owned).to_vec(),
        interval_seconds: None,
        max_attempts: Some(0),
        backoff_rate: None,
        max_delay_seconds: None,
        jitter_strategy: None,
    };
    vec![never, patient(&["States.TaskFailed", "States.Timeout"])]
}

/// Four more times, with full jitter.
fn patient(errors: &[&str]) -> Retrier {
    Retrier {
        comment: None,
        error_equals: errors.iter().map(|&error| error.to_owned()).collect(),
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

/// A name that what is called never gives matches nothing, silently; and AWS wants States.ALL
/// alone and last.
pub(super) fn errors_exist(runbook: &Runbook, _: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, state) in runbook.flow.walk() {
        let retry: Vec<_> = state.retry.iter().map(|it| &it.error_equals).collect();
        let catch: Vec<_> = state.catch.iter().map(|it| &it.error_equals).collect();
        for (field, lists) in [("Retry", retry), ("Catch", catch)] {
            for (n, errors) in lists.iter().enumerate() {
                for error in errors.iter().filter(|it| !gives(state, it)) {
                    violations.push(format!(
                        "`{name}` matches `{error}` in {field}, which it never gives"
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

/// Whether a state may fail with `error`: itself, or through a state inside.
fn gives(state: &State, error: &str) -> bool {
    let from_call = match state.resource.as_deref() {
        Some(INVOKE) => {
            Failure::NAMES.contains(&error)
                || error.starts_with("Lambda.")
                || error == "Sandbox.Timedout"
        }
        Some(START) => ALREADY_EXISTS.contains(&error),
        _ => false,
    };
    let mut inside = state.flows().flat_map(Flow::walk);
    from_call || STEP_FUNCTIONS.contains(&error) || inside.any(|(_, it)| gives(it, error))
}

/// The machine and every Task end by themselves, a Task later than its worker, whose own time-out
/// is retried; every Task has the Retry for what it calls; every Task, Map and Parallel catches
/// everything. ASL gives Map and Parallel no time limit of their own.
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
        let starts = state.resource.as_deref() == Some(START);
        if starts && state.retry != start_retry() {
            broken.push("has not the Retry of a start");
        } else if !starts && state.retry != common_retry() {
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
