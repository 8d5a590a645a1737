//! What is compiled into the workers against what is deployed, and how large that may become.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Project, kebab, wiring};
use crate::template::{Resource, Template, each, entries, filled, text};

/// The longest pattern that EventBridge takes, in characters.
const LONGEST_PATTERN: usize = 2_048;

/// The most that Lambda takes of a function's variables, in bytes of JSON.
const LARGEST_ENVIRONMENT: usize = 4_096;

/// How many ARNs of 64 characters the contract on sizes assumes in each list. Whoever needs more
/// learns from CloudFormation that they do not fit, before anything is deployed.
const LISTED: [(&str, usize); 7] = [
    ("BreakGlassArns", 2),
    ("OperatorRoleArns", 3),
    ("WorkloadRoleArns", 8),
    ("SharedRoleArns", 2),
    ("CiRoleArns", 2),
    ("DeployRoleArns", 2),
    ("IamAdminArns", 3),
];

/// The rules that the workers compare and restore are those of the template, all and exactly.
pub(super) fn rules(project: &Project) -> Vec<String> {
    let compiled: BTreeMap<_, _> = entries(&project.detection).collect();
    let mut violations = Vec::new();
    let mut deployed = BTreeSet::new();
    for rule in project.template.of_type("AWS::Events::Rule") {
        deployed.insert(rule.id);
        match compiled.get(rule.id) {
            None => violations.push(format!("detection does not know {}", rule.id)),
            Some(known) => {
                let fields = entries(rule.properties).chain(entries(known));
                let fields: BTreeSet<_> = fields.map(|(field, _)| field).collect();
                for field in fields {
                    if known.get(field) != rule.properties.get(field) {
                        violations.push(format!("detection has another {field} of {}", rule.id));
                    }
                }
            }
        }
    }
    for id in compiled.keys().filter(|id| !deployed.contains(*id)) {
        violations.push(format!(
            "detection has {id}, which is no rule of the template"
        ));
    }
    violations
}

/// The judgement and the restoration know our own resources by name: a function has its worker's
/// and its role's, a machine and a rule their logical id's, a machine's role `machine-` before it,
/// and every rule starts its target by the role `events`.
pub(super) fn names(project: &Project) -> Vec<String> {
    let template = &project.template;
    let mut violations = Vec::new();
    let mut expect = |resource: Resource<'_>, field: &str, name: &str| {
        let expected = format!("${{AWS::StackName}}-{name}");
        if text(&resource.properties[field]).as_ref() != Some(&expected) {
            violations.push(format!("{}'s {field} is not {expected}", resource.id));
        }
    };
    for function in template.of_type("AWS::Serverless::Function") {
        let worker = wiring::worker_in(function).unwrap_or_default();
        expect(function, "FunctionName", worker);
        if let Some(role) = template.referred(&function.properties["Role"]) {
            expect(role, "RoleName", worker);
        }
    }
    for machine in template.of_type("AWS::Serverless::StateMachine") {
        let name = kebab(machine.id);
        expect(machine, "Name", &name);
        if let Some(role) = template.referred(&machine.properties["Role"]) {
            expect(role, "RoleName", &format!("machine-{name}"));
        }
    }
    for rule in template.of_type("AWS::Events::Rule") {
        expect(rule, "Name", &kebab(rule.id));
        for target in each(&rule.properties["Targets"]) {
            if let Some(role) = template.referred(&target["RoleArn"]) {
                expect(role, "RoleName", "events");
            }
        }
    }
    violations.sort();
    violations.dedup();
    violations
}

/// Patterns and variables fit, under the longest names and with the lists in [`LISTED`].
pub(super) fn limits(project: &Project) -> Vec<String> {
    let template = &project.template;
    let given = |name: &str| longest(template, name);
    let mut violations = Vec::new();
    let mut measure = |what: &str, value: &Value, limit: usize| match filled(value, &given) {
        Err(name) => violations.push(format!("{what}: how long {name} becomes is not known")),
        Ok(value) if value.to_string().chars().count() > limit => {
            violations.push(format!("{what} may have more than {limit} characters"));
        }
        Ok(_) => {}
    };
    for rule in template.of_type("AWS::Events::Rule") {
        let what = format!("{}'s pattern", rule.id);
        measure(&what, &rule.properties["EventPattern"], LONGEST_PATTERN);
    }
    let common = &template.0["Globals"]["Function"]["Environment"]["Variables"];
    for function in template.of_type("AWS::Serverless::Function") {
        let own = &function.properties["Environment"]["Variables"];
        let all: Map<_, _> = entries(common)
            .chain(entries(own))
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        let what = format!("{}'s variables", function.id);
        measure(&what, &Value::Object(all), LARGEST_ENVIRONMENT);
    }
    violations
}

/// The longest value that a name may stand for; a parameter that is not here stands for its default.
fn longest(template: &Template, name: &str) -> Option<String> {
    const PLACE: &str = "ap-southeast-1:123456789012";
    let arn =
        |service: &str, resource: &str| format!("arn:aws-us-gov:{service}:{PLACE}:{resource}");
    // CloudFormation makes a name of the stack's, the logical id and a suffix.
    let made = |id: &str| format!("{}-{id}-{}", "s".repeat(36), "X".repeat(13));
    if let Some((_, count)) = LISTED.into_iter().find(|(list, _)| *list == name) {
        return Some(vec!["a".repeat(64); count].join(","));
    }
    Some(match name {
        "AWS::AccountId" => "123456789012".to_owned(),
        "AWS::Partition" => "aws-us-gov".to_owned(),
        "AWS::Region" => "ap-southeast-1".to_owned(),
        "AWS::StackName" => "s".repeat(36),
        "DecoyAttribute" => "d".repeat(32),
        "DecoyKeys" => "k".repeat(300),
        "DecoyValues" => vec!["v".repeat(36); 6].join(","),
        "DistributionId" => "E".repeat(14),
        "Ledger" | "Quarantine" => made(name),
        "Mode" => "observe".to_owned(),
        "ApiAlarmNames" => vec!["a".repeat(40); 3].join(","),
        "IpSetV4Arn" | "IpSetV6Arn" | "WebAclArn" => arn(
            "wafv2",
            &format!("regional/webacl/{}/{}", "w".repeat(32), "i".repeat(36)),
        ),
        "ProtectedSubjects" => vec!["s".repeat(36); 10].join(","),
        "UserPoolClientIds" => vec!["c".repeat(26); 3].join(","),
        "UserPoolId" => format!("ap-southeast-1_{}", "p".repeat(9)),
        "NeverBlockCidrs" => vec!["192.168.100.0/24"; 40].join(","),
        "Topic" => arn("sns", &made(name)),
        "PatientsTableArn" => arn("dynamodb", &format!("table/{}", "p".repeat(64))),
        "SiteBucketName" | "TrailBucketName" => "b".repeat(63),
        "TrailArn" => arn("cloudtrail", &format!("trail/{}", "t".repeat(32))),
        "TrailKeyArn" => arn("kms", &format!("key/{}", "k".repeat(36))),
        "ApiLogGroupName" | "DenyListTableName" | "TrailLogGroupName" | "WafLogGroupName" => {
            "l".repeat(64)
        }
        "TrailLogsRoleArn" => "r".repeat(64),
        "UndeliveredEvents.Arn" => arn("sqs", &made("UndeliveredEvents")),
        _ => match &template.0["Parameters"][name]["Default"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        },
    })
}
