//! Time in the gate's own queue does not count as silence of the registry: it extends no lifetime.

use std::time::Duration;

use countersign::oci::Digest;

use super::{ci, push_signed, rule, setup};
use crate::answer::Answer;
use crate::fake_registry::Fault;
use crate::whole_gate::World;

const OTHER: &str = "/v2/library/other/manifests/v1";

/// A gate with a limit of one concurrent request to the registry.
async fn world() -> World {
    let upstream = "max_requests = 1\n".to_owned();
    let anchor = ci("refresh = \"5m\"\nmax_stale = \"2h\"");
    World::of(setup(&[upstream, anchor, rule("require = [\"ci\"]")])).await
}

/// The answer to a pull after `refresh`, while a request of another client takes the only place.
async fn pulled_while_the_place_is_taken(world: &World, reference: &str) -> Answer {
    world.registry.hook(|asked| asked.path.contains("/other/").then_some(Fault::Silence));
    world.pass(Duration::from_secs(6 * 60));
    let pull = async {
        while world.registry.asked_for(OTHER).is_empty() {
            tokio::task::yield_now().await;
        }
        world.pull(reference).await
    };
    tokio::select! {
        answer = world.get(OTHER) => panic!("the other request has ended: {}", answer.status),
        answer = pull => answer,
    }
}

#[tokio::test(start_paused = true)]
async fn a_queued_tag_request_does_not_extend_the_earlier_answer() {
    let world = world().await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    pulled_while_the_place_is_taken(&world, "v1").await.is_undecided("gate_busy");
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test(start_paused = true)]
async fn a_queued_search_does_not_extend_a_verdict() {
    let world = world().await;
    let manifest = push_signed(&world, "v1", "one");
    let digest = Digest::of(&manifest).to_string();
    world.pull(&digest).await.serves(&manifest);
    let answer = pulled_while_the_place_is_taken(&world, &digest).await;
    answer.is_undecided("trust_unreachable");
    world.pull(&digest).await.serves(&manifest);
}
