//! Pi: session files, and the events of `--mode json`.
//!
//! Failures are read from how a message of the model stopped (`stopReason`, `errorMessage`) and from the
//! notices of its own retries. Sessions keep failed messages; a retry is a message more.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::claude::{Flag, Maybe, Present};
use super::loose::{Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Retry, Role, ToolCall, ToolResult, Usage};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format of Pi.
pub(super) static FORMAT: Pi = Pi;

/// Recognises Pi's sessions and streams and makes decoders for them.
pub(super) struct Pi;

impl Format for Pi {
    fn name(&self) -> &'static str {
        "pi"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let head = &frame.bytes[..frame.bytes.len().min(RECOGNISE_BYTES)];
        memchr::memmem::find(head, b"\"type\"").is_some()
            && parse(frame.bytes).is_some_and(|line| line.is_certain())
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

/// How far into a frame its kind is looked for before it is parsed to recognise it.
const RECOGNISE_BYTES: usize = 256;

/// Each line says all that is needed.
struct Decoder;

/// Every field of every kind of line that we read. What is absent or of another type is empty.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    timestamp: Loose<'a>,
    message: Maybe<ChatMessage<'a>>,
    // Sessions.
    id: Loose<'a>,
    cwd: Loose<'a>,
    model_id: Loose<'a>,
    provider: Loose<'a>,
    thinking_level: Loose<'a>,
    summary: Loose<'a>,
    tokens_before: Present,
    from_id: Present,
    payload: Present,
    // Events.
    tool_call_id: Loose<'a>,
    tool_name: Loose<'a>,
    args: Option<&'a RawValue>,
    result: Loose<'a>,
    is_error: Flag,
    attempt: Number,
    max_attempts: Number,
    delay_ms: Number,
    error_message: Loose<'a>,
    final_error: Loose<'a>,
    success: Flag,
    aborted: Flag,
    reason: Loose<'a>,
    messages: Present,
}

/// A message of any role.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct ChatMessage<'a> {
    role: Loose<'a>,
    model: Loose<'a>,
    content: Option<&'a RawValue>,
    timestamp: Number,
    stop_reason: Loose<'a>,
    error_message: Loose<'a>,
    usage: Maybe<Tokens>,
    tool_call_id: Loose<'a>,
    is_error: Flag,
}

/// A block of the model's message.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    text: Loose<'a>,
    id: Loose<'a>,
    name: Loose<'a>,
    arguments: Option<&'a RawValue>,
}

/// Token counts; the input's are without the cached ones.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tokens {
    input: Number,
    output: Number,
    cache_read: Number,
    cache_write: Number,
    cost: Maybe<Cost>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cost {
    total: Number,
}

fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    json::from_slice(bytes).ok()
}

fn parse_raw<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    json::from_str(raw?.get()).ok()
}

const ROLES: [&str; 7] =
    ["user", "assistant", "toolResult", "bashExecution", "custom", "branchSummary", "compactionSummary"];

impl Line<'_> {
    /// Whether nobody else writes such a line.
    fn is_certain(&self) -> bool {
        let timed = self.timestamp.is_some();
        if self.payload.0 {
            return false;
        }
        match self.kind.as_str() {
            "session" => timed && self.id.is_some() && self.cwd.is_some(),
            "message" => timed && self.has_message(),
            "model_change" => timed && self.model_id.is_some() && self.provider.is_some(),
            "thinking_level_change" => timed && self.thinking_level.is_some(),
            "compaction" => timed && self.summary.is_some() && self.tokens_before.0,
            "branch_summary" => timed && self.summary.is_some() && self.from_id.0,
            "message_start" | "message_update" | "message_end" | "turn_end" => !timed && self.has_message(),
            "tool_execution_start" | "tool_execution_update" | "tool_execution_end" => {
                !timed && self.tool_call_id.is_some() && self.tool_name.is_some()
            }
            "auto_retry_start" => self.max_attempts.0.is_some() && self.delay_ms.0.is_some(),
            "auto_retry_end" => self.success.0.is_some() && self.attempt.0.is_some(),
            _ => false,
        }
    }

    /// Whether it is one of ours in a stream that is.
    fn is_ours(&self) -> bool {
        self.is_certain()
            || match self.kind.as_str() {
                "agent_start" | "turn_start" => true,
                "agent_end" => self.messages.0,
                "auto_compaction_start" | "auto_compaction_end" | "compaction_start" | "compaction_end" => true,
                "custom" | "custom_message" | "label" | "session_info" | "extension_error" => {
                    self.timestamp.is_some() && self.id.is_some()
                }
                _ => false,
            }
    }

    fn has_message(&self) -> bool {
        self.message.0.as_ref().is_some_and(|message| {
            ROLES.contains(&message.role.as_str())
                && (message.timestamp.0.is_some() || message.stop_reason.is_some())
        })
    }
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some(line) = parse(frame.bytes).filter(Line::is_ours) else { return Decoded::No };
        let told = line.message.0.as_ref().and_then(|message| message.timestamp.0);
        let time = Timestamp::parse_rfc3339(line.timestamp.as_str())
            .or_else(|| told.and_then(Timestamp::from_epoch_guess));
        let mut say = |body: Body<'_>| out(Record { time, ..Record::new(body) });
        let other = Body::Lifecycle(Lifecycle::Other);
        match line.kind.as_str() {
            "session" => out(Record {
                time,
                session: line.id.0,
                ..Record::new(Body::Lifecycle(Lifecycle::Started { cwd: line.cwd.0, model: line.model_id.0 }))
            }),
            "model_change" => {
                say(Body::Lifecycle(Lifecycle::Started { cwd: None, model: line.model_id.0 }));
            }
            "compaction" => say(Body::Lifecycle(Lifecycle::Compacted)),
            // In a stream, events of their own tell the calls and their results.
            "message" => message(line.message.0.unwrap_or_default(), Some(line.id.as_str()), &mut say),
            "message_end" => message(line.message.0.unwrap_or_default(), None, &mut say),
            "tool_execution_start" => say(Body::ToolCall(ToolCall {
                id: line.tool_call_id.text(),
                name: line.tool_name.text(),
                input: line.args.map_or("", RawValue::get).into(),
            })),
            "tool_execution_end" => {
                say(tool_result(line.tool_call_id.text(), line.is_error.0 == Some(true), line.result.text()));
            }
            "agent_start" => say(Body::Lifecycle(Lifecycle::TurnStarted)),
            "auto_retry_start" => {
                let small = |number: Number| number.count().and_then(|count| u32::try_from(count).ok());
                let retry = Retry {
                    attempt: small(line.attempt),
                    max_attempts: small(line.max_attempts),
                    delay_ms: line.delay_ms.count(),
                };
                say(Body::Failure(Failure { retry: Some(retry), ..provider_failure(line.error_message.text()) }));
            }
            // The request did not fit; the context is made smaller and it is sent again.
            "auto_compaction_start" | "compaction_start" if line.reason.as_str() == "overflow" => {
                say(Body::Failure(Failure {
                    class: Some(Class::TokenLimit),
                    retry: Some(Retry::default()),
                    ..Failure::new(Origin::Agent, "the context overflowed and is being compacted")
                }));
            }
            "auto_retry_end" if line.success.0 == Some(false) => {
                say(Body::Failure(Failure { ends: true, ..provider_failure(line.final_error.text()) }));
            }
            "auto_compaction_end" | "compaction_end" if line.error_message.is_some() => {
                say(Body::Failure(Failure {
                    codes: vec![Cow::Borrowed("compact_failed")],
                    ..Failure::new(Origin::Agent, format!("compaction failed: {}", line.error_message.as_str()))
                }));
            }
            "auto_compaction_end" | "compaction_end" if line.aborted.0 != Some(true) => {
                say(Body::Lifecycle(Lifecycle::Compacted));
            }
            _ => say(other),
        }
        Decoded::Yes
    }
}

/// A message that is done. `calls`: whether it also stands for the calls and results in it.
fn message(message: ChatMessage<'_>, id: Option<&str>, say: &mut dyn FnMut(Body<'_>)) {
    let text = |raw| parse_raw::<Loose<'_>>(raw).unwrap_or_default().text();
    match message.role.as_str() {
        "assistant" => answer(message, id, say),
        "toolResult" if id.is_some() => {
            let failed = message.is_error.0 == Some(true);
            say(tool_result(message.tool_call_id.text(), failed, text(message.content)));
        }
        "user" | "custom" => say(Body::Message(Message { role: Role::User, text: text(message.content).into() })),
        // Commands that a person ran, summaries of what was said before.
        _ => say(Body::Lifecycle(Lifecycle::Other)),
    }
}

/// A message of the model, or what became of it.
fn answer(message: ChatMessage<'_>, id: Option<&str>, say: &mut dyn FnMut(Body<'_>)) {
    let (reason, calls) = (message.stop_reason.as_str(), id.is_some());
    let blocks = parse_raw::<Vec<Maybe<Block<'_>>>>(message.content).unwrap_or_default();
    let stopped = matches!(reason, "error" | "aborted");
    if !stopped {
        let mut texts = blocks
            .iter()
            .filter_map(|block| block.0.as_ref().filter(|block| block.kind.as_str() == "text"))
            .map(|block| Cow::Borrowed(block.text.as_str()));
        let first = texts.next().unwrap_or_default();
        let text = texts.fold(first, |all, text| all + "\n" + text);
        say(Body::Message(Message { role: Role::Assistant, text: text.into() }));
        for block in blocks.into_iter().filter_map(|block| block.0) {
            if calls && block.kind.as_str() == "toolCall" {
                say(Body::ToolCall(ToolCall {
                    id: block.id.text(),
                    name: block.name.text(),
                    input: block.arguments.map_or("", RawValue::get).into(),
                }));
            }
        }
    }
    if let Some(usage) = message.usage.0.and_then(usage) {
        let model = message.model.as_str();
        say(Body::Usage(Usage { model: Some(model).filter(|model| !model.is_empty()), message: id, ..usage }));
    }
    let (origin, class) = match reason {
        "stop" => return say(Body::Lifecycle(Lifecycle::TurnEnded)),
        "aborted" => (Origin::Agent, Some(Class::Interrupted)),
        "error" => (Origin::Provider, None),
        "length" => (Origin::Provider, Some(Class::OutputLimit)),
        _ => return,
    };
    // A stream says in an event of its own, behind the message, that the request will be sent again. A session does
    // not, and has the next message then.
    let may_retry = !calls && reason == "error";
    let words = if message.error_message.is_some() { message.error_message } else { message.stop_reason };
    say(Body::Failure(Failure { origin, class, ends: true, may_retry, ..provider_failure(words.text()) }));
}

/// A failed request; the SDKs of the providers put the HTTP status in front of their message.
fn provider_failure(text: Cow<'_, str>) -> Failure<'_> {
    let status = text.split_once(' ').and_then(|(word, _)| word.parse::<u16>().ok());
    let status = status.filter(|status| (400..600).contains(status));
    Failure { status, ..Failure::new(Origin::Provider, text) }
}

fn tool_result<'a>(id: Cow<'a, str>, failed: bool, text: Cow<'a, str>) -> Body<'a> {
    let exit_code = if failed { exit_code(&text) } else { None };
    Body::ToolResult(ToolResult { id, failed, exit_code, text: text.into() })
}

/// The exit status that a failed command's output ends with.
fn exit_code(text: &str) -> Option<i64> {
    let (_, rest) = text.trim_end().rsplit_once("Command exited with code ")?;
    rest.parse().ok()
}

/// What a message used; `None` if it used nothing.
fn usage(tokens: Tokens) -> Option<Usage<'static>> {
    let usage = Usage {
        input_tokens: tokens.input.count(),
        output_tokens: tokens.output.count(),
        cache_read_tokens: tokens.cache_read.count(),
        cache_creation_tokens: tokens.cache_write.count(),
        cost_usd: tokens.cost.0.and_then(|cost| cost.total.0).filter(|cost| *cost >= 0.0),
        ..Usage::default()
    };
    let counts = [usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_creation_tokens];
    counts.into_iter().flatten().any(|count| count > 0).then_some(usage)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::FORMATS;
    use super::super::claude::told::{everything, frame, story};
    use super::*;
    use crate::engine::{Doctor, Options};
    use crate::model::{Event, EventBody};

    const STOPPED: &str = include_str!("../../../fixtures/transcripts/pi/session_errors/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/pi/clean_session/input.jsonl");
    const STREAM: &str = include_str!("../../../fixtures/transcripts/pi/stream_retries/input.jsonl");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn how_a_message_stopped_tells_what_failed() {
        assert_eq!(
            told(STOPPED),
            [
                "started Some(\"/home/dev/shop\") Some(\"model-one\")",
                "User: List the files.",
                "agent failure [] is interrupted ends: Request was aborted.",
                "User: Go on.",
                "provider failure 529 [] ends: 529 {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
                "Assistant: The files are",
                "provider failure [] is output_limit ends: length",
                "provider failure [] ends: error",
            ]
        );
    }

    #[test]
    fn a_good_session_has_no_failures_whatever_it_shows() {
        assert_eq!(
            told(CLEAN),
            [
                "started Some(\"/home/dev/shop\") None",
                "started None Some(\"model-two\")",
                "User: Why 429?",
                "Assistant: I will look.\nThe error 529 is known.",
                "call toolu_1 bash {\"command\":\"grep 429 app.log\"}",
                "result toolu_1 failed exit 1: rate limit exceeded\n\nCommand exited with code 1",
                "Assistant: ",
                "call toolu_2 read {\"path\":\"quota.md\"}",
                "result toolu_2 fine: You've hit your usage limit",
                "Compacted",
                "Assistant: stopReason error is documented.",
                "TurnEnded",
            ]
        );
        let mut usage = everything(&FORMAT, &CLEAN.lines().collect::<Vec<_>>());
        usage.retain(|record| record.starts_with("usage"));
        assert_eq!(usage, ["usage Request in 6 out 40 read 900 written 90 window None cost 0.01"]);
    }

    #[test]
    fn the_stream_says_that_it_retries() {
        assert_eq!(
            told(STREAM),
            [
                "started Some(\"/home/dev/shop\") None",
                "TurnStarted",
                "User: List the files.",
                "provider failure 429 [] ends: 429 slow down",
                "provider failure 429 [] retry 1/3 in 2000: 429 slow down",
                "Assistant: I will list them.",
                "call toolu_1 bash {\"command\":\"ls\"}",
                "result toolu_1 failed: timed out",
                "agent failure [compact_failed]: compaction failed: nothing to cut",
                "Compacted",
                "provider failure [] ends: still 429",
            ]
        );
    }

    /// What a stream with these lines in the middle of a turn is told of, as types and classes.
    fn events(lines: &[&str], then: impl FnOnce(&mut Doctor, &mut Vec<Event>)) -> Vec<String> {
        let session = STREAM.lines().next().unwrap();
        let mut doctor = Doctor::new(Arc::new(Options::new()), "-", "-");
        let mut events = Vec::new();
        for line in [&[session][..], lines].concat() {
            let line = format!("{line}\n");
            doctor.feed(NOW, line.as_bytes(), &mut |event| events.push(event));
        }
        then(&mut doctor, &mut events);
        let told = events.iter().filter_map(|event| match &event.body {
            EventBody::Finding(finding) if finding.self_healing => Some(format!("{} retried", finding.class)),
            EventBody::Finding(finding) => Some(format!("{} found", finding.class)),
            EventBody::Alert(alert) => Some(format!("{} alert", alert.class)),
            _ => None,
        });
        told.collect()
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_795_150_803);
    const FAILED: &str = r#"{"type":"message_end","message":{"role":"assistant","content":[],"stopReason":"error","errorMessage":"529 Overloaded","timestamp":1795150802000}}"#;
    const TURN_END: &str = r#"{"type":"turn_end","message":{"role":"assistant","content":[],"stopReason":"error","errorMessage":"529 Overloaded","timestamp":1795150802000},"toolResults":[]}"#;
    const AGENT_END: &str = r#"{"type":"agent_end","messages":[]}"#;
    const RETRY: &str = r#"{"type":"auto_retry_start","attempt":1,"maxAttempts":3,"delayMs":2000,"errorMessage":"529 Overloaded"}"#;
    const GAVE_UP: &str = r#"{"type":"auto_retry_end","success":false,"attempt":3,"finalError":"529 Overloaded"}"#;
    const PROMPT: &str = r#"{"type":"message_end","message":{"role":"user","content":[{"type":"text","text":"Go on."}],"timestamp":1795150803000}}"#;

    #[test]
    fn a_failure_is_judged_when_no_notice_of_a_retry_follows_it() {
        let nothing = |_: &mut Doctor, _: &mut Vec<Event>| {};
        let retried = ["overloaded found", "overloaded retried"];
        assert_eq!(events(&[FAILED, RETRY], nothing), retried);
        assert_eq!(events(&[FAILED, TURN_END, AGENT_END, RETRY], nothing), retried);
        // The notice of the attempt before says nothing of the failure behind it.
        let failed_again = ["overloaded found", "overloaded retried", "overloaded found", "overloaded alert"];
        assert_eq!(events(&[FAILED, RETRY, FAILED, TURN_END, PROMPT], nothing), failed_again);
        let gave_up = events(&[FAILED, RETRY, FAILED, AGENT_END, GAVE_UP], nothing);
        assert_eq!(gave_up[..4], failed_again);
        assert_eq!(gave_up[4..], ["overloaded found"], "the end is the same trouble");
    }

    #[test]
    fn a_failure_that_nothing_follows_is_judged_in_time() {
        let found = ["overloaded found", "overloaded alert"];
        let later = |millis: i64| {
            move |doctor: &mut Doctor, events: &mut Vec<Event>| {
                let due = doctor.next_deadline().unwrap();
                assert!(due <= NOW.plus_millis(100), "the wait is short");
                doctor.tick(NOW.plus_millis(millis), &mut |event| events.push(event));
            }
        };
        assert_eq!(events(&[FAILED, AGENT_END], later(99)), found[..1]);
        assert_eq!(events(&[FAILED, AGENT_END], later(100)), found);
        let end = |doctor: &mut Doctor, events: &mut Vec<Event>| {
            doctor.finish(NOW, &mut |event| events.push(event));
            let Some(EventBody::Summary(summary)) = events.last().map(|event| &event.body) else { panic!() };
            assert_eq!(summary.alerts.values().sum::<u64>(), 1);
        };
        assert_eq!(events(&[FAILED, AGENT_END], end), found);
    }

    #[test]
    fn a_context_that_overflowed_and_is_compacted_is_no_trouble() {
        let overflow = FAILED.replace("529 Overloaded", "prompt is too long: 208310 tokens > 200000 maximum");
        let start = r#"{"type":"auto_compaction_start","reason":"overflow"}"#;
        let told = events(&[&overflow, AGENT_END, start], |_, _| {});
        assert_eq!(told, ["token_limit found", "token_limit retried"]);
    }

    #[test]
    fn claims_its_own_and_only_its_own() {
        let mut decoder = FORMAT.decoder();
        for line in [STOPPED, CLEAN, STREAM].iter().flat_map(|text| text.lines()) {
            assert_eq!(decoder.json(frame(line.as_bytes()), &mut |_| {}), Decoded::Yes, "{line}");
            let first = FORMATS.iter().find(|format| format.recognise(frame(line.as_bytes())));
            assert!(matches!(first.map(|format| format.name()), Some("pi") | None), "{line}");
        }
        for line in [
            r#"{"type":"message","timestamp":"2026-11-20T05:00:00Z","role":"assistant","content":"x"}"#,
            r#"{"type":"message","message":{"role":"assistant","created":1795150800,"content":[]}}"#,
            r#"{"type":"message","timestamp":"2026-11-20T05:00:00Z","message":{"role":"assistant","content":[]}}"#,
            r#"{"type":"session","id":"s","timestamp":"2026-11-20T05:00:00Z","cwd":"/x","payload":{}}"#,
            r#"{"type":"session","id":"s","cwd":"/x"}"#,
            r#"{"type":"custom","timestamp":"2026-11-20T05:00:00Z"}"#,
            r#"{"type":"compaction","summary":"x"}"#,
            "{}", "[]", "\"type\"",
        ] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert_eq!(decoder.json(frame(line.as_bytes()), &mut |_| panic!("{line}")), Decoded::No);
        }
        for line in [r#"{"type":"agent_start"}"#, r#"{"type":"agent_end","messages":[]}"#] {
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
            let lines: Vec<&str> = [STOPPED, CLEAN, STREAM].iter().flat_map(|text| text.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let cut = &line[..at.index(line.len() + 1)];
            for bytes in [&bytes, cut, line] {
                FORMAT.recognise(frame(bytes));
                Decoder.json(frame(bytes), &mut |_| {});
            }
            exit_code(&format!("Command exited with code {text}"));
            provider_failure(Cow::Owned(text));
        }
    }
}
