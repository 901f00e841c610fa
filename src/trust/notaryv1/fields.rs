//! Reads the members of a JSON object by their exact names. Go's decoder also accepts names in another case. Such names
//! are refused, so that no other reader finds members that this one does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::{Array, Object, Value};
use crate::trust::refusal::{Reason, Refusal};

/// The members of an object, and its place in the file for messages.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    place: &'a str,
    members: Object<'a>,
}

pub(super) fn malformed(because: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Malformed, because)
}

impl<'a> Fields<'a> {
    /// Reads `value` as an object. Refuses a member of `known` in another case.
    pub(super) fn of(place: &'a str, value: Value<'a>, known: &[&str]) -> Result<Self, Refusal> {
        let members =
            value.as_object().ok_or_else(|| malformed(format!("{place} is not an object")))?;
        if let Some(name) = value.miscased(known) {
            return Err(malformed(format!("{place} has the member {name:?} in the wrong case")));
        }
        Ok(Self { place, members })
    }

    /// The member `name`. A `null` counts as missing.
    pub(super) fn optional(&self, name: &str) -> Option<Value<'a>> {
        self.members.member(name).filter(|value| !value.is_null())
    }

    pub(super) fn required(&self, name: &str) -> Result<Value<'a>, Refusal> {
        self.optional(name).ok_or_else(|| malformed(format!("{} has no {name:?}", self.place)))
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, Refusal> {
        self.required(name)?.as_str().ok_or_else(|| self.wrong(name, "a string"))
    }

    pub(super) fn integer(&self, name: &str) -> Result<i64, Refusal> {
        self.required(name)?.as_integer().ok_or_else(|| self.wrong(name, "an integer below 2^53"))
    }

    /// An integer of at least `least`.
    pub(super) fn count(&self, name: &str, least: u64) -> Result<u64, Refusal> {
        u64::try_from(self.integer(name)?)
            .ok()
            .filter(|count| *count >= least)
            .ok_or_else(|| self.wrong(name, &format!("{least} or more")))
    }

    /// Standard base64 with padding.
    pub(super) fn base64(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        STANDARD.decode(self.text(name)?).map_err(|_| self.wrong(name, "base64"))
    }

    /// The items of an array with at most `most` items. Empty if the member is missing.
    pub(super) fn items(
        &self,
        name: &str,
        most: usize,
    ) -> Result<impl Iterator<Item = Value<'a>> + use<'a>, Refusal> {
        let items = match self.optional(name) {
            Some(value) => Some(value.as_array().ok_or_else(|| self.wrong(name, "an array"))?),
            None => None,
        };
        if items.is_some_and(|items| items.len() > most) {
            return Err(self.wrong(name, &format!("an array of at most {most} items")));
        }
        Ok(items.into_iter().flat_map(Array::iter))
    }

    /// The strings of an array with at most `most` items.
    pub(super) fn texts(&self, name: &str, most: usize) -> Result<Vec<&'a str>, Refusal> {
        let text =
            |item: Value<'a>| item.as_str().ok_or_else(|| self.wrong(name, "an array of strings"));
        self.items(name, most)?.map(text).collect()
    }

    /// The members of an object with at most `most` members. Empty if the member is missing.
    pub(super) fn members(
        &self,
        name: &str,
        most: usize,
    ) -> Result<impl Iterator<Item = (&'a str, Value<'a>)> + use<'a>, Refusal> {
        let members = match self.optional(name) {
            Some(value) => Some(value.as_object().ok_or_else(|| self.wrong(name, "an object"))?),
            None => None,
        };
        if members.is_some_and(|members| members.len() > most) {
            return Err(self.wrong(name, &format!("an object of at most {most} members")));
        }
        Ok(members.into_iter().flat_map(Object::iter))
    }

    pub(super) fn wrong(&self, name: &str, expected: &str) -> Refusal {
        malformed(format!("{}: {name:?} is not {expected}", self.place))
    }
}
