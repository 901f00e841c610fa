//! The tests' own canonical JSON and times, written from notary-v1.md section 2 without code of the product, so that
//! an error there cannot hide here.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The time at which the tests verify all metadata: 2026-11-22T12:00:00Z.
pub const NOW: i64 = 1_795_348_800;

/// RFC 3339 of the instant `days` after [`NOW`].
pub fn in_days(days: i64) -> String {
    let then = OffsetDateTime::from_unix_timestamp(NOW + days * 86_400).unwrap();
    then.format(&Rfc3339).unwrap()
}

/// The bytes that are signed.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(yes) => out.extend(yes.to_string().bytes()),
        Value::Number(number) => out.extend(number.to_string().bytes()),
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
            out.push(b'{');
            for (index, (name, item)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quote(name, out);
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
    }
}

fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
