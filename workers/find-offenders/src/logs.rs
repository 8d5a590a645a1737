//! What the log group of the web ACL tells: every request that was blocked.

use incident::WebAclArn;
use log_insights::Row;
use serde_json::{Value, json};
use worker::Failure;

use crate::{
    classify::{ATTACK_LABELS, Classifier},
    forwarded::Forwarded,
};

/// More rows than this cannot be had at once.
pub(crate) const MOST_ROWS: usize = 10_000;

/// What is counted by, beside the headers that may name a client. The names are a log record's own, or
/// those that [`patterns`] cuts out of its text: of a record's fields, only so many are found by name.
const COLUMNS: [&str; 12] = [
    "client",
    "terminatingRuleId",
    "terminatingRuleType",
    "condition",
    "ruleGroup",
    "innerRule",
    "innerCondition",
    "rateRule",
    "limitKey",
    "limitValue",
    "customKey",
    "label",
];

/// What is cut out of the text of a record, which is JSON: what a client sent stands in it with its
/// quotes escaped, so that it can pretend to be none of these.
pub(crate) fn patterns(classifier: &Classifier) -> Vec<String> {
    let labels = ATTACK_LABELS.map(|(label, _)| label.trim_start_matches(LABELS));
    let labels = labels.join("|");
    let fixed = [
        format!("{CLIENT}{}", captured("client")),
        format!("{DETAILS}{}", captured("condition")),
        format!(
            "{GROUP}{}{GROUP_RULE}{}(?:{GROUP_DETAILS}{})?",
            captured("ruleGroup"),
            captured("innerRule"),
            captured("innerCondition"),
        ),
        format!(
            "{RATE}{}{LIMIT_KEY}{}(?:{LIMIT_VALUE}{})?",
            captured("rateRule"),
            captured("limitKey"),
            captured("limitValue"),
        ),
        format!("{CUSTOM_KEYS}(?<customKey>IP|FORWARDED_IP)\""),
        format!(r#""name"\s*:\s*"(?<label>{LABELS}(?:{labels})[^"\\]*)""#),
    ];
    let headers = classifier.headers().into_iter();
    let headers = headers.map(|header| header.pattern(&header.column()));
    fixed.into_iter().chain(headers).collect()
}

const LABELS: &str = "awswaf:managed:aws:";
const CLIENT: &str = r#""clientIp"\s*:\s*"#;
const DETAILS: &str = r#""terminatingRuleMatchDetails"\s*:\s*\[\s*\{\s*"conditionType"\s*:\s*"#;
const GROUP: &str = r#".*"ruleGroupId"\s*:\s*"#;
const GROUP_RULE: &str = r#"\s*,\s*"terminatingRule"\s*:\s*\{\s*"ruleId"\s*:\s*"#;
const GROUP_DETAILS: &str =
    r#"[^{}\[\]]*"ruleMatchDetails"\s*:\s*\[\s*\{\s*"conditionType"\s*:\s*"#;
const RATE: &str = r#".*"rateBasedRuleName"\s*:\s*"#;
const LIMIT_KEY: &str = r#"\s*,\s*"limitKey"\s*:\s*"#;
const LIMIT_VALUE: &str = r#"[^{}]*"limitValue"\s*:\s*"#;
const CUSTOM_KEYS: &str = r#".*"customValues"\s*:\s*\[[^\]]*"key"\s*:\s*""#;

/// A JSON string without escapes, as this column.
fn captured(column: &str) -> String {
    format!(r#""(?<{column}>[^"\\]+)""#)
}

/// The query for what was blocked: a row for each sender, rule and recognised attack. What was asked
/// for, with which arguments and in which body, is neither selected nor counted by.
pub(crate) fn query(acl: &WebAclArn, classifier: &Classifier) -> String {
    let parses = patterns(classifier).join("/\n| parse @message /");
    let headers = classifier.headers().into_iter().map(Forwarded::column);
    let columns = COLUMNS.map(str::to_owned).into_iter();
    let columns: Vec<_> = columns.chain(headers).collect();
    format!(
        "filter action = \"BLOCK\" and webaclId = \"{acl}\"\n\
         | parse @message /{parses}/\n\
         | stats count(*) as requests by {}\n\
         | sort requests desc\n\
         | limit {MOST_ROWS}",
        columns.join(", ")
    )
}

/// The rows of [`query`]'s answer, as log records with how many requests each stands for.
///
/// # Errors
/// When a row has no count.
pub(crate) fn records(rows: &[Row], classifier: &Classifier) -> Result<Vec<(Value, u64)>, Failure> {
    let headers: Vec<_> = classifier.headers().into_iter().collect();
    let record = |row: &Row| {
        let requests = cell(row, "requests").and_then(|count| count.parse().ok());
        let requests = requests.ok_or_else(|| {
            Failure::Rejected("logs:GetQueryResults: answered a row without a count".to_owned())
        })?;
        Ok((record(row, &headers), requests))
    };
    rows.iter().map(record).collect()
}

fn record(row: &Row, headers: &[&Forwarded]) -> Value {
    let cell = |column: &str| cell(row, column);
    let list = |value: Option<Value>| value.into_iter().collect::<Value>();
    let condition = cell("condition").map(|kind| json!({"conditionType": kind}));
    let inner = cell("innerCondition").map(|kind| json!({"conditionType": kind}));
    let group = cell("ruleGroup").map(|group| {
        let rule = json!({"ruleId": cell("innerRule"), "ruleMatchDetails": list(inner)});
        json!({"ruleGroupId": group, "terminatingRule": rule})
    });
    let rate = cell("limitKey").map(|key| {
        let custom = cell("customKey").map(|key| json!({"key": key}));
        json!({
            "rateBasedRuleName": cell("rateRule"),
            "limitKey": key,
            "limitValue": cell("limitValue"),
            "customValues": list(custom),
        })
    });
    let label = cell("label").map(|label| json!({"name": label}));
    let headers = headers.iter().filter_map(|header| {
        let value = cell(&header.column())?;
        Some(json!({"name": header.header.as_str(), "value": value}))
    });
    json!({
        "action": "BLOCK",
        "terminatingRuleId": cell("terminatingRuleId"),
        "terminatingRuleType": cell("terminatingRuleType"),
        "terminatingRuleMatchDetails": list(condition),
        "ruleGroupList": list(group),
        "rateBasedRuleList": list(rate),
        "labels": list(label),
        "httpRequest": {"clientIp": cell("client"), "headers": headers.collect::<Value>()},
    })
}

fn cell<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    let field = row.iter().find(|field| field.field() == Some(column))?;
    field.value().filter(|value| !value.is_empty())
}
