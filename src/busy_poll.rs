//! Preferred busy polling (Documentation/networking/napi.rst and af_xdp.rst of Linux): the
//! worker's system calls run the device's receive loop on the worker's own processor, and
//! the device's interrupts stay off for as long as they keep coming.
//!
//! Who looks again in time needs no interrupt; how long it takes until the device interrupts
//! all the same is a setting of the device, which is not ours to change.

use crate::config::RX_BATCH;
use crate::xdp::Device;
use crate::xsk::Xsk;
use std::fs;
use std::time::Duration;

/// Asks for it on all `sockets` of `device`, and says what is missing; whether it is to be
/// had. The server works without.
pub fn prefer(device: &Device, sockets: &[Xsk], time: Duration) -> bool {
    let frames = RX_BATCH as u32;
    let mut asked = sockets.iter().map(|xsk| xsk.prefer_busy_poll(time, frames));
    if let Some(error) = asked.find_map(Result::err) {
        tracing::warn!(
            "{}: --busy-poll is not to be had (Linux 5.11 and CAP_NET_ADMIN are needed): {error}; \
             going on without",
            device.name
        );
        return false;
    }
    let setting = |name: &str| {
        let text = fs::read_to_string(format!("/sys/class/net/{}/{name}", device.name)).ok()?;
        text.trim().parse().ok()
    };
    let (defer, timeout) = (
        setting("napi_defer_hard_irqs"),
        setting("gro_flush_timeout"),
    );
    if let Some(advice) = advice(&device.name, defer, timeout) {
        tracing::warn!("{advice}");
    }
    true
}

/// What has to be set that the device holds its interrupts back; `None`: it does, or it
/// isn't known.
fn advice(dev: &str, defer: Option<u64>, timeout: Option<u64>) -> Option<String> {
    let dir = format!("/sys/class/net/{dev}");
    let set =
        |value, name, number| (value == Some(0)).then(|| format!("echo {number} > {dir}/{name}"));
    let missing: Vec<String> = [
        // The values of the kernel's own documentation: 200 µs after the last look.
        set(defer, "napi_defer_hard_irqs", 2),
        set(timeout, "gro_flush_timeout", 200_000),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "{dev}: its interrupts are not held back for --busy-poll, which saves less so: {}",
            missing.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let (defer, timeout) = (
            "echo 2 > /sys/class/net/eth0/napi_defer_hard_irqs",
            "echo 200000 > /sys/class/net/eth0/gro_flush_timeout",
        );
        for (settings, want) in [
            ((Some(0), Some(0)), Some(format!("{defer}; {timeout}"))),
            ((Some(2), Some(0)), Some(timeout.to_owned())),
            ((Some(0), Some(1)), Some(defer.to_owned())),
            ((Some(2), Some(1)), None),
            ((None, None), None),
        ] {
            let advice = advice("eth0", settings.0, settings.1);
            match (&advice, &want) {
                (Some(advice), Some(want)) => assert!(advice.ends_with(want), "{advice}"),
                _ => assert_eq!(advice, want),
            }
        }
    }
}
