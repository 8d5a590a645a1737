//! The responder itself: whoever disarms it, those who may change it, and its own actions.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::try_join;

use super::{Drill, Report, answered, answered_by, proof, undone};
use crate::{
    range::{
        ACCOUNT, Attacker, Context, Event, LOG_BUCKET, PAGE, Range, Result, Run, SHARED, SITE,
        STACK, TRAIL_ARN,
    },
    template::{Statement, Template, text},
};

pub(super) const RULE_DISABLED: Drill = Drill {
    name: "rule-disabled",
    what: "a user turns off the rule that watches the trail",
    run: |range, report| Box::pin(rule_disabled(range, report)),
};

async fn rule_disabled(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("diana").await?;
    let rule = range.watcher("-trail-tampered")?.name();
    report.attack(format!("diana calls events:DisableRule on {rule}"));
    undone(range, report, &user, async || user.disable_rule(rule).await).await
}

pub(super) const RULE_DELETED: Drill = Drill {
    name: "rule-deleted",
    what: "a user deletes the rule that watches the trail",
    run: |range, report| Box::pin(rule_deleted(range, report)),
};

async fn rule_deleted(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("delia").await?;
    let watcher = range.watcher("-trail-tampered")?;
    let before = range.snapshot().await?;
    report.attack(format!(
        "delia calls events:RemoveTargets and DeleteRule on {}",
        watcher.name()
    ));
    let [removed, deleted] = user.delete_rule(watcher).await?;
    proof::surveillance_is_damaged(range, report, &before).await?;

    let (one, other) = try_join!(range.deliver(&removed), range.deliver(&deleted))?;
    for (event, deliveries) in [(&removed, &one), (&deleted, &other)] {
        let run = answered_by(range, report, event, deliveries).await?;
        proof::ended_green(report, &run)?;
    }

    proof::surveillance_is_back(range, report, &before).await?;
    proof::user_is_denied(range, report, &user).await?;
    let again = user.disable_rule(watcher.name()).await;
    proof::refused_again(report, again)
}

pub(super) const RESPONDER_DISARMED: Drill = Drill {
    name: "responder-disarmed",
    what: "a user denies everything to the worker that restores trails, then stops the trail",
    run: |range, report| Box::pin(responder_disarmed(range, report)),
};

async fn responder_disarmed(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("dennis").await?;
    let worker = format!("{STACK}-restore-cloudtrail");
    report.attack(format!(
        "dennis calls iam:PutRolePolicy on {worker}, then cloudtrail:StopLogging"
    ));
    let event = user.disarm_role(&worker).await?;
    user.stop_trail().await?;
    let disarmed = disarmed(range, report, &user, &event).await;
    let delete = range.aws.iam.delete_role_policy().role_name(&worker);
    let armed = delete.policy_name("disarmed").send().await;
    armed.context("iam:DeleteRolePolicy")?;
    let run = disarmed?;
    proof::refused_again(report, user.disarm_role(&worker).await)?;

    report.attack("humans deploy the stack again, and use New execution with the same input");
    let opened = run.answers("Open incident").next();
    let input = &opened.context("no incident was opened")?["incident"];
    let again = range.output("CloudtrailDisabledArn")?;
    let again = range.run(again, input).await?;
    report.done(&again);
    proof::trail_logs(range, report).await
}

async fn disarmed(
    range: &Range,
    report: &mut Report<'_>,
    user: &Attacker,
    event: &Event,
) -> Result<Run> {
    let run = answered(range, report, event).await?;

    proof::ended_red(report, &run, "deploy this stack again")?;
    report.proves(
        "the step that was disarmed failed",
        run.failures("Restore CloudTrail").next().is_some(),
    )?;
    report.proves("the trail is still silent", !range.trail_logs().await?)?;
    proof::user_is_denied(range, report, user).await?;
    Ok(run)
}

pub(super) const BASELINE_BY_STRANGER: Drill = Drill {
    name: "baseline-by-stranger",
    what: "a user who is no operator records that the trail may write to their own bucket",
    run: |range, report| Box::pin(baseline_by_stranger(range, report)),
};

async fn baseline_by_stranger(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let user = range.attacker_user("boris").await?;
    let machine = range.output("RecordBaselineArn")?;
    let input = json!({
        "reason": "new log account",
        "intended": {"trail": {"s3BucketName": "boriss-own"}},
    });
    let made = range
        .aws
        .s3
        .create_bucket()
        .bucket("boriss-own")
        .send()
        .await;
    made.context("creating a bucket for boris")?;
    report.attack("boris starts record-baseline, with an intended change");
    let (event, execution) = user.start(machine, &input).await?;
    let recorded = range.end_of(&execution).await?;
    report.proves("it is recorded", recorded.succeeded())?;

    let run = answered(range, report, &event).await?;

    proof::ended_red(report, &run, "have an operator record the baseline again")?;
    proof::user_is_denied(range, report, &user).await?;
    let again = user.start(machine, &input).await;
    proof::refused_again(report, again.map(|(event, _)| event))
}

pub(super) const DEPLOYMENT_LEFT_ALONE: Drill = Drill {
    name: "deployment-left-alone",
    what: "the deploy role may change us through CloudFormation, and not otherwise",
    run: |range, report| Box::pin(deployment_left_alone(range, report)),
};

async fn deployment_left_alone(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let deployer = range.attacker_session(SHARED, "run-21").await?;
    let colleague = range.attacker_session(SHARED, "run-22").await?;
    let rule = range.watcher("-trail-tampered")?.name();
    let before = range.snapshot().await?;

    report.attack("run-21, a session of deploy, updates our stack");
    let call = |service, name, request: Value| {
        Event::of_call(&deployer.identity, service, name, &request, "")
    };
    let deployment = [
        call(
            "cloudformation",
            "ExecuteChangeSet",
            json!({"stackName": STACK, "changeSetName": "samcli-deploy"}),
        ),
        call(
            "lambda",
            "UpdateFunctionCode20150331v2",
            json!({"functionName": "tourniquet-deny-all-policy"}),
        )
        .through(CLOUDFORMATION),
        call("events", "PutRule", json!({"name": rule})).through(CLOUDFORMATION),
        call(
            "states",
            "UpdateStateMachine",
            json!({"stateMachineArn": range.output("CloudtrailDisabledArn")?}),
        )
        .through(CLOUDFORMATION),
    ];
    let seen = range.deliver_all(&deployment).await?;
    for delivery in &seen {
        report.seen(delivery);
    }
    report.proves("rules saw all of it", seen.len() == deployment.len())?;
    proof::ignored(report, "it started nothing", &seen)?;

    report.attack(format!("run-21 calls events:DisableRule on {rule}"));
    let event = deployer.disable_rule(rule).await?;
    let run = answered(range, report, &event).await?;
    proof::ended_green(report, &run)?;
    proof::surveillance_is_back(range, report, &before).await?;
    proof::refused_again(report, deployer.disable_rule(rule).await)?;
    proof::may_work(report, &colleague).await
}

const CLOUDFORMATION: &str = "cloudformation.amazonaws.com";

pub(super) const OUR_OWN_ACTIONS: Drill = Drill {
    name: "our-own-actions",
    what: "everything that our own roles may call, replayed as events",
    run: |range, report| Box::pin(our_own_actions(range, report)),
};

async fn our_own_actions(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let before = range.snapshot().await?;
    let template = Template::read(include_str!("../../../infra/template.yaml"))?;
    let mut events = Vec::new();
    for role in template.of_type("AWS::IAM::Role") {
        let name = text(&role.properties["RoleName"]).context("a role has a name")?;
        let identity = session_of(&name.replace("${AWS::StackName}", STACK));
        let statements = template.statements(role);
        let actions: BTreeSet<_> = statements.flat_map(Statement::actions).collect();
        for action in actions.into_iter().filter(|action| is_write(action)) {
            events.extend(replayed(range, &identity, action)?);
        }
    }
    report.attack(format!("{} calls of our own roles arrive", events.len()));

    let seen = range.deliver_all(&events).await?;

    for delivery in &seen {
        report.seen(delivery);
    }
    report.proves("rules saw some of them", !seen.is_empty())?;
    // The replayed requests are bare: what they did is told to people where it cannot be judged.
    report.proves(
        "they started nothing",
        seen.iter().all(|delivery| delivery.incident().is_none()),
    )?;
    let after = range.snapshot().await?;
    let mut changes = after.surveillance_since(&before);
    changes.extend(after.iam.changes_since(&before.iam));
    report.proves_unchanged("nothing was changed", &changes)
}

/// Rules are not shown what only reads.
fn is_write(action: &str) -> bool {
    let name = action.split(':').next_back().unwrap_or_default();
    !["Describe", "Get", "List"]
        .iter()
        .any(|read| name.starts_with(read))
}

/// A session of one of our roles.
fn session_of(role: &str) -> Value {
    json!({
        "type": "AssumedRole",
        "principalId": format!("AROAEXAMPLEEXAMPLE123:{role}"),
        "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{role}"),
        "accountId": ACCOUNT,
        "sessionContext": {"sessionIssuer": {
            "type": "Role",
            "principalId": "AROAEXAMPLEEXAMPLE123",
            "arn": format!("arn:aws:iam::{ACCOUNT}:role/tourniquet/{role}"),
            "accountId": ACCOUNT,
            "userName": role,
        }},
    })
}

/// The events of one action that an IAM policy allows, aimed at what is watched.
fn replayed(range: &Range, identity: &Value, action: &str) -> Result<Vec<Event>> {
    let (service, name) = action.split_once(':').context("an action has a service")?;
    // IAM and CloudTrail name these differently.
    let name = match name {
        "PutLifecycleConfiguration" => "PutBucketLifecycle",
        "PutEncryptionConfiguration" => "PutBucketEncryption",
        name => name,
    };
    let requests = match service {
        "cloudtrail" => vec![json!({"name": TRAIL_ARN, "trailName": TRAIL_ARN})],
        // Objects are the site's and the quarantine's; only the settings of the log bucket are changed.
        "s3" if name.contains("Object") => vec![json!({"bucketName": SITE, "key": PAGE})],
        "s3" => vec![json!({"bucketName": LOG_BUCKET})],
        "kms" => vec![json!({"keyId": range.key})],
        "events" => {
            let rule = range.watcher("-trail-tampered")?.name();
            vec![json!({"name": rule, "rule": rule})]
        }
        // None of our roles may start the recording of a baseline.
        "states" => ["CloudtrailDisabledArn", "SiteVandalismArn", "TriageArn"]
            .into_iter()
            .map(|output| Ok(json!({"stateMachineArn": range.output(output)?})))
            .collect::<Result<_>>()?,
        // Whoever was contained.
        "iam" => vec![json!({"roleName": "admin", "userName": "eve"})],
        _ => vec![json!({})],
    };
    Ok(requests
        .iter()
        .map(|request| Event::of_call(identity, service, name, request, ""))
        .collect())
}
