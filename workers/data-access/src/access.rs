//! What was done to a table.

use std::fmt;

use crate::condition::Condition;

/// What was done to a table. It names no item, in `Debug` and `Display` neither.
#[derive(Debug, Clone)]
pub enum Access {
    /// Items were read or written.
    Items(Items),
    /// Changes of items were read from the table's stream.
    Stream,
    /// The table was copied to where nobody watches.
    Transfer(Transfer),
    /// Others were let in by the table's or its stream's resource policy.
    Share(Reach),
    /// The table was deleted.
    Deletion,
}

/// Items that were read or written.
#[derive(Debug, Clone, Default)]
pub struct Items {
    pub(crate) read: Vec<Condition>,
    pub(crate) written: Vec<Condition>,
    pub(crate) manner: Manner,
}

/// What is to be said of how items were read, the most telling last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Manner {
    #[default]
    Picked,
    Counted,
    Probed,
    Whole,
}

/// How a table was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// To S3.
    Export,
    /// Into a backup.
    Backup,
    /// From a backup or a point in time, into another table.
    Restore,
    /// To another region, as it is and as it changes.
    Replica,
    /// To Kinesis, as it changes.
    Kinesis,
}

/// Whom a resource policy lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Principals of the table's own account only.
    Inside,
    /// Others too.
    Outside,
    /// The record does not say.
    Unsaid,
}

impl Items {
    /// Whether items were read, or may have been.
    #[must_use]
    pub fn reads(&self) -> bool {
        !self.read.is_empty()
    }

    /// Whether items were written or deleted, or may have been.
    #[must_use]
    pub fn writes(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether the call took all there is in the table or an index, or one page or segment of that.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.manner == Manner::Whole
    }

    /// Whether items were counted and none of them shown.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.manner == Manner::Counted
    }

    /// Whether it was the first item of all, and nothing else: how the console learns a table's
    /// attributes whenever somebody opens it.
    #[must_use]
    pub fn probes(&self) -> bool {
        self.manner == Manner::Probed && !self.writes()
    }
}

impl fmt::Display for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.manner, self.reads(), self.writes()) {
            (Manner::Whole, _, false) => "read as a whole",
            (Manner::Whole, _, true) => "read as a whole and written",
            (Manner::Counted, _, false) => "counted",
            (_, true, true) => "read and written",
            (_, false, true) => "written",
            (_, _, false) => "read",
        })
    }
}

/// Says it after "the table was".
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Items(items) => return items.fmt(f),
            Self::Stream => "read through its stream",
            Self::Transfer(Transfer::Export) => "exported to S3",
            Self::Transfer(Transfer::Backup) => "backed up",
            Self::Transfer(Transfer::Restore) => "restored into another table",
            Self::Transfer(Transfer::Replica) => "replicated to another region",
            Self::Transfer(Transfer::Kinesis) => "streamed to Kinesis",
            Self::Share(Reach::Outside) => "opened to others by its resource policy",
            Self::Share(Reach::Inside) => {
                "opened to principals of this account by its resource policy"
            }
            Self::Share(Reach::Unsaid) => "given a resource policy that the event does not show",
            Self::Deletion => "deleted",
        })
    }
}
