//! The drills: real attacks on the local range, answered by the runbooks, and proved.

mod adversary;
mod bill;
mod blinded;
mod crm;
mod front_door;
mod hindered;
mod intended;
mod judged;
mod patients;
mod plain;
mod privileges;
mod proof;
mod report;
mod responder;
mod rotation;
mod spared;
mod twice;
mod unseen;
mod vandalism;

use std::{io::Write, pin::Pin};

use crate::range::{Attacker, Delivery, Error, Event, Range, Result, Run};
use report::Report;

/// Every drill that is run when none is named, in order.
pub const DRILLS: &[Drill] = &[
    crm::CRM_SERVES,
    plain::USER_STOPS_TRAIL,
    plain::USER_DELETES_TRAIL,
    plain::ROLE_STOPS_TRAIL,
    plain::SHARED_ROLE_STOPS_TRAIL,
    plain::FEDERATED_USER_STOPS_TRAIL,
    spared::ROOT_STOPS_TRAIL,
    spared::SSO_STOPS_TRAIL,
    spared::PROTECTED_STOP_TRAIL,
    spared::OTHERS_STOP_TRAIL,
    blinded::SELECTORS_NARROWED,
    blinded::TRAIL_REDIRECTED,
    blinded::BUCKET_POLICY_REMOVED,
    blinded::LIFECYCLE_SHORTENED,
    blinded::VERSIONING_SUSPENDED,
    blinded::LOG_FILES_DELETED,
    blinded::KEY_SCHEDULED_FOR_DELETION,
    responder::RULE_DISABLED,
    responder::RULE_DELETED,
    responder::RESPONDER_DISARMED,
    responder::BASELINE_BY_STRANGER,
    responder::DEPLOYMENT_LEFT_ALONE,
    unseen::TRAIL_STOPPED_SILENTLY,
    unseen::WATCHER_DELETED,
    unseen::DEVIATION_LASTS,
    intended::INTENDED_CHANGE,
    vandalism::SITE_DEFACED,
    vandalism::FILE_ADDED,
    vandalism::PAGES_DELETED,
    vandalism::NEWER_DEPLOY_WINS,
    vandalism::SITE_FLOODED,
    patients::DECOY_READ,
    patients::CRM_READS_DECOY,
    patients::TABLE_DRAINED,
    patients::PATIENT_READ,
    patients::DENIAL_TAKEN_OFF,
    privileges::POLICY_ATTACHED,
    privileges::TRUST_OPENED,
    rotation::IDENTITIES_ROTATED,
    rotation::ROTATED_BEYOND_LIMIT,
    front_door::PASSWORDS_GUESSED,
    front_door::ACCOUNT_TAKEN,
    front_door::NURSE_MISTYPES,
    front_door::SIGN_INS_STORM,
    front_door::BLOCKS_EXPIRE,
    front_door::API_ATTACKED,
    judged::DENIED_ATTEMPT,
    twice::SAME_EVENT_TWICE,
    twice::TWO_ACTORS,
    twice::ONE_ACTOR_TWO_EVENTS,
    twice::SAME_ACTOR_AGAIN,
    hindered::POLICY_SLOTS_FULL,
    hindered::LEDGER_GONE,
    hindered::ACTOR_IS_GONE,
    hindered::LIMIT_REACHED,
    hindered::UNHEALTHY_BASELINE,
    hindered::DRY_RUN,
    hindered::BAD_INPUT,
    adversary::DENIAL_UNDONE_ONCE,
    adversary::DENIAL_UNDONE_ALWAYS,
    adversary::TRAIL_BLINDED_MEANWHILE,
    responder::OUR_OWN_ACTIONS,
];

/// Drills that take minutes, and are run only when they are named.
pub const LONG_DRILLS: &[Drill] = &[vandalism::FLOOD];

/// One attack, and what must come of it.
#[derive(Debug)]
pub struct Drill {
    /// Its name on the command line.
    pub name: &'static str,
    /// The attack, in words.
    pub what: &'static str,
    run: for<'a> fn(&'a Range, &'a mut Report<'_>) -> Performance<'a>,
}

type Performance<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

impl Drill {
    /// Attacks `range`, and writes the account of it to `out`.
    ///
    /// # Errors
    /// Says what did not come out as it must.
    pub async fn perform(&self, range: &Range, out: &mut dyn Write) -> Result<()> {
        let mut report = Report::begin(self, out);
        let result = match range.tidy().await {
            Ok(()) => (self.run)(range, &mut report).await,
            Err(error) => Err(error),
        };
        report.end(&result);
        result
    }
}

/// Delivers `event`, waits for the runbook that answers it, and tells of both.
async fn answered(range: &Range, report: &mut Report<'_>, event: &Event) -> Result<Run> {
    let deliveries = range.deliver(event).await?;
    answered_by(range, report, event, &deliveries).await
}

/// Waits for the runbook that answers `event`, which was delivered, and tells of both.
async fn answered_by(
    range: &Range,
    report: &mut Report<'_>,
    event: &Event,
    deliveries: &[Delivery],
) -> Result<Run> {
    if deliveries.is_empty() {
        return Err(Error::new(format!("no rule matches {}", event.name())));
    }
    for delivery in deliveries {
        report.seen(delivery);
    }
    let incident = deliveries.iter().find_map(Delivery::incident);
    let run = range.incident(incident.unwrap_or(event.id())).await?;
    report.done(&run);
    Ok(run)
}

/// Attacks what watches, and proves that it is answered: the damage is undone, and the user who did
/// it may do nothing any more, that very call included.
async fn undone(
    range: &Range,
    report: &mut Report<'_>,
    user: &Attacker,
    attack: impl AsyncFn() -> Result<Event>,
) -> Result<()> {
    let before = range.snapshot().await?;
    let event = attack().await?;
    proof::surveillance_is_damaged(range, report, &before).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    proof::surveillance_is_back(range, report, &before).await?;
    proof::user_is_denied(range, report, user).await?;
    proof::refused_again(report, attack().await)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_drill_has_a_name_of_its_own() {
        let names: BTreeSet<_> = DRILLS
            .iter()
            .chain(LONG_DRILLS)
            .map(|drill| drill.name)
            .collect();
        assert_eq!(names.len(), DRILLS.len() + LONG_DRILLS.len());
        for name in names {
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{name}"
            );
        }
    }
}
