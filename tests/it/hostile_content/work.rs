//! The cost of one decision with a hostile registry.

use std::time::{Duration, Instant};

use countersign::oci::Digest;
use countersign::trust::discovery::MAX_REQUESTS;

use super::{Site, signatures_of};
use crate::sigstore::{Key, Kind, Layer, payload};

/// Longer than any result is cached.
const LATER: Duration = Duration::from_secs(2 * 86_400);
/// Requests for the subjects, in addition to those for signatures.
const BESIDE: usize = 40;

#[tokio::test]
async fn a_manifest_under_many_signature_tags_costs_no_more_than_one() {
    let rule = "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\n";
    let site = Site::new(&["ci"], rule).await;
    let good: Vec<Vec<u8>> =
        (0..12).map(|n| site.push_signed(&format!("v{n}"), &format!("{n}"), "ci")).collect();
    let layer = site.signature("ci", &good[0], 0);
    let text = site.put_layers(&[Layer { media_type: "text/spdx".to_owned(), ..layer }]);
    for image in &good {
        site.tag(&signatures_of(image, ".sbom"), text);
        assert_eq!(site.world.pull(signatures_of(image, ".sbom")).await.status, 200);
    }
    // Now each has many signatures, none of which is valid.
    for image in &good {
        let layer = |n: usize| {
            let say = payload(&Digest::of(image).to_string(), serde_json::json!({ "n": n }));
            Layer::signed(&say, &Key::new(Kind::P256))
        };
        let layers: Vec<Layer> = (0..40).map(layer).collect();
        site.put_signatures(image, &layers);
    }
    site.world.pass(LATER);
    let before = site.world.registry.asked().len();
    let got = site.world.pull(text).await;
    assert_ne!(got.status, 200);
    let asked = site.world.registry.asked().len() - before;
    assert!(asked <= MAX_REQUESTS + BESIDE, "{asked} requests for one decision");
}

#[tokio::test]
async fn cross_listed_indexes_cost_no_more_than_their_number() {
    let rules = "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\n\
                 [[rule]]\nimages = [\"APP:dev*\"]\nmode = \"allow\"\nreason = \"trial\"\n\
                 until = 2026-11-25\n";
    let site = Site::new(&["ci"], rules).await;
    let image = site.world.put_image("nobody signed this");
    let mut below = vec![image.clone()];
    for level in 0..4 {
        let listed: Vec<&[u8]> = below.iter().map(Vec::as_slice).collect();
        let mut above = Vec::new();
        for n in 0..15 {
            // Its own additional image makes each index different.
            let own = site.world.put_image(&format!("{level} {n}"));
            let index = site.world.put_index(&[&listed[..], &[&own]].concat());
            let tag = format!("dev{level}-{n}");
            site.tag(&tag, Digest::of(&index));
            site.world.pull(&tag).await.serves(&index);
            above.push(index);
        }
        below = above;
    }
    // The allow rule of the trial has ended.
    site.world.pass(Duration::from_secs(30 * 86_400));
    let before = site.world.registry.asked().len();
    let began = Instant::now();
    let got = site.world.pull(Digest::of(&image)).await;
    assert_ne!(got.status, 200);
    let asked = site.world.registry.asked().len() - before;
    assert!(asked <= MAX_REQUESTS + BESIDE, "{asked} requests for one decision");
    // There are 50,000 paths up; a millisecond for each would be too long for a decision.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
