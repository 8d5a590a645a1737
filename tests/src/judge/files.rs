//! Events as people keep them: alone or many in a file, as EventBridge delivers them or as CloudTrail
//! records them.

use std::{
    fs,
    io::{self, Result},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// Hands over the content of a file, or of every `*.json` in a folder and in those within it, in the
/// order of their names; or why it cannot be read.
pub(super) fn each(
    path: &Path,
    visit: &mut impl FnMut(&Path, Result<Vec<u8>>) -> io::Result<()>,
) -> io::Result<()> {
    if !path.is_dir() {
        return visit(path, fs::read(path));
    }
    let entries = match entries(path) {
        Ok(entries) => entries,
        Err(why) => return visit(path, Err(why)),
    };
    for entry in entries {
        // A link to a folder may lead back here.
        let is_folder = entry.is_dir() && !entry.is_symlink();
        if is_folder || entry.is_file() && entry.extension().is_some_and(|kind| kind == "json") {
            each(&entry, visit)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries: Vec<_> = entries.collect::<Result<_>>()?;
    entries.sort();
    Ok(entries)
}

/// What a file holds: one event, a list of them, or a log file of CloudTrail's.
///
/// # Errors
/// When it is not JSON, or holds nothing.
pub(super) fn events(content: &[u8]) -> std::result::Result<Vec<Value>, String> {
    let text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let document = serde_json::from_slice(text).map_err(|why| format!("not JSON ({why})"))?;
    let events = match document {
        Value::Array(events) => events,
        Value::Object(mut log) => match log.remove("Records") {
            Some(Value::Array(records)) => records,
            Some(other) => {
                log.insert("Records".to_owned(), other);
                vec![log.into()]
            }
            None => vec![log.into()],
        },
        other => vec![other],
    };
    if events.is_empty() {
        return Err("holds no event".to_owned());
    }
    Ok(events)
}

/// The event as EventBridge delivers it; around a bare record of CloudTrail's, the envelope is made.
///
/// # Errors
/// When it is neither.
pub(super) fn envelope(event: &Value) -> std::result::Result<Value, &'static str> {
    if event.get("detail-type").is_some() {
        return Ok(event.clone());
    }
    let service = event["eventSource"].as_str();
    let (Some(service), false) = (service, event["eventName"].is_null()) else {
        return Err("no event: neither as EventBridge delivers one, nor a record of CloudTrail's");
    };
    let account = [
        &event["recipientAccountId"],
        &event["userIdentity"]["accountId"],
    ];
    let prefix = service.split('.').next().unwrap_or_default();
    Ok(json!({
        "version": "0",
        "id": event["eventID"],
        "detail-type": detail_type(&event["eventType"]),
        "source": format!("aws.{prefix}"),
        "account": account.into_iter().find(|account| account.is_string()),
        "time": event["eventTime"],
        "region": event["awsRegion"],
        "resources": [],
        "detail": event,
    }))
}

fn detail_type(event_type: &Value) -> &'static str {
    match event_type.as_str().unwrap_or_default() {
        "AwsServiceEvent" => "AWS Service Event via CloudTrail",
        // Both spellings were seen.
        "AwsConsoleSignIn" | "AwsConsoleSignin" => "AWS Console Sign In via CloudTrail",
        "AwsConsoleAction" => "AWS Console Action via CloudTrail",
        "AwsCloudTrailInsight" => "AWS Insight via CloudTrail",
        "AwsVpceEvent" => "AWS Network Activity Event via CloudTrail",
        _ => "AWS API Call via CloudTrail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_of_a_record_is_the_one_that_eventbridge_makes() {
        let record = json!({
            "eventID": "b-1", "eventName": "StopLogging", "eventTime": "2026-01-02T03:04:05Z",
            "eventSource": "cloudtrail.amazonaws.com", "eventType": "AwsApiCall",
            "awsRegion": "eu-west-1", "recipientAccountId": "123456789012",
        });
        let mut expected = json!({
            "version": "0", "id": "b-1", "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.cloudtrail", "account": "123456789012",
            "time": "2026-01-02T03:04:05Z", "region": "eu-west-1", "resources": [],
        });
        expected["detail"] = record.clone();
        assert_eq!(envelope(&record), Ok(expected.clone()));
        assert_eq!(envelope(&expected), Ok(expected));
    }

    #[test]
    fn source_and_kind_are_those_of_the_record() {
        for (service, event_type, source, kind) in [
            ("s3.amazonaws.com", "AwsApiCall", "aws.s3", "AWS API Call"),
            (
                "monitoring.amazonaws.com",
                "AwsApiCall",
                "aws.monitoring",
                "AWS API Call",
            ),
            (
                "cognito-idp.amazonaws.com",
                "AwsServiceEvent",
                "aws.cognito-idp",
                "AWS Service Event",
            ),
            (
                "signin.amazonaws.com",
                "AwsConsoleSignIn",
                "aws.signin",
                "AWS Console Sign In",
            ),
            (
                "signin.amazonaws.com",
                "AwsConsoleSignin",
                "aws.signin",
                "AWS Console Sign In",
            ),
            (
                "signin.amazonaws.com",
                "AwsConsoleAction",
                "aws.signin",
                "AWS Console Action",
            ),
            (
                "ec2.amazonaws.com",
                "AwsVpceEvent",
                "aws.ec2",
                "AWS Network Activity Event",
            ),
            (
                "s3.amazonaws.com",
                "AwsCloudTrailInsight",
                "aws.s3",
                "AWS Insight",
            ),
        ] {
            let record = json!({"eventSource": service, "eventName": "X", "eventType": event_type});
            let event = envelope(&record).unwrap();
            assert_eq!(event["source"], source);
            assert_eq!(event["detail-type"], format!("{kind} via CloudTrail"));
        }
        // The oldest records have no type.
        let event =
            envelope(&json!({"eventSource": "s3.amazonaws.com", "eventName": "X"})).unwrap();
        assert_eq!(event["detail-type"], "AWS API Call via CloudTrail");
    }

    #[test]
    fn the_account_is_the_one_that_recorded_it() {
        let mut record = json!({"eventSource": "s3.amazonaws.com", "eventName": "X",
            "userIdentity": {"accountId": "1"}});
        assert_eq!(envelope(&record).unwrap()["account"], "1");
        record["recipientAccountId"] = "2".into();
        assert_eq!(envelope(&record).unwrap()["account"], "2");
    }

    #[test]
    fn a_file_holds_one_event_or_many() {
        let event = json!({"eventName": "X"});
        for (content, expected) in [
            (event.to_string(), Ok(vec![event.clone()])),
            (format!("\u{feff}{event}"), Ok(vec![event.clone()])),
            (
                json!([event, 1]).to_string(),
                Ok(vec![event.clone(), json!(1)]),
            ),
            (
                json!({"Records": [event]}).to_string(),
                Ok(vec![event.clone()]),
            ),
            (
                json!({"Records": 1}).to_string(),
                Ok(vec![json!({"Records": 1})]),
            ),
            ("null".to_owned(), Ok(vec![Value::Null])),
            ("[]".to_owned(), Err("holds no event")),
            (r#"{"Records": []}"#.to_owned(), Err("holds no event")),
            (
                "{\n\n!".to_owned(),
                Err("not JSON (key must be a string at line 3 column 1)"),
            ),
            (
                String::new(),
                Err("not JSON (EOF while parsing a value at line 1 column 0)"),
            ),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(events(content.as_bytes()), expected, "{content}");
        }
        assert!(events(b"\xff").is_err());
        assert!(events("[".repeat(1000).as_bytes()).is_err());
    }
}
