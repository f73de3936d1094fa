//! What this process was given when it began, before anything of Rust's own start-up changed it.
//!
//! The standard library opens `/dev/null` where one of the first three descriptors is closed, and ignores SIGPIPE. A
//! child that is to notice nothing of us needs both as they were.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

static CLOSED: AtomicU8 = AtomicU8::new(0);
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn look() {
    for fd in 0..3 {
        // SAFETY: F_GETFD reads a flag of a descriptor; one that is not open gives an error and nothing else.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
    PIPE_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

// SAFETY: functions in this section are called once, in the first thread, before `main`. This one makes system calls
// and stores into atomics, and needs nothing that the start-up of Rust would have to prepare.
#[used]
#[cfg_attr(any(target_os = "macos", target_os = "ios"), unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(any(target_os = "macos", target_os = "ios")), unsafe(link_section = ".init_array"))]
static LOOK: extern "C" fn() = look;

/// Whether this standard descriptor (0, 1 or 2) was closed when the process began.
pub fn was_closed(fd: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Whether SIGPIPE was ignored when the process began.
pub fn ignored_broken_pipes() -> bool {
    PIPE_IGNORED.load(Ordering::Relaxed)
}

/// Whether this process ignores a signal now.
pub(super) fn is_ignored(signal: i32) -> bool {
    // SAFETY: with no new action, `sigaction` only writes the old one, into a struct of the right type; all-zero
    // bytes are a valid value of it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}
