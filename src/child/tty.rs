//! Our own terminal: its modes, its size, and who is in its foreground. What was changed is restored on every way out.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{OFlags, fstat};
use rustix::process::{Pid, getpgrp};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, Winsize, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetpgrp,
};

/// A terminal that this process has, and how it was found.
#[derive(Debug)]
pub struct Terminal {
    fd: OwnedFd,
    found: Termios,
    /// The same, as the guard can use it.
    found_bare: libc::termios,
    raw: bool,
    /// Whether the foreground was given to another group.
    lent: bool,
}

impl Terminal {
    /// Looks at the terminal behind a descriptor; `None` if there is none.
    pub fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        if !isatty(fd) {
            return None;
        }
        let found = tcgetattr(fd).ok()?;
        let fd = fd.try_clone_to_owned().ok()?;
        // SAFETY: `tcgetattr` fills in a struct of the right type, or fails.
        let found_bare = unsafe {
            let mut modes = std::mem::zeroed();
            if libc::tcgetattr(fd.as_raw_fd(), &raw mut modes) != 0 {
                return None;
            }
            modes
        };
        Some(Self { fd, found, found_bare, raw: false, lent: false })
    }

    /// Opens the controlling terminal; `None` if there is none.
    pub fn controlling() -> Option<Self> {
        let flags = OFlags::NOCTTY.bits() as i32;
        let open = |path: &str| OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok();
        let device = controlling_device().and_then(|path| open(&path));
        Self::of(device.or_else(|| open("/dev/tty"))?.as_fd())
    }

    /// Returns its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the modes that it was found in.
    pub fn found_modes(&self) -> &Termios {
        &self.found
    }

    /// Returns its descriptor and the modes that it was found in, as the guard can use them.
    pub(super) fn bare(&self) -> (i32, libc::termios) {
        (self.fd.as_raw_fd(), self.found_bare)
    }

    /// Returns how large it is.
    pub fn size(&self) -> Option<Winsize> {
        tcgetwinsize(&self.fd).ok()
    }

    /// Whether our process group is in its foreground, or it is not one that has a foreground for us.
    pub fn is_ours(&self) -> bool {
        is_foreground(&self.fd)
    }

    /// Lets every key through as it is, and every byte of output unless others `share` it, who count on line ends
    /// being turned into those of a terminal.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn make_raw(&mut self, share: bool) -> io::Result<()> {
        // It may have been changed while we were stopped.
        if !self.raw {
            self.found = tcgetattr(&self.fd)?;
        }
        let mut modes = self.found.clone();
        modes.make_raw();
        let processed = share && self.found.output_modes.contains(OutputModes::OPOST);
        modes.output_modes.set(OutputModes::OPOST, processed);
        without_stopping(|| tcsetattr(&self.fd, OptionalActions::Now, &modes))?;
        self.raw = true;
        Ok(())
    }

    /// Whether it is in raw mode.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// Gives the foreground to the child's group.
    pub fn lend(&mut self, group: i32) {
        if let Some(group) = Pid::from_raw(group) {
            self.lent |= without_stopping(|| tcsetpgrp(&self.fd, group)).is_ok();
        }
    }

    /// Whether the foreground is with another group because we gave it.
    pub fn is_lent(&self) -> bool {
        self.lent
    }

    /// Puts all back as it was found but how output is treated: what the child said last may still be on its way, and
    /// its line ends are those of a terminal already.
    pub fn restore_keys(&mut self) {
        if std::mem::take(&mut self.lent) {
            let _ = without_stopping(|| tcsetpgrp(&self.fd, getpgrp()));
        }
        if self.raw
            && let Ok(now) = tcgetattr(&self.fd)
        {
            let mut modes = self.found.clone();
            modes.output_modes = now.output_modes;
            let _ = without_stopping(|| tcsetattr(&self.fd, OptionalActions::Now, &modes));
        }
    }

    /// Puts it back as it was found.
    pub fn restore(&mut self) {
        self.restore_keys();
        if std::mem::take(&mut self.raw) {
            let _ = without_stopping(|| tcsetattr(&self.fd, OptionalActions::Now, &self.found));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Returns the path of the controlling terminal's own device, where `/dev/tty` does not do for it: on macOS nobody can
/// wait for keys there (`poll` says that it is not open).
#[cfg(target_os = "macos")]
fn controlling_device() -> Option<String> {
    let device = super::tree::controlling_terminal()?;
    // SAFETY: the name is copied out of the function's own memory before anyone can call it again: this is called
    // before other threads are begun.
    let name = unsafe {
        let name = libc::devname(device, libc::S_IFCHR);
        if name.is_null() {
            return None;
        }
        std::ffi::CStr::from_ptr(name).to_str().ok()?
    };
    Some(format!("/dev/{name}"))
}

#[cfg(not(target_os = "macos"))]
fn controlling_device() -> Option<String> {
    None
}

/// Whether our process group is in the foreground of this terminal, or it is not one that has a foreground for us.
pub fn is_foreground(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).map_or(true, |group| group == getpgrp())
}

/// Whether two descriptors are of one and the same device.
pub fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => {
            (one.st_dev, one.st_rdev, one.st_ino) == (other.st_dev, other.st_rdev, other.st_ino)
        }
        _ => false,
    }
}

/// Does something to the terminal that would stop a process that is not in its foreground.
fn without_stopping<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised by `sigemptyset` before they are used; the mask is this thread's own and is put
    // back right after.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
        let result = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        result
    }
}
