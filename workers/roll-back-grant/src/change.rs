//! One change in IAM: made by a call, or said for a human to make it.

use aws_sdk_iam::types::StatusType;
use incident::{Arn, GroupArn, RoleArn, UserArn};
use worker::Failure;

use crate::iam::{Holder, Iam, Key, gone_is_done};

/// A document longer than this is named in a message, not written out.
const LONGEST_DOCUMENT: usize = 600;

/// One call that changes something.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    Attach(Holder, &'a Arn),
    Detach(Holder, &'a Arn),
    PutInline {
        holder: Holder,
        name: &'a str,
        document: String,
    },
    DeleteInline(Holder, &'a str),
    SetDefault {
        policy: &'a Arn,
        version: String,
    },
    AddToGroup(&'a UserArn, &'a GroupArn),
    RemoveFromGroup(&'a UserArn, &'a GroupArn),
    SetKey {
        user: &'a UserArn,
        key: Key,
        status: StatusType,
    },
    DeletePassword(&'a UserArn),
    SetTrust {
        role: &'a RoleArn,
        document: String,
    },
}

impl Change<'_> {
    /// Makes it; what is to be taken away and is gone counts as done.
    ///
    /// # Errors
    /// When IAM refuses, [`Failure::TargetNotFound`] when what is changed no longer exists.
    pub(crate) async fn make(&self, Iam(iam): &Iam) -> Result<(), Failure> {
        match self {
            Self::Attach(holder, policy) => holder.attach(policy).await,
            Self::Detach(holder, policy) => holder.detach(policy).await,
            Self::PutInline {
                holder,
                name,
                document,
            } => holder.put_inline(name, document).await,
            Self::DeleteInline(holder, name) => holder.delete_inline(name).await,
            Self::SetDefault { policy, version } => iam
                .set_default_policy_version()
                .policy_arn(policy.as_str())
                .version_id(version)
                .send()
                .await
                .map(drop)
                .map_err(|error| Failure::aws("iam:SetDefaultPolicyVersion", &error)),
            Self::AddToGroup(user, group) => iam
                .add_user_to_group()
                .user_name(user.name())
                .group_name(group.name())
                .send()
                .await
                .map(drop)
                .map_err(|error| Failure::aws("iam:AddUserToGroup", &error)),
            Self::RemoveFromGroup(user, group) => gone_is_done(
                iam.remove_user_from_group()
                    .user_name(user.name())
                    .group_name(group.name())
                    .send()
                    .await
                    .map_err(|error| Failure::aws("iam:RemoveUserFromGroup", &error)),
            ),
            Self::SetKey { user, key, status } => iam
                .update_access_key()
                .user_name(user.name())
                .access_key_id(&key.id)
                .status(status.clone())
                .send()
                .await
                .map(drop)
                .map_err(|error| Failure::aws("iam:UpdateAccessKey", &error)),
            Self::DeletePassword(user) => gone_is_done(
                iam.delete_login_profile()
                    .user_name(user.name())
                    .send()
                    .await
                    .map_err(|error| Failure::aws("iam:DeleteLoginProfile", &error)),
            ),
            Self::SetTrust { role, document } => iam
                .update_assume_role_policy()
                .role_name(role.name())
                .policy_document(document)
                .send()
                .await
                .map(drop)
                .map_err(|error| Failure::aws("iam:UpdateAssumeRolePolicy", &error)),
        }
    }

    /// The exact call by which a human makes it.
    pub(crate) fn by_hand(&self) -> String {
        match self {
            Self::Attach(holder, policy) => {
                of(holder, "attach", "policy") + &format!(" --policy-arn {policy}")
            }
            Self::Detach(holder, policy) => {
                let from_set = format!(
                    "detach-managed-policy-from-permission-set --managed-policy-arn {policy}"
                );
                by_aws_only(holder, &from_set).unwrap_or_else(|| {
                    of(holder, "detach", "policy") + &format!(" --policy-arn {policy}")
                })
            }
            Self::PutInline {
                holder,
                name,
                document,
            } => {
                let document = quoted(document);
                of(holder, "put", "policy")
                    + &format!(" --policy-name {name} --policy-document {document}")
            }
            Self::DeleteInline(holder, name) => {
                by_aws_only(holder, "delete-inline-policy-from-permission-set").unwrap_or_else(
                    || of(holder, "delete", "policy") + &format!(" --policy-name {name}"),
                )
            }
            Self::SetDefault { policy, version } => format!(
                "aws iam set-default-policy-version --policy-arn {policy} --version-id {version}"
            ),
            Self::AddToGroup(user, group) => format!(
                "aws iam add-user-to-group --user-name {} --group-name {}",
                user.name(),
                group.name()
            ),
            Self::RemoveFromGroup(user, group) => format!(
                "aws iam remove-user-from-group --user-name {} --group-name {}",
                user.name(),
                group.name()
            ),
            Self::SetKey { user, key, status } => format!(
                "aws iam update-access-key --user-name {} --status {status} --access-key-id {key}",
                user.name()
            ),
            Self::DeletePassword(user) => {
                format!("aws iam delete-login-profile --user-name {}", user.name())
            }
            Self::SetTrust { role, document } => format!(
                "aws iam update-assume-role-policy --role-name {} --policy-document {}",
                role.name(),
                quoted(document)
            ),
        }
    }
}

fn of(holder: &Holder, verb: &str, what: &str) -> String {
    let (kind, name) = (holder.kind(), holder.name());
    format!("aws iam {verb}-{kind}-{what} --{kind}-name {name}")
}

/// The call for a role that only AWS may modify; none for every other holder. Its path tells, which
/// not every event gives, but whoever reads this has IAM's refusal before them.
fn by_aws_only(holder: &Holder, from_set: &str) -> Option<String> {
    let name = holder.name();
    if holder.kind() != "role" {
        None
    } else if name.starts_with("AWSReservedSSO_") {
        Some(format!(
            "from the Identity Center account: aws sso-admin {from_set} --instance-arn <instance> \
             --permission-set-arn <the set of {name}>; then aws sso-admin provision-permission-set \
             --instance-arn <instance> --permission-set-arn <the same> --target-type \
             ALL_PROVISIONED_ACCOUNTS"
        ))
    } else if name.starts_with("AWSServiceRoleFor") {
        Some(format!(
            "if the role is not needed: aws iam delete-service-linked-role --role-name {name}"
        ))
    } else {
        None
    }
}

/// A document as one word of a shell, whatever an attacker wrote into it.
fn quoted(document: &str) -> String {
    if document.len() > LONGEST_DOCUMENT {
        return "<the document>".to_owned();
    }
    format!("'{}'", document.replace('\'', r"'\''"))
}
