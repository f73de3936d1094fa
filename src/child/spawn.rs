//! Starts a child under a guard.

use std::ffi::{CString, OsString, c_char};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use std::{fmt, ptr, thread};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use super::guard::{self, Errand, NEWS, Slot, news, step, wish};
use super::pty::Pty;
use super::tree::{self, Process};
use super::tty::Terminal;
use super::{Exit, inherited};

/// Where the child reads.
#[derive(Debug)]
pub enum Input {
    /// What we were given ourselves: the very descriptor.
    Inherit,
    /// Nothing.
    Null,
    /// The pseudo-terminal.
    Pty,
}

/// Where the child writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// What we were given ourselves: the very descriptor, which nobody watches.
    Inherit,
    /// A pipe to us.
    Pipe,
    /// The pseudo-terminal.
    Pty,
}

/// What to start, and how.
#[derive(Debug)]
pub struct Command {
    /// The program and its arguments. The program is looked for as a shell does.
    pub argv: Vec<OsString>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// The pseudo-terminal. With one the child gets a session of its own, which it controls.
    pub pty: Option<Pty>,
    /// Whether the child begins in the foreground of the pseudo-terminal. Otherwise it is stopped when it first asks
    /// for the keyboard, and [`Link::give_foreground`] lets it go on.
    pub foreground: bool,
}

/// Why nothing was started.
#[derive(Debug)]
pub struct SpawnError {
    /// What failed.
    pub kind: SpawnErrorKind,
    /// Why.
    pub cause: io::Error,
}

/// What failed in starting a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnErrorKind {
    /// There is no such program.
    NotFound,
    /// It is there and cannot be executed.
    NotExecutable,
    /// Pipes, processes, memory: not the fault of the command.
    System,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "start the command: {}", self.cause)
    }
}

impl std::error::Error for SpawnError {}

impl SpawnError {
    fn system(cause: impl Into<io::Error>) -> Self {
        Self { kind: SpawnErrorKind::System, cause: cause.into() }
    }
}

/// What the guard tells of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The child ended. What it started may still run.
    Ended(Exit),
    /// The child was stopped by the signal of this number.
    Stopped(i32),
    /// The child goes on.
    Continued,
    /// Nothing that descends from the child is left. Where processes cannot be looked at: the child has ended.
    Gone,
}

/// A child that was started, and our ends of what connects us to it.
#[derive(Debug)]
pub struct Child {
    /// The child itself; its process group has the same number. It may have ended before it could be looked at; then
    /// its birth is 0, and it is not signalled.
    pub process: Process,
    /// The guard, from which the child's whole tree descends.
    pub guard: Pid,
    /// The connection to the guard.
    pub link: Link,
    /// Our end of the child's standard output, if it is a pipe.
    pub stdout: Option<OwnedFd>,
    /// Our end of the child's standard error, if it is a pipe.
    pub stderr: Option<OwnedFd>,
    /// Our end of the pseudo-terminal.
    pub pty: Option<OwnedFd>,
}

/// The connection to the guard. When every copy of it is closed without [`Self::leave`], the guard ends the whole tree.
#[derive(Debug)]
pub struct Link(UnixStream);

impl Link {
    /// Waits for the next news; `None`: the guard is gone.
    pub fn wait(&mut self) -> Option<News> {
        loop {
            let (kind, number) = self.read()?;
            return Some(match kind {
                news::ENDED => News::Ended(Exit::from_wait(number)),
                news::STOPPED => News::Stopped(number),
                news::CONTINUED => News::Continued,
                news::GONE => News::Gone,
                _ => continue,
            });
        }
    }

    fn read(&mut self) -> Option<(u8, i32)> {
        let mut bytes = [0; NEWS];
        self.0.read_exact(&mut bytes).ok()?;
        Some((bytes[0], i32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])))
    }

    /// Puts the child into the foreground of its pseudo-terminal.
    pub fn give_foreground(&self) {
        let _ = (&self.0).write_all(&[wish::FOREGROUND]);
    }

    /// Lets the guard leave. What is still there of the tree is left alone.
    pub fn leave(&self) {
        let _ = (&self.0).write_all(&[wish::LEAVE]);
    }

    /// Returns another handle of the same connection.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

/// Starts a child. Call it from a thread that lives as long as the child is to.
///
/// # Errors
/// The command cannot be executed, or the system has no process or pipe left; nothing was started then.
pub fn spawn(command: Command, terminal: Option<&Terminal>) -> Result<Child, SpawnError> {
    let texts = Texts::new(&command).map_err(SpawnError::system)?;
    let null = File::options().read(true).write(true).open("/dev/null").map_err(SpawnError::system)?;
    let (ours, theirs) = UnixStream::pair().map_err(SpawnError::system)?;
    let (report, reported) = pipe().map_err(SpawnError::system)?;
    tree::begin().map_err(SpawnError::system)?;
    let slave = command.pty.as_ref().map(|pty| pty.slave.as_raw_fd());
    let stdin = match &command.stdin {
        Input::Inherit if inherited::was_closed(0) => Slot::Closed,
        Input::Inherit => Slot::Ours,
        Input::Null => Slot::Copy(null.as_raw_fd()),
        Input::Pty => slave.map_or(Slot::Ours, Slot::Copy),
    };
    let output = |output: Output, number: u8| -> io::Result<(Slot, Option<(OwnedFd, OwnedFd)>)> {
        Ok(match output {
            Output::Inherit if inherited::was_closed(number) => (Slot::Closed, None),
            Output::Inherit => (Slot::Ours, None),
            Output::Pty => (slave.map_or(Slot::Ours, Slot::Copy), None),
            Output::Pipe => {
                let (read, write) = pipe()?;
                (Slot::Copy(write.as_raw_fd()), Some((read, write)))
            }
        })
    };
    let (stdout, stdout_pipe) = output(command.stdout, 1).map_err(SpawnError::system)?;
    let (stderr, stderr_pipe) = output(command.stderr, 2).map_err(SpawnError::system)?;

    let mut errand = Errand {
        argv: texts.argv.as_ptr(),
        slots: [stdin, stdout, stderr],
        pty: slave,
        foreground: command.foreground,
        terminal: terminal.map(Terminal::bare),
        link: theirs.as_raw_fd(),
        report: reported.as_raw_fd(),
        null: null.as_raw_fd(),
        mask: no_signals(),
        ignore_broken_pipes: inherited::ignored_broken_pipes(),
    };
    // SAFETY: the sets are initialised by `sigfillset` and by the call that fills in the old mask. In the new process,
    // which has all signals blocked, `guard::run` never returns, and what `errand` points to was copied with it.
    let guard = unsafe {
        let mut all = no_signals();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut errand.mask);
        let pid = libc::fork();
        if pid == 0 {
            guard::run(&errand);
        }
        let failed = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const errand.mask, ptr::null_mut());
        if pid < 0 {
            return Err(SpawnError::system(failed));
        }
        pid
    };
    drop((theirs, reported));
    let guard = Pid::from_raw(guard).ok_or_else(|| SpawnError::system(io::ErrorKind::InvalidData))?;
    let mut link = Link(ours);
    if let Some(error) = failure(report) {
        link.leave();
        reap(guard);
        return Err(error);
    }
    let started = loop {
        match link.read() {
            Some((news::STARTED, pid)) => break pid,
            Some(_) => {}
            None => {
                reap(guard);
                return Err(SpawnError::system(io::ErrorKind::UnexpectedEof));
            }
        }
    };
    Ok(Child {
        process: tree::read(started).unwrap_or_else(|| Process::unseen(started)),
        guard,
        link,
        stdout: stdout_pipe.map(|(read, _)| read),
        stderr: stderr_pipe.map(|(read, _)| read),
        pty: command.pty.map(|pty| pty.master),
    })
}

/// How long a guard is waited for that macOS keeps from ending: until somebody has read what is written to its terminal.
const REAP_LIMIT: Duration = Duration::from_secs(1);

/// Waits for a guard that was told to leave.
pub fn reap(guard: Pid) {
    let wait = |options| loop {
        match waitpid(Some(guard), options) {
            Err(Errno::INTR) => {}
            told => break told,
        }
    };
    if !cfg!(target_os = "macos") {
        let _ = wait(WaitOptions::empty());
        return;
    }
    let end = Instant::now() + REAP_LIMIT;
    while matches!(wait(WaitOptions::NOHANG), Ok(None)) && Instant::now() < end {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Ends a guard that does not leave, and with it nothing else: its children come to us.
pub fn kill_guard(guard: Pid) {
    let _ = rustix::process::kill_process(guard, Signal::KILL);
    reap(guard);
}

/// Waits until the child was executed, or says why it was not.
fn failure(report: OwnedFd) -> Option<SpawnError> {
    let mut bytes = [0; 8];
    File::from(report).read_exact(&mut bytes).ok()?;
    let number = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let cause = io::Error::from_raw_os_error(number(4));
    let kind = match number(0) {
        step::EXEC if number(4) == libc::ENOENT => SpawnErrorKind::NotFound,
        step::EXEC => SpawnErrorKind::NotExecutable,
        _ => SpawnErrorKind::System,
    };
    Some(SpawnError { kind, cause })
}

/// Makes a pipe that children do not inherit.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: `sigemptyset` initialises the set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        set
    }
}

/// The texts of a command as `exec` wants them.
struct Texts {
    argv: Vec<*const c_char>,
    /// What the pointers are to.
    _held: Vec<CString>,
}

impl Texts {
    fn new(command: &Command) -> io::Result<Self> {
        let mut held = Vec::new();
        let mut list = |texts: &mut dyn Iterator<Item = OsString>| -> io::Result<Vec<*const c_char>> {
            let mut pointers = Vec::new();
            for text in texts {
                let text = CString::new(text.as_bytes())?;
                // A string's own memory stays where it is when the string is moved.
                pointers.push(text.as_ptr());
                held.push(text);
            }
            pointers.push(ptr::null());
            Ok(pointers)
        };
        if command.argv.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command is given"));
        }
        let argv = list(&mut command.argv.iter().cloned())?;
        Ok(Self { argv, _held: held })
    }
}

/// Marks a descriptor that a shell opened for us as not for the child.
pub fn keep_from_child(fd: i32) -> io::Result<()> {
    // SAFETY: the descriptor is only borrowed for the call; the error of one that is not open is returned.
    let borrowed = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) });
    rustix::io::fcntl_setfd(borrowed.as_fd(), rustix::io::FdFlags::CLOEXEC)?;
    Ok(())
}
