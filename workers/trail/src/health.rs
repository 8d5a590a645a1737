//! Whether a trail sees what it must see.

use aws_sdk_cloudtrail::Client;
use incident::TrailArn;
use worker::Failure;

use crate::{Status, Trail, status};

/// Why `trail` is not healthy, in words; empty when it is. A healthy trail logs, delivers, and
/// records every change in every region, global services included, in files that can be proved.
///
/// # Errors
/// When its status cannot be read; [`Failure::TargetNotFound`] when there is no such trail.
pub async fn health(
    client: &Client,
    arn: &TrailArn,
    trail: &Trail,
) -> Result<Vec<String>, Failure> {
    let mut reasons = idle(&status(client, arn).await?);
    reasons.extend(blind_spots(trail));
    Ok(reasons)
}

fn idle(status: &Status) -> Vec<String> {
    let mut reasons = Vec::new();
    if !status.is_logging {
        reasons.push("it is not logging".to_owned());
    }
    if let Some(error) = &status.delivery_error {
        reasons.push(format!("it cannot deliver to its bucket ({error})"));
    }
    if let Some(error) = &status.logs_delivery_error {
        reasons.push(format!("it cannot deliver to its log group ({error})"));
    }
    reasons
}

/// What keeps `trail` from recording every change whenever it logs, in words; empty when nothing does.
#[must_use]
pub fn blind_spots(trail: &Trail) -> Vec<String> {
    let settings = &trail.settings;
    [
        (
            trail.event_selectors.takes_changes(),
            "no event selector takes every management write event",
        ),
        (settings.is_multi_region_trail, "it records one region only"),
        (
            settings.include_global_service_events,
            "it leaves out global services such as IAM",
        ),
        (
            settings.log_file_validation_enabled,
            "log file validation is off",
        ),
    ]
    .into_iter()
    .filter(|(fine, _)| !fine)
    .map(|(_, reason)| reason.to_owned())
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aws_sdk_cloudtrail::{
        error::ErrorMetadata,
        operation::get_trail_status::{GetTrailStatusError, GetTrailStatusOutput},
    };
    use aws_smithy_mocks::{mock, mock_client};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        EventSelectors,
        tests::{arn, trail},
    };

    async fn reasons(trail: &Trail, status: GetTrailStatusOutput) -> String {
        let rule = mock!(Client::get_trail_status)
            .match_requests(|request| request.name() == Some(arn().arn().as_str()))
            .then_output(move || status.clone());
        let client = mock_client!(aws_sdk_cloudtrail, &[&rule]);
        health(&client, &arn(), trail).await.unwrap().join("; ")
    }

    fn logging() -> GetTrailStatusOutput {
        // AWS answers an empty text once delivery works again.
        GetTrailStatusOutput::builder()
            .is_logging(true)
            .latest_delivery_error("")
            .build()
    }

    fn with_selectors(selectors: Value) -> Trail {
        Trail {
            event_selectors: serde_json::from_value(selectors).unwrap(),
            ..trail()
        }
    }

    #[tokio::test]
    async fn a_healthy_trail_has_no_reason() {
        assert_eq!(reasons(&trail(), logging()).await, "");
    }

    #[tokio::test]
    async fn every_reason_is_named() {
        let mut blind = trail();
        blind.settings.is_multi_region_trail = false;
        blind.settings.include_global_service_events = false;
        blind.settings.log_file_validation_enabled = false;
        blind.event_selectors = EventSelectors::Advanced(BTreeSet::new());
        let idle = GetTrailStatusOutput::builder()
            .latest_delivery_error("NoSuchBucket")
            .latest_cloud_watch_logs_delivery_error("Access denied.")
            .build();
        insta::assert_snapshot!(
            reasons(&blind, idle).await.replace("; ", "\n"),
            @r"
        it is not logging
        it cannot deliver to its bucket (NoSuchBucket)
        it cannot deliver to its log group (Access denied.)
        no event selector takes every management write event
        it records one region only
        it leaves out global services such as IAM
        log file validation is off
        "
        );
    }

    #[tokio::test]
    async fn a_status_that_cannot_be_read_is_not_health() {
        let rule = mock!(Client::get_trail_status).then_error(|| {
            GetTrailStatusError::generic(
                ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .build(),
            )
        });
        let client = mock_client!(aws_sdk_cloudtrail, &[&rule]);
        let failure = health(&client, &arn(), &trail()).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
    }

    #[test]
    fn one_selector_must_take_every_management_write_event() {
        let basic = |kind: &str, management: bool, excluded: &[&str]| {
            json!({"readWriteType": kind, "includeManagementEvents": management,
                   "dataResources": [], "excludeManagementEventSources": excluded})
        };
        let advanced = |fields: Value| json!({"name": null, "fields": fields});
        let management = json!({"field": "eventCategory", "equals": ["Management"]});
        let read_only = |value: &str| json!({"field": "readOnly", "equals": [value]});
        for (sees, selectors) in [
            (true, json!({"basic": [basic("All", true, &[])]})),
            (true, json!({"basic": [basic("WriteOnly", true, &[])]})),
            (false, json!({"basic": [basic("ReadOnly", true, &[])]})),
            (false, json!({"basic": [basic("All", false, &[])]})),
            (
                false,
                json!({"basic": [basic("All", true, &["kms.amazonaws.com"])]}),
            ),
            (
                true,
                json!({"basic": [basic("ReadOnly", true, &[]), basic("All", true, &[])]}),
            ),
            (true, json!({"advanced": [advanced(json!([management]))]})),
            (
                true,
                json!({"advanced": [advanced(json!([management, read_only("false")]))]}),
            ),
            (
                false,
                json!({"advanced": [advanced(json!([management, read_only("true")]))]}),
            ),
            (
                false,
                json!({"advanced": [advanced(json!([
                    {"field": "eventCategory", "equals": ["Data"]}
                ]))]}),
            ),
            (
                false,
                json!({"advanced": [advanced(json!([
                    management, {"field": "eventSource", "notEquals": ["iam.amazonaws.com"]}
                ]))]}),
            ),
            (
                false,
                json!({"advanced": [advanced(json!([
                    management, {"field": "userIdentity.arn", "notEquals": ["arn:aws:iam::1:user/eve"]}
                ]))]}),
            ),
        ] {
            let reasons = blind_spots(&with_selectors(selectors.clone()));
            assert_eq!(reasons.is_empty(), sees, "{selectors}");
        }
    }
}
