//! Attempts to sign in, one item for each thing that they are counted by, so that a repeat of an event
//! overwrites itself; and which attacks among them were answered.
//!
//! Nothing here reads and writes in two steps: counts are consistent reads of what was written before,
//! and claims are conditional writes, so that both are exact under any number of concurrent runs.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use incident::{Network, Outcome, SignIn, Subject, Text, UserPoolId};
use jiff::{SignedDuration, Timestamp};
use worker::Failure;

use crate::{
    Ledger,
    item::{Item, condition_failed, key, text, text_of, time_of},
};

/// What attempts are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Whose account was tried.
    Account(Subject),
    /// Where they came from.
    Network(Network),
    /// The users of the pool who do not exist, all together.
    UnknownUsers,
}

/// The attempts that are counted together: at or from one thing, and ending alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Where to.
    pub user_pool: UserPoolId,
    /// By what they are counted.
    pub counted: Counted,
    /// How they ended.
    pub outcome: Outcome,
}

/// One attempt of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it was made.
    pub at: Timestamp,
    /// The event that recorded it.
    pub event: Text<80>,
    /// Where it came from, where that is known.
    pub network: Option<Network>,
    /// Whose account was tried; none of a user who does not exist.
    pub subject: Option<Subject>,
}

/// Who answered an attack: the attempt that completed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// When that was made.
    pub at: Timestamp,
    /// The event that recorded it.
    pub by: Text<80>,
}

impl From<&SignIn> for Attempt {
    fn from(sign_in: &SignIn) -> Self {
        Self {
            at: sign_in.occurred_at,
            event: sign_in.event.id.clone(),
            network: sign_in.network,
            subject: sign_in.subject.clone(),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = &self.user_pool;
        match &self.counted {
            Counted::Account(subject) => write!(f, "{pool}/account/{subject}"),
            Counted::Network(network) => write!(f, "{pool}/network/{network}"),
            Counted::UnknownUsers => write!(f, "{pool}/unknown-users"),
        }?;
        f.write_str(match self.outcome {
            Outcome::Succeeded => "/succeeded",
            Outcome::Failed => "/failed",
            Outcome::Unknown => "/untold",
        })
    }
}

impl Ledger {
    /// Keeps an attempt of a series, to be deleted some time after `until`. Repeating it changes
    /// nothing.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn keep_attempt(
        &self,
        series: &Series,
        attempt: &Attempt,
        until: Timestamp,
    ) -> Result<(), Failure> {
        let at = format!("{} {}", sortable(attempt.at), attempt.event);
        let mut item = key(&pk(series), &at);
        item.insert("expiresAt".to_owned(), seconds(until));
        let mut set = |name: &str, value: Option<String>| {
            item.extend(value.map(|value| (name.to_owned(), text(value))));
        };
        set("network", attempt.network.map(String::from));
        set("subject", attempt.subject.clone().map(String::from));
        self.put(item).await
    }

    /// The attempts of a series from `from` to `to`, newest first: at most `most`, which is no more
    /// than a thousand.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn attempts(
        &self,
        series: &Series,
        from: Timestamp,
        to: Timestamp,
        most: usize,
    ) -> Result<Vec<Attempt>, Failure> {
        let most = i32::try_from(most.clamp(1, 1_000)).unwrap_or(1_000);
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :series AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":series", text(pk(series)))
            .expression_attribute_values(":from", text(sortable(from)))
            // The event's id follows the time.
            .expression_attribute_values(":to", text(format!("{}~", sortable(to))))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(most)
            .send()
            .await
            .map_err(|error| Failure::aws("dynamodb:Query", &error))?;
        Ok(output.items().iter().filter_map(attempt_of).collect())
    }

    /// Who answered the last attack of this `kind` on a series; none when nobody did, or long ago.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn answered(&self, series: &Series, kind: &str) -> Result<Option<Answered>, Failure> {
        let item = self.get(&pk(series), &claim(kind)).await?;
        Ok(item.and_then(|item| {
            Some(Answered {
                at: time_of(&item, "claimedAt")?,
                by: Text::cut(text_of(&item, "claimedBy")?),
            })
        }))
    }

    /// Claims an attack of this `kind` on a series for an attempt; false when another one answered it
    /// within `window` before that or at any time after it. Whoever has the claim may ask again.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn claim_attack(
        &self,
        series: &Series,
        kind: &str,
        attempt: &Answered,
        window: SignedDuration,
    ) -> Result<bool, Failure> {
        let before = attempt.at.checked_sub(window).unwrap_or(Timestamp::MIN);
        let until = attempt.at.checked_add(window * 2).unwrap_or(Timestamp::MAX);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(&pk(series), &claim(kind))))
            .item("claimedAt", text(sortable(attempt.at)))
            .item("claimedBy", text(attempt.by.as_str()))
            .item("expiresAt", seconds(until))
            .condition_expression(
                "attribute_not_exists(pk) OR claimedAt < :before OR claimedBy = :event",
            )
            .expression_attribute_values(":before", text(sortable(before)))
            .expression_attribute_values(":event", text(attempt.by.as_str()))
            .send()
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:PutItem", &error)),
        }
    }

    /// Counts `attack` among those of a pool that are answered within a `scope`, in the window that
    /// begins at `from` and lasts `window`, unless `most` others are there already. One counted already
    /// counts once.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn admit_attack(
        &self,
        user_pool: &UserPoolId,
        scope: &str,
        from: Timestamp,
        window: SignedDuration,
        attack: &str,
        most: usize,
    ) -> Result<bool, Failure> {
        let until = from.checked_add(window * 2).unwrap_or(Timestamp::MAX);
        let pool = format!("sign-ins#{user_pool}/answered/{scope}");
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&pool, &sortable(from))))
            .update_expression("ADD attacks :attacks SET expiresAt = :until")
            .condition_expression(
                "attribute_not_exists(attacks) OR size(attacks) < :most OR contains(attacks, :attack)",
            )
            .expression_attribute_values(":attacks", AttributeValue::Ss(vec![attack.to_owned()]))
            .expression_attribute_values(":attack", text(attack))
            .expression_attribute_values(":most", AttributeValue::N(most.to_string()))
            .expression_attribute_values(":until", seconds(until))
            .send()
            .await;
        match update {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }
}

fn attempt_of(item: &Item) -> Option<Attempt> {
    let (at, event) = text_of(item, "sk")?.split_once(' ')?;
    Some(Attempt {
        at: at.parse().ok()?,
        event: Text::cut(event),
        network: text_of(item, "network").and_then(|network| network.parse().ok()),
        subject: text_of(item, "subject").and_then(|subject| subject.parse().ok()),
    })
}

fn pk(series: &Series) -> String {
    format!("sign-ins#{series}")
}

fn claim(kind: &str) -> String {
    format!("claim#{kind}")
}

/// Times of one length, so that their texts are in their order.
fn sortable(at: Timestamp) -> String {
    format!("{at:.9}")
}

fn seconds(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.as_second().to_string())
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        Client,
        error::ErrorMetadata,
        operation::{
            get_item::GetItemOutput,
            put_item::{PutItemError, PutItemOutput},
            query::{QueryError, QueryOutput},
            update_item::{UpdateItemError, UpdateItemOutput},
        },
        types::error::ConditionalCheckFailedException,
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;

    const ANNA: &str = "5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22";

    fn ledger(rules: &[&Rule]) -> Ledger {
        Ledger::new(
            mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, rules),
            "ledger",
        )
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-25T{time}Z").parse().unwrap()
    }

    fn series(counted: Counted, outcome: Outcome) -> Series {
        Series {
            user_pool: "eu-west-1_ClinicPool".parse().unwrap(),
            counted,
            outcome,
        }
    }

    fn of_anna() -> Series {
        series(Counted::Account(ANNA.parse().unwrap()), Outcome::Failed)
    }

    fn attempt() -> Attempt {
        Attempt {
            at: at("03:12:40"),
            event: Text::cut("e-1"),
            network: Some("203.0.113.7".parse().unwrap()),
            subject: Some(ANNA.parse().unwrap()),
        }
    }

    fn answered() -> Answered {
        Answered {
            at: at("03:12:40"),
            by: Text::cut("e-1"),
        }
    }

    fn failed_condition() -> ConditionalCheckFailedException {
        let code = ErrorMetadata::builder().code("ConditionalCheckFailedException");
        ConditionalCheckFailedException::builder()
            .meta(code.build())
            .build()
    }

    #[test]
    fn a_series_names_what_is_counted_and_nobody() {
        let network = Counted::Network("2001:db8:1:2::3".parse().unwrap());
        for (series, key) in [
            (
                of_anna(),
                format!("eu-west-1_ClinicPool/account/{ANNA}/failed"),
            ),
            (
                series(network, Outcome::Unknown),
                "eu-west-1_ClinicPool/network/2001:db8:1:2::/64/untold".to_owned(),
            ),
            (
                series(Counted::UnknownUsers, Outcome::Failed),
                "eu-west-1_ClinicPool/unknown-users/failed".to_owned(),
            ),
        ] {
            assert_eq!(series.to_string(), key);
        }
    }

    #[test]
    fn the_order_of_keys_is_that_of_times() {
        let times = ["03:12:40", "03:12:40.000001", "03:12:40.5", "03:12:41"];
        let keys = times.map(|time| sortable(at(time)));
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(keys[0], "2026-11-25T03:12:40.000000000Z");
    }

    #[tokio::test]
    async fn a_repeated_attempt_has_the_same_key() {
        let put = mock!(Client::put_item)
            .match_requests(|request| {
                let item = request.item().unwrap();
                let text = |name: &str| item[name].as_s().unwrap().as_str();
                text("pk") == format!("sign-ins#eu-west-1_ClinicPool/account/{ANNA}/failed")
                    && text("sk") == "2026-11-25T03:12:40.000000000Z e-1"
                    && text("network") == "203.0.113.7/32"
                    && text("subject") == ANNA
                    && item["expiresAt"].as_n().unwrap() == "1795749200"
                    && request.condition_expression().is_none()
            })
            .then_output(|| PutItemOutput::builder().build());
        let until = Timestamp::from_second(1_795_749_200).unwrap();
        let kept = ledger(&[&put])
            .keep_attempt(&of_anna(), &attempt(), until)
            .await;
        kept.unwrap();
    }

    #[tokio::test]
    async fn attempts_are_read_consistently_newest_first_and_no_more_than_asked() {
        let query = mock!(Client::query)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                request.consistent_read() == Some(true)
                    && request.scan_index_forward() == Some(false)
                    && request.limit() == Some(9)
                    && values[":from"].as_s().unwrap() == "2026-11-25T03:00:00.000000000Z"
                    && values[":to"].as_s().unwrap() == "2026-11-25T03:15:00.000000000Z~"
            })
            .then_output(|| {
                let item = |sk: &str| {
                    [
                        ("sk".to_owned(), text(sk)),
                        ("network".to_owned(), text("203.0.113.7/32")),
                        ("subject".to_owned(), text(ANNA)),
                    ]
                    .into()
                };
                QueryOutput::builder()
                    .items(item("2026-11-25T03:12:40.000000000Z e-1"))
                    .items(item("written by somebody else"))
                    .build()
            });
        let read = ledger(&[&query])
            .attempts(&of_anna(), at("03:00:00"), at("03:15:00"), 9)
            .await;
        assert_eq!(read.unwrap(), [attempt()]);
    }

    #[tokio::test]
    async fn a_claim_holds_for_a_window_against_all_but_its_winner() {
        let won = mock!(Client::put_item)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                let item = request.item().unwrap();
                item["sk"].as_s().unwrap() == "claim#attacked"
                    && item["claimedAt"].as_s().unwrap() == "2026-11-25T03:12:40.000000000Z"
                    && values[":before"].as_s().unwrap() == "2026-11-25T02:57:40.000000000Z"
                    && values[":event"].as_s().unwrap() == "e-1"
                    && request.condition_expression()
                        == Some(
                            "attribute_not_exists(pk) OR claimedAt < :before OR claimedBy = :event",
                        )
            })
            .then_output(|| PutItemOutput::builder().build());
        let lost = mock!(Client::put_item)
            .then_error(|| PutItemError::ConditionalCheckFailedException(failed_condition()));
        let ledger = ledger(&[&won, &lost]);
        let window = SignedDuration::from_mins(15);
        for is_won in [true, false] {
            let claim = ledger
                .claim_attack(&of_anna(), "attacked", &answered(), window)
                .await;
            assert_eq!(claim.unwrap(), is_won);
        }
    }

    #[tokio::test]
    async fn who_answered_is_read_from_the_claim() {
        let found = mock!(Client::get_item)
            .match_requests(|request| {
                request.consistent_read() == Some(true)
                    && request.key().unwrap()["sk"].as_s().unwrap() == "claim#attacked"
            })
            .then_output(|| {
                GetItemOutput::builder()
                    .item("claimedAt", text("2026-11-25T03:12:40.000000000Z"))
                    .item("claimedBy", text("e-1"))
                    .build()
            });
        let none = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
        let ledger = ledger(&[&found, &none]);
        for expected in [Some(answered()), None] {
            let read = ledger.answered(&of_anna(), "attacked").await.unwrap();
            assert_eq!(read, expected);
        }
    }

    #[tokio::test]
    async fn no_more_attacks_are_admitted_than_at_once_and_each_is_one() {
        let admitted = mock!(Client::update_item)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                let key = request.key().unwrap();
                key["pk"].as_s().unwrap() == "sign-ins#eu-west-1_ClinicPool/answered/pool"
                    && key["sk"].as_s().unwrap() == "2026-11-25T03:00:00.000000000Z"
                    && values[":attacks"].as_ss().unwrap() == &["sign-in-1"]
                    && values[":most"].as_n().unwrap() == "20"
                    && request
                        .condition_expression()
                        .unwrap()
                        .ends_with("contains(attacks, :attack)")
            })
            .then_output(|| UpdateItemOutput::builder().build());
        let full = mock!(Client::update_item)
            .then_error(|| UpdateItemError::ConditionalCheckFailedException(failed_condition()));
        let ledger = ledger(&[&admitted, &full]);
        let (pool, window) = (of_anna().user_pool, SignedDuration::from_mins(15));
        for is_admitted in [true, false] {
            let admitted =
                ledger.admit_attack(&pool, "pool", at("03:00:00"), window, "sign-in-1", 20);
            assert_eq!(admitted.await.unwrap(), is_admitted);
        }
    }

    #[tokio::test]
    async fn what_the_ledger_refuses_is_named() {
        let denied = || {
            ErrorMetadata::builder()
                .code("AccessDeniedException")
                .build()
        };
        let put = mock!(Client::put_item).then_error(move || PutItemError::generic(denied()));
        let again = mock!(Client::put_item).then_error(move || PutItemError::generic(denied()));
        let query = mock!(Client::query).then_error(move || QueryError::generic(denied()));
        let update =
            mock!(Client::update_item).then_error(move || UpdateItemError::generic(denied()));
        let ledger = ledger(&[&put, &again, &query, &update]);
        let (series, window) = (of_anna(), SignedDuration::from_mins(15));
        let now = at("03:15:00");
        let failures = [
            ledger.keep_attempt(&series, &attempt(), now).await.err(),
            ledger
                .claim_attack(&series, "attacked", &answered(), window)
                .await
                .err(),
            ledger.attempts(&series, now, now, 9).await.err(),
            ledger
                .admit_attack(&series.user_pool, "pool", now, window, "sign-in-1", 20)
                .await
                .err(),
        ];
        let calls = ["PutItem", "PutItem", "Query", "UpdateItem"];
        for (failure, call) in failures.into_iter().zip(calls) {
            let failure = failure.unwrap();
            assert_eq!(failure.name(), "AccessDenied");
            assert!(failure.to_string().contains(call), "{failure}");
        }
    }
}
