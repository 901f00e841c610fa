//! The `countersign` program, started as a user starts it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::folder::Folder;
use crate::process::{Process, Said, free_port, run};
use crate::registry::digest_of;
use crate::requests::{self, Answer};

/// A configuration file and a store. They outlive the process, so that a gate can be stopped and restarted.
pub(crate) struct Gate {
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
    // Ended before the folder is removed, because it may have open files on mounts there.
    process: Option<Process>,
    folder: Folder,
    clock: Clock,
}

/// The gate's clock.
pub(crate) enum Clock {
    Machine,
    /// Debian's libfaketime rereads this file continuously; monotonic clocks are not affected.
    File(PathBuf),
}

impl Gate {
    /// Starts `countersign serve`; `config` contains everything but `[server] listen`, `[admin]` and `[store]`.
    pub(crate) fn start(listen: u16, server: &str, config: &str, clock: Clock) -> Self {
        let mut gate = Self::prepare(listen, server, "", config, clock);
        gate.run();
        gate
    }

    /// Starts a gate with these keys in `[store]`.
    pub(crate) fn start_keeping(listen: u16, store: &str, config: &str) -> Self {
        let mut gate = Self::prepare(listen, "", store, config, Clock::Machine);
        gate.run();
        gate
    }

    /// A gate that is not started yet; its store is an empty folder.
    pub(crate) fn prepare(
        listen: u16,
        server: &str,
        store: &str,
        config: &str,
        clock: Clock,
    ) -> Self {
        let (folder, admin_port) = (Folder::new("gate"), free_port());
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{listen}\"\n{server}\n\
             [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n\n\
             [store]\npath = \"store\"\n{store}\n\n{config}"
        );
        folder.write("countersign.toml", config);
        std::fs::create_dir(folder.join("store")).unwrap();
        Self { port: listen, admin_port, process: None, folder, clock }
    }

    /// Starts the gate, and waits until it listens.
    pub(crate) fn run(&mut self) {
        let mut process = self.begin();
        let admin = format!("127.0.0.1:{}", self.admin_port);
        self.port = process.until(|log| {
            let mut listening = log.lines().filter(|line| line.contains("listening"));
            listening.find_map(|line| port_in(&line.replace(&admin, "")))
        });
        self.process = Some(process);
    }

    fn begin(&self) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            .env("RUST_LOG", "info,countersign=debug");
        if let Clock::File(file) = &self.clock {
            command
                .env("LD_PRELOAD", libfaketime())
                .env("FAKETIME_TIMESTAMP_FILE", file)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        Process::start("countersign", &command, &self.folder)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("countersign.toml")
    }

    /// `host:port` of the public listener.
    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.name())
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin_port)
    }

    /// The folder of its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// The value of one line of its metrics; 0 while there is no such line.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = requests::get(&self.admin("/metrics")).text();
        let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        metrics.lines().find_map(value).unwrap_or_default()
    }

    /// The number of bytes of blobs that it has sent since it started.
    pub(crate) fn sent(&self) -> u64 {
        let from =
            |source| self.metric(&format!("countersign_blob_bytes_total{{source=\"{source}\"}}"));
        from("upstream") + from("store")
    }

    /// The anonymous memory that it uses, in bytes.
    pub(crate) fn anonymous_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.as_ref().unwrap().id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Its response to a request for a manifest.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Answer {
        requests::get(&self.url(&format!("/v2/{repository}/manifests/{reference}")))
    }

    /// Waits until it serves a manifest, or (`Err`) denies it for this reason. The change must take effect within the
    /// anchor's `refresh` of one second, plus the delay of a busy machine.
    pub(crate) fn comes_to(&self, repository: &str, reference: &str, outcome: Result<&str, &str>) {
        let what = format!("{repository} {reference} to come to {outcome:?}");
        let mut last = String::new();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(6) {
            let answer = self.manifest(repository, reference);
            let reached = match outcome {
                Ok(digest) => answer.status == 200 && digest_of(&answer.body) == digest,
                Err(reason) => answer.status != 200 && answer.reason() == reason,
            };
            if reached {
                return;
            }
            last = format!("{} {}", answer.status, answer.text());
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("waited for {what}, but: {last}");
    }

    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    pub(crate) fn terminate(&self) {
        self.process.as_ref().unwrap().signal("TERM");
    }

    /// Makes it reload its configuration.
    pub(crate) fn hangup(&self) {
        self.process.as_ref().unwrap().signal("HUP");
    }

    /// Replaces its configuration file.
    pub(crate) fn configure(&self, text: &str) {
        self.folder.write("countersign.toml", text);
    }

    pub(crate) fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.process.as_mut().unwrap().ended(limit)
    }

    /// Restarts it with the same configuration and store.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.run();
    }

    pub(crate) fn stop(&mut self) {
        self.process.as_mut().unwrap().stop();
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        let process = self.process.as_mut().unwrap();
        process.signal("KILL");
        process.ended(Duration::from_secs(10)).unwrap();
    }

    /// Kills it, and starts it again with the same configuration and store.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Starts it after it ended, and kills it after this time, possibly during its start.
    pub(crate) fn start_and_kill(&mut self, after: Duration) {
        self.process = Some(self.begin());
        std::thread::sleep(after);
        self.kill();
    }

    /// Empties the store, as if the gate had seen nothing yet. Only while it is stopped.
    pub(crate) fn forget(&mut self) {
        std::fs::remove_dir_all(self.folder.join("store")).unwrap();
    }

    pub(crate) fn why(&self, image: &str, more: &[&str]) -> Said {
        self.command(&[&["why", image], more].concat(), &self.config())
    }

    /// Another command of the same program.
    pub(crate) fn command(&self, arguments: &[&str], config: &Path) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        run(command.args(arguments).arg("--config").arg(config))
    }
}

/// The port of the first loopback address in a line of the log.
fn port_in(line: &str) -> Option<u16> {
    let digits = line.split("127.0.0.1:").nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

fn libfaketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|library| library.is_file());
    found.expect("`libfaketimeMT.so.1` is not installed: apt-get install libfaketime")
}
