//! The XDP program, loaded: the embedded one, or one from an object file of the user's own.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::error::{is_permission, missing_capabilities};
use super::maps::{self, AddressSet, Flag, PerCpuCounters, PortSet, XskFds};
use super::object::{Object, ObjectProgram};
use super::{Addresses, Error, Ports, Verdicts, XskMap, bpf, log};

const XSKS_MAP: &CStr = c"xsks_map";
/// The embedded programs: for frames of any size, and for those of one buffer.
const EMBEDDED: [&str; 2] = ["xdphttpd", "xdphttpd_plain"];

/// Where the program comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The one built from `bpf/xdphttpd.bpf.c` and embedded in this library.
    Embedded,
    /// A BPF object file (ELF) that has an XSKMAP named `xsks_map`.
    File {
        /// The file.
        path: &'a Path,
        /// The program's (function's) name. May be left out if the object has one XDP program.
        progname: Option<&'a str>,
    },
}

impl Source<'_> {
    fn describe(&self) -> String {
        match self {
            Source::Embedded => "the embedded XDP program".into(),
            Source::File { path, .. } => path.display().to_string(),
        }
    }
}

/// A loaded program and its maps. They go when the last of this value, its
/// [`Attachment`](super::Attachment)s and the kernel's own uses of them go.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    has_frags: bool,
    /// The same for frames of one buffer only, with the same maps.
    plain: Option<OwnedFd>,
    object: String,
    xsks: XskFds,
    ports: Option<PortSet>,
    addresses: Option<AddressSet>,
    any_address: Option<Flag>,
    verdicts: Option<PerCpuCounters>,
}

impl Program {
    /// Opens and loads a program, with room for the sockets of `queues` RX queues.
    ///
    /// # Errors
    /// The object can't be read, has no XDP program of that name or no `xsks_map`; the process
    /// lacks CAP_BPF, CAP_PERFMON or CAP_NET_ADMIN; the verifier refuses it (its last line is in the error).
    pub fn load(source: Source<'_>, queues: u32) -> Result<Program, Error> {
        log::send_to_tracing();
        let name = source.describe();
        let open = |object: io::Result<Object>| {
            object.map_err(|source| Error::Open {
                object: name.clone(),
                source,
            })
        };
        let embedded = |names: &[&str]| {
            let object = open(Object::open_embedded())?;
            let named = names
                .iter()
                .map(|&progname| choose(&object, &name, Some(progname)));
            let programs = named.collect::<Result<Vec<_>, Error>>()?;
            Program::load_chosen(&object, &name, &programs, queues)
        };
        match source {
            Source::Embedded => match embedded(&EMBEDDED) {
                // A kernel that knows of one buffer a frame only says EINVAL to the first.
                Err(Error::Load { .. }) => embedded(&EMBEDDED[1..]),
                loaded => loaded,
            },
            Source::File { path, progname } => {
                let object = open(Object::open_file(path))?;
                let program = choose(&object, &name, progname)?;
                Program::load_chosen(&object, &name, &[program], queues)
            }
        }
    }

    /// Loads the first of `programs`, and as its plain one the second, if there is one.
    fn load_chosen(
        object: &Object,
        name: &str,
        programs: &[ObjectProgram<'_>],
        queues: u32,
    ) -> Result<Program, Error> {
        let refused = |source, verifier| refused(name, source, verifier);
        object
            .make_room(XSKS_MAP, queues)
            .map_err(|error| refused(error, None))?;
        object
            .load(programs)
            .map_err(|(error, verifier)| refused(error, verifier))?;

        let unusable = |error| refused(error, None);
        let mut fds = programs
            .iter()
            .map(|program| program.fd().map_err(unusable));
        Ok(Program {
            fd: fds
                .next()
                .unwrap_or_else(|| Err(unusable(io::ErrorKind::NotFound.into())))?,
            plain: fds.next().transpose()?,
            has_frags: programs.first().is_some_and(ObjectProgram::has_frags),
            xsks: object
                .map(XSKS_MAP)
                .map_err(unusable)?
                .ok_or_else(|| Error::NoSuchMap {
                    object: name.to_owned(),
                    map: "xsks_map",
                    kind: "XSKMAP (u32 -> u32)",
                })?,
            ports: object.map(c"ports").map_err(unusable)?,
            addresses: object.map(c"addresses").map_err(unusable)?,
            any_address: object.map(c"any_address").map_err(unusable)?,
            verdicts: object.map(c"verdicts").map_err(unusable)?,
            object: name.to_owned(),
        })
    }

    /// RX queue → AF_XDP socket.
    pub fn xsks(&self) -> XskMap<'_> {
        XskMap(&self.xsks)
    }

    /// Our ports; `None` if the user's own program has no such map.
    pub fn ports(&self) -> Option<Ports<'_>> {
        self.ports.as_ref().map(Ports)
    }

    /// Our addresses; `None` if the user's own program has no such map.
    pub fn addresses(&self) -> Option<Addresses<'_>> {
        self.addresses.as_ref().map(Addresses)
    }

    /// Whether frames to any address at all are ours (off at first).
    ///
    /// # Errors
    /// [`Error::NoSuchMap`] for a program of the user's own without such a switch.
    pub fn set_any_address(&self, on: bool) -> Result<(), Error> {
        let flag = self.any_address.as_ref().ok_or_else(|| Error::NoSuchMap {
            object: self.object.clone(),
            map: "any_address",
            kind: "ARRAY (u32 -> u32)",
        })?;
        maps::set_flag(flag, "any_address", on)
    }

    /// The frames seen so far by verdict; `None` if the user's own program doesn't count them.
    pub fn verdicts(&self) -> Result<Option<Verdicts>, Error> {
        self.verdicts.as_ref().map(Verdicts::read).transpose()
    }

    /// Runs the program once over a frame (BPF_PROG_TEST_RUN; RX queue 0) and returns the XDP
    /// action. For tests. The frame must have 14 bytes or more.
    pub fn test_run(&self, frame: &[u8]) -> Result<u32, Error> {
        bpf::test_run(self.fd.as_fd(), frame).map_err(|source| Error::TestRun {
            frame_bytes: frame.len(),
            source,
        })
    }

    /// What may be attached, the best first, and whether it takes frames of several buffers.
    pub(super) fn variants(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let plain = self.plain.iter().map(|fd| (fd.as_fd(), false));
        std::iter::once((self.fd.as_fd(), self.has_frags)).chain(plain)
    }
}

/// The verifier answers the lack of CAP_PERFMON with EACCES, as it answers a bad program.
fn refused(object: &str, source: io::Error, verifier: Option<String>) -> Error {
    let verifiers = source.raw_os_error() == Some(libc::EACCES);
    if is_permission(&source) || (verifiers && !missing_capabilities().is_empty()) {
        return Error::permission(format!("load {object}"));
    }
    Error::Load {
        object: object.to_owned(),
        source,
        verifier,
    }
}

fn choose<'a>(
    object: &'a Object,
    name: &str,
    progname: Option<&str>,
) -> Result<ObjectProgram<'a>, Error> {
    let programs = object.xdp_programs();
    let existing = || match programs.as_slice() {
        [] => "none".to_owned(),
        programs => programs
            .iter()
            .map(ObjectProgram::name)
            .collect::<Vec<_>>()
            .join(", "),
    };
    let none = |wanted: &str| Error::NoSuchProgram {
        object: name.to_owned(),
        wanted: wanted.to_owned(),
        existing: existing(),
    };
    match (progname, programs.as_slice()) {
        (Some(wanted), programs) => {
            let named = programs.iter().find(|program| program.name() == wanted);
            named.copied().ok_or_else(|| none(wanted))
        }
        (None, [only]) => Ok(*only),
        (None, []) => Err(none("at all")),
        (None, _) => Err(Error::AmbiguousProgram {
            object: name.to_owned(),
            existing: existing(),
        }),
    }
}
