//! The judgement of one API call.

use incident::{
    Accomplice, Actor, ApiCall, Escalation, EventRef, Incident, IncidentId, Mode, Runbook,
    Severity, Source, Target, Text, Unreadable,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Facts, Verdict, Watch, archive, denial, front_door, ours, patients, privilege, rotation,
    sign_in, site, trail, volume,
};

/// EventBridge gives up on an event after a day; what is older was brought here by somebody, and what
/// was right then may have been put right since.
pub(crate) const OLDEST: SignedDuration = SignedDuration::from_hours(24);

/// What our workers call on what is watched. When what such a call did is not what they do, somebody
/// else uses their role; but answering it could set one repair after another for ever.
const OUR_CALLS: [&str; 10] = [
    "PutBucketEncryption",
    "PutBucketLifecycle",
    "PutBucketPolicy",
    "PutBucketVersioning",
    "PutEventSelectors",
    "PutInsightSelectors",
    "PutRule",
    "PutTargets",
    "RemoveTargets",
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
    /// What comes of it when it was denied.
    pub(crate) denied: Denied,
    /// Whether it did something though it failed: an error can hold an answer.
    pub(crate) despite_error: bool,
}

impl Touched {
    /// What was attempted and denied is told, too.
    pub(crate) fn new(thing: &'static str, aim: Aim, effect: fn(&Case<'_>) -> Effect) -> Self {
        Self {
            thing,
            aim,
            effect,
            denied: Denied::Escalates,
            despite_error: false,
        }
    }
}

/// What comes of a call that was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// A human is told of the attempt.
    Escalates,
    /// As well, unless a policy denied it explicitly: that may be our own containment at work.
    EscalatesUnlessExplicit,
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
    /// What a runbook answers.
    Respond(Box<Response>),
    /// A human has to decide.
    Unclear(String),
    /// It did no harm, and why.
    Harmless(String),
}

/// What is to be answered, and how.
pub(crate) struct Response {
    /// What was done, before "by whom".
    pub(crate) what: String,
    pub(crate) runbook: Runbook,
    pub(crate) severity: Severity,
    /// What was attacked; the watched trail when none is given.
    pub(crate) target: Option<Target>,
    /// Who is contained with the actor.
    pub(crate) accomplices: Vec<Actor>,
    /// How a human repairs what no step does.
    pub(crate) remedy: Option<String>,
    /// Whether the like of it by the same actor is one incident an hour: where a second answer could
    /// do no more than the first, many calls must not start many runbooks.
    pub(crate) hourly: bool,
}

impl Response {
    /// The answer of `runbook` to `what` was done, with every other field left out.
    pub(crate) fn new(runbook: Runbook, severity: Severity, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            runbook,
            severity,
            target: None,
            accomplices: Vec::new(),
            remedy: None,
            hourly: false,
        }
    }
}

impl From<Response> for Effect {
    fn from(response: Response) -> Self {
        Self::Respond(Box::new(response))
    }
}

impl Effect {
    /// Something that blinded or disarmed us.
    pub(crate) fn tampering(what: impl Into<String>) -> Self {
        Response::new(Runbook::CloudtrailDisabled, Severity::Critical, what).into()
    }

    /// The same, where no step repairs it. What only a human can repair is told once an hour.
    pub(crate) fn beyond_repair(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Response {
            remedy: Some(remedy.into()),
            hourly: true,
            ..Response::new(Runbook::CloudtrailDisabled, Severity::Critical, what)
        }
        .into()
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
        Ok(call) if sign_in::is_attempt(&call) => sign_in::of_call(&call, event, watch, now),
        Ok(call) => Case {
            call: &call,
            record: &event["detail"],
            replayed: event["replay-name"].is_string(),
            watch,
            facts,
            now,
        }
        .judge(),
        Err(Unreadable::OtherKind) => volume::judge(event, watch, now),
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

    /// The ARNs of what the call was about, as far as CloudTrail lists them.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &str> {
        let resources = self.record["resources"].as_array().into_iter().flatten();
        resources.filter_map(|resource| resource["ARN"].as_str())
    }

    /// What the call was aimed at: the first thing that it certainly was, else one that it may have
    /// been.
    fn touched(&self) -> Option<Touched> {
        let kinds: &[fn(&Case<'_>) -> Option<Touched>] = match self.call.service.as_str() {
            "cloudtrail.amazonaws.com" => &[trail::touched],
            "s3.amazonaws.com" => &[archive::bucket, site::touched],
            "kms.amazonaws.com" => &[archive::key],
            "logs.amazonaws.com" => &[archive::log_group],
            "dynamodb.amazonaws.com" => &[patients::touched, ours::touched],
            "iam.amazonaws.com" => &[
                ours::touched,
                denial::touched,
                rotation::touched,
                privilege::touched,
            ],
            "sts.amazonaws.com" => &[rotation::touched, privilege::touched],
            "sso.amazonaws.com" => &[privilege::touched],
            "wafv2.amazonaws.com" => &[front_door::firewall],
            "cognito-idp.amazonaws.com" => &[front_door::user_pool],
            "billing.amazonaws.com"
            | "budgets.amazonaws.com"
            | "ce.amazonaws.com"
            | "payments.amazonaws.com"
            | "tax.amazonaws.com" => &[volume::touched],
            _ => &[ours::touched],
        };
        let touched = kinds.iter().filter_map(|kind| kind(self));
        touched.min_by_key(|touched| touched.aim.distance())
    }

    fn judge(&self) -> Verdict {
        let (name, call) = (self.name(), self.call);
        let Some(touched) = self.touched() else {
            return ignore(format!("{name} of {} is not an indicator", call.service));
        };
        let Touched {
            thing, aim, effect, ..
        } = touched;
        if let Aim::Nothing = aim {
            return ignore(format!("{thing} is not configured, so it is not watched"));
        }
        let error = call.error.as_ref().filter(|_| !touched.despite_error);
        match (error, aim) {
            (Some(error), _) if !error.is_denied() => {
                ignore(format!("{name} failed ({}): nothing changed", error.code))
            }
            (Some(error), _)
                if touched.denied == Denied::EscalatesUnlessExplicit
                    && error.message.contains("explicit deny") =>
            {
                ignore(format!("{name} of {thing} was denied explicitly"))
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
            (None, Aim::Watched) => self.answer(effect(self)),
        }
    }

    fn answer(&self, effect: Effect) -> Verdict {
        match effect {
            Effect::Harmless(why) => ignore(why),
            Effect::Unclear(why) => self.escalate(
                Severity::High,
                format!("{why} ({} by {})", self.name(), self.call.actor),
            ),
            Effect::Respond(response) => self.respond(*response),
        }
    }

    fn respond(&self, response: Response) -> Verdict {
        let (call, watch) = (self.call, self.watch);
        // A service that acts for itself is the actor already.
        let invoked_by = call
            .invoked_by
            .as_deref()
            .filter(|_| !matches!(call.actor, Actor::AwsService { .. }));
        let through = invoked_by.map_or_else(String::new, |service| format!(" through {service}"));
        let reason = format!("{} by {}{through}", response.what, call.actor);
        if watch.tiers.is_responder(&call.actor) && OUR_CALLS.contains(&self.name()) {
            let reason = format!("{reason}: one of our own roles did what it never does");
            return self.escalate(Severity::Critical, reason);
        }
        let trail = || watch.trail.clone().map(|arn| Target::Trail { arn });
        let Some(target) = response.target.clone().or_else(trail) else {
            let reason = format!("{reason}; no trail is watched, so no runbook answers");
            return self.escalate(Severity::Critical, reason);
        };
        if self.replayed {
            let reason = format!("{reason}; the event is replayed from an archive");
            return self.escalate(Severity::High, reason);
        }
        if self.now.duration_since(call.occurred_at) > OLDEST {
            let reason = format!("{reason}; the event is more than a day old");
            return self.escalate(Severity::High, reason);
        }
        let Some(incident_id) = self.incident_id(&response) else {
            let reason = format!("{reason}; the event's id cannot name an execution");
            return self.escalate(Severity::Critical, reason);
        };
        let incident = self.incident(response, target, &reason, invoked_by);
        Verdict::Respond {
            reason,
            incident_id,
            incident: Box::new(incident),
        }
    }

    fn incident_id(&self, response: &Response) -> Option<IncidentId> {
        let call = self.call;
        if !response.hourly {
            return IncidentId::of_event(&call.id);
        }
        let hour = call.occurred_at.as_second().div_euclid(3_600);
        let Response { runbook, what, .. } = response;
        let alike = format!("{}\n{}\n{runbook}\n{what}\n{hour}", call.actor, call.name);
        let digest = Sha256::digest(alike);
        let short = digest
            .iter()
            .take(8)
            .fold(0, |short, byte| short << 8 | u64::from(*byte));
        IncidentId::of_event(&format!("hourly-{short:016x}"))
    }

    fn incident(
        &self,
        response: Response,
        target: Target,
        reason: &str,
        invoked_by: Option<&str>,
    ) -> Incident {
        let (call, watch) = (self.call, self.watch);
        let accomplices = response.accomplices.into_iter();
        Incident {
            runbook: response.runbook,
            reason: Text::cut(reason),
            severity: response.severity,
            event: Some(event_ref(call)),
            occurred_at: call.occurred_at,
            discovered_at: self.now,
            actor: call.actor.clone(),
            containment: watch.tiers.containment(&call.actor),
            accomplices: accomplices
                .take(Accomplice::MOST)
                .map(|actor| Accomplice {
                    containment: watch.tiers.containment(&actor),
                    actor,
                })
                .collect(),
            invoked_by: invoked_by.map(Text::cut),
            source_address: call.source_address.clone(),
            target,
            remedy: response.remedy.as_deref().map(Text::cut),
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

    /// How far from certain it is that the call was aimed at what is watched.
    fn distance(&self) -> u8 {
        match self {
            Self::Watched => 0,
            Self::Unsaid(..) => 1,
            Self::Other => 2,
            Self::Nothing => 3,
        }
    }

    fn may_be_watched(&self, message: &str) -> bool {
        match self {
            Self::Watched => true,
            Self::Other | Self::Nothing => false,
            Self::Unsaid(watched, kind) => message.contains(watched) || !message.contains(kind),
        }
    }
}

pub(crate) fn ignore(reason: String) -> Verdict {
    Verdict::Ignore { reason }
}

fn event_ref(call: &ApiCall) -> EventRef {
    EventRef {
        id: Text::cut(&call.id),
        name: Text::cut(&call.name),
    }
}
