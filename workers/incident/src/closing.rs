//! How an incident ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The end of a run, as `close-incident` decides it and `notify` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Closing {
    /// Whether nothing is left for a human: the damage is repaired, the actor contained and
    /// verified, everything recorded, and people told.
    pub contained: bool,
    /// One sentence.
    pub summary: String,
    /// What was done, one line a step.
    pub done: Vec<String>,
    /// What is left for a human, one line each; empty when contained.
    pub open: Vec<String>,
}
