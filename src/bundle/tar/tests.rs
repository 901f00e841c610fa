//! Hostile tar files, one attack in each test.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use super::header::{self, Block};
use super::read::{Extent, Table, TarError};
use super::write::TarWriter;
use super::*;
use crate::bundle::source::Source;

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

/// A header with the changes of `edit` and a correct checksum.
fn edited(name: &str, size: u64, edit: impl FnOnce(&mut Block)) -> Vec<u8> {
    let mut block = header::file(name, size);
    edit(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.to_vec()
}

fn with_end(mut tar: Vec<u8>) -> Vec<u8> {
    tar.extend([0; 2 * header::SIZE]);
    tar
}

/// One entry with three bytes of content, and the end.
fn one(head: Vec<u8>) -> Vec<u8> {
    let mut tar = head;
    tar.extend([b'a'; 3]);
    tar.extend([0; header::SIZE - 3]);
    with_end(tar)
}

fn path(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("countersign-tar-{test}-{}", std::process::id()))
}

fn read(test: &str, tar: &[u8]) -> Result<Table, TarError> {
    let path = path(test);
    File::create(&path).unwrap().write_all(tar).unwrap();
    let source = Source::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    Table::read(&source)
}

fn honest() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    tar.entry(Name::OciLayout, b"layout").unwrap();
    tar.entry(Name::Index, &[b'i'; 512]).unwrap();
    tar.entry(Name::Blob(digest(1)), b"").unwrap();
    tar.entry(Name::Blob(digest(2)), &[7; 513]).unwrap();
    tar.finish().unwrap()
}

#[test]
fn written_entries_are_read_at_their_offsets() {
    let tar = honest();
    let table = read("honest", &tar).unwrap();
    let content = |extent: Extent| {
        let start = usize::try_from(extent.offset).unwrap();
        tar[start..start + usize::try_from(extent.size).unwrap()].to_vec()
    };
    assert_eq!(content(table.oci_layout.unwrap()), b"layout");
    assert_eq!(content(table.index.unwrap()), [b'i'; 512]);
    assert_eq!(content(table.blob(&digest(1)).unwrap()), b"");
    assert_eq!(content(table.blob(&digest(2)).unwrap()), [7; 513]);
    assert_eq!(table.blob(&digest(3)), None);
    assert_eq!(table.blobs().count(), 2);
    assert_eq!(tar.len() as u64, super::read::tar_size([6, 512, 0, 513].into_iter()));
}

#[test]
fn equal_entries_give_equal_bytes() {
    assert_eq!(honest(), honest());
}

#[test]
fn a_name_outside_the_layout_is_rejected() {
    let hex = digest(1).hex();
    for name in [
        "../oci-layout",
        "/etc/passwd",
        "./index.json",
        "blobs/sha256/../../index.json",
        "blobs/sha256/",
        "blobs/sha256/00",
        "blobs/sha256",
        "blobs/",
        "",
        "INDEX.JSON",
        "index.json/",
        "index.json ",
        &format!("blobs/sha512/{hex}"),
        &format!("blobs/sha256/{}", hex.to_uppercase()),
        &format!("blobs/sha256/{hex}/x"),
        &format!("blobs//sha256/{hex}"),
    ] {
        let found = read("escape", &one(edited(name, 3, |_| {})));
        assert!(matches!(found, Err(TarError::Name { at: 0, .. })), "{name:?}: {found:?}");
    }
}

#[test]
fn a_name_with_bytes_after_its_end_is_rejected() {
    let tar = one(edited("index.json", 3, |block| block[11] = b'x'));
    assert!(matches!(read("after", &tar), Err(TarError::Name { .. })));
    let tar = one(edited("index.json", 3, |block| block[0] = 0xff));
    assert!(matches!(read("utf8", &tar), Err(TarError::Name { .. })));
}

#[test]
fn a_prefix_that_changes_the_name_is_rejected() {
    let tar = one(edited("index.json", 3, |block| block[345..348].copy_from_slice(b"../")));
    assert!(matches!(read("prefix", &tar), Err(TarError::Name { .. })));
}

#[test]
fn links_devices_folders_and_sparse_files_are_rejected() {
    for kind in *b"123456\x007gKLMNSVXAD" {
        let tar = one(edited("index.json", 3, |block| block[156] = kind));
        let found = read("kind", &tar);
        let is = matches!(found, Err(TarError::Kind { at: 0, kind: it }) if it == char::from(kind));
        assert!(is, "{kind}: {found:?}");
    }
}

#[test]
fn a_regular_file_with_a_link_name_is_rejected() {
    let tar = one(edited("index.json", 3, |block| block[157] = b'x'));
    assert!(matches!(read("linkname", &tar), Err(TarError::Name { .. })));
}

#[test]
fn a_header_of_another_tar_format_is_rejected() {
    for magic in [b"ustar  \0", b"\0\0\0\0\0\0\0\0", b"ustar\x0001"] {
        let tar = one(edited("index.json", 3, |block| block[257..265].copy_from_slice(magic)));
        assert!(matches!(read("magic", &tar), Err(TarError::NotUstar { at: 0 })));
    }
    assert!(matches!(read("text", &[b'a'; 1024]), Err(TarError::NotUstar { .. })));
}

#[test]
fn a_wrong_checksum_is_rejected() {
    for at in [0, 100, 130, 150, 300, 511] {
        let mut tar = one(header::file("index.json", 3).to_vec());
        tar[at] ^= 1;
        let found = read("checksum", &tar);
        assert!(matches!(found, Err(TarError::Checksum { at: 0 })), "{at}: {found:?}");
    }
}

#[test]
fn a_size_that_is_not_octal_is_rejected() {
    for size in [
        *b"-0000000003\0",
        *b"00000000008\0",
        *b"           3",
        *b"0x000000003\0",
        *b"000000000003",
        *b"3\x0000000000\0\0",
        *b"\0\0\0\0\0\0\0\0\0\0\0\0",
        *b"\x80\0\0\0\0\0\0\0\0\0\0\x03",
        [0xff; 12],
    ] {
        let tar = one(edited("index.json", 3, |block| block[124..136].copy_from_slice(&size)));
        assert!(matches!(read("size", &tar), Err(TarError::Size { at: 0 })), "{size:?}");
    }
}

#[test]
fn a_size_beyond_the_end_is_rejected() {
    for size in [513, 1 << 30, MAX_USTAR] {
        let tar = with_end(edited("index.json", size, |_| {}));
        let found = read("beyond", &tar[..512 + 512]);
        assert!(matches!(found, Err(TarError::BeyondEnd { .. })), "{size}: {found:?}");
    }
}

/// The size of the next header, as a PAX record with a correct length.
fn pax(records: &[u8]) -> Vec<u8> {
    let size = records.len() as u64;
    let mut tar = edited("pax", size, |block| block[156] = b'x');
    tar.extend(records);
    tar.extend(vec![0; usize::try_from(padding(size)).unwrap()]);
    tar
}

#[test]
fn a_pax_size_that_overflows_is_rejected() {
    for size in ["18446744073709551615", "18446744073709551000", "9223372036854775807"] {
        let record = format!("{} size={size}\n", size.len() + 9);
        let mut tar = pax(record.as_bytes());
        tar.extend(header::file("index.json", 0));
        let found = read("overflow", &with_end(tar));
        assert!(matches!(found, Err(TarError::BeyondEnd { .. })), "{size}: {found:?}");
    }
}

#[test]
fn a_pax_record_other_than_a_large_size_is_rejected() {
    for record in [
        &b"19 path=index.json\n"[..],
        b"20 linkpath=/etc/sh\n",
        b"10 size=3\n",
        b"20 size=08589934592\n",
        b"19 size=8589934592",
        b"20 size=8589934592\n",
        b"19 size=+589934592\n",
        b"19 size=8589934592\n19 size=8589934593\n",
        b"19 size=8589934592\n19 path=index.json\n",
        b"22 GNU.sparse.major=1\n",
        b"28 GNU.sparse.realsize=1024\n",
        b"999999 size=8589934592\n",
        b"\xff\xff size=8589934592\n",
        b"",
    ] {
        let mut tar = pax(record);
        tar.extend(header::file("index.json", 0));
        let found = read("pax", &with_end(tar));
        assert!(matches!(found, Err(TarError::Pax { .. })), "{record:?}: {found:?}");
    }
}

#[test]
fn a_pax_size_beside_another_size_is_rejected() {
    let mut tar = pax(b"19 size=8589934592\n");
    tar.extend(header::file("index.json", 3));
    assert!(matches!(read("both", &with_end(tar)), Err(TarError::Size { .. })));
}

#[test]
fn pax_records_without_a_file_or_without_end_are_rejected() {
    let record = b"19 size=8589934592\n";
    assert!(matches!(read("alone", &with_end(pax(record))), Err(TarError::Pax { .. })));
    let twice = [pax(record), pax(record)].concat();
    assert!(matches!(read("twice", &with_end(twice)), Err(TarError::Pax { .. })));
    let global = edited("index.json", 19, |block| block[156] = b'g');
    assert!(matches!(read("global", &with_end(global)), Err(TarError::Kind { kind: 'g', .. })));
    let mut huge = edited("pax", 1 << 20, |block| block[156] = b'x');
    huge.extend(vec![b'a'; 1 << 20]);
    assert!(matches!(read("huge", &with_end(huge)), Err(TarError::Pax { .. })));
}

#[test]
fn a_blob_that_ustar_cannot_hold_is_written_and_read() {
    let size = MAX_USTAR + 2;
    let path = path("large");
    let name = Name::Blob(digest(1)).to_string();
    let head = [header::pax(size).unwrap().concat(), header::file(&name, size).to_vec()].concat();
    // A hole in the file instead of 8 GiB.
    let mut file = File::create(&path).unwrap();
    file.write_all(&head).unwrap();
    file.set_len(super::read::tar_size([size].into_iter())).unwrap();
    let table = Table::read(&Source::open(&path).unwrap()).unwrap();
    assert_eq!(table.blob(&digest(1)), Some(Extent { offset: 3 * BLOCK, size }));
    fs::remove_file(path).unwrap();
}

#[test]
fn an_entry_that_occurs_twice_is_rejected() {
    for name in [Name::Index, Name::OciLayout, Name::DockerManifest, Name::Blob(digest(1))] {
        let mut tar = TarWriter::new(Vec::new());
        tar.entry(name, b"one").unwrap();
        tar.entry(Name::Blob(digest(2)), b"between").unwrap();
        tar.entry(name, b"two").unwrap();
        let found = read("duplicate", &tar.finish().unwrap());
        assert!(matches!(found, Err(TarError::Duplicate(it)) if it == name), "{found:?}");
    }
}

#[test]
fn data_in_the_padding_is_rejected() {
    let mut tar = one(header::file("index.json", 3).to_vec());
    tar[512 + 3] = b'x';
    assert!(matches!(read("padding", &tar), Err(TarError::Padding { at: 515 })));
}

#[test]
fn data_after_the_end_is_rejected() {
    for rest in [vec![0; 512], vec![b'x'; 512], b"x".to_vec(), honest()] {
        let tar = [honest(), rest].concat();
        assert!(matches!(read("trailing", &tar), Err(TarError::Trailing { .. })));
    }
}

#[test]
fn a_cut_file_is_rejected_at_every_length() {
    let tar = honest();
    for length in 0..tar.len() {
        let found = read("cut", &tar[..length]);
        let is = matches!(found, Err(TarError::Truncated { .. } | TarError::BeyondEnd { .. }));
        assert!(is, "{length}: {found:?}");
    }
}

#[test]
fn one_block_of_zeros_between_entries_is_rejected() {
    let mut tar = honest();
    tar.splice(1024..1024, [0; 512]);
    assert!(read("zeros", &tar).is_err());
}

#[test]
fn a_million_entries_are_rejected() {
    let mut tar = Vec::new();
    let mut number = 0_u32;
    while tar.len() / header::SIZE <= MAX_ENTRIES {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        tar.extend(header::file(&Name::Blob(Digest::from_sha256(hash)).to_string(), 0));
        number += 1;
    }
    assert!(matches!(read("million", &with_end(tar)), Err(TarError::TooManyEntries)));
}

proptest::proptest! {
    #[test]
    fn arbitrary_changes_never_make_the_reader_panic(at in 0_usize..4608, byte: u8, cut in 0_usize..4608) {
        let mut tar = honest();
        let at = at % tar.len();
        tar[at] = byte;
        tar.truncate(tar.len() - cut % 8);
        let _ = read(&format!("any-{at}-{byte}-{cut}"), &tar);
    }
}
