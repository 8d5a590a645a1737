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
use aws_sdk_sfn::{
    operation::list_executions::{ListExecutionsError, ListExecutionsOutput},
    primitives::DateTime,
    types::{ExecutionListItem, ExecutionStatus},
};
use aws_smithy_mocks::{Rule as Mock, RuleMode, mock, mock_client};
use serde_json::{Value, json};
use worker::answer;

use log_archive::{Archive, Found, Property};

use super::*;

const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";
const RUN: &str = "arn:aws:states:eu-west-1:123456789012:execution:guard-record-baseline:first";
const RECORDED: &str = "2026-11-24T09:00:00Z";
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
    recorded_by: &'static str,
    recorded_at: &'static str,
    archive: Option<Value>,
    ledger_refuses: Option<&'static str>,
    saves: bool,
    episode: Arc<Mutex<Option<String>>>,
    /// What one heartbeat leaves for the next.
    heartbeat: Arc<Mutex<Option<String>>>,
    /// When each run of the runbook began that is under way.
    runs: &'static [&'static str],
    states_refuse: bool,
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

fn archive_json() -> Value {
    json!({
        "bucket": null, "bucketPolicy": null, "bucketVersioning": "Off",
        "bucketLifecycle": [], "bucketEncryption": null, "key": KEY,
        "keyPolicy": {"Statement": []}, "logGroup": null, "logRetentionDays": null,
    })
}

/// What a heartbeat leaves that saw [`whole`].
fn known() -> Value {
    let fingerprint = |baseline: Value| {
        let written = [baseline.to_string().as_str(), "", RUN, RECORDED].map(str::to_owned);
        episode::hash(&written.each_ref().map(String::as_str), 64)
    };
    json!({"recorded": {
        "the trail": fingerprint(trail_json("logs")),
        "the log archive": fingerprint(archive_json()),
    }})
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
        archive: Some(archive_json()),
        recorded_by: RUN,
        recorded_at: RECORDED,
        ledger_refuses: None,
        saves: true,
        episode: Arc::default(),
        heartbeat: Arc::new(Mutex::new(Some(known().to_string()))),
        runs: &[],
        states_refuse: false,
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
    if let Some(code) = world.ledger_refuses {
        mocks.push(mock!(Client::get_item).then_error(move || {
            GetItemError::generic(ErrorMetadata::builder().code(code).build())
        }));
    }
    let recorded = |baseline: &Option<Value>, intended: &Option<Value>| {
        let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
        let fields = [
            ("baseline", json(baseline)),
            ("intended", json(intended)),
            ("recordedBy", Some(world.recorded_by.to_owned())),
            ("recordedAt", Some(world.recorded_at.to_owned())),
        ];
        let some = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        if baseline.is_some() {
            some.collect()
        } else {
            Vec::new()
        }
    };
    mocks.push(item("trail", recorded(&world.recorded, &world.intended)));
    mocks.push(item("archive", recorded(&world.archive, &None)));
    let kept = [("episode", &world.episode), ("heartbeat", &world.heartbeat)];
    let kept = kept.map(|(sk, kept)| (sk, Arc::clone(kept)));
    for (sk, kept) in kept.clone() {
        let key = move |name: &str| match name {
            "sk" => AttributeValue::S(sk.to_owned()),
            _ => AttributeValue::S(format!("deviation#{TRAIL}")),
        };
        mocks.push(
            mock!(Client::get_item)
                .match_requests(move |request| {
                    let mut asked = request.key().into_iter().flatten();
                    asked.all(|(name, value)| *value == key(name))
                })
                .then_compute_output(move |_| {
                    let output = GetItemOutput::builder();
                    match kept.lock().unwrap().clone() {
                        Some(json) => output.item(sk, AttributeValue::S(json)).build(),
                        None => output.build(),
                    }
                }),
        );
    }
    if !world.saves {
        mocks.push(mock!(Client::put_item).then_error(|| {
            PutItemError::generic(
                ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .build(),
            )
        }));
    }
    mocks.push(mock!(Client::put_item).then_compute_output(move |request| {
        let item = request.item().unwrap();
        for (sk, kept) in &kept {
            if let Some(json) = item.get(*sk) {
                *kept.lock().unwrap() = Some(json.as_s().unwrap().clone());
            }
        }
        PutItemOutput::builder().build()
    }));
    let kept = Arc::clone(&world.episode);
    mocks.push(mock!(Client::delete_item).then_compute_output(move |_| {
        *kept.lock().unwrap() = None;
        DeleteItemOutput::builder().build()
    }));
    let mocks: Vec<&Mock> = mocks.iter().collect();
    Ledger::new(
        mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &mocks, |config| {
            config.retry_config(RetryConfig::disabled())
        }),
        "ledger",
    )
}

fn states(world: &World) -> aws_sdk_sfn::Client {
    use aws_sdk_sfn::Client;
    let runs: Vec<_> = world
        .runs
        .iter()
        .map(|began| {
            let began: Timestamp = began.parse().unwrap();
            ExecutionListItem::builder()
                .execution_arn("arn")
                .state_machine_arn("arn")
                .name(format!("r-{}", began.strftime("%H%M")))
                .status(ExecutionStatus::Running)
                .start_date(DateTime::from_secs(began.as_second()))
                .build()
                .unwrap()
        })
        .collect();
    let list = mock!(Client::list_executions).match_requests(|request| {
        let machine =
            "arn:aws:states:eu-west-1:123456789012:stateMachine:guard-cloudtrail-disabled";
        request.state_machine_arn() == Some(machine)
            && request.status_filter() == Some(&ExecutionStatus::Running)
    });
    let list = if world.states_refuse {
        list.then_error(|| {
            let code = ErrorMetadata::builder().code("AccessDeniedException");
            ListExecutionsError::generic(code.build())
        })
    } else {
        list.then_output(move || {
            ListExecutionsOutput::builder()
                .set_executions(Some(runs.clone()))
                .build()
                .unwrap()
        })
    };
    mock_client!(aws_sdk_sfn, RuleMode::MatchAny, &[&list])
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
        states: states(world),
        machines: Machines::from_settings(&settings).unwrap(),
        ledger: ledger(world),
        tiers: Tiers::from_settings(&settings).unwrap(),
        mode: world.mode,
        now: world.now,
    }
}

/// The same at the next heartbeat.
fn later(world: &World) -> World {
    World {
        now: || "2026-11-25T03:17:46Z".parse().unwrap(),
        ..world.clone()
    }
}

/// As it should be again, by the same ledger.
fn healed(world: &World) -> World {
    World {
        episode: Arc::clone(&world.episode),
        heartbeat: Arc::clone(&world.heartbeat),
        now: world.now,
        ..whole()
    }
}

fn text<'a>(output: &'a Value, name: &str) -> &'a str {
    output[name].as_str().unwrap_or_default()
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
        ledger_refuses: Some("ResourceNotFoundException"),
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
    check(&world, true).await;
    let first = check(&later(&world), true).await;
    assert!(first["incidentId"].is_string(), "{first}");
    let again = World {
        words: "request 2",
        ..later(&world)
    };
    assert_eq!(check(&again, true).await["incidentId"], first["incidentId"]);
    let other = World {
        trail: Some("InvalidParameterException"),
        ..again
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
            ledger_refuses: Some("ResourceNotFoundException"),
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

#[tokio::test]
async fn what_could_not_be_read_once_waits_for_the_next_heartbeat() {
    let slow = World {
        rules_refuse: Some("ThrottlingException"),
        ..whole()
    };
    let denied = World {
        kms_refuses: &["DescribeKey"],
        ..whole()
    };
    for world in [slow, denied] {
        let first = check(&world, true).await;
        assert!(first["incident"].is_null(), "{first}");
        assert_eq!(text(&first, "waits"), text(&first, "summary"));
        // The same heartbeat, delivered twice.
        assert!(check(&world, true).await["incident"].is_null());
        let output = check(&healed(&later(&world)), true).await;
        assert_eq!(
            (&output["waits"], &output["incident"]),
            (&Value::Null, &Value::Null)
        );
        // Not twice in a row.
        let again = check(&later(&world), true).await;
        assert!(again["waits"].is_string(), "{again}");
        let second = World {
            now: || "2026-11-25T03:22:46Z".parse().unwrap(),
            ..world.clone()
        };
        let second = check(&second, true).await;
        assert!(second["waits"].is_null(), "{second}");
        assert_eq!(
            second["incident"]["reason"], first["summary"],
            "twice in a row"
        );
    }
}

#[tokio::test]
async fn whoever_shuts_us_out_of_a_bucket_in_turns_does_not_blind_us() {
    let found = |unread: &[Property]| Found {
        unread: unread
            .iter()
            .map(|property| (*property, Failure::AccessDenied("no".to_owned())))
            .collect(),
        archive: Archive {
            bucket: Some("logs".to_owned()),
            ..Archive::default()
        },
        bucket_exists: true,
        ..Found::default()
    };
    let unread = |found: &Found| {
        let names = Names {
            bucket: Some("logs".to_owned()),
            ..worker(&whole()).names
        };
        let deviations = found.deviations(&found.archive, &names, (whole().now)());
        let unread = deviations
            .iter()
            .map(|it| look::unread_of_archive(found, it));
        unread.collect::<Vec<_>>()
    };
    let all = [
        Property::BucketPolicy,
        Property::BucketLifecycle,
        Property::BucketVersioning,
        Property::BucketEncryption,
    ];
    let bucket = Some("bucket".to_owned());
    assert_eq!(unread(&found(&all)), vec![bucket.clone(); 1]);
    assert_eq!(unread(&found(&all[2..])), vec![bucket; 2]);
    let gone = Found {
        bucket_exists: false,
        ..found(&[])
    };
    assert_eq!(unread(&gone), [None]);
}

#[tokio::test]
async fn what_deviates_for_certain_is_answered_whatever_could_not_be_read() {
    let stopped = World {
        logging: false,
        ..whole()
    };
    let both = World {
        rules_refuse: Some("ThrottlingException"),
        ..stopped.clone()
    };
    let first = check(&both, true).await;
    assert!(first["incident"].is_object(), "{first}");
    assert!(first["waits"].is_null(), "{first}");
    // The rest lasts: what was not read is neither new nor gone.
    let unread = World {
        trail: Some("ThrottlingException"),
        now: || "2026-11-25T03:17:46Z".parse().unwrap(),
        rules_refuse: None,
        ..both.clone()
    };
    let waits = check(&unread, true).await;
    assert!(waits["waits"].is_string(), "{waits}");
    let after = World {
        now: || "2026-11-25T03:22:46Z".parse().unwrap(),
        ..stopped
    };
    assert_eq!(check(&after, true).await["incidentId"], first["incidentId"]);
}

#[tokio::test]
async fn a_record_that_is_not_readable_is_no_slow_answer() {
    let broken = World {
        recorded: Some(json!({"name": "clinic"})),
        ..whole()
    };
    let output = check(&broken, true).await;
    assert!(output["incident"].is_object(), "{output}");
    let said = text(&output, "summary");
    assert!(
        said.contains("the baseline of the trail is not readable")
            && said.contains("the baseline of the trail is new"),
        "{said}"
    );
}

#[tokio::test]
async fn a_slow_ledger_is_asked_again_and_hides_no_attack() {
    let slow = World {
        ledger_refuses: Some("ThrottlingException"),
        ..whole()
    };
    let payload = json!({"incidentId": "i-1", "trailArn": TRAIL, "heartbeat": true});
    let failure = answer(&worker(&slow), &payload).await.unwrap_err();
    assert_eq!(failure.name(), "Transient");
    insta::assert_snapshot!(failure, @"not everything could be read, and whether that is new is not known: dynamodb:GetItem: ThrottlingException");
    let attacked = World {
        logging: false,
        ..slow
    };
    assert!(check(&attacked, true).await["incident"].is_object());
}

#[tokio::test]
async fn nothing_waits_where_the_next_heartbeat_would_not_know() {
    let slow = World {
        rules_refuse: Some("ThrottlingException"),
        ..whole()
    };
    let repaired = World {
        logging: false,
        runs: &["2026-11-25T03:10:00Z"],
        ..whole()
    };
    for world in [slow, repaired] {
        let world = World {
            saves: false,
            ..world
        };
        let output = check(&world, true).await;
        assert!(output["incident"].is_object(), "{output}");
    }
}

#[tokio::test]
async fn what_is_new_is_left_to_a_run_that_just_began_twice_at_most() {
    let mut world = World {
        logging: false,
        runs: &["2026-11-25T02:00:00Z", "2026-11-25T03:10:00Z"],
        ..whole()
    };
    for _ in 0..2 {
        let output = check(&world, true).await;
        assert!(output["incident"].is_null(), "{output}");
        assert_eq!(output["waits"], "the run r-0310 is repairing");
        assert_eq!(*world.episode.lock().unwrap(), None);
    }
    let third = check(&world, true).await;
    assert!(third["incident"].is_object(), "{third}");
    // It is known now, whatever runs; what is new again may wait again.
    assert_eq!(check(&world, true).await["incidentId"], third["incidentId"]);
    world.rule_state = "DISABLED";
    assert!(check(&world, true).await["waits"].is_string());
    // Once it is mended, nothing is left.
    let healed = healed(&world);
    let output = check(&healed, true).await;
    assert!(output["waits"].is_null() && output["incident"].is_null());
    assert_eq!(
        healed.heartbeat.lock().unwrap().clone().map(|left| {
            let left: Value = serde_json::from_str(&left).unwrap();
            left["leftToARun"].clone()
        }),
        Some(json!(0))
    );
}

#[tokio::test]
async fn no_run_that_is_old_or_unknown_is_waited_for() {
    let stopped = World {
        logging: false,
        ..whole()
    };
    for world in [
        World {
            runs: &["2026-11-25T03:02:40Z"],
            ..stopped.clone()
        },
        World {
            runs: &["2026-11-26T03:10:00Z"],
            ..stopped.clone()
        },
        World {
            runs: &["2026-11-25T03:10:00Z"],
            states_refuse: true,
            ..stopped.clone()
        },
    ] {
        let world = World {
            heartbeat: Arc::new(Mutex::new(Some(known().to_string()))),
            episode: Arc::default(),
            ..world
        };
        let output = check(&world, true).await;
        assert!(output["incident"].is_object(), "{output}");
    }
}

#[tokio::test]
async fn people_learn_what_else_is_recorded_since_the_heartbeat_before() {
    let mut world = World {
        intended: Some(trail_json("eves")),
        recorded_at: "2026-11-25T03:10:00Z",
        ..whole()
    };
    let first = check(&world, true).await;
    insta::assert_snapshot!(text(&first, "notice"), @"the baseline of the trail and the log archive is new: it was recorded at 2026-11-25T03:10:00Z by arn:aws:states:eu-west-1:123456789012:execution:guard-record-baseline:first. If it was none of you, treat it as an attack: find out who did it, and have an operator record the baseline again");
    assert_eq!(check(&later(&world), true).await["notice"], first["notice"]);
    world.now = || "2026-11-25T03:27:46Z".parse().unwrap();
    assert!(check(&world, true).await["notice"].is_null());

    world.recorded = None;
    world.intended = None;
    check(&world, true).await;
    world.recorded = Some(trail_json("logs"));
    world.recorded_by = "eve\nIncident: none";
    world.recorded_at = "some day";
    world.archive = whole().archive;
    let forged = check(&world, true).await;
    insta::assert_snapshot!(text(&forged, "notice"), @"the baseline of the trail and the log archive is new: it was recorded by “eve Incident: none”, which is no run of record-baseline. If it was none of you, treat it as an attack: find out who did it, and have an operator record the baseline again");
}

#[tokio::test]
async fn news_go_with_what_deviates_and_are_told_by_themselves_after_it() {
    let mut world = World {
        logging: false,
        recorded_at: "2026-11-25T03:10:00Z",
        ..whole()
    };
    let output = check(&world, true).await;
    assert!(output["notice"].is_null(), "{output}");
    insta::assert_snapshot!(output["incident"]["reason"].as_str().unwrap(), @"the trail is not logging; the baseline of the trail and the log archive is new: it was recorded at 2026-11-25T03:10:00Z by arn:aws:states:eu-west-1:123456789012:execution:guard-record-baseline:first. If it was none of you, treat it as an attack: find out who did it, and have an operator record the baseline again");
    world.now = || "2026-11-25T09:00:00Z".parse().unwrap();
    let reminded = check(&world, true).await;
    assert_eq!(reminded["remind"], true);
    assert_eq!(reminded["summary"], output["summary"]);
    world.logging = true;
    let notice = check(&world, true).await;
    assert!(text(&output, "summary").ends_with(text(&notice, "notice")));
    assert!(notice["notice"].is_string() && notice["incident"].is_null());
}

#[tokio::test]
async fn who_forgets_what_is_recorded_is_told_of_it() {
    for forgotten in [None, Some("{".to_owned()), Some("{}".to_owned())] {
        let world = World {
            heartbeat: Arc::new(Mutex::new(forgotten)),
            ..whole()
        };
        let output = check(&world, true).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(text(&output, "notice"), @"the baseline of the trail and the log archive is new: it was recorded at 2026-11-24T09:00:00Z by arn:aws:states:eu-west-1:123456789012:execution:guard-record-baseline:first. If it was none of you, treat it as an attack: find out who did it, and have an operator record the baseline again");
        }
    }
}

#[tokio::test]
async fn an_intended_change_that_is_forgotten_is_remembered_once_a_day() {
    let mut world = World {
        intended: Some(trail_json("new-logs")),
        now: || "2026-11-25T03:12:46Z".parse().unwrap(),
        ..whole()
    };
    // Recorded 18 hours ago; that it is new was told already.
    check(&world, true).await;
    world.now = || "2026-11-25T08:59:00Z".parse().unwrap();
    assert!(check(&world, true).await["notice"].is_null());
    world.now = || "2026-11-25T09:00:00Z".parse().unwrap();
    let first = check(&world, true).await;
    insta::assert_snapshot!(text(&first, "notice"), @r#"An intended change is still allowed, and whoever makes it is not answered: s3BucketName of the trail, recorded at 2026-11-24T09:00:00Z. Once it is done or given up, record the baseline again, without `intended`: aws stepfunctions start-execution --state-machine-arn arn:aws:states:eu-west-1:123456789012:stateMachine:guard-record-baseline --input '{"reason": "<why>"}'"#);
    world.now = || "2026-11-25T09:05:00Z".parse().unwrap();
    assert_eq!(check(&world, true).await["notice"], first["notice"]);
    for now in [
        || "2026-11-25T09:20:00Z".parse().unwrap(),
        || "2026-11-26T08:55:00Z".parse().unwrap(),
    ] {
        world.now = now;
        assert!(check(&world, true).await["notice"].is_null());
    }
    world.now = || "2026-11-26T09:00:00Z".parse().unwrap();
    world.bucket = "new-logs";
    let done = check(&world, true).await;
    insta::assert_snapshot!(text(&done, "notice"), @r#"The intended change is done: s3BucketName of the trail, recorded at 2026-11-24T09:00:00Z. Record the baseline again, without `intended`: aws stepfunctions start-execution --state-machine-arn arn:aws:states:eu-west-1:123456789012:stateMachine:guard-record-baseline --input '{"reason": "<why>"}'"#);
}
