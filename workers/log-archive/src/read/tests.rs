use aws_sdk_cloudwatchlogs::{
    operation::describe_log_groups::DescribeLogGroupsOutput, types::LogGroup,
};
use aws_sdk_kms::{
    operation::{describe_key::DescribeKeyOutput, get_key_policy::GetKeyPolicyOutput},
    types::{KeyMetadata, KeyState as State},
};
use aws_sdk_s3::{
    config::{http::HttpResponse, retry::RetryConfig},
    operation::{
        get_bucket_encryption::GetBucketEncryptionOutput,
        get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput,
        get_bucket_policy::GetBucketPolicyOutput, get_bucket_versioning::GetBucketVersioningOutput,
    },
    types::BucketVersioningStatus,
};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use serde_json::json;

use super::*;

const KEY: &str = "arn:aws:kms:eu-central-1:123456789012:key/k";

fn names() -> Names {
    Names {
        account: "123456789012".to_owned(),
        bucket: Some("logs".to_owned()),
        key: Some(KEY.parse().unwrap()),
        log_group: Some("trail".to_owned()),
        min_retention_days: 365,
    }
}

/// What the services refuse, by call: status and error code.
#[derive(Clone, Copy, Default)]
struct Refusals(&'static [(&'static str, u16, &'static str)]);

impl Refusals {
    fn of(self, call: &str) -> Option<HttpResponse> {
        let (_, status, code) = self.0.iter().find(|(refused, ..)| *refused == call)?;
        let body = match (call.starts_with("get_bucket"), *code) {
            (_, "") => String::new(),
            (true, code) => {
                format!("<Error><Code>{code}</Code><Message>what AWS said</Message></Error>")
            }
            (false, code) => format!(r#"{{"__type":"{code}","message":"what AWS said"}}"#),
        };
        Some(HttpResponse::new(
            (*status).try_into().unwrap(),
            body.into(),
        ))
    }
}

macro_rules! on {
    ($refusals:ident, $client:ident::$call:ident, |$request:ident| $output:expr) => {
        mock!($client::$call).then_compute_response(move |$request| {
            match $refusals.of(stringify!($call)) {
                Some(refusal) => MockResponse::Http(refusal),
                None => MockResponse::Output($output),
            }
        })
    };
}

fn clients(refusals: Refusals) -> Clients {
    const OWNER: Option<&str> = Some("123456789012");
    let policy = on!(refusals, S3::get_bucket_policy, |request| {
        assert_eq!(
            (request.bucket(), request.expected_bucket_owner()),
            (Some("logs"), OWNER)
        );
        GetBucketPolicyOutput::builder()
            .policy(r#"{"Statement": []}"#)
            .build()
    });
    let lifecycle = on!(
        refusals,
        S3::get_bucket_lifecycle_configuration,
        |request| {
            assert_eq!(
                (request.bucket(), request.expected_bucket_owner()),
                (Some("logs"), OWNER)
            );
            let lifecycle: Lifecycle =
                serde_json::from_value(json!({"rules": [{"status": "Enabled"}]})).unwrap();
            GetBucketLifecycleConfigurationOutput::builder()
                .set_rules(Some(lifecycle.to_sdk().unwrap().rules))
                .build()
        }
    );
    let versioning = on!(refusals, S3::get_bucket_versioning, |request| {
        assert_eq!(
            (request.bucket(), request.expected_bucket_owner()),
            (Some("logs"), OWNER)
        );
        GetBucketVersioningOutput::builder()
            .status(BucketVersioningStatus::Enabled)
            .build()
    });
    let encryption = on!(refusals, S3::get_bucket_encryption, |request| {
        assert_eq!(
            (request.bucket(), request.expected_bucket_owner()),
            (Some("logs"), OWNER)
        );
        GetBucketEncryptionOutput::builder()
            .server_side_encryption_configuration(Encryption::default().to_sdk().unwrap())
            .build()
    });
    let key = on!(refusals, Kms::describe_key, |request| {
        assert_eq!(request.key_id(), Some(KEY));
        let key = KeyMetadata::builder()
            .key_id("k")
            .key_state(State::Disabled);
        DescribeKeyOutput::builder()
            .key_metadata(key.build().unwrap())
            .build()
    });
    let key_policy = on!(refusals, Kms::get_key_policy, |request| {
        assert_eq!(
            (request.key_id(), request.policy_name()),
            (Some(KEY), Some("default"))
        );
        GetKeyPolicyOutput::builder()
            .policy(r#"{"Statement": []}"#)
            .build()
    });
    let groups = on!(refusals, Logs::describe_log_groups, |request| {
        assert_eq!(request.log_group_name_prefix(), Some("trail"));
        let group = |name: &str, days| {
            LogGroup::builder()
                .log_group_name(name)
                .set_retention_in_days(days)
                .build()
        };
        DescribeLogGroupsOutput::builder()
            .log_groups(group("trail", Some(365)))
            .log_groups(group("trail-old", Some(1)))
            .build()
    });
    Clients {
        s3: mock_client!(
            aws_sdk_s3,
            RuleMode::MatchAny,
            [&policy, &lifecycle, &versioning, &encryption],
            |config| config.retry_config(RetryConfig::disabled())
        ),
        kms: mock_client!(
            aws_sdk_kms,
            RuleMode::MatchAny,
            [&key, &key_policy],
            |config| config.retry_config(RetryConfig::disabled())
        ),
        logs: mock_client!(
            aws_sdk_cloudwatchlogs,
            RuleMode::MatchAny,
            [&groups],
            |config| config.retry_config(RetryConfig::disabled())
        ),
    }
}

async fn looked(refusals: &'static [(&'static str, u16, &'static str)]) -> Found {
    look(&clients(Refusals(refusals)), &names()).await
}

#[tokio::test]
async fn everything_is_read() {
    let found = read(&clients(Refusals::default()), &names()).await.unwrap();
    assert!(found.bucket_exists && found.log_group_exists && found.unread.is_empty());
    assert_eq!(found.key_state, Some(KeyState::Disabled));
    insta::assert_json_snapshot!(found.archive, @r#"
    {
      "bucket": "logs",
      "bucketPolicy": {
        "Statement": []
      },
      "bucketLifecycle": {
        "rules": [
          {
            "status": "Enabled"
          }
        ]
      },
      "bucketVersioning": "Enabled",
      "bucketEncryption": {
        "algorithm": "AES256",
        "kmsKey": null,
        "bucketKeyEnabled": false
      },
      "key": "arn:aws:kms:eu-central-1:123456789012:key/k",
      "keyPolicy": {
        "Statement": []
      },
      "logGroup": "trail",
      "logRetentionDays": 365
    }
    "#);
}

#[tokio::test]
async fn what_a_bucket_does_not_have_is_empty() {
    let found = looked(&[
        ("get_bucket_policy", 404, "NoSuchBucketPolicy"),
        (
            "get_bucket_lifecycle_configuration",
            404,
            "NoSuchLifecycleConfiguration",
        ),
        (
            "get_bucket_encryption",
            404,
            "ServerSideEncryptionConfigurationNotFoundError",
        ),
    ])
    .await;
    assert!(found.bucket_exists && found.unread.is_empty());
    assert_eq!(found.archive.bucket_policy, None);
    assert!(found.archive.bucket_lifecycle.is_empty());
    assert_eq!(found.archive.bucket_encryption, None);
}

#[tokio::test]
async fn what_is_gone_is_not_there() {
    let found = looked(&[
        ("get_bucket_policy", 404, "NoSuchBucket"),
        ("get_bucket_lifecycle_configuration", 404, "NoSuchBucket"),
        ("get_bucket_versioning", 404, ""),
        ("get_bucket_encryption", 404, "NoSuchBucket"),
        ("describe_key", 400, "NotFoundException"),
        ("get_key_policy", 400, "NotFoundException"),
    ])
    .await;
    assert!(!found.bucket_exists && found.unread.is_empty());
    assert_eq!(found.key_state, Some(KeyState::Gone));
    assert_eq!(found.archive.bucket.as_deref(), Some("logs"));
    assert_eq!(found.archive.key_policy, None);
}

#[tokio::test]
async fn a_log_group_goes_by_its_whole_name() {
    let groups = mock!(Logs::describe_log_groups).then_output(|| {
        let other = LogGroup::builder().log_group_name("trail-old").build();
        DescribeLogGroupsOutput::builder().log_groups(other).build()
    });
    let clients = Clients {
        logs: mock_client!(aws_sdk_cloudwatchlogs, [&groups]),
        ..clients(Refusals::default())
    };
    let found = look(&clients, &names()).await;
    assert!(!found.log_group_exists);
}

#[tokio::test]
async fn another_accounts_bucket_does_not_pass_for_ours() {
    let found = looked(&[
        ("get_bucket_policy", 403, "AccessDenied"),
        ("get_bucket_lifecycle_configuration", 403, "AccessDenied"),
        ("get_bucket_versioning", 403, "AccessDenied"),
        ("get_bucket_encryption", 403, "AccessDenied"),
    ])
    .await;
    assert!(found.bucket_exists);
    let now = "2026-11-25T10:00:00Z".parse().unwrap();
    let deviations = found.deviations(&found.unrecorded(), &names(), now);
    insta::assert_snapshot!(deviations[1].what, @"the log bucket logs is not readable, or not ours (s3:GetBucketPolicy: AccessDenied: what AWS said)");
}

#[tokio::test]
async fn what_aws_refuses_to_tell_is_noted() {
    let refusals = Refusals(&[
        ("get_bucket_policy", 403, "AccessDenied"),
        ("describe_key", 400, "AccessDeniedException"),
        ("get_key_policy", 400, "AccessDeniedException"),
        ("describe_log_groups", 400, "AccessDeniedException"),
    ]);
    let found = read(&clients(refusals), &names()).await.unwrap();
    let unread: Vec<_> = found.unread.keys().copied().collect();
    assert_eq!(
        unread,
        [
            Property::BucketPolicy,
            Property::Key,
            Property::KeyPolicy,
            Property::LogGroup
        ]
    );
    assert_eq!(found.key_state, None);
    assert_eq!(found.archive.bucket_versioning, Versioning::Enabled);
}

#[tokio::test]
async fn what_may_be_read_later_is_a_failure() {
    for refusals in [
        Refusals(&[("get_bucket_versioning", 503, "SlowDown")]),
        Refusals(&[("describe_key", 400, "ThrottlingException")]),
        Refusals(&[("describe_log_groups", 400, "ThrottlingException")]),
    ] {
        let failure = read(&clients(refusals), &names()).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
    }
}

#[tokio::test]
async fn a_policy_that_is_no_json_is_noted() {
    let policy = mock!(S3::get_bucket_policy)
        .then_output(|| GetBucketPolicyOutput::builder().policy("{").build());
    let versioning = mock!(S3::get_bucket_versioning)
        .then_output(|| GetBucketVersioningOutput::builder().build());
    let clients = Clients {
        s3: mock_client!(
            aws_sdk_s3,
            RuleMode::MatchAny,
            [&policy, &versioning, &on_lifecycle(), &on_encryption()]
        ),
        ..clients(Refusals::default())
    };
    let found = look(&clients, &names()).await;
    assert_eq!(
        found.unread.keys().collect::<Vec<_>>(),
        [&Property::BucketPolicy]
    );
    assert_eq!(found.archive.bucket_versioning, Versioning::Off);
}

fn on_lifecycle() -> aws_smithy_mocks::Rule {
    mock!(S3::get_bucket_lifecycle_configuration)
        .then_output(|| GetBucketLifecycleConfigurationOutput::builder().build())
}

fn on_encryption() -> aws_smithy_mocks::Rule {
    mock!(S3::get_bucket_encryption).then_output(|| GetBucketEncryptionOutput::builder().build())
}

#[tokio::test]
async fn nothing_is_asked_about_what_is_not_watched() {
    let names = Names {
        bucket: None,
        key: None,
        log_group: None,
        ..names()
    };
    let clients = Clients {
        s3: mock_client!(aws_sdk_s3, &[]),
        kms: mock_client!(aws_sdk_kms, &[]),
        logs: mock_client!(aws_sdk_cloudwatchlogs, &[]),
    };
    assert_eq!(read(&clients, &names).await, Ok(Found::default()));
}

#[test]
fn a_key_is_asked_about_in_its_own_region() {
    let kms = clients(Refusals::default()).kms_of(&KEY.parse().unwrap());
    assert_eq!(kms.config().region(), Some(&Region::new("eu-central-1")));
}

/// S3 as a client of the wrong region sees it until it asks in another one.
fn s3_elsewhere(header: Option<&'static str>) -> S3 {
    let redirect = move || {
        let body = "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>";
        let mut response = HttpResponse::new(301.try_into().unwrap(), body.into());
        if let Some(region) = header {
            response.headers_mut().insert("x-amz-bucket-region", region);
        }
        response
    };
    macro_rules! moved {
        ($call:ident, $output:expr) => {
            mock!(S3::$call)
                .sequence()
                .http_response(redirect)
                .output(|| $output)
                .build()
        };
    }
    let head = mock!(S3::head_bucket)
        .then_http_response(|| HttpResponse::new(403.try_into().unwrap(), String::new().into()));
    mock_client!(
        aws_sdk_s3,
        RuleMode::MatchAny,
        [
            &moved!(
                get_bucket_policy,
                GetBucketPolicyOutput::builder()
                    .policy(r#"{"Statement": []}"#)
                    .build()
            ),
            &moved!(
                get_bucket_lifecycle_configuration,
                GetBucketLifecycleConfigurationOutput::builder().build()
            ),
            &moved!(
                get_bucket_versioning,
                GetBucketVersioningOutput::builder().build()
            ),
            &moved!(
                get_bucket_encryption,
                GetBucketEncryptionOutput::builder().build()
            ),
            &head
        ],
        |config| config.retry_config(RetryConfig::disabled())
    )
}

fn far_away(bucket: &str, header: Option<&'static str>) -> (Clients, Names) {
    let clients = Clients {
        s3: s3_elsewhere(header),
        ..clients(Refusals::default())
    };
    let names = Names {
        bucket: Some(bucket.to_owned()),
        ..names()
    };
    (clients, names)
}

#[tokio::test]
async fn a_bucket_in_another_region_is_read_there() {
    let (clients, names) = far_away("far-away", Some("ap-southeast-2"));
    let found = read(&clients, &names).await.unwrap();
    assert!(found.bucket_exists && found.unread.is_empty());
    assert_eq!(found.archive.bucket_policy, Some(json!({"Statement": []})));
    let calls_go_to = clients.s3_of("far-away").config().region().cloned();
    assert_eq!(calls_go_to, Some(Region::new("ap-southeast-2")));
    assert_ne!(
        clients.s3_of("near").config().region().cloned(),
        calls_go_to
    );
}

#[tokio::test]
async fn a_bucket_of_which_nobody_says_where_it_is_is_unread() {
    let (clients, names) = far_away("nowhere", None);
    let found = read(&clients, &names).await.unwrap();
    assert_eq!(found.unread.len(), 4);
    let why = found.unread[&Property::BucketPolicy].to_string();
    assert_eq!(why, "s3:GetBucketPolicy: PermanentRedirect: elsewhere");
}
