//! registries.conf and its drop-ins, as podman, buildah, skopeo and CRI-O read them.

use std::collections::BTreeMap;

use super::Question;
use super::finding::{Client, Finding, Trap, server_of};
use super::seen::Seen;
use super::toml_file::{TomlFile, get, is_true, tables, text, texts};
use crate::oci::docker_hub;

const CONFIG: &str = "/etc/containers/registries.conf";
pub(super) const DROP_INS: &str = "/etc/containers/registries.conf.d";

pub(super) const FILES: [&str; 1] = [CONFIG];
pub(super) const PROGRAMS: [&str; 4] =
    ["/usr/bin/podman", "/usr/bin/skopeo", "/usr/bin/buildah", "/usr/bin/crio"];

/// One `[[registry]]`, and where it stands. A later one of the same prefix takes its place.
struct Entry {
    file: String,
    line: usize,
    location: String,
    blocked: bool,
    insecure: bool,
    by_digest_only: bool,
    mirrors: Vec<Mirror>,
}

struct Mirror {
    line: usize,
    location: String,
    insecure: bool,
    /// `digest-only` or `tag-only`, where it is not asked for all.
    only: Option<String>,
}

#[derive(Default)]
struct Entries {
    by_prefix: BTreeMap<String, Entry>,
    /// Where short names are looked up: the last file that says so.
    searched: Option<(String, usize, Vec<String>)>,
}

pub(super) fn is_there(seen: &Seen) -> bool {
    seen.has_one_of(&PROGRAMS) || seen.has_one_of(&[CONFIG, DROP_INS])
}

pub(super) fn judge(question: &Question, seen: &Seen) -> Vec<Finding> {
    let mut entries = Entries::default();
    let mut found = Vec::new();
    let main = seen.text(CONFIG).map(|text| (CONFIG, text)).into_iter();
    for (path, text) in main.chain(super::in_folder(seen, DROP_INS, ".conf")) {
        match TomlFile::parse(text) {
            Ok(file) => entries.read(path, &file),
            Err(broken) => {
                let meaning =
                    format!("the file is no TOML ({}): nothing is pulled at all", broken.message);
                let undecided =
                    Finding::undecided(Client::Podman, meaning).at(path, Some(broken.line));
                found.push(undecided.remedy("mend it: `countersign client-config podman`"));
            }
        }
    }
    if !found.is_empty() {
        return found;
    }
    let named: Vec<String> = entries
        .by_prefix
        .keys()
        .filter(|prefix| !prefix.contains(['/', '*']) && !question.gates.has(prefix))
        .cloned()
        .collect();
    // What is normalized to docker.io is never asked for by that name.
    found = question.each_name(&named, |name| {
        if name == docker_hub::INDEX { Vec::new() } else { entries.judge(name, question) }
    });
    found.extend(entries.judge_search(question));
    found
}

impl Entries {
    fn read(&mut self, path: &str, file: &TomlFile<'_>) {
        if let Some(searched) = get(file.root(), "unqualified-search-registries") {
            let names = texts(searched).into_iter().map(str::to_owned).collect();
            self.searched = Some((path.to_owned(), file.line(searched), names));
        }
        for (at, table) in tables(file.root(), "registry") {
            let location = text(table, "location").unwrap_or_default();
            let prefix =
                text(table, "prefix").filter(|prefix| !prefix.is_empty()).unwrap_or(location);
            let mirrors = tables(table, "mirror").into_iter().map(|(at, table)| Mirror {
                line: file.line(at),
                location: text(table, "location").unwrap_or_default().to_owned(),
                insecure: is_true(table, "insecure"),
                only: text(table, "pull-from-mirror")
                    .filter(|which| !["all", ""].contains(which))
                    .map(str::to_owned),
            });
            let location = if location.is_empty() { prefix } else { location };
            let entry = Entry {
                file: path.to_owned(),
                line: file.line(at),
                location: location.to_owned(),
                blocked: is_true(table, "blocked"),
                insecure: is_true(table, "insecure"),
                by_digest_only: is_true(table, "mirror-by-digest-only"),
                mirrors: mirrors.collect(),
            };
            self.by_prefix.insert(prefix.trim_end_matches('/').to_owned(), entry);
        }
    }

    /// The entry that is for a name: that of the longest prefix.
    fn entry_for(&self, name: &str) -> Option<(&str, &Entry)> {
        let covers = |prefix: &str| match prefix.strip_prefix('*') {
            Some(end) => name.split('/').next().is_some_and(|host| host.ends_with(end)),
            None => {
                name == prefix
                    || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['/', ':']))
            }
        };
        let entries = self.by_prefix.iter().filter(|(prefix, _)| covers(prefix));
        let longest = entries.max_by_key(|(prefix, _)| (!prefix.starts_with('*'), prefix.len()));
        longest.map(|(prefix, entry)| (prefix.as_str(), entry))
    }

    fn judge(&self, name: &str, question: &Question) -> Vec<Finding> {
        let Some((_, entry)) = self.entry_for(name) else {
            let trap = if question.is_other_name(name) { Trap::OtherName } else { Trap::NotLed };
            let meaning = format!("no [[registry]] is for {name}: it is asked itself");
            let open = Finding::open(Client::Podman, trap, meaning).leading_to(server_of(name));
            let remedy = "add an entry that leads to the gate, or `blocked = true`: `countersign client-config podman`";
            return vec![open.at(DROP_INS, None).remedy(remedy)];
        };
        let mut found = judge_entry(name, entry, question);
        let below = format!("{name}/");
        for (prefix, entry) in
            self.by_prefix.iter().filter(|(prefix, _)| prefix.starts_with(&below))
        {
            for mut reopened in judge_entry(prefix, entry, question) {
                if reopened.trap != Trap::Insecure {
                    reopened.trap = Trap::Reopened;
                }
                let meaning =
                    format!("the longer prefix {prefix} takes the place of the entry for {name}: ");
                reopened.meaning.insert_str(0, &meaning);
                found.push(reopened);
            }
        }
        found
    }

    fn judge_search(&self, question: &Question) -> Vec<Finding> {
        let Some((file, line, names)) = &self.searched else { return Vec::new() };
        let elsewhere = names.iter().filter(|name| {
            !question.gates.has(name)
                && !question.names(&[]).contains(name)
                && !self.judge(name, question).is_empty()
        });
        elsewhere
            .map(|name| {
                let meaning = format!("names without a registry are looked up at {name}, which does not lead to the gate");
                let open = Finding::open(Client::Podman, Trap::SearchedElsewhere, meaning);
                let remedy = "leave only registries in `unqualified-search-registries` that lead to the gate";
                open.leading_to(server_of(name)).at(file, Some(*line)).remedy(remedy)
            })
            .collect()
    }
}

fn judge_entry(name: &str, entry: &Entry, question: &Question) -> Vec<Finding> {
    let gates = &question.gates;
    let at = |finding: Finding, line: usize| finding.at(&entry.file, Some(line));
    let open = |trap, meaning: String| Finding::open(Client::Podman, trap, meaning);
    let plain = |line| {
        let meaning = format!(
            "`insecure`: the gate's certificate is not verified, and http is tried, for {name}"
        );
        let remedy =
            "take `insecure` out, and put the authority into /etc/containers/certs.d/<gate>/ca.crt";
        at(open(Trap::Insecure, meaning), line).remedy(remedy)
    };
    let mut found = Vec::new();
    for mirror in &entry.mirrors {
        if !gates.leads(&mirror.location) {
            let meaning =
                format!("images of {name} are asked of {}, which is not the gate", mirror.location);
            let other = open(Trap::OtherPlace, meaning).leading_to(&mirror.location);
            found.push(at(other, mirror.line).remedy("leave only the gate as a mirror"));
        } else if mirror.insecure && !gates.are_loopback(&mirror.location) {
            found.push(plain(mirror.line));
        }
    }
    let itself = gates.leads(&entry.location);
    if itself && entry.insecure && !gates.are_loopback(&entry.location) {
        found.push(plain(entry.line));
    }
    // `blocked` holds for the location alone, and has no effect where that is renamed to the gate.
    if itself || entry.blocked {
        return found;
    }
    let leading = |finding: Finding| finding.leading_to(server_of(&entry.location));
    if entry.mirrors.is_empty() {
        let meaning =
            format!("images of {name} are asked of {}, which is not the gate", entry.location);
        found.push(at(leading(open(Trap::NotLed, meaning)), entry.line).remedy(LED));
        return found;
    }
    let only = entry.mirrors.iter().find_map(|mirror| mirror.only.as_deref());
    if entry.by_digest_only || only.is_some() {
        let meaning = match only {
            Some(only) if !entry.by_digest_only => {
                format!(
                    "`pull-from-mirror = \"{only}\"`: the rest is never asked of the gate, for {name}"
                )
            }
            Some(_) | None => {
                format!("`mirror-by-digest-only`: tags of {name} are never asked of the gate")
            }
        };
        let remedy = "take it out, and block the registry itself";
        found.push(at(leading(open(Trap::ByDigestOnly, meaning)), entry.line).remedy(remedy));
    }
    let meaning =
        format!("after an error of the gate, {} is asked for images of {name}", entry.location);
    found.push(at(leading(open(Trap::Fallback, meaning)), entry.line).remedy(BLOCKED));
    found
}

const LED: &str = "name the gate as `location`: `countersign client-config podman`";
const BLOCKED: &str =
    "say `blocked = true` in this entry (mirrors are still asked), or name the gate as `location`";
