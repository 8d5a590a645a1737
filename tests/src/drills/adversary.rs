//! An accomplice, who is not contained, fights back while the runbook waits.

use std::{future::pending, time::Duration};

use tokio::{select, time::sleep};

use super::{Drill, Report, answered, proof};
use crate::range::{Attacker, Context, DENY_POLICY_ARN, Range, Result};

pub(super) const DENIAL_UNDONE_ONCE: Drill = Drill {
    name: "denial-undone-once",
    what: "an accomplice takes the denial off once, behind our back",
    run: |range, report| Box::pin(denial_undone_once(range, report)),
};

async fn denial_undone_once(range: &Range, report: &mut Report<'_>) -> Result<()> {
    range.scale_waits(SCALE)?;
    let eve = range.attacker_user("edgar").await?;
    let accomplice = range.attacker_user("alma").await?;
    report.attack("edgar calls cloudtrail:StopLogging; alma takes his denial off once");
    let event = eve.stop_trail().await?;

    let work = Box::pin(answered(range, report, &event));
    let run = while_undone(work, &accomplice, eve.name(), 1).await?;

    report.proves("it took two rounds", run.times("Verify containment") == 2)?;
    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    proof::user_is_denied(range, report, &eve).await?;
    proof::cannot_stop_trail(report, &eve).await
}

pub(super) const DENIAL_UNDONE_ALWAYS: Drill = Drill {
    name: "denial-undone-always",
    what: "an accomplice takes the denial off again and again",
    run: |range, report| Box::pin(denial_undone_always(range, report)),
};

async fn denial_undone_always(range: &Range, report: &mut Report<'_>) -> Result<()> {
    range.scale_waits(SCALE)?;
    let eve = range.attacker_user("edmund").await?;
    let accomplice = range.attacker_user("alba").await?;
    report.attack("edmund calls cloudtrail:StopLogging; alba takes his denial off every time");
    let event = eve.stop_trail().await?;

    let work = Box::pin(answered(range, report, &event));
    let run = while_undone(work, &accomplice, eve.name(), usize::MAX).await?;

    report.proves("it took three rounds", run.times("Verify containment") == 3)?;
    proof::ended_red(report, &run, "deny")?;
    proof::trail_logs(range, report).await?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    Ok(())
}

pub(super) const TRAIL_BLINDED_MEANWHILE: Drill = Drill {
    name: "trail-blinded-meanwhile",
    what: "an accomplice makes the restored trail record next to nothing, while we wait",
    run: |range, report| Box::pin(trail_blinded_meanwhile(range, report)),
};

async fn trail_blinded_meanwhile(range: &Range, report: &mut Report<'_>) -> Result<()> {
    range.scale_waits(SCALE)?;
    let eve = range.attacker_user("edna").await?;
    let accomplice = range.attacker_user("alice").await?;
    report.attack("edna calls cloudtrail:StopLogging; alice then makes it record reads only");
    let event = eve.stop_trail().await?;
    let before = range.snapshot().await?;

    let blinding = async {
        while !range.trail_logs().await? {
            sleep(Duration::from_millis(50)).await;
        }
        // Not before the restoration is done with it.
        sleep(Duration::from_millis(500)).await;
        accomplice.narrow_trail().await?;
        pending().await
    };
    let run = select! {
        run = Box::pin(answered(range, report, &event)) => run,
        failed = blinding => failed,
    }?;

    report.proves("it took two rounds", run.times("Verify containment") == 2)?;
    proof::ended_green(report, &run)?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "the trail has its settings and selectors back",
        &after.trail.changes_since(&before.trail),
    )?;
    proof::trail_logs(range, report).await
}

/// Waits take a tenth of what they say: long enough to be used against us.
const SCALE: f64 = 0.1;

/// Waits for `work`, while the accomplice takes the denial off `user`, so many times at most.
async fn while_undone<T>(
    work: impl Future<Output = Result<T>>,
    accomplice: &Attacker,
    user: &str,
    times: usize,
) -> Result<T> {
    let meddling = async {
        for _ in 0..times {
            undo_denial(accomplice, user).await?;
        }
        pending().await
    };
    select! {
        done = work => done,
        failed = meddling => failed,
    }
}

/// Waits until `user` is denied, and takes the denial off.
async fn undo_denial(accomplice: &Attacker, user: &str) -> Result<()> {
    let iam = &accomplice.aws.iam;
    loop {
        let attached = iam
            .list_attached_user_policies()
            .user_name(user)
            .send()
            .await;
        let attached = attached.context("iam:ListAttachedUserPolicies")?;
        let denied = attached
            .attached_policies()
            .iter()
            .any(|policy| policy.policy_arn() == Some(DENY_POLICY_ARN));
        if denied {
            let detach = iam.detach_user_policy().user_name(user);
            let detached = detach.policy_arn(DENY_POLICY_ARN).send().await;
            return detached.context("iam:DetachUserPolicy").map(|_| ());
        }
        sleep(Duration::from_millis(50)).await;
    }
}
