//! The figures beside the budgets.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use crate::Figures;

/// What a worker may cost: binary and peak memory in MiB, the median start in milliseconds.
const BINARY: f64 = 12.0;
const PEAK: f64 = 16.0;
const FIRST: f64 = 20.0;

/// What one event may cost triage, in milliseconds of CPU; the other workers' is only shown.
const TRIAGE: f64 = 1.0;

/// A figure, and what it may be at most.
#[derive(Clone, Copy)]
struct Figure {
    value: Option<f64>,
    budget: Option<f64>,
}

/// Binary, peak memory, median start, CPU; Python has no budgets.
fn figures(of: &Figures) -> [Figure; 4] {
    let figure = |value, budget, counts: bool| Figure {
        value,
        budget: counts.then_some(budget),
    };
    let is_worker = of.binary.is_some();
    let median = of.first.get(of.first.len() / 2).copied();
    [
        figure(of.binary.map(mebibytes), BINARY, is_worker),
        figure(of.peak.map(mebibytes), PEAK, is_worker),
        figure(median.map(milliseconds), FIRST, is_worker),
        figure(
            of.cpu.map(milliseconds),
            TRIAGE,
            of.name.starts_with("assess-event"),
        ),
    ]
}

pub(crate) fn keeps_budgets(of: &Figures) -> bool {
    !figures(of).into_iter().any(Figure::is_over)
}

/// The table, a line for each of `all`.
pub(crate) fn of(all: &[Figures]) -> Vec<String> {
    let most = [BINARY, PEAK, FIRST, TRIAGE].map(Figure::plain);
    let mut lines = vec![
        line([
            &"",
            &"binary",
            &"peak",
            &"first answer",
            &"worst",
            &"CPU/event",
            &"AWS calls",
        ]),
        line([&"", &"MiB ", &"MiB ", &"ms ", &"ms ", &"ms ", &""]),
        line([&"at most", &most[0], &most[1], &most[2], &"", &most[3], &""]),
    ];
    lines.extend(all.iter().map(|of| {
        let [binary, peak, first, cpu] = &figures(of);
        let worst = Figure::plain(of.first.last().copied().map_or(f64::NAN, milliseconds));
        line([&of.name, binary, peak, first, &worst, cpu, &of.calls])
    }));
    lines
}

fn line([name, binary, peak, first, worst, cpu, calls]: [&dyn Display; 7]) -> String {
    format!("{name:<26}{binary:>8} {peak:>8} {first:>13} {worst:>8} {cpu:>10} {calls:>10}")
}

impl Figure {
    fn plain(value: f64) -> Self {
        Self {
            value: Some(value),
            budget: None,
        }
    }

    fn is_over(self) -> bool {
        let both = self.value.zip(self.budget);
        both.is_some_and(|(value, budget)| value > budget)
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // With or without a mark, the digits stay in line.
        let mark = if self.is_over() { '!' } else { ' ' };
        match self.value {
            Some(value) => f.pad(&format!("{value:.2}{mark}")),
            None => f.pad("- "),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[allow(clippy::cast_precision_loss)] // No program and no memory has that many bytes.
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
