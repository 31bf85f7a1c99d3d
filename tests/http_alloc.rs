//! A request that hits the cache allocates nothing.
#![allow(unsafe_code)]

mod http_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use http_support::{Client, Fixture};
use xdphttpd::http::cors::{Allowed, Cors};
use xdphttpd::http::{Host, HostName};
use xdphttpd::site::{InlineLoader, Root, Roots};

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

#[test]
fn a_warm_request_allocates_nothing() {
    let fixture = Fixture::new(&[
        ("dir/a.html", &[b'x'; 1024]),
        ("dir/a.html.br", &[b'y'; 512]),
    ]);
    let mut client = fixture.client();
    client.sent.reserve(1024 * 1024);
    let requests: [&[u8]; 9] = [
        b"GET /dir/a.html?q=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
        b"HEAD /%64ir/./a.html HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /dir/a.html HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxx",
        b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://x.example:80/dir/a.html HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /dir/a.html HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n",
        b"GET /dir/a.html HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n",
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
    assert_eq!(client.counters.responses_2xx, 505);
    assert_eq!(client.counters.responses_3xx, 101);
    assert_eq!(client.counters.responses_4xx, 303);
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
    for request in requests {
        client.feed(request);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        for request in requests {
            client.feed(request);
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(client.counters.responses_2xx, 505);
    assert_eq!(client.counters.responses_4xx, 101);
}
