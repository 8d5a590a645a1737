//! Where a trail's log files are kept: what its bucket, its key and its log group are, and what
//! they should be.
//!
//! [`look`] asks AWS what is there ([`Found`]); an operator recorded what should be there
//! ([`Archive`]); [`Found::should_be`] and [`Found::deviations`] compare the two. Hardening is no
//! deviation: keeping log files or events longer, turning versioning on, encrypting with KMS by the
//! trail's own key or S3's, denying in the bucket's policy what neither CloudTrail nor our own roles
//! do. Anything else in a policy that is not as recorded is one, whatever it allows. A block of
//! public access and an Object Lock are not looked at: they make a bucket stronger only.
//!
//! Every call on the bucket names the account that must own it, since a bucket's name is free for
//! anybody once the bucket is deleted. Calls on the key go to the key's own region, those on the
//! bucket to the region where S3 says that it is. The log group is looked for in the caller's region.
//!
//! **Calls.** `s3:GetBucketPolicy`, `GetLifecycleConfiguration`, `GetBucketVersioning` and
//! `GetEncryptionConfiguration` on the bucket, and `HeadBucket`, which need not be allowed, where no
//! answer says its region; `kms:DescribeKey` and `GetKeyPolicy` on the key;
//! `logs:DescribeLogGroups`.

mod archive;
mod encryption;
mod found;
mod lifecycle;
mod names;
pub mod policy;
mod read;
mod region;

pub use archive::{Archive, Versioning};
pub use encryption::Encryption;
pub use found::{Found, KeyState, Property};
pub use lifecycle::{
    Expiration, Lifecycle, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
    NoncurrentTransition, Transition,
};
pub use names::{Names, Watched};
pub use policy::Delivery;
pub use read::{Clients, look, read};
