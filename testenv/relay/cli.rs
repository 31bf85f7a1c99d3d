//! The command line, and the units that it takes.

use crate::direction::{Bottleneck, Impairments};
use bytesize::ByteSize;
use clap::Parser;
use std::time::Duration;

/// The most that a delay may be.
const LONGEST: Duration = Duration::from_secs(60);

/// Carries Ethernet frames between two devices of a network namespace as a long
/// path would: late, not all of them, not in order. Each option is about one
/// frame of one direction and holds for both directions.
#[derive(Debug, Parser)]
#[command(name = "relay", max_term_width = 100)]
pub struct Cli {
    /// One device
    pub outer: String,

    /// The other
    pub inner: String,

    /// Time that a frame takes: a round trip takes twice as long
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_time)]
    delay: Duration,

    /// Up to so much more, in order all the same
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_time)]
    jitter: Duration,

    /// Share of frames that vanish
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_share)]
    loss: f64,

    /// Share of frames that are held back, and by how much at most
    #[arg(long, value_name = "SHARE[:TIME]", default_value = "0", value_parser = parse_reorder)]
    reorder: (f64, Duration),

    /// Share of frames that arrive twice
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_share)]
    duplicate: f64,

    /// Share of frames of which a bit is flipped
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_share)]
    corrupt: f64,

    /// Bits a second that the path carries [default: any number]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    rate: Option<u64>,

    /// What waits for the rate before more is dropped: a time, or bytes
    #[arg(long, value_name = "TIME|BYTES", default_value = "100ms", value_parser = parse_queue)]
    queue: Queue,

    /// The random choices follow from this
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

impl Cli {
    /// What is to happen to frames, in either direction.
    pub fn impairments(&self) -> Impairments {
        Impairments {
            delay: self.delay,
            jitter: self.jitter,
            loss: self.loss,
            reorder: self.reorder.0,
            hold: self.reorder.1,
            duplicate: self.duplicate,
            corrupt: self.corrupt,
            bottleneck: self.rate.map(|bits_per_s| self.queue.before(bits_per_s)),
        }
    }
}

/// The size of the bottleneck's queue.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Queue {
    Time(Duration),
    Bytes(u64),
}

impl Queue {
    fn before(self, bits_per_s: u64) -> Bottleneck {
        let mut bottleneck = Bottleneck {
            bits_per_s,
            longest_wait: Duration::ZERO,
        };
        bottleneck.longest_wait = match self {
            Queue::Time(time) => time,
            Queue::Bytes(bytes) => bottleneck.sends_in(bytes),
        };
        bottleneck
    }
}

/// Splits `25ms` into 25 and `ms`.
fn split_unit(text: &str) -> Result<(f64, &str), String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number = text[..end]
        .parse()
        .map_err(|_| "a number is needed".to_owned())?;
    Ok((number, &text[end..]))
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let seconds = match split_unit(text)? {
        (number, "s") => number,
        (number, "ms") => number / 1e3,
        (number, "us") => number / 1e6,
        (0.0, "") => 0.0,
        _ => return Err("a time such as 25ms, 100us or 1.5s is needed".to_owned()),
    };
    let time = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if time > LONGEST {
        return Err(format!("{} s is the most", LONGEST.as_secs()));
    }
    Ok(time)
}

fn parse_share(text: &str) -> Result<f64, String> {
    match split_unit(text)? {
        (number, "%") if number <= 100.0 => Ok(number / 100.0),
        (0.0, "") => Ok(0.0),
        _ => Err("a share from 0% to 100% is needed".to_owned()),
    }
}

fn parse_reorder(text: &str) -> Result<(f64, Duration), String> {
    let (share, hold) = text.split_once(':').unwrap_or((text, "2ms"));
    Ok((parse_share(share)?, parse_time(hold)?))
}

fn parse_rate(text: &str) -> Result<u64, String> {
    let bits = match split_unit(text)? {
        (number, "kbit") => number * 1e3,
        (number, "mbit") => number * 1e6,
        (number, "gbit") => number * 1e9,
        _ => 0.0,
    };
    if !(1e3..=1e12).contains(&bits) {
        return Err("a rate such as 500kbit, 100mbit or 1gbit is needed".to_owned());
    }
    Ok(bits as u64)
}

fn parse_queue(text: &str) -> Result<Queue, String> {
    if let Ok(time) = parse_time(text) {
        return Ok(Queue::Time(time));
    }
    match text.parse::<ByteSize>() {
        Ok(bytes) => Ok(Queue::Bytes(bytes.as_u64())),
        Err(_) => Err("a time such as 100ms or bytes such as 64KiB are needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn units_are_understood() {
        assert_eq!(parse_time("25ms"), Ok(25 * MS));
        assert_eq!(parse_time("1.5s"), Ok(1_500 * MS));
        assert_eq!(parse_time("500us"), Ok(MS / 2));
        assert_eq!(parse_time("0"), Ok(Duration::ZERO));
        assert_eq!(parse_share("0.1%"), Ok(0.001));
        assert_eq!(parse_share("100%"), Ok(1.0));
        assert_eq!(parse_reorder("2%"), Ok((0.02, 2 * MS)));
        assert_eq!(parse_reorder("30%:5ms"), Ok((0.3, 5 * MS)));
        assert_eq!(parse_rate("100mbit"), Ok(100_000_000));
        assert_eq!(parse_rate("0.5gbit"), Ok(500_000_000));
        assert_eq!(parse_queue("100ms"), Ok(Queue::Time(100 * MS)));
        assert_eq!(parse_queue("64KiB"), Ok(Queue::Bytes(65_536)));
        assert_eq!(parse_queue("15000"), Ok(Queue::Bytes(15_000)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "25", "ms", "-1ms", "1.2.3s", "61s", "1min", "é"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        for text in ["1", "101%", "-1%", "x%", "%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
        for text in ["1%:", "1%:2", ":2ms", "2ms"] {
            assert!(parse_reorder(text).is_err(), "{text}");
        }
        for text in ["0mbit", "100", "100mb", "mbit", "1e9kbit"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        for text in ["", "100 parsecs", "-1"] {
            assert!(parse_queue(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_queue_of_bytes_is_what_the_link_sends_in_that_time() {
        let cli = Cli::parse_from(["relay", "a", "b", "--rate", "8mbit", "--queue", "10KB"]);
        let want = Bottleneck {
            bits_per_s: 8_000_000,
            longest_wait: 10 * MS,
        };
        assert_eq!(cli.impairments().bottleneck, Some(want));
        assert_eq!(
            Cli::parse_from(["relay", "a", "b"])
                .impairments()
                .bottleneck,
            None
        );
    }
}
