//! The incident ledger: one DynamoDB table that remembers what runs do to whom.
//!
//! | item | key | written by |
//! |---|---|---|
//! | incident | `incident#<id>` | `open-incident`, `close-incident` |
//! | claim on an actor | `claim#<actor>` | `open-incident`, `close-incident`, an undo |
//! | hold on a principal or resource | `hold#<resource>`, `<mechanism>` | whatever changes it |
//! | what we wrote over an object | `written#<object>`, `<time> <incident>` | `quarantine-object` |
//! | containments of the last hour | `budget` | `open-incident` |
//! | what was recorded of a trail | `baseline#<trail>`, `trail` or `archive` | `record-baseline` |
//! | how long a trail deviates from it | `deviation#<trail>`, `episode` | `check-trails` |
//! | what one heartbeat leaves for the next | `deviation#<trail>`, `heartbeat` | `check-trails` |
//! | attempt to sign in | `sign-ins#<series>`, `<time> <event>` | `tally-sign-ins` |
//! | claim on an attack on the sign-in | `sign-ins#<series>`, `claim#<kind>` | `tally-sign-ins` |
//! | such attacks at once | `sign-ins#<pool>/answered`, `<window>` | `tally-sign-ins` |
//! | message already sent | `told#<message>` | `notify` |
//! | block of a network | `block#v4` or `block#v6`, `<network>` | `block-ip`, `sweep-blocks` |
//! | a network's last block, once expired | `block#last#<network>`, `last` | `block-ip`, `sweep-blocks` |
//! | who writes an IP set, and how far it is | `block#set#<set>`, `writer` | `block-ip`, `sweep-blocks` |
//! | what we put into it | `block#set#<set>`, `entries` | `block-ip`, `sweep-blocks` |
//!
//! Containment never waits for its own bookkeeping: every call is short ([`worker::LEDGER`]), and
//! [`Holds`] carries on without the ledger, handing the undo to the caller instead.

mod baselines;
mod blocks;
mod budget;
mod claims;
mod episodes;
mod holds;
mod incidents;
mod item;
mod notes;
mod sign_ins;
mod undo;
mod written;

pub use baselines::{Part, Record};
pub use blocks::{Block, Entries, Fill, Known, SetState};
pub use budget::Budget;
pub use claims::{Claim, Claimant};
pub use holds::{Done, Hold, Holds, Release};
pub use sign_ins::{Answered, Attempt, Counted, Series};
pub use undo::Undo;
pub use written::{Held, Source, Writing};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use incident::{BadSetting, Settings};

/// The ledger's table.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
}

impl Ledger {
    /// The ledger in `table`.
    #[must_use]
    pub fn new(client: Client, table: &str) -> Self {
        Self {
            client,
            table: table.to_owned(),
        }
    }

    /// The ledger named by the setting `LEDGER_TABLE`, with short limits on every call.
    ///
    /// # Errors
    /// When the setting is missing.
    pub fn from_settings<F>(config: &SdkConfig, settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let table = settings.required::<String>("LEDGER_TABLE")?;
        Ok(Self::new(Client::new(&worker::LEDGER.on(config)), &table))
    }
}

#[cfg(test)]
mod tests;
