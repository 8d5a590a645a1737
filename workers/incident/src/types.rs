//! The incident: what triage hands to a runbook, and what an operator may hand to it again.

use std::{fmt, net::IpAddr, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, Arn, BucketName, Containment, Grant, Network, ObjectKey, Principal, Subject, TableArn,
    TrailArn, UserPoolId, VersionId, WebAclArn, text::Text,
};

/// An incident's JSON never has more bytes than this, whatever names an attacker chose. An
/// execution's input may hold 256 KiB, and the incident travels beside the steps' results.
pub const LARGEST_INCIDENT: usize = 64 * 1024;

/// The incident's id is the name of the execution that answers it: 1 to 80 characters, none of
/// those that Step Functions forbids in a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("minLength" = 1, "maxLength" = 80))]
pub struct IncidentId(String);

/// Why a text is no [`IncidentId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of an execution: 1 to 80 characters, no spaces, brackets or quotes")]
pub struct BadIncidentId;

impl IncidentId {
    /// The id that an event gives its execution, so that a redelivery finds the name taken.
    #[must_use]
    pub fn of_event(event_id: &str) -> Option<Self> {
        let name = event_id.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        name.parse().ok()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IncidentId {
    type Err = BadIncidentId;

    fn from_str(text: &str) -> Result<Self, BadIncidentId> {
        let forbidden =
            |c: char| c.is_control() || c.is_whitespace() || "?*<>{}[]\"#%\\^|~`$&,;:/".contains(c);
        if (1..=80).contains(&text.chars().count()) && !text.contains(forbidden) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadIncidentId)
        }
    }
}

impl TryFrom<String> for IncidentId {
    type Error = BadIncidentId;

    fn try_from(text: String) -> Result<Self, BadIncidentId> {
        text.parse()
    }
}

impl From<IncidentId> for String {
    fn from(id: IncidentId) -> Self {
        id.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What answers an incident; named as its state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runbook {
    /// The trail, what keeps its logs, or our own detection was tampered with.
    CloudtrailDisabled,
    /// The site was changed by another than CI/CD.
    SiteVandalism,
    /// A decoy record was read, or the table drained.
    HoneyToken,
    /// Patient data was touched by another than the CRM, or a deny was being taken off.
    PatientDataAccess,
    /// Somebody was given more privileges.
    PrivilegeEscalation,
    /// Passwords were guessed, or an account of the CRM was taken over.
    CredentialAttack,
    /// The API was attacked.
    ApiAttack,
}

impl Runbook {
    /// Whether it answers strangers, who have no identity in the account: they are kept out by their
    /// addresses, and IAM has nobody to contain.
    #[must_use]
    pub fn answers_strangers(self) -> bool {
        matches!(self, Self::CredentialAttack | Self::ApiAttack)
    }
}

impl fmt::Display for Runbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudtrailDisabled => "cloudtrail-disabled",
            Self::SiteVandalism => "site-vandalism",
            Self::HoneyToken => "honey-token",
            Self::PatientDataAccess => "patient-data-access",
            Self::PrivilegeEscalation => "privilege-escalation",
            Self::CredentialAttack => "credential-attack",
            Self::ApiAttack => "api-attack",
        })
    }
}

/// How urgent it is for people; also an attribute of every notification, to filter on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For the record.
    Low,
    /// In working hours.
    Medium,
    /// Today.
    High,
    /// Now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// Whether automatic responses act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every incident runs dry: it says what it would do.
    Observe,
    /// Incidents are answered.
    Enforce,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "observe" => Ok(Self::Observe),
            "enforce" => Ok(Self::Enforce),
            _ => Err("expected `observe` or `enforce`"),
        }
    }
}

/// The event that set the runbook off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventRef {
    /// Its id, by which CloudTrail's `LookupEvents` finds it.
    pub id: Text<80>,
    /// Its name, `StopLogging`.
    pub name: Text<128>,
}

/// Where a call came from: an address, or the AWS service that made it for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// An IPv4 or IPv6 address.
    Address(#[schemars(with = "String")] IpAddr),
    /// A service's DNS name, or `AWS Internal`.
    Service(Text<256>),
}

impl Source {
    /// Reads CloudTrail's `sourceIPAddress`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Service(Text::cut(text)), Self::Address)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Service(name) => name.fmt(f),
        }
    }
}

/// What was attacked. An operator may write its ARN instead of the object, where it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Target {
    /// A CloudTrail trail.
    Trail {
        /// The trail.
        arn: TrailArn,
    },
    /// An object of the site.
    Object {
        /// Its bucket.
        bucket: BucketName,
        /// Its key.
        key: ObjectKey,
        /// The version that was written, where the event gives it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<VersionId>,
    },
    /// Objects of the site, of which the event gives no keys.
    Bucket {
        /// Their bucket.
        name: BucketName,
    },
    /// The patients' table.
    Table {
        /// The table.
        arn: TableArn,
    },
    /// Whom a deny was being taken off.
    Principal {
        /// The user or the role.
        arn: Principal,
    },
    /// A privilege that was given.
    Grant {
        /// The privilege.
        grant: Grant,
    },
    /// The account's root user, whose credentials no grant names.
    Root {
        /// The account.
        account: Text<12>,
    },
    /// The sign-in of the CRM.
    #[serde(rename_all = "camelCase")]
    SignIns {
        /// Where to.
        user_pool: UserPoolId,
        /// Whose account was tried; none when there were many, or they do not exist.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<Subject>,
        /// Where the attempts came from, as far as that may be blocked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 500))]
        networks: Vec<Network>,
        /// Whether the account was broken into, or is to be treated as if it was: then it is disabled.
        #[serde(default)]
        compromised: bool,
    },
    /// The firewall of the API.
    WebAcl {
        /// The web ACL.
        arn: WebAclArn,
    },
}

impl Target {
    /// An incident names no more networks than these; the rest is blocked by what they attempt next.
    pub const MOST_NETWORKS: usize = 500;

    /// Reads what an operator writes.
    #[must_use]
    pub fn from_arn(arn: &Arn) -> Option<Self> {
        let arn = arn.clone();
        match arn.service() {
            "cloudtrail" => arn.try_into().ok().map(|arn| Self::Trail { arn }),
            "dynamodb" => arn.try_into().ok().map(|arn| Self::Table { arn }),
            "iam" => arn.try_into().ok().map(|arn| Self::Principal { arn }),
            "wafv2" => arn.try_into().ok().map(|arn| Self::WebAcl { arn }),
            "s3" => match arn.resource().split_once('/') {
                Some((bucket, key)) => Some(Self::Object {
                    bucket: bucket.parse().ok()?,
                    key: key.parse().ok()?,
                    version: None,
                }),
                None => Some(Self::Bucket {
                    name: arn.resource().parse().ok()?,
                }),
            },
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trail { arn } => write!(f, "trail {arn}"),
            Self::Object { bucket, key, .. } => write!(f, "object {key} of bucket {bucket}"),
            Self::Bucket { name } => write!(f, "bucket {name}"),
            Self::Table { arn } => write!(f, "table {arn}"),
            Self::Principal { arn } => write!(f, "principal {arn}"),
            Self::Grant { grant } => grant.fmt(f),
            Self::Root { account } => write!(f, "root of account {account}"),
            Self::SignIns {
                user_pool,
                subject: Some(subject),
                ..
            } => write!(f, "user {subject} of user pool {user_pool}"),
            Self::SignIns { user_pool, .. } => write!(f, "sign-in to user pool {user_pool}"),
            Self::WebAcl { arn } => write!(f, "web ACL {arn}"),
        }
    }
}

/// One indicator of compromise that deserves a response: the input of a runbook. It holds no raw
/// event, no key and no body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Incident {
    /// What answers it.
    pub runbook: Runbook,
    /// Why it is answered, in words.
    pub reason: Text<1000>,
    /// How urgent it is.
    pub severity: Severity,
    /// The event behind it; none when an operator or the heartbeat started the runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    /// When it happened.
    #[schemars(with = "String")]
    pub occurred_at: Timestamp,
    /// When we first knew; the clock of 45 CFR 164.404 starts here.
    #[schemars(with = "String")]
    pub discovered_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// How far the actor may be contained.
    pub containment: Containment,
    /// Who is contained with the actor: whoever the actor made, or made use of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub accomplices: Vec<Accomplice>,
    /// The AWS service that made the call for the actor. Whoever asked it to may be somebody else,
    /// when the service used a role of its own: that is left for a human to find out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoked_by: Option<Text<128>>,
    /// Where the call came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<Source>,
    /// What was attacked.
    pub target: Target,
    /// How a human repairs the damage that no step of the runbook does, with the exact call. A run
    /// ends red while there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Text<1000>>,
    /// Whether to say what would be done and change nothing.
    pub dry_run: bool,
}

/// A principal that is contained with the actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accomplice {
    /// Who it is.
    pub actor: Actor,
    /// How far it may be contained.
    pub containment: Containment,
}

impl Accomplice {
    /// An incident names no more than these; what a single call makes is one or two.
    pub const MOST: usize = 4;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;

    #[test]
    fn an_id_is_a_name_step_functions_takes() {
        assert_eq!(
            IncidentId::of_event("8fbdb790-14c6-2877-426e-f7b001602698")
                .unwrap()
                .as_str(),
            "8fbdb790-14c6-2877-426e-f7b001602698"
        );
        assert_eq!(IncidentId::of_event("a/b c").unwrap().as_str(), "a_b_c");
        assert!(IncidentId::of_event("").is_none());
        assert!("re-run.2".parse::<IncidentId>().is_ok());
        for wrong in ["", "a b", "a/b", "a:b", &"x".repeat(81)] {
            assert!(wrong.parse::<IncidentId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_source_is_an_address_or_a_service() {
        assert_eq!(
            Source::of("2001:db8::1"),
            Source::Address("2001:db8::1".parse().unwrap())
        );
        assert_eq!(Source::of("AWS Internal").to_string(), "AWS Internal");
        let json = serde_json::to_value(Source::of("203.0.113.7")).unwrap();
        assert_eq!(json, "203.0.113.7");
        assert_eq!(
            serde_json::from_value::<Source>(json).unwrap(),
            Source::of("203.0.113.7")
        );
    }

    /// The size contract: the largest incident that these types let exist.
    #[test]
    fn the_largest_incident_fits() {
        // The widest characters in JSON: four bytes each, and quotes, which JSON escapes.
        let wide = |chars: usize| "\u{1F511}\"".repeat(chars);
        let arn = |start: &str| format!("{start}{}", "x".repeat(2_048 - start.len()));
        let incident = Incident {
            runbook: Runbook::CloudtrailDisabled,
            reason: Text::cut(&wide(5_000)),
            severity: Severity::Critical,
            event: Some(EventRef {
                id: Text::cut(&wide(5_000)),
                name: Text::cut(&wide(5_000)),
            }),
            occurred_at: Timestamp::MAX,
            discovered_at: Timestamp::MAX,
            actor: Actor::Role {
                arn: arn("arn:aws:iam::123456789012:role/").parse().unwrap(),
                session: Some(Session {
                    name: Text::cut(&wide(5_000)),
                    user_id: Some(Text::cut(&wide(5_000))),
                }),
            },
            containment: Containment::None {
                reason: Text::cut(&wide(5_000)),
                by_hand: Text::cut(&wide(5_000)),
            },
            accomplices: vec![
                Accomplice {
                    actor: Actor::Role {
                        arn: arn("arn:aws:iam::123456789012:role/").parse().unwrap(),
                        session: Some(Session {
                            name: Text::cut(&wide(5_000)),
                            user_id: Some(Text::cut(&wide(5_000))),
                        }),
                    },
                    containment: Containment::None {
                        reason: Text::cut(&wide(5_000)),
                        by_hand: Text::cut(&wide(5_000)),
                    },
                };
                Accomplice::MOST
            ],
            invoked_by: Some(Text::cut(&wide(5_000))),
            source_address: Some(Source::of(&wide(5_000))),
            target: Target::Trail {
                arn: arn("arn:aws:cloudtrail:us-east-1:123456789012:trail/")
                    .parse()
                    .unwrap(),
            },
            remedy: Some(Text::cut(&wide(5_000))),
            dry_run: false,
        };
        let json = serde_json::to_string(&incident).unwrap();
        assert!(json.len() <= LARGEST_INCIDENT, "{} bytes", json.len());
        assert_eq!(serde_json::from_str::<Incident>(&json).unwrap(), incident);
    }
}
