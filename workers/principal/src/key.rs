//! Access keys, as people and the ledger call them.

/// The id of an access key without its middle, for whatever a human reads.
#[must_use]
pub fn masked(id: &str) -> String {
    let (first, rest) = id.split_at_checked(4).unwrap_or_default();
    let last = rest.get(rest.len().saturating_sub(4)..).unwrap_or_default();
    format!("{first}…{last}")
}

/// The hold that keeps what an access key was: the same for everybody who turns keys off, so that
/// nobody takes another's work for the state before.
#[must_use]
pub fn key_hold(id: &str) -> String {
    format!("access-key/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_key_shows_four_characters_at_each_end() {
        assert_eq!(masked("AKIAIOSFODNN7EXAMPLE"), "AKIA…MPLE");
        assert_eq!(masked("AKIAXYZ"), "AKIA…XYZ");
        assert_eq!(masked("é"), "…");
        assert_eq!(masked(""), "…");
    }
}
