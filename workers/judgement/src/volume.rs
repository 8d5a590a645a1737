//! What counts and names nobody: the alarms on the volume of reads, of sign-ins and of attacks on the
//! API, and the bill.

use incident::{
    Actor, Escalation, EventRef, Incident, IncidentId, Mode, Runbook, Severity, Target, Text,
    Unreadable,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Verdict, Watch,
    call::{Aim, Case, Effect, Touched, ignore},
    sign_in,
};

/// Judges an event that is no API call.
pub(crate) fn judge(event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    let account = event["account"].as_str().unwrap_or_default();
    if account != watch.tiers.account() {
        return ignore(Unreadable::OtherKind.to_string());
    }
    match (event["source"].as_str(), event["detail-type"].as_str()) {
        (Some("aws.cloudwatch"), Some("CloudWatch Alarm State Change")) => alarm(event, watch, now),
        (Some("aws.cognito-idp"), Some("AWS Service Event via CloudTrail")) => {
            sign_in::of_hosted_login(event, watch, now)
        }
        (Some("aws.ce"), Some("Anomaly Detected")) => costly(event, watch, now),
        _ => ignore(Unreadable::OtherKind.to_string()),
    }
}

/// What an alarm is about.
enum Alarm {
    Patients,
    SignIns,
    /// The API, and what is done to it.
    Api(&'static str),
}

impl Alarm {
    fn of(name: &str, watch: &Watch) -> Option<Self> {
        let own = watch.ours.own(name);
        match own {
            Some("patients-drained" | "patients-index-drained") => Some(Self::Patients),
            Some("sign-ins-unusual") => Some(Self::SignIns),
            _ => watch.front_door.attack(name, own).map(Self::Api),
        }
    }
}

/// What was measured is attacked, whoever may hear the alarm: a composite alarm that is named to us
/// counts like one of a metric, and so does one that is muted or suppressed, since that keeps people
/// from being paged and no attacker out, and the attacker may have muted it.
fn alarm(event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    let detail = &event["detail"];
    let name = detail["alarmName"].as_str().unwrap_or_default();
    let Some(alarm) = Alarm::of(name, watch) else {
        return ignore(format!("{name} is none of our alarms"));
    };
    if detail["state"]["value"] != "ALARM" || detail["previousState"]["value"] == "ALARM" {
        return ignore(format!("{name} did not go off"));
    }
    let silenced =
        !detail["muteDetail"].is_null() || !detail["state"]["actionsSuppressedBy"].is_null();
    let silenced = if silenced {
        " (muted or suppressed, which stops no attack)"
    } else {
        ""
    };
    match alarm {
        Alarm::Patients => match &watch.patients {
            None => {
                ignore("the patients' table is not configured, so it is not watched".to_owned())
            }
            Some(patients) => {
                let reason = format!(
                    "more was read from the patients' table than the CRM ever needs, and an alarm \
                     names nobody{silenced}"
                );
                let arn = patients.table.clone();
                let target = Target::Table { arn };
                answered(event, watch, Runbook::HoneyToken, target, &reason, now)
            }
        },
        Alarm::SignIns => {
            let reason = format!(
                "far more people sign in to the CRM than usual, or fail to, and an alarm names \
                 nobody{silenced}: look at the user pool's metrics by app client, and at the sign-ins \
                 in CloudTrail"
            );
            told(event, watch, Severity::High, &reason, now)
        }
        Alarm::Api(says) => match watch.front_door.web_acl.clone() {
            None => {
                let reason = format!(
                    "{says}: {name} went off{silenced}, and no web ACL is configured to look for \
                     offenders in"
                );
                told(event, watch, Severity::High, &reason, now)
            }
            Some(arn) => {
                let reason = format!("{says}: {name} went off{silenced}");
                let target = Target::WebAcl { arn };
                answered(event, watch, Runbook::ApiAttack, target, &reason, now)
            }
        },
    }
}

/// The answer of `runbook` to what an alarm says.
fn answered(
    event: &Value,
    watch: &Watch,
    runbook: Runbook,
    target: Target,
    reason: &str,
    now: Timestamp,
) -> Verdict {
    let Some(incident_id) = incident_id(event, runbook, now) else {
        return told(event, watch, Severity::High, reason, now);
    };
    if event["replay-name"].is_string() {
        let reason = format!("{reason}; the event is replayed from an archive");
        return told(event, watch, Severity::High, &reason, now);
    }
    let actor = nobody();
    Verdict::Respond {
        reason: reason.to_owned(),
        incident_id,
        incident: Box::new(Incident {
            runbook,
            reason: Text::cut(reason),
            severity: Severity::High,
            event: Some(event_ref(event)),
            occurred_at: occurred(event, now),
            discovered_at: now,
            containment: watch.tiers.containment(&actor),
            actor,
            accomplices: Vec::new(),
            invoked_by: None,
            source_address: None,
            target,
            remedy: None,
            dry_run: watch.mode == Mode::Observe,
        }),
    }
}

/// One attack on the API sets off several alarms, and each of them again and again: what its runbook
/// does for a quarter of an hour is done once in half an hour.
fn incident_id(event: &Value, runbook: Runbook, now: Timestamp) -> Option<IncidentId> {
    if runbook == Runbook::ApiAttack {
        let half_hour = occurred(event, now).as_second().div_euclid(1_800);
        return IncidentId::of_event(&format!("api-attack-{half_hour}"));
    }
    IncidentId::of_event(event["id"].as_str().unwrap_or_default())
}

fn costly(event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    let impact = &event["detail"]["impact"]["totalImpact"];
    let impact = impact
        .as_f64()
        .map(|dollars| format!(" by {dollars:.0} dollars"));
    let reason = format!(
        "the bill rose out of the ordinary{}: data may be leaving, or somebody computes at your \
         expense; Cost Explorer's anomaly names the service and the region",
        impact.unwrap_or_default()
    );
    told(event, watch, Severity::Medium, &reason, now)
}

fn told(event: &Value, watch: &Watch, severity: Severity, reason: &str, now: Timestamp) -> Verdict {
    let actor = nobody();
    Verdict::Escalate {
        reason: reason.to_owned(),
        escalation: Box::new(Escalation {
            event: event_ref(event),
            reason: Text::cut(reason),
            severity,
            occurred_at: occurred(event, now),
            containment: watch.tiers.containment(&actor),
            actor,
            source_address: None,
        }),
    }
}

fn nobody() -> Actor {
    Actor::unidentified("a measurement, which sees how much was done and not by whom")
}

fn occurred(event: &Value, now: Timestamp) -> Timestamp {
    let time = event["time"].as_str().and_then(|time| time.parse().ok());
    time.unwrap_or(now)
}

fn event_ref(event: &Value) -> EventRef {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    EventRef {
        id: Text::cut(&text(&event["id"])),
        name: Text::cut(&text(&event["detail-type"])),
    }
}

/// Calls on what tells of costs, and on who pays.
pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let reads = ["Get", "List", "Describe", "View", "Search", "Batch"];
    if reads.iter().any(|read| case.name().starts_with(read)) {
        return None;
    }
    Some(Touched::new("billing", Aim::Watched, |case| {
        if case.watch.tiers.is_operator(&case.call.actor) {
            return Effect::Harmless("billing was changed by an operator".to_owned());
        }
        Effect::Unclear(format!(
            "billing was changed ({}): who pays, or who is told what it costs",
            case.name()
        ))
    }))
}
