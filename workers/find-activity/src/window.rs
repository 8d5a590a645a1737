//! What is searched for: calls of one user in one span of time.

use std::fmt;

use incident::Subject;
use jiff::{SignedDuration, Timestamp};
use log_insights::Query;
use worker::Failure;

use crate::Search;

/// In how long API Gateway has written a call into the log group.
const DELIVERY: SignedDuration = SignedDuration::from_mins(5);

/// What is usual is what was done in this time before.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// More rows than this cannot be had at once.
pub(crate) const MOST_ROWS: usize = 5_000;

/// A user and a span of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    subject: &'a Subject,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl<'a> Window<'a> {
    /// The calls of `subject` from `from` to `to`, which is now when it is none, or not yet.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when the span ends before it begins.
    pub(crate) fn of(
        subject: &'a Subject,
        from: Timestamp,
        to: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        if to.is_some_and(|to| to < from) {
            return Err(Failure::InvalidInput("`to`: is before `from`".to_owned()));
        }
        Ok(Self {
            subject,
            from,
            // A clock that is ahead of ours makes no span that ends before it begins.
            to: to.unwrap_or(now).min(now).max(from),
        })
    }

    /// The query for what was done: a row for each method, route, status and address.
    pub(crate) fn calls(self) -> String {
        let Self { subject, .. } = self;
        format!(
            "filter sub = \"{subject}\"\n\
             | stats count(*) as calls, min(@timestamp) as firstCall, max(@timestamp) as lastCall by \
             method, route, status, sourceIp\n\
             | sort calls desc\n\
             | limit {MOST_ROWS}"
        )
    }

    /// The query for what is usual.
    pub(crate) fn usual(self) -> String {
        let Self { subject, .. } = self;
        format!(
            "filter sub = \"{subject}\"\n\
             | stats count(*) as calls by method, route\n\
             | sort calls desc\n\
             | limit {MOST_ROWS}"
        )
    }

    /// The span of that query, whose end is the second before this one's begin.
    pub(crate) fn week_before(self) -> Option<(Timestamp, Timestamp)> {
        let from = self.from.checked_sub(WEEK).ok()?;
        let to = self.from.checked_sub(SignedDuration::from_secs(1)).ok()?;
        Some((from, to))
    }

    /// Whether the log group holds every call of the span.
    pub(crate) fn has_arrived(self, now: Timestamp) -> bool {
        now.duration_since(self.to) >= DELIVERY
    }

    /// How the next run goes on.
    pub(crate) fn search(self, running: Option<Query>) -> Search {
        Search {
            to: self.to,
            running,
        }
    }

    /// How a human asks the log group which records it were.
    pub(crate) fn by_hand(self, group: &str) -> String {
        let Self { subject, from, to } = self;
        format!(
            "aws logs start-query --log-group-name {group} --start-time {} --end-time {} \
             --query-string 'filter sub = \"{subject}\" | fields @timestamp, method, path, status, \
             sourceIp | sort @timestamp | limit 10000', then aws logs get-query-results --query-id \
             <its id>",
            from.as_second(),
            to.as_second(),
        )
    }
}

impl fmt::Display for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, from, to } = self;
        write!(f, "user {subject} between {from:.0} and {to:.0}")
    }
}
