//! `countersign bundle create`: which images to write, and how.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use crate::app::{App, Keeping};
use crate::clock::Clock;
use crate::commands::bundle::Platform;
use crate::commands::bundle::create::{Order, create};
use crate::commands::inventory::digests_in;
use crate::gate::{Gate, is_artifact_tag};
use crate::oci::{ImageRef, Reference};
use crate::registry_client::Page;
use crate::signing::SigningKey;
use crate::toml_reader;

use super::super::replay::read;
use super::super::{ConfigFile, print, wrong};
use super::progress::on_terminal;

/// The longest list of images, in bytes.
const MAX_LIST: u64 = 16 << 20;
/// The most pages of tags of one repository.
const MAX_PAGES: usize = 10_000;

/// Write images that the gate admits to one file, with all their proofs.
///
/// The file is an OCI image layout in a plain tar. It contains each image with its signatures, attestations and SBOMs, the
/// Notary v1 trust data byte for byte, revocation data, the rules without secrets, and the decisions. Images that the gate
/// does not admit are reported and not written.
/// Exit status: 0; 3 an image was denied, or a proof expires before the end of --valid-for; 4 an image could not be
/// decided; 2 invalid configuration or arguments; 1 an operation failed, and no file was written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign bundle create -o images.tar --image registry.example.com/app:v1 --key exporter.key\n  \
    countersign bundle create -o images.tar --from-audit audit.log --since 30d --volume-size 4GiB\n  \
    countersign bundle create -o next.tar --all-tags registry.example.com/app --have inventory.json")]
pub(super) struct Create {
    /// The file to write.
    #[arg(short, long, value_name = "FILE.tar")]
    output: PathBuf,
    #[command(flatten)]
    which: Which,
    /// With --from-audit, only images that were served within this time, such as 30d.
    #[arg(long, value_name = "TIME", requires = "from_audit")]
    since: Option<String>,
    /// Include only these platforms of multi-platform images: os/architecture[/variant].
    #[arg(long, value_name = "PLATFORM", num_args = 1.., value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Leave out the layers that the receiver has: an inventory (`countersign inventory`), or a bundle that it imported.
    #[arg(long, value_name = "FILE")]
    have: Vec<PathBuf>,
    /// Cut the file into volumes of this size, such as 4GiB: FILE.tar.001, FILE.tar.002, … and FILE.tar.sha256.
    #[arg(long, value_name = "SIZE")]
    volume_size: Option<String>,
    /// Sign when the trust data was fetched: an ECDSA P-256 private key in PEM.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Write nothing if a proof expires within this time, such as 30d; with --key, timestamps of Notary v1 do not count.
    #[arg(long, value_name = "TIME")]
    valid_for: Option<String>,
    /// Add manifest.json, so that `docker load` reads the file: one platform of each image, the first of --platform.
    #[arg(long, conflicts_with = "have")]
    docker_compat: bool,
    #[command(flatten)]
    config: ConfigFile,
}

/// The images. At least one of these is required.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Which {
    /// Images: `[registry/]repository[:tag][@digest]`.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    image: Vec<String>,
    /// A file with one image in each line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    image_list: Option<PathBuf>,
    /// Audit logs: every image that they record as served.
    #[arg(long, value_name = "AUDIT.LOG", num_args = 1..)]
    from_audit: Vec<PathBuf>,
    /// Repositories: every tag that the gate serves.
    #[arg(long, value_name = "REPOSITORY", num_args = 1..)]
    all_tags: Vec<String>,
}

impl Create {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let volume_size = match self.volume_size.as_deref().map(toml_reader::size).transpose() {
            Ok(size) => size,
            Err(error) => return Ok(wrong("--volume-size", error)),
        };
        let valid_for = match self.valid_for.as_deref().map(toml_reader::duration).transpose() {
            Ok(time) => time,
            Err(error) => return Ok(wrong("--valid-for", error)),
        };
        let since = match self.since.as_deref().map(toml_reader::duration).transpose() {
            Ok(time) => time,
            Err(error) => return Ok(wrong("--since", error)),
        };
        let key = match self.key.as_deref().map(SigningKey::read).transpose() {
            Ok(key) => key,
            Err(error) => return Ok(wrong("--key", error)),
        };
        let mut have = BTreeSet::new();
        for file in &self.have {
            match digests_in(file) {
                Ok(digests) => have.extend(digests),
                Err(error) => return Ok(wrong(&file.display().to_string(), error)),
            }
        }
        let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
        let images = match self.which.images(&app, since).await? {
            Ok(images) => images,
            Err((name, error)) => return Ok(wrong(&name, error)),
        };
        let order = Order {
            output: self.output,
            images,
            fold: !self.which.from_audit.is_empty(),
            platforms: self.platform,
            have,
            volume_size,
            key,
            valid_for,
            docker_compat: self.docker_compat,
        };
        let created = create(&app.gate(), &config, &order, &on_terminal()).await?;
        print(&created.to_string())?;
        Ok(created.exit_status())
    }
}

impl Which {
    /// The chosen images, or the argument that names none.
    async fn images(
        &self,
        app: &App,
        since: Option<Duration>,
    ) -> anyhow::Result<Result<Vec<ImageRef>, (String, String)>> {
        let mut names = self.image.clone();
        if let Some(list) = &self.image_list {
            match lines(list) {
                Ok(lines) => names.extend(lines),
                Err(error) => return Ok(Err((list.display().to_string(), error.to_string()))),
            }
        }
        let mut images = Vec::new();
        for name in names {
            match app.image(&name) {
                Ok(image) => images.push(image),
                Err(error) => return Ok(Err((name, error.to_string()))),
            }
        }
        if !self.from_audit.is_empty() {
            let (pulls, _) = match read(&self.from_audit) {
                Ok(read) => read,
                Err((log, error)) => return Ok(Err((log, error.to_string()))),
            };
            let now = app.clock().now();
            let served = pulls.images().filter(|(_, pull)| {
                let recent = |since| pull.last.is_none_or(|last| now.since(last) <= since);
                pull.served > 0 && since.is_none_or(recent)
            });
            let is_image = |image: &ImageRef| !image.tag().is_some_and(is_artifact_tag);
            images.extend(served.filter_map(|(image, _)| image.asked()).filter(is_image));
        }
        for name in &self.all_tags {
            let image = match app.image(name) {
                Ok(image) => image,
                Err(error) => return Ok(Err((name.clone(), error.to_string()))),
            };
            images.extend(all_tags(&app.gate(), &image).await?);
        }
        Ok(Ok(images))
    }
}

async fn all_tags(gate: &Gate, image: &ImageRef) -> anyhow::Result<Vec<ImageRef>> {
    let repository = &image.repository;
    let (mut all, mut page) = (Vec::new(), Page::default());
    for _ in 0..MAX_PAGES {
        let listed = match gate.tags(repository, &page).await {
            Ok(listed) => listed,
            Err(denial) => bail!("cannot list the tags of {repository}: {denial}"),
        };
        let tags = listed.tags.iter().filter(|tag| !is_artifact_tag(tag));
        let named = |tag| ImageRef { reference: Reference::Tag(tag), ..image.clone() };
        all.extend(tags.cloned().map(named));
        match listed.next {
            Some(next) => page = next,
            None => return Ok(all),
        }
    }
    bail!("{repository} has more than {MAX_PAGES} pages of tags")
}

/// The lines of a file, without comments.
fn lines(list: &Path) -> io::Result<Vec<String>> {
    let mut text = String::new();
    let read = match list.as_os_str() == "-" {
        true => io::stdin().lock().take(MAX_LIST + 1).read_to_string(&mut text)?,
        false => std::fs::File::open(list)?.take(MAX_LIST + 1).read_to_string(&mut text)?,
    };
    if read as u64 > MAX_LIST {
        let text = format!("the list has more than {MAX_LIST} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let line = |line: &str| {
        let name = line.split('#').next().unwrap_or_default().trim();
        (!name.is_empty()).then(|| name.to_owned())
    };
    Ok(text.lines().filter_map(line).collect())
}
