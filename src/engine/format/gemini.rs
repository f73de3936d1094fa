//! Gemini CLI: stream-json events, the document of `--output-format json`, session files, and the few
//! lines of its stderr that have a shape of their own.
//!
//! Failures are read from `error` and `result` events, from the document's `error`, and from a session's
//! error messages. Its stderr is noisy in good runs too: retries and stack traces are told apart here so
//! that no rule for plain text has to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::generic::{self, ProviderError};
use super::loose::{Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Retry, Role, ToolCall, ToolResult, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format of Google's Gemini CLI.
pub(super) static FORMAT: Gemini = Gemini;

/// Recognises Gemini CLI's streams and makes decoders for them.
pub(super) struct Gemini;

impl Format for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let bytes = frame.bytes.trim_ascii_start();
        if !bytes.starts_with(b"{") {
            return std::str::from_utf8(bytes).is_ok_and(recognise_text);
        }
        let head = &bytes[..bytes.len().min(RECOGNISE_BYTES)];
        let signs: [&[u8]; 6] =
            [b"\"session_id\"", b"\"sessionId\"", b"\"tool_id\"", b"\"status\"", b"\"gemini\"", b"\"$set\""];
        if !signs.iter().any(|sign| memchr::memmem::find(head, sign).is_some()) {
            return false;
        }
        let Some(line) = parse(bytes) else { return false };
        let timed = line.timestamp.is_some();
        match line.kind.as_str() {
            "init" => timed && line.session_id.is_some(),
            "tool_use" => timed && line.tool_id.is_some() && line.tool_name.is_some(),
            "tool_result" => timed && line.tool_id.is_some() && line.status.is_some(),
            "result" => timed && line.status.is_some() && line.stats.is_some(),
            "gemini" => timed && line.id.is_some(),
            "" if line.session.is_some() => line.project.is_some(),
            "" if line.set.is_some() => timed_set(line.set),
            "" => line.session_id.is_some() && (line.document_stats().is_some() || line.fatal().is_some()),
            _ => false,
        }
    }

    fn banners(&self) -> &'static [&'static str] {
        &["yolo mode is enabled", "attempt ", "error when talking to", "error generating content"]
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder::default())
    }
}

/// How far into a frame the keys are looked for before it is parsed to recognise it.
const RECOGNISE_BYTES: usize = 512;

/// What a decoder has to know of the lines before.
#[derive(Default)]
struct Decoder {
    /// The message of the last `error` event: a `result` that failed may not say why.
    last_error: Option<Box<str>>,
    /// The model's last message in a session file, which is written again when its tools are done.
    spoken: Spoken,
    /// Whether the last lines of stderr began a report that goes on over indented lines.
    report: bool,
}

/// How much of a message in a session file was told.
#[derive(Default)]
struct Spoken {
    id: String,
    text: bool,
    tokens: bool,
    calls: usize,
    results: usize,
}

// ---------------------------------------------------------------- JSON

/// Every field of every kind of line that we read. What is absent or of another type is empty.
#[derive(Default, Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Loose<'a>,
    #[serde(borrow, default)]
    timestamp: Loose<'a>,
    #[serde(borrow, default)]
    session_id: Loose<'a>,
    #[serde(borrow, default)]
    model: Loose<'a>,
    #[serde(borrow, default)]
    role: Loose<'a>,
    #[serde(borrow, default)]
    content: Loose<'a>,
    #[serde(borrow, default)]
    tool_name: Loose<'a>,
    #[serde(borrow, default)]
    tool_id: Loose<'a>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Loose<'a>,
    #[serde(borrow, default)]
    output: Loose<'a>,
    #[serde(borrow, default)]
    severity: Loose<'a>,
    #[serde(borrow, default)]
    message: Loose<'a>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stats: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Loose<'a>,
    #[serde(borrow, default)]
    warnings: Option<&'a RawValue>,
    // Session files.
    #[serde(borrow, default)]
    id: Loose<'a>,
    #[serde(borrow, default, rename = "sessionId")]
    session: Loose<'a>,
    #[serde(borrow, default, rename = "projectHash")]
    project: Loose<'a>,
    #[serde(borrow, default, rename = "toolCalls")]
    tool_calls: Option<&'a RawValue>,
    #[serde(default)]
    tokens: Option<MessageTokens>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "$set")]
    set: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "$rewindTo")]
    rewind: Option<&'a RawValue>,
}

/// An error object. `code` is an HTTP status, an exit status or a name.
#[derive(Default, Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Loose<'a>,
    #[serde(borrow, default)]
    message: Loose<'a>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
}

/// `result.stats`; `input_tokens` includes the cached ones.
#[derive(Deserialize)]
struct ResultStats {
    #[serde(default)]
    input_tokens: Number,
    #[serde(default)]
    output_tokens: Number,
    #[serde(default)]
    cached: Number,
}

/// The document's `stats`.
#[derive(Deserialize)]
struct DocumentStats<'a> {
    #[serde(borrow)]
    models: BTreeMap<Cow<'a, str>, ModelStats>,
}

#[derive(Deserialize)]
struct ModelStats {
    #[serde(default)]
    tokens: ModelTokens,
}

/// A model's tokens in the document; `prompt` includes the cached ones.
#[derive(Clone, Copy, Default, Deserialize)]
struct ModelTokens {
    #[serde(default)]
    prompt: Number,
    #[serde(default)]
    candidates: Number,
    #[serde(default)]
    cached: Number,
    #[serde(default)]
    thoughts: Number,
}

/// A message's tokens in a session file; `input` includes the cached ones.
#[derive(Clone, Copy, Deserialize)]
struct MessageTokens {
    #[serde(default)]
    input: Number,
    #[serde(default)]
    output: Number,
    #[serde(default)]
    cached: Number,
    #[serde(default)]
    thoughts: Number,
}

/// A tool call in a session file, with its result once it has one.
#[derive(Deserialize)]
struct SessionCall<'a> {
    #[serde(borrow, default)]
    id: Loose<'a>,
    #[serde(borrow, default)]
    name: Loose<'a>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Loose<'a>,
    #[serde(borrow, default, rename = "resultDisplay")]
    display: Loose<'a>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    json::from_slice(bytes).ok()
}

fn parse_raw<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    json::from_str(raw?.get()).ok()
}

fn read_time(text: &Loose<'_>) -> Option<Timestamp> {
    text.0.as_deref().and_then(Timestamp::parse_rfc3339)
}

/// Whether a `$set` record sets what session files set.
fn timed_set(set: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow, default, rename = "lastUpdated")]
        last_updated: Loose<'a>,
    }
    parse_raw::<Set<'_>>(set).is_some_and(|set| set.last_updated.is_some())
}

impl<'a> Line<'a> {
    /// The stats if they are those of the document.
    fn document_stats(&self) -> Option<DocumentStats<'a>> {
        parse_raw(self.stats)
    }

    /// The document's error, if it is whole.
    fn fatal(&self) -> Option<ErrorBody<'a>> {
        parse_raw(self.error).filter(|error: &ErrorBody<'_>| error.kind.is_some() && error.message.is_some())
    }
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some(line) = parse(frame.bytes) else { return Decoded::No };
        self.report = false;
        let time = read_time(&line.timestamp);
        let mut say = |body: Body<'_>| out(Record { time, ..Record::new(body) });
        match line.kind.as_str() {
            "init" if line.session_id.is_some() => out(Record {
                time,
                session: line.session_id.0,
                ..Record::new(Body::Lifecycle(Lifecycle::Started { cwd: None, model: line.model.0 }))
            }),
            "message" if line.role.is_some() => {
                let role = if line.role.as_str() == "user" { Role::User } else { Role::Assistant };
                if role == Role::Assistant {
                    self.last_error = None; // it went on after all
                }
                say(Body::Message(Message { role, text: line.content.text().into() }));
            }
            "tool_use" if line.tool_name.is_some() => say(Body::ToolCall(ToolCall {
                id: line.tool_id.text(),
                name: line.tool_name.text(),
                input: raw_text(line.parameters).into(),
            })),
            "tool_result" if line.tool_id.is_some() => {
                let failed = line.status.as_str() == "error";
                let error = parse_raw::<ErrorBody<'_>>(line.error).unwrap_or_default();
                let text = if line.output.is_some() { line.output } else { error.message };
                say(Body::ToolResult(ToolResult {
                    id: line.tool_id.text(),
                    failed,
                    exit_code: None,
                    text: text.text().into(),
                }));
            }
            "error" if line.severity.is_some() && line.message.is_some() => {
                self.last_error = Some(line.message.as_str().into());
                say(notice(line.message.text(), line.severity.as_str() == "warning", time));
            }
            "result" if line.status.is_some() => self.result(line, time, &mut say),
            "user" | "gemini" | "info" | "warning" | "error" if line.id.is_some() => {
                self.session_message(line, out);
            }
            "" if line.set.is_some() || line.rewind.is_some() => {
                // The history rewritten: what it holds was said before.
                say(Body::Lifecycle(Lifecycle::Other));
            }
            "" if line.session.is_some() && line.project.is_some() => self.session_file(line, out),
            "" if line.session_id.is_some() => return document(line, out),
            _ => return Decoded::No,
        }
        Decoded::Yes
    }

    fn text(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        match self.stderr(line) {
            Some(body) => {
                out(Record::new(body));
                Decoded::Yes
            }
            None => Decoded::No,
        }
    }
}

impl Decoder {
    /// The last event of a run.
    fn result(&mut self, line: Line<'_>, time: Option<Timestamp>, say: &mut dyn FnMut(Body<'_>)) {
        if let Some(stats) = parse_raw::<ResultStats>(line.stats) {
            let usage = usage(UsageScope::Turn, stats.input_tokens, stats.cached, [stats.output_tokens]);
            if usage.input_tokens.is_some() {
                say(Body::Usage(usage));
            }
        }
        let last_error = self.last_error.take();
        if line.status.as_str() != "error" {
            // A run that the loop guard stopped is called a success too.
            let stopped = last_error.is_some_and(|message| message.starts_with(LOOP));
            return say(Body::Lifecycle(if stopped { Lifecycle::Other } else { Lifecycle::TurnEnded }));
        }
        let error = parse_raw::<ErrorBody<'_>>(line.error).unwrap_or_default();
        let error = if error.message.is_some() {
            error
        } else {
            let message = Loose(Some(Cow::Owned(last_error.unwrap_or_default().into_string())));
            ErrorBody { message, ..error }
        };
        say(Body::Failure(Failure { ends: true, ..failure(error, time) }));
    }

    /// The first line of a session file, or a whole session in one document.
    fn session_file(&mut self, line: Line<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let started = Lifecycle::Started { cwd: None, model: None };
        out(Record { session: line.session.0, ..Record::new(Body::Lifecycle(started)) });
        let messages = parse_raw::<Vec<&RawValue>>(line.messages).unwrap_or_default();
        for message in messages {
            if let Some(message) = json::from_str::<Line<'_>>(message.get()).ok().filter(|m| m.id.is_some())
            {
                self.session_message(message, out);
            }
        }
    }

    /// A message of a session file.
    fn session_message(&mut self, line: Line<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let time = read_time(&line.timestamp);
        let mut say = |body: Body<'_>| out(Record { time, ..Record::new(body) });
        match line.kind.as_str() {
            "user" => {
                let text = line.content.text();
                say(match text.strip_prefix(STRIKE) {
                    // The loop guard tells the model, and stops it if that does not help.
                    Some(_) => Body::Failure(Failure {
                        class: Some(Class::ToolRepeat),
                        retry: Some(Retry::default()),
                        ..Failure::new(Origin::Agent, text)
                    }),
                    None => Body::Message(Message { role: Role::User, text: text.into() }),
                });
            }
            "gemini" => self.session_answer(line, &mut say),
            "error" => say(notice(line.content.text(), false, time)),
            "warning" => say(notice(line.content.text(), true, time)),
            _ => say(Body::Lifecycle(Lifecycle::Other)),
        }
    }

    /// A message of the model: what is new in it since it was last written.
    fn session_answer(&mut self, line: Line<'_>, say: &mut dyn FnMut(Body<'_>)) {
        if self.spoken.id != line.id.as_str() {
            self.spoken = Spoken { id: line.id.as_str().to_owned(), ..Spoken::default() };
        }
        if line.content.is_some() && !std::mem::replace(&mut self.spoken.text, true) {
            say(Body::Message(Message { role: Role::Assistant, text: line.content.text().into() }));
        }
        for (index, call) in
            parse_raw::<Vec<SessionCall<'_>>>(line.tool_calls).unwrap_or_default().into_iter().enumerate()
        {
            let id = call.id.text();
            if index >= self.spoken.calls {
                self.spoken.calls = index + 1;
                let (name, input) = (call.name.text(), raw_text(call.args));
                say(Body::ToolCall(ToolCall { id: id.clone(), name, input: input.into() }));
            }
            let done = matches!(call.status.as_str(), "success" | "error" | "cancelled");
            if done && index >= self.spoken.results {
                self.spoken.results = index + 1;
                let failed = call.status.as_str() == "error";
                let text = if call.display.is_some() { call.display.text() } else { raw_text(call.result) };
                say(Body::ToolResult(ToolResult { id, failed, exit_code: None, text: text.into() }));
            }
        }
        if let Some(tokens) = line.tokens.filter(|_| !self.spoken.tokens) {
            self.spoken.tokens = true;
            let output = [tokens.output, tokens.thoughts];
            let (message, model) = (Some(line.id.as_str()), Some(line.model.as_str()).filter(|model| !model.is_empty()));
            let usage = usage(UsageScope::Request, tokens.input, tokens.cached, output);
            say(Body::Usage(Usage { message, model, ..usage }));
        }
    }
}

/// The document of `--output-format json`.
fn document(line: Line<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
    let (stats, error) = (line.document_stats(), line.fatal());
    if stats.is_none() && error.is_none() {
        return Decoded::No;
    }
    let started = Lifecycle::Started { cwd: None, model: None };
    out(Record { session: line.session_id.0, ..Record::new(Body::Lifecycle(started)) });
    let mut say = |body: Body<'_>| out(Record::new(body));
    if line.response.is_some() {
        say(Body::Message(Message { role: Role::Assistant, text: line.response.text().into() }));
    }
    if let Some(stats) = stats {
        let sum = |field: fn(&ModelTokens) -> Number| {
            let numbers = stats.models.values().map(|model| field(&model.tokens).0);
            Number(numbers.fold(None, |sum, number| number.map_or(sum, |n| Some(sum.unwrap_or(0.0) + n))))
        };
        let output = [sum(|t| t.candidates), sum(|t| t.thoughts)];
        say(Body::Usage(usage(UsageScope::Turn, sum(|t| t.prompt), sum(|t| t.cached), output)));
    }
    // A run that the loop guard stopped is no error here either.
    let warnings = parse_raw::<Vec<Loose<'_>>>(line.warnings).unwrap_or_default();
    let stopped = warnings.into_iter().find(|warning| warning.as_str().starts_with(LOOP));
    match (error, stopped) {
        (Some(error), _) => say(Body::Failure(Failure { ends: true, ..failure(error, None) })),
        (None, Some(warning)) => say(notice(warning.text(), true, None)),
        (None, None) => say(Body::Lifecycle(Lifecycle::TurnEnded)),
    }
    Decoded::Yes
}

/// An `error` event, or a session's error or warning.
fn notice<'a>(text: Cow<'a, str>, warning: bool, time: Option<Timestamp>) -> Body<'a> {
    if text.starts_with(LOOP) {
        let class = Some(Class::ToolRepeat);
        return Body::Failure(Failure { class, ..Failure::new(Origin::Agent, text) });
    }
    if warning && !is_about_limits(&text) {
        return Body::Lifecycle(Lifecycle::Other);
    }
    Body::Failure(failure(ErrorBody { message: Loose(Some(text)), ..ErrorBody::default() }, time))
}

/// The beginning of the loop guard's message.
const LOOP: &str = "Loop detected";

/// The beginning of what the loop guard puts into the session for the model, in the person's place.
const STRIKE: &str = "System: Potential loop detected. Details: ";

fn is_about_limits(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["limit", "quota", "exceed", "overflow", "capacity", "exhausted"].iter().any(|word| lower.contains(word))
}

/// A failure from an error object, and from the provider's error body in its message.
fn failure(error: ErrorBody<'_>, time: Option<Timestamp>) -> Failure<'_> {
    let mut failure = Failure::new(Origin::Provider, error.message.text());
    if let Some(inner) = generic::embedded(&failure.text) {
        add_inner(inner, time, &mut failure);
    }
    match error.code.map(|code| json::from_str::<Number>(code.get())) {
        // The code of a fatal error is the HTTP status, or else the program's exit status.
        Some(Ok(Number(Some(code)))) => failure.status = failure.status.or(Number(Some(code)).http_status()),
        Some(_) => failure.codes.extend(parse_raw::<Loose<'_>>(error.code).and_then(|code| code.0)),
        None => {}
    }
    if error.kind.is_some() && !is_vague(error.kind.as_str()) {
        failure.codes.push(error.kind.text());
    }
    failure
}

fn add_inner(inner: ProviderError, time: Option<Timestamp>, failure: &mut Failure<'_>) {
    failure.status = inner.status;
    failure.codes.extend(inner.codes.into_iter().map(Cow::Owned));
    failure.retry_at = time.and_then(|time| Some(time.plus_millis(inner.delay_ms?)));
}

/// Whether an error's name says nothing about its cause.
fn is_vague(name: &str) -> bool {
    matches!(
        name,
        "unknown" | "Error" | "_ApiError" | "ApiError" | "TypeError" | "SyntaxError" | "exception" | "Exception"
    )
}

fn usage<const N: usize>(scope: UsageScope, input: Number, cached: Number, output: [Number; N]) -> Usage<'static> {
    let cached = cached.count();
    let written: Vec<u64> = output.into_iter().filter_map(Number::count).collect();
    Usage {
        scope,
        input_tokens: input.count().map(|all| all.saturating_sub(cached.unwrap_or(0))),
        output_tokens: (!written.is_empty()).then(|| written.iter().sum()),
        cache_read_tokens: cached,
        ..Usage::default()
    }
}

fn raw_text(raw: Option<&RawValue>) -> Cow<'_, str> {
    Cow::Borrowed(raw.map_or("", RawValue::get))
}

// ---------------------------------------------------------------- stderr

const YOLO: &str = "YOLO mode is enabled. All tool calls will be automatically approved.";
const TALKING: &str = "Error when talking to Gemini API";
const GENERATING: &str = "Error generating content via API";

/// Beginnings of lines that good runs print too.
const NOISE: [&str; 6] = [
    YOLO,
    "[STARTUP] ",
    "[Routing] ",
    "Error executing tool ",
    "Warning: True color (24-bit) support not detected.",
    "Loaded cached credentials.",
];

/// Whether nobody else prints such a line.
fn recognise_text(line: &str) -> bool {
    if line == YOLO || ((line.starts_with(TALKING) || line.starts_with(GENERATING)) && report(line).is_some()) {
        return true;
    }
    attempt(line).is_some() && (line.contains("Retrying with backoff...") || line.contains(" Retrying after "))
}

impl Decoder {
    fn stderr<'a>(&mut self, line: &'a str) -> Option<Body<'a>> {
        let other = Some(Body::Lifecycle(Lifecycle::Other));
        if line.starts_with("    at ") {
            return other; // a stack trace
        }
        if self.report && (line.starts_with(' ') || line == "}" || is_continuation(line)) {
            return other;
        }
        self.report = false;
        if let Some((message, status, retry)) = attempt(line) {
            self.report = true;
            let failure = from_text(message);
            let status = status.or(failure.status);
            return Some(Body::Failure(Failure { status, retry: Some(retry), ..failure }));
        }
        if line.starts_with(TALKING) || line.starts_with(GENERATING) {
            self.report = true;
            let (name, message) = report(line).unwrap_or(("", line));
            let mut failure = from_text(message);
            if !name.is_empty() && !is_vague(name) {
                failure.codes.push(Cow::Borrowed(name));
            }
            return Some(Body::Failure(failure));
        }
        if let Some(message) = line.strip_prefix("[WARNING] ").filter(|message| message.starts_with(LOOP)) {
            let class = Some(Class::ToolRepeat);
            return Some(Body::Failure(Failure { class, origin: Origin::Agent, ..from_text(message) }));
        }
        if NOISE.iter().any(|noise| line.starts_with(noise)) {
            self.report = line.starts_with("[Routing] ");
            return other;
        }
        None
    }
}

/// A failure that a line of text says, with what an error body in it says.
fn from_text(message: &str) -> Failure<'_> {
    let mut failure = Failure { structured: false, ..Failure::new(Origin::Provider, message) };
    if let Some(inner) = generic::embedded(message) {
        add_inner(inner, None, &mut failure);
    }
    failure
}

/// Whether a line goes on with the message of a report: the provider's text has several lines.
fn is_continuation(line: &str) -> bool {
    line.starts_with("Please retry in ") || line.starts_with("Suggested retry after ")
}

/// The message, the HTTP status and the numbers of `Attempt 1 failed …`.
fn attempt(line: &str) -> Option<(&str, Option<u16>, Retry)> {
    const BACKOFF: &str = "Retrying with backoff...";
    let (number, rest) = line.strip_prefix("Attempt ")?.split_once(" failed")?;
    let attempt = Some(number.parse::<u32>().ok()?);
    let mut retry = Retry { attempt, ..Retry::default() };
    if let Some(message) = rest.strip_prefix(": ") {
        if let Some((message, delay)) = message.rsplit_once(" Retrying after ") {
            retry.delay_ms = delay.strip_suffix("ms...").and_then(|millis| millis.parse().ok());
            return Some((message, None, retry));
        }
        return Some((message, None, retry));
    }
    let (words, message) = rest.split_once(BACKOFF)?;
    let status = match words {
        ". " => None,
        _ => words.strip_prefix(" with status ")?.trim_end_matches(['.', ' ']).parse::<f64>().ok(),
    };
    let message = message.trim_start();
    let message = message.split_once("Error: ").map_or(message, |(_, inner)| inner);
    let reason = if message.is_empty() { line } else { message };
    Some((reason, Number(status).http_status(), retry))
}

/// The name and the message of the error in `… Full report available at: <path>.json <Name>: <message>`.
fn report(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(".json ")?;
    let (name, message) = rest.split_once(": ")?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some((name, message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a record says, short enough for a table: `!` is a failure, `!!` one that ends the run, `~` a
    /// retry, `?` one that is read from text.
    fn show(record: &Record<'_>) -> String {
        match &record.body {
            Body::Message(message) => format!("{:?}: {}", message.role, message.text),
            Body::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.input),
            Body::ToolResult(result) => {
                let mark = if result.failed { "failed" } else { "done" };
                format!("{mark} {} {}", result.id, result.text)
            }
            Body::Failure(failure) => {
                let mark = match (failure.retry, failure.ends, failure.structured) {
                    (Some(_), ..) => "?~",
                    (None, true, _) => "!!",
                    (None, false, true) => "!",
                    (None, false, false) => "?",
                };
                let mut shown = format!("{mark} {}", failure.text);
                if let Some(status) = failure.status {
                    shown += &format!(" [{status}]");
                }
                for code in &failure.codes {
                    shown += &format!(" <{code}>");
                }
                if let Some(class) = failure.class {
                    shown += &format!(" ({class})");
                }
                shown
            }
            Body::Usage(usage) => format!(
                "tokens {:?} in {:?} read {:?} out {:?}",
                usage.scope, usage.input_tokens, usage.cache_read_tokens, usage.output_tokens
            ),
            Body::Quota(quota) => format!("quota {} min {:?} {:?}", quota.minutes, quota.used_pct, quota.resets_at),
            Body::Lifecycle(Lifecycle::Other) => "-".to_owned(),
            Body::Lifecycle(Lifecycle::Started { model, .. }) => {
                format!("started {:?} {model:?}", record.session)
            }
            Body::Lifecycle(lifecycle) => format!("{lifecycle:?}"),
            Body::Text(_) => unreachable!("the decoder makes no text records"),
        }
    }

    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame { bytes, line: 1, offset: 0, truncated: false }
    }

    fn feed(decoder: &mut Decoder, line: &str, mut out: impl FnMut(Record<'_>)) -> Decoded {
        if line.starts_with('{') { decoder.json(frame(line.as_bytes()), &mut out) } else { decoder.text(line, &mut out) }
    }

    /// Feeds lines to one decoder; each line's records are joined by ` | `.
    fn story(lines: &[(&str, &str)]) {
        let mut decoder = Decoder::default();
        for (line, expected) in lines {
            let mut said = Vec::new();
            if feed(&mut decoder, line, |record| said.push(show(&record))) == Decoded::No {
                assert!(said.is_empty(), "said something about a line that is not its own: {line}");
                said.push("not ours".to_owned());
            }
            assert_eq!(said.join(" | "), *expected, "{line}");
        }
    }

    const EVENTS: &[(&str, &str)] = &[
        (
            r#"{"type":"init","timestamp":"2026-11-20T05:00:00Z","session_id":"0000-aaaa","model":"m1"}"#,
            r#"started Some("0000-aaaa") Some("m1")"#,
        ),
        (
            r#"{"type":"message","timestamp":"2026-11-20T05:00:00Z","role":"user","content":"Why RESOURCE_EXHAUSTED?"}"#,
            "User: Why RESOURCE_EXHAUSTED?",
        ),
        (
            r#"{"type":"message","timestamp":"2026-11-20T05:00:01Z","role":"assistant","content":"Your quota will reset soon","delta":true}"#,
            "Assistant: Your quota will reset soon",
        ),
        (
            r#"{"type":"tool_use","timestamp":"2026-11-20T05:00:02Z","tool_name":"run_shell_command","tool_id":"t1","parameters":{"command":"ls"}}"#,
            r#"call t1 run_shell_command {"command":"ls"}"#,
        ),
        (
            r#"{"type":"tool_result","timestamp":"2026-11-20T05:00:03Z","tool_id":"t1","status":"error","output":"RESOURCE_EXHAUSTED in a fixture","error":{"type":"shell_execute_error","message":"exit 1"}}"#,
            "failed t1 RESOURCE_EXHAUSTED in a fixture",
        ),
        (
            r#"{"type":"tool_result","timestamp":"2026-11-20T05:00:03Z","tool_id":"t2","status":"success","output":"429"}"#,
            "done t2 429",
        ),
        (
            r#"{"type":"result","timestamp":"2026-11-20T05:00:04Z","status":"success","stats":{"total_tokens":110,"input_tokens":100,"output_tokens":10,"cached":60,"input":40,"models":{}}}"#,
            "tokens Turn in Some(40) read Some(60) out Some(10) | TurnEnded",
        ),
    ];

    #[test]
    fn a_good_run_has_no_failures_whatever_it_shows() {
        story(EVENTS);
    }

    #[test]
    fn errors_are_read_from_error_and_result_events() {
        story(&[
            (
                r#"{"type":"error","timestamp":"2026-11-20T05:00:00Z","severity":"warning","message":"Loop detected, stopping"}"#,
                "! Loop detected, stopping (tool_repeat)",
            ),
            (r#"{"type":"error","timestamp":"2026-11-20T05:00:00Z","severity":"warning","message":"Hooks are slow"}"#, "-"),
            (
                r#"{"type":"error","timestamp":"2026-11-20T05:00:00Z","severity":"warning","message":"The context will overflow"}"#,
                "! The context will overflow",
            ),
            (r#"{"type":"error","timestamp":"2026-11-20T05:00:00Z","severity":"error","message":"Empty answer"}"#, "! Empty answer"),
            (r#"{"type":"result","timestamp":"2026-11-20T05:00:00Z","status":"error"}"#, "!! Empty answer"),
            (
                r#"{"type":"result","timestamp":"2026-11-20T05:00:00Z","status":"error","error":{"type":"unknown","message":"[API Error: cut]"}}"#,
                "!! [API Error: cut]",
            ),
            (
                r#"{"type":"result","timestamp":"2026-11-20T05:00:00Z","status":"error","error":{"type":"FatalTurnLimitedError","message":"Enough."}}"#,
                "!! Enough. <FatalTurnLimitedError>",
            ),
            (
                r#"{"type":"result","timestamp":"2026-11-20T05:00:00Z","status":"error","error":{"type":"unknown","message":"[API Error: {\"error\":{\"code\":400,\"message\":\"Bad key.\",\"status\":\"INVALID_ARGUMENT\"}}]"}}"#,
                r#"!! [API Error: {"error":{"code":400,"message":"Bad key.","status":"INVALID_ARGUMENT"}}] [400] <INVALID_ARGUMENT>"#,
            ),
        ]);
    }

    #[test]
    fn the_asked_wait_in_a_body_counts_from_the_event_s_time() {
        let line = r#"{"type":"result","timestamp":"2026-11-20T05:00:00Z","status":"error","error":{"type":"unknown","message":"[API Error: {\"error\":{\"code\":429,\"message\":\"Wait.\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":\"x/RetryInfo\",\"retryDelay\":\"90s\"}]}}]"}}"#;
        let mut retry_at = None;
        feed(&mut Decoder::default(), line, |record| {
            if let Body::Failure(failure) = record.body {
                retry_at = failure.retry_at;
            }
        });
        assert_eq!(retry_at, Timestamp::parse_rfc3339("2026-11-20T05:01:30Z"));
    }

    #[test]
    fn a_run_that_the_loop_guard_stopped_says_so_in_the_warnings_of_its_document() {
        let stats = r#""stats":{"models":{"m":{"tokens":{"prompt":10,"candidates":1}}}}"#;
        let document = |rest: &str| format!(r#"{{"session_id":"s","response":"Loop detected, stopping execution",{stats}{rest}}}"#);
        let said = r#"started Some("s") None | Assistant: Loop detected, stopping execution | tokens Turn in Some(10) read None out Some(1)"#;
        for (rest, end) in [
            ("", "TurnEnded"),
            (r#","warnings":["Hooks are slow"]"#, "TurnEnded"),
            (r#","warnings":"Loop detected, stopping execution""#, "TurnEnded"),
            (
                r#","warnings":["Hooks are slow","Loop detected, stopping execution"]"#,
                "! Loop detected, stopping execution (tool_repeat)",
            ),
        ] {
            story(&[(&document(rest), &format!("{said} | {end}"))]);
        }
    }

    #[test]
    fn the_document_is_one_frame_of_many_lines() {
        let models = r#"{"m1":{"tokens":{"prompt":100,"candidates":5,"cached":40,"thoughts":2}},"m2":{"tokens":{"prompt":10,"candidates":1,"cached":0}}}"#;
        let good = format!("{{\n  \"session_id\": \"0000-bbbb\",\n  \"response\": \"429 is a status\",\n  \"stats\": {{\n    \"models\": {models}\n  }}\n}}");
        let bad = "{\n  \"session_id\": \"0000-bbbb\",\n  \"error\": {\n    \"type\": \"Error\",\n    \"message\": \"Quota gone.\",\n    \"code\": 429\n  }\n}";
        story(&[
            (
                &good,
                r#"started Some("0000-bbbb") None | Assistant: 429 is a status | tokens Turn in Some(70) read Some(40) out Some(8) | TurnEnded"#,
            ),
            (bad, r#"started Some("0000-bbbb") None | !! Quota gone. [429]"#),
            (&bad.replace("429", "53").replace("\"Error\"", "\"FatalTurnLimitedError\""), r#"started Some("0000-bbbb") None | !! Quota gone. <FatalTurnLimitedError>"#),
            (r#"{"session_id":"x"}"#, "not ours"),
        ]);
        assert!(FORMAT.recognise(frame(good.as_bytes())) && FORMAT.recognise(frame(bad.as_bytes())));
    }

    const SESSION: &[(&str, &str)] = &[
        (
            r#"{"sessionId":"0000-cccc","projectHash":"00","startTime":"2026-11-20T05:00:00Z","lastUpdated":"2026-11-20T05:00:00Z","kind":"main"}"#,
            r#"started Some("0000-cccc") None"#,
        ),
        (
            r#"{"$set":{"messages":[{"id":"0","type":"error","content":"quota exceeded"}],"lastUpdated":"2026-11-20T05:00:00Z"}}"#,
            "-",
        ),
        (r#"{"id":"1","timestamp":"2026-11-20T05:00:00Z","type":"user","content":[{"text":"List it"}]}"#, "User: List it"),
        (
            r#"{"id":"2","timestamp":"2026-11-20T05:00:01Z","type":"gemini","content":"","thoughts":[],"tokens":{"input":10,"output":2,"cached":4,"thoughts":1,"total":13},"model":"m1"}"#,
            "tokens Request in Some(6) read Some(4) out Some(3)",
        ),
        (
            r#"{"id":"2","timestamp":"2026-11-20T05:00:02Z","type":"gemini","content":"","tokens":{"input":10,"output":2,"cached":4,"thoughts":1,"total":13},"toolCalls":[{"id":"t1","name":"ls","args":{"p":"."},"status":"error","resultDisplay":"rate limit"}]}"#,
            r#"call t1 ls {"p":"."} | failed t1 rate limit"#,
        ),
        (r#"{"id":"3","timestamp":"2026-11-20T05:00:03Z","type":"info","content":"rate limit"}"#, "-"),
        (r#"{"id":"4","timestamp":"2026-11-20T05:00:03Z","type":"error","content":"[API Error: cut]"}"#, "! [API Error: cut]"),
    ];

    #[test]
    fn a_session_file_says_each_message_once() {
        story(SESSION);
        let messages: Vec<&str> = SESSION[2..].iter().map(|(line, _)| *line).collect();
        let document = format!(
            "{{\"sessionId\":\"0000-cccc\",\"projectHash\":\"00\",\"messages\":[{}]}}",
            messages.join(",\n")
        );
        let said: Vec<&str> = SESSION.iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, line)| line.1).collect();
        story(&[(&document, &said.join(" | "))]);
    }

    #[test]
    fn stderr_tells_retries_and_reports_from_noise() {
        story(&[
            (YOLO, "-"),
            ("[STARTUP] Phase 'x' was started but never ended.", "-"),
            ("Attempt 1 failed with status 503. Retrying with backoff... _ApiError: {\"error\":{\"code\":503,\"message\":\"Busy.\",\"status\":\"UNAVAILABLE\"}}", "?~ {\"error\":{\"code\":503,\"message\":\"Busy.\",\"status\":\"UNAVAILABLE\"}} [503] <UNAVAILABLE>"),
            ("    at run (file:///x.js:1:2) {", "-"),
            ("  status: 503", "-"),
            ("}", "-"),
            ("}", "-"),
            ("Attempt 2 failed with status 503. Retrying with backoff...", "?~ Attempt 2 failed with status 503. Retrying with backoff... [503]"),
            ("Attempt 3 failed. Retrying with backoff... Error: exception TypeError: fetch failed", "?~ exception TypeError: fetch failed"),
            ("Attempt 4 failed: Quota for now.", "?~ Quota for now."),
            ("Please retry in 2s.", "-"),
            ("Suggested retry after 2s.. Retrying after 5196ms...", "-"),
            ("Error when talking to Gemini API Full report available at: /tmp/r-2026.json TerminalQuotaError: Daily quota gone.", "? Daily quota gone. <TerminalQuotaError>"),
            ("    at x (y.js:1:2) {", "-"),
            ("  cause: {", "-"),
            ("    code: 429,", "-"),
            ("  status: 429", "-"),
            ("}", "-"),
            ("[Routing] Strategy failed: Error: Failed to generate content: quota", "-"),
            ("Error generating content via API. Full report available at: /tmp/r.json TypeError: cut", "? cut"),
            ("A model's answer about quota exceeded", "not ours"),
            ("  indented: 429", "not ours"),
            ("[WARNING] Loop detected, stopping execution", "? Loop detected, stopping execution (tool_repeat)"),
            ("Attempt to fail: 429", "not ours"),
            ("Attempt 1 failed the test", "not ours"),
        ]);
        let (_, _, retry) = attempt("Attempt 2 failed: Wait. Retrying after 5196ms...").unwrap();
        assert_eq!(retry, Retry { attempt: Some(2), max_attempts: None, delay_ms: Some(5196) });
    }

    #[test]
    fn only_what_is_beyond_doubt_is_recognised() {
        for line in [
            EVENTS[0].0, EVENTS[3].0, EVENTS[4].0, EVENTS[6].0, SESSION[0].0, SESSION[1].0, SESSION[3].0, YOLO,
            "Attempt 1 failed with status 503. Retrying with backoff...",
            "Attempt 1 failed: Wait. Retrying after 5196ms...",
            "Error when talking to Gemini API Full report available at: /tmp/r.json TypeError: cut",
        ] {
            assert!(FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
        for line in [
            r#"{"type":"system","subtype":"init","session_id":"x","model":"m"}"#,
            r#"{"type":"result","subtype":"success","is_error":false,"session_id":"x"}"#,
            r#"{"type":"tool_use","timestamp":1,"sessionID":"s","part":{"tool":"x"}}"#,
            r#"{"type":"user","message":{"role":"user","content":"x"},"sessionId":"s"}"#,
            r#"{"$set":{"count":1}}"#,
            r#"{"session_id":"x","error":"no"}"#,
            "Attempt 1 failed: connection refused",
            "Error when talking to Gemini API is handled in client.ts",
            "    at x (y.js:1:2)",
            "{",
            "",
        ] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
            let mut decoder = Decoder::default();
            decoder.json(frame(&bytes), &mut |_| {});
            FORMAT.recognise(frame(&bytes));
            for beginning in ["", "Attempt 1 failed", "Attempt 1 failed: ", TALKING, GENERATING] {
                decoder.text(&format!("{beginning}{text}"), &mut |_| {});
            }
        }

        #[test]
        fn a_cut_line_is_not_ours(case in 0..EVENTS.len() + SESSION.len(), cut in 1usize..400) {
            let (line, _) = EVENTS.iter().chain(SESSION).nth(case).unwrap();
            let bytes = &line.as_bytes()[..line.len().saturating_sub(cut)];
            prop_assert_eq!(Decoder::default().json(frame(bytes), &mut |_| {}), Decoded::No);
            FORMAT.recognise(frame(bytes));
        }
    }
}
