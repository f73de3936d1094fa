//! Files that grow: one doctor each, on one thread; what is told of them comes in the order in which it arrived.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::signals::Signals;
use super::{Tally, Telling, Watch, clock};
use crate::engine::Options;
use crate::model::Timestamp;
use crate::sink::output::Output;
use crate::source::follow::{self, Change, FileId, Follower, MAX_FILES};

/// How long files are still read after a signal, so that what was written before it is not lost.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How soon a doctor is asked again that has just been asked.
const SOON: Duration = Duration::from_millis(10);

/// What is in the way; following goes on.
#[derive(Debug)]
pub enum Trouble {
    /// Of the files.
    Source(follow::Trouble),
    /// The engine failed on a file; nothing more is told of it.
    Engine(PathBuf),
}

/// What ended the following.
#[derive(Debug)]
pub enum End {
    /// A signal.
    Signal,
    /// The reader of the output had enough, or the output cannot be written.
    Output(io::Error),
    /// The system refuses to wait for changes.
    Wait(io::Error),
}

/// Follows until a signal comes or the output fails; returns what came out of all files, and why it ended.
pub fn run(
    follower: &mut Follower,
    options: &Arc<Options>,
    telling: &Telling,
    output: &mut Output,
    signals: &Signals,
    complain: &mut dyn FnMut(Trouble),
) -> (Tally, End) {
    let mut desk = Desk {
        options,
        telling,
        output,
        complain,
        watches: BTreeMap::new(),
        deadlines: BTreeSet::new(),
        begun: HashMap::new(),
        lines: Vec::new(),
        tally: Tally::default(),
        failed: None,
    };
    let waker = signals.waker().ok();
    let mut leave_at: Option<Instant> = None;
    let end = loop {
        let _ = follower.poll_once(Instant::now(), &mut |change| {
            desk.take(change);
            let over = match leave_at {
                Some(leave_at) => Instant::now() >= leave_at,
                None => signals.caught().is_some(),
            };
            if over || desk.failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        desk.tick();
        desk.write(true);
        if let Some(error) = desk.failed.take() {
            break End::Output(error);
        }
        if leave_at.is_some() {
            break End::Signal;
        }
        let mut signalled = signals.caught().is_some();
        if !signalled {
            match follower.wait(desk.wait_for(), waker.as_ref().map(AsFd::as_fd)) {
                Ok(_) => signalled = signals.caught().is_some(),
                Err(error) => break End::Wait(error),
            }
        }
        if signalled {
            leave_at = Some(Instant::now() + LAST_WORDS);
            follower.look_at_all();
        }
    };
    let end = desk.finish(end);
    (desk.tally, end)
}

/// Where changes become events.
struct Desk<'d> {
    options: &'d Arc<Options>,
    telling: &'d Telling,
    output: &'d mut Output,
    complain: &'d mut dyn FnMut(Trouble),
    /// The files of which something was read. At most [`MAX_FILES`].
    watches: BTreeMap<FileId, Watched<'d>>,
    /// When doctors want to be asked.
    deadlines: BTreeSet<(Timestamp, FileId)>,
    /// How many sources each path has had. At most [`MAX_FILES`]; when it is full, it is begun anew, and sessions
    /// that never say their own id may get one that an earlier file of that path had.
    begun: HashMap<PathBuf, u64>,
    lines: Vec<u8>,
    tally: Tally,
    failed: Option<io::Error>,
}

struct Watched<'d> {
    watch: Watch<'d>,
    path: PathBuf,
    deadline: Option<Timestamp>,
    is_broken: bool,
}

impl Desk<'_> {
    fn take(&mut self, change: Change<'_>) {
        match change {
            // A file that nothing is read of is no source: thousands may lie there that nobody writes to any more.
            Change::Opened { .. } => {}
            Change::Skipped { file, path, lines, bytes } => {
                self.begin(file, path);
                self.run(file, |doctor, _| doctor.begin_at(lines, bytes));
            }
            Change::Data { file, path, bytes } => {
                if !self.watches.contains_key(&file) {
                    self.begin(file, path);
                }
                let now = clock::now();
                self.run(file, |doctor, out| doctor.feed(now, bytes, out));
            }
            Change::Truncated { file, .. } | Change::Gone { file, .. } => self.end(file),
            Change::Trouble(trouble) => {
                // In order with the events, as far as they go to the same place.
                self.write(true);
                (self.complain)(Trouble::Source(trouble));
            }
        }
        self.write(false);
    }

    fn begin(&mut self, file: FileId, path: &Path) {
        let name = path.to_string_lossy();
        if self.begun.len() >= MAX_FILES {
            self.begun.clear();
        }
        let begun = self.begun.entry(path.to_owned()).or_default();
        // The first of a path has the ids that reading it once would give.
        let seed = if *begun == 0 { name.clone().into_owned() } else { format!("{name}\n{begun}") };
        *begun += 1;
        let watch = Watch::new(Arc::clone(self.options), &name, &seed, self.telling);
        let watched = Watched { watch, path: path.to_owned(), deadline: None, is_broken: false };
        self.watches.insert(file, watched);
    }

    fn end(&mut self, file: FileId) {
        let now = clock::now();
        self.run(file, |doctor, out| doctor.finish(now, out));
        let Some(watched) = self.watches.remove(&file) else { return };
        if let Some(deadline) = watched.deadline {
            self.deadlines.remove(&(deadline, file));
        }
        self.tally.add(&watched.watch.tally());
    }

    fn run(
        &mut self,
        file: FileId,
        work: impl FnOnce(&mut crate::engine::Doctor, &mut dyn FnMut(crate::model::Event)),
    ) {
        let Some(watched) = self.watches.get_mut(&file) else { return };
        if watched.watch.run(&mut self.lines, work).is_err() && !watched.is_broken {
            watched.is_broken = true;
            (self.complain)(Trouble::Engine(watched.path.clone()));
        }
        let deadline = watched.watch.next_deadline();
        let before = std::mem::replace(&mut watched.deadline, deadline);
        if before != deadline {
            if let Some(before) = before {
                self.deadlines.remove(&(before, file));
            }
            self.deadlines.extend(deadline.map(|deadline| (deadline, file)));
        }
    }

    /// Asks the doctors whose time has come.
    fn tick(&mut self) {
        let now = clock::now();
        let due: Vec<FileId> = self
            .deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= now)
            .map(|(_, file)| *file)
            .collect();
        for file in due {
            self.run(file, |doctor, out| doctor.tick(now, out));
        }
    }

    /// Returns how long until a doctor wants to be asked.
    fn wait_for(&self) -> Option<Duration> {
        let (deadline, _) = self.deadlines.first()?;
        let micros = deadline.as_micros().saturating_sub(clock::now().as_micros());
        Some(u64::try_from(micros).map_or(SOON, Duration::from_micros))
    }

    /// Writes what was told. With `flush`, nothing stays behind: a file that events go to may be followed too.
    fn write(&mut self, flush: bool) {
        if self.failed.is_some() {
            self.lines.clear();
            return;
        }
        let mut written = self.output.write(&self.lines);
        self.lines.clear();
        if flush && written.is_ok() {
            written = self.output.flush();
        }
        self.failed = written.err();
    }

    /// Ends every source.
    fn finish(&mut self, end: End) -> End {
        let is_unread = matches!(end, End::Output(_));
        while let Some(file) = self.watches.keys().next().copied() {
            self.end(file);
            if is_unread {
                self.lines.clear();
            } else {
                self.write(false);
            }
        }
        if !is_unread {
            self.write(true);
        }
        match self.failed.take() {
            Some(error) => End::Output(error),
            None => end,
        }
    }
}
