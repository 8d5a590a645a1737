//! Lets blocks expire, and puts right what a firewall should block.
//!
//! **Act.** Every five minutes: makes WAF's IP sets hold every live block and none that has expired.
//! Those are put aside in the ledger for 30 days, so that whoever comes back is blocked for longer. A
//! live block that somebody took out of a set goes back: whoever wants to unblock a network uses the
//! undo of `block-ip`. Entries that people made stay. A dry run reads the ledger and counts.
//!
//! What runs could not finish is finished here: blocks that were recorded while WAF refused them, and
//! what a run that died had begun.
//!
//! **Undo.** None: it does what time does. **A second run** finds nothing to do, and asks WAF once for
//! each set.
//!
//! **Calls.** In the ledger `dynamodb:Query`, `GetItem`, `PutItem`, `UpdateItem`, `DeleteItem`;
//! `wafv2:GetIPSet`, and `wafv2:UpdateIPSet` where an entry comes or goes.

use aws_config::SdkConfig;
use blocklist::{Blocklist, Swept};
use incident::Settings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use worker::{Failure, Worker};

/// How to sweep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Whether to say what would be done and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether anything is different now.
    pub changed: bool,
    /// What was done, in one sentence.
    pub summary: String,
    /// How many blocks have expired since the last sweep.
    pub expired: usize,
    /// How many are live.
    pub blocked: usize,
    /// What is left for a human.
    pub left: Vec<String>,
}

/// The worker.
#[derive(Debug)]
pub struct SweepBlocks {
    blocklist: Blocklist,
}

impl SweepBlocks {
    /// Builds the worker from the settings of [`Blocklist::from_settings`].
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let blocklist = Blocklist::from_settings(config, &Settings::from_env())?;
        Ok(Self { blocklist })
    }
}

impl Worker for SweepBlocks {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let swept = self.blocklist.sweep(input.dry_run).await;
        let summary = said(&swept, input.dry_run);
        let all: Vec<_> = swept.failures.iter().map(ToString::to_string).collect();
        if let Some(worst) = Failure::worst(swept.failures) {
            return Err(worst.rephrase(|_| format!("{summary}; failed: {}", all.join("; "))));
        }
        Ok(Output {
            changed: swept.changed,
            summary,
            expired: swept.expired,
            blocked: swept.live,
            left: swept.left,
        })
    }
}

fn said(swept: &Swept, dry_run: bool) -> String {
    let (live, expired) = (swept.live, swept.expired);
    if swept.sets == 0 {
        return "no IP set is configured, so there is nothing to sweep".to_owned();
    }
    if dry_run {
        return format!("blocks: {live} live, {expired} would be let go");
    }
    let (added, removed) = (swept.added, swept.removed);
    format!(
        "blocks: {live} live, {expired} let go; {added} entries put into the sets, {removed} taken out"
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use blocklist::fake::{Aws, Fault};
    use serde_json::{Value, json};
    use tokio::time::sleep;
    use worker::answer;

    use super::*;

    async fn blocked(networks: &[&str]) -> Aws {
        let aws = Aws::default();
        let networks: BTreeSet<_> = networks.iter().map(|text| text.parse().unwrap()).collect();
        let incident = "i-1".parse().unwrap();
        let blocked = aws.blocklist().block(&incident, &networks, false).await;
        assert_eq!(blocked.failures, []);
        aws.calls();
        aws
    }

    async fn sweep(aws: &Aws, dry_run: bool) -> Result<Value, Failure> {
        let blocklist = aws.blocklist();
        answer(&SweepBlocks { blocklist }, &json!({ "dryRun": dry_run })).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_goes_out_and_what_was_taken_out_goes_back() {
        let aws = blocked(&["203.0.113.7", "2001:db8::1"]).await;
        aws.state().remove("203.0.113.7");
        aws.state().add("192.0.2.1");
        let swept = sweep(&aws, false).await.unwrap();
        insta::assert_json_snapshot!(swept, @r#"
        {
          "changed": true,
          "summary": "blocks: 2 live, 0 let go; 1 entries put into the sets, 0 taken out",
          "expired": 0,
          "blocked": 2,
          "left": []
        }
        "#);
        sleep(Duration::from_hours(1)).await;
        aws.calls();
        let would = sweep(&aws, true).await.unwrap();
        assert_eq!(would["changed"], false);
        assert_eq!(would["summary"], "blocks: 0 live, 2 would be let go");
        assert_eq!(aws.calls(), ["Query", "Query"]);
        let swept = sweep(&aws, false).await.unwrap();
        insta::assert_snapshot!(swept["summary"].as_str().unwrap(), @"blocks: 0 live, 2 let go; 0 entries put into the sets, 2 taken out");
        assert_eq!(aws.entries(), ["192.0.2.1/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_sweep_changes_nothing() {
        let aws = blocked(&["203.0.113.7"]).await;
        for _ in 0..2 {
            let swept = sweep(&aws, false).await.unwrap();
            assert_eq!(
                (&swept["changed"], &swept["blocked"]),
                (&json!(false), &json!(1))
            );
        }
        assert_eq!((aws.count("UpdateIPSet"), aws.count("PutItem")), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_set_that_waf_refuses_fails_the_sweep_and_the_other_is_swept() {
        let aws = blocked(&["203.0.113.7", "2001:db8::1"]).await;
        sleep(Duration::from_hours(1)).await;
        aws.trap(
            "UpdateIPSet",
            1,
            Fault::Answers(400, "AccessDeniedException"),
        );
        let failure = sweep(&aws, false).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        insta::assert_snapshot!(failure, @"blocks: 0 live, 2 let go; 0 entries put into the sets, 1 taken out; failed: IP set blocked-v4: wafv2:UpdateIPSet: AccessDeniedException: as AWS says");
        assert_eq!(aws.entries().len(), 1);
        sweep(&aws, false).await.unwrap();
        assert_eq!(aws.entries(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_does_not_answer_is_tried_again_later() {
        let aws = blocked(&["203.0.113.7"]).await;
        aws.trap("Query", usize::MAX, Fault::Hangs);
        let failure = sweep(&aws, false).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_set_there_is_nothing_to_sweep() {
        let aws = Aws::default();
        let blocklist = aws.blocklist_with(&[], 60);
        let swept = answer(&SweepBlocks { blocklist }, &json!({}))
            .await
            .unwrap();
        assert_eq!(
            (&swept["changed"], &swept["left"]),
            (&json!(false), &json!([]))
        );
        insta::assert_snapshot!(swept["summary"].as_str().unwrap(), @"no IP set is configured, so there is nothing to sweep");
        assert_eq!(aws.calls(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_that_fills_up_is_a_humans_to_know() {
        let aws = Aws::default();
        for n in 0..9_000 {
            aws.state().add(&format!("100.0.{}.{}", n / 256, n % 256));
        }
        let swept = sweep(&aws, false).await.unwrap();
        assert_eq!(swept["left"].as_array().unwrap().len(), 1);
    }
}
