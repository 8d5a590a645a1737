//! Ends a principal's keys and sessions.
