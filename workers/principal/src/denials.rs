//! The inline policies by which sessions are ended.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The inline policy by which older sessions are denied: the name the IAM console uses too.
pub const REVOKE_POLICY: &str = "AWSRevokeOlderSessions";

/// The inline policy by which single sessions of a shared role are denied.
pub const SESSION_POLICY: &str = "TourniquetDenySessions";

/// Tokens issued up to this long after now are denied too, since clocks differ; as the IAM console
/// does.
pub const CUTOFF_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// No session of a role lives longer.
const LONGEST_SESSION: SignedDuration = SignedDuration::from_hours(12);

/// The document of [`REVOKE_POLICY`]: every call with a token issued before `cutoff` is denied,
/// to the whole second.
#[must_use]
pub fn revoke_document(cutoff: Timestamp) -> String {
    document(&[denial(None, cutoff)])
}

/// The cut-off that a document such as [`revoke_document`] sets. None when the document does not
/// deny everything that way: it was tampered with, or is somebody else's.
#[must_use]
pub fn cutoff_of(document: &str) -> Option<Timestamp> {
    statements(document)
        .iter()
        .filter_map(denied)
        .filter(|(session, _)| session.is_none())
        .map(|(_, cutoff)| cutoff)
        .max()
}

/// The sessions that [`SESSION_POLICY`] denies: `aws:userId`, which is the role's unique id, a
/// colon and the session's name, and the cut-off before which its tokens were issued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionDenials(BTreeMap<String, Timestamp>);

impl SessionDenials {
    /// Reads the policy's document; statements that do not deny one session are left out.
    #[must_use]
    pub fn read(document: Option<&str>) -> Self {
        let mut denials = Self::default();
        for statement in document.map(statements).unwrap_or_default() {
            if let Some((Some(user_id), cutoff)) = denied(&statement) {
                denials.deny(&user_id.replace("${$}", "$"), cutoff);
            }
        }
        denials
    }

    /// Denies a session's tokens issued before `cutoff`, to the whole second; whether that changed
    /// anything. A cut-off never moves backwards.
    pub fn deny(&mut self, user_id: &str, cutoff: Timestamp) -> bool {
        let cutoff = whole_seconds(cutoff);
        let later = self.cutoff(user_id) < Some(cutoff);
        if later {
            self.0.insert(user_id.to_owned(), cutoff);
        }
        later
    }

    /// Denies a session no longer; whether it was denied.
    pub fn allow(&mut self, user_id: &str) -> bool {
        self.0.remove(user_id).is_some()
    }

    /// The cut-off of a session; none when it is not denied.
    #[must_use]
    pub fn cutoff(&self, user_id: &str) -> Option<Timestamp> {
        self.0.get(user_id).copied()
    }

    /// Drops the denials of tokens that have all expired by `now`, to make room: a session of a
    /// role lives 12 hours at most.
    pub fn drop_dead(&mut self, now: Timestamp) {
        self.0
            .retain(|_, cutoff| now.duration_since(*cutoff) < LONGEST_SESSION);
    }

    /// Whether no session is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The policy's document: one Deny statement a session.
    #[must_use]
    pub fn document(&self) -> String {
        let denials = self.0.iter();
        let statements: Vec<_> = denials
            .map(|(user_id, cutoff)| denial(Some(user_id), *cutoff))
            .collect();
        document(&statements)
    }
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// A statement that denies everything with tokens issued before `cutoff`, to one session or to all.
fn denial(user_id: Option<&str>, cutoff: Timestamp) -> Value {
    let mut condition =
        json!({"DateLessThan": {"aws:TokenIssueTime": whole_seconds(cutoff).to_string()}});
    if let Some(user_id) = user_id {
        // Not StringLike: whoever assumes the role chooses the session's name, wildcards and all.
        // `${$}` is how a policy writes a dollar that begins no variable.
        condition["StringEquals"] = json!({"aws:userId": user_id.replace('$', "${$}")});
    }
    json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition})
}

/// The statements of a document; none when it is not one.
fn statements(document: &str) -> Vec<Value> {
    let mut document: Value = serde_json::from_str(document).unwrap_or_default();
    match document.get_mut("Statement").map(Value::take) {
        Some(Value::Array(statements)) => statements,
        Some(statement) => vec![statement],
        None => Vec::new(),
    }
}

/// Whom a statement denies everything, one session or all, and the cut-off. None when it denies
/// less than everything, or under any further condition.
fn denied(statement: &Value) -> Option<(Option<&str>, Timestamp)> {
    let condition = statement["Condition"].as_object()?;
    let cutoff = only(condition.get("DateLessThan")?, "aws:TokenIssueTime")?
        .parse()
        .ok()?;
    let user_id = match condition.get("StringEquals") {
        Some(users) => Some(only(users, "aws:userId")?),
        None => None,
    };
    let denies_everything = statement["Effect"] == "Deny"
        && holds_wildcard(&statement["Action"])
        && holds_wildcard(&statement["Resource"])
        && condition.len() == 1 + usize::from(user_id.is_some());
    denies_everything.then_some((user_id, cutoff))
}

/// The one value that an operator compares with the one key it names.
fn only<'a>(operator: &'a Value, key: &str) -> Option<&'a str> {
    let keys = operator.as_object().filter(|keys| keys.len() == 1)?;
    match keys.get(key)? {
        Value::Array(values) if values.len() == 1 => values[0].as_str(),
        value => value.as_str(),
    }
}

/// Whether an element, which may be written as a text or as a list, is or holds `*`.
fn holds_wildcard(element: &Value) -> bool {
    match element {
        Value::Array(entries) => entries.iter().any(|entry| entry == "*"),
        entry => entry == "*",
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVE: &str = "AROAEXAMPLE:eve";

    fn at(time: &str) -> Timestamp {
        format!("2026-11-25T{time}Z").parse().unwrap()
    }

    #[test]
    fn older_sessions_are_denied_to_the_whole_second() {
        let document = revoke_document(at("02:00:00.987"));
        insta::assert_snapshot!(document, @r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-25T02:00:00Z"}}}]}"#);
        assert_eq!(cutoff_of(&document), Some(at("02:00:00")));
    }

    #[test]
    fn the_consoles_own_document_is_understood() {
        let document = r#"{
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Deny",
                "Action": ["*"],
                "Resource": ["*"],
                "Condition": {"DateLessThan": {"aws:TokenIssueTime": ["2026-11-25T02:00:00.000Z"]}}
            }]
        }"#;
        assert_eq!(cutoff_of(document), Some(at("02:00:00")));
        let one_statement = document.replace("[{", "{").replace("}]", "}");
        assert_eq!(cutoff_of(&one_statement), Some(at("02:00:00")));
    }

    #[test]
    fn the_latest_of_several_cutoffs_counts() {
        let both = document(&[
            denial(None, at("03:00:00")),
            denial(Some(EVE), at("04:00:00")),
            denial(None, at("02:00:00")),
        ]);
        assert_eq!(cutoff_of(&both), Some(at("03:00:00")));
    }

    #[test]
    fn a_weakened_document_sets_no_cutoff() {
        let whole = revoke_document(at("02:00:00"));
        for (element, weaker) in [
            (r#""Deny""#, r#""Allow""#),
            (r#""Action":"*""#, r#""Action":"s3:*""#),
            (r#""Action":"*""#, r#""Action":["s3:*"]"#),
            (r#""Action":"*""#, r#""NotAction":"iam:*""#),
            (r#""Resource":"*""#, r#""Resource":"arn:aws:s3:::x/*""#),
            (r#""Resource":"*""#, r#""NotResource":"*""#),
            ("DateLessThan", "DateGreaterThan"),
            ("DateLessThan", "DateLessThanIfExists"),
            ("aws:TokenIssueTime", "aws:CurrentTime"),
            ("2026-11-25T02:00:00Z", "yesterday"),
            (
                r#""aws:TokenIssueTime":"#,
                r#""aws:CurrentTime":"2020-01-01T00:00:00Z","aws:TokenIssueTime":"#,
            ),
            (
                r#""Condition":{"#,
                r#""Condition":{"Bool":{"aws:ViaAWSService":"true"},"#,
            ),
            (
                r#""Condition":{"#,
                r#""Condition":{"StringEquals":{"aws:userId":"AROAOTHER:x"},"#,
            ),
            (
                r#""Condition":{"#,
                r#""Condition":{"StringEquals":{"aws:username":"x"},"#,
            ),
            (r#""Statement""#, r#""Id""#),
        ] {
            let weakened = whole.replace(element, weaker);
            assert_ne!(weakened, whole, "{element} is not in the document");
            assert_eq!(cutoff_of(&weakened), None, "{weakened}");
        }
        for nothing in ["", "{}", "[]", "7", "null", r#"{"Statement":[7]}"#] {
            assert_eq!(cutoff_of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn each_session_is_denied_by_a_statement_of_its_own() {
        let mut denials = SessionDenials::default();
        assert!(denials.deny(EVE, at("02:00:00")));
        assert!(denials.deny("AROAEXAMPLE:mallory*", at("03:00:00")));
        insta::assert_snapshot!(denials.document(), @r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-25T02:00:00Z"},"StringEquals":{"aws:userId":"AROAEXAMPLE:eve"}}},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-25T03:00:00Z"},"StringEquals":{"aws:userId":"AROAEXAMPLE:mallory*"}}}]}"#);
        assert_eq!(SessionDenials::read(Some(&denials.document())), denials);
        assert_eq!(cutoff_of(&denials.document()), None);
    }

    #[test]
    fn a_session_name_is_never_a_pattern_nor_a_variable() {
        for user_id in [
            "AROAEXAMPLE:*",
            "AROAEXAMPLE:${aws:userId}",
            "AROAEXAMPLE:a\"b",
        ] {
            let mut denials = SessionDenials::default();
            denials.deny(user_id, at("02:00:00"));
            let document = denials.document();
            assert!(!document.contains("StringLike"), "{document}");
            assert!(!document.contains("${aws"), "{document}");
            assert_eq!(SessionDenials::read(Some(&document)), denials);
        }
    }

    #[test]
    fn a_sessions_cutoff_never_moves_backwards() {
        let mut denials = SessionDenials::default();
        denials.deny(EVE, at("02:00:00"));
        assert!(!denials.deny(EVE, at("01:00:00")));
        assert!(!denials.deny(EVE, at("02:00:00.9")));
        assert_eq!(denials.cutoff(EVE), Some(at("02:00:00")));
        assert!(denials.deny(EVE, at("02:00:01")));
        assert_eq!(denials.cutoff(EVE), Some(at("02:00:01")));
    }

    #[test]
    fn what_does_not_deny_a_session_is_left_out_on_reading() {
        let mixed = document(&[
            json!("nonsense"),
            denial(None, at("02:00:00")),
            json!({"Effect": "Allow", "Action": "*", "Resource": "*"}),
            denial(Some(EVE), at("02:00:00")),
        ]);
        let denials = SessionDenials::read(Some(&mixed));
        assert_eq!(denials.document(), {
            let mut only = SessionDenials::default();
            only.deny(EVE, at("02:00:00"));
            only.document()
        });
        assert!(SessionDenials::read(None).is_empty());
        assert!(SessionDenials::read(Some("not JSON")).is_empty());
    }

    #[test]
    fn a_session_can_be_allowed_again() {
        let mut denials = SessionDenials::default();
        denials.deny(EVE, at("02:00:00"));
        assert!(denials.allow(EVE));
        assert!(!denials.allow(EVE));
        assert!(denials.is_empty());
    }

    #[test]
    fn denials_of_expired_tokens_make_room() {
        let mut denials = SessionDenials::default();
        denials.deny("AROAEXAMPLE:old", at("02:00:00"));
        denials.deny(EVE, at("02:00:01"));
        denials.deny("AROAEXAMPLE:tampered", Timestamp::MAX);
        denials.drop_dead(at("14:00:00"));
        assert_eq!(denials.cutoff("AROAEXAMPLE:old"), None);
        assert_eq!(denials.cutoff(EVE), Some(at("02:00:01")));
    }
}
