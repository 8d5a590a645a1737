//! The account of a drill: plain text in four parts, attack, seen, done and proof.

use std::{fmt::Display, io::Write};

use jiff::{SignedDuration, Timestamp};

use super::Drill;
use crate::range::{Delivery, Error, Moment, Result, Run, TaskFailure};

/// Where the text begins, and where it is broken.
const INDENT: usize = 18;
const WIDTH: usize = 100;

/// Writes the account as the drill goes on. Times are seconds since the drill began.
pub(crate) struct Report<'a> {
    out: &'a mut dyn Write,
    began: Timestamp,
    part: &'static str,
}

impl<'a> Report<'a> {
    /// Begins with the drill's name.
    pub(super) fn begin(drill: &Drill, out: &'a mut dyn Write) -> Self {
        let mut report = Self {
            out,
            began: Timestamp::now(),
            part: "",
        };
        report.write(&format!("{}: {}\n", drill.name, drill.what));
        report
    }

    /// Ends with PASS, or FAIL and the reason.
    pub(super) fn end(&mut self, result: &Result<()>) {
        let now = Timestamp::now();
        match result {
            Ok(()) => self.line("PASS", Some(now), ""),
            Err(error) => self.line("FAIL", Some(now), &error.to_string()),
        }
        self.write("\n");
    }

    /// Something the attacker does.
    pub(crate) fn attack(&mut self, what: impl Display) {
        self.line("attack", Some(Timestamp::now()), &what.to_string());
    }

    /// A rule that matched or was due, and what its target made of it.
    pub(crate) fn seen(&mut self, delivery: &Delivery) {
        let Some(first) = delivery.triage.moments.first() else {
            return self.line("seen", None, &format!("rule {}: no answer", delivery.rule));
        };
        let said = match &first.answer {
            Ok(answer) if answer["verdict"].is_string() => {
                let text = |field: &str| answer[field].as_str().unwrap_or("no answer");
                format!("{}, {}", text("verdict"), text("reason"))
            }
            _ => told(first),
        };
        self.line(
            "seen",
            Some(first.at),
            &format!("rule {}: {said}", delivery.rule),
        );
    }

    /// What a runbook did.
    pub(crate) fn done(&mut self, run: &Run) {
        for moment in &run.moments {
            self.line("done", Some(moment.at), &told(moment));
        }
        let end = if run.cause.is_empty() {
            format!("{} ended {}", run.machine, run.status)
        } else {
            format!("{} ended {}: {}", run.machine, run.status, run.cause)
        };
        self.line("done", None, &end);
    }

    /// Something that was measured, whatever it should be.
    pub(crate) fn figure(&mut self, what: impl Display) {
        self.line("figure", None, &what.to_string());
    }

    /// Claims something; the drill fails when it does not hold.
    pub(crate) fn proves(&mut self, claim: impl Display, holds: bool) -> Result<()> {
        if holds {
            self.line("proof", None, &claim.to_string());
            Ok(())
        } else {
            Err(Error::new(format!("this does not hold: {claim}")))
        }
    }

    /// Claims that nothing changed; the drill fails with what did.
    pub(crate) fn proves_unchanged(&mut self, claim: &str, changes: &[String]) -> Result<()> {
        if changes.is_empty() {
            return self.proves(claim, true);
        }
        Err(Error::new(format!(
            "this does not hold: {claim}: {}",
            changes.join("; ")
        )))
    }

    fn line(&mut self, part: &'static str, at: Option<Timestamp>, text: &str) {
        let heading = if part == self.part { "" } else { part };
        self.part = part;
        let time = at.map_or_else(String::new, |at| seconds(at.duration_since(self.began)));
        let mut lines = wrap(text, WIDTH - INDENT).into_iter();
        let first = lines.next().unwrap_or_default();
        let line = format!("  {heading:<6} {time:>7}  {first}");
        self.write(&format!("{}\n", line.trim_end()));
        for line in lines {
            self.write(&format!("{:INDENT$}{line}\n", ""));
        }
    }

    /// An account that cannot be written is no reason to stop.
    fn write(&mut self, text: &str) {
        self.out.write_all(text.as_bytes()).ok();
    }
}

fn seconds(duration: SignedDuration) -> String {
    format!("{:.1} s", duration.as_secs_f64().max(0.0))
}

fn told(moment: &Moment) -> String {
    let said = match &moment.answer {
        Ok(answer) => answer["summary"].as_str().unwrap_or("done").to_owned(),
        Err(TaskFailure { error, cause }) => format!("failed: {error}: {cause}"),
    };
    format!("{}: {said}", moment.state)
}

/// Breaks `text` between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrap("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrap("abcdef g", 4), ["abcdef", "g"]);
        assert!(wrap("", 4).is_empty());
    }
}
