//! containerd and CRI: config.toml, and the folders with `hosts.toml` that it names.

use std::collections::BTreeSet;

use toml::de::DeTable;

use super::finding::{Client, Finding, Trap, server_of};
use super::hosts::Roots;
use super::seen::ClientFiles;
use super::toml_file::{TomlFile, get, is_true, table_at, texts};
use super::{Gates, Question};

const CONFIG: &str = "/etc/containerd/config.toml";
/// Files that config.toml of containerd 2 imports by default.
pub(super) const IMPORTED: &str = "/etc/containerd/conf.d";
/// The default folder of `hosts.toml` files.
const CERTIFICATES: &str = "/etc/containerd/certs.d";

/// The most folders with `hosts.toml` that are read.
pub(super) const MAX_ROOTS: usize = 16;

/// The table with the registry's settings, by the version of the file.
const REGISTRY: [[&str; 3]; 3] = [
    ["plugins", "io.containerd.grpc.v1.cri", "registry"],
    ["plugins", "io.containerd.cri.v1.images", "registry"],
    ["plugins", "cri", "registry"],
];

/// The table with CRI's settings for images.
const LOCAL_PULL: [[&str; 2]; 2] =
    [["plugins", "io.containerd.cri.v1.images"], ["plugins", "io.containerd.grpc.v1.cri"]];

pub(super) const FILES: [&str; 1] = [CONFIG];
pub(super) const PROGRAMS: [&str; 2] = ["/usr/bin/containerd", "/usr/local/bin/containerd"];

/// The folders in `config_path`, or the default one if it is not set.
pub(super) fn roots(seen: &ClientFiles) -> Vec<String> {
    let mut roots: Vec<String> = Vec::new();
    for (_, text) in configs(seen) {
        // The file's own check reports a broken file.
        let Ok(file) = TomlFile::parse(text) else { continue };
        for registry in registries(&file) {
            roots.extend(config_path(registry).map(str::to_owned));
        }
    }
    let mut known = BTreeSet::new();
    roots.retain(|root| known.insert(root.clone()));
    // One more than the limit, so that it is reported.
    roots.truncate(MAX_ROOTS + 1);
    if roots.is_empty() { vec![CERTIFICATES.to_owned()] } else { roots }
}

pub(super) fn is_there(seen: &ClientFiles) -> bool {
    seen.has_one_of(&PROGRAMS) || seen.has_one_of(&[CONFIG, CERTIFICATES])
}

pub(super) fn judge(question: &Question, seen: &ClientFiles) -> Vec<Finding> {
    let mut found = judge_config(question, seen);
    let roots = Roots { client: Client::Containerd, folders: roots(seen) };
    found.extend(question.each_name(&roots.registries(seen, &question.gates), |name| {
        roots.judge(name, seen, &question.gates)
    }));
    found
}

fn judge_config(question: &Question, seen: &ClientFiles) -> Vec<Finding> {
    let mut found = Vec::new();
    let (mut has_path, mut without_cri, mut pulls_locally) = (false, false, false);
    let mut lists = Vec::new();
    for (path, text) in configs(seen) {
        let at = path;
        let file = match TomlFile::parse(text) {
            Ok(file) => file,
            Err(broken) => {
                let meaning = format!(
                    "the file is not valid TOML ({}): containerd does not start",
                    broken.message
                );
                found.push(
                    Finding::undecided(Client::Containerd, meaning).at(path, Some(broken.line)),
                );
                continue;
            }
        };
        without_cri |= get(file.root(), "disabled_plugins")
            .is_some_and(|plugins| texts(plugins).iter().any(|name| name.ends_with("cri")));
        if let Some(imports) = get(file.root(), "imports") {
            let elsewhere = texts(imports).into_iter().find(|import| !import.starts_with(IMPORTED));
            found.extend(elsewhere.map(|import| {
                let meaning = format!("the file imports {import}, which was not read");
                let undecided = Finding::undecided(Client::Containerd, meaning);
                let remedy = "check it for `config_path` and `registry.mirrors`";
                undecided.at(path, Some(file.line(imports))).remedy(remedy)
            }));
        }
        pulls_locally |= has_local_pull(&file);
        for registry in registries(&file) {
            has_path |= config_path(registry).next().is_some();
            if let Some(path) = get(registry, "config_path")
                && path.get_ref().as_str().is_some_and(|path| path.contains(':'))
            {
                lists.push((at.to_owned(), file.line(path)));
            }
            found.extend(judge_registry(path, &file, registry, &question.gates));
        }
    }
    for (path, line) in lists.iter().filter(|_| !pulls_locally) {
        let meaning = "`config_path` contains a colon: the transfer service, which CRI uses from containerd 2.1 on, treats \
                       it as one folder, finds no hosts.toml, and uses the registry itself";
        let open = Finding::open(Client::Containerd, Trap::ConfigPathList, meaning);
        let remedy = format!("name one folder: `config_path = \"{CERTIFICATES}\"`");
        found.push(question.leading(open.at(path, Some(*line))).remedy(remedy));
    }
    if !has_path && !without_cri {
        let meaning = "`config_path` is not set in config.toml: CRI (Kubernetes) uses the registry itself. Before containerd 2.2 \
                       it reads no hosts.toml; since then, its default is a list of folders, which the transfer \
                       service treats as one folder";
        let remedy = "set it as `countersign client-config containerd` prints it";
        let open = Finding::open(Client::Containerd, Trap::NoConfigPath, meaning).at(CONFIG, None);
        found.push(question.leading(open).remedy(remedy));
    }
    found
}

/// Whether CRI pulls without the transfer service, so that it splits a `config_path` at its colons.
fn has_local_pull(file: &TomlFile<'_>) -> bool {
    LOCAL_PULL.iter().any(|keys| {
        table_at(file.root(), keys).is_some_and(|images| is_true(images, "use_local_image_pull"))
    })
}

/// The older settings, which may exist in addition to `config_path`.
fn judge_registry(
    path: &str,
    file: &TomlFile<'_>,
    registry: &DeTable<'_>,
    gates: &Gates,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mirrors = table_at(registry, &["mirrors"]);
    for (name, _) in mirrors.into_iter().flat_map(|mirrors| mirrors.iter()) {
        let registry = name.get_ref();
        let meaning = format!(
            "`registry.mirrors` for {registry}: after an error of an endpoint, containerd falls back to the registry"
        );
        let open = Finding::open(Client::Containerd, Trap::LegacyMirrors, meaning);
        let remedy = "remove the table, and use hosts.toml: `countersign client-config containerd`";
        let open = open.at(path, Some(file.line(name))).remedy(remedy);
        found.push(open.leading_to(server_of(registry)));
    }
    let configs = table_at(registry, &["configs"]);
    for (name, config) in configs.into_iter().flat_map(|configs| configs.iter()) {
        let config = config.get_ref().as_table();
        let tls = config.and_then(|config| table_at(config, &["tls"]));
        if gates.has(name.get_ref()) && tls.is_some_and(|tls| is_true(tls, "insecure_skip_verify"))
        {
            let meaning = "the gate's certificate is not verified: an attacker on the network can impersonate the gate";
            let open = Finding::open(Client::Containerd, Trap::Insecure, meaning);
            let remedy = "remove `insecure_skip_verify`, and set `ca` in hosts.toml";
            found.push(open.at(path, Some(file.line(name))).remedy(remedy));
        }
    }
    found
}

/// The configuration files that could be read.
fn configs(seen: &ClientFiles) -> impl Iterator<Item = (&str, &str)> {
    let main = seen.text(CONFIG).map(|text| (CONFIG, text));
    main.into_iter().chain(super::in_folder(seen, IMPORTED, ".toml"))
}

fn registries<'t>(file: &'t TomlFile<'_>) -> Vec<&'t DeTable<'t>> {
    REGISTRY.iter().filter_map(|keys| table_at(file.root(), keys)).collect()
}

fn config_path<'t>(registry: &'t DeTable<'_>) -> impl Iterator<Item = &'t str> + use<'t> {
    let paths = super::toml_file::text(registry, "config_path").unwrap_or_default();
    paths.split(':').map(|path| path.trim_end_matches('/')).filter(|path| path.starts_with('/'))
}
