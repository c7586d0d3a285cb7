//! Which addresses are refused before anything is sent.

use posebook_serve::addresses::{Fetcher, is_public};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

#[test]
fn addresses_of_this_machine_and_its_networks_are_refused_in_every_spelling() {
    let fetcher = Fetcher::new();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "a.localhost.",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "017700000001",
        "１２７.０.０.１",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "127.0.0.1.",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "169.254.169.254.",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "168.63.129.16",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.0.0.192",
        "100.64.0.1",
        "100.127.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.88.99.1",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fdff::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[5f00::1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::8.8.8.8]",
        "[64:ff9b:1::1]",
        "[2001::1]",
        "[2001:0:7f00:1::]",
        "[2001:2::1]",
        "[2001:20::1]",
        "[2620:0:1::5efe:7f00:1]",
        "[2a00:1450::200:5efe:a00:1]",
        "[::ffff:0:7f00:1]",
        "[::8.8.8.8]",
        "[::ffff:8.8.8.8]",
    ] {
        for scheme in ["http", "https"] {
            let problem = fetcher.check(&format!("{scheme}://{host}/a.mp4")).unwrap_err();
            assert_eq!(
                (problem.status, problem.name()),
                (403, "address-not-allowed"),
                "{host}: {}",
                problem.detail
            );
            assert!(problem.detail.contains("not a public address"), "{host}: {}", problem.detail);
        }
    }
    for host in [
        "example.com",
        "93.184.216.34",
        "8.8.8.8",
        "1.1.1.1",
        "[2606:4700::1111]",
        "[2a00:1450:4001::1]",
        "xn--bcher-kva.example",
    ] {
        for prefix in ["http://", "https://", "HTTPS://", "http:"] {
            assert_eq!(fetcher.check(&format!("{prefix}{host}/a%20b?x#y")), Ok(()), "{host}");
        }
    }
}

#[test]
fn other_schemes_ports_users_and_what_is_no_address_are_refused() {
    let fetcher = Fetcher::new();
    let long = format!("http://example.com/{}", "a".repeat(9000));
    for (address, status, reason) in [
        ("file:///etc/passwd", 403, "`file:`"),
        ("gopher://example.com/", 403, "`gopher:`"),
        ("ftp://example.com/a.mp4", 403, "`ftp:`"),
        ("data:video/mp4,x", 403, "`data:`"),
        ("concat:/etc/passwd", 403, "`concat:`"),
        ("rtsp://example.com/", 403, "`rtsp:`"),
        ("C:\\a.mp4", 403, "`c:`"),
        ("http://a@127.0.0.1/", 403, "user name"),
        ("http://a:b@example.com/", 403, "user name"),
        ("http://:b@example.com/", 403, "user name"),
        ("http://example.com@127.0.0.1/", 403, "user name"),
        ("http://example.com:22/", 403, "port 22"),
        ("http://example.com:8080/", 403, "port 8080"),
        ("https://example.com:0/", 403, "port 0"),
        ("http://127.0.0.1:6379/", 403, "port 6379"),
        ("", 422, "cannot be read"),
        ("example.com/a.mp4", 422, "cannot be read"),
        ("//example.com/a.mp4", 422, "cannot be read"),
        ("http://", 422, "cannot be read"),
        ("http://exa mple.com/", 422, "blank"),
        ("http://example.com/a b", 422, "blank"),
        ("http://example.com/\r\nHost: x", 422, "blank"),
        ("http://example.com/\0", 422, "blank"),
        ("http://[fe80::1%25eth0]/", 422, "cannot be read"),
        ("http://[::1", 422, "cannot be read"),
        ("http://1.2.3.4.5/", 422, "cannot be read"),
        ("http://256.256.256.256/", 422, "cannot be read"),
        ("http://99999999999/", 422, "cannot be read"),
        ("http://example.com:99999/", 422, "cannot be read"),
        ("http://./", 422, "no host"),
        ("http://exa%00mple.com/", 422, "cannot be read"),
        (&long, 422, "at most 8192"),
    ] {
        let problem = fetcher.check(address).unwrap_err();
        let name = if status == 403 { "address-not-allowed" } else { "malformed" };
        assert_eq!((problem.status, problem.name()), (status, name), "{address}: {}", problem.detail);
        assert!(problem.detail.contains(reason), "{address}: {}", problem.detail);
    }
}

#[test]
fn neighbors_of_special_networks_are_public() {
    for address in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::",
        "2000::1",
        "2001:db7:ffff::1",
        "2001:db9::",
        "2003::1",
        "3ffe::1",
        "3fff:1000::1",
        "2600::5efe",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
    assert!(!is_public("1fff::1".parse().unwrap()) && !is_public("4000::1".parse().unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_what_is_accepted_is_not_an_address_of_this_machine(
        text in "(http|https|file)?:?/{0,3}[a-z0-9.:@%\\\\\\[\\]?#/]{0,30}", other: String
    ) {
        let fetcher = Fetcher::new();
        for address in [text, format!("http://{other}"), other] {
            if fetcher.check(&address).is_ok() {
                let url = url::Url::parse(&address).unwrap();
                prop_assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty());
                let host = match url.host().unwrap() {
                    url::Host::Ipv4(host) => Some(IpAddr::from(host)),
                    url::Host::Ipv6(host) => Some(IpAddr::from(host)),
                    url::Host::Domain(_) => None,
                };
                prop_assert!(host.is_none_or(is_public), "{address}");
            }
        }
    }

    #[test]
    fn an_address_of_ipv4_is_as_public_within_a_url_in_any_base(number: u32) {
        let is_allowed = |host: String| Fetcher::new().check(&format!("http://{host}/")).is_ok();
        let expected = is_public(Ipv4Addr::from_bits(number).into());
        let [a, b, c, d] = number.to_be_bytes();
        let spellings = [
            format!("{a}.{b}.{c}.{d}"),
            format!("{number}"),
            format!("{number:#x}"),
            format!("0{number:o}"),
            format!("{a:#x}.0{b:o}.{}", u16::from_be_bytes([c, d])),
            format!("{a}.{}", number & 0xff_ffff),
        ];
        for host in spellings {
            prop_assert_eq!(is_allowed(host.clone()), expected, "{}", host);
        }
        prop_assert!(!is_allowed(format!("[::ffff:{a}.{b}.{c}.{d}]")), "never within IPv6");
    }
}
