//! Makes a trail equal its baseline, logging first.
