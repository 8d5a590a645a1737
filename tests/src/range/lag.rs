//! IAM's lag, which the emulator leaves out: there a change of IAM bites at once, while AWS goes on
//! deciding as before for seconds. Attackers reach the emulator through a proxy on loopback, which
//! plays that part: for so long, whoever is refused is served as before.
//!
//! The emulator forgets how it decided before, so the proxy asks again as root. That is what an
//! administrator was, and every attacker here is one. What is new works at once, in the attacker's
//! favour: on AWS a new key or role lags, too.

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::ROOT_KEY;

/// What AWS says to somebody who may not do something, or whose key is off.
pub(crate) const REFUSALS: [&str; 5] = [
    "AccessDeniedException",
    "AccessDenied",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
];

/// The proxy; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lag {
    port: u16,
    decisions: Arc<Decisions>,
    accepting: JoinHandle<()>,
}

/// How IAM decides.
#[derive(Debug, Default)]
struct Decisions {
    /// How long it goes on as before.
    lag: Mutex<Duration>,
    /// Since when the emulator refuses an access key.
    refused: Mutex<HashMap<String, Instant>>,
}

impl Lag {
    /// Stands before the emulator at `port`, at first without any lag.
    pub(crate) async fn before(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        let decisions = Arc::new(Decisions::default());
        let shared = Arc::clone(&decisions);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever hangs up in mid-sentence wants no answer.
                tokio::spawn(converse(stream, port, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            port: own,
            decisions,
            accepting,
        })
    }

    /// Where it answers.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets IAM lag by so much from now on, and forgets whom it refused.
    pub(crate) fn set(&self, lag: Duration) {
        *lock(&self.decisions.lag) = lag;
        lock(&self.decisions.refused).clear();
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Decisions {
    /// Whether `key` goes on as before, now that the emulator refuses it.
    fn lags(&self, key: &str) -> bool {
        let now = Instant::now();
        let since = *lock(&self.refused).entry(key.to_owned()).or_insert(now);
        now.duration_since(since) < *lock(&self.lag)
    }

    /// The emulator serves `key`, so that a later refusal lags anew.
    fn served(&self, key: &str) {
        lock(&self.refused).remove(key);
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one request, as every other that the client has comes in a connection of its own.
async fn converse(mut client: TcpStream, port: u16, decisions: Arc<Decisions>) -> io::Result<()> {
    let request = Request::read(&mut client).await?;
    let mut answer = request.send(port).await?;
    if let Some(key) = request.key() {
        if !is_refusal(&answer) {
            decisions.served(key);
        } else if decisions.lags(key) {
            answer = request.as_root(key).send(port).await?;
        }
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

fn is_refusal(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let refused = |code| text.contains(code);
    text.starts_with("HTTP/1.1 4") && REFUSALS.into_iter().any(refused)
}

/// A request, as it came.
struct Request {
    /// Its first line and its headers.
    head: String,
    body: Vec<u8>,
}

impl Request {
    async fn read(client: &mut TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(client);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut request = Self {
            head,
            body: Vec::new(),
        };
        let length = request.header("content-length").unwrap_or("0");
        let length = length.parse().map_err(io::Error::other)?;
        reader.take(length).read_to_end(&mut request.body).await?;
        Ok(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The access key that signed it.
    fn key(&self) -> Option<&str> {
        let (_, scope) = self.header("authorization")?.split_once("Credential=")?;
        scope.split('/').next()
    }

    /// The same of root, whose signature the emulator does not look at.
    fn as_root(&self, key: &str) -> Self {
        let is_token = |line: &&str| {
            line.to_ascii_lowercase()
                .starts_with("x-amz-security-token:")
        };
        let lines = self.head.split_inclusive('\n');
        let head: String = lines.filter(|line| !is_token(line)).collect();
        let [by, as_root] = [key, ROOT_KEY].map(|key| format!("Credential={key}/"));
        let head = head.replacen(&by, &as_root, 1);
        Self {
            head,
            body: self.body.clone(),
        }
    }

    /// What the emulator answers, word for word.
    async fn send(&self, port: u16) -> io::Result<Vec<u8>> {
        let mut emulator = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let (first, rest) = self.head.split_once("\r\n").unwrap_or((&self.head, ""));
        let head = format!("{first}\r\nconnection: close\r\n{rest}");
        emulator.write_all(head.as_bytes()).await?;
        emulator.write_all(&self.body).await?;
        let mut answer = Vec::new();
        emulator.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// An emulator that serves root without a token, and nobody else; its port.
    async fn emulator() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let request = Request::read(&mut client).await.unwrap();
                let token = request.header("X-Amz-Security-Token");
                let served = request.key() == Some(ROOT_KEY) && token.is_none();
                let answer = if served {
                    format!("HTTP/1.1 200 OK\r\n\r\n{}", request.body.len())
                } else {
                    "HTTP/1.1 403 Forbidden\r\n\r\n<Code>AccessDenied</Code>".to_owned()
                };
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    async fn is_served(lag: &Lag) -> bool {
        let request = Request {
            head:
                "POST / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=ASIAROSA/20261125/\
                   us-east-1/iam/aws4_request\r\nx-amz-security-token: token\r\ncontent-length: 3\
                   \r\n\r\n"
                    .to_owned(),
            body: b"all".to_vec(),
        };
        let answer = request.send(lag.port).await.unwrap();
        answer.ends_with(b"\r\n\r\n3")
    }

    #[tokio::test]
    async fn whoever_is_refused_is_served_until_iam_has_settled() {
        let lag = Lag::before(emulator().await).await.unwrap();
        assert!(!is_served(&lag).await);
        lag.set(Duration::from_hours(1));
        assert!(is_served(&lag).await);
        assert!(is_served(&lag).await);
        lag.set(Duration::from_millis(20));
        assert!(is_served(&lag).await);
        sleep(Duration::from_millis(20)).await;
        assert!(!is_served(&lag).await);
        lag.set(Duration::ZERO);
        assert!(!is_served(&lag).await);
    }
}
