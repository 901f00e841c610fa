//! Artifacts with their own config type whose config contains an image config. containerd's CRI reads any config as an
//! image config: with the layers of the signed image, which it already has, it would run the attacker's command.

use countersign::oci::Digest;
use serde_json::{Value, json};

use super::{DSSE, Door, IN_TOTO, SPDX};
use crate::whole_gate::described;

const NOTATION: &str = "application/vnd.cncf.notary.signature";
const BUILDKIT: &str = "application/vnd.docker.attestation.manifest.v1+json";
const COSIGN: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const LAYER: &[u8] = b"{\"a\":\"text\"}";

/// The types of an artifact and of its layer.
const KINDS: [(&str, &str); 5] = [
    (SPDX, SPDX),
    (BUILDKIT, IN_TOTO),
    (DSSE, DSSE),
    (NOTATION, "application/jose+json"),
    (COSIGN, SIMPLE_SIGNING),
];

fn with_config(door: &Door, (kind, layer): (&str, &str), config: &Value) -> Value {
    let config = config.to_string().into_bytes();
    door.blob(&config);
    let mut referrer = door.referrer(kind, layer, LAYER);
    referrer["config"] = described(kind, &config);
    referrer
}

#[tokio::test]
async fn a_config_of_the_artifacts_own_type_that_runs_something_is_not_served() {
    let door = Door::new().await;
    let held = Digest::of(b"one").to_string();
    for config in [
        json!({"config": {"Cmd": ["/evil"]}, "rootfs": {"type": "layers", "diff_ids": [held]}}),
        json!({"config": {"Entrypoint": ["/evil"]}}),
        json!({"rootfs": {"type": "layers", "diff_ids": [held]}}),
        json!({"unknown": 1}),
    ] {
        for kind in KINDS {
            let mut referrer = with_config(&door, kind, &config);
            door.refuses_referrer(&referrer).await;
            referrer.as_object_mut().unwrap().remove("artifactType");
            door.refuses_referrer(&referrer).await;
        }
        let mut tagged = with_config(&door, (COSIGN, SIMPLE_SIGNING), &config);
        tagged.as_object_mut().unwrap().remove("subject");
        door.refuses_tagged(".sig", &tagged).await;
    }
}

#[tokio::test]
async fn an_empty_config_and_a_cosign_config_are_served() {
    let door = Door::new().await;
    let cosigns = json!({"architecture": "", "created": "0001-01-01T00:00:00Z", "os": "", "config": {},
        "history": [{"created": "0001-01-01T00:00:00Z"}],
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(LAYER).to_string()]}});
    for config in [json!({}), cosigns] {
        for kind in KINDS {
            door.serves_referrer(&with_config(&door, kind, &config)).await;
        }
    }
}
