//! Tables of request bytes and response bytes, and the ways to go through them.

use super::{Client, Fixture, assert_same};
use xdphttpd::site::InlineLoader;
use xdphttpd::wire::SplitMix;

/// What a fresh connection is sent, and all that it answers.
pub struct Case {
    pub what: String,
    pub request: Vec<u8>,
    pub response: Vec<u8>,
    /// Whether the connection is to be closed after the response.
    pub closes: bool,
}

impl Case {
    fn describe(&self) -> String {
        let shown = &self.request[..self.request.len().min(200)];
        format!("{}: {}", self.what, String::from_utf8_lossy(shown))
    }

    #[track_caller]
    fn check(&self, client: &Client<InlineLoader>) {
        let what = self.describe();
        assert_same(&client.sent, &self.response, &what);
        assert_eq!(client.conn.wants_close(), self.closes, "{what}");
        assert_eq!(client.conn.is_idle(), !self.closes, "{what}");
    }
}

/// Each request whole.
pub fn check_whole(fixture: &Fixture, cases: &[Case]) {
    let mut client = fixture.client();
    for case in cases {
        client.exchange(&case.request);
        case.check(&client);
    }
}

/// Each request byte by byte.
pub fn check_byte_by_byte(fixture: &Fixture, cases: &[Case]) {
    let mut client = fixture.client();
    for case in cases {
        client.reconnect();
        for byte in case.request.chunks(1) {
            client.feed(byte);
        }
        case.check(&client);
    }
}

/// Each request in pieces of these lengths, again and again.
pub fn check_cut(fixture: &Fixture, cases: &[Case], lengths: &[usize]) {
    let mut client = fixture.client();
    for case in cases {
        client.reconnect();
        let mut rest = &case.request[..];
        for &length in lengths.iter().cycle() {
            let (piece, later) = rest.split_at(length.min(rest.len()));
            client.feed(piece);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        case.check(&client);
    }
}

/// Some lengths from `seed`, each up to a bound that is drawn too: short pieces and long ones.
pub fn random_lengths(seed: u64) -> Vec<usize> {
    let mut random = SplitMix(seed);
    let mut draw = |most: u64| 1 + (random.next_u64() % most) as usize;
    let most = [3, 20, 200, 5_000][draw(4) - 1];
    (0..draw(40)).map(|_| draw(most)).collect()
}
