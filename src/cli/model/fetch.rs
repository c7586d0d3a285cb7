//! `posebook model fetch`: fetches published files by the manifests in `models/sources/`.

use super::super::experiment::project;
use super::super::fetching::{self, FetchOptions};
use anyhow::Result;
use posebook_core::download::DownloadLimits;
use posebook_core::fetch;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "\
Packages are fetched by `npm`, `pip` and `apt-get`, other files by `curl`, with the mirrors and proxies configured for \
these programs. The cache folder is $POSEBOOK_CACHE, $XDG_CACHE_HOME/posebook or ~/.cache/posebook, shared by all \
checkouts.
Repeat the command to resume an interrupted download by `curl`.")]
pub struct Args {
    /// The manifest's name in `models/sources/`
    name: String,
    /// A local file instead of a download: the manifest's archive, or a file from it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Agree to the licence, if it requires that
    #[arg(long)]
    accept_licence: bool,
    /// Destination folder [default: models/NAME in the cache folder]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Abort a download after this many seconds without data
    #[arg(long, value_name = "SECONDS", default_value_t = DownloadLimits::default().stall_secs)]
    stall_secs: u32,
}

pub fn run(args: &Args) -> Result<()> {
    let project = project()?;
    let manifest = fetching::find(&project.root.join("models/sources"), &args.name)?;
    let folder = match &args.to {
        Some(folder) => folder.clone(),
        None => fetch::model_folder(&args.name)?,
    };
    let Args { accept_licence, stall_secs, .. } = *args;
    fetching::run(
        &manifest,
        &folder,
        &FetchOptions { from: args.from.as_deref(), accept_licence, stall_secs },
    )
}
