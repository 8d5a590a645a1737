//! Whom or what a grant changed, and under which names the ledger holds it.

use incident::{Actor, Arn, Grant, Grantee, Principal};

/// Whom or what a grant changed.
pub(crate) enum Subject<'a> {
    /// Whoever was given more.
    Grantee(Grantee),
    /// A policy, whoever has it.
    Policy(&'a Arn),
}

impl<'a> Subject<'a> {
    pub(crate) fn of(grant: &'a Grant) -> Self {
        Self::Grantee(match grant {
            Grant::PolicyVersion { policy, .. } => return Self::Policy(policy),
            Grant::AttachedPolicy { grantee, .. } | Grant::InlinePolicy { grantee, .. } => {
                grantee.clone()
            }
            Grant::Membership { user, .. }
            | Grant::AccessKey { user }
            | Grant::LoginProfile { user }
            | Grant::Boundary {
                principal: Principal::User(user),
            } => Grantee::User(user.clone()),
            Grant::Trust { role }
            | Grant::Role { role }
            | Grant::Boundary {
                principal: Principal::Role(role),
            } => Grantee::Role(role.clone()),
        })
    }

    /// The ARN, as the event gives it.
    pub(crate) fn arn(&self) -> &Arn {
        match self {
            Self::Grantee(grantee) => grantee.arn(),
            Self::Policy(policy) => policy,
        }
    }

    /// The user or role as an actor.
    pub(crate) fn actor(&self) -> Option<Actor> {
        match self {
            Self::Grantee(Grantee::User(arn)) => Some(Actor::IamUser { arn: arn.clone() }),
            Self::Grantee(Grantee::Role(arn)) => Some(Actor::Role {
                arn: arn.clone(),
                session: None,
            }),
            Self::Grantee(Grantee::Group(_)) | Self::Policy(_) => None,
        }
    }

    /// The ARN under which it is held: of users, roles and groups without the path, which not every
    /// event gives.
    pub(crate) fn resource(&self) -> String {
        let (kind, grantee) = match self {
            Self::Policy(policy) => return policy.to_string(),
            Self::Grantee(grantee @ Grantee::User(_)) => ("user", grantee),
            Self::Grantee(grantee @ Grantee::Role(_)) => ("role", grantee),
            Self::Grantee(grantee @ Grantee::Group(_)) => ("group", grantee),
        };
        let (arn, name) = (grantee.arn(), grantee.name());
        let (partition, account) = (arn.partition(), arn.account());
        format!("arn:{partition}:iam::{account}:{kind}/{name}")
    }
}

/// How it is held. None of a boundary, which is not changed, and of access keys: each has its own.
pub(crate) fn mechanism(grant: &Grant) -> Option<String> {
    Some(match grant {
        Grant::AttachedPolicy { policy, .. } => format!("attached-policy/{policy}"),
        Grant::InlinePolicy { name, .. } => format!("inline-policy/{name}"),
        Grant::PolicyVersion { .. } => "policy-version".to_owned(),
        Grant::Membership { group, .. } => format!("membership/{}", group.name()),
        Grant::LoginProfile { .. } => "login-profile".to_owned(),
        Grant::Trust { .. } | Grant::Role { .. } => "trust".to_owned(),
        Grant::AccessKey { .. } | Grant::Boundary { .. } => return None,
    })
}
