//! What the demo writes for people: aligned columns, and colors on a terminal.

use std::fmt::Write as _;

use url::Url;

use super::exhibits::{Exhibit, Expected, REGISTRY, Topic};
use super::visit::{Observed, verdict_of};

/// Whether the output may contain colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Coloured,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";

/// Where everything is, and the command that starts this program.
pub(super) struct Places {
    pub(super) gate: Url,
    pub(super) admin: Url,
    pub(super) registry: Url,
    pub(super) notary: Url,
    pub(super) config: String,
    pub(super) program: String,
}

/// One cell: its text, and its color.
struct Cell(String, &'static str);

/// One line of a table.
enum Row {
    Cells(Vec<Cell>),
    /// A heading above the next rows, after an empty line.
    Title(&'static str),
}

impl Style {
    fn set(self, text: &str, code: &str) -> String {
        if self == Self::Plain || code.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Rows under each other, each column as wide as its widest cell.
    fn table(self, rows: &[Row]) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in rows {
            let Row::Cells(cells) = row else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, Cell(text, _)) in widths.iter_mut().zip(cells) {
                *width = text.chars().count().max(*width);
            }
        }
        let mut page = String::new();
        for row in rows {
            match row {
                Row::Title(title) => {
                    let _ = writeln!(page, "\n{}", self.set(title, BOLD));
                }
                Row::Cells(cells) => {
                    let padded = cells.iter().zip(&widths).map(|(Cell(text, code), width)| {
                        let padding = " ".repeat(width - text.chars().count());
                        self.set(text, code) + &padding
                    });
                    let line = padded.collect::<Vec<_>>().join("  ");
                    let _ = writeln!(page, "  {}", line.trim_end());
                }
            }
        }
        page
    }
}

fn cells<const N: usize>(cells: [(&str, &'static str); N]) -> Row {
    Row::Cells(cells.into_iter().map(|(text, code)| Cell(text.to_owned(), code)).collect())
}

/// Rows for all exhibits, under the titles of their topics.
fn by_topic<'a, T: 'a>(
    all: impl IntoIterator<Item = &'a T>,
    exhibit: impl Fn(&T) -> &Exhibit,
    row: impl Fn(&T) -> Row,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut topic: Option<Topic> = None;
    for one in all {
        let own = exhibit(one).topic;
        if topic != Some(own) {
            rows.push(Row::Title(own.title()));
            topic = Some(own);
        }
        rows.push(row(one));
    }
    rows
}

/// The welcome: where everything is, and what the gate does with each image.
pub(super) fn welcome(style: Style, places: &Places, exhibits: &[Exhibit]) -> String {
    let mut page = format!(
        "{}: a registry with signed and unsigned images, and the gate in front of it, in one process.\n\
         All keys were made just now. Nothing leaves this machine, and nothing stays on it.\n\n",
        style.set("countersign demo", BOLD)
    );
    let rows = [
        ("gate", bare(&places.gate), "pull from here"),
        ("admin", bare(&places.admin), "ask why, or see /metrics"),
        ("registry", bare(&places.registry), "the same images without the gate"),
        ("notary", bare(&places.notary), "the Notary server"),
        ("config", &places.config, "the configuration of the gate"),
    ];
    let rows = rows.map(|(name, place, about)| cells([(name, BOLD), (place, ""), (about, DIM)]));
    page.push_str(&style.table(&rows));
    let row = |exhibit: &Exhibit| {
        let (said, color) = match &exhibit.expected {
            Expected::Admitted(_) => ("admitted".to_owned(), GREEN),
            Expected::Denied(reason) => {
                (format!("{}: {reason}", verdict_of(reason.is_absence())), "")
            }
        };
        cells([(&short(&exhibit.image), ""), (&said, color), (exhibit.about, DIM)])
    };
    page.push_str(&style.table(&by_topic(exhibits, |exhibit| exhibit, row)));
    page
}

/// Commands to try: for each scheme, an image that runs and one that is refused, and more.
pub(super) fn try_it(style: Style, places: &Places, exhibits: &[Exhibit]) -> String {
    let (gate, admin, program) = (bare(&places.gate), bare(&places.admin), &places.program);
    let host = gate.split_once("://").map_or(gate, |(_, host)| host);
    // The first of each scheme.
    let first = |wanted: fn(&Expected) -> bool| {
        Topic::SCHEMES.into_iter().filter_map(move |topic| {
            let mut own = exhibits.iter().filter(|exhibit| exhibit.topic == topic);
            own.find(|exhibit| wanted(&exhibit.expected)).map(|exhibit| &exhibit.image)
        })
    };
    let signed = first(|expected| matches!(expected, Expected::Admitted(_)));
    let attacked = first(|expected| match expected {
        Expected::Admitted(_) => false,
        Expected::Denied(reason) => !reason.is_absence(),
    });
    let mut rows = vec![Row::Title("Run signed images")];
    rows.extend(signed.map(|image| cells([(&format!("docker run --rm {host}/{image}"), "")])));
    rows.push(Row::Title("Pull attacked images, and ask for the reason"));
    for image in attacked {
        let why = format!("{program} why {REGISTRY}/{image} --gate {admin}");
        rows.push(cells([(&format!("docker pull {host}/{image}"), "")]));
        rows.push(cells([(&why, "")]));
    }
    rows.push(Row::Title("Use other clients"));
    for command in [
        format!("skopeo inspect --tls-verify=false docker://{host}/cosign/app:v1"),
        format!("crane manifest {host}/notation/forged:v1"),
        format!("curl {gate}/v2/notary/app/tags/list"),
        format!("curl -i {gate}/v2/cosign/unsigned/manifests/v1"),
    ] {
        rows.push(cells([(&command, "")]));
    }
    let end = style.set("Ctrl-C stops the demo and removes its files.", DIM);
    format!("{}\n{end}\n", style.table(&rows))
}

/// What the gate said of each exhibit, and what it should have said where that differs.
pub(super) fn verdicts(style: Style, visited: &[(Exhibit, Observed)]) -> String {
    let mut rows =
        vec![cells(["", "IMAGE", "VERDICT", "REASON", "WHAT IT IS"].map(|it| (it, BOLD)))];
    rows.extend(by_topic(
        visited,
        |(exhibit, _)| exhibit,
        |(exhibit, seen)| {
            let fits = seen.is(&exhibit.expected);
            let (verdict, reason) = match seen {
                Observed::Admitted(digest) => ("admitted", shorter(&digest.to_string())),
                Observed::Denied { verdict, reason } => (verdict.as_str(), reason.clone()),
                Observed::Broken(why) => ("broken", why.clone()),
            };
            let (sign, color) = if fits { ("✓", GREEN) } else { ("✗", RED) };
            let admitted = matches!(seen, Observed::Admitted(_));
            let about = match &exhibit.expected {
                _ if fits => exhibit.about.to_owned(),
                Expected::Admitted(digest) => format!("expected: admitted as {digest}"),
                Expected::Denied(reason) => format!("expected: {reason}"),
            };
            cells([
                (sign, color),
                (&short(&exhibit.image), ""),
                (verdict, if fits && !admitted { "" } else { color }),
                (&reason, ""),
                (&about, if fits { DIM } else { RED }),
            ])
        },
    ));
    let total = visited.len();
    let wrong = visited.iter().filter(|(exhibit, seen)| !seen.is(&exhibit.expected)).count();
    let end = match wrong {
        0 => style.set(&format!("All {total} verdicts are as expected."), GREEN),
        _ => style.set(&format!("{wrong} of {total} verdicts are not as expected."), RED),
    };
    format!("{}\n{end}\n", style.table(&rows))
}

/// A URL without the slash at its end.
fn bare(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// An image with only the beginning of its digest.
fn short(image: &str) -> String {
    match image.split_once('@') {
        Some((name, digest)) => format!("{name}@{}", shorter(digest)),
        None => image.to_owned(),
    }
}

/// The beginning of a digest.
fn shorter(digest: &str) -> String {
    digest.chars().take(15).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::trust::Reason;

    #[test]
    fn columns_are_aligned_across_topics_and_without_a_terminal_there_are_no_colors() {
        let exhibit = |topic, image: &str, expected| Exhibit {
            topic,
            image: image.to_owned(),
            about: "about it",
            expected,
        };
        let digest = Digest::of(b"x");
        let refused =
            Observed::Denied { verdict: "refused".to_owned(), reason: "expired".to_owned() };
        let (notary, rules) = (Topic::NotaryV1, Topic::Rules);
        let visited = [
            (exhibit(notary, "a:v1", Expected::Admitted(digest)), Observed::Admitted(digest)),
            (exhibit(rules, "longer/name:v1", Expected::Denied(Reason::Expired)), refused.clone()),
            (exhibit(rules, "b:v1", Expected::Admitted(digest)), refused),
        ];
        let page = verdicts(Style::Plain, &visited);
        let column = |text: &str| {
            let line = page.lines().find(|line| line.contains(text)).unwrap();
            line.find(text).map(|at| line[..at].chars().count()).unwrap()
        };
        let what = column("WHAT IT IS");
        for text in ["about it", "expected: admitted"] {
            assert_eq!(column(text), what, "{page}");
        }
        assert_eq!(page.lines().filter(|line| *line == rules.title()).count(), 1, "{page}");
        assert!(page.contains('✗') && !page.contains('\u{1b}'), "{page}");
        assert!(page.ends_with("1 of 3 verdicts are not as expected.\n"), "{page}");
        assert!(verdicts(Style::Coloured, &visited[..2]).contains("\u{1b}[32mAll 2 verdicts"));
    }
}
