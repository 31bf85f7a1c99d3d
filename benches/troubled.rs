//! A file system of made-up files that delays, fails, hangs, changes and drops them by
//! command: what tests use (`tests/mount`), for scripts.
//!
//! ```text
//! mkdir www/jfs && target/release/examples/troubled www/jfs
//! ```
//!
//! It is mounted until its standard input ends, from which it takes commands, a line each:
//!
//! ```text
//! put NAME SEED BYTES              a new file, in the place of any of that name
//! change NAME SEED BYTES           the same file longer, shorter, or with other content
//! remove NAME                      it is there no more
//! trouble OP NAME delay SECONDS    OP is lookup, open, read, list,
//!                                  stat (of the directory) or close; NAME may be * for any
//! trouble OP NAME rate BYTES       so many bytes a second
//! trouble OP NAME fail             EIO
//! trouble OP NAME hang             no answer, until all is well
//! heal                             all is well
//! count OP                         how often that was done
//! ```
//!
//! On stdout it says `ready` once it is mounted, and then `ok`, a count, or `what? LINE`
//! for each line.

#[path = "../tests/mount/mod.rs"]
mod mount;

use mount::{Files, Mount, Op, Trouble};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(at), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: troubled DIRECTORY, with commands on standard input");
        return ExitCode::from(2);
    };
    let mount = Mount::new(&PathBuf::from(at));
    match serve(mount.files(), io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("troubled: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what each line says until they end.
fn serve(files: &Files, orders: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    writeln!(answers, "ready")?;
    for line in orders.lines() {
        let line = line?;
        let answer = obey(files, &line).unwrap_or_else(|| format!("what? {line}"));
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

/// Does what one line says, if it can be understood.
fn obey(files: &Files, line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["put", name, seed, bytes] => files.put(name, seed.parse().ok()?, bytes.parse().ok()?),
        ["change", name, seed, bytes] if files.has(name) => {
            files.change(name, seed.parse().ok()?, bytes.parse().ok()?);
        }
        ["remove", name] if files.has(name) => files.remove(name),
        ["trouble", op, name, ref how @ ..] => {
            let name = (name != "*").then_some(name);
            files.trouble(op_of(op)?, name, trouble_of(how)?);
        }
        ["heal"] => files.heal(),
        ["count", op] => return Some(files.count(op_of(op)?).to_string()),
        _ => return None,
    }
    Some("ok".to_owned())
}

fn op_of(word: &str) -> Option<Op> {
    match word {
        "lookup" => Some(Op::LookUp),
        "open" => Some(Op::Open),
        "read" => Some(Op::Read),
        "list" => Some(Op::List),
        "stat" => Some(Op::Stat),
        "close" => Some(Op::Close),
        _ => None,
    }
}

fn trouble_of(words: &[&str]) -> Option<Trouble> {
    let number = |word: &str| word.parse().ok().filter(|number: &f64| *number > 0.0);
    match words {
        ["delay", seconds] => {
            let time = Duration::try_from_secs_f64(number(seconds)?).ok()?;
            Some(Trouble::Delay(time))
        }
        ["rate", bytes] => Some(Trouble::Rate(number(bytes)?)),
        ["fail"] => Some(Trouble::Fail),
        ["hang"] => Some(Trouble::Hang),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_an_answer() {
        let orders = "put a 1 10\nchange a 2 20\nchange b 2 20\nremove a\nremove a\nput a 1\n\
            trouble read * rate 1e6\ntrouble lookup a delay 0.5\ntrouble open a hang\n\
            trouble list * fail\ntrouble read * rate 0\ntrouble write * fail\nheal\n\
            count read\n\nbrew";
        let mut answers = Vec::new();
        serve(&Files::default(), orders.as_bytes(), &mut answers).expect("memory");
        let answers = String::from_utf8(answers).expect("UTF-8");
        let want = [
            "ready",
            "ok",
            "ok",
            "what? change b 2 20",
            "ok",
            "what? remove a",
            "what? put a 1",
            "ok",
            "ok",
            "ok",
            "ok",
            "what? trouble read * rate 0",
            "what? trouble write * fail",
            "ok",
            "0",
            "what? ",
            "what? brew",
        ];
        assert_eq!(answers.lines().collect::<Vec<_>>(), want);
    }

    #[test]
    fn trouble_is_what_the_words_say() {
        let half = Duration::from_millis(500);
        for (words, want) in [
            (&["delay", "0.5"][..], Some(Trouble::Delay(half))),
            (&["rate", "1000000"], Some(Trouble::Rate(1e6))),
            (&["rate", "-1"], None),
            (&["rate", "NaN"], None),
            (&["delay", "1e300"], None),
            (&["hang"], Some(Trouble::Hang)),
            (&["hang", "5"], None),
            (&[], None),
        ] {
            assert_eq!(trouble_of(words), want, "{words:?}");
        }
    }
}
