//! The local AWS: ministack, as a child process on a port of 127.0.0.1 that was free.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    REGION,
    error::{Context, Error, Result},
    places::{Places, last_lines},
    python::Environment,
};

/// Runs ministack, and ends it with this process.
const KEEPER: &str = concat!(include_str!("insights.py"), include_str!("ministack.py"));

/// How long it may take to start on a busy computer.
const START: Duration = Duration::from_mins(1);

/// How long a request to it may take: a function behind it may have to start first.
const ANSWER: Duration = Duration::from_secs(30);

/// Where ministack.py looks for what WAF sampled.
const SAMPLES: &str = "sampled-requests.json";

/// The name by which it is asked for its own pages.
const HOST: &str = "Host: 127.0.0.1\r\n";

/// A running ministack; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Emulator {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Emulator {
    /// Starts it, and waits until it answers.
    pub(crate) async fn start(environment: &Environment, places: &Places) -> Result<Self> {
        let (file, log) = own_log(places)?;
        let mut emulator = Self::spawn(environment, file, log)?;
        let deadline = Instant::now() + START;
        loop {
            let health = http(emulator.port, "GET", "/_ministack/health", HOST, "");
            if health.and_then(succeeded).is_ok() {
                return Ok(emulator);
            }
            let ended = emulator.process.try_wait().context("watching ministack")?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(Error::new(format!(
                    "ministack does not answer; the end of {}:\n{}",
                    emulator.log.display(),
                    last_lines(&emulator.log, 20)
                )));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn spawn(environment: &Environment, file: File, log: PathBuf) -> Result<Self> {
        let port = free_port().context("looking for a free port")?;
        let both = file.try_clone().context("sharing the log")?;
        // What it unpacks for the workers it leaves behind: here it is found and emptied.
        let scratch = log.with_extension("tmp");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).context(format!("emptying {}", scratch.display()))?;
        }
        fs::create_dir_all(&scratch).context(format!("creating {}", scratch.display()))?;
        let mut command = Command::new(environment.program("python"));
        away_from_aws(&mut command, &endpoint(port));
        let process = command
            .args(["-c", KEEPER])
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("AUTH", "true")
            .env("TMPDIR", &scratch)
            .env("STATE_DIR", &scratch)
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(both)
            .process_group(0)
            .spawn()
            .context("starting ministack")?;
        Ok(Self { process, port, log })
    }

    /// Where it answers.
    pub(crate) fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    /// The port of loopback on which it answers.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Makes every Wait state take `scale` times what it says.
    pub(crate) fn scale_waits(&self, scale: f64) -> Result<()> {
        self.set("stepfunctions._SFN_WAIT_SCALE", &json!(scale))
    }

    /// Makes it remember the calls that it answers, or forget to.
    pub(crate) fn record_calls(&self, recorded: bool) -> Result<()> {
        self.set("cloudtrail._recording_enabled", &json!(recorded))
    }

    fn set(&self, what: &str, value: &Value) -> Result<()> {
        let body = json!({ what: value }).to_string();
        let answer = http(self.port, "POST", "/_ministack/config", HOST, &body)
            .and_then(succeeded)
            .context(format!("setting {what}"))?;
        let applied: Value = serde_json::from_str(&answer).context("reading ministack's answer")?;
        if applied["applied"]
            .as_object()
            .is_some_and(|set| set.len() == 1)
        {
            return Ok(());
        }
        Err(Error::new(format!(
            "ministack did not take {what}: {applied}"
        )))
    }

    /// Has WAF answer that it sampled these requests, by the metric of the rule that they matched: it
    /// samples none itself.
    pub(crate) fn sample(&self, samples: &Value) -> Result<()> {
        let file = self.log.with_extension("tmp").join(SAMPLES);
        fs::write(&file, samples.to_string()).context(format!("writing {}", file.display()))
    }

    /// Gets a page of `path` from the API Gateway API `api`, with these header lines; its status.
    pub(crate) async fn call_api(&self, api: &str, path: &str, headers: &str) -> Result<u16> {
        let headers = format!("Host: {api}.execute-api.localhost\r\n{headers}");
        let (port, path) = (self.port, path.to_owned());
        let asking = spawn_blocking(move || http(port, "GET", &path, &headers, ""));
        let answer = asking.await.context("waiting for the API")?;
        answer.map(|(status, _)| status).context("calling the API")
    }
}

/// The status and the body of one request; `headers` are lines.
fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    match status {
        Some(status) => Ok((status, body.to_owned())),
        None => Err(io::Error::other("ministack did not speak HTTP")),
    }
}

fn succeeded((status, body): (u16, String)) -> io::Result<String> {
    match status {
        200 => Ok(body),
        _ => Err(io::Error::other(format!("ministack answered {status}"))),
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}

/// Takes from `command` whatever could lead it elsewhere, and shows it the local AWS.
pub(crate) fn away_from_aws(command: &mut Command, endpoint: &str) {
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if upper.starts_with("AWS_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", super::ROOT_KEY)
        .env("AWS_SECRET_ACCESS_KEY", super::ROOT_KEY)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_REGION", REGION)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true");
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// `ministack.log`, or the next number when another drill is running and writes that one.
fn own_log(places: &Places) -> Result<(File, PathBuf)> {
    for number in 1..=100 {
        let name = match number {
            1 => "ministack".to_owned(),
            _ => format!("ministack-{number}"),
        };
        let path = places.log(&name);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .context(format!("writing {}", path.display()))?;
        if file.try_lock().is_ok() {
            file.set_len(0).context("emptying the log")?;
            return Ok((file, path));
        }
    }
    Err(Error::new("a hundred drills are running"))
}
