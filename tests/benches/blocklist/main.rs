//! A thousand runs of `block-ip` at once, each with an address of its own, on a WAF that takes five
//! reads and one write a second.
//!
//! WAF and the ledger's DynamoDB are moto's, which enforces lock tokens, behind a gate that enforces
//! WAF's limits. Entries that people made are in the set before, and somebody makes one more half-way.
//! Every run has clients of its own, and is run again when it says so, as a state machine does.
//!
//! Printed are the calls to WAF and the time until all have answered, beside what one read and one write
//! for each run would cost: for a thousand as the limits have it, and for a few as measured. Then a set
//! is filled to its last entry, and asked for more.
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
    env,
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    task::{LocalSet, spawn_local},
    time::{sleep, timeout},
};
use worker::{Failure, answer};

use cloud::{Cloud, Set};
use gate::{Calls, GETS, UPDATES};
use range::error::Result;

/// How many runs there are at once.
const RUNS: usize = 1_000;

/// How many run one after another's lock token when nobody shares, and are measured.
const ALONE: usize = 20;

/// How long Lambda lets a run work.
const LAMBDA: Duration = Duration::from_mins(1);

/// How many entries a set of WAF holds.
const CAPACITY: usize = 10_000;

/// What some runs cost.
struct Figures {
    /// How often one was run again.
    again: usize,
    calls: Calls,
    took: Duration,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, and asks for no figures.
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let wrong = runtime
        .map_err(Into::into)
        .and_then(|runtime| LocalSet::new().block_on(&runtime, measure()));
    match wrong {
        Ok(wrong) => {
            for wrong in &wrong {
                eprintln!("WRONG: {wrong}");
            }
            ExitCode::from(u8::from(!wrong.is_empty()))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Does it all, prints the figures, and answers what is wrong.
async fn measure() -> Result<Vec<String>> {
    let cloud = Cloud::start().await?;
    let mut wrong = Vec::new();
    eprintln!("Blocking {RUNS} addresses in {RUNS} runs ...");
    let together = storm(&cloud, &mut wrong).await?;
    eprintln!("Blocking {ALONE} addresses with a read and a write each ...");
    let alone = alone::storm(&cloud, ALONE).await?;
    println!(
        "{:<34}{:>6} {:>6} {:>10} {:>6} {:>9}",
        "", "reads", "writes", "throttled", "lost", "seconds"
    );
    println!("{}", together.line(&format!("{RUNS} runs, one writer")));
    println!("{}", alone.line(&format!("{ALONE} runs, each on its own")));
    println!("{}", arithmetic());
    println!(
        "Run again by the state machine, with one writer: {}",
        together.again
    );
    eprintln!("Filling a set of {CAPACITY} entries ...");
    println!("{}", full(&cloud, &mut wrong).await?);
    Ok(wrong)
}

impl Figures {
    fn line(&self, what: &str) -> String {
        let Calls {
            gets,
            updates,
            throttled,
            lost,
        } = self.calls;
        let seconds = self.took.as_secs_f64();
        format!("{what:<34}{gets:>6} {updates:>6} {throttled:>10} {lost:>6} {seconds:>9.1}")
    }
}

/// What the limits alone make of one read and one write for each run, if no lock were ever lost.
fn arithmetic() -> String {
    let what = format!("{RUNS} runs, each on its own (*)");
    let seconds = (RUNS / UPDATES).max(RUNS / GETS);
    format!(
        "{what:<34}{RUNS:>6} {RUNS:>6} {:>10} {:>6} {seconds:>9}\n\
         (*) not measured: {GETS} reads and {UPDATES} write a second, and never a lost lock or a second try",
        "-", "-"
    )
}

/// All runs at once, and somebody by hand among them.
async fn storm(cloud: &Cloud, wrong: &mut Vec<String>) -> Result<Figures> {
    let by_hand: Vec<_> = (0..50).map(|n| format!("192.0.2.{n}/32")).collect();
    let set = cloud.set("storm", &by_hand).await?;
    let addresses: Vec<_> = (0..RUNS)
        .map(|n| format!("203.0.{}.{}", n / 250, n % 250))
        .collect();
    cloud.calls();
    let started = Instant::now();
    let (done, again) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut runs = Vec::new();
    for (n, address) in addresses.iter().enumerate() {
        let worker = cloud.block_ip(&set)?;
        let payload = json!({"incidentId": format!("storm-{n}"), "networks": [address]});
        let (done, again) = (Rc::clone(&done), Rc::clone(&again));
        runs.push(spawn_local(async move {
            let answer = finish(&worker, &payload, &again).await;
            done.set(done.get() + 1);
            answer
        }));
    }
    while done.get() < RUNS / 2 {
        sleep(Duration::from_millis(10)).await;
    }
    cloud.add_by_hand(&set, "198.51.100.77/32").await?;
    for (run, address) in runs.into_iter().zip(&addresses) {
        match run.await? {
            Ok(answer) if answer["blocked"] == 1 && answer["left"] == json!([]) => {}
            Ok(answer) => wrong.push(format!("{address}: {answer}")),
            Err(failure) => wrong.push(format!("{address}: {failure}")),
        }
    }
    let took = started.elapsed();
    let calls = cloud.calls();
    let expected = addresses.iter().map(|address| format!("{address}/32"));
    let expected = expected
        .chain(by_hand)
        .chain(["198.51.100.77/32".to_owned()]);
    compare(cloud, &set, expected.collect(), wrong).await?;
    Ok(Figures {
        again: again.get(),
        calls,
        took,
    })
}

/// Runs a worker as a state machine does: within Lambda's time, and again when it may help.
async fn finish(
    worker: &block_ip::BlockIp,
    payload: &Value,
    again: &Cell<usize>,
) -> std::result::Result<Value, Failure> {
    let mut tries = 1..=5;
    loop {
        tries.next();
        let run = timeout(LAMBDA, Box::pin(answer(worker, payload))).await;
        match run.unwrap_or_else(|_| Err(Failure::Transient("killed".to_owned()))) {
            Err(Failure::Transient(_)) if !tries.is_empty() => again.set(again.get() + 1),
            answer => return answer,
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// A set with room for a thousand blocks gets them, and then fifty more that last longer.
async fn full(cloud: &Cloud, wrong: &mut Vec<String>) -> Result<String> {
    let by_hand: Vec<_> = (0..CAPACITY - 1_000)
        .map(|n| format!("100.{}.{}.{}/32", 1 + n / 60_000, n / 250, n % 250))
        .collect();
    let set = cloud.set("full", &by_hand).await?;
    let block_ip = cloud.block_ip(&set)?;
    let networks = |second: usize, count: usize| -> Vec<String> {
        (0..count)
            .map(|n| format!("203.{second}.{}.{}", n / 250, n % 250))
            .collect()
    };
    let again = Cell::new(0);
    cloud.calls();
    let started = Instant::now();
    let (first, second) = (networks(1, 1_000), networks(2, 50));
    let filled = json!({"incidentId": "full-1", "networks": first});
    finish(&block_ip, &filled, &again).await?;
    // A block that began later ends later.
    sleep(Duration::from_secs(2)).await;
    let more = json!({"incidentId": "full-2", "networks": second});
    let answer = finish(&block_ip, &more, &again).await?;
    let took = started.elapsed();
    let calls = cloud.calls();
    let left = answer["left"][0].as_str().unwrap_or_default();
    if !left.contains("is full") {
        wrong.push(format!("nobody is told of a full set: {answer}"));
    }
    let entries = cloud.entries(&set).await?;
    let kept = |networks: &[String]| {
        let there = networks.iter().filter(|network| {
            let network = network.split('/').next().unwrap_or_default();
            entries.contains(&format!("{network}/32"))
        });
        there.count()
    };
    let (by_hand_kept, first_kept, second_kept) = (kept(&by_hand), kept(&first), kept(&second));
    if (entries.len(), by_hand_kept, first_kept, second_kept)
        != (CAPACITY, CAPACITY - 1_000, 950, 50)
    {
        wrong.push(format!("{} entries in the full set", entries.len()));
    }
    Ok(format!(
        "A full set: of {} entries by hand {by_hand_kept} stayed, of 1000 blocks {first_kept}, of 50 that \
         end later {second_kept}; {} reads and {} writes for 2 runs, {:.1} s, the sleep between them \
         included; told: {left}",
        by_hand.len(),
        calls.gets,
        calls.updates,
        took.as_secs_f64()
    ))
}

async fn compare(
    cloud: &Cloud,
    set: &Set,
    expected: BTreeSet<String>,
    wrong: &mut Vec<String>,
) -> Result<()> {
    let entries = cloud.entries(set).await?;
    wrong.extend(
        expected
            .difference(&entries)
            .map(|lost| format!("{lost} is lost")),
    );
    wrong.extend(
        entries
            .difference(&expected)
            .map(|odd| format!("{odd} is nobody's")),
    );
    Ok(())
}
