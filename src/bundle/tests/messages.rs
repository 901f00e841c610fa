//! Messages about hostile bundles: short, and without control characters.

use super::*;
use crate::text::is_plain;

/// The longest message without its path, in characters.
const MAX_MESSAGE: usize = 700;

#[track_caller]
fn is_fit(error: &impl ToString) {
    let text = error.to_string();
    assert!(text.chars().all(is_plain), "{text:?}");
    assert!(text.chars().count() <= MAX_MESSAGE, "{} characters: {text:.200}", text.len());
}

#[test]
fn a_message_about_a_list_of_contents_is_short_and_plain() {
    let long = "\u{1b}[2J\u{202e}".repeat(1 << 16);
    let long = serde_json::to_string(&long).unwrap();
    for text in [
        format!("{{\"format\":{long}}}"),
        format!("{{\"format\":1,\"images\":{long}}}"),
        format!("{{\"format\":1,{long}:1,{long}:1}}"),
        format!(
            "{{\"format\":1,\"revocation\":[{{\"url\":{long},\"document\":{long},\"ends\":{long}}}]}}"
        ),
    ] {
        is_fit(&Problem::from(Contents::parse(text.as_bytes()).unwrap_err()));
    }
    for text in [format!("{{{long}:1,{long}:1}}"), format!("[{long}")] {
        is_fit(&Problem::from(Index::parse(text.as_bytes()).unwrap_err()));
        is_fit(&Problem::from(documents::parse(text.as_bytes()).unwrap_err()));
    }
}

#[test]
fn a_message_about_names_in_a_bundle_is_short_and_plain() {
    let long = "\u{1b}[2J\u{9b}".repeat(1 << 12);
    let changes: [fn(&mut Parts, &str); 3] = [
        |parts, long| parts.contents.images[0].blobs[2].digest = long.to_owned(),
        |parts, long| parts.contents.images[0].names.push(long.to_owned()),
        |parts, long| parts.contents.images[0].digest = long.to_owned(),
    ];
    for change in changes {
        let mut parts = parts();
        change(&mut parts, &long);
        is_fit(&open(parts, "names").unwrap_err());
    }
}

#[test]
fn a_message_about_the_names_of_files_is_short_and_plain() {
    let folder = Folder::new("file-names");
    let path = folder.0.join("a\u{1b}[2J\n.tar");
    File::create(&path).unwrap().write_all(b"x").unwrap();
    is_fit(&Bundle::open(&path).unwrap_err());
    // A list of checksums names other volumes.
    for name in ["a\u{1b}[2J".to_owned(), "b".repeat(100_000), "\u{fffd}".to_owned()] {
        let folder = Folder::new("listed-names");
        parts().write(&folder.path(), Some(4 << 20));
        let first = fs::read_to_string(folder.0.join("a.tar.sha256")).unwrap();
        let mut list = File::create(folder.0.join("a.tar.sha256")).unwrap();
        let name = name.replace('\u{fffd}', "\u{202e}rat");
        list.write_all(format!("{first}{:064}  {name}\n", 0).as_bytes()).unwrap();
        is_fit(&Bundle::open(&folder.path()).unwrap_err());
    }
    let folder = Folder::new("binary-names");
    parts().write(&folder.path(), Some(4 << 20));
    File::create(folder.0.join("a.tar.sha256")).unwrap().write_all(&[0xff; 99]).unwrap();
    let problem = Bundle::open(&folder.path()).unwrap_err().problem;
    assert!(matches!(problem, Problem::Source(SourceError::Checksums(_))), "{problem}");
}
