//! Every branch that DynamoDB can take, on mocked answers; the drills run the same expressions on
//! a real table.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    error::ErrorMetadata,
    operation::{
        delete_item::{DeleteItemError, DeleteItemOutput},
        get_item::GetItemOutput,
        put_item::{PutItemError, PutItemOutput},
        update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput},
    },
    types::{AttributeValue, error::ConditionalCheckFailedException},
};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use incident::{IncidentId, Recorded, TrailArn};
use jiff::Timestamp;
use serde_json::{Value, json};
use worker::Failure;

use crate::{
    Budget, Claim, Claimant, Hold, Ledger, Part, Release,
    item::{Item, key},
};

fn ledger(rules: &[&Rule]) -> Ledger {
    Ledger::new(
        mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, rules),
        "ledger",
    )
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-25T{time}Z").parse().unwrap()
}

fn id(name: &str) -> IncidentId {
    name.parse().unwrap()
}

fn item<const N: usize>(attributes: [(&str, &str); N]) -> Item {
    attributes
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
        .into()
}

fn found(item: Item) -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item)
        .match_requests(|request| request.consistent_read() == Some(true))
        .then_output(move || {
            GetItemOutput::builder()
                .set_item(Some(item.clone()))
                .build()
        })
}

fn nothing() -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item).then_output(|| GetItemOutput::builder().build())
}

fn updated(fits: impl Fn(&UpdateItemInput) -> bool + Send + Sync + 'static) -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item)
        .match_requests(fits)
        .then_output(|| UpdateItemOutput::builder().build())
}

fn failed_condition() -> ConditionalCheckFailedException {
    ConditionalCheckFailedException::builder()
        .meta(
            ErrorMetadata::builder()
                .code("ConditionalCheckFailedException")
                .build(),
        )
        .build()
}

fn too_late() -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item)
        .then_error(|| UpdateItemError::ConditionalCheckFailedException(failed_condition()))
}

fn hold() -> Hold {
    Hold {
        resource: "arn:aws:iam::123456789012:user/eve".to_owned(),
        mechanism: "deny-all-policy".to_owned(),
        original: json!({"attached": false}),
    }
}

mod holds {
    use super::*;

    fn held_by(incidents: &[&str]) -> Rule {
        let mut held = item([("original", r#"{"attached":false}"#)]);
        let incidents = incidents.iter().map(|&id| id.to_owned()).collect();
        held.insert("incidents".to_owned(), AttributeValue::Ss(incidents));
        found(held)
    }

    #[tokio::test]
    async fn the_first_writers_original_stands() {
        let second = mock!(aws_sdk_dynamodb::Client::update_item)
            .match_requests(|request| {
                request
                    .update_expression()
                    .is_some_and(|expression| expression.contains("if_not_exists(original"))
            })
            .then_output(|| {
                let stands = item([("original", r#"{"attached":true}"#)]);
                UpdateItemOutput::builder()
                    .set_attributes(Some(stands))
                    .build()
            });
        let original = ledger(&[&second])
            .hold(&id("i-2"), &hold(), at("03:00:00"))
            .await;
        assert_eq!(original.unwrap(), json!({"attached": true}));
    }

    #[tokio::test]
    async fn a_ledger_that_fails_is_asked_once_and_the_undo_is_handed_over() {
        let gone = mock!(aws_sdk_dynamodb::Client::update_item).then_http_response(|| {
            aws_smithy_runtime_api::http::Response::new(
                400.try_into().unwrap(),
                aws_smithy_types::body::SdkBody::from(
                    r#"{"__type":"ResourceNotFoundException","message":"no table"}"#,
                ),
            )
        });
        let ledger = ledger(&[&gone]);
        let incident = id("i-1");
        let mut holds = ledger.holds_for(&incident, at("03:00:00"));
        holds.put(hold()).await;
        holds
            .put(Hold {
                mechanism: "permissions-boundary".to_owned(),
                ..hold()
            })
            .await;
        let undo = holds.unrecorded();
        assert_eq!(gone.num_calls(), 1);
        assert_eq!(
            undo.iter()
                .map(|hold| hold.mechanism.as_str())
                .collect::<Vec<_>>(),
            ["deny-all-policy", "permissions-boundary"]
        );
    }

    #[tokio::test]
    async fn a_hold_of_nobody_or_of_others_is_not_ours_to_release() {
        for rule in [nothing(), held_by(&["i-2"])] {
            let released = ledger(&[&rule])
                .release(&id("i-1"), "r", "m")
                .await
                .unwrap();
            assert_eq!(released, Release::NotHeld);
        }
    }

    #[tokio::test]
    async fn the_last_one_out_gets_the_original() {
        let released = ledger(&[&held_by(&["i-1"])])
            .release(&id("i-1"), "r", "m")
            .await
            .unwrap();
        assert_eq!(released, Release::Last(json!({"attached": false})));
    }

    #[tokio::test]
    async fn while_others_hold_it_only_our_own_hold_ends() {
        let (held, left) = (
            held_by(&["i-1", "i-2"]),
            updated(|request| {
                request.update_expression() == Some("DELETE incidents :incident")
                    && request.condition_expression().is_some()
            }),
        );
        let released = ledger(&[&held, &left])
            .release(&id("i-1"), "r", "m")
            .await
            .unwrap();
        assert_eq!(released, Release::StillHeld);
        assert_eq!(left.num_calls(), 1);
    }

    #[tokio::test]
    async fn a_hold_that_changes_under_our_hands_is_tried_again() {
        let (held, late) = (held_by(&["i-1", "i-2"]), too_late());
        let failure = ledger(&[&held, &late])
            .release(&id("i-1"), "r", "m")
            .await
            .unwrap_err();
        assert_eq!(failure.name(), "Transient");

        let taken = mock!(aws_sdk_dynamodb::Client::delete_item)
            .then_error(|| DeleteItemError::ConditionalCheckFailedException(failed_condition()));
        let failure = ledger(&[&taken])
            .forget(&id("i-1"), "r", "m")
            .await
            .unwrap_err();
        assert_eq!(failure.name(), "Transient");
    }

    #[tokio::test]
    async fn a_released_hold_is_forgotten() {
        let deleted = mock!(aws_sdk_dynamodb::Client::delete_item)
            .match_requests(|request| request.condition_expression().is_some())
            .then_output(|| DeleteItemOutput::builder().build());
        ledger(&[&deleted])
            .forget(&id("i-1"), "r", "m")
            .await
            .unwrap();
        assert_eq!(deleted.num_calls(), 1);
    }
}

mod claims {
    use super::*;

    const OURS: &str = "arn:aws:states:eu-west-1:123456789012:execution:r:i-1";
    const OTHER: &str = "arn:aws:states:eu-west-1:123456789012:execution:r:i-2";

    async fn claim(rules: &[&Rule], dead: Option<&str>, dry_run: bool) -> Result<Claim, Failure> {
        let incident = id("i-1");
        let claimant = Claimant {
            actor: "user/eve",
            incident: &incident,
            execution: OURS,
            occurred_at: at("03:00:00"),
            dry_run,
        };
        ledger(rules).claim(claimant, dead, at("03:00:05")).await
    }

    #[tokio::test]
    async fn a_free_actor_is_claimed() {
        let taken = updated(|request| {
            request.condition_expression() == Some("attribute_not_exists(holder)")
        });
        assert_eq!(
            claim(&[&nothing(), &taken], None, false).await.unwrap(),
            Claim::Ours
        );
        assert_eq!(taken.num_calls(), 1);
    }

    #[tokio::test]
    async fn our_own_claim_is_still_ours_in_a_retry() {
        let (held, taken) = (found(item([("holder", OURS)])), updated(|_| true));
        assert_eq!(
            claim(&[&held, &taken], None, false).await.unwrap(),
            Claim::Ours
        );
    }

    #[tokio::test]
    async fn another_runs_claim_stands_until_that_run_is_dead() {
        let held = found(item([("holder", OTHER)]));
        assert_eq!(
            claim(&[&held], None, false).await.unwrap(),
            Claim::Held {
                execution: OTHER.to_owned()
            }
        );
        let (held, taken) = (
            found(item([("holder", OTHER)])),
            updated(|request| request.condition_expression() == Some("holder = :holder")),
        );
        assert_eq!(
            claim(&[&held, &taken], Some(OTHER), false).await.unwrap(),
            Claim::Ours
        );
    }

    #[tokio::test]
    async fn of_two_runs_at_once_one_wins_and_the_other_sees_it() {
        let (free, late, held) = (nothing(), too_late(), found(item([("holder", OTHER)])));
        assert_eq!(
            claim(&[&free, &late, &held], None, false).await.unwrap(),
            Claim::Held {
                execution: OTHER.to_owned()
            }
        );
    }

    #[tokio::test]
    async fn an_event_from_before_the_containment_contains_nobody_again() {
        let contained = found(item([
            ("containedAt", "2026-11-25T03:00:01Z"),
            ("containedBy", "i-0"),
        ]));
        assert_eq!(
            claim(&[&contained], None, false).await.unwrap(),
            Claim::Contained {
                incident: "i-0".to_owned(),
                at: at("03:00:01")
            }
        );
    }

    #[tokio::test]
    async fn an_event_from_after_the_containment_claims_the_actor_anew() {
        let (contained, taken) = (
            found(item([("containedAt", "2026-11-25T02:59:59Z")])),
            updated(|_| true),
        );
        assert_eq!(
            claim(&[&contained, &taken], None, false).await.unwrap(),
            Claim::Ours
        );
    }

    #[tokio::test]
    async fn an_event_from_before_a_release_respects_it() {
        let released = found(item([("releasedAt", "2026-11-25T03:00:02Z")]));
        assert_eq!(
            claim(&[&released], None, false).await.unwrap(),
            Claim::Released { at: at("03:00:02") }
        );
    }

    #[tokio::test]
    async fn a_time_in_the_future_was_not_written_by_us() {
        for forged in ["releasedAt", "containedAt"] {
            let (forged, taken) = (
                found(item([(forged, "2099-01-01T00:00:00Z")])),
                updated(|_| true),
            );
            let claim = claim(&[&forged, &taken], None, false).await;
            assert_eq!(claim.unwrap(), Claim::Ours);
        }
    }

    #[tokio::test]
    async fn a_dry_run_claims_nothing() {
        let taken = updated(|_| true);
        assert_eq!(
            claim(&[&nothing(), &taken], None, true).await.unwrap(),
            Claim::Ours
        );
        assert_eq!(taken.num_calls(), 0);
    }

    #[tokio::test]
    async fn settling_ends_only_our_own_claim() {
        let incident = id("i-1");
        let claimant = Claimant {
            actor: "user/eve",
            incident: &incident,
            execution: OURS,
            occurred_at: at("03:00:00"),
            dry_run: false,
        };
        let contained = updated(|request| {
            request.condition_expression()
                == Some("attribute_not_exists(holder) OR holder = :execution")
                && request
                    .update_expression()
                    .is_some_and(|update| update.starts_with("SET containedAt"))
        });
        ledger(&[&contained])
            .settle(claimant, Some(at("03:01:00")))
            .await
            .unwrap();
        let freed = updated(|request| request.update_expression() == Some("REMOVE holder"));
        ledger(&[&freed]).settle(claimant, None).await.unwrap();
        ledger(&[&too_late()]).settle(claimant, None).await.unwrap();
        assert_eq!((contained.num_calls(), freed.num_calls()), (1, 1));
    }
}

mod budget {
    use super::*;

    fn contained(entries: &str) -> Rule {
        found(item([("contained", entries)]))
    }

    #[tokio::test]
    async fn principals_are_granted_up_to_the_limit() {
        let written = updated(|request| {
            request.condition_expression() == Some("attribute_not_exists(contained)")
        });
        let granted = ledger(&[&nothing(), &written])
            .spend("user/a", 1, false, at("03:00:00"))
            .await;
        assert_eq!(granted.unwrap(), Budget::Granted);

        let spent = ledger(&[&contained(r#"{"user/a":"2026-11-25T02:30:00Z"}"#)])
            .spend("user/b", 1, false, at("03:00:00"))
            .await;
        assert_eq!(spent.unwrap(), Budget::Spent(vec!["user/a".to_owned()]));
    }

    #[tokio::test]
    async fn a_principal_counts_once_and_for_an_hour() {
        let again = ledger(&[&contained(r#"{"user/a":"2026-11-25T02:30:00Z"}"#)])
            .spend("user/a", 1, false, at("03:00:00"))
            .await;
        assert_eq!(again.unwrap(), Budget::Granted);

        let (old, written) = (
            contained(r#"{"user/a":"2026-11-25T01:59:00Z"}"#),
            updated(|request| {
                let values = request.expression_attribute_values().unwrap();
                values[":after"].as_s().unwrap() == r#"{"user/b":"2026-11-25T03:00:00Z"}"#
            }),
        );
        let granted = ledger(&[&old, &written])
            .spend("user/b", 1, false, at("03:00:00"))
            .await;
        assert_eq!(granted.unwrap(), Budget::Granted);
    }

    #[tokio::test]
    async fn a_containment_in_the_future_was_not_written_by_us() {
        let (forged, written) = (
            contained(r#"{"user/a":"2099-01-01T00:00:00Z"}"#),
            updated(|_| true),
        );
        let granted = ledger(&[&forged, &written])
            .spend("user/b", 1, false, at("03:00:00"))
            .await;
        assert_eq!(granted.unwrap(), Budget::Granted);
    }

    #[tokio::test]
    async fn of_two_runs_at_once_the_second_counts_the_first() {
        let (before, late, after) = (
            nothing(),
            too_late(),
            contained(r#"{"user/a":"2026-11-25T03:00:00Z"}"#),
        );
        let spent = ledger(&[&before, &late, &after])
            .spend("user/b", 1, false, at("03:00:00"))
            .await;
        assert_eq!(spent.unwrap(), Budget::Spent(vec!["user/a".to_owned()]));
    }

    #[tokio::test]
    async fn a_dry_run_spends_nothing() {
        let written = updated(|_| true);
        let granted = ledger(&[&nothing(), &written])
            .spend("user/a", 1, true, at("03:00:00"))
            .await;
        assert_eq!(granted.unwrap(), Budget::Granted);
        assert_eq!(written.num_calls(), 0);
    }
}

mod notes {
    use super::*;

    #[tokio::test]
    async fn a_message_is_new_once_an_hour() {
        let first = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(|request| {
                request.condition_expression()
                    == Some("attribute_not_exists(pk) OR expiresAt <= :now OR toldBy = :run")
            })
            .then_output(|| PutItemOutput::builder().build());
        assert!(
            ledger(&[&first])
                .first_this_hour("m", &id("i-1"), at("03:00:00"))
                .await
                .unwrap()
        );
        let second = mock!(aws_sdk_dynamodb::Client::put_item)
            .then_error(|| PutItemError::ConditionalCheckFailedException(failed_condition()));
        assert!(
            !ledger(&[&second])
                .first_this_hour("m", &id("i-1"), at("03:00:00"))
                .await
                .unwrap()
        );
    }
}

mod of_a_trail {
    use super::*;

    fn trail() -> TrailArn {
        "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic"
            .parse()
            .unwrap()
    }

    fn put(expected: Item) -> Rule {
        mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(move |request| request.item() == Some(&expected))
            .then_output(|| PutItemOutput::builder().build())
    }

    fn at_key(pk: &'static str, sk: &'static str, found: Item) -> Rule {
        mock!(aws_sdk_dynamodb::Client::get_item)
            .match_requests(move |request| request.key() == Some(&key(pk, sk)))
            .then_output(move || {
                GetItemOutput::builder()
                    .set_item(Some(found.clone()))
                    .build()
            })
    }

    #[tokio::test]
    async fn each_part_is_recorded_by_itself() {
        for (part, sk) in [(Part::Trail, "trail"), (Part::Archive, "archive")] {
            let pk = "baseline#arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";
            let mut recorded = Recorded {
                baseline: json!({"bucket": "logs"}),
                intended: None,
            };
            let mut expected = item([
                ("pk", pk),
                ("sk", sk),
                ("baseline", r#"{"bucket":"logs"}"#),
                ("recordedBy", "i-1"),
                ("recordedAt", "2026-11-25T03:00:00Z"),
            ]);
            let record = async |recorded: &Recorded<Value>, expected: &Item| {
                let put = put(expected.clone());
                let ledger = ledger(&[&put]);
                let by = ("i-1", at("03:00:00"));
                ledger.record(&trail(), part, recorded, by.0, by.1).await
            };
            record(&recorded, &expected).await.unwrap();

            recorded.intended = Some(json!({"bucket": "more"}));
            expected.extend(item([("intended", r#"{"bucket":"more"}"#)]));
            record(&recorded, &expected).await.unwrap();

            let (found, again) = (at_key(pk, sk, expected.clone()), at_key(pk, sk, expected));
            let ledger = ledger(&[&found, &again]);
            let read = ledger.recorded(&trail(), part).await;
            assert_eq!(read.unwrap(), Some(recorded));
            let record = ledger.record_of(&trail(), part).await.unwrap().unwrap();
            assert_eq!(
                (record.by(), record.at()),
                (Some("i-1"), Some(at("03:00:00")))
            );
            assert_eq!(
                record.written(),
                [
                    r#"{"bucket":"logs"}"#,
                    r#"{"bucket":"more"}"#,
                    "i-1",
                    "2026-11-25T03:00:00Z"
                ]
            );
        }
    }

    #[tokio::test]
    async fn what_nobody_recorded_is_none() {
        let read = ledger(&[&nothing()])
            .recorded::<Value>(&trail(), Part::Trail)
            .await;
        assert_eq!(read.unwrap(), None);
    }

    #[tokio::test]
    async fn a_record_that_is_not_readable_is_to_be_taken_anew() {
        for (broken, why) in [
            (item([]), "there is none"),
            (item([("baseline", "{")]), "EOF"),
            (item([("baseline", r#"{"a":"b"}"#)]), "invalid type"),
            (item([("baseline", "{}"), ("intended", "[]")]), "invalid"),
        ] {
            let found = found(broken);
            let failure = ledger(&[&found])
                .recorded::<BTreeMap<String, u8>>(&trail(), Part::Archive)
                .await
                .unwrap_err();
            let message = failure.to_string();
            assert_eq!(failure.name(), "Rejected");
            assert!(
                message.starts_with(&format!(
                    "the baseline of the archive is not readable: {why}"
                )) && message.ends_with("; record it anew"),
                "{message}"
            );
        }
    }

    #[tokio::test]
    async fn an_episode_lasts_until_it_ends() {
        let pk = "deviation#arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";
        let saved = item([
            ("pk", pk),
            ("sk", "episode"),
            ("episode", r#"["bucket policy"]"#),
        ]);
        let (begun, lasting) = (put(saved.clone()), at_key(pk, "episode", saved));
        let ended = mock!(aws_sdk_dynamodb::Client::delete_item)
            .match_requests(move |request| request.key() == Some(&key(pk, "episode")))
            .then_output(|| DeleteItemOutput::builder().build());
        let ledger = ledger(&[&begun, &lasting, &ended, &nothing()]);
        let episode = vec!["bucket policy".to_owned()];
        ledger.save_episode(&trail(), &episode).await.unwrap();
        assert_eq!(ledger.episode(&trail()).await.unwrap(), Some(episode));
        ledger.end_episode(&trail()).await.unwrap();
        let after = ledger.episode::<Vec<String>>(&trail()).await;
        assert_eq!(after.unwrap(), None);
    }

    #[tokio::test]
    async fn an_episode_that_is_not_readable_is_refused() {
        for broken in [
            item([]),
            item([("episode", "{")]),
            item([("episode", "{}")]),
        ] {
            let found = found(broken);
            let episode = ledger(&[&found]).episode::<Vec<String>>(&trail()).await;
            assert_eq!(episode.unwrap_err().name(), "Rejected");
        }
    }

    #[tokio::test]
    async fn a_record_that_is_not_readable_is_still_told_from_another() {
        let broken = item([("baseline", "{"), ("recordedAt", "today")]);
        let found = found(broken);
        let record = ledger(&[&found]).record_of(&trail(), Part::Trail).await;
        let record = record.unwrap().unwrap();
        assert_eq!((record.by(), record.at()), (None, None));
        assert_eq!(record.written(), ["{", "", "", "today"]);
        let read = record.read::<Value>();
        assert_eq!(read.unwrap_err().name(), "Rejected");
    }

    #[tokio::test]
    async fn what_a_heartbeat_leaves_the_next_one_finds() {
        let pk = "deviation#arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";
        let left = item([("pk", pk), ("sk", "heartbeat"), ("heartbeat", "[1]")]);
        let broken = item([("heartbeat", "[\"one\"]")]);
        let (saved, there) = (put(left.clone()), at_key(pk, "heartbeat", left));
        let (none, broken) = (nothing(), found(broken));
        let ledger = ledger(&[&saved, &there, &none, &broken]);
        ledger.save_heartbeat(&trail(), &vec![1]).await.unwrap();
        for found in [Some(vec![1]), None, None] {
            let heartbeat = ledger.heartbeat::<Vec<u8>>(&trail()).await;
            assert_eq!(heartbeat.unwrap(), found);
        }
    }

    #[tokio::test]
    async fn a_ledger_that_refuses_is_a_failure() {
        let refused = mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
            PutItemError::generic(
                ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .build(),
            )
        });
        let recorded = Recorded {
            baseline: json!({}),
            intended: None,
        };
        let failure = ledger(&[&refused])
            .record(&trail(), Part::Trail, &recorded, "i-1", at("03:00:00"))
            .await
            .unwrap_err();
        assert_eq!(
            failure.to_string(),
            "dynamodb:PutItem: AccessDeniedException"
        );
    }
}
