//! What the system tells of changes in directories. Where it tells nothing, [`Notices::new`] fails, and looking has
//! to do.

use std::path::PathBuf;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use inotify::Notices;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use nothing::Notices;

/// A name that something happened to.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) path: PathBuf,
    /// The root below which it lies; `None`: it is only near one.
    pub(super) root: Option<usize>,
    pub(super) is_directory: bool,
    /// Whether the name is no longer there.
    pub(super) is_departure: bool,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod inotify {
    use std::collections::HashMap;
    use std::ffi::OsStr;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

    use super::Notice;

    /// How much is taken of the queue at a time, in bytes.
    const QUEUE: usize = 16 * 1024;

    #[derive(Debug)]
    pub struct Notices {
        inotify: OwnedFd,
        /// The names under which a directory is known, each with its root.
        names: HashMap<i32, Vec<(PathBuf, Option<usize>)>>,
        watched: HashMap<(PathBuf, Option<usize>), i32>,
    }

    impl Notices {
        pub fn new() -> io::Result<Self> {
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            Ok(Self { inotify, names: HashMap::new(), watched: HashMap::new() })
        }

        pub fn as_fd(&self) -> BorrowedFd<'_> {
            self.inotify.as_fd()
        }

        pub fn watch(&mut self, directory: &Path, root: Option<usize>) -> io::Result<()> {
            let key = (directory.to_owned(), root);
            if self.watched.contains_key(&key) {
                return Ok(());
            }
            let flags = WatchFlags::MODIFY
                | WatchFlags::ATTRIB
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::ONLYDIR;
            let number = inotify::add_watch(&self.inotify, directory, flags)?;
            self.names.entry(number).or_default().push(key.clone());
            self.watched.insert(key, number);
            Ok(())
        }

        /// Forgets a directory and all below it: their names no longer lead to them.
        pub fn forget(&mut self, directory: &Path) {
            let gone: Vec<_> = self
                .watched
                .iter()
                .filter(|((path, _), _)| path.starts_with(directory))
                .map(|(key, number)| (key.clone(), *number))
                .collect();
            for (key, number) in gone {
                self.watched.remove(&key);
                if let Some(names) = self.names.get_mut(&number) {
                    names.retain(|name| *name != key);
                    if names.is_empty() {
                        self.names.remove(&number);
                        // The system may have dropped it by itself.
                        let _ = inotify::remove_watch(&self.inotify, number);
                    }
                }
            }
        }

        /// Returns what happened, and whether there is more than the system could remember.
        pub fn take(&mut self) -> (Vec<Notice>, bool) {
            let mut told = Vec::new();
            let mut overflow = false;
            let mut buffer = [MaybeUninit::uninit(); QUEUE];
            let mut reader = Reader::new(&self.inotify, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(rustix::io::Errno::INTR) => continue,
                    // Nothing more, or nothing that could be helped: looking finds it.
                    Err(_) => break,
                };
                let flags = event.events();
                overflow |= flags.intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::UNMOUNT);
                if flags.contains(ReadFlags::IGNORED) {
                    for key in self.names.remove(&event.wd()).into_iter().flatten() {
                        self.watched.remove(&key);
                    }
                }
                let Some(name) = event.file_name() else { continue };
                let name = OsStr::from_bytes(name.to_bytes());
                for (directory, root) in self.names.get(&event.wd()).into_iter().flatten() {
                    // A name without a directory is told as it was given.
                    let path = if root.is_none() && directory == Path::new(".") {
                        PathBuf::from(name)
                    } else {
                        directory.join(name)
                    };
                    told.push(Notice {
                        path,
                        root: *root,
                        is_directory: flags.contains(ReadFlags::ISDIR),
                        is_departure: flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM),
                    });
                }
            }
            (told, overflow)
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod nothing {
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::path::Path;

    use super::Notice;

    #[derive(Debug)]
    pub enum Notices {}

    impl Notices {
        pub fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn as_fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }

        pub fn watch(&mut self, _: &Path, _: Option<usize>) -> io::Result<()> {
            match *self {}
        }

        pub fn forget(&mut self, _: &Path) {
            match *self {}
        }

        pub fn take(&mut self) -> (Vec<Notice>, bool) {
            match *self {}
        }
    }
}
