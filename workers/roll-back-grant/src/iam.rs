//! What is read of IAM, and whom a policy can be given to.

use std::fmt;

use aws_sdk_iam::{
    Client,
    types::{AccessKeyMetadata, PolicyVersion, StatusType},
};
use incident::{Actor, Arn, Grantee, RoleArn, UserArn};
use principal::{Identity, Principal, Room, decoded, key_hold, masked};
use worker::Failure;

/// The calls that [`Principal`] does not make.
#[derive(Debug, Clone)]
pub(crate) struct Iam(pub(crate) Client);

impl Iam {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    pub(crate) async fn versions(&self, policy: &Arn) -> Result<Vec<PolicyVersion>, Failure> {
        self.0
            .list_policy_versions()
            .policy_arn(policy.as_str())
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Failure::aws("iam:ListPolicyVersions", &error))
    }

    /// The document of a version; none when there is no such version.
    pub(crate) async fn version(
        &self,
        policy: &Arn,
        version: &str,
    ) -> Result<Option<String>, Failure> {
        let answer = self
            .0
            .get_policy_version()
            .policy_arn(policy.as_str())
            .version_id(version)
            .send()
            .await
            .map_err(|error| Failure::aws("iam:GetPolicyVersion", &error));
        let document = existing(answer)?.and_then(|answer| answer.policy_version?.document);
        Ok(document.as_deref().map(decoded))
    }

    pub(crate) async fn has_policy(&self, policy: &Arn) -> Result<bool, Failure> {
        let answer = self.0.get_policy().policy_arn(policy.as_str()).send().await;
        let answer = answer.map_err(|error| Failure::aws("iam:GetPolicy", &error));
        Ok(existing(answer)?.is_some())
    }

    pub(crate) async fn is_member(&self, user: &UserArn, group: &str) -> Result<bool, Failure> {
        let groups: Vec<_> = self
            .0
            .list_groups_for_user()
            .user_name(user.name())
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Failure::aws("iam:ListGroupsForUser", &error))?;
        Ok(groups
            .iter()
            .any(|one| one.group_name().eq_ignore_ascii_case(group)))
    }

    pub(crate) async fn keys(&self, user: &UserArn) -> Result<Vec<Key>, Failure> {
        let keys: Vec<_> = self
            .0
            .list_access_keys()
            .user_name(user.name())
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Failure::aws("iam:ListAccessKeys", &error))?;
        Ok(keys.into_iter().filter_map(Key::of).collect())
    }

    pub(crate) async fn has_password(&self, user: &UserArn) -> Result<bool, Failure> {
        let profile = self.0.get_login_profile().user_name(user.name()).send();
        let profile = profile.await;
        let profile = profile.map_err(|error| Failure::aws("iam:GetLoginProfile", &error));
        Ok(existing(profile)?.is_some())
    }

    pub(crate) async fn trust(&self, role: &RoleArn) -> Result<String, Failure> {
        let answer = self.0.get_role().role_name(role.name()).send().await;
        let answer = answer.map_err(|error| Failure::aws("iam:GetRole", &error))?;
        let document = answer
            .role
            .and_then(|role| role.assume_role_policy_document);
        let document = document.ok_or_else(|| {
            Failure::Rejected(format!("IAM answered without the trust of {role}"))
        })?;
        Ok(decoded(&document))
    }

    /// The permissions boundary of a user or a role.
    pub(crate) async fn boundary(&self, actor: &Actor) -> Result<Option<String>, Failure> {
        let Identity { boundary, .. } = self.principal(actor)?.look_up().await?;
        Ok(boundary)
    }

    pub(crate) fn holder(&self, grantee: &Grantee) -> Result<Holder, Failure> {
        let actor = match grantee {
            Grantee::User(arn) => Actor::IamUser { arn: arn.clone() },
            Grantee::Role(arn) => Actor::Role {
                arn: arn.clone(),
                session: None,
            },
            Grantee::Group(arn) => {
                return Ok(Holder::Group(Group {
                    iam: self.0.clone(),
                    name: arn.name().to_owned(),
                }));
            }
        };
        self.principal(&actor).map(Holder::Principal)
    }

    fn principal(&self, actor: &Actor) -> Result<Principal, Failure> {
        Principal::of(actor, &self.0)
            .ok_or_else(|| Failure::Rejected(format!("{actor} is no principal of IAM")))
    }
}

/// One access key of a user. Shown without the middle of its id.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) status: StatusType,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
}

impl Key {
    fn of(metadata: AccessKeyMetadata) -> Option<Self> {
        Some(Self {
            id: metadata.access_key_id?,
            status: metadata.status?,
            created: metadata.create_date?.secs(),
        })
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == StatusType::Active
    }

    pub(crate) fn mechanism(&self) -> String {
        key_hold(&self.id)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.id))
    }
}

/// Whom a policy can be given to: a user, a role or a group.
#[derive(Debug, Clone)]
pub(crate) enum Holder {
    Principal(Principal),
    Group(Group),
}

/// An IAM group, and the client that reads and changes it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    iam: Client,
    name: String,
}

impl Holder {
    /// `user`, `role` or `group`, as the command line spells it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Principal(principal) if principal.is_user() => "user",
            Self::Principal(_) => "role",
            Self::Group(_) => "group",
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Principal(principal) => principal.name(),
            Self::Group(group) => &group.name,
        }
    }

    pub(crate) async fn has(&self, policy: &Arn) -> Result<bool, Failure> {
        let attached = match self {
            Self::Principal(principal) => principal.attached().await?,
            Self::Group(group) => group.attached().await?,
        };
        Ok(attached.iter().any(|arn| arn == policy.as_str()))
    }

    pub(crate) async fn attach(&self, policy: &Arn) -> Result<(), Failure> {
        let room = match self {
            Self::Principal(principal) => principal.attach(policy).await?,
            Self::Group(group) => return group.attach(policy).await,
        };
        room_for("attached policies", room)
    }

    pub(crate) async fn detach(&self, policy: &Arn) -> Result<(), Failure> {
        match self {
            Self::Principal(principal) => principal.detach(policy).await,
            Self::Group(group) => group.detach(policy).await,
        }
    }

    pub(crate) async fn inline(&self, name: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Principal(principal) => principal.inline(name).await,
            Self::Group(group) => group.inline(name).await,
        }
    }

    pub(crate) async fn put_inline(&self, name: &str, document: &str) -> Result<(), Failure> {
        let room = match self {
            Self::Principal(principal) => principal.put_inline(name, document).await?,
            Self::Group(group) => return group.put_inline(name, document).await,
        };
        room_for("inline policies", room)
    }

    pub(crate) async fn delete_inline(&self, name: &str) -> Result<(), Failure> {
        match self {
            Self::Principal(principal) => principal.delete_inline(name).await,
            Self::Group(group) => group.delete_inline(name).await,
        }
    }
}

impl Group {
    async fn attached(&self) -> Result<Vec<String>, Failure> {
        let policies: Vec<_> = self
            .iam
            .list_attached_group_policies()
            .group_name(&self.name)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Failure::aws("iam:ListAttachedGroupPolicies", &error))?;
        Ok(policies
            .into_iter()
            .filter_map(|policy| policy.policy_arn)
            .collect())
    }

    async fn attach(&self, policy: &Arn) -> Result<(), Failure> {
        let attach = self.iam.attach_group_policy().group_name(&self.name);
        attach
            .policy_arn(policy.as_str())
            .send()
            .await
            .map(drop)
            .map_err(|error| Failure::aws("iam:AttachGroupPolicy", &error))
    }

    async fn detach(&self, policy: &Arn) -> Result<(), Failure> {
        let detach = self.iam.detach_group_policy().group_name(&self.name);
        let answer = detach.policy_arn(policy.as_str()).send().await;
        gone_is_done(answer.map_err(|error| Failure::aws("iam:DetachGroupPolicy", &error)))
    }

    async fn inline(&self, name: &str) -> Result<Option<String>, Failure> {
        let get = self.iam.get_group_policy().group_name(&self.name);
        let answer = get.policy_name(name).send().await;
        let answer = existing(answer.map_err(|error| Failure::aws("iam:GetGroupPolicy", &error)))?;
        Ok(answer.map(|answer| decoded(&answer.policy_document)))
    }

    async fn put_inline(&self, name: &str, document: &str) -> Result<(), Failure> {
        let put = self.iam.put_group_policy().group_name(&self.name);
        put.policy_name(name)
            .policy_document(document)
            .send()
            .await
            .map(drop)
            .map_err(|error| Failure::aws("iam:PutGroupPolicy", &error))
    }

    async fn delete_inline(&self, name: &str) -> Result<(), Failure> {
        let delete = self.iam.delete_group_policy().group_name(&self.name);
        let answer = delete.policy_name(name).send().await;
        gone_is_done(answer.map_err(|error| Failure::aws("iam:DeleteGroupPolicy", &error)))
    }
}

fn room_for(what: &str, room: Room) -> Result<(), Failure> {
    match room {
        Room::Enough => Ok(()),
        Room::None => Err(Failure::Rejected(format!(
            "LimitExceeded: the {what} leave no room: take one off that is not needed and run again"
        ))),
    }
}

/// The answer, or none about what does not exist.
fn existing<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Failure::TargetNotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The answer to taking something away, which may have been gone already.
pub(crate) fn gone_is_done<T>(answer: Result<T, Failure>) -> Result<(), Failure> {
    existing(answer).map(drop)
}
