//! Whether an event deserves a response.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Actor, ApiCall, BadSetting, Containment, EventRef, Incident, IncidentId, Mode, Runbook,
    Settings, Severity, Source, Target, Tiers, TrailArn, Unreadable, text::Text,
};

/// What is watched, and what may be done about it.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Who may be contained.
    pub tiers: Tiers,
    /// Whether incidents run dry.
    pub mode: Mode,
    /// The trail; none is watched when none is given.
    pub trail: Option<TrailArn>,
}

impl Watch {
    /// Reads `MODE` and `TRAIL_ARN`, and what [`Tiers::from_settings`] reads.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        Ok(Self {
            tiers: Tiers::from_settings(settings)?,
            mode: settings.required("MODE")?,
            trail: settings.optional("TRAIL_ARN")?,
        })
    }
}

/// What is done about an event, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(
    tag = "verdict",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Verdict {
    /// A runbook starts, under this name, with this input.
    Respond {
        /// Why.
        reason: String,
        /// The execution's name.
        incident_id: IncidentId,
        /// The execution's input.
        incident: Box<Incident>,
    },
    /// A human is told; nothing is changed.
    Escalate {
        /// Why.
        reason: String,
        /// What the human is told.
        escalation: Box<Escalation>,
    },
    /// Nothing is done.
    Ignore {
        /// Why.
        reason: String,
    },
}

/// What a human is told about an event that starts no runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Escalation {
    /// The event.
    pub event: EventRef,
    /// Why a human should look.
    pub reason: Text<1000>,
    /// How urgent it is.
    pub severity: Severity,
    /// When it happened.
    #[schemars(with = "String")]
    pub occurred_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// How far the actor could be contained, and by which call.
    pub containment: Containment,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<Source>,
}

/// Judges one event as EventBridge delivers it; `now` is when we learned of it.
///
/// Never fails: whatever cannot be judged is ignored or escalated with the reason.
#[must_use]
pub fn judge(event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    match ApiCall::read(event) {
        Ok(call) if call.account != watch.tiers.account() => {
            ignore(format!("recorded in account {}, not in ours", call.account))
        }
        Ok(call) => match (call.service.as_str(), call.name.as_str()) {
            ("cloudtrail.amazonaws.com", "StopLogging" | "DeleteTrail") => {
                trail_stopped(&call, watch, now)
            }
            (service, name) => ignore(format!("{name} of {service} is not an indicator")),
        },
        Err(unreadable @ Unreadable::OtherKind) => ignore(unreadable.to_string()),
        Err(unreadable @ Unreadable::Field(_)) => unread(event, watch, &unreadable, now),
    }
}

/// An API call that lacks a field still came through a rule that watches for attacks.
fn unread(event: &Value, watch: &Watch, why: &Unreadable, now: Timestamp) -> Verdict {
    let detail = &event["detail"];
    let actor = Actor::of(&detail["userIdentity"], watch.tiers.account());
    let text = |value: &Value| Text::cut(value.as_str().unwrap_or("unknown"));
    let reason = why.to_string();
    Verdict::Escalate {
        escalation: Box::new(Escalation {
            event: EventRef {
                id: Text::cut(event["id"].as_str().unwrap_or("unknown")),
                name: text(&detail["eventName"]),
            },
            reason: Text::cut(&reason),
            severity: Severity::High,
            occurred_at: now,
            containment: watch.tiers.containment(&actor),
            actor,
            source_address: detail["sourceIPAddress"].as_str().map(Source::of),
        }),
        reason,
    }
}

fn trail_stopped(call: &ApiCall, watch: &Watch, now: Timestamp) -> Verdict {
    let Some(trail) = &watch.trail else {
        return ignore("no trail is watched".to_owned());
    };
    let name = call.name.as_str();
    let given = call.request["name"].as_str();
    match (&call.error, given) {
        (Some(error), _) if !error.is_denied() => {
            ignore(format!("{name} failed ({}): nothing changed", error.code))
        }
        (Some(error), _) if denied_on(trail, call, given, &error.message) => escalate(
            call,
            watch,
            Severity::High,
            format!("{name} of the watched trail was attempted and denied"),
        ),
        (Some(_), _) => ignore(format!("{name} of another trail was denied")),
        (None, None) => escalate(
            call,
            watch,
            Severity::Critical,
            format!("{name} succeeded, and the event does not say on which trail"),
        ),
        (None, Some(given)) if !names(trail, given, &call.region) => {
            ignore(format!("{name} of a trail that is not watched"))
        }
        (None, Some(_)) => {
            let done = if name == "DeleteTrail" {
                "deleted"
            } else {
                "stopped"
            };
            respond(call, watch, trail, now, done)
        }
    }
}

/// A request may give a name or an ARN; a name means a trail of the region that answered.
fn names(trail: &TrailArn, given: &str, region: &str) -> bool {
    if given.starts_with("arn:") {
        given == trail.arn().as_str()
    } else {
        given == trail.name() && region == trail.region()
    }
}

/// A denied call often has no parameters: then only the message says which trail, if anything.
fn denied_on(trail: &TrailArn, call: &ApiCall, given: Option<&str>, message: &str) -> bool {
    match given {
        Some(given) => names(trail, given, &call.region),
        None => message.contains(trail.arn().as_str()) || !message.contains(":trail/"),
    }
}

fn respond(call: &ApiCall, watch: &Watch, trail: &TrailArn, now: Timestamp, done: &str) -> Verdict {
    // A service that acts for itself is the actor already.
    let invoked_by = call
        .invoked_by
        .as_deref()
        .filter(|_| !matches!(call.actor, Actor::AwsService { .. }));
    let through = invoked_by.map_or_else(String::new, |service| format!(" through {service}"));
    let reason = format!("the watched trail was {done} by {}{through}", call.actor);
    let Some(incident_id) = IncidentId::of_event(&call.id) else {
        let reason = format!("{reason}; the event's id cannot name an execution");
        return escalate(call, watch, Severity::Critical, reason);
    };
    let incident = Incident {
        runbook: Runbook::CloudtrailDisabled,
        reason: Text::cut(&reason),
        severity: Severity::Critical,
        event: Some(event_ref(call)),
        occurred_at: call.occurred_at,
        discovered_at: now,
        actor: call.actor.clone(),
        containment: watch.tiers.containment(&call.actor),
        invoked_by: invoked_by.map(Text::cut),
        source_address: call.source_address.clone(),
        target: Target::Trail { arn: trail.clone() },
        dry_run: watch.mode == Mode::Observe,
    };
    Verdict::Respond {
        reason,
        incident_id,
        incident: Box::new(incident),
    }
}

fn escalate(call: &ApiCall, watch: &Watch, severity: Severity, reason: String) -> Verdict {
    Verdict::Escalate {
        escalation: Box::new(Escalation {
            event: event_ref(call),
            reason: Text::cut(&reason),
            severity,
            occurred_at: call.occurred_at,
            actor: call.actor.clone(),
            containment: watch.tiers.containment(&call.actor),
            source_address: call.source_address.clone(),
        }),
        reason,
    }
}

fn ignore(reason: String) -> Verdict {
    Verdict::Ignore { reason }
}

fn event_ref(call: &ApiCall) -> EventRef {
    EventRef {
        id: Text::cut(&call.id),
        name: Text::cut(&call.name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";

    fn watch(mode: &'static str, trail: &'static str) -> Watch {
        Watch::from_settings(&Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
                "BREAK_GLASS_ARNS" => "arn:aws:iam::123456789012:user/glass",
                "SHARED_ROLE_ARNS" => "arn:aws:iam::123456789012:role/ci/deploy",
                "MODE" => mode,
                "TRAIL_ARN" => trail,
                _ => return None,
            };
            Some(value.to_owned())
        }))
        .unwrap()
    }

    /// `StopLogging` by an IAM user, with fields of `detail` replaced.
    fn stop(changes: Value) -> Value {
        let mut event = json!({
            "id": "11111111-2222-3333-4444-555555555555",
            "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.cloudtrail",
            "account": "123456789012",
            "time": "2026-11-25T03:12:44Z",
            "region": "eu-west-1",
            "detail": {
                "userIdentity": {
                    "type": "IAMUser",
                    "accountId": "123456789012",
                    "arn": "arn:aws:iam::123456789012:user/eve",
                },
                "eventTime": "2026-11-25T03:12:40Z",
                "eventSource": "cloudtrail.amazonaws.com",
                "eventName": "StopLogging",
                "awsRegion": "eu-west-1",
                "sourceIPAddress": "203.0.113.7",
                "requestParameters": {"name": TRAIL},
                "eventID": "9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77",
                "recipientAccountId": "123456789012",
            },
        });
        let detail = event["detail"].as_object_mut().unwrap();
        for (field, value) in changes.as_object().unwrap() {
            detail.insert(field.clone(), value.clone());
        }
        event
    }

    fn now() -> Timestamp {
        "2026-11-25T03:12:46Z".parse().unwrap()
    }

    fn verdict(changes: Value) -> String {
        let verdict = judge(&stop(changes), &watch("enforce", TRAIL), now());
        match verdict {
            Verdict::Respond { reason, .. } => format!("respond: {reason}"),
            Verdict::Escalate { reason, .. } => format!("escalate: {reason}"),
            Verdict::Ignore { reason } => format!("ignore: {reason}"),
        }
    }

    #[test]
    fn the_incident_holds_what_the_runbook_needs_and_no_event() {
        let verdict = judge(&stop(json!({})), &watch("enforce", TRAIL), now());
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
                "ignore: StopLogging of a trail that is not watched",
            ),
            (
                "other",
                "ignore: StopLogging of a trail that is not watched",
            ),
            (
                "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other",
                "ignore: StopLogging of a trail that is not watched",
            ),
        ] {
            assert_eq!(
                verdict(json!({"requestParameters": {"name": name}})),
                expected
            );
        }
        // The same name in another region is another trail.
        assert_eq!(
            verdict(json!({"awsRegion": "us-east-1", "requestParameters": {"name": "clinic"}})),
            "ignore: StopLogging of a trail that is not watched"
        );
    }

    #[test]
    fn deleting_is_answered_like_stopping() {
        assert_eq!(
            verdict(json!({"eventName": "DeleteTrail"})),
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
            } = judge(&event, &watch("enforce", TRAIL), now())
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
                verdict(json!({"errorCode": code})),
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
            verdict(all)
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
            "ignore: StopLogging of another trail was denied"
        );
    }

    #[test]
    fn an_event_that_lacks_a_field_is_told_to_a_human() {
        assert_eq!(
            verdict(json!({"requestParameters": null})),
            "escalate: StopLogging succeeded, and the event does not say on which trail"
        );
        assert_eq!(
            verdict(json!({"eventName": null})),
            "escalate: the event's `eventName` is missing or cannot be read"
        );
        assert_eq!(
            verdict(json!({"eventID": "x".repeat(81)})),
            "escalate: the watched trail was stopped by IAM user eve; the event's id cannot name \
             an execution"
        );
    }

    #[test]
    fn anything_else_is_ignored_with_the_reason() {
        let ignored = |event: &Value| match judge(event, &watch("enforce", TRAIL), now()) {
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
            verdict(json!({"eventName": "StartLogging"})),
            "ignore: StartLogging of cloudtrail.amazonaws.com is not an indicator"
        );
        assert_eq!(
            verdict(json!({"recipientAccountId": "999988887777"})),
            "ignore: recorded in account 999988887777, not in ours"
        );
    }

    #[test]
    fn what_is_not_given_is_not_watched() {
        assert_eq!(
            judge(&stop(json!({})), &watch("enforce", ""), now()),
            Verdict::Ignore {
                reason: "no trail is watched".to_owned()
            }
        );
    }

    #[test]
    fn in_observe_mode_the_runbook_runs_dry() {
        let Verdict::Respond { incident, .. } =
            judge(&stop(json!({})), &watch("observe", TRAIL), now())
        else {
            panic!("not answered");
        };
        assert!(incident.dry_run);
    }
}
