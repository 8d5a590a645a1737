use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use aws_sdk_cloudwatchlogs::{
    config::{http::HttpResponse, retry::RetryConfig},
    operation::{
        get_query_results::GetQueryResultsOutput, start_query::StartQueryOutput,
        stop_query::StopQueryOutput,
    },
    types::{QueryStatus, ResultField},
};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
use serde_json::{Value, json};
use worker::answer;

use super::*;

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients";

/// What Logs Insights answers to a question about a query.
#[derive(Clone)]
enum Said {
    Status(QueryStatus),
    Done(Vec<Row>),
    Refused(u16, &'static str),
}

/// Logs Insights: whether queries start, and how the two get on. What is said last stays so.
struct Logs {
    refusal: Option<(u16, &'static str)>,
    later: Vec<Said>,
    readers: Vec<Said>,
}

impl Default for Logs {
    /// Later events have arrived, and eve has read.
    fn default() -> Self {
        Self {
            refusal: None,
            later: vec![Said::Done(vec![row(&[(
                "eventTime",
                "2026-11-25T03:20:00Z",
            )])])],
            readers: vec![Said::Done(vec![eve("Scan", "203.0.113.66", 12)])],
        }
    }
}

/// The worker at a time of day, and what was asked of AWS: each query with its span, and each stop.
struct Range {
    worker: FindReaders,
    started: Arc<Mutex<Vec<(String, i64, i64)>>>,
    polls: Rule,
    stops: Rule,
}

impl Logs {
    fn at(self, now: fn() -> Timestamp) -> Range {
        let started = Arc::new(Mutex::new(Vec::new()));
        let starts = {
            let started = Arc::clone(&started);
            mock!(Client::start_query).then_compute_response(move |request| {
                assert_eq!(request.log_group_name(), Some("trail"));
                let query = request.query_string().unwrap().to_owned();
                let id = if query.contains("stats") {
                    "readers"
                } else {
                    "later"
                };
                let span = (request.start_time().unwrap(), request.end_time().unwrap());
                started.lock().unwrap().push((query, span.0, span.1));
                match self.refusal {
                    Some((status, code)) => MockResponse::Http(refuse(status, code)),
                    None => MockResponse::Output(StartQueryOutput::builder().query_id(id).build()),
                }
            })
        };
        let said = |said: Vec<Said>| Mutex::new(VecDeque::from(said));
        let (later, readers) = (said(self.later), said(self.readers));
        let polls = mock!(Client::get_query_results).then_compute_response(move |request| {
            let said = match request.query_id() {
                Some("later") => &later,
                Some("readers") => &readers,
                other => panic!("{other:?}"),
            };
            let mut said = said.lock().unwrap();
            let answer = GetQueryResultsOutput::builder();
            match if said.len() > 1 {
                said.pop_front()
            } else {
                said.front().cloned()
            } {
                Some(Said::Status(status)) => MockResponse::Output(answer.status(status).build()),
                Some(Said::Done(rows)) => MockResponse::Output(
                    answer
                        .status(QueryStatus::Complete)
                        .set_results(Some(rows))
                        .build(),
                ),
                Some(Said::Refused(status, code)) => MockResponse::Http(refuse(status, code)),
                None => panic!("asked about a query of which nothing is said"),
            }
        });
        let stops = mock!(Client::stop_query)
            .match_requests(|request| request.query_id().is_some())
            .then_output(|| StopQueryOutput::builder().success(true).build());
        let logs = mock_client!(
            aws_sdk_cloudwatchlogs,
            RuleMode::MatchAny,
            &[&starts, &polls, &stops],
            |config| config.retry_config(RetryConfig::disabled())
        );
        Range {
            worker: FindReaders {
                logs,
                log_group: Some("trail".to_owned()),
                workload: vec!["arn:aws:iam::123456789012:role/crm".parse().unwrap()],
                now,
            },
            started,
            polls,
            stops,
        }
    }
}

fn refuse(status: u16, code: &str) -> HttpResponse {
    HttpResponse::new(
        status.try_into().unwrap(),
        json!({"__type": code, "message": "what AWS said"})
            .to_string()
            .into(),
    )
}

fn row(cells: &[(&str, &str)]) -> Row {
    cells
        .iter()
        .map(|(field, value)| ResultField::builder().field(*field).value(*value).build())
        .collect()
}

/// Calls that the principal of `who` made within a minute.
fn calls(who: &[(&str, &str)], name: &str, address: &str, count: u64) -> Row {
    let mut cells = who.to_vec();
    let count = count.to_string();
    cells.extend([
        ("sourceIPAddress", address),
        ("eventName", name),
        ("calls", &count),
        ("firstCall", "2026-11-25T03:00:01Z"),
        ("lastCall", "2026-11-25T03:00:59Z"),
    ]);
    row(&cells)
}

fn eve(name: &str, address: &str, count: u64) -> Row {
    let who = [
        ("userIdentity.type", "IAMUser"),
        ("userIdentity.arn", "arn:aws:iam::123456789012:user/eve"),
        ("userIdentity.principalId", "AIDAEXAMPLE"),
        ("userIdentity.accountId", "123456789012"),
    ];
    calls(&who, name, address, count)
}

fn session(role: &str, session: &str, name: &str, address: &str, count: u64) -> Row {
    let last = role.rsplit('/').next().unwrap();
    let who = [
        ("userIdentity.type", "AssumedRole"),
        (
            "userIdentity.arn",
            &format!("arn:aws:sts::123456789012:assumed-role/{last}/{session}"),
        ),
        (
            "userIdentity.principalId",
            &format!("AROAEXAMPLE:{session}"),
        ),
        ("userIdentity.accountId", "123456789012"),
        ("userIdentity.sessionContext.sessionIssuer.type", "Role"),
        (
            "userIdentity.sessionContext.sessionIssuer.arn",
            &format!("arn:aws:iam::123456789012:role/{role}"),
        ),
    ];
    calls(&who, name, address, count)
}

fn payload() -> Value {
    json!({
        "incidentId": "i-1",
        "tableArn": TABLE,
        "from": "2026-11-25T03:00:00Z",
        "to": "2026-11-25T03:05:00Z",
    })
}

/// Ten minutes and a half after the searched window.
fn soon() -> Timestamp {
    "2026-11-25T03:20:30Z".parse().unwrap()
}

/// Before the logs can have arrived.
fn at_once() -> Timestamp {
    "2026-11-25T03:07:00Z".parse().unwrap()
}

/// When nobody waits any longer.
fn late() -> Timestamp {
    "2026-11-25T03:41:00Z".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_found_once_the_logs_have_arrived() {
    let range = Logs::default().at(soon);
    let answer = answer(&range.worker, &payload()).await.unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "complete": true,
      "again": false,
      "query": null,
      "readers": [
        {
          "actor": {
            "kind": "iam-user",
            "arn": "arn:aws:iam::123456789012:user/eve"
          },
          "isWorkload": false,
          "calls": 12,
          "callsByName": {
            "Scan": 12
          },
          "addresses": [
            "203.0.113.66"
          ],
          "addressCount": 1,
          "first": "2026-11-25T03:00:01Z",
          "last": "2026-11-25T03:00:59Z"
        }
      ],
      "calls": 12,
      "summary": "12 calls read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: IAM user eve: 12 Scan from 203.0.113.66",
      "left": [
        "not the CRM's own: 1 of those who read it; contain whoever should not have by a new execution of this runbook with that reader's `actor`, as this step's result has it, and a reason"
      ]
    }
    "#);
    assert_eq!((range.polls.num_calls(), range.stops.num_calls()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_queries_select_who_when_and_where_and_nothing_of_what_was_asked_for() {
    let range = Logs::default().at(soon);
    answer(&range.worker, &payload()).await.unwrap();
    let started = range.started.lock().unwrap();
    let text: Vec<_> = started
        .iter()
        .map(|(query, from, to)| {
            let at = |second| Timestamp::from_second(second).unwrap();
            format!("{} to {}\n{query}", at(*from), at(*to))
        })
        .collect();
    insta::assert_snapshot!(text.join("\n\n"), @r#"
    2026-11-25T03:10:00Z to 2026-11-25T03:20:30Z
    filter awsRegion = "eu-west-1" and eventTime >= "2026-11-25T03:15:00Z"
    | fields eventTime
    | limit 1

    2026-11-25T02:55:00Z to 2026-11-25T03:20:30Z
    filter eventSource = "dynamodb.amazonaws.com" and not ispresent(errorCode)
    | filter eventTime >= "2026-11-25T02:55:00Z" and eventTime <= "2026-11-25T03:10:00Z"
    | filter eventName in ["BatchExecuteStatement", "BatchGetItem", "ExecuteStatement", "ExecuteTransaction", "GetItem", "GetRecords", "Query", "Scan", "TransactGetItems"] or (eventName in ["DeleteItem", "PutItem", "UpdateItem"] and requestParameters.returnValues like /OLD|NEW/)
    | filter @message like '"arn:aws:dynamodb:eu-west-1:123456789012:table/Patients"' or @message like '"arn:aws:dynamodb:eu-west-1:123456789012:table/Patients/'
    | stats count(*) as calls, sortsFirst(eventTime) as firstCall, sortsLast(eventTime) as lastCall by userIdentity.type, userIdentity.arn, userIdentity.principalId, userIdentity.accountId, userIdentity.invokedBy, userIdentity.sessionContext.sessionIssuer.type, userIdentity.sessionContext.sessionIssuer.arn, sourceIPAddress, eventName
    | sort calls desc
    | limit 5000
    "#);
    let (_, told) = started[1].0.split_once("| stats").unwrap();
    assert!(!told.contains("requestParameters") && !told.contains("@message"));
}

#[tokio::test(start_paused = true)]
async fn what_was_found_before_the_logs_have_arrived_is_not_complete() {
    let range = Logs::default().at(at_once);
    let answer = answer(&range.worker, &payload()).await.unwrap();
    assert_eq!(answer["complete"], false);
    assert_eq!(answer["again"], true);
    assert_eq!(answer["query"], Value::Null);
    assert_eq!(answer["calls"], 12);
    insta::assert_snapshot!(told(&answer), @r#"
    so far, 12 calls read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: IAM user eve: 12 Scan from 203.0.113.66
    left: the trail's log group did not hold every call of that time: ask it again (aws logs start-query --log-group-name trail --start-time 1795575300 --end-time 1795579800 --query-string 'filter @message like "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients" | stats count(*) by userIdentity.arn, sourceIPAddress, eventName', then aws logs get-query-results --query-id <its id>); if nothing arrives there, see aws cloudtrail get-trail-status --name <the trail>, LatestCloudWatchLogsDeliveryError
    left: not the CRM's own: 1 of those who read it; contain whoever should not have by a new execution of this runbook with that reader's `actor`, as this step's result has it, and a reason
    "#);
    let started = range.started.lock().unwrap();
    assert_eq!(started.len(), 1, "no later event can exist yet");
}

#[tokio::test(start_paused = true)]
async fn without_a_later_event_it_asks_again_for_half_an_hour() {
    for (later, now, again) in [
        (Said::Done(vec![]), soon as fn() -> Timestamp, true),
        (Said::Status(QueryStatus::Failed), soon, true),
        (Said::Status(QueryStatus::Running), soon, true),
        (Said::Done(vec![]), late, false),
    ] {
        let still_runs = matches!(later, Said::Status(QueryStatus::Running));
        let logs = Logs {
            later: vec![later],
            ..Logs::default()
        };
        let range = logs.at(now);
        let answer = answer(&range.worker, &payload()).await.unwrap();
        assert_eq!(answer["complete"], false);
        assert_eq!(answer["again"], again);
        assert_eq!(answer["calls"], 12, "what was found is told all the same");
        assert!(
            answer["left"][0]
                .as_str()
                .unwrap()
                .starts_with("the trail's log group")
        );
        assert_eq!(range.stops.num_calls(), usize::from(still_runs));
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_long_is_handed_over_and_taken_up_again() {
    let running = || Said::Status(QueryStatus::Running);
    let slow = Logs {
        readers: vec![Said::Status(QueryStatus::Scheduled), running()],
        ..Logs::default()
    };
    let began = Instant::now();
    let range = slow.at(soon);
    let first = answer(&range.worker, &payload()).await.unwrap();
    assert!(began.elapsed() <= BUDGET + Duration::from_secs(1));
    assert_eq!(first["complete"], false);
    assert_eq!(first["again"], true);
    insta::assert_snapshot!(first["query"], @r#"{"id":"readers","startedAt":"2026-11-25T03:20:30Z","arrived":true}"#);
    insta::assert_snapshot!(told(&first), @r#"
    it is not known who read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: the query still runs
    left: it is not known who read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: the query still runs. By hand: aws logs start-query --log-group-name trail --start-time 1795575300 --end-time 1795579800 --query-string 'filter @message like "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients" | stats count(*) by userIdentity.arn, sourceIPAddress, eventName', then aws logs get-query-results --query-id <its id>
    "#);
    assert_eq!(range.stops.num_calls(), 0);

    let mut next = payload();
    next["query"] = first["query"].clone();
    let range = Logs::default().at(soon);
    let second = answer(&range.worker, &next).await.unwrap();
    assert_eq!(second["complete"], true);
    assert_eq!(second["query"], Value::Null);
    assert_eq!(second["calls"], 12);
    assert_eq!(range.started.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_began_before_the_logs_had_arrived_is_not_complete() {
    let mut payload = payload();
    payload["query"] =
        json!({"id": "readers", "startedAt": "2026-11-25T03:07:00Z", "arrived": false});
    let range = Logs::default().at(soon);
    let answer = answer(&range.worker, &payload).await.unwrap();
    assert_eq!(answer["complete"], false);
    assert_eq!(answer["again"], true);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_never_ends_is_stopped() {
    let mut payload = payload();
    payload["query"] =
        json!({"id": "readers", "startedAt": "2026-11-25T03:11:00Z", "arrived": true});
    let logs = Logs {
        readers: vec![Said::Status(QueryStatus::Running)],
        ..Logs::default()
    };
    let range = logs.at(late);
    let answer = answer(&range.worker, &payload).await.unwrap();
    assert_eq!(answer["again"], false);
    assert_eq!(answer["query"], Value::Null);
    assert_eq!(range.stops.num_calls(), 1);
    insta::assert_snapshot!(answer["summary"].as_str().unwrap(), @"it is not known who read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: the query did not end within half an hour and was stopped");
}

#[tokio::test(start_paused = true)]
async fn too_many_queries_at_once_are_waited_for() {
    let logs = Logs {
        refusal: Some((400, "LimitExceededException")),
        ..Logs::default()
    };
    let range = logs.at(soon);
    let answer = answer(&range.worker, &payload()).await.unwrap();
    assert_eq!(answer["again"], true);
    assert_eq!(answer["query"], Value::Null);
    assert_eq!(range.polls.num_calls(), 0);
    insta::assert_snapshot!(answer["summary"].as_str().unwrap(), @"it is not known who read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: as many queries run already as the account may run");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_is_lost_is_asked_again() {
    for lost in [
        Said::Status(QueryStatus::Cancelled),
        Said::Status(QueryStatus::Failed),
        Said::Status(QueryStatus::Timeout),
        Said::Refused(400, "ResourceNotFoundException"),
    ] {
        let logs = Logs {
            readers: vec![lost],
            ..Logs::default()
        };
        let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
        assert_eq!(answer["complete"], false);
        assert_eq!(answer["again"], true);
        assert_eq!(answer["query"], Value::Null);
        assert_eq!(answer["left"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_does_not_start_is_a_failure_of_its_class() {
    for (status, code, class) in [
        (400, "MalformedQueryException", "Rejected"),
        (400, "InvalidParameterException", "Rejected"),
        (400, "ResourceNotFoundException", "TargetNotFound"),
        (400, "AccessDeniedException", "AccessDenied"),
        (400, "ThrottlingException", "Transient"),
        (503, "ServiceUnavailableException", "Transient"),
    ] {
        let logs = Logs {
            refusal: Some((status, code)),
            ..Logs::default()
        };
        let failure = answer(&logs.at(soon).worker, &payload()).await.unwrap_err();
        assert_eq!(failure.name(), class, "{code}");
        assert_eq!(
            failure.to_string(),
            format!("logs:StartQuery: {code}: what AWS said")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_throttled_is_asked_again() {
    let done = Said::Done(vec![eve("Scan", "203.0.113.66", 12)]);
    let logs = Logs {
        readers: vec![
            Said::Refused(400, "ThrottlingException"),
            Said::Refused(503, "ServiceUnavailableException"),
            done,
        ],
        ..Logs::default()
    };
    let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
    assert_eq!(answer["complete"], true);
}

#[tokio::test(start_paused = true)]
async fn a_query_whose_result_must_not_be_read_is_stopped() {
    for (code, class) in [
        ("AccessDeniedException", "AccessDenied"),
        ("InvalidParameterException", "Rejected"),
    ] {
        let logs = Logs {
            readers: vec![Said::Refused(400, code)],
            ..Logs::default()
        };
        let range = logs.at(soon);
        let failure = answer(&range.worker, &payload()).await.unwrap_err();
        assert_eq!(failure.name(), class);
        assert_eq!(range.stops.num_calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_cannot_be_stopped_is_no_failure() {
    let refused =
        mock!(Client::stop_query).then_http_response(|| refuse(400, "InvalidParameterException"));
    let logs = mock_client!(aws_sdk_cloudwatchlogs, &[&refused]);
    let insights = Insights {
        logs: &logs,
        group: "trail",
    };
    insights.stop("readers").await;
    assert_eq!(refused.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_query_without_an_id_is_a_failure() {
    let nameless = mock!(Client::start_query).then_output(|| StartQueryOutput::builder().build());
    let logs = mock_client!(aws_sdk_cloudwatchlogs, &[&nameless]);
    let worker = FindReaders {
        logs,
        ..Logs::default().at(soon).worker
    };
    let failure = answer(&worker, &payload()).await.unwrap_err();
    assert_eq!(failure.name(), "Rejected");
}

#[tokio::test(start_paused = true)]
async fn without_a_log_group_a_human_is_told_where_to_look() {
    let range = Logs::default().at(soon);
    let worker = FindReaders {
        log_group: None,
        ..range.worker
    };
    let answer = answer(&worker, &payload()).await.unwrap();
    assert_eq!(answer["complete"], false);
    assert_eq!(answer["again"], false);
    insta::assert_snapshot!(told(&answer), @"
    it is not known who read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: the template's parameter TrailLogGroupName is not set
    left: it is not known who read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: the template's parameter TrailLogGroupName is not set. By hand: search the log files in the trail's bucket, with Athena for instance, for calls of dynamodb.amazonaws.com that name the table
    ");
    assert_eq!(range.started.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_asks_all_the_same() {
    let mut dry = payload();
    dry["dryRun"] = json!(true);
    let dry = answer(&Logs::default().at(soon).worker, &dry)
        .await
        .unwrap();
    let wet = answer(&Logs::default().at(soon).worker, &payload())
        .await
        .unwrap();
    assert_eq!(dry, wet);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_table_or_no_time_is_refused() {
    for (field, value, message) in [
        (
            "tableArn",
            format!("{TABLE}/index/by-name"),
            "`tableArn`: expected the ARN of a table, without an index or a stream",
        ),
        (
            "tableArn",
            format!("{TABLE}'"),
            "`tableArn`: expected the ARN of a table, without an index or a stream",
        ),
        (
            "tableArn",
            format!("{TABLE}\""),
            "`tableArn`: expected the ARN of a table, without an index or a stream",
        ),
        (
            "tableArn",
            "Patients".to_owned(),
            "`tableArn`: expected an ARN like arn:partition:service:region:account:resource",
        ),
        (
            "to",
            "2026-11-25T02:59:59Z".to_owned(),
            "`to`: is before `from`",
        ),
        (
            "query",
            "readers".to_owned(),
            "`query`: expected struct Query",
        ),
    ] {
        let range = Logs::default().at(soon);
        let mut payload = payload();
        payload[field] = json!(value);
        let failure = answer(&range.worker, &payload).await.unwrap_err();
        assert_eq!(failure.name(), "InvalidInput");
        assert_eq!(failure.to_string(), message);
        assert_eq!(range.started.lock().unwrap().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_time_can_be_asked_for() {
    let mut payload = payload();
    payload["from"] = json!(Timestamp::MIN);
    payload["to"] = json!(Timestamp::MAX);
    let answer = answer(&Logs::default().at(soon).worker, &payload)
        .await
        .unwrap();
    assert_eq!(answer["complete"], false);
}

/// What is told of `rows`, to a worker to whom they are all there are.
async fn of(rows: Vec<Row>) -> Value {
    let logs = Logs {
        readers: vec![Said::Done(rows)],
        ..Logs::default()
    };
    answer(&logs.at(soon).worker, &payload()).await.unwrap()
}

fn told(answer: &Value) -> String {
    let left = answer["left"].as_array().unwrap().iter();
    let left = left.map(|line| format!("left: {}", line.as_str().unwrap()));
    let summary = answer["summary"].as_str().unwrap().to_owned();
    std::iter::once(summary)
        .chain(left)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_one_principal_are_summed_up() {
    let answer = of(vec![
        session("crm", "api", "Query", "10.0.1.12", 900),
        session("crm", "api", "GetItem", "10.0.1.13", 800),
        eve("GetItem", "203.0.113.66", 40),
        eve("Scan", "203.0.113.66", 2),
        eve("Scan", "2001:db8::1", 1),
        session("support", "bob", "GetItem", "appsync.amazonaws.com", 7),
    ])
    .await;
    insta::assert_snapshot!(told(&answer), @"
    1750 calls read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: IAM user eve: 40 GetItem, 3 Scan from 203.0.113.66 and 1 more; role support, session bob: 7 GetItem from appsync.amazonaws.com; role crm, session api (the CRM's own): 800 GetItem, 900 Query from 10.0.1.12 and 1 more
    left: not the CRM's own: 2 of those who read it; contain whoever should not have by a new execution of this runbook with that reader's `actor`, as this step's result has it, and a reason
    ");
    assert_eq!(answer["calls"], 1_750);
    assert_eq!(
        answer["readers"][0]["addresses"],
        json!(["203.0.113.66", "2001:db8::1"])
    );
    assert_eq!(
        answer["readers"][0]["callsByName"],
        json!({"GetItem": 40, "Scan": 3})
    );
    let own: Vec<_> = answer["readers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reader| &reader["isWorkload"])
        .collect();
    assert_eq!(own, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_identity_is_told() {
    let of_account = ("userIdentity.accountId", "123456789012");
    let answer = of(vec![
        calls(
            &[("userIdentity.type", "Root"), of_account],
            "Scan",
            "203.0.113.1",
            6,
        ),
        calls(
            &[
                ("userIdentity.type", "AWSAccount"),
                ("userIdentity.principalId", "AROAEXTERNAL:eve"),
                ("userIdentity.accountId", "999988887777"),
            ],
            "Scan",
            "203.0.113.2",
            5,
        ),
        calls(
            &[
                ("userIdentity.type", "FederatedUser"),
                (
                    "userIdentity.arn",
                    "arn:aws:sts::123456789012:federated-user/temp",
                ),
                ("userIdentity.sessionContext.sessionIssuer.type", "IAMUser"),
                (
                    "userIdentity.sessionContext.sessionIssuer.arn",
                    "arn:aws:iam::123456789012:user/eve",
                ),
            ],
            "Scan",
            "203.0.113.3",
            4,
        ),
        calls(
            &[
                ("userIdentity.type", "AWSService"),
                ("userIdentity.invokedBy", "backup.amazonaws.com"),
            ],
            "Scan",
            "backup.amazonaws.com",
            3,
        ),
        calls(&[], "GetRecords", "203.0.113.4", 2),
    ])
    .await;
    insta::assert_snapshot!(answer["summary"].as_str().unwrap().replace("; ", "\n"), @"
    20 calls read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: root of account 123456789012: 6 Scan from 203.0.113.1
    a principal of account 999988887777: 5 Scan from 203.0.113.2
    federated user temp, issued by IAM user eve: 4 Scan from 203.0.113.3
    AWS service backup.amazonaws.com: 3 Scan from backup.amazonaws.com
    nobody known (the event names no identity): 2 GetRecords from 203.0.113.4
    ");
}

#[tokio::test(start_paused = true)]
async fn the_crms_own_are_known_by_account_and_name() {
    for (role, own) in [
        ("crm", true),
        ("CRM", true),
        ("teams/crm", true),
        ("crm-dev", false),
        ("crm/dev", false),
    ] {
        let answer = of(vec![session(role, "api", "Query", "10.0.1.12", 9)]).await;
        assert_eq!(answer["readers"][0]["isWorkload"], own, "{role}");
    }
    let answer = of(vec![session("crm", "api", "Query", "10.0.1.12", 9)]).await;
    insta::assert_snapshot!(told(&answer), @"
    9 calls read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z: role crm, session api (the CRM's own): 9 Query from 10.0.1.12
    left: only the CRM's own roles read it, and a thief's session looks like production's: see whether the addresses and the calls are the CRM's
    ");
}

#[tokio::test(start_paused = true)]
async fn nobody_found_is_told_with_what_may_be_wrong() {
    let answer = of(vec![]).await;
    assert_eq!(answer["complete"], true);
    insta::assert_snapshot!(told(&answer), @"
    nobody is known to have read table Patients between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z
    left: nobody was found: see whether the trail logs the data events of this table, the CRM's own included (aws cloudtrail get-event-selectors --trail-name <the trail>)
    ");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_told_by_its_greatest_and_fits_where_it_must_travel() {
    let wide = "\u{1F511}".repeat(300);
    let mut rows: Vec<_> = (0..80)
        .flat_map(|n| {
            let wide = &wide;
            (0..12).map(move |address| {
                let (name, address) = (format!("{n}-{wide}"), format!("{address}-{wide}"));
                session("support", &name, "GetItem", &address, 100 + n)
            })
        })
        .collect();
    let large = of(rows.clone()).await;
    assert!(large.to_string().len() <= readers::MOST_JSON + 8_000);
    let told = large["readers"].as_array().unwrap();
    assert!((1..50).contains(&told.len()), "{}", told.len());
    assert_eq!(told[0]["calls"], 12 * 179);
    assert_eq!(told[0]["addresses"].as_array().unwrap().len(), 10);
    assert_eq!(told[0]["addressCount"], 12);
    assert!(large["summary"].as_str().unwrap().len() < 4 * 1_100);

    rows = (0..80)
        .map(|n| session("support", &format!("s{n}"), "GetItem", "203.0.113.9", n + 1))
        .collect();
    let many = of(rows).await;
    assert_eq!(many["readers"].as_array().unwrap().len(), 50);
    assert_eq!(many["calls"], 80 * 81 / 2, "those left out are counted");
    assert!(many["summary"].as_str().unwrap().ends_with("; 75 more"));
}

#[tokio::test(start_paused = true)]
async fn more_than_one_query_tells_is_said() {
    let rows = vec![eve("GetItem", "203.0.113.66", 1); MOST_ROWS];
    let answer = of(rows).await;
    insta::assert_snapshot!(answer["left"][0].as_str().unwrap(), @r#"there were more callers than one query tells, so the counts are too low: ask for a shorter time (aws logs start-query --log-group-name trail --start-time 1795575300 --end-time 1795579800 --query-string 'filter @message like "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients" | stats count(*) by userIdentity.arn, sourceIPAddress, eventName', then aws logs get-query-results --query-id <its id>)"#);
}

#[tokio::test(start_paused = true)]
async fn a_row_without_a_count_is_a_failure_and_one_without_times_is_not() {
    let logs = |cells: &[(&str, &str)]| Logs {
        readers: vec![Said::Done(vec![row(cells)])],
        ..Logs::default()
    };
    let countless = logs(&[("eventName", "Scan")]);
    let failure = answer(&countless.at(soon).worker, &payload())
        .await
        .unwrap_err();
    assert_eq!(failure.name(), "Rejected");
    let timeless = logs(&[("eventName", "Scan"), ("calls", "3"), ("lastCall", "noon")]);
    let answer = answer(&timeless.at(soon).worker, &payload()).await.unwrap();
    assert_eq!(answer["readers"][0]["first"], Value::Null);
    assert_eq!(answer["readers"][0]["last"], Value::Null);
}
