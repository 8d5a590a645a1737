//! `open-incident`: the first step of every runbook.
//!
//! - Validates the runbook's input, whoever wrote it: triage, or an operator in the short form
//!   (`actor` or `target` as an ARN, `reason`, optional `dryRun`). What does not fit is refused
//!   as `InvalidInput`, naming the field, before anything is changed.
//! - Compares the target with what is watched: a runbook repairs nothing else.
//! - Decides again how far the actor and its accomplices may be contained; an input cannot widen it. An operator may
//!   have let the actor go since, and at most `MAX_PRINCIPALS_PER_HOUR` principals are contained
//!   in an hour: beyond either, containment becomes `none` and a human is told.
//! - Records the incident and claims the actor: `containActor` is false when another run is at
//!   work on it, or contained it after this event happened. Both are verified like any other
//!   containment, and done again if they do not hold.
//!
//! An unreachable ledger does not stop it: the actor is contained all the same, and the run ends
//! red, because `recorded` is false. In `observe` mode every incident is a dry run, which writes
//! nothing. A second run of the same execution answers the same. There is nothing to undo.
//!
//! AWS calls: `dynamodb:GetItem`, `PutItem`, `UpdateItem`; `states:DescribeExecution`, to take
//! over the claim of a run that has died.

use aws_config::SdkConfig;
use incident::{
    Accomplice, Actor, Arn, BucketName, Containment, EventRef, Incident, IncidentId, Mode,
    Principal, Runbook, Settings, Severity, Source, TableArn, Target, Text, Tiers, TrailArn,
    UserPoolId, WebAclArn, written,
};
use jiff::Timestamp;
use ledger::{Budget, Claim, Claimant, Ledger};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use worker::{Failure, Worker};

/// The payload.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The execution's name.
    pub incident_id: IncidentId,
    /// The execution.
    pub execution_arn: Arn,
    /// The runbook that asks.
    pub runbook: Runbook,
    /// The execution's input.
    pub incident: Request,
}

/// A runbook's input: an [`Incident`], or an operator's short form of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// If given, the runbook it is meant for.
    #[serde(default)]
    runbook: Option<Runbook>,
    /// Why.
    reason: Text<1000>,
    /// How urgent; `high` if left out.
    #[serde(default)]
    severity: Option<Severity>,
    /// The event behind it.
    #[serde(default)]
    event: Option<EventRef>,
    /// When it happened; now if left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    occurred_at: Option<Timestamp>,
    /// When we first knew; now if left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    discovered_at: Option<Timestamp>,
    /// Who did it: the object, or an ARN.
    #[serde(default, deserialize_with = "actor")]
    #[schemars(with = "Option<Actor>")]
    actor: Option<Actor>,
    /// Decided again here.
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "accepted, because an incident has it; never believed"
    )]
    containment: Option<Containment>,
    /// Who is contained with the actor.
    #[serde(default)]
    #[schemars(length(max = 4))]
    accomplices: Vec<Accomplice>,
    /// The AWS service that made the call.
    #[serde(default)]
    invoked_by: Option<Text<128>>,
    /// Where the call came from.
    #[serde(default)]
    source_address: Option<Source>,
    /// What was attacked: the object, or an ARN.
    #[serde(default, deserialize_with = "target")]
    #[schemars(with = "Option<Target>")]
    target: Option<Target>,
    /// What no step repairs.
    #[serde(default)]
    remedy: Option<Text<1000>>,
    /// Whether to change nothing.
    #[serde(default)]
    dry_run: bool,
}

fn actor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Actor>, D::Error> {
    written::deserialize(deserializer).map(Some)
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Target>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Arn(Arn),
        Object(Target),
    }
    match Written::deserialize(deserializer) {
        Ok(Written::Object(target)) => Some(target),
        Ok(Written::Arn(arn)) => Target::from_arn(&arn),
        Err(_) => None,
    }
    .map(Some)
    .ok_or_else(|| serde::de::Error::custom("expected a target, or its ARN"))
}

/// The answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The incident, whole and validated.
    pub incident: Incident,
    /// Whether this run is to contain the actor in its first round.
    pub contain_actor: bool,
    /// Whether the ledger was written; false for a dry run.
    pub changed: bool,
    /// Whether everything that should be in the ledger is.
    pub recorded: bool,
    /// What was decided, in one sentence.
    pub summary: String,
}

/// The worker.
#[derive(Debug)]
pub struct OpenIncident {
    states: aws_sdk_sfn::Client,
    ledger: Ledger,
    tiers: Tiers,
    mode: Mode,
    watched: Watched,
    max_principals_per_hour: usize,
    now: fn() -> Timestamp,
}

/// What the runbooks may repair.
#[derive(Debug)]
struct Watched {
    trail: Option<TrailArn>,
    site: Option<BucketName>,
    patients: Option<TableArn>,
    user_pool: Option<UserPoolId>,
    web_acl: Option<WebAclArn>,
}

impl OpenIncident {
    /// Builds the worker from `MODE`, `TRAIL_ARN`, `SITE_BUCKET_NAME`, `PATIENTS_TABLE_ARN`,
    /// `USER_POOL_ID`, `WEB_ACL_ARN`, `MAX_PRINCIPALS_PER_HOUR`, `LEDGER_TABLE` and what [`Tiers::from_settings`] reads.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        Ok(Self {
            states: aws_sdk_sfn::Client::new(&worker::LEDGER.on(config)),
            ledger: Ledger::from_settings(config, &settings)?,
            tiers: Tiers::from_settings(&settings)?,
            mode: settings.required("MODE")?,
            watched: Watched {
                trail: settings.optional("TRAIL_ARN")?,
                site: settings.optional("SITE_BUCKET_NAME")?,
                patients: settings.optional("PATIENTS_TABLE_ARN")?,
                user_pool: settings.optional("USER_POOL_ID")?,
                web_acl: settings.optional("WEB_ACL_ARN")?,
            },
            max_principals_per_hour: settings.required("MAX_PRINCIPALS_PER_HOUR")?,
            now: Timestamp::now,
        })
    }

    fn incident(
        &self,
        runbook: Runbook,
        request: Request,
        now: Timestamp,
    ) -> Result<Incident, Failure> {
        if request.runbook.is_some_and(|meant| meant != runbook) {
            return Err(invalid(
                "runbook",
                &format!("this is the runbook {runbook}"),
            ));
        }
        if request.actor.is_none() && request.target.is_none() {
            return Err(invalid("actor", "give an actor, a target, or both"));
        }
        let actors = request.actor.as_ref().and_then(Actor::principal);
        let target = self.watched.target(runbook, request.target, actors)?;
        let actor = request
            .actor
            .unwrap_or_else(|| Actor::unidentified("the runbook was started without an actor"));
        Ok(Incident {
            runbook,
            reason: request.reason,
            severity: request.severity.unwrap_or(Severity::High),
            event: request.event,
            occurred_at: request.occurred_at.unwrap_or(now),
            discovered_at: request.discovered_at.unwrap_or(now),
            containment: self.tiers.containment(&actor),
            actor,
            accomplices: request
                .accomplices
                .into_iter()
                .take(Accomplice::MOST)
                .map(|one| Accomplice {
                    containment: self.tiers.containment(&one.actor),
                    ..one
                })
                .collect(),
            invoked_by: request.invoked_by,
            source_address: request.source_address,
            target,
            remedy: request.remedy,
            dry_run: request.dry_run || self.mode == Mode::Observe,
        })
    }

    /// Whether this run is to contain the actor; may turn the incident's containment to `none`.
    async fn claim(
        &self,
        incident: &mut Incident,
        claimant: Claimant<'_>,
        now: Timestamp,
    ) -> Result<(bool, String), Failure> {
        let mut claim = self.ledger.claim(claimant, None, now).await?;
        if let Claim::Held { execution } = &claim
            && !self.is_running(execution).await
        {
            claim = self.ledger.claim(claimant, Some(execution), now).await?;
        }
        if let Claim::Released { at } = claim {
            let reason = format!(
                "an operator let the actor go at {at}, after this event; to contain it again, \
                 start the runbook with the actor and a reason only"
            );
            incident.containment = self.tiers.none(&incident.actor, &reason);
            return Ok((false, reason));
        }
        if let Claim::Contained { incident: id, at } = claim {
            let who = &incident.actor;
            return Ok((
                false,
                format!("{who} was contained at {at} by incident {id}"),
            ));
        }
        // Counted whoever's task it is: a run that finds its actor free contains it in the end.
        let limit = self.max_principals_per_hour;
        let budget = self
            .ledger
            .spend(claimant.actor, limit, claimant.dry_run, now)
            .await?;
        if let Budget::Spent(contained) = budget {
            if claim == Claim::Ours && !claimant.dry_run {
                // If this fails, the claim is free once this run has ended.
                self.ledger.settle(claimant, None).await.ok();
            }
            let reason = format!(
                "{limit} principals were contained within the last hour, which is the limit \
                 (MaxPrincipalsPerHour): {}",
                contained.join(", ")
            );
            incident.containment = self.tiers.none(&incident.actor, &reason);
            return Ok((false, reason));
        }
        let who = &incident.actor;
        Ok(match claim {
            Claim::Held { execution } => {
                (false, format!("{who} is being contained by {execution}"))
            }
            _ => (true, format!("{who} will be contained")),
        })
    }

    /// Whether an execution may still be at work. When that cannot be told, it is taken for dead:
    /// containing an actor twice is harmless, and not at all is not.
    async fn is_running(&self, execution: &str) -> bool {
        let described = self
            .states
            .describe_execution()
            .execution_arn(execution)
            .send()
            .await;
        described
            .is_ok_and(|output| *output.status() == aws_sdk_sfn::types::ExecutionStatus::Running)
    }
}

impl Worker for OpenIncident {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let now = (self.now)();
        let id = &input.incident_id;
        let mut incident = self.incident(input.runbook, input.incident, now)?;
        let dry_run = incident.dry_run;
        let mut recorded = true;
        let mut contain_actor = !incident.containment.is_none();
        let mut summary = incident.containment.reason().to_owned();
        if contain_actor && let Some(actor) = incident.actor.key(&incident.containment) {
            let claimant = Claimant {
                actor: &actor,
                incident: id,
                execution: input.execution_arn.as_str(),
                occurred_at: incident.occurred_at,
                dry_run,
            };
            match self.claim(&mut incident, claimant, now).await {
                Ok((ours, why)) => {
                    contain_actor = ours;
                    summary = why;
                }
                Err(failure) => {
                    recorded = false;
                    summary = format!("nobody could be asked who contains the actor ({failure})");
                }
            }
        }
        if !dry_run
            && recorded
            && let Err(failure) = self
                .ledger
                .open(id, &incident, input.execution_arn.as_str(), now)
                .await
        {
            recorded = false;
            summary = format!("{summary}; the incident is not in the ledger ({failure})");
        }
        Ok(Output {
            incident,
            contain_actor,
            changed: recorded && !dry_run,
            recorded,
            summary,
        })
    }
}

impl Watched {
    /// What `runbook` is to repair: what was given, if it is watched, else what the runbook is for.
    fn target(
        &self,
        runbook: Runbook,
        given: Option<Target>,
        actor: Option<Principal>,
    ) -> Result<Target, Failure> {
        let unwatched = |what: &str, parameter: &str| {
            let why = format!("no {what} is watched (the parameter {parameter} is not set)");
            invalid("target", &why)
        };
        let refused = |what: &str| invalid("target", &format!("{runbook} answers for {what}"));
        match runbook {
            Runbook::CloudtrailDisabled => {
                let arn = self.trail.clone();
                let arn = arn.ok_or_else(|| unwatched("trail", "TrailArn"))?;
                let watched = Target::Trail { arn };
                let fits = given.is_none_or(|given| given == watched);
                fits.then_some(watched.clone())
                    .ok_or_else(|| refused(&watched.to_string()))
            }
            Runbook::SiteVandalism => {
                let site = self.site.clone();
                let site = site.ok_or_else(|| unwatched("site", "SiteBucketName"))?;
                match given {
                    None => Ok(Target::Bucket { name: site }),
                    Some(Target::Object { ref bucket, .. }) if *bucket != site => {
                        Err(refused(&format!("bucket {site}")))
                    }
                    Some(target @ Target::Object { .. }) => Ok(target),
                    Some(Target::Bucket { name }) if name == site => Ok(Target::Bucket { name }),
                    Some(_) => Err(refused(&format!("bucket {site}"))),
                }
            }
            Runbook::HoneyToken | Runbook::PatientDataAccess => {
                let arn = self.patients.clone();
                let arn = arn.ok_or_else(|| unwatched("table", "PatientsTableArn"))?;
                let watched = Target::Table { arn };
                match given {
                    None => Ok(watched),
                    Some(given) if given == watched => Ok(watched),
                    Some(target @ Target::Principal { .. })
                        if runbook == Runbook::PatientDataAccess =>
                    {
                        Ok(target)
                    }
                    Some(_) => Err(refused(&watched.to_string())),
                }
            }
            Runbook::PrivilegeEscalation => match given {
                Some(
                    target
                    @ (Target::Grant { .. } | Target::Principal { .. } | Target::Root { .. }),
                ) => Ok(target),
                Some(_) => Err(refused("a grant, or a user or role")),
                None => actor
                    .map(|arn| Target::Principal { arn })
                    .ok_or_else(|| refused("a grant, or a user or role")),
            },
            Runbook::CredentialAttack => {
                let watched = self.user_pool.as_ref();
                let watched = watched.ok_or_else(|| unwatched("user pool", "UserPoolId"))?;
                let refused = || refused(&format!("sign-in to user pool {watched}"));
                let given = given.ok_or_else(refused)?;
                let Target::SignIns {
                    user_pool,
                    subject,
                    networks,
                    compromised,
                } = &given
                else {
                    return Err(refused());
                };
                let most = Target::MOST_NETWORKS;
                if user_pool != watched {
                    return Err(refused());
                }
                if *compromised && subject.is_none() {
                    return Err(invalid(
                        "target.subject",
                        "whose account is to be disabled?",
                    ));
                }
                if networks.len() > most {
                    return Err(invalid("target.networks", &format!("give at most {most}")));
                }
                Ok(given)
            }
            Runbook::ApiAttack => {
                let arn = self.web_acl.clone();
                let arn = arn.ok_or_else(|| unwatched("web ACL", "WebAclArn"))?;
                let watched = Target::WebAcl { arn };
                match given {
                    None => Ok(watched),
                    Some(given) if given == watched => Ok(watched),
                    Some(_) => Err(refused(&watched.to_string())),
                }
            }
        }
    }
}

fn invalid(field: &str, why: &str) -> Failure {
    Failure::InvalidInput(format!("`incident.{field}`: {why}"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        operation::{
            get_item::GetItemOutput, put_item::PutItemOutput, update_item::UpdateItemOutput,
        },
        types::AttributeValue,
    };
    use aws_sdk_sfn::{
        operation::describe_execution::DescribeExecutionOutput, types::ExecutionStatus,
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use serde_json::{Value, json};
    use worker::answer;

    use super::*;

    const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic";
    const PATIENTS: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/Patients";
    const SUBJECT: &str = "5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22";
    const WEB_ACL: &str = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/clinic/11111111-2222-3333-4444-555555555555";
    const EVE: &str = "arn:aws:iam::123456789012:user/eve";

    fn worker(ledger: &[&Rule], states: &[&Rule]) -> OpenIncident {
        let settings = Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
                "BREAK_GLASS_ARNS" => "arn:aws:iam::123456789012:user/glass",
                _ => return None,
            };
            Some(value.to_owned())
        });
        OpenIncident {
            states: mock_client!(aws_sdk_sfn, RuleMode::Sequential, states),
            ledger: Ledger::new(
                mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, ledger),
                "ledger",
            ),
            tiers: Tiers::from_settings(&settings).unwrap(),
            mode: Mode::Enforce,
            watched: Watched {
                trail: Some(TRAIL.parse().unwrap()),
                site: Some("clinic-site".parse().unwrap()),
                patients: Some(PATIENTS.parse().unwrap()),
                user_pool: Some("eu-west-1_ClinicPool".parse().unwrap()),
                web_acl: Some(WEB_ACL.parse().unwrap()),
            },
            max_principals_per_hour: 2,
            now: || "2026-11-25T03:13:00Z".parse().unwrap(),
        }
    }

    /// A ledger that has these items and takes every write.
    struct Items {
        reads: [Rule; 2],
        updates: Rule,
        puts: Rule,
    }

    impl Items {
        fn new(claim: Value, contained: Option<Value>) -> Self {
            let item = |pk: &'static str, attributes: Value| {
                let attributes = attributes.as_object().unwrap().clone();
                mock!(aws_sdk_dynamodb::Client::get_item)
                    .match_requests(move |request| {
                        request.key().unwrap()["pk"].as_s().unwrap().starts_with(pk)
                    })
                    .then_output(move || {
                        let attributes = attributes.iter().map(|(name, value)| {
                            let text = value
                                .as_str()
                                .map_or_else(|| value.to_string(), str::to_owned);
                            (name.clone(), AttributeValue::S(text))
                        });
                        GetItemOutput::builder()
                            .set_item(Some(attributes.collect()))
                            .build()
                    })
            };
            let contained =
                contained.map_or(json!({}), |contained| json!({"contained": contained}));
            Self {
                reads: [item("claim#", claim), item("budget", contained)],
                updates: mock!(aws_sdk_dynamodb::Client::update_item)
                    .then_output(|| UpdateItemOutput::builder().build()),
                puts: mock!(aws_sdk_dynamodb::Client::put_item)
                    .then_output(|| PutItemOutput::builder().build()),
            }
        }

        fn empty() -> Self {
            Self::new(json!({}), None)
        }

        fn rules(&self) -> Vec<&Rule> {
            self.reads
                .iter()
                .chain([&self.updates, &self.puts])
                .collect()
        }

        fn writes(&self) -> usize {
            self.updates.num_calls() + self.puts.num_calls()
        }
    }

    fn payload(incident: &Value) -> Value {
        json!({
            "incidentId": "i-1",
            "executionArn": "arn:aws:states:eu-west-1:123456789012:execution:cloudtrail-disabled:i-1",
            "runbook": "cloudtrail-disabled",
            "incident": incident,
        })
    }

    fn shipped() -> Value {
        serde_json::from_str(include_str!(
            "../../../state-machines/cloudtrail-disabled.input.json"
        ))
        .unwrap()
    }

    fn other_run(status: ExecutionStatus) -> Rule {
        mock!(aws_sdk_sfn::Client::describe_execution)
            .match_requests(|request| request.execution_arn() == Some("the other run"))
            .then_output(move || {
                DescribeExecutionOutput::builder()
                    .execution_arn("the other run")
                    .state_machine_arn("the runbook")
                    .status(status.clone())
                    .start_date(aws_sdk_sfn::primitives::DateTime::from_secs(0))
                    .build()
                    .unwrap()
            })
    }

    #[tokio::test]
    async fn a_new_incident_is_recorded_and_its_actor_claimed() {
        let items = Items::empty();
        let answer = answer(&worker(&items.rules(), &[]), &payload(&shipped()))
            .await
            .unwrap();
        assert_eq!(answer["incident"], shipped());
        assert_eq!(answer["containActor"], true);
        assert_eq!(answer["recorded"], true);
        // The claim, the budget and the incident.
        assert_eq!(items.writes(), 3);
    }

    #[tokio::test]
    async fn an_operator_may_use_the_short_form() {
        let items = Items::empty();
        let short = json!({"actor": EVE, "reason": "seen on the VPN"});
        let answer = answer(&worker(&items.rules(), &[]), &payload(&short))
            .await
            .unwrap();
        insta::assert_json_snapshot!(answer, @r#"
        {
          "incident": {
            "runbook": "cloudtrail-disabled",
            "reason": "seen on the VPN",
            "severity": "high",
            "occurredAt": "2026-11-25T03:13:00Z",
            "discoveredAt": "2026-11-25T03:13:00Z",
            "actor": {
              "kind": "iam-user",
              "arn": "arn:aws:iam::123456789012:user/eve"
            },
            "containment": {
              "kind": "principal",
              "reason": "an ordinary principal of this account"
            },
            "target": {
              "kind": "trail",
              "arn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic"
            },
            "dryRun": false
          },
          "containActor": true,
          "changed": true,
          "recorded": true,
          "summary": "IAM user eve will be contained"
        }
        "#);
    }

    #[tokio::test]
    async fn a_run_without_an_actor_repairs_and_contains_nobody() {
        let items = Items::empty();
        let short = json!({"target": TRAIL, "reason": "the heartbeat missed it"});
        let answer = answer(&worker(&items.rules(), &[]), &payload(&short))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], false);
        assert_eq!(answer["incident"]["containment"]["kind"], "none");
        assert_eq!(answer["recorded"], true);
    }

    #[tokio::test]
    async fn an_input_cannot_widen_containment() {
        let items = Items::empty();
        let mut incident = shipped();
        incident["actor"]["arn"] = json!("arn:aws:iam::123456789012:user/glass");
        let answer = answer(&worker(&items.rules(), &[]), &payload(&incident))
            .await
            .unwrap();
        assert_eq!(answer["incident"]["containment"]["kind"], "none");
        assert_eq!(answer["containActor"], false);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_by_field_and_nothing_is_written() {
        let with = |field: &str, value: Value| {
            let mut incident = shipped();
            incident[field] = value;
            incident
        };
        let other = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other";
        let mut refusals = Vec::new();
        for incident in [
            json!({"actor": EVE}),
            json!({"reason": "nobody and nothing"}),
            with("actor", json!("eve")),
            with("actor", json!({"kind": "iam-user", "arn": "eve"})),
            with("runbook", json!("make-coffee")),
            with("target", json!(other)),
            with("target", json!({"kind": "trail", "arn": other})),
            with("target", json!("clinic")),
            with("reason", json!("x".repeat(1_001))),
            with("occurredAt", json!("yesterday")),
            with("dryrun", json!(true)),
            with("event", json!({"id": "1"})),
        ] {
            let items = Items::empty();
            let failure = answer(&worker(&items.rules(), &[]), &payload(&incident))
                .await
                .unwrap_err();
            assert_eq!(failure.name(), "InvalidInput", "{incident}");
            assert_eq!(items.writes(), 0);
            refusals.push(failure.to_string());
        }
        insta::assert_snapshot!(refusals.join("\n"), @"
        `incident`: missing field `reason`
        `incident.actor`: give an actor, a target, or both
        `incident.actor`: expected the ARN of a user, a role or a role session
        `incident.actor`: expected an ARN like arn:partition:service:region:account:resource
        `incident.runbook`: expected one of `cloudtrail-disabled`, `site-vandalism`, `honey-token`, `patient-data-access`, `privilege-escalation`, `credential-attack`, `api-attack`
        `incident.target`: cloudtrail-disabled answers for trail arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic
        `incident.target`: cloudtrail-disabled answers for trail arn:aws:cloudtrail:eu-west-1:123456789012:trail/clinic
        `incident.target`: expected a target, or its ARN
        `incident.reason`: longer than 1000 characters
        `incident.occurredAt`: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y
        `incident.dryrun`: unknown field `dryrun`, expected one of `runbook`, `reason`, `severity`, `event`, `occurredAt`, `discoveredAt`, `actor`, `containment`, `accomplices`, `invokedBy`, `sourceAddress`, `target`, `remedy`, `dryRun`
        `incident.event`: missing field `name`
        ");
    }

    #[tokio::test]
    async fn a_runbook_repairs_what_it_is_for_and_nothing_else() {
        let object = |bucket: &str| json!({"kind": "object", "bucket": bucket, "key": "a b.html"});
        let grant = json!({"kind": "grant", "grant": {"kind": "access-key", "user": EVE}});
        let taken = |pool: &str, subject: &Value| {
            let mut target = json!({"kind": "sign-ins", "userPool": pool, "compromised": true});
            if !subject.is_null() {
                target["subject"] = subject.clone();
            }
            target
        };
        let mut targets = Vec::new();
        for (runbook, target) in [
            ("site-vandalism", json!(null)),
            ("site-vandalism", object("clinic-site")),
            (
                "site-vandalism",
                json!("arn:aws:s3:::clinic-site/index.html"),
            ),
            ("site-vandalism", json!("arn:aws:s3:::clinic-site")),
            ("site-vandalism", object("clinic-site-2")),
            ("site-vandalism", json!("arn:aws:s3:::clinic-logs")),
            ("site-vandalism", json!(PATIENTS)),
            ("honey-token", json!(null)),
            ("honey-token", json!(PATIENTS)),
            ("honey-token", json!(EVE)),
            ("patient-data-access", json!(EVE)),
            (
                "patient-data-access",
                json!("arn:aws:dynamodb:eu-west-1:123456789012:table/Patients2"),
            ),
            ("privilege-escalation", json!(null)),
            ("privilege-escalation", grant),
            ("privilege-escalation", json!(PATIENTS)),
            ("credential-attack", json!(null)),
            (
                "credential-attack",
                taken("eu-west-1_ClinicPool", &json!(SUBJECT)),
            ),
            (
                "credential-attack",
                taken("eu-west-1_ClinicPool", &json!(null)),
            ),
            (
                "credential-attack",
                taken("eu-west-1_Other", &json!(SUBJECT)),
            ),
            ("credential-attack", json!(PATIENTS)),
            ("api-attack", json!(null)),
            ("api-attack", json!(WEB_ACL)),
            ("api-attack", json!(WEB_ACL.replace("clinic", "other"))),
        ] {
            let mut short = json!({"actor": EVE, "reason": "seen"});
            if !target.is_null() {
                short["target"] = target;
            }
            let mut payload = payload(&short);
            payload["runbook"] = json!(runbook);
            let items = Items::empty();
            targets.push(match answer(&worker(&items.rules(), &[]), &payload).await {
                Ok(answer) => format!("{runbook}: {}", answer["incident"]["target"]),
                Err(refusal) => format!("{runbook}: {refusal}"),
            });
        }
        insta::assert_snapshot!(targets.join("\n"), @r#"
        site-vandalism: {"kind":"bucket","name":"clinic-site"}
        site-vandalism: {"kind":"object","bucket":"clinic-site","key":"a b.html"}
        site-vandalism: {"kind":"object","bucket":"clinic-site","key":"index.html"}
        site-vandalism: {"kind":"bucket","name":"clinic-site"}
        site-vandalism: `incident.target`: site-vandalism answers for bucket clinic-site
        site-vandalism: `incident.target`: site-vandalism answers for bucket clinic-site
        site-vandalism: `incident.target`: site-vandalism answers for bucket clinic-site
        honey-token: {"kind":"table","arn":"arn:aws:dynamodb:eu-west-1:123456789012:table/Patients"}
        honey-token: {"kind":"table","arn":"arn:aws:dynamodb:eu-west-1:123456789012:table/Patients"}
        honey-token: `incident.target`: honey-token answers for table arn:aws:dynamodb:eu-west-1:123456789012:table/Patients
        patient-data-access: {"kind":"principal","arn":"arn:aws:iam::123456789012:user/eve"}
        patient-data-access: `incident.target`: patient-data-access answers for table arn:aws:dynamodb:eu-west-1:123456789012:table/Patients
        privilege-escalation: {"kind":"principal","arn":"arn:aws:iam::123456789012:user/eve"}
        privilege-escalation: {"kind":"grant","grant":{"kind":"access-key","user":"arn:aws:iam::123456789012:user/eve"}}
        privilege-escalation: `incident.target`: privilege-escalation answers for a grant, or a user or role
        credential-attack: `incident.target`: credential-attack answers for sign-in to user pool eu-west-1_ClinicPool
        credential-attack: {"kind":"sign-ins","userPool":"eu-west-1_ClinicPool","subject":"5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22","compromised":true}
        credential-attack: `incident.target.subject`: whose account is to be disabled?
        credential-attack: `incident.target`: credential-attack answers for sign-in to user pool eu-west-1_ClinicPool
        credential-attack: `incident.target`: credential-attack answers for sign-in to user pool eu-west-1_ClinicPool
        api-attack: {"kind":"web-acl","arn":"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/clinic/11111111-2222-3333-4444-555555555555"}
        api-attack: {"kind":"web-acl","arn":"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/clinic/11111111-2222-3333-4444-555555555555"}
        api-attack: `incident.target`: api-attack answers for web ACL arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/clinic/11111111-2222-3333-4444-555555555555
        "#);
    }

    #[tokio::test]
    async fn accomplices_are_contained_as_far_as_anybody() {
        let with = |arn: &str| {
            let mut incident = shipped();
            let containment = json!({"kind": "principal", "reason": "said so"});
            let accomplice =
                json!({"actor": {"kind": "iam-user", "arn": arn}, "containment": containment});
            incident["accomplices"] = json!([accomplice]);
            incident
        };
        for (who, expected) in [("mallory", "principal"), ("glass", "none")] {
            let items = Items::empty();
            let incident = with(&format!("arn:aws:iam::123456789012:user/{who}"));
            let answer = answer(&worker(&items.rules(), &[]), &payload(&incident))
                .await
                .unwrap();
            let accomplice = &answer["incident"]["accomplices"][0];
            assert_eq!(accomplice["containment"]["kind"], expected);
        }
    }

    #[tokio::test]
    async fn another_run_at_work_on_the_actor_is_left_to_it() {
        let items = Items::new(json!({"holder": "the other run"}), None);
        let running = other_run(ExecutionStatus::Running);
        let answer = answer(&worker(&items.rules(), &[&running]), &payload(&shipped()))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], false);
        assert_eq!(answer["incident"]["containment"]["kind"], "principal");
        assert_eq!(answer["recorded"], true);
    }

    #[tokio::test]
    async fn a_dead_runs_claim_is_taken_over() {
        for dead in [
            other_run(ExecutionStatus::Failed),
            mock!(aws_sdk_sfn::Client::describe_execution).then_error(|| {
                aws_sdk_sfn::operation::describe_execution::DescribeExecutionError::ExecutionDoesNotExist(
                    aws_sdk_sfn::types::error::ExecutionDoesNotExist::builder().build(),
                )
            }),
        ] {
            let items = Items::new(json!({"holder": "the other run"}), None);
            let answer =
                answer(&worker(&items.rules(), &[&dead]), &payload(&shipped())).await.unwrap();
            assert_eq!(answer["containActor"], true);
        }
    }

    #[tokio::test]
    async fn an_event_from_before_the_containment_contains_nobody_again() {
        let contained = json!({"containedAt": "2026-11-25T03:12:50Z", "containedBy": "i-0"});
        let items = Items::new(contained, None);
        let answer = answer(&worker(&items.rules(), &[]), &payload(&shipped()))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], false);
        assert_eq!(answer["incident"]["containment"]["kind"], "principal");
    }

    #[tokio::test]
    async fn an_operators_release_is_respected_by_older_events() {
        let items = Items::new(json!({"releasedAt": "2026-11-25T03:12:50Z"}), None);
        let answer = answer(&worker(&items.rules(), &[]), &payload(&shipped()))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], false);
        assert_eq!(answer["incident"]["containment"]["kind"], "none");
    }

    #[tokio::test]
    async fn beyond_the_limit_the_damage_is_repaired_and_a_human_told() {
        let others = json!({"user/a": "2026-11-25T03:00:00Z", "role/b": "2026-11-25T03:10:00Z"});
        let items = Items::new(json!({}), Some(others));
        let answer = answer(&worker(&items.rules(), &[]), &payload(&shipped()))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], false);
        assert_eq!(
            answer["incident"]["containment"]["reason"],
            "2 principals were contained within the last hour, which is the limit \
             (MaxPrincipalsPerHour): role/b, user/a"
        );
        assert!(
            answer["incident"]["containment"]["byHand"]
                .as_str()
                .unwrap()
                .contains("attach-user-policy --user-name eve")
        );
    }

    #[tokio::test]
    async fn the_limit_holds_for_an_actor_whom_another_run_claims() {
        let others = json!({"user/a": "2026-11-25T03:00:00Z", "role/b": "2026-11-25T03:10:00Z"});
        let items = Items::new(json!({"holder": "the other run"}), Some(others));
        let running = other_run(ExecutionStatus::Running);
        let answer = answer(&worker(&items.rules(), &[&running]), &payload(&shipped()))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], false);
        assert_eq!(answer["incident"]["containment"]["kind"], "none");
    }

    #[tokio::test]
    async fn an_unreachable_ledger_stops_nothing() {
        let gone = mock!(aws_sdk_dynamodb::Client::get_item).then_error(|| {
            aws_sdk_dynamodb::operation::get_item::GetItemError::ResourceNotFoundException(
                aws_sdk_dynamodb::types::error::ResourceNotFoundException::builder().build(),
            )
        });
        let answer = answer(&worker(&[&gone], &[]), &payload(&shipped()))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], true);
        assert_eq!(answer["recorded"], false);
    }

    #[tokio::test]
    async fn a_dry_run_writes_nothing() {
        let mut incident = shipped();
        incident["dryRun"] = json!(true);
        let items = Items::empty();
        let answer = answer(&worker(&items.rules(), &[]), &payload(&incident))
            .await
            .unwrap();
        assert_eq!(answer["containActor"], true);
        assert_eq!(answer["changed"], false);
        assert_eq!(items.writes(), 0);
    }

    #[tokio::test]
    async fn in_observe_mode_every_run_is_dry() {
        let items = Items::empty();
        let mut worker = worker(&items.rules(), &[]);
        worker.mode = Mode::Observe;
        let answer = answer(&worker, &payload(&shipped())).await.unwrap();
        assert_eq!(answer["incident"]["dryRun"], true);
        assert_eq!(items.writes(), 0);
    }
}
