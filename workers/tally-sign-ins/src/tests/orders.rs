//! Events come in any order, and more than once.

use std::collections::BTreeSet;

use incident::{Incident, SignIn, Target};
use judgement::Verdict;
use proptest::{prelude::*, sample::Index};

use super::{address, anna, at, burst, count, failed, rehearsal, succeeded, unknown, user};
use crate::Rehearsal;

/// The incidents that attempts start, each once: a second start of the same name is refused.
fn incidents(rehearsal: &Rehearsal, sign_ins: &[SignIn]) -> Vec<Incident> {
    let mut names = BTreeSet::new();
    let mut incidents = Vec::new();
    for sign_in in sign_ins {
        if let Verdict::Respond {
            incident_id,
            incident,
            ..
        } = count(rehearsal, sign_in)
            && names.insert(incident_id.to_string())
        {
            incidents.push(*incident);
        }
    }
    incidents
}

fn is_compromise(incident: &Incident) -> bool {
    matches!(
        incident.target,
        Target::SignIns {
            compromised: true,
            ..
        }
    )
}

/// All of `sign_ins` in some order, some of them twice.
fn delivered(sign_ins: Vec<SignIn>) -> impl Strategy<Value = Vec<SignIn>> {
    let again = prop::collection::vec(any::<Index>(), 0..8);
    again.prop_flat_map(move |again| {
        let mut all = sign_ins.clone();
        all.extend(again.iter().map(|index| index.get(&sign_ins).clone()));
        Just(all).prop_shuffle()
    })
}

/// Failures of one account within a quarter of an hour.
fn failures() -> impl Strategy<Value = Vec<SignIn>> {
    let one = (0..900_i64, 0..40_usize);
    prop::collection::btree_set(one, 1..30).prop_map(|all| {
        all.into_iter()
            .map(|(second, from)| failed(anna(), address(from), at(0, second)))
            .collect()
    })
}

proptest! {
    #[test]
    fn an_account_is_answered_once_exactly_when_enough_failed(
        (many, events) in failures().prop_flat_map(|all| (Just(all.len()), delivered(all)))
    ) {
        let incidents = incidents(&rehearsal(), &events);
        prop_assert_eq!(incidents.len(), usize::from(many >= 5));
    }

    #[test]
    fn a_break_in_is_seen_whichever_attempt_arrives_last(events in delivered({
        let mut attack = burst(&anna(), 0, 7);
        attack.push(succeeded(anna(), address(60), at(3, 0)));
        attack
    })) {
        let incidents = incidents(&rehearsal(), &events);
        let broken_into: Vec<_> = incidents.iter().filter(|it| is_compromise(it)).collect();
        prop_assert_eq!(broken_into.len(), 1);
        prop_assert!(incidents.len() <= 2);
    }

    #[test]
    fn a_spray_and_the_accounts_it_opened_are_seen_whichever_attempt_arrives_last(events in delivered({
        let from = address(7);
        let mut attack: Vec<_> = (2..=12).map(|number| failed(user(number), from, at(0, 1))).collect();
        attack.push(succeeded(user(30), from, at(1, 0)));
        attack.push(unknown(from, at(0, 2)));
        attack
    })) {
        let incidents = incidents(&rehearsal(), &events);
        prop_assert_eq!(incidents.iter().filter(|it| is_compromise(it)).count(), 1);
        prop_assert!(incidents.len() <= 2);
    }

    #[test]
    fn an_owner_who_is_at_home_keeps_the_account_in_any_order(events in delivered({
        let home = address(99);
        let mut attack = burst(&anna(), 0, 7);
        attack.push(succeeded(anna(), home, at(-60, 0)));
        attack.push(succeeded(anna(), home, at(3, 0)));
        attack
    })) {
        // Where the later sign-in is all that is known of the owner, it is not told from a thief's.
        let first = events.iter().position(|one| one.occurred_at == at(-60, 0));
        let later = events.iter().position(|one| one.occurred_at == at(3, 0));
        prop_assume!(first < later);
        let incidents = incidents(&rehearsal(), &events);
        prop_assert!(!incidents.iter().any(is_compromise));
    }
}

#[test]
fn who_signed_in_beside_the_first_is_left_to_a_human_when_the_last_failure_arrives_late() {
    let from = address(7);
    let rehearsal = rehearsal();
    let mut attack: Vec<_> = (2..=10)
        .map(|number| failed(user(number), from, at(0, 1)))
        .collect();
    attack.push(succeeded(user(30), from, at(1, 0)));
    attack.push(succeeded(user(31), from, at(2, 0)));
    assert!(incidents(&rehearsal, &attack).is_empty());
    let late = failed(user(11), from, at(0, 3));
    let found = incidents(&rehearsal, &[late]);
    insta::assert_snapshot!(super::line(&found[0]), @"critical: somebody signed in to an account of the CRM from a network that had tried 10 wrong passwords or codes on 10 accounts; one network tried 10 wrong passwords or codes on 10 accounts within 15 minutes: 000000000030, 198.51.0.8/32 COMPROMISED [these accounts were signed in to in the same way: start this runbook for each, with compromised true: 00000000-0000-0000-0000-000000000031]");
}

#[test]
fn whoever_won_wins_again_and_nobody_else_does() {
    let rehearsal = rehearsal();
    let attack = burst(&anna(), 0, 8);
    let first: Vec<_> = attack.iter().map(|one| count(&rehearsal, one)).collect();
    let id = |verdict: &Verdict| match verdict {
        Verdict::Respond { incident_id, .. } => Some(incident_id.clone()),
        _ => None,
    };
    let again: Vec<_> = attack.iter().map(|one| count(&rehearsal, one)).collect();
    assert!(id(&first[4]).is_some());
    assert_eq!(
        first.iter().map(id).collect::<Vec<_>>(),
        again.iter().map(id).collect::<Vec<_>>()
    );
}

#[test]
fn what_a_retry_won_is_not_taken_back_by_what_came_between() {
    let from = address(7);
    let rehearsal = rehearsal();
    let attack: Vec<_> = (0..5)
        .map(|second| failed(anna(), from, at(0, second)))
        .collect();
    let won = incidents(&rehearsal, &attack);
    assert_eq!(won.len(), 1);
    // The spray that the same network goes on with is answered as a whole.
    let spray: Vec<_> = (2..=8)
        .map(|number| failed(user(number), from, at(0, 10)))
        .collect();
    assert_eq!(incidents(&rehearsal, &spray).len(), 1);
    assert_eq!(incidents(&rehearsal, &attack[4..]).len(), 1);
}

#[test]
fn a_late_event_completes_an_attack_that_lies_around_it() {
    let rehearsal = rehearsal();
    let mut attack = burst(&anna(), 0, 5);
    let late = attack.remove(2);
    assert!(incidents(&rehearsal, &attack).is_empty());
    // Hours later, and after an honest failure.
    assert!(incidents(&rehearsal, &[failed(anna(), address(90), at(200, 0))]).is_empty());
    assert_eq!(incidents(&rehearsal, &[late]).len(), 1);
}
