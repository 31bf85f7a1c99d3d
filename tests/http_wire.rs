//! Requests over TCP, on a wire in memory: early errors, long pipelines, long bodies.

mod common;

use common::{Client, Lab, responses};
use xdphttpd::net::Duration;
use xdphttpd::wire::Impairments;

const MIB: usize = 1 << 20;
const LIMIT: Duration = Duration::from_secs(120);
const NEXT: &[u8] = b"GET /one HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

struct Wire {
    lab: Lab,
    _root: tempfile::TempDir,
}

impl Wire {
    fn new() -> Wire {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(root.path().join("one"), "1").expect("writing a test file");
        Wire {
            lab: Lab::new(root.path(), Impairments::NONE, 1),
            _root: root,
        }
    }

    /// What a client receives that sends `request`, to the server's FIN.
    fn exchange(&mut self, port: u16, request: &[u8]) -> Vec<u8> {
        let client = Client::new(port, request, false, 7, self.lab.now);
        let mut clients = [client];
        assert!(self.lab.run(&mut clients, LIMIT), "an end");
        assert!(clients[0].finished && !clients[0].broken, "FIN, and no RST");
        self.lab.settle(&mut clients, LIMIT);
        assert_eq!(self.lab.stack.connections(), 0);
        assert!(!clients[0].broken, "nor any later");
        std::mem::take(&mut clients[0].received)
    }
}

/// The client has megabytes on their way when the response is made. A server that
/// closed its socket with those unread would send RST, and with it destroy what the
/// client has not read yet.
#[test]
fn an_early_error_arrives_while_the_client_is_still_sending() {
    let mut wire = Wire::new();
    let requests = [
        (
            405,
            "POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n",
        ),
        (
            413,
            "GET /one HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n",
        ),
        (
            413,
            "GET /one HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n300000\r\n",
        ),
        (
            400,
            "POST /one HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\n",
        ),
        (400, "POST /one HTTP/1.1\r\nHost : x\r\n\r\n"),
        (
            417,
            "GET /one HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 3145728\r\n\r\n",
        ),
    ];
    for (port, (code, head)) in (4_000..).zip(requests) {
        let request = [head.as_bytes(), &vec![b'x'; 3 * MIB]].concat();
        let received = responses(&wire.exchange(port, &request));
        assert_eq!(received.len(), 1, "{head}");
        let (status, page) = &received[0];
        assert_eq!(*status, code, "{head}");
        assert!(page.ends_with(b"</html>\n"), "{head}");
    }
}

/// What is sent ahead waits in the server's receive buffer, and beyond that with the
/// client: the window is closed until the requests before are answered.
#[test]
fn a_long_pipeline_is_answered_in_its_order() {
    const ROUNDS: usize = 4_000;
    let mut wire = Wire::new();
    let round = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz\
        OPTIONS * HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nxyz\r\n0\r\n\r\n";
    let request = [&round.repeat(ROUNDS)[..], NEXT].concat();
    let received = responses(&wire.exchange(5_000, &request));
    let codes: Vec<u16> = received.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        codes,
        [&[200, 404, 200].repeat(ROUNDS)[..], &[200]].concat()
    );
    assert!(received.iter().step_by(3).all(|(_, body)| body == b"1"));
    assert!(received[2].1.is_empty());
}

#[test]
fn the_longest_chunked_body_is_read_to_its_end() {
    let mut wire = Wire::new();
    let head = b"GET /one HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = [b"400\r\n", &[b'x'; 1024][..], b"\r\n"]
        .concat()
        .repeat(1_000);
    let request = [&head[..], &chunks, b"0\r\nA: b\r\n\r\n", NEXT].concat();
    let received = responses(&wire.exchange(6_000, &request));
    assert_eq!(received, [(200, b"1".to_vec()), (200, b"1".to_vec())]);
}
