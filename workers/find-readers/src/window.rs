//! What is searched for: reads of one table in one span of time.

use std::fmt;

use incident::TableArn;
use jiff::{SignedDuration, Timestamp};
use worker::Failure;

/// How far the search reaches beyond the alarm's window, whose edges are whole periods of a metric.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// In how long CloudTrail delivers an event, by its documentation's average.
const DELIVERY: SignedDuration = SignedDuration::from_mins(5);

/// How late an event may be delivered and still be found.
const LATEST: SignedDuration = SignedDuration::from_hours(1);

/// The calls that read items; `GetRecords` reads them from the table's stream. An `ExecuteStatement`
/// may also write: CloudTrail does not tell.
const READS: [&str; 9] = [
    "BatchExecuteStatement",
    "BatchGetItem",
    "ExecuteStatement",
    "ExecuteTransaction",
    "GetItem",
    "GetRecords",
    "Query",
    "Scan",
    "TransactGetItems",
];

/// The calls that write, and read where they ask for what was there.
const READING_WRITES: [&str; 3] = ["DeleteItem", "PutItem", "UpdateItem"];

/// More rows than this cannot be had at once.
pub(crate) const MOST_ROWS: usize = 5_000;

/// The columns that say who: what [`incident::Actor::of`] reads of an event.
pub(crate) const IDENTITY: [&str; 7] = [
    "userIdentity.type",
    "userIdentity.arn",
    "userIdentity.principalId",
    "userIdentity.accountId",
    "userIdentity.invokedBy",
    "userIdentity.sessionContext.sessionIssuer.type",
    "userIdentity.sessionContext.sessionIssuer.arn",
];

/// A table and a span of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    table: &'a TableArn,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl<'a> Window<'a> {
    /// The alarm's window and a margin on both sides.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when the span ends before it begins, and when the ARN is not that
    /// of a table, or holds what no ARN of a table does: it becomes part of a query.
    pub(crate) fn of(table: &'a TableArn, from: Timestamp, to: Timestamp) -> Result<Self, Failure> {
        let arn = table.arn();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/_.-".contains(&byte);
        if arn.resource() != format!("table/{}", table.name()) || !arn.as_str().bytes().all(plain) {
            return Err(Failure::InvalidInput(
                "`tableArn`: expected the ARN of a table, without an index or a stream".to_owned(),
            ));
        }
        if to < from {
            return Err(Failure::InvalidInput("`to`: is before `from`".to_owned()));
        }
        Ok(Self {
            table,
            from: from.checked_sub(MARGIN).unwrap_or(from),
            to: to.checked_add(MARGIN).unwrap_or(to),
        })
    }

    /// The query for who read it: a row for each identity, address and API.
    ///
    /// The time is the event's own, since a log event's may be that of its delivery. The table is
    /// looked for in the whole text: of a call for many items or tables, the ARN comes after more
    /// fields than are indexed. What failed has read nothing.
    pub(crate) fn readers(self) -> String {
        let Self { table, from, to } = self;
        format!(
            "filter eventSource = \"dynamodb.amazonaws.com\" and not ispresent(errorCode)\n\
             | filter eventTime >= \"{from:.0}\" and eventTime <= \"{to:.0}\"\n\
             | filter eventName in [{}] or (eventName in [{}] and requestParameters.returnValues \
             like /OLD|NEW/)\n\
             | filter @message like '\"{table}\"' or @message like '\"{table}/'\n\
             | stats count(*) as calls, sortsFirst(eventTime) as firstCall, sortsLast(eventTime) as \
             lastCall by {}, sourceIPAddress, eventName\n\
             | sort calls desc\n\
             | limit {MOST_ROWS}",
            quoted(&READS),
            quoted(&READING_WRITES),
            IDENTITY.join(", "),
        )
    }

    /// The query for an event of the table's region that occurred so long after the window that
    /// whatever occurred within it has been delivered too. None while there can be no such event.
    pub(crate) fn later(self, now: Timestamp) -> Option<String> {
        let later = self
            .to
            .checked_add(DELIVERY)
            .ok()
            .filter(|later| *later <= now)?;
        Some(format!(
            "filter awsRegion = \"{}\" and eventTime >= \"{later:.0}\"\n\
             | fields eventTime\n\
             | limit 1",
            self.table.arn().region(),
        ))
    }

    /// By when its events have been delivered, or `now`.
    pub(crate) fn delivered_by(self, now: Timestamp) -> Timestamp {
        let latest = self.to.checked_add(LATEST).unwrap_or(now);
        latest.min(now).max(self.from)
    }

    /// The account that the table is in.
    pub(crate) fn account(self) -> &'a str {
        self.table.account()
    }

    /// How long ago it ended.
    pub(crate) fn age(self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.to)
    }

    /// How a human asks the log group.
    pub(crate) fn by_hand(self, group: &str) -> String {
        let Self { table, from, to } = self;
        format!(
            "aws logs start-query --log-group-name {group} --start-time {} --end-time {} \
             --query-string 'filter @message like \"{table}\" | stats count(*) by userIdentity.arn, \
             sourceIPAddress, eventName', then aws logs get-query-results --query-id <its id>",
            from.as_second(),
            to.checked_add(LATEST).unwrap_or(to).as_second(),
        )
    }
}

impl fmt::Display for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, from, to } = self;
        write!(f, "table {} between {from:.0} and {to:.0}", table.name())
    }
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}
