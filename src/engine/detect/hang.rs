//! Hangs: silence where a sign of life is due, by what the agent was last seen doing.
//!
//! Every state has its own clock. An agent that waits for a person, for a limit or for its own retry is not stuck, nor
//! one that is done. Silence alone is one witness, so this only warns; who ends a process looks at the process first
//! (`wrap --act`).

use crate::engine::redact;
use crate::engine::step::tools::Effect;
use crate::model::event::{Finding, SourcePlace};
use crate::model::record::{Body, Lifecycle, Role};
use crate::model::{Basis, Class, Level, Timestamp};

use super::Detection;

/// What the agent was last seen doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known, or nothing is due: it is done, or waits for a person.
    Idle,
    /// The model has to answer.
    AwaitingModel,
    /// A tool runs.
    ToolRunning,
    /// A tool of somebody else's server runs.
    ServerToolRunning,
    /// A sub-agent works.
    ChildrenAlive,
    /// It waits for something by itself: a command that sleeps, a job.
    Waiting,
    /// It retries by itself.
    Retrying,
    /// A limit has to reset first.
    LimitWait,
}

impl State {
    /// Returns how many seconds of silence are ordinary; `None`: any.
    ///
    /// An answer is told whole in most modes, and a long one with much thought takes minutes. Claude Code lets a command run
    /// for ten minutes at most (`BASH_MAX_TIMEOUT_MS`), so a tool gets more than that. What a sub-agent does is told in a
    /// conversation of its own, and may take long.
    fn patience_sec(self) -> Option<i64> {
        match self {
            Self::Idle => None,
            Self::Retrying => Some(300),
            Self::AwaitingModel | Self::ToolRunning | Self::ServerToolRunning => Some(900),
            Self::Waiting => Some(1800),
            Self::ChildrenAlive => Some(3600),
            Self::LimitWait => Some(120),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Idle => "",
            Self::AwaitingModel => "the model's answer is due",
            Self::ToolRunning => "a tool runs",
            Self::ServerToolRunning => "a tool of a server runs",
            Self::ChildrenAlive => "a sub-agent works",
            Self::Waiting => "it waits for something by itself",
            Self::Retrying => "its own retry is due",
            Self::LimitWait => "the limit has reset",
        }
    }
}

/// How old a record may be when it arrives, in seconds, for silence after it to mean anything: what is read from a file
/// may have been written by an agent that is long gone.
const FRESH_SEC: i64 = 60;

/// How late a look at the clock may come, in seconds: later means that the machine slept.
const LATE_SEC: i64 = 60;

/// Watches one conversation for silence.
#[derive(Clone, Debug)]
pub struct Hang {
    state: State,
    since: Timestamp,
    /// The call that runs, not yet redacted.
    what: String,
    /// Where the latest sign of life stands.
    place: Option<SourcePlace>,
    told: bool,
    /// Whether a turn is going on, by the agent's own word.
    in_turn: bool,
}

impl Default for Hang {
    fn default() -> Self {
        let since = Timestamp::from_micros(0);
        Self { state: State::Idle, since, what: String::new(), place: None, told: false, in_turn: false }
    }
}

impl Hang {
    /// Takes note of a record that arrived at `now`, and that happened at `time`. `open`: the call that is not answered
    /// yet, if there is one, with its label. `asks`: whether a message in the user's name asks for an answer; notes that
    /// an agent writes into its own history do not.
    pub fn record(
        &mut self,
        now: Timestamp,
        time: Timestamp,
        body: &Body<'_>,
        asks: bool,
        open: Option<(Effect, &str)>,
        place: &SourcePlace,
    ) {
        match body {
            Body::Lifecycle(Lifecycle::TurnStarted) => self.in_turn = true,
            Body::Lifecycle(Lifecycle::TurnEnded) => self.in_turn = false,
            _ => {}
        }
        let running = match open {
            None => State::AwaitingModel,
            Some((Effect::Delegate, _)) => State::ChildrenAlive,
            Some((Effect::Wait, _)) => State::Waiting,
            Some((_, label)) if label.starts_with("mcp") => State::ServerToolRunning,
            Some(_) => State::ToolRunning,
        };
        let state = match body {
            Body::Message(message) if message.role == Role::User && !asks => self.state,
            Body::Message(message) if message.role == Role::User => State::AwaitingModel,
            // Many agents do not say that a turn is over: after words of theirs it may be a person's turn.
            Body::Message(_) if open.is_none() && !self.in_turn => State::Idle,
            Body::Message(_) | Body::ToolCall(_) | Body::ToolResult(_) => running,
            Body::Lifecycle(Lifecycle::TurnStarted) => State::AwaitingModel,
            Body::Lifecycle(Lifecycle::TurnEnded) => State::Idle,
            Body::Lifecycle(Lifecycle::Compacted | Lifecycle::Answered) => State::AwaitingModel,
            // Whatever it is, it is a sign of life.
            Body::Lifecycle(_) | Body::Usage(_) | Body::Quota(_) | Body::Failure(_) => self.state,
            Body::Text(_) => return,
        };
        if now.seconds_since(time) > FRESH_SEC {
            self.state = State::Idle;
            return;
        }
        self.what.clear();
        self.what.push_str(open.map_or("", |(_, label)| label));
        (self.state, self.since, self.told) = (state, now, false);
        self.place = Some(place.clone());
    }

    /// Takes note of a finding: some say what the agent is waiting for now.
    pub fn finding(&mut self, now: Timestamp, finding: &Finding, ends: bool) {
        if self.state == State::Idle {
            return;
        }
        (self.state, self.since) = match (finding.class, finding.retry_at) {
            (Class::WaitingInput | Class::Interrupted, _) => (State::Idle, now),
            (_, Some(at)) if finding.self_healing => (State::Retrying, at.max(now)),
            _ if finding.self_healing => (State::Retrying, now),
            _ if ends => (State::Idle, now),
            (Class::UsageLimit | Class::RateLimit, Some(at)) => (State::LimitWait, at.max(now)),
            _ => (self.state, now),
        };
    }

    /// Returns when silence becomes worth a word.
    pub fn deadline(&self) -> Option<Timestamp> {
        let patience = self.state.patience_sec().filter(|_| !self.told)?;
        Some(self.since.plus_seconds(patience))
    }

    /// It is `now`, and nothing came.
    pub fn tick(&mut self, now: Timestamp) -> Option<Detection> {
        let deadline = self.deadline().filter(|deadline| now >= *deadline)?;
        if now.seconds_since(deadline) > LATE_SEC {
            // Nobody looked at the clock when it was time to: the machine was asleep, and so was the agent.
            self.since = now;
            return None;
        }
        self.told = true;
        let silent = now.seconds_since(self.since);
        let what = redact::excerpt(&self.what, 90);
        let what = if what.is_empty() { what } else { format!(" (\"{what}\")") };
        let place =
            self.place.as_ref().map_or_else(String::new, |place| format!("{}:{}", place.name, place.line));
        Some(Detection {
            detector: "hang",
            class: Class::Stalled,
            level: Level::Warn,
            count: 1,
            window_sec: silent.unsigned_abs(),
            evidence: (place.clone(), place),
            reason: format!("no sign of life for {silent} s, although {}{what}", self.state.words()),
            basis: Basis::Inferred,
            retry_at: None,
            key: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Message, ToolCall, ToolResult};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn place() -> SourcePlace {
        SourcePlace { name: "t".into(), line: 7, offset: 0 }
    }

    fn call() -> Body<'static> {
        Body::ToolCall(ToolCall { id: "1".into(), name: "Bash".into(), input: "{}".into() })
    }

    fn answer() -> Body<'static> {
        Body::ToolResult(ToolResult { id: "1".into(), failed: false, exit_code: None, text: "".into() })
    }

    /// Shows one record that came at once, and returns after how many seconds of silence there is a word.
    fn patience(body: &Body<'_>, open: Option<(Effect, &str)>) -> Option<i64> {
        let mut hang = Hang::default();
        hang.record(at(1000), at(1000), body, true, open, &place());
        hang.deadline().map(|deadline| deadline.seconds_since(at(1000)))
    }

    #[test]
    fn every_state_has_its_own_patience() {
        let user = Body::Message(Message { role: Role::User, text: "go".into() });
        assert_eq!(patience(&user, None), Some(900));
        assert_eq!(patience(&call(), Some((Effect::Exec, "Bash make"))), Some(900));
        assert_eq!(patience(&call(), Some((Effect::Exec, "mcp__x__y"))), Some(900));
        assert_eq!(patience(&call(), Some((Effect::Delegate, "Task x"))), Some(3600));
        assert_eq!(patience(&call(), Some((Effect::Wait, "Bash sleep 900"))), Some(1800));
        assert_eq!(patience(&answer(), None), Some(900));
        assert_eq!(patience(&Body::Lifecycle(Lifecycle::TurnEnded), None), None);
    }

    #[test]
    fn after_words_of_the_agent_it_may_be_a_persons_turn_unless_the_turn_goes_on() {
        let words = Body::Message(Message { role: Role::Assistant, text: "Done.".into() });
        assert_eq!(patience(&words, None), None);
        assert_eq!(patience(&words, Some((Effect::Exec, "Bash make"))), Some(900));

        let mut hang = Hang::default();
        hang.record(at(1000), at(1000), &Body::Lifecycle(Lifecycle::TurnStarted), true, None, &place());
        hang.record(at(1001), at(1001), &words, true, None, &place());
        assert_eq!(hang.deadline(), Some(at(1901)));
    }

    #[test]
    fn notes_of_the_agent_to_itself_ask_for_no_answer() {
        let note = Body::Message(Message { role: Role::User, text: "<note>".into() });
        let mut hang = Hang::default();
        hang.record(at(1000), at(1000), &note, false, None, &place());
        assert_eq!(hang.deadline(), None);
    }

    #[test]
    fn silence_is_told_once_and_names_what_runs() {
        let mut hang = Hang::default();
        hang.record(at(1000), at(1000), &call(), true, Some((Effect::Exec, "Bash make")), &place());
        assert_eq!(hang.tick(at(1899)), None);
        let told = hang.tick(at(1900)).unwrap();
        assert_eq!(told.reason, "no sign of life for 900 s, although a tool runs (\"Bash make\")");
        assert_eq!((told.level, told.evidence.0.as_str()), (Level::Warn, "t:7"));
        assert_eq!(hang.tick(at(1901)), None);
        assert_eq!(hang.deadline(), None);
    }

    #[test]
    fn what_is_long_past_means_nothing_now() {
        let mut hang = Hang::default();
        hang.record(at(9000), at(1000), &call(), true, Some((Effect::Exec, "Bash make")), &place());
        assert_eq!(hang.deadline(), None);
    }

    #[test]
    fn a_machine_that_slept_starts_the_clock_again() {
        let mut hang = Hang::default();
        hang.record(at(1000), at(1000), &call(), true, Some((Effect::Exec, "Bash make")), &place());
        assert_eq!(hang.tick(at(9000)), None);
        assert!(hang.tick(at(9900)).is_some());
    }
}
