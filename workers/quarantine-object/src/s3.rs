//! S3 as this worker asks it: every call names the account that must own the bucket.

use std::time::Duration;

use aws_config::{
    SdkConfig, stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::{
    Client,
    config::{Builder, http::HttpResponse, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::head_object::HeadObjectOutput,
    primitives::DateTime,
    types::{BucketVersioningStatus, ChecksumMode, EncodingType},
};
use incident::{BucketName, ObjectKey};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use worker::Failure;

use crate::{
    copy::LARGEST,
    history::{Entry, NULL, identity},
};

/// The two buckets, and whose they are.
#[derive(Debug, Clone)]
pub(crate) struct S3 {
    pub(crate) client: Client,
    /// For calls during which S3 copies gigabytes and says nothing.
    pub(crate) patient: Client,
    pub(crate) owner: String,
    pub(crate) site: BucketName,
    pub(crate) quarantine: BucketName,
}

/// Whether the site's bucket keeps what is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versioning {
    Enabled,
    /// Older versions are there; whatever is written now overwrites the version `null`.
    Suspended,
    Never,
}

/// An object, or one version of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) bucket: &'a BucketName,
    pub(crate) key: &'a str,
    pub(crate) version: Option<&'a str>,
}

/// What is at a place.
#[derive(Debug)]
pub(crate) enum Found {
    Object(Box<HeadObjectOutput>),
    Marker,
    Gone,
}

/// Why a copy or a deletion was not made.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What was there, or was to be copied, is not there any more.
    Moved,
    /// The version is archived.
    Archived,
    /// It is more than a run can copy.
    TooLarge,
    /// The run has no time left for it.
    OutOfTime,
    Failed(Failure),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Moved => Self::Transient("it changed meanwhile; run again".to_owned()),
            Refusal::Archived => Self::Rejected("it is archived".to_owned()),
            Refusal::TooLarge => Self::Rejected(format!(
                "it is larger than the {} GiB that a run can copy",
                LARGEST >> 30
            )),
            Refusal::OutOfTime => Self::Transient("it could not be copied in time".to_owned()),
            Refusal::Failed(failure) => failure,
        }
    }
}

/// Entries as S3 lists them, and where the next ones begin.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<(String, Entry)>,
    pub(crate) next: Option<Next>,
}

/// A key and a version: S3 goes on after it.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    key: String,
    version: Option<String>,
}

impl S3 {
    pub(crate) fn new(
        config: &SdkConfig,
        owner: String,
        site: BucketName,
        quarantine: BucketName,
    ) -> Self {
        let control = worker::CONTROL.on(config);
        // The longest copy is one of 5 GB or a part of 1 GiB.
        let patience = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_mins(4))
            .operation_timeout(Duration::from_mins(10))
            .build();
        let patient = control
            .to_builder()
            .timeout_config(patience)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self {
            client: Client::new(&control),
            patient: Client::new(&patient),
            owner,
            site,
            quarantine,
        }
    }

    pub(crate) fn on_site<'a>(&'a self, key: &'a ObjectKey, version: &'a str) -> Place<'a> {
        Place {
            bucket: &self.site,
            key: key.as_str(),
            version: Some(version),
        }
    }

    pub(crate) fn in_quarantine<'a>(&'a self, key: &'a str) -> Place<'a> {
        Place {
            bucket: &self.quarantine,
            key,
            version: None,
        }
    }

    pub(crate) async fn versioning(&self) -> Result<Versioning, Failure> {
        let asked = self
            .client
            .get_bucket_versioning()
            .bucket(self.site.as_str())
            .expected_bucket_owner(&self.owner)
            .send()
            .await
            .map_err(|error| Failure::aws("s3:GetBucketVersioning", &error))?;
        Ok(match asked.status {
            Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
            Some(_) => Versioning::Suspended,
            None => Versioning::Never,
        })
    }

    /// Up to a thousand entries of the site's bucket.
    pub(crate) async fn page(
        &self,
        prefix: Option<&str>,
        from: Option<Next>,
    ) -> Result<Page, Failure> {
        let (key, version) = from.map(|from| (from.key, from.version)).unzip();
        let listed = self
            .client
            .list_object_versions()
            .bucket(self.site.as_str())
            .expected_bucket_owner(&self.owner)
            // XML cannot hold every character that a key may.
            .encoding_type(EncodingType::Url)
            .set_prefix(prefix.map(str::to_owned))
            .set_key_marker(key)
            .set_version_id_marker(version.flatten())
            .send()
            .await
            .map_err(|error| Failure::aws("s3:ListBucketVersions", &error))?;
        let encoded = listed.encoding_type == Some(EncodingType::Url);
        let mut entries = Vec::new();
        for version in listed.versions() {
            let key = decoded(version.key().unwrap_or_default(), encoded)?;
            let entry = Entry {
                version: version.version_id().unwrap_or(NULL).to_owned(),
                marker: false,
                etag: version.e_tag().unwrap_or_default().to_owned(),
                size: bytes(version.size()),
                modified: time(version.last_modified())?,
                latest: version.is_latest() == Some(true),
            };
            entries.push((key, entry));
        }
        for marker in listed.delete_markers() {
            let key = decoded(marker.key().unwrap_or_default(), encoded)?;
            let entry = Entry {
                version: marker.version_id().unwrap_or(NULL).to_owned(),
                marker: true,
                etag: String::new(),
                size: 0,
                modified: time(marker.last_modified())?,
                latest: marker.is_latest() == Some(true),
            };
            entries.push((key, entry));
        }
        let next = match listed.next_key_marker() {
            Some(key) if listed.is_truncated() == Some(true) => Some(Next {
                key: decoded(key, encoded)?,
                version: listed.next_version_id_marker,
            }),
            _ => None,
        };
        Ok(Page { entries, next })
    }

    /// Up to a thousand entries of one object, the newest first.
    pub(crate) async fn entries(
        &self,
        key: &ObjectKey,
        from: Option<Next>,
    ) -> Result<(Vec<Entry>, Option<Next>), Failure> {
        let page = self.page(Some(key.as_str()), from).await?;
        // Keys are listed in order, and this one is the first of those that begin like it.
        let all = page.entries.len();
        let of_key = page.entries.into_iter();
        let entries: Vec<_> = of_key
            .filter(|(listed, _)| listed == key.as_str())
            .map(|(_, entry)| entry)
            .collect();
        let next = page.next.filter(|_| entries.len() == all);
        Ok((entries, next))
    }

    pub(crate) async fn head(&self, place: Place<'_>) -> Result<Found, Failure> {
        let asked = self
            .client
            .head_object()
            .bucket(place.bucket.as_str())
            .key(place.key)
            .set_version_id(place.version.map(str::to_owned))
            .expected_bucket_owner(&self.owner)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        let error = match asked {
            Ok(head) => return Ok(Found::Object(Box::new(head))),
            Err(error) => error,
        };
        // The answer to HEAD has no body that would say why.
        match error.raw_response().map(|answer| answer.status().as_u16()) {
            Some(404) => Ok(Found::Gone),
            Some(405) => Ok(Found::Marker),
            Some(403) => Err(Failure::AccessDenied(
                "s3:HeadObject: refused; its owner's ACL, s3:GetObjectVersion or kms:Decrypt may \
                 be missing"
                    .to_owned(),
            )),
            Some(400) => Err(Failure::Rejected(
                "s3:HeadObject: refused; it may be encrypted with a key that only who wrote it has"
                    .to_owned(),
            )),
            // Whoever wrote the object chose its headers: no retry reads them.
            _ if matches!(error, SdkError::ResponseError(_)) => {
                Err(Failure::Rejected("s3:HeadObject: not readable".to_owned()))
            }
            _ => Err(Failure::aws("s3:HeadObject", &error)),
        }
    }

    /// Deletes the site's object while its entity tag is `etag`: with versioning that adds a marker,
    /// whose id is returned; no version is ever deleted.
    pub(crate) async fn delete(
        &self,
        key: &ObjectKey,
        etag: &str,
    ) -> Result<Option<String>, Refusal> {
        let deleted = self
            .client
            .delete_object()
            .bucket(self.site.as_str())
            .key(key.as_str())
            .expected_bucket_owner(&self.owner)
            .if_match(etag)
            .customize()
            .config_override(once())
            .send()
            .await
            .map_err(|error| refusal("s3:DeleteObject", &error))?;
        Ok(deleted.version_id.filter(|version| version != NULL))
    }
}

/// For conditional writes: a second attempt would be refused for the success of the first.
pub(crate) fn once() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}

/// What S3's refusal of a copy, a part of one or a deletion means.
pub(crate) fn refusal<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    match code {
        Some("InvalidObjectState" | "ObjectNotInActiveTierError") => Refusal::Archived,
        Some(
            "ConditionalRequestConflict" | "NoSuchKey" | "NoSuchVersion" | "PreconditionFailed",
        ) => Refusal::Moved,
        Some("NoSuchUpload") => Refusal::Failed(Failure::Transient(format!(
            "{call}: somebody aborted the upload"
        ))),
        _ => Refusal::Failed(Failure::aws(call, error)),
    }
}

/// The identity of a version that S3 has just answered with.
pub(crate) fn made(version: Option<&str>, modified: Option<&DateTime>) -> Option<String> {
    match version {
        Some(version) if version != NULL => Some(version.to_owned()),
        _ => {
            let modified = time(modified).ok()?;
            Some(identity(NULL, modified))
        }
    }
}

/// S3 encodes a space as a plus sign, and a plus sign as `%2B`.
fn decoded(key: &str, encoded: bool) -> Result<String, Failure> {
    if !encoded {
        return Ok(key.to_owned());
    }
    let key = key.replace('+', " ");
    match percent_decode_str(&key).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(_) => Err(Failure::Rejected(
            "s3:ListBucketVersions: a key that is not UTF-8".to_owned(),
        )),
    }
}

pub(crate) fn time(time: Option<&DateTime>) -> Result<Timestamp, Failure> {
    time.and_then(|time| Timestamp::from_second(time.secs()).ok())
        .ok_or_else(|| Failure::Rejected("S3 does not say when a version was written".to_owned()))
}

pub(crate) fn bytes(size: Option<i64>) -> u64 {
    size.and_then(|size| size.try_into().ok())
        .unwrap_or_default()
}
