//! The diagram against the machine.
//!
//! What a diagram shows: every state as a box, but for Parallel and Map, which are the arrows into
//! their first states and out of their last; `Next` and the rules of a Choice as solid arrows, a
//! rule's Comment on its arrow and any words on the Default's; a Catch as a dotted arrow with its
//! errors on it. The Catch of States.ALL, which everything has, is left out, and with it whatever
//! can be reached through it alone. Retry is never drawn.

use std::collections::{BTreeMap, BTreeSet};

use super::{Project, Runbook, limits::is_common};
use crate::{
    asl::{Exit, Flow, Kind},
    diagram::{Edge, Line, Shape},
};

/// The boxes and arrows of the diagram are those of the machine.
pub(super) fn equal(runbook: &Runbook, _: &Project) -> Vec<String> {
    let mut drawn = Drawing::default();
    drawn.flow(&runbook.flow, &[]);
    let mut violations = drawn.undrawable;
    let diagram = &runbook.diagram;
    for (name, shape) in &drawn.boxes {
        match diagram.boxes.get(*name) {
            None => violations.push(format!("the diagram lacks the box `{name}`")),
            Some(other) if other != shape => {
                violations.push(format!(
                    "the diagram draws `{name}` as {other}, not as {shape}"
                ));
            }
            Some(_) => {}
        }
    }
    for name in diagram.boxes.keys() {
        if !drawn.boxes.contains_key(name.as_str()) {
            violations.push(format!(
                "the diagram has the box `{name}`, the machine no such state"
            ));
        }
    }
    let mut extra: BTreeSet<&Edge> = diagram.edges.difference(&drawn.edges).collect();
    for (from, to) in &drawn.defaults {
        let default = extra.iter().copied().find(|edge| {
            edge.line == Line::Solid
                && !edge.label.is_empty()
                && edge.from == *from
                && edge.to == *to
        });
        match default {
            Some(edge) => {
                extra.remove(edge);
            }
            None => violations.push(format!(
                "the diagram lacks `{from} -- … --> {to}`, the Default, with words on it"
            )),
        }
    }
    for edge in drawn.edges.difference(&diagram.edges) {
        violations.push(format!("the diagram lacks `{edge}`"));
    }
    for edge in extra {
        violations.push(format!("the diagram has `{edge}`, the machine has not"));
    }
    violations
}

/// What the diagram of a machine shows.
#[derive(Default)]
struct Drawing<'a> {
    boxes: BTreeMap<&'a str, Shape>,
    edges: BTreeSet<Edge>,
    defaults: BTreeSet<(&'a str, &'a str)>,
    undrawable: Vec<String>,
}

impl<'a> Drawing<'a> {
    /// Draws a flow, whose last states lead to `after`.
    fn flow(&mut self, flow: &'a Flow, after: &[&'a str]) {
        let mut seen = BTreeSet::new();
        let mut open = vec![flow.start_at.as_str()];
        while let Some(name) = open.pop() {
            let Some((name, state)) = flow.states.get_key_value(name) else {
                continue;
            };
            if !seen.insert(name) {
                continue;
            }
            let exits = state.exits();
            let drawn = exits
                .iter()
                .filter(|(exit, _)| !matches!(exit, Exit::Catch(catcher) if is_common(catcher)));
            open.extend(drawn.clone().map(|(_, to)| to));
            if matches!(state.kind, Kind::Parallel | Kind::Map) {
                let next = state.next.as_deref();
                let after = next.map_or(after.to_vec(), |next| entries(flow, next));
                state.flows().for_each(|inside| self.flow(inside, &after));
                if drawn.count() > usize::from(next.is_some()) {
                    self.undrawable.push(format!(
                        "`{name}` is no box, so its Catch can only be that of States.ALL"
                    ));
                }
                continue;
            }
            let ends = matches!(state.kind, Kind::Succeed | Kind::Fail);
            self.boxes.insert(
                name,
                match state.kind {
                    Kind::Choice => Shape::Decision,
                    _ if ends => Shape::End,
                    _ => Shape::Step,
                },
            );
            for (exit, to) in drawn {
                for to in entries(flow, to) {
                    self.exit(name, *exit, to);
                }
            }
            if state.end {
                for to in after {
                    self.exit(name, Exit::Next, to);
                }
            }
        }
    }

    fn exit(&mut self, from: &'a str, exit: Exit<'a>, to: &'a str) {
        let (line, label) = match exit {
            Exit::Next => (Line::Solid, String::new()),
            Exit::Catch(catcher) => (Line::Dotted, catcher.error_equals.join(", ")),
            Exit::Rule(rule) => {
                let label = rule.comment.clone().unwrap_or_default();
                if label.is_empty() {
                    self.undrawable.push(format!(
                        "`{from}` has a rule to `{to}` without the Comment that is its label"
                    ));
                }
                (Line::Solid, label)
            }
            Exit::Default => {
                self.defaults.insert((from, to));
                return;
            }
        };
        self.edges.insert(Edge {
            from: from.to_owned(),
            line,
            label,
            to: to.to_owned(),
        });
    }
}

/// Where an arrow to `name` ends: at the state itself, or where its branches start.
fn entries<'a>(flow: &'a Flow, name: &'a str) -> Vec<&'a str> {
    match flow.states.get(name) {
        Some(state) if matches!(state.kind, Kind::Parallel | Kind::Map) => state
            .flows()
            .flat_map(|inside| entries(inside, &inside.start_at))
            .collect(),
        _ => vec![name],
    }
}
