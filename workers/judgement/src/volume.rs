//! What counts and names nobody: the alarms on the volume of reads, and the bill.

use incident::{
    Actor, Escalation, EventRef, Incident, IncidentId, Mode, Runbook, Severity, Target, Text,
    Unreadable,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Verdict, Watch,
    call::{Aim, Case, Effect, Touched, ignore},
};

/// Judges an event that is no API call.
pub(crate) fn judge(event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    let account = event["account"].as_str().unwrap_or_default();
    if account != watch.tiers.account() {
        return ignore(Unreadable::OtherKind.to_string());
    }
    match (event["source"].as_str(), event["detail-type"].as_str()) {
        (Some("aws.cloudwatch"), Some("CloudWatch Alarm State Change")) => {
            drained(event, watch, now)
        }
        (Some("aws.ce"), Some("Anomaly Detected")) => costly(event, watch, now),
        _ => ignore(Unreadable::OtherKind.to_string()),
    }
}

fn drained(event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    let detail = &event["detail"];
    let alarm = detail["alarmName"].as_str().unwrap_or_default();
    let Some(patients) = &watch.patients else {
        return ignore("the patients' table is not configured, so it is not watched".to_owned());
    };
    let ours = watch.ours.own(alarm);
    if !matches!(ours, Some("patients-drained" | "patients-index-drained")) {
        return ignore(format!("{alarm} is none of our alarms"));
    }
    if detail["state"]["value"] != "ALARM" || detail["previousState"]["value"] == "ALARM" {
        return ignore(format!("{alarm} did not go off"));
    }
    let id = event["id"].as_str().unwrap_or_default();
    let reason = "more was read from the patients' table than the CRM ever needs, and an alarm names \
                  nobody";
    let Some(incident_id) = IncidentId::of_event(id) else {
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
            runbook: Runbook::HoneyToken,
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
            target: Target::Table {
                arn: patients.table.clone(),
            },
            remedy: None,
            dry_run: watch.mode == Mode::Observe,
        }),
    }
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
