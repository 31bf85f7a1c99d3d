//! Where the access log goes: files, standard output, the journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where systemd-journald takes entries (systemd-journald.service(8)).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The journal of systemd, an entry a line.
    Journal,
    /// A file, appended to.
    File(PathBuf),
}

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {}: {source}", .path.display())]
pub struct OpenError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl Target {
    /// What it is in the file system.
    pub(super) fn path(&self) -> &Path {
        match self {
            Target::Stdout => Path::new("/dev/stdout"),
            Target::Journal => Path::new(JOURNAL),
            Target::File(path) => path,
        }
    }
}

/// What is open for writing.
pub(super) enum Sink {
    Stdout,
    Journal(UnixDatagram),
    File(File),
}

impl Sink {
    /// Opens `target`, a file for appending.
    pub(super) fn open(target: &Target) -> Result<Sink, OpenError> {
        let opened = match target {
            Target::Stdout => Ok(Sink::Stdout),
            Target::Journal => journal().map(Sink::Journal),
            Target::File(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map(Sink::File),
        };
        opened.map_err(|source| OpenError {
            path: target.path().to_owned(),
            source,
        })
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Sink::File(file) => file.write_all(lines),
            Sink::Journal(socket) => lines
                .split(|&byte| byte == b'\n')
                .filter(|line| !line.is_empty())
                .try_for_each(|line| socket.send(&entry(line)).map(drop)),
        }
    }
}

fn journal() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(JOURNAL)?;
    Ok(socket)
}

/// A journal entry of priority "info" (systemd.journal-fields(7)).
fn entry(line: &[u8]) -> Vec<u8> {
    [
        b"PRIORITY=6\nSYSLOG_IDENTIFIER=xdphttpd\nMESSAGE=",
        line,
        b"\n",
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_entry_has_its_fields() {
        assert_eq!(
            entry(b"a line"),
            b"PRIORITY=6\nSYSLOG_IDENTIFIER=xdphttpd\nMESSAGE=a line\n"
        );
    }
}
