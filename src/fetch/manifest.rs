//! Manifests in `models/sources/`: which files there are, where they come from and what they have to hash to.

use super::FetchError;
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// What `posebook model fetch NAME` fetches.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub description: String,
    pub licence: String,
    /// Where the licence stands.
    pub terms: Option<String>,
    /// Whether the licence wants agreement before anything is fetched.
    pub agreement: bool,
    /// What to do with the files; `FOLDER` stands for where they are.
    pub next: String,
    /// How to use copies that one has already, where a file does not say it itself.
    pub by_hand: Option<String>,
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: String,
    pub from: Origin,
    /// Where it goes, below the folder; by its name where nothing is said.
    pub place: Option<PathBuf>,
    /// 64 hexadecimal digits, where anybody knows them.
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
    /// What else people call it, or what is in it.
    #[serde(default)]
    pub also_called: Vec<String>,
    /// How to use a copy that one has already.
    pub by_hand: Option<String>,
    /// The folder that the whole of it, an archive, is unpacked to.
    pub unpack_to: Option<PathBuf>,
    /// The files that are taken out of it, an archive; the rest is not kept.
    #[serde(rename = "member", default)]
    pub members: Vec<Member>,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// Addresses, the first that answers.
    Web(Vec<String>),
    /// A package of npm, as `npm pack` names it.
    Npm(String),
    /// A package of PyPI, as `pip download` names it.
    Pypi(String),
    /// A person has to register there.
    Person(String),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name in the archive.
    pub inside: String,
    /// Where it goes, below the folder.
    pub place: PathBuf,
    pub sha256: Option<String>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// If the file cannot be read, has an unknown key, or says something impossible.
    pub fn load(path: &Path) -> Result<Manifest, FetchError> {
        let text = std::fs::read_to_string(path).map_err(FetchError::disk(path))?;
        let wrong = |what: String| FetchError::Manifest { path: path.to_path_buf(), what };
        let manifest: Manifest = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        manifest.check().map_err(wrong)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("it names no file".into());
        }
        for file in &self.files {
            let name = &file.name;
            let places = file.members.iter().map(|member| &member.place);
            for place in places.chain(&file.place).chain(&file.unpack_to).chain([&PathBuf::from(name)]) {
                let is_below = place.components().all(|part| matches!(part, Component::Normal(_)));
                if !is_below || place.as_os_str().is_empty() {
                    return Err(format!("{name}: `{}` is no place below a folder", place.display()));
                }
            }
            let hashes = file.members.iter().filter_map(|member| member.sha256.as_ref()).chain(&file.sha256);
            for sha256 in hashes {
                if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                {
                    return Err(format!(
                        "{name}: `{sha256}` is no SHA-256; it has 64 digits, a to f in lower case"
                    ));
                }
            }
            match &file.from {
                Origin::Web(addresses) if addresses.is_empty() => return Err(format!("{name}: no address")),
                Origin::Web(addresses) => {
                    let is_web =
                        |address: &&String| address.starts_with("http://") || address.starts_with("https://");
                    if let Some(other) = addresses.iter().find(|address| !is_web(address)) {
                        return Err(format!("{name}: `{other}` is no address of http or https"));
                    }
                }
                Origin::Npm(package) | Origin::Pypi(package)
                    if package.is_empty() || package.starts_with('-') =>
                {
                    return Err(format!("{name}: `{package}` is no package"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl File {
    /// Where the file itself goes, below the folder.
    pub fn place(&self) -> PathBuf {
        self.place.clone().unwrap_or_else(|| PathBuf::from(&self.name))
    }

    /// Whether it is an archive, of which only what is in it is kept.
    pub fn is_unpacked(&self) -> bool {
        self.unpack_to.is_some() || !self.members.is_empty()
    }
}
