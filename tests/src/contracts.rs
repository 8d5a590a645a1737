//! What holds of every runbook, checked on the files as they ship.
//!
//! Each contract is a function that returns its violations in words; none means that it holds.
//! `tests/contracts.rs` asserts that, and plants mistakes to see that each contract notices.

mod deployed;
mod drawing;
mod expressions;
mod front_door;
mod infrastructure;
mod inputs;
mod limits;
mod payloads;
mod shape;
mod view;
mod watch;
mod wiring;

pub use view::view;

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use schemars::{Schema, generate::SchemaSettings};
use serde::Deserialize;
use serde_json::Value;
use worker::Worker;

use crate::{asl::Flow, diagram::Diagram, template::Template};

/// The `Resource` of a Task that calls a worker.
pub(crate) const INVOKE: &str = "arn:aws:states:::lambda:invoke";

/// The `Resource` of a Task that starts another machine.
pub(crate) const START: &str = "arn:aws:states:::states:startExecution";

/// The files that the contracts hold together, as they are; tests plant their mistakes here.
#[derive(Debug, Clone)]
pub struct Sources {
    /// `state-machines/<runbook>.asl.json`.
    pub machines: BTreeMap<String, Value>,
    /// `state-machines/<runbook>.input.json`.
    pub inputs: BTreeMap<String, Value>,
    /// `diagrams/<runbook>.mmd`.
    pub diagrams: BTreeMap<String, String>,
    /// `infra/template.yaml`.
    pub template: Template,
    /// `infra/crm.yaml`.
    pub crm: Template,
    /// `workers/<worker>/src/main.rs`.
    pub mains: BTreeMap<String, String>,
    /// The rules that are compiled into the workers.
    pub detection: Value,
}

/// The files, read and joined.
#[derive(Debug)]
pub struct Project {
    /// The machines with their diagrams and inputs.
    pub runbooks: Vec<Runbook>,
    /// The template.
    pub template: Template,
    /// The reference CRM.
    pub crm: Template,
    /// What each worker takes and answers.
    pub workers: BTreeMap<&'static str, Schemas>,
    /// The entry point of each worker.
    pub mains: BTreeMap<String, String>,
    /// The rules that are compiled into the workers.
    pub detection: Value,
}

/// One machine, and what belongs to it.
#[derive(Debug)]
pub struct Runbook {
    /// `cloudtrail-disabled`.
    pub name: String,
    /// The machine.
    pub flow: Flow,
    /// The machine's file.
    pub source: Value,
    /// Its picture.
    pub diagram: Diagram,
    /// A realistic input.
    pub input: Value,
}

/// What a worker takes and answers.
#[derive(Debug)]
pub struct Schemas {
    /// Its payload.
    pub payload: Schema,
    /// Its answer.
    pub answer: Schema,
}

/// A file that cannot be read as what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct Unreadable {
    file: String,
    why: String,
}

/// Something that must hold.
#[derive(Debug, Clone, Copy)]
pub struct Contract {
    /// What holds.
    pub promise: &'static str,
    check: Check,
}

#[derive(Debug, Clone, Copy)]
enum Check {
    Runbook(fn(&Runbook, &Project) -> Vec<String>),
    Project(fn(&Project) -> Vec<String>),
}

/// Every contract.
pub const CONTRACTS: [Contract; 27] = [
    of_runbook("payloads fit their workers", payloads::fit),
    of_runbook(
        "answers have what is read of them",
        payloads::answers_have_what_is_read,
    ),
    of_runbook("matched errors exist", limits::errors_exist),
    of_runbook(
        "everything is bounded, retried and caught",
        limits::are_kept,
    ),
    of_runbook(
        "the template fills what the machine asks for",
        wiring::substitutions_match,
    ),
    of_runbook(
        "roles allow what is called, and no more",
        wiring::permissions,
    ),
    of_runbook("conditions are boolean", expressions::conditions),
    of_runbook(
        "variables are set before they are read",
        expressions::variables,
    ),
    of_runbook(
        "no variable hides a function",
        expressions::hidden_functions,
    ),
    of_runbook("no raw event is kept", expressions::raw_events),
    of_runbook("the diagram is the machine", drawing::equal),
    of_runbook("states are named and joined well", shape::is_sound),
    of_runbook("the example input is one", inputs::are_real),
    of_project("every worker is used and deployed", wiring::workers),
    of_project(
        "the responder knows its own roles",
        infrastructure::responder_roles,
    ),
    of_project(
        "rules trust AWS alone and lose nothing",
        infrastructure::rules,
    ),
    of_project("what is restored is what is deployed", deployed::rules),
    of_project("names say what is whose", deployed::names),
    of_project("AWS's limits are kept", deployed::limits),
    of_project(
        "parameters are described, and what must be chosen is",
        infrastructure::parameters,
    ),
    of_project("roles are narrow", infrastructure::roles),
    of_project("logs end and hold no data", infrastructure::logs),
    of_project("the ledger can be relied on", infrastructure::ledger),
    of_project("what stops or is lost wakes somebody", watch::alarms),
    of_project("everything is traced", watch::traces),
    of_project(
        "the firewall stands before both doors",
        front_door::is_guarded,
    ),
    of_project(
        "the reference CRM speaks of what we take",
        front_door::is_known,
    ),
];

const fn of_runbook(
    promise: &'static str,
    check: fn(&Runbook, &Project) -> Vec<String>,
) -> Contract {
    Contract {
        promise,
        check: Check::Runbook(check),
    }
}

const fn of_project(promise: &'static str, check: fn(&Project) -> Vec<String>) -> Contract {
    Contract {
        promise,
        check: Check::Project(check),
    }
}

impl Contract {
    /// What violates it, in words; a runbook's violations start with its name.
    #[must_use]
    pub fn violations(&self, project: &Project) -> Vec<String> {
        match self.check {
            Check::Project(check) => check(project),
            Check::Runbook(check) => project
                .runbooks
                .iter()
                .flat_map(|runbook| {
                    check(runbook, project)
                        .into_iter()
                        .map(|violation| format!("{}: {violation}", runbook.name))
                })
                .collect(),
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.promise)
    }
}

impl Sources {
    /// Reads the files of the repository at `root`.
    ///
    /// # Errors
    /// Names the file that is missing or is no JSON or YAML.
    pub fn read(root: &Path) -> Result<Self, Unreadable> {
        let template = |file: &str| {
            let read = Template::read(&text(&root.join(file))?);
            read.map_err(|why| unreadable(file, why))
        };
        let mut mains = BTreeMap::new();
        for name in names(&root.join("workers"), "")? {
            let main = root.join("workers").join(&name).join("src/main.rs");
            if main.exists() {
                mains.insert(name, text(&main)?);
            }
        }
        Ok(Self {
            machines: json(&root.join("state-machines"), ".asl.json")?,
            inputs: json(&root.join("state-machines"), ".input.json")?,
            diagrams: texts(&root.join("diagrams"), ".mmd")?,
            template: template("infra/template.yaml")?,
            crm: template("infra/crm.yaml")?,
            mains,
            detection: serde_json::from_str(detection::DEPLOYED)
                .map_err(|why| unreadable("workers/detection/src/rules.json", why))?,
        })
    }
}

impl Project {
    /// Reads machines and diagrams, and joins each with what belongs to it.
    ///
    /// # Errors
    /// Names the file that does not read as what it should be, or that lacks its counterpart.
    pub fn read(sources: &Sources) -> Result<Self, Unreadable> {
        let orphans = sources.diagrams.keys().chain(sources.inputs.keys());
        for name in orphans {
            if !sources.machines.contains_key(name) {
                return Err(unreadable(name, "there is no such machine"));
            }
        }
        let runbooks = sources.machines.iter().map(|(name, machine)| {
            let diagram = sources
                .diagrams
                .get(name)
                .ok_or_else(|| unreadable(name, "there is no diagram"))?;
            Ok(Runbook {
                name: name.clone(),
                flow: Flow::deserialize(machine).map_err(|why| unreadable(name, why))?,
                source: machine.clone(),
                diagram: Diagram::read(diagram)
                    .map_err(|why| unreadable(&format!("{name}.mmd"), why))?,
                input: sources
                    .inputs
                    .get(name)
                    .ok_or_else(|| unreadable(name, "there is no example input"))?
                    .clone(),
            })
        });
        Ok(Self {
            runbooks: runbooks.collect::<Result<_, _>>()?,
            template: sources.template.clone(),
            crm: sources.crm.clone(),
            workers: workers(),
            mains: sources.mains.clone(),
            detection: sources.detection.clone(),
        })
    }
}

fn workers() -> BTreeMap<&'static str, Schemas> {
    BTreeMap::from([
        ("assess-event", schemas_of::<assess_event::AssessEvent>()),
        ("block-ip", schemas_of::<block_ip::BlockIp>()),
        ("check-trails", schemas_of::<check_trails::CheckTrails>()),
        (
            "close-incident",
            schemas_of::<close_incident::CloseIncident>(),
        ),
        (
            "deny-all-policy",
            schemas_of::<deny_all_policy::DenyAllPolicy>(),
        ),
        (
            "disable-crm-user",
            schemas_of::<disable_crm_user::DisableCrmUser>(),
        ),
        ("find-activity", schemas_of::<find_activity::FindActivity>()),
        (
            "find-offenders",
            schemas_of::<find_offenders::FindOffenders>(),
        ),
        ("find-readers", schemas_of::<find_readers::FindReaders>()),
        ("find-sessions", schemas_of::<find_sessions::FindSessions>()),
        ("notify", schemas_of::<notify::Notify>()),
        ("open-incident", schemas_of::<open_incident::OpenIncident>()),
        ("purge-cache", schemas_of::<purge_cache::PurgeCache>()),
        (
            "quarantine-object",
            schemas_of::<quarantine_object::QuarantineObject>(),
        ),
        (
            "record-baseline",
            schemas_of::<record_baseline::RecordBaseline>(),
        ),
        (
            "restore-cloudtrail",
            schemas_of::<restore_cloudtrail::RestoreCloudTrail>(),
        ),
        (
            "restore-detection",
            schemas_of::<restore_detection::RestoreDetection>(),
        ),
        (
            "restore-log-archive",
            schemas_of::<restore_log_archive::RestoreLogArchive>(),
        ),
        (
            "revoke-sessions",
            schemas_of::<revoke_sessions::RevokeSessions>(),
        ),
        (
            "roll-back-grant",
            schemas_of::<roll_back_grant::RollBackGrant>(),
        ),
        ("sweep-blocks", schemas_of::<sweep_blocks::SweepBlocks>()),
        (
            "tally-sign-ins",
            schemas_of::<tally_sign_ins::TallySignIns>(),
        ),
        (
            "verify-containment",
            schemas_of::<verify_containment::VerifyContainment>(),
        ),
    ])
}

fn schemas_of<W: Worker>() -> Schemas {
    Schemas {
        payload: schemars::schema_for!(W::Input),
        answer: SchemaSettings::default()
            .for_serialize()
            .into_generator()
            .into_root_schema_for::<W::Output>(),
    }
}

/// `DenyAllPolicy` names what `deny-all-policy` is.
pub(crate) fn kebab(pascal: &str) -> String {
    let mut kebab = String::new();
    for (n, c) in pascal.char_indices() {
        if c.is_ascii_uppercase() && n > 0 {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

fn json(folder: &Path, suffix: &str) -> Result<BTreeMap<String, Value>, Unreadable> {
    let parse = |(name, text): (String, String)| {
        let value = serde_json::from_str(&text)
            .map_err(|why| unreadable(&format!("{name}{suffix}"), why))?;
        Ok((name, value))
    };
    texts(folder, suffix)?.into_iter().map(parse).collect()
}

fn texts(folder: &Path, suffix: &str) -> Result<BTreeMap<String, String>, Unreadable> {
    let read = |name: String| {
        let text = text(&folder.join(format!("{name}{suffix}")))?;
        Ok((name, text))
    };
    names(folder, suffix)?.into_iter().map(read).collect()
}

fn names(folder: &Path, suffix: &str) -> Result<Vec<String>, Unreadable> {
    let list = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(suffix).map(str::to_owned));
        }
        Ok(names)
    };
    list().map_err(|why| unreadable(&folder.display().to_string(), why))
}

fn text(file: &Path) -> Result<String, Unreadable> {
    fs::read_to_string(file).map_err(|why| unreadable(&file.display().to_string(), why))
}

fn unreadable(file: &str, why: impl fmt::Display) -> Unreadable {
    Unreadable {
        file: file.to_owned(),
        why: why.to_string(),
    }
}
