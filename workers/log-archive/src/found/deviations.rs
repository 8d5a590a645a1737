//! How what is there differs from what should be there, for people.

use incident::Deviation;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use worker::Failure;

use super::{ENCRYPTS_FOR_OTHERS, Found, KeyState, Property, counted};
use crate::{Archive, Versioning, Watched};

impl Found {
    /// How it differs from what it should be, by [`Found::should_be`]. A deviation has a remedy
    /// where `restore-log-archive` does not mend it.
    #[must_use]
    pub fn deviations<'a>(
        &self,
        expected: &Archive,
        watched: impl Into<Watched<'a>>,
        now: Timestamp,
    ) -> Vec<Deviation> {
        let watched = watched.into();
        [
            self.of_key(expected, watched),
            self.of_bucket(expected, watched, now),
            self.of_log_group(expected),
        ]
        .concat()
    }

    fn of_bucket(
        &self,
        expected: &Archive,
        watched: Watched<'_>,
        now: Timestamp,
    ) -> Vec<Deviation> {
        let is = &self.archive;
        let Some(bucket) = &is.bucket else {
            return Vec::new();
        };
        let mut all = other_than_recorded("log bucket", bucket, expected.bucket.as_ref());
        if !self.bucket_exists {
            all.push(Deviation {
                what: format!("the log bucket {bucket} is gone"),
                remedy: Some(format!(
                    "create it again in this account, aws s3api create-bucket --bucket {bucket} \
                     --create-bucket-configuration LocationConstraint=<its region>, and start the \
                     cloudtrail-disabled runbook, which puts back the rest; if its name is taken, \
                     give the trail another bucket and record it with the record-baseline runbook"
                )),
                state: format!("bucket {bucket} gone"),
            });
            return all;
        }
        all.extend(self.unread_of_bucket(bucket, watched));
        let differing = Property::OF_BUCKET.into_iter();
        let differing = differing.filter(|property| self.differs(*property, expected));
        all.extend(differing.map(|property| {
            match property {
                Property::BucketPolicy => {
                    bucket_policy(is.bucket_policy.as_ref(), bucket, watched, expected)
                }
                Property::BucketLifecycle => mended(
                    property,
                    is.expiry(now)
                        .as_deref()
                        .unwrap_or("the lifecycle of the log bucket is not as recorded"),
                    &is.bucket_lifecycle,
                ),
                Property::BucketVersioning => mended(
                    property,
                    match is.bucket_versioning {
                        Versioning::Enabled => "versioning of the log bucket is on",
                        Versioning::Suspended => "versioning of the log bucket is suspended",
                        Versioning::Off => "versioning of the log bucket is off",
                    },
                    &is.bucket_versioning,
                ),
                _ if is.encrypts_for_others(watched.names) => {
                    mended(property, ENCRYPTS_FOR_OTHERS, &is.encrypts())
                }
                _ => mended(
                    property,
                    "the encryption of the log bucket is not as recorded",
                    &is.encrypts(),
                ),
            }
        }));
        all
    }

    fn unread_of_bucket(&self, bucket: &str, watched: Watched<'_>) -> Vec<Deviation> {
        let account = &watched.names.account;
        let remedy = format!(
            "find out whose it is, aws s3api head-bucket --bucket {bucket} --expected-bucket-owner \
             {account}: another account's must not get the log files, so give the trail another \
             bucket; where its policy bars us, the account's root user can delete that, aws s3api \
             delete-bucket-policy --bucket {bucket}, and the cloudtrail-disabled runbook puts back \
             the recorded one"
        );
        let unread = self.unread.iter();
        let unread: Vec<_> = unread
            .filter(|(property, _)| Property::OF_BUCKET.contains(property))
            .collect();
        if let [(_, why), _, _, _] = unread[..] {
            return vec![Deviation {
                what: format!("the log bucket {bucket} is not readable, or not ours ({why})"),
                remedy: Some(remedy),
                state: "bucket unread".to_owned(),
            }];
        }
        let unread = unread.into_iter();
        unread
            .map(|(property, why)| unreadable(*property, why, remedy.clone()))
            .collect()
    }

    fn of_key(&self, expected: &Archive, watched: Watched<'_>) -> Vec<Deviation> {
        let Some(key) = &self.archive.key else {
            return Vec::new();
        };
        let recorded = expected.key.as_ref().map(ToString::to_string);
        let mut all = other_than_recorded("trail's key", &key.to_string(), recorded.as_ref());
        let (id, region) = (key.arn().as_str(), key.arn().region());
        let state = |what: &str, remedy: Option<String>| Deviation {
            what: format!("the trail's key {what}"),
            remedy,
            state: format!("key {what}"),
        };
        match &self.key_state {
            None | Some(KeyState::Enabled) => {}
            Some(KeyState::Disabled) => all.push(state("is disabled", None)),
            Some(KeyState::PendingDeletion) => all.push(state("is pending deletion", None)),
            Some(KeyState::Gone) => all.push(state(
                "is gone",
                Some(
                    "what it encrypted is lost; make another key, give it to the trail, aws \
                     cloudtrail update-trail --name <trail> --kms-key-id <key>, and record it with \
                     the record-baseline runbook"
                        .to_owned(),
                ),
            )),
            Some(KeyState::Other(other)) if other == "PendingImport" => all.push(state(
                "has lost its key material",
                Some(format!(
                    "import it again: aws kms get-parameters-for-import --key-id {id} --region \
                     {region}, then aws kms import-key-material"
                )),
            )),
            Some(KeyState::Other(other)) => all.push(state(
                &format!("cannot be used: {other}"),
                Some(format!(
                    "find out why: aws kms describe-key --key-id {id} --region {region}"
                )),
            )),
        }
        let unread = [Property::Key, Property::KeyPolicy];
        let unread = unread.map(|property| (property, self.unread.get(&property)));
        for (property, why) in unread {
            let remedy = format!(
                "look at its policy as an administrator of the key, aws kms get-key-policy --key-id \
                 {id} --region {region}; where nobody may any more, only AWS Support can help"
            );
            all.extend(why.map(|why| unreadable(property, why, remedy)));
        }
        if self.differs(Property::KeyPolicy, expected) {
            let policy = self.archive.key_policy.as_ref();
            all.push(Deviation {
                what: if policy.is_some_and(|policy| watched.delivery().may_encrypt(policy)) {
                    "the policy of the trail's key is not as recorded"
                } else {
                    "the policy of the trail's key shuts CloudTrail out"
                }
                .to_owned(),
                remedy: Some(format!(
                    "aws kms put-key-policy --key-id {id} --region {region} --policy-name default \
                     --policy file://recorded.json, with the keyPolicy that the ledger keeps in the \
                     trail's baseline"
                )),
                state: format!("key policy {}", written(&policy)),
            });
        }
        all
    }

    fn of_log_group(&self, expected: &Archive) -> Vec<Deviation> {
        let Some(name) = &self.archive.log_group else {
            return Vec::new();
        };
        let mut all = other_than_recorded("trail's log group", name, expected.log_group.as_ref());
        if let Some(why) = self.unread.get(&Property::LogGroup) {
            let remedy = format!("aws logs describe-log-groups --log-group-name-prefix {name}");
            all.push(unreadable(Property::LogGroup, why, remedy));
            return all;
        }
        let (is, recorded) = (self.archive.log_retention_days, expected.log_retention_days);
        let keep = match recorded {
            Some(days) => format!(
                "aws logs put-retention-policy --log-group-name {name} --retention-in-days {days}"
            ),
            None => format!("aws logs delete-retention-policy --log-group-name {name}"),
        };
        if !self.log_group_exists {
            let create = format!("aws logs create-log-group --log-group-name {name}");
            all.push(Deviation {
                what: format!("the trail's log group {name} is gone"),
                remedy: Some(match recorded {
                    Some(_) => format!("{create}, then {keep}"),
                    None => create,
                }),
                state: format!("log group {name} gone"),
            });
        } else if is != recorded {
            all.push(Deviation {
                what: match is {
                    Some(days) => {
                        format!(
                            "the trail's log group drops its events after {}",
                            counted(days)
                        )
                    }
                    None => "the trail's log group keeps its events for ever".to_owned(),
                },
                remedy: Some(keep),
                state: format!("log retention {is:?}"),
            });
        }
        all
    }
}

fn bucket_policy(
    policy: Option<&Value>,
    bucket: &str,
    watched: Watched<'_>,
    expected: &Archive,
) -> Deviation {
    let what = match policy.map(|policy| watched.delivery().may_write(policy, bucket)) {
        None => "the log bucket has no policy, so that CloudTrail cannot write there",
        Some(false) => "the policy of the log bucket shuts CloudTrail out",
        Some(true) => "the policy of the log bucket is not as recorded",
    };
    let remedy = expected
        .bucket_policy
        .is_none()
        .then(|| format!("none is recorded: aws s3api delete-bucket-policy --bucket {bucket}"));
    Deviation {
        remedy,
        ..mended(Property::BucketPolicy, what, &policy)
    }
}

/// A deviation that `restore-log-archive` mends; `is` tells it from the next.
fn mended(property: Property, what: &str, is: &impl Serialize) -> Deviation {
    Deviation {
        what: what.to_owned(),
        remedy: None,
        state: format!("{property:?} {}", written(is)),
    }
}

fn other_than_recorded(what: &str, is: &String, recorded: Option<&String>) -> Vec<Deviation> {
    if recorded == Some(is) {
        return Vec::new();
    }
    vec![Deviation {
        what: format!("the {what} {is} is not the one that is recorded"),
        remedy: Some("record it with the record-baseline runbook".to_owned()),
        state: format!("{what} {is}"),
    }]
}

fn unreadable(property: Property, why: &Failure, remedy: String) -> Deviation {
    let name = property.name();
    Deviation {
        what: format!("{name} cannot be read ({why})"),
        remedy: Some(remedy),
        state: format!("{property:?} unread"),
    }
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
