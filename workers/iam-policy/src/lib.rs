//! What an IAM policy document grants, denies and trusts. Nothing here calls AWS.
//!
//! **Understood.** A document as JSON, as text or URL-encoded; one statement or a list, one value or
//! a list; `Action`, `NotAction`, `Resource`, `NotResource`, `Principal` and `NotPrincipal`; actions
//! without case, with `*` and `?`.
//!
//! **In doubt it grants.** An `Allow` under a condition is an `Allow`. A `Deny` counts only without a
//! condition and on every resource. What is asked is not who may do what, but whether somebody was
//! handed the means to become an administrator: an action of IAM or STS by which one gives privileges
//! to oneself or takes somebody else's, on every user, role, group or policy there is.
//!
//! **Not understood**: policy variables but `${aws:username}`; means that take a particular resource,
//! such as passing one role or changing the code of a function; everything that is no policy
//! document, such as organization policies and session policies, which may narrow what it grants.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

mod administration;
mod glob;
mod managed;
mod statement;
mod trust;

pub use managed::{Known, managed};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::statement::{Statement, list, part};

/// A policy document.
#[derive(Debug, Clone)]
pub struct Document {
    statements: Vec<Statement>,
    written: Value,
}

impl Document {
    /// Reads a document in JSON, or a text that holds one. None when it is no policy.
    #[must_use]
    pub fn parse(document: &Value) -> Option<Self> {
        if let Value::String(text) = document {
            return Self::read(text);
        }
        let statements = list(part(document, "Statement")?);
        let statements = statements.iter().map(Statement::read);
        Some(Self {
            statements: statements.collect::<Option<_>>()?,
            written: document.clone(),
        })
    }

    /// Reads a document as text, URL-encoded as IAM answers it or not. None when it is no policy.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let json = if text.starts_with('{') {
            text.into()
        } else {
            percent_decode_str(text).decode_utf8().ok()?
        };
        let document: Value = serde_json::from_str(&json).ok()?;
        document.is_object().then(|| Self::parse(&document))?
    }

    /// Whether it grants nothing: it only denies.
    #[must_use]
    pub fn only_denies(&self) -> bool {
        !self.statements.iter().any(Statement::allows)
    }

    /// Whether it denies every action on every resource, under no condition.
    #[must_use]
    pub fn denies_everything(&self) -> bool {
        self.statements.iter().any(Statement::denies_everything)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: Value) -> Option<Document> {
        Document::parse(&document)
    }

    #[test]
    fn a_document_is_read_in_every_form_that_aws_writes_it_in() {
        let document = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ]});
        let text = document.to_string();
        let encoded =
            percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
        for form in [
            document.clone(),
            json!(text),
            json!(format!("\n {text} ")),
            json!(encoded.to_string()),
            json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}),
            json!({"statement": {"Effect": "Allow", "action": ["*"], "resource": ["*"]}}),
        ] {
            let read = read(form.clone()).unwrap_or_else(|| panic!("{form}"));
            assert!(read.administration().is_some(), "{form}");
        }
    }

    #[test]
    fn what_is_no_policy_is_not_taken_for_one() {
        for other in [
            json!(null),
            json!(7),
            json!([]),
            json!({}),
            json!(""),
            json!("not a policy"),
            json!("{"),
            json!("%7B%22"),
            json!("\"{}\""),
            json!({"Statement": ["Allow"]}),
            json!({"Statement": [{"Action": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}),
        ] {
            assert!(read(other.clone()).is_none(), "{other}");
        }
        // A text within a text within a text is nobody's policy.
        let nested = json!(json!("{\"Statement\": []}").to_string());
        assert!(read(nested).is_none());
        let deep = format!("{{\"Statement\": {}", "[".repeat(10_000));
        assert!(Document::read(&deep).is_none());
    }

    #[test]
    fn a_document_that_only_denies_grants_nothing() {
        let denial = json!({"Effect": "Deny", "Action": "*", "Resource": "*"});
        let grant = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"});
        let only = |statements: Value| {
            let document = read(json!({"Statement": statements})).unwrap();
            document.only_denies()
        };
        assert!(only(denial.clone()));
        assert!(only(json!([])));
        assert!(!only(json!([denial, grant])));
    }

    #[test]
    fn everything_is_denied_by_a_deny_of_everything_under_no_condition() {
        let denied = |statement: Value| {
            let document = read(json!({"Statement": [statement]})).unwrap();
            document.denies_everything()
        };
        for (statement, everything) in [
            (
                json!({"Effect": "Deny", "Action": "*", "Resource": "*"}),
                true,
            ),
            (
                json!({"Effect": "Deny", "Action": ["x:Y", "*:*"], "Resource": ["*"]}),
                true,
            ),
            (
                json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {}}),
                true,
            ),
            (
                json!({"Effect": "Deny", "Action": "none:none", "Resource": "*"}),
                false,
            ),
            (
                json!({"Effect": "Deny", "NotAction": "iam:*", "Resource": "*"}),
                false,
            ),
            (
                json!({"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::x"}),
                false,
            ),
            (
                json!({"Effect": "Deny", "Action": "*", "Resource": "*",
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
                false,
            ),
            (
                json!({"Effect": "Allow", "Action": "*", "Resource": "*"}),
                false,
            ),
        ] {
            assert_eq!(denied(statement.clone()), everything, "{statement}");
        }
    }
}
