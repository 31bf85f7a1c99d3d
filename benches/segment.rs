//! What a segment costs with few and with many connections in the table.
//!
//! ```text
//! cargo bench --bench segment -- [--many 100000] [--few 100] [--rounds 9] [--requests 100000]
//! ```
//!
//! No kernel, no device and no disk: frames go into a stack with the HTTP server on
//! it and what it sends is only counted. Two stacks are filled with connections,
//! a few and many; then a prebuilt keep-alive GET and the prebuilt ACK of its
//! answer (with `--riding` only the GET) are given to one connection after the other:
//!
//! - `spread`: all connections in random order, so that most of what a segment
//!   touches has left the processor's caches when there are many;
//! - `hot`: 64 connections in random order, as when a crowd idles around them.
//!
//! Rounds of the two stacks alternate, and which goes first alternates too. The
//! table has nanoseconds a segment, medians and ranges, and the ratio of medians.

mod table;

use clap::Parser;
use table::Table;

/// Connections that stay in the caches.
const HOT: usize = 64;

/// Times segments with few and many connections open.
#[derive(Parser)]
struct Cli {
    /// Connections in the first stack
    #[arg(long, value_name = "N", default_value_t = 100)]
    few: usize,

    /// Connections in the second stack
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    many: usize,

    /// Rounds of each measurement; medians are reported
    #[arg(long, value_name = "N", default_value_t = 9)]
    rounds: usize,

    /// Requests of one round
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    requests: usize,

    /// The ACK of an answer rides on the connection's next request, as from a client
    /// that asks at once
    #[arg(long)]
    riding: bool,

    /// Orders follow from this
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// What cargo gives every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let cli = Cli::parse();
    let mut few = Table::open(cli.few);
    let mut many = Table::open(cli.many);
    let mut random = fastrand::Rng::with_seed(cli.seed);

    println!(
        "# What a segment costs, {} rounds of {} requests",
        cli.rounds, cli.requests
    );
    println!();
    println!(
        "| connections touched | {} open, ns | {} open, ns | ratio |",
        cli.few, cli.many
    );
    println!("| --- | ---: | ---: | ---: |");
    for (name, touched) in [("all (spread)", usize::MAX), ("64 (hot)", HOT)] {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for round in 0..cli.rounds {
            let mut runs = [(&mut few, &mut first), (&mut many, &mut second)];
            if round % 2 == 1 {
                runs.reverse();
            }
            for (table, figures) in runs {
                let order = table.order(touched, cli.requests, &mut random);
                let (elapsed, segments) = table.time(&order, cli.riding);
                figures.push(elapsed.as_nanos() as f64 / segments as f64);
            }
        }
        let ratio = median(&mut second) / median(&mut first);
        println!(
            "| {name} | {} | {} | {ratio:.2} |",
            cell(&first),
            cell(&second)
        );
    }
}

/// The median; sorts.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        (figures[middle - 1] + figures[middle]) / 2.0
    }
}

/// Median and range of sorted figures.
fn cell(figures: &[f64]) -> String {
    let (low, high) = (figures[0], figures[figures.len() - 1]);
    let middle = median(&mut figures.to_vec());
    format!("{middle:.0} ({low:.0}–{high:.0})")
}
