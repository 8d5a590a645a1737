//! Whose address a request carries when a proxy stands between the client and WAF.

use std::{net::IpAddr, net::SocketAddr, str::FromStr};

use incident::{BadSetting, Settings};
use serde_json::Value;

/// The name of a header.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(String);

/// Why a text is no [`HeaderName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a header's name: letters, digits, - and _")]
pub struct BadHeaderName;

/// Which address of a header is the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Position {
    /// The first: what the client itself claims, or the first proxy saw.
    First,
    /// The last: what the nearest proxy saw, which no client can forge.
    #[default]
    Last,
}

/// Why a text is no [`Position`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `first`, `last` or `any`")]
pub struct BadPosition;

/// The header that names the client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forwarded {
    /// Its name.
    pub header: HeaderName,
    /// Where in it.
    pub position: Position,
}

impl Forwarded {
    /// Reads `FORWARDED_IP_HEADER` and `FORWARDED_IP_POSITION`; none when no header is given.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Option<Self>, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let position: Option<Position> = settings.optional("FORWARDED_IP_POSITION")?;
        let header: Option<HeaderName> = settings.optional("FORWARDED_IP_HEADER")?;
        Ok(header.map(|header| Self {
            header,
            position: position.unwrap_or_default(),
        }))
    }
}

impl HeaderName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = BadHeaderName;

    /// What becomes part of a query may hold nothing that a query gives a meaning.
    fn from_str(text: &str) -> Result<Self, BadHeaderName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned())).ok_or(BadHeaderName)
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    /// Where WAF compares any address, it also compares the last.
    fn from_str(text: &str) -> Result<Self, BadPosition> {
        match text.to_ascii_lowercase().as_str() {
            "first" => Ok(Self::First),
            "last" | "any" => Ok(Self::Last),
            _ => Err(BadPosition),
        }
    }
}

impl Forwarded {
    /// The address of the client of `request`, a log record's `httpRequest`. None when the header is
    /// missing, redacted, or names only `connecting`, who is a proxy: some proxies add themselves,
    /// so the address beside it is looked at too.
    pub(crate) fn client(&self, request: &Value, connecting: Option<IpAddr>) -> Option<IpAddr> {
        let mut values = request["headers"].as_array()?.iter().filter_map(|header| {
            let name = header["name"].as_str()?;
            let ours = name.eq_ignore_ascii_case(self.header.as_str());
            ours.then(|| header["value"].as_str()).flatten()
        });
        let entries: Vec<_> = match self.position {
            Position::First => values.next()?.split(',').take(2).collect(),
            Position::Last => values.next_back()?.rsplit(',').take(2).collect(),
        };
        for entry in entries {
            let address = address(entry)?;
            if Some(address) != connecting {
                return Some(address);
            }
        }
        None
    }

    /// What a query calls it: a group of a regular expression is named with letters and digits only.
    pub(crate) fn column(&self) -> String {
        let position = match self.position {
            Position::First => "first",
            Position::Last => "last",
        };
        let header = self.header.as_str();
        format!("{position}{}", header.replace(['-', '_'], ""))
    }

    /// The regular expression that finds in a log record's text what [`Self::client`] looks at, as
    /// `column`. Quotes that a client sends are escaped there, so it cannot pretend another header.
    pub(crate) fn pattern(&self, column: &str) -> String {
        let header = self.header.as_str();
        let start = format!(r#""name"\s*:\s*"{header}"\s*,\s*"value"\s*:\s*""#);
        let two = format!(r#"(?<{column}>[^",\\]*(?:,[^",\\]*)?)"#);
        match self.position {
            Position::First => format!("(?i){start}{two}"),
            Position::Last => format!(r#"(?i).*{start}(?:(?:[^"\\]|\\.)*?,)??{two}""#),
        }
    }
}

/// An address, as proxies write it: alone, or with a port.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    let address = text.parse().ok().or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;
    use serde_json::json;

    use super::*;

    fn of(position: Position) -> Forwarded {
        Forwarded {
            header: "X-Forwarded-For".parse().unwrap(),
            position,
        }
    }

    #[test]
    fn a_proxy_is_never_taken_for_the_client() {
        let cdn = Some("198.51.100.200".parse().unwrap());
        for (value, first, last) in [
            ("203.0.113.9", Some("203.0.113.9"), Some("203.0.113.9")),
            (
                "203.0.113.9, 198.51.100.200",
                Some("203.0.113.9"),
                Some("203.0.113.9"),
            ),
            (
                "192.0.2.1, 203.0.113.9",
                Some("192.0.2.1"),
                Some("203.0.113.9"),
            ),
            (
                "192.0.2.1,203.0.113.9,198.51.100.200",
                Some("192.0.2.1"),
                Some("203.0.113.9"),
            ),
            (
                "198.51.100.200, 203.0.113.9",
                Some("203.0.113.9"),
                Some("203.0.113.9"),
            ),
            ("203.0.113.9:4711", Some("203.0.113.9"), Some("203.0.113.9")),
            (
                "[2001:db8::9]:4711",
                Some("2001:db8::9"),
                Some("2001:db8::9"),
            ),
            (
                "::ffff:203.0.113.9",
                Some("203.0.113.9"),
                Some("203.0.113.9"),
            ),
            ("unknown, 203.0.113.9", None, Some("203.0.113.9")),
            ("a\"b\\, 203.0.113.9", None, Some("203.0.113.9")),
            ("203.0.113.9, unknown", Some("203.0.113.9"), None),
            ("198.51.100.200", None, None),
            ("REDACTED", None, None),
            ("", None, None),
        ] {
            for (position, expected) in [(Position::First, first), (Position::Last, last)] {
                let forwarded = of(position);
                let request = json!({"headers": [
                    {"name": "Host", "value": "x-forwarded-for"},
                    {"name": "x-forwarded-for", "value": value},
                ]});
                let client = forwarded.client(&request, cdn);
                let expected = expected.map(|address| address.parse().unwrap());
                assert_eq!(client, expected, "{position:?} of {value}");

                // What a query cuts out of the record's text is enough to find the same.
                let pattern = Regex::new(&forwarded.pattern("it")).unwrap();
                let text = request.to_string();
                let cut = pattern
                    .captures(&text)
                    .map_or("", |found| found.name("it").unwrap().as_str());
                let request = json!({"headers": [{"name": "X-Forwarded-For", "value": cut}]});
                assert_eq!(
                    forwarded.client(&request, cdn),
                    expected,
                    "{position:?} of {text}"
                );
            }
        }
    }

    #[test]
    fn of_two_headers_the_nearer_to_the_position_counts() {
        let request = json!({"headers": [
            {"name": "X-Forwarded-For", "value": "192.0.2.1"},
            {"name": "X-Forwarded-For", "value": "203.0.113.9"},
        ]});
        for (position, client) in [
            (Position::First, "192.0.2.1"),
            (Position::Last, "203.0.113.9"),
        ] {
            let forwarded = of(position);
            assert_eq!(
                forwarded.client(&request, None),
                Some(client.parse().unwrap())
            );
            let pattern = Regex::new(&forwarded.pattern("it")).unwrap();
            let text = request.to_string();
            assert_eq!(&pattern.captures(&text).unwrap()["it"], client);
        }
        assert_eq!(of(Position::Last).client(&json!({}), None), None);
        assert_eq!(
            of(Position::Last).client(&json!({"headers": null}), None),
            None
        );
    }

    #[test]
    fn what_is_no_header_and_no_position_is_refused() {
        for wrong in ["", "X Forwarded", "a\"b", "a.b", &"a".repeat(256)] {
            assert_eq!(wrong.parse::<HeaderName>(), Err(BadHeaderName), "{wrong}");
        }
        assert_eq!("FIRST".parse(), Ok(Position::First));
        assert_eq!("any".parse(), Ok(Position::Last));
        assert_eq!("middle".parse::<Position>(), Err(BadPosition));
    }
}
