//! Signature tags of a signed image that contain something else.

use std::time::Duration;

use countersign::oci::Digest;

use super::{Site, signatures_of};

const RULE: &str = "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\n";
const LATER: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_signature_tag_does_not_admit_an_image_of_a_formerly_signed_index() {
    let site = Site::new(&["ci"], RULE).await;
    let world = &site.world;
    let image = world.put_image("vulnerable");
    let index = world.put_index(&[&image]);
    site.tag("v1", Digest::of(&index));
    let signatures = site.put_signatures(&index, &[site.signature("ci", &index, 9)]);
    world.pull("v1").await.serves(&index);
    world.pull(Digest::of(&image)).await.serves(&image);
    let good = site.push_signed("v2", "good", "ci");
    world.pull("v2").await.serves(&good);

    // Its signature is removed.
    let nothing = site.put_layers(&[site.signature("ci", &good, 0)]);
    assert_ne!(nothing, signatures);
    site.tag(&signatures_of(&index, ".sig"), nothing);
    world.pass(LATER);
    assert_eq!(world.pull(Digest::of(&image)).await.status, 404);

    // Under the signature tag of a signed image, it is only a list.
    site.tag(&signatures_of(&good, ""), Digest::of(&index));
    drop(world.pull(signatures_of(&good, "")).await);
    let got = world.pull(Digest::of(&image)).await;
    assert_eq!(got.status, 404, "an unsigned image was served");
}
