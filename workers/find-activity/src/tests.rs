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

const SUBJECT: &str = "11111111-2222-3333-4444-555555555555";
const PATIENT: &str = "/patients/{patientId}";

/// What Logs Insights says of a query.
#[derive(Clone)]
enum Said {
    Status(QueryStatus),
    Done(Vec<Row>),
    Refused(&'static str),
}

/// Logs Insights: how the query for the calls and that for the week before get on, and the code with
/// which either is refused. What is said last stays so.
struct Logs {
    calls: Vec<Said>,
    week: Vec<Said>,
    calls_refused: Option<&'static str>,
    week_refused: Option<&'static str>,
}

impl Default for Logs {
    /// Many reads, and one deletion, by somebody who reads three records a day.
    fn default() -> Self {
        Self {
            calls: vec![Said::Done(vec![
                call("GET", PATIENT, "200", "203.0.113.66", 239),
                call("GET", PATIENT, "404", "203.0.113.66", 1),
                call("DELETE", PATIENT, "200", "2001:db8::1", 1),
            ])],
            week: vec![Said::Done(vec![usual("GET", PATIENT, 21)])],
            calls_refused: None,
            week_refused: None,
        }
    }
}

/// The worker at a time of day, and what was asked of AWS: each query with its span, and each stop.
struct Range {
    worker: FindActivity,
    started: Arc<Mutex<Vec<(String, i64, i64)>>>,
    stops: Rule,
}

impl Logs {
    fn of(rows: Vec<Row>) -> Self {
        Self {
            calls: vec![Said::Done(rows)],
            ..Self::default()
        }
    }

    fn saying(said: Said) -> Self {
        Self {
            calls: vec![said],
            ..Self::default()
        }
    }

    fn at(self, now: fn() -> Timestamp) -> Range {
        let started = Arc::new(Mutex::new(Vec::new()));
        let starts = {
            let started = Arc::clone(&started);
            mock!(Client::start_query).then_compute_response(move |request| {
                assert_eq!(request.log_group_name(), Some("api"));
                let query = request.query_string().unwrap().to_owned();
                let (id, refused) = if query.contains("status") {
                    ("calls", self.calls_refused)
                } else {
                    ("week", self.week_refused)
                };
                let span = (request.start_time().unwrap(), request.end_time().unwrap());
                started.lock().unwrap().push((query, span.0, span.1));
                match refused {
                    Some(code) => MockResponse::Http(refuse(code)),
                    None => MockResponse::Output(StartQueryOutput::builder().query_id(id).build()),
                }
            })
        };
        let said = |said: Vec<Said>| Mutex::new(VecDeque::from(said));
        let (calls, week) = (said(self.calls), said(self.week));
        let polls = mock!(Client::get_query_results).then_compute_response(move |request| {
            let said = match request.query_id() {
                Some("calls") => &calls,
                Some("week") => &week,
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
                Some(Said::Refused(code)) => MockResponse::Http(refuse(code)),
                None => panic!("asked about a query of which nothing is said"),
            }
        });
        let stops = mock!(Client::stop_query)
            .then_output(|| StopQueryOutput::builder().success(true).build());
        let logs = mock_client!(
            aws_sdk_cloudwatchlogs,
            RuleMode::MatchAny,
            &[&starts, &polls, &stops],
            |config| config.retry_config(RetryConfig::disabled())
        );
        Range {
            worker: FindActivity {
                logs,
                log_group: Some("api".to_owned()),
                now,
            },
            started,
            stops,
        }
    }
}

fn refuse(code: &str) -> HttpResponse {
    HttpResponse::new(
        400.try_into().unwrap(),
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

/// Calls within a minute.
fn call(method: &str, route: &str, status: &str, address: &str, count: u64) -> Row {
    row(&[
        ("method", method),
        ("route", route),
        ("status", status),
        ("sourceIp", address),
        ("calls", &count.to_string()),
        ("firstCall", "1795575601000"),
        ("lastCall", "1795575659500"),
    ])
}

fn usual(method: &str, route: &str, count: u64) -> Row {
    row(&[
        ("method", method),
        ("route", route),
        ("calls", &count.to_string()),
    ])
}

fn payload() -> Value {
    json!({
        "incidentId": "i-1",
        "subject": SUBJECT,
        "from": "2026-11-25T03:00:00Z",
        "to": "2026-11-25T03:05:00Z",
    })
}

fn without_end() -> Value {
    json!({"incidentId": "i-1", "subject": SUBJECT, "from": "2026-11-25T03:00:00Z"})
}

/// When every call has been written.
fn soon() -> Timestamp {
    "2026-11-25T03:10:00Z".parse().unwrap()
}

/// When the last ones may not have been.
fn at_once() -> Timestamp {
    "2026-11-25T03:09:59Z".parse().unwrap()
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
async fn what_a_user_did_is_told_beside_what_is_usual() {
    let answer = answer(&Logs::default().at(soon).worker, &payload())
        .await
        .unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "complete": true,
      "again": false,
      "query": null,
      "activity": [
        {
          "method": "GET",
          "route": "/patients/{patientId}",
          "calls": 240,
          "refused": 1,
          "callsInWeekBefore": 21,
          "first": "2026-11-25T03:00:01Z",
          "last": "2026-11-25T03:00:59.5Z",
          "sourceAddresses": [
            "203.0.113.66"
          ],
          "addressCount": 1
        },
        {
          "method": "DELETE",
          "route": "/patients/{patientId}",
          "calls": 1,
          "refused": 0,
          "callsInWeekBefore": 0,
          "first": "2026-11-25T03:00:01Z",
          "last": "2026-11-25T03:00:59.5Z",
          "sourceAddresses": [
            "2001:db8::1"
          ],
          "addressCount": 1
        }
      ],
      "calls": 241,
      "summary": "241 calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z: 240 GET /patients/{patientId} (1 refused, usually 3 a day) from 203.0.113.66; 1 DELETE /patients/{patientId} (none in the week before) from 2001:db8::1",
      "left": [
        "which records these calls touched is only in the API's access log, as `path` (a search names none). Ask it: aws logs start-query --log-group-name api --start-time 1795575600 --end-time 1795575900 --query-string 'filter sub = \"11111111-2222-3333-4444-555555555555\" | fields @timestamp, method, path, status, sourceIp | sort @timestamp | limit 10000', then aws logs get-query-results --query-id <its id>"
      ]
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_queries_select_routes_and_never_a_path() {
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
    2026-11-25T03:00:00Z to 2026-11-25T03:05:00Z
    filter sub = "11111111-2222-3333-4444-555555555555"
    | stats count(*) as calls, min(@timestamp) as firstCall, max(@timestamp) as lastCall by method, route, status, sourceIp
    | sort calls desc
    | limit 5000

    2026-11-18T03:00:00Z to 2026-11-25T02:59:59Z
    filter sub = "11111111-2222-3333-4444-555555555555"
    | stats count(*) as calls by method, route
    | sort calls desc
    | limit 5000
    "#);
    assert!(started.iter().all(|(query, ..)| !query.contains(" path")));
}

#[tokio::test(start_paused = true)]
async fn what_was_found_before_every_call_was_written_is_not_complete() {
    let first = answer(&Logs::default().at(at_once).worker, &payload())
        .await
        .unwrap();
    assert_eq!(first["complete"], false);
    assert_eq!(first["again"], true);
    assert_eq!(
        first["query"],
        json!({"to": "2026-11-25T03:05:00Z", "running": null})
    );
    assert_eq!(first["calls"], 241);
    insta::assert_snapshot!(told(&first), @r#"
    so far, 241 calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z: 240 GET /patients/{patientId} (1 refused, usually 3 a day) from 203.0.113.66; 1 DELETE /patients/{patientId} (none in the week before) from 2001:db8::1
    left: which records these calls touched is only in the API's access log, as `path` (a search names none); calls of the last minutes may have reached the API's access log only after this was asked. Ask it: aws logs start-query --log-group-name api --start-time 1795575600 --end-time 1795575900 --query-string 'filter sub = "11111111-2222-3333-4444-555555555555" | fields @timestamp, method, path, status, sourceIp | sort @timestamp | limit 10000', then aws logs get-query-results --query-id <its id>
    "#);

    let mut next = payload();
    next["query"] = first["query"].clone();
    let range = Logs::default().at(soon);
    let second = answer(&range.worker, &next).await.unwrap();
    assert_eq!(second["complete"], true);
    assert_eq!(second["query"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn without_an_end_the_span_ends_when_the_search_first_began() {
    let range = Logs::default().at(soon);
    let first = answer(&range.worker, &without_end()).await.unwrap();
    assert_eq!(first["complete"], false);
    assert_eq!(first["query"]["to"], "2026-11-25T03:10:00Z");
    assert_eq!(range.started.lock().unwrap()[0].2, soon().as_second());

    let mut next = without_end();
    next["query"] = first["query"].clone();
    let range = Logs::default().at(|| "2026-11-25T03:15:00Z".parse().unwrap());
    let second = answer(&range.worker, &next).await.unwrap();
    assert_eq!(second["complete"], true);
    assert_eq!(range.started.lock().unwrap()[0].2, soon().as_second());
}

#[tokio::test(start_paused = true)]
async fn a_span_ends_now_at_the_latest_and_never_before_it_begins() {
    for (from, to, searched) in [
        (
            "2026-11-25T03:00:00Z",
            json!("2026-11-25T04:00:00Z"),
            "2026-11-25T03:10:00Z",
        ),
        ("2026-11-25T03:10:20Z", Value::Null, "2026-11-25T03:10:20Z"),
    ] {
        let mut payload = payload();
        payload["from"] = json!(from);
        payload["to"] = to;
        let range = Logs::default().at(soon);
        answer(&range.worker, &payload).await.unwrap();
        let searched: Timestamp = searched.parse().unwrap();
        assert_eq!(range.started.lock().unwrap()[0].2, searched.as_second());
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_long_is_handed_over_and_taken_up_again() {
    let slow = Logs::saying(Said::Status(QueryStatus::Running));
    let began = Instant::now();
    let range = slow.at(soon);
    let first = answer(&range.worker, &payload()).await.unwrap();
    assert!(began.elapsed() <= BUDGET + Duration::from_secs(1));
    assert_eq!(
        (&first["complete"], &first["again"]),
        (&json!(false), &json!(true))
    );
    insta::assert_snapshot!(first["query"], @r#"{"to":"2026-11-25T03:05:00Z","running":{"id":"calls","startedAt":"2026-11-25T03:10:00Z","arrived":true}}"#);
    insta::assert_snapshot!(told(&first), @r#"
    the calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z are not known: the query still runs
    left: the calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z are not known: the query still runs. By hand: aws logs start-query --log-group-name api --start-time 1795575600 --end-time 1795575900 --query-string 'filter sub = "11111111-2222-3333-4444-555555555555" | fields @timestamp, method, path, status, sourceIp | sort @timestamp | limit 10000', then aws logs get-query-results --query-id <its id>
    "#);
    assert_eq!(range.stops.num_calls(), 0);

    let mut next = payload();
    next["query"] = first["query"].clone();
    let range = Logs::default().at(soon);
    let second = answer(&range.worker, &next).await.unwrap();
    assert_eq!(second["complete"], true);
    assert_eq!(second["calls"], 241);
    assert_eq!(range.started.lock().unwrap().len(), 1, "only the week's");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_never_ends_is_stopped() {
    let mut payload = payload();
    payload["query"] = json!({
        "to": "2026-11-25T03:05:00Z",
        "running": {"id": "calls", "startedAt": "2026-11-25T02:40:00Z", "arrived": true},
    });
    let range = Logs::saying(Said::Status(QueryStatus::Running)).at(soon);
    let answer = answer(&range.worker, &payload).await.unwrap();
    assert_eq!(
        (&answer["again"], &answer["query"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(range.stops.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_was_lost_or_could_not_start_is_asked_again() {
    let busy = Logs {
        calls_refused: Some("LimitExceededException"),
        ..Logs::default()
    };
    for logs in [
        busy,
        Logs::saying(Said::Status(QueryStatus::Failed)),
        Logs::saying(Said::Refused("ResourceNotFoundException")),
    ] {
        let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
        assert_eq!(answer["complete"], false);
        assert_eq!(answer["again"], true);
        assert_eq!(answer["query"]["running"], Value::Null);
        assert_eq!(answer["left"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_may_not_be_asked_is_a_failure_of_its_class() {
    for (code, class) in [
        ("AccessDeniedException", "AccessDenied"),
        ("MalformedQueryException", "Rejected"),
        ("ResourceNotFoundException", "TargetNotFound"),
        ("ThrottlingException", "Transient"),
    ] {
        let logs = Logs {
            calls_refused: Some(code),
            ..Logs::default()
        };
        let failure = answer(&logs.at(soon).worker, &payload()).await.unwrap_err();
        assert_eq!(failure.name(), class, "{code}");
    }
    let range = Logs::saying(Said::Refused("AccessDeniedException")).at(soon);
    let failure = answer(&range.worker, &payload()).await.unwrap_err();
    assert_eq!(failure.name(), "AccessDenied");
    assert_eq!(range.stops.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_week_that_cannot_be_looked_up_stops_nothing() {
    let of = |week: Said, week_refused| Logs {
        week: vec![week],
        week_refused,
        ..Logs::default()
    };
    let running = || Said::Status(QueryStatus::Running);
    for (logs, stopped) in [
        // The log group is younger than the week.
        (of(running(), Some("MalformedQueryException")), 0),
        (of(running(), Some("LimitExceededException")), 0),
        (of(Said::Refused("AccessDeniedException"), None), 1),
        (of(Said::Status(QueryStatus::Failed), None), 0),
        (of(running(), None), 1),
    ] {
        let began = Instant::now();
        let range = logs.at(soon);
        let answer = answer(&range.worker, &payload()).await.unwrap();
        assert!(began.elapsed() <= Duration::from_secs(11));
        assert_eq!(answer["complete"], true);
        assert_eq!(answer["activity"][0]["callsInWeekBefore"], Value::Null);
        assert_eq!(range.stops.num_calls(), stopped);
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer["summary"].as_str().unwrap(), @"241 calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z: 240 GET /patients/{patientId} (1 refused) from 203.0.113.66; 1 DELETE /patients/{patientId} from 2001:db8::1");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_method_and_route_is_summed_up_and_compared_for_itself() {
    let mut logs = Logs::of(vec![
        call("GET", "/patients", "200", "203.0.113.66", 30),
        call("GET", "/patients", "200", "203.0.113.7", 40),
        call("GET", PATIENT, "200", "203.0.113.66", 20),
        call("POST", "/patients", "500", "203.0.113.66", 3),
        call("PUT", PATIENT, "429", "203.0.113.66", 2),
    ]);
    logs.week = vec![Said::Done(vec![
        usual("GET", "/patients", 1_050),
        usual("GET", PATIENT, 11),
        usual("PUT", PATIENT, 6),
        row(&[("method", "DELETE"), ("route", PATIENT)]),
    ])];
    let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
    insta::assert_snapshot!(answer["summary"].as_str().unwrap().replace("; ", "\n"), @"
    95 calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z: 70 GET /patients (usually 150 a day) from 203.0.113.7 and 1 more
    20 GET /patients/{patientId} (usually 2 a day) from 203.0.113.66
    3 POST /patients (none in the week before) from 203.0.113.66
    2 PUT /patients/{patientId} (2 refused, 6 in the week before) from 203.0.113.66
    ");
    let first = &answer["activity"][0];
    assert_eq!(
        first["sourceAddresses"],
        json!(["203.0.113.7", "203.0.113.66"])
    );
    assert_eq!(first["callsInWeekBefore"], 1_050);
}

#[tokio::test(start_paused = true)]
async fn where_every_call_was_refused_there_is_no_record_to_check() {
    let logs = Logs::of(vec![
        call("GET", PATIENT, "404", "203.0.113.66", 9),
        call("DELETE", PATIENT, "403", "203.0.113.66", 1),
    ]);
    let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
    insta::assert_snapshot!(told(&answer), @"10 calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z: 9 GET /patients/{patientId} (9 refused, usually 3 a day) from 203.0.113.66; 1 DELETE /patients/{patientId} (1 refused, none in the week before) from 203.0.113.66");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_did_nothing_leaves_nothing_unless_the_log_may_not_know_users() {
    let nothing = answer(&Logs::of(vec![]).at(soon).worker, &payload())
        .await
        .unwrap();
    assert_eq!(nothing["complete"], true);
    insta::assert_snapshot!(told(&nothing), @"no call of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z is known");

    let mut never = Logs::of(vec![]);
    never.week = vec![Said::Done(vec![])];
    let never = answer(&never.at(soon).worker, &payload()).await.unwrap();
    insta::assert_snapshot!(told(&never), @r#"
    no call of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z is known
    left: the API's access log has no call of this user in the seven days before either: see whether its format has `sub` ($context.authorizer.principalId). Ask it: aws logs start-query --log-group-name api --start-time 1795575600 --end-time 1795575900 --query-string 'filter sub = "11111111-2222-3333-4444-555555555555" | fields @timestamp, method, path, status, sourceIp | sort @timestamp | limit 10000', then aws logs get-query-results --query-id <its id>
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_log_without_routes_is_told_without_its_paths() {
    let logs = Logs::of(vec![
        row(&[
            ("method", "GET"),
            ("status", "200"),
            ("calls", "3"),
            ("path", "/patients/7"),
        ]),
        row(&[
            ("method", "GET"),
            ("route", "-"),
            ("status", "200"),
            ("calls", "2"),
        ]),
        row(&[("calls", "1")]),
    ]);
    let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
    insta::assert_snapshot!(told(&answer), @r#"
    6 calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z: 5 GET unnamed route (none in the week before); 1 unnamed method unnamed route (none in the week before)
    left: which records these calls touched is only in the API's access log, as `path` (a search names none); the access log's format has no `route` ($context.resourcePath), so routes are not told. Ask it: aws logs start-query --log-group-name api --start-time 1795575600 --end-time 1795575900 --query-string 'filter sub = "11111111-2222-3333-4444-555555555555" | fields @timestamp, method, path, status, sourceIp | sort @timestamp | limit 10000', then aws logs get-query-results --query-id <its id>
    "#);
    assert_eq!(answer["activity"][0]["calls"], 5);
    assert_eq!(answer["activity"][0]["first"], Value::Null);
    assert!(!answer.to_string().contains("/patients/7"));
}

#[tokio::test(start_paused = true)]
async fn times_are_read_however_they_are_written() {
    for (written, read) in [
        ("1795575601000", json!("2026-11-25T03:00:01Z")),
        ("1.795575601E12", json!("2026-11-25T03:00:01Z")),
        ("2026-11-25 03:00:01.000", json!("2026-11-25T03:00:01Z")),
        ("noon", Value::Null),
        ("1e300", Value::Null),
    ] {
        let cells = [("method", "GET"), ("calls", "1"), ("firstCall", written)];
        let logs = Logs::of(vec![row(&cells)]);
        let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
        assert_eq!(answer["activity"][0]["first"], read, "{written}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_bounded_and_says_when_a_query_told_less_than_there_is() {
    let wide = "\u{1F511}".repeat(300);
    let rows: Vec<_> = (0..MOST_ROWS)
        .map(|n| {
            let route = format!("/{}/{wide}", n % 80);
            call(
                "GET",
                &route,
                "200",
                &format!("10.0.{}.{}", n / 250, n % 250),
                1,
            )
        })
        .collect();
    let answer = answer(&Logs::of(rows).at(soon).worker, &payload())
        .await
        .unwrap();
    assert!(answer.to_string().len() < 64 * 1024);
    assert_eq!(answer["activity"].as_array().unwrap().len(), 50);
    assert_eq!(
        answer["activity"][0]["sourceAddresses"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    assert_eq!(answer["calls"], MOST_ROWS, "those left out are counted");
    assert!(answer["summary"].as_str().unwrap().len() < 4 * 1_100);
    let left = answer["left"][0].as_str().unwrap();
    assert!(left.contains("these counts are too low"), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_sentence_names_the_five_that_were_called_most() {
    let rows = (1..=9).map(|n| call("GET", &format!("/{n}"), "200", "203.0.113.66", n));
    let logs = Logs::of(rows.collect());
    let answer = answer(&logs.at(soon).worker, &payload()).await.unwrap();
    let summary = answer["summary"].as_str().unwrap();
    assert!(summary.contains(": 9 GET /9 "), "{summary}");
    assert!(
        summary.ends_with("; 4 more methods and routes"),
        "{summary}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_without_a_count_is_a_failure() {
    let logs = Logs::of(vec![row(&[("method", "GET")])]);
    let failure = answer(&logs.at(soon).worker, &payload()).await.unwrap_err();
    assert_eq!(failure.name(), "Rejected");
}

#[tokio::test(start_paused = true)]
async fn without_a_log_group_a_human_is_told_where_to_look() {
    let range = Logs::default().at(soon);
    let worker = FindActivity {
        log_group: None,
        ..range.worker
    };
    let answer = answer(&worker, &payload()).await.unwrap();
    assert_eq!(
        (&answer["complete"], &answer["again"]),
        (&json!(false), &json!(false))
    );
    insta::assert_snapshot!(told(&answer), @"
    the calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z are not known: the template's parameter ApiLogGroupName is not set
    left: the calls of user 11111111-2222-3333-4444-555555555555 between 2026-11-25T03:00:00Z and 2026-11-25T03:05:00Z are not known: the template's parameter ApiLogGroupName is not set. By hand: search the API's access log, where it has one, for that `sub`
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
async fn what_is_no_user_or_no_time_is_refused() {
    for (field, value, message) in [
        (
            "subject",
            json!("anna\" or 1=1"),
            "`subject`: expected a `sub`, like 11111111-2222-3333-4444-555555555555",
        ),
        (
            "to",
            json!("2026-11-25T02:59:59Z"),
            "`to`: is before `from`",
        ),
        ("query", json!("calls"), "`query`: expected struct Search"),
    ] {
        let range = Logs::default().at(soon);
        let mut payload = payload();
        payload[field] = value;
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
    assert_eq!(answer["activity"][0]["callsInWeekBefore"], Value::Null);
}
