//! Reads what may come later: standard input, named pipes.
//!
//! The caller waits with [`Stdin::wait`], so that a deadline or a Unix signal is noticed while nothing comes,
//! and reads when told to. It does not know where signals come from: whoever catches them makes the
//! descriptor given as `waker` readable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, FileType, OFlags, access, fstat};
use rustix::io::Errno;

/// Why [`Stdin::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// There is something to read, or the end has come: [`Stdin::read`] does not block.
    Data,
    /// The time is over and nothing came.
    Timeout,
    /// The waker is readable. Comes before data, and again at each call until the waker is set aside.
    Signal,
}

/// A stream that can be waited for.
#[derive(Debug)]
pub struct Stdin {
    input: Source,
    waker: Option<OwnedFd>,
}

#[derive(Debug)]
enum Source {
    Standard,
    Opened(OwnedFd),
}

impl Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Standard => rustix::stdio::stdin(),
            Self::Opened(fd) => fd.as_fd(),
        }
    }
}

impl Stdin {
    /// Returns standard input. `waker` is a descriptor that becomes readable when waiting must stop.
    pub fn new(waker: Option<OwnedFd>) -> Self {
        let carried = if HIDES_THE_END && is_named_pipe(rustix::stdio::stdin()) {
            let stdin = rustix::stdio::stdin().try_clone_to_owned();
            stdin.and_then(|stdin| carry(|| Ok(File::from(stdin)))).ok()
        } else {
            None
        };
        Self { input: carried.map_or(Source::Standard, Source::Opened), waker }
    }

    /// Opens a named pipe (or another special file) without waiting for its writer.
    pub fn open(path: &Path, waker: Option<OwnedFd>) -> io::Result<Self> {
        if HIDES_THE_END && fs::metadata(path)?.file_type().is_fifo() {
            return Ok(Self { input: Source::Opened(open_named_pipe(path)?), waker });
        }
        let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
        Ok(Self { input: Source::Opened(file.into()), waker })
    }

    /// Waits until there is something to read, the waker is readable, or this much time has passed (`None`:
    /// for as long as it takes; zero: only looks).
    pub fn wait(&self, time: Option<Duration>) -> io::Result<Ready> {
        let until = time.and_then(|time| Instant::now().checked_add(time));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let input = PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN);
            let ready = match &self.waker {
                Some(waker) => {
                    let mut fds = [PollFd::new(waker, PollFlags::IN), input];
                    poll(&mut fds, timeout.as_ref()).map(|_| (!fds[0].revents().is_empty(), fds[1].revents()))
                }
                None => {
                    let mut fds = [input];
                    poll(&mut fds, timeout.as_ref()).map(|_| (false, fds[0].revents()))
                }
            };
            match ready {
                Ok((true, _)) => return Ok(Ready::Signal),
                // An error or a hang-up is for `read` to find out.
                Ok((_, input)) if !input.is_empty() => return Ok(Ready::Data),
                Ok(_) if left.is_some_and(|left| left.is_zero()) => return Ok(Ready::Timeout),
                Ok(_) => {}
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Stops heeding the waker: after the first signal the rest of the stream may still be wanted.
    pub fn ignore_waker(&mut self) {
        self.waker = None;
    }

    /// Reads what is there into `buf` and returns how many bytes; 0 at the end. Blocks if nothing is there.
    pub fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(self.input.as_fd(), &mut *buf) {
                Ok(n) => return Ok(n),
                Err(Errno::INTR) => {}
                // Another process that shares the stream may have made it non-blocking.
                Err(Errno::AGAIN) => self.wait_for_input()?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait_for_input(&self) -> io::Result<()> {
        let mut fds = [PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether waiting for a named pipe tells of what comes and never of its end: `poll` and kqueue of macOS do not say
/// that the last writer has left.
const HIDES_THE_END: bool = cfg!(target_os = "macos");

/// How often one that somebody has made non-blocking is read from there.
const RETRY: Duration = Duration::from_millis(20);

/// Whether this is a pipe with a name; those without one lie on no device on macOS.
fn is_named_pipe(fd: impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && stat.st_dev != 0)
}

/// Opens a named pipe whose end can be waited for. Its writer is not waited for.
fn open_named_pipe(path: &Path) -> io::Result<OwnedFd> {
    access(path, Access::READ_OK)?;
    let path = PathBuf::from(path);
    carry(move || File::open(path))
}

/// Reads what this gives, on a thread of its own, into a pipe, which can be waited for.
fn carry(open: impl FnOnce() -> io::Result<File> + Send + 'static) -> io::Result<OwnedFd> {
    let (reader, mut writer) = io::pipe()?;
    thread::Builder::new().name("named pipe".to_owned()).spawn(move || {
        let Ok(mut from) = open() else { return };
        let mut chunk = [0; 16 * 1024];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return,
                // A reader that is gone does not want more.
                Ok(count) if writer.write_all(&chunk[..count]).is_err() => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(_) => return,
            }
        }
    })?;
    Ok(reader.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn stream() -> (UnixStream, UnixStream, Stdin) {
        let (writer, reader) = UnixStream::pair().unwrap();
        let (wake, waker) = UnixStream::pair().unwrap();
        (writer, wake, Stdin { input: Source::Opened(reader.into()), waker: Some(waker.into()) })
    }

    #[test]
    fn waits_for_data_then_the_end() {
        let (mut writer, _wake, mut stdin) = stream();
        assert_eq!(stdin.wait(Some(Duration::ZERO)).unwrap(), Ready::Timeout);
        writer.write_all(b"abc").unwrap();
        assert_eq!(stdin.wait(None).unwrap(), Ready::Data);
        let mut buf = [0; 8];
        assert_eq!(stdin.read(&mut buf).unwrap(), 3);
        assert_eq!(stdin.wait(Some(Duration::from_millis(1))).unwrap(), Ready::Timeout);
        drop(writer);
        assert_eq!(stdin.wait(None).unwrap(), Ready::Data);
        assert_eq!(stdin.read(&mut buf).unwrap(), 0);
    }

    #[test]
    fn a_signal_comes_before_data_and_stays() {
        let (mut writer, mut wake, mut stdin) = stream();
        writer.write_all(b"abc").unwrap();
        wake.write_all(b"!").unwrap();
        assert_eq!(stdin.wait(None).unwrap(), Ready::Signal);
        assert_eq!(stdin.wait(None).unwrap(), Ready::Signal);
        stdin.ignore_waker();
        assert_eq!(stdin.wait(None).unwrap(), Ready::Data);
    }

    fn named_pipe(dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    #[test]
    fn a_named_pipe_without_a_writer_can_be_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = named_pipe(&dir);
        tells_of_data_and_of_the_end(&path, Stdin::open(&path, None).unwrap());
    }

    #[test]
    fn so_it_can_where_the_system_hides_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = named_pipe(&dir);
        let input = Source::Opened(open_named_pipe(&path).unwrap());
        tells_of_data_and_of_the_end(&path, Stdin { input, waker: None });
        assert_eq!(open_named_pipe(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    fn tells_of_data_and_of_the_end(path: &Path, mut stdin: Stdin) {
        assert_eq!(stdin.wait(Some(Duration::ZERO)).unwrap(), Ready::Timeout);
        let mut writer = OpenOptions::new().write(true).open(path).unwrap();
        writer.write_all(b"abc").unwrap();
        drop(writer);
        let mut buf = [0; 8];
        assert_eq!(stdin.wait(None).unwrap(), Ready::Data);
        assert_eq!(stdin.read(&mut buf).unwrap(), 3);
        assert_eq!(stdin.wait(None).unwrap(), Ready::Data);
        assert_eq!(stdin.read(&mut buf).unwrap(), 0);
    }
}
