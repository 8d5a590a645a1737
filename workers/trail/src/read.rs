//! Reading a trail.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudtrail::{
    Client, operation::get_insight_selectors::GetInsightSelectorsError as InsightsError,
    primitives::DateTime, types,
};
use incident::{Arn, TrailArn};
use jiff::Timestamp;
use worker::Failure;

use crate::{
    Settings, Trail,
    selectors::{EventSelectors, InsightSelector, set_of},
};

/// Whether a trail is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether it records.
    pub is_logging: bool,
    /// When it began to, last.
    pub started_at: Option<Timestamp>,
    /// When it was stopped, last.
    pub stopped_at: Option<Timestamp>,
    /// When it put log files into its bucket, last.
    pub delivered_at: Option<Timestamp>,
    /// Why the bucket took no log files, last.
    pub delivery_error: Option<String>,
    /// Why the log group took no events, last.
    pub logs_delivery_error: Option<String>,
}

/// Reads all of a trail; none when there is no such trail. `client` is the one that
/// [`crate::client_for`] gives.
///
/// # Errors
/// When a part of it cannot be read, except insight selectors where the API has none.
pub async fn read(client: &Client, trail: &TrailArn) -> Result<Option<Trail>, Failure> {
    // Boxed: four SDK calls side by side are more than a caller's stack should carry.
    let (found, event_selectors, insight_selectors, tags) = tokio::join!(
        Box::pin(described(client, trail)),
        Box::pin(event_selectors(client, trail)),
        Box::pin(insight_selectors(client, trail)),
        Box::pin(tags(client, trail)),
    );
    let Some(found) = found? else {
        return Ok(None);
    };
    Ok(Some(Trail {
        name: trail.name().to_owned(),
        settings: found.into(),
        event_selectors: event_selectors?,
        insight_selectors: insight_selectors?,
        tags: tags?,
    }))
}

/// Whether a trail is at work.
///
/// # Errors
/// [`Failure::TargetNotFound`] when there is no such trail.
pub async fn status(client: &Client, trail: &TrailArn) -> Result<Status, Failure> {
    let status = client
        .get_trail_status()
        .name(trail.to_string())
        .send()
        .await
        .map_err(|error| Failure::aws("cloudtrail:GetTrailStatus", &error))?;
    Ok(Status {
        is_logging: status.is_logging.unwrap_or_default(),
        started_at: time(status.start_logging_time),
        stopped_at: time(status.stop_logging_time),
        delivered_at: time(status.latest_delivery_time),
        delivery_error: text(status.latest_delivery_error),
        logs_delivery_error: text(status.latest_cloud_watch_logs_delivery_error),
    })
}

/// The ARN of the same trail in its home region, as AWS tells it to a region that is not; none when
/// it knows no such trail.
///
/// # Errors
/// When AWS does not answer.
pub async fn home_of(client: &Client, trail: &TrailArn) -> Result<Option<TrailArn>, Failure> {
    let found = client
        .describe_trails()
        .trail_name_list(trail.to_string())
        .include_shadow_trails(true)
        .send()
        .await
        .map_err(|error| Failure::aws("cloudtrail:DescribeTrails", &error))?;
    let arn: &Arn = trail.arn();
    Ok(found
        .trail_list()
        .iter()
        .find_map(types::Trail::home_region)
        .and_then(|home| {
            let (partition, account) = (arn.partition(), arn.account());
            format!(
                "arn:{partition}:cloudtrail:{home}:{account}:{}",
                arn.resource()
            )
            .parse()
            .ok()
        }))
}

async fn described(client: &Client, trail: &TrailArn) -> Result<Option<types::Trail>, Failure> {
    match client.get_trail().name(trail.to_string()).send().await {
        Ok(found) => Ok(found.trail),
        Err(error) => match Failure::aws("cloudtrail:GetTrail", &error) {
            Failure::TargetNotFound(_) => Ok(None),
            failure => Err(failure),
        },
    }
}

async fn event_selectors(client: &Client, trail: &TrailArn) -> Result<EventSelectors, Failure> {
    client
        .get_event_selectors()
        .trail_name(trail.to_string())
        .send()
        .await
        .map(|found| EventSelectors::of(found.event_selectors, found.advanced_event_selectors))
        .map_err(|error| Failure::aws("cloudtrail:GetEventSelectors", &error))
}

async fn insight_selectors(
    client: &Client,
    trail: &TrailArn,
) -> Result<Option<BTreeSet<InsightSelector>>, Failure> {
    let found = client
        .get_insight_selectors()
        .trail_name(trail.to_string())
        .send()
        .await;
    match found {
        Ok(found) => Ok(Some(set_of(found.insight_selectors))),
        Err(error) => match error.as_service_error() {
            Some(InsightsError::InsightNotEnabledException(_)) => Ok(Some(BTreeSet::new())),
            // Partitions, regions and emulators without Insights.
            Some(
                InsightsError::InvalidParameterException(_)
                | InsightsError::OperationNotPermittedException(_)
                | InsightsError::UnsupportedOperationException(_),
            ) => Ok(None),
            _ => Err(Failure::aws("cloudtrail:GetInsightSelectors", &error)),
        },
    }
}

async fn tags(client: &Client, trail: &TrailArn) -> Result<BTreeMap<String, String>, Failure> {
    // A trail has at most 50 tags, which fit in one answer.
    let found = client
        .list_tags()
        .resource_id_list(trail.to_string())
        .send()
        .await
        .map_err(|error| Failure::aws("cloudtrail:ListTags", &error))?;
    Ok(found
        .resource_tag_list
        .unwrap_or_default()
        .into_iter()
        .flat_map(|resource| resource.tags_list.unwrap_or_default())
        // AWS's own, such as CloudFormation's, which nobody else can set.
        .filter(|tag| !tag.key.starts_with("aws:"))
        .map(|tag| (tag.key, tag.value.unwrap_or_default()))
        .collect())
}

impl From<types::Trail> for Settings {
    fn from(trail: types::Trail) -> Self {
        #[allow(deprecated, reason = "some answer the topic's name and no ARN")]
        let topic_name = trail.sns_topic_name;
        Self {
            s3_bucket_name: trail.s3_bucket_name.unwrap_or_default(),
            s3_key_prefix: text(trail.s3_key_prefix),
            sns_topic: text(trail.sns_topic_arn).or(text(topic_name)),
            include_global_service_events: trail.include_global_service_events.unwrap_or_default(),
            is_multi_region_trail: trail.is_multi_region_trail.unwrap_or_default(),
            log_file_validation_enabled: trail.log_file_validation_enabled.unwrap_or_default(),
            kms_key_id: text(trail.kms_key_id),
            cloud_watch_logs_log_group_arn: text(trail.cloud_watch_logs_log_group_arn),
            cloud_watch_logs_role_arn: text(trail.cloud_watch_logs_role_arn),
            is_organization_trail: trail.is_organization_trail.unwrap_or_default(),
            recursive_logging: trail.recursive_logging.unwrap_or(true),
        }
    }
}

fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn time(time: Option<DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(time?.secs()).ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudtrail::{
        config::{http::HttpResponse, retry::RetryConfig},
        operation::{
            describe_trails::DescribeTrailsOutput, get_event_selectors::GetEventSelectorsOutput,
            get_insight_selectors::GetInsightSelectorsOutput, get_trail::GetTrailOutput,
            get_trail_status::GetTrailStatusOutput, list_tags::ListTagsOutput,
        },
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::tests::{arn, trail};

    fn refusal(code: &str) -> HttpResponse {
        let body = format!(r#"{{"__type":"{code}","message":"what AWS said"}}"#);
        HttpResponse::new(400.try_into().unwrap(), body.into())
    }

    fn get_trail() -> Rule {
        mock!(Client::get_trail)
            .match_requests(|request| request.name() == Some(arn().arn().as_str()))
            .then_output(|| {
                GetTrailOutput::builder()
                    .trail(
                        types::Trail::builder()
                            .name("main")
                            .s3_bucket_name("logs")
                            .s3_key_prefix("")
                            .include_global_service_events(true)
                            .is_multi_region_trail(true)
                            .log_file_validation_enabled(true)
                            .build(),
                    )
                    .build()
            })
    }

    fn get_event_selectors() -> Rule {
        mock!(Client::get_event_selectors)
            .match_requests(|request| request.trail_name() == Some(arn().arn().as_str()))
            .then_output(|| {
                GetEventSelectorsOutput::builder()
                    .set_event_selectors(trail().event_selectors.basic())
                    .build()
            })
    }

    fn get_insight_selectors() -> Rule {
        mock!(Client::get_insight_selectors)
            .match_requests(|request| request.trail_name() == Some(arn().arn().as_str()))
            .then_output(|| {
                GetInsightSelectorsOutput::builder()
                    .insight_selectors(
                        types::InsightSelector::builder()
                            .insight_type(types::InsightType::ApiCallRateInsight)
                            .build(),
                    )
                    .build()
            })
    }

    fn list_tags() -> Rule {
        mock!(Client::list_tags)
            .match_requests(|request| request.resource_id_list() == [arn().to_string()])
            .then_output(|| {
                let tag = |key: &str, value: &str| {
                    let tag = types::Tag::builder().key(key).value(value);
                    tag.build().unwrap()
                };
                ListTagsOutput::builder()
                    .resource_tag_list(
                        types::ResourceTag::builder()
                            .tags_list(tag("owner", "security"))
                            .tags_list(tag("aws:cloudformation:stack-name", "audit"))
                            .build(),
                    )
                    .build()
            })
    }

    /// Reads with `instead` put before the rules of a healthy trail.
    async fn read_with(instead: &[&Rule]) -> Result<Option<Trail>, Failure> {
        let (trail, events) = (get_trail(), get_event_selectors());
        let (insights, tags) = (get_insight_selectors(), list_tags());
        let rules = instead
            .iter()
            .copied()
            .chain([&trail, &events, &insights, &tags]);
        let client = mock_client!(aws_sdk_cloudtrail, RuleMode::MatchAny, rules, |config| {
            config.retry_config(RetryConfig::disabled())
        });
        read(&client, &arn()).await
    }

    #[tokio::test]
    async fn a_trail_is_read_whole() {
        assert_eq!(read_with(&[]).await, Ok(Some(trail())));
    }

    #[tokio::test]
    async fn a_deleted_trail_is_none_whatever_else_fails() {
        let gone =
            mock!(Client::get_trail).then_http_response(|| refusal("TrailNotFoundException"));
        let tags =
            mock!(Client::list_tags).then_http_response(|| refusal("ResourceNotFoundException"));
        assert_eq!(read_with(&[&gone, &tags]).await, Ok(None));
    }

    #[tokio::test]
    async fn insights_are_none_or_unknown_as_aws_says() {
        for (code, insights) in [
            ("InsightNotEnabledException", Some(BTreeSet::new())),
            ("InvalidParameterException", None),
            ("OperationNotPermittedException", None),
            ("UnsupportedOperationException", None),
        ] {
            let rule =
                mock!(Client::get_insight_selectors).then_http_response(move || refusal(code));
            let read = read_with(&[&rule]).await.unwrap().unwrap();
            assert_eq!(read.insight_selectors, insights, "{code}");
        }
    }

    #[tokio::test]
    async fn a_part_that_cannot_be_read_fails_by_its_call() {
        let failure_with = async |rule: Rule| read_with(&[&rule]).await.unwrap_err();
        assert_eq!(
            failure_with(
                mock!(Client::get_trail).then_http_response(|| refusal("AccessDeniedException"))
            )
            .await,
            Failure::AccessDenied(
                "cloudtrail:GetTrail: AccessDeniedException: what AWS said".to_owned()
            )
        );
        assert_eq!(
            failure_with(
                mock!(Client::get_event_selectors)
                    .then_http_response(|| refusal("ThrottlingException"))
            )
            .await,
            Failure::Transient(
                "cloudtrail:GetEventSelectors: ThrottlingException: what AWS said".to_owned()
            )
        );
        assert_eq!(
            failure_with(
                mock!(Client::get_insight_selectors)
                    .then_http_response(|| refusal("AccessDeniedException"))
            )
            .await
            .name(),
            "AccessDenied"
        );
        assert_eq!(
            failure_with(
                mock!(Client::list_tags).then_http_response(|| refusal("InvalidTokenException"))
            )
            .await
            .name(),
            "Rejected"
        );
    }

    #[tokio::test]
    async fn a_topic_is_its_arn_or_else_its_name() {
        #[allow(deprecated, reason = "some answer the topic's name and no ARN")]
        let topic = |name: &str, arn: &str| {
            let trail = types::Trail::builder()
                .sns_topic_name(name)
                .sns_topic_arn(arn);
            Settings::from(trail.build()).sns_topic
        };
        assert_eq!(topic("news", "arn:news").as_deref(), Some("arn:news"));
        assert_eq!(topic("news", "").as_deref(), Some("news"));
        assert_eq!(topic("", ""), None);
    }

    #[tokio::test]
    async fn a_status_leaves_out_what_is_empty() {
        let rule = mock!(Client::get_trail_status).then_output(|| {
            GetTrailStatusOutput::builder()
                .is_logging(true)
                .start_logging_time(DateTime::from_secs(1_700_000_000))
                .latest_delivery_error("")
                .build()
        });
        let client = mock_client!(aws_sdk_cloudtrail, &[&rule]);
        let expected = Status {
            is_logging: true,
            started_at: Some("2023-11-14T22:13:20Z".parse().unwrap()),
            stopped_at: None,
            delivered_at: None,
            delivery_error: None,
            logs_delivery_error: None,
        };
        assert_eq!(status(&client, &arn()).await, Ok(expected));
    }

    #[tokio::test]
    async fn the_home_region_comes_from_describe_trails() {
        let rule = mock!(Client::describe_trails)
            .match_requests(|request| {
                request.trail_name_list() == [arn().to_string()]
                    && request.include_shadow_trails() == Some(true)
            })
            .then_output(|| {
                let home = types::Trail::builder().home_region("us-east-1").build();
                DescribeTrailsOutput::builder().trail_list(home).build()
            });
        let client = mock_client!(aws_sdk_cloudtrail, &[&rule]);
        assert_eq!(
            home_of(&client, &arn()).await.unwrap().unwrap().to_string(),
            "arn:aws:cloudtrail:us-east-1:123456789012:trail/main"
        );
        let unknown =
            mock!(Client::describe_trails).then_output(|| DescribeTrailsOutput::builder().build());
        let client = mock_client!(aws_sdk_cloudtrail, &[&unknown]);
        assert_eq!(home_of(&client, &arn()).await, Ok(None));
    }
}
