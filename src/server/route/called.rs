//! Image names as clients show them: with the gate's own host in front, with a registry, or with neither.

use crate::oci::docker_hub::{DOCKER_HUB, HOSTS};
use crate::oci::name::InvalidName;
use crate::oci::{ImageRef, Registry};

use super::Names;

impl Names {
    /// The image that `text` names: `[GATE/][REGISTRY/]REPOSITORY[:TAG][@DIGEST]`. Without a registry, it is in the
    /// default upstream, or in Docker Hub if there is no default. A host that is neither the gate nor an upstream is
    /// kept; the gate then has no upstream for the image.
    ///
    /// # Errors
    /// The text is not an image name.
    pub fn called(&self, text: &str) -> Result<ImageRef, InvalidName> {
        let text = text.trim().trim_start_matches("https://").trim_start_matches("http://");
        if let Some(image) = self.of_upstream(text) {
            return image;
        }
        match text.split_once('/') {
            Some((host, rest)) if self.is_gate(host, rest) => match self.of_upstream(rest) {
                Some(image) => image,
                None => self.of_default(rest),
            },
            Some((host, _)) if is_host(host) => text.parse(),
            Some(_) | None => self.of_default(text),
        }
    }

    /// The image, if `text` begins with the registry of an upstream.
    fn of_upstream(&self, text: &str) -> Option<Result<ImageRef, InvalidName>> {
        let (host, rest) = text.split_once('/')?;
        let host = if HOSTS.contains(&host) { DOCKER_HUB } else { host };
        let registry = self.registry(host)?;
        Some(format!("{registry}/{rest}").parse())
    }

    fn of_default(&self, text: &str) -> Result<ImageRef, InvalidName> {
        let registry = self.default.as_ref().map_or(DOCKER_HUB, Registry::as_str);
        format!("{registry}/{text}").parse()
    }

    /// Whether `host` is this gate: it has the port of a listener, it is this machine, or the registry of an upstream
    /// follows it.
    fn is_gate(&self, host: &str, rest: &str) -> bool {
        if !is_host(host) {
            return false;
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse::<u16>().ok()),
            Some(_) | None => (host, None),
        };
        let is_local = name == "localhost" || name == "[::1]" || name.starts_with("127.");
        is_local
            || port.is_some_and(|port| self.own_ports.contains(&port))
            || self.of_upstream(rest).is_some()
    }
}

/// Whether clients interpret the first segment of a name as a host.
fn is_host(segment: &str) -> bool {
    segment.contains(['.', ':']) || segment == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_a_client_shows_names_the_same_image() {
        let names = Names {
            registries: ["registry.example.com", "docker.io", "mirror:5000"]
                .map(|registry| registry.parse().unwrap())
                .into(),
            default: Some("registry.example.com".parse().unwrap()),
            own_ports: vec![5050],
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        for (called, image) in [
            ("registry.example.com/team/app:v1", "registry.example.com/team/app:v1"),
            ("team/app:v1", "registry.example.com/team/app:v1"),
            ("app", "registry.example.com/app:latest"),
            ("gate.example.com:5050/team/app:v1", "registry.example.com/team/app:v1"),
            ("127.0.0.1:5050/team/app:v1", "registry.example.com/team/app:v1"),
            ("localhost:5050/app", "registry.example.com/app:latest"),
            ("gate.example.com:5050/docker.io/library/alpine:3", "docker.io/library/alpine:3"),
            ("gate.example.com/docker.io/alpine:3", "docker.io/library/alpine:3"),
            ("docker.io/alpine:3", "docker.io/library/alpine:3"),
            ("index.docker.io/library/alpine:3", "docker.io/library/alpine:3"),
            ("mirror:5000/app", "mirror:5000/app:latest"),
            ("http://gate.example.com:5050/app", "registry.example.com/app:latest"),
            // Neither the gate nor an upstream: must not be mistaken for the default.
            ("quay.io/team/app:v1", "quay.io/team/app:v1"),
            ("other.example.com:5000/app", "other.example.com:5000/app:latest"),
        ] {
            assert_eq!(names.called(called).unwrap().to_string(), image, "{called}");
        }
        let called = format!("127.0.0.1:5050/app@{digest}");
        assert_eq!(
            names.called(&called).unwrap().to_string(),
            format!("registry.example.com/app@{digest}")
        );
        for wrong in ["", "UPPER", "registry.example.com/", "a b"] {
            assert!(names.called(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn without_a_default_a_name_without_a_registry_means_docker_hub() {
        let names = Names::default();
        assert_eq!(names.called("alpine").unwrap().to_string(), "docker.io/library/alpine:latest");
    }
}
