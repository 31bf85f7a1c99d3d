//! The first process: starts the parts, hands the order on, adds up.

use crate::cli::Cli;
use crate::tally::Tally;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// A part's number, and a line that it said, or nothing when it has ended.
type News = (usize, Option<String>);

/// Runs all parts to their end; whether all went well.
pub fn run(cli: &Cli) -> io::Result<bool> {
    let (tell, news) = mpsc::channel();
    let mut parts = Vec::new();
    for part in 0..cli.parts() {
        parts.push(start(part, tell.clone())?);
    }
    drop(tell);
    let opened = gather(&news, "opened", parts.len())?;
    opened.say("opened");
    wait_for_order(Duration::from_secs(cli.hold));
    // Kept to the end: a part whose stdin is closed takes itself for an orphan.
    let mut orders: Vec<_> = parts.iter_mut().filter_map(|p| p.stdin.take()).collect();
    for order in &mut orders {
        order.write_all(b"go\n")?;
    }
    let done = gather(&news, "done", parts.len())?;
    done.say("done");
    let mut good = opened.is_good();
    for part in &mut parts {
        good &= part.wait()?.success();
    }
    Ok(good)
}

/// Starts this program once more, as `part`; its lines go to `tell`.
fn start(part: usize, tell: Sender<News>) -> io::Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg(format!("--part={part}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let Some(stdout) = child.stdout.take() else {
        return Err(io::Error::other("a part has no stdout"));
    };
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = tell.send((part, Some(line)));
        }
        let _ = tell.send((part, None));
    });
    Ok(child)
}

/// The sum of the lines beginning with `word` that each part prints once.
fn gather(news: &Receiver<News>, word: &str, parts: usize) -> io::Result<Tally> {
    let mut sum = Tally::new();
    let mut heard = vec![false; parts];
    while heard.contains(&false) {
        let (part, line) = news.recv().map_err(io::Error::other)?;
        let Some(line) = line else {
            if heard[part] {
                continue;
            }
            return Err(io::Error::other(format!("a part ended before {word}")));
        };
        let mut words = line.split(' ');
        match (words.next(), Tally::read(words)) {
            (Some(first), Some(tally)) if first == word => sum.merge(&tally),
            _ => return Err(io::Error::other(format!("a part said: {line}"))),
        }
        heard[part] = true;
    }
    Ok(sum)
}

/// Returns at the first line on stdin, at the latest after `hold`.
fn wait_for_order(hold: Duration) {
    let (order, orders) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // An end of stdin is no order: then the time decides.
        if io::stdin().lock().read_line(&mut line).is_ok_and(|n| n > 0) {
            let _ = order.send(());
        } else {
            std::thread::park();
        }
    });
    let _ = orders.recv_timeout(hold);
}
