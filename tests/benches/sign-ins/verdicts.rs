//! What came of the events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::crowd::{ATTACKED, BROKEN_INTO, SPRAYER, sub};

/// What came of the events.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    counted: usize,
    others: Vec<String>,
    /// The executions that were started, and what each answers: a second start of one is refused.
    started: BTreeMap<String, BTreeSet<String>>,
    answers: usize,
}

impl Verdicts {
    pub(crate) fn add(&mut self, event: &Value, verdict: &Value) {
        match verdict["verdict"].as_str() {
            Some("count") => self.counted += 1,
            Some("respond") => {
                self.answers += 1;
                let id = verdict["incidentId"].as_str().unwrap_or_default();
                let started = self.started.entry(id.to_owned()).or_default();
                started.insert(subject(&verdict["incident"]["target"]));
            }
            _ => self.others.push(format!("{}: {verdict}", event["id"])),
        }
    }

    /// Which attacks were not answered, answered twice, or are none.
    pub(crate) fn compare(&self) -> Vec<String> {
        let mut wrong: Vec<_> = self.others.iter().take(10).cloned().collect();
        let mut answered = BTreeMap::new();
        for (id, subjects) in &self.started {
            if subjects.len() != 1 {
                wrong.push(format!("{id} answers {subjects:?}"));
            }
            for subject in subjects {
                *answered.entry(subject.as_str()).or_insert(0) += 1;
            }
        }
        let broken_into = sub(BROKEN_INTO);
        let taken = format!("{broken_into}, broken into");
        // The attack on that account may have been seen before the break-in, or together with it.
        let before = answered.remove(broken_into.as_str()).unwrap_or(0);
        if before > 1 {
            wrong.push(format!(
                "the attack on {broken_into} was answered {before} times"
            ));
        }
        let attacked = sub(ATTACKED);
        for subject in [attacked.as_str(), SPRAYER, "unknown users", &taken] {
            let times = answered.remove(subject).unwrap_or(0);
            if times != 1 {
                wrong.push(format!(
                    "the attack on {subject} was answered {times} times"
                ));
            }
        }
        wrong.extend(
            answered
                .keys()
                .map(|subject| format!("{subject} is no attack")),
        );
        wrong
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{} deliveries were counted, and {} answered, which start {} runbooks",
            self.counted,
            self.answers,
            self.started.len()
        )
    }
}

/// What an incident is about.
fn subject(target: &Value) -> String {
    let networks = target["networks"].as_array().map_or(&[][..], Vec::as_slice);
    match (target["subject"].as_str(), networks) {
        (Some(subject), _) if target["compromised"] == true => format!("{subject}, broken into"),
        (Some(subject), _) => subject.to_owned(),
        (None, [Value::String(network)]) => network.trim_end_matches("/32").to_owned(),
        (None, _) => "unknown users".to_owned(),
    }
}
