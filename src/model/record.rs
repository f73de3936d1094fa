//! What an agent said, decoded: the common tongue between the formats and everything after them.
//!
//! Records borrow from the read buffer; what must outlive it is copied into events.

use std::borrow::Cow;
use std::fmt;

use super::class::{Class, Origin};
use super::time::Timestamp;

/// One decoded unit of what the agent said.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// When it says it happened; `None` if it does not say.
    pub time: Option<Timestamp>,
    /// The agent's own session id, where the record names it.
    pub session: Option<Cow<'a, str>>,
    /// The sub-agent or side chain that said it; `None` for the main conversation.
    pub subagent: Option<Cow<'a, str>>,
    /// Where in its frame it stands, in bytes; matters only in documents of many lines.
    pub at: usize,
    /// Where in its session it stands, for a message of the model in a session that can be taken back.
    pub place: Option<Place<'a>>,
    /// What it is.
    pub body: Body<'a>,
}

impl<'a> Record<'a> {
    /// Returns a record of the main conversation that says neither time nor session.
    pub fn new(body: Body<'a>) -> Self {
        Self { time: None, session: None, subagent: None, at: 0, place: None, body }
    }
}

/// A place in a session that the agent can be taken back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The record's id: what the agent is told.
    pub record: Cow<'a, str>,
    /// The id of the model's message, of which the record may be one part of several.
    pub message: Cow<'a, str>,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// Prose of the model or of a person. Content: never evidence of a failure.
    Message(Message<'a>),
    /// The model asks for a tool.
    ToolCall(ToolCall<'a>),
    /// A tool answered.
    ToolResult(ToolResult<'a>),
    /// The provider or the agent reports a failure, or that it is retrying after one.
    Failure(Failure<'a>),
    /// Tokens and money, as the agent states them.
    Usage(Usage<'a>),
    /// How much of a subscription is used up, as the provider states it.
    Quota(Quota),
    /// Something about the run itself.
    Lifecycle(Lifecycle<'a>),
    /// A line of plain text that no structure speaks for; the rules for plain lines decide.
    Text(TextLine<'a>),
}

/// Who speaks in a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The model. A new message of it is the proof that the provider answers.
    Assistant,
    /// A person, a hook, a system prompt.
    User,
}

/// Makes words of the notation that they stand in.
pub type Read = for<'t> fn(&'t str) -> Cow<'t, str>;

/// Content: the words, or the notation of them, which is read when somebody asks.
///
/// Most content is asked for by nobody, and to undo its escapes costs more than to find where it ends.
#[derive(Clone)]
pub struct Text<'a>(Content<'a>);

#[derive(Clone)]
enum Content<'a> {
    Words(Cow<'a, str>),
    Notation(&'a str, Read),
}

impl<'a> Text<'a> {
    /// Returns text that `read` makes of its notation, each time that it is asked for.
    pub fn unread(notation: &'a str, read: Read) -> Self {
        Self(Content::Notation(notation, read))
    }

    /// Returns what stands in the record: the words, or the notation of them. Says as much about whether two texts of
    /// one stream are the same, and costs nothing.
    pub fn raw(&self) -> &str {
        match &self.0 {
            Content::Words(words) => words,
            Content::Notation(notation, _) => notation,
        }
    }

    /// Returns the words.
    pub fn read(&self) -> Cow<'_, str> {
        match &self.0 {
            Content::Words(words) => Cow::Borrowed(words),
            Content::Notation(notation, read) => read(notation),
        }
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Text<'a> {
    fn from(text: T) -> Self {
        Self(Content::Words(text.into()))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.read())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.read(), f)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.read() == other.read()
    }
}

/// Prose.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// The words (may be empty: a message of tool calls only has none).
    pub text: Text<'a>,
}

/// A request for a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall<'a> {
    /// The call's id, as its result will name it; empty where the format has none.
    pub id: Cow<'a, str>,
    /// The tool's name.
    pub name: Cow<'a, str>,
    /// The arguments as written: JSON text for structured formats, a command line for plain ones.
    pub input: Text<'a>,
}

/// A tool's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult<'a> {
    /// The id of the call it answers; empty where the format has none.
    pub id: Cow<'a, str>,
    /// Whether the agent marks it as failed. Words in it mean nothing as long as this is false.
    pub failed: bool,
    /// The exit status of a command, where the format says it.
    pub exit_code: Option<i64>,
    /// The output (decoders may leave out what is long: at least the first 2 KiB are there).
    pub text: Text<'a>,
}

/// A failure as the provider or the agent reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure<'a> {
    /// Who reports it: [`Origin::Provider`] for API errors, [`Origin::Agent`] for the agent's own.
    pub origin: Origin,
    /// The message, in the reporter's words; may hold a JSON error body.
    pub text: Cow<'a, str>,
    /// The HTTP status from a status field.
    pub status: Option<u16>,
    /// Machine codes from fields made for that, most specific first (`rate_limit_error`, `prompt_too_long`).
    pub codes: Vec<Cow<'a, str>>,
    /// The class where the format's structure leaves no doubt whatever the words (a turn limit, an abort).
    pub class: Option<Class>,
    /// Present when the agent says that it is already retrying by itself.
    pub retry: Option<Retry>,
    /// When the limit resets, from a field made for that.
    pub retry_at: Option<Timestamp>,
    /// Whether this record ends the turn or the run because of the failure.
    pub ends: bool,
    /// Whether that is only so if no notice follows at once that the agent retries by itself.
    pub may_retry: bool,
    /// Whether a structured field says so (else it is read from text).
    pub structured: bool,
}

impl<'a> Failure<'a> {
    /// Returns a structured failure with a message and nothing else known.
    pub fn new(origin: Origin, text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            origin,
            text: text.into(),
            status: None,
            codes: Vec::new(),
            class: None,
            retry: None,
            retry_at: None,
            ends: false,
            may_retry: false,
            structured: true,
        }
    }
}

/// The agent's own retry in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Which attempt this is, counted from 1.
    pub attempt: Option<u32>,
    /// After how many it gives up.
    pub max_attempts: Option<u32>,
    /// How long it waits before the attempt, in milliseconds.
    pub delay_ms: Option<u64>,
}

/// Tokens and money. Counts are tokens; `None` means that the record does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage<'a> {
    /// What the figures cover.
    pub scope: UsageScope,
    /// The model that used them, as the record names it.
    pub model: Option<&'a str>,
    /// The id of the model's message: records of one message repeat its figures, and copies of a session repeat them all.
    pub message: Option<&'a str>,
    /// The id of the request that the message answers.
    pub request: Option<&'a str>,
    /// What the session had used when this was told, itself included, where the record says so.
    pub totals: Option<Totals>,
    /// Whether that is all it says: what the totals have grown by has been told already, request by request.
    pub told: bool,
    /// Input tokens **without** those read from or written to a cache (decoders subtract where the agent includes them).
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// Input tokens read from a cache.
    pub cache_read_tokens: Option<u64>,
    /// Input tokens written to a cache.
    pub cache_creation_tokens: Option<u64>,
    /// How many of these are to be kept for an hour, which costs more.
    pub cache_creation_1h_tokens: Option<u64>,
    /// The model's context window.
    pub context_limit: Option<u64>,
    /// US dollars, the agent's own estimate.
    pub cost_usd: Option<f64>,
    /// What of it each model used, where the record says so; no part has parts.
    pub parts: &'a [Usage<'a>],
}

/// A window of a subscription: so much may be used in so many minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// How long the window is, in minutes: 300 for one of five hours, 10,080 for a week.
    pub minutes: u64,
    /// How much of it is used, in percent; `None` if that is not said.
    pub used_pct: Option<f64>,
    /// When it begins anew, if that is said.
    pub resets_at: Option<Timestamp>,
}

/// Counts since a session began: input without cached tokens, output, read from a cache, written to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// As [`Usage::input_tokens`].
    pub input: u64,
    /// As [`Usage::output_tokens`].
    pub output: u64,
    /// As [`Usage::cache_read_tokens`].
    pub cache_read: u64,
    /// As [`Usage::cache_creation_tokens`].
    pub cache_creation: u64,
}

/// What a [`Usage`] covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageScope {
    /// One request to the model.
    #[default]
    Request,
    /// One turn (from a prompt to the end of the answer).
    Turn,
    /// The run so far: figures replace earlier ones, never add to them.
    Run,
}

/// Something about the run itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle<'a> {
    /// The session says who it is. Any part may be missing; parts come again when they change.
    Started {
        /// The working directory.
        cwd: Option<Cow<'a, str>>,
        /// The model's name.
        model: Option<Cow<'a, str>>,
    },
    /// A turn began.
    TurnStarted,
    /// A person answered what the agent had waited for, whatever the answer was.
    Answered,
    /// A turn ended well, by the structure's own word.
    TurnEnded,
    /// The context was compacted.
    Compacted,
    /// The session began as a copy of another one, or of a part of it: what it repeats is not its own.
    Forked {
        /// The id of the other.
        from: Cow<'a, str>,
    },
    /// Understood, and of no consequence here (a snapshot, a heartbeat, a banner).
    Other,
}

/// A line of plain text, made readable: no control sequences, typography as printed.
#[derive(Clone, Debug, PartialEq)]
pub struct TextLine<'a> {
    /// The whole line.
    pub text: Cow<'a, str>,
    /// Where in `text` the program's own words begin: after a time stamp, a log level, a quote mark.
    pub body: usize,
    /// The log level in front of the words, if there is one.
    pub level: Option<LogLevel>,
    /// Whether the line is set off as content: a bullet, a diff or code line, a quoted prompt, a code fence.
    pub content: bool,
}

/// The level that a log line gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Trace, debug, info, notice.
    Info,
    /// Warning.
    Warning,
    /// Error, fatal, critical, panic.
    Error,
}
