//! What an operator is shown of connections, against what the wire did to them.

mod common;

use common::{CLIENT, Client, Lab, responses, stack_config, stack_of};
use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;
use xdphttpd::net::figures::{Counts, Figures};
use xdphttpd::net::{Algorithm, Duration, Instant, StackConfig, Stage};
use xdphttpd::wire::{Impairments, SplitMix};

const BODY_BYTES: usize = 300_000;
const PORT: u16 = 40_000;
const GET: &str = "GET /body HTTP/1.1\r\nHost: lab\r\n\r\n";
/// Longer than any transfer here takes.
const LIMIT: Duration = Duration::from_secs(600);

/// A round trip of 20 ms, and every twentieth frame lost each way.
const LOSSY: Impairments = Impairments {
    loss: 0.05,
    delay: Duration::from_millis(10),
    ..Impairments::NONE
};

fn lab(root: &Path, algorithm: Algorithm, impairments: Impairments, seed: u64) -> Lab {
    let config = StackConfig {
        congestion: algorithm,
        ..stack_config(1_000)
    };
    let mut lab = Lab::new(root, impairments, seed);
    lab.stack = stack_of(root, &config);
    lab
}

/// A directory with one file.
fn root() -> (tempfile::TempDir, Vec<u8>) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut random = SplitMix(7);
    let body: Vec<u8> = (0..BODY_BYTES).map(|_| random.next_u64() as u8).collect();
    fs::write(root.path().join("body"), &body).expect("writing a test file");
    (root, body)
}

/// The only connection there is.
#[track_caller]
fn only(lab: &Lab) -> Figures {
    let listing = lab.stack.listing(10, lab.now);
    assert_eq!((listing.open, listing.awake), (1, 1));
    assert_eq!(listing.recovery, lab.stack.counters.recovery);
    assert_eq!(listing.figures.len(), 1);
    listing.figures[0]
}

/// What holds of a connection with a round trip of 20 ms that has sent something;
/// a lone segment's ACK may be put off.
#[track_caller]
fn assert_sane(figures: &Figures, lab: &Lab, name: &str, phases: &[&str]) {
    let Figures { age, sending, .. } = figures;
    let counts = sending.counts;
    assert_eq!(figures.remote, SocketAddrV4::new(CLIENT, PORT));
    assert!(*age > Duration::ZERO && *age < lab.now - Instant::ZERO);
    assert_eq!(sending.algorithm, name);
    assert!(phases.contains(&sending.phase), "{sending:?}");
    assert_eq!(sending.window_bytes.is_none(), name == "none");
    assert!(sending.window_bytes.is_none_or(|bytes| bytes >= 1_460));
    assert_eq!(sending.mss_bytes, 1_460);
    assert!(sending.peer_window_bytes <= 64 * 1024);
    let srtt = sending.srtt.expect("a round trip has passed");
    let least = sending.min_rtt.expect("a round trip has passed");
    assert!((20..60).contains(&srtt.total_millis()), "{sending:?}");
    assert!((20..35).contains(&least.total_millis()), "{sending:?}");
    assert!(least <= srtt && sending.rttvar.is_some());
    assert!(sending.rto >= srtt + Duration::from_millis(200));
    // 64 KiB in 20 ms is the most that the client's window allows.
    let rate = sending.rate_bytes_per_s.expect("a sample was taken");
    assert!((1_000..=3_300_000).contains(&rate), "{sending:?}");
    assert!(
        counts.spurious <= counts.repairs && counts.undone <= counts.episodes + counts.timeouts
    );
}

#[test]
fn figures_tell_what_the_wire_did() {
    let (root, body) = root();
    const CUBIC: &[&str] = &["slow-start", "avoidance", "recovery"];
    const BBR: &[&str] = &[
        "startup",
        "drain",
        "down",
        "cruise",
        "refill",
        "up",
        "probe-rtt",
    ];
    for (algorithm, name, phases) in [
        (Algorithm::Cubic, "cubic", CUBIC),
        (Algorithm::Bbr, "bbr", BBR),
        (Algorithm::None, "none", &[""]),
    ] {
        for seed in 1..=10 {
            let mut lab = lab(root.path(), algorithm, LOSSY, seed);
            let mut clients = [Client::new(PORT, GET.as_bytes(), false, seed, lab.now)];
            while clients[0].received.len() < BODY_BYTES {
                if clients[0].received.len() > BODY_BYTES / 4 {
                    let figures = only(&lab);
                    assert_sane(&figures, &lab, name, phases);
                    assert_eq!(figures.stage, Stage::Response);
                }
                lab.run(&mut clients, Duration::from_millis(10));
                assert!(lab.now < Instant::ZERO + LIMIT, "{name}, seed {seed}");
            }
            while only(&lab).sending.in_flight_bytes > 0 {
                lab.run(&mut clients, Duration::from_millis(1));
                assert!(lab.now < Instant::ZERO + LIMIT, "{name}, seed {seed}");
            }
            let figures = only(&lab);
            assert_sane(&figures, &lab, name, phases);
            assert_eq!(figures.stage, Stage::Idle, "{name}, seed {seed}");
            let mut counts = Counts::default();
            counts.add(&lab.stack.counters.recovery);
            assert_eq!(figures.sending.counts, counts, "{name}, seed {seed}");
            let least = BODY_BYTES.div_ceil(1_460) as u32;
            assert!(counts.segments >= least && counts.segments < 2 * least);
            assert!(lab.to_client.tally.lost > 1, "{name}, seed {seed}");
            assert!(counts.repairs > 0, "{name}, seed {seed}");
            assert_eq!(responses(&clients[0].received), [(200, body.clone())]);
        }
    }
}

#[test]
fn those_at_rest_are_counted_not_listed() {
    let (root, _) = root();
    let mut lab = lab(root.path(), Algorithm::Cubic, Impairments::NONE, 1);
    let ask = |port| Client::new(port, GET.as_bytes(), false, 1, Instant::from_millis(1));
    let mut clients: Vec<Client> = (1..=3).map(ask).collect();
    lab.run(&mut clients, Duration::from_millis(500));
    assert!(clients.iter().all(|one| one.received.len() > BODY_BYTES));
    for (most, listed) in [(0, 0), (2, 2), (3, 3), (10, 3)] {
        let listing = lab.stack.listing(most, lab.now);
        assert_eq!((listing.open, listing.awake), (3, 3));
        assert_eq!(listing.figures.len(), listed);
    }
    lab.run(&mut clients, Duration::from_secs(2));
    let listing = lab.stack.listing(10, lab.now);
    assert_eq!(
        (listing.open, listing.awake, listing.figures.len()),
        (3, 0, 0)
    );
}
