//! Reading and writing items.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::AttributeValue,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use worker::Failure;

use crate::Ledger;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn key(pk: &str, sk: &str) -> Item {
    Item::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn time_of(item: &Item, name: &str) -> Option<Timestamp> {
    text_of(item, name)?.parse().ok()
}

/// Whether a time read from the ledger can have been written by `now`, clocks differing by some
/// minutes: one from the future was written by somebody else, and is not believed.
pub(crate) fn is_past(at: Timestamp, now: Timestamp) -> bool {
    at <= now + SignedDuration::from_mins(5)
}

pub(crate) fn json_of(item: &Item, name: &str) -> Result<Value, Failure> {
    text_of(item, name)
        .and_then(|json| serde_json::from_str(json).ok())
        .ok_or_else(|| Failure::Rejected(format!("the ledger item has no readable `{name}`")))
}

/// Whether a conditional write found that somebody else was there first.
pub(crate) fn condition_failed<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .is_some_and(|code| code == "ConditionalCheckFailedException")
}

impl Ledger {
    pub(crate) async fn get(&self, pk: &str, sk: &str) -> Result<Option<Item>, Failure> {
        self.client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(pk, sk)))
            .consistent_read(true)
            .send()
            .await
            .map(|output| output.item)
            .map_err(|error| Failure::aws("dynamodb:GetItem", &error))
    }

    pub(crate) async fn put(&self, item: Item) -> Result<(), Failure> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("dynamodb:PutItem", &error))
    }
}
