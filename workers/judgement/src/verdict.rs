//! What is done about an event.

use incident::{Escalation, Incident, IncidentId, SignIn};
use schemars::JsonSchema;
use serde::Serialize;

/// What is done about an event, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(
    tag = "verdict",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Verdict {
    /// A runbook starts, under this name, with this input.
    Respond {
        /// Why.
        reason: String,
        /// The execution's name.
        incident_id: IncidentId,
        /// The execution's input.
        incident: Box<Incident>,
    },
    /// A human is told; nothing is changed.
    Escalate {
        /// Why.
        reason: String,
        /// What the human is told.
        escalation: Box<Escalation>,
    },
    /// It is counted: of its kind, only many are an attack.
    Count {
        /// Why.
        reason: String,
        /// What is counted.
        sign_in: Box<SignIn>,
    },
    /// Nothing is done.
    Ignore {
        /// Why.
        reason: String,
    },
}
