//! What the policies of a log bucket and of a trail's key let CloudTrail do.
//!
//! **Understood.** A policy lets CloudTrail do something when an `Allow` gives it and no `Deny`
//! takes it. The principal is CloudTrail's service principal or everybody; actions are compared
//! without case and with wildcards; resources with wildcards, in any partition. Conditions are
//! decided by what is known of CloudTrail's calls: they come over TLS, by an AWS service, with the
//! ACL `bucket-owner-full-control`; they carry no principal ARN, organization, tag, user or VPC; and
//! where the policy asks which trail or account a call is made for (`aws:SourceArn` and the like, or
//! the encryption context of the trail), it is taken to be the right one.
//!
//! **In doubt it does not let.** An `Allow` counts when all of its conditions hold for certain, and
//! never with `NotPrincipal`, `NotAction` or `NotResource`. A `Deny` counts unless one of its
//! conditions fails for certain; with `NotPrincipal`, `NotAction` or `NotResource`, unless that
//! leaves CloudTrail out. A `Deny` on some of the bucket's objects counts as one on all of them.
//!
//! **Not understood**: policy variables, which are taken as plain text; which trail or account a
//! condition names; which prefix an `Allow` is about; everything that is no policy of this bucket or
//! key, such as organization policies, ACLs and grants.

mod condition;
mod glob;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const CLOUDTRAIL: &str = "cloudtrail.amazonaws.com";

/// Whether a bucket policy lets CloudTrail put log files into `bucket`, which takes
/// `s3:GetBucketAcl` on the bucket and `s3:PutObject` on objects in it.
#[must_use]
pub fn lets_cloudtrail_write(policy: &Value, bucket: &str) -> bool {
    lets(policy, "s3:GetBucketAcl", Resource::Bucket(bucket))
        && lets(policy, "s3:PutObject", Resource::Objects(bucket))
}

/// Whether a key policy lets CloudTrail encrypt with the key, which takes `kms:GenerateDataKey`.
#[must_use]
pub fn lets_cloudtrail_encrypt(policy: &Value) -> bool {
    lets(policy, "kms:GenerateDataKey", Resource::ThisKey)
}

/// Whether two policies mean the same: the order of statements and lists, a text for a list of one,
/// an account for its root, the case of actions, and names of statements make no difference.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    canonical(a) == canonical(b)
}

/// What a call is about.
#[derive(Clone, Copy)]
enum Resource<'a> {
    Bucket(&'a str),
    /// Some objects in a bucket, nobody says which.
    Objects(&'a str),
    /// A key policy is about no other key.
    ThisKey,
}

fn lets(policy: &Value, action: &str, resource: Resource<'_>) -> bool {
    let statements = list(&policy["Statement"]);
    let allows = |statement: &Value| allows(statement, action, resource);
    let denies = |statement: &Value| denies(statement, action, resource);
    statements.iter().any(allows) && !statements.iter().any(denies)
}

fn allows(statement: &Value, action: &str, resource: Resource<'_>) -> bool {
    statement["Effect"] == "Allow"
        && covers_cloudtrail(&statement["Principal"])
        && names(&statement["Action"], |pattern| is_action(pattern, action))
        && names(&statement["Resource"], |pattern| {
            resource.is_hit_by(pattern)
        })
        && condition::holds(&statement["Condition"])
}

fn denies(statement: &Value, action: &str, resource: Resource<'_>) -> bool {
    let but = |name: &str| statement.get(name).filter(|value| !value.is_null());
    let principal = match but("NotPrincipal") {
        Some(left_out) => !covers_cloudtrail(left_out),
        None => covers_cloudtrail(&statement["Principal"]),
    };
    let action = match but("NotAction") {
        Some(left_out) => !names(left_out, |pattern| is_action(pattern, action)),
        None => names(&statement["Action"], |pattern| is_action(pattern, action)),
    };
    let resource = match but("NotResource") {
        Some(left_out) => !names(left_out, |pattern| resource.is_within(pattern)),
        None => names(&statement["Resource"], |pattern| {
            resource.is_hit_by(pattern)
        }),
    };
    statement["Effect"] == "Deny"
        && principal
        && action
        && resource
        && !condition::fails(&statement["Condition"])
}

/// `"*"`, or a map from kinds of principals to one or several of them.
fn covers_cloudtrail(principal: &Value) -> bool {
    principal == "*"
        || names(&principal["Service"], |name| {
            name == CLOUDTRAIL || name == "*"
        })
        || names(&principal["AWS"], |name| name == "*")
}

fn is_action(pattern: &str, action: &str) -> bool {
    glob::matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

impl Resource<'_> {
    /// Whether a pattern fits some of it.
    fn is_hit_by(self, pattern: &str) -> bool {
        let Some(pattern) = past_partition(pattern) else {
            return true;
        };
        match self {
            Self::Bucket(bucket) => glob::matches(pattern, bucket),
            Self::Objects(bucket) => glob::reaches_beyond(pattern, &format!("{bucket}/")),
            Self::ThisKey => pattern.contains("key/") || pattern.contains('*'),
        }
    }

    /// Whether a pattern fits all of it.
    fn is_within(self, pattern: &str) -> bool {
        let Some(pattern) = past_partition(pattern) else {
            return true;
        };
        match self {
            // No key holds a control character, so that only a wildcard fits one.
            Self::Objects(bucket) => glob::matches(pattern, &format!("{bucket}/\u{1}")),
            Self::Bucket(_) | Self::ThisKey => self.is_hit_by(pattern),
        }
    }
}

/// What an ARN pattern says of the resource itself; none for a pattern that fits everything.
fn past_partition(pattern: &str) -> Option<&str> {
    if pattern.chars().all(|c| c == '*') && !pattern.is_empty() {
        return None;
    }
    Some(pattern.splitn(6, ':').last().unwrap_or(pattern))
}

fn names(value: &Value, test: impl Fn(&str) -> bool) -> bool {
    list(value)
        .iter()
        .any(|name| name.as_str().is_some_and(&test))
}

/// Policies write a list of one as the one.
fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        Value::Null => &[],
        value => std::slice::from_ref(value),
    }
}

fn canonical(policy: &Value) -> Value {
    let statements: BTreeSet<_> = list(&policy["Statement"])
        .iter()
        .map(|statement| {
            let mut statement = statement_of(statement);
            statement.sort_all_objects();
            statement.to_string()
        })
        .collect();
    let version = policy.get("Version").filter(|version| !version.is_null());
    json!({
        // What AWS assumes of a policy that does not say.
        "Version": version.cloned().unwrap_or_else(|| json!("2008-10-17")),
        "Statement": statements,
    })
}

fn statement_of(statement: &Value) -> Value {
    let Some(parts) = statement.as_object() else {
        return statement.clone();
    };
    let parts = parts
        .iter()
        .filter(|(name, part)| *name != "Sid" && !part.is_null());
    let parts = parts.map(|(name, part)| {
        let part = match name.as_str() {
            "Principal" | "NotPrincipal" => principals_of(part),
            "Action" | "NotAction" => set_of(part, str::to_ascii_lowercase),
            "Resource" | "NotResource" => set_of(part, str::to_owned),
            "Condition" => conditions_of(part),
            _ => part.clone(),
        };
        (name.clone(), part)
    });
    Value::Object(parts.collect())
}

fn principals_of(principals: &Value) -> Value {
    match principals {
        Value::Object(kinds) => {
            let kinds = kinds.iter();
            let kinds = kinds.map(|(kind, who)| (kind.clone(), set_of(who, account_or_principal)));
            Value::Object(kinds.collect())
        }
        anybody if anybody == "*" => json!({"AWS": ["*"]}),
        other => other.clone(),
    }
}

/// An account's root stands for the account.
fn account_or_principal(who: &str) -> String {
    let parts: Vec<_> = who.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "iam", "", account, "root"] => account.to_owned(),
        _ => who.to_owned(),
    }
}

fn conditions_of(conditions: &Value) -> Value {
    let Some(operators) = conditions.as_object() else {
        return conditions.clone();
    };
    let operators = operators.iter().map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        let keys =
            keys.map(|(key, values)| (key.to_ascii_lowercase(), set_of(values, str::to_owned)));
        let keys: Map<_, _> = keys.collect();
        (operator.to_ascii_lowercase(), Value::Object(keys))
    });
    Value::Object(operators.collect())
}

/// Numbers and booleans count as their texts.
fn set_of(values: &Value, normal: impl Fn(&str) -> String) -> Value {
    let values = list(values).iter().map(|value| match value {
        Value::String(text) => normal(text),
        other => other.to_string(),
    });
    json!(values.collect::<BTreeSet<_>>())
}

#[cfg(test)]
mod tests;
