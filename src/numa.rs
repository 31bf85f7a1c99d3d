//! Where a device is: the NUMA node that it is next to and the processors of that node,
//! as sysfs tells. Memory and processors of another node work as well, only later.

use rustix::thread::{CpuSet, sched_getaffinity};
use std::path::Path;

/// The highest number that a processor or a node can have: what `CpuSet` holds.
const MAX_NUMBER: usize = CpuSet::MAX_CPU - 1;

/// What is near a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its node; none if it is next to none of several, as virtual devices are.
    pub node: Option<u32>,
    /// The processors of that node, ascending; none: no preference.
    pub processors: Vec<usize>,
}

impl Place {
    /// The place of `device`, from the sysfs that is mounted at `sysfs`. A device of no
    /// node is on the only one, if there is only one.
    pub fn of(sysfs: &Path, device: &str) -> Place {
        let nodes = sysfs.join("devices/system/node");
        let own = sysfs.join("class/net").join(device);
        // -1: none.
        let own = read(&own.join("device/numa_node")).and_then(|node| node.parse().ok());
        let Some(node) = own.or_else(|| only(&numbers(&read(&nodes.join("online"))?)?)) else {
            return Place::default();
        };
        let list = read(&nodes.join(format!("node{node}/cpulist")));
        Place {
            node: Some(node),
            processors: list.and_then(|list| numbers(&list)).unwrap_or_default(),
        }
    }

    /// The processors for workers: those `wanted`, or else those that this thread may run
    /// on, the near ones first. What a worker touches first is then near too.
    pub fn cores(&self, wanted: &[usize]) -> Vec<usize> {
        match sched_getaffinity(None) {
            Ok(allowed) if wanted.is_empty() => {
                let all = 0..CpuSet::MAX_CPU;
                self.nearest_first(all.filter(|&core| allowed.is_set(core)).collect())
            }
            _ => wanted.to_vec(),
        }
    }

    /// These processors, in their order, but the near ones first.
    fn nearest_first(&self, mut processors: Vec<usize>) -> Vec<usize> {
        processors.sort_by_key(|processor| !self.processors.contains(processor));
        processors
    }
}

fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn only(nodes: &[usize]) -> Option<u32> {
    match nodes {
        &[node] => node.try_into().ok(),
        _ => None,
    }
}

/// The numbers of a list as `0-3,6` (the format `%*pbl` of the kernel).
fn numbers(list: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in list.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last > MAX_NUMBER {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs of these files.
    fn sysfs(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
            std::fs::write(path, content).expect("a file");
        }
        root
    }

    const TWO_NODES: [(&str, &str); 3] = [
        ("devices/system/node/online", "0-1\n"),
        ("devices/system/node/node0/cpulist", "0-3,8-11\n"),
        ("devices/system/node/node1/cpulist", "4-7,12-15\n"),
    ];
    const ONE_NODE: [(&str, &str); 2] = [
        ("devices/system/node/online", "0\n"),
        ("devices/system/node/node0/cpulist", "0-1\n"),
    ];
    const NUMA_NODE: &str = "class/net/eth0/device/numa_node";

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        for (list, want) in [
            ("", Some(vec![])),
            ("0", Some(vec![0])),
            ("0-3", Some(vec![0, 1, 2, 3])),
            ("1,3,5-6", Some(vec![1, 3, 5, 6])),
            ("1023", Some(vec![1_023])),
            ("1024", None),
            ("0-18446744073709551615", None),
            ("3-", None),
            ("-3", None),
            ("zero", None),
            ("0-7:1/2", None),
        ] {
            assert_eq!(numbers(list), want, "{list:?}");
        }
        assert_eq!(numbers("5-3"), Some(vec![]), "never written so");
    }

    #[test]
    fn a_device_is_next_to_a_node_or_to_none() {
        let (near, far) = (
            vec![0, 1, 2, 3, 8, 9, 10, 11],
            vec![4, 5, 6, 7, 12, 13, 14, 15],
        );
        for (files, own, node, processors) in [
            (&TWO_NODES[..], Some("0\n"), Some(0), near),
            (&TWO_NODES, Some("1\n"), Some(1), far),
            (&TWO_NODES, Some("-1\n"), None, vec![]),
            // A virtual device.
            (&TWO_NODES, None, None, vec![]),
            (&TWO_NODES, Some("one\n"), None, vec![]),
            // A node of memory only, and one that is not described.
            (&TWO_NODES, Some("2\n"), Some(2), vec![]),
            (&ONE_NODE, Some("0\n"), Some(0), vec![0, 1]),
            (&ONE_NODE, Some("-1\n"), Some(0), vec![0, 1]),
            (&ONE_NODE, None, Some(0), vec![0, 1]),
            // A kernel without CONFIG_NUMA.
            (&[], None, None, vec![]),
            (&[], Some("-1\n"), None, vec![]),
        ] {
            let mut files = files.to_vec();
            files.extend(own.map(|own| (NUMA_NODE, own)));
            let root = sysfs(&files);
            let place = Place::of(root.path(), "eth0");
            assert_eq!(place, Place { node, processors }, "{files:?}");
        }
    }

    #[test]
    fn near_processors_come_first() {
        let root = sysfs(&[&TWO_NODES[..], &[(NUMA_NODE, "1")]].concat());
        let far = Place::of(root.path(), "eth0");
        let none = Place::default();
        for (place, allowed, want) in [
            (&far, vec![0, 1, 2, 3, 4, 5], vec![4, 5, 0, 1, 2, 3]),
            (&far, vec![3, 7, 11, 15], vec![7, 15, 3, 11]),
            (&far, vec![0, 1], vec![0, 1]),
            (&far, vec![], vec![]),
            (&none, vec![2, 4, 6], vec![2, 4, 6]),
        ] {
            assert_eq!(place.nearest_first(allowed.clone()), want, "{allowed:?}");
        }
        assert_eq!(far.cores(&[3, 5, 3]), [3, 5, 3], "what is wanted stays");
        assert!(!none.cores(&[]).is_empty(), "this thread runs on some");
    }

    #[test]
    fn this_machine_is_read_without_a_mistake() {
        let place = Place::of(Path::new("/sys"), "lo");
        let processors =
            numbers(&read(Path::new("/sys/devices/system/cpu/online")).expect("sysfs"));
        let processors = processors.expect("a list");
        assert!(
            place
                .processors
                .iter()
                .all(|core| processors.contains(core)),
            "{place:?}"
        );
    }
}
