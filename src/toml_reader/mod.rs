//! Reads TOML tables key by key and collects every error with its line and key, so that all of them can be fixed at
//! once. Knows no key by name: each module reads its own section.

mod files;
mod foreign;
mod instant;
mod refused;
mod values;
mod watched;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use foreign::not_text;
pub use values::{duration, size};
pub use watched::{FileStamps, WatchedFiles};

/// The largest configuration file.
const MAX_FILE: u64 = 4 << 20;
/// The largest text file that a configuration names, such as a key or a password.
const MAX_NAMED_FILE: u64 = 1 << 20;

/// One error in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    pub line: usize,
    /// The dotted key, `anchor.root_keys`; empty for the file as a whole.
    pub key: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All errors in a configuration, sorted by line.
#[derive(Debug, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// A TOML file that is being read.
pub struct Document {
    file: PathBuf,
    text: String,
    problems: RefCell<Vec<Problem>>,
    /// The files that it names.
    named: RefCell<BTreeSet<PathBuf>>,
}

impl Document {
    /// Reads the file; its text is parsed by [`Document::read`].
    pub fn open(file: &Path) -> Result<Self, Problems> {
        let wrong = |message: String| {
            Problems(vec![Problem { file: file.to_owned(), line: 1, key: String::new(), message }])
        };
        let hint = "; `config.example.toml` is a template";
        let hint = if file.exists() { "" } else { hint };
        let text =
            files::text(file, MAX_FILE).map_err(|message| wrong(format!("{message}{hint}")))?;
        Ok(Self::from_text(file, text))
    }

    /// A document with the given text; `file` names it in messages, and its folder is the base of relative paths.
    pub fn from_text(file: &Path, text: String) -> Self {
        let (problems, named) =
            (RefCell::default(), RefCell::from(BTreeSet::from([file.to_owned()])));
        Self { file: file.to_owned(), text, problems, named }
    }

    /// The original text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Parses the text and passes its top level to `read`. Returns the result of `read` only if there were no errors.
    pub fn read<T>(&self, read: impl FnOnce(&Section<'_>) -> Option<T>) -> Result<T, Problems> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let format = if errors.is_empty() { None } else { foreign::other_format(&self.text) };
        if let Some(format) = format {
            let message = format!(
                "this is {format}, but the configuration is TOML: [server] begins a table, and listen = \"127.0.0.1:5050\" \
                 sets a key; `config.example.toml` is a template"
            );
            self.report(1, "", message);
        }
        for error in errors.iter().filter(|_| format.is_none()) {
            let at = error.span().map_or(0, |span| span.start);
            let line = self.line(at);
            let text = self.text.lines().nth(line - 1).unwrap_or_default();
            self.report(line, "", format!("{}{}", error.message(), values::unquoted(text)));
        }
        let made = if errors.is_empty() {
            let section = Section::new(self, String::new(), 1, table.get_ref());
            let made = read(&section);
            section.finish();
            made
        } else {
            None
        };
        let mut problems = self.problems.take();
        match made {
            Some(made) if problems.is_empty() => Ok(made),
            Some(_) | None => {
                problems.sort_by_key(|problem| problem.line);
                Err(Problems(problems))
            }
        }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The file itself and every file that it names, as far as it was read.
    pub fn files(&self) -> WatchedFiles {
        WatchedFiles::new(self.named.borrow().clone())
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count()
    }

    fn report(&self, line: usize, key: &str, message: String) {
        let problem = Problem { file: self.file.clone(), line, key: key.to_owned(), message };
        let mut problems = self.problems.borrow_mut();
        // A value may be read more than once; its error is reported once.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

/// One table of a document. Keys are read by name; a key that nobody reads is unknown.
pub struct Section<'a> {
    document: &'a Document,
    name: String,
    line: usize,
    entries: BTreeMap<&'a str, (usize, &'a DeValue<'a>)>,
    read_keys: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    fn new(document: &'a Document, name: String, line: usize, table: &'a DeTable<'a>) -> Self {
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let key: &'a Spanned<std::borrow::Cow<'a, str>> = key;
            (key.get_ref().as_ref(), (document.line(key.span().start), value.get_ref()))
        };
        let entries = table.iter().map(entry).collect();
        Self { document, name, line, entries, read_keys: RefCell::default() }
    }

    /// The line on which this section begins.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Whether the key is present.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether the key is present and not an empty list.
    pub fn lists(&self, key: &str) -> bool {
        let value = self.entries.get(key).map(|(_, value)| value.as_array());
        value.is_some_and(|list| list.is_none_or(|list| !list.is_empty()))
    }

    /// Reports an error in the value of `key`; if the key is missing, in the section.
    pub fn wrong(&self, key: &str, message: impl Into<String>) {
        let line = self.entries.get(key).map_or(self.line, |(line, _)| *line);
        self.document.report(line, &self.dotted(key), message.into());
    }

    fn dotted(&self, key: &str) -> String {
        match (self.name.as_str(), key) {
            ("", key) => key.to_owned(),
            (name, "") => name.to_owned(),
            (name, key) => format!("{name}.{key}"),
        }
    }

    fn value(&self, key: &'static str) -> Option<&'a DeValue<'a>> {
        self.read_keys.borrow_mut().insert(key);
        self.entries.get(key).map(|(_, value)| *value)
    }

    fn of_type<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value);
        if read.is_none() {
            self.wrong(key, format!("expected {expected}, found {}", values::found(value)));
        }
        read
    }

    /// A string.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.of_type(key, "a string in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.of_type(key, "true or false", DeValue::as_bool)
    }

    /// A whole number from `least` to `most`.
    pub fn count(&self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let expected = format!("a whole number from {least} to {most}");
        self.of_type(key, &expected, |value| {
            let integer = value.as_integer()?;
            let count =
                u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()?;
            (least..=most).contains(&count).then_some(count)
        })
    }

    /// A string that is parsed into a type.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(e) => {
                self.wrong(key, format!("{text:?}: {e}"));
                None
            }
        }
    }

    /// The same; reports an error if the key is missing.
    pub fn required<T: FromStr<Err: fmt::Display>>(&self, key: &'static str) -> Option<T> {
        if !self.has(key) {
            self.value(key);
            self.wrong("", format!("`{key}` is required"));
            return None;
        }
        self.parsed(key)
    }

    /// An address and a port, `"127.0.0.1:5050"`; reports an error if the key is missing.
    pub fn listen(&self, key: &'static str) -> Option<SocketAddr> {
        let text = self.required::<String>(key)?;
        let address = text.parse();
        let message =
            "is not an address to listen on: write \"127.0.0.1:5050\", or \"0.0.0.0:5050\" for all";
        address.map_err(|_| self.wrong(key, format!("{text:?} {message}"))).ok()
    }

    /// `"30s"`, `"5m"`, `"24h"`.
    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        self.with(key, values::duration)
    }

    /// `"20GiB"`, in bytes.
    pub fn size(&self, key: &'static str) -> Option<u64> {
        self.with(key, values::size)
    }

    fn with<T>(&self, key: &'static str, read: fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        match read(&text) {
            Ok(read) => Some(read),
            Err(message) => {
                self.wrong(key, message);
                None
            }
        }
    }

    /// A date without a time, as `(year, month, day)`.
    pub fn date(&self, key: &'static str) -> Option<(u16, u8, u8)> {
        self.of_type(key, "a date such as 2027-01-31, without quotes", |value| {
            let date = value.as_datetime().filter(|at| at.time.is_none())?.date?;
            Some((date.year, date.month, date.day))
        })
    }

    /// A path; a relative one starts in the folder of the document.
    pub fn path(&self, key: &'static str) -> Option<PathBuf> {
        let path = self.text(key)?;
        if path.is_empty() {
            self.wrong(key, "an empty string is not a path");
            return None;
        }
        Some(self.resolve(self.file_name(key, &path)?))
    }

    /// The path of a file that another module reads.
    pub fn file(&self, key: &'static str) -> Option<PathBuf> {
        let path = self.path(key)?;
        self.document.named.borrow_mut().insert(path.clone());
        Some(path)
    }

    /// The path of a file that is read here.
    fn named(&self, path: &str) -> PathBuf {
        let path = self.resolve(path);
        self.document.named.borrow_mut().insert(path.clone());
        path
    }

    /// `path`, relative to the folder of the document.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.document.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A list of strings; `None` if the key is missing or wrong.
    pub fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        self.of_type(key, "a list of strings", |value| {
            value
                .as_array()?
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect()
        })
    }

    /// A table of strings with names that the operator chooses, `{ name = "text" }`.
    pub fn named_texts(&self, key: &'static str) -> Option<BTreeMap<String, String>> {
        self.of_type(key, "a table of strings, { name = \"text\" }", |value| {
            let text = |(name, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
                let name: &'a Spanned<std::borrow::Cow<'a, str>> = name;
                Some((name.get_ref().clone().into_owned(), value.get_ref().as_str()?.to_owned()))
            };
            value.as_table()?.iter().map(text).collect()
        })
    }

    /// A nested table, `[key]`.
    pub fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let table = self.of_type(key, "a table", DeValue::as_table)?;
        let line = self.entries.get(key).map_or(self.line, |(line, _)| *line);
        Some(Section::new(self.document, self.dotted(key), line, table))
    }

    /// The tables of an array of tables, `[[key]]`.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let sections = self.of_type(key, "tables, each beginning with [[…]]", |value| {
            let array = value.as_array()?;
            array
                .iter()
                .map(|item| {
                    let line = self.document.line(item.span().start);
                    let table = item.get_ref().as_table()?;
                    Some(Section::new(self.document, self.dotted(key), line, table))
                })
                .collect::<Option<Vec<_>>>()
        });
        sections.unwrap_or_default()
    }

    /// Reports every key that nobody read.
    pub fn finish(&self) {
        let read_keys = self.read_keys.borrow();
        for key in self.entries.keys().filter(|key| !read_keys.contains(*key)) {
            let near = read_keys.iter().filter(|known| values::near(known, key)).min();
            let hint = match near {
                Some(known) => format!("; did you mean `{known}`?"),
                None if read_keys.is_empty() => String::new(),
                None => format!("; valid keys are {}", values::list(read_keys.iter())),
            };
            self.wrong(key, format!("unknown key{hint}"));
        }
    }
}

#[cfg(test)]
mod tests;
