//! `bundle import` is killed, also in the gate that does the work, and the memory that the commands need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::image::Image;
use crate::process::{free_port, must, run, tool, wait_for};
use crate::random::Random;
use crate::registry::{Registry, digest_of};
use crate::requests;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        a_killed_import_has_imported_each_image_completely_or_not_at_all,
        an_import_in_a_gate_that_is_killed_continues,
        the_commands_need_little_memory_for_large_content,
    ]
}

const NAME: &str = "registry.example.com";
const IMAGES: usize = 8;
/// In bytes.
const LAYER: usize = 2 << 20;
/// How much memory the commands may need for more content, in KiB.
const GROWTH: u64 = 64 << 10;

/// A bundle of some images, and the images.
struct Carried {
    path: PathBuf,
    images: Vec<Image>,
    _folder: Folder,
}

/// A gate of this registry; it has only bundles if `url` is empty.
fn gate(url: &str) -> Gate {
    let source = match url {
        "" => "bundles = \"incoming/*.tar\"".to_owned(),
        url => format!("url = \"{url}\""),
    };
    let config = format!(
        "[[upstream]]\nregistry = \"{NAME}\"\n{source}\ndefault = true\n\n\
         [[rule]]\nimages = [\"{NAME}/**\"]\nmode = \"allow\"\nreason = \"the test is about bytes only\"\n"
    );
    let gate = Gate::prepare(free_port(), "", "", &config, Clock::Machine);
    fs::create_dir(gate.config().with_file_name("incoming")).unwrap();
    gate
}

fn countersign(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).arg("--config").arg(config);
    command
}

fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn carried() -> Carried {
    let content = Folder::new("content");
    let registry = Registry::start(content.path());
    let images: Vec<Image> =
        (0..IMAGES).map(|number| Image::new(&number.to_string(), LAYER + number)).collect();
    let mut names = Vec::new();
    for (number, image) in images.iter().enumerate() {
        image.push(&registry, "library/app", &number.to_string());
        names.push(format!("{NAME}/library/app@{}", digest_of(&image.manifest)));
    }
    let folder = Folder::new("bundle");
    let (path, exporter) = (folder.join("images.tar"), gate(&registry.url()));
    let mut create = vec!["bundle", "create", "-o", path.to_str().unwrap(), "--image"];
    create.extend(names.iter().map(String::as_str));
    must(&countersign(&create, &exporter.config()));
    Carried { path, images, _folder: folder }
}

impl Carried {
    fn import(&self, gate: &Gate) -> Command {
        countersign(&["bundle", "import", self.path.to_str().unwrap()], &gate.config())
    }

    /// The images whose manifest is in the store. Everything in the store has its digest, and each of these images is
    /// complete.
    fn imported_to(&self, store: &Path) -> usize {
        let file = |content: &Bytes| {
            let hex = digest_of(content).trim_start_matches("sha256:").to_owned();
            store.join("content/sha256").join(&hex[..2]).join(hex)
        };
        let is_there = |content: &Bytes| match fs::read(file(content)) {
            Ok(found) => {
                assert!(found == *content, "{} has other content", file(content).display());
                true
            }
            Err(_) => false,
        };
        let imported = self.images.iter().filter(|image| is_there(&image.manifest));
        imported.inspect(|image| assert!(is_there(&image.config) && is_there(&image.layer))).count()
    }

    /// Every image comes from the gate, which has no other source than its store.
    fn all_come_from(&self, gate: &Gate) {
        for image in &self.images {
            let digest = digest_of(&image.manifest);
            let answer = gate.manifest("library/app", &digest);
            assert_eq!((answer.status.as_u16(), answer.body), (200, image.manifest.clone()));
            for blob in [&image.config, &image.layer] {
                let url = gate.url(&format!("/v2/library/app/blobs/{}", digest_of(blob)));
                assert!(requests::get(&url).body == *blob, "{url}");
            }
        }
    }
}

fn a_killed_import_has_imported_each_image_completely_or_not_at_all() {
    let (carried, mut gate) = (carried(), gate(""));
    let (mut kills, mut partial) = (0, 0);
    for round in 1..=100 {
        let mut import = started(&mut carried.import(&gate));
        thread::sleep(Duration::from_millis(50 * round));
        let ended = import.try_wait().unwrap();
        import.kill().unwrap();
        import.wait().unwrap();
        let imported = carried.imported_to(&gate.store());
        if ended.is_some_and(|status| status.success()) {
            assert_eq!(imported, IMAGES);
            break;
        }
        assert!(ended.is_none(), "the import failed: {ended:?}");
        kills += 1;
        partial += usize::from((1..IMAGES).contains(&imported));
    }
    eprintln!("{kills} kills, {partial} of them between two images");
    assert!(kills > 2);
    must(&carried.import(&gate));
    gate.run();
    carried.all_come_from(&gate);
}

fn an_import_in_a_gate_that_is_killed_continues() {
    let (carried, mut gate) = (carried(), gate(""));
    gate.run();
    let mut import = started(&mut carried.import(&gate));
    // The request is gone when the gate begins.
    let begun = || {
        fs::read_dir(gate.store().join("import")).ok().and_then(|found| {
            let mut names = found.flatten().map(|entry| entry.file_name());
            names.find(|name| name.to_string_lossy().ends_with(".started"))
        })
    };
    wait_for("the gate to begin the import", Duration::from_secs(20), begun);
    gate.kill();
    let status = import.wait().unwrap();
    assert_eq!(status.code(), Some(1), "the command did not notice the end of the gate");
    let imported = carried.imported_to(&gate.store());
    gate.run();
    // It serves what is complete, and nothing of the other images.
    let served = carried.images.iter().filter(|image| {
        let answer = gate.manifest("library/app", &digest_of(&image.manifest));
        answer.status == 200
    });
    assert_eq!(served.count(), imported);
    must(&carried.import(&gate));
    carried.all_come_from(&gate);
    let left = fs::read_dir(gate.store().join("import")).unwrap().count();
    assert_eq!(left, 0, "files of the request are left over");
}

/// The most resident memory of a command, in KiB. It must succeed.
fn most_memory(mut command: Command) -> u64 {
    let mut child = started(&mut command);
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(now.unwrap_or_default());
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{command:?}: {ended}");
            return most;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn the_commands_need_little_memory_for_large_content() {
    let content = Folder::new("content");
    let registry = Registry::start(content.path());
    let exporter = gate(&registry.url());
    let size = std::env::var("E2E_BUNDLE_MIB").ok().and_then(|size| size.parse().ok());
    let size: usize = size.unwrap_or(192) << 20;
    let folder = Folder::new("bundle");
    let mut figures = Vec::new();
    for (tag, size) in [("small", 1 << 10), ("large", size)] {
        let image = Image::of(Random::new(7).content(size));
        image.push(&registry, "library/app", tag);
        let (path, receiver) = (folder.join(&format!("{tag}.tar")), gate(""));
        let (path, name) = (path.to_str().unwrap(), format!("{NAME}/library/app:{tag}"));
        drop(image);
        let create = ["bundle", "create", "-o", path, "--image", &name];
        figures.push([
            most_memory(countersign(&create, &exporter.config())),
            most_memory(countersign(&["bundle", "verify", path], &receiver.config())),
            most_memory(countersign(&["bundle", "import", path], &receiver.config())),
        ]);
        // A terminal shows the progress.
        if tag == "small" {
            let mut shown = tool("script", "bsdutils");
            let program = env!("CARGO_BIN_EXE_countersign");
            let config = exporter.config();
            let line = format!("{program} {} --config {}", create.join(" "), config.display());
            let said = run(shown.args(["-qec", &line, "/dev/null"]));
            assert!(said.stdout.contains("checked 1 of 1 images"), "{}", said.all());
            assert!(said.stdout.contains("\rwrote 0 of 0 MiB"), "{}", said.all());
        }
    }
    let [small, large] = &figures[..] else { unreachable!() };
    eprintln!(
        "create, verify, import: {small:?} KiB for a small image, {large:?} KiB for a large one"
    );
    for (small, large) in small.iter().zip(large) {
        assert!(large.saturating_sub(*small) < GROWTH, "{small} KiB, then {large} KiB");
    }
}
