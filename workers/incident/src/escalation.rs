//! What a human is told about an event that starts no runbook.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Actor, Containment, EventRef, Severity, Source, text::Text};

/// What a human is told about an event that starts no runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Escalation {
    /// The event.
    pub event: EventRef,
    /// Why a human should look.
    pub reason: Text<1000>,
    /// How urgent it is.
    pub severity: Severity,
    /// When it happened.
    #[schemars(with = "String")]
    pub occurred_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// How far the actor could be contained, and by which call.
    pub containment: Containment,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<Source>,
}
