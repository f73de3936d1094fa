//! The agent's own transcript, read while the agent writes it: it knows what standard output hides, such as silent
//! retries and the exact time of a reset.
//!
//! The file is looked at every quarter of a second; where it has to be searched for, that is done less and less often. Only
//! what is written after the attempt began counts; what an earlier attempt left in a file that goes on is passed over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{io, thread};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::input::{Input, Post};
use super::watcher::Feed;
use super::witness::Witness;
use crate::child::caught::without_signals;
use crate::engine::{Doctor, Options};
use crate::model::{Basis, Event, EventBody, Level, Timestamp};
use crate::profile::transcript::Transcript;
use crate::recovery::Source;
use crate::runtime::spent::{By, Spent};
use crate::runtime::{clock, transcripts};

/// How often the file is looked at.
const ROUND: Duration = Duration::from_millis(250);

/// How often a file that is not there is looked for, at the least: a search reads folders.
const MAX_ROUND: Duration = Duration::from_secs(4);

/// What the reading of a transcript is given.
pub struct Second {
    /// What the engine is made of.
    pub engine: Arc<Options>,
    /// Where to look.
    pub transcript: Transcript,
    /// Whether its events are told too, because the output says next to nothing; else they are kept for recovery, and told
    /// only when a decision rests on them.
    pub tells: bool,
    /// What is older was copied from an earlier session, and is no news.
    pub copied_before: Option<Timestamp>,
    /// Who must know.
    pub witness: Witness,
    /// The way of its events.
    pub feed: Feed,
    /// Where alerts are put.
    pub post: Post,
    /// What counts for budgets.
    pub spent: Spent,
}

/// A transcript being read.
#[derive(Debug)]
pub struct Reading {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Reading {
    /// Begins to read, from a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(second: Second) -> io::Result<Self> {
        let (stop, stopped) = bounded(1);
        // Times of files are coarse: one that was made in this second is not older than the attempt.
        let began = SystemTime::now() - Duration::from_secs(1);
        // Agents may begin what they resume as a copy too, in a file of its own: that was paid for before.
        let counts_from = second.copied_before.unwrap_or_else(|| clock::now().plus_seconds(-1));
        // What is there already was written by an earlier attempt.
        let known = known(&second.transcript);
        let thread = without_signals(|| {
            thread::Builder::new()
                .name("transcript".to_owned())
                .spawn(move || read(&second, began, counts_from, known, &stopped))
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Reads what is there, and ends.
    pub fn finish(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How long each file was before the attempt.
type Known = BTreeMap<PathBuf, u64>;

fn known(transcript: &Transcript) -> Known {
    let length = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    match transcript {
        Transcript::File(path) => [(path.clone(), length(path))].into(),
        searched => {
            transcripts::found(searched).into_iter().map(|(_, path)| (path.clone(), length(&path))).collect()
        }
    }
}

fn read(second: &Second, began: SystemTime, counts_from: Timestamp, known: Known, stopped: &Receiver<()>) {
    let mut open: Option<(File, Doctor)> = None;
    let mut buffer = vec![0; 64 << 10];
    let mut round = ROUND;
    loop {
        let last = matches!(stopped.recv_timeout(round), Err(RecvTimeoutError::Disconnected));
        // To look at one place costs nothing.
        let is_cheap = open.is_some() || matches!(second.transcript, Transcript::File(_));
        round = if is_cheap { ROUND } else { (round * 2).min(MAX_ROUND) };
        if open.is_none()
            && let Some((path, from)) = find(&second.transcript, began, &known)
            && let Ok(mut file) = File::open(&path)
            && file.seek(SeekFrom::Start(from)).is_ok()
        {
            let name = path.to_string_lossy();
            let mut doctor = Doctor::new(Arc::clone(&second.engine), &name, &name);
            doctor.begin_at(0, from);
            doctor.counts_from(counts_from);
            second.witness.hear(&mut doctor, Source::Transcript, second.copied_before);
            open = Some((file, doctor));
        }
        if let Some((file, doctor)) = &mut open {
            // A quarter of a second of a transcript is little; what is more waits for the next round.
            for _ in 0..1024 {
                match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        second.post.sign(Input::Written);
                        let now = clock::now();
                        second.spent.tell(doctor);
                        doctor.feed(now, &buffer[..count], &mut |event| told(second, event));
                        second.spent.see(By::Transcript, doctor);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            let now = clock::now();
            if doctor.next_deadline().is_some_and(|deadline| deadline <= now) {
                doctor.tick(now, &mut |event| told(second, event));
            }
        }
        if last {
            if let Some((_, doctor)) = &mut open {
                doctor.finish(clock::now(), &mut |event| told(second, event));
            }
            return;
        }
    }
}

fn told(second: &Second, event: Event) {
    if event.time.is_some_and(|time| second.copied_before.is_some_and(|before| time < before)) {
        return;
    }
    second.witness.event(Source::Transcript, &event);
    let is_news = matches!(event.body, EventBody::Finding(_) | EventBody::Alert(_) | EventBody::Usage(_));
    let is_sign = match &event.body {
        EventBody::Alert(alert) => alert.level == Level::Act,
        // One that is like the last raises no alert; it counts if the agent was told to go on meanwhile.
        EventBody::Finding(finding) => finding.basis == Basis::Asserted && !finding.self_healing,
        _ => false,
    };
    if is_sign {
        second.post.send(Input::Seen);
    }
    match is_news {
        true if second.tells => second.feed.pass(event),
        true => second.witness.keep(event),
        false => {}
    }
}

/// Returns the file, and where in it the attempt begins.
fn find(transcript: &Transcript, began: SystemTime, known: &Known) -> Option<(PathBuf, u64)> {
    let from = |path: PathBuf| {
        let from = known.get(&path).copied().unwrap_or(0);
        (path, from)
    };
    let latest = |mut found: Vec<(SystemTime, PathBuf)>| {
        found.retain(|(changed, _)| *changed >= began);
        found.sort_by_key(|(changed, _)| std::cmp::Reverse(*changed));
        found.into_iter().map(|(_, path)| path)
    };
    match transcript {
        Transcript::File(path) => path.is_file().then(|| from(path.clone())),
        searched => {
            latest(transcripts::found(searched)).find(|path| transcripts::is_ours(searched, path)).map(from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_new_attempt_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        let long_ago = SystemTime::UNIX_EPOCH;
        let file = Transcript::File(path.clone());
        let before = known(&file);
        assert!(find(&file, long_ago, &before).is_none(), "it is not there yet");
        std::fs::write(&path, "old\n").unwrap();
        assert_eq!(find(&file, long_ago, &before), Some((path.clone(), 0)));
        let pattern = Transcript::Pattern(format!("{}/**/*.jsonl", folder.path().display()));
        let before = known(&pattern);
        assert_eq!(find(&pattern, long_ago, &before), Some((path, 4)), "the session goes on");
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(find(&pattern, later, &before).is_none(), "it is of an earlier run");
    }
}
