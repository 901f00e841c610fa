//! Discovery of signatures: every location, with as few requests as possible, and three distinct outcomes. The
//! signatures found may be invalid.

mod hostile;
mod limits;
mod site;
mod unread;

use countersign::oci::{Algorithm, Digest};
use countersign::trust::SignatureContent;
use countersign::trust::discovery::{RequestBudget, SignatureKind};
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::fake_registry::{Fault, REGISTRY, respond, with};
use site::{
    BUNDLE, COSIGN_SIG, DSSE, INDEX, JOSE, NOTATION, PREDICATE, SIGN, SIMPLE, Site, apart, app,
    contents, finds, is_none, looked, tagged,
};

#[tokio::test]
async fn a_cosign_signature_beside_the_image_takes_two_requests() {
    let site = Site::new().await;
    site.sig(&app(), &["payload"]);
    let mut search = site.places.search(
        SignatureKind::CosignSignature,
        &site.subject,
        None,
        &RequestBudget::new(),
    );
    let found = search.next().await.unwrap();
    assert_eq!(site.asked(&mut 0), ["manifests/TAG.sig", "blobs"]);
    let SignatureContent::Layer { media_type, annotations, .. } = &found[0].content else {
        panic!()
    };
    assert_eq!(media_type, SIMPLE);
    assert_eq!(annotations["dev.cosignproject.cosign/signature"], "AAAA");
    assert_eq!(found[0].place, format!("{REGISTRY}/library/app:{}", site.name(".sig")));
    assert_eq!(search.looked()[0].found.to_string(), "1 signature");
}

#[tokio::test]
async fn a_bundle_among_the_referrers_takes_four_requests_and_then_three() {
    let site = Site::new().await;
    site.put(&app(), &site.bundle("bundle"));
    let mut since = 0;
    let search = || {
        site.places.search(
            SignatureKind::CosignSignature,
            &site.subject,
            None,
            &RequestBudget::new(),
        )
    };
    assert_eq!(contents(&search().next().await.unwrap()), ["bundle"]);
    assert_eq!(
        site.asked(&mut since),
        ["manifests/TAG.sig", "referrers/SUBJECT", "manifests", "blobs"]
    );
    // The search remembers where this repository has its signatures, and the manifest is stored.
    assert_eq!(contents(&search().next().await.unwrap()), ["bundle"]);
    assert_eq!(site.asked(&mut since), ["referrers/SUBJECT", "blobs"]);
}

#[tokio::test]
async fn a_notation_signature_takes_three_requests() {
    let site = Site::new().await;
    site.put(&app(), &site.about(NOTATION, &[site.layer(JOSE, "envelope")]));
    let mut search =
        site.places.search(SignatureKind::Notation, &site.subject, None, &RequestBudget::new());
    let found = search.next().await.unwrap();
    assert_eq!(contents(&found), ["envelope"]);
    assert_eq!(site.asked(&mut 0), ["referrers/SUBJECT", "manifests", "blobs"]);
    let asked = &site.fake.asked()[0];
    assert_eq!(asked.query, "artifactType=application%2Fvnd.cncf.notary.signature");
    let SignatureContent::Envelope { media_type, .. } = &found[0].content else { panic!() };
    assert_eq!(media_type, JOSE);
    assert!(found[0].place.starts_with("referrer registry.example.com/library/app@"));
}

#[tokio::test]
async fn an_unsigned_image_takes_three_requests_with_the_api() {
    let site = Site::new().await;
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_none(&located);
    assert_eq!(site.asked(&mut 0), ["manifests/TAG.sig", "referrers/SUBJECT", "manifests/TAG"]);
    let reported = format!(
        "{REGISTRY}/library/app:{}: nothing\nreferrers of {} in {REGISTRY}/library/app: nothing\n\
         {REGISTRY}/library/app:{}: nothing\n",
        site.name(".sig"),
        site.subject.digest,
        site.name("")
    );
    assert_eq!(looked(&located), reported);
}

#[tokio::test]
async fn an_unsigned_image_takes_four_requests_without_the_api_and_then_two() {
    let site = Site::without_api().await;
    let mut since = 0;
    is_none(&site.locate(SignatureKind::CosignSignature).await);
    // A second repository confirms that there is no such API.
    let probe = "countersign/referrers-api-probe/referrers/SUBJECT";
    assert_eq!(
        site.asked(&mut since),
        ["manifests/TAG.sig", "referrers/SUBJECT", probe, "manifests/TAG"]
    );
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_none(&located);
    assert_eq!(site.asked(&mut since), ["manifests/TAG.sig", "manifests/TAG"]);
    assert!(looked(&located).contains("the registry has no referrers API"));
    site.clock.advance(std::time::Duration::from_secs(600));
    is_none(&site.locate(SignatureKind::CosignSignature).await);
    assert_eq!(site.asked(&mut since).len(), 4);
}

#[tokio::test]
async fn without_the_api_the_list_comes_from_the_tag_schema() {
    let site = Site::without_api().await;
    site.schema(&[site.bundle("bundle"), site.about(NOTATION, &[site.layer(JOSE, "envelope")])]);
    finds(&site.locate(SignatureKind::CosignSignature).await, &["bundle"]);
    finds(&site.locate(SignatureKind::Notation).await, &["envelope"]);
}

#[tokio::test]
async fn the_tag_schema_may_have_signatures_that_the_api_does_not_list() {
    let site = Site::new().await;
    site.schema(&[site.bundle("bundle")]);
    let empty = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    site.fake.hook(move |asked| {
        let list = || with(respond(200, empty.to_string()), CONTENT_TYPE, INDEX);
        asked.path.contains("/referrers/").then(|| Fault::Respond(list()))
    });
    finds(&site.locate(SignatureKind::CosignSignature).await, &["bundle"]);
}

#[tokio::test]
async fn the_anchors_of_one_decision_share_requests() {
    let site = Site::new().await;
    site.sig(&app(), &["one", "two", "one"]);
    site.put(&app(), &site.bundle("bundle"));
    let inquiry = RequestBudget::new();
    for _ in 0..2 {
        let located =
            site.places.locate(SignatureKind::CosignSignature, &site.subject, None, &inquiry).await;
        assert_eq!(located.candidates.len(), 4);
    }
    // Two manifests, two lists, and three different contents.
    assert_eq!(site.fake.asked().len(), 7);
    assert_eq!(inquiry.requests(), 7);
    site.places.locate(SignatureKind::CosignAttestation, &site.subject, None, &inquiry).await;
    assert_eq!(site.asked(&mut 7), ["manifests/TAG.att"]);
}

#[tokio::test]
async fn signatures_in_both_places_are_all_found_the_newest_of_a_tag_first() {
    let site = Site::new().await;
    site.sig(&app(), &["one", "two"]);
    site.put(&app(), &site.bundle("bundle"));
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &["two", "one", "bundle"]);
    assert!(located.candidates[0].place.ends_with(".sig, layer 2"));
}

#[tokio::test]
async fn attestations_are_in_their_own_tag_and_among_the_referrers() {
    let site = Site::new().await;
    site.sig(&app(), &["signature"]);
    site.tag(&app(), ".att", &tagged(&[site.layer(DSSE, "envelope")]));
    site.put(&app(), &site.bundle("bundle"));
    let in_toto = "application/vnd.in-toto+json";
    site.put(&app(), &site.about(in_toto, &[site.layer(DSSE, "referrer")]));
    let located = site.locate(SignatureKind::CosignAttestation).await;
    let mut found = contents(&located.candidates);
    found.sort_unstable();
    assert_eq!(found, ["bundle", "envelope", "referrer"]);
}

#[tokio::test]
async fn cosigns_experiment_with_oci_1_1_is_found_by_either_type() {
    let site = Site::new().await;
    let by_artifact_type = site.about(COSIGN_SIG, &[site.layer(SIMPLE, "one")]);
    let mut by_config = site.about(COSIGN_SIG, &[site.layer(SIMPLE, "two")]);
    by_config["config"]["mediaType"] = json!(COSIGN_SIG);
    by_config.as_object_mut().unwrap().remove("artifactType");
    for manifest in [by_artifact_type, by_config] {
        site.put(&app(), &manifest);
    }
    let located = site.locate(SignatureKind::CosignSignature).await;
    let mut found = contents(&located.candidates);
    found.sort_unstable();
    assert_eq!(found, ["one", "two"]);
}

#[tokio::test]
async fn every_version_of_the_bundle_is_found() {
    for version in ["0.1", "0.2", "0.3"] {
        let site = Site::new().await;
        let bundle = format!("application/vnd.dev.sigstore.bundle+json;version={version}");
        site.put(&app(), &site.about(&bundle, &[site.layer(&bundle, "bundle")]));
        finds(&site.locate(SignatureKind::CosignSignature).await, &["bundle"]);
    }
}

#[tokio::test]
async fn an_old_notation_signature_is_recognized_by_its_config() {
    let site = Site::new().await;
    let mut manifest = site.about(NOTATION, &[site.layer("application/cose", "envelope")]);
    manifest["config"]["mediaType"] = json!(NOTATION);
    manifest.as_object_mut().unwrap().remove("artifactType");
    site.put(&app(), &manifest);
    finds(&site.locate(SignatureKind::Notation).await, &["envelope"]);
}

#[tokio::test]
async fn a_tag_may_hold_a_manifest_in_dockers_format() {
    let site = Site::new().await;
    let mut manifest = tagged(&[site.layer(SIMPLE, "payload")]);
    manifest["mediaType"] = json!(countersign::oci::MediaType::DockerImage.as_str());
    site.tag(&app(), ".sig", &manifest);
    finds(&site.locate(SignatureKind::CosignSignature).await, &["payload"]);
}

/// As cosign writes them with `COSIGN_DOCKER_MEDIA_TYPES=1`.
#[tokio::test]
async fn signatures_and_attestations_with_dockers_media_types_are_found() {
    let docker = json!(countersign::oci::MediaType::DockerImage.as_str());
    let config = json!("application/vnd.docker.container.image.v1+json");
    for (kind, suffix, media_type) in [
        (SignatureKind::CosignSignature, ".sig", SIMPLE),
        (SignatureKind::CosignAttestation, ".att", DSSE),
    ] {
        let site = Site::new().await;
        let mut manifest = tagged(&[site.layer(media_type, "one"), site.layer(media_type, "two")]);
        (manifest["mediaType"], manifest["config"]["mediaType"]) = (docker.clone(), config.clone());
        site.tag(&app(), suffix, &manifest);
        finds(&site.locate(kind).await, &["two", "one"]);
    }
    let site = Site::new().await;
    let mut referrer = site.about(COSIGN_SIG, &[site.layer(SIMPLE, "referrer")]);
    referrer["mediaType"] = docker;
    site.put(&app(), &referrer);
    finds(&site.locate(SignatureKind::CosignSignature).await, &["referrer"]);
}

#[tokio::test]
async fn the_tag_of_a_longer_digest_contains_its_beginning() {
    let mut site = Site::without_api().await;
    let raw = [7; 64];
    site.subject.digest = Digest::from_raw(Algorithm::Sha512, &raw).unwrap();
    let hex = "07".repeat(32);
    let list = json!({"schemaVersion": 2, "mediaType": INDEX,
                      "manifests": [site.entry(&site.bundle("bundle"))]});
    let digest = site.put(&app(), &list);
    let tag = format!("sha512-{hex}").parse().unwrap();
    site.fake.registry().put_tag(&app(), tag, digest);
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &["bundle"]);
    assert!(looked(&located).contains("not possible here: the tag would be too long"));
}

#[tokio::test]
async fn bundles_listed_as_the_requested_kind_come_first() {
    let site = Site::without_api().await;
    let of = |content: &str, predicate: &str| {
        let mut bundle = site.bundle(content);
        bundle["annotations"] = json!({PREDICATE: predicate});
        bundle
    };
    let bundles =
        [of("sbom", "https://spdx.dev/Document"), of("slsa", "https://slsa.dev/provenance/v1")];
    site.schema(&[bundles[0].clone(), bundles[1].clone(), of("signature", SIGN)]);
    finds(&site.locate(SignatureKind::CosignSignature).await, &["signature", "sbom", "slsa"]);
    finds(&site.locate(SignatureKind::CosignAttestation).await, &["sbom", "slsa", "signature"]);
}

#[tokio::test]
async fn a_signature_repository_is_searched_before_the_images_own() {
    let site = Site::new().await;
    site.sig(&apart(), &["apart"]);
    let referrer = site.about(BUNDLE, &[site.blob(&apart(), BUNDLE, "referrer apart")]);
    site.put(&apart(), &referrer);
    site.sig(&app(), &["beside"]);
    let located = site.locate_apart(SignatureKind::CosignSignature).await;
    finds(&located, &["apart", "referrer apart", "beside"]);
    assert!(located.candidates[0].place.starts_with("registry.example.com/signatures:sha256-"));
}

#[tokio::test]
async fn discovery_stops_after_enough_signatures() {
    let site = Site::new().await;
    let payloads: Vec<String> = (0..20).map(|number| format!("payload {number}")).collect();
    site.sig(&app(), &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let mut search = site.places.search(
        SignatureKind::CosignSignature,
        &site.subject,
        None,
        &RequestBudget::new(),
    );
    assert_eq!(contents(&search.next().await.unwrap())[0], "payload 19");
    assert_eq!(site.fake.asked().len(), 1 + 8);
}

#[tokio::test]
async fn a_dropped_search_step_loses_nothing() {
    let site = Site::new().await;
    site.sig(&app(), &["payload"]);
    let mut search = site.places.search(
        SignatureKind::CosignSignature,
        &site.subject,
        None,
        &RequestBudget::new(),
    );
    for _ in 0..3 {
        let dropped = std::future::poll_fn(|context| {
            let mut next = Box::pin(search.next());
            std::task::Poll::Ready(next.as_mut().poll(context).is_pending())
        });
        assert!(dropped.await);
    }
    assert_eq!(contents(&search.next().await.unwrap()), ["payload"]);
}

#[tokio::test]
async fn a_search_can_continue_on_any_thread() {
    let site = Site::new().await;
    site.sig(&app(), &["payload"]);
    let (places, subject) = (site.places.clone(), site.subject.clone());
    let search = tokio::spawn(async move {
        places.locate(SignatureKind::CosignSignature, &subject, None, &RequestBudget::new()).await
    });
    finds(&search.await.unwrap(), &["payload"]);
}
