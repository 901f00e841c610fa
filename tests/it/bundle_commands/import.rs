//! `bundle import` of content that the bundle assumes, and what an interrupted import leaves.

use countersign::oci::{Digest, MediaType, Repository, RepositoryRef};
use serde_json::json;

use super::receiver::Receiver;
use super::{Exporter, TABLES};
use crate::attached::{EMPTY, MINE, layer, put_sig};
use crate::carried::Carried;
use crate::fake_registry::REGISTRY;
use crate::whole_gate::{World, described};

const SHARED: &str = "a layer of two repositories";

fn other() -> Repository {
    "library/other".parse().unwrap()
}

/// Pushes an image of one layer to [`other`].
fn push_other(world: &World, layer: &str) -> Vec<u8> {
    let registry = world.registry.registry();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "config": described("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer.as_bytes())],
    });
    let bytes = manifest.to_string().into_bytes();
    registry.put_blob(&other(), b"{}".to_vec());
    registry.put_blob(&other(), layer.as_bytes().to_vec());
    let digest = registry.put_manifest(&other(), MediaType::OciImage.as_str(), bytes.clone());
    registry.put_tag(&other(), "v1".parse().unwrap(), digest);
    bytes
}

/// A receiver that imported [`SHARED`] in one repository, and a bundle `b.tar` that assumes it in another one.
async fn assumed(tables: &str, sign: bool) -> (Exporter, Receiver) {
    let exporter = Exporter::with(tables).await;
    exporter.push_cosigned("v1", SHARED);
    exporter.bundle("a.tar", &["v1"]).await;
    let manifest = push_other(&exporter.world, SHARED);
    if sign {
        put_sig(&exporter.world.registry, &other(), &manifest, &[layer(&manifest, &MINE)]);
    }
    let mut order = exporter.order("b.tar", &[]);
    order.images = vec![format!("{REGISTRY}/library/other:v1").parse().unwrap()];
    order.have = [Digest::of(SHARED.as_bytes())].into();
    let created = exporter.create(&order).await.unwrap();
    assert_eq!(created.exit_status(), 0, "{created}");
    let receiver = Receiver::with(&exporter, tables, MINE.pem()).await;
    assert_eq!(receiver.import(&exporter.path("a.tar")).await.exit_status(), 0);
    (exporter, receiver)
}

#[tokio::test]
async fn a_signed_image_may_assume_a_layer_of_another_repository_in_its_registry() {
    let (exporter, mut receiver) = Box::pin(assumed(TABLES, true)).await;
    let path = exporter.path("b.tar");
    assert_eq!(receiver.verify(&path, None).await.exit_status(), 0);
    let imported = receiver.import(&path).await;
    assert_eq!(imported.exit_status(), 0, "{imported}");
    receiver.world.start().await;
    let blob = format!("/v2/library/other/blobs/{}", Digest::of(SHARED.as_bytes()));
    assert_eq!(receiver.world.get(&blob).await.body, SHARED.as_bytes());
}

/// The manifest of an unsigned image proves nothing about the layers of other repositories: whoever wrote the bundle
/// could read every layer whose digest they know.
#[tokio::test]
async fn an_unsigned_image_cannot_open_a_layer_of_another_repository() {
    let open = format!(
        "{TABLES}[[rule]]\nimages = [\"{REGISTRY}/library/other\"]\nmode = \"allow\"\nreason = \"x\"\n"
    );
    let (exporter, receiver) = Box::pin(assumed(&open, false)).await;
    let imported = receiver.import(&exporter.path("b.tar")).await;
    assert_eq!(imported.exit_status(), 3, "{imported}");
    let shared = Digest::of(SHARED.as_bytes()).to_string();
    assert!(imported.images[0].because.contains(&shared), "{imported}");
}

#[tokio::test]
async fn an_attachment_cannot_open_a_layer_of_another_repository() {
    let exporter = Exporter::new().await;
    exporter.push_cosigned("v1", SHARED);
    exporter.bundle("a.tar", &["v1"]).await;
    let hostile = Exporter::new().await;
    let manifest = push_other(&hostile.world, "another layer");
    put_sig(&hostile.world.registry, &other(), &manifest, &[layer(&manifest, &MINE)]);
    let listed = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "artifactType": "application/spdx+json",
        "config": described(EMPTY, b"{}"),
        "layers": [described("application/spdx+json", SHARED.as_bytes())],
        "subject": described(MediaType::OciImage.as_str(), &manifest),
    });
    let registry = hostile.world.registry.registry();
    registry.put_manifest(&other(), MediaType::OciImage.as_str(), listed.to_string().into_bytes());
    let mut carried = Carried::of(registry, &Default::default());
    let shared = Digest::of(SHARED.as_bytes());
    for image in &mut carried.contents {
        image["assumed"] = json!([shared.to_string()]);
        let blobs = image["blobs"].as_array_mut().unwrap();
        blobs.push(json!({ "digest": shared.to_string(), "size": SHARED.len() }));
    }
    carried.write(&exporter.path("b.tar"));
    let receiver = Receiver::new(&exporter).await;
    assert_eq!(receiver.import(&exporter.path("a.tar")).await.exit_status(), 0);
    let imported = receiver.import(&exporter.path("b.tar")).await;
    assert_eq!(imported.exit_status(), 3, "{imported}");
    let place: RepositoryRef = format!("{REGISTRY}/library/other").parse().unwrap();
    assert!(imported.images[0].because.contains(&format!("{shared} for {place}")), "{imported}");
}
