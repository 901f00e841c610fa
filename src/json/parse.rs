//! Parses text into nodes. serde_json parses the text; the stricter rules are checked along the way.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use super::{Document, MAX_DEPTH, MAX_INTEGER, MAX_TEXT, Node};

/// Why a text is not strict JSON.
#[derive(Debug, Error)]
#[error("not strict JSON: {error}")]
pub struct InvalidJson {
    #[source]
    error: serde_json::Error,
    exceeds_limit: bool,
}

impl InvalidJson {
    /// Whether the text is longer, or has more values, than this reader accepts: another reader may accept it.
    pub const fn exceeds_limit(&self) -> bool {
        self.exceeds_limit
    }
}

impl From<serde_json::Error> for InvalidJson {
    fn from(error: serde_json::Error) -> Self {
        Self { error, exceeds_limit: false }
    }
}

/// The most bytes that [`Document::parse_within`] allocates for a text of `length` bytes with at most `most` values:
/// strings, nodes, and the names in objects that are still open.
pub const fn most_memory(length: usize, most: usize) -> usize {
    let nodes = most_nodes(length, most);
    length + nodes * size_of::<Node>() + (nodes / 2 + 1) * size_of::<u32>()
}

/// Every node except the first has its own `,`, `:`, `[` or `{` before it, and a byte of its own or a closing
/// bracket. So two bytes make at most one node. Each value has at most one name.
const fn most_nodes(length: usize, most: usize) -> usize {
    let (by_length, by_values) = (length / 2 + 1, most.saturating_mul(2));
    if by_length < by_values { by_length } else { by_values }
}

pub(super) fn parse(text: &[u8], most: usize) -> Result<Document, InvalidJson> {
    if text.len() > MAX_TEXT {
        let long = format_args!("the text is longer than {MAX_TEXT} bytes");
        return Err(InvalidJson { error: serde_json::Error::custom(long), exceeds_limit: true });
    }
    let marks = text.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    let nodes = (marks + 1).min(most_nodes(text.len(), most));
    let mut builder = Builder {
        // Reserved at once, to avoid copies and a second allocation.
        document: Document {
            strings: String::with_capacity(text.len()),
            nodes: Vec::with_capacity(nodes),
        },
        names: Vec::with_capacity(nodes / 2 + 1),
        left: most,
        exceeds_limit: false,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    if let Err(error) = (Nested { builder: &mut builder, depth: 0 }).deserialize(&mut deserializer)
    {
        return Err(InvalidJson { error, exceeds_limit: builder.exceeds_limit });
    }
    deserializer.end()?;
    Ok(builder.document)
}

struct Builder {
    document: Document,
    /// The nodes of the names in objects that are still open.
    names: Vec<u32>,
    /// How many more values are allowed.
    left: usize,
    /// Whether there were more.
    exceeds_limit: bool,
}

impl Builder {
    fn push(&mut self, node: Node) -> usize {
        let at = self.document.nodes.len();
        self.document.nodes.push(node);
        at
    }

    fn push_string(&mut self, text: &str) -> usize {
        let (start, length) = (index(self.document.strings.len()), index(text.len()));
        self.document.strings.push_str(text);
        self.push(Node::String { start, length })
    }

    fn extent(&self, of: usize) -> u32 {
        index(self.document.nodes.len() - of - 1)
    }

    /// A name that occurs twice among those from `first` on.
    fn duplicate(&mut self, first: usize) -> Option<&str> {
        let (document, names) = (&self.document, &mut self.names[first..]);
        let name = |at: &u32| document.string(*at as usize);
        names.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        names.windows(2).find(|two| name(&two[0]) == name(&two[1])).map(|two| name(&two[0]))
    }
}

/// A position or a length: smaller than [`MAX_TEXT`].
fn index(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Reads one value at `depth`.
struct Nested<'b> {
    builder: &'b mut Builder,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Some(left) = self.builder.left.checked_sub(1) else {
            self.builder.exceeds_limit = true;
            return Err(D::Error::custom("it contains too many values"));
        };
        self.builder.left = left;
        deserializer.deserialize_any(self)
    }
}

impl Nested<'_> {
    fn push<E>(self, node: Node) -> Result<(), E> {
        self.builder.push(node);
        Ok(())
    }

    fn integer<E>(self, value: i64) -> Result<(), E> {
        let exact = (-MAX_INTEGER..=MAX_INTEGER).contains(&value);
        self.push(if exact { Node::Integer(value.to_ne_bytes()) } else { Node::Real })
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.push(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.integer(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => self.push(Node::Real),
        }
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.push(Node::Real)
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.builder.push_string(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let builder = self.builder;
        let array = builder.push(Node::Array { count: 0, extent: 0 });
        let mut count = 0;
        while items.next_element_seed(Nested { builder: &mut *builder, depth })?.is_some() {
            count += 1;
        }
        let extent = builder.extent(array);
        builder.document.nodes[array] = Node::Array { count, extent };
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let builder = self.builder;
        let object = builder.push(Node::Object { count: 0, extent: 0 });
        let first = builder.names.len();
        while members.next_key_seed(Name(&mut *builder))?.is_some() {
            members.next_value_seed(Nested { builder: &mut *builder, depth })?;
        }
        if let Some(name) = builder.duplicate(first) {
            let shown: String = name.chars().take(64).collect();
            return Err(A::Error::custom(format_args!("the member {shown:?} occurs twice")));
        }
        let (count, extent) = (index(builder.names.len() - first), builder.extent(object));
        builder.names.truncate(first);
        builder.document.nodes[object] = Node::Object { count, extent };
        Ok(())
    }
}

/// Reads the name of a member.
struct Name<'b>(&'b mut Builder);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        let at = self.0.push_string(name);
        self.0.names.push(index(at));
        Ok(())
    }
}
