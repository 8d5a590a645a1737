//! Where an intended change would send the logs: nowhere but to this account.

use incident::Arn;
use log_archive::Archive;
use trail::Trail;
use worker::Failure;

use crate::{Candidate, RecordBaseline};

impl RecordBaseline {
    /// Why a destination that is new by what is intended must not get the logs, in words; empty
    /// when all of them may.
    ///
    /// # Errors
    /// When it may be known later.
    pub(crate) async fn strangers(
        &self,
        trail: &Candidate<Trail>,
        archive: &Candidate<Archive>,
    ) -> Result<Vec<String>, Failure> {
        let text = |arn: &Option<String>| arn.clone();
        let arns = [
            ("key", trail.news_of(|it| text(&it.settings.kms_key_id))),
            (
                "key",
                archive.news_of(|it| it.key.as_ref().map(ToString::to_string)),
            ),
            // By its name alone, it is one of this account.
            (
                "topic",
                trail
                    .news_of(|it| text(&it.settings.sns_topic))
                    .filter(|topic| topic.starts_with("arn:")),
            ),
            (
                "log group",
                trail.news_of(|it| text(&it.settings.cloud_watch_logs_log_group_arn)),
            ),
        ];
        let mut strangers: Vec<_> = arns
            .into_iter()
            .filter_map(|(what, arn)| self.of_another_account(what, &arn?))
            .collect();
        strangers.dedup();
        let mut buckets = vec![
            trail.news_of(|it| Some(it.settings.s3_bucket_name.clone())),
            archive.news_of(|it| it.bucket.clone()),
        ];
        buckets.dedup();
        for bucket in buckets.into_iter().flatten() {
            strangers.extend(self.bucket_of_another_account(&bucket).await?);
        }
        Ok(strangers)
    }

    fn of_another_account(&self, what: &str, arn: &str) -> Option<String> {
        let account = &self.names.account;
        match arn.parse::<Arn>() {
            Ok(arn) if arn.account() == account => None,
            Ok(arn) => Some(format!("the {what} {arn} is not of account {account}")),
            Err(_) => Some(format!(
                "whose the {what} {arn} is cannot be seen: write its whole ARN"
            )),
        }
    }

    async fn bucket_of_another_account(&self, bucket: &str) -> Result<Option<String>, Failure> {
        let account = &self.names.account;
        let asked = self.archive.s3.get_bucket_location().bucket(bucket);
        let Err(error) = asked.expected_bucket_owner(account).send().await else {
            return Ok(None);
        };
        match Failure::aws("s3:GetBucketLocation", &error) {
            later @ Failure::Transient(_) => Err(later),
            Failure::TargetNotFound(_) => Ok(Some(format!(
                "there is no bucket {bucket}, and whoever makes it would get the logs: create it \
                 first"
            ))),
            failure => Ok(Some(format!(
                "the bucket {bucket} is not of account {account}, as far as can be seen ({failure})"
            ))),
        }
    }
}

impl<T> Candidate<T> {
    /// What something becomes by what is intended, where neither the baseline has it nor the one
    /// before.
    fn news_of(&self, something: impl Fn(&T) -> Option<String>) -> Option<String> {
        let before = self.before.as_ref().ok().and_then(Option::as_ref);
        let intended = something(self.now.intended.as_ref()?)?;
        let known = [Some(&self.now), before];
        let mut known = known.into_iter().flatten();
        let known = known.any(|it| something(&it.baseline).as_ref() == Some(&intended));
        (!known).then_some(intended)
    }
}
