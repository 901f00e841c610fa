//! The current configuration without its rules: the proposal follows it.

use std::path::Path;

use crate::config::Config;
use crate::toml_reader::{Document, Problems};
use crate::trust::{self, Scheme};

/// A configuration, and its text without rules.
#[derive(Clone, Debug)]
pub struct Current {
    pub config: Config,
    text: String,
}

impl Current {
    /// Reads the file.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        let document = Document::open(file)?;
        let config = Config::read(&document)?;
        Ok(Self { config, text: without_rules(document.text()) })
    }

    /// The text of the file without its rules.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn has_anchor(&self, name: &str) -> bool {
        self.scheme(name).is_some()
    }

    /// The scheme of the anchor `name`, if it is configured.
    pub(super) fn scheme(&self, name: &str) -> Option<Scheme> {
        self.config.anchors.iter().find_map(|anchor| {
            let (known, scheme) = match anchor {
                trust::Config::NotaryV1(config) => (&config.name, Scheme::NotaryV1),
                trust::Config::Cosign(config) => (&config.name, Scheme::Cosign),
                trust::Config::Notation(config) => (&config.name, Scheme::Notation),
            };
            (**known == *name).then_some(scheme)
        })
    }

    pub(super) fn has_upstream(&self, registry: &crate::oci::Registry) -> bool {
        self.config.upstreams.iter().any(|upstream| upstream.registry == *registry)
    }
}

/// Leaves out every `[[rule]]`: from its header to the next one.
fn without_rules(text: &str) -> String {
    let mut rest = String::new();
    let mut in_rule = false;
    for line in text.lines() {
        let header = line.trim_start().starts_with('[');
        if header {
            let name = line.split('#').next().unwrap_or_default();
            in_rule = name.split_whitespace().collect::<String>() == "[[rule]]";
        }
        if !in_rule {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rules_are_removed() {
        let text = "[store]\npath = \"x\"\n\n[[rule]] # one\nimages = [\n\"a/b\"]\n[[upstream]]\nregistry = \"r\"\n\
                    [[ rule ]]\nmode = \"deny\"\n";
        assert_eq!(
            without_rules(text),
            "[store]\npath = \"x\"\n\n[[upstream]]\nregistry = \"r\"\n"
        );
    }
}
