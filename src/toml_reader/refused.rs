//! Keys that other tables of the same kind take, and this one cannot.

use super::Section;

impl Section<'_> {
    /// Reports `key`, if it is there, with the reason why it means nothing here.
    pub fn refuse(&self, key: &'static str, why: &str) {
        if self.has(key) {
            self.value(key);
            self.wrong(key, why);
        }
    }
}
