//! The Lambda side of a worker.

use std::{
    pin::Pin,
    time::{Duration, Instant, SystemTime},
};

use aws_config::SdkConfig;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

use crate::{Failure, Worker, input::parse};

/// What is kept of the invocation's time to report that it ran out.
const TIME_TO_REPORT: Duration = Duration::from_millis(750);

/// Answers one payload: what tests call, and what [`serve`] calls for every invocation.
///
/// # Errors
/// [`Failure::InvalidInput`] when the payload does not fit, otherwise the worker's own failure.
pub async fn answer<W: Worker>(worker: &W, payload: &Value) -> Result<Value, Failure> {
    let output = worker.run(parse(payload)?).await?;
    serde_json::to_value(output)
        .map_err(|error| Failure::Rejected(format!("the answer is not JSON: {error}")))
}

/// Runs a worker as a Lambda function; every `main` is a call of this.
///
/// A worker that cannot be built (a setting is missing) still answers, with the failure that says
/// which: a process that dies at start tells Step Functions nothing.
///
/// # Errors
/// When the Lambda runtime cannot be reached.
pub async fn serve<W: Worker>(
    build: impl FnOnce(&SdkConfig) -> Result<W, Failure>,
) -> Result<(), lambda_runtime::Error> {
    tracing_subscriber::fmt()
        .json()
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .init();
    let name = &std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let worker = &build(&crate::sdk_config().await);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let started = Instant::now();
        let result = match worker {
            Ok(worker) => {
                // Boxed: the compiler cannot lay out an SDK call this deep inside the runtime.
                let work: Pin<Box<dyn Future<Output = _> + '_>> =
                    Box::pin(answer(worker, &event.payload));
                within(event.context.deadline(), work).await
            }
            Err(failure) => Err(failure.clone()),
        };
        log(name, &event.payload, &result, started.elapsed());
        result
    }))
    .await
}

async fn within(
    deadline: SystemTime,
    work: impl Future<Output = Result<Value, Failure>>,
) -> Result<Value, Failure> {
    let left = deadline
        .duration_since(SystemTime::now())
        .unwrap_or_default()
        .saturating_sub(TIME_TO_REPORT);
    tokio::time::timeout(left, work).await.unwrap_or_else(|_| {
        Err(Failure::Transient(format!(
            "not finished after {} s; safe to run again",
            left.as_secs()
        )))
    })
}

fn log(worker: &str, payload: &Value, result: &Result<Value, Failure>, took: Duration) {
    let incident = payload["incidentId"].as_str().unwrap_or_default();
    let (outcome, changed) = match result {
        Ok(output) => ("done", output["changed"].as_bool()),
        Err(failure) => (failure.name(), None),
    };
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(worker, incident, outcome, changed, millis);
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    struct Echo;

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Input {
        incident_id: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Output {
        said: String,
    }

    impl Worker for Echo {
        type Input = Input;
        type Output = Output;

        async fn run(&self, input: Input) -> Result<Output, Failure> {
            match input.incident_id.as_str() {
                "slow" => tokio::time::sleep(Duration::from_hours(1)).await,
                "gone" => return Err(Failure::TargetNotFound("nobody".to_owned())),
                _ => {}
            }
            Ok(Output {
                said: input.incident_id,
            })
        }
    }

    #[tokio::test]
    async fn a_payload_that_fits_is_answered() {
        let answer = answer(&Echo, &json!({"incidentId": "i-1"})).await.unwrap();
        assert_eq!(answer, json!({"said": "i-1"}));
    }

    #[tokio::test]
    async fn a_payload_that_does_not_fit_is_refused_by_field() {
        let failure = answer(&Echo, &json!({"incidentId": 7})).await.unwrap_err();
        assert_eq!(failure.name(), "InvalidInput");
        assert_eq!(failure.to_string(), "`incidentId`: expected a string");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_answers_before_lambda_kills_it() {
        let deadline = SystemTime::now() + Duration::from_secs(30);
        let payload = json!({"incidentId": "slow"});
        let failure = within(deadline, answer(&Echo, &payload)).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
    }
}
