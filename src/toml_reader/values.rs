//! Parses durations and sizes, and compares similar keys.

use std::time::Duration;

use toml::de::DeValue;

/// `"100ms"`, `"30s"`, `"5m"`, `"24h"`, `"7d"`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    match number_and_unit(text, &units) {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err(format!("{text:?} is not a duration: write \"30s\", \"5m\" or \"24h\"")),
    }
}

/// `"512B"`, `"64KiB"`, `"20GiB"`: bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let units = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    number_and_unit(text, &units)
        .ok_or_else(|| format!("{text:?} is not a size: write \"512MiB\" or \"20GiB\""))
}

fn number_and_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Describes a value in a message that expects something else.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Array(_) => "a list of something else".to_owned(),
        DeValue::String(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => value.type_str().to_owned(),
    }
}

/// Advice for a line that is not TOML because its string has no quotes.
pub(super) fn unquoted(line: &str) -> &'static str {
    let value = line.split_once('=').map(|(_, value)| value.trim_start());
    let begins = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '.' | ':' | '*');
    match value {
        Some(value) if value.starts_with(begins) => "; strings need quotes: key = \"text\"",
        Some(_) | None => "",
    }
}

/// Whether `b` may be a typo of `a`.
pub(super) fn near(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 2 {
        return false;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let swap = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()] <= 2
}

/// `` `a`, `b` ``
pub(super) fn list<'a>(keys: impl Iterator<Item = &'a &'static str>) -> String {
    keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_a_unit() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(size("20GiB"), Ok(20 << 30));
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5h",
            "5 m",
            "5S",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(text).is_err(), "{text}");
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn typos_are_near() {
        assert!(
            near("name", "nmae") && near("max_stale", "max_stal") && !near("name", "threshold")
        );
    }
}
