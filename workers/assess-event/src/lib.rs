//! Judges an event: respond, escalate or ignore.
