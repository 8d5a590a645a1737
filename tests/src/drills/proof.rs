//! What a drill proves, each in one call.

use std::error::Error as StdError;

use aws_sdk_iam::types::StatusType;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use super::Report;
use crate::range::{
    Attacker, Context, DENY_POLICY_ARN, Delivery, Error, Event, Message, PATIENT, REFUSALS, Range,
    Result, Run, Snapshot, TRAIL_ARN,
};

/// The attack worked: the trail does not log.
pub(super) async fn trail_is_silent(range: &Range, report: &mut Report<'_>) -> Result<()> {
    if range.trail_logs().await? {
        return Err(Error::new("the attack did nothing: the trail still logs"));
    }
    report.attack("the trail is silent");
    Ok(())
}

/// The trail is there and logs.
pub(super) async fn trail_logs(range: &Range, report: &mut Report<'_>) -> Result<()> {
    report.proves("the trail logs", range.trail_logs().await?)
}

/// It was this runbook that answered.
pub(super) fn answered_by_runbook(report: &mut Report<'_>, run: &Run, name: &str) -> Result<()> {
    report.proves(format!("{name} answers"), run.machine.ends_with(name))
}

/// The run ended green.
pub(super) fn ended_green(report: &mut Report<'_>, run: &Run) -> Result<()> {
    report.proves("the run ended green", run.succeeded())
}

/// The run ended red, and says `why`.
pub(super) fn ended_red(report: &mut Report<'_>, run: &Run, why: &str) -> Result<()> {
    report.proves(
        format!("the run ended red, saying \"{why}\""),
        run.failed_with("ContainmentIncomplete") && run.cause.contains(why),
    )
}

/// The attack worked: something that watches is not as it was.
pub(super) async fn surveillance_is_damaged(
    range: &Range,
    report: &mut Report<'_>,
    before: &Snapshot,
) -> Result<()> {
    let now = range.snapshot().await?;
    if now.surveillance_since(before).is_empty() {
        return Err(Error::new("the attack did nothing: all is as it was"));
    }
    report.attack("it worked");
    Ok(())
}

/// The trail logs, and all that watches is as it was.
pub(super) async fn surveillance_is_back(
    range: &Range,
    report: &mut Report<'_>,
    before: &Snapshot,
) -> Result<()> {
    trail_logs(range, report).await?;
    let now = range.snapshot().await?;
    report.proves_unchanged(
        "the trail, its bucket, its key and our rules are as before",
        &now.surveillance_since(before),
    )
}

/// What was delivered started nothing: triage ignored it, if any rule matched at all.
pub(super) fn ignored(report: &mut Report<'_>, claim: &str, deliveries: &[Delivery]) -> Result<()> {
    report.proves(
        claim,
        deliveries
            .iter()
            .all(|delivery| delivery.triage.times("Ignored") == 1),
    )
}

/// The check of the trails, when it was due, ended in `state`.
pub(super) async fn checked(
    range: &Range,
    report: &mut Report<'_>,
    state: &str,
) -> Result<Delivery> {
    due(range, report, "trails-checked", state).await
}

/// What the rule `rule` starts by its schedule, when it was due, ended in `state`.
pub(super) async fn due(
    range: &Range,
    report: &mut Report<'_>,
    rule: &str,
    state: &str,
) -> Result<Delivery> {
    let mut checks = range.tick(rule).await?;
    for check in &checks {
        report.seen(check);
    }
    let (Some(check), true) = (checks.pop(), checks.is_empty()) else {
        return Err(Error::new(format!("{rule} is not due by a schedule")));
    };
    report.proves(
        format!("the check ends \"{state}\""),
        check.triage.times(state) == 1,
    )?;
    Ok(check)
}

/// The attacker does it again, and AWS refuses.
pub(super) fn refused_again(report: &mut Report<'_>, again: Result<Event>) -> Result<()> {
    match again {
        Ok(event) => Err(Error::new(format!("they may still call {}", event.name()))),
        Err(error) => {
            let text = error.to_string();
            let refusal = REFUSALS.into_iter().find(|code| text.contains(code));
            let call = text.split(": ").next().unwrap_or_default();
            let claim = format!("{call} again: {}", refusal.unwrap_or("?"));
            report.proves(claim, refusal.is_some())
        }
    }
}

/// Among what the run left for a human is `call`.
pub(super) fn left(report: &mut Report<'_>, run: &Run, call: &str) -> Result<()> {
    let closing = run.answers("Close incident").next();
    let open = closing.map(|closing| closing["open"].to_string());
    report.proves(
        format!("a human is told to call {call}"),
        open.is_some_and(|open| open.contains(call)),
    )
}

/// Whoever was not meant works on.
pub(super) async fn may_work(report: &mut Report<'_>, other: &Attacker) -> Result<()> {
    let described = other.aws.cloudtrail.describe_trails().send().await;
    described.context(format!("{} calls cloudtrail:DescribeTrails", other.who))?;
    report.proves(format!("{} works on", other.who), true)
}

/// The CRM reads a patient's record as ever.
pub(super) async fn crm_serves(report: &mut Report<'_>, crm: &Attacker) -> Result<()> {
    crm.read_patient(PATIENT).await?;
    report.proves("the CRM serves patients", true)
}

/// The attacker does it again, and AWS refuses.
pub(super) async fn cannot_stop_trail(report: &mut Report<'_>, attacker: &Attacker) -> Result<()> {
    let call = attacker.aws.cloudtrail.stop_logging().name(TRAIL_ARN);
    refused(
        report,
        attacker,
        "cloudtrail:StopLogging",
        call.send().await,
    )
}

/// AWS refused what the attacker asked for.
pub(super) fn refused<T, E, R>(
    report: &mut Report<'_>,
    attacker: &Attacker,
    call: &str,
    answer: std::result::Result<T, SdkError<E, R>>,
) -> Result<()>
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: std::fmt::Debug,
{
    let code = match &answer {
        Ok(_) => {
            return Err(Error::new(format!(
                "{} may still call {call}",
                attacker.who
            )));
        }
        Err(SdkError::ServiceError(error)) => error.err().code(),
        Err(error) => return Err(Error::from(error)),
    };
    report.proves(
        format!("{} calls {call}: {}", attacker.who, code.unwrap_or("?")),
        code.is_some_and(|code| REFUSALS.contains(&code)),
    )
}

/// Whether AWS refused, by the text of what came of it.
pub(super) fn is_refusal(error: &Error) -> bool {
    let text = error.to_string();
    REFUSALS.into_iter().any(|code| text.contains(code))
}

/// The user's keys are all off, and the policy that denies everything is attached.
pub(super) async fn user_is_denied(
    range: &Range,
    report: &mut Report<'_>,
    user: &Attacker,
) -> Result<()> {
    let (iam, name) = (&range.aws.iam, user.name());
    let attached = iam
        .list_attached_user_policies()
        .user_name(name)
        .send()
        .await;
    let attached = attached.context("iam:ListAttachedUserPolicies")?;
    report.proves(
        format!("{name} is under the policy that denies everything"),
        attached
            .attached_policies()
            .iter()
            .any(|policy| policy.policy_arn() == Some(DENY_POLICY_ARN)),
    )?;
    let keys = iam.list_access_keys().user_name(name).send().await;
    for key in keys.context("iam:ListAccessKeys")?.access_key_metadata() {
        report.proves(
            format!(
                "the key {} of {name} is off",
                masked(key.access_key_id().unwrap_or_default())
            ),
            key.status() == Some(&StatusType::Inactive),
        )?;
    }
    Ok(())
}

/// People were told of the incident on these occasions, and on no other.
pub(super) async fn told(
    range: &Range,
    report: &mut Report<'_>,
    incident: &str,
    occasions: &[&str],
) -> Result<Vec<Message>> {
    let mut told = range.messages().await?;
    told.retain(|message| message.facts["incidentId"] == incident);
    report.proves(
        match occasions {
            [] => "people were told nothing new".to_owned(),
            _ => format!("people were told: {}", occasions.join(" and ")),
        },
        told.iter()
            .map(Message::occasion)
            .eq(occasions.iter().copied()),
    )?;
    Ok(told)
}

fn masked(key: &str) -> String {
    match (
        key.get(..4),
        key.len().checked_sub(4).and_then(|end| key.get(end..)),
    ) {
        (Some(start), Some(end)) => format!("{start}...{end}"),
        _ => "(unreadable)".to_owned(),
    }
}
