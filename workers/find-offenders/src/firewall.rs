//! What WAF itself tells: the web ACL's rules, samples of what they blocked, who is over a rate.

use std::{future::Future, time::Duration};

use aws_sdk_wafv2::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime,
    types::{HttpRequest, SampledHttpRequest, Scope, TimeWindow},
};
use incident::{Network, WebAclArn};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use worker::Failure;

use crate::{
    acl::{Rules, rules},
    classify::Classifier,
};

/// Between two calls: an account has five reads a second, which others need too.
const PACE: Duration = Duration::from_millis(250);

/// Before a call is tried again that the SDK has tried several times.
const PAUSE: Duration = Duration::from_secs(2);

/// The most samples that one call returns.
const MOST_SAMPLES: i64 = 500;

/// A web ACL, and until when it may be asked.
pub(crate) struct Firewall<'a> {
    waf: &'a Client,
    acl: &'a WebAclArn,
    next: Instant,
}

impl<'a> Firewall<'a> {
    pub(crate) fn new(waf: &'a Client, acl: &'a WebAclArn) -> Self {
        let next = Instant::now();
        Self { waf, acl, next }
    }

    fn scope(&self) -> Scope {
        if self.acl.is_global() {
            Scope::Cloudfront
        } else {
            Scope::Regional
        }
    }

    /// Its rules.
    pub(crate) async fn rules(&mut self, until: Instant) -> Result<Rules, Failure> {
        let (name, id) = self.acl.name_and_id();
        let call = self.waf.get_web_acl().scope(self.scope());
        let call = call.name(name).id(id);
        let ask = || call.clone().send();
        let answer = self.ask("wafv2:GetWebACL", until, ask).await?;
        let acl = answer.web_acl.ok_or_else(|| {
            Failure::Rejected("wafv2:GetWebACL: answered without a web ACL".to_owned())
        })?;
        Ok(rules(&acl))
    }

    /// Samples of what the rule of this metric matched, as log records with how many requests each
    /// stands for.
    pub(crate) async fn samples(
        &mut self,
        (rule, metric): (&str, &str),
        (from, to): (Timestamp, Timestamp),
        classifier: &Classifier,
        until: Instant,
    ) -> Result<Vec<(Value, u64)>, Failure> {
        const CALL: &str = "wafv2:GetSampledRequests";
        let window = TimeWindow::builder()
            .start_time(DateTime::from_secs(from.as_second()))
            .end_time(DateTime::from_secs(to.as_second()))
            .build()
            .map_err(|error| Failure::Rejected(format!("{CALL}: {error}")))?;
        let call = self
            .waf
            .get_sampled_requests()
            .scope(self.scope())
            .web_acl_arn(self.acl.arn().as_str())
            .rule_metric_name(metric)
            .time_window(window)
            .max_items(MOST_SAMPLES);
        let answer = self.ask(CALL, until, || call.clone().send()).await?;
        let samples = answer.sampled_requests.unwrap_or_default();
        let record = |sample| (record(rule, sample, classifier), weight(sample));
        Ok(samples.iter().map(record).collect())
    }

    /// Who is over the limit of a rate rule that counts by address only, IPv6 by /64.
    pub(crate) async fn limited(
        &mut self,
        rule: &str,
        until: Instant,
    ) -> Result<Vec<Network>, Failure> {
        let (name, id) = self.acl.name_and_id();
        let call = self
            .waf
            .get_rate_based_statement_managed_keys()
            .scope(self.scope())
            .web_acl_name(name)
            .web_acl_id(id)
            .rule_name(rule);
        let ask = || call.clone().send();
        let answer = self
            .ask("wafv2:GetRateBasedStatementManagedKeys", until, ask)
            .await?;
        let sets = [answer.managed_keys_ipv4, answer.managed_keys_ipv6];
        let keys = sets.into_iter().flatten().filter_map(|set| set.addresses);
        Ok(keys.flatten().filter_map(|key| network(&key)).collect())
    }

    /// Asks, at WAF's pace, again and again until `until` when it is too busy to answer.
    async fn ask<T, E, F>(
        &mut self,
        call: &str,
        until: Instant,
        ask: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let asking = async {
            loop {
                sleep_until(self.next).await;
                self.next = Instant::now() + PACE;
                let failure = match ask().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failure(call, &error),
                };
                let soon = Instant::now() + PAUSE < until;
                if !matches!(failure, Failure::Transient(_)) || !soon {
                    return Err(failure);
                }
                sleep(PAUSE).await;
            }
        };
        let late = || Failure::Transient(format!("{call}: there was no time left to ask"));
        timeout_at(until, asking)
            .await
            .unwrap_or_else(|_| Err(late()))
    }
}

fn failure<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failure = Failure::aws(call, error);
    match error.code() {
        Some("WAFNonexistentItemException") => Failure::TargetNotFound(failure.to_string()),
        _ => failure,
    }
}

/// What a log record would say of a sample. Of its headers, those alone that may name the client.
fn record(rule: &str, sample: &SampledHttpRequest, classifier: &Classifier) -> Value {
    let group = sample.rule_name_within_rule_group();
    let group = group.and_then(|name| name.rsplit_once('#'));
    let groups: Vec<_> = group
        .iter()
        .map(|(id, inner)| json!({"ruleGroupId": id, "terminatingRule": {"ruleId": inner}}))
        .collect();
    let labels = sample.labels().iter();
    let labels: Vec<_> = labels.map(|label| json!({"name": label.name})).collect();
    let request = sample.request();
    let names = classifier.headers();
    let wanted = |name: &str| {
        let mut names = names.iter();
        names.any(|wanted| wanted.header.as_str().eq_ignore_ascii_case(name))
    };
    let headers = request.map(HttpRequest::headers).unwrap_or_default();
    let headers: Vec<_> = headers
        .iter()
        .filter(|header| header.name().is_some_and(wanted))
        .map(|header| json!({"name": header.name(), "value": header.value()}))
        .collect();
    json!({
        "action": sample.action(),
        "terminatingRuleId": rule,
        "ruleGroupList": groups,
        "labels": labels,
        "httpRequest": {
            "clientIp": request.and_then(|request| request.client_ip()),
            "headers": headers,
        },
    })
}

fn weight(sample: &SampledHttpRequest) -> u64 {
    u64::try_from(sample.weight).unwrap_or_default().max(1)
}

/// A key is an address in CIDR notation.
fn network(key: &str) -> Option<Network> {
    let address = key.split_once('/').map_or(key, |(address, _)| address);
    crate::forwarded::address(address).map(Network::of)
}
