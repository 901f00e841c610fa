//! Files that a test passes by name.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Creates a file of this test run with `content`.
pub fn file(name: &str, content: &str) -> PathBuf {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}-{name}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
    path
}
