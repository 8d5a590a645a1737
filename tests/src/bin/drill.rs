//! `cargo drill`: attacks a local AWS, and shows how the runbooks answer.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line prints.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    io::{ErrorKind, stderr, stdout},
    process::ExitCode,
};

use tests::{
    drills::{DRILLS, Drill, LONG_DRILLS},
    judge,
    range::{Progress, Range, Result},
};

const USAGE: &str = "\
Attacks a local AWS, and shows how the runbooks answer.

Usage: cargo drill [OPTIONS] [NAME]...
       cargo drill judge [OPTIONS] PATH...

Without a name, every drill is run, except `flood`, which takes minutes. `judge` starts nothing: it
says of events in files whether they would set off a runbook, and why (see `cargo drill judge
--help`).

Options:
  --keep    leave the local AWS up afterwards, until Ctrl-C
  --list    list the drills
  --help    print this";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Asked {
    names: BTreeSet<String>,
    keep: bool,
    list: bool,
    help: bool,
}

impl Asked {
    fn read(arguments: impl Iterator<Item = String>) -> std::result::Result<Self, String> {
        let mut asked = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--keep" => asked.keep = true,
                "--list" => asked.list = true,
                "--help" | "-h" => asked.help = true,
                name if every_drill().any(|drill| drill.name == name) => {
                    asked.names.insert(argument);
                }
                _ => {
                    let names: Vec<_> = every_drill().map(|drill| drill.name).collect();
                    return Err(format!(
                        "there is no drill and no option `{argument}`; the drills are:\n  {}",
                        names.join("\n  ")
                    ));
                }
            }
        }
        Ok(asked)
    }

    fn drills(&self) -> impl Iterator<Item = &'static Drill> {
        let long = LONG_DRILLS.iter().filter(|_| !self.names.is_empty());
        DRILLS
            .iter()
            .chain(long)
            .filter(|drill| self.names.is_empty() || self.names.contains(drill.name))
    }
}

fn every_drill() -> impl Iterator<Item = &'static Drill> {
    DRILLS.iter().chain(LONG_DRILLS)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == "judge").is_some() {
        return judge(arguments);
    }
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let asked = match Asked::read(arguments) {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if asked.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if asked.list {
        for drill in every_drill() {
            println!("{:<28} {}", drill.name, drill.what);
        }
        return ExitCode::SUCCESS;
    }
    match drill(&asked).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn judge(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match judge::run(arguments, &mut stdout().lock(), &mut stderr().lock()) {
        Ok(code) => ExitCode::from(code),
        // Whoever reads has read enough.
        Err(why) if why.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for, and answers how many drills failed.
async fn drill(asked: &Asked) -> Result<usize> {
    let range = Range::start(&Progress::default()).await?;
    println!("{}\n", Range::STAND_INS);
    let (mut passed, mut failed) = (0, 0);
    for drill in asked.drills() {
        match drill.perform(&range, &mut stdout()).await {
            Ok(()) => passed += 1,
            Err(_) => failed += 1,
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        println!(
            "The log of the local AWS: {}. With --keep it stays up to be looked at.",
            range.log().display()
        );
    }
    if asked.keep {
        keep(&range).await?;
    }
    Ok(failed)
}

/// Leaves the local AWS up, and says how to look at it.
async fn keep(range: &Range) -> Result<()> {
    println!("\nThe local AWS is up. To use the aws command line against it, as root:\n");
    println!("  unset AWS_PROFILE AWS_SESSION_TOKEN");
    for (name, value) in range.environment() {
        println!("  export {name}={value}");
    }
    println!("\nFor example:\n");
    println!("  aws stepfunctions list-state-machines");
    println!("  aws logs tail /aws/lambda/tourniquet-restore-cloudtrail");
    println!("\nPress Ctrl-C to stop it.");
    tokio::signal::ctrl_c().await?;
    println!();
    Ok(())
}
