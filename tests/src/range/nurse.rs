//! The people who use the CRM: they sign in through Cognito and call its API, as the public does,
//! without AWS credentials.

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_cognitoidentityprovider::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    types::{AttributeType, AuthFlowType, MessageActionType},
};
use jiff::Timestamp;
use serde_json::json;

use super::{
    Range,
    clients::Clients,
    error::{Context, Error, Result},
    event::{Event, new_id},
};
use crate::template::{Template, text};

/// An account of the CRM.
#[derive(Debug)]
pub(crate) struct Nurse {
    /// By which they sign in.
    pub(crate) name: String,
    /// What Cognito calls them; none when nobody has that name.
    pub(crate) subject: Option<String>,
}

impl Nurse {
    /// The password of every account.
    pub(crate) const PASSWORD: &str = "Correct-horse-7-battery";

    /// A name that somebody made up.
    pub(crate) fn nobody(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            subject: None,
        }
    }
}

/// An attempt to sign in.
pub(crate) struct SignIn {
    /// The event that CloudTrail would deliver of it.
    pub(crate) event: Event,
    /// What Cognito gave, or the error by which it refused.
    pub(crate) outcome: std::result::Result<Tokens, String>,
}

/// What somebody who is signed in holds.
pub(crate) struct Tokens {
    /// By which the API lets them in.
    pub(crate) access: String,
    /// By which they get another one.
    pub(crate) refresh: String,
}

impl Range {
    /// A new account of the CRM, whose password was changed already.
    pub(crate) async fn nurse(&self, name: &str) -> Result<Nurse> {
        let (cognito, pool) = (&self.aws.cognito, self.crm("UserPoolId")?);
        let attribute = |name: &str, value: &str| {
            let attribute = AttributeType::builder().name(name).value(value);
            attribute.build().context("an attribute")
        };
        let email = format!("{name}@clinic.example");
        let created = cognito
            .admin_create_user()
            .user_pool_id(pool)
            .username(&email)
            .user_attributes(attribute("email", &email)?)
            .user_attributes(attribute("email_verified", "true")?)
            .message_action(MessageActionType::Suppress)
            .send()
            .await
            .context("cognito-idp:AdminCreateUser")?;
        cognito
            .admin_set_user_password()
            .user_pool_id(pool)
            .username(&email)
            .password(Nurse::PASSWORD)
            .permanent(true)
            .send()
            .await
            .context("cognito-idp:AdminSetUserPassword")?;
        let user = created.user.context("no user was created")?;
        let subject = user.attributes().iter().find(|it| it.name() == "sub");
        let subject = subject.and_then(|it| it.value().map(str::to_owned));
        Ok(Nurse {
            name: email,
            subject: Some(subject.context("a user without sub")?),
        })
    }

    /// Signs in as `nurse`, or tries to, from `address`.
    pub(crate) async fn sign_in(
        &self,
        nurse: &Nurse,
        password: &str,
        address: &str,
    ) -> Result<SignIn> {
        let client = self.crm("UserPoolClientIds")?;
        let answer = Clients::anonymous(&self.config)
            .cognito
            .initiate_auth()
            .auth_flow(AuthFlowType::UserPasswordAuth)
            .client_id(client)
            .auth_parameters("USERNAME", &nurse.name)
            .auth_parameters("PASSWORD", password)
            .send()
            .await;
        let identity = json!({"type": "Unknown", "principalId": "Anonymous"});
        let request = json!({
            "authFlow": "USER_PASSWORD_AUTH",
            "authParameters": HIDDEN,
            "clientId": client,
        });
        let id = match &answer {
            Ok(answer) => answer.request_id(),
            Err(error) => error.request_id(),
        };
        let id = id.unwrap_or_default();
        let mut event = Event::of_call(&identity, "cognito-idp", "InitiateAuth", &request, id);
        let detail = &mut event.json["detail"];
        detail["sourceIPAddress"] = address.into();
        if let Some(subject) = &nurse.subject {
            detail["additionalEventData"] = json!({"sub": subject});
        }
        let outcome = match answer {
            Ok(answer) => {
                detail["responseElements"] = json!({
                    "challengeParameters": HIDDEN,
                    "authenticationResult": HIDDEN,
                });
                let given = answer.authentication_result;
                let given = given.context("Cognito asks for more than a password")?;
                Ok(Tokens {
                    access: given.access_token.context("no access token")?,
                    refresh: given.refresh_token.context("no refresh token")?,
                })
            }
            Err(SdkError::ServiceError(refusal)) => {
                let refusal = refusal.err();
                let code = refusal.code().unwrap_or_default();
                let message = refusal.message().unwrap_or_default();
                detail["errorCode"] = code.into();
                detail["errorMessage"] = message.into();
                Err(format!("{code}: {message}"))
            }
            Err(error) => return Err(error).context("cognito-idp:InitiateAuth"),
        };
        Ok(SignIn { event, outcome })
    }

    /// Asks for new tokens by a refresh token; the error by which Cognito refused, if it did.
    pub(crate) async fn refresh(&self, tokens: &Tokens) -> Result<Option<String>> {
        let answer = Clients::anonymous(&self.config)
            .cognito
            .initiate_auth()
            .auth_flow(AuthFlowType::RefreshTokenAuth)
            .client_id(self.crm("UserPoolClientIds")?)
            .auth_parameters("REFRESH_TOKEN", &tokens.refresh)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(None),
            Err(SdkError::ServiceError(refusal)) => {
                Ok(Some(refusal.err().code().unwrap_or_default().to_owned()))
            }
            Err(error) => Err(error).context("cognito-idp:InitiateAuth"),
        }
    }

    /// Asks the API for the record of a patient from `address`, with a token of `nurse` or none, and
    /// answers the HTTP status.
    pub(crate) async fn read_by_api(
        &self,
        nurse: &Nurse,
        token: Option<&str>,
        patient: &str,
        address: &str,
    ) -> Result<u16> {
        let url = self.crm("ApiUrl")?;
        let parts = url
            .strip_prefix("https://")
            .and_then(|url| url.split_once('/'));
        let (host, stage) = parts.context(format!("{url} is no API's"))?;
        let api = host.split('.').next().unwrap_or_default();
        let path = format!("/{stage}/patients/{patient}");
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let headers = format!(
            "X-Forwarded-For: {address}\r\n{}",
            token.unwrap_or_default()
        );
        let status = self.emulator.call_api(api, &path, &headers).await?;
        let refused = matches!(status, 401 | 403);
        let call = ApiCall {
            subject: nurse.subject.as_deref().filter(|_| !refused),
            path: &path,
            address,
            status,
        };
        self.write_access_log(&call).await?;
        Ok(status)
    }

    /// API Gateway's part, which the emulator leaves out: a line of the access log.
    async fn write_access_log(&self, call: &ApiCall<'_>) -> Result<()> {
        let now = Timestamp::now();
        let event = InputLogEvent::builder()
            .timestamp(now.as_millisecond())
            .message(call.line(now)?);
        self.aws
            .logs
            .put_log_events()
            .log_group_name(self.crm("ApiLogGroupName")?)
            .log_stream_name(API_LOG_STREAM)
            .log_events(event.build().context("a line of a log")?)
            .send()
            .await
            .context("logs:PutLogEvents")
            .map(|_| ())
    }
}

/// A call of the API.
struct ApiCall<'a> {
    subject: Option<&'a str>,
    path: &'a str,
    address: &'a str,
    status: u16,
}

impl ApiCall<'_> {
    /// What the CRM's template has API Gateway write of it.
    fn line(&self, at: Timestamp) -> Result<String> {
        let template = Template::read(include_str!("../../../infra/crm.yaml"))?;
        let api = template.resource("Api").context("the CRM has no API")?;
        let format = text(&api.properties["AccessLogSetting"]["Format"]);
        let mut line = format.context("the API has no access log")?;
        while let Some((_, rest)) = line.split_once(VARIABLE) {
            let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '.'));
            let name = &rest[..end.unwrap_or(rest.len())];
            let value = match name {
                "requestId" => new_id(),
                "requestTimeEpoch" => at.as_millisecond().to_string(),
                "authorizer.principalId" => self.subject.unwrap_or("-").to_owned(),
                "identity.sourceIp" => self.address.to_owned(),
                "httpMethod" => "GET".to_owned(),
                "resourcePath" => "/patients/{patientId}".to_owned(),
                "path" => self.path.to_owned(),
                "status" => self.status.to_string(),
                _ => {
                    return Err(Error::new(format!(
                        "the API's access log holds {VARIABLE}{name}, which the range does not know"
                    )));
                }
            };
            line = line.replacen(&format!("{VARIABLE}{name}"), &value, 1);
        }
        Ok(line)
    }
}

/// What a variable of an access log's format begins with.
const VARIABLE: &str = "$context.";

/// Where API Gateway's part is written to.
pub(crate) const API_LOG_STREAM: &str = "drill";

/// What CloudTrail writes for what it must not show.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_access_log_says_who_asked_for_which_record_from_where() {
        let call = |subject| ApiCall {
            subject,
            path: "/v1/patients/P-1001",
            address: "192.0.2.10",
            status: 200,
        };
        let read = |subject| {
            let line = call(subject).line(Timestamp::UNIX_EPOCH).unwrap();
            serde_json::from_str::<Value>(&line).unwrap()
        };
        let line = read(Some("6261a5a2"));
        let said = ["sub", "sourceIp", "method", "path", "status"];
        assert_eq!(
            said.map(|field| line[field].as_str().unwrap_or_default()),
            [
                "6261a5a2",
                "192.0.2.10",
                "GET",
                "/v1/patients/P-1001",
                "200"
            ]
        );
        assert_eq!(read(None)["sub"], "-");
    }
}
