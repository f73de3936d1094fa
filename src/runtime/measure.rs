//! Files: read in parallel for how close their sessions came to a loop, or for which of them are interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use super::clock;
use super::scan::FileTrouble;
use crate::engine::{Doctor, Measure, Options};
use crate::model::{Class, Event, EventBody, Level};
use crate::source::file;
use crate::source::walk::Input;

/// How much is read at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// What a file holds.
#[derive(Debug)]
pub struct Measured {
    /// The file.
    pub path: PathBuf,
    /// How close its sessions came to a loop; empty where that was not asked for.
    pub measures: Vec<Measure>,
    /// The sessions that are interrupted for a loop; empty where it was only measured.
    pub stopped: Vec<String>,
    /// Why it was not read to its end.
    pub trouble: Option<FileTrouble>,
}

/// What is asked of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How close each session comes to a loop.
    Measure,
    /// Which sessions are interrupted.
    Replay,
}

/// Reads files with `threads` threads (at least one), and returns what they hold in their order. `bytes` counts what was
/// read, as stored.
///
/// # Errors
/// A thread cannot be started.
pub fn run(
    inputs: &[&Input],
    options: &Arc<Options>,
    ask: Ask,
    threads: usize,
    bytes: &Arc<AtomicU64>,
) -> io::Result<Vec<Measured>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        let mut chunk = vec![0; CHUNK];
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(at) else { break };
            let measured = read(input, options, ask, &mut chunk, bytes);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((at, measured));
        }
    };
    thread::scope(|scope| {
        for number in 1..threads.min(inputs.len()) {
            thread::Builder::new().name(format!("measure-{number}")).spawn_scoped(scope, work)?;
        }
        work();
        Ok::<(), io::Error>(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, measured)| measured).collect())
}

fn read(
    input: &Input,
    options: &Arc<Options>,
    ask: Ask,
    chunk: &mut [u8],
    bytes: &Arc<AtomicU64>,
) -> Measured {
    let path = input.path.clone();
    let mut measured = Measured { path, measures: Vec::new(), stopped: Vec::new(), trouble: None };
    let name = input.path.to_string_lossy();
    let mut doctor = Doctor::new(Arc::clone(options), &name, &name);
    if ask == Ask::Measure {
        doctor.start_measuring_loops();
    }
    if let Some(written) = clock::written(&input.path) {
        doctor.written_at(written);
    }
    let mut reader = match file::open_counting(&input.path, Arc::clone(bytes)) {
        Ok(reader) => reader,
        Err(error) => return Measured { trouble: Some(FileTrouble::Read(error)), ..measured },
    };
    let stopped = &mut measured.stopped;
    let mut out = |event: Event| {
        if let EventBody::Alert(alert) = &event.body
            && (alert.class, alert.level) == (Class::ToolRepeat, Level::Act)
        {
            let session = event.parent_session.unwrap_or(event.session);
            if !stopped.contains(&session) {
                stopped.push(session);
            }
        }
    };
    loop {
        let length = match reader.read_chunk(chunk) {
            Ok(length) => length,
            Err(error) => {
                measured.trouble = Some(FileTrouble::Read(error));
                0
            }
        };
        let now = clock::now();
        let worked = catch_unwind(AssertUnwindSafe(|| {
            if length == 0 {
                doctor.finish(now, &mut out);
            } else {
                doctor.feed(now, &chunk[..length], &mut out);
            }
        }));
        if worked.is_err() {
            measured.trouble = Some(FileTrouble::Engine(input.path.clone()));
            return measured;
        }
        if length == 0 {
            break;
        }
    }
    measured.measures = doctor.measures();
    measured
}
