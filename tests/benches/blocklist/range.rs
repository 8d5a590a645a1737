//! The drills' way to an environment of Python, which is no part of what the crate offers.

#![allow(dead_code, unreachable_pub, unused_imports)] // The drills need more of it.

#[path = "../../src/range/error.rs"]
pub(crate) mod error;
#[path = "../../src/range/places.rs"]
pub(crate) mod places;
#[path = "../../src/range/progress.rs"]
pub(crate) mod progress;
#[path = "../../src/range/python.rs"]
pub(crate) mod python;
