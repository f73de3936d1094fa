//! Notices SIGINT and SIGTERM, so that what is known can be written before leaving.
//!
//! The first one is noted and wakes whoever polls [`Signals::waker`]; the second ends the program at once,
//! as it would have without us.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Watches for signals that ask the program to stop.
#[derive(Debug)]
pub struct Signals {
    caught: Arc<AtomicUsize>,
    wake: UnixStream,
}

impl Signals {
    /// Begins to watch. Call it once: what it installs stays for the life of the process.
    pub fn watch() -> io::Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        let is_second = Arc::new(AtomicBool::new(false));
        let (wake, write_end) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            // They run in this order, so the waker is readable only once the signal can be named.
            flag::register_conditional_default(signal, Arc::clone(&is_second))?;
            flag::register(signal, Arc::clone(&is_second))?;
            flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
            low_level::pipe::register(signal, write_end.try_clone()?)?;
        }
        Ok(Self { caught, wake })
    }

    /// Returns the number of the signal that came, if one did. Cheap enough to ask between two blocks.
    pub fn caught(&self) -> Option<i32> {
        i32::try_from(self.caught.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// Returns a descriptor that is readable from the first signal on, for `source::stdin::Stdin`.
    pub fn waker(&self) -> io::Result<OwnedFd> {
        Ok(self.wake.try_clone()?.into())
    }
}

/// Ends the process by this signal, so that the shell and other parents see the truth. Everything worth
/// keeping must have been written before.
pub fn reraise(signal: i32) -> ! {
    let _ = low_level::emulate_default_handler(signal);
    // Only a signal whose default is to be ignored gets here.
    process::exit(128 + signal)
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn the_first_signal_is_noted_and_wakes() {
        let signals = Signals::watch().unwrap();
        assert_eq!(signals.caught(), None);
        low_level::raise(SIGTERM).unwrap();
        assert_eq!(signals.caught(), Some(SIGTERM));
        let waker = signals.waker().unwrap();
        let mut fds = [PollFd::new(&waker, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap(), 1);
    }
}
