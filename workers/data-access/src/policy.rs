//! Whom a table's resource policy lets in.

use serde_json::Value;

use crate::{Reach, request::field};

/// Whom a policy lets in, when it lets in anybody. Conditions are not weighed: an `Allow` is one.
pub(crate) fn reach(policy: &Value, account: &str) -> Option<Reach> {
    let parsed = match policy {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    let statements = match field(&parsed, "Statement") {
        Value::Array(statements) => statements.as_slice(),
        one @ Value::Object(_) => std::slice::from_ref(one),
        _ => return Some(Reach::Unsaid),
    };
    let allows = statements
        .iter()
        .filter(|statement| field(statement, "Effect") != "Deny");
    let reaches = allows.map(|statement| {
        if is_inside(field(statement, "Principal"), account) {
            Reach::Inside
        } else {
            Reach::Outside
        }
    });
    reaches.max_by_key(|reach| *reach == Reach::Outside)
}

/// Whether every principal is one of the account, by ARN or as the account itself.
fn is_inside(principal: &Value, account: &str) -> bool {
    let Some(kinds) = principal.as_object() else {
        return false;
    };
    let one_inside = |one: &Value| {
        one.as_str()
            .is_some_and(|text| text == account || text.split(':').nth(4) == Some(account))
    };
    kinds.iter().all(|(kind, named)| {
        kind == "AWS"
            && match named {
                Value::Array(all) => all.iter().all(one_inside),
                one => one_inside(one),
            }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(statement: Value) -> Option<Reach> {
        let policy = json!({"Version": "2012-10-17", "Statement": statement});
        let as_object = reach(&policy, "123456789012");
        assert_eq!(
            reach(&json!(policy.to_string()), "123456789012"),
            as_object,
            "as a text"
        );
        as_object
    }

    fn allow(principal: Value) -> Value {
        json!({"Effect": "Allow", "Principal": principal, "Action": "dynamodb:*", "Resource": "*"})
    }

    #[test]
    fn an_allow_to_others_reaches_outside() {
        for principal in [
            json!("*"),
            json!({"AWS": "*"}),
            json!({"AWS": "999988887777"}),
            json!({"AWS": "arn:aws:iam::999988887777:root"}),
            json!({"AWS": ["123456789012", "arn:aws:iam::999988887777:user/eve"]}),
            json!({"AWS": "AROAEXAMPLE"}),
            json!({"Service": "redshift.amazonaws.com"}),
            json!({"AWS": 7}),
            json!(null),
        ] {
            assert_eq!(
                of(allow(principal.clone())),
                Some(Reach::Outside),
                "{principal}"
            );
        }
        let all_but = json!([{"Effect": "Allow", "NotPrincipal": {"AWS": "123456789012"}}]);
        assert_eq!(of(all_but), Some(Reach::Outside));
    }

    #[test]
    fn an_allow_to_the_own_account_reaches_inside() {
        for principal in [
            json!({"AWS": "123456789012"}),
            json!({"AWS": "arn:aws:iam::123456789012:role/crm"}),
            json!({"AWS": ["arn:aws:iam::123456789012:root", "123456789012"]}),
        ] {
            assert_eq!(
                of(allow(principal.clone())),
                Some(Reach::Inside),
                "{principal}"
            );
        }
    }

    #[test]
    fn the_widest_statement_counts_and_a_deny_lets_nobody_in() {
        let deny = json!({"Effect": "Deny", "Principal": "*"});
        assert_eq!(of(deny.clone()), None);
        assert_eq!(of(json!([])), None);
        let inside = allow(json!({"AWS": "123456789012"}));
        assert_eq!(of(json!([deny, inside])), Some(Reach::Inside));
        assert_eq!(
            of(json!([inside, allow(json!("*")), inside])),
            Some(Reach::Outside)
        );
    }

    #[test]
    fn what_is_no_policy_is_unsaid() {
        for policy in [
            json!(null),
            json!("{"),
            json!({}),
            json!({"Statement": 7}),
            json!(7),
        ] {
            assert_eq!(
                reach(&policy, "123456789012"),
                Some(Reach::Unsaid),
                "{policy}"
            );
        }
    }
}
