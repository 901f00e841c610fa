//! The dashboard and the alert rules use only metrics and labels that the gate has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::whole_gate::World;

fn rig(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring").join(path);
    std::fs::read_to_string(path).unwrap()
}

/// The queries of the dashboard and of the alert rules.
fn queries() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&rig("grafana/dashboards/countersign.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        queries.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    let of_instances = &dashboard["templating"]["list"][1]["definition"];
    queries.push(of_instances.as_str().unwrap().to_owned());
    assert!(queries.len() > 20, "{queries:?}");
    let rules = rig("rules.yml");
    let expressions = rules.split("expr: ").skip(1);
    let of_rules: Vec<_> =
        expressions.filter_map(|rest| rest.split("labels: {sev").next()).collect();
    assert!(of_rules.len() > 10, "{rules}");
    queries.extend(of_rules.into_iter().map(str::to_owned));
    queries
}

/// The metrics in a text, each with the labels that the text uses.
fn named(text: &str) -> Vec<(String, Vec<String>)> {
    text.match_indices("countersign_")
        .map(|(at, _)| {
            let rest = &text[at..];
            let end =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let selector = after.strip_prefix('{').and_then(|rest| rest.split('}').next());
            let labels = selector.unwrap_or_default().split("\",");
            let label = |pair: &str| pair.split(['=', '!']).next().unwrap_or_default().to_owned();
            (name.to_owned(), labels.map(label).filter(|label| !label.is_empty()).collect())
        })
        .collect()
}

/// The metrics of a gate, each with the labels of its counted series.
fn known(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in metrics.lines() {
        if let Some(of_it) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_it.split_once(' ').unwrap();
            let ends: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            known.extend(ends.iter().map(|end| (format!("{name}{end}"), BTreeSet::new())));
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.split("\",").filter_map(|pair| pair.split_once('='));
            let of_it = known.entry(name.to_owned()).or_default();
            of_it.extend(labels.map(|(label, _)| label.to_owned()));
        }
    }
    known
}

#[tokio::test]
async fn dashboard_and_alerts_use_only_metrics_of_the_gate() {
    let mut world = World::new().await;
    let manifest = world.push_signed("1", "watched");
    world.pull("1").await.serves(&manifest);
    world.pull("unsigned").await.is_absent("tag_not_signed");
    let known = known(&world.metrics().await);
    let mut wrong = Vec::new();
    for query in queries() {
        for (name, labels) in named(&query) {
            let Some(has) = known.get(&name) else {
                wrong.push(format!("{name}: the gate has no such metric: {query}"));
                continue;
            };
            let unknown =
                labels.into_iter().filter(|label| label != "instance" && !has.contains(label));
            // A metric without a counted series has no labels to compare with.
            let unknown = unknown.filter(|_| !has.is_empty());
            wrong.extend(unknown.map(|label| format!("{name} has no label {label}: {query}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
