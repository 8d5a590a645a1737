//! Where a trail's log files are kept: what its bucket, its key and its log group are, and what
//! they should be.
//!
//! [`look`] asks AWS what is there ([`Found`]); an operator recorded what should be there
//! ([`Archive`]); [`Found::should_be`] and [`Found::deviations`] compare the two. Hardening is no
//! deviation: keeping log files longer, turning versioning on. A policy or an encryption that is
//! not as recorded is one, whatever it allows.
//!
//! Every call on the bucket names the account that must own it, since a bucket's name is free for
//! anybody once the bucket is deleted. Calls on the key go to the key's own region. The bucket and
//! the log group are looked for in the caller's region.
//!
//! **Calls.** `s3:GetBucketPolicy`, `GetLifecycleConfiguration`, `GetBucketVersioning` and
//! `GetEncryptionConfiguration` on the bucket; `kms:DescribeKey` and `GetKeyPolicy` on the key;
//! `logs:DescribeLogGroups`.

mod archive;
mod encryption;
mod found;
mod lifecycle;
mod names;
pub mod policy;
mod read;

pub use archive::{Archive, Versioning};
pub use encryption::Encryption;
pub use found::{Found, KeyState, Property};
pub use lifecycle::{
    Expiration, Lifecycle, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
    NoncurrentTransition, Transition,
};
pub use names::Names;
pub use read::{Clients, look, read};
