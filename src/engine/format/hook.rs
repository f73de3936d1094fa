//! What Claude Code hands its hooks: one JSON object an event, collected as lines.
//!
//! `StopFailure` is the only event that reports a provider's failure; a tool's failure and a notification that a
//! person is waited for have events of their own. All else in them is content.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::loose::{Loose, Placed, object};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Role, ToolCall, ToolResult};
use crate::model::{Body, Class, Failure, Origin, Record};

/// The format.
pub(super) static FORMAT: Hook = Hook;

/// Payloads of Claude Code's hooks.
pub(super) struct Hook;

impl Format for Hook {
    fn name(&self) -> &'static str {
        "hook"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        memchr::memmem::find(frame.bytes, b"\"hook_event_name\"").is_some()
            && object::<Payload<'_>>(frame.bytes).is_some_and(|payload| payload.is_one())
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow, rename = "hook_event_name")]
    event: Loose<'a>,
    #[serde(borrow, rename = "session_id")]
    session: Loose<'a>,
    #[serde(borrow, rename = "transcript_path")]
    transcript: Loose<'a>,
    #[serde(borrow)]
    cwd: Loose<'a>,
    #[serde(borrow)]
    model: Loose<'a>,
    #[serde(borrow, rename = "agent_id")]
    agent: Loose<'a>,
    #[serde(borrow)]
    error: Placed<'a>,
    #[serde(borrow, rename = "error_details")]
    details: Loose<'a>,
    #[serde(borrow, rename = "last_assistant_message")]
    last: Loose<'a>,
    #[serde(borrow)]
    message: Loose<'a>,
    #[serde(borrow, rename = "notification_type")]
    notification: Loose<'a>,
    #[serde(borrow)]
    prompt: Loose<'a>,
    #[serde(borrow, rename = "tool_name")]
    tool: Loose<'a>,
    #[serde(borrow, rename = "tool_use_id")]
    call: Loose<'a>,
    #[serde(borrow, rename = "tool_input")]
    input: Option<&'a RawValue>,
    #[serde(borrow, rename = "tool_response")]
    response: Option<&'a RawValue>,
    is_interrupt: Option<bool>,
}

impl Payload<'_> {
    fn is_one(&self) -> bool {
        self.event.is_some() && self.session.is_some() && (self.transcript.is_some() || self.cwd.is_some())
    }
}

struct Decoder;

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some(payload) = object::<Payload<'_>>(frame.bytes).filter(Payload::is_one) else {
            return Decoded::No;
        };
        let (session, subagent) = (payload.session.as_str(), payload.agent.0.as_deref());
        let mut say = |at: usize, body: Body<'_>| {
            out(Record {
                session: Some(Cow::Borrowed(session)),
                subagent: subagent.map(Cow::Borrowed),
                at,
                ..Record::new(body)
            });
        };
        let raw = |raw: Option<&'_ RawValue>| raw.map_or("", RawValue::get).to_owned();
        match payload.event.as_str() {
            "SessionStart" => {
                let (cwd, model) = (payload.cwd.0.clone(), payload.model.0.clone());
                say(0, Body::Lifecycle(Lifecycle::Started { cwd, model }));
            }
            "UserPromptSubmit" => {
                say(0, Body::Message(Message { role: Role::User, text: payload.prompt.clone().text().into() }));
            }
            "PreToolUse" => say(
                0,
                Body::ToolCall(ToolCall {
                    id: payload.call.clone().text(),
                    name: payload.tool.clone().text(),
                    input: raw(payload.input).into(),
                }),
            ),
            event @ ("PostToolUse" | "PostToolUseFailure") => {
                let failed = event == "PostToolUseFailure";
                let text = if failed { payload.error.as_str().to_owned() } else { raw(payload.response) };
                let id = payload.call.clone().text();
                let at = if failed { payload.error.at(frame.bytes) } else { 0 };
                say(at, Body::ToolResult(ToolResult { id, failed, exit_code: None, text: text.into() }));
                if failed && payload.is_interrupt == Some(true) {
                    let class = Some(Class::Interrupted);
                    let text = "the tool was interrupted";
                    say(at, Body::Failure(Failure { class, ..Failure::new(Origin::Agent, text) }));
                }
            }
            "StopFailure" => {
                let status = payload.details.as_str().trim();
                let status = status.get(..3).unwrap_or(status).parse().ok().filter(|n| (400..600).contains(n));
                let texts = [&payload.last, &payload.details];
                let text = texts.into_iter().find(|text| text.is_some());
                let text = text.map_or(payload.error.as_str(), |text| text.as_str());
                let codes = if payload.error.is_some() { vec![Cow::Borrowed(payload.error.as_str())] } else { Vec::new() };
                say(
                    payload.error.at(frame.bytes),
                    Body::Failure(Failure { status, codes, ends: true, ..Failure::new(Origin::Provider, text) }),
                );
            }
            "Notification" if waits(&payload) => {
                let text = payload.message.as_str();
                let class = Some(Class::WaitingInput);
                say(0, Body::Failure(Failure { class, ..Failure::new(Origin::Agent, text) }));
            }
            "ElicitationResult" => say(0, Body::Lifecycle(Lifecycle::Answered)),
            "Stop" => say(0, Body::Lifecycle(Lifecycle::TurnEnded)),
            "PostCompact" => say(0, Body::Lifecycle(Lifecycle::Compacted)),
            _ => say(0, Body::Lifecycle(Lifecycle::Other)),
        }
        Decoded::Yes
    }
}

/// Whether a notification says that a person is waited for. Early versions say so in words only.
fn waits(payload: &Payload<'_>) -> bool {
    match payload.notification.as_str() {
        "" => {
            let words = payload.message.as_str();
            words.contains("needs your permission") || words.contains("is waiting for your input")
        }
        kind => matches!(
            kind,
            "permission_prompt"
                | "worker_permission_prompt"
                | "idle_prompt"
                | "agent_needs_input"
                | "elicitation_dialog"
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claude;
    use super::super::claude::told::{frame, story};
    use super::*;

    const LIMIT: &str = include_str!("../../../fixtures/transcripts/hook/usage_limit/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/hook/clean_run/input.jsonl");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_stop_failure_carries_the_code_and_the_words() {
        assert_eq!(
            told(LIMIT),
            [
                "started Some(\"/repo\") Some(\"example-model\")",
                "User: Run the tests.",
                "call toolu_01 Bash {\"command\":\"make test\"}",
                "result toolu_01 failed: Exit code 2",
                "agent failure [] is waiting_input: Claude needs your permission to use Bash",
                "provider failure 429 [rate_limit] ends: You've hit your 5-hour limit · resets 3pm (Asia/Tokyo)",
            ]
        );
    }

    #[test]
    fn what_is_asked_and_printed_is_content() {
        assert_eq!(
            told(CLEAN),
            [
                "User: Explain \"API Error: 529 Overloaded\".",
                "(a-1) call toolu_02 Grep {\"pattern\":\"usage limit reached\"}",
                "(a-1) result toolu_02 fine: {\"output\":\"429 rate_limit_error\"}",
                "TurnEnded",
            ]
        );
    }

    #[test]
    fn an_interrupted_tool_and_a_failure_without_words_are_told() {
        for (rest, expected) in [
            (
                r#""hook_event_name":"PostToolUseFailure","tool_use_id":"t","error":"stopped","is_interrupt":true"#,
                &["result t failed: stopped", "agent failure [] is interrupted: the tool was interrupted"][..],
            ),
            (r#""hook_event_name":"StopFailure","error":"overloaded""#, &["provider failure [overloaded] ends: overloaded"]),
            (r#""hook_event_name":"StopFailure","error":"server_error","error_details":"529 {}""#, &["provider failure 529 [server_error] ends: 529 {}"]),
            (r#""hook_event_name":"Notification","message":"m","notification_type":"auth_success""#, &[]),
            (r#""hook_event_name":"Notification","message":"m","notification_type":"idle_prompt""#, &["agent failure [] is waiting_input: m"]),
        ] {
            assert_eq!(told(&format!(r#"{{"session_id":"s","cwd":"/repo",{rest}}}"#)), expected, "{rest}");
        }
    }

    #[test]
    fn claims_payloads_only() {
        for line in LIMIT.lines().chain(CLEAN.lines()) {
            assert!(FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert!(!claude::FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
        for line in [
            r#"{"hook_event_name":"StopFailure","error":"rate_limit"}"#,
            r#"{"session_id":"s","cwd":"/repo","hook_event":"StopFailure"}"#,
            r#"{"text":"\"hook_event_name\"","session_id":"s","cwd":"/"}"#,
            "[]",
            "{",
        ] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert_eq!(FORMAT.decoder().json(frame(line.as_bytes()), &mut |_| ()), Decoded::No, "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), line in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), details in ".{0,6}") {
            let lines: Vec<&str> = LIMIT.lines().chain(CLEAN.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let failure = serde_json::json!({"hook_event_name": "StopFailure", "session_id": "s", "cwd": "/", "error_details": details}).to_string();
            for bytes in [&bytes, &line[..at.index(line.len() + 1)], line, failure.as_bytes()] {
                FORMAT.recognise(frame(bytes));
                FORMAT.decoder().json(frame(bytes), &mut |_| ());
            }
        }
    }
}
