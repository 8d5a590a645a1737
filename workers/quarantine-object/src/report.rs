//! How a run goes.

use std::collections::BTreeMap;

use incident::{ObjectKey, cut};
use ledger::{Done, Hold};
use worker::Failure;

use crate::{
    Output,
    copy::Proof,
    encode::Paths,
    settle::{Live, Settled},
};

/// A key has up to a kilobyte, and an answer its limits.
const MOST_LEFT: usize = 10;
const LONGEST_LEFT: usize = 4_000;
const MOST_NAMED: usize = 5;
const LONGEST_SHOWN: usize = 200;

/// One run, and how it goes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    about: String,
    dry_run: bool,
    changed: bool,
    steps: Vec<String>,
    left: Vec<String>,
    failures: Vec<Failure>,
    paths: Paths,
}

impl Report {
    pub(crate) fn of(about: String, dry_run: bool) -> Self {
        Self {
            about,
            dry_run,
            ..Self::default()
        }
    }

    /// Something that was found, or left as it is.
    pub(crate) fn found(&mut self, step: impl Into<String>) {
        self.steps.push(step.into());
    }

    /// Something that was done; or, in a dry run, `would be` done.
    pub(crate) fn did(&mut self, step: impl Into<String>) {
        self.changed |= !self.dry_run;
        self.steps.push(step.into());
    }

    pub(crate) fn leave(&mut self, left: impl Into<String>) {
        self.left.push(cut(&left.into(), LONGEST_LEFT));
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    pub(crate) fn purge(&mut self, key: &ObjectKey) {
        self.paths.add(key);
    }

    /// What became of one object.
    pub(crate) fn settled(&mut self, settled: Settled) {
        for left in settled.left {
            self.leave(left);
        }
        match settled.live {
            Live::Stays => self.found("a good version is live and stays"),
            Live::Absent => self.found("it is not on the site"),
            Live::Untouched => self.found("the site was left as it is"),
            Live::Back { version, .. } if self.dry_run => {
                self.did(format!("version {version} would be put back"));
            }
            Live::Back { version, proof } => self.did(match proof {
                Proof::Size => format!("version {version} is back"),
                proof => format!("version {version} is back ({proof})"),
            }),
            Live::Off if self.dry_run => self.did("it would be taken off the site"),
            Live::Off => self.did("it is taken off the site"),
        }
    }

    /// What became of many objects, none of which stops another.
    pub(crate) fn settled_all(&mut self, all: Vec<(ObjectKey, Result<Settled, Failure>)>) {
        let (mut back, mut off) = (Vec::new(), Vec::new());
        let mut untouched = 0_usize;
        let mut failed = BTreeMap::<&str, (Failure, usize)>::new();
        for (key, settled) in all {
            match settled {
                Ok(settled) => {
                    for left in settled.left {
                        self.leave(left);
                    }
                    match settled.live {
                        Live::Back { .. } => back.push(key),
                        Live::Off => off.push(key),
                        Live::Stays | Live::Absent | Live::Untouched => untouched += 1,
                    }
                }
                Err(failure) => {
                    let failure = failure.rephrase(|why| format!("{}: {why}", shown(&key)));
                    let all = failed.entry(failure.name()).or_insert((failure, 0));
                    all.1 += 1;
                }
            }
        }
        for (failure, count) in failed.into_values() {
            self.fail(failure.rephrase(|why| match count {
                1 => why.to_owned(),
                count => format!("{count} objects, such as {why}"),
            }));
        }
        let (are_back, are_off) = if self.dry_run {
            ("would be put back", "would be taken off the site")
        } else {
            ("put back", "taken off the site")
        };
        for (keys, verb) in [(back, are_back), (off, are_off)] {
            if !keys.is_empty() {
                self.did(format!("{verb}: {}", named(&keys)));
            }
        }
        if untouched > 0 {
            self.found(format!("already as they should be, or left: {untouched}"));
        }
    }

    /// The answer; or the failure, where a retry may do more, or nothing was done.
    pub(crate) fn end(mut self, undo: Vec<Hold>) -> Result<Output, Failure> {
        if self.steps.is_empty() {
            self.steps.push("left as it is".to_owned());
        }
        let transient = |failure: &Failure| matches!(failure, Failure::Transient(_));
        if self.changed && !self.failures.iter().any(transient) {
            // What was done must be purged: an answer, though it ends red.
            for failure in std::mem::take(&mut self.failures) {
                self.leave(failure.to_string());
            }
        }
        if self.left.len() > MOST_LEFT {
            let more = self.left.len() - MOST_LEFT;
            self.left.truncate(MOST_LEFT);
            self.left.push(format!(
                "{more} more like these; start the runbook again once they are done"
            ));
        }
        let also = match self.left.as_slice() {
            [] => String::new(),
            left => format!("; left for a human: {}", left.join("; ")),
        };
        let done = Done {
            changed: self.changed,
            summary: format!("{}: {}", self.about, self.steps.join("; ")),
            undo,
            left: self.left,
        };
        Ok(Output {
            done: done.unless(self.failures, &also)?,
            paths: self.paths.list(),
        })
    }
}

/// How many keys, and the first few of them.
pub(crate) fn named(keys: &[ObjectKey]) -> String {
    let first = keys.iter().take(MOST_NAMED).map(shown);
    let first = first.collect::<Vec<_>>().join(", ");
    match keys.len() {
        0..=MOST_NAMED => first,
        all => format!("{all} objects, {first} and others"),
    }
}

/// A key as people read it.
pub(crate) fn shown(key: &ObjectKey) -> String {
    cut(&key.to_string(), LONGEST_SHOWN)
}
