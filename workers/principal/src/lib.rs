//! One face for IAM users and roles, and the policies by which Tourniquet denies them.
//!
//! [`Principal`] makes the calls that IAM has twice, once for users and once for roles.
//! [`revoke_document`] and [`SessionDenials`] write the inline policies that end sessions, and read
//! them back strictly: a document that somebody has weakened denies nothing, whatever its name.
//! What is undone twice is undone: removing what is not there succeeds.

mod denials;
mod key;

pub use denials::{
    CUTOFF_MARGIN, REVOKE_POLICY, SESSION_POLICY, SessionDenials, cutoff_of, revoke_document,
};

pub use key::{key_hold, masked};

use std::{error::Error, fmt};

use aws_sdk_iam::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::AttachedPolicy,
};
use incident::{Actor, Arn, Session};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use worker::Failure;

/// An IAM user or role, and the client that reads and changes it.
///
/// Every method fails with [`Failure::TargetNotFound`] when the user or role does not exist, unless
/// it says otherwise.
#[derive(Debug, Clone)]
pub struct Principal {
    iam: Client,
    kind: Kind,
    name: String,
    arn: Arn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Role,
}

/// What IAM keeps about a principal besides its policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The unique id, `AIDA…` of a user, `AROA…` of a role; a namesake created later has another.
    pub id: String,
    /// The ARN of the policy that is the permissions boundary.
    pub boundary: Option<String>,
}

/// The hold that keeps what a principal was before the deny-all policy; its original is a
/// [`Before`].
pub const DENIAL: &str = "deny-all-policy";

/// What a principal had before it was denied: what it has beside that was added since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// Whether the deny-all policy was attached already.
    #[serde(default)]
    pub attached: bool,
    /// The ARNs of all attached managed policies.
    pub policies: Vec<String>,
    /// The names of all inline policies; none when they could not be read.
    pub inline_policies: Option<Vec<String>>,
}

impl Identity {
    /// `aws:userId` of a session of this role.
    #[must_use]
    pub fn user_id(&self, session: &Session) -> String {
        session.user_id.as_ref().map_or_else(
            || format!("{}:{}", self.id, session.name),
            ToString::to_string,
        )
    }
}

/// Whether there was room for a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It is in place, now or already.
    Enough,
    /// As many are attached, or as long ones written, as IAM allows.
    None,
}

impl Room {
    fn of(answer: Result<(), Refusal>) -> Result<Self, Refusal> {
        match answer {
            Ok(()) => Ok(Self::Enough),
            Err(refusal) if refusal.code.as_deref() == Some("LimitExceeded") => Ok(Self::None),
            Err(refusal) => Err(refusal),
        }
    }
}

/// What AWS answered instead, with what its `NoSuchEntity` would mean.
struct Refusal {
    code: Option<String>,
    failure: Failure,
    missing: String,
}

impl Refusal {
    fn is_gone(&self) -> bool {
        matches!(self.failure, Failure::TargetNotFound(_))
    }

    /// The call named a policy too, and IAM does not say which of the two it missed: no reason to
    /// believe that the principal is gone.
    fn or_of(mut self, policy: &Arn) -> Failure {
        self.missing = format!("{} or policy {policy}", self.missing);
        match self.into() {
            Failure::TargetNotFound(why) => Failure::Rejected(why),
            failure => failure,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal.failure {
            Self::TargetNotFound(answer) => {
                Self::TargetNotFound(format!("{} does not exist ({answer})", refusal.missing))
            }
            failure => failure,
        }
    }
}

/// A document as IAM answers it, which is URL-encoded.
#[must_use]
pub fn decoded(document: &str) -> String {
    percent_decode_str(document)
        .decode_utf8_lossy()
        .into_owned()
}

/// The answer to taking something away, which may have been gone already.
fn gone_is_done(answer: Result<(), Refusal>) -> Result<(), Failure> {
    match answer {
        Err(refusal) if !refusal.is_gone() => Err(refusal.into()),
        _ => Ok(()),
    }
}

/// Sends the one of two calls that fits the principal, with the same arguments, and reads the one
/// of two outputs the same way.
macro_rules! call {
    (
        $principal:ident: $user_action:literal $user_call:ident,
        $role_action:literal $role_call:ident [$($request:tt)*] $read:expr
    ) => {
        match $principal.kind {
            Kind::User => $principal.iam.$user_call().user_name(&$principal.name)$($request)*.await
                .map($read)
                .map_err(|error| $principal.refusal($user_action, &error)),
            Kind::Role => $principal.iam.$role_call().role_name(&$principal.name)$($request)*.await
                .map($read)
                .map_err(|error| $principal.refusal($role_action, &error)),
        }
    };
}

impl Principal {
    /// The principal whose permissions `actor` has: the user, the role, or the user who issued a
    /// federated session. None when there is none.
    #[must_use]
    pub fn of(actor: &Actor, iam: &Client) -> Option<Self> {
        let (kind, name, arn) = match actor {
            Actor::IamUser { arn } | Actor::FederatedUser { issuer: arn, .. } => {
                (Kind::User, arn.name(), arn.arn())
            }
            Actor::Role { arn, .. } => (Kind::Role, arn.name(), arn.arn()),
            Actor::Root { .. }
            | Actor::AwsService { .. }
            | Actor::OtherAccount { .. }
            | Actor::Unidentified { .. } => return None,
        };
        let (partition, account) = (arn.partition(), arn.account());
        let what = match kind {
            Kind::User => "user",
            Kind::Role => "role",
        };
        Some(Self {
            iam: iam.clone(),
            kind,
            name: name.to_owned(),
            arn: format!("arn:{partition}:iam::{account}:{what}/{name}")
                .parse()
                .ok()?,
        })
    }

    /// The ARN, always without the path. Names are unique in an account whatever their path, and
    /// not every event gives the path, so that holds filed under this ARN are always found again.
    #[must_use]
    pub fn arn(&self) -> &Arn {
        &self.arn
    }

    /// The name, without the path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a user; a role otherwise.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.kind == Kind::User
    }

    /// Its unique id and its permissions boundary.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub async fn look_up(&self) -> Result<Identity, Failure> {
        let found = match self.kind {
            Kind::User => self
                .iam
                .get_user()
                .user_name(&self.name)
                .send()
                .await
                .map_err(|error| self.refusal("iam:GetUser", &error))?
                .user
                .map(|user| (user.user_id, user.permissions_boundary)),
            Kind::Role => self
                .iam
                .get_role()
                .role_name(&self.name)
                .send()
                .await
                .map_err(|error| self.refusal("iam:GetRole", &error))?
                .role
                .map(|role| (role.role_id, role.permissions_boundary)),
        };
        let (id, boundary) =
            found.ok_or_else(|| Failure::Rejected(format!("IAM answered without {self}")))?;
        Ok(Identity {
            id,
            boundary: boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        })
    }

    /// The ARNs of all attached managed policies.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub async fn attached(&self) -> Result<Vec<String>, Failure> {
        let policies: Vec<AttachedPolicy> = call!(
            self: "iam:ListAttachedUserPolicies" list_attached_user_policies,
            "iam:ListAttachedRolePolicies" list_attached_role_policies
            [.into_paginator().items().send().try_collect()] |policies| policies
        )?;
        Ok(policies
            .into_iter()
            .filter_map(|policy| policy.policy_arn)
            .collect())
    }

    /// Attaches a managed policy; attaching it again changes nothing.
    ///
    /// # Errors
    /// When the principal or the policy does not exist, or IAM refuses.
    pub async fn attach(&self, policy: &Arn) -> Result<Room, Failure> {
        let attached = call!(
            self: "iam:AttachUserPolicy" attach_user_policy,
            "iam:AttachRolePolicy" attach_role_policy [.policy_arn(policy.as_str()).send()] |_| ()
        );
        Room::of(attached).map_err(|refusal| refusal.or_of(policy))
    }

    /// Detaches a managed policy; one that is not attached, or a principal that does not exist,
    /// counts as done.
    ///
    /// # Errors
    /// When IAM refuses.
    pub async fn detach(&self, policy: &Arn) -> Result<(), Failure> {
        gone_is_done(call!(
            self: "iam:DetachUserPolicy" detach_user_policy,
            "iam:DetachRolePolicy" detach_role_policy [.policy_arn(policy.as_str()).send()] |_| ()
        ))
    }

    /// Makes a managed policy the permissions boundary, in place of any other.
    ///
    /// # Errors
    /// When the principal or the policy does not exist, or IAM refuses.
    pub async fn set_boundary(&self, policy: &Arn) -> Result<(), Failure> {
        call!(
            self: "iam:PutUserPermissionsBoundary" put_user_permissions_boundary,
            "iam:PutRolePermissionsBoundary" put_role_permissions_boundary
            [.permissions_boundary(policy.as_str()).send()] |_| ()
        )
        .map_err(|refusal| refusal.or_of(policy))
    }

    /// Removes the permissions boundary; none, or a principal that does not exist, counts as done.
    ///
    /// # Errors
    /// When IAM refuses.
    pub async fn remove_boundary(&self) -> Result<(), Failure> {
        gone_is_done(call!(
            self: "iam:DeleteUserPermissionsBoundary" delete_user_permissions_boundary,
            "iam:DeleteRolePermissionsBoundary" delete_role_permissions_boundary [.send()] |_| ()
        ))
    }

    /// The names of all inline policies.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub async fn inline_names(&self) -> Result<Vec<String>, Failure> {
        Ok(call!(
            self: "iam:ListUserPolicies" list_user_policies,
            "iam:ListRolePolicies" list_role_policies
            [.into_paginator().items().send().try_collect()] |names| names
        )?)
    }

    /// The document of the inline policy `name`; none when there is no such policy or principal.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn inline(&self, name: &str) -> Result<Option<String>, Failure> {
        let document = call!(
            self: "iam:GetUserPolicy" get_user_policy, "iam:GetRolePolicy" get_role_policy
            [.policy_name(name).send()] |output| output.policy_document
        );
        match document {
            Ok(encoded) => Ok(Some(decoded(&encoded))),
            Err(refusal) if refusal.is_gone() => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Writes the inline policy `name`, in place of what it was.
    ///
    /// # Errors
    /// When the principal does not exist, or IAM refuses.
    pub async fn put_inline(&self, name: &str, document: &str) -> Result<Room, Failure> {
        let put = call!(
            self: "iam:PutUserPolicy" put_user_policy, "iam:PutRolePolicy" put_role_policy
            [.policy_name(name).policy_document(document).send()] |_| ()
        );
        Ok(Room::of(put)?)
    }

    /// Deletes the inline policy `name`; none, or a principal that does not exist, counts as done.
    ///
    /// # Errors
    /// When IAM refuses.
    pub async fn delete_inline(&self, name: &str) -> Result<(), Failure> {
        gone_is_done(call!(
            self: "iam:DeleteUserPolicy" delete_user_policy,
            "iam:DeleteRolePolicy" delete_role_policy [.policy_name(name).send()] |_| ()
        ))
    }

    fn refusal<E>(&self, action: &str, error: &SdkError<E, HttpResponse>) -> Refusal
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        Refusal {
            code: error.code().map(str::to_owned),
            failure: Failure::aws(action, error),
            missing: self.to_string(),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::User => write!(f, "IAM user {}", self.name),
            Kind::Role => write!(f, "role {}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use aws_sdk_iam::{
        config::retry::RetryConfig,
        operation::{
            get_role::GetRoleOutput, get_user::GetUserOutput,
            list_attached_user_policies::ListAttachedUserPoliciesOutput,
            list_role_policies::ListRolePoliciesOutput,
        },
        primitives::DateTime,
        types::{AttachedPermissionsBoundary, Role, User},
    };
    use aws_smithy_mocks::{Rule, RuleBuilder, RuleMode, mock, mock_client};
    use incident::Session;

    use super::*;

    const DENY: &str = "arn:aws:iam::aws:policy/AWSDenyAll";

    fn deny() -> Arn {
        DENY.parse().unwrap()
    }

    fn iam(rules: &[&Rule]) -> Client {
        mock_client!(aws_sdk_iam, RuleMode::MatchAny, rules, |config| config
            .retry_config(RetryConfig::disabled()))
    }

    /// IAM's answer to one call.
    fn says<I, O, E>(call: RuleBuilder<I, O, E>, status: u16, body: &str) -> Rule
    where
        I: Debug + Send + Sync + 'static,
        O: Debug + Send + Sync + 'static,
        E: Debug + Send + Sync + Error + 'static,
    {
        call.sequence()
            .http_status(status, Some(body.to_owned()))
            .build()
    }

    /// IAM's refusal of one call.
    fn refuses<I, O, E>(call: RuleBuilder<I, O, E>, code: &str) -> Rule
    where
        I: Debug + Send + Sync + 'static,
        O: Debug + Send + Sync + 'static,
        E: Debug + Send + Sync + Error + 'static,
    {
        let body = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>as IAM says</Message></Error></ErrorResponse>"
        );
        says(call, 400, &body)
    }

    fn user(rule: &Rule) -> Principal {
        principal("arn:aws:iam::123456789012:user/staff/eve", rule)
    }

    fn role(rule: &Rule) -> Principal {
        principal("arn:aws:sts::123456789012:assumed-role/admin/eve", rule)
    }

    fn principal(arn: &str, rule: &Rule) -> Principal {
        let actor = Actor::from_arn(&arn.parse().unwrap()).unwrap();
        Principal::of(&actor, &iam(&[rule])).unwrap()
    }

    #[test]
    fn a_federated_session_has_its_issuers_permissions() {
        let iam = iam(&[]);
        let issuer: incident::UserArn = "arn:aws:iam::123456789012:user/eve".parse().unwrap();
        let federated = Actor::FederatedUser {
            issuer: issuer.clone(),
            name: incident::Text::cut("temp"),
        };
        let principal = Principal::of(&federated, &iam).unwrap();
        assert!(principal.is_user());
        assert_eq!(principal.arn(), issuer.arn());
        assert_eq!(principal.to_string(), "IAM user eve");
    }

    #[test]
    fn a_principal_is_the_same_with_and_without_its_path() {
        let iam = iam(&[]);
        for arn in [
            "arn:aws-us-gov:iam::123456789012:role/ci/eu/deploy",
            "arn:aws-us-gov:sts::123456789012:assumed-role/deploy/run",
        ] {
            let actor = Actor::from_arn(&arn.parse().unwrap()).unwrap();
            let principal = Principal::of(&actor, &iam).unwrap();
            assert_eq!(principal.name(), "deploy");
            assert_eq!(
                principal.arn().as_str(),
                "arn:aws-us-gov:iam::123456789012:role/deploy"
            );
        }
    }

    #[test]
    fn a_session_has_its_roles_permissions() {
        let session = Actor::Role {
            arn: "arn:aws:iam::123456789012:role/ci/deploy".parse().unwrap(),
            session: Some(Session {
                name: incident::Text::cut("run"),
                user_id: None,
            }),
        };
        let principal = Principal::of(&session, &iam(&[])).unwrap();
        assert!(!principal.is_user());
        assert_eq!(principal.to_string(), "role deploy");
    }

    #[test]
    fn root_services_and_strangers_are_no_principals() {
        let iam = iam(&[]);
        for actor in [
            Actor::from_arn(&"arn:aws:iam::123456789012:root".parse().unwrap()).unwrap(),
            Actor::unidentified("nobody"),
            Actor::AwsService {
                name: incident::Text::cut("cloudtrail.amazonaws.com"),
            },
            Actor::OtherAccount {
                account: incident::Text::cut("999988887777"),
            },
        ] {
            assert!(Principal::of(&actor, &iam).is_none(), "{actor}");
        }
    }

    #[tokio::test]
    async fn a_user_or_role_is_looked_up_by_its_name_without_the_path() {
        let boundary = AttachedPermissionsBoundary::builder()
            .permissions_boundary_arn("arn:aws:iam::123456789012:policy/dev")
            .build();
        let get_user = mock!(Client::get_user)
            .match_requests(|request| request.user_name() == Some("eve"))
            .then_output(move || {
                let user = User::builder()
                    .path("/staff/")
                    .user_name("eve")
                    .user_id("AIDAEXAMPLE")
                    .arn("arn:aws:iam::123456789012:user/staff/eve")
                    .create_date(DateTime::from_secs(0))
                    .permissions_boundary(boundary.clone());
                GetUserOutput::builder().user(user.build().unwrap()).build()
            });
        assert_eq!(
            user(&get_user).look_up().await.unwrap(),
            Identity {
                id: "AIDAEXAMPLE".to_owned(),
                boundary: Some("arn:aws:iam::123456789012:policy/dev".to_owned()),
            }
        );
        let get_role = mock!(Client::get_role)
            .match_requests(|request| request.role_name() == Some("admin"))
            .then_output(|| {
                let role = Role::builder()
                    .path("/")
                    .role_name("admin")
                    .role_id("AROAEXAMPLE")
                    .arn("arn:aws:iam::123456789012:role/admin")
                    .create_date(DateTime::from_secs(0));
                GetRoleOutput::builder().role(role.build().unwrap()).build()
            });
        assert_eq!(
            role(&get_role).look_up().await.unwrap(),
            Identity {
                id: "AROAEXAMPLE".to_owned(),
                boundary: None,
            }
        );
    }

    #[tokio::test]
    async fn every_page_of_policies_is_read() {
        let attached = mock!(Client::list_attached_user_policies).then_compute_output(|request| {
            let (name, more) = match request.marker() {
                None => ("arn:aws:iam::aws:policy/AdministratorAccess", true),
                Some(_) => (DENY, false),
            };
            ListAttachedUserPoliciesOutput::builder()
                .attached_policies(AttachedPolicy::builder().policy_arn(name).build())
                .is_truncated(more)
                .set_marker(more.then(|| "next".to_owned()))
                .build()
        });
        assert_eq!(
            user(&attached).attached().await.unwrap(),
            ["arn:aws:iam::aws:policy/AdministratorAccess", DENY]
        );
        let inline = mock!(Client::list_role_policies).then_compute_output(|request| {
            let (name, more) = match request.marker() {
                None => ("first", true),
                Some(_) => ("second", false),
            };
            ListRolePoliciesOutput::builder()
                .policy_names(name)
                .is_truncated(more)
                .set_marker(more.then(|| "next".to_owned()))
                .build()
                .unwrap()
        });
        assert_eq!(
            role(&inline).inline_names().await.unwrap(),
            ["first", "second"]
        );
    }

    #[tokio::test]
    async fn a_policy_is_attached_or_finds_no_slot() {
        let attach = mock!(Client::attach_user_policy)
            .match_requests(|request| request.policy_arn() == Some(DENY));
        let done = says(attach, 200, "");
        assert_eq!(user(&done).attach(&deny()).await.unwrap(), Room::Enough);
        for full in [
            user(&refuses(mock!(Client::attach_user_policy), "LimitExceeded")),
            role(&refuses(mock!(Client::attach_role_policy), "LimitExceeded")),
        ] {
            assert_eq!(full.attach(&deny()).await.unwrap(), Room::None);
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let get = refuses(mock!(Client::get_role), "NoSuchEntity");
        let failure = role(&get).look_up().await.unwrap_err();
        assert_eq!(failure.name(), "TargetNotFound");
        insta::assert_snapshot!(failure, @"role admin does not exist (iam:GetRole: NoSuchEntity: as IAM says)");
        let attach = refuses(mock!(Client::attach_user_policy), "NoSuchEntity");
        let failure = user(&attach).attach(&deny()).await.unwrap_err();
        assert_eq!(failure.name(), "Rejected");
        insta::assert_snapshot!(failure, @"IAM user eve or policy arn:aws:iam::aws:policy/AWSDenyAll does not exist (iam:AttachUserPolicy: NoSuchEntity: as IAM says)");
        let boundary = refuses(mock!(Client::put_role_permissions_boundary), "NoSuchEntity");
        let failure = role(&boundary).set_boundary(&deny()).await.unwrap_err();
        insta::assert_snapshot!(failure, @"role admin or policy arn:aws:iam::aws:policy/AWSDenyAll does not exist (iam:PutRolePermissionsBoundary: NoSuchEntity: as IAM says)");
    }

    #[tokio::test]
    async fn removing_what_is_gone_is_done() {
        let gone = "NoSuchEntity";
        user(&refuses(mock!(Client::detach_user_policy), gone))
            .detach(&deny())
            .await
            .unwrap();
        role(&refuses(
            mock!(Client::delete_role_permissions_boundary),
            gone,
        ))
        .remove_boundary()
        .await
        .unwrap();
        user(&refuses(mock!(Client::delete_user_policy), gone))
            .delete_inline(REVOKE_POLICY)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn every_other_refusal_is_reported_by_its_class() {
        for (code, class) in [
            ("AccessDenied", "AccessDenied"),
            ("Throttling", "Transient"),
            ("ConcurrentModification", "Transient"),
            ("UnmodifiableEntity", "Protected"),
            ("MalformedPolicyDocument", "Rejected"),
        ] {
            let failures = [
                role(&refuses(mock!(Client::attach_role_policy), code))
                    .attach(&deny())
                    .await
                    .map(drop),
                role(&refuses(mock!(Client::detach_role_policy), code))
                    .detach(&deny())
                    .await,
                role(&refuses(mock!(Client::put_role_permissions_boundary), code))
                    .set_boundary(&deny())
                    .await,
                role(&refuses(mock!(Client::get_role_policy), code))
                    .inline(REVOKE_POLICY)
                    .await
                    .map(drop),
                role(&refuses(mock!(Client::put_role_policy), code))
                    .put_inline(REVOKE_POLICY, "{}")
                    .await
                    .map(drop),
            ];
            for failure in failures {
                assert_eq!(failure.unwrap_err().name(), class, "{code}");
            }
        }
    }

    #[tokio::test]
    async fn inline_policies_that_are_too_long_leave_no_room() {
        let put = refuses(mock!(Client::put_role_policy), "LimitExceeded");
        let room = role(&put).put_inline(SESSION_POLICY, "{}").await;
        assert_eq!(room.unwrap(), Room::None);
    }

    #[tokio::test]
    async fn an_inline_document_comes_decoded_or_not_at_all() {
        let get = mock!(Client::get_role_policy)
            .match_requests(|request| request.policy_name() == Some(REVOKE_POLICY));
        let encoded = "<GetRolePolicyResponse><GetRolePolicyResult>\
            <RoleName>admin</RoleName><PolicyName>AWSRevokeOlderSessions</PolicyName>\
            <PolicyDocument>%7B%22Version%22%3A%222012-10-17%22%7D</PolicyDocument>\
            </GetRolePolicyResult></GetRolePolicyResponse>";
        assert_eq!(
            role(&says(get, 200, encoded))
                .inline(REVOKE_POLICY)
                .await
                .unwrap()
                .unwrap(),
            r#"{"Version":"2012-10-17"}"#
        );
        let gone = refuses(mock!(Client::get_user_policy), "NoSuchEntity");
        assert_eq!(user(&gone).inline(REVOKE_POLICY).await.unwrap(), None);
    }
}
