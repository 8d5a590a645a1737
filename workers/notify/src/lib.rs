//! `notify`: tells people.
//!
//! One SNS message: a readable text for e-mail, the same facts as JSON for machines, and the
//! attributes `severity`, `occasion` and `dryRun` to filter on. It holds what an incident holds,
//! which is no raw event, no key and no body. Dry runs are told too, marked as such: saying what
//! would be done is what they are for.
//!
//! An escalation is sent once an hour for one actor, one kind of event, one severity and one reason;
//! what is told of a changed site once an hour for one actor and one outcome, since an attacker may
//! change thousands of files; and once an hour that a deviation lasts, that a check fails in one
//! way, and what a check noticed. When the ledger cannot say whether it was sent already, it is sent.
//! Apart from that a second run sends a second message, and so does the retry of a run that noted
//! the message but did not come to send it: rather twice than never. There is nothing to undo.
//!
//! AWS calls: `sns:Publish`, `dynamodb:PutItem`.

mod message;

use aws_config::SdkConfig;
use aws_sdk_sns::types::MessageAttributeValue;
use incident::{Arn, Closing, Escalation, EventRef, Incident, IncidentId, Runbook, Settings};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use ledger::{Done, Ledger};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use worker::{ErrorOutput, Failure, Worker};

use message::Message;

/// The payload. Beside the first three fields it has those that the occasion needs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The execution's name; for `lasting` that of the runbook that was started.
    pub incident_id: IncidentId,
    /// The execution.
    pub execution_arn: Arn,
    /// What there is to tell.
    pub occasion: Occasion,
    /// For `opened` and `closed`.
    #[serde(default)]
    pub incident: Option<Incident>,
    /// For `closed`.
    #[serde(default)]
    pub closing: Option<Closing>,
    /// For `escalated`.
    #[serde(default)]
    pub escalation: Option<Escalation>,
    /// For `unanswered`: the event.
    #[serde(default)]
    pub event: Option<EventRef>,
    /// For `refused`: the state machine that refused its input.
    #[serde(default)]
    pub runbook: Option<String>,
    /// For `recorded`: what was. For `lasting`: what deviates. For `noticed`: what was.
    #[serde(default)]
    pub summary: Option<String>,
    /// For `refused`, `unanswered` and `unchecked`: why.
    #[serde(default)]
    pub failure: Option<ErrorOutput>,
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// An incident was opened and is being answered.
    Opened,
    /// A run ended.
    Closed,
    /// An event starts no runbook, but a human should look.
    Escalated,
    /// A state machine refused its input.
    Refused,
    /// Triage could not answer an event.
    Unanswered,
    /// A baseline was recorded.
    Recorded,
    /// Something is still not as it was recorded, an hour after its runbook was started.
    Lasting,
    /// A check failed, or what it found could not be answered.
    Unchecked,
    /// Nothing deviates, but a check noticed something about what is recorded.
    Noticed,
}

/// The worker.
#[derive(Debug)]
pub struct Notify {
    sns: aws_sdk_sns::Client,
    topic: Arn,
    ledger: Ledger,
    never_block: Vec<IpNet>,
    now: fn() -> Timestamp,
}

impl Notify {
    /// Builds the worker from `TOPIC_ARN`, `LEDGER_TABLE` and `NEVER_BLOCK_CIDRS`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            sns: aws_sdk_sns::Client::new(&worker::CONTROL.on(config)),
            topic: settings.required("TOPIC_ARN")?,
            ledger: Ledger::from_settings(config, &settings)?,
            never_block: settings.list("NEVER_BLOCK_CIDRS")?,
            now: Timestamp::now,
        })
    }

    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let mut publish = self
            .sns
            .publish()
            .topic_arn(self.topic.as_str())
            .subject(message.subject())
            .message_structure("json")
            .message(message.by_protocol());
        for (name, value) in message.attributes() {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .map_err(|error| Failure::Rejected(format!("sns:Publish: {error}")))?;
            publish = publish.message_attributes(name, value);
        }
        publish
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("sns:Publish", &error))
    }

    /// The note that this was told, of what is told once an hour.
    fn note(&self, input: &Input) -> Option<Note> {
        if let Some(escalation) = &input.escalation {
            let Escalation {
                severity,
                event,
                actor,
                ..
            } = escalation;
            let reason = digest([escalation.reason.as_str()]);
            return Some(Note {
                message: format!("{severity}/{}/{actor}/{reason}", event.name),
                run: input.incident_id.clone(),
            });
        }
        if let Some(incident) = &input.incident
            && incident.runbook == Runbook::SiteVandalism
        {
            // Every file that an attacker changes is an incident, and all of them one message.
            let outcome = input.closing.as_ref().map_or_else(String::new, |closing| {
                digest(closing.open.iter().map(String::as_str))
            });
            let (occasion, runbook, actor) = (input.occasion, incident.runbook, &incident.actor);
            return Some(Note {
                message: format!("{occasion:?}/{runbook}/{actor}/{outcome}"),
                run: input.incident_id.clone(),
            });
        }
        // Every check tells of it anew: the id of the run tells one check from the next, but where it
        // is that of the runbook.
        let (message, run) = match input.occasion {
            Occasion::Lasting => (
                format!("lasting/{}", input.incident_id),
                IncidentId::of_event(&(self.now)().to_string()),
            ),
            Occasion::Unchecked => (format!("unchecked/{}", input.failure.as_ref()?.error), None),
            Occasion::Noticed => {
                let summary = digest([input.summary.as_deref()?]);
                (format!("noticed/{summary}"), None)
            }
            _ => return None,
        };
        Some(Note {
            message,
            run: run.unwrap_or_else(|| input.incident_id.clone()),
        })
    }

    /// Whether this was told within the last hour; an unreachable ledger does not say so.
    async fn is_repetition(&self, note: &Note) -> bool {
        let Note { message, run } = note;
        let first = self.ledger.first_this_hour(message, run, (self.now)());
        matches!(first.await, Ok(false))
    }

    /// Lets a retry tell what was noted and not sent: it counts as told an hour ago.
    async fn take_back(&self, note: &Note) {
        let Note { message, run } = note;
        let hour_ago = (self.now)() - SignedDuration::from_hours(1);
        if let Err(failure) = self.ledger.first_this_hour(message, run, hour_ago).await {
            let why = failure.name();
            tracing::warn!(
                why,
                "the ledger keeps the note of what was not sent for an hour"
            );
        }
    }
}

/// What tells texts apart that are too long for a key.
fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text);
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let short = digest
        .iter()
        .take(8)
        .fold(0, |short, byte| short << 8 | u64::from(*byte));
    format!("{short:016x}")
}

/// That something was told, and by which run.
struct Note {
    message: String,
    run: IncidentId,
}

impl Worker for Notify {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        let message = Message::of(&input, &self.never_block)?;
        let note = self.note(&input);
        if let Some(note) = &note
            && self.is_repetition(note).await
        {
            return Ok(Done {
                changed: false,
                summary: "people were told of this within the last hour".to_owned(),
                undo: Vec::new(),
                left: Vec::new(),
            });
        }
        if let Err(failure) = self.publish(&message).await {
            if let Some(note) = &note {
                self.take_back(note).await;
            }
            return Err(failure);
        }
        Ok(Done {
            changed: true,
            summary: format!("told people: {}", message.subject()),
            undo: Vec::new(),
            left: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        error::ErrorMetadata,
        operation::put_item::{PutItemError, PutItemOutput},
        types::error::{ConditionalCheckFailedException, ResourceNotFoundException},
    };
    use aws_sdk_sns::operation::publish::{PublishError, PublishOutput};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use serde_json::{Value, json};
    use worker::{answer, parse};

    use super::*;

    fn worker(sns: &Rule, ledger: &[&Rule]) -> Notify {
        Notify {
            sns: mock_client!(aws_sdk_sns, RuleMode::MatchAny, &[sns]),
            topic: "arn:aws:sns:eu-west-1:123456789012:incidents"
                .parse()
                .unwrap(),
            ledger: Ledger::new(
                mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, ledger),
                "ledger",
            ),
            never_block: vec!["198.51.100.0/24".parse().unwrap()],
            now: || "2026-11-25T03:13:10Z".parse().unwrap(),
        }
    }

    fn sends() -> Rule {
        mock!(aws_sdk_sns::Client::publish)
            .match_requests(|request| request.message_structure() == Some("json"))
            .then_output(|| PublishOutput::builder().build())
    }

    /// The ledger of somebody who told it already.
    fn told() -> Rule {
        mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
            PutItemError::ConditionalCheckFailedException(
                ConditionalCheckFailedException::builder()
                    .meta(
                        ErrorMetadata::builder()
                            .code("ConditionalCheckFailedException")
                            .build(),
                    )
                    .build(),
            )
        })
    }

    fn incident() -> Value {
        serde_json::from_str(include_str!(
            "../../../state-machines/cloudtrail-disabled.input.json"
        ))
        .unwrap()
    }

    fn payload(occasion: &str, field: &str, value: &Value) -> Value {
        json!({
            "incidentId": "i-1",
            "executionArn": "arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1",
            "occasion": occasion,
            field: value,
        })
    }

    fn closed(closing: &Value) -> Value {
        let mut payload = payload("closed", "incident", &incident());
        payload["closing"] = closing.clone();
        payload
    }

    fn escalated() -> Value {
        payload(
            "escalated",
            "escalation",
            &json!({
                "event": {"id": "e-1", "name": "StopLogging"},
                "reason": "StopLogging of the watched trail was attempted and denied",
                "severity": "high",
                "occurredAt": "2026-11-25T03:12:40Z",
                "actor": {"kind": "iam-user", "arn": "arn:aws:iam::123456789012:user/eve"},
                "containment": {"kind": "principal", "reason": "an ordinary principal"},
                "sourceAddress": "198.51.100.9",
            }),
        )
    }

    /// The message as an e-mail reader sees it.
    fn text(payload: &Value) -> String {
        let ours = ["198.51.100.0/24".parse().unwrap()];
        let message = Message::of(&parse(payload).unwrap(), &ours).unwrap();
        let by_protocol: Value = serde_json::from_str(&message.by_protocol()).unwrap();
        by_protocol["email"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_opened_incident_reads_well() {
        insta::assert_snapshot!(text(&payload("opened", "incident", &incident())), @"
        [CRITICAL] the watched trail was stopped by IAM user eve

        Event:     StopLogging, id 9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77
        When:      2026-11-25T03:12:40Z, discovered 6 s later
        Who:       IAM user eve, from 203.0.113.7
        Target:    trail arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic
        Contain:   the whole principal: an ordinary principal of this account

        The runbook cloudtrail-disabled is at work. You are told again when it ends.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
    }

    #[test]
    fn an_actor_who_is_not_contained_comes_with_the_call_at_once() {
        let mut incident = incident();
        incident["actor"] = json!({"kind": "root", "account": "123456789012"});
        incident["containment"] = json!({"kind": "none", "reason": "IAM cannot deny root", "byHand": "sign in as the owner"});
        incident["dryRun"] = json!(true);
        insta::assert_snapshot!(text(&payload("opened", "incident", &incident)), @"
        [DRY RUN CRITICAL] the watched trail was stopped by IAM user eve

        Event:     StopLogging, id 9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77
        When:      2026-11-25T03:12:40Z, discovered 6 s later
        Who:       root of account 123456789012, from 203.0.113.7
        Target:    trail arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic
        Contain:   NOT CONTAINED: IAM cannot deny root
        By hand:   sign in as the owner

        The runbook cloudtrail-disabled says what it would do; it changes nothing.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
    }

    #[test]
    fn of_an_account_that_was_only_attacked_a_reset_is_offered() {
        let incident = include_str!("../../../state-machines/credential-attack.input.json");
        let mut incident: Value = serde_json::from_str(incident).unwrap();
        assert!(!text(&payload("opened", "incident", &incident)).contains("Offer:"));
        incident["target"]["compromised"] = json!(false);
        insta::assert_snapshot!(text(&payload("opened", "incident", &incident)), @"
        [CRITICAL] somebody signed in to an account of the CRM after 9 wrong passwords from 3 networks

        Event:     InitiateAuth, id 9a7d1c52-4b0e-4f7e-8a35-0c2f6a1b7d44
        When:      2026-11-25T03:12:40Z, discovered 6 s later
        Who:       nobody known (a stranger at the sign-in, who has no identity in this account), from 203.0.113.7
        Target:    user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 of user pool eu-west-1_ClinicPool
        Offer:     the account stays as it is. If its owner wants a new password: aws cognito-idp admin-reset-user-password --user-pool-id eu-west-1_ClinicPool --username 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22
        Contain:   by address at the firewall; nobody in this account is behind it

        The runbook credential-attack is at work. You are told again when it ends.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
    }

    #[test]
    fn an_outcome_says_first_what_is_left() {
        let closing = json!({
            "contained": false,
            "summary": "Left for a human: Deny all failed: AccessDenied: no",
            "done": ["Restore CloudTrail: the trail logs again"],
            "open": ["Deny all failed: AccessDenied: no"],
        });
        insta::assert_snapshot!(text(&closed(&closing)), @"
        [CRITICAL] ACTION NEEDED: the watched trail was stopped by IAM user eve

        Left for a human: Deny all failed: AccessDenied: no

        Left for you:
        - Deny all failed: AccessDenied: no

        Done:
        - Restore CloudTrail: the trail logs again

        Event:     StopLogging, id 9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77
        When:      2026-11-25T03:12:40Z, discovered 6 s later
        Who:       IAM user eve, from 203.0.113.7
        Target:    trail arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic
        Contain:   the whole principal: an ordinary principal of this account

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
    }

    #[test]
    fn an_escalation_says_that_nothing_was_changed() {
        insta::assert_snapshot!(text(&escalated()), @"
        [HIGH] StopLogging of the watched trail was attempted and denied

        Event:     StopLogging, id e-1
        When:      2026-11-25T03:12:40Z
        Who:       IAM user eve, from 198.51.100.9, which is YOUR OWN network (NeverBlockCidrs)
        Nothing was changed. This is sent once an hour for one actor and one kind of event.
        To contain the actor, start the runbook with the actor's ARN and a reason.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
    }

    #[test]
    fn a_refusal_and_an_unanswered_event_say_what_to_do() {
        let failure =
            json!({"Error": "InvalidInput", "Cause": "`incident.actor`: expected an ARN"});
        let mut refused = payload("refused", "failure", &failure);
        refused["runbook"] = json!("cloudtrail-disabled");
        let mut unanswered = payload("unanswered", "failure", &failure);
        unanswered["event"] = json!({"id": "e-1", "name": "StopLogging"});
        unanswered["executionArn"] =
            json!("arn:aws:states:eu-west-1:123456789012:express:triage:e-1:x");
        insta::assert_snapshot!(format!("{}\n{}", text(&refused), text(&unanswered)), @"
        [HIGH] cloudtrail-disabled refused to run

        Why:       InvalidInput: `incident.actor`: expected an ARN
        Nothing was changed. Correct the input and start a new execution.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1

        [CRITICAL] StopLogging was not answered

        Event:     StopLogging, id e-1
        Why:       InvalidInput: `incident.actor`: expected an ARN
        Nothing was changed. Look at the event (aws cloudtrail lookup-events) and answer it by hand, or start its runbook with an actor and a reason.

        Incident:  i-1
        Execution: arn:aws:states:eu-west-1:123456789012:express:triage:e-1:x
        ");
    }

    #[test]
    fn a_recorded_baseline_is_news() {
        insta::assert_snapshot!(
            text(&payload("recorded", "summary", &json!("The baseline of trail clinic is new."))),
            @"
        [MEDIUM] a trail baseline was recorded

        The baseline of trail clinic is new.
        From now on this is what a trail is restored to. If nobody on your team did this, treat it as an attack.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        "
        );
    }

    #[test]
    fn a_reminder_says_what_deviates_and_where_to_look() {
        let summary = json!("not as it should be: the trail's key is disabled");
        let message = Message::of(
            &parse(&payload("lasting", "summary", &summary)).unwrap(),
            &[],
        )
        .unwrap();
        let sent: Value = serde_json::from_str(&message.by_protocol()).unwrap();
        insta::assert_snapshot!(sent["email"].as_str().unwrap(), @"
        [CRITICAL] the trail is still not as recorded

        Found:     not as it should be: the trail's key is disabled
        The execution says what the runbook did about it and what it left to you. This is sent once an hour until everything is as recorded. If somebody on your team did this on purpose, record it with the record-baseline runbook.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
        assert_eq!(sent["sms"], "[CRITICAL] the trail is still not as recorded");
        let machine: Value = serde_json::from_str(sent["default"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&machine["occasion"], &machine["summary"]),
            (&json!("lasting"), &summary)
        );
        assert_eq!(
            message.attributes().map(|(_, value)| value),
            ["critical", "lasting", "false"]
        );
    }

    fn unchecked(error: &str) -> Value {
        let failure = json!({"Error": error, "Cause": "nothing could be read"});
        payload("unchecked", "failure", &failure)
    }

    #[test]
    fn a_check_that_fails_says_what_goes_unseen() {
        insta::assert_snapshot!(text(&unchecked("AccessDenied")), @"
        [CRITICAL] the trail was not checked, or what was found was not answered

        Why:       AccessDenied: nothing could be read
        Until this ends, an attack that causes no event goes unseen. Look at the trail yourself (aws cloudtrail get-trail-status) and, if something is wrong, start the cloudtrail-disabled runbook with the trail as target and a reason. It is checked again every five minutes; this is sent once an hour while that fails in this way.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
    }

    #[test]
    fn what_a_check_noticed_is_told_as_it_is() {
        let notice = json!("The intended change is done: s3BucketName of the trail.");
        insta::assert_snapshot!(text(&payload("noticed", "summary", &notice)), @"
        [MEDIUM] what is recorded of the trail needs a look

        The intended change is done: s3BucketName of the trail.

        Incident:  i-1
        Execution: https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1
        ");
    }

    #[tokio::test]
    async fn what_checks_tell_is_sent_once_an_hour() {
        let noticed = |text: &str| payload("noticed", "summary", &json!(text));
        let keys = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = keys.clone();
        let new = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(move |request| {
                let item = request.item().unwrap();
                let key = item["pk"].as_s().unwrap().clone();
                seen.lock().unwrap().push(key);
                // A retry of the same check may send what it did not come to send.
                item["toldBy"].as_s().unwrap() == "i-1"
            })
            .then_output(|| PutItemOutput::builder().build());
        let sns = sends();
        for told in [
            unchecked("AccessDenied"),
            unchecked("Transient"),
            noticed("one"),
            noticed("another"),
        ] {
            answer(&worker(&sns, &[&new]), &told).await.unwrap();
        }
        assert_eq!(sns.num_calls(), 4);
        let keys = keys.lock().unwrap().clone();
        assert_eq!(
            &keys[..2],
            ["told#unchecked/AccessDenied", "told#unchecked/Transient"]
        );
        assert!(keys[2..].iter().all(|key| key.starts_with("told#noticed/")));
        assert_ne!(keys[2], keys[3]);

        let sns = sends();
        for told_already in [unchecked("AccessDenied"), noticed("one")] {
            let done = answer(&worker(&sns, &[&told()]), &told_already).await;
            assert_eq!(done.unwrap()["changed"], false);
        }
        assert_eq!(sns.num_calls(), 0);
    }

    #[test]
    fn a_subject_is_one_line_of_ascii_and_short() {
        let mut incident = incident();
        incident["reason"] = json!("é".repeat(300));
        let input: Input = parse(&payload("opened", "incident", &incident)).unwrap();
        let subject = Message::of(&input, &[]).unwrap().subject();
        assert_eq!(subject.len(), 100);
        assert!(subject.is_ascii() && subject.ends_with("..."));
    }

    #[tokio::test]
    async fn a_message_carries_text_json_and_attributes() {
        let sns = mock!(aws_sdk_sns::Client::publish)
            .match_requests(|request| {
                let message: Value = serde_json::from_str(request.message().unwrap()).unwrap();
                let machine: Value =
                    serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
                let attributes = request.message_attributes().unwrap();
                machine["incident"]["actor"]["kind"] == "iam-user"
                    && attributes["severity"].string_value() == Some("critical")
                    && attributes["occasion"].string_value() == Some("opened")
                    && attributes["dryRun"].string_value() == Some("false")
            })
            .then_output(|| PublishOutput::builder().build());
        let payload = payload("opened", "incident", &incident());
        let done = answer(&worker(&sns, &[]), &payload).await.unwrap();
        assert_eq!(done["changed"], true);
        assert_eq!(sns.num_calls(), 1);
    }

    #[tokio::test]
    async fn an_escalation_is_sent_once_an_hour() {
        let sns = sends();
        let done = answer(&worker(&sns, &[&told()]), &escalated())
            .await
            .unwrap();
        assert_eq!(done["changed"], false);
        assert_eq!(sns.num_calls(), 0);

        let new = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(|request| {
                let pk = request.item().unwrap()["pk"].as_s().unwrap();
                pk.starts_with("told#high/StopLogging/IAM user eve/")
            })
            .then_output(|| PutItemOutput::builder().build());
        answer(&worker(&sns, &[&new]), &escalated()).await.unwrap();
        assert_eq!(sns.num_calls(), 1);
    }

    #[tokio::test]
    async fn a_reminder_is_sent_once_an_hour_for_one_incident() {
        let lasting = payload("lasting", "summary", &json!("the trail's key is disabled"));
        // Two checks remind of one incident; neither may pass for a retry of the other.
        let new = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(|request| {
                let item = request.item().unwrap();
                item["pk"].as_s().unwrap() == "told#lasting/i-1"
                    && item["toldBy"].as_s().unwrap() == "2026-11-25T03_13_10Z"
            })
            .then_output(|| PutItemOutput::builder().build());
        let sns = sends();
        let done = answer(&worker(&sns, &[&new]), &lasting).await.unwrap();
        assert_eq!((done["changed"].clone(), sns.num_calls()), (json!(true), 1));

        let sns = sends();
        let done = answer(&worker(&sns, &[&told()]), &lasting).await.unwrap();
        assert_eq!(
            (done["changed"].clone(), sns.num_calls()),
            (json!(false), 0)
        );
    }

    #[tokio::test]
    async fn a_reminder_that_was_noted_but_not_sent_is_sent_by_the_retry() {
        let expiries = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = expiries.clone();
        let notes = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(move |request| {
                let item = request.item().unwrap();
                seen.lock()
                    .unwrap()
                    .push(item["expiresAt"].as_n().unwrap().clone());
                true
            })
            .then_output(|| PutItemOutput::builder().build());
        let sns = mock!(aws_sdk_sns::Client::publish).then_error(|| {
            PublishError::generic(ErrorMetadata::builder().code("Throttled").build())
        });
        let lasting = payload("lasting", "summary", &json!("the trail's key is disabled"));
        let failure = answer(&worker(&sns, &[&notes]), &lasting)
            .await
            .unwrap_err();
        assert_eq!(failure.name(), "Transient");
        let now = "2026-11-25T03:13:10Z"
            .parse::<Timestamp>()
            .unwrap()
            .as_second();
        assert_eq!(
            *expiries.lock().unwrap(),
            [(now + 3_600).to_string(), now.to_string()],
            "noted for an hour, then as of an hour ago"
        );
    }

    #[tokio::test]
    async fn an_unreachable_ledger_keeps_nobody_in_the_dark() {
        let sns = sends();
        let gone = mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
            PutItemError::ResourceNotFoundException(ResourceNotFoundException::builder().build())
        });
        answer(&worker(&sns, &[&gone]), &escalated()).await.unwrap();
        assert_eq!(sns.num_calls(), 1);
    }

    #[tokio::test]
    async fn a_payload_without_what_its_occasion_needs_is_refused() {
        let failure = answer(
            &worker(&sends(), &[]),
            &payload("closed", "incident", &incident()),
        )
        .await
        .unwrap_err();
        assert_eq!(failure.name(), "InvalidInput");
        assert_eq!(failure.to_string(), "`closing`: this occasion needs it");
    }

    #[tokio::test]
    async fn an_escalation_that_was_noted_but_not_sent_is_sent_by_the_retry() {
        // The ledger lets the same run note it again; see `Ledger::first_this_hour`.
        let noted = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                request
                    .condition_expression()
                    .unwrap()
                    .ends_with("OR toldBy = :run")
                    && values[":run"].as_s().unwrap() == "i-1"
            })
            .then_output(|| PutItemOutput::builder().build());
        let sns = mock!(aws_sdk_sns::Client::publish)
            .sequence()
            .error(|| PublishError::generic(ErrorMetadata::builder().code("Throttled").build()))
            .output(|| PublishOutput::builder().build())
            .build();
        let worker = worker(&sns, &[&noted]);
        let failure = answer(&worker, &escalated()).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        let done = answer(&worker, &escalated()).await.unwrap();
        assert_eq!(done["changed"], true);
    }

    /// The size contract: SNS takes 256 KiB.
    #[test]
    fn the_largest_message_fits() {
        let long = |chars: usize| "\"x".repeat(chars / 2);
        let arn = |start: &str| format!("{start}{}", "x".repeat(2_048 - start.len()));
        let mut incident = incident();
        incident["reason"] = json!(long(1_000));
        incident["event"] = json!({"id": long(80), "name": long(128)});
        incident["actor"] = json!({
            "kind": "role",
            "arn": arn("arn:aws:iam::123456789012:role/"),
            "session": {"name": long(64), "userId": long(128)},
        });
        incident["target"]["arn"] = json!(arn("arn:aws:cloudtrail:eu-west-1:123456789012:trail/"));
        incident["containment"] =
            json!({"kind": "none", "reason": long(600), "byHand": long(2_000)});
        incident["invokedBy"] = json!(long(128));
        incident["sourceAddress"] = json!(long(256));
        // As `close-incident` bounds them.
        let mut payload = payload("closed", "incident", &incident);
        payload["closing"] = json!({
            "contained": false,
            "summary": long(2_900),
            "done": vec![long(700); 13],
            "open": vec![long(2_800); 13],
        });
        let message = Message::of(&parse(&payload).unwrap(), &[]).unwrap();
        let bytes = message.by_protocol().len();
        assert!(bytes <= 256 * 1024, "{bytes} bytes");
    }

    #[tokio::test]
    async fn a_throttled_topic_is_tried_again() {
        let throttled = mock!(aws_sdk_sns::Client::publish).then_error(|| {
            PublishError::generic(ErrorMetadata::builder().code("Throttled").build())
        });
        let payload = payload("opened", "incident", &incident());
        let failure = answer(&worker(&throttled, &[]), &payload)
            .await
            .unwrap_err();
        assert_eq!(failure.name(), "Transient");
    }
}
