//! What was seen of one attempt.

use std::collections::VecDeque;

use crate::model::event::{BUDGET, Condition, Event, EventBody};
use crate::model::record::{Body, Lifecycle, Record, Role};
use crate::model::{Basis, Class, Health, Level, Timestamp};

use super::trail::Trail;

/// How many failures of an attempt are remembered; the oldest goes.
const MAX_SIGHTINGS: usize = 64;

/// How many lines of plain output are remembered; the oldest goes.
const MAX_LINES: usize = 40;

/// How many bytes of a line are remembered.
const MAX_LINE_BYTES: usize = 400;

/// How many tool calls without a result are remembered; the oldest goes.
const MAX_CALLS: usize = 64;

/// How long a failure that was only read from text explains an end, in seconds. Agents end within seconds of the last
/// word on a failure.
const INFERRED_SEC: i64 = 60;

/// Where something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// Its terminal.
    Terminal,
    /// Its transcript or log.
    Transcript,
}

/// A failure that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// When it was observed.
    pub at: Timestamp,
    /// Where.
    pub source: Source,
    /// What kind of failure.
    pub class: Class,
    /// The HTTP status.
    pub status: Option<u16>,
    /// How it was reached.
    pub basis: Basis,
    /// When it makes sense to try again, as the server says.
    pub retry_at: Option<Timestamp>,
    /// The words.
    pub message: String,
    /// Whether a detector says that something should be done.
    pub act: bool,
    /// Which trouble it is, of its kind: the same when it comes back after a resume; empty if that is not known.
    pub key: String,
}

/// What was seen of one attempt, in bounded memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// When the attempt was started.
    pub started: Timestamp,
    /// The agent's session id, as soon as it says it.
    pub session: Option<String>,
    /// The latest proof that the agent works: the model answered, a tool succeeded.
    pub worked_at: Option<Timestamp>,
    /// When its structure said that the turn ended well.
    pub finished_at: Option<Timestamp>,
    /// Whether it printed anything.
    pub output: bool,
    /// Whether a transcript tells what it does.
    pub is_written: bool,
    /// The tool calls that have no result yet.
    open_calls: VecDeque<OpenCall>,
    /// Whether the tool that runs has processes of its own, which can be ended without the agent.
    pub tool_is_apart: bool,
    /// Whether its own guard told the model that it repeats itself.
    warned: bool,
    /// Whether the model has not answered what it was told last.
    unanswered: bool,
    /// Whether it said that it could not compact its context.
    pub compaction_failed: bool,
    /// If a budget of ours is used up: which, as a sentence.
    pub budget_used_up: Option<String>,
    /// The messages of the model that its session may be taken back to.
    pub trail: Trail,
    /// Whether the context was compacted: what came before cannot be gone back to.
    pub compacted: bool,
    failures: VecDeque<(u64, Sighting)>,
    /// The latest notice of a retry of its own since it last worked.
    retry: Option<OwnRetry>,
    /// How many things were noted: much has the same time, for it arrives together, and its order counts.
    noted: u64,
    /// The number of the latest proof of work.
    worked: u64,
    lines: VecDeque<String>,
}

/// A notice that the agent retries by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnRetry {
    number: u64,
    at: Timestamp,
    class: Class,
    until: Option<Timestamp>,
}

/// A tool call that has no result yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenCall {
    id: String,
    /// What it does, in a few words.
    label: String,
    /// When it was heard of.
    at: Timestamp,
    /// Whether it waits for something that goes on without it.
    waits: bool,
}

impl Facts {
    /// Returns what is known of an attempt that was just started.
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            session: None,
            worked_at: None,
            finished_at: None,
            output: false,
            is_written: false,
            open_calls: VecDeque::new(),
            tool_is_apart: false,
            warned: false,
            unanswered: false,
            compaction_failed: false,
            budget_used_up: None,
            trail: Trail::default(),
            compacted: false,
            failures: VecDeque::new(),
            retry: None,
            noted: 0,
            worked: 0,
            lines: VecDeque::new(),
        }
    }

    /// Takes note of an event of the engine. Those of sub-agents are the agent's own matter.
    pub fn event(&mut self, source: Source, event: &Event) {
        if event.parent_session.is_some() {
            return;
        }
        let at = event.observed_time;
        // What stands in no agent's format, a bare error body, may be what the agent shows and not what ails it.
        let basis = |basis| if event.agent == "unknown" { Basis::Inferred } else { basis };
        match &event.body {
            EventBody::SessionStarted(session) | EventBody::SessionUpdated(session) => {
                if let Some(id) = &session.agent_session {
                    self.session = Some(id.clone());
                }
            }
            // Nothing is retried: what became of it, the model's next words say.
            EventBody::Finding(finding) if finding.self_healing && finding.class == Class::ToolRepeat => {}
            EventBody::Finding(finding) if finding.self_healing => {
                self.retrying(at, finding.class, finding.retry_at);
            }
            EventBody::Finding(finding) => self.failed(Sighting {
                at,
                source,
                class: finding.class,
                status: finding.status,
                basis: basis(finding.basis),
                retry_at: finding.retry_at,
                message: finding.message.clone(),
                act: false,
                key: String::new(),
            }),
            EventBody::Alert(alert) if alert.level == Level::Act && alert.detector == BUDGET => {
                self.budget_used_up = Some(alert.reason.clone());
            }
            EventBody::Alert(alert) if alert.level == Level::Act => {
                let act = Sighting {
                    at,
                    source,
                    class: alert.class,
                    status: None,
                    basis: basis(alert.basis),
                    retry_at: None,
                    message: alert.reason.clone(),
                    act: true,
                    key: alert.fingerprint.clone(),
                };
                self.alerted(act);
            }
            EventBody::Status(status) if status.to == Condition::Health(Health::Ok) => self.worked(at),
            EventBody::Alert(_)
            | EventBody::Decision(_)
            | EventBody::Outcome(_)
            | EventBody::Status(_)
            | EventBody::Usage(_)
            | EventBody::Summary(_) => {}
        }
    }

    /// Takes note of a record, where records are at hand: they tell of work that events do not mention.
    pub fn record(&mut self, now: Timestamp, record: &Record<'_>) {
        if record.subagent.is_some() {
            return;
        }
        self.heard(&record.body);
        match &record.body {
            Body::Message(message) if message.role == Role::Assistant => self.worked(now),
            Body::ToolCall(call) => {
                self.worked(now);
                // Whoever shows the record may have said more of it already.
                self.called(now, &call.id, &call.name, false);
            }
            Body::ToolResult(result) => self.returned(&result.id),
            Body::Failure(failure) if failure.codes.iter().any(|code| code == "compact_failed") => {
                self.compaction_failed = true;
            }
            Body::Lifecycle(Lifecycle::Compacted) => {
                self.compacted = true;
                self.trail.clear();
            }
            Body::Lifecycle(Lifecycle::TurnEnded) => self.finished(now),
            Body::Lifecycle(Lifecycle::TurnStarted) => self.finished_at = None,
            _ => {}
        }
        if let Some(session) = &record.session {
            self.session = Some(session.clone().into_owned());
        }
        if let Some(place) = &record.place {
            self.trail.told(place);
        }
    }

    /// Takes note of a record of a transcript. It is read a little after it was written: work from before a failure that
    /// was seen elsewhere meanwhile does not refute that failure.
    pub fn record_written(&mut self, now: Timestamp, record: &Record<'_>) {
        self.is_written = true;
        let is_older = |time| self.failures.back().is_some_and(|(_, failure)| failure.at > time);
        if !record.time.is_some_and(is_older) {
            return self.record(now, record);
        }
        let is_work = match &record.body {
            Body::Message(message) => message.role == Role::Assistant,
            Body::ToolCall(_) => true,
            _ => false,
        };
        if record.subagent.is_some() {
            return;
        }
        self.heard(&record.body);
        match &record.body {
            Body::ToolCall(call) => self.called(now, &call.id, &call.name, false),
            Body::ToolResult(result) => self.returned(&result.id),
            _ => {}
        }
        if is_work {
            self.worked_at = self.worked_at.max(record.time);
        }
        if let Some(place) = &record.place {
            self.trail.told(place);
        }
    }

    /// Takes note of whose turn it is.
    fn heard(&mut self, body: &Body<'_>) {
        match body {
            Body::Message(message) => self.unanswered = message.role == Role::User,
            Body::Failure(failure) if failure.class == Some(Class::ToolRepeat) && failure.retry.is_some() => {
                (self.warned, self.unanswered) = (true, true);
            }
            _ => {}
        }
    }

    /// Tells whether an agent that says that it has ended well was stopped by its own guard against loops: the model had
    /// been told that it repeats itself, and did not have the last word.
    pub fn stopped_repeating(&self) -> bool {
        self.warned && self.unanswered && !self.stands(Class::ToolRepeat)
    }

    /// Takes note that a tool was called, `label` in a few words; `waits`: for something that goes on without it. Output and
    /// transcript tell the same calls.
    pub fn called(&mut self, now: Timestamp, id: &str, label: &str, waits: bool) {
        if self.open_calls.iter().any(|open| open.id == id) {
            return;
        }
        if self.open_calls.len() == MAX_CALLS {
            self.open_calls.pop_front();
        }
        self.open_calls.push_back(OpenCall { id: id.to_owned(), label: label.to_owned(), at: now, waits });
    }

    /// Takes note that a tool is done. A result without an id may be any call's.
    fn returned(&mut self, id: &str) {
        let before = self.open_calls.len();
        self.open_calls.retain(|open| open.id != id && !id.is_empty());
        if self.open_calls.len() < before {
            self.failures.retain(|(_, failure)| failure.class != Class::Stalled);
        }
    }

    /// Returns what the tool does that has run for the longest time, in a few words.
    pub fn tool(&self) -> Option<&str> {
        self.open_calls.front().map(|open| open.label.as_str())
    }

    /// Returns since when tools run, as far as was heard of it.
    pub fn tool_since(&self) -> Option<Timestamp> {
        self.open_calls.iter().map(|open| open.at).min()
    }

    /// Tells whether a tool call that has no result yet waits for something that goes on without it.
    pub fn tool_waits(&self) -> bool {
        self.open_calls.iter().any(|open| open.waits)
    }

    /// Tells whether a tool call has no result yet.
    pub fn tool_runs(&self) -> bool {
        !self.open_calls.is_empty()
    }

    /// Takes note of a failure.
    pub fn failed(&mut self, sighting: Sighting) {
        self.finished_at = None;
        if self.failures.len() == MAX_SIGHTINGS {
            self.failures.pop_front();
        }
        self.noted += 1;
        self.failures.push_back((self.noted, sighting));
    }

    /// An alert is about findings that were seen before; where one of its class still stands, that is marked.
    pub(super) fn alerted(&mut self, alert: Sighting) {
        let worked = self.worked;
        let refuted = alert.source == Source::Transcript && self.is_in_transcript(alert.class);
        let found = self
            .failures
            .iter_mut()
            .rev()
            .find(|(number, sighting)| sighting.class == alert.class && *number > worked);
        match found {
            Some((_, sighting)) => (sighting.act, sighting.key) = (true, alert.key),
            // A log that ends with a failure does not know of the work that was seen elsewhere since.
            None if refuted => {}
            None => self.failed(alert),
        }
    }

    /// Tells whether the transcript has named a failure of this class.
    fn is_in_transcript(&self, class: Class) -> bool {
        let named = |(_, sighting): &(u64, Sighting)| {
            sighting.source == Source::Transcript && sighting.class == class
        };
        self.failures.iter().any(named)
    }

    /// Takes note that the agent retries by itself after a failure of this class.
    pub fn retrying(&mut self, now: Timestamp, class: Class, until: Option<Timestamp>) {
        self.noted += 1;
        self.retry = Some(OwnRetry { number: self.noted, at: now, class, until });
    }

    /// Takes note that the agent works.
    pub fn worked(&mut self, now: Timestamp) {
        self.noted += 1;
        self.worked = self.noted;
        self.worked_at = Some(now);
        self.finished_at = None;
        self.retry = None;
    }

    /// Takes note that the turn ended well.
    pub fn finished(&mut self, now: Timestamp) {
        self.finished_at = Some(now);
    }

    /// Takes note of a line of plain output.
    pub fn line(&mut self, text: &str) {
        self.output = true;
        let mut end = text.len().min(MAX_LINE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(text[..end].to_owned());
    }

    /// Returns the last lines of plain output, and the words of the failures.
    pub fn text(&self) -> String {
        let words = self.failures.iter().map(|(_, sighting)| &sighting.message);
        self.lines.iter().chain(words).fold(String::new(), |text, line| text + line + "\n")
    }

    /// Tells whether the agent has worked in this attempt.
    pub fn has_worked(&self) -> bool {
        self.worked_at.is_some()
    }

    /// Returns the failures that no work after them has refuted, the oldest first.
    pub fn standing(&self) -> impl DoubleEndedIterator<Item = &Sighting> {
        let stands = |entry: &&(u64, Sighting)| entry.0 > self.worked;
        self.failures.iter().filter(stands).map(|(_, sighting)| sighting)
    }

    /// Tells whether a failure of this class stands.
    pub fn stands(&self, class: Class) -> bool {
        self.standing().any(|sighting| sighting.class == class)
    }

    /// Returns the failure to act on: of those that stand, the one that explains most, and of these the latest.
    /// With `sure`, only one that a detector has confirmed. What was only read from text counts for a minute: where
    /// plain text is all there is, nothing tells that the agent has worked since.
    pub fn decisive(&self, sure: bool, now: Timestamp) -> Option<&Sighting> {
        // A hang is refuted by the first sign of life, and by nothing else.
        let is_recent = |sighting: &Sighting| {
            sighting.class == Class::Stalled || now.seconds_since(sighting.at) <= INFERRED_SEC
        };
        self.standing()
            .filter(|sighting| (sighting.act || !sure) && rank(sighting.class).is_some())
            .filter(|sighting| sighting.basis == Basis::Asserted || is_recent(sighting))
            .max_by_key(|sighting| (std::cmp::Reverse(rank(sighting.class)), sighting.act, sighting.at))
    }

    /// Returns the latest time that failures of a class which stand, or retries after one, name: of two windows that
    /// are both used up, the one that opens last counts.
    pub fn retry_at(&self, class: Class) -> Option<Timestamp> {
        let failures = self.standing().filter(|sighting| sighting.class == class);
        let retries = self.retry.filter(|retry| retry.class == class).and_then(|retry| retry.until);
        failures.filter_map(|sighting| sighting.retry_at).chain(retries).max()
    }

    /// Returns when the agent last said that it retries by itself, if it has neither worked nor given up since, and
    /// the time that it named.
    pub fn own_retry(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        let retry = self.retry?;
        let gave_up =
            |(number, sighting): &(u64, Sighting)| *number > retry.number && sighting.class != Class::Stalled;
        (!self.failures.iter().any(gave_up)).then_some((retry.at, retry.until))
    }

    /// Returns for how many seconds nothing but retries and failures came before `now`.
    pub fn fruitless_sec(&self, now: Timestamp) -> i64 {
        now.seconds_since(self.worked_at.unwrap_or(self.started).max(self.started))
    }

    /// Returns the class of the failure after which the agent said that it retries by itself, if it has not worked
    /// since.
    pub fn retried(&self) -> Option<Class> {
        self.retry.map(|retry| retry.class)
    }
}

/// How much a class explains, the most first; `None` for what does not end a run. An inner failure stands before what
/// wraps it: a request that is too large before the 400 that it is.
fn rank(class: Class) -> Option<u8> {
    Some(match class {
        Class::AuthError => 0,
        Class::DiskFull => 1,
        Class::BudgetOver => 2,
        Class::UsageLimit => 3,
        Class::ContentPolicy => 4,
        Class::ModelUnavailable => 5,
        Class::TokenLimit => 6,
        Class::ToolRepeat => 7,
        Class::MaxTurns => 8,
        Class::OutputLimit => 9,
        Class::ConfigError => 10,
        Class::Http400 => 11,
        Class::JsonParse => 12,
        Class::RateLimit => 13,
        Class::Overloaded => 14,
        Class::ServerError => 15,
        Class::Timeout => 16,
        Class::Network => 17,
        Class::Stalled => 18,
        Class::Crash => 19,
        Class::UsageWarning | Class::ToolError | Class::WaitingInput | Class::Interrupted => return None,
    })
}
