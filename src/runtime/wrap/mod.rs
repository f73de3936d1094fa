//! Around a process: starts an agent, passes everything through, watches what passes, and sees to its end.
//!
//! ```text
//! child ── bytes ──► relay ──► our output          (first, and waits for nobody else)
//!                      │ copy
//!                      ▼
//!                   watcher: the engine ──► events
//!                      │ alerts, decisions
//! guard, signals ──► mailbox ──► keeper: Input → effects ──► executor
//! ```
//!
//! [`run`] collects one [`Input`] at a time; [`Keeper::handle_input`] decides, and knows neither clock nor process;
//! [`Executor::carry_out`] does what it says. The life of a child is a value, [`attempt::Attempt`], that can be made
//! again with another command.

pub mod act;
pub mod attempt;
pub mod effect;
pub mod execute;
pub mod input;
pub mod keeper;
pub mod plan;
pub mod prompt;
pub mod relay;
pub mod second;
pub mod stillness;
pub mod stored;
pub mod watcher;
pub mod witness;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use act::{Acting, Actor};
use attempt::{Stdin, same_terminal};
use effect::{Effect, Ending, Launch};
use execute::{Executor, post_signals};
use input::{Input, Mailbox};
use keeper::{Keeper, Limits};
use plan::{Ours, Plan, PtyMode};
use relay::To;
use watcher::{Report, Watcher};
use witness::Witness;

use super::Telling;
use super::others::Lookout;
use super::spent::Spent;
use crate::child::caught::{Signals, reap_strangers};
use crate::child::inherited;
use crate::child::tty::Terminal;
use crate::engine;
use crate::recovery::Notes;
use crate::sink::Render;
use crate::sink::output::Output;
use crate::sink::queue::Queue;

/// What to wrap, and how.
pub struct Options {
    /// The command.
    pub launch: Launch,
    /// When it gets a pseudo-terminal.
    pub pty: PtyMode,
    /// Where it reads.
    pub stdin: Stdin,
    /// How long it may take.
    pub limits: Limits,
    /// What the engine is made of.
    pub engine: Arc<engine::Options>,
    /// Begins to look after what others use.
    pub lookout: StartLookout,
    /// How events are written, and which.
    pub telling: Telling,
    /// Where they are written; `None`: alerts and decisions are shown to the user instead.
    pub events: Option<Output>,
    /// Whether events take standard output, so that the child's goes to standard error.
    pub moved: bool,
    /// How alerts and decisions are shown to the user.
    pub show: Box<dyn Render>,
}

/// Begins to look after what others use.
pub type StartLookout = Box<dyn FnOnce(&Spent) -> Option<Lookout>>;

/// What came out of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How to end.
    pub ending: Ending,
    /// What went wrong beside the run.
    pub report: Report,
}

/// The signals that are passed on.
const SIGNALS: [i32; 9] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
];

/// Runs a command to its end. To be called once, from the first thread, before others are begun.
///
/// # Errors
/// The system has no room for what it takes; nothing was started then.
pub fn run(options: Options, acting: Option<Acting<'_>>) -> io::Result<Outcome> {
    let is_first = std::process::id() == 1;
    let mut numbers = SIGNALS.to_vec();
    if is_first {
        numbers.push(libc::SIGCHLD);
    }
    let signals = Signals::catch(&numbers)?;
    // If the guard is killed, what it had comes to us.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));

    let null_stdin = options.stdin == Stdin::Null;
    let mut plan = Plan::new(options.pty, ours(options.moved), null_stdin);
    let streams = plan.streams(options.moved);
    let controlling = Terminal::controlling();
    let has_terminal = controlling.is_some();
    let stdin = rustix::stdio::stdin();
    let terminal = if stdin.is_terminal() { Terminal::of(stdin).or(controlling) } else { controlling };

    // Begun in the background, the child is stopped when it asks for the terminal, as it would be without us.
    plan.foreground &= terminal.as_ref().is_none_or(Terminal::is_ours);

    let (mailbox, post) = Mailbox::new();
    let words = crate::child::caught::without_signals(|| Queue::new(Output::stderr()))?;
    let has_events = options.events.is_some();
    let events = options
        .events
        .map(|output| crate::child::caught::without_signals(|| Queue::new(output)))
        .transpose()?;
    let names: Vec<_> = streams.iter().map(|(stream, _)| *stream).collect();
    let witness = acting.as_ref().map(|_| Witness::new(crate::runtime::clock::now(), Notes::default()));
    let (micro_usd, tokens) = acting.as_ref().map_or((0, 0), |acting| acting.run.spent());
    let spent = Spent::since(micro_usd, tokens);
    let _lookout = crate::child::caught::without_signals(|| (options.lookout)(&spent));
    let (engine, post_events) = (options.engine, post.clone());
    let watcher =
        Watcher::start(engine, &names, options.telling, events, post_events, witness.clone(), spent.clone())?;
    post_signals(signals, post.clone())?;
    let (limits, count) = (options.limits, streams.len());
    let make_keeper = move |launch: Launch, time_left: Option<Duration>| {
        let limits = Limits { time: time_left.or(limits.time), ..limits };
        Keeper::new(launch, limits, has_terminal, count)
    };
    let mut executor = Executor {
        plan,
        stdin: options.stdin,
        streams,
        terminal,
        feed: watcher.feed().clone(),
        post,
        words: Some(words),
        render: (!has_events).then_some(options.show),
        number: 0,
        attempt: None,
        left: Vec::new(),
        kept: Vec::new(),
        kept_lines: 0,
        counts: false,
    };
    let ending = match acting.zip(witness) {
        None => conduct(&mut make_keeper(options.launch, None), &mut executor, &mailbox, is_first),
        Some((acting, witness)) => {
            let mut actor = Actor::new(acting, witness, spent);
            actor.conduct(&make_keeper, &mut executor, &mailbox, &|executor| reap(executor, is_first))
        }
    };
    executor.close();
    let report = watcher.finish();
    // What the engine told at the very end.
    let mut keeper = make_keeper(Launch::default(), None);
    while let Some(input) = mailbox.take() {
        if matches!(input, Input::Told(_)) {
            carry_out(&mut executor, keeper.handle_input(Instant::now(), input));
        }
    }
    executor.last_words(&words_of(&report));
    Ok(Outcome { ending, report })
}

/// Takes what happens and does what is decided, until the run ends.
fn conduct(keeper: &mut Keeper, executor: &mut Executor, mailbox: &Mailbox, is_first: bool) -> Ending {
    let mut effects = keeper.begin(executor.plan.foreground);
    loop {
        if let Some(ending) = carry_out(executor, effects) {
            return ending;
        }
        let input = mailbox.next(executor.number, keeper.next_deadline());
        reap(executor, is_first);
        effects = keeper.handle_input(Instant::now(), input);
    }
}

/// As the first process of a container, we have the orphans of all others.
fn reap(executor: &Executor, is_first: bool) {
    if is_first {
        let guard = executor.attempt.as_ref().map(attempt::Attempt::guard);
        reap_strangers(guard.as_slice());
    }
}

fn carry_out(executor: &mut Executor, effects: Vec<Effect>) -> Option<Ending> {
    effects.into_iter().find_map(|effect| executor.carry_out(effect))
}

/// Looks at what our own streams are.
fn ours(moved: bool) -> Ours {
    let stdout = if moved { To::Stderr } else { To::Stdout };
    let (is_out, is_err) = (stdout.fd().is_terminal(), To::Stderr.fd().is_terminal());
    Ours {
        stdin: rustix::stdio::stdin().is_terminal(),
        stdout: is_out,
        stderr: is_err && (!is_out || same_terminal(stdout, To::Stderr)),
        closed: [inherited::was_closed(if moved { 2 } else { 1 }), inherited::was_closed(2)],
    }
}

/// What is to be said of trouble beside the run.
fn words_of(report: &Report) -> Vec<String> {
    let mut words = Vec::new();
    if report.engine_failed {
        words.push(
            "failed to watch to the end: a mistake in session-doctor; the command was not touched".to_owned(),
        );
    }
    if report.unfinished {
        words.push(
            "failed to look at everything that the command said: there was too much at the end".to_owned(),
        );
    }
    if let Some(error) = &report.events_failed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        words.push(format!("failed to write all events: {}", crate::source::os_words(error)));
    }
    if report.dropped > 0 {
        words
            .push(format!("{} or more events were dropped because nobody took them in time", report.dropped));
    }
    if report.unseen > 0 {
        words.push(format!(
            "{} bytes were passed on without being looked at: there were too many at once",
            report.unseen
        ));
    }
    words
}
