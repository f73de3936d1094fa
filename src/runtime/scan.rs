//! Files: read in parallel, told in order.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use crossbeam_channel::bounded;

use super::{EnginePanic, Tally, Telling, Watch, clock};
use crate::engine::Options;
use crate::source::file::{self, ReadError};
use crate::source::walk::Input;

/// How much is read at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// How many chunks are read ahead of the engine where a processor is free for it.
const AHEAD: usize = 2;

/// How many bytes of events a file that is not next in line may keep in memory; then its reader waits.
const BACKLOG: usize = 4 * 1024 * 1024;

/// Takes the events of the files, in the order of the files; returns whether more is wanted.
pub trait Take: Send {
    /// Takes whole lines.
    fn take(&mut self, lines: &[u8]) -> bool;
}

/// How far a scan is; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read, as stored.
    pub bytes: Arc<AtomicU64>,
    /// Files read to their end.
    pub files: AtomicUsize,
    /// Set to stop early.
    pub stop: AtomicBool,
}

/// Why a file was not read to its end.
#[derive(Debug)]
pub enum FileTrouble {
    /// It could not be read.
    Read(ReadError),
    /// The engine failed on it.
    Engine(PathBuf),
}

/// What came out of a scan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// All files together.
    pub tally: Tally,
    /// What could not be read.
    pub troubles: Vec<FileTrouble>,
}

/// Reads files with `threads` threads (at least one).
///
/// # Errors
/// A thread cannot be started.
pub fn run(
    inputs: &[Input],
    options: &Arc<Options>,
    telling: &Telling,
    threads: usize,
    progress: &Progress,
    output: &mut dyn Take,
) -> io::Result<Outcome> {
    let turnstile = Turnstile::new(output);
    let outcome = Mutex::new(Outcome::default());
    // Where there are more processors than files, each file is read on one and judged on another.
    let ahead = threads > inputs.len();
    let threads = threads.clamp(1, inputs.len().max(1));
    let scan = |index: usize, input: &Input, chunk: &mut [u8]| {
        let mut turn = Turn { turnstile: &turnstile, index, lines: Vec::new() };
        let (tally, trouble) = scan_file(input, options, telling, progress, chunk, ahead, &mut turn);
        turn.end();
        progress.files.fetch_add(1, Ordering::Relaxed);
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.tally.add(&tally);
        outcome.troubles.extend(trouble);
    };
    let stopped = || progress.stop.load(Ordering::Relaxed);
    if threads == 1 {
        // A thread to wait for would cost a start its memory a second time.
        let mut chunk = vec![0; CHUNK];
        for (index, input) in inputs.iter().enumerate().take_while(|_| !stopped()) {
            scan(index, input, &mut chunk);
        }
    } else {
        let (sender, jobs) = bounded::<(usize, &Input)>(1);
        thread::scope(|scope| {
            for number in 0..threads {
                let (jobs, scan) = (jobs.clone(), &scan);
                thread::Builder::new().name(format!("scan-{number}")).spawn_scoped(scope, move || {
                    let mut chunk = vec![0; CHUNK];
                    for (index, input) in jobs {
                        scan(index, input, &mut chunk);
                    }
                })?;
            }
            drop(jobs);
            for job in inputs.iter().enumerate() {
                if stopped() || sender.send(job).is_err() {
                    break;
                }
            }
            drop(sender);
            Ok::<(), io::Error>(())
        })?;
    }
    Ok(outcome.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn scan_file(
    input: &Input,
    options: &Arc<Options>,
    telling: &Telling,
    progress: &Progress,
    chunk: &mut [u8],
    ahead: bool,
    turn: &mut Turn<'_, '_>,
) -> (Tally, Option<FileTrouble>) {
    let name = input.path.to_string_lossy();
    let mut watch = Watch::new(Arc::clone(options), &name, &seed(&input.path), telling);
    if let Some(written) = clock::written(&input.path) {
        let _ = watch.run(&mut turn.lines, |doctor, _| doctor.written_at(written));
    }
    let trouble = read_file(input, progress, chunk, ahead, turn, &mut watch);
    if !matches!(trouble, Some(FileTrouble::Read(ref error)) if !error.is_data()) {
        // What was read of a damaged file was read: it has a summary.
        let now = clock::now();
        let _ = watch.run(&mut turn.lines, |doctor, out| doctor.finish(now, out));
    }
    (watch.tally(), trouble)
}

fn read_file(
    input: &Input,
    progress: &Progress,
    chunk: &mut [u8],
    ahead: bool,
    turn: &mut Turn<'_, '_>,
    watch: &mut Watch<'_>,
) -> Option<FileTrouble> {
    let mut reader = match file::open_counting(&input.path, Arc::clone(&progress.bytes)) {
        Ok(reader) => reader,
        Err(error) => return Some(FileTrouble::Read(error)),
    };
    let mut judge = |bytes: &[u8]| {
        let now = clock::now();
        if watch.run(&mut turn.lines, |doctor, out| doctor.feed(now, bytes, out)) == Err(EnginePanic) {
            return Some(FileTrouble::Engine(input.path.clone()));
        }
        if !turn.pass() {
            progress.stop.store(true, Ordering::Relaxed);
        }
        None
    };
    // What is read in one go is not worth a thread.
    if !ahead || input.size <= CHUNK as u64 {
        while !progress.stop.load(Ordering::Relaxed) {
            match reader.read_chunk(chunk) {
                Ok(0) => break,
                Ok(length) => {
                    if let Some(trouble) = judge(&chunk[..length]) {
                        return Some(trouble);
                    }
                }
                Err(error) => return Some(FileTrouble::Read(error)),
            }
        }
        return None;
    }
    thread::scope(|scope| {
        let (filled, chunks) = bounded::<Result<(Vec<u8>, usize), ReadError>>(AHEAD);
        let (emptied, spare) = bounded::<Vec<u8>>(AHEAD + 2);
        for _ in 0..=AHEAD {
            let _ = emptied.send(vec![0; CHUNK]);
        }
        scope.spawn(move || {
            // Ends when the file does, or when nobody wants more of it.
            for mut chunk in spare {
                let read = reader.read_chunk(&mut chunk).map(|length| (chunk, length));
                let last = !matches!(read, Ok((_, 1..)));
                if filled.send(read).is_err() || last {
                    break;
                }
            }
        });
        for read in chunks {
            match read {
                Ok((_, 0)) => break,
                Ok((chunk, length)) => {
                    if let Some(trouble) = judge(&chunk[..length]) {
                        return Some(trouble);
                    }
                    let _ = emptied.send(chunk);
                }
                Err(error) => return Some(FileTrouble::Read(error)),
            }
            if progress.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        None
    })
}

/// The id of a session that never names itself comes from the path of its file.
fn seed(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Lets the files through to the output one after the other.
struct Turnstile<'o> {
    state: Mutex<State<'o>>,
    moved: Condvar,
}

struct State<'o> {
    /// The index of the file whose turn it is.
    turn: usize,
    /// The lines of files that ended before their turn came.
    ended: std::collections::BTreeMap<usize, Vec<u8>>,
    /// How many bytes these are.
    held: usize,
    output: &'o mut dyn Take,
    wanted: bool,
}

impl<'o> Turnstile<'o> {
    fn new(output: &'o mut dyn Take) -> Self {
        let ended = std::collections::BTreeMap::new();
        Self {
            state: Mutex::new(State { turn: 0, ended, held: 0, output, wanted: true }),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'o>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State<'_> {
    fn put(&mut self, lines: &mut Vec<u8>) {
        if self.wanted && !lines.is_empty() {
            self.wanted = self.output.take(lines);
        }
        lines.clear();
    }
}

/// One file's place in the queue.
struct Turn<'t, 'o> {
    turnstile: &'t Turnstile<'o>,
    index: usize,
    lines: Vec<u8>,
}

impl Turn<'_, '_> {
    /// Passes lines on if it is this file's turn, or waits for it if they are too many to keep; returns whether more
    /// is wanted.
    fn pass(&mut self) -> bool {
        if self.lines.is_empty() {
            return true;
        }
        let mut state = self.turnstile.lock();
        while state.turn != self.index && self.lines.len() > BACKLOG {
            state = self.turnstile.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.turn == self.index {
            state.put(&mut self.lines);
        }
        state.wanted
    }

    /// Ends this file's turn, or leaves its lines for when it comes; waits while too many are left already. The file
    /// whose turn it is was begun before this one and waits for nobody, so the turn comes.
    fn end(mut self) {
        let mut state = self.turnstile.lock();
        while state.turn != self.index && state.held > 0 && state.held + self.lines.len() > BACKLOG {
            state = self.turnstile.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.turn != self.index {
            state.held += self.lines.len();
            state.ended.insert(self.index, self.lines);
            return;
        }
        state.put(&mut self.lines);
        state.turn += 1;
        loop {
            let turn = state.turn;
            let Some(mut lines) = state.ended.remove(&turn) else { break };
            state.held -= lines.len();
            state.put(&mut lines);
            state.turn += 1;
        }
        drop(state);
        self.turnstile.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Firsts(Vec<u8>);

    impl Take for Firsts {
        fn take(&mut self, lines: &[u8]) -> bool {
            self.0.push(lines[0]);
            true
        }
    }

    #[test]
    fn what_ended_files_leave_is_bounded() {
        let mut output = Firsts(Vec::new());
        let turnstile = Turnstile::new(&mut output);
        let turn = |index: usize, length| Turn {
            turnstile: &turnstile,
            index,
            lines: vec![b'0' + u8::try_from(index).unwrap(); length],
        };
        turn(1, BACKLOG).end();
        thread::scope(|scope| {
            let later = scope.spawn(|| turn(2, 1).end());
            thread::sleep(Duration::from_millis(50));
            assert!(!later.is_finished(), "it waits for the first");
            turn(0, 1).end();
        });
        assert_eq!(output.0, b"012");
    }
}
