//! Allow and audit rules: how often the gate asks upstream for the digest of a tag, and how long it uses an earlier answer.

use std::path::Path;
use std::time::Duration;

use countersign::config::Config;
use countersign::oci::Digest;
use countersign::toml_reader::Document;
use http::Method;

use crate::attached::{MINE, ROOT, layer, put_sig};
use crate::fake_registry::{Fault, REGISTRY, respond, with};
use crate::sigstore::{HOUR, NOW, Sigstore};
use crate::whole_gate::{APP, DEFAULTS, Setup, World, app};

const MINUTE: Duration = Duration::from_secs(60);
const ONE_HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const ALLOW: &str = "mode = \"allow\"\nreason = \"a test\"\n";
const AUDIT: &str = "mode = \"audit\"\nrequire = [\"team\"]\n";

async fn world(lines: &str) -> World {
    let rule = format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\n{lines}\n");
    World::with(DEFAULTS, &rule).await
}

/// A gate with one rule that audits or enforces a cosign anchor.
async fn content(anchor: &str, lines: &str) -> World {
    let tables = format!(
        "[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n\
         trusted_root = \"root.json\"\n{anchor}\n\
         [[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"ci\"]\n{lines}\n"
    );
    let setup = Setup::new(tables)
        .file("mine.pub", MINE.pem())
        .file("root.json", Sigstore::shared().trusted_root().to_string())
        .file("root.crt", ROOT.pem())
        .at(NOW + HOUR);
    World::of(setup).await
}

/// How often upstream was asked for the digest of `tag`.
fn resolved(world: &World, tag: &str) -> usize {
    let path = format!("/v2/{APP}/manifests/{tag}");
    let asked = world.registry.asked();
    asked.iter().filter(|asked| asked.path == path && asked.method == Method::HEAD).count()
}

/// Makes every request to upstream fail like a registry that is down or overloaded.
fn fail(world: &World, way: usize) {
    world.registry.hook(move |_| {
        Some(match way {
            0 => Fault::Respond(with(respond(429, ""), http::header::RETRY_AFTER, "77")),
            1 => Fault::Respond(respond(503, "")),
            _ => Fault::Drop,
        })
    });
}

#[tokio::test]
async fn an_allow_or_audit_rule_resolves_a_tag_once_per_minute() {
    for lines in [ALLOW, AUDIT] {
        let world = world(lines).await;
        let image = world.push("v1", "one");
        for _ in 0..3 {
            world.pull("v1").await.serves(&image);
        }
        assert_eq!(resolved(&world, "v1"), 1, "{lines}");
        let moved = world.push("v1", "two");
        world.pass(MINUTE);
        world.pull("v1").await.serves(&moved);
        assert_eq!(resolved(&world, "v1"), 2, "{lines}");
    }
}

#[tokio::test]
async fn refresh_sets_how_often_a_rule_resolves_a_tag() {
    for mode in [ALLOW, AUDIT] {
        let always = world(&format!("{mode}refresh = \"0s\"")).await;
        always.push("v1", "one");
        always.pull("v1").await;
        let moved = always.push("v1", "two");
        always.pull("v1").await.serves(&moved);

        let seldom = world(&format!("{mode}refresh = \"1h\"")).await;
        let image = seldom.push("v1", "one");
        seldom.pull("v1").await.serves(&image);
        seldom.push("v1", "two");
        seldom.pass(ONE_HOUR - MINUTE);
        seldom.pull("v1").await.serves(&image);
    }
}

#[tokio::test]
async fn an_allow_or_audit_rule_serves_the_last_digest_for_a_day_while_upstream_is_down() {
    for lines in [ALLOW, AUDIT] {
        for way in 0..3 {
            let world = world(lines).await;
            let image = world.push("v1", "one");
            world.pull("v1").await.serves(&image);
            fail(&world, way);
            world.pass(ONE_HOUR);
            world.pull("v1").await.serves(&image);
            world.pass(DAY);
            let status = world.pull("v1").await.status.as_u16();
            assert_eq!(status, if way == 0 { 429 } else { 503 }, "{lines} {way}");
        }
    }
}

#[tokio::test]
async fn max_stale_limits_how_long_a_rule_serves_a_tag_during_an_outage() {
    let world = world(&format!("{ALLOW}max_stale = \"2h\"")).await;
    let image = world.push("v1", "one");
    world.pull("v1").await.serves(&image);
    fail(&world, 1);
    world.pass(ONE_HOUR);
    world.pull("v1").await.serves(&image);
    world.pass(ONE_HOUR);
    world.pull("v1").await.is_undecided("upstream_unreachable");
    world.pull(Digest::of(&image)).await.serves(&image);
}

/// The anchor's `max_stale` is longer than the rule's, so an enforce rule would serve the tag.
#[tokio::test]
async fn an_audit_rule_serves_a_tag_for_as_long_as_an_enforce_rule_would() {
    for lines in ["", "mode = \"audit\"\nmax_stale = \"2h\""] {
        for way in 0..3 {
            let world = content("max_stale = \"10h\"", lines).await;
            let image = world.push("v1", "one");
            put_sig(&world.registry, &app(), &image, &[layer(&image, &MINE)]);
            world.pull("v1").await.serves(&image);
            fail(&world, way);
            world.pass(5 * ONE_HOUR);
            world.pull("v1").await.serves(&image);
        }
    }
}

#[tokio::test]
async fn a_tag_that_upstream_deleted_is_not_found_under_an_allow_rule() {
    let world = world(ALLOW).await;
    let image = world.push("v1", "one");
    world.pull("v1").await.serves(&image);
    world.registry.hook(|asked| {
        asked.path.ends_with("/manifests/v1").then(|| Fault::Respond(respond(404, "")))
    });
    world.pass(MINUTE);
    assert_eq!(world.pull("v1").await.status.as_u16(), 404);
    fail(&world, 1);
    world.pull("v1").await.is_undecided("upstream_unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_silent_registry_delays_an_allow_rule_by_five_seconds_at_most() {
    let world = world(ALLOW).await;
    let image = world.push("v1", "one");
    world.pull("v1").await.serves(&image);
    world.registry.hook(|_| Some(Fault::Silence));
    world.pass(ONE_HOUR);
    let begun = tokio::time::Instant::now();
    world.pull("v1").await.serves(&image);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let begun = tokio::time::Instant::now();
    world.pull("v1").await.serves(&image);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn only_allow_and_audit_rules_have_refresh_and_max_stale() {
    let read = |lines: &str| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
             [[upstream]]\nregistry = \"r.example\"\n\
             [[anchor]]\nname = \"a\"\nscheme = \"notaryv1\"\nurl = \"https://notary.example\"\n\
             trust_on_first_use = true\n[[rule]]\nimages = [\"r.example/**\"]\n{lines}\n"
        );
        let read = Config::read(&Document::from_text(Path::new("c.toml"), text));
        read.map(drop).map_err(|problems| problems.to_string())
    };
    for (key, value) in [("refresh", "1s"), ("max_stale", "1h")] {
        let line = format!("{key} = \"{value}\"");
        read(&format!("{ALLOW}{line}")).unwrap();
        read(&format!("mode = \"audit\"\nrequire = [\"a\"]\n{line}")).unwrap();
        let enforce = read(&format!("require = [\"a\"]\n{line}")).unwrap_err();
        let of_anchors = "an enforce rule uses `refresh` and `max_stale` of its anchors";
        assert!(
            enforce.contains(&format!("rule.{key}")) && enforce.contains(of_anchors),
            "{enforce}"
        );
        let deny = read(&format!("mode = \"deny\"\n{line}")).unwrap_err();
        assert!(deny.contains("a deny rule resolves no tag"), "{deny}");
        let wrong = read(&format!("{ALLOW}{key} = \"often\"")).unwrap_err();
        assert!(wrong.contains(&format!("rule.{key}")), "{wrong}");
    }
}

#[tokio::test]
async fn a_reload_to_another_upstream_forgets_the_digests_of_tags() {
    let world = world(ALLOW).await;
    let image = world.push("v1", "one");
    world.pull("v1").await.serves(&image);
    let mut reloader = world.reloader();
    let path = world.store().with_file_name("countersign.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let address = world.registry.address().to_string();
    let moved = text.replace(&address, &address.replace("127.0.0.1", "localhost"));
    assert_ne!(moved, text);
    world.break_file(&path, moved.as_bytes());
    assert!(reloader.reload().await);
    world.pull("v1").await.serves(&image);
    assert_eq!(resolved(&world, "v1"), 2);
}
