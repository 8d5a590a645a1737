//! From the rows of a query to what was done.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use incident::Text;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use log_insights::{Row, cell, read};
use schemars::JsonSchema;
use serde::Serialize;
use worker::Failure;

/// How many methods and routes are told: the answer travels in an execution.
const MOST_ACTIVITIES: usize = 50;

/// How many addresses of each are told.
const MOST_ADDRESSES: usize = 5;

/// How many methods and routes a sentence names.
const MOST_NAMED: usize = 5;

/// The route of a call whose route the access log does not name.
const UNNAMED: &str = "unnamed route";

/// Calls of one method and route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// The HTTP method.
    pub method: Text<16>,
    /// The route, with a parameter's name in place of its value.
    pub route: Text<128>,
    /// How many calls.
    pub calls: u64,
    /// How many of them the API refused, with a status of 400 to 499.
    pub refused: u64,
    /// How many there were in the seven days before; null when that is not known.
    pub calls_in_week_before: Option<u64>,
    /// When the first call was made.
    #[schemars(with = "Option<String>")]
    pub first: Option<Timestamp>,
    /// When the last call was made.
    #[schemars(with = "Option<String>")]
    pub last: Option<Timestamp>,
    /// Where most calls came from, at most 5.
    #[schemars(with = "Vec<String>")]
    pub source_addresses: Vec<IpAddr>,
    /// From how many addresses in all.
    pub address_count: usize,
}

/// A method and a route, as far as the log names them.
type Route = (String, Option<String>);

/// Everything that was done.
#[derive(Debug)]
pub(crate) struct Activities {
    most_first: Vec<Activity>,
    lacks_routes: bool,
}

/// How many calls of each method and route there were in the week before.
#[derive(Debug)]
pub(crate) struct Week(BTreeMap<Route, u64>);

/// The rows of one method and route, summed up.
#[derive(Default)]
struct Tally {
    calls: u64,
    refused: u64,
    addresses: BTreeMap<IpAddr, u64>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Week {
    /// Reads the rows; one without a count counts nothing.
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut calls = BTreeMap::new();
        for row in rows {
            *calls.entry(route(row)).or_default() += read::<u64>(row, "calls").unwrap_or(0);
        }
        Self(calls)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Activities {
    /// Reads the rows.
    ///
    /// # Errors
    /// [`Failure::Rejected`] when a row has no count.
    pub(crate) fn of(rows: &[Row], week: Option<&Week>) -> Result<Self, Failure> {
        let mut tallies: BTreeMap<Route, Tally> = BTreeMap::new();
        for row in rows {
            let calls: u64 = read(row, "calls").ok_or_else(|| {
                Failure::Rejected("logs:GetQueryResults: answered a row without a count".to_owned())
            })?;
            let tally = tallies.entry(route(row)).or_default();
            tally.calls += calls;
            if cell(row, "status").is_some_and(|status| status.starts_with('4')) {
                tally.refused += calls;
            }
            if let Some(address) = read(row, "sourceIp") {
                *tally.addresses.entry(address).or_default() += calls;
            }
            tally.first = tally.first.into_iter().chain(time(row, "firstCall")).min();
            tally.last = tally.last.into_iter().chain(time(row, "lastCall")).max();
        }
        let lacks_routes = tallies.keys().any(|(_, route)| route.is_none());
        let mut most_first: Vec<_> = tallies
            .into_iter()
            .map(|(route, tally)| {
                let usual = week.map(|week| week.0.get(&route).copied().unwrap_or(0));
                tally.of(route, usual)
            })
            .collect();
        most_first.sort_by_key(|activity| Reverse(activity.calls));
        Ok(Self {
            most_first,
            lacks_routes,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.most_first.is_empty()
    }

    /// How many calls there were in all.
    pub(crate) fn calls(&self) -> u64 {
        self.most_first.iter().map(|activity| activity.calls).sum()
    }

    /// Whether any call was not refused.
    pub(crate) fn went_through(&self) -> bool {
        let mut all = self.most_first.iter();
        all.any(|activity| activity.calls > activity.refused)
    }

    /// Whether the log does not name the route of some call.
    pub(crate) fn lacks_routes(&self) -> bool {
        self.lacks_routes
    }

    /// What was done, for people.
    pub(crate) fn describe(&self) -> String {
        let all = &self.most_first;
        let mut parts: Vec<_> = all.iter().take(MOST_NAMED).map(describe).collect();
        let more = all.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            parts.push(format!("{more} more methods and routes"));
        }
        parts.join("; ")
    }

    /// As many as an answer may carry.
    pub(crate) fn bounded(mut self) -> Vec<Activity> {
        self.most_first.truncate(MOST_ACTIVITIES);
        self.most_first
    }
}

impl Tally {
    fn of(self, (method, route): Route, usual: Option<u64>) -> Activity {
        let mut addresses: Vec<_> = self.addresses.into_iter().collect();
        addresses.sort_by_key(|(_, calls)| Reverse(*calls));
        Activity {
            method: Text::cut(&method),
            route: Text::cut(route.as_deref().unwrap_or(UNNAMED)),
            calls: self.calls,
            refused: self.refused,
            calls_in_week_before: usual,
            first: self.first,
            last: self.last,
            address_count: addresses.len(),
            source_addresses: addresses
                .into_iter()
                .take(MOST_ADDRESSES)
                .map(|(address, _)| address)
                .collect(),
        }
    }
}

fn describe(activity: &Activity) -> String {
    let refused = match activity.refused {
        0 => None,
        refused => Some(format!("{refused} refused")),
    };
    let usual = activity.calls_in_week_before.map(|calls| match calls {
        0 => "none in the week before".to_owned(),
        1..7 => format!("{calls} in the week before"),
        // To the nearest.
        _ => format!("usually {} a day", (calls * 2 + 7) / 14),
    });
    let notes: Vec<_> = refused.into_iter().chain(usual).collect();
    let notes = match notes.as_slice() {
        [] => String::new(),
        notes => format!(" ({})", notes.join(", ")),
    };
    let from = match activity.source_addresses.first() {
        None => String::new(),
        Some(address) if activity.address_count == 1 => format!(" from {address}"),
        Some(address) => format!(" from {address} and {} more", activity.address_count - 1),
    };
    let Activity {
        method,
        route,
        calls,
        ..
    } = activity;
    format!("{calls} {method} {route}{notes}{from}")
}

/// API Gateway writes a dash for what there is not.
fn named<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    cell(row, column).filter(|value| *value != "-")
}

fn route(row: &Row) -> Route {
    let method = named(row, "method").unwrap_or("unnamed method");
    let route = named(row, "route");
    (method.to_owned(), route.map(str::to_owned))
}

/// A time that was calculated from `@timestamp`: milliseconds, or as that is written itself.
fn time(row: &Row, column: &str) -> Option<Timestamp> {
    if let Some(text) = cell(row, column)
        && let Ok(written) = text.parse::<DateTime>()
    {
        return TimeZone::UTC.to_timestamp(written).ok();
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a whole number of milliseconds, which may be written with an exponent"
    )]
    let millis = read::<f64>(row, column)? as i64;
    Timestamp::from_millisecond(millis).ok()
}
