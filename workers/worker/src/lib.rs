//! What every Tourniquet worker promises.
//!
//! A worker is a small Lambda function that does one thing to an incident. It takes one JSON
//! payload, answers with one JSON object or one [`Failure`], finishes before Lambda would kill
//! it, and writes one log line that holds the incident's id, the worker and the outcome, and
//! nothing that came from a patient, a key or a body.

mod aws;
mod failure;
mod input;
mod serve;

pub use aws::{CONTROL, LEDGER, Limits, sdk_config};
pub use failure::{ErrorOutput, Failure};
pub use input::parse;
pub use lambda_runtime::Error;
pub use serve::{answer, serve};

use std::future::Future;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// One single-purpose responder: a payload in, an answer or a [`Failure`] out.
///
/// Running a worker twice with the same payload is always safe: "already so" is an answer with
/// `changed: false`, not an error.
pub trait Worker {
    /// The payload; its JSON schema is the contract that the state machines are tested against.
    type Input: DeserializeOwned + JsonSchema;
    /// The answer.
    type Output: Serialize + JsonSchema;

    /// Does the work.
    ///
    /// # Errors
    /// A [`Failure`], whose name the state machine catches or retries.
    fn run(&self, input: Self::Input) -> impl Future<Output = Result<Self::Output, Failure>>;
}
