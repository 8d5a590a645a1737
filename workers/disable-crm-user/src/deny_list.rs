//! The subjects whose tokens the CRM's authorizer refuses, each until a second of the epoch.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata,
    types::AttributeValue::{self, N, S},
};
use incident::Subject;
use jiff::Timestamp;
use worker::Failure;

/// The table.
#[derive(Debug, Clone)]
pub(crate) struct DenyList {
    pub(crate) client: Client,
    pub(crate) table: String,
}

impl DenyList {
    /// The table of this name. Its calls are as short as the ledger's: an unreachable table must not
    /// hold up the rest.
    pub(crate) fn new(config: &SdkConfig, table: String) -> Self {
        let client = Client::new(&worker::LEDGER.on(config));
        Self { client, table }
    }

    /// Until when tokens are refused, which may be over; none without an entry that says so.
    pub(crate) async fn until(&self, subject: &Subject) -> Result<Option<Timestamp>, Failure> {
        let got = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("subject", S(subject.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Failure::aws("dynamodb:GetItem", &error))?;
        let item = got.item.unwrap_or_default();
        let second = item.get("expiresAt").and_then(|at| at.as_n().ok());
        let second = second.and_then(|second| second.parse().ok());
        Ok(second.and_then(|second| Timestamp::from_second(second).ok()))
    }

    /// Refuses tokens until then; false when they are refused for longer already.
    pub(crate) async fn refuse(
        &self,
        subject: &Subject,
        until: Timestamp,
    ) -> Result<bool, Failure> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("subject", S(subject.to_string()))
            .update_expression("SET expiresAt = :until")
            .condition_expression("attribute_not_exists(subject) OR expiresAt < :until")
            .expression_attribute_values(":until", second(until));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(TOO_LATE) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }

    /// Puts an entry back that lasts at most until `ours`, or takes it off; never makes it longer.
    /// False when there is nothing to put back.
    pub(crate) async fn put_back(
        &self,
        subject: &Subject,
        original: Option<Timestamp>,
        ours: Timestamp,
    ) -> Result<bool, Failure> {
        let Some(original) = original else {
            let delete = self
                .client
                .delete_item()
                .table_name(&self.table)
                .key("subject", S(subject.to_string()))
                .condition_expression("expiresAt <= :ours")
                .expression_attribute_values(":ours", second(ours));
            return match delete.send().await {
                Ok(_) => Ok(true),
                Err(error) if error.code() == Some(TOO_LATE) => Ok(false),
                Err(error) => Err(Failure::aws("dynamodb:DeleteItem", &error)),
            };
        };
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("subject", S(subject.to_string()))
            .update_expression("SET expiresAt = :original")
            .condition_expression("expiresAt > :original AND expiresAt <= :ours")
            .expression_attribute_values(":original", second(original))
            .expression_attribute_values(":ours", second(ours));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(TOO_LATE) => Ok(false),
            Err(error) => Err(Failure::aws("dynamodb:UpdateItem", &error)),
        }
    }

    /// How a human refuses tokens.
    pub(crate) fn by_hand(&self, subject: &Subject, until: Timestamp) -> String {
        format!(
            "issued tokens are refused by aws dynamodb put-item --table-name {} --item \
             '{{\"subject\":{{\"S\":\"{subject}\"}},\"expiresAt\":{{\"N\":\"{}\"}}}}'",
            self.table,
            until.as_second()
        )
    }
}

/// The condition does not hold.
const TOO_LATE: &str = "ConditionalCheckFailedException";

fn second(at: Timestamp) -> AttributeValue {
    N(at.as_second().to_string())
}
