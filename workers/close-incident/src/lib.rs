//! Decides and records how an incident ended.
