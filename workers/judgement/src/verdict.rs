//! What is done about an event.

use incident::{Escalation, Incident, IncidentId};
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
    /// Nothing is done.
    Ignore {
        /// Why.
        reason: String,
    },
}
