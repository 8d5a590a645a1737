//! One face for IAM users and roles, and the policies by which Tourniquet denies them.
