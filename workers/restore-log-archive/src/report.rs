//! How a run goes.

use incident::{Deviation, Recorded, TrailArn};
use ledger::{Done, Hold, Release};
use log_archive::{Archive, Found, Property};
use worker::Failure;

use crate::mechanism::Mechanism;

/// One run, and how it goes.
pub(crate) struct Report {
    trail: String,
    changed: bool,
    steps: Vec<String>,
    put_back: Vec<&'static str>,
    failures: Vec<Failure>,
    left: Vec<String>,
}

impl Report {
    pub(crate) fn of(trail: &TrailArn) -> Self {
        Self {
            trail: trail.name().to_owned(),
            changed: false,
            steps: Vec::new(),
            put_back: Vec::new(),
            failures: Vec::new(),
            left: Vec::new(),
        }
    }

    pub(crate) fn unwatched(mut self) -> Result<Done, Failure> {
        self.steps.push(
            "not watched, since the template's parameters TrailBucketName, TrailKeyArn and \
             TrailLogGroupName are not set"
                .to_owned(),
        );
        self.end(Vec::new())
    }

    /// What is recorded. Without it, what needs no record is put back all the same.
    pub(crate) fn recorded(
        &mut self,
        recorded: Result<Option<Recorded<Archive>>, Failure>,
    ) -> Option<Recorded<Archive>> {
        self.left.push(match recorded {
            Ok(Some(recorded)) => return Some(recorded),
            Ok(None) => {
                "nothing is recorded of the log archive, so it could not be compared: check \
                         it, then start the record-baseline runbook"
                    .to_owned()
            }
            Err(failure) => {
                format!("the log archive was not compared with its baseline ({failure})")
            }
        });
        None
    }

    /// Says what is left as it is, since it is stronger than recorded.
    pub(crate) fn stronger(&mut self, parts: &[Property]) {
        if parts.is_empty() {
            return;
        }
        let parts: Vec<_> = parts.iter().map(|part| part.name()).collect();
        self.steps.push(format!(
            "stronger than recorded, and left so: {}",
            parts.join(", ")
        ));
    }

    /// Says of what the ledger does not keep the state before.
    pub(crate) fn too_large(&mut self, told: &[String]) {
        self.steps.extend_from_slice(told);
    }

    /// Says which deviations are not this worker's to mend.
    pub(crate) fn leave(&mut self, deviations: Vec<Deviation>) {
        self.left
            .extend(deviations.iter().filter_map(Deviation::for_a_human));
    }

    /// What may be read by a retry is worth one.
    pub(crate) fn unread(&mut self, found: &Found) {
        let unread = found.unread.values().cloned();
        let later = unread.filter(|failure| matches!(failure, Failure::Transient(_)));
        self.failures.extend(later);
    }

    /// Says what a dry run would do, or that there is nothing to do.
    pub(crate) fn needed(&mut self, needed: &[Mechanism], dry_run: bool) {
        if dry_run && !needed.is_empty() {
            let names: Vec<_> = needed.iter().map(|mechanism| mechanism.name()).collect();
            self.steps
                .push(format!("would be put back: {}", names.join(", ")));
        }
        let silent = self.steps.is_empty() && self.left.is_empty() && self.failures.is_empty();
        if needed.is_empty() && silent {
            self.steps.push("as recorded".to_owned());
        }
    }

    pub(crate) fn did(&mut self, deed: &str) {
        self.changed = true;
        self.steps.push(deed.to_owned());
    }

    pub(crate) fn failed(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    pub(crate) fn put_back(&mut self, mechanism: Mechanism, put: Result<(), Failure>) {
        match put {
            Ok(()) => self.put_back.push(mechanism.name()),
            Err(failure) => self.failed(failure),
        }
    }

    /// What letting go of each part came to.
    pub(crate) fn let_go(&mut self, parts: Vec<(Mechanism, String, Result<Release, Failure>)>) {
        let (mut stay, mut calls, mut not_kept) = (Vec::new(), Vec::new(), Vec::new());
        for (mechanism, resource, released) in parts {
            let name = mechanism.name();
            match released {
                Ok(Release::NotHeld) => {}
                Ok(Release::StillHeld) => {
                    self.steps
                        .push(format!("other incidents still hold {name}"));
                }
                Ok(Release::Last(original)) => {
                    stay.push(name);
                    match Hold::too_large(&original) {
                        Some(told) => not_kept.push(told),
                        None => calls.extend(mechanism.by_hand(&resource, &original)),
                    }
                }
                Err(failure) => self.failed(failure),
            }
        }
        if !stay.is_empty() {
            let calls = if calls.is_empty() {
                String::new()
            } else {
                format!(" ({})", calls.join("; "))
            };
            self.steps.push(format!(
                "let go, and left as put back: {}; an operator who intends another state sets \
                 it{calls} and records it with the record-baseline runbook",
                stay.join(", ")
            ));
        } else if self.steps.is_empty() && self.failures.is_empty() {
            self.steps
                .push("left as it is; this incident does not hold it".to_owned());
        }
        self.steps.extend(not_kept);
    }

    pub(crate) fn end(mut self, undo: Vec<Hold>) -> Result<Done, Failure> {
        if !self.put_back.is_empty() {
            let put_back = format!("put back: {}", self.put_back.join(", "));
            self.did(&put_back);
        }
        if self.steps.is_empty() {
            self.steps.push("left as it is".to_owned());
        }
        let also = match self.left.as_slice() {
            [] => String::new(),
            left => format!("; left for a human: {}", left.join("; ")),
        };
        let done = Done {
            changed: self.changed,
            summary: format!(
                "the log archive of trail {}: {}",
                self.trail,
                self.steps.join("; ")
            ),
            undo,
            left: self.left,
        };
        done.unless(self.failures, &also)
    }
}
