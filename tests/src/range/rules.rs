//! The deployed rules and their targets.

use std::collections::BTreeMap;

use aws_sdk_eventbridge::types::{Rule, Target};

use super::{
    Range,
    archive::json_text,
    error::{Context, Error, Result},
    snapshot::Things,
};

/// A rule, and where it sends what it matches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Watcher {
    pub(crate) rule: Rule,
    pub(crate) targets: Vec<Target>,
}

impl Watcher {
    pub(crate) fn name(&self) -> &str {
        self.rule.name().unwrap_or_default()
    }
}

impl Range {
    /// Every rule, in the order of their names.
    pub(crate) async fn watchers(&self) -> Result<Vec<Watcher>> {
        let mut watchers = BTreeMap::new();
        let mut next = None;
        loop {
            let call = self.aws.eventbridge.list_rules().set_next_token(next);
            let page = call.send().await.context("events:ListRules")?;
            for rule in page.rules.unwrap_or_default() {
                let name = rule.name.clone().unwrap_or_default();
                let targets = self.targets(&name).await?;
                watchers.insert(name, Watcher { rule, targets });
            }
            next = page.next_token;
            if next.is_none() {
                return Ok(watchers.into_values().collect());
            }
        }
    }

    /// The deployed rule whose name ends so.
    pub(crate) fn watcher(&self, end: &str) -> Result<&Watcher> {
        self.deployed
            .iter()
            .find(|watcher| watcher.name().ends_with(end))
            .context(format!("no rule was deployed whose name ends in {end}"))
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
                targets.sort_by(|one, other| one.id.cmp(&other.id));
                return Ok(targets);
            }
        }
    }

    /// Makes every rule as it was deployed.
    pub(crate) async fn reset_rules(&self) -> Result<()> {
        let now = self.watchers().await?;
        for deployed in self.deployed.iter().filter(|rule| !now.contains(rule)) {
            let rule = &deployed.rule;
            let put = self.aws.eventbridge.put_rule().name(deployed.name());
            put.set_description(rule.description.clone())
                .set_event_pattern(rule.event_pattern.clone())
                .set_schedule_expression(rule.schedule_expression.clone())
                .set_state(rule.state.clone())
                .send()
                .await
                .context("events:PutRule")?;
            let put = self.aws.eventbridge.put_targets().rule(deployed.name());
            let put = put.set_targets(Some(deployed.targets.clone()));
            put.send().await.context("events:PutTargets")?;
        }
        Ok(())
    }

    /// Every rule and its targets.
    pub(crate) async fn rules(&self) -> Result<Things> {
        let mut things = Things::default();
        for Watcher { rule, targets } in self.watchers().await? {
            let name = rule.name().unwrap_or_default();
            things.add(
                format!("rule {name}"),
                format!(
                    "{:?} {:?} {:?} {}",
                    rule.state,
                    rule.description,
                    rule.schedule_expression,
                    json_text(rule.event_pattern())
                ),
            );
            things.add(format!("targets of {name}"), format!("{targets:?}"));
        }
        Ok(things)
    }
}

/// The state machine of a target; the range plays no other kind, and no transformed input.
pub(crate) fn takes_whole_event(target: &Target) -> Result<&str> {
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
