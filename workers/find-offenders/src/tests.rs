use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use aws_config::BehaviorVersion;
use aws_sdk_cloudwatchlogs::{
    operation::{start_query::StartQueryOutput, stop_query::StopQueryOutput},
    types::ResultField,
};
use aws_sdk_wafv2::config::{http::HttpResponse, retry::RetryConfig};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
use log_insights::Row;
use regex_lite::Regex;
use serde_json::{Value, json};
use worker::answer;

use super::*;
use crate::{acl::Rules, logs::MOST_ROWS};

const ACL: &str = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/api/1a2b";

fn never() -> NeverBlock {
    let own = |name: &str| (name == "NEVER_BLOCK_CIDRS").then(|| "192.0.2.0/24".to_owned());
    NeverBlock::from_settings(&Settings::new(own)).unwrap()
}

fn plain() -> Classifier {
    Classifier::new(never(), None)
}

fn behind(position: Position) -> Classifier {
    let header = "X-Forwarded-For".parse().unwrap();
    Classifier::new(never(), Some(Forwarded { header, position }))
}

/// `record` with what `changes` says; null takes a field away.
fn with(mut record: Value, changes: Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        record[field] = value.clone();
    }
    record
}

/// A request that a rule of the account's own blocked, as WAF logs it.
fn blocked() -> Value {
    json!({
        "timestamp": 1_795_575_600_000_u64,
        "formatVersion": 1,
        "webaclId": ACL,
        "terminatingRuleId": "own",
        "terminatingRuleType": "REGULAR",
        "action": "BLOCK",
        "terminatingRuleMatchDetails": [],
        "httpSourceName": "APIGW",
        "ruleGroupList": [],
        "rateBasedRuleList": [],
        "nonTerminatingMatchingRules": [],
        "requestHeadersInserted": null,
        "responseCodeSent": null,
        "httpRequest": request("203.0.113.9", None),
        "labels": [],
    })
}

fn request(client: &str, forwarded: Option<&str>) -> Value {
    let mut headers = vec![json!({"name": "Cookie", "value": "session=\"secret\""})];
    headers.extend(forwarded.map(|value| json!({"name": "x-forwarded-for", "value": value})));
    json!({
        "clientIp": client,
        "country": "-",
        "headers": headers,
        "uri": "/patients/4711",
        "args": "name=\"clientIp\":\"192.0.2.1\"",
        "requestId": "null",
    })
}

fn recognised(kind: &str) -> Value {
    json!([{"conditionType": kind, "sensitivityLevel": "LOW", "location": "UNKNOWN",
            "matchedData": ["10", "AND", "\"conditionType\":\"XSS\""]}])
}

fn managed(group: &str, inner: &str) -> Value {
    let name = group.split('#').nth(1).unwrap();
    with(
        blocked(),
        json!({
            "terminatingRuleId": format!("AWS-{name}"),
            "terminatingRuleType": "MANAGED_RULE_GROUP",
            "ruleGroupList": [
                {"ruleGroupId": "AWS#AWSManagedRulesSQLiRuleSet", "terminatingRule": null,
                 "nonTerminatingMatchingRules": [], "excludedRules": null},
                {"ruleGroupId": group, "terminatingRule":
                    {"ruleId": inner, "action": "BLOCK", "ruleMatchDetails": null},
                 "nonTerminatingMatchingRules": [], "excludedRules": null},
            ],
        }),
    )
}

fn rate(key: &str, more: Value) -> Value {
    let rate = json!({
        "rateBasedRuleId": "x", "rateBasedRuleName": "limit", "limitKey": key,
        "maxRateAllowed": 100, "evaluationWindowSec": "120",
    });
    with(
        blocked(),
        json!({
            "terminatingRuleId": "limit",
            "terminatingRuleType": "RATE_BASED",
            "rateBasedRuleList": [with(rate, more)],
            "httpRequest": request("203.0.113.9", Some("198.51.100.7, 203.0.113.9")),
        }),
    )
}

/// What becomes of a record, on one line.
fn told(classifier: &Classifier, record: &Value) -> String {
    match classifier.classify(record) {
        Ok(Offence {
            network,
            conclusive,
            why,
        }) => {
            format!(
                "{network} {}{why}",
                if conclusive { "" } else { "perhaps " }
            )
        }
        Err(Spared::Harmless(why)) => format!("harmless: {why}"),
        Err(Spared::Unattributed(why)) => format!("unattributed: {why}"),
    }
}

/// The row that the query's answer would hold for a record: what its patterns find in the text.
fn row_of(record: &Value, classifier: &Classifier) -> Row {
    let text = record.to_string();
    let mut cells = BTreeMap::from([("requests".to_owned(), "1".to_owned())]);
    for field in ["terminatingRuleId", "terminatingRuleType"] {
        cells.extend(
            record[field]
                .as_str()
                .map(|it| (field.to_owned(), it.to_owned())),
        );
    }
    for pattern in logs::patterns(classifier) {
        let pattern = Regex::new(&pattern).unwrap();
        let Some(found) = pattern.captures(&text) else {
            continue;
        };
        for name in pattern.capture_names().flatten() {
            cells.extend(
                found
                    .name(name)
                    .map(|it| (name.to_owned(), it.as_str().to_owned())),
            );
        }
    }
    let cells: Vec<_> = cells
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    row(&cells)
}

fn row(cells: &[(&str, &str)]) -> Row {
    let field =
        |(name, value): &(&str, &str)| ResultField::builder().field(*name).value(*value).build();
    cells.iter().map(field).collect()
}

/// What becomes of records of these names. Of those that were blocked, the query tells the same as
/// the record itself.
fn table(classifier: &Classifier, records: &[(&str, Value)]) -> String {
    let line = |(name, record): &(&str, Value)| {
        let told = self::told(classifier, record);
        if record["action"] == "BLOCK" {
            let rows = [row_of(record, classifier)];
            let queried = logs::records(&rows, classifier).unwrap();
            assert_eq!(self::told(classifier, &queried[0].0), told, "{name}");
        }
        format!("{name}: {told}")
    };
    records.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_attack_is_known_by_its_signature() {
    let group_with_null = with(
        blocked(),
        json!({
            "terminatingRuleId": "group",
            "terminatingRuleType": "GROUP",
            "terminatingRuleMatchDetails": recognised("XSS"),
            "ruleGroupList": [{
                "ruleGroupId": "arn:aws:wafv2:eu-west-1:123456789012:regional/rulegroup/g/1",
                "terminatingRule": {"ruleId": "A", "action": "BLOCK", "ruleMatchDetails": null},
                "nonTerminatingMatchingRules": [
                    {"ruleId": "B", "action": "COUNT", "ruleMatchDetails": recognised("SQL_INJECTION")},
                ],
                "excludedRules": null,
            }],
        }),
    );
    let inner_only = with(
        managed("AWS#AWSManagedRulesCommonRuleSet", "EC2"),
        json!({"ruleGroupList": [{
            "ruleGroupId": "AWS#AWSManagedRulesCommonRuleSet",
            "terminatingRule": {"ruleId": "X", "action": "BLOCK", "ruleMatchDetails": recognised("XSS")},
        }]}),
    );
    let vendors = json!({
        "timestamp": "2026-11-25T03:00:00.000Z",
        "terminatingRuleId": "AWS-AWSManagedRulesSQLiRuleSet",
        "terminatingRuleType": "MANAGED_RULE_GROUP",
        "action": "BLOCK",
        "httpRequest": {"clientIp": "203.0.113.45", "uri": "/", "httpMethod": "GET"},
    });
    let sqli = || {
        let recognised = recognised("SQL_INJECTION");
        with(
            blocked(),
            json!({"terminatingRuleMatchDetails": recognised}),
        )
    };
    let from = |client| with(sqli(), json!({"httpRequest": request(client, None)}));
    let labels = json!({"labels": [
        {"name": "awswaf:managed:aws:core-rule-set:NoUserAgent_Header"},
        {"name": "awswaf:managed:aws:sql-database:SQLi_QueryArguments"},
    ]});
    let records = [
        ("own rule", sqli()),
        ("IPv6", from("2001:db8:a:b:c::1")),
        ("own group", group_with_null),
        ("inner rule", inner_only),
        ("label", with(blocked(), labels)),
        ("little left", vendors),
        ("the clinic's", from("192.0.2.7")),
    ];
    insta::assert_snapshot!(table(&plain(), &records), @"
    own rule: 203.0.113.9/32 perhaps SQL injection (rule own)
    IPv6: 2001:db8:a:b::/64 perhaps SQL injection (rule own)
    own group: 203.0.113.9/32 perhaps cross-site scripting (rule group, A)
    inner rule: 203.0.113.9/32 perhaps cross-site scripting (rule AWS-AWSManagedRulesCommonRuleSet, X)
    label: 203.0.113.9/32 perhaps SQL injection (rule own)
    little left: 203.0.113.45/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet)
    the clinic's: 192.0.2.7/32 perhaps SQL injection (rule own)
    ");
}

#[test]
fn a_managed_group_is_known_by_its_name() {
    let of = |name: &str, inner| managed(&format!("AWS#AWSManagedRules{name}"), inner);
    let records = [
        ("SQL", of("SQLiRuleSet", "SQLi_BODY")),
        ("versioned", of("SQLiRuleSet#Version_2.0", "SQLi_COOKIE")),
        ("common", of("CommonRuleSet", "CrossSiteScripting_BODY")),
        ("bad input", of("KnownBadInputsRuleSet", "Log4JRCE_HEADER")),
        (
            "reputation",
            of("AmazonIpReputationList", "AWSManagedReconnaissanceList"),
        ),
    ];
    insta::assert_snapshot!(table(&plain(), &records), @"
    SQL: 203.0.113.9/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet, SQLi_BODY)
    versioned: 203.0.113.9/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet, SQLi_COOKIE)
    common: 203.0.113.9/32 perhaps cross-site scripting (rule AWS-AWSManagedRulesCommonRuleSet, CrossSiteScripting_BODY)
    bad input: 203.0.113.9/32 perhaps a known bad input (rule AWS-AWSManagedRulesKnownBadInputsRuleSet, Log4JRCE_HEADER)
    reputation: 203.0.113.9/32 an address known for attacks (rule AWS-AWSManagedRulesAmazonIpReputationList, AWSManagedReconnaissanceList)
    ");
}

#[test]
fn a_bad_reputation_is_conclusive_by_its_label_too() {
    let label = json!([{"name": "awswaf:managed:aws:amazon-ip-list:AWSManagedIPReputationList"}]);
    let record = with(blocked(), json!({"labels": label}));
    insta::assert_snapshot!(table(&plain(), &[("label", record)]), @"label: 203.0.113.9/32 an address known for attacks (rule own)");
}

#[test]
fn what_anybody_may_run_into_is_no_proof() {
    let own_group = json!({"terminatingRuleType": "GROUP", "terminatingRuleId": "group"});
    let records = [
        (
            "size",
            managed("AWS#AWSManagedRulesCommonRuleSet", "SizeRestrictions_BODY"),
        ),
        ("vendor", managed("Fortinet#all_rules", "x")),
        (
            "nameless",
            with(
                blocked(),
                json!({"terminatingRuleType": "MANAGED_RULE_GROUP"}),
            ),
        ),
        ("own group", with(blocked(), own_group)),
        (
            "shared key",
            rate(
                "CUSTOMKEYS",
                json!({"customValues": [{"key": "HEADER", "name": "a", "value": "b"}]}),
            ),
        ),
        (
            "no key",
            with(rate("IP", json!({})), json!({"rateBasedRuleList": []})),
        ),
    ];
    insta::assert_snapshot!(table(&plain(), &records), @"
    size: 203.0.113.9/32 perhaps blocked by managed rules (rule AWS-AWSManagedRulesCommonRuleSet, SizeRestrictions_BODY)
    vendor: 203.0.113.9/32 perhaps blocked by managed rules (rule AWS-all_rules, x)
    nameless: 203.0.113.9/32 perhaps blocked by managed rules (rule own)
    own group: 203.0.113.9/32 perhaps blocked by a rule group (rule group)
    shared key: 203.0.113.9/32 perhaps requests that share a key with too many (rule limit)
    no key: 203.0.113.9/32 perhaps requests that share a key with too many (rule limit)
    ");
}

#[test]
fn whom_a_rate_rule_counted_is_who_exceeded_it() {
    let forwarded = json!([{"key": "URI_PATH"}, {"key": "FORWARDED_IP", "value": "198.51.100.7"}]);
    let records = [
        ("address", rate("IP", json!({"limitValue": "203.0.113.9"}))),
        (
            "forwarded",
            rate("FORWARDED_IP", json!({"limitValue": "198.51.100.7"})),
        ),
        (
            "forwarded is the proxy",
            rate("FORWARDED_IP", json!({"limitValue": "203.0.113.9"})),
        ),
        (
            "forwarded is nonsense",
            rate("FORWARDED_IP", json!({"limitValue": "unknown"})),
        ),
        (
            "address and more",
            rate(
                "CUSTOMKEYS",
                json!({"customValues": [{"key": "IP"}, {"key": "URI_PATH"}]}),
            ),
        ),
        ("everybody", rate("CONSTANT", json!({}))),
    ];
    insta::assert_snapshot!(table(&plain(), &records), @"
    address: 203.0.113.9/32 too many requests (rule limit)
    forwarded: 198.51.100.7/32 too many requests (rule limit), by the address in the forwarding header, which a client can forge
    forwarded is the proxy: unattributed: the client is not named in the forwarding header, and the connecting address is a proxy's
    forwarded is nonsense: unattributed: the client is not named in the forwarding header, and the connecting address is a proxy's
    address and more: 203.0.113.9/32 too many requests (rule limit)
    everybody: harmless: the rule counts everybody's requests together, so whoever comes then is blocked
    ");
    let custom = rate("CUSTOMKEYS", json!({"customValues": forwarded}));
    insta::assert_snapshot!(told(&plain(), &custom), @"198.51.100.7/32 too many requests (rule limit), by the address in the forwarding header, which a client can forge");
    // The deployer knows the position; a query selects no values of keys, so the header tells there too.
    let records = [("forwarded and more", custom)];
    insta::assert_snapshot!(table(&behind(Position::Last), &records), @"forwarded and more: 198.51.100.7/32 too many requests (rule limit), by the address in X-Forwarded-For, which a client can forge");
}

#[test]
fn what_is_no_attack_is_held_against_nobody() {
    let counted =
        json!([{"ruleId": "a", "action": "COUNT", "ruleMatchDetails": recognised("XSS")}]);
    let group = json!([{"ruleGroupId": "AWS#AWSManagedRulesSQLiRuleSet", "terminatingRule": null,
        "nonTerminatingMatchingRules": [{"ruleId": "b", "action": "COUNT", "ruleMatchDetails": []}]}]);
    let captcha =
        json!([{"ruleId": "c", "action": "CAPTCHA", "captchaResponse": {"responseCode": 0}}]);
    let allowed = |changes| {
        let allowed = json!({"action": "ALLOW", "terminatingRuleId": "Default_Action"});
        with(with(blocked(), allowed), changes)
    };
    let action = |action: &str| with(blocked(), json!({"action": action}));
    let health = with(
        managed("AWS#AWSManagedRulesCommonRuleSet", "NoUserAgent_HEADER"),
        json!({"httpRequest": request("10.0.0.7", None)}),
    );
    let records = [
        ("allowed", allowed(json!({}))),
        (
            "own rule counts",
            allowed(json!({"nonTerminatingMatchingRules": counted})),
        ),
        ("group counts", allowed(json!({"ruleGroupList": group}))),
        (
            "captcha solved",
            allowed(json!({"nonTerminatingMatchingRules": captcha})),
        ),
        (
            "too large",
            allowed(json!({"oversizeFields": ["REQUEST_BODY"]})),
        ),
        ("captcha", action("CAPTCHA")),
        ("challenge", action("CHALLENGE")),
        ("count", action("COUNT")),
        ("other", action("MONETIZE")),
        (
            "country",
            with(blocked(), json!({"terminatingRuleId": "geo"})),
        ),
        (
            "default",
            with(blocked(), json!({"terminatingRuleId": "Default_Action"})),
        ),
        (
            "anonymous",
            managed(
                "AWS#AWSManagedRulesAnonymousIpList",
                "HostingProviderIPList",
            ),
        ),
        ("health check", health),
        (
            "no address",
            with(
                managed("AWS#AWSManagedRulesSQLiRuleSet", "x"),
                json!({"httpRequest": {}}),
            ),
        ),
        ("no record", json!({"messageType": "CONTROL_MESSAGE"})),
        ("nothing", Value::Null),
    ];
    insta::assert_snapshot!(table(&plain(), &records), @"
    allowed: harmless: it was let through
    own rule counts: harmless: it was let through: the rules that matched only count, so their owner does not trust them to block yet
    group counts: harmless: it was let through: the rules that matched only count, so their owner does not trust them to block yet
    captcha solved: harmless: it was let through
    too large: harmless: it was let through: nothing matched in the part of it that WAF looks at
    captcha: harmless: it was asked to prove itself and not blocked: so is everybody who comes without a token
    challenge: harmless: it was asked to prove itself and not blocked: so is everybody who comes without a token
    count: harmless: the rule only counts: its owner does not trust it to block yet
    other: harmless: it was not blocked
    country: harmless: what the blocking rule looked at is not known, so it may have been harmless
    default: harmless: no rule allows it, which is no attack
    anonymous: harmless: the list holds hosting providers and VPNs, from which legitimate clients come too
    health check: harmless: 10.0.0.7/32 is no attacker's address: it shares addresses with 10.0.0.0/8, private
    no address: unattributed: the client's address cannot be read
    no record: harmless: it is no log record of WAF
    nothing: harmless: it is no log record of WAF
    ");
}

#[test]
fn the_clinics_inside_is_no_attacker_even_where_it_is_listed_as_its_own() {
    let own = |name: &str| (name == "NEVER_BLOCK_CIDRS").then(|| "10.0.0.0/8".to_owned());
    let never = NeverBlock::from_settings(&Settings::new(own)).unwrap();
    let classifier = Classifier::new(never, None);
    for inside in [
        "10.0.0.7",
        "127.0.0.1",
        "169.254.1.1",
        "fd00::7",
        "fe80::1",
        "::1",
    ] {
        let record = managed("AWS#AWSManagedRulesSQLiRuleSet", "SQLi_BODY");
        let record = with(record, json!({"httpRequest": request(inside, None)}));
        let told = told(&classifier, &record);
        assert!(told.starts_with("harmless: "), "{told}");
    }
}

#[test]
fn behind_a_proxy_the_header_tells_and_the_proxy_is_never_blamed() {
    let proxy = "198.51.100.200";
    let sqli = |forwarded| {
        let record = managed("AWS#AWSManagedRulesSQLiRuleSet", "SQLi_BODY");
        with(record, json!({"httpRequest": request(proxy, forwarded)}))
    };
    let rate = |changes| {
        with(
            rate("FORWARDED_IP", json!({"limitValue": "203.0.113.1"})),
            changes,
        )
    };
    let records = [
        ("two", sqli(Some("203.0.113.1, 203.0.113.2"))),
        ("and the proxy", sqli(Some("203.0.113.1, 198.51.100.200"))),
        (
            "forged quotes",
            sqli(Some("\",\"value\":\"192.0.2.1, 203.0.113.2")),
        ),
        ("only the proxy", sqli(Some(proxy))),
        ("unreadable", sqli(Some("REDACTED"))),
        ("missing", sqli(None)),
        (
            "rate",
            rate(json!({"httpRequest": request(proxy, Some("203.0.113.1, 203.0.113.2"))})),
        ),
        (
            "rate without header",
            rate(json!({"httpRequest": request(proxy, None)})),
        ),
    ];
    insta::assert_snapshot!(table(&behind(Position::Last), &records), @"
    two: 203.0.113.2/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet, SQLi_BODY), by the address in X-Forwarded-For, which a client can forge
    and the proxy: 203.0.113.1/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet, SQLi_BODY), by the address in X-Forwarded-For, which a client can forge
    forged quotes: 203.0.113.2/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet, SQLi_BODY), by the address in X-Forwarded-For, which a client can forge
    only the proxy: unattributed: the client is not named in X-Forwarded-For, and the connecting address is a proxy's
    unreadable: unattributed: the client is not named in X-Forwarded-For, and the connecting address is a proxy's
    missing: unattributed: the client is not named in X-Forwarded-For, and the connecting address is a proxy's
    rate: 203.0.113.2/32 too many requests (rule limit), by the address in X-Forwarded-For, which a client can forge
    rate without header: 203.0.113.1/32 too many requests (rule limit), by the address in the forwarding header, which a client can forge
    ");
    insta::assert_snapshot!(table(&behind(Position::First), &records), @"
    two: 203.0.113.1/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet, SQLi_BODY), by the address in X-Forwarded-For, which a client can forge
    and the proxy: 203.0.113.1/32 perhaps SQL injection (rule AWS-AWSManagedRulesSQLiRuleSet, SQLi_BODY), by the address in X-Forwarded-For, which a client can forge
    forged quotes: unattributed: the client is not named in X-Forwarded-For, and the connecting address is a proxy's
    only the proxy: unattributed: the client is not named in X-Forwarded-For, and the connecting address is a proxy's
    unreadable: unattributed: the client is not named in X-Forwarded-For, and the connecting address is a proxy's
    missing: unattributed: the client is not named in X-Forwarded-For, and the connecting address is a proxy's
    rate: 203.0.113.1/32 too many requests (rule limit), by the address in X-Forwarded-For, which a client can forge
    rate without header: 203.0.113.1/32 too many requests (rule limit), by the address in the forwarding header, which a client can forge
    ");
}

/// The rules of a web ACL, as WAF answers them.
fn rules(rules: Value) -> Value {
    json!({"WebACL": {
        "Name": "api", "Id": "1a2b", "ARN": ACL, "DefaultAction": {"Allow": {}}, "Rules": rules,
        "VisibilityConfig": visible("api"),
    }, "LockToken": "token"})
}

fn visible(metric: &str) -> Value {
    json!({"SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": metric})
}

fn rule(name: &str, statement: Value) -> Value {
    let metric = format!("{name}-metric");
    let group = ["ManagedRuleGroupStatement", "RuleGroupReferenceStatement"];
    let action = if group.iter().any(|kind| statement.get(kind).is_some()) {
        ("OverrideAction", json!({"None": {}}))
    } else {
        ("Action", json!({"Block": {}}))
    };
    json!({"Name": name, "Priority": 1, "Statement": statement, "VisibilityConfig": visible(&metric),
        action.0: action.1})
}

fn group_of_aws(name: &str) -> Value {
    json!({"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": name}})
}

fn rate_by(key: &str) -> Value {
    json!({"RateBasedStatement": {"Limit": 100, "AggregateKeyType": key}})
}

fn rate_by_forwarded() -> Value {
    let mut statement = rate_by("FORWARDED_IP");
    statement["RateBasedStatement"]["ForwardedIPConfig"] = header();
    statement
}

fn header() -> Value {
    json!({"HeaderName": "X-Forwarded-For", "FallbackBehavior": "NO_MATCH"})
}

fn field() -> Value {
    json!({"FieldToMatch": {"UriPath": {}}, "TextTransformations": [{"Priority": 0, "Type": "NONE"}]})
}

fn set() -> Value {
    json!({"IPSetReferenceStatement": {"ARN": "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/s/1"}})
}

fn size() -> Value {
    json!({"SizeConstraintStatement": with(field(), json!({"ComparisonOperator": "GT", "Size": 9}))})
}

/// A sample of a request that a rule matched.
fn sample(client: &str, action: &str, weight: u64, inner: Option<&str>) -> Value {
    json!({
        "Request": {
            "ClientIP": client, "Country": "BR", "URI": "/patients/4711", "Method": "GET",
            "Headers": [{"Name": "Cookie", "Value": "session=secret"},
                        {"Name": "X-Forwarded-For", "Value": "198.51.100.7, 198.51.100.8"}],
        },
        "Weight": weight, "Action": action, "RuleNameWithinRuleGroup": inner,
        "Timestamp": 1_795_575_600, "Labels": [{"Name": "awswaf:managed:aws:sql-database:SQLi_Body"}],
    })
}

fn samples(samples: &[Value]) -> Said {
    Said::Answer(json!({"SampledRequests": samples, "PopulationSize": samples.len()}))
}

fn keys(v4: &[&str], v6: &[&str]) -> Said {
    Said::Answer(json!({
        "ManagedKeysIPV4": {"IPAddressVersion": "IPV4", "Addresses": v4},
        "ManagedKeysIPV6": {"IPAddressVersion": "IPV6", "Addresses": v6},
    }))
}

/// What AWS answers.
#[derive(Clone)]
enum Said {
    Answer(Value),
    Refused(u16, &'static str),
}

impl Said {
    fn http(&self) -> HttpResponse {
        let (status, body) = match self {
            Self::Answer(body) => (200, body.clone()),
            Self::Refused(status, code) => {
                (*status, json!({"__type": code, "message": "what AWS said"}))
            }
        };
        HttpResponse::new(status.try_into().unwrap(), body.to_string().into())
    }
}

/// Answers in turn; the last stays.
fn next(said: &mut Vec<Said>) -> Said {
    if said.len() > 1 {
        said.remove(0)
    } else {
        said[0].clone()
    }
}

/// WAF and Logs Insights.
struct Aws {
    acl: Vec<Said>,
    samples: BTreeMap<&'static str, Vec<Said>>,
    keys: BTreeMap<&'static str, Vec<Said>>,
    start: Option<Said>,
    results: Vec<Said>,
}

impl Default for Aws {
    /// A web ACL with two rules, of which one is exceeded and one was attacked; no log group is set.
    fn default() -> Self {
        let rules = rules(json!([
            rule("sqli", group_of_aws("AWSManagedRulesSQLiRuleSet")),
            rule("limit", rate_by("IP")),
        ]));
        let inner = Some("AWS#AWSManagedRulesSQLiRuleSet#SQLi_BODY");
        let attack = sample("203.0.113.66", "BLOCK", 10, inner);
        let attacked = samples(&[attack.clone(), attack]);
        Self {
            acl: vec![Said::Answer(rules)],
            samples: BTreeMap::from([
                ("sqli-metric", vec![attacked]),
                ("limit-metric", vec![samples(&[])]),
            ]),
            keys: BTreeMap::from([(
                "limit",
                vec![keys(&["203.0.113.77/32"], &["2001:db8::7/128"])],
            )]),
            start: None,
            results: vec![],
        }
    }
}

/// The worker, and what was asked of AWS.
struct Range {
    worker: FindOffenders,
    asked: Arc<Mutex<Vec<String>>>,
    started: Arc<Mutex<Vec<(String, i64, i64)>>>,
    stops: Rule,
}

impl Range {
    /// The number of requests that a worker needs which nobody has set.
    fn shipped(mut self) -> Self {
        self.worker.minimum = OFFENCE_REQUESTS;
        self
    }
}

impl Aws {
    /// One request is enough here: how many it takes has tests of its own.
    fn at(self, now: fn() -> Timestamp) -> Range {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = {
            let asked = Arc::clone(&asked);
            move |call: String| asked.lock().unwrap().push(call)
        };
        let (acl, note_acl) = (Mutex::new(self.acl), note.clone());
        let acl = mock!(aws_sdk_wafv2::Client::get_web_acl).then_compute_response(move |request| {
            assert_eq!((request.name(), request.id()), (Some("api"), Some("1a2b")));
            note_acl(format!("GetWebACL {}", request.scope().unwrap()));
            MockResponse::Http(next(&mut acl.lock().unwrap()).http())
        });
        let (said, note_samples) = (Mutex::new(self.samples), note.clone());
        let samples = mock!(aws_sdk_wafv2::Client::get_sampled_requests).then_compute_response(
            move |request| {
                let window = request.time_window().unwrap();
                assert_eq!(request.max_items(), Some(500));
                assert_eq!(request.web_acl_arn(), Some(ACL));
                let metric = request.rule_metric_name().unwrap();
                let at = |time: &aws_sdk_wafv2::primitives::DateTime| {
                    Timestamp::from_second(time.secs()).unwrap()
                };
                let (from, to) = (at(window.start_time()), at(window.end_time()));
                note_samples(format!("GetSampledRequests {metric} {from} {to}"));
                MockResponse::Http(next(said.lock().unwrap().get_mut(metric).unwrap()).http())
            },
        );
        let said = Mutex::new(self.keys);
        let keys = mock!(aws_sdk_wafv2::Client::get_rate_based_statement_managed_keys)
            .then_compute_response(move |request| {
                let names = (request.web_acl_name(), request.web_acl_id());
                assert_eq!(names, (Some("api"), Some("1a2b")));
                let rule = request.rule_name().unwrap();
                note(format!("GetRateBasedStatementManagedKeys {rule}"));
                MockResponse::Http(next(said.lock().unwrap().get_mut(rule).unwrap()).http())
            });
        let started = Arc::new(Mutex::new(Vec::new()));
        let (log_group, refused) = (self.start.is_some(), self.start);
        let starts = {
            let started = Arc::clone(&started);
            mock!(aws_sdk_cloudwatchlogs::Client::start_query).then_compute_response(
                move |request| {
                    assert_eq!(request.log_group_name(), Some("aws-waf-logs-api"));
                    let query = request.query_string().unwrap().to_owned();
                    let span = (request.start_time().unwrap(), request.end_time().unwrap());
                    started.lock().unwrap().push((query, span.0, span.1));
                    match &refused {
                        Some(refused @ Said::Refused(..)) => MockResponse::Http(refused.http()),
                        _ => MockResponse::Output(
                            StartQueryOutput::builder().query_id("q-1").build(),
                        ),
                    }
                },
            )
        };
        let results = Mutex::new(self.results);
        let polls = mock!(aws_sdk_cloudwatchlogs::Client::get_query_results).then_compute_response(
            move |request| {
                assert_eq!(request.query_id(), Some("q-1"));
                MockResponse::Http(next(&mut results.lock().unwrap()).http())
            },
        );
        let stops = mock!(aws_sdk_cloudwatchlogs::Client::stop_query)
            .then_output(|| StopQueryOutput::builder().success(true).build());
        Range {
            worker: FindOffenders {
                waf: mock_client!(
                    aws_sdk_wafv2,
                    RuleMode::MatchAny,
                    &[&acl, &samples, &keys],
                    |config| config.retry_config(RetryConfig::disabled())
                ),
                logs: mock_client!(
                    aws_sdk_cloudwatchlogs,
                    RuleMode::MatchAny,
                    &[&starts, &polls, &stops],
                    |config| config.retry_config(RetryConfig::disabled())
                ),
                web_acl: Some(ACL.parse().unwrap()),
                log_group: log_group.then(|| "aws-waf-logs-api".to_owned()),
                never: never(),
                forwarded: None,
                minimum: 1,
                now,
            },
            asked,
            started,
            stops,
        }
    }

    fn with_rules(self, them: Value) -> Self {
        Self {
            acl: vec![Said::Answer(rules(them))],
            ..self
        }
    }

    fn logging(self, results: Vec<Said>) -> Self {
        let start = Some(Said::Answer(Value::Null));
        Self {
            start,
            results,
            ..self
        }
    }
}

impl Range {
    async fn answer(&self) -> Value {
        answer(&self.worker, &payload()).await.unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn results(status: &str, rows: &[Row]) -> Said {
    let cell = |cell: &ResultField| json!({"field": cell.field(), "value": cell.value()});
    let rows = rows
        .iter()
        .map(|row| row.iter().map(cell).collect::<Value>());
    Said::Answer(json!({"status": status, "results": rows.collect::<Value>()}))
}

/// A row for so many requests that AWS's group recognised as SQL injection.
fn injections(client: &str, requests: u64) -> Row {
    row(&[
        ("client", client),
        ("terminatingRuleId", "sqli"),
        ("terminatingRuleType", "MANAGED_RULE_GROUP"),
        ("ruleGroup", "AWS#AWSManagedRulesSQLiRuleSet"),
        ("innerRule", "SQLi_BODY"),
        ("requests", &requests.to_string()),
    ])
}

fn payload() -> Value {
    json!({
        "incidentId": "i-1", "webAcl": ACL,
        "from": "2026-11-25T03:00:00Z", "to": "2026-11-25T03:05:00Z",
    })
}

/// When everything has arrived.
fn soon() -> Timestamp {
    "2026-11-25T03:20:00Z".parse().unwrap()
}

/// Before the logs can have arrived.
fn at_once() -> Timestamp {
    "2026-11-25T03:06:00Z".parse().unwrap()
}

/// When nobody waits any longer, and of the window's first half no samples are kept.
fn late() -> Timestamp {
    "2026-11-25T06:00:00Z".parse().unwrap()
}

/// The summary and what is left.
fn read(answer: &Value) -> String {
    let left = answer["left"].as_array().unwrap().iter();
    let left = left.map(|line| format!("left: {}", line.as_str().unwrap()));
    let summary = answer["summary"].as_str().unwrap().to_owned();
    std::iter::once(summary)
        .chain(left)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(start_paused = true)]
async fn samples_and_rates_tell_who_attacks() {
    let range = Aws::default().at(soon);
    insta::assert_json_snapshot!(range.answer().await, @r#"
    {
      "complete": true,
      "again": false,
      "query": null,
      "offenders": [
        {
          "network": "203.0.113.66/32",
          "requests": 20,
          "why": [
            "20 × SQL injection (rule sqli, SQLi_BODY)"
          ],
          "spared": null
        },
        {
          "network": "203.0.113.77/32",
          "requests": 0,
          "why": [
            "over the rate limit (rule limit)"
          ],
          "spared": null
        },
        {
          "network": "2001:db8::/64",
          "requests": 0,
          "why": [
            "over the rate limit (rule limit)"
          ],
          "spared": null
        }
      ],
      "networks": [
        "203.0.113.66/32",
        "203.0.113.77/32",
        "2001:db8::/64"
      ],
      "summary": "3 networks attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z, 3 to be blocked: 203.0.113.66/32: 20 × SQL injection (rule sqli, SQLi_BODY); 203.0.113.77/32: over the rate limit (rule limit); 2001:db8::/64: over the rate limit (rule limit)",
      "left": []
    }
    "#);
    insta::assert_snapshot!(range.asked().join("\n"), @"
    GetWebACL REGIONAL
    GetRateBasedStatementManagedKeys limit
    GetSampledRequests limit-metric 2026-11-25T02:55:00Z 2026-11-25T03:10:00Z
    GetSampledRequests sqli-metric 2026-11-25T02:55:00Z 2026-11-25T03:10:00Z
    ");
    assert_eq!(
        range.started.lock().unwrap().len(),
        0,
        "no log group is set"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_and_a_second_run_read_the_same() {
    let range = Aws::default().at(soon);
    let mut dry = payload();
    dry["dryRun"] = json!(true);
    let dry = answer(&range.worker, &dry).await.unwrap();
    assert_eq!(dry, range.answer().await);
    assert_eq!(dry, range.answer().await);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_request_but_its_address_is_told() {
    let attacked = results("Complete", &[injections("203.0.113.66", 5)]);
    let range = Aws::default().logging(vec![attacked]).at(soon);
    let answer = range.answer().await.to_string();
    for secret in ["patients/4711", "secret", "198.51.100.7"] {
        assert!(!answer.contains(secret), "{secret}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_query_selects_no_more_than_who_and_why() {
    let attacked = results("Complete", &[injections("203.0.113.66", 5)]);
    let mut range = Aws::default().logging(vec![attacked]).at(soon);
    let header = "X-Forwarded-For".parse().unwrap();
    range.worker.forwarded = Some(Forwarded {
        header,
        position: Position::Last,
    });
    range.answer().await;
    let started = range.started.lock().unwrap();
    let (query, from, to) = &started[0];
    let at = |second: &i64| Timestamp::from_second(*second).unwrap();
    insta::assert_snapshot!(format!("{} to {}\n{query}", at(from), at(to)), @r#"
    2026-11-25T02:55:00Z to 2026-11-25T03:10:00Z
    filter action = "BLOCK" and webaclId = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/api/1a2b"
    | parse @message /"clientIp"\s*:\s*"(?<client>[^"\\]+)"/
    | parse @message /"terminatingRuleMatchDetails"\s*:\s*\[\s*\{\s*"conditionType"\s*:\s*"(?<condition>[^"\\]+)"/
    | parse @message /.*"ruleGroupId"\s*:\s*"(?<ruleGroup>[^"\\]+)"\s*,\s*"terminatingRule"\s*:\s*\{\s*"ruleId"\s*:\s*"(?<innerRule>[^"\\]+)"(?:[^{}\[\]]*"ruleMatchDetails"\s*:\s*\[\s*\{\s*"conditionType"\s*:\s*"(?<innerCondition>[^"\\]+)")?/
    | parse @message /.*"rateBasedRuleName"\s*:\s*"(?<rateRule>[^"\\]+)"\s*,\s*"limitKey"\s*:\s*"(?<limitKey>[^"\\]+)"(?:[^{}]*"limitValue"\s*:\s*"(?<limitValue>[^"\\]+)")?/
    | parse @message /.*"customValues"\s*:\s*\[[^\]]*"key"\s*:\s*"(?<customKey>IP|FORWARDED_IP)"/
    | parse @message /"name"\s*:\s*"(?<label>awswaf:managed:aws:(?:sql-database:|core-rule-set:CrossSiteScripting|known-bad-inputs:|amazon-ip-list:)[^"\\]*)"/
    | parse @message /(?i).*"name"\s*:\s*"X-Forwarded-For"\s*,\s*"value"\s*:\s*"(?:(?:[^"\\]|\\.)*?,)??(?<lastXForwardedFor>[^",\\]*(?:,[^",\\]*)?)"/
    | stats count(*) as requests by client, terminatingRuleId, terminatingRuleType, condition, ruleGroup, innerRule, innerCondition, rateRule, limitKey, limitValue, customKey, label, lastXForwardedFor
    | sort requests desc
    | limit 10000
    "#);
    assert!(query.len() < 10_000, "what Logs Insights takes");
    let (_, told) = query.split_once("| stats").unwrap();
    for untold in ["@message", "uri", "args", "headers"] {
        assert!(!told.contains(untold), "{untold}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_sources_the_higher_count_is_taken() {
    let rows = [
        injections("203.0.113.66", 400),
        injections("203.0.113.88", 1),
    ];
    let range = Aws::default()
        .logging(vec![results("Complete", &rows)])
        .at(soon);
    let answer = range.answer().await;
    insta::assert_snapshot!(read(&answer), @"4 networks attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z, 4 to be blocked: 203.0.113.66/32: 400 × SQL injection (rule sqli, SQLi_BODY); 203.0.113.88/32: 1 × SQL injection (rule sqli, SQLi_BODY); 203.0.113.77/32: over the rate limit (rule limit); 2001:db8::/64: over the rate limit (rule limit)");
    assert_eq!(answer["offenders"][0]["requests"], 400);
    assert_eq!(answer["complete"], true);
}

#[tokio::test(start_paused = true)]
async fn before_the_logs_have_arrived_what_is_known_can_be_blocked() {
    let rows = [injections("203.0.113.88", 3)];
    let range = Aws::default()
        .logging(vec![results("Complete", &rows)])
        .at(at_once);
    let answer = range.answer().await;
    assert_eq!(
        (&answer["complete"], &answer["again"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(answer["networks"].as_array().unwrap().len(), 4);
    insta::assert_snapshot!(read(&answer), @r#"
    so far, 4 networks attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z, 4 to be blocked: 203.0.113.66/32: 20 × SQL injection (rule sqli, SQLi_BODY); 203.0.113.88/32: 3 × SQL injection (rule sqli, SQLi_BODY); 203.0.113.77/32: over the rate limit (rule limit); 2001:db8::/64: over the rate limit (rule limit)
    left: not all that was logged is known: requests reach the log group minutes later. By hand: aws logs start-query --region eu-west-1 --log-group-name aws-waf-logs-api --start-time 1795575300 --end-time 1795576200 --query-string 'filter action = "BLOCK" | stats count(*) by httpRequest.clientIp, terminatingRuleId', then aws logs get-query-results --query-id <its id>
    "#);
    let to = range.started.lock().unwrap()[0].2;
    assert_eq!(to, at_once().as_second(), "nobody asks for the future");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_long_is_handed_over_and_taken_up_again() {
    let slow = Aws::default().logging(vec![results("Scheduled", &[]), results("Running", &[])]);
    let range = slow.at(soon);
    let began = Instant::now();
    let first = range.answer().await;
    assert!(began.elapsed() <= BUDGET + std::time::Duration::from_secs(1));
    assert_eq!(
        (&first["complete"], &first["again"]),
        (&json!(false), &json!(true))
    );
    insta::assert_snapshot!(first["query"], @r#"{"id":"q-1","startedAt":"2026-11-25T03:20:00Z","arrived":true}"#);
    assert_eq!(
        first["networks"].as_array().unwrap().len(),
        3,
        "samples and rates are told"
    );
    assert_eq!(range.stops.num_calls(), 0);

    let mut next = payload();
    next["query"] = first["query"].clone();
    let rows = [injections("203.0.113.88", 3)];
    let range = Aws::default()
        .logging(vec![results("Complete", &rows)])
        .at(soon);
    let second = answer(&range.worker, &next).await.unwrap();
    assert_eq!(
        (&second["complete"], &second["again"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(second["query"], Value::Null);
    assert_eq!(second["networks"].as_array().unwrap().len(), 4);
    assert_eq!(range.started.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_never_ends_is_stopped() {
    let mut old = payload();
    old["query"] = json!({"id": "q-1", "startedAt": "2026-11-25T03:11:00Z", "arrived": true});
    let range = Aws::default()
        .logging(vec![results("Running", &[])])
        .at(late);
    let answer = answer(&range.worker, &old).await.unwrap();
    assert_eq!(
        (&answer["complete"], &answer["again"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(range.stops.num_calls(), 1);
    assert!(read(&answer).contains("did not end within half an hour"));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_is_lost_or_must_wait_is_asked_again() {
    let limit = Said::Refused(400, "LimitExceededException");
    for (start, end) in [
        (limit, vec![]),
        (Said::Answer(Value::Null), vec![results("Failed", &[])]),
        (
            Said::Answer(Value::Null),
            vec![Said::Refused(400, "ResourceNotFoundException")],
        ),
    ] {
        let aws = Aws {
            start: Some(start),
            results: end,
            ..Aws::default()
        };
        let answer = aws.at(soon).answer().await;
        assert_eq!(
            (&answer["complete"], &answer["again"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(answer["query"], Value::Null);
        assert_eq!(answer["networks"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_began_too_early_is_not_repeated_for_ever() {
    let mut early = payload();
    early["query"] = json!({"id": "q-1", "startedAt": "2026-11-25T03:06:00Z", "arrived": false});
    for (now, again) in [(soon as fn() -> Timestamp, true), (late, false)] {
        let range = Aws::default()
            .logging(vec![results("Complete", &[])])
            .at(now);
        let answer = answer(&range.worker, &early).await.unwrap();
        assert_eq!(
            (&answer["complete"], &answer["again"]),
            (&json!(false), &json!(again))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_source_that_fails_stops_no_other() {
    let rows = [injections("203.0.113.88", 3)];
    for (name, aws, offenders) in [
        (
            "samples",
            Aws {
                samples: BTreeMap::from([
                    (
                        "sqli-metric",
                        vec![Said::Refused(400, "AccessDeniedException")],
                    ),
                    (
                        "limit-metric",
                        vec![Said::Refused(400, "AccessDeniedException")],
                    ),
                ]),
                ..Aws::default()
            },
            3,
        ),
        (
            "a metric",
            Aws {
                samples: BTreeMap::from([
                    (
                        "sqli-metric",
                        vec![Said::Refused(400, "WAFNonexistentItemException")],
                    ),
                    ("limit-metric", vec![samples(&[])]),
                ]),
                ..Aws::default()
            },
            3,
        ),
        (
            "rates",
            Aws {
                keys: BTreeMap::from([(
                    "limit",
                    vec![Said::Refused(
                        400,
                        "WAFUnsupportedAggregateKeyTypeException",
                    )],
                )]),
                ..Aws::default()
            },
            2,
        ),
    ] {
        let range = aws.logging(vec![results("Complete", &rows)]).at(soon);
        let answer = range.answer().await;
        assert_eq!(
            answer["offenders"].as_array().unwrap().len(),
            offenders,
            "{name}"
        );
        assert_eq!(
            (&answer["complete"], &answer["again"]),
            (&json!(false), &json!(false)),
            "{name}"
        );
        let told = read(&answer);
        assert!(
            told.contains("what AWS said. By hand: aws wafv2 get-"),
            "{name}: {told}"
        );
    }
    for code in [
        "AccessDeniedException",
        "ResourceNotFoundException",
        "MalformedQueryException",
    ] {
        let aws = Aws {
            start: Some(Said::Refused(400, code)),
            ..Aws::default()
        };
        let answer = aws.at(soon).answer().await;
        assert_eq!(answer["networks"].as_array().unwrap().len(), 3, "{code}");
        let told = read(&answer);
        assert!(
            told.contains(&format!(
                "left: what was logged is not known: logs:StartQuery: {code}"
            )),
            "{told}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rules_with_the_same_failure_share_a_line() {
    let refused = || vec![Said::Refused(400, "AccessDeniedException")];
    let aws = Aws {
        samples: BTreeMap::from([("sqli-metric", refused()), ("limit-metric", refused())]),
        ..Aws::default()
    };
    insta::assert_snapshot!(read(&aws.at(soon).answer().await), @"
    so far, 2 networks attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z, 2 to be blocked: 203.0.113.77/32: over the rate limit (rule limit); 2001:db8::/64: over the rate limit (rule limit)
    left: of rules limit, sqli, what they blocked is not known: wafv2:GetSampledRequests: AccessDeniedException: what AWS said. By hand: aws wafv2 get-sampled-requests --region eu-west-1 --scope REGIONAL --web-acl-arn arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/api/1a2b --rule-metric-name <the rule's> --time-window StartTime=2026-11-25T02:55:00Z,EndTime=2026-11-25T03:10:00Z --max-items 500
    ");
}

#[tokio::test(start_paused = true)]
async fn when_no_source_can_be_read_the_run_fails_by_its_class() {
    for (status, code, class) in [
        (400, "WAFNonexistentItemException", "TargetNotFound"),
        (400, "WAFInvalidParameterException", "Rejected"),
        (400, "WAFInvalidOperationException", "Rejected"),
        (400, "AccessDeniedException", "AccessDenied"),
        (400, "ThrottlingException", "Transient"),
        (500, "WAFInternalErrorException", "Transient"),
    ] {
        let refused = Said::Refused(status, code);
        let aws = Aws {
            acl: vec![refused.clone()],
            ..Aws::default()
        };
        let failure = answer(&aws.at(soon).worker, &payload()).await.unwrap_err();
        assert_eq!(failure.name(), class, "{code}");
        assert_eq!(
            failure.to_string(),
            format!("wafv2:GetWebACL: {code}: what AWS said")
        );
        let each = || vec![refused.clone()];
        let aws = Aws {
            samples: BTreeMap::from([("sqli-metric", each()), ("limit-metric", each())]),
            keys: BTreeMap::from([("limit", each())]),
            ..Aws::default()
        };
        let failure = answer(&aws.at(soon).worker, &payload()).await.unwrap_err();
        assert_eq!(failure.name(), class, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_rules_the_logs_are_read_and_a_proxy_is_feared() {
    let gone = || vec![Said::Refused(400, "WAFNonexistentItemException")];
    let rows = [injections("203.0.113.88", 3)];
    let aws = Aws {
        acl: gone(),
        ..Aws::default()
    }
    .logging(vec![results("Complete", &rows)]);
    let range = aws.at(soon);
    let answer = range.answer().await;
    assert_eq!(answer["networks"], json!([]));
    insta::assert_snapshot!(read(&answer), @"
    so far, nobody is known to have attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z
    left: its rules, samples and rates are not known: wafv2:GetWebACL: WAFNonexistentItemException: what AWS said. By hand: aws wafv2 get-web-acl --region eu-west-1 --scope REGIONAL --name api --id 1a2b, then aws wafv2 get-sampled-requests --region eu-west-1 --scope REGIONAL --web-acl-arn arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/api/1a2b --rule-metric-name <the rule's> --time-window StartTime=2026-11-25T02:55:00Z,EndTime=2026-11-25T03:10:00Z --max-items 500
    left: 3 attacks are held against nobody: whether the connecting address is a proxy's is not known; find in the proxy's log who sent them, and block them there
    ");

    let mut row = injections("198.51.100.200", 3);
    row.push(
        ResultField::builder()
            .field("lastXForwardedFor")
            .value("203.0.113.88")
            .build(),
    );
    let aws = Aws {
        acl: gone(),
        ..Aws::default()
    }
    .logging(vec![results("Complete", &[row])]);
    let mut range = aws.at(soon);
    let header = "X-Forwarded-For".parse().unwrap();
    range.worker.forwarded = Some(Forwarded {
        header,
        position: Position::Last,
    });
    assert_eq!(range.answer().await["networks"], json!(["203.0.113.88/32"]));
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out_at_wafs_pace() {
    let busy = || Said::Refused(400, "ThrottlingException");
    let mut aws = Aws::default();
    aws.acl.insert(0, busy());
    aws.samples
        .get_mut("sqli-metric")
        .unwrap()
        .insert(0, busy());
    aws.keys.get_mut("limit").unwrap().insert(0, busy());
    let range = aws.at(soon);
    let began = Instant::now();
    let answer = range.answer().await;
    assert_eq!(answer["complete"], true);
    assert_eq!(range.asked().len(), 7);
    let spent = began.elapsed().as_millis();
    assert!((6_000..8_000).contains(&spent), "{spent} ms");

    // Four a second.
    let range = Aws::default().at(soon);
    let began = Instant::now();
    range.answer().await;
    assert!(began.elapsed().as_millis() >= 750);
}

#[tokio::test(start_paused = true)]
async fn what_stays_throttled_is_told_in_time_and_asked_again() {
    let busy = vec![Said::Refused(400, "ThrottlingException")];
    let mut aws = Aws::default();
    aws.samples.insert("sqli-metric", busy);
    let range = aws.at(soon);
    let began = Instant::now();
    let answer = range.answer().await;
    assert!(began.elapsed() <= BUDGET);
    assert_eq!(
        (&answer["complete"], &answer["again"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        answer["networks"].as_array().unwrap().len(),
        2,
        "those over a rate"
    );
    insta::assert_snapshot!(read(&answer), @"
    so far, 2 networks attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z, 2 to be blocked: 203.0.113.77/32: over the rate limit (rule limit); 2001:db8::/64: over the rate limit (rule limit)
    left: of rule sqli, what they blocked is not known: wafv2:GetSampledRequests: ThrottlingException: what AWS said. By hand: aws wafv2 get-sampled-requests --region eu-west-1 --scope REGIONAL --web-acl-arn arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/api/1a2b --rule-metric-name <the rule's> --time-window StartTime=2026-11-25T02:55:00Z,EndTime=2026-11-25T03:10:00Z --max-items 500
    ");
}

#[tokio::test(start_paused = true)]
async fn samples_are_asked_for_as_long_as_waf_keeps_them() {
    let range = Aws::default().at(late);
    range.answer().await;
    assert_eq!(
        range.asked()[2],
        "GetSampledRequests limit-metric 2026-11-25T03:01:00Z 2026-11-25T03:10:00Z"
    );

    let older = || "2026-11-25T07:00:00Z".parse().unwrap();
    let aws = Aws {
        keys: BTreeMap::from([("limit", vec![keys(&[], &[])])]),
        ..Aws::default()
    };
    let range = aws.at(older);
    let answer = range.answer().await;
    assert_eq!(
        range.asked(),
        [
            "GetWebACL REGIONAL",
            "GetRateBasedStatementManagedKeys limit"
        ]
    );
    insta::assert_snapshot!(read(&answer), @"
    nobody is known to have attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z
    left: nobody was found (WAF keeps samples for three hours only, and the window is older; the template's parameter WafLogGroupName is not set, so that only samples are known): see in the web ACL's dashboard what set the alarm off
    ");
}

#[tokio::test(start_paused = true)]
async fn only_rules_that_block_and_can_tell_are_asked_about() {
    let mut counting = rule("counting", group_of_aws("AWSManagedRulesCommonRuleSet"));
    counting["OverrideAction"] = json!({"Count": {}});
    let mut captcha = rule("captcha", rate_by("IP"));
    captcha["Action"] = json!({"Captcha": {}});
    let mut silent = rule("silent", size());
    silent["VisibilityConfig"]["SampledRequestsEnabled"] = json!(false);
    let aws = Aws {
        samples: BTreeMap::from([("shared-metric", vec![samples(&[])])]),
        keys: BTreeMap::new(),
        ..Aws::default()
    };
    let shared = rule("shared", rate_by("CONSTANT"));
    let range = aws
        .with_rules(json!([
            counting,
            captcha,
            silent,
            shared,
            rule("set", set())
        ]))
        .at(soon);
    let answer = range.answer().await;
    assert_eq!(answer["offenders"], json!([]));
    insta::assert_snapshot!(read(&answer), @"
    nobody is known to have attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z
    left: nobody was found (WAF does not tell who is over the limit of rate rule shared, which does not count by address alone; WAF is told to keep no samples of rule silent; nothing is blocked by rules captcha, counting; the template's parameter WafLogGroupName is not set, so that only samples are known): see in the web ACL's dashboard what set the alarm off
    ");
    assert_eq!(
        range.asked().len(),
        2,
        "the rules, and samples of one of them"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_reads_a_header_tells_of_a_proxy_before_all_rules() {
    let aws = Aws {
        keys: BTreeMap::from([("forwarded", vec![keys(&["203.0.113.77/32"], &[])])]),
        samples: BTreeMap::from([
            (
                "sqli-metric",
                vec![samples(&[sample("203.0.113.66", "BLOCK", 1, None)])],
            ),
            (
                "forwarded-metric",
                vec![samples(&[sample("203.0.113.66", "BLOCK", 1, None)])],
            ),
            ("limit-metric", vec![samples(&[])]),
        ]),
        ..Aws::default()
    };
    let aws = aws.with_rules(json!([
        rule("sqli", group_of_aws("AWSManagedRulesSQLiRuleSet")),
        rule("forwarded", rate_by_forwarded()),
        rule("limit", rate_by("IP")),
    ]));
    let range = aws.at(soon);
    let answer = range.answer().await;
    insta::assert_json_snapshot!(answer["offenders"], @r#"
    [
      {
        "network": "198.51.100.7/32",
        "requests": 2,
        "why": [
          "1 × SQL injection (rule sqli), by the address in X-Forwarded-For, which a client can forge",
          "1 × too many requests (rule forwarded), by the address in X-Forwarded-For, which a client can forge"
        ],
        "spared": null
      },
      {
        "network": "203.0.113.77/32",
        "requests": 0,
        "why": [
          "over the rate limit (rule forwarded), by the address in X-Forwarded-For, which a client can forge"
        ],
        "spared": null
      }
    ]
    "#);
    insta::assert_snapshot!(read(&answer), @"
    2 networks attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z, 2 to be blocked: 198.51.100.7/32: 1 × SQL injection (rule sqli), by the address in X-Forwarded-For, which a client can forge; 203.0.113.77/32: over the rate limit (rule forwarded), by the address in X-Forwarded-For, which a client can forge
    left: rate rule limit counts by the connecting address, which is a proxy's: let it count by X-Forwarded-For (AggregateKeyType FORWARDED_IP)
    ");
    assert!(!answer.to_string().contains("203.0.113.66"), "the proxy");
    assert!(
        !range
            .asked()
            .contains(&"GetRateBasedStatementManagedKeys limit".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn what_anybody_may_run_into_takes_ten_requests() {
    let group = || group_of_aws("AWSManagedRulesCommonRuleSet");
    let common = Some("AWS#AWSManagedRulesCommonRuleSet#NoUserAgent_HEADER");
    let unlabelled = |client, weight| {
        with(
            sample(client, "BLOCK", weight, common),
            json!({"Labels": []}),
        )
    };
    let mut seen = vec![unlabelled("203.0.113.10", 1); 10];
    seen.extend(vec![unlabelled("203.0.113.9", 100); 9]);
    seen.push(unlabelled("10.0.0.7", 1));
    let aws = Aws {
        samples: BTreeMap::from([("common-metric", vec![samples(&seen)])]),
        ..Aws::default()
    };
    let answer = aws
        .with_rules(json!([rule("common", group())]))
        .at(soon)
        .shipped()
        .answer()
        .await;
    assert_eq!(answer["networks"], json!(["203.0.113.10/32"]));
    insta::assert_json_snapshot!(answer["offenders"], @r#"
    [
      {
        "network": "203.0.113.9/32",
        "requests": 900,
        "why": [
          "900 × blocked by managed rules (rule common, NoUserAgent_HEADER)"
        ],
        "spared": "fewer than 10 of its requests were seen, and none is enough by itself"
      },
      {
        "network": "203.0.113.10/32",
        "requests": 10,
        "why": [
          "10 × blocked by managed rules (rule common, NoUserAgent_HEADER)"
        ],
        "spared": null
      }
    ]
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_attack_from_the_clinics_own_is_told_and_not_blocked() {
    let aws = Aws {
        keys: BTreeMap::from([("limit", vec![keys(&["192.0.2.7/32"], &[])])]),
        samples: BTreeMap::from([
            ("sqli-metric", vec![samples(&[])]),
            ("limit-metric", vec![samples(&[])]),
        ]),
        ..Aws::default()
    };
    let answer = aws.at(soon).answer().await;
    assert_eq!(answer["networks"], json!([]));
    insta::assert_json_snapshot!(answer["offenders"], @r#"
    [
      {
        "network": "192.0.2.7/32",
        "requests": 0,
        "why": [
          "over the rate limit (rule limit)"
        ],
        "spared": "it shares addresses with 192.0.2.0/24 of NeverBlockCidrs"
      }
    ]
    "#);
    insta::assert_snapshot!(read(&answer), @"
    1 network attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z, 0 to be blocked: 192.0.2.7/32 (not to be blocked): over the rate limit (rule limit)
    left: attacks come from the clinic's own: network 192.0.2.7/32; look for who or what sends them there
    ");
}

#[tokio::test(start_paused = true)]
async fn one_signature_is_told_and_ten_are_an_attack() {
    let sent = |client, times| {
        vec![
            sample(
                client,
                "BLOCK",
                1,
                Some("AWS#AWSManagedRulesSQLiRuleSet#SQLi_BODY")
            );
            times
        ]
    };
    let seen = [sent("203.0.113.9", 1), sent("203.0.113.10", 10)].concat();
    let aws = Aws {
        samples: BTreeMap::from([("common-metric", vec![samples(&seen)])]),
        ..Aws::default()
    };
    let group = group_of_aws("AWSManagedRulesSQLiRuleSet");
    let answer = aws
        .with_rules(json!([rule("common", group)]))
        .at(soon)
        .shipped()
        .answer()
        .await;
    assert_eq!(answer["networks"], json!(["203.0.113.10/32"]));
    let victim = &answer["offenders"][1];
    assert_eq!(victim["network"], "203.0.113.9/32");
    insta::assert_snapshot!(victim["spared"].to_string(), @r#""fewer than 10 of its requests were seen, and none is enough by itself""#);
}

#[tokio::test(start_paused = true)]
async fn ten_signatures_are_seen_in_one_source_or_not_at_all() {
    let inner = Some("AWS#AWSManagedRulesSQLiRuleSet#SQLi_BODY");
    for (sampled, logged, blocked) in [
        (1, 1, json!([])),
        (9, 9, json!([])),
        (10, 1, json!(["203.0.113.66/32"])),
        (1, 10, json!(["203.0.113.66/32"])),
    ] {
        let seen = vec![sample("203.0.113.66", "BLOCK", 1, inner); sampled];
        let aws = Aws {
            samples: BTreeMap::from([("sqli-metric", vec![samples(&seen)])]),
            ..Aws::default()
        };
        let group = group_of_aws("AWSManagedRulesSQLiRuleSet");
        let answer = aws
            .with_rules(json!([rule("sqli", group)]))
            .logging(vec![results(
                "Complete",
                &[injections("203.0.113.66", logged)],
            )])
            .at(soon)
            .shipped()
            .answer()
            .await;
        assert_eq!(answer["networks"], blocked, "{sampled} and {logged}");
        assert_eq!(answer["offenders"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_colleague_who_runs_into_a_rule_alarms_nobody() {
    let common = Some("AWS#AWSManagedRulesCommonRuleSet#SizeRestrictions_BODY");
    let upload = with(
        sample("192.0.2.7", "BLOCK", 1, common),
        json!({"Labels": []}),
    );
    let aws = Aws {
        samples: BTreeMap::from([("common-metric", vec![samples(&[upload])])]),
        ..Aws::default()
    };
    let group = group_of_aws("AWSManagedRulesCommonRuleSet");
    let answer = aws
        .with_rules(json!([rule("common", group)]))
        .at(soon)
        .shipped()
        .answer()
        .await;
    assert_eq!(answer["networks"], json!([]));
    assert_eq!(answer["left"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn nobody_found_is_told_with_what_may_be_wrong() {
    let allowed = with(
        sample("203.0.113.66", "COUNT", 7, None),
        json!({"Labels": []}),
    );
    let aws = Aws {
        keys: BTreeMap::from([("limit", vec![keys(&[], &[])])]),
        samples: BTreeMap::from([
            ("sqli-metric", vec![samples(&[allowed])]),
            ("limit-metric", vec![samples(&[])]),
        ]),
        ..Aws::default()
    };
    let answer = aws.at(soon).answer().await;
    assert_eq!(answer["complete"], true);
    insta::assert_snapshot!(read(&answer), @"
    nobody is known to have attacked web ACL api between 2026-11-25T02:55:00Z and 2026-11-25T03:10:00Z
    left: nobody was found (the template's parameter WafLogGroupName is not set, so that only samples are known; 7 requests are no reason to block anybody: the rule only counts: its owner does not trust it to block yet): see in the web ACL's dashboard what set the alarm off
    ");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_fits_where_it_must_travel() {
    let rows: Vec<_> = (0..MOST_ROWS)
        .map(|n| {
            injections(
                &format!("2001:db8:{:x}:{:x}::1", 0x1000 + n / 100, 0x1000 + n % 100),
                1,
            )
        })
        .collect();
    let range = Aws::default()
        .logging(vec![results("Complete", &rows)])
        .at(soon);
    let answer = range.answer().await;
    assert!(
        answer.to_string().len() < 200 * 1024,
        "{}",
        answer.to_string().len()
    );
    assert_eq!(answer["offenders"].as_array().unwrap().len(), 50);
    let networks = answer["networks"].as_array().unwrap().len();
    assert!((5_000..MOST_ROWS).contains(&networks), "{networks}");
    assert!(answer["summary"].as_str().unwrap().ends_with("more"));
    let left = answer["left"].as_array().unwrap();
    assert!(
        left[0]
            .as_str()
            .unwrap()
            .starts_with("more was blocked than one query tells")
    );
    let over = format!(
        "{} more networks are to be blocked",
        MOST_ROWS + 3 - networks
    );
    assert!(left[1].as_str().unwrap().starts_with(&over), "{}", left[1]);
}

#[tokio::test(start_paused = true)]
async fn a_row_without_a_count_is_told() {
    let rows = [row(&[("client", "203.0.113.9")])];
    let range = Aws::default()
        .logging(vec![results("Complete", &rows)])
        .at(soon);
    let answer = range.answer().await;
    assert!(read(&answer).contains("answered a row without a count"));
    assert_eq!(answer["networks"].as_array().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_guarded_is_not_asked_about() {
    let mut range = Aws::default().at(soon);
    for (field, value, message) in [
        (
            "webAcl",
            ACL.replace("1a2b", "3c4d"),
            "`webAcl`: expected the one that the template's parameter WebAclArn names",
        ),
        (
            "to",
            "2026-11-25T02:59:59Z".to_owned(),
            "`to`: is before `from`",
        ),
        ("query", "q-1".to_owned(), "`query`: expected struct Query"),
    ] {
        let mut payload = payload();
        payload[field] = json!(value);
        let failure = answer(&range.worker, &payload).await.unwrap_err();
        assert_eq!(
            (failure.name(), failure.to_string().as_str()),
            ("InvalidInput", message)
        );
    }
    range.worker.web_acl = None;
    let answer = range.answer().await;
    assert_eq!(
        (&answer["complete"], &answer["again"]),
        (&json!(false), &json!(false))
    );
    insta::assert_snapshot!(read(&answer), @"
    it is not known who attacks: the template's parameter WebAclArn is not set
    left: it is not known who attacks: the template's parameter WebAclArn is not set. Set it, or find the offenders in the web ACL's sampled requests
    ");
    assert_eq!(range.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_time_can_be_asked_for() {
    let mut payload = payload();
    payload["from"] = json!(Timestamp::MIN);
    payload["to"] = json!(Timestamp::MAX);
    let range = Aws::default()
        .logging(vec![results("Complete", &[])])
        .at(soon);
    let answer = answer(&range.worker, &payload).await.unwrap();
    assert_eq!(answer["complete"], false);
}

#[test]
fn a_web_acl_of_cloudfront_is_asked_in_us_east_1() {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .build();
    let region = |acl: Option<&str>| {
        let acl = acl.map(|acl| acl.parse().unwrap());
        at_home(&config, acl.as_ref()).region().unwrap().to_string()
    };
    assert_eq!(region(None), "eu-west-1");
    assert_eq!(
        region(Some(&ACL.replace("eu-west-1", "eu-west-2"))),
        "eu-west-2"
    );
    let global = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/site/1a2b";
    assert_eq!(region(Some(global)), "us-east-1");
}

#[tokio::test(start_paused = true)]
async fn a_web_acl_of_cloudfront_is_asked_by_its_scope() {
    let acl = mock!(aws_sdk_wafv2::Client::get_web_acl)
        .match_requests(|request| request.scope() == Some(&aws_sdk_wafv2::types::Scope::Cloudfront))
        .then_http_response(|| Said::Answer(rules(json!([]))).http());
    let global = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/site/1a2b";
    let mut range = Aws::default().at(soon);
    range.worker.waf = mock_client!(aws_sdk_wafv2, &[&acl]);
    range.worker.web_acl = Some(global.parse().unwrap());
    let mut payload = payload();
    payload["webAcl"] = json!(global);
    let answer = answer(&range.worker, &payload).await.unwrap();
    assert_eq!(acl.num_calls(), 1);
    assert_eq!(answer["complete"], true);
}

/// What is known of rules, through WAF's own JSON.
async fn known(them: Value) -> Rules {
    let range = Aws::default().with_rules(them).at(soon);
    let acl = ACL.parse().unwrap();
    let mut firewall = firewall::Firewall::new(&range.worker.waf, &acl);
    firewall.rules(Instant::now() + BUDGET).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_known_by_what_it_looks_at() {
    let sqli = json!({"SqliMatchStatement": field()});
    let not = |statement: Value| json!({"NotStatement": {"Statement": statement}});
    let all = |statements: Value| json!({"AndStatement": {"Statements": statements}});
    let geo = json!({"GeoMatchStatement": {"CountryCodes": ["BR"], "ForwardedIPConfig": header()}});
    let mut any_set = set();
    any_set["IPSetReferenceStatement"]["IPSetForwardedIPConfig"] =
        json!({"HeaderName": "CF-Connecting-IP", "FallbackBehavior": "MATCH", "Position": "ANY"});
    let label = json!({"LabelMatchStatement": {"Scope": "LABEL", "Key": "a:b"}});
    let mut scoped = rate_by("IP");
    scoped["RateBasedStatement"]["ScopeDownStatement"] = geo.clone();
    let custom = |keys: Value| json!({"RateBasedStatement": {"Limit": 10, "AggregateKeyType": "CUSTOM_KEYS", "CustomKeys": keys}});
    let rules = known(json!([
        rule("01 sqli", sqli.clone()),
        rule("02 xss", json!({"XssMatchStatement": field()})),
        rule("03 sqli in a country", all(json!([geo, sqli]))),
        rule("04 not sqli", not(sqli)),
        rule("05 size", size()),
        rule("06 label", all(json!([label, not(set())]))),
        rule("07 set", any_set),
        rule(
            "08 group",
            json!({"RuleGroupReferenceStatement": {"ARN": "arn:x"}})
        ),
        rule("09 scoped rate", scoped),
        rule(
            "10 address and more",
            custom(json!([{"IP": {}}, {"HTTPMethod": {}}]))
        ),
        rule(
            "11 forwarded and more",
            custom(json!([{"ForwardedIP": {}}, {"HTTPMethod": {}}]))
        ),
        rule("12 method", custom(json!([{"HTTPMethod": {}}]))),
    ]))
    .await;
    let line = |(name, rule): (&String, &acl::Rule)| {
        let header = rule.forwarded.as_ref();
        let header = header.map(|it| format!(" {:?} {}", it.position, it.header.as_str()));
        format!("{name}: {:?}{}", rule.matches, header.unwrap_or_default())
    };
    insta::assert_snapshot!(rules.iter().map(line).collect::<Vec<_>>().join("\n"), @"
    01 sqli: SqlInjection
    02 xss: CrossSiteScripting
    03 sqli in a country: SqlInjection First X-Forwarded-For
    04 not sqli: Content
    05 size: Content
    06 label: Labels
    07 set: Origin Last CF-Connecting-IP
    08 group: Group
    09 scoped rate: Rate(Ip) First X-Forwarded-For
    10 address and more: Rate(IpAndMore)
    11 forwarded and more: Rate(ForwardedIpAndMore)
    12 method: Rate(Other)
    ");
    assert!(rules.values().all(|rule| rule.blocks));
}

#[tokio::test(start_paused = true)]
async fn a_rule_group_of_firewall_manager_is_a_rule() {
    let mut acl = rules(json!([]));
    acl["WebACL"]["PreProcessFirewallManagerRuleGroups"] = json!([{
        "Name": "fms", "Priority": 1, "OverrideAction": {"None": {}}, "VisibilityConfig": visible("fms-metric"),
        "FirewallManagerStatement": group_of_aws("AWSManagedRulesSQLiRuleSet"),
    }]);
    let attacked = samples(&[with(
        sample("203.0.113.66", "BLOCK", 1, None),
        json!({"Labels": []}),
    )]);
    let aws = Aws {
        acl: vec![Said::Answer(acl)],
        samples: BTreeMap::from([("fms-metric", vec![attacked])]),
        ..Aws::default()
    };
    assert_eq!(
        aws.at(soon).answer().await["networks"],
        json!(["203.0.113.66/32"])
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_of_ones_own_looks_at_tells_what_it_blocked() {
    let rules = known(json!([
        rule("sqli", json!({"SqliMatchStatement": field()})),
        rule("xss", json!({"XssMatchStatement": field()})),
        rule("size", size()),
        rule("set", set()),
        rule(
            "group",
            json!({"RuleGroupReferenceStatement": {"ARN": "arn:x"}})
        ),
        rule(
            "label",
            json!({"LabelMatchStatement": {"Scope": "LABEL", "Key": "a:b"}})
        ),
        rule(
            "renamed",
            group_of_aws("AWSManagedRulesKnownBadInputsRuleSet")
        ),
        rule("shared", rate_by("CONSTANT")),
    ]))
    .await;
    let classifier = plain().knowing(rules);
    let of = |rule: &'static str| {
        (
            rule,
            with(
                blocked(),
                json!({"terminatingRuleId": rule, "terminatingRuleType": null}),
            ),
        )
    };
    let names = [
        "sqli", "xss", "size", "set", "group", "label", "renamed", "shared", "unknown",
    ];
    insta::assert_snapshot!(table(&classifier, &names.map(of)), @"
    sqli: 203.0.113.9/32 perhaps SQL injection (rule sqli)
    xss: 203.0.113.9/32 perhaps cross-site scripting (rule xss)
    size: 203.0.113.9/32 perhaps blocked contents (rule size)
    set: harmless: the rule looks only at where requests come from: whoever is on an IP set is blocked already, and a country is no attack
    group: 203.0.113.9/32 perhaps blocked by a rule group (rule group)
    label: harmless: what the blocking rule looked at is not known, so it may have been harmless
    renamed: 203.0.113.9/32 perhaps a known bad input (rule renamed)
    shared: harmless: the rule counts everybody's requests together, so whoever comes then is blocked
    unknown: harmless: what the blocking rule looked at is not known, so it may have been harmless
    ");
}

#[test]
fn a_burst_is_summed_up_by_network() {
    let mut offenders = Offenders::default();
    for n in 0..40 {
        let client = if n % 4 == 0 {
            "203.0.113.140"
        } else {
            "203.0.113.141"
        };
        let record = managed("AWS#AWSManagedRulesSQLiRuleSet", "SQLi_QUERYARGUMENTS");
        let record = with(record, json!({"httpRequest": request(client, None)}));
        offenders.count(plain().classify(&record));
    }
    for _ in 0..9 {
        let size = managed("AWS#AWSManagedRulesCommonRuleSet", "SizeRestrictions_BODY");
        offenders.count(plain().classify(&size));
    }
    offenders.count(plain().classify(&Value::Null));
    assert!(!offenders.is_empty());
    let networks = |minimum| {
        let networks = offenders.networks(&never(), minimum);
        networks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(networks(10), ["203.0.113.141/32", "203.0.113.140/32"]);
    assert_eq!(
        networks(9),
        ["203.0.113.141/32", "203.0.113.140/32", "203.0.113.9/32"]
    );
    let list = offenders.list(&never(), 10);
    insta::assert_json_snapshot!(list[2], @r#"
    {
      "network": "203.0.113.9/32",
      "requests": 9,
      "why": [
        "9 × blocked by managed rules (rule AWS-AWSManagedRulesCommonRuleSet, SizeRestrictions_BODY)"
      ],
      "spared": "fewer than 10 of its requests were seen, and none is enough by itself"
    }
    "#);
}

#[test]
fn a_reason_is_told_at_most_thrice() {
    let mut offenders = Offenders::default();
    for n in 0..2_000_u64 {
        let network = Network::of("203.0.113.9".parse::<IpAddr>().unwrap());
        let why = format!("reason {n}");
        let judged = Ok(Offence {
            network,
            conclusive: true,
            why,
        });
        offenders.count_many(judged, n % 7, 1);
    }
    let list = offenders.list(&never(), 10);
    assert_eq!(list[0].why.len(), 3);
    assert!(list[0].why[0].starts_with("6 × reason"));
}
