//! Events that start no runbook.

use super::{Drill, Report, proof};
use crate::range::{Error, Range, Result};

pub(super) const DENIED_ATTEMPT: Drill = Drill {
    name: "denied-attempt",
    what: "a user without the right to it tries to stop the trail",
    run: |range, report| Box::pin(denied_attempt(range, report)),
};

async fn denied_attempt(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let intern = range.user_without_rights("ivan").await?;
    report.attack("ivan calls cloudtrail:StopLogging, and is refused by IAM");
    let event = intern.try_to_stop_trail().await?;
    let before = range.snapshot().await?;

    let deliveries = range.deliver(&event).await?;
    let [delivery] = &deliveries[..] else {
        return Err(Error::new(format!("{} rules match", deliveries.len())));
    };
    report.seen(delivery);

    report.proves("a human was told", delivery.triage.times("Escalated") == 1)?;
    report.proves(
        "no runbook was started",
        delivery.triage.times("Start runbook") == 0,
    )?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "nothing was changed in IAM and at the trail",
        &[
            after.iam.changes_since(&before.iam),
            after.trail.changes_since(&before.trail),
            after.logging.changes_since(&before.logging),
        ]
        .concat(),
    )?;
    proof::trail_logs(range, report).await
}
