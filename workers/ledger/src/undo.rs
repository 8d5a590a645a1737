//! Letting go, the same way for every worker that holds.

use incident::IncidentId;
use worker::Failure;

use crate::{Hold, Ledger, Release};

/// One incident letting go of what it holds, by the ledger or by holds that its payload hands over.
#[derive(Debug, Clone, Copy)]
pub struct Undo<'a> {
    ledger: &'a Ledger,
    incident: &'a IncidentId,
    handed: &'a [Hold],
    dry_run: bool,
}

impl Ledger {
    /// The undo of one worker's run for `incident`. `handed` are the holds that an earlier answer
    /// returned because the ledger could not record them; where there are any, they are undone
    /// instead of what the ledger holds. A dry run writes nothing.
    #[must_use]
    pub fn undo_for<'a>(
        &'a self,
        incident: &'a IncidentId,
        handed: &'a [Hold],
        dry_run: bool,
    ) -> Undo<'a> {
        Undo {
            ledger: self,
            incident,
            handed,
            dry_run,
        }
    }
}

impl Undo<'_> {
    /// What letting go of one hold means now. A dry run cannot tell whether others hold it too.
    ///
    /// # Errors
    /// As [`Ledger::release`]; with handed holds never, since a ledger that cannot be reached cannot
    /// say who else holds it.
    pub async fn release(&self, resource: &str, mechanism: &str) -> Result<Release, Failure> {
        let (ledger, incident) = (self.ledger, self.incident);
        let original = if !self.handed.is_empty() {
            let others = ledger.is_held_by_others(incident, resource, mechanism);
            if others.await.unwrap_or(false) {
                return Ok(Release::StillHeld);
            }
            self.handed
                .iter()
                .find(|hold| hold.resource == resource && hold.mechanism == mechanism)
                .map(|hold| hold.original.clone())
        } else if self.dry_run {
            ledger.original(resource, mechanism).await?
        } else {
            return ledger.release(incident, resource, mechanism).await;
        };
        Ok(original.map_or(Release::NotHeld, Release::Last))
    }

    /// Drops a hold whose original was put back; the ledger has none of a handed one.
    ///
    /// # Errors
    /// As [`Ledger::forget`].
    pub async fn forget(&self, resource: &str, mechanism: &str) -> Result<(), Failure> {
        if self.dry_run || !self.handed.is_empty() {
            return Ok(());
        }
        self.ledger.forget(self.incident, resource, mechanism).await
    }
}
