//! The table: medians and spreads of the samples of the gate and its peer, and whether the target is met.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::goals::{self, Beside, Figure, Target};

type Samples = BTreeMap<String, Vec<f64>>;

/// In Markdown, without figures that were not measured.
pub(crate) fn of(file: &Path) -> String {
    let samples = load(file);
    let mut table = String::from(
        "| work | | the gate | peer | comparison | target | |\n|---|---|---|---|---|---|---|\n",
    );
    for work in goals::WORKS {
        let mut title = work.title;
        for figure in work.figures {
            let cells = cells(&samples, work.name, figure);
            if let Some([gate, beside, held, target, verdict]) = cells {
                let unit = figure.0;
                writeln!(
                    table,
                    "| {title} | {unit} | {gate} | {beside} | {held} | {target} | {verdict} |"
                )
                .unwrap();
                title = "";
            }
        }
    }
    table
}

fn load(file: &Path) -> Samples {
    let mut samples = Samples::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let (name, value) = line.split_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        samples.entry(name.to_owned()).or_default().push(value);
    }
    samples
}

fn cells(samples: &Samples, work: &str, figure: &Figure) -> Option<[String; 5]> {
    let Figure(_, name, beside, target) = *figure;
    let of = |who: &str| samples.get(&format!("{work}.{who}.{name}"));
    let gate = of("gate")?;
    let (shown, held) = match beside {
        Beside::Nothing => (String::new(), gate.clone()),
        Beside::Shown(peer) => (named(peer, of(peer)?), gate.clone()),
        Beside::Ratio(peer) => (named(peer, of(peer)?), together(gate, of(peer)?, |a, b| a / b)),
        Beside::Added(peer) => (named(peer, of(peer)?), together(gate, of(peer)?, |a, b| a - b)),
    };
    let middle = median(&held);
    let reported = match beside {
        Beside::Nothing | Beside::Shown(_) => String::new(),
        Beside::Ratio(_) => format!("× {}", spread(&held)),
        Beside::Added(_) => format!("+ {}", spread(&held)),
    };
    let (target, met) = match target {
        Target::AtLeast(least) => (format!("≥ {least}"), Some(middle >= least)),
        Target::AtMost(most) => (format!("≤ {most}"), Some(middle <= most)),
        Target::Open => (String::new(), None),
    };
    let verdict = match met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    };
    Some([spread(gate), shown, reported, target, verdict.to_owned()])
}

fn named(peer: &str, values: &[f64]) -> String {
    format!("{} {}", goals::called(peer), spread(values))
}

/// Compares round by round: a change from one round to the next affects both.
fn together(gate: &[f64], peer: &[f64], held: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    assert_eq!(gate.len(), peer.len(), "a round has no value of the gate or its peer");
    gate.iter().zip(peer).map(|(gate, peer)| held(*gate, *peer)).collect()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(values: &[f64]) -> f64 {
    sorted(values)[values.len() / 2]
}

/// The median, with the minimum and the maximum if they differ.
fn spread(values: &[f64]) -> String {
    let sorted = sorted(values);
    let whole = sorted.iter().all(|value| value.fract() == 0.0);
    let reported = |at: usize| number(sorted[at], whole);
    let (middle, least, most) =
        (reported(sorted.len() / 2), reported(0), reported(sorted.len() - 1));
    if least == most { middle } else { format!("{middle} ({least} to {most})") }
}

/// Only significant digits.
fn number(value: f64, whole: bool) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let value = value.round() as i64;
            format!("{},{:03}", value / 1000, (value % 1000).abs())
        }
        size if whole || size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
