//! The local range: an AWS of our own on 127.0.0.1, with Tourniquet deployed into it as it is
//! deployed into the real one. Attackers attack it through the real APIs with their own
//! credentials, which IAM evaluates there, so that what a runbook denies is really refused.

mod account;
mod archive;
mod attacker;
mod attacks;
mod calls;
mod clients;
mod crm;
mod delivery;
mod emulator;
mod error;
mod event;
mod firewall;
mod lag;
mod ledger;
mod messages;
mod nurse;
mod places;
mod progress;
mod python;
mod rules;
mod run;
mod snapshot;
mod stack;

pub(crate) use attacker::Attacker;
pub(crate) use calls::Calls;
pub(crate) use crm::{DECOY, ODD_PAGE, PAGE, PATIENT, SITE};
pub(crate) use delivery::Delivery;
pub(crate) use error::Context;
pub use error::{Error, Result};
pub(crate) use event::Event;
pub(crate) use lag::REFUSALS;
pub(crate) use messages::Message;
pub(crate) use nurse::{Nurse, SignIn, Tokens};
pub use progress::Progress;
pub(crate) use rules::Watcher;
pub(crate) use run::{Moment, Run, TaskFailure};
pub(crate) use snapshot::Snapshot;
pub(crate) use stack::STACK;

use std::{collections::HashMap, fs, path::Path, time::Duration};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_iam::types::Role;
use serde_json::json;
use tokio::try_join;

use account::DeployedTrail;
use archive::Archive;
use clients::Clients;
use emulator::Emulator;
use lag::Lag;
use places::Places;
use python::{Environment, Interpreter};
use stack::{Outputs, Parameters};

use crate::template::Template;

/// The emulator's account, region, and root's key, which is its secret too.
pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const REGION: &str = "us-east-1";
const ROOT_KEY: &str = "test";

/// The trail that is watched.
pub(crate) const TRAIL_ARN: &str = "arn:aws:cloudtrail:us-east-1:000000000000:trail/clinic";

/// Where its files go.
pub(crate) const LOG_BUCKET: &str = "clinic-trailbucket-552017c2f1d64";

/// The policy that is attached to whoever is contained.
pub(crate) const DENY_POLICY_ARN: &str = "arn:aws:iam::000000000000:policy/DenyAll";

/// A policy that allows everything.
pub(crate) const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// The rights of every attacker.
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// Every drill brings its own attackers within the same hour.
const MAX_PRINCIPALS_PER_HOUR: usize = 100;

/// The user of last resort.
pub(crate) const GLASS: &str = "glass";

/// The roles of operators, of the CRM, and of its deployment, which many use at once. They have no
/// path, because the emulator leaves it out of the ARN that a policy's `Resource` is compared with.
pub(crate) const OPERATOR: &str = "operator";
pub(crate) const WORKLOAD: &str = "crm";
pub(crate) const SHARED: &str = "deploy";

/// Waits take a fiftieth of what they say: in the emulator, IAM's changes bite at once.
const USUAL_SCALE: f64 = 0.02;

/// A local AWS with the CRM and Tourniquet deployed into it; it ends when this is dropped.
#[derive(Debug)]
pub struct Range {
    emulator: Emulator,
    /// Between the attackers and the emulator.
    lag: Lag,
    config: SdkConfig,
    pub(crate) aws: Clients,
    crm: Outputs,
    outputs: Outputs,
    queue: String,
    /// The trail's key, by its ARN.
    pub(crate) key: String,
    deployed_trail: DeployedTrail,
    deployed_archive: Archive,
    /// The rules as they were deployed.
    deployed: Vec<Watcher>,
    /// The ledger's items of what was recorded after the deployment.
    recorded: Vec<HashMap<String, AttributeValue>>,
}

/// What Tourniquet is deployed into: a local AWS, and the CRM in it.
struct Ground {
    sam: Environment,
    emulator: Emulator,
    config: SdkConfig,
    aws: Clients,
    crm: Outputs,
}

impl Ground {
    async fn lay(python: &Interpreter, places: &Places, progress: &Progress) -> Result<Self> {
        let (ministack, sam) = try_join!(
            Environment::prepare("ministack", python, places, progress),
            Environment::prepare("sam", python, places, progress),
        )?;
        let starting = Emulator::start(&ministack, places);
        let emulator = progress.step("Starting the local AWS", starting).await?;
        let config = clients::config(&emulator.endpoint());
        let mut ground = Self {
            aws: Clients::new(&config),
            sam,
            emulator,
            config,
            crm: Outputs::new(),
        };
        let (template, parameters) = (places.root.join("infra/crm.yaml"), crm::parameters());
        let deploying = ground.deploy(crm::CRM, &template, &parameters, places);
        let both = async { try_join!(deploying, account::furnish(&ground.aws)) };
        (ground.crm, ()) = progress.step("Deploying the CRM", Box::pin(both)).await?;
        crm::furnish(&ground.aws, &ground.crm).await?;
        archive::furnish(&ground.aws).await?;
        Ok(ground)
    }

    /// Deploys a stack, and answers its outputs.
    async fn deploy(
        &self,
        stack: &str,
        template: &Path,
        parameters: &Parameters,
        places: &Places,
    ) -> Result<Outputs> {
        let endpoint = self.emulator.endpoint();
        stack::deploy(&self.sam, &endpoint, stack, template, parameters, places).await?;
        stack::outputs(&self.aws.cloudformation, stack).await
    }
}

impl Range {
    /// What in it is not as `sam deploy` makes it from the shipped templates on AWS, in lines.
    pub const STAND_INS: &str = account::STAND_INS;

    /// Prepares what is needed, starts the local AWS and deploys the CRM and Tourniquet into it.
    ///
    /// # Errors
    /// Says what is missing or what failed, and where its log is.
    pub async fn start(progress: &Progress) -> Result<Self> {
        let places = Places::find()?;
        let lock = places.lock(progress).await?;
        let python = Interpreter::find().await?;
        let (workers, ground) = try_join!(
            progress.step("Building the workers", stack::build_workers(&places)),
            Box::pin(Ground::lay(&python, &places, progress)),
        )?;
        let template = stack::lay_out(&places, &workers)?;
        let text = fs::read_to_string(&template);
        let text = text.context(format!("reading {}", template.display()))?;
        let parameters = account::parameters(&Template::read(&text)?, &ground.crm);
        let deploying = ground.deploy(STACK, &template, &parameters, &places);
        let outputs = progress.step("Deploying Tourniquet", deploying).await?;
        drop(lock);
        let key = ground.crm.get("TrailKeyArn").cloned();
        let key = key.context("the CRM's stack has no output TrailKeyArn")?;
        let mut range = Self {
            deployed_trail: DeployedTrail::read(&ground.aws).await?,
            deployed_archive: Archive::read(&ground.aws, &key).await?,
            lag: Lag::before(ground.emulator.port()).await?,
            emulator: ground.emulator,
            config: ground.config,
            aws: ground.aws,
            crm: ground.crm,
            outputs,
            queue: String::new(),
            key,
            deployed: Vec::new(),
            recorded: Vec::new(),
        };
        range.queue = messages::listen(&range.aws, range.output("TopicArn")?).await?;
        range.attacker_user(GLASS).await?;
        range.scale_waits(USUAL_SCALE)?;
        range.record_baseline().await?;
        range.recorded = range.baseline().await?;
        range.deployed = range.watchers().await?;
        Ok(range)
    }

    /// What the operator does once after a deployment.
    async fn record_baseline(&self) -> Result<()> {
        let machine = self.output("RecordBaselineArn")?;
        let input = json!({"reason": "first deployment", "dryRun": false});
        let run = self.run(machine, &input).await?;
        if run.succeeded() {
            return Ok(());
        }
        let why = run.failures("Record baseline").last();
        Err(Error::new(format!(
            "no baseline of the trail was recorded: {}",
            why.map_or(&run.cause, |why| &why.cause)
        )))
    }

    /// The variables by which the `aws` command line finds this AWS, as root.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.emulator.endpoint()),
            ("AWS_ACCESS_KEY_ID", ROOT_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", ROOT_KEY.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ]
    }

    /// The log of the local AWS.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.emulator.log()
    }

    /// What the CRM's stack answers under `name`.
    pub(crate) fn crm(&self, name: &str) -> Result<&str> {
        self.crm
            .get(name)
            .map(String::as_str)
            .context(format!("the CRM's stack has no output {name}"))
    }

    /// What the deployed template answers under `name`.
    pub(crate) fn output(&self, name: &str) -> Result<&str> {
        self.outputs
            .get(name)
            .map(String::as_str)
            .context(format!("the deployed stack has no output {name}"))
    }

    /// The state machines that answer incidents.
    fn runbooks(&self) -> impl Iterator<Item = &str> {
        [
            "CloudtrailDisabledArn",
            "SiteVandalismArn",
            "HoneyTokenArn",
            "PatientDataAccessArn",
            "PrivilegeEscalationArn",
            "CredentialAttackArn",
            "ApiAttackArn",
        ]
        .iter()
        .filter_map(|name| self.outputs.get(*name).map(String::as_str))
    }

    /// Makes Wait states take `scale` times what they say, until the next drill.
    pub(crate) fn scale_waits(&self, scale: f64) -> Result<()> {
        self.emulator.scale_waits(scale)
    }

    /// Lets IAM go on for so long as it decided before, for attackers, until the next drill.
    pub(crate) fn let_iam_lag(&self, lag: Duration) {
        self.lag.set(lag);
    }

    /// Makes the range as it was before any drill: all that watches whole, nobody told anything.
    pub(crate) async fn tidy(&self) -> Result<()> {
        self.scale_waits(USUAL_SCALE)?;
        self.let_iam_lag(Duration::ZERO);
        self.reset_archive().await?;
        self.reset_trail().await?;
        self.reset_rules().await?;
        self.reset_baseline().await?;
        self.messages().await?;
        Ok(())
    }

    async fn role(&self, path: &str) -> Result<Role> {
        account::role(&self.aws, path).await
    }

    /// AWS as attackers reach it.
    fn clients(&self, credentials: Credentials) -> Clients {
        let config = self.config.to_builder().endpoint_url(self.lag.endpoint());
        Clients::with(credentials, &config.build())
    }
}
