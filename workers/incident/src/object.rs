//! S3 objects, named.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::name_of;

name_of!(
    /// A bucket.
    BucketName, 255, |text| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    },
    "expected the name of a bucket", BadBucketName
);
name_of!(
    /// An object's key: up to 1,024 bytes of UTF-8, any characters. What people read shows control
    /// characters escaped.
    ObjectKey, 1_024, |_| true, "expected an object's key of 1 to 1,024 bytes", BadObjectKey
);
name_of!(
    /// A version of an object. `null` is one too: that of a bucket without versioning.
    VersionId, 1_024, |text| !text.contains(|c: char| c.is_control() || c.is_whitespace()),
    "expected the id of an object's version", BadVersionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_any_text_of_up_to_a_kilobyte() {
        for key in ["/lead", "a b+c%20/é?versionId=1", "\u{1}", &"é".repeat(512)] {
            assert_eq!(key.parse::<ObjectKey>().unwrap().as_str(), key);
        }
        for wrong in ["", &"é".repeat(513)] {
            assert!(wrong.parse::<ObjectKey>().is_err());
        }
    }

    #[test]
    fn people_see_control_characters_escaped() {
        let key: ObjectKey = "a\nb \u{1b}[31m".parse().unwrap();
        assert_eq!(key.to_string(), r"a\nb \u{1b}[31m");
    }

    #[test]
    fn a_bucket_and_a_version_are_plain_names() {
        assert!("clinic-site.example".parse::<BucketName>().is_ok());
        assert!("a/b".parse::<BucketName>().is_err());
        assert!("null".parse::<VersionId>().is_ok());
        assert!("a b".parse::<VersionId>().is_err());
    }
}
