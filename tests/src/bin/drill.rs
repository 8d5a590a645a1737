//! `cargo drill`.

fn main() {}
