//! EventBridge's part, which the emulator leaves out: CloudTrail's events do not reach its bus.

use aws_sdk_eventbridge::types::{Rule, RuleState, Target};

use super::{
    Range,
    error::{Context, Error, Result},
    event::Event,
    run::Run,
};

/// One rule that matched, and what its target made of the event.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The rule.
    pub(crate) rule: String,
    /// Triage's execution, which has ended.
    pub(crate) triage: Run,
}

impl Range {
    /// Hands `event` to the targets of every deployed rule whose own pattern matches it, and waits
    /// for what they start.
    pub(crate) async fn deliver(&self, event: &Event) -> Result<Vec<Delivery>> {
        let mut started = Vec::new();
        for rule in self.rules().await? {
            let name = rule.name.clone().unwrap_or_default();
            if !self.matches(&rule, event).await? {
                continue;
            }
            for target in self.targets(&name).await? {
                let machine = takes_whole_event(&target)?;
                let execution = self.start_machine(machine, &event.json).await?;
                started.push((name.clone(), execution));
            }
        }
        let mut deliveries = Vec::new();
        for (rule, execution) in started {
            let triage = self.end_of(&execution).await?;
            deliveries.push(Delivery { rule, triage });
        }
        Ok(deliveries)
    }

    async fn rules(&self) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        let mut next = None;
        loop {
            let call = self.aws.eventbridge.list_rules().set_next_token(next);
            let page = call.send().await.context("events:ListRules")?;
            rules.extend(page.rules.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                return Ok(rules);
            }
        }
    }

    async fn matches(&self, rule: &Rule, event: &Event) -> Result<bool> {
        let (Some(pattern), false) = (
            rule.event_pattern(),
            rule.state() == Some(&RuleState::Disabled),
        ) else {
            return Ok(false);
        };
        let test = self.aws.eventbridge.test_event_pattern();
        let tested = test
            .event_pattern(pattern)
            .event(event.json.to_string())
            .send()
            .await;
        Ok(tested.context("events:TestEventPattern")?.result)
    }

    async fn targets(&self, rule: &str) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        let mut next = None;
        loop {
            let call = self.aws.eventbridge.list_targets_by_rule();
            let page = call.rule(rule).set_next_token(next).send().await;
            let page = page.context("events:ListTargetsByRule")?;
            targets.extend(page.targets.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                return Ok(targets);
            }
        }
    }
}

/// The state machine of a target; the range plays no other kind, and no transformed input.
fn takes_whole_event(target: &Target) -> Result<&str> {
    let transformed =
        target.input.is_some() || target.input_path.is_some() || target.input_transformer.is_some();
    if transformed || !target.arn.contains(":stateMachine:") {
        return Err(Error::new(format!(
            "the target {} is not a state machine that takes the whole event",
            target.arn
        )));
    }
    Ok(&target.arn)
}
