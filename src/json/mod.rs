//! Strict JSON: no duplicate members, bounded depth, UTF-8 only, no data after the value. A text that two parsers
//! could read differently is an error, so that content is not verified as one thing and used as another. Knows no
//! format that is written in JSON.
//!
//! # Memory
//!
//! A [`Document`] has two allocations: its strings, and one node of 12 bytes for each value and each member name.
//! [`most_memory`] is the upper bound, so that callers can reserve memory before they parse.

mod case;
mod parse;

use std::fmt;

pub use parse::{InvalidJson, most_memory};

/// The maximum nesting depth.
pub const MAX_DEPTH: usize = 32;

/// The default maximum number of values in one text; members and items count, names do not.
pub const MAX_VALUES: usize = 1_500_000;

/// The longest text in bytes.
pub const MAX_TEXT: usize = 64 << 20;

/// The largest magnitude at which every integer is an exact double: 2^53 - 1. Beyond it, readers that use doubles see
/// another number.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// A parsed text. It owns its strings and does not borrow the text.
pub struct Document {
    /// All unescaped strings and names, one after the other.
    strings: String,
    /// The values in the order of the text. The content of an array or object follows it directly;
    /// in an object, each value follows its name.
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
enum Node {
    Null,
    Bool(bool),
    /// An `i64` in native byte order: as bytes, so that a node takes 12 bytes, not 16.
    Integer([u8; 8]),
    Real,
    String {
        start: u32,
        length: u32,
    },
    /// `extent` is the number of nodes in the content.
    Array {
        count: u32,
        extent: u32,
    },
    Object {
        count: u32,
        extent: u32,
    },
}

/// One value of a [`Document`].
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is not an exact integer, or is not written as one. No format here uses them.
    Real,
    String(&'a str),
    Array(Array<'a>),
    Object(Object<'a>),
}

/// The items of an array.
#[derive(Clone, Copy)]
pub struct Array<'a>(Children<'a>);

/// The members of an object, in the order of the text. Names are unique.
#[derive(Clone, Copy)]
pub struct Object<'a>(Children<'a>);

/// The nodes of an array or an object.
#[derive(Clone, Copy)]
struct Children<'a> {
    document: &'a Document,
    count: usize,
    /// Where the next value begins, and where the content ends, in `Document::nodes`.
    next: usize,
    end: usize,
}

impl Document {
    /// Parses `text`, which must be exactly one value and contain at most [`MAX_VALUES`] values.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJson> {
        Self::parse_within(text, MAX_VALUES)
    }

    /// Parses `text`, which must be exactly one value and contain at most `most` values.
    pub fn parse_within(text: &[u8], most: usize) -> Result<Self, InvalidJson> {
        parse::parse(text, most)
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        self.value(0)
    }

    fn value(&self, at: usize) -> Value<'_> {
        let content = |count: u32, extent: u32| Children {
            document: self,
            count: count as usize,
            next: at + 1,
            end: at + 1 + extent as usize,
        };
        match self.nodes.get(at) {
            None | Some(Node::Null) => Value::Null,
            Some(Node::Bool(bool)) => Value::Bool(*bool),
            Some(Node::Integer(bytes)) => Value::Integer(i64::from_ne_bytes(*bytes)),
            Some(Node::Real) => Value::Real,
            Some(Node::String { .. }) => Value::String(self.string(at)),
            Some(Node::Array { count, extent }) => Value::Array(Array(content(*count, *extent))),
            Some(Node::Object { count, extent }) => Value::Object(Object(content(*count, *extent))),
        }
    }

    fn string(&self, at: usize) -> &str {
        let Some(Node::String { start, length }) = self.nodes.get(at) else { return "" };
        let start = *start as usize;
        self.strings.get(start..start + *length as usize).unwrap_or_default()
    }

    /// Where the value after the one at `at` begins.
    fn after(&self, at: usize) -> usize {
        let extent = match self.nodes.get(at) {
            Some(Node::Array { extent, .. } | Node::Object { extent, .. }) => *extent as usize,
            Some(
                Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Real | Node::String { .. },
            )
            | None => 0,
        };
        at + 1 + extent
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl<'a> Value<'a> {
    /// The member `name`; `None` if there is none, or if this is not an object.
    pub fn member(self, name: &str) -> Option<Value<'a>> {
        self.as_object()?.member(name)
    }

    /// The member `name`; `None` if it is absent or null, which Go's decoders do not distinguish.
    pub fn present(self, name: &str) -> Option<Value<'a>> {
        self.member(name).filter(|member| !member.is_null())
    }

    /// The first member whose name differs from one of `known` only in case. Go's decoder would read
    /// it as that member.
    pub fn miscased(self, known: &[&str]) -> Option<&'a str> {
        self.as_object()?.names().find(|name| case::is_miscased(name, known))
    }

    /// The member whose name is `name` if case is ignored, as Go's decoder finds it. A name that occurs in two cases is an
    /// error: readers would choose differently.
    pub fn member_in_any_case(self, name: &'static str) -> Result<Option<Value<'a>>, &'static str> {
        let Some(object) = self.as_object() else { return Ok(None) };
        let is_name = |other: &str| other == name || case::is_miscased(other, &[name]);
        let mut found = object.iter().filter(|(other, _)| is_name(other)).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (found, None) => Ok(found),
            (_, Some(_)) => Err(name),
        }
    }

    pub const fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    pub const fn as_object(self) -> Option<Object<'a>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    pub const fn as_array(self) -> Option<Array<'a>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub const fn as_str(self) -> Option<&'a str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub const fn as_integer(self) -> Option<i64> {
        if let Self::Integer(integer) = self { Some(integer) } else { None }
    }
}

impl<'a> Array<'a> {
    /// The number of items.
    pub const fn len(self) -> usize {
        self.0.count
    }

    pub const fn is_empty(self) -> bool {
        self.0.count == 0
    }

    pub fn iter(self) -> Items<'a> {
        Items(self.0)
    }
}

impl<'a> Object<'a> {
    /// The number of members.
    pub const fn len(self) -> usize {
        self.0.count
    }

    pub const fn is_empty(self) -> bool {
        self.0.count == 0
    }

    /// The member `name`. Looks at each name until it finds it.
    pub fn member(self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    pub fn names(self) -> impl Iterator<Item = &'a str> + Clone {
        self.iter().map(|(name, _)| name)
    }

    pub fn iter(self) -> Members<'a> {
        Members(self.0)
    }
}

/// The items of an array, one after the other.
#[derive(Clone)]
pub struct Items<'a>(Children<'a>);

/// The members of an object, one after the other.
#[derive(Clone)]
pub struct Members<'a>(Children<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let at = self.0.take()?;
        Some(self.0.document.value(at))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<(&'a str, Value<'a>)> {
        let document = self.0.document;
        let name = document.string(self.0.take()?);
        let at = self.0.take()?;
        Some((name, document.value(at)))
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (&'a str, Value<'a>);
    type IntoIter = Members<'a>;

    fn into_iter(self) -> Members<'a> {
        self.iter()
    }
}

impl Children<'_> {
    fn take(&mut self) -> Option<usize> {
        if self.next >= self.end {
            return None;
        }
        let at = self.next;
        self.next = self.document.after(at);
        Some(at)
    }
}

#[cfg(test)]
mod tests;
