//! Something that is not as it was recorded or deployed.

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// What it is, for people.
    pub what: String,
    /// What a human does about it, with the call where there is one; none where a worker repairs it.
    pub remedy: Option<String>,
    /// What tells it from another deviation of the same thing, such as the value that was found: a
    /// second change is a deviation of its own. Never shown to anybody.
    pub state: String,
}

impl Deviation {
    /// What a human reads of it and does about it; none where a worker repairs it.
    #[must_use]
    pub fn for_a_human(&self) -> Option<String> {
        let remedy = self.remedy.as_ref()?;
        Some(format!("{}: {remedy}", self.what))
    }
}
