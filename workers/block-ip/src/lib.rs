//! Blocks the networks of an attack at the firewall.
//!
//! **Act.** Records in the ledger that this incident asks for a block of each network, and has WAF's IP
//! sets hold them, IPv4 and IPv6 apart: it writes them, or waits until another run has, which writes
//! for both. [`blocklist`] says how, for how long, and whose the entries of a set are. What must never
//! be blocked is refused, each with its reason, and keeps nobody else from being blocked: the clinic's
//! own networks, what is no address out there, more than a /16 or a /32, and what is no network at all.
//! Of these only the clinic's own are left for a human, since the attack goes on from there. A dry run
//! reads the ledger and says what it would do.
//!
//! WAF has it when this answers. It works within seconds to minutes, at every edge at another time.
//!
//! **Undo.** Lets go of what this incident asked for: of the networks given, or of all where none are.
//! Who else asked for a network keeps it blocked; the last one out unblocks. It is also how to unblock
//! somebody: an entry that is taken out of the set by hand comes back with the next sweep.
//!
//! **Without the ledger** it puts the networks straight into the set, and leaves it to a human to take
//! them out again: nothing else knows of them. An undo needs the ledger.
//!
//! **A second run** asks for nothing new, makes no block last longer, and makes sure that the sets hold
//! them.
//!
//! **Calls.** In the ledger `dynamodb:BatchGetItem`, `GetItem`, `PutItem`, `UpdateItem`, and for an undo
//! `Query` and `DeleteItem` too; `Query`, `wafv2:GetIPSet` and `wafv2:UpdateIPSet` when it is this run
//! that writes. An IP set of CloudFront is written in us-east-1.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use blocklist::{Blocked, Blocklist, Refusal};
use incident::{IncidentId, Network, Settings, cut};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use worker::{Failure, Worker};

/// The most networks that one payload asks for.
const MOST_NETWORKS: usize = 10_000;

/// The most refusals that one answer lists.
const MOST_REFUSED: usize = 50;

/// How many of anything a line for people names.
const MOST_NAMED: usize = 5;

/// A summary is for people.
const LONGEST_SUMMARY: usize = 1_000;

/// Who is to be blocked, or let go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident that asks.
    pub incident_id: IncidentId,
    /// Addresses and networks; an IPv6 address means its /64. What is neither is refused like what must
    /// not be blocked. For an undo none means all.
    #[serde(default)]
    #[schemars(length(max = 10_000))]
    pub networks: Vec<String>,
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether to let go instead.
    #[serde(default)]
    pub undo: bool,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether anything is different now.
    pub changed: bool,
    /// What was done, in one sentence.
    pub summary: String,
    /// How many of the networks are blocked now, or would be; of an undo, how many still are, for
    /// other incidents.
    pub blocked: usize,
    /// What is not blocked, at most 50 of it.
    pub refused: Vec<Refused>,
    /// What is left for a human.
    pub left: Vec<String>,
}

/// A network that is not blocked.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The network, or what stands in its place.
    pub network: String,
    /// Why it is not blocked.
    pub why: String,
}

/// The worker.
#[derive(Debug)]
pub struct BlockIp {
    blocklist: Blocklist,
}

impl BlockIp {
    /// Builds the worker from the settings of [`Blocklist::from_settings`].
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let blocklist = Blocklist::from_settings(config, &Settings::from_env())?;
        Ok(Self::new(blocklist))
    }

    /// The worker of a blocklist.
    #[must_use]
    pub fn new(blocklist: Blocklist) -> Self {
        Self { blocklist }
    }

    async fn block(&self, input: Input) -> Result<Output, Failure> {
        let (networks, refused) = self.blocklist.screen(&input.networks);
        let blocked = self
            .blocklist
            .block(&input.incident_id, &networks, input.dry_run)
            .await;
        let mut summary = said(&blocked, input.dry_run);
        summary += &told(&refused);
        let mut output = Output {
            changed: blocked.changed,
            summary: cut(&summary, LONGEST_SUMMARY),
            blocked: blocked.networks,
            refused: Vec::new(),
            left: blocked.left,
        };
        output.left.extend(own(&refused));
        output.refused = listed(refused);
        answer(output, blocked.failures)
    }

    async fn unblock(&self, input: Input) -> Result<Output, Failure> {
        let (networks, refused) = read(&input.networks);
        if networks.is_empty() && !refused.is_empty() {
            return Err(Failure::InvalidInput(
                "`networks`: none of them is a network; give none to let go of all".to_owned(),
            ));
        }
        let unblocked = self
            .blocklist
            .unblock(&input.incident_id, &networks, input.dry_run)
            .await;
        let (last, held) = (unblocked.networks.len(), unblocked.held.len());
        let mut summary = match (count(last), input.dry_run) {
            (None, _) => "nothing was unblocked".to_owned(),
            (Some(networks), true) => format!("{networks} would be unblocked"),
            (Some(networks), false) => {
                format!("{networks} {} unblocked", verb(last, "was", "were"))
            }
        };
        if let Some(networks) = count(held) {
            let holders: Vec<_> = unblocked.holders.into_iter().collect();
            let (stay, holders) = (verb(held, "stays", "stay"), some(&holders));
            summary = format!("{summary}; {networks} {stay} blocked for {holders}");
        }
        if last + held == 0 {
            summary += ": this incident asks for no block that lasts";
        }
        summary += &told(&refused);
        let output = Output {
            changed: unblocked.changed,
            summary: cut(&summary, LONGEST_SUMMARY),
            blocked: held,
            refused: listed(refused),
            left: unblocked.left,
        };
        match Failure::worst(unblocked.failures) {
            Some(worst) => Err(worst.rephrase(|why| format!("{}; failed: {why}", output.summary))),
            None => Ok(output),
        }
    }
}

impl Worker for BlockIp {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        if input.networks.len() > MOST_NETWORKS {
            let most = format!("`networks`: expected at most {MOST_NETWORKS}");
            return Err(Failure::InvalidInput(most));
        }
        if input.undo {
            self.unblock(input).await
        } else {
            self.block(input).await
        }
    }
}

/// Reads what is to be let go, though it could not be blocked any more.
fn read(asked: &[String]) -> (BTreeSet<Network>, Vec<Refusal>) {
    let (mut networks, mut refused) = (BTreeSet::new(), Vec::new());
    for text in asked {
        match text.parse() {
            Ok(network) => {
                networks.insert(network);
            }
            Err(_) => refused.push(Refusal::no_network(text)),
        }
    }
    (networks, refused)
}

/// The answer, with what failed left to a human; or the failure that speaks for all, where another run
/// may mend it or nobody is blocked.
fn answer(mut output: Output, failures: Vec<Failure>) -> Result<Output, Failure> {
    let all: Vec<_> = failures.iter().map(ToString::to_string).collect();
    match Failure::worst(failures) {
        Some(worst) if output.blocked == 0 || matches!(worst, Failure::Transient(_)) => {
            let left = [&all[..], &output.left[..]].concat().join("; ");
            Err(worst.rephrase(|_| format!("{}; failed: {left}", output.summary)))
        }
        _ => {
            output.left.extend(all);
            Ok(output)
        }
    }
}

fn said(blocked: &Blocked, dry_run: bool) -> String {
    let summary = match (count(blocked.networks), dry_run) {
        (None, _) => "nobody was blocked".to_owned(),
        (Some(networks), true) => format!("{networks} would be blocked{}", until(blocked)),
        (Some(networks), false) => format!(
            "{networks} {} blocked{}, as soon as WAF has told its edges",
            verb(blocked.networks, "is", "are"),
            until(blocked)
        ),
    };
    match count(blocked.ended) {
        None => summary,
        Some(networks) => format!(
            "{summary}; {networks} had been blocked for this incident before, and that time is over"
        ),
    }
}

/// What to tell people of their own networks, from which the attack goes on.
fn own(refused: &[Refusal]) -> Option<String> {
    let own = refused.iter().filter(|refusal| refusal.is_own);
    let own: Vec<_> = own.map(|refusal| refusal.network.clone()).collect();
    (!own.is_empty()).then(|| {
        format!(
            "the attack comes from networks of your own, which are never blocked (NeverBlockCidrs): {}. \
             Find the machine there and take it off the network",
            some(&own)
        )
    })
}

fn listed(refused: Vec<Refusal>) -> Vec<Refused> {
    let refused = refused.into_iter().take(MOST_REFUSED);
    let refused = refused.map(|Refusal { network, why, .. }| Refused { network, why });
    refused.collect()
}

fn told(refused: &[Refusal]) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let each = refused.iter();
    let each = each.map(|refusal| format!("{} ({})", refusal.network, refusal.why));
    format!("; refused: {}", some(&each.collect::<Vec<_>>()))
}

fn count(networks: usize) -> Option<String> {
    match networks {
        0 => None,
        1 => Some("one network".to_owned()),
        many => Some(format!("{many} networks")),
    }
}

fn verb(networks: usize, of_one: &'static str, of_many: &'static str) -> &'static str {
    if networks == 1 { of_one } else { of_many }
}

fn until(blocked: &Blocked) -> String {
    // Nobody counts in fractions of a second.
    let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
    match blocked.until {
        None => String::new(),
        Some((first, last)) if whole(first) == whole(last) => format!(" until {}", whole(last)),
        Some((first, last)) => {
            let (first, last) = (whole(first), whole(last));
            format!(", the first until {first} and the last until {last}")
        }
    }
}

fn some(all: &[String]) -> String {
    let first = all[..all.len().min(MOST_NAMED)].join(", ");
    match all.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blocklist::fake::{Aws, Fault};
    use incident::Family;
    use serde_json::{Value, json};
    use tokio::time::sleep;
    use worker::answer;

    use super::*;

    async fn run(aws: &Aws, payload: Value) -> Value {
        let worker = BlockIp::new(aws.blocklist());
        answer(&worker, &payload).await.unwrap()
    }

    async fn failure(aws: &Aws, payload: Value) -> Failure {
        let worker = BlockIp::new(aws.blocklist());
        answer(&worker, &payload).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn an_attacks_networks_are_blocked_and_the_rest_is_refused() {
        let aws = Aws::default();
        let payload = json!({
            "incidentId": "i-1",
            "networks": ["203.0.113.7", "2001:db8::1", "198.51.100.9", "unknown", "203.0.113.7/32"],
        });
        let done = run(&aws, payload.clone()).await;
        assert_eq!(aws.entries(), ["203.0.113.7/32", "2001:db8::/64"]);
        insta::assert_json_snapshot!(done, @r#"
        {
          "changed": true,
          "summary": "2 networks are blocked until 2026-11-25T04:00:00Z, as soon as WAF has told its edges; refused: 198.51.100.9/32 (it shares addresses with 198.51.100.0/24 of NeverBlockCidrs), unknown (it is no network)",
          "blocked": 2,
          "refused": [
            {
              "network": "198.51.100.9/32",
              "why": "it shares addresses with 198.51.100.0/24 of NeverBlockCidrs"
            },
            {
              "network": "unknown",
              "why": "it is no network"
            }
          ],
          "left": [
            "the attack comes from networks of your own, which are never blocked (NeverBlockCidrs): 198.51.100.9/32. Find the machine there and take it off the network"
          ]
        }
        "#);
        let again = run(&aws, payload).await;
        assert_eq!(
            (&again["changed"], &again["blocked"]),
            (&json!(false), &json!(2))
        );
        assert_eq!(again["summary"], done["summary"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_undo_lets_go_of_all_or_of_what_is_given() {
        let aws = Aws::default();
        for (id, networks) in [
            ("i-1", json!(["203.0.113.7", "203.0.113.8", "203.0.113.9"])),
            ("i-2", json!(["203.0.113.9"])),
        ] {
            run(&aws, json!({"incidentId": id, "networks": networks})).await;
        }
        let mut told = Vec::new();
        for (id, networks, dry_run) in [
            ("i-1", json!(["203.0.113.7", "eve"]), true),
            ("i-1", json!(["203.0.113.7", "eve"]), false),
            ("i-1", json!([]), false),
            ("i-1", json!([]), false),
            ("i-2", json!([]), false),
        ] {
            let payload =
                json!({"incidentId": id, "networks": networks, "dryRun": dry_run, "undo": true});
            let undone = run(&aws, payload).await;
            let (changed, summary) = (&undone["changed"], undone["summary"].as_str().unwrap());
            told.push(format!("{changed} {}: {summary}", aws.entries().len()));
        }
        insta::assert_snapshot!(told.join("\n"), @"
        false 3: one network would be unblocked; refused: eve (it is no network)
        true 2: one network was unblocked; refused: eve (it is no network)
        true 1: one network was unblocked; one network stays blocked for i-2
        false 1: nothing was unblocked: this incident asks for no block that lasts
        true 0: one network was unblocked
        ");
        // What is no network does not mean all.
        run(
            &aws,
            json!({"incidentId": "i-3", "networks": ["203.0.113.7"]}),
        )
        .await;
        let undo = json!({"incidentId": "i-3", "networks": ["everything"], "undo": true});
        assert_eq!(failure(&aws, undo).await.name(), "InvalidInput");
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
        let aws = Aws::default();
        let payload = json!({
            "incidentId": "i-1", "networks": ["203.0.113.7", "203.0.113.8", "10.0.0.1"], "dryRun": true,
        });
        let would = run(&aws, payload).await;
        assert_eq!(
            (&would["changed"], &would["blocked"]),
            (&json!(false), &json!(2))
        );
        insta::assert_snapshot!(would["summary"].as_str().unwrap(), @"2 networks would be blocked until 2026-11-25T04:00:00Z; refused: 10.0.0.1/32 (it shares addresses with 10.0.0.0/8, private)");
        assert_eq!(aws.calls(), ["BatchGetItem"]);
    }

    #[tokio::test(start_paused = true)]
    async fn there_may_be_nobody_to_block() {
        let aws = Aws::default();
        let mut told = Vec::new();
        for networks in [json!([]), json!(["AWS Internal", "fe80::1"])] {
            let done = run(&aws, json!({"incidentId": "i-1", "networks": networks})).await;
            assert_eq!(
                (&done["changed"], &done["left"]),
                (&json!(false), &json!([]))
            );
            told.push(done["summary"].as_str().unwrap().to_owned());
        }
        insta::assert_snapshot!(told.join("\n"), @"
        nobody was blocked
        nobody was blocked; refused: AWS Internal (it is no network), fe80::/64 (it shares addresses with fe80::/10, link-local)
        ");
        assert_eq!(aws.calls(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn blocks_of_different_length_are_told_apart() {
        let aws = Aws::default();
        let payload = |id: &str, networks: Value| json!({"incidentId": id, "networks": networks});
        run(&aws, payload("i-1", json!(["203.0.113.7"]))).await;
        sleep(Duration::from_mins(61)).await;
        let both = json!(["203.0.113.7", "203.0.113.8"]);
        let done = run(&aws, payload("i-2", both.clone())).await;
        insta::assert_snapshot!(done["summary"].as_str().unwrap(), @"2 networks are blocked, the first until 2026-11-25T05:01:00Z and the last until 2026-11-25T08:01:00Z, as soon as WAF has told its edges");
        sleep(Duration::from_mins(61)).await;
        let again = run(&aws, payload("i-2", both)).await;
        insta::assert_snapshot!(again["summary"].as_str().unwrap(), @"one network is blocked until 2026-11-25T08:01:00Z, as soon as WAF has told its edges; one network had been blocked for this incident before, and that time is over");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_blocked_is_left_to_a_human_beside_what_can() {
        let aws = Aws::default();
        let ipv4 = BlockIp::new(aws.blocklist_with(&[Family::V4], 60));
        let both = json!({"incidentId": "i-1", "networks": ["203.0.113.7", "2001:db8::1"]});
        let done = answer(&ipv4, &both).await.unwrap();
        assert_eq!(done["blocked"], 1);
        assert!(done["left"][0].as_str().unwrap().contains("IpSetV6Arn"));
        // What WAF refuses is left too; where nobody is blocked it is the failure.
        let refusal = Fault::Answers(400, "WAFInvalidParameterException");
        aws.trap("UpdateIPSet", usize::MAX, refusal);
        let done = run(&aws, both).await;
        let left = done["left"].as_array().unwrap();
        assert_eq!((&done["blocked"], left.len()), (&json!(1), 1));
        let ipv6 = json!({"incidentId": "i-1", "networks": ["2001:db8::1"]});
        let failure = failure(&aws, ipv6).await;
        assert_eq!(failure.name(), "Rejected");
        insta::assert_snapshot!(failure, @"nobody was blocked; failed: IP set blocked-v6: wafv2:UpdateIPSet: WAFInvalidParameterException: as AWS says");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waf_answers_is_the_failure_where_nobody_is_blocked() {
        for (status, code, name) in [
            (403, "AccessDeniedException", "AccessDenied"),
            (400, "WAFNonexistentItemException", "TargetNotFound"),
            (400, "WAFInvalidParameterException", "Rejected"),
            (400, "WAFLimitsExceededException", "Rejected"),
            (400, "WAFOptimisticLockException", "Transient"),
            (400, "WAFUnavailableEntityException", "Transient"),
        ] {
            let aws = Aws::default();
            aws.trap("UpdateIPSet", usize::MAX, Fault::Answers(status, code));
            let payload = json!({"incidentId": "i-1", "networks": ["203.0.113.7"]});
            let failure = failure(&aws, payload).await;
            assert_eq!(failure.name(), name, "{code}: {failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_run_may_mend_is_transient_whatever_was_blocked() {
        let aws = Aws::default();
        let busy = Fault::Answers(400, "ThrottlingException");
        aws.trap("UpdateIPSet", usize::MAX, busy);
        let payload = json!({"incidentId": "i-1", "networks": ["203.0.113.7"]});
        assert_eq!(failure(&aws, payload.clone()).await.name(), "Transient");
        aws.spring();
        let done = run(&aws, payload).await;
        assert_eq!(
            (&done["changed"], &done["blocked"]),
            (&json!(true), &json!(1))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_ledger_the_run_ends_red_and_an_undo_fails() {
        let aws = Aws::default();
        for call in ["BatchGetItem", "Query"] {
            let gone = Fault::Answers(400, "ResourceNotFoundException");
            aws.trap(call, usize::MAX, gone);
        }
        let payload = json!({"incidentId": "i-1", "networks": ["203.0.113.7"]});
        let done = run(&aws, payload).await;
        assert_eq!(
            (&done["changed"], &done["blocked"]),
            (&json!(true), &json!(1))
        );
        assert_eq!(aws.entries(), ["203.0.113.7/32"]);
        let left = done["left"][0].as_str().unwrap();
        assert!(left.contains("aws wafv2 update-ip-set"), "{left}");
        let undo = json!({"incidentId": "i-1", "undo": true});
        assert_eq!(failure(&aws, undo).await.name(), "Rejected");
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_that_is_too_large_is_refused_and_a_long_answer_is_bounded() {
        let aws = Aws::default();
        let payload = json!({"incidentId": "i-1", "networks": vec!["unknown"; 10_001]});
        assert_eq!(failure(&aws, payload).await.name(), "InvalidInput");
        let payload = json!({"incidentId": "i-1", "networks": [7]});
        let failure = failure(&aws, payload).await;
        assert_eq!(failure.to_string(), "`networks[0]`: expected a string");
        let different: Vec<_> = (0..200).map(|n| format!("nobody {n}")).collect();
        let done = run(&aws, json!({"incidentId": "i-1", "networks": different})).await;
        assert_eq!(done["refused"].as_array().unwrap().len(), 50);
        insta::assert_snapshot!(done["summary"].as_str().unwrap(), @"nobody was blocked; refused: nobody 0 (it is no network), nobody 1 (it is no network), nobody 2 (it is no network), nobody 3 (it is no network), nobody 4 (it is no network) and 195 more");
    }
}
