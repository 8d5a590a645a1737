//! What the web ACL's rules look at, as far as it tells who is to blame for what they blocked.

use std::collections::BTreeMap;

use aws_sdk_wafv2::types::{
    FirewallManagerRuleGroup, ForwardedIpConfig, ForwardedIpPosition, OverrideAction,
    RateBasedStatement, RateBasedStatementAggregateKeyType, Rule as AclRule, Statement,
    VisibilityConfig, WebAcl,
};

use crate::forwarded::{Forwarded, Position};

/// The rules of a web ACL by name.
pub(crate) type Rules = BTreeMap<String, Rule>;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The name under which WAF keeps samples; none when it keeps none.
    pub(crate) metric: Option<String>,
    /// Whether what it matches is blocked.
    pub(crate) blocks: bool,
    /// What it looks at.
    pub(crate) matches: Matches,
    /// Where it reads the client's address, when not from the connection.
    pub(crate) forwarded: Option<Forwarded>,
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matches {
    /// How many requests share a key.
    Rate(Key),
    /// What AWS's or a vendor's group, by this name, looks at.
    Managed(String),
    /// What the rules of a group of the account's own look at.
    Group,
    /// SQL injection.
    SqlInjection,
    /// Cross-site scripting.
    CrossSiteScripting,
    /// Other contents, or their size.
    Content,
    /// The labels of earlier rules.
    Labels,
    /// Only where the request comes from: an IP set, a country, a network.
    Origin,
}

/// What the requests of a rate rule are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The connecting client's address.
    Ip,
    /// The address that a header names.
    ForwardedIp,
    /// An address and something else.
    IpAndMore,
    /// The address that a header names and something else.
    ForwardedIpAndMore,
    /// Nothing: all requests together.
    Constant,
    /// Something else.
    Other,
}

/// The rules, those of Firewall Manager included.
pub(crate) fn rules(acl: &WebAcl) -> Rules {
    let managed = acl.pre_process_firewall_manager_rule_groups().iter();
    let managed = managed.chain(acl.post_process_firewall_manager_rule_groups());
    let own = acl
        .rules()
        .iter()
        .map(|rule| (rule.name.clone(), own(rule)));
    own.chain(managed.map(|group| (group.name.clone(), of_firewall_manager(group))))
        .collect()
}

fn own(rule: &AclRule) -> Rule {
    let statement = rule.statement();
    Rule {
        metric: metric(rule.visibility_config()),
        blocks: match rule.action() {
            Some(action) => action.block().is_some(),
            None => rule.override_action().is_some_and(acts),
        },
        matches: statement.map_or(Matches::Origin, matches),
        forwarded: statement.and_then(forwarded),
    }
}

fn of_firewall_manager(group: &FirewallManagerRuleGroup) -> Rule {
    let statement = group.firewall_manager_statement();
    let managed = statement.and_then(|it| it.managed_rule_group_statement());
    Rule {
        metric: metric(group.visibility_config()),
        blocks: group.override_action().is_some_and(acts),
        matches: managed.map_or(Matches::Group, |it| Matches::Managed(it.name.clone())),
        forwarded: None,
    }
}

fn metric(visibility: Option<&VisibilityConfig>) -> Option<String> {
    let visibility = visibility.filter(|it| it.sampled_requests_enabled)?;
    Some(visibility.metric_name.clone())
}

/// Whether a group's own actions hold.
fn acts(action: &OverrideAction) -> bool {
    action.none().is_some()
}

fn matches(statement: &Statement) -> Matches {
    if let Some(rate) = statement.rate_based_statement() {
        return Matches::Rate(key(rate));
    }
    if let Some(group) = statement.managed_rule_group_statement() {
        return Matches::Managed(group.name.clone());
    }
    if statement.rule_group_reference_statement().is_some() {
        return Matches::Group;
    }
    let parts = parts(statement, false);
    let has = |is: fn(&Statement) -> bool| parts.iter().any(|(part, _)| is(part));
    let has_plainly =
        |is: fn(&Statement) -> bool| parts.iter().any(|(part, negated)| !negated && is(part));
    if has_plainly(|it| it.sqli_match_statement().is_some()) {
        Matches::SqlInjection
    } else if has_plainly(|it| it.xss_match_statement().is_some()) {
        Matches::CrossSiteScripting
    } else if has(looks_at_contents) {
        Matches::Content
    } else if has(|it| it.label_match_statement().is_some()) {
        Matches::Labels
    } else {
        Matches::Origin
    }
}

fn looks_at_contents(statement: &Statement) -> bool {
    statement.byte_match_statement().is_some()
        || statement.regex_match_statement().is_some()
        || statement.regex_pattern_set_reference_statement().is_some()
        || statement.size_constraint_statement().is_some()
        || statement.sqli_match_statement().is_some()
        || statement.xss_match_statement().is_some()
}

fn key(rate: &RateBasedStatement) -> Key {
    let custom = |is: fn(&_) -> bool| rate.custom_keys().iter().any(is);
    match rate.aggregate_key_type() {
        RateBasedStatementAggregateKeyType::Ip => Key::Ip,
        RateBasedStatementAggregateKeyType::ForwardedIp => Key::ForwardedIp,
        RateBasedStatementAggregateKeyType::Constant => Key::Constant,
        _ if custom(|key| key.forwarded_ip().is_some()) => Key::ForwardedIpAndMore,
        _ if custom(|key| key.ip().is_some()) => Key::IpAndMore,
        _ => Key::Other,
    }
}

/// A statement and all that it is made of, each with whether it is negated.
fn parts(statement: &Statement, negated: bool) -> Vec<(&Statement, bool)> {
    let all = statement.and_statement().map(|it| it.statements.as_slice());
    let any = statement.or_statement().map(|it| it.statements.as_slice());
    let not = statement.not_statement().and_then(|it| it.statement());
    let rate = statement.rate_based_statement();
    let managed = statement.managed_rule_group_statement();
    let nested = [all, any].into_iter().flatten().flatten();
    let scope = [
        rate.and_then(|it| it.scope_down_statement()),
        managed.and_then(|it| it.scope_down_statement()),
    ];
    let nested = nested.chain(scope.into_iter().flatten());
    std::iter::once((statement, negated))
        .chain(nested.flat_map(|part| parts(part, negated)))
        .chain(not.into_iter().flat_map(|part| parts(part, !negated)))
        .collect()
}

fn forwarded(statement: &Statement) -> Option<Forwarded> {
    let plain = |config: &ForwardedIpConfig| (config.header_name.clone(), Position::First);
    let of = |part: &Statement| {
        let rate = part.rate_based_statement();
        let rate = rate.and_then(|it| it.forwarded_ip_config());
        let geo = part.geo_match_statement();
        let geo = geo.and_then(|it| it.forwarded_ip_config());
        let asn = part.asn_match_statement();
        let asn = asn.and_then(|it| it.forwarded_ip_config());
        let set = part.ip_set_reference_statement();
        let set = set.and_then(|it| it.ip_set_forwarded_ip_config());
        let set = set.map(|config| match config.position {
            ForwardedIpPosition::First => (config.header_name.clone(), Position::First),
            _ => (config.header_name.clone(), Position::Last),
        });
        rate.or(geo).or(asn).map(plain).or(set)
    };
    let mut parts = parts(statement, false).into_iter();
    let (header, position) = parts.find_map(|(part, _)| of(part))?;
    let header = header.parse().ok()?;
    Some(Forwarded { header, position })
}
