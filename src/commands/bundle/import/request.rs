//! Hands an import to the gate that uses the store, because only one process may write it. The command writes a request
//! to `import/` in the store; the gate does the work and writes the result beside it; the command removes both.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use crate::store::{StoreLock, atomic};

use super::Imported;

/// How long the gate may take to begin.
const BEGIN: Duration = Duration::from_secs(30);
/// How often the command checks for the result.
const POLL: Duration = Duration::from_millis(250);
/// The longest request, and the longest result, in bytes.
const MAX_REQUEST: u64 = 16 << 10;
const MAX_RESULT: u64 = 64 << 20;
/// The most requests that are read at once.
const MAX_REQUESTS: usize = 100;

const REQUEST: &str = "request";
const STARTED: &str = "started";
const RESULT: &str = "result";

/// A bundle that another process wants imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The absolute path of the bundle.
    pub bundle: PathBuf,
    file: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    bundle: PathBuf,
}

/// What the gate answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Imported(Imported),
    Failed(String),
}

/// Asks the gate that uses the store in `folder` to import `bundle`, and waits for the result.
pub async fn hand_over(folder: &Path, bundle: &Path) -> anyhow::Result<Imported> {
    let bundle = std::path::absolute(bundle)?;
    let requests = folder.join("import");
    atomic::make_folder(&requests).with_context(|| format!("{}", requests.display()))?;
    let name = hex::encode(Sha256::digest(bundle.as_os_str().as_encoded_bytes()));
    let file = requests.join(format!("{name}.{REQUEST}"));
    let (started, result) = (file.with_extension(STARTED), file.with_extension(RESULT));
    let _ = fs::remove_file(&result);
    let asked = serde_json::to_vec(&Asked { bundle: bundle.clone() })?;
    atomic::publish(&file, &asked).with_context(|| format!("{}", file.display()))?;
    let begin = Instant::now() + BEGIN;
    loop {
        let is_asked = file.exists() || started.exists();
        // Read after the check: the gate writes the result before it removes the other file.
        if let Some(text) = atomic::read(&result, MAX_RESULT)? {
            let _ = fs::remove_file(&result);
            return match serde_json::from_slice(&text)? {
                Answer::Imported(imported) => Ok(imported),
                Answer::Failed(why) => bail!("the running gate could not import it: {why}"),
            };
        }
        if !is_asked {
            bail!(
                "another command imported {} at the same time; import it again",
                bundle.display()
            );
        }
        // The gate holds the lock for as long as it runs.
        if StoreLock::take(folder).is_ok() {
            [&file, &started].into_iter().for_each(|left| drop(fs::remove_file(left)));
            bail!(
                "the process that uses the store ended before the import was complete; import the bundle again"
            );
        }
        if !started.exists() && file.exists() && Instant::now() >= begin {
            let _ = fs::remove_file(&file);
            bail!(
                "the gate that uses the store {} did not begin within {} seconds; check that it runs and has the \
                 same version as this command",
                folder.display(),
                BEGIN.as_secs()
            );
        }
        sleep(POLL).await;
    }
}

impl Request {
    /// The requests in the store's `folder` that no one has begun. Removes invalid ones.
    pub fn pending(folder: &Path) -> Vec<Self> {
        // Usually the folder does not exist.
        let Ok(entries) = fs::read_dir(folder.join("import")) else { return Vec::new() };
        let mut pending = Vec::new();
        for entry in entries.flatten().take(MAX_REQUESTS) {
            let file = entry.path();
            if file.extension().is_none_or(|ending| ending != REQUEST) {
                continue;
            }
            let asked = atomic::read(&file, MAX_REQUEST).ok().flatten();
            match asked.and_then(|asked| serde_json::from_slice::<Asked>(&asked).ok()) {
                Some(Asked { bundle }) if bundle.is_absolute() => {
                    pending.push(Self { bundle, file });
                }
                Some(_) | None => {
                    tracing::warn!(path = %file.display(), "not a request to import a bundle; removing the file");
                    let _ = fs::remove_file(file);
                }
            }
        }
        pending
    }

    /// Marks the request as begun.
    pub fn begin(&self) -> io::Result<()> {
        fs::rename(&self.file, self.file.with_extension(STARTED))
    }

    /// Writes the result for the command that waits.
    pub fn answer(&self, imported: anyhow::Result<Imported>) -> anyhow::Result<()> {
        let answer = match imported {
            Ok(imported) => Answer::Imported(imported),
            Err(error) => Answer::Failed(format!("{error:#}")),
        };
        let answer = serde_json::to_vec(&answer)?;
        atomic::publish(&self.file.with_extension(RESULT), &answer)?;
        // The command that waits relies on this order.
        let _ = fs::remove_file(self.file.with_extension(STARTED));
        Ok(())
    }
}
