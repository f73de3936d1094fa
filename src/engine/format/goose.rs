//! Goose: `--output-format stream-json`, and the document of `--output-format json`.
//!
//! Failures are read from `error` events, from the notice that the credits are gone, and from the one message
//! that the program itself writes in the model's place when a request fails.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::claude::{Flag, Maybe, Present};
use super::loose::{Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Role, ToolCall, ToolResult, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format of Goose.
pub(super) static FORMAT: Goose = Goose;

/// Recognises Goose's streams and makes decoders for them.
pub(super) struct Goose;

impl Format for Goose {
    fn name(&self) -> &'static str {
        "goose"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let signs: [&[u8]; 3] = [b"\"created\"", b"\"total_tokens\"", b"\"extension_id\""];
        signs.iter().any(|sign| memchr::memmem::find(frame.bytes, sign).is_some())
            && parse(frame.bytes).is_some_and(|line| line.is_certain())
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder::default())
    }
}

/// How the message begins and ends that the program writes when a request failed.
const RAN_INTO: (&str, &str) =
    ("Ran into this error: ", "Please retry if you think this is a transient or recoverable error.");

/// What a provider's error begins with, and the code that stands for it. What follows may say something else,
/// and then it knows better: a server's error may turn out to be an overflow.
const PREFIXES: [(&str, &str); 8] = [
    ("Authentication error: ", "authentication_error"),
    ("Context length exceeded: ", "context_length_exceeded"),
    ("Rate limit exceeded: ", "rate_limit_exceeded"),
    ("Server error: ", "server_error"),
    ("Network error: ", "connection_failed"),
    ("Request failed: ", "bad_request"),
    ("Credits exhausted: ", "out_of_credits"),
    ("Provider error: ", ""),
];

/// What a decoder has to know of the lines before.
#[derive(Default)]
struct Decoder {
    /// Whether the run reported an error: the last event comes all the same.
    failed: bool,
    model: Option<Box<str>>,
}

/// One event, or the document.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    message: Maybe<ChatMessage<'a>>,
    error: Loose<'a>,
    extension_id: Loose<'a>,
    // `complete`; the input's tokens include the cached ones.
    total_tokens: Present,
    input_tokens: Number,
    output_tokens: Number,
    cache_read_input_tokens: Number,
    cache_write_input_tokens: Number,
    cost_usd: Number,
    // The document.
    messages: Option<&'a RawValue>,
    metadata: Maybe<RunFacts<'a>>,
    // What others have beside a message.
    timestamp: Present,
    session_id: Present,
    #[serde(rename = "sessionId")]
    session: Present,
}

/// A message: blocks of prose, calls and answers.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ChatMessage<'a> {
    role: Loose<'a>,
    created: Number,
    content: Option<&'a RawValue>,
    metadata: Maybe<MessageFacts<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct MessageFacts<'a> {
    inference: Maybe<Inference<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Inference<'a> {
    #[serde(rename = "requestedModel")]
    model: Loose<'a>,
}

/// What the document says of the run.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct RunFacts<'a> {
    status: Loose<'a>,
    total_tokens: Present,
}

/// A block of any type.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    text: Loose<'a>,
    id: Loose<'a>,
    tool_call: Maybe<Call<'a>>,
    tool_result: Maybe<Answer<'a>>,
    notification_type: Loose<'a>,
    msg: Loose<'a>,
}

/// A call, or why it could not be read.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Call<'a> {
    value: Maybe<CallValue<'a>>,
    error: Loose<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct CallValue<'a> {
    name: Loose<'a>,
    arguments: Option<&'a RawValue>,
}

/// An answer, or why there is none.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Answer<'a> {
    status: Loose<'a>,
    value: Option<&'a RawValue>,
    error: Loose<'a>,
}

/// An answer's value, where it is an object.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnswerValue {
    is_error: Flag,
}

fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    json::from_slice(bytes).ok()
}

fn parse_raw<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    json::from_str(raw?.get()).ok()
}

impl ChatMessage<'_> {
    fn is_goose(&self) -> bool {
        matches!(self.role.as_str(), "user" | "assistant")
            && self.created.whole().is_some()
            && self.content.is_some_and(|raw| raw.get().starts_with('['))
    }
}

impl Line<'_> {
    /// Whether others' records could not look like this.
    fn is_certain(&self) -> bool {
        let bare = match self.kind.as_str() {
            "error" => true,
            "complete" => self.cache_read_input_tokens.0.is_none(),
            _ => false,
        };
        self.is_ours() && !bare
    }

    /// Whether it is one of ours in a stream that is.
    fn is_ours(&self) -> bool {
        if self.timestamp.0 || self.session_id.0 || self.session.0 {
            return false;
        }
        let message = self.message.0.as_ref();
        match self.kind.as_str() {
            "message" => message.is_some_and(ChatMessage::is_goose),
            "notification" => self.extension_id.is_some(),
            "complete" => self.total_tokens.0,
            "error" => self.error.is_some() && message.is_none(),
            "" => {
                let facts = self.metadata.0.as_ref();
                self.messages.is_some_and(|raw| raw.get().starts_with('['))
                    && facts.is_some_and(|facts| facts.status.is_some() && facts.total_tokens.0)
            }
            _ => false,
        }
    }
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some(line) = parse(frame.bytes).filter(Line::is_ours) else { return Decoded::No };
        let mut say = |body: Body<'_>| out(Record::new(body));
        match line.kind.as_str() {
            "message" => {
                if let Some(message) = line.message.0 {
                    self.message(message, out);
                }
            }
            "error" => {
                self.failed = true;
                say(Body::Failure(Failure { ends: true, ..failure(line.error.text()) }));
            }
            "complete" => {
                let usage = line.usage();
                if usage.input_tokens.is_some() || usage.output_tokens.is_some() || usage.cost_usd.is_some() {
                    say(Body::Usage(usage));
                }
                self.ended(&mut say);
            }
            "" => {
                for raw in parse_raw::<Vec<&RawValue>>(line.messages).unwrap_or_default() {
                    if let Ok(Maybe(Some(message))) = json::from_str::<Maybe<ChatMessage<'_>>>(raw.get())
                        && message.is_goose()
                    {
                        self.message(message, out);
                    }
                }
                let completed = line.metadata.0.is_some_and(|facts| facts.status.as_str() == "completed");
                self.failed |= !completed;
                self.ended(&mut |body| out(Record::new(body)));
            }
            _ => say(Body::Lifecycle(Lifecycle::Other)),
        }
        Decoded::Yes
    }
}

impl Decoder {
    /// The end of a run, which comes after failures too.
    fn ended(&mut self, say: &mut dyn FnMut(Body<'_>)) {
        let failed = std::mem::take(&mut self.failed);
        say(Body::Lifecycle(if failed { Lifecycle::Other } else { Lifecycle::TurnEnded }));
    }

    fn message(&mut self, message: ChatMessage<'_>, out: &mut dyn FnMut(Record<'_>)) {
        let time = message.created.0.and_then(Timestamp::from_epoch_guess);
        let mut say = |body: Body<'_>| out(Record { time, ..Record::new(body) });
        let role = if message.role.as_str() == "user" { Role::User } else { Role::Assistant };
        let model = message.metadata.0.and_then(|facts| facts.inference.0).and_then(|inference| inference.model.0);
        if let Some(model) = model.filter(|model| self.model.as_deref() != Some(model)) {
            self.model = Some(model.as_ref().into());
            say(Body::Lifecycle(Lifecycle::Started { cwd: None, model: Some(model) }));
        }
        let blocks = parse_raw::<Vec<Maybe<Block<'_>>>>(message.content).unwrap_or_default();
        for block in blocks.into_iter().filter_map(|block| block.0) {
            match block.kind.as_str() {
                "text" => {
                    let text = block.text.text();
                    match own_error(&text).filter(|_| role == Role::Assistant) {
                        Some(error) => {
                            self.failed = true;
                            let failure = failure(Cow::Borrowed(error));
                            say(Body::Failure(Failure { ends: true, structured: false, ..failure }));
                        }
                        None => say(Body::Message(Message { role, text: text.into() })),
                    }
                }
                "toolRequest" | "frontendToolRequest" => {
                    let call = block.tool_call.0.unwrap_or_default();
                    let id = block.id.text();
                    match call.value.0 {
                        Some(value) => say(Body::ToolCall(ToolCall {
                            id,
                            name: value.name.text(),
                            input: value.arguments.map_or("", RawValue::get).into(),
                        })),
                        // The model's call could not be read; the model is told.
                        None => say(Body::ToolResult(ToolResult {
                            id,
                            failed: true,
                            exit_code: None,
                            text: call.error.text().into(),
                        })),
                    }
                }
                "toolResponse" => {
                    let answer = block.tool_result.0.unwrap_or_default();
                    let marked = parse_raw::<Maybe<AnswerValue>>(answer.value).and_then(|value| value.0);
                    let marked = marked.is_some_and(|value| value.is_error.0 == Some(true));
                    let failed = answer.status.as_str() == "error" || marked;
                    let value = parse_raw::<Loose<'_>>(answer.value).unwrap_or_default();
                    let text = if answer.error.is_some() { answer.error } else { value };
                    let id = block.id.text();
                    say(Body::ToolResult(ToolResult { id, failed, exit_code: None, text: text.text().into() }));
                }
                "toolConfirmationRequest" | "actionRequired" => say(Body::Failure(Failure {
                    class: Some(Class::WaitingInput),
                    ..Failure::new(Origin::Agent, block.kind.text())
                })),
                "systemNotification" if block.notification_type.as_str() == "creditsExhausted" => {
                    self.failed = true;
                    say(Body::Failure(Failure {
                        class: Some(Class::BudgetOver),
                        ends: true,
                        ..Failure::new(Origin::Provider, block.msg.text())
                    }));
                }
                _ => say(Body::Lifecycle(Lifecycle::Other)),
            }
        }
    }
}

impl Line<'_> {
    fn usage(&self) -> Usage<'static> {
        let read = self.cache_read_input_tokens.count();
        let write = self.cache_write_input_tokens.count();
        let cached = read.unwrap_or(0).saturating_add(write.unwrap_or(0));
        Usage {
            scope: UsageScope::Run,
            input_tokens: self.input_tokens.count().map(|all| all.saturating_sub(cached)),
            output_tokens: self.output_tokens.count(),
            cache_read_tokens: read,
            cache_creation_tokens: write,
            cost_usd: self.cost_usd.0.filter(|cost| *cost >= 0.0),
            ..Usage::default()
        }
    }
}

/// The error in a message that is nothing else.
fn own_error(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(RAN_INTO.0)?.trim_end();
    let error = rest.strip_suffix(RAN_INTO.1)?.trim_end();
    Some(error.strip_suffix('.').unwrap_or(error))
}

fn failure(text: Cow<'_, str>) -> Failure<'_> {
    let words = text.strip_prefix("Error: ").unwrap_or(&text);
    let prefix = PREFIXES.iter().find(|(prefix, _)| words.starts_with(prefix));
    let codes = prefix.filter(|(_, code)| !code.is_empty()).map(|(_, code)| Cow::Borrowed(*code));
    Failure { codes: codes.into_iter().collect(), ..Failure::new(Origin::Provider, text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::FORMATS;
    use super::super::claude::told::{everything, frame, story};
    use super::*;
    use crate::engine::classify;
    use crate::engine::classify::rules::Rules;

    const OVERFLOW: &str = include_str!("../../../fixtures/transcripts/goose/overflow/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/goose/clean_run/input.jsonl");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_run_that_failed_ends_all_the_same() {
        assert_eq!(
            told(OVERFLOW),
            [
                "User: Read everything.",
                "provider failure [server_error] ends read: Server error: Failed to call the model: prompt is too long: 227 tokens > 200 maximum",
                "provider failure [server_error] ends: Server error: Failed to call the model: prompt is too long: 227 tokens > 200 maximum",
            ]
        );
    }

    #[test]
    fn what_the_prefix_says_yields_to_what_follows_it() {
        let rules = Rules::built_in();
        for (text, class) in [
            ("Server error: call failed: prompt is too long: 227 tokens > 200 maximum", Class::TokenLimit),
            ("Server error: something broke", Class::ServerError),
            ("Rate limit exceeded: slow down", Class::RateLimit),
            ("Context length exceeded: it is full", Class::TokenLimit),
            ("Authentication error: no", Class::AuthError),
            ("Network error: no route", Class::Network),
            ("Request failed: it was malformed", Class::Http400),
            ("Credits exhausted: pay", Class::BudgetOver),
        ] {
            let verdict = classify::failure(&rules, "goose", &failure(Cow::Borrowed(text)), None);
            assert_eq!(verdict.map(|verdict| verdict.class), Some(class), "{text}");
        }
    }

    #[test]
    fn a_good_run_has_no_failures_whatever_it_shows() {
        assert_eq!(
            told(CLEAN),
            [
                "User: Why do we get 429?",
                "started None Some(\"model-one\")",
                "Assistant: It says: Ran into this error: Rate limit exceeded: 429.",
                "call call_1 developer__shell {\"command\":\"make\"}",
                "result call_1 failed: Server error: 500",
                "call call_2 developer__shell {\"command\":\"true\"}",
                "result call_2 fine: rate limit exceeded",
                "result call_3 failed: cut off by the timeout",
                "result call_4 failed: -32602: invalid arguments",
                "Assistant: All fine.",
                "TurnEnded",
            ]
        );
        let mut usage = everything(&FORMAT, &CLEAN.lines().collect::<Vec<_>>());
        usage.retain(|record| record.starts_with("usage"));
        assert_eq!(usage, ["usage Run in 134 out 56 read 1000 written 100 window None cost 0.5"]);
    }

    #[test]
    fn the_document_is_one_frame() {
        let message = r#"{"id":null,"role":"assistant","created":1795150800,"content":[{"type":"text","text":"Hi"}],"metadata":{}}"#;
        let document = |status: &str| {
            format!("{{\"messages\":[{message},7],\"metadata\":{{\"total_tokens\":9,\"status\":\"{status}\"}}}}")
        };
        assert!(FORMAT.recognise(frame(document("completed").as_bytes())));
        assert_eq!(told(&document("completed")), ["Assistant: Hi", "TurnEnded"]);
        assert_eq!(told(&document("failed")), ["Assistant: Hi"]);
    }

    #[test]
    fn other_places_of_failures() {
        let message = |block: &str| {
            format!(r#"{{"type":"message","message":{{"role":"assistant","created":1795150800,"content":[{block}]}}}}"#)
        };
        for (block, expected) in [
            (
                r#"{"type":"systemNotification","notificationType":"creditsExhausted","msg":"Nothing left.","data":{}}"#,
                "provider failure [] is budget_over ends: Nothing left.",
            ),
            (
                r#"{"type":"toolConfirmationRequest","id":"c","toolName":"x"}"#,
                "agent failure [] is waiting_input: toolConfirmationRequest",
            ),
            (
                r#"{"type":"text","text":"Ran into this error: Request failed: no.\n\nPlease retry if you think this is a transient or recoverable error."}"#,
                "provider failure [bad_request] ends read: Request failed: no",
            ),
        ] {
            assert_eq!(told(&message(block)), [expected]);
        }
        assert!(told(&message(r#"{"type":"systemNotification","notificationType":"inlineMessage","msg":"rate limit"}"#)).is_empty());
    }

    #[test]
    fn claims_its_own_and_only_its_own() {
        for line in [OVERFLOW, CLEAN].iter().flat_map(|text| text.lines()) {
            let first = FORMATS.iter().find(|format| format.recognise(frame(line.as_bytes())));
            let bare = line.contains("\"type\":\"error\"") || line.contains("\"total_tokens\":null");
            assert!(bare || first.map(|format| format.name()) == Some("goose"), "{line}");
        }
        for line in [
            r#"{"type":"message","role":"assistant","content":"x"}"#,
            r#"{"type":"message","timestamp":"2026-11-20T05:00:00Z","message":{"role":"user","created":1,"content":[]}}"#,
            r#"{"type":"message","message":{"role":"user","content":[],"timestamp":1}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"created"}}"#,
            r#"{"type":"notification","message":"created"}"#,
            r#"{"messages":[],"created":1,"metadata":{}}"#,
            "{}", "[]", "\"created\"",
        ] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert_eq!(FORMAT.decoder().json(frame(line.as_bytes()), &mut |_| panic!("{line}")), Decoded::No);
        }
        for line in [r#"{"type":"error","error":"Server error: created"}"#, r#"{"type":"complete","total_tokens":5}"#] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            line in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            text in "\\PC{0,40}",
        ) {
            let lines: Vec<&str> = [OVERFLOW, CLEAN].iter().flat_map(|text| text.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let cut = &line[..at.index(line.len() + 1)];
            let mut decoder = FORMAT.decoder();
            for bytes in [&bytes, cut, line] {
                FORMAT.recognise(frame(bytes));
                decoder.json(frame(bytes), &mut |_| {});
            }
            own_error(&format!("{}{text}", RAN_INTO.0));
            failure(Cow::Owned(text));
        }
    }
}
