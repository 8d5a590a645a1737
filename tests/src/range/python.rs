//! The pinned Python environments of the local AWS and of the tool that deploys to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use super::{
    error::{Context, Error, Result},
    places::{Places, logged},
    progress::Progress,
};

/// A virtual environment that holds exactly what its requirements pin.
#[derive(Debug)]
pub(crate) struct Environment {
    folder: PathBuf,
}

/// The interpreter that makes the environments.
#[derive(Debug)]
pub(crate) struct Interpreter {
    program: &'static str,
    version: String,
}

/// What it may be called; where `python3` is old, a newer one may be installed beside it.
const CANDIDATES: [&str; 7] = [
    "python3",
    "python",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
];

impl Interpreter {
    /// Looks for Python 3.10 or later.
    pub(crate) async fn find() -> Result<Self> {
        let mut older = Vec::new();
        for program in CANDIDATES {
            let asked = Command::new(program)
                .args(["-c", "import sys; print(*sys.version_info[:3], sep='.')"])
                .stdin(Stdio::null())
                .output()
                .await;
            let Ok(output) = asked else { continue };
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if is_new_enough(&version) {
                return Ok(Self { program, version });
            }
            if !version.is_empty() {
                older.push(format!("{program} is {version}"));
            }
        }
        let found = if older.is_empty() {
            "there is none".to_owned()
        } else {
            older.join(", ")
        };
        Err(Error::new(format!(
            "the local AWS needs Python 3.10 or later on the PATH ({found}): install it, for \
             example with `apt install python3 python3-venv` or `brew install python`"
        )))
    }

    async fn can_make_environments(&self) -> Result<()> {
        let output = Command::new(self.program)
            .args(["-c", "import venv, ensurepip"])
            .stdin(Stdio::null())
            .output()
            .await
            .context(format!("running {}", self.program))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::new(format!(
            "{} cannot make virtual environments: install its venv module, for example with `apt \
             install python3-venv`",
            self.program
        )))
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    matches!((parts.next(), parts.next()), (Some(Ok(3)), Some(Ok(10..))))
}

impl Environment {
    /// The environment of `infra/local/<name>.txt`, made anew when the requirements or the
    /// interpreter changed.
    pub(crate) async fn prepare(
        name: &str,
        python: &Interpreter,
        places: &Places,
        progress: &Progress,
    ) -> Result<Self> {
        let requirements = places.root.join(format!("infra/local/{name}.txt"));
        let pins = fs::read_to_string(&requirements)
            .context(format!("reading {}", requirements.display()))?;
        let folder = places.range.join(name);
        let mark = format!("# Python {}\n{pins}", python.version);
        let marker = folder.join("made-of");
        let environment = Self { folder };
        if fs::read_to_string(&marker).is_ok_and(|made_of| made_of == mark) {
            return Ok(environment);
        }
        progress
            .step(
                &format!("Installing {name} (only this once)"),
                environment.make(python, &requirements, &places.log(&format!("{name}.pip"))),
            )
            .await?;
        fs::write(&marker, mark).context(format!("writing {}", marker.display()))?;
        Ok(environment)
    }

    async fn make(&self, python: &Interpreter, requirements: &Path, log: &Path) -> Result<()> {
        python.can_make_environments().await?;
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)
                .context(format!("removing {}", self.folder.display()))?;
        }
        let mut venv = Command::new(python.program);
        venv.args(["-m", "venv"]).arg(&self.folder);
        logged(venv, log).await?;
        let mut pip = Command::new(self.program("python"));
        pip.args(["-m", "pip", "install", "--no-input"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(requirements);
        logged(pip, log).await
    }

    /// A program of the environment.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_new_enough_from_3_10_on() {
        for (version, enough) in [
            ("3.10.0", true),
            ("3.14.2", true),
            ("3.9.18", false),
            ("2.7.18", false),
            ("4.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }
}
