//! The commands from a shell: their output and exit status.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use countersign::clock::Timestamp;
use countersign::oci::{Digest, RepositoryRef, Tag};
use countersign::trust::tags::{IfOlder, Need, Needs, TagHistory};

/// The exit statuses of each command in the contract.
const COMMANDS: [(&str, &[&str]); 12] = [
    ("serve", &["--config <FILE>", "SIGTERM", "SIGHUP", "Exit status: 0; 2 ", "1 any other error"]),
    ("check", &["--config <FILE>", "Exit status: 0 valid, also with warnings; 2 invalid"]),
    (
        "why",
        &[
            "--config <FILE>",
            "--gate <URL>",
            "<IMAGE>",
            "--json",
            "0 admitted; 3 refused or absent; 4 undecided",
        ],
    ),
    (
        "denials",
        &["--config <FILE>", "--gate <URL>", "--since <TIME>", "--json", "Exit status: 0; 2 "],
    ),
    ("forget", &["--config <FILE>", "<IMAGE>", "Exit status: 0, ", "Example: countersign forget "]),
    (
        "client-config",
        &["--gate <URL>", "--registry <NAME>", "--ca <FILE>", "Exit status: 0; 2 ", "Examples:"],
    ),
    (
        "doctor",
        &[
            "--gate <URL>",
            "--no-connect",
            "--root",
            "--json",
            "0 no bypass; 3 a bypass was found; 1 ",
            "Examples:",
        ],
    ),
    (
        "exempt",
        &["--reason <TEXT>", "--for <TIME>", "--end", "--list", "Exit status: 0; 2 ", "Examples: "],
    ),
    ("replay", &["--config <FILE>", "--json", "0 no served pull would be denied", "Examples: "]),
    ("learn", &["--config <FILE>", "Exit status: 0; 2 ", "Example: countersign learn "]),
    ("trust", &["inspect", "inventory", "export", "Example: countersign trust inspect --pretty "]),
    ("demo", &["--once", "Exit status: 0; with --once, 1 if a verdict is not the expected one"]),
];

pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn countersign(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A configuration file of one test, removed with it.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("countersign-{name}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn help_names_every_command_and_its_exit_statuses() {
    let all = countersign(&["--help"]);
    assert_eq!((all.status, all.stderr.as_str()), (Some(0), ""));
    assert!(all.stdout.contains("Examples:\n"), "{}", all.stdout);
    for line in all.stdout.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    for (command, promised) in COMMANDS {
        assert!(all.stdout.contains(&format!("\n  {command} ")), "{command}: {}", all.stdout);
        let help = countersign(&[command, "--help"]);
        assert_eq!((help.status, help.stderr.as_str()), (Some(0), ""), "{command}");
        // Independent of the width of the terminal.
        let text = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("Example: ") || text.contains("Examples: "), "{command}: {text}");
        for words in promised {
            assert!(text.contains(words.trim()), "{command}, {words}: {}", help.stdout);
        }
    }
    let version = countersign(&["--version"]);
    assert_eq!(version.stdout, concat!("countersign ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn check_prints_a_summary_of_the_example() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let said = countersign(&["check", "--config", example.to_str().unwrap()]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    for word in ["http://127.0.0.1:5050", "registry.example.com", "release-team", "are denied"] {
        assert!(said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    let store = example.with_file_name("countersign-store");
    assert!(said.stdout.contains(store.to_str().unwrap()), "{}", said.stdout);
}

#[test]
fn check_prints_the_mirror_and_another_status() {
    let text = "[server]\nlisten = \"127.0.0.1:5050\"\ndenial_status = 403\n\
                [mirror]\nlisten = \"127.0.0.1:5052\"\ntls_cert = \"m.crt\"\ntls_key = \"m.key\"\n\
                [store]\npath = \"nowhere\"\n[[upstream]]\nregistry = \"registry.example.com\"\n";
    let file = ConfigFile::new("mirror", text);
    let said = countersign(&["check", "--config", file.path()]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    for line in [
        "listens   http://127.0.0.1:5050, and denies with 403\n",
        "mirror    https://127.0.0.1:5052: denials keep clients from falling back to another registry",
    ] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
}

#[test]
fn check_prints_every_error_with_its_place_and_exits_with_2() {
    let file = ConfigFile::new("broken", "[server]\nlisten = 5050\n\n[store]\npaht = \"x\"\n");
    for command in [
        vec!["check", "--config", file.path()],
        vec!["serve", "--config", file.path()],
        vec!["why", "registry.example.com/a:1", "--config", file.path()],
        vec!["forget", "registry.example.com/a:1", "--config", file.path()],
    ] {
        let said = countersign(&command);
        assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{}", said.stderr);
        for (line, words) in [
            (1, "at least one [[upstream]] is required"),
            (2, "`server.listen`: expected a string in quotes, found 5050"),
            (4, "`store`: set `path`"),
            (5, "`store.paht`: unknown key; did you mean `path`?"),
        ] {
            let place = format!("{}:{line}: ", file.path());
            let reported =
                said.stderr.lines().any(|said| said.contains(&place) && said.contains(words));
            assert!(reported, "{line}, {words}: {}", said.stderr);
        }
        assert_eq!(said.stderr.lines().count(), 4, "{}", said.stderr);
    }
}

#[test]
fn an_unknown_command_or_invalid_image_is_an_error() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let example = example.to_str().unwrap();
    for wrong in [
        vec!["admit"],
        vec!["check"],
        vec!["check", "--config", "/nowhere/countersign.toml"],
        vec!["why", "--config", example],
        vec!["why", "registry.example.com/a:1"],
        vec!["why", "no image at all", "--gate", "http://127.0.0.1:5051"],
        vec!["why", "registry.example.com/a:1", "--gate", "http://x", "--config", example],
        vec!["why", "no image at all", "--config", example],
        vec!["forget", "no image at all", "--config", example],
        vec!["forget", "elsewhere.example.com/a:1", "--config", example],
        vec!["client-config", "podman"],
        vec!["client-config", "rkt", "--gate", "https://gate.example.com"],
        vec!["client-config", "podman", "--gate", "http://gate.example.com"],
        vec!["client-config", "podman", "--gate", "https://gate.example.com", "--ca", "ca.crt"],
        vec!["client-config", "egress", "--gate", "https://gate.example.com"],
        vec!["doctor", "--no-connect"],
        vec!["doctor", "--gate", "gate.example.com"],
    ] {
        let said = countersign(&wrong);
        assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(!said.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn why_explains_a_refusal_by_no_rule_and_exits_with_3() {
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"nowhere\"\n\
                [[upstream]]\nregistry = \"registry.example.com\"\n";
    let file = ConfigFile::new("no-rule", text);
    let why = ["why", "registry.example.com/library/app:1", "--config", file.path()];
    let said = countersign(&why);
    assert_eq!(said.status, Some(3), "{}", said.stderr);
    assert!(said.stdout.contains("refused (no_rule)"), "{}", said.stdout);
    let json = countersign(&[&why[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["verdict"], &json["reason"]), (&"refused".into(), &"no_rule".into()));
    // A read-only command stores nothing.
    assert!(!file.0.with_file_name("nowhere").exists());
}

#[test]
fn the_configuration_is_found_without_an_option() {
    let text = "[server]\nlisten = \"127.0.0.1:5050\"\n[store]\npath = \"nowhere\"\n\
                [[upstream]]\nregistry = \"registry.example.com\"\ndefault = true\n";
    let folder = crate::folder::Folder::new("config-default");
    folder.write("countersign.toml", text);
    let other = ConfigFile::new("variable", &text.replace("5050", "5055"));
    let check = |variable: Option<&str>, folder: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("check").current_dir(folder).env_remove("COUNTERSIGN_CONFIG");
        command.envs(variable.map(|file| ("COUNTERSIGN_CONFIG", file)));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (status, said) = check(None, &folder.join(""));
    assert!(status == Some(0) && said.contains("127.0.0.1:5050"), "{said}");
    let (status, said) = check(Some(other.path()), &folder.join(""));
    assert!(status == Some(0) && said.contains("127.0.0.1:5055"), "{said}");
    // The error names the file that was used.
    let (status, said) = check(Some("/nowhere/gate.toml"), &folder.join(""));
    assert!(status == Some(2) && said.contains("/nowhere/gate.toml"), "{said}");
    let empty = crate::folder::Folder::new("config-none");
    let (status, said) = check(None, &empty.join(""));
    assert!(status == Some(2) && said.contains("/etc/countersign/countersign.toml"), "{said}");
}

#[test]
fn why_accepts_every_name_that_clients_show_and_distinguishes_no_upstream_from_no_rule() {
    let text = "[server]\nlisten = \"127.0.0.1:5050\"\n[store]\npath = \"nowhere\"\n\
                [[upstream]]\nregistry = \"registry.example.com\"\ndefault = true\n";
    let file = ConfigFile::new("called", text);
    let why = |image: &str| {
        let said = countersign(&["why", image, "--config", file.path(), "--json"]);
        assert_eq!(said.status, Some(3), "{image}: {}", said.stderr);
        serde_json::from_str::<serde_json::Value>(&said.stdout).unwrap()
    };
    for name in
        ["registry.example.com/team/app:1", "team/app:1", "gate.example.com:5050/team/app:1"]
    {
        let reported = why(name);
        assert_eq!(reported["image"], "registry.example.com/team/app:1", "{name}");
        assert_eq!(reported["reason"], "no_rule", "{name}");
    }
    let reported = why("quay.io/team/app:1");
    assert_eq!(
        (&reported["verdict"], reported.get("reason")),
        (&"missing".into(), None),
        "{reported}"
    );
    assert_eq!(reported["because"], "no upstream is configured for quay.io");
}

#[test]
fn why_names_the_gate_that_does_not_answer_and_exits_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let said = countersign(&["why", "registry.example.com/a:1", "--gate", &gate]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    assert!(said.stderr.contains(&gate) && said.stderr.contains("[admin]"), "{}", said.stderr);
}

#[test]
fn trust_inspect_of_an_image_without_notary_names_the_right_command() {
    let key = crate::attached::MINE.pem();
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"nowhere\"\n\
                [[upstream]]\nregistry = \"registry.example.com\"\n\
                [[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"KEY\"]\n\
                [[rule]]\nimages = [\"**\"]\nrequire = [\"ci\"]\n";
    let key = ConfigFile::new("inspect-key", &key);
    let file = ConfigFile::new("inspect", &text.replace("KEY", key.path()));
    let image = "registry.example.com/library/app:1";
    for form in [&[][..], &["--pretty"]] {
        let said =
            countersign(&[&["trust", "inspect", image, "--config", file.path()], form].concat());
        assert_eq!((said.status, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
        for words in ["notaryv1", "`countersign why registry.example.com/library/app:1 --config "] {
            assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
        }
    }
    let said = countersign(&["trust", "inspect", "no image at all", "--config", file.path()]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{}", said.stderr);
}

#[test]
fn forget_prints_the_removed_entry_or_that_there_was_none() {
    let store = std::env::temp_dir().join(format!("countersign-forget-{}", std::process::id()));
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {store:?}\n\
         [[upstream]]\nregistry = \"registry.example.com\"\n"
    );
    let file = ConfigFile::new("forget", &text);
    let forget = |image: &str| countersign(&["forget", image, "--config", file.path()]);
    let said = forget("registry.example.com/app");
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(said.stdout, "nothing was remembered of registry.example.com/app:latest\n");
    // Removing an entry creates no file.
    assert!(!store.exists());

    let digest = Digest::of(b"one");
    let repository = "registry.example.com/app".parse().unwrap();
    let (tag, now) = ("latest".parse().unwrap(), Timestamp::from_unix(0));
    let memory = TagHistory::open(&store).unwrap();
    let needs: Needs = Arc::new(|_: &RepositoryRef, _: &Tag| Need::Required);
    let key = (&repository, &tag);
    let noted = memory.note(key, &digest, Some(now), now, IfOlder::Record, &needs);
    tokio::runtime::Runtime::new().unwrap().block_on(noted).unwrap();
    let said = forget("registry.example.com/app");
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    for words in [
        "forgot registry.example.com/app:latest: its digest was",
        &digest.to_string(),
        "1970-01-01",
    ] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
    assert!(said.stderr.contains("countersign::forget"), "{}", said.stderr);
    assert_eq!(memory.recall(&repository, &tag).unwrap(), None);
    std::fs::remove_dir_all(&store).unwrap();
}

#[test]
fn forget_explains_why_it_rejects_a_digest() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let image = format!("registry.example.com/app@{}", Digest::of(b"one"));
    let said = countersign(&["forget", &image, "--config", example.to_str().unwrap()]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.contains("remembers tags and not digests"), "{}", said.stderr);
}

#[test]
fn a_gate_whose_audit_file_cannot_be_written_does_not_start() {
    let store = std::env::temp_dir().join(format!("countersign-audit-{}", std::process::id()));
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {store:?}\n[audit]\npath = \"/nowhere/audit\"\n\
         [[upstream]]\nregistry = \"registry.example.com\"\n"
    );
    let file = ConfigFile::new("audit", &text);
    let said = countersign(&["check", "--config", file.path()]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("audit     /nowhere/audit, "), "{}", said.stdout);
    let said = countersign(&["serve", "--config", file.path()]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    for words in ["/nowhere/audit", "[audit] path"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    std::fs::remove_dir_all(store).unwrap();
}

#[test]
fn check_reports_anchors_that_one_key_satisfies() {
    let key = concat!(
        "-----BEGIN PUBLIC KEY-----\n",
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n",
        "-----END PUBLIC KEY-----\n"
    );
    let pem = ConfigFile::new("shared-key", key);
    let anchor = |name: &str| {
        format!("[[anchor]]\nname = {name:?}\nscheme = \"cosign\"\nkeys = [{:?}]\n", pem.path())
    };
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"nowhere\"\n\
         [[upstream]]\nregistry = \"registry.example.com\"\n{}{}\
         [[rule]]\nimages = [\"registry.example.com/**\"]\nany_of = [\"one\", \"two\"]\nthreshold = 2\n",
        anchor("one"),
        anchor("two")
            + "not_after = 2027-01-31\nmax_age = \"90d\"\nsigned_identity = \"repository\"\n"
    );
    let file = ConfigFile::new("shared-anchors", &text);
    let said = countersign(&["check", "--config", file.path()]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    for words in [
        "warning   registry.example.com/**: one and two have the same key; one signer counts once",
        "two [cosign] signatures by 1 key, made for the image's own repository; only if signed until \
         2027-01-31T23:59:59Z; only if signed within the last 90d",
    ] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
}
