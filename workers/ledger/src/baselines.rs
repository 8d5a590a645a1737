//! What was recorded of a trail and its log archive.

use incident::{Recorded, TrailArn};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use worker::Failure;

use crate::{
    Ledger,
    item::{key, text, text_of},
};

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The trail itself.
    Trail,
    /// Where it writes: its bucket, key and log group.
    Archive,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trail => "trail",
            Self::Archive => "archive",
        }
    }
}

impl Ledger {
    /// What is recorded of one part of a trail; none when nobody has recorded it.
    ///
    /// # Errors
    /// When the ledger cannot be read; [`Failure::Rejected`] when what it holds is no such record.
    pub async fn recorded<T: DeserializeOwned>(
        &self,
        trail: &TrailArn,
        part: Part,
    ) -> Result<Option<Recorded<T>>, Failure> {
        let Some(item) = self.get(&pk(trail), part.as_str()).await? else {
            return Ok(None);
        };
        let unreadable = |why: &dyn std::fmt::Display| {
            let part = part.as_str();
            Failure::Rejected(format!(
                "the baseline of the {part} is not readable: {why}; record it anew"
            ))
        };
        let read = |json: &str| serde_json::from_str(json).map_err(|error| unreadable(&error));
        let baseline = text_of(&item, "baseline").ok_or_else(|| unreadable(&"there is none"))?;
        Ok(Some(Recorded {
            baseline: read(baseline)?,
            intended: text_of(&item, "intended").map(read).transpose()?,
        }))
    }

    /// Replaces what is recorded of one part of a trail; `by` names the run that recorded it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn record<T: Serialize>(
        &self,
        trail: &TrailArn,
        part: Part,
        recorded: &Recorded<T>,
        by: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let json = |value: &T| {
            serde_json::to_string(value)
                .map(text)
                .map_err(|error| Failure::Rejected(format!("the baseline is not JSON: {error}")))
        };
        let mut item = key(&pk(trail), part.as_str());
        item.insert("baseline".to_owned(), json(&recorded.baseline)?);
        if let Some(intended) = &recorded.intended {
            item.insert("intended".to_owned(), json(intended)?);
        }
        item.insert("recordedBy".to_owned(), text(by));
        item.insert("recordedAt".to_owned(), text(now.to_string()));
        self.put(item).await
    }
}

fn pk(trail: &TrailArn) -> String {
    format!("baseline#{trail}")
}
