//! Keys that are valid in other tables of the same kind, but not in this one.

use super::Section;

impl Section<'_> {
    /// Reports an error with the reason, if `key` is present.
    pub fn refuse(&self, key: &'static str, why: &str) {
        if self.has(key) {
            self.value(key);
            self.wrong(key, why);
        }
    }
}
