//! Qwen Code: a Claude-compatible stream, and the chat transcripts it keeps per session.
//!
//! Its stream calls a turn a success that an API error ended: the error is then the whole text of the
//! message and of the result. Its transcripts say API errors only in their telemetry records.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::claude::{Dialect, Flag, Maybe, Num, Present, Str, Stream, first_object};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{
    Body, Failure, Lifecycle, Message, Record, Role, ToolCall, ToolResult, Usage, UsageScope,
};
use crate::model::{Class, Origin, Timestamp};

/// The format.
pub(super) static FORMAT: Qwen = Qwen;

/// Qwen Code's streams and chat transcripts.
pub(super) struct Qwen;

impl Format for Qwen {
    fn name(&self) -> &'static str {
        "qwen"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        first_object(frame)
            .and_then(|text| json::from_str::<Envelope>(text).ok())
            .is_some_and(|envelope| envelope.is_qwen())
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder { stream: Stream::new(&DIALECT), session: None, cwd: None, model: None })
    }
}

/// Qwen's dialect of the Claude stream.
static DIALECT: Dialect = Dialect { reported: Some(reported), input_includes_cache: true };

/// How a text begins that is an API error.
const API_ERROR: &str = "[API Error: ";

/// How a text begins that says that a quota is used up.
const QUOTA_EXCEEDED: [&str; 2] = ["Qwen OAuth quota exceeded:", "Qwen API quota exceeded:"];

/// Returns the failure that a text is, where it is nothing else. An error that breaks off an answer stands
/// at its end; only a message that used no tokens, as failed requests do, is believed that.
fn reported(text: &str, unused: bool) -> Option<Failure<'_>> {
    let text = text.trim();
    let whole = QUOTA_EXCEEDED.iter().any(|words| text.starts_with(words))
        || (text.starts_with(API_ERROR) && is_bracketed(text));
    let begin = match text.rfind(API_ERROR) {
        _ if whole => 0,
        Some(begin) if unused && text.ends_with(']') => begin,
        _ => return None,
    };
    let error = &text[begin..];
    Some(Failure { status: status(error), structured: false, ..Failure::new(Origin::Provider, error) })
}

/// Tells whether the bracket that a text begins with closes at its end, or at the end of its first line with
/// the agent's advice below.
fn is_bracketed(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    text.ends_with(']') || (first.ends_with(']') && !text.contains("\n\n"))
}

/// Returns the HTTP status that the message of an API error begins with or names at its end.
fn status(error: &str) -> Option<u16> {
    let number = |digits: &str| digits.parse().ok().filter(|status| (400..600).contains(status));
    let words = error.strip_prefix(API_ERROR)?;
    let first = words.split([' ', ']']).next().filter(|word| word.len() == 3).and_then(number);
    first.or_else(|| {
        let (_, rest) = words.rsplit_once("(Status: ")?;
        rest.get(..3).and_then(number)
    })
}

/// Decodes both: what is no chat record is left to the stream's decoder.
struct Decoder {
    stream: Stream,
    session: Option<String>,
    cwd: Option<String>,
    model: Option<String>,
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if frame.truncated {
            return Decoded::No;
        }
        let Some(text) = json::utf8(frame.bytes) else { return Decoded::No };
        if text.trim_start().starts_with('{')
            && let Ok(line) = json::from_str::<Line<'_>>(text)
            && let Some(session) = line.session.get()
        {
            return self.chat(&line, session, out);
        }
        self.stream.json(frame, out)
    }
}

impl Decoder {
    fn chat(&mut self, line: &Line<'_>, session: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let time = line.timestamp.get().and_then(Timestamp::parse_rfc3339);
        let event = line.payload.0.as_ref().and_then(|payload| payload.event.0.as_ref());
        let subagent = event.and_then(|event| event.subagent.get());
        let mut emit = |body: Body<'_>| {
            out(Record {
                time,
                session: Some(Cow::Borrowed(session)),
                subagent: subagent.map(Cow::Borrowed),
                ..Record::new(body)
            });
        };
        let parts = line.message.0.as_ref().map_or(&[][..], |message| &message.parts);
        let kind = line.kind.get().unwrap_or_default();
        if kind.is_empty() {
            return Decoded::No;
        }
        if let Some(started) = self.started(line, session) {
            emit(Body::Lifecycle(started));
        }
        match (kind, line.subtype.get().unwrap_or_default()) {
            ("assistant", _) => {
                emit(Body::Message(Message { role: Role::Assistant, text: prose(parts).into() }));
                for call in parts.iter().filter_map(|part| part.call.0.as_ref()) {
                    emit(Body::ToolCall(ToolCall {
                        id: call.id.cow(),
                        name: call.name.cow(),
                        input: call.args.map_or("", RawValue::get).into(),
                    }));
                }
                if let Some(tokens) = &line.usage.0 {
                    let usage = Usage { model: line.model.get(), message: line.uuid.get(), ..tokens.usage() };
                    emit(Body::Usage(usage));
                }
            }
            ("user", _) => emit(Body::Message(Message { role: Role::User, text: prose(parts).into() })),
            ("tool_result", _) => {
                let status = line.result.0.as_ref().and_then(|result| result.status.get());
                for answer in parts.iter().filter_map(|part| part.answer.0.as_ref()) {
                    let response = answer.response.0.as_ref();
                    let error = response.and_then(|response| response.error.get());
                    let output = response.and_then(|response| response.output.get());
                    let failed = match status {
                        Some(status) => status != "success",
                        None => error.is_some(),
                    };
                    emit(Body::ToolResult(ToolResult {
                        id: answer.id.cow(),
                        failed,
                        exit_code: output
                            .filter(|_| answer.name.get() == Some("run_shell_command"))
                            .and_then(exit_code),
                        text: output.or(error).unwrap_or_default().into(),
                    }));
                    if status == Some("cancelled") {
                        emit(Body::Failure(Failure {
                            codes: vec![Cow::Borrowed("tool_cancelled")],
                            class: Some(Class::Interrupted),
                            ..Failure::new(Origin::Agent, "tool_cancelled")
                        }));
                    }
                }
            }
            ("system", "chat_compression") => emit(Body::Lifecycle(Lifecycle::Compacted)),
            _ => match event.filter(|event| event.name.get() == Some("qwen-code.api_error")) {
                Some(event) => {
                    // `TypeError:UND_ERR_SOCKET`: the kind of error, then its code.
                    let kinds = event.error_type.get().unwrap_or_default().rsplit(':');
                    let aborted = event.error_type.get() == Some("APIUserAbortError");
                    emit(Body::Failure(Failure {
                        status: event.status.status(),
                        class: aborted.then_some(Class::Interrupted),
                        codes: kinds.filter(|kind| !kind.is_empty()).map(Cow::Borrowed).collect(),
                        ..Failure::new(
                            Origin::Provider,
                            Cow::Borrowed(event.message.get().or(event.error.get()).unwrap_or("api_error")),
                        )
                    }));
                }
                None => emit(Body::Lifecycle(Lifecycle::Other)),
            },
        }
        Decoded::Yes
    }

    /// Returns where and with which model the chat goes on, when that is news.
    fn started<'l>(&mut self, line: &'l Line<'_>, session: &str) -> Option<Lifecycle<'l>> {
        if self.session.as_deref() != Some(session) {
            self.session = Some(session.to_owned());
            self.cwd = None;
            self.model = None;
        }
        let model = line.model.get().filter(|&model| self.model.as_deref() != Some(model));
        let cwd = line.cwd.get().filter(|&cwd| self.cwd.as_deref() != Some(cwd));
        if let Some(model) = model {
            self.model = Some(model.to_owned());
        }
        if let Some(cwd) = cwd {
            self.cwd = Some(cwd.to_owned());
        }
        (model.is_some() || cwd.is_some()).then(|| Lifecycle::Started {
            cwd: cwd.map(Cow::Borrowed),
            model: model.map(Cow::Borrowed),
        })
    }
}

/// Returns all prose in the parts of a message, thoughts left out.
fn prose<'p>(parts: &'p [Part<'_>]) -> Cow<'p, str> {
    let mut texts =
        parts.iter().filter(|part| part.thought.0 != Some(true)).filter_map(|part| part.text.get());
    let first = Cow::Borrowed(texts.next().unwrap_or_default());
    texts.fold(first, |all, text| all + "\n" + text)
}

/// Returns the exit status from the report that follows a command's output.
fn exit_code(output: &str) -> Option<i64> {
    let (_, rest) = output.rsplit_once("\nExit Code: ")?;
    rest.lines().next()?.trim().parse().ok()
}

/// One line of a chat transcript.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Str<'a>,
    subtype: Str<'a>,
    uuid: Str<'a>,
    #[serde(rename = "sessionId")]
    session: Str<'a>,
    timestamp: Str<'a>,
    cwd: Str<'a>,
    model: Str<'a>,
    message: Maybe<ChatMessage<'a>>,
    #[serde(rename = "usageMetadata")]
    usage: Maybe<Tokens>,
    #[serde(rename = "toolCallResult")]
    result: Maybe<CallResult<'a>>,
    #[serde(rename = "systemPayload")]
    payload: Maybe<Payload<'a>>,
}

/// A message in parts.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ChatMessage<'a> {
    parts: Vec<Part<'a>>,
}

/// A part of a message.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Part<'a> {
    text: Str<'a>,
    thought: Flag,
    #[serde(rename = "functionCall")]
    call: Maybe<Call<'a>>,
    #[serde(rename = "functionResponse")]
    answer: Maybe<Answer<'a>>,
}

/// A request for a tool.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Call<'a> {
    id: Str<'a>,
    name: Str<'a>,
    args: Option<&'a RawValue>,
}

/// What a tool answered the model.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Answer<'a> {
    id: Str<'a>,
    name: Str<'a>,
    response: Maybe<Response<'a>>,
}

/// The answer's words.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Response<'a> {
    output: Str<'a>,
    error: Str<'a>,
}

/// How a tool call went.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct CallResult<'a> {
    status: Str<'a>,
}

/// What a system record carries.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Payload<'a> {
    #[serde(rename = "uiEvent")]
    event: Maybe<Event<'a>>,
}

/// A telemetry event.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Event<'a> {
    #[serde(rename = "event.name")]
    name: Str<'a>,
    #[serde(rename = "error_message")]
    message: Str<'a>,
    error: Str<'a>,
    error_type: Str<'a>,
    #[serde(rename = "status_code")]
    status: Num,
    #[serde(rename = "subagent_name")]
    subagent: Str<'a>,
}

/// Token counts; the prompt's include those read from a cache.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Tokens {
    #[serde(rename = "promptTokenCount")]
    prompt: Num,
    #[serde(rename = "candidatesTokenCount")]
    candidates: Num,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: Num,
    #[serde(rename = "totalTokenCount")]
    total: Num,
    #[serde(rename = "cachedContentTokenCount")]
    cached: Num,
}

impl Tokens {
    fn usage(&self) -> Usage<'static> {
        // Whether the candidates' count includes the thoughts depends on the model's server; the total tells.
        let spelled = self.candidates.count().saturating_add(self.thoughts.count());
        let output = match self.total.whole() {
            Some(total) if total > self.prompt.count() => total - self.prompt.count(),
            _ => spelled,
        };
        Usage {
            scope: UsageScope::Request,
            input_tokens: self.prompt.whole().map(|prompt| prompt.saturating_sub(self.cached.count())),
            output_tokens: Some(output),
            cache_read_tokens: self.cached.whole(),
            ..Usage::default()
        }
    }
}

/// The keys by which a record is known.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: Str<'a>,
    #[serde(rename = "sessionId")]
    session: Present,
    #[serde(rename = "parentUuid")]
    parent: Present,
    qwen_code_version: Present,
    #[serde(rename = "systemPayload")]
    payload: Present,
    message: Maybe<MessageKeys>,
}

/// The keys by which a message is known.
#[derive(Deserialize, Default)]
#[serde(default)]
struct MessageKeys {
    parts: Present,
}

impl Envelope<'_> {
    fn is_qwen(&self) -> bool {
        let parts = self.message.0.as_ref().is_some_and(|message| message.parts.0);
        match self.kind.get() {
            Some("system") if self.qwen_code_version.0 => true,
            Some("system") => self.session.0 && self.payload.0,
            Some(_) => self.session.0 && self.parent.0 && parts,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claude;
    use super::super::claude::told::{everything, frame, story};
    use super::*;

    const LYING: &str = include_str!("../../../fixtures/transcripts/qwen/lying_success/input.jsonl");
    const CUT: &str = include_str!("../../../fixtures/transcripts/qwen/cut_answer/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/qwen/clean_run/input.jsonl");
    const CHAT: &str = include_str!("../../../fixtures/transcripts/qwen/chat_transcript/input.jsonl");
    const QUOTA: &str = include_str!("../../../fixtures/transcripts/qwen/quota/input.jsonl");
    const CLAUDE: &str = include_str!("../../../fixtures/transcripts/claude/transcript_sidechain/input.jsonl");

    const STARTED: &str = "started Some(\"/home/dev/shop\") Some(\"qwen3-coder-plus\")";

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_success_whose_text_is_an_error_is_none() {
        assert_eq!(
            told(LYING),
            [
                STARTED,
                "provider failure 401 [] read: [API Error: 401 The key that was given is not valid.]",
                "provider failure 401 [] ends read: [API Error: 401 The key that was given is not valid.]",
            ]
        );
        assert_eq!(
            told(CUT),
            [
                STARTED,
                "provider failure [] read: [API Error: terminated (cause: other side closed)]",
                "provider failure [] ends read: [API Error: terminated (cause: other side closed)]",
            ]
        );
        assert_eq!(
            told(QUOTA),
            [
                STARTED,
                "provider failure [] read: Qwen OAuth quota exceeded: the free requests of today are used up.",
                "provider failure [error_during_execution] ends: Qwen OAuth quota exceeded: the free requests of today are used up.",
            ]
        );
    }

    #[test]
    fn an_array_of_messages_is_read_like_a_stream() {
        let array = format!("[{}]", LYING.lines().collect::<Vec<_>>().join(","));
        assert!(FORMAT.recognise(frame(array.as_bytes())));
        assert_eq!(told(&array), told(LYING));
    }

    #[test]
    fn an_answer_that_quotes_an_error_is_an_answer() {
        let told = told(CLEAN);
        assert!(told.iter().all(|record| !record.contains(" failure ")), "{told:#?}");
        assert_eq!(told.last().map(String::as_str), Some("TurnEnded"));
        for (text, unused, failure) in [
            ("[API Error: 429 slow down]", false, true),
            ("[API Error: 429 slow down]\nPlease wait and try again later.", false, true),
            ("[API Error: 429] is what it prints.", false, false),
            ("It prints [API Error: 429]", false, false),
            ("It prints [API Error: 429]", true, true),
            ("Qwen API quota exceeded: come back later", false, true),
            ("The text is `Qwen API quota exceeded: x`", true, false),
            ("", true, false),
        ] {
            assert_eq!(reported(text, unused).is_some(), failure, "{text} {unused}");
        }
    }

    #[test]
    fn the_status_is_read_where_the_message_has_its_place_for_it() {
        for (text, expected) in [
            ("[API Error: 503 busy]", Some(503)),
            ("[API Error: busy (Status: 429)]", Some(429)),
            ("[API Error: 4290 tokens]", None),
            ("[API Error: got 401]", None),
            ("[API Error: 200 fine]", None),
            ("[API Error: x (Status: é)]", None),
        ] {
            assert_eq!(status(text), expected, "{text}");
        }
    }

    #[test]
    fn a_chat_tells_errors_in_its_telemetry() {
        let told = told(CHAT);
        assert_eq!(
            told,
            [
                "started Some(\"/home/dev/shop\") None",
                "User: Why does [API Error: 429 x] appear?",
                "started None Some(\"qwen3-coder-plus\")",
                "Assistant: ",
                "call call_2401 run_shell_command {\"command\":\"grep -c 429 app.log\"}",
                "result call_2401 fine exit 1: Command: grep -c 429 app.log\nOutput: 0\nError: (none)\nExit Code: 1\nSignal: 0",
                "result call_2402 failed: File not found: app.log.1",
                "provider failure 429 [RateLimitError]: 429 The usage limit has been reached",
                "(managed-auto-memory-extractor) provider failure [UND_ERR_SOCKET TypeError]: terminated (cause: other side closed)",
                "Assistant: It does not appear in the log.",
            ]
        );
    }

    #[test]
    fn an_aborted_request_is_an_interruption() {
        let lines = [
            r#"{"type":"tool_result","sessionId":"s","message":{"parts":[{"functionResponse":{"id":"c","name":"run_shell_command","response":{"error":"stopped"}}}]},"toolCallResult":{"status":"cancelled"}}"#,
            r#"{"type":"system","subtype":"ui_telemetry","sessionId":"s","systemPayload":{"uiEvent":{"event.name":"qwen-code.api_error","error_message":"stopped","error_type":"APIUserAbortError"}}}"#,
        ];
        assert_eq!(
            story(&FORMAT, &lines),
            [
                "result c failed: stopped",
                "agent failure [tool_cancelled] is interrupted: tool_cancelled",
                "provider failure [APIUserAbortError] is interrupted: stopped",
            ]
        );
    }

    #[test]
    fn cached_input_is_counted_once() {
        let mut usage = everything(&FORMAT, &CLEAN.lines().collect::<Vec<_>>());
        usage.retain(|record| record.starts_with("usage"));
        assert_eq!(usage.first().map(String::as_str), Some("usage Request in 600 out 20 read 400 written None window None cost None"));
        assert_eq!(usage.last().map(String::as_str), Some("usage Run in 1600 out 40 read 400 written None window None cost None"));
    }

    #[test]
    fn claims_its_own_and_nothing_of_claudes() {
        for text in [LYING, CUT, CLEAN, QUOTA] {
            assert!(FORMAT.recognise(frame(text.lines().next().unwrap().as_bytes())));
        }
        for line in CHAT.lines() {
            assert!(FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert!(!claude::FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
        for line in CLAUDE.lines().chain(LYING.lines().skip(1)).chain(["", "{", "[", "{}", "x"]) {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            text in ".{0,40}",
            line in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let lines: Vec<&str> = [LYING, CUT, CLEAN, CHAT, QUOTA].iter().flat_map(|text| text.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let cut = &line[..at.index(line.len() + 1)];
            let mut decoder = FORMAT.decoder();
            for bytes in [&bytes, cut, line] {
                FORMAT.recognise(frame(bytes));
                decoder.json(frame(bytes), &mut |_| {});
            }
            for text in [format!("{API_ERROR}{text}"), format!("{API_ERROR}{text}]"), format!("{text}{API_ERROR}(Status: {text}]")] {
                reported(&text, true);
            }
        }
    }
}
