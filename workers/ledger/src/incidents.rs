//! The record of each incident, which an auditor reads years later.

use aws_sdk_dynamodb::types::AttributeValue;
use incident::{Closing, Incident, IncidentId};
use jiff::Timestamp;
use worker::Failure;

use crate::{
    Ledger,
    item::{condition_failed, key, text},
};

impl Ledger {
    /// Records a new incident. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn open(
        &self,
        id: &IncidentId,
        incident: &Incident,
        execution: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let json = serde_json::to_string(incident)
            .map_err(|error| Failure::Rejected(format!("the incident is not JSON: {error}")))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(&pk(id), "incident")))
            .item("runbook", text(incident.runbook.to_string()))
            .item("incident", text(json))
            .item("execution", text(execution))
            .item("openedAt", text(now.to_string()))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            Err(error) if condition_failed(&error) => Ok(()),
            Err(error) => Err(Failure::aws("dynamodb:PutItem", &error)),
        }
    }

    /// Records how an incident ended; the last writer stands.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn close(
        &self,
        id: &IncidentId,
        closing: &Closing,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&pk(id), "incident")))
            .update_expression(
                "SET contained = :contained, summary = :summary, done = :done, leftOpen = :open, \
                 closedAt = :now",
            )
            .expression_attribute_values(":contained", AttributeValue::Bool(closing.contained))
            .expression_attribute_values(":summary", text(&closing.summary))
            .expression_attribute_values(":done", text(closing.done.join("\n")))
            .expression_attribute_values(":open", text(closing.open.join("\n")))
            .expression_attribute_values(":now", text(now.to_string()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("dynamodb:UpdateItem", &error))
    }
}

fn pk(id: &IncidentId) -> String {
    format!("incident#{id}")
}
