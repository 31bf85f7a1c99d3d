//! The memory of frames, before the kernel knows of it: which pages, and where.

use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::param::page_size;

use super::umem::last_error;

/// Size of a huge page: the usual one of x86-64 and arm64.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Numbers that a node can have: `CONFIG_NODES_SHIFT` is 10 at most.
const MAX_NODES: usize = 1 << 10;
/// Bits of a word of a node mask.
const WORD_BITS: usize = libc::c_ulong::BITS as usize;

/// What pages an area is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Those of the processor, 4 KiB as a rule.
    Ordinary,
    /// Of 2 MiB, out of those set aside by `vm.nr_hugepages`.
    Huge,
}

impl Pages {
    fn bytes(self) -> usize {
        match self {
            Pages::Ordinary => page_size(),
            Pages::Huge => HUGE_PAGE_BYTES,
        }
    }

    fn flags(self) -> libc::c_int {
        match self {
            Pages::Ordinary => 0,
            Pages::Huge => libc::MAP_HUGETLB | libc::MAP_HUGE_2MB,
        }
    }
}

/// How the memory of an [`Xsk`](super::Xsk) came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its size, whole pages.
    pub bytes: usize,
    /// What it is made of.
    pub pages: Pages,
    /// Why that is not huge pages, which were wanted.
    pub no_huge: Option<Errno>,
    /// The NUMA node that it is on as far as that has room.
    pub node: Option<u32>,
    /// Why it is not on the one that was wanted.
    pub no_node: Option<Errno>,
}

/// An anonymous, zeroed, page-aligned mapping.
pub(super) struct Area {
    base: NonNull<u8>,
    memory: Memory,
}

// SAFETY: a mapping belongs to the process, not to a thread, and an `Area` gives
// no access to its bytes: it only says where they are.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// Maps `bytes` of memory: of huge pages if they are wanted and to be had, and on
    /// the NUMA `node` if one is named. The memory says what came of both.
    pub fn new(bytes: usize, wants_huge: bool, node: Option<u32>) -> Result<Area, Errno> {
        let no_huge = match wants_huge.then(|| Area::huge(bytes, node)) {
            Some(Ok(area)) => return Ok(area),
            refused => refused.and_then(Result::err),
        };
        let mut area = Area::map(bytes, Pages::Ordinary)?;
        area.memory.no_huge = no_huge;
        area.place(node);
        Ok(area)
    }

    /// The same of huge pages only. They are touched here: where a control group lets the
    /// process have none, that is said only then, and would else be said by a signal.
    fn huge(bytes: usize, node: Option<u32>) -> Result<Area, Errno> {
        let mut area = Area::map(bytes, Pages::Huge)?;
        area.place(node);
        match area.populate() {
            // Linux before 5.14 can't; the registration touches them all the same.
            Ok(()) | Err(Errno::INVAL) => Ok(area),
            Err(errno) => Err(errno),
        }
    }

    fn map(bytes: usize, pages: Pages) -> Result<Area, Errno> {
        let bytes = bytes.checked_next_multiple_of(pages.bytes());
        let bytes = bytes.ok_or(Errno::NOMEM)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | pages.flags();
        // SAFETY: a new mapping, wherever the kernel likes, touches no other memory.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(last_error());
        }
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        let memory = Memory {
            bytes,
            pages,
            no_huge: None,
            node: None,
            no_node: None,
        };
        Ok(Area { base, memory })
    }

    /// Has its pages come from `node`, or from others once that is full. To be called
    /// before they are touched.
    fn place(&mut self, node: Option<u32>) {
        match node.map(|node| self.prefer(node)) {
            Some(Err(errno)) => self.memory.no_node = Some(errno),
            Some(Ok(())) => self.memory.node = node,
            None => {}
        }
    }

    fn prefer(&self, node: u32) -> Result<(), Errno> {
        let mut nodes = [0 as libc::c_ulong; MAX_NODES / WORD_BITS];
        let word = nodes.get_mut(node as usize / WORD_BITS);
        *word.ok_or(Errno::INVAL)? = 1 << (node as usize % WORD_BITS);
        // SAFETY: the mask is live and has `MAX_NODES` bits, of which the kernel reads
        // one fewer than it is told; the policy of a mapping changes none of its bytes.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                self.base.as_ptr(),
                self.memory.bytes,
                libc::MPOL_PREFERRED as libc::c_ulong,
                nodes.as_ptr(),
                MAX_NODES + 1,
                0 as libc::c_ulong,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// Touches every page.
    fn populate(&self) -> Result<(), Errno> {
        let base = self.base.as_ptr().cast();
        // SAFETY: of a private mapping of our own that nobody uses yet.
        let result = unsafe { libc::madvise(base, self.memory.bytes, libc::MADV_POPULATE_WRITE) };
        match result {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// The first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How it came out.
    pub fn memory(&self) -> Memory {
        self.memory
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped; its users hold the area (or its
        // owner) as a field, so none is left.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.memory.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What /proc/self/numa_maps says of the mapping that begins at `base`.
    fn numa_map(base: NonNull<u8>) -> String {
        let maps = std::fs::read_to_string("/proc/self/numa_maps").expect("numa_maps");
        let start = format!("{:x} ", base.as_ptr() as usize);
        let line = maps.lines().find(|line| line.starts_with(&start));
        line.map(str::to_owned).unwrap_or_default()
    }

    #[test]
    fn sizes_are_whole_pages() {
        let page = page_size();
        for (bytes, want) in [
            (1, page),
            (page, page),
            (page + 1, 2 * page),
            (64 * page, 64 * page),
        ] {
            let area = Area::new(bytes, false, None).expect("memory");
            let memory = area.memory();
            assert_eq!((memory.bytes, memory.pages), (want, Pages::Ordinary));
            assert_eq!((memory.no_huge, memory.node), (None, None));
            assert!(area.base().as_ptr().addr().is_multiple_of(page));
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for bytes in [0, usize::MAX, usize::MAX / 2] {
            for wants_huge in [false, true] {
                let refused = Area::new(bytes, wants_huge, None).map(|area| area.memory());
                assert!(refused.is_err(), "{bytes}: {refused:?}");
            }
        }
    }

    #[test]
    fn huge_pages_or_ordinary_ones_and_why() {
        // More of them than this machine can have: 4 TiB.
        let bytes = 1 << 42;
        let area = Area::new(bytes, true, None).map(|area| area.memory());
        // Ordinary ones are promised or not, by vm.overcommit_memory.
        match area {
            Ok(memory) => {
                assert_eq!(memory.pages, Pages::Ordinary);
                assert_eq!(memory.no_huge, Some(Errno::NOMEM));
            }
            Err(errno) => assert_eq!(errno, Errno::NOMEM),
        }
    }

    #[test]
    fn memory_is_placed_on_a_node_that_is_there() {
        let area = Area::new(1 << 20, false, Some(0)).expect("memory");
        let memory = area.memory();
        assert_eq!((memory.node, memory.no_node), (Some(0), None));
        let policy = numa_map(area.base());
        assert!(policy.contains(" prefer:0"), "{policy}");
        let base = area.base();
        drop(area);
        // Another thread may have been given the place since, but not with this policy.
        let policy = numa_map(base);
        assert!(!policy.contains(" prefer:0"), "{policy}");
        for node in [MAX_NODES as u32 - 1, MAX_NODES as u32, u32::MAX] {
            let area = Area::new(1 << 20, false, Some(node)).expect("memory all the same");
            let memory = area.memory();
            assert_eq!((memory.node, memory.no_node), (None, Some(Errno::INVAL)));
        }
    }
}
