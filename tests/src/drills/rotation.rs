//! An attacker who becomes somebody else while IAM settles, again and again.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_iam::types::StatusType;
use aws_sdk_sts::operation::RequestId;
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::{
    select,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep},
    try_join,
};

use super::{Drill, Report, proof};
use crate::range::{
    ACCOUNT, Attacker, Context, DENY_POLICY_ARN, Delivery, EVERYTHING, Error, Event, OPERATOR,
    Range, Result, Run, WORKLOAD,
};

/// How long IAM goes on as before: 3 to 4 seconds were measured on AWS.
const LAG: Duration = Duration::from_secs(4);

/// How long an event takes to arrive: AWS says no more than "near real time".
const DELIVERY: Duration = Duration::from_secs(2);

/// How often an attacker looks whether their key still holds, and so how late they notice.
const LOOK: Duration = Duration::from_millis(500);

/// What `MaxPrincipalsPerHour` is where nobody says otherwise.
const DEFAULT_LIMIT: usize = 5;

/// How often they become somebody else, while they can. Nothing but an SCP ends that on AWS: each
/// time they need a second, and IAM gives them four.
const ROTATIONS: usize = 4;

/// How long until whatever they made no longer works, at the latest.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits take so much of what they say: 6 seconds, which is longer than IAM lags, as on AWS.
const SCALE: f64 = 0.4;

pub(super) const IDENTITIES_ROTATED: Drill = Drill {
    name: "identities-rotated",
    what: "an administrator becomes somebody else while IAM settles, four times over",
    run: |range, report| Box::pin(identities_rotated(range, report)),
};

async fn identities_rotated(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let innocent = Innocent::of(range).await?;
    let rosa = range.attacker_user("rosa").await?;
    let fight = fight(range, report, rosa).await?;
    fight.told(report);
    fight.lost(range, report).await?;
    innocent.served(report).await
}

pub(super) const ROTATED_BEYOND_LIMIT: Drill = Drill {
    name: "rotated-beyond-limit",
    what: "the same, when five more principals may be contained in this hour",
    run: |range, report| Box::pin(rotated_beyond_limit(range, report)),
};

async fn rotated_beyond_limit(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let before = range.fill_budget(DEFAULT_LIMIT).await?;
    let result = beyond_limit(range, report).await;
    range.put_budget_back(before).await?;
    result
}

async fn beyond_limit(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let innocent = Innocent::of(range).await?;
    let roger = range.attacker_user("roger").await?;
    let fight = fight(range, report, roger).await?;
    fight.told(report);
    let told = range.messages().await?;
    report.proves(
        "people were told that the limit is reached",
        told.iter()
            .any(|message| message.facts.to_string().contains("MaxPrincipalsPerHour")),
    )?;
    fight.lost(range, report).await?;
    innocent.served(report).await
}

/// Whoever was there before, and has done nothing.
struct Innocent {
    crm: Attacker,
    operator: Attacker,
}

impl Innocent {
    async fn of(range: &Range) -> Result<Self> {
        Ok(Self {
            crm: range.attacker_session(WORKLOAD, "patients-api").await?,
            operator: range.attacker_session(OPERATOR, "olivia").await?,
        })
    }

    async fn served(&self, report: &mut Report<'_>) -> Result<()> {
        proof::crm_serves(report, &self.crm).await?;
        proof::may_work(report, &self.operator).await
    }
}

/// What came of an attack.
struct Fight {
    rotation: Rotation,
    events: usize,
    /// The runs that answered, which have ended.
    runs: Vec<Run>,
}

/// Whoever the attacker was, and for how long they could do anything at all.
struct Rotation {
    identities: Vec<Attacker>,
    lasted: Duration,
    /// The same, from when they last became somebody else.
    outlasted: Duration,
}

/// `first` stops the trail, and becomes somebody else whenever they go off.
async fn fight(range: &Range, report: &mut Report<'_>, first: Attacker) -> Result<Fight> {
    range.scale_waits(SCALE)?;
    range.let_iam_lag(LAG);
    report.attack(format!(
        "{} calls cloudtrail:StopLogging; events take {} s to arrive, IAM {} s to settle",
        first.name(),
        DELIVERY.as_secs(),
        LAG.as_secs(),
    ));
    let (events, arriving) = unbounded_channel();
    let (rotation, deliveries) = try_join!(
        rotate(range, report, first, events),
        delivered(range, arriving),
    )?;
    let mut runs = Vec::new();
    for delivery in &deliveries {
        if delivery.triage.times("Started") == 1
            && let Some(incident) = delivery.incident()
        {
            runs.push(range.incident(incident).await?);
        }
    }
    range.let_iam_lag(Duration::ZERO);
    Ok(Fight {
        rotation,
        events: deliveries.len(),
        runs,
    })
}

impl Fight {
    /// Tells what was measured.
    fn told(&self, report: &mut Report<'_>) {
        let red = self.runs.iter().filter(|run| !run.succeeded());
        report.figure(format!(
            "{} events, {} runs, of which {} ended red",
            self.events,
            self.runs.len(),
            red.clone().count(),
        ));
        for cause in red.map(|run| cut(&run.cause)).collect::<BTreeSet<_>>() {
            report.figure(cause);
        }
        let Rotation {
            identities,
            lasted,
            outlasted,
        } = &self.rotation;
        report.figure(format!(
            "{} identities are burnt in {:.1} s, the last {:.1} s after it was made",
            identities.len(),
            lasted.as_secs_f64(),
            outlasted.as_secs_f64(),
        ));
    }

    /// Nothing that the attacker ever was works any more.
    async fn lost(&self, range: &Range, report: &mut Report<'_>) -> Result<()> {
        for identity in &self.rotation.identities {
            proof::cannot_stop_trail(report, identity).await?;
        }
        proof::trail_logs(range, report).await
    }
}

/// The beginning of why a run ended red.
fn cut(cause: &str) -> String {
    let begins: String = cause.chars().take(75).collect();
    format!("{begins}...")
}

/// Delivers every event when it is due, whatever others are under way.
async fn delivered(range: &Range, mut events: UnboundedReceiver<Event>) -> Result<Vec<Delivery>> {
    let mut under_way = FuturesUnordered::new();
    let mut deliveries = Vec::new();
    let mut more = true;
    while more || !under_way.is_empty() {
        select! {
            event = events.recv(), if more => match event {
                Some(event) => under_way.push(async move {
                    sleep(DELIVERY).await;
                    range.deliver(&event).await
                }),
                None => more = false,
            },
            Some(done) = under_way.next() => deliveries.extend(done?),
        }
    }
    Ok(deliveries)
}

async fn rotate(
    range: &Range,
    report: &mut Report<'_>,
    first: Attacker,
    events: UnboundedSender<Event>,
) -> Result<Rotation> {
    let began = Instant::now();
    events.send(first.stop_trail().await?)?;
    let mut calls = Calls {
        range,
        events,
        named_after: first.name().to_owned(),
        turn: 0,
    };
    let mut identities = vec![first];
    let mut became = began;
    for _ in 0..ROTATIONS {
        let newest = identities.last().context("nobody attacks")?;
        goes_off(newest).await?;
        report.attack(format!("{} goes off", newest.who));
        if !calls.become_another(&mut identities).await? {
            break;
        }
        became = Instant::now();
        if let [.., role, user] = identities.as_slice() {
            report.attack(format!(
                "by way of {} they are {}",
                role.name(),
                user.name()
            ));
        }
    }
    if identities.len() == 1 {
        return Err(Error::new("the attack did nothing: IAM settled at once"));
    }
    while any_works(&identities).await? {
        if became.elapsed() > PATIENCE {
            return Err(Error::new("an identity of the attacker still works"));
        }
        sleep(LOOK).await;
    }
    Ok(Rotation {
        identities,
        lasted: began.elapsed(),
        outlasted: became.elapsed(),
    })
}

/// Waits until a user can see that they are being contained.
async fn goes_off(user: &Attacker) -> Result<()> {
    let began = Instant::now();
    while !is_going_off(user).await? {
        if began.elapsed() > PATIENCE {
            return Err(Error::new(format!("nobody contains {}", user.who)));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn is_going_off(user: &Attacker) -> Result<bool> {
    let (iam, name) = (&user.aws.iam, user.name());
    let attached = iam.list_attached_user_policies().user_name(name).send();
    let attached = served(attached.await.context("iam:ListAttachedUserPolicies"))?;
    let keys = iam.list_access_keys().user_name(name).send().await;
    let keys = served(keys.context("iam:ListAccessKeys"))?;
    let (Some(attached), Some(keys)) = (attached, keys) else {
        return Ok(true);
    };
    let mut policies = attached.attached_policies().iter();
    let mut keys = keys.access_key_metadata().iter();
    Ok(
        policies.any(|policy| policy.policy_arn() == Some(DENY_POLICY_ARN))
            || keys.any(|key| key.status() == Some(&StatusType::Inactive)),
    )
}

async fn any_works(identities: &[Attacker]) -> Result<bool> {
    let mut works = false;
    for identity in identities {
        let described = identity.aws.cloudtrail.describe_trails().send().await;
        let described = described.context("cloudtrail:DescribeTrails");
        works |= served(described)?.is_some();
    }
    Ok(works)
}

/// What AWS answered; none when it refused.
fn served<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if proof::is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the attacker calls, each event of which is on its way.
struct Calls<'a> {
    range: &'a Range,
    events: UnboundedSender<Event>,
    named_after: String,
    turn: usize,
}

impl Calls<'_> {
    /// Makes a role, with it a user, and with that drops the role, beginning with whoever of
    /// `identities` still works; false when nobody does.
    async fn become_another(&mut self, identities: &mut Vec<Attacker>) -> Result<bool> {
        for by in (0..identities.len()).rev() {
            self.turn += 1;
            let session = self.session(&identities[by]).await;
            let Some(session) = served(session)? else {
                continue;
            };
            let (user, role) = (self.user(&session).await, session.name().to_owned());
            identities.push(session);
            let Some(user) = served(user)? else {
                continue;
            };
            let dropped = self.drop_role(&user, &role).await;
            identities.push(user);
            if served(dropped)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A session of a role, which `by` makes.
    async fn session(&self, by: &Attacker) -> Result<Attacker> {
        let name = format!("{}-backup-{}", self.named_after, self.turn);
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
            "Action": "sts:AssumeRole",
        }]})
        .to_string();
        let (iam, sts) = (&by.aws.iam, &by.aws.sts);
        let call = iam.create_role().role_name(&name);
        let created = self.made(
            by,
            "iam:CreateRole",
            json!({"roleName": name, "assumeRolePolicyDocument": trust}),
            call.assume_role_policy_document(&trust).send().await,
            |created| {
                let role = created.role().map(
                    |role| json!({"roleName": name, "roleId": role.role_id(), "arn": role.arn()}),
                );
                json!({ "role": role })
            },
        )?;
        let role = created.role.context("no role was created")?;
        let call = iam.put_role_policy().role_name(&name).policy_name("all");
        self.made(
            by,
            "iam:PutRolePolicy",
            json!({"roleName": name, "policyName": "all", "policyDocument": EVERYTHING}),
            call.policy_document(EVERYTHING).send().await,
            |_| Value::Null,
        )?;
        let call = sts.assume_role().role_arn(&role.arn);
        let assumed = self.made(
            by,
            "sts:AssumeRole",
            json!({"roleArn": role.arn, "roleSessionName": "nightly"}),
            call.role_session_name("nightly").send().await,
            |assumed| {
                let user = assumed.assumed_role_user().map(
                    |user| json!({"assumedRoleId": user.assumed_role_id(), "arn": user.arn()}),
                );
                json!({ "assumedRoleUser": user })
            },
        )?;
        self.range.holder_of_session(&role, &assumed)
    }

    /// A user with a key, whom `by` makes.
    async fn user(&self, by: &Attacker) -> Result<Attacker> {
        let name = format!("{}-monitor-{}", self.named_after, self.turn);
        let iam = &by.aws.iam;
        let created = self.made(
            by,
            "iam:CreateUser",
            json!({"userName": name}),
            iam.create_user().user_name(&name).send().await,
            |created| {
                let user = created.user().map(
                    |user| json!({"userName": name, "userId": user.user_id(), "arn": user.arn()}),
                );
                json!({ "user": user })
            },
        )?;
        let user = created.user.context("no user was created")?;
        let call = iam.put_user_policy().user_name(&name).policy_name("all");
        self.made(
            by,
            "iam:PutUserPolicy",
            json!({"userName": name, "policyName": "all", "policyDocument": EVERYTHING}),
            call.policy_document(EVERYTHING).send().await,
            |_| Value::Null,
        )?;
        let created = self.made(
            by,
            "iam:CreateAccessKey",
            json!({"userName": name}),
            iam.create_access_key().user_name(&name).send().await,
            |created| {
                let key = created.access_key().map(
                    |key| json!({"userName": name, "accessKeyId": key.access_key_id(), "status": "Active"}),
                );
                json!({ "accessKey": key })
            },
        )?;
        let key = created.access_key.context("no key was created")?;
        Ok(self.range.holder_of_key(&user, &key))
    }

    /// Takes the role `name` away, of which nobody is to find anything.
    async fn drop_role(&self, by: &Attacker, name: &str) -> Result<()> {
        let iam = &by.aws.iam;
        let call = iam.delete_role_policy().role_name(name).policy_name("all");
        self.made(
            by,
            "iam:DeleteRolePolicy",
            json!({"roleName": name, "policyName": "all"}),
            call.send().await,
            |_| Value::Null,
        )?;
        self.made(
            by,
            "iam:DeleteRole",
            json!({"roleName": name}),
            iam.delete_role().role_name(name).send().await,
            |_| Value::Null,
        )?;
        Ok(())
    }

    /// Sends the event of a call that was answered; `api` is as CloudTrail names it.
    fn made<T, E>(
        &self,
        by: &Attacker,
        api: &str,
        request: Value,
        answer: std::result::Result<T, E>,
        says: impl Fn(&T) -> Value,
    ) -> Result<T>
    where
        T: RequestId,
        E: Into<Error>,
    {
        let answer = answer.context(format!("{} calls {api}", by.who))?;
        let (service, name) = api.split_once(':').unwrap_or((api, api));
        let id = answer.request_id().unwrap_or_default();
        let mut event = Event::of_call(&by.identity, service, name, &request, id);
        event.json["detail"]["responseElements"] = says(&answer);
        self.events.send(event)?;
        Ok(answer)
    }
}
