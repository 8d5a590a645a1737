//! `cargo drill judge`, as it is run: files in, lines and an exit code out.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may stop at the first surprise, as tests may"
)]

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tests::judge::{Judge, run};

const SCENARIO: &str = include_str!("../scenario.json");

fn record() -> Value {
    json!({
        "eventVersion": "1.11",
        "eventID": "6f1a2b3c-0000-4000-8000-000000000001",
        "requestID": "6f1a2b3c-0000-4000-8000-000000000002",
        "eventName": "StopLogging",
        "eventSource": "cloudtrail.amazonaws.com",
        "eventTime": "2026-02-03T04:05:06Z",
        "eventType": "AwsApiCall",
        "awsRegion": "us-east-1",
        "recipientAccountId": "123456789012",
        "readOnly": false,
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2.31.0",
        "requestParameters": {"name": "org-trail"},
        "responseElements": null,
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLE:mallory",
            "arn": "arn:aws:sts::123456789012:assumed-role/billing/mallory",
            "accountId": "123456789012",
            "accessKeyId": "ASIAEXAMPLE",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": "AROAEXAMPLE",
                    "arn": "arn:aws:iam::123456789012:role/billing",
                    "accountId": "123456789012",
                    "userName": "billing",
                },
                "attributes": {"creationDate": "2026-02-03T04:00:00Z", "mfaAuthenticated": "false"},
            },
        },
    })
}

fn event() -> Value {
    json!({
        "version": "0",
        "id": "7a1a2b3c-0000-4000-8000-000000000003",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.cloudtrail",
        "account": "123456789012",
        "time": "2026-02-03T04:05:06Z",
        "region": "us-east-1",
        "resources": [],
        "detail": record(),
    })
}

/// An empty folder of a test's own.
struct Folder(PathBuf);

/// What a run printed, and its exit code.
struct Ran {
    lines: Vec<String>,
    errors: String,
    code: u8,
}

impl Folder {
    fn of(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("judge")
            .join(test);
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn holds(self, file: &str, content: impl ToString) -> Self {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.to_string()).unwrap();
        self
    }

    /// Runs in this folder: its own path is cut from what is printed.
    fn judge(&self, arguments: &[&str]) -> Ran {
        let folder = format!("{}/", self.0.display());
        let arguments = arguments.iter().map(|argument| match *argument {
            option if option.starts_with('-') => OsString::from(option),
            path => self.0.join(path).into_os_string(),
        });
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = run(arguments, &mut out, &mut errors).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&folder, "");
        Ran {
            lines: text(out).lines().map(str::to_owned).collect(),
            errors: text(errors),
            code,
        }
    }
}

impl Ran {
    /// The lines without their reasons.
    fn verdicts(&self) -> Vec<String> {
        let columns = |line: &String| line.split('\t').take(3).collect::<Vec<_>>().join(" ");
        self.lines.iter().map(columns).collect()
    }
}

#[test]
fn an_attack_is_answered_by_its_runbook_and_the_reason_says_why() {
    let ran = Folder::of("attack")
        .holds("a.json", event())
        .judge(&["a.json"]);
    assert_eq!(ran.verdicts(), ["a.json cloudtrail-disabled respond"]);
    let columns: Vec<_> = ran.lines[0].split('\t').collect();
    assert_eq!(columns.len(), 4);
    assert!(columns[3].contains("billing"), "{}", columns[3]);
    assert_eq!((ran.code, ran.errors.as_str()), (0, ""));
}

#[test]
fn a_record_is_judged_as_the_event_that_holds_it() {
    let folder = Folder::of("record")
        .holds("event", event())
        .holds("record", record());
    let ran = folder.judge(&["event", "record"]);
    let [event, record] = ran.lines.as_slice() else {
        unreachable!("{:?}", ran.lines);
    };
    assert_eq!(event.strip_prefix("event"), record.strip_prefix("record"));
}

#[test]
fn what_no_rule_takes_is_judged_by_nobody() {
    let mut reading = event();
    reading["detail"]["eventName"] = "DescribeTrails".into();
    let ran = Folder::of("unmatched")
        .holds("a.json", reading)
        .judge(&["a.json"]);
    assert_eq!(ran.lines, ["a.json\t-\tnone\tno rule matches"]);
}

#[test]
fn a_file_of_many_events_has_a_numbered_line_for_each() {
    let folder = Folder::of("many")
        .holds("list.json", json!([event(), record(), {}]))
        .holds("log.json", json!({"Records": [record(), record()]}))
        .holds("one.json", json!({"Records": [record()]}));
    let ran = folder.judge(&["list.json", "log.json", "one.json"]);
    assert_eq!(
        ran.verdicts(),
        [
            "list.json#1 cloudtrail-disabled respond",
            "list.json#2 cloudtrail-disabled respond",
            "list.json#3 - none",
            "log.json#1 cloudtrail-disabled respond",
            "log.json#2 cloudtrail-disabled respond",
            "one.json cloudtrail-disabled respond",
        ]
    );
}

#[test]
fn a_folder_is_read_to_its_depths_in_the_order_of_names() {
    let folder = Folder::of("folder")
        .holds("b.json", event())
        .holds("a/2.json", event())
        .holds("a/1.json", event())
        .holds("c/d/e.json", event())
        .holds("notes.md", "not asked for");
    let ran = folder.judge(&[""]);
    let files: Vec<_> = ran
        .lines
        .iter()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(files, ["a/1.json", "a/2.json", "b.json", "c/d/e.json"]);
}

#[test]
fn a_broken_file_has_its_line_and_stops_no_other() {
    let folder = Folder::of("broken")
        .holds("1.json", "{\"detail\":\n{\n")
        .holds("2.json", "")
        .holds("3.json", "[]")
        .holds("4.json", "7")
        .holds("5.json", json!({"action": "BLOCK"}))
        .holds("6.json", event());
    let ran = folder.judge(&[""]);
    assert_eq!(
        ran.lines[..5],
        [
            "1.json\t-\tnone\tnot JSON (EOF while parsing an object at line 3 column 0)",
            "2.json\t-\tnone\tnot JSON (EOF while parsing a value at line 1 column 0)",
            "3.json\t-\tnone\tholds no event",
            "4.json\t-\tnone\tno event: neither as EventBridge delivers one, nor a record of CloudTrail's",
            "5.json\t-\tnone\tno event: neither as EventBridge delivers one, nor a record of CloudTrail's",
        ]
    );
    assert_eq!(ran.verdicts()[5], "6.json cloudtrail-disabled respond");
    assert_eq!(ran.code, 0);
}

#[test]
fn a_path_that_is_not_there_is_an_error_and_stops_no_other() {
    let ran = Folder::of("missing")
        .holds("a.json", event())
        .judge(&["gone", "a.json"]);
    assert_eq!(ran.verdicts(), ["a.json cloudtrail-disabled respond"]);
    assert!(ran.errors.starts_with("gone: "), "{}", ran.errors);
    assert_eq!(ran.code, 2);
}

#[test]
fn a_config_says_what_is_protected() {
    let mut other: Value = serde_json::from_str(SCENARIO).unwrap();
    other["TrailArn"] = "arn:aws:cloudtrail:us-east-1:123456789012:trail/another".into();
    let folder = Folder::of("config")
        .holds("other", other)
        .holds("a.json", event());
    let ran = folder.judge(&["--config", "other", "a.json"]);
    assert_eq!(ran.verdicts(), ["a.json - ignore"]);
}

#[test]
fn what_the_stack_made_is_known_only_when_it_is_given() {
    let mut delete = event();
    delete["source"] = "aws.sns".into();
    delete["detail"]["eventSource"] = "sns.amazonaws.com".into();
    delete["detail"]["eventName"] = "DeleteTopic".into();
    let topic = "arn:aws:sns:us-east-1:123456789012:incidents";
    delete["detail"]["requestParameters"] = json!({"topicArn": topic});
    let mut known: Value = serde_json::from_str(SCENARIO).unwrap();
    known["TopicArn"] = topic.into();
    let folder = Folder::of("made")
        .holds("known", known)
        .holds("a.json", delete);
    let ran = folder.judge(&["a.json"]);
    assert_eq!(ran.verdicts(), ["a.json - ignore"]);
    assert!(ran.lines[0].ends_with("not configured, so it is not watched"));
    let ran = folder.judge(&["--config", "known", "a.json"]);
    assert_ne!(ran.verdicts(), ["a.json - ignore"]);
}

#[test]
fn a_bad_config_is_an_error_that_names_the_field() {
    let folder = Folder::of("bad-config").holds("a.json", event());
    for (key, value, expected) in [
        (
            "Trail",
            json!("x"),
            "config: `Trail` is no parameter of the template",
        ),
        (
            "TrailArn",
            json!("x"),
            "config: `TrailArn` must be the ARN of a trail",
        ),
        ("Mode", json!("on"), "config: `Mode` is none of"),
        ("AWS::Region", json!(""), "config: `AWS::Region` is missing"),
        (
            "ResponderRoleArns",
            json!("x"),
            "config: the setting RESPONDER_ROLE_ARNS: expected an ARN",
        ),
    ] {
        let mut config: Value = serde_json::from_str(SCENARIO).unwrap();
        config[key] = value;
        fs::write(folder.0.join("config"), config.to_string()).unwrap();
        let ran = folder.judge(&["--config", "config", "a.json"]);
        assert!(ran.errors.starts_with(expected), "{}", ran.errors);
        assert_eq!((ran.code, ran.lines.len()), (2, 0));
    }
    let ran = folder.judge(&["--config", "gone", "a.json"]);
    assert!(ran.errors.starts_with("gone: "), "{}", ran.errors);
    assert_eq!(ran.code, 2);
}

#[test]
fn a_command_line_that_asks_for_nothing_is_refused() {
    let folder = Folder::of("usage").holds("a.json", event());
    for arguments in [&[][..], &["--config"], &["--frob", "a.json"]] {
        let ran = folder.judge(arguments);
        assert_eq!((ran.code, ran.lines.len()), (2, 0), "{arguments:?}");
        assert!(!ran.errors.is_empty());
    }
    let help = folder.judge(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(
        help.lines
            .iter()
            .any(|line| line.contains("tests/scenario.json"))
    );
}

#[test]
fn text_of_an_attacker_neither_breaks_a_line_nor_steers_the_terminal() {
    let mut event = event();
    let text = "x\ta.json\n-\trespond\r\u{1b}[2Jorg-trail";
    event["detail"]["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = text.into();
    event["detail"]["userIdentity"]["arn"] = text.into();
    event["detail"]["userIdentity"]["userName"] = text.into();
    event["detail"]["errorCode"] = text.into();
    let ran = Folder::of("control")
        .holds("a.json", event)
        .judge(&["a.json"]);
    let [line] = ran.lines.as_slice() else {
        unreachable!("{:?}", ran.lines);
    };
    assert_eq!(line.matches('\t').count(), 3, "{line:?}");
    assert!(
        !line.contains(|c: char| c.is_control() && c != '\t'),
        "{line:?}"
    );
}

/// Every event of each kind that a rule takes, with each of its fields, at every depth, replaced by
/// something else or taken away.
#[test]
fn every_shape_of_an_event_has_an_answer() {
    let judge = Judge::of(SCENARIO).unwrap();
    let mut answers = 0;
    for (service, name, request) in [
        ("cloudtrail", "StopLogging", json!({"name": "org-trail"})),
        (
            "cloudtrail",
            "PutEventSelectors",
            json!({
                "trailName": "org-trail",
                "eventSelectors": [{"readWriteType": "All", "includeManagementEvents": false,
                    "dataResources": [{"type": "AWS::S3::Object", "values": ["arn:aws:s3"]}],
                    "excludeManagementEventSources": ["kms.amazonaws.com"]}],
                "advancedEventSelectors": [{"name": "n", "fieldSelectors": [
                    {"field": "eventCategory", "equals": ["Management"]}]}],
            }),
        ),
        (
            "s3",
            "PutBucketLifecycle",
            json!({
                "bucketName": "org-cloudtrail-logs-123456789012",
                "LifecycleConfiguration": {"Rule": [{"ID": "r", "Status": "Enabled",
                    "Filter": {"Prefix": ""}, "Expiration": {"Days": 1},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                    "Transition": [{"Days": 1, "StorageClass": "GLACIER"}]}]},
            }),
        ),
        (
            "s3",
            "PutBucketPolicy",
            json!({
                "bucketName": "org-cloudtrail-logs-123456789012",
                "bucketPolicy": {"Version": "2012-10-17", "Statement": [{"Effect": "Deny",
                    "Principal": {"Service": ["cloudtrail.amazonaws.com"]}, "Action": ["s3:*"],
                    "Resource": ["*"], "Condition": {"StringEquals": {"a": ["b"]}}}]},
            }),
        ),
        (
            "kms",
            "PutKeyPolicy",
            json!({
                "keyId": "1111aaaa-22bb-33cc-44dd-555566667777",
                "policyName": "default",
                "policy": "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\"}]}",
            }),
        ),
        (
            "logs",
            "PutRetentionPolicy",
            json!({"logGroupName": "aws-cloudtrail-logs/org-trail", "retentionInDays": 1}),
        ),
    ] {
        let mut base = event();
        base["source"] = format!("aws.{service}").into();
        base["detail"]["eventSource"] = format!("{service}.amazonaws.com").into();
        base["detail"]["eventName"] = name.into();
        base["detail"]["requestParameters"] = request;
        assert_ne!(
            judge.judge(&base).verdict,
            "none",
            "{name} is taken by a rule"
        );
        let detail = base["detail"].clone();
        for whole in [base, detail] {
            for shape in shapes(&whole) {
                let finding = judge.judge(&shape);
                let known = ["respond", "escalate", "ignore", "none"].contains(&finding.verdict);
                assert!(known && !finding.reason.is_empty(), "{finding} for {shape}");
                answers += 1;
            }
        }
    }
    assert!(answers > 1000, "{answers}");
}

fn shapes(event: &Value) -> Vec<Value> {
    let others = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("none"),
        json!("é\u{0}*?"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!({}),
        json!({"": null}),
    ];
    let mut shapes = others.to_vec();
    for pointer in pointers(event) {
        for other in &others {
            let mut shape = event.clone();
            if let Some(field) = shape.pointer_mut(&pointer) {
                *field = other.clone();
            }
            shapes.push(shape);
        }
        let mut shape = event.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if let Some(Value::Object(object)) = shape.pointer_mut(parent) {
            object.remove(name);
            shapes.push(shape);
        }
    }
    shapes
}

/// Where everything in a value is; no name here needs escaping.
fn pointers(value: &Value) -> Vec<String> {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, it)| (name.clone(), it)).collect(),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(n, it)| (n.to_string(), it))
            .collect(),
        _ => Vec::new(),
    };
    let mut pointers = Vec::new();
    for (name, value) in inside {
        let below = pointers_below(&name, value);
        pointers.push(format!("/{name}"));
        pointers.extend(below);
    }
    pointers
}

fn pointers_below(name: &str, value: &Value) -> Vec<String> {
    let below = pointers(value);
    below
        .into_iter()
        .map(|pointer| format!("/{name}{pointer}"))
        .collect()
}

/// An attempt to sign in to the scenario's pool at minute `minute`, as it ended.
fn sign_in(minute: u32, failed: bool) -> Value {
    let mut event = event();
    let time = format!("2026-02-03T04:{minute:02}:00Z");
    event["source"] = json!("aws.cognito-idp");
    event["time"] = json!(time);
    event["detail"] = json!({
        "eventVersion": "1.11", "eventID": format!("s-{minute}"), "eventName": "InitiateAuth",
        "eventSource": "cognito-idp.amazonaws.com", "eventTime": time, "eventType": "AwsApiCall",
        "awsRegion": "us-east-1", "recipientAccountId": "123456789012",
        "sourceIPAddress": "203.0.113.7",
        "userIdentity": {"type": "Unknown", "principalId": "Anonymous"},
        "requestParameters": {"authFlow": "USER_PASSWORD_AUTH", "clientId": "7exampleclientid1234567890"},
        "additionalEventData": {"sub": "11111111-2222-3333-4444-555555555555"},
    });
    if failed {
        event["detail"]["errorCode"] = json!("NotAuthorizedException");
        event["detail"]["errorMessage"] = json!("Incorrect username or password.");
    }
    event
}

#[test]
fn a_sign_in_is_counted_alone_and_judged_in_its_set() {
    let mut folder = Folder::of("sign-ins").holds("alone.json", sign_in(1, true));
    for minute in 0..5 {
        folder = folder.holds(&format!("set_guessed/{minute}.json"), sign_in(minute, true));
    }
    for minute in 0..4 {
        folder = folder.holds(
            &format!("set_mistyped/{minute}.json"),
            sign_in(minute, minute < 3),
        );
    }
    let ran = folder.judge(&["alone.json", "set_guessed", "set_mistyped"]);
    assert_eq!(
        ran.verdicts(),
        [
            "alone.json - count",
            "set_guessed credential-attack respond",
            "set_mistyped - count",
        ]
    );
    assert_eq!((ran.code, ran.errors.as_str()), (0, ""));
}

/// What WAF logs of a request that it blocked for its `kind`.
fn blocked(address: &str, kind: &str) -> Value {
    json!({
        "timestamp": 1_770_000_000_000_u64, "formatVersion": 1, "action": "BLOCK",
        "terminatingRuleId": "rule", "terminatingRuleType": "REGULAR",
        "terminatingRuleMatchDetails": [{"conditionType": kind, "location": "QUERY_STRING"}],
        "httpRequest": {"clientIp": address, "country": "US", "headers": [], "uri": "/", "args": "",
            "httpVersion": "HTTP/1.1", "httpMethod": "GET", "requestId": "r"},
    })
}

#[test]
fn what_the_firewall_logged_is_judged_by_whom_it_blames() {
    let attack = blocked("203.0.113.9", "SQL_INJECTION");
    let both = format!("{attack}\n{}\n", blocked("10.0.0.7", "XSS"));
    let mut folder = Folder::of("waf")
        .holds("a.json", &attack)
        .holds("b.ndjson", both)
        .holds("set_once/1.json", &attack);
    for number in 10..20 {
        folder = folder
            .holds(&format!("set_burst/{number}.json"), &attack)
            .holds(
                &format!("set_burst/{number}-private.json"),
                blocked("10.0.0.7", "XSS"),
            );
    }
    let ran = folder.judge(&["."]);
    assert_eq!(
        ran.verdicts(),
        [
            "./a.json api-attack respond",
            "./b.ndjson#1 api-attack respond",
            "./b.ndjson#2 - ignore",
            "./set_burst api-attack respond",
            "./set_once - ignore",
        ]
    );
    assert!(ran.lines[3].ends_with("203.0.113.9/32"), "{}", ran.lines[3]);
}
