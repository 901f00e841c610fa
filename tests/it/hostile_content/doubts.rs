//! What could not be looked at, and what registries say, told to people.

use std::time::Duration;

use countersign::oci::Digest;

use super::Site;
use crate::fake_registry::{Fault, respond};
use crate::sigstore::{Key, Kind, Layer, payload};

#[tokio::test]
async fn a_registry_that_asks_for_fewer_requests_is_obeyed_though_another_rule_says_no() {
    let rules = "[[rule]]\nimages = [\"APP:a*\"]\nrequire = [\"a\"]\n\
                 [[rule]]\nimages = [\"APP\"]\nrequire = [\"b\"]\n";
    let site = Site::new(&["a", "b"], rules).await;
    let image = site.push_signed("a1", "one", "a");
    site.world.pull("a1").await.serves(&image);

    // The signature is another's now.
    let text = payload(&Digest::of(&image).to_string(), serde_json::json!({}));
    site.put_signatures(&image, &[Layer::signed(&text, &Key::new(Kind::P256))]);
    site.world.pass(Duration::from_secs(600));
    site.world.pull("a1").await.is_refused("signature_invalid");
    site.world.registry.hook(|_| Some(Fault::Respond(respond(429, ""))));
    let got = site.world.pull(Digest::of(&image)).await;
    assert_eq!(got.status, 429, "{got:?}");
}
