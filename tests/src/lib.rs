//! Reads the state machines, holds them to their contracts, and drills them on a local AWS.

pub mod asl;
pub mod bench;
pub mod contracts;
pub mod diagram;
pub mod drills;
pub mod judge;
pub mod pattern;
pub mod range;
pub mod template;
