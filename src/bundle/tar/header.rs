//! One header block (POSIX ustar), and the PAX record of a size. Pure.

use super::read::TarError;
use super::{BLOCK, MAX_USTAR};

pub(super) const SIZE: usize = BLOCK as usize;
pub(super) type Block = [u8; SIZE];

/// The name of a PAX header. Readers ignore it.
const PAX_NAME: &str = "pax-size";
const MAGIC: &[u8] = b"ustar\x0000";

/// What a header announces.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A regular file.
    File { name: String, size: u64 },
    /// `size` bytes of PAX records for the next header.
    Pax { size: u64 },
    /// A block of zeros: the end of the archive begins.
    End,
}

/// The header of a regular file. The name must have at most 100 bytes. A size beyond [`MAX_USTAR`] is written as zero:
/// a PAX record precedes the header.
pub(super) fn file(name: &str, size: u64) -> Block {
    encode(name, if size > MAX_USTAR { 0 } else { size }, b'0')
}

/// The PAX header of a size beyond [`MAX_USTAR`], and its record; `None` for a smaller size.
pub(super) fn pax(size: u64) -> Option<[Block; 2]> {
    if size <= MAX_USTAR {
        return None;
    }
    let record = record(size);
    let mut content = [0; SIZE];
    content[..record.len()].copy_from_slice(record.as_bytes());
    Some([encode(PAX_NAME, record.len() as u64, b'x'), content])
}

/// `LENGTH size=SIZE\n`, where LENGTH counts itself: two digits, as every size here has 10 to 20 digits.
fn record(size: u64) -> String {
    let rest = format!(" size={size}\n");
    format!("{}{rest}", rest.len() + 2)
}

fn encode(name: &str, size: u64, kind: u8) -> Block {
    let mut block = [0; SIZE];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, &[kind]);
    put(257, MAGIC);
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The sum of all bytes, with spaces in the place of the checksum.
fn checksum(block: &Block) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

/// Reads the header at the offset `at` of the file.
pub(super) fn decode(block: &Block, at: u64) -> Result<Header, TarError> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(Header::End);
    }
    if block[257..265] != *MAGIC {
        return Err(TarError::NotUstar { at });
    }
    if octal(&block[148..156]) != Some(u64::from(checksum(block))) {
        return Err(TarError::Checksum { at });
    }
    let size = octal(&block[124..136]).ok_or(TarError::Size { at })?;
    match block[156] {
        b'0' => {}
        b'x' => return Ok(Header::Pax { size }),
        kind => return Err(TarError::Kind { at, kind: kind.into() }),
    }
    // A link name or a prefix makes some readers see another file.
    if block[157..257].iter().chain(&block[345..500]).any(|byte| *byte != 0) {
        return Err(TarError::Name { at, name: shown(&block[345..500]) });
    }
    let name = block[..100].split(|byte| *byte == 0).next().unwrap_or_default();
    let is_rest_zero = block[name.len()..100].iter().all(|byte| *byte == 0);
    match str::from_utf8(name) {
        Ok(name) if is_rest_zero => Ok(Header::File { name: name.to_owned(), size }),
        Ok(_) | Err(_) => Err(TarError::Name { at, name: shown(&block[..100]) }),
    }
}

/// The size in a PAX header's `records`, which must consist of exactly one record: a size that ustar cannot hold.
pub(super) fn pax_size(records: &[u8], at: u64) -> Result<u64, TarError> {
    let unexpected = || TarError::Pax { at, record: shown(records) };
    let text = str::from_utf8(records).map_err(|_| unexpected())?;
    let value = text.split_once(" size=").ok_or_else(unexpected)?.1;
    let size: u64 = value.trim_end_matches('\n').parse().map_err(|_| unexpected())?;
    if size <= MAX_USTAR || record(size) != text {
        return Err(unexpected());
    }
    Ok(size)
}

/// An octal number that ends in NUL or space. Numbers in GNU's binary form are not octal.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let is_rest_blank = field[digits..].iter().all(|byte| matches!(byte, 0 | b' '));
    if digits == 0 || digits == field.len() || !is_rest_blank {
        return None;
    }
    let digits = str::from_utf8(&field[..digits]).ok()?;
    u64::from_str_radix(digits, 8).ok()
}

fn shown(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    crate::text::shown(&String::from_utf8_lossy(&bytes[..end]), 160)
}
