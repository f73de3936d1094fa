//! What passes through: the child's output to ours, keys to the child. Nothing here waits for anything else.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::input::{Input, Post, Stream};
use super::watcher::Feed;
use crate::child::caught::without_signals;
use crate::sink::output::Patient;

/// How much is read at a time, in bytes: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How long after the end of the child something must be silent to be taken for all.
const QUIET: Duration = Duration::from_millis(250);

/// How long what the child left behind is listened to, at most.
const SETTLE: Duration = Duration::from_secs(2);

/// Which of our descriptors a stream of the child is passed on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl To {
    /// Returns the descriptor.
    pub fn fd(self) -> BorrowedFd<'static> {
        match self {
            Self::Stdout => rustix::stdio::stdout(),
            Self::Stderr => rustix::stdio::stderr(),
        }
    }
}

/// A stream of the child that is passed on by a thread of its own, from when it is made.
#[derive(Debug)]
pub struct Relay {
    /// Closed when the child has ended.
    settle: Option<UnixStream>,
}

impl Relay {
    /// Begins to pass on `source`. Every chunk is written to `to` before anything else sees it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(source: OwnedFd, to: To, stream: Stream, feed: Feed, post: Post) -> io::Result<Self> {
        let (settle, settled) = UnixStream::pair()?;
        without_signals(|| {
            thread::Builder::new().name(stream.name().to_owned()).spawn(move || {
                pass_on(&source, to, stream, &feed, &post, &settled);
                // Closed before the news is told: what the child writes from here on fails as it should.
                drop(source);
                post.send(Input::OutputEnded(stream));
            })
        })?;
        Ok(Self { settle: Some(settle) })
    }

    /// Says that the child has ended: what it wrote is passed on, and what others write who hold the stream open is
    /// waited for only shortly.
    pub fn settle(&mut self) {
        self.settle = None;
    }
}

fn pass_on(source: &OwnedFd, to: To, stream: Stream, feed: &Feed, post: &Post, settled: &UnixStream) {
    let mut writer = match to {
        To::Stdout => Patient::stdout(),
        To::Stderr => Patient::stderr(),
    };
    let mut chunk = vec![0; CHUNK];
    let mut leave_at: Option<Instant> = None;
    loop {
        let wait = leave_at.map(|at| at.saturating_duration_since(Instant::now()).min(QUIET));
        let (readable, over) = match wait_for(source, PollFlags::IN, settled, leave_at.is_none(), wait) {
            Ok(ready) => ready,
            Err(_) => return,
        };
        if !readable {
            if over {
                leave_at = Some(Instant::now() + SETTLE);
            } else if leave_at.is_some() {
                return;
            }
            continue;
        }
        let bytes = match rustix::io::read(source, &mut chunk) {
            Ok(0) => return,
            Ok(length) => &chunk[..length],
            Err(Errno::INTR | Errno::AGAIN) => continue,
            // That is how a pseudo-terminal says that nobody has it open any more.
            Err(_) => return,
        };
        match writer.write_all(bytes) {
            Ok(()) => {}
            Err(error) if is_closed(&error) => {
                post.send(Input::Unread(stream));
                return;
            }
            // Nobody is helped if the child dies of a disk that is full: what it says is lost, and that is told.
            Err(error) => post.send(Input::PassThroughFailed(stream, error)),
        }
        feed.offer(stream, bytes);
        post.sign(Input::Output(stream));
        if leave_at.is_some_and(|at| Instant::now() >= at) {
            return;
        }
    }
}

/// Whether whoever read is gone: a pipe without a reader, a terminal that hung up.
fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// Waits for a descriptor, and for the other end of `control` if that is heeded. Returns which of them are ready.
fn wait_for(
    fd: impl AsFd,
    flags: PollFlags,
    control: &UnixStream,
    heeded: bool,
    wait: Option<Duration>,
) -> io::Result<(bool, bool)> {
    let timeout = wait.map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    let mut fds = [PollFd::new(&fd, flags), PollFd::new(control, PollFlags::IN)];
    let count = if heeded { 2 } else { 1 };
    match poll(&mut fds[..count], timeout.as_ref()) {
        Ok(_) => Ok((!fds[0].revents().is_empty(), heeded && !fds[1].revents().is_empty())),
        Err(Errno::INTR) => Ok((false, false)),
        Err(error) => Err(error.into()),
    }
}

/// Keys of our terminal on their way to the child, as long as it has the terminal.
#[derive(Debug)]
pub struct Keyboard {
    control: UnixStream,
}

const ON: u8 = b'1';
const OFF: u8 = b'0';

impl Keyboard {
    /// Makes the way from the terminal to the pseudo-terminal; it is not open yet.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(terminal: OwnedFd, pty: OwnedFd, post: Post) -> io::Result<Self> {
        let (control, controlled) = UnixStream::pair()?;
        without_signals(|| {
            thread::Builder::new()
                .name("keyboard".to_owned())
                .spawn(move || carry_keys(&terminal, &pty, &controlled, &post))
        })?;
        Ok(Self { control })
    }

    /// Opens or closes the way.
    pub fn set(&self, open: bool) {
        let _ = (&self.control).write_all(&[if open { ON } else { OFF }]);
    }
}

fn carry_keys(terminal: &OwnedFd, pty: &OwnedFd, control: &UnixStream, post: &Post) {
    let mut is_open = false;
    let mut keys = [0; 4096];
    loop {
        let ready = if is_open {
            wait_for(terminal, PollFlags::IN, control, true, None)
        } else {
            wait_for(control, PollFlags::IN, control, true, None).map(|_| (false, true))
        };
        let Ok((has_keys, is_told)) = ready else { return };
        if is_told {
            let mut byte = [0];
            match (&*control).read(&mut byte) {
                Ok(1) => is_open = byte[0] == ON,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
            continue;
        }
        if !has_keys {
            continue;
        }
        match rustix::io::read(terminal, &mut keys) {
            // A terminal that hung up: the child has its own way to notice.
            Ok(0) => return,
            Ok(count) => {
                post.sign(Input::Typed);
                if write_keys(pty, &keys[..count]).is_err() {
                    return;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

pub(super) fn write_keys(pty: &OwnedFd, mut keys: &[u8]) -> io::Result<()> {
    while !keys.is_empty() {
        match rustix::io::write(pty, keys) {
            Ok(count) => keys = &keys[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(pty, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
