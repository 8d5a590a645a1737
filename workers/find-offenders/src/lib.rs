//! Finds who attacks the API, from what WAF blocked around an alarm.
//!
//! **Act.** Reads three sources, each whatever becomes of the others, and tells who attacked, with how
//! many requests, why, and whom of them to block. It blocks nobody: `block-ip` does. A dry run reads
//! all the same, since reading changes nothing.
//!
//! - *Samples* of what each blocking rule matched, five minutes around the alarm's window, at most of
//!   the last three hours: up to 500 of the first 5,000 requests, each with its weight.
//! - *Who is over a rate* right now, of each rate rule of the web ACL that counts by address only.
//! - *The log group*, where there is one: every blocked request, counted by Logs Insights. URIs,
//!   arguments, bodies and other headers than those that name a client never leave it.
//!
//! The sources see the same requests, so that of their counts the higher one is taken.
//!
//! **Who is held responsible.** Only for requests that were blocked. Not for a CAPTCHA or a challenge:
//! everybody who comes without a token gets one. Not for what a rule merely counts: its owner does not
//! trust it to block yet. Not for a country, an IP set (whoever is on it is blocked already), an
//! anonymous or hosting network, or a rate that everybody exceeds together.
//!
//! **Who is to be blocked.** One request is enough for an address that AWS knows for attacks, and for a
//! rate that the address itself exceeded. Anything else that was blocked takes `OFFENCE_REQUESTS`
//! requests, ten unless set, seen in one source: the common rule set, a size, a pattern, a key shared
//! with others, and a signature of an attack too (SQL injection, cross-site scripting, known bad
//! inputs), since another page can make a browser send one. Never what `NEVER_BLOCK_CIDRS` holds: that
//! is the clinic's own, and a human is told that it attacks.
//!
//! **Behind a proxy.** With `FORWARDED_IP_HEADER`, or where the rule that matched reads such a header,
//! the address is taken from there, and the connecting client, a proxy, is never blamed: where the
//! header is missing or unreadable, nobody is. Where one rule reads such a header, the proxy stands
//! before the other rules too; where the rules cannot be read, one may stand there.
//! `FORWARDED_IP_POSITION` says which address of several: `last` (unless set; the nearest proxy
//! wrote it) or `first` (what the client claims); `any`, for a rule that compares them all, means
//! the last. A rate rule's own count goes by the first. What a client can forge is said in `why`; a
//! proxy's own networks belong on `NEVER_BLOCK_CIDRS`, so that nobody gets them blocked by claiming
//! to be one of them.
//!
//! **Waiting.** Requests reach the log group minutes later, and a query takes its time: an answer is
//! `complete` only when the query began five minutes after its span ended. Otherwise it holds what was
//! found so far, which can be blocked at once, and `again` says whether asking again is worthwhile:
//! until half an hour after the window. A query that still runs comes back as `query`, which the next
//! payload hands over; after half an hour it is stopped.
//!
//! **Undo.** None: nothing is changed. **A second run** reads again.
//!
//! **Calls.** `wafv2:GetWebACL`, `wafv2:GetSampledRequests`, `wafv2:GetRateBasedStatementManagedKeys`,
//! four a second at most; `logs:StartQuery` on the log group, `logs:GetQueryResults`, `logs:StopQuery`.
//! All in the web ACL's region, which is us-east-1 when it guards CloudFront.
//!
//! <https://docs.aws.amazon.com/waf/latest/APIReference/API_GetSampledRequests.html>

mod acl;
mod classify;
mod firewall;
mod forwarded;
mod logs;
mod offenders;
mod records;
mod search;
mod told;
mod window;

use std::num::NonZeroU64;

use aws_config::{Region, SdkConfig};
use incident::{IncidentId, Network, NeverBlock, Settings, WebAclArn};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use worker::{Failure, Worker};

pub use classify::{Classifier, Offence, Spared};
pub use forwarded::{BadHeaderName, BadPosition, Forwarded, HeaderName, Position};
pub use offenders::{Offender, Offenders};
pub use records::records;
use search::{BUDGET, Search};
use window::Window;

/// How many inconclusive requests are too many, unless set.
const OFFENCE_REQUESTS: u64 = 10;

/// Which web ACL, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// The incident.
    pub incident_id: IncidentId,
    /// The web ACL: the one that `WEB_ACL_ARN` names.
    pub web_acl: WebAclArn,
    /// When the alarm's window began.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// When it ended.
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// What the last answer returned as `query`.
    #[serde(default)]
    pub query: Option<Query>,
    /// Nothing is changed in any case.
    #[serde(default)]
    pub dry_run: bool,
}

/// A query that still runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// Its id.
    pub id: String,
    /// When it was started.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// Whether the log group held every request of its span by then.
    pub arrived: bool,
}

/// Who attacked.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether every source was read to the end.
    pub complete: bool,
    /// Whether asking again may tell more.
    pub again: bool,
    /// What the next payload hands over; null when a new search begins.
    pub query: Option<Query>,
    /// Who attacked so far, at most 50, by requests.
    pub offenders: Vec<Offender>,
    /// Whom to block, by requests: at most 10,000, and as many as an execution carries.
    pub networks: Vec<Network>,
    /// In one sentence.
    pub summary: String,
    /// What a human must do if nobody asks again.
    pub left: Vec<String>,
}

/// The worker.
#[derive(Debug)]
pub struct FindOffenders {
    waf: aws_sdk_wafv2::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    web_acl: Option<WebAclArn>,
    log_group: Option<String>,
    never: NeverBlock,
    forwarded: Option<Forwarded>,
    minimum: u64,
    now: fn() -> Timestamp,
}

impl FindOffenders {
    /// Reads the settings `WEB_ACL_ARN`, `WAF_LOG_GROUP_NAME`, `NEVER_BLOCK_CIDRS`,
    /// `FORWARDED_IP_HEADER`, `FORWARDED_IP_POSITION` and `OFFENCE_REQUESTS`.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_env(config: &SdkConfig) -> Result<Self, Failure> {
        let settings = Settings::from_env();
        let web_acl: Option<WebAclArn> = settings.optional("WEB_ACL_ARN")?;
        let minimum: Option<NonZeroU64> = settings.optional("OFFENCE_REQUESTS")?;
        let config = at_home(&worker::CONTROL.on(config), web_acl.as_ref());
        Ok(Self {
            waf: aws_sdk_wafv2::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            web_acl,
            log_group: settings.optional("WAF_LOG_GROUP_NAME")?,
            never: NeverBlock::from_settings(&settings)?,
            forwarded: Forwarded::from_settings(&settings)?,
            minimum: minimum.map_or(OFFENCE_REQUESTS, NonZeroU64::get),
            now: Timestamp::now,
        })
    }
}

/// `config` in the region where the web ACL and its log group are kept.
fn at_home(config: &SdkConfig, web_acl: Option<&WebAclArn>) -> SdkConfig {
    let region = match web_acl {
        Some(acl) if acl.is_global() => "us-east-1",
        Some(acl) => acl.region(),
        None => return config.clone(),
    };
    let region = Region::new(region.to_owned());
    config.to_builder().region(region).build()
}

impl Worker for FindOffenders {
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input) -> Result<Output, Failure> {
        let Some(acl) = &self.web_acl else {
            return Ok(unguarded());
        };
        if *acl != input.web_acl {
            return Err(Failure::InvalidInput(
                "`webAcl`: expected the one that the template's parameter WebAclArn names"
                    .to_owned(),
            ));
        }
        let search = Search {
            worker: self,
            acl,
            window: Window::of(input.from, input.to)?,
            now: (self.now)(),
            until: Instant::now() + BUDGET,
        };
        search.run(input.query).await
    }
}

fn unguarded() -> Output {
    let summary = "it is not known who attacks: the template's parameter WebAclArn is not set";
    Output {
        complete: false,
        again: false,
        query: None,
        offenders: Vec::new(),
        networks: Vec::new(),
        summary: summary.to_owned(),
        left: vec![format!(
            "{summary}. Set it, or find the offenders in the web ACL's sampled requests"
        )],
    }
}

#[cfg(test)]
mod tests;
