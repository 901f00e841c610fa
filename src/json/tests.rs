//! Unit tests of the strict JSON reader.

use super::*;

fn refused(text: impl AsRef<[u8]>) -> String {
    Document::parse(text.as_ref()).unwrap_err().to_string()
}

#[test]
fn values_are_read() {
    let document = Document::parse(br#" {"b":[null,true,-7,"\u0061"],"a":{}} "#).unwrap();
    let value = document.root();
    let items: Vec<_> = value.member("b").and_then(Value::as_array).unwrap().iter().collect();
    assert_eq!(items[2].as_integer(), Some(-7));
    assert_eq!(items[3].as_str(), Some("a"));
    assert!(value.member("c").is_none());
    assert!(items[0].member("c").is_none());
}

#[test]
fn a_duplicate_member_is_an_error_at_every_level_and_in_every_spelling() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"x":{"a":1,"b":2,"a":3}}"#,
        r#"[[{"a":1,"\u0061":2}]]"#,
        r#"{"":0,"":1}"#,
    ] {
        assert!(refused(text).contains("occurs twice"), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Document::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert!(refused(nested(MAX_DEPTH + 1)).contains("deeper"));
    refused(nested(100_000));
    refused("{\"a\":".repeat(100_000));
}

#[test]
fn the_number_of_values_is_bounded() {
    let list = |items: usize| format!("[0{}]", ",0".repeat(items - 1));
    assert!(Document::parse(list(MAX_VALUES - 1).as_bytes()).is_ok());
    assert!(refused(list(MAX_VALUES)).contains("values"));
}

#[test]
fn text_that_is_not_json_is_an_error() {
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
fn numbers_that_readers_disagree_about_are_not_integers() {
    for text in
        ["1.0", "1e3", "9007199254740992", "-9007199254740992", "18446744073709551616", "1.5"]
    {
        assert!(matches!(Document::parse(text.as_bytes()).unwrap().root(), Value::Real), "{text}");
    }
    assert_eq!(
        Document::parse(b"9007199254740991").unwrap().root().as_integer(),
        Some(MAX_INTEGER)
    );
}

#[test]
fn nested_values_are_skipped_and_counted() {
    let text = br#"{"a":{"x":[1,[2,3],{}]},"b":[],"c":[[[]],{"y":{"z":null}}],"d":"\u00e9"}"#;
    let document = Document::parse(text).unwrap();
    let object = document.root().as_object().unwrap();
    assert_eq!(object.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!(object.len(), 4);
    let x = object.member("a").and_then(|a| a.member("x")).and_then(Value::as_array).unwrap();
    assert_eq!((x.len(), x.iter().count()), (3, 3));
    assert!(object.member("b").and_then(Value::as_array).unwrap().is_empty());
    assert_eq!(object.member("c").and_then(Value::as_array).unwrap().len(), 2);
    assert_eq!(object.member("d").and_then(Value::as_str), Some("é"));
}

/// Texts that cost the most memory for their length.
fn costly(length: usize) -> [String; 6] {
    let list = |item: &str| {
        let items = vec![item; length / (item.len() + 1)].join(",");
        format!("[{items}]")
    };
    let names: Vec<String> = (0..length / 10).map(|i| format!("\"{i:x}\":0")).collect();
    [
        list("0"),
        list("[]"),
        list("{}"),
        list("{\"\":0}"),
        list("\"\""),
        format!("{{{}}}", names.join(",")),
    ]
}

#[test]
fn memory_is_a_small_multiple_of_the_text_and_within_the_bound() {
    for text in costly(200_000) {
        let document = Document::parse(text.as_bytes()).unwrap();
        let taken = document.strings.capacity() + document.nodes.capacity() * size_of::<Node>();
        assert!(taken <= most_memory(text.len(), MAX_VALUES), "{text:.20}");
        assert!(taken <= 8 * text.len(), "{taken} bytes for {} of {text:.20}", text.len());
        assert!(document.nodes.len() <= document.nodes.capacity());
    }
    assert_eq!(size_of::<Node>(), 12);
}

#[test]
fn the_reserved_memory_is_never_exceeded() {
    for text in ["0", "[]", "{}", "[0]", "[0,0]", r#"{"":0}"#, r#"[{"":[]}]"#, "\"\"", " [ ] "] {
        let document = Document::parse(text.as_bytes()).unwrap();
        let most = most_memory(text.len(), MAX_VALUES);
        assert!(
            document.nodes.len() * size_of::<Node>() + document.strings.len() <= most,
            "{text}"
        );
    }
}
