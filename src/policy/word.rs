//! Keys of a rule whose value is one of two words.

use crate::toml_reader::Section;

/// The value of `key`, which must be one of two words.
pub(super) fn word<T: Copy>(
    section: &Section<'_>,
    key: &'static str,
    words: [(&str, T); 2],
) -> Option<T> {
    let said = section.text(key)?;
    let found = words.iter().find(|(word, _)| *word == said).map(|(_, means)| *means);
    if found.is_none() {
        let [(one, _), (other, _)] = words;
        section.wrong(key, format!("{said:?} is neither {one:?} nor {other:?}"));
    }
    found
}
