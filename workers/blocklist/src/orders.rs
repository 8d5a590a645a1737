//! Whatever order runs and people come in, and wherever a run dies: in the end every entry of somebody
//! else's is in the set, every live block is, and nothing that expired or was let go.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::{LocalBoxFuture, join_all};
use incident::{Family, IncidentId, Network};
use jiff::{SignedDuration, Timestamp};
use ledger::Block;
use proptest::{collection::vec, option, prelude::*, sample::subsequence};
use tokio::time::{sleep, timeout};
use worker::Failure;

use crate::{
    Blocklist,
    fake::{Aws, Fault, now},
};

/// What is attacked from; the last is the clinic's own.
const NETWORKS: [&str; 7] = [
    "203.0.113.1/32",
    "203.0.113.2/32",
    "203.0.113.3/32",
    "203.0.113.0/24",
    "2001:db8:1::/64",
    "2001:db8:2::/64",
    "198.51.100.9/32",
];

/// What people enter by hand beside those.
const OTHERS: [&str; 3] = ["192.0.2.0/24", "192.0.2.7/32", "2001:db8:9::/64"];

/// How long a first block lasts, in minutes: shorter than a test.
const MINUTES: u32 = 2;

/// Minutes in which much happens at once, in milliseconds.
fn moment() -> impl Strategy<Value = u64> {
    (0..6_u64, 0..200_u64).prop_map(|(minute, millis)| minute * 60_000 + millis)
}

async fn wait(moment: u64) {
    sleep(Duration::from_millis(moment)).await;
}

/// What an incident does: it asks, once more after every failure, and may let go later.
#[derive(Debug, Clone)]
struct Attack {
    at: u64,
    networks: Vec<&'static str>,
    /// Milliseconds after which each of its first runs dies.
    deaths: Vec<u64>,
    /// How long after its block it lets go, in milliseconds, and of all that it asked for or the first.
    lets_go: Option<(u64, bool)>,
}

#[derive(Debug, Clone, Copy)]
enum Hand {
    Adds(&'static str),
    Removes(&'static str),
}

#[derive(Debug, Clone)]
struct Story {
    attacks: Vec<Attack>,
    /// When somebody does what by hand.
    hands: Vec<(u64, Hand)>,
    /// When a sweep begins, and after how many milliseconds it dies.
    sweeps: Vec<(u64, Option<u64>)>,
    /// Calls that come to grief from some time on.
    faults: Vec<(u64, &'static str, Fault)>,
    latency: u8,
    limited: bool,
    capacity: usize,
    dice: u64,
}

fn stories() -> impl Strategy<Value = Story> {
    let deaths = vec(0..1_500_u64, 0..3);
    let lets_go = option::of((moment(), any::<bool>()));
    let attack = (moment(), subsequence(&NETWORKS[..], 1..5), deaths, lets_go);
    let attack = attack.prop_map(|(at, networks, deaths, lets_go)| Attack {
        at,
        networks,
        deaths,
        lets_go,
    });
    let network = prop::sample::select([&NETWORKS[..], &OTHERS[..]].concat());
    let hand = (network, any::<bool>()).prop_map(|(network, adds)| {
        if adds {
            Hand::Adds(network)
        } else {
            Hand::Removes(network)
        }
    });
    let call = prop::sample::select(vec![
        "GetIPSet",
        "UpdateIPSet",
        "PutItem",
        "UpdateItem",
        "BatchGetItem",
        "Query",
        "GetItem",
        "DeleteItem",
    ]);
    let fault = prop_oneof![
        Just(Fault::Loses),
        Just(Fault::Hangs),
        Just(Fault::Answers(400, "ThrottlingException")),
        Just(Fault::Answers(500, "InternalServerError")),
    ];
    (
        vec(attack, 1..8),
        vec((moment(), hand), 0..8),
        vec((moment(), option::of(0..1_500_u64)), 0..4),
        vec((moment(), call, fault), 0..4),
        (
            0..200_u8,
            any::<bool>(),
            prop_oneof![4 => Just(10_000), 1 => 2..5_usize],
        ),
        any::<u64>(),
    )
        .prop_map(
            |(attacks, hands, sweeps, faults, (latency, limited, capacity), dice)| Story {
                attacks,
                hands,
                sweeps,
                faults,
                latency,
                limited,
                capacity,
                dice,
            },
        )
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

/// What the blocks must be at the end, by what each incident was told.
#[derive(Default)]
struct Told {
    /// Until when at least each network is blocked for which incident.
    blocked: BTreeMap<(Network, String), Timestamp>,
    /// Who has let go of what.
    let_go: BTreeSet<(Network, String)>,
    /// What people have in the sets.
    theirs: BTreeSet<Network>,
}

async fn attack(list: &Blocklist, told: &RefCell<Told>, number: usize, attack: &Attack) {
    let name = format!("i-{number}");
    let incident: IncidentId = name.parse().unwrap();
    wait(attack.at).await;
    let texts: Vec<_> = attack
        .networks
        .iter()
        .map(|&text| text.to_owned())
        .collect();
    let (networks, _) = list.screen(&texts);
    let mut deaths = attack.deaths.iter();
    let began = now();
    loop {
        let run = list.block(&incident, &networks, false);
        let blocked = match deaths.next() {
            Some(death) => timeout(Duration::from_millis(*death), run).await.ok(),
            None => Some(run.await),
        };
        match blocked {
            Some(blocked) if blocked.failures.is_empty() => break,
            Some(blocked) => {
                let transient = |failure: &Failure| matches!(failure, Failure::Transient(_));
                assert!(
                    blocked.failures.iter().all(transient),
                    "{:?}",
                    blocked.failures
                );
            }
            None => {}
        }
        sleep(Duration::from_secs(1)).await;
    }
    let until = began + SignedDuration::from_mins(MINUTES.into());
    for network in &networks {
        told.borrow_mut()
            .blocked
            .insert((*network, name.clone()), until);
    }
    let Some((after, all)) = attack.lets_go else {
        return;
    };
    wait(after).await;
    let which = if all { networks.len() } else { 1 };
    let which: BTreeSet<_> = networks.into_iter().take(which).collect();
    while !which.is_empty() {
        if list
            .unblock(&incident, &which, false)
            .await
            .failures
            .is_empty()
        {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let let_go = which.into_iter().map(|network| (network, name.clone()));
    told.borrow_mut().let_go.extend(let_go);
}

/// Somebody changes a set by hand. One network at one time is left out: what a run is about to put in
/// or take out, which may die over it. Nobody can tell whose that is then.
fn by_hand(aws: &Aws, told: &RefCell<Told>, hand: Hand) {
    let theirs = &mut told.borrow_mut().theirs;
    let mut state = aws.state();
    match hand {
        Hand::Adds(text) => {
            let network = network(text);
            if !state.contains(&network) && !state.is_being_written(&network) {
                state.add(text);
                theirs.insert(network);
            }
        }
        Hand::Removes(text) => {
            state.remove(text);
            theirs.remove(&network(text));
        }
    }
}

async fn play(aws: &Aws, list: &Blocklist, story: &Story) -> RefCell<Told> {
    let told = RefCell::default();
    let mut tasks: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
    for (number, one) in story.attacks.iter().enumerate() {
        tasks.push(Box::pin(attack(list, &told, number, one)));
    }
    for (at, hand) in &story.hands {
        let told = &told;
        tasks.push(Box::pin(async move {
            wait(*at).await;
            by_hand(aws, told, *hand);
        }));
    }
    for (at, death) in &story.sweeps {
        tasks.push(Box::pin(async move {
            wait(*at).await;
            let death = death.map_or(Duration::from_mins(5), Duration::from_millis);
            timeout(death, list.sweep(false)).await.ok();
        }));
    }
    let mut faulty = BTreeSet::new();
    for (at, call, fault) in &story.faults {
        // A ledger that answers nobody for long is another story.
        if !faulty.insert(call) {
            continue;
        }
        tasks.push(Box::pin(async move {
            wait(*at).await;
            aws.trap(call, 1, *fault);
        }));
    }
    join_all(tasks).await;
    told
}

fn check(story: &Story) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let aws = Aws::new(story.dice);
        {
            let mut state = aws.state();
            state.latency = Duration::from_millis(story.latency.into());
            state.limited = story.limited;
        }
        let mut list = aws.blocklist_with(&[Family::V4, Family::V6], MINUTES);
        list.capacity = story.capacity;
        let told = play(&aws, &list, story).await.into_inner();
        aws.spring();
        // A block may end while the last sweep looks.
        let (swept, now) = loop {
            let began = now();
            let v4 = list.ledger.blocks(Family::V4).await.unwrap();
            let v6 = list.ledger.blocks(Family::V6).await.unwrap();
            let swept = list.sweep(false).await;
            prop_assert_eq!(&swept.failures, &vec![]);
            let ended = |block: &Block| (began..=now()).contains(&block.until());
            if !v4.iter().chain(&v6).any(ended) {
                break (swept, began);
            }
        };
        let mut displaced = false;
        for family in [Family::V4, Family::V6] {
            let blocks = list.ledger.blocks(family).await.unwrap();
            let is_theirs = |network: &Network| told.theirs.contains(network);
            // The ledger knows every ask, and no other.
            for block in &blocks {
                for incident in block.asks.keys() {
                    let asked = (block.network, incident.clone());
                    prop_assert!(told.blocked.contains_key(&asked), "{asked:?} never asked");
                    prop_assert!(
                        !block.is_live(now) || !told.let_go.contains(&asked),
                        "{asked:?} let go"
                    );
                }
            }
            for ((network, incident), until) in &told.blocked {
                let asked = (*network, incident.clone());
                if network.family() == family && now < *until && !told.let_go.contains(&asked) {
                    let block = blocks.iter().find(|block| block.network == *network);
                    prop_assert!(
                        block.is_some_and(|block| block.asks.contains_key(incident)),
                        "{asked:?} is lost"
                    );
                }
            }
            // The set holds what people entered, and of the live blocks as many as fit.
            let mut live: Vec<_> = blocks.iter().filter(|block| block.is_live(now)).collect();
            live.retain(|block| !is_theirs(&block.network));
            live.sort_by_key(|block| (std::cmp::Reverse(block.until()), block.network));
            let theirs = told.theirs.iter().copied();
            let theirs: BTreeSet<_> = theirs.filter(|it| it.family() == family).collect();
            let room = story.capacity.saturating_sub(theirs.len());
            displaced |= live.len() > room;
            let ours = live.iter().take(room).map(|block| block.network);
            let expected: BTreeSet<_> = theirs.iter().copied().chain(ours).collect();
            let mut state = aws.state();
            prop_assert_eq!(state.entries_of(family), &expected);
            prop_assert!(
                !expected.contains(&network("198.51.100.9/32"))
                    || is_theirs(&network("198.51.100.9/32"))
            );
        }
        prop_assert_eq!(
            displaced,
            swept.left.iter().any(|left| left.contains("no place"))
        );
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn in_every_order_the_sets_end_as_people_and_live_blocks_want_them(story in stories()) {
        check(&story)?;
    }
}
