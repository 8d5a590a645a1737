//! One writer at a time for each set, on behalf of everybody who waits.

use std::time::Duration;

use incident::Network;
use jiff::{SignedDuration, Timestamp};
use ledger::{Fill, SetState};
use tokio::time::{Instant, sleep};
use worker::Failure;

use crate::{
    Blocklist, PATIENCE,
    pause::Pauses,
    plan::{Change, Plan},
    set::{IpSet, Trouble},
};

/// How long a writer may be silent before another takes over.
const LEASE: SignedDuration = SignedDuration::from_secs(20);

/// How old a lease may be when the set is replaced: the call, which takes 5 seconds at most, then
/// ends well before somebody else begins.
const FRESH: Duration = Duration::from_secs(12);

/// WAF takes one update a second.
const PACE: SignedDuration = SignedDuration::from_millis(1_100);

/// How long a writer goes on for others once its own request is met.
const GENEROSITY: Duration = Duration::from_secs(20);

/// What a set has become.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Applied {
    pub(crate) fill: Fill,
    /// What this run changed of it.
    pub(crate) change: Change,
}

/// One run that wants a set to be what the blocks say.
struct Writer<'a> {
    list: &'a Blocklist,
    set: &'a IpSet,
    /// Nobody else's name.
    name: String,
    seed: u64,
    until: Instant,
}

/// A set that answers to a request.
struct Round {
    request: u64,
    applied: Applied,
    written_at: Option<Timestamp>,
}

impl Blocklist {
    /// Makes a set what the blocks say, or waits until somebody else has.
    ///
    /// # Errors
    /// [`Failure::Transient`] when neither was done by `until`; what WAF or the ledger refused.
    pub(crate) async fn apply(&self, set: &IpSet, until: Instant) -> Result<Applied, Failure> {
        let seed = (self.seed)();
        let writer = Writer {
            list: self,
            set,
            name: format!("{seed:016x}"),
            seed,
            until,
        };
        writer.apply().await
    }

    /// Makes a call to the ledger, again as long as it may only be busy.
    pub(crate) async fn patiently<T>(
        &self,
        until: Instant,
        mut call: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let until = until.min(Instant::now() + PATIENCE);
        let mut pauses = Pauses::new(
            (self.seed)(),
            Duration::from_millis(100),
            Duration::from_secs(1),
        );
        loop {
            match call().await {
                Err(Failure::Transient(why)) => {
                    if !pauses.pause(until).await {
                        return Err(Failure::Transient(why));
                    }
                }
                answer => return answer,
            }
        }
    }
}

impl Writer<'_> {
    async fn apply(&self) -> Result<Applied, Failure> {
        let Self { list, set, .. } = self;
        let ledger = &list.ledger;
        let (first, longest) = (Duration::from_millis(250), Duration::from_secs(4));
        let mut pauses = Pauses::new(self.seed, first, longest);
        let request = async || ledger.request(set.arn()).await;
        let mut state = list.patiently(self.until, request).await?;
        let ours = state.requested;
        loop {
            if let Some(answer) = answered(&state, ours) {
                return answer;
            }
            if !state.is_held((list.now)())
                && let Some(applied) = self.write().await?
            {
                return Ok(applied);
            }
            if !pauses.pause(self.until).await {
                return Err(Failure::Transient(format!(
                    "another run still writes {set}: what it should block is recorded, and is \
                     blocked once somebody writes it; run again"
                )));
            }
            let look = async || ledger.set_state(set.arn()).await;
            state = list.patiently(self.until, look).await?;
        }
    }

    /// Writes as long as anybody asks and time allows; none when the set is somebody else's to write.
    async fn write(&self) -> Result<Option<Applied>, Failure> {
        let mut done: Option<Applied> = None;
        let mut generous_until = self.until;
        loop {
            let lease = async || self.lease().await;
            let Some(state) = self.list.patiently(self.until, lease).await? else {
                return Ok(done);
            };
            if state.applied >= state.requested || Instant::now() >= generous_until {
                self.end_lease().await;
                let change = done.unwrap_or_default().change;
                let fill = state.fill;
                return Ok(Some(Applied { fill, change }));
            }
            // Whoever asks meanwhile is served by the same update.
            if let Some(pause) = self.too_early(&state) {
                sleep(pause).await;
            }
            match self.round().await {
                Ok(None) => return Ok(done),
                Ok(Some(round)) => {
                    self.record(&round, &state).await;
                    let before = done.unwrap_or_default().change;
                    done = Some(Applied {
                        fill: round.applied.fill,
                        change: before.and(round.applied.change),
                    });
                    generous_until = self.until.min(Instant::now() + GENEROSITY);
                }
                Err(failure) => {
                    if !matches!(failure, Failure::Transient(_)) {
                        self.refuse(state.requested, &failure).await;
                    }
                    self.end_lease().await;
                    return done.map_or(Err(failure), |done| Ok(Some(done)));
                }
            }
        }
    }

    /// How long to wait until WAF takes another update.
    fn too_early(&self, state: &SetState) -> Option<Duration> {
        let since = (self.list.now)().duration_since(state.written_at?);
        let early = !since.is_negative() && since < PACE;
        early.then(|| (PACE - since).unsigned_abs())
    }

    /// Makes the set what the blocks say, whoever else changes it meanwhile; none when the lease is
    /// lost.
    async fn round(&self) -> Result<Option<Round>, Failure> {
        let (first, longest) = (Duration::from_millis(300), Duration::from_secs(2));
        let mut pauses = Pauses::new(self.seed, first, longest);
        loop {
            let why = match self.attempt().await {
                Ok(round) => return Ok(round),
                Err(Trouble::Refused(failure)) => return Err(failure),
                Err(Trouble::Lost) => format!("{} is being changed by others", self.set),
                Err(Trouble::Throttled(failure)) => {
                    sleep(PACE.unsigned_abs()).await;
                    failure.to_string()
                }
                Err(Trouble::Unclear(failure)) => failure.to_string(),
            };
            if !pauses.pause(self.until).await {
                return Err(Failure::Transient(format!("{why}; run again")));
            }
        }
    }

    /// In this order: the blocks are read after the set, so whoever replaces the set under its token
    /// has read them later than whoever wrote it before.
    async fn attempt(&self) -> Result<Option<Round>, Trouble> {
        let Self { list, set, .. } = self;
        let (ledger, arn) = (&list.ledger, set.arn());
        let listed = set.get().await?;
        let leased_at = Instant::now();
        let Some(state) = self.lease().await? else {
            return Ok(None);
        };
        let blocks = ledger.blocks(set.family()).await?;
        let mut put = ledger.entries(arn).await?;
        let now = (list.now)();
        let wanted = blocks.iter().filter(|block| block.is_live(now));
        let wanted = wanted.map(|block| (block.network, block.until()));
        let may = |(network, _): &(Network, Timestamp)| list.never.refusal(network).is_none();
        let plan = Plan::of(&listed, &put.networks, wanted.filter(may), list.capacity);
        let round = |written_at| Round {
            request: state.requested,
            applied: Applied {
                fill: plan.fill,
                change: plan.change,
            },
            written_at,
        };
        if plan.change.is_none() {
            if put.networks != plan.ours {
                put.networks.clone_from(&plan.ours);
                ledger.put_entries(arn, &mut put).await?;
            }
            return Ok(Some(round(None)));
        }
        // Before the set: if this run dies, the next one knows whose the entries are.
        let before = put.networks.clone();
        put.networks.extend(&plan.ours);
        if !ledger.put_entries(arn, &mut put).await? {
            return Ok(None);
        }
        let replaced = if leased_at.elapsed() > FRESH {
            Err(Trouble::Lost)
        } else {
            set.replace(listed, plan.addresses).await
        };
        if let Err(Trouble::Unclear(failure)) = replaced {
            return Err(Trouble::Unclear(failure));
        }
        put.networks = if replaced.is_ok() { plan.ours } else { before };
        let recorded = async || ledger.put_entries(arn, &mut put).await;
        if let Err(failure) = list.patiently(self.until, recorded).await {
            self.warn("the next run counts more entries as ours", &failure);
        }
        replaced.map(|()| Some(round(Some((list.now)()))))
    }

    async fn lease(&self) -> Result<Option<SetState>, Failure> {
        let now = (self.list.now)();
        let ledger = &self.list.ledger;
        ledger
            .lease(self.set.arn(), &self.name, now, now + LEASE)
            .await
    }

    async fn record(&self, round: &Round, state: &SetState) {
        let (ledger, arn) = (&self.list.ledger, self.set.arn());
        let written_at = round.written_at.or(state.written_at);
        let record = async || {
            ledger
                .applied(arn, round.request, round.applied.fill, written_at)
                .await
        };
        if let Err(failure) = self.list.patiently(self.until, record).await {
            self.warn("whoever waits finds out by writing it again", &failure);
        }
    }

    async fn refuse(&self, request: u64, why: &Failure) {
        let (ledger, arn) = (&self.list.ledger, self.set.arn());
        if let Err(failure) = ledger.refused(arn, request, why).await {
            self.warn("whoever waits finds out by trying", &failure);
        }
    }

    async fn end_lease(&self) {
        let ledger = &self.list.ledger;
        if let Err(failure) = ledger.end_lease(self.set.arn(), &self.name).await {
            self.warn("the lease ends by itself", &failure);
        }
    }

    fn warn(&self, what: &str, failure: &Failure) {
        let (set, failure) = (self.set.to_string(), failure.name());
        tracing::warn!(set, failure, "not recorded: {what}");
    }
}

/// What became of request `ours`; none while nothing has.
fn answered(state: &SetState, ours: u64) -> Option<Result<Applied, Failure>> {
    if state.applied >= ours {
        return Some(Ok(Applied {
            fill: state.fill,
            change: Change::default(),
        }));
    }
    let (refused, failure) = state.refused.as_ref()?;
    (*refused >= ours).then(|| Err(failure.clone()))
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Transient(_) => Self::Unclear(failure),
            failure => Self::Refused(failure),
        }
    }
}
