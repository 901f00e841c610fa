//! `hosts.toml` files and their folders, judged as containerd's resolver reads them.

use toml::de::DeTable;

use super::Gates;
use super::dropped::{Dropped, dropped};
use super::finding::{Client, Finding, Trap, server_of};
use super::seen::ClientFiles;
use super::toml_file::{TomlFile, Value, field, get, texts};

const ANY_OTHER: &str = "_default";

/// The location of the files, and the client that reads them.
pub(super) struct Roots {
    pub(super) client: Client,
    /// In the order of the search.
    pub(super) folders: Vec<String>,
}

impl Roots {
    /// The folder that the client searches for a registry's file: the first that exists.
    fn folder_of(&self, registry: &str, seen: &ClientFiles) -> Option<String> {
        let flat = registry.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
        let flat = flat.as_deref().into_iter();
        let names: Vec<&str> = flat.chain([registry, ANY_OTHER]).collect();
        let each =
            self.folders.iter().flat_map(|root| names.iter().map(move |n| format!("{root}/{n}")));
        each.into_iter().find(|folder| seen.has_folder(folder))
    }

    /// The registries with a folder here, except the gate's own.
    pub(super) fn registries(&self, seen: &ClientFiles, gates: &Gates) -> Vec<String> {
        let within = |root: &String| {
            let is_folder = move |name: &&String| seen.has_folder(&format!("{root}/{name}"));
            seen.names(root).iter().filter(is_folder).cloned().collect::<Vec<_>>()
        };
        let folders = self.folders.iter().flat_map(within);
        let named =
            folders.map(|name| match name.strip_suffix('_').and_then(|n| n.rsplit_once('_')) {
                Some((host, port)) if port.parse::<u16>().is_ok() => format!("{host}:{port}"),
                Some(_) | None => name,
            });
        named.filter(|name| name != ANY_OTHER && !gates.has(name)).collect()
    }

    /// Every bypass of the gate for images of `registry`; empty if the client uses only the gate.
    pub(super) fn judge(&self, registry: &str, seen: &ClientFiles, gates: &Gates) -> Vec<Finding> {
        let Some(folder) = self.folder_of(registry, seen) else {
            let roots = self.folders.join(" and ");
            let meaning = format!(
                "{roots} has no folder for {registry}: the client uses the registry itself"
            );
            let command = self.command();
            let remedy = format!("add one for {ANY_OTHER} or {registry}: {command}");
            return vec![self.open(Trap::NotLed, registry, meaning).remedy(remedy)];
        };
        let path = format!("{folder}/hosts.toml");
        match seen.text(&path) {
            Some(content) => self.judge_file(registry, &path, content, gates),
            // Reported as unreadable.
            None if seen.has(&path) => Vec::new(),
            None => {
                let meaning = format!(
                    "{folder} has no hosts.toml and hides the one of {ANY_OTHER}: the client uses the registry \
                     itself for images of {registry}"
                );
                let remedy = format!("add {path}, or remove the folder: {}", self.command());
                vec![
                    self.open(Trap::HidesDefault, registry, meaning)
                        .at(&folder, None)
                        .remedy(remedy),
                ]
            }
        }
    }

    fn judge_file(&self, registry: &str, path: &str, content: &str, gates: &Gates) -> Vec<Finding> {
        let file = match TomlFile::parse(content) {
            Ok(file) => file,
            Err(broken) => {
                let why = format!("the file is not valid TOML ({})", broken.message);
                return vec![self.broken(registry, &why).at(path, Some(broken.line))];
            }
        };
        if let Some(Dropped { why, line }) = dropped(content, &file) {
            return vec![self.broken(registry, &why).at(path, line)];
        }
        let hosts = hosts(&file);
        let mut found = self.judge_server(registry, path, &file, &hosts, gates);
        found.extend(self.newer(registry, path, &file, &hosts));
        for (line, name, table) in &hosts {
            found.extend(
                self.judge_place(registry, name, table, gates).map(|f| f.at(path, Some(*line))),
            );
        }
        found
    }

    /// The server that the client uses last.
    fn judge_server(
        &self,
        registry: &str,
        path: &str,
        file: &TomlFile<'_>,
        hosts: &[(usize, &str, &DeTable<'_>)],
        gates: &Gates,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let server = field(file.root(), "server");
        let line = server.map(|value| file.line(value));
        let server = server.and_then(|value| value.get_ref().as_str());
        if let Some(server) = server.filter(|server| !server.is_empty()) {
            found.extend(
                self.judge_place(registry, server, file.root(), gates).map(|f| f.at(path, line)),
            );
            if hosts.is_empty() {
                let meaning = format!(
                    "the file has only `server`: containerd 1.6, and 1.7 before 1.7.32, reject it and use the registry \
                     itself for images of {registry}"
                );
                let remedy = format!(
                    "add `[host.\"{server}\"]` with `capabilities = [\"pull\", \"resolve\"]`"
                );
                found.push(
                    self.open(Trap::ServerAlone, registry, meaning).at(path, line).remedy(remedy),
                );
            }
            return found;
        }
        let below = hosts.iter().find_map(|(_, name, table)| Some((name, field(table, "server")?)));
        if let Some((name, server)) = below {
            let meaning = format!(
                "`server` is below [host.\"{name}\"], where it has no effect: after an error of the gate, the \
                 client falls back to the registry for images of {registry}"
            );
            let found_at = self.open(Trap::MisplacedServer, registry, meaning);
            let remedy = "move `server` to the top of the file";
            found.push(found_at.at(path, Some(file.line(server))).remedy(remedy));
        } else {
            let meaning = format!(
                "`server` is missing: after an error of the gate, the client falls back to the registry for images \
                 of {registry}"
            );
            let remedy =
                "add `server = \"https://…\"` with the gate's address at the top of the file";
            found.push(self.open(Trap::Fallback, registry, meaning).at(path, None).remedy(remedy));
        }
        for (line, name, table) in hosts {
            let asked =
                gates.leads(name) && field(table, "capabilities").is_some_and(|c| !resolves(c));
            if asked {
                let meaning = format!(
                    "`resolve` is missing: the client resolves tags of {registry} without the gate"
                );
                let remedy = "write `capabilities = [\"pull\", \"resolve\"]`";
                let missing = self.open(Trap::NoResolve, registry, meaning).at(path, Some(*line));
                found.push(missing.remedy(remedy));
            }
        }
        found
    }

    /// Differences in the parsing by another version in use: the installed version is not known here.
    fn newer(
        &self,
        registry: &str,
        path: &str,
        file: &TomlFile<'_>,
        hosts: &[(usize, &str, &DeTable<'_>)],
    ) -> Option<Finding> {
        let tables = hosts.iter().map(|(_, _, table)| *table).chain([file.root()]);
        let lists = tables.filter_map(|table| field(table, "capabilities"));
        let list = lists
            .into_iter()
            .find(|list| texts(list).iter().any(|one| one.eq_ignore_ascii_case("referrers")))?;
        let meaning = format!(
            "`referrers` requires containerd 2.3; earlier versions ignore the file and use the registry \
             itself for images of {registry}"
        );
        let closed = Finding::closed(self.client, meaning).at(path, Some(file.line(list)));
        Some(closed.remedy("remove `referrers` if an earlier version may run"))
    }

    /// The problems of one server that the client uses.
    fn judge_place(
        &self,
        registry: &str,
        place: &str,
        table: &DeTable<'_>,
        gates: &Gates,
    ) -> Option<Finding> {
        if !gates.leads(place) {
            let meaning = format!(
                "the client pulls images of {registry} from {place}, which is not the gate"
            );
            let other = Finding::open(self.client, Trap::OtherPlace, meaning).leading_to(place);
            return Some(other.remedy("keep only the gate in this file"));
        }
        let skips = field(table, "skip_verify").and_then(|value| value.get_ref().as_bool());
        if skips == Some(true) || gates.is_plain(place) {
            let meaning = format!(
                "the gate's certificate is not verified: an attacker on the network can impersonate it for \
                 {registry}"
            );
            let remedy = "remove `skip_verify`, use https://, and set `ca`";
            return Some(Finding::open(self.client, Trap::Insecure, meaning).remedy(remedy));
        }
        None
    }

    fn open(&self, trap: Trap, registry: &str, meaning: String) -> Finding {
        Finding::open(self.client, trap, meaning).leading_to(server_of(registry))
    }

    fn broken(&self, registry: &str, why: &str) -> Finding {
        let meaning = format!(
            "{why}: containerd logs that and uses the registry itself for images of {registry}"
        );
        self.open(Trap::Broken, registry, meaning)
            .remedy(format!("fix it, or print it again: {}", self.command()))
    }

    fn command(&self) -> &'static str {
        match self.client {
            Client::Docker => "`countersign client-config docker-containerd`",
            Client::Containerd | Client::K3s | Client::Podman | Client::Machine => {
                "`countersign client-config containerd`"
            }
        }
    }
}

/// The `[host]` tables, each with its line and name.
fn hosts<'t>(file: &'t TomlFile<'_>) -> Vec<(usize, &'t str, &'t DeTable<'t>)> {
    let hosts = get(file.root(), "host").and_then(|value| value.get_ref().as_table());
    let each = hosts.into_iter().flat_map(|hosts| hosts.iter());
    each.filter_map(|(name, value)| {
        Some((file.line(name), name.get_ref().as_ref(), value.get_ref().as_table()?))
    })
    .collect()
}

/// An empty list means every capability.
fn resolves(capabilities: &Value<'_>) -> bool {
    let capabilities = texts(capabilities);
    capabilities.is_empty() || capabilities.iter().any(|one| one.eq_ignore_ascii_case("resolve"))
}
