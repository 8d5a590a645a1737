//! The contracts hold of what ships, and each of them notices the mistakes that it is there for.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may stop at the first surprise, as tests may"
)]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value, json};
use tests::{
    asl::Kind,
    contracts::{CONTRACTS, Contract, Project, Sources, view},
    template::Template,
};

fn sources() -> Sources {
    Sources::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))).unwrap()
}

#[test]
fn the_contracts_hold() {
    let project = Project::read(&sources()).unwrap();
    let mut violations = Vec::new();
    for contract in CONTRACTS {
        for violation in contract.violations(&project) {
            violations.push(format!("{contract}: {violation}"));
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_planted_mistake_is_noticed() {
    let sources = sources();
    let clean = Project::read(&sources).unwrap();
    let mut unnoticed = Vec::new();
    for (promise, plant, expected) in PLANTED {
        let contract = contract(promise);
        let mut planted = sources.clone();
        plant(&mut planted);
        let known = contract.violations(&clean);
        let mut found = contract.violations(&Project::read(&planted).unwrap());
        found.retain(|violation| !known.contains(violation));
        let found = found.join("\n");
        if found != *expected {
            unnoticed.push(format!("{promise}\nexpected: {expected}\nfound: {found}\n"));
        }
    }
    assert!(unnoticed.is_empty(), "\n{}", unnoticed.join("\n"));
}

#[test]
fn every_contract_has_a_mistake_planted() {
    let planted: BTreeSet<_> = PLANTED.iter().map(|(promise, ..)| *promise).collect();
    for contract in CONTRACTS {
        assert!(planted.contains(contract.promise), "{contract}");
    }
}

#[test]
fn no_task_is_overlooked_at_any_depth() {
    let sources = sources();
    let bounded = contract("everything is bounded, retried and caught");
    for runbook in Project::read(&sources).unwrap().runbooks {
        for (name, state) in runbook.flow.walk() {
            for field in ["Catch", "Retry", "TimeoutSeconds"] {
                if state.kind == Kind::Task {
                    let mut planted = sources.clone();
                    remove(at(&mut planted, &runbook.name, name, ""), field);
                    let found = bounded
                        .violations(&Project::read(&planted).unwrap())
                        .join("\n");
                    let whose = format!("{}: `{name}` ", runbook.name);
                    assert!(found.contains(&whose), "{whose}{field}");
                }
            }
        }
    }
}

#[test]
fn a_map_is_drawn_as_what_it_does() {
    let mut sources = sources();
    in_map(&mut sources, TRAIL, "Close incident");
    let project = Project::read(&sources).unwrap();
    let violations = contract("the diagram is the machine").violations(&project);
    assert_eq!(violations, [""; 0]);
}

/// Files that do not belong together, or are not what they should be, are no project at all.
#[test]
fn what_cannot_be_read_is_named() {
    let unreadable: [(Plant, &str); 6] = [
        (
            |s| *at(s, TRAIL, "Deny all", "Cach") = json!([]),
            "cloudtrail-disabled: unknown field `Cach`",
        ),
        (
            |s| *at(s, TRAIL, "Deny all", "Type") = json!("Tsk"),
            "cloudtrail-disabled: unknown variant `Tsk`",
        ),
        (
            |s| drop(s.diagrams.remove(TRAIL)),
            "cloudtrail-disabled: there is no diagram",
        ),
        (
            |s| drop(s.inputs.remove(TRAIL)),
            "cloudtrail-disabled: there is no example input",
        ),
        (
            |s| drop(s.diagrams.insert("other".to_owned(), String::new())),
            "other: there is no such machine",
        ),
        (
            |s| redraw(s, TRIAGE, "V{Verdict?}", "V{Verdict?"),
            "triage.mmd: line 2: expected `}` after `Verdict?`",
        ),
    ];
    for (plant, expected) in unreadable {
        let mut sources = sources();
        plant(&mut sources);
        let why = Project::read(&sources).unwrap_err().to_string();
        assert!(why.starts_with(expected), "{why}");
    }
}

/// What a reviewer should see when a machine changes.
#[test]
fn the_machines_are_as_reviewed() {
    let project = Project::read(&sources()).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for runbook in &project.runbooks {
            insta::assert_snapshot!(runbook.name.clone(), view(runbook));
        }
    });
}

/// Every crate that speaks TLS, or binds to something that does, is one more to patch in a hurry.
/// `schannel` and `security-framework` could speak it on Windows and macOS; in the lock file they
/// only read those systems' root certificates, for `rustls-native-certs`.
#[test]
fn one_tls_stack_is_built() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    assert_eq!(of_tls(&lock), ["ring", "rustls"]);
    for of_platform in ["schannel", "security-framework"] {
        assert_eq!(users_of(of_platform, &lock), ["rustls-native-certs"]);
    }
    for more in ["aws-lc-sys", "openssl", "rustls"] {
        let planted = format!("{lock}\n[[package]]\nname = \"{more}\"\n");
        assert_ne!(of_tls(&planted), ["ring", "rustls"], "{more}");
    }
    let planted =
        format!("{lock}\n[[package]]\nname = \"x\"\ndependencies = [\n \"schannel\",\n]\n");
    assert_eq!(users_of("schannel", &planted), ["rustls-native-certs", "x"]);
}

/// The crates of a lock file that speak TLS or do its cryptography, as often as they are there.
fn of_tls(lock: &str) -> Vec<&str> {
    const OF_TLS: [&str; 10] = [
        "aws-lc-fips-sys",
        "aws-lc-rs",
        "aws-lc-sys",
        "boring",
        "boring-sys",
        "native-tls",
        "openssl",
        "openssl-sys",
        "ring",
        "rustls",
    ];
    let names = packages(lock).map(|(name, _)| name);
    names.filter(|name| OF_TLS.contains(name)).collect()
}

/// The crates of a lock file that depend on one.
fn users_of<'a>(dependency: &str, lock: &'a str) -> Vec<&'a str> {
    let line = format!("\n \"{dependency}");
    packages(lock)
        .filter(|(_, rest)| {
            let mut ends = rest.split(&line).skip(1);
            ends.any(|end| end.starts_with(['"', ' ']))
        })
        .map(|(name, _)| name)
        .collect()
}

/// The packages of a lock file: their names, and what stands below.
fn packages(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    let packages = lock.split("[[package]]\nname = \"").skip(1);
    packages.filter_map(|package| package.split_once('"'))
}

type Plant = fn(&mut Sources);

const TRAIL: &str = "cloudtrail-disabled";
const TRIAGE: &str = "triage";
const BASELINE: &str = "record-baseline";
const CHECK: &str = "check-trails";

/// The contract, a mistake, and what the contract says about it.
const PLANTED: &[(&str, Plant, &str)] = &[
    (
        "payloads fit their workers",
        |s| *at(s, TRAIL, "Restore CloudTrail", "Arguments/Payload/trail") = json!("x"),
        "cloudtrail-disabled: `Restore CloudTrail`: restore-cloudtrail does not take `Payload.trail`",
    ),
    (
        "payloads fit their workers",
        |s| remove(at(s, TRAIL, "Deny all", "Arguments/Payload"), "actor"),
        "cloudtrail-disabled: `Deny all`: deny-all-policy requires `Payload.actor`",
    ),
    (
        "payloads fit their workers",
        |s| {
            remove(
                at(s, TRIAGE, "Report failure", "Arguments/Payload/event"),
                "id",
            );
        },
        "triage: `Report failure`: notify requires `Payload.event.id`",
    ),
    (
        "payloads fit their workers",
        |s| *at(s, TRAIL, "Open incident", "Arguments/Payload/runbook") = json!("cloudtrail"),
        "cloudtrail-disabled: `Open incident`: open-incident takes other values of `Payload.runbook`",
    ),
    (
        "payloads fit their workers",
        |s| *at(s, TRAIL, "Revoke sessions", "Arguments/Payload/dryRun") = json!("yes"),
        "cloudtrail-disabled: `Revoke sessions`: revoke-sessions takes another type of `Payload.dryRun`",
    ),
    (
        "payloads fit their workers",
        |s| *at(s, TRAIL, "Deny all", "Arguments/Payload") = json!("{% $states.input %}"),
        "cloudtrail-disabled: `Deny all`: `Payload` is not an object of named values",
    ),
    (
        "payloads fit their workers",
        |s| *at(s, TRAIL, "Deny all", "Arguments/FunctionName") = json!("${DenyArn}"),
        "cloudtrail-disabled: `Deny all`: there is no worker `deny`",
    ),
    (
        "payloads fit their workers",
        |s| *at(s, TRAIL, "Deny all", "Arguments/FunctionName") = json!("deny-all-policy"),
        "cloudtrail-disabled: `Deny all`: `FunctionName` is not of the form `${WorkerArn}`",
    ),
    (
        "payloads fit their workers",
        |s| {
            *at(s, TRAIL, "Close incident", "Arguments/Payload/rouns") = json!(1);
            in_map(s, TRAIL, "Close incident");
        },
        "cloudtrail-disabled: `Close incident`: close-incident does not take `Payload.rouns`",
    ),
    (
        "answers have what is read of them",
        |s| {
            *at(s, TRAIL, "Open incident", "Assign/containActor") =
                json!("{% $states.result.Payload.contain %}");
        },
        "cloudtrail-disabled: `Open incident` takes `contain` of the answer in Assign.containActor: \
         there is none",
    ),
    (
        "answers have what is read of them",
        |s| {
            *at(s, TRAIL, "Holds?", "Choices/0/Condition") =
                json!("{% $verification.hold = false %}");
        },
        "cloudtrail-disabled: `Holds?` takes `hold` of $verification in Choices.0.Condition: \
         there is none",
    ),
    (
        "answers have what is read of them",
        |s| {
            *at(s, TRAIL, "Check trails", "Assign/deviations") =
                json!("{% $states.result.Payload.deviations %}");
        },
        "cloudtrail-disabled: `Check trails` takes `deviations` of the answer in \
         Assign.deviations: there is none",
    ),
    (
        "answers have what is read of them",
        |s| *at(s, CHECK, "Start runbook", "Arguments/Name") = json!("{% $check.id %}"),
        "check-trails: `Start runbook` takes `id` of $check in Arguments.Name: there is none",
    ),
    (
        "matched errors exist",
        |s| *at(s, TRAIL, "Deny all", "Catch/0/ErrorEquals") = json!(["NotFound"]),
        "cloudtrail-disabled: `Deny all` matches `NotFound` in Catch, which it never gives",
    ),
    (
        "matched errors exist",
        |s| *at(s, TRAIL, "Deny all", "Catch/0/ErrorEquals") = json!(["ExecutionAlreadyExists"]),
        "cloudtrail-disabled: `Deny all` matches `ExecutionAlreadyExists` in Catch, \
         which it never gives",
    ),
    (
        "matched errors exist",
        |s| *at(s, TRIAGE, "Start runbook", "Retry/0/ErrorEquals/0") = json!("States.Timedout"),
        "triage: `Start runbook` matches `States.Timedout` in Retry, which it never gives",
    ),
    (
        "matched errors exist",
        |s| copy_retry(s, "Assess event", "Start runbook"),
        "triage: `Start runbook` matches `Transient` in Retry, which it never gives\n\
         triage: `Start runbook` matches `Lambda.ClientExecutionTimeoutException` in Retry, \
         which it never gives\n\
         triage: `Start runbook` matches `Lambda.ServiceException` in Retry, which it never gives\n\
         triage: `Start runbook` matches `Lambda.AWSLambdaException` in Retry, which it never gives\n\
         triage: `Start runbook` matches `Lambda.SdkClientException` in Retry, which it never gives\n\
         triage: `Start runbook` matches `Lambda.TooManyRequestsException` in Retry, \
         which it never gives\n\
         triage: `Start runbook` matches `Lambda.Unknown` in Retry, which it never gives\n\
         triage: `Start runbook` matches `Sandbox.Timedout` in Retry, which it never gives",
    ),
    (
        "matched errors exist",
        |s| copy_retry(s, "Start runbook", "Assess event"),
        "triage: `Assess event` matches `ExecutionAlreadyExists` in Retry, which it never gives\n\
         triage: `Assess event` matches `StepFunctions.ExecutionAlreadyExistsException` in Retry, \
         which it never gives",
    ),
    (
        "matched errors exist",
        |s| {
            *at(s, TRAIL, "Respond", "Catch/0/ErrorEquals") = json!(["ExecutionAlreadyExists"]);
        },
        "cloudtrail-disabled: `Respond` matches `ExecutionAlreadyExists` in Catch, \
         which it never gives",
    ),
    (
        "matched errors exist",
        |s| *at(s, TRAIL, "Respond", "Catch/0/ErrorEquals") = json!(["Protected", "States.ALL"]),
        "cloudtrail-disabled: `Respond` has States.ALL beside others in Catch",
    ),
    (
        "matched errors exist",
        |s| list(at(s, TRAIL, "Deny all", "Catch")).reverse(),
        "cloudtrail-disabled: `Deny all` has a Catch after States.ALL",
    ),
    (
        "matched errors exist",
        |s| *at(s, TRAIL, "Deny all", "Catch/0/ErrorEquals") = json!([]),
        "cloudtrail-disabled: `Deny all` has a Catch of no error",
    ),
    (
        "everything is bounded, retried and caught",
        |s| remove(machine(s, TRAIL), "TimeoutSeconds"),
        "cloudtrail-disabled: the machine has no TimeoutSeconds",
    ),
    (
        "everything is bounded, retried and caught",
        |s| remove(at(s, TRAIL, "Revoke sessions", ""), "TimeoutSeconds"),
        "cloudtrail-disabled: `Revoke sessions` has no TimeoutSeconds",
    ),
    (
        "everything is bounded, retried and caught",
        |s| remove(at(s, TRIAGE, "Start runbook", ""), "Retry"),
        "triage: `Start runbook` has not the Retry of a start",
    ),
    (
        "everything is bounded, retried and caught",
        |s| copy_retry(s, "Assess event", "Start runbook"),
        "triage: `Start runbook` has not the Retry of a start",
    ),
    (
        "everything is bounded, retried and caught",
        |s| copy_retry(s, "Start runbook", "Assess event"),
        "triage: `Assess event` has not the common Retry",
    ),
    (
        "everything is bounded, retried and caught",
        |s| *at(s, TRIAGE, "Start runbook", "Retry/0/MaxAttempts") = json!(1),
        "triage: `Start runbook` has not the Retry of a start",
    ),
    (
        "everything is bounded, retried and caught",
        |s| list(at(s, TRIAGE, "Start runbook", "Retry")).reverse(),
        "triage: `Start runbook` has not the Retry of a start",
    ),
    (
        "everything is bounded, retried and caught",
        |s| *at(s, TRAIL, "Notify: opened", "Retry/0/JitterStrategy") = json!("NONE"),
        "cloudtrail-disabled: `Notify: opened` has not the common Retry",
    ),
    (
        "everything is bounded, retried and caught",
        |s| list(at(s, TRAIL, "Notify: opened", "Retry/0/ErrorEquals")).truncate(7),
        "cloudtrail-disabled: `Notify: opened` has not the common Retry",
    ),
    (
        "everything is bounded, retried and caught",
        |s| remove(at(s, TRAIL, "Contain", ""), "Catch"),
        "cloudtrail-disabled: `Contain` does not catch States.ALL last",
    ),
    (
        "everything is bounded, retried and caught",
        |s| list(at(s, TRAIL, "Deny all", "Catch")).truncate(1),
        "cloudtrail-disabled: `Deny all` does not catch States.ALL last",
    ),
    (
        "everything is bounded, retried and caught",
        |s| {
            in_map(s, TRAIL, "Close incident");
            remove(at(s, TRAIL, "For each", ""), "Catch");
        },
        "cloudtrail-disabled: `For each` does not catch States.ALL last",
    ),
    (
        "everything is bounded, retried and caught",
        |s| {
            remove(at(s, TRAIL, "Close incident", ""), "Catch");
            in_map(s, TRAIL, "Close incident");
        },
        "cloudtrail-disabled: `Close incident` does not catch States.ALL last",
    ),
    (
        "everything is bounded, retried and caught",
        |s| resource(s, "AssessEventFunction")["Timeout"] = json!(40),
        "triage: `Assess event` gives up after 40 s, its worker after 40 s",
    ),
    (
        "everything is bounded, retried and caught",
        |s| *at(s, TRAIL, "Deny all", "TimeoutSeconds") = json!(60),
        "cloudtrail-disabled: `Deny all` gives up after 60 s, its worker after 60 s",
    ),
    (
        "everything is bounded, retried and caught",
        |s| *at(s, TRAIL, "Respond", "TimeoutSeconds") = json!(60),
        "cloudtrail-disabled: `Respond` is no Task and cannot have TimeoutSeconds or HeartbeatSeconds",
    ),
    (
        "everything is bounded, retried and caught",
        |s| *at(s, TRAIL, "Let IAM settle", "Seconds") = json!("15"),
        "cloudtrail-disabled: `Let IAM settle` gives a number of seconds as text: \
         write a number or `{% … %}`",
    ),
    (
        "the template fills what the machine asks for",
        |s| {
            remove(
                &mut resource(s, "Triage")["DefinitionSubstitutions"],
                "NotifyArn",
            );
        },
        "triage: the template does not substitute `${NotifyArn}`",
    ),
    (
        "the template fills what the machine asks for",
        |s| resource(s, "Triage")["DefinitionSubstitutions"]["Colour"] = json!("red"),
        "triage: the template substitutes `${Colour}`, which is not there",
    ),
    (
        "the template fills what the machine asks for",
        |s| *at(s, TRAIL, "Refused", "Cause") = json!("in ${Stage}"),
        "cloudtrail-disabled: the template does not substitute `${Stage}`",
    ),
    (
        "the template fills what the machine asks for",
        |s| {
            resource(s, "CloudtrailDisabled")["DefinitionSubstitutions"]["DenyAllPolicyArn"] =
                arn("NotifyFunction");
        },
        "cloudtrail-disabled: the template's `${DenyAllPolicyArn}` is not the ARN of `deny-all-policy`",
    ),
    (
        "the template fills what the machine asks for",
        |s| {
            resource(s, "RestoreCloudtrailFunction")["CodeUri"] =
                json!("../target/lambda/restore/");
        },
        "cloudtrail-disabled: the template's `${RestoreCloudtrailArn}` is not the ARN of \
         `restore-cloudtrail`",
    ),
    (
        "the template fills what the machine asks for",
        |s| {
            resource(s, "Triage")["DefinitionSubstitutions"]["CloudtrailDisabledArn"] =
                json!({"Ref": "RecordBaseline"});
        },
        "triage: the template's `${CloudtrailDisabledArn}` is not the ARN of `cloudtrail-disabled`",
    ),
    (
        "the template fills what the machine asks for",
        |s| resource(s, "RecordBaseline")["DefinitionUri"] = json!("../state-machines/x.asl.json"),
        "record-baseline: the template has no state machine with this definition",
    ),
    (
        "roles allow what is called, and no more",
        |s| {
            list(&mut statement(s, "CloudtrailDisabledMachineRole", 0)["Resource"])
                .retain(|function| *function != arn("DenyAllPolicyFunction"));
        },
        "cloudtrail-disabled: CloudtrailDisabledMachineRole does not allow lambda:InvokeFunction \
         on DenyAllPolicyFunction",
    ),
    (
        "roles allow what is called, and no more",
        |s| {
            list(&mut statement(s, "TriageMachineRole", 0)["Resource"])
                .push(arn("DenyAllPolicyFunction"));
        },
        "triage: TriageMachineRole allows lambda:InvokeFunction on DenyAllPolicyFunction, \
         which is not called",
    ),
    (
        "roles allow what is called, and no more",
        |s| {
            list(&mut statement(s, "TriageMachineRole", 0)["Resource"]).push(json!("*"));
        },
        "triage: TriageMachineRole allows lambda:InvokeFunction on \"*\", not on one ARN",
    ),
    (
        "roles allow what is called, and no more",
        |s| statement(s, "TriageMachineRole", 1)["Resource"] = json!({"Ref": "RecordBaseline"}),
        "triage: TriageMachineRole does not allow states:StartExecution on ApiAttack\n\
         triage: TriageMachineRole does not allow states:StartExecution on CloudtrailDisabled\n\
         triage: TriageMachineRole does not allow states:StartExecution on CredentialAttack\n\
         triage: TriageMachineRole does not allow states:StartExecution on HoneyToken\n\
         triage: TriageMachineRole does not allow states:StartExecution on PatientDataAccess\n\
         triage: TriageMachineRole does not allow states:StartExecution on PrivilegeEscalation\n\
         triage: TriageMachineRole does not allow states:StartExecution on SiteVandalism\n\
         triage: TriageMachineRole allows states:StartExecution on RecordBaseline, which is not called",
    ),
    (
        "roles allow what is called, and no more",
        |s| {
            s.template.0["Resources"]["More"] = json!({
                "Type": "AWS::IAM::Policy",
                "Properties": {
                    "Roles": [{"Ref": "TriageMachineRole"}],
                    "PolicyDocument": {"Statement": {
                        "Effect": "Allow", "Action": "lambda:*", "Resource": arn("OpenIncidentFunction"),
                    }},
                },
            });
        },
        "triage: TriageMachineRole allows lambda:InvokeFunction on OpenIncidentFunction, \
         which is not called",
    ),
    (
        "roles allow what is called, and no more",
        |s| {
            resource(s, "TriageMachineRole")["ManagedPolicyArns"] =
                json!(["arn:aws:iam::aws:policy/X"]);
        },
        "triage: TriageMachineRole has managed policies, which cannot be compared",
    ),
    (
        "roles allow what is called, and no more",
        |s| *at(s, TRIAGE, "Start runbook", "Resource") = json!("arn:aws:states:::sns:publish"),
        "triage: `Start runbook` calls neither a worker nor a machine\n\
         triage: TriageMachineRole allows states:StartExecution on ApiAttack, which is not called\n\
         triage: TriageMachineRole allows states:StartExecution on CloudtrailDisabled, which is not called\n\
         triage: TriageMachineRole allows states:StartExecution on CredentialAttack, which is not called\n\
         triage: TriageMachineRole allows states:StartExecution on HoneyToken, which is not called\n\
         triage: TriageMachineRole allows states:StartExecution on PatientDataAccess, which is not called\n\
         triage: TriageMachineRole allows states:StartExecution on PrivilegeEscalation, which is not called\n\
         triage: TriageMachineRole allows states:StartExecution on SiteVandalism, which is not called",
    ),
    (
        "roles allow what is called, and no more",
        |s| remove(resource(s, "Triage"), "Role"),
        "triage: the machine Triage has no role of the template",
    ),
    (
        "conditions are boolean",
        |s| *at(s, TRAIL, "Holds?", "Choices/0/Condition") = json!("{% $verification.holds %}"),
        "cloudtrail-disabled: `Holds?`: `{% $verification.holds %}` is not certainly true or false",
    ),
    (
        "conditions are boolean",
        |s| *at(s, TRAIL, "Contain actor?", "Choices/1/Condition") = json!("{% $not( %}"),
        "cloudtrail-disabled: `Contain actor?`: `{% $not( %}` is not certainly true or false",
    ),
    (
        "conditions are boolean",
        |s| *at(s, TRIAGE, "Verdict?", "Choices/0/Condition") = json!("true"),
        "triage: `Verdict?`: `true` is not certainly true or false",
    ),
    (
        "variables are set before they are read",
        |s| {
            *at(s, TRAIL, "Restore CloudTrail", "Assign") = json!({"restored": true});
            *at(s, TRAIL, "Close incident", "Arguments/Payload/steps") = json!("{% $restored %}");
        },
        "cloudtrail-disabled: `Close incident` reads $restored in Arguments.Payload.steps, \
         outside the branch that sets it",
    ),
    (
        "variables are set before they are read",
        |s| {
            *at(s, TRAIL, "Restore CloudTrail", "Assign") = json!({"restored": true});
            *at(s, TRAIL, "Deny all", "Arguments/Payload/dryRun") = json!("{% $restored %}");
        },
        "cloudtrail-disabled: `Deny all` reads $restored in Arguments.Payload.dryRun, \
         and not every way there sets it",
    ),
    (
        "variables are set before they are read",
        |s| {
            remove(
                at(s, TRAIL, "Verify containment", "Catch/0/Assign"),
                "verification",
            );
        },
        "cloudtrail-disabled: `Close incident` reads $verification in \
         Arguments.Payload.verification.holds, and not every way there sets it\n\
         cloudtrail-disabled: `Close incident` reads $verification in \
         Arguments.Payload.verification.missing, and not every way there sets it\n\
         cloudtrail-disabled: `Close incident` reads $verification in \
         Arguments.Payload.verification.summary, and not every way there sets it\n\
         cloudtrail-disabled: `Close incident` reads $verification in \
         Arguments.Payload.verification.left, and not every way there sets it\n\
         cloudtrail-disabled: `Holds?` reads $verification in Choices.0.Condition, \
         and not every way there sets it",
    ),
    (
        "variables are set before they are read",
        |s| remove(at(s, TRAIL, "Check trails", "Catch/0/Assign"), "deviations"),
        "cloudtrail-disabled: `Close incident` reads $deviations in \
         Arguments.Payload.verification.holds, and not every way there sets it\n\
         cloudtrail-disabled: `Close incident` reads $deviations in \
         Arguments.Payload.verification.missing, and not every way there sets it\n\
         cloudtrail-disabled: `Holds?` reads $deviations in Choices.0.Condition, \
         and not every way there sets it",
    ),
    (
        "variables are set before they are read",
        |s| {
            *at(s, BASELINE, "Record baseline", "Arguments/Payload/request") =
                json!("{% $summary %}");
        },
        "record-baseline: `Record baseline` reads $summary in Arguments.Payload.request, \
         and not every way there sets it",
    ),
    (
        "variables are set before they are read",
        |s| {
            *at(s, TRAIL, "Close incident", "Arguments/Payload/rounds") = json!("{% $rouns %}");
            in_map(s, TRAIL, "Close incident");
        },
        "cloudtrail-disabled: `All contained?` reads $closing in Choices.0.Condition, \
         outside the branch that sets it\n\
         cloudtrail-disabled: `Containment incomplete` reads $closing in Cause, \
         outside the branch that sets it\n\
         cloudtrail-disabled: `Close incident` reads $rouns in Arguments.Payload.rounds, \
         and not every way there sets it\n\
         cloudtrail-disabled: `Notify: outcome` reads $closing in Arguments.Payload.closing, \
         outside the branch that sets it\n\
         cloudtrail-disabled: `Notify: outcome` reads $closing in Catch.0.Assign.closing.summary, \
         outside the branch that sets it",
    ),
    (
        "variables are set before they are read",
        |s| *at(s, TRAIL, "Refused", "Cause") = json!("{% $failure.Error & ': no %}"),
        "cloudtrail-disabled: `Refused`: the expression in Cause has no end to what starts at `': no`",
    ),
    (
        "no variable hides a function",
        |s| *at(s, TRAIL, "Open incident", "Assign/round") = json!(0),
        "cloudtrail-disabled: `Open incident` sets $round, a name that is taken",
    ),
    (
        "no variable hides a function",
        |s| {
            *at(s, TRAIL, "Open incident", "Catch/0/Assign/error") =
                json!("{% $states.errorOutput %}");
        },
        "cloudtrail-disabled: `Open incident` sets $error, a name that is taken",
    ),
    (
        "no variable hides a function",
        |s| *at(s, TRAIL, "Contain actor?", "Choices/0/Assign") = json!({"states": {}}),
        "cloudtrail-disabled: `Contain actor?` sets $states, a name that is taken",
    ),
    (
        "no raw event is kept",
        |s| *at(s, TRAIL, "Deny all", "Arguments/Payload/x") = json!("{% $states.input.detail %}"),
        "cloudtrail-disabled: `Deny all` takes an event's detail in Arguments.Payload.x",
    ),
    (
        "no raw event is kept",
        |s| *at(s, TRAIL, "Deny all", "Output/detail") = json!("{% $incident.reason %}"),
        "cloudtrail-disabled: `Deny all` takes an event's detail in Output.detail",
    ),
    (
        "no raw event is kept",
        |s| {
            *at(s, TRAIL, "Notify: opened", "Arguments/Payload/incident") =
                json!("{% $states.input %}");
        },
        "cloudtrail-disabled: `Notify: opened` hands on its whole input in Arguments.Payload.incident",
    ),
    (
        "no raw event is kept",
        |s| {
            *at(s, TRAIL, "Open incident", "Arguments/Payload/executionArn") =
                json!("{% $string($states.context.Execution) %}");
        },
        "cloudtrail-disabled: `Open incident` hands on its whole input in \
         Arguments.Payload.executionArn",
    ),
    (
        "no raw event is kept",
        |s| resource(s, "Triage")["Type"] = json!("STANDARD"),
        "triage: `Assess event` hands on its whole input in Arguments.Payload.event\n\
         triage: `Report failure` takes an event's detail in Arguments.Payload.event.name",
    ),
    (
        "the diagram is the machine",
        |s| {
            redraw(
                s,
                TRAIL,
                "O -. InvalidInput .-> T[Tell a human] --> X([Refused])",
                "",
            );
        },
        "cloudtrail-disabled: the diagram lacks the box `Refused`\n\
         cloudtrail-disabled: the diagram lacks the box `Tell a human`\n\
         cloudtrail-disabled: the diagram lacks `Open incident -. InvalidInput .-> Tell a human`\n\
         cloudtrail-disabled: the diagram lacks `Tell a human --> Refused`",
    ),
    (
        "the diagram is the machine",
        |s| {
            redraw(
                s,
                TRAIL,
                "T[Tell a human] --> X",
                "T[Tell a human] --> Z & X",
            );
        },
        "cloudtrail-disabled: the diagram has `Tell a human --> Containment incomplete`, \
         the machine has not",
    ),
    (
        "the diagram is the machine",
        |s| redraw(s, TRAIL, "O -. InvalidInput .->", "O -. AccessDenied .->"),
        "cloudtrail-disabled: the diagram lacks `Open incident -. InvalidInput .-> Tell a human`\n\
         cloudtrail-disabled: the diagram has `Open incident -. AccessDenied .-> Tell a human`, \
         the machine has not",
    ),
    (
        "the diagram is the machine",
        |s| redraw(s, TRIAGE, "V -- respond -->", "V -- ignore -->"),
        "triage: the diagram lacks `Verdict? -- respond --> Start runbook`\n\
         triage: the diagram has `Verdict? -- ignore --> Start runbook`, the machine has not",
    ),
    (
        "the diagram is the machine",
        |s| redraw(s, TRIAGE, "V -- ignore -->", "V -->"),
        "triage: the diagram lacks `Verdict? -- … --> Ignored`, the Default, with words on it\n\
         triage: the diagram has `Verdict? --> Ignored`, the machine has not",
    ),
    (
        "the diagram is the machine",
        |s| redraw(s, TRIAGE, "V{Verdict?}", "V[Verdict?]"),
        "triage: the diagram draws `Verdict?` as [a step], not as {a decision}",
    ),
    (
        "the diagram is the machine",
        |s| redraw(s, TRIAGE, "I([Ignored])", "I([Ignored])\n  N[Never mind]"),
        "triage: the diagram has the box `Never mind`, the machine no such state",
    ),
    (
        "the diagram is the machine",
        |s| *at(s, TRIAGE, "Tell a human", "Next") = json!("Ignored"),
        "triage: the diagram has the box `Escalated`, the machine no such state\n\
         triage: the diagram lacks `Tell a human --> Ignored`\n\
         triage: the diagram has `Tell a human --> Escalated`, the machine has not",
    ),
    (
        "the diagram is the machine",
        |s| *at(s, TRAIL, "Revoke sessions", "Catch/0/ErrorEquals") = json!(["AccessDenied"]),
        "cloudtrail-disabled: the diagram lacks the box `Record failed revocation`\n\
         cloudtrail-disabled: the diagram lacks `Record failed revocation --> Let IAM settle`\n\
         cloudtrail-disabled: the diagram lacks \
         `Revoke sessions -. AccessDenied .-> Record failed revocation`",
    ),
    (
        "the diagram is the machine",
        |s| *at(s, TRAIL, "Contain", "Catch/0/ErrorEquals") = json!(["States.Timeout"]),
        "cloudtrail-disabled: `Contain` is no box, so its Catch can only be that of States.ALL\n\
         cloudtrail-disabled: the diagram lacks the box `Record failed containment`\n\
         cloudtrail-disabled: the diagram lacks `Record failed containment --> Let IAM settle`",
    ),
    (
        "the diagram is the machine",
        |s| remove(at(s, TRIAGE, "Verdict?", "Choices/0"), "Comment"),
        "triage: `Verdict?` has a rule to `Start runbook` without the Comment that is its label\n\
         triage: the diagram lacks `Verdict? --> Start runbook`\n\
         triage: the diagram has `Verdict? -- respond --> Start runbook`, the machine has not",
    ),
    (
        "states are named and joined well",
        |s| remove(machine(s, TRAIL), "Comment"),
        "cloudtrail-disabled: the machine has no Comment",
    ),
    (
        "states are named and joined well",
        |s| remove(machine(s, TRAIL), "QueryLanguage"),
        "cloudtrail-disabled: the machine's QueryLanguage is not JSONata",
    ),
    (
        "states are named and joined well",
        |s| machine(s, TRIAGE)["States"]["Wait For It"] = json!({"Type": "Succeed"}),
        "triage: `Wait For It` is not sentence case\n\
         triage: `Wait For It` cannot be reached",
    ),
    (
        "states are named and joined well",
        |s| {
            machine(s, TRIAGE)["States"][format!("X{}", "x".repeat(80))] =
                json!({"Type": "Succeed"});
        },
        "triage: `Xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` \
         is longer than 80 characters\n\
         triage: `Xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` \
         cannot be reached",
    ),
    (
        "states are named and joined well",
        |s| {
            *at(s, TRAIL, "Respond", "Branches/0/States/Contained") =
                json!({"Type": "Pass", "Next": "All contained?"});
        },
        "cloudtrail-disabled: two states are called `Contained`\n\
         cloudtrail-disabled: `Contained` cannot be reached\n\
         cloudtrail-disabled: `Contained` leads to `All contained?`, which is no state beside it",
    ),
    (
        "states are named and joined well",
        |s| machine(s, BASELINE)["StartAt"] = json!("Record"),
        "record-baseline: StartAt is `Record`, which is no state\n\
         record-baseline: `Dry run?` cannot be reached\n\
         record-baseline: `Not recorded` cannot be reached\n\
         record-baseline: `Not told` cannot be reached\n\
         record-baseline: `Notify: recorded` cannot be reached\n\
         record-baseline: `Record baseline` cannot be reached\n\
         record-baseline: `Recorded` cannot be reached\n\
         record-baseline: `Rehearsed` cannot be reached\n\
         record-baseline: `Tell a human` cannot be reached",
    ),
    (
        "states are named and joined well",
        |s| *at(s, TRAIL, "Restore CloudTrail", "Catch/0/Next") = json!("Close incident"),
        "cloudtrail-disabled: `Record failed restore` cannot be reached\n\
         cloudtrail-disabled: `Restore CloudTrail` leads to `Close incident`, \
         which is no state beside it",
    ),
    (
        "states are named and joined well",
        |s| *at(s, TRIAGE, "Ignored", "") = json!({"Type": "Pass", "End": true}),
        "triage: `Ignored` ends the machine, and is neither Succeed nor Fail",
    ),
    (
        "states are named and joined well",
        |s| remove(at(s, TRAIL, "Actor is gone", ""), "End"),
        "cloudtrail-disabled: `Actor is gone` has neither Next nor End",
    ),
    (
        "states are named and joined well",
        |s| *at(s, TRAIL, "Let IAM settle", "End") = json!(true),
        "cloudtrail-disabled: `Let IAM settle` has both Next and End",
    ),
    (
        "states are named and joined well",
        |s| *at(s, TRIAGE, "Ignored", "Next") = json!("Started"),
        "triage: `Ignored` ends the flow and leads nowhere",
    ),
    (
        "states are named and joined well",
        |s| *at(s, TRIAGE, "Verdict?", "Next") = json!("Ignored"),
        "triage: `Verdict?` is a Choice: its rules and Default lead on, not Next or End",
    ),
    (
        "states are named and joined well",
        |s| remove(at(s, TRAIL, "First round?", ""), "Default"),
        "cloudtrail-disabled: `Already told` cannot be reached\n\
         cloudtrail-disabled: `First round?` has no Default",
    ),
    (
        "the example input is one",
        |s| remove(s.inputs.get_mut(TRAIL).unwrap(), "reason"),
        "cloudtrail-disabled: the example input does not fit: the payload: missing field `reason`",
    ),
    (
        "the example input is one",
        |s| {
            s.machines
                .insert("other".to_owned(), s.machines[TRAIL].clone());
            s.diagrams
                .insert("other".to_owned(), s.diagrams[TRAIL].clone());
            s.inputs.insert("other".to_owned(), s.inputs[TRAIL].clone());
        },
        "other: the example input does not fit: it is an incident for cloudtrail-disabled",
    ),
    (
        "the example input is one",
        |s| s.inputs.get_mut(TRIAGE).unwrap()["detail"]["eventName"] = json!("LookupEvents"),
        "triage: the example input does not fit: \
         LookupEvents of cloudtrail.amazonaws.com is not an indicator",
    ),
    (
        "the example input is one",
        |s| s.inputs.get_mut(CHECK).unwrap()["source"] = json!("mine"),
        "check-trails: the example input does not fit: it is no Scheduled Event of aws.events",
    ),
    (
        "the example input is one",
        |s| {
            s.inputs.get_mut(CHECK).unwrap()["resources"][0] =
                json!("arn:aws:events:eu-west-1:123456789012:rule/tourniquet-trail-tampered");
        },
        "check-trails: the example input does not fit: \
         `arn:aws:events:eu-west-1:123456789012:rule/tourniquet-trail-tampered` \
         is no rule of ours that keeps time",
    ),
    (
        "the example input is one",
        |s| s.inputs.get_mut(BASELINE).unwrap()["dryRun"] = json!("no"),
        "record-baseline: the example input does not fit: `dryRun`: expected a boolean",
    ),
    (
        "every worker is used and deployed",
        |s| {
            let main = s.mains["notify"].replace("notify", "block-ip");
            s.mains.insert("block-ip".to_owned(), main);
        },
        "`block-ip`: main.rs does more than serve the worker",
    ),
    (
        "every worker is used and deployed",
        |s| {
            let main = s.mains.get_mut("notify").unwrap();
            *main = main.replace("worker::serve", "println!(\"hello\");\n    worker::serve");
        },
        "`notify`: main.rs does more than serve the worker",
    ),
    (
        "every worker is used and deployed",
        |s| drop(s.mains.remove("notify")),
        "the template's NotifyFunction runs no worker",
    ),
    (
        "the responder knows its own roles",
        |s| resource(s, "NotifyRole")["RoleName"] = json!({"Fn::Sub": "${AWS::StackName}-tell"}),
        "RESPONDER_ROLES lacks NotifyRole, tell\n\
         RESPONDER_ROLES has notify, which is no role here",
    ),
    (
        "the responder knows its own roles",
        |s| remove(resource(s, "NotifyRole"), "RoleName"),
        "NotifyRole is not called ${AWS::StackName}-… under /tourniquet/\n\
         RESPONDER_ROLES has notify, which is no role here",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| remove(&mut resource(s, "TrailTampered")["EventPattern"], "source"),
        "TrailTampered does not pin `source` to `aws.…`",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| list(&mut resource(s, "TrailTampered")["EventPattern"]["source"]).push(json!("mine")),
        "TrailTampered does not pin `source` to `aws.…`",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| resource(s, "TrailTampered")["Targets"] = json!([]),
        "TrailTampered has no target",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| {
            remove(
                &mut resource(s, "TrailTampered")["Targets"][0],
                "DeadLetterConfig",
            );
        },
        "TrailTampered has a target without DeadLetterConfig\n\
         TrailTampered may not write to its dead-letter queue",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| {
            resource(s, "TrailTampered")["Targets"][0]["RetryPolicy"]["MaximumEventAgeInSeconds"] =
                json!(86400);
        },
        "TrailTampered has a target that takes events older than 900 s",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| {
            remove(
                &mut resource(s, "TrailTampered")["Targets"][0],
                "RetryPolicy",
            );
        },
        "TrailTampered has a target that takes events older than 900 s",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| statement(s, "EventsRole", 0)["Resource"] = json!({"Ref": "CheckTrails"}),
        "TrailTampered has a target that its role may not start\n\
         LogArchiveTampered has a target that its role may not start\n\
         DetectionTampered has a target that its role may not start\n\
         ResponderTampered has a target that its role may not start\n\
         SiteChanged has a target that its role may not start\n\
         PatientsTouched has a target that its role may not start\n\
         DecoyRead has a target that its role may not start\n\
         PatientsCopied has a target that its role may not start\n\
         PatientsDrained has a target that its role may not start\n\
         CostRaised has a target that its role may not start\n\
         IamChanged has a target that its role may not start\n\
         SessionsTaken has a target that its role may not start\n\
         SignInsAttempted has a target that its role may not start\n\
         FrontDoorAlarmed has a target that its role may not start\n\
         FrontDoorTampered has a target that its role may not start\n\
         BlocksSwept has a target that its role may not start",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| {
            s.template.0["Resources"]["Other"] = s.template.0["Resources"]["TrailTampered"].clone();
        },
        "Other may not write to its dead-letter queue",
    ),
    (
        "rules trust AWS alone and lose nothing",
        |s| {
            resource(s, "Triage")["Events"]["Any"] = json!({"Type": "EventBridgeRule", "Properties": {"Pattern": {"detail-type": ["x"]}}});
        },
        "Triage's Any does not pin `source` to `aws.…`\n\
         Triage's Any has a target without DeadLetterConfig\n\
         Triage's Any has a target that takes events older than 900 s",
    ),
    (
        "what is restored is what is deployed",
        |s| remove(&mut s.detection, "DetectionTampered"),
        "detection does not know DetectionTampered",
    ),
    (
        "what is restored is what is deployed",
        |s| drop_resource(s, "ResponderTampered"),
        "detection has ResponderTampered, which is no rule of the template",
    ),
    (
        "what is restored is what is deployed",
        |s| {
            let pattern = &mut resource(s, "LogArchiveTampered")["EventPattern"];
            list(&mut pattern["detail"]["$or"]).truncate(2);
        },
        "detection has another EventPattern of LogArchiveTampered",
    ),
    (
        "what is restored is what is deployed",
        |s| resource(s, "TrailsChecked")["State"] = json!("DISABLED"),
        "detection has another State of TrailsChecked",
    ),
    (
        "what is restored is what is deployed",
        |s| s.detection["TrailTampered"]["Targets"][0]["Id"] = json!("other"),
        "detection has another Targets of TrailTampered",
    ),
    (
        "names say what is whose",
        |s| resource(s, "TrailTampered")["Name"] = json!("trail-tampered"),
        "TrailTampered's Name is not ${AWS::StackName}-trail-tampered",
    ),
    (
        "names say what is whose",
        |s| resource(s, "NotifyFunction")["FunctionName"] = json!({"Ref": "AWS::StackName"}),
        "NotifyFunction's FunctionName is not ${AWS::StackName}-notify",
    ),
    (
        "names say what is whose",
        |s| resource(s, "CheckTrailsRole")["RoleName"] = json!("check"),
        "CheckTrailsRole's RoleName is not ${AWS::StackName}-check-trails",
    ),
    (
        "names say what is whose",
        |s| {
            resource(s, "CheckTrails")["Name"] = json!("check");
            resource(s, "CheckTrailsMachineRole")["RoleName"] = json!("check");
            resource(s, "EventsRole")["RoleName"] = json!("start");
        },
        "CheckTrails's Name is not ${AWS::StackName}-check-trails\n\
         CheckTrailsMachineRole's RoleName is not ${AWS::StackName}-machine-check-trails\n\
         EventsRole's RoleName is not ${AWS::StackName}-events",
    ),
    (
        "AWS's limits are kept",
        |s| {
            let names = &mut resource(s, "TrailTampered")["EventPattern"]["detail"]["eventName"];
            list(names).push(json!("x".repeat(2_000)));
        },
        "TrailTampered's pattern may have more than 2048 characters",
    ),
    (
        "AWS's limits are kept",
        |s| {
            let settings = &mut resource(s, "NotifyFunction")["Environment"]["Variables"];
            settings["GREETING"] = json!("x".repeat(4_000));
        },
        "NotifyFunction's variables may have more than 4096 characters",
    ),
    (
        "AWS's limits are kept",
        |s| {
            let settings = &mut resource(s, "NotifyFunction")["Environment"]["Variables"];
            settings["GREETING"] = json!({"Ref": "Greeting"});
        },
        "NotifyFunction's variables: how long Greeting becomes is not known",
    ),
    (
        "parameters are described, and what must be chosen is",
        |s| remove(&mut s.template.0["Parameters"]["TrailArn"], "Description"),
        "TrailArn has no Description",
    ),
    (
        "parameters are described, and what must be chosen is",
        |s| s.template.0["Parameters"]["Mode"]["Default"] = json!("observe"),
        "Mode has a Default",
    ),
    (
        "parameters are described, and what must be chosen is",
        |s| remove(&mut s.template.0["Parameters"], "NeverBlockCidrs"),
        "there is no parameter NeverBlockCidrs",
    ),
    (
        "roles are narrow",
        |s| statement(s, "NotifyRole", 0)["Action"] = json!("*"),
        "NotifyRole allows `*`",
    ),
    (
        "roles are narrow",
        |s| list(&mut statement(s, "NotifyRole", 0)["Action"]).push(json!("IAM:Put*")),
        "NotifyRole allows `IAM:Put*`",
    ),
    (
        "roles are narrow",
        |s| {
            let statement = statement(s, "NotifyRole", 0);
            remove(statement, "Action");
            statement["NotAction"] = json!("iam:*");
        },
        "NotifyRole allows everything but some actions",
    ),
    (
        "roles are narrow",
        |s| resource(s, "NotifyFunction")["Role"] = arn("DenyAllPolicyRole"),
        "NotifyFunction shares its role with DenyAllPolicyFunction",
    ),
    (
        "roles are narrow",
        |s| remove(resource(s, "NotifyFunction"), "Role"),
        "NotifyFunction has no role of the template",
    ),
    (
        "logs end and hold no data",
        |s| resource(s, "CloudtrailDisabled")["Logging"]["IncludeExecutionData"] = json!(true),
        "CloudtrailDisabled may log its data",
    ),
    (
        "logs end and hold no data",
        |s| remove(resource(s, "Triage"), "Logging"),
        "Triage may log its data\n\
         Triage does not log to a group of the template",
    ),
    (
        "logs end and hold no data",
        |s| remove(resource(s, "NotifyLogs"), "RetentionInDays"),
        "NotifyLogs keeps its logs for ever",
    ),
    (
        "logs end and hold no data",
        |s| remove(resource(s, "NotifyFunction"), "LoggingConfig"),
        "NotifyFunction does not log to a group of the template",
    ),
    (
        "the ledger can be relied on",
        |s| remove(resource(s, "Ledger"), "PointInTimeRecoverySpecification"),
        "Ledger has no point-in-time recovery",
    ),
    (
        "the ledger can be relied on",
        |s| resource(s, "Ledger")["DeletionProtectionEnabled"] = json!(false),
        "Ledger may be deleted",
    ),
    (
        "the ledger can be relied on",
        |s| resource(s, "Ledger")["TimeToLiveSpecification"]["Enabled"] = json!(false),
        "Ledger does not forget at `expiresAt`",
    ),
    (
        "the ledger can be relied on",
        |s| resource(s, "Ledger")["TimeToLiveSpecification"]["AttributeName"] = json!("ttl"),
        "Ledger does not forget at `expiresAt`",
    ),
    (
        "the ledger can be relied on",
        |s| {
            resource(s, "Ledger")["SSESpecification"] =
                json!({"SSEEnabled": true, "KMSMasterKeyId": "alias/ours"});
        },
        "Ledger depends on a key of the customer's",
    ),
    (
        "the ledger can be relied on",
        |s| {
            let settings = &mut s.template.0["Globals"]["Function"]["Environment"]["Variables"];
            settings["LEDGER_TABLE"] = json!("ledger");
        },
        "LEDGER_TABLE is no table of the template for every function",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| drop_resource(s, "TriageFailedAlarm"),
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| drop_resource(s, "RecordBaselineTimedOutAlarm"),
        "no alarm on ExecutionsTimedOut of RecordBaseline",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| drop_resource(s, "CloudtrailDisabledAbortedAlarm"),
        "no alarm on ExecutionsAborted of CloudtrailDisabled",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| resource(s, "Triage")["Type"] = json!("STANDARD"),
        "no alarm on ExecutionsAborted of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| {
            resource(s, "TriageFailedAlarm")["Dimensions"][0]["Value"] =
                json!({"Ref": "RecordBaseline"});
        },
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| {
            let more = json!({"Name": "Stage", "Value": "x"});
            list(&mut resource(s, "TriageFailedAlarm")["Dimensions"]).push(more);
        },
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| resource(s, "TriageFailedAlarm")["AlarmActions"] = json!([]),
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| resource(s, "TriageFailedAlarm")["ActionsEnabled"] = json!(false),
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| resource(s, "TriageFailedAlarm")["Threshold"] = json!(5),
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| resource(s, "TriageFailedAlarm")["Namespace"] = json!("AWS/Lambda"),
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| {
            s.template.0["Resources"]["TriageFailedAlarm"]["Condition"] = json!("EmailGiven");
        },
        "no alarm on ExecutionsFailed of Triage",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| drop_resource(s, "UndeliveredEventsAlarm"),
        "no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for TrailTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for LogArchiveTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for DetectionTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for ResponderTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for SiteChanged\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for PatientsTouched\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for DecoyRead\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for PatientsCopied\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for PatientsDrained\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for CostRaised\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for IamChanged\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for SessionsTaken\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for SignInsAttempted\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for FrontDoorAlarmed\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for FrontDoorTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for BlocksSwept\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for TrailsChecked",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| drop_resource(s, "DetectionTamperedLostAlarm"),
        "no alarm on InvocationsFailedToBeSentToDlq of DetectionTampered",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| {
            resource(s, "TrailsCheckedLostAlarm")["Dimensions"][0]["Value"] =
                json!({"Ref": "TrailTampered"});
        },
        "no alarm on InvocationsFailedToBeSentToDlq of TrailsChecked",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| drop_resource(s, "CheckTrailsSilentAlarm"),
        "no alarm on the silence of CheckTrails, for TrailsChecked",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| resource(s, "CheckTrailsSilentAlarm")["TreatMissingData"] = json!("notBreaching"),
        "no alarm on the silence of CheckTrails, for TrailsChecked",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| {
            resource(s, "UndeliveredEventsAlarm")["Dimensions"][0]["Value"] =
                arn("UndeliveredEvents");
        },
        "no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for TrailTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for LogArchiveTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for DetectionTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for ResponderTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for SiteChanged\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for PatientsTouched\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for DecoyRead\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for PatientsCopied\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for PatientsDrained\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for CostRaised\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for IamChanged\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for SessionsTaken\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for SignInsAttempted\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for FrontDoorAlarmed\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for FrontDoorTampered\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for BlocksSwept\n\
         no alarm on ApproximateNumberOfMessagesVisible of UndeliveredEvents, for TrailsChecked",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| {
            resource(s, "TrailTampered")["Targets"][0]["DeadLetterConfig"]["Arn"] =
                json!("arn:aws:sqs:eu-central-1:111122223333:x");
        },
        "no alarm on a dead-letter queue of TrailTampered",
    ),
    (
        "what stops or is lost wakes somebody",
        |s| {
            resource(s, "Triage")["Events"]["Any"] = json!({"Type": "EventBridgeRule", "Properties": {"DeadLetterConfig": {"Type": "SQS"}}});
        },
        "no alarm on a dead-letter queue of Triage's Any",
    ),
    (
        "everything is traced",
        |s| remove(resource(s, "Triage"), "Tracing"),
        "Triage is not traced",
    ),
    (
        "everything is traced",
        |s| resource(s, "RecordBaseline")["Tracing"]["Enabled"] = json!(false),
        "RecordBaseline is not traced",
    ),
    (
        "everything is traced",
        |s| resource(s, "NotifyFunction")["Tracing"] = json!("PassThrough"),
        "NotifyFunction is not traced",
    ),
    (
        "everything is traced",
        |s| {
            resource(s, "NotifyFunction")["Tracing"] = json!("Active");
            remove(&mut s.template.0["Globals"]["Function"], "Tracing");
        },
        "AssessEventFunction is not traced\n\
         OpenIncidentFunction is not traced\n\
         RestoreCloudtrailFunction is not traced\n\
         RestoreLogArchiveFunction is not traced\n\
         RestoreDetectionFunction is not traced\n\
         RecordBaselineFunction is not traced\n\
         RollBackGrantFunction is not traced\n\
         DenyAllPolicyFunction is not traced\n\
         RevokeSessionsFunction is not traced\n\
         VerifyContainmentFunction is not traced\n\
         CheckTrailsFunction is not traced\n\
         QuarantineObjectFunction is not traced\n\
         PurgeCacheFunction is not traced\n\
         FindReadersFunction is not traced\n\
         FindSessionsFunction is not traced\n\
         TallySignInsFunction is not traced\n\
         BlockIpFunction is not traced\n\
         SweepBlocksFunction is not traced\n\
         DisableCrmUserFunction is not traced\n\
         FindActivityFunction is not traced\n\
         FindOffendersFunction is not traced\n\
         CloseIncidentFunction is not traced",
    ),
    (
        "the firewall stands before both doors",
        |s| remove(&mut s.crm.0["Resources"], "UserPoolFirewall"),
        "WebAcl does not stand before the user pool",
    ),
    (
        "the firewall stands before both doors",
        |s| crm(s, "ApiFirewall")["WebACLArn"] = arn("OtherAcl"),
        "WebAcl does not stand before the API's stage",
    ),
    (
        "the firewall stands before both doors",
        |s| crm(s, "WebAcl")["Rules"][1]["Action"] = json!({"Count": {}}),
        "WebAcl does not block BlockedV6 before anything else",
    ),
    (
        "the firewall stands before both doors",
        |s| crm(s, "WebAcl")["Rules"][0]["Priority"] = json!(9),
        "WebAcl does not block BlockedV4 before anything else",
    ),
    (
        "the firewall stands before both doors",
        |s| crm(s, "BlockedV6")["IPAddressVersion"] = json!("IPV4"),
        "IpSetV6Arn is no set of IPV6 addresses",
    ),
    (
        "the firewall stands before both doors",
        |s| remove(&mut s.crm.0["Resources"], "BlockedV4"),
        "IpSetV4Arn is no IP set of the template\n\
         WebAcl does not block BlockedV6 before anything else",
    ),
    (
        "the firewall stands before both doors",
        |s| remove(&mut s.crm.0["Resources"], "WebAcl"),
        "crm.yaml has 0 web ACLs, and not one",
    ),
    (
        "the reference CRM speaks of what we take",
        |s| s.crm.0["Outputs"]["UserPool"] = json!({"Value": "x"}),
        "crm.yaml's output UserPool is no parameter of template.yaml",
    ),
];

fn contract(promise: &str) -> Contract {
    let found = CONTRACTS.into_iter().find(|it| it.promise == promise);
    found.unwrap_or_else(|| panic!("no contract promises that {promise}"))
}

fn machine<'a>(sources: &'a mut Sources, name: &str) -> &'a mut Value {
    sources.machines.get_mut(name).unwrap()
}

/// A field of a state, at whatever depth the state is; the last field of the path may be new.
fn at<'a>(sources: &'a mut Sources, name: &str, state: &str, path: &str) -> &'a mut Value {
    let machine = machine(sources, name);
    let pointer = pointer_to(machine, state).unwrap_or_else(|| panic!("no state {state}"));
    let state = machine.pointer_mut(&pointer).unwrap();
    path.split('/')
        .filter(|step| !step.is_empty())
        .fold(state, |value, step| match step.parse::<usize>() {
            Ok(n) => &mut value[n],
            Err(_) => &mut value[step],
        })
}

fn pointer_to(value: &Value, state: &str) -> Option<String> {
    if value["States"].get(state).is_some() {
        return Some(format!("/States/{state}"));
    }
    let fields: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(n, value)| (n.to_string(), value))
            .collect(),
        _ => return None,
    };
    fields
        .into_iter()
        .find_map(|(key, value)| Some(format!("/{key}{}", pointer_to(value, state)?)))
}

/// Puts a state of the machine's top level into the processor of a Map called `For each`.
fn in_map(sources: &mut Sources, name: &str, state: &str) {
    let machine = machine(sources, name);
    let states = machine["States"].as_object_mut().unwrap();
    let mut inner = states.remove(state).unwrap();
    let mut map = json!({
        "Type": "Map",
        "Items": [1],
        "ItemProcessor": {"StartAt": state, "States": {"Give up": {"Type": "Pass", "End": true}}},
        "Next": inner["Next"],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": inner["Next"]}],
    });
    remove(&mut inner, "Next");
    inner["End"] = json!(true);
    if let Some(catch) = inner.get_mut("Catch") {
        for catcher in list(catch) {
            catcher["Next"] = json!("Give up");
        }
    }
    map["ItemProcessor"]["States"][state] = inner;
    states.insert("For each".to_owned(), map);
    let text = machine.to_string();
    let renamed = text
        .replace(&format!("\"Next\":\"{state}\""), "\"Next\":\"For each\"")
        .replace(
            &format!("\"Default\":\"{state}\""),
            "\"Default\":\"For each\"",
        );
    *machine = serde_json::from_str(&renamed).unwrap();
}

fn redraw(sources: &mut Sources, name: &str, from: &str, to: &str) {
    let diagram = sources.diagrams.get_mut(name).unwrap();
    assert!(diagram.contains(from), "{name}.mmd has no {from}");
    *diagram = diagram.replace(from, to);
}

/// The properties of a resource of the template.
fn resource<'a>(sources: &'a mut Sources, id: &str) -> &'a mut Value {
    let Template(template) = &mut sources.template;
    let properties = template["Resources"][id].get_mut("Properties");
    properties.unwrap_or_else(|| panic!("no resource {id}"))
}

fn crm<'a>(sources: &'a mut Sources, id: &str) -> &'a mut Value {
    let Template(template) = &mut sources.crm;
    let properties = template["Resources"][id].get_mut("Properties");
    properties.unwrap_or_else(|| panic!("no resource {id}"))
}

fn statement<'a>(sources: &'a mut Sources, role: &str, n: usize) -> &'a mut Value {
    &mut resource(sources, role)["Policies"][0]["PolicyDocument"]["Statement"][n]
}

fn arn(id: &str) -> Value {
    json!({"Fn::GetAtt": [id, "Arn"]})
}

/// Gives a state of triage the Retry of another.
fn copy_retry(sources: &mut Sources, from: &str, to: &str) {
    let retry = at(sources, TRIAGE, from, "Retry").clone();
    *at(sources, TRIAGE, to, "Retry") = retry;
}

fn drop_resource(sources: &mut Sources, id: &str) {
    remove(&mut sources.template.0["Resources"], id);
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().unwrap()
}

fn remove(value: &mut Value, key: &str) {
    let object: &mut Map<String, Value> = value.as_object_mut().unwrap();
    assert!(object.remove(key).is_some(), "nothing called {key}");
}
