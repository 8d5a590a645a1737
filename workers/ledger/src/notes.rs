//! What people were told.

use aws_sdk_dynamodb::types::AttributeValue;
use incident::IncidentId;
use jiff::{SignedDuration, Timestamp};
use worker::Failure;

use crate::{
    Ledger,
    item::{condition_failed, key, text},
};

impl Ledger {
    /// Whether `message` is told for the first time within an hour; if so, it now counts as told by
    /// `run`, which may ask again: it may not have come to telling it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn first_this_hour(
        &self,
        message: &str,
        run: &IncidentId,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let seconds = |at: Timestamp| AttributeValue::N(at.as_second().to_string());
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(&format!("told#{message}"), "told")))
            .item("expiresAt", seconds(now + SignedDuration::from_hours(1)))
            .item("toldBy", text(run.as_str()))
            .condition_expression("attribute_not_exists(pk) OR expiresAt <= :now OR toldBy = :run")
            .expression_attribute_values(":now", seconds(now))
            .expression_attribute_values(":run", text(run.as_str()))
            .send()
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:PutItem", &error)),
        }
    }
}
