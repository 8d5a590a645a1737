//! What counting costs, beside a Standard execution for each event.

use std::time::Duration;

use crate::meter::Used;

/// Dollars in us-east-1 as of 2026-11-25, without any free tier. Only the transitions of a Standard
/// workflow are from a page that was read that day; the others were not checked, so look them up before
/// you rely on them. Lambda is that of arm64.
mod dollars {
    pub(super) const WRITE_UNIT: f64 = 0.625e-6;
    pub(super) const READ_UNIT: f64 = 0.125e-6;
    pub(super) const INVOCATION: f64 = 0.20e-6;
    pub(super) const LAMBDA_GB_SECOND: f64 = 0.000_013_333_4;
    pub(super) const EXPRESS: f64 = 1.0e-6;
    pub(super) const EXPRESS_GB_SECOND: f64 = 0.000_016_67;
    pub(super) const TRANSITION: f64 = 0.000_025;
}

/// How long each function is assumed to take on AWS, in seconds: `cargo budgets` measures less of their
/// own, and a call of DynamoDB takes some milliseconds, of which the tally waits for two or three.
const ASSESS: f64 = 0.005;
const TALLY: f64 = 0.025;

/// An Express execution is charged in steps of 100 ms of 64 MB.
const EXPRESS_GB_SECONDS: f64 = 0.1 * 0.0625;

/// Assess event, Verdict?, Tally sign-ins, Threshold crossed?, Counted.
const TRANSITIONS: f64 = 5.0;

/// The figures of `deliveries` that took so long and used so much, with functions of `memory` MB.
pub(crate) fn table(deliveries: usize, took: Duration, used: &Used, memory: f64) -> Vec<String> {
    let count = f64::from(u32::try_from(deliveries).unwrap_or(u32::MAX));
    let each = |used: u32| f64::from(used) / count;
    let (writes, reads) = (each(used.write_units), each(used.read_units));
    let dynamodb = writes * dollars::WRITE_UNIT + reads * dollars::READ_UNIT;
    let functions = 2.0 * dollars::INVOCATION;
    let compute = (ASSESS + TALLY) * memory / 1_024.0 * dollars::LAMBDA_GB_SECOND;
    let express = dollars::EXPRESS + EXPRESS_GB_SECONDS * dollars::EXPRESS_GB_SECOND;
    let all = dynamodb + functions + compute + express;
    let standard = TRANSITIONS * dollars::TRANSITION;
    let million = |dollars: f64| dollars * 1e6;
    let line = |what: &str, figure: f64, unit: &str| format!("{what:<44}{figure:>10.2} {unit}");
    vec![
        line("on the local AWS", count / took.as_secs_f64(), "events/s"),
        line("DynamoDB calls", each(used.calls), "per event"),
        line("write request units", writes, "per event"),
        line("read request units", reads, "per event"),
        String::new(),
        "dollars for a million sign-ins like these".to_owned(),
        line("DynamoDB, on demand", million(dynamodb), ""),
        line("Lambda, two invocations", million(functions), ""),
        line("Lambda, their time (assumed)", million(compute), ""),
        line(
            "Step Functions, one Express execution",
            million(express),
            "",
        ),
        line("together", million(all), ""),
        line(
            "Step Functions, a Standard execution instead",
            million(all - express + standard),
            "",
        ),
        line(
            "which is dearer by a factor of",
            (all - express + standard) / all,
            "",
        ),
    ]
}
