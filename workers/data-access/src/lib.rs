//! What a DynamoDB call did to a table, as CloudTrail records it. Nothing here calls AWS.
//!
//! [`aim()`] says whether a call was aimed at a table, [`access()`] what it did there, and [`Decoys`]
//! whether that was to a decoy. All of them are total: what cannot be read is `Unsaid`, `Possibly` or
//! nothing.
//!
//! **Understood.** Items read and written by the classic calls, by transactions and by `PartiQL`; streams;
//! exports, backups, restores, replicas and Kinesis; resource policies; the table's deletion. A table
//! is known by the record's resources (its indexes, streams and backups are its own), by a name or an
//! ARN in the request, by a `PartiQL` statement, and by the message of a denial.
//!
//! **A write reads** when it asks for old or new values. So does a *failed* conditional write that asks
//! for the item in its way (`ReturnValuesOnConditionCheckFailure`). A condition check reads: its
//! outcome tells what the item holds. Every other failed call did nothing.
//!
//! **What is not recorded.** CloudTrail writes no answer, so nothing tells which items came back. It
//! leaves out requests above 100 KB, and the values of what is no key. So what a call read is a
//! condition, true, false or unknown of a decoy.
//!
//! **Nothing leaks.** A key can be a patient's identifier and a decoy's must stay unknown, so no type
//! here shows either in `Debug` or `Display`, or can be serialized.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/understanding-ddb-log-entries.html>

mod access;
mod call;
mod condition;
mod decoys;
mod items;
mod partiql;
mod policy;
mod request;
mod scalar;

pub use access::{Access, Items, Reach, Transfer};
pub use call::{Aim, access, aim};
pub use decoys::{BadDecoys, Certainty, Decoys};

#[cfg(test)]
mod tests;
