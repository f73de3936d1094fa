//! Codex: the events of `codex exec --json`, rollout files, and the human text of `codex exec`.
//!
//! Failures are read from `turn.failed`, the top-level `error` and, in rollouts, from a few `event_msg`
//! kinds only. Items and response items are content, whatever they quote. The human text has no such
//! fields: a small state machine keeps apart what the program says and what it shows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json::{self, object};
use super::loose::{Later, Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Quota, Retry, Role, ToolCall, ToolResult, Totals, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format of OpenAI's Codex CLI.
pub(super) static FORMAT: Codex = Codex;

/// Recognises Codex's streams and makes decoders for them.
pub(super) struct Codex;

impl Format for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let bytes = frame.bytes.trim_ascii_start();
        if !bytes.starts_with(b"{") {
            return recognise_text(bytes);
        }
        // A kind that nobody else uses stands near the front of every line but bare `error` ones.
        let head = &bytes[..bytes.len().min(RECOGNISE_BYTES)];
        if memchr::memmem::find(head, b"\"type\"").is_none()
            && memchr::memmem::find(head, b"\"record_type\"").is_none()
        {
            return false;
        }
        let Some(line) = parse(bytes) else { return false };
        let event = line.event.unwrap_or_default();
        match (line.kind.as_str(), &line.payload) {
            ("session_meta" | "turn_context" | "response_item" | "event_msg" | "compacted", Some(_))
            | ("world_state" | "token_usage_record", Some(_)) => line.timestamp.is_some(),
            ("thread.started", None) => event.thread_id.is_some(),
            ("turn.started" | "turn.completed" | "turn.failed", None) => true,
            ("item.started" | "item.updated" | "item.completed", None) => event.item.is_some(),
            ("error", None) => event.message.as_str().starts_with("Reconnecting... "),
            ("", None) => event.record_type.as_str() == "state",
            _ => false,
        }
    }

    fn own_notes(&self) -> &'static [&'static str] {
        &["<environment_context", "<user_instructions", "<permissions instructions", "# AGENTS.md instructions"]
    }

    fn banners(&self) -> &'static [&'static str] {
        &["openai codex v", "codex_", "functioncall: ", "toolcall: "]
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder::default())
    }
}

/// How far into a line its kind is looked for before the line is parsed to recognise it.
const RECOGNISE_BYTES: usize = 256;

/// How many calls that have begun are remembered; beyond that the oldest is forgotten, and its end is
/// then reported as a call and a result.
const OPEN_CALLS: usize = 64;

/// How many sessions, each copied from the next, are remembered.
const ANCESTORS: usize = 32;

/// What a decoder has to know of the lines before.
#[derive(Default)]
struct Decoder {
    /// Ids of items that began and did not end.
    open: VecDeque<String>,
    /// The tokens of the whole run at the last count: a count that is told twice is counted once.
    total: Option<Totals>,
    /// Whether there were records of responses since it was.
    recorded: bool,
    /// The model of the turns from here on.
    model: Option<Box<str>>,
    /// The sessions that this one is a copy of: what it repeats names them, and is still this one's.
    ancestors: Vec<Box<str>>,
    /// When the exhausted window with the latest reset opens again.
    resets_at: Option<Timestamp>,
    /// The limit that was last reported as reached, so that it is reported once.
    reached: Option<Box<str>>,
    /// Whether the current turn reported an error of its own.
    turn_failed: bool,
    /// Where in the human text we are.
    place: Place,
    /// Whether the banner had a time stamp: then all of the program's own lines have one.
    stamps: bool,
    /// Whether we are inside a code fence of prose.
    fence: bool,
    /// The last line if it was an `ERROR: ` line inside the output of a command.
    doubtful: Option<Box<str>>,
    /// Whether the lines of a log that have no time stamp belong to a call shown in it.
    log_call: bool,
}

/// Where in the human text of `codex exec` a line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// No banner was seen: the text is none of ours.
    #[default]
    Outside,
    /// After the banner, before the first rule.
    Banner,
    /// Between the rules: `key: value` lines.
    Header,
    /// After the second rule, before any header.
    Start,
    /// Under `user`.
    User,
    /// Under `codex` or `thinking`, and the final answer.
    Assistant,
    /// Right after `exec`: the command line.
    Command,
    /// The rest of a command of several lines, and its output.
    Output,
    /// Right after `tokens used`: the number.
    Tokens,
}

// ---------------------------------------------------------------- JSON

object! {
    /// The fields of the lines of a rollout, and `exec --json`'s behind them. What is absent or of another type is empty.
    struct Line<'a> {
        "type" => kind: Loose<'a>,
        "timestamp" => timestamp: Loose<'a>,
        "payload" => payload: Option<Payload<'a>>,
        else event: Event<'a>,
    }
}

object! {
    /// What `exec --json` says, and rollouts before the envelope: bare items, and a state marker.
    struct Event<'a> {
        "thread_id" => thread_id: Loose<'a>,
        "message" => message: Loose<'a>,
        "item" => item: Option<Item<'a>>,
        "usage" => usage: Option<&'a RawValue>,
        "error" => error: Option<&'a RawValue>,
        "record_type" => record_type: Loose<'a>,
    }
}

object! {
    /// The payload of a rollout line.
    struct Payload<'a> {
        "type" => kind: Loose<'a>,
        "id" => id: Loose<'a>,
        "cwd" => cwd: Loose<'a>,
        "model" => model: Loose<'a>,
        "role" => role: Loose<'a>,
        "content" => content: Later<'a>,
        "summary" => summary: Later<'a>,
        "name" => name: Loose<'a>,
        "call_id" => call_id: Loose<'a>,
        "arguments" => arguments: Later<'a>,
        "input" => input: Later<'a>,
        "output" => output: Later<'a>,
        "action" => action: Option<&'a RawValue>,
        "message" => message: Later<'a>,
        "additional_details" => additional_details: Loose<'a>,
        "reason" => reason: Loose<'a>,
        "error" => error: Option<&'a RawValue>,
        "codex_error_info" => codex_error_info: Option<&'a RawValue>,
        "info" => info: Option<&'a RawValue>,
        "rate_limits" => rate_limits: Option<&'a RawValue>,
        "forked_from_id" => forked_from_id: Loose<'a>,
        "parent_thread_id" => parent_thread_id: Loose<'a>,
        "source" => source: Option<&'a RawValue>,
        "response_id" => response_id: Loose<'a>,
        "usage" => usage: Option<&'a RawValue>,
    }
}

/// Who started a session, where it was no person.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Origins<'a> {
    subagent: Option<&'a RawValue>,
}

/// How a sub-agent was started.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Subagent<'a> {
    thread_spawn: Option<&'a RawValue>,
}

/// By which thread.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Spawn<'a> {
    parent_thread_id: Loose<'a>,
}

impl<'a> Origins<'a> {
    /// The thread that started it.
    fn parent(self) -> Loose<'a> {
        let subagent = parse_raw::<Subagent<'_>>(self.subagent);
        let spawn = subagent.and_then(|subagent| parse_raw::<Spawn<'_>>(subagent.thread_spawn));
        spawn.unwrap_or_default().parent_thread_id
    }
}

object! {
    /// The item of an `item.*` event.
    struct Item<'a> {
        "id" => id: Loose<'a>,
        "type" => kind: Loose<'a>,
        "text" => text: Later<'a>,
        "status" => status: Loose<'a>,
        "command" => command: Later<'a>,
        "aggregated_output" => aggregated_output: Later<'a>,
        "exit_code" => exit_code: Number,
        "server" => server: Loose<'a>,
        "tool" => tool: Loose<'a>,
        "arguments" => arguments: Option<&'a RawValue>,
        "result" => result: Later<'a>,
        "error" => error: Option<&'a RawValue>,
        "changes" => changes: Option<&'a RawValue>,
        "query" => query: Later<'a>,
        "prompt" => prompt: Later<'a>,
    }
}

/// An error object, of `turn.failed` and of a failed `task_complete`.
#[derive(Default, Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow, default)]
    message: Loose<'a>,
    #[serde(borrow, default)]
    codex_error_info: Option<&'a RawValue>,
}

/// Token counts; `input_tokens` includes the cached ones.
#[derive(Clone, Copy, Default, Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: Number,
    #[serde(default)]
    cached_input_tokens: Number,
    #[serde(default)]
    cache_write_input_tokens: Number,
    #[serde(default)]
    output_tokens: Number,
}

impl Tokens {
    fn usage(self, scope: UsageScope, context_limit: Option<u64>) -> Usage<'static> {
        let read = self.cached_input_tokens.count();
        let written = self.cache_write_input_tokens.count();
        Usage {
            scope,
            input_tokens: self
                .input_tokens
                .count()
                .map(|all| all.saturating_sub(read.unwrap_or(0)).saturating_sub(written.unwrap_or(0))),
            output_tokens: self.output_tokens.count(),
            cache_read_tokens: read,
            cache_creation_tokens: written,
            context_limit,
            ..Usage::default()
        }
    }

    fn totals(self) -> Totals {
        let usage = self.usage(UsageScope::Run, None);
        Totals {
            input: usage.input_tokens.unwrap_or(0),
            output: usage.output_tokens.unwrap_or(0),
            cache_read: usage.cache_read_tokens.unwrap_or(0),
            cache_creation: usage.cache_creation_tokens.unwrap_or(0),
        }
    }
}

/// `token_count.info`.
#[derive(Deserialize)]
struct TokenInfo {
    #[serde(default)]
    total_token_usage: Option<Tokens>,
    #[serde(default)]
    last_token_usage: Option<Tokens>,
    #[serde(default)]
    model_context_window: Number,
}

/// `token_count.rate_limits`.
#[derive(Deserialize)]
struct RateLimits<'a> {
    #[serde(default)]
    primary: Option<Window>,
    #[serde(default)]
    secondary: Option<Window>,
    #[serde(borrow, default)]
    rate_limit_reached_type: Loose<'a>,
}

/// One subscription window. Which of the two is the short one differs between plans.
#[derive(Clone, Copy, Deserialize)]
struct Window {
    #[serde(default)]
    used_percent: Number,
    #[serde(default)]
    window_minutes: Number,
    #[serde(default)]
    resets_at: Number,
    /// Older versions say the distance instead of the time.
    #[serde(default)]
    resets_in_seconds: Number,
}

impl Window {
    /// What it says of itself; which of the two it is, only its length tells.
    fn quota(self, now: Option<Timestamp>) -> Option<Quota> {
        let minutes = self.window_minutes.count().filter(|minutes| *minutes > 0)?;
        let used_pct = self.used_percent.0.filter(|percent| *percent >= 0.0);
        Some(Quota { minutes, used_pct, resets_at: self.resets(now) })
    }

    fn resets(self, now: Option<Timestamp>) -> Option<Timestamp> {
        let at = self.resets_at.0.and_then(Timestamp::from_epoch_guess);
        at.or_else(|| Some(now?.plus_seconds(self.resets_in_seconds.whole()?)))
    }

    /// When it opens again, if it is used up; `None` inside if it does not say.
    fn exhausted(self, now: Option<Timestamp>) -> Option<Option<Timestamp>> {
        self.used_percent.0.filter(|percent| *percent >= 100.0)?;
        Some(self.resets(now))
    }
}

/// The JSON that a command's answer is wrapped in by versions that answer in JSON.
#[derive(Deserialize)]
struct CommandOutput<'a> {
    #[serde(borrow, default)]
    output: Later<'a>,
    #[serde(default)]
    metadata: Option<OutputMetadata>,
}

#[derive(Deserialize)]
struct OutputMetadata {
    #[serde(default)]
    exit_code: Number,
}

/// What a struct variant of `codex_error_info` holds.
#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    http_status_code: Number,
}

fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    json::read(json::utf8(bytes)?).ok()
}

fn parse_raw<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    json::from_str(raw?.get()).ok()
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some(line) = parse(frame.bytes) else { return Decoded::No };
        self.log_call = false;
        let time = line.timestamp.0.as_deref().and_then(Timestamp::parse_rfc3339);
        let mut say = |body: Body<'_>| out(Record { time, ..Record::new(body) });
        if let Some(payload) = line.payload {
            return self.rollout(line.kind.as_str(), payload, time, out);
        }
        let event = *line.event.unwrap_or_default();
        match line.kind.as_str() {
            "thread.started" => out(Record {
                time,
                session: event.thread_id.0,
                ..Record::new(Body::Lifecycle(Lifecycle::Started { cwd: None, model: None }))
            }),
            "turn.started" => {
                self.turn_failed = false;
                say(Body::Lifecycle(Lifecycle::TurnStarted));
            }
            "turn.completed" => {
                if let Some(tokens) = parse_raw::<Tokens>(event.usage) {
                    say(Body::Usage(Usage { model: self.model.as_deref(), ..tokens.usage(UsageScope::Turn, None) }));
                }
                say(Body::Lifecycle(Lifecycle::TurnEnded));
            }
            "turn.failed" => {
                let error = parse_raw::<ErrorBody<'_>>(event.error).unwrap_or_default();
                let mut failure = self.failure(error.message.text(), error.codex_error_info, time);
                failure.ends = true;
                say(Body::Failure(failure));
            }
            "error" if event.message.0.is_some() && event.error.is_none() => {
                say(Body::Failure(self.failure(event.message.text(), None, time)));
            }
            "item.started" | "item.updated" | "item.completed" => {
                let Some(item) = event.item else { return Decoded::No };
                self.item(line.kind.as_str(), item, &mut say);
            }
            "message" | "reasoning" | "function_call" | "function_call_output" | "custom_tool_call"
            | "custom_tool_call_output" | "local_shell_call" | "web_search_call" => {
                // A rollout from before the envelope: the line is what is now the payload.
                let Some(item) = json::utf8(frame.bytes)
                    .and_then(|text| json::read::<Payload<'_>>(text).ok())
                    .filter(|item| {
                        item.call_id.is_some() || item.role.is_some() || item.kind.as_str() == "reasoning"
                    })
                else {
                    return Decoded::No;
                };
                response_item(item, &mut say);
            }
            "" if event.record_type.as_str() == "state" => say(Body::Lifecycle(Lifecycle::Other)),
            _ => return Decoded::No,
        }
        Decoded::Yes
    }

    fn text(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if let (Place::Header, Some(id)) = (self.place, line.strip_prefix("session id: ")) {
            let started = Lifecycle::Started { cwd: None, model: None };
            let session = Some(Cow::Borrowed(id.trim()));
            out(Record { session, ..Record::new(Body::Lifecycle(started)) });
            return Decoded::Yes;
        }
        self.human(line, &mut |body| out(Record::new(body)))
    }
}

impl Decoder {
    /// A line of a rollout.
    fn rollout(
        &mut self,
        kind: &str,
        payload: Payload<'_>,
        time: Option<Timestamp>,
        out: &mut dyn FnMut(Record<'_>),
    ) -> Decoded {
        let mut say = |body: Body<'_>| out(Record { time, ..Record::new(body) });
        match kind {
            "session_meta" => self.session_meta(payload, time, out),
            "turn_context" => {
                self.runs_on(&payload.model);
                say(Body::Lifecycle(Lifecycle::Started { cwd: payload.cwd.0, model: payload.model.0 }));
            }
            "response_item" => {
                if payload.kind.as_str() == "message" && payload.role.as_str() == "assistant" {
                    self.turn_failed = false; // it went on after all
                }
                response_item(payload, &mut say);
            }
            "event_msg" => self.event(payload, time, &mut say),
            "compacted" => say(Body::Lifecycle(Lifecycle::Compacted)),
            "token_usage_record" => self.usage_record(&payload, &mut say),
            _ => say(Body::Lifecycle(Lifecycle::Other)),
        }
        Decoded::Yes
    }

    fn runs_on(&mut self, model: &Loose<'_>) {
        if model.is_some() && self.model.as_deref() != Some(model.as_str()) {
            self.model = Some(model.as_str().into());
        }
    }

    /// Who the session is. A copy of another session repeats who that was.
    fn session_meta(&mut self, payload: Payload<'_>, time: Option<Timestamp>, out: &mut dyn FnMut(Record<'_>)) {
        let repeated = self.ancestors.iter().any(|id| **id == *payload.id.as_str());
        let spawned = parse_raw::<Origins<'_>>(payload.source).unwrap_or_default().parent();
        let from = [payload.forked_from_id, payload.parent_thread_id, spawned]
            .into_iter()
            .find(Loose::is_some)
            .filter(|id| id.as_str() != payload.id.as_str());
        if !repeated {
            self.ancestors.clear();
        }
        if let Some(from) = from.as_ref().filter(|_| self.ancestors.len() < ANCESTORS) {
            self.ancestors.push(from.as_str().into());
        }
        if repeated {
            return out(Record { time, ..Record::new(Body::Lifecycle(Lifecycle::Other)) });
        }
        self.runs_on(&payload.model);
        (self.total, self.recorded) = (None, false);
        let session = payload.id.0;
        out(Record {
            time,
            session: session.clone(),
            ..Record::new(Body::Lifecycle(Lifecycle::Started { cwd: payload.cwd.0, model: payload.model.0 }))
        });
        if let Some(from) = from {
            out(Record { time, session, ..Record::new(Body::Lifecycle(Lifecycle::Forked { from: from.text() })) });
        }
    }

    /// An `event_msg`. Messages and the ends of commands are repeated as response items and skipped here.
    fn event(&mut self, payload: Payload<'_>, time: Option<Timestamp>, say: &mut dyn FnMut(Body<'_>)) {
        match payload.kind.as_str() {
            "task_started" | "turn_started" => {
                self.turn_failed = false;
                say(Body::Lifecycle(Lifecycle::TurnStarted));
            }
            "task_complete" | "turn_complete" => match parse_raw::<ErrorBody<'_>>(payload.error) {
                Some(error) => {
                    let mut failure = self.failure(error.message.text(), error.codex_error_info, time);
                    failure.ends = true;
                    say(Body::Failure(failure));
                }
                // Versions that say the error in an event of its own end the turn without one.
                None if std::mem::take(&mut self.turn_failed) => say(Body::Lifecycle(Lifecycle::Other)),
                None => say(Body::Lifecycle(Lifecycle::TurnEnded)),
            },
            "turn_aborted" => {
                let reason = payload.reason.text();
                let class =
                    matches!(&*reason, "" | "interrupted" | "replaced").then_some(Class::Interrupted);
                if reason == "review_ended" {
                    return say(Body::Lifecycle(Lifecycle::TurnEnded));
                }
                let codes = if reason.is_empty() { Vec::new() } else { vec![reason.clone()] };
                let text = if reason.is_empty() { Cow::Borrowed("turn aborted") } else { reason };
                say(Body::Failure(Failure { class, codes, ends: true, ..Failure::new(Origin::Agent, text) }));
            }
            "error" => {
                let failure = self.failure(payload.message.read(), payload.codex_error_info, time);
                self.turn_failed |= failure.retry.is_none();
                say(Body::Failure(failure));
            }
            "stream_error" => {
                let mut failure = self.failure(payload.message.read(), payload.codex_error_info, time);
                failure.retry.get_or_insert_default();
                if failure.text.starts_with("Reconnecting") && payload.additional_details.is_some() {
                    failure.text = payload.additional_details.text();
                }
                say(Body::Failure(failure));
            }
            "exec_approval_request" | "apply_patch_approval_request" | "elicitation_request"
            | "request_user_input" => say(Body::Failure(Failure {
                class: Some(Class::WaitingInput),
                ..Failure::new(Origin::Agent, payload.kind.text())
            })),
            // They are skipped as messages and calls, and say that an approval was given or a prompt typed.
            "user_message" | "exec_command_begin" | "patch_apply_begin" => {
                say(Body::Lifecycle(Lifecycle::Answered));
            }
            "token_count" => self.token_count(payload.info, payload.rate_limits, time, say),
            _ => say(Body::Lifecycle(Lifecycle::Other)),
        }
    }

    /// The tokens of one response, which the next count tells again as part of its totals. There may be none: for a compaction,
    /// or where the agent was ended.
    fn usage_record(&mut self, payload: &Payload<'_>, say: &mut dyn FnMut(Body<'_>)) {
        let response = Some(payload.response_id.as_str()).filter(|id| !id.is_empty());
        let (Some(message), Some(tokens)) = (response, parse_raw::<Tokens>(payload.usage)) else {
            return say(Body::Lifecycle(Lifecycle::Other));
        };
        self.recorded = true;
        let (message, model) = (Some(message), self.model.as_deref());
        say(Body::Usage(Usage { message, model, ..tokens.usage(UsageScope::Request, None) }));
    }

    /// Tokens, and the state of the subscription's windows.
    fn token_count(
        &mut self,
        info: Option<&RawValue>,
        limits: Option<&RawValue>,
        time: Option<Timestamp>,
        say: &mut dyn FnMut(Body<'_>),
    ) {
        let mut silent = true;
        if let Some(limits) = parse_raw::<RateLimits<'_>>(limits) {
            let windows = [limits.primary, limits.secondary];
            if windows.iter().any(Option::is_some) {
                let exhausted = windows.into_iter().flatten().filter_map(|window| window.exhausted(time));
                self.resets_at = exhausted.max().flatten();
            }
            for quota in windows.into_iter().flatten().filter_map(|window| window.quota(time)) {
                say(Body::Quota(quota));
                silent = false;
            }
            let reached = limits.rate_limit_reached_type;
            if !reached.is_some() {
                self.reached = None;
            } else if self.reached.as_deref() != Some(reached.as_str()) {
                self.reached = Some(reached.as_str().into());
                let code = reached.text();
                say(Body::Failure(Failure {
                    codes: vec![code.clone()],
                    retry_at: self.resets_at,
                    ..Failure::new(Origin::Provider, code)
                }));
                silent = false;
            }
        }
        if let Some(info) = parse_raw::<TokenInfo>(info) {
            let totals = info.total_token_usage.map(Tokens::totals);
            let news = totals.is_none() || totals != self.total;
            self.total = totals;
            let last = info.last_token_usage.or(info.total_token_usage.map(|_| Tokens::default()));
            if let Some(last) = last.filter(|_| news) {
                let limit = info.model_context_window.count();
                let model = self.model.as_deref();
                // What was told response by response is not told again.
                let told = std::mem::take(&mut self.recorded);
                let figures = if told { Tokens::default() } else { last };
                say(Body::Usage(Usage { model, totals, told, ..figures.usage(UsageScope::Request, limit) }));
                silent = false;
            }
        }
        if silent {
            say(Body::Lifecycle(Lifecycle::Other));
        }
    }

    /// A failure from its message and `codex_error_info`; a retry notice if the message is one.
    fn failure<'a>(
        &self,
        message: Cow<'a, str>,
        info: Option<&'a RawValue>,
        time: Option<Timestamp>,
    ) -> Failure<'a> {
        let (text, retry) = retry_notice(message);
        let mut failure = Failure { retry, ..Failure::new(Origin::Provider, text) };
        error_info(info, &mut failure);
        let about_window = failure.codes.iter().any(|code| code == "usage_limit_exceeded")
            || failure.text.contains("usage limit");
        if about_window && failure.retry.is_none() {
            failure.retry_at = self.resets_at.filter(|at| time.is_none_or(|time| *at > time));
        }
        failure
    }

    /// An `item.*` event: content, whatever its words.
    fn item(&mut self, kind: &str, item: Item<'_>, say: &mut dyn FnMut(Body<'_>)) {
        let (started, completed) = (kind == "item.started", kind == "item.completed");
        let call = match item.kind.as_str() {
            "agent_message" | "reasoning" if completed => {
                return say(Body::Message(Message { role: Role::Assistant, text: item.text.text() }));
            }
            "command_execution" => (Cow::Borrowed("command_execution"), item.command.text()),
            "file_change" => (Cow::Borrowed("file_change"), raw_text(item.changes).into()),
            "web_search" => (Cow::Borrowed("web_search"), item.query.text()),
            "mcp_tool_call" => (
                Cow::Owned(format!("{}.{}", item.server.as_str(), item.tool.as_str())),
                raw_text(item.arguments).into(),
            ),
            "collab_tool_call" => (item.tool.text(), item.prompt.text()),
            _ => return say(Body::Lifecycle(Lifecycle::Other)),
        };
        let id = item.id.text();
        let known = self.open.iter().position(|open| **open == *id);
        if !started && !completed {
            return say(Body::Lifecycle(Lifecycle::Other));
        }
        if known.is_none() {
            let (name, input) = call;
            say(Body::ToolCall(ToolCall { id: id.clone(), name, input }));
        }
        if started {
            if known.is_none() {
                if self.open.len() == OPEN_CALLS {
                    self.open.pop_front();
                }
                self.open.push_back(id.into_owned());
            }
            return;
        }
        if let Some(at) = known {
            self.open.remove(at);
        }
        let exit_code = item.exit_code.whole();
        let error = parse_raw::<ErrorBody<'_>>(item.error);
        let failed = matches!(item.status.as_str(), "failed" | "declined")
            || exit_code.is_some_and(|code| code != 0)
            || error.is_some();
        let text = match error {
            Some(error) if error.message.is_some() => error.message.text().into(),
            _ if item.aggregated_output.is_some() => item.aggregated_output.text(),
            _ => item.result.text(),
        };
        say(Body::ToolResult(ToolResult { id, failed, exit_code, text }));
    }
}

/// A `response_item`: content, whatever its words.
fn response_item(item: Payload<'_>, say: &mut dyn FnMut(Body<'_>)) {
    match item.kind.as_str() {
        "message" => {
            let role = if item.role.as_str() == "assistant" { Role::Assistant } else { Role::User };
            say(Body::Message(Message { role, text: item.content.text() }));
        }
        "reasoning" if item.summary.is_some() => {
            say(Body::Message(Message { role: Role::Assistant, text: item.summary.text() }));
        }
        "function_call" => say(Body::ToolCall(ToolCall {
            id: item.call_id.text(),
            name: item.name.text(),
            input: item.arguments.text(),
        })),
        "custom_tool_call" => say(Body::ToolCall(ToolCall {
            id: item.call_id.text(),
            name: item.name.text(),
            input: item.input.text(),
        })),
        "local_shell_call" | "web_search_call" => {
            let name = match item.kind.as_str() {
                "local_shell_call" => "local_shell",
                _ => "web_search",
            };
            let id = if item.call_id.is_some() { item.call_id } else { item.id };
            say(Body::ToolCall(ToolCall {
                id: id.text(),
                name: Cow::Borrowed(name),
                input: raw_text(item.action).into(),
            }));
        }
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            let id = item.call_id.text();
            let wrapped = wrapped_json(item.output.notation()).then(|| item.output.read());
            if let Some(inner) = wrapped.as_deref().and_then(json_output) {
                let exit_code = inner.metadata.and_then(|metadata| metadata.exit_code.whole());
                let failed = exit_code.is_some_and(|code| code != 0);
                say(Body::ToolResult(ToolResult { id, failed, exit_code, text: inner.output.text() }));
            } else {
                let (failed, exit_code) = outcome(item.output);
                say(Body::ToolResult(ToolResult { id, failed, exit_code, text: item.output.text() }));
            }
        }
        _ => say(Body::Lifecycle(Lifecycle::Other)),
    }
}

/// The wrapped form of a command's answer, if it is one.
fn json_output(output: &str) -> Option<CommandOutput<'_>> {
    if !output.starts_with('{') {
        return None;
    }
    json::from_str(output).ok().filter(|inner: &CommandOutput<'_>| inner.metadata.is_some())
}

/// Whether the notation may be that of a string that holds JSON.
fn wrapped_json(notation: &str) -> bool {
    !notation.starts_with('"') || notation.starts_with("\"{") || notation.starts_with("\"\\u")
}

/// Whether an answer reports a failure, and the exit status that it reports. Its first words say so: the rest is read
/// only where they are too few.
fn outcome(output: Later<'_>) -> (bool, Option<i64>) {
    const HEAD_BYTES: usize = 512;
    let (head, whole) =
        json::string_head(output.notation(), HEAD_BYTES).unwrap_or_else(|| (output.read(), true));
    let exit_code = exit_code(&head, whole).unwrap_or_else(|| exit_code(&output.read(), true).flatten());
    (exit_code.map_or_else(|| refused(&head), |code| code != 0), exit_code)
}

/// The exit status in the few lines that newer versions put before a command's output. `None` if that cannot be told
/// from a text that is not the whole.
fn exit_code(output: &str, whole: bool) -> Option<Option<i64>> {
    const HEAD_LINES: usize = 6;
    let end = if whole { output.len() } else { output.rfind('\n')? };
    let mut lines = output[..end].lines();
    for _ in 0..HEAD_LINES {
        let Some(line) = lines.next() else { return whole.then_some(None) };
        for prefix in ["Exit code: ", "Process exited with code "] {
            if let Some(code) = line.strip_prefix(prefix) {
                return Some(code.trim().parse().ok());
            }
        }
        if line.starts_with("Output:") {
            break;
        }
    }
    Some(None)
}

/// Whether the answer is Codex's own word that it did not run the tool.
fn refused(output: &str) -> bool {
    const BEGINNINGS: [&str; 6] = [
        "failed to parse function arguments",
        "unsupported call: ",
        "unsupported custom tool call: ",
        "failed in sandbox ",
        "apply_patch verification failed",
        "execution error: ",
    ];
    BEGINNINGS.iter().any(|beginning| output.starts_with(beginning))
}

fn raw_text(raw: Option<&RawValue>) -> Cow<'_, str> {
    Cow::Borrowed(raw.map_or("", RawValue::get))
}

/// Puts what `codex_error_info` says into the failure: a name, or an object of one name with a status.
fn error_info<'a>(info: Option<&'a RawValue>, failure: &mut Failure<'a>) {
    let Some(info) = info else { return };
    if let Ok(Loose(Some(code))) = json::from_str::<Loose<'_>>(info.get()) {
        if code != "other" {
            failure.codes.push(code);
        }
    } else if let Ok(variant) = json::from_str::<BTreeMap<Cow<'_, str>, Option<ErrorDetail>>>(info.get())
    {
        for (code, detail) in variant {
            failure.status = failure.status.or(detail.and_then(|detail| detail.http_status_code.http_status()));
            if code != "other" {
                failure.codes.push(code);
            }
        }
    }
}

/// Takes a retry notice apart; other messages come back as they are.
fn retry_notice(message: Cow<'_, str>) -> (Cow<'_, str>, Option<Retry>) {
    let found = split_retry(&message).map(|(reason, retry)| {
        // The reason is a part of the message: find it again by its place, so that it can be borrowed.
        let start = reason.as_ptr() as usize - message.as_ptr() as usize;
        (start..start + reason.len(), retry)
    });
    match (found, message) {
        (None, message) => (message, None),
        (Some((range, retry)), Cow::Borrowed(text)) => (Cow::Borrowed(&text[range]), Some(retry)),
        (Some((range, retry)), Cow::Owned(text)) => (Cow::Owned(text[range].to_owned()), Some(retry)),
    }
}

fn split_retry(message: &str) -> Option<(&str, Retry)> {
    if let Some(rest) = message.strip_prefix("Reconnecting...") {
        let rest = rest.trim_start();
        let (counts, reason) = match rest.split_once('(') {
            Some((counts, reason)) => (counts.trim(), reason.strip_suffix(')').unwrap_or(reason)),
            None => (rest.trim(), message),
        };
        return Some((reason, attempts(counts)));
    }
    if message.starts_with("Falling back from WebSockets") {
        let reason = message.split_once(". ").map_or(message, |(_, reason)| reason);
        let reason = if reason.is_empty() { message } else { reason };
        return Some((reason, Retry::default()));
    }
    // Versions of 2025: `stream error: <reason>; retrying 1/5 in 203ms…`.
    let (reason, rest) = message.strip_prefix("stream error: ")?.rsplit_once("; retrying ")?;
    let (counts, delay) = rest.split_once(" in ").unwrap_or((rest, ""));
    Some((reason, Retry { delay_ms: duration_ms(delay), ..attempts(counts) }))
}

fn attempts(counts: &str) -> Retry {
    let (attempt, max) = counts.split_once('/').unwrap_or((counts, ""));
    Retry { attempt: attempt.trim().parse().ok(), max_attempts: max.trim().parse().ok(), delay_ms: None }
}

fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(['.', '…', ' ']);
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok();
    }
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (0.0..1e9).contains(&seconds).then_some((seconds * 1e3) as u64)
}

// ---------------------------------------------------------------- human text

const BANNER: &str = "OpenAI Codex v";
const RULE: &str = "--------";

fn recognise_text(bytes: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(bytes) else { return false };
    match stamped(line).unwrap_or(line).strip_prefix(BANNER) {
        Some(version) => version.starts_with(|digit: char| digit.is_ascii_digit()),
        None => log_line(line).is_some_and(|line| line.ours),
    }
}

/// A line of Codex's own log: on stderr with `--json`, and in `codex-tui.log`.
struct LogLine<'a> {
    /// Whether its words leave no doubt that Codex wrote it.
    ours: bool,
    /// Whether it is about a tool that the model misused; the model was told.
    router: bool,
    /// The call that it shows: name and arguments.
    call: Option<(&'a str, &'a str)>,
}

/// Reads `<time>Z <LEVEL> <words>`.
fn log_line(line: &str) -> Option<LogLine<'_>> {
    let (time, rest) = line.split_once(' ')?;
    let bytes = time.as_bytes();
    if bytes.len() < 20 || bytes[10] != b'T' || bytes[bytes.len() - 1] != b'Z' || !bytes[0].is_ascii_digit() {
        return None;
    }
    let (level, words) = rest.trim_start().split_once(' ')?;
    if !matches!(level, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR") {
        return None;
    }
    let words = words.trim_start();
    let call = match words.split_once(": ") {
        Some(("FunctionCall", call)) => call.split_once('(').map(|(name, input)| {
            (name, input.strip_suffix(')').unwrap_or(input)) // the end may be lines away
        }),
        Some(("ToolCall", call)) => call.split_once(' '),
        _ => None,
    };
    let call = call.filter(|(name, _)| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        level == "INFO" && !name.is_empty() && name.bytes().all(word)
    });
    let target = words.starts_with("codex_");
    let router = words.starts_with("codex_core::tools::");
    Some(LogLine { ours: target || call.is_some(), router, call })
}

impl Decoder {
    /// A line that is not JSON.
    fn human(&mut self, line: &str, say: &mut dyn FnMut(Body<'_>)) -> Decoded {
        let own = stamped(line);
        if own.unwrap_or(line).starts_with(BANNER) {
            let (resets_at, stamps) = (self.resets_at, own.is_some());
            *self = Decoder { place: Place::Banner, resets_at, stamps, ..Decoder::default() };
            say(Body::Lifecycle(Lifecycle::Other));
            return Decoded::Yes;
        }
        let doubtful = self.doubtful.take();
        if self.place != Place::Output {
            if let Some(log) = log_line(line) {
                return self.log(log, say);
            }
            if self.log_call {
                return Decoded::Yes; // the rest of a call of several lines: content
            }
        }
        if self.place == Place::Outside {
            return Decoded::No;
        }
        if let Some(own) = own.filter(|_| self.stamps) {
            self.own_line(own, say);
            return Decoded::Yes;
        }
        if self.header(line, doubtful.as_deref(), say) {
            return Decoded::Yes;
        }
        match self.place {
            Place::Banner => {
                if line == RULE {
                    self.place = Place::Header;
                }
            }
            Place::Header => match line.split_once(": ") {
                _ if line == RULE => self.place = Place::Start,
                Some(("workdir", cwd)) => say(started(Some(cwd), None)),
                Some(("model", model)) => say(started(None, Some(model))),
                _ => {}
            },
            Place::Command => {
                say(exec_call(line));
                self.place = Place::Output;
            }
            Place::Output => self.output(line, doubtful.as_deref(), say),
            Place::Tokens => {
                self.place = Place::Assistant; // with both streams in one, the final answer follows
                say(Body::Lifecycle(Lifecycle::Other));
            }
            Place::Start | Place::User | Place::Assistant => self.prose(line, say),
            Place::Outside => return Decoded::No,
        }
        Decoded::Yes
    }

    /// A line with a time stamp in front, as versions of 2025 print all that is their own.
    fn own_line(&mut self, own: &str, say: &mut dyn FnMut(Body<'_>)) {
        if let Some(message) = own.strip_prefix("ERROR: ") {
            return self.error(message, say);
        }
        if split_retry(own).is_some() {
            return self.error(own, say);
        }
        self.place = match own.split_once(' ').unwrap_or((own, "")) {
            ("exec", command) if !command.is_empty() => {
                say(exec_call(command));
                Place::Output
            }
            ("User", "instructions:") => Place::User,
            ("codex" | "thinking", "") => Place::Assistant,
            ("tokens", _) if own.starts_with("tokens used") => {
                if !self.turn_failed {
                    say(Body::Lifecycle(Lifecycle::TurnEnded));
                }
                Place::Assistant
            }
            _ => Place::Output, // the end of a command, a patch, a tool: what follows is its output
        };
        self.fence = false;
    }

    /// A line that is nothing but the name of what follows.
    fn header(&mut self, line: &str, doubtful: Option<&str>, say: &mut dyn FnMut(Body<'_>)) -> bool {
        let place = match (line, self.place) {
            (_, Place::Banner | Place::Header) => return false,
            // Only the prompt of a run stands under it, so inside output it is a name that a command printed.
            ("user", Place::Start | Place::User | Place::Assistant) => Place::User,
            ("codex" | "thinking", _) => Place::Assistant,
            ("exec", _) => Place::Command,
            ("tokens used", _) => {
                // After output the model speaks; if the run ends there instead, the error was the run's own.
                if let Some(message) = doubtful {
                    self.error(message, say);
                }
                if !self.turn_failed {
                    say(Body::Lifecycle(Lifecycle::TurnEnded));
                }
                Place::Tokens
            }
            _ => return false,
        };
        self.place = place;
        self.fence = false;
        true
    }

    /// What a command printed: content. The lines before it say how it ended.
    fn output(&mut self, line: &str, doubtful: Option<&str>, say: &mut dyn FnMut(Body<'_>)) {
        if let Some(message) = line.strip_prefix("ERROR: ") {
            // Codex prints its last error twice, with nothing between that error and a command's output.
            if doubtful == Some(message) {
                self.error(message, say);
                self.place = Place::Start;
            } else {
                self.doubtful = Some(message.into());
            }
            return;
        }
        let ended = line.strip_prefix(' ').and_then(|rest| rest.strip_suffix(':'));
        let exit_code = ended.and_then(|ended| {
            let (how, _) = ended.split_once(" in ")?;
            if how == "succeeded" { Some(0) } else { how.strip_prefix("exited ")?.parse::<i64>().ok() }
        });
        if let Some(code) = exit_code {
            say(Body::ToolResult(ToolResult {
                id: Cow::Borrowed(""),
                failed: code != 0,
                exit_code: Some(code),
                text: "".into(),
            }));
        }
    }

    /// What a person or the model said, and the program's own lines among it.
    fn prose(&mut self, line: &str, say: &mut dyn FnMut(Body<'_>)) {
        if line.trim_start().starts_with("```") {
            self.fence = !self.fence;
        }
        if !self.fence {
            if let Some(message) = line.strip_prefix("ERROR: ") {
                return self.error(message, say);
            }
            if split_retry(line).is_some() {
                return self.error(line, say);
            }
            if let Some(warning) = line.strip_prefix("warning: ") {
                let lower = warning.to_ascii_lowercase();
                let about_limits = ["limit", "quota", "credit"].iter().any(|word| lower.contains(word));
                return if about_limits {
                    say(Body::Failure(Failure {
                        structured: false,
                        ..Failure::new(Origin::Agent, warning)
                    }));
                } else {
                    say(Body::Lifecycle(Lifecycle::Other));
                };
            }
        }
        let role = if self.place == Place::User { Role::User } else { Role::Assistant };
        if self.place != Place::Start && !line.is_empty() {
            say(Body::Message(Message { role, text: line.into() }));
        }
    }

    /// The program's own `ERROR: ` line.
    fn error(&mut self, message: &str, say: &mut dyn FnMut(Body<'_>)) {
        let (text, retry) = retry_notice(Cow::Borrowed(message));
        self.turn_failed |= retry.is_none();
        say(Body::Failure(Failure { retry, structured: false, ..Failure::new(Origin::Agent, text) }));
    }

    /// A line of the log.
    fn log(&mut self, log: LogLine<'_>, say: &mut dyn FnMut(Body<'_>)) -> Decoded {
        self.log_call = log.call.is_some();
        if let Some((name, input)) = log.call {
            say(Body::ToolCall(ToolCall {
                id: Cow::Borrowed(""),
                name: Cow::Borrowed(name),
                input: input.into(),
            }));
            Decoded::Yes
        } else if log.router {
            say(Body::Lifecycle(Lifecycle::Other));
            Decoded::Yes
        } else {
            Decoded::No
        }
    }
}

fn started<'a>(cwd: Option<&'a str>, model: Option<&'a str>) -> Body<'a> {
    Body::Lifecycle(Lifecycle::Started { cwd: cwd.map(Cow::Borrowed), model: model.map(Cow::Borrowed) })
}

/// The call of a line `<command> in <directory>`.
fn exec_call(line: &str) -> Body<'_> {
    let command = line.rsplit_once(" in /").map_or(line, |(command, _)| command);
    Body::ToolCall(ToolCall {
        id: Cow::Borrowed(""),
        name: Cow::Borrowed("exec"),
        input: command.into(),
    })
}

/// What follows a stamp like `[2025-09-01T10:00:00] `.
fn stamped(line: &str) -> Option<&str> {
    let (stamp, own) = line.strip_prefix('[')?.split_once("] ")?;
    let bytes = stamp.as_bytes();
    (bytes.len() >= 19 && bytes[10] == b'T' && bytes[13] == b':' && bytes[..4].iter().all(u8::is_ascii_digit))
        .then_some(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a line says, short enough for a table: `!` is a failure, `!!` one that ends the turn, `~` a
    /// retry, `?` one that is read from text.
    fn show(record: &Record<'_>) -> String {
        match &record.body {
            Body::Message(message) => format!("{:?}: {}", message.role, message.text),
            Body::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.input),
            Body::ToolResult(result) => {
                let mark = if result.failed { "failed" } else { "done" };
                format!("{mark} {} {:?} {}", result.id, result.exit_code, result.text)
            }
            Body::Failure(failure) => {
                let mark = match (failure.retry, failure.ends, failure.structured) {
                    (Some(_), _, true) => "~",
                    (Some(_), _, false) => "?~",
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
                shown
            }
            Body::Usage(usage) => format!(
                "tokens {:?} in {:?} read {:?} out {:?} of {:?}",
                usage.scope,
                usage.input_tokens,
                usage.cache_read_tokens,
                usage.output_tokens,
                usage.context_limit
            ),
            Body::Quota(quota) => format!("quota {} min {:?} {:?}", quota.minutes, quota.used_pct, quota.resets_at),
            Body::Lifecycle(Lifecycle::Other) => "-".to_owned(),
            Body::Lifecycle(Lifecycle::Started { cwd, model }) => {
                format!("started {:?} {cwd:?} {model:?}", record.session)
            }
            Body::Lifecycle(lifecycle) => format!("{lifecycle:?}"),
            Body::Text(_) => unreachable!("the decoder makes no text records"),
        }
    }

    fn feed(decoder: &mut Decoder, line: &str) -> Vec<String> {
        let mut said = Vec::new();
        let mut out = |record: Record<'_>| said.push(show(&record));
        let decoded = if line.starts_with('{') {
            decoder.json(frame(line.as_bytes()), &mut out)
        } else {
            decoder.text(line, &mut out)
        };
        if decoded == Decoded::No {
            assert!(said.is_empty(), "said something about a line that is not its own: {line}");
            said.push("not ours".to_owned());
        }
        said
    }

    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame { bytes, line: 1, offset: 0, truncated: false }
    }

    /// Feeds lines to one decoder; each line's records are joined by ` | `.
    fn story(lines: &[(&str, &str)]) {
        let mut decoder = Decoder::default();
        for (line, said) in lines {
            assert_eq!(feed(&mut decoder, line).join(" | "), *said, "{line}");
        }
    }

    fn alone(line: &str) -> Failure<'static> {
        failure_of(&mut Decoder::default(), line)
    }

    fn failure_of(decoder: &mut Decoder, line: &str) -> Failure<'static> {
        let mut found = None;
        let decoded = decoder.json(frame(line.as_bytes()), &mut |record| {
            if let Body::Failure(failure) = record.body {
                let codes = failure.codes.into_iter().map(|code| Cow::Owned(code.into_owned())).collect();
                found = Some(Failure { text: Cow::Owned(failure.text.into_owned()), codes, ..failure });
            }
        });
        assert_eq!(decoded, Decoded::Yes);
        found.unwrap_or_else(|| panic!("no failure in {line}"))
    }

    const EVENTS: &[(&str, &str)] = &[
        (r#"{"type":"thread.started","thread_id":"00000000-aaaa"}"#, r#"started Some("00000000-aaaa") None None"#),
        (r#"{"type":"turn.started"}"#, "TurnStarted"),
        (
            r#"{"type":"item.completed","item":{"id":"i0","type":"error","message":"Long talks may hit the limit."}}"#,
            "-",
        ),
        (
            r#"{"type":"item.started","item":{"id":"i1","type":"command_execution","command":"make check","aggregated_output":"","exit_code":null,"status":"in_progress"}}"#,
            "call i1 command_execution make check",
        ),
        (
            r#"{"type":"item.completed","item":{"id":"i1","type":"command_execution","command":"make check","aggregated_output":"case 429_usage_limit ... ok\n","exit_code":0,"status":"completed"}}"#,
            "done i1 Some(0) case 429_usage_limit ... ok\n",
        ),
        (
            r#"{"type":"item.completed","item":{"id":"i2","type":"command_execution","command":"curl x","aggregated_output":"503","exit_code":22,"status":"failed"}}"#,
            "call i2 command_execution curl x | failed i2 Some(22) 503",
        ),
        (
            r#"{"type":"item.completed","item":{"id":"i3","type":"mcp_tool_call","server":"db","tool":"query","arguments":{"q":1},"result":null,"error":{"message":"rate limit"},"status":"failed"}}"#,
            r#"call i3 db.query {"q":1} | failed i3 None rate limit"#,
        ),
        (
            r#"{"type":"item.completed","item":{"id":"i4","type":"mcp_tool_call","server":"db","tool":"query","arguments":{},"result":{"content":[{"type":"text","text":"7 rows"}]},"error":null,"status":"completed"}}"#,
            "call i4 db.query {} | done i4 None 7 rows",
        ),
        (
            r#"{"type":"item.completed","item":{"id":"i5","type":"agent_message","text":"CI says: last status: 429."}}"#,
            "Assistant: CI says: last status: 429.",
        ),
        (r#"{"type":"item.updated","item":{"id":"i6","type":"todo_list","items":[]}}"#, "-"),
        (
            r#"{"type":"turn.completed","usage":{"input_tokens":900,"cached_input_tokens":600,"output_tokens":30,"reasoning_output_tokens":9}}"#,
            "tokens Turn in Some(300) read Some(600) out Some(30) of None | TurnEnded",
        ),
    ];

    #[test]
    fn a_good_run_has_no_failures_whatever_it_shows() {
        story(EVENTS);
    }

    #[test]
    fn an_error_event_is_a_retry_or_a_failure_by_its_beginning() {
        story(&[
            (
                r#"{"type":"error","message":"Reconnecting... 2/5 (stream cut (again): idle)"}"#,
                "~ stream cut (again): idle",
            ),
            (r#"{"type":"error","message":"Reconnecting... waiting for network (no route)"}"#, "~ no route"),
            (r#"{"type":"error","message":"Reconnecting... 3/5"}"#, "~ Reconnecting... 3/5"),
            (
                r#"{"type":"error","message":"Falling back from WebSockets to HTTPS transport. timed out"}"#,
                "~ timed out",
            ),
            (r#"{"type":"error","message":"stream cut: idle"}"#, "! stream cut: idle"),
            (r#"{"type":"turn.failed","error":{"message":"stream cut: idle"}}"#, "!! stream cut: idle"),
            (r#"{"type":"turn.failed"}"#, "!! "),
        ]);
        let retry = alone(r#"{"type":"error","message":"Reconnecting... 2/5 (late)"}"#).retry;
        assert_eq!(retry, Some(Retry { attempt: Some(2), max_attempts: Some(5), delay_ms: None }));
        let retry = retry_notice(Cow::Borrowed("stream error: cut; retrying 1/5 in 203ms…"));
        let expected = Retry { attempt: Some(1), max_attempts: Some(5), delay_ms: Some(203) };
        assert_eq!(retry, (Cow::Borrowed("cut"), Some(expected)));
    }

    const ROLLOUT: &[(&str, &str)] = &[
        (
            r#"{"timestamp":"2026-11-20T05:00:00.120Z","type":"session_meta","payload":{"id":"0000-bbbb","cwd":"/w","cli_version":"0.1","instructions":"You've hit your usage limit"}}"#,
            r#"started Some("0000-bbbb") Some("/w") None"#,
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:01Z","type":"event_msg","payload":{"type":"task_started"}}"#,
            "TurnStarted",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:01Z","type":"turn_context","payload":{"cwd":"/w","model":"m1","summary":"auto"}}"#,
            r#"started None Some("/w") Some("m1")"#,
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:02Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"Explain error 429"}]}}"#,
            "User: Explain error 429",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:03Z","type":"response_item","payload":{"type":"function_call","name":"shell","arguments":"{\"command\":[\"ls\"]}","call_id":"c1"}}"#,
            r#"call c1 shell {"command":["ls"]}"#,
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:03Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c1","output":"{\"output\":\"You've hit your usage limit\",\"metadata\":{\"exit_code\":0}}"}}"#,
            "done c1 Some(0) You've hit your usage limit",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:03Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c2","output":"{\"output\":\"HTTP 503\",\"metadata\":{\"exit_code\":22}}"}}"#,
            "failed c2 Some(22) HTTP 503",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:03Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c3","output":"Exit code: 1\nOutput:\nProcess exited with code 0"}}"#,
            "failed c3 Some(1) Exit code: 1\nOutput:\nProcess exited with code 0",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:03Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c4","output":"Wall time: 1 s\nProcess exited with code 0\nOutput:\nExit code: 9"}}"#,
            "done c4 Some(0) Wall time: 1 s\nProcess exited with code 0\nOutput:\nExit code: 9",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:03Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c5","output":"unsupported call: frobnicate"}}"#,
            "failed c5 None unsupported call: frobnicate",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:03Z","type":"response_item","payload":{"type":"custom_tool_call","status":"completed","call_id":"c6","name":"apply_patch","input":"*** Begin"}}"#,
            "call c6 apply_patch *** Begin",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:04Z","type":"event_msg","payload":{"type":"agent_message","message":"rate limit"}}"#,
            "-",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:04Z","type":"event_msg","payload":{"type":"exec_command_end","aggregated_output":"429","exit_code":1}}"#,
            "-",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:05Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":90,"output_tokens":5},"last_token_usage":{"input_tokens":50,"cached_input_tokens":40,"output_tokens":3},"model_context_window":1000},"rate_limits":{"primary":{"used_percent":99.0,"window_minutes":300,"resets_at":1795287600},"secondary":null,"rate_limit_reached_type":null}}}"#,
            "quota 300 min Some(99.0) Some(Timestamp(1795287600000000)) | tokens Request in Some(10) read Some(40) out Some(3) of Some(1000)",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:05Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":90,"output_tokens":5},"last_token_usage":{"input_tokens":50,"cached_input_tokens":40,"output_tokens":3},"model_context_window":1000},"rate_limits":null}}"#,
            "-",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:06Z","type":"token_usage_record","payload":{"thread_id":"0000-bbbb","response_id":"resp_1","usage":{"input_tokens":60,"cached_input_tokens":50,"output_tokens":2}}}"#,
            "tokens Request in Some(10) read Some(50) out Some(2) of None",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:06Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":150,"output_tokens":7},"last_token_usage":{"input_tokens":60,"cached_input_tokens":50,"output_tokens":2},"model_context_window":1000}}}"#,
            "tokens Request in None read None out None of Some(1000)",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:06Z","type":"token_usage_record","payload":{"thread_id":"0000-bbbb"}}"#,
            "-",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:06Z","type":"compacted","payload":{"message":"prompt is too long"}}"#,
            "Compacted",
        ),
        (
            r#"{"timestamp":"2026-11-20T05:00:07Z","type":"event_msg","payload":{"type":"task_complete","last_agent_message":"usage limit"}}"#,
            "TurnEnded",
        ),
    ];

    #[test]
    fn a_good_rollout_has_no_failures_and_counts_tokens_once() {
        story(ROLLOUT);
    }

    #[test]
    fn rollout_errors_carry_codes_and_status() {
        let line = |payload: &str| {
            format!(r#"{{"timestamp":"2026-11-20T05:00:00Z","type":"event_msg","payload":{payload}}}"#)
        };
        for (payload, said) in [
            (r#"{"type":"error","message":"No room.","codex_error_info":"context_window_exceeded"}"#, "! No room. <context_window_exceeded>"),
            (r#"{"type":"error","message":"No.","codex_error_info":{"http_connection_failed":{"http_status_code":401}}}"#, "! No. [401] <http_connection_failed>"),
            (r#"{"type":"error","message":"Hm.","codex_error_info":"other"}"#, "! Hm."),
            (r#"{"type":"error","message":"Hm.","codex_error_info":{"response_stream_disconnected":{"http_status_code":null}}}"#, "! Hm. <response_stream_disconnected>"),
            (r#"{"type":"stream_error","message":"Reconnecting... 1/5","additional_details":"cut"}"#, "~ cut"),
            (r#"{"type":"turn_aborted","reason":"interrupted"}"#, "!! interrupted <interrupted>"),
            (r#"{"type":"task_complete","error":{"message":"Full.","codex_error_info":"server_overloaded"}}"#, "!! Full. <server_overloaded>"),
        ] {
            assert_eq!(feed(&mut Decoder::default(), &line(payload)), [said]);
        }
        let aborted = alone(&line(r#"{"type":"turn_aborted","reason":"interrupted"}"#));
        assert_eq!(aborted.class, Some(Class::Interrupted));
    }

    #[test]
    fn an_error_event_keeps_its_turn_from_ending_well() {
        story(&[
            (r#"{"timestamp":"2026-11-20T05:00:00Z","type":"event_msg","payload":{"type":"error","message":"No."}}"#, "! No."),
            (r#"{"timestamp":"2026-11-20T05:00:00Z","type":"event_msg","payload":{"type":"task_complete"}}"#, "-"),
            (r#"{"timestamp":"2026-11-20T05:00:00Z","type":"event_msg","payload":{"type":"task_started"}}"#, "TurnStarted"),
            (r#"{"timestamp":"2026-11-20T05:00:00Z","type":"event_msg","payload":{"type":"task_complete"}}"#, "TurnEnded"),
        ]);
    }

    #[test]
    fn the_latest_reset_of_the_exhausted_windows_goes_to_the_usage_limit() {
        let mut decoder = Decoder::default();
        // The long window stands in `primary` here, as on plans that have no other.
        let context = r#"{"timestamp":"2026-11-20T05:00:00Z","type":"event_msg","payload":{"type":"token_count","info":null,"rate_limits":{"primary":{"used_percent":100.0,"window_minutes":10080,"resets_at":1795651200},"secondary":{"used_percent":100.0,"window_minutes":300,"resets_in_seconds":60},"rate_limit_reached_type":null}}}"#;
        assert_eq!(feed(&mut decoder, context).len(), 2, "the state of two windows, and no failure");
        let limit = r#"{"timestamp":"2026-11-20T05:00:01Z","type":"event_msg","payload":{"type":"task_complete","error":{"message":"Used up.","codex_error_info":"usage_limit_exceeded"}}}"#;
        assert_eq!(failure_of(&mut decoder, limit).retry_at, Some(Timestamp::from_seconds(1_795_651_200)));
        let other = r#"{"timestamp":"2026-11-20T05:00:01Z","type":"event_msg","payload":{"type":"task_complete","error":{"message":"Busy.","codex_error_info":"server_overloaded"}}}"#;
        assert_eq!(failure_of(&mut decoder, other).retry_at, None);

        let reached = context.replace("null}}}", r#""rate_limit_reached"}}}"#);
        let failure = failure_of(&mut decoder, &reached);
        assert_eq!(failure.codes, ["rate_limit_reached"]);
        assert_eq!(failure.retry_at, Some(Timestamp::from_seconds(1_795_651_200)));
        assert_eq!(feed(&mut decoder, &reached).len(), 2, "the same limit is reported once");
    }

    #[test]
    fn the_first_words_of_a_long_answer_say_how_it_ended() {
        let long = "x".repeat(4_000);
        for (output, found) in [
            (format!("Wall time: 1 s\\nProcess exited with code 3\\nOutput:\\n{long}"), (true, Some(3))),
            (format!("Wall time: 1 s\\nOutput:\\nExit code: 9\\n{long}"), (false, None)),
            (format!("{long}\\nExit code: 4\\n"), (true, Some(4))),
            (format!("{}Exit code: 4\\n{long}", "x\\n".repeat(6)), (false, None)),
            (format!("unsupported call: {long}"), (true, None)),
        ] {
            let notation = format!("\"{output}\"");
            assert_eq!(outcome(json::from_str(&notation).unwrap()), found, "{}", &output[..40]);
        }
    }

    #[test]
    fn rollouts_from_before_the_envelope_are_content() {
        story(&[
            (r#"{"record_type":"state"}"#, "-"),
            (r#"{"type":"message","id":null,"role":"assistant","content":[{"type":"output_text","text":"429"}]}"#, "Assistant: 429"),
            (r#"{"type":"function_call","name":"shell","arguments":"{}","call_id":"c1"}"#, "call c1 shell {}"),
            (r#"{"type":"function_call_output","call_id":"c1","output":"Plan updated"}"#, "done c1 None Plan updated"),
        ]);
    }

    const TEXT: &[(&str, &str)] = &[
        ("Reading additional input from stdin...", "not ours"),
        ("OpenAI Codex v0.169.0", "-"),
        ("--------", ""),
        ("workdir: /w", r#"started None Some("/w") None"#),
        ("model: m1", r#"started None None Some("m1")"#),
        ("approval: never", ""),
        ("session id: 00000000-cccc", r#"started Some("00000000-cccc") None None"#),
        ("--------", ""),
        ("user", ""),
        ("Find out why the limit is hit.", "User: Find out why the limit is hit."),
        ("warning: Model metadata for `m1` not found.", "-"),
        ("thinking", ""),
        ("rate limit exceeded?", "Assistant: rate limit exceeded?"),
        ("exec", ""),
        ("bash -lc 'pip install x' in /w", "call  exec bash -lc 'pip install x'"),
        (" exited 1 in 340ms:", "failed  Some(1) "),
        ("ERROR: No matching distribution, status 429", ""),
        ("user", ""),
        ("warning: limit", ""),
        ("codex", ""),
        ("It printed:", "Assistant: It printed:"),
        ("```", "Assistant: ```"),
        ("ERROR: You've hit your usage limit.", "Assistant: ERROR: You've hit your usage limit."),
        ("```", "Assistant: ```"),
        ("tokens used", "TurnEnded"),
        ("1,020", "-"),
        ("It printed an error.", "Assistant: It printed an error."),
    ];

    #[test]
    fn human_text_of_a_good_run_has_no_failures() {
        story(TEXT);
    }

    #[test]
    fn errors_outside_output_are_the_program_s_own() {
        let begin = [("OpenAI Codex v0.169.0", "-"), ("--------", ""), ("--------", ""), ("user", "")];
        let ends: [&[(&str, &str)]; 4] = [
            &[("ERROR: Used up.", "? Used up."), ("ERROR: Used up.", "? Used up."), ("tokens used", "")],
            &[
                ("codex", ""),
                ("ERROR: Reconnecting... 1/5 (cut)", "?~ cut"),
                ("warning: You have less than 10% of your limit left.", "? You have less than 10% of your limit left."),
            ],
            // In output it is the doubled last word, or the one before the count.
            &[
                ("exec", ""),
                ("ls in /w", "call  exec ls"),
                (" succeeded in 2ms:", "done  Some(0) "),
                ("ERROR: x", ""),
                ("ERROR: Used up.", ""),
                ("ERROR: Used up.", "? Used up."),
            ],
            &[
                ("exec", ""),
                ("ls in /w", "call  exec ls"),
                ("ERROR: No room.", ""),
                ("tokens used", "? No room."),
                ("0", "-"),
            ],
        ];
        for end in ends {
            story(&[&begin, end].concat());
        }
    }

    #[test]
    fn stamps_tell_the_program_s_own_lines_in_older_text() {
        story(&[
            ("[2025-08-20T10:00:00] OpenAI Codex v0.22.0 (research preview)", "-"),
            ("--------", ""),
            ("--------", ""),
            ("[2025-08-20T10:00:00] User instructions:", ""),
            ("Go on", "User: Go on"),
            ("[2025-08-20T10:00:01] exec bash -lc make in /w", "call  exec bash -lc make"),
            ("[2025-08-20T10:00:02] bash -lc make exited 2 in 20ms:", ""),
            ("ERROR: 429", ""),
            ("[2025-08-20T10:00:03] stream error: cut; retrying 1/5 in 1s…", "?~ cut"),
            ("[2025-08-20T10:00:09] ERROR: Used up.", "? Used up."),
        ]);
    }

    #[test]
    fn the_log_shows_calls_and_their_contents() {
        story(&[
            ("2025-10-31T10:37:32.411754Z  INFO ToolCall: shell {\"command\":[\"ls\"]}", "call  shell {\"command\":[\"ls\"]}"),
            ("2025-10-31T10:37:33.411754Z  INFO FunctionCall: apply_patch(*** Begin", "call  apply_patch *** Begin"),
            ("+ERROR: usage limit", ""),
            ("2025-10-31T10:37:34.411754Z ERROR exec error: no such file", "not ours"),
            ("ERROR: usage limit", "not ours"),
            ("2026-11-21T06:39:30.359071Z ERROR codex_core::tools::router: error=unsupported call", "-"),
        ]);
    }

    #[test]
    fn only_what_is_beyond_doubt_is_recognised() {
        for (line, _) in EVENTS.iter().chain(ROLLOUT) {
            assert!(FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
        for (line, ours) in [
            ("OpenAI Codex v0.169.0 (research preview)", true),
            ("OpenAI Codex vs others", false),
            ("tokens used", false),
            ("2026-11-21T06:39:30.359071Z ERROR codex_core::tools::router: error=x", true),
            ("2026-11-21T06:39:30.359071Z ERROR server: x", false),
            (r#"{"type":"error","message":"Reconnecting... 1/5 (x)"}"#, true),
            (r#"{"type":"error","message":"x"}"#, false),
            (r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#, false),
            (r#"{"type":"assistant","message":{"role":"assistant","content":[]}}"#, false),
            (r#"{"type":"message","timestamp":"t","role":"user","content":"x"}"#, false),
            (r#"{"type":"event_msg","text":"x"}"#, false),
            (r#"{"metric":"http.429.count","value":0}"#, false),
            ("{", false),
            ("", false),
        ] {
            assert_eq!(FORMAT.recognise(frame(line.as_bytes())), ours, "{line}");
        }
    }

    #[test]
    fn calls_that_never_end_do_not_pile_up() {
        let mut decoder = Decoder::default();
        for id in 0..1_000 {
            let line = format!(r#"{{"type":"item.started","item":{{"id":"i{id}","type":"web_search","query":"q"}}}}"#);
            feed(&mut decoder, &line);
        }
        assert_eq!(decoder.open.len(), OPEN_CALLS);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
            let mut decoder = Decoder::default();
            decoder.json(frame(&bytes), &mut |_| {});
            FORMAT.recognise(frame(&bytes));
            for line in ["OpenAI Codex v1", "--------", "--------", "exec", &text, "codex", &text] {
                decoder.text(line, &mut |_| {});
            }
            retry_notice(Cow::Owned(format!("Reconnecting...{text}")));
        }

        #[test]
        fn a_cut_line_is_not_ours(case in 0..EVENTS.len() + ROLLOUT.len(), cut in 1usize..400) {
            let (line, _) = EVENTS.iter().chain(ROLLOUT).nth(case).unwrap();
            let bytes = &line.as_bytes()[..line.len().saturating_sub(cut)];
            prop_assert_eq!(Decoder::default().json(frame(bytes), &mut |_| {}), Decoded::No);
            FORMAT.recognise(frame(bytes));
        }
    }
}
