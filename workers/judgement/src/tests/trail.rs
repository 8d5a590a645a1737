//! Calls on the trail.

use serde_json::{Value, json};

use super::{TRAIL, event, now, trail_facts, verdicts, watch};
use crate::{Fact, Facts, judge};

fn update(changes: Value) -> (&'static str, Value) {
    let mut request = json!({"name": TRAIL});
    for (field, value) in changes.as_object().unwrap() {
        request[field] = value.clone();
    }
    ("UpdateTrail", request)
}

fn selectors(request: Value) -> (&'static str, Value) {
    let mut request = request;
    request["trailName"] = json!("clinic");
    ("PutEventSelectors", request)
}

fn management(extra: Value) -> Value {
    let mut fields = vec![json!({"field": "eventCategory", "equals": ["Management"]})];
    fields.extend(extra.as_array().unwrap().clone());
    json!({"name": "changes", "fieldSelectors": fields})
}

fn patients() -> Value {
    json!({"name": "patients", "fieldSelectors": [
        {"field": "eventCategory", "equals": ["Data"]},
        {"field": "resources.type", "equals": ["AWS::DynamoDB::Table"]},
    ]})
}

#[test]
fn an_update_that_weakens_is_tampering_by_its_values_alone() {
    insta::assert_snapshot!(verdicts("cloudtrail", &Facts::default(), [
        update(json!({"s3BucketName": "elsewhere"})),
        update(json!({"isMultiRegionTrail": false})),
        update(json!({"includeGlobalServiceEvents": false})),
        update(json!({"enableLogFileValidation": false, "kmsKeyId": ""})),
        update(json!({"kmsKeyId": "arn:aws:kms:eu-west-1:999988887777:key/1"})),
        update(json!({"cloudWatchLogsLogGroupArn": "", "cloudWatchLogsRoleArn": ""})),
        update(json!({"isOrganizationTrail": false})),
    ]), @"
    respond: the watched trail was sent to another bucket by IAM user eve
    respond: the watched trail was narrowed to one region by IAM user eve
    respond: the watched trail was made to leave out global services by IAM user eve
    respond: the watched trail was left without log file validation, left without its key by IAM user eve
    respond: the watched trail was given another key by IAM user eve
    respond: the watched trail was cut off from its log group by IAM user eve
    ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)
    ");
}

#[test]
fn an_update_that_hardens_is_none() {
    insta::assert_snapshot!(verdicts("cloudtrail", &Facts::default(), [
        update(json!({"enableLogFileValidation": true, "kmsKeyId": super::KEY})),
        update(json!({"isMultiRegionTrail": true, "includeGlobalServiceEvents": true})),
        update(json!({"s3BucketName": "clinic-logs", "s3KeyPrefix": "new"})),
        update(json!({"kmsKeyId": "0a0a0a0a-1111-2222-3333-444444444444"})),
        update(json!({"cloudWatchLogsLogGroupArn":
            "arn:aws:logs:eu-west-1:123456789012:log-group:trail/clinic:*"})),
    ]), @"
    ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)
    ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)
    ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)
    ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)
    ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)
    ");
}

#[test]
fn what_is_recorded_decides_where_it_is_known() {
    insta::assert_snapshot!(verdicts("cloudtrail", &trail_facts(None), [
        update(json!({"s3BucketName": "clinic-logs", "snsTopicName": "trail"})),
        update(json!({"s3BucketName": "elsewhere"})),
        update(json!({"s3KeyPrefix": "new", "snsTopicName": ""})),
        update(json!({"isOrganizationTrail": false})),
        update(json!({"enableLogFileValidation": false})),
    ]), @"
    ignore: the update is as recorded, or makes the trail stronger
    respond: the watched trail was sent to another bucket by IAM user eve
    respond: the watched trail was sent to another prefix, announced to no topic by IAM user eve
    ignore: the update is as recorded, or makes the trail stronger
    respond: the watched trail was left without log file validation by IAM user eve
    ");
}

#[test]
fn an_intended_change_is_none_and_a_change_beyond_it_is() {
    let facts = trail_facts(Some(
        json!({"s3BucketName": "new-logs", "s3KeyPrefix": "clinic"}),
    ));
    insta::assert_snapshot!(verdicts("cloudtrail", &facts, [
        update(json!({"s3BucketName": "new-logs"})),
        update(json!({"s3BucketName": "clinic-logs", "s3KeyPrefix": "clinic"})),
        update(json!({"s3BucketName": "newer-logs"})),
        update(json!({"s3BucketName": "new-logs", "isMultiRegionTrail": false})),
    ]), @"
    ignore: the update is as recorded, or makes the trail stronger
    ignore: the update is as recorded, or makes the trail stronger
    respond: the watched trail was sent to another bucket by IAM user eve
    respond: the watched trail was narrowed to one region by IAM user eve
    ");
}

#[test]
fn a_baseline_that_cannot_be_read_leaves_the_rest_to_a_human() {
    let facts = Facts {
        trail: Fact::Unreadable,
        ..Facts::default()
    };
    insta::assert_snapshot!(verdicts("cloudtrail", &facts, [
        update(json!({"s3BucketName": "elsewhere"})),
        update(json!({"s3BucketName": "clinic-logs"})),
        selectors(json!({"advancedEventSelectors": [management(json!([])), patients()]})),
    ]), @"
    respond: the watched trail was sent to another bucket by IAM user eve
    escalate: the update is as recorded, or makes the trail stronger, but the baseline could not be read to compare (UpdateTrail by IAM user eve)
    escalate: the event selectors take every change and some data events, but the baseline could not be read to compare (PutEventSelectors by IAM user eve)
    ");
}

#[test]
fn names_that_are_not_configured_leave_a_redirection_to_a_human() {
    let watch = watch(&[("TRAIL_BUCKET_NAME", "none"), ("TRAIL_KEY_ARN", "none")]);
    let lines = [
        json!({"s3BucketName": "elsewhere"}),
        json!({"kmsKeyId": "alias/mine"}),
        json!({"kmsKeyId": "", "isOrganizationTrail": false}),
    ]
    .map(|changes| {
        let (name, request) = update(changes);
        let event = event("cloudtrail", name, request, json!({}));
        super::line(judge(&event, &watch, &Facts::default(), now()))
    });
    insta::assert_snapshot!(lines.join("\n"), @"
    escalate: the watched trail was sent to another bucket, and whether that was intended is not recorded (UpdateTrail by IAM user eve)
    escalate: the watched trail was given another key, and whether that was intended is not recorded (UpdateTrail by IAM user eve)
    ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)
    ");
}

#[test]
fn a_key_given_by_its_alias_is_the_one_that_the_answer_names() {
    let (name, request) = update(json!({"kmsKeyId": "alias/trail"}));
    let answered = |key: &str| {
        let answer = json!({"responseElements": {"kmsKeyId": key}});
        super::verdict("cloudtrail", name, request.clone(), answer)
    };
    insta::assert_snapshot!(answered(super::KEY), @"ignore: the update is as recorded, or makes the trail stronger (no baseline to compare with)");
    insta::assert_snapshot!(answered("arn:aws:kms:eu-west-1:123456789012:key/other"), @"respond: the watched trail was given another key by IAM user eve");
}

#[test]
fn narrowed_selectors_are_tampering_of_either_kind() {
    let basic = |selector: Value| selectors(json!({"eventSelectors": [selector]}));
    insta::assert_snapshot!(verdicts("cloudtrail", &Facts::default(), [
        basic(json!({"readWriteType": "ReadOnly", "includeManagementEvents": false,
                     "dataResources": [{"type": "AWS::S3::Object", "values": []}]})),
        basic(json!({"readWriteType": "ReadOnly", "includeManagementEvents": true})),
        basic(json!({"readWriteType": "All", "includeManagementEvents": true,
                     "excludeManagementEventSources": ["kms.amazonaws.com"]})),
        basic(json!({"readWriteType": "All", "includeManagementEvents": true})),
        basic(json!({"readWriteType": "All", "includeManagementEvents": true,
                     "dataResources": [{"type": "AWS::S3::Object", "values": ["arn:aws:s3"]}]})),
        selectors(json!({"advancedEventSelectors": [management(json!([
            {"field": "eventSource", "notEquals": ["iam.amazonaws.com"]}]))]})),
        selectors(json!({"advancedEventSelectors": [management(json!([
            {"field": "userIdentity.arn", "notEquals": ["arn:aws:iam::123456789012:user/eve"]}
        ])), patients()]})),
        selectors(json!({"advancedEventSelectors": [management(json!([]))]})),
        selectors(json!({"advancedEventSelectors": [management(json!([])), patients()]})),
        selectors(json!({})),
    ]), @"
    respond: the watched trail was made to leave out management events that change something, by IAM user eve
    respond: the watched trail was made to leave out management events that change something, by IAM user eve
    respond: the watched trail was made to leave out management events that change something, by IAM user eve
    respond: the watched trail was made to leave out every data event by IAM user eve
    ignore: the event selectors take every change and some data events (no baseline to compare with)
    respond: the watched trail was made to leave out management events that change something, by IAM user eve
    respond: the watched trail was made to leave out management events that change something, by IAM user eve
    respond: the watched trail was made to leave out every data event by IAM user eve
    ignore: the event selectors take every change and some data events (no baseline to compare with)
    escalate: the event selectors of the watched trail were replaced, and the event does not say by what (PutEventSelectors by IAM user eve)
    ");
}

#[test]
fn recorded_selectors_may_be_kept_or_widened_only() {
    let everything = json!({"name": "all data", "fieldSelectors": [
        {"field": "eventCategory", "equals": ["Data"]},
    ]});
    let excluding = json!({"name": "most", "fieldSelectors": [
        {"field": "eventCategory", "equals": ["Data"]},
        {"field": "resources.type", "equals": ["AWS::DynamoDB::Table"]},
        {"field": "userIdentity.arn", "notEquals": ["arn:aws:iam::123456789012:user/eve"]},
    ]});
    insta::assert_snapshot!(verdicts("cloudtrail", &trail_facts(None), [
        selectors(json!({"advancedEventSelectors": [patients(), management(json!([]))]})),
        selectors(json!({"advancedEventSelectors": [everything, management(json!([]))]})),
        selectors(json!({"advancedEventSelectors": [excluding, management(json!([]))]})),
        selectors(json!({"advancedEventSelectors": [management(json!([]))]})),
    ]), @"
    ignore: the event selectors record all that was recorded
    ignore: the event selectors record all that was recorded
    respond: the event selectors of the watched trail were narrowed by IAM user eve
    respond: the event selectors of the watched trail were narrowed by IAM user eve
    ");
}

#[test]
fn insights_may_be_added_and_not_taken_away() {
    let insights = |list: Value| {
        (
            "PutInsightSelectors",
            json!({"trailName": "clinic", "insightSelectors": list}),
        )
    };
    let calls = || {
        [
            insights(json!([])),
            insights(json!([{"insightType": "ApiErrorRateInsight"}])),
            insights(
                json!([{"insightType": "ApiErrorRateInsight"}, {"insightType": "ApiCallRateInsight"}]),
            ),
            insights(json!(null)),
            (
                "PutInsightSelectors",
                json!({"eventDataStore": "x", "insightSelectors": []}),
            ),
        ]
    };
    insta::assert_snapshot!(verdicts("cloudtrail", &Facts::default(), calls()), @"
    respond: the insight selectors of the watched trail were emptied or narrowed by IAM user eve
    ignore: the insight selectors were kept or widened (no baseline to compare with)
    ignore: the insight selectors were kept or widened (no baseline to compare with)
    escalate: the insight selectors of the watched trail were replaced, and the event does not say by what (PutInsightSelectors by IAM user eve)
    ignore: PutInsightSelectors of something else than the watched trail
    ");
    insta::assert_snapshot!(verdicts("cloudtrail", &trail_facts(None), calls()), @"
    respond: the insight selectors of the watched trail were emptied or narrowed by IAM user eve
    respond: the insight selectors of the watched trail were emptied or narrowed by IAM user eve
    ignore: the insight selectors were kept or widened
    escalate: the insight selectors of the watched trail were replaced, and the event does not say by what (PutInsightSelectors by IAM user eve)
    ignore: PutInsightSelectors of something else than the watched trail
    ");
}

#[test]
fn what_neither_helps_nor_blinds_is_told_or_ignored() {
    insta::assert_snapshot!(verdicts("cloudtrail", &Facts::default(), [
        ("PutEventConfiguration", json!({"trailName": "clinic"})),
        ("DeleteEventDataStore", json!({"eventDataStore": "x"})),
        ("StopEventDataStoreIngestion", json!({"eventDataStore": "x"})),
    ]), @"
    ignore: aggregation adds summaries beside the events and takes none away
    escalate: an event data store of CloudTrail Lake was stopped or deleted; none is watched here, and it can be restored within 7 days (aws cloudtrail restore-event-data-store) (DeleteEventDataStore by IAM user eve)
    escalate: an event data store of CloudTrail Lake was stopped or deleted; none is watched here, and it can be restored within 7 days (aws cloudtrail restore-event-data-store) (StopEventDataStoreIngestion by IAM user eve)
    ");
}
