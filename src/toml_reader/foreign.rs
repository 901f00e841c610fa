//! Recognizes what people write by mistake where a text file, or the name of one, is expected, and says what to do.

/// The URI schemes of keys in key services that signing tools accept.
const KEY_SERVICES: [&str; 9] = [
    "awskms://",
    "azurekms://",
    "gcpkms://",
    "github://",
    "gitlab://",
    "hashivault://",
    "k8s://",
    "openbao://",
    "pkcs11:",
];
/// The beginning of an ASN.1 SEQUENCE, and so of every key and certificate in DER.
const SEQUENCE: u8 = 0x30;

/// The kind of content that is not UTF-8 text, as the end of a sentence about the file.
pub(crate) fn not_text(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "is UTF-16 text; save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`, or PowerShell `Set-Content -Encoding utf8`)"
        }
        [SEQUENCE, second, ..]
            if *second == 0x80 || (0x81..=0x84).contains(second) || *second >= 0x20 =>
        {
            "is binary (DER), but PEM is expected; convert a public key with `openssl pkey -pubin -inform DER -in \
             FILE`, a certificate with `openssl x509 -inform DER -in FILE`"
        }
        [0x1f, 0x8b, ..] => "is compressed; decompress it with `gunzip`",
        _ => "is not UTF-8 text",
    }
}

/// Why a value cannot be the name of a file, as the end of a sentence about it. Does not contain the value, which may be long.
pub(super) fn not_a_name(text: &str) -> Option<String> {
    if text.contains("-----BEGIN") || text.contains('\n') {
        return Some(
            "this is the content of a file, but the name of a file is expected; save it in a file, and write its name here"
                .to_owned(),
        );
    }
    if KEY_SERVICES.iter().any(|scheme| text.starts_with(scheme)) {
        return Some(format!(
            "{text:?} is a key in a key service, which the gate does not query; write its public key to a file with \
             `cosign public-key --key {text}`, and write the name of the file here"
        ));
    }
    let (scheme, _) = text.split_once("://")?;
    scheme.chars().all(|c| c.is_ascii_alphanumeric()).then(|| {
        format!("{text:?} is a URL, but the name of a file is expected; download it, and write the name of the file here")
    })
}

/// The format of a text that is not TOML, if it is recognized.
pub(super) fn other_format(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim_end).filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    let first = lines.next()?;
    if first.trim_start().starts_with('{') || first.trim() == "[" {
        return Some("JSON");
    }
    let is_yaml = |line: &str| {
        line == "---"
            || line.starts_with("- ")
            || line.split_once(':').is_some_and(|(key, value)| {
                let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                let is_value = value.is_empty() || value.starts_with(' ');
                !key.is_empty() && key.chars().all(is_word) && is_value && !value.contains(" = ")
            })
    };
    is_yaml(first).then_some("YAML")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_text_are_named() {
        for (bytes, said) in [
            (&b"\xff\xfes\0e\0"[..], "UTF-16"),
            (b"\xfe\xff\0s\0e", "UTF-16"),
            (b"\x30\x59\x30\x13\x06\x07", "DER"),
            (b"\x30\x82\x01\x22\x30", "DER"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"\xc3\x28", "is not UTF-8 text"),
            (b"", "is not UTF-8 text"),
        ] {
            assert!(not_text(bytes).contains(said), "{bytes:?}");
        }
    }

    #[test]
    fn values_that_are_no_file_names_are_recognized() {
        let said = |text: &str| not_a_name(text).unwrap_or_default();
        for uri in
            ["awskms:///alias/release", "hashivault://release", "pkcs11:token=x", "k8s://a/b"]
        {
            assert!(said(uri).contains(&format!("cosign public-key --key {uri}")), "{uri}");
        }
        assert!(said("https://example.com/key.pub").contains("is a URL"));
        let inline = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
        assert!(said(inline).contains("the content of a file") && !said(inline).contains("MFkw"));
        for name in ["keys/cosign.pub", "/etc/a:b", "C:/keys", "keys/a://b"] {
            assert_eq!(not_a_name(name), None, "{name}");
        }
    }

    #[test]
    fn json_and_yaml_are_recognized() {
        for (text, format) in [
            ("{\"server\": {}}", Some("JSON")),
            ("# a comment\n\n{\n", Some("JSON")),
            ("server:\n  listen: 127.0.0.1:5050\n", Some("YAML")),
            ("---\nserver:\n", Some("YAML")),
            ("listen: 127.0.0.1:5050\n", Some("YAML")),
            ("- server\n", Some("YAML")),
            ("[server]\nlisten = \"127.0.0.1:5050\"\n", None),
            ("listen = 127.0.0.1:5050\n", None),
            ("", None),
        ] {
            assert_eq!(other_format(text), format, "{text:?}");
        }
    }
}
