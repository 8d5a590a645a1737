//! Which version an event wrote, or which marker.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use incident::{ObjectKey, VersionId};
use worker::Failure;

use crate::{
    Input, QuarantineObject,
    history::{Known, NULL, identity, sort, version_of},
    s3::{Found, Versioning, time},
    settle::{Run, is_written_by},
};

/// What an incident is about.
#[derive(Debug)]
pub(crate) struct Subject {
    /// By which it is quarantined; none where nobody can know.
    pub(crate) id: Option<String>,
    pub(crate) is: Is,
}

/// What it is now.
#[derive(Debug)]
pub(crate) enum Is {
    Object(Box<HeadObjectOutput>),
    /// An object that we may not read.
    Unreadable(Failure),
    Marker,
    Gone,
    /// What is there was written later, in its place.
    Replaced,
}

impl QuarantineObject {
    /// Finds the version. An event names it, unless the bucket kept no versions then. A human may
    /// name none, and means what is live; or one of ours, and means what it was copied from.
    pub(crate) async fn subject(
        &self,
        run: Run<'_>,
        input: &Input,
        version: Option<&VersionId>,
    ) -> Result<Subject, Failure> {
        let named = version
            .map(VersionId::as_str)
            .filter(|version| *version != NULL);
        // What the ledger does not say in time, it is asked again before anything is replaced.
        let known = match (named, &input.event_name) {
            (Some(_), Some(_)) => Known::default(),
            _ => self.known(run.key).await.unwrap_or_default(),
        };
        let id = match named {
            Some(version) => version.to_owned(),
            None => match self.written_then(run, input, version, &known).await? {
                Ok(id) => id,
                Err(is) => return Ok(Subject { id: None, is }),
            },
        };
        let copied = known
            .writing(&id)
            .and_then(|writing| writing.source.as_ref());
        if let Some(source) = copied {
            let is = self.examine(run.key, &source.version).await?;
            let is = match is {
                Is::Gone | Is::Replaced => self.examine(run.key, &id).await?,
                is => is,
            };
            let id = Some(source.version.clone());
            return Ok(Subject { id, is });
        }
        let is = self.examine(run.key, &id).await?;
        Ok(Subject { id: Some(id), is })
    }

    /// The newest entry that was there when the event happened, leaving out what was written in
    /// answer to it. Without versions there is one at most, which has overwritten all before it.
    async fn written_then(
        &self,
        run: Run<'_>,
        input: &Input,
        version: Option<&VersionId>,
        known: &Known,
    ) -> Result<Result<String, Is>, Failure> {
        let (mut entries, _) = self.s3.entries(run.key, None).await?;
        sort(&mut entries);
        if version.is_some() || run.versioning != Versioning::Enabled {
            entries.retain(|entry| entry.version == NULL);
        }
        let then = entries.iter().find(|entry| {
            let answer = known.writing(&entry.id()).is_some_and(|writing| {
                writing.at >= input.occurred_at || writing.incident == input.incident_id
            });
            !answer && is_written_by(input.occurred_at, entry.modified)
        });
        Ok(match then {
            Some(entry) => Ok(entry.id()),
            None if entries.is_empty() => Err(Is::Gone),
            None => Err(Is::Replaced),
        })
    }

    async fn examine(&self, key: &ObjectKey, id: &str) -> Result<Is, Failure> {
        let version = version_of(id);
        Ok(match self.s3.head(self.s3.on_site(key, version)).await {
            Ok(Found::Object(head)) => {
                if identity(version, time(head.last_modified())?) == id {
                    Is::Object(head)
                } else {
                    Is::Replaced
                }
            }
            Ok(Found::Marker) => Is::Marker,
            Ok(Found::Gone) => Is::Gone,
            Err(failure @ Failure::Transient(_)) => return Err(failure),
            Err(failure) => Is::Unreadable(failure),
        })
    }
}
