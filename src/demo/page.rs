//! What the demo writes for people: aligned columns, and colours where there is a terminal.

use std::fmt::Write as _;

use super::exhibits::{Exhibit, Expected, REGISTRY};
use super::visit::{Seen, verdict_of};

/// Whether there may be colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Coloured,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";

/// One cell: its text and how it is set off.
struct Cell(String, &'static str);

impl Style {
    fn set(self, text: &str, code: &str) -> String {
        if self == Self::Plain || code.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Rows under each other, each column as wide as its widest cell.
    fn table(self, rows: &[Vec<Cell>]) -> String {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|Cell(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut page = String::new();
        for row in rows {
            page.push_str("  ");
            for (column, Cell(text, code)) in row.iter().enumerate() {
                page.push_str(&self.set(text, code));
                if column + 1 < row.len() {
                    let padding = widths[column] - text.chars().count() + 2;
                    page.push_str(&" ".repeat(padding));
                }
            }
            page.push('\n');
        }
        page
    }
}

/// The welcome: where everything is, what there is to see, and how.
pub(super) fn welcome(
    style: Style,
    addresses: &[(&str, &str, &str); 3],
    exhibits: &[Exhibit],
) -> String {
    let mut page = format!(
        "{}: a registry, a Notary server, and the gate before them, all in this one process.\n\
         The keys were made just now. Nothing leaves this machine, and nothing stays.\n\n",
        style.set("countersign demo", BOLD)
    );
    let rows: Vec<_> = addresses
        .iter()
        .map(|(name, url, about)| {
            vec![
                Cell((*name).to_owned(), BOLD),
                Cell((*url).to_owned(), ""),
                Cell((*about).to_owned(), DIM),
            ]
        })
        .collect();
    page.push_str(&style.table(&rows));
    page.push('\n');
    let mut rows = vec![heading(&["IMAGE", "WHAT IT IS", "THE GATE SAYS"])];
    for exhibit in exhibits {
        let (verdict, reason, colour) = said(&exhibit.expected);
        let says = if reason.is_empty() { verdict } else { format!("{verdict}: {reason}") };
        rows.push(vec![
            Cell(short(&exhibit.image), ""),
            Cell(exhibit.about.to_owned(), DIM),
            Cell(says, colour),
        ]);
    }
    page.push_str(&style.table(&rows));
    page
}

/// What to type.
pub(super) fn try_it(style: Style, gate: &str, exhibits: &[Exhibit]) -> String {
    let host = gate.split_once("://").map_or(gate, |(_, host)| host);
    let mut rows = Vec::new();
    let mut line = |command: String, about: &str| {
        rows.push(vec![Cell(command, ""), Cell(about.to_owned(), DIM)]);
    };
    line(format!("docker pull {host}/hello:v1"), "admitted");
    line(format!("docker pull {host}/shop/cart:v2"), "the signed one, though the tag was moved");
    line(format!("docker pull {host}/shop/cart:edge"), "absent, and it says why");
    line(format!("curl -i {gate}/v2/forgotten/manifests/v1"), "what a denial looks like");
    line(format!("curl {gate}/v2/shop/cart/tags/list"), "unsigned tags are not listed");
    line(
        format!("curl {gate}/v2/{REGISTRY}/shop/cart/_trust/tuf/targets/releases.json"),
        "to verify it yourself",
    );
    let mut page = format!("{}\n\n", style.set("Try it:", BOLD));
    page.push_str(&style.table(&rows));
    let denied = |exhibit: &&Exhibit| matches!(exhibit.expected, Expected::Denied(_));
    let by_digest = |exhibit: &&Exhibit| exhibit.image.contains('@');
    if let Some(Exhibit { image, .. }) = exhibits.iter().filter(by_digest).find(denied) {
        let about = style.set("and there is no way around it by digest:", DIM);
        let _ = writeln!(page, "\n  {about}\n  docker pull {host}/{image}");
    }
    let _ = write!(page, "\n{}\n", style.set("Ctrl-C ends it.", DIM));
    page
}

/// What each exhibit was expected to be, and what it was.
pub(super) fn verdicts(style: Style, visited: &[(Exhibit, Seen)]) -> String {
    let mut rows = vec![heading(&["", "IMAGE", "EXPECTED", "VERDICT", "REASON", "WHAT IT IS"])];
    for (exhibit, seen) in visited {
        let fits = seen.is(&exhibit.expected);
        let (expected, expected_reason, _) = said(&exhibit.expected);
        let (verdict, reason) = match seen {
            Seen::Admitted(digest) if fits => ("admitted".to_owned(), short_digest(digest)),
            Seen::Admitted(digest) => ("admitted".to_owned(), format!("as {digest}")),
            Seen::Denied { verdict, reason } => (verdict.clone(), reason.clone()),
            Seen::Broken(why) => ("broken".to_owned(), why.clone()),
        };
        let expected = if fits || expected_reason.is_empty() {
            expected
        } else {
            format!("{expected}: {expected_reason}")
        };
        let colour = match (fits, seen) {
            (false, _) => RED,
            (true, Seen::Admitted(_)) => GREEN,
            (true, Seen::Denied { .. } | Seen::Broken(_)) => "",
        };
        rows.push(vec![
            Cell(if fits { "✓" } else { "✗" }.to_owned(), if fits { GREEN } else { RED }),
            Cell(short(&exhibit.image), ""),
            Cell(expected, DIM),
            Cell(verdict, colour),
            Cell(reason, ""),
            Cell(exhibit.about.to_owned(), DIM),
        ]);
    }
    let mut page = style.table(&rows);
    let good = visited.iter().filter(|(exhibit, seen)| seen.is(&exhibit.expected)).count();
    let total = visited.len();
    let end = if good == total {
        style.set(&format!("All {total} verdicts are the expected ones."), GREEN)
    } else {
        style.set(&format!("{} of {total} verdicts are not the expected ones.", total - good), RED)
    };
    let _ = write!(page, "\n{end}\n");
    page
}

fn heading(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell((*name).to_owned(), BOLD)).collect()
}

fn said(expected: &Expected) -> (String, String, &'static str) {
    match expected {
        Expected::Admitted(_) => ("admitted".to_owned(), String::new(), GREEN),
        Expected::Denied(reason) => {
            (verdict_of(reason.is_absence()).to_owned(), reason.to_string(), "")
        }
    }
}

/// An image with only the beginning of its digest.
fn short(image: &str) -> String {
    match image.split_once("@sha256:").and_then(|(name, hex)| Some((name, hex.get(..8)?))) {
        Some((name, hex)) => format!("{name}@sha256:{hex}…"),
        None => image.to_owned(),
    }
}

fn short_digest(digest: &crate::oci::Digest) -> String {
    digest.to_string().chars().take(15).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::trust::Reason;

    #[test]
    fn columns_are_aligned_and_colours_are_left_out_where_there_is_no_terminal() {
        let exhibit = |image: &str, expected| Exhibit {
            image: image.to_owned(),
            about: "about it",
            expected,
        };
        let digest = Digest::of(b"x");
        let refused = Seen::Denied { verdict: "refused".to_owned(), reason: "expired".to_owned() };
        let visited = [
            (exhibit("a:v1", Expected::Admitted(digest)), Seen::Admitted(digest)),
            (exhibit("longer/name:v1", Expected::Denied(Reason::Expired)), refused.clone()),
            (exhibit("b:v1", Expected::Admitted(digest)), refused),
        ];
        let page = verdicts(Style::Plain, &visited);
        let lines: Vec<&str> = page.lines().collect();
        let column = |line: &str, text: &str| {
            line.chars().count() - {
                let at = line.find(text).unwrap();
                line[at..].chars().count()
            }
        };
        for line in &lines[1..4] {
            assert_eq!(column(line, "about it"), column(lines[0], "WHAT IT IS"), "{page}");
        }
        assert!(lines[3].contains('✗') && !page.contains('\u{1b}'), "{page}");
        assert!(page.ends_with("1 of 3 verdicts are not the expected ones.\n"), "{page}");
        assert!(verdicts(Style::Coloured, &visited[..2]).contains("\u{1b}[32mAll 2 verdicts"));
    }
}
