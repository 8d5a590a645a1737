//! S3 and the ledger on the wire, as far as this worker's tests need them: two buckets that keep
//! versions and honour conditions, and a table that knows the ledger's expressions.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_sdk_s3::config::retry::RetryConfig;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
            http_client_fn,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use incident::BucketName;
use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::{QuarantineObject, s3::S3};

pub(crate) const OWNER: &str = "123456789012";
pub(crate) const SITE: &str = "site";
pub(crate) const QUARANTINE: &str = "quarantine";
const START: i64 = 1_795_575_600; // 2026-11-25T03:00:00Z

thread_local! {
    static NOW: Cell<Timestamp> = const { Cell::new(Timestamp::UNIX_EPOCH) };
}

/// The worker's clock: that of S3, and no moment twice.
fn now() -> Timestamp {
    let now = NOW.get() + SignedDuration::from_nanos(1);
    NOW.set(now);
    now
}

/// One version of an object, or one delete marker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) marker: bool,
    pub(crate) body: String,
    pub(crate) size: u64,
    pub(crate) modified: i64,
    /// Everything that HEAD answers beside these: content type, metadata, encryption.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// Of how many parts it was uploaded.
    pub(crate) parts: Option<usize>,
    pub(crate) checksum: Option<&'static str>,
    /// What S3 answers to whoever wants to read it: a status and a code.
    pub(crate) unreadable: Option<(u16, &'static str)>,
    pub(crate) grants: Vec<String>,
}

impl Version {
    fn etag(&self) -> String {
        let sum = sum(&self.body, "etag");
        match self.parts {
            Some(parts) => format!("\"{sum}-{parts}\""),
            None => format!("\"{sum}\""),
        }
    }

    /// S3's checksum header and its value.
    fn checksum(&self) -> Option<(String, String)> {
        let name = self.checksum?;
        let sum = sum(&self.body, name);
        Some((format!("x-amz-checksum-{name}"), sum))
    }
}

/// As good as any sum: equal for equal content.
fn sum(body: &str, salt: &str) -> String {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in body.bytes().chain(salt.bytes()) {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{sum:016x}")
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Keeps {
    #[default]
    Versions,
    Suspended,
    Nothing,
}

#[derive(Debug)]
struct Upload {
    place: (String, String),
    version: Version,
    begun: i64,
    parts: Vec<(usize, String)>,
}

pub(crate) struct State {
    clock: i64,
    ids: usize,
    pub(crate) keeps: Keeps,
    buckets: BTreeMap<(String, String), Vec<Version>>,
    uploads: BTreeMap<String, Upload>,
    table: BTreeMap<(String, String), Map<String, Value>>,
    refuses: Vec<(String, u16, &'static str)>,
    writes: Vec<String>,
    reads: usize,
    pub(crate) page: usize,
    dice: u64,
    /// How many turns a call may wait for others.
    pub(crate) waits: u64,
    /// One in so many answers to writes is lost.
    pub(crate) loses: Option<u64>,
    /// What every copy holds instead of its source.
    pub(crate) corrupts: Option<&'static str>,
    /// How long every call takes.
    pub(crate) takes: Duration,
    before: Option<(&'static str, Meanwhile)>,
    lost: Option<&'static str>,
    /// Whether the run dies with the answer that is lost.
    dies: bool,
}

type Meanwhile = Box<dyn FnOnce(&mut State) + Send>;

/// AWS as the worker's clients see it.
#[derive(Clone)]
pub(crate) struct Aws(Arc<Mutex<State>>);

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aws")
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

type Answered = Result<Answer, (u16, &'static str)>;

fn ok(body: impl Into<String>) -> Answer {
    Answer {
        status: 200,
        headers: Vec::new(),
        body: body.into(),
    }
}

impl Answer {
    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A call: its method, bucket and key, query and headers.
struct Call {
    method: String,
    bucket: String,
    key: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    body: String,
}

impl Call {
    fn of(request: &HttpRequest) -> Self {
        let uri = request.uri();
        let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.split_once('/').map_or("", |(_, path)| path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = query.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), decode(value))
        });
        let headers = request.headers().iter();
        let body = request.body().bytes().unwrap_or_default();
        Self {
            method: request.method().to_owned(),
            bucket: bucket.to_owned(),
            key: decode(key),
            query: query.collect(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn name(&self) -> &'static str {
        let copies = self.header("x-amz-copy-source").is_some();
        match self.method.as_str() {
            "GET" if self.has("versioning") => "GetBucketVersioning",
            "GET" if self.has("versions") => "ListObjectVersions",
            "GET" if self.has("tagging") => "GetObjectTagging",
            "GET" if self.has("acl") => "GetObjectAcl",
            "PUT" if self.has("acl") => "PutObjectAcl",
            "HEAD" => "HeadObject",
            "PUT" if copies && self.has("uploadId") => "UploadPartCopy",
            "PUT" if copies => "CopyObject",
            "POST" if self.has("uploads") => "CreateMultipartUpload",
            "POST" if self.has("uploadId") => "CompleteMultipartUpload",
            "DELETE" if self.has("uploadId") => "AbortMultipartUpload",
            "DELETE" => "DeleteObject",
            other => panic!("{other} {:?}", self.query),
        }
    }

    fn version(&self) -> Option<&str> {
        self.query.get("versionId").map(String::as_str)
    }

    fn place(&self) -> (String, String) {
        (self.bucket.clone(), self.key.clone())
    }

    /// The source of a copy, read as S3 reads it.
    fn source(&self) -> (String, String, Option<String>) {
        let source = self.header("x-amz-copy-source").unwrap();
        let (path, version) = match source.split_once("?versionId=") {
            Some((path, version)) => (path, Some(decode(version))),
            None => (source, None),
        };
        let (bucket, key) = path.split_once('/').unwrap();
        (bucket.to_owned(), decode(&key.replace('+', " ")), version)
    }

    /// `PUT` and the like: what must not happen in a dry run.
    fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }

    fn label(&self) -> String {
        format!("{} {}/{}", self.name(), self.bucket, self.key)
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// As S3 encodes what it lists: like a form.
fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%20", "+")
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn http_date(seconds: i64) -> String {
    let format = "%a, %d %b %Y %H:%M:%S GMT";
    moment(seconds).strftime(format).to_string()
}

fn iso(seconds: i64) -> String {
    moment(seconds)
        .strftime("%Y-%m-%dT%H:%M:%S.000Z")
        .to_string()
}

impl State {
    pub(crate) fn somebody_writes(&mut self, key: &str, version: Version) -> String {
        self.tick(60);
        self.write(&(SITE.to_owned(), key.to_owned()), version).id
    }

    pub(crate) fn live(&self, key: &str) -> Option<String> {
        let current = self.current(&(SITE.to_owned(), key.to_owned()));
        let object = current.filter(|version| !version.marker);
        object.map(|version| version.body.clone())
    }

    fn tick(&mut self, seconds: i64) {
        self.clock += seconds;
        NOW.set(NOW.get().max(moment(self.clock)));
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides.max(1)
    }

    fn current(&self, place: &(String, String)) -> Option<&Version> {
        self.buckets.get(place).and_then(|versions| versions.last())
    }

    fn find(&self, place: &(String, String), version: Option<&str>) -> Option<&Version> {
        match version {
            None => self.current(place),
            Some(version) => {
                let mut versions = self.buckets.get(place)?.iter();
                versions.find(|found| found.id == version)
            }
        }
    }

    fn write(&mut self, place: &(String, String), mut version: Version) -> Version {
        let keeps = if place.0 == SITE {
            self.keeps
        } else {
            Keeps::Versions
        };
        if version.modified == 0 {
            version.modified = self.clock;
        }
        let versions = self.buckets.entry(place.clone()).or_default();
        if keeps == Keeps::Versions {
            self.ids += 1;
            let kind = if version.marker { 'm' } else { 'v' };
            version.id = format!("{kind}{}", self.ids);
        } else {
            version.id = "null".to_owned();
            versions.retain(|version| version.id != "null");
        }
        if !(keeps == Keeps::Nothing && version.marker) {
            versions.push(version.clone());
        }
        version
    }

    fn holds(&self, call: &Call) -> Result<(), (u16, &'static str)> {
        let current = self
            .current(&call.place())
            .filter(|version| !version.marker);
        match (call.header("if-match"), call.header("if-none-match")) {
            (Some(etag), _) => match current {
                None => Err((404, "NoSuchKey")),
                Some(current) if current.etag() == etag => Ok(()),
                Some(_) => Err((412, "PreconditionFailed")),
            },
            (None, Some("*")) if current.is_some() => Err((412, "PreconditionFailed")),
            _ => Ok(()),
        }
    }

    fn s3(&mut self, call: &Call) -> Answered {
        let owner = call.header("x-amz-expected-bucket-owner");
        assert_eq!(owner, Some(OWNER), "{}", call.label());
        assert!([SITE, QUARANTINE].contains(&call.bucket.as_str()));
        let label = call.label();
        if call.is_write() {
            self.tick(1);
            self.writes.push(label.clone());
        } else {
            self.reads += 1;
        }
        let refused = self
            .refuses
            .iter()
            .find(|(what, ..)| label.starts_with(what));
        if let Some((_, status, code)) = refused {
            return Err((*status, code));
        }
        match call.name() {
            "GetBucketVersioning" => Ok(self.versioning()),
            "ListObjectVersions" => Ok(self.list(call)),
            "GetObjectTagging" => self.tagging(call),
            "GetObjectAcl" => self.acl(call),
            "PutObjectAcl" => self.put_acl(call),
            "HeadObject" => self.head(call),
            "CopyObject" => self.copy(call),
            "CreateMultipartUpload" => Ok(self.create_upload(call)),
            "UploadPartCopy" => self.copy_part(call),
            "CompleteMultipartUpload" => self.complete_upload(call),
            "AbortMultipartUpload" => {
                self.uploads.remove(&call.query["uploadId"]);
                Ok(Answer {
                    status: 204,
                    ..ok("")
                })
            }
            _ => self.delete(call),
        }
    }

    fn versioning(&self) -> Answer {
        let status = match self.keeps {
            Keeps::Versions => "<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>",
            Keeps::Suspended => "<Status>Suspended</Status>",
            Keeps::Nothing => "",
        };
        ok(format!(
            "<VersioningConfiguration>{status}</VersioningConfiguration>"
        ))
    }

    fn list(&self, call: &Call) -> Answer {
        assert_eq!(call.query["encoding-type"], "url");
        let prefix = call.query.get("prefix").map_or("", String::as_str);
        let mut all = Vec::new();
        for ((bucket, key), versions) in &self.buckets {
            if *bucket == call.bucket && key.starts_with(prefix) {
                let newest_first = versions.iter().rev().enumerate();
                all.extend(newest_first.map(|(index, version)| (key, version, index == 0)));
            }
        }
        let after = |(key, version, _): &(&String, &Version, bool)| {
            let marker = call.query.get("key-marker");
            let id = call.query.get("version-id-marker");
            marker == Some(key) && id.is_none_or(|id| *id == version.id)
        };
        let start = all.iter().position(after).map_or(0, |at| at + 1);
        let page: Vec<_> = all[start..].iter().take(self.page).collect();
        let mut xml = "<ListVersionsResult><EncodingType>url</EncodingType>".to_owned();
        for (key, version, latest) in &page {
            let kind = if version.marker {
                "DeleteMarker"
            } else {
                "Version"
            };
            write!(
                xml,
                "<{kind}><Key>{}</Key><VersionId>{}</VersionId><IsLatest>{latest}</IsLatest>\
                 <LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></{kind}>",
                encode(key),
                version.id,
                iso(version.modified),
                version.etag().replace('"', "&quot;"),
                version.size,
            )
            .unwrap();
        }
        if let (true, Some((key, version, _))) = (start + page.len() < all.len(), page.last()) {
            write!(
                xml,
                "<IsTruncated>true</IsTruncated><NextKeyMarker>{}</NextKeyMarker>\
                 <NextVersionIdMarker>{}</NextVersionIdMarker>",
                encode(key),
                version.id
            )
            .unwrap();
        }
        ok(xml + "</ListVersionsResult>")
    }

    fn readable(
        &self,
        place: &(String, String),
        version: Option<&str>,
    ) -> Result<&Version, (u16, &'static str)> {
        match self.find(place, version) {
            None => Err((404, "NoSuchVersion")),
            Some(found) if found.marker && version.is_some() => Err((405, "MethodNotAllowed")),
            Some(found) if found.marker => Err((404, "NoSuchKey")),
            Some(found) => Ok(found),
        }
    }

    fn head(&self, call: &Call) -> Answered {
        let found = self.readable(&call.place(), call.version())?;
        if let Some((status @ (400 | 403), code)) = found.unreadable
            && code != "ObjectNotInActiveTierError"
        {
            return Err((status, code));
        }
        let mut answer = ok("")
            .with("content-length", found.size.to_string())
            .with("last-modified", http_date(found.modified))
            .with("etag", found.etag())
            .with("x-amz-version-id", &found.id);
        answer.headers.extend(found.headers.clone());
        answer.headers.extend(found.checksum());
        if !found.tags.is_empty() {
            answer = answer.with("x-amz-tagging-count", found.tags.len().to_string());
        }
        Ok(answer)
    }

    fn tagging(&self, call: &Call) -> Answered {
        let found = self.readable(&call.place(), call.version())?;
        let tags = found.tags.iter().map(|(key, value)| {
            let value = value.replace('&', "&amp;");
            format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
        });
        let tags: String = tags.collect();
        Ok(ok(format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")))
    }

    fn acl(&self, call: &Call) -> Answered {
        let found = self.readable(&call.place(), call.version())?;
        let grants = found.grants.iter().map(|grant| {
            let (grantee, permission) = grant.split_once('=').unwrap();
            let grantee = if grantee.starts_with("http") {
                format!("xsi:type=\"Group\"><URI>{grantee}</URI>")
            } else {
                format!("xsi:type=\"CanonicalUser\"><ID>{grantee}</ID>")
            };
            format!(
                "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                 {grantee}</Grantee><Permission>{permission}</Permission></Grant>"
            )
        });
        let grants: String = grants.collect();
        Ok(ok(format!(
            "<AccessControlPolicy><Owner><ID>owner</ID></Owner><AccessControlList>{grants}\
             </AccessControlList></AccessControlPolicy>"
        )))
    }

    fn put_acl(&mut self, call: &Call) -> Answered {
        self.readable(&call.place(), call.version())?;
        let versions = self.buckets.get_mut(&call.place()).unwrap();
        let version = match call.version() {
            Some(id) => versions
                .iter_mut()
                .find(|version| version.id == id)
                .unwrap(),
            None => versions.last_mut().unwrap(),
        };
        version.grants = if call.header("x-amz-acl") == Some("private") {
            vec!["owner=FULL_CONTROL".to_owned()]
        } else {
            let grants = call.body.split("<Grant>").skip(1);
            let of = |text: &str, tag: &str| {
                let (_, rest) = text.split_once(&format!("<{tag}>"))?;
                rest.split_once('<').map(|(value, _)| value.to_owned())
            };
            let read = grants.map(|grant| {
                let grantee = of(grant, "URI").or_else(|| of(grant, "ID")).unwrap();
                format!("{grantee}={}", of(grant, "Permission").unwrap())
            });
            read.collect()
        };
        Ok(ok(""))
    }

    /// The version to copy, as it will be.
    fn copied(&self, call: &Call) -> Result<Version, (u16, &'static str)> {
        let owner = call.header("x-amz-source-expected-bucket-owner");
        assert_eq!(owner, Some(OWNER), "{}", call.label());
        let (bucket, key, version) = call.source();
        let found = match self.find(&(bucket, key), version.as_deref()) {
            Some(found) if !found.marker => found,
            _ => return Err((404, "NoSuchVersion")),
        };
        if let Some(refused) = found.unreadable {
            return Err(refused);
        }
        if call.header("x-amz-copy-source-if-match") != Some(&found.etag()) {
            return Err((412, "PreconditionFailed"));
        }
        Ok(Version {
            modified: 0,
            parts: None,
            grants: vec!["owner=FULL_CONTROL".to_owned()],
            ..found.clone()
        })
    }

    fn copy(&mut self, call: &Call) -> Answered {
        let mut version = self.copied(call)?;
        assert!(version.size <= 5_000_000_000, "CopyObject takes 5 GB");
        assert_eq!(call.header("x-amz-metadata-directive"), Some("COPY"));
        assert_eq!(call.header("x-amz-tagging-directive"), Some("COPY"));
        for named in ["x-amz-server-side-encryption", "x-amz-object-lock-mode"] {
            assert_eq!(call.header(named), None, "that is the bucket's to say");
        }
        self.holds(call)?;
        version.headers.remove("x-amz-website-redirect-location");
        version.headers.remove("x-amz-storage-class");
        for kept in ["x-amz-website-redirect-location", "x-amz-storage-class"] {
            if let Some(value) = call.header(kept) {
                version.headers.insert(kept.to_owned(), value.to_owned());
            }
        }
        if let Some(body) = self.corrupts {
            body.clone_into(&mut version.body);
        }
        version.checksum = match call.header("x-amz-checksum-algorithm") {
            Some("CRC64NVME") => Some("crc64nvme"),
            Some("CRC32") => Some("crc32"),
            Some("SHA256") => Some("sha256"),
            other => panic!("{other:?}"),
        };
        let made = self.write(&call.place(), version);
        Ok(ok(format!(
            "<CopyObjectResult><ETag>{}</ETag><LastModified>{}</LastModified></CopyObjectResult>",
            made.etag().replace('"', "&quot;"),
            iso(made.modified)
        ))
        .with("x-amz-version-id", made.id))
    }

    fn create_upload(&mut self, call: &Call) -> Answer {
        let kept = |name: &&String| {
            let name = name.as_str();
            name.starts_with("x-amz-meta-")
                || ["cache-control", "content-type", "expires"].contains(&name)
                || [
                    "content-disposition",
                    "content-encoding",
                    "content-language",
                ]
                .contains(&name)
                || ["x-amz-storage-class", "x-amz-website-redirect-location"].contains(&name)
        };
        let headers = call.headers.keys().filter(kept);
        let headers = headers.map(|name| (name.clone(), call.headers[name].clone()));
        let tags = call.header("x-amz-tagging").unwrap_or_default();
        let tags = tags.split('&').filter_map(|tag| tag.split_once('='));
        assert_eq!(call.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
        let upload = Upload {
            place: call.place(),
            version: Version {
                headers: headers.collect(),
                tags: tags.map(|(k, v)| (decode(k), decode(v))).collect(),
                checksum: match call.header("x-amz-checksum-algorithm") {
                    Some("CRC64NVME") => Some("crc64nvme"),
                    Some("CRC32") => Some("crc32"),
                    other => panic!("{other:?}"),
                },
                grants: vec!["owner=FULL_CONTROL".to_owned()],
                ..Version::default()
            },
            begun: self.clock,
            parts: Vec::new(),
        };
        self.ids += 1;
        let id = format!("upload-{}", self.ids);
        let answer = ok(format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>"
        ));
        self.uploads.insert(id, upload);
        answer
    }

    fn copy_part(&mut self, call: &Call) -> Answered {
        let copied = self.copied(call)?;
        let number: usize = call.query["partNumber"].parse().unwrap();
        let range = match call.header("x-amz-copy-source-range") {
            Some(range) => range.to_owned(),
            None => format!("bytes=0-{}", copied.size - 1),
        };
        let upload = self.uploads.get_mut(&call.query["uploadId"]);
        let upload = upload.ok_or((404, "NoSuchUpload"))?;
        upload.version.body = copied.body;
        upload.version.size = copied.size;
        upload.parts.push((number, range));
        let etag = format!("part-{number}");
        Ok(ok(format!(
            "<CopyPartResult><ETag>{etag}</ETag></CopyPartResult>"
        )))
    }

    fn complete_upload(&mut self, call: &Call) -> Answered {
        self.holds(call)?;
        let id = &call.query["uploadId"];
        let mut upload = self.uploads.remove(id).ok_or((404, "NoSuchUpload"))?;
        assert_eq!(upload.place, call.place());
        upload.parts.sort_unstable();
        let mut next = 0_u64;
        for (number, range) in &upload.parts {
            assert!(call.body.contains(&format!("<ETag>part-{number}</ETag>")));
            let (first, last) = range
                .strip_prefix("bytes=")
                .unwrap()
                .split_once('-')
                .unwrap();
            assert_eq!(first.parse::<u64>().unwrap(), next, "no gap");
            let last = last.parse::<u64>().unwrap();
            assert!(last - next < 5 << 30, "a part takes 5 GiB");
            next = last + 1;
        }
        assert_eq!(next, upload.version.size, "the whole object");
        upload.version.parts = Some(upload.parts.len());
        upload.version.modified = upload.begun;
        let made = self.write(&upload.place, upload.version);
        Ok(
            ok("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
                .with("x-amz-version-id", made.id),
        )
    }

    fn delete(&mut self, call: &Call) -> Answered {
        assert_eq!(call.version(), None, "no version is ever deleted");
        assert!(call.header("if-match").is_some());
        self.holds(call)?;
        let made = self.write(&call.place(), Version::marker());
        let answer = Answer {
            status: 204,
            ..ok("")
        };
        Ok(match self.keeps {
            Keeps::Nothing => answer,
            _ => answer
                .with("x-amz-version-id", made.id)
                .with("x-amz-delete-marker", "true"),
        })
    }

    fn dynamodb(&mut self, target: &str, request: &Value) -> Result<Value, &'static str> {
        let refused = self
            .refuses
            .iter()
            .find(|(what, ..)| target.starts_with(what));
        if let Some((_, _, code)) = refused {
            return Err(code);
        }
        if !matches!(target, "GetItem" | "Query") {
            self.writes.push(target.to_owned());
        }
        let values = &request["ExpressionAttributeValues"];
        let condition = request["ConditionExpression"].as_str();
        let text = |value: &Value| value["S"].as_str().unwrap_or_default().to_owned();
        let id = |key: &Value| (text(&key["pk"]), text(&key["sk"]));
        Ok(match target {
            "GetItem" => match self.table.get(&id(&request["Key"])) {
                Some(item) => json!({"Item": item}),
                None => json!({}),
            },
            "Query" => {
                assert_eq!(request["KeyConditionExpression"], "pk = :pk");
                let pk = text(&values[":pk"]);
                let items = self.table.iter().filter(|((found, _), _)| *found == pk);
                json!({"Items": items.map(|(_, item)| item).collect::<Vec<_>>()})
            }
            "PutItem" => {
                let item = request["Item"].as_object().unwrap().clone();
                self.table.insert(id(&request["Item"]), item);
                json!({})
            }
            "DeleteItem" => {
                let key = id(&request["Key"]);
                let item = self.table.get(&key);
                let fits = item.is_none_or(|item| match condition {
                    Some("attribute_not_exists(made)") => !item.contains_key("made"),
                    _ => item["incidents"] == values[":incident"],
                });
                if !fits {
                    return Err("ConditionalCheckFailedException");
                }
                self.table.remove(&key);
                json!({})
            }
            _ => return self.update(&id(&request["Key"]), request),
        })
    }

    fn update(&mut self, key: &(String, String), request: &Value) -> Result<Value, &'static str> {
        let values = &request["ExpressionAttributeValues"];
        let expression = request["UpdateExpression"].as_str().unwrap();
        if expression.starts_with("SET made") {
            let item = self.table.get_mut(key);
            let item = item.ok_or("ConditionalCheckFailedException")?;
            item.entry("made")
                .or_insert_with(|| values[":made"].clone());
            return Ok(json!({}));
        }
        let item = self.table.entry(key.clone()).or_default();
        let incident = &values[":incident"]["SS"][0];
        let mut incidents: Vec<Value> = item
            .get("incidents")
            .map(|set| set["SS"].as_array().unwrap().clone())
            .unwrap_or_default();
        if expression.starts_with("DELETE") {
            incidents.retain(|id| id != incident);
        } else {
            assert!(expression.contains("ADD incidents"), "{expression}");
            item.insert("pk".to_owned(), json!({"S": key.0}));
            item.insert("sk".to_owned(), json!({"S": key.1}));
            item.entry("original")
                .or_insert_with(|| values[":original"].clone());
            if !incidents.contains(incident) {
                incidents.push(incident.clone());
            }
        }
        item.insert("incidents".to_owned(), json!({"SS": incidents}));
        Ok(json!({"Attributes": item}))
    }

    fn answer(&mut self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        if self.dies && self.lost.is_none() {
            return Err(ConnectorError::io("the run is dead".into()));
        }
        let (answer, wrote) = if let Some(target) = request.headers().get("x-amz-target") {
            let target = target.rsplit('.').next().unwrap().to_owned();
            let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let wrote = !matches!(target.as_str(), "GetItem" | "Query");
            let answer = match self.dynamodb(&target, &body) {
                Ok(value) => ok(value.to_string()),
                Err(code) => Answer {
                    status: 400,
                    ..ok(json!({"__type": code, "message": "as AWS says"}).to_string())
                },
            };
            (answer, wrote)
        } else {
            let call = Call::of(request);
            if let Some((_, meanwhile)) = self
                .before
                .take_if(|(before, _)| call.label().starts_with(*before))
            {
                meanwhile(self);
            }
            let answer = self.s3(&call).unwrap_or_else(|(status, code)| Answer {
                status,
                ..ok(if call.method == "HEAD" {
                    String::new()
                } else {
                    format!("<Error><Code>{code}</Code><Message>as AWS says</Message></Error>")
                })
            });
            if self.lost.is_some_and(|lost| call.label().starts_with(lost)) {
                self.lost = None;
                return Err(ConnectorError::io("the answer is lost".into()));
            }
            (answer, call.is_write())
        };
        if let Some(sides) = self.loses.filter(|_| wrote)
            && self.roll(sides) == 0
        {
            return Err(ConnectorError::io("the answer is lost".into()));
        }
        let status = StatusCode::try_from(answer.status).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
        for (name, value) in answer.headers {
            response.headers_mut().append(name, value);
        }
        Ok(response)
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let aws = self.clone();
        HttpConnectorFuture::new(async move {
            let (waits, takes) = {
                let mut state = aws.state();
                let waits = state.waits;
                (state.roll(waits + 1), state.takes)
            };
            if takes > Duration::ZERO {
                tokio::time::sleep(takes).await;
            }
            for _ in 0..waits {
                tokio::task::yield_now().await;
            }
            aws.answer(&request)
        })
    }
}

impl Aws {
    pub(crate) fn new() -> Self {
        NOW.set(moment(START));
        Self(Arc::new(Mutex::new(State {
            clock: START,
            ids: 0,
            keeps: Keeps::Versions,
            buckets: BTreeMap::new(),
            uploads: BTreeMap::new(),
            table: BTreeMap::new(),
            refuses: Vec::new(),
            writes: Vec::new(),
            reads: 0,
            page: 1_000,
            dice: 0x9e37_79b9_7f4a_7c15,
            waits: 0,
            loses: None,
            corrupts: None,
            takes: Duration::ZERO,
            before: None,
            lost: None,
            dies: false,
        })))
    }

    pub(crate) fn keeping(keeps: Keeps) -> Self {
        let aws = Self::new();
        aws.state().keeps = keeps;
        aws
    }

    pub(crate) fn seeded(self, seed: u64) -> Self {
        self.state().dice ^= seed.wrapping_mul(0x0100_0000_01b3) | 1;
        self
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        self.state().answer(request)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn worker(&self) -> QuarantineObject {
        let connector = SharedHttpConnector::new(self.clone());
        let http = http_client_fn(move |_, _| connector.clone());
        let bucket = |name: &str| name.parse::<BucketName>().unwrap();
        let client = s3(&http);
        QuarantineObject {
            s3: S3 {
                client: client.clone(),
                patient: client,
                owner: OWNER.to_owned(),
                site: bucket(SITE),
                quarantine: bucket(QUARANTINE),
            },
            ledger: Ledger::new(dynamodb(&http), "ledger"),
            partition: "aws".to_owned(),
            now,
        }
    }

    /// A minute later, somebody writes.
    pub(crate) fn put(&self, key: &str, body: &str) -> String {
        self.put_version(key, Version::of(body))
    }

    pub(crate) fn put_version(&self, key: &str, version: Version) -> String {
        self.state().somebody_writes(key, version)
    }

    /// Somebody writes at this very moment.
    pub(crate) fn put_now(&self, key: &str, version: Version) {
        let place = (SITE.to_owned(), key.to_owned());
        self.state().write(&place, version);
    }

    /// A minute later, somebody deletes.
    pub(crate) fn delete(&self, key: &str) -> String {
        self.put_version(key, Version::marker())
    }

    /// A minute later, somebody deletes a version for good.
    pub(crate) fn purge(&self, key: &str, id: &str) {
        self.wait(60);
        self.remove(key, id);
    }

    /// Somebody deletes a version for good at this very moment.
    pub(crate) fn remove(&self, key: &str, id: &str) {
        let place = (SITE.to_owned(), key.to_owned());
        let mut state = self.state();
        let versions = state.buckets.get_mut(&place).unwrap();
        versions.retain(|version| version.id != id);
    }

    /// Now, as an event's time.
    pub(crate) fn time(&self) -> Timestamp {
        moment(self.state().clock)
    }

    /// Some time passes.
    pub(crate) fn wait(&self, seconds: i64) {
        self.state().tick(seconds);
    }

    /// Just before the next call that begins like this, something else happens.
    pub(crate) fn before(
        &self,
        call: &'static str,
        meanwhile: impl FnOnce(&mut State) + Send + 'static,
    ) {
        self.state().before = Some((call, Box::new(meanwhile)));
    }

    /// The next call that begins like this is made, and its answer is lost.
    pub(crate) fn losing(&self, call: &'static str) {
        self.state().lost = Some(call);
    }

    /// The same, and nothing after it is answered: the run dies.
    pub(crate) fn dying(&self, call: &'static str) {
        self.losing(call);
        self.state().dies = true;
    }

    /// Refuses calls that begin like this.
    pub(crate) fn refusing(self, what: &str, status: u16, code: &'static str) -> Self {
        self.state().refuses.push((what.to_owned(), status, code));
        self
    }

    pub(crate) fn granting(&self) {
        let mut state = self.state();
        state.refuses.clear();
        state.dies = false;
    }

    pub(crate) fn live(&self, key: &str) -> Option<String> {
        self.state().live(key)
    }

    /// The current version, a marker included.
    pub(crate) fn version(&self, bucket: &str, key: &str) -> Option<Version> {
        let place = (bucket.to_owned(), key.to_owned());
        self.state().current(&place).cloned()
    }

    pub(crate) fn versions(&self, key: &str) -> Vec<String> {
        let state = self.state();
        let versions = state.buckets.get(&(SITE.to_owned(), key.to_owned()));
        versions.map_or_else(Vec::new, |versions| {
            versions.iter().map(|version| version.id.clone()).collect()
        })
    }

    pub(crate) fn set(&self, key: &str, id: &str, change: impl FnOnce(&mut Version)) {
        let mut state = self.state();
        let versions = state.buckets.get_mut(&(SITE.to_owned(), key.to_owned()));
        let version = versions
            .unwrap()
            .iter_mut()
            .find(|version| version.id == id);
        change(version.unwrap());
    }

    /// What is in quarantine.
    pub(crate) fn evidence(&self) -> Vec<(String, String)> {
        let state = self.state();
        let kept = state
            .buckets
            .iter()
            .filter(|((bucket, _), _)| bucket == QUARANTINE);
        let last = |versions: &Vec<Version>| versions.last().unwrap().body.clone();
        kept.map(|((_, key), versions)| (key.clone(), last(versions)))
            .collect()
    }

    /// Every change in AWS that was made or tried since the last look.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().writes)
    }

    /// Writes of ours of which nobody knows yet what they made.
    pub(crate) fn open(&self) -> usize {
        let state = self.state();
        let written = state
            .table
            .iter()
            .filter(|((pk, _), _)| pk.starts_with("written#"));
        written
            .filter(|(_, item)| !item.contains_key("made"))
            .count()
    }

    /// Each hold on a line: `mechanism: original (incidents)`.
    pub(crate) fn holds(&self) -> String {
        let state = self.state();
        let holds = state
            .table
            .iter()
            .filter(|((pk, _), _)| pk.starts_with("hold#"));
        let lines = holds.map(|((_, mechanism), item)| {
            let original = item["original"]["S"].as_str().unwrap();
            let incidents = item["incidents"]["SS"].as_array().unwrap();
            let incidents: Vec<_> = incidents.iter().filter_map(Value::as_str).collect();
            format!("{mechanism}: {original} ({})", incidents.join(", "))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn uploads(&self) -> usize {
        self.state().uploads.len()
    }
}

impl Version {
    pub(crate) fn marker() -> Self {
        Self {
            marker: true,
            ..Self::default()
        }
    }

    pub(crate) fn of(body: &str) -> Self {
        let content_type = ("content-type".to_owned(), "text/html".to_owned());
        Self {
            body: body.to_owned(),
            size: body.len() as u64,
            headers: BTreeMap::from([content_type]),
            checksum: Some("crc64nvme"),
            ..Self::default()
        }
    }
}

fn s3(http: &SharedHttpClient) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .with_test_defaults_v2()
        .http_client(http.clone())
        .endpoint_url("http://s3.test")
        .force_path_style(true)
        .retry_config(RetryConfig::disabled());
    aws_sdk_s3::Client::from_conf(config.build())
}

fn dynamodb(http: &SharedHttpClient) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version_latest()
        .with_test_defaults_v2()
        .http_client(http.clone())
        .endpoint_url("http://dynamodb.test")
        .retry_config(RetryConfig::disabled());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}
