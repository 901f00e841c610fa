//! Registries that lie, and clients that mean no good, before a gate that keeps what it fetches: nobody
//! else is stopped, and nothing wrong looks whole.

use std::time::Duration;

use countersign::clock::Clock;
use countersign::oci::{Digest, Registry};
use countersign::pull_through::{Metrics, Origin, PullThrough};
use countersign::store::{self, Store};
use countersign::upstream::{self, Upstream};
use http::{Method, StatusCode};

use crate::blob_site::{BlobSite, LENGTH, app, blob, drain, is_whole, other, registry};
use crate::fake_registry::{FakeRegistry, Fault, respond};
use crate::folder::Folder;
use crate::whole_gate::{APP, World};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// To a client, no content at all would be the whole of what `Content-Length` says.
#[tokio::test]
async fn an_answer_without_content_never_looks_whole() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(b"one"));
    world.registry.hook(|asked| {
        let is_blob = asked.path.contains("/blobs/");
        is_blob.then(|| Fault::Respond(respond(200, "")))
    });
    let answer = world.get(&path).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}
