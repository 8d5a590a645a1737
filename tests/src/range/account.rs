//! The protected account: what Tourniquet is told about it, and what is there that no template made.

use std::collections::BTreeSet;

use aws_sdk_cloudtrail::types::{AdvancedEventSelector, Trail};
use aws_sdk_iam::{error::SdkError, types::Role};
use serde_json::json;

use super::{
    ACCOUNT, ADMINISTRATOR, Attacker, DENY_POLICY_ARN, EVERYTHING, GLASS, MAX_PRINCIPALS_PER_HOUR,
    OPERATOR, Range, SHARED, TRAIL_ARN, WORKLOAD,
    clients::Clients,
    crm,
    error::{Context, Result},
    stack::{Outputs, Parameters},
};
use crate::template::Template;

/// What is not as `sam deploy` makes it from the shipped templates on AWS.
pub(crate) const STAND_INS: &str = "\
`sam deploy` deploys infra/crm.yaml and infra/template.yaml, as on AWS. What differs:
- The emulator's CloudFormation lacks the trail, the IP sets and the web ACL's associations: they are
  made by its own APIs. An alarm on an expression watches one metric. When the trail's files expire
  is set by API. The tables' point-in-time recovery and the web ACL's logging are left out, as is
  GitHub's identity provider.
- Its CloudTrail, WAF and API Gateway write no logs, and its WAF stops nobody: a drill delivers
  CloudTrail's events and writes the API's access log. The trail's log group stays empty, so
  Tourniquet is not told of it. Its Logs Insights has been taught the workers' queries.
- Made by API, since no template makes them: the policy DenyAll (AWSDenyAll has no document here), the
  roles operator, crm and deploy (the CRM's own may do too little to attack with), patient P-1001, and
  each drill's attackers and nurses.";

/// The output of the CRM that Tourniquet is not given: the trail's log group stays empty here.
const WITHHELD: &str = "TrailLogGroupName";

/// The processor that functions run on.
pub(crate) fn architecture() -> String {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

/// What Tourniquet's template is deployed with: what the CRM's stack answers, as far as the template
/// asks for it, and what people would choose.
pub(crate) fn parameters(template: &Template, crm: &Outputs) -> Parameters {
    let asked: BTreeSet<_> = template
        .section("Parameters")
        .map(|(name, _)| name)
        .collect();
    let mut parameters: Parameters = crm
        .iter()
        .filter(|(name, _)| asked.contains(name.as_str()) && *name != WITHHELD)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let role = |path: &str| format!("arn:aws:iam::{ACCOUNT}:role/{path}");
    for (name, path) in [("WorkloadRoleArns", WORKLOAD), ("CiRoleArns", SHARED)] {
        let arns = parameters.entry(name.to_owned()).or_default();
        arns.push(',');
        arns.push_str(&role(path));
    }
    let glass = format!("arn:aws:iam::{ACCOUNT}:user/{GLASS}");
    let chosen = [
        ("Mode", "enforce".to_owned()),
        ("BreakGlassArns", glass),
        ("OperatorRoleArns", role(OPERATOR)),
        ("DeployRoleArns", role(SHARED)),
        ("DecoyValues", crm::DECOY.to_owned()),
        ("NeverBlockCidrs", "192.0.2.0/24".to_owned()),
        ("DenyPolicyArn", DENY_POLICY_ARN.to_owned()),
        ("MaxPrincipalsPerHour", MAX_PRINCIPALS_PER_HOUR.to_string()),
        ("Architecture", architecture()),
    ];
    parameters.extend(chosen.map(|(name, value)| (name.to_owned(), value)));
    parameters
}

/// Makes what no template makes: the policy that denies everything, and the roles.
pub(crate) async fn furnish(aws: &Clients) -> Result<()> {
    let deny = aws.iam.create_policy().policy_name("DenyAll");
    let denied = deny.policy_document(EVERYTHING.replace("Allow", "Deny"));
    denied
        .send()
        .await
        .context("creating the policy that denies everything")?;
    for path in [OPERATOR, WORKLOAD, SHARED] {
        role(aws, path).await?;
    }
    Ok(())
}

/// The role at `path`, with administrator rights; made when there is none.
pub(crate) async fn role(aws: &Clients, path: &str) -> Result<Role> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match aws.iam.get_role().role_name(name).send().await {
        Ok(found) => return found.role.context("no role was found"),
        Err(SdkError::ServiceError(error)) if error.err().is_no_such_entity_exception() => {}
        Err(error) => return Err(error).context("iam:GetRole"),
    }
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
        "Action": "sts:AssumeRole",
    }]});
    let call = aws.iam.create_role().role_name(name);
    let created = call
        .path(if folder.is_empty() {
            "/".to_owned()
        } else {
            format!("/{folder}/")
        })
        .assume_role_policy_document(trust.to_string())
        .send()
        .await;
    let role = created.context(format!("creating the role {path}"))?.role;
    let call = aws.iam.attach_role_policy().role_name(name);
    let attached = call.policy_arn(ADMINISTRATOR).send().await;
    attached.context(format!("giving the role {path} its rights"))?;
    role.context("no role was created")
}

/// The trail as the CRM's stack made it.
#[derive(Debug)]
pub(crate) struct DeployedTrail {
    trail: Trail,
    selectors: Vec<AdvancedEventSelector>,
}

impl DeployedTrail {
    /// Reads its settings and its selectors.
    pub(crate) async fn read(aws: &Clients) -> Result<Self> {
        let described = aws.cloudtrail.describe_trails().trail_name_list(TRAIL_ARN);
        let described = described
            .send()
            .await
            .context("cloudtrail:DescribeTrails")?;
        let trail = described.trail_list().first().cloned();
        let selectors = aws.cloudtrail.get_event_selectors().trail_name(TRAIL_ARN);
        let selectors = selectors.send().await;
        let selectors = selectors.context("cloudtrail:GetEventSelectors")?;
        Ok(Self {
            trail: trail.context(format!("there is no trail {TRAIL_ARN}"))?,
            selectors: selectors.advanced_event_selectors.unwrap_or_default(),
        })
    }

    /// Makes it so again: there, logging, as it was set up.
    async fn put_back(&self, aws: &Clients) -> Result<()> {
        let (cloudtrail, trail) = (&aws.cloudtrail, self.trail.clone());
        let found = cloudtrail.describe_trails().trail_name_list(TRAIL_ARN);
        let found = found.send().await.context("cloudtrail:DescribeTrails")?;
        if found.trail_list().is_empty() {
            cloudtrail
                .create_trail()
                .set_name(trail.name)
                .set_s3_bucket_name(trail.s3_bucket_name.clone())
                .send()
                .await
                .context("cloudtrail:CreateTrail")?;
        }
        cloudtrail
            .update_trail()
            .name(TRAIL_ARN)
            .set_s3_bucket_name(trail.s3_bucket_name)
            .set_kms_key_id(trail.kms_key_id)
            .set_is_multi_region_trail(trail.is_multi_region_trail)
            .set_include_global_service_events(trail.include_global_service_events)
            .set_enable_log_file_validation(trail.log_file_validation_enabled)
            .set_cloud_watch_logs_log_group_arn(trail.cloud_watch_logs_log_group_arn)
            .set_cloud_watch_logs_role_arn(trail.cloud_watch_logs_role_arn)
            .send()
            .await
            .context("cloudtrail:UpdateTrail")?;
        cloudtrail
            .put_event_selectors()
            .trail_name(TRAIL_ARN)
            .set_advanced_event_selectors(Some(self.selectors.clone()))
            .send()
            .await
            .context("cloudtrail:PutEventSelectors")?;
        let started = cloudtrail.start_logging().name(TRAIL_ARN).send().await;
        started.context("cloudtrail:StartLogging").map(|_| ())
    }
}

impl Range {
    /// A new managed policy that allows everything; its ARN.
    pub(crate) async fn allowing_policy(&self, name: &str) -> Result<String> {
        let create = self.aws.iam.create_policy().policy_name(name);
        let created = create.policy_document(EVERYTHING).send().await;
        let policy = created.context(format!("creating the policy {name}"))?;
        let arn = policy.policy.and_then(|policy| policy.arn);
        arn.context("no policy was created")
    }

    /// Deletes an IAM user, as a colleague who acts in haste would.
    pub(crate) async fn delete_user(&self, user: &Attacker) -> Result<()> {
        let (iam, name) = (&self.aws.iam, user.name());
        let keys = iam.list_access_keys().user_name(name).send().await;
        for key in keys.context("iam:ListAccessKeys")?.access_key_metadata() {
            let delete = iam.delete_access_key().user_name(name);
            let deleted = delete
                .set_access_key_id(key.access_key_id.clone())
                .send()
                .await;
            deleted.context("iam:DeleteAccessKey")?;
        }
        let detach = iam.detach_user_policy().user_name(name);
        let detached = detach.policy_arn(ADMINISTRATOR).send().await;
        detached.context("iam:DetachUserPolicy")?;
        let deleted = iam.delete_user().user_name(name).send().await;
        deleted.context("iam:DeleteUser").map(|_| ())
    }

    /// Makes the trail what it should be, whatever a drill left of it.
    pub(crate) async fn reset_trail(&self) -> Result<()> {
        self.deployed_trail.put_back(&self.aws).await
    }

    /// Whether the trail is there and logs.
    pub(crate) async fn trail_logs(&self) -> Result<bool> {
        match self
            .aws
            .cloudtrail
            .get_trail_status()
            .name(TRAIL_ARN)
            .send()
            .await
        {
            Ok(status) => Ok(status.is_logging == Some(true)),
            Err(SdkError::ServiceError(error)) if error.err().is_trail_not_found_exception() => {
                Ok(false)
            }
            Err(error) => Err(error).context("cloudtrail:GetTrailStatus"),
        }
    }
}
