//! The processes that are measured: their programs, and what the kernel knows of them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::Result;

/// One tick of `/proc`'s clock, on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// Builds every worker with the features that it is shipped with, and answers where they are.
pub(crate) fn build_workers(root: &Path) -> Result<Vec<PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--workspace",
            "--exclude",
            "tests",
            "--bins",
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the workers do not build".into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let executable = |line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    };
    Ok(messages.lines().filter_map(executable).collect())
}

/// The interpreter of the drills' environments, or the system's, if it has boto3.
pub(crate) fn python_with_boto3() -> Option<PathBuf> {
    let range = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../range");
    let places = ["ministack", "sam"].map(|name| range.join(name).join("bin/python"));
    let interpreter = |python: PathBuf| {
        let output = Command::new(python)
            .args(["-c", "import boto3, sys; print(sys.executable)"])
            .output()
            .ok()?;
        let path = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| path.trim().into())
    };
    places
        .into_iter()
        .chain(["python3".into()])
        .find_map(interpreter)
}

/// The most memory that a process held so far, in bytes.
pub(crate) fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The CPU time that a process took so far, the kernel's work for it included.
pub(crate) fn cpu(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in parentheses and may hold anything; utime and stime are the 12th and
    // 13th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    Some(TICK * (fields.next()?.ok()? + fields.next()?.ok()?))
}
