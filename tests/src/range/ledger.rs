//! Tourniquet's ledger, read, taken away and put back.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue,
    ScalarAttributeType,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    MAX_PRINCIPALS_PER_HOUR, Range, TRAIL_ARN,
    error::{Context, Result},
};

/// The items of a ledger that was taken away.
#[derive(Debug)]
pub(crate) struct Taken(Vec<HashMap<String, AttributeValue>>);

impl Range {
    /// Every item of the ledger.
    pub(crate) async fn ledger(&self) -> Result<Vec<Value>> {
        let items = self.raw_ledger().await?.into_iter();
        Ok(items.map(|item| plain(&AttributeValue::M(item))).collect())
    }

    /// Deletes the ledger's table.
    pub(crate) async fn take_ledger(&self) -> Result<Taken> {
        let items = self.raw_ledger().await?;
        let dynamodb = &self.aws.dynamodb;
        let table = self.output("LedgerTable")?;
        let unprotected = dynamodb.update_table().table_name(table);
        let unprotected = unprotected.deletion_protection_enabled(false).send().await;
        unprotected.context("dynamodb:UpdateTable")?;
        let deleted = dynamodb.delete_table().table_name(table).send().await;
        deleted.context("dynamodb:DeleteTable")?;
        Ok(Taken(items))
    }

    /// Makes the ledger's table anew, with what was in it.
    pub(crate) async fn put_ledger_back(&self, taken: Taken) -> Result<()> {
        let dynamodb = &self.aws.dynamodb;
        let table = self.output("LedgerTable")?;
        let mut create = dynamodb
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .deletion_protection_enabled(true);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            let key = KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind);
            create = create
                .attribute_definitions(attribute.build().context("an attribute")?)
                .key_schema(key.build().context("a key")?);
        }
        create.send().await.context("dynamodb:CreateTable")?;
        for item in taken.0 {
            let put = dynamodb.put_item().table_name(table).set_item(Some(item));
            put.send().await.context("dynamodb:PutItem")?;
        }
        Ok(())
    }

    /// What is recorded of the trail and its archive.
    pub(crate) async fn baseline(&self) -> Result<Vec<HashMap<String, AttributeValue>>> {
        let mut items = self.raw_ledger().await?;
        items.retain(|item| text(item, "pk").starts_with("baseline#"));
        Ok(items)
    }

    /// Makes the ledger say of the trail and its archive what was recorded first, and that nothing
    /// deviates.
    pub(crate) async fn reset_baseline(&self) -> Result<()> {
        let (dynamodb, table) = (&self.aws.dynamodb, self.output("LedgerTable")?);
        for item in self.recorded.iter().cloned() {
            let put = dynamodb.put_item().table_name(table).set_item(Some(item));
            put.send().await.context("dynamodb:PutItem")?;
        }
        let delete = dynamodb.delete_item().table_name(table);
        let deleted = delete.set_key(Some(episode_key())).send().await;
        deleted.context("dynamodb:DeleteItem").map(|_| ())
    }

    /// Makes the deviation that lasts have lasted for two hours more.
    pub(crate) async fn age_episode(&self) -> Result<()> {
        let (dynamodb, table) = (&self.aws.dynamodb, self.output("LedgerTable")?);
        let get = dynamodb.get_item().table_name(table);
        let got = get.set_key(Some(episode_key())).send().await;
        let item = got.context("dynamodb:GetItem")?.item;
        let mut item = item.context("nothing deviates, by the ledger")?;
        let mut episode: Value =
            serde_json::from_str(text(&item, "episode")).context("reading the episode")?;
        let since: Timestamp = episode["since"]
            .as_str()
            .context("the episode has no beginning")?
            .parse()
            .context("reading when the episode began")?;
        episode["since"] = (since - SignedDuration::from_hours(2)).to_string().into();
        item.insert("episode".to_owned(), AttributeValue::S(episode.to_string()));
        let put = dynamodb.put_item().table_name(table).set_item(Some(item));
        put.send().await.context("dynamodb:PutItem").map(|_| ())
    }

    /// Makes the ledger say that so many principals were contained that only `left` more may be
    /// within the hour, and answers what it said before.
    pub(crate) async fn fill_budget(&self, left: usize) -> Result<Option<AttributeValue>> {
        let now = Timestamp::now();
        let others: BTreeMap<_, _> = (left..MAX_PRINCIPALS_PER_HOUR)
            .map(|other| (format!("user/other-{other}"), now))
            .collect();
        let others = serde_json::to_string(&others).context("the budget")?;
        self.set_budget(Some(AttributeValue::S(others))).await
    }

    /// Makes the ledger say of that what it said before.
    pub(crate) async fn put_budget_back(&self, before: Option<AttributeValue>) -> Result<()> {
        self.set_budget(before).await.map(|_| ())
    }

    async fn set_budget(
        &self,
        contained: Option<AttributeValue>,
    ) -> Result<Option<AttributeValue>> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = self
            .aws
            .dynamodb
            .put_item()
            .table_name(self.output("LedgerTable")?)
            .item("pk", text("budget"))
            .item("sk", text("budget"))
            .return_values(ReturnValue::AllOld);
        let put = match contained {
            Some(contained) => put.item("contained", contained),
            None => put,
        };
        let before = put.send().await.context("dynamodb:PutItem")?;
        Ok(before
            .attributes
            .and_then(|mut item| item.remove("contained")))
    }

    pub(super) async fn raw_ledger(&self) -> Result<Vec<HashMap<String, AttributeValue>>> {
        let scan = self.aws.dynamodb.scan();
        let scan = scan.table_name(self.output("LedgerTable")?);
        let mut items = scan.into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(item) = items.next().await {
            all.push(item.context("dynamodb:Scan")?);
        }
        Ok(all)
    }
}

fn episode_key() -> HashMap<String, AttributeValue> {
    [
        ("pk", format!("deviation#{TRAIL_ARN}")),
        ("sk", "episode".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
    .collect()
}

/// The text of an attribute; empty where there is none.
fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> &'a str {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.map(String::as_str).unwrap_or_default()
}

/// A value of DynamoDB as JSON, in which keys have an order.
fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.as_str().into(),
        AttributeValue::Bool(truth) => (*truth).into(),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
            let mut texts = texts.clone();
            texts.sort();
            texts.into()
        }
        AttributeValue::L(items) => items.iter().map(plain).collect(),
        AttributeValue::M(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let fields = fields.into_iter();
            fields
                .map(|(name, field)| (name.clone(), plain(field)))
                .collect()
        }
        _ => Value::Null,
    }
}
