//! Names that differ only in case. Folds at least what Go's decoder folds, which treats `K` (the Kelvin sign) as `k`
//! and `ſ` as `s`.

/// Whether `name` is not in `known`, but equals one of them if case is ignored. The names in `known` are ASCII. Reads
/// no more of `name` than the longest of them has.
pub(super) fn is_miscased(name: &str, known: &[&str]) -> bool {
    if known.contains(&name) {
        return false;
    }
    if name.is_ascii() {
        return known.iter().any(|known| known.eq_ignore_ascii_case(name));
    }
    let longest = known.iter().map(|known| known.len()).max().unwrap_or_default();
    let folded: String = folded(name).take(longest + 1).collect();
    known.iter().any(|known| known.eq_ignore_ascii_case(&folded))
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_go_treats_as_a_known_one_is_miscased() {
        let known = ["size", "mediaType", "links"];
        for name in ["Size", "ſize", "mediatype", "MEDIATYPE", "lin\u{212a}s", "\u{17f}I\u{7a}E"] {
            assert!(is_miscased(name, &known), "{name}");
        }
        for name in ["size", "mediaType", "sizes", "siz", "", "größe", "ſ", &"ſ".repeat(1 << 20)]
        {
            assert!(!is_miscased(name, &known), "{name:.20}");
        }
    }
}
