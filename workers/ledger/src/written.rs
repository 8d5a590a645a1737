//! What we wrote over an object, so that a version of ours counts as its source.
//!
//! A write is recorded before it is made: if its answer is lost, or the run dies, whoever reads the
//! object next can still tell our version from somebody else's.

use aws_sdk_dynamodb::types::AttributeValue;
use incident::IncidentId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker::Failure;

use crate::{
    Hold, Ledger,
    holds::{self, holders_of},
    item::{Item, condition_failed, json_of, key, text, text_of},
};

/// One write of ours over an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Writing {
    /// For which incident.
    pub incident: IncidentId,
    /// When it was begun, by our clock.
    pub at: Timestamp,
    /// The version it replaces.
    pub over: String,
    /// What it copies; none when it takes the object off.
    pub source: Option<Source>,
    /// The version that it made; none as long as that is not known.
    #[serde(skip)]
    pub made: Option<String>,
}

/// The version that a version of ours was copied from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The version.
    pub version: String,
    /// When it was written.
    pub modified: Timestamp,
    /// Its size, in bytes.
    pub size: u64,
}

/// A hold, and the incidents that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What is held.
    pub hold: Hold,
    /// By whom.
    pub incidents: Vec<String>,
}

impl Ledger {
    /// Every hold on a resource, in the order of its mechanism.
    ///
    /// # Errors
    /// When the ledger cannot be read; [`Failure::Rejected`] when what it holds is no hold.
    pub async fn holds_on(&self, resource: &str) -> Result<Vec<Held>, Failure> {
        let items = self.query(&holds::pk(resource)).await?;
        let held = items.iter().map(|item| {
            Ok(Held {
                hold: Hold {
                    resource: resource.to_owned(),
                    mechanism: text_of(item, "sk").unwrap_or_default().to_owned(),
                    original: json_of(item, "original")?,
                },
                incidents: holders_of(item).to_vec(),
            })
        });
        held.collect()
    }

    /// Every write of ours over an object, the oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read; [`Failure::Rejected`] when what it holds is no such write.
    pub async fn writings(&self, object: &str) -> Result<Vec<Writing>, Failure> {
        let items = self.query(&pk(object)).await?;
        items.iter().map(writing_of).collect()
    }

    /// Records a write before it is made.
    ///
    /// # Errors
    /// When the ledger cannot be written: then the write must not be made.
    pub async fn begin_writing(&self, object: &str, writing: &Writing) -> Result<(), Failure> {
        let json = serde_json::to_string(writing)
            .map_err(|error| Failure::Rejected(format!("the write is not JSON: {error}")))?;
        let mut item = writing_key(object, writing);
        item.insert("writing".to_owned(), text(json));
        self.put(item).await
    }

    /// Records which version a write made. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot be written: the write stays begun, and the version is found again.
    pub async fn finish_writing(
        &self,
        object: &str,
        writing: &Writing,
        made: &str,
    ) -> Result<(), Failure> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(writing_key(object, writing)))
            .update_expression("SET made = if_not_exists(made, :made)")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":made", text(made));
        match update.send().await {
            Ok(_) => Ok(()),
            // Its own run has found that it made nothing.
            Err(error) if condition_failed(&error) => Ok(()),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }

    /// Forgets a write that made no version.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn drop_writing(&self, object: &str, writing: &Writing) -> Result<(), Failure> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(writing_key(object, writing)))
            .condition_expression("attribute_not_exists(made)");
        match delete.send().await {
            Ok(_) => Ok(()),
            // Somebody else has found the version that it made.
            Err(error) if condition_failed(&error) => Ok(()),
            Err(error) => Err(Failure::aws("dynamodb:DeleteItem", &error)),
        }
    }

    async fn query(&self, pk: &str) -> Result<Vec<Item>, Failure> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .consistent_read(true)
            .into_paginator()
            .send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Failure::aws("dynamodb:Query", &error))?;
            items.extend(page.items.unwrap_or_default());
        }
        Ok(items)
    }
}

fn writing_of(item: &Item) -> Result<Writing, Failure> {
    let json: Value = json_of(item, "writing")?;
    let writing: Writing = serde_json::from_value(json).map_err(|error| {
        Failure::Rejected(format!("the ledger's write is not readable: {error}"))
    })?;
    Ok(Writing {
        made: text_of(item, "made").map(str::to_owned),
        ..writing
    })
}

fn pk(object: &str) -> String {
    format!("written#{object}")
}

fn writing_key(object: &str, writing: &Writing) -> Item {
    key(&pk(object), &format!("{} {}", writing.at, writing.incident))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        error::ErrorMetadata,
        operation::{
            delete_item::{DeleteItemError, DeleteItemOutput},
            put_item::PutItemOutput,
            query::{QueryError, QueryOutput},
            update_item::{UpdateItemError, UpdateItemOutput},
        },
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use serde_json::json;

    use super::*;

    const OBJECT: &str = "arn:aws:s3:::site/index.html";

    fn ledger(rules: &[&Rule]) -> Ledger {
        Ledger::new(
            mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, rules),
            "ledger",
        )
    }

    fn writing() -> Writing {
        Writing {
            incident: "i-1".parse().unwrap(),
            at: "2026-11-25T03:00:00.5Z".parse().unwrap(),
            over: "bad".to_owned(),
            source: Some(Source {
                version: "good".to_owned(),
                modified: "2026-11-24T03:00:00Z".parse().unwrap(),
                size: 7,
            }),
            made: None,
        }
    }

    fn item(attributes: &[(&str, &str)]) -> Item {
        attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), text(*value)))
            .collect()
    }

    fn written() -> Item {
        item(&[
            ("pk", "written#arn:aws:s3:::site/index.html"),
            ("sk", "2026-11-25T03:00:00.5Z i-1"),
            (
                "writing",
                r#"{"incident":"i-1","at":"2026-11-25T03:00:00.5Z","over":"bad","source":{"version":"good","modified":"2026-11-24T03:00:00Z","size":7}}"#,
            ),
        ])
    }

    fn page(pk: &'static str, items: Vec<Item>, next: Option<Item>) -> Rule {
        mock!(aws_sdk_dynamodb::Client::query)
            .match_requests(move |request| {
                request.consistent_read() == Some(true)
                    && request.expression_attribute_values().unwrap()[":pk"] == text(pk)
            })
            .then_output(move || {
                QueryOutput::builder()
                    .set_items(Some(items.clone()))
                    .set_last_evaluated_key(next.clone())
                    .build()
            })
    }

    fn too_late() -> ErrorMetadata {
        ErrorMetadata::builder()
            .code("ConditionalCheckFailedException")
            .build()
    }

    #[tokio::test]
    async fn a_write_is_recorded_before_it_is_made() {
        let put = mock!(aws_sdk_dynamodb::Client::put_item)
            .match_requests(|request| request.item() == Some(&written()))
            .then_output(|| PutItemOutput::builder().build());
        let begun = ledger(&[&put]).begin_writing(OBJECT, &writing()).await;
        begun.unwrap();
        assert_eq!(put.num_calls(), 1);
    }

    #[tokio::test]
    async fn the_version_that_a_write_made_is_recorded_once() {
        let finished = mock!(aws_sdk_dynamodb::Client::update_item)
            .match_requests(|request| {
                request.update_expression() == Some("SET made = if_not_exists(made, :made)")
                    && request.expression_attribute_values().unwrap()[":made"] == text("ours")
            })
            .then_output(|| UpdateItemOutput::builder().build());
        let dropped = mock!(aws_sdk_dynamodb::Client::update_item)
            .then_error(|| UpdateItemError::generic(too_late()));
        let ledger = ledger(&[&finished, &dropped]);
        for _ in 0..2 {
            let finished = ledger.finish_writing(OBJECT, &writing(), "ours").await;
            finished.unwrap();
        }
    }

    #[tokio::test]
    async fn a_write_is_forgotten_only_while_it_made_nothing() {
        let forgotten = mock!(aws_sdk_dynamodb::Client::delete_item)
            .match_requests(|request| {
                request.condition_expression() == Some("attribute_not_exists(made)")
            })
            .then_output(|| DeleteItemOutput::builder().build());
        let adopted = mock!(aws_sdk_dynamodb::Client::delete_item)
            .then_error(|| DeleteItemError::generic(too_late()));
        let ledger = ledger(&[&forgotten, &adopted]);
        for _ in 0..2 {
            ledger.drop_writing(OBJECT, &writing()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_write_is_read_over_all_pages() {
        let pk = "written#arn:aws:s3:::site/index.html";
        let mut second = written();
        second.insert("made".to_owned(), text("ours"));
        let (first, last) = (
            page(pk, vec![written()], Some(key(pk, "2026"))),
            page(pk, vec![second], None),
        );
        let read = ledger(&[&first, &last]).writings(OBJECT).await.unwrap();
        let made = Writing {
            made: Some("ours".to_owned()),
            ..writing()
        };
        assert_eq!(read, [writing(), made]);
    }

    #[tokio::test]
    async fn every_hold_on_a_resource_is_read_with_its_incidents() {
        let pk = "hold#arn:aws:s3:::site/index.html";
        let mut found = item(&[("pk", pk), ("sk", "quarantine/bad"), ("original", "{}")]);
        let incidents = vec!["i-1".to_owned(), "i-2".to_owned()];
        found.insert(
            "incidents".to_owned(),
            AttributeValue::Ss(incidents.clone()),
        );
        let read = ledger(&[&page(pk, vec![found], None)])
            .holds_on(OBJECT)
            .await;
        let hold = Hold {
            resource: OBJECT.to_owned(),
            mechanism: "quarantine/bad".to_owned(),
            original: json!({}),
        };
        assert_eq!(read.unwrap(), [Held { hold, incidents }]);
    }

    #[tokio::test]
    async fn what_is_not_readable_and_what_is_refused_is_a_failure() {
        let pk = "written#arn:aws:s3:::site/index.html";
        for broken in [item(&[]), item(&[("writing", "{}")])] {
            let read = ledger(&[&page(pk, vec![broken], None)])
                .writings(OBJECT)
                .await;
            assert_eq!(read.unwrap_err().name(), "Rejected");
        }
        let refused = mock!(aws_sdk_dynamodb::Client::query).then_error(|| {
            QueryError::generic(
                ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .build(),
            )
        });
        let read = ledger(&[&refused]).writings(OBJECT).await;
        assert_eq!(read.unwrap_err().name(), "AccessDenied");
    }
}
