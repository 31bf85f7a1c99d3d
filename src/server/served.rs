//! Following the device while it is served.

use super::Error;
use super::signals::{Signals, Told};
use crate::config::Config;
use crate::fleet::{self, Fleet};
use crate::report::{self, Ready, Reporter};
use crate::xdp::device::inspect;
use crate::xdp::{Device, Event, Program, Verdicts, Watch};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The device while it is served, as far as it changes.
pub(super) struct Served<'a> {
    config: &'a Config,
    program: &'a Program,
    /// What is said once, when a request would first succeed.
    ready: Option<Ready>,
    name: String,
    running: bool,
    addresses: BTreeSet<Ipv4Addr>,
}

impl<'a> Served<'a> {
    pub(super) fn new(
        config: &'a Config,
        program: &'a Program,
        device: Device,
        ready: Ready,
    ) -> Served<'a> {
        Served {
            config,
            program,
            ready: Some(ready),
            name: device.name,
            running: device.running,
            addresses: device.addresses.into_iter().collect(),
        }
    }

    /// Follows the device until a signal, a failure, or its deletion.
    pub(super) async fn follow(
        &mut self,
        watch: &mut Watch,
        signals: &mut Signals,
        fleet: &mut Fleet,
    ) -> Result<(), Error> {
        let mut reporter = Reporter::new(self.config.stats);
        if self.running {
            self.say_ready();
        } else {
            tracing::warn!("{} has no carrier yet: waiting for it", self.name);
        }
        loop {
            tokio::select! {
                // In this order: a deleted device makes workers fail too.
                biased;
                told = signals.next() => match told {
                    Told::End => return Ok(()),
                    Told::Reopen => fleet.reopen_log(),
                    Told::Show => report::print_connections(&fleet.listings().await),
                },
                event = watch.next() => self.note(event, fleet).await?,
                failure = fleet.failed() => return Err(self.blame(failure).await),
                () = reporter.due() => {
                    reporter.print(fleet.snapshots(), self.verdicts(), fleet.lost_lines());
                }
            }
        }
    }

    /// What the program counted; that it can't be had just now is no reason to end.
    fn verdicts(&self) -> Option<Verdicts> {
        self.program.verdicts().unwrap_or_else(|error| {
            tracing::warn!("{error}");
            None
        })
    }

    /// A worker failed: because the device is gone, if it is.
    async fn blame(&self, failure: fleet::Error) -> Error {
        match inspect(&self.name).await {
            Err(_) => Error::Gone(self.name.clone()),
            Ok(_) => failure.into(),
        }
    }

    /// Takes note of what happened to the device.
    async fn note(&mut self, event: Option<Event>, fleet: &Fleet) -> Result<(), Error> {
        let mut addresses = self.addresses.clone();
        match event {
            Some(Event::AddressAdded(address)) => {
                addresses.insert(address);
            }
            Some(Event::AddressRemoved(address)) => {
                addresses.remove(&address);
            }
            Some(Event::Link { up, running }) => self.note_link(up, running),
            Some(Event::Resync) => {
                let device = inspect(&self.name).await?;
                self.note_link(device.up, device.running);
                addresses = device.addresses.into_iter().collect();
            }
            Some(Event::Gone) | None => return Err(Error::Gone(self.name.clone())),
        }
        self.readdress(addresses, fleet)
    }

    fn note_link(&mut self, up: bool, running: bool) {
        if running == self.running {
            return;
        }
        self.running = running;
        if !(running && self.say_ready()) {
            let state = match (running, up) {
                (true, _) => "up again",
                (false, true) => "without carrier",
                (false, false) => "down",
            };
            tracing::warn!("{} is {state}", self.name);
        }
    }

    /// Says that the server is ready, if that has not been said; whether it was.
    fn say_ready(&mut self) -> bool {
        let ready = self.ready.take();
        ready.map(|ready| ready.print(self.config.quiet)).is_some()
    }

    /// Makes the program and the workers serve these addresses.
    fn readdress(&mut self, now: BTreeSet<Ipv4Addr>, fleet: &Fleet) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.addresses, now);
        let now = &self.addresses;
        if before == *now || self.config.any_address {
            return Ok(());
        }
        if let Some(map) = self.program.addresses() {
            for &address in before.difference(now) {
                map.remove(address)?;
            }
            for &address in now.difference(&before) {
                map.insert(address)?;
            }
        }
        let dev = &self.name;
        if now.is_empty() {
            tracing::warn!("{dev} has no IPv4 address any more; serving again when it has one");
        } else {
            let list: Vec<String> = now.iter().map(Ipv4Addr::to_string).collect();
            tracing::info!("{dev} now has the addresses served: {}", list.join(", "));
        }
        fleet.readdress(now.iter().copied().collect());
        Ok(())
    }
}
