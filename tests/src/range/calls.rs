//! Which AWS APIs the workers called, by the emulator's own record.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};

use aws_sdk_cloudtrail::{primitives::DateTime, types::Event};

use super::{
    Range,
    error::{Context, Result},
};

/// How the access keys of a worker's role begin.
const OF_A_ROLE: &str = "ASIA";

/// Two calls of one page are further apart than this.
const INSTANT: Duration = Duration::from_millis(1);

/// So many calls, by their service and by their name, as far as the emulator knows it.
pub(crate) type Calls = BTreeMap<(String, String), usize>;

impl Range {
    /// Does `work`, and answers what the workers called meanwhile, too; of no more than 10,000
    /// calls in all, since the emulator forgets what was before.
    pub(crate) async fn with_calls<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, Calls)> {
        let began = SystemTime::now();
        self.emulator.record_calls(true)?;
        let done = work.await;
        self.emulator.record_calls(false)?;
        Ok((done?, self.calls_since(began).await?))
    }

    /// The emulator answers the last fifty at most, the latest first.
    async fn calls_since(&self, began: SystemTime) -> Result<Calls> {
        let mut calls = Calls::new();
        let mut known = HashSet::new();
        let mut until = SystemTime::now();
        loop {
            let call = self.aws.cloudtrail.lookup_events();
            let call = call.start_time(DateTime::from(began));
            let page = call.end_time(DateTime::from(until)).send().await;
            let page = page.context("cloudtrail:LookupEvents")?;
            let events = page.events().iter();
            let new: Vec<_> = events
                .filter(|event| known.insert(event.event_id.clone()))
                .collect();
            for event in new.iter().filter(|event| is_of_a_worker(event)) {
                let text = |field: Option<&str>| field.unwrap_or_default().to_owned();
                let service = text(event.event_source());
                let service = service.trim_end_matches(".amazonaws.com").to_owned();
                *calls
                    .entry((service, text(event.event_name())))
                    .or_default() += 1;
            }
            match new.last().and_then(|event| event.event_time) {
                Some(oldest) => until = SystemTime::try_from(oldest)? + INSTANT,
                None => return Ok(calls),
            }
        }
    }
}

fn is_of_a_worker(event: &Event) -> bool {
    let key = event.access_key_id().unwrap_or_default();
    key.starts_with(OF_A_ROLE)
}
