//! Every path of the contract, and the errors of invalid ones.

use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn names() -> Names {
    let registries = ["r.example", "docker.io", "quay.io", "localhost:5000"];
    Names {
        registries: registries.iter().map(|name| name.parse().unwrap()).collect(),
        default: Some("r.example".parse().unwrap()),
        own_ports: Vec::new(),
    }
}

fn get(target: &str) -> Result<Route, Malformed> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Route::parse(&Method::GET, path, query, &names())
}

fn code(target: &str) -> Option<ErrorCode> {
    get(target).err().map(|malformed| malformed.code())
}

#[track_caller]
fn image(target: &str, expected: &str) {
    assert_eq!(get(target), Ok(Route::Manifest(expected.parse().unwrap())), "{target}");
}

#[test]
fn the_registry_comes_from_ns_or_the_name_or_the_default() {
    image("/v2/a/b/manifests/v1", "r.example/a/b:v1");
    image("/v2/quay.io/a/b/manifests/v1", "quay.io/a/b:v1");
    image("/v2/localhost:5000/a/manifests/v1", "localhost:5000/a:v1");
    image("/v2/a/b/manifests/v1?ns=quay.io", "quay.io/a/b:v1");
    image("/v2/a/manifests/v1?x=y&ns=localhost%3A5000", "localhost:5000/a:v1");
    image("/v2/alpine/manifests/3?ns=docker.io", "docker.io/library/alpine:3");
    image("/v2/docker.io/alpine/manifests/3", "docker.io/library/alpine:3");
    image("/v2/docker.io/user/app/manifests/3", "docker.io/user/app:3");
    // With `ns`, the whole path is the repository; a registry name alone is a repository.
    image("/v2/quay.io/a/manifests/v1?ns=r.example", "r.example/quay.io/a:v1");
    image("/v2/quay.io/manifests/v1", "r.example/quay.io:v1");
}

#[test]
fn a_registry_that_is_not_served_is_unknown() {
    for target in ["/v2/a/manifests/1?ns=other.example", "/v2/a/manifests/1?ns="] {
        assert_eq!(code(target), Some(ErrorCode::NameUnknown), "{target}");
    }
    assert_eq!(code("/v2/a/manifests/1?ns=quay.io&ns=quay.io"), Some(ErrorCode::NameInvalid));
    let names = Names { default: None, ..names() };
    let unknown = Route::parse(&Method::GET, "/v2/a/tags/list", None, &names).unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::NameUnknown);
    let invalid = Route::parse(&Method::GET, "/v2/A/tags/list", None, &names).unwrap_err();
    assert_eq!(invalid.code(), ErrorCode::NameInvalid, "invalid in every registry");
}

#[test]
fn names_may_contain_the_words_of_paths() {
    image("/v2/manifests/manifests/manifests", "r.example/manifests:manifests");
    image("/v2/a/blobs/uploads/manifests/list", "r.example/a/blobs/uploads:list");
    image("/v2/a/tags/list/manifests/1", "r.example/a/tags/list:1");
    let tags = get("/v2/a/manifests/tags/list");
    assert!(matches!(&tags, Ok(Route::Tags { name, .. }) if &**name == "a/manifests"), "{tags:?}");
}

#[test]
fn the_colon_of_a_digest_may_be_encoded() {
    let plain = format!("r.example/a@sha256:{HEX}");
    for colon in [":", "%3A", "%3a"] {
        image(&format!("/v2/a/manifests/sha256{colon}{HEX}"), &plain);
        for kind in ["blobs", "referrers"] {
            let route = get(&format!("/v2/a/{kind}/sha256{colon}{HEX}")).unwrap();
            let (Route::Blob { digest, .. } | Route::Referrers { digest, .. }) = route else {
                panic!("{route:?}")
            };
            assert_eq!(digest.hex(), HEX);
        }
    }
}

#[test]
fn lists_have_pages() {
    let Ok(Route::Tags { repository, name, ns, page }) =
        get("/v2/alpine/tags/list?ns=docker.io&n=10&last=v1.2")
    else {
        panic!("no tags")
    };
    assert_eq!(
        (repository.registry.as_str(), repository.name.as_str()),
        ("docker.io", "library/alpine")
    );
    assert_eq!((&*name, ns.unwrap().as_str()), ("alpine", "docker.io"));
    assert_eq!(page.to_query(), "n=10&last=v1.2");
    for query in ["n=", "n=-1", "n=x", "n=4294967296", "n=1.0"] {
        let target = format!("/v2/a/tags/list?{query}");
        assert_eq!(code(&target), Some(ErrorCode::PaginationNumberInvalid), "{query}");
    }
    let referrers = format!("/v2/a/referrers/sha256:{HEX}?artifactType=");
    let route = get(&format!("{referrers}application%2Fspdx%2Bjson")).unwrap();
    assert!(
        matches!(&route, Route::Referrers { artifact_type: Some(t), .. } if t == "application/spdx+json"),
        "{route:?}"
    );
    assert_eq!(code(&format!("{referrers}a%0ab")), Some(ErrorCode::NameInvalid));
}

#[test]
fn writing_methods_are_unsupported_on_registry_paths_only() {
    for method in ["PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let route = |path| Route::parse(&method, path, None, &names());
        for path in [
            "/v2/",
            "/v2/a/manifests/v1",
            "/v2/A/manifests/!!",
            "/v2/a/blobs/sha256:0",
            "/v2/a/blobs/uploads/",
            "/v2/a/blobs/uploads",
            "/v2/a/blobs/uploads/7e1b",
            "/v2/r.example/a/_trust/tuf/",
            "/v2/r.example/a/_trust/tuf/root.json",
        ] {
            assert_eq!(route(path), Ok(Route::Unsupported), "{method} {path}");
        }
        for path in ["/", "/v2/_catalog", "/v1/", "/metrics"] {
            assert_eq!(route(path), Ok(Route::NotFound), "{method} {path}");
        }
    }
}

#[test]
fn a_path_outside_the_registry_api_is_not_found() {
    for path in [
        "",
        "*",
        "/",
        "/v1/",
        "/v3/",
        "/v2x",
        "//v2/",
        "/V2/",
        "/v2/_catalog",
        "/v2/a",
        "/v2//",
        "/v2/a/manifests/v1/",
        "/v2/a/manifests/v1/x",
        "/v2/a/tags",
        "/v2/a/tags/",
        "/v2/a/tags/x",
        "/v2/a/tags/list/",
        "/v2/a/blobs/uploads/",
        "/v2/a/blobs/uploads",
        "/v2/a/blobs/uploads/1",
        "/v2/a%2Fmanifests%2Fv1",
        "/token/",
        "/v2/token",
        "/extensions/v2/a/signatures/b",
    ] {
        assert_eq!(get(path), Ok(Route::NotFound), "{path}");
    }
}

#[test]
fn trust_metadata_has_the_paths_of_notary() {
    for file in [
        "root.json",
        "targets.json",
        "snapshot.json",
        "timestamp.json",
        "targets/releases.json",
        "targets/a_b-1.json",
        "3.root.json",
        &format!("root.{HEX}.json"),
        &format!("targets/releases.{HEX}.json"),
    ] {
        let route = get(&format!("/v2/localhost:5000/a/b/_trust/tuf/{file}"));
        let Ok(Route::TrustMetadata { gun, file: read }) = route else {
            panic!("{file}: {route:?}")
        };
        assert_eq!((gun.as_str(), format!("{read}.json")), ("localhost:5000/a/b", file.to_owned()));
    }
    for file in [
        "",
        ".json",
        "root",
        "root.key",
        "timestamp.key",
        "Root.json",
        "0.root.json",
        "01.root.json",
        "12345678901.root.json",
        "root.json.json",
        "roots.json",
        "root/a.json",
        "targets/.json",
        "targets//a.json",
        "targets/../a.json",
        "targets/A.json",
        "targets/a.b.json",
        "targets%2Freleases.json",
        &format!("root.{}.json", &HEX[1..]),
        &format!("root.{}.json", HEX.to_uppercase()),
        &format!("1.root.{HEX}.json"),
        &format!("targets/{}.json", "a".repeat(256)),
    ] {
        let route = get(&format!("/v2/r.example/a/_trust/tuf/{file}"));
        assert_eq!(route, Ok(Route::NotFound), "{file}");
    }
    for gun in ["a", "", "A/b", "r.example/", "r.example/A", "r.example/a%2fb", "r.example/../b"] {
        let target = format!("/v2/{gun}/_trust/tuf/root.json");
        assert_eq!(code(&target), Some(ErrorCode::NameInvalid), "{gun}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_parsed_names_are_safe_in_a_url(
        path in "(/v2/)?([a-z./:_%A-Z0-9é-]|/manifests/|/blobs/|/tags/list|/referrers/|/_trust/tuf/|sha256:){0,24}(\\.json)?",
        query in "([a-z=&%0-9]|ns=|n=|last=|artifactType=|quay\\.io){0,12}",
    ) {
        match Route::parse(&Method::GET, &path, Some(&query), &names()) {
            Ok(Route::TrustMetadata { gun, file }) => {
                for text in [gun.to_string(), file.to_string()] {
                    prop_assert!(!text.contains(['%', '?', '#']) && !text.contains(".."));
                }
            }
            Ok(Route::Manifest(image)) => {
                prop_assert_eq!(image.to_string().parse(), Ok(image));
            }
            Ok(_) | Err(_) => {}
        }
    }

    #[test]
    fn no_bytes_panic(target in proptest::collection::vec(any::<u8>(), 0..64), prefix in any::<bool>()) {
        let target = if prefix { [b"/v2/", &*target].concat() } else { target };
        if let Ok(uri) = http::Uri::try_from(target) {
            let parsed = Route::parse(&Method::GET, uri.path(), uri.query(), &names());
            if let Err(malformed) = parsed {
                prop_assert!(malformed.to_string().len() < 2048);
            }
        }
    }
}

#[test]
fn a_docker_hub_host_means_docker_hub() {
    let names = |registries: &[&str]| Names {
        registries: registries.iter().map(|name| name.parse().unwrap()).collect(),
        ..Names::default()
    };
    let registry = |names: &Names, ns: &str| {
        let query = format!("ns={ns}");
        let route = Route::parse(&Method::GET, "/v2/alpine/manifests/v1", Some(&query), names)?;
        let Route::Manifest(image) = route else { panic!("{route:?}") };
        Ok(image.repository.to_string())
    };
    let hub = names(&["docker.io"]);
    for ns in ["docker.io", "registry-1.docker.io", "index.docker.io"] {
        assert_eq!(registry(&hub, ns).as_deref(), Ok("docker.io/library/alpine"), "{ns}");
    }
    for ns in ["auth.docker.io", "docker.io.example", "REGISTRY-1.docker.io"] {
        assert_eq!(registry(&hub, ns), Err(Malformed::UnknownRegistry(ns.to_owned())));
    }
    // A host that is itself configured as a registry means that upstream.
    let both = names(&["docker.io", "index.docker.io"]);
    assert_eq!(registry(&both, "index.docker.io").as_deref(), Ok("index.docker.io/alpine"));
    let other = names(&["quay.io"]);
    assert!(registry(&other, "index.docker.io").is_err());
}
