//! What is being prepared, and for how long.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};

/// Says on standard error what is being prepared and how long it took; steps too short to notice
/// pass in silence.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    steps: Arc<Mutex<Vec<Step>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    what: String,
    began: Instant,
}

/// A step of which nothing was said for so long is said to have begun.
const NOTICEABLE: Duration = Duration::from_secs(1);

/// How often the line of a terminal is drawn again.
const REDRAW: Duration = Duration::from_millis(250);

impl Progress {
    /// Runs `work` as a step named `what`.
    pub(crate) async fn step<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let step = Step {
            what: what.to_owned(),
            began: Instant::now(),
        };
        self.change(|steps| steps.push(step.clone()));
        let saying = if stderr().is_terminal() {
            self.draw()
        } else {
            announce(step.clone())
        };
        let result = work.await;
        saying.abort();
        let rest = self.change(|steps| steps.retain(|other| *other != step));
        let took = step.began.elapsed();
        if took >= NOTICEABLE {
            erase();
            say(&format!("{what}: {:.1} s\n", took.as_secs_f64()));
        }
        redraw(&rest);
        result
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Step>)) -> Vec<Step> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut steps);
        steps.clone()
    }

    fn draw(&self) -> JoinHandle<()> {
        let progress = self.clone();
        tokio::spawn(async move {
            loop {
                sleep(REDRAW).await;
                redraw(&progress.change(|_| ()));
            }
        })
    }
}

fn announce(step: Step) -> JoinHandle<()> {
    tokio::spawn(async move {
        sleep(NOTICEABLE).await;
        say(&format!("{} ...\n", step.what));
    })
}

fn redraw(steps: &[Step]) {
    if !stderr().is_terminal() {
        return;
    }
    let line = steps
        .iter()
        .map(|step| format!("{} ({} s)", step.what, step.began.elapsed().as_secs()))
        .collect::<Vec<_>>()
        .join(", ");
    erase();
    say(&line);
}

fn erase() {
    if stderr().is_terminal() {
        say("\r\x1b[K");
    }
}

/// Progress that cannot be shown is no reason to stop.
fn say(text: &str) {
    let mut stderr = stderr().lock();
    stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush())
        .ok();
}
