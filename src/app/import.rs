//! Imports bundles into the store, in a process of its own or in a gate that serves. Judges with parts that get
//! everything from the bundle and change nothing, then stores what passed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::parts::Parts;
use super::{App, Keeping};
use crate::bundle::{Bundle, Bundles};
use crate::clock::Clock;
use crate::commands::bundle::import::{Imported, request, store_all};
use crate::commands::bundle::judge::{Judged, judge};
use crate::commands::bundle::{Progress, Verified};
use crate::config::Config;
use crate::store::{LockError, StoreLock};

/// How often a gate checks for requests.
const LOOK: Duration = Duration::from_millis(200);

/// The judgment of `config` about all images in `bundle`. Opens no connection and changes nothing.
pub async fn judged(
    config: &Config,
    clock: Clock,
    bundle: &Arc<Bundle>,
    progress: &(dyn Fn(Progress) + Sync),
) -> anyhow::Result<Judged> {
    let whole = bundle.clone();
    spawn_blocking(move || whole.check_volumes()).await??;
    let app = offline(config, clock, Keeping::OnlyRead, bundle).await?;
    Ok(judge(&app.gate(), bundle, &config.store.path, progress).await)
}

/// Judges the bundle at `path`, and reports what expires within `warn`.
pub async fn verify(
    config: &Config,
    clock: Clock,
    path: &Path,
    warn: Option<Duration>,
    progress: &(dyn Fn(Progress) + Sync),
) -> anyhow::Result<Verified> {
    let bundle = open(path.to_owned()).await?;
    let warn_until = warn.map(|warn| clock.now().plus(warn));
    Ok(Verified::new(judged(config, clock, &bundle, progress).await?, warn_until))
}

/// Imports the bundle at `path`: in this process, or by the gate that uses the store.
pub async fn import(
    config: &Config,
    clock: Clock,
    path: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> anyhow::Result<Imported> {
    match StoreLock::take(&config.store.path) {
        Ok(_lock) => {
            let bundle = open(path.to_owned()).await?;
            let judged = judged(config, clock.clone(), &bundle, progress).await?;
            let app = offline(config, clock, Keeping::Remember, &bundle).await?;
            let imported = store_all(&app.gate(), &bundle, judged, progress).await;
            app.close().await;
            Ok(imported)
        }
        Err(LockError::InUse(_)) => request::hand_over(&config.store.path, path).await,
        Err(error) => Err(error.into()),
    }
}

/// Imports the bundles that other processes request, until `shutdown`. The configuration `file` is read for each.
pub(super) async fn serve_requests(
    parts: Arc<Parts>,
    (file, folder): (PathBuf, PathBuf),
    clock: Clock,
    shutdown: CancellationToken,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let folder = folder.clone();
        let pending = spawn_blocking(move || request::Request::pending(&folder)).await;
        for asked in pending.unwrap_or_default() {
            let path = asked.bundle.display().to_string();
            if let Err(error) = asked.begin() {
                error!(bundle = path, %error, "a requested import cannot begin");
                continue;
            }
            info!(bundle = path, "importing a bundle");
            let importing = import_one(&parts, &file, clock.clone(), asked.bundle.clone());
            let importing = Box::pin(importing);
            // Without an answer, the command would wait forever.
            let imported = shutdown.run_until_cancelled(importing).await;
            let imported = imported
                .unwrap_or_else(|| Err(anyhow::anyhow!("the gate is stopping; import it again")));
            if let Err(error) = &imported {
                error!(bundle = path, error = format!("{error:#}"), "the import failed");
            }
            if let Err(error) = asked.answer(imported) {
                error!(bundle = path, %error, "the result of an import cannot be written");
            }
        }
    }
}

async fn import_one(
    parts: &Arc<Parts>,
    file: &Path,
    clock: Clock,
    path: PathBuf,
) -> anyhow::Result<Imported> {
    let bundle = open(path).await?;
    let file = file.to_owned();
    let config = spawn_blocking(move || Config::load(&file)).await??;
    let judged = judged(&config, clock, &bundle, &|_| ()).await?;
    let (parts, bundles) = (parts.clone(), Bundles::only(bundle.clone()));
    let gate = spawn_blocking(move || parts.importing(&config.offline(), bundles)).await??;
    Ok(store_all(&gate, &bundle, judged, &|_| ()).await)
}

/// The parts of a gate that gets everything from `bundle`. Reads their files off the async workers.
async fn offline(
    config: &Config,
    clock: Clock,
    keeping: Keeping,
    bundle: &Arc<Bundle>,
) -> anyhow::Result<App> {
    let (config, bundle) = (config.clone(), bundle.clone());
    spawn_blocking(move || App::offline(&config, clock, keeping, bundle)).await?
}

async fn open(path: PathBuf) -> anyhow::Result<Arc<Bundle>> {
    Ok(Arc::new(spawn_blocking(move || Bundle::open(&path)).await??))
}
