//! Properties for every input: of the strict parser and the canonical form, and that no mutation of a valid repository makes
//! the verifier panic or admit anything that its publisher did not sign.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use countersign::json::{Document, Value};
use countersign::oci::Digest;
use countersign::trust::notaryv1::canonical::canonical;
use serde_json::Value as Json;

use super::judge::Judge;
use crate::notary_repository::*;

/// Any value that every reader reads in the same way.
fn exact() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-((1_i64 << 53) - 1)..(1_i64 << 53)).prop_map(Json::from),
        ".{0,12}".prop_map(Json::String),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::Array),
            btree_map(".{0,8}", inner, 0..6)
                .prop_map(|all| Json::Object(all.into_iter().collect())),
        ]
    })
}

/// A parsed value as a value of `serde_json`.
fn foreign(value: Value<'_>) -> Json {
    match value {
        Value::Null | Value::Real => Json::Null,
        Value::Bool(yes) => yes.into(),
        Value::Integer(integer) => integer.into(),
        Value::String(text) => text.into(),
        Value::Array(items) => items.iter().map(foreign).collect(),
        Value::Object(members) => Json::Object(
            members.iter().map(|(name, value)| (name.to_owned(), foreign(value))).collect(),
        ),
    }
}

/// The canonical form of a value that another program wrote.
fn canonical_of(value: &Json) -> Vec<u8> {
    canonical(Document::parse(value.to_string().as_bytes()).unwrap().root()).unwrap()
}

/// Text that is nearly JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\":",
        "\"\\u0061\":",
        "\"",
        "\\",
        "\\u",
        "\\ud800",
        "null",
        "true",
        "-",
        "0",
        "1",
        "9007199254740993",
        "1e400",
        ".5",
        " ",
        "\n",
        "\u{feff}",
        "\0",
        "\"a\"",
        "\u{10ffff}",
    ];
    prop_oneof![
        vec(prop::sample::select(PIECES), 0..24).prop_map(|all| all.concat().into_bytes()),
        vec(any::<u8>(), 0..64),
    ]
}

/// The published files of the valid repository, created once.
static VALID: LazyLock<(NotaryRepository, Files, Files)> = LazyLock::new(|| {
    let mut repository = NotaryRepository::signed();
    let first = repository.publish();
    for role in ["targets", RELEASES] {
        repository.tag(role, "v2", b"the second manifest");
    }
    let second = repository.publish();
    (repository, first, second)
});

/// A change that an attacker without keys makes to the server's files.
#[derive(Clone, Debug)]
enum Change {
    Flip { file: usize, at: usize, bit: u8 },
    Cut { file: usize, at: usize },
    Insert { file: usize, at: usize, bytes: Vec<u8> },
    Swap { file: usize, other: usize },
    Older { file: usize },
    Remove { file: usize },
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    prop_oneof![
        (at(), at(), 0_u8..8).prop_map(|(file, at, bit)| Change::Flip { file, at, bit }),
        (at(), at()).prop_map(|(file, at)| Change::Cut { file, at }),
        (at(), at(), nearly_json()).prop_map(|(file, at, bytes)| Change::Insert {
            file,
            at,
            bytes
        }),
        (at(), at()).prop_map(|(file, other)| Change::Swap { file, other }),
        at().prop_map(|file| Change::Older { file }),
        at().prop_map(|file| Change::Remove { file }),
    ]
}

fn apply(change: &Change, files: &mut Files, older: &Files) {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = |index: usize| &names[index % names.len()];
    match change {
        Change::Flip { file, at, bit } => {
            let file = files.get_mut(name(*file)).unwrap();
            let length = file.len().max(1);
            if let Some(byte) = file.get_mut(at % length) {
                *byte ^= 1 << bit;
            }
        }
        Change::Cut { file, at } => {
            let file = files.get_mut(name(*file)).unwrap();
            file.truncate(at % (file.len() + 1));
        }
        Change::Insert { file, at, bytes } => {
            let file = files.get_mut(name(*file)).unwrap();
            let at = at % (file.len() + 1);
            file.splice(at..at, bytes.iter().copied());
        }
        Change::Swap { file, other } => {
            let bytes = files[name(*other)].clone();
            files.insert(name(*file).clone(), bytes);
        }
        Change::Older { file } => {
            if let Some(bytes) = older.get(name(*file)) {
                files.insert(name(*file).clone(), bytes.clone());
            }
        }
        Change::Remove { file } => {
            files.remove(name(*file));
            files.entry("nothing".to_owned()).or_default();
        }
    }
}

/// Everything that the publisher ever signed: tag → digests.
fn signed() -> BTreeMap<&'static str, BTreeSet<Digest>> {
    let digests = |all: &[&[u8]]| all.iter().map(|manifest| Digest::of(manifest)).collect();
    BTreeMap::from([
        ("v1", digests(&[V1, OLD_V1])),
        ("v2", digests(&[b"the second manifest"])),
        ("base", digests(&[BASE])),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parser_never_panics_and_the_canonical_form_is_stable(
        text in nearly_json(),
    ) {
        if let Ok(read) = Document::parse(&text)
            && let Ok(bytes) = canonical(read.root())
            // A canonical string may contain unescaped control characters, which JSON does not allow.
            && let Ok(again) = Document::parse(&bytes)
        {
            prop_assert_eq!(foreign(again.root()), foreign(read.root()));
            prop_assert_eq!(canonical(again.root()).unwrap(), bytes);
        }
    }

    #[test]
    fn values_of_another_program_are_read_unchanged(value in exact()) {
        for text in [serde_json::to_vec(&value), serde_json::to_vec_pretty(&value)] {
            let read = Document::parse(&text.unwrap()).unwrap();
            prop_assert_eq!(&foreign(read.root()), &value);
            prop_assert_eq!(canonical(read.root()).unwrap(), canonical_of(&value));
        }
    }

    #[test]
    fn the_canonical_form_equals_that_of_an_independent_implementation(value in exact()) {
        let own = crate::notary_repository::canonical(&value);
        prop_assert_eq!(canonical_of(&value), own);
    }

    #[test]
    fn no_two_values_have_the_same_canonical_form(one in exact(), other in exact()) {
        let same = canonical_of(&one) == canonical_of(&other);
        prop_assert_eq!(same, one == other);
    }

    #[test]
    fn a_duplicate_member_is_never_accepted(name in ".{0,8}", value in exact()) {
        let name = serde_json::to_string(&name).unwrap();
        let text = format!("{{{name}:{value},{name}:{value}}}");
        prop_assert!(Document::parse(text.as_bytes()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_change_of_the_files_admits_anything_that_was_not_signed(
        changes in vec(change(), 1..4),
        remembered in any::<bool>(),
    ) {
        let (repository, first, second) = &*VALID;
        let judge = Judge::pinned_to(repository);
        let before = remembered.then(|| judge.admits(second));
        let mut files = second.clone();
        for change in &changes {
            apply(change, &mut files, first);
        }
        let memory = before.as_ref().map(|before| &before.memory);
        if let Ok(updated) = judge.verdict(memory, &files) {
            let signed = signed();
            for digest in updated.repository.digests() {
                for tag in updated.repository.tags_of(digest) {
                    let known = signed.get(tag.as_str());
                    prop_assert!(known.is_some_and(|known| known.contains(digest)));
                }
            }
            if remembered {
                let tag = "v2".parse().unwrap();
                let newest = updated.repository.tag(&tag).map(|found| found.entry.digest);
                prop_assert_eq!(newest, Ok(Digest::of(b"the second manifest")));
            }
        }
    }

    #[test]
    fn no_root_of_a_server_causes_a_panic_or_is_admitted_unless_signed(
        root in nearly_json(),
        at in any::<usize>(),
    ) {
        let (repository, _, second) = &*VALID;
        let judge = Judge::pinned_to(repository);
        let mut files = second.clone();
        files.insert("root".to_owned(), root.clone());
        prop_assert!(judge.verdict(None, &files).is_err());
        let mut bytes = second["root"].clone();
        let at = at % bytes.len();
        bytes.splice(at..at, root.iter().copied());
        files.insert("root".to_owned(), bytes);
        let admitted = judge.verdict(None, &files);
        // Only white space or an empty insertion leaves the root unchanged. With white space, it no longer matches its hash in
        // the snapshot.
        prop_assert!(admitted.is_err() || root.is_empty());
    }
}
