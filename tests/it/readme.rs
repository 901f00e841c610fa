//! The README's configurations: what a new user copies is right as it stands.

use std::fs;
use std::path::Path;

use countersign::config::Config;
use countersign::settings::Document;

use crate::folder::Folder;
use crate::sigstore::{Key, Kind};

/// The blocks of `README.md` that are TOML, the quick start first.
fn blocks() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let after = text.split("\n```toml\n").skip(1);
    after.map(|block| block.split_once("\n```\n").unwrap().0.to_owned() + "\n").collect()
}

#[test]
fn the_quick_start_is_a_configuration_as_it_stands() {
    let quick_start = blocks().remove(0);
    let file = Path::new("/nowhere/countersign.toml");
    let read = Config::read(&Document::from_text(file, quick_start));
    let config = read.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((config.upstreams.len(), config.anchors.len(), config.policy.len()), (1, 1, 1));
}

#[test]
fn every_other_block_goes_with_the_quick_start() {
    let folder = Folder::new("readme");
    folder.write("keys/cosign.pub", Key::new(Kind::P256).pem());
    let root = include_str!("../data/notation/root.crt");
    folder.write("pki/root.crt", root);
    let blocks = blocks();
    assert!(blocks.len() > 2, "{blocks:?}");
    for block in &blocks[1..] {
        let text = format!("{}\n{block}", blocks[0]);
        let read = Config::read(&Document::from_text(&folder.join("countersign.toml"), text));
        read.unwrap_or_else(|problems| panic!("{problems}\n{block}"));
    }
}
