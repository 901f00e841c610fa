//! Other paths to the same decisions: audit and allow rules, exemptions, `why`, and the key `artifacts`.

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use super::{Door, OCI, SPDX, inlined};
use crate::fake_registry::REGISTRY;
use crate::whole_gate::{APP, DEFAULTS, World, described};

const HELM: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

async fn with_rules(rules: &str) -> Door {
    let mut world =
        World::with(DEFAULTS, &rules.replace("APP", &format!("{REGISTRY}/{APP}"))).await;
    let image = world.push_signed("v1", "one");
    Door { world, image }
}

fn chart(door: &Door) -> Value {
    let mut chart = door.referrer(HELM, CHART, b"chart");
    chart.as_object_mut().unwrap().remove("artifactType");
    chart["config"] = described(HELM, b"{}");
    chart
}

#[tokio::test]
async fn a_rule_may_permit_other_artifact_types() {
    let door =
        with_rules("[[rule]]\nimages = [\"APP\"]\nrequire = [\"team\"]\nartifacts = \"all\"\n")
            .await;
    let chart = chart(&door);
    door.serves_referrer(&chart).await;
    let path = format!("/v2/{APP}/referrers/{}", Digest::of(&door.image));
    let list: Value = serde_json::from_slice(&door.world.get(&path).await.body).unwrap();
    assert_eq!(list["manifests"][0]["artifactType"], HELM);

    let hidden = door.hidden();
    for (place, value) in [
        ("/layers/0", inlined(CHART, b"chart")),
        ("/layers/0", described(OCI.as_str(), &hidden)),
        ("/layers/0", described(" APPLICATION/vnd.oci.image.index.v1+json;a", &hidden)),
        ("/layers/0", described("application/vnd.oci.image.layer.v1.tar+gzip", b"chart")),
        ("/layers/0", described("application/vnd.docker.image.rootfs.diff.tar.gzip", b"chart")),
        ("/layers/0", described(CHART, b"")),
        ("/config", described("application/vnd.oci.image.config.v1+json", b"{}")),
        ("/config", described("application/vnd.oci.image.config.v1+json; a=b", b"{}")),
        ("/config", described("application/vnd.docker.container.image.v1+json", b"{}")),
        ("/config", described("application/octet-stream", b"{}")),
        ("/config", described(OCI.as_str(), &hidden)),
        ("/mediaType", json!(MediaType::DockerImage.as_str())),
        ("/subject/digest", json!(Digest::of(&hidden).to_string())),
    ] {
        let mut bad = chart.clone();
        *bad.pointer_mut(place).unwrap() = value;
        let media_type = bad["mediaType"].as_str().unwrap().to_owned();
        let registry = door.world.registry.registry();
        let app = crate::whole_gate::app();
        let digest = registry.put_manifest(&app, &media_type, bad.to_string());
        assert_eq!(door.world.pull(digest).await.status, 404, "{bad}");
    }
    door.keeps_back(&hidden).await;
}

#[tokio::test]
async fn an_audit_or_allow_rule_for_tags_permits_no_other_artifact_types() {
    let door = with_rules(
        "[[rule]]\nimages = [\"APP:dev*\"]\nmode = \"allow\"\nreason = \"trial\"\nartifacts = \"all\"\n\
         [[rule]]\nimages = [\"APP:test*\"]\nmode = \"audit\"\nrequire = [\"team\"]\nartifacts = \"all\"\n",
    )
    .await;
    for tag in ["dev1", "test1"] {
        let image = door.world.push(tag, tag);
        door.world.pull(tag).await.serves(&image);
    }
    door.world.pull("v1").await.serves(&door.image);
    door.refuses_referrer(&chart(&door)).await;
    let hidden = door.hidden();
    let mut referrer = door.referrer(SPDX, SPDX, b"{}");
    referrer["layers"] = json!([inlined(OCI.as_str(), &hidden)]);
    door.refuses_referrer(&referrer).await;
    door.keeps_back(&hidden).await;
}

#[tokio::test]
async fn an_exempted_image_permits_no_other_artifact_types() {
    let door = Door::new().await;
    let image = door.world.push("v2", "two");
    crate::exempted::exempt(&door.world, &image);
    door.world.pull("v2").await.serves(&image);
    let mut about = chart(&door);
    about["subject"] = described(OCI.as_str(), &image);
    let bytes = door.world.put(OCI, &about);
    assert_eq!(door.world.pull(Digest::of(&bytes)).await.status, 404);
    let mut sbom = door.referrer(SPDX, SPDX, b"{}");
    sbom["subject"] = described(OCI.as_str(), &image);
    door.serves_referrer(&sbom).await;
    let hidden = door.hidden();
    let list = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [inlined(OCI.as_str(), &hidden)]});
    let tag = format!("sha256-{}", Digest::of(&image).hex());
    let list = door.world.put(MediaType::OciIndex, &list);
    door.world.put_tag(&tag, &list);
    assert_eq!(door.world.pull(&tag).await.status, 404);
    door.keeps_back(&hidden).await;
}

/// `cosign copy` and other tools leave such tags.
#[tokio::test]
async fn an_ordinary_copy_under_the_tag_of_a_list_is_decided_by_its_content() {
    let door = Door::new().await;
    let tag = format!("sha256-{}", Digest::of(&door.image).hex());
    door.world.put_tag(&tag, &door.image);
    door.world.pull(&tag).await.serves(&door.image);
    let door = Door::new().await;
    let unsigned = door.world.push("v2", "unsigned");
    door.world.put_tag(&tag, &unsigned);
    assert_eq!(door.world.pull(&tag).await.status, 404);
}

#[tokio::test]
async fn a_completely_allowed_repository_lists_and_serves_everything() {
    let mut world = World::with(
        DEFAULTS,
        &format!(
            "[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nmode = \"allow\"\nreason = \"trial\"\n"
        ),
    )
    .await;
    let image = world.push_signed("v1", "one");
    let door = Door { world, image };
    door.serves_referrer(&chart(&door)).await;
    let path = format!("/v2/{APP}/referrers/{}", Digest::of(&door.image));
    let list: Value = serde_json::from_slice(&door.world.get(&path).await.body).unwrap();
    assert_eq!(list["manifests"][0]["artifactType"], HELM);
}

#[tokio::test]
async fn why_agrees_with_the_gate_about_an_unlisted_artifact() {
    let door = Door::new().await;
    let bytes = door.world.put(OCI, &chart(&door));
    let reported = door.world.why(Digest::of(&bytes)).await;
    let reported = serde_json::to_string(&reported).unwrap();
    assert!(
        reported.contains("digest_not_signed") && reported.contains("artifacts = "),
        "{reported}"
    );
}
