//! The limit on open files: the gate raises it, compares it with the configuration, and no client can exhaust it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::bystander;
use crate::folder::Folder;
use crate::wire::{rest, soon};

/// A gate in its own process.
pub(super) struct Gate {
    child: Child,
    address: SocketAddr,
    /// Its log output before it listened.
    logged: String,
    _folder: Folder,
}

/// The program with `arguments` after the shell code `prelude`.
fn command(prelude: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{prelude}\nexec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_countersign")).args(arguments).env_remove("RUST_LOG");
    command
}

fn written(folder: &Folder, tables: &str) -> String {
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n{tables}");
    folder.write("countersign.toml", text).to_str().unwrap().to_owned()
}

impl Gate {
    /// Starts it after the shell code `prelude`, and waits until it listens.
    pub(super) fn start(prelude: &str, tables: &str) -> Self {
        let folder = Folder::new("own-process");
        let config = written(&folder, tables);
        let mut command = command(prelude, &["serve", "--config", &config]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut logged = String::new();
        let address = loop {
            let line = lines.next().expect("the gate ended").unwrap();
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let address = event["fields"]["address"].as_str().or(event["address"].as_str());
            if let Some(address) = address.and_then(|url| url.strip_prefix("http://")) {
                break address.parse().unwrap();
            }
            logged += &line;
        };
        // Reads on, so that the pipe does not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, logged, _folder: folder }
    }

    pub(super) async fn get(&self, path: &str) -> String {
        let mut stream = soon(TcpStream::connect(self.address)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    fn open_files(&self) -> (String, String) {
        let limits = format!("/proc/{}/limits", self.child.id());
        let limits = std::fs::read_to_string(limits).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut words = line.split_whitespace().skip(3).map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const UPSTREAM: &str = "[[upstream]]\nregistry = \"registry.example.com\"\nmax_requests = 16\n";

#[test]
fn check_warns_if_the_configuration_needs_too_many_open_files() {
    let folder = Folder::new("open-files");
    let config = written(&folder, UPSTREAM);
    for (files, warns) in [(1000, true), (8000, false)] {
        let output =
            command(&format!("ulimit -n {files}"), &["check", "--config", &config]).output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        let warned = text.contains("warning   the process may open 1000 files");
        assert_eq!(warned, warns, "{files}: {text}");
    }
}

/// Before the fix, 1,100 connections locked out all other clients of a gate with a soft limit of 1,024.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_raises_the_limit_and_accepts_connections_within_it() {
    let raised =
        tokio::task::spawn_blocking(|| Gate::start("ulimit -Sn 256", UPSTREAM)).await.unwrap();
    let (soft, hard) = raised.open_files();
    assert_eq!(soft, hard);
    drop(raised);

    let tight =
        tokio::task::spawn_blocking(|| Gate::start("ulimit -n 500", UPSTREAM)).await.unwrap();
    assert!(tight.logged.contains("the process may open 500 files"), "{}", tight.logged);
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(soon(TcpStream::connect(tight.address)).await.unwrap());
    }
    let p99 = bystander(tight.address, "/v2/", "", 100).await;
    eprintln!("600 idle connections to a gate with 500 open files: p99 {p99:?}");
}
