//! Cursor's agent: `-p --output-format stream-json`, which is like Claude's stream but for its tool calls.
//!
//! It has no error events: a result may say `is_error`, and what ends a run otherwise is a line of plain text,
//! sometimes with an exit status of 0.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::claude::{Flag, Maybe, Present};
use super::loose::{Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Role, ToolCall, ToolResult, Usage, UsageScope};
use crate::model::{Body, Failure, Origin, Record, Timestamp};

/// The format of Cursor's command-line agent.
pub(super) static FORMAT: Cursor = Cursor;

/// Recognises the streams of Cursor's agent and makes decoders for them.
pub(super) struct Cursor;

impl Format for Cursor {
    fn name(&self) -> &'static str {
        "cursor"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let bytes = frame.bytes.trim_ascii_start();
        if !bytes.starts_with(b"{") {
            return bytes.starts_with(ACTION_REQUIRED.as_bytes());
        }
        let signs: [&[u8]; 4] = [b"\"apiKeySource\"", b"\"tool_call\"", b"\"request_id\"", b"\"thinking\""];
        signs.iter().any(|sign| memchr::memmem::find(bytes, sign).is_some())
            && parse(bytes).is_some_and(|line| line.is_certain())
    }

    fn banners(&self) -> &'static [&'static str] {
        &["actionrequirederror: "]
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

/// How the line begins that says that the account cannot go on. The rules for plain lines know what it says.
const ACTION_REQUIRED: &str = "ActionRequiredError: ";

/// How the line begins that says that a request failed; a code in brackets follows.
const CONNECT_ERROR: &str = "ConnectError: [";

/// Each event says all that is needed.
struct Decoder;

/// One event.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    subtype: Loose<'a>,
    session_id: Loose<'a>,
    #[serde(rename = "timestamp_ms")]
    timestamp: Number,
    cwd: Loose<'a>,
    model: Loose<'a>,
    message: Maybe<ChatMessage<'a>>,
    call_id: Loose<'a>,
    tool_call: Option<&'a RawValue>,
    is_error: Flag,
    result: Loose<'a>,
    error: Loose<'a>,
    usage: Maybe<Tokens>,
    // What tells it from Claude's stream.
    #[serde(rename = "apiKeySource")]
    api_key_source: Present,
    request_id: Present,
    uuid: Present,
    tools: Present,
    parent_tool_use_id: Present,
    num_turns: Present,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ChatMessage<'a> {
    role: Loose<'a>,
    content: Loose<'a>,
}

/// Token counts; the input's are without the cached ones. Old versions have none.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tokens {
    input_tokens: Number,
    output_tokens: Number,
    cache_read_tokens: Number,
    cache_write_tokens: Number,
}

/// A tool's call, under a key that names the tool.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Call<'a> {
    args: Option<&'a RawValue>,
    /// One key that says how it went, with the rest under it.
    result: Option<&'a RawValue>,
    // Tools that are not Cursor's own.
    name: Loose<'a>,
    arguments: Option<&'a RawValue>,
    // A wrapper that some versions have.
    case: Loose<'a>,
    value: Option<&'a RawValue>,
}

/// What a tool answered.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Answer<'a> {
    exit_code: Number,
    stdout: Loose<'a>,
    stderr: Loose<'a>,
    content: Loose<'a>,
    error: Loose<'a>,
    error_message: Loose<'a>,
    message: Loose<'a>,
    reason: Loose<'a>,
}

fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    json::from_slice(bytes).ok()
}

fn parse_raw<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    json::from_str(raw?.get()).ok()
}

impl Line<'_> {
    /// Whether it has a mark of Claude's stream, or of those that copy it.
    fn is_claudes(&self) -> bool {
        self.uuid.0 || self.parent_tool_use_id.0 || self.tools.0 || self.num_turns.0
    }

    /// Whether it can only be one of ours.
    fn is_certain(&self) -> bool {
        let subtype = self.subtype.as_str();
        let certain = match self.kind.as_str() {
            "system" => subtype == "init" && self.api_key_source.0,
            "tool_call" => {
                matches!(subtype, "started" | "completed") && self.tool_call.is_some() && self.call_id.is_some()
            }
            "thinking" => matches!(subtype, "delta" | "completed"),
            "result" => self.is_error.0.is_some() && self.request_id.0,
            _ => false,
        };
        certain && self.session_id.is_some() && !self.is_claudes()
    }

    /// Whether it is one of ours in a stream that is.
    fn is_likely(&self) -> bool {
        let subtype = self.subtype.is_some();
        let known = match self.kind.as_str() {
            "user" | "assistant" => self.message.0.as_ref().is_some_and(|message| message.role.is_some()),
            "result" => self.is_error.0.is_some(),
            "tool_call" => self.tool_call.is_some(),
            "" | "error" => false,
            _ => subtype,
        };
        known && (self.session_id.is_some() || self.kind.as_str() == "tool_call") && !self.is_claudes()
    }
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some(line) = parse(frame.bytes).filter(Line::is_likely) else { return Decoded::No };
        let time = line.timestamp.0.and_then(Timestamp::from_epoch_guess);
        let session = line.session_id.0.filter(|id| !id.is_empty());
        let mut say = |body: Body<'_>| {
            out(Record { time, session: session.as_deref().map(Cow::Borrowed), ..Record::new(body) });
        };
        match line.kind.as_str() {
            "system" if line.subtype.as_str() == "init" => {
                say(Body::Lifecycle(Lifecycle::Started { cwd: line.cwd.0, model: line.model.0 }));
            }
            "user" | "assistant" => {
                let role = if line.kind.as_str() == "user" { Role::User } else { Role::Assistant };
                let text = line.message.0.map(|message| message.content).unwrap_or_default();
                say(Body::Message(Message { role, text: text.text().into() }));
            }
            "tool_call" => tool_call(&line.call_id, line.tool_call, line.subtype.as_str() == "started", &mut say),
            "result" => {
                if let Some(tokens) = line.usage.0 {
                    say(Body::Usage(Usage {
                        scope: UsageScope::Turn,
                        input_tokens: tokens.input_tokens.count(),
                        output_tokens: tokens.output_tokens.count(),
                        cache_read_tokens: tokens.cache_read_tokens.count(),
                        cache_creation_tokens: tokens.cache_write_tokens.count(),
                        ..Usage::default()
                    }));
                }
                say(if line.is_error.0 == Some(true) {
                    let text = [line.error, line.result, line.subtype].into_iter().find(Loose::is_some);
                    let text = text.unwrap_or_default().text();
                    Body::Failure(Failure { ends: true, ..Failure::new(Origin::Provider, text) })
                } else {
                    Body::Lifecycle(Lifecycle::TurnEnded)
                });
            }
            _ => say(Body::Lifecycle(Lifecycle::Other)),
        }
        Decoded::Yes
    }

    fn text(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        // Which failure it is, the code says; the message beside it is often just "Error".
        let Some((code, message)) = line.strip_prefix(CONNECT_ERROR).and_then(|rest| rest.split_once(']')) else {
            return Decoded::No;
        };
        let word = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !word || !(message.is_empty() || message.starts_with(' ')) {
            return Decoded::No;
        }
        out(Record::new(Body::Failure(Failure {
            codes: vec![Cow::Borrowed(code)],
            structured: false,
            ..Failure::new(Origin::Provider, line)
        })));
        Decoded::Yes
    }
}

/// A tool's call, when it starts and again when it is done.
fn tool_call(id: &Loose<'_>, raw: Option<&RawValue>, starts: bool, say: &mut dyn FnMut(Body<'_>)) {
    let keys: BTreeMap<Cow<'_, str>, &RawValue> = parse_raw(raw).unwrap_or_default();
    let mut found = keys
        .iter()
        .filter(|(key, _)| key.ends_with("ToolCall") || matches!(&***key, "function" | "tool"))
        .filter_map(|(key, value)| Some((&**key, parse_raw::<Call<'_>>(Some(value))?)));
    let Some((key, mut call)) = found.next() else { return say(Body::Lifecycle(Lifecycle::Other)) };
    let mut name = if call.name.is_some() { call.name.clone().text() } else { Cow::Borrowed(key) };
    if let Some(inner) = parse_raw::<Call<'_>>(call.value) {
        name = call.case.text();
        call = inner;
    }
    let name = name.strip_suffix("ToolCall").unwrap_or(&name);
    let id = Cow::Borrowed(id.as_str());
    if starts {
        let input = call.args.or(call.arguments).map_or("", RawValue::get);
        return say(Body::ToolCall(ToolCall { id, name: Cow::Borrowed(name), input: input.into() }));
    }
    let outcome: BTreeMap<Cow<'_, str>, &RawValue> = parse_raw(call.result).unwrap_or_default();
    let (word, answer) = outcome.iter().next().map_or(("", None), |(word, answer)| (&**word, Some(*answer)));
    let answer: Answer<'_> = parse_raw(answer).unwrap_or_default();
    let texts = [
        answer.error,
        answer.error_message,
        answer.stderr,
        answer.stdout,
        answer.content,
        answer.message,
        answer.reason,
    ];
    let mut texts = texts.into_iter().filter(Loose::is_some).map(Loose::text);
    let first = texts.next().unwrap_or_default();
    let text = texts.fold(first, |all, text| all + "\n" + text);
    let (failed, exit_code) = (is_failure(word), answer.exit_code.whole());
    say(Body::ToolResult(ToolResult { id, failed, exit_code, text: text.into() }));
}

/// Whether the word that says how a call went says that it failed.
fn is_failure(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    ["fail", "error", "reject", "denied", "timeout", "notfound", "invalid", "abort", "cancel"]
        .iter()
        .any(|part| lower.contains(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::FORMATS;
    use super::super::claude::told::{everything, frame, story, text_story};
    use super::*;

    const FAILED: &str = include_str!("../../../fixtures/transcripts/cursor/failed_result/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/cursor/clean_run/input.jsonl");
    const PLAIN: &str = include_str!("../../../fixtures/transcripts/cursor/spend_limit/input.txt");
    const CLAUDE: &str = include_str!("../../../fixtures/transcripts/claude/clean_run/input.jsonl");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_result_may_say_that_it_is_none() {
        assert_eq!(
            told(FAILED),
            [
                "started Some(\"/home/dev/shop\") Some(\"Auto\")",
                "User: List the files.",
                "provider failure [] ends: The model is overloaded.",
            ]
        );
    }

    #[test]
    fn a_good_run_has_no_failures_whatever_its_tools_print() {
        assert_eq!(
            told(CLEAN),
            [
                "started Some(\"/home/dev/shop\") Some(\"Auto\")",
                "User: Run the tests; 429 is expected.",
                "Assistant: I will run them.",
                "call call_1 shell {\"command\":\"go test ./...\"}",
                "result call_1 failed exit 1: --- FAIL: TestTimeout rate limit exceeded",
                "call call_2 read {\"path\":\"quota.md\"}",
                "result call_2 fine: You've hit your usage limit",
                "call call_3 grep {\"pattern\":\"529\"}",
                "result call_3 fine: ",
                "call call_4 search {\"q\":\"401\"}",
                "result call_4 failed: not allowed",
                "Assistant: One test fails on a timeout. ActionRequiredError: is a class name.",
                "TurnEnded",
            ]
        );
        let mut usage = everything(&FORMAT, &CLEAN.lines().collect::<Vec<_>>());
        usage.retain(|record| record.starts_with("usage"));
        assert_eq!(usage, ["usage Turn in 200 out 30 read 70 written 0 window None cost None"]);
    }

    #[test]
    fn lines_of_plain_text_say_what_ended_a_run() {
        let line = PLAIN.lines().next().unwrap();
        assert!(FORMAT.recognise(frame(line.as_bytes())));
        assert_eq!(Decoder.text(line, &mut |_| {}), Decoded::No, "the rules for plain lines know it");
        assert_eq!(
            text_story(&FORMAT, &["ConnectError: [resource_exhausted] Error", "ConnectError: [unavailable]"]),
            [
                "provider failure [resource_exhausted] read: ConnectError: [resource_exhausted] Error",
                "provider failure [unavailable] read: ConnectError: [unavailable]",
            ]
        );
        for line in ["ConnectError: [", "ConnectError: []", "ConnectError: [x](url)", "ConnectError: [A b] c", "a ConnectError: [x] y"] {
            assert_eq!(Decoder.text(line, &mut |_| panic!("{line}")), Decoded::No);
            assert!(!FORMAT.recognise(frame(line.as_bytes())));
        }
    }

    #[test]
    fn claims_its_own_and_nothing_of_claudes() {
        let mut decoder = FORMAT.decoder();
        for line in [FAILED, CLEAN].iter().flat_map(|text| text.lines()) {
            assert_eq!(decoder.json(frame(line.as_bytes()), &mut |_| {}), Decoded::Yes);
            let first = FORMATS.iter().find(|format| format.recognise(frame(line.as_bytes())));
            let common = ["\"user\",", "\"assistant\",", "interaction_query"].iter().any(|kind| line.contains(kind));
            assert!(first.map(|format| format.name()) == Some("cursor") || common, "{line}");
        }
        for line in CLAUDE.lines().chain([
            r#"{"type":"system","subtype":"init","apiKeySource":"none","session_id":"s","tools":[],"uuid":"u"}"#,
            r#"{"type":"tool_call","subtype":"started","name":"x","session_id":"s"}"#,
            r#"{"type":"result","is_error":false,"session_id":"s","request_id":"r","num_turns":3}"#,
            r#"{"type":"assistant","message":{"role":"assistant","content":"x"},"parent_tool_use_id":null,"session_id":"T-0000"}"#,
            r#"{"type":"thinking","text":"x"}"#, "{}", "[]", "",
        ]) {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert_eq!(decoder.json(frame(line.as_bytes()), &mut |_| panic!("{line}")), Decoded::No);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "\\PC{0,40}",
            line in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let lines: Vec<&str> = [FAILED, CLEAN].iter().flat_map(|text| text.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let cut = &line[..at.index(line.len() + 1)];
            for bytes in [&bytes, cut, line] {
                FORMAT.recognise(frame(bytes));
                Decoder.json(frame(bytes), &mut |_| {});
            }
            Decoder.text(&format!("{CONNECT_ERROR}{text}"), &mut |_| {});
        }
    }
}
