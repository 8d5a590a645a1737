//! What the benchmarks that prove something have in common.

#![allow(clippy::print_stderr)] // A command line prints.

use std::{env, fmt::Display, io, process::ExitCode};

use tokio::task::LocalSet;

/// Runs a benchmark on one thread, and tells what it found wrong. The exit code is 1 when there is
/// anything, and 2 when nothing could be measured.
///
/// `cargo test --all-targets` runs benchmarks too, and asks for no figures: then nothing is done.
pub fn run<E>(measure: impl Future<Output = Result<Vec<String>, E>>) -> ExitCode
where
    E: Display + From<io::Error>,
{
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let wrong = runtime
        .map_err(Into::into)
        .and_then(|runtime| LocalSet::new().block_on(&runtime, measure));
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
