//! Arguments before they are parsed: names of files that look like options, and names that are not text.

use super::Cli;
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The arguments with every name of an existing file that begins with a dash (`-dash.mp4`, `-i`) as a path
/// (`./-dash.mp4`), which is never taken for an option. What is an option of the program stays one, and what
/// stands behind `--` is left as it is.
pub fn as_paths(arguments: Vec<OsString>) -> Vec<OsString> {
    as_paths_if(arguments, |name| Path::new(name).exists())
}

fn as_paths_if(arguments: Vec<OsString>, exists: impl Fn(&OsStr) -> bool) -> Vec<OsString> {
    let mut only_names = false;
    let mut options = None;
    let mut one = |argument: OsString| {
        only_names |= argument == "--";
        let starts = argument.as_encoded_bytes().starts_with(b"-") && argument.len() > 1;
        if only_names || !starts || !exists(&argument) {
            return argument;
        }
        let options = options.get_or_insert_with(|| options_of(&Cli::command()));
        let name = argument.to_str().and_then(|text| text.split('=').next());
        if name.is_some_and(|name| options.iter().any(|option| option == name)) {
            return argument;
        }
        Path::new(".").join(argument).into_os_string()
    };
    let mut arguments = arguments.into_iter();
    // the program's own name comes first
    arguments.next().into_iter().chain(arguments.map(&mut one)).collect()
}

/// The options of a command and of all below it, as they are typed.
fn options_of(command: &clap::Command) -> Vec<String> {
    let mut options: Vec<String> = ["--help", "-h", "--version", "-V"].map(String::from).into();
    for argument in command.get_arguments() {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
        options.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    options.extend(command.get_subcommands().flat_map(options_of));
    options
}

/// What to tell about an argument that is not UTF-8 where text is needed; `None` if that is not the error.
pub fn not_text(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::InvalidUtf8 {
        return None;
    }
    let wrong = arguments.iter().find(|argument| argument.to_str().is_none())?;
    Some(format!(
        "`{}` is not UTF-8, and names are written into settings and tables as text; rename the file, or give a \
         link to it (`ln -s FILE LINK`)",
        wrong.to_string_lossy()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn an_existing_file_is_no_option_unless_the_program_has_it() {
        let there = ["-dash.mp4", "-i", "--json", "-h", "--out=x", "--outer", "-é", "-"];
        let as_paths = |given: &[&str]| -> Vec<String> {
            let given = ["posebook"].iter().chain(given).map(OsString::from).collect();
            let paths = as_paths_if(given, |name| there.iter().any(|file| name == *file));
            paths.into_iter().skip(1).map(|path| path.into_string().unwrap()).collect()
        };
        assert_eq!(as_paths(&["frames", "-dash.mp4", "--json"]), ["frames", "./-dash.mp4", "--json"]);
        assert_eq!(as_paths(&["-i", "-é", "-", "--outer"]), ["./-i", "./-é", "-", "./--outer"]);
        assert_eq!(as_paths(&["-h", "--out=x", "-gone.mp4"]), ["-h", "--out=x", "-gone.mp4"]);
        assert_eq!(as_paths(&["-i", "--", "-dash.mp4"]), ["./-i", "--", "-dash.mp4"]);
        let command = Cli::command();
        assert!(command.clone().try_get_matches_from(["posebook", "frames", "--", "-gone.mp4"]).is_ok());
        assert!(command.try_get_matches_from(["posebook", "track", "--", "-gone.mp4", "boxes=b"]).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_is_told() {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(b"caf\xe9.mp4").to_os_string();
        for command in ["track", "plan", "reconstruct"] {
            let arguments = ["posebook".into(), command.into(), name.clone()];
            let error = Cli::try_parse_from(&arguments).err().unwrap();
            let told = not_text(&error, &arguments).unwrap();
            assert!(told.contains("caf\u{fffd}.mp4` is not UTF-8") && told.contains("ln -s"), "{told}");
        }
        let arguments = ["posebook".into(), "frames".into(), name];
        assert!(Cli::try_parse_from(&arguments).is_ok(), "frames reads any name");
    }
}
