//! Whether an event deserves a response.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Actor, ApiCall, BadSetting, EventRef, Incident, IncidentId, Mode, Runbook, Settings, Severity,
    Source, Target, Tiers, TrailArn, Unreadable, text::Text,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// In words.
    pub reason: String,
    /// What is done.
    pub verdict: Verdict,
}

/// What is done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A runbook starts, under this name, with this input.
    Respond(IncidentId, Box<Incident>),
    /// A human is told; nothing is changed.
    Escalate(Box<Escalation>),
    /// Nothing.
    Ignore,
}

/// What a human is told about an event that starts no runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// The event.
    pub event: EventRef,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// Where it came from.
    pub source_address: Option<Source>,
    /// How urgent it is.
    pub severity: Severity,
}

/// Judges one event as EventBridge delivers it; `now` is when we learned of it.
///
/// Never fails: whatever cannot be judged is ignored or escalated with the reason.
#[must_use]
pub fn judge(event: &Value, watch: &Watch, now: Timestamp) -> Decision {
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
        Err(unreadable @ Unreadable::Field(_)) => unread(event, &unreadable, now),
    }
}

/// An API call that lacks a field still came through a rule that watches for attacks.
fn unread(event: &Value, why: &Unreadable, now: Timestamp) -> Decision {
    let detail = &event["detail"];
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    Decision {
        reason: why.to_string(),
        verdict: Verdict::Escalate(Box::new(Escalation {
            event: EventRef {
                id: Text::cut(&text(&event["id"])),
                name: Text::cut(&text(&detail["eventName"])),
            },
            occurred_at: now,
            actor: Actor::of(&detail["userIdentity"], &text(&event["account"])),
            source_address: detail["sourceIPAddress"].as_str().map(Source::of),
            severity: Severity::High,
        })),
    }
}

fn trail_stopped(call: &ApiCall, watch: &Watch, now: Timestamp) -> Decision {
    let Some(trail) = &watch.trail else {
        return ignore("no trail is watched".to_owned());
    };
    let named = call.request["name"].as_str();
    if let Some(error) = &call.error {
        return if !error.is_denied() {
            ignore(format!("the call failed ({}): nothing changed", error.code))
        } else if denied_on(trail, call, named, &error.message) {
            escalate(
                call,
                Severity::High,
                format!(
                    "{} of the watched trail was attempted and denied",
                    call.name
                ),
            )
        } else {
            ignore(format!("{} of another trail was denied", call.name))
        };
    }
    match named {
        None => escalate(
            call,
            Severity::Critical,
            format!(
                "{} succeeded, and the event does not say on which trail",
                call.name
            ),
        ),
        Some(name) if !names(trail, name, &call.region) => {
            ignore(format!("{} of a trail that is not watched", call.name))
        }
        Some(_) => respond(
            call,
            watch,
            trail,
            now,
            match call.name.as_str() {
                "DeleteTrail" => "the watched trail was deleted",
                _ => "the watched trail was stopped",
            },
        ),
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
fn denied_on(trail: &TrailArn, call: &ApiCall, named: Option<&str>, message: &str) -> bool {
    match named {
        Some(name) => names(trail, name, &call.region),
        None => message.contains(trail.arn().as_str()) || !message.contains(":trail/"),
    }
}

fn respond(
    call: &ApiCall,
    watch: &Watch,
    trail: &TrailArn,
    now: Timestamp,
    what: &str,
) -> Decision {
    let Some(id) = IncidentId::of_event(&call.id) else {
        return escalate(
            call,
            Severity::Critical,
            format!("{what}, but the event's id cannot name an execution"),
        );
    };
    let through = call
        .invoked_by
        .as_deref()
        .map(|service| format!(" through {service}"))
        .unwrap_or_default();
    let reason = format!("{what} by {}{through}", call.actor);
    let incident = Incident {
        runbook: Runbook::CloudtrailDisabled,
        reason: Text::cut(&reason),
        severity: Severity::Critical,
        event: Some(event_ref(call)),
        occurred_at: call.occurred_at,
        discovered_at: now,
        actor: call.actor.clone(),
        containment: watch.tiers.containment(&call.actor),
        source_address: call.source_address.clone(),
        target: Target::Trail { arn: trail.clone() },
        dry_run: watch.mode == Mode::Observe,
    };
    Decision {
        reason,
        verdict: Verdict::Respond(id, Box::new(incident)),
    }
}

fn escalate(call: &ApiCall, severity: Severity, reason: String) -> Decision {
    Decision {
        reason,
        verdict: Verdict::Escalate(Box::new(Escalation {
            event: event_ref(call),
            occurred_at: call.occurred_at,
            actor: call.actor.clone(),
            source_address: call.source_address.clone(),
            severity,
        })),
    }
}

fn ignore(reason: String) -> Decision {
    Decision {
        reason,
        verdict: Verdict::Ignore,
    }
}

fn event_ref(call: &ApiCall) -> EventRef {
    EventRef {
        id: Text::cut(&call.id),
        name: Text::cut(&call.name),
    }
}
