//! Our own rules on EventBridge: what was deployed, and what is there now.
//!
//! The truth is the template that was deployed: [`DEPLOYED`] is its rules as JSON, compiled in, and a
//! contract test holds the two equal. A recording would go stale at every deployment, and put old
//! rules back.
//!
//! **Calls.** `events:DescribeRule` and `ListTargetsByRule`.

mod compare;
mod rules;

pub use compare::{Difference, Drift, drift};
pub use rules::{DEPLOYED, Rule, Target, rules};
