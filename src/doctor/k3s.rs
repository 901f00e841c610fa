//! k3s: registries.yaml, and the option that disables the fallback to the registry.

use super::Question;
use super::finding::{Client, Finding, Trap, server_of};
use super::seen::ClientFiles;
use super::yaml_file::{self, Node};

const REGISTRIES: &str = "/etc/rancher/k3s/registries.yaml";
const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
pub(super) const CONFIGS: &str = "/etc/rancher/k3s/config.yaml.d";
/// How k3s is started, as its installer writes it.
const UNITS: [&str; 2] =
    ["/etc/systemd/system/k3s.service", "/etc/systemd/system/k3s-agent.service"];
const OPTION: &str = "disable-default-registry-endpoint";

pub(super) const FILES: [&str; 4] = [REGISTRIES, CONFIG, UNITS[0], UNITS[1]];
pub(super) const PROGRAMS: [&str; 3] = ["/usr/local/bin/k3s", "/usr/bin/k3s", "/etc/rancher/k3s"];

pub(super) fn is_there(seen: &ClientFiles) -> bool {
    seen.has_one_of(&PROGRAMS) || seen.has_one_of(&FILES)
}

pub(super) fn judge(question: &Question, seen: &ClientFiles) -> Vec<Finding> {
    let mut found = Vec::new();
    let tree = match yaml_file::parse(seen.text(REGISTRIES).unwrap_or_default()) {
        Ok(tree) => tree,
        Err(why) => {
            let undecided =
                Finding::undecided(Client::K3s, format!("cannot parse the file: {why}"));
            found.push(
                undecided.at(REGISTRIES, None).remedy("fix it: `countersign client-config k3s`"),
            );
            return found;
        }
    };
    let mirrors = tree.as_ref().and_then(|tree| tree.get("mirrors"));
    let listed = mirrors.map(Node::entries).unwrap_or_default();
    let alone = without_default(seen, &mut found);
    let names: Vec<String> = listed
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| name != "*" && !question.gates.has(name))
        .collect();
    found.extend(question.each_name(&names, |name| {
        let entry = mirrors.and_then(|mirrors| mirrors.get(name).or_else(|| mirrors.get("*")));
        judge_mirror(name, entry, alone, question)
    }));
    let configs = tree.as_ref().and_then(|tree| tree.get("configs")).map(Node::entries);
    for (name, config) in configs.unwrap_or_default() {
        let skipped = config.get("tls").and_then(|tls| tls.get("insecure_skip_verify"));
        if question.gates.has(name)
            && let Some(skipped) = skipped.filter(|skipped| skipped.is_true())
        {
            let meaning = "the gate's certificate is not verified: an attacker on the network can impersonate the gate";
            let open = Finding::open(Client::K3s, Trap::Insecure, meaning)
                .at(REGISTRIES, Some(skipped.line));
            found.push(open.remedy("remove `insecure_skip_verify`, and set `ca_file`"));
        }
    }
    found
}

fn judge_mirror(
    name: &str,
    entry: Option<&Node>,
    alone: bool,
    question: &Question,
) -> Vec<Finding> {
    let open = |trap, meaning: String| {
        Finding::open(Client::K3s, trap, meaning).leading_to(server_of(name)).at(REGISTRIES, None)
    };
    let endpoints =
        entry.and_then(|entry| entry.get("endpoint")).map(Node::items).unwrap_or_default();
    let Some(entry) = entry.filter(|_| !endpoints.is_empty()) else {
        let meaning = format!("{name} has no endpoint: k3s uses the registry itself");
        let remedy =
            "add the gate under `mirrors`, also for `\"*\"`: `countersign client-config k3s`";
        return vec![open(Trap::NotLed, meaning).remedy(remedy)];
    };
    let mut found = Vec::new();
    for endpoint in endpoints {
        let place = endpoint.text().unwrap_or_default();
        if !question.gates.leads(place) {
            let meaning = format!("k3s pulls images of {name} from {place}, which is not the gate");
            let other = Finding::open(Client::K3s, Trap::OtherPlace, meaning).leading_to(place);
            let remedy = "keep only the gate under `endpoint`";
            found.push(other.at(REGISTRIES, Some(endpoint.line)).remedy(remedy));
        } else if question.gates.is_plain(place) {
            let meaning = format!(
                "k3s uses http for images of {name}: an attacker on the network can impersonate the gate"
            );
            let plain = Finding::open(Client::K3s, Trap::Insecure, meaning);
            let remedy = "give the gate a certificate, and write https://";
            found.push(plain.at(REGISTRIES, Some(endpoint.line)).remedy(remedy));
        }
    }
    if !alone {
        let meaning = format!(
            "after an error of the gate, k3s falls back to the registry for images of {name}"
        );
        let remedy = format!("start k3s with `--{OPTION}`, or set `{OPTION}: true` in {CONFIG}");
        let open = open(Trap::Fallback, meaning).at(REGISTRIES, Some(entry.line));
        found.push(open.remedy(remedy));
    }
    found
}

/// Whether the option that disables the fallback to the registry is set.
fn without_default(seen: &ClientFiles, found: &mut Vec<Finding>) -> bool {
    let started = UNITS.iter().filter_map(|unit| seen.text(unit)).any(|unit| {
        let lines = unit.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
        lines.flat_map(str::split_whitespace).any(|word| {
            let word = word.trim_matches(['\'', '"']);
            word.strip_prefix("--")
                .is_some_and(|word| word == OPTION || word == format!("{OPTION}=true"))
        })
    });
    let mut said = started;
    let main = seen.text(CONFIG).map(|text| (CONFIG, text)).into_iter();
    for (path, text) in main.chain(super::in_folder(seen, CONFIGS, ".yaml")) {
        match yaml_file::parse(text) {
            Ok(tree) => {
                let option = tree.as_ref().and_then(|tree| tree.get(OPTION));
                said = option.map_or(said, Node::is_true);
            }
            Err(why) => {
                let meaning = format!("cannot parse the file: {why}");
                found.push(Finding::undecided(Client::K3s, meaning).at(path, None));
            }
        }
    }
    said
}
