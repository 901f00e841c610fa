//! Messages for failed lookups, and texts of registries in messages.

use std::time::Duration;

use countersign::oci::{Digest, MediaType};
use http::header::CONTENT_TYPE;
use rcgen::SanType;
use serde_json::{Value, json};

use super::Site;
use crate::fake_registry::{Fault, respond, with};
use crate::sigstore::{Key, Kind, Layer, Leaf, Sigstore, bundle, pae, payload, statement};
use crate::whole_gate::{app, described};

#[tokio::test]
async fn a_rate_limit_is_obeyed_although_another_rule_refuses() {
    let rules = "[[rule]]\nimages = [\"APP:a*\"]\nrequire = [\"a\"]\n\
                 [[rule]]\nimages = [\"APP\"]\nrequire = [\"b\"]\n";
    let site = Site::new(&["a", "b"], rules).await;
    let image = site.push_signed("a1", "one", "a");
    site.world.pull("a1").await.serves(&image);

    // The signature is now that of another key.
    let text = payload(&Digest::of(&image).to_string(), json!({}));
    site.put_signatures(&image, &[Layer::signed(&text, &Key::new(Kind::P256))]);
    site.world.pass(Duration::from_secs(600));
    site.world.pull("a1").await.is_refused("signature_invalid");
    site.world.registry.hook(|_| Some(Fault::Respond(respond(429, ""))));
    let got = site.world.pull(Digest::of(&image)).await;
    assert_eq!(got.status, 429, "{got:?}");
}

#[tokio::test]
async fn control_characters_of_a_foreign_certificate_are_escaped() {
    let rules = "[[rule]]\nimages = [\"APP\"]\nrequire = [\"web\"]\n[[anchor]]\nname = \"web\"\n\
                 scheme = \"cosign\"\nidentity = \"dev@acme.test\"\nissuer = \"https://acme.test\"\n";
    let site = Site::new(&[], rules).await;
    let image = site.world.push("v1", "one");
    let name = "https://evil.test/\u{1b}[2J\u{1b}[1;1Hadmitted\r\n";
    let names = vec![SanType::URI(name.try_into().unwrap())];
    let leaf = Leaf { names, ..Leaf::new() };
    let certified = Sigstore::shared().certify(&leaf);
    let text = payload(&Digest::of(&image).to_string(), json!({}));
    site.put_signatures(&image, &[Layer::signed(&text, &leaf.key).by(&certified)]);
    let got = site.world.pull("v1").await;
    got.is_refused("signature_invalid");
    let body: Value = serde_json::from_slice(&got.body).unwrap();
    let message = body["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("https://evil.test/"), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[tokio::test]
async fn one_web_page_does_not_hide_signatures_of_later_requests() {
    let site = Site::new(&["ci"], "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\n").await;
    let image = site.world.push("v1", "one");
    let said = statement(&Digest::of(&image).to_string(), "https://sigstore.dev/cosign/sign/v1");
    let signature = site.keys["ci"].sign(&pae(&said));
    let bundle = bundle(&said, &signature, None, &[], &[]).to_string().into_bytes();
    site.world.registry.registry().put_blob(&app(), bundle.clone());
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "artifactType": kind,
        "config": described("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [described(kind, &bundle)],
        "subject": described(MediaType::OciImage.as_str(), &image),
    });
    site.put(MediaType::OciImage, &manifest);

    site.world.registry.hook(|asked| {
        let page = || with(respond(200, "<p>back in a minute</p>"), CONTENT_TYPE, "text/html");
        asked.path.contains("/referrers/").then(|| Fault::Respond(page()))
    });
    assert_ne!(site.world.pull("v1").await.status, 200);
    site.world.registry.hook(|_| None);
    site.world.pass(Duration::from_secs(60));
    site.world.pull("v1").await.serves(&image);
}
