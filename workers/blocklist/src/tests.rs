//! What every answer of AWS comes to, and what is left in the sets afterwards.

use std::{collections::BTreeSet, time::Duration};

use incident::{Family, IncidentId, Network, Settings};
use tokio::time::{Instant, sleep, timeout};
use worker::Failure;

use crate::{
    Blocked, Blocklist, FAMILIES, Swept, Unblocked,
    fake::{Aws, Fault, now},
    set::entry,
};

const MINUTE: Duration = Duration::from_mins(1);

fn id(name: &str) -> IncidentId {
    name.parse().unwrap()
}

fn networks(texts: &[&str]) -> BTreeSet<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// `203.0.0.0` and so on.
fn many(count: u32) -> BTreeSet<Network> {
    let first = u32::from(std::net::Ipv4Addr::new(203, 0, 0, 0));
    let address = |n: u32| std::net::IpAddr::V4((first + n).into());
    (0..count).map(address).map(Network::of).collect()
}

async fn block(aws: &Aws, incident: &str, texts: &[&str]) -> Blocked {
    let list = aws.blocklist();
    list.block(&id(incident), &networks(texts), false).await
}

async fn unblock(aws: &Aws, incident: &str, texts: &[&str]) -> Unblocked {
    let list = aws.blocklist();
    let unblocked = list.unblock(&id(incident), &networks(texts), false).await;
    assert_eq!(unblocked.failures, []);
    unblocked
}

async fn sweep(aws: &Aws) -> Swept {
    let swept = aws.blocklist().sweep(false).await;
    assert_eq!(swept.failures, []);
    swept
}

/// The minutes that the first and the last block last from now.
fn minutes(blocked: &Blocked) -> (i64, i64) {
    let (first, last) = blocked.until.unwrap();
    let from_now = |until: jiff::Timestamp| until.duration_since(now()).as_secs_f64();
    #[allow(clippy::cast_possible_truncation)] // A block is shorter.
    let rounded = |until| (from_now(until) / 60.0).ceil() as i64;
    (rounded(first), rounded(last))
}

mod blocks {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_is_in_its_set_until_its_time_is_over() {
        let aws = Aws::default();
        let blocked = block(&aws, "i-1", &["203.0.113.7", "2001:db8::1"]).await;
        assert!(blocked.changed);
        assert_eq!((blocked.networks, blocked.anew), (2, 2));
        assert_eq!(minutes(&blocked), (60, 60));
        assert_eq!(blocked.left, [""; 0]);
        assert_eq!(blocked.failures, []);
        assert_eq!(aws.entries(), ["203.0.113.7/32", "2001:db8::/64"]);
        let early = sweep(&aws).await;
        assert!(!early.changed);
        assert_eq!((early.sets, early.live, early.expired), (2, 2, 0));

        sleep(60 * MINUTE).await;
        aws.calls();
        let swept = sweep(&aws).await;
        assert!(swept.changed);
        assert_eq!((swept.live, swept.expired, swept.removed), (0, 2, 2));
        assert_eq!(aws.entries(), [""; 0]);
        assert_eq!(aws.state().items("block#v"), [""; 0]);
        assert_eq!(
            aws.state().items("block#last#"),
            [
                "block#last#2001:db8::/64 last",
                "block#last#203.0.113.7/32 last"
            ]
        );
        aws.calls();
        assert!(!sweep(&aws).await.changed);
        assert_eq!(aws.count("UpdateIPSet"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_run_of_one_incident_changes_nothing() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7"]).await;
        sleep(MINUTE).await;
        aws.calls();
        let again = block(&aws, "i-1", &["203.0.113.7"]).await;
        assert!(!again.changed);
        assert_eq!((again.networks, again.anew), (1, 0));
        assert_eq!(minutes(&again), (59, 59));
        assert_eq!(aws.count("UpdateIPSet") + aws.count("PutItem"), 0);
        // Nor does it after the block has ended, swept or not.
        for sweeps in [false, true] {
            sleep(60 * MINUTE).await;
            if sweeps {
                sweep(&aws).await;
            }
            let again = block(&aws, "i-1", &["203.0.113.7"]).await;
            assert_eq!((again.networks, again.ended), (0, 1));
            assert_eq!(aws.entries(), [""; 0]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_incident_makes_a_block_last_longer_but_no_second_offence() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7"]).await;
        sleep(30 * MINUTE).await;
        let longer = block(&aws, "i-2", &["203.0.113.7"]).await;
        assert!(longer.changed);
        assert_eq!((longer.anew, minutes(&longer)), (1, (60, 60)));
        sleep(45 * MINUTE).await;
        assert_eq!(sweep(&aws).await.live, 1);
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_blocked_before_is_blocked_four_times_as_long() {
        let aws = Aws::default();
        let mut lasted = Vec::new();
        for offence in 0..6 {
            let blocked = block(&aws, &format!("i-{offence}"), &["203.0.113.7"]).await;
            let (minutes, _) = minutes(&blocked);
            lasted.push(minutes);
            sleep(MINUTE * u32::try_from(minutes).unwrap()).await;
            if offence % 2 == 0 {
                sweep(&aws).await;
            }
        }
        let week = 7 * 24 * 60;
        assert_eq!(lasted, [60, 240, 960, 3_840, week, week]);
        sleep(MINUTE * 60 * 24 * 30).await;
        let forgiven = block(&aws, "i-7", &["203.0.113.7"]).await;
        assert_eq!(minutes(&forgiven), (60, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn one_incident_lets_go_of_its_own_ask_and_the_last_one_unblocks() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7", "203.0.113.8"]).await;
        block(&aws, "i-2", &["203.0.113.7"]).await;
        let stranger = unblock(&aws, "i-3", &[]).await;
        assert!(!stranger.changed);
        let first = unblock(&aws, "i-1", &[]).await;
        assert!(first.changed);
        assert_eq!(
            first.networks,
            networks(&["203.0.113.8"]).into_iter().collect::<Vec<_>>()
        );
        assert_eq!(
            first.held,
            networks(&["203.0.113.7"]).into_iter().collect::<Vec<_>>()
        );
        assert_eq!(first.holders, BTreeSet::from(["i-2".to_owned()]));
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
        unblock(&aws, "i-2", &["203.0.113.9"]).await;
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
        unblock(&aws, "i-2", &["203.0.113.7"]).await;
        assert_eq!(aws.entries(), [""; 0]);
        assert!(!unblock(&aws, "i-2", &["203.0.113.7"]).await.changed);
        // What was let go was no offence.
        let anew = block(&aws, "i-4", &["203.0.113.7"]).await;
        assert_eq!(minutes(&anew), (60, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_let_go_does_not_wash_off_what_was_before() {
        for sweeps in [false, true] {
            let aws = Aws::default();
            block(&aws, "i-1", &["203.0.113.7"]).await;
            sleep(61 * MINUTE).await;
            if sweeps {
                sweep(&aws).await;
            }
            for incident in ["i-2", "i-3"] {
                let again = block(&aws, incident, &["203.0.113.7"]).await;
                assert_eq!(minutes(&again), (240, 240), "{incident}");
                unblock(&aws, incident, &[]).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_incident_let_go_of_no_longer_makes_the_block_longer() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7"]).await;
        sleep(50 * MINUTE).await;
        block(&aws, "i-2", &["203.0.113.7"]).await;
        unblock(&aws, "i-2", &[]).await;
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
        sleep(10 * MINUTE).await;
        sweep(&aws).await;
        assert_eq!(aws.entries(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_asks_of_one_network_are_bounded() {
        let aws = Aws::default();
        for incident in 0..40 {
            block(&aws, &format!("i-{incident}"), &["203.0.113.7"]).await;
            sleep(Duration::from_secs(1)).await;
        }
        let unblocked = unblock(&aws, "i-39", &[]).await;
        assert_eq!(unblocked.holders.len(), 31);
        assert!(!unblocked.holders.contains("i-0"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_blocked_is_refused_once_and_blocks_nobody_else() {
        let list = Aws::default().blocklist();
        let long = "9".repeat(500);
        let asked = [
            "198.51.100.9",
            "203.0.113.7",
            "203.0.113.7/32",
            "AWS Internal",
            "AWS Internal",
            "10.0.0.1",
            &long,
        ];
        let asked: Vec<_> = asked.iter().map(|&text| text.to_owned()).collect();
        let (accepted, refused) = list.screen(&asked);
        assert_eq!(accepted, networks(&["203.0.113.7"]));
        let refused = refused
            .iter()
            .map(|it| format!("{}: {}", it.network, it.why));
        insta::assert_snapshot!(refused.collect::<Vec<_>>().join("\n"), @"
        198.51.100.9/32: it shares addresses with 198.51.100.0/24 of NeverBlockCidrs
        AWS Internal: it is no network
        10.0.0.1/32: it shares addresses with 10.0.0.0/8, private
        9999999999999999999999999999999999999999999999999999999999999999… [cut]: it is no network
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_become_the_clinics_own_goes_out() {
        let aws = Aws::default();
        let everybodys = Settings::new(|_| None);
        let mut list = aws.blocklist();
        list.never = incident::NeverBlock::from_settings(&everybodys).unwrap();
        list.block(&id("i-1"), &networks(&["198.51.100.9"]), false)
            .await;
        assert_eq!(aws.entries(), ["198.51.100.9/32"]);
        sweep(&aws).await;
        assert_eq!(aws.entries(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_reads_and_writes_nothing() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7"]).await;
        aws.calls();
        let list = aws.blocklist();
        let asked = networks(&["203.0.113.7", "203.0.113.8", "2001:db8::1"]);
        let would = list.block(&id("i-2"), &asked, true).await;
        assert!(!would.changed);
        assert_eq!((would.networks, would.anew), (3, 3));
        let would = list.unblock(&id("i-1"), &BTreeSet::new(), true).await;
        assert!(!would.changed);
        assert_eq!(would.networks.len(), 1);
        sleep(61 * MINUTE).await;
        let would = list.sweep(true).await;
        assert!(!would.changed);
        assert_eq!((would.expired, would.live), (1, 0));
        let mut calls = aws.calls();
        calls.sort();
        calls.dedup();
        assert_eq!(calls, ["BatchGetItem", "Query"]);
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_set_a_human_is_told_which_parameter_names_one() {
        let aws = Aws::default();
        let list = aws.blocklist_with(&[Family::V4], 60);
        let asked = networks(&["203.0.113.7", "2001:db8::1"]);
        let blocked = list.block(&id("i-1"), &asked, false).await;
        assert_eq!(blocked.networks, 1);
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
        insta::assert_snapshot!(blocked.left.join("\n"), @"nothing of IPv6 is blocked, since no IP set is configured for it: 2001:db8::/64. Name one that a rule of the web ACL blocks in the parameter IpSetV6Arn, and run this again");
    }
}

mod others {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_somebody_put_there_stays_even_where_we_wanted_it_too() {
        let aws = Aws::default();
        for network in ["203.0.113.7", "192.0.2.0/24", "2001:db8::/64"] {
            aws.state().add(network);
        }
        aws.state().add_odd("not a network/at all");
        let blocked = block(&aws, "i-1", &["203.0.113.7", "203.0.113.8", "2001:db8::5"]).await;
        assert_eq!(blocked.networks, 3);
        aws.state().add("192.0.2.77");
        sleep(61 * MINUTE).await;
        sweep(&aws).await;
        let theirs = [
            "192.0.2.0/24",
            "192.0.2.77/32",
            "203.0.113.7/32",
            "2001:db8::/64",
        ];
        assert_eq!(aws.entries(), theirs);
        assert_eq!(aws.description(Family::V4), "by hand");
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_block_that_somebody_took_out_comes_back() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7"]).await;
        aws.state().remove("203.0.113.7");
        let swept = sweep(&aws).await;
        assert_eq!((swept.changed, swept.added), (true, 1));
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_of_ours_that_went_and_was_made_by_hand_is_not_ours_any_more() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7"]).await;
        sleep(61 * MINUTE).await;
        sweep(&aws).await;
        aws.state().add("203.0.113.7");
        sweep(&aws).await;
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_changes_the_set_between_our_reading_and_our_writing_loses_nothing() {
        let aws = Aws::default();
        aws.before("UpdateIPSet", |state| state.add("192.0.2.1"));
        aws.before("UpdateIPSet", |state| state.add("192.0.2.2"));
        let blocked = block(&aws, "i-1", &["203.0.113.7"]).await;
        assert_eq!(blocked.failures, []);
        assert_eq!(
            aws.entries(),
            ["192.0.2.1/32", "192.0.2.2/32", "203.0.113.7/32"]
        );
        assert_eq!((aws.count("GetIPSet"), aws.count("UpdateIPSet")), (3, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn who_enters_the_very_network_that_we_were_about_to_keeps_it() {
        for network in ["203.0.113.7", "203.0.113.8"] {
            let aws = Aws::default();
            aws.before("UpdateIPSet", |state| state.add(network));
            block(&aws, "i-1", &["203.0.113.7", "203.0.113.8"]).await;
            assert_eq!(aws.entries(), ["203.0.113.7/32", "203.0.113.8/32"]);
            sleep(61 * MINUTE).await;
            sweep(&aws).await;
            assert_eq!(aws.entries(), [format!("{network}/32")]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_full_set_the_first_to_expire_give_way_and_nobody_elses_entry() {
        let aws = Aws::default();
        for n in 0..9_997 {
            aws.state().add(&format!("100.0.{}.{}", n / 256, n % 256));
        }
        let first = block(&aws, "i-1", &["203.0.113.1", "203.0.113.2", "203.0.113.3"]).await;
        insta::assert_snapshot!(first.left.join("\n"), @"IP set blocked-v4 holds 10000 of 10000 entries: once it is full, the blocks that expire first give way. Take out by hand what need not be in it, and see whether the attack can be stopped by a rule instead (aws wafv2 get-ip-set --region eu-west-1 --scope REGIONAL --name blocked-v4 --id id-v4)");
        sleep(MINUTE).await;
        let second = block(&aws, "i-2", &["203.0.113.2", "203.0.113.9"]).await;
        insta::assert_snapshot!(second.left.join("\n"), @"IP set blocked-v4 is full: it has no place for 1 of the blocks, the first to expire. Take out by hand what need not be in it, and see whether the attack can be stopped by a rule instead (aws wafv2 get-ip-set --region eu-west-1 --scope REGIONAL --name blocked-v4 --id id-v4)");
        assert_eq!(second.failures, []);
        let entries = aws.entries();
        assert_eq!(entries.len(), 10_000);
        assert_eq!(
            entries[9_997..],
            ["203.0.113.1/32", "203.0.113.2/32", "203.0.113.9/32"]
        );
        // Whoever found no place gets one when there is room.
        for n in 0..2_000 {
            aws.state()
                .remove(&format!("100.0.{}.{}", n / 256, n % 256));
        }
        let swept = sweep(&aws).await;
        assert_eq!((swept.added, swept.left), (1, Vec::new()));
    }

    #[test]
    fn an_entry_is_written_as_waf_writes_it() {
        for (network, written) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("2001:db8::1", "2001:0db8:0000:0000:0000:0000:0000:0000/64"),
            (
                "2001:db8::1/128",
                "2001:0db8:0000:0000:0000:0000:0000:0001/128",
            ),
        ] {
            assert_eq!(entry(&network.parse().unwrap()), written);
        }
    }
}

mod waf {
    use super::*;

    /// What blocking comes to when WAF answers so, each time.
    async fn refused(call: &'static str, status: u16, code: &'static str) -> Failure {
        let aws = Aws::default();
        aws.trap(call, usize::MAX, Fault::Answers(status, code));
        let started = Instant::now();
        let mut blocked = block(&aws, "i-1", &["203.0.113.7"]).await;
        assert!(started.elapsed() < Duration::from_secs(50), "{code}");
        assert_eq!(aws.entries(), [""; 0]);
        assert_eq!(blocked.failures.len(), 1, "{code}");
        // The block is recorded all the same, and the next sweep makes up for it.
        aws.spring();
        sweep(&aws).await;
        assert_eq!(aws.entries(), ["203.0.113.7/32"], "{code}");
        blocked.failures.remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn what_waf_answers_decides_the_class() {
        for (call, status, code, class) in [
            (
                "GetIPSet",
                400,
                "WAFNonexistentItemException",
                "TargetNotFound",
            ),
            ("GetIPSet", 400, "WAFInvalidParameterException", "Rejected"),
            ("GetIPSet", 400, "WAFInvalidOperationException", "Rejected"),
            ("GetIPSet", 500, "WAFInternalErrorException", "Transient"),
            ("GetIPSet", 400, "ThrottlingException", "Transient"),
            ("GetIPSet", 400, "AccessDeniedException", "AccessDenied"),
            ("GetIPSet", 503, "ServiceUnavailable", "Transient"),
            (
                "UpdateIPSet",
                400,
                "WAFNonexistentItemException",
                "TargetNotFound",
            ),
            (
                "UpdateIPSet",
                400,
                "WAFInvalidParameterException",
                "Rejected",
            ),
            (
                "UpdateIPSet",
                400,
                "WAFInvalidOperationException",
                "Rejected",
            ),
            ("UpdateIPSet", 400, "WAFDuplicateItemException", "Rejected"),
            ("UpdateIPSet", 400, "WAFLimitsExceededException", "Rejected"),
            (
                "UpdateIPSet",
                400,
                "WAFUnavailableEntityException",
                "Transient",
            ),
            (
                "UpdateIPSet",
                400,
                "WAFOptimisticLockException",
                "Transient",
            ),
            ("UpdateIPSet", 500, "WAFInternalErrorException", "Transient"),
            ("UpdateIPSet", 400, "ThrottlingException", "Transient"),
            ("UpdateIPSet", 400, "AccessDeniedException", "AccessDenied"),
        ] {
            let failure = refused(call, status, code).await;
            assert_eq!(failure.name(), class, "{call}: {code}");
            assert!(
                failure.to_string().contains("IP set blocked-v4"),
                "{failure}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for() {
        for (call, fault) in [
            ("GetIPSet", Fault::Answers(400, "ThrottlingException")),
            ("GetIPSet", Fault::Answers(500, "WAFInternalErrorException")),
            ("GetIPSet", Fault::Loses),
            ("GetIPSet", Fault::Hangs),
            ("UpdateIPSet", Fault::Answers(400, "ThrottlingException")),
            (
                "UpdateIPSet",
                Fault::Answers(400, "WAFOptimisticLockException"),
            ),
            (
                "UpdateIPSet",
                Fault::Answers(400, "WAFUnavailableEntityException"),
            ),
            ("UpdateIPSet", Fault::Loses),
            ("UpdateIPSet", Fault::Hangs),
        ] {
            let aws = Aws::default();
            aws.trap(call, 3, fault);
            let blocked = block(&aws, "i-1", &["203.0.113.7"]).await;
            assert_eq!(blocked.failures, [], "{call}: {fault:?}");
            assert_eq!(aws.entries(), ["203.0.113.7/32"]);
            sleep(61 * MINUTE).await;
            sweep(&aws).await;
            assert_eq!(aws.entries(), [""; 0], "{call}: {fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_of_the_other_kind_is_left_alone() {
        let aws = Aws::default();
        aws.state().swap_families();
        let blocked = block(&aws, "i-1", &["203.0.113.7"]).await;
        assert_eq!(aws.entries(), [""; 0]);
        insta::assert_snapshot!(blocked.failures[0], @"IP set blocked-v4 holds IPV6: IP_SET_V4_ARN must name a set of IPV4");
        assert_eq!(blocked.failures[0].name(), "Rejected");
    }

    #[tokio::test(start_paused = true)]
    async fn one_set_that_is_gone_keeps_nobody_from_the_other() {
        let aws = Aws::default();
        aws.trap(
            "GetIPSet",
            1,
            Fault::Answers(400, "WAFNonexistentItemException"),
        );
        let blocked = block(&aws, "i-1", &["203.0.113.7", "2001:db8::1"]).await;
        assert_eq!((blocked.networks, blocked.failures.len()), (1, 1));
        assert_eq!(aws.entries().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_learns_from_the_writer_what_waf_refuses() {
        let aws = Aws::default();
        aws.state().latency = Duration::from_millis(100);
        aws.trap(
            "GetIPSet",
            usize::MAX,
            Fault::Answers(400, "AccessDeniedException"),
        );
        let list = aws.blocklist();
        let runs = (0..50).map(async |n| {
            let network = networks(&[&format!("203.0.113.{n}")]);
            let blocked = list.block(&id(&format!("i-{n}")), &network, false).await;
            assert_eq!(blocked.failures[0].name(), "AccessDenied");
        });
        futures_util::future::join_all(runs).await;
        let gets = aws.count("GetIPSet");
        assert!(gets < 10, "{gets}");
    }
}

mod writing {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_at_once_cost_a_handful_of_calls() {
        let aws = Aws::default();
        {
            let mut state = aws.state();
            state.latency = Duration::from_millis(30);
            state.limited = true;
        }
        aws.state().add("192.0.2.1");
        let list = aws.blocklist();
        let runs = many(1_000)
            .into_iter()
            .enumerate()
            .map(async |(n, network)| {
                let incident = id(&format!("i-{n}"));
                let blocked = list
                    .block(&incident, &BTreeSet::from([network]), false)
                    .await;
                assert_eq!(blocked.failures, []);
            });
        futures_util::future::join_all(runs).await;
        assert_eq!(aws.entries().len(), 1_001);
        let (gets, updates) = (aws.count("GetIPSet"), aws.count("UpdateIPSet"));
        assert!(gets <= 6 && updates <= 6, "{gets} gets, {updates} updates");
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_next_waits_until_waf_takes_it() {
        let aws = Aws::default();
        aws.state().limited = true;
        for n in 0..4 {
            let blocked = block(&aws, &format!("i-{n}"), &[&format!("203.0.113.{n}")]).await;
            assert_eq!(blocked.failures, []);
        }
        assert_eq!((aws.count("GetIPSet"), aws.count("UpdateIPSet")), (4, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn many_networks_of_one_run_are_one_update() {
        let aws = Aws::default();
        let list = aws.blocklist();
        let blocked = list.block(&id("i-1"), &many(3_000), false).await;
        assert_eq!((blocked.networks, blocked.failures.len()), (3_000, 0));
        assert_eq!(aws.entries().len(), 3_000);
        assert_eq!(aws.count("UpdateIPSet"), 1);
    }

    /// A run that dies as soon as it has made its `nth` call that begins like this.
    async fn dies_at(aws: &Aws, list: &Blocklist, call: &str, nth: usize) {
        let asked = networks(&["203.0.113.7"]);
        let incident = id("i-1");
        let run = list.block(&incident, &asked, false);
        let dead = async {
            while aws.count(call) < nth {
                sleep(Duration::from_micros(100)).await;
            }
        };
        tokio::select! {
            biased;
            () = dead => {}
            _ = run => panic!("lives"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_may_die_anywhere_and_another_takes_over() {
        for (call, nth) in [
            ("GetIPSet", 1),
            ("Query", 1),
            // Its block, and then the entries before and after the update.
            ("PutItem", 2),
            ("UpdateIPSet", 1),
            ("PutItem", 3),
            // Its request, its lease twice, and its record.
            ("UpdateItem", 4),
        ] {
            let aws = Aws::default();
            aws.state().latency = Duration::from_millis(2);
            dies_at(&aws, &aws.blocklist(), call, nth).await;
            let started = Instant::now();
            let blocked = block(&aws, "i-2", &["203.0.113.8"]).await;
            assert_eq!(blocked.failures, [], "{call}");
            assert!(started.elapsed() < Duration::from_secs(25), "{call}");
            assert_eq!(
                aws.entries(),
                ["203.0.113.7/32", "203.0.113.8/32"],
                "{call}"
            );
            sleep(61 * MINUTE).await;
            sweep(&aws).await;
            assert_eq!(aws.entries(), [""; 0], "{call}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_another_writes_nobody_calls_waf() {
        let aws = Aws::default();
        let set = aws.blocklist().sets[0].arn().clone();
        let list = aws.blocklist();
        let until = now() + jiff::SignedDuration::from_hours(1);
        list.ledger
            .lease(&set, "somebody", now(), until)
            .await
            .unwrap();
        let blocked = block(&aws, "i-1", &["203.0.113.7"]).await;
        insta::assert_snapshot!(blocked.failures[0], @"another run still writes IP set blocked-v4: what it should block is recorded, and is blocked once somebody writes it; run again");
        assert_eq!(blocked.failures[0].name(), "Transient");
        assert_eq!(aws.count("GetIPSet"), 0);
        // A retry finds the lease free and the block recorded.
        list.ledger.end_lease(&set, "somebody").await.unwrap();
        let retried = block(&aws, "i-1", &["203.0.113.7"]).await;
        assert_eq!((retried.changed, retried.networks), (true, 1));
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn two_incidents_that_ask_for_one_network_at_once_both_hold_it() {
        let aws = Aws::default();
        aws.state().latency = Duration::from_millis(20);
        let list = aws.blocklist();
        let network = networks(&["203.0.113.7"]);
        let runs = (0..8).map(async |n| {
            let blocked = list.block(&id(&format!("i-{n}")), &network, false).await;
            assert_eq!(blocked.failures, []);
        });
        futures_util::future::join_all(runs).await;
        for n in 0..8 {
            assert_eq!(aws.entries().len(), 1);
            unblock(&aws, &format!("i-{n}"), &[]).await;
        }
        assert_eq!(aws.entries(), [""; 0]);
    }
}

mod ledgers {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_the_ledger_networks_are_blocked_all_the_same() {
        for fault in [Fault::Hangs, Fault::Answers(400, "AccessDeniedException")] {
            let aws = Aws::default();
            aws.state().add("192.0.2.1");
            aws.trap("BatchGetItem", usize::MAX, fault);
            aws.trap("UpdateIPSet", 1, Fault::Answers(400, "ThrottlingException"));
            aws.before("UpdateIPSet", |state| state.add("192.0.2.2"));
            let started = Instant::now();
            let blocked = block(&aws, "i-1", &["203.0.113.7", "192.0.2.1"]).await;
            assert!(started.elapsed() < Duration::from_secs(20));
            assert_eq!(blocked.failures, []);
            assert_eq!(
                (blocked.changed, blocked.networks, blocked.anew),
                (true, 2, 1)
            );
            assert_eq!(
                aws.entries(),
                ["192.0.2.1/32", "192.0.2.2/32", "203.0.113.7/32"]
            );
            assert_eq!(blocked.left.len(), 1);
            let again = block(&aws, "i-1", &["203.0.113.7"]).await;
            assert_eq!((again.changed, again.left.len()), (false, 1));
            if let Fault::Answers(..) = fault {
                insta::assert_snapshot!(blocked.left[0], @"the ledger does not know of these blocks, so nothing will end them (dynamodb:BatchGetItem: AccessDeniedException: as AWS says): 203.0.113.7/32. When it is time, take them out by hand: aws wafv2 get-ip-set --region eu-west-1 --scope REGIONAL --name blocked-v4 --id id-v4, then aws wafv2 update-ip-set --region eu-west-1 --scope REGIONAL --name blocked-v4 --id id-v4 with its LockToken and the addresses without them");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_ledger_a_full_set_takes_nobody_in() {
        let aws = Aws::default();
        let mut list = aws.blocklist();
        list.capacity = 2;
        aws.state().add("192.0.2.1");
        aws.trap(
            "BatchGetItem",
            usize::MAX,
            Fault::Answers(400, "AccessDeniedException"),
        );
        let asked = networks(&["203.0.113.7", "203.0.113.8"]);
        let blocked = list.block(&id("i-1"), &asked, false).await;
        assert_eq!(blocked.networks, 1);
        assert_eq!(aws.entries(), ["192.0.2.1/32", "203.0.113.7/32"]);
        insta::assert_snapshot!(blocked.left[1], @"IP set blocked-v4 is full, so these are not blocked: 203.0.113.8/32. Take out by hand what need not be in it, and run this again (aws wafv2 get-ip-set --region eu-west-1 --scope REGIONAL --name blocked-v4 --id id-v4)");
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_ledger_what_waf_refuses_is_a_failure() {
        for (code, class) in [
            ("WAFOptimisticLockException", "Transient"),
            ("WAFUnavailableEntityException", "Transient"),
            ("WAFLimitsExceededException", "Rejected"),
        ] {
            let aws = Aws::default();
            aws.trap(
                "BatchGetItem",
                usize::MAX,
                Fault::Answers(400, "AccessDeniedException"),
            );
            aws.trap("UpdateIPSet", usize::MAX, Fault::Answers(400, code));
            let blocked = block(&aws, "i-1", &["203.0.113.7"]).await;
            assert_eq!(blocked.failures[0].name(), class, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_ledger_is_waited_for() {
        for call in ["BatchGetItem", "PutItem", "UpdateItem", "Query", "GetItem"] {
            for fault in [Fault::Answers(400, "ThrottlingException"), Fault::Loses] {
                let aws = Aws::default();
                aws.state().unprocessed = 3;
                aws.trap(call, 3, fault);
                let blocked = block(&aws, "i-1", &["203.0.113.7", "203.0.113.8"]).await;
                assert_eq!(
                    (blocked.failures, blocked.left.len()),
                    (vec![], 0),
                    "{call}"
                );
                assert_eq!(aws.entries(), ["203.0.113.7/32", "203.0.113.8/32"]);
                sleep(61 * MINUTE).await;
                sweep(&aws).await;
                assert_eq!(aws.entries(), [""; 0], "{call}: {fault:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn letting_go_and_sweeping_need_the_ledger() {
        let aws = Aws::default();
        block(&aws, "i-1", &["203.0.113.7"]).await;
        aws.trap("Query", usize::MAX, Fault::Hangs);
        let list = aws.blocklist();
        let unblocked = list
            .unblock(&id("i-1"), &networks(&["203.0.113.7"]), false)
            .await;
        assert_eq!(unblocked.failures[0].name(), "Transient");
        assert_eq!(list.sweep(false).await.failures[0].name(), "Transient");
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_page_of_blocks_is_read() {
        let aws = Aws::default();
        aws.state().page = 7;
        let list = aws.blocklist();
        list.block(&id("i-1"), &many(60), false).await;
        assert_eq!(aws.entries().len(), 60);
        assert_eq!(sweep(&aws).await.live, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_before_lambda_ends_it() {
        let aws = Aws::default();
        aws.trap("UpdateItem", usize::MAX, Fault::Hangs);
        let run = block(&aws, "i-1", &["203.0.113.7", "2001:db8::1"]);
        let blocked = timeout(Duration::from_secs(55), run).await.unwrap();
        assert_eq!(blocked.failures.len(), 2);
    }
}

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .build();
    let settings = |minutes: &'static str, set: &'static str| {
        let settings = Settings::new(move |name| match name {
            "LEDGER_TABLE" => Some("ledger".to_owned()),
            "BLOCK_MINUTES" => Some(minutes.to_owned()),
            "IP_SET_V4_ARN" => Some(set.to_owned()),
            _ => None,
        });
        Blocklist::from_settings(&config, &settings)
    };
    let arn = "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/blocked-v4/id-v4";
    let list = settings("", "none").unwrap();
    assert_eq!((list.minutes, list.sets.len()), (60, 0));
    let list = settings("15", arn).unwrap();
    assert_eq!((list.minutes, list.sets.len()), (15, 1));
    assert_eq!(
        FAMILIES.map(|family| list.set(family).is_some()),
        [true, false]
    );
    for (minutes, set, named) in [
        ("0", arn, "BLOCK_MINUTES"),
        ("10081", arn, "BLOCK_MINUTES"),
        ("an hour", arn, "BLOCK_MINUTES"),
        ("60", "blocked-v4", "IP_SET_V4_ARN"),
    ] {
        let error = settings(minutes, set).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
