//! What is done about an attack.

use incident::{
    Actor, Escalation, Family, Incident, IncidentId, Mode, Network, Runbook, Severity, SignIn,
    Source, Target, Text, Tiers,
};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use judgement::Verdict;
use sha2::{Digest, Sha256};

use crate::{
    decide::{Finding, Pattern},
    thresholds::{DAY, Thresholds},
};

/// What one attempt found and is to answer, as one incident.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) tiers: &'a Tiers,
    pub(crate) mode: Mode,
    pub(crate) sign_in: &'a SignIn,
    /// The gravest first; never empty.
    pub(crate) found: Vec<Found>,
    /// Whether one more account may be disabled.
    pub(crate) disables: bool,
    pub(crate) now: Timestamp,
}

/// A finding, and where its attempts came from.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    pub(crate) networks: Vec<Network>,
}

impl Answer<'_> {
    /// The name of the execution that answers; the same for whoever asks again.
    pub(crate) fn id(&self) -> Option<IncidentId> {
        let Finding {
            series,
            pattern,
            at,
            ..
        } = &self.lead()?.finding;
        let kind = pattern.kind();
        let digest = Sha256::digest(format!("{series}\n{kind}\n{at}"));
        let hash = digest
            .iter()
            .take(8)
            .fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        IncidentId::of_event(&format!("sign-in-{hash:016x}"))
    }

    /// What the incident is about.
    fn lead(&self) -> Option<&Found> {
        let mut found = self.found.iter();
        found.find(|it| !self.is_ours(it)).or(self.found.first())
    }

    /// Whether an account is broken into: that is answered however much else is going on.
    pub(crate) fn is_urgent(&self) -> bool {
        let mut found = self.found.iter();
        found.any(|it| it.finding.pattern.is_success())
    }

    /// Whether everything that was found comes from networks that are never blocked.
    pub(crate) fn is_our_own(&self) -> bool {
        self.found.iter().all(|found| self.is_ours(found))
    }

    fn is_ours(&self, found: &Found) -> bool {
        let by_network = matches!(
            found.finding.pattern,
            Pattern::OneNetwork | Pattern::SlowNetwork | Pattern::Untold
        );
        by_network && found.networks.iter().all(|it| self.refusal(it).is_some())
    }

    fn refusal(&self, network: &Network) -> Option<String> {
        self.thresholds.never_block.refusal(network)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let (Some(lead), Some(incident_id)) = (self.lead(), self.id()) else {
            return self.escalate(Severity::Critical, self.reason());
        };
        if self.is_our_own() {
            let refused = lead.networks.first().and_then(|it| self.refusal(it));
            let reason = format!(
                "{}; it is not blocked: {}",
                self.reason(),
                refused.unwrap_or_default()
            );
            return self.escalate(Severity::High, reason);
        }
        let reason = self.reason();
        let Finding {
            pattern, subject, ..
        } = &lead.finding;
        let actor = stranger();
        let incident = Incident {
            runbook: Runbook::CredentialAttack,
            reason: Text::cut(&reason),
            severity: if pattern.is_success() {
                Severity::Critical
            } else {
                Severity::High
            },
            event: Some(self.sign_in.event.clone()),
            occurred_at: self.sign_in.occurred_at,
            discovered_at: self.now,
            containment: self.tiers.containment(&actor),
            actor,
            accomplices: Vec::new(),
            invoked_by: None,
            source_address: self.source(),
            target: Target::SignIns {
                user_pool: self.sign_in.user_pool.clone(),
                subject: subject.clone(),
                networks: self.networks(),
                compromised: pattern.is_success() && subject.is_some() && self.disables,
            },
            remedy: self.remedy().map(|remedy| Text::cut(&remedy)),
            dry_run: self.mode == Mode::Observe,
        };
        Verdict::Respond {
            reason,
            incident_id,
            incident: Box::new(incident),
        }
    }

    /// What the first network of the attack is part of, by which attackers get addresses: a /24 of
    /// IPv4, a /48 of IPv6.
    pub(crate) fn wider(&self) -> String {
        let networks = self.found.iter().flat_map(|found| &found.networks);
        let wider = networks.filter_map(|network| {
            let length = match network.family() {
                Family::V4 => 24,
                Family::V6 => 48,
            };
            IpNet::new(network.address(), length).ok()
        });
        let first = wider.map(|net| net.trunc().to_string()).next();
        first.unwrap_or_else(|| "nowhere".to_owned())
    }

    /// What is told when more is attacked at once than is answered one by one.
    pub(crate) fn too_many(&self) -> Verdict {
        // The same words for each of them, so that people are told once an hour.
        let reason = format!(
            "more than {} attacks on the sign-in within {}: those beyond are counted and not answered \
             one by one. Slow everybody down: lower the limit of the web ACL's rate rule, or challenge \
             sign-ins with a CAPTCHA",
            self.thresholds.at_once,
            lasting(self.thresholds.window)
        );
        self.escalate(Severity::Critical, reason)
    }

    fn escalate(&self, severity: Severity, reason: String) -> Verdict {
        let actor = stranger();
        Verdict::Escalate {
            escalation: Box::new(Escalation {
                event: self.sign_in.event.clone(),
                reason: Text::cut(&reason),
                severity,
                occurred_at: self.sign_in.occurred_at,
                containment: self.tiers.containment(&actor),
                actor,
                source_address: self.source(),
            }),
            reason,
        }
    }

    fn source(&self) -> Option<Source> {
        let network = self.sign_in.network?;
        Some(Source::Address(network.address()))
    }

    /// Those of all findings that may be blocked, in their order.
    fn networks(&self) -> Vec<Network> {
        let mut networks: Vec<Network> = Vec::new();
        for network in self.found.iter().flat_map(|found| &found.networks) {
            if !networks.contains(network) && self.refusal(network).is_none() {
                networks.push(*network);
            }
        }
        networks.truncate(Target::MOST_NETWORKS);
        networks
    }

    fn reason(&self) -> String {
        let reasons = self
            .found
            .iter()
            .map(|found| found.finding.reason(self.thresholds));
        let mut reasons: Vec<_> = reasons.collect();
        reasons.dedup();
        reasons.join("; ")
    }

    /// What is left to a human of sign-ins that no step answers: of one whose account is not told, and
    /// of those beside the first.
    fn remedy(&self) -> Option<String> {
        let successes = self.found.iter().map(|found| &found.finding);
        let mut successes = successes.filter(|finding| finding.pattern.is_success());
        let first = successes.next()?;
        let mut left = Vec::new();
        if !self.disables {
            left.push(format!(
                "{} accounts were disabled within the hour, which is the limit (MaxAccountsPerHour): if \
                 this one was taken over too, start this runbook with compromised true",
                self.thresholds.accounts_per_hour
            ));
        }
        if first.subject.is_none() {
            let event = &self.sign_in.event.id;
            left.push(format!(
                "whose account it is, the event does not tell: find the session that began then in the \
                 CRM's logs (event {event}), and start this runbook with that user as subject"
            ));
        }
        let others = successes.filter_map(|finding| finding.subject.as_ref());
        let others: Vec<_> = others.map(ToString::to_string).collect();
        if !others.is_empty() {
            left.push(format!(
                "these accounts were signed in to in the same way: start this runbook for each, with \
                 compromised true: {}",
                others.join(", ")
            ));
        }
        (!left.is_empty()).then(|| left.join("; "))
    }
}

impl Finding {
    fn reason(&self, thresholds: &Thresholds) -> String {
        let wrong = format!("{} wrong passwords or codes", self.attempts);
        let from = match self.networks {
            0 => "through a server".to_owned(),
            count => format!("from {}", several(count, "network")),
        };
        let of = several(self.accounts, "account");
        let window = lasting(thresholds.window);
        let day = lasting(DAY);
        let after = match self.pattern {
            Pattern::TakenOver => {
                format!("somebody signed in to an account of the CRM after {wrong} {from}")
            }
            Pattern::Found => format!(
                "somebody signed in to an account of the CRM from a network that had tried {wrong} on \
                 {of}"
            ),
            Pattern::OneAccount => {
                format!("{wrong} for one account of the CRM within {window}, {from}")
            }
            Pattern::SlowAccount => {
                format!("{wrong} for one account of the CRM within {day}, {from}")
            }
            Pattern::OneNetwork => format!("one network tried {wrong} on {of} within {window}"),
            Pattern::SlowNetwork => format!("one network tried {wrong} on {of} within {day}"),
            Pattern::UnknownUsers => format!(
                "{} attempts to sign in as users who do not exist within {window}, {from}",
                self.attempts
            ),
            Pattern::Untold => format!(
                "{} attempts at the hosted login from one network within {window}; how they ended is \
                 not told",
                self.attempts
            ),
            Pattern::Doubtful => format!(
                "somebody signed in to an account of the CRM after {wrong} {from} within {day}: it may be \
                 its owner"
            ),
            Pattern::NewPlace => "somebody signed in to an account of the CRM".to_owned(),
        };
        let Some(location) = &self.location else {
            return after;
        };
        let never = if location.is_new {
            ", a country it never signed in from"
        } else {
            ""
        };
        let risk = location
            .risk
            .as_ref()
            .map(|risk| format!(" (threat protection: {risk})"));
        format!(
            "{after}, from {}{never}{}",
            location.place,
            risk.unwrap_or_default()
        )
    }
}

fn stranger() -> Actor {
    Actor::unidentified("a stranger at the sign-in, who has no identity in this account")
}

fn several(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn lasting(span: SignedDuration) -> String {
    match (span.as_hours(), span.as_mins()) {
        (hours, minutes) if hours > 1 && minutes % 60 == 0 => format!("{hours} hours"),
        (_, 1) => "1 minute".to_owned(),
        (_, minutes) => format!("{minutes} minutes"),
    }
}
