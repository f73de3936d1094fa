//! mini-swe-agent: the trajectory document that it writes at the end (and after each step) of a run.
//!
//! Only `info`, and the fields of the same names in a message's `extra`, say how it went; the words of messages and
//! of commands' outputs never do. A command that the environment gave up on is a failed tool result.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::loose::{Loose, Number, Placed, inner, list, object};
use super::{Decode, Decoded, Element, Format, Frame, by_element};
use crate::model::record::{Lifecycle, Message, Role, ToolCall, ToolResult, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format.
pub(super) static FORMAT: Mini = Mini;

/// Trajectories of mini-swe-agent.
pub(super) struct Mini;

impl Format for Mini {
    fn name(&self) -> &'static str {
        "mini"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        if memchr::memmem::find(frame.bytes, b"\"messages\"").is_none() {
            return false;
        }
        object::<Document<'_>>(frame.bytes).is_some_and(|document| {
            document.messages.is_some_and(|messages| messages.get().starts_with('['))
                && (document.format.as_str().starts_with("mini-swe-agent")
                    || inner::<Info<'_>>(document.info).is_some_and(|info| info.version.is_some()))
        })
    }

    fn recognise_element(&self, element: &Element<'_>) -> bool {
        if element.is_member("info") {
            return object::<Info<'_>>(element.bytes).is_some_and(|info| info.version.is_some());
        }
        element.is_entry_of("messages")
            && object::<Entry<'_>>(element.bytes)
                .and_then(|entry| inner::<Extra<'_>>(entry.extra))
                .is_some_and(|extra| {
                    let acted = extra.actions.is_some() && extra.cost.0.is_some();
                    acted || (extra.raw_output.0.is_some() && extra.returncode.0.is_some())
                })
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

struct Decoder;

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if !FORMAT.recognise(frame) {
            return Decoded::No;
        }
        by_element(self, frame, |element| element.is_member("info"), out)
    }

    fn element(&mut self, element: &Element<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if element.is_entry_of("messages") {
            return entry(element.bytes, out);
        }
        if !element.is_member("info") {
            return Decoded::No;
        }
        let Some(info) = object::<Info<'_>>(element.bytes) else { return Decoded::No };
        let model = inner::<Config<'_>>(info.config).and_then(|config| inner::<Model<'_>>(config.model));
        if let Some(model) = model.and_then(|model| model.name.0) {
            let started = Lifecycle::Started { cwd: None, model: Some(model) };
            out(Record::new(Body::Lifecycle(started)));
        }
        let stats = inner::<Stats>(info.stats).unwrap_or_default();
        if stats.cost.0.is_some() {
            let usage = Usage { scope: UsageScope::Run, cost_usd: stats.cost.0, ..Usage::default() };
            out(Record::new(Body::Usage(usage)));
        }
        outcome(&info.outcome(), element.bytes, None, out);
        Decoded::Yes
    }
}

/// How a run ended, as `info` and the last message say it.
struct Outcome<'o> {
    status: &'o Placed<'o>,
    exception: &'o Placed<'o>,
    /// What the first version put the exception's words into.
    submission: &'o Placed<'o>,
    traceback: bool,
}

/// Tells how a run ended.
fn outcome(
    outcome: &Outcome<'_>,
    bytes: &[u8],
    time: Option<Timestamp>,
    out: &mut dyn FnMut(Record<'_>),
) {
    let status = outcome.status.as_str();
    let mut say = |at: usize, body: Body<'_>| out(Record { time, at, ..Record::new(body) });
    let at = outcome.status.at(bytes);
    if status == "Submitted" {
        return say(at, Body::Lifecycle(Lifecycle::TurnEnded));
    }
    let words = if outcome.exception.is_some() {
        outcome.exception.as_str()
    } else if outcome.traceback && outcome.submission.is_some() {
        outcome.submission.as_str()
    } else {
        status
    };
    if is_name(status) {
        say(
            at,
            Body::Failure(Failure {
                codes: vec![Cow::Borrowed(status)],
                class: class(status),
                ends: true,
                ..Failure::new(Origin::Agent, words)
            }),
        );
    }
    if outcome.exception.is_some() {
        let codes = if is_name(status) { vec![Cow::Borrowed(status)] } else { Vec::new() };
        say(
            outcome.exception.at(bytes),
            Body::Failure(Failure {
                codes,
                class: class(status),
                ends: true,
                ..Failure::new(Origin::Provider, words)
            }),
        );
    }
}

/// Whether a status is a word of the agent or the name of an exception.
fn is_name(status: &str) -> bool {
    status.starts_with(|c: char| c.is_ascii_alphabetic())
        && status.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}

/// Returns the class of the statuses that are the agent's own words and no rule's code.
fn class(status: &str) -> Option<Class> {
    match status {
        "UserInterruption" | "KeyboardInterrupt" => Some(Class::Interrupted),
        "FormatError" => Some(Class::JsonParse),
        _ => None,
    }
}

/// A message, with what it set off.
fn entry(bytes: &[u8], out: &mut dyn FnMut(Record<'_>)) -> Decoded {
    let Some(entry) = object::<Entry<'_>>(bytes) else { return Decoded::No };
    let extra = inner::<Extra<'_>>(entry.extra).unwrap_or_default();
    let time = extra.timestamp.0.and_then(Timestamp::from_epoch_guess);
    let mut say = |at: usize, body: Body<'_>| out(Record { time, at, ..Record::new(body) });
    match entry.role.as_str() {
        "assistant" => {
            say(0, Body::Message(Message { role: Role::Assistant, text: entry.content.text().into() }));
            for action in list::<Action<'_>>(extra.actions) {
                let (id, input) = (action.id.text(), action.command.text());
                say(0, Body::ToolCall(ToolCall { id, name: Cow::Borrowed("bash"), input: input.into() }));
            }
            let response = inner::<Response<'_>>(extra.response).unwrap_or_default();
            if let Some(tokens) = inner::<Tokens<'_>>(response.usage) {
                let named = |text: &str| !text.is_empty();
                let (message, model) = (Some(response.id.as_str()), Some(response.model.as_str()));
                let usage = tokens.usage();
                say(0, Body::Usage(Usage { message: message.filter(|id| named(id)), model: model.filter(|name| named(name)), ..usage }));
            }
        }
        "exit" => {
            let told = Outcome {
                status: &extra.status,
                exception: &extra.exception,
                submission: &Placed::default(),
                traceback: false,
            };
            outcome(&told, bytes, time, out);
        }
        "" => return Decoded::No,
        _ if extra.raw_output.0.is_some() || extra.returncode.0.is_some() || extra.error_kind.is_some() => {
            let failed = extra.error_kind.is_some();
            let text = if failed && extra.error_info.is_some() { extra.error_info } else { extra.raw_output };
            say(
                if failed { extra.error_kind.at(bytes) } else { 0 },
                Body::ToolResult(ToolResult {
                    id: entry.call.text(),
                    failed,
                    exit_code: extra.returncode.whole(),
                    text: text.text().into(),
                }),
            );
        }
        _ => {
            say(0, Body::Message(Message { role: Role::User, text: entry.content.clone().text().into() }));
            if let Some(class) = class(extra.interrupt.as_str()) {
                say(
                    extra.interrupt.at(bytes),
                    Body::Failure(Failure {
                        codes: vec![Cow::Borrowed(extra.interrupt.as_str())],
                        class: Some(class),
                        ..Failure::new(Origin::Agent, entry.content.as_str())
                    }),
                );
            }
        }
    }
    Decoded::Yes
}

/// The document.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "trajectory_format")]
    format: Loose<'a>,
}

/// What the document says of the run.
#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow, default, rename = "mini_version")]
    version: Loose<'a>,
    #[serde(borrow, default, rename = "exit_status")]
    status: Placed<'a>,
    #[serde(borrow, default, rename = "exception_str")]
    exception: Placed<'a>,
    #[serde(borrow, default)]
    submission: Placed<'a>,
    #[serde(borrow, default)]
    traceback: Loose<'a>,
    #[serde(borrow, default)]
    config: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "model_stats")]
    stats: Option<&'a RawValue>,
}

impl Info<'_> {
    fn outcome(&self) -> Outcome<'_> {
        Outcome {
            status: &self.status,
            exception: &self.exception,
            submission: &self.submission,
            traceback: self.traceback.is_some(),
        }
    }
}

#[derive(Deserialize)]
struct Config<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow, default, rename = "model_name")]
    name: Loose<'a>,
}

#[derive(Default, Deserialize)]
struct Stats {
    #[serde(default, rename = "instance_cost")]
    cost: Number,
}

/// A message.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    role: Loose<'a>,
    #[serde(borrow, default)]
    content: Loose<'a>,
    #[serde(borrow, default, rename = "tool_call_id")]
    call: Loose<'a>,
    #[serde(borrow, default)]
    extra: Option<&'a RawValue>,
}

/// What the agent notes beside a message.
#[derive(Default, Deserialize)]
struct Extra<'a> {
    #[serde(borrow, default)]
    actions: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(default)]
    cost: Number,
    #[serde(default)]
    timestamp: Number,
    #[serde(borrow, default)]
    raw_output: Loose<'a>,
    #[serde(default)]
    returncode: Number,
    #[serde(borrow, default, rename = "exception_type")]
    error_kind: Placed<'a>,
    #[serde(borrow, default, rename = "exception_info")]
    error_info: Loose<'a>,
    #[serde(borrow, default, rename = "exit_status")]
    status: Placed<'a>,
    #[serde(borrow, default, rename = "exception_str")]
    exception: Placed<'a>,
    #[serde(borrow, default, rename = "interrupt_type")]
    interrupt: Placed<'a>,
}

/// A command that the model asked for.
#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow, default)]
    command: Loose<'a>,
    #[serde(borrow, default, rename = "tool_call_id")]
    id: Loose<'a>,
}

/// The provider's response, as it came.
#[derive(Default, Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    id: Loose<'a>,
    #[serde(borrow, default)]
    model: Loose<'a>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// Token counts; the prompt's include those read from a cache.
#[derive(Deserialize)]
struct Tokens<'a> {
    #[serde(default, rename = "prompt_tokens")]
    prompt: Number,
    #[serde(default, rename = "completion_tokens")]
    completion: Number,
    #[serde(borrow, default, rename = "prompt_tokens_details")]
    details: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Number,
}

impl Tokens<'_> {
    fn usage(&self) -> Usage<'static> {
        let cached = inner::<PromptDetails>(self.details).and_then(|details| details.cached_tokens.count());
        Usage {
            scope: UsageScope::Request,
            input_tokens: self.prompt.count().map(|all| all.saturating_sub(cached.unwrap_or(0))),
            output_tokens: self.completion.count(),
            cache_read_tokens: cached,
            ..Usage::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claude::told::{frame, lines};
    use super::*;

    const TIMEOUT: &str = include_str!("../../../fixtures/transcripts/mini/provider_timeout/input.json");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/mini/clean_run/input.json");
    const HUNG: &str = include_str!("../../../fixtures/transcripts/mini/command_timeout/input.json");

    fn failures(document: &str) -> Vec<String> {
        let mut all = lines(&FORMAT, document);
        all.retain(|line| line.contains(" failure ") || line.contains(" failed"));
        all
    }

    #[test]
    fn an_exception_ends_the_run_and_is_told_where_it_stands() {
        let words = "litellm.Timeout: Connection timed out after 600.0 seconds.";
        assert_eq!(
            failures(TIMEOUT),
            [
                format!("32: agent failure [Timeout] ends: {words}"),
                format!("34: provider failure [Timeout] ends: {words}"),
                format!("10: agent failure [Timeout] ends: {words}"),
                format!("13: provider failure [Timeout] ends: {words}"),
            ]
        );
    }

    #[test]
    fn a_command_that_was_given_up_on_is_a_failed_result_and_what_is_printed_is_none() {
        assert_eq!(failures(HUNG), ["30: result call_7 failed exit -1: The command ran for more than 60 seconds."]);
        assert_eq!(failures(CLEAN), Vec::<String>::new());
        assert_eq!(
            lines(&FORMAT, CLEAN),
            [
                "13: User: Why does the client print \"429 Too Many Requests\"? exit_status: Timeout",
                "17: Assistant: I'll look for it. litellm.RateLimitError: is what they catch.",
                "17: call call_1 bash grep -rn RateLimitError src",
                "33: result call_1 fine exit 1: src/http.py:7: raise RateLimitError('429')",
                "48: TurnEnded",
                "2: started None Some(\"example/model-1\")",
                "5: TurnEnded",
            ]
        );
    }

    #[test]
    fn the_agents_own_limits_and_the_first_versions_words_are_read() {
        let document = |info: &str, message: &str| {
            format!("{{\"info\":{{\"mini_version\":\"1.0\",{info}}},\"messages\":[{message}]}}")
        };
        for (info, expected) in [
            (r#""exit_status":"LimitsExceeded","submission":"""#, "1: agent failure [LimitsExceeded] ends: LimitsExceeded"),
            (
                r#""exit_status":"APIError","submission":"upstream broke","traceback":"Traceback …""#,
                "1: agent failure [APIError] ends: upstream broke",
            ),
            (r#""exit_status":"KeyboardInterrupt""#, "1: agent failure [KeyboardInterrupt] is interrupted ends: KeyboardInterrupt"),
        ] {
            assert_eq!(failures(&document(info, "")), [expected]);
        }
        for info in [r#""exit_status":"Submitted""#, r#""exit_status":null"#, r#""exit_status":"""#, r#""exit_status":"not a name""#] {
            assert_eq!(failures(&document(info, "")), Vec::<String>::new(), "{info}");
        }
        let message = r#"{"role":"user","content":"No call in it.","extra":{"interrupt_type":"FormatError"}}"#;
        assert_eq!(failures(&document("\"a\":1", message)), ["1: agent failure [FormatError] is json_parse: No call in it."]);
    }

    #[test]
    fn what_is_not_a_trajectory_is_left_alone() {
        for text in [
            r#"{"info":{"exit_status":"Timeout"},"messages":[]}"#,
            r#"{"info":{"mini_version":"2"},"messages":"none"}"#,
            r#"{"messages":[{"role":"user"}],"model":"m"}"#,
            r#"{"trajectory_format":"other-1","messages":[]}"#,
            "[]",
            "{}",
            "{",
        ] {
            assert!(!FORMAT.recognise(frame(text.as_bytes())), "{text}");
            assert_eq!(FORMAT.decoder().json(frame(text.as_bytes()), &mut |_| ()), Decoded::No, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), junk in "[\\[\\]{}:,\"a0]{0,6}") {
            let document = [TIMEOUT, CLEAN, HUNG].concat();
            let at = at.index(document.len());
            let spoilt = format!("{}{junk}{}", &document[..document.floor_char_boundary(at)], &document[document.ceil_char_boundary(at + 1)..]);
            for bytes in [&bytes[..], spoilt.as_bytes()] {
                FORMAT.recognise(frame(bytes));
                let mut decoder = FORMAT.decoder();
                decoder.json(frame(bytes), &mut |_| ());
                crate::engine::document::elements(bytes, &mut |element| {
                    FORMAT.recognise_element(&element);
                    decoder.element(&element, &mut |_| ());
                });
            }
        }
    }
}
