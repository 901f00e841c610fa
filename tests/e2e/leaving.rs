//! The guide `docs/leaving-content-trust.md`, command by command, with docker and Content Trust, notary, cosign and
//! notation.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::go_tools::on_path;
use crate::notary::Keys;
use crate::process::{Said, run, same};
use crate::site::Site;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![the_guide_leads_from_content_trust_to_cosign]
}

const GUIDE: &str = include_str!("../../docs/leaving-content-trust.md");
const REGISTRY: &str = "registry.example.com";

/// The blocks of the guide in that language, in their order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    GUIDE.split(&fence).skip(1).map(|rest| rest.split("```\n").next().unwrap()).collect()
}

/// The reader of the guide, in the folder with `countersign.toml`.
struct Reader {
    /// The names in the guide, and those of this test.
    names: [(&'static str, String); 3],
    shell: Command,
    folder: PathBuf,
}

impl Reader {
    /// A text of the guide with the names of this test.
    fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    /// Runs every block of commands in one shell session, and returns what each printed.
    fn follow(&self) -> Vec<Said> {
        let follow = |block: &&str| {
            let block = self.here(block);
            // The variables of one block are those of the next.
            let script = format!(
                "set -eua; [ ! -e variables ] || . ./variables\n{block}\nexport -p > variables\n"
            );
            let mut command = same(&self.shell);
            let said = run(command.current_dir(&self.folder).args(["-c", &script]));
            assert!(said.ok(), "{block}\n{}", said.all());
            if block.contains("trust freeze") {
                self.freeze(&said.stdout);
            }
            said
        };
        blocks("sh").iter().map(follow).collect()
    }

    /// Writes `frozen.toml` with the keys that `trust freeze` printed, in place of those of the server.
    fn freeze(&self, printed: &str) {
        let is_key = |line: &&str| {
            ["frozen", "frozen_sha256", "until"]
                .contains(&line.split(" = ").next().unwrap_or_default())
        };
        let keys: Vec<&str> = printed.lines().filter(is_key).collect();
        assert_eq!(keys.len(), 3, "{printed}");
        let before = self.read("countersign.toml");
        let (rest, anchor) = before.split_once("[[anchor]]").unwrap();
        let of_server = |line: &&str| {
            let key = line.split(" = ").next().unwrap_or_default();
            ["url", "ca", "refresh", "max_stale"].contains(&key)
        };
        let anchor: Vec<&str> = anchor.lines().filter(|line| !of_server(line)).collect();
        let (name, others) = anchor
            .join("\n")
            .split_once("\nroot_keys")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let text = format!("{rest}[[anchor]]{name}\n{}\nroot_keys{others}\n", keys.join("\n"));
        self.write("frozen.toml", &text);
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = std::fs::File::create(self.folder.join(name)).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// Writes `both.toml` and `after.toml` as the guide describes: without the old rule, and without the old anchor.
    fn write_configurations(&self) {
        let before = self.read("countersign.toml");
        let rest = before.split("[[rule]]").next().unwrap();
        let without_anchor = rest.split("[[anchor]]").next().unwrap();
        let [both, after] = blocks("toml")[..] else {
            panic!("the guide has other configurations")
        };
        let write = |name: &str, text: &str| self.write(name, text);
        write("before.toml", &before);
        write("both.toml", &format!("{rest}\n{}", self.here(both)));
        write("after.toml", &format!("{without_anchor}\n{}", self.here(after)));
    }
}

fn the_guide_leads_from_content_trust_to_cosign() {
    let mut site = Site::new(Keys::InServer);
    let (image, signer) = (site.image("team/app:1"), site.signer());
    let old = signer.push(&site.image("team/app:0"), "signed long ago");
    let digest = signer.push(&image, "signed before the shutdown");
    assert!(signer.docker(&["pull", &image], "0").ok());
    let config = site.config(&[&signer.root_key_id()], "refresh = \"1s\"\nmax_stale = \"0s\"");
    let config = config.replace("\"team\"", "\"release-team\"");
    let audited = format!("[audit]\npath = \"audit.log\"\n\n{config}");
    let gate = Gate::start(0, "", &audited, Clock::Machine);
    gate.comes_to("team/app", "0", Ok(&old));
    gate.comes_to("team/app", "1", Ok(&digest));

    let home = Folder::new("leaving");
    let path = on_path(&home, &[("cosign-v3", "cosign"), ("notation", "notation")]);
    let folder = gate.config().parent().unwrap().to_owned();
    let reader = Reader {
        names: [
            (REGISTRY, site.registry.name()),
            ("https://notary.example.com", site.notary.url()),
            ("http://127.0.0.1:5051", gate.admin("")),
        ],
        shell: shell(signer.shell(&home.join("bin")), &home, &path),
        folder,
    };
    reader.write_configurations();
    let said = reader.follow();
    // What the block with these words printed.
    let printed = |words: &str| {
        let at = blocks("sh").iter().position(|block| block.contains(words)).unwrap();
        said[at].stdout.as_str()
    };
    has(printed("trust inventory --from-audit"), &[&old, "0 of 2 digests have another signature"]);
    has(&reader.read("inventory.csv"), &[&old, &digest]);
    has(
        printed("cat sign.sh"),
        &["set -eu", &format!("@{old}'  # 0"), &format!("@{digest}'  # 1 2")],
    );
    let repository = site.image("team/app");
    let mut list = [&old, &digest].map(|digest| format!("{repository}@{digest}\n"));
    list.sort();
    assert_eq!(reader.read("digests.txt"), list.concat());
    let both = printed("replay --config both.toml");
    has(both, &["other   ci, platform", "2 of 2 digests have another signature"]);
    has(both, &["would deny 0 of", "# Admitted by Notary v1 alone", "pulls by release-team"]);
    assert!(!both.contains("depend on Notary v1 alone"), "{both}");
    has(printed("/metrics"), &["countersign_notaryv1_alone_total{anchor=\"release-team\"}"]);
    has(printed("replay --config after.toml"), &["would deny 0 of", "verdict   admitted"]);

    // The shutdown: nothing that the gate served depends on the Notary server.
    signer.docker(&["rmi", &image, &site.image("team/app:2")], "0");
    site.notary.stop();
    let log = reader.folder.join("audit.log");
    let why = |config: &str| gate.command(&["why", &image], &reader.folder.join(config));
    assert_eq!(why("before.toml").status.code(), Some(4), "{}", why("before.toml").all());
    assert!(why("frozen.toml").ok(), "{}", why("frozen.toml").all());
    assert!(why("both.toml").ok() && why("countersign.toml").ok(), "{}", why("both.toml").all());
    let replayed =
        gate.command(&["replay", log.to_str().unwrap()], &reader.folder.join("countersign.toml"));
    assert!(replayed.ok(), "{}", replayed.all());
}

/// The reader's shell: the programs of the guide on its PATH, and no way out of this machine.
fn shell(mut shell: Command, home: &Folder, path: &OsString) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_countersign"));
    std::os::unix::fs::symlink(program, home.join("bin/countersign")).unwrap();
    shell.env("PATH", path).env("XDG_CONFIG_HOME", home.path()).env("COSIGN_PASSWORD", "");
    shell.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "localhost,127.0.0.1");
    shell.env_remove("COUNTERSIGN_CONFIG");
    shell
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "{words}: {text}");
    }
}
