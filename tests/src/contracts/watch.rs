//! What makes a broken response visible: alarms and traces.

use serde_json::{Value, json};

use super::Project;
use crate::template::{Resource, Template, each, entries};

/// An alarm wakes somebody when a machine fails, runs out of time or, where that is possible, is
/// stopped; when a rule's dead-letter queue holds an event, or could not take it; and when a rule
/// that keeps time starts nothing.
pub(super) fn alarms(project: &Project) -> Vec<String> {
    let template = &project.template;
    let mut violations = Vec::new();
    for machine in template.of_type("AWS::Serverless::StateMachine") {
        let mut metrics = vec!["ExecutionsFailed", "ExecutionsTimedOut"];
        // Nobody can stop an Express execution.
        if machine.text("Type") != Some("EXPRESS") {
            metrics.push("ExecutionsAborted");
        }
        for metric in metrics {
            let watch = Watch::any("AWS/States", metric, "Sum");
            if !watch.is_kept(template, machine, of_machine(template, machine.id)) {
                violations.push(format!("no alarm on {metric} of {}", machine.id));
            }
        }
    }
    for rule in template.of_type("AWS::Events::Rule") {
        let metric = "InvocationsFailedToBeSentToDlq";
        let dimension = |it: &Value| it["Name"] == "RuleName" && it["Value"]["Ref"] == rule.id;
        if !Watch::any("AWS/Events", metric, "Sum").is_kept(template, rule, dimension) {
            violations.push(format!("no alarm on {metric} of {}", rule.id));
        }
        if rule.properties["ScheduleExpression"].is_null() {
            continue;
        }
        for target in each(&rule.properties["Targets"]) {
            let machine = template.referred(&target["Arn"]);
            let id = machine.map_or(rule.id, |it| it.id);
            if !SILENCE.is_kept(template, rule, of_machine(template, id)) {
                violations.push(format!("no alarm on the silence of {id}, for {}", rule.id));
            }
        }
    }
    for (rule, queue) in dead_letters(template) {
        let Some(queue) = template.referred(queue) else {
            violations.push(format!("no alarm on a dead-letter queue of {rule}"));
            continue;
        };
        let metric = "ApproximateNumberOfMessagesVisible";
        let name = json!({"Fn::GetAtt": [queue.id, "QueueName"]});
        let dimension = |it: &Value| it["Name"] == "QueueName" && it["Value"] == name;
        if !Watch::any("AWS/SQS", metric, "Maximum").is_kept(template, queue, dimension) {
            violations.push(format!("no alarm on {metric} of {}, for {rule}", queue.id));
        }
    }
    violations
}

/// What an alarm has to look at, and when it has to go off.
struct Watch {
    namespace: &'static str,
    metric: &'static str,
    statistic: &'static str,
    comparison: &'static str,
    threshold: u64,
    missing: &'static str,
}

/// Nothing was started.
const SILENCE: Watch = Watch {
    namespace: "AWS/States",
    metric: "ExecutionsStarted",
    statistic: "Sum",
    comparison: "LessThanThreshold",
    threshold: 1,
    missing: "breaching",
};

impl Watch {
    /// It happened once.
    fn any(namespace: &'static str, metric: &'static str, statistic: &'static str) -> Self {
        Self {
            namespace,
            metric,
            statistic,
            comparison: "GreaterThanThreshold",
            threshold: 0,
            missing: "notBreaching",
        }
    }

    /// Whether an alarm that is there whenever `watched` is tells a topic about the first time.
    fn is_kept(
        &self,
        template: &Template,
        watched: Resource<'_>,
        dimension: impl Fn(&Value) -> bool,
    ) -> bool {
        template.of_type("AWS::CloudWatch::Alarm").any(|alarm| {
            let properties = alarm.properties;
            let dimensions = each(&properties["Dimensions"]);
            let tells = each(&properties["AlarmActions"]).iter().any(|it| {
                let action = template.referred(it);
                action.is_some_and(|it| it.kind == "AWS::SNS::Topic")
            });
            alarm
                .condition
                .is_none_or(|it| watched.condition == Some(it))
                && properties["ActionsEnabled"] != Value::Bool(false)
                && properties["Namespace"] == self.namespace
                && properties["MetricName"] == self.metric
                && properties["Statistic"] == self.statistic
                && properties["ComparisonOperator"] == self.comparison
                && properties["Threshold"] == self.threshold
                && properties["TreatMissingData"] == self.missing
                && properties["EvaluationPeriods"] == 1
                && dimensions.len() == 1
                && dimensions.iter().all(&dimension)
                && tells
        })
    }
}

fn of_machine<'a>(template: &'a Template, id: &'a str) -> impl Fn(&Value) -> bool + use<'a> {
    move |it| {
        let found = template.referred(&it["Value"]);
        it["Name"] == "StateMachineArn" && found.is_some_and(|it| it.id == id)
    }
}

/// Every rule with each queue that keeps what it cannot deliver.
fn dead_letters(template: &Template) -> Vec<(String, &Value)> {
    let mut queues = Vec::new();
    for rule in template.of_type("AWS::Events::Rule") {
        for target in each(&rule.properties["Targets"]) {
            queues.push((rule.id.to_owned(), &target["DeadLetterConfig"]["Arn"]));
        }
    }
    for resource in template.resources() {
        for (name, event) in entries(&resource.properties["Events"]) {
            let queue = &event["Properties"]["DeadLetterConfig"]["Arn"];
            queues.push((format!("{}'s {name}", resource.id), queue));
        }
    }
    queues
}

/// Every machine and every function hands its traces to X-Ray.
pub(super) fn traces(project: &Project) -> Vec<String> {
    let template = &project.template;
    let common = &template.0["Globals"]["Function"]["Tracing"];
    let mut violations = Vec::new();
    for machine in template.of_type("AWS::Serverless::StateMachine") {
        if machine.properties["Tracing"]["Enabled"] != Value::Bool(true) {
            violations.push(format!("{} is not traced", machine.id));
        }
    }
    for function in template.of_type("AWS::Serverless::Function") {
        let own = function.properties.get("Tracing");
        if own.unwrap_or(common) != "Active" {
            violations.push(format!("{} is not traced", function.id));
        }
    }
    violations
}
