//! The structure of the source: layers, file sizes, and the modules that create proofs. These checks read text; the
//! actual guarantee is the types, and the `compile_fail` examples next to them.

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of one file.
const MAX_LINES: usize = 400;

/// The constructor of each proof, and the only place that may contain it.
const MADE_IN: [(&str, &str); 16] = [
    ("Admitted::new(", "src/gate/"),
    ("Admitted::through(", "src/gate/"),
    ("Admitted::about(", "src/gate/"),
    ("Body::blob(", "src/server/respond/"),
    ("Body::denial(", "src/server/respond/"),
    ("Body::manifest(", "src/server/respond/"),
    ("CapturedAt::frozen(", "src/trust/notaryv1/frozen.rs"),
    ("CapturedAt::stated(", "src/trust/notaryv1/exporters.rs"),
    ("DenialManifest::of_", "src/server/mirror/"),
    ("Endorsement::new(", "src/trust/"),
    ("Exemption::new(", "src/exemptions/"),
    ("Fetched::new(", "src/pull_through/"),
    ("Permit::new(", "src/policy/permit.rs"),
    // The serving gate never writes to a registry.
    ("RegistryWriter::new(", "src/cli/attest.rs"),
    ("Uploader::new(", "src/registry_client/publish.rs"),
    ("VerifiedBytes(", "src/trust/keys.rs"),
];

/// The files of the proofs, and the types in them.
const PROOFS: [(&str, &str); 8] = [
    ("src/gate/admitted.rs", "Admitted"),
    ("src/gate/open_blob.rs", "OpenBlob"),
    ("src/pull_through/fetched.rs", "Fetched"),
    ("src/server/body.rs", "Body"),
    ("src/server/mirror/manifest.rs", "DenialManifest"),
    ("src/trust/endorsement.rs", "Endorsement"),
    ("src/trust/notaryv1/captured_at.rs", "CapturedAt"),
    ("src/exemptions/exemption.rs", "Exemption"),
];

/// Split, so that this file does not contain the word itself.
const UNSAFE: &str = concat!("un", "safe");

/// A source file and its path in the repository.
struct Source {
    path: String,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = vec![top.join(folder)];
    let mut found = Vec::new();
    while let Some(at) = open.pop() {
        if at.is_dir() {
            open.extend(fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()));
        } else if at.extension().is_some_and(|extension| extension == "rs") {
            let path = at.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            found.push(Source { text: fs::read_to_string(&at).unwrap(), path });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn source(path: &str) -> Source {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    Source { path: path.to_owned(), text: fs::read_to_string(file).unwrap() }
}

impl Source {
    /// The lines of code with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(at, line)| (at, line.split(" // ").next().unwrap_or(line)))
    }

    fn at(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// The layer of the file, and its depth in modules.
    fn layer(&self) -> (&str, usize) {
        let inside = self.path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
        let inside = inside.strip_suffix("/mod").unwrap_or(inside);
        (inside.split('/').next().unwrap(), inside.split('/').count())
    }
}

/// The layers, lowest first.
fn layers() -> Vec<String> {
    let map = source("src/lib.rs");
    let name = |line: &str| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned);
    map.text.lines().filter_map(name).collect()
}

/// The text after each `prefix` that is a whole word in `line`.
fn after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter_map(move |(at, _)| {
        let alone = !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':'));
        alone.then(|| &line[at + prefix.len()..])
    })
}

fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_layer_uses_only_layers_above_it_in_the_map() {
    let layers = layers();
    let place = |layer: &str| layers.iter().position(|known| known == layer);
    let mut wrong = Vec::new();
    for source in sources("src") {
        if ["src/lib.rs", "src/main.rs"].contains(&source.path.as_str()) {
            continue;
        }
        let (layer, depth) = source.layer();
        let own = place(layer).unwrap_or_else(|| panic!("{} is not in the map", source.path));
        for (at, line) in source.code() {
            for used in after(line, "crate::") {
                match place(name(used)) {
                    Some(other) if other <= own => {}
                    Some(_) => wrong.push(source.at(at, format!("{layer} uses {}", name(used)))),
                    None if used.starts_with('{') => {
                        wrong.push(source.at(at, "one path a line: no `crate::{…}`"));
                    }
                    None => wrong.push(source.at(at, format!("{} is no layer", name(used)))),
                }
            }
            // The reverse: a path up to the crate root and down again.
            for used in after(line, &"super::".repeat(depth)) {
                let used = name(used.trim_start_matches("super::"));
                if used != layer && place(used).is_some() {
                    wrong.push(source.at(at, format!("{used} is named by way of `super`")));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_layer_is_in_the_map_and_every_line_of_the_map_is_a_layer() {
    let mut there: Vec<String> = sources("src")
        .iter()
        .filter(|source| !["src/lib.rs", "src/main.rs"].contains(&source.path.as_str()))
        .map(|source| source.layer().0.to_owned())
        .collect();
    there.dedup();
    let mut map = layers();
    let text = source("src/lib.rs").text;
    let reported = |line: &str| line.strip_prefix("//! - [`")?.split('`').next().map(str::to_owned);
    let reported: Vec<String> = text.lines().filter_map(reported).collect();
    assert_eq!(reported, map, "the documented layers differ from the modules");
    map.sort();
    assert_eq!(map, there);
}

#[test]
fn no_file_is_too_long() {
    let all = sources("src").into_iter().chain(sources("tests"));
    let long = all.filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > MAX_LINES).then(|| source.at(lines, format!("more than {MAX_LINES} lines")))
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn every_file_starts_with_its_purpose() {
    let all = sources("src").into_iter().chain(sources("tests"));
    let silent = all
        .filter(|source| !source.path.starts_with("tests/data/"))
        .filter(|source| !source.text.starts_with("//! "));
    none(&silent.map(|source| source.at(1, "begins without `//!`")).collect::<Vec<_>>());
}

#[test]
fn each_proof_is_created_in_one_place() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        for (at, line) in source.code() {
            for (made, place) in MADE_IN {
                if !source.path.starts_with(place) && after(line, made).next().is_some() {
                    wrong.push(source.at(at, format!("`{made}` belongs in {place}")));
                }
            }
        }
    }
    none(&wrong);
}

/// A constructor is visible at most in its own module, a field nowhere else, and no trait creates a proof.
#[test]
fn a_proof_cannot_be_created_elsewhere() {
    let mut wrong = Vec::new();
    for (path, proof) in PROOFS {
        let source = source(path);
        let code: Vec<(usize, &str)> = source.code().collect();
        for (place, (at, line)) in code.iter().enumerate() {
            let rest = code[place..].iter().map(|(_, line)| line.trim());
            if after(line, "pub fn ").chain(after(line, "pub(crate) fn ")).next().is_some() {
                let whole: String = rest.clone().take_while(|line| !line.is_empty()).collect();
                let whole = whole.split('{').next().unwrap_or_default();
                let result = whole.split("->").nth(1).unwrap_or_default();
                if result.contains("Self") || result.split(' ').any(|word| word == proof) {
                    wrong.push(source.at(*at, "makes a proof for everybody"));
                }
            }
            if line.starts_with(&format!("pub struct {proof}")) {
                let fields: String = rest.take_while(|line| *line != "}").collect();
                let fields = fields.split_once(proof).map_or("", |(_, fields)| fields);
                let fields = fields.split(';').next().unwrap_or_default();
                if fields.contains("pub") {
                    wrong.push(source.at(*at, "has a field that others see"));
                }
            }
        }
    }
    for source in sources("src") {
        for (at, line) in source.code() {
            for (_, proof) in PROOFS {
                let made = ["From", "TryFrom", "Default", "FromStr", "Deserialize"];
                let is = |word: &str| {
                    line.contains(&format!(" {word}")) || line.contains(&format!(":{word}"))
                };
                if line.starts_with("impl")
                    && line.contains(&format!(" for {proof}"))
                    && made.iter().any(|word| is(word))
                {
                    wrong.push(source.at(at, format!("a trait makes {proof}")));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn no_registry_is_passed_beside_its_repository() {
    // The first defines the value that contains both; the second has variants with these names.
    let exempt = ["src/oci/name.rs", "src/trust/notaryv1/gun.rs"];
    let mut wrong = Vec::new();
    for source in sources("src").iter().filter(|source| !exempt.contains(&&*source.path)) {
        let lines: Vec<&str> = source.code().map(|(_, line)| line.trim()).collect();
        let code = lines.join(" ").replace("pub(super) ", "");
        for statement in code.split(';').filter(|statement| !is_import(statement)) {
            for next in after(&statement.replace('&', " "), "Registry, ") {
                let next = next.split([',', ')', '>', '}']).next().unwrap_or(next);
                if next.split_whitespace().next_back() == Some("Repository") {
                    wrong.push(format!("{}: use `RepositoryRef`: {statement}", source.path));
                }
            }
        }
    }
    none(&wrong);
}

fn is_import(statement: &str) -> bool {
    statement.contains("use crate::")
        || statement.trim_start().trim_start_matches("pub ").starts_with("use ")
}

/// Code that the compiler does not check is in one place, with the reasons.
#[test]
fn only_one_file_contains_unsafe_code() {
    let mut found = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let used = source.code().any(|(_, line)| after(line, UNSAFE).next().is_some());
        found.extend(used.then_some(source.path));
    }
    assert_eq!(found, ["src/store/mapped.rs"]);
}

/// An example that must not compile names the expected error, and uses only existing items.
#[test]
fn every_example_that_must_not_compile_names_the_error() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for source in sources("src") {
        for (at, line) in source.text.lines().enumerate() {
            if let Some((_, code)) = line.split_once("```compile_fail") {
                found += 1;
                if !code.starts_with(",E0") {
                    wrong.push(source.at(at + 1, "no error code"));
                }
            }
        }
    }
    none(&wrong);
    assert!(found >= PROOFS.len(), "a proof has no example: {found}");
}
