//! OpenCode: the events of `run --format json`, the events of its server, and the lines of its log file.
//!
//! Failures are read from `error` events, from a session's status and from the log's error lines. Parts are
//! content: what a tool reports as its error is the tool's. While it retries it prints nothing, so the log
//! is the only place that tells of a limit at once.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::claude::Maybe;
use super::loose::{Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Retry, Role, ToolCall, ToolResult, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format of OpenCode.
pub(super) static FORMAT: OpenCode = OpenCode;

/// Recognises OpenCode's streams and logs and makes decoders for them.
pub(super) struct OpenCode;

impl Format for OpenCode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let bytes = frame.bytes.trim_ascii_start();
        if !bytes.starts_with(b"{") {
            return std::str::from_utf8(bytes).is_ok_and(is_banner);
        }
        memchr::memmem::find(bytes, b"\"ses_").is_some() && parse(bytes).and_then(Line::event).is_some()
    }

    fn banners(&self) -> &'static [&'static str] {
        &["timestamp="]
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder::default())
    }
}

/// Parts of log lines that say whose log it is: the first line of a run, a new session, a request, any error.
const BANNERS: [&str; 3] = ["message=\"creating instance\"", "message=created id=ses_", " session.id=ses_"];

/// How session ids begin.
const SESSION: &str = "ses_";

/// How many calls that have begun are remembered; beyond that the oldest is forgotten, and its end is
/// then reported as a call and a result.
const OPEN_CALLS: usize = 64;

/// How long a server may ask to wait and be believed, in seconds: a year.
const MAX_DELAY_SECONDS: f64 = 366.0 * 86_400.0;

/// What a decoder has to know of the lines before.
#[derive(Default)]
struct Decoder {
    /// Ids of calls that began and did not end.
    open: VecDeque<String>,
}

// ---------------------------------------------------------------- JSON

/// One line: an event of `run`, or one of the server, which may stand in an envelope of its own.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    timestamp: Number,
    #[serde(rename = "sessionID")]
    session: Loose<'a>,
    part: Maybe<Part<'a>>,
    error: Maybe<ErrorObject<'a>>,
    properties: Maybe<Properties<'a>>,
    payload: Maybe<ServerEvent<'a>>,
}

/// An event of the server inside the envelope that says which directory it is about.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ServerEvent<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    properties: Maybe<Properties<'a>>,
}

/// What an event of the server is about.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Properties<'a> {
    #[serde(rename = "sessionID")]
    session: Loose<'a>,
    part: Maybe<Part<'a>>,
    error: Maybe<ErrorObject<'a>>,
    status: Maybe<Status<'a>>,
    info: Maybe<Info<'a>>,
}

/// A session, or a message of one.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Info<'a> {
    id: Loose<'a>,
    #[serde(rename = "sessionID")]
    session: Loose<'a>,
    directory: Loose<'a>,
}

/// What a session is doing.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Status<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    attempt: Number,
    message: Loose<'a>,
    next: Number,
}

/// A part of a message.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    id: Loose<'a>,
    #[serde(rename = "sessionID")]
    session: Loose<'a>,
    text: Loose<'a>,
    tool: Loose<'a>,
    #[serde(rename = "callID")]
    call: Loose<'a>,
    state: Maybe<State<'a>>,
    reason: Loose<'a>,
    cost: Number,
    tokens: Maybe<Tokens>,
    time: Maybe<Span>,
    attempt: Number,
    error: Maybe<ErrorObject<'a>>,
}

/// How far a tool call is.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct State<'a> {
    status: Loose<'a>,
    input: Option<&'a RawValue>,
    output: Loose<'a>,
    error: Loose<'a>,
    metadata: Maybe<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    exit: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Span {
    end: Number,
}

/// Token counts of a step; `input` is without the cached ones.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    total: Number,
    input: Number,
    output: Number,
    reasoning: Number,
    cache: Maybe<Cache>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cache {
    read: Number,
    write: Number,
}

/// An error: its name says the kind, its data the rest.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ErrorObject<'a> {
    name: Loose<'a>,
    message: Loose<'a>,
    data: Maybe<ErrorData<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ErrorData<'a> {
    message: Loose<'a>,
    #[serde(rename = "statusCode")]
    status: Number,
    #[serde(rename = "responseHeaders")]
    headers: Maybe<Headers<'a>>,
    #[serde(rename = "responseBody")]
    body: Loose<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Headers<'a> {
    #[serde(rename = "retry-after")]
    seconds: Loose<'a>,
    #[serde(rename = "retry-after-ms")]
    millis: Loose<'a>,
}

/// The provider's answer, of which only the codes are of interest: its message was taken already.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ResponseBody<'a> {
    error: Maybe<ResponseError<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ResponseError<'a> {
    code: Loose<'a>,
    #[serde(rename = "type")]
    kind: Loose<'a>,
    status: Loose<'a>,
}

fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    json::from_slice(bytes).ok()
}

fn is_session(id: &Loose<'_>) -> bool {
    id.as_str().starts_with(SESSION)
}

/// A line that is beyond doubt one of ours.
enum Event<'a> {
    Run { kind: Loose<'a>, part: Option<Part<'a>>, error: Option<ErrorObject<'a>> },
    Server { kind: Loose<'a>, properties: Properties<'a> },
}

impl<'a> Line<'a> {
    /// Returns the session and the event, if the envelope is right.
    fn event(self) -> Option<(Loose<'a>, Option<Timestamp>, Event<'a>)> {
        let (kind, properties) = match self.payload.0 {
            Some(event) if !self.kind.is_some() => (event.kind, event.properties.0),
            _ => (self.kind, self.properties.0),
        };
        if let Some(mut properties) = properties {
            let info = properties.info.0.as_mut();
            let part = properties.part.0.as_mut();
            let session = std::mem::take(&mut properties.session);
            let about_session = kind.as_str().starts_with("session.");
            let session = [
                Some(session),
                part.map(|part| std::mem::take(&mut part.session)),
                info.map(|info| std::mem::take(if about_session { &mut info.id } else { &mut info.session })),
            ]
            .into_iter()
            .flatten()
            .find(is_session)?;
            return kind.as_str().contains('.').then_some((session, None, Event::Server { kind, properties }));
        }
        let (part, error) = (self.part.0, self.error.0);
        let whole = is_session(&self.session) && (part.is_some() || error.is_some());
        let time = self.timestamp.0.and_then(Timestamp::from_epoch_guess)?;
        (whole && kind.is_some()).then_some((self.session, Some(time), Event::Run { kind, part, error }))
    }
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some((session, time, event)) = parse(frame.bytes).and_then(Line::event) else { return Decoded::No };
        let mut say = |body: Body<'_>| {
            out(Record { time, session: session.0.as_deref().map(Cow::Borrowed), ..Record::new(body) });
        };
        match event {
            Event::Run { kind, error: Some(error), .. } if kind.as_str() == "error" => {
                say(Body::Failure(Failure { ends: true, ..failure(error, time) }));
            }
            Event::Run { part: Some(part), .. } => self.part(part, time, true, &mut say),
            Event::Run { .. } => say(Body::Lifecycle(Lifecycle::Other)),
            Event::Server { kind, properties } => self.server(kind.as_str(), properties, &mut say),
        }
        Decoded::Yes
    }

    fn text(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        match LogLine::read(line) {
            Some(line) => {
                line.tell(out);
                Decoded::Yes
            }
            None => Decoded::No,
        }
    }
}

impl Decoder {
    /// A part of a message. `whole`: it is told once, when it is done.
    fn part(&mut self, part: Part<'_>, time: Option<Timestamp>, whole: bool, say: &mut dyn FnMut(Body<'_>)) {
        let done = whole || part.time.0.is_some_and(|span| span.end.0.is_some());
        match part.kind.as_str() {
            "text" if done => {
                say(Body::Message(Message { role: Role::Assistant, text: part.text.text().into() }));
            }
            "tool" => {
                let Some(state) = part.state.0 else { return say(Body::Lifecycle(Lifecycle::Other)) };
                self.tool(part.call.text(), part.tool.text(), state, say);
            }
            "step-finish" => {
                if let Some(usage) = usage(part.tokens.0, part.cost) {
                    say(Body::Usage(Usage { message: Some(part.id.as_str()).filter(|id| !id.is_empty()), ..usage }));
                }
                let cut = |class, text| Failure {
                    class: Some(class),
                    ends: true,
                    ..Failure::new(Origin::Provider, text)
                };
                say(match part.reason.as_str() {
                    "stop" => Body::Lifecycle(Lifecycle::TurnEnded),
                    "length" => Body::Failure(cut(Class::OutputLimit, "the answer was cut at its own maximum: length")),
                    "content-filter" => Body::Failure(cut(Class::ContentPolicy, "the answer was cut by a filter: content-filter")),
                    _ => Body::Lifecycle(Lifecycle::Other),
                });
            }
            "retry" => {
                let attempt = part.attempt.count().and_then(|attempt| u32::try_from(attempt).ok());
                let retry = Some(Retry { attempt, ..Retry::default() });
                let error = part.error.0.unwrap_or_default();
                say(Body::Failure(Failure { retry, ..failure(error, time) }));
            }
            "compaction" => say(Body::Lifecycle(Lifecycle::Compacted)),
            _ => say(Body::Lifecycle(Lifecycle::Other)),
        }
    }

    fn tool(
        &mut self,
        id: Cow<'_, str>,
        name: Cow<'_, str>,
        state: State<'_>,
        say: &mut dyn FnMut(Body<'_>),
    ) {
        let (failed, done) = match state.status.as_str() {
            "completed" => (false, true),
            "error" => (true, true),
            "running" => (false, false),
            _ => return say(Body::Lifecycle(Lifecycle::Other)),
        };
        let known = self.open.iter().position(|open| *open == id);
        if known.is_none() {
            let input = Cow::Borrowed(state.input.map_or("", RawValue::get));
            say(Body::ToolCall(ToolCall { id: Cow::Borrowed(&id), name, input: input.into() }));
        }
        match known {
            Some(at) if done => drop(self.open.remove(at)),
            None if !done => {
                if self.open.len() == OPEN_CALLS {
                    self.open.pop_front();
                }
                self.open.push_back(id.clone().into_owned());
            }
            _ => {}
        }
        if done {
            let text = if failed { state.error } else { state.output };
            let exit_code = state.metadata.0.and_then(|metadata| metadata.exit.whole());
            say(Body::ToolResult(ToolResult { id, failed, exit_code, text: text.text().into() }));
        }
    }

    fn server(&mut self, kind: &str, properties: Properties<'_>, say: &mut dyn FnMut(Body<'_>)) {
        let other = Body::Lifecycle(Lifecycle::Other);
        match kind {
            "session.error" => match properties.error.0 {
                Some(error) => say(Body::Failure(Failure { ends: true, ..failure(error, None) })),
                None => say(other),
            },
            "session.status" => say(match properties.status.0 {
                Some(status) if status.kind.as_str() == "retry" => {
                    let attempt = status.attempt.count().and_then(|attempt| u32::try_from(attempt).ok());
                    Body::Failure(Failure {
                        retry: Some(Retry { attempt, ..Retry::default() }),
                        retry_at: status.next.0.and_then(Timestamp::from_epoch_guess),
                        ..Failure::new(Origin::Provider, status.message.text())
                    })
                }
                Some(status) if status.kind.as_str() == "busy" => Body::Lifecycle(Lifecycle::TurnStarted),
                _ => other,
            }),
            "session.compacted" => say(Body::Lifecycle(Lifecycle::Compacted)),
            "session.created" => {
                let cwd = properties.info.0.and_then(|info| info.directory.0);
                say(Body::Lifecycle(Lifecycle::Started { cwd, model: None }));
            }
            "permission.asked" | "permission.updated" | "question.asked" => say(Body::Failure(Failure {
                class: Some(Class::WaitingInput),
                ..Failure::new(Origin::Agent, kind)
            })),
            "permission.replied" | "question.replied" | "question.rejected" => {
                say(Body::Lifecycle(Lifecycle::Answered));
            }
            "message.part.updated" => match properties.part.0 {
                Some(part) => self.part(part, None, false, say),
                None => say(other),
            },
            _ => say(other),
        }
    }
}

/// Whether an error's name says nothing about its cause.
fn is_vague(name: &str) -> bool {
    matches!(name, "APIError" | "UnknownError" | "Error" | "AI_APICallError" | "AI_RetryError" | "error")
}

fn failure(error: ErrorObject<'_>, time: Option<Timestamp>) -> Failure<'_> {
    let data = error.data.0.unwrap_or_default();
    let mut codes: Vec<Cow<'_, str>> = Vec::new();
    if let Ok(ResponseBody { error: Maybe(Some(inner)) }) = json::from_str(data.body.as_str()) {
        let inner = [inner.code, inner.kind, inner.status].into_iter().filter(Loose::is_some);
        codes.extend(inner.map(|code| Cow::Owned(code.text().into_owned())));
        codes.dedup();
    }
    let class = (error.name.as_str() == "MessageAbortedError").then_some(Class::Interrupted);
    let origin = if class.is_some() { Origin::Agent } else { Origin::Provider };
    if error.name.is_some() && !is_vague(error.name.as_str()) {
        codes.push(Cow::Owned(error.name.as_str().to_owned()));
    }
    let text = [data.message, error.message, error.name].into_iter().find(Loose::is_some);
    let delay = data.headers.0.as_ref().and_then(Headers::delay);
    Failure {
        status: data.status.http_status(),
        codes,
        class,
        retry_at: time.zip(delay).map(|(time, delay)| time.plus_millis(delay)),
        ..Failure::new(origin, text.unwrap_or_default().text())
    }
}

impl Headers<'_> {
    /// The wait that the server asks for, in milliseconds.
    fn delay(&self) -> Option<i64> {
        let seconds = match self.millis.as_str().parse::<f64>() {
            Ok(millis) => millis / 1e3,
            Err(_) => self.seconds.as_str().parse().ok()?,
        };
        (0.0..MAX_DELAY_SECONDS).contains(&seconds).then_some((seconds * 1e3) as i64)
    }
}

fn usage(tokens: Option<Tokens>, cost: Number) -> Option<Usage<'static>> {
    let tokens = tokens?;
    let (read, write) = match tokens.cache.0 {
        Some(cache) => (cache.read.count(), cache.write.count()),
        None => (None, None),
    };
    let input = tokens.input.count();
    // Whether the output includes the reasoning differs between versions; the total tells.
    let spelled = tokens.output.count().map(|output| output.saturating_add(tokens.reasoning.count().unwrap_or(0)));
    let rest = [input, read, write].into_iter().flatten().fold(0, u64::saturating_add);
    let output = tokens.total.count().filter(|total| *total > rest).map(|total| total - rest);
    Some(Usage {
        scope: UsageScope::Request,
        input_tokens: input,
        output_tokens: spelled.and(output).or(spelled),
        cache_read_tokens: read,
        cache_creation_tokens: write,
        cost_usd: cost.0.filter(|cost| *cost >= 0.0),
        ..Usage::default()
    })
}

// ---------------------------------------------------------------- the log

/// Whether nobody else writes such a line.
fn is_banner(line: &str) -> bool {
    let ours = line.contains(" level=ERROR run=") || BANNERS.iter().any(|words| line.contains(words));
    ours && LogLine::read(line).is_some()
}

/// A line of the log: `timestamp=… level=… run=… message=…`, then fields of its own.
#[derive(Default)]
struct LogLine<'a> {
    time: Option<Timestamp>,
    level: Cow<'a, str>,
    message: Cow<'a, str>,
    error: Option<Cow<'a, str>>,
    stack: Option<Cow<'a, str>>,
    session: Option<Cow<'a, str>>,
    agent: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    directory: Option<Cow<'a, str>>,
    small: bool,
}

impl<'a> LogLine<'a> {
    fn read(line: &'a str) -> Option<Self> {
        if !line.starts_with("timestamp=") {
            return None;
        }
        let mut read = Self::default();
        let mut run = false;
        for (key, value) in (Fields { rest: line }) {
            match key {
                "timestamp" => read.time = Timestamp::parse_rfc3339(&value),
                "level" => read.level = value,
                "run" => run = true,
                "message" => read.message = value,
                "error.error" => read.error = Some(value),
                "error" if read.error.is_none() => read.error = Some(value),
                "stack" => read.stack = Some(value),
                "session.id" => read.session = Some(value),
                "id" if value.starts_with(SESSION) => read.session = Some(value),
                "agent" => read.agent = Some(value),
                "modelID" => read.model = Some(value),
                "directory" => read.directory = Some(value),
                "small" => read.small = value == "true",
                _ => {}
            }
        }
        (run && read.time.is_some() && !read.level.is_empty() && !read.message.is_empty()).then_some(read)
    }

    fn tell(self, out: &mut dyn FnMut(Record<'_>)) {
        let other = Body::Lifecycle(Lifecycle::Other);
        let body = match (&*self.level, &*self.message) {
            ("ERROR", _) => self.failure().map_or(other, Body::Failure),
            ("INFO", "created") => Body::Lifecycle(Lifecycle::Started {
                cwd: self.directory.as_deref().map(Cow::Borrowed),
                model: None,
            }),
            ("INFO", "stream") if !self.small => Body::Lifecycle(Lifecycle::Started {
                cwd: None,
                model: self.model.as_deref().map(Cow::Borrowed),
            }),
            _ => other,
        };
        // Titles and summaries are asked for beside the conversation.
        let aside = self.small && matches!(body, Body::Failure(_));
        let subagent = self.agent.as_deref().filter(|_| aside).map(Cow::Borrowed);
        let session = self.session.as_deref().filter(|id| id.starts_with(SESSION)).map(Cow::Borrowed);
        out(Record { time: self.time, session, subagent, ..Record::new(body) });
    }

    /// The failure that an error line tells: a request's, by the SDK's name or by the place that logs it.
    fn failure(&self) -> Option<Failure<'_>> {
        let error = self.error.as_deref().filter(|error| !error.is_empty())?;
        let name = [Some(error), self.stack.as_deref()].into_iter().flatten().find_map(error_name);
        let request = matches!(&*self.message, "stream error" | "process");
        if !request && !name.is_some_and(|name| name.starts_with("AI_")) {
            return None;
        }
        let aborted = matches!(name, Some("AbortError" | "MessageAbortedError"));
        Some(Failure {
            class: aborted.then_some(Class::Interrupted),
            codes: name.filter(|name| !is_vague(name)).map(Cow::Borrowed).into_iter().collect(),
            // The processor logs what it cannot go on after.
            ends: self.message == "process",
            ..Failure::new(if aborted { Origin::Agent } else { Origin::Provider }, error)
        })
    }
}

/// The name that an error's text begins with.
fn error_name(text: &str) -> Option<&str> {
    let (name, _) = text.split_once(": ")?;
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (word && name.ends_with("Error")).then_some(name)
}

/// The `key=value` pairs of a log line; values with spaces are JSON strings.
struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = self.rest.trim_start().split_once('=')?;
        if key.is_empty() || key.contains([' ', '"']) {
            return None;
        }
        if rest.starts_with('"') {
            let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<Loose<'a>>();
            let value = strings.next()?.ok()?;
            self.rest = rest.get(strings.byte_offset()..)?;
            return Some((key, value.text()));
        }
        let (value, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        self.rest = rest;
        Some((key, Cow::Borrowed(value)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claude::told::{everything, frame, story, text_story};
    use super::super::FORMATS;
    use super::*;

    const LIMIT: &str = include_str!("../../../fixtures/transcripts/opencode/free_usage_limit/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/opencode/clean_run/input.jsonl");
    const SERVER: &str = include_str!("../../../fixtures/transcripts/opencode/server_retries/input.jsonl");
    const LOG: &str = include_str!("../../../fixtures/transcripts/opencode/log_rate_limit/input.log");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_limit_is_told_by_the_error_event_and_its_body() {
        assert_eq!(
            told(LIMIT),
            [
                "Assistant: I will list the files.",
                "call call_a1 bash {\"command\":\"ls\"}",
                "result call_a1 fine exit 0: notes.txt\n",
                "provider failure 429 [FreeUsageLimitError] until 2026-11-20T07:05:09.000Z ends: Too Many Requests",
            ]
        );
    }

    #[test]
    fn a_good_run_has_no_failures_whatever_its_tools_print() {
        assert_eq!(
            told(CLEAN),
            [
                "call call_b1 webfetch {\"url\":\"https://status.example\"}",
                "result call_b1 failed: Request failed with status code: 503",
                "call call_b2 bash {\"command\":\"grep -c 'rate limit' app.log\"}",
                "result call_b2 fine exit 1: 0 lines with: rate limit exceeded, 429\n",
                "Assistant: The status page says 503, and the log never mentions a rate limit.",
                "TurnEnded",
            ]
        );
        let mut usage = everything(&FORMAT, &CLEAN.lines().collect::<Vec<_>>());
        usage.retain(|record| record.starts_with("usage"));
        assert_eq!(
            usage,
            [
                "usage Request in 700 out 60 read 0 written 300 window None cost 0.002",
                "usage Request in 12 out 45 read 1000 written 8 window None cost 0.001",
            ]
        );
    }

    #[test]
    fn errors_by_name() {
        let error = |error: &str| {
            format!(r#"{{"type":"error","timestamp":1795150800000,"sessionID":"ses_01","error":{error}}}"#)
        };
        for (json, expected) in [
            (
                r#"{"name":"ContextOverflowError","data":{"message":"Too much.","responseBody":"{\"error\": {\"code\": \"context_length_exceeded\", \"type\": \"invalid_request_error\"}}"}}"#,
                "provider failure [context_length_exceeded invalid_request_error ContextOverflowError] ends: Too much.",
            ),
            (r#"{"name":"MessageAbortedError","data":{"message":"Aborted"}}"#, "agent failure [MessageAbortedError] is interrupted ends: Aborted"),
            (r#"{"name":"ProviderAuthError","data":{"providerID":"p","message":"No key."}}"#, "provider failure [ProviderAuthError] ends: No key."),
            (r#"{"name":"MessageOutputLengthError","data":{}}"#, "provider failure [MessageOutputLengthError] ends: MessageOutputLengthError"),
            (r#"{"name":"UnknownError","data":{"message":"Model not found: a/b."}}"#, "provider failure [] ends: Model not found: a/b."),
            (
                r#"{"name":"APIError","data":{"message":"Wait","statusCode":429,"responseHeaders":{"retry-after-ms":"1500","retry-after":"2"},"responseBody":"<html>"}}"#,
                "provider failure 429 [] until 2026-11-20T05:00:01.500Z ends: Wait",
            ),
            (
                r#"{"name":"APIError","data":{"message":"Wait","statusCode":429,"responseHeaders":{"retry-after":"Fri, 20 Nov 2026 05:00:00 GMT"}}}"#,
                "provider failure 429 [] ends: Wait",
            ),
        ] {
            assert_eq!(story(&FORMAT, &[&error(json)]), [expected], "{json}");
        }
    }

    #[test]
    fn an_answer_cut_short_says_so_where_its_step_ends() {
        let step = |reason: &str| {
            format!(
                r#"{{"type":"step_finish","timestamp":1795150800000,"sessionID":"ses_01","part":{{"type":"step-finish","reason":"{reason}"}}}}"#
            )
        };
        for (reason, expected) in [
            ("stop", "TurnEnded"),
            ("length", "provider failure [] is output_limit ends: the answer was cut at its own maximum: length"),
            ("content-filter", "provider failure [] is content_policy ends: the answer was cut by a filter: content-filter"),
        ] {
            assert_eq!(story(&FORMAT, &[&step(reason)]), [expected]);
        }
        assert!(story(&FORMAT, &[&step("tool-calls")]).is_empty());
    }

    #[test]
    fn the_server_says_that_it_retries() {
        assert_eq!(
            told(SERVER),
            [
                "started Some(\"/home/dev/shop\") None",
                "TurnStarted",
                "provider failure [] retry 1/- in - until 2026-11-20T05:00:03.000Z: Provider is overloaded",
                "provider failure [] retry 2/- in - until 2026-11-20T05:00:09.000Z: Too Many Requests",
                "call call_c1 bash {\"command\":\"make\"}",
                "result call_c1 failed: 429",
                "agent failure [] is waiting_input: permission.asked",
                "Assistant: Done.",
                "Compacted",
            ]
        );
    }

    #[test]
    fn the_log_tells_what_standard_output_hides() {
        assert_eq!(
            text_story(&FORMAT, &LOG.lines().collect::<Vec<_>>()),
            [
                "started Some(\"/home/dev/shop\") None",
                "started None Some(\"big-model\")",
                "(title) provider failure []: AI_RetryError: Failed after 3 attempts. Last error: Slow down, please",
                "provider failure []: AI_APICallError: Rate limit reached for big-model. Try again in 2s.",
                "provider failure [] ends: Rate limit reached for big-model. Try again in 2s.",
                "agent failure [AbortError] is interrupted: AbortError: The operation was aborted.",
                "provider failure [AI_LoadAPIKeyError]: AI_LoadAPIKeyError: No key is set.",
            ]
        );
        let mut decoder = FORMAT.decoder();
        for line in [
            "", "timestamp=", "timestamp=x level=ERROR run=1 message=process error=AI_APICallError",
            "level=ERROR run=1 message=\"stream error\" error.error=\"AI_APICallError: x\"",
            "timestamp=2026-11-20T05:00:00Z level=ERROR message=\"stream error\" error.error=\"429\"",
            "> build · big-model", "The log says level=ERROR run=1 session.id=ses_01",
        ] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert_eq!(decoder.text(line, &mut |_| panic!("{line}")), Decoded::No);
        }
        for line in LOG.lines().filter(|line| is_banner(line)) {
            assert!(FORMAT.banners().iter().any(|banner| line.starts_with(banner)), "{line}");
        }
    }

    #[test]
    fn claims_its_own_and_only_its_own() {
        for line in [LIMIT, CLEAN, SERVER].iter().flat_map(|text| text.lines()) {
            let first = FORMATS.iter().find(|format| format.recognise(frame(line.as_bytes())));
            assert_eq!(first.map(|format| format.name()), Some("opencode"), "{line}");
        }
        assert!(FORMAT.recognise(frame(LOG.lines().next().unwrap().as_bytes())));
        for line in [
            r#"{"type":"error","timestamp":1795150800000,"sessionID":"0001","error":{"name":"APIError"}}"#,
            r#"{"type":"error","timestamp":1795150800000,"sessionID":"ses_01"}"#,
            r#"{"type":"text","sessionID":"ses_01","part":{"type":"text"}}"#,
            r#"{"type":"tool_use","timestamp":"2026-11-20T05:00:00Z","tool_name":"x","tool_id":"ses_1"}"#,
            r#"{"type":"session.error","id":"e","parentId":null,"timestamp":"2026-11-20T05:00:00Z","data":{"message":"ses_1"}}"#,
            r#"{"type":"session.status","properties":{"sessionID":"other"}}"#,
            "{}", "{\"ses_", "[]",
        ] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert_eq!(FORMAT.decoder().json(frame(line.as_bytes()), &mut |_| panic!("{line}")), Decoded::No);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "\\PC{0,80}",
            line in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let lines: Vec<&str> = [LIMIT, CLEAN, SERVER, LOG].iter().flat_map(|text| text.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let cut = &line[..at.index(line.len() + 1)];
            let mut decoder = FORMAT.decoder();
            for bytes in [&bytes, cut, line] {
                FORMAT.recognise(frame(bytes));
                decoder.json(frame(bytes), &mut |_| {});
                decoder.text(&String::from_utf8_lossy(bytes), &mut |_| {});
            }
            decoder.text(&format!("timestamp=2026-11-20T05:00:00Z level=ERROR run=1 message={text} error={text}"), &mut |_| {});
        }
    }
}
