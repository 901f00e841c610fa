//! Each long-lived task of a gate is killed once: it restarts and the restart is counted, or the gate ends.

use std::time::{Duration, Instant};

use countersign::tasks::Task;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpStream;

use crate::whole_gate::{Setup, World};

const PATIENCE: Duration = Duration::from_secs(30);

const TABLES: &str = r#"
[audit]
path = "audit.log"

[[rule]]
images = ["registry.example.com/**"]
mode = "allow"
reason = "tasks are tested, not trust"
"#;

/// Waits until the gate logs that it restarted `task`.
async fn restarted(world: &World, task: Task) {
    let line = format!("countersign_task_restarts_total{{task=\"{}\"}} 1", task.name());
    let start = Instant::now();
    while !world.metrics().await.lines().any(|counted| counted == line) {
        assert!(start.elapsed() < PATIENCE, "{} was not restarted", task.name());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_failed_task_is_restarted_or_ends_the_gate() {
    let mut world = World::of(Setup::new(TABLES)).await;
    world.push("v1", "layer");
    for task in Task::ALL {
        match task {
            Task::ClientListener
            | Task::MirrorListener
            | Task::AdminListener
            | Task::TrustRefresh
            | Task::Exemptions
            | Task::StoreUpkeep
            | Task::StoreFolder
            | Task::Imports
            | Task::AuditFile => {
                world.supervisor().kill(task);
                restarted(&world, task).await;
            }
            Task::TagHistory => {
                world.supervisor().kill(task);
                let failed = tokio::time::timeout(PATIENCE, world.supervisor().failed()).await;
                assert_eq!(failed.unwrap(), task);
            }
            // Tested below, and in `cli::serve`, the only one that reloads.
            Task::ClientCertificate | Task::MirrorCertificate | Task::Reload => {}
        }
    }
    assert_eq!(world.pull("v1").await.status, 200);
    assert!(TcpStream::connect(world.mirror_address()).await.is_ok());
    world.stop().await;
    let audit = std::fs::read_to_string(world.store().with_file_name("audit.log")).unwrap();
    assert_eq!(audit.lines().count(), 1, "{audit}");
}

#[tokio::test]
async fn a_failed_certificate_watcher_is_restarted() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let setup = Setup::new(TABLES)
        .file("server.crt", cert.pem())
        .file("server.key", signing_key.serialize_pem())
        .server("tls_cert = \"server.crt\"\ntls_key = \"server.key\"");
    let mut world = World::of(setup).await;
    world.supervisor().kill(Task::ClientCertificate);
    restarted(&world, Task::ClientCertificate).await;
    world.stop().await;
}
