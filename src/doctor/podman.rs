//! registries.conf and its drop-ins, as podman, buildah, skopeo and CRI-O read them.

use std::collections::{BTreeMap, BTreeSet};

use super::Question;
use super::finding::{Client, Finding, Trap, server_of};
use super::seen::ClientFiles;
use super::toml_file::{TomlFile, get, is_true, tables, text, texts};
use crate::oci::docker_hub;

const CONFIG: &str = "/etc/containers/registries.conf";
const DROP_INS: &str = "/etc/containers/registries.conf.d";

/// Since containers/image 5.40: the main files, of which only the first counts.
const CONFIGS: [&str; 2] = [CONFIG, "/usr/share/containers/registries.conf"];
/// The folders that root reads since then; only the first of several files with the same name counts.
const ROOTFUL: [&str; 4] = [
    "/etc/containers/registries.rootful.conf.d",
    DROP_INS,
    "/usr/share/containers/registries.rootful.conf.d",
    "/usr/share/containers/registries.conf.d",
];
/// The folders that other users read, each pair after the subfolder of the first that has the user's number.
const ROOTLESS: [[&str; 2]; 2] = [
    ["/etc/containers/registries.rootless.conf.d", DROP_INS],
    ["/usr/share/containers/registries.rootless.conf.d", "/usr/share/containers/registries.conf.d"],
];

pub(super) const FILES: [&str; 2] = CONFIGS;

/// All folders of drop-ins.
pub(super) const FOLDERS: [&str; 6] =
    [DROP_INS, ROOTFUL[0], ROOTFUL[2], ROOTFUL[3], ROOTLESS[0][0], ROOTLESS[1][0]];
/// The folders that may contain a subfolder for each user.
pub(super) const OF_USERS: [&str; 2] = [ROOTLESS[0][0], ROOTLESS[1][0]];
pub(super) const PROGRAMS: [&str; 4] =
    ["/usr/bin/podman", "/usr/bin/skopeo", "/usr/bin/buildah", "/usr/bin/crio"];

/// One `[[registry]]`, and its location. A later entry with the same prefix replaces it.
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
    /// `digest-only` or `tag-only`, if it is not used for all pulls.
    only: Option<String>,
}

#[derive(Default)]
struct Entries {
    by_prefix: BTreeMap<String, Entry>,
    /// The registries for short names: the last file that sets them.
    searched: Option<(String, usize, Vec<String>)>,
}

pub(super) fn is_there(seen: &ClientFiles) -> bool {
    seen.has_one_of(&PROGRAMS) || seen.has_one_of(&CONFIGS) || seen.has_one_of(&FOLDERS)
}

pub(super) fn judge(question: &Question, seen: &ClientFiles) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for files in readings(seen) {
        for finding in judge_reading(question, &files) {
            // Most readings are identical.
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
    }
    found
}

/// The files as each version and user reads them: the installed version is not known here.
fn readings(seen: &ClientFiles) -> Vec<Vec<(&str, &str)>> {
    let mut readings = vec![files(seen, &[CONFIG], &[DROP_INS])];
    let mut add = |folders: &[&str]| {
        let reading = files(seen, &CONFIGS, folders);
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    };
    add(&ROOTFUL);
    let mut users: BTreeSet<&str> = BTreeSet::from([""]);
    users.extend(OF_USERS.iter().flat_map(|folder| seen.names(folder)).map(String::as_str));
    for user in users {
        let own = OF_USERS.map(|folder| format!("{folder}/{user}"));
        let [[etc, etc_all], [usr, usr_all]] = ROOTLESS;
        add(&[own[0].as_str(), etc, etc_all, own[1].as_str(), usr, usr_all]);
    }
    readings
}

/// The first existing file of `mains`, and the drop-ins of all `folders` sorted by name; only the first of several with
/// the same name counts (containers/image 5.40).
fn files<'s>(seen: &'s ClientFiles, mains: &[&str], folders: &[&str]) -> Vec<(&'s str, &'s str)> {
    let main = mains.iter().find_map(|path| seen.entry(path));
    let mut drop_ins = BTreeMap::new();
    for folder in folders {
        let names = seen.names(folder).iter().filter(|name| name.ends_with(".conf"));
        for (path, text) in names.filter_map(|name| seen.entry(&format!("{folder}/{name}"))) {
            let name = path.rsplit('/').next().unwrap_or(path);
            drop_ins.entry(name).or_insert((path, text));
        }
    }
    main.into_iter().chain(drop_ins.into_values()).collect()
}

fn judge_reading(question: &Question, files: &[(&str, &str)]) -> Vec<Finding> {
    let mut entries = Entries::default();
    let mut found = Vec::new();
    for (path, text) in files {
        match TomlFile::parse(text) {
            Ok(file) => entries.read(path, &file),
            Err(broken) => {
                let meaning =
                    format!("the file is not valid TOML ({}): all pulls fail", broken.message);
                let undecided =
                    Finding::undecided(Client::Podman, meaning).at(path, Some(broken.line));
                found.push(undecided.remedy("fix it: `countersign client-config podman`"));
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
    // Clients normalize this name to docker.io.
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

    /// The entry for a name: that with the longest prefix.
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
            let meaning =
                format!("no [[registry]] matches {name}: the client uses the registry itself");
            let open = Finding::open(Client::Podman, trap, meaning).leading_to(server_of(name));
            let remedy = "add an entry for the gate, or `blocked = true`: `countersign client-config podman`";
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
                    format!("the longer prefix {prefix} overrides the entry for {name}: ");
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
                let meaning = format!("the client searches names without a registry in {name}, which bypasses the gate");
                let open = Finding::open(Client::Podman, Trap::SearchedElsewhere, meaning);
                let remedy = "keep only registries in `unqualified-search-registries` that use the gate";
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
            "`insecure` for {name}: the client does not verify the gate's certificate and may use http"
        );
        let remedy =
            "remove `insecure`, and install the CA as /etc/containers/certs.d/<gate>/ca.crt";
        at(open(Trap::Insecure, meaning), line).remedy(remedy)
    };
    let mut found = Vec::new();
    for mirror in &entry.mirrors {
        if !gates.leads(&mirror.location) {
            let meaning = format!(
                "the client pulls images of {name} from {}, which is not the gate",
                mirror.location
            );
            let other = open(Trap::OtherPlace, meaning).leading_to(&mirror.location);
            found.push(at(other, mirror.line).remedy("keep only the gate as a mirror"));
        } else if mirror.insecure && !gates.are_loopback(&mirror.location) {
            found.push(plain(mirror.line));
        }
    }
    let itself = gates.leads(&entry.location);
    if itself && entry.insecure && !gates.are_loopback(&entry.location) {
        found.push(plain(entry.line));
    }
    // `blocked` applies only to the location, and has no effect if the location is the gate.
    if itself || entry.blocked {
        return found;
    }
    let leading = |finding: Finding| finding.leading_to(server_of(&entry.location));
    if entry.mirrors.is_empty() {
        let meaning = format!(
            "the client pulls images of {name} from {}, which is not the gate",
            entry.location
        );
        found.push(at(leading(open(Trap::NotLed, meaning)), entry.line).remedy(LED));
        return found;
    }
    let only = entry.mirrors.iter().find_map(|mirror| mirror.only.as_deref());
    if entry.by_digest_only || only.is_some() {
        let meaning = match only {
            Some(only) if !entry.by_digest_only => {
                format!("`pull-from-mirror = \"{only}\"`: other pulls of {name} bypass the gate")
            }
            Some(_) | None => {
                format!("`mirror-by-digest-only`: tags of {name} bypass the gate")
            }
        };
        let remedy = "remove it, and block the registry itself";
        found.push(at(leading(open(Trap::ByDigestOnly, meaning)), entry.line).remedy(remedy));
    }
    let meaning = format!(
        "after an error of the gate, the client falls back to {} for images of {name}",
        entry.location
    );
    found.push(at(leading(open(Trap::Fallback, meaning)), entry.line).remedy(BLOCKED));
    found
}

const LED: &str = "set the gate as `location`: `countersign client-config podman`";
const BLOCKED: &str =
    "set `blocked = true` in this entry (mirrors still work), or set the gate as `location`";
