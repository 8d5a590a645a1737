//! Lambda, as its functions see it: the Runtime API, and an AWS to call.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use crate::{
    Result,
    cases::REGION,
    http::{Request, Response, serve},
};

/// How long a function may take before it is given up, and how much Lambda says it has.
const PATIENCE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_mins(1);

/// An AWS that counts its calls.
pub(crate) struct Lambda {
    aws: SocketAddr,
    calls: Arc<AtomicUsize>,
}

/// A process of a function; it is ended when this is dropped.
pub(crate) struct Function {
    process: Child,
    started: Instant,
    events: Sender<Vec<u8>>,
    answers: Receiver<Answer>,
    calls: Arc<AtomicUsize>,
}

/// What a function posted.
struct Answer {
    at: Instant,
    failed: bool,
    body: Vec<u8>,
}

impl Lambda {
    pub(crate) fn start() -> Result<Self> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let aws = serve(move |request| {
            counted.fetch_add(1, Ordering::Relaxed);
            nothing_there(request)
        })?;
        Ok(Self { aws, calls })
    }

    /// How often AWS was called, by all functions.
    pub(crate) fn aws_calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Starts a process, which may ask for events from now on.
    pub(crate) fn start_function(
        &self,
        program: &Path,
        arguments: &[&str],
        settings: &BTreeMap<String, String>,
    ) -> Result<Function> {
        let (events, to_answer) = channel();
        let (answered, answers) = channel();
        let runtime = runtime_api(to_answer, answered)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", runtime.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_SESSION_TOKEN", "test")
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.aws))
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let started = Instant::now();
        let process = command.spawn()?;
        Ok(Function {
            process,
            started,
            events,
            answers,
            calls: Arc::clone(&self.calls),
        })
    }
}

impl Function {
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// When its process was asked for.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Has it answer one event, and says when it had.
    pub(crate) fn answer(&self, event: &Value) -> Result<Instant> {
        let calls_before = self.calls.load(Ordering::Relaxed);
        self.events.send(event.to_string().into_bytes())?;
        let answer = self.answers.recv_timeout(PATIENCE);
        let answer = answer.map_err(|_| format!("it has not answered after {PATIENCE:?}"))?;
        // To fail is an answer where AWS has nothing; without having asked AWS it is a mistake here.
        if answer.failed && self.calls.load(Ordering::Relaxed) == calls_before {
            let why = String::from_utf8_lossy(&answer.body);
            return Err(format!("it does not take its event or its settings: {why}").into());
        }
        Ok(answer.at)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// The Runtime API of one function.
fn runtime_api(events: Receiver<Vec<u8>>, answers: Sender<Answer>) -> Result<SocketAddr> {
    let events = Mutex::new(events);
    let address = serve(move |request| {
        let at = Instant::now();
        if request.path.ends_with("/invocation/next") {
            let events = events.lock().unwrap_or_else(PoisonError::into_inner);
            // Without another event the function is about to be ended.
            return events
                .recv()
                .map_or_else(|_| Response::new(410, ""), invocation);
        }
        let answer = Answer {
            at,
            failed: !request.path.ends_with("/response"),
            body: request.body.clone(),
        };
        let status = answers.send(answer).map_or(410, |()| 202);
        Response::new(status, "")
    })?;
    Ok(address)
}

fn invocation(event: Vec<u8>) -> Response {
    let deadline = (SystemTime::now() + TIMEOUT)
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let arn = format!("arn:aws:lambda:{REGION}:123456789012:function:function");
    let mut response = Response::new(200, event);
    response.headers = vec![
        ("content-type", "application/json".to_owned()),
        (
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned(),
        ),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        ("lambda-runtime-invoked-function-arn", arn),
    ];
    response
}

/// What an account says in which nothing is there, in the protocol that was spoken: JSON, the query
/// protocol of IAM and SNS, or S3's XML.
fn nothing_there(request: &Request) -> Response {
    if request.header("x-amz-target").is_some() {
        return Response::new(200, "{}");
    }
    let is_query = request
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let error = if is_query {
        "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code></Error></ErrorResponse>"
    } else {
        "<Error><Code>NoSuchBucket</Code></Error>"
    };
    Response::new(404, error)
}
