//! A request that hits the cache allocates nothing, and no request takes much more memory than its own size.

mod heap;
mod http_support;

use heap::{ALLOCATIONS, HELD_BYTES, MOST_HELD_BYTES};
use http_support::{Client, Fixture};
use xdphttpd::http::access::Networks;
use xdphttpd::http::auth::Realm;
use xdphttpd::http::cors::{Allowed, Cors};
use xdphttpd::http::{Host, HostName, Policy};
use xdphttpd::site::rules::{Code, Scope};
use xdphttpd::site::{InlineLoader, Root, Roots};

/// Something to say about other requests, and who may ask for `/private`.
fn policy() -> Policy {
    let mut policy = Policy::default();
    let (rules, found) = (&mut policy.rules, Code::Found);
    rules
        .redirect(Scope::Exact, "/old.html", found, "/dir/a.html")
        .expect("a rule");
    rules
        .rewrite(Scope::Prefix, "/dir/old", "/dir")
        .expect("a rule");
    let outside = Networks::only([]);
    policy.access.insert("/dir/none", outside).expect("a path");
    let hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
    let users = [("ann".to_owned(), hash.parse().expect("a hash"))];
    let realm = Realm::new("private", users).expect("a realm");
    policy.auth.insert("/private", realm).expect("a path");
    policy
}

/// Sends each of `requests` once, and then a hundred times without a single allocation.
fn allocate_once(client: &mut Client<InlineLoader>, requests: &[&[u8]]) {
    let before_warming = ALLOCATIONS.get();
    for request in requests {
        client.feed(request);
    }
    assert!(ALLOCATIONS.get() > before_warming, "the counter counts");
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        for request in requests {
            client.feed(request);
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn a_warm_request_allocates_nothing() {
    let fixture = Fixture::new(&[
        ("dir/a.html", &[b'x'; 1024]),
        ("dir/a.html.br", &[b'y'; 512]),
        ("private/x", b"secret"),
    ]);
    let mut client = fixture.client();
    client.set_policy(policy());
    client.sent.reserve(1024 * 1024);
    let requests: [&[u8]; 12] = [
        b"GET /dir/a.html?q=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
        b"HEAD /%64ir/./a.html HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /dir/a.html HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxx",
        b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://x.example:80/dir/a.html HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /dir/a.html HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n",
        b"GET /dir/a.html HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n",
        b"GET /.well-known/health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /private/x HTTP/1.1\r\nHost: x\r\n\r\n",
        // Its password was looked at when it came first.
        b"GET /private/x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOnNlc2FtZQ==\r\n\r\n",
    ];
    allocate_once(&mut client, &requests);
    assert_eq!(client.counters.responses_2xx, 707);
    assert_eq!(client.counters.responses_3xx, 101);
    assert_eq!(client.counters.responses_4xx, 404);
}

/// What a request may take beside ten times its size, bytes: a page, a few parts of a body, the entry that says that
/// there is no such file.
const CONSTANT_BYTES: usize = 8 * 1024;

/// What a body that is read from its file has in memory, bytes: one chunk being sent, one being read.
const CHUNKS_BYTES: usize = 2 * 256 * 1024;

/// The most that `request` has the server hold at once, in pieces of `step_bytes`, beside what it held before.
fn held_by(client: &mut Client<InlineLoader>, request: &[u8], step_bytes: usize) -> usize {
    client.reconnect();
    let before = HELD_BYTES.get();
    MOST_HELD_BYTES.set(before);
    for piece in request.chunks(step_bytes) {
        let mut rest = piece;
        while !rest.is_empty() {
            let consumed = client.input(rest);
            rest = &rest[consumed..];
            while client.deliver() || client.skip() {}
        }
    }
    (MOST_HELD_BYTES.get() - before) as usize
}

fn get(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes()
}

/// Requests of every size that try to take much, and what they may take beside ten times that.
fn greedy() -> Vec<(Vec<u8>, usize)> {
    let many = |count: usize, piece: &str| piece.repeat(count);
    let ranges = |count: usize| {
        let each = (0..count).map(|n| format!("{}-{}", 9 * n, 9 * n + 3));
        format!("Range: bytes={}\r\n", each.collect::<Vec<_>>().join(","))
    };
    let chunked = |chunks: &str, trailers: &str| {
        let mut request = get("/dir", "Transfer-Encoding: chunked\r\n");
        request.extend(format!("{chunks}0\r\n{trailers}\r\n").bytes());
        request
    };
    let mut requests = Vec::new();
    for size in [1, 3, 10, 30, 60, 100, 300, 1_000, 3_000, 7_000] {
        let few = size.min(90);
        requests.extend([
            get(&format!("/{}", many(size, "a")), ""),
            get(&format!("/{}", many(size / 2, "a/")), ""),
            get(&format!("/{}", many(size / 3, "%61")), ""),
            get(&format!("/dir?{}", many(size, "q")), ""),
            get(&format!("/dir?{}", many(size, "\u{e9}")), ""),
            get("/a.txt", &format!("X: {}\r\n", many(size, "v"))),
            get("/a.txt", &many(few, "X: v\r\n")),
            get("/a.txt", &many(few, "Range: bytes=0-1\r\n")),
            get("/a.txt", &ranges(size.min(1_000))),
            get(
                "/a.txt",
                &format!("If-None-Match: {}\"x\"\r\n", many(size, "\"e\", ")),
            ),
            get(
                "/new",
                &format!("If-Match: {}\"x\"\r\n", many(size, "\"e\", ")),
            ),
            get(
                "/a.txt",
                &format!("Accept-Encoding: {}br\r\n", many(size, "x;q=0.1,")),
            ),
            chunked(&many(size, "1\r\nx\r\n"), ""),
            chunked("", &many(few, "T: v\r\n")),
            many(size, "\r\nGET ").into_bytes(),
        ]);
    }
    let mut greedy: Vec<_> = requests.into_iter().map(|request| (request, 0)).collect();
    for fields in ["", &ranges(16), &ranges(64), &ranges(1_000)] {
        greedy.push((get("/large", fields), CHUNKS_BYTES));
    }
    greedy
}

#[test]
fn no_request_takes_more_than_ten_times_its_size() {
    let fixture = Fixture::new(&[("a.txt", &[b'x'; 4096]), ("dir/index.html", b"x")]);
    fixture.write("large", &vec![b'y'; 3 << 20]);
    for is_frugal in [false, true] {
        let mut client = fixture.client();
        client.frugal = is_frugal;
        for warm in ["/a.txt", "/dir", "/dir/", "/large"] {
            client.feed(&get(warm, ""));
        }
        client.sent = Vec::new();
        for (request, beside_bytes) in greedy() {
            for step_bytes in [usize::MAX, 1_460, 1] {
                let held = held_by(&mut client, &request, step_bytes.min(request.len()));
                let allowed = 10 * request.len() + CONSTANT_BYTES + beside_bytes;
                assert!(
                    held <= allowed,
                    "{held} bytes, of {allowed}, in pieces of {step_bytes}, for {} bytes: {:.100}",
                    request.len(),
                    String::from_utf8_lossy(&request)
                );
            }
        }
    }
}

#[test]
fn nor_does_one_that_hosts_and_settings_decide_about() {
    let fixture = Fixture::new(&[
        ("a.html", &[b'x'; 1024]),
        ("b/a.html", &[b'y'; 512]),
        ("b/404.html", &[b'z'; 256]),
        ("b/app.html", &[b'w'; 128]),
    ]);
    let open = |path: &str| Root::open(&fixture.path().join(path)).unwrap();
    let roots = Roots::new(vec![open(""), open("b")]);
    let mut client = Client::new(InlineLoader::new(roots));
    let names: [HostName; 2] = ["b.example", "*.b.example"].map(|name| name.parse().unwrap());
    let allowed = Allowed {
        origins: vec!["https://a.example".into()],
        ..Allowed::default()
    };
    let host = Host {
        cors: Some(Cors::new(&allowed).unwrap()),
        error_pages: [(404, (*b"404.html").into())].into(),
        fallback: Some((*b"app.html").into()),
        lists: true,
        policy: policy(),
        ..Host::default()
    };
    client.hosts.add(&names, host);
    client.sent.reserve(1024 * 1024);
    let requests: [&[u8]; 6] = [
        b"GET /a.html HTTP/1.1\r\nHost: www.example\r\n\r\n",
        b"GET /a.html HTTP/1.1\r\nHost: B.example:80\r\nOrigin: https://a.example\r\n\r\n",
        b"GET http://x.y.b.example./a.html HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n",
        b"GET /none.html HTTP/1.1\r\nHost: b.example\r\nAccept-Encoding: br\r\n\r\n",
        b"GET /none HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"OPTIONS /a.html HTTP/1.1\r\nHost: b.example\r\nOrigin: https://a.example\r\n\
          Access-Control-Request-Method: GET\r\n\r\n",
    ];
    allocate_once(&mut client, &requests);
    assert_eq!(client.counters.responses_2xx, 505);
    assert_eq!(client.counters.responses_4xx, 101);
}
