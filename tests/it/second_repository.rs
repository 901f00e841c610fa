//! Two repositories that one root key signs. Docker makes a root certificate for each, so a pin of the first certificate
//! does not cover the second repository.

use countersign::app::{App, Keeping};
use countersign::commands::why::{Explanation, explain};

use crate::fake_registry::REGISTRY;
use crate::notary_repository::{Certificate, Key, NotaryRepository};
use crate::whole_gate::{DEFAULTS, Setup, World};

const SECOND: &str = "registry.example.com/library/second";

fn pinned_to(id: &str) -> Setup {
    Setup::new(format!(
        "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"NOTARY\"\nroot_keys = [\"{id}\"]\n{DEFAULTS}\n\
         [[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"team\"]\n"
    ))
}

/// A gate that serves the first repository and pins the id of its certificate.
async fn world() -> World {
    let mut world = World::new().await;
    let certificate = world.signer.role("root").keys[0].id();
    world.restart_with(pinned_to(&certificate)).await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world
}

async fn why_second(world: &World) -> Explanation {
    let app = App::new(&world.config(), world.clock.clone(), Keeping::OnlyRead).unwrap();
    explain(&app.gate(), &format!("{SECOND}:v1").parse().unwrap()).await
}

#[tokio::test]
async fn the_same_root_key_in_another_certificate_is_recognized() {
    let mut world = world().await;
    let mut second = NotaryRepository::signed_as(SECOND);
    let canonical = second.role("root").keys[0].canonical_id();
    world.notary.publish(SECOND, second.publish());
    let refused = why_second(&world).await;
    assert_eq!(refused.reason.as_deref(), Some("root_not_pinned"));
    let words = format!("same root key, different certificate: pin {canonical}");
    assert!(refused.because.contains(&words), "{}", refused.because);
    assert!(refused.advice.contains(&canonical), "{}", refused.advice);
    assert!(refused.advice.contains("`root_keys` of the anchor team"), "{}", refused.advice);

    // The canonical id covers both repositories, and `why` shows it for the next pin.
    world.restart_with(pinned_to(&canonical)).await;
    let pinned = why_second(&world).await;
    assert_eq!((&*pinned.verdict, pinned.reason.as_deref()), ("missing", None), "{pinned:?}");
    let text = pinned.to_text();
    assert!(text.contains(&format!("pins    {canonical} in `root_keys`")), "{text}");
    let first = world.why("v1").await;
    assert_eq!(first.verdict, "admitted", "{first:?}");
}

#[tokio::test]
async fn another_root_key_is_reported_as_another_key() {
    let world = world().await;
    let mut second = NotaryRepository::signed_as(SECOND);
    let stranger = Certificate::named(SECOND).of(&Key::named("mallory"));
    *second.keys_mut("root") = vec![stranger.clone()];
    world.notary.publish(SECOND, second.publish());
    let refused = why_second(&world).await;
    assert_eq!(refused.reason.as_deref(), Some("root_not_pinned"));
    assert!(refused.because.contains(&stranger.canonical_id()), "{}", refused.because);
    let text = refused.to_text();
    assert!(!text.contains("same root key") && !text.contains("instead of the id"), "{text}");
}
