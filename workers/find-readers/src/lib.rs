//! Finds who read the patients' table while an alarm saw too many reads: the metric names nobody.
//!
//! **Act.** Asks the trail's log group, through Logs Insights, for the successful reads of the table,
//! of its indexes and of its stream in the alarm's window and five minutes around it, and tells who
//! made them: whoever is not the CRM's own first. It reports and contains nobody: which of the
//! readers should not have read is for a human to say. A dry run asks all the same, since asking
//! changes nothing.
//!
//! The query selects who called, when, from where and which API. What was asked for, which may name
//! a patient, never leaves the log group.
//!
//! **Waiting.** Calls reach the log group minutes later, and a query takes its time. So an answer is
//! `complete` only when an event of the table's region that occurred five minutes after the window
//! had arrived before the search began: CloudTrail delivers within five minutes on average, in no
//! order. Otherwise it holds what was found so far, and `again` says whether asking again is
//! worthwhile: until half an hour after the window. A query that still runs after 45 seconds comes
//! back as `query`, which the next payload hands over; after half an hour it is stopped.
//!
//! Whoever runs this waits a minute or two between two runs and bounds their number. `left` says in
//! every answer what a human would have to do if it were the last.
//!
//! **Undo.** None: nothing is changed. **A second run** asks again, which costs what is scanned.
//!
//! **Calls.** `logs:StartQuery` on the log group, `logs:GetQueryResults`, `logs:StopQuery`.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html>

mod readers;
mod window;

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use incident::{IncidentId, RoleArn, Settings, TableArn, cut};
use jiff::Timestamp;
pub use log_insights::Query;
use log_insights::{Insights, PATIENCE, Pursuit, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use worker::{Failure, Worker};

pub use readers::Reader;
use readers::Readers;
use window::{MOST_ROWS, Window};

/// How long one run waits for its queries.
const BUDGET: Duration = Duration::from_secs(45);

/// A summary is for people: everybody is beside it.
const LONGEST_SUMMARY: usize = 1_000;

/// Which table, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident.
    pub incident_id: IncidentId,
    /// The table.
    pub table_arn: TableArn,
    /// When the alarm's window began.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// When it ended.
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// What the last answer returned as `query`.
    #[serde(default)]
    pub query: Option<Query>,
    /// Nothing is changed in any case.
    #[serde(default)]
    pub dry_run: bool,
}

/// Who read.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether every read of the window was looked at.
    pub complete: bool,
    /// Whether asking again may tell more.
    pub again: bool,
    /// What the next payload hands over; null when a new search begins.
    pub query: Option<Query>,
    /// Who read so far, at most 50: whoever is not the CRM's own first, then by calls.
    pub readers: Vec<Reader>,
    /// How many calls they made in all, those left out included.
    pub calls: u64,
    /// In one sentence.
    pub summary: String,
    /// What a human must do if nobody asks again.
    pub left: Vec<String>,
}

/// The worker.
#[derive(Debug)]
pub struct FindReaders {
    logs: Client,
    log_group: Option<String>,
    workload: Vec<RoleArn>,
    now: fn() -> Timestamp,
}

impl FindReaders {
    /// Reads the settings `TRAIL_LOG_GROUP_NAME` and `WORKLOAD_ROLE_ARNS`.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            logs: Client::new(&worker::CONTROL.on(config)),
            log_group: settings.optional("TRAIL_LOG_GROUP_NAME")?,
            workload: settings.list("WORKLOAD_ROLE_ARNS")?,
            now: Timestamp::now,
        })
    }
}

impl Worker for FindReaders {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let window = Window::of(&input.table_arn, input.from, input.to)?;
        let Some(group) = &self.log_group else {
            return Ok(unwatched(window));
        };
        let until = Instant::now() + BUDGET;
        let logs = &self.logs;
        let search = Search {
            insights: Insights { logs, group },
            window,
            now: (self.now)(),
        };
        let query = match input.query {
            Some(query) => Some(query),
            None => search.begin().await?,
        };
        let pursuit = search.insights.pursue(query, search.now, until).await?;
        match pursuit {
            Pursuit::Found(query, rows) => search.found(&query, &rows, &self.workload),
            Pursuit::Unfinished { query, again, why } => Ok(search.unfinished(query, again, why)),
        }
    }
}

/// One run, once it is known where to search.
struct Search<'a> {
    insights: Insights<'a>,
    window: Window<'a>,
    now: Timestamp,
}

impl Search<'_> {
    /// Starts the query for the readers. None when as many queries run already as the account may run.
    async fn begin(&self) -> Result<Option<Query>, Failure> {
        // In this order: what arrives while the query runs may be missed.
        let arrived = self.arrived().await?;
        let Self { window, now, .. } = *self;
        let (query, until) = (window.readers(), window.delivered_by(now));
        let id = self.insights.start(&query, window.from, until).await?;
        Ok(id.map(|id| Query {
            id,
            started_at: now,
            arrived,
        }))
    }

    /// Whether the log group holds an event of some time after the window.
    async fn arrived(&self) -> Result<bool, Failure> {
        let Self {
            insights,
            window,
            now,
        } = *self;
        let Some(query) = window.later(now) else {
            return Ok(false);
        };
        let rows = insights.glance(&query, window.to, now).await?;
        Ok(rows.is_some_and(|rows| !rows.is_empty()))
    }

    fn found(&self, query: &Query, rows: &[Row], workload: &[RoleArn]) -> Result<Output, Failure> {
        let Self { window, now, .. } = *self;
        let readers = Readers::of(rows, window.account(), workload)?;
        let so_far = if query.arrived { "" } else { "so far, " };
        let summary = if readers.is_empty() {
            format!("{so_far}nobody is known to have read {window}")
        } else {
            let (calls, who) = (readers.calls(), readers.describe());
            format!("{so_far}{calls} calls read {window}: {who}")
        };
        Ok(Output {
            complete: query.arrived,
            again: !query.arrived && window.age(now) < PATIENCE,
            query: None,
            calls: readers.calls(),
            summary: cut(&summary, LONGEST_SUMMARY),
            left: self.left(query, rows, &readers),
            readers: readers.bounded(),
        })
    }

    fn left(&self, query: &Query, rows: &[Row], readers: &Readers) -> Vec<String> {
        let by_hand = self.window.by_hand(self.insights.group);
        let mut left = Vec::new();
        if !query.arrived {
            left.push(format!(
                "the trail's log group did not hold every call of that time: ask it again ({by_hand}); if \
                 nothing arrives there, see aws cloudtrail get-trail-status --name <the trail>, \
                 LatestCloudWatchLogsDeliveryError"
            ));
        }
        if rows.len() >= MOST_ROWS {
            left.push(format!(
                "there were more callers than one query tells, so the counts are too low: ask for a \
                 shorter time ({by_hand})"
            ));
        }
        match (readers.is_empty(), readers.others()) {
            (true, _) => left.push(
                "nobody was found: see whether the trail logs the data events of this table, the CRM's \
                 own included (aws cloudtrail get-event-selectors --trail-name <the trail>)"
                    .to_owned(),
            ),
            (_, 0) => left.push(
                "only the CRM's own roles read it, and a thief's session looks like production's: see \
                 whether the addresses and the calls are the CRM's"
                    .to_owned(),
            ),
            (_, others) => left.push(format!(
                "not the CRM's own: {others} of those who read it; contain whoever should not have by a \
                 new execution of this runbook with that reader's `actor`, as this step's result has \
                 it, and a reason"
            )),
        }
        left
    }

    fn unfinished(&self, query: Option<Query>, again: bool, why: &str) -> Output {
        let Self {
            insights, window, ..
        } = self;
        let by_hand = window.by_hand(insights.group);
        Output {
            again,
            query,
            ..nobody(*window, why, &by_hand)
        }
    }
}

fn unwatched(window: Window<'_>) -> Output {
    nobody(
        window,
        "the template's parameter TrailLogGroupName is not set",
        "search the log files in the trail's bucket, with Athena for instance, for calls of \
         dynamodb.amazonaws.com that name the table",
    )
}

/// Nobody was found, for want of a result.
fn nobody(window: Window<'_>, why: &str, by_hand: &str) -> Output {
    let summary = format!("it is not known who read {window}: {why}");
    Output {
        complete: false,
        again: false,
        query: None,
        readers: Vec::new(),
        calls: 0,
        left: vec![format!("{summary}. By hand: {by_hand}")],
        summary,
    }
}

#[cfg(test)]
mod tests;
