//! The reference CRM and Tourniquet itself on the local AWS: the shipped templates and state
//! machines as they are, deployed with the same `sam deploy` as for AWS.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use aws_sdk_cloudformation::Client;
use serde::Deserialize;
use tokio::process::Command;

use super::{
    emulator::away_from_aws,
    error::{Context, Error, Result},
    places::{Places, last_lines, logged},
    python::Environment,
};

/// The name that Tourniquet is deployed under.
pub(crate) const STACK: &str = "tourniquet";

/// The names and values of a template's parameters.
pub(crate) type Parameters = BTreeMap<String, String>;

/// The same of a deployed stack's outputs.
pub(crate) type Outputs = BTreeMap<String, String>;

/// One worker, as Cargo built it.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    program: PathBuf,
}

/// What Cargo says of each artifact; other messages lack the fields.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds every worker, with the features that the drill itself was built with.
pub(crate) async fn build_workers(places: &Places) -> Result<Vec<Worker>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let log = places.log("cargo");
    let file = fs::File::create(&log).context(format!("writing {}", log.display()))?;
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        if is_of_one_crate(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    let output = command
        .args(["build", "--workspace", "--bins"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(&places.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .kill_on_drop(true)
        .spawn()
        .context("running cargo")?
        .wait_with_output()
        .await
        .context("running cargo")?;
    if !output.status.success() {
        return Err(Error::new(format!(
            "the workers do not build:\n{}",
            last_lines(&log, 60)
        )));
    }
    let workers = places.root.join("workers");
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| artifact.manifest_path.starts_with(&workers))
        .filter_map(|artifact| {
            Some(Worker {
                name: artifact.target.name,
                program: artifact.executable?,
            })
        })
        .collect())
}

/// Whether `cargo run` and `cargo test` set this for the one crate they run. A build script that
/// watches it would run again, and all that depends on it would be built again.
fn is_of_one_crate(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || [
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "CARGO_TARGET_TMPDIR",
        ]
        .contains(&name)
}

/// Lays out what `sam deploy` reads, and answers where the template is.
///
/// A package holds not the worker but two lines that run it where Cargo put it: the same program,
/// without compressing hundreds of megabytes before every drill.
pub(crate) fn lay_out(places: &Places, workers: &[Worker]) -> Result<PathBuf> {
    let stage = places.range.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).context(format!("clearing {}", stage.display()))?;
    }
    for folder in ["infra", "state-machines"] {
        copy_files(&places.root.join(folder), &stage.join(folder))?;
    }
    for worker in workers {
        let folder = stage.join("target/lambda").join(&worker.name);
        let bootstrap = folder.join("bootstrap");
        let program = worker.program.to_string_lossy().replace('\'', r"'\''");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&bootstrap, format!("#!/bin/sh\nexec '{program}'\n")))
            .and_then(|()| fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)))
            .context(format!("writing {}", bootstrap.display()))?;
    }
    Ok(stage.join("infra/template.yaml"))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).context(format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).context(format!("reading {}", from.display()))? {
        let entry = entry.context(format!("reading {}", from.display()))?;
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))
                .context(format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Runs `sam deploy`, with the parameters in a file as for AWS: quotes do not survive `sam`'s own
/// reading of its command line.
pub(crate) async fn deploy(
    sam: &Environment,
    endpoint: &str,
    stack: &str,
    template: &Path,
    parameters: &Parameters,
    places: &Places,
) -> Result<()> {
    let file = format!("{stack}-parameters.yaml");
    let json = serde_json::to_string(parameters).context("writing parameters")?;
    fs::write(places.range.join(&file), json).context(format!("writing {file}"))?;
    let mut command = Command::new(sam.program("sam"));
    away_from_aws(command.as_std_mut(), endpoint);
    command
        .arg("deploy")
        .arg("--template-file")
        .arg(template)
        .args(["--stack-name", stack, "--resolve-s3"])
        .args(["--capabilities", "CAPABILITY_NAMED_IAM"])
        .args(["--no-confirm-changeset", "--parameter-overrides"])
        .arg(format!("file://{file}"))
        .current_dir(&places.range)
        .env("SAM_CLI_TELEMETRY", "0")
        .env("__SAM_CLI_APP_DIR", places.range.join("sam-settings"))
        // AWS takes minutes to create a stack; the emulator takes a second.
        .env("SAM_CLI_POLL_DELAY", "0.2");
    logged(command, &places.log(&format!("sam-deploy-{stack}"))).await
}

/// What the deployed stack answers, by the names of its outputs.
pub(crate) async fn outputs(cloudformation: &Client, stack: &str) -> Result<Outputs> {
    let answer = cloudformation
        .describe_stacks()
        .stack_name(stack)
        .send()
        .await
        .context("cloudformation:DescribeStacks")?;
    let found = answer.stacks().first();
    let stack = found.context(format!("the stack {stack} is not there"))?;
    Ok(stack
        .outputs()
        .iter()
        .filter_map(|output| {
            Some((
                output.output_key()?.to_owned(),
                output.output_value()?.to_owned(),
            ))
        })
        .collect())
}
