//! Reads the state machines, holds them to their contracts, and drills them on a local AWS.
