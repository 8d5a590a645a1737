//! What an incident is, and how an event becomes one. Nothing in this crate calls AWS.
//!
//! [`judge()`] decides whether an event deserves a response; [`Tiers::containment`] decides how far
//! its actor may be contained. Everything else is a type that is parsed once, at the edge.

mod actor;
mod api_call;
mod arn;
mod closing;
mod containment;
mod judge;
mod settings;
mod text;
mod tiers;
mod types;

pub use actor::{Actor, Session, written};
pub use api_call::{ApiCall, CallError, Unreadable};
pub use arn::{Arn, BadArn, Principal, RoleArn, TrailArn, UserArn};
pub use closing::Closing;
pub use containment::Containment;
pub use judge::{Escalation, Verdict, Watch, judge};
pub use settings::{BadSetting, Settings};
pub use text::{Text, cut};
pub use tiers::Tiers;
pub use types::{
    BadIncidentId, EventRef, Incident, IncidentId, LARGEST_INCIDENT, Mode, Runbook, Severity,
    Source, Target,
};
