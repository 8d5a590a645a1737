//! What an incident is, and who may be contained. Nothing in this crate calls AWS.
//!
//! [`Tiers::containment`] decides how far an actor may be contained. Everything else is a type that
//! is parsed once, at the edge.

mod actor;
mod api_call;
mod arn;
mod closing;
mod containment;
mod deviation;
mod escalation;
mod grant;
mod name;
mod network;
mod object;
mod recorded;
mod settings;
mod sign_in;
mod text;
mod tiers;
mod types;

pub use actor::{Actor, Session, written};
pub use api_call::{ApiCall, CallError, Unreadable};
pub use arn::{
    Arn, BadArn, Grantee, GroupArn, IpSetArn, KeyArn, Principal, RoleArn, TableArn, TrailArn,
    UserArn, WebAclArn,
};
pub use closing::Closing;
pub use containment::Containment;
pub use deviation::Deviation;
pub use escalation::Escalation;
pub use grant::Grant;
pub use network::{BadNetwork, Family, Network, NeverBlock, addresses};
pub use object::{BadBucketName, BadObjectKey, BadVersionId, BucketName, ObjectKey, VersionId};
pub use recorded::Recorded;
pub use settings::{BadSetting, Settings};
pub use sign_in::{
    BadClientId, BadSubject, BadUserPoolId, ClientId, Outcome, SignIn, Subject, UserPoolId,
};
pub use text::{Text, cut};
pub use tiers::{RESPONDER_ROLES, Tiers, responder_roles};
pub use types::{
    Accomplice, BadIncidentId, EventRef, Incident, IncidentId, LARGEST_INCIDENT, Mode, Runbook,
    Severity, Source, Target,
};
