//! Amazon Resource Names, parsed once.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest ARN that IAM accepts.
const LONGEST: usize = 2_048;

/// `arn:partition:service:region:account:resource`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^arn:"))]
pub struct Arn(String);

/// Why a text is not the ARN it should be. Never quotes the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an ARN like {0}")]
pub struct BadArn(&'static str);

impl Arn {
    fn part(&self, index: usize) -> &str {
        self.0.splitn(6, ':').nth(index).unwrap_or_default()
    }

    /// `aws`, `aws-us-gov`, `aws-cn`, ….
    #[must_use]
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    /// `iam`, `cloudtrail`, ….
    #[must_use]
    pub fn service(&self) -> &str {
        self.part(2)
    }

    /// The region; empty for global services.
    #[must_use]
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account; empty where the service leaves it out, `aws` for AWS's own policies.
    #[must_use]
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// Everything after the account.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.part(5)
    }

    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Arn {
    type Err = BadArn;

    fn from_str(text: &str) -> Result<Self, BadArn> {
        let arn = Self(text.to_owned());
        let fits = text.len() <= LONGEST
            && text.starts_with("arn:")
            && !text.contains(|c: char| c.is_control() || c.is_whitespace())
            && ![arn.partition(), arn.service(), arn.resource()].contains(&"");
        fits.then_some(arn)
            .ok_or(BadArn("arn:partition:service:region:account:resource"))
    }
}

impl TryFrom<String> for Arn {
    type Error = BadArn;

    fn try_from(text: String) -> Result<Self, BadArn> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.0
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An [`Arn`] of one kind: its service, the starts that its resource may have, and an example of it.
macro_rules! arn_of {
    ($(#[$doc:meta])* $name:ident, $service:literal, $($prefix:literal)|+, $example:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(try_from = "Arn", into = "Arn")]
        #[schemars(with = "Arn")]
        pub struct $name(Arn);

        impl $name {
            /// The name: what follows the last slash.
            #[must_use]
            pub fn name(&self) -> &str {
                self.0.resource().rsplit('/').next().unwrap_or_default()
            }

            /// The account that owns it.
            #[must_use]
            pub fn account(&self) -> &str {
                self.0.account()
            }

            /// The whole ARN.
            #[must_use]
            pub fn arn(&self) -> &Arn {
                &self.0
            }
        }

        impl TryFrom<Arn> for $name {
            type Error = BadArn;

            fn try_from(arn: Arn) -> Result<Self, BadArn> {
                let resource = arn.resource();
                let named = [$($prefix),+]
                    .iter()
                    .filter_map(|prefix| resource.strip_prefix(prefix))
                    .any(|rest| !rest.is_empty() && !rest.ends_with('/'));
                // IAM is global; everything else lives in a region.
                let placed = arn.region().is_empty() == ($service == "iam");
                if arn.service() == $service && named && placed && !arn.account().is_empty() {
                    Ok(Self(arn))
                } else {
                    Err(BadArn($example))
                }
            }
        }

        impl FromStr for $name {
            type Err = BadArn;

            fn from_str(text: &str) -> Result<Self, BadArn> {
                text.parse::<Arn>().map_err(|_| BadArn($example))?.try_into()
            }
        }

        impl From<$name> for Arn {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

arn_of!(
    /// An IAM user.
    UserArn, "iam", "user/", "arn:aws:iam::123456789012:user/name"
);
arn_of!(
    /// An IAM role, with its path.
    RoleArn, "iam", "role/", "arn:aws:iam::123456789012:role/name"
);
arn_of!(
    /// An IAM group.
    GroupArn, "iam", "group/", "arn:aws:iam::123456789012:group/name"
);
arn_of!(
    /// A DynamoDB table.
    TableArn, "dynamodb", "table/", "arn:aws:dynamodb:us-east-1:123456789012:table/name"
);
arn_of!(
    /// A CloudTrail trail; the region is the trail's home region.
    TrailArn, "cloudtrail", "trail/", "arn:aws:cloudtrail:us-east-1:123456789012:trail/name"
);
arn_of!(
    /// A KMS key.
    KeyArn, "kms", "key/", "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
);

arn_of!(
    /// A web ACL of WAF.
    WebAclArn, "wafv2", "regional/webacl/" | "global/webacl/",
    "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/name/id"
);
arn_of!(
    /// An IP set of WAF.
    IpSetArn, "wafv2", "regional/ipset/" | "global/ipset/",
    "arn:aws:wafv2:us-east-1:123456789012:regional/ipset/name/id"
);

/// What WAF keeps is asked for by scope, name and id, which its ARN holds.
macro_rules! kept_by_waf {
    ($name:ident) => {
        impl $name {
            /// Whether it guards CloudFront: then it is kept in us-east-1.
            #[must_use]
            pub fn is_global(&self) -> bool {
                self.0.resource().starts_with("global/")
            }

            /// The region in which it is kept.
            #[must_use]
            pub fn region(&self) -> &str {
                self.0.region()
            }

            /// Its name and its id.
            #[must_use]
            pub fn name_and_id(&self) -> (&str, &str) {
                let mut parts = self.0.resource().rsplit('/');
                let id = parts.next().unwrap_or_default();
                (parts.next().unwrap_or_default(), id)
            }
        }
    };
}

kept_by_waf!(WebAclArn);
kept_by_waf!(IpSetArn);

/// IAM keeps these names unique within an account, whatever their path and their case.
macro_rules! unique_by_name {
    ($($name:ident),+) => {$(
        impl $name {
            /// Whether both are one and the same, also where a path is left out, as in a session's ARN.
            #[must_use]
            pub fn is_same(&self, other: &Self) -> bool {
                self.account() == other.account() && self.name().eq_ignore_ascii_case(other.name())
            }
        }
    )+};
}

unique_by_name!(UserArn, RoleArn);

impl RoleArn {
    /// The path with both slashes, `/` when there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        let path_and_name = &self.0.resource()["role".len()..];
        &path_and_name[..=path_and_name.rfind('/').unwrap_or_default()]
    }
}

impl TrailArn {
    /// The trail's home region: the only one in which it can be changed.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.region()
    }
}

/// One of several kinds of ARN, which its text tells apart.
macro_rules! one_of {
    ($(#[$doc:meta])* $name:ident, $example:literal, $($(#[$of:meta])* $kind:ident($arn:ident)),+) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(try_from = "Arn", into = "Arn")]
        #[schemars(with = "Arn")]
        pub enum $name {
            $($(#[$of])* $kind($arn)),+
        }

        impl $name {
            /// The name: what follows the last slash.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$kind(arn) => arn.name()),+
                }
            }

            /// The whole ARN.
            #[must_use]
            pub fn arn(&self) -> &Arn {
                match self {
                    $(Self::$kind(arn) => arn.arn()),+
                }
            }
        }

        impl TryFrom<Arn> for $name {
            type Error = BadArn;

            fn try_from(arn: Arn) -> Result<Self, BadArn> {
                Err(BadArn($example))$(
                    .or_else(|_: BadArn| $arn::try_from(arn.clone()).map(Self::$kind))
                )+.map_err(|_| BadArn($example))
            }
        }

        impl FromStr for $name {
            type Err = BadArn;

            fn from_str(text: &str) -> Result<Self, BadArn> {
                text.parse::<Arn>().map_err(|_| BadArn($example))?.try_into()
            }
        }

        impl From<$name> for Arn {
            fn from(one: $name) -> Self {
                match one {
                    $($name::$kind(arn) => arn.into()),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.arn().fmt(f)
            }
        }
    };
}

one_of!(
    /// A principal that IAM can deny: a user or a role.
    Principal,
    "arn:aws:iam::123456789012:role/name or …:user/name",
    /// An IAM user.
    User(UserArn),
    /// An IAM role.
    Role(RoleArn)
);
impl Principal {
    /// Whether both are one and the same user or role.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User(one), Self::User(other)) => one.is_same(other),
            (Self::Role(one), Self::Role(other)) => one.is_same(other),
            _ => false,
        }
    }
}

one_of!(
    /// Whom IAM can give a policy to: a user, a role or a group.
    Grantee,
    "arn:aws:iam::123456789012:role/name, …:user/name or …:group/name",
    /// An IAM user.
    User(UserArn),
    /// An IAM role.
    Role(RoleArn),
    /// An IAM group.
    Group(GroupArn)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let arn: Arn = "arn:aws-us-gov:cloudtrail:us-gov-west-1:123456789012:trail/main"
            .parse()
            .unwrap();
        assert_eq!(arn.partition(), "aws-us-gov");
        assert_eq!(arn.service(), "cloudtrail");
        assert_eq!(arn.region(), "us-gov-west-1");
        assert_eq!(arn.account(), "123456789012");
        assert_eq!(arn.resource(), "trail/main");
    }

    #[test]
    fn a_name_is_what_follows_the_path() {
        let role: RoleArn = "arn:aws:iam::123456789012:role/ci/eu/deploy"
            .parse()
            .unwrap();
        assert_eq!((role.path(), role.name()), ("/ci/eu/", "deploy"));
        let role: RoleArn = "arn:aws:iam::123456789012:role/deploy".parse().unwrap();
        assert_eq!((role.path(), role.name()), ("/", "deploy"));
    }

    #[test]
    fn a_principal_is_the_same_whatever_its_path_and_case() {
        let is_same = |one: &str, other: &str| {
            let parse = |end: &str| format!("arn:aws:iam::{end}").parse::<Principal>().unwrap();
            parse(one).is_same(&parse(other))
        };
        assert!(is_same(
            "123456789012:role/ci/deploy",
            "123456789012:role/Deploy"
        ));
        assert!(is_same(
            "123456789012:user/eve",
            "123456789012:user/staff/eve"
        ));
        assert!(!is_same("123456789012:role/eve", "123456789012:user/eve"));
        assert!(!is_same(
            "123456789012:role/deploy",
            "999988887777:role/deploy"
        ));
        assert!(!is_same(
            "123456789012:role/deploy",
            "123456789012:role/deploy-2"
        ));
    }

    #[test]
    fn what_is_not_that_arn_is_refused_without_being_quoted() {
        let long = format!("arn:aws:iam::123456789012:user/{}", "x".repeat(LONGEST));
        for text in [
            "",
            "eve",
            "arn:aws:iam::123456789012",
            "arn:aws:iam::123456789012:user/",
            "arn:aws:iam::123456789012:role/eve",
            "arn:aws:s3:::user/eve",
            "arn:aws:iam::123456789012:user/e ve",
            "arn:aws:iam:::user/eve",
            "arn:aws:iam:eu-west-1:123456789012:user/eve",
            long.as_str(),
        ] {
            let error = text.parse::<UserArn>().unwrap_err().to_string();
            assert_eq!(
                error,
                "expected an ARN like arn:aws:iam::123456789012:user/name"
            );
        }
        let nowhere = "arn:aws:cloudtrail::123456789012:trail/clinic";
        assert!(nowhere.parse::<TrailArn>().is_err());
    }
}
