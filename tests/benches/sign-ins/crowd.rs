//! Who signs in: the events, and a plain count of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const POOL: &str = "eu-west-1_ClinicPool";

/// The account that is tried from everywhere, the one that is broken into, and the network that tries
/// everybody.
pub(crate) const ATTACKED: usize = 900_000;
pub(crate) const BROKEN_INTO: usize = 900_001;
pub(crate) const SPRAYER: &str = "203.0.113.200";

/// How many of the ten thousand attempts are people's.
const PEOPLE: usize = 7_779;

/// Every delivery of every event, in the order of its arrival.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) deliveries: Vec<Value>,
    /// How many attempts there are of each series, whatever was delivered twice.
    counts: BTreeMap<String, usize>,
}

/// One attempt, before it is an event.
struct Attempt {
    user: Option<usize>,
    address: String,
    /// Seconds after the beginning, of a quarter of an hour.
    second: usize,
    succeeded: bool,
}

/// What the template hands to the workers.
pub(crate) fn setting(name: &str) -> Option<&'static str> {
    Some(match name {
        "ACCOUNT_ID" => "123456789012",
        "AWS_REGION" => "eu-west-1",
        "PARTITION" => "aws",
        "STACK_NAME" => "tourniquet",
        "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
        "UNDELIVERED_EVENTS_ARN" => "arn:aws:sqs:eu-west-1:123456789012:undelivered",
        "MODE" => "enforce",
        "MIN_LOG_RETENTION_DAYS" => "365",
        "USER_POOL_ID" => POOL,
        "NEVER_BLOCK_CIDRS" => "192.0.2.0/24",
        _ => return None,
    })
}

fn begin() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_795_600_800)
}

/// When all of it has happened.
pub(crate) fn now() -> Timestamp {
    begin() + SignedDuration::from_mins(16)
}

/// A user's `sub`.
pub(crate) fn sub(user: usize) -> String {
    format!("00000000-0000-4000-8000-{user:012}")
}

/// An address of its own for each number.
fn address(network: usize, number: usize) -> String {
    format!(
        "{}.{}.{}",
        [198, 100, 101][network],
        number / 250,
        number % 250 + 1
    )
    .replacen('.', ".51.", 1)
}

/// Seconds that look like chance, and are the same in every run.
fn second(number: usize) -> usize {
    number.wrapping_mul(7_919) % 880
}

impl Crowd {
    pub(crate) fn gather() -> Self {
        let mut attempts = Vec::new();
        people(&mut attempts);
        let failed = |user, address, second| Attempt {
            user,
            address,
            second,
            succeeded: false,
        };
        for number in 0..700 {
            attempts.push(failed(Some(ATTACKED), address(1, number), second(number)));
        }
        for number in 0..500 {
            let user = Some(800_000 + number);
            attempts.push(failed(user, SPRAYER.to_owned(), second(number)));
        }
        // Two from each of their networks, which by themselves are nothing.
        for number in 0..1_000 {
            attempts.push(failed(None, address(2, number / 2), second(number)));
        }
        for number in 0..20 {
            let from = address(1, 10_000 + number);
            attempts.push(failed(Some(BROKEN_INTO), from, number));
        }
        attempts.push(Attempt {
            user: Some(BROKEN_INTO),
            address: address(1, 20_000),
            second: 30,
            succeeded: true,
        });
        let mut counts = BTreeMap::new();
        for series in attempts.iter().flat_map(Attempt::series) {
            *counts.entry(series).or_insert(0) += 1;
        }
        let events = attempts.iter().zip(0..);
        let events: Vec<_> = events.map(|(it, number)| it.event(number)).collect();
        let twice = events.iter().step_by(10).cloned();
        let mut deliveries: Vec<_> = events.iter().cloned().chain(twice).collect();
        shuffle(&mut deliveries);
        Self { deliveries, counts }
    }

    /// What the ledger counts otherwise than it is.
    pub(crate) fn compare(&self, kept: &BTreeMap<String, usize>) -> Vec<String> {
        let series: BTreeSet<_> = self.counts.keys().chain(kept.keys()).collect();
        let count = |counts: &BTreeMap<String, usize>, series| counts.get(series).copied();
        let wrong = series.into_iter().filter_map(|series| {
            let (is, should) = (count(kept, series), count(&self.counts, series));
            (is != should).then(|| format!("{series} holds {is:?} and should hold {should:?}"))
        });
        wrong.take(10).collect()
    }
}

/// Attempts by people at home, who forget their passwords now and then.
fn people(attempts: &mut Vec<Attempt>) {
    for user in 0..PEOPLE {
        let wrong = match user % 10 {
            0 | 1 => 1,
            2 => 2,
            // The forgetful nurse.
            3 => 3,
            _ => 0,
        };
        let wrong = if user % 4 == 0 { wrong + 1 } else { wrong }.min(3);
        for time in 0..=wrong {
            attempts.push(Attempt {
                user: Some(user),
                address: address(0, user),
                second: second(user) / 2 + time * 20,
                succeeded: time == wrong,
            });
        }
    }
    attempts.truncate(PEOPLE);
}

impl Attempt {
    /// By what it is counted, as the ledger names that.
    fn series(&self) -> Vec<String> {
        let outcome = if self.succeeded {
            "succeeded"
        } else {
            "failed"
        };
        let of = |what: String| format!("sign-ins#{POOL}/{what}/{outcome}");
        let account = match self.user {
            Some(user) => format!("account/{}", sub(user)),
            None => "unknown-users".to_owned(),
        };
        vec![of(account), of(format!("network/{}/32", self.address))]
    }

    fn event(&self, number: usize) -> Value {
        let seconds = i64::try_from(self.second).unwrap_or_default();
        let at = begin() + SignedDuration::from_secs(seconds);
        let id = format!("{number:08}-aaaa-4aaa-8aaa-aaaaaaaaaaaa");
        let mut event = json!({
            "id": id,
            "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.cognito-idp",
            "account": "123456789012",
            "time": at,
            "region": "eu-west-1",
            "detail": {
                "userIdentity": {"type": "Unknown", "principalId": "Anonymous"},
                "eventTime": at,
                "eventSource": "cognito-idp.amazonaws.com",
                "eventName": "InitiateAuth",
                "awsRegion": "eu-west-1",
                "sourceIPAddress": self.address,
                "requestParameters": {
                    "authFlow": "USER_PASSWORD_AUTH",
                    "authParameters": "HIDDEN_DUE_TO_SECURITY_REASONS",
                    "clientId": "4clinicwebclient",
                },
                "eventID": id,
                "recipientAccountId": "123456789012",
            },
        });
        let detail = &mut event["detail"];
        if let Some(user) = self.user {
            detail["additionalEventData"] = json!({"sub": sub(user)});
        }
        if self.succeeded {
            let hidden = "HIDDEN_DUE_TO_SECURITY_REASONS";
            detail["responseElements"] = json!({ "authenticationResult": hidden });
        } else {
            let (code, message) = match self.user {
                Some(_) => ("NotAuthorizedException", "Incorrect username or password."),
                None => ("UserNotFoundException", "User does not exist."),
            };
            detail["errorCode"] = json!(code);
            detail["errorMessage"] = json!(message);
        }
        event
    }
}

/// The same disorder in every run.
fn shuffle(events: &mut [Value]) {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for last in (1..events.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let chosen = usize::try_from(state % (last as u64 + 1)).unwrap_or_default();
        events.swap(last, chosen);
    }
}
