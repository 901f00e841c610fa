//! `bundle import --accept roots`: writes the rules and roots that a bundle proposes to files next to the configuration,
//! and shows what differs. Nothing uses the files until the operator names them in the configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::bundle::Bundle;
use crate::config::Config;
use crate::store::atomic;

use super::super::proposals;

const RULES: &str = "rules.toml";
/// The folders of documents that are roots.
const ROOTS: [&str; 3] = ["sigstore/", "notation/", "notaryv1-roots/"];
const REVOCATION: &str = "notation/revocation/";
/// The digits of the bundle's digest in the name of the folder.
const DIGITS: usize = 12;

/// The proposals that were written.
#[derive(Debug)]
pub struct Accepted {
    folder: PathBuf,
    files: Vec<String>,
    /// Lines of `rules.toml` that only the bundle has (`+`), or only this side (`-`).
    differences: Vec<String>,
}

/// Writes the proposals of `bundle` to a new folder next to the configuration.
pub fn accept(bundle: &Bundle, config: &Config) -> anyhow::Result<Accepted> {
    let beside = config.file.parent().unwrap_or(std::path::Path::new("."));
    let hex = bundle.artifact().hex();
    let folder = beside.join(format!("proposed-{}", &hex[..DIGITS]));
    let own = proposals::of(config).unwrap_or_default();
    let (mut files, mut differences) = (Vec::new(), Vec::new());
    for (title, _) in bundle.documents() {
        let is_root = ROOTS.iter().any(|root| title.starts_with(root));
        if title != RULES && (!is_root || title.starts_with(REVOCATION)) {
            continue;
        }
        let Some(content) = bundle.document(title)? else { continue };
        // Titles are relative paths of plain characters.
        let path = folder.join(title);
        let parent = path.parent().unwrap_or(&folder);
        atomic::make_folder(parent).with_context(|| format!("{}", parent.display()))?;
        atomic::publish(&path, &content).with_context(|| format!("{}", path.display()))?;
        files.push(title.to_owned());
        if title == RULES {
            let own = own.get(RULES).map(|own| String::from_utf8_lossy(own).into_owned());
            let proposed = String::from_utf8_lossy(&content);
            differences = compare(&own.unwrap_or_default(), &proposed);
        } else if !own.values().any(|known| *known == content) {
            differences.push(format!("+ {title}"));
        }
    }
    Ok(Accepted { folder, files, differences })
}

/// The lines that only one of two texts has.
fn compare(own: &str, proposed: &str) -> Vec<String> {
    let lines = |text: &str| -> BTreeSet<String> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let (mine, theirs) = (lines(own), lines(proposed));
    let removed =
        own.lines().map(str::trim).filter(|line| !line.is_empty() && !theirs.contains(*line));
    let added =
        proposed.lines().map(str::trim).filter(|line| !line.is_empty() && !mine.contains(*line));
    removed.map(|line| format!("- {line}")).chain(added.map(|line| format!("+ {line}"))).collect()
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.files.is_empty() {
            return writeln!(f, "the bundle proposes no rules and no roots");
        }
        match self.differences.is_empty() {
            true => writeln!(f, "the proposals do not differ from this configuration")?,
            false => writeln!(f, "differences from this configuration (+ proposed, - only here):")?,
        }
        for line in &self.differences {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "wrote the proposals to {}: {}", self.folder.display(), self.files.join(", "))?;
        writeln!(
            f,
            "nothing uses these files: compare the keys with their owners, then name the files in the configuration"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparison_shows_the_lines_of_one_side() {
        let own = "[[anchor]]\nname = \"a\"\nkeys = [\"a.pub\"]\n";
        let proposed = "[[anchor]]\n  name = \"a\"\n\nkeys = [\"b.pub\"]\n";
        assert_eq!(compare(own, proposed), ["- keys = [\"a.pub\"]", "+ keys = [\"b.pub\"]"]);
    }
}
