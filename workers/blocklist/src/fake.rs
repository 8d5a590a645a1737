//! WAF and the ledger's table as far as blocking needs them, on the wire: IP sets behind lock tokens
//! and WAF's limits, and a table that understands conditions. For tests.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests may stop at the first surprise.
#![allow(missing_docs, clippy::missing_panics_doc, clippy::must_use_candidate)] // They are its only readers.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_sdk_dynamodb::config::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
            http_client_fn,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::{base64, body::SdkBody};
use incident::{Family, Network, NeverBlock, Settings};
use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    Blocklist, FAMILIES,
    set::{CAPACITY, IpSet, entry},
};

/// When every test begins.
pub const START: &str = "2026-11-25T03:00:00Z";

/// What is never blocked.
pub const CLINIC: &str = "198.51.100.0/24";

thread_local! {
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// The clock of the workers: that of tokio, which a test may have paused.
pub fn now() -> Timestamp {
    let started = STARTED.get().unwrap_or_else(Instant::now);
    let start: Timestamp = START.parse().unwrap();
    start + SignedDuration::try_from(started.elapsed()).unwrap()
}

fn seed() -> u64 {
    let seed = SEED.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    SEED.set(seed);
    seed
}

/// What befalls a call.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is answered with this status and code, and does nothing.
    Answers(u16, &'static str),
    /// It is made, and its answer is lost.
    Loses,
    /// It is never answered, and does nothing.
    Hangs,
}

struct Trap {
    call: &'static str,
    times: usize,
    fault: Fault,
}

type Hook = (&'static str, Box<dyn FnOnce(&mut State) + Send>);

struct Set {
    family: Family,
    arn: String,
    entries: BTreeSet<Network>,
    /// Entries that are no networks, as WAF never has them.
    odd: Vec<String>,
    description: String,
    token: u64,
}

pub struct State {
    table: BTreeMap<(String, String), Map<String, Value>>,
    sets: Vec<Set>,
    traps: Vec<Trap>,
    hooks: Vec<Hook>,
    calls: Vec<String>,
    /// The times of the calls that WAF took.
    gets: VecDeque<Instant>,
    updates: VecDeque<Instant>,
    pub limited: bool,
    /// The most that a call takes, there and back.
    pub latency: Duration,
    /// How many items a page has.
    pub page: usize,
    /// How many keys DynamoDB leaves unread at first.
    pub unprocessed: usize,
    dice: u64,
}

/// AWS as the workers' clients see it.
#[derive(Clone)]
pub struct Aws(Arc<Mutex<State>>);

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

impl Default for Aws {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Aws {
    /// Two empty sets and an empty table.
    pub fn new(dice: u64) -> Self {
        STARTED.set(Some(Instant::now()));
        SEED.set(dice);
        let set = |family| Set {
            family,
            arn: arn(family).to_owned(),
            entries: BTreeSet::new(),
            odd: Vec::new(),
            description: "by hand".to_owned(),
            token: 1,
        };
        Self(Arc::new(Mutex::new(State {
            table: BTreeMap::new(),
            sets: FAMILIES.map(set).into(),
            traps: Vec::new(),
            hooks: Vec::new(),
            calls: Vec::new(),
            gets: VecDeque::new(),
            updates: VecDeque::new(),
            limited: false,
            latency: Duration::ZERO,
            page: 1_000,
            unprocessed: 0,
            dice: dice.wrapping_mul(0x0100_0000_01b3) | 1,
        })))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What the workers share, with both sets and an hour for a first block.
    pub fn blocklist(&self) -> Blocklist {
        self.blocklist_with(&FAMILIES, 60)
    }

    pub fn blocklist_with(&self, families: &[Family], minutes: u32) -> Blocklist {
        let connector = SharedHttpConnector::new(self.clone());
        let http = http_client_fn(move |_, _| connector.clone());
        let settings =
            Settings::new(|name| (name == "NEVER_BLOCK_CIDRS").then(|| CLINIC.to_owned()));
        let set = |family: &Family| IpSet::with(waf(&http), arn(*family).parse().unwrap(), *family);
        Blocklist {
            ledger: Ledger::new(dynamodb(&http), "ledger"),
            never: NeverBlock::from_settings(&settings).unwrap(),
            minutes,
            sets: families.iter().map(set).collect(),
            capacity: CAPACITY,
            now,
            seed,
        }
    }

    /// The next `times` calls that begin like this come to grief.
    pub fn trap(&self, call: &'static str, times: usize, fault: Fault) {
        self.state().traps.push(Trap { call, times, fault });
    }

    pub fn spring(&self) {
        self.state().traps.clear();
    }

    /// Just before the next call that begins like this, something else happens.
    pub fn before(&self, call: &'static str, hook: impl FnOnce(&mut State) + Send + 'static) {
        self.state().hooks.push((call, Box::new(hook)));
    }

    /// The calls since the last look.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    /// How many of the calls since the last look begin like this.
    pub fn count(&self, call: &str) -> usize {
        let state = self.state();
        state
            .calls
            .iter()
            .filter(|made| made.starts_with(call))
            .count()
    }

    /// What is in both sets, in order.
    pub fn entries(&self) -> Vec<String> {
        let state = self.state();
        let entries = state.sets.iter().flat_map(|set| &set.entries);
        entries.map(Network::to_string).collect()
    }

    pub fn description(&self, family: Family) -> String {
        self.state().set(family).description.clone()
    }
}

fn arn(family: Family) -> &'static str {
    match family {
        Family::V4 => "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/blocked-v4/id-v4",
        Family::V6 => "arn:aws:wafv2:us-east-1:123456789012:global/ipset/blocked-v6/id-v6",
    }
}

fn dynamodb(http: &SharedHttpClient) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version_latest()
        .with_test_defaults_v2()
        .http_client(http.clone())
        .endpoint_url("http://dynamodb.test")
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeout(3));
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

fn waf(http: &SharedHttpClient) -> aws_sdk_wafv2::Client {
    let config = aws_sdk_wafv2::Config::builder()
        .behavior_version_latest()
        .with_test_defaults_v2()
        .http_client(http.clone())
        .endpoint_url("http://waf.test")
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeout(5));
    aws_sdk_wafv2::Client::from_conf(config.build())
}

fn timeout(seconds: u64) -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_timeout(Duration::from_secs(seconds))
        .build()
}

type Answer = Result<Value, (u16, &'static str)>;

const FAILED_CONDITION: (u16, &str) = (400, "ConditionalCheckFailedException");

impl State {
    fn set(&mut self, family: Family) -> &mut Set {
        let mut sets = self.sets.iter_mut();
        sets.find(|set| set.family == family).unwrap()
    }

    /// Somebody puts a network into a set by hand.
    pub fn add(&mut self, network: &str) {
        let network: Network = network.parse().unwrap();
        let set = self.set(network.family());
        set.entries.insert(network);
        set.token += 1;
    }

    /// Somebody takes a network out of a set by hand.
    pub fn remove(&mut self, network: &str) {
        let network: Network = network.parse().unwrap();
        let set = self.set(network.family());
        set.entries.remove(&network);
        set.token += 1;
    }

    /// Puts something odd into the set of IPv4.
    pub fn add_odd(&mut self, entry: &str) {
        self.set(Family::V4).odd.push(entry.to_owned());
    }

    pub fn contains(&mut self, network: &Network) -> bool {
        self.set(network.family()).entries.contains(network)
    }

    pub fn entries_of(&mut self, family: Family) -> &BTreeSet<Network> {
        &self.set(family).entries
    }

    /// Whether a run may be about to put a network into its set, or to take it out.
    pub fn is_being_written(&self, network: &Network) -> bool {
        let mut items = self.table.iter();
        let is_written = items.any(|((_, sk), item)| sk == "writer" && item.contains_key("holder"));
        let asked = self
            .items("block#v")
            .iter()
            .any(|item| item.ends_with(&format!(" {network}")));
        is_written && asked || self.recorded().contains(network)
    }

    /// What the ledger says that we put into the sets.
    fn recorded(&self) -> BTreeSet<Network> {
        let items = self.table.iter().filter(|((_, sk), _)| sk == "entries");
        let mut networks = BTreeSet::new();
        for (_, item) in items {
            let packed = base64::decode(item["networks"]["B"].as_str().unwrap()).unwrap();
            let mut rest = packed.as_slice();
            while let Some((kind, after)) = rest.split_first() {
                let (address, after) = after.split_at(if *kind == 4 { 4 } else { 16 });
                let address = match <[u8; 4]>::try_from(address) {
                    Ok(address) => IpAddr::from(address),
                    Err(_) => IpAddr::from(<[u8; 16]>::try_from(address).unwrap()),
                };
                networks.insert(format!("{address}/{}", after[0]).parse().unwrap());
                rest = &after[1..];
            }
        }
        networks
    }

    /// Swaps what the two sets are for.
    pub fn swap_families(&mut self) {
        for set in &mut self.sets {
            set.family = match set.family {
                Family::V4 => Family::V6,
                Family::V6 => Family::V4,
            };
        }
    }

    /// The items whose partition begins like this, each as `<partition> <sort key>`.
    pub fn items(&self, partition: &str) -> Vec<String> {
        let keys = self
            .table
            .keys()
            .filter(|(pk, _)| pk.starts_with(partition));
        keys.map(|(pk, sk)| format!("{pk} {sk}")).collect()
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) % sides.max(1)
    }

    fn answer(&mut self, call: &str, body: &Value) -> Answer {
        match call {
            "GetIPSet" => self.get_ip_set(body),
            "UpdateIPSet" => self.update_ip_set(body),
            "GetItem" => {
                assert_eq!(body["ConsistentRead"], true);
                Ok(match self.table.get(&key(&body["Key"])) {
                    Some(item) => json!({ "Item": item }),
                    None => json!({}),
                })
            }
            "BatchGetItem" => Ok(self.batch_get(body)),
            "Query" => Ok(self.query(body)),
            "PutItem" => {
                let key = key(&body["Item"]);
                self.check(&key, body)?;
                let item = body["Item"].as_object().unwrap().clone();
                assert!(
                    body["Item"].to_string().len() < 550_000,
                    "400 KB, in base64"
                );
                self.table.insert(key, item);
                Ok(json!({}))
            }
            "DeleteItem" => {
                let key = key(&body["Key"]);
                self.check(&key, body)?;
                self.table.remove(&key);
                Ok(json!({}))
            }
            "UpdateItem" => self.update_item(body),
            other => panic!("{other}"),
        }
    }

    fn batch_get(&mut self, body: &Value) -> Value {
        let wanted = &body["RequestItems"]["ledger"];
        assert_eq!(wanted["ConsistentRead"], true);
        let keys = wanted["Keys"].as_array().unwrap();
        assert!((1..=100).contains(&keys.len()));
        let read = keys.len().saturating_sub(self.unprocessed);
        self.unprocessed = self.unprocessed.saturating_sub(keys.len());
        let found = keys[..read]
            .iter()
            .filter_map(|wanted| self.table.get(&key(wanted)));
        let found: Vec<_> = found.collect();
        let mut answer = json!({"Responses": {"ledger": found}});
        if read < keys.len() {
            answer["UnprocessedKeys"] =
                json!({"ledger": {"Keys": keys[read..], "ConsistentRead": true}});
        }
        answer
    }

    fn query(&self, body: &Value) -> Value {
        assert_eq!(body["ConsistentRead"], true);
        assert_eq!(body["KeyConditionExpression"], "pk = :pk");
        let pk = body["ExpressionAttributeValues"][":pk"]["S"]
            .as_str()
            .unwrap();
        let after = body.get("ExclusiveStartKey").map(key);
        let items = self
            .table
            .iter()
            .filter(|(key, _)| key.0 == pk && after.as_ref().is_none_or(|after| *key > after));
        let items: Vec<_> = items.map(|(_, item)| item).collect();
        let page = &items[..items.len().min(self.page)];
        let mut answer = json!({"Items": page, "Count": page.len()});
        if page.len() < items.len() {
            let last = page.last().unwrap();
            answer["LastEvaluatedKey"] = json!({"pk": last["pk"], "sk": last["sk"]});
        }
        answer
    }

    fn check(&self, key: &(String, String), body: &Value) -> Result<(), (u16, &'static str)> {
        let Some(condition) = body["ConditionExpression"].as_str() else {
            return Ok(());
        };
        let nothing = Map::new();
        let item = self.table.get(key).unwrap_or(&nothing);
        let values = &body["ExpressionAttributeValues"];
        let holds = condition.split(" OR ").any(|term| {
            if let Some(name) = term.strip_prefix("attribute_not_exists(") {
                return !item.contains_key(name.trim_end_matches(')'));
            }
            let mut words = term.split(' ');
            let (name, sign, value) = (words.next(), words.next(), words.next());
            let Some(found) = item.get(name.unwrap()) else {
                return false;
            };
            let value = &values[value.unwrap()];
            match sign.unwrap() {
                "=" => found == value,
                "<" => number(found) < number(value),
                "<=" => number(found) <= number(value),
                other => panic!("{other}"),
            }
        });
        if holds { Ok(()) } else { Err(FAILED_CONDITION) }
    }

    fn update_item(&mut self, body: &Value) -> Answer {
        let key = key(&body["Key"]);
        self.check(&key, body)?;
        let values = &body["ExpressionAttributeValues"];
        let item = self.table.entry(key.clone()).or_default();
        item.insert("pk".to_owned(), json!({"S": key.0}));
        item.insert("sk".to_owned(), json!({"S": key.1}));
        let expression = body["UpdateExpression"].as_str().unwrap();
        let (verb, terms) = expression.split_once(' ').unwrap();
        for term in terms.split(", ") {
            match verb {
                "SET" => {
                    let (name, value) = term.split_once(" = ").unwrap();
                    item.insert(name.to_owned(), values[value].clone());
                }
                "ADD" => {
                    let (name, value) = term.split_once(' ').unwrap();
                    let sum = item.get(name).map_or(0, number) + number(&values[value]);
                    item.insert(name.to_owned(), json!({"N": sum.to_string()}));
                }
                "REMOVE" => {
                    item.remove(term);
                }
                other => panic!("{other}"),
            }
        }
        Ok(json!({ "Attributes": item }))
    }

    fn limit(&mut self, is_update: bool) -> Result<(), (u16, &'static str)> {
        let (times, most) = if is_update {
            (&mut self.updates, 1)
        } else {
            (&mut self.gets, 5)
        };
        let now = Instant::now();
        while times
            .front()
            .is_some_and(|time| now - *time >= Duration::from_secs(1))
        {
            times.pop_front();
        }
        if self.limited && times.len() >= most {
            return Err((400, "ThrottlingException"));
        }
        times.push_back(now);
        Ok(())
    }

    fn set_of(&mut self, body: &Value) -> Result<&mut Set, (u16, &'static str)> {
        let scope = if body["Scope"] == "CLOUDFRONT" {
            "global"
        } else {
            "regional"
        };
        let resource = format!(
            "{scope}/ipset/{}/{}",
            body["Name"].as_str().unwrap(),
            body["Id"].as_str().unwrap()
        );
        let mut sets = self.sets.iter_mut();
        sets.find(|set| set.arn.ends_with(&resource))
            .ok_or((400, "WAFNonexistentItemException"))
    }

    fn get_ip_set(&mut self, body: &Value) -> Answer {
        self.limit(false)?;
        let set = self.set_of(body)?;
        let version = match set.family {
            Family::V4 => "IPV4",
            Family::V6 => "IPV6",
        };
        let addresses = set.entries.iter().map(entry).chain(set.odd.iter().cloned());
        Ok(json!({
            "IPSet": {
                "Name": body["Name"], "Id": body["Id"], "ARN": set.arn,
                "Description": set.description, "IPAddressVersion": version,
                "Addresses": addresses.collect::<Vec<_>>(),
            },
            "LockToken": set.token.to_string(),
        }))
    }

    fn update_ip_set(&mut self, body: &Value) -> Answer {
        self.limit(true)?;
        let set = self.set_of(body)?;
        if body["LockToken"].as_str() != Some(&set.token.to_string()) {
            return Err((400, "WAFOptimisticLockException"));
        }
        let addresses = body["Addresses"].as_array().unwrap();
        if addresses.len() > CAPACITY {
            return Err((400, "WAFLimitsExceededException"));
        }
        let (mut entries, mut odd) = (BTreeSet::new(), Vec::new());
        for address in addresses {
            let address = address.as_str().unwrap();
            match address.parse::<Network>() {
                Ok(network) if network.family() != set.family => {
                    return Err((400, "WAFInvalidParameterException"));
                }
                Ok(network) => assert!(entries.insert(network), "{address} twice"),
                Err(_) => odd.push(address.to_owned()),
            }
        }
        assert_eq!(odd, set.odd, "nobody's entries are lost");
        set.entries = entries;
        body["Description"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut set.description);
        set.token += 1;
        Ok(json!({"NextLockToken": set.token.to_string()}))
    }
}

fn key(item: &Value) -> (String, String) {
    let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
    (text("pk"), text("sk"))
}

fn number(value: &Value) -> i64 {
    value["N"].as_str().unwrap().parse().unwrap()
}

impl Aws {
    /// One call: what befalls it, or what it does.
    fn take(&self, call: &str, body: &Value) -> Result<Answer, Fault> {
        let mut state = self.state();
        state.calls.push(call.to_owned());
        let hook = state
            .hooks
            .iter()
            .position(|(name, _)| call.starts_with(name));
        if let Some(at) = hook {
            let (_, hook) = state.hooks.remove(at);
            hook(&mut state);
        }
        let trap = state
            .traps
            .iter_mut()
            .find(|trap| call.starts_with(trap.call) && trap.times > 0);
        let fault = trap.map(|trap| {
            trap.times -= 1;
            trap.fault
        });
        match fault {
            Some(Fault::Answers(status, code)) => Ok(Err((status, code))),
            Some(Fault::Hangs) => Err(Fault::Hangs),
            Some(Fault::Loses) => {
                // Whether it did anything or not.
                state.answer(call, body).ok();
                Err(Fault::Loses)
            }
            None => Ok(state.answer(call, body)),
        }
    }

    fn travel(&self) -> Duration {
        let mut state = self.state();
        let most = u64::try_from(state.latency.as_millis()).unwrap();
        Duration::from_millis(state.roll(most + 1))
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let aws = self.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap();
            let call = target.rsplit('.').next().unwrap().to_owned();
            let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let (there, back) = (aws.travel(), aws.travel());
            let call = {
                let aws = aws.clone();
                async move {
                    if there > Duration::ZERO {
                        sleep(there).await;
                    }
                    aws.take(&call, &body)
                }
            };
            // What is under way arrives, whether its sender still lives or not; most of the time.
            let arrived = if aws.state().roll(4) == 0 {
                call.await
            } else {
                tokio::spawn(call).await.unwrap()
            };
            if back > Duration::ZERO {
                sleep(back).await;
            }
            let (status, body) = match arrived {
                Ok(Ok(body)) => (200, body),
                Ok(Err((status, code))) => {
                    (status, json!({"__type": code, "message": "as AWS says"}))
                }
                Err(Fault::Hangs) => std::future::pending().await,
                Err(_) => return Err(ConnectorError::io("the answer is lost".into())),
            };
            let status = StatusCode::try_from(status).unwrap();
            Ok(HttpResponse::new(status, SdkBody::from(body.to_string())))
        })
    }
}
