//! The protected account: what is there before Tourniquet is deployed into it.

use aws_sdk_cloudtrail::types::{AdvancedEventSelector, AdvancedFieldSelector};
use aws_sdk_iam::{error::SdkError, types::Role};
use serde_json::json;

use super::{
    ACCOUNT, ADMINISTRATOR, Attacker, DENY_POLICY_ARN, EVERYTHING, GLASS, LOG_BUCKET,
    MAX_PRINCIPALS_PER_HOUR, OPERATOR, REGION, Range, SHARED, TRAIL, TRAIL_ARN, WORKLOAD, archive,
    clients::Clients,
    crm,
    error::{Context, Result},
};

/// What the template is deployed with.
pub(crate) fn parameters(key: &str) -> Vec<(&'static str, String)> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let role = |path: &str| format!("arn:aws:iam::{ACCOUNT}:role/{path}");
    vec![
        ("Mode", "enforce".to_owned()),
        (
            "BreakGlassArns",
            format!("arn:aws:iam::{ACCOUNT}:user/{GLASS}"),
        ),
        ("OperatorRoleArns", role(OPERATOR)),
        ("WorkloadRoleArns", role(WORKLOAD)),
        ("CiRoleArns", role(SHARED)),
        ("SiteBucketName", crm::SITE.to_owned()),
        ("PatientsTableArn", crm::patients_arn()),
        ("DecoyValues", crm::DECOY.to_owned()),
        ("NeverBlockCidrs", "192.0.2.0/24".to_owned()),
        ("DeployRoleArns", role(SHARED)),
        ("TrailArn", TRAIL_ARN.to_owned()),
        ("TrailBucketName", LOG_BUCKET.to_owned()),
        ("TrailKeyArn", key.to_owned()),
        // The emulator's AWSDenyAll denies nothing: it has no document.
        ("DenyPolicyArn", DENY_POLICY_ARN.to_owned()),
        ("MaxPrincipalsPerHour", MAX_PRINCIPALS_PER_HOUR.to_string()),
        ("Architecture", architecture.to_owned()),
    ]
}

/// Makes the account that is protected: its trail, its log bucket, its people, its roles, and the
/// policy that denies everything. The trail's key is there already.
pub(crate) async fn furnish(aws: &Clients, key: &str) -> Result<()> {
    let deny = aws.iam.create_policy().policy_name("DenyAll");
    let denied = deny.policy_document(EVERYTHING.replace("Allow", "Deny"));
    denied
        .send()
        .await
        .context("creating the policy that denies everything")?;
    for path in [OPERATOR, WORKLOAD, SHARED] {
        role(aws, path).await?;
    }
    crm::furnish(aws).await?;
    archive::make_bucket_whole(aws).await?;
    make_trail_whole(aws, key).await
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

/// Makes the trail what it should be: there, as it was set up, logging, selecting what it should.
async fn make_trail_whole(aws: &Clients, key: &str) -> Result<()> {
    let cloudtrail = &aws.cloudtrail;
    let found = cloudtrail
        .describe_trails()
        .trail_name_list(TRAIL_ARN)
        .send()
        .await
        .context("cloudtrail:DescribeTrails")?;
    if found.trail_list().is_empty() {
        let create = cloudtrail.create_trail().name(TRAIL);
        let created = create.s3_bucket_name(LOG_BUCKET).send().await;
        created.context("cloudtrail:CreateTrail")?;
    }
    cloudtrail
        .update_trail()
        .name(TRAIL_ARN)
        .s3_bucket_name(LOG_BUCKET)
        .kms_key_id(key)
        .is_multi_region_trail(true)
        .include_global_service_events(true)
        .enable_log_file_validation(true)
        .send()
        .await
        .context("cloudtrail:UpdateTrail")?;
    let patients = format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/Patients");
    cloudtrail
        .put_event_selectors()
        .trail_name(TRAIL_ARN)
        .advanced_event_selectors(selector(
            "Every management event",
            &[("eventCategory", "Management")],
        )?)
        .advanced_event_selectors(selector(
            "Patient records",
            &[
                ("eventCategory", "Data"),
                ("resources.type", "AWS::DynamoDB::Table"),
                ("resources.ARN", &patients),
            ],
        )?)
        .send()
        .await
        .context("cloudtrail:PutEventSelectors")?;
    let started = cloudtrail.start_logging().name(TRAIL_ARN).send().await;
    started.context("cloudtrail:StartLogging").map(|_| ())
}

fn selector(name: &str, fields: &[(&str, &str)]) -> Result<AdvancedEventSelector> {
    let mut selector = AdvancedEventSelector::builder().name(name);
    for (field, value) in fields {
        let field = AdvancedFieldSelector::builder()
            .field(*field)
            .equals(*value);
        selector = selector.field_selectors(field.build().context("a field selector")?);
    }
    selector.build().context("a selector")
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
        make_trail_whole(&self.aws, &self.key).await
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
