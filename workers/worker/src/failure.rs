//! The closed set of errors that a state machine can see.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use incident::{BadSetting, cut};
use lambda_runtime::Diagnostic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Messages travel into execution histories and notifications, which have limits of their own.
const LONGEST_MESSAGE: usize = 1_500;

/// Why a worker did not do its work. The variant's name is the `errorType` that Step Functions
/// matches in `Retry` and `Catch`; the message is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The payload does not fit; the message names the field.
    #[error("{0}")]
    InvalidInput(String),
    /// The user, role, trail or object is gone.
    #[error("{0}")]
    TargetNotFound(String),
    /// The target must not be touched: root, break-glass, workload, responder, a role that only
    /// AWS may modify, another account's principal.
    #[error("{0}")]
    Protected(String),
    /// Our own role lacks a permission, or an SCP bars it.
    #[error("{0}")]
    AccessDenied(String),
    /// Throttled, timed out, raced: the same call may succeed later.
    #[error("{0}")]
    Transient(String),
    /// Anything else.
    #[error("{0}")]
    Rejected(String),
}

impl Failure {
    /// Every name a state machine may match.
    pub const NAMES: [&str; 6] = [
        "InvalidInput",
        "TargetNotFound",
        "Protected",
        "AccessDenied",
        "Transient",
        "Rejected",
    ];

    /// This failure's name, as a state machine sees it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidInput(_) => "InvalidInput",
            Self::TargetNotFound(_) => "TargetNotFound",
            Self::Protected(_) => "Protected",
            Self::AccessDenied(_) => "AccessDenied",
            Self::Transient(_) => "Transient",
            Self::Rejected(_) => "Rejected",
        }
    }

    /// The same failure with another message, made from the one it has.
    #[must_use]
    pub fn rephrase(mut self, say: impl FnOnce(&str) -> String) -> Self {
        let (Self::InvalidInput(message)
        | Self::TargetNotFound(message)
        | Self::Protected(message)
        | Self::AccessDenied(message)
        | Self::Transient(message)
        | Self::Rejected(message)) = &mut self;
        *message = say(message);
        self
    }

    /// The one that speaks for all of them: a transient one first, since a retry may finish what
    /// is left. None when there is none.
    #[must_use]
    pub fn worst(mut failures: Vec<Self>) -> Option<Self> {
        let transient = |failure: &Self| matches!(failure, Self::Transient(_));
        let worst = failures.iter().position(transient).unwrap_or(0);
        (!failures.is_empty()).then(|| failures.swap_remove(worst))
    }

    /// Classifies what an AWS call answered. `call` names it as IAM would, `iam:AttachUserPolicy`.
    ///
    /// The message holds AWS's error code and message, never the request or the response body.
    pub fn aws<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let class = match error {
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Self::Transient,
            SdkError::DispatchFailure(failure) if failure.is_timeout() || failure.is_io() => {
                Self::Transient
            }
            SdkError::ServiceError(service) => service
                .err()
                .code()
                .and_then(class_of_code)
                .unwrap_or_else(|| class_of_status(service.raw().status().as_u16())),
            _ => Self::Rejected,
        };
        class(cut(&format!("{call}: {}", explain(error)), LONGEST_MESSAGE))
    }
}

impl From<BadSetting> for Failure {
    fn from(setting: BadSetting) -> Self {
        Self::Rejected(setting.to_string())
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self {
            error_type: failure.name().to_owned(),
            error_message: cut(&failure.to_string(), LONGEST_MESSAGE),
        }
    }
}

fn class_of_code(code: &str) -> Option<fn(String) -> Failure> {
    Some(match code {
        "NoSuchBucket"
        | "NoSuchEntity"
        | "NoSuchEntityException"
        | "NotFoundException"
        | "TrailNotFoundException" => Failure::TargetNotFound,
        "UnmodifiableEntity" | "UnmodifiableEntityException" => Failure::Protected,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "InsufficientDependencyServiceAccessPermissionException"
        | "KMSAccessDenied"
        | "KMSAccessDeniedException" => Failure::AccessDenied,
        "ConcurrentModification"
        | "ConcurrentModificationException"
        | "ConflictException"
        | "EntityTemporarilyUnmodifiable"
        | "EntityTemporarilyUnmodifiableException"
        | "InternalError"
        | "InternalErrorException"
        | "InternalFailure"
        | "InternalServerError"
        | "KMSInvalidStateException"
        | "KMSThrottling"
        | "KMSThrottlingException"
        | "OperationAborted"
        | "PriorRequestNotComplete"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceFailure"
        | "ServiceFailureException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "SlowDown"
        | "Throttled"
        | "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "TransactionConflictException"
        | "TransactionInProgressException" => Failure::Transient,
        _ => return None,
    })
}

fn class_of_status(status: u16) -> fn(String) -> Failure {
    match status {
        429 | 500..=599 => Failure::Transient,
        _ => Failure::Rejected,
    }
}

/// The SDK's own `DisplayErrorContext` prints the raw response, body included; this does not.
fn explain<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let SdkError::ServiceError(service) = error {
        let code = service.err().code().unwrap_or("an error without a code");
        return match service.err().message() {
            Some(message) => format!("{code}: {message}"),
            None => code.to_owned(),
        };
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What Step Functions hands to a `Catch`, as later states pass it on to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorOutput {
    /// The error's name: one of [`Failure::NAMES`], or one of Step Functions' or Lambda's own.
    #[serde(rename = "Error", default = "unnamed")]
    pub error: String,
    /// For a failed worker, Lambda's JSON with `errorMessage`; otherwise plain text or nothing.
    #[serde(rename = "Cause", default)]
    pub cause: Option<String>,
}

fn unnamed() -> String {
    "an unnamed error".to_owned()
}

impl ErrorOutput {
    /// One line for people: the error's name and its message.
    #[must_use]
    pub fn explain(&self) -> String {
        #[derive(Deserialize)]
        struct LambdaError {
            #[serde(rename = "errorMessage")]
            message: String,
        }
        let cause = self.cause.as_deref().unwrap_or_default().trim();
        let message = serde_json::from_str::<LambdaError>(cause)
            .map_or_else(|_| cause.to_owned(), |error| error.message);
        if message.is_empty() {
            self.error.clone()
        } else {
            cut(&format!("{}: {message}", self.error), LONGEST_MESSAGE)
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::{
        client::result::ConnectorError,
        http::{Response, StatusCode},
    };
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("service error")]
    struct Answer(ErrorMetadata);

    impl ProvideErrorMetadata for Answer {
        fn meta(&self) -> &ErrorMetadata {
            &self.0
        }
    }

    fn answered(status: u16, code: Option<&str>) -> SdkError<Answer, HttpResponse> {
        let mut meta = ErrorMetadata::builder().message("what AWS said");
        if let Some(code) = code {
            meta = meta.code(code);
        }
        SdkError::service_error(
            Answer(meta.build()),
            Response::new(
                StatusCode::try_from(status).unwrap(),
                SdkBody::from("the raw body, with a secret"),
            ),
        )
    }

    #[test]
    fn a_code_decides_the_class() {
        for (code, name) in [
            ("NoSuchEntity", "TargetNotFound"),
            ("TrailNotFoundException", "TargetNotFound"),
            ("NoSuchBucket", "TargetNotFound"),
            ("NotFoundException", "TargetNotFound"),
            ("UnmodifiableEntity", "Protected"),
            ("AccessDenied", "AccessDenied"),
            ("AccessDeniedException", "AccessDenied"),
            ("ThrottlingException", "Transient"),
            ("ConcurrentModification", "Transient"),
            ("EntityTemporarilyUnmodifiable", "Transient"),
            ("ConflictException", "Transient"),
            ("KMSInvalidStateException", "Transient"),
            ("OperationAborted", "Transient"),
            ("LimitExceeded", "Rejected"),
            ("MalformedPolicyDocument", "Rejected"),
        ] {
            let failure = Failure::aws("iam:Call", &answered(400, Some(code)));
            assert_eq!(failure.name(), name, "{code}");
            assert!(Failure::NAMES.contains(&failure.name()));
        }
    }

    #[test]
    fn a_transient_failure_speaks_for_all() {
        let (denied, busy) = (
            Failure::AccessDenied("no".to_owned()),
            Failure::Transient("later".to_owned()),
        );
        assert_eq!(
            Failure::worst(vec![denied.clone(), busy.clone()]),
            Some(busy)
        );
        assert_eq!(Failure::worst(vec![denied.clone()]), Some(denied));
        assert_eq!(Failure::worst(vec![]), None);
    }

    #[test]
    fn without_a_known_code_the_status_decides() {
        for (status, name) in [
            (500, "Transient"),
            (503, "Transient"),
            (429, "Transient"),
            (400, "Rejected"),
        ] {
            assert_eq!(
                Failure::aws("iam:Call", &answered(status, None)).name(),
                name
            );
        }
    }

    #[test]
    fn what_never_reached_aws_can_be_tried_again() {
        let slow = SdkError::<Answer, HttpResponse>::timeout_error("too slow");
        assert_eq!(Failure::aws("iam:Call", &slow).name(), "Transient");
        let refused = SdkError::<Answer, HttpResponse>::dispatch_failure(ConnectorError::io(
            std::io::Error::other("connection refused").into(),
        ));
        let failure = Failure::aws("iam:Call", &refused);
        assert_eq!(failure.name(), "Transient");
        assert!(
            failure.to_string().contains("connection refused"),
            "{failure}"
        );
        let ours = SdkError::<Answer, HttpResponse>::construction_failure("no region");
        assert_eq!(Failure::aws("iam:Call", &ours).name(), "Rejected");
    }

    #[test]
    fn the_message_names_the_call_and_never_holds_the_body() {
        let failure = Failure::aws(
            "iam:AttachUserPolicy",
            &answered(409, Some("LimitExceeded")),
        );
        insta::assert_snapshot!(failure, @"iam:AttachUserPolicy: LimitExceeded: what AWS said");
    }

    #[test]
    fn a_long_message_is_cut_with_a_mark() {
        let diagnostic = Diagnostic::from(Failure::Rejected("é".repeat(5_000)));
        assert_eq!(diagnostic.error_type, "Rejected");
        assert!(diagnostic.error_message.ends_with("… [cut]"));
        assert!(diagnostic.error_message.chars().count() < LONGEST_MESSAGE + 10);
    }

    #[test]
    fn a_caught_error_reads_as_one_line() {
        let lambda = ErrorOutput {
            error: "TargetNotFound".to_owned(),
            cause: Some(
                r#"{"errorType":"TargetNotFound","errorMessage":"no such user"}"#.to_owned(),
            ),
        };
        assert_eq!(lambda.explain(), "TargetNotFound: no such user");
        let plain = ErrorOutput {
            error: "States.Timeout".to_owned(),
            cause: None,
        };
        assert_eq!(plain.explain(), "States.Timeout");
    }
}
