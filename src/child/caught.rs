//! Signals to us, with who sent them, as bytes that can be waited for.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::inherited::is_ignored;

/// One signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// Whether it is for a key or a lost terminal: then our whole process group has got it.
    pub from_terminal: bool,
}

/// Where the handler writes to.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// How often we were continued.
static CONTINUED: AtomicU32 = AtomicU32::new(0);

/// Returns how often this process was continued since [`Signals::catch`].
pub fn times_continued() -> u32 {
    CONTINUED.load(Ordering::Relaxed)
}

extern "C" fn note(number: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid `info` to handlers with SA_SIGINFO; `write` may be called in a handler, and
    // `errno` is put back for what was interrupted.
    unsafe {
        let errno = errno_place();
        let before = *errno;
        let from_terminal = is_from_kernel(&*info);
        if number == libc::SIGCONT {
            CONTINUED.fetch_add(1, Ordering::Relaxed);
        }
        let bytes = [u8::try_from(number).unwrap_or(0), u8::from(from_terminal)];
        libc::write(PIPE.load(Ordering::Relaxed), bytes.as_ptr().cast(), bytes.len());
        *errno = before;
    }
}

#[cfg(target_os = "linux")]
fn is_from_kernel(info: &libc::siginfo_t) -> bool {
    info.si_code == libc::SI_KERNEL
}

/// Whether there is a terminal whose keys may send signals.
#[cfg(target_os = "macos")]
static HAS_TERMINAL: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Here a key's signal comes from who wrote the key to the other end of the terminal: a program of another session.
#[cfg(target_os = "macos")]
fn is_from_kernel(info: &libc::siginfo_t) -> bool {
    let may_be_a_key = matches!(info.si_signo, libc::SIGINT | libc::SIGQUIT | libc::SIGHUP);
    // SAFETY: `getsid` only returns a number, and may be called in a handler.
    let is_of_another_session = || unsafe { libc::getsid(info.si_pid) != libc::getsid(0) };
    info.si_pid == 0 || may_be_a_key && HAS_TERMINAL.load(Ordering::Relaxed) && is_of_another_session()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn is_from_kernel(info: &libc::siginfo_t) -> bool {
    info.si_pid == 0
}

#[cfg(target_os = "linux")]
unsafe fn errno_place() -> *mut libc::c_int {
    // SAFETY: has no conditions.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
unsafe fn errno_place() -> *mut libc::c_int {
    // SAFETY: has no conditions.
    unsafe { libc::__error() }
}

/// The signals that are caught from now on.
#[derive(Debug)]
pub struct Signals {
    read: UnixStream,
    _write: UnixStream,
}

impl Signals {
    /// Catches these signals, but for those that we were told to ignore: they stay ignored, by the child too. May be
    /// called once in the life of the process.
    ///
    /// # Errors
    /// No descriptors are left, or a signal cannot be caught.
    pub fn catch(numbers: &[i32]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        PIPE.store(write.as_raw_fd(), Ordering::Relaxed);
        #[cfg(target_os = "macos")]
        HAS_TERMINAL.store(std::fs::File::open("/dev/tty").is_ok(), Ordering::Relaxed);
        for number in numbers {
            if !is_ignored(*number) {
                handle(*number)?;
            }
        }
        Ok(Self { read, _write: write })
    }

    /// Waits for the next signal; `None` when none can come any more.
    pub fn wait(&mut self) -> Option<Signal> {
        let mut bytes = [0; 2];
        self.read.read_exact(&mut bytes).ok()?;
        Some(Signal { number: i32::from(bytes[0]), from_terminal: bytes[1] != 0 })
    }
}

fn handle(number: i32) -> io::Result<()> {
    // SAFETY: the struct is initialised before it is used, and the handler does only what handlers may.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(number, &raw const action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Stops our process group as a key of the terminal would, and returns when we are continued; at once if the kernel
/// does not stop groups that nobody could continue. To be called from the thread that takes the signals.
pub fn stop_group(number: i32) {
    // SAFETY: sets a disposition and signals our own group.
    unsafe {
        let ignored = is_ignored(number);
        libc::signal(number, libc::SIG_DFL);
        libc::kill(0, number);
        if ignored {
            libc::signal(number, libc::SIG_IGN);
        }
    }
    if number == libc::SIGTSTP {
        let _ = handle(number);
    }
}

/// Ends this process by a signal, so that its parent sees the truth, or with the status that stands for it where that
/// is not possible. No core of ours is written: it would hide that of the child.
pub fn end_by(number: i32) -> ! {
    // SAFETY: limits, dispositions and mask of our own process; the set is initialised before it is used.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(number, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(number);
        // The first process of a container, or a signal that ends nothing.
        libc::_exit(128 + number)
    }
}

/// Does something with all signals blocked. Threads that are begun meanwhile keep them blocked, so that signals come to
/// the thread that is meant to take them.
pub fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised before they are used, and the mask of this thread is put back.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let result = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        result
    }
}

/// Takes in children that nobody waits for, as the first process of a container must; `known` are left to those who do.
pub fn reap_strangers(known: &[i32]) {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let mut strangers = Vec::new();
    super::tree::for_each_descendant(me, &mut |process| {
        if process.zombie && process.parent == me && !known.contains(&process.pid) {
            strangers.push(process.pid);
        }
    });
    for pid in strangers {
        // SAFETY: waits for a child of ours that has ended; the status is not wanted.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}
