//! WAF's limits before moto, on loopback: so many calls a second, and no more.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    http::{Request, Response, serve},
    moto::{Moto, forward},
    range::error::Result,
};

/// What WAF takes in a second, of an account in a region.
pub(crate) const GETS: usize = 5;
pub(crate) const UPDATES: usize = 1;

/// The way to both moto: DynamoDB's answers one request after another, as a partition does, and WAF's
/// as many as WAF takes.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    waf: Arc<Mutex<Waf>>,
}

#[derive(Debug, Default)]
struct Waf {
    gets: VecDeque<Instant>,
    updates: VecDeque<Instant>,
    calls: Calls,
}

/// How often WAF was called.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) gets: usize,
    pub(crate) updates: usize,
    /// Those of both that were too many.
    pub(crate) throttled: usize,
    /// The updates under an old lock token.
    pub(crate) lost: usize,
}

impl Gate {
    pub(crate) fn open(dynamodb: &Moto, waf: &Moto) -> Result<Self> {
        let (dynamodb, waf) = (dynamodb.address(), waf.address());
        let partition = Mutex::new(());
        let limits: Arc<Mutex<Waf>> = Arc::default();
        let counted = Arc::clone(&limits);
        let address = serve(move |request| {
            let target = request.header("x-amz-target").unwrap_or_default();
            match target.strip_prefix("AWSWAF_20190729.") {
                Some(call) => through(&counted, call, waf, request),
                None => {
                    let one_at_a_time = partition.lock();
                    let answer = pass(dynamodb, request);
                    drop(one_at_a_time);
                    answer
                }
            }
        })?;
        Ok(Self {
            address,
            waf: limits,
        })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls since the last look.
    pub(crate) fn calls(&self) -> Calls {
        std::mem::take(&mut lock(&self.waf).calls)
    }
}

fn lock(waf: &Mutex<Waf>) -> MutexGuard<'_, Waf> {
    waf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call to WAF, if it is not one too many.
fn through(waf: &Mutex<Waf>, call: &str, moto: SocketAddr, request: &Request) -> Response {
    // Held while moto answers, which then never sees two at once.
    let mut waf = lock(waf);
    let is_update = call == "UpdateIPSet";
    match call {
        "GetIPSet" => waf.calls.gets += 1,
        "UpdateIPSet" => waf.calls.updates += 1,
        _ => return pass(moto, request),
    }
    let (times, most) = if is_update {
        (&mut waf.updates, UPDATES)
    } else {
        (&mut waf.gets, GETS)
    };
    let now = Instant::now();
    while times
        .front()
        .is_some_and(|time| now - *time >= Duration::from_secs(1))
    {
        times.pop_front();
    }
    if times.len() >= most {
        waf.calls.throttled += 1;
        let body = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
        return Response::new(400, body);
    }
    times.push_back(now);
    let answer = pass(moto, request);
    if String::from_utf8_lossy(&answer.body).contains("WAFOptimisticLockException") {
        waf.calls.lost += 1;
    }
    answer
}

fn pass(moto: SocketAddr, request: &Request) -> Response {
    let names = [
        "x-amz-target",
        "content-type",
        "authorization",
        "x-amz-date",
    ];
    let headers: Vec<_> = names
        .iter()
        .filter_map(|name| Some((*name, request.header(name)?)))
        .collect();
    match forward(moto, &headers, &request.body) {
        Ok((status, body)) => Response::new(status, body),
        Err(error) => Response::new(503, error.to_string()),
    }
}
