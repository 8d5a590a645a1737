use serde_json::{Value, json};

use super::*;
use crate::Lifecycle;

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/k";

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

fn archive() -> Archive {
    let cloudtrail = json!({"Service": "cloudtrail.amazonaws.com"});
    let allow = |action: &str, resource: &str| json!({"Effect": "Allow", "Principal": cloudtrail, "Action": action, "Resource": resource});
    serde_json::from_value(json!({
        "bucket": "logs",
        "bucketPolicy": {"Version": "2012-10-17", "Statement": [
            allow("s3:GetBucketAcl", "arn:aws:s3:::logs"),
            allow("s3:PutObject", "arn:aws:s3:::logs/AWSLogs/123456789012/*"),
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

fn expiring(days: i32) -> Value {
    json!({"rules": [{"id": "r", "status": "Enabled", "filter": {"prefix": ""},
                      "expiration": {"days": days}}]})
}

fn found(change: impl FnOnce(&mut Archive)) -> Found {
    let mut archive = archive();
    change(&mut archive);
    Found {
        archive,
        bucket_exists: true,
        key_state: Some(KeyState::Enabled),
        log_group_exists: true,
        unread: BTreeMap::new(),
    }
}

fn recorded() -> Recorded<Archive> {
    Recorded {
        baseline: archive(),
        intended: None,
    }
}

fn expected(found: &Found, recorded: &Recorded<Archive>) -> Archive {
    found.should_be(recorded, &names(), now())
}

/// What is said of it, one line each; the remedy after an arrow.
fn said(found: &Found, expected: &Archive) -> String {
    let lines = found.deviations(expected, &names(), now()).into_iter();
    let lines = lines.map(|deviation| match deviation.remedy {
        Some(remedy) => format!("{} -> {remedy}", deviation.what),
        None => deviation.what,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn deviations(found: &Found) -> String {
    said(found, &expected(found, &recorded()))
}

fn lifecycle(days: i32) -> Lifecycle {
    serde_json::from_value(expiring(days)).unwrap()
}

#[test]
fn a_baseline_comes_back_from_the_ledger_as_it_went_in() {
    let json = serde_json::to_value(archive()).unwrap();
    assert_eq!(serde_json::from_value::<Archive>(json).unwrap(), archive());
    assert!(serde_json::from_value::<Archive>(json!({"bucketPolice": null})).is_err());
}

#[test]
fn an_archive_as_recorded_does_not_deviate() {
    let same = found(|_| {});
    assert_eq!(deviations(&same), "");
    assert_eq!(same.archive.health(&names(), now()), [""; 0]);
}

#[test]
fn what_was_tampered_with_should_be_as_recorded_and_is_mended() {
    let tampered = found(|archive| {
        archive.bucket_policy.as_mut().unwrap()["Statement"][0]["Effect"] = json!("Deny");
        archive.bucket_lifecycle = lifecycle(1);
        archive.bucket_versioning = Versioning::Suspended;
        archive.bucket_encryption = Some(Encryption {
            kms_key: Some("arn:aws:kms:eu-west-1:666666666666:key/k".to_owned()),
            ..archive.bucket_encryption.take().unwrap()
        });
    });
    assert_eq!(expected(&tampered, &recorded()), archive());
    let tampered = Found {
        key_state: Some(KeyState::PendingDeletion),
        ..tampered
    };
    insta::assert_snapshot!(deviations(&tampered), @"
    the trail's key is pending deletion
    the policy of the log bucket shuts CloudTrail out
    the lifecycle of the log bucket expires log files after 1 day
    versioning of the log bucket is suspended
    the log bucket encrypts with a key of another account
    ");
}

#[test]
fn what_no_worker_mends_has_a_remedy() {
    let tampered = found(|archive| {
        archive.key_policy = Some(json!({"Version": "2012-10-17", "Statement": []}));
        archive.log_retention_days = Some(1);
    });
    insta::assert_snapshot!(deviations(&tampered), @"
    the policy of the trail's key shuts CloudTrail out -> aws kms put-key-policy --key-id arn:aws:kms:eu-west-1:123456789012:key/k --region eu-west-1 --policy-name default --policy file://recorded.json, with the keyPolicy that the ledger keeps in the trail's baseline
    the trail's log group drops its events after 1 day -> aws logs put-retention-policy --log-group-name trail --retention-in-days 365
    ");
}

#[test]
fn what_is_gone_is_said_with_what_to_do() {
    let gone = Found {
        bucket_exists: false,
        key_state: Some(KeyState::Gone),
        log_group_exists: false,
        ..found(|archive| {
            archive.bucket_policy = None;
            archive.bucket_versioning = Versioning::Off;
            archive.key_policy = None;
            archive.log_retention_days = None;
        })
    };
    insta::assert_snapshot!(deviations(&gone), @"
    the trail's key is gone -> what it encrypted is lost; make another key, give it to the trail, aws cloudtrail update-trail --name <trail> --kms-key-id <key>, and record it with the record-baseline runbook
    the log bucket logs is gone -> create it again in this account, aws s3api create-bucket --bucket logs --create-bucket-configuration LocationConstraint=<its region>, and start the cloudtrail-disabled runbook, which puts back the rest; if its name is taken, give the trail another bucket and record it with the record-baseline runbook
    the trail's log group trail is gone -> aws logs create-log-group --log-group-name trail, then aws logs put-retention-policy --log-group-name trail --retention-in-days 365
    ");
}

#[test]
fn a_key_that_cannot_be_used_is_said_to_be_so() {
    let of = |state| {
        let found = Found {
            key_state: Some(state),
            ..found(|_| {})
        };
        deviations(&found)
    };
    assert_eq!(of(KeyState::Disabled), "the trail's key is disabled");
    insta::assert_snapshot!(of(KeyState::Other("PendingImport".to_owned())), @"the trail's key has lost its key material -> import it again: aws kms get-parameters-for-import --key-id arn:aws:kms:eu-west-1:123456789012:key/k --region eu-west-1, then aws kms import-key-material");
    insta::assert_snapshot!(of(KeyState::Other("Unavailable".to_owned())), @"the trail's key cannot be used: Unavailable -> find out why: aws kms describe-key --key-id arn:aws:kms:eu-west-1:123456789012:key/k --region eu-west-1");
}

#[test]
fn what_cannot_be_read_is_not_compared() {
    let refused = |properties: &[Property]| {
        let why = Failure::AccessDenied("s3:Get: AccessDenied".to_owned());
        let mut found = found(|archive| {
            archive.bucket_policy = None;
            archive.bucket_lifecycle = Lifecycle::default();
            archive.bucket_versioning = Versioning::Off;
            archive.bucket_encryption = None;
            archive.key_policy = None;
        });
        found.unread = properties.iter().map(|p| (*p, why.clone())).collect();
        deviations(&found)
    };
    let [policy, lifecycle, versioning, encryption] = Property::OF_BUCKET;
    insta::assert_snapshot!(
        refused(&[policy, lifecycle, versioning, encryption, Property::Key, Property::KeyPolicy,
                  Property::LogGroup]),
        @"
    the state of the trail's key cannot be read (s3:Get: AccessDenied) -> look at its policy as an administrator of the key, aws kms get-key-policy --key-id arn:aws:kms:eu-west-1:123456789012:key/k --region eu-west-1; where nobody may any more, only AWS Support can help
    the policy of the trail's key cannot be read (s3:Get: AccessDenied) -> look at its policy as an administrator of the key, aws kms get-key-policy --key-id arn:aws:kms:eu-west-1:123456789012:key/k --region eu-west-1; where nobody may any more, only AWS Support can help
    the log bucket logs is not readable, or not ours (s3:Get: AccessDenied) -> find out whose it is, aws s3api head-bucket --bucket logs --expected-bucket-owner 123456789012: another account's must not get the log files, so give the trail another bucket; where its policy bars us, the account's root user can delete that, aws s3api delete-bucket-policy --bucket logs, and the cloudtrail-disabled runbook puts back the recorded one
    the trail's log group cannot be read (s3:Get: AccessDenied) -> aws logs describe-log-groups --log-group-name-prefix trail
    "
    );
    let one = refused(&[versioning, encryption, Property::KeyPolicy]);
    assert!(one.starts_with("the policy of the trail's key cannot be read"));
    assert!(one.contains("\nversioning of the log bucket cannot be read"));
    assert!(one.contains("\nthe log bucket has no policy"));
}

#[test]
fn hardening_stays() {
    let harder = found(|archive| {
        archive.bucket_lifecycle = lifecycle(500);
        archive.log_retention_days = Some(400);
    });
    let mut weak = archive();
    weak.bucket_versioning = Versioning::Off;
    let recorded = Recorded {
        baseline: weak,
        intended: None,
    };
    assert_eq!(expected(&harder, &recorded), harder.archive);
    let forever = found(|archive| {
        archive.bucket_lifecycle = Lifecycle::default();
        archive.log_retention_days = None;
    });
    assert_eq!(expected(&forever, &recorded), forever.archive);
}

#[test]
fn a_policy_and_an_encryption_may_be_stronger_than_recorded() {
    let mut weak = recorded();
    weak.baseline.bucket_encryption = None;
    weak.baseline.bucket_versioning = Versioning::Off;
    let deny = |action: &str, condition: Value| {
        found(|archive| {
            let policy = archive.bucket_policy.as_mut().unwrap();
            let resources = json!(["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]);
            let denial = json!({"Effect": "Deny", "Principal": "*", "Action": action,
                                "Resource": resources, "Condition": condition});
            policy["Statement"].as_array_mut().unwrap().push(denial);
            archive.bucket_lifecycle = lifecycle(500);
            archive.log_retention_days = None;
        })
    };
    let harder = deny("s3:*", json!({"Bool": {"aws:SecureTransport": false}}));
    assert_eq!(expected(&harder, &weak), harder.archive);
    assert_eq!(
        harder.stronger(&weak, &names(), now()),
        [
            Property::BucketPolicy,
            Property::BucketLifecycle,
            Property::BucketVersioning,
            Property::BucketEncryption,
            Property::LogGroup,
        ]
    );
    let shut = deny("s3:PutObject", json!({}));
    assert_eq!(
        deviations(&shut),
        "the policy of the log bucket shuts CloudTrail out"
    );
    let barring = deny(
        "s3:GetBucketPolicy",
        json!({"Bool": {"aws:PrincipalIsAWSService": "false"}}),
    );
    assert_eq!(
        deviations(&barring),
        "the policy of the log bucket is not as recorded"
    );
    let open = found(|archive| {
        let policy = archive.bucket_policy.as_mut().unwrap();
        let allow = json!({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                           "Resource": "arn:aws:s3:::logs/*"});
        policy["Statement"].as_array_mut().unwrap().push(allow);
    });
    assert_eq!(
        deviations(&open),
        "the policy of the log bucket is not as recorded"
    );
    for other in [&shut, &barring, &open] {
        let stronger = other.stronger(&recorded(), &names(), now());
        assert!(!stronger.contains(&Property::BucketPolicy));
    }
}

#[test]
fn nothing_is_called_stronger_that_is_as_recorded_or_long_enough() {
    let of =
        |found: &Found, recorded: &Recorded<Archive>| found.stronger(recorded, &names(), now());
    assert_eq!(of(&found(|_| {}), &recorded()), []);
    let shorter = found(|archive| archive.bucket_lifecycle = lifecycle(365));
    assert_eq!(deviations(&shorter), "");
    assert_eq!(of(&shorter, &recorded()), []);
    let mut off = recorded();
    off.baseline.bucket_versioning = Versioning::Off;
    let suspended = found(|archive| archive.bucket_versioning = Versioning::Suspended);
    assert_eq!(of(&suspended, &off), []);
    let mut elsewhere = recorded();
    elsewhere.baseline.bucket = Some("old".to_owned());
    let longer = found(|archive| archive.bucket_lifecycle = lifecycle(500));
    assert_eq!(of(&longer, &elsewhere), []);
    let mut intended = recorded();
    let mut archive = archive();
    archive.bucket_lifecycle = lifecycle(500);
    intended.intended = Some(archive);
    assert_eq!(of(&longer, &intended), []);
}

#[test]
fn the_trail_of_an_archive_must_be_let_in() {
    let trail: incident::TrailArn = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main"
        .parse()
        .unwrap();
    let other = found(|archive| {
        let statements = archive.bucket_policy.as_mut().unwrap();
        statements["Statement"][1]["Condition"] = json!({"StringEquals": {
            "aws:SourceArn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other"}});
        archive.key_policy.as_mut().unwrap()["Statement"][0]["Condition"] = json!({"StringEquals": {
            "kms:EncryptionContext:aws:cloudtrail:arn": trail.to_string()}});
    });
    let names = names();
    assert_eq!(other.archive.health(&names, now()), [""; 0]);
    assert_eq!(
        other.archive.health(names.of(&trail), now()),
        ["the policy of the log bucket does not let CloudTrail write"]
    );
    let mut expected = archive();
    expected.key_policy.clone_from(&other.archive.key_policy);
    let said = other.deviations(&expected, names.of(&trail), now());
    assert_eq!(
        said[0].what,
        "the policy of the log bucket shuts CloudTrail out"
    );

    let ours = found(|_| {}).archive;
    let health = |prefix| ours.health(names.of(&trail).under(prefix), now());
    assert_eq!(health(""), [""; 0]);
    assert_eq!(
        health("audit"),
        ["the policy of the log bucket does not let CloudTrail write"]
    );
}

#[test]
fn log_files_may_expire_no_earlier_than_the_least_or_what_is_recorded() {
    let deviates = |recorded_days: i32, days: i32| {
        let mut baseline = archive();
        baseline.bucket_lifecycle = lifecycle(recorded_days);
        let recorded = Recorded {
            baseline,
            intended: None,
        };
        let found = found(|archive| archive.bucket_lifecycle = lifecycle(days));
        !said(&found, &expected(&found, &recorded)).is_empty()
    };
    assert!(!deviates(400, 365) && deviates(400, 364));
    assert!(!deviates(90, 90) && !deviates(90, 100) && deviates(90, 89));
}

#[test]
fn what_means_the_same_stays_as_it_is_written() {
    let other = found(|archive| {
        archive.bucket_policy.as_mut().unwrap()["Statement"][0]["Action"] =
            json!(["s3:getbucketacl"]);
        archive.key_policy.as_mut().unwrap()["Statement"][0]["Resource"] = json!(["*"]);
        archive.bucket_lifecycle.rules = lifecycle(400)
            .rules
            .into_iter()
            .map(|rule| crate::LifecycleRule { id: None, ..rule })
            .collect();
    });
    assert_eq!(expected(&other, &recorded()), other.archive);
    let plain = found(|archive| archive.bucket_encryption = Some(Encryption::default()));
    let mut none = recorded();
    none.baseline.bucket_encryption = None;
    assert_eq!(
        deviations(&plain),
        "the encryption of the log bucket is not as recorded"
    );
    assert_eq!(said(&plain, &expected(&plain, &none)), "");
}

#[test]
fn an_intended_change_is_no_deviation() {
    let intend = |archive: &mut Archive| {
        archive.bucket_policy.as_mut().unwrap()["Statement"][1]["Resource"] =
            json!("arn:aws:s3:::logs/*");
        archive.bucket_lifecycle = lifecycle(30);
        archive.bucket_versioning = Versioning::Suspended;
        archive.bucket_encryption = None;
        archive.log_retention_days = Some(30);
    };
    let mut recorded = recorded();
    let mut intended = archive();
    intend(&mut intended);
    recorded.intended = Some(intended);
    let before = found(|_| {});
    assert_eq!(said(&before, &expected(&before, &recorded)), "");
    let after = found(intend);
    assert_eq!(said(&after, &expected(&after, &recorded)), "");
    let other = found(|archive| archive.bucket_lifecycle = lifecycle(29));
    assert_eq!(expected(&other, &recorded).bucket_lifecycle, lifecycle(400));
}

#[test]
fn another_bucket_than_the_recorded_one_is_left_as_it_is() {
    let mut recorded = recorded();
    recorded.baseline.bucket = Some("old".to_owned());
    recorded.baseline.key = None;
    recorded.baseline.log_group = None;
    let found = found(|archive| {
        archive.bucket_policy = Some(json!({"Statement": []}));
        archive.bucket_versioning = Versioning::Off;
        archive.bucket_lifecycle = lifecycle(1);
        archive.key_policy = Some(json!({"Statement": []}));
        archive.log_retention_days = Some(1);
    });
    insta::assert_snapshot!(said(&found, &expected(&found, &recorded)), @"
    the trail's key arn:aws:kms:eu-west-1:123456789012:key/k is not the one that is recorded -> record it with the record-baseline runbook
    the log bucket logs is not the one that is recorded -> record it with the record-baseline runbook
    the trail's log group trail is not the one that is recorded -> record it with the record-baseline runbook
    ");
}

#[test]
fn without_a_record_only_suspended_versioning_should_be_another() {
    let of = |versioning| {
        let found = found(|archive| archive.bucket_versioning = versioning);
        found.unrecorded().bucket_versioning
    };
    assert_eq!(of(Versioning::Suspended), Versioning::Enabled);
    assert_eq!(of(Versioning::Off), Versioning::Off);
    let tampered = found(|archive| archive.bucket_lifecycle = lifecycle(1));
    assert_eq!(said(&tampered, &tampered.unrecorded()), "");
}

#[test]
fn an_ill_archive_says_why() {
    let ill = found(|archive| {
        archive.bucket_policy = None;
        archive.bucket_lifecycle = lifecycle(1);
        archive.bucket_versioning = Versioning::Off;
        archive.key_policy = Some(json!({"Statement": []}));
        archive.bucket_encryption = Some(Encryption {
            kms_key: Some("arn:aws:kms:eu-west-1:666666666666:key/k".to_owned()),
            ..Encryption::default()
        });
    });
    insta::assert_snapshot!(ill.archive.health(&names(), now()).join("\n"), @"
    the policy of the log bucket does not let CloudTrail write
    the lifecycle of the log bucket expires log files after 1 day, and they are to be kept 365
    the log bucket encrypts with a key of another account
    the policy of the trail's key does not let CloudTrail encrypt
    ");
}

#[test]
fn a_second_change_is_another_deviation() {
    let state = |days: i32| {
        let found = found(|archive| archive.bucket_lifecycle = lifecycle(days));
        let expected = expected(&found, &recorded());
        found.deviations(&expected, &names(), now())[0]
            .state
            .clone()
    };
    assert_ne!(state(1), state(2));
    assert_eq!(state(1), state(1));
}

#[test]
fn what_is_not_watched_does_not_deviate() {
    let nothing = Found::default();
    let names = Names {
        bucket: None,
        key: None,
        log_group: None,
        ..names()
    };
    let expected = nothing.should_be(&recorded(), &names, now());
    assert_eq!(nothing.deviations(&expected, &names, now()), []);
    assert_eq!(nothing.archive.health(&names, now()), [""; 0]);
}
