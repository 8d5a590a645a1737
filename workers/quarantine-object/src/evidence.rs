//! The bad version's copy in the quarantine bucket.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use incident::{IncidentId, ObjectKey};
use sha2::{Digest, Sha256};
use worker::Failure;

use crate::{
    QuarantineObject,
    copy::{Copy, Proof, When, same},
    encode::{copy_source, quoted},
    history::{NULL, version_of},
    report::{Report, shown},
    s3::{Found, Place, Refusal},
    settle::Run,
};

/// S3's longest key, in bytes.
const LONGEST_KEY: usize = 1_024;

/// Where an incident keeps the evidence of a key: under its own prefix, by the key itself, or by
/// the SHA-256 of a key that is too long for that.
pub(crate) fn evidence_key(incident: &IncidentId, key: &ObjectKey) -> String {
    let whole = format!("{incident}/{}", key.as_str());
    if whole.len() <= LONGEST_KEY {
        return whole;
    }
    let hash = Sha256::digest(key.as_str().as_bytes());
    let hash = hash.iter().map(|byte| format!("{byte:02x}"));
    format!("{incident}/{}", hash.collect::<Vec<_>>().concat())
}

impl QuarantineObject {
    pub(crate) fn uri(&self, evidence: &str) -> String {
        format!("s3://{}/{evidence}", self.s3.quarantine)
    }

    /// Copies a version to quarantine, unless it is there already; says where it is.
    pub(crate) async fn keep(
        &self,
        run: Run<'_>,
        id: &str,
        head: &HeadObjectOutput,
        report: &mut Report,
    ) -> Option<String> {
        let version = version_of(id);
        let key = evidence_key(run.incident, run.key);
        let uri = self.uri(&key);
        let from = self.s3.on_site(run.key, version);
        let to = self.s3.in_quarantine(&key);
        if let Ok(Found::Object(there)) = self.s3.head(to).await
            && let Some(proof) = same(head, &there)
            // Where there are no versions, another object of that size may have come in its place.
            && !(version == NULL && proof == Proof::Size)
        {
            report.found(format!("version {version} is in quarantine at {uri}"));
            return Some(uri);
        }
        if run.dry {
            report.did(format!("version {version} would be kept at {uri}"));
            return Some(uri);
        }
        match self.copy_and_verify(run, from, head, to).await {
            Ok(proof) => {
                report.did(format!("version {version} is kept at {uri} ({proof})"));
                Some(uri)
            }
            Err(refusal) => {
                self.not_kept(run, from, to, refusal, report);
                None
            }
        }
    }

    async fn copy_and_verify(
        &self,
        run: Run<'_>,
        from: Place<'_>,
        head: &HeadObjectOutput,
        to: Place<'_>,
    ) -> Result<Proof, Refusal> {
        let copy = Copy {
            from,
            head,
            to,
            when: When::Always,
            keep_class: false,
            deadline: run.deadline,
        };
        let made = self.s3.copy(copy).await?;
        let made = made.as_deref().map(version_of);
        let copied = Place {
            version: made.filter(|made| *made != NULL),
            ..to
        };
        let proof = self.s3.verify(head, copied).await;
        proof.map_err(Refusal::Failed)
    }

    /// What may be copied by a retry is worth one; everything else is a human's.
    pub(crate) fn not_kept(
        &self,
        run: Run<'_>,
        from: Place<'_>,
        to: Place<'_>,
        refusal: Refusal,
        report: &mut Report,
    ) {
        let (key, version) = (shown(run.key), from.version.unwrap_or_default());
        let source = copy_source(self.s3.site.as_str(), from.key, from.version);
        let (source, copy) = (quoted(&source), quoted(to.key));
        report.leave(match refusal {
            Refusal::Failed(failure @ Failure::Transient(_)) => {
                return report.fail(
                    failure.rephrase(|why| {
                        format!("version {version} is not in quarantine yet: {why}")
                    }),
                );
            }
            Refusal::Moved => format!(
                "{key}: version {version} was overwritten or deleted for good before it could be \
                 kept"
            ),
            Refusal::Archived => format!(
                "{key}: version {version} is archived and not in quarantine: {}",
                self.restore_archived(run.key, version)
            ),
            Refusal::TooLarge | Refusal::OutOfTime => format!(
                "{key}: version {version} is not in quarantine ({}): keep it by parts, with aws \
                 s3api create-multipart-upload, upload-part-copy --copy-source {source} and \
                 complete-multipart-upload for --bucket {} --key {copy}",
                Failure::from(refusal),
                self.s3.quarantine,
            ),
            Refusal::Failed(why) => format!(
                "{key}: version {version} is not in quarantine ({why}): keep it with aws s3api \
                 copy-object --copy-source {source} --bucket {} --key {copy}, or mend that and \
                 start the runbook again with the same input",
                self.s3.quarantine,
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_named_by_its_incident_and_key_and_fits() {
        let incident: IncidentId = "i-1".parse().unwrap();
        let named = |key: &str| evidence_key(&incident, &key.parse().unwrap());
        assert_eq!(named("/a b?.html"), "i-1//a b?.html");
        assert_eq!(named(&"k".repeat(1_020)).len(), 1_024);
        insta::assert_snapshot!(
            named(&"k".repeat(1_021)),
            @"i-1/bfa073913dc2fc5c2d9ae4675b6c83877c455ba92f71857741dc8c3b1df031d5"
        );
    }
}
