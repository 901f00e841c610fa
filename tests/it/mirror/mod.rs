//! The mirror listener: it admits the same images as the public listener, and denies so that clients do not fall back
//! to another registry.

mod blobs;
mod authorize;
mod silence;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::oci::{Digest, MediaType};
use http::header::RETRY_AFTER;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::audit::Page;
use crate::fake_registry::{Fault, REGISTRY, respond, with};
use crate::whole_gate::{APP, Answer, DEFAULTS, Setup, World};
use crate::wire::soon;

const ABSENT: &str = "remote trust data does not exist for registry.example.com/library/app";
/// The `Accept` of a client that accepts every type.
const ANY: &[(&str, &str)] = &[("accept", "*/*")];
const FINAL: &str = ": no such process";

pub(super) fn manifests(reference: impl std::fmt::Display) -> String {
    format!("/v2/{APP}/manifests/{reference}")
}

pub(super) fn blobs(digest: impl std::fmt::Display) -> String {
    format!("/v2/{APP}/blobs/{digest}")
}

impl World {
    async fn mirror(&self, path: &str) -> Answer {
        self.as_mirror(Method::GET, path, ANY).await
    }

    async fn mirror_head(&self, path: &str) -> Answer {
        self.as_mirror(Method::HEAD, path, ANY).await
    }

    /// Checks that this is denied for good, for every kind of request, with a reason that begins like this.
    #[track_caller]
    fn sticks<'a>(&'a self, path: &'a str, words: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let head = self.mirror_head(path).await;
            assert_eq!(head.status, StatusCode::NOT_MODIFIED, "{caller} {path}");
            assert!(head.reason.starts_with(words), "{caller} {path}: {}", head.reason);
            let by_digest = path.contains("sha256:") || path.contains("sha256%3A");
            let reported = self.mirror(path).await.final_denial(by_digest);
            assert!(reported.starts_with(words), "{caller} {path}: {reported}");
        }
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn is_never_kept(&self) {
        assert_eq!(self.header("cache-control"), "no-store");
    }

    /// The text in the manifest of this denial.
    fn final_denial(&self, by_digest: bool) -> String {
        assert_eq!(self.status, StatusCode::OK);
        self.is_never_kept();
        let manifest = self.json();
        let expected = if by_digest { MediaType::DockerImage } else { MediaType::OciImage };
        assert_eq!(self.header("content-type"), expected.as_str());
        assert_eq!(manifest["mediaType"], expected.as_str());
        assert_eq!(self.header("docker-content-digest"), Digest::of(&self.body).to_string());
        assert_eq!(self.header("content-length"), self.body.len().to_string());
        assert_eq!(manifest["layers"], json!([]));
        let reported = manifest["config"]["mediaType"].as_str().unwrap().to_owned();
        assert_eq!(reported.ends_with(FINAL), by_digest, "{reported}");
        reported
    }

    /// Checks that this is an ordinary error, and returns its status and text.
    fn error(&self) -> (u16, String) {
        let error = &self.json()["errors"][0];
        (self.status.as_u16(), error["code"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn both_listeners_admit_the_same_images() {
    let mut world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("index", &index);
    world.sign("index", &index);
    let config = Digest::of(b"{}");
    let paths = [
        manifests("index"),
        manifests(Digest::of(&index)),
        manifests(Digest::of(&child)),
        blobs(config),
        format!("/v2/{APP}/tags/list"),
        format!("/v2/{APP}/referrers/{}", Digest::of(&index)),
        "/v2/".to_owned(),
    ];
    for path in &paths {
        for method in [Method::GET, Method::HEAD] {
            let plain = world.send(method.clone(), path, &[]).await;
            let mirror = world.as_mirror(method, path, &[]).await;
            assert_eq!((plain.status, &plain.body), (mirror.status, &mirror.body), "{path}");
            let strip = |answer: &Answer| {
                let mut headers = answer.headers.clone();
                headers.remove("date");
                headers
            };
            assert_eq!(strip(&plain), strip(&mirror), "{path}");
            assert_eq!(plain.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn head_of_a_denied_image_is_a_304_with_the_reason() {
    let mut world = World::new().await;
    world.push_signed("signed", "one");
    let other = world.push("v1", "two");
    for reference in ["v1".to_owned(), Digest::of(&other).to_string()] {
        let head = world.mirror_head(&manifests(reference)).await;
        assert_eq!(head.status, StatusCode::NOT_MODIFIED);
        assert!(head.reason.starts_with(ABSENT), "{}", head.reason);
        assert_eq!(head.header("docker-content-digest"), "");
        assert_eq!(head.header("content-length"), "");
        assert_eq!(head.header("content-type"), "");
        assert_eq!(head.header("docker-distribution-api-version"), "registry/2.0");
        head.is_never_kept();
    }
}

#[tokio::test]
async fn a_denied_digest_is_not_confirmed_to_a_client_that_has_it() {
    let mut world = World::new().await;
    let signed = world.push_signed("signed", "one");
    let digest = Digest::of(&world.put_image("unsigned"));
    let head = world.as_mirror(Method::HEAD, &manifests(digest), &[]).await;
    assert_eq!(head.status, StatusCode::NOT_IMPLEMENTED);
    assert!(head.reason.starts_with(ABSENT) && head.reason.ends_with(FINAL), "{}", head.reason);
    head.is_never_kept();
    let head = world.as_mirror(Method::HEAD, &manifests(Digest::of(&signed)), &[]).await;
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test]
async fn a_denied_tag_is_an_image_of_an_unknown_type_also_by_digest() {
    let world = World::new().await;
    world.push("v1", "unsigned");
    let denial = world.mirror(&manifests("v1")).await;
    let reported = denial.final_denial(false);
    assert!(reported.starts_with(&format!("{ABSENT}:v1")), "{reported}");

    let digest = Digest::of(&denial.body);
    let asked = world.registry.asked().len();
    let again = world.mirror(&manifests(digest)).await;
    assert_eq!((again.final_denial(false), &again.body), (reported.clone(), &denial.body));
    // No client asks another registry about this digest.
    assert_eq!(world.registry.asked().len(), asked);

    let config = denial.json()["config"]["digest"].as_str().unwrap().to_owned();
    let none = world.mirror(&blobs(config)).await;
    assert_eq!(none.error(), (403, "DENIED".to_owned()));
    assert_eq!(none.json()["errors"][0]["message"], reported);
    none.is_never_kept();
}

#[tokio::test]
async fn every_denial_has_a_different_config() {
    let world = World::new().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let denial = world.mirror(&manifests("v1")).await;
        assert!(seen.insert(denial.json()["config"]["digest"].to_string()));
    }
}

#[tokio::test]
async fn a_denied_digest_gets_a_manifest_with_another_digest() {
    let mut world = World::new().await;
    world.push_signed("signed", "one");
    let digest = Digest::of(&world.put_image("unsigned"));
    let denial = world.mirror(&manifests(digest)).await;
    let reported = denial.final_denial(true);
    assert!(reported.starts_with(&format!("{ABSENT}@{digest}")), "{reported}");
    assert_ne!(Digest::of(&denial.body), digest);
}

#[tokio::test]
async fn the_manifest_of_a_denial_is_never_found_on_the_other_listener() {
    let world = World::new().await;
    let denial = world.mirror(&manifests("v1")).await;
    let digest = Digest::of(&denial.body);
    assert_eq!(world.get(&manifests(digest)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get(&blobs(digest)).await.status, StatusCode::NOT_FOUND);
    let config = denial.json()["config"]["digest"].as_str().unwrap().to_owned();
    let none = world.get(&blobs(config)).await;
    assert_ne!(none.json()["errors"][0]["message"], denial.final_denial(false));
    for reference in ["v1".to_owned(), digest.to_string()] {
        let head = world.send(Method::HEAD, &manifests(reference), &[]).await;
        assert_eq!((head.status, head.reason.as_str()), (StatusCode::NOT_FOUND, ""));
    }
}

#[tokio::test]
async fn every_reason_of_a_denial_is_final_for_clients() {
    let rules = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/shut/**\"]\nmode = \"deny\"\nreason = \"a test\"\n"
    );
    let mut world = World::with(DEFAULTS, &rules).await;
    let gone = world.put_image("gone");
    world.sign("gone", b"{}");
    world.sign("signed", &gone);

    world.sticks("/v2/shut/app/manifests/v1", "registry.example.com/shut/app:v1 is denied").await;
    world.sticks(&manifests("v1"), ABSENT).await;
    // Signed, but upstream does not have it.
    world.sticks(&manifests("gone"), "the upstream registry does not have").await;

    world.registry.hook(|_| Some(Fault::Respond(respond(403, ""))));
    world.sticks(&manifests("gone"), "cannot decide about").await;
    world.registry.hook(|_| Some(Fault::Respond(with(respond(429, ""), RETRY_AFTER, "60"))));
    world.sticks(&manifests("gone"), "the upstream registry of").await;
}

#[tokio::test]
async fn an_undecided_image_is_final_for_clients_with_its_own_text() {
    let world = World::new().await;
    world.notary.goes_down();
    let digest = Digest::of(&world.put_image("never seen"));
    for reference in ["v1".to_owned(), digest.to_string()] {
        world.sticks(&manifests(&reference), "cannot decide about").await;
        assert_eq!(world.pull(&reference).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn an_invalid_name_or_unserved_registry_is_final_for_clients() {
    let world = World::new().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    for (path, words) in [
        (
            "/v2/library/app/manifests/v1?ns=other.example".to_owned(),
            "this gate does not serve the registry",
        ),
        (
            format!("/v2/library/app/manifests/{digest}?ns=other.example"),
            "this gate does not serve the registry",
        ),
        (
            "/v2/library/app/manifests/v1?ns=a.example&ns=b.example".to_owned(),
            "`ns` must be given only once",
        ),
        ("/v2/Library/app/manifests/v1".to_owned(), "\"Library/app\" is not a repository name"),
        ("/v2/library/app/manifests/.v1".to_owned(), "\".v1\" is not a tag"),
        ("/v2/library/app/manifests/sha256:0".to_owned(), "\"sha256:0\" is not a digest"),
        ("/v2/library/app/manifests/sha256%3A0".to_owned(), "\"sha256:0\" is not a digest"),
    ] {
        world.sticks(&path, words).await;
    }
    // Also the second request of a client with this answer.
    let denial = world.mirror("/v2/library/app/manifests/v1?ns=other.example").await;
    let digest = Digest::of(&denial.body);
    let again = world.mirror(&format!("/v2/library/app/manifests/{digest}?ns=other.example")).await;
    assert_eq!(
        (again.final_denial(false), &again.body),
        (denial.final_denial(false), &denial.body)
    );
}

#[tokio::test]
async fn the_tags_of_an_undecided_repository_get_a_final_error() {
    let world = World::new().await;
    world.push("v1", "unsigned");
    world.notary.goes_down();
    let path = format!("/v2/{APP}/tags/list");
    let tags = world.mirror(&path).await;
    assert_eq!(tags.error(), (501, "UNAVAILABLE".to_owned()));
    assert!(tags.reason.starts_with("cannot decide about"), "{}", tags.reason);
    assert!(tags.reason.ends_with(FINAL), "{}", tags.reason);
    tags.is_never_kept();
    assert_eq!(world.get(&path).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn unauthorized_mirror_clients_do_not_fall_back_for_layers_and_tags() {
    let users = format!("alice:{}", bcrypt::hash("alice", 4).unwrap());
    let tables = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"allow\"\nreason = \"a test\"\n\
         [clients]\nhtpasswd = \"users\"\n\
         [[clients.rule]]\nusers = [\"alice\"]\nimages = [\"{REGISTRY}/other\"]\n"
    );
    let world = World::of(Setup::new(tables).file("users", users)).await;
    let alice = format!("Basic {}", STANDARD.encode("alice:alice"));
    let headers: [&[(&str, &str)]; 2] = [&[], &[("authorization", &alice)]];
    for path in [blobs(Digest::of(b"one")), format!("/v2/{APP}/tags/list")] {
        for headers in headers {
            let answer = world.as_mirror(Method::GET, &path, headers).await;
            assert_eq!(answer.error(), (501, "DENIED".to_owned()), "{path}");
            assert!(answer.reason.ends_with(FINAL), "{path}: {}", answer.reason);
            assert!(world.send(Method::GET, &path, headers).await.status.is_client_error());
        }
    }
    // Otherwise no user could log in.
    assert_eq!(world.as_mirror(Method::GET, "/v2/", &[]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn missing_artifacts_get_an_ordinary_error() {
    let world = World::new().await;
    let hex = "a".repeat(64);
    for kind in ["", ".sig", ".att", ".sbom"] {
        for method in [Method::GET, Method::HEAD] {
            for query in ["", "?ns=other.example"] {
                let path = manifests(format!("sha256-{hex}{kind}{query}"));
                let answer = world.as_mirror(method.clone(), &path, ANY).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
                assert_eq!(answer.reason, "", "{path}");
                answer.is_never_kept();
            }
        }
    }
    let referrers = world.mirror(&format!("/v2/{APP}/referrers/sha256:{hex}")).await;
    assert_eq!((referrers.status, &referrers.json()["manifests"]), (StatusCode::OK, &json!([])));
    // A tag that only resembles one of them is an ordinary tag.
    world.sticks(&manifests(format!("sha256-{hex}.tar")), ABSENT).await;
}

#[tokio::test]
async fn the_mirror_listener_supports_only_http_1_1() {
    let world = World::new().await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (address, is_spoken) in [(world.public(), true), (world.mirror_address(), false)] {
        let mut stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.write_all(preface.as_bytes()).await.unwrap();
        // The SETTINGS frame of HTTP/2 begins with its length: two zero bytes first.
        let first = soon(stream.read_u16()).await.ok();
        assert_eq!(first == Some(0), is_spoken, "{first:?}");
    }
}

#[tokio::test]
async fn denials_of_the_mirror_are_recorded_with_the_listener() {
    let world = World::new().await;
    let page = Page::default();
    let _here = page.is_written();
    world.mirror(&manifests("v1")).await;
    world.pull("v1").await;
    let verdicts: Vec<Value> =
        page.all().into_iter().filter(|event| event["message"] == "verdict").collect();
    let [mirror, plain] = &verdicts[..] else { panic!("{verdicts:#?}") };
    assert_eq!((&mirror["listener"], &plain["listener"]), (&json!("mirror"), &Value::Null));
    for field in ["verdict", "reason", "rule", "anchor", "image.reference"] {
        assert_eq!(mirror[field], plain[field], "{field}");
    }
    assert_eq!(mirror["verdict"], "absent");
}

#[tokio::test]
async fn a_denial_contains_the_request_id() {
    let world = World::new().await;
    let page = Page::default();
    let _here = page.is_written();
    let reported = world.mirror(&manifests("v1")).await.final_denial(false);
    let event = page.all().into_iter().find(|event| event["message"] == "verdict").unwrap();
    let id = event["request_id"].as_str().unwrap();
    assert!(reported.ends_with(&format!(" (request {id})")), "{reported}");
}
