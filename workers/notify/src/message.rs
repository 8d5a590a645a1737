//! What is said.

use incident::{
    Actor, Arn, Closing, Containment, Escalation, Incident, Severity, Source, Target, cut,
};
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Value, json};
use worker::{ErrorOutput, Failure};

use crate::{Input, Occasion};

/// The longest subject that SNS takes.
const LONGEST_SUBJECT: usize = 100;

/// One message, ready to be sent.
pub(crate) struct Message {
    occasion: Occasion,
    severity: Severity,
    dry_run: bool,
    headline: String,
    text: String,
    json: Value,
}

impl Message {
    /// Writes the message of `input`; `ours` are the networks that are never blocked.
    pub(crate) fn of(input: &Input, ours: &[IpNet]) -> Result<Self, Failure> {
        let (severity, headline, lines) = match input.occasion {
            Occasion::Opened => opened(needs(input.incident.as_ref(), "incident")?, ours),
            Occasion::Closed => closed(
                needs(input.incident.as_ref(), "incident")?,
                needs(input.closing.as_ref(), "closing")?,
                ours,
            ),
            Occasion::Escalated => escalated(needs(input.escalation.as_ref(), "escalation")?, ours),
            Occasion::Refused => {
                let runbook = needs(input.runbook.as_ref(), "runbook")?;
                let failure = needs(input.failure.as_ref(), "failure")?;
                (
                    Severity::High,
                    format!("{runbook} refused to run"),
                    vec![
                        row("Why", &failure.explain()),
                        if failure.error == "InvalidInput" {
                            "Nothing was changed. Correct the input and start a new execution."
                        } else {
                            "Look at the execution for how far it came, then start a new one: always \
                             safe. If this happens again, do it by hand."
                        }
                        .to_owned(),
                    ],
                )
            }
            Occasion::Unanswered => {
                let event = needs(input.event.as_ref(), "event")?;
                let failure = needs(input.failure.as_ref(), "failure")?;
                (
                    Severity::Critical,
                    format!("{} was not answered", event.name),
                    vec![
                        row("Event", &format!("{}, id {}", event.name, event.id)),
                        row("Why", &failure.explain()),
                        "Nothing was changed. Look at the event (aws cloudtrail lookup-events) and \
                         answer it by hand, or start its runbook with an actor and a reason."
                            .to_owned(),
                    ],
                )
            }
            Occasion::Recorded => recorded(needs(input.summary.as_ref(), "summary")?),
            Occasion::Lasting => lasting(needs(input.summary.as_ref(), "summary")?),
            Occasion::Unchecked => unchecked(needs(input.failure.as_ref(), "failure")?),
            Occasion::Noticed => noticed(needs(input.summary.as_ref(), "summary")?),
        };
        let dry_run = input
            .incident
            .as_ref()
            .is_some_and(|incident| incident.dry_run);
        let mark = if dry_run { "DRY RUN " } else { "" };
        let headline = format!("[{mark}{}] {headline}", severity.to_string().to_uppercase());
        let text = format!(
            "{headline}\n\n{}\n\n{}\n{}\n",
            lines.join("\n"),
            row("Incident", input.incident_id.as_str()),
            row("Execution", &link(&input.execution_arn)),
        );
        let json = json!({
            "occasion": input.occasion,
            "severity": severity,
            "dryRun": dry_run,
            "incidentId": input.incident_id,
            "executionArn": input.execution_arn,
            "incident": input.incident,
            "closing": input.closing,
            "escalation": input.escalation,
            "event": input.event,
            "runbook": input.runbook,
            "summary": input.summary,
            "failure": input.failure,
        });
        Ok(Self {
            occasion: input.occasion,
            severity,
            dry_run,
            headline,
            text,
            json,
        })
    }

    /// One line that SNS takes as a subject: ASCII, at most 100 characters.
    pub(crate) fn subject(&self) -> String {
        let ascii = self
            .headline
            .replace(|c: char| !(' '..='~').contains(&c), "?");
        if ascii.len() <= LONGEST_SUBJECT {
            return ascii;
        }
        format!("{}...", &ascii[..LONGEST_SUBJECT - 3])
    }

    /// The message by protocol, for SNS's `MessageStructure: json`.
    pub(crate) fn by_protocol(&self) -> String {
        json!({
            "default": self.json.to_string(),
            "email": self.text,
            "sms": self.subject(),
        })
        .to_string()
    }

    /// What subscribers may filter on.
    pub(crate) fn attributes(&self) -> [(&'static str, String); 3] {
        [
            ("severity", self.severity.to_string()),
            (
                "occasion",
                json!(self.occasion).as_str().unwrap_or_default().to_owned(),
            ),
            ("dryRun", self.dry_run.to_string()),
        ]
    }
}

fn needs<T>(field: Option<T>, name: &str) -> Result<T, Failure> {
    field.ok_or_else(|| Failure::InvalidInput(format!("`{name}`: this occasion needs it")))
}

fn opened(incident: &Incident, ours: &[IpNet]) -> (Severity, String, Vec<String>) {
    let mut lines = facts(incident, ours);
    lines.push(String::new());
    lines.push(if incident.dry_run {
        format!(
            "The runbook {} says what it would do; it changes nothing.",
            incident.runbook
        )
    } else {
        format!(
            "The runbook {} is at work. You are told again when it ends.",
            incident.runbook
        )
    });
    (incident.severity, incident.reason.to_string(), lines)
}

fn closed(
    incident: &Incident,
    closing: &Closing,
    ours: &[IpNet],
) -> (Severity, String, Vec<String>) {
    let outcome = match (incident.dry_run, closing.contained) {
        (false, true) => "contained",
        (false, false) => "ACTION NEEDED",
        (true, true) => "would be contained",
        (true, false) => "would not be contained wholly",
    };
    let mut lines = vec![closing.summary.clone(), String::new()];
    if !closing.open.is_empty() {
        lines.push("Left for you:".to_owned());
        lines.extend(closing.open.iter().map(|open| format!("- {open}")));
        lines.push(String::new());
    }
    lines.push("Done:".to_owned());
    lines.extend(closing.done.iter().map(|done| format!("- {done}")));
    lines.push(String::new());
    lines.extend(facts(incident, ours));
    (
        incident.severity,
        format!("{outcome}: {}", incident.reason),
        lines,
    )
}

fn escalated(escalation: &Escalation, ours: &[IpNet]) -> (Severity, String, Vec<String>) {
    let Escalation {
        event,
        reason,
        severity,
        occurred_at,
        actor,
        containment,
        source_address,
    } = escalation;
    let mut lines = vec![
        row("Event", &format!("{}, id {}", event.name, event.id)),
        row("When", &occurred_at.to_string()),
        who(actor, source_address.as_ref(), ours),
        "Nothing was changed. This is sent once an hour for one actor and one kind of event."
            .to_owned(),
    ];
    if let Containment::None { by_hand, .. } = containment {
        lines.push(row("By hand", by_hand.as_str()));
    } else {
        lines.push(
            "To contain the actor, start the runbook with the actor's ARN and a reason.".to_owned(),
        );
    }
    (*severity, reason.to_string(), lines)
}

fn recorded(summary: &str) -> (Severity, String, Vec<String>) {
    (
        Severity::Medium,
        "a trail baseline was recorded".to_owned(),
        vec![
            summary.to_owned(),
            "From now on this is what a trail is restored to. If nobody on your team did this, \
             treat it as an attack."
                .to_owned(),
        ],
    )
}

fn lasting(summary: &str) -> (Severity, String, Vec<String>) {
    (
        Severity::Critical,
        "the trail is still not as recorded".to_owned(),
        vec![
            row("Found", summary),
            "The execution says what the runbook did about it and what it left to you. This is \
             sent once an hour until everything is as recorded. If somebody on your team did this \
             on purpose, record it with the record-baseline runbook."
                .to_owned(),
        ],
    )
}

fn unchecked(failure: &ErrorOutput) -> (Severity, String, Vec<String>) {
    (
        Severity::Critical,
        "the trail was not checked, or what was found was not answered".to_owned(),
        vec![
            row("Why", &failure.explain()),
            "Until this ends, an attack that causes no event goes unseen. Look at the trail yourself \
             (aws cloudtrail get-trail-status) and, if something is wrong, start the \
             cloudtrail-disabled runbook with the trail as target and a reason. It is checked again \
             every five minutes; this is sent once an hour while that fails in this way."
                .to_owned(),
        ],
    )
}

fn noticed(summary: &str) -> (Severity, String, Vec<String>) {
    (
        Severity::Medium,
        "what is recorded of the trail needs a look".to_owned(),
        vec![summary.to_owned()],
    )
}

fn facts(incident: &Incident, ours: &[IpNet]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(event) = &incident.event {
        lines.push(row("Event", &format!("{}, id {}", event.name, event.id)));
    }
    lines.push(row(
        "When",
        &when(incident.occurred_at, incident.discovered_at),
    ));
    lines.push(who(&incident.actor, incident.source_address.as_ref(), ours));
    if let Some(service) = &incident.invoked_by {
        lines.push(row(
            "Through",
            &format!("{service}; somebody else may have asked it to"),
        ));
    }
    lines.push(row("Target", &incident.target.to_string()));
    if let Target::SignIns {
        user_pool,
        subject: Some(subject),
        compromised: false,
        ..
    } = &incident.target
    {
        lines.push(row(
            "Offer",
            &format!(
                "the account stays as it is. If its owner wants a new password: aws cognito-idp \
                 admin-reset-user-password --user-pool-id {user_pool} --username {subject}"
            ),
        ));
    }
    match &incident.containment {
        Containment::Principal { reason } => {
            lines.push(row("Contain", &format!("the whole principal: {reason}")));
        }
        Containment::Session { reason } => lines.push(row("Contain", reason.as_str())),
        Containment::None { .. } if incident.runbook.answers_strangers() => lines.push(row(
            "Contain",
            "by address at the firewall; nobody in this account is behind it",
        )),
        Containment::None { reason, by_hand } => {
            lines.push(row("Contain", &format!("NOT CONTAINED: {reason}")));
            lines.push(row("By hand", by_hand.as_str()));
        }
    }
    lines
}

fn who(actor: &Actor, source: Option<&Source>, ours: &[IpNet]) -> String {
    let from = match source {
        Some(Source::Address(address)) if ours.iter().any(|net| net.contains(address)) => {
            format!(", from {address}, which is YOUR OWN network (NeverBlockCidrs)")
        }
        Some(source) => format!(", from {source}"),
        None => String::new(),
    };
    row("Who", &format!("{actor}{from}"))
}

fn when(occurred: Timestamp, discovered: Timestamp) -> String {
    let seconds = (discovered - occurred).as_secs();
    format!("{occurred}, discovered {seconds} s later")
}

fn row(name: &str, value: &str) -> String {
    format!("{:<10} {}", format!("{name}:"), cut(value, 4_000))
}

/// The execution in the console. Express executions have no page of their own: their ARN.
fn link(execution: &Arn) -> String {
    let console = match execution.partition() {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    let region = execution.region();
    if execution.resource().starts_with("execution:") {
        format!(
            "https://{region}.{console}/states/home?region={region}#/v2/executions/details/{execution}"
        )
    } else {
        execution.to_string()
    }
}
