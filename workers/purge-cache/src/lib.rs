//! Makes the content delivery network forget what it cached of a defaced site.
//!
//! **Act.** Asks for an invalidation of the paths that were put back; the origin must be clean first,
//! or the defacement is only cached again. It does not wait until every edge location has forgotten,
//! which takes a few minutes. Everything (`/*`) is purged instead where there are more paths than
//! are worth their price or more wildcards than are taken at once, where a path is none that could
//! be taken, and where the paths are refused.
//!
//! A path is what viewers ask for. What a distribution serves under another path than the object's
//! key (with an origin path, or a function that rewrites) is purged by that path, or by `/*`.
//!
//! **Undo.** None, and none is needed: what was forgotten is fetched again.
//!
//! **Calls.** `cloudfront:CreateInvalidation`, at the one endpoint of the partition, which the SDK
//! finds from any region.
//!
//! **A second run** of the same incident, round and paths asks for no second invalidation: their hash
//! is the request's reference, to which AWS answers the invalidation that it made first.
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html>

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_cloudfront::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::create_invalidation::{CreateInvalidationError, CreateInvalidationOutput},
    types::{Invalidation, InvalidationBatch, Paths},
};
use incident::{IncidentId, Settings};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use worker::{Failure, Worker};

const CALL: &str = "cloudfront:CreateInvalidation";

/// The path of everything.
const EVERYTHING: &str = "/*";

/// Each path costs; a month's first thousand do not.
const MOST_PATHS: usize = 1_000;

/// How many wildcards can be in progress at once; 3,000 other paths can.
const MOST_WILDCARDS: usize = 15;

/// The longest path, in characters.
const LONGEST_PATH: usize = 4_000;

/// How far AWS's clock may be from ours.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// What is purged, and for which incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident.
    pub incident_id: IncidentId,
    /// What viewers ask for, URL-encoded, with the leading slash; a `*` at the end is a wildcard.
    pub paths: Vec<String>,
    /// Which round of the incident this is: what was defaced again is purged again.
    #[serde(default)]
    pub round: u32,
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether this run asked for an invalidation that nobody had asked for yet.
    pub changed: bool,
    /// What was done, in one sentence.
    pub summary: String,
}

/// The worker.
#[derive(Debug)]
pub struct PurgeCache {
    cloudfront: Client,
    distribution: Option<String>,
    now: fn() -> Timestamp,
}

impl PurgeCache {
    /// Reads the setting `DISTRIBUTION_ID`; without it there is no cache to purge.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        Ok(Self {
            cloudfront: Client::new(&worker::CONTROL.on(config)),
            distribution: Settings::from_env().optional("DISTRIBUTION_ID")?,
            now: Timestamp::now,
        })
    }
}

impl Worker for PurgeCache {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let Some(distribution) = &self.distribution else {
            return Ok(unchanged(
                "no distribution is configured, so there is no cache to purge".to_owned(),
            ));
        };
        let paths = purgeable(&input.paths);
        if paths.is_empty() {
            return Ok(unchanged("there is nothing to purge".to_owned()));
        }
        if input.dry_run {
            let what = describe(&paths);
            return Ok(unchanged(format!(
                "{what} would be purged from distribution {distribution}"
            )));
        }
        let started = (self.now)();
        let mut paths = paths;
        let mut answer = self.ask(distribution, &input, &paths).await;
        if answer.as_ref().is_err_and(refuses_the_paths) && !paths.contains(EVERYTHING) {
            paths = BTreeSet::from([EVERYTHING]);
            answer = self.ask(distribution, &input, &paths).await;
        }
        let made = answer.map_err(|error| failure(&error))?.invalidation;
        let already = made.as_ref().is_some_and(|made| is_older(made, started));
        let id = made.map_or_else(|| "unknown".to_owned(), |made| made.id);
        let what = format!("{} from distribution {distribution}", describe(&paths));
        let summary = if already {
            format!("a purge of {what} was asked for already (invalidation {id})")
        } else {
            format!("a purge of {what} was asked for (invalidation {id}); it takes a few minutes")
        };
        Ok(Output {
            changed: !already,
            summary,
        })
    }
}

type Answer = Result<CreateInvalidationOutput, SdkError<CreateInvalidationError, HttpResponse>>;

impl PurgeCache {
    async fn ask(&self, distribution: &str, input: &Input, paths: &BTreeSet<&str>) -> Answer {
        let items: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        let paths_of_batch = Paths::builder()
            .quantity(i32::try_from(items.len()).unwrap_or(i32::MAX))
            .set_items(Some(items))
            .build()
            .map_err(SdkError::construction_failure)?;
        let batch = InvalidationBatch::builder()
            .paths(paths_of_batch)
            .caller_reference(reference(input, paths))
            .build()
            .map_err(SdkError::construction_failure)?;
        self.cloudfront
            .create_invalidation()
            .distribution_id(distribution)
            .invalidation_batch(batch)
            .send()
            .await
    }
}

fn unchanged(summary: String) -> Output {
    Output {
        changed: false,
        summary,
    }
}

/// Each path once, or everything where they would not be taken.
fn purgeable(paths: &[String]) -> BTreeSet<&str> {
    let each: BTreeSet<_> = paths.iter().map(String::as_str).collect();
    let wildcards = each.iter().filter(|path| path.ends_with('*')).count();
    if each.len() <= MOST_PATHS && wildcards <= MOST_WILDCARDS && each.iter().all(|it| fits(it)) {
        each
    } else {
        BTreeSet::from([EVERYTHING])
    }
}

fn fits(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn describe(paths: &BTreeSet<&str>) -> String {
    match paths.len() {
        _ if paths.contains(EVERYTHING) => "everything".to_owned(),
        1 => "one path".to_owned(),
        many => format!("{many} paths"),
    }
}

/// What AWS knows the request by: the same for the same paths in the same round of an incident.
fn reference(input: &Input, paths: &BTreeSet<&str>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{}\n{}", input.incident_id, input.round));
    for path in paths {
        hasher.update("\n");
        hasher.update(path);
    }
    let digest = hasher.finalize();
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Whether an earlier run asked for it.
fn is_older(invalidation: &Invalidation, started: Timestamp) -> bool {
    invalidation.create_time.secs() < (started - CLOCK_SKEW).as_second()
}

fn refuses_the_paths(error: &SdkError<CreateInvalidationError, HttpResponse>) -> bool {
    matches!(error.code(), Some("BatchTooLarge" | "InvalidArgument"))
}

fn failure(error: &SdkError<CreateInvalidationError, HttpResponse>) -> Failure {
    let failure = Failure::aws(CALL, error);
    match error.code() {
        Some("NoSuchDistribution") => Failure::TargetNotFound(failure.to_string()),
        Some("TooManyInvalidationsInProgress") => Failure::Transient(failure.to_string()),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_sdk_cloudfront::{
        config::{
            endpoint::{DefaultResolver, Params, ResolveEndpoint},
            retry::RetryConfig,
        },
        primitives::DateTime,
    };
    use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
    use serde_json::{Value, json};
    use worker::answer;

    use super::*;

    const NOW: &str = "2026-11-25T03:12:46Z";

    fn worker(rule: &Rule) -> PurgeCache {
        PurgeCache {
            cloudfront: mock_client!(aws_sdk_cloudfront, RuleMode::MatchAny, &[rule], |config| {
                config.retry_config(RetryConfig::disabled())
            }),
            distribution: Some("E1SITE".to_owned()),
            now: || NOW.parse().unwrap(),
        }
    }

    fn payload(paths: impl Into<Value>) -> Value {
        json!({"incidentId": "i-1", "paths": paths.into()})
    }

    /// What was asked for: the reference and the paths of each call.
    type Asked = Arc<Mutex<Vec<(String, Vec<String>)>>>;

    /// An AWS that made the invalidation `age` seconds ago and refuses any path but everything with
    /// `refusal`.
    fn cloudfront(age: i64, refusal: Option<(u16, &'static str)>) -> (Rule, Asked) {
        let asked = Asked::default();
        let rule = {
            let asked = Arc::clone(&asked);
            mock!(Client::create_invalidation).then_compute_response(move |request| {
                assert_eq!(request.distribution_id(), Some("E1SITE"));
                let batch = request.invalidation_batch().unwrap();
                let paths = batch.paths().unwrap();
                assert_eq!(
                    usize::try_from(paths.quantity()).unwrap(),
                    paths.items().len()
                );
                let items = paths.items().to_vec();
                let refused = refusal.filter(|_| items != [EVERYTHING]);
                asked
                    .lock()
                    .unwrap()
                    .push((batch.caller_reference().to_owned(), items));
                match refused {
                    Some((status, code)) => MockResponse::Http(refuse(status, code)),
                    None => MockResponse::Output(created(age)),
                }
            })
        };
        (rule, asked)
    }

    fn created(age: i64) -> CreateInvalidationOutput {
        let now: Timestamp = NOW.parse().unwrap();
        CreateInvalidationOutput::builder()
            .invalidation(
                Invalidation::builder()
                    .id("I1")
                    .status("InProgress")
                    .create_time(DateTime::from_secs(now.as_second() - age))
                    .build()
                    .unwrap(),
            )
            .build()
    }

    fn refuse(status: u16, code: &str) -> HttpResponse {
        HttpResponse::new(
            status.try_into().unwrap(),
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>what AWS said</Message></Error></ErrorResponse>"
            )
            .into(),
        )
    }

    fn refusing(status: u16, code: &'static str) -> Rule {
        mock!(Client::create_invalidation).then_http_response(move || refuse(status, code))
    }

    #[tokio::test]
    async fn every_path_is_purged_once() {
        let (rule, asked) = cloudfront(0, None);
        let paths = json!(["/index.html", "/a%20b.css", "/index.html"]);
        let answer = answer(&worker(&rule), &payload(paths)).await.unwrap();
        assert_eq!(answer["changed"], true);
        insta::assert_snapshot!(
            answer["summary"].as_str().unwrap(),
            @"a purge of 2 paths from distribution E1SITE was asked for (invalidation I1); it takes a few minutes"
        );
        let asked = asked.lock().unwrap();
        let (reference, paths) = &asked[0];
        assert_eq!(asked.len(), 1);
        assert_eq!(*paths, ["/a%20b.css", "/index.html"]);
        insta::assert_snapshot!(
            reference,
            @"b46cc61324623ccc9ea89aab519d38a8544267b62fc6e94ee74fc1908c2b8ed2"
        );
    }

    #[tokio::test]
    async fn a_second_run_asks_with_the_same_reference_and_another_round_with_another() {
        let (rule, asked) = cloudfront(60, None);
        let worker = worker(&rule);
        let again = answer(&worker, &payload(json!(["/b", "/a"])))
            .await
            .unwrap();
        assert_eq!(again["changed"], false);
        insta::assert_snapshot!(
            again["summary"].as_str().unwrap(),
            @"a purge of 2 paths from distribution E1SITE was asked for already (invalidation I1)"
        );
        answer(&worker, &payload(json!(["/a", "/b"])))
            .await
            .unwrap();
        let mut next = payload(json!(["/a", "/b"]));
        next["round"] = json!(1);
        answer(&worker, &next).await.unwrap();
        let mut other = payload(json!(["/a", "/b"]));
        other["incidentId"] = json!("i-2");
        answer(&worker, &other).await.unwrap();
        answer(&worker, &payload(json!(["/a/b"]))).await.unwrap();
        let asked = asked.lock().unwrap();
        let references: Vec<_> = asked.iter().map(|(reference, _)| reference).collect();
        assert_eq!(references[0], references[1]);
        let different: BTreeSet<_> = references.iter().collect();
        assert_eq!(different.len(), 4);
    }

    #[tokio::test]
    async fn clocks_that_differ_a_little_make_no_second_run() {
        let (rule, _) = cloudfront(3, None);
        let answer = answer(&worker(&rule), &payload(json!(["/a"])))
            .await
            .unwrap();
        assert_eq!(answer["changed"], true);
    }

    #[tokio::test]
    async fn what_cloudfront_would_not_take_purges_everything() {
        let many = |count: usize, end: &str| -> Value {
            (0..count)
                .map(|n| format!("/{n}{end}"))
                .collect::<Vec<_>>()
                .into()
        };
        for (paths, purged) in [
            (many(1_000, ""), 1_000),
            (many(1_001, ""), 1),
            (many(15, "*"), 15),
            (many(16, "*"), 1),
            (json!(["/a", format!("/{}", "x".repeat(3_999))]), 2),
            (json!(["/a", format!("/{}", "x".repeat(4_000))]), 1),
            (json!(["/a", "b"]), 1),
            (json!(["/a", ""]), 1),
            (json!(["/a", "/b c"]), 1),
            (json!(["/a", "/é"]), 1),
        ] {
            let (rule, asked) = cloudfront(0, None);
            let answer = answer(&worker(&rule), &payload(paths)).await.unwrap();
            assert_eq!(answer["changed"], true);
            let asked = asked.lock().unwrap();
            assert_eq!(asked[0].1.len(), purged);
            assert_eq!(purged == 1, asked[0].1 == [EVERYTHING]);
            assert_eq!(
                purged == 1,
                answer["summary"]
                    .as_str()
                    .unwrap()
                    .contains("purge of everything")
            );
        }
    }

    #[tokio::test]
    async fn paths_that_cloudfront_refuses_purge_everything() {
        for refusal in [(400, "InvalidArgument"), (413, "BatchTooLarge")] {
            let (rule, asked) = cloudfront(0, Some(refusal));
            let answer = answer(&worker(&rule), &payload(json!(["/a", "/b*c"])))
                .await
                .unwrap();
            assert_eq!(answer["changed"], true);
            let asked = asked.lock().unwrap();
            assert_eq!(asked.len(), 2);
            assert_eq!(asked[1].1, [EVERYTHING]);
            assert_ne!(asked[0].0, asked[1].0);
        }
    }

    #[tokio::test]
    async fn everything_refused_is_a_failure_after_one_call() {
        let rule = refusing(400, "InvalidArgument");
        let failure = answer(&worker(&rule), &payload(json!(["/*"])))
            .await
            .unwrap_err();
        assert_eq!(failure.name(), "Rejected");
        assert_eq!(rule.num_calls(), 1);
    }

    #[tokio::test]
    async fn what_cloudfront_answers_decides_the_class() {
        for (status, code, class) in [
            (404, "NoSuchDistribution", "TargetNotFound"),
            (403, "AccessDenied", "AccessDenied"),
            (400, "TooManyInvalidationsInProgress", "Transient"),
            (400, "Throttling", "Transient"),
            (503, "ServiceUnavailable", "Transient"),
            (400, "MissingBody", "Rejected"),
            (409, "InvalidationBatchAlreadyExists", "Rejected"),
        ] {
            let rule = refusing(status, code);
            let failure = answer(&worker(&rule), &payload(json!(["/a"])))
                .await
                .unwrap_err();
            assert_eq!(failure.name(), class, "{code}");
            assert_eq!(
                failure.to_string(),
                format!("cloudfront:CreateInvalidation: {code}: what AWS said")
            );
            assert_eq!(rule.num_calls(), 1, "{code}");
        }
    }

    #[tokio::test]
    async fn there_may_be_nothing_to_do() {
        let (rule, _) = cloudfront(0, None);
        let worker = worker(&rule);
        let mut dry = payload(json!(["/a"]));
        dry["dryRun"] = json!(true);
        let none = PurgeCache {
            distribution: None,
            ..self::worker(&rule)
        };
        let mut summaries = Vec::new();
        for (worker, payload) in [
            (&worker, dry),
            (&worker, payload(json!([]))),
            (&none, payload(json!(["/a"]))),
        ] {
            let answer = answer(worker, &payload).await.unwrap();
            assert_eq!(answer["changed"], false);
            summaries.push(answer["summary"].as_str().unwrap().to_owned());
        }
        insta::assert_snapshot!(summaries.join("\n"), @"
        one path would be purged from distribution E1SITE
        there is nothing to purge
        no distribution is configured, so there is no cache to purge
        ");
        assert_eq!(rule.num_calls(), 0);
    }

    /// The SDK's rules, on which `from_env` relies: it sets no region.
    #[tokio::test]
    async fn cloudfront_is_found_from_any_region() {
        for (region, url) in [
            ("us-east-1", "https://cloudfront.amazonaws.com"),
            ("eu-central-1", "https://cloudfront.amazonaws.com"),
            (
                "cn-north-1",
                "https://cloudfront.cn-northwest-1.amazonaws.com.cn",
            ),
        ] {
            let params = Params::builder().region(region.to_owned()).build().unwrap();
            let endpoint = DefaultResolver::new()
                .resolve_endpoint(&params)
                .await
                .unwrap();
            assert_eq!(endpoint.url(), url);
        }
    }
}
