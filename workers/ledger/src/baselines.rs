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

/// What is recorded of one part of a trail, as it is written: it may not be readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    part: Part,
    baseline: Option<String>,
    intended: Option<String>,
    by: Option<String>,
    at: Option<String>,
}

impl Record {
    /// What it says.
    ///
    /// # Errors
    /// [`Failure::Rejected`] when it is no such record.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Recorded<T>, Failure> {
        let unreadable = |why: &dyn std::fmt::Display| {
            let part = self.part.as_str();
            Failure::Rejected(format!(
                "the baseline of the {part} is not readable: {why}; record it anew"
            ))
        };
        let read = |json: &String| serde_json::from_str(json).map_err(|error| unreadable(&error));
        let baseline = self.baseline.as_ref();
        let baseline = baseline.ok_or_else(|| unreadable(&"there is none"))?;
        Ok(Recorded {
            baseline: read(baseline)?,
            intended: self.intended.as_ref().map(read).transpose()?,
        })
    }

    /// The execution that recorded it, as far as it says.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// When it was recorded, as far as it says.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.at.as_ref()?.parse().ok()
    }

    /// All that is written in it, by which it can be told from another.
    #[must_use]
    pub fn written(&self) -> [&str; 4] {
        [&self.baseline, &self.intended, &self.by, &self.at]
            .map(|written| written.as_deref().unwrap_or_default())
    }
}

impl Ledger {
    /// What is recorded of one part of a trail, readable or not; none when nobody has recorded it.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn record_of(&self, trail: &TrailArn, part: Part) -> Result<Option<Record>, Failure> {
        let item = self.get(&pk(trail), part.as_str()).await?;
        Ok(item.map(|item| {
            let written = |name| text_of(&item, name).map(str::to_owned);
            Record {
                part,
                baseline: written("baseline"),
                intended: written("intended"),
                by: written("recordedBy"),
                at: written("recordedAt"),
            }
        }))
    }

    /// What is recorded of one part of a trail; none when nobody has recorded it.
    ///
    /// # Errors
    /// When the ledger cannot be read; [`Failure::Rejected`] when what it holds is no such record.
    pub async fn recorded<T: DeserializeOwned>(
        &self,
        trail: &TrailArn,
        part: Part,
    ) -> Result<Option<Recorded<T>>, Failure> {
        let record = self.record_of(trail, part).await?;
        record.map(|record| record.read()).transpose()
    }

    /// Replaces what is recorded of one part of a trail; `by` is the execution that
    /// records it.
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
