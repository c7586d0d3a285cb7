//! Manifests: which files exist, where they come from, their SHA-256 and their license. A manifest is a TOML file.

use super::error::FetchError;
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// A set of files from one publisher.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The manifest file's name without its extension.
    #[serde(skip)]
    pub name: String,
    /// What the files are, in one sentence.
    pub description: String,
    /// Name of the license.
    pub licence: String,
    /// URL of the license's terms.
    pub terms: Option<String>,
    /// A file with the license's text, relative to the manifest's folder, for archives without one.
    pub licence_file: Option<PathBuf>,
    /// The text of `licence_file`.
    #[serde(skip)]
    pub licence_text: Option<String>,
    /// Authors of the files; written above the license's text.
    pub attribution: Option<String>,
    /// Whether the user must accept the license before anything is fetched.
    pub agreement: bool,
    /// What to do next with the files; `FOLDER` is replaced by their folder.
    pub next: String,
    /// How to use copies that the user has, for files without their own `by_hand`.
    pub by_hand: Option<String>,
    /// The command that fetches this manifest; by default `posebook model fetch NAME`.
    pub command: Option<String>,
    /// The files.
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

/// A published file: stored as it is, or an archive of which some or all members are stored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its file name.
    pub name: String,
    /// Where it comes from.
    pub from: Origin,
    /// Its path below the folder; by default its name.
    #[serde(rename = "place")]
    pub destination: Option<PathBuf>,
    /// SHA-256 in 64 lower-case hexadecimal digits, where it is known.
    pub sha256: Option<String>,
    /// Size in bytes, where it is known.
    pub bytes: Option<u64>,
    /// Other names of the file, or of its content.
    #[serde(default)]
    pub also_called: Vec<String>,
    /// How to use a copy that the user has.
    pub by_hand: Option<String>,
    /// The folder that the whole archive is unpacked to.
    pub unpack_to: Option<PathBuf>,
    /// The files and folders to unpack from the archive; the others are not stored.
    #[serde(rename = "member", default)]
    pub members: Vec<Member>,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// URLs, tried in order.
    Web(Vec<String>),
    /// An npm package, as an argument of `npm pack`.
    Npm(String),
    /// A PyPI package, as an argument of `pip download`.
    Pypi(String),
    /// A Debian package, as an argument of `apt-get download`.
    Debian(String),
    /// A web site that requires registration: the user has to download the file.
    #[serde(rename = "person")]
    Registration(String),
}

/// A file, or a folder with everything below it, to unpack from an archive.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its path in the archive; a folder's ends with `/`.
    pub inside: String,
    /// Its path below the folder.
    #[serde(rename = "place")]
    pub destination: PathBuf,
    /// SHA-256 of a file, where it is known.
    pub sha256: Option<String>,
}

impl Manifest {
    /// Reads and validates a manifest, and the file with the license's text.
    ///
    /// # Errors
    /// If a file cannot be read, or the manifest has an unknown key or an invalid value.
    pub fn load(path: &Path) -> Result<Manifest, FetchError> {
        let text = std::fs::read_to_string(path).map_err(FetchError::io(path))?;
        let invalid = |reason: String| FetchError::Manifest { path: path.to_path_buf(), reason };
        let mut manifest: Manifest = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        manifest.validate().map_err(invalid)?;
        manifest.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(file) = &manifest.licence_file {
            let file = path.with_file_name("").join(file);
            let text = std::fs::read_to_string(&file).map_err(FetchError::io(&file))?;
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

    fn validate(&self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("it has no files".into());
        }
        for file in &self.files {
            let name = &file.name;
            let paths = file.members.iter().map(|member| &member.destination);
            for path in paths.chain(&file.destination).chain(&file.unpack_to).chain([&PathBuf::from(name)]) {
                let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
                if !is_below || path.as_os_str().is_empty() {
                    return Err(format!("{name}: `{}` is not a path below a folder", path.display()));
                }
            }
            let hashes = file.members.iter().filter_map(|member| member.sha256.as_ref()).chain(&file.sha256);
            for sha256 in hashes {
                if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                {
                    return Err(format!(
                        "{name}: `{sha256}` is not a SHA-256: 64 lower-case hexadecimal digits are needed"
                    ));
                }
            }
            if let Some(folder) =
                file.members.iter().find(|member| member.is_folder() && member.sha256.is_some())
            {
                return Err(format!("{name}: `{}` is a folder, which has no SHA-256", folder.inside));
            }
            match &file.from {
                Origin::Web(addresses) if addresses.is_empty() => {
                    return Err(format!("{name}: it has no address"));
                }
                Origin::Web(addresses) => {
                    let is_web =
                        |address: &&String| address.starts_with("http://") || address.starts_with("https://");
                    if let Some(other) = addresses.iter().find(|address| !is_web(address)) {
                        return Err(format!("{name}: `{other}` is not an http or https address"));
                    }
                }
                Origin::Npm(package) | Origin::Pypi(package) | Origin::Debian(package)
                    if package.is_empty() || package.starts_with('-') =>
                {
                    return Err(format!("{name}: `{package}` is not a package name"));
                }
                Origin::Debian(_) if file.members.is_empty() || file.unpack_to.is_some() => {
                    return Err(format!("{name}: a Debian package needs members"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl File {
    /// The file's path below the folder.
    pub fn destination(&self) -> PathBuf {
        self.destination.clone().unwrap_or_else(|| PathBuf::from(&self.name))
    }

    /// Whether it is an archive of which only the content is stored.
    pub fn is_unpacked(&self) -> bool {
        self.unpack_to.is_some() || !self.members.is_empty()
    }
}

impl Member {
    /// Whether it is a folder with everything below it.
    pub fn is_folder(&self) -> bool {
        self.inside.ends_with('/')
    }

    /// Whether the archive's entry `name` is this member or lies below it.
    pub fn contains(&self, name: &str) -> bool {
        if self.is_folder() { name.starts_with(&self.inside) } else { name == self.inside }
    }
}
