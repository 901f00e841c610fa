//! Volumes: complete, and mixed up.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;

use super::*;

#[test]
fn volumes_are_read_without_joining_them() {
    let folder = Folder::new("volumes");
    parts().write(&folder.0.join("whole.tar"), None);
    let published = parts().write(&folder.path(), Some(1 << 20));
    assert_eq!(published.files.len(), 1 + 4);
    let bundle = Bundle::open(&folder.path()).unwrap();
    check(&bundle);
    bundle.check_volumes().unwrap();
    let volumes = published.files.iter().filter(|file| file.extension().unwrap() != "sha256");
    let joined: Vec<u8> = volumes.flat_map(|volume| fs::read(volume).unwrap()).collect();
    assert_eq!(joined, fs::read(folder.0.join("whole.tar")).unwrap());
    let list = fs::read_to_string(folder.0.join("a.tar.sha256")).unwrap();
    let first = Digest::of(&fs::read(folder.0.join("a.tar.001")).unwrap()).hex();
    assert!(list.starts_with(&format!("{first}  a.tar.001\n")), "{list}");
    for (file, bundle) in
        [("a.tar", "a.tar"), ("a.tar.001", "a.tar"), ("a.tar.sha256", "a.tar"), ("b", "b")]
    {
        assert_eq!(bundle_of(Path::new(file)), Path::new(bundle));
    }
}

#[test]
fn volumes_in_the_wrong_order_are_rejected() {
    let folder = Folder::new("order");
    parts().write(&folder.path(), Some(1 << 20));
    let [one, two, spare] = ["a.tar.001", "a.tar.002", "spare"].map(|name| folder.0.join(name));
    fs::rename(&one, &spare).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(&spare, &two).unwrap();
    assert!(matches!(Bundle::open(&folder.path()).unwrap_err().problem, Problem::Tar(_)));
    // Volumes of content have no headers that show their order.
    let three = folder.0.join("a.tar.003");
    fs::rename(&one, &spare).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(&three, &two).unwrap();
    fs::rename(&spare, &three).unwrap();
    let bundle = Bundle::open(&folder.path()).unwrap();
    let error = bundle.check_volumes().unwrap_err();
    assert!(matches!(error.problem, Problem::Source(SourceError::WrongVolume(_))), "{error}");
}

#[test]
fn a_volume_of_another_bundle_is_rejected() {
    let folder = Folder::new("another");
    parts().write(&folder.path(), Some(1 << 20));
    let mut other = parts();
    other.layers[0] = Bytes::from(vec![8; 3 << 20]);
    other.contents.images[0].blobs[2] = listed(&other.layers[0]);
    other.write(&folder.0.join("b.tar"), Some(1 << 20));
    fs::copy(folder.0.join("b.tar.002"), folder.0.join("a.tar.002")).unwrap();
    let bundle = Bundle::open(&folder.path()).unwrap();
    let error = bundle.check_volumes().unwrap_err().to_string();
    assert!(error.contains("a.tar.002 has the wrong checksum"), "{error}");
    let layer = Digest::of(&parts().layers[0]);
    let read = bundle.whole_blob(&layer, 4 << 20);
    assert!(matches!(read, Err(ReadError::Mismatch { .. })));
}

#[test]
fn volumes_are_checked_as_they_were_opened() {
    let folder = Folder::new("opened");
    parts().write(&folder.path(), Some(1 << 20));
    let volume = folder.0.join("a.tar.002");
    let good = fs::read(&volume).unwrap();
    let replace = |content: &[u8]| {
        fs::remove_file(&volume).unwrap();
        File::create(&volume).unwrap().write_all(content).unwrap();
    };
    // The bundle reads the wrong volume; the right one appears for the check only.
    replace(&vec![8; good.len()]);
    let bundle = Bundle::open(&folder.path()).unwrap();
    replace(&good);
    let error = bundle.check_volumes().unwrap_err();
    assert!(matches!(error.problem, Problem::Source(SourceError::WrongVolume(_))), "{error}");
    // The bundle reads the right volumes, whatever replaces them and their list.
    let bundle = Bundle::open(&folder.path()).unwrap();
    replace(b"x");
    File::create(folder.0.join("a.tar.sha256")).unwrap();
    bundle.check_volumes().unwrap();
}

#[test]
fn a_missing_volume_is_named() {
    for missing in ["a.tar.002", "a.tar.004"] {
        let folder = Folder::new("missing-volume");
        parts().write(&folder.path(), Some(1 << 20));
        fs::remove_file(folder.0.join(missing)).unwrap();
        let error = Bundle::open(&folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("{missing} is missing")), "{error}");
        fs::remove_file(folder.0.join("a.tar.sha256")).unwrap();
        let error = Bundle::open(&folder.path()).unwrap_err().to_string();
        assert!(error.contains("incomplete") || error.contains("beyond the end"), "{error}");
    }
}

#[test]
fn a_list_of_checksums_with_other_names_is_rejected() {
    for list in ["", "x", "00  a.tar.001", &format!("{:064}  ../a.tar.001", 0)] {
        let folder = Folder::new("list");
        parts().write(&folder.path(), Some(4 << 20));
        let mut file = File::create(folder.0.join("a.tar.sha256")).unwrap();
        file.write_all(list.as_bytes()).unwrap();
        let error = Bundle::open(&folder.path()).unwrap_err();
        assert!(matches!(error.problem, Problem::Source(SourceError::Checksums(_))), "{error}");
    }
}

#[test]
fn volumes_do_not_mix_with_an_older_bundle() {
    let folder = Folder::new("mix");
    let (plan, _) = parts().plan();
    parts().write(&folder.path(), Some(1 << 20));
    for volume_size in [None, Some(2 << 20)] {
        let error = Writer::create(&folder.path(), volume_size, &plan).unwrap_err().to_string();
        assert!(error.contains("a.tar.001 exists; remove it"), "{error}");
    }
    File::create(folder.path()).unwrap();
    let error = Bundle::open(&folder.path()).unwrap_err().to_string();
    assert!(error.contains("exists beside volumes"), "{error}");
}
