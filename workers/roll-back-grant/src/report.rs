//! How a run goes.

use incident::Grant;
use ledger::{Done, Hold};
use worker::Failure;

use crate::{Input, change::Change, iam::Iam};

/// A change and its words, or what was found that needs none.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) change: Option<Change<'a>>,
    /// "detached", or "not attached".
    pub(crate) what: String,
    /// What is for a human to do once the change is made.
    pub(crate) then: Option<String>,
}

impl<'a> Step<'a> {
    pub(crate) fn change(change: Change<'a>, done: impl Into<String>) -> Self {
        Self {
            change: Some(change),
            what: done.into(),
            then: None,
        }
    }

    pub(crate) fn found(state: impl Into<String>) -> Self {
        Self {
            change: None,
            what: state.into(),
            then: None,
        }
    }

    /// The call that would give a privilege; turning a key on gives none that its user has not.
    pub(crate) fn privilege(&self) -> Option<String> {
        let change = self.change.as_ref();
        let change = change.filter(|change| !matches!(change, Change::SetKey { .. }));
        change.map(Change::by_hand)
    }

    pub(crate) fn then(mut self, left: Option<String>) -> Self {
        self.then = left;
        self
    }
}

/// One run. A step that fails does not stop the next one.
pub(crate) struct Report<'a> {
    grant: &'a Grant,
    dry_run: bool,
    undo: bool,
    changed: bool,
    steps: Vec<String>,
    left: Vec<String>,
    failures: Vec<Failure>,
}

impl<'a> Report<'a> {
    pub(crate) fn of(input: &'a Input) -> Self {
        Self {
            grant: &input.grant,
            dry_run: input.dry_run,
            undo: input.undo,
            changed: false,
            steps: Vec::new(),
            left: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Makes a change, unless this is a dry run; false when it failed.
    pub(crate) async fn make(&mut self, step: Step<'_>, iam: &Iam) -> bool {
        let Step { change, what, then } = step;
        match change {
            None => self.steps.push(what),
            Some(_) if self.dry_run && self.undo => self
                .steps
                .push(format!("would be {what}, unless others hold it")),
            Some(_) if self.dry_run => self.steps.push(format!("would be {what}")),
            Some(change) => match change.make(iam).await {
                Ok(()) => {
                    self.changed = true;
                    self.steps.push(what);
                }
                Err(Failure::TargetNotFound(why)) => {
                    self.steps.push(format!("gone meanwhile ({why})"));
                    return true;
                }
                Err(failure) => {
                    self.fail(with_call(failure, &change));
                    return false;
                }
            },
        }
        self.left.extend(then);
        true
    }

    pub(crate) fn found(&mut self, states: Vec<String>) {
        self.steps.extend(states);
    }

    pub(crate) fn leave(&mut self, left: impl IntoIterator<Item = String>) {
        self.left.extend(left);
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    pub(crate) fn end(mut self, undo: Vec<Hold>) -> Result<Done, Failure> {
        if self.steps.is_empty() {
            let nothing_held = self.undo && self.failures.is_empty() && self.left.is_empty();
            let state = if nothing_held {
                "this incident holds nothing"
            } else {
                "left as it is"
            };
            self.steps.push(state.to_owned());
        }
        let also = match self.left.as_slice() {
            [] => String::new(),
            left => format!("; left for a human: {}", left.join("; ")),
        };
        let done = Done {
            changed: self.changed,
            summary: format!("{}: {}", self.grant, self.steps.join("; ")),
            undo,
            left: self.left,
        };
        done.unless(self.failures, &also)
    }
}

/// What only AWS may modify, and what we may not, comes with the call for whoever may.
fn with_call(failure: Failure, change: &Change<'_>) -> Failure {
    match failure {
        Failure::Protected(_) | Failure::AccessDenied(_) => {
            failure.rephrase(|why| format!("{why}; by hand: {}", change.by_hand()))
        }
        failure => failure,
    }
}
