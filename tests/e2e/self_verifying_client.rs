//! A client with `DOCKER_CONTENT_TRUST=1` verifies for itself through a gate that has the registry's name, as on an
//! air-gapped site.

use bytes::Bytes;
use http::Method;

use crate::engines::engines;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::notary::{Keys, Notary};
use crate::process::free_port;
use crate::registry::Registry;
use crate::requests::{get_over_tls, send};
use crate::signer::Signer;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![a_client_verifies_signatures_itself_through_the_gate]
}

fn a_client_verifies_signatures_itself_through_the_gate() {
    let (engines, notary) = (engines(), Notary::start(Keys::InServer));
    let (content, port) = (Folder::new("content"), free_port());
    let mut registry = Registry::start_at(port, content.path());
    let signer = Signer::new(&engines.docker, &notary);
    let image = |name: &str| format!("localhost:{port}/{name}");
    let digest = signer.push(&image("library/app:1"), "verified twice");
    signer.push_unsigned(&image("library/app:unsigned"), "verified by nobody");

    // The registry moves to another address, and the gate takes its name.
    registry.stop();
    let registry = Registry::start(content.path());
    let authority = &notary.authority;
    let tls = format!(
        "tls_cert = \"{}\"\ntls_key = \"{}\"\n",
        authority.server_certificate().display(),
        authority.server_key().display()
    );
    let config = format!(
        "[[upstream]]\nregistry = \"localhost:{port}\"\nurl = \"{}\"\ndefault = true\n\n\
         [[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"{}\"\nca = \"{}\"\n\
         root_keys = [\"{}\"]\n\n\
         [[rule]]\nimages = [\"localhost:{port}/**\"]\nrequire = [\"team\"]\n",
        registry.url(),
        notary.url(),
        notary.ca().display(),
        signer.root_key_id(),
    );
    let _gate = Gate::start(port, &tls, &config, Clock::Machine);
    let gate = format!("https://localhost:{port}");

    let client = engines.docker.cli().trusting(&gate, &authority.certificate);
    let said = client.run(&["pull", &image("library/app:1")]);
    assert!(said.ok(), "{}", said.all());
    // The client resolved the tag itself, with the metadata that the gate relays.
    let resolved = format!("Pull (1 of 1): {}@{digest}", image("library/app:1"));
    assert!(said.all().contains(&resolved), "{}", said.all());
    assert_eq!(
        client.must(&["run", "--rm", "--network", "host", &image("library/app:1")]),
        "verified twice"
    );
    let said = client.run(&["pull", &image("library/app:unsigned")]);
    assert!(
        !said.ok() && said.all().contains("No valid trust data for unsigned"),
        "{}",
        said.all()
    );
    client.run(&["rmi", "--force", &image("library/app:1")]);

    // The gate relays the server's metadata unchanged. It relays nothing else from that server, and nothing to it.
    let trust = format!("{gate}/v2/{}/_trust", image("library/app"));
    let relayed = get_over_tls(&format!("{trust}/tuf/root.json"), authority);
    assert_eq!(relayed.status, 200, "{}", relayed.text());
    assert_eq!(relayed.body, notary.file(&image("library/app"), "root").body);
    for path in ["changefeed", "tuf/timestamp.key", "tuf/snapshot.key", "tuf/", "tuf/evil.json"] {
        let answer = get_over_tls(&format!("{trust}/{path}"), authority);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let health = get_over_tls(&format!("{gate}/_notary_server/health"), authority);
    assert_eq!(health.status, 404);
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        let url = format!("{trust}/tuf/");
        let answer = send(method, &url, &[], Bytes::new(), Some(authority)).unwrap();
        assert_eq!(answer.status, 405, "{}", answer.text());
    }
    assert_eq!(notary.file(&image("library/app"), "root").status, 200, "deleted");
    let unknown =
        get_over_tls(&format!("{gate}/v2/elsewhere.test/a/_trust/tuf/root.json"), authority);
    assert_eq!(unknown.status, 404);
}
