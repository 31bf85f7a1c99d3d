//! Which host answers a request, and that each has its own files in memory.

mod http_support;

use http_support::{Client, Fixture, assert_same, bad_request, not_found};
use xdphttpd::http::{Host, HostName};
use xdphttpd::site::{InlineLoader, Root, Roots};

const TEXT: &str = "text/plain; charset=utf-8";

/// The directories that the hosts have, the default one's first, and the names of the others.
const HOSTS: [(&str, &[&str]); 4] = [
    ("none", &[]),
    ("org", &["example.org", "*.example.org"]),
    ("www", &["www.example.org", "192.0.2.1"]),
    ("net", &["*.net"]),
];

/// Each directory has a file with its own name in it, and one that nobody else has.
fn fixture() -> Fixture {
    let fixture = Fixture::new(&[]);
    for (directory, _) in HOSTS {
        fixture.write(&format!("{directory}/who.txt"), directory.as_bytes());
        fixture.write(&format!("{directory}/only-{directory}.txt"), b"here");
        fixture.write(&format!("{directory}/sub/file.txt"), b"below");
    }
    fixture
}

fn client(fixture: &Fixture) -> Client<InlineLoader> {
    let open = |(directory, _): &(&str, _)| Root::open(&fixture.path().join(directory)).unwrap();
    let roots = Roots::new(HOSTS.iter().map(open).collect());
    let mut client = Client::new(InlineLoader::new(roots));
    for (_, names) in &HOSTS[1..] {
        let names: Vec<HostName> = names.iter().map(|name| name.parse().unwrap()).collect();
        client.hosts.add(&names, Host::default());
    }
    client
}

/// Request lines and fields of Host, and the directory that answers.
const CASES: [(&str, &str, &str); 20] = [
    ("/who.txt", "example.org", "org"),
    ("/who.txt", "Example.ORG", "org"),
    ("/who.txt", "example.org:80", "org"),
    ("/who.txt", "example.org:8080", "org"),
    ("/who.txt", "example.org.", "org"),
    ("/who.txt", "example.org.:80", "org"),
    ("/who.txt", "a.example.org", "org"),
    ("/who.txt", "a.b.example.org", "org"),
    ("/who.txt", "www.example.org", "www"),
    ("/who.txt", "WWW.example.org.", "www"),
    ("/who.txt", "192.0.2.1", "www"),
    ("/who.txt", "deep.www.example.org", "org"),
    ("/who.txt", "some.net", "net"),
    ("/who.txt", "net", "none"),
    ("/who.txt", "example.com", "none"),
    ("/who.txt", "notexample.org", "none"),
    ("/who.txt", "[::1]:80", "none"),
    ("http://example.org/who.txt", "www.example.org", "org"),
    ("http://WWW.example.org.:8080/who.txt", "example.org", "www"),
    ("http://example.com/who.txt", "example.org", "none"),
];

#[test]
fn the_authority_chooses_the_host() {
    let fixture = fixture();
    let mut warm = client(&fixture);
    // Twice: the second time all is in memory.
    for (target, host, directory) in CASES.iter().chain(&CASES) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let expected = fixture.ok(&format!("{directory}/who.txt"), TEXT, "");
        let what = format!("{target} of {host}");
        assert_same(&warm.exchange(request.as_bytes()), &expected, &what);
        let cold = client(&fixture).exchange(request.as_bytes());
        assert_same(&cold, &expected, &what);
        warm.reconnect();
        for byte in request.as_bytes().chunks(1) {
            warm.feed(byte);
        }
        assert_same(&warm.sent, &expected, &what);
    }
}

#[test]
fn without_a_host_or_names_the_default_host_answers() {
    let fixture = fixture();
    let expected = fixture.ok("none/who.txt", TEXT, "Connection: close\r\n");
    let old = client(&fixture).exchange(b"GET /who.txt HTTP/1.0\r\n\r\n");
    assert_same(&old, &expected, "HTTP/1.0 without Host");
    let alone = Fixture::new(&[("a.txt", b"a")]);
    let request = b"GET /a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n";
    assert_same(
        &alone.client().exchange(request),
        &alone.ok("a.txt", TEXT, ""),
        "one host",
    );
    // What is no valid Host is refused before anybody looks for it.
    let request = b"GET /who.txt HTTP/1.1\r\nHost: example.org/\r\n\r\n";
    let refused = client(&fixture).exchange(request);
    assert_same(&refused, bad_request().as_bytes(), "an invalid Host");
}

#[test]
fn no_host_has_the_files_of_another() {
    let fixture = fixture();
    let mut client = client(&fixture);
    let names = ["example.com", "example.org", "www.example.org", "a.net"];
    for (name, (own, _)) in names.iter().zip(HOSTS) {
        for (other, _) in HOSTS {
            let file = format!("only-{other}.txt");
            let request = format!("GET /{file} HTTP/1.1\r\nHost: {name}\r\n\r\n");
            let expected = match own == other {
                true => fixture.ok(&format!("{own}/{file}"), TEXT, ""),
                false => not_found("").into_bytes(),
            };
            for temperature in ["cold", "warm"] {
                let response = client.exchange(request.as_bytes());
                assert_same(
                    &response,
                    &expected,
                    &format!("{name}, {other}, {temperature}"),
                );
            }
        }
    }
}

#[test]
fn requests_on_one_connection_may_be_for_different_hosts() {
    let fixture = fixture();
    let mut client = client(&fixture);
    let hosts = [
        ("example.org", "org"),
        ("a.net", "net"),
        ("x", "none"),
        ("www.example.org", "www"),
    ];
    let (mut requests, mut expected) = (String::new(), Vec::new());
    for (host, directory) in hosts.iter().chain(&hosts) {
        requests.push_str(&format!("GET /who.txt HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        expected.extend(fixture.ok(&format!("{directory}/who.txt"), TEXT, ""));
    }
    assert_same(
        &client.exchange(requests.as_bytes()),
        &expected,
        "pipelined",
    );
}
