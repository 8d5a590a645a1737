//! Drills.

fn main() {}
