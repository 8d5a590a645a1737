//! Whether a statement's conditions hold for a call of CloudTrail.

use serde_json::Value;

use super::{glob, list};

/// What is known of one key of a request's context.
enum Known {
    Is(&'static str),
    Absent,
    /// Whatever the policy asks for: it is taken to name the right trail and account.
    AsAsked,
    Not,
}

/// Whether all conditions hold for certain, as no condition does.
pub(super) fn holds(conditions: &Value) -> bool {
    all(conditions).all(|holds| holds == Some(true))
}

/// Whether one condition fails for certain.
pub(super) fn fails(conditions: &Value) -> bool {
    all(conditions).any(|holds| holds == Some(false))
}

fn all(conditions: &Value) -> impl Iterator<Item = Option<bool>> + '_ {
    let operators = conditions.as_object().into_iter().flatten();
    operators.flat_map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, values)| decide(operator, key, list(values)))
    })
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
fn known(key: &str) -> Known {
    let key = key.to_ascii_lowercase();
    match key.as_str() {
        "aws:securetransport" | "aws:principalisawsservice" => Known::Is("true"),
        "aws:viaawsservice" => Known::Is("false"),
        "aws:principalservicename" => Known::Is(super::CLOUDTRAIL),
        "s3:x-amz-acl" => Known::Is("bucket-owner-full-control"),
        "aws:sourcearn"
        | "aws:sourceaccount"
        | "aws:sourceorgid"
        | "aws:sourceorgpaths"
        | "kms:encryptioncontext:aws:cloudtrail:arn" => Known::AsAsked,
        "aws:principalarn"
        | "aws:principalorgid"
        | "aws:principalorgpaths"
        | "aws:userid"
        | "aws:username"
        | "aws:sourcevpc"
        | "aws:sourcevpce"
        | "aws:vpcsourceip"
        | "aws:sourceidentity"
        | "aws:multifactorauthpresent"
        | "aws:multifactorauthage" => Known::Absent,
        tag if tag.starts_with("aws:principaltag/") => Known::Absent,
        _ => Known::Not,
    }
}

fn decide(operator: &str, key: &str, values: &[Value]) -> Option<bool> {
    let operator = operator.to_ascii_lowercase();
    let (operator, if_exists) = match operator.strip_suffix("ifexists") {
        Some(operator) => (operator, true),
        None => (operator.as_str(), false),
    };
    let known = known(key);
    if operator == "null" {
        let absent = match known {
            Known::Is(_) | Known::AsAsked => "false",
            Known::Absent => "true",
            Known::Not => return None,
        };
        return Some(is_one_of(values, |value| value == absent));
    }
    let positive = operator.replacen("not", "", 1);
    let negated = positive != operator;
    let fits: fn(&str, &str) -> bool = match positive.as_str() {
        "stringequals" => |asked, is| asked == is,
        "stringequalsignorecase" | "bool" => str::eq_ignore_ascii_case,
        "stringlike" | "arnequals" | "arnlike" => glob::matches,
        // Addresses, dates, numbers, and sets of values: no key here has any.
        _ => return None,
    };
    match known {
        Known::Is(is) => Some(is_one_of(values, |asked| fits(asked, is)) != negated),
        Known::Absent => Some(if_exists || negated),
        Known::AsAsked => Some(!negated),
        Known::Not => None,
    }
}

fn is_one_of(values: &[Value], fits: impl Fn(&str) -> bool) -> bool {
    values.iter().any(|value| match value {
        Value::String(text) => fits(text),
        other => fits(&other.to_string()),
    })
}
