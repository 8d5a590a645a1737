//! Who did it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Arn, Containment, Principal, RoleArn, UserArn, text::Text};

/// The identity that made a call.
///
/// In an incident it is an object. An operator may write an ARN instead: of a user, a role, or a
/// role session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Actor {
    /// An IAM user, with a long-term key, a password or `GetSessionToken` credentials.
    IamUser {
        /// The user.
        arn: UserArn,
    },
    /// A role, or one session of it: assumed, federated by SAML or OIDC, SSO or service-linked.
    Role {
        /// The role, with its path where the event gives it.
        arn: RoleArn,
        /// The session, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Session>,
    },
    /// A `GetFederationToken` session; what it may do ends with its issuer.
    FederatedUser {
        /// The IAM user who issued it.
        issuer: UserArn,
        /// The session's name.
        name: Text<64>,
    },
    /// The account's root user.
    Root {
        /// The account.
        account: Text<12>,
    },
    /// An AWS service acting for itself.
    AwsService {
        /// The service principal.
        name: Text<128>,
    },
    /// A principal of another account, of which the event names only the account.
    OtherAccount {
        /// The account.
        account: Text<64>,
    },
    /// Nobody that the event names.
    Unidentified {
        /// Why.
        reason: Text<300>,
    },
}

/// One session of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Session {
    /// The session's name, chosen by whoever assumed the role.
    pub name: Text<64>,
    /// `aws:userId` of the session: the role's unique id, a colon, the session's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Text<128>>,
}

impl Actor {
    /// Reads CloudTrail's `userIdentity`; `account` is the account that recorded the event.
    ///
    /// Never fails: whatever cannot be read is [`Actor::Unidentified`] with the reason.
    #[must_use]
    pub fn of(identity: &Value, account: &str) -> Self {
        let text = |pointer: &str| identity.pointer(pointer).and_then(Value::as_str);
        let of_account = text("/accountId").unwrap_or(account);
        let found = match text("/type") {
            Some("Root") => Some(Self::root(of_account)),
            Some("IAMUser") => text("/arn")
                .and_then(|arn| arn.parse().ok())
                .or_else(|| {
                    let name = text("/userName")?;
                    format!("arn:aws:iam::{of_account}:user/{name}")
                        .parse()
                        .ok()
                })
                .map(|arn| Self::IamUser { arn }),
            Some("AssumedRole" | "Role") => Self::role(
                text("/sessionContext/sessionIssuer/arn"),
                text("/arn"),
                text("/principalId"),
            ),
            Some("FederatedUser") => match text("/sessionContext/sessionIssuer/type") {
                Some("Root") => Some(Self::root(of_account)),
                _ => text("/sessionContext/sessionIssuer/arn")
                    .and_then(|arn| arn.parse().ok())
                    .map(|issuer| Self::FederatedUser {
                        issuer,
                        name: Text::cut(after_last('/', text("/arn").unwrap_or_default())),
                    }),
            },
            Some("AWSService") => Some(Self::AwsService {
                name: Text::cut(text("/invokedBy").unwrap_or("an unnamed service")),
            }),
            Some("AWSAccount") => {
                (of_account != account && is_account(of_account)).then(|| Self::OtherAccount {
                    account: Text::cut(of_account),
                })
            }
            Some("WebIdentityUser" | "SAMLUser") => {
                return Self::unidentified(
                    "a web or SAML identity that had not yet assumed a role: there is no AWS principal",
                );
            }
            Some("IdentityCenterUser") => {
                return Self::unidentified(
                    "a user of IAM Identity Center, not of this account's IAM",
                );
            }
            Some(_) => None,
            None => return Self::unidentified("the event names no identity"),
        };
        found.unwrap_or_else(|| Self::unidentified("the event's identity cannot be read"))
    }

    fn root(account: &str) -> Self {
        Self::Root {
            account: Text::cut(account),
        }
    }

    /// The user or the role, whose policies decide what the actor may do.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        match self {
            Self::IamUser { arn } | Self::FederatedUser { issuer: arn, .. } => {
                Some(Principal::User(arn.clone()))
            }
            Self::Role { arn, .. } => Some(Principal::Role(arn.clone())),
            _ => None,
        }
    }

    /// Nobody, and why.
    #[must_use]
    pub fn unidentified(reason: &str) -> Self {
        Self::Unidentified {
            reason: Text::cut(reason),
        }
    }

    fn role(issuer: Option<&str>, session: Option<&str>, principal: Option<&str>) -> Option<Self> {
        let session_arn = session.and_then(|arn| arn.parse::<Arn>().ok());
        let from_session = || {
            let arn = session_arn.as_ref()?;
            let name = arn
                .resource()
                .strip_prefix("assumed-role/")?
                .split('/')
                .next()?;
            let (partition, account) = (arn.partition(), arn.account());
            format!("arn:{partition}:iam::{account}:role/{name}")
                .parse()
                .ok()
        };
        let arn: RoleArn = issuer
            .and_then(|arn| arn.parse().ok())
            .or_else(from_session)
            .or_else(|| session?.parse().ok())?;
        let user_id = principal.filter(|id| id.contains(':'));
        let name = user_id.map(|id| after_first(':', id)).or_else(|| {
            let rest = session_arn
                .as_ref()?
                .resource()
                .strip_prefix("assumed-role/")?;
            rest.split_once('/').map(|(_, name)| name)
        });
        Some(Self::Role {
            arn,
            session: name.map(|name| Session {
                name: Text::cut(name),
                user_id: user_id.map(Text::cut),
            }),
        })
    }

    /// Reads what an operator writes: the ARN of a user, a role, a role session or root.
    #[must_use]
    pub fn from_arn(arn: &Arn) -> Option<Self> {
        if let Ok(arn) = arn.clone().try_into() {
            return Some(Self::IamUser { arn });
        }
        if arn.service() == "iam" && arn.resource() == "root" {
            return Some(Self::root(arn.account()));
        }
        Self::role(None, Some(arn.as_str()), None)
    }

    /// What the ledger knows this actor by: `user/name`, `role/name`, or `role/name/SESSION` where
    /// `containment` is by session; names in lower case, since IAM tells none apart by case. None
    /// when there is no IAM principal.
    #[must_use]
    pub fn key(&self, containment: &Containment) -> Option<String> {
        match (self, containment) {
            (Self::IamUser { arn } | Self::FederatedUser { issuer: arn, .. }, _) => {
                Some(format!("user/{}", arn.name().to_lowercase()))
            }
            (
                Self::Role {
                    arn,
                    session: Some(session),
                },
                Containment::Session { .. },
            ) => Some(format!(
                "role/{}/{}",
                arn.name().to_lowercase(),
                session.name
            )),
            (Self::Role { arn, .. }, _) => Some(format!("role/{}", arn.name().to_lowercase())),
            _ => None,
        }
    }
}

fn after_first(separator: char, text: &str) -> &str {
    text.split_once(separator).map_or(text, |(_, rest)| rest)
}

fn after_last(separator: char, text: &str) -> &str {
    text.rsplit(separator).next().unwrap_or(text)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IamUser { arn } => write!(f, "IAM user {}", arn.name()),
            Self::Role {
                arn,
                session: Some(session),
            } => {
                write!(f, "role {}, session {}", arn.name(), session.name)
            }
            Self::Role { arn, session: None } => write!(f, "role {}", arn.name()),
            Self::FederatedUser { issuer, name } => {
                write!(
                    f,
                    "federated user {name}, issued by IAM user {}",
                    issuer.name()
                )
            }
            Self::Root { account } => write!(f, "root of account {account}"),
            Self::AwsService { name } => write!(f, "AWS service {name}"),
            Self::OtherAccount { account } => write!(f, "a principal of account {account}"),
            Self::Unidentified { reason } => write!(f, "nobody known ({reason})"),
        }
    }
}

/// `actor` as it may be written in a payload: an ARN, or the object.
pub mod written {
    use serde::{
        Deserialize, Deserializer,
        de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
    };

    use super::Actor;

    /// Reads either form.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Actor, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Actor;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an actor, or the ARN of a user, a role or a role session")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Actor, E> {
                text.parse()
                    .ok()
                    .and_then(|arn| Actor::from_arn(&arn))
                    .ok_or_else(|| {
                        E::custom("expected the ARN of a user, a role or a role session")
                    })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Actor, A::Error> {
                Actor::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "123456789012";

    fn reads(identity: Value) -> String {
        Actor::of(&identity, ACCOUNT).to_string()
    }

    #[test]
    fn an_iam_user_by_arn_or_by_name() {
        let arn = "arn:aws:iam::123456789012:user/staff/eve";
        assert_eq!(
            reads(json!({"type": "IAMUser", "arn": arn})),
            "IAM user eve"
        );
        assert_eq!(
            Actor::of(&json!({"type": "IAMUser", "userName": "eve"}), ACCOUNT),
            Actor::IamUser {
                arn: "arn:aws:iam::123456789012:user/eve".parse().unwrap()
            }
        );
    }

    #[test]
    fn a_role_session_keeps_the_path_and_the_user_id() {
        let actor = Actor::of(
            &json!({
                "type": "AssumedRole",
                "principalId": "AROAEXAMPLE:run:7",
                "arn": "arn:aws:sts::123456789012:assumed-role/deploy/run:7",
                "sessionContext": {"sessionIssuer": {
                    "type": "Role", "arn": "arn:aws:iam::123456789012:role/ci/deploy",
                }},
            }),
            ACCOUNT,
        );
        assert_eq!(
            actor,
            Actor::Role {
                arn: "arn:aws:iam::123456789012:role/ci/deploy".parse().unwrap(),
                session: Some(Session {
                    name: Text::cut("run:7"),
                    user_id: Some(Text::cut("AROAEXAMPLE:run:7")),
                }),
            }
        );
    }

    #[test]
    fn a_role_session_without_issuer_or_session_part() {
        assert_eq!(
            reads(json!({
                "type": "AssumedRole",
                "arn": "arn:aws:sts::123456789012:assumed-role/deploy/run",
            })),
            "role deploy, session run"
        );
        assert_eq!(
            reads(json!({
                "type": "AssumedRole",
                "arn": "arn:aws:sts::123456789012:assumed-role/deploy",
            })),
            "role deploy"
        );
    }

    #[test]
    fn a_federated_user_is_its_issuer() {
        let federated = |issuer: Value| {
            reads(json!({
                "type": "FederatedUser",
                "arn": "arn:aws:sts::123456789012:federated-user/temp",
                "sessionContext": {"sessionIssuer": issuer},
            }))
        };
        assert_eq!(
            federated(json!({"type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/eve"})),
            "federated user temp, issued by IAM user eve"
        );
        assert_eq!(
            federated(json!({"type": "Root", "arn": "arn:aws:iam::123456789012:root"})),
            "root of account 123456789012"
        );
    }

    #[test]
    fn those_whom_no_policy_reaches() {
        assert_eq!(
            reads(json!({"type": "Root", "accountId": ACCOUNT})),
            "root of account 123456789012"
        );
        assert_eq!(
            reads(json!({"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"})),
            "AWS service cloudtrail.amazonaws.com"
        );
        assert_eq!(
            reads(json!({"type": "AWSAccount", "accountId": "999988887777"})),
            "a principal of account 999988887777"
        );
    }

    #[test]
    fn nobody_is_said_in_words() {
        for (identity, reason) in [
            (json!(null), "the event names no identity"),
            (json!({}), "the event names no identity"),
            (json!("a string"), "the event names no identity"),
            (
                json!({"type": "IAMUser"}),
                "the event's identity cannot be read",
            ),
            (
                json!({"type": "AssumedRole", "arn": 7}),
                "the event's identity cannot be read",
            ),
            (
                json!({"type": "AWSAccount", "accountId": "anonymous"}),
                "the event's identity cannot be read",
            ),
            (
                json!({"type": "AWSAccount", "accountId": ACCOUNT}),
                "the event's identity cannot be read",
            ),
            (
                json!({"type": "Unheard"}),
                "the event's identity cannot be read",
            ),
        ] {
            assert_eq!(
                Actor::of(&identity, ACCOUNT),
                Actor::unidentified(reason),
                "{identity}"
            );
        }
        assert!(reads(json!({"type": "WebIdentityUser"})).contains("no AWS principal"));
        assert!(reads(json!({"type": "IdentityCenterUser"})).contains("Identity Center"));
    }

    #[test]
    fn sessions_of_one_role_share_a_key_unless_contained_by_session() {
        let session = |name: &str| {
            let arn = format!("arn:aws:sts::123456789012:assumed-role/deploy/{name}");
            Actor::from_arn(&arn.parse().unwrap()).unwrap()
        };
        let reason = Text::cut("shared");
        let whole = Containment::Principal {
            reason: reason.clone(),
        };
        let single = Containment::Session { reason };
        assert_eq!(session("one").key(&whole), session("two").key(&whole));
        assert_eq!(session("one").key(&single).unwrap(), "role/deploy/one");
        assert_eq!(Actor::unidentified("x").key(&whole), None);
    }

    #[test]
    fn an_operator_may_write_an_arn() {
        #[derive(Deserialize)]
        struct Payload {
            #[serde(deserialize_with = "written::deserialize")]
            actor: Actor,
        }
        let read = |actor: Value| {
            serde_json::from_value::<Payload>(json!({ "actor": actor }))
                .map(|payload| payload.actor.to_string())
                .map_err(|error| error.to_string())
        };
        let ok = |actor: &str| read(json!(actor)).unwrap();
        assert_eq!(ok("arn:aws:iam::123456789012:user/eve"), "IAM user eve");
        assert_eq!(ok("arn:aws:iam::123456789012:role/x/deploy"), "role deploy");
        assert_eq!(
            ok("arn:aws:sts::123456789012:assumed-role/deploy/run"),
            "role deploy, session run"
        );
        assert_eq!(
            ok("arn:aws:iam::123456789012:root"),
            "root of account 123456789012"
        );
        assert_eq!(
            read(json!({"kind": "root", "account": "123456789012"})).unwrap(),
            "root of account 123456789012"
        );
        for wrong in [
            json!("eve"),
            json!("arn:aws:s3:::bucket"),
            json!(7),
            json!({"kind": "x"}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
