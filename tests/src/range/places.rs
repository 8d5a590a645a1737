//! Where things are.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::sleep};

use super::{
    error::{Context, Error, Result},
    progress::Progress,
};

/// Where the project is, and where the range keeps its own things.
#[derive(Debug)]
pub(crate) struct Places {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// `range/` in Cargo's target folder.
    pub(crate) range: PathBuf,
}

impl Places {
    /// Finds both, and makes the second.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the crate is in no workspace")?;
        let program = std::env::current_exe().context("finding this program")?;
        let target = program
            .ancestors()
            .find(|folder| folder.join("CACHEDIR.TAG").is_file())
            .context(format!("{} is not in a target folder", program.display()))?;
        let range = target.join("range");
        fs::create_dir_all(&range).context(format!("creating {}", range.display()))?;
        Ok(Self {
            root: root.to_owned(),
            range,
        })
    }

    /// Keeps other drills from preparing the same things, until it is dropped.
    pub(crate) async fn lock(&self, progress: &Progress) -> Result<File> {
        let path = self.range.join("lock");
        let file = File::create(&path).context(format!("writing {}", path.display()))?;
        let free = async {
            while file.try_lock().is_err() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        progress
            .step("Waiting for another drill to start", free)
            .await;
        Ok(file)
    }

    /// The file that `what` writes its output to.
    pub(crate) fn log(&self, what: &str) -> PathBuf {
        self.range.join(format!("{what}.log"))
    }
}

/// Runs `command` with its output in the file `log`; its end is shown when it fails.
pub(crate) async fn logged(mut command: Command, log: &Path) -> Result<()> {
    let named = command.as_std().get_program().display().to_string();
    let file = File::create(log).context(format!("writing {}", log.display()))?;
    let both = file.try_clone().context("sharing the log")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .kill_on_drop(true)
        .status()
        .await
        .context(format!("running {named}"))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{named} failed ({status}); the end of {}:\n{}",
        log.display(),
        last_lines(log, 20)
    )))
}

/// The last `count` lines of a log.
pub(crate) fn last_lines(log: &Path, count: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
