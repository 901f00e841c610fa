//! Each attack on the format of a bundle by its name: `bundle verify` and `bundle import` reject the bundle with an error
//! that names it, and a gate that serves a folder ignores the bundle and names it, too. The unit tests of `bundle` have more
//! variants.

use std::fs;
use std::path::Path;

use countersign::app::import::{import, verify};
use countersign::bundle::{BundleSet, trust_data};
use countersign::oci::Digest;
use countersign::registry_client::BundleFiles;
use serde_json::json;

use super::{Site, is_unknown};
use crate::carried::{Carried, header, put, tar};
use crate::notary_repository::{Certificate, GUN, Key, NotaryRepository};

/// The files of a bundle `evil.tar`, and a part of the error that rejects it.
struct Attack {
    name: &'static str,
    files: Vec<(String, Vec<u8>)>,
    error: &'static str,
}

fn attack(name: &'static str, error: &'static str, tar: Vec<u8>) -> Attack {
    Attack { name, files: vec![("evil.tar".to_owned(), tar)], error }
}

/// A tar that begins with an entry of this header and content, followed by a good bundle.
fn beginning(mut head: Vec<u8>, content: &[u8], good: &[u8]) -> Vec<u8> {
    head.extend(content);
    head.resize(head.len().next_multiple_of(512), 0);
    [&head, good].concat()
}

/// The checksum of a changed header.
fn summed(mut header: Vec<u8>) -> Vec<u8> {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// `good`: the parts of a bundle.
fn attacks(good: &Carried) -> Vec<Attack> {
    let whole = good.tar();
    let entries = good.entries();
    let mut attacks = Vec::new();
    for name in ["../escape", "/etc/passwd", "./index.json", "blobs/sha256/../../index.json"] {
        let tar = beginning(header(name, 1, b'0', ""), b"x", &whole);
        attacks.push(attack("an escaping name", "a name that no bundle contains", tar));
    }
    for (kind, name) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a character device"),
        (b'4', "a block device"),
        (b'5', "a folder"),
        (b'6', "a FIFO"),
        (b'S', "a sparse file"),
        (b'L', "a long name of GNU"),
        (b'g', "a global PAX header"),
    ] {
        let tar = beginning(header("index.json", 0, kind, "/etc/passwd"), b"", &whole);
        attacks.push(attack(name, "is not a regular file", tar));
    }
    for (record, name) in [
        (&b"19 path=index.json\n"[..], "a PAX path"),
        (b"10 size=3\n", "a small PAX size"),
        (b"28 GNU.sparse.realsize=1024\n", "a PAX sparse file"),
    ] {
        let tar = beginning(header("pax", record.len(), b'x', ""), record, &whole);
        attacks.push(attack(name, "an unexpected PAX record", tar));
    }
    let mut binary = header("index.json", 0, b'0', "");
    binary[124..136].copy_from_slice(&[0xff; 12]);
    attacks.push(attack(
        "a binary size",
        "an invalid size",
        beginning(summed(binary), b"", &whole),
    ));
    let beyond = header("index.json", whole.len() * 2, b'0', "");
    let beyond = beginning(beyond, b"", &whole);
    attacks.push(attack("a size beyond the end", "extends beyond the end of the file", beyond));
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    attacks.push(attack("a damaged header", "a wrong checksum", damaged));
    let twice = tar(&[entries.clone(), entries.clone()].concat());
    attacks.push(attack("entries twice", "occurs twice", twice));
    let trailing = [&whole[..], &whole].concat();
    attacks.push(attack("data after the end", "data after the end", trailing));
    for (left_out, error) in
        [("oci-layout", "`oci-layout` is missing"), ("index.json", "`index.json` is missing")]
    {
        let rest = entries.iter().filter(|(name, _)| name != left_out).cloned();
        attacks.push(attack("a missing file", error, tar(&rest.collect::<Vec<_>>())));
    }
    let cut = whole[..whole.len() / 1024 * 512].to_vec();
    attacks.push(attack("an incomplete file", "it is not a bundle", cut));

    let mut changed = good.clone();
    changed.images[0]["size"] = json!(1);
    attacks.push(attack(
        "a lying size in the index",
        "does not contain in this size",
        changed.tar(),
    ));
    let mut changed = good.clone();
    changed.contents[0]["blobs"][0]["size"] = json!(1);
    attacks.push(attack("a lying size in the list", "disagree about", changed.tar()));
    let mut changed = good.clone();
    changed.images.push(changed.images[0].clone());
    attacks.push(attack("a name twice", "two images have the name", changed.tar()));
    let mut changed = good.clone();
    changed.documents.insert("../escape".to_owned(), b"x".to_vec());
    attacks.push(attack("an escaping document", "the bundle artifact is invalid", changed.tar()));
    let contents = good.entries().into_iter().find(|(_, it)| it.starts_with(b"{\"format\""));
    let (name, content) = contents.unwrap();
    let lie = vec![b' '; content.len()];
    let lied = entries
        .iter()
        .map(|(at, it)| (at.clone(), if *at == name { lie.clone() } else { it.clone() }));
    let lied = tar(&lied.collect::<Vec<_>>());
    attacks.push(attack("a list with a wrong digest", "has the digest", lied));

    let list = |names: &[(&str, &[u8])]| {
        let lines = names.iter().map(|(name, of)| format!("{}  {name}\n", Digest::of(of).hex()));
        lines.collect::<String>().into_bytes()
    };
    let (one, two) = whole.split_at(whole.len() / 1024 * 512);
    let named = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
    let sums = list(&[("evil.tar.001", one), ("evil.tar.002", two)]);
    attacks.push(Attack {
        name: "volumes in the wrong order",
        files: vec![named("evil.tar.001", two), named("evil.tar.002", one)],
        error: "it is not a bundle",
    });
    attacks.push(Attack {
        name: "a missing volume",
        files: vec![named("evil.tar.001", one), named("evil.tar.sha256", &sums)],
        error: "evil.tar.002 is missing",
    });
    attacks.push(Attack {
        name: "a list of other volumes",
        files: vec![
            named("evil.tar.001", one),
            named("evil.tar.002", two),
            named("evil.tar.sha256", &list(&[("a", one), ("b", two)])),
        ],
        error: "does not list exactly the volumes",
    });
    attacks.push(Attack {
        name: "a file beside volumes",
        files: vec![named("evil.tar", &whole), named("evil.tar.001", one)],
        error: "exists beside volumes",
    });
    attacks
}

/// The errors of `bundle verify` and `bundle import`.
async fn errors(path: &Path) -> [String; 2] {
    let mut receiver = Site::new(false).await.world;
    receiver.stop().await;
    let (config, clock) = (receiver.config(), receiver.clock.clone());
    let verified =
        verify(&config, clock.clone(), path, None, &|_| ()).await.map(|it| it.to_string());
    let imported = import(&config, clock, path, &|_| ()).await.map(|it| it.to_string());
    [verified, imported].map(|result| format!("{:#}", result.unwrap_err()))
}

#[tokio::test]
async fn each_attack_on_the_format_is_rejected_by_name() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    site.carry("good.tar");
    site.world.pull("v1").await.serves(&manifest);
    site.push_signed("v2", "two");
    let attacks = attacks(&site.carried());
    assert_eq!(attacks.len(), 33);
    for Attack { name, files, error } in attacks {
        for (file, content) in &files {
            put(&site.path(file), content);
        }
        let path = site.path("evil.tar");
        let set = BundleSet::new(BundleFiles::new(&path).unwrap());
        let flaws = set.flaws().join("\n");
        let [verified, imported] = Box::pin(errors(&path)).await;
        for found in [&verified, &imported, &flaws] {
            assert!(found.contains(error) && found.contains("evil.tar"), "{name}: {found}");
        }
        site.world.pull("v1").await.serves(&manifest);
        is_unknown(&site.world.pull("v2").await);
        for (file, _) in &files {
            fs::remove_file(site.path(file)).unwrap();
        }
    }
    assert!(!site.world.incoming().parent().unwrap().join("escape").exists());
    // Without the attack, the image is there.
    site.carry("evil.tar");
    assert_eq!(site.world.pull("v2").await.status, 200);
}

#[tokio::test]
async fn volumes_of_two_bundles_are_rejected_by_name_and_not_served() {
    let site = Site::new(false).await;
    let text = "x".repeat(4 << 20);
    let manifest = site.push_signed("v1", &text);
    let whole = site.carried().tar();
    let mut other = whole.clone();
    let at = other.windows(64).position(|window| window == [b'x'; 64]).unwrap();
    other[at + (1 << 20)..at + (2 << 20)].fill(b'y');
    let volumes = |of: &[u8]| {
        let (first, rest) = of.split_at(at + 512);
        [first].into_iter().chain(rest.chunks(1 << 20)).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let (good, evil) = (volumes(&whole), volumes(&other));
    let mut sums = String::new();
    for (number, volume) in good.iter().enumerate() {
        let name = format!("a.tar.{:03}", number + 1);
        sums += &format!("{}  {name}\n", Digest::of(volume).hex());
        // The first volume, with all headers that are checked, belongs to the list.
        let volume = if number == 0 { volume } else { &evil[number] };
        put(&site.path(&name), volume);
    }
    put(&site.path("a.tar.sha256"), sums.as_bytes());
    for error in Box::pin(errors(&site.path("a.tar"))).await {
        assert!(error.contains("a.tar.002 has the wrong checksum"), "{error}");
    }
    site.world.pull("v1").await.serves(&manifest);
    let path = format!("/v2/{}/blobs/{}", crate::whole_gate::APP, Digest::of(text.as_bytes()));
    let got = site.world.try_mirror(&path).await;
    assert!(got.map_or(true, |body| body.len() < text.len()), "mixed volumes were served");
}

#[tokio::test]
async fn a_million_entries_are_rejected_by_name() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    site.carry("good.tar");
    let head = header(&format!("blobs/sha256/{:064x}", 0), 0, b'0', "");
    let sum = |header: &[u8]| header.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let rest = sum(&head) - sum(&head[13..77]) - sum(&head[148..156]) + 8 * 32;
    let mut evil = Vec::with_capacity(head.len() * 200_003);
    for number in 0..200_001 {
        let mut next = head.clone();
        next[13..77].copy_from_slice(format!("{number:064x}").as_bytes());
        let sum = rest + sum(&next[13..77]);
        next[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        evil.extend(next);
    }
    put(&site.path("evil.tar"), &evil);
    let flaws = BundleSet::new(BundleFiles::new(&site.path("evil.tar")).unwrap()).flaws();
    let [verified, imported] = Box::pin(errors(&site.path("evil.tar"))).await;
    for found in [&verified, &imported, &flaws.join("\n")] {
        assert!(found.contains("it has more than 200000 entries"), "{found}");
    }
    site.world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn a_bundle_with_another_root_is_refused() {
    let mut site = Site::of_notary().await;
    let manifest = site.world.push_signed("v1", "one");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&manifest);
    // Mallory signs another image with a root of her own.
    let evil = site.world.push("v1", "evil");
    let mut files = site.world.notary.published();
    for trust in files.values_mut() {
        let mut signer = NotaryRepository::empty(GUN);
        *signer.keys_mut("root") = vec![Certificate::named(GUN).of(&Key::named("mallory"))];
        signer.tag("targets", "v1", &evil);
        *trust = signer.publish();
    }
    let swapped = Carried::of(site.world.registry.registry(), &files);
    swapped.write(&site.path("a.tar"));
    site.world.pass(std::time::Duration::from_secs(600));
    // The trust memory has what verified.
    site.world.pull("v1").await.serves(&manifest);
    site.world.restart_afresh().await;
    swapped.write(&site.path("a.tar"));
    site.world.pull("v1").await.is_refused("root_not_pinned");
}

#[tokio::test]
async fn a_frozen_archive_is_read_as_guardedly_as_a_bundle() {
    let site = Site::new(false).await;
    site.push_signed("v1", "one");
    let good = site.carried();
    trust_data(good.tar().into()).unwrap();
    for Attack { name, files, error } in attacks(&good) {
        if let [(_, tar)] = &files[..] {
            let found = trust_data(tar.clone().into()).unwrap_err();
            assert!(found.contains(error), "{name}: {found}");
        }
    }
}
