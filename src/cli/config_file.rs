//! Finds the configuration file.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Config;
use crate::toml_reader::Problems;

const VARIABLE: &str = "COUNTERSIGN_CONFIG";
const IN_FOLDER: &str = "countersign.toml";
const OF_SYSTEM: &str = "/etc/countersign/countersign.toml";

/// The configuration that a command reads.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// Configuration file [default: $COUNTERSIGN_CONFIG, otherwise countersign.toml, otherwise
    /// /etc/countersign/countersign.toml].
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ConfigFile {
    pub(super) fn load(&self) -> Result<Config, Problems> {
        Config::load(&self.path())
    }

    /// The file that [`Self::load`] reads.
    pub(super) fn path(&self) -> PathBuf {
        let variable = env::var_os(VARIABLE).filter(|file| !file.is_empty());
        self.file.clone().or(variable.map(PathBuf::from)).unwrap_or_else(|| {
            Path::new(if Path::new(IN_FOLDER).exists() { IN_FOLDER } else { OF_SYSTEM }).to_owned()
        })
    }
}
