//! One IP set of WAF: read, and replaced under its lock token.

use std::{collections::BTreeMap, fmt};

use aws_config::{Region, SdkConfig, retry::RetryConfig};
use aws_sdk_wafv2::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{IpAddressVersion, Scope},
};
use incident::{Family, IpSetArn, Network};
use ipnet::IpNet;
use worker::Failure;

use crate::setting;

/// How many entries a set holds.
pub(crate) const CAPACITY: usize = 10_000;

const GET: &str = "wafv2:GetIPSet";
const UPDATE: &str = "wafv2:UpdateIPSet";

/// An IP set, and a client in its region.
#[derive(Debug, Clone)]
pub(crate) struct IpSet {
    arn: IpSetArn,
    family: Family,
    waf: Client,
}

/// What a set held, and the token under which that can be replaced.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its entries as WAF writes them, each with the network it means, where it can be read.
    pub(crate) entries: Vec<(String, Option<Network>)>,
    description: Option<String>,
    token: String,
}

/// Why a call to WAF did not do what it should.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Somebody changed the set since it was read.
    Lost,
    /// Too many calls within a second, in the whole account and region.
    Throttled(Failure),
    /// It may work later, or has worked already: the set must be read again.
    Unclear(Failure),
    /// It will not work.
    Refused(Failure),
}

impl IpSet {
    /// The set `arn`, whose entries are to be of `family`. Each call is made once: one a second is
    /// all that WAF takes, and whether another is worthwhile is the caller's to say.
    pub(crate) fn new(config: &SdkConfig, arn: IpSetArn, family: Family) -> Self {
        let config = worker::CONTROL.on(config);
        let config = config
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .region(Region::new(arn.region().to_owned()))
            .build();
        Self::with(Client::new(&config), arn, family)
    }

    pub(crate) fn with(waf: Client, arn: IpSetArn, family: Family) -> Self {
        Self { arn, family, waf }
    }

    pub(crate) fn arn(&self) -> &IpSetArn {
        &self.arn
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    fn scope(&self) -> Scope {
        if self.arn.is_global() {
            Scope::Cloudfront
        } else {
            Scope::Regional
        }
    }

    /// The command line's arguments that name this set.
    pub(crate) fn arguments(&self) -> String {
        let (name, id) = self.arn.name_and_id();
        let (scope, region) = (self.scope(), self.arn.region());
        format!("--region {region} --scope {scope} --name {name} --id {id}")
    }

    pub(crate) async fn get(&self) -> Result<Listed, Trouble> {
        let (name, id) = self.arn.name_and_id();
        let got = self
            .waf
            .get_ip_set()
            .scope(self.scope())
            .name(name)
            .id(id)
            .send()
            .await
            .map_err(|error| self.trouble(GET, &error))?;
        let (Some(set), Some(token)) = (got.ip_set, got.lock_token) else {
            let nothing = format!("{GET}: answered without a set or its lock token");
            return Err(Trouble::Unclear(Failure::Transient(nothing)));
        };
        if set.ip_address_version != version(self.family) {
            return Err(Trouble::Refused(Failure::Rejected(format!(
                "{self} holds {}: {} must name a set of {}",
                set.ip_address_version,
                setting(self.family),
                version(self.family)
            ))));
        }
        let read = |text: String| {
            let network = network(&text);
            (text, network)
        };
        Ok(Listed {
            entries: set.addresses.into_iter().map(read).collect(),
            description: set.description.filter(|text| !text.is_empty()),
            token,
        })
    }

    /// Replaces what was `listed` by `addresses`, and keeps its description, which would be replaced
    /// too.
    pub(crate) async fn replace(
        &self,
        listed: Listed,
        addresses: Vec<String>,
    ) -> Result<(), Trouble> {
        let (name, id) = self.arn.name_and_id();
        self.waf
            .update_ip_set()
            .scope(self.scope())
            .name(name)
            .id(id)
            .set_description(listed.description)
            .set_addresses(Some(addresses))
            .lock_token(listed.token)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.trouble(UPDATE, &error))
    }

    fn trouble<E>(&self, call: &str, error: &SdkError<E, HttpResponse>) -> Trouble
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = Failure::aws(call, error).rephrase(|why| format!("{self}: {why}"));
        let service = error.as_service_error();
        let code = service.and_then(ProvideErrorMetadata::code);
        match (code, failure) {
            (Some("WAFOptimisticLockException"), _) => Trouble::Lost,
            // What it needs is not to be found yet, or not for a moment.
            (Some("WAFUnavailableEntityException" | "WAFInternalErrorException"), failure) => {
                Trouble::Unclear(Failure::Transient(failure.to_string()))
            }
            (Some("WAFNonexistentItemException"), failure) => {
                Trouble::Refused(Failure::TargetNotFound(failure.to_string()))
            }
            (_, failure @ Failure::Transient(_)) => {
                let status = error.raw_response().map(|raw| raw.status().as_u16());
                match status {
                    Some(400..500) => Trouble::Throttled(failure),
                    _ => Trouble::Unclear(failure),
                }
            }
            (_, failure) => Trouble::Refused(failure),
        }
    }
}

impl fmt::Display for IpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IP set {}", self.arn.name_and_id().0)
    }
}

impl Listed {
    /// The networks, each with the text that stands for it.
    pub(crate) fn networks(&self) -> BTreeMap<Network, &str> {
        let entries = self.entries.iter();
        let read = entries.filter_map(|(text, network)| Some(((*network)?, text.as_str())));
        read.collect()
    }
}

/// What an entry means. One without a length is not WAF's, and an address alone would mean another
/// network here.
fn network(entry: &str) -> Option<Network> {
    entry.contains('/').then(|| entry.parse().ok()).flatten()
}

/// A network as WAF writes it: IPv6 in full.
pub(crate) fn entry(network: &Network) -> String {
    match network.net() {
        IpNet::V4(net) => net.to_string(),
        IpNet::V6(net) => {
            let groups = net.network().segments().map(|group| format!("{group:04x}"));
            format!("{}/{}", groups.join(":"), net.prefix_len())
        }
    }
}

fn version(family: Family) -> IpAddressVersion {
    match family {
        Family::V4 => IpAddressVersion::Ipv4,
        Family::V6 => IpAddressVersion::Ipv6,
    }
}

/// A kind of address, as people write it.
pub(crate) fn named(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
