//! In which region a bucket is: S3 answers for it there only.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use aws_sdk_s3::{
    Client as S3,
    config::{Region, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
};

use crate::Clients;

/// The regions of buckets that are not in the caller's, as S3 told this process. A bucket that has
/// moved is found again, since S3 then tells another one.
static KNOWN: Mutex<BTreeMap<String, Region>> = Mutex::new(BTreeMap::new());

impl Clients {
    /// The client in the region of `bucket`, as far as an earlier answer told which that is; the
    /// caller's until then. [`look`](crate::look()) finds it out.
    #[must_use]
    pub fn s3_of(&self, bucket: &str) -> S3 {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(bucket) {
            Some(region) => in_region(&self.s3, region.clone()),
            None => self.s3.clone(),
        }
    }

    /// The client in the region where S3 says that `bucket` is; none when it does not say, or says
    /// that it is where it was looked for.
    pub(crate) async fn s3_elsewhere(
        &self,
        bucket: &str,
        owner: &str,
        told: Option<Region>,
    ) -> Option<S3> {
        let asked = self.s3_of(bucket);
        let region = match told {
            Some(region) => region,
            None => head(&asked, bucket, owner).await?,
        };
        if asked.config().region() == Some(&region) {
            return None;
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(bucket.to_owned(), region.clone());
        Some(in_region(&self.s3, region))
    }
}

fn in_region(s3: &S3, region: Region) -> S3 {
    S3::from_conf(s3.config().to_builder().region(region).build())
}

/// `HeadBucket` answers the region even where it refuses, and needs no permission for that.
async fn head(s3: &S3, bucket: &str, owner: &str) -> Option<Region> {
    let head = s3.head_bucket().bucket(bucket);
    match head.expected_bucket_owner(owner).send().await {
        Ok(head) => head.bucket_region.and_then(region),
        Err(error) => header(error.raw_response()?),
    }
}

/// What an error tells of where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// Nothing: it is about something else.
    Untold,
    /// In another region; which, where it says so.
    Elsewhere(Option<Region>),
}

impl Whereabouts {
    /// What `error` tells.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
    pub(crate) fn told_by<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let Some(response) = error.raw_response() else {
            return Self::Untold;
        };
        let elsewhere = matches!(
            error.code(),
            Some(
                "AuthorizationHeaderMalformed"
                    | "IllegalLocationConstraintException"
                    | "PermanentRedirect"
                    | "TemporaryRedirect"
            )
        ) || matches!(response.status().as_u16(), 301 | 307);
        if elsewhere {
            Self::Elsewhere(header(response).or_else(|| element(response)))
        } else {
            Self::Untold
        }
    }

    /// What two answers tell together.
    pub(crate) fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Untold, _) | (Self::Elsewhere(None), Self::Elsewhere(_)) => other,
            _ => self,
        }
    }
}

fn header(response: &HttpResponse) -> Option<Region> {
    region(response.headers().get("x-amz-bucket-region")?.to_owned())
}

/// `AuthorizationHeaderMalformed` names the region in its XML only.
fn element(response: &HttpResponse) -> Option<Region> {
    let body = std::str::from_utf8(response.body().bytes()?).ok()?;
    let (_, rest) = body.split_once("<Region>")?;
    let (name, _) = rest.split_once("</Region>")?;
    region(name.to_owned())
}

/// A region's name becomes part of a host's.
fn region(name: String) -> Option<Region> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = !name.is_empty() && name.chars().all(fits);
    is_name.then(|| Region::new(name))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        config::retry::RetryConfig,
        operation::{get_bucket_policy::GetBucketPolicyError, head_bucket::HeadBucketOutput},
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;

    fn answered(status: u16, header: Option<&'static str>, body: &str) -> HttpResponse {
        let mut response = HttpResponse::new(status.try_into().unwrap(), body.to_owned().into());
        if let Some(region) = header {
            response.headers_mut().insert("x-amz-bucket-region", region);
        }
        response
    }

    fn told(code: &str, response: HttpResponse) -> Whereabouts {
        let meta = aws_sdk_s3::error::ErrorMetadata::builder().code(code);
        let error = GetBucketPolicyError::generic(meta.build());
        Whereabouts::told_by(&SdkError::service_error(error, response))
    }

    fn elsewhere(region: &'static str) -> Whereabouts {
        Whereabouts::Elsewhere(Some(Region::new(region)))
    }

    #[test]
    fn s3_tells_the_region_in_a_header_or_in_the_error() {
        let moved = "<Error><Code>PermanentRedirect</Code></Error>";
        assert_eq!(
            told(
                "PermanentRedirect",
                answered(301, Some("eu-central-1"), moved)
            ),
            elsewhere("eu-central-1")
        );
        let signed =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
        assert_eq!(
            told("AuthorizationHeaderMalformed", answered(400, None, signed)),
            elsewhere("eu-west-3")
        );
        for (code, status) in [
            ("IllegalLocationConstraintException", 400),
            ("TemporaryRedirect", 307),
            ("", 301),
        ] {
            assert_eq!(
                told(code, answered(status, None, "")),
                Whereabouts::Elsewhere(None)
            );
        }
    }

    #[test]
    fn one_answer_that_names_the_region_is_enough() {
        let told = || {
            [
                Whereabouts::Untold,
                Whereabouts::Elsewhere(None),
                elsewhere("x"),
            ]
        };
        for (more, first) in told().into_iter().enumerate() {
            for (or_more, second) in told().into_iter().enumerate() {
                let best = told().into_iter().nth(more.max(or_more)).unwrap();
                assert_eq!(first.clone().or(second), best);
            }
        }
    }

    #[test]
    fn what_is_no_region_is_not_taken_for_one() {
        for name in ["", "evil.example/", "eu west", "EU-WEST-1"] {
            let body = format!("<Region>{name}</Region>");
            let told = told("AuthorizationHeaderMalformed", answered(400, None, &body));
            assert_eq!(told, Whereabouts::Elsewhere(None), "{name}");
        }
    }

    #[test]
    fn other_errors_tell_nothing() {
        let denied = answered(403, Some("eu-central-1"), "");
        assert_eq!(told("AccessDenied", denied), Whereabouts::Untold);
        let late = SdkError::<GetBucketPolicyError, HttpResponse>::timeout_error("late");
        assert_eq!(Whereabouts::told_by(&late), Whereabouts::Untold);
    }

    fn clients(head: &Rule) -> Clients {
        Clients {
            s3: mock_client!(aws_sdk_s3, RuleMode::MatchAny, [head], |config| {
                config.retry_config(RetryConfig::disabled())
            }),
            kms: mock_client!(aws_sdk_kms, []),
            logs: mock_client!(aws_sdk_cloudwatchlogs, []),
        }
    }

    async fn found(bucket: &str, head: &Rule) -> Option<Region> {
        let s3 = clients(head)
            .s3_elsewhere(bucket, "123456789012", None)
            .await;
        s3.and_then(|s3| s3.config().region().cloned())
    }

    #[tokio::test]
    async fn a_bucket_whose_region_no_error_names_is_asked_for_it() {
        let open = mock!(S3::head_bucket).then_output(|| {
            HeadBucketOutput::builder()
                .bucket_region("eu-south-2")
                .build()
        });
        assert_eq!(found("asked", &open).await, Some(Region::new("eu-south-2")));
        let known = clients(&open).s3_of("asked").config().region().cloned();
        assert_eq!(known, Some(Region::new("eu-south-2")), "it is remembered");

        let refused =
            mock!(S3::head_bucket).then_http_response(|| answered(403, Some("eu-south-1"), ""));
        assert_eq!(
            found("asked", &refused).await,
            Some(Region::new("eu-south-1"))
        );
        let silent = mock!(S3::head_bucket).then_http_response(|| answered(403, None, ""));
        assert_eq!(found("never-told", &silent).await, None);
    }

    #[tokio::test]
    async fn where_it_was_looked_for_it_is_not_looked_for_again() {
        let head = mock!(S3::head_bucket).then_output(|| HeadBucketOutput::builder().build());
        let clients = clients(&head);
        let here = clients.s3.config().region().cloned();
        let again = clients
            .s3_elsewhere("here", "123456789012", here.clone())
            .await;
        assert!(again.is_none());
        assert_eq!(clients.s3_of("here").config().region().cloned(), here);
        assert_eq!(head.num_calls(), 0);
    }
}
