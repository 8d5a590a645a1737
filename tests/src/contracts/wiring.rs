//! What the template gives a machine: functions, other machines, and the right to call them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{INVOKE, Project, Runbook, START, kebab};
use crate::{
    asl::{State, substitutions, texts_in},
    template::{Resource, Template, entries},
};

/// The worker that a Task calls, by the name of its substitution: `${DenyAllPolicyArn}`.
pub(super) fn worker_of(state: &State) -> Option<String> {
    if state.resource.as_deref() != Some(INVOKE) {
        return None;
    }
    let function = state.arguments.as_ref()?.get("FunctionName")?.as_str()?;
    let name = function.strip_prefix("${")?.strip_suffix("Arn}")?;
    Some(kebab(name))
}

/// The template's machine whose definition is that of `runbook`.
pub(super) fn machine<'a>(project: &'a Project, runbook: &str) -> Option<Resource<'a>> {
    let file = format!("/{runbook}.asl.json");
    project
        .template
        .of_type("AWS::Serverless::StateMachine")
        .find(|machine| {
            machine
                .text("DefinitionUri")
                .is_some_and(|uri| uri.ends_with(&file))
        })
}

/// The template's function that runs `worker`.
fn function<'a>(project: &'a Project, worker: &str) -> Option<Resource<'a>> {
    project
        .template
        .of_type("AWS::Serverless::Function")
        .find(|function| worker_in(*function) == Some(worker))
}

/// How many seconds Lambda gives a worker.
pub(super) fn seconds_of(worker: &str, project: &Project) -> Option<u64> {
    let own = &function(project, worker)?.properties["Timeout"];
    let common = &project.template.0["Globals"]["Function"]["Timeout"];
    own.as_u64().or(common.as_u64())
}

/// The worker that a function runs.
pub(super) fn worker_in(function: Resource<'_>) -> Option<&str> {
    let code = function.text("CodeUri")?;
    code.trim_end_matches('/').rsplit('/').next()
}

/// The machine's `${…}` are the template's `DefinitionSubstitutions` for it, each way, and each
/// `<Name>Arn` of a worker or a runbook is the ARN of that one.
pub(super) fn substitutions_match(runbook: &Runbook, project: &Project) -> Vec<String> {
    let Some(machine) = machine(project, &runbook.name) else {
        return vec!["the template has no state machine with this definition".to_owned()];
    };
    let texts = texts_in("", &runbook.source);
    let asked: BTreeSet<&str> = texts.iter().flat_map(|it| substitutions(it.text)).collect();
    let given: BTreeMap<&str, &Value> =
        entries(&machine.properties["DefinitionSubstitutions"]).collect();
    let mut violations = Vec::new();
    for name in &asked {
        if !given.contains_key(name) {
            violations.push(format!("the template does not substitute `${{{name}}}`"));
        }
    }
    for (name, value) in given {
        if !asked.contains(name) {
            violations.push(format!(
                "the template substitutes `${{{name}}}`, which is not there"
            ));
        }
        let Some(called) = name.strip_suffix("Arn").map(kebab) else {
            continue;
        };
        let meant = if project.workers.contains_key(called.as_str()) {
            function(project, &called)
        } else if project
            .runbooks
            .iter()
            .any(|runbook| runbook.name == called)
        {
            self::machine(project, &called)
        } else {
            continue;
        };
        let found = project.template.referred(value);
        if meant.is_none() || meant.map(|it| it.id) != found.map(|it| it.id) {
            violations.push(format!(
                "the template's `${{{name}}}` is not the ARN of `{called}`"
            ));
        }
    }
    violations
}

/// The machine's role may invoke exactly the functions that the machine calls, and start exactly
/// the machines that it starts. The local AWS does not check this.
pub(super) fn permissions(runbook: &Runbook, project: &Project) -> Vec<String> {
    let Some(machine) = machine(project, &runbook.name) else {
        return Vec::new();
    };
    let template = &project.template;
    let role = template.referred(&machine.properties["Role"]);
    let Some(role) = role.filter(|role| role.kind == "AWS::IAM::Role") else {
        return vec![format!(
            "the machine {} has no role of the template",
            machine.id
        )];
    };
    let mut violations = Vec::new();
    if !role.properties["ManagedPolicyArns"].is_null() {
        violations.push(format!(
            "{} has managed policies, which cannot be compared",
            role.id
        ));
    }
    for (name, state) in runbook.flow.walk() {
        let resource = state.resource.as_deref();
        if resource.is_some_and(|resource| resource != INVOKE && resource != START) {
            violations.push(format!("`{name}` calls neither a worker nor a machine"));
        }
    }
    for (call, action, field) in [
        (INVOKE, "lambda:InvokeFunction", "FunctionName"),
        (START, "states:StartExecution", "StateMachineArn"),
    ] {
        let called = called(runbook, machine, template, call, field);
        let (allowed, unclear) = allowed(role, template, action);
        for resource in unclear {
            violations.push(format!(
                "{} allows {action} on {resource}, not on one ARN",
                role.id
            ));
        }
        for id in called.difference(&allowed) {
            violations.push(format!("{} does not allow {action} on {id}", role.id));
        }
        for id in allowed.difference(&called) {
            violations.push(format!(
                "{} allows {action} on {id}, which is not called",
                role.id
            ));
        }
    }
    violations
}

/// The logical ids of what the machine calls in this way.
fn called<'a>(
    runbook: &Runbook,
    machine: Resource<'_>,
    template: &'a Template,
    call: &str,
    field: &str,
) -> BTreeSet<&'a str> {
    let states = runbook.flow.walk();
    let arguments = states
        .iter()
        .filter(|(_, state)| state.resource.as_deref() == Some(call))
        .filter_map(|(_, state)| state.arguments.as_ref()?.get(field));
    arguments
        .flat_map(|argument| texts_in("", argument))
        .flat_map(|text| substitutions(text.text))
        .filter_map(|name| {
            let value = &machine.properties["DefinitionSubstitutions"][name];
            Some(template.referred(value)?.id)
        })
        .collect()
}

/// The logical ids that a role allows `action` on, and what names no single resource.
fn allowed<'a>(
    role: Resource<'a>,
    template: &'a Template,
    action: &str,
) -> (BTreeSet<&'a str>, Vec<&'a Value>) {
    let mut ids = BTreeSet::new();
    let mut unclear = Vec::new();
    for statement in template.statements(role) {
        if !statement.allows(action) {
            continue;
        }
        for resource in statement.resources() {
            match template.referred(resource) {
                Some(referred) => {
                    ids.insert(referred.id);
                }
                None => unclear.push(resource),
            }
        }
    }
    (ids, unclear)
}

/// Every worker has a payload in the contracts, a function in the template, an entry point like
/// the others', and a machine that calls it.
pub(super) fn workers(project: &Project) -> Vec<String> {
    let used: BTreeSet<String> = project
        .runbooks
        .iter()
        .flat_map(|runbook| runbook.flow.walk())
        .filter_map(|(_, state)| worker_of(state))
        .collect();
    let mut violations = Vec::new();
    for (worker, main) in &project.mains {
        if !used.contains(worker) {
            violations.push(format!("no machine calls `{worker}`"));
        }
        if function(project, worker).is_none() {
            violations.push(format!("the template has no function `{worker}`"));
        }
        if !project.workers.contains_key(worker.as_str()) {
            violations.push(format!("the contracts do not know `{worker}`"));
        }
        if !is_entry_point(main, worker) {
            violations.push(format!(
                "`{worker}`: main.rs does more than serve the worker"
            ));
        }
    }
    for function in project.template.of_type("AWS::Serverless::Function") {
        if !worker_in(function).is_some_and(|worker| project.mains.contains_key(worker)) {
            violations.push(format!("the template's {} runs no worker", function.id));
        }
    }
    violations
}

/// Whether `main` is what every worker's is, but for how rustfmt breaks its lines.
fn is_entry_point(main: &str, worker: &str) -> bool {
    let krate = worker.replace('-', "_");
    let Some((_, rest)) = main.split_once(&format!("{krate}::")) else {
        return false;
    };
    let Some((name, _)) = rest.split_once("::from_env") else {
        return false;
    };
    let expected = format!(
        "//! Lambda entry point of `{worker}`; the worker itself is in `lib.rs`.

        #[tokio::main(flavor = \"current_thread\")]
        async fn main() -> Result<(), worker::Error> {{
            worker::serve({krate}::{name}::from_env).await
        }}"
    );
    let without_layout = |text: &str| {
        text.split_whitespace()
            .collect::<String>()
            .replace(",)", ")")
    };
    name.to_lowercase() == worker.replace('-', "")
        && without_layout(main) == without_layout(&expected)
}
