//! What an operator recorded, as far as a judgement needs it.

use incident::Recorded;
use log_archive::Archive;
use serde_json::Value;
use trail::Trail;

use crate::call::Effect;

/// What is known beside the event and the configuration; by default nothing is.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What the trail should be.
    pub trail: Fact<Trail>,
    /// What its log archive should be.
    pub archive: Fact<Archive>,
}

/// Something that may have been recorded.
#[derive(Debug, Clone, Default)]
pub enum Fact<T> {
    /// It was.
    Recorded(Box<Recorded<T>>),
    /// It was not, or there is no account to ask.
    #[default]
    Unrecorded,
    /// It may have been, and cannot be read.
    Unreadable,
}

impl<T> Fact<T> {
    /// What it may be: as in the baseline, and as intended; nothing where it is not known.
    pub(crate) fn allowed(&self) -> impl Iterator<Item = &T> {
        let recorded = match self {
            Self::Recorded(recorded) => Some(recorded),
            Self::Unrecorded | Self::Unreadable => None,
        };
        recorded
            .into_iter()
            .flat_map(|recorded| [Some(&recorded.baseline), recorded.intended.as_ref()])
            .flatten()
    }

    /// What by its value does no harm. Where a baseline may say otherwise and cannot be read, a human
    /// has to look.
    pub(crate) fn harmless(&self, why: &str) -> Effect {
        match self {
            Self::Recorded(_) => Effect::Harmless(why.to_owned()),
            Self::Unrecorded => Effect::Harmless(format!("{why} (no baseline to compare with)")),
            Self::Unreadable => Effect::Unclear(format!(
                "{why}, but the baseline could not be read to compare"
            )),
        }
    }

    pub(crate) fn is_recorded(&self) -> bool {
        matches!(self, Self::Recorded(_))
    }
}

/// Which facts [`judge`](crate::judge()) uses for an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Those of the trail.
    pub trail: bool,
    /// Those of its log archive.
    pub archive: bool,
}

impl Asked {
    /// Those that the judgement of `event` uses; for most events none.
    #[must_use]
    pub fn by(event: &Value) -> Self {
        let name = event["detail"]["eventName"].as_str().unwrap_or_default();
        Self {
            trail: matches!(
                name,
                "UpdateTrail" | "PutEventSelectors" | "PutInsightSelectors"
            ),
            archive: matches!(
                name,
                "DeleteBucketPolicy"
                    | "PutBucketPolicy"
                    | "PutBucketLifecycle"
                    | "PutBucketVersioning"
                    | "PutBucketEncryption"
                    | "DeleteBucketEncryption"
                    | "PutKeyPolicy"
                    | "PutRetentionPolicy"
            ),
        }
    }
}
