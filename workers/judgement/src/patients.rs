//! Calls on the patients' table.

use std::net::IpAddr;

use data_access::{Access, Aim as AimedAt, BadDecoys, Certainty, Decoys, Reach, Transfer};
use incident::{Actor, BadSetting, RoleArn, Runbook, Settings, Severity, Source, TableArn, Target};
use serde_json::{Value, json};

use crate::call::{Aim, Case, Denied, Effect, Response, Touched};

const THING: &str = "the patients table";

/// The patients' table, and who works with it.
#[derive(Debug, Clone)]
pub struct Patients {
    /// The table.
    pub table: TableArn,
    /// Its records that nobody has a reason to touch.
    pub decoys: Decoys,
    /// The CRM's own roles.
    pub crm: Vec<RoleArn>,
}

impl Patients {
    /// Reads `PATIENTS_TABLE_ARN`, `WORKLOAD_ROLE_ARNS`, and the decoys' keys: `DECOY_KEYS`, or else
    /// `DECOY_ATTRIBUTE` and `DECOY_VALUES`; none when no table is given.
    ///
    /// # Errors
    /// Names the setting that does not parse, and never quotes a decoy.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Option<Self>, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let Some(table) = settings.optional("PATIENTS_TABLE_ARN")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            table,
            decoys: match settings.optional("DECOY_KEYS")? {
                Some(decoys) => decoys,
                None => Self::decoys_by_value(settings)?,
            },
            crm: settings.list("WORKLOAD_ROLE_ARNS")?,
        }))
    }

    /// Decoys whose key is one attribute.
    fn decoys_by_value<F>(settings: &Settings<F>) -> Result<Decoys, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let values: Vec<String> = settings.list("DECOY_VALUES")?;
        if values.is_empty() {
            return Ok(Decoys::default());
        }
        let attribute: String = settings.required("DECOY_ATTRIBUTE")?;
        let keys: Value = values
            .iter()
            .map(|value| json!({&attribute: value}))
            .collect();
        let decoys = keys.to_string().parse();
        decoys.map_err(|why: BadDecoys| BadSetting::new("DECOY_VALUES", why.to_string()))
    }

    /// The CRM's role that a session is of.
    fn role_of(&self, actor: &Actor) -> Option<&RoleArn> {
        let Actor::Role { arn, .. } = actor else {
            return None;
        };
        self.crm.iter().find(|role| role.is_same(arn))
    }

    /// How certainly a decoy was read, or written by its key: whoever writes anything else may have
    /// missed it.
    fn decoy(&self, access: &Access) -> Option<(Certainty, &'static str)> {
        let read = self.decoys.read_by(access);
        let written = self.decoys.written_by(access);
        match (read, written) {
            (Certainty::Exactly, Certainty::Exactly) => Some((read, "read and written")),
            (_, Certainty::Exactly) => Some((written, "written")),
            (Certainty::Certainly | Certainty::Exactly, _) => Some((read, "read")),
            _ => None,
        }
    }
}

pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let table = &case.watch.patients.as_ref()?.table;
    let aim = match data_access::aim(case.record, table)? {
        AimedAt::Table => Aim::Watched,
        AimedAt::Elsewhere => Aim::Other,
        AimedAt::Unsaid => Aim::Unsaid(table.to_string(), ":table/"),
    };
    Some(Touched {
        denied: Denied::EscalatesUnlessExplicit,
        despite_error: case.call.error.is_some()
            && data_access::access(case.record, table).is_some(),
        ..Touched::new(THING, aim, effect)
    })
}

fn effect(case: &Case<'_>) -> Effect {
    let patients = case.watch.patients.as_ref();
    let access = patients.and_then(|patients| data_access::access(case.record, &patients.table));
    let (Some(patients), Some(access)) = (patients, access) else {
        return Effect::Harmless(format!("nothing in {THING} was touched"));
    };
    let by = &case.call.actor;
    if case.watch.tiers.is_responder(by) {
        return Effect::Harmless(format!("{THING} was {access} by the responder itself"));
    }
    if let Some(role) = patients.role_of(by) {
        return by_crm(case, patients, role, &access);
    }
    excuse(case, patients, &access).unwrap_or_else(|| answer(case, patients, &access))
}

/// The CRM may touch everything but a decoy, which none of its users asks for.
fn by_crm(case: &Case<'_>, patients: &Patients, role: &RoleArn, access: &Access) -> Effect {
    if let Some((Certainty::Exactly, _)) = patients.decoy(access) {
        return answer(case, patients, access);
    }
    let is_its_work = match access {
        Access::Items(_) | Access::Stream | Access::Transfer(Transfer::Backup) => true,
        Access::Transfer(_) | Access::Share(_) | Access::Deletion => false,
    };
    match borrowed(case, role) {
        _ if case.call.error.is_some() => Effect::Harmless(format!(
            "{THING} was {access} by the CRM for a condition that was not met"
        )),
        _ if !is_its_work => Effect::Unclear(format!(
            "{THING} was {access} by a role of the CRM, which no application does"
        )),
        Some(how) => Effect::Unclear(format!(
            "{THING} was {access} by a role of the CRM, but {how}: somebody may have borrowed or \
             stolen it"
        )),
        None => Effect::Harmless(format!("{THING} was {access} by the CRM")),
    }
}

/// How a call by a role of the CRM is not how the CRM calls.
fn borrowed(case: &Case<'_>, role: &RoleArn) -> Option<&'static str> {
    let record = case.record;
    let identity = &record["userIdentity"];
    let Actor::Role { arn, session } = &case.call.actor else {
        return None;
    };
    // A session's ARN leaves the path out.
    if arn.path() != "/" && arn.path() != role.path() {
        return Some("under another path than is configured");
    }
    if identity["sessionContext"]["sourceIdentity"].is_string() {
        return Some("in a session that a person began");
    }
    if record["sessionCredentialFromConsole"] == "true" {
        return Some("from the console");
    }
    // Lambda names a session after its function.
    let scope = &identity["inScopeOf"];
    let function = scope["credentialsIssuedTo"]
        .as_str()
        .filter(|_| scope["issuerType"] == "AWS::Lambda::Function")
        .and_then(|arn| arn.split(':').nth(6));
    if let (Some(function), Some(session)) = (function, session)
        && session.name.as_str() != function
    {
        return Some("for another function than the session is named after");
    }
    let by_hand = record["userAgent"].as_str().is_some_and(is_by_hand);
    (by_hand && is_outside(case)).then_some("from outside, with a tool that people use")
}

fn is_by_hand(agent: &str) -> bool {
    let agent = agent.trim_start_matches('[');
    ["aws-cli/", "AWSPowerShell", "Mozilla/", "console."]
        .iter()
        .any(|tool| agent.starts_with(tool))
}

/// Whether a call came over the Internet.
fn is_outside(case: &Case<'_>) -> bool {
    let address = match case.call.source_address {
        Some(Source::Address(address)) => address,
        Some(Source::Service(_)) | None => return false,
    };
    let is_private = match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    };
    !is_private && case.record["vpcEndpointId"].is_null()
}

/// Why what somebody else did is nothing to answer, or for a human to decide.
fn excuse(case: &Case<'_>, patients: &Patients, access: &Access) -> Option<Effect> {
    let (call, watch) = (case.call, case.watch);
    let through = |service| call.invoked_by.as_deref() == Some(service);
    let is_aws = match &call.actor {
        Actor::AwsService { .. } => true,
        // Only AWS can make, and be, a role under this path.
        Actor::Role { arn, .. } => arn.path().starts_with("/aws-service-role/"),
        _ => false,
    };
    let harmless = |whose| Some(Effect::Harmless(format!("{THING} was {access} by {whose}")));
    let unclear = |why| Some(Effect::Unclear(format!("{THING} was {access}{why}")));
    let backup = "backup.amazonaws.com";
    match access {
        Access::Items(_) | Access::Stream if is_aws => {
            harmless("a service of AWS, for what somebody set up")
        }
        Access::Transfer(Transfer::Backup) if is_aws || through(backup) => harmless("AWS Backup"),
        Access::Items(_) if patients.decoy(access).is_some() => None,
        Access::Items(items) if items.probes() && is_from_console(case) => {
            unclear(" by its first record, as the console does whenever somebody opens the table")
        }
        Access::Items(items) if items.counts() && !items.writes() => {
            unclear(", and no record was shown")
        }
        Access::Items(_) | Access::Stream => None,
        Access::Transfer(_) | Access::Share(_) | Access::Deletion => {
            let deployers = &watch.ours.deployers;
            if through("cloudformation.amazonaws.com") {
                if deployers.is_empty() {
                    return unclear(
                        " through CloudFormation; whether that was a deployment of yours is not \
                         known, since no deploy role is configured",
                    );
                }
                let deploys =
                    matches!(&call.actor, Actor::Role { arn, .. } if deployers.contains(arn));
                if deploys {
                    return harmless("a deployment");
                }
            }
            if is_aws || through(backup) {
                return unclear(" by a service of AWS; who asked it to is not known");
            }
            if watch.tiers.is_operator(&call.actor) {
                return unclear(" by an operator");
            }
            match access {
                Access::Share(Reach::Inside | Reach::Unsaid) => {
                    unclear("; whether they may read patients' data is for a human to say")
                }
                _ => None,
            }
        }
    }
}

fn is_from_console(case: &Case<'_>) -> bool {
    case.record["sessionCredentialFromConsole"] == "true"
}

fn answer(case: &Case<'_>, patients: &Patients, access: &Access) -> Effect {
    let was = format!("{THING} was {access}");
    let honey_token = |what| Response::new(Runbook::HoneyToken, Severity::Critical, what);
    let access_by_others = |severity| Response::new(Runbook::PatientDataAccess, severity, &*was);
    let response = match (access, patients.decoy(access)) {
        (Access::Items(_), Some((_, what))) => {
            honey_token(format!("a decoy record of {THING} was {what}"))
        }
        (Access::Items(items), None) if items.drains() => honey_token(was),
        (Access::Items(items), None) if items.writes() => access_by_others(Severity::Critical),
        (Access::Items(_), None) => access_by_others(Severity::High),
        (Access::Deletion, _) => access_by_others(Severity::Critical),
        (Access::Stream | Access::Transfer(_) | Access::Share(_), _) => honey_token(was),
    };
    let remedies = remedies(case, patients, access);
    Response {
        target: Some(Target::Table {
            arn: patients.table.clone(),
        }),
        remedy: (!remedies.is_empty()).then(|| remedies.join("; ")),
        // Whoever is contained reads no more; every copy is one more to find.
        hourly: matches!(access, Access::Items(_) | Access::Stream),
        ..response
    }
    .into()
}

/// How a human mends what containment does not.
fn remedies(case: &Case<'_>, patients: &Patients, access: &Access) -> Vec<String> {
    let table = patients.table.name();
    let arn = &patients.table;
    let given = |parameter| case.given(parameter).unwrap_or("<the one the event names>");
    let at = case.call.occurred_at;
    let mut remedies = Vec::new();
    if matches!(case.call.actor, Actor::OtherAccount { .. }) {
        remedies.push(format!(
            "shut the other account out of the table: aws dynamodb get-resource-policy \
             --resource-arn {arn}, then put-resource-policy without it, or delete-resource-policy"
        ));
    }
    match access {
        Access::Items(items) if items.writes() => remedies.push(format!(
            "compare what was written with what was there, and put it right: aws dynamodb \
             restore-table-to-point-in-time --source-table-name {table} --target-table-name \
             {table}-before --restore-date-time <a moment before {at}>; the events of this actor \
             from then on name the records"
        )),
        Access::Items(_) | Access::Stream => {}
        Access::Transfer(Transfer::Export) => remedies.push(format!(
            "an export cannot be stopped: if the bucket is yours, delete what is in it (aws s3 rm \
             --recursive s3://{}/<prefix>/AWSDynamoDB/<export>); if not, every record is disclosed",
            given("s3Bucket")
        )),
        Access::Transfer(Transfer::Backup) => {
            let made = &case.record["responseElements"]["backupDetails"]["backupArn"];
            remedies.push(format!(
                "aws dynamodb delete-backup --backup-arn {}",
                made.as_str().unwrap_or("<the one the event names>")
            ));
        }
        Access::Transfer(Transfer::Restore) => remedies.push(format!(
            "find who read the copy, then: aws dynamodb delete-table --table-name {}",
            given("targetTableName")
        )),
        Access::Transfer(Transfer::Replica) => remedies.push(format!(
            "aws dynamodb update-table --table-name {table} --replica-updates \
             '[{{\"Delete\":{{\"RegionName\":\"<the region the event names>\"}}}}]'"
        )),
        Access::Transfer(Transfer::Kinesis) => remedies.push(format!(
            "aws dynamodb disable-kinesis-streaming-destination --table-name {table} --stream-arn {}",
            given("streamArn")
        )),
        Access::Share(_) => remedies.push(format!(
            "aws dynamodb delete-resource-policy --resource-arn {}, or put the policy that was there",
            given("resourceArn")
        )),
        Access::Deletion => remedies.push(format!(
            "aws dynamodb list-backups --table-name {table} --backup-type ALL, then \
             restore-table-from-backup --target-table-name {table} --backup-arn <the newest: with \
             point-in-time recovery DynamoDB keeps one of a deleted table for 35 days>"
        )),
    }
    remedies
}
