//! Asking AWS what is there.

use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client as Logs;
use aws_sdk_kms::{Client as Kms, config::Region};
use aws_sdk_s3::{
    Client as S3,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use incident::KeyArn;
use serde_json::Value;
use worker::Failure;

use crate::{
    Archive, Encryption, Found, KeyState, Lifecycle, Names, Property, Versioning,
    region::Whereabouts,
};

/// The services that keep a log archive.
#[derive(Debug, Clone)]
pub struct Clients {
    /// For the bucket, by [`Clients::s3_of`].
    pub s3: S3,
    /// For the key, by [`Clients::kms_of`].
    pub kms: Kms,
    /// For the log group.
    pub logs: Logs,
}

impl Clients {
    /// Clients with the configuration as it is given.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        // An endpoint of one's own has no name for every bucket, as AWS has.
        let path_style = config.endpoint_url().is_some();
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(path_style)
            .build();
        Self {
            s3: S3::from_conf(s3),
            kms: Kms::new(config),
            logs: Logs::new(config),
        }
    }

    /// The client in the region of `key`, the only one that knows it.
    #[must_use]
    pub fn kms_of(&self, key: &KeyArn) -> Kms {
        let region = Region::new(key.arn().region().to_owned());
        Kms::from_conf(self.kms.config().to_builder().region(region).build())
    }
}

/// What is there of the archive that `names` names, as [`look`] finds it.
///
/// # Errors
/// [`Failure::Transient`] when a part was not read that may be read later. What AWS refuses to
/// tell is no error: whoever shuts the trail out may shut us out as well.
pub async fn read(clients: &Clients, names: &Names) -> Result<Found, Failure> {
    let found = look(clients, names).await;
    let mut unread = found.unread.values();
    match unread.find(|failure| matches!(failure, Failure::Transient(_))) {
        Some(failure) => Err(failure.clone()),
        None => Ok(found),
    }
}

/// What is there of the archive that `names` names. What could not be read is in
/// [`Found::unread`], and as empty as what is not there.
pub async fn look(clients: &Clients, names: &Names) -> Found {
    let mut found = Found {
        archive: Archive {
            bucket: names.bucket.clone(),
            key: names.key.clone(),
            log_group: names.log_group.clone(),
            ..Archive::default()
        },
        ..Found::default()
    };
    // Boxed: so many SDK calls side by side are more than a caller's stack should carry.
    let (bucket, key, log_group) = tokio::join!(
        Box::pin(bucket(clients, names)),
        Box::pin(key(clients, names)),
        Box::pin(log_group(clients, names)),
    );
    if let Some(parts) = bucket {
        parts.into(&mut found);
    }
    if let Some((state, policy)) = key {
        found.key_state = found.take(Property::Key, state, Some(KeyState::Gone));
        found.archive.key_policy = found.take(Property::KeyPolicy, policy, None);
    }
    if let Some(group) = log_group {
        let retention = found.take(Property::LogGroup, group, None);
        found.log_group_exists = retention.is_some();
        found.archive.log_retention_days = retention.flatten();
    }
    found
}

/// What AWS answered about a part of the archive.
enum Answer<T> {
    Is(T),
    /// The bucket, the key or the log group is gone.
    Gone,
    Unread(Failure),
    /// The bucket is in another region; which, where AWS says so.
    Elsewhere(Option<Region>, Failure),
}

impl<T> Answer<T> {
    fn whereabouts(&self) -> Whereabouts {
        match self {
            Self::Elsewhere(region, _) => Whereabouts::Elsewhere(region.clone()),
            _ => Whereabouts::Untold,
        }
    }
}

impl Found {
    /// What was answered, `gone` where the whole is gone; nothing where it was not read, which is
    /// noted.
    fn take<T: Default>(&mut self, property: Property, answer: Answer<T>, gone: T) -> T {
        match answer {
            Answer::Is(value) => value,
            Answer::Gone => gone,
            Answer::Unread(failure) | Answer::Elsewhere(_, failure) => {
                self.unread.insert(property, failure);
                T::default()
            }
        }
    }
}

struct Bucket {
    policy: Answer<Option<Value>>,
    lifecycle: Answer<Lifecycle>,
    versioning: Answer<Versioning>,
    encryption: Answer<Option<Encryption>>,
}

impl Bucket {
    /// Where the bucket is, as far as any answer says.
    fn whereabouts(&self) -> Whereabouts {
        let parts = [
            self.policy.whereabouts(),
            self.lifecycle.whereabouts(),
            self.versioning.whereabouts(),
            self.encryption.whereabouts(),
        ];
        parts.into_iter().fold(Whereabouts::Untold, Whereabouts::or)
    }

    fn into(self, found: &mut Found) {
        let gone = matches!(self.policy, Answer::Gone)
            || matches!(self.lifecycle, Answer::Gone)
            || matches!(self.versioning, Answer::Gone)
            || matches!(self.encryption, Answer::Gone);
        found.bucket_exists = !gone;
        if gone {
            return;
        }
        found.archive.bucket_policy = found.take(Property::BucketPolicy, self.policy, None);
        found.archive.bucket_lifecycle = found.take(
            Property::BucketLifecycle,
            self.lifecycle,
            Lifecycle::default(),
        );
        found.archive.bucket_versioning =
            found.take(Property::BucketVersioning, self.versioning, Versioning::Off);
        found.archive.bucket_encryption =
            found.take(Property::BucketEncryption, self.encryption, None);
    }
}

async fn bucket(clients: &Clients, names: &Names) -> Option<Bucket> {
    let (bucket, owner) = (names.bucket.as_deref()?, names.account.as_str());
    let parts = Box::pin(parts_of(&clients.s3_of(bucket), bucket, owner)).await;
    let Whereabouts::Elsewhere(region) = parts.whereabouts() else {
        return Some(parts);
    };
    match clients.s3_elsewhere(bucket, owner, region).await {
        Some(s3) => Some(Box::pin(parts_of(&s3, bucket, owner)).await),
        None => Some(parts),
    }
}

async fn parts_of(s3: &S3, bucket: &str, owner: &str) -> Bucket {
    let policy = s3.get_bucket_policy();
    let policy = policy.bucket(bucket).expected_bucket_owner(owner);
    let lifecycle = s3.get_bucket_lifecycle_configuration();
    let lifecycle = lifecycle.bucket(bucket).expected_bucket_owner(owner);
    let versioning = s3.get_bucket_versioning();
    let versioning = versioning.bucket(bucket).expected_bucket_owner(owner);
    let encryption = s3.get_bucket_encryption();
    let encryption = encryption.bucket(bucket).expected_bucket_owner(owner);
    let (policy, lifecycle, versioning, encryption) = tokio::join!(
        policy.send(),
        lifecycle.send(),
        versioning.send(),
        encryption.send(),
    );
    Bucket {
        policy: answer("s3:GetBucketPolicy", "NoSuchBucketPolicy", policy, |read| {
            let text = read.policy.unwrap_or_default();
            json("the bucket policy", &text).map(Some)
        }),
        lifecycle: answer(
            "s3:GetLifecycleConfiguration",
            "NoSuchLifecycleConfiguration",
            lifecycle,
            |read| {
                let smallest = read.transition_default_minimum_object_size;
                Ok(Lifecycle::of(read.rules.unwrap_or_default(), smallest))
            },
        ),
        versioning: answer("s3:GetBucketVersioning", "", versioning, |read| {
            Ok(read.status.into())
        }),
        encryption: answer(
            "s3:GetEncryptionConfiguration",
            "ServerSideEncryptionConfigurationNotFoundError",
            encryption,
            |read| {
                let configuration = read.server_side_encryption_configuration;
                Ok(configuration.as_ref().and_then(Encryption::of))
            },
        ),
    }
}

/// What S3 answered. `none` is the error by which it says that the bucket has no such part.
fn answer<T: Default, O, E>(
    call: &str,
    none: &str,
    answer: Result<O, SdkError<E, HttpResponse>>,
    read: impl FnOnce(O) -> Result<T, Failure>,
) -> Answer<T>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let error = match answer {
        Ok(output) => return read(output).map_or_else(Answer::Unread, Answer::Is),
        Err(error) => error,
    };
    if let Whereabouts::Elsewhere(region) = Whereabouts::told_by(&error) {
        return Answer::Elsewhere(region, Failure::aws(call, &error));
    }
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    match (error.code(), status) {
        (Some("NoSuchBucket"), _) | (None, Some(404)) => Answer::Gone,
        (Some(code), _) if code == none => Answer::Is(T::default()),
        _ => Answer::Unread(Failure::aws(call, &error)),
    }
}

async fn key(
    clients: &Clients,
    names: &Names,
) -> Option<(Answer<Option<KeyState>>, Answer<Option<Value>>)> {
    let key = names.key.as_ref()?;
    let (kms, arn) = (clients.kms_of(key), key.arn().as_str());
    let policy = kms.get_key_policy().key_id(arn).policy_name("default");
    let (state, policy) = tokio::join!(kms.describe_key().key_id(arn).send(), policy.send());
    let state = match state {
        Ok(described) => {
            let state = described.key_metadata.and_then(|key| key.key_state);
            Answer::Is(state.as_ref().map(Into::into))
        }
        Err(error) if error.code() == Some("NotFoundException") => Answer::Gone,
        Err(error) => Answer::Unread(Failure::aws("kms:DescribeKey", &error)),
    };
    let policy = match policy {
        Ok(read) => {
            let text = read.policy.unwrap_or_default();
            json("the key's policy", &text)
                .map_or_else(Answer::Unread, |policy| Answer::Is(Some(policy)))
        }
        Err(error) if error.code() == Some("NotFoundException") => Answer::Gone,
        Err(error) => Answer::Unread(Failure::aws("kms:GetKeyPolicy", &error)),
    };
    Some((state, policy))
}

/// How long the log group keeps its events, for ever where it does not say.
async fn log_group(clients: &Clients, names: &Names) -> Option<Answer<Option<Option<u32>>>> {
    let name = names.log_group.as_deref()?;
    let groups = clients.logs.describe_log_groups();
    // Answered in the order of names, so that of all with this start the group itself is first.
    let answer = groups.log_group_name_prefix(name).send().await;
    Some(match answer {
        Ok(groups) => {
            let mut groups = groups.log_groups.unwrap_or_default().into_iter();
            match groups.find(|group| group.log_group_name() == Some(name)) {
                Some(group) => {
                    let days = group.retention_in_days;
                    Answer::Is(Some(days.and_then(|days| u32::try_from(days).ok())))
                }
                None => Answer::Gone,
            }
        }
        Err(error) => Answer::Unread(Failure::aws("logs:DescribeLogGroups", &error)),
    })
}

fn json(what: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::Rejected(format!("{what} is not JSON: {error}")))
}

#[cfg(test)]
mod tests;
