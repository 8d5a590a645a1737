//! Whether an event deserves a response. Nothing here calls AWS.
//!
//! [`judge()`] is a pure function of an event, of what is watched ([`Watch`]) and of what an operator
//! recorded and the account answers about it ([`Facts`]; [`Asked`] says which), so that every real
//! shape of an event is a unit test. It never fails: an event that it does not know is ignored, and
//! one that it cannot read is escalated, each with the reason.
//!
//! An attempt to sign in to the CRM is no more than counted here: [`Verdict::Count`] says what.
//!
//! A change of what is watched is judged by what it does. Where a baseline is recorded it is
//! compared with that: as recorded, as intended, or stronger is no tampering. Where nobody has
//! recorded one, it is judged by its values alone, and what they cannot tell is said in the reason.
//! Where one is recorded and cannot be read, what is not plainly tampering is escalated.

mod archive;
mod call;
mod denial;
mod facts;
mod front_door;
mod iam;
mod ours;
mod patients;
mod privilege;
mod rotation;
mod sign_in;
mod site;
mod trail;
mod verdict;
mod volume;
mod watch;

pub use call::judge;
pub use facts::{Answer, Asked, Fact, Facts, GroupPolicies, PolicyVersion};
pub use front_door::FrontDoor;
pub use patients::Patients;
pub use sign_in::SignIns;
pub use site::Site;
pub use verdict::Verdict;
pub use watch::{Ours, Watch};

#[cfg(test)]
mod tests;
