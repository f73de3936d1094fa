//! Standard input of an agent that may be started more than once: what came on it is kept, so that a restart can have it
//! again, and what was not meant for the agent does not keep it waiting.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, SeekFrom, fstat, seek};

use super::attempt::Stdin;
use crate::profile;

/// How long a first byte is waited for, as Claude Code does itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest input that is kept, in bytes; what is longer is given to the first attempt alone.
const LIMIT: u64 = 64 << 20;

/// What our standard input is, and how it can be had again.
#[derive(Debug)]
pub enum Kept {
    /// A terminal: it is there as long as it is.
    Terminal,
    /// A file, from this offset on.
    File(u64),
    /// It was spooled to a file, which is our standard input now.
    Spooled,
    /// There is nothing on it.
    Nothing,
    /// Nothing came on it in time, and nobody has closed it.
    Idle,
    /// It is read by the agent as it comes, and cannot be had again.
    Once,
}

impl Kept {
    /// Looks at our standard input and, if a prompt may come on it (`expected`), waits for it and keeps it. With `alone`
    /// it is all that the agent is told: what comes late is left for the agent to wait for.
    ///
    /// # Errors
    /// What came cannot be kept.
    pub fn take(expected: bool, alone: bool) -> io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        if rustix::termios::isatty(stdin) {
            return Ok(Self::Terminal);
        }
        // We may have been given none.
        let Ok(stat) = fstat(stdin) else { return Ok(Self::Nothing) };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::RegularFile {
            return Ok(Self::File(seek(stdin, SeekFrom::Current(0))?));
        }
        if !matches!(kind, FileType::Fifo | FileType::Socket) {
            return Ok(Self::Nothing);
        }
        if !expected {
            return Ok(Self::Once);
        }
        // A pipe that was not meant for the agent: some wait for its end before they start.
        if !comes(stdin, PATIENCE)? {
            return Ok(if alone { Self::Once } else { Self::Idle });
        }
        spool()
    }

    /// Returns what the first child reads.
    pub fn first(&self) -> Stdin {
        if matches!(self, Self::Nothing | Self::Idle) { Stdin::Null } else { Stdin::Inherit }
    }

    /// Returns what the next child reads, put at its beginning.
    ///
    /// # Errors
    /// It cannot be had again.
    pub fn again(&self, wanted: profile::Stdin) -> io::Result<Stdin> {
        match (wanted, self) {
            (profile::Stdin::Nothing, _) | (_, Self::Nothing | Self::Idle) => Ok(Stdin::Null),
            (_, Self::Terminal) | (profile::Stdin::Terminal, _) => Ok(Stdin::Inherit),
            (profile::Stdin::Same, Self::File(offset)) => {
                seek(rustix::stdio::stdin(), SeekFrom::Start(*offset))?;
                Ok(Stdin::Inherit)
            }
            (profile::Stdin::Same, Self::Spooled) => {
                seek(rustix::stdio::stdin(), SeekFrom::Start(0))?;
                Ok(Stdin::Inherit)
            }
            (profile::Stdin::Same, Self::Once) => {
                Err(io::Error::other("what came on standard input cannot be had again"))
            }
        }
    }

    /// Whether something came, or may have come, that a later start may need.
    pub fn has_something(&self) -> bool {
        matches!(self, Self::File(_) | Self::Spooled | Self::Once)
    }

    /// Copies what came to a file, for who takes the run up after us, if that is not done yet; returns whether it is
    /// there. What is longer than 64 MiB is not copied.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn copy_to(&self, path: &Path) -> io::Result<bool> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut offset = match self {
            Self::File(offset) => *offset,
            Self::Spooled => 0,
            _ => return Ok(false),
        };
        let stdin = rustix::stdio::stdin();
        let length = u64::try_from(fstat(stdin)?.st_size).unwrap_or(0).saturating_sub(offset);
        if length > LIMIT {
            return Ok(false);
        }
        if path.exists() {
            return Ok(true);
        }
        let new = path.with_extension("part");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let mut chunk = [0; 64 << 10];
        loop {
            // The offset is shared with whoever gave us the file; it is left where it is.
            match rustix::io::pread(stdin, &mut chunk, offset) {
                Ok(0) => break,
                Ok(count) => {
                    file.write_all(&chunk[..count])?;
                    offset += count as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        Ok(true)
    }
}

/// Takes a file that an earlier process kept as our standard input.
///
/// # Errors
/// It cannot be opened.
pub fn take_up(path: &Path) -> io::Result<Kept> {
    let file = File::open(path)?;
    rustix::stdio::dup2_stdin(&file)?;
    Ok(Kept::Spooled)
}

/// Waits until there is something to read, or the end; returns whether that came in time.
fn comes(fd: impl AsFd, patience: Duration) -> io::Result<bool> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads standard input to its end into a file, and makes that our standard input.
fn spool() -> io::Result<Kept> {
    let mut file = tempfile()?;
    let mut count = 0;
    let mut chunk = [0; 64 << 10];
    let mut stdin = File::from(rustix::stdio::stdin().try_clone_to_owned()?);
    loop {
        match stdin.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => {
                count += length as u64;
                if count > LIMIT {
                    return too_long(file, &chunk[..length]);
                }
                file.write_all(&chunk[..length])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if count == 0 {
        return Ok(Kept::Nothing);
    }
    let file = OwnedFd::from(file);
    rustix::stdio::dup2_stdin(&file)?;
    seek(rustix::stdio::stdin(), SeekFrom::Start(0))?;
    Ok(Kept::Spooled)
}

/// What was read so far goes to the first attempt through a pipe, and the rest behind it.
fn too_long(mut head: File, last: &[u8]) -> io::Result<Kept> {
    use std::io::Seek;
    head.write_all(last)?;
    head.rewind()?;
    let mut rest = File::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let (reader, writer) = io::pipe()?;
    rustix::stdio::dup2_stdin(&reader)?;
    crate::child::caught::without_signals(|| {
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let mut writer = writer;
            // Ends when the agent does not want more, which is its own matter.
            let _ = io::copy(&mut head, &mut writer).and_then(|_| io::copy(&mut rest, &mut writer));
        })
    })?;
    Ok(Kept::Once)
}

/// Returns a file that no name leads to.
fn tempfile() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = std::env::temp_dir().join(format!("session-doctor-{}", uuid::Uuid::new_v4()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
