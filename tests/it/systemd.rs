//! Notifications to the service manager, by a process that has the manager's socket in its environment.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::folder::Folder;

/// A gate, and the service manager that it reports to.
struct Service {
    manager: UnixDatagram,
    gate: Child,
    _folder: Folder,
}

impl Service {
    fn start() -> Self {
        let folder = Folder::new("service");
        let socket = folder.join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let config = folder.write(
            "countersign.toml",
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
             [[upstream]]\nregistry = \"registry.example.com\"\n",
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("serve").arg("--config").arg(config).env("NOTIFY_SOCKET", &socket);
        let gate = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { manager, gate, _folder: folder }
    }

    /// The next message of the gate.
    fn summary(&self) -> String {
        let mut reported = [0; 1024];
        let length = self.manager.recv(&mut reported).unwrap();
        String::from_utf8(reported[..length].to_vec()).unwrap()
    }

    fn signal(&self, signal: &str) {
        let id = self.gate.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.gate.kill();
        let _ = self.gate.wait();
    }
}

#[test]
fn the_service_manager_is_notified_of_start_reload_and_stop() {
    let mut service = Service::start();
    let ready = service.summary();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.contains("\nSTATUS=listening on http://127.0.0.1:"), "{ready}");

    service.signal("HUP");
    let reloading = service.summary();
    assert!(reloading.starts_with("RELOADING=1\n"), "{reloading}");
    // Without it, `Type=notify-reload` ignores the message.
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(service.summary(), ready);

    service.signal("TERM");
    assert_eq!(service.summary().trim_end(), "STOPPING=1");
    assert!(service.gate.wait().unwrap().success());
}
