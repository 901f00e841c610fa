//! Programs: found on the PATH, run to completion, or kept running until their handle is dropped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::folder::Folder;

/// All paths of a program, in the order of the PATH.
pub(crate) fn every(tool: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(tool)).filter(|at| at.is_file()).collect()
}

/// A program; if it is not installed, the test fails and names the Debian package.
pub(crate) fn tool(name: &str, package: &str) -> Command {
    let found = every(name).into_iter().next();
    Command::new(
        found.unwrap_or_else(|| panic!("`{name}` is not installed: apt-get install {package}")),
    )
}

/// The standard output and error of a program that ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn ok(&self) -> bool {
        self.status.success()
    }

    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a program to its end, for at most two minutes.
pub(crate) fn run(command: &Command) -> Said {
    run_within(120, command, "")
}

/// Runs a program that reads an answer from its standard input.
pub(crate) fn run_answering(command: &Command, answer: &str) -> Said {
    run_within(120, command, answer)
}

/// Runs a program that needs more time.
pub(crate) fn must_within(seconds: u32, command: &Command) -> String {
    let said = run_within(seconds, command, "");
    assert!(said.ok(), "{command:?}: {}\n{}", said.status, said.all());
    said.stdout
}

fn run_within(seconds: u32, command: &Command, answer: &str) -> Said {
    let mut timed = wrapped("timeout", &["--kill-after=5", &seconds.to_string()], command);
    timed.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = timed.spawn().expect("coreutils' timeout is installed");
    let _ = child.stdin.take().unwrap().write_all(answer.as_bytes());
    let output = child.wait_with_output().unwrap();
    Said {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a program that must succeed; returns its standard output.
pub(crate) fn must(command: &Command) -> String {
    must_within(120, command)
}

/// The same program with the same arguments and environment, run through another program.
fn wrapped(by: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(by);
    outer.args(arguments).arg(command.get_program());
    alike(outer, command)
}

/// A copy of the command.
pub(crate) fn same(command: &Command) -> Command {
    alike(Command::new(command.get_program()), command)
}

fn alike(mut outer: Command, command: &Command) -> Command {
    outer.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// A port that no program uses. It is below the range of outgoing connections, so that none takes it before its server
/// does; no port is returned twice.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 11_000).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + step) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `condition` returns a value. Fails after `limit` with the name of the condition.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < limit, "timeout after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The kernel ends a child when the *thread* that started it ends; this thread lasts as long as the process.
static STARTER: LazyLock<Mutex<mpsc::Sender<Job>>> = LazyLock::new(|| {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::spawn(move || {
        for (mut command, reply) in jobs {
            let _ = reply.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

/// A running program. Dropping this asks it to end; the kernel ends it if the tests are killed.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The length of the log at its start: an earlier program of the same name may have written to it.
    begins: u64,
}

impl Process {
    /// Starts `command` and writes its output to `<name>.log` in `folder`.
    pub(crate) fn start(name: &str, command: &Command, folder: &Folder) -> Self {
        let log = folder.join(&format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let begins = output.metadata().unwrap().len();
        let mut tied = wrapped("setpriv", &["--pdeathsig", "TERM", "--"], command);
        tied.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let (reply, child) = mpsc::channel();
        STARTER.lock().unwrap().send((tied, reply)).unwrap();
        let child = child.recv().unwrap().expect("util-linux's setpriv is installed");
        Self { name: name.to_owned(), child, log, begins }
    }

    /// Waits until `ready` returns a value for the output so far. Fails with the log if the program ends first, or
    /// after a time limit.
    pub(crate) fn until<T>(&mut self, mut ready: impl FnMut(&str) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = ready(&self.said()) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            let late = start.elapsed() > Duration::from_secs(30);
            assert!(
                ended.is_none() && !late,
                "{} did not start: {ended:?}\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a server accepts connections at this port of the loopback interface.
    pub(crate) fn until_it_listens(mut self, port: u16) -> Self {
        self.until(|_| std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        self
    }

    pub(crate) fn until_there_is(mut self, socket: &Path) -> Self {
        self.until(|_| std::os::unix::net::UnixStream::connect(socket).ok());
        self
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log, including that of earlier programs of the same name.
    pub(crate) fn log(&self) -> String {
        self.log_from(0)
    }

    fn said(&self) -> String {
        self.log_from(self.begins)
    }

    fn log_from(&self, position: u64) -> String {
        let mut raw = Vec::new();
        if let Ok(mut log) = File::open(&self.log) {
            let _ = log.seek(SeekFrom::Start(position)).and_then(|_| log.read_to_end(&mut raw));
        }
        String::from_utf8_lossy(&raw).into_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args(["-s", signal, &self.id().to_string()]).output();
    }

    /// Waits until the program ends by itself.
    pub(crate) fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Asks the program to end, and kills it after fifteen seconds.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        self.signal("TERM");
        let status = self.ended(Duration::from_secs(15));
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- end of the log of {}:\n{}", self.name, tail.join("\n"));
        }
    }
}
