//! The side door: an attacker without a key who can push to the repository of a signed image tries to get content
//! served. Each test is one attack, or one legitimate form that must be served.

#![expect(clippy::unwrap_used, reason = "shared code is not in the body of a test")]

mod artifacts;
mod blobs;
mod configs;
mod endorsed;
mod honest;
mod lists;
mod paths;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign::oci::{Digest, MediaType};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::whole_gate::{APP, World, app, described};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const SPDX: &str = "application/spdx+json";
const OCI: MediaType = MediaType::OciImage;

/// A gate for a repository with one signed image, `v1`.
struct Door {
    world: World,
    image: Vec<u8>,
}

impl Door {
    async fn new() -> Self {
        let mut world = World::new().await;
        let image = world.push_signed("v1", "one");
        world.pull("v1").await.serves(&image);
        Self { world, image }
    }

    /// Stores a blob.
    fn blob(&self, content: &[u8]) -> Digest {
        self.world.registry.registry().put_blob(&app(), content.to_vec())
    }

    /// Pushes an unsigned image.
    fn evil(&self) -> Vec<u8> {
        self.world.put_image("nobody signed this")
    }

    /// The manifest of an unsigned image, stored only as a blob.
    fn hidden(&self) -> Vec<u8> {
        let manifest = image_of("hidden").to_string().into_bytes();
        self.blob(b"{}");
        self.blob(b"hidden");
        self.blob(&manifest);
        manifest
    }

    /// An artifact of the signed image with that type and one such layer.
    fn referrer(&self, artifact_type: &str, layer_type: &str, layer: &[u8]) -> Value {
        self.blob(b"{}");
        self.blob(layer);
        json!({
            "schemaVersion": 2, "mediaType": OCI.as_str(), "artifactType": artifact_type,
            "config": described(EMPTY, b"{}"),
            "layers": [described(layer_type, layer)],
            "subject": described(OCI.as_str(), &self.image),
        })
    }

    /// cosign's manifest under a tag, with one such layer.
    fn tagged(&self, layer_type: &str, layer: &[u8]) -> Value {
        self.blob(b"{}");
        self.blob(layer);
        json!({
            "schemaVersion": 2, "mediaType": OCI.as_str(),
            "config": described(OCI_CONFIG, b"{}"),
            "layers": [described(layer_type, layer)],
        })
    }

    fn tag(&self, suffix: &str) -> String {
        format!("sha256-{}{suffix}", Digest::of(&self.image).hex())
    }

    /// Stores `manifest`, whatever it is, under the signed image's tag with `suffix`.
    fn put_tagged(&self, suffix: &str, media_type: &str, manifest: &[u8]) -> Digest {
        let registry = self.world.registry.registry();
        let digest = registry.put_manifest(&app(), media_type, manifest.to_vec());
        registry.put_tag(&app(), self.tag(suffix).parse().unwrap(), digest);
        digest
    }

    /// Pushes `manifest` as a referrer, and pulls it by its digest: it must be denied.
    async fn refuses_referrer(&self, manifest: &Value) {
        self.refuses_text(&manifest.to_string()).await;
    }

    async fn refuses_text(&self, manifest: &str) {
        let bytes = manifest.as_bytes().to_vec();
        let digest = self.world.registry.registry().put_manifest(&app(), OCI.as_str(), bytes);
        let got = self.world.pull(digest).await;
        assert_eq!(got.status, 404, "{manifest} was served: {got:?}");
    }

    /// Stores `manifest` under the tag with `suffix`, and pulls it by tag, then by digest: it must be denied.
    async fn refuses_tagged(&self, suffix: &str, manifest: &Value) {
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        let digest = self.put_tagged(suffix, &media_type, manifest.to_string().as_bytes());
        for reference in [self.tag(suffix), digest.to_string()] {
            let got = self.world.pull(&reference).await;
            assert_eq!(got.status, 404, "{manifest} was served as {reference}: {got:?}");
        }
    }

    /// Stores `manifest` as a referrer, and pulls it by its digest: it must be served.
    async fn serves_referrer(&self, manifest: &Value) {
        let bytes = self.world.put(OCI, manifest);
        self.world.pull(Digest::of(&bytes)).await.serves(&bytes);
    }

    /// Checks that `content` is not served by its digest: not as a manifest, not as a blob, whole or in part, on no
    /// listener.
    async fn keeps_back(&self, content: &[u8]) {
        let digest = Digest::of(content);
        let paths = ["manifests", "blobs"].map(|kind| format!("/v2/{APP}/{kind}/{digest}"));
        let last = format!("bytes=1-{}", content.len());
        for path in &paths {
            for (method, headers) in [
                (Method::HEAD, vec![]),
                (Method::GET, vec![("range", "bytes=0-9")]),
                (Method::GET, vec![("range", "bytes=-5")]),
                (Method::GET, vec![("range", last.as_str())]),
                (Method::GET, vec![]),
                (Method::HEAD, vec![]),
            ] {
                let got = self.world.send(method.clone(), path, &headers).await;
                assert!(!got.status.is_success(), "{method} {path} {headers:?}: {got:?}");
                let got = self.world.as_mirror(method, path, &headers).await;
                let came = !got.body.is_empty()
                    && content.windows(got.body.len()).any(|it| it == got.body);
                assert!(!came, "{path} {headers:?} came through the mirror listener");
            }
        }
    }

    /// Checks that `content` is served as a blob, whole and in part.
    async fn gives_blob(&self, content: &[u8]) {
        let path = format!("/v2/{APP}/blobs/{}", Digest::of(content));
        let head = self.world.send(Method::HEAD, &path, &[]).await;
        assert_eq!(head.status, 200, "{head:?}");
        let got = self.world.get(&path).await;
        assert_eq!((got.status.as_u16(), &*got.body), (200, content));
        let part = self.world.send(Method::GET, &path, &[("range", "bytes=1-")]).await;
        assert_eq!((part.status.as_u16(), &*part.body), (206, &content[1..]));
        let got = self.world.as_mirror(Method::GET, &path, &[]).await;
        assert_eq!((got.status.as_u16(), &*got.body), (200, content));
    }
}

/// The answer to a GET, as soon as its head has arrived; otherwise the reason of the denial.
async fn begin(world: &World, path: &str) -> Result<Response<Incoming>, String> {
    let request = Request::get(format!("http://{}{path}", world.public()));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.map_err(|error| error.to_string())
}

/// The whole body, or an error if it was interrupted.
async fn whole(answer: Response<Incoming>) -> Result<Bytes, String> {
    let body = answer.into_body().collect().await;
    body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

/// The manifest of an image with one layer.
fn image_of(layer: &str) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": OCI.as_str(),
        "config": described(OCI_CONFIG, b"{}"),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer.as_bytes())],
    })
}

/// The descriptor of `content` with inline data.
fn inlined(media_type: &str, content: &[u8]) -> Value {
    let mut descriptor = described(media_type, content);
    descriptor["data"] = json!(STANDARD.encode(content));
    descriptor
}
