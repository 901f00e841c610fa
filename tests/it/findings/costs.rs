//! A hostile registry causes bounded work.

use countersign::gate::MAX_SEARCH_REQUESTS;
use countersign::oci::{Digest, MediaType};
use serde_json::json;

use super::{TEAM, ci, push_signed, rule, setup, sign, world};
use crate::attached::{
    BUNDLE, MINE, OTHER, key_bundle, layer, put_referrer, put_sig, put_tagged, tag_of,
};
use crate::fake_registry::{Fault, respond};
use crate::notary_repository::{NOW, RELEASES};
use crate::whole_gate::{APP, World, app, described};

/// The limit of the contract for one decision.
const MOST: usize = 100;

/// The number of upstream requests of the decision about `reference`, which is not admitted.
async fn cost(world: &World, reference: impl std::fmt::Display) -> usize {
    let before = world.registry.asked().len();
    let denied = world.pull(reference).await.denied();
    assert!(denied.0 == 404 || denied.0 == 503, "{denied:?}");
    world.registry.asked().len() - before
}

#[tokio::test]
async fn many_referrers_cost_no_more_than_the_limit_of_a_decision() {
    let world = world("", "").await;
    let manifest = world.push("v1", "one");
    for number in 0..200 {
        let bundle = format!("{}{}", key_bundle(&manifest, &OTHER), " ".repeat(number));
        put_referrer(&world.registry, &manifest, BUNDLE, BUNDLE, bundle.as_bytes());
    }
    let cost = cost(&world, "v1").await;
    assert!(cost <= MOST, "{cost}");
}

/// Anyone who can push can add bundles to a signed image, before and after the valid one.
#[tokio::test]
async fn foreign_bundles_delay_a_signed_image_but_do_not_block_it() {
    let world = world("refresh = \"0s\"", "").await;
    let manifest = world.push("v1", "one");
    let foreign = |number: usize| {
        let bundle = format!("{}{}", key_bundle(&manifest, &OTHER), " ".repeat(number));
        put_referrer(&world.registry, &manifest, BUNDLE, BUNDLE, bundle.as_bytes());
    };
    (0..100).for_each(foreign);
    let good = key_bundle(&manifest, &MINE).to_string();
    put_referrer(&world.registry, &manifest, BUNDLE, BUNDLE, good.as_bytes());
    (100..200).for_each(foreign);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) && statuses.len() < 8 {
        let before = world.registry.asked().len();
        statuses.push(world.pull("v1").await.status.as_u16());
        assert!(world.registry.asked().len() - before <= MOST);
        world.pass(std::time::Duration::from_secs(6));
    }
    assert!(statuses.len() <= 6 && statuses.last() == Some(&200), "{statuses:?}");
    // From then on, it is checked first.
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn foreign_bundles_that_look_unlike_a_signature_do_not_even_delay_it() {
    let world = world("", "").await;
    let manifest = world.push("v1", "one");
    for number in 0..200 {
        let bundle = format!("{}{}", key_bundle(&manifest, &OTHER), " ".repeat(number));
        let other = format!("application/vnd.example.{number}");
        put_referrer(&world.registry, &manifest, &other, BUNDLE, bundle.as_bytes());
    }
    let good = key_bundle(&manifest, &MINE).to_string();
    put_referrer(&world.registry, &manifest, BUNDLE, BUNDLE, good.as_bytes());
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn an_endless_list_of_referrers_costs_no_more_than_the_limit() {
    let world = world("", "").await;
    world.push("v1", "one");
    world.registry.hook(|asked| {
        let next = format!("<{}?page={}>; rel=\"next\"", asked.path, asked.query.len());
        let list = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
            "manifests": [] });
        let mut answer = respond(200, list.to_string());
        let of = MediaType::OciIndex.as_str().parse().unwrap();
        answer.headers_mut().insert(http::header::CONTENT_TYPE, of);
        answer.headers_mut().insert(http::header::LINK, next.parse().unwrap());
        asked.path.contains("/referrers/").then_some(Fault::Respond(answer))
    });
    let cost = cost(&world, "v1").await;
    assert!(cost <= MOST, "{cost}");
}

/// The walk over signed indexes and the search for signatures are one decision.
#[tokio::test]
async fn a_walk_over_signed_indexes_costs_no_more_than_the_limit() {
    let tables = [TEAM.to_owned(), ci(""), rule("require = [\"team\", \"ci\"]")];
    let mut world = World::of(setup(&tables).at(NOW)).await;
    let wanted = world.put_image("wanted");
    for number in 0..150 {
        let other = world.put_image(&format!("other {number}"));
        let index = world.put_index(&[&wanted, &other]);
        world.signer.tag(RELEASES, &format!("v{number}"), &index);
    }
    world.publish();
    for _ in 0..3 {
        let cost = cost(&world, Digest::of(&wanted)).await;
        assert!(cost <= MOST, "{cost}");
    }
}

/// The subject's signatures and what is kept under the tag are one decision.
#[tokio::test]
async fn an_artifact_with_its_subject_costs_no_more_than_the_limit() {
    let world = world("", "").await;
    let manifest = world.push("v1", "one");
    // Signatures are checked from both ends: the valid one comes last.
    let layers: Vec<_> = (0..91)
        .map(|number| match number {
            45 => layer(&manifest, &MINE),
            _ => {
                let mut layer = layer(&manifest, &OTHER);
                layer.payload.extend(format!("{number}").as_bytes());
                layer
            }
        })
        .collect();
    put_sig(&world.registry, &app(), &manifest, &layers);
    let text: Vec<_> = (0..50).map(|number| format!("text {number}")).collect();
    let listed: Vec<_> = text
        .iter()
        .map(|text| {
            world.registry.registry().put_blob(&app(), text.clone().into_bytes());
            described("application/vnd.dsse.envelope.v1+json", text.as_bytes())
        })
        .collect();
    let of = MediaType::OciImage;
    let attached = json!({ "schemaVersion": 2, "mediaType": of.as_str(), "layers": listed,
        "config": described("application/vnd.oci.image.config.v1+json", b"{}") });
    put_tagged(&world.registry, &app(), &manifest, ".att", of, &attached);
    let before = world.registry.asked().len();
    let answer = world.pull(tag_of(&manifest, ".att")).await;
    let cost = world.registry.asked().len() - before;
    assert!(cost <= MOST, "{cost}: {}", answer.status);
    assert_eq!(answer.status.as_u16(), 503, "the limit was met: {cost}");
}

#[tokio::test]
async fn circular_referrers_tags_do_not_cause_a_loop() {
    let world = world("refresh = \"0s\"", "").await;
    let image = world.put_image("one");
    let index = world.put_index(&[&image]);
    world.put_tag("v1", &index);
    sign(&world, &index);
    let list = world.put_index(&[&index, &image]);
    // Each is the referrers tag of the other, and of itself.
    for (subject, stands) in [(&index, &list), (&list, &index)] {
        world.put_tag(&tag_of(subject, ""), stands);
    }
    world.pull("v1").await.serves(&index);
    world.pull(tag_of(&index, "")).await.is_absent("digest_not_signed");
    world.pull(tag_of(&list, "")).await;
    world.put_tag(&tag_of(&index, ""), &index);
    world.pull(tag_of(&index, "")).await;
    // No signature endorses any of them any more.
    let gone = tag_of(&index, ".sig");
    world
        .registry
        .hook(move |asked| asked.path.ends_with(&gone).then(|| Fault::Respond(respond(404, ""))));
    for manifest in [&index, &list] {
        assert_eq!(world.pull(Digest::of(manifest)).await.denied().0, 404);
    }
}

#[tokio::test]
async fn a_warm_pull_costs_nothing() {
    let world = world("", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    // The tag, the manifest, the manifest of the signature, and its payload.
    assert_eq!(world.registry.asked().len(), 4, "{:?}", world.registry.asked());
    world.pull("v1").await.serves(&manifest);
    world.pull(Digest::of(&manifest)).await.serves(&manifest);
    let _ = world.get(&format!("/v2/{APP}/manifests/v1")).await;
    assert_eq!(world.registry.asked().len(), 4);
}

/// A gate for a repository with 300 signed tags.
async fn with_signed_tags() -> World {
    let tables = [TEAM.to_owned(), rule("require = [\"team\"]")];
    let mut world = World::of(setup(&tables).at(NOW)).await;
    for number in 0..300 {
        let image = world.put_image(&format!("signed {number}"));
        world.signer.tag(RELEASES, &format!("v{number}"), &image);
    }
    world.publish();
    world
}

#[tokio::test]
async fn a_digest_that_does_not_exist_costs_one_request() {
    let world = with_signed_tags().await;
    for number in 0..3 {
        let cost = cost(&world, Digest::of(format!("nothing {number}").as_bytes())).await;
        assert_eq!(cost, 1);
    }
}

#[tokio::test]
async fn a_search_through_the_same_signed_names_is_not_repeated() {
    let mut world = with_signed_tags().await;
    let foreign = world.put_image("nobody signed this");
    let mut costs = Vec::new();
    while costs.last() != Some(&0) && costs.len() < 6 {
        costs.push(cost(&world, Digest::of(&foreign)).await);
    }
    assert!(costs.iter().all(|cost| *cost <= MOST) && costs.len() <= 5, "{costs:?}");
    let other = world.put_image("nor this");
    assert_eq!(cost(&world, Digest::of(&other)).await, 1);
    // An index that is signed later is found.
    let index = world.put_index(&[&other]);
    world.sign("later", &index);
    world.pass(std::time::Duration::from_secs(10 * 60));
    world.pull(Digest::of(&other)).await.serves(&other);
}

#[tokio::test]
async fn searches_in_one_repository_have_a_budget_for_an_hour() {
    let tables = [TEAM.to_owned(), rule("require = [\"team\"]")];
    let mut world = World::of(setup(&tables).at(NOW)).await;
    for number in 0..MAX_SEARCH_REQUESTS + 100 {
        let image = world.put_image(&format!("signed {number}"));
        world.signer.tag(RELEASES, &format!("v{number}"), &image);
    }
    world.publish();
    let foreign = Digest::of(&world.put_image("nobody signed this"));
    let before = world.registry.asked().len();
    for _ in 0..MAX_SEARCH_REQUESTS / MOST + 5 {
        world.pull(foreign).await.is_undecided("upstream_unreachable");
    }
    let spent = world.registry.asked().len() - before;
    assert!((MAX_SEARCH_REQUESTS - MOST..=MAX_SEARCH_REQUESTS + MOST).contains(&spent), "{spent}");
    let answer = world.pull(foreign).await;
    answer.is_undecided("upstream_unreachable");
    assert!(!answer.header("retry-after").is_empty());
    assert!(String::from_utf8_lossy(&answer.body).contains("in the last hour"));
    // Content that upstream does not have is still absent.
    assert_eq!(world.pull(Digest::of(b"nothing")).await.denied().0, 404);
    world.pass(std::time::Duration::from_secs(60 * 60));
    let mut last = world.pull(foreign).await;
    for _ in 0..3 {
        last = world.pull(foreign).await;
    }
    assert_eq!(last.denied().0, 404);
}
