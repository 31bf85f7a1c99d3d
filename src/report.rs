//! What the server says on stdout: one line when it is ready, statistics and
//! connections when they are asked for.

mod connections;
mod memory;
mod recovery;

use crate::config::Config;
use crate::net::figures::Listing;
use crate::net::recovery::Tally;
use crate::stats::{Queue, Snapshot, total};
use crate::xdp::{Attachment, Device, Mode, Verdicts};
use crate::xsk::{Memory, Xsk};
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The line that says what was obtained.
pub struct Ready(String);

impl Ready {
    /// Puts the line together, and notes on stderr what was not obtained and why.
    pub fn new(
        config: &Config,
        device: &Device,
        attachment: &Attachment,
        sockets: &[Xsk],
        workers: usize,
    ) -> Ready {
        if let Some(reason) = attachment.fallback() {
            tracing::info!(
                "{}: generic XDP, for native was not to be had: {reason}",
                device.name
            );
        }
        if let Some(reason) = sockets.iter().find_map(Xsk::fallback) {
            tracing::info!(
                "{}: copy mode, for zero copy was not to be had: {reason}",
                device.name
            );
        }
        let memory: Vec<Memory> = sockets.iter().map(Xsk::memory).collect();
        memory::note(&device.name, &memory);
        if !attachment.has_frags() && config.object.is_none() {
            tracing::info!(
                "{}: frames of one buffer only, for XDP with several was not to be had",
                device.name
            );
        }
        if let Some(warning) = unserved(config, device, sockets) {
            tracing::warn!("{warning}");
        }
        let mode = match attachment.mode() {
            Mode::Native => "native",
            Mode::Generic => "generic",
        };
        let zero_copy = sockets.iter().all(Xsk::zero_copy);
        Ready(format!(
            "xdphttpd ready: {} on {}, {mode}, {}, {}, root {}",
            url(device.addresses.first().copied(), config.port),
            device.name,
            if zero_copy { "zero copy" } else { "copy" },
            shared(sockets.len(), workers),
            config.hosts[0].root.display(),
        ))
    }

    /// Prints it, unless only errors are wanted.
    pub fn print(&self, quiet: bool) {
        if !quiet {
            say(&self.0);
        }
    }
}

fn url(address: Option<Ipv4Addr>, port: u16) -> String {
    let host = address.map_or("*".to_owned(), |address| address.to_string());
    if port == 80 {
        format!("http://{host}/")
    } else {
        format!("http://{host}:{port}/")
    }
}

/// Queues, and workers if they are fewer.
fn shared(queues: usize, workers: usize) -> String {
    let queues_text = plural(queues as u64, "queue");
    match workers < queues {
        true => format!("{queues_text} by {}", plural(workers as u64, "worker")),
        false => queues_text,
    }
}

/// Which queues lead past us, and what is to be done about it.
fn unserved(config: &Config, device: &Device, sockets: &[Xsk]) -> Option<String> {
    let is_served = |queue: &u32| sockets.iter().any(|socket| socket.queue() == *queue);
    let unserved: Vec<u32> = (0..device.rx_queues).filter(|q| !is_served(q)).collect();
    if unserved.is_empty() {
        return None;
    }
    let numbers: Vec<String> = unserved.iter().map(u32::to_string).collect();
    let (dev, port) = (&device.name, config.port);
    Some(format!(
        "{dev}: {} of {} RX queues have no socket ({}); what arrives there goes to the kernel, \
         which has nobody on port {port}: leave -Q away, or have the device use no other queue \
         (ethtool -L {dev} combined 1) or steer port {port} to queue {} (ethtool -N {dev} \
         flow-type tcp4 dst-port {port} action {})",
        unserved.len(),
        device.rx_queues,
        numbers.join(", "),
        sockets.first().map_or(0, Xsk::queue),
        sockets.first().map_or(0, Xsk::queue),
    ))
}

fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A closed stdout (a pipe whose reader left) is no reason to stop serving.
fn say(text: &str) {
    let _ = write_whole(&mut std::io::stdout().lock(), text);
}

/// Writes lines and the end of the last at once: who reads a pipe has a report whole.
fn write_whole(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    out.write_all(format!("{text}\n").as_bytes())?;
    out.flush()
}

/// Prints how the connections stand, of the workers of these queues.
pub fn print_connections(listings: &[(String, Listing)]) {
    say(&connections::lines(listings));
}

/// Prints statistics at intervals.
pub struct Reporter {
    interval: Option<Interval>,
    last: Vec<Snapshot>,
    last_at: Instant,
}

impl Reporter {
    /// Reports every so often, or never.
    pub fn new(every: Option<Duration>) -> Reporter {
        let start = Instant::now();
        let interval = every.map(|period| {
            let mut interval = interval_at(start + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Reporter {
            interval,
            last: Vec::new(),
            last_at: start,
        }
    }

    /// Resolves when a report is due.
    pub async fn due(&mut self) {
        match &mut self.interval {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Prints what happened since the last report; so many `lost_lines` the access
    /// log has lost in all.
    pub fn print(&mut self, now: Vec<Snapshot>, verdicts: Option<Verdicts>, lost_lines: u64) {
        let at = Instant::now();
        let seconds = (at - self.last_at).as_secs_f64();
        say(&lines(&self.last, &now, verdicts, lost_lines, seconds));
        (self.last, self.last_at) = (now, at);
    }
}

/// One report: rates over `seconds`, then totals of whatever went wrong.
fn lines(
    last: &[Snapshot],
    now: &[Snapshot],
    verdicts: Option<Verdicts>,
    lost_lines: u64,
    seconds: f64,
) -> String {
    let rate = |figure: fn(&Snapshot) -> u64| {
        total(now, figure).saturating_sub(total(last, figure)) as f64 / seconds
    };
    let direction = |frames: fn(&Snapshot) -> u64, bytes: fn(&Snapshot) -> u64| {
        format!(
            "{} packets, {:.0}/s, {:.1} Mbit/s",
            total(now, frames),
            rate(frames),
            rate(bytes) * 8.0 / 1e6
        )
    };
    let mut text = format!(
        "stats {seconds:.1} s: {:.0} req/s, {}, {} ({} accepted, {} closed)",
        rate(|s| s.http.requests),
        plural(total(now, |s| s.http.requests), "request"),
        plural(total(now, |s| s.census.open), "connection"),
        total(now, |s| s.net.accepted),
        total(now, |s| s.net.closed),
    );
    text.push_str(&format!(
        "\n  tcp: {} half-open, {} closing, {} in TIME-WAIT, {}",
        total(now, |s| s.census.half_open),
        total(now, |s| s.census.closing),
        total(now, |s| s.census.time_wait),
        plural(total(now, |s| s.census.sockets), "socket"),
    ));
    text.push_str(&format!(
        "\n  rx: {}\n  tx: {}, {:.0} wake-ups/s",
        direction(|s| s.over(|q| q.rx.frames), |s| s.over(|q| q.rx.bytes)),
        direction(|s| s.tx.frames, |s| s.tx.bytes),
        rate(|s| s.tx.wakeups),
    ));
    text.push_str(&by_queue(last, now, seconds));
    let before = (!last.is_empty()).then(|| recovered(last));
    if let Some(line) = recovery::line(&recovered(now), before.as_ref()) {
        text.push_str(&format!("\n  {line}"));
    }
    if let Some(verdicts) = verdicts {
        let passed = verdicts.not_ipv4
            + verdicts.malformed
            + verdicts.fragment
            + verdicts.not_tcp
            + verdicts.other_port
            + verdicts.other_address;
        let (redirected, unserved) = (verdicts.redirected, verdicts.empty_slot);
        text.push_str(&format!(
            "\n  xdp: {redirected} redirected, {passed} passed"
        ));
        if unserved > 0 {
            text.push_str(&format!(", {unserved} of ours passed for want of a socket"));
        }
    }
    let troubles = Snapshot::TROUBLES
        .iter()
        .map(|&(name, figure)| (name, total(now, figure)))
        .chain([("lines of the access log lost", lost_lines)]);
    let troubles: Vec<String> = troubles
        .filter(|&(_, count)| count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if !troubles.is_empty() {
        text.push_str(&format!("\n  drops and troubles: {}", troubles.join(", ")));
    }
    text
}

/// A line for each queue, if there are several.
fn by_queue(last: &[Snapshot], now: &[Snapshot], seconds: f64) -> String {
    let mut queues: Vec<Queue> = now.iter().flat_map(|s| s.queues.clone()).collect();
    if queues.len() < 2 {
        return String::new();
    }
    queues.sort_by_key(|queue| queue.queue);
    let before = |number: u32| {
        let mut all = last.iter().flat_map(|s| &s.queues);
        let before = all.find(|queue| queue.queue == number);
        before.map_or(0, |queue| queue.rx.frames)
    };
    let line = |queue: &Queue| {
        let (number, frames) = (queue.queue, queue.rx.frames);
        let rate = frames.saturating_sub(before(number)) as f64 / seconds;
        let accepted = queue.accepted;
        format!("\n  queue {number}: {accepted} accepted, rx {frames} packets, {rate:.0}/s")
    };
    queues.iter().map(line).collect()
}

/// What loss recovery did, on all workers.
fn recovered(workers: &[Snapshot]) -> Tally {
    let mut all = Tally::default();
    for worker in workers {
        all.add(&worker.net.recovery);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::LineWriter;

    /// What was written, a write each.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_report_is_written_at_once() {
        // As stdout is.
        let mut out = LineWriter::new(Writes::default());
        write_whole(&mut out, "stats\n  rx\n  drops").expect("written");
        let Writes(writes) = out.get_ref();
        assert_eq!(*writes, [b"stats\n  rx\n  drops\n"]);
    }

    #[test]
    fn addresses_become_urls() {
        assert_eq!(url(Some([10, 11, 1, 1].into()), 80), "http://10.11.1.1/");
        assert_eq!(
            url(Some([10, 11, 1, 1].into()), 8080),
            "http://10.11.1.1:8080/"
        );
        assert_eq!(url(None, 80), "http://*/");
        assert_eq!(
            (plural(1, "queue"), plural(2, "queue")),
            ("1 queue".into(), "2 queues".into())
        );
    }

    fn queue(number: u32, frames: u64, accepted: u64) -> Queue {
        let mut queue = Queue {
            queue: number,
            accepted,
            ..Queue::default()
        };
        queue.rx.frames = frames;
        queue.rx.bytes = frames * 125;
        queue
    }

    #[test]
    fn several_queues_have_a_line_each_in_their_order() {
        let worker = |queues| Snapshot {
            queues,
            ..Snapshot::default()
        };
        let last = [worker(vec![queue(0, 50, 0)])];
        let now = [
            worker(vec![queue(0, 100, 5), queue(2, 10, 1)]),
            worker(vec![queue(1, 7, 0)]),
        ];
        let text = lines(&last, &now, None, 0, 2.0);
        assert!(text.contains("rx: 117 packets, 34/s"), "{text}");
        let want = "\n  queue 0: 5 accepted, rx 100 packets, 25/s\
                    \n  queue 1: 0 accepted, rx 7 packets, 4/s\
                    \n  queue 2: 1 accepted, rx 10 packets, 5/s";
        assert!(text.contains(want), "{text}");
        assert!(!lines(&[], &now[1..], None, 0, 2.0).contains("queue"));
        assert_eq!(shared(4, 2), "4 queues by 2 workers");
        assert_eq!(shared(1, 1), "1 queue");
    }

    #[test]
    fn a_report_has_rates_and_names_only_the_troubles_there_were() {
        let mut now = Snapshot {
            queues: vec![queue(0, 2_000, 3)],
            ..Snapshot::default()
        };
        now.http.requests = 500;
        now.census.open = 3;
        let text = lines(&[], &[now.clone()], None, 0, 2.0);
        assert!(
            text.contains("rx: 2000 packets, 1000/s, 1.0 Mbit/s"),
            "{text}"
        );
        assert!(
            text.contains("250 req/s, 500 requests, 3 connections"),
            "{text}"
        );
        assert!(!text.contains("troubles"), "{text}");
        assert!(!text.contains("recovery"), "{text}");
        let before = now.clone();
        now.net.recovery.segments = 297;
        now.net.recovery.repairs = 3;
        let text = lines(
            &[before.clone(), before],
            &[now.clone(), now.clone()],
            None,
            0,
            2.0,
        );
        assert!(
            text.contains("\n  recovery: 6 segments sent again (1.00 %, of late 1.00 %), "),
            "{text}"
        );
        now.net.drop_tcp_checksum = 7;
        let text = lines(&[], &[now.clone()], None, 12, 2.0);
        assert!(
            text.ends_with(
                "drops and troubles: bad TCP checksum 7, lines of the access log lost 12"
            ),
            "{text}"
        );
    }
}
