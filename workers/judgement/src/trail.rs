//! Calls on the trail.

use std::collections::BTreeSet;

use incident::TrailArn;
use serde_json::Value;
use trail::{EventSelectors, InsightSelector, Trail};

use crate::{
    Fact,
    call::{Aim, Case, Effect, Touched},
};

pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let (parameter, effect): (_, fn(&Case<'_>) -> Effect) = match case.name() {
        "StopLogging" => ("name", |_| {
            Effect::tampering("the watched trail was stopped")
        }),
        "DeleteTrail" => ("name", |_| {
            Effect::tampering("the watched trail was deleted")
        }),
        "UpdateTrail" => ("name", update),
        "PutEventSelectors" => ("trailName", event_selectors),
        "PutInsightSelectors" => ("trailName", insight_selectors),
        "PutEventConfiguration" => ("trailName", |_| {
            Effect::Harmless(
                "aggregation adds summaries beside the events and takes none away".to_owned(),
            )
        }),
        "DeleteEventDataStore" | "StopEventDataStoreIngestion" => {
            return Some(Touched::new("an event data store", Aim::Watched, |_| {
                Effect::Unclear(
                    "an event data store of CloudTrail Lake was stopped or deleted; none is \
                         watched here, and it can be restored within 7 days (aws cloudtrail \
                         restore-event-data-store)"
                        .to_owned(),
                )
            }));
        }
        _ => return None,
    };
    // Insights can be those of an event data store.
    let of_trail = case.given("eventDataStore").is_none();
    let aim = match (&case.watch.trail, case.given(parameter)) {
        (None, _) => Aim::Nothing,
        (Some(_), _) if !of_trail => Aim::Other,
        (Some(trail), Some(given)) => Aim::at(names(trail, given, &case.call.region)),
        (Some(trail), None) => Aim::Unsaid(trail.arn().to_string(), ":trail/"),
    };
    Some(Touched::new("the watched trail", aim, effect))
}

/// A request may give a name or an ARN; a name means a trail of the region that answered.
fn names(trail: &TrailArn, given: &str, region: &str) -> bool {
    if given.starts_with("arn:") {
        given == trail.arn().as_str()
    } else {
        given == trail.name() && region == trail.region()
    }
}

/// A setting as `UpdateTrail` names it, as the baseline does, and what another value and an empty one
/// do to the trail.
const SETTINGS: [(&str, &str, &str, &str); 11] = [
    (
        "s3BucketName",
        "s3BucketName",
        "sent to another bucket",
        "sent to another bucket",
    ),
    (
        "s3KeyPrefix",
        "s3KeyPrefix",
        "sent to another prefix",
        "sent to no prefix",
    ),
    (
        "snsTopicName",
        "snsTopic",
        "announced to another topic",
        "announced to no topic",
    ),
    (
        "includeGlobalServiceEvents",
        "includeGlobalServiceEvents",
        "made to leave out global services",
        "",
    ),
    (
        "isMultiRegionTrail",
        "isMultiRegionTrail",
        "narrowed to one region",
        "",
    ),
    (
        "enableLogFileValidation",
        "logFileValidationEnabled",
        "left without log file validation",
        "",
    ),
    (
        "kmsKeyId",
        "kmsKeyId",
        "given another key",
        "left without its key",
    ),
    (
        "cloudWatchLogsLogGroupArn",
        "cloudWatchLogsLogGroupArn",
        "given another log group",
        "cut off from its log group",
    ),
    (
        "cloudWatchLogsRoleArn",
        "cloudWatchLogsRoleArn",
        "given another role for its log group",
        "left without a role for its log group",
    ),
    (
        "recursiveLogging",
        "recursiveLogging",
        "made to leave out CloudTrail's own deliveries",
        "",
    ),
    (
        "isOrganizationTrail",
        "isOrganizationTrail",
        "narrowed to one account",
        "",
    ),
];

/// What is said of one setting.
enum Change {
    Weaker(&'static str),
    Unknown(&'static str),
}

/// Only what a request holds is changed; the rest stays.
fn update(case: &Case<'_>) -> Effect {
    let changes: Vec<Change> = SETTINGS
        .iter()
        .filter_map(|(parameter, field, changed, cleared)| {
            let value = requested(case, parameter);
            let done = if value == "" { cleared } else { changed };
            if value.is_null() || value == &Value::Bool(true) {
                // Every switch that can be turned on makes the trail see more, or prove it.
                return None;
            }
            match &case.facts.trail {
                Fact::Recorded(_) => (!case
                    .facts
                    .trail
                    .allowed()
                    .any(|trail| same_setting(value, &field_of(trail, field))))
                .then_some(Change::Weaker(done)),
                Fact::Unrecorded | Fact::Unreadable => by_value(case, parameter, value, done),
            }
        })
        .collect();
    let named = |weaker: bool| {
        let of_kind = changes.iter().filter_map(|change| match change {
            Change::Weaker(done) => weaker.then_some(*done),
            Change::Unknown(done) => (!weaker).then_some(*done),
        });
        of_kind.collect::<Vec<_>>().join(", ")
    };
    let (weaker, unknown) = (named(true), named(false));
    if !weaker.is_empty() {
        return Effect::tampering(format!("the watched trail was {weaker}"));
    }
    if !unknown.is_empty() {
        return Effect::Unclear(format!(
            "the watched trail was {unknown}, and whether that was intended is not recorded"
        ));
    }
    case.facts
        .trail
        .harmless("the update is as recorded, or makes the trail stronger")
}

/// A key may be given by an alias: then the answer says which it is.
fn requested<'a>(case: &Case<'a>, parameter: &str) -> &'a Value {
    let given = &case.call.request[parameter];
    let is_alias = given.as_str().is_some_and(|key| key.contains("alias/"));
    let answered = &case.record["responseElements"][parameter];
    if is_alias && answered.is_string() {
        answered
    } else {
        given
    }
}

fn field_of(trail: &Trail, field: &str) -> Value {
    serde_json::to_value(&trail.settings)
        .map(|mut settings| settings[field].take())
        .unwrap_or_default()
}

/// A request may clear a setting with an empty text, and shorten an ARN to its end.
fn same_setting(given: &Value, recorded: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match given {
        Value::String(given) => {
            let recorded = text(recorded);
            // Only an ARN has a shorter form: a prefix or a bucket has not.
            let is_arn = recorded.starts_with("arn:");
            let end = |separator| {
                is_arn && !given.is_empty() && recorded.ends_with(&format!("{separator}{given}"))
            };
            // CloudTrail writes a log group's ARN with `:*` behind it.
            recorded == *given
                || recorded.trim_end_matches(":*") == given.trim_end_matches(":*")
                || end('/')
                || end(':')
        }
        _ => given == recorded,
    }
}

/// What the value of a setting tells when nobody recorded what it should be.
fn by_value(case: &Case<'_>, parameter: &str, value: &Value, done: &'static str) -> Option<Change> {
    let archive = &case.watch.archive;
    let known = match parameter {
        "s3BucketName" => archive.bucket.clone(),
        "kmsKeyId" => archive.key.as_ref().map(ToString::to_string),
        "cloudWatchLogsLogGroupArn" => archive.log_group.clone(),
        // Where else its files are announced, and under which prefix they are kept, blinds nobody; and
        // most trails are none of an organization.
        "s3KeyPrefix" | "snsTopicName" | "cloudWatchLogsRoleArn" | "isOrganizationTrail" => {
            return None;
        }
        // It hides deliveries that are CloudTrail's own; whether that is wanted is not known.
        "recursiveLogging" => return Some(Change::Unknown(done)),
        _ => return Some(Change::Weaker(done)),
    };
    let given = value.as_str().unwrap_or_default();
    match known {
        // Nothing is known that would be taken away.
        None if given.is_empty() => None,
        None => Some(Change::Unknown(done)),
        Some(known) if !given.is_empty() && is_named(given, &known) => None,
        Some(_) => Some(Change::Weaker(done)),
    }
}

/// Whether `given`, a name or an ARN, is of what is `known`.
fn is_named(given: &str, known: &str) -> bool {
    let given = given.trim_end_matches(":*");
    given == known
        || known.ends_with(&format!("/{given}"))
        || given.ends_with(&format!(":log-group:{known}"))
}

fn event_selectors(case: &Case<'_>) -> Effect {
    let Some(given) = EventSelectors::from_event(&case.call.request) else {
        return Effect::Unclear(
            "the event selectors of the watched trail were replaced, and the event does not say by \
             what"
                .to_owned(),
        );
    };
    let trails = &case.facts.trail;
    if trails.is_recorded() {
        let mut allowed = trails.allowed();
        return if allowed.any(|trail| given.covers(&trail.event_selectors)) {
            trails.harmless("the event selectors record all that was recorded")
        } else {
            Effect::tampering("the event selectors of the watched trail were narrowed")
        };
    }
    if !given.takes_changes() {
        return Effect::tampering(
            "the watched trail was made to leave out management events that change something,",
        );
    }
    if !given.takes_data() {
        return Effect::tampering("the watched trail was made to leave out every data event");
    }
    trails.harmless("the event selectors take every change and some data events")
}

fn insight_selectors(case: &Case<'_>) -> Effect {
    let given = &case.call.request["insightSelectors"];
    let Some(given) = given.as_array() else {
        return Effect::Unclear(
            "the insight selectors of the watched trail were replaced, and the event does not say \
             by what"
                .to_owned(),
        );
    };
    let given: BTreeSet<InsightSelector> = given.iter().map(insight_selector).collect();
    let trails = &case.facts.trail;
    let narrowed = if trails.is_recorded() {
        !trails.allowed().any(|trail| {
            let selectors = trail.insight_selectors.as_ref();
            selectors.is_none_or(|selectors| selectors.is_subset(&given))
        })
    } else {
        given.is_empty()
    };
    if narrowed {
        Effect::tampering("the insight selectors of the watched trail were emptied or narrowed")
    } else {
        trails.harmless("the insight selectors were kept or widened")
    }
}

fn insight_selector(selector: &Value) -> InsightSelector {
    let categories: BTreeSet<String> = selector["eventCategories"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|category| category.as_str().map(str::to_owned))
        .collect();
    InsightSelector {
        insight_type: selector["insightType"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        event_categories: if categories.is_empty() {
            BTreeSet::from(["Management".to_owned()])
        } else {
            categories
        },
    }
}
