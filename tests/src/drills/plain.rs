//! Those who are contained: the principal, or the session where others share the role.

use super::{Drill, Report, answered, proof};
use crate::range::{Range, Result, SHARED};

pub(super) const USER_STOPS_TRAIL: Drill = Drill {
    name: "user-stops-trail",
    what: "an IAM user with administrator rights stops the trail",
    run: |range, report| Box::pin(user_stops_trail(range, report)),
};

async fn user_stops_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("eve").await?;
    let session = range.user_session(&eve).await?;
    report.attack("eve gets herself a session, then calls cloudtrail:StopLogging");
    let event = eve.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    proof::user_is_denied(range, report, &eve).await?;
    proof::cannot_stop_trail(report, &eve).await?;
    proof::cannot_stop_trail(report, &session).await?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    Ok(())
}

pub(super) const USER_DELETES_TRAIL: Drill = Drill {
    name: "user-deletes-trail",
    what: "an IAM user with administrator rights deletes the trail",
    run: |range, report| Box::pin(user_deletes_trail(range, report)),
};

async fn user_deletes_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("evelyn").await?;
    let before = range.snapshot().await?;
    report.attack("evelyn calls cloudtrail:DeleteTrail");
    let event = eve.delete_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "the new trail has the settings and selectors of the old one",
        &after.trail.changes_since(&before.trail),
    )?;
    proof::user_is_denied(range, report, &eve).await?;
    proof::cannot_stop_trail(report, &eve).await
}

pub(super) const ROLE_STOPS_TRAIL: Drill = Drill {
    name: "role-stops-trail",
    what: "a session of an administrator's role stops the trail",
    run: |range, report| Box::pin(role_stops_trail(range, report)),
};

async fn role_stops_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let mallory = range.attacker_session("staff/admin", "mallory").await?;
    report.attack("mallory, in a session of staff/admin, calls cloudtrail:StopLogging");
    let event = mallory.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    proof::cannot_stop_trail(report, &mallory).await?;
    let again = range
        .attacker_session("staff/admin", "mallory-again")
        .await?;
    proof::cannot_stop_trail(report, &again).await
}

pub(super) const SHARED_ROLE_STOPS_TRAIL: Drill = Drill {
    name: "shared-role-stops-trail",
    what: "one session of the deployment role, which many use, stops the trail",
    run: |range, report| Box::pin(shared_role_stops_trail(range, report)),
};

async fn shared_role_stops_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let thief = range.attacker_session(SHARED, "run-7").await?;
    let colleague = range.attacker_session(SHARED, "run-8").await?;
    report.attack("run-7, a session of deploy, calls cloudtrail:StopLogging");
    let event = thief.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    proof::cannot_stop_trail(report, &thief).await?;
    proof::may_work(report, &colleague).await
}

pub(super) const FEDERATED_USER_STOPS_TRAIL: Drill = Drill {
    name: "federated-user-stops-trail",
    what: "a user hands all rights to a federated session, which stops the trail",
    run: |range, report| Box::pin(federated_user_stops_trail(range, report)),
};

async fn federated_user_stops_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let issuer = range.attacker_user("frank").await?;
    let federated = range.federated_user(&issuer, "temp").await?;
    report.attack("frank calls sts:GetFederationToken; the session calls cloudtrail:StopLogging");
    let event = federated.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    proof::user_is_denied(range, report, &issuer).await?;
    proof::cannot_stop_trail(report, &issuer).await?;
    proof::cannot_stop_trail(report, &federated).await
}
