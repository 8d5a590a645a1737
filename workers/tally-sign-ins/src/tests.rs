//! Attempts in a row, and what comes of them.

mod orders;
mod patterns;
mod places;
mod worker;

use incident::{Incident, Network, Outcome, Settings, SignIn, Subject, Target, Text};
use jiff::{SignedDuration, Timestamp};
use judgement::Verdict;

use crate::Rehearsal;

const POOL: &str = "eu-west-1_ClinicPool";

/// What the template would hand to the worker, `changed` where a test asks for it.
fn settings(
    changed: &[(&'static str, &'static str)],
) -> Settings<impl Fn(&str) -> Option<String> + use<>> {
    let changed = changed.to_vec();
    Settings::new(move |name| {
        let set = changed.iter().find(|(changed, _)| *changed == name);
        let value = match (set, name) {
            (Some((_, value)), _) => value,
            (_, "ACCOUNT_ID") => "123456789012",
            (_, "DENY_POLICY_ARN") => "arn:aws:iam::aws:policy/AWSDenyAll",
            (_, "MODE") => "enforce",
            (_, "NEVER_BLOCK_CIDRS") => "192.0.2.0/24",
            _ => return None,
        };
        Some(value.to_owned())
    })
}

fn at(minutes: i64, seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_mins(minutes) + SignedDuration::from_secs(seconds)
}

/// A user by number.
fn user(number: usize) -> Subject {
    let sub = format!("00000000-0000-0000-0000-{number:012}");
    sub.parse().unwrap()
}

/// An address by number.
fn address(number: usize) -> Network {
    let address = format!("198.51.{}.{}", number / 250, number % 250 + 1);
    address.parse().unwrap()
}

fn anna() -> Subject {
    user(1)
}

/// An attempt; its event is named after what tells it from others.
fn attempt(
    subject: Option<Subject>,
    network: Option<Network>,
    at: Timestamp,
    outcome: Outcome,
) -> SignIn {
    let whom = subject.as_ref().map_or("nobody", |it| &it.as_str()[24..]);
    let from = network.map_or_else(String::new, |network| network.to_string());
    SignIn {
        event: incident::EventRef {
            id: Text::cut(&format!("{whom}-{from}-{at}-{outcome:?}")),
            name: Text::cut("InitiateAuth"),
        },
        occurred_at: at,
        user_pool: POOL.parse().unwrap(),
        subject,
        network,
        outcome,
    }
}

fn failed(subject: Subject, network: Network, at: Timestamp) -> SignIn {
    attempt(Some(subject), Some(network), at, Outcome::Failed)
}

fn unknown(network: Network, at: Timestamp) -> SignIn {
    attempt(None, Some(network), at, Outcome::Failed)
}

fn succeeded(subject: Subject, network: Network, at: Timestamp) -> SignIn {
    attempt(Some(subject), Some(network), at, Outcome::Succeeded)
}

fn rehearsal() -> Rehearsal {
    Rehearsal::from_settings(&settings(&[])).unwrap()
}

fn count(rehearsal: &Rehearsal, sign_in: &SignIn) -> Verdict {
    rehearsal.count(sign_in, sign_in.occurred_at).unwrap()
}

/// What is more than counted of attempts in a row, one a line.
fn told(rehearsal: &Rehearsal, sign_ins: &[SignIn]) -> String {
    let verdicts = sign_ins.iter().map(|sign_in| count(rehearsal, sign_in));
    let lines = verdicts.filter_map(|verdict| match verdict {
        Verdict::Respond { incident, .. } => Some(line(&incident)),
        Verdict::Escalate { reason, .. } => Some(format!("escalate: {reason}")),
        Verdict::Count { .. } => None,
        Verdict::Ignore { reason } => panic!("ignored: {reason}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn line(incident: &Incident) -> String {
    let Target::SignIns {
        subject,
        networks,
        compromised,
        ..
    } = &incident.target
    else {
        panic!("{}", incident.target)
    };
    let whose = subject.as_ref().map_or("many", |it| &it.as_str()[24..]);
    let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
    let networks = match networks.len() {
        0 => "no network".to_owned(),
        1..=4 => networks.join(" "),
        count => format!("{count} networks"),
    };
    let remedy = incident.remedy.as_ref();
    let remedy = remedy.map_or_else(String::new, |remedy| format!(" [{remedy}]"));
    let compromised = if *compromised { " COMPROMISED" } else { "" };
    format!(
        "{}: {}: {whose}, {networks}{compromised}{remedy}",
        incident.severity, incident.reason
    )
}

/// Failures of one account, one every ten seconds, each from an address of its own.
fn burst(subject: &Subject, minute: i64, many: usize) -> Vec<SignIn> {
    (0..many)
        .zip(0..)
        .map(|(number, tens)| failed(subject.clone(), address(number), at(minute, 10 * tens)))
        .collect()
}
