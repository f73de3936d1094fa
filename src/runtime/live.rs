//! Live streams: what is read is passed on at once, then looked at.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::signals::Signals;
use super::spent::{By, Spent};
use super::{Tally, Telling, Watch, clock};
use crate::engine::{Options, framing};
use crate::sink::output::{Output, is_farewell};
use crate::sink::queue::Queue;
use crate::source::stdin::{Ready, Stdin};

/// How much is read at a time, in bytes: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How long a stream is still read after a signal, so that the agent's last words are not lost.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long events may lie in the buffer of a file before they are written.
const FILE_FLUSH: Duration = Duration::from_secs(1);

/// Where the events of a live stream go.
pub enum Events<'o> {
    /// To an output that may make the stream wait, as filters do.
    Direct(&'o mut Output),
    /// Through a queue that never does; whoever made it closes it.
    Queued(&'o Queue),
}

/// What went wrong beside the stream.
#[derive(Debug)]
pub enum Trouble {
    /// The stream cannot be read.
    Read(io::Error),
    /// The events cannot be written.
    Events(io::Error),
    /// The stream cannot be passed on.
    PassThrough(io::Error),
    /// The engine failed; the stream was passed on without being looked at from there on.
    Engine,
}

/// What came out of a live stream.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found.
    pub tally: Tally,
    /// What went wrong.
    pub troubles: Vec<Trouble>,
    /// Whether the output takes no more: its reader had enough, or it failed.
    pub unread: bool,
    /// How many events the queue did not take.
    pub dropped: u64,
}

/// What a stream is watched in.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Ends it.
    pub signals: &'a Signals,
    /// What counts for budgets beside the stream.
    pub spent: &'a Spent,
}

/// Watches a stream to its end, or until a signal or the reader of the output ends it. With `pass_through`, each chunk
/// is written to it before it is looked at.
pub fn run(
    source: &mut Stdin,
    name: &str,
    options: &Arc<Options>,
    telling: &Telling,
    mut events: Events<'_>,
    mut pass_through: Option<&mut dyn Write>,
    around: &Around<'_>,
) -> Outcome {
    let Around { signals, spent } = around;
    let mut outcome = Outcome::default();
    let started = clock::now();
    let seed = format!("{name}\n{}\n{}", started.as_micros(), std::process::id());
    let mut watch = Watch::new(Arc::clone(options), name, &seed, telling);
    let mut chunk = vec![0; CHUNK];
    let mut lines = Vec::new();
    let mut told_dropped = 0;
    let mut leave_at: Option<Instant> = None;
    loop {
        let wait = wait_for(&watch, &events, leave_at);
        let now;
        match source.wait(wait) {
            Ok(Ready::Data) => {
                let length = match source.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) => {
                        outcome.troubles.push(Trouble::Read(error));
                        break;
                    }
                };
                if let Some(writer) = &mut pass_through
                    && let Err(error) = writer.write_all(&chunk[..length]).and_then(|()| writer.flush())
                {
                    note_output(error, Trouble::PassThrough, &mut outcome);
                    break;
                }
                now = clock::now();
                let fed = watch.run(&mut lines, |doctor, out| {
                    spent.tell(doctor);
                    doctor.feed(now, &chunk[..length], out);
                    spent.see(By::Output, doctor);
                });
                if fed.is_err() && !outcome.troubles.iter().any(|trouble| matches!(trouble, Trouble::Engine))
                {
                    outcome.troubles.push(Trouble::Engine);
                    if pass_through.is_none() {
                        break;
                    }
                }
            }
            Ok(Ready::Timeout) => {
                if leave_at.is_some_and(|leave_at| Instant::now() >= leave_at) {
                    break;
                }
                now = clock::now();
                let _ = watch.run(&mut lines, |doctor, out| doctor.tick(now, out));
                if let Events::Direct(output) = &mut events
                    && let Err(error) = output.flush()
                {
                    note_output(error, Trouble::Events, &mut outcome);
                    break;
                }
            }
            Ok(Ready::Signal) => {
                if signals.caught().is_some() {
                    leave_at.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                }
                source.ignore_waker();
                continue;
            }
            Err(error) => {
                outcome.troubles.push(Trouble::Read(error));
                break;
            }
        }
        match &mut events {
            Events::Direct(output) => {
                let written = output.write(&lines);
                lines.clear();
                if let Err(error) = written {
                    note_output(error, Trouble::Events, &mut outcome);
                    break;
                }
            }
            Events::Queued(queue) if !lines.is_empty() => {
                let count = framing::count_lines(&lines);
                if !queue.offer(std::mem::take(&mut lines)) {
                    outcome.dropped += count;
                    let untold = outcome.dropped - told_dropped;
                    let _ = watch.run(&mut lines, |doctor, _| doctor.note_dropped(untold));
                    told_dropped = outcome.dropped;
                }
            }
            Events::Queued(_) => {}
        }
        if leave_at.is_some_and(|leave_at| Instant::now() >= leave_at) {
            break;
        }
    }
    let now = clock::now();
    let _ = watch.run(&mut lines, |doctor, out| doctor.finish(now, out));
    match events {
        Events::Direct(output) if !outcome.unread => {
            if let Err(error) = output.write(&lines).and_then(|()| output.flush()) {
                note_output(error, Trouble::Events, &mut outcome);
            }
        }
        Events::Direct(_) => {}
        Events::Queued(queue) => {
            let count = framing::count_lines(&lines);
            if !queue.offer_last(lines) {
                outcome.dropped += count;
            }
        }
    }
    outcome.tally = watch.tally();
    outcome
}

/// Takes note that an output failed, once: nothing is written to it from here on.
fn note_output(error: io::Error, trouble: fn(io::Error) -> Trouble, outcome: &mut Outcome) {
    outcome.unread = true;
    if !is_farewell(&error) {
        outcome.troubles.push(trouble(error));
    }
}

/// Returns how long to wait for bytes: until the doctor, the buffer of a file or a signal's grace wants attention.
fn wait_for(watch: &Watch<'_>, events: &Events<'_>, leave_at: Option<Instant>) -> Option<Duration> {
    let doctor = watch.next_deadline().map(|deadline| {
        let micros = deadline.as_micros().saturating_sub(clock::now().as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    });
    let buffer = matches!(events, Events::Direct(output) if output.is_dirty()).then_some(FILE_FLUSH);
    let grace = leave_at.map(|leave_at| leave_at.saturating_duration_since(Instant::now()));
    [doctor, buffer, grace].into_iter().flatten().min()
}
