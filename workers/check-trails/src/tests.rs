use std::sync::{Arc, Mutex};

use aws_sdk_cloudtrail::{
    error::ErrorMetadata,
    operation::{
        get_event_selectors::GetEventSelectorsOutput,
        get_insight_selectors::GetInsightSelectorsOutput,
        get_trail::{GetTrailError, GetTrailOutput},
        get_trail_status::{GetTrailStatusError, GetTrailStatusOutput},
        list_tags::ListTagsOutput,
    },
    types::{
        AdvancedEventSelector, AdvancedFieldSelector, InsightSelector, InsightType, Trail,
        error::TrailNotFoundException,
    },
};
use aws_sdk_dynamodb::{
    operation::{
        delete_item::DeleteItemOutput,
        get_item::{GetItemError, GetItemOutput},
        put_item::{PutItemError, PutItemOutput},
    },
    types::AttributeValue,
};
use aws_sdk_eventbridge::{
    config::retry::RetryConfig,
    operation::{
        describe_rule::{DescribeRuleError, DescribeRuleOutput},
        list_targets_by_rule::ListTargetsByRuleOutput,
    },
};
use aws_sdk_kms::operation::{
    describe_key::{DescribeKeyError, DescribeKeyOutput},
    get_key_policy::{GetKeyPolicyError, GetKeyPolicyOutput},
};
use aws_smithy_mocks::{Rule as Mock, RuleMode, mock, mock_client};
use serde_json::{Value, json};
use worker::answer;

use super::*;

const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";
const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/0a0a0a0a-1111-2222-3333-444444444444";

/// What AWS tells, and what the ledger has.
#[derive(Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one thing that can be wrong"
)]
struct World {
    trail: Option<&'static str>,
    words: &'static str,
    bucket: &'static str,
    logging: bool,
    delivery_error: Option<&'static str>,
    multi_region: bool,
    key_state: &'static str,
    watches_key: bool,
    kms_refuses: &'static [&'static str],
    rule_state: &'static str,
    rules_refuse: Option<&'static str>,
    recorded: Option<Value>,
    intended: Option<Value>,
    archive: Option<Value>,
    ledger: bool,
    saves: bool,
    episode: Arc<Mutex<Option<String>>>,
    mode: Mode,
    now: fn() -> Timestamp,
}

fn trail_json(bucket: &str) -> Value {
    json!({
        "name": "clinic", "s3BucketName": bucket, "s3KeyPrefix": null, "snsTopic": null,
        "includeGlobalServiceEvents": true, "isMultiRegionTrail": true,
        "logFileValidationEnabled": true, "kmsKeyId": null,
        "cloudWatchLogsLogGroupArn": null, "cloudWatchLogsRoleArn": null,
        "isOrganizationTrail": false, "recursiveLogging": true,
        "eventSelectors": {"advanced": [
            {"name": null, "fields": [{"field": "eventCategory", "equals": ["Management"]}]},
        ]},
        "insightSelectors": [
            {"insightType": "ApiCallRateInsight", "eventCategories": ["Management"]},
        ],
        "tags": {},
    })
}

fn whole() -> World {
    World {
        trail: None,
        words: "as AWS says",
        bucket: "logs",
        logging: true,
        delivery_error: None,
        multi_region: true,
        key_state: "Enabled",
        watches_key: true,
        kms_refuses: &[],
        rule_state: "ENABLED",
        rules_refuse: None,
        recorded: Some(trail_json("logs")),
        intended: None,
        archive: Some(json!({
            "bucket": null, "bucketPolicy": null, "bucketVersioning": "Off",
            "bucketLifecycle": [], "bucketEncryption": null, "key": KEY,
            "keyPolicy": {"Statement": []}, "logGroup": null, "logRetentionDays": null,
        })),
        ledger: true,
        saves: true,
        episode: Arc::default(),
        mode: Mode::Enforce,
        now: || "2026-11-25T03:12:46Z".parse().unwrap(),
    }
}

fn settings(name: &str) -> Option<String> {
    let value = match name {
        "STACK_NAME" => "guard",
        "ACCOUNT_ID" => "123456789012",
        "AWS_REGION" => "eu-west-1",
        "PARTITION" => "aws",
        "UNDELIVERED_EVENTS_ARN" => "arn:aws:sqs:eu-west-1:123456789012:undelivered",
        "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
        "TRAIL_KEY_ARN" => KEY,
        "MIN_LOG_RETENTION_DAYS" => "365",
        _ => return None,
    };
    Some(value.to_owned())
}

fn cloudtrail(world: &World) -> aws_sdk_cloudtrail::Client {
    use aws_sdk_cloudtrail::Client;
    let (refused, words) = (world.trail, world.words);
    let error = move || match refused {
        Some("gone") => GetTrailError::TrailNotFoundException(
            TrailNotFoundException::builder()
                .meta(
                    ErrorMetadata::builder()
                        .code("TrailNotFoundException")
                        .build(),
                )
                .build(),
        ),
        code => GetTrailError::generic(
            ErrorMetadata::builder()
                .code(code.unwrap_or_default())
                .message(words)
                .build(),
        ),
    };
    let status_error = move || match refused {
        Some("gone") => GetTrailStatusError::TrailNotFoundException(
            TrailNotFoundException::builder()
                .meta(
                    ErrorMetadata::builder()
                        .code("TrailNotFoundException")
                        .build(),
                )
                .build(),
        ),
        code => GetTrailStatusError::generic(
            ErrorMetadata::builder()
                .code(code.unwrap_or_default())
                .message(words)
                .build(),
        ),
    };
    let trail = Trail::builder()
        .name("clinic")
        .trail_arn(TRAIL)
        .s3_bucket_name(world.bucket)
        .include_global_service_events(true)
        .is_multi_region_trail(world.multi_region)
        .log_file_validation_enabled(true)
        .has_insight_selectors(true)
        .build();
    let status = GetTrailStatusOutput::builder()
        .is_logging(world.logging)
        .set_latest_delivery_error(world.delivery_error.map(str::to_owned))
        .build();
    let management = AdvancedFieldSelector::builder()
        .field("eventCategory")
        .equals("Management")
        .build()
        .unwrap();
    let selectors = GetEventSelectorsOutput::builder()
        .advanced_event_selectors(
            AdvancedEventSelector::builder()
                .field_selectors(management)
                .build()
                .unwrap(),
        )
        .build();
    let insights = GetInsightSelectorsOutput::builder()
        .insight_selectors(
            InsightSelector::builder()
                .insight_type(InsightType::ApiCallRateInsight)
                .build(),
        )
        .build();
    let mocks = if refused.is_some() {
        vec![
            mock!(Client::get_trail).then_error(error),
            mock!(Client::get_trail_status).then_error(status_error),
        ]
    } else {
        vec![
            mock!(Client::get_trail)
                .then_output(move || GetTrailOutput::builder().trail(trail.clone()).build()),
            mock!(Client::get_trail_status).then_output(move || status.clone()),
        ]
    };
    let rest = [
        mock!(Client::get_event_selectors).then_output(move || selectors.clone()),
        mock!(Client::get_insight_selectors).then_output(move || insights.clone()),
        mock!(Client::list_tags).then_output(|| ListTagsOutput::builder().build()),
    ];
    let mocks: Vec<&Mock> = mocks.iter().chain(&rest).collect();
    mock_client!(aws_sdk_cloudtrail, RuleMode::MatchAny, &mocks)
}

fn kms(world: &World) -> aws_sdk_kms::Client {
    use aws_sdk_kms::{Client, types::KeyMetadata};
    let metadata = KeyMetadata::builder()
        .key_id(KEY)
        .arn(KEY)
        .key_state(world.key_state.into())
        .build()
        .unwrap();
    let refused = || {
        ErrorMetadata::builder()
            .code("AccessDeniedException")
            .build()
    };
    let described = if world.kms_refuses.contains(&"DescribeKey") {
        mock!(Client::describe_key).then_error(move || DescribeKeyError::generic(refused()))
    } else {
        mock!(Client::describe_key).then_output(move || {
            DescribeKeyOutput::builder()
                .key_metadata(metadata.clone())
                .build()
        })
    };
    let policy = if world.kms_refuses.contains(&"GetKeyPolicy") {
        mock!(Client::get_key_policy).then_error(move || GetKeyPolicyError::generic(refused()))
    } else {
        mock!(Client::get_key_policy).then_output(|| {
            GetKeyPolicyOutput::builder()
                .policy(r#"{"Statement":[]}"#)
                .build()
        })
    };
    mock_client!(aws_sdk_kms, RuleMode::MatchAny, &[&described, &policy])
}

fn events(world: &World, rule: &Rule) -> aws_sdk_eventbridge::Client {
    use aws_sdk_eventbridge::Client;
    let described = DescribeRuleOutput::builder()
        .state(world.rule_state.into())
        .set_event_pattern(rule.pattern.as_ref().map(Value::to_string))
        .build();
    let describe = match world.rules_refuse {
        Some(code) => mock!(Client::describe_rule).then_error(move || {
            DescribeRuleError::generic(ErrorMetadata::builder().code(code).build())
        }),
        None => mock!(Client::describe_rule).then_output(move || described.clone()),
    };
    let target = rule.target.to_sdk().unwrap();
    let targets = mock!(Client::list_targets_by_rule).then_output(move || {
        ListTargetsByRuleOutput::builder()
            .targets(target.clone())
            .build()
    });
    mock_client!(
        aws_sdk_eventbridge,
        RuleMode::MatchAny,
        &[&describe, &targets],
        |config| config.retry_config(RetryConfig::disabled())
    )
}

fn item(sk: &'static str, fields: Vec<(&'static str, String)>) -> Mock {
    use aws_sdk_dynamodb::Client;
    mock!(Client::get_item)
        .match_requests(move |request| {
            request
                .key()
                .is_some_and(|key| key["sk"] == AttributeValue::S(sk.to_owned()))
        })
        .then_output(move || {
            let mut output = GetItemOutput::builder();
            for (name, value) in &fields {
                output = output.item(*name, AttributeValue::S(value.clone()));
            }
            output.build()
        })
}

fn ledger(world: &World) -> Ledger {
    use aws_sdk_dynamodb::Client;
    let mut mocks = Vec::new();
    if !world.ledger {
        mocks.push(mock!(Client::get_item).then_error(|| {
            GetItemError::generic(
                ErrorMetadata::builder()
                    .code("ResourceNotFoundException")
                    .build(),
            )
        }));
    }
    let recorded = |baseline: &Option<Value>, intended: &Option<Value>| {
        let fields = [("baseline", baseline), ("intended", intended)];
        let some = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?.to_string())));
        some.collect::<Vec<_>>()
    };
    mocks.push(item("trail", recorded(&world.recorded, &world.intended)));
    mocks.push(item("archive", recorded(&world.archive, &None)));
    let kept = Arc::clone(&world.episode);
    mocks.push(
        mock!(Client::get_item)
            .match_requests(|request| {
                request.key().is_some_and(|key| {
                    key["sk"] == AttributeValue::S("episode".to_owned())
                        && key["pk"] == AttributeValue::S(format!("deviation#{TRAIL}"))
                })
            })
            .then_compute_output(move |_| {
                let episode = kept.lock().unwrap().clone();
                let output = GetItemOutput::builder();
                match episode {
                    Some(json) => output.item("episode", AttributeValue::S(json)).build(),
                    None => output.build(),
                }
            }),
    );
    if !world.saves {
        mocks.push(mock!(Client::put_item).then_error(|| {
            PutItemError::generic(
                ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .build(),
            )
        }));
    }
    let kept = Arc::clone(&world.episode);
    mocks.push(mock!(Client::put_item).then_compute_output(move |request| {
        let json = request.item().unwrap()["episode"].as_s().unwrap().clone();
        *kept.lock().unwrap() = Some(json);
        PutItemOutput::builder().build()
    }));
    let kept = Arc::clone(&world.episode);
    mocks.push(mock!(Client::delete_item).then_compute_output(move |_| {
        *kept.lock().unwrap() = None;
        DeleteItemOutput::builder().build()
    }));
    let mocks: Vec<&Mock> = mocks.iter().collect();
    Ledger::new(
        mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &mocks),
        "ledger",
    )
}

fn worker(world: &World) -> CheckTrails {
    let watches_key = world.watches_key;
    let settings = Settings::new(move |name| {
        settings(name).filter(|_| watches_key || name != "TRAIL_KEY_ARN")
    });
    let rule = detection::rules(&settings).unwrap().remove(0);
    CheckTrails {
        cloudtrail: cloudtrail(world),
        archive: Clients {
            s3: mock_client!(aws_sdk_s3, []),
            kms: kms(world),
            logs: mock_client!(aws_sdk_cloudwatchlogs, []),
        },
        names: Names::from_settings(&settings).unwrap(),
        events: events(world, &rule),
        rules: vec![rule],
        ledger: ledger(world),
        tiers: Tiers::from_settings(&settings).unwrap(),
        mode: world.mode,
        now: world.now,
    }
}

async fn check(world: &World, heartbeat: bool) -> Value {
    let payload = json!({"incidentId": "i-1", "trailArn": TRAIL, "heartbeat": heartbeat});
    answer(&worker(world), &payload).await.unwrap()
}

/// What is missing and left, one a line.
async fn found(world: &World) -> String {
    let output = check(world, false).await;
    assert!(output["incident"].is_null(), "{output}");
    let lines = |name: &str| {
        let lines = output[name].as_array().unwrap().iter();
        lines
            .map(|line| format!("{name}: {}", line.as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(output["holds"], lines("missing").is_empty());
    [lines("missing"), lines("left")].concat().join("\n")
}

#[tokio::test]
async fn what_is_as_recorded_and_deployed_holds() {
    let output = check(&whole(), true).await;
    insta::assert_json_snapshot!(output, @r#"
    {
      "holds": true,
      "missing": [],
      "left": [],
      "summary": "the trail logs and is as recorded, as is its log archive, and our rules are as deployed"
    }
    "#);
    let unwatched = World {
        watches_key: false,
        ..whole()
    };
    insta::assert_snapshot!(check(&unwatched, true).await["summary"].as_str().unwrap(), @"the trail logs and is as recorded, and our rules are as deployed; its log archive is not watched");
}

#[tokio::test]
async fn every_deviation_that_a_repair_puts_back_is_missing() {
    let world = World {
        bucket: "elsewhere",
        logging: false,
        multi_region: false,
        key_state: "PendingDeletion",
        rule_state: "DISABLED",
        ..whole()
    };
    insta::assert_snapshot!(found(&world).await, @"
    missing: the trail is not logging
    missing: the trail is not as recorded: isMultiRegionTrail
    missing: the trail is not as recorded: s3BucketName
    missing: the trail's key is pending deletion
    missing: our rule guard-trail-tampered is disabled
    ");
    let gone = World {
        trail: Some("gone"),
        ..whole()
    };
    insta::assert_snapshot!(found(&gone).await, @"missing: the trail does not exist");
}

#[tokio::test]
async fn what_could_not_be_delivered_is_left() {
    let world = World {
        delivery_error: Some("NoSuchBucket"),
        ..whole()
    };
    insta::assert_snapshot!(found(&world).await, @"left: the trail could not deliver to its bucket, last (NoSuchBucket): CloudTrail tries again for 30 days, once nothing is in its way");
}

#[tokio::test]
async fn an_intended_change_and_hardening_hold() {
    let world = World {
        bucket: "new-logs",
        intended: Some(trail_json("new-logs")),
        ..whole()
    };
    assert_eq!(found(&world).await, "");
    let mut weaker = trail_json("logs");
    weaker["isMultiRegionTrail"] = json!(false);
    let world = World {
        recorded: Some(weaker),
        ..whole()
    };
    assert_eq!(found(&world).await, "");
}

#[tokio::test]
async fn without_a_baseline_what_needs_none_is_compared() {
    let world = World {
        recorded: None,
        archive: None,
        multi_region: false,
        key_state: "Disabled",
        ..whole()
    };
    insta::assert_snapshot!(found(&world).await, @"
    missing: the trail's key is disabled
    left: nothing is recorded of the trail: check it, then start the record-baseline runbook
    left: of the trail: it records one region only: check it, then start the record-baseline runbook
    left: nothing is recorded of the trail's log archive: check it, then start the record-baseline runbook
    ");
}

#[tokio::test]
async fn what_cannot_be_read_is_left_and_hides_nothing_else() {
    let world = World {
        trail: Some("AccessDeniedException"),
        kms_refuses: &["DescribeKey"],
        rules_refuse: Some("AccessDeniedException"),
        ..whole()
    };
    insta::assert_snapshot!(found(&world).await, @"
    left: whether the trail logs could not be read: cloudtrail:GetTrailStatus: AccessDeniedException: as AWS says: look at it by hand; if this worker's role was changed, deploy this stack again
    left: the trail could not be read: cloudtrail:GetTrail: AccessDeniedException: as AWS says: look at it by hand; if this worker's role was changed, deploy this stack again
    left: the state of the trail's key cannot be read (kms:DescribeKey: AccessDeniedException): look at its policy as an administrator of the key, aws kms get-key-policy --key-id arn:aws:kms:eu-west-1:123456789012:key/0a0a0a0a-1111-2222-3333-444444444444 --region eu-west-1; where nobody may any more, only AWS Support can help
    left: our rule guard-trail-tampered could not be read: events:DescribeRule: AccessDeniedException: look at it by hand; if this worker's role was changed, deploy this stack again
    ");
    let world = World {
        ledger: false,
        logging: false,
        ..whole()
    };
    insta::assert_snapshot!(found(&world).await, @"
    missing: the trail is not logging
    left: what is recorded of the trail could not be read: dynamodb:GetItem: ResourceNotFoundException: look at it by hand; if this worker's role was changed, deploy this stack again
    left: what is recorded of the trail's log archive could not be read: dynamodb:GetItem: ResourceNotFoundException: look at it by hand; if this worker's role was changed, deploy this stack again
    ");
}

#[tokio::test]
async fn where_nothing_can_be_read_it_is_a_failure() {
    let dark = World {
        trail: Some("AccessDeniedException"),
        kms_refuses: &["DescribeKey", "GetKeyPolicy"],
        rules_refuse: Some("AccessDeniedException"),
        ..whole()
    };
    for (world, name) in [
        (dark.clone(), "AccessDenied"),
        (
            World {
                watches_key: false,
                ..dark.clone()
            },
            "AccessDenied",
        ),
        (
            World {
                rules_refuse: Some("ThrottlingException"),
                ..dark.clone()
            },
            "Transient",
        ),
    ] {
        let payload = json!({"incidentId": "i-1", "trailArn": TRAIL, "heartbeat": true});
        let failure = answer(&worker(&world), &payload).await.unwrap_err();
        assert_eq!(failure.name(), name);
        let message = failure.to_string();
        assert!(message.starts_with("nothing could be read: "), "{message}");
        assert_eq!(*world.episode.lock().unwrap(), None);
    }
    let partly = World {
        rules_refuse: None,
        ..dark
    };
    assert!(!found(&partly).await.is_empty());
}

#[tokio::test]
async fn a_refusal_in_other_words_is_no_new_deviation() {
    let world = World {
        trail: Some("AccessDeniedException"),
        words: "request 1",
        ..whole()
    };
    let first = check(&world, true).await;
    assert!(first["incidentId"].is_string(), "{first}");
    let again = World {
        words: "request 2",
        ..world.clone()
    };
    assert_eq!(check(&again, true).await["incidentId"], first["incidentId"]);
    let other = World {
        trail: Some("InvalidParameterException"),
        ..world
    };
    assert_ne!(check(&other, true).await["incidentId"], first["incidentId"]);
}

#[tokio::test]
async fn another_delivery_error_is_another_deviation() {
    let world = World {
        delivery_error: Some("AccessDenied"),
        ..whole()
    };
    let first = check(&world, true).await;
    assert_eq!(
        (&first["holds"], &first["missing"]),
        (&json!(true), &json!([]))
    );
    assert!(first["incident"].is_object(), "{first}");
    assert_eq!(check(&world, true).await["incidentId"], first["incidentId"]);
    let other = World {
        delivery_error: Some("NoSuchBucket"),
        ..world
    };
    assert_ne!(check(&other, true).await["incidentId"], first["incidentId"]);
}

#[tokio::test]
async fn a_heartbeat_hands_over_an_incident_without_an_actor() {
    let world = World {
        logging: false,
        ..whole()
    };
    let output = check(&world, true).await;
    insta::assert_json_snapshot!(output["incident"], @r#"
    {
      "runbook": "cloudtrail-disabled",
      "reason": "the trail is not logging",
      "severity": "critical",
      "occurredAt": "2026-11-25T03:12:46Z",
      "discoveredAt": "2026-11-25T03:12:46Z",
      "actor": {
        "kind": "unidentified",
        "reason": "found by a check, which sees what was done and not by whom"
      },
      "containment": {
        "kind": "none",
        "reason": "nobody to contain: found by a check, which sees what was done and not by whom",
        "byHand": "find out who did it: aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventId,AttributeValue=<the event's id>, or, where there is no event, AttributeKey=ReadOnly,AttributeValue=false around that time; then contain them: start this runbook with them as actor, and a reason"
      },
      "target": {
        "kind": "trail",
        "arn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic"
      },
      "dryRun": false
    }
    "#);
    let observed = World {
        mode: Mode::Observe,
        ..world
    };
    assert_eq!(check(&observed, true).await["incident"]["dryRun"], true);
}

#[tokio::test]
async fn an_episode_is_one_incident_until_something_new_deviates() {
    let stopped = World {
        logging: false,
        ..whole()
    };
    let both = World {
        rule_state: "DISABLED",
        ..stopped.clone()
    };
    let other = World {
        bucket: "elsewhere",
        ..both.clone()
    };
    let worse = World {
        bucket: "far-away",
        ..other.clone()
    };
    let id = async |world: &World| {
        let world = World {
            episode: Arc::clone(&stopped.episode),
            ..world.clone()
        };
        check(&world, true).await["incidentId"].clone()
    };
    let first = id(&stopped).await;
    assert!(
        first
            .as_str()
            .unwrap()
            .starts_with("check-20261125T031246Z-"),
        "{first}"
    );
    assert_eq!(id(&stopped).await, first);
    let second = id(&both).await;
    assert_ne!(second, first);
    // What was repaired is no new deviation.
    assert_eq!(id(&stopped).await, second);
    // Another value of the same field is another deviation.
    let third = id(&other).await;
    assert_ne!(id(&worse).await, third);
    assert_eq!(id(&whole()).await, Value::Null);
    assert_eq!(*stopped.episode.lock().unwrap(), None);
}

#[tokio::test]
async fn people_are_reminded_after_an_hour() {
    let world = World {
        logging: false,
        ..whole()
    };
    let first = check(&world, true).await;
    assert_eq!(first["remind"], false);
    let later = World {
        now: || "2026-11-25T04:12:46Z".parse().unwrap(),
        ..world
    };
    let again = check(&later, true).await;
    assert_eq!(again["remind"], true);
    assert_eq!(again["incidentId"], first["incidentId"]);
    assert_eq!(
        again["incident"], first["incident"],
        "discovered then, not now"
    );

    let earlier = World {
        now: || "2026-11-25T01:00:00Z".parse().unwrap(),
        ..later
    };
    let disbelieved = check(&earlier, true).await;
    assert_eq!(disbelieved["remind"], true, "it cannot begin in the future");
}

#[tokio::test]
async fn without_a_ledger_it_is_one_incident_an_hour() {
    for world in [
        World {
            ledger: false,
            ..whole()
        },
        World {
            saves: false,
            logging: false,
            ..whole()
        },
    ] {
        let first = check(&world, true).await;
        let id = first["incidentId"].as_str().unwrap();
        assert!(id.starts_with("check-20261125T03Z-"), "{id}");
        assert_eq!(first["remind"], false);
        let later = World {
            now: || "2026-11-25T03:59:00Z".parse().unwrap(),
            ..world
        };
        assert_eq!(check(&later, true).await["incidentId"], first["incidentId"]);
    }
}

#[tokio::test]
async fn an_episode_lasts_where_the_ledger_cannot_forget_what_is_gone() {
    let both = World {
        logging: false,
        rule_state: "DISABLED",
        ..whole()
    };
    let first = check(&both, true).await;
    let fewer = World {
        logging: true,
        saves: false,
        ..both
    };
    assert_eq!(check(&fewer, true).await["incidentId"], first["incidentId"]);
}

#[tokio::test]
async fn what_a_runbook_mended_is_new_when_it_returns_before_the_next_heartbeat() {
    let stopped = World {
        logging: false,
        ..whole()
    };
    let mended = World {
        episode: Arc::clone(&stopped.episode),
        ..whole()
    };
    let first = check(&stopped, true).await["incidentId"].clone();
    check(&mended, false).await;
    let again = World {
        now: || "2026-11-25T03:16:00Z".parse().unwrap(),
        ..stopped.clone()
    };
    assert_ne!(check(&again, true).await["incidentId"], first);
    // A repair that failed leaves the episode as it is.
    let second = check(&again, true).await["incidentId"].clone();
    check(&again, false).await;
    assert_eq!(check(&again, true).await["incidentId"], second);
}
