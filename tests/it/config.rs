//! The configuration: `config.example.toml` names every key and default, and `check` reports all errors of a file at
//! once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use countersign::clock::Timestamp;
use countersign::config::Config;
use countersign::toml_reader::{Document, Problem, Problems};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")
}

pub(crate) fn problems(text: &str) -> Vec<Problem> {
    let document = Document::from_text(Path::new("c.toml"), text.to_owned());
    match Config::read(&document) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems,
    }
}

fn read(text: &str) -> Config {
    let document = Document::from_text(&example(), text.to_owned());
    Config::read(&document).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// `key = value`, also if it is commented out.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let (key, value) = line.split_once(" = ")?;
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    key.chars().all(word).then_some((key, value))
}

/// The example with every table, also those that are commented out.
fn whole_example() -> String {
    let text = fs::read_to_string(example()).unwrap();
    let mut inside = false;
    let line = |line: &str| {
        inside = (inside && line.starts_with("# ")) || line.starts_with("# [");
        let line = if inside { line.trim_start_matches("# ") } else { line };
        format!("{line}\n")
    };
    text.lines().map(line).collect()
}

/// `[table]` or `[[table]]`.
fn table(line: &str) -> Option<&str> {
    let name = line.split('#').next()?.trim();
    let name = name.strip_prefix('[')?.strip_suffix(']')?;
    Some(name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name))
}

#[test]
fn the_example_is_valid() {
    let config = Config::load(&example()).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:5050");
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.anchors.len(), 2);
    assert_eq!(config.policy.len(), 1);
}

/// For an unknown key, the error lists the keys that the code reads: exactly all keys.
#[test]
fn the_example_names_every_key() {
    let text = whole_example();
    let mut named: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    let (mut broken, mut at) = (String::new(), 0);
    for line in text.lines() {
        broken += line;
        broken += "\n";
        if let Some(table) = table(line) {
            // A nested table is a key of its parent.
            named.entry(at).or_default().extend(table.split_once('.').map(|(_, inner)| inner));
            broken += "a_key_that_nobody_reads = 1\n";
            at = broken.lines().count();
        } else if let Some((key, _)) = setting(line) {
            named.entry(at).or_default().insert(key);
        }
    }
    named.retain(|_, keys| !keys.is_empty());
    let found = problems(&broken);
    let reported = found.iter().filter(|problem| !is_about_a_choice(problem));
    let read: BTreeMap<usize, BTreeSet<&str>> = reported
        .map(|problem| {
            assert!(problem.key.ends_with(".a_key_that_nobody_reads"), "{problem}");
            let keys = problem.message.strip_prefix("unknown key; valid keys are ").unwrap();
            (problem.line, keys.split(", ").map(|key| key.trim_matches('`')).collect())
        })
        .collect();
    assert_eq!(named, read);
    assert!(!problems(&format!("a_key_that_nobody_reads = 1\n{text}")).is_empty());
    assert!(!problems(&format!("{text}\n[tables]\n")).is_empty());
}

/// Commented-out tables name files that do not exist, and keys that exclude each other.
fn is_about_a_choice(problem: &Problem) -> bool {
    let about = ["cannot be read", "cannot read", "replace it", "rules match users"];
    about.iter().any(|words| problem.message.contains(words))
}

/// A value in the example that is not a placeholder is the default.
#[test]
fn the_example_shows_the_defaults() {
    let text = fs::read_to_string(example()).unwrap();
    let reported = |config: &Config| format!("{config:#?}");
    let as_it_is = reported(&read(&text));
    let mut examples = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("# ")) {
        let Some((key, _)) = setting(line) else { continue };
        let said = text.replacen(line, &line[2..], 1);
        let document = Document::from_text(&example(), said);
        match Config::read(&document) {
            Ok(config) if reported(&config) == as_it_is => {}
            Ok(_) | Err(_) => examples.push(key),
        }
    }
    // These keys are choices without a default.
    let choices = "tls_cert tls_key listen tls_cert tls_key htpasswd tls_client_ca users images path \
        max_size keep bundles ca \
        username password_file token_realm proxy proxy_username proxy_password_file \
        ca username password_file token_realm proxy proxy_username proxy_password_file \
        trust_on_first_use signers revoked exporters max_age frozen frozen_sha256 until keys hash_algorithm rsa_padding certificate_chain trusted_root predicate_type \
        annotations not_after max_age revoked signature_repository name scheme trust_store tsa identities level revocation \
        trust_policy trust_store_dir not_after max_age revoked signature_repository proxy proxy_username \
        proxy_password_file any_of threshold refresh max_stale until";
    let choices: Vec<_> = choices.split_whitespace().collect();
    assert_eq!(examples, choices);
}

/// Each wrong line ends with the key and the first words of the expected error.
pub(crate) fn reported_at_once(text: &str) {
    let expected: Vec<(usize, &str, &str)> = text
        .lines()
        .enumerate()
        .flat_map(|(at, line)| line.split(" #! ").skip(1).map(move |reported| (at + 1, reported)))
        .map(|(at, reported)| {
            let (key, words) = reported.split_once(": ").unwrap();
            (at, key, words.trim_end())
        })
        .collect();
    let found = problems(text);
    let reported: Vec<String> = found.iter().map(ToString::to_string).collect();
    let mut left: Vec<&Problem> = found.iter().collect();
    for (line, key, words) in expected {
        let at = left.iter().position(|problem| {
            problem.line == line && problem.key == key && problem.message.contains(words)
        });
        let at = at.unwrap_or_else(|| panic!("{line} {key} {words} in\n{}", reported.join("\n")));
        let problem = left.remove(at);
        assert_eq!(problem.file, Path::new("c.toml"), "{problem}");
    }
    assert!(left.is_empty(), "unexpected errors: {left:#?}");
    assert!(found.is_sorted_by_key(|problem| problem.line), "{reported:#?}");
}

#[test]
fn every_wrong_value_of_the_listeners_and_the_store_is_reported() {
    reported_at_once(
        r#"
[server]
listen = "localhost:5050" #! server.listen: "localhost:5050" is not an address to listen on: write
tls_cert = "tls/server.crt" #! server.tls_cert: needs `tls_key`, too
max_connections = 0 #! server.max_connections: a whole number from 1 to 1000000, found 0
max_header_bytes = "1KiB" #! server.max_header_bytes: expected from "8KiB"
handshake_timeout = 10 #! server.handshake_timeout: expected a string in quotes
header_timeout = "10" #! server.header_timeout: is not a duration
idle_timeout = "0s" #! server.idle_timeout: must be greater than zero
write_timeout = "-1s" #! server.write_timeout: is not a duration
drain_timeout = true #! server.drain_timeout: expected a string in quotes
tls_keys = "x" #! server.tls_keys: did you mean `tls_key`?

[admin]
listen = 5051 #! admin.listen: expected a string in quotes
password = "x" #! admin.password: unknown key; valid keys are `listen`

[store] #! store: set `path`
max_size = "20GB" #! store.max_size: is not a size
scrub_every = "999ms" #! store.scrub_every: must be at least

[[upstream]] #! upstream: `registry` is required

[logs] #! logs: unknown key
"#,
    );
}

#[test]
fn every_wrong_value_of_upstreams_is_reported() {
    reported_at_once(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
path = "store"

[[upstream]]
registry = "one.example"
default = true

[[upstream]]
registry = "one.example" #! upstream.registry: already has an [[upstream]]
default = true #! upstream.default: is already the default

[[upstream]]
registry = "three.example"
url = "ftp://three.example" #! upstream.url: must be http:// or https://
default = "yes" #! upstream.default: expected true or false
ca = "" #! upstream.ca: an empty string is not a path
username = "robot" #! upstream.username: go together
token_realm = "https://auth.example" #! upstream.token_realm: a host name or an address
max_requests = 0 #! upstream.max_requests: a whole number from 1
proxy = "socks5://proxy.example" #! upstream.proxy: "socks5://proxy.example" is not an HTTP proxy
mirror = "x" #! upstream.mirror: unknown key

[[upstream]] #! upstream.username: go together
registry = "four.example"
url = "https://robot:secret@four.example" #! upstream.url: without user
password_file = "secret"

[[upstream]]
registry = "Not A Registry" #! upstream.registry: "Not A Registry"
url = "four.example" #! upstream.url: relative URL

[[rule]]
images = ["four.example/**", "five.example/**"] #! rule.images: no [[upstream]] has the registry "five.example"
mode = "deny"
"#,
    );
}

#[test]
fn every_wrong_value_of_anchors_is_reported() {
    reported_at_once(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
path = "store"
[[upstream]]
registry = "one.example"

[[anchor]] #! anchor: name the root keys to trust
name = "unpinned"
scheme = "notaryv1"
url = "https://notary.example"

[[anchor]]
name = "unpinned" #! anchor.name: another [[anchor]] is already named "unpinned"
scheme = "notaryv1"
url = "https://notary.example"
ca = "none.crt" #! anchor.ca: cannot read the certificates in none.crt
username = "robot"
password_file = "none.txt" #! anchor.password_file: cannot read the password in none.txt
proxy = "http://robot:secret@proxy.example" #! anchor.proxy: set `proxy_username` and `proxy_password_file`
root_keys = [] #! anchor.root_keys: the list is empty
signers = [] #! anchor.signers: the list is empty

[[anchor]]
name = "two-ways"
scheme = "notaryv1"
url = "https://notary.example"
root_keys = ["0000000000000000000000000000000000000000000000000000000000000000"]
trust_on_first_use = true #! anchor.trust_on_first_use: not both

[[anchor]] #! anchor: name the root keys
name = "not pinned after all" #! anchor.name: is not a valid anchor name
scheme = "notaryv1"
url = "https://notary.example"
trust_on_first_use = false

[[anchor]] #! anchor: `url` is required #! anchor.username: go together
name = "all-wrong"
scheme = "notaryv1"
ca = ["ca.crt"] #! anchor.ca: expected a string in quotes
password_file = "secret"
token_realm = "auth.example:443/x" #! anchor.token_realm: "auth.example:443/x"
gun = "{host}/{repository}" #! anchor.gun: neither {registry} nor {repository}
root_keys = ["keys/none.pem", "0000"] #! anchor.root_keys: none.pem cannot be read #! anchor.root_keys: 0000 cannot be read
signers = ["alice", "Bob/../x"] #! anchor.signers: is not a valid signer name
wildcard_root_names = 1 #! anchor.wildcard_root_names: expected true or false
refresh = "often" #! anchor.refresh: is not a duration
max_stale = "1w" #! anchor.max_stale: is not a duration
rootkeys = [] #! anchor.rootkeys: did you mean `root_keys`?

[[anchor]]
name = "later"
scheme = "cosign"
keys = ["keys/none.pub", "awskms:///alias/a", "-----BEGIN PUBLIC KEY-----\nMFkw\n"] #! anchor.keys: none.pub cannot be read #! anchor.keys: `cosign public-key --key awskms:///alias/a` #! anchor.keys: this is the content of a file
proxy = "http://proxy.example" #! anchor.proxy: set `proxy` on the [[upstream]]

[[anchor]]
name = "never"
scheme = "pgp" #! anchor.scheme: is not one of "notaryv1", "cosign", "notation"

[[anchor]] #! anchor: `name` is required #! anchor: `scheme` is required
url = "https://notary.example"

[[rule]]
images = ["one.example/**"]
require = ["all-wrong", "later"]
"#,
    );
}

#[test]
fn the_summary_shows_a_rule_for_artifacts_of_any_type() {
    let text = fs::read_to_string(example()).unwrap();
    let widened = text.replace("# artifacts = \"listed\" ", "artifacts = \"all\" ");
    let reported = |text: &str| {
        let summary = read(text).policy;
        let summary: Vec<_> =
            summary.summary(Timestamp::from_unix(0)).map(|(_, reported)| reported).collect();
        summary.join("\n")
    };
    assert!(!reported(&text).contains("ARTIFACTS"), "{}", reported(&text));
    assert!(
        reported(&widened).contains("UNSIGNED ARTIFACTS OF ANY TYPE"),
        "{}",
        reported(&widened)
    );
}

#[test]
fn every_wrong_value_of_rules_is_reported() {
    reported_at_once(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
path = "store"
[[upstream]]
registry = "one.example"
[[anchor]]
name = "a"
scheme = "notaryv1"
url = "https://notary.example"
trust_on_first_use = true

[[rule]]
images = ["one.example/a", "one.example/a"] #! rule.images: also in the [[rule]] of line 14
require = ["a"]

[[rule]]
images = ["one.example/a", "one.example/**/b", "one.example/a**", "one.example"] #! rule.images: in the [[rule]] of line 14 #! rule.images: matches whole segments #! rule.images: it names no repository
require = ["a", "a", "b"] #! rule.require: "a" is listed twice #! rule.require: no [[anchor]] with the name "b"
threshold = 2 #! rule.threshold: a whole number from 1 to 1
until = 2027-01-31 #! rule.until: only an allow or audit rule
on_unsigned = "hold" #! rule.on_unsigned: uses no anchor of cosign or notation
on_rollback = "refuse" #! rule.on_rollback: uses no anchor of cosign or notation

[[rule]] #! rule: name an anchor in `require` or `any_of`
images = ["one.example/c"]

[[rule]] #! rule.images: list the images that the rule matches
mode = "allow" #! rule.mode: give a reason

[[rule]]
images = ["one.example/d"]
mode = "allow" #! rule.mode: uses no anchor
reason = "trusted"
any_of = ["a"]
until = "2027-01-31" #! rule.until: without quotes
unless = "x" #! rule.unless: unknown key

[[rule]]
images = "one.example/e" #! rule.images: a list of strings
mode = "warn" #! rule.mode: is not one of
reason = 3 #! rule.reason: expected a string in quotes
artifacts = "some" #! rule.artifacts: neither "listed" nor "all"

[[rule]]
images = ["one.example/f"]
require = ["nobody"] #! rule.require: no [[anchor]] with the name "nobody"
until = 2027-01-31T00:00:00Z #! rule.until: a date such as 2027-01-31
"#,
    );
}

#[test]
fn invalid_toml_and_missing_keys_are_reported() {
    let reported = |text: &str| problems(text).iter().map(ToString::to_string).collect::<Vec<_>>();
    let syntax = reported("[server]\nlisten = \n\n[store]\npath = 'a' 'b'\nuntil = 2027-02-30\n");
    assert_eq!(syntax.len(), 3, "{syntax:#?}");
    for (problem, line) in syntax.iter().zip([2, 5, 6]) {
        assert!(problem.starts_with(&format!("c.toml:{line}: ")), "{problem}");
    }
    assert_eq!(
        reported(""),
        [
            "c.toml:1: the table [server] is required",
            "c.toml:1: the table [store] is required",
            "c.toml:1: at least one [[upstream]] is required",
        ]
    );
    let Err(missing) = Config::load(Path::new("/nowhere/c.toml")) else { panic!() };
    assert!(missing.to_string().contains("/nowhere/c.toml"), "{missing}");
}
