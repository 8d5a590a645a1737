//! Whom a role's trust policy lets in.

use std::collections::BTreeMap;

use incident::Arn;
use serde_json::{Value, json};

use crate::{
    Document,
    statement::{Statement, list, part, with},
};

/// The calls by which one becomes a role.
const ENTRIES: [&str; 3] = [
    "sts:assumerole",
    "sts:assumerolewithsaml",
    "sts:assumerolewithwebidentity",
];

/// The providers of web identities that every account has, without an IAM resource.
const BUILT_IN: [&str; 4] = [
    "accounts.google.com",
    "cognito-identity.amazonaws.com",
    "graph.facebook.com",
    "www.amazon.com",
];

/// What somebody whom a statement lets in is to the account.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Guest {
    /// A principal of its own, or an AWS service.
    Inside,
    /// Those whom a provider vouches for, and a condition narrows down.
    VouchedFor(String),
    /// Anybody else, in words.
    Outsider(String),
}

impl Document {
    /// Whom a trust lets in who is not of `account`, in words: other accounts, anybody, identities
    /// that a provider vouches for and no condition narrows down.
    #[must_use]
    pub fn outsiders(&self, account: &str) -> Vec<String> {
        self.guests(account, |guest| match guest {
            Guest::Outsider(who) => Some(who),
            Guest::Inside | Guest::VouchedFor(_) => None,
        })
    }

    /// The providers whose identities a trust lets in as far as its conditions say which. Whether
    /// those are yours, no document tells.
    #[must_use]
    pub fn vouched_for(&self, account: &str) -> Vec<String> {
        self.guests(account, |guest| match guest {
            Guest::VouchedFor(who) => Some(who),
            Guest::Inside | Guest::Outsider(_) => None,
        })
    }

    /// Whether a trust names this user or role, or a session of it, whatever its path.
    #[must_use]
    pub fn names(&self, principal: &Arn) -> bool {
        let is = |guest: Arn| {
            guest.account() == principal.account()
                && kind_of(&guest) == kind_of(principal)
                && name_of(&guest).eq_ignore_ascii_case(name_of(principal))
        };
        self.entries().any(|statement| {
            let named = part(statement.written(), "Principal").and_then(|kinds| part(kinds, "AWS"));
            let named = named.map(list).unwrap_or_default().iter();
            let mut named = named.filter_map(|name| name.as_str()?.parse().ok());
            named.any(is)
        })
    }

    /// The trust without its outsiders. None when nobody would be left: IAM takes no trust without
    /// a statement.
    #[must_use]
    pub fn without_outsiders(&self, account: &str) -> Option<Value> {
        let left = self.statements.iter().filter_map(|statement| {
            if statement.lets_in() {
                statement.without_outsiders(account)
            } else {
                Some(statement.written().clone())
            }
        });
        let left = with(&self.written, "Statement", left.collect());
        let lets_in = Self::parse(&left)?.entries().next().is_some();
        lets_in.then_some(left)
    }

    /// The statements that let somebody in.
    fn entries(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(|it| it.lets_in())
    }

    fn guests(&self, account: &str, wanted: fn(Guest) -> Option<String>) -> Vec<String> {
        let guests = self.entries().flat_map(|entry| entry.guests(account));
        let mut all: Vec<_> = guests.filter_map(|(_, _, guest)| wanted(guest)).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Statement {
    fn lets_in(&self) -> bool {
        self.allows() && ENTRIES.iter().any(|entry| self.is_about(entry))
    }

    /// Whom it lets in: the kind and the name as they are written, and who that is.
    fn guests(&self, account: &str) -> Vec<(String, Value, Guest)> {
        let kinds = part(self.written(), "Principal").and_then(Value::as_object);
        let Some(kinds) = kinds else {
            // `"*"`, or everybody but somebody.
            return vec![("AWS".to_owned(), json!("*"), self.anybody(account))];
        };
        let names = kinds
            .iter()
            .flat_map(|(kind, names)| list(names).iter().map(move |name| (kind, name)));
        let guests = names.map(|(kind, name)| {
            let guest = self.guest(kind, name.as_str().unwrap_or_default(), account);
            (kind.clone(), name.clone(), guest)
        });
        guests.collect()
    }

    fn guest(&self, kind: &str, name: &str, account: &str) -> Guest {
        match kind.to_ascii_lowercase().as_str() {
            "service" => Guest::Inside,
            "aws" if name == "*" => self.anybody(account),
            "aws" => of_aws(name, account),
            "federated" => self.of_provider(name, account),
            _ => outsider("somebody of a kind that is not known"),
        }
    }

    /// Anybody, unless a condition says that they are of this account.
    fn anybody(&self, account: &str) -> Guest {
        let only_of_account = self.conditions().any(|(operator, key, values)| {
            operator.eq_ignore_ascii_case("StringEquals")
                && key.eq_ignore_ascii_case("aws:PrincipalAccount")
                && !values.is_empty()
                && values.iter().all(|value| value == account)
        });
        if only_of_account {
            Guest::Inside
        } else {
            outsider("anybody")
        }
    }

    fn of_provider(&self, name: &str, account: &str) -> Guest {
        let arn: Option<Arn> = name.parse().ok();
        let (kind, provider) = match &arn {
            None => ("built-in", name),
            Some(arn) if arn.account() != account => {
                return outsider(&format!("a provider of account {}", arn.account()));
            }
            Some(arn) => arn.resource().split_once('/').unwrap_or_default(),
        };
        if kind == "saml-provider" || self.narrows_down(provider) {
            Guest::VouchedFor(format!("identities of {provider}"))
        } else {
            outsider(&format!("every identity of {provider}"))
        }
    }

    /// Whether a condition says which of a provider's web identities: by subject; those of a built-in
    /// provider, whose subjects nobody knows beforehand, by application.
    fn narrows_down(&self, provider: &str) -> bool {
        let ends: &[&str] = if BUILT_IN.contains(&provider) {
            &[":sub", ":aud", ":app_id"]
        } else {
            &[":sub"]
        };
        let provider = provider.to_ascii_lowercase();
        self.conditions().any(|(operator, key, values)| {
            let (operator, key) = (operator.to_ascii_lowercase(), key.to_ascii_lowercase());
            let operator = operator.trim_start_matches("foranyvalue:");
            let is_like = operator == "stringlike";
            (is_like || matches!(operator, "stringequals" | "stringequalsignorecase"))
                && ends
                    .iter()
                    .any(|end| key.strip_suffix(end) == Some(&provider))
                && !values.is_empty()
                && !values.iter().any(|value| is_like && is_wide(value))
        })
    }

    /// It without its outsiders; none when nobody is left.
    fn without_outsiders(&self, account: &str) -> Option<Value> {
        let is_outsider = |guest: &Guest| matches!(guest, Guest::Outsider(_));
        let guests = self.guests(account);
        if !guests.iter().any(|(_, _, guest)| is_outsider(guest)) {
            return Some(self.written().clone());
        }
        let mut kept: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (kind, name, guest) in guests {
            if !is_outsider(&guest) {
                kept.entry(kind).or_default().push(name);
            }
        }
        (!kept.is_empty()).then(|| with(self.written(), "Principal", json!(kept)))
    }
}

/// A principal that a statement names: an ARN, an account, or the id that IAM writes in the place
/// of a principal that is gone.
fn of_aws(name: &str, account: &str) -> Guest {
    let arn: Option<Arn> = name.parse().ok();
    let its_account = arn.as_ref().map_or(name, Arn::account);
    let is_id = |text: &str| text.len() > 15 && text.bytes().all(|c| c.is_ascii_alphanumeric());
    if its_account == account || arn.is_none() && is_id(name) {
        Guest::Inside
    } else {
        outsider(&format!("account {its_account}"))
    }
}

fn outsider(who: &str) -> Guest {
    Guest::Outsider(who.to_owned())
}

/// Whether a pattern fits whatever follows the claim's name: `*`, `repo:*`.
fn is_wide(pattern: &Value) -> bool {
    let pattern = pattern.as_str().unwrap_or_default();
    pattern
        .find(['*', '?'])
        .is_some_and(|wildcard| matches!(pattern[..wildcard].chars().last(), None | Some(':')))
}

/// `user`, or `role` also for a session of one.
fn kind_of(arn: &Arn) -> &str {
    match arn.resource().split('/').next().unwrap_or_default() {
        "assumed-role" => "role",
        kind => kind,
    }
}

fn name_of(arn: &Arn) -> &str {
    let resource = arn.resource();
    match resource.strip_prefix("assumed-role/") {
        Some(role_and_session) => role_and_session.split('/').next(),
        None => resource.rsplit('/').next(),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "123456789012";
    const GITHUB: &str =
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";

    fn trust(statements: Value) -> Document {
        Document::parse(&json!({"Version": "2012-10-17", "Statement": statements})).unwrap()
    }

    fn letting_in(principal: Value, condition: Value) -> Document {
        trust(
            json!({"Effect": "Allow", "Principal": principal, "Condition": condition,
            "Action": ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:TagSession"]}),
        )
    }

    fn who(principal: Value, condition: Value) -> String {
        let trust = letting_in(principal, condition);
        let outsiders = trust.outsiders(OURS).join(", ");
        match trust.vouched_for(OURS).join(", ") {
            vouched if vouched.is_empty() => outsiders,
            vouched => format!("{outsiders} [{vouched}]"),
        }
    }

    #[test]
    fn services_and_our_own_principals_are_no_outsiders() {
        for principal in [
            json!({"Service": "ec2.amazonaws.com"}),
            json!({"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]}),
            json!({"AWS": OURS}),
            json!({"AWS": "arn:aws:iam::123456789012:root"}),
            json!({"AWS": ["arn:aws:iam::123456789012:user/eve", "AROAEXAMPLEEXAMPLEXMPL"]}),
            json!({"AWS": "arn:aws-cn:sts::123456789012:assumed-role/deploy/run"}),
        ] {
            assert_eq!(who(principal.clone(), json!(null)), "", "{principal}");
        }
    }

    #[test]
    fn others_are_outsiders_in_words() {
        let words = [
            json!("*"),
            json!({"AWS": "*"}),
            json!({"AWS": "999988887777"}),
            json!({"AWS": "arn:aws:iam::999988887777:root"}),
            json!({"AWS": ["arn:aws:iam::123456789012:root", "arn:aws:iam::999988887777:role/x",
                "arn:aws:iam::999988887777:user/y"], "Service": "ec2.amazonaws.com"}),
            json!({"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}),
            json!({"Federated": "arn:aws:iam::999988887777:saml-provider/x"}),
            json!({"Federated": "arn:aws:iam::123456789012:saml-provider/company"}),
            json!({"Federated": GITHUB}),
            json!({"Federated": "cognito-identity.amazonaws.com"}),
        ]
        .map(|principal| format!("{principal}: {}", who(principal.clone(), json!(null))));
        insta::assert_snapshot!(words.join("\n"), @r#"
        "*": anybody
        {"AWS":"*"}: anybody
        {"AWS":"999988887777"}: account 999988887777
        {"AWS":"arn:aws:iam::999988887777:root"}: account 999988887777
        {"AWS":["arn:aws:iam::123456789012:root","arn:aws:iam::999988887777:role/x","arn:aws:iam::999988887777:user/y"],"Service":"ec2.amazonaws.com"}: account 999988887777
        {"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}: somebody of a kind that is not known
        {"Federated":"arn:aws:iam::999988887777:saml-provider/x"}: a provider of account 999988887777
        {"Federated":"arn:aws:iam::123456789012:saml-provider/company"}:  [identities of company]
        {"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"}: every identity of token.actions.githubusercontent.com
        {"Federated":"cognito-identity.amazonaws.com"}: every identity of cognito-identity.amazonaws.com
        "#);
    }

    #[test]
    fn everybody_but_somebody_is_anybody() {
        let trust = trust(json!({"Effect": "Allow", "Action": "sts:*",
            "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:user/eve"}}));
        assert_eq!(trust.outsiders(OURS), ["anybody"]);
    }

    #[test]
    fn only_what_lets_somebody_become_the_role_counts() {
        let account = json!({"AWS": "999988887777"});
        for statement in [
            json!({"Effect": "Deny", "Principal": account, "Action": "sts:AssumeRole"}),
            json!({"Effect": "Allow", "Principal": account, "Action": "sts:TagSession"}),
        ] {
            let trust = trust(statement);
            assert!(trust.outsiders(OURS).is_empty());
        }
        let trust =
            trust(json!({"Effect": "Allow", "Principal": account, "Action": "STS:assume*"}));
        assert_eq!(trust.outsiders(OURS), ["account 999988887777"]);
    }

    #[test]
    fn a_condition_narrows_a_provider_down_but_only_when_it_says_to_whom() {
        const SUB: &str = "token.actions.githubusercontent.com:sub";
        let github = |condition: Value| who(json!({"Federated": GITHUB}), condition);
        let narrowed = " [identities of token.actions.githubusercontent.com]";
        let every = "every identity of token.actions.githubusercontent.com";
        for (condition, expected) in [
            (
                json!({"StringEquals": {SUB: "repo:clinic/site:ref:refs/heads/main"}}),
                narrowed,
            ),
            (
                json!({"StringLike": {SUB: ["repo:clinic/*", "repo:labs/*"]}}),
                narrowed,
            ),
            (
                json!({"ForAnyValue:StringLike": {SUB: "repo:clinic/*"}}),
                narrowed,
            ),
            (json!({"StringLike": {SUB: "*"}}), every),
            (json!({"StringLike": {SUB: "repo:*"}}), every),
            (
                json!({"StringLike": {SUB: ["repo:clinic/*", "repo:*/*"]}}),
                every,
            ),
            (json!({"StringLikeIfExists": {SUB: "repo:clinic/*"}}), every),
            (
                json!({"ForAllValues:StringLike": {SUB: "repo:clinic/*"}}),
                every,
            ),
            (json!({"StringNotEquals": {SUB: "repo:clinic/site"}}), every),
            (json!({"StringEquals": {SUB: []}}), every),
            (
                json!({"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}}),
                every,
            ),
            (
                json!({"StringEquals": {"other.example:sub": "repo:clinic/site"}}),
                every,
            ),
        ] {
            assert_eq!(github(condition.clone()), expected, "{condition}");
        }
        assert_eq!(
            who(
                json!({"Federated": "cognito-identity.amazonaws.com"}),
                json!({"StringEquals": {"cognito-identity.amazonaws.com:aud": "eu-west-1:pool"}})
            ),
            " [identities of cognito-identity.amazonaws.com]"
        );
    }

    #[test]
    fn anybody_of_this_account_is_no_outsider() {
        let anybody = |condition: Value| who(json!({"AWS": "*"}), condition);
        let of =
            |operator: &str, values: Value| json!({operator: {"aws:PrincipalAccount": values}});
        assert_eq!(anybody(of("StringEquals", json!(OURS))), "");
        for condition in [
            of("StringEquals", json!([OURS, "999988887777"])),
            of("StringEquals", json!([])),
            of("StringNotEquals", json!(OURS)),
            of("StringLike", json!("*")),
            json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
            json!({"StringEquals": {"sts:ExternalId": "x"}}),
        ] {
            assert_eq!(anybody(condition.clone()), "anybody", "{condition}");
        }
    }

    #[test]
    fn a_trust_names_a_principal_whatever_its_path() {
        let named = |guest: &str, principal: &str| {
            let trust = letting_in(json!({"AWS": ["999988887777", guest]}), json!(null));
            trust.names(&principal.parse().unwrap())
        };
        let eve = "arn:aws:iam::123456789012:user/eve";
        let admin = "arn:aws:iam::123456789012:role/admin";
        assert!(named(eve, eve));
        assert!(named("arn:aws:iam::123456789012:user/staff/Eve", eve));
        assert!(named(
            "arn:aws:sts::123456789012:assumed-role/admin/run",
            admin
        ));
        for (guest, principal) in [
            ("arn:aws:iam::123456789012:role/eve", eve),
            ("arn:aws:iam::999988887777:user/eve", eve),
            ("arn:aws:iam::123456789012:root", eve),
            ("arn:aws:sts::123456789012:assumed-role/other/admin", admin),
            ("*", eve),
        ] {
            assert!(!named(guest, principal), "{guest} {principal}");
        }
    }

    #[test]
    fn outsiders_are_taken_out_and_nobody_else() {
        let trust = trust(json!([
            {"Sid": "mixed", "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
                "AWS": ["arn:aws:iam::999988887777:root", "arn:aws:iam::123456789012:root"],
                "Service": "ec2.amazonaws.com",
            }},
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"},
            {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": GITHUB},
                "Condition": {"StringEquals":
                    {"token.actions.githubusercontent.com:sub": "repo:clinic/site"}}},
            {"Effect": "Deny", "Action": "*", "Principal": {"AWS": "999988887777"}},
        ]));
        let mut left = trust.without_outsiders(OURS).unwrap();
        left.sort_all_objects();
        insta::assert_json_snapshot!(left, @r#"
        {
          "Statement": [
            {
              "Action": "sts:AssumeRole",
              "Effect": "Allow",
              "Principal": {
                "AWS": [
                  "arn:aws:iam::123456789012:root"
                ],
                "Service": [
                  "ec2.amazonaws.com"
                ]
              },
              "Sid": "mixed"
            },
            {
              "Action": "sts:AssumeRoleWithWebIdentity",
              "Condition": {
                "StringEquals": {
                  "token.actions.githubusercontent.com:sub": "repo:clinic/site"
                }
              },
              "Effect": "Allow",
              "Principal": {
                "Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
              }
            },
            {
              "Action": "*",
              "Effect": "Deny",
              "Principal": {
                "AWS": "999988887777"
              }
            }
          ],
          "Version": "2012-10-17"
        }
        "#);
        let left = Document::parse(&left).unwrap();
        assert!(left.outsiders(OURS).is_empty());
        assert_eq!(left.without_outsiders(OURS), Some(left.written));
    }

    #[test]
    fn a_trust_of_outsiders_alone_leaves_nothing() {
        let foreign = json!({"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"AWS": "999988887777"}});
        let denial = json!({"Effect": "Deny", "Action": "*", "Principal": "*"});
        assert_eq!(trust(foreign.clone()).without_outsiders(OURS), None);
        assert_eq!(
            trust(json!([foreign, denial])).without_outsiders(OURS),
            None
        );
    }
}
