//! The history as AWS answers it, told by the `AssumeRole` calls that it holds.

use std::sync::{Arc, Mutex};

use aws_sdk_cloudtrail::{
    config::{http::HttpResponse, retry::RetryConfig},
    operation::lookup_events::{LookupEventsInput, LookupEventsOutput},
    primitives::DateTime,
    types::Event,
};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use serde_json::{Value, json};
use worker::answer;

use super::*;
use crate::history::PACE;

const EVE: &str = "arn:aws:iam::123456789012:user/eve";
const RUN: &str = "arn:aws:sts::123456789012:assumed-role/deploy/run";
const ADMIN: &str = "arn:aws:sts::123456789012:assumed-role/admin/eve";

fn tiers() -> Tiers {
    Tiers::from_settings(&Settings::new(|name| {
        let value = match name {
            "ACCOUNT_ID" => "123456789012",
            "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
            "BREAK_GLASS_ARNS" => "arn:aws:iam::123456789012:user/glass",
            "WORKLOAD_ROLE_ARNS" => "arn:aws:iam::123456789012:role/crm",
            "SHARED_ROLE_ARNS" => "arn:aws:iam::123456789012:role/ci/deploy",
            "RESPONDER_ROLE_ARNS" => "arn:aws:iam::123456789012:role/tourniquet/deny",
            _ => return None,
        };
        Some(value.to_owned())
    }))
    .unwrap()
}

/// Who calls, as CloudTrail writes it.
fn user(name: &str) -> Value {
    json!({
        "type": "IAMUser",
        "arn": format!("arn:aws:iam::123456789012:user/{name}"),
        "userName": name.rsplit('/').next(),
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    })
}

fn session(role: &str, name: &str) -> Value {
    let short = role.rsplit('/').next().unwrap();
    json!({
        "type": "AssumedRole",
        "principalId": format!("AROA{}:{name}", short.to_uppercase()),
        "arn": format!("arn:aws:sts::123456789012:assumed-role/{short}/{name}"),
        "accessKeyId": key(short, name),
        "sessionContext": {"sessionIssuer": {
            "type": "Role", "arn": format!("arn:aws:iam::123456789012:role/{role}"),
        }},
    })
}

fn key(role: &str, session: &str) -> String {
    format!("ASIA{}{}", role.to_uppercase(), session.to_uppercase())
}

/// One call of `AssumeRole` that succeeded.
fn took(by: Value, at: &str, role: &str, name: &str) -> Value {
    let short = role.rsplit('/').next().unwrap();
    json!({
        "userIdentity": by,
        "eventTime": format!("2026-11-25T{at}Z"),
        "eventSource": "sts.amazonaws.com",
        "eventName": "AssumeRole",
        "requestParameters": {
            "roleArn": format!("arn:aws:iam::123456789012:role/{role}"),
            "roleSessionName": name,
        },
        "responseElements": {
            "assumedRoleUser": {
                "assumedRoleId": format!("AROA{}:{name}", short.to_uppercase()),
                "arn": format!("arn:aws:sts::123456789012:assumed-role/{short}/{name}"),
            },
            "credentials": {
                "accessKeyId": key(short, name),
                "sessionToken": "not-to-be-told",
                "expiration": "Nov 25, 2026, 3:30:00 AM",
            },
        },
    })
}

/// A record with one field replaced.
fn with(mut record: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    record.pointer_mut(parent).unwrap()[field] = value;
    record
}

/// One region: what its history holds, and how it answers.
#[derive(Default)]
struct Trail {
    records: Vec<Value>,
    /// How many events a page has; all of them when 0.
    page: usize,
    /// The error codes of the first calls, last one first.
    refuses: Vec<&'static str>,
    /// The error code of every other call.
    always: Option<&'static str>,
    /// What was asked, in order.
    asked: Vec<String>,
}

impl Trail {
    fn answer(&mut self, input: &LookupEventsInput) -> Result<LookupEventsOutput, &'static str> {
        let [attribute] = input.lookup_attributes() else {
            panic!("one attribute at a time: {input:?}");
        };
        // 14 hours before now.
        let since = Some(DateTime::from_secs(1_795_525_200));
        assert_eq!(
            (input.start_time(), input.end_time()),
            (since.as_ref(), None)
        );
        let (asks, value) = (attribute.attribute_key(), attribute.attribute_value());
        let token = input.next_token().unwrap_or_default();
        self.asked
            .push(format!("{asks}={value} {token}").trim().to_owned());
        if let Some(code) = self.refuses.pop().or(self.always) {
            return Err(code);
        }
        let matching = self.records.iter().filter(|record| {
            let identity = &record["userIdentity"];
            let arn = identity["arn"].as_str().unwrap_or_default();
            match asks.as_str() {
                "Username" => arn.ends_with(&format!("/{value}")),
                "AccessKeyId" => identity["accessKeyId"] == value,
                "EventName" => record["eventName"] == value,
                other => panic!("{other} is not asked for"),
            }
        });
        let from: usize = token.trim_start_matches("from-").parse().unwrap_or(0);
        let size = if self.page == 0 {
            usize::MAX
        } else {
            self.page
        };
        let mut rest = matching.skip(from);
        let events = rest.by_ref().take(size).map(event).collect();
        Ok(LookupEventsOutput::builder()
            .set_events(Some(events))
            .set_next_token(rest.next().map(|_| format!("from-{}", from + size)))
            .build())
    }
}

fn event(record: &Value) -> Event {
    let text = |field: &str| record[field].as_str().map(str::to_owned);
    Event::builder()
        .set_event_name(text("eventName"))
        .event_time(DateTime::from_secs(1_795_573_800))
        .cloud_trail_event(text("garbled").unwrap_or_else(|| record.to_string()))
        .build()
}

/// Both regions.
#[derive(Clone, Default)]
struct Aws([Arc<Mutex<Trail>>; 2]);

impl Aws {
    fn of(home: Vec<Value>) -> Self {
        Self::both(home, Vec::new())
    }

    fn both(home: Vec<Value>, global: Vec<Value>) -> Self {
        Self([home, global].map(|records| {
            Arc::new(Mutex::new(Trail {
                records,
                ..Trail::default()
            }))
        }))
    }

    fn home(self, change: impl FnOnce(&mut Trail)) -> Self {
        change(&mut self.0[0].lock().unwrap());
        self
    }

    fn global(self, change: impl FnOnce(&mut Trail)) -> Self {
        change(&mut self.0[1].lock().unwrap());
        self
    }

    /// What the home region was asked.
    fn asked(&self) -> Vec<String> {
        self.0[0].lock().unwrap().asked.clone()
    }

    fn client(trail: &Arc<Mutex<Trail>>) -> Client {
        let trail = trail.clone();
        let rule = mock!(Client::lookup_events).then_compute_response(move |input| {
            match trail.lock().unwrap().answer(input) {
                Ok(output) => MockResponse::Output(output),
                Err(code) => MockResponse::Http(HttpResponse::new(
                    400.try_into().unwrap(),
                    format!(r#"{{"__type":"{code}","message":"as AWS says"}}"#).into(),
                )),
            }
        });
        mock_client!(aws_sdk_cloudtrail, RuleMode::MatchAny, [&rule], |config| {
            config.retry_config(RetryConfig::disabled())
        })
    }

    async fn run(&self, actor: Value) -> Result<Value, Failure> {
        self.answers(payload(actor)).await
    }

    async fn answers(&self, payload: Value) -> Result<Value, Failure> {
        let [home, global] = &self.0;
        let worker = FindSessions {
            regions: vec![
                ("eu-west-1".to_owned(), Self::client(home)),
                (GLOBAL.to_owned(), Self::client(global)),
            ],
            tiers: tiers(),
            now: || "2026-11-25T03:00:00Z".parse().unwrap(),
        };
        answer(&worker, &payload).await
    }

    /// The answer's summary, whether it is complete, and what is left, one a line.
    async fn says(&self, actor: impl Into<Value>) -> String {
        let answer = self.run(actor.into()).await.unwrap();
        let complete = if answer["complete"] == true {
            "complete"
        } else {
            "not complete"
        };
        let mut lines = vec![format!(
            "{complete}: {}",
            answer["summary"].as_str().unwrap()
        )];
        lines.extend(names(&answer).into_iter().map(|name| format!("cut {name}")));
        let left = answer["left"].as_array().unwrap().iter();
        lines.extend(left.map(|it| format!("left: {}", it.as_str().unwrap())));
        let text = lines.join("\n");
        assert!(!answer.to_string().contains("AKIA"), "{answer}");
        assert!(!answer.to_string().contains("ASIA"), "{answer}");
        assert!(!answer.to_string().contains("not-to-be-told"), "{answer}");
        text
    }
}

/// The sessions to cut, by `aws:userId`.
fn names(answer: &Value) -> Vec<String> {
    let accomplices = answer["accomplices"].as_array().unwrap().iter();
    accomplices
        .map(|it| {
            it["actor"]["session"]["userId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn payload(actor: Value) -> Value {
    json!({"incidentId": "i-1", "actor": actor, "occurredAt": "2026-11-25T02:00:00Z"})
}

#[tokio::test(start_paused = true)]
async fn what_an_iam_user_took_and_is_alive_is_an_accomplice_by_session() {
    let aws = Aws::of(vec![
        took(user("eve"), "02:30:00", "ops/admin", "x"),
        took(user("eve"), "01:59:59", "old", "ended"),
        took(user("mallory"), "02:40:00", "admin", "y"),
    ]);
    let answer = aws.run(EVE.into()).await.unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "changed": false,
      "accomplices": [
        {
          "actor": {
            "kind": "role",
            "arn": "arn:aws:iam::123456789012:role/ops/admin",
            "session": {
              "name": "x",
              "userId": "AROAADMIN:x"
            }
          },
          "containment": {
            "kind": "session",
            "reason": "role admin, session x, taken by IAM user eve at 2026-11-25T02:30:00Z, alive until 2026-11-25T03:30:00Z: containing its taker does not end it"
          }
        }
      ],
      "complete": true,
      "summary": "IAM user eve took one session of another role that is alive: role admin, session x, taken by IAM user eve at 2026-11-25T02:30:00Z, alive until 2026-11-25T03:30:00Z",
      "left": []
    }
    "#);
    // What came of the session that has ended may be alive.
    assert_eq!(
        aws.asked(),
        [
            "Username=eve",
            "AccessKeyId=ASIAADMINX",
            "AccessKeyId=ASIAOLDENDED"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_taken_is_said() {
    insta::assert_snapshot!(Aws::default().says(EVE).await, @"complete: IAM user eve took no session of another role that is alive");
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_as_long_as_was_asked_for_and_never_beyond_twelve_hours() {
    let lasting = |at, name, asked: Value| {
        let record = took(user("eve"), at, "admin", name);
        with(record, "/requestParameters/durationSeconds", asked)
    };
    let aws = Aws::of(vec![
        lasting("02:30:00", "short", json!(1_799)),
        lasting("02:30:00", "half", json!(1_801)),
        lasting("00:00:00", "long", json!("43200")),
        lasting("02:59:59", "odd", json!("for ever")),
        lasting("02:59:59", "more", json!(999_999)),
        lasting("02:59:59", "less", json!(-1)),
    ]);
    insta::assert_snapshot!(aws.says(EVE).await, @"
    complete: IAM user eve took 4 sessions of other roles that are alive: role admin, session odd, taken by IAM user eve at 2026-11-25T02:59:59Z, alive until 2026-11-25T03:59:59Z; role admin, session more, taken by IAM user eve at 2026-11-25T02:59:59Z, alive until 2026-11-25T14:59:59Z; role admin, session half, taken by IAM user eve at 2026-11-25T02:30:00Z, alive until 2026-11-25T03:00:01Z; role admin, session long, taken by IAM user eve at 2026-11-25T00:00:00Z, alive until 2026-11-25T12:00:00Z
    cut AROAADMIN:odd
    cut AROAADMIN:more
    cut AROAADMIN:half
    cut AROAADMIN:long
    ");
}

#[tokio::test(start_paused = true)]
async fn a_session_taken_again_and_again_is_one() {
    let aws = Aws::of(vec![
        took(user("eve"), "02:10:00", "admin", "x"),
        with(
            took(user("eve"), "02:50:00", "admin", "x"),
            "/responseElements/credentials/accessKeyId",
            json!("ASIASECOND"),
        ),
    ]);
    insta::assert_snapshot!(aws.says(EVE).await, @"
    complete: IAM user eve took one session of another role that is alive: role admin, session x, taken by IAM user eve at 2026-11-25T02:50:00Z, alive until 2026-11-25T03:50:00Z
    cut AROAADMIN:x
    ");
    assert_eq!(
        aws.asked(),
        [
            "Username=eve",
            "AccessKeyId=ASIASECOND",
            "AccessKeyId=ASIAADMINX"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_failed_and_what_is_no_assumption_counts_for_nothing() {
    let record = || took(user("eve"), "02:30:00", "admin", "x");
    let aws = Aws::of(vec![
        with(record(), "/errorCode", json!("AccessDenied")),
        with(record(), "/eventSource", json!("signin.amazonaws.com")),
        with(record(), "/eventName", json!("GetSessionToken")),
        json!({"userIdentity": user("eve"), "eventName": "ListUsers", "garbled": "{"}),
    ]);
    assert!(aws.says(EVE).await.starts_with("complete: "));
    assert_eq!(aws.asked(), ["Username=eve"]);
}

#[tokio::test(start_paused = true)]
async fn namesakes_are_somebody_else() {
    let aws = Aws::of(vec![
        // Of a session name many may make use.
        took(session("other", "run"), "02:30:00", "admin", "a"),
        took(session("ci/deploy", "run"), "02:31:00", "admin", "b"),
        took(user("run"), "02:32:00", "admin", "c"),
        took(
            with(
                session("ci/deploy", "run"),
                "/principalId",
                json!("AROAOLD:run"),
            ),
            "02:33:00",
            "admin",
            "d",
        ),
    ]);
    let exactly = json!({
        "kind": "role",
        "arn": "arn:aws:iam::123456789012:role/ci/deploy",
        "session": {"name": "run", "userId": "AROADEPLOY:run"},
    });
    assert_eq!(names(&aws.run(exactly).await.unwrap()), ["AROAADMIN:b"]);
    // An operator's ARN has no id.
    assert_eq!(
        names(&aws.run(RUN.into()).await.unwrap()),
        ["AROAADMIN:d", "AROAADMIN:b"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_user_is_the_same_with_and_without_a_path() {
    let aws = Aws::of(vec![took(user("staff/eve"), "02:30:00", "admin", "x")]);
    assert_eq!(names(&aws.run(EVE.into()).await.unwrap()), ["AROAADMIN:x"]);
}

#[tokio::test(start_paused = true)]
async fn of_a_shared_role_only_the_session_of_the_actor_counts() {
    let aws = Aws::of(vec![
        took(session("ci/deploy", "run"), "02:30:00", "admin", "x"),
        took(session("ci/deploy", "other"), "02:30:00", "admin", "y"),
    ]);
    insta::assert_snapshot!(aws.says(RUN).await, @"
    complete: role deploy, session run took one session of another role that is alive: role admin, session x, taken by role deploy, session run at 2026-11-25T02:30:00Z, alive until 2026-11-25T03:30:00Z
    cut AROAADMIN:x
    ");
    assert_eq!(aws.asked(), ["Username=run", "AccessKeyId=ASIAADMINX"]);
}

#[tokio::test(start_paused = true)]
async fn of_a_role_contained_as_a_whole_every_session_counts() {
    let taken = || {
        vec![
            took(session("admin", "eve"), "02:30:00", "dev", "x"),
            took(session("admin", "bob"), "02:31:00", "dev", "y"),
            took(session("tourniquet/deny", "run"), "02:32:00", "dev", "z"),
        ]
    };
    let aws = Aws::of(taken());
    let answer = aws.run(ADMIN.into()).await.unwrap();
    assert_eq!(names(&answer), ["AROADEV:x", "AROADEV:y"]);
    assert_eq!(aws.asked()[..2], ["Username=eve", "EventName=AssumeRole"]);

    let aws = Aws::of(taken());
    let whole = "arn:aws:iam::123456789012:role/admin";
    let answer = aws.run(whole.into()).await.unwrap();
    assert_eq!(names(&answer), ["AROADEV:y", "AROADEV:x"]);
    assert_eq!(aws.asked()[0], "EventName=AssumeRole");
}

#[tokio::test(start_paused = true)]
async fn a_federated_session_is_its_issuer() {
    let aws = Aws::of(vec![took(user("eve"), "02:30:00", "admin", "x")]);
    let actor = json!({"kind": "federated-user", "issuer": EVE, "name": "temp"});
    assert_eq!(names(&aws.run(actor).await.unwrap()), ["AROAADMIN:x"]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_followed_three_levels_deep_across_both_regions() {
    let aws = Aws::both(
        vec![
            took(user("eve"), "02:10:00", "a", "1"),
            took(session("b", "2"), "02:30:00", "c", "3"),
            took(session("c", "3"), "02:40:00", "d", "4"),
            took(session("a", "somebody-else"), "02:40:00", "e", "5"),
        ],
        vec![took(session("a", "1"), "02:20:00", "b", "2")],
    );
    insta::assert_snapshot!(aws.says(EVE).await, @r#"
    not complete: as far as it is known, IAM user eve took 3 sessions of other roles that are alive: role a, session 1, taken by IAM user eve at 2026-11-25T02:10:00Z, alive until 2026-11-25T03:10:00Z; role b, session 2, taken by role a, session 1 at 2026-11-25T02:20:00Z, alive until 2026-11-25T03:20:00Z; role c, session 3, taken by role b, session 2 at 2026-11-25T02:30:00Z, alive until 2026-11-25T03:30:00Z
    cut AROAA:1
    cut AROAB:2
    cut AROAC:3
    left: there may be more sessions (what the last of these took was not looked for): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue="AssumeRole"'; aws cloudtrail lookup-events --region us-east-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue="AssumeRole"'
    left: end each session found that way which is still alive: start this runbook with its ARN as `actor`, and a reason
    "#);
    assert_eq!(
        aws.asked(),
        ["Username=eve", "AccessKeyId=ASIAA1", "AccessKeyId=ASIAB2"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_session_that_has_ended_is_found() {
    let aws = Aws::of(vec![
        took(user("eve"), "00:00:01", "a", "1"),
        took(session("a", "1"), "01:00:00", "b", "2"),
        took(session("b", "2"), "02:00:00", "c", "3"),
        // So long ago that nothing that came of it can be alive.
        took(user("eve"), "00:00:00", "a", "0"),
    ]);
    let answer = aws.run(EVE.into()).await.unwrap();
    assert_eq!(names(&answer), [""; 0]);
    assert_eq!(
        aws.asked(),
        ["Username=eve", "AccessKeyId=ASIAA1", "AccessKeyId=ASIAB2"]
    );
    let aws = aws.home(|trail| {
        trail.records[2] = took(session("b", "2"), "02:00:01", "c", "3");
    });
    let answer = aws.run(EVE.into()).await.unwrap();
    assert_eq!(names(&answer), ["AROAC:3"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_key_is_not_told_is_followed_by_its_name() {
    let record = took(user("eve"), "02:10:00", "a", "1");
    let aws = Aws::of(vec![
        with(record, "/responseElements/credentials", Value::Null),
        took(session("a", "1"), "02:20:00", "b", "2"),
    ]);
    assert_eq!(
        names(&aws.run(EVE.into()).await.unwrap()),
        ["AROAA:1", "AROAB:2"]
    );
    assert_eq!(aws.asked()[1], "Username=1");
}

#[tokio::test(start_paused = true)]
async fn sessions_that_take_one_another_in_a_circle_are_followed_once() {
    let aws = Aws::of(vec![
        took(user("eve"), "02:10:00", "a", "1"),
        took(session("a", "1"), "02:20:00", "a", "1"),
    ]);
    let answer = aws.run(EVE.into()).await.unwrap();
    assert_eq!(names(&answer), ["AROAA:1"]);
    assert_eq!(answer["complete"], true);
    assert_eq!(aws.asked(), ["Username=eve", "AccessKeyId=ASIAA1"]);
}

#[tokio::test(start_paused = true)]
async fn what_containing_the_actor_ends_already_is_followed_and_not_answered() {
    let aws = Aws::of(vec![
        took(session("admin", "eve"), "02:10:00", "admin", "again"),
        took(session("admin", "again"), "02:20:00", "dev", "x"),
    ]);
    assert_eq!(names(&aws.run(ADMIN.into()).await.unwrap()), ["AROADEV:x"]);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_must_not_be_cut_are_left_for_a_human_and_followed() {
    let foreign = || {
        let record = took(user("eve"), "02:12:00", "there", "3");
        let arn = json!("arn:aws:iam::999988887777:role/there");
        with(record, "/requestParameters/roleArn", arn)
    };
    let aws = Aws::of(vec![
        took(user("eve"), "02:10:00", "crm", "1"),
        took(user("eve"), "02:11:00", "tourniquet/deny", "2"),
        foreign(),
        took(session("crm", "1"), "02:20:00", "dev", "4"),
    ]);
    insta::assert_snapshot!(aws.says(EVE).await, @r#"
    complete: IAM user eve took 4 sessions of other roles that are alive: role there, session 3, taken by IAM user eve at 2026-11-25T02:12:00Z, alive until 2026-11-25T03:12:00Z; role deny, session 2, taken by IAM user eve at 2026-11-25T02:11:00Z, alive until 2026-11-25T03:11:00Z; role crm, session 1, taken by IAM user eve at 2026-11-25T02:10:00Z, alive until 2026-11-25T03:10:00Z; role dev, session 4, taken by role crm, session 1 at 2026-11-25T02:20:00Z, alive until 2026-11-25T03:20:00Z
    cut AROADEV:4
    left: role there, session 3, taken by IAM user eve at 2026-11-25T02:12:00Z, alive until 2026-11-25T03:12:00Z, must not be cut: the principal belongs to account 999988887777, which this account cannot change. By hand: take the other account out of every role's trust (aws iam update-assume-role-policy --role-name <role> --policy-document <trust>) and out of the bucket and key policies that name it; call its owner
    left: role deny, session 2, taken by IAM user eve at 2026-11-25T02:11:00Z, alive until 2026-11-25T03:11:00Z, must not be cut: role deny is the responder's own. By hand: aws iam attach-role-policy --role-name deny --policy-arn arn:aws:iam::aws:policy/AWSDenyAll
    left: role crm, session 1, taken by IAM user eve at 2026-11-25T02:10:00Z, alive until 2026-11-25T03:10:00Z, must not be cut: role crm is a workload of the CRM: denying it stops patient care, and a thief's session looks like production's. By hand: aws iam attach-role-policy --role-name crm --policy-arn arn:aws:iam::aws:policy/AWSDenyAll (this stops the CRM; to end only the sessions that exist now: aws iam put-role-policy --role-name crm --policy-name AWSRevokeOlderSessions --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"<now, in UTC>"}}}]}')
    "#);
    assert!(!aws.asked().contains(&"AccessKeyId=ASIATHERE3".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_contained_has_nothing_to_cut() {
    let aws = Aws::of(vec![took(user("glass"), "02:30:00", "admin", "x")]);
    for actor in [
        json!("arn:aws:iam::123456789012:user/glass"),
        json!("arn:aws:iam::123456789012:root"),
        json!("arn:aws:sts::123456789012:assumed-role/crm/production"),
        json!("arn:aws:sts::123456789012:assumed-role/deny/run"),
        json!("arn:aws:iam::999988887777:user/eve"),
        json!({"kind": "other-account", "account": "999988887777"}),
        json!({"kind": "unidentified", "reason": "the event names no identity"}),
    ] {
        let answer = aws.run(actor.clone()).await.unwrap();
        assert_eq!(names(&answer), [""; 0], "{actor}");
        assert_eq!(answer["complete"], true, "{actor}");
        assert_eq!(answer["left"], json!([]), "{actor}");
    }
    assert_eq!(aws.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn every_page_is_read_no_faster_than_twice_a_second() {
    let taken = (0..5).map(|n| took(user("eve"), "02:30:00", "admin", &n.to_string()));
    let aws = Aws::of(taken.collect()).home(|trail| trail.page = 2);
    let began = Instant::now();
    let answer = aws.run(EVE.into()).await.unwrap();
    assert_eq!(names(&answer).len(), 5);
    assert_eq!(
        aws.asked()[..3],
        ["Username=eve", "Username=eve from-2", "Username=eve from-4"]
    );
    // Three pages and five lookups, half a second apart.
    assert_eq!(began.elapsed(), PACE * 7);
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_the_rest_is_left_with_the_exact_lookup() {
    let mut taken = vec![took(user("eve"), "02:30:00", "admin", "x")];
    taken.extend((0..200).map(|_| json!({"userIdentity": user("eve"), "eventName": "ListUsers"})));
    let aws = Aws::of(taken).home(|trail| trail.page = 1);
    let began = Instant::now();
    insta::assert_snapshot!(aws.says(EVE).await, @r#"
    not complete: as far as it is known, IAM user eve took one session of another role that is alive: role admin, session x, taken by IAM user eve at 2026-11-25T02:30:00Z, alive until 2026-11-25T03:30:00Z
    cut AROAADMIN:x
    left: not every session that IAM user eve took is known, since eu-west-1 was not wholly read (there was no time left): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=Username,AttributeValue="eve"'
    left: not every session that role admin, session x took is known, since eu-west-1 was not wholly read (there was no time left): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=Username,AttributeValue="x"'
    left: end each session found that way which is still alive: start this runbook with its ARN as `actor`, and a reason
    "#);
    assert!(began.elapsed() <= BUDGET);
    assert_eq!(aws.asked().len(), 90);
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out() {
    let aws = Aws::of(vec![took(user("eve"), "02:30:00", "admin", "x")])
        .home(|trail| trail.refuses = vec!["ThrottlingException"; 2]);
    let answer = aws.run(EVE.into()).await.unwrap();
    assert_eq!(names(&answer), ["AROAADMIN:x"]);
    assert_eq!(answer["complete"], true);
}

#[tokio::test(start_paused = true)]
async fn throttling_that_does_not_end_leaves_the_lookup_to_a_human() {
    let aws = Aws::default()
        .home(|trail| trail.always = Some("ThrottlingException"))
        .global(|trail| trail.always = Some("ThrottlingException"));
    insta::assert_snapshot!(aws.says(EVE).await, @r#"
    not complete: as far as it is known, IAM user eve took no session of another role that is alive
    left: not every session that IAM user eve took is known, since eu-west-1 was not wholly read (cloudtrail:LookupEvents: ThrottlingException: as AWS says): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue="AssumeRole"'
    left: not every session that IAM user eve took is known, since us-east-1 was not wholly read (cloudtrail:LookupEvents: ThrottlingException: as AWS says): aws cloudtrail lookup-events --region us-east-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue="AssumeRole"'
    left: end each session found that way which is still alive: start this runbook with its ARN as `actor`, and a reason
    "#);
    assert_eq!(aws.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_cannot_be_asked_keeps_no_session_of_the_other_back() {
    let aws = Aws::of(vec![
        took(user("eve"), "02:30:00", "admin", "x"),
        took(session("admin", "x"), "02:31:00", "dev", "y"),
    ])
    .global(|trail| trail.always = Some("AccessDeniedException"));
    insta::assert_snapshot!(aws.says(EVE).await, @r#"
    not complete: as far as it is known, IAM user eve took 2 sessions of other roles that are alive: role admin, session x, taken by IAM user eve at 2026-11-25T02:30:00Z, alive until 2026-11-25T03:30:00Z; role dev, session y, taken by role admin, session x at 2026-11-25T02:31:00Z, alive until 2026-11-25T03:31:00Z
    cut AROAADMIN:x
    cut AROADEV:y
    left: not every session that IAM user eve took is known, since us-east-1 was not wholly read (cloudtrail:LookupEvents: AccessDeniedException: as AWS says): aws cloudtrail lookup-events --region us-east-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue="AssumeRole"'
    left: end each session found that way which is still alive: start this runbook with its ARN as `actor`, and a reason
    "#);
    assert_eq!(aws.0[1].lock().unwrap().asked.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_permission_anywhere_the_run_fails() {
    for (code, class) in [
        ("AccessDeniedException", "AccessDenied"),
        ("AccessDenied", "AccessDenied"),
        ("OperationNotPermittedException", "Rejected"),
        ("InvalidTimeRangeException", "Rejected"),
    ] {
        let aws = Aws::default()
            .home(|trail| trail.always = Some(code))
            .global(|trail| trail.always = Some(code));
        let failure = aws.run(EVE.into()).await.unwrap_err();
        assert_eq!(failure.name(), class, "{code}");
        assert!(failure.to_string().starts_with("cloudtrail:LookupEvents: "));
    }
}

#[tokio::test(start_paused = true)]
async fn permission_that_is_lost_on_the_way_keeps_what_was_found() {
    let aws = Aws::of(vec![took(user("eve"), "02:30:00", "admin", "x")])
        .global(|trail| trail.always = Some("AccessDeniedException"));
    let aws = aws.home(|trail| {
        trail.page = 1;
        trail
            .records
            .push(json!({"userIdentity": user("eve"), "eventName": "ListUsers"}));
    });
    // The first page is answered, the second is not.
    let home = aws.0[0].clone();
    let run = tokio::spawn({
        let aws = aws.clone();
        async move { aws.run(EVE.into()).await }
    });
    tokio::time::sleep(PACE / 2).await;
    home.lock().unwrap().always = Some("AccessDeniedException");
    let answer = run.await.unwrap().unwrap();
    assert_eq!(names(&answer), ["AROAADMIN:x"]);
    assert_eq!(answer["complete"], false);
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_token_expired_is_read_again_from_the_beginning_once() {
    let taken = || (0..3).map(|n| took(user("eve"), "02:30:00", "admin", &n.to_string()));
    let aws = Aws::of(taken().collect()).home(|trail| {
        trail.page = 2;
        trail.refuses = vec!["InvalidNextTokenException"];
    });
    let answer = aws.run(EVE.into()).await.unwrap();
    assert_eq!(names(&answer).len(), 3);
    assert_eq!(answer["complete"], true);

    let aws = Aws::of(taken().collect())
        .home(|trail| trail.refuses = vec!["InvalidNextTokenException"; 2]);
    insta::assert_snapshot!(aws.says(EVE).await, @r#"
    not complete: as far as it is known, IAM user eve took no session of another role that is alive
    left: not every session that IAM user eve took is known, since eu-west-1 was not wholly read (cloudtrail:LookupEvents: InvalidNextTokenException: as AWS says): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=Username,AttributeValue="eve"'
    left: end each session found that way which is still alive: start this runbook with its ARN as `actor`, and a reason
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_cloudtrail_does_not_take_is_left_to_a_human() {
    let aws = Aws::default().home(|trail| trail.always = Some("InvalidLookupAttributesException"));
    insta::assert_snapshot!(aws.says(EVE).await, @r#"
    not complete: as far as it is known, IAM user eve took no session of another role that is alive
    left: not every session that IAM user eve took is known, since eu-west-1 was not wholly read (cloudtrail:LookupEvents: InvalidLookupAttributesException: as AWS says): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=Username,AttributeValue="eve"'
    left: end each session found that way which is still alive: start this runbook with its ARN as `actor`, and a reason
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_said() {
    let record = || took(user("eve"), "02:30:00", "admin", "x");
    for broken in [
        with(record(), "/garbled", json!("{")),
        with(
            with(record(), "/requestParameters", Value::Null),
            "/responseElements",
            Value::Null,
        ),
        with(record(), "/requestParameters/roleArn", json!("admin"))
            .as_object()
            .map(|fields| {
                let mut fields = fields.clone();
                fields.remove("responseElements");
                Value::Object(fields)
            })
            .unwrap(),
    ] {
        let says = Aws::of(vec![broken]).says(EVE).await;
        assert!(
            says.contains("eu-west-1 was not wholly read (1 records could not be read)"),
            "{says}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_of_a_record_is_taken_from_elsewhere_in_it() {
    let record = || took(user("eve"), "02:30:00", "admin", "x");
    for varied in [
        with(record(), "/requestParameters", Value::Null),
        with(
            record(),
            "/requestParameters",
            json!("HIDDEN_DUE_TO_SECURITY_REASONS"),
        ),
        with(
            record(),
            "/responseElements/assumedRoleUser/arn",
            Value::Null,
        ),
        with(record(), "/eventTime", Value::Null),
    ] {
        let answer = Aws::of(vec![varied]).run(EVE.into()).await.unwrap();
        assert_eq!(names(&answer), ["AROAADMIN:x"]);
    }
    // Without the id, `deny-all-policy` asks IAM for it.
    let answer = Aws::of(vec![with(record(), "/responseElements", Value::Null)]);
    let answer = answer.run(EVE.into()).await.unwrap();
    insta::assert_json_snapshot!(answer["accomplices"][0]["actor"], @r#"
    {
      "kind": "role",
      "arn": "arn:aws:iam::123456789012:role/admin",
      "session": {
        "name": "x"
      }
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn more_than_twenty_sessions_are_bounded_the_newest_first() {
    let taken = (0..30).map(|n| took(user("eve"), &format!("02:{n:02}:00"), "a", &n.to_string()));
    let aws = Aws::of(taken.collect());
    let answer = aws.run(EVE.into()).await.unwrap();
    let names = names(&answer);
    assert_eq!(names.len(), MOST_SESSIONS);
    assert_eq!(
        (names[0].as_str(), names[19].as_str()),
        ("AROAA:29", "AROAA:10")
    );
    assert!(answer["summary"].as_str().unwrap().chars().count() < LONGEST_SUMMARY + 100);
    insta::assert_json_snapshot!(answer["left"], @r#"
    [
      "there may be more sessions (as many were found as one run answers): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue=\"AssumeRole\"'; aws cloudtrail lookup-events --region us-east-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue=\"AssumeRole\"'",
      "end each session found that way which is still alive: start this runbook with its ARN as `actor`, and a reason"
    ]
    "#);
    assert_eq!(aws.asked(), ["Username=eve"]);
}

#[tokio::test(start_paused = true)]
async fn as_many_unfinished_lookups_as_people_read_are_told_one_by_one() {
    let mut taken: Vec<Value> = (0..12)
        .map(|n| took(user("eve"), "02:30:00", "a", &n.to_string()))
        .collect();
    taken.extend((0..12).map(|n| {
        let broken = took(session("a", &n.to_string()), "02:31:00", "b", "x");
        with(broken, "/garbled", json!("{"))
    }));
    let answer = Aws::of(taken).run(EVE.into()).await.unwrap();
    let left = answer["left"].as_array().unwrap();
    assert_eq!(left.len(), MOST_GAPS + 2);
    insta::assert_snapshot!(left[MOST_GAPS].as_str().unwrap(), @r#"there may be more sessions (further lookups were not finished): aws cloudtrail lookup-events --region eu-west-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue="AssumeRole"'; aws cloudtrail lookup-events --region us-east-1 --start-time 2026-11-24T13:00:00Z --lookup-attributes 'AttributeKey=EventName,AttributeValue="AssumeRole"'"#);
}

#[tokio::test(start_paused = true)]
async fn what_the_history_may_not_hold_yet_is_said() {
    let mut payload = payload(EVE.into());
    payload["occurredAt"] = json!("2026-11-25T02:59:00Z");
    payload["dryRun"] = json!(true);
    let answer = Aws::default().answers(payload).await.unwrap();
    insta::assert_snapshot!(answer["summary"].as_str().unwrap(), @"IAM user eve took no session of another role that is alive; what was taken in the last quarter of an hour may not be in the history yet");
}

#[tokio::test]
async fn a_payload_that_does_not_fit_is_refused_by_field() {
    for (field, value, says) in [
        ("actor", json!("eve"), "`actor`: expected the ARN of a user"),
        ("occurredAt", json!("yesterday"), "`occurredAt`: "),
        ("undo", json!(true), "`undo`: unknown field"),
    ] {
        let mut payload = payload(EVE.into());
        payload[field] = value;
        let failure = Aws::default().answers(payload).await.unwrap_err();
        assert_eq!(failure.name(), "InvalidInput");
        assert!(failure.to_string().contains(says), "{failure}");
    }
}

#[test]
fn the_global_endpoint_is_asked_where_there_is_one() {
    assert_eq!(regions("eu-west-1", "aws"), ["eu-west-1", "us-east-1"]);
    assert_eq!(regions("us-east-1", "aws"), ["us-east-1"]);
    assert_eq!(regions("us-gov-west-1", "aws-us-gov"), ["us-gov-west-1"]);
}
