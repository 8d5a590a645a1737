//! From one log record of WAF to who attacked, or to why nobody is blamed for it.
//!
//! Only a request that was blocked is held against anybody, and only for what it was or how many
//! there were: not for where it came from.

use std::{collections::BTreeSet, net::IpAddr};

use incident::{Network, NeverBlock, Text};
use serde_json::Value;

use crate::{
    acl::{Key, Matches, Rule, Rules},
    forwarded::{Forwarded, address},
};

/// Rules are named by whoever wrote them: names are cut to this many characters.
const LONGEST_NAME: usize = 96;

/// The labels of AWS's groups that tell an attack, when a rule of the account's own does the blocking.
pub(crate) const ATTACK_LABELS: [(&str, &str); 4] = [
    ("awswaf:managed:aws:sql-database:", SQL_INJECTION),
    (
        "awswaf:managed:aws:core-rule-set:CrossSiteScripting",
        CROSS_SITE_SCRIPTING,
    ),
    ("awswaf:managed:aws:known-bad-inputs:", KNOWN_BAD_INPUT),
    ("awswaf:managed:aws:amazon-ip-list:", REPUTATION),
];

const SQL_INJECTION: &str = "SQL injection";
const CROSS_SITE_SCRIPTING: &str = "cross-site scripting";
const KNOWN_BAD_INPUT: &str = "a known bad input";
const REPUTATION: &str = "an address known for attacks";

/// A request that is held against a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// Who sent it.
    pub network: Network,
    /// Whether it is enough by itself: a bad reputation, or a rate that the network itself exceeded.
    /// Whatever else is blocked may happen to anybody once, a signature of an attack included: somebody
    /// else's page can make a browser send one.
    pub conclusive: bool,
    /// What it was, for people.
    pub why: String,
}

/// Why a request is held against nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Spared {
    /// It was no attack, or is no reason to block anybody.
    #[error("{0}")]
    Harmless(String),
    /// It was an attack, but whose is not known.
    #[error("{0}")]
    Unattributed(String),
}

/// What is known beside the records: whom never to blame, and where a client's address stands.
#[derive(Debug, Clone)]
pub struct Classifier {
    never: NeverBlock,
    /// As the deployer says.
    forwarded: Option<Forwarded>,
    /// As some rule of the web ACL reads it: then a proxy stands before all of them.
    inferred: Option<Forwarded>,
    /// Whether a proxy may stand there that nothing tells of.
    blind: bool,
    rules: Rules,
}

/// What a record says of the request, before it is known whose it was.
struct Attack {
    conclusive: bool,
    what: &'static str,
}

impl Classifier {
    /// Nobody whom `never` refuses as no attacker's address is blamed; the clinic's own may be.
    /// With `forwarded`, the connecting client is a proxy and is not blamed either.
    #[must_use]
    pub fn new(never: NeverBlock, forwarded: Option<Forwarded>) -> Self {
        Self {
            never,
            forwarded,
            inferred: None,
            blind: false,
            rules: Rules::new(),
        }
    }

    /// The same, for a web ACL whose rules are known.
    pub(crate) fn knowing(self, rules: Rules) -> Self {
        let mut headers = rules.values().filter_map(|rule| rule.forwarded.clone());
        Self {
            inferred: headers.next(),
            rules,
            ..self
        }
    }

    /// The same, for a web ACL whose rules could not be read: whoever connects may be a proxy.
    pub(crate) fn blind(self) -> Self {
        Self {
            blind: true,
            ..self
        }
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Every header that may name a client.
    pub(crate) fn headers(&self) -> BTreeSet<&Forwarded> {
        let of_rules = self.rules.values();
        let of_rules = of_rules.filter_map(|rule| rule.forwarded.as_ref());
        self.forwarded.iter().chain(of_rules).collect()
    }

    /// The header that names the clients; none when whoever connects is one.
    pub(crate) fn header(&self) -> Option<&Forwarded> {
        self.forwarded.as_ref().or(self.inferred.as_ref())
    }

    /// Judges a log record of WAF, of which any part may be missing.
    ///
    /// # Errors
    /// [`Spared`] when nobody is to blame, with the reason.
    ///
    /// <https://docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html>
    pub fn classify(&self, record: &Value) -> Result<Offence, Spared> {
        let name = text(&record["terminatingRuleId"]);
        let rule = self.rules.get(name);
        let rate = rate_entry(record, name);
        let attack = attack(record, rule, rate).map_err(Spared::Harmless)?;
        let (address, header) = self
            .sender(&record["httpRequest"], rule, rate)
            .map_err(Spared::Unattributed)?;
        let inner =
            terminating_group(record).map(|group| text(&group["terminatingRule"]["ruleId"]));
        let why = describe(attack.what, name, inner.unwrap_or_default(), header);
        self.offence(Network::of(address), attack.conclusive, why)
    }

    /// `network` is held responsible, unless it is no attacker's address.
    ///
    /// # Errors
    /// [`Spared`] when it is nobody's.
    pub(crate) fn offence(
        &self,
        network: Network,
        conclusive: bool,
        why: String,
    ) -> Result<Offence, Spared> {
        let own = self.never.is_own(&network) && !is_inside(network.address());
        match self.never.refusal(&network) {
            Some(refusal) if !own => Err(Spared::Harmless(format!(
                "{network} is no attacker's address: {refusal}"
            ))),
            _ => Ok(Offence {
                network,
                conclusive,
                why,
            }),
        }
    }

    /// Who sent it, and by which header that is known.
    fn sender<'a>(
        &'a self,
        request: &Value,
        rule: Option<&'a Rule>,
        rate: Option<&Value>,
    ) -> Result<(IpAddr, Option<&'a str>), String> {
        let connecting = address(text(&request["clientIp"]));
        let ours = self.forwarded.as_ref();
        let of_rule = rule.and_then(|rule| rule.forwarded.as_ref());
        let of_rule = of_rule.or(self.inferred.as_ref());
        let counted = rate.filter(|_| by_forwarded_address(rule, rate));
        if ours.is_none() && of_rule.is_none() && counted.is_none() {
            return match connecting {
                _ if self.blind => {
                    Err("whether the connecting address is a proxy's is not known".to_owned())
                }
                Some(address) => Ok((address, None)),
                None => Err("the client's address cannot be read".to_owned()),
            };
        }
        let in_header = |it: &'a Forwarded| {
            let client = it.client(request, connecting)?;
            Some((client, Some(it.header.as_str())))
        };
        let in_count = |rate: &Value| {
            let header = of_rule.map_or("the forwarding header", |it| it.header.as_str());
            let claimed = forwarded_value(rate).and_then(address)?;
            (Some(claimed) != connecting).then_some((claimed, Some(header)))
        };
        ours.and_then(in_header)
            .or_else(|| counted.and_then(in_count))
            .or_else(|| of_rule.and_then(in_header))
            .ok_or_else(|| {
                let header = ours.or(of_rule).map(|it| it.header.as_str());
                format!(
                    "the client is not named in {}, and the connecting address is a proxy's",
                    header.unwrap_or("the forwarding header")
                )
            })
    }
}

/// Whether an address is of a network's inside, where load balancers check their targets.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

/// What was blocked and for what, for people. `header` is the header that named the address.
pub(crate) fn describe(what: &str, rule: &str, inner: &str, header: Option<&str>) -> String {
    let rule = Text::<LONGEST_NAME>::cut(if rule.is_empty() { "not named" } else { rule });
    let inner = match inner {
        "" => String::new(),
        inner => format!(", {}", Text::<LONGEST_NAME>::cut(inner)),
    };
    let header = header.map_or_else(String::new, |header| {
        format!(", by the address in {header}, which a client can forge")
    });
    format!("{what} (rule {rule}{inner}){header}")
}

/// What attack it was.
fn attack(record: &Value, rule: Option<&Rule>, rate: Option<&Value>) -> Result<Attack, String> {
    if !record["httpRequest"].is_object() {
        return Err("it is no log record of WAF".to_owned());
    }
    blocked(record)?;
    let matches = rule.map(|rule| &rule.matches);
    let kind = text(&record["terminatingRuleType"]);
    let rate_key = match matches {
        Some(Matches::Rate(key)) => Some(*key),
        _ => None,
    };
    if rate_key.is_some() || kind == "RATE_BASED" {
        return exceeded(rate_key, rate);
    }
    if let Some(attack) = signature(record) {
        return Ok(attack);
    }
    if let Some(group) = managed_group(record, matches, kind) {
        return of_managed_group(record, group);
    }
    let labelled = || by_label(record);
    let unclear = || {
        Err(
            "what the blocking rule looked at is not known, so it may have been harmless"
                .to_owned(),
        )
    };
    match matches {
        Some(Matches::SqlInjection) => Ok(suspicious(SQL_INJECTION)),
        Some(Matches::CrossSiteScripting) => Ok(suspicious(CROSS_SITE_SCRIPTING)),
        Some(Matches::Content) => Ok(labelled().unwrap_or(suspicious("blocked contents"))),
        Some(Matches::Group) => Ok(labelled().unwrap_or(suspicious("blocked by a rule group"))),
        Some(Matches::Origin) => Err(
            "the rule looks only at where requests come from: whoever is on an IP set is blocked \
             already, and a country is no attack"
                .to_owned(),
        ),
        None if text(&record["terminatingRuleId"]) == "Default_Action" => {
            Err("no rule allows it, which is no attack".to_owned())
        }
        None if kind == "GROUP" => Ok(labelled().unwrap_or(suspicious("blocked by a rule group"))),
        _ => labelled().map_or_else(unclear, Ok),
    }
}

/// Whether the request was blocked.
fn blocked(record: &Value) -> Result<(), String> {
    let action = text(&record["action"]).to_ascii_uppercase();
    let why = match action.as_str() {
        "BLOCK" => return Ok(()),
        "CAPTCHA" | "CHALLENGE" => {
            "it was asked to prove itself and not blocked: so is everybody who comes without a token"
        }
        "COUNT" => "the rule only counts: its owner does not trust it to block yet",
        "ALLOW" if has_counted(record) => {
            "it was let through: the rules that matched only count, so their owner does not trust them \
             to block yet"
        }
        "ALLOW" if !list(&record["oversizeFields"]).is_empty() => {
            "it was let through: nothing matched in the part of it that WAF looks at"
        }
        "ALLOW" => "it was let through",
        _ => "it was not blocked",
    };
    Err(why.to_owned())
}

fn has_counted(record: &Value) -> bool {
    let groups = list(&record["ruleGroupList"]).iter();
    let lists = groups.map(|group| &group["nonTerminatingMatchingRules"]);
    let lists = lists.chain([&record["nonTerminatingMatchingRules"]]);
    let mut rules = lists.flat_map(list);
    rules.any(|rule| text(&rule["action"]) == "COUNT")
}

/// A rate was exceeded. Whose, depends on what is counted by.
fn exceeded(known: Option<Key>, rate: Option<&Value>) -> Result<Attack, String> {
    let own = Ok(conclusive("too many requests"));
    match known.or_else(|| rate.map(recorded_key)) {
        Some(Key::Constant) => Err(
            "the rule counts everybody's requests together, so whoever comes then is blocked"
                .to_owned(),
        ),
        Some(Key::Ip | Key::ForwardedIp | Key::IpAndMore | Key::ForwardedIpAndMore) => own,
        Some(Key::Other) | None => Ok(suspicious("requests that share a key with too many")),
    }
}

/// What a record says that was counted by.
fn recorded_key(rate: &Value) -> Key {
    let has = |key: &str| {
        list(&rate["customValues"])
            .iter()
            .any(|value| is(&value["key"], key))
    };
    let limit = &rate["limitKey"];
    if is(limit, "IP") {
        Key::Ip
    } else if is(limit, "FORWARDEDIP") {
        Key::ForwardedIp
    } else if is(limit, "CONSTANT") {
        Key::Constant
    } else if has("FORWARDEDIP") {
        Key::ForwardedIpAndMore
    } else if has("IP") {
        Key::IpAndMore
    } else {
        Key::Other
    }
}

fn by_forwarded_address(rule: Option<&Rule>, rate: Option<&Value>) -> bool {
    let known = match rule.map(|rule| &rule.matches) {
        Some(Matches::Rate(key)) => Some(*key),
        _ => None,
    };
    let key = known.or_else(|| rate.map(recorded_key));
    matches!(key, Some(Key::ForwardedIp | Key::ForwardedIpAndMore))
}

/// The forwarded address that was counted by.
fn forwarded_value(rate: &Value) -> Option<&str> {
    let custom = list(&rate["customValues"]).iter();
    let custom = custom.filter(|value| is(&value["key"], "FORWARDEDIP"));
    let mut values = custom.map(|value| &value["value"]);
    rate["limitValue"]
        .as_str()
        .or_else(|| values.next()?.as_str())
}

/// The rate rule that blocked: the one of that name, else the last, which ended the evaluation.
fn rate_entry<'a>(record: &'a Value, rule: &str) -> Option<&'a Value> {
    let rates = list(&record["rateBasedRuleList"]);
    let named = rates
        .iter()
        .find(|rate| text(&rate["rateBasedRuleName"]) == rule);
    named.or_else(|| rates.last())
}

/// The group whose rule blocked: groups are evaluated in order, and that one ended it. Of a group that
/// only counts, the rule that would have blocked stands there too.
fn terminating_group(record: &Value) -> Option<&Value> {
    let mut groups = list(&record["ruleGroupList"]).iter();
    groups.rfind(|group| group["terminatingRule"].is_object())
}

/// What WAF itself says that it recognised.
fn signature(record: &Value) -> Option<Attack> {
    let inner =
        terminating_group(record).map(|group| &group["terminatingRule"]["ruleMatchDetails"]);
    let details = list(&record["terminatingRuleMatchDetails"]).iter();
    let details = details.chain(inner.into_iter().flat_map(list));
    let what = |detail: &Value| match text(&detail["conditionType"]) {
        "SQL_INJECTION" => Some(SQL_INJECTION),
        "XSS" => Some(CROSS_SITE_SCRIPTING),
        _ => None,
    };
    details.into_iter().find_map(what).map(suspicious)
}

/// The name of the managed group that blocked, without vendor and version.
fn managed_group<'a>(
    record: &'a Value,
    matches: Option<&'a Matches>,
    kind: &str,
) -> Option<&'a str> {
    if let Some(Matches::Managed(name)) = matches {
        return Some(name);
    }
    let group = terminating_group(record).map(|group| text(&group["ruleGroupId"]));
    let recorded = group.and_then(|id| id.split('#').nth(1));
    // A vendor's log may have lost the list; the console names the rule after the group.
    let rule = text(&record["terminatingRuleId"]);
    let guessed = || rule.find("AWSManagedRules").map(|at| &rule[at..]);
    let managed = kind == "MANAGED_RULE_GROUP";
    recorded
        .or_else(|| managed.then(guessed)?)
        .or(managed.then_some(""))
}

fn of_managed_group(record: &Value, group: &str) -> Result<Attack, String> {
    let inner = terminating_group(record).map(|group| text(&group["terminatingRule"]["ruleId"]));
    Ok(match group {
        "AWSManagedRulesSQLiRuleSet" => suspicious(SQL_INJECTION),
        "AWSManagedRulesKnownBadInputsRuleSet" => suspicious(KNOWN_BAD_INPUT),
        "AWSManagedRulesAmazonIpReputationList" => conclusive(REPUTATION),
        "AWSManagedRulesAnonymousIpList" => {
            return Err(
                "the list holds hosting providers and VPNs, from which legitimate clients come too"
                    .to_owned(),
            );
        }
        "AWSManagedRulesCommonRuleSet"
            if inner.is_some_and(|rule| rule.starts_with("CrossSiteScripting")) =>
        {
            suspicious(CROSS_SITE_SCRIPTING)
        }
        _ => suspicious("blocked by managed rules"),
    })
}

fn by_label(record: &Value) -> Option<Attack> {
    let mut labels = list(&record["labels"])
        .iter()
        .map(|label| text(&label["name"]));
    labels.find_map(|label| {
        let known = ATTACK_LABELS.iter();
        let known = known.filter(|(start, _)| label.starts_with(start));
        known.map(|(_, what)| of_label(what)).next()
    })
}

fn of_label(what: &'static str) -> Attack {
    if what == REPUTATION {
        conclusive(what)
    } else {
        suspicious(what)
    }
}

fn conclusive(what: &'static str) -> Attack {
    let conclusive = true;
    Attack { conclusive, what }
}

fn suspicious(what: &'static str) -> Attack {
    let conclusive = false;
    Attack { conclusive, what }
}

/// Whether both are the same key, however it is written.
fn is(found: &Value, key: &str) -> bool {
    text(found).replace('_', "").eq_ignore_ascii_case(key)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
