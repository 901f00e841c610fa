//! The inventory as CSV (RFC 4180, with line feeds) for spreadsheets. A cell that a spreadsheet would run as a formula is
//! shown as text.

use super::inventory::{Inventory, ListedRepository, ListedTag};

const HEADER: [&str; 15] = [
    "registry",
    "repository",
    "tag",
    "digest",
    "anchor",
    "server",
    "status",
    "reason",
    "because",
    "signers",
    "keys",
    "fetched",
    "expires",
    "other_signature",
    "other_anchors",
];

impl Inventory {
    /// One line for each tag; one for each repository without a tag that verifies; one for each memory that cannot be
    /// read.
    pub fn to_csv(&self) -> String {
        let mut text = line(&HEADER.map(str::to_owned));
        for repository in &self.repositories {
            if repository.tags.is_empty() {
                text += &line(&repository.cells(None));
            }
            for tag in &repository.tags {
                text += &line(&repository.cells(Some(tag)));
            }
        }
        for why in &self.unreadable {
            let mut cells = HEADER.map(|_| String::new());
            "unreadable".clone_into(&mut cells[6]);
            cells[8].clone_from(why);
            text += &line(&cells);
        }
        text
    }
}

impl ListedRepository {
    fn cells(&self, tag: Option<&ListedTag>) -> [String; HEADER.len()] {
        let at =
            |at: Option<crate::clock::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let signers = tag.map(|tag| &tag.signers[..]).unwrap_or_default();
        let roles: Vec<&str> = signers.iter().map(|signer| signer.role.as_str()).collect();
        let keys: Vec<String> = signers.iter().map(|signer| signer.keys.join("+")).collect();
        let because = tag.and_then(|tag| tag.because.as_ref().or(tag.other.because.as_ref()));
        let because = because.or(self.because.as_ref()).or(self.note.as_ref());
        [
            self.registry.to_string(),
            self.repository.to_string(),
            tag.map(|tag| tag.tag.to_string()).unwrap_or_default(),
            tag.and_then(|tag| tag.digest).map(|digest| digest.to_string()).unwrap_or_default(),
            self.anchor.clone(),
            self.server.clone(),
            tag.map_or(self.status.as_str(), |tag| tag.status.as_str()).to_owned(),
            self.reason.unwrap_or_default().to_owned(),
            because.cloned().unwrap_or_default(),
            roles.join(" "),
            keys.join(" "),
            at(self.fetched),
            at(self.expires),
            tag.map(|tag| tag.other.status.as_str()).unwrap_or_default().to_owned(),
            tag.map(|tag| tag.other.anchors.join(" ")).unwrap_or_default(),
        ]
    }
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\n"
}

/// A cell in quotes. Text from servers may begin with a character that begins a formula, also after spaces.
fn cell(text: &str) -> String {
    let first = text.trim_start().chars().next();
    let is_formula = matches!(first, Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'))
        || text.starts_with(['\t', '\r', '\n']);
    let guard = if is_formula { "'" } else { "" };
    let plain = text.replace('"', "\"\"").replace(['\n', '\r'], " ");
    format!("\"{guard}{plain}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_from_a_server_is_text() {
        for text in ["=1+1", "+1", "-1", "@A1", "  =HYPERLINK(\"http://x\")", "\t=1", "＝1"] {
            assert!(cell(text).starts_with("\"'"), "{text:?}: {}", cell(text));
        }
        assert_eq!(cell("a=1"), "\"a=1\"");
    }

    #[test]
    fn a_cell_never_ends_early() {
        assert_eq!(cell("a\",\"b\n=c"), "\"a\"\",\"\"b =c\"");
        assert_eq!(cell(""), "\"\"");
    }
}
