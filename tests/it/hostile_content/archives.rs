//! Layers that contain only text, but that an engine would unpack.

use std::time::Duration;

use super::{Site, signatures_of};
use crate::sigstore::Layer;

const RULE: &str = "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\n";

/// A file in the oldest format of `tar` without zero bytes: fields that are full need none after them.
fn archive(content: &str) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(format!("{:/<98}sh", "usr/bin/").bytes());
    for field in ["0000755 ", "0000000 ", "0000000 "] {
        header.extend(field.bytes());
    }
    header.extend(format!("{:011o} {:011o} ", content.len(), 0).bytes());
    header.extend(b"        0");
    header.resize(512, b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header.splice(148..156, format!("{sum:06o}  ").bytes());
    header.extend(content.bytes());
    header.resize(header.len().next_multiple_of(512), b'\n');
    assert!(!header.contains(&0) && std::str::from_utf8(&header).is_ok());
    header
}

async fn is_denied(layer: Vec<u8>) {
    let site = Site::new(&["ci"], RULE).await;
    let good = site.push_signed("v1", "good", "ci");
    site.world.pull("v1").await.serves(&good);
    let layer =
        Layer { media_type: "text/spdx".to_owned(), payload: layer, annotations: [].into() };
    let digest = site.put_layers(&[layer]);
    site.tag(&signatures_of(&good, ".sbom"), digest);
    for reference in [signatures_of(&good, ".sbom"), digest.to_string()] {
        assert_eq!(site.world.pull(reference).await.status, 404, "it was served");
        site.world.pass(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn a_tar_archive_of_text_is_not_a_signature() {
    is_denied(archive("#!/bin/sh\necho nobody signed this\n")).await;
}

#[tokio::test]
async fn text_that_starts_as_a_compressed_archive_is_not_a_signature() {
    // bzip2 begins with letters, and the rest can consist of letters, too.
    is_denied(b"BZh91AY&SY and so on".to_vec()).await;
}
