//! Which files are read, which are not, and which servers are reached.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// The root of a machine, removed with the test.
struct Machine(PathBuf);

impl Machine {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "countersign-doctor-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(content).unwrap();
    }

    fn why_unread(&self, path: &str) -> String {
        let seen = look(&self.0);
        let why = seen.unreadable().find(|(unread, _)| *unread == path);
        why.unwrap_or_else(|| panic!("{path} was read: {seen:?}")).1.to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_files_below_a_root_are_read_and_no_others() {
    let machine = Machine::new();
    assert!(examine_nothing(&look(&machine.0)));
    machine.write("etc/docker/daemon.json", b"{}");
    machine.write("etc/containers/registries.conf.d/b.conf", b"# b");
    machine.write("etc/containers/registries.conf.d/a.conf.bak", b"# no");
    for folder in
        ["etc/containers/registries.rootless.conf.d/1000", "usr/share/containers/registries.conf.d"]
    {
        machine.write(&format!("{folder}/c.conf"), b"# c");
    }
    machine.write("usr/share/containers/registries.conf", b"# main");
    machine.write("etc/containerd/certs.d/docker.io/hosts.toml", b"# hosts");
    fs::create_dir_all(machine.0.join("etc/containerd/certs.d/quay.io")).unwrap();
    let seen = look(&machine.0);
    assert_eq!(seen.text("/etc/docker/daemon.json"), Some("{}"));
    assert_eq!(seen.text("/etc/containers/registries.conf.d/b.conf"), Some("# b"));
    assert_eq!(seen.text("/etc/containers/registries.conf.d/a.conf.bak"), None);
    for path in [
        "/etc/containers/registries.rootless.conf.d/1000/c.conf",
        "/usr/share/containers/registries.conf.d/c.conf",
    ] {
        assert_eq!(seen.text(path), Some("# c"), "{path}");
    }
    assert_eq!(seen.text("/usr/share/containers/registries.conf"), Some("# main"));
    assert_eq!(seen.text("/etc/containerd/certs.d/docker.io/hosts.toml"), Some("# hosts"));
    assert!(seen.has_folder("/etc/containerd/certs.d/quay.io"));
    assert_eq!(seen.unreadable().count(), 0);
}

fn examine_nothing(seen: &ClientFiles) -> bool {
    let gate = "https://gate.example.com".parse().unwrap();
    let question = Question::new(vec![gate], &["docker.io".parse().unwrap()]);
    super::super::examine(&question, seen).is_empty()
}

#[test]
fn the_folders_that_config_path_names_are_read() {
    let machine = Machine::new();
    let config =
        b"[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/srv/a:/srv/b\"\n";
    machine.write("etc/containerd/config.toml", config);
    machine.write("srv/b/_default/hosts.toml", b"# other");
    assert_eq!(look(&machine.0).text("/srv/b/_default/hosts.toml"), Some("# other"));
}

#[test]
fn a_file_that_is_too_long_or_not_text_is_unread() {
    let machine = Machine::new();
    machine.write("etc/docker/daemon.json", &vec![b' '; (MAX_FILE + 1) as usize]);
    assert!(machine.why_unread("/etc/docker/daemon.json").contains("larger"));
    machine.write("etc/containers/registries.conf", b"\xff");
    machine.why_unread("/etc/containers/registries.conf");
}

#[test]
fn a_folder_with_too_many_names_is_unread() {
    let machine = Machine::new();
    for at in 0..=MAX_NAMES {
        machine.write(&format!("etc/containers/registries.conf.d/{at}.conf"), b"");
    }
    assert!(machine.why_unread("/etc/containers/registries.conf.d").contains("more than 1024"));
}

#[test]
fn a_file_that_is_not_regular_is_not_opened() {
    let machine = Machine::new();
    fs::create_dir_all(machine.0.join("etc/docker/daemon.json")).unwrap();
    assert!(machine.why_unread("/etc/docker/daemon.json").contains("not a regular file"));
}

#[test]
fn a_link_is_followed_only_within_the_root() {
    let machine = Machine::new();
    machine.write("etc/docker/elsewhere.json", b"{}");
    symlink("elsewhere.json", machine.0.join("etc/docker/daemon.json")).unwrap();
    assert_eq!(look(&machine.0).text("/etc/docker/daemon.json"), Some("{}"));

    fs::create_dir_all(machine.0.join("etc/containers")).unwrap();
    symlink("/etc/hostname", machine.0.join("etc/containers/registries.conf")).unwrap();
    assert!(machine.why_unread("/etc/containers/registries.conf").contains("outside the root"));

    fs::create_dir_all(machine.0.join("etc/containerd")).unwrap();
    symlink("nowhere", machine.0.join("etc/containerd/config.toml")).unwrap();
    assert!(machine.why_unread("/etc/containerd/config.toml").contains("dangling"));
}

#[tokio::test]
async fn only_a_listening_server_is_reached() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = other.local_addr().unwrap();
    drop(other);
    let gate = "https://gate.invalid".parse().unwrap();
    let registries = [open, closed].map(|address| address.to_string().parse().unwrap());
    let reached = reach(&Question::new(vec![gate], &registries), BTreeSet::new()).await;
    let of = |address: std::net::SocketAddr| {
        let name = address.to_string();
        reached.iter().find(|(server, _)| *server == name).map(|(_, reach)| reach.clone()).unwrap()
    };
    assert_eq!(of(open), Reach::Open(open.ip()));
    assert!(matches!(of(closed), Reach::Closed(_)), "{reached:?}");
}

#[tokio::test]
async fn a_name_that_resolves_to_the_gates_address_is_the_gate() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gate = format!("http://{address}").parse().unwrap();
    let registry = format!("localhost:{}", address.port()).parse().unwrap();
    let reached = reach(&Question::new(vec![gate], &[registry]), BTreeSet::new()).await;
    assert_eq!(reached.first().map(|(_, reach)| reach), Some(&Reach::Gate));
}

#[test]
fn a_folder_repeated_in_config_path_is_read_once() {
    let machine = Machine::new();
    let path = "/srv/a:".repeat(50_000);
    let config =
        format!("[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"{path}\"\n");
    machine.write("etc/containerd/config.toml", config.as_bytes());
    for at in 0..100 {
        machine.write(&format!("srv/a/r{at}.example/hosts.toml"), b"# other");
    }
    let seen = look(&machine.0);
    assert!(containerd::roots(&seen) == ["/srv/a"]);
    assert_eq!(seen.text("/srv/a/r7.example/hosts.toml"), Some("# other"));
}

#[test]
fn folders_beyond_the_limit_are_reported_as_unread() {
    let machine = Machine::new();
    let path: String = (0..100).map(|at| format!("/srv/{at}:")).collect();
    let config =
        format!("[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"{path}\"\n");
    machine.write("etc/containerd/config.toml", config.as_bytes());
    machine.write("srv/16/docker.io/hosts.toml", b"# other");
    machine.write("etc/docker/certs.d/docker.io/hosts.toml", b"# docker");
    let seen = look(&machine.0);
    assert_eq!(seen.text("/etc/docker/certs.d/docker.io/hosts.toml"), Some("# docker"));
    assert!(machine.why_unread("/srv/16").contains("more than 16 folders"));
}

#[tokio::test]
async fn an_invalid_server_name_does_not_count_as_closed() {
    let gate = "https://gate.invalid".parse().unwrap();
    let question = Question::new(vec![gate], &["localhost:1".parse().unwrap()]);
    let reached = reach(&question, BTreeSet::from(["a b".to_owned()])).await;
    let odd = reached.iter().find(|(server, _)| server == "a b");
    assert!(matches!(odd, Some((_, Reach::Undecided(_)))), "{reached:?}");
}
