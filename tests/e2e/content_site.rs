//! A site whose signers sign content: a registry with or without the referrers API, and a gate in front of it.

use std::sync::Arc;

use crate::engines::{Client, Engines, engines};
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::referrers_registry;
use crate::registry::{Registry, digest_of};

/// How the registry handles referrers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Api {
    Referrers,
    None,
}

pub(crate) struct ContentSite {
    pub(crate) registry: Registry,
    engines: Arc<Engines>,
    _content: Folder,
}

impl ContentSite {
    pub(crate) fn new(api: Api) -> Self {
        let content = Folder::new("content");
        let registry = match api {
            Api::Referrers => referrers_registry::start(content.path()),
            Api::None => Registry::start(content.path()),
        };
        Self { registry, engines: engines(), _content: content }
    }

    /// The name of an image in the registry.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.name())
    }

    /// Pushes an unsigned image that prints `message`; returns its digest.
    pub(crate) fn push(&self, name: &str, message: &str) -> String {
        self.engines.docker.push(&self.image(name), message)
    }

    /// The same, and returns its name for signers, too: `repository@digest`.
    pub(crate) fn push_to_sign(&self, name: &str, message: &str) -> (String, String) {
        let digest = self.push(name, message);
        let repository = name.rsplit_once(':').unwrap().0;
        (format!("{}@{digest}", self.image(repository)), digest)
    }

    /// A gate for the registry with these `[[anchor]]` and `[[rule]]` tables, in which `REGISTRY` is its name.
    pub(crate) fn gate(&self, tables: &str) -> Gate {
        let (name, url) = (self.registry.name(), self.registry.url());
        let tables = tables.replace("REGISTRY", &name);
        let config = format!(
            "[[upstream]]\nregistry = \"{name}\"\nurl = \"{url}\"\ndefault = true\n\n{tables}"
        );
        Gate::start(0, "", &config, Clock::Machine)
    }
}

/// Pulls with docker and containerd, by tag and by digest, and runs the image.
pub(crate) fn arrives(gate: &Gate, name: &str, digest: &str, message: &str) {
    let repository = name.rsplit_once(':').unwrap().0;
    for client in clients() {
        for image in
            [format!("{}/{name}", gate.name()), format!("{}/{repository}@{digest}", gate.name())]
        {
            let said = client.pull(&image);
            assert!(said.ok(), "{} {image}: {}", client.name(), said.all());
            let printed = client.run(&image).unwrap_or_default();
            assert_eq!(printed, message, "{} {image}", client.name());
            client.forget(&image);
        }
    }
}

/// Pulls with docker and containerd. The pull must fail for that reason, which docker shows (containerd sends HEAD and
/// shows no message).
pub(crate) fn is_refused(gate: &Gate, name: &str, reason: &str) {
    let (repository, tag) = name.rsplit_once(':').unwrap();
    let answer = gate.manifest(repository, tag);
    let came = (answer.status.as_u16(), answer.reason());
    assert_eq!(came, (404, reason.to_owned()), "{name}: {}", answer.text());
    let said = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    // Each request has its own id.
    let said = said.rsplit_once("(request ").unwrap().0.to_owned();
    for client in clients() {
        let pulled = client.pull(&format!("{}/{name}", gate.name()));
        assert!(!pulled.ok(), "{} {name}: {}", client.name(), pulled.all());
        if matches!(client, Client::Docker(_)) {
            assert!(pulled.all().contains(&said), "{name}: {}", pulled.all());
        }
    }
}

/// The digest that the gate returns for a tag.
pub(crate) fn served(gate: &Gate, name: &str) -> String {
    let (repository, tag) = name.rsplit_once(':').unwrap();
    let answer = gate.manifest(repository, tag);
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    digest_of(&answer.body)
}

fn clients() -> impl Iterator<Item = Client> {
    let two = |client: &Client| matches!(client, Client::Docker(_) | Client::Containerd(_));
    Client::all().into_iter().filter(two)
}
