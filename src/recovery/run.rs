//! A run: attempts one after the other, and what to do between them.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Basis, Class, Strategy, Timestamp};
use crate::profile::{
    Agent, Asked, CommandLine, Exit, Mode, Prompt, Rewritten, SessionRef, StdinHabit, Terminals, Unable,
};

use super::facts::{Facts, Sighting, Source};
use super::notes::Notes;
use super::options::Options;
use super::plan::{Ended, Halt, HaltStatus, How, Kind, Plan, Silent, Start, StopReason, Typing};
use super::prompts::{fill, plain};
use super::trail::Trail;

/// The version of a stored run.
pub const STATE_VERSION: u32 = 1;

/// How long an agent has to go on when its tool was killed, in seconds.
const TOOL_GONE_SEC: u32 = 60;

/// What a person may do about a budget that is used up.
const RAISE_BUDGET: &str = "raise the budget, if that is meant.";

/// How many different loops of a run an agent is told of; at the next it is ended.
const MAX_LOOPS: u32 = 3;

/// The exit status of a run that a time limit ended, as that of GNU timeout.
const TIME_LIMIT_STATUS: i32 = 124;

/// How much longer than to the reset an agent that continues by itself is left alone, in seconds.
const OWN_RESUME_SEC: i64 = 300;

/// Fruitless seconds from which an attempt counts as one that retried for long by itself, also where it printed
/// nothing of it.
const LONG_RETRIES_SEC: i64 = 20;

/// How often a session is taken back to an earlier message, before a new one takes its place.
const MAX_REWINDS: u32 = 2;

/// How many starts are remembered, whatever the options say.
const MAX_STARTS: usize = 256;

/// Chance, as arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chance {
    /// A random number, for the jitter of waits.
    pub draw: u64,
    /// A random UUID, for a new session.
    pub uuid: String,
}

/// What a decision is made from.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// Now.
    pub now: Timestamp,
    /// The agent as the user started it.
    pub agent: &'a Agent<'a>,
    /// What recovery may do.
    pub options: &'a Options,
    /// What was seen of the attempt.
    pub facts: &'a Facts,
    /// What is known of the session.
    pub notes: &'a Notes,
    /// Chance.
    pub chance: &'a Chance,
    /// Takes secrets out of what is told to a new session.
    pub redact: &'a dyn Fn(&str) -> String,
}

/// What is remembered of trouble until the agent works again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Episode {
    /// Attempts against what passes with time.
    waits: u32,
    /// Other attempts.
    attempts: u32,
    /// Seconds planned to wait for limits.
    waited_sec: i64,
}

/// A run, as it is stored: nothing of the environment is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    version: u32,
    argv: Vec<String>,
    cwd: String,
    profile: String,
    terminals: Terminals,
    /// The session of the latest attempt.
    session: Option<String>,
    /// What kind of start the latest attempt was.
    kind: Kind,
    /// Whether the agent has worked in any attempt.
    worked: bool,
    episode: Episode,
    /// When starts beside the first were planned, the oldest first.
    starts: VecDeque<Timestamp>,
    /// How often the provider refused this session's request as malformed.
    refused: u32,
    /// How often it was told that it repeats itself.
    loops: u32,
    /// What it was told of.
    #[serde(default)]
    loops_told: Vec<String>,
    compactions: u32,
    /// How often a limit of turns, or of an answer's length, cut it short. It had worked each time, so that work says
    /// nothing against the next; and the limit may be one that the user has set.
    #[serde(default)]
    cut_short: u32,
    /// The messages that the session may be taken back to.
    #[serde(default)]
    trail: Trail,
    /// How often the session was taken back.
    #[serde(default)]
    rewinds: u32,
    /// The record that it was taken back to the last time.
    #[serde(default)]
    rewound_to: Option<String>,
    /// Whether a hanging tool was killed in this attempt.
    tool_killed: bool,
    /// When the hang was seen for which it was killed.
    #[serde(default)]
    killed_for: Option<Timestamp>,
    /// How often it was started again because a tool hung that could not be killed without it.
    #[serde(default)]
    tool_stalls: u32,
    /// That tool, in a few words.
    #[serde(default)]
    stalled_tool: String,
    /// What its attempts used so far, in millionths of a dollar and in tokens: its budget is the run's.
    #[serde(default)]
    spent: (i64, i64),
    /// The model in place of the first.
    model: Option<String>,
    /// What comes when the agent that is being stopped has ended.
    pending: Option<Plan>,
    /// The latest plan, for a run that is taken up again.
    plan: Option<Plan>,
}

/// Why a stored run cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(String);

impl fmt::Display for StateError {
    /// Writes a fragment that reads after "failed to".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "take up the stored run: {}", self.0)
    }
}

impl std::error::Error for StateError {}

/// Why a start cannot be planned.
enum No {
    /// The agent cannot.
    Unable(Unable),
    /// It was tried often enough.
    UsedUp(String),
}

impl From<Unable> for No {
    fn from(unable: Unable) -> Self {
        Self::Unable(unable)
    }
}

impl Run {
    /// Begins a run, and returns it with the command line of its first attempt.
    pub fn begin(agent: &Agent<'_>, cwd: &str, terminals: Terminals, chance: &Chance) -> (Self, CommandLine) {
        let first = agent.prepared(&chance.uuid);
        let run = Self {
            version: STATE_VERSION,
            argv: agent.argv(),
            cwd: cwd.to_owned(),
            profile: agent.profile.name().to_owned(),
            terminals,
            session: first.session.clone(),
            kind: Kind::First,
            worked: false,
            episode: Episode::default(),
            starts: VecDeque::new(),
            refused: 0,
            loops: 0,
            loops_told: Vec::new(),
            compactions: 0,
            cut_short: 0,
            trail: Trail::default(),
            rewinds: 0,
            rewound_to: None,
            tool_killed: false,
            killed_for: None,
            tool_stalls: 0,
            stalled_tool: String::new(),
            spent: (0, 0),
            model: None,
            pending: None,
            plan: None,
        };
        (run, first)
    }

    /// Reads a stored run.
    ///
    /// # Errors
    /// It is no run, or one of a version that is not known.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let version: Version = serde_json::from_str(text).map_err(|error| StateError(error.to_string()))?;
        if version.version != STATE_VERSION {
            let (found, known) = (version.version, STATE_VERSION);
            return Err(StateError(format!(
                "it has version {found}, and this program knows version {known}"
            )));
        }
        serde_json::from_str(text).map_err(|error| StateError(error.to_string()))
    }

    /// Writes the run, to be stored.
    pub fn to_json(&self) -> String {
        // Plain structs of strings, numbers and lists; they cannot fail to become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the command line of the first attempt as the user wrote it.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Returns the working directory.
    pub fn cwd(&self) -> &str {
        &self.cwd
    }

    /// Returns the name of the profile.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// Returns what of the standard streams was a terminal.
    pub fn terminals(&self) -> Terminals {
        self.terminals
    }

    /// Returns the session of the latest attempt, where it is known.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Returns what kind of start the latest attempt was.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the latest plan; of a stored run, what to go on with.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Returns what its attempts used so far, in millionths of a dollar and in tokens.
    pub fn spent(&self) -> (i64, i64) {
        self.spent
    }

    /// Takes note of what its attempts used so far.
    pub fn has_spent(&mut self, micro_usd: i64, tokens: i64) {
        self.spent = (micro_usd, tokens);
    }

    /// Takes note that a planned start was carried out.
    pub fn started(&mut self, start: &Start) {
        self.kind = start.kind;
        if start.session.is_some() || !matches!(start.kind, Kind::Resume | Kind::Compact) {
            // A copy has the history of the session that it was made of.
            if start.kind == Kind::Fork {
                self.rewound_to.iter().for_each(|record| self.trail.back_to(record));
            } else if start.session != self.session {
                self.another_history();
            }
            self.session.clone_from(&start.session);
        }
        self.tool_killed = false;
        self.pending = None;
        self.plan = None;
    }

    /// Decides what to do after an attempt has ended.
    pub fn ended(&mut self, moment: &Moment<'_>, ended: &Ended) -> Plan {
        let mut plan = self.after(moment, ended);
        // What has come to its end has; nothing more is begun.
        if let (Plan::Start(_), Some(reason)) = (&plan, &moment.facts.budget_used_up) {
            plan = self.halt(moment, HaltStatus::Budget, Class::BudgetOver, reason, RAISE_BUDGET);
        }
        self.pending = None;
        self.plan = Some(plan.clone());
        plan
    }

    /// Decides what to do about a running attempt: when an alert to act on was seen, and when the time of a
    /// [`Plan::Leave`] has come.
    pub fn during(&mut self, moment: &Moment<'_>) -> Plan {
        if self.pending.is_some() {
            return watch("it is being stopped.");
        }
        self.learn(moment);
        if let Some(Plan::Type { typing, .. }) = &self.plan
            && let Some(last) = typing.last()
        {
            if last.not_before >= moment.now {
                return watch("what it is to be told is waiting for its time.");
            }
            // Its terminal shows old words again whenever it is drawn anew; only structure says that it failed again.
            let failed_again =
                |failure: &Sighting| failure.basis == Basis::Asserted && failure.at > last.not_before;
            if !moment.facts.standing().any(failed_again) {
                return watch("it was told to go on, and has not failed since.");
            }
        }
        let plan = self.while_running(moment);
        match &plan {
            Plan::Stop { then, .. } => self.pending = Some((**then).clone()),
            Plan::StopTool { .. } => self.tool_killed = true,
            _ => {}
        }
        if !matches!(plan, Plan::Watch { .. }) {
            self.plan = Some(plan.clone());
        }
        plan
    }

    /// Tells what long silence, in the output and in the transcript, would mean. It means nothing while the agent retries
    /// by itself, after its last word, and of an agent that is silent as a rule.
    pub fn silence_means(&self, moment: &Moment<'_>) -> Silent {
        let (facts, options) = (moment.facts, moment.options);
        let mode = moment.agent.invocation.mode;
        let speaks = mode == Mode::StreamJson || mode.is_headless() && facts.is_written;
        let strategy = options.strategies.get(&Class::Stalled).copied().unwrap_or(Strategy::Monitor);
        let acts = strategy != Strategy::Monitor && options.allowed.has(strategy);
        let retries = || own_retries_end(moment, Class::Stalled).is_some_and(|end| end > moment.now);
        let is_ordinary = facts.finished_at.is_some() || facts.tool_waits() || retries();
        let (silent, limit) = match facts.tool_runs() {
            true => (Silent::Tool, options.tool_stall_sec),
            false => (Silent::Agent, options.stall_sec),
        };
        let says_nothing = !speaks || !acts || self.pending.is_some() || is_ordinary || limit == 0;
        if says_nothing { Silent::Ordinary } else { silent }
    }

    /// Takes note that a stop which was planned was not carried out: the agent lives, and what comes is decided anew.
    pub fn spared(&mut self) {
        self.tool_killed = false;
        self.pending = None;
        self.plan = None;
    }

    /// Nothing of what the provider refused is in the session at hand.
    fn another_history(&mut self) {
        self.refused = 0;
        self.trail.clear();
        (self.rewinds, self.rewound_to) = (0, None);
    }

    /// Takes over what the attempt has taught.
    fn learn(&mut self, moment: &Moment<'_>) {
        if let Some(session) = &moment.facts.session
            && self.session.as_ref() != Some(session)
        {
            self.session = Some(session.clone());
            self.another_history();
        }
        if moment.facts.compacted {
            self.trail.clear();
        }
        self.trail.extend(&moment.facts.trail);
        if moment.facts.has_worked() && self.kind != Kind::Compact {
            self.worked = true;
            self.episode = Episode::default();
        }
    }

    fn after(&mut self, moment: &Moment<'_>, ended: &Ended) -> Plan {
        let (agent, facts) = (moment.agent, moment.facts);
        let status = ended.how.status();
        let pending = self.pending.take();
        match ended.stopped {
            Some((_, StopReason::TimeLimit)) => {
                return done(TIME_LIMIT_STATUS, "the time limit ended it.");
            }
            Some((_, StopReason::User)) => return done(status, "the user ended it."),
            // What an agent says and how it ends after our signal is our doing, not its failure; a success that it
            // reports then may be that of a task that we cut off.
            Some((signalled, StopReason::Plan)) => {
                let finished = facts.finished_at.is_some_and(|finished| finished < signalled);
                if finished && facts.decisive(true, moment.now).is_none() {
                    return done(0, "it had finished before it was stopped.");
                }
                let plan = pending.unwrap_or_else(|| done(status, "it was stopped."));
                return no_earlier(plan, moment.now);
            }
            None => {}
        }
        self.learn(moment);
        let mode = agent.invocation.mode;
        if mode == Mode::Aside {
            return done(status, "it was no run of the agent.");
        }
        let exit = match ended.how {
            How::Exited(status) => agent.profile.exit(status, mode),
            How::Signalled(signal) => match signal {
                // SIGHUP, SIGINT, SIGTERM, SIGPIPE: someone ended it.
                1 | 2 | 13 | 15 => Exit::Interrupted,
                _ => Exit::Crashed,
            },
        };
        if let Some(plan) = self.after_resume(moment, ended, exit) {
            return plan;
        }
        // A failure needs a second witness where the status says that all is well.
        let sighting = match exit {
            // What reads like a failure, a body of JSON too, may be the answer. It is none against the agent's own word,
            // unless that word is known to be worth nothing.
            Exit::Success => facts.decisive(true, moment.now).filter(|sighting| {
                let may_be_answer = mode == Mode::Text && sighting.source != Source::Transcript;
                sighting.basis == Basis::Asserted && !may_be_answer
                    || agent.profile.succeeds_whatever_happens(mode)
            }),
            Exit::Interrupted => None,
            _ => facts.decisive(false, moment.now),
        };
        match (sighting, exit) {
            (Some(sighting), _) => {
                let sighting = sighting.clone();
                self.recover(moment, &sighting, status)
            }
            // It ends with success though it could not.
            (None, Exit::Success) if self.kind == Kind::Compact && facts.compaction_failed => {
                self.recover(moment, &by_status(Class::TokenLimit, moment.now, status), status)
            }
            (None, Exit::Success) if self.kind == Kind::Compact => self.go_on_compacted(moment, status),
            (None, Exit::Failure) if self.kind == Kind::Compact => {
                self.recover(moment, &by_status(Class::TokenLimit, moment.now, status), status)
            }
            (None, Exit::Success) => done(status, "it ended well."),
            (None, Exit::Interrupted) => done(status, "someone else ended it."),
            (None, Exit::Crashed) => {
                self.recover(moment, &by_status(Class::Crash, moment.now, status), status)
            }
            (None, Exit::Class(class)) => self.recover(moment, &by_status(class, moment.now, status), status),
            (None, Exit::Failure) => done(status, "it failed, and nothing it said tells why."),
        }
    }

    /// The answer to a session that cannot be resumed, or is there already.
    fn after_resume(&mut self, moment: &Moment<'_>, ended: &Ended, exit: Exit) -> Option<Plan> {
        let (agent, facts) = (moment.agent, moment.facts);
        if exit == Exit::Success || facts.has_worked() {
            return None;
        }
        let text = facts.text();
        let code = match ended.how {
            How::Exited(status) => Some(status),
            How::Signalled(_) => None,
        };
        if agent.profile.session_is_taken(&text) && self.kind != Kind::Resume {
            let reason = "its session exists already, so it is resumed.";
            let prompt = plain(&moment.options.prompts.go_on);
            return Some(self.resume_or_else(moment, Class::ConfigError, moment.now, &prompt, reason, code));
        }
        let asked_by_user =
            matches!(agent.invocation.asked, Asked::Resumed(_) | Asked::Latest | Asked::Forked);
        let resumes = matches!(self.kind, Kind::Resume | Kind::Fork | Kind::Compact);
        if !(resumes || asked_by_user && self.kind == Kind::First)
            || !agent.profile.rejects_resume(&text, code)
        {
            return None;
        }
        if !resumes {
            let reason = "the session that it was told to resume cannot be resumed.";
            let fix = "look for the session's id, or start a new session.";
            return Some(self.halt(moment, HaltStatus::NeedsPerson, Class::ConfigError, reason, fix));
        }
        self.session = None;
        let reason = "the session cannot be resumed, so the task is begun anew.";
        let plan = if self.worked {
            self.fresh(moment, moment.now, "the session was lost.", reason)
        } else {
            self.again(moment, moment.now, reason)
        };
        Some(plan.unwrap_or_else(|no| self.give_up(moment, Class::ConfigError, no, code.unwrap_or(1))))
    }

    /// What follows when a session was made smaller.
    fn go_on_compacted(&mut self, moment: &Moment<'_>, status: i32) -> Plan {
        let prompt = plain(&moment.options.prompts.go_on);
        let reason = "the session was made smaller, and goes on.";
        self.resume_or_else(moment, Class::TokenLimit, moment.now, &prompt, reason, Some(status))
    }

    /// Decides about an attempt that ended with a failure.
    fn recover(&mut self, moment: &Moment<'_>, sighting: &Sighting, status: i32) -> Plan {
        let class = sighting.class;
        let strategy = moment.options.strategies.get(&class).copied().unwrap_or(Strategy::Monitor);
        if class == Class::ContentPolicy
            && strategy == Strategy::Monitor
            && moment.options.allowed.has(Strategy::Halt)
        {
            // Nothing to retry, and not the agent's fault: never hammer.
            return self.halt_for(moment, HaltStatus::NeedsPerson, sighting);
        }
        if !moment.options.allowed.has(strategy) {
            return done(status, &format!("{class}: {strategy} is not among what may be done."));
        }
        match strategy {
            Strategy::Monitor => done(status, &format!("{class} is only watched.")),
            Strategy::Halt => self.fatal(moment, sighting, status),
            Strategy::Backoff => self.wait(moment, sighting, status),
            Strategy::Reset => self.reset(moment, sighting, status),
            Strategy::CompactContext => self.compact(moment, sighting, status),
            Strategy::BreakLoop => self.break_loop(moment, sighting, status),
            Strategy::RetryPromptFix => {
                let prompt = fill(&moment.options.prompts.correct, &sighting.message);
                self.again_soon(moment, sighting, &prompt, status)
            }
            Strategy::Resume | Strategy::Restart => {
                let prompts = &moment.options.prompts;
                if class == Class::Stalled && moment.facts.tool_runs() {
                    let prompt = fill(&prompts.tool_hung, &sighting.message);
                    return self.again_soon(moment, sighting, &prompt, status);
                }
                let prompt = match class {
                    Class::MaxTurns | Class::OutputLimit => &prompts.smaller_steps,
                    Class::Crash | Class::Stalled | Class::Interrupted => &prompts.after_stop,
                    _ => &prompts.go_on,
                };
                self.again_soon(moment, sighting, &plain(prompt), status)
            }
        }
    }

    /// No retry can help, but perhaps another model.
    fn fatal(&mut self, moment: &Moment<'_>, sighting: &Sighting, status: i32) -> Plan {
        let allowed = &moment.options.allowed;
        if sighting.class == Class::ModelUnavailable
            && self.model.is_none()
            && (allowed.has(Strategy::Resume) || allowed.has(Strategy::Restart))
            && let Some(model) = &moment.options.fallback_model
        {
            self.model = Some(model.clone());
            let reason = format!("its model cannot be had; {model} takes its place.");
            let prompt = plain(&moment.options.prompts.go_on);
            return self.resume_or_else(moment, sighting.class, moment.now, &prompt, &reason, Some(status));
        }
        self.halt_for(moment, HaltStatus::NeedsPerson, sighting)
    }

    /// What passes with time: wait, then go on.
    fn wait(&mut self, moment: &Moment<'_>, sighting: &Sighting, status: i32) -> Plan {
        let class = sighting.class;
        let not_before = match self.wait_until(moment, class) {
            Ok(until) => until,
            Err(plan) => return plan,
        };
        let reason = wait_reason(moment, class, not_before);
        let prompt = plain(&moment.options.prompts.go_on);
        self.resume_or_else(moment, class, not_before, &prompt, &reason, Some(status))
    }

    /// When to try again; counts the attempt. Or why not.
    fn wait_until(&mut self, moment: &Moment<'_>, class: Class) -> Result<Timestamp, Plan> {
        let (now, options) = (moment.now, moment.options);
        if self.episode.waits >= options.retry_budget {
            let reason = format!("{} attempts to outlast {class} did not help.", self.episode.waits);
            let fix = moment.agent.profile.fix(class);
            return Err(self.halt(moment, HaltStatus::RetriesUsedUp, class, &reason, &fix));
        }
        let attempt = self.episode.waits;
        let doubled =
            |base: u32, max: u32| u64::from(base).saturating_mul(1 << attempt.min(20)).min(u64::from(max));
        let named = named_time(moment, class);
        let seconds = match named {
            Some(at) => {
                let left = (at.as_micros().saturating_sub(now.as_micros()).max(0) + 999_999) / 1_000_000;
                let margin = class == Class::UsageLimit || left >= 60;
                left + if margin { i64::from(options.reset_margin_sec) } else { 0 }
            }
            _ if class == Class::UsageLimit => {
                let step = doubled(options.unknown_reset_sec, options.unknown_reset_max_sec);
                i64::try_from(step).unwrap_or(i64::MAX)
            }
            _ => {
                let short = doubled(options.backoff_base_sec, options.backoff_max_sec).max(1);
                let half = short / 2;
                // Equal jitter: half of the step is certain.
                let mut step = short - half + moment.chance.draw % (half + 1);
                if outlived_retries(moment, class) {
                    let long = doubled(options.long_backoff_base_sec, options.long_backoff_max_sec);
                    step = step.max(long + moment.chance.draw % (long / 2 + 1));
                }
                i64::try_from(step).unwrap_or(i64::MAX)
            }
        };
        let is_limit = class == Class::UsageLimit || named.is_some();
        if is_limit && self.episode.waited_sec.saturating_add(seconds) > i64::from(options.max_wait_sec) {
            let reason = match named {
                Some(at) => format!("the limit resets at {at}, later than it may wait."),
                None => "the limit lasts longer than it may wait.".to_owned(),
            };
            let fix = "allow a longer wait, or use another account or model.";
            return Err(self.halt(moment, HaltStatus::LimitTooLong, class, &reason, fix));
        }
        self.episode.waits += 1;
        if is_limit {
            self.episode.waited_sec = self.episode.waited_sec.saturating_add(seconds);
        }
        Ok(now.plus_seconds(seconds))
    }

    /// The provider refuses the request: once may be chance, twice in one session is its history.
    fn reset(&mut self, moment: &Moment<'_>, sighting: &Sighting, status: i32) -> Plan {
        self.refused += 1;
        if self.refused == 1 {
            let prompt = plain(&moment.options.prompts.go_on);
            return self.again_soon(moment, sighting, &prompt, status);
        }
        if !self.worked {
            return self.halt_for(moment, HaltStatus::NeedsPerson, sighting);
        }
        // To get away from a history is one recovery, in as many steps as it takes.
        let is_next_step = self.kind == Kind::Fork && !moment.facts.has_worked();
        if !is_next_step && let Err(plan) = self.count(moment, sighting.class) {
            return plan;
        }
        if let Some(rewound) = self.rewind(moment, sighting) {
            return rewound.unwrap_or_else(|no| self.give_up(moment, sighting.class, no, status));
        }
        let why = "the provider refused its history.";
        let reason = "the provider refused the same session twice, so its history is left behind.";
        let fresh = self.fresh(moment, moment.now, why, reason);
        fresh.unwrap_or_else(|no| self.give_up(moment, sighting.class, no, status))
    }

    /// A copy of the session without what came after the model's last message; if that is refused too, without that
    /// message. `None`: it cannot be had, or it was tried often enough.
    fn rewind(&mut self, moment: &Moment<'_>, sighting: &Sighting) -> Option<Result<Plan, No>> {
        if self.rewinds >= MAX_REWINDS {
            return None;
        }
        let record = self.trail.last_but(self.rewound_to.as_deref())?.to_owned();
        let session = SessionRef::Id(self.session.clone()?);
        let prompt = fill(&moment.options.prompts.rewound, &sighting.message);
        let (call, uuid) = (moment.agent.call(), &moment.chance.uuid);
        let rewound = moment.agent.profile.rewind(&call, &session, &record, &prompt, uuid).ok()?;
        let reason = match self.rewinds {
            0 => "the provider refused the same session twice, so it goes on from the last good message.",
            _ => "the provider refused the session again, so it goes on from an earlier message.",
        };
        self.rewinds += 1;
        self.rewound_to = Some(record);
        Some(self.start(moment, Kind::Fork, moment.now, rewound, Some(prompt), reason))
    }

    /// The context is full.
    fn compact(&mut self, moment: &Moment<'_>, sighting: &Sighting, status: i32) -> Plan {
        if !self.worked && self.kind == Kind::First {
            return self.halt_for(moment, HaltStatus::NeedsPerson, sighting);
        }
        if let Err(plan) = self.count(moment, sighting.class) {
            return plan;
        }
        let can = self.compactions == 0 && self.kind != Kind::Compact && !moment.facts.compaction_failed;
        if let (true, Some(id)) = (can, self.session.clone()) {
            let compacted = moment.agent.profile.compact(&moment.agent.call(), &SessionRef::Id(id.clone()));
            if let Ok(compacted) = compacted {
                self.compactions += 1;
                let rewritten = Rewritten { session: Some(id), ..compacted };
                let reason = "its context is full, so the session is made smaller.";
                let start = self.start(moment, Kind::Compact, moment.now, rewritten, None, reason);
                return start.unwrap_or_else(|no| self.give_up(moment, sighting.class, no, status));
            }
        }
        let reason = "its context is full, so a new session takes over.";
        let fresh = self.fresh(moment, moment.now, "its context was full.", reason);
        fresh.unwrap_or_else(|no| self.give_up(moment, sighting.class, no, status))
    }

    /// It repeats itself: it is told once of each loop, and not of many.
    fn break_loop(&mut self, moment: &Moment<'_>, sighting: &Sighting, status: i32) -> Plan {
        if self.loops >= MAX_LOOPS || self.loops_told.contains(&sighting.key) {
            return self.halt_for(moment, HaltStatus::Loop, sighting);
        }
        self.loops += 1;
        self.loops_told.push(sighting.key.clone());
        // What the detectors say of the agent is said to it here.
        let message = &sighting.message;
        let told = message.strip_prefix("the agent ").map_or(message.clone(), |did| format!("you {did}"));
        let prompt = fill(&moment.options.prompts.break_loop, &told);
        let reason = "it repeated itself, so it is told to take another approach.";
        let Some(session) = self.session_ref(moment) else {
            return self.halt_for(moment, HaltStatus::Loop, sighting);
        };
        match self.resume(moment, &session, moment.now, &prompt, reason) {
            Ok(plan) => plan,
            Err(No::Unable(_)) => self.halt_for(moment, HaltStatus::Loop, sighting),
            Err(no) => self.give_up(moment, sighting.class, no, status),
        }
    }

    /// What does not pass with time: at once, but not often.
    fn again_soon(&mut self, moment: &Moment<'_>, sighting: &Sighting, prompt: &str, status: i32) -> Plan {
        if let Err(plan) = self.count(moment, sighting.class) {
            return plan;
        }
        if matches!(sighting.class, Class::MaxTurns | Class::OutputLimit) {
            if self.cut_short >= moment.options.max_auto_retries {
                return self.used_up(moment, sighting.class, self.cut_short);
            }
            self.cut_short += 1;
        }
        let reason = match sighting.class {
            Class::Http400 => {
                "the provider refused its request; once may be chance, so it goes on.".to_owned()
            }
            Class::Crash => "it crashed, so it is started again.".to_owned(),
            Class::Stalled => "it showed no sign of life, so it is started again.".to_owned(),
            Class::JsonParse => "its output could not be used, so it is told.".to_owned(),
            class => format!("it ended with {class}, so it goes on."),
        };
        // A short wait, which doubles, keeps a crash at the start from spinning.
        let wait =
            i64::from(moment.options.backoff_base_sec) << self.episode.attempts.saturating_sub(1).min(6);
        let not_before = moment.now.plus_seconds(wait.min(i64::from(moment.options.backoff_max_sec)));
        self.resume_or_else(moment, sighting.class, not_before, prompt, &reason, Some(status))
    }

    /// Counts an attempt against what does not pass with time. Or why there is none left.
    fn count(&mut self, moment: &Moment<'_>, class: Class) -> Result<(), Plan> {
        if self.episode.attempts >= moment.options.max_auto_retries {
            return Err(self.used_up(moment, class, self.episode.attempts));
        }
        self.episode.attempts += 1;
        Ok(())
    }

    fn used_up(&self, moment: &Moment<'_>, class: Class, attempts: u32) -> Plan {
        let reason = format!("{attempts} recoveries from {class} did not help.");
        let fix = moment.agent.profile.fix(class);
        self.halt(moment, HaltStatus::RetriesUsedUp, class, &reason, &fix)
    }

    /// The session, as a command line may name it.
    fn session_ref(&self, moment: &Moment<'_>) -> Option<SessionRef> {
        match (&self.session, &moment.agent.invocation.asked) {
            (Some(id), _) => Some(SessionRef::Id(id.clone())),
            (None, Asked::Resumed(id) | Asked::NewAs(id)) if self.kind != Kind::Fresh => {
                Some(SessionRef::Id(id.clone()))
            }
            // The latest one is meant only where the user has meant it.
            (None, Asked::Latest) => Some(SessionRef::Latest),
            (None, _) => None,
        }
    }

    /// Resumes the session; if that cannot be, hands over to a new one, or starts again.
    fn resume_or_else(
        &mut self,
        moment: &Moment<'_>,
        class: Class,
        not_before: Timestamp,
        prompt: &str,
        reason: &str,
        status: Option<i32>,
    ) -> Plan {
        let resumed = match self.session_ref(moment) {
            Some(session) => self.resume(moment, &session, not_before, prompt, reason),
            None => Err(No::Unable(Unable("its session is not known".to_owned()))),
        };
        let plan = match resumed {
            Err(No::Unable(_)) if self.worked && !moment.notes.is_empty() => {
                match self.fresh(moment, not_before, &format!("{class}."), reason) {
                    Err(No::Unable(_)) => self.again(moment, not_before, reason),
                    other => other,
                }
            }
            Err(No::Unable(_)) => self.again(moment, not_before, reason),
            other => other,
        };
        plan.unwrap_or_else(|no| self.give_up(moment, class, no, status.unwrap_or(1)))
    }

    fn resume(
        &mut self,
        moment: &Moment<'_>,
        session: &SessionRef,
        not_before: Timestamp,
        prompt: &str,
        reason: &str,
    ) -> Result<Plan, No> {
        let resumed = moment.agent.profile.resume(&moment.agent.call(), session, prompt)?;
        let id = match session {
            SessionRef::Id(id) => Some(id.clone()),
            SessionRef::Latest => None,
        };
        let rewritten = Rewritten { session: id, ..resumed };
        self.start(moment, Kind::Resume, not_before, rewritten, Some(prompt.to_owned()), reason)
    }

    /// A new session with the task and notes of the old one.
    fn fresh(
        &mut self,
        moment: &Moment<'_>,
        not_before: Timestamp,
        why: &str,
        reason: &str,
    ) -> Result<Plan, No> {
        let task = match &moment.agent.invocation.prompt {
            Prompt::Argument(text) => Some(text),
            // What came on standard input is not in it.
            Prompt::ArgumentAndStdin(text)
                if moment.agent.profile.stdin_habit() != StdinHabit::ReadsToEnd =>
            {
                Some(text)
            }
            _ => None,
        };
        // A command line that resumed a session had one of many prompts, and not the task.
        let task = task.filter(|_| matches!(moment.agent.invocation.asked, Asked::New | Asked::NewAs(_)));
        if task.is_none() && moment.notes.is_empty() {
            return Err(No::Unable(Unable("its task is not known".to_owned())));
        }
        let notes = moment.notes.write(why, task.is_none(), moment.redact);
        let prompt = plain(&task.map_or_else(|| notes.clone(), |task| format!("{task}\n\n{notes}")));
        let fresh = moment.agent.profile.fresh(&moment.agent.call(), &prompt, &moment.chance.uuid)?;
        self.start(moment, Kind::Fresh, not_before, fresh, Some(prompt), reason)
    }

    /// The first command line again, where that gives its prompt to a new session.
    fn again(&mut self, moment: &Moment<'_>, not_before: Timestamp, reason: &str) -> Result<Plan, No> {
        if !matches!(moment.agent.invocation.asked, Asked::New | Asked::NewAs(_)) {
            return Err(No::Unable(Unable("its first prompt would go to the same session twice".to_owned())));
        }
        if moment.agent.invocation.mode == Mode::Driven {
            return Err(No::Unable(Unable("another program talks to it on its standard input".to_owned())));
        }
        let prepared = moment.agent.prepared(&moment.chance.uuid);
        let arguments = prepared.argv[moment.agent.launcher.len().min(prepared.argv.len())..].to_vec();
        let rewritten = Rewritten { arguments, stdin: prepared.stdin, session: prepared.session };
        self.start(moment, Kind::Restart, not_before, rewritten, None, reason)
    }

    /// Makes a start of rewritten arguments, if there may be another.
    fn start(
        &mut self,
        moment: &Moment<'_>,
        kind: Kind,
        not_before: Timestamp,
        rewritten: Rewritten,
        prompt: Option<String>,
        reason: &str,
    ) -> Result<Plan, No> {
        let window = i64::from(moment.options.restart_window_sec);
        while self.starts.front().is_some_and(|start| not_before.seconds_since(*start) >= window) {
            self.starts.pop_front();
        }
        if self.starts.len() >= (moment.options.max_restarts as usize).min(MAX_STARTS) {
            let reason = format!("it was started again {} times within {window} s.", self.starts.len());
            return Err(No::UsedUp(reason));
        }
        let command = moment.agent.command_line(rewritten, self.model.as_deref())?;
        self.starts.push_back(not_before);
        Ok(Plan::Start(Start {
            not_before,
            kind,
            argv: command.argv,
            stdin: command.stdin,
            session: command.session,
            prompt,
            reason: reason.to_owned(),
        }))
    }

    fn give_up(&mut self, moment: &Moment<'_>, class: Class, no: No, status: i32) -> Plan {
        match no {
            No::UsedUp(reason) => {
                let fix = moment.agent.profile.fix(class);
                self.halt(moment, HaltStatus::RetriesUsedUp, class, &reason, &fix)
            }
            No::Unable(unable) => {
                let name = moment.agent.profile.name();
                done(status, &format!("{class}, and {name} cannot be started again: {unable}."))
            }
        }
    }

    fn halt_for(&self, moment: &Moment<'_>, status: HaltStatus, sighting: &Sighting) -> Plan {
        let reason = match sighting.message.trim() {
            "" => format!("{}.", sighting.class),
            message => sentence(&format!("{}: {message}", sighting.class)),
        };
        self.halt(moment, status, sighting.class, &reason, &moment.agent.profile.fix(sighting.class))
    }

    fn halt(&self, _: &Moment<'_>, status: HaltStatus, class: Class, reason: &str, fix: &str) -> Plan {
        Plan::Halt(Halt { status, class, reason: reason.to_owned(), fix: fix.to_owned() })
    }

    /// Decides about an attempt that runs.
    fn while_running(&mut self, moment: &Moment<'_>) -> Plan {
        let (facts, options, now) = (moment.facts, moment.options, moment.now);
        let mode = moment.agent.invocation.mode;
        if mode == Mode::Aside {
            return watch("it is no run of the agent.");
        }
        if let Some(reason) = &facts.budget_used_up {
            // Its last words may be what used it up: what has come to its end is left to end.
            let settled = facts.finished_at.map(|at| at.plus_seconds(i64::from(options.settle_sec)));
            if let Some(until) = settled.filter(|until| *until > now && mode != Mode::Interactive) {
                return Plan::Leave { until, reason: "it has finished, and may end by itself.".to_owned() };
            }
            let then = self.halt(moment, HaltStatus::Budget, Class::BudgetOver, reason, RAISE_BUDGET);
            return self.stop(moment, reason, then);
        }
        let Some(sighting) = facts.decisive(true, now).cloned() else {
            return watch("nothing stands that should be acted on.");
        };
        let class = sighting.class;
        let strategy = options.strategies.get(&class).copied().unwrap_or(Strategy::Monitor);
        if strategy == Strategy::Monitor {
            return watch(&format!("{class} is only watched."));
        }
        if !options.allowed.has(strategy) {
            return watch(&format!("{class}: {strategy} is not among what may be done."));
        }
        if let Some(until) = own_retries_end(moment, class)
            && until > now
        {
            return Plan::Leave { until, reason: "it retries by itself.".to_owned() };
        }
        match (class, strategy) {
            (Class::Stalled, _) => return self.stalled(moment, &sighting),
            (_, Strategy::BreakLoop) => {
                let then = self.break_loop(moment, &sighting, 1);
                return self.stop(moment, "it repeats itself.", then);
            }
            (Class::UsageLimit, _) if mode == Mode::Interactive => {
                return self.limit_on_screen(moment, &sighting);
            }
            _ if mode == Mode::Interactive => return watch("a person sees it."),
            _ => {}
        }
        let may_pass = matches!(
            class,
            Class::UsageLimit
                | Class::RateLimit
                | Class::Overloaded
                | Class::ServerError
                | Class::Network
                | Class::Timeout
        );
        if may_pass && sighting.source == Source::Transcript && moment.agent.profile.logs_each_try() {
            return watch("it retries by itself.");
        }
        // What a program prints may be what it shows: its end says which. Nothing that lives is ended for it.
        if sighting.basis == Basis::Inferred && sighting.source == Source::Stdout {
            return watch("only its output reads so, and it lives.");
        }
        // An agent that has failed ends by itself as a rule, with words and a status that say more.
        let settled = sighting.at.plus_seconds(i64::from(options.settle_sec));
        if settled > now {
            let reason = "it may end by itself, and say more.".to_owned();
            return Plan::Leave { until: settled, reason };
        }
        let reason = format!("it failed ({class}) and neither works nor ends.");
        let then = self.recover(moment, &sighting, 1);
        self.stop(moment, &reason, then)
    }

    /// No sign of life.
    fn stalled(&mut self, moment: &Moment<'_>, sighting: &Sighting) -> Plan {
        let facts = moment.facts;
        let can_end_it =
            facts.tool_runs() && facts.tool_is_apart && moment.agent.profile.survives_tool_kill();
        if can_end_it && !self.tool_killed {
            self.killed_for = Some(sighting.at);
            let reason = "a tool hangs; without it the agent goes on.".to_owned();
            return Plan::StopTool { reason };
        }
        let given = sighting.at.plus_seconds(i64::from(TOOL_GONE_SEC));
        if self.killed_for == Some(sighting.at) && given > moment.now {
            return Plan::Leave { until: given, reason: "its tool was just killed.".to_owned() };
        }
        if facts.tool_runs() {
            // It had worked each time, so that says nothing; another tool is another trouble.
            let tool = facts.tool().unwrap_or_default();
            if self.stalled_tool != tool {
                (self.tool_stalls, self.stalled_tool) = (0, tool.to_owned());
            }
            if self.tool_stalls >= moment.options.max_auto_retries {
                let then = self.used_up(moment, Class::Stalled, self.tool_stalls);
                return self.stop(moment, "its tools hang again and again.", then);
            }
            self.tool_stalls += 1;
        }
        // One that went silent over its own retries needs time, not haste.
        let retried = moment.facts.retried().filter(|_| moment.options.allowed.has(Strategy::Backoff));
        let then = match retried {
            Some(class) => self.wait(moment, &Sighting { class, ..sighting.clone() }, 1),
            None => self.recover(moment, sighting, 1),
        };
        self.stop(moment, "it shows no sign of life.", then)
    }

    /// An interactive agent sits at its limit.
    fn limit_on_screen(&mut self, moment: &Moment<'_>, sighting: &Sighting) -> Plan {
        let profile = moment.agent.profile;
        let named = moment.facts.retry_at(Class::UsageLimit);
        if profile.continues_by_itself(&moment.facts.text()) {
            let reset = named.unwrap_or(sighting.at);
            let until = reset.plus_seconds(i64::from(moment.options.reset_margin_sec) + OWN_RESUME_SEC);
            if until > moment.now {
                let reason = "it continues by itself when the limit has reset.".to_owned();
                return Plan::Leave { until, reason };
            }
        } else if let Some(keys) = profile.limit_keys() {
            let until = match self.wait_until(moment, Class::UsageLimit) {
                Ok(until) => until,
                // A person may still use it; ending it helps nobody.
                Err(_) => return watch("its limit lasts longer than it may wait."),
            };
            let go_on = plain(&moment.options.prompts.go_on);
            return Plan::Type {
                typing: vec![
                    Typing { not_before: moment.now, keys: vec![keys.leave.to_owned()] },
                    Typing {
                        not_before: until,
                        keys: vec![keys.clear.to_owned(), go_on, keys.enter.to_owned()],
                    },
                ],
                reason: wait_reason(moment, Class::UsageLimit, until),
            };
        }
        let then = self.recover(moment, sighting, 1);
        if matches!(then, Plan::Start(_)) {
            self.stop(moment, "it waits at its limit for a person.", then)
        } else {
            watch("it waits at its limit for a person.")
        }
    }

    fn stop(&self, moment: &Moment<'_>, reason: &str, then: Plan) -> Plan {
        let steps = moment.agent.profile.stop(moment.agent.invocation.mode);
        Plan::Stop { steps, reason: reason.to_owned(), then: Box::new(then) }
    }
}

/// Tells whether the failure has outlived retries that took long.
fn outlived_retries(moment: &Moment<'_>, class: Class) -> bool {
    matches!(class, Class::Overloaded | Class::ServerError | Class::RateLimit)
        || moment.facts.retried().is_some()
        || moment.facts.fruitless_sec(moment.now) >= LONG_RETRIES_SEC
}

/// Until when an agent that retries by itself is to be left alone; `None` if it does not, or not any more. One that may
/// retry without end is left alone as long as it goes on saying so, and no longer than its silence is normal.
fn own_retries_end(moment: &Moment<'_>, class: Class) -> Option<Timestamp> {
    let (latest, named) = moment.facts.own_retry()?;
    let silence = moment.agent.profile.silence(moment.agent.invocation.mode);
    let patience = match (class, silence.own_retries_sec) {
        (_, Some(seconds)) if seconds > 0 => seconds,
        _ => silence.normal_sec.unwrap_or(LONG_SILENCE_SEC),
    };
    let after = latest.plus_seconds(i64::from(patience));
    Some(named.map_or(after, |named| after.max(named.plus_seconds(i64::from(patience.min(120))))))
}

/// How long an unknown agent may be silent after it has said that it retries, in seconds.
const LONG_SILENCE_SEC: u32 = 600;

fn by_status(class: Class, now: Timestamp, status: i32) -> Sighting {
    Sighting {
        at: now,
        source: super::Source::Stderr,
        class,
        status: None,
        basis: Basis::Asserted,
        retry_at: None,
        message: format!("it ended with status {status}"),
        act: true,
        key: String::new(),
    }
}

/// Returns the time that was named for trying again. One that is over says nothing but of a limit: it was that of the
/// agent's own last retry.
fn named_time(moment: &Moment<'_>, class: Class) -> Option<Timestamp> {
    moment.facts.retry_at(class).filter(|at| *at > moment.now || class == Class::UsageLimit)
}

fn wait_reason(moment: &Moment<'_>, class: Class, until: Timestamp) -> String {
    match named_time(moment, class) {
        Some(at) => format!("{class}: it resets at {at}; on at {until}."),
        None => format!("{class}: nobody said how long it lasts; another attempt at {until}."),
    }
}

/// The words with a full stop, unless they end like a sentence: more follows them.
fn sentence(words: &str) -> String {
    let ends = words.ends_with(['.', '!', '?', '…']);
    if ends { words.to_owned() } else { format!("{words}.") }
}

fn done(status: i32, reason: &str) -> Plan {
    Plan::Done { status, reason: reason.to_owned() }
}

fn watch(reason: &str) -> Plan {
    Plan::Watch { reason: reason.to_owned() }
}

/// A start that was planned when the agent was told to stop is never in the past.
fn no_earlier(plan: Plan, now: Timestamp) -> Plan {
    match plan {
        Plan::Start(start) => Plan::Start(Start { not_before: start.not_before.max(now), ..start }),
        other => other,
    }
}
