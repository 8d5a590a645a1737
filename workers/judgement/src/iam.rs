//! What a call to IAM or STS is about, as its request and its answer say it.

use iam_policy::Document;
use incident::{
    Actor, ApiCall, Arn, Grant, Grantee, GroupArn, Principal, RoleArn, Session, Target, Text,
    UserArn,
};
use serde_json::Value;

use crate::{Watch, call::Case};

pub(crate) const IAM: &str = "iam.amazonaws.com";
pub(crate) const STS: &str = "sts.amazonaws.com";

/// A call, and what it is read by.
#[derive(Clone, Copy)]
pub(crate) struct IamCall<'a> {
    call: &'a ApiCall,
    answer: &'a Value,
    watch: &'a Watch,
}

pub(crate) fn of<'a>(case: &Case<'a>) -> IamCall<'a> {
    IamCall::of(case.call, case.record, case.watch)
}

impl<'a> IamCall<'a> {
    /// `record` is CloudTrail's record of `call`.
    pub(crate) fn of(call: &'a ApiCall, record: &'a Value, watch: &'a Watch) -> Self {
        Self {
            call,
            answer: &record["responseElements"],
            watch,
        }
    }

    pub(crate) fn name(&self) -> &'a str {
        &self.call.name
    }

    pub(crate) fn service(&self) -> &'a str {
        &self.call.service
    }

    pub(crate) fn actor(&self) -> &'a Actor {
        &self.call.actor
    }

    pub(crate) fn watch(&self) -> &'a Watch {
        self.watch
    }

    /// A text among the request's parameters.
    pub(crate) fn given(&self, parameter: &str) -> Option<&'a str> {
        self.call.request[parameter].as_str()
    }

    /// The user whom the call names. Calls about access keys leave the name out when it is the
    /// caller's own; then the answer has it, or the caller is it.
    pub(crate) fn user(&self) -> Option<UserArn> {
        let answered = [
            &self.answer["user"],
            &self.answer["accessKey"],
            &self.answer["loginProfile"],
        ];
        let answered = answered.iter().find_map(|it| it["userName"].as_str());
        match self.given("userName").or(answered) {
            Some(name) => self.arn("user", name),
            None => match &self.call.actor {
                Actor::IamUser { arn } if self.call.error.is_none() => Some(arn.clone()),
                _ => None,
            },
        }
    }

    pub(crate) fn role(&self) -> Option<RoleArn> {
        let answered = self.answer["role"]["arn"].as_str();
        let answered = answered.and_then(|arn| arn.parse().ok());
        answered.or_else(|| self.arn("role", self.given("roleName")?))
    }

    pub(crate) fn group(&self) -> Option<GroupArn> {
        self.arn("group", self.given("groupName")?)
    }

    /// The user or the role whom the call names, or made.
    pub(crate) fn principal(&self) -> Option<Principal> {
        let of_group = self.name().contains("Group") && !self.is_about_membership();
        if of_group {
            None
        } else if self.given("roleName").is_some() || !self.answer["role"].is_null() {
            self.role().map(Principal::Role)
        } else {
            self.user().map(Principal::User)
        }
    }

    pub(crate) fn grantee(&self) -> Option<Grantee> {
        if self.given("userName").is_some() {
            self.user().map(Grantee::User)
        } else if self.given("roleName").is_some() {
            self.role().map(Grantee::Role)
        } else {
            self.group().map(Grantee::Group)
        }
    }

    /// Whether it puts a user into a group or takes one out.
    pub(crate) fn is_about_membership(&self) -> bool {
        matches!(self.name(), "AddUserToGroup" | "RemoveUserFromGroup")
    }

    /// Whether it takes a permissions boundary off, or replaces it.
    pub(crate) fn is_about_boundary(&self) -> bool {
        self.name().ends_with("PermissionsBoundary")
    }

    /// The managed policy that the call names.
    pub(crate) fn policy(&self) -> Option<Arn> {
        self.given("policyArn")?.parse().ok()
    }

    /// The name of the policy that denies everything.
    pub(crate) fn denial_name(&self) -> &'a str {
        let denial = self.watch.tiers.deny_policy().resource();
        denial.rsplit('/').next().unwrap_or(denial)
    }

    /// Whether a policy is the one that denies everything, in any partition.
    pub(crate) fn is_denial(&self, policy: &Arn) -> bool {
        let denial = self.watch.tiers.deny_policy();
        policy.service() == denial.service()
            && policy.account() == denial.account()
            && policy.resource() == denial.resource()
    }

    /// The version that is or becomes a policy's default; none when the call makes none the default.
    pub(crate) fn default_version(&self) -> Option<Text<16>> {
        let version = match self.call.name.as_str() {
            "SetDefaultPolicyVersion" => self.given("versionId"),
            "CreatePolicyVersion" if self.sets_default() => {
                self.answer["policyVersion"]["versionId"].as_str()
            }
            _ => None,
        };
        version.map(Text::cut)
    }

    /// Whether a new version of a policy becomes its default.
    pub(crate) fn sets_default(&self) -> bool {
        let asked = &self.call.request["setAsDefault"];
        asked == true || asked == "true"
    }

    /// The policy document that the call writes; none when it has none that can be read.
    pub(crate) fn document(&self) -> Option<Document> {
        let parameters = ["policyDocument", "assumeRolePolicyDocument", "policy"];
        let mut written = parameters.iter().map(|it| &self.call.request[*it]);
        Document::parse(written.find(|it| !it.is_null())?)
    }

    /// The managed policies that a session is given.
    pub(crate) fn session_policies(&self) -> impl Iterator<Item = &'a str> {
        let policies = self.call.request["policyArns"].as_array();
        let policies = policies.into_iter().flatten();
        policies.filter_map(|policy| policy["arn"].as_str().or(policy.as_str()))
    }

    /// The session that `AssumeRole` answered with.
    pub(crate) fn assumed(&self) -> Option<Actor> {
        let user_id = self.answer["assumedRoleUser"]["assumedRoleId"].as_str();
        let of_answer = self.answer["assumedRoleUser"]["arn"].as_str();
        let of_answer = of_answer.and_then(|arn| Actor::from_arn(&arn.parse().ok()?));
        let named = || {
            let name = self.given("roleSessionName");
            Some(Actor::Role {
                arn: self.given("roleArn")?.parse().ok()?,
                session: name.map(|name| Session {
                    name: Text::cut(name),
                    user_id: None,
                }),
            })
        };
        let mut session = named().or(of_answer)?;
        if let Actor::Role {
            session: Some(session),
            ..
        } = &mut session
        {
            session.user_id = user_id.map(Text::cut);
        }
        Some(session)
    }

    /// What the call gave, whatever that is worth; none when it gives nothing, or does not say what.
    pub(crate) fn given_target(&self) -> Option<Target> {
        if self.is_key_of_root() {
            return match &self.call.actor {
                Actor::Root { account } => Some(Target::Root {
                    account: account.clone(),
                }),
                _ => None,
            };
        }
        self.grant().map(|grant| Target::Grant { grant })
    }

    /// Root's own access key is made by root, who names no user.
    fn is_key_of_root(&self) -> bool {
        self.call.name == "CreateAccessKey"
            && self.user().is_none()
            && matches!(self.call.actor, Actor::Root { .. })
    }

    fn grant(&self) -> Option<Grant> {
        Some(match self.call.name.as_str() {
            "AttachUserPolicy" | "AttachRolePolicy" | "AttachGroupPolicy" => {
                Grant::AttachedPolicy {
                    grantee: self.grantee()?,
                    policy: self.policy()?,
                }
            }
            "PutUserPolicy" | "PutRolePolicy" | "PutGroupPolicy" => Grant::InlinePolicy {
                grantee: self.grantee()?,
                name: Text::cut(self.given("policyName")?),
            },
            "CreatePolicyVersion" | "SetDefaultPolicyVersion" => Grant::PolicyVersion {
                policy: self.policy()?,
                version: self.default_version()?,
            },
            "AddUserToGroup" => Grant::Membership {
                user: self.user()?,
                group: self.group()?,
            },
            "CreateAccessKey" => Grant::AccessKey { user: self.user()? },
            "CreateLoginProfile" | "UpdateLoginProfile" => {
                Grant::LoginProfile { user: self.user()? }
            }
            "UpdateAssumeRolePolicy" => Grant::Trust { role: self.role()? },
            "CreateRole" => Grant::Role { role: self.role()? },
            "DeleteUserPermissionsBoundary"
            | "DeleteRolePermissionsBoundary"
            | "PutUserPermissionsBoundary"
            | "PutRolePermissionsBoundary" => Grant::Boundary {
                principal: self.principal()?,
            },
            _ => return None,
        })
    }

    /// An ARN of this account, without the path, which requests leave out.
    fn arn<T: std::str::FromStr>(&self, kind: &str, name: &str) -> Option<T> {
        let actor = self.call.actor.principal();
        let partition = match &actor {
            Some(actor) => actor.arn().partition(),
            None => self.watch.tiers.deny_policy().partition(),
        };
        let account = self.watch.tiers.account();
        let arn = format!("arn:{partition}:iam::{account}:{kind}/{name}");
        arn.parse().ok()
    }
}

/// A user or role as somebody who may be contained.
pub(crate) fn actor(principal: Principal) -> Actor {
    match principal {
        Principal::User(arn) => Actor::IamUser { arn },
        Principal::Role(arn) => Actor::Role { arn, session: None },
    }
}
