//! Content stored for one repository is not served to readers of another until the registry confirms that the other
//! repository holds it, too.

use std::time::Duration;

use bytes::Bytes;

use crate::line::Line;
use crate::process::wait_for;
use crate::random::Random;
use crate::reader::Reader;
use crate::requests::{self, Answer};
use crate::site::OpenSite;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        a_stored_layer_is_not_found_in_another_repository_until_the_registry_holds_it_there,
        a_layer_downloading_for_one_repository_is_not_found_in_another,
    ]
}

fn blob(digest: &str, repository: &str) -> String {
    format!("/v2/team/{repository}/blobs/{digest}")
}

fn is_unknown(answer: &Answer) {
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(answer.json()["errors"][0]["code"], "BLOB_UNKNOWN", "{}", answer.text());
}

fn a_stored_layer_is_not_found_in_another_repository_until_the_registry_holds_it_there() {
    let mut site = OpenSite::new();
    let layer = Random::new(7).content(3 << 20);
    let digest = site.registry.put_blob("team/private", layer.clone());
    site.registry.put_blob("team/public", Bytes::from_static(b"something else"));
    let mut gate = site.gate("");
    let ask = |gate: &crate::gate::Gate, repository: &str| {
        requests::get(&gate.url(&blob(&digest, repository)))
    };
    assert_eq!(ask(&gate, "private").body, layer);
    // The layer arrives before it is on disk permanently, and the test kills the gate next.
    wait_for("the layer to be stored", Duration::from_secs(30), || {
        (gate.metric("countersign_store_bytes") >= 3 << 20).then_some(())
    });

    for _ in 0..2 {
        is_unknown(&ask(&gate, "public"));
        is_unknown(&ask(&gate, "no-repository"));
        let head = requests::head(&gate.url(&blob(&digest, "public")));
        assert_eq!(head.status, 404);
        gate.kill_and_restart();
    }
    site.registry.mount_blob("team/public", &digest, "team/private");
    assert_eq!(ask(&gate, "public").body, layer);
    is_unknown(&ask(&gate, "no-repository"));
    // The registry's own GET confirms that the other repository holds the layer.
    assert_eq!(site.registry.gave(&blob(&digest, "private")), 1);
    assert_eq!(site.registry.gave(&blob(&digest, "public")), 1);

    site.registry.kill();
    for repository in ["private", "public"] {
        assert_eq!(ask(&gate, repository).body, layer);
    }
    assert_eq!(ask(&gate, "no-repository").status, 503);
}

fn a_layer_downloading_for_one_repository_is_not_found_in_another() {
    let site = OpenSite::new();
    let layer = Random::new(8).content(8 << 20);
    let digest = site.registry.put_blob("team/private", layer.clone());
    site.registry.put_blob("team/public", Bytes::from_static(b"something else"));
    let line = Line::to(site.registry.port);
    let config = site.config().replace(&site.registry.url(), &line.url());
    let gate = crate::gate::Gate::start_keeping(0, "", &config);

    line.hold_after(4 << 20);
    let mut arriving = Reader::get(gate.port, &blob(&digest, "private"), &[]).unwrap();
    arriving.reads(&layer, 1 << 20).unwrap();
    is_unknown(&requests::get(&gate.url(&blob(&digest, "public"))));
    line.open();
    arriving.ends_with(&layer[1 << 20..]).unwrap();
    is_unknown(&requests::get(&gate.url(&blob(&digest, "public"))));
}
