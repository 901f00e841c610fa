//! Canonical JSON. Notary signs the canonical form of a value, not the bytes on the wire (docker/go's `canonical/json`).

use thiserror::Error;

use crate::json::{Object, Value};

/// The value contains a number whose canonical form differs between readers.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("it contains a number that is not an exact integer")]
pub struct NotCanonical;

/// The canonical form of `value`: no white space, members sorted by the bytes of their names, strings with only `\` and
/// `"` escaped, decimal numbers.
pub fn canonical(value: Value<'_>) -> Result<Vec<u8>, NotCanonical> {
    let mut bytes = Vec::new();
    write(value, &mut bytes)?;
    Ok(bytes)
}

fn write(value: Value<'_>, to: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Null => to.extend(b"null"),
        Value::Bool(true) => to.extend(b"true"),
        Value::Bool(false) => to.extend(b"false"),
        Value::Integer(integer) => to.extend(integer.to_string().into_bytes()),
        Value::Real => return Err(NotCanonical),
        Value::String(text) => write_string(text, to),
        Value::Array(items) => {
            to.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                write(item, to)?;
            }
            to.push(b']');
        }
        Value::Object(members) => {
            to.push(b'{');
            for (at, (name, member)) in in_order(members).into_iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                write_string(name, to);
                to.push(b':');
                write(member, to)?;
            }
            to.push(b'}');
        }
    }
    Ok(())
}

/// The members, sorted by the bytes of their names.
fn in_order(members: Object<'_>) -> Vec<(&str, Value<'_>)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    members
}

fn write_string(text: &str, to: &mut Vec<u8>) {
    to.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            to.push(b'\\');
        }
        to.push(byte);
    }
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    fn of(text: &str) -> Result<String, NotCanonical> {
        canonical(Document::parse(text.as_bytes()).unwrap().root())
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn members_are_sorted_by_bytes_and_white_space_is_removed() {
        let text =
            "{ \"b\" : 1, \"-\": 2,\n\"_\": 3, \"B\": [ ], \"\u{1f600}\": 5, \"\u{ffff}\": 4 }";
        assert_eq!(
            of(text).unwrap(),
            "{\"-\":2,\"B\":[],\"_\":3,\"b\":1,\"\u{ffff}\":4,\"\u{1f600}\":5}"
        );
        assert_eq!(of(r#"{"a ":1,"a!":2,"a":3}"#).unwrap(), r#"{"a":3,"a ":1,"a!":2}"#);
    }

    #[test]
    fn strings_are_literal_except_quote_and_backslash() {
        assert_eq!(
            of(r#""\u003c\u0026>\/\n\u0000\u2028\u00e9""#).unwrap(),
            "\"<&>/\n\0\u{2028}\u{e9}\""
        );
        assert_eq!(of(r#""\"\\""#).unwrap(), r#""\"\\""#);
        assert_eq!(of("\"e\u{301}\"").unwrap(), "\"e\u{301}\"");
    }

    #[test]
    fn numbers_are_exact_integers_or_refused() {
        assert_eq!(of("[0,-0,-5,9007199254740991]"), Err(NotCanonical));
        assert_eq!(of("[0,-5,9007199254740991]").unwrap(), "[0,-5,9007199254740991]");
        for text in ["1.5", "1.0", "1e3", "9007199254740993"] {
            assert_eq!(of(text), Err(NotCanonical), "{text}");
        }
    }
}
