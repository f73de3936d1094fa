//! What files told when they were last read, so that a file that has not changed since need not be read again.
//!
//! What is kept of a file are its notes ([`crate::engine::usage::note`]): what a sheet is made of, before anything is priced,
//! so that one cache serves every mode and every list of prices. An entry holds for a file as long as device, inode, size,
//! and the times of its last change are the same to the nanosecond; the time of a change of the inode (`ctime`) cannot be
//! set back. Whoever changes a file within the same tick of the clock as it was changed before leaves no trace in
//! these: so nothing is kept of a file that changed within `SETTLE`, nor where the file system's times cannot be relied on.
//!
//! The cache is several files, so that a change costs a part of it. Each is written whole, beside the one that it replaces. Whatever
//! is wrong with one (another program, cut off, damaged, somebody else's), it holds nothing and is written anew: there are
//! no errors here. What two processes write at the same time, the last of them has written.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use crate::engine::Options;
use crate::engine::format::by_name;
use crate::engine::usage::ledger::Sheet;
use crate::engine::usage::note::{Note, Reader, Writer};
use crate::model::{Record, Timestamp};

/// How long a file must not have changed before it is kept. A tick of a file system is two seconds at the most; what is
/// written through a mapping of memory gets its time within half a minute.
const SETTLE: i64 = 60;

/// How many days an entry is kept that nobody asks for.
const KEPT_DAYS: u32 = 35;

/// How many days late an entry may say when it was last asked for: saying it costs writing the file.
const LATE_DAYS: u32 = 7;

/// How many files the cache has.
const SHARDS: usize = 16;

/// How large each of them becomes, in bytes: some fifty gigabytes of transcripts in all. What was asked for last stays.
const SHARD_BYTES: usize = 32 << 20;

/// How many bytes of notes are kept of a file; one with more is read each time.
const NOTES_BYTES: usize = 16 << 20;

/// How old a file must be that somebody began to write and never put in its place, before it is removed.
const LEFT: Duration = Duration::from_secs(3600);

/// What every file of the cache begins with. The number is that of the form.
const MAGIC: &[u8; 16] = b"session-doctor 1";

/// The magic, whose it is, and the checksum of the rest.
const HEAD: usize = 48;

/// A cache in a folder, as it is at one time.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// What program wrote it.
    program: u128,
    /// How files are decoded, as far as it may be told.
    decoding: u64,
    /// The time of day, in seconds.
    now: i64,
    /// Whether the times of a device's file system can be relied on.
    devices: Mutex<BTreeMap<u64, bool>>,
}

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Facts {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Facts {
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Returns the place in the cache.
    pub(super) fn shard(&self) -> usize {
        let id = [self.device.to_le_bytes(), self.inode.to_le_bytes()].concat();
        (xxh3_128(&id) % SHARDS as u128) as usize
    }

    /// When it was last written to.
    pub(super) fn written(&self) -> Option<Timestamp> {
        let micros = self.modified.0.checked_mul(1_000_000)?.checked_add(self.modified.1 / 1000)?;
        Some(Timestamp::from_micros(micros))
    }
}

/// What is kept of a file that was read.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) facts: Facts,
    agent: &'static str,
    notes: Vec<u8>,
}

/// The notes of a file that is being read.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    writer: Writer,
    notes: Vec<u8>,
}

impl Keeping {
    pub(super) fn take(&mut self, record: &Record<'_>) {
        let Self { writer, notes } = self;
        if notes.len() <= NOTES_BYTES {
            writer.take(record, &mut |note| {
                // A vector takes everything.
                let _ = postcard::to_io(note, &mut *notes);
            });
        }
    }
}

/// What stands in front of the notes of a file.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    facts: Facts,
    decoding: u64,
    /// The day when it was last asked for, since 1970.
    seen: u32,
    agent: &'a str,
    length: u32,
}

/// What an entry is found by.
type Id = (u64, u64, u64);

/// One file of the cache.
#[derive(Debug, Default)]
pub(super) struct Shard {
    bytes: Vec<u8>,
    entries: BTreeMap<Id, Place>,
}

#[derive(Debug)]
struct Place {
    facts: Facts,
    seen: u32,
    agent: &'static str,
    notes: Range<usize>,
}

/// An entry that was found.
#[derive(Debug)]
pub(super) struct Found<'s> {
    pub(super) agent: &'static str,
    notes: &'s [u8],
    /// Whether it should be said that it was asked for.
    pub(super) is_late: bool,
}

impl Found<'_> {
    /// Puts what was kept on a sheet; `false` if that cannot be done, with the sheet of no more use.
    pub(super) fn play(&self, sheet: &mut Sheet) -> bool {
        let mut reader = Reader::default();
        let mut rest = self.notes;
        while !rest.is_empty() {
            let Ok((note, behind)) = postcard::take_from_bytes::<Note<'_>>(rest) else { return false };
            if reader.take(&note, &mut |record| sheet.take(record)).is_err() {
                return false;
            }
            rest = behind;
        }
        true
    }
}

/// Returns the folder of caches: in `$SESSION_DOCTOR_HOME`, else `session-doctor` in `$XDG_CACHE_HOME` or `~/.cache`.
pub fn folder(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let named = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    named("SESSION_DOCTOR_HOME")
        .map(|home| home.join("cache"))
        .or_else(|| Some(named("XDG_CACHE_HOME").filter(|path| path.is_absolute())?.join("session-doctor")))
        .or_else(|| Some(named("HOME")?.join(".cache/session-doctor")))
}

impl Cache {
    /// Returns the cache in a folder, which need not be there, for files that are decoded with these options. `None`: what
    /// program this is cannot be told, so that nothing can be believed.
    pub fn new(folder: PathBuf, options: &Options, now: SystemTime) -> Option<Self> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Self {
            folder,
            program: program()?,
            decoding: decoding(options),
            now: i64::try_from(now.as_secs()).ok()?,
            devices: Mutex::default(),
        })
    }

    /// Reads a file of the cache; one that is not there, or not as it should be, is empty.
    pub(super) fn load(&self, shard: usize) -> Shard {
        let mut loaded = Shard::default();
        if let Ok(bytes) = self.read(shard)
            && let Some(entries) = self.entries(&bytes)
        {
            loaded = Shard { entries, bytes };
        }
        loaded
    }

    /// Returns what is known of a file.
    pub(super) fn find<'s>(&self, shard: &'s Shard, facts: &Facts) -> Option<Found<'s>> {
        let place = shard.entries.get(&self.id(facts)).filter(|place| place.facts == *facts)?;
        let notes = shard.bytes.get(place.notes.clone())?;
        let is_late = self.today().saturating_sub(place.seen) > LATE_DAYS;
        Some(Found { agent: place.agent, notes, is_late })
    }

    /// Returns what may be kept of a file that was read to its end: nothing, if it is not certain that it is the same file
    /// as `before` it was read, and that a later change will show.
    pub(super) fn keep(
        &self,
        before: Option<Facts>,
        path: &Path,
        agent: &'static str,
        keeping: Keeping,
    ) -> Option<Fresh> {
        let facts = before.filter(|before| Facts::of(path) == Some(*before))?;
        let settled = |time: (i64, i64)| time.0 < self.now - SETTLE;
        let kept = settled(facts.modified)
            && settled(facts.changed)
            && keeping.notes.len() <= NOTES_BYTES
            && self.is_reliable(facts.device, path);
        kept.then_some(Fresh { facts, agent, notes: keeping.notes })
    }

    /// Writes a file of the cache with these entries in it, and says of these files that they were asked for.
    pub(super) fn save(&self, shard: usize, fresh: &[Fresh], asked: &[Facts]) {
        // Somebody else may have written it in the meantime.
        let loaded = self.load(shard);
        let today = self.today();
        let mut all: BTreeMap<Id, (Facts, u32, &'static str, &[u8])> = BTreeMap::new();
        for (id, place) in &loaded.entries {
            if today.saturating_sub(place.seen) <= KEPT_DAYS
                && let Some(notes) = loaded.bytes.get(place.notes.clone())
            {
                all.insert(*id, (place.facts, place.seen.min(today), place.agent, notes));
            }
        }
        for facts in asked {
            if let Some(entry) = all.get_mut(&self.id(facts)) {
                entry.1 = today;
            }
        }
        for Fresh { facts, agent, notes } in fresh {
            all.insert(self.id(facts), (*facts, today, agent, notes));
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, (_, seen, ..))| std::cmp::Reverse(*seen));
        let mut bytes = vec![0; HEAD];
        for ((_, _, decoding), (facts, seen, agent, notes)) in all {
            let Ok(length) = u32::try_from(notes.len()) else { continue };
            if bytes.len() + notes.len() > SHARD_BYTES {
                break;
            }
            let _ = postcard::to_io(&Entry { facts, decoding, seen, agent, length }, &mut bytes);
            bytes.extend_from_slice(notes);
        }
        let checksum = xxh3_128(&bytes[HEAD..]);
        let head = [*MAGIC, self.program.to_le_bytes(), checksum.to_le_bytes()].concat();
        bytes[..HEAD].copy_from_slice(&head);
        // Without it the next run takes longer, and that is all.
        let _ = self.write(shard, &bytes);
    }

    fn id(&self, facts: &Facts) -> Id {
        (facts.device, facts.inode, self.decoding)
    }

    fn today(&self) -> u32 {
        u32::try_from(self.now / 86_400).unwrap_or(0)
    }

    fn path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("usage-{shard:02}"))
    }

    fn read(&self, shard: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(shard))?;
        let metadata = file.metadata()?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        let mut bytes = Vec::new();
        if own && metadata.is_file() && metadata.len() <= 2 * SHARD_BYTES as u64 {
            bytes.reserve_exact(metadata.len() as usize + 1);
            file.take(2 * SHARD_BYTES as u64).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// Returns the entries of a file of the cache; `None` if it is none of this program's, or damaged.
    fn entries(&self, bytes: &[u8]) -> Option<BTreeMap<Id, Place>> {
        let (head, body) = bytes.split_at_checked(HEAD)?;
        let checksum = xxh3_128(body).to_le_bytes();
        if head != [*MAGIC, self.program.to_le_bytes(), checksum].concat() {
            return None;
        }
        let mut entries = BTreeMap::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (entry, behind) = postcard::take_from_bytes::<Entry<'_>>(rest).ok()?;
            let (facts, length) = (entry.facts, entry.length as usize);
            let agent = by_name(entry.agent).map(|format| format.name());
            let agent = agent.or((entry.agent == UNKNOWN).then_some(UNKNOWN))?;
            let at = bytes.len() - behind.len();
            rest = behind.get(length..)?;
            let id = (facts.device, facts.inode, entry.decoding);
            entries.insert(id, Place { facts, seen: entry.seen, agent, notes: at..at + length });
        }
        Some(entries)
    }

    fn write(&self, shard: usize, bytes: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.clear_away();
        let path = self.path(shard);
        let new = self.folder.join(format!(".usage-{shard:02}.{}.new", uuid::Uuid::new_v4().simple()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            fs::rename(&new, &path)
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
    }

    /// Removes what was begun by somebody who was killed.
    fn clear_away(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let begun =
                name.to_str().is_some_and(|name| name.starts_with(".usage-") && name.ends_with(".new"));
            let written = || entry.metadata().and_then(|metadata| metadata.modified());
            if begun && written().is_ok_and(|written| written.elapsed().is_ok_and(|age| age > LEFT)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn is_reliable(&self, device: u64, path: &Path) -> bool {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        *devices.entry(device).or_insert_with(|| is_reliable(path))
    }
}

/// The format of what no format knows.
const UNKNOWN: &str = "unknown";

/// Tells whether the file system says of every change when it was, by a clock of this machine and more finely than a second,
/// and gives a file's number to no other that is there.
#[cfg(target_os = "linux")]
fn is_reliable(path: &Path) -> bool {
    /// ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs, overlayfs, as `statfs` calls them.
    const KNOWN: [u32; 8] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0xca45_1a4e, 0x0102_1994, 0x794c_7630];
    rustix::fs::statfs(path).is_ok_and(|system| KNOWN.contains(&(system.f_type as u32)))
}

/// Tells whether the file system is one of the system's own.
#[cfg(target_os = "macos")]
fn is_reliable(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|system| {
        let name: Vec<u8> =
            system.f_fstypename.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
        name == b"apfs"
    })
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn is_reliable(_: &Path) -> bool {
    false
}

/// Returns what tells this program from every other, and from itself once it was built anew.
fn program() -> Option<u128> {
    let own = Path::new("/proc/self/exe");
    let path = if own.exists() { own.to_owned() } else { std::env::current_exe().ok()? };
    let facts = postcard::to_stdvec(&Facts::of(&path)?).ok()?;
    Some(xxh3_128(&[env!("CARGO_PKG_VERSION").as_bytes(), &facts].concat()))
}

/// Returns a number for what the records of a file may depend on beside the file.
fn decoding(options: &Options) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(options.agent.map_or("", |format| format.name()).as_bytes());
    hash.update(&(options.line_limit as u64).to_le_bytes());
    hash.update(&(options.max_sessions as u64).to_le_bytes());
    // A zone by what its clocks do: what a name stands for may change.
    let begin = jiff::Timestamp::UNIX_EPOCH;
    hash.update(&options.zone.to_offset(begin).seconds().to_le_bytes());
    let changes = options.zone.following(begin).take_while(|change| change.timestamp().as_second() < 1 << 32);
    for change in changes {
        hash.update(&change.timestamp().as_second().to_le_bytes());
        hash.update(&change.offset().seconds().to_le_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests;
