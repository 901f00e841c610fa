//! Recognizes content that a client could read as a manifest or an index, whatever its media type.
//!
//! Clients read manifests with Go's `encoding/json`. It compares names without case (by Unicode's simple folding),
//! merges repeated members, accepts invalid UTF-8 and escaped names, and a decoder stops after the first value.
//! [`looks_like_manifest`] accepts at least all of that. It parses only strings, brackets and member names, so it may
//! recognize content that no reader accepts, but misses no content that a reader accepts. One pass, no allocation.

/// The top-level members that point at content, and the member of each entry that does.
const POINTERS: [(&str, &str); 5] = [
    ("manifests", "digest"),
    ("layers", "digest"),
    ("blobs", "digest"),
    ("config", "digest"),
    ("fslayers", "blobsum"),
];

/// Whether `content` could be a manifest, judging by its first bytes; `None` while they are only white space.
pub fn could_begin_manifest(content: &[u8]) -> Option<bool> {
    first_of_value(content).map(|at| content[at] == b'{')
}

/// Whether a client could read `content` as a manifest or an index that points at other content.
pub fn looks_like_manifest(content: &[u8]) -> bool {
    let Some(start) = first_of_value(content).filter(|at| content[*at] == b'{') else {
        return false;
    };
    Scan { rest: &content[start + 1..], depth: 1, member: None, entries_at: 0 }.finds_pointer()
}

/// The position of the first byte that JSON does not skip as white space.
fn first_of_value(content: &[u8]) -> Option<usize> {
    content.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// A pass over the first value, an object, from after its first byte.
struct Scan<'a> {
    rest: &'a [u8],
    /// The number of open objects and arrays.
    depth: usize,
    /// The member that points in the entries of the current top-level member; `None` if they do not point at content.
    member: Option<&'static str>,
    /// The depth of those entries: 2 if the top-level member is an object, 3 if it is an array of objects.
    entries_at: usize,
}

impl<'a> Scan<'a> {
    fn finds_pointer(mut self) -> bool {
        while let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth == 2 {
                        self.entries_at = if *byte == b'[' { 3 } else { 2 };
                    }
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return false;
                    }
                }
                b',' if self.depth == 1 => self.member = None,
                b'"' => {
                    let text = self.string();
                    if !self.is_name() {
                        continue;
                    }
                    if self.depth == 1 {
                        let pointer = POINTERS.iter().find(|(name, _)| spells(text, name));
                        self.member = pointer.map(|(_, entry)| *entry);
                    } else if self.depth == self.entries_at
                        && self.member.is_some_and(|name| spells(text, name))
                    {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// The contents of the string after its opening quote, still escaped.
    fn string(&mut self) -> &'a [u8] {
        let whole = self.rest;
        let mut at = 0;
        while let Some(byte) = whole.get(at) {
            match byte {
                b'"' => {
                    self.rest = &whole[at + 1..];
                    return &whole[..at];
                }
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.rest = &[];
        whole
    }

    /// Whether the string just read is a member name.
    fn is_name(&self) -> bool {
        first_of_value(self.rest).is_some_and(|at| self.rest[at] == b':')
    }
}

/// Whether the escaped `text` equals `name` (in lower case) for a reader that ignores case.
fn spells(text: &[u8], name: &str) -> bool {
    // The longest way to write one character is an escape of six bytes.
    if text.len() < name.len() || text.len() > name.len() * 6 {
        return false;
    }
    let mut rest = text;
    for expected in name.chars() {
        match next_char(&mut rest) {
            Some(found) if folded(found) == expected => {}
            Some(_) | None => return false,
        }
    }
    rest.is_empty()
}

/// Takes the next character of an escaped text. An invalid one becomes the replacement character, as in Go.
fn next_char(rest: &mut &[u8]) -> Option<char> {
    const UNKNOWN: char = char::REPLACEMENT_CHARACTER;
    let (first, after) = rest.split_first()?;
    match first {
        b'\\' => {
            let (kind, after) = after.split_first()?;
            if *kind != b'u' {
                *rest = after;
                return Some(UNKNOWN);
            }
            let (digits, after) = after.split_at_checked(4)?;
            *rest = after;
            let code = std::str::from_utf8(digits).ok();
            let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            Some(code.and_then(char::from_u32).unwrap_or(UNKNOWN))
        }
        0..=0x7f => {
            *rest = after;
            Some(char::from(*first))
        }
        _ => {
            let most = &rest[..rest.len().min(4)];
            let found = most.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
            *rest = &rest[found.map_or(1, char::len_utf8)..];
            Some(found.unwrap_or(UNKNOWN))
        }
    }
}

/// Folds case at least as far as Go, for the letters in our names.
fn folded(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        '\u{130}' | '\u{131}' => 'i',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn found(text: impl AsRef<[u8]>) -> bool {
        looks_like_manifest(text.as_ref())
    }

    #[test]
    fn manifests_of_every_format_are_recognized() {
        for text in [
            r#"{"schemaVersion":2,"config":{"digest":"sha256:a"},"layers":[]}"#,
            r#"{"manifests":[{"mediaType":"x","digest":"sha256:a"}]}"#,
            r#"{"layers":[{"size":1},{"digest":"sha256:a"}]}"#,
            r#"{"fsLayers":[{"blobSum":"sha256:a"}]}"#,
            r#"{"blobs":[{"digest":"sha256:a"}]}"#,
        ] {
            assert!(found(text), "{text}");
        }
    }

    #[test]
    fn content_that_a_permissive_reader_accepts_is_recognized() {
        for text in [
            r#" 	{"MANIFESTS":[{"Digest":"sha256:a"}]}"#,
            "{\"manife\u{17f}ts\":[{\"dige\u{17f}t\":\"a\"}]}",
            "{\"manife\\u017fts\":[{\"dige\\u017Ft\":\"a\"}]}",
            r#"{"\u006canguage":1,"\u006cayers":[{"\u0064igest":"a"}]}"#,
            r#"{"layers":[],"layers":[{"digest":"a"}]}"#,
            r#"{"layers":[{"digest":"a"}],"layers":[]}"#,
            r#"{"config":{"mediaType":"x"},"config":{"digest":"a"}}"#,
            r#"{"layers":[{"digest":"a"}]} trailing"#,
            r#"{"layers":[{"digest":"a"}]}{"other":1}"#,
            r#"{"a":"\"}]}","layers":[{"digest":"a"}]}"#,
            r#"{"a":{"b":[[{"c":1}]]},"layers" : [{ "digest" : "a"}]}"#,
        ] {
            assert!(found(text), "{text}");
        }
        assert!(found(b"{\"x\":\"\xff\xfe\",\"layers\":[{\"\xff\":1,\"digest\":\"a\"}]}"));
    }

    #[test]
    fn legitimate_content_other_than_manifests_is_not_recognized() {
        for text in [
            // An image's config, Docker's and OCI's.
            r#"{"architecture":"amd64","config":{"Env":["digest=1"],"Labels":{"digest":"x"}},"rootfs":{"diff_ids":[]}}"#
                .to_owned(),
            // BuildKit's cache config.
            r#"{"layers":[{"blob":"sha256:a","parent":-1}],"records":[{"digest":"sha256:a"}]}"#.into(),
            // An in-toto statement, a DSSE envelope, a Sigstore bundle.
            r#"{"_type":"x","subject":[{"name":"a","digest":{"sha256":"b"}}],"predicate":{"layers":[{"digest":"a"}]}}"#
                .into(),
            r#"{"payload":"eyJs","payloadType":"x","signatures":[{"sig":"a"}]}"#.into(),
            // Syft's list of contents.
            r#"{"artifacts":[],"source":{"target":{"layers":[{"digest":"sha256:a"}]}}}"#.into(),
            r#"["layers",{"digest":"a"}]"#.into(),
            r#"{"layers":"digest","digest":"a"}"#.into(),
            r#"{"manifests":[],"digest":"sha256:a"}"#.into(),
            r#"{}{"layers":[{"digest":"a"}]}"#.into(),
            "".into(),
            "{".into(),
            "{\"".into(),
            "{\"\\".into(),
        ] {
            assert!(!found(&text), "{text}");
        }
    }

    #[test]
    fn the_first_bytes_show_that_content_is_not_a_manifest() {
        assert_eq!(could_begin_manifest(b" \n\t\r"), None);
        assert_eq!(could_begin_manifest(b" {"), Some(true));
        assert_eq!(could_begin_manifest(b"\x1f\x8b"), Some(false));
        assert_eq!(could_begin_manifest(b"\xef\xbb\xbf{"), Some(false));
    }

    /// What [`looks_like_manifest`] must find, by another parser.
    fn points(value: &Value) -> bool {
        let Value::Object(members) = value else { return false };
        let has = |entry: &Value, name: &str| {
            let members = entry.as_object();
            members.is_some_and(|it| it.keys().any(|key| key.eq_ignore_ascii_case(name)))
        };
        members.iter().any(|(key, value)| {
            POINTERS.iter().any(|(name, entry)| {
                let entries = value.as_array().into_iter().flatten();
                key.eq_ignore_ascii_case(name)
                    && (has(value, entry) || entries.into_iter().any(|it| has(it, entry)))
            })
        })
    }

    fn name() -> impl Strategy<Value = String> {
        let known = prop_oneof![
            Just("manifests"),
            Just("layers"),
            Just("fsLayers"),
            Just("blobs"),
            Just("config"),
            Just("digest"),
            Just("blobSum"),
            Just("mediaType"),
            Just("a\"b\\"),
            Just("")
        ];
        (known, any::<u64>()).prop_map(|(name, bits)| {
            let cased = name
                .chars()
                .enumerate()
                .map(|(at, c)| if bits >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c });
            cased.collect()
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(5, 64, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((name(), inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_that_parses_as_a_manifest_is_recognized(value in value(), pretty: bool) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert!(!points(&value) || found(&text), "{text}");
            // Escaped throughout, and with something after it.
            let escaped: String = text.chars().map(|c| match c {
                'a'..='z' if !text.contains('\\') => format!("\\u{:04x}", c as u32),
                c => c.to_string(),
            }).collect();
            if serde_json::from_str::<Value>(&escaped).is_ok_and(|again| again == value) {
                prop_assert!(!points(&value) || found(&escaped), "{escaped}");
            }
        }

        #[test]
        fn no_content_causes_a_panic(bytes: Vec<u8>) {
            found(&bytes);
            found([b"{\"layers\":[{\"", bytes.as_slice()].concat());
            could_begin_manifest(&bytes);
        }
    }

    #[test]
    fn a_large_text_is_scanned_in_one_pass() {
        let entry = json!({"blob": "x".repeat(100)}).to_string();
        let text = format!("{{\"layers\":[{}{entry}]}}", format!("{entry},").repeat(30_000));
        let began = std::time::Instant::now();
        assert!(!found(&text));
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    }
}
