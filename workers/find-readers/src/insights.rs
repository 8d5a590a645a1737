//! Queries of CloudWatch Logs Insights.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{QueryStatus, ResultField},
};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};
use worker::Failure;

/// Between two questions whether a query is done.
const PAUSE: Duration = Duration::from_secs(1);

/// One line of a query's result.
pub(crate) type Row = Vec<ResultField>;

/// How a query is getting on.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It still runs.
    Running,
    /// It is done.
    Done(Vec<Row>),
    /// It ended without a result, and must be started again.
    Lost,
}

/// The log group that is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Insights<'a> {
    pub(crate) logs: &'a Client,
    pub(crate) group: &'a str,
}

impl Insights<'_> {
    /// Starts a query. None when as many run already as the account may have.
    pub(crate) async fn start(
        self,
        query: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<String>, Failure> {
        let started = self
            .logs
            .start_query()
            .log_group_name(self.group)
            .start_time(from.as_second())
            .end_time(to.as_second())
            .query_string(query)
            .send()
            .await;
        match started {
            Ok(started) => started.query_id.map(Some).ok_or_else(|| {
                Failure::Rejected("logs:StartQuery: answered without a query's id".to_owned())
            }),
            Err(error) if error.code() == Some("LimitExceededException") => Ok(None),
            Err(error) => Err(failure("logs:StartQuery", &error)),
        }
    }

    /// Waits for a query until it has ended, at the longest until `until`. One whose result must
    /// not be read is stopped.
    pub(crate) async fn wait(self, id: &str, until: Instant) -> Result<Progress, Failure> {
        let waiting = async {
            loop {
                match self.look(id).await {
                    Ok(Progress::Running) | Err(Failure::Transient(_)) => sleep(PAUSE).await,
                    ended => return ended,
                }
            }
        };
        let ended = timeout_at(until, waiting).await;
        let progress = ended.unwrap_or(Ok(Progress::Running));
        if progress.is_err() {
            self.stop(id).await;
        }
        progress
    }

    async fn look(self, id: &str) -> Result<Progress, Failure> {
        let answer = match self.logs.get_query_results().query_id(id).send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                return Ok(Progress::Lost);
            }
            Err(error) => return Err(failure("logs:GetQueryResults", &error)),
        };
        Ok(match answer.status {
            Some(QueryStatus::Complete) => Progress::Done(answer.results.unwrap_or_default()),
            Some(QueryStatus::Cancelled | QueryStatus::Failed | QueryStatus::Timeout) => {
                Progress::Lost
            }
            _ => Progress::Running,
        })
    }

    /// Stops a query that nobody waits for any more; if that fails, it ends by itself.
    pub(crate) async fn stop(self, id: &str) {
        if let Err(error) = self.logs.stop_query().query_id(id).send().await {
            let failure = failure("logs:StopQuery", &error);
            tracing::warn!(failure = failure.name(), "a query could not be stopped");
        }
    }
}

fn failure<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failure = Failure::aws(call, error);
    match error.code() {
        Some("ResourceNotFoundException") => Failure::TargetNotFound(failure.to_string()),
        _ => failure,
    }
}
