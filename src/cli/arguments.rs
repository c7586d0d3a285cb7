//! Handles arguments before they are parsed: file names that look like options, and names that are not UTF-8.

use super::Cli;
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Rewrites arguments that begin with a dash and name an existing file (`-dash.mp4`, `-i`) as paths (`./-dash.mp4`), which
/// are not parsed as options. Options of the program and arguments after `--` are unchanged.
pub fn mark_file_arguments(arguments: Vec<OsString>) -> Vec<OsString> {
    mark_file_arguments_if(arguments, |name| Path::new(name).exists())
}

fn mark_file_arguments_if(arguments: Vec<OsString>, exists: impl Fn(&OsStr) -> bool) -> Vec<OsString> {
    let mut is_after_separator = false;
    let mut options = None;
    let mut mark = |argument: OsString| {
        is_after_separator |= argument == "--";
        let has_dash = argument.as_encoded_bytes().starts_with(b"-") && argument.len() > 1;
        if is_after_separator || !has_dash || !exists(&argument) {
            return argument;
        }
        let options = options.get_or_insert_with(|| option_names(&Cli::command()));
        let name = argument.to_str().and_then(|text| text.split('=').next());
        if name.is_some_and(|name| options.iter().any(|option| option == name)) {
            return argument;
        }
        Path::new(".").join(argument).into_os_string()
    };
    let mut arguments = arguments.into_iter();
    // the first argument is the program's name
    arguments.next().into_iter().chain(arguments.map(&mut mark)).collect()
}

/// The options of a command and all its subcommands, with dashes.
fn option_names(command: &clap::Command) -> Vec<String> {
    let mut options: Vec<String> = ["--help", "-h", "--version", "-V"].map(String::from).into();
    for argument in command.get_arguments() {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
        options.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    options.extend(command.get_subcommands().flat_map(option_names));
    options
}

/// The message for an argument that is not UTF-8 where text is needed; `None` for other errors.
pub fn non_utf8_message(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::InvalidUtf8 {
        return None;
    }
    let invalid = arguments.iter().find(|argument| argument.to_str().is_none())?;
    Some(format!(
        "`{}` is not UTF-8, but settings and tables store names as text; rename the file, or give a link to it (`ln -s FILE LINK`)",
        invalid.to_string_lossy()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn existing_files_are_not_options_unless_the_program_has_them() {
        let files = ["-dash.mp4", "-i", "--json", "-h", "--out=x", "--outer", "-é", "-"];
        let marked = |given: &[&str]| -> Vec<String> {
            let given = ["posebook"].iter().chain(given).map(OsString::from).collect();
            let paths = mark_file_arguments_if(given, |name| files.iter().any(|file| name == *file));
            paths.into_iter().skip(1).map(|path| path.into_string().unwrap()).collect()
        };
        assert_eq!(marked(&["frames", "-dash.mp4", "--json"]), ["frames", "./-dash.mp4", "--json"]);
        assert_eq!(marked(&["-i", "-é", "-", "--outer"]), ["./-i", "./-é", "-", "./--outer"]);
        assert_eq!(marked(&["-h", "--out=x", "-gone.mp4"]), ["-h", "--out=x", "-gone.mp4"]);
        assert_eq!(marked(&["-i", "--", "-dash.mp4"]), ["./-i", "--", "-dash.mp4"]);
        let command = Cli::command();
        assert!(command.clone().try_get_matches_from(["posebook", "frames", "--", "-gone.mp4"]).is_ok());
        assert!(command.try_get_matches_from(["posebook", "track", "--", "-gone.mp4", "boxes=b"]).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_get_a_message() {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(b"caf\xe9.mp4").to_os_string();
        for command in ["track", "plan", "reconstruct"] {
            let arguments = ["posebook".into(), command.into(), name.clone()];
            let error = Cli::try_parse_from(&arguments).err().unwrap();
            let message = non_utf8_message(&error, &arguments).unwrap();
            assert!(
                message.contains("caf\u{fffd}.mp4` is not UTF-8") && message.contains("ln -s"),
                "{message}"
            );
        }
        let arguments = ["posebook".into(), "frames".into(), name];
        assert!(Cli::try_parse_from(&arguments).is_ok(), "frames reads any name");
    }
}
