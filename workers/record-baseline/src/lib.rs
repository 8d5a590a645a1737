//! Records what a healthy trail looks like.
