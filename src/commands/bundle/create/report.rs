//! The result of `bundle create`, for people.

use std::fmt;

use crate::bundle::Published;
use crate::oci::ImageRef;
use crate::text::grouped;

use super::super::calendar::Expiry;
use super::super::collect::{Collected, LeftOut};

/// The most expiry dates in the report.
const MAX_DATES: usize = 20;

/// What was written, and what was not.
#[derive(Debug, Default)]
pub struct Created {
    /// `None` if no bundle was written.
    pub published: Option<Published>,
    /// The images in the bundle, each with a note if it is there without the signatures of its rule.
    pub images: Vec<(ImageRef, Option<String>)>,
    pub left_out: Vec<LeftOut>,
    /// What the registry attaches to images but the gate does not serve.
    pub not_attached: Vec<String>,
    /// All expiry dates, the first one first.
    pub calendar: Vec<Expiry>,
    /// The expiry dates before `--valid-for`. The bundle is not written if there are any.
    pub too_soon: Vec<Expiry>,
}

impl Created {
    pub(super) fn new(collected: &[Collected], left_out: Vec<LeftOut>) -> Self {
        let images = collected.iter().map(|image| (image.name.clone(), image.note()));
        let not_attached = collected.iter().flat_map(|image| image.left_out.iter().cloned());
        Self {
            images: images.collect(),
            left_out,
            not_attached: not_attached.collect(),
            ..Self::default()
        }
    }

    /// Moves an image to those that are left out.
    pub(super) fn refuse(&mut self, image: &ImageRef, because: &str) {
        self.images.retain(|(other, _)| other != image);
        let because = because.to_owned();
        self.left_out.push(LeftOut {
            image: image.clone(),
            verdict: "refused",
            reason: None,
            because,
        });
    }

    /// 0 everything was written; 3 something was denied or expires too soon; 4 something is undecided.
    pub fn exit_status(&self) -> u8 {
        let denied = self.left_out.iter().any(|left| !left.is_undecided());
        match (denied || !self.too_soon.is_empty(), self.left_out.is_empty()) {
            (true, _) => 3,
            (false, false) => 4,
            (false, true) => 0,
        }
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (image, note) in &self.images {
            match note {
                Some(note) => writeln!(f, "included  {image}: {note}")?,
                None => writeln!(f, "included  {image}")?,
            }
        }
        for LeftOut { image, verdict, because, .. } in &self.left_out {
            writeln!(f, "LEFT OUT  {image} ({verdict}): {because}")?;
        }
        for what in &self.not_attached {
            writeln!(f, "not attached: {what}")?;
        }
        if !self.calendar.is_empty() {
            writeln!(f, "expires:")?;
        }
        for date in self.calendar.iter().take(MAX_DATES) {
            writeln!(f, "  {}  {}", date.ends(), date.what)?;
        }
        if self.calendar.len() > MAX_DATES {
            writeln!(
                f,
                "  … {} more; `countersign bundle inspect` lists all",
                self.calendar.len() - MAX_DATES
            )?;
        }
        match &self.published {
            Some(published) => {
                let files: Vec<String> =
                    published.files.iter().map(|file| file.display().to_string()).collect();
                writeln!(
                    f,
                    "wrote {} ({} bytes, {} images)",
                    files.join(" "),
                    grouped(published.size),
                    self.images.len()
                )
            }
            None if !self.too_soon.is_empty() => writeln!(
                f,
                "no bundle was written: {} proofs expire before the end of --valid-for, the first at {}",
                self.too_soon.len(),
                self.too_soon[0].ends()
            ),
            None => writeln!(f, "no bundle was written: the gate admits none of the images"),
        }
    }
}
