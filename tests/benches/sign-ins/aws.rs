//! The local AWS: `ministack`, in the environment that the drills made for it, which answers one request
//! after another, as a partition of DynamoDB does.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use aws_smithy_http_client::Builder;
use ledger::Ledger;

use crate::{Result, meter::Meter};

/// Runs ministack, and ends it with this process.
const KEEPER: &str = include_str!("../../src/range/ministack.py");

/// How long it may take to start.
const START: Duration = Duration::from_mins(1);

const TABLE: &str = "ledger";

/// A running ministack with a ledger; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Aws {
    process: Child,
    client: Client,
    config: SdkConfig,
}

/// Starts one, whose calls `meter` counts.
pub(crate) async fn start(meter: &Meter) -> Result<Aws> {
    let range = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../range");
    let python = range.join("ministack/bin/python");
    if !python.exists() {
        return Err("there is no local AWS yet: `cargo drill` makes one when it first runs".into());
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let log = File::create(range.join("sign-ins.log"))?;
    let process = Command::new(python)
        .args(["-c", KEEPER])
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("GATEWAY_PORT", port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "static"))
        .retry_config(RetryConfig::standard())
        .http_client(Builder::new().build_http())
        .interceptor(meter.clone())
        .build();
    let mut aws = Aws {
        process,
        client: Client::from_conf(config),
        config: SdkConfig::builder().build(),
    };
    let deadline = Instant::now() + START;
    while let Err(error) = aws.make_ledger().await {
        if aws.process.try_wait()?.is_some() || Instant::now() > deadline {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(aws)
}

impl Aws {
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.client.clone(), TABLE)
    }

    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    async fn make_ledger(&self) -> Result<()> {
        let mut create = self
            .client
            .create_table()
            .table_name(TABLE)
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

    /// How many attempts each series of the ledger holds.
    pub(crate) async fn series(&self) -> Result<BTreeMap<String, usize>> {
        let mut series = BTreeMap::new();
        let mut pages = self
            .client
            .scan()
            .table_name(TABLE)
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item?;
            let key = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
            let (Some(pk), Some(sk)) = (key("pk"), key("sk")) else {
                return Err("an item of the ledger has no key".into());
            };
            if !sk.starts_with("claim#") && !pk.contains("/answered/") {
                *series.entry(pk.clone()).or_insert(0) += 1;
            }
        }
        Ok(series)
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It has been told to end.
        let _ended = self.process.wait();
    }
}
