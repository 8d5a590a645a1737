//! Finds the role sessions that a contained principal took before it was contained.
//!
//! Containing a user or a role ends its own keys and sessions, and reaches no session of *another*
//! role that it took: those live on, for 12 hours at most. So this worker asks CloudTrail's event
//! history who took what with `sts:AssumeRole`, and answers with the sessions that are still alive,
//! each as an accomplice that `deny-all-policy` cuts off by itself (`sessionOnly`): the role and its
//! other sessions go on. It changes nothing, so that a dry run does the same.
//!
//! - **Whose.** Of an IAM user everything that the user took, also with `GetSessionToken` credentials;
//!   of a session of a shared role what that session took; of any other role what any session of it
//!   took. Then what those sessions took, by the access key that each was given, three levels deep
//!   and twenty sessions in all. A principal that is not contained has nothing to cut.
//! - **Where.** The region of this worker, and us-east-1, where the global endpoint of STS is
//!   recorded. What was taken through the endpoint of a third region is not found.
//! - **When.** In the last 14 hours: a session lives for 12 at most, and what came of it for an hour
//!   more each time. So a session that has ended is followed, and not answered. The history lags by up
//!   to a quarter of an hour: what was taken meanwhile, or is taken yet, arrives as an event of its own
//!   and is answered as the next step of a contained principal.
//!
//! Not found, since nobody among this account's principals is named in it: what was taken with
//! `AssumeRoleWithSAML` or `AssumeRoleWithWebIdentity`, or by an AWS service for somebody.
//!
//! **Left for a human**: sessions that must not be cut, with the call that ends them; and the exact
//! lookup, when 45 seconds were not enough, a region could not be asked, a record could not be read,
//! or there was more than the bounds allow. Then the answer is not `complete`.
//!
//! **Calls.** `cloudtrail:LookupEvents`, at most twice a second and region.
//!
//! **Undo.** None: nothing is changed. **A second run** asks again, and finds what has arrived since.
//!
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>

mod history;
mod taken;

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use aws_config::{Region as AwsRegion, SdkConfig};
use aws_sdk_cloudtrail::Client;
use futures_util::future::join_all;
use incident::{Accomplice, Actor, Containment, IncidentId, Principal, Settings, Text, Tiers, cut};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use worker::{Failure, Worker};

use history::{Attribute, Bounds, End, Lookup, Region};
use taken::{Taken, Taker};

/// How long one run asks.
const BUDGET: Duration = Duration::from_secs(45);

/// How long an event may take into the history.
const LAG: SignedDuration = SignedDuration::from_mins(15);

/// How many times a session may have taken the next one.
const LEVELS: usize = 3;

/// How many sessions are answered.
const MOST_SESSIONS: usize = 20;

/// Why there may be more than those.
const FULL: &str = "as many were found as one run answers";

/// How many unfinished lookups are told one by one.
const MOST_GAPS: usize = 8;

/// A summary is for people: every session is beside it.
const LONGEST_SUMMARY: usize = 1_000;

/// Where the global endpoint of STS is recorded.
const GLOBAL: &str = "us-east-1";

/// Whose sessions to find.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident.
    pub incident_id: IncidentId,
    /// The actor, who is contained.
    #[serde(deserialize_with = "incident::written::deserialize")]
    #[schemars(with = "Actor")]
    pub actor: Actor,
    /// When the event happened: what was called around it may not be in the history yet.
    #[schemars(with = "String")]
    pub occurred_at: Timestamp,
    /// Nothing is changed in any case.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Always false.
    pub changed: bool,
    /// The sessions to cut off, at most 20, each by `deny-all-policy` with `sessionOnly`.
    pub accomplices: Vec<Accomplice>,
    /// Whether the whole history was read.
    pub complete: bool,
    /// In one sentence.
    pub summary: String,
    /// What a human has to do, with the exact call.
    pub left: Vec<String>,
}

/// The worker.
#[derive(Debug)]
pub struct FindSessions {
    /// The regions whose histories are asked.
    regions: Vec<(String, Client)>,
    tiers: Tiers,
    now: fn() -> Timestamp,
}

impl FindSessions {
    /// Reads the settings of [`Tiers`].
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse; or there is no region.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let tiers = Tiers::from_settings(&Settings::from_env())?;
        let home = config
            .region()
            .ok_or_else(|| Failure::Rejected("no region is set".to_owned()))?
            .to_string();
        let config = worker::CONTROL.on(config);
        let on = |region: &str| {
            let config = config
                .to_builder()
                .region(AwsRegion::new(region.to_owned()));
            (region.to_owned(), Client::new(&config.build()))
        };
        let regions = regions(&home, tiers.deny_policy().partition());
        Ok(Self {
            regions: regions.into_iter().map(on).collect(),
            tiers,
            now: Timestamp::now,
        })
    }
}

/// STS has a global endpoint in AWS's commercial partition only.
fn regions<'a>(home: &'a str, partition: &str) -> Vec<&'a str> {
    match partition {
        "aws" if home != GLOBAL => vec![home, GLOBAL],
        _ => vec![home],
    }
}

impl Worker for FindSessions {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let actor = &input.actor;
        let containment = self.tiers.containment(actor);
        let taker = match (&containment, actor, actor.principal()) {
            (Containment::Principal { .. }, _, Some(principal)) => Taker::Principal(principal),
            (
                Containment::Session { .. },
                Actor::Role {
                    arn,
                    session: Some(session),
                },
                _,
            ) => Taker::Session(arn.clone(), session.clone()),
            _ => return Ok(not_contained(actor, &containment)),
        };
        let now = (self.now)();
        let mut search = Search {
            tiers: &self.tiers,
            all: &self.regions,
            regions: self
                .regions
                .iter()
                .map(|(name, client)| Region::new(name, client))
                .collect(),
            within: Bounds {
                account: self.tiers.account(),
                since: taken::horizon(now),
                deadline: Instant::now() + BUDGET,
            },
            now,
            actor,
            taker,
            sessions: Vec::new(),
            followed: HashSet::new(),
            answered: false,
            gaps: Vec::new(),
            more: Vec::new(),
        };
        search.run().await?;
        Ok(search.answer(input.occurred_at))
    }
}

fn not_contained(actor: &Actor, containment: &Containment) -> Output {
    Output {
        changed: false,
        accomplices: Vec::new(),
        complete: true,
        summary: format!(
            "{actor} is not contained, so nothing that it took is cut: {}",
            containment.reason()
        ),
        left: Vec::new(),
    }
}

/// One run.
struct Search<'a> {
    tiers: &'a Tiers,
    all: &'a [(String, Client)],
    /// Those that can be asked.
    regions: Vec<Region<'a>>,
    within: Bounds<'a>,
    now: Timestamp,
    actor: &'a Actor,
    /// The actor as far as it is contained.
    taker: Taker,
    /// What is alive, each session once.
    sessions: Vec<Taken>,
    /// The access keys and the sessions whose own calls are looked for.
    followed: HashSet<String>,
    /// Whether AWS answered at all.
    answered: bool,
    /// What was not read, and how a human reads it.
    gaps: Vec<String>,
    /// Why there may be more than the gaps tell.
    more: Vec<&'static str>,
}

impl Search<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        let mut level = self.first();
        for _ in 0..LEVELS {
            let mut next = Vec::new();
            for lookup in &level {
                let taken = self.look_up(lookup).await?;
                next.extend(taken.into_iter().filter_map(|taken| self.add(taken)));
            }
            level = next;
        }
        if !level.is_empty() {
            self.there_is_more("what the last of these took was not looked for");
        }
        Ok(())
    }

    /// The lookups of what the actor took: the narrow one first, whose few pages are read for certain.
    fn first(&self) -> Vec<Lookup> {
        let lookup = |by| Lookup {
            by,
            taker: self.taker.clone(),
            who: self.actor.to_string(),
        };
        let name = match self.actor {
            Actor::IamUser { arn } | Actor::FederatedUser { issuer: arn, .. } => Some(arn.name()),
            Actor::Role { session, .. } => session.as_ref().map(|session| session.name.as_str()),
            _ => None,
        };
        let mut lookups = Vec::new();
        lookups.extend(name.map(|name| lookup(Attribute::Username(name.to_owned()))));
        if matches!(self.taker, Taker::Principal(Principal::Role(_))) {
            lookups.push(lookup(Attribute::AssumeRole));
        }
        lookups
    }

    /// Asks every region at once; the newest first.
    async fn look_up(&mut self, lookup: &Lookup) -> Result<Vec<Taken>, Failure> {
        if self.is_full() {
            self.there_is_more(FULL);
            return Ok(Vec::new());
        }
        let within = self.within;
        let asked = self.regions.iter_mut();
        let answers = join_all(asked.map(|region| region.look_up(lookup, within))).await;
        let (mut taken, mut open, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        let regions = std::mem::take(&mut self.regions);
        for (region, pages) in regions.into_iter().zip(answers) {
            self.answered |= pages.answered;
            taken.extend(pages.taken);
            if pages.unreadable > 0 {
                let why = format!("{} records could not be read", pages.unreadable);
                self.gap(region.name, &lookup.by, &lookup.who, &why);
            }
            match pages.end {
                End::All => open.push(region),
                End::Short(why) => {
                    self.gap(region.name, &lookup.by, &lookup.who, &why);
                    open.push(region);
                }
                End::Closed(failure) => closed.push((region, failure)),
            }
        }
        for (region, failure) in &closed {
            let who = self.actor.to_string();
            self.gap(
                region.name,
                &Attribute::AssumeRole,
                &who,
                &failure.to_string(),
            );
        }
        self.regions = open;
        let mut failures = closed.into_iter().map(|(_, failure)| failure);
        let lasting = failures.find(|failure| !matches!(failure, Failure::Transient(_)));
        match lasting {
            Some(failure) if self.regions.is_empty() && !self.answered => Err(failure),
            _ => {
                taken.sort_by_key(|taken| Reverse(taken.at));
                Ok(taken)
            }
        }
    }

    /// Keeps a session that is alive, and says how to find what it took itself.
    fn add(&mut self, taken: Taken) -> Option<Lookup> {
        if !taken.may_have_heirs(self.now) {
            return None;
        }
        let lookup = self.heirs(&taken);
        if taken.is_alive(self.now) && !self.taker.is(&taken) {
            let is_full = self.is_full();
            let mut known = self.sessions.iter_mut();
            match known.find(|known| known.is_same_session(&taken)) {
                Some(known) => known.until = known.until.max(taken.until),
                None if is_full => self.there_is_more(FULL),
                None => self.sessions.push(taken),
            }
        }
        lookup
    }

    /// How to find what a session took; none when that is looked for already, or is recorded in
    /// another account.
    fn heirs(&mut self, taken: &Taken) -> Option<Lookup> {
        let name = &taken.session.name;
        let session = taken.actor().to_string();
        let (by, holder, id) = match &taken.key {
            Some(key) => (
                Attribute::Key {
                    id: key.clone(),
                    session: name.to_string(),
                },
                Taker::Key(key.clone()),
                key.clone(),
            ),
            None => (
                Attribute::Username(name.to_string()),
                Taker::Session(taken.role.clone(), taken.session.clone()),
                session.clone(),
            ),
        };
        let is_new = taken.role.account() == self.tiers.account() && self.followed.insert(id);
        is_new.then_some(Lookup {
            by,
            taker: holder,
            who: session,
        })
    }

    fn is_full(&self) -> bool {
        self.sessions.len() >= MOST_SESSIONS
    }

    fn there_is_more(&mut self, why: &'static str) {
        if !self.more.contains(&why) {
            self.more.push(why);
        }
    }

    fn gap(&mut self, region: &str, by: &Attribute, who: &str, why: &str) {
        if self.gaps.len() >= MOST_GAPS {
            self.there_is_more("further lookups were not finished");
            return;
        }
        let by_hand = by.by_hand(region, self.within.since);
        self.gaps.push(format!(
            "not every session that {who} took is known, since {region} was not wholly read ({why}): \
             {by_hand}"
        ));
    }

    fn answer(self, occurred_at: Timestamp) -> Output {
        let complete = self.gaps.is_empty() && self.more.is_empty();
        let summary = self.summary(complete, occurred_at);
        let (mut accomplices, mut left) = (Vec::new(), Vec::new());
        for taken in &self.sessions {
            let actor = taken.actor();
            match self.tiers.containment(&actor) {
                Containment::None { reason, by_hand } => left.push(format!(
                    "{taken}, must not be cut: {reason}. By hand: {by_hand}"
                )),
                _ => accomplices.push(Accomplice {
                    containment: Containment::Session {
                        reason: Text::cut(&format!(
                            "{taken}: containing its taker does not end it"
                        )),
                    },
                    actor,
                }),
            }
        }
        left.extend(self.gaps);
        if !self.more.is_empty() {
            let regions = self.all.iter();
            let by_hand: Vec<String> = regions
                .map(|(region, _)| Attribute::AssumeRole.by_hand(region, self.within.since))
                .collect();
            left.push(format!(
                "there may be more sessions ({}): {}",
                self.more.join("; "),
                by_hand.join("; ")
            ));
        }
        if !complete {
            left.push(
                "end each session found that way which is still alive: start this runbook with its ARN \
                 as `actor`, and a reason"
                    .to_owned(),
            );
        }
        Output {
            changed: false,
            accomplices,
            complete,
            summary,
            left,
        }
    }

    fn summary(&self, complete: bool, occurred_at: Timestamp) -> String {
        let sessions: Vec<String> = self.sessions.iter().map(ToString::to_string).collect();
        let so_far = if complete {
            ""
        } else {
            "as far as it is known, "
        };
        let found = match sessions.len() {
            0 => "no session of another role that is alive".to_owned(),
            1 => format!(
                "one session of another role that is alive: {}",
                sessions.join("; ")
            ),
            many => format!(
                "{many} sessions of other roles that are alive: {}",
                sessions.join("; ")
            ),
        };
        let lag = if self.now.duration_since(occurred_at) < LAG {
            "; what was taken in the last quarter of an hour may not be in the history yet"
        } else {
            ""
        };
        let summary = format!("{so_far}{} took {found}", self.actor);
        cut(&summary, LONGEST_SUMMARY) + lag
    }
}

#[cfg(test)]
mod tests;
