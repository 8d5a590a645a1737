//! Finds what a signed-in user of the CRM did: whoever took an account over reads and edits with it.
//!
//! **Act.** Asks the API's access log, through Logs Insights, for the calls of one subject in a span
//! of time, and tells them by method and route, with where they came from, how many the API refused,
//! and how many there were in the seven days before, so that people see what is unusual. It reports
//! and changes nothing. A dry run asks all the same.
//!
//! A route is the template, `/patients/{patientId}`: which record was asked for never leaves the log
//! group. `left` says how a human asks it, which somebody must as soon as a call was not refused.
//! What the authorizer turned away is not told: such a call has no subject.
//!
//! **The access log** is JSON, a line for each call, with `sub` (`$context.authorizer.principalId`),
//! `method` (`$context.httpMethod`), `route` (`$context.resourcePath`), `status` and `sourceIp`
//! (`$context.identity.sourceIp`); people read `path` as well.
//!
//! **Waiting.** Calls reach the log group minutes later. So an answer is `complete` only when the
//! search began five minutes after the span had ended; otherwise it holds what was found so far, and
//! `again` says that asking again is worthwhile. Where no end is given, the span ends when this first
//! runs. What the answer returns as `query` is the next payload's: it keeps that end, and a query
//! that still runs after 35 seconds; after half an hour that one is stopped.
//!
//! Whoever runs this waits a minute or two between two runs and bounds their number. `left` says in
//! every answer what a human would have to do if it were the last.
//!
//! **Undo.** None: nothing is changed. **A second run** asks again, which costs what is scanned.
//!
//! **Calls.** `logs:StartQuery` on the log group, `logs:GetQueryResults`, `logs:StopQuery`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html>

mod activity;
mod window;

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use incident::{IncidentId, Settings, Subject, cut};
use jiff::Timestamp;
use log_insights::{Insights, Pursuit, Query, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use worker::{Failure, Worker};

pub use activity::Activity;
use activity::{Activities, Week};
use window::{MOST_ROWS, Window};

/// How long one run waits for its query; what is usual is asked for afterwards.
const BUDGET: Duration = Duration::from_secs(35);

/// A summary is for people: everything is beside it.
const LONGEST_SUMMARY: usize = 1_000;

/// Whose calls, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident.
    pub incident_id: IncidentId,
    /// The user.
    pub subject: Subject,
    /// When the first call may have been made.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// When the last one may; left out, it is now.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub to: Option<Timestamp>,
    /// What the last answer returned as `query`.
    #[serde(default)]
    pub query: Option<Search>,
    /// Nothing is changed in any case.
    #[serde(default)]
    pub dry_run: bool,
}

/// A search that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Search {
    /// The end of the span.
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// What still runs; null when a new query begins.
    #[serde(default)]
    pub running: Option<Query>,
}

/// What the user did.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether every call of the span was looked at.
    pub complete: bool,
    /// Whether asking again may tell more.
    pub again: bool,
    /// What the next payload hands over; null when asking again is not worthwhile.
    pub query: Option<Search>,
    /// What was called so far, at most 50 methods and routes, most calls first.
    pub activity: Vec<Activity>,
    /// How many calls that are in all, those left out included.
    pub calls: u64,
    /// In one sentence.
    pub summary: String,
    /// What a human must do if nobody asks again.
    pub left: Vec<String>,
}

/// The worker.
#[derive(Debug)]
pub struct FindActivity {
    logs: Client,
    log_group: Option<String>,
    now: fn() -> Timestamp,
}

impl FindActivity {
    /// Reads the setting `API_LOG_GROUP_NAME`.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        Ok(Self {
            logs: Client::new(&worker::CONTROL.on(config)),
            log_group: Settings::from_env().optional("API_LOG_GROUP_NAME")?,
            now: Timestamp::now,
        })
    }
}

impl Worker for FindActivity {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let until = Instant::now() + BUDGET;
        let now = (self.now)();
        let (kept, running) = match input.query {
            Some(search) => (Some(search.to), search.running),
            None => (None, None),
        };
        let window = Window::of(&input.subject, input.from, kept.or(input.to), now)?;
        let Some(group) = &self.log_group else {
            return Ok(unlogged(window));
        };
        let insights = Insights {
            logs: &self.logs,
            group,
        };
        let query = match running {
            Some(query) => Some(query),
            None => begin(insights, window, now).await?,
        };
        match insights.pursue(query, now, until).await? {
            Pursuit::Found(query, rows) => found(insights, window, &query, &rows).await,
            Pursuit::Unfinished { query, again, why } => {
                let ask = window.by_hand(group);
                Ok(Output {
                    again,
                    query: again.then(|| window.search(query)),
                    ..unknown(window, why, &format!("By hand: {ask}"))
                })
            }
        }
    }
}

/// None when as many queries run already as the account may run.
async fn begin(
    insights: Insights<'_>,
    window: Window<'_>,
    now: Timestamp,
) -> Result<Option<Query>, Failure> {
    let calls = window.calls();
    let id = insights.start(&calls, window.from, window.to).await?;
    Ok(id.map(|id| Query {
        id,
        started_at: now,
        arrived: window.has_arrived(now),
    }))
}

async fn found(
    insights: Insights<'_>,
    window: Window<'_>,
    query: &Query,
    rows: &[Row],
) -> Result<Output, Failure> {
    let week = week_before(insights, window).await;
    let done = Activities::of(rows, week.as_ref())?;
    let so_far = if query.arrived { "" } else { "so far, " };
    let summary = if done.is_empty() {
        format!("{so_far}no call of {window} is known")
    } else {
        let (calls, what) = (done.calls(), done.describe());
        format!("{so_far}{calls} calls of {window}: {what}")
    };
    let left = left(query, rows, &done, week.as_ref());
    let ask = window.by_hand(insights.group);
    Ok(Output {
        complete: query.arrived,
        again: !query.arrived,
        query: (!query.arrived).then(|| window.search(None)),
        calls: done.calls(),
        summary: cut(&summary, LONGEST_SUMMARY),
        left: left
            .map(|why| format!("{why}. Ask it: {ask}"))
            .into_iter()
            .collect(),
        activity: done.bounded(),
    })
}

/// What the user did in the week before; none when that cannot be known, which stops nothing.
async fn week_before(insights: Insights<'_>, window: Window<'_>) -> Option<Week> {
    let (from, to) = window.week_before()?;
    match insights.glance(&window.usual(), from, to).await {
        Ok(rows) => rows.map(|rows| Week::of(&rows)),
        Err(failure) => {
            tracing::warn!(
                failure = failure.name(),
                "what is usual could not be looked up"
            );
            None
        }
    }
}

/// Why a human must ask the access log.
fn left(query: &Query, rows: &[Row], done: &Activities, week: Option<&Week>) -> Option<String> {
    let unused = done.is_empty() && week.is_some_and(Week::is_empty);
    let reasons = [
        (
            done.went_through(),
            "which records these calls touched is only in the API's access log, as `path` (a search \
             names none)",
        ),
        (
            !query.arrived,
            "calls of the last minutes may have reached the API's access log only after this was asked",
        ),
        (
            rows.len() >= MOST_ROWS,
            "there was more than one query tells, so these counts are too low",
        ),
        (
            done.lacks_routes(),
            "the access log's format has no `route` ($context.resourcePath), so routes are not told",
        ),
        (
            unused,
            "the API's access log has no call of this user in the seven days before either: see \
             whether its format has `sub` ($context.authorizer.principalId)",
        ),
    ];
    let reasons: Vec<_> = reasons
        .into_iter()
        .filter_map(|(holds, reason)| holds.then_some(reason))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn unlogged(window: Window<'_>) -> Output {
    unknown(
        window,
        "the template's parameter ApiLogGroupName is not set",
        "By hand: search the API's access log, where it has one, for that `sub`",
    )
}

/// Nothing was found, for want of a result.
fn unknown(window: Window<'_>, why: &str, by_hand: &str) -> Output {
    let summary = format!("the calls of {window} are not known: {why}");
    Output {
        complete: false,
        again: false,
        query: None,
        activity: Vec::new(),
        calls: 0,
        left: vec![format!("{summary}. {by_hand}")],
        summary,
    }
}

#[cfg(test)]
mod tests;
