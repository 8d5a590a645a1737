//! Those who must not be contained: the damage is repaired, they stay as they are, a human is told
//! the call, and the run ends red.

use serde_json::json;

use super::{Drill, Report, answered, proof};
use crate::range::{Attacker, GLASS, OPERATOR, Range, Result, WORKLOAD};

pub(super) const ROOT_STOPS_TRAIL: Drill = Drill {
    name: "root-stops-trail",
    what: "root stops the trail",
    run: |range, report| {
        Box::pin(async move { spared(range, report, &range.root(), "IAM cannot deny root").await })
    },
};

pub(super) const SSO_STOPS_TRAIL: Drill = Drill {
    name: "sso-stops-trail",
    what: "a user of IAM Identity Center stops the trail",
    run: |range, report| Box::pin(sso_stops_trail(range, report)),
};

async fn sso_stops_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let role = "aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef";
    let alice = range.attacker_session(role, "alice@clinic.example").await?;
    spared(range, report, &alice, "only AWS may modify it").await
}

pub(super) const PROTECTED_STOP_TRAIL: Drill = Drill {
    name: "protected-stop-trail",
    what: "break-glass access, an operator and the CRM itself stop the trail",
    run: |range, report| Box::pin(protected_stop_trail(range, report)),
};

async fn protected_stop_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let glass = range.with_new_key(GLASS).await?;
    spared(range, report, &glass, "break-glass access").await?;
    let operator = range.attacker_session(OPERATOR, "olga").await?;
    spared(range, report, &operator, "the operators' own").await?;
    let crm = range.attacker_session(WORKLOAD, "patients-api").await?;
    spared(range, report, &crm, "a workload of the CRM").await
}

pub(super) const OTHERS_STOP_TRAIL: Drill = Drill {
    name: "others-stop-trail",
    what: "a service-linked role, an AWS service, another account and somebody unnamed stop it",
    run: |range, report| Box::pin(others_stop_trail(range, report)),
};

async fn others_stop_trail(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let role = "aws-service-role/example.amazonaws.com/AWSServiceRoleForExample";
    let linked = range.attacker_session(role, "example").await?;
    spared(range, report, &linked, "service-linked").await?;
    // Nobody can sign as one of these: root makes the call, and the event names them.
    for (who, identity, reason) in [
        (
            "an AWS service",
            json!({"type": "AWSService", "invokedBy": "example.amazonaws.com"}),
            "there is no principal to deny",
        ),
        (
            "another account",
            json!({
                "type": "AWSAccount",
                "principalId": "AIDAEXAMPLEEXAMPLE123",
                "accountId": "999988887777",
            }),
            "which this account cannot change",
        ),
        ("somebody unnamed", json!(null), "nobody to contain"),
    ] {
        spared(range, report, &range.named(who, identity), reason).await?;
    }
    Ok(())
}

/// `attacker` stops the trail, and is left alone for `reason`.
async fn spared(
    range: &Range,
    report: &mut Report<'_>,
    attacker: &Attacker,
    reason: &str,
) -> Result<()> {
    let before = range.snapshot().await?;
    report.attack(format!("{} calls cloudtrail:StopLogging", attacker.who));
    let event = attacker.stop_trail().await?;
    proof::trail_is_silent(range, report).await?;

    let run = answered(range, report, &event).await?;

    proof::ended_red(report, &run, reason)?;
    proof::trail_logs(range, report).await?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "nothing in IAM was touched",
        &after.iam.changes_since(&before.iam),
    )?;
    let told = proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    let left = told
        .last()
        .map(|closed| closed.facts["closing"]["open"].to_string());
    report.proves(
        "they were told how to contain by hand",
        left.is_some_and(|left| left.contains(reason) && left.contains("By hand: ")),
    )
}
