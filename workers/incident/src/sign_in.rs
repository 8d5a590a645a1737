//! The front door: who signs in, and to what.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventRef, Network, name::name_of};

name_of!(
    /// A Cognito user pool.
    UserPoolId, 55,
    |text| text.split_once('_').is_some_and(|(region, name)| {
        !region.is_empty()
            && !name.is_empty()
            && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric())
    }),
    "expected the id of a user pool, like eu-west-1_AbCdEfGhI", BadUserPoolId
);
name_of!(
    /// An app client of a user pool.
    ClientId, 128,
    |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+".contains(&b)),
    "expected the id of an app client", BadClientId
);
name_of!(
    /// A user of the CRM, as CloudTrail names them: the `sub` that Cognito gave, never a name or an
    /// address.
    Subject, 36,
    |text| text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        }),
    "expected a `sub`, like 11111111-2222-3333-4444-555555555555", BadSubject
);

/// One attempt to sign in to the CRM, for the tally.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    /// The event that recorded it.
    pub event: EventRef,
    /// When it was made.
    #[schemars(with = "String")]
    pub occurred_at: Timestamp,
    /// Where to.
    pub user_pool: UserPoolId,
    /// Whose account; none when the user does not exist, or the event does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Where from; none when a server asked for somebody, whose own address it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt to sign in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The user is signed in.
    Succeeded,
    /// A password or a code was wrong, or the user does not exist.
    Failed,
    /// The event does not tell: a hosted login answers 302 to both.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_cognito_gives() {
        assert!("us-east-1_ExAmPl3Ab".parse::<UserPoolId>().is_ok());
        for wrong in ["", "us-east-1", "us-east-1_", "_ExAmPl3Ab", "us-east-1_a/b"] {
            assert_eq!(wrong.parse::<UserPoolId>(), Err(BadUserPoolId), "{wrong}");
        }
        assert!("7exampleclientid1234567890".parse::<ClientId>().is_ok());
        assert_eq!("a b".parse::<ClientId>(), Err(BadClientId));
        assert!(
            "87a42a58-6051-7076-79e2-fe9208b6ae3c"
                .parse::<Subject>()
                .is_ok()
        );
        for wrong in [
            "",
            "anna@clinic.example",
            "87a42a58-6051-7076-79e2-fe9208b6ae3",
        ] {
            assert_eq!(wrong.parse::<Subject>(), Err(BadSubject), "{wrong}");
        }
    }
}
