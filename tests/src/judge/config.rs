//! What is protected, by the names that the template takes.

use std::{borrow::Cow, collections::BTreeMap};

use incident::Settings;
use regex_lite::Regex;
use serde_json::Value;

use crate::template::{self, Template};

/// What CloudFormation knows of a stack; each is the setting beside it.
const KNOWN: [(&str, &str); 4] = [
    ("AWS::AccountId", "ACCOUNT_ID"),
    ("AWS::Partition", "PARTITION"),
    ("AWS::Region", "AWS_REGION"),
    ("AWS::StackName", "STACK_NAME"),
];

/// What the stack makes, under names that only the account knows.
const MADE: [&str; 4] = [
    "LedgerTable",
    "ResponderRoleArns",
    "TopicArn",
    "UndeliveredEventsArn",
];

/// What the account would answer: which policies a group has, who is contained.
const ACCOUNT: &str = "Account";

/// A deployment's settings, as a worker reads them.
#[derive(Debug, Clone)]
pub struct Config {
    settings: BTreeMap<String, String>,
    /// What the account would answer, as [`judgement::Facts::stated`] reads it.
    pub account: Value,
}

/// Why a text is no config.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// It is not JSON.
    #[error("not JSON ({0})")]
    NotJson(#[from] serde_json::Error),
    /// It is another kind of JSON.
    #[error("expected an object whose keys are the template's parameters")]
    NoObject,
    /// A key that nothing is called by.
    #[error(
        "`{0}` is no parameter of the template, nor one of {known}, {made}, {ACCOUNT}",
        known = KNOWN.map(|(name, _)| name).join(", "),
        made = MADE.join(", ")
    )]
    Unknown(String),
    /// A value that its parameter does not take, or that is missing.
    #[error("`{key}` {why}")]
    Value {
        /// The parameter.
        key: String,
        /// What is wrong with its value.
        why: String,
    },
}

impl Config {
    /// Reads a config; the template says what a parameter takes, and is when it is left out.
    ///
    /// # Errors
    /// Names the key that is unknown or missing, or whose value the template does not take.
    pub fn read(text: &str, template: &Template) -> Result<Self, BadConfig> {
        let given: Value = serde_json::from_str(text)?;
        let given = given.as_object().ok_or(BadConfig::NoObject)?;
        // The mode changes what is done about an incident, not what is one.
        let defaults = [("MODE", "observe"), ("PARTITION", "aws")];
        let defaults = defaults.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut settings = BTreeMap::from(defaults);
        for (name, parameter) in template.section("Parameters") {
            let value = given.get(name).unwrap_or(&parameter["Default"]);
            if let Some(value) = flat(name, value)? {
                if let Some(why) = refusal(parameter, &value) {
                    return Err(bad(name, why));
                }
                settings.insert(setting(name), value);
            }
        }
        for (key, value) in given {
            let known = KNOWN.iter().find(|(name, _)| name == key);
            let name = match known {
                Some((_, name)) => (*name).to_owned(),
                None if key == ACCOUNT => continue,
                None if MADE.contains(&key.as_str()) => setting(key),
                None if template.section("Parameters").any(|(name, _)| name == key) => continue,
                None => return Err(BadConfig::Unknown(key.clone())),
            };
            settings.extend(flat(key, value)?.map(|value| (name, value)));
        }
        for (name, setting) in KNOWN {
            if settings.get(setting).is_none_or(String::is_empty) {
                return Err(bad(name, "is missing"));
            }
        }
        let account = given.get(ACCOUNT).cloned().unwrap_or_default();
        Ok(Self { settings, account })
    }

    /// The settings, as from a worker's environment, with a name for the queue of undelivered events
    /// where none is given: a rule has to name it, and what a rule takes does not depend on it.
    #[must_use]
    pub fn settings(&self) -> Settings<impl Fn(&str) -> Option<String>> {
        let [account, partition, region, stack] = KNOWN.map(|(_, name)| &self.settings[name]);
        let queue = format!("arn:{partition}:sqs:{region}:{account}:{stack}-undelivered-events");
        Settings::new(move |name: &str| {
            let stand_in = (name == "UNDELIVERED_EVENTS_ARN").then_some(&queue);
            self.settings.get(name).or(stand_in).cloned()
        })
    }
}

/// A parameter's value as CloudFormation hands it on; null is none.
fn flat(key: &str, value: &Value) -> Result<Option<String>, BadConfig> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let flat = match value {
        Value::Null => return Ok(None),
        Value::Array(values) if values.is_empty() => Some("none".to_owned()),
        Value::Array(values) => {
            let values: Option<Vec<_>> = values.iter().map(one).collect();
            values.map(|values| values.join(","))
        }
        value => one(value),
    };
    let flat = flat.ok_or_else(|| bad(key, "is no text, no number and no list of those"))?;
    Ok(Some(flat))
}

/// Why the template does not take a value.
fn refusal(parameter: &Value, value: &str) -> Option<Cow<'static, str>> {
    let allowed = template::each(&parameter["AllowedValues"]);
    let number: Option<f64> = value.parse().ok();
    let is = |allowed: &Value| match allowed {
        Value::Number(allowed) => allowed.as_f64() == number,
        other => other == value,
    };
    if !allowed.is_empty() && !allowed.iter().any(is) {
        return Some(format!("is none of {}", listed(allowed)).into());
    }
    if parameter["Type"] == "Number" {
        let Some(number) = number else {
            return Some("is no number".into());
        };
        let least = parameter["MinValue"].as_f64();
        let most = parameter["MaxValue"].as_f64();
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            return Some("is out of its bounds".into());
        }
    }
    let pattern = parameter["AllowedPattern"].as_str()?;
    let Ok(pattern) = Regex::new(&format!("^(?:{pattern})$")) else {
        return Some("has an AllowedPattern that cannot be read".into());
    };
    (!pattern.is_match(value)).then(|| {
        let constraint = parameter["ConstraintDescription"].as_str();
        constraint
            .unwrap_or("does not fit its AllowedPattern")
            .to_owned()
            .into()
    })
}

fn listed(values: &[Value]) -> String {
    let values = values.iter().map(ToString::to_string);
    values.collect::<Vec<_>>().join(", ")
}

/// `TrailArn` is the setting `TRAIL_ARN`.
fn setting(parameter: &str) -> String {
    let mut setting = String::new();
    for character in parameter.chars() {
        if character.is_ascii_uppercase() && !setting.is_empty() {
            setting.push('_');
        }
        setting.push(character.to_ascii_uppercase());
    }
    setting
}

fn bad(key: &str, why: impl Into<String>) -> BadConfig {
    BadConfig::Value {
        key: key.to_owned(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"
        Parameters:
          Mode: {Type: String, AllowedValues: [observe, enforce]}
          TrailArn:
            Type: String
            Default: ""
            AllowedPattern: ^$|^arn:[a-z:]+$
            ConstraintDescription: must be an ARN
          Days: {Type: Number, Default: 365, MinValue: 1, MaxValue: 3653}
          SharedRoleArns: {Type: String, Default: none}
        "#;
    const STACK: &str = r#""AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1",
        "AWS::StackName": "s", "#;

    fn read(entries: &str) -> Result<Config, BadConfig> {
        Config::read(
            &format!("{{{entries}}}"),
            &Template::read(TEMPLATE).unwrap(),
        )
    }

    #[test]
    fn a_parameter_is_its_default_until_it_is_given() {
        let config = read(&format!(
            r#"{STACK} "SharedRoleArns": ["a", "b"], "Days": 30"#
        ));
        let given = config.unwrap().settings;
        let expected = [
            ("ACCOUNT_ID", "123456789012"),
            ("AWS_REGION", "eu-west-1"),
            ("DAYS", "30"),
            ("MODE", "observe"),
            ("PARTITION", "aws"),
            ("SHARED_ROLE_ARNS", "a,b"),
            ("STACK_NAME", "s"),
            ("TRAIL_ARN", ""),
        ];
        let given: Vec<_> = given
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(given, expected);
        let bare = read(&format!(r#"{STACK} "SharedRoleArns": []"#))
            .unwrap()
            .settings;
        assert_eq!(
            (bare["DAYS"].as_str(), bare["SHARED_ROLE_ARNS"].as_str()),
            ("365", "none")
        );
    }

    #[test]
    fn what_the_template_does_not_take_is_refused_by_name() {
        for (entry, expected) in [
            (
                r#""Trail": 1"#,
                "`Trail` is no parameter of the template, nor one of AWS::",
            ),
            (
                r#""TRAIL_ARN": """#,
                "`TRAIL_ARN` is no parameter of the template",
            ),
            (r#""TrailArn": "x""#, "`TrailArn` must be an ARN"),
            (
                r#""TrailArn": true"#,
                "`TrailArn` is no text, no number and no list",
            ),
            (
                r#""TrailArn": [["a"]]"#,
                "`TrailArn` is no text, no number and no list",
            ),
            (
                r#""Mode": "on""#,
                r#"`Mode` is none of "observe", "enforce""#,
            ),
            (r#""Days": "x""#, "`Days` is no number"),
            (r#""Days": 0"#, "`Days` is out of its bounds"),
            (r#""Days": "3654""#, "`Days` is out of its bounds"),
            (r#""AWS::Region": """#, "`AWS::Region` is missing"),
            (r#""AWS::Region": {}"#, "`AWS::Region` is no text"),
        ] {
            let error = read(&format!("{STACK} {entry}")).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{entry}: {error}");
        }
        assert_eq!(
            read("").unwrap_err().to_string(),
            "`AWS::AccountId` is missing"
        );
        let template = Template::read(TEMPLATE).unwrap();
        assert!(matches!(
            Config::read("[]", &template),
            Err(BadConfig::NoObject)
        ));
        assert!(matches!(
            Config::read("{", &template),
            Err(BadConfig::NotJson(_))
        ));
    }
}
