//! The service: its parts, and its start and end.

use crate::addresses::Fetcher;
use crate::backend::{Backend, DeviceInfo};
use crate::dispatch::Dispatcher;
use crate::http::Limits;
use crate::http::auth::Auth;
use crate::job::JobId;
use crate::options::Options;
use crate::paths::PathRules;
use crate::store::local::check_local;
use crate::store::{Clock, Store, StoreError, system_time};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// Everything that requests and devices share.
pub struct Service {
    /// The options.
    pub options: Options,
    /// The queue.
    pub store: Store,
    /// The program that is served.
    pub backend: Arc<dyn Backend>,
    /// The devices of the options, as the backend describes them, in the order of the options.
    pub devices: Vec<DeviceInfo>,
    /// Allowed paths.
    pub paths: PathRules,
    /// Fetches addresses.
    pub fetcher: Fetcher,
    /// The access token and sessions.
    pub auth: Auth,
    /// The threads of the devices, once started.
    pub dispatcher: OnceLock<Dispatcher>,
    /// Whether the server takes no new jobs because it ends.
    pub draining: AtomicBool,
    /// When the server started.
    pub started: SystemTime,
    /// Held until the service is dropped: no other server uses the data folder.
    _lock: Flock<File>,
}

/// The service cannot start, or ended by an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An option is invalid.
    #[error("{0}")]
    Options(String),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file, folder, socket or thread.
    #[error("{what}: {source}")]
    Io {
        /// What failed.
        what: String,
        /// Cause.
        source: io::Error,
    },
}

impl ServeError {
    /// Adds what failed to an error.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServeError {
        move |source| ServeError::Io { what: what.into(), source }
    }
}

/// Space of the data folder's disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free for this user.
    pub free: u64,
    /// In all.
    pub total: u64,
    /// Uploads and jobs are refused, and running jobs end, while less than this is free.
    pub floor: u64,
}

impl DiskSpace {
    /// Whether `bytes` more can be written without going below the floor.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        self.free >= self.floor.saturating_add(bytes)
    }
}

impl Service {
    /// Creates the folders, locks the data folder and opens the database. Starts no threads.
    ///
    /// # Errors
    /// If an option is invalid, the data folder cannot be used, is in use by another server or is on a network file system, or
    /// the database cannot be opened.
    pub fn new(options: Options, backend: Arc<dyn Backend>) -> Result<Arc<Service>, ServeError> {
        Service::with_clock(options, backend, Arc::new(system_time))
    }

    /// [`Service::new`] with another clock, for tests.
    ///
    /// # Errors
    /// As [`Service::new`].
    pub fn with_clock(
        options: Options,
        backend: Arc<dyn Backend>,
        clock: Clock,
    ) -> Result<Arc<Service>, ServeError> {
        let auth = Auth::new(&options)?;
        let devices = chosen_devices(&options.devices, &backend.devices())?;
        let paths = PathRules::new(&options.allow, &options.maps).map_err(ServeError::Options)?;
        // before anything is created there
        check_local(&options.data)?;
        let cannot_create =
            |folder: &Path| ServeError::io(format!("cannot create the folder {}", folder.display()));
        // for this user only; one that exists keeps its permissions
        let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(&options.data);
        created.map_err(cannot_create(&options.data))?;
        // absolute, because job processes have working directories of their own; and the same at every start, because processes
        // that an ended server left are found by it
        let data = fs::canonicalize(&options.data).map_err(ServeError::io("the data folder"))?;
        let options = Options { data, ..options };
        for name in [UPLOADS, WORK, DONE] {
            let folder = options.data.join(name);
            fs::create_dir_all(&folder).map_err(cannot_create(&folder))?;
        }
        let lock = lock_data_folder(&options.data)?;
        let store = Store::open_with_clock(&options.data, clock)?;
        let fetcher = Fetcher::with_network(options.network.clone());
        Ok(Arc::new(Service {
            options,
            store,
            backend,
            devices,
            paths,
            fetcher,
            auth,
            dispatcher: OnceLock::new(),
            draining: AtomicBool::new(false),
            started: SystemTime::now(),
            _lock: lock,
        }))
    }

    /// Runs blocking code on a thread for blocking work.
    pub async fn blocking<T: Send + 'static>(
        self: &Arc<Service>,
        work: impl FnOnce(&Service) -> T + Send + 'static,
    ) -> T {
        let service = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&service)).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Folder of a job's current attempt.
    #[must_use]
    pub fn work_folder(&self, job: JobId, attempt: u32) -> PathBuf {
        self.options.data.join(WORK).join(format!("{job}-{attempt}"))
    }

    /// Folder of an ended job: log, outcome and results.
    #[must_use]
    pub fn done_folder(&self, job: JobId) -> PathBuf {
        self.options.data.join(DONE).join(job.to_string())
    }

    /// Folder of an upload, with one file in it.
    #[must_use]
    pub fn upload_folder(&self, id: &str) -> PathBuf {
        self.options.data.join(UPLOADS).join(id)
    }

    /// Space of the data folder's disk.
    ///
    /// # Errors
    /// If the system does not report it.
    pub fn disk_space(&self) -> io::Result<DiskSpace> {
        let there = nix::sys::statvfs::statvfs(&self.options.data)?;
        let block = there.fragment_size();
        let total = there.blocks().saturating_mul(block);
        let floor = self.options.disk_floor_bytes.unwrap_or_else(|| (2 << 30).max(total / 20));
        Ok(DiskSpace { free: there.blocks_available().saturating_mul(block), total, floor })
    }

    /// Whether the server takes no new jobs.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// A server that listens, and does not answer before [`Server::run`].
pub struct Server {
    service: Arc<Service>,
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl Server {
    /// [`Service::new`], and listens.
    ///
    /// # Errors
    /// As [`Service::new`], and if the address cannot be bound.
    pub fn bind(options: Options, backend: Arc<dyn Backend>) -> Result<Server, ServeError> {
        Server::of(Service::new(options, backend)?)
    }

    /// Listens for a service that is not served yet.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn of(service: Arc<Service>) -> Result<Server, ServeError> {
        let given = service.options.listen;
        let what = || format!("cannot listen on {given} (choose another address or port with --listen)");
        let listener = TcpListener::bind(given).map_err(ServeError::io(what()))?;
        listener.set_nonblocking(true).map_err(ServeError::io(what()))?;
        let address = listener.local_addr().map_err(ServeError::io(what()))?;
        Ok(Server { service, listener, address, limits: Limits::default() })
    }

    /// The same with these limits of connections and requests.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Server {
        Server { limits, ..self }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves.
    #[must_use]
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Serves until `stop` is set, then drains: takes no new jobs, gives running ones the time of the options, interrupts the
    /// others and puts them back into the queue. Requests are answered until no process is left.
    ///
    /// # Errors
    /// If threads cannot be created, or the listening socket fails.
    pub fn run(self, stop: &AtomicBool) -> Result<(), ServeError> {
        let Server { service, listener, limits, .. } = self;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build();
        let runtime = runtime.map_err(ServeError::io("cannot start the threads of the server"))?;
        let dispatcher = Dispatcher::start(Arc::clone(&service));
        let dispatcher = dispatcher.map_err(ServeError::io("cannot start the threads of the devices"))?;
        let dispatcher = service.dispatcher.get_or_init(|| dispatcher);
        let (end_requests, requests_end) = tokio::sync::watch::channel(false);
        let background_stop = AtomicBool::new(false);
        let result = std::thread::scope(|threads| {
            let deliver = || crate::addresses::deliver_webhooks(&service, &background_stop);
            let webhooks = std::thread::Builder::new().name("webhooks".into()).spawn_scoped(threads, deliver);
            let ends = async move {
                let mut requests_end = requests_end;
                // an error means that the sender is gone: the server ends
                let _ = requests_end.wait_for(|end| *end).await;
            };
            let served = Arc::clone(&service);
            let serve_requests = async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                crate::http::accept::run(served, listener, limits, ends).await;
                Ok::<(), io::Error>(())
            };
            let result = webhooks.map(|_| ()).and_then(|()| {
                let requests = runtime.spawn(serve_requests);
                while !stop.load(Ordering::SeqCst) && !requests.is_finished() {
                    std::thread::sleep(STOP_INTERVAL);
                }
                service.draining.store(true, Ordering::SeqCst);
                dispatcher.drain(service.options.drain);
                // fails if the task has ended
                let _ = end_requests.send(true);
                runtime.block_on(async {
                    match tokio::time::timeout(REQUESTS_END, requests).await {
                        Ok(Ok(result)) => result,
                        Ok(Err(panic)) => Err(io::Error::other(panic)),
                        // a client that reads slowly is cut off
                        Err(_) => Ok(()),
                    }
                })
            });
            service.draining.store(true, Ordering::SeqCst);
            dispatcher.drain(Duration::ZERO);
            background_stop.store(true, Ordering::SeqCst);
            result
        });
        runtime.shutdown_timeout(REQUESTS_END);
        result.map_err(ServeError::io("the listening socket"))
    }
}

/// Interval at which the flag that ends the server is read.
const STOP_INTERVAL: Duration = Duration::from_millis(20);
/// How long answers may take at the end of the server.
const REQUESTS_END: Duration = Duration::from_secs(5);

/// Serves until `stop` is set, which the caller does at SIGTERM or Ctrl-C, then drains. Prints one line with the address to
/// standard output.
///
/// # Errors
/// If the options are refused, the data folder is in use or on a network file system, or the address cannot be bound.
pub fn serve(
    options: Options,
    backend: Arc<dyn Backend>,
    stop: &'static AtomicBool,
) -> Result<(), ServeError> {
    let server = Server::bind(options, backend)?;
    let mut out = io::stdout().lock();
    // whoever started the server may not read its output
    let _ = writeln!(out, "posebook serves on http://{}", server.address()).and_then(|()| out.flush());
    drop(out);
    server.run(stop)
}

/// Folder of the data folder with uploads.
const UPLOADS: &str = "uploads";
/// Folder of the data folder with the folders of running jobs.
const WORK: &str = "work";
/// Folder of the data folder with the folders of ended jobs.
const DONE: &str = "done";

/// The backend's description of each of the devices in `names`.
fn chosen_devices(names: &[String], known: &[DeviceInfo]) -> Result<Vec<DeviceInfo>, ServeError> {
    let mut chosen: Vec<DeviceInfo> = Vec::new();
    for name in names {
        let Some(device) = known.iter().find(|device| device.name == *name) else {
            let known: Vec<&str> = known.iter().map(|device| device.name.as_str()).collect();
            let known = known.join(", ");
            return Err(ServeError::Options(format!("device `{name}`: this machine has {known}")));
        };
        if chosen.contains(device) {
            return Err(ServeError::Options(format!(
                "device `{name}` is named twice; it runs one job at a time"
            )));
        }
        chosen.push(device.clone());
    }
    if chosen.is_empty() {
        return Err(ServeError::Options("no devices: name at least one, such as `cpu`".into()));
    }
    Ok(chosen)
}

/// Locks the data folder for this process, and writes the process' id into the lock file for messages.
fn lock_data_folder(data: &Path) -> Result<Flock<File>, ServeError> {
    let path = data.join("lock");
    let what = || format!("cannot lock {}", path.display());
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(ServeError::io(what()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0).map_err(ServeError::io(what()))?;
            lock.write_all(std::process::id().to_string().as_bytes()).map_err(ServeError::io(what()))?;
            Ok(lock)
        }
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if read { format!(" (process {})", holder.trim()) } else { String::new() };
            Err(ServeError::Options(format!(
                "the data folder {} is in use by another server{holder}: stop it, or choose another folder with --data",
                data.display()
            )))
        }
        Err((_, error)) => Err(ServeError::io(what())(error.into())),
    }
}
