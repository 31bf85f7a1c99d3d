//! Sends what libbpf would print on standard error to [`tracing`].

use std::ffi::{CStr, c_char, c_int};

use libbpf_sys::{__va_list_tag, LIBBPF_DEBUG, libbpf_print_level, libbpf_set_print};
use tracing::Level;

/// Longer lines are cut; only the verifier's log has those, and the load error quotes it.
const LINE_BYTES: usize = 1024;

unsafe extern "C" {
    /// ISO C's. An argument of type `va_list` is a pointer here: so it is passed on x86-64 (an
    /// array that decays) and on AArch64 (a structure above 16 bytes).
    fn vsnprintf(
        line: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut __va_list_tag,
    ) -> c_int;
}

/// From here on libbpf's warnings and notes are debug events, its debug output trace events.
///
/// libbpf has one print function a process; setting the same one again changes nothing.
pub(super) fn send_to_tracing() {
    // SAFETY: `print` has the signature libbpf asks for and lives as long as the process.
    unsafe { libbpf_set_print(Some(print)) };
}

unsafe extern "C" fn print(
    level: libbpf_print_level,
    format: *const c_char,
    arguments: *mut __va_list_tag,
) -> c_int {
    let detail = level == LIBBPF_DEBUG;
    if !(tracing::enabled!(Level::TRACE) || (!detail && tracing::enabled!(Level::DEBUG))) {
        return 0;
    }
    let mut line = [0u8; LINE_BYTES];
    // SAFETY: `format` and `arguments` are libbpf's own pair; at most `line.len()` bytes are
    // written, the terminating 0 included.
    let length = unsafe { vsnprintf(line.as_mut_ptr().cast(), line.len(), format, arguments) };
    if let Ok(text) = CStr::from_bytes_until_nul(&line) {
        let text = text.to_string_lossy();
        match detail {
            true => tracing::trace!(target: "libbpf", "{}", text.trim_end()),
            false => tracing::debug!(target: "libbpf", "{}", text.trim_end()),
        }
    }
    length
}
