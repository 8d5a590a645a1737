//! Which run contains an actor, so that two events of one actor do not do it twice.

use incident::IncidentId;
use jiff::Timestamp;
use worker::Failure;

use crate::{
    Ledger,
    item::{Item, condition_failed, is_past, key, text, text_of, time_of},
};

/// Attempts at a claim that others keep changing before it is left to a retry.
const ATTEMPTS: u32 = 4;

/// A run that wants to contain an actor.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// The actor, as [`crate::Ledger::claim`]'s key.
    pub actor: &'a str,
    /// The run's incident.
    pub incident: &'a IncidentId,
    /// The run's execution.
    pub execution: &'a str,
    /// When the event behind the run happened.
    pub occurred_at: Timestamp,
    /// Whether to answer without writing.
    pub dry_run: bool,
}

/// Whose task an actor's containment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This run's.
    Ours,
    /// Another run's, which is at work on it.
    Held {
        /// That run's execution.
        execution: String,
    },
    /// Nobody's: a run contained the actor after this event happened.
    Contained {
        /// That run's incident.
        incident: String,
        /// When.
        at: Timestamp,
    },
    /// Nobody's: an operator let the actor go after this event happened.
    Released {
        /// When.
        at: Timestamp,
    },
}

impl Ledger {
    /// Claims an actor for a run. The claim of the execution `dead` is taken over.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or others keep changing the claim.
    pub async fn claim(
        &self,
        claimant: Claimant<'_>,
        dead: Option<&str>,
        now: Timestamp,
    ) -> Result<Claim, Failure> {
        for _ in 0..ATTEMPTS {
            let item = self
                .get(&pk(claimant.actor), "claim")
                .await?
                .unwrap_or_default();
            if let Some(settled) = settled(&item, claimant.occurred_at, now) {
                return Ok(settled);
            }
            let holder = text_of(&item, "holder");
            if let Some(execution) = holder
                && execution != claimant.execution
                && dead != Some(execution)
            {
                return Ok(Claim::Held {
                    execution: execution.to_owned(),
                });
            }
            if claimant.dry_run || self.take(claimant, holder, now).await? {
                return Ok(Claim::Ours);
            }
        }
        Err(Failure::Transient(
            "other runs keep claiming this actor; run again".to_owned(),
        ))
    }

    /// Takes a claim from `holder`, or a free one; false when somebody else was quicker.
    async fn take(
        &self,
        claimant: Claimant<'_>,
        holder: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&pk(claimant.actor), "claim")))
            .update_expression("SET holder = :execution, heldSince = :now")
            .expression_attribute_values(":execution", text(claimant.execution))
            .expression_attribute_values(":now", text(now.to_string()));
        update = match holder {
            None => update.condition_expression("attribute_not_exists(holder)"),
            Some(holder) => update
                .condition_expression("holder = :holder")
                .expression_attribute_values(":holder", text(holder)),
        };
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }

    /// Ends a run's claim; `contained_at` says that the actor is contained, and since when.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn settle(
        &self,
        claimant: Claimant<'_>,
        contained_at: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&pk(claimant.actor), "claim")))
            .condition_expression("attribute_not_exists(holder) OR holder = :execution")
            .expression_attribute_values(":execution", text(claimant.execution));
        let update = match contained_at {
            None => update.update_expression("REMOVE holder"),
            Some(at) => update
                .update_expression(
                    "SET containedAt = :at, containedBy = :incident REMOVE holder, releasedAt",
                )
                .expression_attribute_values(":at", text(at.to_string()))
                .expression_attribute_values(":incident", text(claimant.incident.as_str())),
        };
        match update.send().await {
            Ok(_) => Ok(()),
            // The claim is another run's, which settles it itself.
            Err(error) if condition_failed(&error) => Ok(()),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }

    /// Records that an operator let `actor` go at `now`: older events do not contain it again.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn let_go(&self, actor: &str, now: Timestamp) -> Result<(), Failure> {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&pk(actor), "claim")))
            .update_expression("SET releasedAt = :now REMOVE containedAt, containedBy")
            .expression_attribute_values(":now", text(now.to_string()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("dynamodb:UpdateItem", &error))
    }
}

/// What was decided about the actor after the event happened.
fn settled(item: &Item, occurred_at: Timestamp, now: Timestamp) -> Option<Claim> {
    let after = |name| time_of(item, name).filter(|at| *at >= occurred_at && is_past(*at, now));
    if let Some(at) = after("releasedAt") {
        return Some(Claim::Released { at });
    }
    after("containedAt").map(|at| Claim::Contained {
        incident: text_of(item, "containedBy").unwrap_or_default().to_owned(),
        at,
    })
}

fn pk(actor: &str) -> String {
    format!("claim#{actor}")
}
