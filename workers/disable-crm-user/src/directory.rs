//! One user of the pool. The username stays in here: it may be an e-mail address.

use aws_sdk_cognitoidentityprovider::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{UserStatusType, UserType},
};
use incident::{Subject, UserPoolId};
use jiff::Timestamp;
use worker::Failure;

/// The pool, asked about one user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory<'a> {
    pub(crate) cognito: &'a Client,
    pub(crate) pool: &'a UserPoolId,
    pub(crate) subject: &'a Subject,
}

/// The user. Not to be shown.
pub(crate) struct User {
    username: String,
    pub(crate) is_enabled: bool,
    /// Whether an identity provider signs it in.
    pub(crate) is_federated: bool,
    /// When it was changed last: no token was issued to a disabled user after that.
    pub(crate) modified: Option<Timestamp>,
}

impl Directory<'_> {
    /// Resolves the subject; none when there is no such user.
    ///
    /// # Errors
    /// [`Failure::Rejected`] when there are several, which Cognito rules out.
    pub(crate) async fn find(self) -> Result<Option<User>, Failure> {
        let users: Vec<UserType> = self
            .cognito
            .list_users()
            .user_pool_id(self.pool.as_str())
            .filter(format!("sub = \"{}\"", self.subject))
            .attributes_to_get("sub")
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| failure("cognito-idp:ListUsers", &error))?;
        let mut users = users.into_iter().filter_map(User::of);
        match (users.next(), users.next()) {
            (user, None) => Ok(user),
            _ => Err(Failure::Rejected(format!(
                "cognito-idp:ListUsers: answered several users with the sub {}",
                self.subject
            ))),
        }
    }

    /// Disables the user, who can then neither sign in nor refresh.
    pub(crate) async fn disable(self, user: &User) -> Result<(), Failure> {
        let disable = self
            .cognito
            .admin_disable_user()
            .user_pool_id(self.pool.as_str())
            .username(&user.username);
        let disabled = disable.send().await.map(|_| ());
        disabled.map_err(|error| user.failure("cognito-idp:AdminDisableUser", &error))
    }

    /// Enables the user.
    pub(crate) async fn enable(self, user: &User) -> Result<(), Failure> {
        let enable = self
            .cognito
            .admin_enable_user()
            .user_pool_id(self.pool.as_str())
            .username(&user.username);
        let enabled = enable.send().await.map(|_| ());
        enabled.map_err(|error| user.failure("cognito-idp:AdminEnableUser", &error))
    }

    /// Ends every session of the user.
    pub(crate) async fn sign_out(self, user: &User) -> Result<(), Failure> {
        let sign_out = self
            .cognito
            .admin_user_global_sign_out()
            .user_pool_id(self.pool.as_str())
            .username(&user.username);
        let signed_out = sign_out.send().await.map(|_| ());
        signed_out.map_err(|error| user.failure("cognito-idp:AdminUserGlobalSignOut", &error))
    }
}

impl User {
    fn of(user: UserType) -> Option<Self> {
        let modified = user.user_last_modified_date;
        Some(Self {
            username: user.username?,
            is_enabled: user.enabled,
            is_federated: user.user_status == Some(UserStatusType::ExternalProvider),
            modified: modified.and_then(|at| Timestamp::from_second(at.secs()).ok()),
        })
    }

    /// AWS may repeat a parameter in its message.
    fn failure<E>(&self, call: &str, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        failure(call, error).rephrase(|message| message.replace(&self.username, "…"))
    }
}

fn failure<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failure = Failure::aws(call, error);
    match error.code() {
        Some("UserNotFoundException" | "ResourceNotFoundException") => {
            Failure::TargetNotFound(failure.to_string())
        }
        Some("NotAuthorizedException") => Failure::AccessDenied(failure.to_string()),
        _ => failure,
    }
}
