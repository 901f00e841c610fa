//! JSON read strictly, once: no member twice, bounded depth, UTF-8 only, nothing after the end. What
//! two parsers could read differently is refused, so nothing can be verified as one thing and used as
//! another. Knows no format that is written in JSON.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// How deep values may nest.
pub const MAX_DEPTH: usize = 32;

/// The most values that one text may hold, members and items counted: what they take in memory is a
/// multiple of what they take as text.
pub const MAX_VALUES: usize = 1_500_000;

/// The largest magnitude at which every integer has an exact double: 2^53 - 1. Beyond it, readers
/// that use doubles see another number than we do.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// One JSON value. Members are ordered by the bytes of their unescaped names.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is no exact integer, or not written as one; nothing here is made of them.
    Real,
    String(String),
    Array(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// Why a text is no JSON to us.
#[derive(Debug, Error)]
#[error("not strict JSON: {0}")]
pub struct InvalidJson(#[from] serde_json::Error);

impl Value {
    /// Parses `text`, which must be one value and nothing else.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJson> {
        Self::parse_within(text, MAX_VALUES)
    }

    /// The same, for a text that holds `most` values at most.
    pub fn parse_within(text: &[u8], most: usize) -> Result<Self, InvalidJson> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let left = Cell::new(most);
        let value = Nested { depth: 0, left: &left }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// The member `name` of an object; `None` where there is none and where this is no object.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// The first member that is one of `known` but for its case: what Go's decoder would take for it.
    pub fn miscased(&self, known: &[&str]) -> Option<&str> {
        let names = self.as_object()?.keys().filter(|name| !known.contains(&name.as_str()));
        let mut names = names.map(|name| (name, fold(name)));
        names
            .find(|(_, folded)| known.iter().any(|known| fold(known) == *folded))
            .map(|(n, _)| n.as_str())
    }

    pub fn as_object(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(integer) = self { Some(*integer) } else { None }
    }
}

/// Folds case at least as far as Go does, which knows `K` for `k` and `ſ` for `s`.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).collect()
}

/// Reads one value: how deep it is, and how many more there may be.
struct Nested<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom("more values than may be"));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(if (-MAX_INTEGER..=MAX_INTEGER).contains(&value) {
            Value::Integer(value)
        } else {
            Value::Real
        })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) if value <= MAX_INTEGER => Value::Integer(value),
            Ok(_) | Err(_) => Value::Real,
        })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Real)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let (depth, left) = (self.deeper()?, self.left);
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Nested { depth, left })? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (depth, left) = (self.deeper()?, self.left);
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Nested { depth, left })?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the member {name:?} stands twice")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

impl Nested<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(self.depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: impl AsRef<[u8]>) -> String {
        Value::parse(text.as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn values_are_read() {
        let value = Value::parse(br#" {"b":[null,true,-7,"\u0061"],"a":{}} "#).unwrap();
        let items = value.member("b").and_then(Value::as_array).unwrap();
        assert_eq!(items[2].as_integer(), Some(-7));
        assert_eq!(items[3].as_str(), Some("a"));
        assert_eq!(value.member("c"), None);
        assert_eq!(items[0].member("c"), None);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_at_every_level_and_however_it_is_spelt() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"[[{"a":1,"\u0061":2}]]"#,
            r#"{"":0,"":1}"#,
        ] {
            assert!(refused(text).contains("stands twice"), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Value::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refused(nested(MAX_DEPTH + 1)).contains("deeper"));
        refused(nested(100_000));
        refused("{\"a\":".repeat(100_000));
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let list = |items: usize| format!("[0{}]", ",0".repeat(items - 1));
        assert!(Value::parse(list(MAX_VALUES - 1).as_bytes()).is_ok());
        assert!(refused(list(MAX_VALUES)).contains("values"));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "nul",
            "01",
            "+1",
            ".5",
            "1e400",
            "{\"a\"}",
            "[1,]",
            "{} {}",
            "{}x",
            "\u{feff}{}",
            "\"\n\"",
            r#""\ud800""#,
            r#""\udc00""#,
            "'a'",
            "NaN",
        ] {
            refused(text);
        }
        refused(b"\"\xff\"");
        refused(b"{\"\xc3\x28\":1}");
    }

    #[test]
    fn numbers_that_readers_disagree_about_are_no_integers() {
        for text in
            ["1.0", "1e3", "9007199254740992", "-9007199254740992", "18446744073709551616", "1.5"]
        {
            assert_eq!(Value::parse(text.as_bytes()).unwrap(), Value::Real, "{text}");
        }
        assert_eq!(Value::parse(b"9007199254740991").unwrap().as_integer(), Some(MAX_INTEGER));
    }
}
