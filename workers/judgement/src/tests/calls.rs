//! What is the same for every call: who made it, whether it succeeded, at what it was aimed.

use incident::Containment;
use serde_json::{Value, json};

use super::{TRAIL, event, line, now, watch};
use crate::{Facts, Verdict, judge};

/// `StopLogging` of the watched trail, with fields of the record replaced.
fn stop(changes: Value) -> Value {
    event("cloudtrail", "StopLogging", json!({"name": TRAIL}), changes)
}

fn stopped(changes: Value) -> String {
    line(judge(&stop(changes), &watch(&[]), &Facts::default(), now()))
}

#[test]
fn the_incident_holds_what_the_runbook_needs_and_no_event() {
    let verdict = judge(&stop(json!({})), &watch(&[]), &Facts::default(), now());
    insta::assert_json_snapshot!(verdict, @r#"
    {
      "verdict": "respond",
      "reason": "the watched trail was stopped by IAM user eve",
      "incidentId": "9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77",
      "incident": {
        "runbook": "cloudtrail-disabled",
        "reason": "the watched trail was stopped by IAM user eve",
        "severity": "critical",
        "event": {
          "id": "9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77",
          "name": "StopLogging"
        },
        "occurredAt": "2026-11-25T03:12:40Z",
        "discoveredAt": "2026-11-25T03:12:46Z",
        "actor": {
          "kind": "iam-user",
          "arn": "arn:aws:iam::123456789012:user/eve"
        },
        "containment": {
          "kind": "principal",
          "reason": "an ordinary principal of this account"
        },
        "sourceAddress": "203.0.113.7",
        "target": {
          "kind": "trail",
          "arn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic"
        },
        "dryRun": false
      }
    }
    "#);
}

#[test]
fn the_trail_may_be_given_by_name_or_by_arn() {
    for (name, expected) in [
        (
            TRAIL,
            "respond: the watched trail was stopped by IAM user eve",
        ),
        (
            "clinic",
            "respond: the watched trail was stopped by IAM user eve",
        ),
        (
            "Clinic",
            "ignore: StopLogging of something else than the watched trail",
        ),
        (
            "other",
            "ignore: StopLogging of something else than the watched trail",
        ),
        (
            "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other",
            "ignore: StopLogging of something else than the watched trail",
        ),
    ] {
        assert_eq!(
            stopped(json!({"requestParameters": {"name": name}})),
            expected
        );
    }
    // The same name in another region is another trail.
    assert_eq!(
        stopped(json!({"awsRegion": "us-east-1", "requestParameters": {"name": "clinic"}})),
        "ignore: StopLogging of something else than the watched trail"
    );
}

#[test]
fn deleting_is_answered_like_stopping() {
    assert_eq!(
        stopped(json!({"eventName": "DeleteTrail"})),
        "respond: the watched trail was deleted by IAM user eve"
    );
}

#[test]
fn every_kind_of_actor_is_answered_and_contained_by_its_tier() {
    let issued = |role: &str| {
        json!({
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLE:run",
            "sessionContext": {"sessionIssuer": {
                "type": "Role", "arn": format!("arn:aws:iam::123456789012:role/{role}"),
            }},
        })
    };
    let via = |service: &str, mut identity: Value| {
        identity["invokedBy"] = json!(service);
        identity
    };
    let user = |name: &str| {
        json!({
            "type": "IAMUser", "arn": format!("arn:aws:iam::123456789012:user/{name}"),
        })
    };
    let answers: Vec<String> = [
        user("eve"),
        issued("admin"),
        issued("teams/admin"),
        issued("ci/deploy"),
        via("cloudformation.amazonaws.com", issued("admin")),
        via("signin.amazonaws.com", user("eve")),
        json!({
            "type": "FederatedUser",
            "arn": "arn:aws:sts::123456789012:federated-user/temp",
            "sessionContext": {"sessionIssuer": {
                "type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/eve",
            }},
        }),
        user("glass"),
        json!({"type": "WebIdentityUser", "userName": "x"}),
        issued("aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0"),
        issued("aws-service-role/x.amazonaws.com/AWSServiceRoleForX"),
        json!({"type": "Root", "accountId": "123456789012"}),
        json!({"type": "AWSAccount", "accountId": "999988887777"}),
        json!({"type": "AWSService", "invokedBy": "x.amazonaws.com"}),
        json!({}),
        json!(null),
    ]
    .into_iter()
    .map(|identity| {
        let event = stop(json!({"userIdentity": identity}));
        let Verdict::Respond {
            reason, incident, ..
        } = judge(&event, &watch(&[]), &Facts::default(), now())
        else {
            panic!("not answered: {identity}");
        };
        let how = match incident.containment {
            Containment::Principal { .. } => "principal",
            Containment::Session { .. } => "session",
            Containment::None { .. } => "none",
        };
        format!("{reason}: {how} ({})", incident.containment.reason())
    })
    .collect();
    insta::assert_snapshot!(answers.join("\n"), @"
    the watched trail was stopped by IAM user eve: principal (an ordinary principal of this account)
    the watched trail was stopped by role admin, session run: principal (an ordinary principal of this account)
    the watched trail was stopped by role admin, session run: principal (an ordinary principal of this account)
    the watched trail was stopped by role deploy, session run: session (role deploy is shared: only session run and its older tokens are denied)
    the watched trail was stopped by role admin, session run through cloudformation.amazonaws.com: principal (an ordinary principal of this account)
    the watched trail was stopped by IAM user eve: principal (an ordinary principal of this account)
    the watched trail was stopped by federated user temp, issued by IAM user eve: principal (the session ends with IAM user eve, its issuer)
    the watched trail was stopped by IAM user glass: none (IAM user glass is break-glass access)
    the watched trail was stopped by nobody known (a web or SAML identity that had not yet assumed a role: there is no AWS principal): none (nobody to contain: a web or SAML identity that had not yet assumed a role: there is no AWS principal)
    the watched trail was stopped by role AWSReservedSSO_Admin_0, session run: none (role AWSReservedSSO_Admin_0 belongs to IAM Identity Center: only AWS may modify it)
    the watched trail was stopped by role AWSServiceRoleForX, session run: none (role AWSServiceRoleForX is service-linked: only AWS may modify it)
    the watched trail was stopped by root of account 123456789012: none (IAM cannot deny root)
    the watched trail was stopped by a principal of account 999988887777: none (the principal belongs to account 999988887777, which this account cannot change)
    the watched trail was stopped by AWS service x.amazonaws.com: none (x.amazonaws.com acts for itself: there is no principal to deny)
    the watched trail was stopped by nobody known (the event names no identity): none (nobody to contain: the event names no identity)
    the watched trail was stopped by nobody known (the event names no identity): none (nobody to contain: the event names no identity)
    ");
}

#[test]
fn a_failed_call_changed_nothing() {
    for code in [
        "TrailNotFoundException",
        "InvalidHomeRegionException",
        "ConflictException",
    ] {
        assert_eq!(
            stopped(json!({"errorCode": code})),
            format!("ignore: StopLogging failed ({code}): nothing changed")
        );
    }
}

#[test]
fn a_denied_attempt_on_what_we_guard_is_told_to_a_human() {
    let denied = |changes: Value| {
        let mut all = json!({"errorCode": "AccessDenied", "requestParameters": null});
        for (field, value) in changes.as_object().unwrap() {
            all[field] = value.clone();
        }
        stopped(all)
    };
    let escalated = "escalate: StopLogging of the watched trail was attempted and denied";
    assert_eq!(denied(json!({})), escalated);
    assert_eq!(
        denied(json!({"requestParameters": {"name": "clinic"}})),
        escalated
    );
    assert_eq!(
        denied(json!({"errorMessage": format!("not authorized on resource: {TRAIL}")})),
        escalated
    );
    let other = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other";
    assert_eq!(
        denied(json!({"errorMessage": format!("not authorized on resource: {other}")})),
        "ignore: StopLogging of something else than the watched trail was denied"
    );
}

#[test]
fn an_event_that_lacks_a_field_is_told_to_a_human() {
    assert_eq!(
        stopped(json!({"requestParameters": null})),
        "escalate: StopLogging succeeded, and the event does not say whether on the watched trail"
    );
    assert_eq!(
        stopped(json!({"eventName": null})),
        "escalate: the event's `eventName` is missing or cannot be read"
    );
    assert_eq!(
        stopped(json!({"eventID": "x".repeat(81)})),
        "escalate: the watched trail was stopped by IAM user eve; the event's id cannot name \
         an execution"
    );
}

#[test]
fn anything_else_is_ignored_with_the_reason() {
    let ignored = |event: &Value| match judge(event, &watch(&[]), &Facts::default(), now()) {
        Verdict::Ignore { reason } => reason,
        other => panic!("{other:?}"),
    };
    for event in [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({"detail-type": 3}),
    ] {
        assert_eq!(ignored(&event), "not an API call recorded by CloudTrail");
    }
    assert_eq!(
        stopped(json!({"eventName": "StartLogging"})),
        "ignore: StartLogging of cloudtrail.amazonaws.com is not an indicator"
    );
    assert_eq!(
        stopped(json!({"recipientAccountId": "999988887777"})),
        "ignore: recorded in account 999988887777, not in ours"
    );
}

#[test]
fn what_is_not_given_is_not_watched() {
    assert_eq!(
        judge(
            &stop(json!({})),
            &watch(&[("TRAIL_ARN", "none")]),
            &Facts::default(),
            now()
        ),
        Verdict::Ignore {
            reason: "the watched trail is not configured, so it is not watched".to_owned()
        }
    );
}

#[test]
fn in_observe_mode_the_runbook_runs_dry() {
    let Verdict::Respond { incident, .. } = judge(
        &stop(json!({})),
        &watch(&[("MODE", "observe")]),
        &Facts::default(),
        now(),
    ) else {
        panic!("not answered");
    };
    assert!(incident.dry_run);
}

#[test]
fn a_replayed_event_contains_nobody() {
    let mut event = stop(json!({}));
    event["replay-name"] = json!("last-month");
    assert_eq!(
        line(judge(&event, &watch(&[]), &Facts::default(), now())),
        "escalate: the watched trail was stopped by IAM user eve; the event is replayed from an archive"
    );
}
