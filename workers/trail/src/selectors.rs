//! Which events a trail records.
//!
//! Selectors with a field that is not known here are not read: it might narrow them.

use std::{collections::BTreeSet, fmt};

use aws_sdk_cloudtrail::{error::BuildError, types};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A trail has selectors of one kind; an event is recorded when any of them takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventSelectors {
    /// Management events, and data events of S3, Lambda and DynamoDB.
    Basic(BTreeSet<BasicSelector>),
    /// Events of every kind, filtered by field.
    Advanced(BTreeSet<AdvancedSelector>),
}

/// A basic event selector; what its JSON leaves out is AWS's default.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BasicSelector {
    /// `All`, `ReadOnly` or `WriteOnly`.
    pub read_write_type: String,
    /// Whether it takes management events.
    pub include_management_events: bool,
    /// What it takes data events of.
    pub data_resources: BTreeSet<DataResource>,
    /// The services whose management events it leaves out.
    pub exclude_management_event_sources: BTreeSet<String>,
}

/// Resources of one type whose data events are recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataResource {
    /// `AWS::S3::Object`, ….
    pub r#type: String,
    /// Their ARNs, or how these start.
    #[serde(default)]
    pub values: BTreeSet<String>,
}

/// An advanced event selector: takes the events that all of its fields take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvancedSelector {
    /// What people call it.
    pub name: Option<String>,
    /// The fields, which AWS calls field selectors.
    #[serde(alias = "fieldSelectors")]
    pub fields: BTreeSet<FieldSelector>,
}

/// What one field of an event must be, and must not be, to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FieldSelector {
    /// `eventCategory`, `readOnly`, `resources.ARN`, ….
    pub field: String,
    /// One of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub equals: BTreeSet<String>,
    /// Starting with one of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub starts_with: BTreeSet<String>,
    /// Ending with one of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ends_with: BTreeSet<String>,
    /// None of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_equals: BTreeSet<String>,
    /// Starting with none of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_starts_with: BTreeSet<String>,
    /// Ending with none of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_ends_with: BTreeSet<String>,
}

/// One kind of unusual activity that is reported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InsightSelector {
    /// `ApiCallRateInsight` or `ApiErrorRateInsight`.
    pub insight_type: String,
    /// Among `Management` events, `Data` events or both.
    pub event_categories: BTreeSet<String>,
}

impl EventSelectors {
    /// What a trail records that was told nothing: every management event, no data event.
    #[must_use]
    pub fn everything_managed() -> Self {
        Self::Basic(BTreeSet::from([BasicSelector::default()]))
    }

    /// What a call of `PutEventSelectors` asks for, from the `requestParameters` that CloudTrail
    /// records of it; none when they cannot be read.
    #[must_use]
    pub fn from_event(request: &Value) -> Option<Self> {
        let kind = |name: &str| request.get(name).filter(|list| !list.is_null()).cloned();
        if let Some(list) = kind("advancedEventSelectors") {
            return serde_json::from_value(list).ok().map(Self::Advanced);
        }
        let list = kind("eventSelectors")?;
        serde_json::from_value(list).ok().map(Self::Basic)
    }

    pub(crate) fn of(
        basic: Option<Vec<types::EventSelector>>,
        advanced: Option<Vec<types::AdvancedEventSelector>>,
    ) -> Self {
        match (set_of(basic), set_of(advanced)) {
            (_, advanced) if !advanced.is_empty() => Self::Advanced(advanced),
            (basic, _) if !basic.is_empty() => Self::Basic(basic),
            _ => Self::everything_managed(),
        }
    }

    /// The basic selectors as `PutEventSelectors` takes them; none when they are advanced.
    #[must_use]
    pub fn basic(&self) -> Option<Vec<types::EventSelector>> {
        match self {
            Self::Basic(selectors) => Some(selectors.iter().map(BasicSelector::to_sdk).collect()),
            Self::Advanced(_) => None,
        }
    }

    /// The advanced selectors as `PutEventSelectors` takes them; none when they are basic.
    ///
    /// # Errors
    /// When a field has no name, which no selector that was read has.
    pub fn advanced(&self) -> Result<Option<Vec<types::AdvancedEventSelector>>, BuildError> {
        match self {
            Self::Basic(_) => Ok(None),
            Self::Advanced(selectors) => selectors
                .iter()
                .map(AdvancedSelector::to_sdk)
                .collect::<Result<_, _>>()
                .map(Some),
        }
    }
}

impl fmt::Display for EventSelectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, kind) = match self {
            Self::Basic(selectors) => (selectors.len(), "basic"),
            Self::Advanced(selectors) => (selectors.len(), "advanced"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {kind} event selector{plural}")
    }
}

impl Default for BasicSelector {
    fn default() -> Self {
        types::EventSelector::builder().build().into()
    }
}

impl From<types::EventSelector> for BasicSelector {
    fn from(selector: types::EventSelector) -> Self {
        Self {
            read_write_type: selector
                .read_write_type
                .map_or_else(|| "All".to_owned(), |kind| kind.as_str().to_owned()),
            include_management_events: selector.include_management_events.unwrap_or(true),
            data_resources: set_of(selector.data_resources),
            exclude_management_event_sources: set_of(selector.exclude_management_event_sources),
        }
    }
}

impl BasicSelector {
    fn to_sdk(&self) -> types::EventSelector {
        let data_resources = self
            .data_resources
            .iter()
            .map(DataResource::to_sdk)
            .collect();
        types::EventSelector::builder()
            .read_write_type(self.read_write_type.as_str().into())
            .include_management_events(self.include_management_events)
            .set_data_resources(Some(data_resources))
            .set_exclude_management_event_sources(Some(list(
                &self.exclude_management_event_sources,
            )))
            .build()
    }
}

impl From<types::DataResource> for DataResource {
    fn from(resource: types::DataResource) -> Self {
        Self {
            r#type: resource.r#type.unwrap_or_default(),
            values: set_of(resource.values),
        }
    }
}

impl DataResource {
    fn to_sdk(&self) -> types::DataResource {
        types::DataResource::builder()
            .r#type(&self.r#type)
            .set_values(Some(list(&self.values)))
            .build()
    }
}

impl From<types::AdvancedEventSelector> for AdvancedSelector {
    fn from(selector: types::AdvancedEventSelector) -> Self {
        Self {
            name: selector.name.filter(|name| !name.is_empty()),
            fields: set_of(Some(selector.field_selectors)),
        }
    }
}

impl AdvancedSelector {
    fn to_sdk(&self) -> Result<types::AdvancedEventSelector, BuildError> {
        let fields = self
            .fields
            .iter()
            .map(FieldSelector::to_sdk)
            .collect::<Result<_, _>>()?;
        types::AdvancedEventSelector::builder()
            .set_name(self.name.clone())
            .set_field_selectors(Some(fields))
            .build()
    }
}

impl From<types::AdvancedFieldSelector> for FieldSelector {
    fn from(selector: types::AdvancedFieldSelector) -> Self {
        Self {
            field: selector.field,
            equals: set_of(selector.equals),
            starts_with: set_of(selector.starts_with),
            ends_with: set_of(selector.ends_with),
            not_equals: set_of(selector.not_equals),
            not_starts_with: set_of(selector.not_starts_with),
            not_ends_with: set_of(selector.not_ends_with),
        }
    }
}

impl FieldSelector {
    fn to_sdk(&self) -> Result<types::AdvancedFieldSelector, BuildError> {
        // An operator with an empty list is refused.
        let some = |values: &BTreeSet<String>| Some(list(values)).filter(|list| !list.is_empty());
        types::AdvancedFieldSelector::builder()
            .field(&self.field)
            .set_equals(some(&self.equals))
            .set_starts_with(some(&self.starts_with))
            .set_ends_with(some(&self.ends_with))
            .set_not_equals(some(&self.not_equals))
            .set_not_starts_with(some(&self.not_starts_with))
            .set_not_ends_with(some(&self.not_ends_with))
            .build()
    }
}

impl From<types::InsightSelector> for InsightSelector {
    fn from(selector: types::InsightSelector) -> Self {
        let mut event_categories: BTreeSet<_> = selector
            .event_categories()
            .iter()
            .map(|category| category.as_str().to_owned())
            .collect();
        if event_categories.is_empty() {
            event_categories.insert("Management".to_owned());
        }
        Self {
            insight_type: selector
                .insight_type
                .map(|kind| kind.as_str().to_owned())
                .unwrap_or_default(),
            event_categories,
        }
    }
}

impl InsightSelector {
    /// The selector as `PutInsightSelectors` takes it.
    #[must_use]
    pub fn to_sdk(&self) -> types::InsightSelector {
        let categories = self
            .event_categories
            .iter()
            .map(|category| category.as_str().into());
        types::InsightSelector::builder()
            .insight_type(self.insight_type.as_str().into())
            .set_event_categories(Some(categories.collect()))
            .build()
    }
}

pub(crate) fn set_of<A, B: From<A> + Ord>(list: Option<Vec<A>>) -> BTreeSet<B> {
    list.unwrap_or_default().into_iter().map(B::from).collect()
}

fn list(set: &BTreeSet<String>) -> Vec<String> {
    set.iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn basic(sources: &[&str]) -> EventSelectors {
        let selector = |name: &str| {
            types::EventSelector::builder()
                .data_resources(types::DataResource::builder().r#type(name).build())
                .set_exclude_management_event_sources(Some(
                    sources.iter().map(ToString::to_string).collect(),
                ))
                .build()
        };
        EventSelectors::of(Some(sources.iter().map(|s| selector(s)).collect()), None)
    }

    #[test]
    fn the_order_that_aws_answers_in_makes_no_difference() {
        assert_eq!(basic(&["kms", "rdsdata"]), basic(&["rdsdata", "kms"]));
        assert_ne!(basic(&["kms", "rdsdata"]), basic(&["kms"]));
    }

    #[test]
    fn what_aws_leaves_out_is_its_default() {
        let told = types::EventSelector::builder()
            .read_write_type(types::ReadWriteType::All)
            .include_management_events(true)
            .set_data_resources(Some(vec![]))
            .build();
        let told = EventSelectors::of(Some(vec![told]), None);
        assert_eq!(told, EventSelectors::everything_managed());
        assert_eq!(told, EventSelectors::of(None, None));
        assert_eq!(told, EventSelectors::of(Some(vec![]), Some(vec![])));
    }

    #[test]
    fn selectors_of_one_kind_are_written_as_they_were_read() {
        let read: EventSelectors = serde_json::from_value(json!({"advanced": [
            {"name": null, "fields": [{"field": "eventCategory", "equals": ["Management"]}]},
            {"name": "site", "fields": [
                {"field": "eventCategory", "equals": ["Data"]},
                {"field": "resources.type", "equals": ["AWS::S3::Object"]},
                {"field": "resources.ARN", "startsWith": ["arn:aws:s3:::site/"],
                 "endsWith": [".html"], "notEquals": ["a"], "notStartsWith": ["b"],
                 "notEndsWith": ["c"]}
            ]}
        ]}))
        .unwrap();
        let advanced = read.advanced().unwrap();
        let written = advanced.as_ref().unwrap();
        assert_eq!(written[0].field_selectors()[0].not_equals, None);
        assert_eq!(EventSelectors::of(None, advanced), read);
        assert_eq!(read.basic(), None);
        assert_eq!(read.to_string(), "2 advanced event selectors");

        let read = basic(&["kms"]);
        assert_eq!(EventSelectors::of(read.basic(), None), read);
        assert_eq!(read.advanced().unwrap(), None);
        assert_eq!(read.to_string(), "1 basic event selector");
    }

    #[test]
    fn a_recorded_request_reads_like_what_it_asks_for() {
        let read = |request| EventSelectors::from_event(&request);
        let default = json!({"trailName": "main", "eventSelectors": [
            {"readWriteType": "All", "includeManagementEvents": true, "dataResources": []}
        ]});
        assert_eq!(read(default), Some(EventSelectors::everything_managed()));
        assert_eq!(
            read(json!({"eventSelectors": [{}]})),
            Some(EventSelectors::everything_managed())
        );
        assert_eq!(
            read(json!({"eventSelectors": []})),
            Some(EventSelectors::Basic(BTreeSet::new()))
        );
        let advanced = read(json!({"eventSelectors": null, "advancedEventSelectors": [
            {"name": "changes", "fieldSelectors": [
                {"field": "eventCategory", "equals": ["Management"]},
                {"field": "readOnly", "equals": ["false"], "notEquals": []}
            ]}
        ]}));
        assert!(advanced.is_some_and(|selectors| selectors.takes_changes()));
    }

    #[test]
    fn a_request_that_is_not_understood_is_not_read() {
        for request in [
            json!(null),
            json!({"trailName": "main"}),
            json!({"eventSelectors": "all"}),
            json!({"eventSelectors": [{"newFilter": ["iam.amazonaws.com"]}]}),
            json!({"advancedEventSelectors": [{"fieldSelectors": [{"like": ["x"]}]}]}),
        ] {
            assert_eq!(EventSelectors::from_event(&request), None, "{request}");
        }
    }

    #[test]
    fn an_insight_without_a_category_is_about_management_events() {
        let read = InsightSelector::from(
            types::InsightSelector::builder()
                .insight_type(types::InsightType::ApiErrorRateInsight)
                .build(),
        );
        assert_eq!(
            read.event_categories,
            BTreeSet::from(["Management".to_owned()])
        );
        assert_eq!(InsightSelector::from(read.to_sdk()), read);
    }
}
