//! Crowds of TCP connections: what many clients do to a server at once.
//!
//! ```text
//! crowd idle   --server 10.11.1.1:80 --root www --paths /small.bin --connections 100000
//! crowd drip   ...   a request head that never ends, a byte every few seconds
//! crowd noread ...   a large file asked for and never read
//! crowd verify ...   requests without pause, every body compared with the file
//! ```
//!
//! A process may hold only so many files, so the connections are divided among
//! several processes of this program. It says on stdout, each figure the sum
//! over all processes (and the greatest where the name ends in `_max_ms` or
//! `_s`):
//!
//! ```text
//! opened connections=100000 failed=0 took_s=6.2      all are there, or were refused
//! done answered=100000 failed=0 lost=0 took_s=2.1    after the order, see each mode
//! ```
//!
//! The order is a line on stdin, or `--hold` seconds after `opened` if none comes.
//! Nothing outlives `--limit` seconds: every process ends itself then, and the
//! parts end when the first one is gone. The exit code is 0 if nothing failed
//! and nothing was lost.

mod answer;
mod cli;
mod hold;
mod idle;
mod open;
mod orders;
mod parts;
mod tally;
mod verify;

use clap::Parser;
use cli::{Cli, Mode};
use std::process::ExitCode;
use std::time::Duration;

/// The exit code of what did not end in time.
const LIMIT_EXIT: i32 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    end_after(Duration::from_secs(cli.limit));
    let ended = match cli.part {
        Some(part) => part_of_it(&cli, part),
        None => parts::run(&cli),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crowd: {error}");
            ExitCode::from(2)
        }
    }
}

/// One process's share of the connections; whether all went well.
fn part_of_it(cli: &Cli, part: usize) -> std::io::Result<bool> {
    let crowd = open::Crowd::new(cli, part)?;
    let orders = orders::Orders::listen();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tally = runtime.block_on(async {
        match cli.mode {
            Mode::Idle => idle::run(&crowd, orders).await,
            Mode::Drip | Mode::Noread => hold::run(&crowd, orders).await,
            Mode::Verify => verify::run(&crowd, orders).await,
        }
    });
    tally.say("done");
    Ok(tally.is_good())
}

/// Ends this process when its time is over, whatever it does then.
fn end_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("crowd: not done after {} s: giving up", limit.as_secs());
        std::process::exit(LIMIT_EXIT);
    });
}
