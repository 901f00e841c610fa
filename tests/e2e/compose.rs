//! `deploy/compose.yaml` and the `Dockerfile`, started by Debian's docker-compose on a docker daemon without network
//! access: the base images are stand-ins, and everything else comes from the repository or from them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::docker::{Cli, Daemon};
use crate::process::{every, must_within, run, tool, wait_for};
use crate::stand_in;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![the_compose_file_starts_a_site_that_serves_only_signed_images]
}

fn the_compose_file_starts_a_site_that_serves_only_signed_images() {
    let daemon = Daemon::start_in_its_own_network();
    let plain = daemon.cli();
    stand_in::debian(&plain, "debian:bookworm-slim");
    stand_in::rust(&plain, "debian:bookworm-slim", "rust:1-bookworm");
    let site = Compose { daemon: &daemon, plain: &plain };
    must_within(1800, site.command().args(["up", "--build", "--detach"]));

    let image = plain.must(&["inspect", "--format", "{{.Config.User}}", "e2e_gate"]);
    assert_eq!(image.trim(), "10001:10001", "the gate must not run as root");
    let signer = daemon.cli().trusting("https://localhost:4443", &site.authority());
    daemon.build("localhost:5000/library/app:1", "through compose");
    daemon.build("localhost:5000/library/app:unsigned", "signed by nobody");
    let digest = push(&signer, "localhost:5000/library/app:1");
    plain.must(&["push", "localhost:5000/library/app:unsigned"]);
    plain.must(&["rmi", "localhost:5000/library/app:1", "localhost:5000/library/app:unsigned"]);

    let pulled = wait_for("the gate to serve the signed image", Duration::from_secs(20), || {
        let said = plain.run(&["pull", "localhost:5050/library/app:1"]);
        said.ok().then_some(said.stdout)
    });
    assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    let printed = plain.must(&["run", "--rm", "localhost:5050/library/app:1"]);
    assert_eq!(printed, "through compose");
    let refused = plain.run(&["pull", "localhost:5050/library/app:unsigned"]);
    let sentence = "remote trust data does not exist for localhost:5000/library/app:unsigned";
    assert!(!refused.ok() && refused.all().contains(sentence), "{}", refused.all());
    site.is_watched();
    site.stops_in_time();
}

/// Pushes with `DOCKER_CONTENT_TRUST=1`; the Notary server may still be starting.
fn push(signer: &Cli, image: &str) -> String {
    let said = wait_for("the Notary server to accept a signature", Duration::from_secs(60), || {
        let mut push = signer.command();
        push.env("DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE", "a passphrase of the rig");
        push.env("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", "a passphrase of the rig");
        let said = run(push.args(["push", image]));
        said.all().contains("Successfully signed").then_some(said.stdout)
    });
    let digest = said.split("digest: ").nth(1).and_then(|rest| rest.split(' ').next());
    digest.unwrap_or_else(|| panic!("no digest: {said}")).to_owned()
}

/// The project. Dropping it removes it with its volumes.
struct Compose<'a> {
    daemon: &'a Daemon,
    plain: &'a Cli,
}

impl Compose<'_> {
    fn command(&self) -> Command {
        let program = every("docker-compose").into_iter().next();
        let program =
            program.expect("`docker-compose` is not installed: apt-get install docker-compose");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose.yaml");
        let mut command = self.daemon.command(&program);
        // Not a release build: this tests the Dockerfile.
        command
            .env("PROFILE", "dev")
            .env("COMPOSE_DOCKER_CLI_BUILD", "0")
            .env("DOCKER_BUILDKIT", "0");
        command.args(["--project-name", "e2e", "--file"]).arg(file);
        command
    }

    /// The certificate of the project's authority.
    fn authority(&self) -> String {
        let cat = ["run", "--rm", "--volume", "e2e_tls:/tls:ro", "debian:bookworm-slim"];
        self.plain.must(&[&cat[..], &["cat", "/tls/ca.crt"]].concat())
    }

    /// Checks that Prometheus reads the gate's metrics and has loaded the alert rules.
    fn is_watched(&self) {
        let ask = |what: &str| {
            let mut curl = self.daemon.command(Path::new(tool("curl", "curl").get_program()));
            run(curl.args(["--silent", &format!("http://127.0.0.1:9090/api/v1/{what}")])).stdout
        };
        wait_for("Prometheus to read the gate's metrics", Duration::from_secs(60), || {
            ask("query?query=up").contains("\"1\"]").then_some(())
        });
        let rules = ask("rules");
        assert!(
            rules.contains("CountersignTrustExpired") && !rules.contains("\"health\":\"err\""),
            "{rules}"
        );
    }

    /// Checks that the gate is the first process of its container, and ends on request.
    fn stops_in_time(&self) {
        must_within(60, self.command().args(["stop", "--timeout", "30", "gate"]));
        let status = ["inspect", "--format", "{{.State.ExitCode}}", "e2e_gate_1"];
        assert_eq!(self.plain.must(&status).trim(), "0");
    }
}

impl Drop for Compose<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", run(self.command().args(["logs", "--tail", "30"])).all());
        }
        run(self.command().args(["down", "--volumes", "--timeout", "5"]));
    }
}
