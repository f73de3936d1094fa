//! Follows files as `tail -F` does: what they grow by, and what becomes of their names.
//!
//! A file is what its device and inode say it is, never its path or its first bytes. Where the system tells of
//! changes (inotify), directories are watched, and looking at every file now and then is only the net below; where it
//! does not, looking is all there is. [`Follower::poll_once`] does what is due and never waits; [`Follower::wait`]
//! waits and does nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ignore::overrides::Override;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::file::{self, ReadError, ReadErrorKind};
use super::notices::Notices;
use super::stdin::Ready;
use super::walk::{self, Globs};

/// How many files are followed at a time; further ones are told of once and left out until others go.
pub const MAX_FILES: usize = 10_000;

/// How many files are kept open: those that grew last. The others are opened again when they grow.
const OPEN_FILES: usize = 128;

/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// How often the files that are open are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often everything is looked at, where the system tells of changes.
const SWEEP: Duration = Duration::from_secs(5);

/// How often everything is looked at, where it does not.
const SWEEP_UNTOLD: Duration = Duration::from_secs(2);

/// How long a file that does not grow is kept open.
const IDLE: Duration = Duration::from_secs(60);

/// How long a file that was renamed out of sight must not have grown to be over: its writer may still have it open.
const GRACE: Duration = Duration::from_secs(3);

/// How many directories that could not be looked into are remembered, so as to be told of once.
const MAX_TOLD: usize = 1000;

/// A file that is being followed; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u64);

/// What makes a file the same under any name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Tells a file from the deleted one whose inode it was given, on file systems that know it.
    born: Option<SystemTime>,
}

impl Identity {
    /// Returns the identity of the file that this was asked of.
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() }
    }
}

/// Where reading begins in the files that are there at the start; those that come later are read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At their first byte.
    Beginning,
    /// Behind their last whole line.
    End,
}

/// What happened.
#[derive(Debug)]
pub enum Change<'c> {
    /// A file is followed from now on.
    Opened {
        /// The file.
        file: FileId,
        /// Its path.
        path: &'c Path,
    },
    /// What a file held at the start is passed over; comes before its first data.
    Skipped {
        /// The file.
        file: FileId,
        /// Its path.
        path: &'c Path,
        /// Whole lines passed over.
        lines: u64,
        /// Bytes passed over.
        bytes: u64,
    },
    /// A file has more to read.
    Data {
        /// The file.
        file: FileId,
        /// Its path.
        path: &'c Path,
        /// The next bytes, at least one.
        bytes: &'c [u8],
    },
    /// A file became shorter than what was read of it: it is read from its beginning.
    Truncated {
        /// The file.
        file: FileId,
        /// Its path.
        path: &'c Path,
    },
    /// A file was deleted, replaced or renamed out of sight, or was packed and is read: nothing more comes of it.
    Gone {
        /// The file.
        file: FileId,
        /// The path that it had.
        path: &'c Path,
    },
    /// Something is in the way; following goes on.
    Trouble(Trouble),
}

/// What is in the way; each is told once.
#[derive(Debug)]
pub enum Trouble {
    /// There is nothing of that name yet.
    Missing(PathBuf),
    /// A directory has no file in it that is taken yet.
    NoLogs(PathBuf),
    /// A name is neither of a file nor of a directory.
    NotAFile(PathBuf),
    /// Something cannot be read; it is tried again when it changes.
    Unreadable(ReadError),
    /// [`MAX_FILES`] are followed, and there are more; this is the first of them.
    TooMany(PathBuf),
    /// The system does not tell of all changes: they are looked for.
    Untold(io::Error),
}

/// Takes what happened; [`ControlFlow::Break`] stops at once, and what was not told yet comes with the next call.
pub type Out<'o> = dyn FnMut(Change<'_>) -> ControlFlow<()> + 'o;

/// Follows files and directories.
#[derive(Debug)]
pub struct Follower {
    roots: Vec<Root>,
    globs: Globs,
    start: Start,
    /// Whether everything that was there at the start was read.
    started: bool,
    excluded: Vec<Identity>,
    max_files: usize,
    max_open: usize,
    files: BTreeMap<FileId, Followed>,
    by_path: HashMap<PathBuf, FileId>,
    by_identity: HashMap<Identity, FileId>,
    next_id: u64,
    /// The files that have changed, or may have.
    dirty: BTreeSet<FileId>,
    /// Names that came up in directories.
    candidates: BTreeSet<(PathBuf, usize)>,
    /// Whether the roots have to be looked through.
    rescan: bool,
    /// The open files, that which grew last at the end.
    open: VecDeque<FileId>,
    /// The files whose name leads elsewhere or nowhere.
    adrift: BTreeSet<FileId>,
    told: HashSet<PathBuf>,
    told_too_many: bool,
    told_untold: bool,
    notices: Option<Notices>,
    untold: Option<io::Error>,
    next_look: Option<Instant>,
    next_sweep: Option<Instant>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// What to take, if it is a directory.
    overrides: Override,
    /// Where it lies, if it is a symbolic link.
    target: Option<PathBuf>,
    identity: Option<Identity>,
    missing: bool,
    told: bool,
}

#[derive(Debug)]
struct Followed {
    path: PathBuf,
    identity: Identity,
    /// How far it was read, in bytes.
    offset: u64,
    file: Option<File>,
    /// When it grew last, or was found.
    changed: Instant,
    /// Since when its name leads elsewhere.
    adrift_since: Option<Instant>,
    /// Whether what is in front of `offset` has to be passed over in whole lines first.
    skip: bool,
    /// Whether nothing more is read of it: it is packed.
    ended: bool,
    told: bool,
}

impl Follower {
    /// Begins to follow these names. Nothing is read before the first call of [`Self::poll_once`].
    pub fn new(roots: &[PathBuf], globs: &Globs, start: Start) -> Self {
        let root = |path: &PathBuf| Root {
            path: path.clone(),
            overrides: globs.below(path),
            target: None,
            identity: None,
            missing: false,
            told: false,
        };
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let max_open = limit.map_or(OPEN_FILES, |limit| {
            usize::try_from(limit / 4).unwrap_or(OPEN_FILES).clamp(4, OPEN_FILES)
        });
        let (notices, untold) = match Notices::new() {
            Ok(notices) => (Some(notices), None),
            // A system that tells nothing is not worth a word each time.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => (None, None),
            Err(error) => (None, Some(error)),
        };
        Self {
            roots: roots.iter().map(root).collect(),
            globs: globs.clone(),
            start,
            started: false,
            excluded: Vec::new(),
            max_files: MAX_FILES,
            max_open,
            files: BTreeMap::new(),
            by_path: HashMap::new(),
            by_identity: HashMap::new(),
            next_id: 0,
            dirty: BTreeSet::new(),
            candidates: BTreeSet::new(),
            rescan: true,
            open: VecDeque::new(),
            adrift: BTreeSet::new(),
            told: HashSet::new(),
            told_too_many: false,
            told_untold: false,
            notices,
            untold,
            next_look: None,
            next_sweep: None,
            buffer: Vec::new(),
        }
    }

    /// Never reads this file: what is written because of a change must not be one.
    pub fn exclude(&mut self, identity: Identity) {
        self.excluded.push(identity);
    }

    /// Lets the next [`Self::poll_once`] look at everything.
    pub fn look_at_all(&mut self) {
        self.next_sweep = None;
    }

    /// Tells what has changed until now, as far as it was noticed or looking is due at `now`; does not wait. A file
    /// is read up to the length that it has when its turn comes.
    pub fn poll_once(&mut self, now: Instant, out: &mut Out<'_>) -> ControlFlow<()> {
        self.buffer.resize(CHUNK, 0);
        let mut buffer = std::mem::take(&mut self.buffer);
        let flow = self.poll(now, &mut buffer, out);
        self.buffer = buffer;
        if flow.is_break() {
            self.next_sweep = None;
        }
        flow
    }

    /// Waits until changes are noticed or looking is due (`Data`), `waker` is readable (`Signal`), or this much time
    /// has passed (`None`: for as long as it takes).
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn wait(&self, time: Option<Duration>, waker: Option<BorrowedFd<'_>>) -> io::Result<Ready> {
        let now = Instant::now();
        let due = self.due(now);
        let wait = time.map_or(due, |time| time.min(due));
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut fds = Vec::with_capacity(2);
        fds.extend(waker.map(|waker| PollFd::from_borrowed_fd(waker, PollFlags::IN)));
        let wakers = fds.len();
        fds.extend(
            self.notices.as_ref().map(|notices| PollFd::from_borrowed_fd(notices.as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            // A signal: whoever catches it has made the waker readable.
            Err(Errno::INTR) => return Ok(Ready::Timeout),
            Err(error) => return Err(error.into()),
        }
        let ready = |fds: &[PollFd<'_>]| fds.iter().any(|fd| !fd.revents().is_empty());
        Ok(if ready(&fds[..wakers]) {
            Ready::Signal
        } else if ready(&fds[wakers..]) || now.elapsed() >= due {
            Ready::Data
        } else {
            Ready::Timeout
        })
    }

    /// How long until something has to be looked at.
    fn due(&self, now: Instant) -> Duration {
        let left = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let is_hot =
            !self.open.is_empty() || !self.adrift.is_empty() || self.roots.iter().any(|root| root.missing);
        if !self.dirty.is_empty() || self.rescan || !self.candidates.is_empty() {
            return Duration::ZERO;
        }
        if is_hot { left(self.next_look).min(left(self.next_sweep)) } else { left(self.next_sweep) }
    }

    fn poll(&mut self, now: Instant, buffer: &mut [u8], out: &mut Out<'_>) -> ControlFlow<()> {
        self.notice();
        if self.next_sweep.is_none_or(|at| now >= at) {
            self.rescan = true;
            self.dirty.extend(self.files.keys());
            self.close_idle(now);
            let is_told = self.notices.is_some() && self.untold.is_none() && !self.told_untold;
            self.next_sweep = now.checked_add(if is_told { SWEEP } else { SWEEP_UNTOLD });
            self.next_look = now.checked_add(LOOK);
        } else if self.next_look.is_none_or(|at| now >= at) {
            self.dirty.extend(&self.open);
            self.dirty.extend(&self.adrift);
            self.rescan |= self.roots.iter().any(|root| root.missing && root.path.exists());
            self.next_look = now.checked_add(LOOK);
        }
        self.scan(now, out)?;
        self.check_dirty(now, buffer, out)?;
        self.settle(now, buffer, out)?;
        self.started = true;
        if !self.told_untold
            && let Some(error) = self.untold.take()
        {
            self.told_untold = true;
            out(Change::Trouble(Trouble::Untold(error)))?;
        }
        ControlFlow::Continue(())
    }

    /// Takes what the system tells of changes.
    fn notice(&mut self) {
        let Some(notices) = &mut self.notices else { return };
        let (told, overflow) = notices.take();
        if overflow {
            self.next_sweep = None;
        }
        for notice in told {
            if let Some(file) = self.by_path.get(&notice.path) {
                self.dirty.insert(*file);
            } else if self
                .roots
                .iter()
                .any(|root| root.path == notice.path || root.missing && root.path.starts_with(&notice.path))
            {
                self.rescan = true;
            } else if let Some(root) =
                self.roots.iter().find(|root| root.target.as_ref() == Some(&notice.path))
            {
                self.dirty.extend(self.by_path.get(&root.path));
            } else if let Some(root) = notice.root {
                if notice.is_directory && notice.is_departure {
                    if let Some(notices) = &mut self.notices {
                        notices.forget(&notice.path);
                    }
                    self.rescan = true;
                } else if notice.is_directory || self.takes(&notice.path, root) {
                    self.candidates.insert((notice.path, root));
                }
            }
        }
    }

    fn takes(&self, path: &Path, root: usize) -> bool {
        path.file_name().is_some_and(|name| self.globs.takes(name))
            && !self.roots[root].overrides.matched(path, false).is_ignore()
    }

    /// Looks for files where some may have come up.
    fn scan(&mut self, now: Instant, out: &mut Out<'_>) -> ControlFlow<()> {
        if std::mem::take(&mut self.rescan) {
            self.candidates.clear();
            for root in 0..self.roots.len() {
                self.scan_root(root, now, out)?;
            }
        }
        for (path, root) in std::mem::take(&mut self.candidates) {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                if !self.roots[root].overrides.matched(&path, true).is_ignore() {
                    self.scan_directory(&path, root, now, out)?;
                }
            } else if metadata.is_file() {
                self.found(&path, &metadata, now, out)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn scan_root(&mut self, number: usize, now: Instant, out: &mut Out<'_>) -> ControlFlow<()> {
        let path = self.roots[number].path.clone();
        let metadata = fs::metadata(&path);
        let identity = metadata.as_ref().ok().map(Identity::of);
        let root = &mut self.roots[number];
        root.missing = metadata.is_err();
        if root.identity != identity && root.identity.is_some() {
            // A directory that took the place of another is watched anew.
            if let Some(notices) = &mut self.notices {
                notices.forget(&path);
            }
        }
        root.identity = identity;
        let first = !std::mem::replace(&mut root.told, true);
        match metadata {
            Ok(metadata) if metadata.is_dir() => {
                let before = self.next_id;
                self.scan_directory(&path, number, now, out)?;
                let none = before == self.next_id && !self.by_path.keys().any(|file| file.starts_with(&path));
                if first && none {
                    out(Change::Trouble(Trouble::NoLogs(path)))?;
                }
            }
            Ok(metadata) if metadata.is_file() => {
                self.watch(parent(&path), None);
                let target = fs::symlink_metadata(&path)
                    .is_ok_and(|metadata| metadata.is_symlink())
                    .then(|| fs::canonicalize(&path).ok())
                    .flatten();
                if let Some(directory) = target.as_deref().and_then(Path::parent) {
                    self.watch(directory, None);
                }
                self.roots[number].target = target;
                self.found(&path, &metadata, now, out)?;
            }
            Ok(_) if first => out(Change::Trouble(Trouble::NotAFile(path)))?,
            Ok(_) => {}
            Err(error) => {
                if let Some(there) = path.ancestors().skip(1).map(or_here).find(|parent| parent.is_dir()) {
                    self.watch(there, None);
                }
                if first {
                    out(Change::Trouble(match error.kind() {
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Trouble::Missing(path),
                        _ => Trouble::Unreadable(ReadError { path, kind: ReadErrorKind::Open(error) }),
                    }))?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn scan_directory(
        &mut self,
        directory: &Path,
        root: usize,
        now: Instant,
        out: &mut Out<'_>,
    ) -> ControlFlow<()> {
        // Watched first: what comes while it is listed is noticed.
        self.watch(directory, Some(root));
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let is_news = error.kind() != io::ErrorKind::NotFound
                    && self.told.len() < MAX_TOLD
                    && self.told.insert(directory.to_owned());
                if is_news {
                    let kind = ReadErrorKind::Open(error);
                    out(Change::Trouble(Trouble::Unreadable(ReadError {
                        path: directory.to_owned(),
                        kind,
                    })))?;
                }
                return ControlFlow::Continue(());
            }
        };
        let mut names: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Some((entry.file_name(), entry.file_type().ok()?)))
            .filter(|(_, kind)| kind.is_dir() || kind.is_file())
            .collect();
        names.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, kind) in names {
            let path = directory.join(name);
            if kind.is_dir() {
                if !self.roots[root].overrides.matched(&path, true).is_ignore() {
                    self.scan_directory(&path, root, now, out)?;
                }
            } else if !self.by_path.contains_key(&path)
                && self.takes(&path, root)
                && let Ok(metadata) = fs::symlink_metadata(&path)
            {
                self.found(&path, &metadata, now, out)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn watch(&mut self, directory: &Path, root: Option<usize>) {
        if let Some(notices) = &mut self.notices
            && let Err(error) = notices.watch(directory, root)
            && !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            && error.kind() != io::ErrorKind::PermissionDenied
        {
            self.untold.get_or_insert(error);
        }
    }

    /// A file was found under a name that none had so far.
    fn found(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        now: Instant,
        out: &mut Out<'_>,
    ) -> ControlFlow<()> {
        let identity = Identity::of(metadata);
        if self.by_path.contains_key(path) || self.excluded.contains(&identity) {
            return ControlFlow::Continue(());
        }
        if let Some(id) = self.by_identity.get(&identity)
            && let Some(file) = self.files.get_mut(id)
        {
            // It was renamed, unless its old name still leads to it too.
            if fs::metadata(&file.path).is_ok_and(|metadata| Identity::of(&metadata) == identity) {
                return ControlFlow::Continue(());
            }
            if self.by_path.get(&file.path) == Some(id) {
                self.by_path.remove(&file.path);
            }
            path.clone_into(&mut file.path);
            file.adrift_since = None;
            self.adrift.remove(id);
            self.by_path.insert(path.to_owned(), *id);
            self.dirty.insert(*id);
            return ControlFlow::Continue(());
        }
        let is_old = !self.started;
        if !is_old && walk::is_packed(path) {
            // What rotation packs was read while it was not packed.
            return ControlFlow::Continue(());
        }
        if self.files.len() >= self.max_files {
            if !std::mem::replace(&mut self.told_too_many, true) {
                out(Change::Trouble(Trouble::TooMany(path.to_owned())))?;
            }
            return ControlFlow::Continue(());
        }
        let id = FileId(self.next_id);
        self.next_id += 1;
        let skip = is_old && self.start == Start::End && metadata.len() > 0;
        let file = Followed {
            path: path.to_owned(),
            identity,
            offset: if skip { metadata.len() } else { 0 },
            file: None,
            changed: now,
            adrift_since: None,
            skip,
            ended: false,
            told: false,
        };
        self.files.insert(id, file);
        self.by_path.insert(path.to_owned(), id);
        self.by_identity.insert(identity, id);
        self.dirty.insert(id);
        out(Change::Opened { file: id, path })
    }

    fn check_dirty(&mut self, now: Instant, buffer: &mut [u8], out: &mut Out<'_>) -> ControlFlow<()> {
        for id in std::mem::take(&mut self.dirty) {
            self.check(id, now, buffer, out)?;
        }
        ControlFlow::Continue(())
    }

    /// Looks at one file: reads what is new, and whether its name still leads to it.
    fn check(&mut self, id: FileId, now: Instant, buffer: &mut [u8], out: &mut Out<'_>) -> ControlFlow<()> {
        if self.files.get(&id).is_some_and(|file| file.file.is_some()) {
            self.read(id, now, buffer, out)?;
        }
        let Some(file) = self.files.get_mut(&id) else { return ControlFlow::Continue(()) };
        if file.adrift_since.is_some() {
            return ControlFlow::Continue(());
        }
        match fs::metadata(&file.path) {
            Ok(metadata) if Identity::of(&metadata) == file.identity => {
                if !file.ended && file.file.is_none() && metadata.len() != file.offset {
                    self.read(id, now, buffer, out)?;
                }
                return ControlFlow::Continue(());
            }
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return self.unreadable(id, error, out);
            }
            _ => {}
        }
        file.adrift_since = Some(now);
        if self.by_path.get(&file.path) == Some(&id) {
            self.by_path.remove(&file.path);
        }
        self.adrift.insert(id);
        ControlFlow::Continue(())
    }

    /// Finds out what became of the files whose names lead elsewhere.
    fn settle(&mut self, now: Instant, buffer: &mut [u8], out: &mut Out<'_>) -> ControlFlow<()> {
        let is_new = |file: &Followed| file.adrift_since == Some(now);
        for _ in 0..3 {
            let news = self.adrift.iter().filter_map(|id| self.files.get(id)).filter(|file| is_new(file));
            if news.count() == 0 {
                break;
            }
            // They may have new names, and others their old ones: everything is looked at before any is given up.
            let before = self.adrift.len();
            self.rescan = true;
            self.dirty.extend(self.files.keys());
            self.scan(now, out)?;
            self.check_dirty(now, buffer, out)?;
            if self.adrift.len() <= before {
                break;
            }
        }
        for id in self.adrift.clone() {
            let Some(file) = self.files.get_mut(&id) else { continue };
            if file.file.is_none() && !file.ended {
                // Renamed out of sight while it was not open: it still lies in its directory, most likely.
                file.file = renamed(&file.path, file.identity);
                if file.file.is_some() {
                    self.use_open(id);
                    self.read(id, now, buffer, out)?;
                }
            }
            let Some(file) = self.files.get(&id) else { continue };
            let is_linked = file
                .file
                .as_ref()
                .is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0));
            let since = file.adrift_since.map_or(file.changed, |since| since.max(file.changed));
            if is_linked && now.saturating_duration_since(since) < GRACE {
                continue;
            }
            if file.file.is_some() {
                self.read(id, now, buffer, out)?;
            }
            self.adrift.remove(&id);
            let Some(file) = self.files.remove(&id) else { continue };
            self.open.retain(|open| *open != id);
            if self.by_identity.get(&file.identity) == Some(&id) {
                self.by_identity.remove(&file.identity);
            }
            if self.files.len() < self.max_files {
                self.rescan |= std::mem::take(&mut self.told_too_many);
            }
            if !file.ended {
                out(Change::Gone { file: id, path: &file.path })?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Reads a file up to the length it has now.
    fn read(&mut self, id: FileId, now: Instant, buffer: &mut [u8], out: &mut Out<'_>) -> ControlFlow<()> {
        let Some(file) = self.files.get_mut(&id) else { return ControlFlow::Continue(()) };
        if file.ended {
            return ControlFlow::Continue(());
        }
        if file.file.is_none() {
            // What takes long to open would be no regular file: found and replaced in between.
            let opened = File::open(&file.path).and_then(|opened| Ok((opened.metadata()?, opened)));
            match opened {
                Ok((metadata, opened)) if Identity::of(&metadata) == file.identity => {
                    file.file = Some(opened);
                }
                // Replaced just now: the next look finds out.
                Ok(_) => return ControlFlow::Continue(()),
                Err(error) => return self.unreadable(id, error, out),
            }
        }
        self.use_open(id);
        let Some(file) = self.files.get_mut(&id) else { return ControlFlow::Continue(()) };
        let Some(opened) = &file.file else { return ControlFlow::Continue(()) };
        let length = match opened.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => return self.unreadable(id, error, out),
        };
        if length < file.offset {
            file.offset = 0;
            file.changed = now;
            if !std::mem::take(&mut file.skip) {
                out(Change::Truncated { file: id, path: &file.path })?;
            }
        }
        if file.skip && length > file.offset {
            match skip(opened, file.offset, buffer) {
                Ok((lines, bytes)) => {
                    file.skip = false;
                    file.offset = bytes;
                    if bytes > 0 {
                        out(Change::Skipped { file: id, path: &file.path, lines, bytes })?;
                    }
                }
                Err(error) => return self.unreadable(id, error, out),
            }
        }
        while file.offset < length {
            let room = usize::try_from(length - file.offset).unwrap_or(usize::MAX).min(buffer.len());
            let bytes = match opened.read_at(&mut buffer[..room], file.offset) {
                Ok(0) => break,
                Ok(read) => &buffer[..read],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.unreadable(id, error, out),
            };
            if file.offset == 0 && file::is_packed(bytes) {
                return self.read_packed(id, buffer, out);
            }
            file.offset += bytes.len() as u64;
            file.changed = now;
            file.told = false;
            out(Change::Data { file: id, path: &file.path, bytes })?;
        }
        ControlFlow::Continue(())
    }

    /// Reads a packed file once, if it was there at the start.
    fn read_packed(&mut self, id: FileId, buffer: &mut [u8], out: &mut Out<'_>) -> ControlFlow<()> {
        self.close(id);
        let is_wanted = !self.started && self.start == Start::Beginning;
        let Some(file) = self.files.get_mut(&id) else { return ControlFlow::Continue(()) };
        file.ended = true;
        let path = file.path.as_path();
        if is_wanted {
            let mut reader = match file::open(path) {
                Ok(reader) => reader,
                Err(error) => return out(Change::Trouble(Trouble::Unreadable(error))),
            };
            loop {
                match reader.read_chunk(buffer) {
                    Ok(0) => break,
                    Ok(read) => out(Change::Data { file: id, path, bytes: &buffer[..read] })?,
                    Err(error) => {
                        out(Change::Trouble(Trouble::Unreadable(error)))?;
                        break;
                    }
                }
            }
        }
        out(Change::Gone { file: id, path })
    }

    fn unreadable(&mut self, id: FileId, error: io::Error, out: &mut Out<'_>) -> ControlFlow<()> {
        self.close(id);
        let Some(file) = self.files.get_mut(&id) else { return ControlFlow::Continue(()) };
        if std::mem::replace(&mut file.told, true) {
            return ControlFlow::Continue(());
        }
        let error = ReadError { path: file.path.clone(), kind: ReadErrorKind::Open(error) };
        out(Change::Trouble(Trouble::Unreadable(error)))
    }

    /// Puts a file at the end of the open ones, and closes the first if they are too many.
    fn use_open(&mut self, id: FileId) {
        if self.open.back() != Some(&id) {
            self.open.retain(|open| *open != id);
            self.open.push_back(id);
        }
        if self.open.len() > self.max_open
            && let Some(first) = self.open.front().copied()
        {
            self.close(first);
        }
    }

    fn close(&mut self, id: FileId) {
        self.open.retain(|open| *open != id);
        if let Some(file) = self.files.get_mut(&id) {
            file.file = None;
        }
    }

    fn close_idle(&mut self, now: Instant) {
        let files = &self.files;
        let idle = |id: &FileId| {
            files.get(id).is_none_or(|file| {
                file.adrift_since.is_none() && now.saturating_duration_since(file.changed) >= IDLE
            })
        };
        let idle: Vec<FileId> = self.open.iter().copied().filter(idle).collect();
        for id in idle {
            self.close(id);
        }
    }
}

/// Counts the lines in front of `end`; returns how many are whole, and where the last of them ends.
fn skip(file: &File, end: u64, buffer: &mut [u8]) -> io::Result<(u64, u64)> {
    let (mut at, mut lines, mut behind) = (0, 0, 0);
    while at < end {
        let room = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = match file.read_at(&mut buffer[..room], at) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
        if let Some(last) = memchr::memrchr(b'\n', &buffer[..read]) {
            behind = at + last as u64 + 1;
        }
        at += read as u64;
    }
    Ok((lines, behind))
}

/// Opens the file of this identity in the directory where it last was.
fn renamed(path: &Path, identity: Identity) -> Option<File> {
    let entry = fs::read_dir(parent(path)).ok()?.flatten().find(|entry| entry.ino() == identity.inode)?;
    // Anything else of that number may not be opened lightly: a named pipe would hold us up.
    let metadata = entry.metadata().ok()?;
    if !metadata.is_file() || Identity::of(&metadata) != identity {
        return None;
    }
    let file = File::open(entry.path()).ok()?;
    file.metadata().is_ok_and(|metadata| Identity::of(&metadata) == identity).then_some(file)
}

fn parent(path: &Path) -> &Path {
    or_here(path.parent().unwrap_or(path))
}

/// The empty path is where we are.
fn or_here(path: &Path) -> &Path {
    if path == Path::new("") { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    /// A directory that is followed, with a clock that is moved by hand.
    struct Scene {
        dir: tempfile::TempDir,
        follower: Follower,
        now: Instant,
    }

    impl Scene {
        /// Follows these names; without `notices`, only looking finds anything.
        fn new(dir: tempfile::TempDir, names: &[&str], start: Start, notices: bool) -> Self {
            let roots: Vec<PathBuf> = names.iter().map(|name| dir.path().join(name)).collect();
            let mut follower = Follower::new(&roots, &Globs::logs(), start);
            if !notices {
                follower.notices = None;
            }
            Self { dir, follower, now: Instant::now() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn append(&self, name: &str, text: &str) {
            let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.path(from), self.path(to)).unwrap();
        }

        /// What is told after so much time, with the files as numbers and paths below the directory.
        fn after(&mut self, time: Duration) -> Vec<String> {
            self.now += time;
            let mut told = Vec::new();
            let base = self.dir.path().to_owned();
            let short = |path: &Path| path.strip_prefix(&base).unwrap().display().to_string();
            let flow = self.follower.poll_once(self.now, &mut |change| {
                told.push(match change {
                    Change::Opened { file, path } => format!("{} opened {}", file.0, short(path)),
                    Change::Skipped { file, lines, bytes, .. } => {
                        format!("{} skipped {lines} lines, {bytes} bytes", file.0)
                    }
                    Change::Data { file, bytes, .. } => {
                        format!("{} data {}", file.0, String::from_utf8_lossy(bytes).escape_debug())
                    }
                    Change::Truncated { file, .. } => format!("{} truncated", file.0),
                    Change::Gone { file, path } => format!("{} gone {}", file.0, short(path)),
                    Change::Trouble(Trouble::Missing(path)) => format!("missing {}", short(&path)),
                    Change::Trouble(Trouble::NoLogs(path)) => format!("no logs {}", short(&path)),
                    Change::Trouble(Trouble::TooMany(path)) => format!("too many {}", short(&path)),
                    Change::Trouble(trouble) => format!("{trouble:?}"),
                });
                ControlFlow::Continue(())
            });
            assert!(flow.is_continue());
            told
        }

        /// What is told once everything was looked at.
        fn told(&mut self) -> Vec<String> {
            self.after(SWEEP)
        }
    }

    fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    /// Plays a story twice: where the system tells of changes, and where it does not.
    fn both(files: &[(&str, &str)], names: &[&str], story: impl Fn(&mut Scene)) {
        for notices in [true, false] {
            story(&mut Scene::new(dir(files), names, Start::Beginning, notices));
        }
    }

    #[test]
    fn what_is_there_is_read_in_order_then_what_comes() {
        both(&[("b.log", "b"), ("a/z.log", "z\n"), ("a.rs", "")], &[""], |scene| {
            assert_eq!(scene.told(), ["0 opened a/z.log", "1 opened b.log", "0 data z\\n", "1 data b"]);
            assert!(scene.told().is_empty());
            scene.append("b.log", "c\n");
            scene.append("a/z.log", "y\n");
            assert_eq!(scene.told(), ["0 data y\\n", "1 data c\\n"]);
        });
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn the_system_tells_without_looking() {
        let mut scene = Scene::new(dir(&[("a.log", "")]), &[""], Start::Beginning, true);
        scene.told();
        scene.append("a.log", "a\n");
        fs::create_dir_all(scene.path("new/deep")).unwrap();
        scene.append("new/deep/b.log", "b\n");
        scene.append("c.rs", "no log");
        assert_eq!(scene.after(Duration::ZERO), ["1 opened new/deep/b.log", "0 data a\\n", "1 data b\\n"]);
        scene.append("new/deep/b.log", "c\n");
        assert_eq!(scene.after(Duration::ZERO), ["1 data c\\n"]);
    }

    #[test]
    fn a_shorter_file_is_read_from_its_beginning() {
        both(&[("a.log", "one\ntwo\n")], &["a.log"], |scene| {
            scene.told();
            let file = OpenOptions::new().write(true).open(scene.path("a.log")).unwrap();
            file.set_len(0).unwrap();
            scene.append("a.log", "new\n");
            assert_eq!(scene.told(), ["0 truncated", "0 data new\\n"]);
        });
    }

    #[test]
    fn rotation_reads_the_old_file_to_its_end_and_the_new_one_from_its_beginning() {
        both(&[("a.log", "one\n")], &["a.log"], |scene| {
            scene.told();
            scene.append("a.log", "two\n");
            scene.rename("a.log", "a.log.1");
            scene.append("a.log", "three\n");
            assert_eq!(scene.told(), ["0 data two\\n", "1 opened a.log", "1 data three\\n"]);
            // Its writer has not noticed yet.
            scene.append("a.log.1", "late\n");
            assert_eq!(scene.after(LOOK), ["0 data late\\n"]);
            assert!(scene.after(GRACE / 2).is_empty());
            assert_eq!(scene.after(GRACE), ["0 gone a.log"]);
            assert!(scene.follower.adrift.is_empty() && scene.follower.files.len() == 1);
        });
    }

    #[test]
    fn a_file_that_is_closed_is_found_again_where_rotation_put_it() {
        both(&[("a.log", "one\n")], &["a.log"], |scene| {
            scene.told();
            scene.after(IDLE);
            assert!(scene.follower.open.is_empty());
            scene.append("a.log", "two\n");
            scene.rename("a.log", "a.log.1");
            assert_eq!(scene.told(), ["0 data two\\n"]);
        });
    }

    #[test]
    fn a_replaced_file_is_another_file() {
        both(&[("a.log", "one\n"), ("new", "longer than one\n")], &["a.log"], |scene| {
            scene.told();
            scene.rename("new", "a.log");
            assert_eq!(scene.told(), ["1 opened a.log", "1 data longer than one\\n", "0 gone a.log"]);
        });
    }

    #[test]
    fn a_renamed_file_goes_on_under_its_new_name() {
        both(&[("a.log", "one\n"), ("d/x.log", "x\n")], &[""], |scene| {
            scene.told();
            scene.rename("a.log", "b.log");
            scene.rename("d", "e");
            assert!(scene.told().is_empty());
            scene.append("b.log", "two\n");
            scene.append("e/x.log", "y\n");
            assert_eq!(scene.told(), ["0 data two\\n", "1 data y\\n"]);
            // It takes the name of another.
            scene.rename("b.log", "e/x.log");
            assert_eq!(scene.told(), ["1 gone d/x.log".replace("d/", "e/")]);
            scene.append("e/x.log", "three\n");
            assert_eq!(scene.told(), ["0 data three\\n"]);
        });
    }

    #[test]
    fn a_deleted_file_is_read_to_its_end_and_over() {
        both(&[("a.log", "one\n"), ("d/b.log", "b\n")], &[""], |scene| {
            scene.told();
            scene.append("a.log", "two\n");
            fs::remove_file(scene.path("a.log")).unwrap();
            fs::remove_dir_all(scene.path("d")).unwrap();
            assert_eq!(scene.told(), ["0 data two\\n", "0 gone a.log", "1 gone d/b.log"]);
            fs::create_dir(scene.path("d")).unwrap();
            scene.append("d/b.log", "again\n");
            assert_eq!(scene.told(), ["2 opened d/b.log", "2 data again\\n"]);
        });
    }

    #[test]
    fn names_that_are_not_there_are_waited_for_and_told_once() {
        both(&[("empty/x.rs", "")], &["a.log", "x/y/z", "empty"], |scene| {
            assert_eq!(scene.told(), ["missing a.log", "missing x/y/z", "no logs empty"]);
            assert!(scene.told().is_empty());
            scene.append("a.log", "one\n");
            fs::create_dir_all(scene.path("x/y/z")).unwrap();
            scene.append("x/y/z/b.log", "two\n");
            scene.append("empty/c.log", "three\n");
            assert_eq!(
                scene.told(),
                [
                    "0 opened a.log",
                    "1 opened x/y/z/b.log",
                    "2 opened empty/c.log",
                    "0 data one\\n",
                    "1 data two\\n",
                    "2 data three\\n"
                ]
            );
            fs::remove_file(scene.path("a.log")).unwrap();
            assert_eq!(scene.told(), ["0 gone a.log"]);
            scene.append("a.log", "four\n");
            assert_eq!(scene.told(), ["3 opened a.log", "3 data four\\n"]);
        });
    }

    #[test]
    fn only_what_is_new_begins_behind_the_last_whole_line() {
        for notices in [true, false] {
            let files = [("a.log", "one\ntwo\nhal"), ("b.log", "none"), ("c.log", "longer\n")];
            let mut scene = Scene::new(dir(&files), &[""], Start::End, notices);
            assert_eq!(scene.told(), ["0 opened a.log", "1 opened b.log", "2 opened c.log"]);
            for name in ["a.log", "b.log", "d.log"] {
                scene.append(name, "f\n");
            }
            fs::write(scene.path("c.log"), "new\n").unwrap();
            assert_eq!(
                scene.told(),
                [
                    "3 opened d.log",
                    "0 skipped 2 lines, 8 bytes",
                    "0 data half\\n",
                    "1 data nonef\\n",
                    "2 data new\\n",
                    "3 data f\\n"
                ]
            );
        }
    }

    #[test]
    fn packed_files_are_read_once_and_only_at_the_start() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"one\n").unwrap();
        let packed = packed.finish().unwrap();
        for notices in [true, false] {
            let mut scene = Scene::new(dir(&[("b.log", "")]), &[""], Start::Beginning, notices);
            fs::write(scene.path("a.log.gz"), &packed).unwrap();
            assert_eq!(
                scene.told(),
                ["0 opened a.log.gz", "1 opened b.log", "0 data one\\n", "0 gone a.log.gz"]
            );
            fs::write(scene.path("c.log.gz"), &packed).unwrap();
            fs::remove_file(scene.path("a.log.gz")).unwrap();
            assert!(scene.told().is_empty());
        }
    }

    #[test]
    fn few_files_are_open_and_many_are_followed() {
        both(&[], &[""], |scene| {
            scene.follower.max_open = 4;
            scene.follower.max_files = 20;
            for number in 10..31 {
                scene.append(&format!("{number}.log"), "a");
            }
            let told = scene.told();
            assert_eq!(told.iter().filter(|told| told.contains(" data ")).count(), 20);
            assert_eq!(told.iter().filter(|told| *told == "too many 30.log").count(), 1);
            assert_eq!(scene.follower.open.len(), 4);
            for number in 10..30 {
                scene.append(&format!("{number}.log"), "b");
            }
            assert_eq!(scene.told().len(), 20);
            assert_eq!(scene.follower.open.len(), 4);
            fs::remove_file(scene.path("10.log")).unwrap();
            assert_eq!(scene.told(), ["0 gone 10.log"]);
            assert_eq!(scene.told(), ["20 opened 30.log", "20 data a"], "there is room for it now");
        });
    }

    #[test]
    fn what_is_written_because_of_a_change_is_none() {
        both(&[("events.jsonl", ""), ("a.log", "")], &[""], |scene| {
            let metadata = fs::metadata(scene.path("events.jsonl")).unwrap();
            scene.follower.exclude(Identity::of(&metadata));
            assert_eq!(scene.told(), ["0 opened a.log"]);
            scene.append("events.jsonl", "x\n");
            assert!(scene.told().is_empty());
        });
    }

    #[test]
    fn stopping_in_the_middle_loses_nothing() {
        both(&[("a.log", "one\n"), ("b.log", "two\n")], &[""], |scene| {
            let mut taken = 0;
            let flow = scene.follower.poll_once(scene.now, &mut |change| {
                taken += usize::from(matches!(change, Change::Data { .. }));
                if taken == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(flow.is_break());
            assert_eq!(scene.after(Duration::ZERO), ["1 data two\\n"]);
        });
    }

    #[test]
    fn a_link_leads_to_what_is_followed() {
        both(&[("real/a.txt", "one\n"), ("real/b.txt", "other\n")], &["current"], |scene| {
            std::os::unix::fs::symlink("real/a.txt", scene.path("current")).unwrap();
            assert_eq!(scene.told(), ["0 opened current", "0 data one\\n"]);
            scene.append("real/a.txt", "two\n");
            assert_eq!(scene.told(), ["0 data two\\n"]);
            fs::remove_file(scene.path("current")).unwrap();
            std::os::unix::fs::symlink("real/b.txt", scene.path("current")).unwrap();
            assert_eq!(scene.told(), ["1 opened current", "1 data other\\n"]);
            assert_eq!(scene.told(), ["0 gone current"]);
        });
    }
}
