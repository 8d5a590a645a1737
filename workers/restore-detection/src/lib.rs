//! Puts our own rules on EventBridge back as they were deployed.
//!
//! **Act.** Every rule of the template is compared with what is there. A rule that is gone, or takes
//! other events, is written whole (`PutRule` replaces all of a rule, and clears what it is not
//! told); one that is only disabled is enabled; a target that is gone or altered is put. Each rule is
//! held in the ledger before it is changed, and one that fails does not stop the next.
//!
//! **Room.** A rule has five targets at most, so that five of somebody else's keep ours out. Then as
//! many of them are removed as it takes, first those of other accounts, each held in the ledger
//! before it goes.
//!
//! **Left for a human**: the other targets on our rules that are not ours. They may copy events to an
//! attacker, or be somebody's own; the call that removes them is said.
//!
//! **Undo.** Turning detection off is the attack itself, and so is sending our events elsewhere: an
//! undo lets go of the holds and says what an operator would do, with the call that puts a removed
//! target back. This worker may put no target but ours.
//!
//! **Calls.** `events:DescribeRule`, `ListTargetsByRule`, and as needed `EnableRule`, `PutRule`,
//! `RemoveTargets`, `PutTargets` with `iam:PassRole` for the role by which EventBridge starts our
//! machines; `dynamodb:UpdateItem` before a change; `GetItem`, and `UpdateItem` or `DeleteItem`, on
//! an undo.
//!
//! **A second run** finds the rules as deployed and changes nothing.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html>
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RemoveTargets.html>

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{Client, error::ProvideErrorMetadata};
use detection::{Difference, Drift, Rule};
use incident::{Deviation, IncidentId, Settings};
use jiff::Timestamp;
use ledger::{Done, Hold, Holds, Ledger, Release, Undo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker::{Failure, Worker};

/// The hold on a rule.
const MECHANISM: &str = "rule";

/// How many targets are removed from a rule for one incident, over all its runs.
const MOST_REMOVED: usize = 20;

/// The hold on the target that `incident` removed from a rule as its `nth`, beginning with 1. Each
/// incident makes room for itself.
fn removed_by(incident: &IncidentId, nth: usize) -> String {
    format!("removed-target/{incident}/{nth}")
}

/// By which EventBridge says that a rule has all the targets that it can have.
const FULL: &str = "LimitExceededException";

/// For which incident the rules are restored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that holds what is changed.
    pub incident_id: IncidentId,
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether to let go instead.
    #[serde(default)]
    pub undo: bool,
    /// For an undo that the ledger cannot know: what an earlier answer returned as `undo`.
    #[serde(default)]
    pub holds: Vec<Hold>,
}

/// The worker.
#[derive(Debug)]
pub struct RestoreDetection {
    events: Client,
    rules: Vec<Rule>,
    ledger: Ledger,
    now: fn() -> Timestamp,
}

impl RestoreDetection {
    /// Reads the setting `LEDGER_TABLE` and those of [`detection::rules`].
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            events: Client::new(&worker::CONTROL.on(config)),
            rules: detection::rules(&settings)?,
            ledger: Ledger::from_settings(config, &settings)?,
            now: Timestamp::now,
        })
    }
}

impl Worker for RestoreDetection {
    type Input = Input;
    type Output = Done;

    async fn run(&self, input: Input) -> Result<Done, Failure> {
        if input.undo {
            self.let_go(&input).await
        } else {
            self.restore(&input).await
        }
    }
}

impl RestoreDetection {
    async fn restore(&self, input: &Input) -> Result<Done, Failure> {
        let mut holds = self.ledger.holds_for(&input.incident_id, (self.now)());
        let mut run = Run::default();
        for rule in &self.rules {
            let drift = match detection::drift(&self.events, rule).await {
                Ok(None) => continue,
                Ok(Some(drift)) => drift,
                Err(failure) => {
                    run.fail(rule, failure);
                    continue;
                }
            };
            if !drift.differences.iter().any(is_ours) {
                run.leave(rule, &drift);
                continue;
            }
            if input.dry_run {
                run.leave(rule, &drift);
                run.rehearse(rule, &drift);
                continue;
            }
            holds
                .put(Hold {
                    resource: rule.arn.clone(),
                    mechanism: MECHANISM.to_owned(),
                    original: drift.now.clone(),
                })
                .await;
            let mut room = Room {
                incident: &input.incident_id,
                holds: &mut holds,
                removed: Vec::new(),
            };
            let put_back = self.put_back(rule, &drift, &mut room).await;
            let removed = room.removed;
            run.removed(rule, &removed);
            run.leave(rule, &drift.without(&ids_of(&removed)));
            match put_back {
                Ok(()) => run.put_back.push(&rule.name),
                Err(failure) => run.fail(rule, failure),
            }
        }
        run.steps.extend_from_slice(holds.too_large());
        run.end(holds.unrecorded())
    }

    async fn put_back(
        &self,
        rule: &Rule,
        drift: &Drift,
        room: &mut Room<'_, '_>,
    ) -> Result<(), Failure> {
        let differs = |difference| drift.differences.contains(&difference);
        if differs(Difference::Missing) || differs(Difference::Changed) {
            self.events
                .put_rule()
                .name(&rule.name)
                .description(&rule.description)
                .set_event_pattern(rule.pattern.as_ref().map(ToString::to_string))
                .set_schedule_expression(rule.schedule.clone())
                .state(rule.state())
                .send()
                .await
                .map_err(|error| Failure::aws("events:PutRule", &error))?;
        } else if differs(Difference::Disabled) {
            self.events
                .enable_rule()
                .name(&rule.name)
                .send()
                .await
                .map_err(|error| Failure::aws("events:EnableRule", &error))?;
        }
        if differs(Difference::Missing) || differs(Difference::Target) {
            self.make_room_for_target(rule, drift, room).await?;
        }
        Ok(())
    }

    /// Puts our target, where there is no room for it in the place of others.
    async fn make_room_for_target(
        &self,
        rule: &Rule,
        drift: &Drift,
        room: &mut Room<'_, '_>,
    ) -> Result<(), Failure> {
        let mut foreign = drift.foreign(rule).into_iter();
        // Counted, since the SDK takes EventBridge's refusal for throttling and repeats the call for
        // many seconds.
        for (_, target) in foreign.by_ref().take(drift.excess()) {
            self.remove_target(rule, target, room).await?;
        }
        let Put::Full(why) = self.put_target(rule).await? else {
            return Ok(());
        };
        // Somebody has put another meanwhile.
        if let Some((_, target)) = foreign.next() {
            self.remove_target(rule, target, room).await?;
            if let Put::Done = self.put_target(rule).await? {
                return Ok(());
            }
        }
        Err(Failure::Transient(why))
    }

    /// `PutTargets` answers a target that it refuses with success.
    async fn put_target(&self, rule: &Rule) -> Result<Put, Failure> {
        const CALL: &str = "events:PutTargets";
        let target = rule.target.to_sdk();
        let target = target.map_err(|error| Failure::Rejected(error.to_string()))?;
        let put = self.events.put_targets().rule(&rule.name).targets(target);
        let answer = match put.send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some(FULL) => {
                return Ok(Put::Full(Failure::aws(CALL, &error).to_string()));
            }
            Err(error) => return Err(Failure::aws(CALL, &error)),
        };
        if answer.failed_entry_count() == 0 {
            return Ok(Put::Done);
        }
        let refused = answer.failed_entries().first();
        let code = refused.and_then(|refused| refused.error_code());
        let failure = refusal(
            CALL,
            code,
            refused.and_then(|refused| refused.error_message()),
        );
        match code {
            Some(FULL) => Ok(Put::Full(failure.to_string())),
            _ => Err(failure),
        }
    }

    /// `RemoveTargets`, too, answers a target that it refuses with success.
    async fn remove_target(
        &self,
        rule: &Rule,
        target: &Value,
        room: &mut Room<'_, '_>,
    ) -> Result<(), Failure> {
        const CALL: &str = "events:RemoveTargets";
        room.hold(rule, target).await?;
        let remove = self.events.remove_targets().rule(&rule.name);
        let answer = remove
            .ids(id_of(target))
            .send()
            .await
            .map_err(|error| Failure::aws(CALL, &error))?;
        let refused = answer.failed_entries().first();
        let code = refused.and_then(|refused| refused.error_code());
        // One that is gone already leaves room as well.
        if answer.failed_entry_count() > 0 && code != Some("ResourceNotFoundException") {
            let why = refused.and_then(|refused| refused.error_message());
            return Err(refusal(CALL, code, why));
        }
        room.removed.push(target.clone());
        Ok(())
    }

    async fn let_go(&self, input: &Input) -> Result<Done, Failure> {
        let undo = self
            .ledger
            .undo_for(&input.incident_id, &input.holds, input.dry_run);
        let mut run = Run::default();
        for rule in &self.rules {
            run.let_go(&undo, rule, MECHANISM, stays).await;
            for nth in 1..=MOST_REMOVED {
                let removed = removed_by(&input.incident_id, nth);
                if !run.let_go(&undo, rule, &removed, put_by_hand).await {
                    break;
                }
            }
        }
        if run.steps.is_empty() && run.failures.is_empty() {
            run.steps
                .push("this incident holds none of them".to_owned());
        }
        run.end(Vec::new())
    }
}

/// What came of putting our target.
enum Put {
    Done,
    /// The rule has as many others as it can have, in EventBridge's words.
    Full(String),
}

/// The room that is made for our target on one rule.
struct Room<'a, 'b> {
    incident: &'a IncidentId,
    holds: &'a mut Holds<'b>,
    removed: Vec<Value>,
}

impl Room<'_, '_> {
    /// Holds `target` beside those that were removed before, by earlier runs too.
    async fn hold(&mut self, rule: &Rule, target: &Value) -> Result<(), Failure> {
        for nth in 1..=MOST_REMOVED {
            let hold = Hold {
                resource: rule.arn.clone(),
                mechanism: removed_by(self.incident, nth),
                original: target.clone(),
            };
            if self.holds.put_own(hold).await {
                return Ok(());
            }
        }
        Err(Failure::Rejected(format!(
            "{MOST_REMOVED} targets were removed for this incident, and others keep taking their \
             place: find out who puts them"
        )))
    }
}

/// What `PutTargets` and `RemoveTargets` say of a target within a success.
fn refusal(call: &str, code: Option<&str>, why: Option<&str>) -> Failure {
    let class = match code {
        Some("ConcurrentModificationException" | "InternalException" | "ThrottlingException") => {
            Failure::Transient
        }
        _ => Failure::Rejected,
    };
    let (code, why) = (code.unwrap_or("refused"), why.unwrap_or("no reason given"));
    class(format!("{call}: {code}: {why}"))
}

fn id_of(target: &Value) -> &str {
    target["Id"].as_str().unwrap_or_default()
}

fn ids_of(targets: &[Value]) -> Vec<&str> {
    targets.iter().map(id_of).collect()
}

fn described(target: &Value) -> String {
    format!(
        "{} ({})",
        id_of(target),
        target["Arn"].as_str().unwrap_or_default()
    )
}

/// What an undo says of a rule that was put back.
fn stays(rule: &Rule, original: &Value) -> Vec<String> {
    let stays = format!(
        "{} stays as deployed; an operator who intends another rule deploys it",
        rule.name
    );
    std::iter::once(stays)
        .chain(Hold::too_large(original))
        .collect()
}

/// As much of a target as people are told; its input may be anything.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Said<'a> {
    id: &'a str,
    arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_arn: Option<&'a str>,
}

/// What an undo says of a target that was removed, with the call that puts it back.
fn put_by_hand(rule: &Rule, target: &Value) -> Vec<String> {
    if let Some(told) = Hold::too_large(target) {
        return vec![told];
    }
    let said = Said {
        id: id_of(target),
        arn: target["Arn"].as_str().unwrap_or_default(),
        role_arn: target["RoleArn"].as_str(),
    };
    // In JSON a quote can be written so that it ends no argument of a shell.
    let said = serde_json::to_string(&[said]).unwrap_or_default();
    let said = said.replace('\'', "\\u0027");
    let fields = target.as_object().into_iter().flatten();
    let unsaid = fields.filter(|(name, _)| !["Id", "Arn", "RoleArn"].contains(&name.as_str()));
    let unsaid = unsaid.flat_map(|(name, value)| match value {
        // Their names are all that is known of them.
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![name.as_str()],
    });
    let unsaid: Vec<_> = unsaid.collect();
    let rest = match unsaid.as_slice() {
        [] => String::new(),
        _ => format!(
            ", with its {} as in CloudTrail's record of the call that put it",
            unsaid.join(", ")
        ),
    };
    vec![format!(
        "{} was removed from {} to make room for ours; whoever put it there for a reason gives it a \
         rule of its own: aws events put-targets --rule <that rule> --targets '{said}'{rest}",
        described(target),
        rule.name
    )]
}

/// Whether this worker puts it back.
fn is_ours(difference: &Difference) -> bool {
    !matches!(difference, Difference::ForeignTargets(_))
}

/// One run, and how it goes.
#[derive(Default)]
struct Run<'a> {
    steps: Vec<String>,
    put_back: Vec<&'a str>,
    made_room: bool,
    failures: Vec<Failure>,
    left: Vec<String>,
}

impl Run<'_> {
    fn fail(&mut self, rule: &Rule, failure: Failure) {
        let named = failure.rephrase(|why| format!("{}: {why}", rule.name));
        self.failures.push(named);
    }

    fn leave(&mut self, rule: &Rule, drift: &Drift) {
        let deviations = drift.deviations(rule);
        self.left
            .extend(deviations.iter().filter_map(Deviation::for_a_human));
    }

    fn rehearse(&mut self, rule: &Rule, drift: &Drift) {
        let foreign = drift.foreign(rule).into_iter().take(drift.excess());
        let foreign = foreign.map(|(_, target)| {
            format!(
                "{} would be removed from {} to make room for ours",
                described(target),
                rule.name
            )
        });
        self.steps.extend(foreign);
        self.steps.push(format!("{} would be put back", rule.name));
    }

    fn removed(&mut self, rule: &Rule, targets: &[Value]) {
        if targets.is_empty() {
            return;
        }
        self.made_room = true;
        let targets: Vec<_> = targets.iter().map(described).collect();
        self.steps.push(format!(
            "removed from {} to make room for ours: {}",
            rule.name,
            targets.join(", ")
        ));
    }

    /// Lets go of one hold on `rule`, and says of its original what `say` does; false when this
    /// incident does not hold it.
    async fn let_go(
        &mut self,
        undo: &Undo<'_>,
        rule: &Rule,
        mechanism: &str,
        say: fn(&Rule, &Value) -> Vec<String>,
    ) -> bool {
        match undo.release(&rule.arn, mechanism).await {
            Ok(Release::NotHeld) => return false,
            Ok(Release::StillHeld) => self
                .steps
                .push(format!("other incidents still hold {}", rule.name)),
            Ok(Release::Last(original)) => match undo.forget(&rule.arn, mechanism).await {
                Ok(()) => self.steps.extend(say(rule, &original)),
                Err(failure) => self.fail(rule, failure),
            },
            Err(failure) => {
                self.fail(rule, failure);
                return false;
            }
        }
        true
    }

    fn end(mut self, undo: Vec<Hold>) -> Result<Done, Failure> {
        let changed = self.made_room || !self.put_back.is_empty();
        if !self.put_back.is_empty() {
            self.steps
                .push(format!("put back: {}", self.put_back.join(", ")));
        }
        if self.steps.is_empty() {
            self.steps.push(if self.failures.is_empty() {
                "as deployed".to_owned()
            } else {
                "left as they are".to_owned()
            });
        }
        let also = match self.left.as_slice() {
            [] => String::new(),
            left => format!("; {}", left.join("; ")),
        };
        let done = Done {
            changed,
            summary: format!("our rules: {}", self.steps.join("; ")),
            undo,
            left: self.left,
        };
        done.unless(self.failures, &also)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_eventbridge::types::RuleState;
    use std::{
        collections::HashMap,
        sync::{Arc, Mutex},
    };

    use aws_sdk_dynamodb::{
        operation::{
            delete_item::DeleteItemOutput,
            get_item::{GetItemError, GetItemOutput},
            update_item::{UpdateItemError, UpdateItemOutput},
        },
        types::AttributeValue,
    };
    use aws_sdk_eventbridge::{
        config::{http::HttpResponse, retry::RetryConfig},
        error::ErrorMetadata,
        operation::{
            describe_rule::{DescribeRuleError, DescribeRuleOutput},
            enable_rule::EnableRuleOutput,
            list_targets_by_rule::ListTargetsByRuleOutput,
            put_rule::{PutRuleError, PutRuleOutput},
            put_targets::PutTargetsOutput,
            remove_targets::RemoveTargetsOutput,
        },
        types::{
            PutTargetsResultEntry, RemoveTargetsResultEntry, Target,
            error::ResourceNotFoundException,
        },
    };
    use aws_smithy_mocks::{MockResponse, Rule as Mock, RuleMode, mock, mock_client};
    use serde_json::json;
    use worker::answer;

    use super::*;

    fn rules() -> Vec<Rule> {
        let settings = Settings::new(|name| {
            let value = match name {
                "STACK_NAME" => "guard",
                "ACCOUNT_ID" => "123456789012",
                "AWS_REGION" => "eu-west-1",
                "PARTITION" => "aws",
                "UNDELIVERED_EVENTS_ARN" => "arn:aws:sqs:eu-west-1:123456789012:undelivered",
                _ => return None,
            };
            Some(value.to_owned())
        });
        detection::rules(&settings).unwrap()
    }

    /// `guard-trail-tampered`, the one that is tampered with.
    const RULE: &str = "guard-trail-tampered";

    fn rule() -> Rule {
        rules().into_iter().find(|rule| rule.name == RULE).unwrap()
    }

    /// What is there of the tampered rule; the others are as deployed.
    enum Found {
        Gone,
        There(RuleState, Option<&'static str>, Vec<Target>),
        Refused(&'static str),
    }

    fn as_deployed() -> Vec<Target> {
        vec![rule().target.to_sdk().unwrap()]
    }

    /// What EventBridge tells of every rule.
    fn told(found: &Found) -> Vec<Mock> {
        let refused =
            mock!(Client::describe_rule).match_requests(|request| request.name() == Some(RULE));
        let mut mocks = match *found {
            Found::Gone => vec![refused.then_error(|| {
                DescribeRuleError::ResourceNotFoundException(
                    ResourceNotFoundException::builder().build(),
                )
            })],
            Found::Refused(code) => vec![refused.then_error(move || {
                DescribeRuleError::generic(ErrorMetadata::builder().code(code).build())
            })],
            Found::There(..) => Vec::new(),
        };
        for rule in rules() {
            let deployed = || {
                let pattern = rule.pattern.as_ref().map(Value::to_string);
                let target = rule.target.to_sdk().unwrap();
                (rule.state(), pattern, vec![target])
            };
            let (state, pattern, targets) = match found {
                Found::There(state, pattern, targets) if rule.name == RULE => {
                    let (_, deployed, _) = deployed();
                    let pattern = pattern.map(str::to_owned).or(deployed);
                    (state.clone(), pattern, targets.clone())
                }
                _ => deployed(),
            };
            let described = DescribeRuleOutput::builder()
                .state(state)
                .set_event_pattern(pattern)
                .set_schedule_expression(rule.schedule.clone())
                .build();
            let name = rule.name.clone();
            mocks.push(
                mock!(Client::describe_rule)
                    .match_requests(move |request| request.name() == Some(name.as_str()))
                    .then_output(move || described.clone()),
            );
            let name = rule.name.clone();
            mocks.push(
                mock!(Client::list_targets_by_rule)
                    .match_requests(move |request| request.rule() == Some(name.as_str()))
                    .then_output(move || {
                        ListTargetsByRuleOutput::builder()
                            .set_targets(Some(targets.clone()))
                            .build()
                    }),
            );
        }
        mocks
    }

    /// EventBridge, and the names of the writes that it was asked for.
    fn events(found: &Found, refuses: Option<&'static str>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let writes = Arc::new(Mutex::new(Vec::new()));
        let wrote = |what: &'static str| {
            let writes = Arc::clone(&writes);
            move || writes.lock().unwrap().push(what.to_owned())
        };
        let mut mocks = told(found);
        let enabled = wrote("EnableRule");
        mocks.push(mock!(Client::enable_rule).then_output(move || {
            enabled();
            EnableRuleOutput::builder().build()
        }));
        if let Some(code) = refuses {
            mocks.push(mock!(Client::put_rule).then_error(move || {
                PutRuleError::generic(ErrorMetadata::builder().code(code).build())
            }));
        }
        let put = wrote("PutRule");
        mocks.push(
            mock!(Client::put_rule)
                .match_requests(|request| {
                    let rule = rule();
                    request.name() == Some(RULE)
                        && request.description() == Some(&rule.description)
                        && request.event_pattern()
                            == rule.pattern.map(|pattern| pattern.to_string()).as_deref()
                        && request.state() == Some(&RuleState::Enabled)
                })
                .then_output(move || {
                    put();
                    PutRuleOutput::builder().build()
                }),
        );
        let targeted = wrote("PutTargets");
        mocks.push(
            mock!(Client::put_targets)
                .match_requests(|request| {
                    request.rule() == Some(RULE) && request.targets() == as_deployed()
                })
                .then_output(move || {
                    targeted();
                    PutTargetsOutput::builder().build()
                }),
        );
        let mocks: Vec<&Mock> = mocks.iter().collect();
        let client = mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, &mocks);
        (client, writes)
    }

    fn ledger(rules: &[&Mock]) -> Ledger {
        Ledger::new(
            mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules),
            "ledger",
        )
    }

    fn holding() -> Mock {
        mock!(aws_sdk_dynamodb::Client::update_item).then_output(|| {
            let original = AttributeValue::S("{}".to_owned());
            UpdateItemOutput::builder()
                .attributes("original", original)
                .build()
        })
    }

    async fn run(found: Found, payload: Value) -> (Result<Value, Failure>, Vec<String>) {
        run_with(found, None, payload, &[&holding()]).await
    }

    async fn run_with(
        found: Found,
        refuses: Option<&'static str>,
        mut payload: Value,
        dynamodb: &[&Mock],
    ) -> (Result<Value, Failure>, Vec<String>) {
        let (events, writes) = events(&found, refuses);
        let worker = RestoreDetection {
            events,
            rules: rules(),
            ledger: ledger(dynamodb),
            now: || "2026-11-25T03:12:46Z".parse().unwrap(),
        };
        payload["incidentId"] = json!("i-1");
        let answer = answer(&worker, &payload).await;
        let writes = writes.lock().unwrap().clone();
        (answer, writes)
    }

    #[tokio::test]
    async fn rules_as_deployed_are_left_alone() {
        let there = Found::There(RuleState::Enabled, None, as_deployed());
        let (done, writes) = run(there, json!({})).await;
        let done = done.unwrap();
        assert_eq!(done["changed"], false);
        assert_eq!(done["summary"], "our rules: as deployed");
        assert_eq!(writes, [""; 0]);
    }

    #[tokio::test]
    async fn each_drift_is_mended_by_the_smallest_call() {
        for (found, expected) in [
            (
                Found::There(RuleState::Disabled, None, as_deployed()),
                vec!["EnableRule"],
            ),
            (
                Found::There(
                    RuleState::Disabled,
                    Some(r#"{"source":["x"]}"#),
                    as_deployed(),
                ),
                vec!["PutRule"],
            ),
            (
                Found::There(RuleState::Enabled, None, vec![]),
                vec!["PutTargets"],
            ),
            (Found::Gone, vec!["PutRule", "PutTargets"]),
        ] {
            let held = holding();
            let (done, writes) = run_with(found, None, json!({}), &[&held]).await;
            let done = done.unwrap();
            assert_eq!(writes, expected);
            assert_eq!(held.num_calls(), 1);
            assert_eq!(done["changed"], true);
            assert_eq!(done["undo"], json!([]));
            assert_eq!(done["summary"], "our rules: put back: guard-trail-tampered");
        }
    }

    #[tokio::test]
    async fn a_dry_run_changes_nothing() {
        let held = holding();
        let (done, writes) = run_with(Found::Gone, None, json!({"dryRun": true}), &[&held]).await;
        let done = done.unwrap();
        assert_eq!(done["changed"], false);
        assert_eq!(
            done["summary"],
            "our rules: guard-trail-tampered would be put back"
        );
        assert_eq!((writes, held.num_calls()), (vec![], 0));
    }

    #[tokio::test]
    async fn targets_that_are_not_ours_are_left_for_a_human() {
        let mut copy = as_deployed().remove(0);
        copy.id = "copy".to_owned();
        let targets = [as_deployed(), vec![copy]].concat();
        let (done, writes) = run(Found::There(RuleState::Enabled, None, targets), json!({})).await;
        assert_eq!(writes, [""; 0]);
        let left = done.unwrap()["left"][0].to_string();
        assert!(
            left.contains("aws events remove-targets --rule guard-trail-tampered --ids copy"),
            "{left}"
        );
    }

    #[tokio::test]
    async fn without_a_ledger_it_acts_all_the_same_and_hands_over_the_undo() {
        let gone = mock!(aws_sdk_dynamodb::Client::update_item).then_error(|| {
            UpdateItemError::generic(
                ErrorMetadata::builder()
                    .code("ResourceNotFoundException")
                    .build(),
            )
        });
        let (done, writes) = run_with(
            Found::There(RuleState::Disabled, None, as_deployed()),
            None,
            json!({}),
            &[&gone],
        )
        .await;
        let undo = &done.unwrap()["undo"][0];
        assert_eq!(writes, ["EnableRule"]);
        assert_eq!(undo["resource"], rule().arn);
        assert_eq!(undo["original"]["state"], "DISABLED");
    }

    #[tokio::test]
    async fn what_aws_refuses_is_a_failure_that_names_the_call() {
        for (code, name) in [
            ("AccessDeniedException", "AccessDenied"),
            ("ConcurrentModificationException", "Transient"),
            ("ManagedRuleException", "Rejected"),
        ] {
            let (done, _) = run_with(Found::Gone, Some(code), json!({}), &[&holding()]).await;
            let failure = done.unwrap_err();
            assert_eq!(failure.name(), name);
            assert!(failure.to_string().contains("events:PutRule"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_rule_that_cannot_be_read_stops_no_other() {
        let (done, _) = run(Found::Refused("ThrottlingException"), json!({})).await;
        let failure = done.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert!(
            failure
                .to_string()
                .starts_with("our rules: left as they are; failed: "),
            "{failure}"
        );
    }

    #[tokio::test]
    async fn rules_are_put_back_though_one_cannot_be_read() {
        let refused = mock!(Client::describe_rule)
            .match_requests(|request| request.name() == Some(RULE))
            .then_error(|| {
                let denied = ErrorMetadata::builder().code("AccessDeniedException");
                DescribeRuleError::generic(denied.build())
            });
        let mut mocks = vec![refused];
        for rule in rules().into_iter().filter(|rule| rule.name != RULE) {
            let described = DescribeRuleOutput::builder()
                .state(RuleState::Disabled)
                .set_event_pattern(rule.pattern.as_ref().map(Value::to_string))
                .set_schedule_expression(rule.schedule.clone())
                .build();
            let target = rule.target.to_sdk().unwrap();
            let name = rule.name.clone();
            mocks.push(
                mock!(Client::describe_rule)
                    .match_requests(move |request| request.name() == Some(name.as_str()))
                    .then_output(move || described.clone()),
            );
            mocks.push(
                mock!(Client::list_targets_by_rule)
                    .match_requests(move |request| request.rule() == Some(rule.name.as_str()))
                    .then_output(move || {
                        ListTargetsByRuleOutput::builder()
                            .targets(target.clone())
                            .build()
                    }),
            );
        }
        let enable = mock!(Client::enable_rule).then_output(|| EnableRuleOutput::builder().build());
        // Enabled, they would not take the calls that read.
        let put = mock!(Client::put_rule)
            .match_requests(|request| {
                request.state() == Some(&RuleState::EnabledWithAllCloudtrailManagementEvents)
            })
            .then_output(|| PutRuleOutput::builder().build());
        let mocks: Vec<&Mock> = mocks.iter().chain([&enable, &put]).collect();
        let worker = RestoreDetection {
            events: mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, &mocks),
            rules: rules(),
            ledger: ledger(&[&holding()]),
            now: Timestamp::now,
        };
        let failure = answer(&worker, &json!({"incidentId": "i-1"})).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        let reading = rules().iter().filter(|rule| rule.takes_reads).count();
        assert_eq!(put.num_calls(), reading);
        assert_eq!(enable.num_calls(), rules().len() - 1 - reading);
        let names: Vec<_> = rules().into_iter().map(|rule| rule.name).collect();
        let others: Vec<_> = names
            .iter()
            .map(String::as_str)
            .filter(|name| *name != RULE)
            .collect();
        assert_eq!(
            failure.to_string(),
            format!(
                "our rules: put back: {}; failed: {RULE}: events:DescribeRule: AccessDeniedException",
                others.join(", ")
            )
        );
    }

    /// The targets of the tampered rule, of which EventBridge takes five.
    struct Targets {
        there: Vec<Target>,
        /// Whether a sixth is refused with an error, or within a success.
        refuses_loudly: bool,
        /// What `RemoveTargets` answers within a success.
        unremovable: Option<&'static str>,
        /// How often somebody puts another target for one that is removed.
        refills: usize,
        held: HashMap<String, AttributeValue>,
        calls: Vec<String>,
    }

    impl Targets {
        fn foreign(ids: &[&str]) -> Self {
            let there = ids.iter().map(|id| {
                let mut target = as_deployed().remove(0);
                target.id = (*id).to_owned();
                target.arn = format!("arn:aws:sqs:eu-west-1:123456789012:{id}");
                target
            });
            Self {
                there: there.collect(),
                refuses_loudly: true,
                unremovable: None,
                refills: 0,
                held: HashMap::new(),
                calls: Vec::new(),
            }
        }

        fn put(&mut self, target: &Target) -> bool {
            self.calls.push(format!("put {}", target.id));
            let known = self.there.iter().any(|there| there.id == target.id);
            if !known && self.there.len() >= 5 {
                return false;
            }
            self.there.retain(|there| there.id != target.id);
            self.there.push(target.clone());
            true
        }

        fn remove(&mut self, id: &str) {
            self.calls.push(format!("remove {id}"));
            self.there.retain(|there| there.id != id);
            if self.refills > 0 {
                self.refills -= 1;
                let mut target = as_deployed().remove(0);
                target.id = format!("{id}-again");
                self.there.push(target);
            }
        }

        fn ids(&self) -> Vec<&str> {
            self.there.iter().map(|target| target.id.as_str()).collect()
        }
    }

    const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn refused(code: &str) -> HttpResponse {
        let body = format!(r#"{{"__type":"{code}","message":"what AWS said"}}"#);
        HttpResponse::new(400.try_into().unwrap(), body.into())
    }

    /// EventBridge with these targets, and a ledger that takes holds, or does not.
    async fn make_room(
        targets: &Arc<Mutex<Targets>>,
        ledger_takes: bool,
        mut payload: Value,
    ) -> Result<Value, Failure> {
        let there = targets.lock().unwrap().there.clone();
        let mut mocks = told(&Found::There(RuleState::Enabled, None, there));
        let world = Arc::clone(targets);
        mocks.push(
            mock!(Client::put_targets).then_compute_response(move |request| {
                let mut world = world.lock().unwrap();
                if world.put(&request.targets()[0]) {
                    return MockResponse::Output(PutTargetsOutput::builder().build());
                }
                if world.refuses_loudly {
                    return MockResponse::Http(refused("LimitExceededException"));
                }
                let entry = PutTargetsResultEntry::builder().error_code("LimitExceededException");
                let refused = PutTargetsOutput::builder()
                    .failed_entry_count(1)
                    .failed_entries(entry.build());
                MockResponse::Output(refused.build())
            }),
        );
        let world = Arc::clone(targets);
        mocks.push(
            mock!(Client::remove_targets).then_compute_output(move |request| {
                let mut world = world.lock().unwrap();
                let code = world.unremovable;
                let gone = code.is_none_or(|code| code == "ResourceNotFoundException");
                for id in request.ids() {
                    if gone {
                        world.remove(id);
                    }
                }
                RemoveTargetsOutput::builder()
                    .failed_entry_count(i32::from(code.is_some()))
                    .set_failed_entries(code.map(|code| {
                        vec![RemoveTargetsResultEntry::builder().error_code(code).build()]
                    }))
                    .build()
            }),
        );
        let mocks: Vec<&Mock> = mocks.iter().collect();
        let world = Arc::clone(targets);
        let hold =
            mock!(aws_sdk_dynamodb::Client::update_item).then_compute_response(move |request| {
                let mut world = world.lock().unwrap();
                let AttributeValue::S(mechanism) = &request.key().unwrap()["sk"] else {
                    panic!("{request:?}");
                };
                world.calls.push(format!("hold {mechanism}"));
                if !ledger_takes {
                    return MockResponse::Http(refused("AccessDeniedException"));
                }
                let original = request.expression_attribute_values().unwrap()[":original"].clone();
                let original = world
                    .held
                    .entry(mechanism.clone())
                    .or_insert(original)
                    .clone();
                let stands = UpdateItemOutput::builder().attributes("original", original);
                MockResponse::Output(stands.build())
            });
        let worker = RestoreDetection {
            events: mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, &mocks, |config| {
                config.retry_config(RetryConfig::disabled())
            }),
            rules: rules(),
            ledger: ledger(&[&hold]),
            now: Timestamp::now,
        };
        payload["incidentId"] = json!("i-1");
        answer(&worker, &payload).await
    }

    fn shared(targets: Targets) -> Arc<Mutex<Targets>> {
        Arc::new(Mutex::new(targets))
    }

    #[tokio::test]
    async fn a_rule_full_of_foreign_targets_gets_room_for_ours() {
        let mut targets = Targets::foreign(&FIVE);
        targets.there[3].arn = "arn:aws:sqs:eu-west-1:210987654321:leak".to_owned();
        let targets = shared(targets);
        let done = make_room(&targets, true, json!({})).await.unwrap();
        let world = targets.lock().unwrap();
        assert_eq!(
            world.calls,
            [
                "hold rule",
                "hold removed-target/i-1/1",
                "remove d",
                "put triage"
            ]
        );
        assert_eq!(world.ids(), ["a", "b", "c", "e", "triage"]);
        assert_eq!(
            (&done["changed"], &done["undo"]),
            (&json!(true), &json!([]))
        );
        insta::assert_snapshot!(done["summary"].as_str().unwrap(), @"our rules: removed from guard-trail-tampered to make room for ours: d (arn:aws:sqs:eu-west-1:210987654321:leak); put back: guard-trail-tampered");
        let left = done["left"].as_array().unwrap();
        assert_eq!(left.len(), 1);
        assert!(
            left[0].as_str().unwrap().ends_with("--ids a b c e"),
            "{left:?}"
        );
    }

    #[tokio::test]
    async fn no_target_is_removed_where_there_is_room() {
        let mut altered = Targets::foreign(&["a", "b", "c", "d", "triage"]);
        altered.there[4].arn.push('x');
        for targets in [Targets::foreign(&["a", "b", "c", "d"]), altered] {
            let targets = shared(targets);
            make_room(&targets, true, json!({})).await.unwrap();
            let world = targets.lock().unwrap();
            assert_eq!(world.calls, ["hold rule", "put triage"]);
        }
    }

    #[tokio::test]
    async fn a_dry_run_says_what_would_make_room() {
        let targets = shared(Targets::foreign(&FIVE));
        let done = make_room(&targets, true, json!({"dryRun": true}))
            .await
            .unwrap();
        assert_eq!(targets.lock().unwrap().calls, [""; 0]);
        insta::assert_snapshot!(done["summary"].as_str().unwrap(), @"our rules: a (arn:aws:sqs:eu-west-1:123456789012:a) would be removed from guard-trail-tampered to make room for ours; guard-trail-tampered would be put back");
    }

    #[tokio::test]
    async fn room_is_made_without_a_ledger_and_what_was_removed_is_handed_over() {
        let targets = shared(Targets::foreign(&FIVE));
        let done = make_room(&targets, false, json!({})).await.unwrap();
        assert_eq!(
            targets.lock().unwrap().ids(),
            ["b", "c", "d", "e", "triage"]
        );
        let undo = &done["undo"][1];
        assert_eq!(undo["mechanism"], "removed-target/i-1/1");
        assert_eq!(
            undo["original"]["Arn"],
            "arn:aws:sqs:eu-west-1:123456789012:a"
        );

        let handed = json!({"undo": true, "holds": done["undo"]});
        let there = Found::There(RuleState::Enabled, None, as_deployed());
        let nothing = mock!(aws_sdk_dynamodb::Client::get_item)
            .then_output(|| GetItemOutput::builder().build());
        let (done, writes) = run_with(there, None, handed, &[&nothing]).await;
        assert_eq!(writes, [""; 0]);
        insta::assert_snapshot!(done.unwrap()["summary"].as_str().unwrap(), @r#"our rules: guard-trail-tampered stays as deployed; an operator who intends another rule deploys it; a (arn:aws:sqs:eu-west-1:123456789012:a) was removed from guard-trail-tampered to make room for ours; whoever put it there for a reason gives it a rule of its own: aws events put-targets --rule <that rule> --targets '[{"Id":"a","Arn":"arn:aws:sqs:eu-west-1:123456789012:a","RoleArn":"arn:aws:iam::123456789012:role/tourniquet/guard-events"}]', with its DeadLetterConfig, RetryPolicy as in CloudTrail's record of the call that put it"#);
    }

    #[tokio::test]
    async fn a_target_that_is_gone_by_itself_makes_room_too() {
        let mut targets = Targets::foreign(&FIVE);
        targets.unremovable = Some("ResourceNotFoundException");
        let targets = shared(targets);
        let done = make_room(&targets, true, json!({})).await.unwrap();
        assert_eq!(done["changed"], true);
        assert!(targets.lock().unwrap().ids().contains(&"triage"));
    }

    #[tokio::test]
    async fn a_target_that_cannot_be_removed_is_a_failure_that_names_the_call() {
        for (code, name) in [
            ("ConcurrentModificationException", "Transient"),
            ("ManagedRuleException", "Rejected"),
        ] {
            let mut targets = Targets::foreign(&FIVE);
            targets.unremovable = Some(code);
            let targets = shared(targets);
            let failure = make_room(&targets, true, json!({})).await.unwrap_err();
            assert_eq!(failure.name(), name);
            let all = "aws events remove-targets --rule guard-trail-tampered --ids a b c d e";
            let said = failure.to_string();
            assert!(
                said.contains(&format!("events:RemoveTargets: {code}")),
                "{said}"
            );
            assert!(said.contains(all), "{said}");
        }
    }

    #[tokio::test]
    async fn one_more_goes_for_one_that_is_put_meanwhile() {
        for refuses_loudly in [true, false] {
            let mut targets = Targets::foreign(&FIVE);
            (targets.refills, targets.refuses_loudly) = (1, refuses_loudly);
            let targets = shared(targets);
            let done = make_room(&targets, true, json!({})).await.unwrap();
            let world = targets.lock().unwrap();
            assert_eq!(world.ids(), ["c", "d", "e", "a-again", "triage"]);
            assert_eq!(done["undo"], json!([]));
            for (nth, id) in [(1, "a"), (2, "b")] {
                let held = world.held[&removed_by(&"i-1".parse().unwrap(), nth)].as_s();
                let held: Value = serde_json::from_str(held.unwrap()).unwrap();
                assert_eq!(held["Id"], id);
            }
        }
    }

    #[tokio::test]
    async fn who_puts_targets_as_quickly_is_left_to_a_retry() {
        for refuses_loudly in [true, false] {
            let mut targets = Targets::foreign(&FIVE);
            (targets.refills, targets.refuses_loudly) = (9, refuses_loudly);
            let targets = shared(targets);
            let failure = make_room(&targets, true, json!({})).await.unwrap_err();
            assert_eq!(failure.name(), "Transient");
            let said = failure.to_string();
            assert!(
                said.contains("events:PutTargets: LimitExceededException"),
                "{said}"
            );
            assert_eq!(targets.lock().unwrap().ids().len(), 5);
        }
    }

    #[tokio::test]
    async fn a_fight_over_a_rule_ends() {
        let targets = shared(Targets::foreign(&FIVE));
        for nth in 1..=MOST_REMOVED {
            let held = &mut targets.lock().unwrap().held;
            let other = AttributeValue::S(json!({"Id": "other"}).to_string());
            held.insert(removed_by(&"i-1".parse().unwrap(), nth), other);
        }
        let failure = make_room(&targets, true, json!({})).await.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
        assert_eq!(targets.lock().unwrap().ids(), FIVE);
    }

    #[test]
    fn the_call_that_puts_a_target_back_is_safe_to_paste() {
        let target = json!({
            "Id": "x", "Arn": "arn:'; rm -rf ~ #", "Input": "secret", "notKept": ["EcsParameters"]
        });
        insta::assert_snapshot!(put_by_hand(&rule(), &target)[0], @r#"x (arn:'; rm -rf ~ #) was removed from guard-trail-tampered to make room for ours; whoever put it there for a reason gives it a rule of its own: aws events put-targets --rule <that rule> --targets '[{"Id":"x","Arn":"arn:\u0027; rm -rf ~ #"}]', with its Input, EcsParameters as in CloudTrail's record of the call that put it"#);
        let mark = json!({"tooLarge": {"was": "rule of x", "bytes": 1, "sha256": "0"}});
        assert_eq!(stays(&rule(), &mark).len(), 2);
        assert!(put_by_hand(&rule(), &mark)[0].contains("only CloudTrail's record"));
    }

    #[tokio::test]
    async fn a_target_that_is_refused_within_a_success_is_a_failure() {
        for (code, name) in [
            (Some("ConcurrentModificationException"), "Transient"),
            (Some("ManagedRuleException"), "Rejected"),
            (None, "Rejected"),
        ] {
            let refused = mock!(Client::put_targets).then_output(move || {
                let entry = code.map(|code| PutTargetsResultEntry::builder().error_code(code));
                PutTargetsOutput::builder()
                    .failed_entry_count(1)
                    .set_failed_entries(entry.map(|entry| vec![entry.build()]))
                    .build()
            });
            let worker = RestoreDetection {
                events: mock_client!(aws_sdk_eventbridge, &[&refused]),
                rules: rules(),
                ledger: ledger(&[]),
                now: Timestamp::now,
            };
            let put = worker.put_target(&rule()).await;
            assert!(put.is_err_and(|failure| failure.name() == name));
        }
    }

    #[tokio::test]
    async fn an_undo_lets_go_and_turns_nothing_off() {
        let there = || Found::There(RuleState::Enabled, None, as_deployed());
        let nothing = mock!(aws_sdk_dynamodb::Client::get_item)
            .then_output(|| GetItemOutput::builder().build());
        let (done, writes) = run_with(there(), None, json!({"undo": true}), &[&nothing]).await;
        assert_eq!(
            done.unwrap()["summary"],
            "our rules: this incident holds none of them"
        );
        assert_eq!(writes, [""; 0]);

        let forgotten = mock!(aws_sdk_dynamodb::Client::delete_item)
            .then_output(|| DeleteItemOutput::builder().build());
        let handed = json!({"undo": true, "holds": [
            {"resource": rule().arn, "mechanism": "rule", "original": {"state": "DISABLED"}},
        ]});
        let (done, writes) = run_with(there(), None, handed, &[&nothing, &forgotten]).await;
        assert_eq!(
            done.unwrap()["summary"],
            "our rules: guard-trail-tampered stays as deployed; an operator who intends another \
             rule deploys it"
        );
        assert_eq!(writes, [""; 0]);
    }

    #[tokio::test]
    async fn an_undo_keeps_what_another_incident_holds_and_a_dry_one_writes_nothing() {
        let there = || Found::There(RuleState::Enabled, None, as_deployed());
        let held_by = |incidents: &'static [&'static str]| {
            mock!(aws_sdk_dynamodb::Client::get_item)
                .match_requests(|request| {
                    let key = request.key().unwrap();
                    let pk = format!("hold#{}", rule().arn);
                    key["pk"] == AttributeValue::S(pk)
                        && key["sk"] == AttributeValue::S("rule".to_owned())
                })
                .then_output(move || {
                    let incidents = incidents.iter().map(ToString::to_string).collect();
                    GetItemOutput::builder()
                        .item("incidents", AttributeValue::Ss(incidents))
                        .item(
                            "original",
                            AttributeValue::S(r#"{"existed":false}"#.to_owned()),
                        )
                        .build()
                })
        };
        let nothing = mock!(aws_sdk_dynamodb::Client::get_item)
            .then_output(|| GetItemOutput::builder().build());
        let forget = mock!(aws_sdk_dynamodb::Client::delete_item)
            .then_output(|| DeleteItemOutput::builder().build());
        let update = holding();
        let undo = async |incidents, payload| {
            let held = held_by(incidents);
            let dynamodb = [&held, &nothing, &forget, &update];
            let (done, writes) = run_with(there(), None, payload, &dynamodb).await;
            assert_eq!(writes, [""; 0]);
            done.unwrap()["summary"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            undo(&["i-1", "i-2"], json!({"undo": true})).await,
            "our rules: other incidents still hold guard-trail-tampered"
        );
        assert_eq!((update.num_calls(), forget.num_calls()), (1, 0));
        let stays = "our rules: guard-trail-tampered stays as deployed; an operator who intends \
                     another rule deploys it";
        assert_eq!(
            undo(&["i-1"], json!({"undo": true, "dryRun": true})).await,
            stays
        );
        assert_eq!((update.num_calls(), forget.num_calls()), (1, 0));
        assert_eq!(undo(&["i-1"], json!({"undo": true})).await, stays);
        assert_eq!((update.num_calls(), forget.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn an_undo_without_a_ledger_is_a_failure() {
        let gone = mock!(aws_sdk_dynamodb::Client::get_item).then_error(|| {
            let gone = ErrorMetadata::builder().code("ResourceNotFoundException");
            GetItemError::generic(gone.build())
        });
        let there = Found::There(RuleState::Enabled, None, as_deployed());
        let (done, _) = run_with(there, None, json!({"undo": true}), &[&gone]).await;
        let failure = done.unwrap_err().to_string();
        assert!(failure.contains("dynamodb:GetItem"), "{failure}");
    }
}
