//! What the machines hand to the workers and take from their answers, against the workers' types.

use std::collections::{BTreeMap, BTreeSet};

use schemars::Schema;
use serde_json::{Map, Value};

use super::{INVOKE, Project, Runbook, wiring};
use crate::asl::{State, Written, expression, jsonata::Expression};

/// Every key of a Task's Payload is a property of the worker's input, every required property is
/// there, and literals have the right type; what an expression yields cannot be known here.
pub(super) fn fit(runbook: &Runbook, project: &Project) -> Vec<String> {
    let states = runbook.flow.walk();
    let tasks = states
        .iter()
        .filter(|(_, state)| state.resource.as_deref() == Some(INVOKE));
    tasks
        .flat_map(|(name, state)| {
            misfits_of(state, project)
                .into_iter()
                .map(move |misfit| format!("`{name}`: {misfit}"))
        })
        .collect()
}

/// What a machine takes from a worker's answer, at once or through the variable that keeps it, is
/// a property of that answer: a field that is not there is an error on AWS, amid an incident.
pub(super) fn answers_have_what_is_read(runbook: &Runbook, project: &Project) -> Vec<String> {
    let states = runbook.flow.walk();
    let mut kept: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (_, state) in &states {
        for (variable, value) in &state.assign {
            if value == "{% $states.result.Payload %}" {
                let workers = kept.entry(variable).or_default();
                workers.extend(wiring::worker_of(state));
            }
        }
    }
    let mut violations = Vec::new();
    for (name, state) in states {
        for Written { path, text } in state.texts() {
            let Some(Ok(read)) = expression(text).map(Expression::read) else {
                continue;
            };
            for taken in read.paths("states") {
                if let ["result", "Payload", field, ..] = taken.as_slice() {
                    let worker = BTreeSet::from_iter(wiring::worker_of(state));
                    if !answer_has(field, &worker, project) {
                        violations.push(format!(
                            "`{name}` takes `{field}` of the answer in {path}: there is none"
                        ));
                    }
                }
            }
            for (variable, workers) in &kept {
                for taken in read.paths(variable) {
                    if let [field, ..] = taken.as_slice()
                        && !answer_has(field, workers, project)
                    {
                        violations.push(format!(
                            "`{name}` takes `{field}` of ${variable} in {path}: there is none"
                        ));
                    }
                }
            }
        }
    }
    violations
}

fn answer_has(field: &str, workers: &BTreeSet<String>, project: &Project) -> bool {
    field == "[]"
        || workers.iter().any(|worker| {
            project.workers.get(worker.as_str()).is_none_or(|schemas| {
                let root = &schemas.answer;
                let declared = Fitting { worker, root }.declared(root.as_value());
                declared.is_none_or(|declared| declared.contains(&field))
            })
        })
}

fn misfits_of(state: &State, project: &Project) -> Vec<String> {
    let Some(worker) = wiring::worker_of(state) else {
        return vec!["`FunctionName` is not of the form `${WorkerArn}`".to_owned()];
    };
    let Some(schemas) = project.workers.get(worker.as_str()) else {
        return vec![format!("there is no worker `{worker}`")];
    };
    match state.payload() {
        Some(payload @ Value::Object(_)) => {
            let fitting = Fitting {
                worker: &worker,
                root: &schemas.payload,
            };
            fitting.misfits(payload, schemas.payload.as_value(), "Payload")
        }
        _ => vec!["`Payload` is not an object of named values".to_owned()],
    }
}

struct Fitting<'a> {
    worker: &'a str,
    root: &'a Schema,
}

impl<'a> Fitting<'a> {
    fn misfits(&self, value: &Value, schema: &'a Value, path: &str) -> Vec<String> {
        if value
            .as_str()
            .is_some_and(|text| expression(text).is_some())
        {
            return Vec::new();
        }
        let mut misfits = self.partly(value, schema, path);
        if let Value::Object(object) = value
            && let Some(declared) = self.declared(schema)
        {
            for key in object
                .keys()
                .filter(|key| !declared.contains(&key.as_str()))
            {
                misfits.push(format!("{} does not take `{path}.{key}`", self.worker));
            }
        }
        misfits
    }

    /// What does not fit this schema, which may be one of several that describe the value.
    fn partly(&self, value: &Value, schema: &'a Value, path: &str) -> Vec<String> {
        let Value::Object(keywords) = schema else {
            return Vec::new();
        };
        let mut misfits = Vec::new();
        if let Some(referred) = self.referred(keywords) {
            misfits.extend(self.partly(value, referred, path));
        }
        for all in each(keywords, "allOf") {
            misfits.extend(self.partly(value, all, path));
        }
        for one_of in ["anyOf", "oneOf"] {
            // Of alternatives that all do not fit, the nearest says best what is wrong.
            let nearest = each(keywords, one_of)
                .map(|one| (self.is_of_kind(value, one), self.partly(value, one, path)))
                .min_by_key(|(of_kind, misfits)| (misfits.len().min(1), !of_kind, misfits.len()));
            misfits.extend(nearest.map(|(_, misfits)| misfits).unwrap_or_default());
        }
        let worker = self.worker;
        if !is_of_type(value, keywords) {
            misfits.push(format!("{worker} takes another type of `{path}`"));
        }
        let allowed = each(keywords, "enum").chain(keywords.get("const"));
        let allowed: Vec<_> = allowed.collect();
        if !allowed.is_empty() && !allowed.contains(&value) {
            misfits.push(format!("{worker} takes other values of `{path}`"));
        }
        match value {
            Value::Object(object) => {
                for required in each(keywords, "required").filter_map(Value::as_str) {
                    if !object.contains_key(required) {
                        misfits.push(format!("{worker} requires `{path}.{required}`"));
                    }
                }
                for (key, value) in object {
                    let property = keywords.get("properties").and_then(|all| all.get(key));
                    if let Some(schema) = property.or(keywords.get("additionalProperties")) {
                        misfits.extend(self.misfits(value, schema, &format!("{path}.{key}")));
                    }
                }
            }
            Value::Array(values) => {
                if let Some(schema) = keywords.get("items") {
                    for (n, value) in values.iter().enumerate() {
                        misfits.extend(self.misfits(value, schema, &format!("{path}.{n}")));
                    }
                }
            }
            _ => {}
        }
        misfits
    }

    /// Whether the value has a schema's type, whatever is in it.
    fn is_of_kind(&self, value: &Value, schema: &'a Value) -> bool {
        let Some(keywords) = schema.as_object() else {
            return true;
        };
        let referred = self.referred(keywords);
        is_of_type(value, keywords) && referred.is_none_or(|it| self.is_of_kind(value, it))
    }

    /// The properties that a schema names in all its parts; none when it takes any.
    fn declared(&self, schema: &'a Value) -> Option<Vec<&'a str>> {
        let keywords = schema.as_object()?;
        let parts: Vec<_> = self
            .referred(keywords)
            .into_iter()
            .chain(
                ["allOf", "anyOf", "oneOf"]
                    .iter()
                    .flat_map(|of| each(keywords, of)),
            )
            .filter_map(|part| self.declared(part))
            .collect();
        let own = keywords.get("properties").and_then(Value::as_object);
        if matches!(keywords.get("additionalProperties"), Some(more) if *more != Value::Bool(false))
            || own.is_none() && parts.is_empty()
        {
            return None;
        }
        let own = own.into_iter().flat_map(Map::keys).map(String::as_str);
        Some(own.chain(parts.into_iter().flatten()).collect())
    }

    fn referred(&self, keywords: &Map<String, Value>) -> Option<&'a Value> {
        let pointer = keywords.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)
    }
}

fn each<'a>(keywords: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    keywords
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn is_of_type(value: &Value, keywords: &Map<String, Value>) -> bool {
    let Some(types) = keywords.get("type") else {
        return true;
    };
    let names = crate::template::each(types);
    names
        .iter()
        .filter_map(Value::as_str)
        .any(|name| match name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn misfits(value: &Value, schema: Value) -> Vec<String> {
        let root = Schema::try_from(schema).unwrap();
        let fitting = Fitting {
            worker: "it",
            root: &root,
        };
        fitting.misfits(value, root.as_value(), "Payload")
    }

    #[test]
    fn references_lists_and_alternatives_are_followed() {
        let schema = json!({
            "type": "object",
            "properties": {
                "list": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "any": true,
                "maybe": {"anyOf": [{"$ref": "#/$defs/Item"}, {"type": "null"}]},
            },
            "required": ["list"],
            "oneOf": [
                {"properties": {"kind": {"const": "a"}, "left": {"type": "string"}},
                 "required": ["kind", "left"]},
                {"properties": {"kind": {"const": "b"}, "right": {"type": ["string", "null"]}},
                 "required": ["kind"]},
            ],
            "unevaluatedProperties": false,
            "$defs": {"Item": {"type": "object", "properties": {"n": {"type": "number"}},
                               "required": ["n"], "additionalProperties": false}},
        });
        let fits = json!({
            "list": [{"n": 1}, {"n": "{% $n %}"}, "{% $item %}"],
            "map": {"x": 1}, "any": {"thing": []}, "kind": "b", "right": null,
        });
        assert_eq!(misfits(&fits, schema.clone()), [""; 0]);
        for (value, misfit) in [
            (json!({"kind": "b"}), "it requires `Payload.list`"),
            (
                json!({"list": [], "kind": "b", "more": 1}),
                "it does not take `Payload.more`",
            ),
            (
                json!({"list": [], "kind": "a"}),
                "it requires `Payload.left`",
            ),
            (
                json!({"list": [{}], "kind": "b"}),
                "it requires `Payload.list.0.n`",
            ),
            (
                json!({"list": [{"n": 1, "m": 1}], "kind": "b"}),
                "it does not take `Payload.list.0.m`",
            ),
            (
                json!({"list": [], "map": {"x": "y"}, "kind": "b"}),
                "it takes another type of `Payload.map.x`",
            ),
            (
                json!({"list": [], "maybe": {}, "kind": "b"}),
                "it requires `Payload.maybe.n`",
            ),
            (
                json!({"list": {}, "kind": "b"}),
                "it takes another type of `Payload.list`",
            ),
            (
                json!({"list": [], "kind": "c"}),
                "it takes other values of `Payload.kind`",
            ),
        ] {
            assert_eq!(misfits(&value, schema.clone()), [misfit], "{value}");
        }
    }
}
