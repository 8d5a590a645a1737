//! One AWS API call, as CloudTrail records it and EventBridge delivers it.

use jiff::Timestamp;
use serde_json::Value;

use crate::{Actor, Source};

/// `AWS API Call via CloudTrail`.
#[derive(Debug, Clone)]
pub struct ApiCall {
    /// CloudTrail's id of the event.
    pub id: String,
    /// The API's name.
    pub name: String,
    /// The service, `cloudtrail.amazonaws.com`.
    pub service: String,
    /// When it was made.
    pub occurred_at: Timestamp,
    /// The region that answered it.
    pub region: String,
    /// The account that recorded it.
    pub account: String,
    /// Who made it.
    pub actor: Actor,
    /// The AWS service that made it for the actor.
    pub invoked_by: Option<String>,
    /// Where it came from.
    pub source_address: Option<Source>,
    /// The request's parameters; `null` when CloudTrail left them out.
    pub request: Value,
    /// Why it failed; none when it succeeded.
    pub error: Option<CallError>,
}

/// The error AWS answered.
#[derive(Debug, Clone)]
pub struct CallError {
    /// Its code, `AccessDenied`.
    pub code: String,
    /// Its message.
    pub message: String,
}

impl CallError {
    /// Whether the call was refused for lack of permission.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        ["AccessDenied", "UnauthorizedOperation"]
            .iter()
            .any(|denied| self.code.contains(denied))
    }
}

/// An event that is no API call, or lacks what makes it one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another kind of event.
    #[error("not an API call recorded by CloudTrail")]
    OtherKind,
    /// A field that every such event has is missing or is not what it should be.
    #[error("the event's `{0}` is missing or cannot be read")]
    Field(&'static str),
}

impl ApiCall {
    /// Reads an EventBridge event. Lenient wherever a real event was seen to vary.
    ///
    /// # Errors
    /// When it is another kind of event, or has no id, name, service or time.
    pub fn read(event: &Value) -> Result<Self, Unreadable> {
        if event["detail-type"] != "AWS API Call via CloudTrail" {
            return Err(Unreadable::OtherKind);
        }
        let detail = &event["detail"];
        let text = |field: &'static str| {
            detail[field]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let required = |field| text(field).ok_or(Unreadable::Field(field));
        let account = text("recipientAccountId")
            .or_else(|| event["account"].as_str().map(str::to_owned))
            .ok_or(Unreadable::Field("recipientAccountId"))?;
        let identity = &detail["userIdentity"];
        Ok(Self {
            id: text("eventID")
                .or_else(|| event["id"].as_str().map(str::to_owned))
                .ok_or(Unreadable::Field("eventID"))?,
            name: required("eventName")?,
            service: required("eventSource")?,
            occurred_at: text("eventTime")
                .or_else(|| event["time"].as_str().map(str::to_owned))
                .and_then(|time| time.parse().ok())
                .ok_or(Unreadable::Field("eventTime"))?,
            region: text("awsRegion")
                .or_else(|| event["region"].as_str().map(str::to_owned))
                .ok_or(Unreadable::Field("awsRegion"))?,
            actor: Actor::of(identity, &account),
            // The console's sign-in is no service that acts for somebody: it is they themselves.
            invoked_by: identity["invokedBy"]
                .as_str()
                .filter(|service| *service != "signin.amazonaws.com")
                .map(str::to_owned),
            source_address: text("sourceIPAddress").map(|address| Source::of(&address)),
            request: detail["requestParameters"].clone(),
            error: text("errorCode").map(|code| CallError {
                code,
                message: text("errorMessage").unwrap_or_default(),
            }),
            account,
        })
    }
}
