//! `posebook serve`: the service with its queue and page.

use super::experiment::project;
use crate::runner::{Project, interrupt};
use crate::service::{ProjectBackend, devices};
use anyhow::{Context, Result, bail};
use posebook_models::device;
use posebook_serve::job::{Job, JobRequest, JobState, RESULTS, Source};
use posebook_serve::options::{LogFormat, parse_keep};
use posebook_serve::{OnceError, Options};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
The page is at the printed address, the interface is described by /openapi.json and docs/SERVICE.md. On loopback \
(127.0.0.1, ::1) no token is needed; on other addresses only a server with --token-file starts. Clients may name \
paths of this machine only below folders given by --allow, and http(s) addresses only with --allow-url.

SIGTERM and Ctrl-C end the server: running jobs get the time of --drain, then they are interrupted and start again \
with the next server. A second one ends it at once.

Examples:
  posebook serve
  posebook serve --allow /srv/clips --map '\\\\nas\\clips=/srv/clips' --devices cuda:0,cuda:1
  posebook serve --listen 0.0.0.0:7878 --token-file token --host pose.example.org
  posebook serve --once job.json")]
pub struct Args {
    /// Address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7878")]
    listen: String,
    /// Folder for the queue, uploads and results, on a local disk [default: .posebook/serve of the project]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Devices, each for one job at a time: cpu, cuda:0 [default: all GPUs that this build can use, or cpu]
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    devices: Vec<String>,
    /// Folder below which clients may name files; repeatable
    #[arg(long, value_name = "FOLDER")]
    allow: Vec<PathBuf>,
    /// Replace the beginning of clients' paths; repeatable, the longest one is used
    #[arg(long, value_name = "FROM=TO")]
    map: Vec<String>,
    /// Let clients name http(s) addresses of videos, which are fetched if they are public
    #[arg(long)]
    allow_url: bool,
    /// File with the access token; made at the first start, readable by its owner only
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Name under which clients reach the server, beside its address; repeatable
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Origin of another site whose pages may read answers, such as https://example.org; repeatable
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// Most jobs that wait; further ones are refused
    #[arg(long, value_name = "N", default_value_t = 100)]
    queue_max: usize,
    /// How long results are kept: 12h, 7d, forever
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_time)]
    keep: Time,
    /// Most bytes of all results; the oldest are removed first
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    keep_bytes: Option<u64>,
    /// Most bytes of an upload
    #[arg(long, value_name = "SIZE", default_value = "20GiB", value_parser = parse_size)]
    upload_max: u64,
    /// Bytes of the disk that jobs and uploads leave free [default: 5% of the disk, at least 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk_floor: Option<u64>,
    /// Time that running jobs get at the end of the server
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    drain: Time,
    /// Longest time of a job: 90m, 12h, forever
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = parse_time)]
    time_limit: Time,
    /// Form of log lines
    #[arg(long, value_name = "FORM", default_value = "text")]
    log: LogForm,
    /// Run the job in this file, the body of `POST /v1/jobs`, without listening; the exit status reports how it ended
    #[arg(long, value_name = "FILE")]
    once: Option<PathBuf>,
}

/// Form of log lines.
#[derive(Clone, Copy, clap::ValueEnum)]
enum LogForm {
    /// key=value pairs
    Text,
    /// One JSON object a line
    Json,
}

/// A time; `None` is forever.
#[derive(Clone, Copy)]
struct Time(Option<Duration>);

pub fn run(args: Args) -> Result<ExitCode> {
    let project = project()?;
    let once = args.once.clone();
    let mut options = options(args, &project)?;
    let stop = interrupt::install();
    let backend = Arc::new(ProjectBackend::new(project).context("this program's file cannot be found")?);
    let Some(path) = once else {
        posebook_serve::serve(options, backend, stop)?;
        return Ok(ExitCode::SUCCESS);
    };
    let request = read_request(&path)?;
    options.allow.extend(folders_of(&request));
    let folder = std::path::absolute(&options.data)?;
    match posebook_serve::once(options, backend, request, stop) {
        Ok(job) => Ok(report(&job, &folder)),
        Err(OnceError::Problem(problem)) => {
            let at = problem.pointer.as_ref().map(|pointer| format!(" (at {pointer})")).unwrap_or_default();
            bail!("{}: {}{at}", path.display(), problem.detail)
        }
        Err(OnceError::Serve(error)) => Err(error.into()),
    }
}

fn options(args: Args, project: &Project) -> Result<Options> {
    let listen: SocketAddr = match args.listen.parse() {
        Ok(listen) => listen,
        Err(_) => bail!(
            "--listen {}: give an address and a port, such as 127.0.0.1:7878, [::1]:7878 or 0.0.0.0:7878",
            args.listen
        ),
    };
    let is_loopback = listen.ip().to_canonical().is_loopback();
    if !is_loopback && args.token_file.is_none() && args.once.is_none() {
        bail!(
            "--listen {listen} can be reached by other machines, so a token is needed: add --token-file FILE, or listen on \
             127.0.0.1"
        );
    }
    if args.queue_max == 0 {
        bail!("--queue-max 0 would refuse every job; give 1 or more");
    }
    for folder in &args.allow {
        if !folder.is_dir() {
            bail!("--allow {}: there is no such folder", folder.display());
        }
    }
    let maps = args.map.iter().map(|map| match map.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_string(), to.to_string())),
        _ => bail!("--map {map}: write FROM=TO, such as --map /data=/srv/clips"),
    });
    for host in &args.host {
        let is_valid = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
        if host.is_empty() || !host.chars().all(is_valid) {
            bail!("--host {host}: give a name without scheme and path, such as pose.example.org");
        }
    }
    for origin in &args.cors_origin {
        let rest = origin.strip_prefix("https://").or(origin.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['/', '*', ' '])) {
            bail!(
                "--cors-origin {origin}: give a scheme and a host without a path, such as https://example.org"
            );
        }
    }
    let data = args.data.unwrap_or_else(|| project.root.join(".posebook/serve"));
    Ok(Options {
        listen,
        devices: choose_devices(args.devices)?,
        allow: args.allow,
        maps: maps.collect::<Result<_>>()?,
        allow_url: args.allow_url,
        token_file: args.token_file,
        hosts: args.host,
        cors_origins: args.cors_origin,
        queue_max: args.queue_max,
        keep: args.keep.0,
        keep_bytes: args.keep_bytes,
        disk_floor_bytes: args.disk_floor,
        upload_max_bytes: args.upload_max,
        drain: args.drain.0.context("--drain forever: give a time, such as 30s")?,
        job_time_limit: args.time_limit.0,
        log: match args.log {
            LogForm::Text => LogFormat::Text,
            LogForm::Json => LogFormat::Json,
        },
        ..Options::new(data)
    })
}

/// The given devices if this machine has them, otherwise all GPUs, otherwise the processor.
fn choose_devices(given: Vec<String>) -> Result<Vec<String>> {
    if given.is_empty() {
        let gpus: Vec<String> =
            devices().into_iter().map(|device| device.name).filter(|name| name != "cpu").collect();
        return Ok(if gpus.is_empty() { vec!["cpu".into()] } else { gpus });
    }
    for (index, name) in given.iter().enumerate() {
        if device::parse(name)?.is_none() {
            bail!("--devices auto: name the devices, such as cpu or cuda:0");
        }
        device::resolve(name).with_context(|| format!("--devices {name}"))?;
        if given[..index].contains(name) {
            bail!("--devices names {name} twice; a device has one job at a time");
        }
    }
    Ok(given)
}

fn parse_time(text: &str) -> Result<Time, String> {
    if matches!(text, "0" | "0s") {
        return Ok(Time(Some(Duration::ZERO)));
    }
    parse_keep(text).map(Time)
}

/// Bytes from text such as `500MB`, `4GiB`, `1024`.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1u64 << 40,
        _ => 0,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = digits.parse::<u64>().ok().filter(|_| is_number).and_then(|number| number.checked_mul(unit));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| {
        format!("`{text}` is no size: write a number with a unit, such as 500MB, 4GiB or 1TiB")
    })
}

fn read_request(path: &Path) -> Result<JobRequest> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the job {}", path.display()))?;
    let request: JobRequest = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{} is no job such as {{\"kind\": \"track\", \"source\": {{\"path\": \"/clips/a.mp4\"}}}}",
            path.display()
        )
    })?;
    Ok(request)
}

/// The folders of the paths that a request names: who starts the command may read them.
fn folders_of(request: &JobRequest) -> Vec<PathBuf> {
    let path = |source: &Source| match source {
        Source::Path(path) => {
            Path::new(path).parent().filter(|folder| folder.is_dir()).map(Path::to_path_buf)
        }
        Source::Upload(_) | Source::Url(_) => None,
    };
    request.source.iter().chain(&request.boxes).filter_map(path).collect()
}

/// Prints how a job ended; the exit status is 0 for success, 130 if it was interrupted, else 1.
fn report(job: &Job, data: &Path) -> ExitCode {
    match (job.state, &job.failure) {
        (JobState::Succeeded, _) => {
            println!("results: {}", data.join("done").join(job.id.to_string()).join(RESULTS).display());
            ExitCode::SUCCESS
        }
        (JobState::Failed, Some(failure)) => {
            eprintln!("error: {}", failure.message);
            failure.advice.iter().for_each(|advice| eprintln!("{advice}"));
            ExitCode::FAILURE
        }
        (JobState::Failed, None) => ExitCode::FAILURE,
        _ => {
            eprintln!("interrupted; the job is {} and goes on with the next server", job.id);
            ExitCode::from(130)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        for (text, bytes) in [("500MB", 500_000_000), ("4GiB", 4 << 30), ("1024", 1024), ("2tib", 2 << 40)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "-1GiB", "1.5GiB", "4 GiB", "4XB", "0", "99999999TiB", "٣GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(parse_time("30s").unwrap().0, Some(Duration::from_secs(30)));
        assert_eq!(parse_time("0s").unwrap().0, Some(Duration::ZERO));
        assert_eq!(parse_time("forever").unwrap().0, None);
        assert!(parse_time("soon").is_err());
    }
}
