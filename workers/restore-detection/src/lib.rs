//! Puts our own rules on EventBridge back as they were deployed.
//!
//! **Act.** Every rule of the template is compared with what is there. A rule that is gone, or takes
//! other events, is written whole (`PutRule` replaces all of a rule, and clears what it is not
//! told); one that is only disabled is enabled; a target that is gone or altered is put. Each rule is
//! held in the ledger before it is changed, and one that fails does not stop the next.
//!
//! **Left for a human**: targets on our rules that are not ours. They may copy events to an attacker,
//! or be somebody's own; the call that removes them is said.
//!
//! **Undo.** Turning detection off is the attack itself: an undo lets go of the holds and says what an
//! operator would do.
//!
//! **Calls.** `events:DescribeRule`, `ListTargetsByRule`, and as needed `EnableRule`, `PutRule`,
//! `PutTargets` with `iam:PassRole` for the role by which EventBridge starts our machines;
//! `dynamodb:UpdateItem` before a change; `GetItem`, and `UpdateItem` or `DeleteItem`, on an undo.
//!
//! **A second run** finds the rules as deployed and changes nothing.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html>

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{
    Client,
    types::{PutTargetsResultEntry, RuleState},
};
use detection::{Difference, Drift, Rule};
use incident::{Deviation, IncidentId, Settings};
use jiff::Timestamp;
use ledger::{Done, Hold, Ledger, Release};
use schemars::JsonSchema;
use serde::Deserialize;
use worker::{Failure, Worker};

/// The hold on a rule.
const MECHANISM: &str = "rule";

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
            run.leave(rule, &drift);
            if !drift.differences.iter().any(is_ours) {
                continue;
            }
            if input.dry_run {
                run.steps.push(format!("{} would be put back", rule.name));
                continue;
            }
            holds
                .put(Hold {
                    resource: rule.arn.clone(),
                    mechanism: MECHANISM.to_owned(),
                    original: drift.now.clone(),
                })
                .await;
            match self.put_back(rule, &drift).await {
                Ok(()) => run.put_back.push(&rule.name),
                Err(failure) => run.fail(rule, failure),
            }
        }
        run.end(holds.unrecorded())
    }

    async fn put_back(&self, rule: &Rule, drift: &Drift) -> Result<(), Failure> {
        let differs = |difference| drift.differences.contains(&difference);
        if differs(Difference::Missing) || differs(Difference::Changed) {
            self.events
                .put_rule()
                .name(&rule.name)
                .description(&rule.description)
                .set_event_pattern(rule.pattern.as_ref().map(ToString::to_string))
                .set_schedule_expression(rule.schedule.clone())
                .state(RuleState::Enabled)
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
            self.put_target(rule).await?;
        }
        Ok(())
    }

    /// `PutTargets` answers a target that it refuses with success.
    async fn put_target(&self, rule: &Rule) -> Result<(), Failure> {
        let target = rule.target.to_sdk();
        let target = target.map_err(|error| Failure::Rejected(error.to_string()))?;
        let answer = self
            .events
            .put_targets()
            .rule(&rule.name)
            .targets(target)
            .send()
            .await
            .map_err(|error| Failure::aws("events:PutTargets", &error))?;
        if answer.failed_entry_count() == 0 {
            return Ok(());
        }
        let refused = answer.failed_entries().first();
        let code = refused.and_then(PutTargetsResultEntry::error_code);
        let why = refused.and_then(PutTargetsResultEntry::error_message);
        let class = match code {
            Some("ConcurrentModificationException") => Failure::Transient,
            _ => Failure::Rejected,
        };
        Err(class(format!(
            "events:PutTargets: {}: {}",
            code.unwrap_or("refused"),
            why.unwrap_or("no reason given")
        )))
    }

    async fn let_go(&self, input: &Input) -> Result<Done, Failure> {
        let undo = self
            .ledger
            .undo_for(&input.incident_id, &input.holds, input.dry_run);
        let mut run = Run::default();
        for rule in &self.rules {
            match undo.release(&rule.arn, MECHANISM).await {
                Ok(Release::NotHeld) => {}
                Ok(Release::StillHeld) => run
                    .steps
                    .push(format!("other incidents still hold {}", rule.name)),
                Ok(Release::Last(_)) => match undo.forget(&rule.arn, MECHANISM).await {
                    Ok(()) => run.steps.push(format!(
                        "{} stays as deployed; an operator who intends another rule deploys it",
                        rule.name
                    )),
                    Err(failure) => run.fail(rule, failure),
                },
                Err(failure) => run.fail(rule, failure),
            }
        }
        if run.steps.is_empty() && run.failures.is_empty() {
            run.steps
                .push("this incident holds none of them".to_owned());
        }
        run.end(Vec::new())
    }
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

    fn end(mut self, undo: Vec<Hold>) -> Result<Done, Failure> {
        let changed = !self.put_back.is_empty();
        if changed {
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
    use std::sync::{Arc, Mutex};

    use aws_sdk_dynamodb::{
        operation::{
            delete_item::DeleteItemOutput,
            get_item::{GetItemError, GetItemOutput},
            update_item::{UpdateItemError, UpdateItemOutput},
        },
        types::AttributeValue,
    };
    use aws_sdk_eventbridge::{
        error::ErrorMetadata,
        operation::{
            describe_rule::{DescribeRuleError, DescribeRuleOutput},
            enable_rule::EnableRuleOutput,
            list_targets_by_rule::ListTargetsByRuleOutput,
            put_rule::{PutRuleError, PutRuleOutput},
            put_targets::{PutTargetsError, PutTargetsOutput},
        },
        types::{
            Target,
            error::{LimitExceededException, ResourceNotFoundException},
        },
    };
    use aws_smithy_mocks::{Rule as Mock, RuleMode, mock, mock_client};
    use serde_json::{Value, json};
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
                (RuleState::Enabled, pattern, vec![target])
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
        let mocks: Vec<&Mock> = mocks.iter().chain([&enable]).collect();
        let worker = RestoreDetection {
            events: mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, &mocks),
            rules: rules(),
            ledger: ledger(&[&holding()]),
            now: Timestamp::now,
        };
        let failure = answer(&worker, &json!({"incidentId": "i-1"})).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        assert_eq!(enable.num_calls(), rules().len() - 1);
        insta::assert_snapshot!(failure, @"our rules: put back: guard-log-archive-tampered, guard-detection-tampered, guard-responder-tampered, guard-trails-checked; failed: guard-trail-tampered: events:DescribeRule: AccessDeniedException");
    }

    #[tokio::test]
    async fn a_rule_full_of_foreign_targets_names_the_call_that_makes_room() {
        let foreign = (1..=5).map(|n| {
            let mut target = as_deployed().remove(0);
            target.id = format!("copy{n}");
            target
        });
        let full = mock!(Client::put_targets).then_error(|| {
            let full = LimitExceededException::builder()
                .meta(
                    ErrorMetadata::builder()
                        .code("LimitExceededException")
                        .build(),
                )
                .build();
            PutTargetsError::LimitExceededException(full)
        });
        let mut mocks = told(&Found::There(RuleState::Enabled, None, foreign.collect()));
        mocks.push(full);
        let mocks: Vec<&Mock> = mocks.iter().collect();
        let worker = RestoreDetection {
            events: mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, &mocks),
            rules: rules(),
            ledger: ledger(&[&holding()]),
            now: Timestamp::now,
        };
        let failure = answer(&worker, &json!({"incidentId": "i-1"})).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
        let call = "aws events remove-targets --rule guard-trail-tampered --ids copy1 copy2";
        assert!(failure.to_string().contains(call), "{failure}");
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
            assert_eq!(worker.put_target(&rule()).await.unwrap_err().name(), name);
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
                    let pk = format!("hold#{}", rule().arn);
                    request.key().unwrap()["pk"] == AttributeValue::S(pk)
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
