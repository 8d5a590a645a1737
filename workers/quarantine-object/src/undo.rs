//! Taking our restoration back, for an operator who learned that a write was legitimate.

use incident::ObjectKey;
use ledger::Release;
use worker::Failure;

use crate::{
    Input, Output, QuarantineObject, acl,
    copy::{Copy, When},
    deadline,
    encode::quoted,
    evidence::evidence_key,
    history::{self, version_of},
    report::{Report, shown},
    s3::{Found, Place, Refusal},
    settle::{Belief, Live, Run, Settled},
};

impl QuarantineObject {
    /// Lets go of every version of an object that this incident has quarantined, and of every ACL.
    pub(crate) async fn let_go(&self, input: &Input, key: &ObjectKey) -> Result<Output, Failure> {
        let mut report = Report::of(format!("object {}", shown(key)), input.dry_run);
        report.purge(key);
        let run = Run {
            incident: &input.incident_id,
            key,
            versioning: self.s3.versioning().await?,
            deadline: deadline(),
            dry: input.dry_run,
        };
        let held = self.held(input, key).await?;
        if held.is_empty() {
            report.found("this incident holds nothing of it");
        }
        for mechanism in held {
            if let Some(id) = mechanism.strip_prefix(history::MECHANISM) {
                match self.let_go_of(run, id, input).await {
                    Ok(settled) => {
                        report.found(format!("let go of version {}", version_of(id)));
                        report.settled(settled);
                    }
                    Err(failure) => report.fail(failure),
                }
            } else if let Some(version) = mechanism.strip_prefix(acl::MECHANISM) {
                match self.reopen(run, &mechanism, version, input).await {
                    Ok(true) => report.did("its ACL is put back"),
                    Ok(false) => report.found("other incidents hold its ACL"),
                    Err(failure) => report.fail(failure),
                }
            }
        }
        report.end(Vec::new())
    }

    /// The mechanisms by which the incident holds an object.
    async fn held(&self, input: &Input, key: &ObjectKey) -> Result<Vec<String>, Failure> {
        let object = self.arn(key);
        if !input.holds.is_empty() {
            let handed = input.holds.iter().filter(|hold| hold.resource == object);
            return Ok(handed.map(|hold| hold.mechanism.clone()).collect());
        }
        let held = self.ledger.holds_on(&object).await?;
        let ours = held.into_iter().filter(|held| {
            let incident = input.incident_id.as_str();
            held.incidents.iter().any(|holder| holder == incident)
        });
        Ok(ours.map(|held| held.hold.mechanism).collect())
    }

    /// Makes the object what it should be when a version is not quarantined by this incident any
    /// more: first the object, then the hold, so that a run that dies in between can be repeated.
    pub(crate) async fn let_go_of(
        &self,
        run: Run<'_>,
        id: &str,
        input: &Input,
    ) -> Result<Settled, Failure> {
        let object = self.arn(run.key);
        let mechanism = format!("{}{id}", history::MECHANISM);
        let undo = self.ledger.undo_for(run.incident, &input.holds, run.dry);
        let nothing = Belief::default();
        let Release::Last(original) = undo.release(&object, &mechanism).await? else {
            return self.settle(run, nothing).await;
        };
        let good = Belief {
            good: Some(id),
            ..nothing
        };
        let settled = self.settle(run, good).await?;
        if run.dry {
            return Ok(settled);
        }
        undo.forget(&object, &mechanism).await?;
        let again = self.settle(run, nothing).await?;
        let was_object = original["marker"] != true;
        if again.live == Live::Absent && was_object && self.head_of(run.key, id).await?.is_none() {
            return self.put_copy_back(run, id).await;
        }
        match again.live {
            Live::Stays | Live::Absent => Ok(settled),
            _ => Ok(again),
        }
    }

    /// Puts the copy in quarantine on the site, for a version that is gone from it.
    async fn put_copy_back(&self, run: Run<'_>, id: &str) -> Result<Settled, Failure> {
        let evidence = evidence_key(run.incident, run.key);
        let from = self.s3.in_quarantine(&evidence);
        let version = version_of(id).to_owned();
        let gone = Settled {
            live: Live::Absent,
            left: vec![format!(
                "{}: version {version} is gone, and so is its copy at {}; deploy it again",
                shown(run.key),
                self.uri(&evidence)
            )],
        };
        let Found::Object(head) = self.s3.head(from).await? else {
            return Ok(gone);
        };
        let to = Place {
            bucket: &self.s3.site,
            key: run.key.as_str(),
            version: None,
        };
        let copy = Copy {
            from,
            head: &head,
            to,
            when: When::Absent,
            keep_class: false,
            deadline: run.deadline,
        };
        match self.s3.copy(copy).await {
            Ok(_) => Ok(Settled {
                live: Live::Back {
                    version,
                    proof: self.s3.verify(&head, to).await?,
                },
                left: Vec::new(),
            }),
            // Somebody wrote a newer one.
            Err(Refusal::Moved) => self.settle(run, Belief::default()).await,
            Err(refusal) => Err(Failure::from(refusal).rephrase(|why| {
                format!(
                    "{why}; put it back with aws s3 cp {} {}",
                    quoted(&self.uri(&evidence)),
                    quoted(&format!("s3://{}/{}", self.s3.site, run.key.as_str())),
                )
            })),
        }
    }

    /// Whether this incident was the last to hold the ACL, which is then put back.
    async fn reopen(
        &self,
        run: Run<'_>,
        mechanism: &str,
        version: &str,
        input: &Input,
    ) -> Result<bool, Failure> {
        let object = self.arn(run.key);
        let undo = self.ledger.undo_for(run.incident, &input.holds, run.dry);
        let Release::Last(original) = undo.release(&object, mechanism).await? else {
            return Ok(false);
        };
        if !run.dry {
            self.open_acl(run.key, version, &original).await?;
            undo.forget(&object, mechanism).await?;
        }
        Ok(true)
    }
}
