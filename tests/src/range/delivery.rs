//! EventBridge's part, which the emulator leaves out: CloudTrail's events do not reach its bus. Its
//! clock is stopped too, so that a schedule is due when a drill says so.

use aws_sdk_eventbridge::types::RuleState;
use serde_json::Value;

use super::{
    Range, STACK,
    error::{Context, Error, Result},
    event::Event,
    rules::{Watcher, takes_whole_event},
    run::Run,
};
use crate::pattern;

/// One rule that matched, and what its target made of the event.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The rule.
    pub(crate) rule: String,
    /// The target's execution, which has ended.
    pub(crate) triage: Run,
}

impl Delivery {
    /// The incident that triage started a runbook for: the event's id, or one of its hour.
    pub(crate) fn incident(&self) -> Option<&str> {
        let states = ["Assess event", "Tally sign-ins"];
        let mut answers = states.iter().flat_map(|state| self.triage.answers(state));
        answers.find_map(|answer| answer["incidentId"].as_str())
    }
}

impl Range {
    /// Hands `event` to the targets of every deployed rule whose own pattern matches it, and waits
    /// for what they start.
    pub(crate) async fn deliver(&self, event: &Event) -> Result<Vec<Delivery>> {
        self.deliver_all(std::slice::from_ref(event)).await
    }

    /// Hands over all `events` at once.
    pub(crate) async fn deliver_all(&self, events: &[Event]) -> Result<Vec<Delivery>> {
        let watchers = self.watchers().await?;
        let mut started = Vec::new();
        for event in events {
            for watcher in &watchers {
                if self.matches(watcher, event).await? {
                    started.extend(self.hand_over(watcher, event).await?);
                }
            }
        }
        self.ended(started).await
    }

    /// Lets the schedule of the rule `<stack>-<rule>` be due, as after its time, and waits for what it
    /// starts.
    pub(crate) async fn tick(&self, rule: &str) -> Result<Vec<Delivery>> {
        let mut started = Vec::new();
        let name = format!("{STACK}-{rule}");
        for watcher in self.watchers().await? {
            let by_time = watcher.rule.schedule_expression().is_some();
            if watcher.name() == name && by_time && is_enabled(&watcher) {
                let arn = watcher.rule.arn().unwrap_or_default();
                started.extend(self.hand_over(&watcher, &Event::scheduled(arn)).await?);
            }
        }
        self.ended(started).await
    }

    async fn hand_over(&self, watcher: &Watcher, event: &Event) -> Result<Vec<(String, String)>> {
        let mut started = Vec::new();
        for target in &watcher.targets {
            let machine = takes_whole_event(target)?;
            let execution = self.start_machine(machine, &event.json).await?;
            started.push((watcher.name().to_owned(), execution));
        }
        Ok(started)
    }

    async fn ended(&self, started: Vec<(String, String)>) -> Result<Vec<Delivery>> {
        let mut deliveries = Vec::new();
        for (rule, execution) in started {
            let triage = self.end_of(&execution).await?;
            deliveries.push(Delivery { rule, triage });
        }
        Ok(deliveries)
    }

    /// Asks the emulator, and holds `cargo drill judge` to the same answer.
    async fn matches(&self, watcher: &Watcher, event: &Event) -> Result<bool> {
        let Some(pattern) = watcher.rule.event_pattern() else {
            return Ok(false);
        };
        let test = self.aws.eventbridge.test_event_pattern();
        let tested = test
            .event_pattern(pattern)
            .event(event.json.to_string())
            .send()
            .await;
        let matches = tested.context("events:TestEventPattern")?.result;
        let pattern: Value = serde_json::from_str(pattern).context("reading a pattern")?;
        let ours = pattern::matches(&pattern, &event.json).context(watcher.name())?;
        if ours != matches {
            return Err(Error::new(format!(
                "the emulator says that {} matches {}: {matches}; the pattern reader says {ours}",
                watcher.name(),
                event.json
            )));
        }
        Ok(matches && is_enabled(watcher))
    }
}

fn is_enabled(watcher: &Watcher) -> bool {
    watcher.rule.state() != Some(&RuleState::Disabled)
}
