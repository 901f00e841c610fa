//! The audit file of a running gate: each decision is one complete line, also during constant rotation, and a full or
//! slow disk delays no client.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::engines::{Client, engines};
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::mount::small_disk;
use crate::process::wait_for;
use crate::requests;
use crate::site::OpenSite;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        each_decision_is_one_line_during_rotation_under_load,
        with_a_full_disk_pulls_continue_and_each_line_is_written_or_counted,
    ]
}

const ASKING: usize = 6;
const REQUESTS: usize = 250;

/// A gate that writes its audit file to `folder` and allows `library/app`.
fn gate(site: &OpenSite, folder: &Folder) -> Gate {
    let audit = format!(
        "\n[audit]\npath = \"{}\"\nmax_size = \"64KiB\"\nkeep = 500\n",
        folder.join("audit.jsonl").display()
    );
    Gate::start(0, "", &(site.config() + &audit), Clock::Machine)
}

fn request_id(reported: &Value) -> String {
    reported["request_id"].as_str().unwrap().to_owned()
}

/// The requests in the audit file and its rotated predecessors, each once.
fn written(folder: &Folder) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("audit.jsonl") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() <= 64 << 10 && text.ends_with('\n'), "{name}: {} bytes", text.len());
        for line in text.lines() {
            let reported: Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert_eq!(
                (&reported["message"], &reported["target"]),
                (&"verdict".into(), &"countersign::audit".into())
            );
            assert!(seen.insert(request_id(&reported)), "twice: {line}");
        }
    }
    seen
}

/// The requests in the log.
fn logged(log: &str) -> BTreeSet<String> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["message"] == "verdict").map(|event| request_id(&event)).collect()
}

fn each_decision_is_one_line_during_rotation_under_load() {
    let (site, folder) = (OpenSite::new(), Folder::new("audit"));
    engines().docker.push(&format!("{}/library/app:1", site.registry.name()), "recorded");
    let mut gate = gate(&site, &folder);
    thread::scope(|scope| {
        for _ in 0..ASKING {
            scope.spawn(|| {
                for _ in 0..REQUESTS {
                    assert_eq!(gate.manifest("library/app", "1").status, 200);
                    assert_eq!(
                        requests::head(&gate.url("/v2/library/app/manifests/1")).status,
                        200
                    );
                }
            });
        }
        let image = format!("{}/library/app:1", gate.name());
        for client in Client::all() {
            let said = client.pull(&image);
            assert!(said.ok(), "{}", said.all());
            client.forget(&image);
        }
    });
    assert_eq!(gate.metric("countersign_audit_lost_total"), 0);
    gate.terminate();
    assert!(gate.ended(Duration::from_secs(20)).unwrap().success());
    let written = written(&folder);
    assert!(written.len() > 2 * ASKING * REQUESTS, "{}", written.len());
    assert!(folder.join("audit.jsonl.10").exists());
    assert_eq!(written, logged(&gate.log()));
}

fn with_a_full_disk_pulls_continue_and_each_line_is_written_or_counted() {
    let (site, folder) = (OpenSite::new(), Folder::new("audit"));
    engines().docker.push(&format!("{}/library/app:1", site.registry.name()), "recorded");
    small_disk(folder.path(), 1 << 20);
    let mut gate = gate(&site, &folder);
    let pull = || assert_eq!(gate.manifest("library/app", "1").status, 200);
    let lost = || gate.metric("countersign_audit_lost_total");
    pull();

    let others = folder.join("of-another");
    let mut filling = File::create(&others).unwrap();
    while filling.write_all(&[0; 4096]).is_ok() {}
    // The last page of the file still has free space.
    wait_for("lost lines", Duration::from_secs(30), || {
        pull();
        (lost() > 0).then_some(())
    });
    (0..20).for_each(|_| pull());
    let reported = |words: &str| gate.log().matches(words).count();
    let (failed, again) = ("cannot write the audit file", "the audit file is writable again");
    assert_eq!((reported(failed), reported(again)), (1, 0), "{}", gate.log());

    fs::remove_file(others).unwrap();
    drop(filling);
    wait_for("the file to be writable again", Duration::from_secs(30), || {
        pull();
        (reported(again) == 1).then_some(())
    });
    assert_eq!(reported(failed), 1);
    // The last records are still in the queue.
    let counted = wait_for("all records to be written", Duration::from_secs(10), || {
        let counted = lost() as usize + written(&folder).len();
        (counted == logged(&gate.log()).len()).then_some(counted)
    });
    gate.terminate();
    assert!(gate.ended(Duration::from_secs(20)).unwrap().success());
    assert!(written(&folder).is_subset(&logged(&gate.log())));
    assert!(counted > 20);
}
