//! Claude Code: `--output-format stream-json` and `json`, and the transcripts it keeps per session.
//!
//! The wrapper tells whether a record is a failure; the words in `content` never do. A turn that an API
//! error ended says `"subtype":"success"` all the same, so `is_error` decides, and the machine codes of the
//! synthetic message before it are carried over to the result that repeats its words.
//!
//! Agents that speak the same stream (Qwen Code) reuse [`Stream`] with a [`Dialect`] of their own.

pub(in crate::engine) mod status_line;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::json::{self, Field, Notation, Object, Reader, object};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{
    Body, Failure, Lifecycle, Message, Place, Quota, Record, Retry, Role, Text, ToolCall, ToolResult, Usage, UsageScope,
};
use crate::model::{Class, Origin, Timestamp};

/// The format.
pub(super) static FORMAT: Claude = Claude;

/// Claude Code's streams and transcripts.
pub(super) struct Claude;

impl Format for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        first_object(frame)
            .and_then(|text| json::from_str::<Envelope>(text).ok())
            .is_some_and(|envelope| envelope.is_claude())
    }

    fn own_notes(&self) -> &'static [&'static str] {
        &["<command-", "<local-command-", "<bash-", "<system-reminder", "<task-notification", "Caveat: The messages below "]
    }

    /// Transcripts do; a stream says in `init` which window was asked for.
    fn tells_window_at_its_end(&self, head: &[u8]) -> bool {
        let mut lines = head.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        lines.any(|line| {
            json::read::<Line<'_>>(line).is_ok_and(|line| line.transcript_session.get().is_some())
        })
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Stream::new(&DIALECT))
    }
}

/// Claude Code's own dialect: what the structure says is so.
static DIALECT: Dialect = Dialect { reported: None, input_includes_cache: false };

/// Where an agent that speaks this stream differs from Claude Code.
pub(super) struct Dialect {
    /// Returns the failure that a message text is, although the structure calls it a success. The flag tells
    /// whether the message is known to have used no tokens.
    pub(super) reported: Option<for<'t> fn(&'t str, bool) -> Option<Failure<'t>>>,
    /// Whether the stated input tokens include those read from a cache.
    pub(super) input_includes_cache: bool,
}

/// A tool's output is carried up to this many bytes of its JSON text.
const RESULT_BYTES: usize = 4096;

/// Requests whose usage was reported already, remembered so that the blocks of one message do not tell it
/// again. When it is full, the oldest is forgotten.
const REMEMBERED_REQUESTS: usize = 8;

/// The texts of the record that takes the place of an interrupted turn.
const INTERRUPTED: [&str; 2] = ["[Request interrupted by user]", "[Request interrupted by user for tool use]"];

/// How long the notation of such a text is at most. Longer ones are not read to see whether they are one.
const MARKER_BYTES: usize = 256;

/// How the result of a tool begins that a person did not allow.
const REJECTED: [&str; 2] =
    ["The user doesn't want to proceed with this tool use", "The user doesn't want to take this action"];

/// How a notice begins that a limit comes near or that something dearer is in use.
const WARNINGS: [&str; 7] = [
    "You've used",
    "You're close to",
    "You're now using",
    "Now using",
    "Approaching",
    "Claude Opus limit reached, now using",
    "Claude Opus 4 limit reached, now using",
];

/// The reasons to end a turn that are failures even where `is_error` is not set.
const FATAL_REASONS: [&str; 11] = [
    "max_turns",
    "blocking_limit",
    "rapid_refill_breaker",
    "prompt_too_long",
    "image_error",
    "model_error",
    "api_error",
    "malformed_tool_use_exhausted",
    "budget_exhausted",
    "structured_output_retry_exhausted",
    "turn_setup_failed",
];

/// Decodes the Claude-compatible stream and transcripts.
pub(super) struct Stream {
    dialect: &'static Dialect,
    /// The session, working directory and model last told, so that they are not told again on each line.
    session: Option<String>,
    cwd: Option<String>,
    model: Option<String>,
    /// The failure last reported by a message; the result that follows repeats its words without its codes.
    pending: Option<Pending>,
    /// When the limit resets that was last hit.
    resets_at: Option<Timestamp>,
    /// Whether the last thing said in the conversation was that it was interrupted.
    interrupted: bool,
    seen: [(u64, [u64; 4]); REMEMBERED_REQUESTS],
    next_seen: usize,
    run: Usage<'static>,
    /// The messages that are being told piece by piece.
    pieces: Vec<Pieces>,
}

/// How many messages at a time are told piece by piece: that of the main conversation, and those of its sub-agents.
const PIECEWISE: usize = 8;

/// A message that is being told piece by piece.
struct Pieces {
    subagent: String,
    message: String,
    model: String,
    figures: Usage<'static>,
}

/// What a failing message said that its result leaves out.
struct Pending {
    text: String,
    codes: Vec<String>,
    status: Option<u16>,
}

impl Decode for Stream {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if frame.truncated {
            return Decoded::No;
        }
        let Some(text) = json::utf8(frame.bytes) else { return Decoded::No };
        if !text.trim_start().starts_with('[') {
            return self.line(text, 0, out);
        }
        // With --verbose, `json` mode gives all messages of the run in one array.
        let Ok(elements) = json::from_str::<Vec<&RawValue>>(text) else { return Decoded::No };
        let mut decoded = Decoded::No;
        for element in elements {
            let at = (element.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            if self.line(element.get(), at, out) == Decoded::Yes {
                decoded = Decoded::Yes;
            }
        }
        decoded
    }
}

impl Stream {
    /// Returns a decoder with nothing seen yet.
    pub(super) fn new(dialect: &'static Dialect) -> Self {
        Self {
            dialect,
            session: None,
            cwd: None,
            model: None,
            pending: None,
            resets_at: None,
            interrupted: false,
            seen: [(0, [0; 4]); REMEMBERED_REQUESTS],
            next_seen: 0,
            run: Usage { scope: UsageScope::Run, ..Usage::default() },
            pieces: Vec::new(),
        }
    }

    fn line(&mut self, text: &str, at: usize, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let mut line = Line::default();
        if json::fill(text, &mut line).is_err() {
            return Decoded::No;
        }
        let head = Head {
            time: line.timestamp.get().and_then(Timestamp::parse_rfc3339),
            session: line.session().map(Cow::Borrowed),
            subagent: line.subagent().map(Cow::Borrowed),
            at,
        };
        match line.kind.get().unwrap_or_default() {
            "assistant" if line.message.is_some() => {
                self.started(&line, &head, out);
                if let Some(message) = &line.message.0 {
                    self.assistant(&line.reported(), message, &head, out);
                }
                Decoded::Yes
            }
            "user" if line.message.is_some() => {
                self.started(&line, &head, out);
                if let Some(message) = &line.message.0 {
                    self.user(&line, message, &head, out);
                }
                Decoded::Yes
            }
            kind => {
                let report = line.report.as_deref();
                self.report(kind, &line, report.unwrap_or(&Report::default()), &head, out)
            }
        }
    }

    /// A line that is no message.
    fn report(
        &mut self,
        kind: &str,
        line: &Line<'_>,
        report: &Report<'_>,
        head: &Head<'_>,
        out: &mut dyn FnMut(Record<'_>),
    ) -> Decoded {
        let other = Body::Lifecycle(Lifecycle::Other);
        match kind {
            "system" if line.subtype.get().is_some() => {
                self.started(line, head, out);
                self.system(line, report, head, out);
            }
            "result" if report.is_error.0.is_some() || line.subtype.get().is_some() => {
                self.result(line, report, head, out);
            }
            "rate_limit_event" => match &report.rate_limit_info.0 {
                Some(info) => self.rate_limit(info, head, out),
                None => return Decoded::No,
            },
            "auth_status" => match report.error.message().filter(|text| !text.is_empty()) {
                Some(text) => out(head.record(Body::Failure(Failure {
                    codes: vec![Cow::Borrowed("auth_status")],
                    ..Failure::new(Origin::Provider, text)
                }))),
                None => out(head.record(other)),
            },
            "attachment" if report.attachment.is_some() => {
                // The one attachment that is the agent's own word and no content: in a transcript nothing
                // else says that the turn limit ended the run.
                let kind = report.attachment.0.as_ref().and_then(|attachment| attachment.kind.get());
                if kind == Some("max_turns_reached") {
                    out(head.record(Body::Failure(Failure {
                        codes: vec![Cow::Borrowed("max_turns_reached")],
                        class: Some(Class::MaxTurns),
                        ends: true,
                        ..Failure::new(Origin::Agent, "max_turns_reached")
                    })));
                } else {
                    out(head.record(other));
                }
            }
            "stream_event" if report.event.is_some() => self.stream_event(report, head, out),
            "progress" if report.data.is_some() => self.progress(line, report, head, out),
            "control_request" | "control_response" | "control_cancel_request" | "keep_alive" | "summary"
            | "file-history-snapshot" => out(head.record(other)),
            // The last two are Cursor's, whose messages look the same.
            "" | "error" | "tool_call" | "thinking" => return Decoded::No,
            // A type that is newer than this decoder, in an envelope that can only be this format's.
            _ if line.session().is_some() => out(head.record(other)),
            _ => return Decoded::No,
        }
        Decoded::Yes
    }

    /// A piece of a message, with `--include-partial-messages`. The last of them has all of its output, which the message itself
    /// was told too early for.
    fn stream_event(&mut self, report: &Report<'_>, head: &Head<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let event = report.event.0.as_ref();
        let subagent = head.subagent.as_deref().unwrap_or_default();
        let named = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(str::to_owned);
        match event.and_then(|event| event.kind.get()) {
            Some("message_start") => {
                let message = event.and_then(|event| event.message.0.as_ref());
                let names = message.and_then(|message| Some((named(message.id.get())?, named(message.model.get())?)));
                if let (Some((id, model)), Some(message)) = (names, message) {
                    self.pieces.retain(|pieces| pieces.subagent != subagent);
                    if self.pieces.len() == PIECEWISE {
                        self.pieces.remove(0);
                    }
                    let figures = message.usage.0.as_ref().map(|usage| usage.usage(UsageScope::Request, self.dialect));
                    let figures = figures.unwrap_or_default();
                    let subagent = subagent.to_owned();
                    self.pieces.push(Pieces { subagent, message: id, model, figures });
                }
            }
            Some("message_delta") => {
                let usage = event.and_then(|event| event.usage.0.as_ref());
                let pieces = self.pieces.iter_mut().find(|pieces| pieces.subagent == subagent);
                if let (Some(usage), Some(pieces)) = (usage, pieces) {
                    let (known, last) = (&mut pieces.figures, usage.usage(UsageScope::Request, self.dialect));
                    known.input_tokens = known.input_tokens.max(last.input_tokens);
                    known.output_tokens = known.output_tokens.max(last.output_tokens);
                    known.cache_read_tokens = known.cache_read_tokens.max(last.cache_read_tokens);
                    known.cache_creation_tokens = known.cache_creation_tokens.max(last.cache_creation_tokens);
                    let (model, message) = (Some(&*pieces.model), Some(&*pieces.message));
                    out(head.record(Body::Usage(Usage { model, message, ..*known })));
                    return;
                }
            }
            _ => {}
        }
        out(head.record(Body::Lifecycle(Lifecycle::Other)));
    }

    /// Says where and with which model a transcript goes on, when that is news. Streams say it in `init`.
    fn started(&mut self, line: &Line<'_>, head: &Head<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let Some(session) = line.transcript_session.get() else { return };
        if head.subagent.is_some() {
            return;
        }
        if self.session.as_deref() != Some(session) {
            self.session = Some(session.to_owned());
            self.cwd = None;
            self.model = None;
        }
        let model = line.message.0.as_ref().and_then(|message| message.model.get());
        let model = model.filter(|&model| model != SYNTHETIC && self.model.as_deref() != Some(model));
        let cwd = line.cwd.get().filter(|&cwd| self.cwd.as_deref() != Some(cwd));
        if model.is_none() && cwd.is_none() {
            return;
        }
        if let Some(model) = model {
            self.model = Some(model.to_owned());
        }
        if let Some(cwd) = cwd {
            self.cwd = Some(cwd.to_owned());
        }
        let (cwd, model) = (cwd.map(Cow::Borrowed), model.map(Cow::Borrowed));
        out(head.record(Body::Lifecycle(Lifecycle::Started { cwd, model })));
    }

    fn assistant(
        &mut self,
        reported: &Reported<'_>,
        message: &ModelMessage<'_>,
        head: &Head<'_>,
        out: &mut dyn FnMut(Record<'_>),
    ) {
        let text = message.content.text();
        let synthetic = message.model.get() == Some(SYNTHETIC);
        let marked = reported.code.is_some() || reported.is_api_error == Some(true);
        // Builds before `error` was there mark the message by its model alone, as they do fillers.
        let unmarked = synthetic && reported.is_api_error.is_none() && text.read().starts_with("API Error");
        if marked || unmarked {
            let text = text.read();
            let refused = message.stop_reason.get() == Some("refusal");
            let mut codes: Vec<&str> = [reported.api_error, refused.then_some("refusal"), reported.code]
                .into_iter()
                .flatten()
                .filter(|&code| code != "unknown")
                .collect();
            codes.dedup();
            let throttled = reported.status == Some(429) || codes.contains(&"rate_limit");
            if head.subagent.is_none() {
                self.pending = Some(Pending {
                    text: text.clone().into_owned(),
                    codes: codes.iter().map(|&code| code.to_owned()).collect(),
                    status: reported.status,
                });
            }
            out(head.record(Body::Failure(Failure {
                status: reported.status,
                codes: codes.into_iter().map(Cow::Borrowed).collect(),
                retry_at: self.resets_at.filter(|_| throttled),
                ends: reported.ends,
                structured: marked,
                ..Failure::new(Origin::Provider, text)
            })));
            return;
        }
        if synthetic {
            // A filler of the agent's own making. It proves nothing about the provider.
            out(head.record(Body::Lifecycle(Lifecycle::Other)));
            return;
        }
        let usage = message.usage.0.as_ref();
        let unused = usage.is_some_and(|usage| usage.input.count() == 0 && usage.output.count() == 0);
        let words = if self.dialect.reported.is_some() { text.read() } else { Cow::Borrowed("") };
        if let Some(failure) = self.dialect.reported.and_then(|reported| reported(&words, unused)) {
            if head.subagent.is_none() {
                self.pending = Some(Pending {
                    text: failure.text.to_string(),
                    codes: failure.codes.iter().map(|code| code.to_string()).collect(),
                    status: failure.status,
                });
            }
            out(head.record(Body::Failure(failure)));
            return;
        }
        if head.subagent.is_none() {
            self.pending = None;
            self.resets_at = None;
            self.interrupted = false;
        }
        let said = Body::Message(Message { role: Role::Assistant, text: text.clone() });
        let place = reported.uuid.filter(|_| head.subagent.is_none()).map(|uuid| Place {
            record: Cow::Borrowed(uuid),
            message: Cow::Borrowed(message.id.get().unwrap_or(uuid)),
        });
        out(Record { place, ..head.record(said) });
        for block in message.content.blocks() {
            if block.kind.get() == Some("tool_use") {
                out(head.record(Body::ToolCall(ToolCall {
                    id: block.id.cow(),
                    name: block.name.cow(),
                    input: block.input.text().into(),
                })));
            }
        }
        if let Some(usage) = usage.and_then(|usage| self.request_usage(message, reported, usage)) {
            out(head.record(Body::Usage(usage)));
        }
        // Transcripts have no result record: the last words of a turn say that it ended.
        let last = message.content.blocks().last().and_then(|block| block.kind.get());
        if reported.ends && message.stop_reason.get() == Some("end_turn") && last == Some("text") {
            out(head.record(Body::Lifecycle(Lifecycle::TurnEnded)));
        }
    }

    /// Returns the usage of a request when it is first told, and again when its figures have changed: each block of
    /// one message is a line of its own that repeats them.
    fn request_usage<'m>(
        &mut self,
        message: &'m ModelMessage<'_>,
        reported: &Reported<'m>,
        tokens: &Tokens,
    ) -> Option<Usage<'m>> {
        let named = |id: Option<&'m str>| id.filter(|id| !id.is_empty());
        let usage = Usage {
            model: named(message.model.get()),
            message: named(message.id.get()),
            request: named(reported.request),
            cost_usd: reported.cost_usd,
            ..tokens.usage(UsageScope::Request, self.dialect)
        };
        if usage.message.is_none() {
            return Some(usage);
        }
        let hash = |id: Option<&str>| xxh3_64(id.unwrap_or_default().as_bytes());
        let key = hash(usage.message) ^ hash(usage.request).rotate_left(1);
        let figures = tokens.figures();
        if let Some((_, told)) = self.seen.iter_mut().find(|(seen, _)| *seen == key) {
            return (std::mem::replace(told, figures) != figures).then_some(usage);
        }
        self.seen[self.next_seen] = (key, figures);
        self.next_seen = (self.next_seen + 1) % REMEMBERED_REQUESTS;
        Some(usage)
    }

    fn user(
        &mut self,
        line: &Line<'_>,
        message: &ModelMessage<'_>,
        head: &Head<'_>,
        out: &mut dyn FnMut(Record<'_>),
    ) {
        let mut answered = false;
        for block in message.content.blocks() {
            if block.kind.get() != Some("tool_result") {
                continue;
            }
            answered = true;
            let output = block.content.text();
            let id = block.tool_use_id.cow();
            let failed = block.is_error.0 == Some(true);
            if !failed {
                let text = Text::unread(output, tool_output);
                out(head.record(Body::ToolResult(ToolResult { id, failed, exit_code: None, text })));
                continue;
            }
            let text = tool_output(output);
            let rejected = REJECTED.iter().any(|words| text.starts_with(words))
                || line.tool_use_result().starts_with("\"User rejected tool use");
            let exit_code = exit_code(&text);
            if rejected {
                // That the tool did not run is no failure of the tool beside the refusal.
                out(head.record(Body::Failure(Failure {
                    codes: vec![Cow::Borrowed("tool_rejected")],
                    class: Some(Class::Interrupted),
                    ..Failure::new(Origin::Agent, text)
                })));
            } else {
                out(head.record(Body::ToolResult(ToolResult { id, failed, exit_code, text: text.into() })));
            }
        }
        let short = message.content.texts().filter(|text| text.len() <= MARKER_BYTES);
        let marker = short.map(Prose::words).find_map(|text| {
            let text = text.trim();
            INTERRUPTED.into_iter().find(|&marker| marker == text)
        });
        let genuine = ![line.is_meta.0, line.is_replay.0, line.is_compact_summary.0].contains(&Some(true));
        if let Some(marker) = marker.filter(|_| genuine) {
            if head.subagent.is_none() {
                self.interrupted = true;
            }
            out(head.record(Body::Failure(Failure {
                codes: vec![Cow::Borrowed("interrupted_by_user")],
                class: Some(Class::Interrupted),
                ends: true,
                ..Failure::new(Origin::Agent, marker)
            })));
            return;
        }
        if !answered || !message.content.is_silent() {
            let text = message.content.text();
            out(head.record(Body::Message(Message { role: Role::User, text })));
        }
    }

    fn system(&mut self, line: &Line<'_>, report: &Report<'_>, head: &Head<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let agent = |text, code| Failure {
            codes: vec![Cow::Borrowed(code)],
            ..Failure::new(Origin::Agent, Cow::Borrowed(text))
        };
        let body = match line.subtype.get().unwrap_or_default() {
            "init" => Body::Lifecycle(Lifecycle::Started {
                cwd: line.cwd.get().map(Cow::Borrowed),
                model: report.model.get().map(|model| {
                    self.model = Some(model.to_owned());
                    Cow::Borrowed(model)
                }),
            }),
            "compact_boundary" => Body::Lifecycle(Lifecycle::Compacted),
            "api_retry" => {
                let code = report.error.code().filter(|&code| code != "unknown");
                // A cause unknown and no status: the request never got an answer.
                let code = code.or(report.error_status.0.is_none().then_some("connection_failed"));
                let codes: Vec<&str> =
                    [report.no_response.0.then_some("no_response"), code].into_iter().flatten().collect();
                let text = codes.first().copied().unwrap_or("api_retry");
                Body::Failure(Failure {
                    status: report.error_status.status(),
                    codes: codes.iter().map(|&code| Cow::Borrowed(code)).collect(),
                    retry: Some(Retry {
                        attempt: report.attempt.small(),
                        max_attempts: report.max_retries.small(),
                        delay_ms: report.retry_delay_ms.whole(),
                    }),
                    ..Failure::new(Origin::Provider, text)
                })
            }
            "api_error" => {
                let mut codes = Vec::new();
                report.error.codes(&mut codes);
                report.cause.codes(&mut codes);
                let text = report.error.message().or(codes.first().copied()).unwrap_or("api_error");
                Body::Failure(Failure {
                    status: report.error.status(),
                    retry: Some(Retry {
                        attempt: report.retry_attempt.small(),
                        max_attempts: report.max_retries_transcript.small(),
                        delay_ms: report.retry_in_ms.whole(),
                    }),
                    codes: codes.iter().map(|&code| Cow::Borrowed(code)).collect(),
                    ..Failure::new(Origin::Provider, Cow::Borrowed(text))
                })
            }
            "status" if report.compact_result.get() == Some("failed") => {
                let reason = report.compact_error.get().map(|reason| format!("compaction failed: {reason}"));
                Body::Failure(Failure {
                    codes: vec![Cow::Borrowed("compact_failed")],
                    ..Failure::new(Origin::Agent, reason.unwrap_or_else(|| "compaction failed".to_owned()))
                })
            }
            "session_writes_lost" => {
                let text = report.error_code.get().unwrap_or("session_writes_lost");
                let mut failure = agent(text, "session_writes_lost");
                if let Some(code) = report.error_code.get() {
                    failure.codes.insert(0, Cow::Borrowed(code));
                }
                failure.class = Some(Class::DiskFull);
                Body::Failure(failure)
            }
            "model_refusal_no_fallback" => {
                let text = report.content.get().filter(|text| !text.is_empty()).unwrap_or("model_refusal");
                Body::Failure(Failure { origin: Origin::Provider, ..agent(text, "model_refusal") })
            }
            "model_refusal_fallback" => Body::Failure(Failure {
                origin: Origin::Provider,
                retry: Some(Retry::default()),
                ..agent("model_refusal_fallback", "model_refusal")
            }),
            "model_fallback" => {
                let text = report.content.get().unwrap_or("model_fallback");
                Body::Failure(Failure {
                    class: Some(Class::UsageWarning),
                    ..agent(text, "model_fallback")
                })
            }
            "informational" => match report.content.get() {
                Some(text) if WARNINGS.iter().any(|words| text.starts_with(words)) => {
                    Body::Failure(Failure {
                        class: Some(Class::UsageWarning),
                        ..agent(text, "informational")
                    })
                }
                _ => Body::Lifecycle(Lifecycle::Other),
            },
            "session_state_changed" if report.state.get() == Some("requires_action") => {
                Body::Failure(Failure {
                    class: Some(Class::WaitingInput),
                    ..agent("requires_action", "requires_action")
                })
            }
            // Asked for or not: nobody is waited for then.
            "session_state_changed" => Body::Lifecycle(Lifecycle::Answered),
            // Hooks and background tasks print what they like: content.
            _ => Body::Lifecycle(Lifecycle::Other),
        };
        out(head.record(body));
    }

    fn rate_limit(&mut self, info: &RateLimit<'_>, head: &Head<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let resets_at = info.resets_at.0.and_then(Timestamp::from_epoch_guess);
        let limit = info.limit.get();
        // Those of single models lie beside the week's; extra usage is none.
        let minutes = match limit {
            Some("five_hour") => Some(300),
            Some("seven_day") => Some(10_080),
            _ => None,
        };
        let used_pct = info.utilization.0.filter(|share| *share >= 0.0).map(|share| share * 100.0);
        let quota = minutes.map(|minutes| Quota { minutes, used_pct, resets_at });
        if let Some(quota) = quota.filter(|_| used_pct.is_some() || resets_at.is_some()) {
            out(head.record(Body::Quota(quota)));
        }
        let rejected = match info.status.get() {
            // The window is used up, but paid extra usage carries on.
            Some("rejected") => info.is_using_overage.0 != Some(true),
            Some("allowed_warning") => false,
            _ => {
                out(head.record(Body::Lifecycle(Lifecycle::Other)));
                return;
            }
        };
        let code = if rejected { "usage_limit_reached" } else { "usage_limit_warning" };
        if rejected {
            self.resets_at = resets_at;
        }
        let codes = [Some(code), limit, info.error_code.get()];
        out(head.record(Body::Failure(Failure {
            codes: codes.into_iter().flatten().map(Cow::Borrowed).collect(),
            class: (!rejected).then_some(Class::UsageWarning),
            retry_at: resets_at,
            ..Failure::new(Origin::Provider, limit.map_or(Cow::Borrowed(code), |limit| format!("{code}: {limit}").into()))
        })));
    }

    fn result(&mut self, line: &Line<'_>, report: &Report<'_>, head: &Head<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let pending = self.pending.take();
        let interrupted = std::mem::take(&mut self.interrupted);
        let resets_at = self.resets_at.take();
        self.run_usage(report, head, out);
        let subtype = line.subtype.get().filter(|&subtype| subtype != "success");
        let reason = report.terminal_reason.get().filter(|&reason| reason != "completed");
        let aborted = reason.is_some_and(|reason| reason.starts_with("aborted_"));
        let is_error = report.is_error.0 == Some(true);
        let erroneous = is_error || subtype.is_some_and(|subtype| subtype.starts_with("error"));
        let result = report.result.get().unwrap_or_default();
        if !erroneous && !aborted && !reason.is_some_and(|reason| FATAL_REASONS.contains(&reason)) {
            // A turn that failed according to its last message cannot have gone well.
            let unused = pending.is_some();
            if let Some(mut failure) = self.dialect.reported.and_then(|reported| reported(result, unused)) {
                failure.ends = true;
                out(head.record(Body::Failure(failure)));
            } else {
                out(head.record(Body::Lifecycle(Lifecycle::TurnEnded)));
            }
            return;
        }

        let refused = report.stop_reason.get() == Some("refusal");
        let mut codes: Vec<Cow<'_, str>> = Vec::new();
        let mut code = |code: &str| {
            if !codes.iter().any(|known| known == code) {
                codes.push(Cow::Owned(code.to_owned()));
            }
        };
        report.startup_failure_reason.get().map(&mut code);
        reason.filter(|&reason| reason != "api_error").map(&mut code);
        refused.then_some("refusal").map(&mut code);
        let mut inner = Vec::new();
        report.error.codes(&mut inner);
        inner.into_iter().for_each(&mut code);
        let same = pending.as_ref().filter(|pending| is_error && subtype.is_none() && pending.text == result);
        same.iter().flat_map(|pending| &pending.codes).for_each(|text| code(text));
        subtype.map(&mut code);
        reason.filter(|&reason| reason == "api_error").map(&mut code);

        let status = report.api_error_status.status().or(report.error.status());
        let status = status.or(same.and_then(|pending| pending.status));
        let throttled = status == Some(429) || codes.iter().any(|code| code == "rate_limit");
        let class = match subtype {
            _ if aborted => Some(Class::Interrupted),
            Some("error_during_execution") if interrupted => Some(Class::Interrupted),
            Some("error_max_turns") => Some(Class::MaxTurns),
            Some("error_max_budget_usd") => Some(Class::BudgetOver),
            None if reason == Some("max_turns") => Some(Class::MaxTurns),
            _ => None,
        };
        let told = (subtype.is_none() && is_error) || report.error.message().is_some();
        let origin = if told { Origin::Provider } else { Origin::Agent };
        let said: Vec<&str> = report
            .errors
            .0
            .iter()
            .map(|text| &**text)
            .filter(|text| !text.starts_with("[ede_diagnostic]"))
            .collect();
        let text = match said.as_slice() {
            [] => {
                // Without `is_error` the result text is the model's, and content.
                let words = report.error.message().or(is_error.then_some(result));
                Cow::Borrowed(words.filter(|text| !text.is_empty()).or(reason).or(subtype).unwrap_or("result"))
            }
            [text] => Cow::Borrowed(*text),
            texts => Cow::Owned(texts.join("\n")),
        };
        out(head.record(Body::Failure(Failure {
            status,
            class,
            retry_at: resets_at.filter(|_| throttled),
            ends: true,
            codes,
            ..Failure::new(origin, text)
        })));
    }

    /// Tells the totals of the run so far.
    fn run_usage(&mut self, report: &Report<'_>, head: &Head<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let models = report.model_usage.get().and_then(|raw| json::from_str(raw).ok());
        let models: BTreeMap<String, ModelUsage> = models.unwrap_or_default();
        let turn = report.usage.0.as_ref();
        if models.is_empty() && turn.is_none() && report.total_cost_usd.0.is_none() {
            return;
        }
        self.run.cost_usd = report.total_cost_usd.0.or(self.run.cost_usd);
        let add = |total: Option<u64>, more: Option<u64>| match (total, more) {
            (Some(total), Some(more)) => Some(total.saturating_add(more)),
            (total, more) => total.or(more),
        };
        if !models.is_empty() {
            // Totals over all models since the start; `usage` is the main loop's, for this turn.
            let sum = |figure: fn(&ModelUsage) -> &Num| {
                models.values().fold(None, |total, model| add(total, figure(model).whole()))
            };
            self.run.input_tokens = sum(|model| &model.input);
            self.run.output_tokens = sum(|model| &model.output);
            self.run.cache_read_tokens = sum(|model| &model.cache_read);
            self.run.cache_creation_tokens = sum(|model| &model.cache_creation);
            let main = self.model.as_deref().and_then(|model| models.get(model));
            let main = main.or_else(|| models.values().max_by_key(|model| model.filled()));
            self.run.context_limit =
                main.and_then(|model| model.context_window.whole()).filter(|&limit| limit > 0);
        } else if let Some(turn) = turn {
            let turn = turn.usage(UsageScope::Turn, self.dialect);
            let cumulative = self.dialect.input_includes_cache;
            let total = |total, figure| if cumulative { figure } else { add(total, figure) };
            self.run.input_tokens = total(self.run.input_tokens, turn.input_tokens);
            self.run.output_tokens = total(self.run.output_tokens, turn.output_tokens);
            self.run.cache_read_tokens = total(self.run.cache_read_tokens, turn.cache_read_tokens);
            self.run.cache_creation_tokens = total(self.run.cache_creation_tokens, turn.cache_creation_tokens);
        }
        let parts: Vec<Usage<'_>> = models.iter().map(|(name, model)| model.usage(name)).collect();
        let usage = Usage { model: self.model.as_deref(), parts: &parts, ..self.run };
        out(head.record(Body::Usage(usage)));
    }

    /// Reads what a sub-agent does from the progress of the tool that runs it.
    fn progress(&mut self, line: &Line<'_>, report: &Report<'_>, head: &Head<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let progress = report.data.0.as_ref();
        let inner = progress
            .filter(|progress| progress.kind.get() == Some("agent_progress"))
            .and_then(|progress| progress.message.0.as_ref().map(|inner| (progress, inner)));
        let Some((progress, inner)) = inner else {
            out(head.record(Body::Lifecycle(Lifecycle::Other)));
            return;
        };
        let agent = progress.agent_id.get().unwrap_or("subagent");
        let head = Head { subagent: Some(Cow::Borrowed(agent)), session: head.session.clone(), ..*head };
        match (inner.kind.get(), &inner.message.0) {
            (Some("assistant"), Some(message)) => {
                let reported = Reported {
                    code: inner.error.code(),
                    api_error: None,
                    is_api_error: inner.is_api_error_message.0,
                    status: inner.api_error_status.status(),
                    uuid: None,
                    request: inner.request_id.get(),
                    cost_usd: None,
                    ends: false,
                };
                self.assistant(&reported, message, &head, out);
            }
            (Some("user"), Some(message)) => self.user(line, message, &head, out),
            _ => out(head.record(Body::Lifecycle(Lifecycle::Other))),
        }
    }
}

/// The model's name on messages that no model wrote.
const SYNTHETIC: &str = "<synthetic>";

/// What the wrapper of an assistant message says about it.
struct Reported<'a> {
    code: Option<&'a str>,
    api_error: Option<&'a str>,
    is_api_error: Option<bool>,
    status: Option<u16>,
    /// The record's own id.
    uuid: Option<&'a str>,
    /// The id of the request that it answers.
    request: Option<&'a str>,
    /// What it cost, as older versions said.
    cost_usd: Option<f64>,
    /// Whether the record stands in a transcript of the main conversation, where nothing else ends a turn.
    ends: bool,
}

/// What all records of one line share.
struct Head<'a> {
    time: Option<Timestamp>,
    session: Option<Cow<'a, str>>,
    subagent: Option<Cow<'a, str>>,
    at: usize,
}

impl Head<'_> {
    fn record<'b>(&'b self, body: Body<'b>) -> Record<'b> {
        Record {
            time: self.time,
            session: self.session.as_deref().map(Cow::Borrowed),
            subagent: self.subagent.as_deref().map(Cow::Borrowed),
            at: self.at,
            ..Record::new(body)
        }
    }
}

/// Returns the text of a tool's output, from its notation: all of it, or its beginning where it is long.
fn tool_output(notation: &str) -> Cow<'_, str> {
    // Tools print megabytes.
    let beginning = |text| json::string_head(text, RESULT_BYTES).map_or_else(Cow::default, |(text, _)| text);
    if notation.starts_with('[') {
        let blocks: Vec<ResultBlock<'_>> = json::from_str(notation).unwrap_or_default();
        let mut texts = blocks.iter().filter_map(|block| block.text).map(|raw| beginning(raw.get()));
        let first = texts.next().unwrap_or_default();
        return texts.fold(first, |all, text| if all.len() < RESULT_BYTES { all + "\n" + text } else { all });
    }
    beginning(notation)
}

/// Returns the exit status that a failing command's output begins with.
fn exit_code(text: &str) -> Option<i64> {
    let rest = text.strip_prefix("Exit code ").or_else(|| text.strip_prefix("Error: Exit code "))?;
    rest.split(|c: char| !c.is_ascii_digit() && c != '-').next()?.parse().ok()
}

/// Returns the text of the frame's JSON object, or of the first in its array.
pub(super) fn first_object(frame: Frame<'_>) -> Option<&str> {
    if frame.truncated {
        return None;
    }
    let text = json::utf8(frame.bytes)?.trim_start();
    match text.strip_prefix('[') {
        None => text.starts_with('{').then_some(text),
        Some(rest) if rest.trim_start().starts_with('{') => {
            let first = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>().next();
            first?.ok().map(RawValue::get)
        }
        Some(_) => None,
    }
}

object! {
    /// One line of a stream or a transcript: what most have.
    struct Line<'a> {
        "type" => kind: Str<'a>,
        "subtype" => subtype: Str<'a>,
        "session_id" => session_id: Str<'a>,
        "sessionId" => transcript_session: Str<'a>,
        "timestamp" => timestamp: Str<'a>,
        "uuid" => uuid: Str<'a>,
        "requestId" | "request_id" => request_id: Str<'a>,
        "parent_tool_use_id" => parent_tool_use_id: Str<'a>,
        "isSidechain" => is_sidechain: Flag,
        "agentId" => agent_id: Str<'a>,
        "cwd" => cwd: Str<'a>,
        "message" => message: Maybe<ModelMessage<'a>>,
        "isMeta" => is_meta: Flag,
        "isReplay" => is_replay: Flag,
        "isCompactSummary" => is_compact_summary: Flag,
        "toolUseResult" => tool_use_result: Notation<'a>,
        "tool_use_result" => stream_tool_use_result: Notation<'a>,
        else
        /// What only reports, and lines that are no messages, have.
        report: Report<'a>,
        in order "parentUuid" "isSidechain" "userType" "cwd" "sessionId" "version" "gitBranch" "slug" "message" "requestId"
            "type" "data" "message" "uuid" "timestamp" "message" "toolUseResult" "sourceToolAssistantUUID"
    }
}

object! {
    /// What lines of all types have beside that.
    struct Report<'a> {
        "model" => model: Str<'a>,
        "error" => error: ErrorField<'a>,

        "isApiErrorMessage" => is_api_error_message: Flag,
        "apiErrorStatus" => message_error_status: Num,
        "apiError" => api_error: Str<'a>,

        "is_error" => is_error: Flag,
        "api_error_status" => api_error_status: Num,
        "result" => result: Str<'a>,
        "errors" => errors: Strings<'a>,
        "stop_reason" => stop_reason: Str<'a>,
        "terminal_reason" => terminal_reason: Str<'a>,
        "startup_failure_reason" => startup_failure_reason: Str<'a>,
        "total_cost_usd" => total_cost_usd: Num,
        "usage" => usage: Maybe<Tokens>,
        "modelUsage" => model_usage: Notation<'a>,

        "rate_limit_info" => rate_limit_info: Maybe<RateLimit<'a>>,
        "attempt" => attempt: Num,
        "max_retries" => max_retries: Num,
        "retry_delay_ms" => retry_delay_ms: Num,
        "error_status" => error_status: Num,
        "no_response" => no_response: Present,
        "retryAttempt" => retry_attempt: Num,
        "maxRetries" => max_retries_transcript: Num,
        "retryInMs" => retry_in_ms: Num,
        "cause" => cause: ErrorField<'a>,
        "content" => content: Str<'a>,
        "state" => state: Str<'a>,
        "compact_result" => compact_result: Str<'a>,
        "compact_error" => compact_error: Str<'a>,
        "error_code" => error_code: Str<'a>,
        "attachment" => attachment: Maybe<Attachment<'a>>,
        "data" => data: Maybe<Progress<'a>>,
        "event" => event: Maybe<StreamEvent<'a>>,
        "costUSD" => cost_usd: Num,
    }
}

object! {
    /// A piece of a message.
    struct StreamEvent<'a> {
        "type" => kind: Str<'a>,
        "message" => message: Maybe<ModelMessage<'a>>,
        "usage" => usage: Maybe<Tokens>,
    }
}

impl Line<'_> {
    fn session(&self) -> Option<&str> {
        self.session_id.get().or(self.transcript_session.get())
    }

    fn subagent(&self) -> Option<&str> {
        let side = self.is_sidechain.0 == Some(true);
        let agent = self.parent_tool_use_id.get().or(self.agent_id.get()).filter(|id| !id.is_empty());
        agent.or(side.then_some("sidechain"))
    }

    fn reported(&self) -> Reported<'_> {
        let report = self.report.as_deref();
        Reported {
            code: report.and_then(|report| report.error.code()),
            api_error: report.and_then(|report| report.api_error.get()),
            is_api_error: report.and_then(|report| report.is_api_error_message.0),
            status: report.and_then(|report| report.message_error_status.status()),
            uuid: self.uuid.get().filter(|uuid| !uuid.is_empty()),
            cost_usd: report.and_then(|report| report.cost_usd.0),
            request: self.request_id.get(),
            ends: self.transcript_session.get().is_some() && self.subagent().is_none(),
        }
    }

    fn tool_use_result(&self) -> &str {
        self.tool_use_result.get().unwrap_or(self.stream_tool_use_result.text())
    }
}

object! {
    /// An API message, or a user message in the same shape.
    struct ModelMessage<'a> {
        "id" => id: Str<'a>,
        "model" => model: Str<'a>,
        "content" => content: Content<'a>,
        "stop_reason" => stop_reason: Str<'a>,
        "usage" => usage: Maybe<Tokens>,
        in order "model" "id" "type" "role" "model" "content" "stop_reason" "stop_sequence" "usage"
    }
}

object! {
    /// A content block of any type.
    struct Block<'a> {
        "type" => kind: Str<'a>,
        "text" => text: Notation<'a>,
        "id" => id: Str<'a>,
        "name" => name: Str<'a>,
        "input" => input: Notation<'a>,
        "tool_use_id" => tool_use_id: Str<'a>,
        "content" => content: Notation<'a>,
        "is_error" => is_error: Flag,
        in order "tool_use_id" "type" "text" "id" "name" "input" "content" "is_error" "caller"
    }
}

/// A block inside a tool result.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ResultBlock<'a> {
    text: Option<&'a RawValue>,
}

object! {
    /// Token counts as the API states them.
    struct Tokens {
        "input_tokens" => input: Num,
        "output_tokens" => output: Num,
        "cache_read_input_tokens" => cache_read: Num,
        "cache_creation_input_tokens" => cache_creation: Num,
        "cache_creation" => lifetimes: Maybe<Lifetimes>,
        in order "input_tokens" "cache_creation_input_tokens" "cache_read_input_tokens" "cache_creation" "output_tokens"
            "service_tier" "inference_geo"
    }
}

object! {
    /// How long what was written to a cache is to be kept there.
    struct Lifetimes {
        "ephemeral_5m_input_tokens" => minutes: Num,
        "ephemeral_1h_input_tokens" => hour: Num,
        in order "ephemeral_5m_input_tokens" "ephemeral_1h_input_tokens"
    }
}

impl Tokens {
    /// Input, output, read from a cache, written to one.
    fn figures(&self) -> [u64; 4] {
        [self.input.count(), self.output.count(), self.cache_read.count(), self.written()]
    }

    fn usage(&self, scope: UsageScope, dialect: &Dialect) -> Usage<'static> {
        let cached = if dialect.input_includes_cache { self.cache_read.count() } else { 0 };
        Usage {
            scope,
            input_tokens: self.input.whole().map(|input| input.saturating_sub(cached)),
            output_tokens: self.output.whole(),
            cache_read_tokens: self.cache_read.whole(),
            cache_creation_tokens: self.lifetimes.0.as_ref().map_or(self.cache_creation.whole(), |_| Some(self.written())),
            cache_creation_1h_tokens: self.lifetimes.0.as_ref().and_then(|lifetimes| lifetimes.hour.whole()),
            ..Usage::default()
        }
    }

    /// What was written to caches. Some proxies give the parts and leave the sum at nothing.
    fn written(&self) -> u64 {
        let parts = self.lifetimes.0.as_ref();
        let parts = parts.map_or(0, |parts| parts.minutes.count().saturating_add(parts.hour.count()));
        self.cache_creation.count().max(parts)
    }
}

/// What one model used over the run.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ModelUsage {
    #[serde(rename = "inputTokens")]
    input: Num,
    #[serde(rename = "outputTokens")]
    output: Num,
    #[serde(rename = "cacheReadInputTokens")]
    cache_read: Num,
    #[serde(rename = "cacheCreationInputTokens")]
    cache_creation: Num,
    context_window: Num,
    #[serde(rename = "costUSD")]
    cost: Num,
}

impl ModelUsage {
    fn usage<'m>(&self, name: &'m str) -> Usage<'m> {
        Usage {
            scope: UsageScope::Run,
            model: Some(name),
            input_tokens: self.input.whole(),
            output_tokens: self.output.whole(),
            cache_read_tokens: self.cache_read.whole(),
            cache_creation_tokens: self.cache_creation.whole(),
            context_limit: self.context_window.whole().filter(|&limit| limit > 0),
            cost_usd: self.cost.0.filter(|cost| *cost >= 0.0),
            ..Usage::default()
        }
    }

    fn filled(&self) -> u64 {
        [&self.input, &self.cache_read, &self.cache_creation]
            .into_iter()
            .fold(0, |sum: u64, figure| sum.saturating_add(figure.count()))
    }
}

object! {
    /// The state of a subscription window.
    struct RateLimit<'a> {
        "status" => status: Str<'a>,
        "resetsAt" => resets_at: Num,
        "rateLimitType" => limit: Str<'a>,
        "utilization" => utilization: Num,
        "isUsingOverage" => is_using_overage: Flag,
        "errorCode" => error_code: Str<'a>,
    }
}

object! {
    /// Something put beside the conversation. Only its type is of interest.
    struct Attachment<'a> {
        "type" => kind: Str<'a>,
    }
}

object! {
    /// The progress of a tool.
    struct Progress<'a> {
        "type" => kind: Str<'a>,
        "agentId" => agent_id: Str<'a>,
        "message" => message: Maybe<ProgressMessage<'a>>,
    }
}

object! {
    /// A line of a sub-agent's conversation inside a progress line.
    struct ProgressMessage<'a> {
        "type" => kind: Str<'a>,
        "message" => message: Maybe<ModelMessage<'a>>,
        "error" => error: ErrorField<'a>,
        "isApiErrorMessage" => is_api_error_message: Flag,
        "apiErrorStatus" => api_error_status: Num,
        "requestId" => request_id: Str<'a>,
    }
}

/// The keys by which a record is known, without what is in it.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: Str<'a>,
    subtype: Str<'a>,
    uuid: Present,
    session_id: Present,
    #[serde(rename = "sessionId")]
    transcript_session: Present,
    #[serde(rename = "parentUuid")]
    parent_uuid: Present,
    #[serde(rename = "isSidechain")]
    is_sidechain: Present,
    #[serde(rename = "leafUuid")]
    leaf_uuid: Present,
    #[serde(rename = "messageId")]
    message_id: Present,
    snapshot: Present,
    operation: Present,
    rate_limit_info: Present,
    is_error: Present,
    total_cost_usd: Present,
    message: Maybe<MessageKeys>,
}

/// The keys by which a message is known.
#[derive(Deserialize, Default)]
#[serde(default)]
struct MessageKeys {
    role: Present,
    content: Present,
}

impl Envelope<'_> {
    fn is_claude(&self) -> bool {
        let stream = self.session_id.0;
        let transcript = self.transcript_session.0;
        let subtype = self.subtype.get();
        let message = self.message.0.as_ref().is_some_and(|message| message.role.0 && message.content.0);
        match self.kind.get().unwrap_or_default() {
            "" | "error" => false,
            _ if transcript && self.parent_uuid.0 && self.is_sidechain.0 => true,
            "user" | "assistant" => message && (stream || transcript),
            "system" => match subtype {
                Some("init" | "status" | "api_retry" | "compact_boundary" | "informational") => stream || transcript,
                Some("api_error") => transcript,
                Some(_) => stream && self.uuid.0,
                None => false,
            },
            "result" => (stream && self.is_error.0) || (self.total_cost_usd.0 && subtype.is_some()),
            "rate_limit_event" => self.rate_limit_info.0,
            "stream_event" | "tool_progress" | "auth_status" | "tool_use_summary" | "prompt_suggestion" => {
                stream && self.uuid.0
            }
            "summary" | "last-prompt" => self.leaf_uuid.0,
            "file-history-snapshot" => self.message_id.0 && self.snapshot.0,
            "queue-operation" => transcript && self.operation.0,
            "custom-title" | "ai-title" | "agent-name" | "mode" | "pr-link" | "continued-in" => transcript,
            _ => false,
        }
    }
}

// Foreign JSON may hold anything anywhere: the types below take what fits and pass over what does not, so
// that one odd field does not hide the rest of its line.

/// A string, borrowed where it holds no escapes.
#[derive(Default)]
pub(super) struct Str<'a>(pub(super) Option<Cow<'a, str>>);

impl<'a> Str<'a> {
    /// Returns the text, if there is one.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Returns the text, or an empty one.
    pub(super) fn cow(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.get().unwrap_or_default())
    }
}

/// A number.
#[derive(Default)]
pub(super) struct Num(pub(super) Option<f64>);

impl Num {
    /// Returns the number as a count, rounded down; negative numbers and fractions of none are none.
    pub(super) fn whole(&self) -> Option<u64> {
        self.0.filter(|number| *number >= 0.0).map(|number| number as u64)
    }

    /// Returns the count, or zero.
    pub(super) fn count(&self) -> u64 {
        self.whole().unwrap_or(0)
    }

    /// Returns the number as a small count.
    fn small(&self) -> Option<u32> {
        self.whole().and_then(|number| u32::try_from(number).ok())
    }

    /// Returns the number if it can be an HTTP status.
    pub(super) fn status(&self) -> Option<u16> {
        self.whole().and_then(|number| u16::try_from(number).ok()).filter(|status| (100..600).contains(status))
    }
}

/// A boolean.
#[derive(Default)]
pub(super) struct Flag(pub(super) Option<bool>);

/// Whether a key is there at all, `null` included.
#[derive(Default)]
pub(super) struct Present(pub(super) bool);

/// Strings in an array, or a single one.
#[derive(Default)]
struct Strings<'a>(Vec<Cow<'a, str>>);

/// An object; anything else is none.
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Maybe<T> {
    fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

/// The content of a message: a string, or blocks.
#[derive(Default)]
enum Content<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
}

impl<'a> Content<'a> {
    fn blocks(&self) -> &[Block<'a>] {
        if let Content::Blocks(blocks) = self { blocks } else { &[] }
    }

    /// Returns the prose in it, piece by piece.
    fn texts(&self) -> impl Iterator<Item = Prose<'_>> {
        let whole = if let Content::Text(text) = self { Some(Prose::Words(text)) } else { None };
        let blocks = self.blocks().iter().filter(|block| block.kind.get() == Some("text"));
        let texts = blocks.filter_map(|block| block.text.get());
        whole.into_iter().chain(texts.filter(|raw| raw.starts_with('"')).map(Prose::Notation))
    }

    /// Tells whether there is no prose in it, or an empty piece of it.
    fn is_silent(&self) -> bool {
        let mut texts = self.texts();
        texts.next().is_none_or(|first| first.len() == 0) && texts.next().is_none()
    }

    /// Returns all prose in it.
    fn text(&self) -> Text<'_> {
        let mut texts = self.texts();
        let Some(first) = texts.next() else { return "".into() };
        let Some(second) = texts.next() else { return first.text() };
        let joined = first.words() + "\n" + second.words();
        texts.fold(joined, |all, text| all + "\n" + text.words()).into()
    }
}

/// A piece of prose.
#[derive(Clone, Copy)]
enum Prose<'a> {
    /// What it says.
    Words(&'a str),
    /// The JSON string that says it.
    Notation(&'a str),
}

impl<'a> Prose<'a> {
    /// Returns how long it is, as it stands there.
    fn len(self) -> usize {
        match self {
            Prose::Words(words) => words.len(),
            Prose::Notation(notation) => notation.len() - 2,
        }
    }

    fn words(self) -> Cow<'a, str> {
        match self {
            Prose::Words(words) => Cow::Borrowed(words),
            Prose::Notation(notation) => words(notation),
        }
    }

    fn text(self) -> Text<'a> {
        match self {
            Prose::Words(words) => words.into(),
            Prose::Notation(notation) => Text::unread(notation, words),
        }
    }
}

fn words(notation: &str) -> Cow<'_, str> {
    json::string(notation).unwrap_or_default()
}

/// An `error` field: a code in some records, an object in others.
#[derive(Default)]
enum ErrorField<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Object(Box<ApiError<'a>>),
}

object! {
    /// An API error object and what is nested in it.
    struct ApiError<'a> {
        "status" => status: Num,
        "type" => kind: Str<'a>,
        "code" => code: Str<'a>,
        "message" => message: Str<'a>,
        "error" => error: ErrorField<'a>,
        "cause" => cause: ErrorField<'a>,
    }
}

impl ErrorField<'_> {
    /// Returns the code, where the field is one.
    fn code(&self) -> Option<&str> {
        if let ErrorField::Text(code) = self { Some(&**code).filter(|code| !code.is_empty()) } else { None }
    }

    /// Returns the words of the innermost error.
    fn message(&self) -> Option<&str> {
        match self {
            ErrorField::None => None,
            ErrorField::Text(text) => Some(text),
            ErrorField::Object(error) => {
                let inner = error.error.message().or(error.message.get());
                inner.or(error.cause.message())
            }
        }
    }

    /// Returns the HTTP status of the outermost error that has one.
    fn status(&self) -> Option<u16> {
        match self {
            ErrorField::Object(error) => error.status.status().or_else(|| error.error.status()),
            _ => None,
        }
    }

    /// Adds the codes, innermost first.
    fn codes<'b>(&'b self, codes: &mut Vec<&'b str>) {
        if let ErrorField::Object(error) = self {
            error.error.codes(codes);
            error.cause.codes(codes);
            for code in [error.code.get(), error.kind.get()].into_iter().flatten() {
                if code != "error" && !codes.contains(&code) {
                    codes.push(code);
                }
            }
        }
    }
}

/// What a JSON value can be read as, kind by kind; everything not taken is passed over.
trait Lenient<'de>: Default {
    fn borrowed(_text: &'de str) -> Self {
        Self::default()
    }
    fn owned(_text: &str) -> Self {
        Self::default()
    }
    fn number(_number: f64) -> Self {
        Self::default()
    }
    fn boolean(_value: bool) -> Self {
        Self::default()
    }
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// Reads any JSON value as a [`Lenient`] type.
struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::owned(text))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        Ok(T::boolean(value))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        Ok(T::number(number))
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<T, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

/// Lets serde read a [`Lenient`] type.
macro_rules! read_leniently {
    ($($type:ty),+) => {$(
        impl<'de: 'a, 'a> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(LenientVisitor(PhantomData))
            }
        }
    )+};
}

read_leniently!(Str<'a>);

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl<'de: 'a, 'a> Lenient<'de> for Str<'a> {
    fn borrowed(text: &'de str) -> Self {
        Self(Some(Cow::Borrowed(text)))
    }
    fn owned(text: &str) -> Self {
        Self(Some(Cow::Owned(text.to_owned())))
    }
}

impl Lenient<'_> for Num {
    fn number(number: f64) -> Self {
        Self(Some(number))
    }
}

impl Lenient<'_> for Flag {
    fn boolean(value: bool) -> Self {
        Self(Some(value))
    }
}

impl<'de, T: Deserialize<'de>> Lenient<'de> for Maybe<T> {
    fn object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(object)).map(|value| Self(Some(value)))
    }
}

// The same for objects that are read without serde.

impl<'de: 'a, 'a> Field<'de> for Str<'a> {
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), json::Error> {
        self.0 = reader.take_str()?;
        Ok(())
    }
}

impl Field<'_> for Num {
    fn fill(&mut self, reader: &mut Reader<'_>) -> Result<(), json::Error> {
        self.0 = reader.take_number()?;
        Ok(())
    }
}

impl Field<'_> for Flag {
    fn fill(&mut self, reader: &mut Reader<'_>) -> Result<(), json::Error> {
        self.0 = reader.take_flag()?;
        Ok(())
    }
}

impl Field<'_> for Present {
    fn fill(&mut self, reader: &mut Reader<'_>) -> Result<(), json::Error> {
        self.0 = true;
        reader.pass()
    }
}

impl<'de, T: Object<'de>> Field<'de> for Maybe<T> {
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), json::Error> {
        if reader.next_byte() != Some(b'{') {
            self.0 = None;
            return reader.pass();
        }
        reader.object(self.0.insert(T::default()))
    }
}

impl<'de: 'a, 'a> Field<'de> for Strings<'a> {
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), json::Error> {
        self.0.clear();
        if reader.next_byte() != Some(b'[') {
            self.0.extend(reader.take_str()?);
            return Ok(());
        }
        reader.list(|reader| {
            self.0.extend(reader.take_str()?);
            Ok(())
        })
    }
}

impl<'de: 'a, 'a> Field<'de> for Content<'a> {
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), json::Error> {
        if reader.next_byte() != Some(b'[') {
            *self = reader.take_str()?.map_or(Self::None, Self::Text);
            return Ok(());
        }
        let mut blocks = Vec::new();
        reader.list(|reader| {
            if reader.next_byte() != Some(b'{') {
                return reader.pass();
            }
            blocks.push(Block::default());
            blocks.last_mut().map_or(Ok(()), |block| reader.object(block))
        })?;
        *self = Self::Blocks(blocks);
        Ok(())
    }
}

impl<'de: 'a, 'a> Field<'de> for ErrorField<'a> {
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), json::Error> {
        if reader.next_byte() != Some(b'{') {
            *self = reader.take_str()?.map_or(Self::None, Self::Text);
            return Ok(());
        }
        let mut error = Box::default();
        reader.object::<ApiError<'a>>(&mut error)?;
        *self = Self::Object(error);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod told;
