//! When something is in the way.

use serde_json::json;
use tokio::try_join;

use super::{Drill, Report, answered, answered_by, proof};
use crate::range::{Attacker, Context, DENY_POLICY_ARN, Range, Result, TRAIL_ARN};

pub(super) const POLICY_SLOTS_FULL: Drill = Drill {
    name: "policy-slots-full",
    what: "a user with no policy slot left, and a permissions boundary, stops the trail",
    run: |range, report| Box::pin(policy_slots_full(range, report)),
};

async fn policy_slots_full(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("evander").await?;
    let session = range.user_session(&eve).await?;
    for slot in 1..10 {
        let policy = range.allowing_policy(&format!("slot-{slot}")).await?;
        let attach = range.aws.iam.attach_user_policy().user_name(eve.name());
        let attached = attach.policy_arn(policy).send().await;
        attached.context("filling a slot")?;
    }
    let boundary = range.allowing_policy("boundary").await?;
    let put = range.aws.iam.put_user_permissions_boundary();
    let put = put.user_name(eve.name()).permissions_boundary(&boundary);
    put.send().await.context("setting a boundary")?;
    report.attack("evander, with ten policies attached, calls cloudtrail:StopLogging");
    let event = eve.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    proof::trail_logs(range, report).await?;
    let user = range.aws.iam.get_user().user_name(eve.name()).send().await;
    let user = user.context("iam:GetUser")?.user.context("no such user")?;
    report.proves(
        "the boundary is now the policy that denies everything",
        user.permissions_boundary()
            .is_some_and(|now| now.permissions_boundary_arn() == Some(DENY_POLICY_ARN)),
    )?;
    let ledger = range.ledger().await?;
    report.proves(
        format!("the ledger holds the old one, {boundary}"),
        ledger.iter().any(|item| {
            item["sk"] == "permissions-boundary"
                && item["pk"]
                    .as_str()
                    .is_some_and(|pk| pk.ends_with(user.arn()))
                && item["original"]
                    .as_str()
                    .is_some_and(|old| old.contains(&boundary))
        }),
    )?;
    proof::cannot_stop_trail(report, &eve).await?;
    proof::cannot_stop_trail(report, &session).await
}

pub(super) const LEDGER_GONE: Drill = Drill {
    name: "ledger-gone",
    what: "the trail is stopped while the ledger's table does not exist",
    run: |range, report| Box::pin(ledger_gone(range, report)),
};

async fn ledger_gone(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let taken = range.take_ledger().await?;
    let result = without_ledger(range, report).await;
    range.put_ledger_back(taken).await?;
    result
}

async fn without_ledger(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("eveline").await?;
    report.attack("eveline calls cloudtrail:StopLogging; the ledger is gone");
    let event = eve.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_red(report, &run, "ledger")?;
    proof::trail_logs(range, report).await?;
    proof::user_is_denied(range, report, &eve).await?;
    proof::cannot_stop_trail(report, &eve).await?;
    report.proves(
        "what an undo needs is in the answers",
        ["Deny all", "Revoke sessions"].iter().all(|state| {
            let mut answers = run.answers(state);
            answers.any(|answer| {
                answer["undo"]
                    .as_array()
                    .is_some_and(|undo| !undo.is_empty())
            })
        }),
    )?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    Ok(())
}

pub(super) const ACTOR_IS_GONE: Drill = Drill {
    name: "actor-is-gone",
    what: "the user who stopped the trail is deleted before the runbook runs",
    run: |range, report| Box::pin(actor_is_gone(range, report)),
};

async fn actor_is_gone(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("ephemera").await?;
    report.attack("ephemera calls cloudtrail:StopLogging; a colleague deletes her at once");
    let event = eve.stop_trail().await?;
    range.delete_user(&eve).await?;

    let run = answered(range, report, &event).await?;

    let mut failures = run.failures("Deny all");
    report.proves(
        "Deny all failed as TargetNotFound",
        failures
            .next()
            .is_some_and(|failure| failure.error == "TargetNotFound"),
    )?;
    // Only that Catch marks the step so that the incident is closed with these words.
    let closing = run.answers("Close incident").next();
    report.proves(
        "the Catch of that name took it",
        closing.is_some_and(|closing| {
            closing["open"]
                .to_string()
                .contains("find out whether it was deleted")
        }),
    )?;
    proof::ended_red(report, &run, "does not exist")?;
    proof::trail_logs(range, report).await?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    Ok(())
}

pub(super) const LIMIT_REACHED: Drill = Drill {
    name: "limit-reached",
    what: "the trail is stopped when as many principals were contained as may be in an hour",
    run: |range, report| Box::pin(limit_reached(range, report)),
};

async fn limit_reached(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("evette").await?;
    let before = range.fill_budget(0).await?;
    let result = beyond_limit(range, report, &eve).await;
    range.put_budget_back(before).await?;
    result
}

async fn beyond_limit(range: &Range, report: &mut Report<'_>, eve: &Attacker) -> Result<()> {
    report.attack("evette calls cloudtrail:StopLogging twice; a hundred others were contained");
    let first = eve.stop_trail().await?;
    let second = eve.stop_trail().await?;
    let before = range.snapshot().await?;

    let (one, other) = try_join!(range.deliver(&first), range.deliver(&second))?;
    for (event, deliveries) in [(&first, &one), (&second, &other)] {
        let run = answered_by(range, report, event, deliveries).await?;
        proof::ended_red(report, &run, "MaxPrincipalsPerHour")?;
    }
    proof::trail_logs(range, report).await?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "nothing in IAM was touched",
        &after.iam.changes_since(&before.iam),
    )?;
    proof::may_work(report, eve).await
}

pub(super) const UNHEALTHY_BASELINE: Drill = Drill {
    name: "unhealthy-baseline",
    what: "an operator records the baseline of a trail that does not log",
    run: |range, report| Box::pin(unhealthy_baseline(range, report)),
};

async fn unhealthy_baseline(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("evaristo").await?;
    report.attack("evaristo calls cloudtrail:StopLogging; an operator records the baseline");
    eve.stop_trail().await?;
    let before = range.snapshot().await?;

    let machine = range.output("RecordBaselineArn")?;
    let run = range
        .run(machine, &json!({"reason": "it looked fine"}))
        .await?;
    report.done(&run);

    report.proves("it was refused", run.failed_with("NotRecorded"))?;
    proof::told(range, report, &run.name, &["refused"]).await?;
    let after = range.snapshot().await?;
    report.proves_unchanged("nothing was changed", &after.changes_since(&before))
}

pub(super) const DRY_RUN: Drill = Drill {
    name: "dry-run",
    what: "an operator asks what would be done, while trail, bucket, key and rules are tampered with",
    run: |range, report| Box::pin(dry_run(range, report)),
};

async fn dry_run(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("everett").await?;
    report.attack("everett blinds us in every way he knows; an operator starts a dry run");
    eve.stop_trail().await?;
    eve.delete_bucket_policy().await?;
    eve.schedule_key_deletion(&range.key).await?;
    eve.disable_rule(range.watcher("-trail-tampered")?.name())
        .await?;
    proof::trail_is_silent(range, report).await?;
    let before = range.snapshot().await?;

    let input = json!({
        "actor": eve.identity["arn"],
        "target": TRAIL_ARN,
        "reason": "what would be done?",
        "dryRun": true,
    });
    let run = range
        .run(range.output("CloudtrailDisabledArn")?, &input)
        .await?;
    report.done(&run);

    let after = range.snapshot().await?;
    report.proves_unchanged(
        "nothing was changed: not IAM, not what watches, not the ledger",
        &after.changes_since(&before),
    )?;
    proof::may_work(report, &eve).await?;
    let told = proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    report.proves(
        "they were told that it was a dry run",
        told.iter()
            .all(|message| message.subject.starts_with("[DRY RUN ")),
    )
}

pub(super) const BAD_INPUT: Drill = Drill {
    name: "bad-input",
    what: "an operator starts the runbook with input that does not fit",
    run: |range, report| Box::pin(bad_input(range, report)),
};

async fn bad_input(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let before = range.snapshot().await?;
    let machine = range.output("CloudtrailDisabledArn")?;
    for (field, input) in [
        (
            "reason",
            json!({"actor": "arn:aws:iam::000000000000:user/eve"}),
        ),
        (
            "actor",
            json!({"actor": "eve", "reason": "a name is no ARN"}),
        ),
        (
            "runbook",
            json!({"runbook": "make-coffee", "reason": "nobody knows that runbook"}),
        ),
        (
            "target",
            json!({
                "target": "arn:aws:cloudtrail:us-east-1:000000000000:trail/nobodys",
                "reason": "a trail that is not watched",
            }),
        ),
    ] {
        report.attack(format!("an operator starts the runbook with {input}"));
        let run = range.run(machine, &input).await?;
        report.done(&run);
        report.proves(
            format!("it was refused, naming `{field}`"),
            run.failed_with("Refused")
                && run.failures("Open incident").any(|failure| {
                    failure.error == "InvalidInput" && failure.cause.contains(field)
                }),
        )?;
        proof::told(range, report, &run.name, &["refused"]).await?;
    }
    let after = range.snapshot().await?;
    report.proves_unchanged("nothing was changed", &after.changes_since(&before))
}
