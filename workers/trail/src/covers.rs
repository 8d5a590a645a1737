//! Whether event selectors record all that others record, and more at will: hardening a trail is
//! no tampering.
//!
//! It is decided selector by selector: what only several of them take together counts as not
//! taken. Basic selectors are read as the advanced ones that they stand for.

use std::collections::BTreeSet;

use crate::{AdvancedSelector, BasicSelector, DataResource, EventSelectors, FieldSelector};

impl EventSelectors {
    /// Whether every event that `other` records is recorded by these too. In doubt it is not.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let ours = self.expanded();
        let theirs = other.expanded();
        theirs
            .iter()
            .all(|theirs| ours.iter().any(|ours| ours.covers(theirs)))
    }

    /// Whether one selector takes every management write event.
    #[must_use]
    pub fn takes_changes(&self) -> bool {
        let changes = AdvancedSelector::of(vec![
            FieldSelector::only("eventCategory", "Management"),
            FieldSelector::only("readOnly", "false"),
        ]);
        self.covers(&Self::Advanced(BTreeSet::from([changes])))
    }

    /// Whether any data event is recorded.
    #[must_use]
    pub fn takes_data(&self) -> bool {
        let data = FieldSelector::only("eventCategory", "Data");
        let mut selectors = self.expanded().into_iter();
        selectors.any(|selector| selector.fields.contains(&data))
    }

    fn expanded(&self) -> Vec<AdvancedSelector> {
        match self {
            Self::Basic(selectors) => selectors.iter().flat_map(BasicSelector::expanded).collect(),
            Self::Advanced(selectors) => selectors.iter().cloned().collect(),
        }
    }
}

impl BasicSelector {
    fn expanded(&self) -> Vec<AdvancedSelector> {
        let read_only = match self.read_write_type.as_str() {
            "All" => None,
            "ReadOnly" => Some("true"),
            _ => Some("false"),
        };
        let read_only = read_only.map(|value| FieldSelector::only("readOnly", value));
        let excluded = FieldSelector {
            field: "eventSource".to_owned(),
            not_equals: self.exclude_management_event_sources.clone(),
            ..FieldSelector::default()
        };
        let management = self.include_management_events.then(|| {
            let mut fields = vec![FieldSelector::only("eventCategory", "Management")];
            fields.extend(Some(excluded).filter(|field| !field.not_equals.is_empty()));
            fields
        });
        let data = self.data_resources.iter().flat_map(DataResource::expanded);
        let all = management.into_iter().chain(data);
        all.map(|mut fields| {
            fields.extend(read_only.clone());
            AdvancedSelector::of(fields)
        })
        .collect()
    }
}

impl DataResource {
    /// `arn:aws:s3`, `arn:aws:lambda` and the like mean every resource of the type, the ARN of a
    /// bucket's objects what starts with it, any other ARN itself.
    fn expanded(&self) -> impl Iterator<Item = Vec<FieldSelector>> {
        self.values.iter().map(|value| {
            let mut fields = vec![
                FieldSelector::only("eventCategory", "Data"),
                FieldSelector::only("resources.type", &self.r#type),
            ];
            let everything = value.trim_end_matches(':').matches(':').count() < 3;
            if !everything {
                let field = "resources.ARN";
                fields.push(if self.r#type == "AWS::S3::Object" && value.contains('/') {
                    FieldSelector {
                        field: field.to_owned(),
                        starts_with: BTreeSet::from([value.clone()]),
                        ..FieldSelector::default()
                    }
                } else {
                    FieldSelector::only(field, value)
                });
            }
            fields
        })
    }
}

impl AdvancedSelector {
    fn of(fields: Vec<FieldSelector>) -> Self {
        Self {
            name: None,
            fields: fields.into_iter().collect(),
        }
    }

    /// Each of our conditions must follow from one of theirs.
    fn covers(&self, theirs: &Self) -> bool {
        let mut ours = self.fields.iter();
        ours.all(|ours| theirs.fields.iter().any(|theirs| ours.covers(theirs)))
    }
}

impl FieldSelector {
    fn only(field: &str, value: &str) -> Self {
        Self {
            field: field.to_owned(),
            equals: BTreeSet::from([value.to_owned()]),
            ..Self::default()
        }
    }

    /// A value is taken when it is one of `equals`, `starts_with` and `ends_with`, where there are
    /// any, and none of the others.
    fn covers(&self, theirs: &Self) -> bool {
        let any = |list: &BTreeSet<String>, fits: &dyn Fn(&str) -> bool| {
            list.iter().any(|item| fits(item.as_str()))
        };
        let every = |list: &BTreeSet<String>, fits: &dyn Fn(&str) -> bool| {
            list.iter().all(|item| fits(item.as_str()))
        };
        let prefixed = |list: &BTreeSet<String>, value: &str| any(list, &|p| value.starts_with(p));
        let suffixed = |list: &BTreeSet<String>, value: &str| any(list, &|s| value.ends_with(s));

        let takes_theirs = !self.selects()
            || theirs.selects()
                && every(&theirs.equals, &|value| {
                    self.equals.contains(value)
                        || prefixed(&self.starts_with, value)
                        || suffixed(&self.ends_with, value)
                })
                && every(&theirs.starts_with, &|prefix| {
                    prefixed(&self.starts_with, prefix)
                })
                && every(&theirs.ends_with, &|suffix| {
                    suffixed(&self.ends_with, suffix)
                });
        let leaves_out_no_more = every(&self.not_equals, &|value| {
            theirs.not_equals.contains(value)
                || prefixed(&theirs.not_starts_with, value)
                || suffixed(&theirs.not_ends_with, value)
        }) && every(&self.not_starts_with, &|prefix| {
            prefixed(&theirs.not_starts_with, prefix)
        }) && every(&self.not_ends_with, &|suffix| {
            suffixed(&theirs.not_ends_with, suffix)
        });
        self.field == theirs.field && takes_theirs && leaves_out_no_more
    }

    fn selects(&self) -> bool {
        let lists = [&self.equals, &self.starts_with, &self.ends_with];
        lists.iter().any(|list| !list.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn basic(selectors: Value) -> EventSelectors {
        serde_json::from_value(json!({"basic": selectors})).unwrap()
    }

    fn advanced(selectors: &[Value]) -> EventSelectors {
        let selectors: Vec<_> = selectors.iter().map(|s| json!({"fields": s})).collect();
        serde_json::from_value(json!({"advanced": selectors})).unwrap()
    }

    /// Selectors from the ones that take least to the ones that take most.
    fn assert_widening(chain: &[EventSelectors]) {
        for (i, less) in chain.iter().enumerate() {
            for (j, more) in chain.iter().enumerate() {
                assert_eq!(more.covers(less), i <= j, "{more:?} covers {less:?}");
            }
        }
    }

    #[test]
    fn basic_selectors_cover_what_takes_less() {
        let objects = |values: Value| json!([{"type": "AWS::S3::Object", "values": values}]);
        assert_widening(&[
            basic(json!([])),
            basic(json!([{"readWriteType": "WriteOnly",
                          "excludeManagementEventSources": ["kms.amazonaws.com"]}])),
            basic(json!([{"excludeManagementEventSources": ["kms.amazonaws.com"]}])),
            basic(json!([{}])),
            basic(json!([{"dataResources": objects(json!(["arn:aws:s3:::site/img/"]))}])),
            basic(json!([{"dataResources": objects(json!(["arn:aws:s3:::site/"]))}])),
            basic(
                json!([{"dataResources": objects(json!(["arn:aws:s3:::site/", "arn:aws:s3:::logs/"]))}]),
            ),
            basic(json!([{"dataResources": objects(json!(["arn:aws:s3"]))}])),
        ]);
    }

    #[test]
    fn a_function_is_recorded_by_its_own_arn_or_with_all_others() {
        let functions = |value: &str| {
            basic(json!([{"includeManagementEvents": false, "dataResources": [
                {"type": "AWS::Lambda::Function", "values": [value]}]}]))
        };
        let crm = functions("arn:aws:lambda:eu-west-1:123456789012:function:crm");
        let longer = functions("arn:aws:lambda:eu-west-1:123456789012:function:crm-2");
        assert!(!crm.covers(&longer) && !longer.covers(&crm));
        assert!(functions("arn:aws:lambda").covers(&crm));
        assert!(!functions("arn:aws:lambda").takes_changes());
    }

    #[test]
    fn it_does_not_matter_how_selectors_are_cut() {
        let objects = json!([{"type": "AWS::S3::Object", "values": ["arn:aws:s3"]}]);
        let one = basic(json!([{"dataResources": objects}]));
        let two = basic(json!([
            {"dataResources": []},
            {"includeManagementEvents": false, "dataResources": objects}
        ]));
        assert!(one.covers(&two) && two.covers(&one));
    }

    #[test]
    fn advanced_selectors_cover_what_takes_less() {
        let category = |name: &str| json!({"field": "eventCategory", "equals": [name]});
        let write = json!({"field": "readOnly", "equals": ["false"]});
        let sources = |list: Value| json!({"field": "eventSource", "notEquals": list});
        let management = category("Management");
        assert_widening(&[
            advanced(&[json!([management, write, sources(json!(["a", "b"]))])]),
            advanced(&[json!([management, write, sources(json!(["a"]))])]),
            advanced(&[json!([management, write])]),
            advanced(&[json!([management])]),
            advanced(&[json!([management]), json!([category("Data")])]),
        ]);
    }

    #[test]
    fn one_field_covers_what_it_must_take_and_must_not_leave_out() {
        let covers = |ours: Value, theirs: Value| {
            let field = |mut conditions: Value| {
                conditions["field"] = json!("f");
                serde_json::from_value::<FieldSelector>(conditions).unwrap()
            };
            field(ours).covers(&field(theirs))
        };
        for (ours, theirs) in [
            (json!({"equals": ["a", "b"]}), json!({"equals": ["a"]})),
            (json!({"startsWith": ["a"]}), json!({"equals": ["ab"]})),
            (json!({"endsWith": ["b"]}), json!({"equals": ["ab"]})),
            (json!({"startsWith": ["a"]}), json!({"startsWith": ["ab"]})),
            (json!({"endsWith": ["b"]}), json!({"endsWith": ["ab"]})),
            (json!({}), json!({"equals": ["a"]})),
            (json!({}), json!({"notEquals": ["a"]})),
            (
                json!({"notEquals": ["ab"]}),
                json!({"notStartsWith": ["a"]}),
            ),
            (json!({"notEquals": ["ab"]}), json!({"notEndsWith": ["b"]})),
            (
                json!({"notStartsWith": ["ab"]}),
                json!({"notStartsWith": ["a"]}),
            ),
            (
                json!({"notEndsWith": ["ab"]}),
                json!({"notEndsWith": ["b"]}),
            ),
        ] {
            assert!(covers(ours.clone(), theirs.clone()), "{ours} {theirs}");
            assert!(!covers(theirs.clone(), ours.clone()), "{theirs} {ours}");
        }
        let (equal, unequal) = (json!({"equals": ["a"]}), json!({"notEquals": ["a"]}));
        assert!(!covers(equal.clone(), unequal.clone()) && !covers(unequal, equal));
    }

    #[test]
    fn basic_and_advanced_selectors_are_measured_alike() {
        let management = json!({"field": "eventCategory", "equals": ["Management"]});
        let everything = advanced(&[json!([management])]);
        let without_iam = advanced(&[json!([
            management, {"field": "eventSource", "notEquals": ["iam.amazonaws.com"]}
        ])]);
        let default = EventSelectors::everything_managed();
        assert!(everything.covers(&default) && default.covers(&everything));
        assert!(!without_iam.covers(&default) && default.covers(&without_iam));
    }

    #[test]
    fn data_events_are_told_from_changes() {
        let data = json!({"field": "eventCategory", "equals": ["Data"]});
        let objects = json!([{"type": "AWS::S3::Object", "values": ["arn:aws:s3"]}]);
        for (changes, data, selectors) in [
            (true, false, EventSelectors::everything_managed()),
            (true, true, basic(json!([{"dataResources": objects}]))),
            (false, true, advanced(&[json!([data])])),
            (false, false, advanced(&[])),
            (
                false,
                false,
                basic(
                    json!([{"includeManagementEvents": false, "readWriteType": "ReadOnly",
                              "dataResources": [{"type": "AWS::S3::Object", "values": []}]}]),
                ),
            ),
        ] {
            let takes = (selectors.takes_changes(), selectors.takes_data());
            assert_eq!(takes, (changes, data), "{selectors:?}");
        }
    }
}
