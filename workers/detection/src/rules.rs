//! The rules as they were deployed.

use std::fmt;

use aws_sdk_eventbridge::types::RuleState;
use incident::{Arn, BadSetting, Settings};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Every `AWS::Events::Rule` of the template, by its logical id.
pub const DEPLOYED: &str = include_str!("rules.json");

/// The template's parameters that rules refer to, and their settings; `none` where one is not given.
const PARAMETERS: [(&str, &str); 7] = [
    ("ApiAlarmNames", "API_ALARM_NAMES"),
    ("TrailBucketName", "TRAIL_BUCKET_NAME"),
    ("SiteBucketName", "SITE_BUCKET_NAME"),
    ("PatientsTableArn", "PATIENTS_TABLE_ARN"),
    ("WorkloadRoleArns", "WORKLOAD_ROLE_ARNS"),
    ("DecoyAttribute", "DECOY_ATTRIBUTE"),
    ("DecoyValues", "DECOY_VALUES"),
];

/// A rule of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What people read.
    pub description: String,
    /// Which events it takes; none for one that keeps time.
    pub pattern: Option<Value>,
    /// Whether it takes calls that only read, too.
    pub takes_reads: bool,
    /// When it fires; none for one that takes events.
    pub schedule: Option<String>,
    /// Where it sends them.
    pub target: Target,
}

/// Where a rule of ours sends its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its id within the rule.
    pub id: String,
    /// The state machine.
    pub arn: String,
    /// The role by which EventBridge starts it.
    pub role: String,
    /// The queue of what could not be delivered.
    pub dead_letters: String,
    /// How old an event may be, in seconds.
    pub maximum_age: i32,
    /// How often it is tried again.
    pub maximum_retries: i32,
}

impl Rule {
    /// The state that it was deployed in.
    #[must_use]
    pub fn state(&self) -> RuleState {
        if self.takes_reads {
            RuleState::EnabledWithAllCloudtrailManagementEvents
        } else {
            RuleState::Enabled
        }
    }
}

/// A rule as the template has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    name: Value,
    description: Value,
    event_pattern: Option<Value>,
    state: Option<State>,
    schedule_expression: Option<String>,
    targets: [WrittenTarget; 1],
}

#[derive(Deserialize)]
enum State {
    #[serde(rename = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")]
    WithReads,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenTarget {
    id: String,
    arn: Reference,
    #[serde(rename = "RoleArn")]
    _role: Value,
    retry_policy: RetryPolicy,
    #[serde(rename = "DeadLetterConfig")]
    _dead_letters: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    #[serde(rename = "Ref")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RetryPolicy {
    maximum_event_age_in_seconds: i32,
    maximum_retry_attempts: i32,
}

/// Our rules, with the template's parameters filled in: the parameter `TrailBucketName` is the
/// setting `TRAIL_BUCKET_NAME`, and `none` where it is not given; so are the other names and ARNs that
/// they hold. Further settings are `STACK_NAME`, `ACCOUNT_ID`, `AWS_REGION`, `PARTITION` and
/// `UNDELIVERED_EVENTS_ARN`.
///
/// # Errors
/// Names the setting that is missing.
pub fn rules<F>(settings: &Settings<F>) -> Result<Vec<Rule>, BadSetting>
where
    F: Fn(&str) -> Option<String>,
{
    let place = Place {
        stack: settings.required("STACK_NAME")?,
        account: settings.required("ACCOUNT_ID")?,
        region: settings.required("AWS_REGION")?,
        partition: settings.required("PARTITION")?,
    };
    let queue: Arn = settings.required("UNDELIVERED_EVENTS_ARN")?;
    let written: Map<String, Value> = read()?;
    written
        .into_iter()
        .map(|(_, rule)| place.rule(rule, queue.as_str(), settings))
        .collect()
}

fn read<T: serde::de::DeserializeOwned>() -> Result<T, BadSetting> {
    serde_json::from_str(DEPLOYED).map_err(|error| unusable(&error))
}

/// What is compiled in cannot be used: a test resolves all of it, so it cannot ship.
fn unusable(why: &dyn fmt::Display) -> BadSetting {
    BadSetting::new("rules.json", why.to_string())
}

/// Where the stack is.
struct Place {
    stack: String,
    account: String,
    region: String,
    partition: String,
}

impl Place {
    fn rule<F>(&self, rule: Value, queue: &str, settings: &Settings<F>) -> Result<Rule, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let rule: Written = serde_json::from_value(rule).map_err(|error| unusable(&error))?;
        let text = |value: &Value| match self.resolve(value, settings)? {
            Value::String(text) => Ok(text),
            _ => Err(unusable(&"expected a text")),
        };
        let pattern = rule.event_pattern.as_ref();
        let pattern = pattern.map(|pattern| match self.resolve(pattern, settings)? {
            // Where a name in the pattern is a parameter, the pattern is a text.
            Value::String(text) => serde_json::from_str(&text).map_err(|error| unusable(&error)),
            pattern => Ok(pattern),
        });
        let name = text(&rule.name)?;
        let [target] = rule.targets;
        Ok(Rule {
            arn: self.arn("events", &format!("rule/{name}")),
            description: text(&rule.description)?,
            pattern: pattern.transpose()?,
            takes_reads: matches!(rule.state, Some(State::WithReads)),
            schedule: rule.schedule_expression,
            target: Target {
                id: target.id,
                arn: self.arn(
                    "states",
                    &format!("stateMachine:{}", named(&self.stack, &target.arn.id)),
                ),
                role: format!(
                    "arn:{}:iam::{}:role/tourniquet/{}-events",
                    self.partition, self.account, self.stack
                ),
                dead_letters: queue.to_owned(),
                maximum_age: target.retry_policy.maximum_event_age_in_seconds,
                maximum_retries: target.retry_policy.maximum_retry_attempts,
            },
            name,
        })
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let Self {
            account,
            region,
            partition,
            ..
        } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// A part of the template with its references filled in.
    fn resolve<F>(&self, value: &Value, settings: &Settings<F>) -> Result<Value, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        match value {
            Value::Array(items) => items
                .iter()
                .map(|item| self.resolve(item, settings))
                .collect(),
            Value::Object(fields) => match fields.iter().next() {
                Some((key, of)) if fields.len() == 1 => match self.intrinsic(key, of, settings)? {
                    Some(value) => Ok(value),
                    None => self.fields(fields, settings),
                },
                _ => self.fields(fields, settings),
            },
            _ => Ok(value.clone()),
        }
    }

    fn fields<F>(
        &self,
        fields: &Map<String, Value>,
        settings: &Settings<F>,
    ) -> Result<Value, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let fields = fields.iter();
        let fields = fields.map(|(key, value)| Ok((key.clone(), self.resolve(value, settings)?)));
        fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
    }

    /// What one of CloudFormation's functions makes of `of`; none when `key` is none of them.
    fn intrinsic<F>(
        &self,
        key: &str,
        of: &Value,
        settings: &Settings<F>,
    ) -> Result<Option<Value>, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let misused = || unusable(&format!("`{key}` is not understood"));
        let parts = of.as_array().map(Vec::as_slice);
        let value = match (key, of, parts) {
            ("Ref", Value::String(name), _) => self.value_of(name, settings)?.into(),
            ("Fn::Sub", Value::String(text), _) => self.filled(text, &Map::new(), settings)?.into(),
            ("Fn::Sub", _, Some([Value::String(text), Value::Object(variables)])) => {
                self.filled(text, variables, settings)?.into()
            }
            ("Fn::Join" | "Fn::Split", _, Some([Value::String(separator), of])) => {
                match (key, self.resolve(of, settings)?) {
                    ("Fn::Join", Value::Array(list)) => {
                        let list: Vec<_> = list.iter().filter_map(Value::as_str).collect();
                        list.join(separator).into()
                    }
                    ("Fn::Split", Value::String(text)) => {
                        text.split(separator).map(Value::from).collect()
                    }
                    _ => return Err(misused()),
                }
            }
            _ if key == "Ref" || key.starts_with("Fn::") => return Err(misused()),
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    /// A text with what stands for something filled in: `variables` first.
    fn filled<F>(
        &self,
        text: &str,
        variables: &Map<String, Value>,
        settings: &Settings<F>,
    ) -> Result<String, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| unusable(&"a `${` is not closed"))?;
            filled.push_str(before);
            match variables.get(name) {
                None => filled.push_str(&self.value_of(name, settings)?),
                Some(value) => match self.resolve(value, settings)? {
                    Value::String(value) => filled.push_str(&value),
                    _ => return Err(unusable(&format!("`{name}` is no text"))),
                },
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value_of<F>(&self, name: &str, settings: &Settings<F>) -> Result<String, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        Ok(match name {
            "AWS::StackName" => self.stack.clone(),
            "AWS::AccountId" => self.account.clone(),
            "AWS::Region" => self.region.clone(),
            "AWS::Partition" => self.partition.clone(),
            parameter => {
                let (_, setting) = PARAMETERS
                    .iter()
                    .find(|(known, _)| *known == parameter)
                    .ok_or_else(|| unusable(&format!("`{name}` is not known")))?;
                settings
                    .optional(setting)?
                    .unwrap_or_else(|| "none".to_owned())
            }
        })
    }
}

/// `TrailTampered` is called `<stack>-trail-tampered`.
fn named(stack: &str, logical_id: &str) -> String {
    let mut name = stack.to_owned();
    for c in logical_id.chars() {
        if c.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings(
        missing: &'static str,
    ) -> Settings<impl Fn(&str) -> Option<String> + use<>> {
        Settings::new(move |name| {
            let value = match name {
                name if name == missing => return None,
                "STACK_NAME" => "guard",
                "ACCOUNT_ID" => "123456789012",
                "AWS_REGION" => "eu-west-1",
                "PARTITION" => "aws",
                "UNDELIVERED_EVENTS_ARN" => "arn:aws:sqs:eu-west-1:123456789012:undelivered",
                "TRAIL_BUCKET_NAME" => "clinic-logs",
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn every_rule_of_the_template_is_resolved() {
        let rules = rules(&settings("")).unwrap();
        for rule in &rules {
            assert!(
                rule.pattern.is_some() != rule.schedule.is_some(),
                "{rule:?}"
            );
            let text = format!("{rule:?}");
            assert!(!text.contains("Fn::") && !text.contains("${"), "{text}");
        }
    }

    #[test]
    fn references_are_filled_in() {
        let rules = rules(&settings("")).unwrap();
        let named = |name: &str| rules.iter().find(|rule| rule.name == name).unwrap();
        let archive = named("guard-log-archive-tampered");
        assert_eq!(
            archive.pattern.as_ref().unwrap()["detail"]["$or"][0]["requestParameters"]["bucketName"],
            serde_json::json!(["clinic-logs"])
        );
        let responder = named("guard-responder-tampered").pattern.clone().unwrap();
        assert_eq!(
            responder["detail"]["$or"][1]["requestParameters"]["stateMachineArn"][0]["prefix"],
            "arn:aws:states:eu-west-1:123456789012:stateMachine:guard-"
        );
        assert_eq!(
            named("guard-trails-checked").target,
            Target {
                id: "check-trails".to_owned(),
                arn: "arn:aws:states:eu-west-1:123456789012:stateMachine:guard-check-trails"
                    .to_owned(),
                role: "arn:aws:iam::123456789012:role/tourniquet/guard-events".to_owned(),
                dead_letters: "arn:aws:sqs:eu-west-1:123456789012:undelivered".to_owned(),
                maximum_age: 600,
                maximum_retries: 20,
            }
        );
    }

    #[test]
    fn a_bucket_that_is_not_given_is_none() {
        let rules = rules(&settings("TRAIL_BUCKET_NAME")).unwrap();
        let text = format!("{rules:?}");
        assert!(
            text.contains(r#""bucketName": Array [String("none")]"#),
            "{text}"
        );
    }

    #[test]
    fn a_missing_setting_is_named() {
        for missing in [
            "STACK_NAME",
            "ACCOUNT_ID",
            "AWS_REGION",
            "PARTITION",
            "UNDELIVERED_EVENTS_ARN",
        ] {
            let error = rules(&settings(missing)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the setting {missing}: is not set")
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let place = Place {
            stack: String::new(),
            account: String::new(),
            region: String::new(),
            partition: String::new(),
        };
        for (value, why) in [
            (
                serde_json::json!({"Fn::GetAtt": ["A", "Arn"]}),
                "`Fn::GetAtt` is not understood",
            ),
            (serde_json::json!({"Ref": "Other"}), "`Other` is not known"),
            (
                serde_json::json!({"Fn::Sub": "${AWS::Region"}),
                "a `${` is not closed",
            ),
        ] {
            let error = place.resolve(&value, &settings("")).unwrap_err();
            assert_eq!(error.to_string(), format!("the setting rules.json: {why}"));
        }
    }
}
