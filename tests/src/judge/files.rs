//! Events as people keep them: alone or many in a file, as EventBridge delivers them or as CloudTrail
//! records them.

use std::{
    fs,
    io::{self, Read, Result},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// What an unpacked message may have in bytes; a subscription's has 1 MiB at most when it is packed.
const LARGEST_MESSAGE: u64 = 64 << 20;

/// What is judged at once.
pub(super) enum Contents {
    /// A file's content.
    File(Vec<u8>),
    /// The content of every file of a folder that holds one attack.
    Set(Vec<Vec<u8>>),
}

/// Hands over the content of a file, or of every `*.json` and `*.ndjson` in a folder and in those
/// within it, in the order of their names, those of a folder `set_…` together; or why it cannot be
/// read.
pub(super) fn each(
    path: &Path,
    visit: &mut impl FnMut(&Path, Result<Contents>) -> io::Result<()>,
) -> io::Result<()> {
    if !path.is_dir() {
        return visit(path, fs::read(path).map(Contents::File));
    }
    let entries = match entries(path) {
        Ok(entries) => entries,
        Err(why) => return visit(path, Err(why)),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("set_") {
        let files = entries.iter().filter(|entry| is_read(entry));
        let contents: Result<_> = files.map(fs::read).collect();
        return visit(path, contents.map(Contents::Set));
    }
    for entry in entries {
        // A link to a folder may lead back here.
        if entry.is_dir() && !entry.is_symlink() || is_read(&entry) {
            each(&entry, visit)?;
        }
    }
    Ok(())
}

fn is_read(entry: &Path) -> bool {
    let kinds = ["json", "ndjson"];
    let kind = entry.extension().and_then(|kind| kind.to_str());
    entry.is_file() && kind.is_some_and(|kind| kinds.contains(&kind))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries: Vec<_> = entries.collect::<Result<_>>()?;
    entries.sort();
    Ok(entries)
}

/// Whether it is a log record of WAF's.
pub(super) fn is_of_waf(event: &Value) -> bool {
    event["httpRequest"].is_object()
}

/// What a file holds: one event, a list of them, a log file of CloudTrail's, or log records of WAF's,
/// also as CloudWatch Logs sends them to a subscription.
///
/// # Errors
/// When it is not JSON, or holds nothing.
pub(super) fn events(content: &[u8]) -> std::result::Result<Vec<Value>, String> {
    let text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let document = match serde_json::from_slice(text) {
        Ok(document) => document,
        Err(why) => match lines(text) {
            Some(records) => records.into(),
            None => return Err(format!("not JSON ({why})")),
        },
    };
    let events = match document {
        Value::Array(events) => events,
        Value::Object(log) if log.contains_key("awslogs") => {
            let sent = log["awslogs"]["data"].as_str().and_then(subscription);
            sent.ok_or("holds no message of CloudWatch Logs that can be read")?
        }
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

/// Log records of WAF's, one on each line.
fn lines(text: &[u8]) -> Option<Vec<Value>> {
    let records = find_offenders::records(std::str::from_utf8(text).ok()?).ok()?;
    (!records.is_empty() && records.iter().all(is_of_waf)).then_some(records)
}

/// What CloudWatch Logs sends to a subscription: gzip within base64.
fn subscription(data: &str) -> Option<Vec<Value>> {
    let packed = STANDARD.decode(data).ok()?;
    let mut text = String::new();
    let unpacked = GzDecoder::new(packed.as_slice()).take(LARGEST_MESSAGE);
    io::BufReader::new(unpacked)
        .read_to_string(&mut text)
        .ok()?;
    find_offenders::records(&text).ok()
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
