//! Manifests: which files there are, where they come from, what they must hash to and under which licence.
//!
//! A manifest is a TOML file, one source of files each. Must not know what the files are for, nor how they are
//! fetched.

use super::FetchError;
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// A source of files: what is fetched, from where, under which licence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The manifest file's name without its ending.
    #[serde(skip)]
    pub name: String,
    pub description: String,
    pub licence: String,
    /// Where the licence's terms can be read.
    pub terms: Option<String>,
    /// A file with the licence's text, a path from the manifest's folder, for archives that have none.
    pub licence_file: Option<PathBuf>,
    /// The text of `licence_file`.
    #[serde(skip)]
    pub licence_text: Option<String>,
    /// Who made the files; written above the licence's text.
    pub attribution: Option<String>,
    /// Whether the licence has to be agreed to before anything is fetched.
    pub agreement: bool,
    /// What to do with the files; `FOLDER` stands for where they are.
    pub next: String,
    /// How to use copies that the user has already, where a file does not say it itself.
    pub by_hand: Option<String>,
    /// The command that fetches this manifest; `posebook model fetch NAME` where none is given.
    pub command: Option<String>,
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

/// One file that others publish: a file to keep, or an archive of which some or all is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: String,
    pub from: Origin,
    /// Where it goes, below the folder; by its name where nothing is given.
    pub place: Option<PathBuf>,
    /// 64 hexadecimal digits, where the hash is known.
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
    /// Other names of the file, or what is in it.
    #[serde(default)]
    pub also_called: Vec<String>,
    /// How to use a copy that the user has already.
    pub by_hand: Option<String>,
    /// The folder that the whole archive is unpacked to.
    pub unpack_to: Option<PathBuf>,
    /// The files and folders that are taken out of the archive; the rest is not kept.
    #[serde(rename = "member", default)]
    pub members: Vec<Member>,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// Addresses, tried in order until one answers.
    Web(Vec<String>),
    /// A package of npm, as `npm pack` names it.
    Npm(String),
    /// A package of PyPI, as `pip download` names it.
    Pypi(String),
    /// A package of Debian, as `apt-get download` names it.
    Debian(String),
    /// Only a person can fetch it: registration is required there.
    Person(String),
}

/// A file, or a folder with everything below it, that is taken out of an archive.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name in the archive; a folder's ends with `/`.
    pub inside: String,
    /// Where it goes, below the folder.
    pub place: PathBuf,
    pub sha256: Option<String>,
}

impl Manifest {
    /// Reads and checks a manifest, and the licence's text that it names.
    ///
    /// # Errors
    /// If a file cannot be read, the manifest has an unknown key, or a value is impossible.
    pub fn load(path: &Path) -> Result<Manifest, FetchError> {
        let text = std::fs::read_to_string(path).map_err(FetchError::disk(path))?;
        let wrong = |what: String| FetchError::Manifest { path: path.to_path_buf(), what };
        let mut manifest: Manifest = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        manifest.check().map_err(wrong)?;
        manifest.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(file) = &manifest.licence_file {
            let file = path.with_file_name("").join(file);
            let text = std::fs::read_to_string(&file).map_err(FetchError::disk(&file))?;
            manifest.licence_text = Some(text);
        }
        Ok(manifest)
    }

    /// Bytes of all files together; `None` where the size of one is unknown.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The command that fetches this manifest.
    pub fn command(&self) -> String {
        self.command.clone().unwrap_or_else(|| format!("posebook model fetch {}", self.name))
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
            if let Some(folder) =
                file.members.iter().find(|member| member.is_folder() && member.sha256.is_some())
            {
                return Err(format!("{name}: `{}` is a folder, which has no SHA-256", folder.inside));
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
                Origin::Npm(package) | Origin::Pypi(package) | Origin::Debian(package)
                    if package.is_empty() || package.starts_with('-') =>
                {
                    return Err(format!("{name}: `{package}` is no package"));
                }
                Origin::Debian(_) if file.members.is_empty() || file.unpack_to.is_some() => {
                    return Err(format!("{name}: a package of Debian needs members"));
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

    /// Whether it is an archive, of which only the contents are kept.
    pub fn is_unpacked(&self) -> bool {
        self.unpack_to.is_some() || !self.members.is_empty()
    }
}

impl Member {
    /// Whether it is a folder with everything below it.
    pub fn is_folder(&self) -> bool {
        self.inside.ends_with('/')
    }

    /// Whether the archive's entry `name` is this member or lies in it.
    pub fn has(&self, name: &str) -> bool {
        if self.is_folder() { name.starts_with(&self.inside) } else { name == self.inside }
    }
}
