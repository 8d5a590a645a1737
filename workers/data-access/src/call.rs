//! Which calls are about a table, and what they did.

use incident::TableArn;
use serde_json::Value;

use crate::{
    Access, Transfer,
    items::{Outcome, is_stated, items},
    policy,
    request::{entries, field, list, text},
};

/// What a call was aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// The table: its items, indexes, streams or backups.
    Table,
    /// Another table.
    Elsewhere,
    /// The record does not say.
    Unsaid,
}

/// What a call can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Items,
    Stream,
    Transfer(Transfer),
    Share,
    Deletion,
}

/// Where a request may name what it is about. A restore's target is not it.
const NAMES: [&str; 8] = [
    "tableName",
    "tableArn",
    "globalTableName",
    "sourceTableName",
    "sourceTableArn",
    "backupArn",
    "resourceArn",
    "streamArn",
];

/// What a call was aimed at, denied or not, from CloudTrail's record (an event's `detail`). None when
/// the call is not one that reads, writes, copies, shares or deletes a table.
#[must_use]
pub fn aim(record: &Value, table: &TableArn) -> Option<Aim> {
    let kind = kind(record)?;
    let request = field(record, "requestParameters");
    let is = |name: &str| is_about(name, record, table);
    let entries = entries(request);
    let message = text(record, "errorMessage").unwrap_or_default();
    let resources = match kind {
        Kind::Transfer(Transfer::Restore) => &[],
        _ => list(record, "resources"),
    };
    let named = NAMES
        .iter()
        .filter_map(|name| text(request, name))
        // It starts with its stream's ARN, or is opaque.
        .chain(text(request, "shardIterator").filter(|iterator| is_table(iterator)))
        .chain(entries.iter().filter_map(|entry| entry.table))
        .chain(
            resources
                .iter()
                .filter_map(|one| text(one, "ARN"))
                .chain(message.split_whitespace())
                .filter(|arn| is_table(arn)),
        );
    let stated = is_stated(request, is);
    Some(match named.map(is).chain(stated).max() {
        Some(true) => Aim::Table,
        Some(false) => Aim::Elsewhere,
        None => Aim::Unsaid,
    })
}

/// What a call did to a table, from CloudTrail's record (an event's `detail`). None when it did
/// nothing, or nothing there.
#[must_use]
pub fn access(record: &Value, table: &TableArn) -> Option<Access> {
    if aim(record, table)? != Aim::Table {
        return None;
    }
    let outcome = outcome(record)?;
    let kind = kind(record)?;
    let request = field(record, "requestParameters");
    if outcome == Outcome::ConditionFailed && kind != Kind::Items {
        return None;
    }
    match kind {
        Kind::Items => {
            let is = |name: &str| is_about(name, record, table);
            let items = items(text(record, "eventName")?, request, outcome, is)?;
            (items.reads() || items.writes()).then_some(Access::Items(items))
        }
        Kind::Stream => Some(Access::Stream),
        Kind::Transfer(transfer) => Some(Access::Transfer(transfer)),
        Kind::Share => policy::reach(field(request, "policy"), table.account()).map(Access::Share),
        Kind::Deletion => Some(Access::Deletion),
    }
}

fn kind(record: &Value) -> Option<Kind> {
    let source = text(record, "eventSource")?;
    if !matches!(
        source,
        "dynamodb.amazonaws.com" | "streams.dynamodb.amazonaws.com"
    ) {
        return None;
    }
    let request = field(record, "requestParameters");
    let adds_replica = || {
        let updates = list(request, "replicaUpdates").iter();
        updates
            .clone()
            .any(|update| field(update, "create").is_object())
    };
    Some(match text(record, "eventName")? {
        "GetItem"
        | "BatchGetItem"
        | "TransactGetItems"
        | "Query"
        | "Scan"
        | "PutItem"
        | "UpdateItem"
        | "DeleteItem"
        | "BatchWriteItem"
        | "TransactWriteItems"
        | "ExecuteStatement"
        | "BatchExecuteStatement"
        | "ExecuteTransaction" => Kind::Items,
        "GetRecords" | "GetShardIterator" => Kind::Stream,
        "ExportTableToPointInTime" => Kind::Transfer(Transfer::Export),
        "CreateBackup" => Kind::Transfer(Transfer::Backup),
        "RestoreTableToPointInTime" | "RestoreTableFromBackup" => Kind::Transfer(Transfer::Restore),
        "CreateGlobalTable" => Kind::Transfer(Transfer::Replica),
        "UpdateTable" | "UpdateGlobalTable" if adds_replica() => Kind::Transfer(Transfer::Replica),
        "EnableKinesisStreamingDestination" => Kind::Transfer(Transfer::Kinesis),
        "PutResourcePolicy" => Kind::Share,
        "DeleteTable" => Kind::Deletion,
        _ => return None,
    })
}

/// None when the call did nothing.
fn outcome(record: &Value) -> Option<Outcome> {
    let Some(code) = text(record, "errorCode").filter(|code| !code.is_empty()) else {
        return Some(Outcome::Success);
    };
    let message = text(record, "errorMessage").unwrap_or_default();
    let cancelled_by_condition = || {
        message.is_empty()
            || ["ConditionalCheckFailed", "DuplicateItem"]
                .iter()
                .any(|reason| message.contains(reason))
    };
    let failed = code.ends_with("ConditionalCheckFailedException")
        || code.ends_with("DuplicateItemException")
        || code.ends_with("TransactionCanceledException") && cancelled_by_condition();
    failed.then_some(Outcome::ConditionFailed)
}

/// Whether a name or an ARN is of the table or of what belongs to it. A name alone is one of the
/// account and the region that answered.
fn is_about(named: &str, record: &Value, table: &TableArn) -> bool {
    let arn = table.arn();
    if named.starts_with("arn:") {
        let rest = named.strip_prefix(arn.as_str());
        return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    let fits = |name, own| text(record, name).is_none_or(|given| given == own);
    named == table.name()
        && fits("awsRegion", arn.region())
        && fits("recipientAccountId", table.account())
}

/// Whether it is the ARN of a table or of what belongs to one.
fn is_table(arn: &str) -> bool {
    arn.starts_with("arn:") && arn.contains(":dynamodb:") && arn.contains(":table/")
}
