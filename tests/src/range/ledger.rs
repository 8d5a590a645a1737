//! Tourniquet's ledger, read, taken away and put back.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use serde_json::Value;

use super::{
    Range,
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

    async fn raw_ledger(&self) -> Result<Vec<HashMap<String, AttributeValue>>> {
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
