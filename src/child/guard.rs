//! The guard: a process between this program and the child, made by `fork` alone.
//!
//! It is the child's parent and, on Linux, the one that orphans of the child's tree come to, so nothing that the child
//! started can leave its sight, whatever session it moves to; on macOS it listens for what is made ([`tree`]). It tells
//! what becomes of the child, and when this program vanishes, by SIGKILL too, it ends all of it. On a pseudo-terminal it
//! leads the session, so that the child is a job in it that can be stopped and continued.
//!
//! It runs in a copy of a process that may have had several threads: it makes system calls and nothing else (see
//! signal-safety(7)); no allocation, no lock, no panic.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

use super::tree::{self, Forks};

/// What one of the child's first three descriptors is to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    /// As ours.
    Ours,
    /// Closed.
    Closed,
    /// A copy of this one.
    Copy(c_int),
}

/// All that the guard and the child need, made before the fork. Pointers and descriptors stay valid in the copy.
pub(super) struct Errand {
    pub argv: *const *const c_char,
    pub slots: [Slot; 3],
    /// The child's end of the pseudo-terminal.
    pub pty: Option<c_int>,
    /// Whether the child begins in the foreground of the pseudo-terminal.
    pub foreground: bool,
    /// Our terminal and its modes, to be put back if this program vanishes.
    pub terminal: Option<(c_int, libc::termios)>,
    /// The guard's end of the connection to this program.
    pub link: c_int,
    /// Where the child says why it could not be executed. Closed by a successful `exec`.
    pub report: c_int,
    pub null: c_int,
    /// The signals that were blocked when this program began.
    pub mask: libc::sigset_t,
    pub ignore_broken_pipes: bool,
}

/// News of the child, as they go over the link: the kind, and a number.
pub(super) mod news {
    /// The child's process number.
    pub const STARTED: u8 = b's';
    /// The child ended; the status word of `wait`.
    pub const ENDED: u8 = b'e';
    /// The child was stopped; the signal.
    pub const STOPPED: u8 = b't';
    /// The child goes on.
    pub const CONTINUED: u8 = b'c';
    /// Nothing that descends from the child is left.
    pub const GONE: u8 = b'g';
}

/// Wishes of this program, one byte each.
pub(super) mod wish {
    /// Put the child into the foreground of its pseudo-terminal.
    pub const FOREGROUND: u8 = b'F';
    /// Leave; what is still there is left alone.
    pub const LEAVE: u8 = b'L';
}

/// The length of one piece of news.
pub(super) const NEWS: usize = 8;

/// What the child says when it could not be executed: at which step, and the error number.
pub(super) mod step {
    /// Executing.
    pub const EXEC: i32 = 1;
    /// Making the process.
    pub const FORK: i32 = 2;
}

/// Where descriptors that are kept are put, so that all others can be closed.
const KEPT: c_int = 64;

/// How long what is left of a child is killed again and again, in steps of [`KILL_PAUSE`].
const KILL_ROUNDS: usize = 6000;
const KILL_PAUSE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// How often it is looked whether orphans that are not ours are still there, once the child has ended.
const STRAYS_PAUSE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Is the guard, until it is told to leave or this program is gone.
///
/// # Safety
/// Only to be called right after `fork`, in the new process, with every signal blocked, and with an errand whose
/// pointers are to memory that lives (the copy of) as long as this call.
pub(super) unsafe fn run(errand: &Errand) -> ! {
    // SAFETY: system calls on descriptors and pointers that the caller vouches for.
    unsafe {
        let link = libc::fcntl(errand.link, libc::F_DUPFD_CLOEXEC, KEPT);
        if errand.pty.is_some() {
            libc::setsid();
        } else {
            // A group of its own: who kills ours must not kill the guard.
            libc::setpgid(0, 0);
        }
        if let Some(pty) = errand.pty {
            libc::ioctl(pty, libc::TIOCSCTTY as _, 0);
        }
        #[cfg(target_os = "linux")]
        {
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_NAME, c"session-guard".as_ptr(), 0, 0, 0);
        }
        let guard = libc::getpid();
        let child = libc::fork();
        if child == 0 {
            become_child(errand, guard);
        }
        if child < 0 {
            report(errand.report, step::FORK);
            libc::_exit(1);
        }
        let forks = Forks::watch(child);
        // Both do it: who is late finds it done.
        libc::setpgid(child, child);
        if let (Some(pty), true) = (errand.pty, errand.foreground) {
            libc::tcsetpgrp(pty, child);
        }
        let pty = errand.pty.map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, KEPT));
        let terminal =
            errand.terminal.map(|(fd, modes)| (libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, KEPT), modes));
        for fd in 0..3 {
            libc::dup2(errand.null, fd);
        }
        let terminal_fd = terminal.map_or(-1, |(fd, _)| fd);
        close_others(&[link, pty.unwrap_or(-1), terminal_fd, forks.fd().unwrap_or(-1)]);
        Guard { link, pty, terminal, child, forks, has_ended: false, has_strays: false, is_alone: false }
            .watch()
    }
}

/// Becomes the child.
unsafe fn become_child(errand: &Errand, guard: libc::pid_t) -> ! {
    // SAFETY: as in `run`, whose only callee this is.
    unsafe {
        #[cfg(target_os = "linux")]
        {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0);
            if libc::getppid() != guard {
                libc::_exit(127);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = guard;
        libc::setpgid(0, 0);
        if let (Some(pty), true) = (errand.pty, errand.foreground) {
            libc::tcsetpgrp(pty, libc::getpid());
        }
        for (slot, fd) in errand.slots.into_iter().zip(0..) {
            match slot {
                Slot::Ours => {}
                Slot::Closed => {
                    libc::close(fd);
                }
                Slot::Copy(from) => {
                    libc::dup2(from, fd);
                }
            }
        }
        // Handlers of ours must not run in the child between here and `exec`, which would drop them anyway.
        for signal in 1..=64 {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            if libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0 {
                let mut action = action.assume_init();
                if action.sa_sigaction != libc::SIG_IGN && action.sa_sigaction != libc::SIG_DFL {
                    action.sa_sigaction = libc::SIG_DFL;
                    libc::sigaction(signal, &raw const action, std::ptr::null_mut());
                }
            }
        }
        libc::signal(libc::SIGPIPE, if errand.ignore_broken_pipes { libc::SIG_IGN } else { libc::SIG_DFL });
        libc::sigprocmask(libc::SIG_SETMASK, &raw const errand.mask, std::ptr::null_mut());
        libc::execvp(*errand.argv, errand.argv);
        report(errand.report, step::EXEC);
        libc::_exit(127);
    }
}

/// Says what failed and why: `errno` as it is now.
unsafe fn report(fd: c_int, step: i32) {
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&step.to_ne_bytes());
    bytes[4..].copy_from_slice(&error.to_ne_bytes());
    // SAFETY: the buffer is as long as said.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
}

/// Closes every descriptor but the first three and these: a pipe that the guard held open would never end.
unsafe fn close_others(kept: &[c_int; 4]) {
    // SAFETY: closes descriptors of this process, which uses none but those that are kept.
    unsafe {
        let mut kept = *kept;
        kept.sort_unstable();
        let mut from = 3;
        for fd in kept.into_iter().filter(|fd| *fd >= 3) {
            close_range(from, fd - 1);
            from = fd + 1;
        }
        close_range(from, c_int::MAX);
    }
}

unsafe fn close_range(from: c_int, to: c_int) {
    if from > to {
        return;
    }
    // SAFETY: as in `close_others`.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, from, to, 0) == 0 {
            return;
        }
        // Older kernels and other systems.
        let limit = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 65_536) as c_int;
        for fd in from..=to.min(limit) {
            libc::close(fd);
        }
    }
}

/// What is asked of `waitpid`. macOS does not tell who goes on, and may refuse the question.
const WAIT: c_int =
    libc::WNOHANG | libc::WUNTRACED | if cfg!(target_os = "macos") { 0 } else { libc::WCONTINUED };

extern "C" fn awake(_: c_int) {}

/// The guard at work.
struct Guard {
    link: c_int,
    pty: Option<c_int>,
    terminal: Option<(c_int, libc::termios)>,
    child: libc::pid_t,
    forks: Forks,
    has_ended: bool,
    /// Whether no child is left, but something of the tree that is not ours.
    has_strays: bool,
    is_alone: bool,
}

impl Guard {
    /// Waits for processes and wishes.
    unsafe fn watch(mut self) -> ! {
        // SAFETY: system calls on this process's own descriptors and children; the sets are initialised before use.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = awake as *const () as usize;
            libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut());
            // SIGCHLD is let in only while waiting, so that none is missed.
            let mut waiting: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut waiting);
            libc::sigdelset(&raw mut waiting, libc::SIGCHLD);
            self.tell(news::STARTED, self.child);
            loop {
                self.reap();
                let mut readable: libc::fd_set = std::mem::zeroed();
                libc::FD_ZERO(&raw mut readable);
                libc::FD_SET(self.link, &raw mut readable);
                let pause = STRAYS_PAUSE;
                let made = self.forks.fd().unwrap_or(self.link);
                libc::FD_SET(made, &raw mut readable);
                let ready = libc::pselect(
                    self.link.max(made) + 1,
                    &raw mut readable,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    if self.has_strays { &raw const pause } else { std::ptr::null() },
                    &raw const waiting,
                );
                if ready <= 0 {
                    continue;
                }
                self.forks.take();
                if !libc::FD_ISSET(self.link, &raw const readable) {
                    continue;
                }
                let mut byte = 0_u8;
                match libc::read(self.link, (&raw mut byte).cast(), 1) {
                    1 if byte == wish::FOREGROUND => {
                        if let Some(pty) = self.pty {
                            libc::tcsetpgrp(pty, self.child);
                        }
                    }
                    1 if byte == wish::LEAVE => libc::_exit(0),
                    1 => {}
                    _ => self.end_all(),
                }
            }
        }
    }

    /// Takes in who ended or stopped, and tells what concerns the child.
    unsafe fn reap(&mut self) {
        // SAFETY: waits for this process's own children.
        unsafe {
            loop {
                let mut status = 0;
                let pid = libc::waitpid(-1, &raw mut status, WAIT);
                if pid == -1 {
                    if !self.is_alone {
                        self.has_strays = tree::has_strays(libc::getpid());
                        self.is_alone = !self.has_strays;
                        if self.is_alone {
                            self.tell(news::GONE, 0);
                        }
                    }
                    return;
                }
                if pid == 0 {
                    return;
                }
                if pid != self.child || self.has_ended {
                    continue;
                }
                if libc::WIFSTOPPED(status) {
                    self.tell(news::STOPPED, libc::WSTOPSIG(status));
                } else if libc::WIFCONTINUED(status) {
                    self.tell(news::CONTINUED, 0);
                } else {
                    self.has_ended = true;
                    let pty = self.pty.take();
                    if let Some(pty) = pty {
                        // The end of the session hangs up on its foreground: what was left behind is not to be in it.
                        libc::tcsetpgrp(pty, libc::getpgrp());
                    }
                    self.tell(news::ENDED, status);
                    if let Some(pty) = pty {
                        // On macOS this may wait until all that was written is read.
                        libc::close(pty);
                    }
                }
            }
        }
    }

    unsafe fn tell(&self, kind: u8, number: i32) {
        let mut bytes = [0; NEWS];
        bytes[0] = kind;
        bytes[4..].copy_from_slice(&number.to_ne_bytes());
        // SAFETY: the buffer is as long as said. SIGPIPE is blocked.
        unsafe { libc::write(self.link, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// This program is gone: nothing of the child may stay.
    unsafe fn end_all(mut self) -> ! {
        // SAFETY: signals to this process's own descendants and the child's group.
        unsafe {
            if let Some((fd, modes)) = &self.terminal {
                libc::tcsetattr(*fd, libc::TCSANOW, modes);
            }
            for _ in 0..KILL_ROUNDS {
                if !self.has_ended {
                    libc::kill(-self.child, libc::SIGKILL);
                }
                self.forks.take();
                self.forks.look();
                tree::for_each_descendant(libc::getpid(), &mut |process| {
                    libc::kill(process.pid, libc::SIGKILL);
                });
                self.reap();
                if self.is_alone {
                    break;
                }
                let pause = KILL_PAUSE;
                libc::nanosleep(&raw const pause, std::ptr::null_mut());
            }
            libc::_exit(0);
        }
    }
}
