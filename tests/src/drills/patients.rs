//! Patient data, read by somebody other than the CRM; decoys; the denial that is taken off.

use super::{Drill, Report, answered, proof};
use crate::range::{
    Context, DECOY, DENY_POLICY_ARN, Event, PATIENT, Range, Result, STACK, WORKLOAD,
};

pub(super) const DECOY_READ: Drill = Drill {
    name: "decoy-read",
    what: "an IAM user reads the decoy record, another the whole table",
    run: |range, report| Box::pin(decoy_read(range, report)),
};

async fn decoy_read(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let crm = range.attacker_session(WORKLOAD, "patients-api").await?;
    let paul = range.attacker_user("paul").await?;
    report.attack("paul calls dynamodb:GetItem of the decoy");
    let event = paul.read_patient(DECOY).await?;
    let run = answered(range, report, &event).await?;
    proof::answered_by_runbook(report, &run, "honey-token")?;
    proof::ended_green(report, &run)?;
    proof::user_is_denied(range, report, &paul).await?;
    proof::refused_again(report, paul.read_patient(PATIENT).await)?;
    let told = proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    report.proves(
        "nothing that people or the history were told names the decoy",
        !told
            .iter()
            .any(|message| message.facts.to_string().contains(DECOY))
            && !run.mentions(DECOY),
    )?;
    proof::crm_serves(report, &crm).await?;

    let pamela = range.attacker_user("pamela").await?;
    report.attack("pamela calls dynamodb:Scan");
    let event = pamela.scan_patients().await?;
    let run = answered(range, report, &event).await?;
    proof::answered_by_runbook(report, &run, "honey-token")?;
    proof::ended_green(report, &run)?;
    proof::refused_again(report, pamela.scan_patients().await)?;
    proof::crm_serves(report, &crm).await
}

pub(super) const CRM_READS_DECOY: Drill = Drill {
    name: "crm-reads-decoy",
    what: "the CRM's own role reads patients all day, then the decoy",
    run: |range, report| Box::pin(crm_reads_decoy(range, report)),
};

async fn crm_reads_decoy(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let crm = range.attacker_session(WORKLOAD, "patients-api").await?;
    let work = crm.read_patient(PATIENT).await?.by_function();
    let deliveries = range.deliver(&work).await?;
    report.proves("no rule takes the CRM's own work", deliveries.is_empty())?;
    let before = range.snapshot().await?;
    report.attack("somebody who holds the CRM's role calls dynamodb:GetItem of the decoy");
    let event = crm.read_patient(DECOY).await?.by_function();
    let run = answered(range, report, &event).await?;
    proof::answered_by_runbook(report, &run, "honey-token")?;
    proof::ended_red(report, &run, "a workload of the CRM")?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "nothing in IAM was touched",
        &after.iam.changes_since(&before.iam),
    )?;
    proof::crm_serves(report, &crm).await
}

pub(super) const TABLE_DRAINED: Drill = Drill {
    name: "table-drained",
    what: "the alarm on the volume of reads goes off, and the trail has no log group to ask",
    run: |range, report| Box::pin(table_drained(range, report)),
};

async fn table_drained(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let before = range.snapshot().await?;
    report.attack("far more is read from the table than the CRM ever needs");
    let event = Event::alarm(&format!("{STACK}-patients-drained"));
    let run = answered(range, report, &event).await?;
    proof::answered_by_runbook(report, &run, "honey-token")?;
    report.proves(
        "the readers were looked for",
        run.times("Find readers") >= 1,
    )?;
    proof::ended_red(report, &run, "it is not known who read")?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "nobody was contained",
        &after.iam.changes_since(&before.iam),
    )?;
    proof::told(range, report, &run.name, &["opened", "closed"])
        .await
        .map(|_| ())
}

pub(super) const PATIENT_READ: Drill = Drill {
    name: "patient-read",
    what: "a session of an administrator's role reads a patient's record",
    run: |range, report| Box::pin(patient_read(range, report)),
};

async fn patient_read(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let crm = range.attacker_session(WORKLOAD, "patients-api").await?;
    let peter = range.attacker_session("staff/reader", "peter").await?;
    report.attack("peter, in a session of staff/reader, calls dynamodb:GetItem");
    let event = peter.read_patient(PATIENT).await?;
    let run = answered(range, report, &event).await?;
    proof::answered_by_runbook(report, &run, "patient-data-access")?;
    proof::ended_green(report, &run)?;
    proof::refused_again(report, peter.read_patient(PATIENT).await)?;
    proof::crm_serves(report, &crm).await
}

pub(super) const DENIAL_TAKEN_OFF: Drill = Drill {
    name: "denial-taken-off",
    what: "an accomplice takes the denial off a contained administrator",
    run: |range, report| Box::pin(denial_taken_off(range, report)),
};

async fn denial_taken_off(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let pia = range.attacker_user("pia").await?;
    let session = range.user_session(&pia).await?;
    let event = pia.read_patient(PATIENT).await?;
    let run = answered(range, report, &event).await?;
    proof::ended_green(report, &run)?;
    let priscilla = range.attacker_user("priscilla").await?;
    report.attack("priscilla calls iam:DetachUserPolicy on pia's denial");
    let event = priscilla.detach_denial(pia.name()).await?;

    let run = answered(range, report, &event).await?;

    proof::answered_by_runbook(report, &run, "patient-data-access")?;
    proof::ended_green(report, &run)?;
    for user in [&pia, &priscilla] {
        proof::user_is_denied(range, report, user).await?;
    }
    let found = range.aws.iam.get_user().user_name(pia.name()).send().await;
    let found = found.context("iam:GetUser")?;
    let boundary = found.user().and_then(|user| user.permissions_boundary());
    report.proves(
        "pia's permissions boundary denies everything, too",
        boundary.and_then(|it| it.permissions_boundary_arn()) == Some(DENY_POLICY_ARN),
    )?;
    proof::refused_again(report, session.read_patient(PATIENT).await)?;
    proof::refused_again(report, priscilla.detach_denial(pia.name()).await)
}
