//! Validates and opens an incident; claims its actor.
