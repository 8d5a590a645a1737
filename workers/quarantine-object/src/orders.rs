//! Whatever order events arrive in, how often, and whichever answers are lost: once all of them are
//! dealt with, the object is what the last legitimate write made it.

use std::{cell::RefCell, future::Future, pin::Pin};

use futures_util::future::join_all;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use tokio::task::yield_now;
use worker::{Failure, answer};

use crate::fake::{Aws, SITE};

const KEY: &str = "index.html";

/// What somebody does to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// CI/CD writes.
    Deploy(char),
    /// CI/CD deletes.
    Remove,
    /// An attacker writes, perhaps what is there already.
    Deface(char),
    /// An attacker deletes.
    Delete,
    /// An attacker deletes, with a call whose event names no key.
    DeleteMany,
}

/// One deed, when it is done, and how often and when its event is answered.
#[derive(Debug, Clone)]
struct Step {
    deed: Deed,
    pause: u8,
    /// For each run its delay, and whether it is a retry or has an incident of its own.
    runs: Vec<(u8, bool)>,
}

/// Few contents, all of one size, so that equal entity tags are common.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let deed = prop_oneof![
        3 => prop_oneof![Just('a'), Just('b')].prop_map(Deed::Deploy),
        1 => Just(Deed::Remove),
        4 => prop_oneof![Just('a'), Just('x'), Just('y')].prop_map(Deed::Deface),
        2 => Just(Deed::Delete),
        1 => Just(Deed::DeleteMany),
    ];
    let runs = vec((0..120_u8, any::<bool>()), 1..4);
    let step = (deed, 0..60_u8, runs);
    let step = step.prop_map(|(deed, pause, runs)| Step { deed, pause, runs });
    vec(step, 1..9)
}

/// The same, but no deployment of what was there before: while an answer is lost, only its content
/// tells our copy of a bad version from somebody's write.
fn steps_that_differ() -> impl Strategy<Value = Vec<Step>> {
    steps().prop_map(|mut steps| {
        for (step, fresh) in steps.iter_mut().zip('1'..) {
            if let Deed::Deploy(body) = &mut step.deed {
                *body = fresh;
            }
        }
        steps
    })
}

/// What the last legitimate deed made of the object.
fn expected(steps: &[Step]) -> Option<String> {
    let last = steps.iter().rev().find_map(|step| match step.deed {
        Deed::Deploy(body) => Some(Some(body.to_string())),
        Deed::Remove => Some(None),
        _ => None,
    });
    last.flatten()
}

/// Does one deed; returns its event as a payload, where it is one.
fn act(aws: &Aws, deed: Deed) -> Option<Value> {
    let object = |version: &str, event: &str| {
        json!({
            "target": {"kind": "object", "bucket": SITE, "key": KEY, "version": version},
            "eventName": event,
            "occurredAt": aws.time(),
        })
    };
    match deed {
        Deed::Deploy(body) => {
            aws.put(KEY, &body.to_string());
            None
        }
        Deed::Remove => {
            aws.delete(KEY);
            None
        }
        Deed::Deface(body) => {
            let version = aws.put(KEY, &body.to_string());
            Some(object(&version, "PutObject"))
        }
        Deed::Delete => {
            let marker = aws.delete(KEY);
            Some(object(&marker, "DeleteObject"))
        }
        Deed::DeleteMany => {
            aws.delete(KEY);
            Some(json!({
                "target": {"kind": "bucket", "name": SITE},
                "eventName": "DeleteObjects",
                "occurredAt": aws.time(),
            }))
        }
    }
}

async fn turns(turns: u8) {
    for _ in 0..turns {
        yield_now().await;
    }
}

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Everything at once: the deeds in their order, and for each event its runs.
async fn play(aws: &Aws, steps: &[Step]) {
    let events: Vec<RefCell<Option<Option<Value>>>> = vec![RefCell::default(); steps.len()];
    let mut tasks: Vec<Task<'_>> = vec![Box::pin(async {
        for (step, event) in steps.iter().zip(&events) {
            turns(step.pause).await;
            *event.borrow_mut() = Some(act(aws, step.deed));
        }
    })];
    for (number, (step, event)) in steps.iter().zip(&events).enumerate() {
        for (copy, (delay, retry)) in step.runs.iter().enumerate() {
            let incident = match retry {
                true => format!("i-{number}"),
                false => format!("i-{number}-{copy}"),
            };
            tasks.push(Box::pin(async move {
                while event.borrow().is_none() {
                    yield_now().await;
                }
                let Some(mut payload) = event.borrow().clone().flatten() else {
                    return;
                };
                turns(*delay).await;
                payload["incidentId"] = json!(incident);
                finish(aws, &payload).await;
            }));
        }
    }
    join_all(tasks).await;
}

/// Answers an event as a state machine does: again, as long as a retry may help.
async fn finish(aws: &Aws, payload: &Value) {
    for _ in 0..200 {
        match answer(&aws.worker(), payload).await {
            Ok(_) => return,
            Err(Failure::Transient(_)) => yield_now().await,
            Err(failure) => panic!("{failure}"),
        }
    }
    panic!("never done");
}

/// Plays the steps, and checks how they end.
fn check(steps: &[Step], seed: u64, waits: u64, loses: Option<u64>) -> Result<(), TestCaseError> {
    let aws = Aws::new().seeded(seed);
    aws.put("index.html.bak", "a neighbour");
    {
        let mut state = aws.state();
        (state.waits, state.loses) = (waits, loses);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(play(&aws, steps));
    prop_assert_eq!(aws.live(KEY), expected(steps));
    prop_assert_eq!(aws.live("index.html.bak"), Some("a neighbour".to_owned()));
    // What was bad is kept, and nothing was ever deleted for good.
    let deface = |step: &&Step| matches!(step.deed, Deed::Deface(_));
    prop_assert!(aws.evidence().len() >= steps.iter().filter(deface).count());
    prop_assert!(aws.versions(KEY).len() >= steps.len());
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn in_every_order_the_object_ends_as_the_last_legitimate_write_made_it(
        steps in steps(),
        seed: u64,
        waits in 0..8_u64,
    ) {
        check(&steps, seed, waits, None)?;
    }

    #[test]
    fn and_so_it_does_when_answers_to_our_own_writes_are_lost(
        steps in steps_that_differ(),
        seed: u64,
        waits in 0..8_u64,
        loses in 4..20_u64,
    ) {
        check(&steps, seed, waits, Some(loses))?;
    }
}
