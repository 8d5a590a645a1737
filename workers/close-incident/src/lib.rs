//! `close-incident`: how did it end?
//!
//! Takes what every step of the run answered, in order, and decides: contained, or what is left
//! for a human. A step that failed in one round and succeeded in a later one has succeeded; an act
//! that the ledger has no record of stays open whatever came after, because its undo exists only
//! in the execution's history. Records the end in the ledger and ends the run's claim on the
//! actor; a dry run records nothing.
//!
//! An unreachable ledger is one more thing left open, not a failure: people are told the outcome
//! all the same. A second run decides the same. There is nothing to undo.
//!
//! AWS calls: `dynamodb:UpdateItem`.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use incident::{Actor, Arn, Closing, Containment, Incident, IncidentId, Settings, cut};
use jiff::Timestamp;
use ledger::{Claimant, Hold, Ledger};
use schemars::JsonSchema;
use serde::Deserialize;
use worker::{ErrorOutput, Failure, Worker};

/// How many lines, and how long, a notification can carry beside the largest incident.
const MOST_LINES: usize = 12;
const LONGEST_OPEN: usize = 2_800;
const LONGEST_DONE: usize = 700;

/// The payload.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The execution's name.
    pub incident_id: IncidentId,
    /// The execution.
    pub execution_arn: Arn,
    /// The incident.
    pub incident: Incident,
    /// What every step answered, in order, over all rounds.
    pub steps: Vec<Step>,
    /// How many rounds were verified.
    #[serde(default)]
    pub rounds: u32,
    /// What the last verification found; none where there is nobody to contain.
    #[serde(default)]
    pub verification: Option<Verification>,
}

impl Step {
    /// What it is called to people.
    fn name(&self, incident: &Incident) -> String {
        match &self.actor {
            Some(actor) if *actor != incident.actor => format!("{} ({actor})", self.step),
            _ => self.step.clone(),
        }
    }
}

impl Input {
    fn holds(&self) -> bool {
        self.verification.as_ref().is_none_or(|found| found.holds)
    }
}

/// One step of the run: its answer, or the error that was caught.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// The state's name.
    pub step: String,
    /// Whom it was about, where that may be another than the incident's actor.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// What the worker answered.
    #[serde(default)]
    pub result: Option<Answer>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<ErrorOutput>,
    /// Whether it failed because the actor does not exist.
    #[serde(default)]
    pub actor_is_gone: bool,
}

/// The part of a worker's answer that tells how an incident ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What was done, in one sentence.
    pub summary: String,
    /// Whether the ledger has what it should have.
    #[serde(default = "recorded")]
    pub recorded: bool,
    /// The holds that the ledger could not record.
    #[serde(default)]
    pub undo: Vec<Hold>,
    /// What the worker leaves for a human.
    #[serde(default)]
    pub left: Vec<String>,
}

fn recorded() -> bool {
    true
}

/// What `verify-containment` answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verification {
    /// Whether everything holds.
    pub holds: bool,
    /// What does not.
    pub missing: Vec<String>,
    /// In one sentence.
    pub summary: String,
    /// What could not be verified.
    #[serde(default)]
    pub left: Vec<String>,
}

/// The worker.
#[derive(Debug)]
pub struct CloseIncident {
    ledger: Ledger,
    now: fn() -> Timestamp,
}

impl CloseIncident {
    /// Builds the worker from `LEDGER_TABLE`.
    ///
    /// # Errors
    /// When the setting is missing.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        Ok(Self {
            ledger: Ledger::from_settings(config, &Settings::from_env())?,
            now: Timestamp::now,
        })
    }

    async fn record(
        &self,
        input: &Input,
        closing: &Closing,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let incident = &input.incident;
        if let (Some(actor), false) = (
            incident.actor.key(&incident.containment),
            incident.containment.is_none(),
        ) {
            let claimant = Claimant {
                actor: &actor,
                incident: &input.incident_id,
                execution: input.execution_arn.as_str(),
                occurred_at: incident.occurred_at,
                dry_run: false,
            };
            self.ledger
                .settle(claimant, input.holds().then_some(now))
                .await?;
        }
        self.ledger.close(&input.incident_id, closing, now).await
    }
}

impl Worker for CloseIncident {
    type Input = Input;
    type Output = Closing;

    async fn run(&self, input: Input) -> Result<Closing, Failure> {
        let now = (self.now)();
        let done = done(&input);
        let mut open = open(&input);
        let mut closing = conclude(&input, done.clone(), open.clone(), now);
        if !input.incident.dry_run
            && let Err(failure) = self.record(&input, &closing, now).await
        {
            open.push(format!(
                "the end of the incident is not in the ledger: {failure}"
            ));
            closing = conclude(&input, done, open, now);
        }
        Ok(closing)
    }
}

/// The last answer of each step for each actor, in the order in which the steps first ran.
fn last_of_each(steps: &[Step]) -> Vec<&Step> {
    let mut last: Vec<&Step> = Vec::new();
    for step in steps {
        let same = |earlier: &&mut &Step| earlier.step == step.step && earlier.actor == step.actor;
        match last.iter_mut().find(same) {
            Some(earlier) => *earlier = step,
            None => last.push(step),
        }
    }
    last
}

fn done(input: &Input) -> Vec<String> {
    let said = |step: &Step| {
        let name = step.name(&input.incident);
        Some(format!("{name}: {}", step.result.as_ref()?.summary))
    };
    let last = last_of_each(&input.steps).into_iter();
    let mut done: Vec<String> = last.filter_map(said).collect();
    if let Some(verification) = &input.verification {
        done.push(format!("Verify containment: {}", verification.summary));
    }
    bounded(done, LONGEST_DONE)
}

fn open(input: &Input) -> Vec<String> {
    let incident = &input.incident;
    let mut open = Vec::new();
    let mut last = None;
    if let Containment::None { reason, by_hand } = &incident.containment
        && !incident.runbook.answers_strangers()
    {
        let actor = &incident.actor;
        let uncontained = format!("{actor} was not contained: {reason}. By hand: {by_hand}");
        // Whom nobody knows can only be looked for: what can be mended comes first then.
        if let Actor::Unidentified { .. } = actor {
            last = Some(uncontained);
        } else {
            open.push(uncontained);
        }
    }
    if let Some(service) = &incident.invoked_by {
        open.push(format!(
            "{service} made the call; if it used a role of its own, somebody else asked it to: find \
             out who (aws cloudtrail lookup-events --lookup-attributes \
             AttributeKey=EventSource,AttributeValue={service})"
        ));
    }
    if let Some(remedy) = &incident.remedy {
        open.push(format!("no step repairs this: {remedy}"));
    }
    for step in last_of_each(&input.steps) {
        let Some(failure) = &step.failure else {
            continue;
        };
        let name = step.name(incident);
        open.push(if step.actor_is_gone {
            let actor = step.actor.as_ref().unwrap_or(&incident.actor);
            format!(
                "{name}: {actor} does not exist; find out whether it was deleted and what replaced it"
            )
        } else {
            format!("{name} failed: {}", failure.explain())
        });
    }
    for step in &input.steps {
        let Some(answer) = &step.result else { continue };
        if !answer.recorded {
            open.push(format!(
                "{} is not in the ledger: {}",
                step.name(incident),
                answer.summary
            ));
        }
        let undo = format!(
            "{} is not in the ledger: to undo it, run its worker with `undo` and with the `holds` \
             that its answers in this execution's history name `undo`",
            step.name(incident)
        );
        if !answer.undo.is_empty() && !open.contains(&undo) {
            open.push(undo);
        }
    }
    // What one step leaves, a later one may find again: a human reads it once.
    let mut told = BTreeSet::new();
    for step in last_of_each(&input.steps) {
        let left = step.result.iter().flat_map(|answer| &answer.left);
        let left = left.filter(|left| told.insert(left.as_str()));
        let name = step.name(incident);
        open.extend(left.map(|left| format!("{name}: {left}")));
    }
    if let Some(verification) = &input.verification {
        open.extend(unverified(verification, input.rounds));
    }
    open.extend(last);
    bounded(open, LONGEST_OPEN)
}

/// What the last verification leaves.
fn unverified(verification: &Verification, rounds: u32) -> Vec<String> {
    let mut open = Vec::new();
    if !verification.holds {
        let missing = &verification.missing;
        if missing.is_empty() {
            open.push(verification.summary.clone());
        }
        open.extend(
            missing
                .iter()
                .map(|missing| format!("after {rounds} rounds it does not hold: {missing}")),
        );
    }
    open.extend(verification.left.iter().cloned());
    open
}

/// No more and no longer lines than a notification can carry.
fn bounded(lines: Vec<String>, longest: usize) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST_LINES);
    let mut bounded: Vec<String> = lines
        .iter()
        .take(MOST_LINES)
        .map(|line| cut(line, longest))
        .collect();
    if more > 0 {
        bounded.push(format!("and {more} more, in the execution's history"));
    }
    bounded
}

fn conclude(input: &Input, done: Vec<String>, open: Vec<String>, now: Timestamp) -> Closing {
    let incident = &input.incident;
    let left = match open.split_first() {
        None => None,
        Some((first, [])) => Some(format!("Left for a human: {first}")),
        Some((first, rest)) => Some(format!(
            "Left for a human: {first} (and {} more)",
            rest.len()
        )),
    };
    let summary = match (incident.dry_run, left) {
        (false, None) if incident.runbook.answers_strangers() => format!(
            "Answered {} s after the event; the firewall takes seconds to minutes to apply a block: {}",
            (now - incident.occurred_at).as_secs().max(0),
            incident.reason
        ),
        (false, None) => format!(
            "Contained and verified {} s after the event, in {} round(s): {}",
            (now - incident.occurred_at).as_secs().max(0),
            input.rounds,
            incident.reason
        ),
        (false, Some(left)) => left,
        (true, None) => format!(
            "Dry run: nothing was changed, and nothing verified. This would have been answered: {}",
            incident.reason
        ),
        (true, Some(left)) => format!("Dry run: nothing was changed. {left}"),
    };
    Closing {
        contained: open.is_empty(),
        summary,
        done,
        open,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use serde_json::{Value, json};
    use worker::answer;

    use super::*;

    fn worker(rule: &Rule) -> CloseIncident {
        CloseIncident {
            ledger: Ledger::new(
                mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[rule]),
                "ledger",
            ),
            now: || "2026-11-25T03:13:10Z".parse().unwrap(),
        }
    }

    fn writable() -> Rule {
        mock!(aws_sdk_dynamodb::Client::update_item)
            .then_output(|| UpdateItemOutput::builder().build())
    }

    fn done(step: &str) -> Value {
        json!({"step": step, "result": {"changed": true, "summary": "did it", "undo": []}})
    }

    fn failed(step: &str) -> Value {
        json!({"step": step, "failure": {
            "Error": "AccessDenied",
            "Cause": r#"{"errorType":"AccessDenied","errorMessage":"iam:AttachUserPolicy: no"}"#,
        }})
    }

    fn payload(steps: &[Value]) -> Value {
        let incident: Value = serde_json::from_str(include_str!(
            "../../../state-machines/cloudtrail-disabled.input.json"
        ))
        .unwrap();
        json!({
            "incidentId": "i-1",
            "executionArn": "arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1",
            "incident": incident,
            "steps": steps,
            "rounds": 1,
            "verification": {"holds": true, "missing": [], "summary": "all holds"},
        })
    }

    async fn close(payload: &Value) -> Value {
        answer(&worker(&writable()), payload).await.unwrap()
    }

    #[tokio::test]
    async fn when_every_step_is_done_and_verified_it_is_contained() {
        let rule = writable();
        let payload = payload(&[done("Open incident"), done("Deny all")]);
        let closing = answer(&worker(&rule), &payload).await.unwrap();
        insta::assert_json_snapshot!(closing, @r#"
        {
          "contained": true,
          "summary": "Contained and verified 30 s after the event, in 1 round(s): the watched trail was stopped by IAM user eve",
          "done": [
            "Open incident: did it",
            "Deny all: did it",
            "Verify containment: all holds"
          ],
          "open": []
        }
        "#);
        // The claim is settled and the incident closed.
        assert_eq!(rule.num_calls(), 2);
    }

    #[tokio::test]
    async fn strangers_are_kept_out_by_address_and_nobody_is_left_to_contain() {
        let incident = include_str!("../../../state-machines/api-attack.input.json");
        let mut payload = payload(&[done("Block IP")]);
        payload["incident"] = serde_json::from_str(incident).unwrap();
        payload["verification"] = Value::Null;
        insta::assert_json_snapshot!(close(&payload).await, @r#"
        {
          "contained": true,
          "summary": "Answered 30 s after the event; the firewall takes seconds to minutes to apply a block: the firewall blocked more requests with SQL in them than the CRM's users ever send",
          "done": [
            "Block IP: did it"
          ],
          "open": []
        }
        "#);
    }

    #[tokio::test]
    async fn a_failed_step_is_left_for_a_human() {
        let closing = close(&payload(&[done("Restore CloudTrail"), failed("Deny all")])).await;
        assert_eq!(closing["contained"], false);
        assert_eq!(
            closing["open"],
            json!(["Deny all failed: AccessDenied: iam:AttachUserPolicy: no"])
        );
        assert_eq!(
            closing["done"],
            json!([
                "Restore CloudTrail: did it",
                "Verify containment: all holds"
            ])
        );
    }

    #[tokio::test]
    async fn what_was_done_to_one_hides_nothing_of_another() {
        let of = |mut step: Value, name: &str| {
            let arn = format!("arn:aws:iam::123456789012:user/{name}");
            step["actor"] = json!({"kind": "iam-user", "arn": arn});
            step
        };
        let mut gone = of(failed("Deny all"), "made");
        gone["actorIsGone"] = json!(true);
        let steps = [
            of(failed("Deny all"), "eve"),
            gone,
            of(done("Deny all"), "other"),
        ];
        let closing = close(&payload(&steps)).await;
        insta::assert_snapshot!(closing["open"].to_string(), @r#"["Deny all failed: AccessDenied: iam:AttachUserPolicy: no","Deny all (IAM user made): IAM user made does not exist; find out whether it was deleted and what replaced it"]"#);
        insta::assert_snapshot!(closing["done"].to_string(), @r#"["Deny all (IAM user other): did it","Verify containment: all holds"]"#);
    }

    #[tokio::test]
    async fn a_step_that_succeeds_in_a_later_round_has_succeeded() {
        let closing = close(&payload(&[failed("Deny all"), done("Deny all")])).await;
        assert_eq!(closing["contained"], true);
        let closing = close(&payload(&[done("Deny all"), failed("Deny all")])).await;
        assert_eq!(closing["contained"], false);
    }

    #[tokio::test]
    async fn what_the_ledger_has_no_record_of_stays_open() {
        let mut unrecorded = done("Deny all");
        unrecorded["result"]["undo"] = json!([
            {"resource": "arn", "mechanism": "access-key/AKIAEXAMPLE", "original": {}}
        ]);
        let mut opened = done("Open incident");
        opened["result"]["recorded"] = json!(false);
        let closing = close(&payload(&[opened, unrecorded, done("Deny all")])).await;
        assert_eq!(closing["contained"], false);
        assert_eq!(closing["open"].as_array().unwrap().len(), 2);
        assert!(!closing.to_string().contains("AKIA"), "{closing}");
    }

    #[tokio::test]
    async fn what_does_not_hold_is_named() {
        let mut payload = payload(&[done("Deny all")]);
        payload["rounds"] = json!(3);
        payload["verification"] = json!({
            "holds": false,
            "missing": ["the deny-all policy is not attached to IAM user eve"],
            "summary": "1 thing does not hold",
        });
        assert_eq!(
            close(&payload).await["open"],
            json!([
                "after 3 rounds it does not hold: the deny-all policy is not attached to IAM user eve"
            ])
        );
        payload["verification"]["missing"] = json!([]);
        assert_eq!(
            close(&payload).await["open"],
            json!(["1 thing does not hold"])
        );
    }

    #[tokio::test]
    async fn damage_that_no_step_repairs_is_left_for_a_human_with_the_call() {
        let mut payload = payload(&[done("Restore CloudTrail")]);
        payload["incident"]["remedy"] = json!("deploy this stack again");
        let closing = close(&payload).await;
        assert_eq!(closing["contained"], false);
        assert_eq!(
            closing["open"],
            json!(["no step repairs this: deploy this stack again"])
        );
    }

    #[tokio::test]
    async fn what_two_steps_leave_is_told_once() {
        let leaving = |step: &str| {
            let mut step = done(step);
            step["result"]["left"] = json!(["the key's policy: mend it"]);
            step
        };
        let steps = [leaving("Restore log archive"), leaving("Check trails")];
        assert_eq!(
            close(&payload(&steps)).await["open"],
            json!(["Restore log archive: the key's policy: mend it"])
        );
    }

    #[tokio::test]
    async fn whom_nobody_knows_is_named_after_what_can_be_mended() {
        let mut payload = payload(&[failed("Restore CloudTrail")]);
        payload["incident"]["actor"] =
            json!({"kind": "unidentified", "reason": "a check found it"});
        payload["incident"]["containment"] =
            json!({"kind": "none", "reason": "nobody to contain", "byHand": "look"});
        let closing = close(&payload).await;
        let open = closing["open"].as_array().unwrap();
        assert!(
            open[0]
                .as_str()
                .unwrap()
                .starts_with("Restore CloudTrail failed")
        );
        assert!(open[1].as_str().unwrap().ends_with("By hand: look"));
    }

    #[tokio::test]
    async fn an_actor_left_alone_is_left_for_a_human_with_the_call() {
        let mut payload = payload(&[done("Restore CloudTrail")]);
        payload["incident"]["containment"] =
            json!({"kind": "none", "reason": "IAM cannot deny root", "byHand": "sign in"});
        payload["incident"]["actor"] = json!({"kind": "root", "account": "123456789012"});
        assert_eq!(
            close(&payload).await["open"],
            json!([
                "root of account 123456789012 was not contained: IAM cannot deny root. By hand: sign in"
            ])
        );
    }

    #[tokio::test]
    async fn what_a_worker_leaves_and_what_was_not_verified_is_left_for_a_human() {
        let mut restored = done("Restore CloudTrail");
        restored["result"]["left"] = json!(["no baseline is recorded"]);
        let mut payload = payload(&[restored]);
        payload["verification"]["left"] = json!(["policies were not compared"]);
        assert_eq!(
            close(&payload).await["open"],
            json!([
                "Restore CloudTrail: no baseline is recorded",
                "policies were not compared"
            ])
        );
    }

    #[tokio::test]
    async fn an_actor_who_does_not_exist_is_left_for_a_human() {
        let mut gone = failed("Deny all");
        gone["actorIsGone"] = json!(true);
        assert_eq!(
            close(&payload(&[gone])).await["open"],
            json!([
                "Deny all: IAM user eve does not exist; find out whether it was deleted and what \
                 replaced it"
            ])
        );
    }

    #[tokio::test]
    async fn a_call_made_by_a_service_leaves_the_question_who_asked_for_it() {
        let mut payload = payload(&[done("Deny all")]);
        payload["incident"]["invokedBy"] = json!("cloudformation.amazonaws.com");
        let closing = close(&payload).await;
        assert_eq!(closing["contained"], false);
        let open = closing["open"][0].as_str().unwrap();
        assert!(
            open.starts_with("cloudformation.amazonaws.com made the call"),
            "{open}"
        );
    }

    #[tokio::test]
    async fn lines_are_bounded_in_number_and_length() {
        let mut payload = payload(&[done("Deny all")]);
        payload["verification"] = json!({
            "holds": false,
            "missing": vec!["x".repeat(10_000); 30],
            "summary": "y".repeat(10_000),
        });
        let closing = close(&payload).await;
        let open = closing["open"].as_array().unwrap();
        assert_eq!(open.len(), MOST_LINES + 1);
        assert_eq!(open[MOST_LINES], "and 18 more, in the execution's history");
        assert!(closing.to_string().len() < 80_000);
    }

    #[tokio::test]
    async fn an_unreachable_ledger_is_one_more_thing_left_open() {
        let gone = mock!(aws_sdk_dynamodb::Client::update_item).then_error(|| {
            UpdateItemError::ResourceNotFoundException(
                aws_sdk_dynamodb::types::error::ResourceNotFoundException::builder().build(),
            )
        });
        let closing = answer(&worker(&gone), &payload(&[done("Deny all")]))
            .await
            .unwrap();
        assert_eq!(closing["contained"], false);
        assert!(
            closing["open"][0]
                .as_str()
                .unwrap()
                .contains("not in the ledger")
        );
    }

    #[tokio::test]
    async fn a_dry_run_is_judged_alike_and_recorded_nowhere() {
        let rule = writable();
        let mut payload = payload(&[done("Deny all")]);
        payload["incident"]["dryRun"] = json!(true);
        let closing = answer(&worker(&rule), &payload).await.unwrap();
        assert_eq!(closing["contained"], true);
        assert!(
            closing["summary"]
                .as_str()
                .unwrap()
                .starts_with("Dry run: nothing was changed")
        );
        assert_eq!(rule.num_calls(), 0);
    }
}
