//! Attacks of which no event arrives: the check that is due every five minutes finds what they did.

use super::{Drill, Report, proof};
use crate::range::{Context, Delivery, Error, Range, Result, Run};

pub(super) const TRAIL_STOPPED_SILENTLY: Drill = Drill {
    name: "trail-stopped-silently",
    what: "the trail is stopped, and no event of it arrives",
    run: |range, report| Box::pin(trail_stopped_silently(range, report)),
};

async fn trail_stopped_silently(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("silas").await?;
    proof::checked(range, report, "As recorded").await?;
    report.attack("silas calls cloudtrail:StopLogging; the event is lost");
    user.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let check = proof::checked(range, report, "Started").await?;
    let run = started_by(range, report, &check).await?;

    proof::ended_red(report, &run, "nobody to contain")?;
    proof::trail_logs(range, report).await?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    proof::checked(range, report, "As recorded").await?;
    Ok(())
}

pub(super) const WATCHER_DELETED: Drill = Drill {
    name: "watcher-deleted",
    what: "the rule that watches our rules is deleted, so that its own deletion is not seen",
    run: |range, report| Box::pin(watcher_deleted(range, report)),
};

async fn watcher_deleted(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("wanda").await?;
    let watcher = range.watcher("-detection-tampered")?;
    let before = range.snapshot().await?;
    report.attack("wanda calls events:RemoveTargets and DeleteRule on the rule that watches them");
    for event in user.delete_rule(watcher).await? {
        let seen = range.deliver(&event).await?;
        report.proves(format!("nothing sees {}", event.name()), seen.is_empty())?;
    }
    proof::surveillance_is_damaged(range, report, &before).await?;

    let check = proof::checked(range, report, "Started").await?;
    let run = started_by(range, report, &check).await?;

    proof::ended_red(report, &run, "nobody to contain")?;
    proof::surveillance_is_back(range, report, &before).await
}

pub(super) const DEVIATION_LASTS: Drill = Drill {
    name: "deviation-lasts",
    what: "the key's policy is changed, no event arrives, and no worker may put it back",
    run: |range, report| Box::pin(deviation_lasts(range, report)),
};

async fn deviation_lasts(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("lasse").await?;
    report.attack("lasse calls kms:PutKeyPolicy, without CloudTrail; the event is lost");
    user.take_key(&range.key).await?;

    let check = proof::checked(range, report, "Started").await?;
    let run = started_by(range, report, &check).await?;
    proof::ended_red(report, &run, "aws kms put-key-policy")?;
    proof::left(report, &run, "nobody to contain")?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;

    let again = proof::checked(range, report, "Known").await?;
    report.proves("it is the same incident", incident_of(&again)? == run.name)?;
    proof::told(range, report, &run.name, &[]).await?;

    report.attack("two hours go by");
    range.age_episode().await?;
    proof::checked(range, report, "Reminded").await?;
    proof::checked(range, report, "Reminded").await?;
    proof::told(range, report, &run.name, &["lasting"]).await?;

    report.attack("a human puts the policy back");
    range.reset_archive().await?;
    proof::checked(range, report, "As recorded").await?;
    Ok(())
}

/// Waits for the runbook that a check started, and tells of it.
async fn started_by(range: &Range, report: &mut Report<'_>, check: &Delivery) -> Result<Run> {
    let run = range.incident(incident_of(check)?).await?;
    report.done(&run);
    Ok(run)
}

fn incident_of(check: &Delivery) -> Result<&str> {
    let Some(answer) = check.triage.answers("Check trails").next() else {
        return Err(Error::new("nothing was checked"));
    };
    let id = answer["incidentId"].as_str();
    id.context("the check names no incident")
}
