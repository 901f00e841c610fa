//! GUNs: Notary's Globally Unique Names of repositories, `host[:port]/path`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::oci::name::InvalidName;
use crate::oci::{Registry, RepositoryRef};

/// A GUN. Always a registry and a repository, so that it is safe in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gun(Arc<str>);

impl Gun {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Gun {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse::<RepositoryRef>()?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Gun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How an anchor builds a GUN from an image's registry and repository: a string with `{registry}` and `{repository}`, each
/// at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Registry,
    Repository,
}

impl Default for Template {
    fn default() -> Self {
        Self(vec![Part::Registry, Part::Text("/".to_owned()), Part::Repository])
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a `{` has no `}`")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let part = match name {
                "registry" => Part::Registry,
                "repository" => Part::Repository,
                _ => {
                    return Err(format!("`{{{name}}}` is neither {{registry}} nor {{repository}}"));
                }
            };
            if parts.contains(&part) {
                return Err(format!("`{{{name}}}` appears twice"));
            }
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self(parts);
        let example =
            |name: &str| format!("`{text}` does not result in a GUN (`host/path`): {name}");
        let repository =
            "registry.example/a/b".parse::<RepositoryRef>().map_err(|e| e.to_string())?;
        template.gun(&repository).map_err(|e| example(&e.to_string()))?;
        Ok(template)
    }
}

impl Template {
    /// The GUN of `repository`.
    pub fn gun(&self, repository: &RepositoryRef) -> Result<Gun, InvalidName> {
        let (registry, repository) = (repository.registry.as_str(), repository.name.as_str());
        if let [Part::Registry, Part::Text(between), Part::Repository] = &self.0[..]
            && between == "/"
        {
            // A valid registry and repository always result in a valid GUN.
            return Ok(Gun([registry, "/", repository].concat().into()));
        }
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Registry => registry,
                Part::Repository => repository,
            })
            .collect::<String>()
            .parse()
    }

    /// Whether every repository of `registry` has this GUN: the template does not contain `{repository}`.
    pub fn is_shared(&self, gun: &Gun, registry: &Registry) -> bool {
        let part = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Registry => Some(registry.as_str().to_owned()),
            Part::Repository => None,
        };
        let whole: Option<String> = self.0.iter().map(part).collect();
        whole.is_some_and(|whole| whole == gun.as_str())
    }

    /// The repository of `registry` with this GUN, if the template determines it.
    pub fn repository(&self, gun: &Gun, registry: &Registry) -> Option<RepositoryRef> {
        let marker = "\0";
        let pattern = self
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Registry => registry.as_str(),
                Part::Repository => marker,
            })
            .collect::<String>();
        let (before, after) = pattern.split_once(marker)?;
        let name = gun.as_str().strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
        Some(RepositoryRef { registry: registry.clone(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gun_is_a_registry_and_a_repository() {
        for text in ["docker.io/library/alpine", "localhost:5000/a"] {
            assert_eq!(text.parse::<Gun>().unwrap().to_string(), text);
        }
        for text in
            ["", "alpine", "host/", "/a", "host/../x", "host/a%2fb", "host/A", "host//a", "Host/a"]
        {
            assert!(text.parse::<Gun>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_builds_guns_and_reads_them_back() {
        let repository: RepositoryRef = "r.example:5000/library/app".parse().unwrap();
        for (text, gun) in [
            ("{registry}/{repository}", "r.example:5000/library/app"),
            ("docker.io/mirror/{repository}", "docker.io/mirror/library/app"),
            ("old.example/{repository}/signed", "old.example/library/app/signed"),
        ] {
            let template: Template = text.parse().unwrap();
            let made = template.gun(&repository).unwrap();
            assert_eq!(made.as_str(), gun);
            assert_eq!(template.repository(&made, &repository.registry), Some(repository.clone()));
        }
        assert_eq!(Template::default(), "{registry}/{repository}".parse().unwrap());
    }

    #[test]
    fn a_template_that_does_not_result_in_a_gun_is_refused() {
        for text in
            ["", "{registry", "{host}/{repository}", "{repository}{repository}", "A/{repository}"]
        {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }
}
