//! What is there, beside what was deployed.

use std::collections::BTreeMap;

use aws_sdk_eventbridge::{
    Client,
    operation::describe_rule::{DescribeRuleError, DescribeRuleOutput},
    types,
};
use incident::Deviation;
use serde_json::{Map, Value, json};
use worker::Failure;

use crate::{Rule, Target};

/// How many targets a rule can have.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html>
const MOST_TARGETS: usize = 5;

/// How one of our rules is not as it was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What is there now, for whoever puts it back; its `foreignTargets` are, by their ids, as
    /// `PutTargets` takes them.
    pub now: Value,
    /// What is not as it was.
    pub differences: Vec<Difference>,
}

/// One thing that is not as it was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// There is no such rule.
    Missing,
    /// It takes nothing.
    Disabled,
    /// It takes other events, or fires at other times.
    Changed,
    /// It does not send its events where it should, as it should.
    Target,
    /// It sends its events elsewhere, too: the ARNs of these targets, by their ids.
    ForeignTargets(BTreeMap<String, String>),
}

impl Drift {
    /// The deviations of `rule`, for people.
    #[must_use]
    pub fn deviations(&self, rule: &Rule) -> Vec<Deviation> {
        let told = self.differences.iter().map(|difference| Deviation {
            what: format!("our rule {} {}", rule.name, difference.of(rule)),
            remedy: difference.remedy(rule),
            state: format!("{} {}", rule.name, self.state(difference)),
        });
        told.collect()
    }

    /// The targets that are not ours, in the order in which they make room for ours: first those of
    /// other accounts, to which our events leak. Their ids, and what they are.
    #[must_use]
    pub fn foreign(&self, rule: &Rule) -> Vec<(&str, &Value)> {
        let foreign = self.now["foreignTargets"].as_object();
        let foreign = foreign.into_iter().flatten();
        let mut foreign: Vec<_> = foreign.map(|(id, it)| (id.as_str(), it)).collect();
        foreign.sort_by_key(|(_, it)| {
            let account = |arn: &str| arn.split(':').nth(4).map(str::to_owned);
            it["Arn"].as_str().and_then(account) == account(&rule.arn)
        });
        foreign
    }

    /// How many of the targets that are not ours must go, so that there is room for ours.
    #[must_use]
    pub fn excess(&self) -> usize {
        let foreign = self.now["foreignTargets"].as_object();
        let ours_is_missing = self.now["target"].is_null();
        let all = foreign.map_or(0, Map::len) + usize::from(ours_is_missing);
        all.saturating_sub(MOST_TARGETS)
    }

    /// The same after the targets with these ids were removed.
    #[must_use]
    pub fn without(mut self, removed: &[&str]) -> Self {
        self.differences.retain_mut(|difference| match difference {
            Difference::ForeignTargets(foreign) => {
                foreign.retain(|id, _| !removed.contains(&id.as_str()));
                !foreign.is_empty()
            }
            _ => true,
        });
        self
    }

    /// What tells `difference` from another of its kind. Nothing else of the rule is in it: mending one
    /// difference must not make a new deviation of those that are left.
    fn state(&self, difference: &Difference) -> Value {
        let now = &self.now;
        match difference {
            Difference::Missing => json!({"missing": true}),
            Difference::Disabled => json!({"disabled": true}),
            Difference::Changed => json!({"pattern": now["pattern"], "schedule": now["schedule"]}),
            Difference::Target => json!({"target": now["target"]}),
            Difference::ForeignTargets(foreign) => json!({"foreign": foreign}),
        }
    }
}

impl Difference {
    fn of(&self, rule: &Rule) -> String {
        match self {
            Self::Missing => "does not exist".to_owned(),
            Self::Disabled => "is disabled".to_owned(),
            Self::Changed if rule.pattern.is_none() => "fires at other times".to_owned(),
            Self::Changed => "takes other events".to_owned(),
            Self::Target => format!("does not send its events to {} as deployed", rule.target.id),
            Self::ForeignTargets(foreign) => {
                let foreign: Vec<_> = foreign
                    .iter()
                    .map(|(id, arn)| format!("{id} ({arn})"))
                    .collect();
                format!("sends its events elsewhere, too: {}", foreign.join(", "))
            }
        }
    }

    /// The call that takes foreign targets away: whether they are somebody's own is not for a
    /// worker to decide.
    fn remedy(&self, rule: &Rule) -> Option<String> {
        match self {
            Self::ForeignTargets(foreign) => {
                let ids: Vec<_> = foreign.keys().map(String::as_str).collect();
                Some(format!(
                    "unless you put them there: aws events remove-targets --rule {} --ids {}",
                    rule.name,
                    ids.join(" ")
                ))
            }
            _ => None,
        }
    }
}

/// How `rule` is not as it was deployed; none when it is.
///
/// # Errors
/// When EventBridge does not tell.
pub async fn drift(client: &Client, rule: &Rule) -> Result<Option<Drift>, Failure> {
    let described = client.describe_rule().name(&rule.name).send().await;
    let described = match described {
        Ok(described) => described,
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DescribeRuleError::is_resource_not_found_exception) =>
        {
            return Ok(Some(Drift {
                now: json!({"existed": false}),
                differences: vec![Difference::Missing],
            }));
        }
        Err(error) => return Err(Failure::aws("events:DescribeRule", &error)),
    };
    let targets = targets(client, &rule.name).await?;
    Ok(compare(rule, &described, &targets))
}

async fn targets(client: &Client, rule: &str) -> Result<Vec<types::Target>, Failure> {
    let (mut targets, mut next) = (Vec::new(), None);
    loop {
        let call = client
            .list_targets_by_rule()
            .rule(rule)
            .set_next_token(next);
        let page = call
            .send()
            .await
            .map_err(|error| Failure::aws("events:ListTargetsByRule", &error))?;
        targets.extend(page.targets.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            return Ok(targets);
        }
    }
}

/// How what EventBridge tells of a rule is not as it was deployed; none when it is.
fn compare(
    rule: &Rule,
    described: &DescribeRuleOutput,
    targets: &[types::Target],
) -> Option<Drift> {
    let pattern = described.event_pattern().filter(|it| !it.is_empty());
    let pattern = pattern.map(|it| serde_json::from_str(it).unwrap_or_else(|_| json!(it)));
    let schedule = described.schedule_expression().filter(|it| !it.is_empty());
    let target = targets.iter().find(|it| it.id == rule.target.id);
    let foreign = || targets.iter().filter(|it| it.id != rule.target.id);
    let arns: BTreeMap<_, _> = foreign()
        .map(|it| (it.id.clone(), it.arn.clone()))
        .collect();
    let whole: Map<_, _> = foreign().map(|it| (it.id.clone(), whole(it))).collect();
    let now = json!({
        "existed": true,
        "state": described.state().map(types::RuleState::as_str),
        "pattern": pattern,
        "schedule": schedule,
        "target": target.map(told),
        "foreignTargets": whole,
    });
    let enabled = matches!(
        described.state(),
        Some(
            types::RuleState::Enabled | types::RuleState::EnabledWithAllCloudtrailManagementEvents
        )
    );
    // To enable it would not be enough: it has to be put with its state.
    let deaf = rule.takes_reads && described.state() != Some(&rule.state());
    let changed = deaf || pattern != rule.pattern || schedule != rule.schedule.as_deref();
    let astray = !target.is_some_and(|target| rule.target.is(target));
    let differences: Vec<_> = [
        (!enabled).then_some(Difference::Disabled),
        changed.then_some(Difference::Changed),
        astray.then_some(Difference::Target),
        (!arns.is_empty()).then_some(Difference::ForeignTargets(arns)),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!differences.is_empty()).then_some(Drift { now, differences })
}

/// A target, as it is recorded before it is changed.
fn told(target: &types::Target) -> Value {
    let retries = target.retry_policy();
    json!({
        "arn": target.arn,
        "role": target.role_arn,
        "deadLetters": target.dead_letter_config().and_then(types::DeadLetterConfig::arn),
        "maximumAge": retries.and_then(types::RetryPolicy::maximum_event_age_in_seconds),
        "maximumRetries": retries.and_then(types::RetryPolicy::maximum_retry_attempts),
        "input": target.input,
        "inputPath": target.input_path,
        "inputTemplate": target.input_transformer().map(types::InputTransformer::input_template),
    })
}

/// A target that is not ours, as `PutTargets` takes it. The parameters of tasks, jobs, commands,
/// statements and pipelines are named and not kept, nor are those of HTTP, which may hold keys:
/// CloudTrail's record of the call that put the target has them.
fn whole(target: &types::Target) -> Value {
    let dead_letters = target.dead_letter_config();
    let retries = target.retry_policy();
    let input = target.input_transformer();
    let not_kept: Vec<_> = [
        ("HttpParameters", target.http_parameters().is_some()),
        ("EcsParameters", target.ecs_parameters().is_some()),
        ("BatchParameters", target.batch_parameters().is_some()),
        (
            "RunCommandParameters",
            target.run_command_parameters().is_some(),
        ),
        (
            "RedshiftDataParameters",
            target.redshift_data_parameters().is_some(),
        ),
        (
            "SageMakerPipelineParameters",
            target.sage_maker_pipeline_parameters().is_some(),
        ),
    ]
    .into_iter()
    .filter_map(|(name, has)| has.then_some(name))
    .collect();
    bare(json!({
        "Id": target.id,
        "Arn": target.arn,
        "RoleArn": target.role_arn,
        "Input": target.input,
        "InputPath": target.input_path,
        "InputTransformer": input.map(|it| bare(json!({
            "InputPathsMap": it.input_paths_map,
            "InputTemplate": it.input_template,
        }))),
        "KinesisParameters": target.kinesis_parameters().map(|it| json!({
            "PartitionKeyPath": it.partition_key_path,
        })),
        "SqsParameters": target.sqs_parameters().map(|it| bare(json!({
            "MessageGroupId": it.message_group_id,
        }))),
        "AppSyncParameters": target.app_sync_parameters().map(|it| bare(json!({
            "GraphQLOperation": it.graph_ql_operation,
        }))),
        "DeadLetterConfig": dead_letters.map(|it| bare(json!({"Arn": it.arn}))),
        "RetryPolicy": retries.map(|it| bare(json!({
            "MaximumRetryAttempts": it.maximum_retry_attempts,
            "MaximumEventAgeInSeconds": it.maximum_event_age_in_seconds,
        }))),
        "notKept": (!not_kept.is_empty()).then_some(not_kept),
    }))
}

/// `PutTargets` takes no field that is null.
fn bare(mut fields: Value) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    fields
}

impl Target {
    /// Whether `found` is this target, and hands over whole events.
    fn is(&self, found: &types::Target) -> bool {
        let retries = found.retry_policy();
        let age = retries.and_then(types::RetryPolicy::maximum_event_age_in_seconds);
        let attempts = retries.and_then(types::RetryPolicy::maximum_retry_attempts);
        let dead_letters = found
            .dead_letter_config()
            .and_then(types::DeadLetterConfig::arn);
        found.arn == self.arn
            && found.role_arn() == Some(&self.role)
            && dead_letters == Some(&self.dead_letters)
            && age == Some(self.maximum_age)
            && attempts == Some(self.maximum_retries)
            && found.input().is_none()
            && found.input_path().is_none()
            && found.input_transformer().is_none()
    }

    /// The target as `PutTargets` takes it.
    ///
    /// # Errors
    /// When a part of it is missing, which none that was deployed has.
    pub fn to_sdk(&self) -> Result<types::Target, aws_sdk_eventbridge::error::BuildError> {
        types::Target::builder()
            .id(&self.id)
            .arn(&self.arn)
            .role_arn(&self.role)
            .dead_letter_config(
                types::DeadLetterConfig::builder()
                    .arn(&self.dead_letters)
                    .build(),
            )
            .retry_policy(
                types::RetryPolicy::builder()
                    .maximum_event_age_in_seconds(self.maximum_age)
                    .maximum_retry_attempts(self.maximum_retries)
                    .build(),
            )
            .build()
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_eventbridge::{
        error::ErrorMetadata, operation::list_targets_by_rule::ListTargetsByRuleOutput,
        types::RuleState,
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;
    use crate::rules::tests::settings;

    fn named(name: &str) -> Rule {
        let rules = crate::rules(&settings("")).unwrap();
        rules.into_iter().find(|rule| rule.name == name).unwrap()
    }

    fn tampered() -> Rule {
        named("guard-trail-tampered")
    }

    fn described(rule: &Rule) -> DescribeRuleOutput {
        DescribeRuleOutput::builder()
            .name(&rule.name)
            .set_event_pattern(rule.pattern.as_ref().map(Value::to_string))
            .set_schedule_expression(rule.schedule.clone())
            .state(rule.state())
            .build()
    }

    fn foreign_targets() -> BTreeMap<String, String> {
        let arn = "arn:aws:sqs:eu-west-1:210987654321:copy";
        BTreeMap::from([("copy".to_owned(), arn.to_owned())])
    }

    fn differences(described: &DescribeRuleOutput, targets: &[types::Target]) -> Vec<Difference> {
        compare(&tampered(), described, targets).map_or_else(Vec::new, |drift| drift.differences)
    }

    #[test]
    fn every_rule_as_deployed_has_no_drift() {
        for rule in crate::rules(&settings("")).unwrap() {
            let target = rule.target.to_sdk().unwrap();
            assert_eq!(compare(&rule, &described(&rule), &[target]), None);
        }
    }

    #[test]
    fn the_order_of_a_patterns_fields_and_a_wider_state_are_no_drift() {
        let rule = tampered();
        let mut described = described(&rule);
        let Value::Object(fields) = rule.pattern.clone().unwrap() else {
            panic!("no object");
        };
        let turned: serde_json::Map<_, _> = fields.into_iter().rev().collect();
        described.event_pattern = Some(Value::Object(turned).to_string());
        described.state = Some(RuleState::EnabledWithAllCloudtrailManagementEvents);
        assert_eq!(
            differences(&described, &[rule.target.to_sdk().unwrap()]),
            []
        );
    }

    #[test]
    fn a_rule_that_takes_reads_and_does_not_any_more_is_changed() {
        let rule = named("guard-sessions-taken");
        let target = rule.target.to_sdk().unwrap();
        let mut deaf = described(&rule);
        deaf.state = Some(RuleState::Enabled);
        let drift = compare(&rule, &deaf, std::slice::from_ref(&target)).unwrap();
        assert_eq!(drift.differences, [Difference::Changed]);
        deaf.state = Some(RuleState::Disabled);
        let drift = compare(&rule, &deaf, &[target]).unwrap();
        assert_eq!(
            drift.differences,
            [Difference::Disabled, Difference::Changed]
        );
    }

    #[test]
    fn every_difference_is_named() {
        let rule = tampered();
        let target = rule.target.to_sdk().unwrap();
        let mut off = described(&rule);
        off.state = Some(RuleState::Disabled);
        assert_eq!(
            differences(&off, std::slice::from_ref(&target)),
            [Difference::Disabled]
        );
        let mut unknown = described(&rule);
        unknown.state = None;
        assert_eq!(
            differences(&unknown, std::slice::from_ref(&target)),
            [Difference::Disabled]
        );
        for pattern in [None, Some("{}".to_owned()), Some("not JSON".to_owned())] {
            let mut other = described(&rule);
            other.event_pattern = pattern;
            assert_eq!(
                differences(&other, std::slice::from_ref(&target)),
                [Difference::Changed]
            );
        }
        assert_eq!(differences(&described(&rule), &[]), [Difference::Target]);
        let mut foreign = target.clone();
        foreign.id = "copy".to_owned();
        foreign.arn = "arn:aws:sqs:eu-west-1:210987654321:copy".to_owned();
        assert_eq!(
            differences(&described(&rule), &[target, foreign]),
            [Difference::ForeignTargets(foreign_targets())]
        );
        let clock = named("guard-trails-checked");
        let mut slower = described(&clock);
        slower.schedule_expression = Some("rate(7 days)".to_owned());
        let drift = compare(&clock, &slower, &[clock.target.to_sdk().unwrap()]).unwrap();
        assert_eq!(
            drift.deviations(&clock)[0].what,
            "our rule guard-trails-checked fires at other times"
        );
    }

    #[test]
    fn mending_one_difference_makes_no_new_deviation_of_the_others() {
        let rule = tampered();
        let mut copy = rule.target.to_sdk().unwrap();
        copy.id = "copy".to_owned();
        copy.arn = "arn:aws:sqs:eu-west-1:210987654321:copy".to_owned();
        let mut off = described(&rule);
        off.state = Some(RuleState::Disabled);
        let before = compare(&rule, &off, &[copy.clone()]).unwrap();
        let before = before.deviations(&rule);
        let targets = [copy.clone(), rule.target.to_sdk().unwrap()];
        let after = compare(&rule, &described(&rule), &targets).unwrap();
        let after = after.deviations(&rule);
        assert_eq!((before.len(), after.len()), (3, 1));
        assert_eq!(before[2], after[0]);

        copy.arn.push('2');
        let targets = [copy, rule.target.to_sdk().unwrap()];
        let elsewhere = compare(&rule, &described(&rule), &targets).unwrap();
        assert_ne!(elsewhere.deviations(&rule)[0].state, after[0].state);
    }

    #[test]
    fn targets_of_other_accounts_make_room_first() {
        let rule = tampered();
        let foreign = |id: &str, account: &str| {
            types::Target::builder()
                .id(id)
                .arn(format!("arn:aws:sqs:eu-west-1:{account}:copy"))
                .build()
                .unwrap()
        };
        let ours = || rule.target.to_sdk().unwrap();
        let mut targets = vec![
            foreign("a", "123456789012"),
            foreign("b", "210987654321"),
            foreign("c", "123456789012"),
            foreign("d", "210987654321"),
        ];
        let compared = |targets: &[types::Target]| {
            compare(&rule, &described(&rule), targets).expect("foreign targets")
        };
        assert_eq!(compared(&targets).excess(), 0);
        targets.push(foreign("e", "123456789012"));
        let drift = compared(&targets);
        assert_eq!(drift.excess(), 1);
        let ids: Vec<_> = drift.foreign(&rule).into_iter().map(|it| it.0).collect();
        assert_eq!(ids, ["b", "d", "a", "c", "e"]);

        let rest = drift.clone().without(&["b", "d"]);
        let ids = rest.deviations(&rule).pop().unwrap().remedy.unwrap();
        assert!(ids.ends_with("--ids a c e"), "{ids}");
        let none = drift.without(&["a", "b", "c", "d", "e"]);
        assert_eq!(none.differences, [Difference::Target]);

        targets[4] = ours();
        assert_eq!(compared(&targets).excess(), 0);
    }

    #[test]
    fn a_foreign_target_is_kept_as_it_is_put() {
        let rule = tampered();
        let plain = types::Target::builder()
            .id("plain")
            .arn("arn:aws:sqs:eu-west-1:210987654321:copy");
        let transformer = types::InputTransformer::builder()
            .input_paths_map("id", "$.id")
            .input_template("<id>");
        let rich = types::Target::builder()
            .id("rich")
            .arn("arn:aws:kinesis:eu-west-1:123456789012:stream/s")
            .role_arn("arn:aws:iam::123456789012:role/r")
            .input_transformer(transformer.build().unwrap())
            .kinesis_parameters(
                types::KinesisParameters::builder()
                    .partition_key_path("$.id")
                    .build()
                    .unwrap(),
            )
            .sqs_parameters(
                types::SqsParameters::builder()
                    .message_group_id("g")
                    .build(),
            )
            .http_parameters(
                types::HttpParameters::builder()
                    .header_parameters("x-api-key", "secret")
                    .build(),
            )
            .app_sync_parameters(
                types::AppSyncParameters::builder()
                    .graph_ql_operation("mutation")
                    .build(),
            )
            .dead_letter_config(types::DeadLetterConfig::builder().arn("arn:d").build())
            .retry_policy(
                types::RetryPolicy::builder()
                    .maximum_retry_attempts(3)
                    .build(),
            )
            .batch_parameters(
                types::BatchParameters::builder()
                    .job_definition("d")
                    .job_name("j")
                    .build()
                    .unwrap(),
            );
        let targets = [plain.build().unwrap(), rich.build().unwrap()];
        let drift = compare(&rule, &described(&rule), &targets).unwrap();
        let copy = "arn:aws:sqs:eu-west-1:210987654321:copy";
        assert_eq!(
            drift.now["foreignTargets"],
            json!({
                "plain": {"Id": "plain", "Arn": copy},
                "rich": {
                    "Id": "rich",
                    "Arn": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
                    "RoleArn": "arn:aws:iam::123456789012:role/r",
                    "InputTransformer": {"InputPathsMap": {"id": "$.id"}, "InputTemplate": "<id>"},
                    "KinesisParameters": {"PartitionKeyPath": "$.id"},
                    "SqsParameters": {"MessageGroupId": "g"},
                    "AppSyncParameters": {"GraphQLOperation": "mutation"},
                    "DeadLetterConfig": {"Arn": "arn:d"},
                    "RetryPolicy": {"MaximumRetryAttempts": 3},
                    "notKept": ["HttpParameters", "BatchParameters"],
                },
            })
        );
    }

    #[test]
    fn a_target_must_be_ours_in_every_part() {
        let rule = tampered();
        let target = || rule.target.to_sdk().unwrap();
        let changed: [fn(&mut types::Target); 7] = [
            |target| target.arn.push('x'),
            |target| target.role_arn = None,
            |target| target.dead_letter_config = None,
            |target| target.retry_policy = None,
            |target| target.input = Some("{}".to_owned()),
            |target| target.input_path = Some("$.id".to_owned()),
            |target| {
                let template = types::InputTransformer::builder().input_template("{}");
                target.input_transformer = template.build().ok();
            },
        ];
        for change in changed {
            let mut target = target();
            change(&mut target);
            assert_eq!(
                differences(&described(&rule), &[target]),
                [Difference::Target]
            );
        }
    }

    #[tokio::test]
    async fn a_rule_that_is_gone_is_missing_and_one_that_cannot_be_read_is_a_failure() {
        let refused = async |error: fn() -> DescribeRuleError| {
            let refused = mock!(Client::describe_rule).then_error(error);
            drift(&mock_client!(aws_sdk_eventbridge, &[&refused]), &tampered()).await
        };
        let gone = refused(|| {
            let gone = types::error::ResourceNotFoundException::builder().build();
            DescribeRuleError::ResourceNotFoundException(gone)
        });
        let gone = gone.await.unwrap().unwrap();
        assert_eq!(gone.differences, [Difference::Missing]);
        let denied = refused(|| {
            let denied = ErrorMetadata::builder().code("AccessDeniedException");
            DescribeRuleError::generic(denied.build())
        });
        assert_eq!(denied.await.unwrap_err().name(), "AccessDenied");
    }

    #[tokio::test]
    async fn targets_are_read_to_the_last_page() {
        let rule = tampered();
        let (described, target) = (described(&rule), rule.target.to_sdk().unwrap());
        let describe = mock!(Client::describe_rule).then_output(move || described.clone());
        let first = mock!(Client::list_targets_by_rule)
            .match_requests(|request| request.next_token().is_none())
            .then_output(|| ListTargetsByRuleOutput::builder().next_token("2").build());
        let last = mock!(Client::list_targets_by_rule)
            .match_requests(|request| request.next_token() == Some("2"))
            .then_output(move || {
                ListTargetsByRuleOutput::builder()
                    .targets(target.clone())
                    .build()
            });
        let rules = [&describe, &first, &last];
        let client = mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, &rules);
        assert_eq!(drift(&client, &rule).await, Ok(None));
    }

    #[test]
    fn deviations_are_told_with_the_call_where_no_worker_repairs_them() {
        let rule = tampered();
        let drift = Drift {
            now: json!(null),
            differences: vec![
                Difference::Missing,
                Difference::Disabled,
                Difference::Changed,
                Difference::Target,
                Difference::ForeignTargets(foreign_targets()),
            ],
        };
        let told: Vec<_> = drift
            .deviations(&rule)
            .into_iter()
            .map(|deviation| match deviation.remedy {
                Some(remedy) => format!("{}: {remedy}", deviation.what),
                None => deviation.what,
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        our rule guard-trail-tampered does not exist
        our rule guard-trail-tampered is disabled
        our rule guard-trail-tampered takes other events
        our rule guard-trail-tampered does not send its events to triage as deployed
        our rule guard-trail-tampered sends its events elsewhere, too: copy (arn:aws:sqs:eu-west-1:210987654321:copy): unless you put them there: aws events remove-targets --rule guard-trail-tampered --ids copy
        ");
    }
}
