//! Attackers: real principals of the local AWS, who attack with their own credentials.

use aws_credential_types::Credentials;
use aws_sdk_cloudtrail::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_sdk_iam::types::{AccessKey, Role, User};
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ACCOUNT, ADMINISTRATOR, EVERYTHING, ROOT_KEY, Range, TRAIL_ARN,
    clients::Clients,
    error::{Context, Error, Result},
    event::Event,
};

/// Somebody who attacks.
#[derive(Debug)]
pub(crate) struct Attacker {
    /// Who it is, for people.
    pub(crate) who: String,
    /// What CloudTrail writes of them as `userIdentity`.
    pub(crate) identity: Value,
    /// AWS with their credentials.
    pub(crate) aws: Clients,
}

impl Attacker {
    /// Stops the trail, and answers the event that CloudTrail would deliver.
    pub(crate) async fn stop_trail(&self) -> Result<Event> {
        let call = self.aws.cloudtrail.stop_logging().name(TRAIL_ARN);
        let answer = call
            .send()
            .await
            .context(format!("{} calls cloudtrail:StopLogging", self.who))?;
        Ok(self.event("StopLogging", answer.request_id()))
    }

    /// Deletes the trail, and answers the event that CloudTrail would deliver.
    pub(crate) async fn delete_trail(&self) -> Result<Event> {
        let call = self.aws.cloudtrail.delete_trail().name(TRAIL_ARN);
        let answer = call
            .send()
            .await
            .context(format!("{} calls cloudtrail:DeleteTrail", self.who))?;
        Ok(self.event("DeleteTrail", answer.request_id()))
    }

    /// Tries to stop the trail, is refused, and answers the event that CloudTrail would deliver.
    pub(crate) async fn try_to_stop_trail(&self) -> Result<Event> {
        let call = self.aws.cloudtrail.stop_logging().name(TRAIL_ARN);
        let error = match call.send().await {
            Ok(_) => return Err(Error::new(format!("{} stopped the trail", self.who))),
            Err(SdkError::ServiceError(error)) => error.into_err(),
            Err(error) => return Err(error.into()),
        };
        let mut event = self.event("StopLogging", error.meta().request_id());
        let detail = &mut event.json["detail"];
        detail["errorCode"] = "AccessDenied".into();
        detail["errorMessage"] = error.message().unwrap_or_default().into();
        detail["requestParameters"] = Value::Null;
        Ok(event)
    }

    fn event(&self, name: &str, request_id: Option<&str>) -> Event {
        let request = json!({"name": TRAIL_ARN});
        let request_id = request_id.unwrap_or_default();
        Event::of_call(&self.identity, "cloudtrail", name, &request, request_id)
    }

    /// The user's name, or that of the role whose session this is.
    pub(crate) fn name(&self) -> &str {
        ["/userName", "/sessionContext/sessionIssuer/userName"]
            .iter()
            .find_map(|field| self.identity.pointer(field)?.as_str())
            .unwrap_or("root")
    }
}

impl Range {
    /// A new IAM user with administrator rights and an access key.
    pub(crate) async fn attacker_user(&self, name: &str) -> Result<Attacker> {
        let user = self.user_without_rights(name).await?;
        let attach = self.aws.iam.attach_user_policy().user_name(name);
        let attached = attach.policy_arn(ADMINISTRATOR).send().await;
        attached.context(format!("making {name} an administrator"))?;
        Ok(user)
    }

    /// A new IAM user with an access key and no rights.
    pub(crate) async fn user_without_rights(&self, name: &str) -> Result<Attacker> {
        let created = self.aws.iam.create_user().user_name(name).send().await;
        created.context(format!("creating the user {name}"))?;
        self.with_new_key(name).await
    }

    /// Whoever gets hold of a new access key of the user `name`.
    pub(crate) async fn with_new_key(&self, name: &str) -> Result<Attacker> {
        let iam = &self.aws.iam;
        let found = iam.get_user().user_name(name).send().await;
        let user = found.context("iam:GetUser")?.user.context("no such user")?;
        let created = iam.create_access_key().user_name(name).send().await;
        let key = created
            .context(format!("creating a key of {name}"))?
            .access_key
            .context("no key was created")?;
        Ok(self.holder_of_key(&user, &key))
    }

    /// Whoever holds `key`, which is one of `user`.
    pub(crate) fn holder_of_key(&self, user: &User, key: &AccessKey) -> Attacker {
        let (id, secret) = (key.access_key_id(), key.secret_access_key());
        Attacker {
            who: format!("IAM user {}", user.user_name()),
            identity: json!({
                "type": "IAMUser",
                "principalId": user.user_id(),
                "arn": user.arn(),
                "accountId": ACCOUNT,
                "accessKeyId": id,
                "userName": user.user_name(),
            }),
            aws: self.clients(Credentials::new(id, secret, None, None, "drill")),
        }
    }

    /// `user` with the credentials of a session of theirs, which outlives their keys.
    pub(crate) async fn user_session(&self, user: &Attacker) -> Result<Attacker> {
        let asked = user.aws.sts.get_session_token().send().await;
        let credentials = asked
            .context(format!("{} calls sts:GetSessionToken", user.who))?
            .credentials
            .context("no session was given")?;
        let mut identity = user.identity.clone();
        identity["accessKeyId"] = credentials.access_key_id().into();
        identity["sessionContext"] = json!({"attributes": attributes()});
        Ok(Attacker {
            who: format!("an older session of {}", user.who),
            identity,
            aws: self.clients(temporary(&credentials)),
        })
    }

    /// A federated user, to whom `user` gave all their own rights.
    pub(crate) async fn federated_user(&self, user: &Attacker, name: &str) -> Result<Attacker> {
        let call = user.aws.sts.get_federation_token();
        let asked = call.name(name).policy(EVERYTHING).send().await;
        let answer = asked.context(format!("{} calls sts:GetFederationToken", user.who))?;
        let credentials = answer.credentials().context("no session was given")?;
        let federated = answer.federated_user().context("nobody was federated")?;
        Ok(Attacker {
            who: format!("federated user {name}, issued by {}", user.who),
            identity: json!({
                "type": "FederatedUser",
                "principalId": federated.federated_user_id(),
                "arn": federated.arn(),
                "accountId": ACCOUNT,
                "accessKeyId": credentials.access_key_id(),
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "IAMUser",
                        "principalId": user.identity["principalId"],
                        "arn": user.identity["arn"],
                        "accountId": ACCOUNT,
                        "userName": user.name(),
                    },
                    "attributes": attributes(),
                },
            }),
            aws: self.clients(temporary(credentials)),
        })
    }

    /// A session of the role at `path`, such as `staff/admin`; the role is made when there is none.
    pub(crate) async fn attacker_session(&self, path: &str, session: &str) -> Result<Attacker> {
        let role = self.role(path).await?;
        let call = self.aws.sts.assume_role().role_arn(&role.arn);
        let asked = call.role_session_name(session).send().await;
        let answer = asked.context(format!("assuming {}", role.arn))?;
        self.holder_of_session(&role, &answer)
    }

    /// Whoever holds the session of `role` that AWS answered with.
    pub(crate) fn holder_of_session(
        &self,
        role: &Role,
        answer: &AssumeRoleOutput,
    ) -> Result<Attacker> {
        let credentials = answer.credentials().context("no session was given")?;
        let assumed = answer.assumed_role_user().context("nobody was assumed")?;
        let session = assumed.arn().rsplit('/').next().unwrap_or_default();
        Ok(Attacker {
            who: format!("role {}, session {session}", role.role_name),
            identity: json!({
                "type": "AssumedRole",
                "principalId": assumed.assumed_role_id(),
                "arn": assumed.arn(),
                "accountId": ACCOUNT,
                "accessKeyId": credentials.access_key_id(),
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "principalId": role.role_id,
                        "arn": role.arn,
                        "accountId": ACCOUNT,
                        "userName": role.role_name,
                    },
                    "attributes": attributes(),
                },
            }),
            aws: self.clients(temporary(credentials)),
        })
    }

    /// Whoever holds root's key.
    pub(crate) fn root(&self) -> Attacker {
        self.named(
            "root",
            json!({
                "type": "Root",
                "principalId": ACCOUNT,
                "arn": format!("arn:aws:iam::{ACCOUNT}:root"),
                "accountId": ACCOUNT,
                "accessKeyId": ROOT_KEY,
            }),
        )
    }

    /// Root's key in the hands of somebody whom the events name otherwise.
    pub(crate) fn named(&self, who: &str, identity: Value) -> Attacker {
        Attacker {
            who: who.to_owned(),
            identity,
            aws: Clients::new(&self.config),
        }
    }
}

fn attributes() -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"creationDate": now, "mfaAuthenticated": "false"})
}

fn temporary(credentials: &aws_sdk_sts::types::Credentials) -> Credentials {
    Credentials::new(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        Some(credentials.session_token().to_owned()),
        None,
        "drill",
    )
}
