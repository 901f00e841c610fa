//! The configuration of the mirror listener, and of the status of denials.

use std::path::Path;

use countersign::config::Config;
use countersign::server::DenialStatus;
use countersign::toml_reader::Document;

fn read(text: &str) -> Config {
    let document = Document::from_text(Path::new("c.toml"), text.to_owned());
    Config::read(&document).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[test]
fn the_mirror_uses_the_servers_certificate_by_default() {
    let text = |mirror: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntls_cert = \"s.crt\"\ntls_key = \"s.key\"\n\
             [mirror]\nlisten = \"127.0.0.1:1\"\n{mirror}\n[store]\npath = \"store\"\n\
             [[upstream]]\nregistry = \"one.example\"\n"
        )
    };
    let certificate = |text: &str| {
        let mirror = read(text).mirror.unwrap();
        mirror.tls.map(|(cert, _)| cert.file_name().unwrap().to_owned())
    };
    assert_eq!(certificate(&text("")).unwrap(), "s.crt");
    assert_eq!(certificate(&text("tls_cert = \"m.crt\"\ntls_key = \"m.key\"")).unwrap(), "m.crt");
    let plain = text("").replace("tls_cert = \"s.crt\"\ntls_key = \"s.key\"\n", "");
    assert_eq!(certificate(&plain), None);
    let server = read(&text("")).server;
    assert_eq!(server.denial_status, DenialStatus::NotFound);
    let forbids = text("").replacen("[server]\n", "[server]\ndenial_status = 403\n", 1);
    assert_eq!(read(&forbids).server.denial_status, DenialStatus::Forbidden);
}

#[test]
fn every_wrong_value_of_the_mirror_is_reported() {
    let text = r#"
[server]
listen = "127.0.0.1:0"
denial_status = 401
[mirror]
tls_key = "tls/mirror.key"
denial_status = 403
[store]
path = "store"
[[upstream]]
registry = "one.example"
"#;
    let document = Document::from_text(Path::new("c.toml"), text.to_owned());
    let reported = Config::read(&document).unwrap_err().to_string();
    let reported: Vec<&str> = reported.lines().collect();
    let expected = [
        "c.toml:4: `server.denial_status`: expected 404 or 403, found 401",
        "c.toml:5: `mirror`: `listen` is required",
        "c.toml:6: `mirror.tls_key`: needs `tls_cert`, too",
        "c.toml:7: `mirror.denial_status`: unknown key",
    ];
    for (reported, expected) in reported.iter().zip(expected) {
        assert!(reported.starts_with(expected), "{reported}");
    }
    assert_eq!(reported.len(), expected.len(), "{reported:#?}");
}
