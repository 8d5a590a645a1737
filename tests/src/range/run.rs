//! What an execution did, and when.

use std::time::Duration;

use aws_sdk_sfn::{
    error::SdkError,
    primitives::DateTime,
    types::{ExecutionStatus, HistoryEvent},
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Range,
    error::{Context, Error, Result},
    event::Event,
};

/// How long an execution may take to begin, and then to end.
const TO_BEGIN: Duration = Duration::from_secs(20);
const TO_END: Duration = Duration::from_mins(2);

/// How often one that runs is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// An execution that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Its name; for a runbook, the incident's id.
    pub(crate) name: String,
    /// The state machine's name.
    pub(crate) machine: String,
    /// How it ended.
    pub(crate) status: ExecutionStatus,
    /// Why it failed, as its Fail state says.
    pub(crate) error: String,
    /// The same, in words.
    pub(crate) cause: String,
    /// What happened, in order.
    pub(crate) moments: Vec<Moment>,
    /// The states it entered, in order; the emulator leaves out those inside Parallel states.
    pub(crate) entered: Vec<String>,
    /// All that its history holds, for whoever searches it.
    history: String,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// When.
    pub(crate) at: Timestamp,
    /// The state.
    pub(crate) state: String,
    /// What it answered, or why it failed.
    pub(crate) answer: std::result::Result<Value, TaskFailure>,
}

/// Why a Task failed.
#[derive(Debug, Clone)]
pub(crate) struct TaskFailure {
    /// The name that a Catch matches.
    pub(crate) error: String,
    /// In words.
    pub(crate) cause: String,
}

impl Run {
    /// Whether it ended green.
    pub(crate) fn succeeded(&self) -> bool {
        self.status == ExecutionStatus::Succeeded
    }

    /// Whether it ended red: by its own Fail state, not by a fault of the state machine.
    pub(crate) fn failed_with(&self, error: &str) -> bool {
        self.status == ExecutionStatus::Failed && self.error == error
    }

    /// Whether its input or history holds `text` anywhere.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.history.contains(text)
    }

    /// How often it entered `state`, which is not inside a Parallel state.
    pub(crate) fn times(&self, state: &str) -> usize {
        self.entered.iter().filter(|name| *name == state).count()
    }

    /// The answers of `state`, in order.
    pub(crate) fn answers(&self, state: &str) -> impl Iterator<Item = &Value> {
        self.moments
            .iter()
            .filter(move |moment| moment.state == state)
            .filter_map(|moment| moment.answer.as_ref().ok())
    }

    /// The failures of `state`, in order.
    pub(crate) fn failures(&self, state: &str) -> impl Iterator<Item = &TaskFailure> {
        self.moments
            .iter()
            .filter(move |moment| moment.state == state)
            .filter_map(|moment| moment.answer.as_ref().err())
    }
}

impl Range {
    /// Waits for the runbook that answers `event`, and for its end.
    pub(crate) async fn run_of(&self, event: &Event) -> Result<Run> {
        self.incident(event.id()).await
    }

    /// Waits for the runbook that answers the incident `id`, and for its end.
    pub(crate) async fn incident(&self, id: &str) -> Result<Run> {
        let deadline = Instant::now() + TO_BEGIN;
        while Instant::now() < deadline {
            for machine in self.runbooks() {
                let arn = execution_arn(machine, id);
                if self.exists(&arn).await? {
                    return self.end_of(&arn).await;
                }
            }
            sleep(LOOK).await;
        }
        Err(Error::new(format!(
            "no runbook answered the incident {id} within {} s",
            TO_BEGIN.as_secs()
        )))
    }

    /// Starts the state machine `machine` with `input`, as an operator does, and waits for its end.
    pub(crate) async fn run(&self, machine: &str, input: &Value) -> Result<Run> {
        let arn = self.start_machine(machine, input).await?;
        self.end_of(&arn).await
    }

    /// Starts `machine`, and answers the execution's ARN.
    pub(crate) async fn start_machine(&self, machine: &str, input: &Value) -> Result<String> {
        let call = self.aws.sfn.start_execution().state_machine_arn(machine);
        let started = call.input(input.to_string()).send().await;
        let started = started.context(format!("starting {machine}"))?;
        Ok(started.execution_arn)
    }

    async fn exists(&self, execution: &str) -> Result<bool> {
        let asked = self.aws.sfn.describe_execution().execution_arn(execution);
        match asked.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_execution_does_not_exist() => {
                Ok(false)
            }
            Err(error) => Err(error).context("states:DescribeExecution"),
        }
    }

    /// Waits for the end of an execution.
    pub(crate) async fn end_of(&self, execution: &str) -> Result<Run> {
        let deadline = Instant::now() + TO_END;
        loop {
            let asked = self.aws.sfn.describe_execution().execution_arn(execution);
            let now = asked.send().await.context("states:DescribeExecution")?;
            if now.status != ExecutionStatus::Running {
                let history = self.history(execution).await?;
                let (moments, entered) = read(&history);
                return Ok(Run {
                    name: now.name.unwrap_or_default(),
                    machine: machine_name(&now.state_machine_arn).to_owned(),
                    status: now.status,
                    error: now.error.unwrap_or_default(),
                    cause: now.cause.unwrap_or_default(),
                    moments,
                    entered,
                    history: format!("{:?}{history:?}", now.input),
                });
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!(
                    "{execution} still runs after {} s",
                    TO_END.as_secs()
                )));
            }
            sleep(LOOK).await;
        }
    }

    async fn history(&self, execution: &str) -> Result<Vec<HistoryEvent>> {
        let pages = self.aws.sfn.get_execution_history();
        let mut pages = pages.execution_arn(execution).into_paginator().send();
        let mut events = Vec::new();
        while let Some(page) = pages.next().await {
            events.extend(page.context("states:GetExecutionHistory")?.events);
        }
        Ok(events)
    }
}

/// The last part of a state machine's or an execution's ARN.
pub(crate) fn machine_name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

fn execution_arn(machine: &str, name: &str) -> String {
    format!(
        "{}:{name}",
        machine.replace(":stateMachine:", ":execution:")
    )
}

fn json(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Reads a history. Inside Parallel states the emulator does not say which state a Task belongs
/// to; the state's own output does, by holding the same answer under the step's name.
fn read(history: &[HistoryEvent]) -> (Vec<Moment>, Vec<String>) {
    let mut steps = Vec::new();
    for event in history {
        if let Some(exited) = &event.state_exited_event_details {
            collect_steps(&json(exited.output.as_deref()), &mut steps);
        }
    }
    let mut moments = Vec::new();
    let mut entered: Vec<String> = Vec::new();
    let mut inside = None;
    for event in history {
        let kind = event.r#type.as_str();
        if let Some(state) = &event.state_entered_event_details {
            entered.push(state.name.clone());
            inside = kind.starts_with("Task").then(|| state.name.clone());
        }
        let answer = if let Some(task) = &event.task_succeeded_event_details {
            let output = json(task.output.as_deref());
            Ok(output.get("Payload").cloned().unwrap_or(output))
        } else if let Some(task) = &event.task_failed_event_details {
            Err(TaskFailure {
                error: task.error.clone().unwrap_or_default(),
                cause: message(task.cause.as_deref().unwrap_or_default()),
            })
        } else {
            continue;
        };
        let state = inside
            .clone()
            .or_else(|| take_step(&mut steps, &answer))
            .unwrap_or_else(|| "a step".to_owned());
        moments.push(Moment {
            at: timestamp(event.timestamp),
            state,
            answer,
        });
    }
    (moments, entered)
}

/// A worker's message, out of what Lambda makes of it.
fn message(cause: &str) -> String {
    let message = json(Some(cause))["errorMessage"]
        .as_str()
        .map(str::to_owned);
    message.unwrap_or_else(|| cause.to_owned())
}

/// Finds every `{step, result}` and `{step, failure}` in a state's output.
fn collect_steps(output: &Value, steps: &mut Vec<Value>) {
    match output {
        Value::Array(items) => items.iter().for_each(|item| collect_steps(item, steps)),
        Value::Object(fields) if fields.get("step").is_some_and(Value::is_string) => {
            steps.push(output.clone());
        }
        _ => {}
    }
}

fn take_step(
    steps: &mut Vec<Value>,
    answer: &std::result::Result<Value, TaskFailure>,
) -> Option<String> {
    let index = steps.iter().position(|step| match answer {
        Ok(answer) => step["result"] == *answer,
        Err(failure) => step["failure"]["Error"] == failure.error.as_str(),
    })?;
    steps.remove(index)["step"].as_str().map(str::to_owned)
}

fn timestamp(time: DateTime) -> Timestamp {
    Timestamp::from_nanosecond(time.as_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::types::{
        HistoryEventType, StateEnteredEventDetails, StateExitedEventDetails,
        TaskFailedEventDetails, TaskSucceededEventDetails,
    };

    use super::*;

    fn event(kind: HistoryEventType) -> aws_sdk_sfn::types::builders::HistoryEventBuilder {
        HistoryEvent::builder()
            .timestamp(DateTime::from_secs(1))
            .r#type(kind)
            .id(1)
    }

    fn entered(kind: HistoryEventType, state: &str) -> HistoryEvent {
        let details = StateEnteredEventDetails::builder().name(state).build();
        event(kind)
            .state_entered_event_details(details.unwrap())
            .build()
            .unwrap()
    }

    fn exited(kind: HistoryEventType, state: &str, output: &str) -> HistoryEvent {
        let details = StateExitedEventDetails::builder()
            .name(state)
            .output(output);
        event(kind)
            .state_exited_event_details(details.build().unwrap())
            .build()
            .unwrap()
    }

    fn succeeded(output: &str) -> HistoryEvent {
        let details = TaskSucceededEventDetails::builder()
            .resource_type("lambda")
            .resource("invoke")
            .output(output);
        event(HistoryEventType::TaskSucceeded)
            .task_succeeded_event_details(details.build().unwrap())
            .build()
            .unwrap()
    }

    fn failed(error: &str) -> HistoryEvent {
        let details = TaskFailedEventDetails::builder()
            .resource_type("lambda")
            .resource("invoke")
            .error(error);
        event(HistoryEventType::TaskFailed)
            .task_failed_event_details(details.build().unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn a_task_is_told_by_its_state_also_inside_a_parallel_state() {
        use HistoryEventType::{
            ParallelStateEntered, ParallelStateExited, TaskStateEntered, TaskStateExited,
        };
        let (moments, entered) = read(&[
            entered(TaskStateEntered, "Open"),
            succeeded(r#"{"Payload": {"summary": "opened"}}"#),
            exited(TaskStateExited, "Open", "{}"),
            entered(ParallelStateEntered, "Respond"),
            failed("TargetNotFound"),
            succeeded(r#"{"Payload": {"summary": "started"}}"#),
            exited(
                ParallelStateExited,
                "Respond",
                r#"[{"step": "Restore", "result": {"summary": "started"}},
                    [{"step": "Deny", "failure": {"Error": "TargetNotFound"}}]]"#,
            ),
        ]);
        let told: Vec<_> = moments
            .iter()
            .map(|moment| (moment.state.as_str(), moment.answer.is_ok()))
            .collect();
        assert_eq!(told, [("Open", true), ("Deny", false), ("Restore", true)]);
        assert_eq!(entered, ["Open", "Respond"]);
    }
}
