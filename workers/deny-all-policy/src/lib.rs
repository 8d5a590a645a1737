//! Denies a principal everything.
