//! GitHub Copilot CLI: the `events.jsonl` of a session, and the same events from `--output-format json`.
//!
//! Failures are read from `session.*`, `model.call_failure`, `auto_mode_switch.requested` and `abort`. Tools,
//! hooks and messages are content.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::claude::{Flag, Maybe, Present};
use super::loose::{Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Role, ToolCall, ToolResult, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format of GitHub's Copilot CLI.
pub(super) static FORMAT: Copilot = Copilot;

/// Recognises Copilot's events and makes decoders for them.
pub(super) struct Copilot;

impl Format for Copilot {
    fn name(&self) -> &'static str {
        "copilot"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let sign = |sign: &[u8]| memchr::memmem::find(frame.bytes, sign).is_some();
        (sign(b"\"parentId\"") && sign(b"\"data\"") || sign(b"\"exitCode\""))
            && parse(frame.bytes).is_some_and(|line| line.is_event() || line.is_result())
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

/// Each event says all that is needed.
struct Decoder;

/// One event.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Loose<'a>,
    id: Loose<'a>,
    timestamp: Loose<'a>,
    #[serde(rename = "parentId")]
    parent: Present,
    #[serde(rename = "agentId")]
    agent: Loose<'a>,
    data: Maybe<Data<'a>>,
    // The last line of `--output-format json`.
    #[serde(rename = "sessionId")]
    session: Loose<'a>,
    #[serde(rename = "exitCode")]
    exit_code: Number,
    usage: Maybe<RunFacts>,
}

/// What the last line says of the run. Only that it is there matters.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RunFacts {
    #[serde(rename = "premiumRequests")]
    premium_requests: Present,
}

/// Every field of every kind of event that we read. What is absent or of another type is empty.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Data<'a> {
    session_id: Loose<'a>,
    context: Maybe<Context<'a>>,
    selected_model: Loose<'a>,
    model: Loose<'a>,
    new_model: Loose<'a>,
    parent_tool_call_id: Loose<'a>,
    content: Loose<'a>,
    // Tools.
    tool_call_id: Loose<'a>,
    tool_name: Loose<'a>,
    arguments: Option<&'a RawValue>,
    success: Flag,
    result: Loose<'a>,
    error: Maybe<ToolError<'a>>,
    // Failures.
    error_type: Loose<'a>,
    error_code: Loose<'a>,
    error_message: Loose<'a>,
    error_reason: Loose<'a>,
    message: Loose<'a>,
    status_code: Number,
    eligible_for_auto_switch: Flag,
    retry_after_seconds: Number,
    shutdown_type: Loose<'a>,
    reason: Loose<'a>,
    aborted: Flag,
    // Tokens.
    token_limit: Number,
    input_tokens: Number,
    output_tokens: Number,
    cache_read_tokens: Number,
    cache_write_tokens: Number,
    model_metrics: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Context<'a> {
    cwd: Loose<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ToolError<'a> {
    code: Loose<'a>,
    message: Loose<'a>,
}

/// What one model used over the run.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ModelMetrics {
    usage: Maybe<Tokens>,
}

/// Token counts; the input's are without the cached ones.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tokens {
    input_tokens: Number,
    output_tokens: Number,
    cache_read_tokens: Number,
    cache_write_tokens: Number,
}

fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    json::from_slice(bytes).ok()
}

impl Line<'_> {
    /// Whether the envelope is that of an event.
    fn is_event(&self) -> bool {
        let kind = self.kind.as_str();
        let known = kind == "abort" || (kind.contains('.') && kind.bytes().all(is_kind_byte));
        known && self.data.0.is_some() && self.parent.0 && self.id.is_some() && self.timestamp.is_some()
    }

    /// Whether it is the last line of a run.
    fn is_result(&self) -> bool {
        self.kind.as_str() == "result"
            && self.session.is_some()
            && self.exit_code.0.is_some()
            && self.usage.0.as_ref().is_some_and(|facts| facts.premium_requests.0)
    }
}

fn is_kind_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'.' || byte == b'_'
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let Some(line) = parse(frame.bytes) else { return Decoded::No };
        let time = Timestamp::parse_rfc3339(line.timestamp.as_str());
        if line.is_result() {
            let ended = if line.exit_code.0 == Some(0.0) { Lifecycle::TurnEnded } else { Lifecycle::Other };
            out(Record { time, session: line.session.0, ..Record::new(Body::Lifecycle(ended)) });
            return Decoded::Yes;
        }
        if !line.is_event() {
            return Decoded::No;
        }
        let data = line.data.0.unwrap_or_default();
        let subagent = [&line.agent, &data.parent_tool_call_id].into_iter().find(|id| id.is_some()).cloned();
        let subagent = subagent.map(Loose::text);
        let session = line.kind.as_str().starts_with("session.").then(|| data.session_id.clone().0).flatten();
        let mut say = |body: Body<'_>| {
            out(Record {
                time,
                session: session.as_deref().map(Cow::Borrowed),
                subagent: subagent.as_deref().map(Cow::Borrowed),
                ..Record::new(body)
            });
        };
        tell(line.kind.as_str(), data, time, &mut say);
        Decoded::Yes
    }
}

fn tell(kind: &str, data: Data<'_>, time: Option<Timestamp>, say: &mut dyn FnMut(Body<'_>)) {
    let other = Body::Lifecycle(Lifecycle::Other);
    match kind {
        "session.start" | "session.resume" => say(Body::Lifecycle(Lifecycle::Started {
            cwd: data.context.0.and_then(|context| context.cwd.0),
            model: data.selected_model.0,
        })),
        "session.model_change" => {
            say(Body::Lifecycle(Lifecycle::Started { cwd: None, model: data.new_model.0 }));
        }
        "assistant.message" => {
            say(Body::Message(Message { role: Role::Assistant, text: data.content.text().into() }));
        }
        "user.message" | "system.message" => {
            say(Body::Message(Message { role: Role::User, text: data.content.text().into() }));
        }
        "tool.execution_start" => say(Body::ToolCall(ToolCall {
            id: data.tool_call_id.text(),
            name: data.tool_name.text(),
            input: data.arguments.map_or("", RawValue::get).into(),
        })),
        "tool.execution_complete" => tool_result(data, say),
        "session.error" | "model.call_failure" | "auto_mode_switch.requested" => {
            let ends = kind == "session.error" && data.eligible_for_auto_switch.0 != Some(true);
            say(Body::Failure(Failure { ends, ..failure(kind, data, time) }));
        }
        "session.warning" if is_about_limits(data.message.as_str()) => say(Body::Failure(Failure {
            class: Some(Class::UsageWarning),
            ..Failure::new(Origin::Provider, data.message.text())
        })),
        "abort" => say(Body::Failure(Failure {
            codes: data.reason.0.clone().into_iter().collect(),
            class: Some(Class::Interrupted),
            ends: true,
            ..Failure::new(Origin::Agent, data.reason.text())
        })),
        "permission.requested" | "user_input.requested" | "elicitation.requested" => {
            let class = Some(Class::WaitingInput);
            say(Body::Failure(Failure { class, ..Failure::new(Origin::Agent, kind) }));
        }
        "permission.completed" | "user_input.completed" | "elicitation.completed" => {
            say(Body::Lifecycle(Lifecycle::Answered));
        }
        "session.compaction_complete" if data.success.0 == Some(false) => {
            let reason = data.error.0.map(|error| error.message).unwrap_or_default();
            say(Body::Failure(Failure {
                codes: vec![Cow::Borrowed("compact_failed")],
                ..Failure::new(Origin::Agent, format!("compaction failed: {}", reason.as_str()))
            }));
        }
        "session.compaction_complete" | "session.truncation" => say(Body::Lifecycle(Lifecycle::Compacted)),
        "session.idle" if data.aborted.0 != Some(true) => say(Body::Lifecycle(Lifecycle::TurnEnded)),
        "session.task_complete" if data.success.0 != Some(false) => {
            say(Body::Lifecycle(Lifecycle::TurnEnded));
        }
        "session.shutdown" => {
            let metrics = data.model_metrics.and_then(|raw| json::from_str(raw.get()).ok());
            if let Some(metrics) = metrics {
                run_usage(&metrics, say);
            }
            say(if data.shutdown_type.as_str() == "error" {
                Body::Failure(Failure { ends: true, ..Failure::new(Origin::Agent, data.error_reason.text()) })
            } else {
                other
            });
        }
        "assistant.usage" => say(Body::Usage(Usage {
            model: Some(data.model.as_str()).filter(|model| !model.is_empty()),
            input_tokens: data.input_tokens.count(),
            output_tokens: data.output_tokens.count(),
            cache_read_tokens: data.cache_read_tokens.count(),
            cache_creation_tokens: data.cache_write_tokens.count(),
            ..Usage::default()
        })),
        "session.usage_info" if data.token_limit.count().is_some() => {
            say(Body::Usage(Usage { context_limit: data.token_limit.count(), ..Usage::default() }));
        }
        _ => say(other),
    }
}

fn tool_result(data: Data<'_>, say: &mut dyn FnMut(Body<'_>)) {
    let failed = data.success.0 == Some(false);
    let error = data.error.0.unwrap_or_default();
    let text = if failed && error.message.is_some() { error.message } else { data.result };
    let exit_code = exit_code(text.as_str());
    let id = data.tool_call_id.text();
    let text = text.text();
    say(Body::ToolResult(ToolResult { id, failed, exit_code, text: (&*text).into() }));
    if failed && error.code.as_str() == "rejected" {
        say(Body::Failure(Failure {
            codes: vec![Cow::Borrowed("tool_rejected")],
            class: Some(Class::Interrupted),
            ..Failure::new(Origin::Agent, text)
        }));
    }
}

/// The exit status that a command's output ends with.
fn exit_code(text: &str) -> Option<i64> {
    let (_, rest) = text.rsplit_once("<exited with exit code ")?;
    rest.strip_suffix('>')?.parse().ok()
}

fn failure<'a>(kind: &str, data: Data<'a>, time: Option<Timestamp>) -> Failure<'a> {
    // `query` is any failure of a request.
    let codes = [data.error_code, data.error_type].into_iter().filter(Loose::is_some);
    let mut codes: Vec<Cow<'_, str>> = codes.filter(|code| code.as_str() != "query").map(Loose::text).collect();
    codes.dedup();
    let text = [data.message, data.error_message].into_iter().find(Loose::is_some).unwrap_or_default();
    let text = match (text.is_some(), codes.first()) {
        (false, Some(code)) => code.clone(),
        (false, None) => Cow::Owned(kind.to_owned()),
        (true, _) => text.text(),
    };
    let wait = data.retry_after_seconds.whole().filter(|seconds| (0..MAX_DELAY_SECONDS).contains(seconds));
    Failure {
        status: data.status_code.http_status(),
        codes,
        retry_at: time.zip(wait).map(|(time, wait)| time.plus_seconds(wait)),
        ..Failure::new(Origin::Provider, text)
    }
}

/// How long a server may ask to wait and be believed: a year.
const MAX_DELAY_SECONDS: i64 = 366 * 86_400;

fn is_about_limits(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["limit", "quota", "exceed", "credits", "premium requests"].iter().any(|word| lower.contains(word))
}

/// Tells the sum over all models, unless nothing was used.
fn run_usage(models: &BTreeMap<Cow<'_, str>, ModelMetrics>, say: &mut dyn FnMut(Body<'_>)) {
    let parts: Vec<Usage<'_>> = models
        .iter()
        .filter_map(|(name, model)| {
            let tokens = model.usage.0.as_ref()?;
            Some(Usage { scope: UsageScope::Run, model: Some(name), ..tokens.usage() })
        })
        .collect();
    let sum = |figure: fn(&Usage<'_>) -> Option<u64>| {
        parts.iter().filter_map(figure).fold(None, |sum: Option<u64>, count| Some(sum.unwrap_or(0).saturating_add(count)))
    };
    let usage = Usage {
        scope: UsageScope::Run,
        input_tokens: sum(|part| part.input_tokens),
        output_tokens: sum(|part| part.output_tokens),
        cache_read_tokens: sum(|part| part.cache_read_tokens),
        cache_creation_tokens: sum(|part| part.cache_creation_tokens),
        parts: &parts,
        ..Usage::default()
    };
    if [usage.input_tokens, usage.output_tokens].into_iter().flatten().any(|count| count > 0) {
        say(Body::Usage(usage));
    }
}

impl Tokens {
    fn usage(&self) -> Usage<'static> {
        Usage {
            input_tokens: self.input_tokens.count(),
            output_tokens: self.output_tokens.count(),
            cache_read_tokens: self.cache_read_tokens.count(),
            cache_creation_tokens: self.cache_write_tokens.count(),
            ..Usage::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::FORMATS;
    use super::super::claude::told::{everything, frame, story};
    use super::*;

    const WEEKLY: &str = include_str!("../../../fixtures/transcripts/copilot/weekly_limit/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/copilot/clean_run/input.jsonl");
    const ABORTED: &str = include_str!("../../../fixtures/transcripts/copilot/aborted/input.jsonl");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_weekly_limit_is_told_by_the_session() {
        assert_eq!(
            told(WEEKLY),
            [
                "started Some(\"/home/dev/shop\") Some(\"model-one\")",
                "User: List the files.",
                "provider failure 429 []: Too many requests, try later",
                "provider failure 429 [user_weekly_rate_limited rate_limit]: The weekly rate limit is used up.",
                "provider failure [user_weekly_rate_limited] until 2026-11-20T06:00:03.000Z: user_weekly_rate_limited",
            ]
        );
    }

    #[test]
    fn a_good_run_has_no_failures_whatever_it_shows() {
        assert_eq!(
            told(CLEAN),
            [
                "started Some(\"/home/dev/shop\") None",
                "started None Some(\"model-two\")",
                "User: Errors such as rate_limit or 401 unauthorized are explained below.",
                "User: Why do we see 429?",
                "Assistant: I will look. The API returned 529 overloaded yesterday.",
                "call call_1 bash {\"command\":\"grep -c 429 app.log\"}",
                "result call_1 fine exit 1: 0\n<exited with exit code 1>",
                "call call_2 view {\"path\":\"/gone\"}",
                "result call_2 failed: rate limit exceeded for host registry.example",
                "(call_9) Assistant: quota exceeded is only a phrase here",
                "Compacted",
                "Assistant: Nothing to worry about.",
                "TurnEnded",
                "TurnEnded",
            ]
        );
        let mut usage = everything(&FORMAT, &CLEAN.lines().collect::<Vec<_>>());
        usage.retain(|record| record.starts_with("usage"));
        assert_eq!(
            usage,
            [
                "usage Request in 100 out 20 read 3000 written 40 window None cost None",
                "usage Request in None out None read None written None window 128000 cost None",
                "usage Run in 110 out 22 read 3000 written 40 window None cost None",
            ]
        );
    }

    #[test]
    fn people_stop_it_and_it_waits_for_them() {
        assert_eq!(
            told(ABORTED),
            [
                "started Some(\"/home/dev/shop\") None",
                "Assistant: May I?",
                "agent failure [] is waiting_input: permission.requested",
                "Answered",
                "result call_1 failed: The user said no",
                "agent failure [tool_rejected] is interrupted: The user said no",
                "agent failure [user_initiated] is interrupted ends: user_initiated",
            ]
        );
    }

    #[test]
    fn other_events_that_tell_failures() {
        for (kind, data, expected) in [
            (
                "session.error",
                r#"{"errorType":"query","message":"Something broke","statusCode":500}"#,
                "provider failure 500 [] ends: Something broke",
            ),
            (
                "session.error",
                r#"{"errorType":"quota","errorCode":"quota_exceeded","message":"No credits."}"#,
                "provider failure [quota_exceeded quota] ends: No credits.",
            ),
            (
                "session.error",
                r#"{"errorType":"authentication","message":"Who are you?"}"#,
                "provider failure [authentication] ends: Who are you?",
            ),
            (
                "session.warning",
                r#"{"warningType":"quota","message":"Most of your premium requests are used"}"#,
                "provider failure [] is usage_warning: Most of your premium requests are used",
            ),
            (
                "session.compaction_complete",
                r#"{"success":false,"error":{"message":"nothing to cut"}}"#,
                "agent failure [compact_failed]: compaction failed: nothing to cut",
            ),
            (
                "session.shutdown",
                r#"{"shutdownType":"error","errorReason":"it fell over"}"#,
                "agent failure [] ends: it fell over",
            ),
            ("model.call_failure", "{}", "provider failure []: model.call_failure"),
        ] {
            let line = format!(
                r#"{{"type":"{kind}","data":{data},"id":"e","timestamp":"2026-11-20T05:00:00Z","parentId":"d"}}"#
            );
            assert_eq!(told(&line), [expected]);
        }
        let warning = r#"{"type":"session.warning","data":{"message":"A server is slow"},"id":"e","timestamp":"2026-11-20T05:00:00Z","parentId":"d"}"#;
        assert!(told(warning).is_empty());
    }

    #[test]
    fn claims_its_own_and_only_its_own() {
        for line in [WEEKLY, CLEAN, ABORTED].iter().flat_map(|text| text.lines()) {
            let first = FORMATS.iter().find(|format| format.recognise(frame(line.as_bytes())));
            assert_eq!(first.map(|format| format.name()), Some("copilot"), "{line}");
        }
        for line in [
            r#"{"type":"custom","customType":"x","data":{},"id":"e","timestamp":"2026-11-20T05:00:00Z","parentId":null}"#,
            r#"{"type":"session.error","data":{"message":"x"},"id":"e","timestamp":"2026-11-20T05:00:00Z"}"#,
            r#"{"type":"session.error","properties":{"sessionID":"ses_1"},"parentId":null,"data":7,"id":"x"}"#,
            r#"{"type":"result","sessionId":"s","exitCode":1}"#,
            r#"{"type":"Disk failed. Retry","data":{},"id":"e","timestamp":"2026-11-20T05:00:00Z","parentId":null}"#,
            "{}", "[]", "{\"parentId\"",
        ] {
            assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
            assert_eq!(FORMAT.decoder().json(frame(line.as_bytes()), &mut |_| panic!("{line}")), Decoded::No);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            line in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let lines: Vec<&str> = [WEEKLY, CLEAN, ABORTED].iter().flat_map(|text| text.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let cut = &line[..at.index(line.len() + 1)];
            for bytes in [&bytes, cut, line] {
                FORMAT.recognise(frame(bytes));
                Decoder.json(frame(bytes), &mut |_| {});
            }
        }
    }
}
