//! How many principals were contained in the last hour: an attacker who assumes many roles must
//! not make us deny everyone.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use worker::Failure;

use crate::{
    Ledger,
    item::{condition_failed, is_past, key, text, text_of},
};

/// Attempts at a list that other runs keep changing before it is left to a retry.
const ATTEMPTS: u32 = 20;

/// Whether one more principal may be contained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Budget {
    /// It may; it counts from now on. A principal counted already counts once.
    Granted,
    /// It may not: these were contained within the last hour.
    Spent(Vec<String>),
}

impl Ledger {
    /// Counts `actor` among the principals contained in the hour before `now`, unless `limit`
    /// others are there already. Exact under any number of concurrent runs.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or others keep changing the count.
    pub async fn spend(
        &self,
        actor: &str,
        limit: usize,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Budget, Failure> {
        let hour_ago = now - SignedDuration::from_hours(1);
        for _ in 0..ATTEMPTS {
            let item = self.get("budget", "budget").await?.unwrap_or_default();
            let before = text_of(&item, "contained");
            let mut contained: BTreeMap<String, Timestamp> = before
                .and_then(|json| serde_json::from_str(json).ok())
                .unwrap_or_default();
            contained.retain(|_, at| *at > hour_ago && is_past(*at, now));
            if contained.contains_key(actor) {
                return Ok(Budget::Granted);
            }
            if contained.len() >= limit {
                return Ok(Budget::Spent(contained.into_keys().collect()));
            }
            contained.insert(actor.to_owned(), now);
            if dry_run || self.replace(before, &contained).await? {
                return Ok(Budget::Granted);
            }
        }
        Err(Failure::Transient(
            "other runs keep counting containments; run again".to_owned(),
        ))
    }

    async fn replace(
        &self,
        before: Option<&str>,
        contained: &BTreeMap<String, Timestamp>,
    ) -> Result<bool, Failure> {
        let json = serde_json::to_string(contained)
            .map_err(|error| Failure::Rejected(format!("the budget is not JSON: {error}")))?;
        let put = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key("budget", "budget")))
            .update_expression("SET contained = :after")
            .expression_attribute_values(":after", text(json));
        let put = match before {
            None => put.condition_expression("attribute_not_exists(contained)"),
            Some(before) => put
                .condition_expression("contained = :before")
                .expression_attribute_values(":before", AttributeValue::S(before.to_owned())),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }
}
