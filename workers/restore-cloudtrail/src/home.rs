//! A trail in its home region, and the calls that change it.

use aws_sdk_cloudtrail::{
    Client,
    error::SdkError,
    operation::{create_trail::CreateTrailError, start_logging::StartLoggingError},
    types::Tag,
};
use incident::TrailArn;
use ledger::Hold;
use serde_json::Value;
use trail::{Settings, Trail};
use worker::Failure;

/// The hold on a trail.
pub(crate) const MECHANISM: &str = "trail";

/// What CloudTrail answered to `StartLogging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The trail logs from now on, or did already.
    Accepted,
    /// There is no such trail.
    Deleted,
    /// Its home is another region.
    Elsewhere,
}

/// A trail, by its full ARN, and a client of its home region.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) arn: TrailArn,
    pub(crate) client: Client,
}

impl Home {
    pub(crate) fn of(arn: TrailArn, client: &Client) -> Self {
        let client = trail::client_for(client, &arn);
        Self { arn, client }
    }

    pub(crate) fn hold(&self, original: Value) -> Hold {
        Hold {
            resource: self.arn.to_string(),
            mechanism: MECHANISM.to_owned(),
            original,
        }
    }

    pub(crate) async fn start_logging(&self) -> Result<Start, Failure> {
        let call = self.client.start_logging().name(self.arn.to_string());
        match call.send().await {
            Ok(_) => Ok(Start::Accepted),
            Err(error) => match error.as_service_error() {
                Some(StartLoggingError::TrailNotFoundException(_)) => Ok(Start::Deleted),
                Some(StartLoggingError::InvalidHomeRegionException(_)) => Ok(Start::Elsewhere),
                _ => Err(Failure::aws("cloudtrail:StartLogging", &error)),
            },
        }
    }

    /// Creates the trail with all that `CreateTrail` can set; false when it exists by now.
    pub(crate) async fn create(&self, baseline: &Trail) -> Result<bool, Failure> {
        let tags = tags_of(baseline)?;
        let settings = baseline.settings.clone();
        let created = self
            .client
            .create_trail()
            .name(self.arn.name())
            .s3_bucket_name(settings.s3_bucket_name)
            .set_s3_key_prefix(settings.s3_key_prefix)
            .set_sns_topic_name(settings.sns_topic)
            .include_global_service_events(settings.include_global_service_events)
            .is_multi_region_trail(settings.is_multi_region_trail)
            .enable_log_file_validation(settings.log_file_validation_enabled)
            .set_kms_key_id(settings.kms_key_id)
            .set_cloud_watch_logs_log_group_arn(settings.cloud_watch_logs_log_group_arn)
            .set_cloud_watch_logs_role_arn(settings.cloud_watch_logs_role_arn)
            .is_organization_trail(settings.is_organization_trail)
            .set_recursive_logging(Some(false).filter(|_| !settings.recursive_logging))
            .set_tags_list(Some(tags).filter(|tags| !tags.is_empty()))
            .send()
            .await;
        match created {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error))
                if matches!(
                    error.err(),
                    CreateTrailError::TrailAlreadyExistsException(_)
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(Failure::aws("cloudtrail:CreateTrail", &error)),
        }
    }

    /// Makes `now` the settings of `expected`, sending those that differ and no other: what has
    /// not changed cannot be refused.
    pub(crate) async fn update(&self, now: &Settings, expected: &Settings) -> Result<(), Failure> {
        let logs = |settings: &Settings| {
            (
                settings.cloud_watch_logs_log_group_arn.clone(),
                settings.cloud_watch_logs_role_arn.clone(),
            )
        };
        // CloudTrail takes a log group and its role together only.
        let (group, role) = over(&logs(now), &logs(expected)).unzip();
        self.client
            .update_trail()
            .name(self.arn.to_string())
            .set_s3_bucket_name(over(&now.s3_bucket_name, &expected.s3_bucket_name))
            .set_s3_key_prefix(over(&now.s3_key_prefix, &expected.s3_key_prefix).map(cleared))
            .set_sns_topic_name(over(&now.sns_topic, &expected.sns_topic).map(cleared))
            .set_include_global_service_events(over(
                &now.include_global_service_events,
                &expected.include_global_service_events,
            ))
            .set_is_multi_region_trail(over(
                &now.is_multi_region_trail,
                &expected.is_multi_region_trail,
            ))
            .set_enable_log_file_validation(over(
                &now.log_file_validation_enabled,
                &expected.log_file_validation_enabled,
            ))
            .set_kms_key_id(over(&now.kms_key_id, &expected.kms_key_id).map(cleared))
            .set_cloud_watch_logs_log_group_arn(group.map(cleared))
            .set_cloud_watch_logs_role_arn(role.map(cleared))
            .set_is_organization_trail(over(
                &now.is_organization_trail,
                &expected.is_organization_trail,
            ))
            .set_recursive_logging(over(&now.recursive_logging, &expected.recursive_logging))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("cloudtrail:UpdateTrail", &error))
    }

    pub(crate) async fn add_tags(&self, baseline: &Trail) -> Result<(), Failure> {
        self.client
            .add_tags()
            .resource_id(self.arn.to_string())
            .set_tags_list(Some(tags_of(baseline)?))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("cloudtrail:AddTags", &error))
    }

    /// Replaces the event selectors as a whole: advanced and basic ones are never sent together.
    pub(crate) async fn put_event_selectors(&self, expected: &Trail) -> Result<(), Failure> {
        let selectors = &expected.event_selectors;
        self.client
            .put_event_selectors()
            .trail_name(self.arn.to_string())
            .set_event_selectors(selectors.basic())
            .set_advanced_event_selectors(selectors.advanced().map_err(unwritable)?)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("cloudtrail:PutEventSelectors", &error))
    }

    pub(crate) async fn put_insight_selectors(&self, expected: &Trail) -> Result<(), Failure> {
        let selectors = expected.insight_selectors.iter().flatten();
        self.client
            .put_insight_selectors()
            .trail_name(self.arn.to_string())
            .set_insight_selectors(Some(
                selectors.map(trail::InsightSelector::to_sdk).collect(),
            ))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Failure::aws("cloudtrail:PutInsightSelectors", &error))
    }
}

/// What sets `expected` over what is set `now`: what is left out stays.
fn over<T: Clone + PartialEq>(now: &T, expected: &T) -> Option<T> {
    (now != expected).then(|| expected.clone())
}

/// An empty text clears a setting.
fn cleared(setting: Option<String>) -> String {
    setting.unwrap_or_default()
}

fn tags_of(baseline: &Trail) -> Result<Vec<Tag>, Failure> {
    let tags = baseline.tags.iter();
    tags.map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(unwritable)
}

fn unwritable(error: impl std::fmt::Display) -> Failure {
    Failure::Rejected(format!("the baseline cannot be written: {error}"))
}
