//! A BPF object between being opened and being loaded: libbpf's `bpf_object`, used safely.
//!
//! It lives for the length of [`Program::load`](super::Program::load) only. What is wanted of it
//! afterwards are file descriptors, and those are duplicated out of it.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use libbpf_sys as sys;

use super::bpf;
use super::maps::Map;

/// Room for the verifier's log. A kernel from 6.4 on keeps the end of a longer one, and the end is
/// what we quote.
const LOG_BYTES: usize = 1 << 20;

/// An opened object. Neither shared nor sent: libbpf's objects have no lock.
pub(super) struct Object {
    object: NonNull<sys::bpf_object>,
    /// libbpf holds its address until the object is closed, and the kernel writes there: cells.
    verifier_log: Vec<Cell<u8>>,
}

/// One of an object's programs: valid as long as the object that it borrows.
#[derive(Clone, Copy)]
pub(super) struct ObjectProgram<'a> {
    program: NonNull<sys::bpf_program>,
    object: PhantomData<&'a Object>,
}

/// Gives the bytes of an object file the alignment that ELF's structures ask for.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);

static EMBEDDED: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/xdphttpd.bpf.o")));

impl Object {
    /// Opens the object built from `bpf/xdphttpd.bpf.c`.
    pub(super) fn open_embedded() -> io::Result<Self> {
        let bytes = &EMBEDDED.0;
        Self::open(|options| {
            options.object_name = c"xdphttpd".as_ptr();
            let size = bytes.len() as sys::size_t;
            // SAFETY: `bytes` is a whole object file, valid for `size` bytes for ever.
            unsafe { sys::bpf_object__open_mem(bytes.as_ptr().cast(), size, options) }
        })
    }

    /// Opens an object file.
    pub(super) fn open_file(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        Self::open(|options| {
            // SAFETY: `path` is a C string and `options` names its own size.
            unsafe { sys::bpf_object__open_file(path.as_ptr(), options) }
        })
    }

    fn open(
        open: impl FnOnce(&mut sys::bpf_object_open_opts) -> *mut sys::bpf_object,
    ) -> io::Result<Self> {
        let verifier_log = vec![Cell::new(0); LOG_BYTES];
        let mut options = sys::bpf_object_open_opts {
            sz: size_of::<sys::bpf_object_open_opts>() as sys::size_t,
            kernel_log_buf: verifier_log.as_ptr().cast_mut().cast::<c_char>(),
            kernel_log_size: LOG_BYTES as sys::size_t,
            ..Default::default()
        };
        match NonNull::new(open(&mut options)) {
            Some(object) => Ok(Object {
                object,
                verifier_log,
            }),
            // libbpf's own error numbers come by errno too.
            None => Err(bpf::error(
                io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EINVAL),
            )),
        }
    }

    /// The programs that are of type XDP, or of a section that libbpf knows no type for (older
    /// objects have names such as `xdp_sock`).
    pub(super) fn xdp_programs(&self) -> Vec<ObjectProgram<'_>> {
        let mut programs = Vec::new();
        let mut previous = ptr::null_mut();
        loop {
            // SAFETY: `previous` is null or a program of this open object.
            previous = unsafe { sys::bpf_object__next_program(self.object.as_ptr(), previous) };
            let Some(program) = NonNull::new(previous) else {
                return programs;
            };
            let program = ObjectProgram {
                program,
                object: PhantomData,
            };
            if matches!(
                program.kind(),
                sys::BPF_PROG_TYPE_XDP | sys::BPF_PROG_TYPE_UNSPEC
            ) {
                programs.push(program);
            }
        }
    }

    /// Makes an XSKMAP declared smaller large enough. To be done before loading.
    pub(super) fn make_room(&self, map: &CStr, entries: u32) -> io::Result<()> {
        let Some(map) = self.find_map(map) else {
            return Ok(());
        };
        // SAFETY: `map` belongs to this open object.
        if unsafe { sys::bpf_map__max_entries(map.as_ptr()) } >= entries {
            return Ok(());
        }
        // SAFETY: `map` belongs to this open object.
        bpf::check(unsafe { sys::bpf_map__set_max_entries(map.as_ptr(), entries) }).map(drop)
    }

    /// Loads the maps and the chosen programs. On failure also the verifier's last line.
    pub(super) fn load(
        &self,
        chosen: &[ObjectProgram<'_>],
    ) -> Result<(), (io::Error, Option<String>)> {
        self.load_only(chosen)
            .map_err(|error| (error, verifiers_last_line(&self.log_text())))
    }

    fn load_only(&self, chosen: &[ObjectProgram<'_>]) -> io::Result<()> {
        let mut program = ptr::null_mut();
        loop {
            // SAFETY: `program` is null or a program of this open object.
            program = unsafe { sys::bpf_object__next_program(self.object.as_ptr(), program) };
            if program.is_null() {
                break;
            }
            let wanted = chosen
                .iter()
                .any(|chosen| program == chosen.program.as_ptr());
            // SAFETY: `program` belongs to this open object.
            bpf::check(unsafe { sys::bpf_program__set_autoload(program, wanted) })?;
        }
        for program in chosen {
            if program.kind() == sys::BPF_PROG_TYPE_UNSPEC {
                let program = program.program.as_ptr();
                // SAFETY: `program` belongs to this open object.
                bpf::check(unsafe { sys::bpf_program__set_type(program, sys::BPF_PROG_TYPE_XDP) })?;
            }
        }
        // SAFETY: the object is open, and its log buffer lives as long as it.
        bpf::check(unsafe { sys::bpf_object__load(self.object.as_ptr()) }).map(drop)
    }

    fn log_text(&self) -> String {
        let bytes = self.verifier_log.iter().map(Cell::get);
        let bytes: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A loaded map's own descriptor, if there is one of that name, type and sizes.
    pub(super) fn map<const TYPE: u32, const K: usize, const V: usize>(
        &self,
        name: &CStr,
    ) -> io::Result<Option<Map<TYPE, K, V>>> {
        let Some(map) = self.find_map(name) else {
            return Ok(None);
        };
        let map = map.as_ptr();
        // SAFETY: `map` belongs to this open object.
        let kind = unsafe { sys::bpf_map__type(map) };
        // SAFETY: as above.
        let key_bytes = unsafe { sys::bpf_map__key_size(map) } as usize;
        // SAFETY: as above.
        let value_bytes = unsafe { sys::bpf_map__value_size(map) } as usize;
        if (kind, key_bytes, value_bytes) != (TYPE, K, V) {
            tracing::debug!(?name, "a map of another layout: not used");
            return Ok(None);
        }
        // SAFETY: as above.
        let max_entries = unsafe { sys::bpf_map__max_entries(map) };
        // SAFETY: as above.
        let fd = duplicate(unsafe { sys::bpf_map__fd(map) })?;
        // SAFETY: type and sizes were compared just now.
        Ok(Some(unsafe { Map::adopt(fd, max_entries) }))
    }

    fn find_map(&self, name: &CStr) -> Option<NonNull<sys::bpf_map>> {
        // SAFETY: the object is open and `name` is a C string.
        let map = unsafe { sys::bpf_object__find_map_by_name(self.object.as_ptr(), name.as_ptr()) };
        NonNull::new(map)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the object is open, is closed once, and everything taken out of it borrowed it.
        unsafe { sys::bpf_object__close(self.object.as_ptr()) };
    }
}

impl ObjectProgram<'_> {
    fn kind(&self) -> sys::bpf_prog_type {
        // SAFETY: the program belongs to the open object that `self` borrows.
        unsafe { sys::bpf_program__type(self.program.as_ptr()) }
    }

    pub(super) fn name(&self) -> String {
        // SAFETY: as in `kind`.
        let name = unsafe { sys::bpf_program__name(self.program.as_ptr()) };
        // SAFETY: libbpf returns the program's name, a C string that lives as long as it.
        let name = unsafe { CStr::from_ptr(name) };
        name.to_string_lossy().into_owned()
    }

    /// Whether it takes frames that lie in several buffers: libbpf loads the programs of
    /// this section with BPF_F_XDP_HAS_FRAGS.
    pub(super) fn has_frags(&self) -> bool {
        // SAFETY: as in `kind`.
        let section = unsafe { sys::bpf_program__section_name(self.program.as_ptr()) };
        // SAFETY: libbpf returns the section's name, a C string that lives as long as it.
        let section = unsafe { CStr::from_ptr(section) };
        section.to_bytes().starts_with(b"xdp.frags")
    }

    /// The loaded program's own descriptor.
    pub(super) fn fd(&self) -> io::Result<OwnedFd> {
        // SAFETY: as in `kind`.
        duplicate(unsafe { sys::bpf_program__fd(self.program.as_ptr()) })
    }
}

fn duplicate(libbpf_fd: i32) -> io::Result<OwnedFd> {
    let fd = bpf::check(libbpf_fd)?;
    // SAFETY: libbpf keeps `fd` open until its object is closed, which is after this call.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// The last line that speaks of the program: the statistics at the log's end don't.
fn verifiers_last_line(log: &str) -> Option<String> {
    const STATISTICS: [&str; 4] = [
        "processed ",
        "verification time ",
        "stack depth ",
        "mark_precise",
    ];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start)))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_last_line_is_the_one_before_its_statistics() {
        let log = "0: (61) r2 = *(u32 *)(r1 +4)\n\
                   R2 offset is outside of the packet\n\
                   verification time 46 usec\n\
                   stack depth 0\n\
                   processed 3 insns (limit 1000000) max_states_per_insn 0\n";
        assert_eq!(
            verifiers_last_line(log).as_deref(),
            Some("R2 offset is outside of the packet")
        );
        assert_eq!(verifiers_last_line(""), None);
    }

    #[test]
    fn the_embedded_object_has_a_program_for_frames_of_any_size_and_a_plain_one() {
        let object = Object::open_embedded().unwrap();
        let names: Vec<String> = object
            .xdp_programs()
            .iter()
            .map(ObjectProgram::name)
            .collect();
        assert_eq!(names, ["xdphttpd", "xdphttpd_plain"]);
    }

    #[test]
    fn a_file_that_is_no_elf_is_refused_in_words() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello").unwrap();
        let error = Object::open_file(file.path()).err().unwrap();
        assert!(error.to_string().contains("format"), "{error}");
    }
}
