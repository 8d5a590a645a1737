//! moto: a WAF that enforces lock tokens, and a DynamoDB.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::range::{
    error::{Error, Result},
    places::{Places, last_lines},
    progress::Progress,
    python::{Environment, Interpreter},
};

/// How long it may take to start.
const START: Duration = Duration::from_mins(1);

/// A running moto; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Moto {
    process: Child,
    address: SocketAddr,
}

/// The programs of moto, in an environment that is made when it is not there.
#[derive(Debug)]
pub(crate) struct Installed {
    environment: Environment,
    places: Places,
}

impl Installed {
    /// Installs what `infra/local/moto.txt` pins, unless that was done before.
    pub(crate) async fn prepare() -> Result<Self> {
        let (places, progress) = (Places::find()?, Progress::default());
        let lock = places.lock(&progress).await?;
        let python = Interpreter::find().await?;
        let environment = Environment::prepare("moto", &python, &places, &progress).await?;
        drop(lock);
        Ok(Self {
            environment,
            places,
        })
    }

    /// Starts one, and waits until it answers.
    pub(crate) async fn start(&self, what: &str) -> Result<Moto> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let log = self.places.log(&format!("moto-{what}"));
        let file = File::create(&log)?;
        let process = Command::new(self.environment.program("moto_server"))
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let mut moto = Moto {
            process,
            address: (Ipv4Addr::LOCALHOST, port).into(),
        };
        let deadline = Instant::now() + START;
        while TcpStream::connect(moto.address).is_err() {
            if moto.process.try_wait()?.is_some() || Instant::now() > deadline {
                let end = last_lines(&log, 20);
                return Err(Error::new(format!(
                    "moto does not answer; the end of its log:\n{end}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(moto)
    }
}

impl Moto {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Sends a request to moto and returns its answer, status and body. It closes the connection behind
/// every answer, long after the answer.
pub(crate) fn forward(
    address: SocketAddr,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut message = Vec::new();
    write!(message, "POST / HTTP/1.1\r\nHost: {address}\r\n")?;
    for (name, value) in headers {
        write!(message, "{name}: {value}\r\n")?;
    }
    write!(message, "Content-Length: {}\r\n\r\n", body.len())?;
    message.extend(body);
    stream.write_all(&message)?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), None);
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
    let (Some(status), Some(length)) = (status, length) else {
        return Err(io::Error::other("an answer without a status or a length"));
    };
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok((status, body))
}
