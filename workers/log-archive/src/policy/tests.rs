use serde_json::{Value, json};

use super::*;

const BUCKET: &str = "logs";

/// What AWS documents for a log bucket, with `more` statements.
fn bucket_policy(more: &[Value]) -> Value {
    let cloudtrail = json!({"Service": "cloudtrail.amazonaws.com"});
    let mut statements = vec![
        json!({"Sid": "AclCheck", "Effect": "Allow", "Principal": cloudtrail,
               "Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::logs",
               "Condition": {"StringEquals": {"aws:SourceArn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main"}}}),
        json!({"Sid": "Write", "Effect": "Allow", "Principal": cloudtrail,
               "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/AWSLogs/123456789012/*",
               "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control",
                   "aws:SourceArn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main"}}}),
    ];
    statements.extend(more.iter().cloned());
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn writes(policy: &Value) -> bool {
    Delivery::default().may_write(policy, BUCKET)
}

/// Whether CloudTrail may still write with a denial more, made of everybody's every call with
/// `change`.
fn survives(change: Value) -> bool {
    let mut denial = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                            "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]});
    let parts = denial.as_object_mut().unwrap();
    for (name, part) in change.as_object().unwrap() {
        parts.remove(name.strip_prefix("Not").unwrap_or(name));
        parts.insert(name.clone(), part.clone());
    }
    writes(&bucket_policy(&[denial]))
}

#[test]
fn the_policy_that_aws_documents_lets_cloudtrail_write() {
    assert!(writes(&bucket_policy(&[])));
    assert!(!Delivery::default().may_write(&bucket_policy(&[]), "other"));
}

#[test]
fn both_the_check_and_the_write_must_be_allowed() {
    for left in [0, 1] {
        let mut policy = bucket_policy(&[]);
        policy["Statement"].as_array_mut().unwrap().remove(left);
        assert!(!writes(&policy));
    }
    assert!(!writes(&json!({"Version": "2012-10-17", "Statement": []})));
    assert!(!writes(&json!(null)));
    assert!(!writes(&json!("invalid")));
}

#[test]
fn an_allowance_may_be_written_in_many_ways() {
    let allows = |principal: Value, action: Value, resource: Value| {
        let statement = json!({"Effect": "Allow", "Principal": principal, "Action": action,
                               "Resource": resource});
        writes(&json!({"Statement": statement}))
    };
    let service = json!({"Service": ["config.amazonaws.com", "cloudtrail.amazonaws.com"]});
    let both = json!(["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]);
    let actions = json!(["S3:putobject", "s3:Get*"]);
    assert!(allows(service.clone(), actions.clone(), both.clone()));
    assert!(allows(json!("*"), json!("s3:*"), both.clone()));
    assert!(allows(json!({"AWS": "*"}), json!("*"), json!("*")));
    assert!(allows(
        service.clone(),
        json!("s3:*"),
        json!("arn:aws-us-gov:s3:::log*")
    ));
    assert!(!allows(
        json!({"Service": "config.amazonaws.com"}),
        json!("*"),
        json!("*")
    ));
    assert!(!allows(
        json!({"AWS": "123456789012"}),
        json!("*"),
        json!("*")
    ));
    assert!(!allows(service.clone(), json!("s3:Get*"), both));
    assert!(!allows(service, actions, json!("arn:aws:s3:::other/*")));
}

#[test]
fn an_allowance_with_a_condition_that_may_fail_does_not_count() {
    for condition in [
        json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
        json!({"StringEquals": {"s3:x-amz-acl": "private"}}),
        json!({"StringEquals": {"s3:x-amz-acl": "Bucket-Owner-Full-Control"}}),
        json!({"ForAnyValue:StringEquals": {"aws:SourceAccount": "123456789012"}}),
        json!({"Bool": {"aws:SecureTransport": "false"}}),
    ] {
        let statement = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
                               "Condition": condition});
        assert!(!writes(&json!({"Statement": [statement]})), "{condition}");
    }
    let but = json!({"Effect": "Allow", "NotPrincipal": {"AWS": "123456789012"}, "Action": "*",
                     "Resource": "*"});
    assert!(!writes(&json!({"Statement": [but]})));
}

#[test]
fn a_denial_that_reaches_cloudtrail_shuts_it_out() {
    for change in [
        json!({}),
        json!({"Principal": {"Service": "cloudtrail.amazonaws.com"}}),
        json!({"Principal": {"AWS": ["*"]}}),
        json!({"Action": "s3:PutObject"}),
        json!({"Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::logs"}),
        json!({"Resource": "arn:aws:s3:::logs/AWSLogs/*"}),
        json!({"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:role/eve"}}),
        json!({"NotAction": "s3:GetObject"}),
        json!({"NotResource": "arn:aws:s3:::other/*"}),
        json!({"NotResource": "arn:aws:s3:::logs/some/*"}),
        json!({"Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}),
        json!({"Condition": {"StringNotLike": {"aws:PrincipalArn": "arn:aws:iam::1:role/a*"}}}),
        json!({"Condition": {"ArnNotEqualsIfExists": {"aws:PrincipalArn": "arn:aws:iam::1:role/a"}}}),
        json!({"Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}),
        json!({"Condition": {"Bool": {"aws:SecureTransport": true}}}),
        json!({"Condition": {"Bool": {"aws:PrincipalIsAWSService": "true"}}}),
        json!({"Condition": {"Null": {"aws:PrincipalArn": "true"}}}),
        json!({"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}),
        json!({"Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}}),
    ] {
        assert!(!survives(change.clone()), "{change}");
    }
}

#[test]
fn a_denial_that_leaves_cloudtrail_out_is_harmless() {
    for change in [
        json!({"Principal": {"AWS": "arn:aws:iam::123456789012:role/eve"}}),
        json!({"Principal": {"Service": "config.amazonaws.com"}}),
        json!({"Action": ["s3:DeleteObject*", "s3:PutBucketPolicy"]}),
        json!({"Resource": "arn:aws:s3:::other/*"}),
        json!({"NotPrincipal": {"Service": "cloudtrail.amazonaws.com"}}),
        json!({"NotAction": ["s3:Put*", "s3:GetBucketAcl"]}),
        json!({"NotResource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]}),
        json!({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
        json!({"Condition": {"Bool": {"aws:SecureTransport": false}}}),
        json!({"Condition": {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                             "StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}),
        json!({"Condition": {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::1:role/a*"},
                             "Bool": {"aws:PrincipalIsAWSService": "false"}}}),
        json!({"Condition": {"StringNotEqualsIfExists": {"aws:PrincipalServiceName": [
            "cloudtrail.amazonaws.com", "config.amazonaws.com"]}}}),
        json!({"Condition": {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::1:role/eve"}}}),
        json!({"Condition": {"Null": {"aws:PrincipalArn": "false"}}}),
        json!({"Condition": {"StringNotEquals": {"aws:SourceAccount": "123456789012"}}}),
        json!({"Condition": {"StringNotEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}}),
    ] {
        assert!(survives(change.clone()), "{change}");
    }
}

fn trail() -> TrailArn {
    "arn:aws:cloudtrail:eu-west-1:123456789012:trail/main"
        .parse()
        .unwrap()
}

const ACCOUNT: Delivery<'_> = Delivery {
    account: Some("123456789012"),
    trail: None,
    prefix: None,
};

/// Whether a trail of the account may write where its writing is allowed on `resource`.
fn writes_to(resource: &str, prefix: Option<&str>) -> bool {
    let mut policy = bucket_policy(&[]);
    policy["Statement"][1]["Resource"] = json!(resource);
    Delivery { prefix, ..ACCOUNT }.may_write(&policy, BUCKET)
}

#[test]
fn an_allowance_must_cover_the_log_files_of_the_account() {
    for (resource, prefix, lets) in [
        ("arn:aws:s3:::logs/AWSLogs/123456789012/*", Some(""), true),
        (
            "arn:aws:s3:::logs/AWSLogs/123456789012/CloudTrail*",
            Some(""),
            true,
        ),
        ("arn:aws:s3:::logs/AWSLogs/*", Some(""), true),
        ("arn:aws:s3:::logs/*", Some("audit"), true),
        ("*", Some("audit"), true),
        (
            "arn:aws:s3:::logs/audit/AWSLogs/123456789012/*",
            Some("audit"),
            true,
        ),
        (
            "arn:aws:s3:::logs/audit/AWSLogs/123456789012/*",
            Some("/audit/"),
            true,
        ),
        ("arn:aws:s3:::logs/audit/*", Some("audit"), true),
        // Another prefix, another account, and less than all.
        (
            "arn:aws:s3:::logs/AWSLogs/123456789012/*",
            Some("audit"),
            false,
        ),
        (
            "arn:aws:s3:::logs/other/AWSLogs/123456789012/*",
            Some("audit"),
            false,
        ),
        (
            "arn:aws:s3:::logs/other/AWSLogs/123456789012/*",
            Some(""),
            false,
        ),
        ("arn:aws:s3:::logs/AWSLogs/210987654321/*", Some(""), false),
        (
            "arn:aws:s3:::logs/AWSLogs/123456789012/Config/*",
            Some(""),
            false,
        ),
        (
            "arn:aws:s3:::logs/AWSLogs/123456789012/CloudTrail/*",
            Some(""),
            false,
        ),
        (
            "arn:aws:s3:::logs/AWSLogs/123456789012/*/eu-west-1/*",
            Some(""),
            false,
        ),
        // Nobody knows the prefix: it may be the one that the policy has before `AWSLogs`.
        ("arn:aws:s3:::logs/AWSLogs/123456789012/*", None, true),
        ("arn:aws:s3:::logs/audit/AWSLogs/123456789012/*", None, true),
        (
            "arn:aws:s3:::logs/audit/AWSLogs/210987654321/*",
            None,
            false,
        ),
        ("arn:aws:s3:::logs/nowhere/*", None, false),
        ("arn:aws:s3:::other/AWSLogs/123456789012/*", None, false),
    ] {
        assert_eq!(writes_to(resource, prefix), lets, "{resource} {prefix:?}");
    }
}

#[test]
fn a_denial_counts_where_it_reaches_the_log_files() {
    let denied = |change: Value, prefix| {
        let mut denial = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject"});
        let parts = denial.as_object_mut().unwrap();
        parts.extend(change.as_object().unwrap().clone());
        let mut policy = bucket_policy(&[denial]);
        policy["Statement"][1]["Resource"] = json!("arn:aws:s3:::logs/*");
        !Delivery { prefix, ..ACCOUNT }.may_write(&policy, BUCKET)
    };
    let on = |key: &str| json!({"Resource": format!("arn:aws:s3:::logs/{key}")});
    let but = |key: &str| json!({"NotResource": format!("arn:aws:s3:::logs/{key}")});
    for (change, prefix, hit) in [
        (on("other/*"), Some(""), false),
        (on("other/*"), None, true),
        (
            on("AWSLogs/123456789012/CloudTrail/eu-west-1/*"),
            Some(""),
            true,
        ),
        (on("audit/AWSLogs/*"), Some("audit"), true),
        (on("*.gz"), Some("audit"), true),
        (but("AWSLogs/*"), Some(""), false),
        (but("AWSLogs/*"), Some("audit"), true),
        (but("AWSLogs/*"), None, true),
        (but("*"), None, false),
    ] {
        assert_eq!(denied(change.clone(), prefix), hit, "{change} {prefix:?}");
    }
}

/// Whether CloudTrail may write where only calls with this condition may.
fn writes_if(delivery: Delivery<'_>, condition: &Value) -> bool {
    let mut policy = bucket_policy(&[]);
    policy["Statement"][0]["Condition"] = condition.clone();
    policy["Statement"][1]["Condition"] = condition.clone();
    delivery.may_write(&policy, BUCKET)
}

#[test]
fn a_condition_must_name_our_trail() {
    let trail = trail();
    let ours = Delivery {
        trail: Some(&trail),
        ..ACCOUNT
    };
    let main = trail.arn().as_str();
    let other = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other";
    let foreign = "arn:aws:cloudtrail:eu-west-1:210987654321:trail/main";
    for (operator, asked, of_trail, of_account) in [
        ("StringEquals", json!(main), true, true),
        ("ArnEquals", json!(main), true, true),
        ("ArnLike", json!([foreign, main]), true, true),
        (
            "StringLike",
            json!("arn:aws:cloudtrail:*:123456789012:trail/*"),
            true,
            true,
        ),
        (
            "ArnLike",
            json!("arn:*:cloudtrail:*:123456789012:*"),
            true,
            true,
        ),
        (
            "StringEqualsIgnoreCase",
            json!(main.to_uppercase()),
            true,
            false,
        ),
        ("StringLike", json!("arn:aws:cloudtrail:*"), true, false),
        // Another trail of the account is ours where nobody knows ours.
        ("StringEquals", json!(other), false, true),
        ("ArnLike", json!(other), false, true),
        (
            "StringLike",
            json!("arn:aws:cloudtrail:*:123456789012:trail/o*"),
            false,
            true,
        ),
        ("StringEquals", json!(foreign), false, false),
        ("ArnEquals", json!(foreign), false, false),
        ("StringEquals", json!("arn:aws:s3:::logs"), false, false),
        ("StringEquals", json!([]), false, false),
        // Only `Like` knows stars, and in an ARN none reaches over a colon.
        (
            "StringEquals",
            json!("arn:aws:cloudtrail:*:123456789012:trail/*"),
            false,
            false,
        ),
        ("ArnLike", json!("arn:aws:cloudtrail:*"), false, false),
        ("StringNotEquals", json!(main), false, false),
        ("StringNotEquals", json!(other), true, false),
        ("StringNotEquals", json!(foreign), true, true),
    ] {
        let condition = json!({operator: {"aws:SourceArn": asked}});
        assert_eq!(writes_if(ours, &condition), of_trail, "{condition}");
        assert_eq!(writes_if(ACCOUNT, &condition), of_account, "{condition}");
    }
    let unknown = Delivery::default();
    assert!(writes_if(
        unknown,
        &json!({"StringEquals": {"aws:SourceArn": foreign}})
    ));
}

#[test]
fn a_condition_must_name_our_account() {
    let of = |account: &str| json!({"StringEquals": {"AWS:SourceAccount": account}});
    assert!(writes_if(ACCOUNT, &of("123456789012")));
    assert!(!writes_if(ACCOUNT, &of("210987654321")));
    let trail = trail();
    let of_trail = Delivery {
        trail: Some(&trail),
        ..Delivery::default()
    };
    assert!(writes_if(of_trail, &of("123456789012")));
    assert!(!writes_if(of_trail, &of("210987654321")));
    assert!(writes_if(Delivery::default(), &of("210987654321")));
}

#[test]
fn a_key_policy_must_name_our_trail_too() {
    let trail = trail();
    let ours = Delivery {
        trail: Some(&trail),
        ..ACCOUNT
    };
    let encrypts = |asked: &str| {
        let allow = json!({"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "kms:GenerateDataKey*", "Resource": "*", "Condition": {"StringLike": {
                "kms:EncryptionContext:aws:cloudtrail:arn": asked}}});
        ours.may_encrypt(&json!({"Statement": [allow]}))
    };
    assert!(encrypts("arn:aws:cloudtrail:*:123456789012:trail/*"));
    assert!(!encrypts("arn:aws:cloudtrail:*:123456789012:trail/other"));
    assert!(!encrypts("arn:aws:cloudtrail:*:210987654321:trail/*"));
}

/// Whether the documented policy is no weaker with this statement more.
fn hardens(statement: &Value) -> bool {
    let trail = trail();
    let ours = Delivery {
        trail: Some(&trail),
        ..ACCOUNT
    };
    let recorded = bucket_policy(&[]);
    let policy = bucket_policy(std::slice::from_ref(statement));
    ours.is_no_weaker(&policy, &recorded, BUCKET)
}

fn denial(change: Value) -> Value {
    let mut denial = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                            "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]});
    let parts = denial.as_object_mut().unwrap();
    parts.extend(change.as_object().unwrap().clone());
    denial
}

#[test]
fn a_denial_that_reaches_neither_cloudtrail_nor_us_is_hardening() {
    for change in [
        json!({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
        json!({"Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}}),
        json!({"Action": ["s3:DeleteObject*", "s3:DeleteBucket*", "s3:PutObjectAcl"]}),
        json!({"Action": "s3:PutObject", "Condition": {"StringNotEquals": {
            "aws:PrincipalServiceName": "cloudtrail.amazonaws.com"}}}),
        json!({"Action": "s3:PutBucketAcl"}),
        json!({"Principal": {"AWS": "arn:aws:iam::123456789012:user/eve"}}),
        json!({"Principal": {"AWS": ["AIDACKCEVSQ6C2EXAMPLE", "210987654321"]}}),
        json!({"Principal": {"AWS": "arn:aws:iam::123456789012:role/eve"}}),
        json!({"Principal": {"AWS": "arn:aws:iam::210987654321:role/tourniquet/x"}}),
        json!({"Principal": {"Service": "config.amazonaws.com"}}),
        json!({"Condition": {
            "ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::123456789012:role/tourniquet/*",
                                                "arn:aws:iam::123456789012:role/admin"]},
            "Bool": {"aws:PrincipalIsAWSService": "false"}}}),
        json!({"Condition": {"ArnEquals": {
            "aws:PrincipalArn": "arn:aws:iam::123456789012:role/eve"}}}),
        json!({"Condition": {"StringNotEquals": {"aws:PrincipalAccount": "123456789012"},
                             "Bool": {"aws:PrincipalIsAWSService": "false"}}}),
        json!({"Condition": {"Null": {"aws:PrincipalTag/x": "false"},
                             "StringEquals": {"aws:SourceVpce": "vpce-1"}}}),
        json!({"Principal": {"Service": "cloudtrail.amazonaws.com"},
               "Condition": {"ArnNotEquals": {"aws:SourceArn": trail().to_string()}}}),
    ] {
        assert!(hardens(&denial(change.clone())), "{change}");
    }
}

#[test]
fn a_denial_that_reaches_cloudtrail_is_none() {
    for change in [
        json!({}),
        json!({"Principal": {"Service": "cloudtrail.amazonaws.com"}}),
        json!({"Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:PutObject"}),
        json!({"Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:GetBucketAcl"}),
        json!({"Action": "s3:PutObject", "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.3"}}}),
        json!({"Principal": {"Service": "cloudtrail.amazonaws.com"}, "Condition": {"StringNotLike": {
            "aws:SourceArn": "arn:aws:cloudtrail:eu-west-1:123456789012:trail/other"}}}),
        json!({"Principal": {"Service": "cloudtrail.amazonaws.com"}, "Condition": {
            "StringNotEquals": {"aws:SourceAccount": "210987654321"}}}),
    ] {
        assert!(!hardens(&denial(change.clone())), "{change}");
    }
}

#[test]
fn a_denial_that_may_reach_our_own_roles_is_none() {
    // CloudTrail is left out of each.
    let out = json!({"aws:PrincipalIsAWSService": "false"});
    let mut calls = OUR_CALLS.to_vec();
    calls.push("s3:GetObject");
    for call in calls {
        let change = json!({"Action": call, "Condition": {"Bool": out}});
        assert!(!hardens(&denial(change)), "{call}");
    }
    for change in [
        json!({"Principal": {"AWS": "123456789012"}}),
        json!({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}),
        json!({"Principal": {"AWS": "arn:aws:iam::123456789012:role/tourniquet/guard-check-trails"}}),
        json!({"Principal": {"AWS": "arn:aws:sts::123456789012:assumed-role/guard-check-trails/x"}}),
        json!({"Principal": {"AWS": "AROACKCEVSQ6C2EXAMPLE"}}),
        json!({"Principal": {"CanonicalUser": "79a59df900b949e55d96a1e698fbaced"}}),
        json!({"Condition": {"Bool": out,
            "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/admin"}}}),
        // Whether all of ours are spared, nobody knows.
        json!({"Condition": {"Bool": out,
            "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/tourniquet/guard-*"}}}),
        json!({"Condition": {"Bool": out, "ArnNotEquals": {
            "aws:PrincipalArn": "arn:aws:iam::123456789012:role/tourniquet/guard-check-trails"}}}),
        json!({"Condition": {"Bool": out, "StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}),
        json!({"Condition": {"Bool": out, "StringNotEquals": {"aws:SourceVpce": "vpce-1"}}}),
        json!({"Condition": {"Bool": out, "StringNotEquals": {"aws:PrincipalAccount": "2"}}}),
        json!({"Condition": {"Bool": out, "StringEquals": {"aws:PrincipalType": "AssumedRole"}}}),
        json!({"Condition": {"Bool": out, "NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}),
    ] {
        assert!(!hardens(&denial(change.clone())), "{change}");
    }
    let but = json!({"Effect": "Deny", "NotPrincipal": {"Service": "cloudtrail.amazonaws.com"},
                     "Action": "s3:*", "Resource": "*"});
    assert!(!hardens(&but));
}

#[test]
fn an_allowance_more_or_a_statement_less_is_no_hardening() {
    let allow = json!({"Effect": "Allow", "Principal": {"AWS": "210987654321"},
                       "Action": "s3:GetObject", "Resource": "arn:aws:s3:::logs/*"});
    assert!(!hardens(&allow));
    assert!(!hardens(&json!({"Effect": "deny", "Principal": "*"})));

    let tls = denial(json!({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}));
    let (open, strict) = (bucket_policy(&[]), bucket_policy(&[tls]));
    assert!(ACCOUNT.is_no_weaker(&strict, &open, BUCKET));
    assert!(ACCOUNT.is_no_weaker(&strict, &strict, BUCKET));
    assert!(!ACCOUNT.is_no_weaker(&open, &strict, BUCKET));
    let mut older = strict;
    older["Version"] = json!("2008-10-17");
    assert!(!ACCOUNT.is_no_weaker(&older, &open, BUCKET));
}

#[test]
fn a_key_policy_must_let_cloudtrail_encrypt() {
    let allow = json!({"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": "kms:GenerateDataKey*", "Resource": "*", "Condition": {"StringLike": {
            "kms:EncryptionContext:aws:cloudtrail:arn": "arn:aws:cloudtrail:*:123456789012:trail/*"}}});
    let root = json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                      "Action": "kms:*", "Resource": "*"});
    let deny = |principal: Value| {
        json!({"Effect": "Deny", "Principal": principal,
        "Action": "kms:*", "Resource": "arn:aws:kms:eu-west-1:123456789012:key/k"})
    };
    let lets =
        |statements: Value| Delivery::default().may_encrypt(&json!({"Statement": statements}));
    assert!(lets(json!([root, allow])));
    assert!(!lets(json!([root])));
    assert!(!lets(json!([root, allow, deny(json!("*"))])));
    assert!(lets(json!([
        root,
        allow,
        deny(json!({"AWS": "123456789012"}))
    ])));
}

#[test]
fn policies_that_mean_the_same_are_the_same() {
    let one = json!({"Version": "2012-10-17", "Id": "x", "Statement": [
        {"Sid": "a", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
         "Resource": ["a", "b"], "Condition": {"Bool": {"aws:SecureTransport": false}}},
        {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::123456789012:root"]},
         "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "a"}
    ]});
    let other = json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "b", "Effect": "Allow", "Principal": {"AWS": "123456789012"},
         "Action": ["s3:putobject", "s3:GetObject"], "Resource": ["a"]},
        {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["s3:*"],
         "Resource": ["b", "a"], "Condition": {"bool": {"AWS:SecureTransport": ["false"]}}}
    ]});
    assert!(same(&one, &other));
    let single = json!({"Version": "2012-10-17", "Statement": one["Statement"][0]});
    let listed = json!({"Version": "2012-10-17", "Statement": [one["Statement"][0]]});
    assert!(same(&single, &listed));
}

#[test]
fn policies_that_differ_in_what_they_mean_are_not_the_same() {
    let policy = bucket_policy(&[]);
    let changed = |pointer: &str, value: Value| {
        let mut changed = policy.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        !same(&policy, &changed)
    };
    assert!(changed("/Statement/0/Effect", json!("Deny")));
    assert!(changed("/Statement/0/Resource", json!("arn:aws:s3:::Logs")));
    assert!(changed("/Statement/0/Principal", json!("*")));
    assert!(changed("/Statement/0/Condition/StringEquals", json!({})));
    assert!(changed("/Version", json!("2008-10-17")));
    assert!(!same(&policy, &json!(null)));
}
