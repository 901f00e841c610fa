//! Which names patterns match, in which order they decide, and which patterns are invalid.

use super::*;

fn matches(pattern: &str, image: &str) -> bool {
    let pattern: Pattern = pattern.parse().unwrap();
    let image: crate::oci::ImageRef = image.parse().unwrap();
    let crate::oci::Reference::Tag(tag) = &image.reference else { panic!() };
    pattern.covers(&image.repository) && pattern.covers_tag(Some(tag))
}

#[test]
fn wildcards_are_anchored_and_keep_to_their_segments() {
    for (pattern, image, expected) in [
        ("r.io/a/b", "r.io/a/b:1", true),
        ("r.io/a/b", "r.io/a/bc:1", false),
        ("r.io/a/b", "r.io/x/a/b:1", false),
        ("r.io/a/b", "xr.io/a/b:1", false),
        ("r.io/*", "r.io/a:1", true),
        ("r.io/*", "r.io/a/b:1", false),
        ("r.io/**", "r.io/a/b/c:1", true),
        ("r.io/a/**", "r.io/a/b:1", true),
        ("r.io/a/**", "r.io/a:1", false),
        ("r.io/a/**", "r.io/ab/c:1", false),
        ("r.io/**/b", "r.io/b:1", true),
        ("r.io/**/b", "r.io/a/x/b:1", true),
        ("r.io/**/b", "r.io/a/b/c:1", false),
        ("r.io/**/b/**", "r.io/a/b/c:1", true),
        ("r.io/a*c/d", "r.io/abc/d:1", true),
        ("r.io/a*c/d", "r.io/ab/c/d:1", false),
        ("*/a", "r.io/a:1", true),
        ("**", "r.io/a/b:1", true),
        ("r.io/a:v*", "r.io/a:v1", true),
        ("r.io/a:v*", "r.io/a:1", false),
        ("r.io/a:v1", "r.io/a:v11", false),
        ("r.io/a:*-rc*", "r.io/a:1-rc-2", true),
        ("localhost:5000/**", "localhost:5000/a:1", true),
        ("localhost:5000/**", "localhost:5001/a:1", false),
        ("**:v1", "r.io/a/b:v1", true),
    ] {
        assert_eq!(matches(pattern, image), expected, "{pattern} {image}");
    }
}

#[test]
fn paths_match_as_in_the_recursive_definition() {
    fn defined(pattern: &[String], name: &[&str]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [last] if last == "**" => !name.is_empty(),
            [first, rest @ ..] if first == "**" => {
                (0..=name.len()).any(|taken| defined(rest, &name[taken..]))
            }
            [first, rest @ ..] => name.split_first().is_some_and(|(part, others)| {
                matches_segment(first, part) && defined(rest, others)
            }),
        }
    }
    fn all<'a>(words: &[&'a str], longest: usize) -> Vec<Vec<&'a str>> {
        let mut texts = vec![vec![]];
        for length in 0..longest {
            let longer = texts.iter().filter(|text| text.len() == length).flat_map(|text| {
                words.iter().map(|word| text.iter().copied().chain([*word]).collect())
            });
            let longer: Vec<_> = longer.collect();
            texts.extend(longer);
        }
        texts
    }
    let names = all(&["a", "b"], 5);
    for pattern in all(&["a", "b", "*", "**"], 4) {
        let pattern: Vec<String> = pattern.into_iter().map(str::to_owned).collect();
        for name in &names {
            let got = path_matches(&pattern, name.iter().copied());
            assert_eq!(got, defined(&pattern, name), "{pattern:?} {name:?}");
        }
    }
}

#[test]
fn a_pattern_with_a_tag_covers_no_digest() {
    assert!(!"r.io/a:*".parse::<Pattern>().unwrap().covers_tag(None));
    assert!("r.io/a".parse::<Pattern>().unwrap().covers_tag(None));
}

#[test]
fn the_most_specific_pattern_is_first() {
    let mut patterns: Vec<Pattern> = [
        "**",
        "r.io/**",
        "r.io/a/*",
        "r.io/a/b",
        "r.io/a/b:v*",
        "r.io/a/b:v1",
        "r.io/a/**",
        "r.io/a/b*",
    ]
    .iter()
    .map(|text| text.parse().unwrap())
    .collect();
    patterns.sort_by_key(Pattern::specificity);
    let sorted: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    assert_eq!(
        sorted,
        [
            "r.io/a/b:v1",
            "r.io/a/b:v*",
            "r.io/a/b",
            "r.io/a/b*",
            "r.io/a/**",
            "r.io/a/*",
            "r.io/**",
            "**"
        ]
    );
}

#[test]
fn an_invalid_pattern_is_an_error() {
    for text in [
        "",
        "a",
        "r.io/",
        "/a",
        "r.io//a",
        "r.io/a**",
        "r.io/***",
        "r.io/a:",
        "r.io/a?",
        "r.io/a b",
        "r.io/[ab]/x{1}",
    ] {
        assert!(text.parse::<Pattern>().is_err(), "{text}");
    }
}

#[test]
fn names_of_docker_hub_are_expanded_as_clients_expand_them() {
    for (text, expanded) in [
        ("docker.io/alpine", "docker.io/library/alpine"),
        ("docker.io/alpine:3", "docker.io/library/alpine:3"),
        ("docker.io/al*", "docker.io/library/al*"),
        ("docker.io/*", "docker.io/library/*"),
        ("docker.io/**", "docker.io/**"),
        ("docker.io/user/app", "docker.io/user/app"),
        ("docker.io/library/alpine", "docker.io/library/alpine"),
        ("quay.io/alpine", "quay.io/alpine"),
    ] {
        assert_eq!(text.parse::<Pattern>().unwrap().to_string(), expanded);
    }
    for (pattern, image, expected) in [
        ("docker.io/alpine", "docker.io/alpine:3", true),
        ("docker.io/alpine", "docker.io/user/alpine:3", false),
        ("docker.io/*", "docker.io/user/app:3", false),
        ("*/alpine", "docker.io/alpine:3", true),
        ("*/alpine", "quay.io/alpine:3", true),
        ("*.io/al*:3", "docker.io/library/alpine:3", true),
        ("*/library", "docker.io/library/alpine:3", false),
        ("*/alpine", "docker.io/user/alpine:3", false),
        ("**/alpine", "docker.io/alpine:3", true),
        ("**/alpine", "docker.io/user/alpine:3", true),
        ("**/alpine", "docker.io/a/b/alpine:3", true),
        ("**/alpine", "docker.io/alpine:3", true),
        ("*/*/alpine", "docker.io/alpine:3", true),
    ] {
        assert_eq!(matches(pattern, image), expected, "{pattern} {image}");
    }
}

#[test]
fn a_pattern_that_no_image_can_match_is_an_error_that_names_the_fix() {
    for (text, expected) in [
        ("r.io/App", "write \"app\""),
        ("R.io/app", "write \"r.io\""),
        ("r.io/*/App*", "write \"app*\""),
        ("r.io/a..b", "\"a..b\""),
        ("r.io/-a*", "\"-a*\""),
        ("r.io/a_*_", "\"a_*_\""),
        ("r.io/a:-1", "no tag"),
        ("r.io/a:.*", "no tag"),
        ("r.io/a/b:5000/c", "\"b:5000\""),
        ("r_.io/a", "\"r_.io\""),
        ("r.io/a@sha256:0", "sha256:0"),
        ("r.io/a@sha256:*", "sha256:*"),
        ("r.io/a:v1@sha256:0", "leave out the tag"),
    ] {
        let error = text.parse::<Pattern>().expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    for text in [
        "r.io/a-*",
        "r.io/*-a",
        "r.io/a_*_b",
        "r.io/a*.*b",
        "*:5000/a",
        "[::1]:5000/a",
        "[fe80:*]/a",
        "**/r.io:5000/a",
        "10.0.0.*/a",
        "r.io/a:V1*",
        "r.io/*",
    ] {
        assert!(text.parse::<Pattern>().is_ok(), "{text}");
    }
}

#[test]
fn a_pattern_with_a_digest_covers_no_tag_and_is_the_most_specific() {
    let digest = Digest::of(b"");
    let pattern: Pattern = format!("docker.io/alpine@{digest}").parse().unwrap();
    assert_eq!(pattern.to_string(), format!("docker.io/library/alpine@{digest}"));
    assert_eq!(pattern.digest(), Some(&digest));
    assert!(!pattern.covers_tag(None) && !pattern.covers_tag(Some(&"3".parse().unwrap())));
    let tagged: Pattern = "docker.io/alpine:3".parse().unwrap();
    assert!(pattern.specificity() < tagged.specificity());
    let everywhere: Pattern = format!("**@{digest}").parse().unwrap();
    assert_eq!(everywhere.digest(), Some(&digest));
}

#[test]
fn the_example_of_a_pattern_is_covered_by_it() {
    for text in ["**:v1", "r.io/**", "r.io/*/b", "*/*", "r.io/a*", "docker.io/*", "*.io/a"] {
        let pattern: Pattern = text.parse().unwrap();
        let repository = pattern.example().unwrap();
        assert!(pattern.covers(&repository), "{text}");
    }
}
