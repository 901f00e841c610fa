//! `max_size`: what the store evicts, keeps, and does not store at all.

use countersign::oci::{Digest, MediaType};
use countersign::store::{HeldAs, Unkept};
use serde_json::json;

use super::{Rig, manifest, repository};

/// Distinct contents of a hundred bytes each.
fn hundred(n: u8) -> Vec<u8> {
    vec![n; 100]
}

/// The manifest of an image with this layer.
fn image(layer: &[u8]) -> Vec<u8> {
    let blob = |content: &[u8]| {
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
               "digest": Digest::of(content).to_string(), "size": content.len()})
    };
    let image = json!({"schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(),
                       "config": blob(b"{}"), "layers": [blob(layer)]});
    image.to_string().into_bytes()
}

impl Rig {
    /// Whether each of the contents is stored.
    fn kept<const N: usize>(&self, which: [u8; N]) -> [bool; N] {
        which.map(|n| self.keeps(&hundred(n)))
    }

    fn bytes_on_disk(&self) -> u64 {
        let files = ["content", "incoming", "rotten"].into_iter().flat_map(|f| self.files(f));
        files.map(|file| file.metadata().unwrap().len()).sum()
    }
}

#[test]
fn the_least_recently_used_is_evicted_first() {
    let rig = Rig::new(300);
    for n in 1..=3 {
        rig.keep(&hundred(n), HeldAs::Blob).unwrap();
    }
    drop(rig.content(&hundred(1)).unwrap());
    rig.keep(&hundred(4), HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 2, 3, 4]), [true, false, true, true]);
    rig.keep(&[9; 200], HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 3, 4]), [false, false, true]);
    assert_eq!(rig.metric("countersign_store_evictions_total"), 3);
    assert_eq!(rig.metric("countersign_store_bytes"), 300);
    assert_eq!(rig.bytes_on_disk(), 300);
    assert!(rig.content(&hundred(3)).is_none());
}

#[tokio::test]
async fn the_order_outlives_a_restart() {
    let rig = Rig::new(300);
    for n in 1..=3 {
        rig.keep(&hundred(n), HeldAs::Blob).unwrap();
    }
    drop(rig.content(&hundred(1)).unwrap());
    let rig = rig.restart(300).await;
    rig.keep(&hundred(4), HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 2, 3, 4]), [true, false, true, true]);
    drop(rig.content(&hundred(3)).unwrap());
    rig.keep(&hundred(5), HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 3, 4, 5]), [false, true, true, true]);
}

#[test]
fn manifests_are_evicted_after_blobs_and_served_ones_last() {
    let rig = Rig::new(400);
    rig.keep(&hundred(1), manifest()).unwrap();
    rig.store.keep_longest(&Digest::of(&hundred(1)));
    rig.keep(&hundred(2), manifest()).unwrap();
    rig.keep(&hundred(3), HeldAs::Blob).unwrap();
    // A blob that is also a manifest.
    rig.keep(&hundred(4), HeldAs::Blob).unwrap();
    let digest = Digest::of(&hundred(4));
    rig.store.hold(&repository("library/other"), &digest, &manifest());
    drop(rig.content(&hundred(3)).unwrap());
    rig.keep(&hundred(5), HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 2, 3, 4, 5]), [true, true, false, true, true]);
    rig.keep(&[6; 200], HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 2, 4, 5]), [true, false, true, false]);
    rig.keep(&[7; 300], HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 4]), [true, false]);
    rig.keep(&[8; 400], HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1]), [false]);
}

#[test]
fn content_in_use_is_not_evicted() {
    let rig = Rig::new(400);
    for n in 1..=3 {
        rig.keep(&hundred(n), HeldAs::Blob).unwrap();
    }
    // A slice of the bytes pins the content, and so does a reader of an ingest.
    let piece = rig.content(&hundred(1)).unwrap().bytes().slice(7..9);
    let arriving = {
        let ingest = rig.begin(&hundred(4), Some(100)).unwrap();
        let arriving = ingest.arriving();
        let whole = ingest.verify().unwrap();
        drop(whole.publish(&rig.repository, HeldAs::Blob).unwrap());
        arriving
    };
    rig.keep(&[5; 200], HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 2, 3, 4]), [true, false, false, true]);
    assert!(matches!(rig.keep(&[6; 300], HeldAs::Blob), Err(Unkept::NoRoom)));
    assert_eq!((&piece[..], rig.keeps(&[5; 200])), (&[1, 1][..], true));
    drop(piece);
    rig.keep(&[6; 300], HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 4]), [false, true]);
    drop(arriving);
    rig.keep(&[7; 400], HeldAs::Blob).unwrap();
}

#[test]
fn a_manifest_is_not_evicted_while_its_layer_is_read() {
    let layer = hundred(1);
    let (image, other) = (image(&layer), image(b"another"));
    let size = (image.len() + other.len()) as u64 + 100;
    let rig = Rig::new(size);
    rig.keep(&layer, HeldAs::Blob).unwrap();
    rig.keep(&image, manifest()).unwrap();
    rig.keep(&other, manifest()).unwrap();
    let reading = rig.content(&layer).unwrap();
    rig.keep(&hundred(2), HeldAs::Blob).unwrap();
    assert!(rig.keeps(&image) && !rig.keeps(&other));
    drop(reading);
    rig.keep(&vec![3; usize::try_from(size).unwrap()], HeldAs::Blob).unwrap();
    assert!(!rig.keeps(&image));
}

#[test]
fn space_is_reserved_for_running_ingests() {
    let rig = Rig::new(300);
    rig.keep(&hundred(1), HeldAs::Blob).unwrap();
    let announced = rig.store.ingest(&Digest::of(&[9; 200]), Some(200)).unwrap();
    assert_eq!(rig.kept([1]), [true]);
    rig.keep(&hundred(2), HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([1, 2]), [false, true]);
    assert!(matches!(rig.keep(&[3; 101], HeldAs::Blob), Err(Unkept::NoRoom)));
    assert_eq!(rig.kept([2]), [true], "content was evicted in vain");
    drop(announced);
    rig.keep(&[3; 101], HeldAs::Blob).unwrap();
}

#[test]
fn an_abandoned_ingest_takes_space_until_its_last_reader_leaves() {
    let rig = Rig::new(300);
    let arriving = rig.begin(&[9; 250], Some(250)).unwrap().arriving();
    assert!(matches!(rig.keep(&hundred(1), HeldAs::Blob), Err(Unkept::NoRoom)));
    drop(arriving);
    rig.keep(&hundred(1), HeldAs::Blob).unwrap();
}

#[test]
fn content_of_unknown_length_reserves_space_as_it_arrives() {
    let rig = Rig::new(300);
    for n in 1..=3 {
        rig.keep(&hundred(n), HeldAs::Blob).unwrap();
    }
    let content = [9; 250];
    let mut ingest = rig.store.ingest(&Digest::of(&content), None).unwrap();
    assert_eq!(rig.kept([1, 2, 3]), [true, true, true]);
    for piece in content.chunks(50) {
        ingest.append(piece).unwrap();
        assert!(rig.bytes_on_disk() <= 300);
    }
    assert_eq!(rig.kept([1, 2, 3]), [false, false, false]);
    ingest.verify().unwrap().publish(&rig.repository, HeldAs::Blob).unwrap();
    assert_eq!(rig.metric("countersign_store_bytes"), 250);
}

#[test]
fn content_larger_than_the_store_is_not_stored_and_evicts_nothing() {
    let rig = Rig::new(300);
    rig.keep(&hundred(1), HeldAs::Blob).unwrap();
    assert!(matches!(rig.store.ingest(&Digest::of(b"x"), Some(301)), Err(Unkept::TooLarge)));
    let mut ingest = rig.store.ingest(&Digest::of(b"y"), None).unwrap();
    assert!(matches!(ingest.append(&[1; 301]), Err(Unkept::TooLarge)));
    assert_eq!(rig.kept([1]), [true]);
    // As if the ingest had never been tried.
    assert_eq!(ingest.position(), 0);
    ingest.append(b"y").unwrap();
    ingest.verify().unwrap().publish(&rig.repository, HeldAs::Blob).unwrap();
    assert!(rig.content(b"y").is_some());
}

#[tokio::test]
async fn a_store_with_a_smaller_limit_shrinks() {
    let rig = Rig::new(300);
    for n in 1..=3 {
        rig.keep(&hundred(n), HeldAs::Blob).unwrap();
    }
    let rig = rig.restart(150).await;
    rig.store.look_after();
    assert_eq!(rig.kept([1, 2, 3]), [false, false, true]);
    assert_eq!(rig.bytes_on_disk(), 100);
}

#[test]
fn links_are_removed_with_their_parent() {
    let rig = Rig::new(300);
    let child = Digest::of(b"child");
    rig.keep(&hundred(1), manifest()).unwrap();
    rig.store.link(&rig.repository, &child, &Digest::of(&hundred(1)));
    assert_eq!(rig.store.parents(&rig.repository, &child).len(), 1);
    rig.keep(&[9; 300], HeldAs::Blob).unwrap();
    assert!(rig.store.parents(&rig.repository, &child).is_empty());
    rig.keep(&hundred(1), HeldAs::Blob).unwrap();
    assert!(rig.store.parents(&rig.repository, &child).is_empty());
    let digest = Digest::of(&hundred(1));
    assert!(!rig.store.is_manifest(&rig.repository, &digest));
}

/// Only the bytes that a registry sends evict other content, not the length that it announces.
#[test]
fn announced_lengths_evict_little() {
    let most = 40 << 20;
    let rig = Rig::new(most);
    for n in 1..=3 {
        rig.keep(&hundred(n), HeldAs::Blob).unwrap();
    }
    let announced = rig.store.ingest(&Digest::of(b"never sent"), Some(most / 2)).unwrap();
    assert_eq!(rig.kept([1, 2, 3]), [true, true, true]);
    drop(announced);
    let large = vec![9; 20 << 20];
    let mut ingest = rig.store.ingest(&Digest::of(&large), Some(20 << 20)).unwrap();
    large.chunks(1 << 20).for_each(|piece| ingest.append(piece).unwrap());
    drop(ingest.verify().unwrap().publish(&rig.repository, HeldAs::Blob).unwrap());
    assert_eq!(rig.bytes_on_disk(), (20 << 20) + 300);
    drop(rig.store.ingest(&Digest::of(b"never sent"), Some(most / 2)).unwrap());
    assert!(rig.keeps(&large));
}

#[test]
fn a_file_that_cannot_be_removed_does_not_stop_eviction() {
    let rig = Rig::new(300);
    for n in 1..=3 {
        rig.keep(&hundred(n), HeldAs::Blob).unwrap();
    }
    let stuck = rig.path(&hundred(1));
    std::fs::remove_file(&stuck).unwrap();
    std::fs::create_dir(&stuck).unwrap();
    rig.keep(&hundred(4), HeldAs::Blob).unwrap();
    assert_eq!(rig.kept([2, 3, 4]), [false, true, true]);
}

#[test]
fn a_failed_eviction_evicts_nothing() {
    let rig = Rig::new(300);
    let pinned = rig.keep(&hundred(1), HeldAs::Blob).unwrap();
    let others: Vec<[u8; 1]> = (0..100).map(|n| [n]).collect();
    for other in &others {
        rig.keep(other, HeldAs::Blob).unwrap();
    }
    std::thread::scope(|scope| {
        let seeking = scope.spawn(|| {
            for _ in 0..200 {
                let room = rig.store.ingest(&Digest::of(b"large"), Some(300));
                assert!(matches!(room, Err(Unkept::NoRoom)));
            }
        });
        for other in others.iter().cycle() {
            assert!(rig.content(other).is_some());
            if seeking.is_finished() {
                break;
            }
        }
    });
    drop(pinned);
}
