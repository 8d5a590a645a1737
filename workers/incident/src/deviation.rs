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
