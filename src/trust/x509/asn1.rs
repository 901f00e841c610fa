//! Reads DER element by element: raw parts that were signed, and times with fractions. No library does either.

use der::asn1::AnyRef;
use der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

use crate::clock::Timestamp;

/// The elements of a SEQUENCE or SET, one after the other.
pub(in crate::trust) struct Elements<'a> {
    reader: SliceReader<'a>,
}

impl<'a> Elements<'a> {
    /// The elements of the one constructed element that `der` is.
    pub(in crate::trust) fn of(der: &'a [u8]) -> Option<Self> {
        let outer = AnyRef::from_der(der).ok()?;
        Self::within(outer.value())
    }

    /// The elements that stand in `content`.
    pub(in crate::trust) fn within(content: &'a [u8]) -> Option<Self> {
        Some(Self { reader: SliceReader::new(content).ok()? })
    }

    /// The next element, whole.
    pub(in crate::trust) fn raw(&mut self) -> Option<&'a [u8]> {
        if self.reader.is_finished() {
            return None;
        }
        self.reader.tlv_bytes().ok()
    }

    /// The content of the next element, which must have this tag.
    pub(in crate::trust) fn content(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let any = AnyRef::from_der(self.raw()?).ok()?;
        (any.tag() == tag).then_some(any.value())
    }

    /// The same, if the next element has this tag; otherwise it stays.
    pub(in crate::trust) fn optional(&mut self, tag: Tag) -> Option<&'a [u8]> {
        (!self.reader.is_finished() && self.reader.peek_header().ok()?.tag == tag)
            .then(|| self.content(tag))?
    }

    pub(in crate::trust) fn is_finished(&self) -> bool {
        self.reader.is_finished()
    }
}

/// `[number]`, constructed or not.
pub(in crate::trust) const fn context(number: u8, constructed: bool) -> Tag {
    let number = match number {
        0 => der::TagNumber::N0,
        1 => der::TagNumber::N1,
        2 => der::TagNumber::N2,
        3 => der::TagNumber::N3,
        _ => der::TagNumber::N4,
    };
    Tag::ContextSpecific { constructed, number }
}

/// A small INTEGER that is not negative.
pub(in crate::trust) fn small(content: &[u8]) -> Option<u32> {
    if content.is_empty() || content.len() > 5 || content.first()? & 0x80 != 0 {
        return None;
    }
    let sum = content.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    u32::try_from(sum).ok()
}

/// The content of a GeneralizedTime in UTC, with a fraction or without (RFC 3161, section 2.4.2).
pub(in crate::trust) fn generalized_time(content: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(content).ok()?;
    let (digits, rest) = text.split_at_checked(14)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to);
    let (date, time) = (
        format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?),
        format!("{}:{}:{}", part(8, 10)?, part(10, 12)?, part(12, 14)?),
    );
    Timestamp::parse_rfc3339(&format!("{date}T{time}{rest}")).filter(|_| rest.ends_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_are_utc() {
        let time = generalized_time(b"20300101000000.25Z").unwrap();
        assert_eq!((time.unix(), time.subsec_nanos()), (1_893_456_000, 250_000_000));
        assert_eq!(generalized_time(b"20300101000000Z").unwrap().subsec_nanos(), 0);
        for text in [
            &b"20300101000000"[..],
            b"20300101000000+0100",
            b"20300101000000.Z",
            b"20300101000060Z",
            b"203001010000Z",
            b"2030-01-01T00:Z",
            b"20301301000000Z",
            b"",
        ] {
            assert_eq!(generalized_time(text), None, "{text:?}");
        }
    }

    #[test]
    fn small_integers_are_not_negative() {
        assert_eq!(small(&[0]), Some(0));
        assert_eq!(small(&[0, 0xff, 0xff, 0xff, 0xff]), Some(u32::MAX));
        for content in [&b""[..], &[0x80], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 0]] {
            assert_eq!(small(content), None);
        }
    }
}
