//! Ten thousand sign-ins through triage's judgement and the tally, 64 at a time.
//!
//! Most are people, who are wrong once or twice and then right. Among them one account is tried from
//! hundreds of addresses, one network tries hundreds of accounts, users are tried who do not exist, and
//! one account is broken into. Every tenth event is delivered twice, and all of them in no order. Each is
//! judged as `assess-event` does and counted by `tally-sign-ins` in the DynamoDB of a local AWS.
//!
//! What the ledger holds afterwards is compared with a plain count of the events, and every attack must
//! have been answered once. Printed are the events that were counted in a second, which measures the
//! local AWS more than anything, the capacity that AWS would have charged for these very calls, and what
//! a million of these sign-ins would cost, beside a Standard execution for each.
//!
//! The exit code is 1 when a count is wrong, and 2 when nothing could be counted.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line prints.

mod aws;
mod crowd;
mod meter;
mod price;
mod verdicts;

use std::{cell::RefCell, error::Error, fs, path::Path, process::ExitCode, rc::Rc, time::Instant};

use incident::Settings;
use judgement::{Facts, Verdict, Watch, judge};
use serde_json::{Value, json};
use tally_sign_ins::TallySignIns;

use crowd::Crowd;
use meter::Meter;
use verdicts::Verdicts;

/// How many events are counted at once.
const AT_ONCE: usize = 64;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    tests::bench::run(measure())
}

/// Counts them all, prints the figures, and answers what is wrong.
async fn measure() -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let template = fs::read_to_string(root.join("infra/template.yaml"))?;
    let template = tests::template::Template::read(&template)?;
    let memory = &template.0["Globals"]["Function"]["MemorySize"];
    let memory = memory.as_f64().ok_or("the functions have no MemorySize")?;
    eprintln!("Starting the local AWS ...");
    let meter = Meter::default();
    let aws = aws::start(&meter).await?;
    let crowd = Crowd::gather();
    eprintln!("Counting {} deliveries ...", crowd.deliveries.len());
    let started = Instant::now();
    let verdicts = count(&aws, &crowd).await?;
    let took = started.elapsed();
    let used = meter.used();
    let mut wrong = crowd.compare(&aws.series().await?);
    wrong.extend(verdicts.compare());
    println!("{}", verdicts.line());
    let deliveries = crowd.deliveries.len();
    for line in price::table(deliveries, took, &used, memory) {
        println!("{line}");
    }
    Ok(wrong)
}

async fn count(aws: &aws::Aws, crowd: &Crowd) -> Result<Verdicts> {
    let settings = Settings::new(|name| crowd::setting(name).map(str::to_owned));
    let watch = Rc::new(Watch::from_settings(&settings)?);
    let tally = TallySignIns::counting_in(aws.ledger(), aws.config(), &settings)?;
    let tally = Rc::new(tally);
    let left = Rc::new(RefCell::new(crowd.deliveries.clone().into_iter()));
    let verdicts = Rc::new(RefCell::new(Verdicts::default()));
    let mut workers = Vec::new();
    for _ in 0..AT_ONCE {
        let (watch, tally) = (Rc::clone(&watch), Rc::clone(&tally));
        let (left, verdicts) = (Rc::clone(&left), Rc::clone(&verdicts));
        workers.push(tokio::task::spawn_local(async move {
            loop {
                let next = left.borrow_mut().next();
                let Some(event) = next else {
                    return Ok::<_, String>(());
                };
                let verdict = Box::pin(answer(&watch, &tally, &event)).await?;
                verdicts.borrow_mut().add(&event, &verdict);
            }
        }));
    }
    for worker in workers {
        worker.await??;
    }
    let verdicts = Rc::try_unwrap(verdicts).map_err(|_| "somebody is still counting")?;
    Ok(verdicts.into_inner())
}

/// What triage makes of an event: `assess-event`, and the tally where that says so.
async fn answer(
    watch: &Watch,
    tally: &TallySignIns,
    event: &Value,
) -> std::result::Result<Value, String> {
    match judge(event, watch, &Facts::default(), crowd::now()) {
        Verdict::Count { sign_in, .. } => {
            let payload = json!({ "signIn": sign_in });
            let verdict = worker::answer(tally, &payload).await;
            verdict.map_err(|failure| failure.to_string())
        }
        other => serde_json::to_value(other).map_err(|error| error.to_string()),
    }
}
