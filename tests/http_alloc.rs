//! A request that hits the cache allocates nothing.
#![allow(unsafe_code)]

mod http_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use http_support::Fixture;
use xdphttpd::http::Policy;
use xdphttpd::http::access::Networks;
use xdphttpd::http::auth::Realm;
use xdphttpd::site::rules::{Code, Scope};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

// SAFETY: every call goes unchanged to `System`, which upholds the contract; the counter is a const-initialised
// thread-local without a destructor, so touching it never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: `pointer` came from `System` through `alloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

#[test]
fn a_warm_request_allocates_nothing() {
    let fixture = Fixture::new(&[
        ("dir/a.html", &[b'x'; 1024]),
        ("dir/a.html.br", &[b'y'; 512]),
        ("private/x", b"secret"),
    ]);
    let mut client = fixture.client();
    client.policy = policy();
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
    assert_eq!(client.counters.responses_2xx, 707);
    assert_eq!(client.counters.responses_3xx, 101);
    assert_eq!(client.counters.responses_4xx, 404);
}
