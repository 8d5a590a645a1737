//! Whether an operator's run of the state machine asks.
//!
//! Starting the machine is an event, which is watched. Invoking the worker's function is none:
//! whoever may do that could otherwise record what they like, unseen.

use aws_sdk_sfn::types::ExecutionStatus;
use incident::{BadSetting, Settings};
use serde_json::Value;
use worker::Failure;

use crate::{Input, RecordBaseline, Request};

/// The ARN of an execution of our own state machine, up to the execution's name.
///
/// # Errors
/// Names the setting that is missing.
pub(crate) fn executions<F>(settings: &Settings<F>) -> Result<String, BadSetting>
where
    F: Fn(&str) -> Option<String>,
{
    let setting = |name| settings.required::<String>(name);
    let (partition, region) = (setting("PARTITION")?, setting("AWS_REGION")?);
    let (account, stack) = (setting("ACCOUNT_ID")?, setting("STACK_NAME")?);
    Ok(format!(
        "arn:{partition}:states:{region}:{account}:execution:{stack}-record-baseline:"
    ))
}

impl RecordBaseline {
    /// That a run of our own state machine is under way that was started with this request.
    ///
    /// # Errors
    /// [`Failure::Rejected`] when it is not so, and whatever AWS answers when it cannot be asked.
    pub(crate) async fn is_asked_by_a_run(&self, input: &Input) -> Result<(), Failure> {
        let execution = input.execution_arn.as_str();
        let refused = |why: String| {
            Failure::Rejected(format!(
                "{execution} {why}: a baseline is recorded by starting the record-baseline state \
                 machine, and nothing was recorded"
            ))
        };
        let (ours, id) = (&self.executions, &input.incident_id);
        if execution != format!("{ours}{id}") {
            return Err(refused(format!("is not the run {ours}{id}")));
        }
        let described = self.states.describe_execution().execution_arn(execution);
        let described = described.send().await.map_err(|error| {
            Failure::aws("states:DescribeExecution", &error).rephrase(|why| {
                format!("whether a run asks for it is not known, and nothing was recorded: {why}")
            })
        })?;
        let status = described.status();
        if *status != ExecutionStatus::Running {
            return Err(refused(format!("is not running, but {}", status.as_str())));
        }
        let asked = described.input().and_then(|input| {
            let input: Value = serde_json::from_str(input).ok()?;
            worker::parse::<Request>(&input).ok()
        });
        if asked.as_ref() != Some(&input.request) {
            return Err(refused("was started with another input".to_owned()));
        }
        Ok(())
    }
}
