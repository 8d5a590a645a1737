//! Calls on the responder itself: its rules, its machines and their buttons, its functions, roles,
//! ledger, topic, queue and stack.

use detection::Rule;
use incident::{Actor, Arn};
use serde_json::Value;

use crate::call::{Aim, Case, Effect, Touched};

/// How a human repairs what only a deployment can.
const DEPLOY_AGAIN: &str =
    "deploy this stack again from a source you trust, then look for what else was changed";

/// What `infra/forward-global-events.yaml` deploys is named after this, and its rules by these.
const FORWARD: &str = "forward-";
const FORWARDING: [&str; 2] = ["changes", "sessions"];

pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let name = case.name();
    match case.call.service.as_str() {
        "events.amazonaws.com" => rule(case),
        "states.amazonaws.com" => match name {
            "StartExecution" | "StartSyncExecution" | "RedriveExecution" => Some(button(case)),
            "StopExecution" => Some(stopped(case)),
            "UpdateStateMachine" | "DeleteStateMachine" => Some(resource(
                "a state machine of the responder",
                machine_aim(case, "stateMachineArn", 6, ":stateMachine:"),
            )),
            _ => None,
        },
        "lambda.amazonaws.com" => function(case),
        "dynamodb.amazonaws.com" => matches!(
            name,
            "DeleteTable"
                | "UpdateTable"
                | "UpdateContinuousBackups"
                | "UpdateTimeToLive"
                | "PutResourcePolicy"
                | "DeleteResourcePolicy"
        )
        .then(|| resource("the responder's ledger", table_aim(case))),
        "monitoring.amazonaws.com" => alarms(case),
        "sns.amazonaws.com" => topic(case),
        "sqs.amazonaws.com" => matches!(name, "DeleteQueue" | "PurgeQueue" | "SetQueueAttributes")
            .then(|| {
                resource(
                    "the responder's queue of undelivered events",
                    queue_aim(case),
                )
            }),
        "iam.amazonaws.com" => matches!(
            name,
            "AttachRolePolicy"
                | "DetachRolePolicy"
                | "PutRolePolicy"
                | "DeleteRolePolicy"
                | "DeleteRole"
                | "UpdateAssumeRolePolicy"
                | "PutRolePermissionsBoundary"
                | "DeleteRolePermissionsBoundary"
        )
        .then(|| role(case)),
        "cloudformation.amazonaws.com" => stack(case),
        _ => None,
    }
}

fn resource(thing: &'static str, aim: Aim) -> Touched {
    Touched::new(thing, aim, |case| match deployment(case, described) {
        Some(effect) => effect,
        None => Effect::beyond_repair(described(case), DEPLOY_AGAIN),
    })
}

/// What was done, with the API's name, which says it best.
fn described(case: &Case<'_>) -> String {
    let thing = touched(case).map_or("the responder", |touched| touched.thing);
    format!("{thing} was changed ({})", case.name())
}

/// Whether a change is a deployment: by a deploy role through CloudFormation, or of the stack
/// itself. Where nobody is named who deploys, a human has to say whether it was one.
pub(crate) fn deployment(case: &Case<'_>, described: fn(&Case<'_>) -> String) -> Option<Effect> {
    const CLOUDFORMATION: &str = "cloudformation.amazonaws.com";
    let call = case.call;
    let through =
        call.service == CLOUDFORMATION || call.invoked_by.as_deref() == Some(CLOUDFORMATION);
    let deployers = &case.watch.ours.deployers;
    if !through {
        return None;
    }
    if deployers.is_empty() {
        return Some(Effect::Unclear(format!(
            "{} through CloudFormation; whether that was a deployment of yours is not known, since \
             no deploy role is configured",
            described(case)
        )));
    }
    let deployer = matches!(&call.actor, Actor::Role { arn, .. } if deployers.contains(arn));
    deployer.then(|| Effect::Harmless("a deployment by a deploy role".to_owned()))
}

fn rule(case: &Case<'_>) -> Option<Touched> {
    let (parameter, effect): (_, fn(&Case<'_>) -> Effect) = match case.name() {
        "DisableRule" => ("name", |case| of_rule(case, "was disabled")),
        "DeleteRule" => ("name", |case| of_rule(case, "was deleted")),
        "EnableRule" => ("name", enabled),
        "PutRule" => ("name", put_rule),
        "PutTargets" => ("rule", put_targets),
        "RemoveTargets" => ("rule", remove_targets),
        _ => return None,
    };
    let bus = case.given("eventBusName").unwrap_or("default");
    let rules = &case.watch.ours.rules;
    let aim = match case.given(parameter) {
        _ if bus != "default" && !bus.ends_with(":event-bus/default") => Aim::Other,
        Some(given) if is_forwarding_rule(case, given) => {
            let thing = "a rule that forwards events to the responder";
            return Some(Touched::new(thing, Aim::Watched, forwarding));
        }
        Some(given) => Aim::at(rules.iter().any(|rule| rule.name == given)),
        None => Aim::Unsaid(format!(":rule/{}-", case.watch.ours.stack), ":rule/"),
    };
    Some(Touched::new("a rule of the responder", aim, effect))
}

fn of_rule(case: &Case<'_>, what: &str) -> Effect {
    let given = case.given("name").or(case.given("rule"));
    deployment(case, described).unwrap_or_else(|| {
        Effect::tampering(format!("our rule {} {what}", given.unwrap_or("unknown")))
    })
}

/// To enable a rule ends what it was told to take beside changes: calls that read, such as `AssumeRole`.
fn enabled(case: &Case<'_>) -> Effect {
    let given = case.given("name").unwrap_or_default();
    let rule = case.watch.ours.rules.iter().find(|rule| rule.name == given);
    if rule.is_some_and(|rule| rule.takes_reads) {
        return of_rule(case, "was enabled without the calls that read");
    }
    Effect::Harmless(format!("our rule {given} was enabled"))
}

/// Whether a name is that of a rule which `infra/forward-global-events.yaml` deploys in a region. Ours
/// is none of those: there its events arrive.
fn is_forwarding_rule(case: &Case<'_>, name: &str) -> bool {
    let own = case.watch.ours.own(name);
    let kind = own.and_then(|own| own.strip_prefix(FORWARD));
    kind.is_some_and(|kind| FORWARDING.contains(&kind))
        && home(case) != Some(case.call.region.as_str())
}

/// The region from which the role of that template forwards events; none when a role is not one.
/// IAM keeps names unique whatever their case.
fn forwards_from(case: &Case<'_>, role: &str) -> Option<String> {
    let role = role.to_ascii_lowercase();
    let start = format!("{}-{FORWARD}", case.watch.ours.stack).to_ascii_lowercase();
    let region = role.strip_prefix(&start)?;
    let mut parts = region.rsplit('-');
    let number = parts.next()?;
    let is_region = parts.clone().count() >= 2
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()));
    (is_region && home(case) != Some(region)).then(|| region.to_owned())
}

/// The region that the responder runs in.
fn home<'a>(case: &Case<'a>) -> Option<&'a str> {
    case.watch.ours.rules.first()?.arn.split(':').nth(3)
}

/// What is recorded in another region does not arrive any more.
fn forwarding(case: &Case<'_>) -> Effect {
    deployment(case, described).unwrap_or_else(|| {
        let role = case.given("roleName");
        let name = role.or(case.given("name")).or(case.given("rule"));
        let from = role.and_then(|role| forwards_from(case, role));
        let from = from.as_deref().unwrap_or(&case.call.region);
        let (stack, home) = (&case.watch.ours.stack, home(case));
        Effect::beyond_repair(
            format!(
                "{}: {} of {from}",
                described(case),
                name.unwrap_or("unknown")
            ),
            format!(
                "until it is put right, what is recorded in {from} may not arrive. CloudFormation does \
                 not mend what was changed beside it, so by a deploy role: aws cloudformation \
                 delete-stack --region {from} --stack-name {stack}-forward; then, from a source you \
                 trust: sam deploy --region {from} --template-file infra/forward-global-events.yaml \
                 --stack-name {stack}-forward --resolve-s3 --capabilities CAPABILITY_NAMED_IAM \
                 --parameter-overrides HomeRegion={} StackName={stack} NotificationEmail=<whom to \
                 tell>. Then look in that region for what was done meanwhile: aws cloudtrail \
                 lookup-events --region {from}",
                home.unwrap_or("<the responder's region>")
            ),
        )
    })
}

/// The rule that a call was aimed at, as it was deployed.
fn deployed<'a>(case: &Case<'a>, parameter: &str) -> Option<&'a Rule> {
    let given = case.given(parameter)?;
    case.watch.ours.rules.iter().find(|rule| rule.name == given)
}

fn put_rule(case: &Case<'_>) -> Effect {
    let state = case.given("state").unwrap_or("ENABLED");
    let pattern = case
        .given("eventPattern")
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let as_deployed = deployed(case, "name").is_some_and(|rule| {
        // More than it was deployed to take is no harm.
        (state == rule.state().as_str() || (!rule.takes_reads && state.starts_with("ENABLED")))
            && rule.pattern == pattern
            && rule.schedule.as_deref() == case.given("scheduleExpression")
    });
    if as_deployed {
        return Effect::Harmless("the rule was put as it was deployed".to_owned());
    }
    of_rule(case, "was replaced")
}

fn put_targets(case: &Case<'_>) -> Effect {
    let targets = case.call.request["targets"].as_array();
    let ours = deployed(case, "rule").map(|rule| &rule.target);
    let only_ours = ours.zip(targets).is_some_and(|(ours, targets)| {
        targets.iter().all(|target| {
            target["id"] == ours.id.as_str()
                && target["arn"] == ours.arn.as_str()
                && ["input", "inputPath", "inputTransformer"]
                    .iter()
                    .all(|change| target[change].is_null())
        })
    });
    if only_ours {
        return Effect::Harmless("the rule was given the target it was deployed with".to_owned());
    }
    of_rule(case, "was given other targets")
}

/// The machine that an ARN names at one of its colons: version and alias follow its name.
fn machine_of(arn: Option<&str>, part: usize) -> Option<&str> {
    arn?.split(':').nth(part)
}

fn remove_targets(case: &Case<'_>) -> Effect {
    let ids = case.call.request["ids"].as_array();
    let ours = deployed(case, "rule").map(|rule| rule.target.id.as_str());
    let only_foreign = ours
        .zip(ids)
        .is_some_and(|(ours, ids)| ids.iter().all(|id| id != ours));
    if only_foreign {
        return Effect::Harmless("the rule lost targets that it was not deployed with".to_owned());
    }
    of_rule(case, "lost targets")
}

/// What names a machine in a call that starts it: a redrive names the execution.
fn started(case: &Case<'_>) -> (&'static str, &'static str) {
    match case.name() {
        "RedriveExecution" => ("executionArn", ":execution:"),
        _ => ("stateMachineArn", ":stateMachine:"),
    }
}

fn machine_aim(case: &Case<'_>, parameter: &str, part: usize, kind: &'static str) -> Aim {
    let ours = &case.watch.ours;
    match machine_of(case.given(parameter), part) {
        Some(name) => Aim::at(ours.has_machine(name)),
        None => Aim::Unsaid(format!("{kind}{}-", ours.stack), kind),
    }
}

/// What an operator starts by hand: a baseline decides what tampering is.
fn button(case: &Case<'_>) -> Touched {
    let (parameter, kind) = started(case);
    Touched::new("a runbook", machine_aim(case, parameter, 6, kind), |case| {
        let ours = &case.watch.ours;
        let name = machine_of(case.given(started(case).0), 6).unwrap_or_default();
        let machine = ours.own(name).unwrap_or_default();
        let tiers = &case.watch.tiers;
        if tiers.is_operator(&case.call.actor) {
            return Effect::Harmless(format!("{machine} was started by an operator"));
        }
        if machine != "record-baseline" {
            // Triage and the heartbeat start runbooks.
            return if tiers.is_responder(&case.call.actor) {
                Effect::Harmless(format!("{machine} was started by the responder itself"))
            } else {
                Effect::Unclear(format!("{machine} was started by none of the operators"))
            };
        }
        if !tiers.has_operators() {
            return Effect::Unclear(
                "a baseline was recorded, and whether by an operator is not known, since none is \
                 configured (OperatorRoleArns)"
                    .to_owned(),
            );
        }
        Effect::beyond_repair(
            "record-baseline was started",
            "compare the trail and its log archive with what you know they should be, put them \
             right, and have an operator record the baseline again",
        )
    })
}

fn stopped(case: &Case<'_>) -> Touched {
    Touched::new(
        "an execution of the responder",
        machine_aim(case, "executionArn", 6, ":execution:"),
        |case| {
            if case.watch.tiers.is_operator(&case.call.actor) {
                return Effect::Harmless("an operator stopped an execution".to_owned());
            }
            Effect::beyond_repair(
                "an execution of the responder was stopped",
                format!(
                    "start it again with New execution and the same input: {}",
                    case.given("executionArn").unwrap_or("unknown")
                ),
            )
        },
    )
}

fn function(case: &Case<'_>) -> Option<Touched> {
    // Lambda writes the version of its API behind the name: UpdateFunctionCode20150331v2.
    let name = case.name();
    let api = name.split(|c: char| c.is_ascii_digit()).next();
    let api = api.unwrap_or_default();
    if !matches!(
        api,
        "UpdateFunctionCode"
            | "UpdateFunctionConfiguration"
            | "DeleteFunction"
            | "PutFunctionConcurrency"
    ) {
        return None;
    }
    let aim = match case.given("functionName") {
        Some(given) => {
            let (_, name) = given.rsplit_once(":function:").unwrap_or(("", given));
            let name = name.split(':').next().unwrap_or_default();
            Aim::at(case.watch.ours.has_function(name))
        }
        None => Aim::Unsaid(
            format!(":function:{}-", case.watch.ours.stack),
            ":function:",
        ),
    };
    Some(resource("a function of the responder", aim))
}

fn table_aim(case: &Case<'_>) -> Aim {
    let given = case.given("tableName").or(case.given("resourceArn"));
    match (&case.watch.ours.table, given) {
        (None, _) => Aim::Nothing,
        (Some(table), Some(given)) => Aim::at(last(given, '/') == table),
        (Some(table), None) => Aim::Unsaid(format!(":table/{table}"), ":table/"),
    }
}

/// Alarms tell people what no event does. They are named after the stack.
fn alarms(case: &Case<'_>) -> Option<Touched> {
    if !matches!(
        case.name(),
        "DeleteAlarms" | "DisableAlarmActions" | "PutMetricAlarm" | "PutAlarmMuteRule"
    ) {
        return None;
    }
    let start = format!("{}-", case.watch.ours.stack);
    let request = &case.call.request;
    let listed = request["alarmNames"].as_array().into_iter().flatten();
    let listed = listed.chain(
        request["muteTargets"]["alarmNames"]
            .as_array()
            .into_iter()
            .flatten(),
    );
    let mut named = listed
        .filter_map(Value::as_str)
        .chain(case.given("alarmName"))
        .peekable();
    let aim = match named.peek() {
        Some(_) => Aim::at(named.any(|name| name.starts_with(&start))),
        None => Aim::Unsaid(format!(":alarm:{start}"), ":alarm:"),
    };
    Some(resource("an alarm of the responder", aim))
}

fn topic(case: &Case<'_>) -> Option<Touched> {
    let aim = match &case.watch.ours.topic {
        None => Aim::Nothing,
        Some(topic) => topic_aim(case, topic),
    };
    match case.name() {
        "DeleteTopic"
        | "SetTopicAttributes"
        | "AddPermission"
        | "RemovePermission"
        | "PutDataProtectionPolicy" => Some(resource("the responder's topic", aim)),
        "Unsubscribe" | "SetSubscriptionAttributes" => Some(Touched::new(
            "a subscription to the responder's topic",
            aim,
            |case| {
                deployment(case, described).unwrap_or_else(|| {
                    Effect::Unclear(
                        "somebody who was told of incidents is not, or is told of fewer".to_owned(),
                    )
                })
            },
        )),
        _ => None,
    }
}

fn topic_aim(case: &Case<'_>, topic: &Arn) -> Aim {
    let subscription = case
        .given("subscriptionArn")
        .and_then(|arn| arn.rsplit_once(':'))
        .map(|(topic, _)| topic);
    match case
        .given("topicArn")
        .or(case.given("resourceArn"))
        .or(subscription)
    {
        Some(given) => Aim::at(given == topic.as_str()),
        None => Aim::Unsaid(topic.to_string(), ":sns:"),
    }
}

fn queue_aim(case: &Case<'_>) -> Aim {
    match (&case.watch.ours.queue, case.given("queueUrl")) {
        (None, _) => Aim::Nothing,
        (Some(queue), Some(given)) => {
            let end = format!("/{}/{}", queue.account(), queue.resource());
            Aim::at(given.ends_with(&end))
        }
        (Some(queue), None) => Aim::Unsaid(queue.to_string(), ":sqs:"),
    }
}

fn role(case: &Case<'_>) -> Touched {
    let given = case.given("roleName");
    match given.and_then(|given| forwards_from(case, given)) {
        Some(_) => {
            let thing = "the role that forwards events to the responder";
            Touched::new(thing, Aim::Watched, forwarding)
        }
        None => resource("a role of the responder", role_aim(case)),
    }
}

fn role_aim(case: &Case<'_>) -> Aim {
    match case.given("roleName") {
        // IAM keeps names unique whatever their case.
        Some(given) => Aim::at(
            case.watch
                .ours
                .roles
                .iter()
                .any(|role| role.name().eq_ignore_ascii_case(given)),
        ),
        None => Aim::Unsaid(format!("role {}-", case.watch.ours.stack), "resource: role"),
    }
}

fn stack(case: &Case<'_>) -> Option<Touched> {
    if !matches!(
        case.name(),
        "DeleteStack"
            | "UpdateStack"
            | "ExecuteChangeSet"
            | "SetStackPolicy"
            | "UpdateTerminationProtection"
    ) {
        return None;
    }
    let ours = &case.watch.ours;
    let aim = match case.given("stackName") {
        Some(given) => {
            let name = match given.split_once(":stack/") {
                Some((_, name_and_id)) => name_and_id.split('/').next().unwrap_or_default(),
                None => given,
            };
            Aim::at(name == ours.stack)
        }
        // A change set given by its ARN alone: what it changes is an event of its own.
        None if case.name() == "ExecuteChangeSet" => Aim::Other,
        None => Aim::Unsaid(format!(":stack/{}/", ours.stack), ":stack/"),
    };
    if case.call.request["enableTerminationProtection"] == true {
        return Some(Touched::new("the responder's stack", aim, |_| {
            Effect::Harmless("termination protection was turned on".to_owned())
        }));
    }
    Some(resource("the responder's stack", aim))
}

fn last(text: &str, separator: char) -> &str {
    text.rsplit(separator).next().unwrap_or_default()
}
