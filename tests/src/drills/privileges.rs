//! Privileges that somebody gives away.

use super::{Drill, Report, answered, proof};
use crate::range::{Context, DENY_POLICY_ARN, Range, Result};

pub(super) const POLICY_ATTACHED: Drill = Drill {
    name: "policy-attached",
    what: "an administrator makes another user an administrator, and gives them a key",
    run: |range, report| Box::pin(policy_attached(range, report)),
};

async fn policy_attached(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let rita = range.attacker_user("rita").await?;
    let ruth = range.user_without_rights("ruth").await?;
    report.attack("rita calls iam:AttachUserPolicy: ruth is an administrator; a new key of hers");
    let event = rita.make_administrator(ruth.name()).await?;
    let with_new_key = range.with_new_key(ruth.name()).await?;
    proof::may_work(report, &ruth).await?;

    let run = answered(range, report, &event).await?;

    proof::answered_by_runbook(report, &run, "privilege-escalation")?;
    proof::ended_green(report, &run)?;
    proof::user_is_denied(range, report, &rita).await?;
    proof::refused_again(report, rita.make_administrator(ruth.name()).await)?;
    proof::cannot_stop_trail(report, &ruth).await?;
    proof::cannot_stop_trail(report, &with_new_key).await?;
    let attached = range.aws.iam.list_attached_user_policies();
    let attached = attached.user_name(ruth.name()).send().await;
    let attached = attached.context("iam:ListAttachedUserPolicies")?;
    report.proves(
        "what ruth was given is gone",
        attached.attached_policies().is_empty(),
    )
}

pub(super) const TRUST_OPENED: Drill = Drill {
    name: "trust-opened",
    what: "an administrator opens a role's trust to another account",
    run: |range, report| Box::pin(trust_opened(range, report)),
};

async fn trust_opened(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let ralph = range.attacker_user("ralph").await?;
    let stranger = range
        .attacker_session("staff/back-office", "stranger")
        .await?;
    report.attack("ralph calls iam:UpdateAssumeRolePolicy: another account may be back-office");
    let event = ralph.open_trust("back-office").await?;

    let run = answered(range, report, &event).await?;

    proof::answered_by_runbook(report, &run, "privilege-escalation")?;
    proof::ended_green(report, &run)?;
    let role = range
        .aws
        .iam
        .get_role()
        .role_name("back-office")
        .send()
        .await;
    let role = role.context("iam:GetRole")?.role.context("no such role")?;
    let trust = role.assume_role_policy_document.unwrap_or_default();
    report.proves(
        "the other account is out again",
        !trust.contains("999988887777"),
    )?;
    let attached = range.aws.iam.list_attached_role_policies();
    let attached = attached.role_name("back-office").send().await;
    let attached = attached.context("iam:ListAttachedRolePolicies")?;
    let denied = |policy: &str| policy == DENY_POLICY_ARN;
    report.proves(
        "the role itself is not denied: whoever belongs there assumes it again",
        !attached
            .attached_policies()
            .iter()
            .filter_map(|it| it.policy_arn())
            .any(denied),
    )?;
    proof::cannot_stop_trail(report, &stranger).await?;
    proof::refused_again(report, ralph.open_trust("back-office").await)
}
