//! A run that is brought back: attempts one after the other, what `recovery` plans between them, and how it went.
//!
//! [`crate::recovery::Run`] decides; here what it says is put into effects, waited for, told and verified.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::Stdin;
use super::effect::{Effect, Ending, Launch};
use super::execute::Executor;
use super::input::{Input, Mailbox};
use super::keeper::{Keeper, Over, Step};
use super::prompt::Kept;
use super::second::{Reading, Second};
use super::stillness::{AGENT, Stillness, TOOL};
use super::stored;
use super::witness::Witness;
use crate::child::Exit;
use crate::child::group::Target;
use crate::engine;
use crate::engine::redact::{self, argv::redact_argv};
use crate::model::event::{Alert, Decision, Outcome, OutcomeResult};
use crate::model::id::IdBuilder;
use crate::model::{Basis, Class, EventBody, Level, Strategy, Timestamp};
use crate::profile::transcript::Surroundings;
use crate::profile::{self, Agent, Asked, Mode};
use crate::recovery::{
    Chance, Ended, Halt, How, Kind, Moment, Options, Plan, Run, Sighting, Silent, Source, Start, StopReason,
    Typing,
};
use crate::runtime::clock;
use crate::runtime::spent::Spent;

/// How long what a failed child left behind has to go before it is given up, once it is killed.
const CLEAR_LIMIT: Duration = Duration::from_secs(10);

/// How often a wait looks at the clock on the wall: a machine may sleep meanwhile, and timers with it.
const WALL_ROUND: Duration = Duration::from_secs(1);

/// How often a child that says nothing, for a good reason so far, is looked at, at least.
const SILENCE_ROUND: Duration = Duration::from_secs(15);

/// How often it is looked at within the time after which it hangs, at least.
const SILENCE_LOOKS: u32 = 20;

/// How long nothing of a silent agent may have worked, for it to hang.
const STILL: Duration = Duration::from_secs(300);

/// How long before its call a tool may seem to have begun: an agent may tell of a call when it carries it out.
const TOOL_START: Duration = Duration::from_secs(1);

/// How long after a call the last word about it may come.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// Who tells of a child that hangs.
const SILENCE: &str = "silence";

/// Who tells of a child that ended because it repeated itself.
const LOOP_GUARD: &str = "loop_guard";

/// How long after a key of a person's nothing is done to an interactive agent, in seconds: whoever sits there may mean to
/// answer.
const PERSON: i64 = 30;

/// How long after a key the next one comes, in milliseconds. A key press that follows an escape at once makes another key of it.
const NEXT_KEY: i64 = 300;

/// What a backoff does to a child that lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackoffMode {
    /// Nothing to a child that retries by itself; one that does not is ended, and its session resumed.
    #[default]
    Resume,
    /// The whole tree is stopped until the time has come, and then goes on.
    Pause,
}

impl BackoffMode {
    /// The words for it on the command line.
    pub const NAMES: &[&str] = &["resume", "pause"];

    /// Returns the mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "resume" => Some(Self::Resume),
            "pause" => Some(Self::Pause),
            _ => None,
        }
    }
}

/// What acting is made of.
pub struct Acting<'p> {
    /// The agent as the user started it.
    pub agent: Agent<'p>,
    /// What may be done.
    pub options: Options,
    /// Whether what would be done is only said.
    pub dry_run: bool,
    /// What a backoff does to a child that lives.
    pub backoff: BackoffMode,
    /// The run so far.
    pub run: Run,
    /// The first command line.
    pub first: First,
    /// What our standard input is.
    pub kept: Kept,
    /// Where a wait is stored; `None`: nowhere.
    pub store: Option<PathBuf>,
    /// Of a run that is taken up: the decision whose outcome nobody has told.
    pub untold: Option<String>,
    /// What the engine is made of.
    pub engine: Arc<engine::Options>,
    /// The working directory, symbolic links resolved.
    pub cwd: PathBuf,
    /// The home directory.
    pub home: Option<PathBuf>,
}

/// How the run begins.
pub enum First {
    /// With this command line.
    Command(Launch),
    /// With what was planned before we came.
    Planned(Start),
}

/// A decision that is being carried out.
struct Underway {
    id: String,
    /// What was done, as the beginning of a sentence.
    done: &'static str,
    /// Work of the agent after this time shows that it helped.
    since: Timestamp,
}

impl Underway {
    /// Whether a session is made smaller.
    fn compacts(&self) -> bool {
        self.done == done_words(Kind::Compact)
    }
}

/// The state of a run that is brought back.
pub struct Actor<'p> {
    acting: Acting<'p>,
    witness: Witness,
    spent: Spent,
    reading: Option<Reading>,
    underway: Option<Underway>,
    /// Whether the decision for what is being stopped was told.
    told_ahead: Option<String>,
    /// Whether that was to halt.
    told_halt: bool,
    decisions: u64,
    starts: u32,
    look_again: Option<Timestamp>,
    paused_until: Option<Timestamp>,
    /// Keys to be typed, and their times.
    typing: VecDeque<(Timestamp, String)>,
    /// Whether anything of a child that says nothing works, and whether its tool does.
    stillness: [Stillness; 2],
    /// When that was last looked at.
    silence_seen: Option<Instant>,
    /// The silence that was told of, by its beginning.
    silence_told: Option<Instant>,
    /// When a person last pressed a key.
    person_at: Option<Timestamp>,
    /// When it was stopped by a plan.
    stopped_at: Option<Timestamp>,
}

/// A random number and a random UUID.
pub fn chance() -> Chance {
    let uuid = uuid::Uuid::new_v4();
    let (draw, _) = uuid::Uuid::new_v4().as_u64_pair();
    Chance { draw, uuid: uuid.to_string() }
}

impl<'p> Actor<'p> {
    /// Returns what acts, with a witness that watchers tell.
    pub fn new(mut acting: Acting<'p>, witness: Witness, spent: Spent) -> Self {
        let told_ahead = acting.untold.take();
        Self {
            acting,
            witness,
            spent,
            reading: None,
            underway: None,
            told_ahead,
            told_halt: false,
            decisions: 0,
            starts: 0,
            look_again: None,
            paused_until: None,
            typing: VecDeque::new(),
            stillness: [Stillness::new(AGENT), Stillness::new(TOOL)],
            silence_seen: None,
            silence_told: None,
            person_at: None,
            stopped_at: None,
        }
    }

    /// Runs attempts until the run is over. `keeper` makes what decides for one of them.
    pub fn conduct(
        &mut self,
        make_keeper: &dyn Fn(Launch, Option<Duration>) -> Keeper,
        executor: &mut Executor,
        mailbox: &Mailbox,
        after_each: &dyn Fn(&Executor),
    ) -> Ending {
        let mut launch = match std::mem::replace(&mut self.acting.first, First::Command(Launch::default())) {
            First::Command(launch) => launch,
            First::Planned(start) if self.acting.dry_run => {
                self.tell_plan(&Plan::Start(start), executor, "");
                return Ending::Status(0);
            }
            First::Planned(start) => match self.get_ready(start, executor, mailbox) {
                Ok(launch) => launch,
                Err(ending) => return ending,
            },
        };
        if matches!(self.acting.kept, Kept::Idle) {
            let words = "nothing came on standard input in time; the command gets nothing there";
            executor.carry_out(Effect::Say(words.to_owned()));
        }
        let mut time_left = None;
        loop {
            self.begin_attempt(executor);
            let mut keeper = make_keeper(launch, time_left);
            let ending = self.attend(&mut keeper, executor, mailbox, after_each);
            time_left = keeper.time_left(Instant::now());
            let over = keeper.over();
            if over == Over::NotStarted {
                self.verify(executor, Some("the command could not be started"));
                return ending;
            }
            // Everything that was said is looked at before it is judged.
            executor.feed.end_attempt();
            if let Some(mut reading) = self.reading.take() {
                reading.finish();
            }
            self.spent.end_attempt();
            let (micro_usd, tokens) = self.spent.earlier();
            self.acting.run.has_spent(micro_usd, tokens);
            let start = match self.after(over, ending, executor) {
                Ok(start) => start,
                Err(ending) => return ending,
            };
            launch = match self.get_ready(start, executor, mailbox) {
                Ok(launch) => launch,
                Err(ending) => return ending,
            };
        }
    }

    fn begin_attempt(&mut self, executor: &Executor) {
        self.witness.begin_attempt(clock::now());
        (self.look_again, self.paused_until, self.stopped_at) = (None, None, None);
        (self.silence_seen, self.stillness) = (None, [Stillness::new(AGENT), Stillness::new(TOOL)]);
        self.typing.clear();
        let session = self.acting.run.session().map(str::to_owned);
        let surroundings = Surroundings {
            home: self.acting.home.as_deref(),
            cwd: &self.acting.cwd,
            variable: &|name| std::env::var(name).ok(),
        };
        let invocation = &self.acting.agent.invocation;
        let kind = self.acting.run.kind();
        let is_copy = kind == Kind::Fork || kind == Kind::First && invocation.asked == Asked::Forked;
        let copied_before = is_copy.then(clock::now);
        let transcript = self.acting.agent.profile.transcript(&surroundings, invocation, session.as_deref());
        self.reading = transcript.and_then(|transcript| {
            Reading::start(Second {
                engine: Arc::clone(&self.acting.engine),
                transcript,
                tells: invocation.mode != Mode::StreamJson,
                copied_before,
                witness: self.witness.clone(),
                feed: executor.feed.clone(),
                post: executor.post.clone(),
                spent: self.spent.clone(),
            })
            .ok()
        });
    }

    /// Sees to one attempt until it is over.
    fn attend(
        &mut self,
        keeper: &mut Keeper,
        executor: &mut Executor,
        mailbox: &Mailbox,
        after_each: &dyn Fn(&Executor),
    ) -> Ending {
        let mut effects = keeper.begin(executor.plan.foreground);
        loop {
            let ended = effects.into_iter().find_map(|effect| executor.carry_out(effect));
            if let Some(ending) = ended {
                return ending;
            }
            let own = [self.next_deadline(), self.silence_ends(keeper)];
            let deadline = own.into_iter().chain([keeper.next_deadline()]).flatten().min();
            let input = mailbox.next(executor.number, deadline);
            after_each(executor);
            let is_sign = matches!(&input, Input::Told(event)
                if matches!(&event.body, EventBody::Alert(alert) if is_news(alert)))
                || matches!(input, Input::Seen);
            if matches!(input, Input::Typed) {
                self.person_at = Some(clock::now());
            }
            let now = Instant::now();
            effects = keeper.handle_input(now, input);
            if keeper.is_running() {
                effects.extend(self.while_running(keeper, executor, now, is_sign));
            }
        }
    }

    /// Returns when something is to be done though nothing happens.
    fn next_deadline(&self) -> Option<Instant> {
        let typing = self.typing.front().map(|(at, _)| *at);
        let at = [self.look_again, self.paused_until, typing].into_iter().flatten().min()?;
        let left = u64::try_from(at.as_micros() - clock::now().as_micros()).unwrap_or(0);
        // The clock on the wall may jump; it is looked at again.
        Some(Instant::now() + Duration::from_micros(left).min(WALL_ROUND))
    }

    fn while_running(
        &mut self,
        keeper: &mut Keeper,
        executor: &mut Executor,
        now: Instant,
        is_sign: bool,
    ) -> Vec<Effect> {
        let wall = clock::now();
        let mut effects = Vec::new();
        self.verify_early(executor);
        effects.extend(self.next_key(wall, executor));
        if self.paused_until.is_some_and(|until| until <= wall) {
            self.paused_until = None;
            let on = keeper.pause(now, false);
            if !on.is_empty() {
                effects.push(Effect::Say("the command goes on".to_owned()));
                effects.extend(on);
            }
        }
        let hangs = self.paused_until.is_none() && self.hangs(keeper, executor, now);
        let is_due = hangs || self.look_again.is_some_and(|at| at <= wall);
        if !(is_sign || is_due) || self.paused_until.is_some() || !self.typing.is_empty() {
            return effects;
        }
        // Who sits there sees it too.
        let is_interactive = self.acting.agent.invocation.mode == Mode::Interactive;
        if let Some(free) = self.free_at(wall).filter(|_| is_interactive) {
            self.look_again = Some(free);
            return effects;
        }
        self.look_again = None;
        let plan = self.ask(|run, moment| run.during(moment));
        match plan {
            Plan::Stop { then, steps, reason } => {
                if self.acting.backoff == BackoffMode::Pause
                    && let Plan::Start(start) = &*then
                    && start.not_before > wall
                {
                    self.acting.run.spared();
                    return effects.into_iter().chain(self.pause(keeper, now, start, executor)).collect();
                }
                self.tell_plan(&then, executor, &reason);
                if self.acting.dry_run {
                    self.acting.run.spared();
                    return effects;
                }
                self.stopped_at = Some(wall);
                let steps: Vec<Step> = steps.iter().map(step).collect();
                effects.extend(keeper.stop_by(now, &steps, &reason));
            }
            Plan::StopTool { reason } => {
                let would = if self.acting.dry_run { "would kill" } else { "kills" };
                effects.push(Effect::Say(format!("{would} the tool that hangs: {reason}")));
                let id = self.tell_decision(executor, Strategy::Restart, wall, &reason);
                if self.acting.dry_run {
                    self.acting.run.spared();
                } else {
                    let done = "the tool was killed";
                    self.underway = Some(Underway { id, done, since: wall });
                    effects.push(Effect::KillTool { within: self.tool_age(keeper, now) });
                    // If that does not help, the agent is the one to be ended.
                    self.look_again = Some(wall);
                }
            }
            Plan::Type { typing, reason } => {
                self.verify(executor, Some("it failed again before it had done any work"));
                let would = if self.acting.dry_run { "would type: " } else { "" };
                effects.push(Effect::Say(format!("{would}{reason}")));
                let last = typing.last().map_or(wall, |last| last.not_before);
                let id = self.tell_decision(executor, Strategy::Backoff, last, &reason);
                if !self.acting.dry_run {
                    let done = "it was told to continue";
                    self.underway = Some(Underway { id, done, since: last });
                    self.typing = key_presses(typing);
                }
            }
            Plan::Leave { until, .. } => self.look_again = Some(until),
            Plan::Start(_) | Plan::Halt(_) | Plan::Done { .. } | Plan::Watch { .. } => {}
        }
        effects
    }

    /// When it is to be looked at whether the child hangs.
    fn silence_ends(&self, keeper: &Keeper) -> Option<Instant> {
        let Options { stall_sec, tool_stall_sec, .. } = self.acting.options;
        let limit = [stall_sec, tool_stall_sec].into_iter().filter(|limit| *limit > 0).min()?;
        let round = (Duration::from_secs(u64::from(limit)) / SILENCE_LOOKS).min(SILENCE_ROUND);
        let since = keeper.silent_since()?;
        Some(self.silence_seen.map_or(since, |seen| seen.max(since)) + round)
    }

    /// Takes note of a child that hangs, and tells it.
    fn hangs(&mut self, keeper: &Keeper, executor: &Executor, now: Instant) -> bool {
        let Some(since) =
            keeper.silent_since().filter(|_| self.silence_ends(keeper).is_some_and(|end| end <= now))
        else {
            return false;
        };
        self.silence_seen = Some(now);
        // Where nothing is done about it, once is enough.
        if self.silence_told == Some(since) {
            return false;
        }
        let is_apart = self.look_at_processes(keeper, executor, now);
        let silent = now.saturating_duration_since(since);
        let [of_all, of_tool] = &self.stillness;
        let (still, tool_still) = (of_all.lasted(now), of_tool.lasted(now));
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let Options { stall_sec, tool_stall_sec, .. } = self.acting.options;
        let (agent, tool) = (seconds(stall_sec), seconds(tool_stall_sec));
        let means = self.ask(|run, moment| run.silence_means(moment));
        let (hangs, message) = match means {
            Silent::Ordinary => return false,
            Silent::Agent => (
                silent >= agent
                    && (is_apart.is_none() || still >= (agent / 2).min(STILL))
                    // Not every agent tells of a tool before it is done.
                    && !executor.has_tools(),
                format!("it has said nothing for {} s, and no tool of its runs", silent.as_secs()),
            ),
            // It may wait for another machine, and its words may be kept until its end: nothing of it may have run at all
            // for nearly all that time, and what has no processes of its own is not known to hang.
            Silent::Tool => (is_apart == Some(true) && silent >= tool && tool_still >= tool / 10 * 9, {
                let seen = self.witness.seen();
                let tool = seen.facts.tool().unwrap_or_default();
                format!("\"{tool}\" has not ended, and for {} s no process of its has run", silent.as_secs())
            }),
        };
        if !hangs {
            return false;
        }
        self.silence_told = Some(since);
        self.witness.seen().facts.tool_is_apart = is_apart == Some(true);
        let sighting = Sighting {
            at: clock::now(),
            source: Source::Stdout,
            class: Class::Stalled,
            status: None,
            basis: Basis::Inferred,
            retry_at: None,
            message,
            act: true,
            key: String::new(),
        };
        self.tell_sighting(executor, SILENCE, silent.as_secs(), sighting);
        true
    }

    /// Looks at what the child's processes do. Tells whether the tool that runs has some of its own; `None` if the system
    /// tells nothing.
    fn look_at_processes(&mut self, keeper: &Keeper, executor: &Executor, now: Instant) -> Option<bool> {
        let work = executor.work()?;
        let tool = executor.tool(self.tool_age(keeper, now));
        let of_tool: Vec<_> = work
            .iter()
            .filter(|(process, _)| {
                tool.iter().any(|other| (other.pid, other.birth) == (process.pid, process.birth))
            })
            .copied()
            .collect();
        let [agent, tool] = &mut self.stillness;
        agent.look(now, &work);
        tool.look(now, &of_tool);
        Some(!of_tool.is_empty())
    }

    /// Returns how old the tool that runs may be. The clock on the wall may have been set since; it was not heard of much
    /// earlier than the last word of the agent.
    fn tool_age(&self, keeper: &Keeper, now: Instant) -> Duration {
        let since = self.witness.seen().facts.tool_since();
        let micros = since.map_or(0, |since| clock::now().as_micros() - since.as_micros());
        let age = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        let silent =
            keeper.silent_since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        age.min(silent + LAST_WORDS) + TOOL_START
    }

    /// Takes note of an agent that its own guard against loops has stopped, and tells it. Where it prints the answer and
    /// nothing else, its status says success, and only its transcript knows better.
    fn see_stopped_loop(&self, executor: &Executor) {
        let is_headless = self.acting.agent.invocation.mode.is_headless();
        if !is_headless || !self.witness.seen().facts.stopped_repeating() {
            return;
        }
        let sighting = Sighting {
            at: clock::now(),
            source: Source::Transcript,
            class: Class::ToolRepeat,
            status: None,
            basis: Basis::Asserted,
            retry_at: None,
            message: "the guard against loops warned it, and then stopped it".to_owned(),
            act: true,
            key: String::new(),
        };
        self.tell_sighting(executor, LOOP_GUARD, 0, sighting);
    }

    /// Tells an alert to act on that no detector of the engine can raise, and takes note of it.
    fn tell_sighting(&self, executor: &Executor, detector: &str, window_sec: u64, sighting: Sighting) {
        let class = sighting.class;
        let fingerprint = IdBuilder::new(detector).number(u64::from(self.starts)).finish("t-");
        let id = IdBuilder::new("alert").part(fingerprint.as_bytes()).number(window_sec).finish("a-");
        let alert = Alert {
            detector: detector.to_owned(),
            class,
            level: Level::Act,
            severity: self.acting.engine.policy.class(class).severity,
            count: 1,
            window_sec,
            evidence: Vec::new(),
            fingerprint,
            reason: sighting.message.clone(),
            basis: sighting.basis,
        };
        executor.feed.tell(id.clone(), EventBody::Alert(alert));
        let mut seen = self.witness.seen();
        seen.alerts.insert(class, id);
        seen.facts.failed(sighting);
    }

    /// Types the next key, if its time has come and nobody sits at the keyboard. An agent that has gone on meanwhile, for
    /// a person told it to, is told nothing.
    fn next_key(&mut self, wall: Timestamp, executor: &Executor) -> Option<Effect> {
        if self.typing.front().is_none_or(|(at, _)| *at > wall) {
            return None;
        }
        if !self.witness.seen().facts.stands(Class::UsageLimit) {
            self.typing.clear();
            if let Some(underway) = self.underway.take() {
                let detail = "the agent went on before it was told to";
                self.tell_outcome(executor, &underway.id, OutcomeResult::Skipped, detail);
            }
            return None;
        }
        if let Some(free) = self.free_at(wall) {
            not_before(&mut self.typing, free);
            return None;
        }
        let (_, key) = self.typing.pop_front()?;
        not_before(&mut self.typing, wall.plus_millis(NEXT_KEY));
        if let Some(underway) = self.underway.as_mut().filter(|_| self.typing.is_empty()) {
            underway.since = wall;
        }
        Some(Effect::Type(key))
    }

    /// When nobody sits at the keyboard any more, if nobody presses another key; `None`: nobody does.
    fn free_at(&self, wall: Timestamp) -> Option<Timestamp> {
        self.person_at.map(|at| at.plus_seconds(PERSON)).filter(|free| *free > wall)
    }

    /// Tells as soon as it is seen that it helped: an attempt may last for days. Of a session that is made smaller only the
    /// end tells.
    fn verify_early(&mut self, executor: &Executor) {
        let Some(underway) = self.underway.as_ref().filter(|underway| !underway.compacts()) else { return };
        let worked_at = self.witness.seen().facts.worked_at;
        if self.typing.is_empty()
            && worked_at.is_some_and(|at| at >= underway.since && !self.is_our_doing(at))
        {
            self.verify(executor, None);
        }
    }

    /// Whether what the agent said at this time came after we had signalled it.
    fn is_our_doing(&self, at: Timestamp) -> bool {
        self.stopped_at.is_some_and(|stopped| at >= stopped)
    }

    /// Stops the tree until the time of a start has come.
    fn pause(
        &mut self,
        keeper: &mut Keeper,
        now: Instant,
        start: &Start,
        executor: &mut Executor,
    ) -> Vec<Effect> {
        self.verify(executor, Some("it failed again before it had done any work"));
        let id = self.tell_decision(executor, Strategy::Backoff, start.not_before, &start.reason);
        let words = format!("the command is stopped until {}", clock_words(start.not_before));
        if self.acting.dry_run {
            return vec![Effect::Say(format!("would do: {words}"))];
        }
        let done = "the command went on after a pause";
        self.underway = Some(Underway { id, done, since: start.not_before });
        self.paused_until = Some(start.not_before);
        std::iter::once(Effect::Say(words)).chain(keeper.pause(now, true)).collect()
    }

    /// Decides what follows an attempt: a start, or how the run ends.
    fn after(&mut self, over: Over, ending: Ending, executor: &mut Executor) -> Result<Start, Ending> {
        let now = clock::now();
        let (exit, stopped) = match over {
            Over::NotStarted => return Err(ending),
            Over::ByItself(exit) => (exit, None),
            Over::TimeLimit(exit) => (exit, Some((now, StopReason::TimeLimit))),
            Over::User(exit) => (exit, Some((now, StopReason::User))),
            Over::Plan(exit) => (exit, Some((self.stopped_at.unwrap_or(now), StopReason::Plan))),
        };
        let how = match exit {
            Some(Exit::Status(status)) => How::Exited(i32::from(status)),
            Some(Exit::Signal(signal)) => How::Signalled(signal),
            // How it ended is not known: that is no ground to act on.
            None => return Err(ending),
        };
        let ended_well = how == How::Exited(0) && stopped.is_none();
        if ended_well {
            self.see_stopped_loop(executor);
        }
        let plan = self.ask(|run, moment| run.ended(moment, &Ended { how, stopped }));
        // It ended well and is not done all the same: an agent that says success whatever happens. A session that was made
        // smaller goes on, and that is no failure.
        let is_compacted = self.underway.as_ref().is_some_and(Underway::compacts);
        let helped = ended_well && (is_compacted || matches!(plan, Plan::Done { .. }));
        let otherwise = match stopped {
            Some((_, StopReason::User)) => Some("the run was ended before the agent had done any work"),
            Some((_, StopReason::Plan)) => (!helped).then_some("the agent did not go on"),
            _ => (!helped).then_some("it ended again before it had done any work"),
        };
        self.verify(executor, otherwise);
        match plan {
            Plan::Start(start) => {
                if self.told_ahead.is_none() {
                    self.tell_plan(&Plan::Start(start.clone()), executor, &start.reason);
                }
                if self.acting.dry_run {
                    return Err(ending);
                }
                Ok(start)
            }
            Plan::Halt(halt) => {
                if !self.told_halt {
                    self.outcome(executor, OutcomeResult::Skipped, &halt.reason);
                }
                if self.told_ahead.is_none() {
                    self.tell_plan(&Plan::Halt(halt.clone()), executor, &halt.reason);
                }
                self.outcome(executor, OutcomeResult::Done, &format!("the run ended; {}", halt.fix));
                Err(if self.acting.dry_run { ending } else { Ending::Status(halt.status.code() as u8) })
            }
            // A stop of ours that ended in nothing more to do: it had finished.
            Plan::Done { status, reason } if stopped.is_some_and(|(_, why)| why == StopReason::Plan) => {
                self.outcome(executor, OutcomeResult::Skipped, &reason);
                Err(Ending::Status(u8::try_from(status).unwrap_or(1)))
            }
            plan => {
                if let Plan::Done { reason, .. } = &plan {
                    self.outcome(executor, OutcomeResult::Skipped, reason);
                }
                Err(ending)
            }
        }
    }

    /// Waits for the time of a start, and returns what is to be started.
    fn get_ready(
        &mut self,
        start: Start,
        executor: &mut Executor,
        mailbox: &Mailbox,
    ) -> Result<Launch, Ending> {
        // Two agents at one task would be worse than none.
        if !executor.clear(CLEAR_LIMIT) {
            let words = "failed to end what the last attempt left behind; nothing more is started";
            executor.carry_out(Effect::Say(words.to_owned()));
            self.outcome(executor, OutcomeResult::Failed, words);
            return Err(Ending::Status(super::effect::WRAPPER_FAILED));
        }
        let is_stored = self.store(executor);
        let waited = wait(start.not_before, &start, executor, mailbox);
        if let Err(ending) = waited {
            self.outcome(executor, OutcomeResult::Skipped, "the run was ended while it waited");
            // Who takes it up has no outcome to tell any more.
            if is_stored && self.store(executor) {
                let words = "the wait is stored: `session-doctor wrap --act --resume-wait` takes it up";
                executor.carry_out(Effect::Say(words.to_owned()));
            }
            return Err(ending);
        }
        if let Some(path) = &self.acting.store {
            stored::remove(path);
        }
        match self.acting.kept.again(start.stdin) {
            Ok(stdin) => executor.stdin = stdin,
            Err(error) => {
                let words = format!("failed to start the command again: {error}");
                executor.carry_out(Effect::Say(words.clone()));
                self.outcome(executor, OutcomeResult::Failed, &words);
                return Err(Ending::Status(super::effect::WRAPPER_FAILED));
            }
        }
        executor.plan.stdin_from_pty = executor.plan.pty
            && executor.stdin == Stdin::Inherit
            && matches!(self.acting.kept, Kept::Terminal);
        self.acting.run.started(&start);
        if let Some(prompt) = &start.prompt {
            self.witness.seen().notes.prompted(prompt);
        }
        self.starts += 1;
        if let Some(id) = self.told_ahead.take() {
            let done = done_words(start.kind);
            self.underway = Some(Underway { id, done, since: clock::now() });
        }
        let shown = redact_argv(&start.argv).join(" ");
        executor.carry_out(Effect::Say(format!("{}: {}", kind_words(start.kind), shorten(&shown))));
        Ok(Launch { argv: start.argv.iter().map(OsString::from).collect() })
    }

    /// Stores the wait, where there is a place for it. One that cannot be stored is waited all the same.
    fn store(&self, executor: &mut Executor) -> bool {
        let Some(path) = &self.acting.store else { return false };
        let decision = self.told_ahead.as_deref();
        let stored = stored::store(path, &self.acting.run, &self.acting.kept, decision);
        if let Err(error) = &stored {
            let words = crate::source::os_words(error);
            executor.carry_out(Effect::Say(format!("failed to store the wait: {words}")));
        }
        stored.is_ok()
    }

    /// Asks the run.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Run, &Moment<'_>) -> T) -> T {
        let chance = chance();
        let seen = self.witness.seen();
        let moment = Moment {
            now: clock::now(),
            agent: &self.acting.agent,
            options: &self.acting.options,
            facts: &seen.facts,
            notes: &seen.notes,
            chance: &chance,
            redact: &|text| redact::redact(text).into_owned(),
        };
        ask(&mut self.acting.run, &moment)
    }

    // ------------------------------------------------------------------------------------------- telling

    /// Tells a plan as a decision.
    fn tell_plan(&mut self, plan: &Plan, executor: &mut Executor, reason: &str) {
        let dry = self.acting.dry_run;
        match plan {
            Plan::Start(start) => {
                let strategy = self.strategy(start.kind);
                let id = self.tell_decision(executor, strategy, start.not_before, &start.reason);
                (self.told_ahead, self.told_halt) = ((!dry).then_some(id), false);
                if dry {
                    let shown = redact_argv(&start.argv).join(" ");
                    let when = clock_words(start.not_before);
                    let words = format!(
                        "would do, not before {when}: {}: {}",
                        kind_words(start.kind),
                        shorten(&shown)
                    );
                    executor.carry_out(Effect::Say(words));
                }
            }
            Plan::Halt(Halt { reason, fix, status, class }) => {
                let id = self.tell_decision_on(*class, executor, Strategy::Halt, clock::now(), reason);
                let would = if dry { "would stop here" } else { "stops here" };
                executor.carry_out(Effect::Say(format!("{would}, status {}: {reason} {fix}", status.code())));
                (self.told_ahead, self.told_halt) = (Some(id), true);
            }
            _ => {
                if dry {
                    executor.carry_out(Effect::Say(format!("would stop the command: {reason}")));
                }
            }
        }
    }

    /// Which strategy a start belongs to.
    fn strategy(&self, kind: Kind) -> Strategy {
        let class = self.class();
        let planned = class.and_then(|class| self.acting.options.strategies.get(&class).copied());
        match (kind, planned) {
            (_, Some(strategy)) if !matches!(strategy, Strategy::Monitor | Strategy::Halt) => strategy,
            (Kind::Fresh | Kind::Fork, _) => Strategy::Reset,
            (Kind::Compact, _) => Strategy::CompactContext,
            (Kind::Restart | Kind::First, _) => Strategy::Restart,
            (Kind::Resume, _) => Strategy::Resume,
        }
    }

    /// The class of the trouble at hand.
    fn class(&self) -> Option<Class> {
        let seen = self.witness.seen();
        seen.facts.decisive(false, clock::now()).map(|sighting| sighting.class)
    }

    fn tell_decision(
        &mut self,
        executor: &Executor,
        strategy: Strategy,
        not_before: Timestamp,
        reason: &str,
    ) -> String {
        let class = self.class().unwrap_or(Class::Crash);
        self.tell_decision_on(class, executor, strategy, not_before, reason)
    }

    fn tell_decision_on(
        &mut self,
        class: Class,
        executor: &Executor,
        strategy: Strategy,
        not_before: Timestamp,
        reason: &str,
    ) -> String {
        let (alert, untold) = self.witness.ground(class);
        for event in untold {
            executor.feed.pass(event);
        }
        self.decisions += 1;
        let now = clock::now();
        let id = IdBuilder::new("decision")
            .part(alert.as_bytes())
            .part(strategy.name().as_bytes())
            .number(self.decisions)
            .number(u64::try_from(now.as_micros()).unwrap_or(0))
            .finish("d-");
        let decision = Decision {
            alert,
            class,
            strategy,
            attempt: self.starts + 1,
            max_attempts: self.acting.options.max_restarts,
            delay_sec: u64::try_from(not_before.seconds_since(now)).unwrap_or(0),
            not_before,
            reason: reason.to_owned(),
            acted: !self.acting.dry_run,
        };
        executor.feed.tell(id.clone(), EventBody::Decision(decision));
        id
    }

    /// Tells how what is under way went: it is verified by work of the agent.
    fn verify(&mut self, executor: &Executor, otherwise: Option<&str>) {
        let Some(underway) = self.underway.take() else { return };
        let (worked, uncompacted) = {
            let seen = self.witness.seen();
            let worked =
                seen.facts.worked_at.is_some_and(|at| at >= underway.since && !self.is_our_doing(at));
            (worked, underway.compacts() && seen.facts.compaction_failed)
        };
        let done = underway.done;
        let (result, detail) = match (worked, otherwise) {
            _ if uncompacted => (OutcomeResult::Failed, "the session could not be made smaller".to_owned()),
            (true, _) => (OutcomeResult::Done, format!("{done}, and the agent worked")),
            (false, None) => (OutcomeResult::Done, done.to_owned()),
            (false, Some(why)) => (OutcomeResult::Failed, format!("{done}, but {why}")),
        };
        self.tell_outcome(executor, &underway.id, result, &detail);
    }

    fn outcome(&mut self, executor: &Executor, result: OutcomeResult, detail: &str) {
        // What was only said has no outcome.
        if let Some(id) = self.told_ahead.take().filter(|_| !self.acting.dry_run) {
            self.tell_outcome(executor, &id, result, detail);
        }
    }

    fn tell_outcome(&mut self, executor: &Executor, decision: &str, result: OutcomeResult, detail: &str) {
        let id =
            IdBuilder::new("outcome").part(decision.as_bytes()).part(result.name().as_bytes()).finish("o-");
        let outcome = Outcome { decision: decision.to_owned(), result, detail: detail.to_owned() };
        executor.feed.tell(id, EventBody::Outcome(outcome));
    }
}

/// Whether an alert asks for a decision that was not made when it was told.
fn is_news(alert: &Alert) -> bool {
    alert.level == Level::Act && alert.detector != SILENCE
}

/// Every key by itself, with the time before which it is not to be typed.
fn key_presses(typing: Vec<Typing>) -> VecDeque<(Timestamp, String)> {
    let presses = |Typing { not_before, keys }| keys.into_iter().map(move |key| (not_before, key));
    typing.into_iter().flat_map(presses).collect()
}

/// Puts off what would be typed before this time.
fn not_before(typing: &mut VecDeque<(Timestamp, String)>, time: Timestamp) {
    for (at, _) in typing {
        *at = (*at).max(time);
    }
}

fn step(step: &profile::StopStep) -> Step {
    let signal = match step.signal {
        profile::Signal::Int => libc::SIGINT,
        profile::Signal::Term => libc::SIGTERM,
        profile::Signal::Hup => libc::SIGHUP,
        profile::Signal::Quit => libc::SIGQUIT,
        profile::Signal::Kill => libc::SIGKILL,
    };
    let to = match step.target {
        profile::Target::Process => Target::Child,
        profile::Target::Group => Target::Group,
        profile::Target::Tree => Target::Tree,
    };
    Step { signal, to, wait: Duration::from_secs(u64::from(step.wait_sec)) }
}

/// Waits until a time on the wall, and shows how long it takes.
fn wait(until: Timestamp, start: &Start, executor: &mut Executor, mailbox: &Mailbox) -> Result<(), Ending> {
    let left = |now: Timestamp| until.as_micros().saturating_sub(now.as_micros());
    if left(clock::now()) > 0 {
        let words = kind_words(start.kind);
        executor.carry_out(Effect::Say(format!(
            "{} It waits until {}, then {words}.",
            start.reason,
            clock_words(until)
        )));
    }
    loop {
        let micros = left(clock::now());
        if micros <= 0 {
            executor.count_down(None);
            // A signal that came between two attempts is for the run.
            while let Some(input) = mailbox.take() {
                while_waiting(input, executor)?;
            }
            return Ok(());
        }
        executor.count_down(Some((micros as u64).div_ceil(1_000_000)));
        let round = Duration::from_micros(micros as u64).min(WALL_ROUND);
        while_waiting(mailbox.next(executor.number, Some(Instant::now() + round)), executor)?;
    }
}

/// Takes what happens while no child is there; an error is how the run ends.
fn while_waiting(input: Input, executor: &mut Executor) -> Result<(), Ending> {
    match input {
        Input::Signal(signal)
            if matches!(signal.number, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT) =>
        {
            executor.count_down(None);
            return Err(Ending::Signal(signal.number));
        }
        Input::Signal(signal) if signal.number == libc::SIGTSTP => {
            executor.count_down(None);
            executor.carry_out(Effect::StopOurselves { signal: libc::SIGTSTP });
        }
        Input::Told(event)
            if matches!(event.body, EventBody::Alert(_) | EventBody::Decision(_) | EventBody::Outcome(_)) =>
        {
            executor.count_down(None);
            executor.carry_out(Effect::Show(event));
        }
        _ => {}
    }
    Ok(())
}

/// What is done, in words that follow "then" and a time.
fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::First => "starts",
        Kind::Resume => "resumes the session",
        Kind::Fork => "goes on with a copy of the session",
        Kind::Fresh => "begins a new session",
        Kind::Restart => "starts again",
        Kind::Compact => "makes the session smaller",
    }
}

fn done_words(kind: Kind) -> &'static str {
    match kind {
        Kind::First => "it was started",
        Kind::Resume => "the session was resumed",
        Kind::Fork => "a copy of the session was resumed",
        Kind::Fresh => "a new session was begun",
        Kind::Restart => "it was started again",
        Kind::Compact => "the session was made smaller",
    }
}

/// A time for people: to the second, in UTC.
fn clock_words(time: Timestamp) -> String {
    let text = time.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", clock.get(..8).unwrap_or(clock))
}

/// A command line that fits a line or two.
fn shorten(text: &str) -> String {
    redact::excerpt(text, 300)
}
