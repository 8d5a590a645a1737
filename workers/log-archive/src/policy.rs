//! What the policies of a log bucket and of a trail's key let CloudTrail do, and whether a policy is
//! as strong as the recorded one.
//!
//! **Understood.** A policy lets CloudTrail do something when an `Allow` gives it and no `Deny`
//! takes it. The principal is CloudTrail's service principal or everybody; actions are compared
//! without case and with wildcards; resources with wildcards, in any partition. Log files are those
//! under `<prefix>/AWSLogs/<account>/`, as far as [`Delivery`] knows these. Conditions are decided by
//! what is known of CloudTrail's calls: they come over TLS, by an AWS service, with the ACL
//! `bucket-owner-full-control`; they carry no principal ARN, organization, tag, user or VPC; and
//! `aws:SourceArn` is the trail's (the encryption context of the key too), `aws:SourceAccount` its
//! account.
//!
//! **In doubt it does not let.** An `Allow` counts when all of its conditions hold for certain, and
//! never with `NotPrincipal`, `NotAction` or `NotResource`. A `Deny` counts unless one of its
//! conditions fails for certain; with `NotPrincipal`, `NotAction` or `NotResource`, unless that
//! leaves CloudTrail out. A `Deny` on some of the log files counts as one on all of them.
//!
//! **Not understood**: policy variables, which are taken as plain text; everything that is no policy
//! of this bucket or key, such as organization policies, ACLs and grants.

mod caller;
mod glob;

use std::collections::BTreeSet;

use incident::TrailArn;
use serde_json::{Map, Value, json};

use caller::Caller;

/// What our roles call on the bucket itself, to compare it and to put it back.
const OUR_CALLS: [&str; 9] = [
    "s3:GetBucketPolicy",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:ListBucket",
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
];

/// Whose log files are delivered, as far as it is known. What is not known is taken to be as the
/// policy asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivery<'a> {
    /// The account that is recorded, which is also the one that owns the bucket.
    pub account: Option<&'a str>,
    /// The trail that records it.
    pub trail: Option<&'a TrailArn>,
    /// What the keys of its files start with; an empty text for nothing.
    pub prefix: Option<&'a str>,
}

impl Delivery<'_> {
    /// Whether a bucket policy lets CloudTrail put the log files into `bucket`, which takes
    /// `s3:GetBucketAcl` on the bucket and `s3:PutObject` on them.
    #[must_use]
    pub fn may_write(&self, policy: &Value, bucket: &str) -> bool {
        let lets = |action, resource| lets(policy, Caller::CloudTrail(self), action, resource);
        lets("s3:GetBucketAcl", Resource::Bucket(bucket))
            && lets("s3:PutObject", Resource::LogFiles(bucket, self))
    }

    /// Whether a key policy lets CloudTrail encrypt with the key, which takes `kms:GenerateDataKey`.
    #[must_use]
    pub fn may_encrypt(&self, policy: &Value) -> bool {
        let caller = Caller::CloudTrail(self);
        lets(policy, caller, "kms:GenerateDataKey", Resource::ThisKey)
    }

    /// Whether a bucket policy is the recorded one, or that with nothing but denials more, of which
    /// none reaches CloudTrail's delivery nor our own roles' work on `bucket`. In doubt one does.
    #[must_use]
    pub fn is_no_weaker(&self, policy: &Value, recorded: &Value, bucket: &str) -> bool {
        let (now, before) = (statements(policy), statements(recorded));
        let kept: BTreeSet<_> = before.iter().map(|(_, canonical)| canonical).collect();
        let all: BTreeSet<_> = now.iter().map(|(_, canonical)| canonical).collect();
        let mut more = now
            .iter()
            .filter(|(_, canonical)| !kept.contains(canonical));
        version(policy) == version(recorded)
            && kept.is_subset(&all)
            && more.all(|(statement, _)| self.only_denies_others(statement, bucket))
    }

    fn only_denies_others(&self, statement: &Value, bucket: &str) -> bool {
        let denies = |caller, action, resource| denies(statement, caller, action, resource);
        let cloudtrail = Caller::CloudTrail(self);
        let ours = Caller::Responder(self.account);
        let (whole, files) = (Resource::Bucket(bucket), Resource::LogFiles(bucket, self));
        statement["Effect"] == "Deny"
            && !denies(cloudtrail, "s3:GetBucketAcl", whole)
            && !denies(cloudtrail, "s3:PutObject", files)
            && !denies(ours, "s3:GetObject", files)
            && !OUR_CALLS.iter().any(|call| denies(ours, call, whole))
    }
}

/// Whether two policies mean the same: the order of statements and lists, a text for a list of one,
/// an account for its root, the case of actions, and names of statements make no difference.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    let meant = |policy| -> BTreeSet<_> {
        let statements = statements(policy).into_iter();
        statements.map(|(_, canonical)| canonical).collect()
    };
    version(a) == version(b) && meant(a) == meant(b)
}

/// What a call is about.
#[derive(Clone, Copy)]
enum Resource<'a> {
    Bucket(&'a str),
    /// The log files in a bucket.
    LogFiles(&'a str, &'a Delivery<'a>),
    /// A key policy is about no other key.
    ThisKey,
}

fn lets(policy: &Value, caller: Caller<'_>, action: &str, resource: Resource<'_>) -> bool {
    let statements = list(&policy["Statement"]);
    let allows = |statement: &Value| allows(statement, caller, action, resource);
    let denies = |statement: &Value| denies(statement, caller, action, resource);
    statements.iter().any(allows) && !statements.iter().any(denies)
}

fn allows(statement: &Value, caller: Caller<'_>, action: &str, resource: Resource<'_>) -> bool {
    statement["Effect"] == "Allow"
        && caller.is_among(&statement["Principal"])
        && names(&statement["Action"], |pattern| is_action(pattern, action))
        && names(&statement["Resource"], |pattern| {
            resource.is_given_by(pattern)
        })
        && caller.holds(&statement["Condition"])
}

fn denies(statement: &Value, caller: Caller<'_>, action: &str, resource: Resource<'_>) -> bool {
    let but = |name: &str| statement.get(name).filter(|value| !value.is_null());
    let principal = match but("NotPrincipal") {
        Some(left_out) => !caller.is_surely_among(left_out),
        None => caller.is_among(&statement["Principal"]),
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
        && !caller.fails(&statement["Condition"])
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
            Self::LogFiles(bucket, delivery) => {
                let folder = delivery
                    .prefix
                    .map(|prefix| format!("{}AWSLogs/", folder(prefix)));
                let start = format!("{bucket}/{}", folder.unwrap_or_default());
                glob::reaches_beyond(pattern, &start)
            }
            Self::ThisKey => pattern.contains("key/") || pattern.contains('*'),
        }
    }

    /// Whether a pattern fits all of it, whatever is not known of it.
    fn is_within(self, pattern: &str) -> bool {
        let Some(pattern) = past_partition(pattern) else {
            return true;
        };
        match self {
            Self::LogFiles(bucket, delivery) => {
                let start = delivery.prefix.zip(delivery.account);
                let start = start.map(|(prefix, account)| log_files(&folder(prefix), account));
                let start = format!("{bucket}/{}", start.unwrap_or_default());
                glob::fits_all_beyond(pattern, &start)
            }
            Self::Bucket(_) | Self::ThisKey => self.is_hit_by(pattern),
        }
    }

    /// Whether a pattern fits all of it, where what is not known of it may be as the pattern has it.
    fn is_given_by(self, pattern: &str) -> bool {
        let Some(pattern) = past_partition(pattern) else {
            return true;
        };
        let Self::LogFiles(bucket, delivery) = self else {
            return self.is_hit_by(pattern);
        };
        let Some(account) = delivery.account else {
            return glob::reaches_beyond(pattern, &format!("{bucket}/"));
        };
        let folders = if let Some(prefix) = delivery.prefix {
            vec![folder(prefix)]
        } else {
            let key = pattern.strip_prefix(&format!("{bucket}/"));
            let own = key.and_then(|key| key.split_once("AWSLogs/"));
            let own = own.map(|(folder, _)| folder.to_owned());
            std::iter::once(String::new()).chain(own).collect()
        };
        folders.iter().any(|folder| {
            let start = format!("{bucket}/{}", log_files(folder, account));
            glob::fits_all_beyond(pattern, &start)
        })
    }
}

/// How the keys of an account's log files, insights and digests start.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>
fn log_files(folder: &str, account: &str) -> String {
    format!("{folder}AWSLogs/{account}/CloudTrail")
}

/// A prefix as keys have it.
fn folder(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
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

/// What AWS assumes of a policy that does not say is the oldest.
fn version(policy: &Value) -> &str {
    policy["Version"].as_str().unwrap_or("2008-10-17")
}

/// Each statement, and the one text of all that mean the same.
fn statements(policy: &Value) -> Vec<(&Value, String)> {
    let statements = list(&policy["Statement"]).iter();
    let statements = statements.map(|statement| {
        let mut canonical = canonical(statement);
        canonical.sort_all_objects();
        (statement, canonical.to_string())
    });
    statements.collect()
}

fn canonical(statement: &Value) -> Value {
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
