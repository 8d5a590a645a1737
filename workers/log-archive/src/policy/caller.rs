//! Who calls, and whether a statement is about their calls.

use incident::TrailArn;
use serde_json::Value;

use super::{Delivery, glob, list, names};

const CLOUDTRAIL: &str = "cloudtrail.amazonaws.com";

/// Where all roles of the responder are.
const OUR_ROLES: &str = "role/tourniquet/";

/// Whose calls a policy is asked about.
#[derive(Clone, Copy)]
pub(super) enum Caller<'a> {
    /// CloudTrail, delivering.
    CloudTrail(&'a Delivery<'a>),
    /// A role of the responder, in this account.
    Responder(Option<&'a str>),
}

/// What is known of one key of a request's context.
enum Known<'a> {
    Is(&'a str),
    Absent,
    /// Whatever the policy asks for.
    AsAsked,
    /// The ARN of some trail of this account.
    TrailOf(&'a str),
    /// The ARN of some role of the responder in this account.
    RoleOf(&'a str),
    /// A version of TLS: 1.2 or a later one.
    Tls,
    Not,
}

/// How an operator compares.
#[derive(Clone, Copy)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    LessThan,
}

impl<'a> Caller<'a> {
    /// Whether the caller is, or may be, among the principals of a statement: `"*"`, or a map from
    /// kinds of principals to one or several of them.
    pub(super) fn is_among(self, principal: &Value) -> bool {
        match self {
            Self::CloudTrail(_) => self.is_surely_among(principal),
            Self::Responder(account) => {
                let mine = |name: &str| account.is_none_or(|account| may_be_ours(name, account));
                principal == "*"
                    || names(&principal["AWS"], mine)
                    // An account, by another of its names.
                    || !list(&principal["CanonicalUser"]).is_empty()
            }
        }
    }

    /// Whether the caller is among them for certain.
    pub(super) fn is_surely_among(self, principal: &Value) -> bool {
        let anybody = principal == "*" || names(&principal["AWS"], |name| name == "*");
        let service = |name: &str| name == CLOUDTRAIL || name == "*";
        match self {
            Self::CloudTrail(_) => anybody || names(&principal["Service"], service),
            Self::Responder(_) => anybody,
        }
    }

    /// Whether all conditions hold for certain, as no condition does.
    pub(super) fn holds(self, conditions: &Value) -> bool {
        self.all(conditions).all(|holds| holds == Some(true))
    }

    /// Whether one condition fails for certain.
    pub(super) fn fails(self, conditions: &Value) -> bool {
        self.all(conditions).any(|holds| holds == Some(false))
    }

    fn all(self, conditions: &Value) -> impl Iterator<Item = Option<bool>> {
        let operators = conditions.as_object().into_iter().flatten();
        operators.flat_map(move |(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, values)| self.known(key).decide(operator, list(values)))
        })
    }

    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
    fn known(self, key: &str) -> Known<'a> {
        let key = key.to_ascii_lowercase();
        match (self, key.as_str()) {
            (_, "aws:securetransport") => Known::Is("true"),
            (_, "aws:viaawsservice") => Known::Is("false"),
            (_, "s3:tlsversion") => Known::Tls,
            // No function of ours is in a VPC.
            (
                _,
                "aws:sourcevpc" | "aws:sourcevpce" | "aws:vpcsourceip" | "aws:username"
                | "aws:sourceidentity",
            ) => Known::Absent,
            (Self::CloudTrail(delivery), key) => delivery.known(key),
            (Self::Responder(account), key) => known_of_ours(account, key),
        }
    }
}

impl<'a> Delivery<'a> {
    fn known(&self, key: &str) -> Known<'a> {
        let of_trail = self.trail.map(TrailArn::account);
        let account = self.account.or(of_trail);
        match key {
            "aws:principalisawsservice" => Known::Is("true"),
            "aws:principalservicename" => Known::Is(CLOUDTRAIL),
            "s3:x-amz-acl" => Known::Is("bucket-owner-full-control"),
            "aws:sourcearn" | "kms:encryptioncontext:aws:cloudtrail:arn" => {
                match (self.trail, account) {
                    (Some(trail), _) => Known::Is(trail.arn().as_str()),
                    (None, Some(account)) => Known::TrailOf(account),
                    (None, None) => Known::AsAsked,
                }
            }
            "aws:sourceaccount" => account.map_or(Known::AsAsked, Known::Is),
            "aws:sourceorgid" | "aws:sourceorgpaths" => Known::AsAsked,
            "aws:principalarn"
            | "aws:principalorgid"
            | "aws:principalorgpaths"
            | "aws:userid"
            | "aws:multifactorauthpresent"
            | "aws:multifactorauthage" => Known::Absent,
            tag if tag.starts_with("aws:principaltag/") => Known::Absent,
            _ => Known::Not,
        }
    }
}

fn known_of_ours<'a>(account: Option<&'a str>, key: &str) -> Known<'a> {
    match key {
        "aws:principalisawsservice" => Known::Is("false"),
        "aws:principaltype" => Known::Is("AssumedRole"),
        "aws:principalaccount" => account.map_or(Known::Not, Known::Is),
        "aws:principalarn" => account.map_or(Known::Not, Known::RoleOf),
        "aws:principalservicename"
        | "aws:sourcearn"
        | "aws:sourceaccount"
        | "aws:sourceorgid"
        | "aws:sourceorgpaths" => Known::Absent,
        _ => Known::Not,
    }
}

/// Whether a principal of a statement may be a role of ours. A session's ARN does not tell where its
/// role is, nor does a role's id.
fn may_be_ours(name: &str, account: &str) -> bool {
    let parts: Vec<_> = name.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "iam" | "sts", "", owner, resource] => {
            owner == account
                && (resource == "root"
                    || resource.starts_with(OUR_ROLES)
                    || resource.starts_with("assumed-role/"))
        }
        _ if name.chars().all(|c| c.is_ascii_digit()) => name == account,
        // A user's id.
        _ => !name.starts_with("AIDA"),
    }
}

impl Known<'_> {
    fn decide(self, operator: &str, values: &[Value]) -> Option<bool> {
        let operator = operator.to_ascii_lowercase();
        let (operator, if_exists) = match operator.strip_suffix("ifexists") {
            Some(operator) => (operator, true),
            None => (operator.as_str(), false),
        };
        if operator == "null" {
            let absent = match self {
                Known::Absent => "true",
                Known::Not => return None,
                _ => "false",
            };
            return any(values, |value| Some(value == absent));
        }
        let positive = operator.replacen("not", "", 1);
        let negated = positive != operator;
        let comparison = match positive.as_str() {
            "stringequals" => Comparison::Equals,
            "stringequalsignorecase" | "bool" => Comparison::EqualsIgnoreCase,
            "stringlike" => Comparison::Like,
            "arnequals" | "arnlike" => Comparison::Arn,
            "numericlessthan" => Comparison::LessThan,
            // Addresses, dates, and sets of values: no key here has any.
            _ => return None,
        };
        let fits = match self {
            Known::Absent => return Some(if_exists || negated),
            Known::AsAsked => Some(true),
            _ => any(values, |asked| self.fits(comparison, asked)),
        };
        fits.map(|fits| fits != negated)
    }

    fn fits(&self, comparison: Comparison, asked: &str) -> Option<bool> {
        match (self, comparison) {
            (Known::Is(is), Comparison::Equals) => Some(asked == *is),
            (Known::Is(is), Comparison::EqualsIgnoreCase) => Some(asked.eq_ignore_ascii_case(is)),
            (Known::Is(is), Comparison::Like) => Some(glob::matches(asked, is)),
            (Known::Is(is), Comparison::Arn) => {
                // Part by part: no star reaches over a colon.
                let (asked, is) = (parts(asked)?, parts(is)?);
                Some(
                    asked
                        .iter()
                        .zip(is)
                        .all(|(asked, is)| glob::matches(asked, is)),
                )
            }
            // To these a star is a star.
            (Known::TrailOf(_), Comparison::Equals | Comparison::EqualsIgnoreCase)
                if asked.contains('*') =>
            {
                Some(false)
            }
            (Known::TrailOf(account), _) => {
                let [_, _, service, _, owner, resource] = parts(asked)?;
                Some(
                    glob::matches(service, "cloudtrail")
                        && glob::matches(owner, account)
                        && glob::reaches_beyond(resource, "trail/"),
                )
            }
            (Known::RoleOf(account), comparison) => {
                if asked.chars().all(|c| c == '*') && !asked.is_empty() {
                    return matches!(comparison, Comparison::Like).then_some(true);
                }
                let [_, _, service, _, owner, resource] = parts(asked)?;
                let placed = glob::matches(service, "iam") && glob::matches(owner, account);
                if !placed || !glob::reaches_beyond(resource, OUR_ROLES) {
                    return Some(false);
                }
                let pattern = matches!(comparison, Comparison::Like | Comparison::Arn);
                (pattern && glob::fits_all_beyond(resource, OUR_ROLES)).then_some(true)
            }
            (Known::Tls, Comparison::LessThan) => {
                let asked: f64 = asked.parse().ok()?;
                (asked <= 1.2).then_some(false)
            }
            _ => None,
        }
    }
}

/// The parts of an ARN, or of a pattern for one.
fn parts(arn: &str) -> Option<[&str; 6]> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    parts.try_into().ok()
}

/// Whether any of `values` fits for certain; none when nobody knows.
fn any(values: &[Value], fits: impl Fn(&str) -> Option<bool>) -> Option<bool> {
    let fits: Vec<_> = values
        .iter()
        .map(|value| match value {
            Value::String(text) => fits(text),
            other => fits(&other.to_string()),
        })
        .collect();
    if fits.contains(&Some(true)) {
        Some(true)
    } else {
        fits.into_iter().all(|fits| fits.is_some()).then_some(false)
    }
}
