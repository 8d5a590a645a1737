//! `cargo drill judge`: says of an event whether it would set off a runbook, and why.
//!
//! Plays the account's part with what ships: the deployed rules' patterns, then the judgement that
//! triage makes. No account is asked, so nothing recorded there is known.

mod config;
mod files;

use std::{
    borrow::Cow,
    ffi::OsString,
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use detection::Rule;
use find_offenders::{Classifier, Forwarded, Offenders};
use incident::{BadSetting, NeverBlock, Runbook, Settings};
use jiff::Timestamp;
use judgement::{Asked, Facts, Verdict, Watch};
use serde_json::Value;
use tally_sign_ins::Rehearsal;

pub use config::{BadConfig, Config};
use files::Contents;

use crate::{
    pattern::{BadPattern, Pattern},
    template::{Template, Unreadable},
};

/// What `cargo drill judge --help` prints.
pub const USAGE: &str = "\
Says of events whether they would set off a runbook, and why. No account is asked.

Usage: cargo drill judge [OPTIONS] PATH...

A PATH is a file or a folder, of which every *.json and *.ndjson is read, in folders within it too.
A file holds an EventBridge event, a CloudTrail record, a list of either, a CloudTrail log file, or
log records of WAF. A folder called set_... holds one attack, in the order of its files' names.

Prints one line for each event and for each set, separated by tabs:
  file       with #2 for the second event, when the file holds several
  runbook    the one that would start, or -
  verdict    respond, escalate, count (a sign-in: the tally decides), ignore; or none when no rule
             takes the event. A log record of WAF sets off nothing itself: respond means that
             whoever sent it would be held responsible
  reason

Options:
  --config FILE  what is protected, as JSON: the template's parameters by their names;
                 AWS::AccountId, AWS::Region, AWS::StackName, AWS::Partition; and what the stack
                 made, as far as it is known: ResponderRoleArns, LedgerTable, TopicArn,
                 UndeliveredEventsArn. Without it: tests/scenario.json of this workspace
  --help         print this

Exits with 0 when everything could be read, and with 2 otherwise.";

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenario.json");
const TEMPLATE: &str = include_str!("../../infra/template.yaml");

/// Judges events by what ships.
#[derive(Debug, Clone)]
pub struct Judge {
    rules: Vec<Pattern>,
    watch: Watch,
    firewall: Firewall,
    config: Config,
}

/// What is known of the firewall when one of its log records is judged.
#[derive(Debug, Clone)]
struct Firewall {
    classifier: Classifier,
    never: NeverBlock,
    /// How many requests that may be a mistake get a network blocked.
    minimum: u64,
}

/// What would be done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The runbook that would start.
    pub runbook: Option<Runbook>,
    /// `respond`, `escalate`, `count`, `ignore`; or `none` when no rule takes the event.
    pub verdict: &'static str,
    /// Why, in one line.
    pub reason: String,
}

/// Why nothing can be judged.
#[derive(Debug, thiserror::Error)]
pub enum CannotJudge {
    /// The config is not one.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The config lacks a setting, or has one that does not parse.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// A shipped rule's pattern is none.
    #[error("the rule {rule}: {why}")]
    Rule {
        /// The rule.
        rule: String,
        /// What is wrong with its pattern.
        why: BadPattern,
    },
    /// The shipped template is none.
    #[error("the template: {0}")]
    Template(#[from] Unreadable),
}

impl Judge {
    /// A judge of the system that `config` describes, in JSON.
    ///
    /// # Errors
    /// Names the key of the config that is unknown, missing or does not parse.
    pub fn of(config: &str) -> Result<Self, CannotJudge> {
        let config = Config::read(config, &Template::read(TEMPLATE)?)?;
        let rules = detection::rules(&config.settings())?;
        let rules = rules.into_iter().filter_map(read);
        let watch = Watch::from_settings(&config.settings())?;
        let firewall = Firewall::of(&config.settings())?;
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            watch,
            firewall,
            config,
        })
    }

    /// Judges one event, or one record of CloudTrail's as the event that EventBridge makes of it, or
    /// one log record of WAF's.
    #[must_use]
    pub fn judge(&self, event: &Value) -> Finding {
        if files::is_of_waf(event) {
            return match self.firewall.classifier.classify(event) {
                Ok(offence) => Finding::answered(
                    Runbook::ApiAttack,
                    &format!("{} is held responsible: {}", offence.network, offence.why),
                ),
                Err(spared) => Finding::new("ignore", &spared.to_string()),
            };
        }
        self.verdict(event).map_or_else(Finding::none, of_verdict)
    }

    /// Judges what belongs to one attack, as it happened: sign-ins are counted together, and so is
    /// what the firewall logged. The gravest of all is what comes of it.
    ///
    /// # Errors
    /// When the config lacks a setting of the tally, or has one that does not parse.
    pub fn judge_set(&self, events: &[Value]) -> Result<Finding, CannotJudge> {
        let tally = Rehearsal::from_settings(&self.config.settings())?;
        let mut offenders = Offenders::default();
        let mut findings = Vec::new();
        for event in events {
            if files::is_of_waf(event) {
                offenders.count(self.firewall.classifier.classify(event));
                continue;
            }
            let verdict = match self.verdict(event) {
                Ok(Verdict::Count { sign_in, .. }) => tally
                    .count(&sign_in, sign_in.occurred_at)
                    .map_err(|why| why.to_string()),
                other => other.map_err(str::to_owned),
            };
            findings.push(verdict.map_or_else(|why| Finding::none(&why), of_verdict));
        }
        if !offenders.is_empty() {
            findings.push(self.firewall.finding(&offenders));
        }
        // Of equally grave ones the first, which is what starts something.
        let gravest = findings.into_iter().rev().max_by_key(Finding::gravity);
        Ok(gravest.unwrap_or_else(|| Finding::none("holds no event")))
    }

    /// What triage makes of an event; or why it never sees it.
    fn verdict(&self, event: &Value) -> Result<Verdict, &'static str> {
        let event = files::envelope(event)?;
        if !self.rules.iter().any(|rule| rule.takes(&event)) {
            return Err("no rule matches");
        }
        // Judged as on that day, so that every day answers the same.
        let time = event["time"].as_str().and_then(|time| time.parse().ok());
        let now = time.unwrap_or_else(Timestamp::now);
        let facts = Facts::stated(&Asked::by(&event, &self.watch), &self.config.account);
        Ok(judgement::judge(&event, &self.watch, &facts, now))
    }

    /// Writes a line for each event of a file; content that holds none is a line too.
    fn report(&self, file: &Path, content: &[u8], out: &mut impl Write) -> io::Result<()> {
        let name = file.to_string_lossy();
        let name = one_line(&name);
        let events = match files::events(content) {
            Ok(events) => events,
            Err(why) => return writeln!(out, "{name}\t{}", Finding::none(&why)),
        };
        if let [event] = events.as_slice() {
            return writeln!(out, "{name}\t{}", self.judge(event));
        }
        for (event, number) in events.iter().zip(1..) {
            writeln!(out, "{name}#{number}\t{}", self.judge(event))?;
        }
        Ok(())
    }

    /// Writes the line of a set, of which each file is given.
    fn report_set(
        &self,
        folder: &Path,
        contents: &[Vec<u8>],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let events = contents.iter().map(|content| files::events(content));
        let events: Result<Vec<_>, _> = events.collect();
        let finding = match events.map(|events| self.judge_set(&events.concat())) {
            Ok(Ok(finding)) => finding,
            Ok(Err(why)) => Finding::none(&why.to_string()),
            Err(why) => Finding::none(&why),
        };
        let name = folder.to_string_lossy();
        writeln!(out, "{}\t{finding}", one_line(&name))
    }
}

impl Firewall {
    fn of<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let never = NeverBlock::from_settings(settings)?;
        Ok(Self {
            classifier: Classifier::new(never.clone(), Forwarded::from_settings(settings)?),
            never,
            minimum: settings.required("OFFENCE_REQUESTS")?,
        })
    }

    fn finding(&self, offenders: &Offenders) -> Finding {
        let networks = offenders.networks(&self.never, self.minimum);
        if networks.is_empty() {
            return Finding::new(
                "ignore",
                "nobody attacked so much that they would be blocked",
            );
        }
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        let reason = format!("to be blocked: {}", networks.join(", "));
        Finding::answered(Runbook::ApiAttack, &reason)
    }
}

fn of_verdict(verdict: Verdict) -> Finding {
    match verdict {
        Verdict::Respond {
            reason, incident, ..
        } => Finding::answered(incident.runbook, &reason),
        Verdict::Escalate { reason, .. } => Finding::new("escalate", &reason),
        Verdict::Count { reason, .. } => Finding::new("count", &reason),
        Verdict::Ignore { reason } => Finding::new("ignore", &reason),
    }
}

fn read(rule: Rule) -> Option<Result<Pattern, CannotJudge>> {
    let pattern = Pattern::read(&rule.pattern?);
    Some(pattern.map_err(|why| CannotJudge::Rule {
        rule: rule.name,
        why,
    }))
}

impl Finding {
    fn new(verdict: &'static str, reason: &str) -> Self {
        Self {
            runbook: None,
            verdict,
            reason: one_line(reason).into_owned(),
        }
    }

    fn none(reason: &str) -> Self {
        Self::new("none", reason)
    }

    fn answered(runbook: Runbook, reason: &str) -> Self {
        Self {
            runbook: Some(runbook),
            ..Self::new("respond", reason)
        }
    }

    fn gravity(&self) -> usize {
        let verdicts = ["none", "ignore", "count", "escalate", "respond"];
        verdicts
            .iter()
            .position(|it| *it == self.verdict)
            .unwrap_or_default()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.runbook {
            Some(runbook) => write!(f, "{runbook}")?,
            None => f.write_str("-")?,
        }
        write!(f, "\t{}\t{}", self.verdict, self.reason)
    }
}

/// Text of an attacker's may neither break a line nor steer a terminal.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.replace(char::is_control, " ").into()
    } else {
        text.into()
    }
}

/// Runs `cargo drill judge` with its arguments, and answers the exit code.
///
/// # Errors
/// When nothing can be written.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let mut config = PathBuf::from(SCENARIO);
    let mut paths = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => {
                writeln!(out, "{USAGE}")?;
                return Ok(0);
            }
            Some("--config") => match arguments.next() {
                Some(file) => config = file.into(),
                None => return refuse(errors, "--config needs a file"),
            },
            Some(option) if option.starts_with('-') => {
                return refuse(errors, &format!("there is no option `{option}`"));
            }
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    if paths.is_empty() {
        return refuse(errors, "which events? Give files or folders");
    }
    let judge = match fs::read_to_string(&config).map(|config| Judge::of(&config)) {
        Ok(Ok(judge)) => judge,
        Ok(Err(why)) => return refuse(errors, &format!("{}: {why}", config.display())),
        Err(why) => return refuse(errors, &format!("{}: {why}", config.display())),
    };
    let mut code = 0;
    for path in paths {
        files::each(&path, &mut |file, contents| match contents {
            Ok(Contents::File(content)) => judge.report(file, &content, out),
            Ok(Contents::Set(contents)) => judge.report_set(file, &contents, out),
            Err(why) => {
                code = refuse(errors, &format!("{}: {why}", file.display()))?;
                Ok(())
            }
        })?;
    }
    Ok(code)
}

fn refuse(errors: &mut impl Write, why: &str) -> io::Result<u8> {
    writeln!(errors, "{}", one_line(why))?;
    Ok(2)
}
