//! From the rows of a query to who read.

use std::{cmp::Reverse, collections::BTreeMap};

use incident::{Actor, RoleArn, Source};
use jiff::Timestamp;
use log_insights::{Row, cell, read};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use worker::Failure;

use crate::window::IDENTITY;

/// How many readers are told, and how much JSON they may be: the answer travels in an execution.
const MOST_READERS: usize = 50;
pub(crate) const MOST_JSON: usize = 64 * 1024;

/// How many addresses of a reader are told.
const MOST_ADDRESSES: usize = 10;

/// How many readers a sentence names.
const MOST_NAMED: usize = 5;

/// Somebody who read the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reader {
    /// Who; a new execution takes it as `actor`.
    pub actor: Actor,
    /// Whether it is one of the CRM's own roles.
    pub is_workload: bool,
    /// How many calls.
    pub calls: u64,
    /// How many calls of each API.
    pub calls_by_name: BTreeMap<String, u64>,
    /// Where most calls came from, at most 10 addresses or AWS services.
    pub addresses: Vec<Source>,
    /// From how many addresses or AWS services in all.
    pub address_count: usize,
    /// When the first call was made.
    #[schemars(with = "Option<String>")]
    pub first: Option<Timestamp>,
    /// When the last call was made.
    #[schemars(with = "Option<String>")]
    pub last: Option<Timestamp>,
}

/// Everybody who read.
#[derive(Debug, Default)]
pub(crate) struct Readers(Vec<Reader>);

/// The rows of one identity, summed up.
#[derive(Default)]
struct Tally<'a> {
    calls: BTreeMap<&'a str, u64>,
    addresses: BTreeMap<&'a str, u64>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Readers {
    /// Reads the rows. Whoever is not the CRM's own comes first, then whoever made most calls.
    ///
    /// # Errors
    /// [`Failure::Rejected`] when a row has no count.
    pub(crate) fn of(rows: &[Row], account: &str, workload: &[RoleArn]) -> Result<Self, Failure> {
        let mut tallies: BTreeMap<[Option<&str>; 7], Tally<'_>> = BTreeMap::new();
        for row in rows {
            let calls: u64 = read(row, "calls").ok_or_else(|| {
                Failure::Rejected("logs:GetQueryResults: answered a row without a count".to_owned())
            })?;
            let tally = tallies.entry(IDENTITY.map(|it| cell(row, it))).or_default();
            let name = cell(row, "eventName").unwrap_or("unknown");
            let address = cell(row, "sourceIPAddress").unwrap_or("unknown");
            *tally.calls.entry(name).or_default() += calls;
            *tally.addresses.entry(address).or_default() += calls;
            let (first, last) = (read(row, "firstCall"), read(row, "lastCall"));
            tally.first = tally.first.into_iter().chain(first).min();
            tally.last = tally.last.into_iter().chain(last).max();
        }
        let mut readers: Vec<_> = tallies
            .into_iter()
            .map(|(who, tally)| tally.of(actor(who, account), workload))
            .collect();
        readers.sort_by_key(|reader| (reader.is_workload, Reverse(reader.calls)));
        Ok(Self(readers))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many calls they made in all.
    pub(crate) fn calls(&self) -> u64 {
        self.0.iter().map(|reader| reader.calls).sum()
    }

    /// How many of them are not the CRM's own.
    pub(crate) fn others(&self) -> usize {
        let others = self.0.iter().filter(|reader| !reader.is_workload);
        others.count()
    }

    /// Who they are and what they did, for people.
    pub(crate) fn describe(&self) -> String {
        let mut parts: Vec<_> = self.0.iter().take(MOST_NAMED).map(describe).collect();
        let more = self.0.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            parts.push(format!("{more} more"));
        }
        parts.join("; ")
    }

    /// As many as an answer may carry.
    pub(crate) fn bounded(self) -> Vec<Reader> {
        let mut room = MOST_JSON;
        let fits = |reader: &Reader| {
            let size = serde_json::to_vec(reader).map_or(usize::MAX, |json| json.len());
            let left = room.checked_sub(size);
            room = left.unwrap_or_default();
            left.is_some()
        };
        self.0
            .into_iter()
            .take(MOST_READERS)
            .take_while(fits)
            .collect()
    }
}

impl Tally<'_> {
    fn of(self, actor: Actor, workload: &[RoleArn]) -> Reader {
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_by_key(|(_, calls)| Reverse(**calls));
        Reader {
            is_workload: is_workload(&actor, workload),
            actor,
            calls: self.calls.values().sum(),
            address_count: addresses.len(),
            addresses: addresses
                .into_iter()
                .take(MOST_ADDRESSES)
                .map(|(address, _)| Source::of(address))
                .collect(),
            calls_by_name: self
                .calls
                .into_iter()
                .map(|(name, calls)| (name.to_owned(), calls))
                .collect(),
            first: self.first,
            last: self.last,
        }
    }
}

fn actor(who: [Option<&str>; 7], recorded_by: &str) -> Actor {
    let [kind, arn, principal, account, service, issuer_kind, issuer] = who;
    let identity = json!({
        "type": kind,
        "arn": arn,
        "principalId": principal,
        "accountId": account,
        "invokedBy": service,
        "sessionContext": {"sessionIssuer": {"type": issuer_kind, "arn": issuer}},
    });
    Actor::of(&identity, recorded_by)
}

fn is_workload(actor: &Actor, workload: &[RoleArn]) -> bool {
    matches!(actor, Actor::Role { arn, .. } if workload.iter().any(|role| role.is_same(arn)))
}

fn describe(reader: &Reader) -> String {
    let whose = if reader.is_workload {
        " (the CRM's own)"
    } else {
        ""
    };
    let calls = reader.calls_by_name.iter();
    let calls: Vec<_> = calls
        .map(|(name, calls)| format!("{calls} {name}"))
        .collect();
    let from = reader
        .addresses
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let more = match reader.address_count {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    format!(
        "{}{whose}: {} from {from}{more}",
        reader.actor,
        calls.join(", ")
    )
}
