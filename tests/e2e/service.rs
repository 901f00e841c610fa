//! The operator files: the systemd unit, checked with systemd's tools, and the alert rules, checked with promtool.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::folder::Folder;
use crate::process::{must, tool};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        systemd_accepts_the_unit_and_finds_it_hardened,
        each_alert_fires_exactly_when_it_should,
        prometheus_accepts_its_configuration,
        prometheus_accepts_every_query_of_the_dashboard,
    ]
}

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let unit = std::fs::read_to_string(deployed("systemd/countersign.service")).unwrap();
    let program = "/usr/local/bin/countersign";
    assert!(unit.contains(&format!("ExecStart={program} serve")), "{unit}");
    // systemd would report a program that does not exist.
    let folder = Folder::new("unit");
    let unit = unit.replace(program, env!("CARGO_BIN_EXE_countersign"));
    let unit = folder.write("countersign.service", unit);
    let analyze = || tool("systemd-analyze", "systemd");
    let mut verify = analyze();
    let said = crate::process::run(verify.args(["verify", "--man=no"]).arg(&unit));
    assert!(said.ok() && !said.all().contains("countersign.service"), "{}", said.all());
    // In tenths: 0 is fully restricted, 100 is unrestricted.
    must(analyze().args(["security", "--offline=yes", "--threshold=15"]).arg(&unit));
}

fn each_alert_fires_exactly_when_it_should() {
    let promtool = || tool("promtool", "prometheus");
    must(promtool().args(["check", "rules"]).arg(deployed("monitoring/rules.yml")));
    must(promtool().args(["test", "rules"]).arg(deployed("monitoring/rules.test.yml")));
    let rules = std::fs::read_to_string(deployed("monitoring/rules.yml")).unwrap();
    let tests = std::fs::read_to_string(deployed("monitoring/rules.test.yml")).unwrap();
    // An alert fires in each test case that expects it.
    let fires = |alert: &str| {
        let tested = format!("alertname: {alert}\n");
        tests.split(&tested).skip(1).any(|rest| rest.trim_start().starts_with("exp_alerts:"))
    };
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{rules}");
    for alert in alerts {
        assert!(fires(alert), "{alert} fires in no test case");
    }
}

fn prometheus_accepts_its_configuration() {
    let mut promtool = tool("promtool", "prometheus");
    must(promtool.args(["check", "config"]).arg(deployed("monitoring/prometheus.yml")));
}

/// Tests each query as a rule, which promtool parses like Prometheus.
fn prometheus_accepts_every_query_of_the_dashboard() {
    let dashboard =
        std::fs::read(deployed("monitoring/grafana/dashboards/countersign.json")).unwrap();
    let dashboard: Value = serde_json::from_slice(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let rules: Vec<Value> = targets
        .enumerate()
        .map(|(at, target)| {
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            json!({"record": format!("query:{at}"), "expr": query.replace("$instance", ".*")})
        })
        .collect();
    assert!(rules.len() > 20, "{rules:?}");
    // JSON is YAML, too.
    let folder = Folder::new("dashboard");
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let file = folder.write("rules.yml", rules.to_string());
    must(tool("promtool", "prometheus").args(["check", "rules"]).arg(file));
}
