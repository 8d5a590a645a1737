//! A CloudTrail trail as a whole: what can be set about it, reading it, comparing it with a
//! baseline, whether it is healthy. Hardening a trail is no deviation from its baseline.
//!
//! Two trails are equal when they record the same: lists are sets, since CloudTrail keeps no order
//! in them, and what AWS leaves out is filled in when it is read (no prefix is an empty prefix, no
//! `ReadWriteType` is `All`).
//!
//! Every call goes to the trail's home region ([`client_for`]) and names the trail by its full ARN:
//! a bare name means another trail, or none, in every other region and account.
//!
//! Event aggregation (`PutEventConfiguration`) is no part of it: it adds summaries beside the
//! events and takes none away.

mod covers;
mod health;
mod read;
mod selectors;

pub use health::{blind_spots, health};
pub use read::{Status, home_of, read, status};
pub use selectors::{
    AdvancedSelector, BasicSelector, DataResource, EventSelectors, FieldSelector, InsightSelector,
};

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudtrail::{Client, config::Region};
use incident::{Recorded, TrailArn};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Everything that can be set about a trail; its JSON is the baseline in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trail {
    /// The trail's name.
    pub name: String,
    /// What `UpdateTrail` sets.
    #[serde(flatten)]
    pub settings: Settings,
    /// What `PutEventSelectors` sets.
    pub event_selectors: EventSelectors,
    /// What `PutInsightSelectors` sets; none where this API does not tell.
    pub insight_selectors: Option<BTreeSet<InsightSelector>>,
    /// The tags but AWS's own, which a recreated trail gets back. They decide nothing about what is recorded, so
    /// they do not count in [`Trail::differences`].
    pub tags: BTreeMap<String, String>,
}

/// What is recorded, where it goes and how it is protected, apart from the selectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in CloudTrail"
)]
pub struct Settings {
    /// The bucket of the log files.
    pub s3_bucket_name: String,
    /// What their keys start with.
    pub s3_key_prefix: Option<String>,
    /// The topic that announces them: its ARN, or its name where the API tells no ARN.
    pub sns_topic: Option<String>,
    /// Whether calls of global services such as IAM are recorded.
    pub include_global_service_events: bool,
    /// Whether every region is recorded.
    pub is_multi_region_trail: bool,
    /// Whether digest files prove that log files are whole.
    pub log_file_validation_enabled: bool,
    /// The key that encrypts the log files.
    pub kms_key_id: Option<String>,
    /// The log group that gets the events too.
    pub cloud_watch_logs_log_group_arn: Option<String>,
    /// The role that writes to it.
    pub cloud_watch_logs_role_arn: Option<String>,
    /// Whether every account of the organization is recorded.
    pub is_organization_trail: bool,
    /// Whether CloudTrail's own deliveries are recorded, as they are unless it is told otherwise. It
    /// hides no change of anybody's, so that a trail without it is healthy.
    pub recursive_logging: bool,
}

impl Trail {
    /// What this trail should be by what is recorded of it. What is stronger than that stays as it
    /// is: a switch that records or proves more, selectors that take more.
    #[must_use]
    pub fn should_be(&self, recorded: &Recorded<Self>) -> Self {
        let mut expected = recorded.expected(self);
        expected.settings.keep_switched_on(&self.settings);
        if self.event_selectors.covers(&expected.event_selectors) {
            expected.event_selectors = self.event_selectors.clone();
        }
        let stronger = self.insights().zip(expected.insights());
        if stronger.is_some_and(|(now, recorded)| now.is_superset(&recorded)) {
            expected
                .insight_selectors
                .clone_from(&self.insight_selectors);
        }
        expected
    }

    /// Each insight with each category of events by itself, as far as they are known.
    fn insights(&self) -> Option<BTreeSet<(&str, &str)>> {
        let selectors = self.insight_selectors.as_ref()?;
        let pairs = selectors.iter().flat_map(|selector| {
            let categories = selector.event_categories.iter();
            categories.map(|category| (selector.insight_type.as_str(), category.as_str()))
        });
        Some(pairs.collect())
    }

    /// The fields in which this trail is not as `baseline`, by their names in JSON: what a repair
    /// would put back. Insight selectors that one of the two does not know are not compared.
    #[must_use]
    pub fn differences(&self, baseline: &Self) -> Vec<String> {
        let mut fields = self.settings.differences(&baseline.settings);
        if self.event_selectors != baseline.event_selectors {
            fields.push("eventSelectors".to_owned());
        }
        if self.insights_differ(baseline) {
            fields.push("insightSelectors".to_owned());
        }
        fields
    }

    /// Whether the insight selectors of both are known and not the same.
    #[must_use]
    pub fn insights_differ(&self, baseline: &Self) -> bool {
        self.insight_selectors
            .as_ref()
            .zip(baseline.insight_selectors.as_ref())
            .is_some_and(|(ours, theirs)| ours != theirs)
    }

    /// Whether the insight selectors cannot be read here though `baseline` knows them, so that they
    /// are not compared.
    #[must_use]
    pub fn hides_insights(&self, baseline: &Self) -> bool {
        self.insight_selectors.is_none() && baseline.insight_selectors.is_some()
    }
}

impl Settings {
    fn keep_switched_on(&mut self, now: &Self) {
        self.include_global_service_events |= now.include_global_service_events;
        self.is_multi_region_trail |= now.is_multi_region_trail;
        self.log_file_validation_enabled |= now.log_file_validation_enabled;
        self.is_organization_trail |= now.is_organization_trail;
        self.recursive_logging |= now.recursive_logging;
    }

    /// The fields that are not as in `baseline`, by their names in JSON.
    #[must_use]
    pub fn differences(&self, baseline: &Self) -> Vec<String> {
        let theirs = baseline.fields();
        let mut names: Vec<_> = self
            .fields()
            .into_iter()
            .filter(|(name, value)| theirs.get(name) != Some(value))
            .map(|(name, _)| name)
            .collect();
        names.sort();
        names
    }

    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }
}

/// `client` in the home region of `trail`, the only one in which a trail can be changed.
#[must_use]
pub fn client_for(client: &Client, trail: &TrailArn) -> Client {
    let home = Region::new(trail.region().to_owned());
    Client::from_conf(client.config().to_builder().region(home).build())
}

#[cfg(test)]
mod tests {
    use aws_smithy_mocks::mock_client;
    use serde_json::json;

    use super::*;

    pub(crate) fn arn() -> TrailArn {
        "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main"
            .parse()
            .unwrap()
    }

    pub(crate) fn trail() -> Trail {
        serde_json::from_value(json!({
            "name": "main",
            "s3BucketName": "logs",
            "s3KeyPrefix": null,
            "snsTopic": null,
            "includeGlobalServiceEvents": true,
            "isMultiRegionTrail": true,
            "logFileValidationEnabled": true,
            "kmsKeyId": null,
            "cloudWatchLogsLogGroupArn": null,
            "cloudWatchLogsRoleArn": null,
            "isOrganizationTrail": false,
            "recursiveLogging": true,
            "eventSelectors": {"basic": [{
                "readWriteType": "All",
                "includeManagementEvents": true,
                "dataResources": [
                    {"type": "AWS::S3::Object", "values": ["arn:aws:s3:::site/", "arn:aws:s3:::logs/"]}
                ],
                "excludeManagementEventSources": []
            }]},
            "insightSelectors": [{"insightType": "ApiCallRateInsight", "eventCategories": ["Management"]}],
            "tags": {"owner": "security"}
        }))
        .unwrap()
    }

    #[test]
    fn a_baseline_comes_back_from_the_ledger_as_it_went_in() {
        let json = serde_json::to_value(trail()).unwrap();
        assert_eq!(serde_json::from_value::<Trail>(json).unwrap(), trail());
    }

    #[test]
    fn differences_are_named_as_in_json() {
        let mut tampered = trail();
        tampered.settings.s3_bucket_name = "mine".to_owned();
        tampered.settings.is_multi_region_trail = false;
        tampered.settings.kms_key_id = Some("arn:aws:kms:eu-west-1:666:key/k".to_owned());
        tampered.event_selectors = EventSelectors::everything_managed();
        tampered.insight_selectors = Some(BTreeSet::new());
        insta::assert_snapshot!(
            tampered.differences(&trail()).join(" "),
            @"isMultiRegionTrail kmsKeyId s3BucketName eventSelectors insightSelectors"
        );
        assert_eq!(trail().differences(&trail()), [""; 0]);
    }

    #[test]
    fn tags_and_unknown_insights_are_no_difference() {
        let mut other = trail();
        other.tags.clear();
        other.insight_selectors = None;
        assert_eq!(other.differences(&trail()), [""; 0]);
        assert_eq!(trail().differences(&other), [""; 0]);
        assert!(other.hides_insights(&trail()) && !trail().hides_insights(&other));
    }

    fn recorded(change: impl Fn(&mut Trail)) -> Recorded<Trail> {
        let mut intended = trail();
        change(&mut intended);
        Recorded {
            baseline: trail(),
            intended: Some(intended),
        }
    }

    #[test]
    fn a_tampered_trail_should_be_as_recorded() {
        let mut now = trail();
        now.settings.is_multi_region_trail = false;
        now.settings.s3_bucket_name = "mine".to_owned();
        now.event_selectors = EventSelectors::everything_managed();
        now.insight_selectors = Some(BTreeSet::new());
        let recorded = Recorded {
            baseline: trail(),
            intended: None,
        };
        assert_eq!(now.should_be(&recorded), trail());
    }

    #[test]
    fn an_intended_change_may_be_made_field_by_field() {
        let moves = |trail: &mut Trail| {
            trail.settings.s3_bucket_name = "new".to_owned();
            trail.settings.kms_key_id = Some("key".to_owned());
        };
        let recorded = recorded(moves);
        let mut now = trail();
        now.settings.s3_bucket_name = "new".to_owned();
        assert_eq!(now.should_be(&recorded), now, "the key is still to come");
        moves(&mut now);
        assert_eq!(now.should_be(&recorded), now);
        now.settings.kms_key_id = Some("foreign".to_owned());
        let expected = now.should_be(&recorded);
        assert_eq!(expected.settings.s3_bucket_name, "new");
        assert_eq!(expected.settings.kms_key_id, None);
    }

    #[test]
    fn intended_selectors_may_take_less() {
        let narrowed = |trail: &mut Trail| {
            trail.event_selectors = EventSelectors::everything_managed();
        };
        let recorded = recorded(narrowed);
        let mut now = trail();
        narrowed(&mut now);
        assert_eq!(now.should_be(&recorded), now);
    }

    #[test]
    fn hardening_stays() {
        let mut weak = trail();
        weak.settings.include_global_service_events = false;
        weak.settings.is_multi_region_trail = false;
        weak.settings.log_file_validation_enabled = false;
        weak.settings.recursive_logging = false;
        weak.event_selectors = EventSelectors::everything_managed();
        let recorded = Recorded {
            baseline: weak.clone(),
            intended: None,
        };
        let mut now = trail();
        now.settings.is_organization_trail = true;
        let insights = [
            ("ApiCallRateInsight", vec!["Data", "Management"]),
            ("ApiErrorRateInsight", vec!["Management"]),
        ]
        .map(|(kind, categories)| json!({"insightType": kind, "eventCategories": categories}));
        now.insight_selectors = serde_json::from_value(json!(insights)).unwrap();
        assert_eq!(now.should_be(&recorded), now);

        let unknown = Trail {
            insight_selectors: None,
            ..now
        };
        let expected = unknown.should_be(&recorded);
        assert_eq!(expected.insight_selectors, weak.insight_selectors);
    }

    #[test]
    fn recursive_logging_that_is_turned_off_is_put_back() {
        let recorded = Recorded {
            baseline: trail(),
            intended: None,
        };
        let mut now = trail();
        now.settings.recursive_logging = false;
        let expected = now.should_be(&recorded);
        assert_eq!(expected, trail());
        assert_eq!(now.differences(&expected), ["recursiveLogging"]);
        // It hides CloudTrail's own deliveries, and nobody's changes.
        assert_eq!(blind_spots(&now), [""; 0]);
    }

    #[test]
    fn calls_go_to_the_home_region() {
        let client = mock_client!(aws_sdk_cloudtrail, &[]);
        let region = client_for(&client, &arn()).config().region().cloned();
        assert_eq!(region, Some(Region::new("eu-west-1")));
    }
}
