//! The documentation: configurations and commands work as they are, links lead to files, the README is short, and the keys,
//! modules, reasons, attacks and tests that the pages name exist.

use std::fs;
use std::path::{Path, PathBuf};

use countersign::config::Config;
use countersign::toml_reader::Document;

use crate::commands::countersign;
use crate::folder::Folder;
use crate::sigstore::{Key, Kind};

const MAX_README_WORDS: usize = 1_500;

/// The reasons of denials that users see.
const REASONS: [&str; 20] = [
    "content_mismatch",
    "denied_by_rule",
    "digest_not_signed",
    "expired",
    "gate_busy",
    "malformed",
    "mix_and_match",
    "no_rule",
    "no_trust_data",
    "rollback",
    "root_not_pinned",
    "signature_invalid",
    "signer_missing",
    "signers_disagree",
    "tag_not_signed",
    "trust_removed",
    "trust_unreachable",
    "upstream_refused",
    "upstream_unreachable",
    "wrong_repository",
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that users read: the README, `docs/` and `.github/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![top().join("README.md")];
    for folder in ["docs", ".github"] {
        let entries = fs::read_dir(top().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    assert!(pages.len() > 12, "{pages:?}");
    pages
}

/// The fenced blocks of `page` in that `language`. A block in a list is indented: the indent is removed.
fn blocks(page: &Path, language: &str) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let fence = line.trim_start();
        let indent = line.len() - fence.len();
        if fence == format!("```{language}") {
            let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
            blocks.push(
                block.map(|line| line.get(indent..).unwrap_or("").to_owned() + "\n").collect(),
            );
        }
    }
    blocks
}

fn quick_start() -> String {
    blocks(&top().join("README.md"), "toml").remove(0)
}

#[test]
fn the_quick_start_is_a_complete_configuration() {
    let file = Path::new("/nowhere/countersign.toml");
    let read = Config::read(&Document::from_text(file, quick_start()));
    let config = read.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((config.upstreams.len(), config.anchors.len(), config.policy.len()), (1, 1, 1));
}

#[test]
fn every_configuration_in_the_docs_works_with_the_quick_start() {
    let folder = Folder::new("docs");
    folder.write("keys/cosign.pub", Key::new(Kind::P256).pem());
    folder.write("keys/bridge.pub", Key::new(Kind::P256).pem());
    folder.write("keys/attest.pub", Key::new(Kind::P256).pem());
    folder.write("pki/root.crt", include_str!("../data/notation/root.crt"));
    folder.write("keys/kms.pub", Key::new(Kind::Rsa2048).pem());
    folder.write("github-trusted-root.json", sigstore_trust_root::SIGSTORE_GITHUB_TRUSTED_ROOT);
    folder.write("github-chain.pem", github_chain());
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&page, "toml") {
            if block == quick_start() {
                continue;
            }
            seen += 1;
            let text = format!("{}\n{block}", quick_start());
            let document = Document::from_text(&folder.join("countersign.toml"), text);
            let read = Config::read(&document);
            read.unwrap_or_else(|problems| panic!("{}: {problems}\n{block}", page.display()));
        }
    }
    assert!(seen > 5, "{seen} blocks");
}

/// The CA certificates of GitHub's newest certificate authority.
fn github_chain() -> String {
    let root = sigstore_trust_root::TrustedRoot::from_json(
        sigstore_trust_root::SIGSTORE_GITHUB_TRUSTED_ROOT,
    );
    let authorities = root.unwrap().certificate_authorities;
    let chain = &authorities.last().unwrap().cert_chain.certificates;
    chain.iter().map(|one| crate::sigstore::pem(one.raw_bytes.as_bytes())).collect()
}

/// The commands of this program in the shell blocks of `page`, with continued lines joined and comments removed.
fn commands(page: &Path) -> Vec<String> {
    let blocks = blocks(page, "sh").concat().replace("\\\n", " ");
    let line = |line: &str| line.split(" #").next().unwrap_or_default().trim().to_owned();
    blocks.lines().map(line).filter(|line| line.starts_with("countersign ")).collect()
}

#[test]
fn every_command_in_the_docs_exists_with_its_options() {
    let mut seen = 0;
    for page in pages() {
        for command in commands(&page) {
            seen += 1;
            let mut words = command.split_whitespace().skip(1);
            let mut asked = vec![words.next().unwrap()];
            if ["trust", "bundle"].contains(&asked[0]) {
                asked.push(words.next().unwrap());
            }
            asked.push("--help");
            let help = countersign(&asked);
            assert_eq!(help.status, Some(0), "{}: {command}", page.display());
            let options = words.filter(|word| word.starts_with("--"));
            for option in options.map(|option| option.split('=').next().unwrap()) {
                let known = help
                    .stdout
                    .split_whitespace()
                    .any(|word| word.trim_end_matches(|c: char| !c.is_alphanumeric()) == option);
                assert!(known, "{}: {command}: no {option}\n{}", page.display(), help.stdout);
            }
        }
    }
    assert!(seen > 10, "{seen} commands");
}

#[test]
fn every_link_leads_to_a_file() {
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") || link.starts_with('#') {
                continue;
            }
            seen += 1;
            let file = link.split('#').next().unwrap();
            let target = page.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link}", page.display());
        }
    }
    assert!(seen > 15, "{seen} links");
}

#[test]
fn every_page_of_the_docs_is_linked_from_the_readme() {
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    for page in pages() {
        let name = page.strip_prefix(top()).unwrap().to_str().unwrap().to_owned();
        assert!(name == "README.md" || readme.contains(&format!("({name})")), "{name}");
    }
}

#[test]
fn the_readme_is_short() {
    let words = fs::read_to_string(top().join("README.md")).unwrap().split_whitespace().count();
    assert!(words <= MAX_README_WORDS, "{words} words");
}

fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

#[test]
fn every_key_of_the_example_is_in_the_reference() {
    let (example, reference) = (text("config.example.toml"), text("docs/configuration.md"));
    let mut seen = 0;
    for line in example.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let Some((key, _)) = line.split_once(" = ") else { continue };
        if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            seen += 1;
            assert!(reference.contains(&format!("`{key}`")), "{key}");
        }
    }
    assert!(seen > 60, "{seen} keys");
}

#[test]
fn every_module_is_in_the_architecture_page() {
    let (map, page) = (text("src/lib.rs"), text("docs/architecture.md"));
    let modules = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: Vec<&str> = modules.collect();
    assert!(modules.len() > 25, "{modules:?}");
    for module in modules {
        assert!(page.contains(&format!("`{module}`")), "{module}");
    }
}

/// Every `.rs` file below `folder`, one after the other.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

#[test]
fn every_test_that_the_docs_name_exists() {
    let sources = ["src", "tests"].map(|folder| sources(&top().join(folder))).concat();
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for name in text.split("the test `").skip(1).filter_map(|rest| rest.split('`').next()) {
            seen += 1;
            assert!(sources.contains(&format!("fn {name}(")), "{}: {name}", page.display());
        }
    }
    assert!(seen >= 2, "{seen} tests");
}

/// Each row of the attack tables of Notary v1 and the proxy, as the prefix of test names: `f5_`.
#[test]
fn every_attack_on_notary_v1_has_a_test() {
    let page = text("docs/verification.md");
    let sources = ["src", "tests"].map(|folder| sources(&top().join(folder))).concat();
    let mut seen = 0;
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    for row in rows.flat_map(|rows| rows.split(", ")) {
        let (first, last) = row.split_once('–').unwrap_or((row, row));
        let number = |row: &str| row.get(1..)?.parse::<u32>().ok();
        let (Some(from), Some(to)) = (number(first), number(last)) else { continue };
        let letter = first[..1].to_lowercase();
        for row in (from..=to).filter(|_| letter != "t") {
            seen += 1;
            assert!(sources.contains(&format!("fn {letter}{row}_")), "{letter}{row}");
        }
    }
    assert!(seen > 60, "{seen} rows");
}

#[test]
fn every_reason_has_a_section_in_troubleshooting() {
    let page = text("docs/troubleshooting.md");
    for reason in REASONS {
        assert!(page.contains(&format!("\n### {reason}\n\n")), "{reason}");
    }
}
