//! `attest`: what it says about an admitted image, and what it does not attest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::app::{App, Keeping};
use countersign::commands::attest::{Attestation, Attester, NotAttested, attest};
use countersign::oci::{Digest, ImageRef};
use countersign::signing::SigningKey;
use serde_json::{Value, json};

use crate::exempted::exempt;
use crate::fake_registry::REGISTRY;
use crate::sigstore::{Key, Kind};
use crate::whole_gate::{APP, DEFAULTS, Setup, World};

const VERIFIER: &str = "https://gate.example.com/prod";

fn image(reference: &str) -> ImageRef {
    let before = if reference.contains(':') { '@' } else { ':' };
    format!("{REGISTRY}/{APP}{before}{reference}").parse().unwrap()
}

/// The result of `countersign attest` for an image of [`APP`], from a separate process.
async fn attested(world: &World, reference: &str) -> Result<Attestation, NotAttested> {
    let key = SigningKey::parse(&Key::new(Kind::P256).pair.serialize_pem()).unwrap();
    let by = Attester { key, verifier_id: VERIFIER.to_owned() };
    let app = App::new(&world.config(), world.clock.clone(), Keeping::OnlyRead).unwrap();
    attest(&app.gate(), &image(reference), &by).await
}

/// The signed statement of an attestation.
fn statement(attestation: &Attestation) -> Value {
    let bundle: Value = serde_json::from_slice(attestation.bundle.as_bytes()).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(payload).unwrap()).unwrap()
}

fn policy(attestation: &Attestation) -> Value {
    statement(attestation)["predicate"]["policy"]["digest"]["sha256"].clone()
}

#[tokio::test]
async fn a_signed_image_gets_a_verification_summary() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    let attestation = attested(&world, "v1").await.unwrap();
    assert_eq!(attestation.subject.digest, Digest::of(&manifest));
    assert_eq!(attestation.subject.size, manifest.len() as u64);
    assert!(attestation.missing.is_some_and(|missing| missing.contains("timestamp")));
    let statement = statement(&attestation);
    let hex = Digest::of(&manifest).hex();
    let subject = json!([{ "name": format!("{REGISTRY}/{APP}"), "digest": { "sha256": hex } }]);
    assert_eq!(statement["subject"], subject);
    assert_eq!(statement["predicateType"], "https://slsa.dev/verification_summary/v1");
    let predicate = &statement["predicate"];
    assert_eq!(predicate["verifier"]["id"], VERIFIER);
    assert_eq!(predicate["timeVerified"], format!("{:#}", world.clock.now()));
    assert_eq!(predicate["resourceUri"], format!("oci://{REGISTRY}/{APP}:v1"));
    assert_eq!(predicate["verificationResult"], "PASSED");
    assert_eq!(predicate["verifiedLevels"], json!(["COUNTERSIGN_NOTARYV1"]));
    let inputs = predicate["inputAttestations"].as_array().unwrap();
    let names: Vec<&str> = inputs.iter().map(|input| input["uri"].as_str().unwrap()).collect();
    let files = ["root", "snapshot", "targets", "targets/releases"];
    for file in files.map(|role| format!("{REGISTRY}/{APP}/{role}.json")) {
        assert!(names.contains(&&*file), "{file}: {names:?}");
    }
    // The digests are those of the files on the server.
    let published = world.signer.publish();
    for input in inputs {
        let hex = input["digest"]["sha256"].as_str().unwrap();
        let is_there = published.values().any(|file| Digest::of(file).hex() == hex);
        assert!(is_there, "{input}");
    }
}

#[tokio::test]
async fn a_denied_image_gets_no_attestation() {
    let mut world = World::new().await;
    world.push_signed("signed", "signed");
    world.push("v1", "one");
    let denied = attested(&world, "v1").await.unwrap_err();
    assert!(!denied.is_undecided(), "{denied}");
    assert!(denied.to_string().starts_with("remote trust data does not exist for"), "{denied}");
}

#[tokio::test]
async fn an_undecided_image_gets_no_attestation() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.goes_down();
    assert!(attested(&world, "v1").await.unwrap_err().is_undecided());
}

#[tokio::test]
async fn an_image_that_is_served_without_a_verified_signature_gets_no_attestation() {
    let audit = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nrequire = [\"team\"]\nmode = \"audit\"\n"
    );
    let allow =
        format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nmode = \"allow\"\nreason = \"test\"\n");
    for (rule, why) in [(audit, "an audit rule"), (allow, "an allow rule")] {
        let world = World::with(DEFAULTS, &rule).await;
        let image = world.push("v1", "one");
        world.pull("v1").await.serves(&image);
        let denied = attested(&world, "v1").await.unwrap_err().to_string();
        assert!(denied.contains(why), "{denied}");
    }
    let world = World::new().await;
    let manifest = world.push("v1", "one");
    exempt(&world, &manifest);
    world.pull("v1").await.serves(&manifest);
    let denied = attested(&world, "v1").await.unwrap_err().to_string();
    assert!(denied.contains("an exemption"), "{denied}");
}

#[tokio::test]
async fn the_policy_digest_depends_on_the_rules_and_the_anchors_only() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let before = policy(&attested(&world, "v1").await.unwrap());
    let tables = world.setup.tables.clone();
    let digest_with = async |world: &mut World, tables: String| {
        world.configure(Setup { tables, ..world.setup.clone() });
        policy(&attested(world, "v1").await.unwrap())
    };
    let same = format!("# A comment\n{tables}");
    assert_eq!(digest_with(&mut world, same).await, before);
    let other_rule =
        format!("{tables}\n[[rule]]\nimages = [\"{REGISTRY}/other/**\"]\nmode = \"deny\"\n");
    assert_ne!(digest_with(&mut world, other_rule).await, before);
    let other_anchor =
        tables.replace("name = \"team\"", "name = \"team\"\nwildcard_root_names = true");
    assert_ne!(digest_with(&mut world, other_anchor).await, before);
}
