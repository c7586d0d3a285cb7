//! Redirects, and names that change their addresses.

use crate::loopback::{PUBLIC, Received, Server, answer, names, network};
use crate::{has_curl, place, place_with};
use posebook_serve::addresses::Network;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn redirects_are_followed_five_times() {
    if !has_curl() {
        return;
    }
    let place = place(|request, stream| {
        let path = request.target.split('?').next().unwrap_or_default().to_string();
        let steps: u16 = path.trim_start_matches("/step/").parse().unwrap_or(0);
        let port = stream.local_addr()?.port();
        let location = match steps {
            0 => return stream.write_all(&answer(200, "", b"arrived")),
            1 => "0?x".to_string(),
            2 => "/step/1".to_string(),
            3 => format!("//other.test:{port}/step/2"),
            4 => format!("http://{PUBLIC}:{port}/step/3"),
            steps => format!("HTTP://Public.Test:{port}/a/../step/{}", steps - 1),
        };
        let status = [301, 302, 303, 307, 308][usize::from(steps) % 5];
        stream.write_all(&answer(status, &format!("Location: {location}\r\n"), &[b'x'; 2000]))
    });
    for steps in 0..=5 {
        assert_eq!(place.fetch(&format!("/step/{steps}")).unwrap(), b"arrived");
    }
    let asked = place.server.received().len();
    for steps in [6, 60_000] {
        let (name, detail) = place.refused(&format!("/step/{steps}"));
        assert!(name == "bad-source" && detail.contains("more than 5 redirects"), "{detail}");
    }
    assert_eq!(place.server.received().len(), asked + 2 * 6);
}

#[test]
fn a_redirect_to_what_is_not_allowed_is_refused() {
    if !has_curl() {
        return;
    }
    let canary = Server::always(Ipv4Addr::LOCALHOST, answer(200, "", b"inside"));
    let inside = canary.port;
    let locations = [
        format!("http://127.0.0.1:{inside}/"),
        format!("//127.0.0.1:{inside}/"),
        format!("http:\\\\127.0.0.1:{inside}/"),
        format!("http://localhost:{inside}/"),
        format!("http://LocalHost.:{inside}/"),
        format!("http://0.0.0.0:{inside}/"),
        format!("http://[::1]:{inside}/"),
        format!("http://[::ffff:127.0.0.1]:{inside}/"),
        format!("http://2130706433:{inside}/"),
        format!("http://0x7f.1:{inside}/"),
        format!("http://0177.0.0.1:{inside}/"),
        format!("http://127.1:{inside}/"),
        format!("http://%31%32%37.0.0.1:{inside}/"),
        format!("http://private.test:{inside}/"),
        format!("http://mixed.test:{inside}/"),
        format!("http://a@public.test:{inside}/"),
        format!("http://public.test@127.0.0.1:{inside}/"),
        "http://metadata.test/".into(),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://[fd00:ec2::254]/".into(),
        "http://100.100.100.200/".into(),
        "http://10.0.0.1/".into(),
        "http://172.16.0.1/".into(),
        "http://192.168.0.1/".into(),
        "http://100.64.0.1/".into(),
        "http://198.18.0.1/".into(),
        "http://[fe80::1]/".into(),
        "http://[2002:7f00:1::]/".into(),
        "http://[64:ff9b::7f00:1]/".into(),
        "http://public.test:22/".into(),
        "file:///etc/passwd".into(),
        "gopher://public.test/".into(),
        "ftp://public.test/".into(),
        "data:,x".into(),
    ];
    let table = locations.clone();
    let server = Server::start(PUBLIC, move |request, stream| {
        let number: usize =
            request.target.trim_start_matches('/').split('?').next().unwrap_or_default().parse().unwrap_or(0);
        stream.write_all(&answer(302, &format!("Location: {}\r\n", table[number]), b"body"))
    });
    let place =
        place_with(server, |network| Network { ports: [network.ports, vec![inside]].concat(), ..network });
    for (number, location) in locations.iter().enumerate() {
        let (name, detail) = place.refused(&format!("/{number}"));
        assert_eq!(name, "address-not-allowed", "{location}: {detail}");
    }
    assert_eq!(canary.received().len(), 0, "nobody asked the server inside");
    assert_eq!(place.server.received().len(), locations.len());
}

#[test]
fn a_name_that_changes_its_address_is_fetched_from_the_checked_one_or_refused() {
    if !has_curl() {
        return;
    }
    // the same port on both addresses: only the address differs
    let (public, private) = loop {
        let public = TcpListener::bind((PUBLIC, 0)).unwrap();
        if let Ok(private) = TcpListener::bind((Ipv4Addr::LOCALHOST, public.local_addr().unwrap().port())) {
            break (public, private);
        }
    };
    let redirect = |request: &Received, stream: &mut TcpStream| match request.target.starts_with("/again") {
        true => stream.write_all(&answer(302, "Location: /there\r\n", b"")),
        false => stream.write_all(&answer(200, "", b"public")),
    };
    let server = Server::on(public, redirect);
    let inside = Server::on(private, |_, stream| stream.write_all(&answer(200, "", b"inside")));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let rebinding = move |_: &str| match count.fetch_add(1, Ordering::SeqCst) {
        0 => vec![IpAddr::from(PUBLIC)],
        _ => vec![Ipv4Addr::LOCALHOST.into()],
    };
    let port = server.port;
    let place = place_with(server, |_| network(&[port], rebinding));
    assert_eq!(place.fetch("/once").unwrap(), b"public", "the request goes to the address that was checked");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the name is looked up once");
    assert_eq!(place.refused("/once").0, "address-not-allowed");
    asked.store(0, Ordering::SeqCst);
    assert_eq!(
        place.refused("/again").0,
        "address-not-allowed",
        "the second look-up of a redirect is checked again"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    for host in ["private.test", "mixed.test"] {
        let place = place_with(Server::always(PUBLIC, ""), |_| network(&[port], names));
        let problem = place.fetch_from(&format!("http://{host}:{port}/")).unwrap_err();
        assert_eq!(problem.name(), "address-not-allowed");
        assert!(!problem.detail.contains("127.0.0"), "the private address is not shown: {}", problem.detail);
    }
    assert_eq!(inside.received().len(), 0);
}
