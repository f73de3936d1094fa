//! A pseudo-terminal for the child, as large as ours and in the same modes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, Winsize, tcgetattr, tcgetpgrp, tcsetattr, tcsetwinsize,
};

/// Both ends of a new pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// Our end.
    pub master: OwnedFd,
    /// The child's end.
    pub slave: OwnedFd,
}

impl Pty {
    /// Opens a pseudo-terminal with these modes and this size.
    ///
    /// # Errors
    /// The system has none left, or gives none.
    pub fn open(modes: Option<&Termios>, size: Option<Winsize>) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        // Not every system can ask for it at once. Children are made by this thread alone, so none is in between.
        rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(path.as_c_str(), flags, Mode::empty())?;
        if let Some(modes) = modes {
            tcsetattr(&slave, OptionalActions::Now, modes)?;
        }
        if let Some(size) = size {
            tcsetwinsize(&slave, size)?;
        }
        Ok(Self { master, slave })
    }
}

/// Says how large the terminal is now. The kernel tells the foreground group of the pseudo-terminal.
///
/// # Errors
/// The pseudo-terminal is gone.
pub fn resize(master: impl AsFd, size: Winsize) -> io::Result<()> {
    Ok(tcsetwinsize(master, size)?)
}

/// Sets whether the pseudo-terminal turns line ends into those of a terminal. While our own terminal does, it must not.
pub fn set_output_processing(pty: impl AsFd, on: bool) {
    if let Ok(mut modes) = tcgetattr(&pty)
        // On macOS, setting modes from our end throws away what was written and not read yet.
        && modes.output_modes.contains(OutputModes::OPOST) != on
    {
        modes.output_modes.set(OutputModes::OPOST, on);
        let _ = tcsetattr(&pty, OptionalActions::Now, &modes);
    }
}

/// Returns the process group that is in the foreground of the pseudo-terminal.
pub fn foreground(master: impl AsFd) -> Option<i32> {
    tcgetpgrp(master).ok().map(|group| group.as_raw_nonzero().get())
}
