//! A place to write events to, flushed as its reader needs it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

/// An open output. A person or a program at the other end gets each line at once; a file gets blocks.
pub struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    waits: bool,
    terminal: bool,
    dirty: bool,
}

/// Writes to a descriptor, and waits for room where there is none: another program that shares a terminal or a pipe
/// may have made it non-blocking, which is no reason to give up.
pub struct Patient<F>(F);

impl Patient<BorrowedFd<'static>> {
    /// Returns standard output, unbuffered.
    pub fn stdout() -> Self {
        Self(rustix::stdio::stdout())
    }

    /// Returns standard error, unbuffered.
    pub fn stderr() -> Self {
        Self(rustix::stdio::stderr())
    }
}

impl<F: AsFd> Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a failed write only says that the reader had enough: it closed the pipe, or hung up on a socket.
pub fn is_farewell(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// How much is collected for a file, in bytes.
const BLOCK: usize = 64 * 1024;

impl Output {
    /// Returns standard output.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let (waits, terminal) = (is_waited_for(&stdout), stdout.is_terminal());
        Self::over(Box::new(Patient::stdout()), waits, terminal)
    }

    /// Returns standard error.
    pub fn stderr() -> Self {
        let stderr = io::stderr();
        let (waits, terminal) = (is_waited_for(&stderr), stderr.is_terminal());
        Self::over(Box::new(Patient::stderr()), waits, terminal)
    }

    /// Opens a file to append to; creates it for its owner alone (mode 0600).
    ///
    /// # Errors
    /// The file cannot be opened or created.
    pub fn append(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self::file(file))
    }

    /// Opens a named pipe without waiting for its reader: what is written first waits in the pipe. That it is open for
    /// reading too is what makes the opening return at once; it also means that a reader who leaves is not noticed.
    ///
    /// # Errors
    /// The pipe cannot be opened.
    pub fn pipe(path: &Path) -> io::Result<Self> {
        Ok(Self::file(OpenOptions::new().read(true).write(true).open(path)?))
    }

    /// Opens a file descriptor that this process has inherited.
    ///
    /// # Errors
    /// There is no such descriptor, or it is not open for writing.
    pub fn descriptor(number: i32) -> io::Result<Self> {
        // Opened anew, a file gets its own position and is appended to, whoever else writes to it. What cannot be
        // opened anew (a socket, a file of another user) is duplicated.
        let opened = OpenOptions::new().append(true).open(format!("/dev/fd/{number}"));
        match opened {
            Ok(file) => {
                // Where opening it is duplicating it, being asked for at once may go unheard.
                rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC)?;
                Ok(Self::file(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(error) => match duplicate(number) {
                Ok(descriptor) if is_for_writing(&descriptor) => Ok(Self::file(descriptor.into())),
                _ => Err(error),
            },
        }
    }

    fn file(file: File) -> Self {
        let (waits, terminal) = (is_waited_for(&file), file.is_terminal());
        Self::over(Box::new(Patient(file)), waits, terminal)
    }

    fn over(writer: Box<dyn Write + Send>, waits: bool, terminal: bool) -> Self {
        Self { writer: BufWriter::with_capacity(BLOCK, writer), waits, terminal, dirty: false }
    }

    /// Whether a terminal is at the other end.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes whole lines, and lets go of them at once if somebody waits.
    ///
    /// # Errors
    /// The bytes cannot be written; some of them may have been.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.writer.write_all(lines)?;
        self.dirty = true;
        if self.waits { self.flush() } else { Ok(()) }
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// The bytes cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) { self.writer.flush() } else { Ok(()) }
    }

    /// Whether something is collected that was not written yet.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }
}

/// Duplicates a descriptor that this process has inherited, which nothing in it owns.
#[cfg(target_os = "linux")]
fn duplicate(number: i32) -> rustix::io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    // The one way to name a descriptor by its number that takes no `unsafe`: as one of any process, this one here.
    pidfd_getfd(pidfd_open(getpid(), PidfdFlags::empty())?, number, PidfdGetfdFlags::empty())
}

/// Elsewhere the opening of `/dev/fd/N` duplicates already.
#[cfg(not(target_os = "linux"))]
fn duplicate(_: i32) -> rustix::io::Result<OwnedFd> {
    Err(Errno::NOTSUP)
}

fn is_for_writing(fd: &impl AsFd) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl};
    fcntl_getfl(fd).is_ok_and(|flags| flags.intersects(OFlags::WRONLY | OFlags::RDWR))
}

/// Whether somebody waits at the other end: anything but a regular file.
fn is_waited_for(fd: &impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_appended_to_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        for line in ["one\n", "two\n"] {
            let mut output = Output::append(&path).unwrap();
            output.write(line.as_bytes()).unwrap();
            assert!(output.is_dirty(), "nobody waits for a file");
            output.flush().unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_pipe_that_somebody_made_non_blocking_is_waited_for() {
        use std::io::Read;
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        for end in [&reader, &writer] {
            rustix::io::ioctl_fionbio(end, true).unwrap();
        }
        let text = vec![b'x'; 1 << 20];
        std::thread::scope(|scope| {
            scope.spawn(|| Patient(writer).write_all(&text).unwrap());
            let (mut reader, mut read, mut chunk) = (File::from(reader), 0, vec![0; 1 << 16]);
            while read < text.len() {
                match reader.read(&mut chunk) {
                    Ok(count) => read += count,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_descriptor_that_cannot_be_opened_anew_is_duplicated() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut output = Output::descriptor(writer.as_raw_fd()).unwrap();
        output.write(b"one\n").unwrap();
        drop((output, writer));
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "one\n", "told at once, and the end is told too");
        let error = Output::descriptor(1 << 20).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_device_says_so() {
        let mut output = Output::append(Path::new("/dev/full")).unwrap();
        let error = output.write(b"x\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
