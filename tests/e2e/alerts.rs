//! Each alert on a real gate: the gate runs in this process, a test drives it into the condition, and Prometheus'
//! `promtool` evaluates the alert's expression over the metrics before and after.
//!
//! Two alerts have no condition here: `CountersignDown` is about a gate that does not answer, and
//! `service::each_alert_fires_exactly_when_it_should` covers the waiting times (`for`) of all alerts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use countersign::exemptions::{ExemptionFile, Said};
use countersign::oci::Digest;
use http::Method;
use serde_json::{Value, json};

use crate::fake_registry::{Fault, REGISTRY, hosted, respond};
use crate::folder::Folder;
use crate::mount::small_disk;
use crate::notary_repository::GUN;
use crate::process::{must, tool};
use crate::whole_gate::{APP, DEFAULTS, Setup, World, app};

/// More than an alert on a rise needs.
const MANY: usize = 15;
const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        each_alert_fires_on_a_gate_in_its_condition,
        no_alert_fires_on_a_gate_that_serves_signed_images
    ]
}

/// The alerts that only `deploy/monitoring/rules.test.yml` tests: a gate that is down has no metrics, and no gate here has a
/// frozen archive.
const ELSEWHERE: [&str; 2] = ["CountersignDown", "CountersignFrozenAnchorEnds"];

/// The metrics of a gate at two times.
struct Scrapes {
    before: String,
    after: String,
}

fn each_alert_fires_on_a_gate_in_its_condition() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let expressions = expressions();
    let scraped = runtime.block_on(conditions());
    for alert in expressions.keys().filter(|alert| !ELSEWHERE.contains(&alert.as_str())) {
        assert!(scraped.contains_key(alert.as_str()), "{alert} is tested on no gate");
    }
    let cases = scraped.iter().map(|(alert, scrapes)| {
        let expression = expressions.get(*alert).unwrap_or_else(|| panic!("no alert {alert}"));
        case(alert, expression, scrapes, 1)
    });
    evaluate(&cases.collect::<Vec<_>>());
}

fn no_alert_fires_on_a_gate_that_serves_signed_images() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scrapes = runtime.block_on(async {
        let mut world = World::new().await;
        let manifest = world.push_signed("v1", "one");
        let before = world.metrics().await;
        for _ in 0..MANY {
            world.pull("v1").await.serves(&manifest);
        }
        Scrapes { before, after: world.metrics().await }
    });
    let cases = expressions();
    let cases = cases.iter().map(|(alert, expression)| case(alert, expression, &scrapes, 0));
    evaluate(&cases.collect::<Vec<_>>());
}

/// The metrics of gates in the condition of each alert.
async fn conditions() -> BTreeMap<&'static str, Scrapes> {
    let mut all = BTreeMap::new();
    let mut add = |alert, scrapes| drop(all.insert(alert, scrapes));

    let mut world = World::with(DEFAULTS, &audit_rule()).await;
    let exempted = world.push("unsigned", "two");
    world.push_signed("v1", "one");
    let before = world.metrics().await;
    for _ in 0..MANY {
        world.pull("unsigned").await.is_absent("tag_not_signed");
        world.get("/v2/elsewhere.example/a/manifests/1").await;
        world.get("/v2/denied/app/manifests/1").await.is_refused("denied_by_rule");
    }
    exempt(&world, Digest::of(&exempted));
    world.pull("unsigned").await.serves(&exempted);
    let audited = "audited/app".parse().unwrap();
    let digest = world.registry.registry().put_image(&audited, "layer");
    world.registry.registry().put_tag(&audited, "v1".parse().unwrap(), digest);
    assert_eq!(world.get("/v2/audited/app/manifests/v1").await.status, 200);
    let after = world.metrics().await;
    for alert in [
        "CountersignAbsentRising",
        "CountersignRefusalsRising",
        "CountersignWouldRefuse",
        "CountersignExempted",
    ] {
        add(alert, Scrapes { before: before.clone(), after: after.clone() });
    }

    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let before = world.metrics().await;
    let expires = seconds_to_expiry(&before);
    world.pass(Duration::from_secs(expires - 3600));
    add(
        "CountersignTrustExpiresSoon",
        Scrapes { before: before.clone(), after: world.metrics().await },
    );
    world.pass(HOUR * 2);
    add("CountersignTrustExpired", Scrapes { before, after: world.metrics().await });

    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.pull("v1").await;
    let before = world.metrics().await;
    world.notary.remove(GUN);
    world.pass(HOUR);
    world.pull("v1").await.is_refused("trust_removed");
    add("CountersignTampering", Scrapes { before, after: world.metrics().await });

    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.goes_down();
    // Prometheus sees no rise in the first value of a series.
    world.pull("v1").await.is_undecided("trust_unreachable");
    world.pass(Duration::from_secs(10));
    let before = world.metrics().await;
    for _ in 0..MANY {
        world.pull("v1").await.is_undecided("trust_unreachable");
        world.pass(Duration::from_secs(10));
    }
    let after = world.metrics().await;
    for alert in ["CountersignUndecided", "CountersignTrustServerSilent"] {
        add(alert, Scrapes { before: before.clone(), after: after.clone() });
    }

    let world = World::new().await;
    world.registry.hook(|_| Some(Fault::Respond(respond(503, ""))));
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(b"nothing"));
    world.send(Method::GET, &path, &[]).await;
    let before = world.metrics().await;
    world.send(Method::GET, &path, &[]).await;
    add("CountersignUpstreamFailing", Scrapes { before, after: world.metrics().await });

    let world = World::new().await;
    let blob = world.registry.registry().put_blob(&app(), vec![7; 4096]);
    world.registry.hook(|_| Some(Fault::Corrupt));
    let before = world.metrics().await;
    // The response breaks.
    drop(world.try_mirror(&format!("/v2/{APP}/blobs/{blob}")).await);
    add("CountersignBlobsBroken", Scrapes { before, after: world.metrics().await });

    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let before = world.metrics().await;
    let folder = world.store().join("trust/notaryv1/team");
    std::fs::rename(&folder, folder.with_extension("away")).unwrap();
    world.pull("v1").await.is_undecided("trust_unreachable");
    add("CountersignStoreUnusable", Scrapes { before, after: world.metrics().await });

    let mut world = World::of(Setup::new(allow_all()).store("max_size = \"8KiB\"")).await;
    let before = world.metrics().await;
    // A blob that arrives before the store has evicted another one is not stored.
    let mut numbers = 0..1_000_u16;
    while value(&world.metrics().await, "countersign_store_evictions_total ") <= 20 {
        let number = numbers.next().expect("the store evicts nothing").to_be_bytes();
        let blob = world.registry.registry().put_blob(&app(), number.repeat(2000));
        world.get(&format!("/v2/{APP}/blobs/{blob}")).await;
    }
    add("CountersignStoreTooSmall", Scrapes { before, after: world.metrics().await });
    world.stop().await;

    let mut world = World::new().await;
    let before = world.metrics().await;
    let mut reloader = world.reloader();
    world.configure(Setup::new("this is no TOML"));
    assert!(!reloader.reload().await);
    add("CountersignReloadFailed", Scrapes { before, after: world.metrics().await });

    let full = Folder::new("audit");
    small_disk(full.path(), 1 << 20);
    let audit = format!("{}\n[audit]\npath = {:?}", audit_rule(), full.join("audit.jsonl"));
    let world = World::with(DEFAULTS, &audit).await;
    let before = world.metrics().await;
    fill(full.path());
    for _ in 0..100 {
        world.get("/v2/denied/app/manifests/1").await.is_refused("denied_by_rule");
    }
    settles(&world, "countersign_audit_lost_total ", |lost| lost > 0).await;
    add("CountersignAuditLost", Scrapes { before, after: world.metrics().await });
    all
}

fn audit_rule() -> String {
    format!(
        "[[rule]]\nimages = [\"{REGISTRY}/audited/**\"]\nmode = \"audit\"\nrequire = [\"team\"]\n\
         [[rule]]\nimages = [\"{REGISTRY}/denied/**\"]\nmode = \"deny\"\n"
    )
}

fn allow_all() -> String {
    format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"allow\"\nreason = \"a test\"")
}

fn exempt(world: &World, digest: Digest) {
    let made = world.clock.now();
    let said = Said {
        repository: hosted(app()),
        digest,
        reason: "OPS-12".to_owned(),
        by: "alice (uid 1000)".to_owned(),
        made,
        until: made.plus(HOUR),
    };
    ExemptionFile::below(&world.store()).add(said).unwrap();
    world.pass(Duration::from_secs(1));
}

fn fill(folder: &Path) {
    let mut filling = File::create(folder.join("of-another")).unwrap();
    while filling.write_all(&[0; 4096]).is_ok() {}
}

/// The value of the metric `name`.
fn value(metrics: &str, name: &str) -> u64 {
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

/// Waits until the metric `name` has such a value.
async fn settles(world: &World, name: &str, is_reached: impl Fn(u64) -> bool) {
    for _ in 0..100 {
        if is_reached(value(&world.metrics().await, name)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} does not change");
}

fn seconds_to_expiry(metrics: &str) -> u64 {
    let line = metrics.lines().find(|line| line.starts_with("countersign_trust_expiry_seconds{"));
    line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
}

/// The expression of each alert.
fn expressions() -> BTreeMap<String, String> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring/rules.yml");
    let rules = std::fs::read_to_string(rules).unwrap();
    let alerts = rules.split("- alert: ").skip(1).map(|alert| {
        let (name, rest) = alert.split_once('\n').unwrap();
        let (_, expression) = rest.split_once("expr: ").unwrap();
        let end = ["\n        for:", "\n        labels:"].map(|end| expression.find(end));
        let end = end.into_iter().flatten().min().unwrap();
        let lines = expression[..end].trim_start_matches(">-").split_whitespace();
        (name.to_owned(), lines.collect::<Vec<_>>().join(" "))
    });
    alerts.collect()
}

/// A test case of promtool: the metrics before for 15 minutes, then those after. `fires`: 1 or 0.
fn case(alert: &str, expression: &str, scrapes: &Scrapes, fires: u8) -> Value {
    let before: BTreeMap<&str, &str> = samples(&scrapes.before).collect();
    let series: Vec<Value> = samples(&scrapes.after)
        .map(|(series, after)| {
            let before =
                before.get(series).map_or("_x15".to_owned(), |before| format!("{before}x15"));
            json!({"series": labelled(series), "values": format!("{before} {after}x15")})
        })
        .collect();
    json!({
        "name": alert,
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{
            "expr": format!("(count({expression}) > bool 0) or vector(0)"),
            "eval_time": "20m",
            "exp_samples": [{"labels": "{}", "value": fires}],
        }],
    })
}

/// Each series of the text format, and its value.
fn samples(metrics: &str) -> impl Iterator<Item = (&str, &str)> {
    metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '))
}

/// The series with the labels that Prometheus adds.
fn labelled(series: &str) -> String {
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{instance=\"gate\",job=\"countersign\",{labels}"),
        None => format!("{series}{{instance=\"gate\",job=\"countersign\"}}"),
    }
}

fn evaluate(cases: &[Value]) {
    let folder = Folder::new("alerts");
    // JSON is YAML, too.
    let tests = json!({"evaluation_interval": "1m", "tests": cases});
    let file = folder.write("tests.yml", tests.to_string());
    must(tool("promtool", "prometheus").args(["test", "rules"]).arg(file));
}
