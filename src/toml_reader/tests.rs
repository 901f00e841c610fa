//! The errors in broken files, with their positions.

use super::*;

fn problems(text: &str, read: impl FnOnce(&Section<'_>)) -> Vec<String> {
    let document = Document::from_text(Path::new("c.toml"), text.to_owned());
    let outcome = document.read(|section| {
        read(section);
        Some(())
    });
    match outcome {
        Ok(()) => Vec::new(),
        Err(Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_error_is_reported_with_its_line_and_key() {
    let text = "[a]\nport = \"x\"\nage = \"5 years\"\n\n[[b]]\nname = 3\n[[b]]\nnmae = \"x\"\n";
    let found = problems(text, |top| {
        let a = top.section("a").unwrap();
        a.count("port", 1, 9);
        a.duration("age");
        a.finish();
        for b in top.sections("b") {
            b.required::<String>("name");
            b.finish();
        }
    });
    assert_eq!(
        found,
        [
            "c.toml:2: `a.port`: expected a whole number from 1 to 9, found string",
            "c.toml:3: `a.age`: \"5 years\" is not a duration: write \"30s\", \"5m\" or \"24h\"",
            "c.toml:6: `b.name`: expected a string in quotes, found 3",
            "c.toml:7: `b`: `name` is required",
            "c.toml:8: `b.nmae`: unknown key; did you mean `name`?",
        ]
    );
}

#[test]
fn every_syntax_error_is_reported() {
    let found = problems("a = \nb = 1\nb = 2\n", |_| {});
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("c.toml:1: "), "{found:?}");
}

#[test]
fn a_missing_file_is_named() {
    let Err(problems) = Document::open(Path::new("/nowhere/c.toml")) else { panic!() };
    assert!(problems.to_string().starts_with("/nowhere/c.toml:1: /nowhere/c.toml cannot be read"));
}
