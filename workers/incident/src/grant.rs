//! A privilege that somebody was given.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Arn, Grantee, GroupArn, Principal, RoleArn, UserArn, text::Text};

/// What was granted, as exactly as it can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Grant {
    /// A managed policy was attached.
    AttachedPolicy {
        /// To whom.
        grantee: Grantee,
        /// The policy.
        policy: Arn,
    },
    /// An inline policy was written.
    InlinePolicy {
        /// For whom.
        grantee: Grantee,
        /// Its name.
        name: Text<128>,
    },
    /// A version of a managed policy became its default.
    PolicyVersion {
        /// The policy.
        policy: Arn,
        /// The version.
        version: Text<16>,
    },
    /// A user was put into a group.
    Membership {
        /// The user.
        user: UserArn,
        /// The group.
        group: GroupArn,
    },
    /// An access key was made for a user, by somebody else.
    AccessKey {
        /// The user.
        user: UserArn,
    },
    /// A password was set for a user, by somebody else.
    LoginProfile {
        /// The user.
        user: UserArn,
    },
    /// A role's trust was opened to others.
    Trust {
        /// The role.
        role: RoleArn,
    },
    /// A role was created that others are trusted with.
    Role {
        /// The role.
        role: RoleArn,
    },
    /// A permissions boundary was taken off.
    Boundary {
        /// Whose.
        principal: Principal,
    },
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AttachedPolicy { grantee, policy } => {
                write!(f, "policy {policy} attached to {grantee}")
            }
            Self::InlinePolicy { grantee, name } => write!(f, "inline policy {name} of {grantee}"),
            Self::PolicyVersion { policy, version } => {
                write!(f, "default version {version} of policy {policy}")
            }
            Self::Membership { user, group } => write!(f, "membership of {user} in {group}"),
            Self::AccessKey { user } => write!(f, "access key of {user}"),
            Self::LoginProfile { user } => write!(f, "password of {user}"),
            Self::Trust { role } => write!(f, "trust of {role}"),
            Self::Role { role } => write!(f, "new role {role}"),
            Self::Boundary { principal } => write!(f, "permissions boundary of {principal}"),
        }
    }
}
