//! Reads the playbook diagrams: Mermaid flowcharts, as far as these diagrams use them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A flowchart. Boxes go by their labels, which are the names of states.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagram {
    /// Every box and its shape.
    pub boxes: BTreeMap<String, Shape>,
    /// Every arrow.
    pub edges: BTreeSet<Edge>,
}

/// A box's outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[…]`: something is done.
    Step,
    /// `{…}`: something is decided.
    Decision,
    /// `([…])`: the end.
    End,
}

/// An arrow from one box to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Where it starts.
    pub from: String,
    /// How it is drawn.
    pub line: Line,
    /// What is written on it; may be empty.
    pub label: String,
    /// Where it ends.
    pub to: String,
}

/// How an arrow is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// `-->`: the flow goes on.
    Solid,
    /// `-.->`: an error leads there.
    Dotted,
}

/// Why a text is no diagram that we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Unreadable {
    line: usize,
    why: String,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            line,
            label,
            to,
        } = self;
        match (line, label.as_str()) {
            (Line::Solid, "") => write!(f, "{from} --> {to}"),
            (Line::Solid, label) => write!(f, "{from} -- {label} --> {to}"),
            (Line::Dotted, "") => write!(f, "{from} -.-> {to}"),
            (Line::Dotted, label) => write!(f, "{from} -. {label} .-> {to}"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Step => "[a step]",
            Self::Decision => "{a decision}",
            Self::End => "([an end])",
        })
    }
}

impl Diagram {
    /// Reads a flowchart.
    ///
    /// # Errors
    /// Names the line that is not understood, is drawn twice, or leaves a box without a label.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let mut reader = Reader::default();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            let understood = match line.split_whitespace().next() {
                None => Ok(()),
                Some("flowchart") if n == 0 => Ok(()),
                Some(word) if word.starts_with("%%") => Ok(()),
                Some(_) => reader.chain(line),
            };
            understood.map_err(|why| Unreadable { line: n + 1, why })?;
        }
        reader.finish().map_err(|why| Unreadable {
            line: text.lines().count(),
            why,
        })
    }
}

#[derive(Default)]
struct Reader<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    boxes: BTreeMap<String, Shape>,
    arrows: Vec<(&'a str, Line, &'a str, &'a str)>,
}

impl<'a> Reader<'a> {
    /// `A[One] & B --> C -- label --> D`.
    fn chain(&mut self, line: &'a str) -> Result<(), String> {
        let (mut from, mut rest) = self.group(line)?;
        while !rest.is_empty() {
            let (kind, label, after) = arrow(rest)?;
            let (to, after) = self.group(after)?;
            for from in &from {
                for to in &to {
                    self.arrows.push((from, kind, label, to));
                }
            }
            (from, rest) = (to, after);
        }
        Ok(())
    }

    /// `A[One] & B`, and what follows it.
    fn group(&mut self, text: &'a str) -> Result<(Vec<&'a str>, &'a str), String> {
        let (id, mut rest) = self.node(text)?;
        let mut ids = vec![id];
        while let Some(more) = rest.strip_prefix('&') {
            let (id, after) = self.node(more)?;
            ids.push(id);
            rest = after;
        }
        Ok((ids, rest))
    }

    /// `A[One]` or `A`, and what follows it.
    fn node(&mut self, text: &'a str) -> Result<(&'a str, &'a str), String> {
        let text = text.trim_start();
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        let (id, rest) = text.split_at(end);
        if id.is_empty() {
            return Err(format!("expected a box at `{text}`"));
        }
        for (open, close, shape) in [
            ("([", "])", Shape::End),
            ("[", "]", Shape::Step),
            ("{", "}", Shape::Decision),
        ] {
            let Some(inner) = rest.strip_prefix(open) else {
                continue;
            };
            let (label, after) = until(inner, close)?;
            if self.labels.insert(id, label).is_some() {
                return Err(format!("the box {id} has two labels"));
            }
            if self.boxes.insert(label.to_owned(), shape).is_some() {
                return Err(format!("two boxes are labelled “{label}”"));
            }
            return Ok((id, after.trim_start()));
        }
        Ok((id, rest.trim_start()))
    }

    fn finish(self) -> Result<Diagram, String> {
        let label = |id: &str| {
            let label = self.labels.get(id).map(|label| (*label).to_owned());
            label.ok_or_else(|| format!("the box {id} has no label"))
        };
        let mut edges = BTreeSet::new();
        for (from, line, text, to) in self.arrows {
            let edge = Edge {
                from: label(from)?,
                line,
                label: text.to_owned(),
                to: label(to)?,
            };
            if edges.contains(&edge) {
                return Err(format!("drawn twice: {edge}"));
            }
            edges.insert(edge);
        }
        Ok(Diagram {
            boxes: self.boxes,
            edges,
        })
    }
}

/// An arrow with its label, and what follows it.
fn arrow(text: &str) -> Result<(Line, &str, &str), String> {
    for (open, close, line) in [("-.", ".->", Line::Dotted), ("--", "-->", Line::Solid)] {
        let plain = if line == Line::Dotted { "-.->" } else { "-->" };
        if let Some(after) = text.strip_prefix(plain) {
            let Some(label) = after.trim_start().strip_prefix('|') else {
                return Ok((line, "", after));
            };
            let (label, after) = until(label, "|")?;
            return Ok((line, label, after));
        }
        if let Some(label) = text.strip_prefix(open) {
            let (label, after) = until(label, close)?;
            return Ok((line, label, after));
        }
    }
    Err(format!("expected an arrow at `{text}`"))
}

/// A label up to `close`, without the quotes it may have, and what follows it.
fn until<'a>(text: &'a str, close: &str) -> Result<(&'a str, &'a str), String> {
    let missing = || format!("expected `{close}` after `{text}`");
    if let Some(label) = text.trim_start().strip_prefix('"') {
        let (label, after) = label.split_once('"').ok_or_else(missing)?;
        let after = after.trim_start().strip_prefix(close).ok_or_else(missing)?;
        return Ok((label, after));
    }
    let (label, after) = text.split_once(close).ok_or_else(missing)?;
    Ok((label.trim(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(text: &str) -> String {
        let diagram = Diagram::read(text).unwrap();
        let edges: Vec<_> = diagram.edges.iter().map(Edge::to_string).collect();
        edges.join("\n")
    }

    #[test]
    fn every_way_to_draw_an_arrow_is_read() {
        insta::assert_snapshot!(edges(
            "flowchart TD
              %% a remark
              A[Ask: now] --> V{Is it?} -- no, never --> I([Ignored])
              V -->|yes| S[Start]
              S -. Gone .-> A
              S -.-> I
              S -. \"One, Two.Three\" .-> B[\"Box (quoted)\"]
            "
        ), @"
        Ask: now --> Is it?
        Is it? -- no, never --> Ignored
        Is it? -- yes --> Start
        Start -.-> Ignored
        Start -. Gone .-> Ask: now
        Start -. One, Two.Three .-> Box (quoted)
        ");
    }

    #[test]
    fn groups_fan_out_and_in() {
        insta::assert_snapshot!(edges(
            "flowchart LR
              A[One] & B[Two] --> C[Three] & D[Four] --> E[Five]"
        ), @"
        Four --> Five
        One --> Four
        One --> Three
        Three --> Five
        Two --> Four
        Two --> Three
        ");
    }

    #[test]
    fn shapes_are_kept() {
        let diagram = Diagram::read("flowchart TD\nA[a] --> B{b?} -- c --> C([c])").unwrap();
        let shapes: Vec<_> = diagram.boxes.values().copied().collect();
        assert_eq!(shapes, [Shape::Step, Shape::Decision, Shape::End]);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_line() {
        for (text, error) in [
            ("A[a] -> B[b]", "line 1: expected an arrow at `-> B[b]`"),
            ("flowchart TD\nA[a] --> B", "line 2: the box B has no label"),
            ("A[a] --> B[a]", "line 1: two boxes are labelled “a”"),
            ("A[a] --> A[b]", "line 1: the box A has two labels"),
            ("A[a] --> B[b]\nA --> B", "line 2: drawn twice: a --> b"),
            ("A[a] -- why", "line 1: expected `-->` after ` why`"),
            ("A[a] --> ", "line 1: expected a box at ``"),
            ("A[a", "line 1: expected `]` after `a`"),
        ] {
            assert_eq!(Diagram::read(text).unwrap_err().to_string(), error);
        }
    }
}
