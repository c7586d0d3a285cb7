//! A server of scripted answers on loopback, and rules that treat its address as public: 127.0.0.2 is public, 127.0.0.1 is not.
#![allow(dead_code, reason = "each test uses a part of it")]

use posebook_serve::addresses::{Network, Resolver};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stands for a public address.
pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A request as the server received it.
#[derive(Debug, Clone, Default)]
pub struct Received {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn read(stream: &TcpStream) -> io::Result<Received> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).map(|_| line.trim_end().to_string())
        };
        let first = line()?;
        let mut words = first.split(' ').map(str::to_string);
        let mut received = Received {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            ..Received::default()
        };
        loop {
            let header = line()?;
            let Some((name, value)) = header.split_once(':') else { break };
            received.headers.push((name.to_string(), value.trim().to_string()));
        }
        let length = received.header("content-length").parse().unwrap_or(0);
        received.body = vec![0; length];
        reader.read_exact(&mut received.body)?;
        Ok(received)
    }
}

/// A server whose answers a closure writes, one thread per connection. It runs until the test's process ends.
pub struct Server {
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// A server at an address of loopback.
    pub fn start(
        address: Ipv4Addr,
        answer: impl Fn(&Received, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        Server::on(TcpListener::bind((address, 0)).unwrap(), answer)
    }

    /// A server at a bound socket.
    pub fn on(
        listener: TcpListener,
        answer: impl Fn(&Received, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (answer, record) = (Arc::new(answer), Arc::clone(&received));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let request = Received::read(&stream).unwrap_or_default();
                    record.lock().unwrap().push(request.clone());
                    // fails if the client has gone
                    let _ = answer(&request, &mut stream);
                });
            }
        });
        Server { port, received }
    }

    /// A server that gives every request the same answer.
    pub fn always(address: Ipv4Addr, answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(address, move |_, stream| stream.write_all(&answer))
    }

    /// The requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// A whole answer.
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Rules for these ports. Names resolve by the resolver.
pub fn network(ports: &[u16], resolver: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Network {
    let resolver: Resolver = Arc::new(move |name, _| match resolver(name) {
        addresses if addresses.is_empty() => Err(io::Error::other("no such name")),
        addresses => Ok(addresses),
    });
    Network {
        resolver,
        ports: ports.to_vec(),
        trusted: vec![PUBLIC.into()],
        connect_limit: Duration::from_secs(5),
        stall_limit: Duration::from_secs(5),
        fetch_limit: Duration::from_secs(20),
    }
}

/// The names of the tests: all but those of `private.test` are public.
pub fn names(name: &str) -> Vec<IpAddr> {
    let private = IpAddr::from(Ipv4Addr::LOCALHOST);
    match name {
        "private.test" => vec![private],
        "mixed.test" => vec![PUBLIC.into(), private],
        "metadata.test" => vec![Ipv4Addr::new(169, 254, 169, 254).into()],
        name if name.ends_with(".test") => vec![PUBLIC.into()],
        _ => Vec::new(),
    }
}

/// Whether curl is installed; says a skip otherwise.
pub fn has_curl(skip: fn(&str, bool)) -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    if !found {
        skip("curl is not installed", true);
    }
    found
}

/// Runs the test `name` of this test program again in a process of its own, with these variables; its exit status and output.
pub fn in_own_process(name: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads", "1"]);
    command.envs(variables.iter().copied());
    command
}
