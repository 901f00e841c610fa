//! A YAML file of a client, as a tree with lines. Rejects aliases and deep nesting, with which a small file could
//! expand to a large one.

use saphyr_parser::{Event, Parser};

const MAX_DEPTH: usize = 16;

/// A part of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    kind: NodeKind,
}

#[derive(Debug, PartialEq, Eq)]
enum NodeKind {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries of a map; empty for anything else.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match &self.kind {
            NodeKind::Map(entries) => entries,
            NodeKind::Scalar(_) | NodeKind::List(_) => &[],
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            NodeKind::List(items) => items,
            NodeKind::Scalar(_) | NodeKind::Map(_) => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(text) => Some(text),
            NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        self.text().is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

/// An open list or map, and the key that waits for its value.
struct Opened {
    node: Node,
    key: Option<String>,
}

/// The first document of `text`; `None` if it is empty.
pub(super) fn parse(text: &str) -> Result<Option<Node>, String> {
    let mut open: Vec<Opened> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))?;
        let line = span.start.line();
        let done = match event {
            Event::Scalar(text, ..) => Node { line, kind: NodeKind::Scalar(text.into_owned()) },
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() == MAX_DEPTH {
                    return Err(format!("line {line}: nested more than {MAX_DEPTH} deep"));
                }
                let list = matches!(event, Event::SequenceStart(..));
                let kind =
                    if list { NodeKind::List(Vec::new()) } else { NodeKind::Map(Vec::new()) };
                open.push(Opened { node: Node { line, kind }, key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(opened) => opened.node,
                None => return Err(format!("line {line}: unexpected end of a list or map")),
            },
            Event::Alias(..) => return Err(format!("line {line}: aliases are not supported")),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd => continue,
        };
        let Some(around) = open.last_mut() else { return Ok(Some(done)) };
        match (&mut around.node.kind, around.key.take()) {
            (NodeKind::List(items), _) => items.push(done),
            (NodeKind::Map(entries), Some(key)) => entries.push((key, done)),
            (NodeKind::Map(_), None) => match done.kind {
                NodeKind::Scalar(key) => around.key = Some(key),
                NodeKind::List(_) | NodeKind::Map(_) => {
                    return Err(format!("line {line}: a key must be a plain word"));
                }
            },
            (NodeKind::Scalar(_), _) => {
                return Err(format!("line {line}: a plain word cannot contain other values"));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_its_lines() {
        let text =
            "# first\nmirrors:\n  \"*\":\n    endpoint:\n      - \"https://gate\"\nflag: true\n";
        let tree = parse(text).unwrap().unwrap();
        let any = tree.get("mirrors").and_then(|mirrors| mirrors.get("*")).unwrap();
        let endpoint = &any.get("endpoint").unwrap().items()[0];
        assert_eq!((endpoint.text(), endpoint.line), (Some("https://gate"), 5));
        assert!(tree.get("flag").unwrap().is_true());
        assert_eq!(parse("# nothing\n"), Ok(None));
    }

    #[test]
    fn a_small_file_cannot_expand_to_a_large_one() {
        assert!(parse("a: &x [1, 2]\nb: *x\n").unwrap_err().contains("aliases"));
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).is_err());
        let deep = "- ".repeat(100_000);
        assert!(parse(&deep).unwrap_err().contains("deep"));
        assert!(parse("a: [1\n").is_err());
    }
}
