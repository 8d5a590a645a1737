//! What the template promises beyond the machines: rules, parameters, roles, logs, the ledger.

use std::collections::{BTreeMap, BTreeSet};

use incident::RESPONDER_ROLES;
use serde_json::Value;

use super::Project;
use crate::template::{Resource, Statement, Template, each, entries, filled, text};

/// An event older than this, in seconds, must not start containment any more.
const OLDEST_EVENT: u64 = 900;

/// What whoever deploys must choose.
const MUST_CHOOSE: [&str; 3] = ["BreakGlassArns", "Mode", "NeverBlockCidrs"];

/// Every rule pins `source` to AWS, whom nobody can imitate, and every target keeps what it cannot
/// deliver and forgets what is old.
pub(super) fn rules(project: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    for rule in project.template.of_type("AWS::Events::Rule") {
        let id = rule.id;
        let pattern = &rule.properties["EventPattern"];
        let only_by_schedule =
            pattern.is_null() && !rule.properties["ScheduleExpression"].is_null();
        if !only_by_schedule && !is_from_aws(pattern) {
            violations.push(format!("{id} does not pin `source` to `aws.…`"));
        }
        if each(&rule.properties["Targets"]).is_empty() {
            violations.push(format!("{id} has no target"));
        }
        for target in each(&rule.properties["Targets"]) {
            violations.extend(of_target(id, target));
            if !may_start(&project.template, target) {
                violations.push(format!("{id} has a target that its role may not start"));
            }
            if !may_be_kept(&project.template, rule, &target["DeadLetterConfig"]["Arn"]) {
                violations.push(format!("{id} may not write to its dead-letter queue"));
            }
        }
    }
    for resource in project.template.resources() {
        for (name, event) in entries(&resource.properties["Events"]) {
            let id = format!("{}'s {name}", resource.id);
            let kind = event["Type"].as_str().unwrap_or_default();
            if !kind.starts_with("Schedule") && !is_from_aws(&event["Properties"]["Pattern"]) {
                violations.push(format!("{id} does not pin `source` to `aws.…`"));
            }
            violations.extend(of_target(&id, &event["Properties"]));
        }
    }
    violations
}

fn is_from_aws(pattern: &Value) -> bool {
    // Where a name in it is a parameter, the pattern is a text.
    let read = match filled(pattern, &|_| Some("x".to_owned())) {
        Ok(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
        Ok(pattern) => pattern,
        Err(_) => Value::Null,
    };
    let sources = each(&read["source"]);
    let from_aws = |source: &Value| source.as_str().is_some_and(|it| it.starts_with("aws."));
    !sources.is_empty() && sources.iter().all(from_aws)
}

fn of_target(rule: &str, target: &Value) -> Vec<String> {
    let mut violations = Vec::new();
    if target["DeadLetterConfig"].is_null() {
        violations.push(format!("{rule} has a target without DeadLetterConfig"));
    }
    let age = &target["RetryPolicy"]["MaximumEventAgeInSeconds"];
    if age.as_u64().is_none_or(|age| age > OLDEST_EVENT) {
        violations.push(format!(
            "{rule} has a target that takes events older than {OLDEST_EVENT} s"
        ));
    }
    violations
}

fn may_start(template: &Template, target: &Value) -> bool {
    let machine = template.referred(&target["Arn"]);
    let role = template.referred(&target["RoleArn"]);
    let (Some(machine), Some(role)) = (machine, role) else {
        return false;
    };
    template
        .statements(role)
        .filter(|statement| statement.allows("states:StartExecution"))
        .flat_map(Statement::resources)
        .any(|resource| {
            template
                .referred(resource)
                .is_some_and(|it| it.id == machine.id)
        })
}

/// Whether the queue's policy lets this rule in.
fn may_be_kept(template: &Template, rule: Resource<'_>, queue: &Value) -> bool {
    let is = |value: &Value, id: &str| template.referred(value).is_some_and(|it| it.id == id);
    let Some(queue) = template.referred(queue) else {
        return false;
    };
    template
        .of_type("AWS::SQS::QueuePolicy")
        .filter(|policy| {
            each(&policy.properties["Queues"])
                .iter()
                .any(|it| is(it, queue.id))
        })
        .flat_map(|policy| Statement::of(&policy.properties["PolicyDocument"]))
        .filter(|statement| statement.allows("sqs:SendMessage"))
        .flat_map(|statement| each(&statement.condition()["ArnEquals"]["aws:SourceArn"]))
        .any(|source| is(source, rule.id))
}

/// Every parameter says what it is, and what only the deployer can know has no default.
pub(super) fn parameters(project: &Project) -> Vec<String> {
    let mut violations = Vec::new();
    let parameters: BTreeMap<_, _> = project.template.section("Parameters").collect();
    for (name, parameter) in &parameters {
        if parameter["Description"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            violations.push(format!("{name} has no Description"));
        }
    }
    for name in MUST_CHOOSE {
        match parameters.get(name) {
            None => violations.push(format!("there is no parameter {name}")),
            Some(parameter) if parameter.get("Default").is_some() => {
                violations.push(format!("{name} has a Default"));
            }
            Some(_) => {}
        }
    }
    violations
}

/// Every function and machine has a role of its own, and no role may do anything it likes.
pub(super) fn roles(project: &Project) -> Vec<String> {
    let template = &project.template;
    let mut violations = Vec::new();
    let mut users: BTreeMap<&str, &str> = BTreeMap::new();
    let functions = template.of_type("AWS::Serverless::Function");
    for user in functions.chain(template.of_type("AWS::Serverless::StateMachine")) {
        let role = template.referred(&user.properties["Role"]);
        match role.filter(|role| role.kind == "AWS::IAM::Role") {
            None => violations.push(format!("{} has no role of the template", user.id)),
            Some(role) => {
                if let Some(other) = users.insert(role.id, user.id) {
                    violations.push(format!("{} shares its role with {other}", user.id));
                }
            }
        }
    }
    for role in template.of_type("AWS::IAM::Role") {
        for statement in template.statements(role) {
            let wide = |action: &str| {
                action.starts_with('*')
                    || action.to_ascii_lowercase().starts_with("iam:")
                        && action.contains(['*', '?'])
            };
            for action in statement.actions().filter(|action| wide(action)) {
                violations.push(format!("{} allows `{action}`", role.id));
            }
            if statement.allows_all_but() {
                violations.push(format!("{} allows everything but some actions", role.id));
            }
        }
    }
    violations
}

/// Logs are kept for a set time; machines log what happened, not the data it happened to.
pub(super) fn logs(project: &Project) -> Vec<String> {
    let template = &project.template;
    let mut violations = Vec::new();
    for group in template.of_type("AWS::Logs::LogGroup") {
        if group.properties["RetentionInDays"].is_null() {
            violations.push(format!("{} keeps its logs for ever", group.id));
        }
    }
    let group = |value: &Value| {
        template
            .referred(value)
            .is_some_and(|it| it.kind == "AWS::Logs::LogGroup")
    };
    for machine in template.of_type("AWS::Serverless::StateMachine") {
        let logging = &machine.properties["Logging"];
        if logging["IncludeExecutionData"] != Value::Bool(false) {
            violations.push(format!("{} may log its data", machine.id));
        }
        let destinations = each(&logging["Destinations"]);
        if destinations.is_empty()
            || !destinations
                .iter()
                .all(|it| group(&it["CloudWatchLogsLogGroup"]["LogGroupArn"]))
        {
            violations.push(format!(
                "{} does not log to a group of the template",
                machine.id
            ));
        }
    }
    for function in template.of_type("AWS::Serverless::Function") {
        if !group(&function.properties["LoggingConfig"]["LogGroup"]) {
            violations.push(format!(
                "{} does not log to a group of the template",
                function.id
            ));
        }
    }
    violations
}

/// What the workers remember can be restored, is not deleted by a slip, is forgotten in time, and
/// needs no key that an attacker could disable.
pub(super) fn ledger(project: &Project) -> Vec<String> {
    let template = &project.template;
    let setting = &template.0["Globals"]["Function"]["Environment"]["Variables"]["LEDGER_TABLE"];
    let ledger = template.referred(setting);
    let Some(ledger) = ledger.filter(|it| it.kind == "AWS::DynamoDB::Table") else {
        return vec!["LEDGER_TABLE is no table of the template for every function".to_owned()];
    };
    let is_on = |value: &Value| *value == Value::Bool(true);
    let table = ledger.properties;
    let expiry = &table["TimeToLiveSpecification"];
    let backups = &table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"];
    let mut violations = Vec::new();
    for (broken, why) in [
        (!is_on(backups), "has no point-in-time recovery"),
        (
            !is_on(&table["DeletionProtectionEnabled"]),
            "may be deleted",
        ),
        (
            !is_on(&expiry["Enabled"]) || expiry["AttributeName"] != "expiresAt",
            "does not forget at `expiresAt`",
        ),
        (
            !table["SSESpecification"]["KMSMasterKeyId"].is_null(),
            "depends on a key of the customer's",
        ),
    ] {
        if broken {
            violations.push(format!("{} {why}", ledger.id));
        }
    }
    violations
}

/// `RESPONDER_ROLES`, by which the workers know whom they must never contain, names every role of
/// the template and nothing else.
pub(super) fn responder_roles(project: &Project) -> Vec<String> {
    let template = &project.template;
    let listed = BTreeSet::from(RESPONDER_ROLES);
    let mut roles = BTreeSet::new();
    let mut violations = Vec::new();
    for role in template.of_type("AWS::IAM::Role") {
        match name_in_stack(role) {
            Some(name) if listed.contains(name.as_str()) => {
                roles.insert(name);
            }
            Some(name) => violations.push(format!("RESPONDER_ROLES lacks {}, {name}", role.id)),
            None => violations.push(format!(
                "{} is not called ${{AWS::StackName}}-… under /tourniquet/",
                role.id
            )),
        }
    }
    for name in listed {
        if !roles.contains(name) {
            violations.push(format!("RESPONDER_ROLES has {name}, which is no role here"));
        }
    }
    violations
}

/// A role's name without the stack's.
fn name_in_stack(role: Resource<'_>) -> Option<String> {
    let name = text(&role.properties["RoleName"])?;
    let name = name.strip_prefix("${AWS::StackName}-")?;
    (role.text("Path")? == "/tourniquet/").then(|| name.to_owned())
}
