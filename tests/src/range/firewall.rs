//! The firewall's part: what its sets hold, what it sampled, and the time that passes.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_wafv2::types::Scope;
use incident::{IpSetArn, Network};
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use super::{
    Range,
    error::{Context, Error, Result},
};

impl Range {
    /// Everything that both IP sets hold, in one line.
    pub(crate) async fn blocked(&self) -> Result<String> {
        let mut all = Vec::new();
        for set in ["IpSetV4Arn", "IpSetV6Arn"] {
            for entry in self.ip_set(set).await?.0 {
                // WAF writes IPv6 in full.
                let network: Network = entry.parse().context(entry)?;
                all.push(network.to_string());
            }
        }
        Ok(all.join(" "))
    }

    /// Blocks an IPv4 network as a human does, in the console.
    pub(crate) async fn block_by_hand(&self, network: &str) -> Result<()> {
        let (mut addresses, token) = self.ip_set("IpSetV4Arn").await?;
        if addresses.iter().any(|it| it == network) {
            return Ok(());
        }
        addresses.push(network.to_owned());
        let arn: IpSetArn = self.crm("IpSetV4Arn")?.parse().context("IpSetV4Arn")?;
        let (name, id) = arn.name_and_id();
        let call = self.aws.waf.update_ip_set().name(name).id(id);
        let call = call.scope(Scope::Regional).lock_token(token);
        let updated = call.set_addresses(Some(addresses)).send().await;
        updated.context("wafv2:UpdateIPSet").map(|_| ())
    }

    /// What an IP set holds, and its lock token.
    async fn ip_set(&self, output: &str) -> Result<(Vec<String>, String)> {
        let arn: IpSetArn = self.crm(output)?.parse().context(output)?;
        let (name, id) = arn.name_and_id();
        let call = self.aws.waf.get_ip_set().name(name).id(id);
        let found = call.scope(Scope::Regional).send().await;
        let found = found.context("wafv2:GetIPSet")?;
        let set = found.ip_set.context("no IP set")?;
        Ok((set.addresses, found.lock_token.unwrap_or_default()))
    }

    /// Has the firewall's samples show ten requests that a rule blocked, from each address.
    pub(crate) fn sample_attacks(&self, metric: &str, addresses: &[&str]) -> Result<()> {
        let now = Timestamp::now().as_second();
        let request = |address: &&str| {
            json!({
                "Request": {
                    "ClientIP": address, "Country": "US", "URI": "/v1/patients", "Method": "GET",
                    "HTTPVersion": "HTTP/1.1", "Headers": [],
                },
                "Weight": 1, "Timestamp": now, "Action": "BLOCK",
            })
        };
        let requests: Vec<_> = addresses
            .iter()
            .flat_map(|address| std::iter::repeat_n(request(address), 10))
            .collect();
        self.emulator.sample(&json!({ metric: requests }))
    }

    /// Lets every block be as old as it may become.
    pub(crate) async fn expire_blocks(&self) -> Result<()> {
        let past = AttributeValue::S((Timestamp::now() - 1.minute()).to_string());
        for mut item in self.raw_ledger().await? {
            let key = item.get("pk").and_then(|pk| pk.as_s().ok());
            if !key.is_some_and(|key| key.starts_with("block#v")) {
                continue;
            }
            let asks = item
                .remove("asks")
                .context("a block that nobody asked for")?;
            let AttributeValue::M(mut asks) = asks else {
                return Err(Error::new("a block's asks are no map"));
            };
            for until in asks.values_mut() {
                *until = past.clone();
            }
            item.insert("asks".to_owned(), AttributeValue::M(asks));
            item.insert("until".to_owned(), past.clone());
            let put = self.aws.dynamodb.put_item();
            let put = put.table_name(self.output("LedgerTable")?);
            let put = put.set_item(Some(item)).send().await;
            put.context("dynamodb:PutItem")?;
        }
        Ok(())
    }
}
