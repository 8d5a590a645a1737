//! When something is in the way.

use serde_json::json;

use super::{Drill, Report, answered, proof};
use crate::range::{Context, DENY_POLICY_ARN, Range, Result, TRAIL_ARN};

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

    report.proves(
        "Deny all failed as TargetNotFound, and the Catch of that name took it",
        run.failures("Deny all")
            .all(|failure| failure.error == "TargetNotFound")
            && run.failures("Deny all").count() == 1,
    )?;
    proof::ended_red(report, &run, "does not exist")?;
    proof::trail_logs(range, report).await?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    Ok(())
}

pub(super) const DRY_RUN: Drill = Drill {
    name: "dry-run",
    what: "an operator asks what would be done, while the trail is stopped",
    run: |range, report| Box::pin(dry_run(range, report)),
};

async fn dry_run(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let eve = range.attacker_user("everett").await?;
    report.attack("everett calls cloudtrail:StopLogging; an operator starts a dry run");
    eve.stop_trail().await?;
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
        "nothing was changed: not IAM, not the trail, not the ledger",
        &after.changes_since(&before),
    )?;
    report.proves("everett may still work", proof::works(&eve).await?)?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    Ok(())
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
