//! What a principal or resource was before we changed it, and which incidents hold it changed.

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{AttributeValue, ReturnValue},
};
use incident::IncidentId;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker::Failure;

use crate::{
    Ledger,
    item::{Item, condition_failed, json_of, key, text},
};

/// One change to one principal or resource, by one mechanism, and the state before it.
///
/// A worker puts it in the ledger before it acts, and takes it as payload to undo an act that the
/// ledger does not know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// The ARN of what was changed.
    pub resource: String,
    /// How it was changed; with the resource it is the hold's identity.
    pub mechanism: String,
    /// The state before the first change.
    pub original: Value,
}

/// What a worker answers that changed a principal or resource, or found it changed already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Done {
    /// Whether anything is different now; false for "already so" and for a dry run.
    pub changed: bool,
    /// What was done, or would be, in one sentence for people.
    pub summary: String,
    /// The holds that the ledger could not record: what an undo needs. Empty when all is recorded.
    #[serde(default)]
    pub undo: Vec<Hold>,
    /// What is left for a human, one line each: the run ends red while there is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

impl Done {
    /// The answer of a run of which `failures` were parts, or the failure that speaks for them, with
    /// the summary, all of them and `also` as its message.
    ///
    /// Where the ledger does not know the state before, it is an answer all the same: it carries that
    /// state, which a retry could not find out any more.
    ///
    /// # Errors
    /// The worst of `failures`, when there is any and the ledger knows every hold.
    pub fn unless(mut self, mut failures: Vec<Failure>, also: &str) -> Result<Self, Failure> {
        // Parts of one call are mostly refused alike.
        failures.dedup();
        let all: Vec<_> = failures.iter().map(ToString::to_string).collect();
        match Failure::worst(failures) {
            Some(worst) if self.undo.is_empty() => {
                let summary = self.summary;
                Err(worst.rephrase(|_| format!("{summary}; failed: {}{also}", all.join("; "))))
            }
            _ => {
                self.left.extend(all);
                Ok(self)
            }
        }
    }
}

/// What letting go of a hold means for the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// This incident does not hold it: there is nothing to undo.
    NotHeld,
    /// Other incidents still hold it: it stays as it is.
    StillHeld,
    /// This incident is the last: put the original back, then [`Ledger::forget`] the hold.
    Last(Value),
}

impl Ledger {
    /// Holds a resource for `incident`. The first writer's original stands, whoever comes later;
    /// it is returned. One atomic write, safe to repeat.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn hold(
        &self,
        incident: &IncidentId,
        hold: &Hold,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let stands = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(hold_key(&hold.resource, &hold.mechanism)))
            .update_expression(
                "SET original = if_not_exists(original, :original), \
                 heldSince = if_not_exists(heldSince, :now) ADD incidents :incident",
            )
            .expression_attribute_values(":original", text(hold.original.to_string()))
            .expression_attribute_values(":now", text(now.to_string()))
            .expression_attribute_values(":incident", only(incident))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| Failure::aws("dynamodb:UpdateItem", &error))?;
        json_of(&stands.attributes.unwrap_or_default(), "original")
    }

    /// The original state that a hold keeps; none when nobody holds the resource by `mechanism`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn original(
        &self,
        resource: &str,
        mechanism: &str,
    ) -> Result<Option<Value>, Failure> {
        match self.get(&pk(resource), mechanism).await? {
            Some(item) => json_of(&item, "original").map(Some),
            None => Ok(None),
        }
    }

    /// Whether incidents other than `incident` hold a resource.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn is_held_by_others(
        &self,
        incident: &IncidentId,
        resource: &str,
        mechanism: &str,
    ) -> Result<bool, Failure> {
        let item = self.get(&pk(resource), mechanism).await?;
        Ok(item.is_some_and(|item| {
            holders_of(&item)
                .iter()
                .any(|holder| holder != incident.as_str())
        }))
    }

    /// Lets go of a hold for `incident` only.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or another incident came or went meanwhile.
    pub async fn release(
        &self,
        incident: &IncidentId,
        resource: &str,
        mechanism: &str,
    ) -> Result<Release, Failure> {
        let key = hold_key(resource, mechanism);
        let Some(item) = self.get(&pk(resource), mechanism).await? else {
            return Ok(Release::NotHeld);
        };
        let holders = holders_of(&item);
        if !holders.iter().any(|holder| holder == incident.as_str()) {
            return Ok(Release::NotHeld);
        }
        if holders.len() == 1 {
            return json_of(&item, "original").map(Release::Last);
        }
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression("DELETE incidents :incident")
            .condition_expression("size(incidents) > :one AND contains(incidents, :id)")
            .expression_attribute_values(":incident", only(incident))
            .expression_attribute_values(":id", text(incident.as_str()))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .send()
            .await
            .map(|_| Release::StillHeld)
            .map_err(|error| moved_on("dynamodb:UpdateItem", &error))
    }

    /// Drops a hold after its original was put back.
    ///
    /// # Errors
    /// [`Failure::Transient`] when another incident took the hold meanwhile: its run has denied
    /// again, or finds in its verification that it must.
    pub async fn forget(
        &self,
        incident: &IncidentId,
        resource: &str,
        mechanism: &str,
    ) -> Result<(), Failure> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(hold_key(resource, mechanism)))
            .condition_expression("attribute_not_exists(pk) OR incidents = :incident")
            .expression_attribute_values(":incident", only(incident))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| moved_on("dynamodb:DeleteItem", &error))
    }

    /// The bookkeeping of one worker's run for `incident`.
    #[must_use]
    pub fn holds_for<'a>(&'a self, incident: &'a IncidentId, now: Timestamp) -> Holds<'a> {
        Holds {
            ledger: self,
            incident,
            now,
            unrecorded: Vec::new(),
        }
    }
}

/// Holds that never block: what the ledger does not take is handed to the caller.
#[derive(Debug)]
pub struct Holds<'a> {
    ledger: &'a Ledger,
    incident: &'a IncidentId,
    now: Timestamp,
    unrecorded: Vec<Hold>,
}

impl Holds<'_> {
    /// Records a hold before the change it describes. When the ledger fails once, it is not asked
    /// again: containment is worth more than the seconds.
    pub async fn put(&mut self, hold: Hold) {
        if self.unrecorded.is_empty() {
            match self.ledger.hold(self.incident, &hold, self.now).await {
                Ok(_) => return,
                Err(failure) => tracing::warn!(
                    incident = self.incident.as_str(),
                    // What follows the slash may be a key's id.
                    mechanism = hold.mechanism.split('/').next(),
                    failure = failure.name(),
                    "hold not recorded; acting all the same"
                ),
            }
        }
        self.unrecorded.push(hold);
    }

    /// The holds that the ledger did not take: a worker's answer carries them as its `undo`.
    #[must_use]
    pub fn unrecorded(self) -> Vec<Hold> {
        self.unrecorded
    }
}

fn holders_of(item: &Item) -> &[String] {
    item.get("incidents")
        .and_then(|holders| holders.as_ss().ok())
        .map_or(&[], Vec::as_slice)
}

fn pk(resource: &str) -> String {
    format!("hold#{resource}")
}

fn hold_key(resource: &str, mechanism: &str) -> Item {
    key(&pk(resource), mechanism)
}

fn only(incident: &IncidentId) -> AttributeValue {
    AttributeValue::Ss(vec![incident.as_str().to_owned()])
}

fn moved_on<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if condition_failed(error) {
        Failure::Transient(
            "another incident came to or left this hold meanwhile; run again".to_owned(),
        )
    } else {
        Failure::aws(call, error)
    }
}
