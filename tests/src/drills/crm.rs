//! The ground itself: the CRM that is protected serves those whom it should, and nobody else.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::{Drill, Report};
use crate::range::{Context, Error, Nurse, PATIENT, Range, Result, SignIn, Tokens};

/// Where the nurses work: one of the clinic's own addresses.
const CLINIC: &str = "192.0.2.10";

/// What the API answers.
const OK: u16 = 200;
const UNAUTHORIZED: u16 = 401;

pub(super) const CRM_SERVES: Drill = Drill {
    name: "crm-serves",
    what: "nobody attacks: a nurse works, and whoever is no nurse is refused",
    run: |range, report| Box::pin(crm_serves(range, report)),
};

async fn crm_serves(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let nina = range.nurse("nina").await?;
    let mistyped = range.sign_in(&nina, "correct-horse", CLINIC).await?;
    report.proves("a wrong password is refused", is_refused(&mistyped))?;
    let nobody = Nurse::nobody("nobody@clinic.example");
    let guessed = range.sign_in(&nobody, Nurse::PASSWORD, CLINIC).await?;
    report.proves(
        "a name that nobody has is refused in the same words",
        is_refused(&guessed) && guessed.outcome.err() == mistyped.outcome.as_ref().err().cloned(),
    )?;
    let signed_in = range.sign_in(&nina, Nurse::PASSWORD, CLINIC).await?;
    let attempts = [mistyped.event, signed_in.event.clone()];
    let seen = range.deliver_all(&attempts).await?;
    report.proves(
        "no runbook minds that",
        seen.iter().all(|delivery| delivery.incident().is_none()),
    )?;

    let tokens = given(signed_in)?;
    let token = tokens.access.as_str();
    let reads = async |nurse, token| range.read_by_api(nurse, token, PATIENT, CLINIC).await;
    let read = reads(&nina, Some(token)).await?;
    report.proves("nina reads a patient", read == OK)?;
    let read = reads(&nina, None).await?;
    report.proves("nobody does without a token", read == UNAUTHORIZED)?;
    let (signed, _) = token.rsplit_once('.').context("a token has three parts")?;
    let forged = format!("{signed}.{}", "A".repeat(342));
    let read = reads(&nina, Some(&forged)).await?;
    report.proves("nor with a forged one", read == UNAUTHORIZED)?;

    let subject = nina.subject.as_deref().context("nina has an account")?;
    deny(range, subject).await?;
    let read = reads(&nina, Some(token)).await?;
    report.proves("nor nina, once on the deny list", read == UNAUTHORIZED)?;
    let nora = range.nurse("nora").await?;
    let others = given(range.sign_in(&nora, Nurse::PASSWORD, CLINIC).await?)?;
    let read = reads(&nora, Some(&others.access)).await?;
    report.proves("nora, who is not on it, reads the patient", read == OK)?;

    let (cognito, pool) = (&range.aws.cognito, range.crm("UserPoolId")?);
    let call = cognito.admin_user_global_sign_out().user_pool_id(pool);
    let signed_out = call.username(&nora.name).send().await;
    signed_out.context("cognito-idp:AdminUserGlobalSignOut")?;
    let refused = range.refresh(&others).await?;
    report.proves(
        "whoever is signed out everywhere gets no new token",
        refused.as_deref() == Some(NOT_AUTHORIZED),
    )?;
    let call = cognito.admin_disable_user().user_pool_id(pool);
    let disabled = call.username(&nora.name).send().await;
    disabled.context("cognito-idp:AdminDisableUser")?;
    let again = range.sign_in(&nora, Nurse::PASSWORD, CLINIC).await?;
    report.proves("whoever is disabled cannot sign in", is_refused(&again))?;
    let read = reads(&nora, Some(&others.access)).await?;
    report.proves(
        "the token from before still works: only the deny list ends it",
        read == OK,
    )?;

    firewall_is_in_front(range, report).await
}

/// What Cognito says to whoever is not let in.
const NOT_AUTHORIZED: &str = "NotAuthorizedException";

fn is_refused(attempt: &SignIn) -> bool {
    let refusal = attempt.outcome.as_ref().err();
    refusal.is_some_and(|why| why.starts_with(NOT_AUTHORIZED))
}

fn given(attempt: SignIn) -> Result<Tokens> {
    attempt
        .outcome
        .map_err(|why| Error::new(format!("a nurse may not sign in: {why}")))
}

/// Puts a subject on the deny list of the CRM's authorizer.
async fn deny(range: &Range, subject: &str) -> Result<()> {
    let until = Timestamp::now().as_second() + 900;
    let put = range.aws.dynamodb.put_item();
    put.table_name(range.crm("DenyListTableName")?)
        .item("subject", AttributeValue::S(subject.to_owned()))
        .item("expiresAt", AttributeValue::N(until.to_string()))
        .send()
        .await
        .context("dynamodb:PutItem")
        .map(|_| ())
}

/// The web ACL, with both sets of addresses, is before the API and the user pool.
async fn firewall_is_in_front(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let (waf, acl) = (&range.aws.waf, range.crm("WebAclArn")?);
    let guarded = waf.list_resources_for_web_acl().web_acl_arn(acl);
    let guarded = guarded.send().await;
    let guarded = guarded
        .context("wafv2:ListResourcesForWebACL")?
        .resource_arns;
    let guarded = guarded.unwrap_or_default();
    for part in [":apigateway:", ":cognito-idp:"] {
        let (_, name) = part.trim_end_matches(':').split_at(1);
        report.proves(
            format!("the firewall is before {name}"),
            guarded.iter().any(|arn| arn.contains(part)),
        )?;
    }
    let arn = guarded.first().context("the web ACL guards nothing")?;
    let found = waf
        .get_web_acl_for_resource()
        .resource_arn(arn)
        .send()
        .await;
    let found = found.context("wafv2:GetWebACLForResource")?;
    let rules = format!("{:?}", found.web_acl.context("no web ACL")?.rules);
    for set in ["IpSetV4Arn", "IpSetV6Arn"] {
        report.proves(
            format!("it blocks what is in the set of {set}"),
            rules.contains(range.crm(set)?),
        )?;
    }
    Ok(())
}
