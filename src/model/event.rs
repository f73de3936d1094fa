//! The wire format, version 1: one JSON object a line.
//!
//! Every event carries `v`, `type`, `id`, `session`, `agent`, `time` and `observed_time`; what comes from a
//! place in a stream also carries `source`. The other fields depend on the type; they stand at the top level,
//! so that `jq 'select(.type=="decision")'` is all a script needs.
//!
//! Compatibility: new fields and new types may appear; existing ones do not change their meaning.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::class::{Basis, Class, Health, Level, Life, Origin, Pressure, Severity, Strategy};
use super::time::Timestamp;

/// The version of the wire format.
pub const VERSION: u32 = 1;

/// The detector of budgets, which are the user's own, unlike those that a provider or an agent keeps.
pub const BUDGET: &str = "budget";

/// One event: what all have in common, and the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Derived from content: the same input gives the same id, so that consumers can drop duplicates.
    pub id: String,
    /// The session: the agent's own id once the stream has named it, an id derived from the source until then.
    pub session: String,
    /// The session that a sub-agent belongs to.
    pub parent_session: Option<String>,
    /// The format's name, or `unknown`.
    pub agent: String,
    /// When it says it happened; `None` if it does not say.
    pub time: Option<Timestamp>,
    /// When it was observed.
    pub observed_time: Timestamp,
    /// Where in the stream it comes from.
    pub source: Option<SourcePlace>,
    /// What it is.
    pub body: EventBody,
}

impl Event {
    /// Returns the event's type.
    pub fn event_type(&self) -> EventType {
        self.body.event_type()
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &VERSION)?;
        map.serialize_entry("type", self.event_type().name())?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("session", &self.session)?;
        if let Some(parent) = &self.parent_session {
            map.serialize_entry("parent_session", parent)?;
        }
        map.serialize_entry("agent", &self.agent)?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("observed_time", &self.observed_time)?;
        if let Some(source) = &self.source {
            map.serialize_entry("source", source)?;
        }
        macro_rules! body {
            ($($variant:ident)+) => {
                match &self.body {
                    $(EventBody::$variant(body) => flatten(body, &mut map)?,)+
                }
            };
        }
        body!(SessionStarted SessionUpdated Finding Alert Decision Outcome Status Usage Summary);
        map.end()
    }
}

/// Writes the fields of a body into the event's own object.
fn flatten<M: SerializeMap>(body: &impl Serialize, map: &mut M) -> Result<(), M::Error> {
    // Bodies are plain structs of strings, numbers and lists; they cannot fail to become a value.
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(body) {
        for (name, value) in &fields {
            map.serialize_entry(name, value)?;
        }
    }
    Ok(())
}

/// A place in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct SourcePlace {
    /// The path as given, or `-` for standard input.
    pub name: std::sync::Arc<str>,
    /// The line, counted from 1.
    pub line: u64,
    /// Where the line begins, in bytes from the start of the stream (decompressed; if it is in UTF-16, as UTF-8).
    pub offset: u64,
}

/// Declares the bodies and their type names in one place.
macro_rules! bodies {
    ($($(#[$meta:meta])* $variant:ident($body:ident) = $name:literal,)+) => {
        /// The fields that depend on the type.
        #[derive(Clone, Debug, PartialEq)]
        pub enum EventBody { $($(#[$meta])* $variant($body),)+ }

        /// The type of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[$meta])* $variant,)+ }

        impl EventBody {
            /// Returns the type.
            pub fn event_type(&self) -> EventType {
                match self { $(Self::$variant(_) => EventType::$variant,)+ }
            }
        }

        impl EventType {
            /// Every type, in the order in which a session meets them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the type with this name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }

        /// Returns the JSON Schema of each type's own fields, by type name.
        #[cfg(feature = "cli")]
        pub fn body_schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
            vec![$(($name, <$body as schemars::JsonSchema>::json_schema(generator)),)+]
        }
    };
}

bodies! {
    /// A session came into view.
    SessionStarted(Session) = "session_started",
    /// More became known of a session.
    SessionUpdated(Session) = "session_updated",
    /// One observed failure.
    Finding(Finding) = "finding",
    /// A detector's verdict.
    Alert(Alert) = "alert",
    /// What should be done.
    Decision(Decision) = "decision",
    /// How a decision that was carried out went.
    Outcome(Outcome) = "outcome",
    /// The health of a session changed, or how far its run is.
    Status(Status) = "status",
    /// What was used so far: when the pressure on the model's window changes, and now and then.
    Usage(Usage) = "usage",
    /// The end of a source.
    Summary(Summary) = "summary",
}

/// What is known of a session; parts appear as they become known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Session {
    /// Where it is read from: a path, or `-` for standard input.
    pub path: String,
    /// The agent's own session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<String>,
    /// The id under which earlier events of this session stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_session: Option<String>,
    /// The agent's working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of a wrapped run: the number of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Of a wrapped run: the command line, without its secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// One observed failure: a class at a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Finding {
    /// What kind of failure.
    pub class: Class,
    /// How bad this class is.
    pub severity: Severity,
    /// Who reported it.
    pub origin: Origin,
    /// Whether a structured field says so, or text does.
    pub basis: Basis,
    /// The rule that decided.
    pub rule: String,
    /// The HTTP status, if there is one.
    pub status: Option<u16>,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
    /// Whether the agent is already retrying by itself; never a reason to act.
    pub self_healing: bool,
    /// When the limit resets or the next try makes sense, if the text or a field says so.
    pub retry_at: Option<Timestamp>,
    /// Whether `retry_at` names its zone or unit (`asserted`), or one had to be assumed (`inferred`).
    pub retry_at_basis: Option<Basis>,
    /// The words, redacted, at most 200 characters.
    pub message: String,
}

/// A detector's verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Alert {
    /// The detector.
    pub detector: String,
    /// What kind of failure.
    pub class: Class,
    /// How much it is meant.
    pub level: Level,
    /// How bad it is.
    pub severity: Severity,
    /// How many incidents stand behind it.
    pub count: u64,
    /// The window they were counted in, in seconds.
    pub window_sec: u64,
    /// The ids of the first and the last finding behind it; of a loop, and of silence, the places of the first and the last
    /// step: the name of the source, a colon, the line.
    pub evidence: Vec<String>,
    /// The same for every alert of one trouble in one session; of a loop, also in whatever run of it.
    pub fingerprint: String,
    /// Why, as a sentence.
    pub reason: String,
    /// How it was reached.
    pub basis: Basis,
}

/// What should be done about an alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Decision {
    /// The id of the alert.
    pub alert: String,
    /// The class of the alert.
    pub class: Class,
    /// What to do.
    pub strategy: Strategy,
    /// Which attempt of this episode it is, counted from 1.
    pub attempt: u32,
    /// How many attempts there are before a halt.
    pub max_attempts: u32,
    /// How long to wait first, in seconds.
    pub delay_sec: u64,
    /// When the wait is over: the time of the alert plus the delay.
    pub not_before: Timestamp,
    /// Why, as a sentence.
    pub reason: String,
    /// Whether session-doctor does it itself.
    pub acted: bool,
}

/// How a decision that was carried out went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Outcome {
    /// The id of the decision.
    pub decision: String,
    /// How it went, as far as it could be verified.
    pub result: OutcomeResult,
    /// What was seen of it, as a sentence.
    pub detail: String,
}

/// How something that was carried out went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It was done, and had the effect.
    Done,
    /// It could not be done, or had no effect.
    Failed,
    /// It was not begun.
    Skipped,
}

impl OutcomeResult {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What a status event speaks of: the health of a session, or how far its run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Condition {
    /// Its health.
    Health(Health),
    /// How far the run of a wrapped agent is.
    Life(Life),
}

impl From<Health> for Condition {
    fn from(health: Health) -> Self {
        Self::Health(health)
    }
}

impl From<Life> for Condition {
    fn from(life: Life) -> Self {
        Self::Life(life)
    }
}

/// A change of a session's health, or of how far its run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Status {
    /// What it was.
    pub from: Condition,
    /// What it is.
    pub to: Condition,
    /// Why, as a sentence.
    pub reason: String,
    /// How it was reached.
    pub basis: Basis,
    /// Of a run: the process.
    #[serde(flatten)]
    pub process: Option<ProcessFacts>,
}

/// What is known of the process of a wrapped agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct ProcessFacts {
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The status that it ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_signal: Option<i32>,
    /// How many processes it left behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_behind: Option<u64>,
}

/// What a stream has used so far.
///
/// Tokens of input are those that no cache had part in. Counts and cost are of the whole stream, sub-agents included; the
/// window is the main conversation's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Input tokens, without those from or for a cache.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Input tokens read from a cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to a cache.
    pub cache_creation_tokens: u64,
    /// How many tokens are in the model's window: those that the last request sent and got.
    pub context_tokens: Option<u64>,
    /// How many the window holds.
    pub context_limit: Option<u64>,
    /// How full it is, in percent.
    pub usage_pct: Option<f64>,
    /// How near its end is.
    pub pressure: Option<Pressure>,
    /// Whether the agent said how many tokens are in it, or they are estimated from the words.
    pub context_basis: Option<Basis>,
    /// When it is full, if it fills as it did.
    pub limit_at: Option<Timestamp>,
    /// US dollars, as the agent states them, else by the list of prices; without what has no price.
    pub cost_usd: Option<f64>,
    /// How many tokens are of models without a known price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpriced_tokens: Option<u64>,
    /// The budget of the run in US dollars, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// The budget of the run in tokens, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u64>,
    /// When the first of the budgets is used up, if it goes on as it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_at: Option<Timestamp>,
    /// The windows of the subscription, where the provider tells of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<SubscriptionWindow>,
}

/// A window of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct SubscriptionWindow {
    /// How long it is, in minutes.
    pub minutes: u64,
    /// How much of it is used, in percent.
    pub used_pct: Option<f64>,
    /// When it begins anew.
    pub resets_at: Option<Timestamp>,
}

/// What a source held.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Summary {
    /// How many sources it covers.
    pub sources: u64,
    /// Lines, a final one without line end included.
    pub lines: u64,
    /// Bytes (after decompression; of UTF-16, as UTF-8).
    pub bytes: u64,
    /// Records decoded.
    pub records: u64,
    /// JSON lines that no decoder understood, lines that are broken JSON, and lines with zero bytes, which are no text.
    pub undecoded: u64,
    /// Lines that were longer than the limit; what stood behind it was not looked at.
    pub truncated: u64,
    /// Events that were dropped because nobody took them in time.
    pub dropped_events: u64,
    /// Bytes that were passed on without being looked at, because there were too many at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_bytes: Option<u64>,
    /// Findings per class.
    pub findings: std::collections::BTreeMap<&'static str, u64>,
    /// Findings that the agent was already mending by itself.
    pub self_healing: u64,
    /// Alerts per class.
    pub alerts: std::collections::BTreeMap<&'static str, u64>,
    /// Input tokens, without those from or for a cache.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// Input tokens read from a cache.
    pub cache_read_tokens: Option<u64>,
    /// Input tokens written to a cache.
    pub cache_creation_tokens: Option<u64>,
    /// US dollars, as the agent states them, else by the list of prices; without what has no price.
    pub cost_usd: Option<f64>,
    /// How many tokens are of models without a known price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpriced_tokens: Option<u64>,
    /// Seconds between the first and the last time that the records say.
    pub duration_sec: Option<f64>,
    /// The worst health that the source ends with.
    pub verdict: Option<Health>,
}

impl Summary {
    /// Adds another source's summary. Tokens and money add up; durations do not and are left out.
    pub fn add(&mut self, other: &Self) {
        self.sources += other.sources;
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.records += other.records;
        self.undecoded += other.undecoded;
        self.truncated += other.truncated;
        self.dropped_events += other.dropped_events;
        self.unseen_bytes = add_known(self.unseen_bytes, other.unseen_bytes);
        self.self_healing += other.self_healing;
        for (mine, theirs) in [(&mut self.findings, &other.findings), (&mut self.alerts, &other.alerts)] {
            for (class, count) in theirs {
                *mine.entry(class).or_default() += count;
            }
        }
        self.cache_read_tokens = add_known(self.cache_read_tokens, other.cache_read_tokens);
        self.cache_creation_tokens = add_known(self.cache_creation_tokens, other.cache_creation_tokens);
        self.unpriced_tokens = add_known(self.unpriced_tokens, other.unpriced_tokens);
        self.input_tokens = add_known(self.input_tokens, other.input_tokens);
        self.output_tokens = add_known(self.output_tokens, other.output_tokens);
        self.cost_usd = add_known(self.cost_usd, other.cost_usd);
        self.duration_sec = None;
        self.verdict = self.verdict.max(other.verdict);
    }
}

fn add_known<T: std::ops::Add<Output = T>>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}
