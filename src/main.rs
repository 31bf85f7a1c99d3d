//! The `xdphttpd` command: parse, run, exit code.

use clap::Parser;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use xdphttpd::{cli::Cli, config::Config, server};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.quiet, cli.verbose);
    let outcome = Config::new(cli).map_err(|error| error.to_string());
    match outcome.and_then(|config| server::run(&config).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            // Nobody may be listening: the exit code still tells.
            let _ = writeln!(std::io::stderr(), "xdphttpd: {line}");
            ExitCode::FAILURE
        }
    }
}

/// Lines for people go to stderr without time, which the journal adds;
/// `RUST_LOG` overrides the flags.
fn log_to_stderr(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,xdphttpd={level}")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        // A stderr whose reader has left is no reason to stop serving.
        .log_internal_errors(false)
        .init();
}
