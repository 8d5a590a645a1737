//! The judgement of one API call.

use incident::{
    Actor, ApiCall, Escalation, EventRef, Incident, IncidentId, Mode, Runbook, Severity, Source,
    Target, Text, TrailArn, Unreadable,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{Facts, Verdict, Watch, archive, ours, trail};

/// What our workers call on what is watched. Whatever else a role of ours does, it was made to.
const OUR_CALLS: [&str; 11] = [
    "EnableRule",
    "PutBucketEncryption",
    "PutBucketLifecycle",
    "PutBucketPolicy",
    "PutBucketVersioning",
    "PutEventSelectors",
    "PutInsightSelectors",
    "PutRule",
    "PutTargets",
    "StartExecution",
    "UpdateTrail",
];

/// One call, and all that is known when it is judged.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) call: &'a ApiCall,
    /// CloudTrail's record of it.
    pub(crate) record: &'a Value,
    /// Whether it comes from an archive: what was right then may have been put right since.
    pub(crate) replayed: bool,
    pub(crate) watch: &'a Watch,
    pub(crate) facts: &'a Facts,
    pub(crate) now: Timestamp,
}

/// What a call was aimed at.
pub(crate) struct Touched {
    /// What it is to people, `the watched trail`.
    pub(crate) thing: &'static str,
    pub(crate) aim: Aim,
    /// What it did, if it succeeded.
    pub(crate) effect: fn(&Case<'_>) -> Effect,
}

/// Whether a call was aimed at what is watched.
pub(crate) enum Aim {
    /// At it.
    Watched,
    /// At something else of its kind.
    Other,
    /// The request does not say. A denied call often has no parameters: then only the error's
    /// message says at what, and it is about something else when it holds the second text and not
    /// the first.
    Unsaid(String, &'static str),
    /// Nothing of its kind is watched.
    Nothing,
}

/// What a call did to what is watched.
pub(crate) enum Effect {
    /// It blinded or disarmed us.
    Tampering {
        /// What was done, before "by whom".
        what: String,
        /// How a human repairs what no step does.
        remedy: Option<String>,
    },
    /// A human has to decide.
    Unclear(String),
    /// It did no harm, and why.
    Harmless(String),
}

impl Effect {
    pub(crate) fn tampering(what: impl Into<String>) -> Self {
        Self::Tampering {
            what: what.into(),
            remedy: None,
        }
    }

    pub(crate) fn beyond_repair(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Tampering {
            what: what.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Judges one event as EventBridge delivers it; `now` is when we learned of it.
///
/// Never fails: whatever cannot be judged is ignored or escalated with the reason.
#[must_use]
pub fn judge(event: &Value, watch: &Watch, facts: &Facts, now: Timestamp) -> Verdict {
    match ApiCall::read(event) {
        Ok(call) if call.account != watch.tiers.account() => {
            ignore(format!("recorded in account {}, not in ours", call.account))
        }
        Ok(call) => Case {
            call: &call,
            record: &event["detail"],
            replayed: event["replay-name"].is_string(),
            watch,
            facts,
            now,
        }
        .judge(),
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

impl Case<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.call.name
    }

    /// A text among the request's parameters.
    pub(crate) fn given(&self, parameter: &str) -> Option<&str> {
        self.call.request[parameter].as_str()
    }

    fn touched(&self) -> Option<Touched> {
        match self.call.service.as_str() {
            "cloudtrail.amazonaws.com" => trail::touched(self),
            "s3.amazonaws.com" => archive::bucket(self),
            "kms.amazonaws.com" => archive::key(self),
            "logs.amazonaws.com" => archive::log_group(self),
            _ => ours::touched(self),
        }
    }

    fn judge(&self) -> Verdict {
        let (name, call) = (self.name(), self.call);
        let Some(Touched { thing, aim, effect }) = self.touched() else {
            return ignore(format!("{name} of {} is not an indicator", call.service));
        };
        if let Aim::Nothing = aim {
            return ignore(format!("{thing} is not configured, so it is not watched"));
        }
        match (&call.error, aim) {
            (Some(error), _) if !error.is_denied() => {
                ignore(format!("{name} failed ({}): nothing changed", error.code))
            }
            (Some(error), aim) if aim.may_be_watched(&error.message) => self.escalate(
                Severity::High,
                format!("{name} of {thing} was attempted and denied"),
            ),
            (Some(_), _) => ignore(format!("{name} of something else than {thing} was denied")),
            (None, Aim::Unsaid(..)) => self.escalate(
                Severity::Critical,
                format!("{name} succeeded, and the event does not say whether on {thing}"),
            ),
            (None, Aim::Other | Aim::Nothing) => {
                ignore(format!("{name} of something else than {thing}"))
            }
            (None, Aim::Watched) => match self.exempt() {
                Some(why) => ignore(format!("{name} of {thing}: {why}")),
                None => self.answer(effect(self)),
            },
        }
    }

    /// Why a change of what is watched is none of an attacker's.
    fn exempt(&self) -> Option<&'static str> {
        let ours = self.watch.tiers.is_responder(&self.call.actor);
        (ours && OUR_CALLS.contains(&self.name())).then_some("the responder's own action")
    }

    fn answer(&self, effect: Effect) -> Verdict {
        match effect {
            Effect::Harmless(why) => ignore(why),
            Effect::Unclear(why) => self.escalate(
                Severity::High,
                format!("{why} ({} by {})", self.name(), self.call.actor),
            ),
            Effect::Tampering { what, remedy } => self.respond(&what, remedy),
        }
    }

    fn respond(&self, what: &str, remedy: Option<String>) -> Verdict {
        let (call, watch) = (self.call, self.watch);
        // A service that acts for itself is the actor already.
        let invoked_by = call
            .invoked_by
            .as_deref()
            .filter(|_| !matches!(call.actor, Actor::AwsService { .. }));
        let through = invoked_by.map_or_else(String::new, |service| format!(" through {service}"));
        let reason = format!("{what} by {}{through}", call.actor);
        let Some(trail) = &watch.trail else {
            let reason = format!("{reason}; no trail is watched, so no runbook answers");
            return self.escalate(Severity::Critical, reason);
        };
        if self.replayed {
            let reason = format!("{reason}; the event is replayed from an archive");
            return self.escalate(Severity::High, reason);
        }
        let Some(incident_id) = IncidentId::of_event(&call.id) else {
            let reason = format!("{reason}; the event's id cannot name an execution");
            return self.escalate(Severity::Critical, reason);
        };
        let incident = self.incident(trail, &reason, invoked_by, remedy);
        Verdict::Respond {
            reason,
            incident_id,
            incident: Box::new(incident),
        }
    }

    fn incident(
        &self,
        trail: &TrailArn,
        reason: &str,
        invoked_by: Option<&str>,
        remedy: Option<String>,
    ) -> Incident {
        let (call, watch) = (self.call, self.watch);
        Incident {
            runbook: Runbook::CloudtrailDisabled,
            reason: Text::cut(reason),
            severity: Severity::Critical,
            event: Some(event_ref(call)),
            occurred_at: call.occurred_at,
            discovered_at: self.now,
            actor: call.actor.clone(),
            containment: watch.tiers.containment(&call.actor),
            invoked_by: invoked_by.map(Text::cut),
            source_address: call.source_address.clone(),
            target: Target::Trail { arn: trail.clone() },
            remedy: remedy.as_deref().map(Text::cut),
            dry_run: watch.mode == Mode::Observe,
        }
    }

    fn escalate(&self, severity: Severity, reason: String) -> Verdict {
        let call = self.call;
        Verdict::Escalate {
            escalation: Box::new(Escalation {
                event: event_ref(call),
                reason: Text::cut(&reason),
                severity,
                occurred_at: call.occurred_at,
                actor: call.actor.clone(),
                containment: self.watch.tiers.containment(&call.actor),
                source_address: call.source_address.clone(),
            }),
            reason,
        }
    }
}

impl Aim {
    /// At something of a kind that has one name: what the request gives is compared with it.
    pub(crate) fn at(watched: bool) -> Self {
        if watched { Self::Watched } else { Self::Other }
    }

    fn may_be_watched(&self, message: &str) -> bool {
        match self {
            Self::Watched => true,
            Self::Other | Self::Nothing => false,
            Self::Unsaid(watched, kind) => message.contains(watched) || !message.contains(kind),
        }
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
