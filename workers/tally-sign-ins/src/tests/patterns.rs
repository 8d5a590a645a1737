//! What is an attack, and what is none.

use incident::Outcome;
use judgement::Verdict;

use super::{
    address, anna, at, attempt, burst, count, failed, rehearsal, settings, succeeded, told,
    unknown, user,
};
use crate::Rehearsal;

#[test]
fn a_forgetful_nurse_is_left_alone() {
    let home = address(1);
    let mut day = vec![succeeded(anna(), home, at(-600, 0))];
    for minute in [0, 1, 2] {
        day.push(failed(anna(), home, at(minute, 0)));
    }
    day.push(succeeded(anna(), home, at(3, 0)));
    // And again after lunch.
    for minute in [60, 61, 62] {
        day.push(failed(anna(), home, at(minute, 0)));
    }
    day.push(succeeded(anna(), address(9), at(63, 0)));
    assert_eq!(told(&rehearsal(), &day), "");
}

#[test]
fn one_account_from_many_addresses_is_answered_once_a_window() {
    let mut storm = burst(&anna(), 0, 30);
    storm.extend(burst(&anna(), 20, 6));
    insta::assert_snapshot!(told(&rehearsal(), &storm), @"
    high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 5 networks: 000000000001, 5 networks
    high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 5 networks: 000000000001, 5 networks
    ");
}

#[test]
fn the_account_whose_owner_is_at_home_there_keeps_its_home() {
    let home = address(99);
    let mut attack = vec![
        succeeded(anna(), home, at(-60, 0)),
        failed(anna(), home, at(0, 5)),
    ];
    attack.extend(burst(&anna(), 0, 5));
    let before = told(&rehearsal(), &attack);
    insta::assert_snapshot!(before, @"high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 5 networks: 000000000001, 198.51.0.1/32 198.51.0.2/32 198.51.0.3/32 198.51.0.4/32");
    let guessed_at_home = [0, 1, 2, 3, 4].map(|minute| failed(anna(), home, at(minute, 0)));
    let mut all = vec![succeeded(anna(), home, at(-60, 0))];
    all.extend(guessed_at_home);
    insta::assert_snapshot!(told(&rehearsal(), &all), @"high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 1 network: 000000000001, 198.51.0.100/32");
}

#[test]
fn one_address_over_many_accounts_is_a_spray() {
    let from = address(7);
    let mixed = (0..20_usize)
        .zip(0..)
        .map(|(number, minute)| match number % 4 {
            0 => failed(user(number), from, at(0, minute * 6)),
            _ => unknown(from, at(0, minute * 6)),
        });
    let mixed: Vec<_> = mixed.collect();
    insta::assert_snapshot!(told(&rehearsal(), &mixed), @"high: one network tried 10 wrong passwords or codes on 10 accounts within 15 minutes: many, 198.51.0.8/32");
}

#[test]
fn whoever_tries_a_thousand_accounts_from_one_place_is_one_incident() {
    let from = address(7);
    let tries = (0..1_000_usize).zip(0..).map(|(number, seconds)| {
        let account = user(number / 5);
        failed(account, from, at(0, seconds / 2))
    });
    let tries: Vec<_> = tries
        .zip(0..)
        .map(|(mut one, number)| {
            one.event.id = incident::Text::cut(&format!("try-{number}"));
            one
        })
        .collect();
    insta::assert_snapshot!(told(&rehearsal(), &tries), @"
    high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 1 network: 000000000000, 198.51.0.8/32
    high: one network tried 10 wrong passwords or codes on 2 accounts within 15 minutes: many, 198.51.0.8/32
    ");
}

#[test]
fn many_unknown_users_from_anywhere_are_an_attack() {
    let tries = (0..120_usize)
        .zip(0..)
        .map(|(number, seconds)| unknown(address(number), at(0, seconds * 5)));
    let tries: Vec<_> = tries.collect();
    insta::assert_snapshot!(told(&rehearsal(), &tries), @"high: 50 attempts to sign in as users who do not exist within 15 minutes, from 50 networks: many, 50 networks");
}

#[test]
fn slow_guessing_adds_up_within_a_day_and_is_counted_anew_after_its_answer() {
    let hourly = |many: usize, every: i64| -> Vec<_> {
        (0..many)
            .zip(0..)
            .map(|(number, times)| failed(anna(), address(number), at(times * every, 0)))
            .collect()
    };
    // Every half an hour, for twenty hours.
    insta::assert_snapshot!(told(&rehearsal(), &hourly(45, 30)), @"
    high: 20 wrong passwords or codes for one account of the CRM within 24 hours, from 20 networks: 000000000001, 20 networks
    high: 20 wrong passwords or codes for one account of the CRM within 24 hours, from 20 networks: 000000000001, 20 networks
    ");
    // Every two hours is a person.
    assert_eq!(told(&rehearsal(), &hourly(45, 120)), "");
    // What a burst was answered for is not slow guessing as well, an hour later.
    let mut after = burst(&anna(), 0, 30);
    after.push(failed(anna(), address(50), at(60, 0)));
    assert_eq!(told(&rehearsal(), &after).lines().count(), 1);
}

#[test]
fn one_network_tries_slowly() {
    let from = address(3);
    let tries = (0..110_usize)
        .zip(0..)
        .map(|(number, times)| failed(user(number), from, at(times * 5, 0)));
    let tries: Vec<_> = tries.collect();
    insta::assert_snapshot!(told(&rehearsal(), &tries), @"high: one network tried 100 wrong passwords or codes on 100 accounts within 24 hours: many, 198.51.0.4/32");
}

#[test]
fn a_spray_from_the_clinic_itself_is_told_and_not_blocked() {
    let tries = (0..20_usize).zip(0..).map(|(number, seconds)| {
        failed(user(number), "192.0.2.7".parse().unwrap(), at(0, seconds))
    });
    let tries: Vec<_> = tries.collect();
    insta::assert_snapshot!(told(&rehearsal(), &tries), @"escalate: one network tried 10 wrong passwords or codes on 10 accounts within 15 minutes; it is not blocked: it shares addresses with 192.0.2.0/24 of NeverBlockCidrs");
    let Verdict::Escalate { escalation, .. } = count(&rehearsal(), &tries[0]) else {
        // One alone is nothing.
        return;
    };
    panic!("{escalation:?}");
}

#[test]
fn an_address_that_is_nobodys_is_not_blocked_either() {
    let tries = (0..12_usize).zip(0..).map(|(number, seconds)| {
        failed(user(number), "10.0.1.12".parse().unwrap(), at(0, seconds))
    });
    let tries: Vec<_> = tries.collect();
    insta::assert_snapshot!(told(&rehearsal(), &tries), @"escalate: one network tried 10 wrong passwords or codes on 10 accounts within 15 minutes; it is not blocked: it shares addresses with 10.0.0.0/8, private");
}

#[test]
fn what_a_server_asks_for_is_counted_by_account_and_blocks_nobody() {
    let by_server = |number: i64| attempt(Some(anna()), None, at(0, number), Outcome::Failed);
    let many_users = (0..40_usize).zip(0..).map(|(number, seconds)| {
        attempt(Some(user(number)), None, at(0, seconds), Outcome::Failed)
    });
    let many_users: Vec<_> = many_users.collect();
    assert_eq!(told(&rehearsal(), &many_users), "");
    let one_user = [0, 1, 2, 3, 4, 5].map(by_server);
    insta::assert_snapshot!(told(&rehearsal(), &one_user), @"high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, through a server: 000000000001, no network");
}

#[test]
fn ipv6_is_counted_by_its_64() {
    let tries = (0..12_usize).zip(0..).map(|(number, seconds)| {
        let address = format!("2001:db8:1:2::{number:x}");
        failed(user(number), address.parse().unwrap(), at(0, seconds))
    });
    let tries: Vec<_> = tries.collect();
    insta::assert_snapshot!(told(&rehearsal(), &tries), @"high: one network tried 10 wrong passwords or codes on 10 accounts within 15 minutes: many, 2001:db8:1:2::/64");
}

#[test]
fn a_hosted_login_is_counted_by_its_network_alone() {
    let from = address(4);
    let tries = (0..90_usize).zip(0..).map(|(_, seconds)| {
        attempt(
            Some(anna()),
            Some(from),
            at(0, seconds * 5),
            Outcome::Unknown,
        )
    });
    let tries: Vec<_> = tries.collect();
    insta::assert_snapshot!(told(&rehearsal(), &tries), @"high: 60 attempts at the hosted login from one network within 15 minutes; how they ended is not told: many, 198.51.0.5/32");
}

#[test]
fn a_sign_in_after_a_burst_is_a_break_in_unless_the_account_is_at_home_there() {
    let home = address(99);
    let after = |from, minute| {
        let mut attack = vec![succeeded(anna(), home, at(-600, 0))];
        attack.extend(burst(&anna(), 0, 5));
        attack.push(succeeded(anna(), from, at(minute, 0)));
        let told = told(&rehearsal(), &attack);
        told.lines().nth(1).unwrap_or("left alone").to_owned()
    };
    insta::assert_snapshot!([
        after(address(60), 2),
        after(address(2), 2),
        after(home, 2),
        after("192.0.2.9".parse().unwrap(), 2),
        after(address(60), 17),
    ].join("\n"), @"
    critical: somebody signed in to an account of the CRM after 5 wrong passwords or codes from 5 networks: 000000000001, 6 networks COMPROMISED
    critical: somebody signed in to an account of the CRM after 5 wrong passwords or codes from 5 networks: 000000000001, 5 networks COMPROMISED
    left alone
    left alone
    left alone
    ");
}

#[test]
fn whoever_guessed_there_is_not_at_home_there() {
    let home = address(99);
    let mut attack = vec![succeeded(anna(), home, at(-600, 0))];
    for minute in 0..5 {
        attack.push(failed(anna(), home, at(minute, 0)));
    }
    attack.push(succeeded(anna(), home, at(6, 0)));
    insta::assert_snapshot!(told(&rehearsal(), &attack), @"
    high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 1 network: 000000000001, 198.51.0.100/32
    critical: somebody signed in to an account of the CRM after 5 wrong passwords or codes from 1 network: 000000000001, 198.51.0.100/32 COMPROMISED
    ");
}

#[test]
fn a_password_guessed_slowly_is_a_break_in_too() {
    let mut attack: Vec<_> = (0..20_usize)
        .zip(0..)
        .map(|(number, times)| failed(anna(), address(number), at(times * 60, 0)))
        .collect();
    attack.push(succeeded(anna(), address(19), at(20 * 60, 0)));
    insta::assert_snapshot!(told(&rehearsal(), &attack), @"
    high: 20 wrong passwords or codes for one account of the CRM within 24 hours, from 20 networks: 000000000001, 20 networks
    critical: somebody signed in to an account of the CRM after 20 wrong passwords or codes from 20 networks: 000000000001, 20 networks COMPROMISED
    ");
}

#[test]
fn whoever_is_guessed_at_slowly_and_signs_in_elsewhere_keeps_the_account() {
    let mut attack: Vec<_> = (0..20_usize)
        .zip(0..)
        .map(|(number, times)| failed(anna(), address(number), at(times * 60, 0)))
        .collect();
    attack.push(succeeded(anna(), address(70), at(20 * 60, 0)));
    insta::assert_snapshot!(told(&rehearsal(), &attack), @"
    high: 20 wrong passwords or codes for one account of the CRM within 24 hours, from 20 networks: 000000000001, 20 networks
    high: somebody signed in to an account of the CRM after 20 wrong passwords or codes from 20 networks within 24 hours: it may be its owner: 000000000001, no network
    ");
}

#[test]
fn a_sign_in_from_a_network_that_tried_many_is_a_break_in_unless_the_account_is_at_home_there() {
    let from = address(7);
    let mut attack = vec![succeeded(user(30), from, at(-600, 0))];
    attack.extend(
        (1..=12_usize)
            .zip(0..)
            .map(|(number, seconds)| failed(user(number), from, at(0, seconds))),
    );
    attack.push(succeeded(user(30), from, at(1, 0)));
    attack.push(succeeded(user(31), from, at(2, 0)));
    attack.push(succeeded(user(31), from, at(3, 0)));
    attack.push(attempt(None, Some(from), at(4, 0), Outcome::Succeeded));
    insta::assert_snapshot!(told(&rehearsal(), &attack), @"
    high: one network tried 10 wrong passwords or codes on 10 accounts within 15 minutes: many, 198.51.0.8/32
    critical: somebody signed in to an account of the CRM from a network that had tried 12 wrong passwords or codes on 12 accounts: 000000000031, 198.51.0.8/32 COMPROMISED
    critical: somebody signed in to an account of the CRM from a network that had tried 12 wrong passwords or codes on 12 accounts: many, 198.51.0.8/32 [whose account it is, the event does not tell: find the session that began then in the CRM's logs (event nobody-198.51.0.8/32-2026-11-25T12:04:00Z-Succeeded), and start this runbook with that user as subject]
    ");
}

#[test]
fn nurses_who_sign_in_at_the_clinic_during_its_own_spray_keep_their_accounts() {
    let clinic = "192.0.2.7".parse().unwrap();
    let mut morning: Vec<_> = (0..12_usize)
        .zip(0..)
        .map(|(number, seconds)| failed(user(number), clinic, at(0, seconds)))
        .collect();
    morning.extend(
        (0..12_usize)
            .zip(0..)
            .map(|(number, seconds)| succeeded(user(number), clinic, at(1, seconds))),
    );
    assert_eq!(told(&rehearsal(), &morning).lines().count(), 1);
}

#[test]
fn one_failure_may_complete_two_attacks_and_is_one_incident() {
    let from = address(7);
    let mut attack: Vec<_> = (2..=10_usize)
        .zip(0..)
        .map(|(number, seconds)| failed(user(number), from, at(0, seconds)))
        .collect();
    attack.extend(burst(&anna(), 0, 4));
    attack.push(failed(anna(), from, at(1, 0)));
    insta::assert_snapshot!(told(&rehearsal(), &attack), @"high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 5 networks; one network tried 10 wrong passwords or codes on 10 accounts within 15 minutes: 000000000001, 5 networks");
}

#[test]
fn of_a_storm_the_first_are_answered_and_people_are_told_of_the_rest() {
    let rehearsal =
        Rehearsal::from_settings(&settings(&[("SIGN_IN_ATTACKS_AT_ONCE", "3")])).unwrap();
    let storm: Vec<_> = (0..6_usize)
        .flat_map(|number| {
            (0..5_usize).zip(0..).map(move |(times, seconds)| {
                failed(user(number), address(number * 5 + times), at(0, seconds))
            })
        })
        .collect();
    let lines = told(&rehearsal, &storm);
    insta::assert_snapshot!(lines, @"
    high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 5 networks: 000000000000, 5 networks
    high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 5 networks: 000000000001, 5 networks
    high: 5 wrong passwords or codes for one account of the CRM within 15 minutes, from 5 networks: 000000000002, 5 networks
    escalate: more than 3 attacks on the sign-in within 15 minutes: those beyond are counted and not answered one by one. Slow everybody down: lower the limit of the web ACL's rate rule, or challenge sign-ins with a CAPTCHA
    escalate: more than 3 attacks on the sign-in within 15 minutes: those beyond are counted and not answered one by one. Slow everybody down: lower the limit of the web ACL's rate rule, or challenge sign-ins with a CAPTCHA
    escalate: more than 3 attacks on the sign-in within 15 minutes: those beyond are counted and not answered one by one. Slow everybody down: lower the limit of the web ACL's rate rule, or challenge sign-ins with a CAPTCHA
    ");
    // An account that is broken into is answered all the same.
    let broken_into = succeeded(user(5), address(200), at(2, 0));
    assert!(told(&rehearsal, &[broken_into]).ends_with("COMPROMISED"));
}

#[test]
fn an_incident_is_what_triage_starts() {
    let rehearsal = Rehearsal::from_settings(&settings(&[("MODE", "observe")])).unwrap();
    let mut attack = burst(&anna(), 0, 5);
    attack.push(succeeded(anna(), address(60), at(2, 0)));
    let verdicts: Vec<_> = attack.iter().map(|one| count(&rehearsal, one)).collect();
    insta::assert_json_snapshot!(verdicts.last().unwrap(), @r#"
    {
      "verdict": "respond",
      "reason": "somebody signed in to an account of the CRM after 5 wrong passwords or codes from 5 networks",
      "incidentId": "sign-in-bf1a6016cef3f47f",
      "incident": {
        "runbook": "credential-attack",
        "reason": "somebody signed in to an account of the CRM after 5 wrong passwords or codes from 5 networks",
        "severity": "critical",
        "event": {
          "id": "000000000001-198.51.0.61/32-2026-11-25T12:02:00Z-Succeeded",
          "name": "InitiateAuth"
        },
        "occurredAt": "2026-11-25T12:02:00Z",
        "discoveredAt": "2026-11-25T12:02:00Z",
        "actor": {
          "kind": "unidentified",
          "reason": "a stranger at the sign-in, who has no identity in this account"
        },
        "containment": {
          "kind": "none",
          "reason": "nobody to contain: a stranger at the sign-in, who has no identity in this account",
          "byHand": "find out who did it: aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventId,AttributeValue=<the event's id>, or, where there is no event, AttributeKey=ReadOnly,AttributeValue=false around that time; then contain them: start this runbook with them as actor, and a reason"
        },
        "sourceAddress": "198.51.0.61",
        "target": {
          "kind": "sign-ins",
          "userPool": "eu-west-1_ClinicPool",
          "subject": "00000000-0000-0000-0000-000000000001",
          "networks": [
            "198.51.0.61/32",
            "198.51.0.1/32",
            "198.51.0.2/32",
            "198.51.0.3/32",
            "198.51.0.4/32",
            "198.51.0.5/32"
          ],
          "compromised": true
        },
        "dryRun": true
      }
    }
    "#);
    assert!(
        matches!(&verdicts[0], Verdict::Count { reason, .. } if reason == "counted: no threshold is crossed")
    );
}

#[test]
fn thresholds_are_settings() {
    let strict = [("ACCOUNT_FAILURES", "3"), ("SIGN_IN_WINDOW_MINUTES", "1")];
    let strict = Rehearsal::from_settings(&settings(&strict)).unwrap();
    insta::assert_snapshot!(told(&strict, &burst(&anna(), 0, 4)), @"high: 3 wrong passwords or codes for one account of the CRM within 1 minute, from 3 networks: 000000000001, 198.51.0.1/32 198.51.0.2/32 198.51.0.3/32");
    for (name, value) in [
        ("ACCOUNT_FAILURES", "0"),
        ("SPRAY_FAILURES", "many"),
        ("SIGN_IN_WINDOW_MINUTES", "1441"),
        ("NEVER_BLOCK_CIDRS", "everybody"),
    ] {
        let wrong = Rehearsal::from_settings(&settings(&[(name, value)])).unwrap_err();
        assert!(wrong.to_string().contains(name), "{wrong}");
    }
}

/// Five wrong passwords for one account from one place, then the right one from there.
fn guessed_then_right(
    subject: incident::Subject,
    network: Option<incident::Network>,
) -> Vec<incident::SignIn> {
    let mut attack: Vec<_> = (0..5)
        .map(|second| {
            attempt(
                Some(subject.clone()),
                network,
                at(0, second),
                Outcome::Failed,
            )
        })
        .collect();
    attack.push(attempt(
        Some(subject),
        network,
        at(1, 0),
        Outcome::Succeeded,
    ));
    attack
}

#[test]
fn on_the_clinics_own_network_and_through_a_server_people_are_asked_whether_it_was_the_owner() {
    let clinic = "192.0.2.7".parse().unwrap();
    for network in [Some(clinic), None] {
        let told = told(&rehearsal(), &guessed_then_right(anna(), network));
        assert!(!told.contains("COMPROMISED"), "{told}");
        assert!(told.contains("it may be its owner"), "{told}");
    }
}

#[test]
fn no_more_accounts_are_disabled_in_an_hour_than_the_limit() {
    let mut attack = Vec::new();
    for number in 1..=7_usize {
        attack.extend(guessed_then_right(user(number), Some(address(number))));
    }
    attack.sort_by_key(|one| one.occurred_at);
    let told = told(&rehearsal(), &attack);
    let taken: Vec<_> = told
        .lines()
        .filter(|line| line.starts_with("critical"))
        .collect();
    assert_eq!(taken.len(), 7);
    let disabled = taken.iter().filter(|line| line.contains("COMPROMISED"));
    assert_eq!(disabled.count(), 5);
    assert_eq!(told.matches("MaxAccountsPerHour").count(), 2, "{told}");
}

#[test]
fn one_wider_network_leaves_answers_for_all_others() {
    let settings = settings(&[("SIGN_IN_ATTACKS_AT_ONCE", "2")]);
    let rehearsal = Rehearsal::from_settings(&settings).unwrap();
    let sources = [
        "203.0.113.1",
        "203.0.113.2",
        "203.0.113.3",
        "203.0.113.4",
        "198.18.7.7",
    ];
    let mut attack = Vec::new();
    for (source, first) in sources.into_iter().zip((1..).step_by(10)) {
        let network = source.parse().unwrap();
        for (number, second) in (first..first + 10).zip(0..) {
            attack.push(failed(user(number), network, at(0, second)));
        }
    }
    let told = told(&rehearsal, &attack);
    assert!(told.contains("198.18.7.7/32"), "{told}");
    assert_eq!(told.matches("one network tried").count(), 3, "{told}");
}
