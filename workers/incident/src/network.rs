//! What a firewall blocks: one address, or a network of them.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BadSetting, Settings};

/// An IPv4 or IPv6 network, written in CIDR notation as WAF takes it, without host bits. An address
/// alone means itself in IPv4 and its /64 in IPv6, within which whoever has one address has them all.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Network(IpNet);

/// Why a text is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, or a network like 203.0.113.0/24 or 2001:db8::/64")]
pub struct BadNetwork;

/// The two kinds of address; an IP set of WAF holds one of them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Network {
    /// The network of one address. An IPv4 address written in IPv6 is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let longest = match address.to_canonical() {
            IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(address)),
            IpAddr::V6(address) => {
                let host = u128::from(u64::MAX);
                let network = Ipv6Addr::from_bits(address.to_bits() & !host);
                IpNet::V6(Ipv6Net::new_assert(network, 64))
            }
        };
        Self(longest)
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> IpNet {
        self.0
    }

    /// Its kind of address.
    #[must_use]
    pub fn family(&self) -> Family {
        match self.0 {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        }
    }

    /// The address that begins the network, for people.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match self.0 {
            IpNet::V4(net) => IpAddr::V4(net.network()),
            IpNet::V6(net) => IpAddr::V6(net.network()),
        }
    }

    /// Whether both have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &IpNet) -> bool {
        self.0.contains(other) || other.contains(&self.0)
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        if let Ok(address) = text.parse() {
            return Ok(Self::of(address));
        }
        let net: IpNet = text.parse().map_err(|_| BadNetwork)?;
        Ok(Self(net.trunc()))
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What may never be blocked: the clinic's own networks, and what is no address of anybody out there.
#[derive(Debug, Clone)]
pub struct NeverBlock(Vec<IpNet>);

/// What no attacker on the internet comes from: to block it would block ourselves, or nobody.
const NOBODY: [(&str, &str); 17] = [
    ("0.0.0.0/8", "no address of anybody"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "a carrier's own, shared by its customers"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "no address of anybody"),
    ("::/127", "loopback"),
    ("::ffff:0:0/96", "IPv4 written in IPv6"),
    ("64:ff9b::/96", "translated IPv4, shared by many"),
    ("64:ff9b:1::/48", "translated IPv4, shared by many"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
];

impl NeverBlock {
    /// The shortest prefixes that may be blocked: more would be a country.
    pub const SHORTEST: [(Family, u8); 2] = [(Family::V4, 16), (Family::V6, 32)];

    /// Reads `NEVER_BLOCK_CIDRS`.
    ///
    /// # Errors
    /// When one of them is no network.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        settings.list("NEVER_BLOCK_CIDRS").map(Self)
    }

    /// Whether an address is the clinic's own.
    #[must_use]
    pub fn is_own(&self, network: &Network) -> bool {
        self.0.iter().any(|own| network.overlaps(own))
    }

    /// Why a network may not be blocked; none when it may.
    #[must_use]
    pub fn refusal(&self, network: &Network) -> Option<String> {
        if let Some(own) = self.0.iter().find(|own| network.overlaps(own)) {
            return Some(format!("it shares addresses with {own} of NeverBlockCidrs"));
        }
        let reserved = NOBODY.iter().find(|(reserved, _)| {
            let reserved = reserved.parse::<IpNet>();
            reserved.is_ok_and(|reserved| network.overlaps(&reserved))
        });
        if let Some((reserved, what)) = reserved {
            return Some(format!("it shares addresses with {reserved}, {what}"));
        }
        let short = Self::SHORTEST.iter().find(|(family, shortest)| {
            network.family() == *family && network.net().prefix_len() < *shortest
        });
        short.map(|(_, shortest)| format!("it is wider than a /{shortest}"))
    }
}

/// The addresses of a text that should hold one: CloudTrail was seen to write several, with commas
/// between them.
#[must_use]
pub fn addresses(text: &str) -> Vec<IpAddr> {
    let one = |part: &str| part.trim().parse().ok();
    text.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_itself_in_ipv4_and_its_64_in_ipv6() {
        for (written, read) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8::1/128", "2001:db8::1/128"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ] {
            assert_eq!(network(written).to_string(), read);
        }
        for wrong in [
            "",
            "203.0.113",
            "203.0.113.7/33",
            "AWS Internal",
            "1.2.3.4, 5.6.7.8",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(BadNetwork), "{wrong}");
        }
    }

    #[test]
    fn what_is_ours_nobodys_or_a_country_is_never_blocked() {
        let settings = Settings::new(|name| {
            (name == "NEVER_BLOCK_CIDRS").then(|| "192.0.2.0/24,2001:db8:aa::/48".to_owned())
        });
        let never = NeverBlock::from_settings(&settings).unwrap();
        for own in [
            "192.0.2.9",
            "192.0.0.0/16",
            "2001:db8:aa:1::5",
            "2001:db8::/32",
        ] {
            assert!(never.is_own(&network(own)), "{own}");
            assert!(
                never
                    .refusal(&network(own))
                    .unwrap()
                    .contains("NeverBlockCidrs")
            );
        }
        for (nobody, why) in [
            ("127.0.0.1", "loopback"),
            ("10.1.2.3", "private"),
            ("100.64.9.9", "carrier"),
            ("169.254.169.254", "link-local"),
            ("224.0.0.251", "multicast"),
            ("255.255.255.255", "no address"),
            ("::1", "loopback"),
            ("fd00::1", "private"),
            ("fe80::1", "link-local"),
            ("198.18.0.0/15", "wider than a /16"),
            ("2a00::/12", "wider than a /32"),
        ] {
            let refusal = never.refusal(&network(nobody)).unwrap();
            assert!(refusal.contains(why), "{nobody}: {refusal}");
        }
        for anybody in [
            "203.0.113.7",
            "198.51.0.0/16",
            "2a00:1450::1",
            "2a00:1450::/32",
        ] {
            assert_eq!(never.refusal(&network(anybody)), None, "{anybody}");
        }
    }

    #[test]
    fn every_reserved_network_is_one() {
        for (reserved, _) in NOBODY {
            assert!(reserved.parse::<IpNet>().is_ok(), "{reserved}");
        }
    }

    #[test]
    fn several_addresses_in_one_text_are_read_one_by_one() {
        let read = addresses("203.0.113.7, 10.0.0.1");
        assert_eq!(read.len(), 2);
        assert!(addresses("AWS Internal").is_empty());
    }
}
