//! Carries out effects.

use std::thread;
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Stdin, Surroundings};
use super::effect::{Change, Effect, Ending, Launch};
use super::input::{Input, Post, Stream};
use super::plan::Plan;
use super::relay::To;
use super::watcher::Feed;
use crate::child::caught;
use crate::child::group::signal_others;
use crate::child::tree::{Process, Work};
use crate::child::tty::Terminal;
use crate::model::{Event, Life};
use crate::sink::Render;
use crate::sink::queue::Queue;

/// How many lines for the user are kept while the child draws on the terminal.
const KEPT_LINES: usize = 100;

/// How many processes that were left behind are named.
const NAMED: usize = 5;

/// What effects are carried out on.
pub struct Executor {
    pub(super) plan: Plan,
    pub(super) stdin: Stdin,
    pub(super) streams: Vec<(Stream, To)>,
    /// Our terminal, put back in order when this goes away, by a panic too.
    pub(super) terminal: Option<Terminal>,
    pub(super) feed: Feed,
    pub(super) post: Post,
    /// Lines for the user, on standard error.
    pub(super) words: Option<Queue>,
    /// How events are shown to the user; `None`: they are written elsewhere.
    pub(super) render: Option<Box<dyn Render>>,
    pub(super) number: u32,
    pub(super) attempt: Option<Attempt>,
    /// What the last child left behind.
    pub(super) left: Vec<Process>,
    pub(super) kept: Vec<u8>,
    pub(super) kept_lines: usize,
    /// Whether the last line on the terminal is one that counts down.
    pub(super) counts: bool,
}

impl Executor {
    /// Carries out one effect; returns how the run ends, if it does.
    pub fn carry_out(&mut self, effect: Effect) -> Option<Ending> {
        match effect {
            Effect::Start(launch) => self.start(&launch),
            Effect::Signal { signal, to } => {
                if let Some(attempt) = &self.attempt {
                    attempt.signal(signal, to);
                }
            }
            Effect::Type(keys) => {
                if let Some(attempt) = &self.attempt {
                    attempt.type_keys(&keys);
                }
            }
            Effect::KillTool { within } => {
                if let Some(attempt) = &self.attempt {
                    attempt.kill_tool(within);
                }
            }
            Effect::Kill => self.kill(),
            Effect::GiveTerminal => self.give_terminal(),
            Effect::TakeKeys => self.take_keys(),
            Effect::TakeTerminal => self.take_terminal(),
            Effect::Resize => {
                if let (Some(attempt), Some(terminal)) = (&self.attempt, &self.terminal) {
                    attempt.resize(terminal);
                }
            }
            Effect::StopOurselves { signal } => self.stop_ourselves(signal),
            Effect::Settle => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.settle();
                    self.left = attempt.left_behind();
                }
            }
            Effect::Tell(change) => self.tell(change),
            Effect::Show(event) => self.show(&event),
            Effect::Say(words) => self.say(&format!("session-doctor: {words}\n")),
            Effect::End(ending) => return Some(ending),
        }
        None
    }

    fn start(&mut self, launch: &Launch) {
        self.number += 1;
        let post = self.post.of_attempt(self.number);
        // In the terminal that the child is given, its first word must find everything in order.
        if self.plan.foreground
            && let Some(terminal) = &mut self.terminal
            && terminal.is_ours()
        {
            let _ = terminal.make_raw(self.plan.shares_screen());
        }
        let surroundings = Surroundings {
            plan: self.plan,
            stdin: self.stdin,
            streams: &self.streams,
            terminal: self.terminal.as_ref(),
            feed: &self.feed,
            post: post.clone(),
        };
        // What the guard of the attempt before had not collected when it left came to us, and nobody else will.
        caught::reap_strangers(&[]);
        match Attempt::start(launch, &surroundings) {
            Ok(attempt) => {
                self.attempt = Some(attempt);
                if self.plan.foreground {
                    self.give_terminal();
                }
            }
            Err(not_made) => {
                self.take_terminal();
                post.send(Input::NotStarted { status: not_made.status, message: not_made.message });
            }
        }
    }

    fn kill(&self) {
        if let Some(attempt) = &self.attempt {
            attempt.kill();
        }
        // If the guard is gone, what it had has come to us.
        if let Some(attempt) = &self.attempt
            && crate::child::tree::read(attempt.guard()).is_none_or(|guard| guard.zombie)
        {
            let me = i32::try_from(std::process::id()).unwrap_or(0);
            signal_others(me, attempt.guard(), rustix::process::Signal::KILL);
        }
    }

    fn give_terminal(&mut self) {
        let (Some(attempt), Some(terminal)) = (&self.attempt, &mut self.terminal) else { return };
        let ours = terminal.is_ours() || terminal.is_lent();
        if ours {
            if attempt.has_pty() {
                let share = self.plan.shares_screen();
                let _ = terminal.make_raw(share);
                attempt.resize(terminal);
                attempt.give_keys(share);
            } else {
                terminal.lend(attempt.pid());
            }
        }
        self.post.send(Input::Terminal { ours });
    }

    fn take_keys(&mut self) {
        if let Some(attempt) = &self.attempt {
            attempt.take_keys();
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.restore_keys();
        }
    }

    fn take_terminal(&mut self) {
        self.take_keys();
        if let Some(terminal) = &mut self.terminal {
            terminal.restore();
        }
        let kept = std::mem::take(&mut self.kept);
        self.kept_lines = 0;
        self.write(kept);
    }

    fn stop_ourselves(&mut self, signal: i32) {
        self.take_terminal();
        let before = caught::times_continued();
        caught::stop_group(if signal == libc::SIGSTOP { libc::SIGTSTP } else { signal });
        if caught::times_continued() == before {
            self.post.send(Input::NotStopped { signal });
        }
    }

    fn tell(&mut self, mut change: Change) {
        let is_over = !matches!(change.to, Life::Pending | Life::Booting | Life::Running);
        if is_over && change.process.pid.is_some() {
            change.process.left_behind = Some(self.left.len() as u64);
            if !self.left.is_empty() {
                let named: Vec<String> = self
                    .left
                    .iter()
                    .take(NAMED)
                    .map(|process| format!("{} ({})", process.name(), process.pid))
                    .collect();
                let more = if self.left.len() > NAMED { ", …" } else { "" };
                change.reason += &format!("; it left behind: {}{more}", named.join(", "));
            }
        }
        self.feed.change(change);
    }

    fn show(&mut self, event: &Event) {
        let Some(render) = &self.render else { return };
        let mut line = b"session-doctor: ".to_vec();
        render.render(event, &mut line);
        self.write_or_keep(line);
    }

    fn say(&mut self, line: &str) {
        self.write_or_keep(line.as_bytes().to_vec());
    }

    /// Writes a line for the user; at the end, if the child draws on the terminal that it would stand on.
    fn write_or_keep(&mut self, line: Vec<u8>) {
        let is_drawing = self.attempt.is_some()
            && self.streams.iter().any(|(stream, _)| *stream == Stream::Terminal)
            && rustix::termios::isatty(To::Stderr.fd());
        if !is_drawing {
            self.write(line);
        } else if self.kept_lines < KEPT_LINES {
            self.kept_lines += 1;
            self.kept.extend_from_slice(&line);
        }
    }

    fn write(&self, lines: Vec<u8>) {
        if let Some(words) = self.words.as_ref().filter(|_| !lines.is_empty()) {
            words.offer(lines);
        }
    }

    /// Tells whether tools of the child run, so far as the system shows them.
    pub fn has_tools(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::has_tools)
    }

    /// Returns the processes of the tool that the child began within this time.
    pub fn tool(&self, within: Duration) -> Vec<Process> {
        self.attempt.as_ref().map(|attempt| attempt.tool(within)).unwrap_or_default()
    }

    /// Returns what each process of the tree has done so far; `None` if the system does not tell.
    pub fn work(&self) -> Option<Vec<(Process, Work)>> {
        self.attempt.as_ref()?.work()
    }

    /// Kills what is left of the last attempt, and lets go of it; returns whether all of it is gone.
    pub fn clear(&mut self, limit: Duration) -> bool {
        self.take_terminal();
        let Some(attempt) = self.attempt.take() else { return true };
        let began = Instant::now();
        while !attempt.left_behind().is_empty() {
            if began.elapsed() > limit {
                attempt.leave();
                return false;
            }
            attempt.kill();
            thread::sleep(Duration::from_millis(10));
        }
        attempt.leave();
        self.left.clear();
        true
    }

    /// Shows on a terminal how many seconds are left; `None` takes it away.
    pub fn count_down(&mut self, seconds: Option<u64>) {
        if !rustix::termios::isatty(To::Stderr.fd()) {
            return;
        }
        // What stands on a line that is not ours stays.
        if !std::mem::replace(&mut self.counts, seconds.is_some()) && seconds.is_none() {
            return;
        }
        let line = match seconds {
            None => "\r\x1b[2K".to_owned(),
            Some(left) => {
                let (hours, minutes, seconds) = (left / 3600, left / 60 % 60, left % 60);
                format!(
                    "\r\x1b[2Ksession-doctor: {hours}:{minutes:02}:{seconds:02} left (Ctrl-C ends the run)"
                )
            }
        };
        self.write(line.into_bytes());
    }

    /// Lets go of what is left, and of the terminal.
    pub fn close(&mut self) {
        self.take_terminal();
        if let Some(attempt) = self.attempt.take() {
            attempt.leave();
        }
    }

    /// Writes what is to be said at the very end.
    pub fn last_words(&mut self, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("session-doctor: {line}\n")).collect();
        if let Some(words) = self.words.take() {
            // Not to be waited for in a run of no words.
            let _ = words.close(text.into_bytes());
        }
    }
}

/// Passes on the signals that come to us, from a thread of its own.
///
/// # Errors
/// The thread cannot be started.
pub fn post_signals(mut signals: caught::Signals, post: Post) -> std::io::Result<()> {
    caught::without_signals(|| {
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            while let Some(signal) = signals.wait() {
                post.send(Input::Signal(signal));
            }
        })
    })?;
    Ok(())
}
