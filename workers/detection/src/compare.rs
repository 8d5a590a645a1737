//! What is there, beside what was deployed.

use std::collections::BTreeMap;

use aws_sdk_eventbridge::{
    Client,
    operation::describe_rule::{DescribeRuleError, DescribeRuleOutput},
    types,
};
use incident::Deviation;
use serde_json::{Value, json};
use worker::Failure;

use crate::{Rule, Target};

/// How one of our rules is not as it was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What is there now, for whoever puts it back.
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
    let foreign: BTreeMap<_, _> = targets
        .iter()
        .filter(|it| it.id != rule.target.id)
        .map(|it| (it.id.clone(), it.arn.clone()))
        .collect();
    let now = json!({
        "existed": true,
        "state": described.state().map(types::RuleState::as_str),
        "pattern": pattern,
        "schedule": schedule,
        "target": target.map(told),
        "foreignTargets": foreign,
    });
    let enabled = matches!(
        described.state(),
        Some(
            types::RuleState::Enabled | types::RuleState::EnabledWithAllCloudtrailManagementEvents
        )
    );
    let changed = pattern != rule.pattern || schedule != rule.schedule.as_deref();
    let astray = !target.is_some_and(|target| rule.target.is(target));
    let differences: Vec<_> = [
        (!enabled).then_some(Difference::Disabled),
        changed.then_some(Difference::Changed),
        astray.then_some(Difference::Target),
        (!foreign.is_empty()).then_some(Difference::ForeignTargets(foreign)),
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
            .state(RuleState::Enabled)
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
