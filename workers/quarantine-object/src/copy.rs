//! Copies of one version, with everything that belongs to it, and the proof that they are.

use aws_sdk_s3::{
    config::Builder,
    error::ProvideErrorMetadata,
    operation::head_object::HeadObjectOutput,
    types::{
        AnnotationDirective, ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload,
        CompletedPart, MetadataDirective, ServerSideEncryption, StorageClass, TaggingDirective,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout_at};
use worker::Failure;

use crate::{
    encode,
    s3::{Found, Place, Refusal, S3, bytes, made, once, refusal},
};

/// `CopyObject` takes 5 GB.
const ONE_CALL: u64 = 5_000_000_000;

/// An upload takes parts of up to 5 GiB; smaller ones are copied side by side.
const PART: u64 = 1 << 30;
const AT_ONCE: usize = 4;

/// What four parts at a time copy within a worker's 15 minutes, at some 300 MB a second.
pub(crate) const LARGEST: u64 = 200 << 30;

/// When to write a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When<'a> {
    Always,
    /// While what is there has this entity tag.
    Matches(&'a str),
    /// While nothing is there.
    Absent,
}

impl<'a> When<'a> {
    /// How often S3 may be asked.
    fn attempts(self) -> Builder {
        match self {
            Self::Always => Builder::new(),
            Self::Matches(_) | Self::Absent => once(),
        }
    }

    fn headers(self) -> (Option<&'a str>, Option<&'static str>) {
        match self {
            Self::Always => (None, None),
            Self::Matches(etag) => (Some(etag), None),
            Self::Absent => (None, Some("*")),
        }
    }
}

/// Why a copy is known to hold what its source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// S3 computed the same checksum of both.
    Checksum(&'static str),
    /// Both have the same MD5 sum: each is one part and not encrypted with a KMS key.
    Md5,
    /// Nothing but their size can be compared: S3 has no checksum of the whole source.
    Size,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Checksum(name) => write!(f, "the same {name} checksum"),
            Self::Md5 => f.write_str("the same MD5 sum"),
            Self::Size => f.write_str("the same size; S3 keeps no checksum of the whole source"),
        }
    }
}

type Checksum = fn(&HeadObjectOutput) -> Option<&str>;

/// What S3 computes of whole objects, by the name people know it by.
const CHECKSUMS: [(&str, ChecksumAlgorithm, Checksum); 5] = [
    ("CRC-64/NVME", ChecksumAlgorithm::Crc64Nvme, |head| {
        head.checksum_crc64_nvme()
    }),
    ("SHA-256", ChecksumAlgorithm::Sha256, |head| {
        head.checksum_sha256()
    }),
    ("SHA-1", ChecksumAlgorithm::Sha1, |head| {
        head.checksum_sha1()
    }),
    ("CRC-32C", ChecksumAlgorithm::Crc32C, |head| {
        head.checksum_crc32_c()
    }),
    ("CRC-32", ChecksumAlgorithm::Crc32, |head| {
        head.checksum_crc32()
    }),
];

/// The checksum of a whole object: that of parts ends in their number.
fn whole(head: &HeadObjectOutput, checksum: Checksum) -> Option<&str> {
    checksum(head).filter(|sum| !sum.contains('-'))
}

fn md5(head: &HeadObjectOutput) -> Option<&str> {
    let plain = matches!(
        head.server_side_encryption(),
        None | Some(ServerSideEncryption::Aes256)
    );
    let etag = head.e_tag().filter(|etag| !etag.contains('-'));
    etag.filter(|_| plain && head.sse_customer_algorithm().is_none())
}

/// Whether two objects hold the same bytes, as far as S3 can tell; none when they do not.
pub(crate) fn same(one: &HeadObjectOutput, other: &HeadObjectOutput) -> Option<Proof> {
    if one.content_length() != other.content_length() {
        return None;
    }
    for (name, _, checksum) in CHECKSUMS {
        if let (Some(one), Some(other)) = (whole(one, checksum), whole(other, checksum)) {
            return (one == other).then_some(Proof::Checksum(name));
        }
    }
    match (md5(one), md5(other)) {
        (Some(one), Some(other)) => (one == other).then_some(Proof::Md5),
        _ => Some(Proof::Size),
    }
}

/// The checksum to ask of a copy: the source's own, so that the two can be compared.
fn algorithm(head: &HeadObjectOutput) -> Option<ChecksumAlgorithm> {
    CHECKSUMS
        .into_iter()
        .find(|(_, _, checksum)| whole(head, *checksum).is_some())
        .map(|(_, algorithm, _)| algorithm)
}

/// Of parts, S3 combines only these into the checksum of the whole.
fn algorithm_of_parts(head: &HeadObjectOutput) -> ChecksumAlgorithm {
    match algorithm(head) {
        Some(crc @ (ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32C)) => crc,
        _ => ChecksumAlgorithm::Crc64Nvme,
    }
}

/// One copy to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy<'a> {
    pub(crate) from: Place<'a>,
    pub(crate) head: &'a HeadObjectOutput,
    pub(crate) to: Place<'a>,
    pub(crate) when: When<'a>,
    /// Whether it keeps the source's storage class.
    pub(crate) keep_class: bool,
    /// Until when parts, or evidence, may take.
    pub(crate) deadline: Instant,
}

impl Copy<'_> {
    fn source(&self) -> String {
        let from = self.from;
        encode::copy_source(from.bucket.as_str(), from.key, from.version)
    }

    fn class(&self) -> Option<StorageClass> {
        let archived = |class: &StorageClass| {
            matches!(class, StorageClass::Glacier | StorageClass::DeepArchive)
        };
        let class = self.head.storage_class().filter(|class| !archived(class));
        class.filter(|_| self.keep_class).cloned()
    }
}

impl S3 {
    /// Copies one version with its metadata, content type and tags, but neither with its ACL, which
    /// may be an attacker's, nor with its annotations. Encryption is the destination's own. Returns
    /// the identity of the version made, where S3 tells it.
    pub(crate) async fn copy(&self, copy: Copy<'_>) -> Result<Option<String>, Refusal> {
        let size = bytes(copy.head.content_length());
        if size > LARGEST {
            return Err(Refusal::TooLarge);
        }
        if size > ONE_CALL {
            return self.in_parts(copy, size).await;
        }
        let copied = match copy.when {
            When::Always => timeout_at(copy.deadline, self.in_one_call(copy))
                .await
                .unwrap_or(Err(Refusal::OutOfTime)),
            // Whether a conditional write was made must be known.
            When::Matches(_) | When::Absent => self.in_one_call(copy).await,
        };
        match copied {
            // Not every partition has conditions on `CopyObject`; all have them on uploads.
            Ok(None) => self.in_parts(copy, size).await,
            Ok(Some(made)) => Ok(made),
            Err(refusal) => Err(refusal),
        }
    }

    /// None where S3 does not implement the condition.
    async fn in_one_call(&self, copy: Copy<'_>) -> Result<Option<Option<String>>, Refusal> {
        let (matches, absent) = copy.when.headers();
        let copied = self
            .patient
            .copy_object()
            .bucket(copy.to.bucket.as_str())
            .key(copy.to.key)
            .expected_bucket_owner(&self.owner)
            .copy_source(copy.source())
            .expected_source_bucket_owner(&self.owner)
            .set_copy_source_if_match(copy.head.e_tag().map(str::to_owned))
            .set_if_match(matches.map(str::to_owned))
            .set_if_none_match(absent.map(str::to_owned))
            .metadata_directive(MetadataDirective::Copy)
            .tagging_directive(TaggingDirective::Copy)
            .annotation_directive(AnnotationDirective::Exclude)
            .checksum_algorithm(algorithm(copy.head).unwrap_or(ChecksumAlgorithm::Sha256))
            .set_website_redirect_location(copy.head.website_redirect_location.clone())
            .set_storage_class(copy.class())
            .customize()
            .config_override(copy.when.attempts())
            .send()
            .await;
        match copied {
            Ok(copied) => {
                let result = copied.copy_object_result();
                let modified = result.and_then(|result| result.last_modified());
                Ok(Some(made(copied.version_id(), modified)))
            }
            Err(error)
                if error.as_service_error().and_then(|error| error.code())
                    == Some("NotImplemented") =>
            {
                Ok(None)
            }
            Err(error) => Err(refusal("s3:CopyObject", &error)),
        }
    }

    async fn in_parts(&self, copy: Copy<'_>, size: u64) -> Result<Option<String>, Refusal> {
        let upload = self.begin_upload(copy).await?;
        let parts = timeout_at(copy.deadline, self.copy_parts(copy, &upload, size));
        let parts = parts.await.unwrap_or(Err(Refusal::OutOfTime));
        let completed = match parts {
            Ok(parts) => self.complete_upload(copy, &upload, parts).await,
            Err(refusal) => Err(refusal),
        };
        if completed.is_err() {
            self.abort_upload(copy, &upload).await;
        }
        completed
    }

    async fn begin_upload(&self, copy: Copy<'_>) -> Result<String, Refusal> {
        let head = copy.head;
        let created = self
            .client
            .create_multipart_upload()
            .bucket(copy.to.bucket.as_str())
            .key(copy.to.key)
            .expected_bucket_owner(&self.owner)
            .checksum_algorithm(algorithm_of_parts(head))
            .checksum_type(ChecksumType::FullObject)
            .set_metadata(head.metadata.clone())
            .set_cache_control(head.cache_control.clone())
            .set_content_disposition(head.content_disposition.clone())
            .set_content_encoding(head.content_encoding.clone())
            .set_content_language(head.content_language.clone())
            .set_content_type(head.content_type.clone())
            .set_expires(expires(head))
            .set_website_redirect_location(head.website_redirect_location.clone())
            .set_storage_class(copy.class())
            .set_tagging(self.tags(copy).await?)
            .send()
            .await
            .map_err(|error| refusal("s3:CreateMultipartUpload", &error))?;
        created.upload_id.ok_or_else(|| {
            Refusal::Failed(Failure::Rejected(
                "s3:CreateMultipartUpload: no upload id".to_owned(),
            ))
        })
    }

    async fn tags(&self, copy: Copy<'_>) -> Result<Option<String>, Refusal> {
        if copy.head.tag_count().unwrap_or_default() == 0 {
            return Ok(None);
        }
        let tags = self
            .client
            .get_object_tagging()
            .bucket(copy.from.bucket.as_str())
            .key(copy.from.key)
            .set_version_id(copy.from.version.map(str::to_owned))
            .expected_bucket_owner(&self.owner)
            .send()
            .await
            .map_err(|error| refusal("s3:GetObjectTagging", &error))?;
        let tags = tags.tag_set().iter().map(|tag| (tag.key(), tag.value()));
        Ok(Some(encode::tagging(tags)))
    }

    async fn copy_parts(
        &self,
        copy: Copy<'_>,
        upload: &str,
        size: u64,
    ) -> Result<Vec<CompletedPart>, Refusal> {
        let ranges = ranges(size).into_iter().zip(1..);
        let parts = ranges.map(|(range, number)| self.copy_part(copy, upload, range, number));
        let mut parts: Vec<_> = stream::iter(parts)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        parts.sort_by_key(CompletedPart::part_number);
        Ok(parts)
    }

    async fn copy_part(
        &self,
        copy: Copy<'_>,
        upload: &str,
        range: Option<String>,
        number: i32,
    ) -> Result<CompletedPart, Refusal> {
        let copied = self
            .patient
            .upload_part_copy()
            .bucket(copy.to.bucket.as_str())
            .key(copy.to.key)
            .upload_id(upload)
            .part_number(number)
            .expected_bucket_owner(&self.owner)
            .copy_source(copy.source())
            .set_copy_source_range(range)
            .expected_source_bucket_owner(&self.owner)
            .set_copy_source_if_match(copy.head.e_tag().map(str::to_owned))
            .send()
            .await
            .map_err(|error| refusal("s3:UploadPartCopy", &error))?;
        let part = copied.copy_part_result.ok_or_else(|| {
            Refusal::Failed(Failure::Rejected("s3:UploadPartCopy: no result".to_owned()))
        })?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag)
            .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
            .set_checksum_crc32_c(part.checksum_crc32_c)
            .set_checksum_crc32(part.checksum_crc32)
            .build())
    }

    async fn complete_upload(
        &self,
        copy: Copy<'_>,
        upload: &str,
        parts: Vec<CompletedPart>,
    ) -> Result<Option<String>, Refusal> {
        let (matches, absent) = copy.when.headers();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
        let completed = self
            .patient
            .complete_multipart_upload()
            .bucket(copy.to.bucket.as_str())
            .key(copy.to.key)
            .upload_id(upload)
            .expected_bucket_owner(&self.owner)
            .multipart_upload(parts.build())
            .checksum_type(ChecksumType::FullObject)
            .set_if_match(matches.map(str::to_owned))
            .set_if_none_match(absent.map(str::to_owned))
            .customize()
            .config_override(copy.when.attempts())
            .send()
            .await
            .map_err(|error| refusal("s3:CompleteMultipartUpload", &error))?;
        Ok(made(completed.version_id(), None))
    }

    /// What is left of a failed upload costs money until the bucket's lifecycle aborts it.
    async fn abort_upload(&self, copy: Copy<'_>, upload: &str) {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(copy.to.bucket.as_str())
            .key(copy.to.key)
            .upload_id(upload)
            .expected_bucket_owner(&self.owner)
            .send()
            .await;
        if let Err(error) = aborted {
            let failure = Failure::aws("s3:AbortMultipartUpload", &error);
            tracing::warn!(failure = failure.name(), "upload not aborted");
        }
    }

    /// Reads a copy again.
    pub(crate) async fn verify(
        &self,
        head: &HeadObjectOutput,
        copy: Place<'_>,
    ) -> Result<Proof, Failure> {
        match self.head(copy).await? {
            Found::Object(copied) => same(head, &copied).ok_or_else(|| {
                Failure::Rejected("the copy does not hold what its source holds".to_owned())
            }),
            _ => Err(Failure::TargetNotFound("the copy is gone".to_owned())),
        }
    }
}

fn expires(head: &HeadObjectOutput) -> Option<aws_sdk_s3::primitives::DateTime> {
    use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
    let expires = head.expires_string()?;
    DateTime::from_str(expires, DateTimeFormat::HttpDate).ok()
}

/// The parts of an object; none for one that is copied whole, of which S3 takes no range when it is
/// small.
fn ranges(size: u64) -> Vec<Option<String>> {
    if size <= PART {
        return vec![None];
    }
    (0..size.div_ceil(PART))
        .map(|number| {
            let first = number * PART;
            let last = (first + PART).min(size) - 1;
            Some(format!("bytes={first}-{last}"))
        })
        .collect()
}
