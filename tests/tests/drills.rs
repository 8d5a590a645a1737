//! Every drill as a test, one after another on one local AWS.

#![allow(clippy::print_stderr)] // A test target without harness reports by itself.

use std::{
    io::{Write, stdout},
    process::ExitCode,
    sync::Arc,
};

use libtest_mimic::{Arguments, Failed, Trial};
use tests::{
    drills::{DRILLS, Drill},
    range::{Progress, Range, Result},
};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let runs = DRILLS.iter().any(|drill| is_wanted(&arguments, drill));
    let ground = if runs { start().map(Some) } else { Ok(None) };
    match ground {
        Ok(ground) => {
            let trial = |drill| trial(drill, ground.clone(), arguments.nocapture);
            libtest_mimic::run(&arguments, DRILLS.iter().map(trial).collect()).exit_code()
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(101)
        }
    }
}

/// Where the drills are run.
type Ground = Arc<(Runtime, Range)>;

fn start() -> Result<Ground> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let range = runtime.block_on(Range::start(&Progress::default()))?;
    Ok(Arc::new((runtime, range)))
}

fn name(drill: &Drill) -> String {
    format!("drill::{}", drill.name)
}

/// Whether libtest would run it: nobody waits for a local AWS who asks for another test.
fn is_wanted(arguments: &Arguments, drill: &Drill) -> bool {
    let name = name(drill);
    let fits = |filter: &String| {
        if arguments.exact {
            name == *filter
        } else {
            name.contains(filter.as_str())
        }
    };
    !(arguments.list || arguments.ignored || arguments.bench)
        && arguments.filter.as_ref().is_none_or(fits)
        && !arguments.skip.iter().any(fits)
}

fn trial(drill: &'static Drill, ground: Option<Ground>, shown: bool) -> Trial {
    Trial::test(name(drill), move || {
        let ground = ground.ok_or("the local AWS was not started")?;
        let (runtime, range) = &*ground;
        if shown {
            let mut account = stdout();
            writeln!(account)?;
            return Ok(runtime.block_on(drill.perform(range, &mut account))?);
        }
        let mut account = Vec::new();
        runtime
            .block_on(drill.perform(range, &mut account))
            .map_err(|_| {
                let account = String::from_utf8_lossy(&account);
                let log = range.log().display();
                Failed::from(format!("{account}The log of the local AWS: {log}"))
            })
    })
}
