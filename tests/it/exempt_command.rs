//! `countersign exempt` from a shell.

use std::path::PathBuf;

use countersign::clock::Clock;
use countersign::exemptions::ExemptionFile;
use countersign::oci::Digest;
use serde_json::Value;

use crate::commands::{Said, countersign};
use crate::folder::Folder;

/// A configuration with a store, and rules, one of which denies.
struct Place {
    folder: Folder,
    config: PathBuf,
}

fn place() -> Place {
    let folder = Folder::new("exempt");
    std::fs::create_dir(folder.join("store")).unwrap();
    let config = folder.write(
        "countersign.toml",
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
         [[upstream]]\nregistry = \"registry.example.com\"\n\
         [[rule]]\nimages = [\"registry.example.com/**\"]\nmode = \"allow\"\nreason = \"x\"\n\
         [[rule]]\nimages = [\"registry.example.com/shut/**\"]\nmode = \"deny\"\n",
    );
    Place { folder, config }
}

impl Place {
    fn exempt(&self, arguments: &[&str]) -> Said {
        let config = ["--config", self.config.to_str().unwrap()];
        countersign(&[&["exempt"], arguments, &config].concat())
    }

    fn file(&self) -> ExemptionFile {
        ExemptionFile::below(&self.folder.join("store"))
    }
}

fn image(repository: &str) -> String {
    format!("registry.example.com/{repository}@{}", Digest::of(b"one"))
}

#[test]
fn exemptions_are_listed_with_reason_and_end_and_can_be_ended() {
    let place = place();
    assert_eq!(place.exempt(&["--list"]).stdout, "no exemptions\n");
    let said = place.exempt(&[&image("app"), "--reason", " OPS-12 ", "--for", "2h"]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    assert!(said.stdout.starts_with(&format!("exempted {} until ", image("app"))));

    let [one] = &place.file().read().unwrap()[..] else { panic!("not one") };
    let lasts = one.says().until.since(one.says().made).as_secs();
    assert_eq!((one.says().reason.as_str(), lasts), ("OPS-12", 7200));
    assert!(one.is_in_force(Clock::System.now()));
    assert!(one.says().by.contains("uid "), "{}", one.says().by);

    let listed = place.exempt(&["--list"]).stdout;
    for words in [&image("app"), "OPS-12", &format!("{:#}", one.says().until), &one.says().by] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    let json: Value = serde_json::from_str(&place.exempt(&["--list", "--json"]).stdout).unwrap();
    assert_eq!(json["exemptions"][0]["image"], image("app"));

    let ended = place.exempt(&[&image("app"), "--end"]);
    assert!(ended.stdout.starts_with("ended "), "{}", ended.stdout);
    assert_eq!(place.exempt(&["--list"]).stdout, "no exemptions\n");
    let again = place.exempt(&[&image("app"), "--end"]);
    assert_eq!(again.stdout, format!("{} was not exempted\n", image("app")));
}

#[test]
fn a_digest_takes_precedence_over_a_tag() {
    let place = place();
    let both = image("app").replace('@', ":v1@");
    assert_eq!(place.exempt(&[&both, "--reason", "x", "--for", "1h"]).status, Some(0));
    assert!(place.exempt(&["--list"]).stdout.contains(&image("app")));
}

#[test]
fn an_invalid_exemption_is_an_error_that_names_the_fix() {
    let place = place();
    let with = |image: &str, reason: &str, lasts: &str| {
        place.exempt(&[image, "--reason", reason, "--for", lasts])
    };
    for (said, words) in [
        (with("registry.example.com/app:v1", "x", "1h"), "needs a digest"),
        (with("registry.example.com/app", "x", "1h"), "needs a digest"),
        (with("elsewhere.example.com/app@sha256:0", "x", "1h"), "a digest must be"),
        (
            with(&image("app").replace("registry.", "other."), "x", "1h"),
            "no upstream is configured",
        ),
        (with(&image("shut/app"), "x", "1h"), "does not override"),
        (with(&image("app"), "", "1h"), "--reason must not be empty"),
        (with(&image("app"), "  ", "1h"), "--reason must not be empty"),
        (with(&image("app"), "x", "8d"), "from one second to 7 days"),
        (with(&image("app"), "x", "0s"), "from one second to 7 days"),
        (with(&image("app"), "x", "long"), "is not a duration"),
        (with(&image("app"), &"x".repeat(501), "1h"), "longer than 500 bytes"),
        (place.exempt(&[&image("app"), "--for", "1h"]), "--reason"),
        (place.exempt(&[&image("app"), "--reason", "x"]), "--for"),
        (place.exempt(&[]), "<IMAGE>"),
    ] {
        assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{words}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert_eq!(place.file().read().unwrap(), []);
}

#[test]
fn an_unreadable_file_is_reported_and_left_unchanged() {
    let place = place();
    assert_eq!(place.exempt(&[&image("app"), "--reason", "x", "--for", "1h"]).status, Some(0));
    let path = place.file().path();
    place.folder.write(path.strip_prefix(place.folder.path()).unwrap().to_str().unwrap(), "{");
    for arguments in [
        vec!["--list"],
        vec![&*image("app"), "--end"],
        vec![&*image("app"), "--reason", "x", "--for", "1h"],
    ] {
        let said = place.exempt(&arguments);
        assert_eq!((said.status, said.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(said.stderr.contains(path.to_str().unwrap()), "{}", said.stderr);
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"{");
}

#[test]
fn without_a_store_nothing_is_written() {
    let place = place();
    let store = place.folder.join("store");
    std::fs::remove_dir(&store).unwrap();
    let said = place.exempt(&[&image("app"), "--reason", "x", "--for", "1h"]);
    assert_eq!(said.status, Some(1));
    assert!(said.stderr.contains("no store at"), "{}", said.stderr);
    assert!(!store.exists());
}
