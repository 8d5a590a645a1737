//! How far an actor is contained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// What may be done to an actor, and why; decided by [`crate::Tiers::containment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Containment {
    /// Deny the user or the role, and every session of it.
    Principal {
        /// In words.
        reason: Text<600>,
    },
    /// Deny this one session of a role that others use too.
    Session {
        /// In words.
        reason: Text<600>,
    },
    /// Leave the actor alone; a human is told the call that contains it.
    None {
        /// In words.
        reason: Text<600>,
        /// The exact calls, for a human.
        by_hand: Text<2000>,
    },
}

impl Containment {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Principal { reason } | Self::Session { reason } | Self::None { reason, .. } => {
                reason.as_str()
            }
        }
    }

    /// Whether the actor is left alone.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None { .. })
    }
}
