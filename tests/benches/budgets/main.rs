//! What every worker costs, beside what it may cost and what Python would.
//!
//! Builds the workers as they are shipped, but for this machine, and starts each as Lambda would:
//! with the template's settings, a Runtime API, and an AWS on loopback in which nothing is there.
//! The Python function makes one call with boto3. Of many starts the median counts; the worst beside
//! it tells how quiet the machine was. Memory and CPU are read from `/proc`, and left out where there
//! is none.
//!
//! A figure over its budget is marked with `!`. The exit code is 1 when there is one, and 2 when
//! something could not be measured.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line prints.

mod cases;
mod http;
mod lambda;
mod process;
mod table;

use std::{env, error::Error, path::Path, process::ExitCode, time::Duration};

use cases::Case;
use lambda::Lambda;

/// How often a process is started.
const STARTS: usize = 31;

/// How many events a process answers before its CPU is counted, and while it is. The kernel counts
/// in hundredths of a second, which over this many events is 0.01 ms.
const WARM_UP: usize = 100;
const WARM: u32 = 1_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What one function costs.
struct Figures {
    name: String,
    /// In bytes; none for a function that is no binary.
    binary: Option<u64>,
    /// The most memory that one of its processes held, in bytes.
    peak: Option<u64>,
    /// From each start to the first response, in order of length.
    first: Vec<Duration>,
    /// Of one event, in a process that has answered others.
    cpu: Option<Duration>,
    /// How often the first response called AWS.
    calls: usize,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, and asks for no figures.
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match measure_all() {
        Ok(all) => {
            for line in table::of(&all) {
                println!("{line}");
            }
            ExitCode::from(u8::from(!all.iter().all(table::keeps_budgets)))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn measure_all() -> Result<Vec<Figures>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cases = cases::of_template(&root)?;
    eprintln!("Building the workers as they are shipped ...");
    let workers = process::build_workers(&root)?;
    let lambda = Lambda::start()?;
    let mut all = Vec::new();
    for case in &cases {
        let worker = workers.iter().find(|worker| worker.ends_with(&case.worker));
        let worker = worker.ok_or_else(|| format!("there is no worker {}", case.worker))?;
        let mut figures = measure(&lambda, case, worker, &[])?;
        figures.binary = Some(worker.metadata()?.len());
        all.push(figures);
    }
    match process::python_with_boto3() {
        Some(python) => {
            let function = ["benches/budgets/boto3_function.py"];
            all.push(measure(&lambda, &Case::boto3(), &python, &function)?);
        }
        None => eprintln!("No Python with boto3 here: `cargo drill` makes one when it first runs."),
    }
    Ok(all)
}

fn measure(lambda: &Lambda, case: &Case, program: &Path, arguments: &[&str]) -> Result<Figures> {
    eprintln!("Measuring {} ...", case.name);
    let told = |error| format!("{}: {error}", case.name);
    let start = || lambda.start_function(program, arguments, &case.settings);
    let (mut first, mut calls, mut peak) = (Vec::new(), 0, None);
    for _ in 0..STARTS {
        let calls_before = lambda.aws_calls();
        let function = start()?;
        first.push(function.answer(&case.payload).map_err(told)? - function.started());
        calls = lambda.aws_calls() - calls_before;
        peak = peak.max(process::peak_memory(function.id()));
    }
    first.sort();
    let function = start()?;
    for _ in 0..WARM_UP {
        function.answer(&case.payload).map_err(told)?;
    }
    let before = process::cpu(function.id());
    for _ in 0..WARM {
        function.answer(&case.payload).map_err(told)?;
    }
    let after = process::cpu(function.id());
    Ok(Figures {
        name: case.name.clone(),
        binary: None,
        peak: peak.max(process::peak_memory(function.id())),
        first,
        cpu: after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before) / WARM),
        calls,
    })
}
