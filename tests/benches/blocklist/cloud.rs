//! What the runs call: WAF and DynamoDB on loopback.

use std::collections::BTreeSet;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_wafv2::{
    error::ProvideErrorMetadata,
    types::{IpAddressVersion, Scope},
};
use aws_smithy_http_client::Builder;
use block_ip::BlockIp;
use blocklist::Blocklist;
use incident::Settings;
use ledger::Ledger;

use crate::{
    LAMBDA,
    gate::{Gate, Seen},
    moto::{Installed, Moto},
    range::error::{Context, Result},
};

/// Both moto, and the gate before them.
pub(crate) struct Cloud {
    config: SdkConfig,
    gate: Gate,
    /// They end with the benchmark.
    _moto: [Moto; 2],
}

/// An IP set of WAF.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) id: String,
    arn: String,
}

impl Cloud {
    pub(crate) async fn start() -> Result<Self> {
        let installed = Installed::prepare().await?;
        let moto = [
            installed.start("dynamodb").await?,
            installed.start("waf").await?,
        ];
        let gate = Gate::open(&moto[0], &moto[1])?;
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::from_static("eu-west-1"))
            .endpoint_url(gate.endpoint())
            .credentials_provider(Credentials::new("test", "test", None, None, "static"))
            .http_client(Builder::new().build_http())
            .load()
            .await;
        Ok(Self {
            config,
            gate,
            _moto: moto,
        })
    }

    async fn make_ledger(&self, name: &str) -> Result<()> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let mut create = client
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S).build()?;
            let key = KeySchemaElement::builder().attribute_name(name);
            create = create
                .attribute_definitions(attribute)
                .key_schema(key.key_type(kind).build()?);
        }
        create.send().await?;
        Ok(())
    }

    /// Makes a set with entries that people made, and a ledger of the same name.
    pub(crate) async fn set(&self, name: &str, entries: &[String]) -> Result<Set> {
        self.make_ledger(name).await?;
        let made = self
            .waf()
            .create_ip_set()
            .name(name)
            .scope(Scope::Regional)
            .ip_address_version(IpAddressVersion::Ipv4)
            .set_addresses(Some(entries.to_vec()))
            .send()
            .await?;
        let made = made.summary.context("WAF made no set")?;
        Ok(Set {
            name: name.to_owned(),
            id: made.id.context("a set without an id")?,
            arn: made.arn.context("a set without an ARN")?,
        })
    }

    /// A worker with clients of its own, as each environment of Lambda has. moto answers a thousand
    /// one after another where DynamoDB answers them at once, so the ledger may take its time.
    pub(crate) fn block_ip(&self, set: &Set) -> Result<BlockIp> {
        let arn = set.arn.clone();
        let settings = Settings::new(move |name| (name == "IP_SET_V4_ARN").then(|| arn.clone()));
        let patient = TimeoutConfig::builder().operation_timeout(LAMBDA).build();
        let config = self.config.to_builder().timeout_config(patient).build();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let ledger = Ledger::new(client, &set.name);
        let blocklist = Blocklist::new(ledger, &self.config, &settings)?;
        Ok(BlockIp::new(blocklist))
    }

    fn waf(&self) -> aws_sdk_wafv2::Client {
        aws_sdk_wafv2::Client::new(&worker::CONTROL.on(&self.config))
    }

    /// A client whose caller makes a call again, if anybody does.
    pub(crate) fn waf_without_retries(&self) -> aws_sdk_wafv2::Client {
        let once = RetryConfig::disabled();
        let config = self.config.to_builder().retry_config(once).build();
        aws_sdk_wafv2::Client::new(&config)
    }

    /// What was called since the last look.
    pub(crate) fn seen(&self) -> Seen {
        self.gate.seen()
    }

    /// Has somebody enter something by hand between the next writer's reading and its writing.
    pub(crate) fn interrupt(&self, entry: &str) {
        self.gate.interrupt(entry);
    }

    /// What is in a set.
    pub(crate) async fn entries(&self, set: &Set) -> Result<BTreeSet<String>> {
        let got = self
            .waf()
            .get_ip_set()
            .name(&set.name)
            .id(&set.id)
            .scope(Scope::Regional)
            .send()
            .await?;
        let set = got.ip_set.context("WAF has no such set")?;
        Ok(set.addresses.into_iter().collect())
    }
}

/// The code of an error, or all of it where it has none.
pub(crate) fn code<E>(error: &E) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    error
        .code()
        .map_or_else(|| format!("{error:?}"), str::to_owned)
}
