//! Calls on the objects of the site.

use serde_json::{Value, json};

use super::{event, now, session_of, verdict, watch};
use crate::{Facts, Verdict, judge};

/// The verdict of a call on `index.html`, with the target where it is answered.
fn judged(name: &str, request: Value, changes: Value) -> String {
    let mut all = json!({"bucketName": "clinic-site", "key": "a b/index+1.html"});
    for (field, value) in request.as_object().unwrap() {
        all[field] = value.clone();
    }
    match judge(
        &event("s3", name, all, changes),
        &watch(&[]),
        &Facts::default(),
        now(),
    ) {
        Verdict::Respond {
            reason, incident, ..
        } => format!(
            "{}: {reason}\n  {}{}",
            incident.runbook,
            serde_json::to_string(&incident.target).unwrap(),
            incident
                .remedy
                .map_or_else(String::new, |remedy| format!("\n  {remedy}")),
        ),
        other => super::line(other),
    }
}

fn by(identity: Value) -> Value {
    json!({"userIdentity": identity})
}

#[test]
fn every_change_by_another_than_ci_is_answered() {
    let version = || json!({"responseElements": {"x-amz-version-id": "v2"}});
    let marker =
        json!({"responseElements": {"x-amz-delete-marker": "true", "x-amz-version-id": "m1"}});
    insta::assert_snapshot!([
        judged("PutObject", json!({}), json!({})),
        judged("PutObject", json!({}), version()),
        judged("CopyObject", json!({"x-amz-copy-source": "/else/where"}), version()),
        judged("CompleteMultipartUpload", json!({"uploadId": "u"}), version()),
        judged("DeleteObject", json!({}), marker),
        judged("DeleteObject", json!({"versionId": "v1"}), json!({})),
        judged("DeleteObjects", json!({"key": null, "delete": ""}), json!({})),
        judged("PutObjectAcl", json!({"x-amz-acl": "public-read"}), json!({})),
        judged("PutObjectAcl", json!({"AccessControlPolicy": {"AccessControlList": {"Grant": {"Grantee": {
            "URI": "http://acs.amazonaws.com/groups/global/AllUsers",
        }}}}}), json!({})),
        judged("PutObject", json!({"key": null}), json!({})),
        judged("PostObject", json!({"versionId": "v1"}), version()),
        judged("UpdateObjectEncryption", json!({"versionId": "v1"}), json!({})),
    ].join("\n"), @r#"
    site-vandalism: an object of the site was written by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html"}
    site-vandalism: an object of the site was written by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html","version":"v2"}
    site-vandalism: an object of the site was written by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html","version":"v2"}
    site-vandalism: an object of the site was written by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html","version":"v2"}
    site-vandalism: an object of the site was deleted by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html","version":"m1"}
    site-vandalism: an object of the site was deleted by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html","version":"v1"}
    site-vandalism: objects of the site were deleted by IAM user eve
      {"kind":"bucket","name":"clinic-site"}
    site-vandalism: an object of the site was opened to everybody by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html"}
    site-vandalism: an object of the site was opened to everybody by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html"}
    escalate: an object of the site was written, and the event does not say which (PutObject by IAM user eve)
    site-vandalism: an object of the site was written by IAM user eve
      {"kind":"object","bucket":"clinic-site","key":"a b/index+1.html","version":"v2"}
    escalate: an object of the site was encrypted with another key, which its owner can take away: see whose key it is, and deploy the site again (UpdateObjectEncryption by IAM user eve)
    "#);
}

#[test]
fn whoever_is_not_ci_is_none_whatever_the_name() {
    let put = |identity: Value| judged("PutObject", json!({}), by(identity));
    let mut foreign = session_of("ci/deploy");
    foreign["sessionContext"]["sessionIssuer"]["arn"] =
        json!("arn:aws:iam::999988887777:role/ci/deploy");
    foreign["accountId"] = json!("999988887777");
    for identity in [
        session_of("ci/deploy-2"),
        session_of("my-deploy"),
        foreign,
        json!({"type": "Root", "accountId": "123456789012"}),
        json!({"type": "AWSAccount", "accountId": "999988887777"}),
        json!({"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}),
        json!({"type": "AWSService", "invokedBy": "s3.amazonaws.com"}),
        json!(null),
    ] {
        assert!(
            put(identity.clone()).starts_with("site-vandalism: "),
            "{identity}"
        );
    }
}

#[test]
fn ci_deploys_in_whatever_shape() {
    let put = |identity: Value| judged("PutObject", json!({}), by(identity));
    let mut through = session_of("ci/deploy");
    through["invokedBy"] = json!("cloudformation.amazonaws.com");
    let without_path = json!({"type": "AssumedRole", "principalId": "AROA:run-17",
        "arn": "arn:aws:sts::123456789012:assumed-role/deploy/run-17"});
    for identity in [
        session_of("ci/deploy"),
        session_of("deploy"),
        through,
        without_path,
    ] {
        assert_eq!(put(identity), "ignore: the site was deployed by CI/CD");
    }
    assert_eq!(
        put(session_of("tourniquet/guard-restore-detection")),
        "ignore: the site was repaired by the responder itself"
    );
}

#[test]
fn a_borrowed_ci_role_is_for_a_human() {
    let mut person = session_of("ci/deploy");
    person["sessionContext"]["sourceIdentity"] = json!("alice");
    let presigned = json!({
        "userIdentity": session_of("ci/deploy"),
        "additionalEventData": {"AuthenticationMethod": "QueryString"},
    });
    insta::assert_snapshot!([
        judged("PutObject", json!({}), by(person)),
        judged("PutObject", json!({}), presigned),
    ].join("\n"), @"
    escalate: the site was changed by a CI/CD role, but in a session that a person began: somebody may have borrowed the role (PutObject by role deploy, session run)
    escalate: the site was changed by a CI/CD role, but through a presigned URL: somebody may have borrowed the role (PutObject by role deploy, session run)
    ");
}

#[test]
fn what_changes_nothing_starts_nothing() {
    let elsewhere = json!({"bucketName": "clinic-site-2"});
    let from = json!({"bucketName": "else", "x-amz-copy-source": "clinic-site/index.html"});
    insta::assert_snapshot!([
        judged("CreateMultipartUpload", json!({}), json!({})),
        judged("AbortMultipartUpload", json!({}), json!({})),
        judged("GetObject", json!({}), json!({})),
        judged("PutObject", elsewhere, json!({})),
        judged("CopyObject", from, json!({})),
        judged("PutObject", json!({}), json!({"errorCode": "NoSuchBucket"})),
        judged("PutObject", json!({}), json!({"errorCode": "AccessDenied"})),
        judged("PutObjectAcl", json!({"x-amz-acl": "private"}), json!({})),
        judged("PutObjectTagging", json!({"tagging": ""}), json!({})),
    ].join("\n"), @"
    ignore: CreateMultipartUpload of s3.amazonaws.com is not an indicator
    ignore: AbortMultipartUpload of s3.amazonaws.com is not an indicator
    ignore: GetObject of s3.amazonaws.com is not an indicator
    ignore: PutObject of something else than the trail's log bucket
    ignore: CopyObject of something else than the trail's log bucket
    ignore: PutObject failed (NoSuchBucket): nothing changed
    escalate: PutObject of the site was attempted and denied
    escalate: the access to an object of the site was changed (PutObjectAcl by IAM user eve)
    escalate: the tags of an object of the site were changed, which access or a lifecycle may go by (PutObjectTagging by IAM user eve)
    ");
    let unwatched = watch(&[("SITE_BUCKET_NAME", "none")]);
    let event = event(
        "s3",
        "PutObject",
        json!({"bucketName": "none", "key": "x"}),
        json!({}),
    );
    assert_eq!(
        super::line(judge(&event, &unwatched, &Facts::default(), now())),
        "ignore: PutObject of something else than the trail's log bucket"
    );
    assert!(verdict("s3", "PutObject", json!(null), json!({})).starts_with("escalate: "));
}
