//! Shows the progress of a command on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use crate::commands::bundle::Progress;

/// Shows progress in one line of standard error if that is a terminal.
pub(super) fn on_terminal() -> impl Fn(Progress) + Sync {
    let is_terminal = io::stderr().is_terminal();
    move |progress| {
        if is_terminal {
            // Progress is optional: a failure to write it is no error.
            let _ = io::stderr().write_all(line(progress).as_bytes());
        }
    }
}

/// Replaces the line before it. The last one ends the line.
fn line(progress: Progress) -> String {
    let (text, is_last) = match progress {
        Progress::Judged { images, all } => (format!("checked {images} of {all} images"), false),
        Progress::Written { bytes, all } => {
            (format!("wrote {} of {} MiB", bytes >> 20, all >> 20), bytes == all)
        }
        Progress::Imported { images, all } => {
            (format!("imported {images} of {all} images"), images == all)
        }
    };
    format!("\r{text:<40}{}", if is_last { "\n" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_replaces_the_one_before_it_until_the_last() {
        let checked = line(Progress::Judged { images: 1, all: 1 });
        let written = line(Progress::Written { bytes: 3 << 20, all: 8 << 20 });
        assert!(checked.starts_with("\rchecked 1 of 1 images ") && !checked.contains('\n'));
        assert_eq!(written.trim(), "wrote 3 of 8 MiB");
        assert!(written.len() >= checked.len());
        assert!(line(Progress::Written { bytes: 8 << 20, all: 8 << 20 }).ends_with('\n'));
        assert!(line(Progress::Imported { images: 2, all: 2 }).ends_with('\n'));
    }
}
