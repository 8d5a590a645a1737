//! WAF's limits before moto, on loopback: so many calls a second, and no more.

use std::{
    collections::VecDeque,
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http::{Request, Response, serve},
    moto::{Moto, forward},
    range::error::Result,
};

/// What WAF takes in a second, of an account in a region.
pub(crate) const GETS: usize = 5;
pub(crate) const UPDATES: usize = 1;

/// How the calls of WAF are named on the wire.
const WAF: &str = "AWSWAF_20190729.";

/// The way to both moto: DynamoDB's answers one request after another, and WAF's as many as WAF takes.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    dynamodb: SocketAddr,
    waf: SocketAddr,
    /// How long DynamoDB worked; held while it does, so that its conditions hold.
    ledger: Mutex<Ledger>,
    /// Held while WAF works, so that its lock tokens do.
    firewall: Mutex<Firewall>,
}

#[derive(Debug, Default)]
struct Ledger {
    calls: usize,
    took: Duration,
}

#[derive(Debug, Default)]
struct Firewall {
    gets: VecDeque<Instant>,
    updates: VecDeque<Instant>,
    seen: Seen,
    /// What somebody enters by hand just before the next update.
    by_hand: Option<String>,
}

/// What went through the gate.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Calls to WAF, throttled ones included.
    pub(crate) gets: usize,
    pub(crate) updates: usize,
    /// Those of both that were too many.
    pub(crate) throttled: usize,
    /// The updates under an old lock token.
    pub(crate) lost: usize,
    /// Calls to the ledger, and how long it took over them.
    pub(crate) ledger: usize,
    pub(crate) ledger_took: Duration,
}

impl Gate {
    pub(crate) fn open(dynamodb: &Moto, waf: &Moto) -> Result<Self> {
        let state = Arc::new(State {
            dynamodb: dynamodb.address(),
            waf: waf.address(),
            ledger: Mutex::default(),
            firewall: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let address = serve(move |request| shared.answer(request))?;
        Ok(Self { address, state })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What went through since the last look.
    pub(crate) fn seen(&self) -> Seen {
        let ledger = mem::take(&mut *lock(&self.state.ledger));
        Seen {
            ledger: ledger.calls,
            ledger_took: ledger.took,
            ..mem::take(&mut lock(&self.state.firewall).seen)
        }
    }

    /// Has somebody enter something by hand between the next writer's reading and its writing.
    pub(crate) fn interrupt(&self, entry: &str) {
        lock(&self.state.firewall).by_hand = Some(entry.to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&self, request: &Request) -> Response {
        let target = request.header("x-amz-target").unwrap_or_default();
        if let Some(call) = target.strip_prefix(WAF) {
            return self.firewall(call, request);
        }
        let mut ledger = lock(&self.ledger);
        let started = Instant::now();
        let answer = pass(self.dynamodb, request);
        ledger.calls += 1;
        ledger.took += started.elapsed();
        answer
    }

    /// One call to WAF, if it is not one too many.
    fn firewall(&self, call: &str, request: &Request) -> Response {
        let mut firewall = lock(&self.firewall);
        let Firewall {
            gets,
            updates,
            seen,
            by_hand,
        } = &mut *firewall;
        let (times, most) = match call {
            "GetIPSet" => {
                seen.gets += 1;
                (gets, GETS)
            }
            "UpdateIPSet" => {
                seen.updates += 1;
                (updates, UPDATES)
            }
            _ => return pass(self.waf, request),
        };
        let now = Instant::now();
        while times
            .front()
            .is_some_and(|time| now - *time >= Duration::from_secs(1))
        {
            times.pop_front();
        }
        if times.len() >= most {
            seen.throttled += 1;
            let body = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
            return Response::new(400, body);
        }
        times.push_back(now);
        if call == "UpdateIPSet"
            && let Some(entry) = by_hand.take()
            && let Err(error) = self.enter(request, &entry)
        {
            return Response::new(500, error.to_string());
        }
        let answer = pass(self.waf, request);
        if String::from_utf8_lossy(&answer.body).contains("WAFOptimisticLockException") {
            seen.lost += 1;
        }
        answer
    }

    /// What the console does with the set of `request`.
    fn enter(&self, request: &Request, entry: &str) -> Result<()> {
        let call = |name: &str, body: Value| -> Result<Value> {
            let target = format!("{WAF}{name}");
            let headers = [
                ("x-amz-target", target.as_str()),
                (
                    "authorization",
                    request.header("authorization").unwrap_or_default(),
                ),
            ];
            let (_, answer) = forward(self.waf, &headers, body.to_string().as_bytes())?;
            Ok(serde_json::from_slice(&answer)?)
        };
        let asked: Value = serde_json::from_slice(&request.body)?;
        let mut set = json!({"Name": asked["Name"], "Id": asked["Id"], "Scope": asked["Scope"]});
        let listed = call("GetIPSet", set.clone())?;
        let mut addresses = listed["IPSet"]["Addresses"].clone();
        if let Some(addresses) = addresses.as_array_mut() {
            addresses.push(json!(entry));
        }
        set["Addresses"] = addresses;
        set["LockToken"] = listed["LockToken"].clone();
        call("UpdateIPSet", set)?;
        Ok(())
    }
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
