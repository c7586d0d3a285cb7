//! Fetching of addresses: which are refused, and what a hostile server can do.

mod fetching;
#[path = "../loopback/mod.rs"]
mod loopback;
mod redirects;
mod refused;
mod service;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../../../tests/common/skip.rs"]
mod test_skip;

use loopback::{PUBLIC, Received, Server, names, network};
use posebook_serve::addresses::{Fetcher, Network};
use posebook_serve::problem::Problem;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

fn has_curl() -> bool {
    loopback::has_curl(test_skip::skip)
}

/// A folder, a fetcher, and a server that stands for one on the internet.
struct Place {
    folder: tempfile::TempDir,
    server: Server,
    fetcher: Fetcher,
}

fn place(answer: impl Fn(&Received, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Place {
    place_with(Server::start(PUBLIC, answer), |network| network)
}

fn place_with(server: Server, change: impl FnOnce(Network) -> Network) -> Place {
    let network = network(&[80, 443, server.port], names);
    Place { folder: tempfile::tempdir().unwrap(), server, fetcher: Fetcher::with_network(change(network)) }
}

impl Place {
    fn to(&self) -> PathBuf {
        self.folder.path().join("source.mp4")
    }

    /// Fetches a path of the server by its name, at most 1 MB. Whatever goes wrong, nothing is left, and nothing secret said.
    fn fetch(&self, path: &str) -> Result<Vec<u8>, Problem> {
        self.fetch_from(&format!("http://public.test:{}{path}?token=sesame#part", self.server.port))
    }

    fn fetch_from(&self, address: &str) -> Result<Vec<u8>, Problem> {
        let result =
            self.fetcher.fetch(address, &self.to(), 1_000_000, &AtomicBool::new(false), &mut |_, _| {});
        if let Err(problem) = &result {
            assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 0, "{}", problem.detail);
            assert!(!problem.detail.contains("sesame"), "{}", problem.detail);
        }
        result.map(|()| {
            let content = fs::read(self.to()).unwrap();
            fs::remove_file(self.to()).unwrap();
            content
        })
    }

    /// Type and words of the refusal.
    #[track_caller]
    fn refused(&self, path: &str) -> (String, String) {
        let problem = self.fetch(path).unwrap_err();
        (problem.name().to_string(), problem.detail.clone())
    }
}
