//! Bundles that are written and read again, and hostile ones.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::contents::{self, Blob as Listed};
use super::layout::{Attached, Image, Pointer};
use super::tar::Name;
use super::tar::write::TarWriter;
use super::*;
use crate::oci::{Digest, MediaType};

mod messages;
mod revocation;
mod set;
mod volumes;

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("countersign-bundle-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("a.tar")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The parts of a bundle with one image and one signature, which a test may change.
struct Parts {
    contents: Contents,
    index: Index,
    documents: Documents,
    small: Vec<Bytes>,
    layers: Vec<Bytes>,
}

fn pointer(content: &Bytes) -> Pointer {
    let media_type = MediaType::OciImage;
    Pointer { digest: Digest::of(content), size: content.len() as u64, media_type }
}

fn listed(content: &Bytes) -> Listed {
    Listed { digest: Digest::of(content).to_string(), size: content.len() as u64 }
}

fn parts() -> Parts {
    let manifest = Bytes::from_static(b"{\"the\":\"manifest\"}");
    let signature = Bytes::from_static(b"{\"the\":\"signature\"}");
    let layer: Bytes = (0_u32..3 << 20).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let name = "r.example/app:1";
    let image = contents::Image {
        names: vec![name.to_owned()],
        digest: Digest::of(&manifest).to_string(),
        blobs: [&manifest, &signature, &layer].map(listed).to_vec(),
        ..contents::Image::default()
    };
    let contents =
        Contents { format: contents::FORMAT, images: vec![image], ..Contents::default() };
    let attached = Attached {
        manifest: pointer(&signature),
        subject: Digest::of(&manifest),
        artifact_type: Some("application/vnd.example".to_owned()),
        repository: Some("r.example/app".parse().unwrap()),
        tag: Some("sha256-x.sig".parse().unwrap()),
    };
    let index = Index {
        artifact: pointer(&manifest),
        images: vec![Image { name: name.parse().unwrap(), manifest: pointer(&manifest) }],
        attached: vec![attached],
    };
    let mut documents = Documents::default();
    documents.add("rules.toml", &b"[[rule]]"[..]).unwrap();
    Parts { contents, index, documents, small: vec![manifest, signature], layers: vec![layer] }
}

impl Parts {
    /// The plan, and all content by digest.
    fn plan(mut self) -> (Plan, Vec<Bytes>) {
        self.documents.add(documents::CONTENTS, self.contents.to_json().unwrap()).unwrap();
        let artifact = self.documents.artifact().unwrap();
        self.index.artifact = artifact.pointer;
        let mut plan = Plan::new(self.index);
        self.small.extend(artifact.blobs.into_values());
        for small in &self.small {
            plan.small(Digest::of(small), small.len() as u64).unwrap();
        }
        for layer in &self.layers {
            plan.layer(Digest::of(layer), layer.len() as u64).unwrap();
        }
        (plan, [self.small, self.layers].concat())
    }

    fn write(self, path: &Path, volume_size: Option<u64>) -> Published {
        let (plan, content) = self.plan();
        let mut writer = Writer::create(path, volume_size, &plan).unwrap();
        while let Some((digest, _)) = writer.next_blob().unwrap() {
            let content = content.iter().find(|content| Digest::of(content) == digest).unwrap();
            for piece in content.chunks(100_000) {
                writer.write(piece).unwrap();
            }
        }
        writer.finish().unwrap()
    }

    /// Writes the tar without the checks of [`Writer`].
    fn write_unchecked(mut self, path: &Path) {
        self.documents.add(documents::CONTENTS, self.contents.to_json().unwrap()).unwrap();
        let artifact = self.documents.artifact().unwrap();
        self.index.artifact = artifact.pointer;
        let index = self.index.to_json().unwrap();
        self.small.extend(artifact.blobs.into_values());
        let mut tar = TarWriter::new(Vec::new());
        tar.entry(Name::OciLayout, layout::OCI_LAYOUT).unwrap();
        tar.entry(Name::Index, &index).unwrap();
        for content in self.small.iter().chain(&self.layers) {
            tar.entry(Name::Blob(Digest::of(content)), content).unwrap();
        }
        File::create(path).unwrap().write_all(&tar.finish().unwrap()).unwrap();
    }
}

fn open(parts: Parts, test: &str) -> Result<Bundle, Problem> {
    let folder = Folder::new(test);
    parts.write_unchecked(&folder.path());
    Bundle::open(&folder.path()).map_err(|error| error.problem)
}

fn check(bundle: &Bundle) {
    let parts = parts();
    assert_eq!(bundle.index().images, parts.index.images);
    assert_eq!(bundle.index().attached, parts.index.attached);
    assert_eq!(bundle.contents().images[0].digest, parts.contents.images[0].digest);
    assert_eq!(bundle.document("rules.toml").unwrap().unwrap(), "[[rule]]");
    assert_eq!(bundle.document("other").unwrap(), None);
    assert_eq!(
        bundle.documents().map(|(title, _)| title).collect::<Vec<_>>(),
        ["contents.json", "rules.toml"]
    );
    let layer = &parts.layers[0];
    let blob = bundle.blob(&Digest::of(layer)).unwrap();
    assert_eq!(blob.size(), layer.len() as u64);
    assert_eq!(blob.read(0, usize::MAX).unwrap(), layer);
    assert_eq!(blob.read(blob.size() - 2, 10).unwrap().len(), 2);
    assert_eq!(blob.read(u64::MAX, 10).unwrap().len(), 0);
    assert!(bundle.blob(&Digest::of(b"other")).is_none());
    let manifest = &parts.small[0];
    assert_eq!(bundle.whole_blob(&Digest::of(manifest), 99).unwrap().unwrap(), manifest);
    assert!(bundle.whole_blob(&Digest::of(manifest), 3).is_err());
}

#[test]
fn a_written_bundle_is_read_again() {
    let folder = Folder::new("again");
    let published = parts().write(&folder.path(), None);
    assert_eq!(published.files, [folder.path()]);
    assert_eq!(published.size, fs::metadata(folder.path()).unwrap().len());
    let bundle = Bundle::open(&folder.path()).unwrap();
    assert_eq!(bundle.size(), published.size);
    check(&bundle);
}

#[test]
fn equal_input_gives_equal_bytes() {
    let folder = Folder::new("equal");
    let written = |name: &str, parts: Parts| {
        let path = folder.0.join(name);
        parts.write(&path, None);
        Digest::of(&fs::read(path).unwrap())
    };
    let mut reversed = parts();
    reversed.small.reverse();
    reversed.contents.images[0].blobs.reverse();
    assert_eq!(written("1.tar", parts()), written("2.tar", reversed));
}

#[test]
fn an_interrupted_writer_leaves_no_file() {
    let folder = Folder::new("interrupted");
    for volume_size in [None, Some(1 << 20)] {
        let (plan, content) = parts().plan();
        let mut writer = Writer::create(&folder.path(), volume_size, &plan).unwrap();
        while let Some((digest, size)) = writer.next_blob().unwrap() {
            if size > 1 << 20 {
                writer.write(&[7; 2 << 20]).unwrap();
                break;
            }
            writer.write(content.iter().find(|it| Digest::of(it) == digest).unwrap()).unwrap();
        }
        let names = folder.names();
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with('.')), "{names:?}");
        // Another writer of the same bundle must wait.
        assert!(Writer::create(&folder.path(), volume_size, &plan).is_err());
        drop(writer);
        assert_eq!(folder.names(), [""; 0]);
    }
    // What a crash leaves is replaced.
    File::create(folder.0.join(".a.tar.part")).unwrap().write_all(&[9; 9 << 20]).unwrap();
    parts().write(&folder.path(), None);
    assert_eq!(folder.names(), ["a.tar"]);
    check(&Bundle::open(&folder.path()).unwrap());
}

#[test]
fn the_writer_rejects_content_other_than_planned() {
    let folder = Folder::new("other");
    let (plan, _) = parts().plan();
    let mut writer = Writer::create(&folder.path(), None, &plan).unwrap();
    let (_, size) = writer.next_blob().unwrap().unwrap();
    writer.write(&vec![0; usize::try_from(size).unwrap()]).unwrap();
    assert!(matches!(writer.write(b"x"), Err(WriteError::Length { .. })));
    let mut writer = {
        drop(writer);
        Writer::create(&folder.path(), None, &plan).unwrap()
    };
    let (_, size) = writer.next_blob().unwrap().unwrap();
    writer.write(&vec![0; usize::try_from(size).unwrap()]).unwrap();
    assert!(matches!(writer.next_blob(), Err(WriteError::Mismatch { .. })));
    drop(writer);
    let mut writer = Writer::create(&folder.path(), None, &plan).unwrap();
    writer.next_blob().unwrap();
    assert!(matches!(writer.next_blob(), Err(WriteError::Length { .. })));
    drop(writer);
    let writer = Writer::create(&folder.path(), None, &plan).unwrap();
    assert!(matches!(writer.finish(), Err(WriteError::Missing(_))));
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_missing_file_of_the_layout_is_named() {
    for left_out in [Name::OciLayout, Name::Index] {
        let folder = Folder::new("layout");
        let mut tar = TarWriter::new(Vec::new());
        let files = [(Name::OciLayout, layout::OCI_LAYOUT), (Name::Index, &b"{}"[..])];
        for (name, content) in files.into_iter().filter(|(name, _)| *name != left_out) {
            tar.entry(name, content).unwrap();
        }
        File::create(folder.path()).unwrap().write_all(&tar.finish().unwrap()).unwrap();
        let error = Bundle::open(&folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("`{left_out}` is missing")), "{error}");
    }
}

#[test]
fn an_image_whose_manifest_is_missing_is_rejected() {
    let mut parts = parts();
    parts.index.images[0].manifest.size += 1;
    assert!(matches!(open(parts, "unlisted"), Err(Problem::Unlisted(_))));
}

#[test]
fn a_list_of_contents_that_disagrees_with_the_files_is_rejected() {
    type Change = fn(&mut Parts);
    let changes: [Change; 7] = [
        |parts| parts.contents.images[0].blobs[2].size += 1,
        |parts| parts.contents.images[0].blobs[2].digest = Digest::of(b"other").to_string(),
        |parts| parts.contents.images[0].blobs[2].digest = "../x".to_owned(),
        |parts| parts.contents.images[0].assumed = vec![Digest::of(&parts.layers[0]).to_string()],
        |parts| parts.contents.images[0].names = vec!["r.example/other:1".to_owned()],
        |parts| parts.contents.images[0].names.push("r.example/other:1".to_owned()),
        |parts| parts.contents.images[0].digest = Digest::of(b"other").to_string(),
    ];
    for change in changes {
        let mut parts = parts();
        change(&mut parts);
        assert!(matches!(open(parts, "disagree"), Err(Problem::Disagree(_))));
    }
}

#[test]
fn content_that_is_assumed_may_be_missing() {
    let mut parts = parts();
    let layer = parts.layers.remove(0);
    parts.contents.images[0].assumed = vec![Digest::of(&layer).to_string()];
    let bundle = open(parts, "assumed").unwrap();
    assert!(bundle.blob(&Digest::of(&layer)).is_none());
}

#[test]
fn a_document_with_a_wrong_digest_is_refused() {
    let folder = Folder::new("lie");
    parts().write_unchecked(&folder.path());
    let mut bytes = fs::read(folder.path()).unwrap();
    let at = bytes.windows(8).position(|window| window == b"[[rule]]").unwrap();
    bytes[at] = b'#';
    File::create(folder.path()).unwrap().write_all(&bytes).unwrap();
    let bundle = Bundle::open(&folder.path()).unwrap();
    assert!(matches!(bundle.document("rules.toml"), Err(ReadError::Mismatch { .. })));
}

#[test]
fn an_index_that_two_tools_read_differently_is_rejected() {
    let index = String::from_utf8(parts().index.to_json().unwrap()).unwrap();
    Index::parse(index.as_bytes()).unwrap();
    let image = r#""io.containerd.image.name":"r.example/app:1""#;
    assert!(index.contains(image));
    for (from, to) in [
        (image, r#""io.containerd.image.name":"r.example/other:1""#),
        (image, r#""io.containerd.image.name":7"#),
        (
            r#""vnd.countersign.repository":"r.example/app"}"#,
            r#""vnd.countersign.repository":"r.example/b"}"#,
        ),
        (r#""io.containerd.image.name":"r.example/app:1","#, ""),
        (r#""schemaVersion":2"#, r#""schemaVersion":1"#),
        (r#""schemaVersion":2"#, r#""schemaVersion":2,"schemaVersion":2"#),
        (layout::ARTIFACT_TYPE, "application/vnd.other"),
    ] {
        let changed = index.replacen(from, to, 1);
        assert!(changed != index || from.contains("ARTIFACT"), "{from}");
        assert!(Index::parse(changed.as_bytes()).is_err(), "{from} → {to}");
    }
    let mut twice = parts().index;
    twice.images.push(twice.images[0].clone());
    twice.images[1].manifest.digest = Digest::of(b"other");
    assert!(Index::parse(&twice.to_json().unwrap()).is_err());
}

fn manifest_of(documents: &Documents) -> Bytes {
    let artifact = documents.artifact().unwrap();
    artifact.blobs[&artifact.pointer.digest].clone()
}

#[test]
fn a_document_name_that_escapes_is_rejected() {
    for title in
        ["", "/a", "a/", "../a", "a/../b", "a//b", ".a", "a\\b", "a\0", "-a", "é", &"a".repeat(256)]
    {
        assert!(Documents::default().add(title, &b""[..]).is_err(), "{title:?}");
        let mut artifact = Documents::default();
        artifact.add("TITLE", &b""[..]).unwrap();
        let manifest = String::from_utf8(manifest_of(&artifact).to_vec()).unwrap();
        let title = serde_json::to_string(title).unwrap();
        let manifest = manifest.replace("\"TITLE\"", &title);
        assert!(documents::parse(manifest.as_bytes()).is_err(), "{title}");
    }
    assert!(documents::parse(&manifest_of(&Documents::default())).unwrap().is_empty());
}

#[test]
fn a_format_of_a_later_version_is_named() {
    let error = Contents::parse(br#"{"format":2,"images":[]}"#).unwrap_err().to_string();
    assert!(error.contains("format 2") && error.contains("newer countersign"), "{error}");
    Contents::parse(br#"{"format":1,"future":{}}"#).unwrap();
    assert!(Contents::parse(br#"{"format":1,"format":1}"#).is_err());
}

#[test]
fn a_fifo_or_a_folder_is_not_a_bundle() {
    let folder = Folder::new("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, folder.path(), kind, mode, 0).unwrap();
    for path in [&folder.path(), &folder.0] {
        let problem = Bundle::open(path).unwrap_err().problem;
        assert!(matches!(problem, Problem::Source(SourceError::NotAFile(_))));
    }
    let (volume, list) = (folder.0.join("v.tar.001"), folder.0.join("v.tar.sha256"));
    std::fs::File::create_new(&volume).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &list, kind, mode, 0).unwrap();
    let problem = Bundle::open(&folder.0.join("v.tar")).unwrap_err().problem;
    assert!(matches!(problem, Problem::Source(SourceError::NotAFile(_))), "a list of checksums");
    assert!(
        Bundle::open(&folder.0.join("nothing.tar"))
            .unwrap_err()
            .to_string()
            .contains("cannot open")
    );
}
