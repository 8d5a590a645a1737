//! What is watched, and what may be done about it.

use detection::Rule;
use incident::{Arn, BadSetting, Mode, Principal, RoleArn, Settings, Tiers, TrailArn};
use log_archive::Names;

use crate::{FrontDoor, Patients, SignIns, Site, privilege};

/// What is watched, and what may be done about it.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Who may be contained.
    pub tiers: Tiers,
    /// Whether incidents run dry.
    pub mode: Mode,
    /// The trail; none is watched when none is given.
    pub trail: Option<TrailArn>,
    /// Where its log files are kept.
    pub archive: Names,
    /// The site; none is watched when none is given.
    pub site: Option<Site>,
    /// The patients' table; none is watched when none is given.
    pub patients: Option<Patients>,
    /// The sign-in of the CRM; none is watched when none is given.
    pub sign_ins: Option<SignIns>,
    /// The firewall of the API and of the sign-in.
    pub front_door: FrontDoor,
    /// Who may give privileges: administrators of IAM, and CI/CD.
    pub givers: Vec<Principal>,
    /// The responder itself.
    pub ours: Ours,
}

impl Watch {
    /// Reads `MODE`, `TRAIL_ARN`, `IAM_ADMIN_ARNS`, `CI_ROLE_ARNS`, and what [`Tiers`], [`Names`],
    /// [`Site`], [`Patients`], [`SignIns`], [`FrontDoor`] and [`Ours`] read.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        Ok(Self {
            tiers: Tiers::from_settings(settings)?,
            mode: settings.required("MODE")?,
            trail: settings.optional("TRAIL_ARN")?,
            archive: Names::from_settings(settings)?,
            site: Site::from_settings(settings)?,
            patients: Patients::from_settings(settings)?,
            sign_ins: SignIns::from_settings(settings)?,
            front_door: FrontDoor::from_settings(settings)?,
            givers: privilege::givers(settings)?,
            ours: Ours::from_settings(settings)?,
        })
    }
}

/// The responder's own resources, by exact name: a look-alike is somebody else's.
#[derive(Debug, Clone)]
pub struct Ours {
    /// The stack.
    pub stack: String,
    /// The rules that watch, as they were deployed.
    pub rules: Vec<Rule>,
    /// The roles of workers, machines and rules.
    pub roles: Vec<RoleArn>,
    /// The ledger's table.
    pub table: Option<String>,
    /// The topic that people listen to.
    pub topic: Option<Arn>,
    /// The queue of undelivered events.
    pub queue: Option<Arn>,
    /// Who may change all of it, through CloudFormation.
    pub deployers: Vec<RoleArn>,
}

impl Ours {
    /// Reads `STACK_NAME`, `DEPLOY_ROLE_ARNS`, what [`detection::rules`] and
    /// [`incident::responder_roles`] read and, where they are given, `LEDGER_TABLE` and `TOPIC_ARN`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        Ok(Self {
            stack: settings.required("STACK_NAME")?,
            rules: detection::rules(settings)?,
            roles: incident::responder_roles(settings)?,
            table: settings.optional("LEDGER_TABLE")?,
            topic: settings.optional("TOPIC_ARN")?,
            queue: settings.optional("UNDELIVERED_EVENTS_ARN")?,
            deployers: settings.list("DEPLOY_ROLE_ARNS")?,
        })
    }

    /// A worker's function has its role's name.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        !name.starts_with(&self.machine_role("")) && self.has_role(name)
    }

    /// A machine's role has its name with `machine-` after the stack's.
    pub(crate) fn has_machine(&self, name: &str) -> bool {
        self.own(name)
            .is_some_and(|machine| self.has_role(&self.machine_role(machine)))
    }

    /// The name of something of ours without the stack's.
    pub(crate) fn own<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.stack.as_str())?.strip_prefix('-')
    }

    fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.name() == name)
    }

    fn machine_role(&self, machine: &str) -> String {
        format!("{}-machine-{machine}", self.stack)
    }
}
