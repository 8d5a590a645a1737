//! Queries of CloudWatch Logs Insights.
//!
//! A query takes its time, and a worker has little: [`Insights::pursue`] waits for one, and hands it
//! over as [`Query`] to the next run where it is not done; [`Insights::glance`] is for one that may
//! as well be left out.

use std::{str::FromStr, time::Duration};

use aws_sdk_cloudwatchlogs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{QueryStatus, ResultField},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};
use worker::Failure;

/// Between two questions whether a query is done.
const PAUSE: Duration = Duration::from_secs(1);

/// How long [`Insights::glance`] waits.
const GLANCE: Duration = Duration::from_secs(10);

/// How long it is worthwhile to ask again: a query that runs for longer is given up.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// One line of a query's result.
pub type Row = Vec<ResultField>;

/// A row's value in a column; none when it is empty.
#[must_use]
pub fn cell<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    let field = row.iter().find(|field| field.field() == Some(column))?;
    field.value().filter(|value| !value.is_empty())
}

/// A row's value in a column, read; none when it does not parse.
#[must_use]
pub fn read<T: FromStr>(row: &Row, column: &str) -> Option<T> {
    cell(row, column)?.parse().ok()
}

/// A query that still runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// Its id.
    pub id: String,
    /// When it was started.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// Whether the log group held every event of the window by then.
    pub arrived: bool,
}

/// What a run got by waiting for a query.
#[derive(Debug, PartialEq)]
pub enum Pursuit {
    /// The query is done, and these are its rows.
    Found(Query, Vec<Row>),
    /// There is no result yet.
    Unfinished {
        /// What the next run goes on waiting for; none when it begins a new search.
        query: Option<Query>,
        /// Whether another run is worthwhile.
        again: bool,
        /// Why there is none, in words.
        why: &'static str,
    },
}

/// How a query is getting on.
#[derive(Debug)]
pub enum Progress {
    /// It still runs.
    Running,
    /// It is done.
    Done(Vec<Row>),
    /// It ended without a result, and must be started again.
    Lost,
}

/// The log group that is asked.
#[derive(Debug, Clone, Copy)]
pub struct Insights<'a> {
    /// The client.
    pub logs: &'a Client,
    /// Its name.
    pub group: &'a str,
}

impl Insights<'_> {
    /// Starts a query. None when as many run already as the account may have.
    ///
    /// # Errors
    /// [`Failure::TargetNotFound`] when there is no such log group, else what AWS answered.
    pub async fn start(
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
    ///
    /// # Errors
    /// When the result may not be read.
    pub async fn wait(self, id: &str, until: Instant) -> Result<Progress, Failure> {
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

    /// Waits until `until` for a query that this run started, or an earlier one; none is one that
    /// could not be started. One that has run for [`PATIENCE`] is stopped.
    ///
    /// # Errors
    /// When the result may not be read.
    pub async fn pursue(
        self,
        query: Option<Query>,
        now: Timestamp,
        until: Instant,
    ) -> Result<Pursuit, Failure> {
        let unfinished = |query, again, why| Pursuit::Unfinished { query, again, why };
        let Some(query) = query else {
            let why = "as many queries run already as the account may run";
            return Ok(unfinished(None, true, why));
        };
        Ok(match self.wait(&query.id, until).await? {
            Progress::Done(rows) => Pursuit::Found(query, rows),
            Progress::Lost => unfinished(None, true, "the query ended without a result"),
            Progress::Running if now.duration_since(query.started_at) < PATIENCE => {
                unfinished(Some(query), true, "the query still runs")
            }
            Progress::Running => {
                self.stop(&query.id).await;
                let why = "the query did not end within half an hour and was stopped";
                unfinished(None, false, why)
            }
        })
    }

    /// The rows of a query that is answered within seconds. None when it is not: then it is stopped.
    ///
    /// # Errors
    /// As [`Insights::start`] and [`Insights::wait`].
    pub async fn glance(
        self,
        query: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Vec<Row>>, Failure> {
        let Some(id) = self.start(query, from, to).await? else {
            return Ok(None);
        };
        match self.wait(&id, Instant::now() + GLANCE).await? {
            Progress::Done(rows) => Ok(Some(rows)),
            Progress::Lost => Ok(None),
            Progress::Running => {
                self.stop(&id).await;
                Ok(None)
            }
        }
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
    pub async fn stop(self, id: &str) {
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

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatchlogs::{
        config::retry::RetryConfig,
        operation::{get_query_results::GetQueryResultsOutput, stop_query::StopQueryOutput},
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use serde_json::json;

    use super::*;

    /// Logs Insights that says one thing of every query, and counts how many were stopped.
    fn insights(status: QueryStatus, code: Option<&'static str>) -> (Client, Rule) {
        let starts = mock!(Client::start_query).then_http_response(move || match code {
            Some(code) => refuse(code),
            None => HttpResponse::new(
                200.try_into().unwrap(),
                json!({"queryId": "q-1"}).to_string().into(),
            ),
        });
        let polls = mock!(Client::get_query_results).then_output(move || {
            GetQueryResultsOutput::builder()
                .status(status.clone())
                .results(row())
                .build()
        });
        let stops = mock!(Client::stop_query)
            .then_output(|| StopQueryOutput::builder().success(true).build());
        let client = mock_client!(
            aws_sdk_cloudwatchlogs,
            RuleMode::MatchAny,
            &[&starts, &polls, &stops],
            |config| config.retry_config(RetryConfig::disabled())
        );
        (client, stops)
    }

    fn refuse(code: &str) -> HttpResponse {
        HttpResponse::new(
            400.try_into().unwrap(),
            json!({"__type": code, "message": "what AWS said"})
                .to_string()
                .into(),
        )
    }

    fn row() -> Row {
        let field =
            |name: &str, value: &str| ResultField::builder().field(name).value(value).build();
        vec![field("calls", "12"), field("address", "")]
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn query() -> Query {
        Query {
            id: "q-1".to_owned(),
            started_at: at("2026-11-25T03:00:00Z"),
            arrived: true,
        }
    }

    async fn pursue(client: &Client, query: Option<Query>, now: &str) -> Pursuit {
        let insights = Insights {
            logs: client,
            group: "trail",
        };
        let until = Instant::now() + Duration::from_secs(5);
        insights.pursue(query, at(now), until).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_is_done_is_found_and_one_that_runs_is_handed_over_for_half_an_hour() {
        let (client, stops) = insights(QueryStatus::Complete, None);
        let found = pursue(&client, Some(query()), "2026-11-25T03:01:00Z").await;
        assert_eq!(found, Pursuit::Found(query(), vec![row()]));

        let (client, running) = insights(QueryStatus::Running, None);
        let Pursuit::Unfinished {
            query: next, again, ..
        } = pursue(&client, Some(query()), "2026-11-25T03:29:59Z").await
        else {
            panic!("it runs");
        };
        assert_eq!((next, again), (Some(query()), true));
        assert_eq!(running.num_calls() + stops.num_calls(), 0);

        let Pursuit::Unfinished {
            query: next,
            again,
            why,
        } = pursue(&client, Some(query()), "2026-11-25T03:30:00Z").await
        else {
            panic!("it runs");
        };
        assert_eq!((next, again), (None, false));
        assert!(why.contains("stopped"), "{why}");
        assert_eq!(running.num_calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_was_lost_or_never_started_begins_anew() {
        let (client, _) = insights(QueryStatus::Failed, None);
        for lost in [Some(query()), None] {
            let Pursuit::Unfinished { query, again, .. } =
                pursue(&client, lost, "2026-11-25T03:01:00Z").await
            else {
                panic!("there are no rows");
            };
            assert_eq!((query, again), (None, true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_glance_sees_rows_or_nothing() {
        for (status, code, rows, stopped) in [
            (QueryStatus::Complete, None, Some(vec![row()]), 0),
            (QueryStatus::Timeout, None, None, 0),
            (QueryStatus::Running, None, None, 1),
            (
                QueryStatus::Running,
                Some("LimitExceededException"),
                None,
                0,
            ),
        ] {
            let (client, stops) = insights(status, code);
            let insights = Insights {
                logs: &client,
                group: "trail",
            };
            let (from, to) = (at("2026-11-25T03:00:00Z"), at("2026-11-25T03:05:00Z"));
            let seen = insights.glance("fields @message", from, to).await.unwrap();
            assert_eq!(seen, rows);
            assert_eq!(stops.num_calls(), stopped);
        }
    }

    #[tokio::test]
    async fn a_query_that_may_not_be_asked_is_a_failure_of_its_class() {
        for (code, class) in [
            ("AccessDeniedException", "AccessDenied"),
            ("MalformedQueryException", "Rejected"),
            ("ResourceNotFoundException", "TargetNotFound"),
            ("ThrottlingException", "Transient"),
        ] {
            let (client, _) = insights(QueryStatus::Running, Some(code));
            let insights = Insights {
                logs: &client,
                group: "trail",
            };
            let now = at("2026-11-25T03:00:00Z");
            let failure = insights.glance("fields @message", now, now).await;
            assert_eq!(failure.unwrap_err().name(), class, "{code}");
        }
    }

    #[test]
    fn an_empty_cell_is_none_and_a_value_is_read_as_what_it_is_asked_for() {
        assert_eq!(cell(&row(), "calls"), Some("12"));
        assert_eq!(cell(&row(), "address"), None);
        assert_eq!(read(&row(), "calls"), Some(12_u64));
        assert_eq!(read::<u64>(&row(), "address"), None);
    }
}
