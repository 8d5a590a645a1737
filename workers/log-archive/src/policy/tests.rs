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
    lets_cloudtrail_write(policy, BUCKET)
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
    assert!(!lets_cloudtrail_write(&bucket_policy(&[]), "other"));
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
    let lets = |statements: Value| lets_cloudtrail_encrypt(&json!({"Statement": statements}));
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
