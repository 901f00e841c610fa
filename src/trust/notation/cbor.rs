//! Checks the depth and the size of CBOR before it is parsed.

/// How deep items may nest, tags included.
const MAX_DEPTH: usize = 8;
/// The most items of one text.
const MAX_ITEMS: usize = 4096;

/// Whether `text` is exactly one item of definite length within these limits.
pub(super) fn is_bounded(text: &[u8]) -> bool {
    let mut scan = Scan { rest: text, items: 0 };
    scan.item(0).is_some() && scan.rest.is_empty()
}

struct Scan<'a> {
    rest: &'a [u8],
    items: usize,
}

impl Scan<'_> {
    fn item(&mut self, depth: usize) -> Option<()> {
        self.items += 1;
        if depth > MAX_DEPTH || self.items > MAX_ITEMS {
            return None;
        }
        let (major, argument) = self.head()?;
        match major {
            0 | 1 | 7 => Some(()),
            2 | 3 => {
                let length = usize::try_from(argument).ok()?;
                self.rest = self.rest.get(length..)?;
                Some(())
            }
            4 => self.items(argument, depth),
            5 => self.items(argument.checked_mul(2)?, depth),
            _ => self.item(depth + 1),
        }
    }

    fn items(&mut self, count: u64, depth: usize) -> Option<()> {
        for _ in 0..count {
            self.item(depth + 1)?;
        }
        Some(())
    }

    /// The major type and the argument of the next item (RFC 8949, section 3).
    fn head(&mut self) -> Option<(u8, u64)> {
        let (first, rest) = self.rest.split_first()?;
        let (major, short) = (first >> 5, first & 0x1f);
        let more = match short {
            0..=23 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        let bytes = rest.get(..more)?;
        self.rest = rest.get(more..)?;
        let long = bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Some((major, if more == 0 { u64::from(short) } else { long }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_items_are_bounded() {
        for text in
            [&b"\x00"[..], b"\xd2\x84\x40\xa0\x41a\x40", b"\xa1\x01\x26", b"\x82\xf6\x1a\0\0\0\0"]
        {
            assert!(is_bounded(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_endless_deep_short_or_followed_by_more_is_not() {
        let deep = [vec![0x81; 9], vec![0]].concat();
        let many = [vec![0x99, 0x10, 0x00], vec![0; 4096]].concat();
        let texts: [&[u8]; 9] = [
            b"",
            b"\x00\x00",
            b"\x5f\x41a\xff",
            b"\x9f\x00\xff",
            b"\x42a",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            &deep,
            &many,
        ];
        for text in texts {
            assert!(!is_bounded(text), "{text:?}");
        }
    }
}
