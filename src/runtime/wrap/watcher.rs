//! The engine beside the run: takes copies of what was passed on, on a thread of its own, and tells events. Whatever
//! happens here, what passes through does not wait for it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::effect::{Change, Launch};
use super::input::{Input, Post, Stream};
use super::witness::{Witness, source};
use crate::child::caught::without_signals;
use crate::engine::redact::argv::redact_argv;
use crate::engine::{Doctor, Options, framing};
use crate::model::event::{Condition, Status};
use crate::model::id::IdBuilder;
use crate::model::{Event, EventBody, Timestamp};
use crate::runtime::spent::{By, Spent};
use crate::runtime::{Telling, Watch, clock};
use crate::sink::queue::Queue;

/// How many bytes may wait for the engine.
const BACKLOG: usize = 8 << 20;

/// How long a child that says more than the engine can read is slowed down, as by any reader. After that, what it says
/// is not looked at until the engine has caught up.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the end of the run waits for the engine to look at what is left. Whoever takes the events is waited for
/// apart from it, by the queue.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// What the watcher is given.
enum Given {
    /// A child was started.
    Started(Process),
    /// Bytes of a stream, and when they came.
    Bytes { stream: Stream, bytes: Vec<u8>, now: Timestamp },
    /// Bytes of a stream are missing here.
    Gap { stream: Stream },
    /// The run has changed.
    Change(Change),
    /// Something to be told of the session.
    Tell { id: String, body: EventBody },
    /// An event of another source of the session.
    Pass(Event),
    /// The child is over, and another may be started: what is told of the source at its end is due now.
    AttemptEnd { done: Sender<()> },
    /// The run is over.
    End,
}

/// What a session of a child begins with.
struct Process {
    pid: i32,
    command: Vec<String>,
    cwd: Option<String>,
}

/// The way of copies to the engine. What is behind is waited for a little, and then left behind.
#[derive(Clone)]
pub struct Feed {
    given: Sender<Given>,
    waiting: Arc<AtomicUsize>,
    unseen: Arc<AtomicU64>,
    /// Which streams have something missing at their end, and it was said.
    in_gap: Arc<[AtomicBool; 3]>,
    /// Since when it has been behind without having caught up with more than half of it.
    behind: Arc<Mutex<Option<Instant>>>,
}

impl Feed {
    /// Tells of a child, before anything that it says.
    pub fn started(&self, pid: i32, launch: &Launch) {
        let words: Vec<String> = launch.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let cwd = std::env::current_dir().ok().map(|cwd| cwd.to_string_lossy().into_owned());
        let _ = self.given.send(Given::Started(Process { pid, command: redact_argv(&words), cwd }));
    }

    /// Hands over a copy.
    pub fn offer(&self, stream: Stream, bytes: &[u8]) {
        let in_gap = &self.in_gap[stream as usize];
        let limit = if in_gap.load(Ordering::Relaxed) { BACKLOG / 2 } else { BACKLOG };
        if self.waiting.load(Ordering::Relaxed) > limit && (limit < BACKLOG || !self.catches_up()) {
            self.unseen.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if !in_gap.swap(true, Ordering::Relaxed) {
                let _ = self.given.send(Given::Gap { stream });
            }
            return;
        }
        in_gap.store(false, Ordering::Relaxed);
        if self.waiting.load(Ordering::Relaxed) < BACKLOG / 2 {
            self.caught_up();
        }
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        let _ = self.given.send(Given::Bytes { stream, bytes: bytes.to_vec(), now: clock::now() });
    }

    /// Waits for the engine to catch up; returns whether it did.
    fn catches_up(&self) -> bool {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *behind.get_or_insert_with(Instant::now);
        drop(behind);
        while since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
            if self.waiting.load(Ordering::Relaxed) <= BACKLOG {
                return true;
            }
        }
        self.caught_up();
        false
    }

    fn caught_up(&self) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells something of the session.
    pub fn tell(&self, id: String, body: EventBody) {
        let _ = self.given.send(Given::Tell { id, body });
    }

    /// Passes on an event of another source.
    pub fn pass(&self, event: Event) {
        let _ = self.given.send(Given::Pass(event));
    }

    /// Ends the source of one child and begins that of the next; returns when all that was said has been looked at, or
    /// after a while.
    pub fn end_attempt(&self) {
        let (done, wait) = bounded(1);
        if self.given.send(Given::AttemptEnd { done }).is_ok() {
            let _ = wait.recv_timeout(LAST_WAIT);
        }
    }

    /// Tells a change of the run, in order with what was said before it.
    pub fn change(&self, change: Change) {
        let _ = self.given.send(Given::Change(change));
    }
}

/// What came out of watching.
#[derive(Debug, Default)]
pub struct Report {
    /// How many bytes the engine was too far behind to look at.
    pub unseen: u64,
    /// How many events nobody took in time, at least.
    pub dropped: u64,
    /// Whether the engine failed.
    pub engine_failed: bool,
    /// Whether it had not looked at everything when it was not waited for any more.
    pub unfinished: bool,
    /// Why the events could not be written.
    pub events_failed: Option<io::Error>,
}

/// The engine at work.
pub struct Watcher {
    feed: Feed,
    dropped: Arc<AtomicU64>,
    done: Receiver<Looked>,
}

/// All was looked at.
struct Looked {
    report: Report,
    /// The last events, and where they go.
    last: Option<(Queue, Vec<u8>)>,
}

impl Watcher {
    /// Begins. With two `streams` they are of one session. What is told goes to `events`, and alerts, decisions and
    /// changes of status to `post`. `spent`: what counts for budgets beside what is seen here.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        options: Arc<Options>,
        streams: &[Stream],
        telling: Telling,
        events: Option<Queue>,
        post: Post,
        witness: Option<Witness>,
        spent: Spent,
    ) -> io::Result<Self> {
        let (given, take) = unbounded();
        let (tell_done, done) = bounded(1);
        let feed = Feed {
            given,
            waiting: Arc::new(AtomicUsize::new(0)),
            unseen: Arc::new(AtomicU64::new(0)),
            in_gap: Arc::default(),
            behind: Arc::default(),
        };
        let (waiting, unseen) = (Arc::clone(&feed.waiting), Arc::clone(&feed.unseen));
        let dropped = Arc::new(AtomicU64::new(0));
        let count_dropped = Arc::clone(&dropped);
        let first = streams.first().copied().unwrap_or(Stream::Stdout);
        let second = streams.get(1).copied();
        without_signals(|| {
            thread::Builder::new().name("engine".to_owned()).spawn(move || {
                let make = {
                    let witness = witness.clone();
                    move |number: u32| {
                        let (now, me) = (clock::now().as_micros(), std::process::id());
                        let seed = format!("wrap\n{now}\n{me}\n{number}");
                        let mut doctor = Doctor::new(Arc::clone(&options), first.name(), &seed);
                        if let Some(second) = second {
                            doctor = doctor.with_second(second.name());
                        }
                        if let Some(witness) = &witness {
                            witness.hear(&mut doctor, source(first), None);
                        }
                        doctor
                    }
                };
                let doctor = make(1);
                let session = doctor.session().to_owned();
                let mut desk = Desk {
                    watch: Watch::over(doctor, &telling),
                    telling: &telling,
                    second,
                    events,
                    post,
                    session,
                    agent: "unknown",
                    changes: 0,
                    lines: Vec::new(),
                    // Where the rest of a line is missing, its end is not to be taken for a line.
                    cut: [false; 2],
                    report: Report::default(),
                    dropped: count_dropped,
                    told_dropped: 0,
                    witness,
                    spent,
                    make: Box::new(make),
                    attempt: 1,
                    process: None,
                    ended: false,
                };
                desk.work(&take, &waiting);
                let _ = tell_done.send(desk.close(unseen.load(Ordering::Relaxed)));
            })
        })?;
        Ok(Self { feed, dropped, done })
    }

    /// Returns the way of copies to the engine.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Ends the watching: what was handed over is still looked at, and what is told is still written, but neither for
    /// ever.
    pub fn finish(self) -> Report {
        let _ = self.feed.given.send(Given::End);
        let looked = self.done.recv_timeout(LAST_WAIT).unwrap_or_else(|_| Looked {
            // It ends with the process.
            report: Report { unfinished: true, ..Report::default() },
            last: None,
        });
        let mut report = looked.report;
        report.unseen = self.feed.unseen.load(Ordering::Relaxed);
        report.dropped = self.dropped.load(Ordering::Relaxed);
        // Here, not in the engine's thread: that nobody takes the events does not mean that it was not finished.
        if let Some((queue, lines)) = looked.last {
            let count = framing::count_lines(&lines);
            match queue.close(lines) {
                Ok(true) => {}
                Ok(false) => report.dropped += count.max(1),
                Err(error) => report.events_failed = Some(error),
            }
        }
        report
    }
}

/// Where bytes become events.
struct Desk<'t> {
    watch: Watch<'t>,
    telling: &'t Telling,
    second: Option<Stream>,
    events: Option<Queue>,
    post: Post,
    session: String,
    agent: &'static str,
    changes: u64,
    lines: Vec<u8>,
    cut: [bool; 2],
    report: Report,
    /// How many events the queue did not take.
    dropped: Arc<AtomicU64>,
    told_dropped: u64,
    /// Who must know for recovery; then decisions are not the engine's.
    witness: Option<Witness>,
    /// What counts for budgets.
    spent: Spent,
    /// Makes the doctor of an attempt.
    make: Box<dyn Fn(u32) -> Doctor>,
    attempt: u32,
    process: Option<Process>,
    /// Whether nothing has come since the last child ended.
    ended: bool,
}

impl Desk<'_> {
    fn work(&mut self, take: &Receiver<Given>, waiting: &AtomicUsize) {
        loop {
            let wait = self.watch.next_deadline().map(|deadline| {
                let micros = deadline.as_micros().saturating_sub(clock::now().as_micros());
                Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            });
            let given = match wait {
                Some(wait) => take.recv_timeout(wait),
                None => take.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match given {
                Ok(Given::Bytes { stream, bytes, now }) => {
                    self.bytes(stream, &bytes, now);
                    waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                }
                Ok(Given::Started(process)) => self.process = Some(process),
                Ok(Given::Gap { stream }) => self.gap(stream),
                Ok(Given::Change(change)) => self.change(change),
                Ok(Given::Tell { id, body }) => self.tell(id, body),
                Ok(Given::Pass(event)) => self.pass(&event),
                Ok(Given::AttemptEnd { done }) => {
                    self.end_attempt();
                    self.hand_over();
                    let _ = done.send(());
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let now = clock::now();
                    self.run(|doctor, out| doctor.tick(now, out));
                }
                Ok(Given::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.hand_over();
        }
    }

    fn bytes(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) {
        let is_second = Some(stream) == self.second;
        self.ended = false;
        if let Some(witness) = &self.witness {
            witness.output(stream, bytes);
        }
        let mut bytes = bytes;
        if self.cut[usize::from(is_second)] {
            // The end of a line whose beginning nobody saw says nothing.
            let Some(end) = memchr::memchr(b'\n', bytes) else { return };
            bytes = &bytes[end + 1..];
            self.cut[usize::from(is_second)] = false;
        }
        self.run(
            |doctor, out| {
                if is_second { doctor.feed_second(now, bytes, out) } else { doctor.feed(now, bytes, out) }
            },
        );
    }

    fn gap(&mut self, stream: Stream) {
        let is_second = Some(stream) == self.second;
        if !std::mem::replace(&mut self.cut[usize::from(is_second)], true) {
            let now = clock::now();
            self.run(|doctor, out| {
                if is_second { doctor.feed_second(now, b"\n", out) } else { doctor.feed(now, b"\n", out) }
            });
        }
    }

    fn run(&mut self, work: impl FnOnce(&mut Doctor, &mut dyn FnMut(Event))) {
        let (post, session, agent) = (&self.post, &mut self.session, &mut self.agent);
        let (witness, second, process) = (&self.witness, self.second, &self.process);
        let spent = &self.spent;
        let ran = self.watch.run(&mut self.lines, |doctor, out| {
            spent.tell(doctor);
            work(doctor, &mut |mut event| {
                if let (EventBody::SessionStarted(session), None) = (&mut event.body, &event.parent_session) {
                    let process = process.as_ref();
                    session.pid = process.map(|process| process.pid);
                    session.command = process.map(|process| process.command.clone());
                    if session.cwd.is_none() {
                        session.cwd = process.and_then(|process| process.cwd.clone());
                    }
                }
                if let Some(witness) = witness {
                    let name = event.source.as_ref().map(|place| &*place.name);
                    let stream =
                        second.filter(|second| name == Some(second.name())).unwrap_or(Stream::Stdout);
                    witness.event(source(stream), &event);
                    // Who carries them out makes them.
                    if matches!(event.body, EventBody::Decision(_)) {
                        return;
                    }
                }
                if matches!(event.body, EventBody::Alert(_) | EventBody::Decision(_) | EventBody::Status(_)) {
                    post.send(Input::Told(Box::new(event.clone())));
                }
                out(event);
            });
            if doctor.session() != session.as_str() {
                doctor.session().clone_into(session);
            }
            *agent = doctor.agent();
            spent.see(By::Output, doctor);
        });
        self.report.engine_failed |= ran.is_err();
    }

    /// The source of one child has ended, and that of the next begins.
    fn end_attempt(&mut self) {
        let now = clock::now();
        self.run(|doctor, out| doctor.finish(now, out));
        if let Some(witness) = &self.witness {
            witness.output_ended();
        }
        self.attempt += 1;
        // After a mistake of ours nothing more is looked at: it may happen again at every start.
        if !self.report.engine_failed {
            let doctor = (self.make)(self.attempt);
            self.watch = Watch::over(doctor, self.telling);
        }
        self.cut = [false; 2];
        self.told_dropped = self.dropped.load(Ordering::Relaxed);
        self.ended = true;
    }

    fn pass(&mut self, event: &Event) {
        if self.telling.emit.is_empty() || self.telling.emit.contains(&event.event_type()) {
            self.telling.render.render(event, &mut self.lines);
        }
    }

    fn tell(&mut self, id: String, body: EventBody) {
        let event = Event {
            id,
            session: self.session.clone(),
            parent_session: None,
            agent: self.agent.to_owned(),
            time: None,
            observed_time: clock::now(),
            source: None,
            body,
        };
        self.post.send(Input::Told(Box::new(event.clone())));
        self.pass(&event);
    }

    fn change(&mut self, change: Change) {
        self.changes += 1;
        let id = IdBuilder::new("life")
            .part(self.session.as_bytes())
            .part(change.to.name().as_bytes())
            .number(self.changes)
            .finish("h-");
        let event = Event {
            id,
            session: self.session.clone(),
            parent_session: None,
            agent: self.agent.to_owned(),
            time: None,
            observed_time: clock::now(),
            source: None,
            body: EventBody::Status(Status {
                from: Condition::Life(change.from),
                to: Condition::Life(change.to),
                reason: change.reason,
                basis: change.basis,
                process: Some(change.process),
            }),
        };
        if self.telling.emit.is_empty() || self.telling.emit.contains(&event.event_type()) {
            self.telling.render.render(&event, &mut self.lines);
        }
    }

    /// Gives what was told to the queue, which drops it if it is full.
    fn hand_over(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return;
        }
        let Some(queue) = &self.events else { return };
        let count = framing::count_lines(&lines);
        if !queue.offer(lines) {
            let dropped = self.dropped.fetch_add(count, Ordering::Relaxed) + count;
            let untold = dropped - self.told_dropped;
            let mut nothing = Vec::new();
            let _ = self.watch.run(&mut nothing, |doctor, _| doctor.note_dropped(untold));
            self.told_dropped = dropped;
        }
    }

    /// Looks at the end of what was said; the last events are left to be written.
    fn close(mut self, unseen: u64) -> Looked {
        let now = clock::now();
        // What ended with its child has told its summary.
        if !self.ended {
            self.run(|doctor, out| {
                if unseen > 0 {
                    doctor.note_unseen(unseen);
                }
                doctor.finish(now, out);
            });
        }
        let lines = std::mem::take(&mut self.lines);
        Looked { report: self.report, last: self.events.map(|queue| (queue, lines)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::wrap::input::Mailbox;
    use crate::sink::{Form, renderer};

    fn feed() -> (Feed, Receiver<Given>) {
        let (given, take) = unbounded();
        let feed = Feed {
            given,
            waiting: Arc::default(),
            unseen: Arc::default(),
            in_gap: Arc::default(),
            behind: Arc::default(),
        };
        (feed, take)
    }

    #[test]
    fn an_engine_that_stands_still_is_left_behind() {
        let (feed, take) = feed();
        let chunk = vec![b'x'; 1 << 20];
        let began = Instant::now();
        for _ in 0..64 {
            feed.offer(Stream::Stdout, &chunk);
        }
        assert!(began.elapsed() < 20 * PATIENCE, "the wait is no longer than once");
        let given: Vec<Given> = take.try_iter().collect();
        let gaps = given.iter().filter(|given| matches!(given, Given::Gap { .. })).count();
        assert_eq!((given.len() - gaps, gaps), (9, 1));
        assert_eq!(feed.unseen.load(Ordering::Relaxed), 55 << 20);
    }

    #[test]
    fn after_a_gap_nothing_is_read_from_the_middle_of_a_line() {
        let telling = || Telling { render: renderer(Form::Json), emit: Vec::new() };
        let (mailbox, post) = Mailbox::new();
        let streams = [Stream::Stdout];
        let watcher =
            Watcher::start(Arc::new(Options::new()), &streams, telling(), None, post, None, Spent::default())
                .unwrap();
        let give = |given| watcher.feed().given.send(given).unwrap();
        let bytes = |text: &str| Given::Bytes {
            stream: Stream::Stdout,
            bytes: text.into(),
            now: Timestamp::from_micros(0),
        };
        give(bytes("the output of a to"));
        give(Given::Gap { stream: Stream::Stdout });
        give(bytes("Invalid API key · Please run /login\n"));
        give(bytes("all is well\n"));
        let report = watcher.finish();
        assert!(!report.engine_failed && !report.unfinished);
        assert!(mailbox.take().is_none(), "nothing is told");
    }

    #[test]
    fn a_panic_of_the_engine_is_told_and_ends_nothing() {
        let telling = Telling { render: renderer(Form::Json), emit: Vec::new() };
        let (_mailbox, post) = Mailbox::new();
        let doctor = Doctor::new(Arc::new(Options::new()), "stdout", "seed");
        let mut desk = Desk {
            watch: Watch::over(doctor, &telling),
            telling: &telling,
            second: None,
            events: None,
            post,
            session: String::new(),
            agent: "unknown",
            changes: 0,
            lines: Vec::new(),
            cut: [false; 2],
            report: Report::default(),
            dropped: Arc::default(),
            told_dropped: 0,
            witness: None,
            spent: Spent::default(),
            make: Box::new(|_| Doctor::new(Arc::new(Options::new()), "stdout", "seed")),
            attempt: 1,
            process: None,
            ended: false,
        };
        desk.run(|_, _| panic!("a mistake"));
        desk.bytes(Stream::Stdout, b"goes on\n", Timestamp::from_micros(0));
        assert!(desk.close(0).report.engine_failed);
    }

    #[test]
    fn events_that_nobody_takes_do_not_make_the_engine_late() {
        let telling = || Telling { render: renderer(Form::Json), emit: Vec::new() };
        let (_mailbox, post) = Mailbox::new();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let output = crate::sink::output::Output::append(std::path::Path::new(&path)).unwrap();
        let queue = Queue::new(output).unwrap();
        assert!(queue.offer(vec![b'x'; 1 << 20]), "more than a pipe holds");
        let options = Arc::new(Options::new());
        let watcher =
            Watcher::start(options, &[Stream::Stdout], telling(), Some(queue), post, None, Spent::default())
                .unwrap();
        watcher.feed().given.send(Given::End).unwrap();
        // However late the engine is: it answers while the queue is stuck, and leaves it to others.
        let looked = watcher.done.recv().unwrap();
        assert!(!looked.report.engine_failed);
        let (queue, lines) = looked.last.unwrap();
        assert!(!lines.is_empty(), "the summary is still to be written");
        drop(reader);
        assert!(queue.close(lines).is_err(), "it was told that nobody reads");
    }

    #[test]
    fn an_engine_that_does_not_come_to_its_end_does_not_hide_what_was_dropped() {
        let (feed, _take) = feed();
        // The engine's thread is gone without a word.
        let (_, done) = bounded(0);
        let watcher = Watcher { feed, dropped: Arc::new(AtomicU64::new(7)), done };
        let report = watcher.finish();
        assert_eq!((report.unfinished, report.dropped), (true, 7));
    }
}
