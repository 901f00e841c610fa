//! Files in a format that the gate does not read: the error names the format and the conversion.

use countersign::config::Config;

use crate::folder::Folder;

#[test]
fn files_in_other_formats_are_named_with_the_conversion() {
    let folder = Folder::new("formats");
    folder.write("key.der", [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce]);
    folder.write("ca.der", [0x30, 0x82, 0x01, 0x22, 0x30, 0x81, 0xc9]);
    let utf16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect::<Vec<u8>>()
    };
    folder.write("key16.pub", utf16("-----BEGIN PUBLIC KEY-----\n"));
    let config = r#"
[server]
listen = "127.0.0.1:0"
[store]
path = "store"
[[upstream]]
registry = "one.example"
ca = "ca.der"
[[anchor]]
name = "team"
scheme = "cosign"
keys = ["key.der", "key16.pub"]
[[rule]]
images = ["one.example/**"]
require = ["team"]
"#;
    let reported = |content: &[u8]| {
        let file = folder.write("countersign.toml", content);
        Config::load(&file).unwrap_err().to_string()
    };
    let problems = reported(config.as_bytes());
    for said in [
        "`upstream.ca`: ",
        "ca.der is binary (DER), but PEM is expected",
        "key.der is binary (DER), but PEM is expected; convert a public key with `openssl pkey -pubin -inform DER",
        "key16.pub is UTF-16 text; save it as UTF-8",
    ] {
        assert!(problems.contains(said), "{said}: {problems}");
    }
    for (content, said) in [
        (
            b"{\"server\": {\"listen\": \"127.0.0.1:0\"}}".to_vec(),
            ":1: this is JSON, but the configuration is TOML",
        ),
        (
            b"server:\n  listen: 127.0.0.1:0\n".to_vec(),
            ":1: this is YAML, but the configuration is TOML",
        ),
        (utf16(config), "countersign.toml is UTF-16 text; save it as UTF-8"),
    ] {
        let problems = reported(&content);
        assert!(problems.contains(said) && problems.lines().count() == 1, "{said}: {problems}");
    }
    // A byte order mark is no error.
    assert!(!reported(format!("\u{feff}{config}").as_bytes()).contains("countersign.toml:1:"));
}
