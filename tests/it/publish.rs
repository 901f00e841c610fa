//! Uploads of referrers: to the configured registry only, with a token for one repository, and listed where clients look.

use countersign::oci::{Digest, MediaType, Repository};
use countersign::registry_client::{Listed, Metrics, PublishError, RegistryWriter};
use countersign::signing::{
    ReferrerManifest, SigningKey, SigstoreBundle, Statement, SubjectManifest,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderName, Method, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::fake_registry::{Asked, FakeRegistry, Fault, respond, with};
use crate::sigstore::{Key, Kind};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

fn subject() -> SubjectManifest {
    SubjectManifest { media_type: MediaType::OciImage, digest: Digest::of(b"image"), size: 5 }
}

fn referrer() -> ReferrerManifest {
    let key = SigningKey::parse(&Key::new(Kind::P256).pair.serialize_pem()).unwrap();
    let statement = Statement::new(Vec::new(), "https://test/type", Value::Null);
    ReferrerManifest::new(&subject(), &SigstoreBundle::sign(&statement, &key).unwrap(), None)
}

async fn published(registry: &FakeRegistry) -> Result<Listed, PublishError> {
    let publisher = RegistryWriter::new(&registry.config(), &Metrics::default()).unwrap();
    let repository: Repository = "signatures/app".parse().unwrap();
    publisher.publish(&repository, &subject().digest, &referrer()).await
}

/// The answer of a registry that accepts every upload. `location` begins an upload.
fn accepts(asked: &Asked, location: &str) -> Option<Response<Full<bytes::Bytes>>> {
    match asked.method {
        Method::POST => Some(with(respond(202, ""), LOCATION, location)),
        Method::PUT => Some(respond(201, "")),
        _ => None,
    }
}

fn uploads(registry: &FakeRegistry) -> Vec<Asked> {
    let mut asked = registry.asked();
    asked.retain(|asked| [Method::POST, Method::PUT].contains(&asked.method));
    asked
}

#[tokio::test]
async fn a_referrer_is_uploaded_after_its_blobs_and_listed_by_the_api() {
    let registry = FakeRegistry::start().await;
    registry.hook(|asked| {
        let answer = accepts(asked, "/v2/signatures/app/blobs/uploads/1?_state=abc")?;
        let subject = subject().digest.to_string();
        Some(Fault::Respond(with(answer, OCI_SUBJECT, &subject)))
    });
    assert_eq!(published(&registry).await.unwrap(), Listed::ByApi);
    let all = uploads(&registry);
    let steps: Vec<String> =
        all.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    let blob = ["POST /v2/signatures/app/blobs/uploads/", "PUT /v2/signatures/app/blobs/uploads/1"];
    assert_eq!(steps[..4], [blob[0], blob[1], blob[0], blob[1]]);
    assert!(steps[4].starts_with("PUT /v2/signatures/app/manifests/sha256:"), "{steps:?}");
    assert_eq!(steps.len(), 5);
    assert!(all[1].query.starts_with("_state=abc&digest=sha256%3A"), "{}", all[1].query);
    assert_eq!(all[4].header(CONTENT_TYPE), MediaType::OciImage.as_str());
}

#[tokio::test]
async fn without_the_referrers_api_a_tag_lists_the_referrer() {
    let registry = FakeRegistry::start().await;
    registry.hook(|asked| accepts(asked, "/upload").map(Fault::Respond));
    let tag = format!("sha256-{}", subject().digest.hex());
    assert_eq!(published(&registry).await.unwrap(), Listed::ByTag(tag.parse().unwrap()));
    let list = uploads(&registry).pop().unwrap();
    assert_eq!(list.path, format!("/v2/signatures/app/manifests/{tag}"));
    assert_eq!(list.header(CONTENT_TYPE), MediaType::OciIndex.as_str());
}

#[tokio::test]
async fn a_referrers_tag_that_is_no_list_is_not_overwritten() {
    let registry = FakeRegistry::start().await;
    let image = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
            "digest": Digest::of(b"{}").to_string() },
        "layers": [],
    })
    .to_string();
    let tag = format!("sha256-{}", subject().digest.hex());
    let path = format!("/v2/signatures/app/manifests/{tag}");
    registry.hook(move |asked| {
        let list = asked.method == Method::GET && asked.path == path;
        let answer = match list {
            true => with(respond(200, image.clone()), CONTENT_TYPE, MediaType::OciImage.as_str()),
            false => accepts(asked, "/upload")?,
        };
        Some(Fault::Respond(answer))
    });
    assert!(matches!(published(&registry).await, Err(PublishError::NoList(_))));
    assert!(uploads(&registry).iter().all(|asked| !asked.path.ends_with(&tag)));
}

#[tokio::test]
async fn an_upload_url_on_another_server_gets_nothing() {
    let (registry, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let url = format!("{}/upload", other.url("127.0.0.1"));
    registry.hook(move |asked| accepts(asked, &url).map(Fault::Respond));
    let error = published(&registry).await.unwrap_err();
    assert!(matches!(error, PublishError::OtherServer(_)), "{error}");
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn an_upload_gets_a_token_for_its_repository() {
    let registry = FakeRegistry::start().await;
    let challenge = format!(
        "Bearer realm=\"{}/token\",service=\"test\",scope=\"repository:signatures/app:pull,push,delete\"",
        registry.url("127.0.0.1")
    );
    registry.hook(move |asked| {
        let answer = match (asked.path.as_str(), asked.header(AUTHORIZATION)) {
            ("/token", _) => {
                with(respond(200, "{\"token\":\"abc\"}"), CONTENT_TYPE, "application/json")
            }
            (_, "Bearer abc") => accepts(asked, "/upload")?,
            _ => with(respond(401, ""), WWW_AUTHENTICATE, &challenge),
        };
        let subject = subject().digest.to_string();
        Some(Fault::Respond(with(answer, OCI_SUBJECT, &subject)))
    });
    assert_eq!(published(&registry).await.unwrap(), Listed::ByApi);
    let tokens = registry.asked_for("/token");
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    let scope = "scope=repository%3Asignatures%2Fapp%3Apull%2Cpush";
    assert!(tokens[0].query.split('&').any(|pair| pair == scope), "{}", tokens[0].query);
}

#[tokio::test]
async fn a_refused_upload_names_the_status_and_is_sent_once() {
    let registry = FakeRegistry::start().await;
    registry.hook(|_| Some(Fault::Respond(respond(403, ""))));
    let error = published(&registry).await.unwrap_err().to_string();
    assert!(error.contains("403") && error.contains("[[upstream]]"), "{error}");
    assert_eq!(registry.asked().len(), 1);
}
