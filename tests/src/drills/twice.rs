//! What comes more than once.

use serde_json::json;
use tokio::try_join;

use super::{Drill, Report, answered, answered_by, proof};
use crate::range::{Context, Range, Result};

pub(super) const SAME_EVENT_TWICE: Drill = Drill {
    name: "same-event-twice",
    what: "the event of one attack is delivered twice at once",
    run: |range, report| Box::pin(same_event_twice(range, report)),
};

async fn same_event_twice(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("eva").await?;
    report.attack("eva calls cloudtrail:StopLogging");
    let event = eve.stop_trail().await?;

    let (one, other) = try_join!(range.deliver(&event), range.deliver(&event))?;
    let deliveries = [one, other].concat();
    let run = answered_by(range, report, &event, &deliveries).await?;

    let ended = |state| {
        deliveries
            .iter()
            .filter(|delivery| delivery.triage.times(state) == 1)
            .count()
    };
    report.proves("one delivery started the runbook", ended("Started") == 1)?;
    report.proves("the other found it started", ended("Already started") == 1)?;
    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    proof::user_is_denied(range, report, &eve).await?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    Ok(())
}

pub(super) const TWO_ACTORS: Drill = Drill {
    name: "two-actors",
    what: "two users stop the trail at once",
    run: |range, report| Box::pin(two_actors(range, report)),
};

async fn two_actors(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let bonnie = range.attacker_user("bonnie").await?;
    let clyde = range.attacker_user("clyde").await?;
    report.attack("bonnie and clyde both call cloudtrail:StopLogging");
    let first = bonnie.stop_trail().await?;
    let second = clyde.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let (one, other) = try_join!(range.deliver(&first), range.deliver(&second))?;
    let first = answered_by(range, report, &first, &one).await?;
    let second = answered_by(range, report, &second, &other).await?;

    proof::ended_green(report, &first)?;
    proof::ended_green(report, &second)?;
    proof::trail_logs(range, report).await?;
    for actor in [&bonnie, &clyde] {
        proof::user_is_denied(range, report, actor).await?;
        proof::cannot_stop_trail(report, actor).await?;
    }
    Ok(())
}

pub(super) const ONE_ACTOR_TWO_EVENTS: Drill = Drill {
    name: "one-actor-two-events",
    what: "one user stops the trail twice, and both events arrive at once",
    run: |range, report| Box::pin(one_actor_two_events(range, report)),
};

async fn one_actor_two_events(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("evan").await?;
    report.attack("evan calls cloudtrail:StopLogging, twice");
    let first = eve.stop_trail().await?;
    let second = eve.stop_trail().await?;

    let (one, other) = try_join!(range.deliver(&first), range.deliver(&second))?;
    let first = answered_by(range, report, &first, &one).await?;
    let second = answered_by(range, report, &second, &other).await?;

    for run in [&first, &second] {
        proof::ended_green(report, run)?;
    }
    let denials = [&first, &second].map(|run| run.answers("Deny all").count());
    report.proves(
        "one of the two runs denied him",
        denials.iter().sum::<usize>() == 1,
    )?;
    proof::user_is_denied(range, report, &eve).await?;
    proof::cannot_stop_trail(report, &eve).await?;
    proof::trail_logs(range, report).await
}

pub(super) const SAME_ACTOR_AGAIN: Drill = Drill {
    name: "same-actor-again",
    what: "an actor who is contained: a late event of theirs, then an operator's re-runs",
    run: |range, report| Box::pin(same_actor_again(range, report)),
};

async fn same_actor_again(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("evita").await?;
    report.attack("evita calls cloudtrail:StopLogging, twice");
    let late = eve.stop_trail().await?;
    let event = eve.stop_trail().await?;
    let run = answered(range, report, &event).await?;
    proof::ended_green(report, &run)?;
    let before = range.snapshot().await?;

    report.attack("the first event arrives late");
    let run = answered(range, report, &late).await?;
    proof::ended_green(report, &run)?;
    let machine = range.output("CloudtrailDisabledArn")?;
    let whole = run.answers("Open incident").next().cloned();
    let whole = whole.context("no incident was opened")?["incident"].clone();
    let short = json!({"actor": eve.identity["arn"], "reason": "to be sure"});
    for (form, input) in [
        ("with the same input", whole),
        ("with the short form", short),
    ] {
        report.attack(format!("an operator runs the runbook again {form}"));
        let run = range.run(machine, &input).await?;
        report.done(&run);
        proof::ended_green(report, &run)?;
    }

    let after = range.snapshot().await?;
    report.proves_unchanged(
        "none of them changed anything in IAM",
        &after.iam.changes_since(&before.iam),
    )?;
    proof::user_is_denied(range, report, &eve).await?;
    proof::trail_logs(range, report).await
}
