//! What is said of the memory of packets.

use super::plural;
use crate::xsk::{HUGE_PAGE_BYTES, Memory, Pages};
use bytesize::ByteSize;

/// Notes on stderr how the memory of each queue came out.
pub fn note(device: &str, queues: &[Memory]) {
    tracing::debug!("{device}: {}", summary(queues));
    if let Some(why) = no_huge(queues) {
        tracing::warn!("{device}: {why}");
    }
}

/// How much of it there is, and where.
fn summary(queues: &[Memory]) -> String {
    let bytes = queues.iter().map(|memory| memory.bytes as u64).sum();
    let huge = queues.iter().filter(|memory| memory.pages == Pages::Huge);
    let pages = match huge.count() {
        0 => "ordinary pages".to_owned(),
        huge if huge == queues.len() => "huge pages".to_owned(),
        huge => format!("huge pages for {huge}"),
    };
    let node = queues
        .iter()
        .find_map(|memory| match (memory.node, memory.no_node) {
            (Some(node), _) => Some(format!(", on NUMA node {node}")),
            (None, Some(errno)) => Some(format!(", on any NUMA node: {errno}")),
            (None, None) => None,
        });
    format!(
        "{} of packet memory for {}, {pages}{}",
        ByteSize(bytes),
        plural(queues.len() as u64, "queue"),
        node.unwrap_or_default()
    )
}

/// Why some of it is not of huge pages, which were wanted, and what to do.
fn no_huge(queues: &[Memory]) -> Option<String> {
    let errno = queues.iter().find_map(|memory| memory.no_huge)?;
    let pages = |memory: &Memory| memory.bytes.div_ceil(HUGE_PAGE_BYTES);
    let needed: usize = queues.iter().map(pages).sum();
    Some(format!(
        "ordinary pages, for huge ones were not to be had: {errno}; set aside the {needed} of 2 \
         MiB that are needed: sysctl vm.nr_hugepages={needed}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    const ORDINARY: Memory = Memory {
        bytes: 16 << 20,
        pages: Pages::Ordinary,
        no_huge: None,
        node: None,
        no_node: None,
    };
    const HUGE: Memory = Memory {
        pages: Pages::Huge,
        node: Some(1),
        ..ORDINARY
    };
    const NONE_LEFT: Memory = Memory {
        bytes: (16 << 20) + 4096,
        no_huge: Some(Errno::NOMEM),
        no_node: Some(Errno::PERM),
        ..ORDINARY
    };

    #[test]
    fn size_pages_and_node_are_told() {
        for (queues, want) in [
            (
                &[ORDINARY][..],
                "16.0 MiB of packet memory for 1 queue, ordinary pages",
            ),
            (
                &[HUGE, HUGE],
                "32.0 MiB of packet memory for 2 queues, huge pages, on NUMA node 1",
            ),
            (
                &[HUGE, NONE_LEFT],
                "32.0 MiB of packet memory for 2 queues, huge pages for 1, on NUMA node 1",
            ),
            (
                &[NONE_LEFT],
                "16.0 MiB of packet memory for 1 queue, ordinary pages, on any NUMA node: \
                 Operation not permitted (os error 1)",
            ),
        ] {
            assert_eq!(summary(queues), want);
        }
    }

    #[test]
    fn what_is_missing_is_counted_for_all_queues() {
        assert_eq!(no_huge(&[ORDINARY, HUGE]), None);
        assert_eq!(
            no_huge(&[HUGE, NONE_LEFT]).as_deref(),
            Some(
                "ordinary pages, for huge ones were not to be had: Cannot allocate memory (os \
                 error 12); set aside the 17 of 2 MiB that are needed: sysctl vm.nr_hugepages=17"
            )
        );
    }
}
