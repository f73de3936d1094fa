//! Decides what is done about what happens to a run. Knows no clock, process or terminal: time is an argument, and all
//! that it wants done is returned as effects.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::effect::{Change, Effect, Ending, Launch, TIMED_OUT, WRAPPER_FAILED};
use super::input::Input;
use crate::child::Exit;
use crate::child::caught::Signal;
use crate::child::group::Target;
use crate::model::event::ProcessFacts;
use crate::model::{Basis, EventBody, Life};

/// Two signals closer than this are one wish: programs that stop a process and its group send two.
const ONE_WISH: Duration = Duration::from_millis(100);

/// How long after the key that stops a job the stop of the child may be told.
const STOP_KEY: Duration = Duration::from_secs(1);

/// How long what a stopped child leaves behind may take to end, at most.
const LEFT_GRACE: Duration = Duration::from_secs(2);

/// How often a tree that is being killed is looked at.
const KILL_ROUND: Duration = Duration::from_millis(20);

/// How long a tree is killed before it is given up: only what hangs in the kernel outlives a SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked at whether we are in the foreground again: no signal tells it.
const FOREGROUND_ROUND: Duration = Duration::from_millis(200);

/// How long the last output of a child that was made to end is waited for, if nobody takes it.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// How a child is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The number of the first signal.
    pub signal: i32,
    /// Whom it is for.
    pub to: Target,
    /// How long until SIGKILL.
    pub grace: Duration,
}

/// What a run keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it may take.
    pub time: Option<Duration>,
    /// How long it may be silent.
    pub idle: Option<Duration>,
    /// How it is ended when that is over.
    pub stop: Stop,
}

/// Where the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was started yet.
    Pending,
    /// The child runs.
    Running,
    /// The child, or what it left, is being ended: SIGKILL at this time.
    Stopping { kill_at: Instant, killing_since: Option<Instant> },
    /// The child is over; its last output is being passed on.
    Settling,
    /// Everything is over.
    Over,
}

/// Why the child is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It took too long.
    Time,
    /// It was silent for too long.
    Idle,
    /// We were sent this signal.
    Signal(i32),
    /// Recovery wants it.
    Plan,
}

/// One step of a planned stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of the signal.
    pub signal: i32,
    /// Whom it is for.
    pub to: Target,
    /// How long until the next step.
    pub wait: Duration,
}

/// How a child was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It was never started.
    NotStarted,
    /// By itself.
    ByItself(Option<Exit>),
    /// A time limit ended it.
    TimeLimit(Option<Exit>),
    /// A signal to us did.
    User(Option<Exit>),
    /// Recovery did.
    Plan(Option<Exit>),
}

/// Decides for one run.
#[derive(Debug)]
pub struct Keeper {
    launch: Launch,
    limits: Limits,
    /// Whether there is a terminal that we share with the child, on which a person may stop and continue jobs.
    has_terminal: bool,
    phase: Phase,
    life: Life,
    pid: Option<i32>,
    exit: Option<Exit>,
    tree_is_gone: bool,
    cause: Option<Cause>,
    /// How many streams of the child are open.
    streams: usize,
    began: Option<Instant>,
    last_sign: Option<Instant>,
    /// When the child last said something, in its transcript too.
    last_word: Option<Instant>,
    /// Since when we are stopped, the child with us.
    stopped_since: Option<Instant>,
    /// Whether the child was stopped, and has not gone on since.
    child_is_stopped: bool,
    /// Whether the child has our terminal, whenever we are in its foreground.
    has_given_terminal: bool,
    /// Whether it waits for that.
    wants_terminal: bool,
    look_again: Option<Instant>,
    leave_at: Option<Instant>,
    /// When we were last told to stop by a key.
    asked_to_stop: Option<Instant>,
    last_signal: Option<(i32, Instant)>,
    /// Whether something that asks to end was passed on to the child.
    passed_on: Option<i32>,
    /// What asked to end before the child was there.
    early: Option<Signal>,
    lost_output: bool,
    /// The steps of a planned stop that are still to come.
    steps: VecDeque<Step>,
    /// Why recovery stops it.
    planned: String,
    /// Whether recovery has stopped it for a while; a person did not.
    paused: bool,
}

impl Keeper {
    /// Returns what decides for a run of this command. `streams`: how many streams of the child are passed on.
    pub fn new(launch: Launch, limits: Limits, has_terminal: bool, streams: usize) -> Self {
        Self {
            launch,
            limits,
            has_terminal,
            phase: Phase::Pending,
            life: Life::Pending,
            pid: None,
            exit: None,
            tree_is_gone: false,
            cause: None,
            streams,
            began: None,
            last_sign: None,
            last_word: None,
            stopped_since: None,
            child_is_stopped: false,
            has_given_terminal: false,
            wants_terminal: false,
            look_again: None,
            leave_at: None,
            asked_to_stop: None,
            last_signal: None,
            passed_on: None,
            early: None,
            lost_output: false,
            steps: VecDeque::new(),
            planned: String::new(),
            paused: false,
        }
    }

    /// Returns how the child was over.
    pub fn over(&self) -> Over {
        if self.pid.is_none() {
            return Over::NotStarted;
        }
        match self.cause {
            Some(Cause::Time | Cause::Idle) => Over::TimeLimit(self.exit),
            Some(Cause::Signal(_)) => Over::User(self.exit),
            Some(Cause::Plan) => Over::Plan(self.exit),
            None if self.passed_on.is_some() => Over::User(self.exit),
            None => Over::ByItself(self.exit),
        }
    }

    /// Whether the child runs, and is not being ended.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Returns since when the child has said nothing, in its transcript neither, without the time that it was stopped;
    /// `None` while it is.
    pub fn silent_since(&self) -> Option<Instant> {
        let is_stopped = self.child_is_stopped || self.stopped_since.is_some();
        self.last_word.filter(|_| self.phase == Phase::Running && !is_stopped)
    }

    /// Returns how much of the time limit is left at `now`, for the next child of the run.
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        let up = self.time_is_up()?;
        Some(up.saturating_duration_since(now))
    }

    /// Begins to end the child, because recovery wants it; `why` is a sentence.
    pub fn stop_by(&mut self, now: Instant, steps: &[Step], why: &str) -> Vec<Effect> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        self.cause = Some(Cause::Plan);
        why.trim_end_matches('.').clone_into(&mut self.planned);
        self.steps = steps.iter().copied().collect();
        let mut effects = vec![Effect::Say(format!("stops the command: {}", self.planned))];
        self.next_step(now, &mut effects);
        effects
    }

    /// Stops the whole tree for a while, or lets it go on.
    pub fn pause(&mut self, now: Instant, on: bool) -> Vec<Effect> {
        if self.phase != Phase::Running || self.paused == on {
            return Vec::new();
        }
        self.paused = on;
        // Silence is then no wonder.
        if on {
            self.stopped_since.get_or_insert(now);
        } else {
            self.skip_the_time_stopped(now);
        }
        let signal = if on { libc::SIGSTOP } else { libc::SIGCONT };
        vec![Effect::Signal { signal, to: Target::Tree }]
    }

    fn next_step(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match self.steps.pop_front() {
            Some(Step { signal, to, wait }) if signal != libc::SIGKILL => {
                effects.push(Effect::Signal { signal, to });
                effects.push(Effect::Signal { signal: libc::SIGCONT, to });
                self.phase = Phase::Stopping { kill_at: now + wait, killing_since: None };
            }
            _ => self.kill(now, None, effects),
        }
    }

    /// Begins the run. `foreground`: whether the child gets the terminal at once.
    pub fn begin(&mut self, foreground: bool) -> Vec<Effect> {
        self.has_given_terminal = foreground;
        vec![Effect::Start(self.launch.clone())]
    }

    /// Returns when [`Input::Deadline`] is due, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let limits = match self.phase {
            Phase::Running if self.stopped_since.is_none() => [self.time_is_up(), self.idle_is_up()],
            Phase::Stopping { kill_at, .. } => [Some(kill_at), None],
            _ => [None, None],
        };
        limits.into_iter().chain([self.look_again, self.leave_at]).flatten().min()
    }

    fn time_is_up(&self) -> Option<Instant> {
        self.began?.checked_add(self.limits.time?)
    }

    fn idle_is_up(&self) -> Option<Instant> {
        self.last_sign?.checked_add(self.limits.idle?)
    }

    /// Takes what happened at `now`, and returns what is to be done, in order.
    pub fn handle_input(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Started { pid } if self.phase == Phase::Pending => {
                self.pid = Some(pid);
                self.phase = Phase::Running;
                (self.began, self.last_sign, self.last_word) = (Some(now), Some(now), Some(now));
                self.change(Life::Booting, format!("process {pid} was started"), &mut effects);
                if let Some(signal) = self.early.take() {
                    self.asked_to_end(now, signal, &mut effects);
                }
            }
            Input::Started { .. } => {}
            Input::NotStarted { status, message } => {
                self.change(Life::Failed, format!("failed to {message}"), &mut effects);
                effects.push(Effect::Say(format!("failed to {message}")));
                self.end(Ending::Status(status), &mut effects);
            }
            Input::Output(stream) => {
                (self.last_sign, self.last_word) = (Some(now), Some(now));
                if self.life == Life::Booting {
                    self.change(
                        Life::Running,
                        format!("the first output came on {}", stream.name()),
                        &mut effects,
                    );
                }
            }
            Input::Written => self.last_word = Some(now),
            Input::Typed => self.last_sign = Some(now),
            Input::OutputEnded(_) => {
                self.streams = self.streams.saturating_sub(1);
                self.end_if_all_is_told(&mut effects);
            }
            Input::Unread(_) | Input::Seen => {}
            Input::PassThroughFailed(stream, error) => {
                if !self.lost_output {
                    let words = crate::source::os_words(&error);
                    effects.push(Effect::Say(format!("failed to pass on {}: {words}", stream.name())));
                }
                self.lost_output = true;
            }
            Input::ChildEnded(exit) => self.child_ended(now, exit, &mut effects),
            Input::TreeGone => {
                self.tree_is_gone = true;
                if matches!(self.phase, Phase::Stopping { .. }) && self.exit.is_some() {
                    self.settle(now, &mut effects);
                }
            }
            Input::GuardLost => self.guard_lost(now, &mut effects),
            Input::ChildStopped { signal, foreground } => {
                self.child_is_stopped = true;
                self.child_stopped(now, signal, foreground, &mut effects);
            }
            Input::ChildContinued => (self.child_is_stopped, self.last_word) = (false, Some(now)),
            Input::NotStopped { signal } => {
                self.stopped_since = None;
                if self.has_given_terminal {
                    effects.push(Effect::GiveTerminal);
                }
                // Such a stop would not have come about without us either; a SIGSTOP was meant for the child.
                if signal != libc::SIGSTOP {
                    effects.push(Effect::Signal { signal: libc::SIGCONT, to: Target::Group });
                }
            }
            Input::Terminal { ours } => {
                self.look_again = (self.wants_terminal && !ours && self.phase != Phase::Over)
                    .then(|| now + FOREGROUND_ROUND);
                self.wants_terminal &= !ours;
            }
            Input::Signal(signal) => self.signal(now, signal, &mut effects),
            Input::Told(event) => {
                if matches!(event.body, EventBody::Alert(_) | EventBody::Decision(_) | EventBody::Outcome(_))
                {
                    effects.push(Effect::Show(event));
                }
            }
            Input::Deadline => self.deadline(now, &mut effects),
        }
        effects
    }

    fn deadline(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.look_again.is_some_and(|at| now >= at) {
            self.look_again = None;
            effects.push(Effect::GiveTerminal);
        }
        if self.leave_at.is_some_and(|at| now >= at) {
            self.end_as_the_child_did(effects);
            return;
        }
        match self.phase {
            Phase::Running if self.stopped_since.is_none() => {
                if self.time_is_up().is_some_and(|at| now >= at) {
                    self.stop(now, Cause::Time, effects);
                } else if self.idle_is_up().is_some_and(|at| now >= at) {
                    self.stop(now, Cause::Idle, effects);
                }
            }
            Phase::Stopping { kill_at, killing_since: None } if now >= kill_at && self.exit.is_none() => {
                self.next_step(now, effects);
            }
            Phase::Stopping { kill_at, killing_since } if now >= kill_at => {
                self.kill(now, killing_since, effects)
            }
            _ => {}
        }
    }

    // --------------------------------------------------------------------------------------------- ending

    /// Begins to end the child, gently.
    fn stop(&mut self, now: Instant, cause: Cause, effects: &mut Vec<Effect>) {
        self.cause = Some(cause);
        let Stop { signal, to, grace } = self.limits.stop;
        effects.push(Effect::Say(format!("{}; it gets signal {signal}", self.why())));
        effects.push(Effect::Signal { signal, to });
        // One that is stopped would not notice.
        effects.push(Effect::Signal { signal: libc::SIGCONT, to });
        self.phase = Phase::Stopping { kill_at: now + grace, killing_since: None };
    }

    /// Kills what is there, and again a little later.
    fn kill(&mut self, now: Instant, since: Option<Instant>, effects: &mut Vec<Effect>) {
        if self.tree_is_gone && self.exit.is_some() {
            self.settle(now, effects);
            return;
        }
        let since = since.unwrap_or(now);
        if now.saturating_duration_since(since) >= KILL_LIMIT {
            effects.push(Effect::Say(
                "failed to end all that the command started: SIGKILL does not reach it".to_owned(),
            ));
            self.settle(now, effects);
            return;
        }
        effects.push(Effect::Kill);
        self.phase = Phase::Stopping { kill_at: now + KILL_ROUND, killing_since: Some(since) };
    }

    fn child_ended(&mut self, now: Instant, exit: Exit, effects: &mut Vec<Effect>) {
        self.exit = Some(exit);
        effects.push(Effect::TakeKeys);
        self.wants_terminal = false;
        self.look_again = None;
        self.stopped_since = None;
        match self.phase {
            Phase::Stopping { kill_at, killing_since } => {
                // What the child started itself has had its signal too, or gets it now.
                if killing_since.is_none() {
                    effects.push(Effect::Signal { signal: libc::SIGTERM, to: Target::Tree });
                    effects.push(Effect::Signal { signal: libc::SIGCONT, to: Target::Tree });
                }
                let kill_at = kill_at.min(now + LEFT_GRACE);
                self.phase = Phase::Stopping { kill_at, killing_since };
            }
            // A child that heeded a signal that we passed on was made to end: nothing of it may stay.
            Phase::Running if self.passed_on.is_some() && exit != Exit::Status(0) => {
                self.cause = self.passed_on.map(Cause::Signal);
                effects.push(Effect::Signal { signal: libc::SIGTERM, to: Target::Tree });
                effects.push(Effect::Signal { signal: libc::SIGCONT, to: Target::Tree });
                self.phase = Phase::Stopping { kill_at: now + LEFT_GRACE, killing_since: None };
            }
            _ => self.settle(now, effects),
        }
    }

    fn settle(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let process = ProcessFacts {
            pid: self.pid,
            exit_status: self.exit.and_then(|exit| match exit {
                Exit::Status(status) => Some(status),
                Exit::Signal(_) => None,
            }),
            exit_signal: self.exit.and_then(|exit| match exit {
                Exit::Signal(signal) => Some(signal),
                Exit::Status(_) => None,
            }),
            left_behind: None,
        };
        let ended = match self.exit {
            Some(Exit::Status(status)) => format!("it ended with status {status}"),
            Some(Exit::Signal(signal)) => format!("signal {signal} ended it"),
            None => "how it ended is not known".to_owned(),
        };
        let (to, reason) = match (self.cause, self.exit) {
            (Some(_), _) => (Life::Stopped, format!("{}; {ended}", self.why())),
            (None, Some(Exit::Status(0))) => (Life::Done, ended),
            (None, Some(_)) => (Life::Failed, ended),
            (None, None) => (Life::Exited, ended),
        };
        self.phase = Phase::Settling;
        effects.push(Effect::Settle);
        let from = std::mem::replace(&mut self.life, to);
        effects.push(Effect::Tell(Change { from, to, reason, basis: Basis::Asserted, process }));
        if self.cause.is_some() {
            self.leave_at = Some(now + LAST_OUTPUT);
        }
        self.end_if_all_is_told(effects);
    }

    fn end_if_all_is_told(&mut self, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Settling && self.streams == 0 {
            self.end_as_the_child_did(effects);
        }
    }

    fn end_as_the_child_did(&mut self, effects: &mut Vec<Effect>) {
        let ending = match (self.cause, self.exit) {
            (Some(Cause::Time | Cause::Idle), _) => Ending::Status(TIMED_OUT),
            // That it had to be killed was our doing; what was asked of us was this.
            (Some(Cause::Signal(signal)), None | Some(Exit::Signal(libc::SIGKILL))) => Ending::Signal(signal),
            (_, None) => Ending::Status(WRAPPER_FAILED),
            // That everything went well would not be true.
            (_, Some(Exit::Status(0))) if self.lost_output => Ending::Status(WRAPPER_FAILED),
            (_, Some(Exit::Status(status))) => Ending::Status(status),
            (_, Some(Exit::Signal(signal))) => Ending::Signal(signal),
        };
        self.end(ending, effects);
    }

    fn end(&mut self, ending: Ending, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.leave_at = None;
            effects.push(Effect::TakeTerminal);
            effects.push(Effect::End(ending));
        }
    }

    fn guard_lost(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.exit.is_some() || matches!(self.phase, Phase::Settling | Phase::Over) {
            return;
        }
        effects.push(Effect::Say(
            "failed to keep watch over the command: the process beside it was killed".to_owned(),
        ));
        effects.push(Effect::TakeKeys);
        effects.push(Effect::Kill);
        self.settle(now, effects);
    }

    // -------------------------------------------------------------------------------------------- signals

    fn signal(&mut self, now: Instant, signal: Signal, effects: &mut Vec<Effect>) {
        let number = signal.number;
        match number {
            // Only that something is to be reaped, which is not decided here.
            libc::SIGCHLD => {}
            libc::SIGWINCH => effects.push(Effect::Resize),
            libc::SIGCONT => self.continued(now, effects),
            libc::SIGTSTP => {
                self.asked_to_stop = Some(now);
                effects.push(Effect::Signal { signal: number, to: Target::Group });
            }
            libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => {
                self.asked_to_end(now, signal, effects)
            }
            _ => effects.push(Effect::Signal { signal: number, to: Target::Child }),
        }
    }

    fn asked_to_end(&mut self, now: Instant, signal: Signal, effects: &mut Vec<Effect>) {
        let Signal { number, from_terminal } = signal;
        if self.phase == Phase::Pending {
            self.early = Some(signal);
            return;
        }
        let last = self.last_signal.replace((number, now));
        let since = last.map(|(_, at)| now.saturating_duration_since(at));
        match self.phase {
            Phase::Pending | Phase::Over => {}
            // The child is over, and somebody does not want to wait for who reads its last words.
            Phase::Settling => {
                self.is_the_users(number);
                self.end(Ending::Signal(number), effects);
            }
            Phase::Stopping { killing_since, .. } => {
                self.is_the_users(number);
                if since.is_none_or(|since| since >= ONE_WISH) {
                    self.kill(now, killing_since, effects);
                }
            }
            Phase::Running => {
                let again = last.is_some_and(|(before, _)| before == number);
                if again && since.is_some_and(|since| since < ONE_WISH) {
                    return;
                }
                // The second time within the grace means it.
                if again
                    && since.is_some_and(|since| since <= self.limits.stop.grace.max(Duration::from_secs(1)))
                {
                    self.cause = Some(Cause::Signal(number));
                    self.kill(now, None, effects);
                    return;
                }
                self.passed_on = Some(number);
                let to = if from_terminal { Target::Group } else { Target::Child };
                effects.push(Effect::Signal { signal: number, to });
                // One that is stopped would not notice.
                effects.extend(self.pause(now, false));
            }
        }
    }

    /// Whatever recovery had in mind, the user wants the run to end.
    fn is_the_users(&mut self, signal: i32) {
        if !matches!(self.cause, Some(Cause::Time | Cause::Idle)) {
            self.cause = Some(Cause::Signal(signal));
        }
    }

    fn child_stopped(&mut self, now: Instant, signal: i32, foreground: bool, effects: &mut Vec<Effect>) {
        if !self.has_terminal || self.phase != Phase::Running || self.paused {
            return;
        }
        // The key that stops a job came while the child asked for the terminal: of two stops one is told, and to go on would
        // undo both.
        let is_key = self.asked_to_stop.take().is_some_and(|at| now.saturating_duration_since(at) < STOP_KEY);
        let signal =
            if is_key && matches!(signal, libc::SIGTTIN | libc::SIGTTOU) { libc::SIGTSTP } else { signal };
        if foreground && matches!(signal, libc::SIGTTIN | libc::SIGTTOU) {
            // It asked for the terminal, which is ours to give.
            self.has_given_terminal = true;
            effects.push(Effect::GiveTerminal);
            effects.push(Effect::Signal { signal: libc::SIGCONT, to: Target::Group });
            return;
        }
        self.stopped_since = Some(now);
        effects.push(Effect::StopOurselves { signal });
    }

    fn continued(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.paused {
            return;
        }
        self.skip_the_time_stopped(now);
        if matches!(self.phase, Phase::Running | Phase::Stopping { .. }) {
            self.wants_terminal = self.has_given_terminal;
            if self.has_given_terminal {
                effects.push(Effect::GiveTerminal);
            }
            effects.push(Effect::Signal { signal: libc::SIGCONT, to: Target::Group });
        }
    }

    /// The time that a run is stopped is not its own.
    fn skip_the_time_stopped(&mut self, now: Instant) {
        if let Some(since) = self.stopped_since.take() {
            let pause = now.saturating_duration_since(since);
            for time in [&mut self.began, &mut self.last_sign, &mut self.last_word] {
                *time = time.and_then(|time| time.checked_add(pause));
            }
        }
    }

    // ---------------------------------------------------------------------------------------------- words

    fn change(&mut self, to: Life, reason: String, effects: &mut Vec<Effect>) {
        let from = std::mem::replace(&mut self.life, to);
        let process = ProcessFacts { pid: self.pid, ..ProcessFacts::default() };
        effects.push(Effect::Tell(Change { from, to, reason, basis: Basis::Asserted, process }));
    }

    fn why(&self) -> String {
        let seconds = |limit: Option<Duration>| limit.map_or(0.0, |limit| limit.as_secs_f64());
        match self.cause {
            Some(Cause::Time) => format!("the command took longer than {} s", seconds(self.limits.time)),
            Some(Cause::Idle) => format!("the command was silent for {} s", seconds(self.limits.idle)),
            Some(Cause::Signal(signal)) => format!("signal {signal} came"),
            Some(Cause::Plan) => self.planned.clone(),
            None => "the command ended".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::wrap::input::Stream;

    /// A run in which the time is what the story says.
    struct Story {
        keeper: Keeper,
        begin: Instant,
    }

    fn after(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    impl Story {
        fn new(time: Option<f64>, idle: Option<f64>, has_terminal: bool) -> Self {
            let stop = Stop { signal: libc::SIGTERM, to: Target::Tree, grace: after(10.0) };
            let limits = Limits { time: time.map(after), idle: idle.map(after), stop };
            let mut keeper = Keeper::new(Launch::default(), limits, has_terminal, 2);
            keeper.begin(false);
            let mut story = Self { keeper, begin: Instant::now() };
            story.at(0.0, Input::Started { pid: 7 });
            story
        }

        fn at(&mut self, seconds: f64, input: Input) -> Vec<Effect> {
            let mut effects = self.keeper.handle_input(self.begin + after(seconds), input);
            effects.retain(|effect| !matches!(effect, Effect::Tell(_) | Effect::Say(_)));
            effects
        }

        fn deadline(&self) -> Option<f64> {
            self.keeper.next_deadline().map(|at| at.duration_since(self.begin).as_secs_f64())
        }

        fn sent(&mut self, seconds: f64, number: i32) -> Vec<Effect> {
            self.at(seconds, Input::Signal(Signal { number, from_terminal: false }))
        }
    }

    fn signal(signal: i32, to: Target) -> Effect {
        Effect::Signal { signal, to }
    }

    #[test]
    fn a_run_ends_as_the_child_did_when_all_it_said_is_passed_on() {
        let mut story = Story::new(None, None, false);
        assert_eq!(story.deadline(), None);
        assert_eq!(story.at(1.0, Input::Output(Stream::Stdout)), []);
        assert_eq!(story.at(2.0, Input::OutputEnded(Stream::Stderr)), []);
        assert_eq!(story.at(3.0, Input::ChildEnded(Exit::Status(7))), [Effect::TakeKeys, Effect::Settle]);
        let end = story.at(4.0, Input::OutputEnded(Stream::Stdout));
        assert_eq!(end, [Effect::TakeTerminal, Effect::End(Ending::Status(7))]);
    }

    #[test]
    fn a_child_that_takes_too_long_is_told_and_then_killed_until_nothing_is_left() {
        let mut story = Story::new(Some(60.0), None, false);
        assert_eq!(story.deadline(), Some(60.0));
        assert_eq!(
            story.at(60.0, Input::Deadline),
            [signal(libc::SIGTERM, Target::Tree), signal(libc::SIGCONT, Target::Tree)]
        );
        assert_eq!(story.deadline(), Some(70.0));
        assert_eq!(
            story.at(65.0, Input::Output(Stream::Stdout)),
            [],
            "what it says meanwhile changes nothing"
        );
        assert_eq!(story.at(70.0, Input::Deadline), [Effect::Kill]);
        assert_eq!(
            story.at(70.1, Input::Deadline),
            [Effect::Kill],
            "what was killed may have started something"
        );
        story.at(70.2, Input::ChildEnded(Exit::Signal(9)));
        assert_eq!(story.at(70.3, Input::Deadline), [Effect::Kill]);
        assert_eq!(story.at(70.4, Input::TreeGone), [Effect::Settle]);
        story.at(70.5, Input::OutputEnded(Stream::Stdout));
        let end = story.at(70.6, Input::OutputEnded(Stream::Stderr));
        assert_eq!(end.last(), Some(&Effect::End(Ending::Status(TIMED_OUT))));
    }

    #[test]
    fn what_a_stopped_child_leaves_behind_has_little_time() {
        let mut story = Story::new(Some(60.0), None, false);
        story.at(60.0, Input::Deadline);
        let effects = story.at(61.0, Input::ChildEnded(Exit::Signal(15)));
        assert!(effects.contains(&signal(libc::SIGTERM, Target::Tree)));
        assert_eq!(story.deadline(), Some(63.0));
        assert_eq!(story.at(63.0, Input::Deadline), [Effect::Kill]);
    }

    #[test]
    fn output_and_keys_are_signs_of_life() {
        let mut story = Story::new(None, Some(10.0), false);
        assert_eq!(story.deadline(), Some(10.0));
        story.at(8.0, Input::Output(Stream::Stderr));
        story.at(9.0, Input::Typed);
        assert_eq!(story.deadline(), Some(19.0));
        assert_eq!(story.at(19.0, Input::Deadline).first(), Some(&signal(libc::SIGTERM, Target::Tree)));
    }

    #[test]
    fn the_time_in_which_a_run_is_stopped_does_not_count() {
        let mut story = Story::new(Some(60.0), Some(20.0), true);
        let stopped = story.at(10.0, Input::ChildStopped { signal: libc::SIGTSTP, foreground: true });
        assert_eq!(stopped, [Effect::StopOurselves { signal: libc::SIGTSTP }]);
        assert_eq!(story.deadline(), None);
        assert_eq!(story.sent(1000.0, libc::SIGCONT), [signal(libc::SIGCONT, Target::Group)]);
        assert_eq!(story.deadline(), Some(1010.0), "10 s of silence were left");
        story.at(1005.0, Input::Output(Stream::Stdout));
        assert_eq!(story.deadline(), Some(1025.0));
    }

    #[test]
    fn the_key_that_stops_a_job_is_not_lost_on_a_child_that_asks_for_the_terminal() {
        let mut story = Story::new(None, None, true);
        assert_eq!(story.sent(1.0, libc::SIGTSTP), [signal(libc::SIGTSTP, Target::Group)]);
        assert_eq!(
            story.at(1.1, Input::ChildStopped { signal: libc::SIGTTIN, foreground: true }),
            [Effect::StopOurselves { signal: libc::SIGTSTP }]
        );
    }

    #[test]
    fn a_child_that_asks_for_the_terminal_gets_it_if_it_is_ours_to_give() {
        let mut story = Story::new(None, None, true);
        assert_eq!(
            story.at(1.0, Input::ChildStopped { signal: libc::SIGTTIN, foreground: true }),
            [Effect::GiveTerminal, signal(libc::SIGCONT, Target::Group)]
        );
        assert_eq!(
            story.at(2.0, Input::ChildStopped { signal: libc::SIGTTOU, foreground: false }),
            [Effect::StopOurselves { signal: libc::SIGTTOU }]
        );
        // Continued in the background: it is looked at until we are in front.
        assert_eq!(
            story.sent(3.0, libc::SIGCONT),
            [Effect::GiveTerminal, signal(libc::SIGCONT, Target::Group)]
        );
        story.at(3.0, Input::Terminal { ours: false });
        assert_eq!(story.deadline(), Some(3.2));
        assert_eq!(story.at(3.2, Input::Deadline), [Effect::GiveTerminal]);
        story.at(3.2, Input::Terminal { ours: true });
        assert_eq!(story.deadline(), None);
    }

    #[test]
    fn a_child_that_is_stopped_where_nobody_watches_is_left_so_and_still_ended_in_time() {
        let mut story = Story::new(Some(60.0), None, false);
        assert_eq!(story.at(1.0, Input::ChildStopped { signal: libc::SIGSTOP, foreground: false }), []);
        assert!(story.at(60.0, Input::Deadline).contains(&signal(libc::SIGCONT, Target::Tree)));
    }

    #[test]
    fn a_child_that_somebody_stopped_is_not_silent() {
        let mut story = Story::new(None, None, false);
        let silent_since = |story: &Story| story.keeper.silent_since().map(|at| at - story.begin);
        assert_eq!(silent_since(&story), Some(after(0.0)));
        story.at(5.0, Input::ChildStopped { signal: libc::SIGSTOP, foreground: false });
        assert_eq!(silent_since(&story), None);
        story.at(9_000.0, Input::ChildContinued);
        assert_eq!(silent_since(&story), Some(after(9_000.0)));
    }

    #[test]
    fn a_stop_that_the_kernel_refuses_us_is_taken_back_unless_it_was_meant_for_the_child() {
        for (number, effects) in
            [(libc::SIGTSTP, vec![signal(libc::SIGCONT, Target::Group)]), (libc::SIGSTOP, vec![])]
        {
            let mut story = Story::new(None, None, true);
            story.at(1.0, Input::ChildStopped { signal: number, foreground: true });
            assert_eq!(story.at(1.0, Input::NotStopped { signal: number }), effects);
        }
    }

    #[test]
    fn the_second_signal_kills_and_a_double_one_is_one() {
        let mut story = Story::new(None, None, false);
        assert_eq!(story.sent(1.0, libc::SIGTERM), [signal(libc::SIGTERM, Target::Child)]);
        assert_eq!(story.sent(1.01, libc::SIGTERM), []);
        assert_eq!(story.sent(2.0, libc::SIGTERM), [Effect::Kill]);
        story.at(2.1, Input::ChildEnded(Exit::Signal(9)));
        story.at(2.1, Input::TreeGone);
        story.at(2.2, Input::OutputEnded(Stream::Stdout));
        let end = story.at(2.2, Input::OutputEnded(Stream::Stderr));
        assert_eq!(end.last(), Some(&Effect::End(Ending::Signal(libc::SIGTERM))));
    }

    #[test]
    fn a_signal_long_after_another_is_a_first_one_and_so_is_a_stronger_one() {
        let mut story = Story::new(None, None, false);
        assert_eq!(story.sent(1.0, libc::SIGINT), [signal(libc::SIGINT, Target::Child)]);
        assert_eq!(story.sent(60.0, libc::SIGINT), [signal(libc::SIGINT, Target::Child)]);
        assert_eq!(story.sent(61.0, libc::SIGTERM), [signal(libc::SIGTERM, Target::Child)]);
    }

    #[test]
    fn a_key_is_for_the_whole_group_as_the_terminal_means_it() {
        let mut story = Story::new(None, None, true);
        let pressed = Input::Signal(Signal { number: libc::SIGINT, from_terminal: true });
        assert_eq!(story.at(1.0, pressed), [signal(libc::SIGINT, Target::Group)]);
    }

    #[test]
    fn a_child_that_heeded_a_signal_leaves_nothing_and_one_that_went_on_may() {
        let mut story = Story::new(None, None, false);
        story.sent(1.0, libc::SIGTERM);
        let effects = story.at(2.0, Input::ChildEnded(Exit::Signal(15)));
        assert!(effects.contains(&signal(libc::SIGTERM, Target::Tree)), "{effects:?}");

        let mut story = Story::new(None, None, false);
        story.sent(1.0, libc::SIGINT);
        let effects = story.at(60.0, Input::ChildEnded(Exit::Status(0)));
        assert_eq!(effects, [Effect::TakeKeys, Effect::Settle]);
    }

    #[test]
    fn lost_output_is_no_success() {
        let full = || Input::PassThroughFailed(Stream::Stdout, std::io::ErrorKind::StorageFull.into());
        for (exit, status) in [(0, WRAPPER_FAILED), (3, 3)] {
            let mut story = Story::new(None, None, false);
            story.at(1.0, full());
            story.at(2.0, Input::ChildEnded(Exit::Status(exit)));
            story.at(2.0, Input::OutputEnded(Stream::Stdout));
            let end = story.at(2.0, Input::OutputEnded(Stream::Stderr));
            assert_eq!(end.last(), Some(&Effect::End(Ending::Status(status))));
        }
    }

    #[test]
    fn a_reader_who_takes_nothing_delays_the_end_of_a_run_that_was_ended_only_shortly() {
        let mut story = Story::new(Some(60.0), None, false);
        story.at(60.0, Input::Deadline);
        story.at(61.0, Input::ChildEnded(Exit::Signal(15)));
        story.at(61.0, Input::TreeGone);
        assert_eq!(story.deadline(), Some(63.0));
        let end = story.at(63.0, Input::Deadline);
        assert_eq!(end.last(), Some(&Effect::End(Ending::Status(TIMED_OUT))));
    }

    #[test]
    fn a_signal_that_comes_before_the_child_is_there_is_not_lost() {
        let mut keeper = Story::new(None, None, false).keeper;
        (keeper.phase, keeper.pid) = (Phase::Pending, None);
        let now = Instant::now();
        let early = Signal { number: libc::SIGTERM, from_terminal: false };
        assert_eq!(keeper.handle_input(now, Input::Signal(early)), []);
        let effects = keeper.handle_input(now, Input::Started { pid: 7 });
        assert_eq!(effects.last(), Some(&signal(libc::SIGTERM, Target::Child)));
    }

    #[test]
    fn a_signal_to_us_while_recovery_stops_the_child_is_the_users_wish() {
        let step = Step { signal: libc::SIGINT, to: Target::Child, wait: after(10.0) };
        let mut story = Story::new(None, None, false);
        story.keeper.stop_by(story.begin, &[step], "it repeats itself.");
        story.sent(1.0, libc::SIGTERM);
        story.at(1.1, Input::ChildEnded(Exit::Signal(9)));
        story.at(1.2, Input::TreeGone);
        assert_eq!(story.keeper.over(), Over::User(Some(Exit::Signal(9))));

        // So it is while its last words are waited for.
        let mut story = Story::new(None, None, false);
        story.at(1.0, Input::ChildEnded(Exit::Status(1)));
        let end = story.sent(2.0, libc::SIGINT);
        assert_eq!(end.last(), Some(&Effect::End(Ending::Signal(libc::SIGINT))));
        assert_eq!(story.keeper.over(), Over::User(Some(Exit::Status(1))));
    }

    #[test]
    fn a_pause_is_no_silence_and_a_signal_ends_it() {
        let mut story = Story::new(None, Some(10.0), false);
        let begin = story.begin;
        assert_eq!(story.keeper.pause(begin, true), [signal(libc::SIGSTOP, Target::Tree)]);
        assert_eq!(story.deadline(), None);
        assert_eq!(story.keeper.pause(begin + after(60.0), false), [signal(libc::SIGCONT, Target::Tree)]);
        assert_eq!(story.deadline(), Some(70.0));
        story.keeper.pause(begin + after(61.0), true);
        assert_eq!(
            story.sent(62.0, libc::SIGTERM),
            [signal(libc::SIGTERM, Target::Child), signal(libc::SIGCONT, Target::Tree)]
        );
    }

    #[test]
    fn without_the_guard_the_run_is_over_and_says_so() {
        let mut story = Story::new(None, None, false);
        let effects = story.at(1.0, Input::GuardLost);
        assert_eq!(effects, [Effect::TakeKeys, Effect::Kill, Effect::Settle]);
        story.at(1.0, Input::OutputEnded(Stream::Stdout));
        let end = story.at(1.0, Input::OutputEnded(Stream::Stderr));
        assert_eq!(end.last(), Some(&Effect::End(Ending::Status(WRAPPER_FAILED))));
    }
}
