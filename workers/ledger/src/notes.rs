//! Smaller things to remember: what a healthy trail looks like, and what people were told.

use aws_sdk_dynamodb::types::AttributeValue;
use incident::{IncidentId, TrailArn};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use worker::Failure;

use crate::{
    Ledger,
    item::{condition_failed, json_of, key, text},
};

impl Ledger {
    /// Replaces a trail's baseline; `by` names the run that recorded it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn save_baseline(
        &self,
        trail: &TrailArn,
        baseline: &Value,
        by: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(&baseline_pk(trail), "baseline")))
            .item("baseline", text(baseline.to_string()))
            .item("recordedBy", text(by))
            .item("recordedAt", text(now.to_string()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("dynamodb:PutItem", &error))
    }

    /// A trail's baseline; none when nobody has recorded one.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn baseline(&self, trail: &TrailArn) -> Result<Option<Value>, Failure> {
        match self.get(&baseline_pk(trail), "baseline").await? {
            Some(item) => json_of(&item, "baseline").map(Some),
            None => Ok(None),
        }
    }

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

fn baseline_pk(trail: &TrailArn) -> String {
    format!("baseline#{trail}")
}
