//! When was the attack, and how a human asks about it.

use std::fmt;

use incident::WebAclArn;
use jiff::{SignedDuration, Timestamp};
use worker::Failure;

/// How far the search reaches beyond the alarm's window, whose edges are whole periods of a metric.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// In how long WAF delivers a log record.
const DELIVERY: SignedDuration = SignedDuration::from_mins(5);

/// How long WAF keeps samples, less what the clocks may differ.
const KEPT: SignedDuration = SignedDuration::from_mins(179);

/// A span of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Window {
    /// The alarm's window and a margin on both sides.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it ends before it begins.
    pub(crate) fn of(from: Timestamp, to: Timestamp) -> Result<Self, Failure> {
        if to < from {
            return Err(Failure::InvalidInput("`to`: is before `from`".to_owned()));
        }
        Ok(Self {
            from: from.checked_sub(MARGIN).unwrap_or(from),
            to: to.checked_add(MARGIN).unwrap_or(to),
        })
    }

    /// The part of it of which WAF has samples. None when there is none.
    pub(crate) fn sampled(self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let oldest = now.checked_sub(KEPT).unwrap_or(now);
        let (from, to) = (self.from.max(oldest), self.to.min(now));
        (from < to).then_some((from, to))
    }

    /// Whether all its log records have been delivered.
    pub(crate) fn has_arrived(self, now: Timestamp) -> bool {
        self.age(now) >= DELIVERY
    }

    /// How long ago it ended.
    pub(crate) fn age(self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.to)
    }

    /// How a human reads the rules.
    pub(crate) fn rules_by_hand(self, acl: &WebAclArn) -> String {
        let (name, id) = acl.name_and_id();
        let scope = scope(acl);
        format!(
            "aws wafv2 get-web-acl {scope} --name {name} --id {id}, then {}",
            self.samples_by_hand(acl)
        )
    }

    /// How a human reads samples.
    pub(crate) fn samples_by_hand(self, acl: &WebAclArn) -> String {
        let Self { from, to } = self;
        format!(
            "aws wafv2 get-sampled-requests {} --web-acl-arn {acl} --rule-metric-name <the rule's> \
             --time-window StartTime={from:.0},EndTime={to:.0} --max-items 500",
            scope(acl)
        )
    }

    /// How a human reads who is over a rate.
    pub(crate) fn rates_by_hand(acl: &WebAclArn) -> String {
        let (name, id) = acl.name_and_id();
        format!(
            "aws wafv2 get-rate-based-statement-managed-keys {} --web-acl-name {name} --web-acl-id {id} \
             --rule-name <the rule>",
            scope(acl)
        )
    }

    /// How a human asks the log group.
    pub(crate) fn logs_by_hand(self, acl: &WebAclArn, group: &str) -> String {
        let Self { from, to } = self;
        format!(
            "aws logs start-query --region {} --log-group-name {group} --start-time {} --end-time {} \
             --query-string 'filter action = \"BLOCK\" | stats count(*) by httpRequest.clientIp, \
             terminatingRuleId', then aws logs get-query-results --query-id <its id>",
            acl.region(),
            from.as_second(),
            to.as_second(),
        )
    }
}

fn scope(acl: &WebAclArn) -> String {
    let scope = if acl.is_global() {
        "CLOUDFRONT"
    } else {
        "REGIONAL"
    };
    format!("--region {} --scope {scope}", acl.region())
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "between {from:.0} and {to:.0}")
    }
}
