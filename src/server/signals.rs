//! The signals the server listens to.

use super::{Error, error::system};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
pub(super) enum Told {
    /// SIGINT, SIGTERM: the end.
    End,
    /// SIGUSR1: the connections.
    Show,
    /// SIGHUP: the access log was moved away.
    Reopen,
}

/// The signals that are listened to.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    show: Signal,
    /// Without an access log SIGHUP stays what it is: the end of a terminal's programs.
    reopen: Option<Signal>,
}

impl Signals {
    pub(super) fn new(has_log: bool) -> Result<Signals, Error> {
        let listen = |kind| signal(kind).map_err(system("listening for signals"));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            show: listen(SignalKind::user_defined1())?,
            reopen: has_log.then(|| listen(SignalKind::hangup())).transpose()?,
        })
    }

    pub(super) async fn next(&mut self) -> Told {
        let reopen = async {
            match &mut self.reopen {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Told::End,
            _ = self.terminate.recv() => Told::End,
            _ = self.show.recv() => Told::Show,
            _ = reopen => Told::Reopen,
        }
    }

    /// Resolves when the server is to end.
    pub(super) async fn end(&mut self) {
        while !matches!(self.next().await, Told::End) {}
    }
}
