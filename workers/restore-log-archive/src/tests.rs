use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use aws_sdk_cloudwatchlogs::{
    Client as Logs, operation::describe_log_groups::DescribeLogGroupsOutput, types::LogGroup,
};
use aws_sdk_dynamodb::{
    Client as DynamoDb,
    operation::{
        delete_item::DeleteItemOutput, get_item::GetItemOutput, update_item::UpdateItemOutput,
    },
    types::AttributeValue,
};
use aws_sdk_kms::{
    Client as Kms,
    operation::{
        cancel_key_deletion::CancelKeyDeletionOutput, describe_key::DescribeKeyOutput,
        enable_key::EnableKeyOutput, get_key_policy::GetKeyPolicyOutput,
    },
    types::KeyMetadata,
};
use aws_sdk_s3::{
    Client as S3,
    config::{http::HttpResponse, retry::RetryConfig},
    operation::{
        delete_bucket_lifecycle::DeleteBucketLifecycleOutput,
        get_bucket_encryption::GetBucketEncryptionOutput,
        get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput,
        get_bucket_policy::GetBucketPolicyOutput, get_bucket_versioning::GetBucketVersioningOutput,
        put_bucket_encryption::PutBucketEncryptionOutput,
        put_bucket_lifecycle_configuration::PutBucketLifecycleConfigurationOutput,
        put_bucket_policy::PutBucketPolicyOutput, put_bucket_versioning::PutBucketVersioningOutput,
    },
    types::BucketVersioningStatus,
};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use log_archive::{Archive, Encryption, Lifecycle, Versioning};
use serde_json::{Value, json};
use worker::answer;

use super::*;

const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main";
const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/k";
const BUCKET: &str = "arn:aws:s3:::logs";
const OWNER: Option<&str> = Some("123456789012");

fn now() -> Timestamp {
    "2026-11-25T10:00:00Z".parse().unwrap()
}

fn names() -> Names {
    Names {
        account: "123456789012".to_owned(),
        bucket: Some("logs".to_owned()),
        key: Some(KEY.parse().unwrap()),
        log_group: Some("trail".to_owned()),
        min_retention_days: 365,
    }
}

fn healthy() -> Archive {
    let allow = |action: &str, resource: &str| {
        json!({"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
               "Action": action, "Resource": resource})
    };
    serde_json::from_value(json!({
        "bucket": "logs",
        "bucketPolicy": {"Version": "2012-10-17", "Statement": [
            allow("s3:GetBucketAcl", BUCKET), allow("s3:PutObject", "arn:aws:s3:::logs/*"),
        ]},
        "bucketLifecycle": expiring(400),
        "bucketVersioning": "Enabled",
        "bucketEncryption": {"algorithm": "aws:kms", "kmsKey": KEY, "bucketKeyEnabled": true},
        "key": KEY,
        "keyPolicy": {"Version": "2012-10-17", "Statement": [allow("kms:GenerateDataKey*", "*")]},
        "logGroup": "trail",
        "logRetentionDays": 365
    }))
    .unwrap()
}

fn expiring(days: i32) -> Lifecycle {
    serde_json::from_value(json!({"rules": [
        {"id": "r", "status": "Enabled", "filter": {"prefix": ""}, "expiration": {"days": days}}
    ]}))
    .unwrap()
}

fn tampered() -> Archive {
    let mut archive = healthy();
    archive.bucket_policy.as_mut().unwrap()["Statement"][1]["Effect"] = json!("Deny");
    archive.bucket_lifecycle = expiring(1);
    archive.bucket_versioning = Versioning::Suspended;
    archive.bucket_encryption = Some(Encryption {
        kms_key: Some("arn:aws:kms:eu-west-1:666666666666:key/k".to_owned()),
        ..archive.bucket_encryption.unwrap()
    });
    archive
}

/// An account with one log archive, and the ledger.
struct World {
    archive: Archive,
    key_state: &'static str,
    bucket: Owner,
    /// The error code of each call that is refused.
    refuses: HashMap<&'static str, &'static str>,
    items: BTreeMap<(String, String), HashMap<String, AttributeValue>>,
    calls: Vec<&'static str>,
}

#[derive(PartialEq)]
enum Owner {
    Ours,
    Nobody,
    Other,
}

type Shared = Arc<Mutex<World>>;

impl World {
    /// What S3 says to a call on the bucket, which must name the owner.
    fn bucket(
        &mut self,
        bucket: Option<&str>,
        owner: Option<&str>,
    ) -> Result<&mut Archive, &'static str> {
        assert_eq!((bucket, owner), (Some("logs"), OWNER));
        match self.bucket {
            Owner::Ours => Ok(&mut self.archive),
            Owner::Nobody => Err("NoSuchBucket"),
            Owner::Other => Err("AccessDenied"),
        }
    }
}

fn world(archive: Archive) -> Shared {
    let world = Arc::new(Mutex::new(World {
        archive,
        key_state: "Enabled",
        bucket: Owner::Ours,
        refuses: HashMap::new(),
        items: BTreeMap::new(),
        calls: Vec::new(),
    }));
    record(&world, Some(&healthy()));
    world
}

fn with_key(state: &'static str) -> Shared {
    let world = world(healthy());
    world.lock().unwrap().key_state = state;
    world
}

fn record(world: &Shared, archive: Option<&Archive>) {
    let key = (format!("baseline#{TRAIL}"), "archive".to_owned());
    let items = &mut world.lock().unwrap().items;
    items.remove(&key);
    if let Some(archive) = archive {
        let json = AttributeValue::S(serde_json::to_string(archive).unwrap());
        items.insert(key, HashMap::from([("baseline".to_owned(), json)]));
    }
}

fn refuse(world: &Shared, refuses: &[(&'static str, &'static str)]) {
    world.lock().unwrap().refuses = refuses.iter().copied().collect();
}

/// A rule for one call: notes it, and answers or refuses.
macro_rules! on {
    ($world:expr, $client:ident::$call:ident, |$state:ident, $request:ident| $answer:expr) => {{
        let world = Arc::clone($world);
        mock!($client::$call).then_compute_response(move |$request| {
            let mut guard = world.lock().unwrap();
            let $state = &mut *guard;
            let call = stringify!($call);
            $state.calls.push(call);
            let refused = $state.refuses.get(call).copied();
            let answer = || -> Result<_, &'static str> { $answer };
            match refused.map_or_else(answer, Err) {
                Ok(output) => MockResponse::Output(output),
                Err(code) => MockResponse::Http(refusal(call, code)),
            }
        })
    }};
}

fn refusal(call: &str, code: &str) -> HttpResponse {
    let status = match code {
        "AccessDenied" => 403,
        code if code.starts_with("NoSuch") => 404,
        _ => 400,
    };
    let body = if call.contains("bucket") {
        format!("<Error><Code>{code}</Code><Message>what AWS said</Message></Error>")
    } else {
        format!(r#"{{"__type":"{code}","message":"what AWS said"}}"#)
    };
    HttpResponse::new(status.try_into().unwrap(), body.into())
}

fn s3(world: &Shared) -> S3 {
    let policy = on!(world, S3::get_bucket_policy, |world, request| {
        let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
        let policy = archive.bucket_policy.as_ref().ok_or("NoSuchBucketPolicy")?;
        Ok(GetBucketPolicyOutput::builder()
            .policy(policy.to_string())
            .build())
    });
    let lifecycle = on!(
        world,
        S3::get_bucket_lifecycle_configuration,
        |world, request| {
            let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
            let lifecycle = &archive.bucket_lifecycle;
            if lifecycle.is_empty() {
                return Err("NoSuchLifecycleConfiguration");
            }
            Ok(GetBucketLifecycleConfigurationOutput::builder()
                .set_rules(Some(lifecycle.to_sdk().unwrap().rules))
                .build())
        }
    );
    let versioning = on!(world, S3::get_bucket_versioning, |world, request| {
        let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
        let status = match archive.bucket_versioning {
            Versioning::Enabled => Some(BucketVersioningStatus::Enabled),
            Versioning::Suspended => Some(BucketVersioningStatus::Suspended),
            Versioning::Off => None,
        };
        Ok(GetBucketVersioningOutput::builder()
            .set_status(status)
            .build())
    });
    let encryption = on!(world, S3::get_bucket_encryption, |world, request| {
        let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
        Ok(GetBucketEncryptionOutput::builder()
            .server_side_encryption_configuration(archive.encrypts().to_sdk().unwrap())
            .build())
    });
    let put_policy = on!(world, S3::put_bucket_policy, |world, request| {
        let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
        archive.bucket_policy = Some(serde_json::from_str(request.policy().unwrap()).unwrap());
        world.refuses.remove("get_bucket_policy");
        Ok(PutBucketPolicyOutput::builder().build())
    });
    let put_lifecycle = on!(
        world,
        S3::put_bucket_lifecycle_configuration,
        |world, request| {
            let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
            let asked = request.lifecycle_configuration().unwrap();
            assert_eq!(asked, &expiring(400).to_sdk().unwrap());
            archive.bucket_lifecycle = expiring(400);
            Ok(PutBucketLifecycleConfigurationOutput::builder().build())
        }
    );
    let delete_lifecycle = on!(world, S3::delete_bucket_lifecycle, |world, request| {
        let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
        archive.bucket_lifecycle = Lifecycle::default();
        Ok(DeleteBucketLifecycleOutput::builder().build())
    });
    let put_versioning = on!(world, S3::put_bucket_versioning, |world, request| {
        let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
        let asked = request.versioning_configuration().unwrap();
        archive.bucket_versioning = asked.status().cloned().into();
        Ok(PutBucketVersioningOutput::builder().build())
    });
    let put_encryption = on!(world, S3::put_bucket_encryption, |world, request| {
        let archive = world.bucket(request.bucket(), request.expected_bucket_owner())?;
        let asked = request.server_side_encryption_configuration().unwrap();
        assert_eq!(asked, &healthy().encrypts().to_sdk().unwrap());
        archive.bucket_encryption = healthy().bucket_encryption;
        Ok(PutBucketEncryptionOutput::builder().build())
    });
    mock_client!(
        aws_sdk_s3,
        RuleMode::MatchAny,
        [
            &policy,
            &lifecycle,
            &versioning,
            &encryption,
            &put_policy,
            &put_lifecycle,
            &delete_lifecycle,
            &put_versioning,
            &put_encryption
        ],
        |config| config.retry_config(RetryConfig::disabled())
    )
}

fn kms(world: &Shared) -> Kms {
    let describe = on!(world, Kms::describe_key, |world, request| {
        assert_eq!(request.key_id(), Some(KEY));
        if world.key_state == "Gone" {
            return Err("NotFoundException");
        }
        let key = KeyMetadata::builder()
            .key_id("k")
            .key_state(world.key_state.into());
        Ok(DescribeKeyOutput::builder()
            .key_metadata(key.build().unwrap())
            .build())
    });
    let policy = on!(world, Kms::get_key_policy, |world, _request| {
        let policy = world
            .archive
            .key_policy
            .as_ref()
            .ok_or("NotFoundException")?;
        Ok(GetKeyPolicyOutput::builder()
            .policy(policy.to_string())
            .build())
    });
    let cancel = on!(world, Kms::cancel_key_deletion, |world, request| {
        assert_eq!(request.key_id(), Some(KEY));
        world.key_state = "Disabled";
        Ok(CancelKeyDeletionOutput::builder().build())
    });
    let enable = on!(world, Kms::enable_key, |world, request| {
        assert_eq!(request.key_id(), Some(KEY));
        assert_eq!(world.key_state, "Disabled");
        world.key_state = "Enabled";
        Ok(EnableKeyOutput::builder().build())
    });
    mock_client!(
        aws_sdk_kms,
        RuleMode::MatchAny,
        [&describe, &policy, &cancel, &enable],
        |config| config.retry_config(RetryConfig::disabled())
    )
}

fn logs(world: &Shared) -> Logs {
    let groups = on!(world, Logs::describe_log_groups, |world, _request| {
        let days = world.archive.log_retention_days;
        let days = days.map(|days| days.try_into().unwrap());
        let group = LogGroup::builder()
            .log_group_name("trail")
            .set_retention_in_days(days);
        Ok(DescribeLogGroupsOutput::builder()
            .log_groups(group.build())
            .build())
    });
    mock_client!(
        aws_sdk_cloudwatchlogs,
        RuleMode::MatchAny,
        [&groups],
        |config| { config.retry_config(RetryConfig::disabled()) }
    )
}

fn ledger(world: &Shared) -> Ledger {
    fn id(key: Option<&HashMap<String, AttributeValue>>) -> (String, String) {
        let part = |name| key.unwrap()[name].as_s().unwrap().clone();
        (part("pk"), part("sk"))
    }
    let get = on!(world, DynamoDb::get_item, |world, request| {
        let item = world.items.get(&id(request.key())).cloned();
        Ok(GetItemOutput::builder().set_item(item).build())
    });
    let hold = on!(world, DynamoDb::update_item, |world, request| {
        let values = request.expression_attribute_values().unwrap();
        let item = world.items.entry(id(request.key())).or_default();
        if request.update_expression().unwrap().starts_with("DELETE") {
            let others = AttributeValue::Ss(vec!["i-2".to_owned()]);
            item.insert("incidents".to_owned(), others);
        } else {
            for (name, value) in [("original", ":original"), ("incidents", ":incident")] {
                item.entry(name.to_owned()).or_insert(values[value].clone());
            }
        }
        let item = Some(item.clone());
        Ok(UpdateItemOutput::builder().set_attributes(item).build())
    });
    let forget = on!(world, DynamoDb::delete_item, |world, request| {
        world.items.remove(&id(request.key()));
        Ok(DeleteItemOutput::builder().build())
    });
    let client = mock_client!(
        aws_sdk_dynamodb,
        RuleMode::MatchAny,
        [&get, &hold, &forget],
        |config| config.retry_config(RetryConfig::disabled())
    );
    Ledger::new(client, "ledger")
}

async fn run_as(world: &Shared, names: Names, more: Value) -> Result<Done, Failure> {
    world.lock().unwrap().calls.clear();
    let worker = RestoreLogArchive {
        clients: Clients {
            s3: s3(world),
            kms: kms(world),
            logs: logs(world),
        },
        names,
        ledger: ledger(world),
        now,
    };
    let mut payload = json!({"incidentId": "i-1", "trailArn": TRAIL});
    let more = more.as_object().unwrap().clone();
    payload.as_object_mut().unwrap().extend(more);
    let done = answer(&worker, &payload).await?;
    Ok(serde_json::from_value(done).unwrap())
}

async fn run(world: &Shared) -> Result<Done, Failure> {
    run_as(world, names(), json!({})).await
}

async fn rehearse(world: &Shared) -> Result<Done, Failure> {
    let done = run_as(world, names(), json!({"dryRun": true})).await;
    assert_eq!(writes(world), [""; 0]);
    done
}

async fn undo(world: &Shared) -> Result<Done, Failure> {
    run_as(world, names(), json!({"undo": true})).await
}

/// The calls that may change something, in order.
fn writes(world: &Shared) -> Vec<&'static str> {
    let world = world.lock().unwrap();
    let calls = world.calls.iter().copied();
    calls
        .filter(|call| !call.starts_with("get_") && !call.starts_with("describe_"))
        .collect()
}

fn archive_of(world: &Shared) -> Archive {
    world.lock().unwrap().archive.clone()
}

fn key_of(world: &Shared) -> &'static str {
    world.lock().unwrap().key_state
}

fn original(world: &Shared, resource: &str, mechanism: &str) -> Value {
    let key = (format!("hold#{resource}"), mechanism.to_owned());
    let world = world.lock().unwrap();
    serde_json::from_str(world.items[&key]["original"].as_s().unwrap()).unwrap()
}

#[tokio::test]
async fn everything_is_put_back_key_first_and_each_part_is_held() {
    let world = world(tampered());
    world.lock().unwrap().key_state = "PendingDeletion";
    let done = run(&world).await.unwrap();
    assert_eq!(
        writes(&world),
        [
            "update_item",
            "cancel_key_deletion",
            "enable_key",
            "update_item",
            "put_bucket_policy",
            "update_item",
            "put_bucket_versioning",
            "update_item",
            "put_bucket_lifecycle_configuration",
            "update_item",
            "put_bucket_encryption"
        ]
    );
    assert_eq!((archive_of(&world), key_of(&world)), (healthy(), "Enabled"));
    assert!(done.changed && done.left.is_empty() && done.undo.is_empty());
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: the deletion of the key is cancelled; the key is enabled; put back: the bucket's policy, the bucket's versioning, the bucket's lifecycle, the bucket's encryption");
    let before = tampered();
    assert_eq!(
        original(&world, KEY, "key"),
        json!({"keyState": "PendingDeletion"})
    );
    for (mechanism, value) in [
        (
            "bucket-policy",
            json!({"bucketPolicy": before.bucket_policy}),
        ),
        (
            "bucket-versioning",
            json!({"bucketVersioning": "Suspended"}),
        ),
        (
            "bucket-lifecycle",
            json!({"bucketLifecycle": before.bucket_lifecycle}),
        ),
        (
            "bucket-encryption",
            json!({"bucketEncryption": before.bucket_encryption}),
        ),
    ] {
        assert_eq!(original(&world, BUCKET, mechanism), value);
    }

    let again = run(&world).await.unwrap();
    assert_eq!(writes(&world), [""; 0]);
    assert!(!again.changed);
    insta::assert_snapshot!(again.summary, @"the log archive of trail main: as recorded");
}

#[tokio::test]
async fn a_disabled_key_is_enabled() {
    let world = with_key("Disabled");
    let done = run(&world).await.unwrap();
    assert_eq!(writes(&world), ["update_item", "enable_key"]);
    assert!(done.changed);
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: the key is enabled");
}

#[tokio::test]
async fn a_half_done_run_is_finished() {
    let world = with_key("PendingDeletion");
    refuse(&world, &[("enable_key", "KMSInvalidStateException")]);
    let failure = run(&world).await.unwrap_err();
    assert_eq!((failure.name(), key_of(&world)), ("Transient", "Disabled"));
    refuse(&world, &[]);
    assert!(run(&world).await.unwrap().changed);
    assert_eq!(key_of(&world), "Enabled");
    assert_eq!(
        original(&world, KEY, "key"),
        json!({"keyState": "PendingDeletion"})
    );
}

#[tokio::test]
async fn a_failure_stops_nothing_else() {
    let world = world(tampered());
    world.lock().unwrap().key_state = "PendingDeletion";
    refuse(
        &world,
        &[
            ("cancel_key_deletion", "AccessDeniedException"),
            ("put_bucket_versioning", "AccessDenied"),
            ("put_bucket_policy", "MalformedPolicy"),
        ],
    );
    let failure = run(&world).await.unwrap_err();
    assert_eq!(
        archive_of(&world).bucket_lifecycle,
        healthy().bucket_lifecycle
    );
    assert_eq!(
        archive_of(&world).bucket_encryption,
        healthy().bucket_encryption
    );
    assert_eq!(failure.name(), "AccessDenied");
    insta::assert_snapshot!(failure, @"the log archive of trail main: put back: the bucket's lifecycle, the bucket's encryption; failed: kms:CancelKeyDeletion: AccessDeniedException: what AWS said; s3:PutBucketPolicy: MalformedPolicy: what AWS said; s3:PutBucketVersioning: AccessDenied: what AWS said");
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for (call, code) in [
        ("put_bucket_policy", "SlowDown"),
        ("put_bucket_lifecycle_configuration", "OperationAborted"),
        ("get_bucket_policy", "InternalError"),
        ("describe_key", "ThrottlingException"),
    ] {
        let world = world(tampered());
        refuse(
            &world,
            &[(call, code), ("put_bucket_versioning", "AccessDenied")],
        );
        let failure = run(&world).await.unwrap_err();
        assert_eq!(failure.name(), "Transient", "{call}: {failure}");
        assert_eq!(
            archive_of(&world).bucket_encryption,
            healthy().bucket_encryption
        );
    }
}

#[tokio::test]
async fn a_lifecycle_that_nobody_recorded_is_deleted() {
    let mut archive = healthy();
    archive.bucket_lifecycle = expiring(1);
    let world = world(archive);
    let mut recorded = healthy();
    recorded.bucket_lifecycle = Lifecycle::default();
    record(&world, Some(&recorded));
    assert!(run(&world).await.unwrap().changed);
    assert_eq!(writes(&world), ["update_item", "delete_bucket_lifecycle"]);
    assert_eq!(archive_of(&world), recorded);
}

#[tokio::test]
async fn hardening_and_an_intended_change_stay() {
    let mut archive = healthy();
    archive.bucket_lifecycle = expiring(500);
    archive.log_retention_days = None;
    let mut intended = healthy();
    intended.bucket_policy.as_mut().unwrap()["Statement"][1]["Resource"] =
        json!("arn:aws:s3:::logs/x/*");
    archive.bucket_policy.clone_from(&intended.bucket_policy);
    let world = world(archive);
    let json = AttributeValue::S(serde_json::to_string(&intended).unwrap());
    let key = (format!("baseline#{TRAIL}"), "archive".to_owned());
    world
        .lock()
        .unwrap()
        .items
        .get_mut(&key)
        .unwrap()
        .insert("intended".to_owned(), json);
    let done = run(&world).await.unwrap();
    assert!(!done.changed && writes(&world).is_empty() && done.left.is_empty());
}

#[tokio::test]
async fn what_is_stronger_than_recorded_is_said_and_left() {
    let mut weak = healthy();
    weak.bucket_encryption = None;
    weak.bucket_versioning = Versioning::Off;
    let mut archive = healthy();
    let denial = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}}});
    let policy = archive.bucket_policy.as_mut().unwrap();
    policy["Statement"].as_array_mut().unwrap().push(denial);
    archive.log_retention_days = Some(400);
    let world = world(archive);
    record(&world, Some(&weak));
    let done = run(&world).await.unwrap();
    assert!(!done.changed && writes(&world).is_empty() && done.left.is_empty());
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: stronger than recorded, and left so: the policy of the log bucket, versioning of the log bucket, the encryption of the log bucket, the trail's log group");
}

#[tokio::test]
async fn a_policy_for_another_trail_is_said_to_shut_ours_out() {
    let mut archive = healthy();
    archive.bucket_policy.as_mut().unwrap()["Statement"][1]["Condition"] = json!({"StringEquals": {
        "aws:SourceArn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other"}});
    let world = world(archive);
    assert!(run(&world).await.unwrap().changed);
    assert_eq!(writes(&world), ["update_item", "put_bucket_policy"]);
    assert_eq!(archive_of(&world), healthy());
}

/// A lifecycle of a thousand rules, the most that S3 takes, each with as much to it as there can be.
fn endless() -> Lifecycle {
    let rules: Vec<_> = (0..1_000)
        .map(|n| {
            let id = format!("{n:0>255}");
            json!({"id": id, "status": "Enabled", "filter": {"prefix": id}, "expiration": {"days": 1}})
        })
        .collect();
    serde_json::from_value(json!({"rules": rules})).unwrap()
}

#[tokio::test]
async fn what_was_before_may_be_too_large_to_keep() {
    let told = "bucket-lifecycle of arn:aws:s3:::logs before was too large to keep";
    let mut archive = healthy();
    archive.bucket_lifecycle = endless();
    for ledger_takes in [true, false] {
        let world = world(archive.clone());
        if !ledger_takes {
            refuse(&world, &[("update_item", "InternalServerError")]);
        }
        let done = run(&world).await.unwrap();
        assert_eq!(archive_of(&world), healthy());
        assert!(done.summary.contains(told), "{}", done.summary);
        assert_eq!(done.undo.is_empty(), ledger_takes);
        assert!(serde_json::to_string(&done).unwrap().len() < 2_000);

        refuse(&world, &[]);
        let done = run_as(&world, names(), json!({"undo": true, "holds": done.undo})).await;
        let summary = done.unwrap().summary;
        assert!(summary.contains(told), "{summary}");
    }
}

#[tokio::test]
async fn a_bucket_that_bars_us_gets_its_policy_back_unseen() {
    let world = world(tampered());
    refuse(&world, &[("get_bucket_policy", "AccessDenied")]);
    let failure = run(&world).await.unwrap_err();
    assert_eq!(archive_of(&world), healthy());
    assert_eq!(failure.name(), "Transient");
    assert_eq!(
        original(&world, BUCKET, "bucket-policy"),
        json!({"bucketPolicy": null})
    );
    assert!(!run(&world).await.unwrap().changed);
}

#[tokio::test]
async fn another_accounts_bucket_is_reported() {
    let world = world(healthy());
    world.lock().unwrap().bucket = Owner::Other;
    let failure = run(&world).await.unwrap_err();
    assert_eq!(writes(&world), ["update_item", "put_bucket_policy"]);
    assert_eq!(failure.name(), "AccessDenied");
    insta::assert_snapshot!(failure, @"the log archive of trail main: left as it is; failed: s3:PutBucketPolicy: AccessDenied: what AWS said; left for a human: the log bucket logs is not readable, or not ours (s3:GetBucketPolicy: AccessDenied: what AWS said): find out whose it is, aws s3api head-bucket --bucket logs --expected-bucket-owner 123456789012: another account's must not get the log files, so give the trail another bucket; where its policy bars us, the account's root user can delete that, aws s3api delete-bucket-policy --bucket logs, and the cloudtrail-disabled runbook puts back the recorded one");
}

#[tokio::test]
async fn what_is_gone_is_left_for_a_human() {
    let world = with_key("Gone");
    {
        let mut world = world.lock().unwrap();
        world.bucket = Owner::Nobody;
        world.archive.log_retention_days = Some(1);
    }
    let done = run(&world).await.unwrap();
    assert!(!done.changed && writes(&world).is_empty());
    assert_eq!(done.left.len(), 3);
    assert!(done.left[1].starts_with("the log bucket logs is gone: create it again"));
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: left as it is");
    insta::assert_snapshot!(done.left[2], @"the trail's log group drops its events after 1 day: aws logs put-retention-policy --log-group-name trail --retention-in-days 365");
}

#[tokio::test]
async fn a_key_policy_is_left_for_a_human() {
    let mut archive = healthy();
    archive.key_policy.as_mut().unwrap()["Statement"][0]["Effect"] = json!("Deny");
    let world = world(archive);
    let done = run(&world).await.unwrap();
    assert!(!done.changed && writes(&world).is_empty());
    insta::assert_snapshot!(done.left.join("\n"), @"the policy of the trail's key shuts CloudTrail out: aws kms put-key-policy --key-id arn:aws:kms:eu-west-1:123456789012:key/k --region eu-west-1 --policy-name default --policy file://recorded.json, with the keyPolicy that the ledger keeps in the trail's baseline");
}

#[tokio::test]
async fn without_a_baseline_the_key_and_versioning_are_put_back() {
    let world = world(tampered());
    world.lock().unwrap().key_state = "Disabled";
    record(&world, None);
    let done = run(&world).await.unwrap();
    assert_eq!(
        writes(&world),
        [
            "update_item",
            "enable_key",
            "update_item",
            "put_bucket_versioning"
        ]
    );
    assert!(done.changed);
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: the key is enabled; put back: the bucket's versioning");
    insta::assert_snapshot!(done.left.join("\n"), @"nothing is recorded of the log archive, so it could not be compared: check it, then start the record-baseline runbook");
}

#[tokio::test]
async fn an_unreachable_ledger_stops_nothing_and_the_undo_is_handed_back() {
    let world = world(tampered());
    world.lock().unwrap().key_state = "Disabled";
    let broken = [
        ("get_item", "InternalServerError"),
        ("update_item", "InternalServerError"),
    ];
    refuse(&world, &broken);
    let done = run(&world).await.unwrap();
    assert_eq!(
        writes(&world),
        ["update_item", "enable_key", "put_bucket_versioning"],
        "the ledger is not asked again"
    );
    let held: Vec<_> = done
        .undo
        .iter()
        .map(|hold| hold.mechanism.as_str())
        .collect();
    assert_eq!(held, ["key", "bucket-versioning"]);
    assert!(
        done.left[0]
            .starts_with("the log archive was not compared with its baseline (dynamodb:GetItem")
    );

    let handed = json!({"undo": true, "holds": done.undo});
    let done = run_as(&world, names(), handed).await.unwrap();
    assert_eq!(writes(&world), [""; 0]);
    assert!(
        done.summary.contains("aws kms disable-key"),
        "{}",
        done.summary
    );
}

#[tokio::test]
async fn a_refusal_beside_an_unreachable_ledger_is_left_with_the_undo() {
    let world = world(tampered());
    refuse(
        &world,
        &[
            ("update_item", "InternalServerError"),
            ("put_bucket_policy", "AccessDenied"),
        ],
    );
    let done = run(&world).await.unwrap();
    assert!(done.changed && done.undo.len() == 4);
    assert_eq!(
        done.left,
        ["s3:PutBucketPolicy: AccessDenied: what AWS said"]
    );
}

#[tokio::test]
async fn an_unreadable_baseline_is_no_baseline() {
    let world = world(tampered());
    let key = (format!("baseline#{TRAIL}"), "archive".to_owned());
    let broken = AttributeValue::S("{".to_owned());
    let item = HashMap::from([("baseline".to_owned(), broken)]);
    world.lock().unwrap().items.insert(key, item);
    let done = run(&world).await.unwrap();
    assert_eq!(writes(&world), ["update_item", "put_bucket_versioning"]);
    assert!(done.left[0].contains("record it anew"), "{}", done.left[0]);
}

#[tokio::test]
async fn a_rehearsal_says_what_would_be_done() {
    let said = async |world: Shared| rehearse(&world).await.unwrap();
    let pending = world(tampered());
    pending.lock().unwrap().key_state = "PendingDeletion";
    let done = said(pending).await;
    assert!(!done.changed);
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: would be put back: the key, the bucket's policy, the bucket's versioning, the bucket's lifecycle, the bucket's encryption");
    insta::assert_snapshot!(said(world(healthy())).await.summary, @"the log archive of trail main: as recorded");
    let gone = said(with_key("Gone")).await;
    assert_eq!(gone.left.len(), 1);
    insta::assert_snapshot!(gone.summary, @"the log archive of trail main: left as it is");
}

#[tokio::test]
async fn an_undo_lets_go_and_leaves_the_archive_as_it_is() {
    let world = world(tampered());
    world.lock().unwrap().key_state = "PendingDeletion";
    run(&world).await.unwrap();
    let done = run_as(&world, names(), json!({"undo": true, "dryRun": true}))
        .await
        .unwrap();
    assert_eq!(writes(&world), [""; 0]);
    assert!(done.summary.contains("schedule-key-deletion"));
    let done = undo(&world).await.unwrap();
    assert_eq!(writes(&world), ["delete_item"; 5]);
    assert!(!done.changed && archive_of(&world) == healthy());
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: let go, and left as put back: the key, the bucket's policy, the bucket's versioning, the bucket's lifecycle, the bucket's encryption; an operator who intends another state sets it (aws kms schedule-key-deletion --key-id arn:aws:kms:eu-west-1:123456789012:key/k; aws s3api put-bucket-versioning --bucket logs --versioning-configuration Status=Suspended) and records it with the record-baseline runbook");
    let again = undo(&world).await.unwrap();
    assert_eq!(writes(&world), [""; 0]);
    insta::assert_snapshot!(again.summary, @"the log archive of trail main: left as it is; this incident does not hold it");
}

#[tokio::test]
async fn an_undo_that_fails_once_lets_go_of_the_rest() {
    let world = world(tampered());
    run(&world).await.unwrap();
    refuse(&world, &[("delete_item", "InternalServerError")]);
    let failure = undo(&world).await.unwrap_err();
    assert_eq!(failure.name(), "Transient");
    assert_eq!(writes(&world), ["delete_item"; 4]);
}

#[tokio::test]
async fn what_others_hold_stays_held() {
    let world = with_key("Disabled");
    run(&world).await.unwrap();
    let key = (format!("hold#{KEY}"), "key".to_owned());
    let both = AttributeValue::Ss(vec!["i-1".to_owned(), "i-2".to_owned()]);
    world
        .lock()
        .unwrap()
        .items
        .get_mut(&key)
        .unwrap()
        .insert("incidents".to_owned(), both);
    let done = undo(&world).await.unwrap();
    assert_eq!(writes(&world), ["update_item"]);
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: other incidents still hold the key");
}

#[tokio::test]
async fn an_archive_that_is_not_watched_is_left_alone() {
    let world = world(tampered());
    let names = Names {
        bucket: None,
        key: None,
        log_group: None,
        ..names()
    };
    let done = run_as(&world, names, json!({})).await.unwrap();
    assert!(world.lock().unwrap().calls.is_empty());
    insta::assert_snapshot!(done.summary, @"the log archive of trail main: not watched, since the template's parameters TrailBucketName, TrailKeyArn and TrailLogGroupName are not set");
}
