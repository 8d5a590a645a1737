//! A thousand runs of `block-ip` at once, each with an address of its own, on a WAF that takes five
//! reads and one write a second.
//!
//! WAF and the ledger's DynamoDB are moto's, which enforces lock tokens, behind a gate that enforces
//! WAF's limits. Entries that people made are in the set before, and somebody makes one more between the
//! first writer's reading and its writing. Every run has clients of its own, and is run again when it
//! says so, as a state machine does.
//!
//! Printed are the calls to WAF and the time until all have answered, most of which is moto's: it answers
//! one call to the ledger after another, where DynamoDB answers a thousand at once. Beside it stands what
//! one read and one write for each run would cost: for a few as measured, for a thousand as the limits
//! have it. Then a set is filled to its last entry, and asked for more.
//!
//! The exit code is 1 when an address or somebody's entry is lost, and 2 when nothing could be measured.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line prints.

mod alone;
mod cloud;
mod gate;
#[allow(dead_code)] // Lambda has paths.
#[path = "../budgets/http.rs"]
mod http;
mod moto;
mod range;

use std::{
    cell::Cell,
    collections::BTreeSet,
    fmt::Display,
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use block_ip::BlockIp;
use serde_json::{Value, json};
use tokio::{
    task::spawn_local,
    time::{sleep, timeout},
};
use worker::{Failure, answer};

use cloud::Cloud;
use gate::{GETS, Seen, UPDATES};
use range::error::Result;

/// How many runs there are at once.
const RUNS: usize = 1_000;

/// How many there are at once when each reads and writes for itself.
const ALONE: usize = 20;

/// How long Lambda lets a run work.
const LAMBDA: Duration = Duration::from_mins(1);

/// How many entries a set of WAF holds.
const CAPACITY: usize = 10_000;

/// What some runs cost.
struct Figures {
    seen: Seen,
    /// How often one was run again.
    again: usize,
    took: Duration,
}

fn main() -> ExitCode {
    tests::bench::run(measure())
}

/// Does it all, prints the figures, and answers what is wrong.
async fn measure() -> Result<Vec<String>> {
    let cloud = Cloud::start().await?;
    let mut wrong = Vec::new();
    eprintln!("Blocking {RUNS} addresses in {RUNS} runs ...");
    let together = storm(&cloud, &mut wrong).await?;
    eprintln!("Blocking {ALONE} addresses with a read and a write each ...");
    let alone = alone::storm(&cloud, ALONE).await?;
    let names: [&dyn Display; 7] = [
        &"",
        &"reads",
        &"writes",
        &"throttled",
        &"lost",
        &"again",
        &"seconds",
    ];
    println!("{}", row(names));
    println!("{}", together.line(&format!("{RUNS} runs, one writer")));
    println!("{}", alone.line(&format!("{ALONE} runs, each alone")));
    println!("{}", arithmetic());
    println!(
        "(*) not measured: {GETS} reads and {UPDATES} write a second, no call ever too early or too late"
    );
    println!(
        "The ledger answered {} calls of the {RUNS} runs one after another, which took {:.1} s of theirs.",
        together.seen.ledger,
        together.seen.ledger_took.as_secs_f64()
    );
    eprintln!("Filling a set of {CAPACITY} entries ...");
    println!("{}", full(&cloud, &mut wrong).await?);
    Ok(wrong)
}

impl Figures {
    fn line(&self, what: &str) -> String {
        let Seen {
            gets,
            updates,
            throttled,
            lost,
            ..
        } = self.seen;
        let seconds = format!("{:.1}", self.took.as_secs_f64());
        row([
            &what,
            &gets,
            &updates,
            &throttled,
            &lost,
            &self.again,
            &seconds,
        ])
    }
}

/// What the limits alone make of one read and one write for each run.
fn arithmetic() -> String {
    let seconds = (RUNS / UPDATES).max(RUNS / GETS);
    let what = format!("{RUNS} runs, each alone (*)");
    row([&what, &RUNS, &RUNS, &"-", &"-", &"-", &seconds])
}

fn row([what, gets, updates, throttled, lost, again, seconds]: [&dyn Display; 7]) -> String {
    format!("{what:<28}{gets:>7}{updates:>8}{throttled:>11}{lost:>6}{again:>7}{seconds:>9}")
}

/// All runs at once, and somebody by hand among them.
async fn storm(cloud: &Cloud, wrong: &mut Vec<String>) -> Result<Figures> {
    let by_hand: Vec<_> = (0..50).map(|n| format!("192.0.2.{n}/32")).collect();
    let set = cloud.set("storm", &by_hand).await?;
    let meanwhile = "198.51.100.77/32".to_owned();
    cloud.interrupt(&meanwhile);
    let addresses: Vec<_> = (0..RUNS)
        .map(|n| format!("203.0.{}.{}", n / 250, n % 250))
        .collect();
    let workers: Result<Vec<_>> = addresses.iter().map(|_| cloud.block_ip(&set)).collect();
    cloud.seen();
    let started = Instant::now();
    let again = Rc::new(Cell::new(0));
    let mut runs = Vec::new();
    for (n, (worker, address)) in workers?.into_iter().zip(&addresses).enumerate() {
        let payload = json!({"incidentId": format!("storm-{n}"), "networks": [address]});
        let again = Rc::clone(&again);
        runs.push(spawn_local(async move {
            finish(&worker, &payload, &again).await
        }));
    }
    for (run, address) in runs.into_iter().zip(&addresses) {
        match run.await? {
            Ok(answer) if answer["blocked"] == 1 && answer["left"] == json!([]) => {}
            Ok(answer) => wrong.push(format!("{address}: {answer}")),
            Err(failure) => wrong.push(format!("{address}: {failure}")),
        }
    }
    let took = started.elapsed();
    let seen = cloud.seen();
    let expected = addresses.iter().map(|address| format!("{address}/32"));
    let expected: BTreeSet<_> = expected.chain(by_hand).chain([meanwhile]).collect();
    let entries = cloud.entries(&set).await?;
    wrong.extend(
        expected
            .difference(&entries)
            .map(|it| format!("{it} is lost")),
    );
    wrong.extend(
        entries
            .difference(&expected)
            .map(|it| format!("{it} is nobody's")),
    );
    Ok(Figures {
        seen,
        again: again.get(),
        took,
    })
}

/// Runs a worker as a state machine does: within Lambda's time, and again when that may help.
async fn finish(
    worker: &BlockIp,
    payload: &Value,
    again: &Cell<usize>,
) -> std::result::Result<Value, Failure> {
    let mut retries = 0;
    loop {
        let run = timeout(LAMBDA, Box::pin(answer(worker, payload))).await;
        let run = run.unwrap_or_else(|_| Err(Failure::Transient("killed by Lambda".to_owned())));
        if retries == 4 || !matches!(run, Err(Failure::Transient(_))) {
            return run;
        }
        retries += 1;
        again.set(again.get() + 1);
        sleep(Duration::from_secs(retries)).await;
    }
}

/// A set with room for a thousand blocks gets them, and then fifty more, which end later.
async fn full(cloud: &Cloud, wrong: &mut Vec<String>) -> Result<String> {
    let networks = |net: usize, count: usize| -> Vec<String> {
        let address = |n| format!("203.{}.{}.{}/32", net + n / 62_500, n / 250 % 250, n % 250);
        (0..count).map(address).collect()
    };
    let by_hand = networks(10, CAPACITY - 1_000);
    let (first, second) = (networks(20, 1_000), networks(30, 50));
    let set = cloud.set("full", &by_hand).await?;
    let block_ip = cloud.block_ip(&set)?;
    let again = Cell::new(0);
    cloud.seen();
    let filling = json!({"incidentId": "full-1", "networks": first});
    finish(&block_ip, &filling, &again).await?;
    let more = json!({"incidentId": "full-2", "networks": second});
    let told = finish(&block_ip, &more, &again).await?;
    let Seen { gets, updates, .. } = cloud.seen();
    let entries = cloud.entries(&set).await?;
    let kept = |networks: &[String]| networks.iter().filter(|it| entries.contains(*it)).count();
    let stayed = [&by_hand, &first, &second].map(|networks| kept(networks));
    if entries.len() != CAPACITY || stayed != [by_hand.len(), first.len() - 50, 50] {
        let count = entries.len();
        wrong.push(format!(
            "of a full set of {count} entries {stayed:?} stayed"
        ));
    }
    let left = told["left"][0].as_str().unwrap_or_default();
    if !left.contains("is full") {
        wrong.push(format!("nobody is told that the set is full: {told}"));
    }
    let [by_hand, first, second] = stayed;
    Ok(format!(
        "A set of {CAPACITY} entries that is full: {by_hand} of 9000 entries by hand, {first} of 1000 blocks \
         and {second} of 50 that end later are in it, after {gets} reads and {updates} writes for two runs.\n\
         The second was told: {left}"
    ))
}
