//! Reads a client machine's files and connects to registries: the only I/O of `doctor`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::containerd::MAX_ROOTS;
use super::seen::{ClientFiles, FileContent};
use super::{Question, containerd, content_trust, docker, finding, k3s, podman};
use crate::client_config::GateAddress;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The most names read from a folder.
const MAX_NAMES: usize = 1024;
/// The most servers to connect to.
const MAX_SERVERS: usize = 64;
/// The time limit for resolving a name, and then for connecting.
const PATIENCE: Duration = Duration::from_secs(3);

/// The result of a connection to a registry from this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A server accepts connections at that address.
    Open(IpAddr),
    /// The name resolves to the gate's address here.
    Gate,
    /// No connection, with the reason.
    Closed(String),
    Undecided(String),
}

/// Reads the files of the machine with the root folder `root`: `/` for this one. Does not follow a link out of another
/// root.
pub fn look(root: &Path) -> ClientFiles {
    let mut looking = Looking { root, seen: ClientFiles::default() };
    for program in [&docker::PROGRAMS[..], &containerd::PROGRAMS, &k3s::PROGRAMS, &podman::PROGRAMS]
        .into_iter()
        .flatten()
    {
        if looking.at(program).symlink_metadata().is_ok() {
            looking.seen.put_present(program);
        }
    }
    for file in
        [&docker::FILES[..], &containerd::FILES, &k3s::FILES, &podman::FILES, &content_trust::FILES]
            .into_iter()
            .flatten()
    {
        looking.file(file);
    }
    for path in docker::CLASSIC {
        if looking.at(path).is_dir() {
            looking.seen.put_present(path);
        }
    }
    let mut folders =
        vec![(containerd::IMPORTED.to_owned(), ".toml"), (k3s::CONFIGS.to_owned(), ".yaml")];
    folders.push((content_trust::FOLDER.0.to_owned(), content_trust::FOLDER.1));
    folders.extend(podman::FOLDERS.map(|folder| (folder.to_owned(), ".conf")));
    for users in podman::OF_USERS {
        for name in looking.folder(users) {
            let folder = format!("{users}/{name}");
            if looking.at(&folder).is_dir() {
                folders.push((folder, ".conf"));
            }
        }
    }
    for (folder, end) in &folders {
        for name in looking.folder(folder).into_iter().filter(|name| name.ends_with(*end)) {
            looking.file(&format!("{folder}/{name}"));
        }
    }
    let mut roots = containerd::roots(&looking.seen);
    for root in roots.split_off(roots.len().min(MAX_ROOTS)) {
        let why = format!("more than {MAX_ROOTS} folders are configured");
        looking.seen.put_folder(&root, Err(why));
    }
    roots.push(docker::CERTIFICATES.to_owned());
    for root in roots {
        for name in looking.folder(&root) {
            let folder = format!("{root}/{name}");
            if looking.at(&folder).is_dir() {
                looking.folder(&folder);
                looking.file(&format!("{folder}/hosts.toml"));
            }
        }
    }
    looking.seen
}

struct Looking<'a> {
    root: &'a Path,
    seen: ClientFiles,
}

impl Looking<'_> {
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn file(&mut self, path: &str) {
        match self.read(path) {
            Ok(None) => {}
            Ok(Some(text)) => self.seen.put(path, FileContent::Text(text)),
            Err(why) => self.seen.put(path, FileContent::Unreadable(why)),
        }
    }

    /// The content of a file; `None` if it does not exist.
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        let Some(found) = self.found(path)? else { return Ok(None) };
        // Opening a file that is not regular, such as a pipe, could block forever.
        if !found.is_file() {
            return Err("not a regular file".to_owned());
        }
        let mut text = String::new();
        let opened = File::open(found).map_err(|error| error.to_string())?;
        let read = opened.take(MAX_FILE + 1).read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_FILE {
            return Err(format!("larger than {MAX_FILE} bytes"));
        }
        Ok(Some(text))
    }

    /// Records the names in a folder, and returns them sorted; none if the folder does not exist.
    fn folder(&mut self, path: &str) -> Vec<String> {
        let names = match self.names(path) {
            Ok(None) => return Vec::new(),
            Ok(Some(names)) => Ok(names),
            Err(why) => Err(why),
        };
        self.seen.put_folder(path, names.clone());
        names.unwrap_or_default()
    }

    fn names(&self, path: &str) -> Result<Option<Vec<String>>, String> {
        let Some(found) = self.found(path)? else { return Ok(None) };
        let mut names = Vec::new();
        for entry in fs::read_dir(found).map_err(|error| error.to_string())? {
            if names.len() == MAX_NAMES {
                return Err(format!("contains more than {MAX_NAMES} files"));
            }
            let name = entry.map_err(|error| error.to_string())?.file_name();
            names.push(name.into_string().map_err(|name| format!("{name:?} is not UTF-8"))?);
        }
        names.sort();
        Ok(Some(names))
    }

    /// The target of a path, within the root.
    fn found(&self, path: &str) -> Result<Option<PathBuf>, String> {
        let found = match fs::canonicalize(self.at(path)) {
            Ok(found) => found,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                let link = self.at(path).symlink_metadata().is_ok();
                return if link { Err("dangling symbolic link".to_owned()) } else { Ok(None) };
            }
            Err(error) => return Err(error.to_string()),
        };
        let root = fs::canonicalize(self.root).map_err(|error| error.to_string())?;
        if found.starts_with(root) {
            Ok(Some(found))
        } else {
            Err("symbolic link to a file outside the root".to_owned())
        }
    }
}

/// Connects to the registries of the question and to `servers`, and returns the result for each server's name,
/// `host[:port]`. Takes at most a few seconds.
pub async fn reach(question: &Question, servers: BTreeSet<String>) -> Vec<(String, Reach)> {
    let names = question.names(&[]);
    let mut all: BTreeSet<String> =
        names.iter().map(|name| finding::server_of(name).to_owned()).collect();
    all.extend(servers);
    let gates = join_all(question.gates.0.iter().map(addresses)).await;
    let gates: BTreeSet<IpAddr> = gates.into_iter().flatten().flatten().collect();
    let (tried, left): (Vec<_>, Vec<_>) =
        all.into_iter().enumerate().partition(|(at, _)| *at < MAX_SERVERS);
    let mut reached = join_all(tried.into_iter().map(|(_, server)| connect(server, &gates))).await;
    let untried = Reach::Undecided(format!("only {MAX_SERVERS} servers are tried"));
    reached.extend(left.into_iter().map(|(_, server)| (server, untried.clone())));
    reached
}

async fn connect(server: String, gates: &BTreeSet<IpAddr>) -> (String, Reach) {
    let Some(address) = GateAddress::of_endpoint(&server) else {
        return (server, Reach::Undecided("not a server name".to_owned()));
    };
    let found = match addresses(&address).await {
        Ok(found) => found,
        Err(reach) => return (server, reach),
    };
    let port = address.port();
    let tried =
        join_all(found.into_iter().map(|ip| async move {
            (ip, timeout(PATIENCE, TcpStream::connect((ip, port))).await)
        }));
    let mut reach = Reach::Closed("the name has no address".to_owned());
    for (ip, tried) in tried.await {
        match tried {
            Ok(Ok(_)) if !gates.contains(&ip) => return (server, Reach::Open(ip)),
            Ok(Ok(_)) => reach = Reach::Gate,
            Ok(Err(error)) if reach != Reach::Gate => reach = Reach::Closed(error.to_string()),
            Err(_) if reach != Reach::Gate => reach = Reach::Closed("no answer".to_owned()),
            Ok(Err(_)) | Err(_) => {}
        }
    }
    (server, reach)
}

/// The addresses to which a server's name resolves.
async fn addresses(server: &GateAddress) -> Result<BTreeSet<IpAddr>, Reach> {
    let host = server.host().trim_matches(['[', ']']);
    match timeout(PATIENCE, lookup_host((host, server.port()))).await {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).take(MAX_SERVERS).collect()),
        // A temporary failure may not affect the client later.
        Ok(Err(error)) if error.to_string().contains("Temporary") => {
            Err(Reach::Undecided(format!("cannot resolve the name: {error}")))
        }
        Ok(Err(error)) => Err(Reach::Closed(format!("the name does not exist: {error}"))),
        Err(_) => Err(Reach::Undecided("timeout while resolving the name".to_owned())),
    }
}

#[cfg(test)]
mod tests;
