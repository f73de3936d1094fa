//! OpenHands: the events that a headless run prints, and those of earlier versions, alone, in the list of a
//! trajectory file, or in the `history` of a line of `output.jsonl`.
//!
//! Only a conversation's error event, the execution status and the agent's state say that the run is in trouble. An
//! agent error event goes back to the model: it is a failed tool result, whatever it says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::json;
use super::loose::{Loose, Number, Placed, inner, object};
use super::{Decode, Decoded, Element, Format, Frame, by_element};
use crate::model::record::{Lifecycle, Message, Retry, Role, ToolCall, ToolResult};
use crate::model::{Body, Class, Failure, Origin, Record, Timestamp};

/// The format.
pub(super) static FORMAT: OpenHands = OpenHands;

/// Events and trajectories of OpenHands.
pub(super) struct OpenHands;

impl Format for OpenHands {
    fn name(&self) -> &'static str {
        "openhands"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let signs: [&[u8]; 2] = [b"\"source\"", b"\"status_update\""];
        if !signs.iter().any(|sign| memchr::memmem::find(frame.bytes, sign).is_some()) {
            return false;
        }
        object::<Event<'_>>(frame.bytes).is_some_and(|event| event.is_one()) || is_list_of_events(frame.bytes)
    }

    fn recognise_element(&self, element: &Element<'_>) -> bool {
        is_event_list(element) && object::<Event<'_>>(element.bytes).is_some_and(|event| event.is_one())
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder::default())
    }
}

/// Whether an element stands where documents keep their events.
fn is_event_list(element: &Element<'_>) -> bool {
    element.listed && matches!(element.member, "" | "history" | "events" | "trajectory")
}

/// Whether a document holds events: whether the first that could be one is.
fn is_list_of_events(bytes: &[u8]) -> bool {
    let mut found = None;
    crate::engine::document::elements(bytes, &mut |element| {
        if found.is_none() && is_event_list(&element) {
            found = Some(object::<Event<'_>>(element.bytes).is_some_and(|event| event.is_one()));
        }
    });
    found == Some(true)
}

#[derive(Default)]
struct Decoder {
    /// Whether an error of the conversation was told since the agent last ran: the state that follows repeats it.
    failed: bool,
}

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if let Some(event) = object::<Event<'_>>(frame.bytes).filter(Event::is_one) {
            self.event(event, frame.bytes, out);
            return Decoded::Yes;
        }
        if is_list_of_events(frame.bytes) {
            return by_element(self, frame, |element| element.is_member("error"), out);
        }
        Decoded::No
    }

    fn element(&mut self, element: &Element<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if is_event_list(element)
            && let Some(event) = object::<Event<'_>>(element.bytes).filter(Event::is_one)
        {
            self.event(event, element.bytes, out);
            return Decoded::Yes;
        }
        // Why an evaluation gave up on the instance.
        if element.is_member("error")
            && let Ok(error) = json::from_slice::<Loose<'_>>(element.bytes)
            && error.is_some()
        {
            let failure = Failure { ends: true, ..with_name(Failure::new(Origin::Agent, error.text())) };
            out(Record::new(Body::Failure(failure)));
            return Decoded::Yes;
        }
        Decoded::No
    }
}

/// Every field of every kind of event that we read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    kind: Loose<'a>,
    #[serde(borrow)]
    source: Loose<'a>,
    #[serde(borrow)]
    timestamp: Loose<'a>,
    // Conversation errors.
    #[serde(borrow)]
    code: Placed<'a>,
    #[serde(borrow)]
    detail: Placed<'a>,
    #[serde(borrow)]
    classification: Option<&'a RawValue>,
    // Updates of the state.
    #[serde(borrow)]
    key: Loose<'a>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    // Messages, calls and what came of them.
    #[serde(borrow)]
    llm_message: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_name: Loose<'a>,
    #[serde(borrow)]
    tool_call_id: Loose<'a>,
    #[serde(borrow)]
    error: Placed<'a>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    observation: Option<&'a RawValue>,
    // Earlier versions.
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    extras: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Placed<'a>,
    #[serde(borrow)]
    message: Placed<'a>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    status_update: Option<bool>,
    #[serde(borrow, rename = "type")]
    level: Loose<'a>,
}

/// The events of the current version.
const KINDS: &[&str] = &[
    "MessageEvent",
    "ActionEvent",
    "ObservationEvent",
    "AgentErrorEvent",
    "ConversationErrorEvent",
    "ConversationStateUpdateEvent",
    "SystemPromptEvent",
    "PauseEvent",
    "UserRejectObservation",
    "Condensation",
    "CondensationRequest",
    "CondensationSummaryEvent",
    "TokenEvent",
    "LLMCompletionLogEvent",
];

impl Event<'_> {
    fn is_one(&self) -> bool {
        if self.is_status() {
            return true;
        }
        let known = matches!(self.source.as_str(), "agent" | "user" | "environment" | "hook");
        let earlier = self.kind.0.is_none()
            && ((word(self.action).is_some() && self.args.is_some())
                || (word(self.observation).is_some() && self.extras.is_some()));
        known && (KINDS.contains(&self.kind.as_str()) || earlier)
    }

    /// A status message of an earlier version.
    fn is_status(&self) -> bool {
        self.status_update == Some(true) && word(self.id).is_some_and(|id| id.contains('$'))
    }
}

/// Reads a field that is a word here and an object there.
fn word(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let raw = raw?.get();
    if !raw.starts_with('"') {
        return None;
    }
    json::from_str::<Loose<'_>>(raw).ok()?.0
}

fn raw_text(raw: Option<&RawValue>) -> Cow<'_, str> {
    Cow::Borrowed(raw.map_or("", RawValue::get))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Classification<'a> {
    #[serde(borrow)]
    kind: Loose<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow)]
    role: Loose<'a>,
    #[serde(borrow)]
    content: Loose<'a>,
}

/// What a tool answered.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    content: Loose<'a>,
    is_error: Option<bool>,
    exit_code: Number,
}

/// What an earlier version notes beside an observation.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Extras<'a> {
    #[serde(borrow)]
    agent_state: Loose<'a>,
    #[serde(borrow)]
    reason: Placed<'a>,
    exit_code: Number,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    exit_code: Number,
}

impl Decoder {
    fn event(&mut self, event: Event<'_>, bytes: &[u8], out: &mut dyn FnMut(Record<'_>)) {
        let time = event.timestamp.0.as_deref().and_then(Timestamp::parse_rfc3339);
        let mut say = |at: usize, body: Body<'_>| out(Record { time, at, ..Record::new(body) });
        if event.is_status() {
            return self.status(&event, bytes, &mut say);
        }
        if event.kind.0.is_none() {
            return self.earlier(event, bytes, &mut say);
        }
        match event.kind.as_str() {
            "MessageEvent" => {
                let said = inner::<Said<'_>>(event.llm_message).unwrap_or_default();
                let role = if said.role.as_str() == "assistant" { Role::Assistant } else { Role::User };
                say(0, Body::Message(Message { role, text: said.content.text().into() }));
            }
            "ActionEvent" => say(
                0,
                Body::ToolCall(ToolCall {
                    id: event.tool_call_id.text(),
                    name: event.tool_name.text(),
                    input: raw_text(event.action).into(),
                }),
            ),
            "ObservationEvent" => {
                let answer = inner::<Answer<'_>>(event.observation).unwrap_or_default();
                say(
                    0,
                    Body::ToolResult(ToolResult {
                        id: event.tool_call_id.text(),
                        failed: answer.is_error == Some(true),
                        exit_code: answer.exit_code.whole(),
                        text: answer.content.text().into(),
                    }),
                );
            }
            "AgentErrorEvent" => say(
                event.error.at(bytes),
                Body::ToolResult(ToolResult {
                    id: event.tool_call_id.text(),
                    failed: true,
                    exit_code: None,
                    text: event.error.as_str().into(),
                }),
            ),
            "ConversationErrorEvent" => {
                self.failed = true;
                let kind = inner::<Classification<'_>>(event.classification).unwrap_or_default().kind;
                let mut codes = names(event.code.as_str());
                codes.extend(code_of(kind.as_str()).map(Cow::Borrowed));
                let (text, at) = if event.detail.is_some() {
                    (event.detail.as_str(), event.detail.at(bytes))
                } else {
                    (event.code.as_str(), event.code.at(bytes))
                };
                let class = class_of_name(event.code.as_str());
                say(at, Body::Failure(Failure { codes, class, ends: true, ..Failure::new(Origin::Provider, text) }));
            }
            "ConversationStateUpdateEvent" if event.key.as_str() == "execution_status" => {
                let status = word(event.value).unwrap_or_default();
                self.state(&status, "", 0, &mut say);
            }
            "Condensation" => say(0, Body::Lifecycle(Lifecycle::Compacted)),
            _ => say(0, Body::Lifecycle(Lifecycle::Other)),
        }
    }

    /// The state that the agent is in now, and why.
    fn state(&mut self, state: &str, reason: &str, at: usize, say: &mut dyn FnMut(usize, Body<'_>)) {
        let failure = |class: Option<Class>, text: &str| {
            let text = if reason.is_empty() { text } else { reason };
            let base = with_name(Failure::new(Origin::Agent, text.to_owned()));
            let class = class.or_else(|| class_of_status(reason));
            Body::Failure(Failure { class, ends: true, ..base })
        };
        match state {
            "error" if std::mem::replace(&mut self.failed, true) => say(at, Body::Lifecycle(Lifecycle::Other)),
            "error" => {
                let turns = reason.contains("reached maximum iteration").then_some(Class::MaxTurns);
                say(at, failure(turns, "the agent is in the state: error"));
            }
            "stuck" => say(at, failure(Some(Class::ToolRepeat), "the agent is stuck in a loop")),
            "rate_limited" => {
                let text = if reason.is_empty() { "the agent is rate limited" } else { reason };
                let retry = Some(Retry::default());
                let class = Some(Class::RateLimit);
                say(at, Body::Failure(Failure { class, retry, ..Failure::new(Origin::Agent, text.to_owned()) }));
            }
            "waiting_for_confirmation" | "awaiting_user_confirmation" => {
                let class = Some(Class::WaitingInput);
                let text = "the agent waits for a confirmation";
                say(at, Body::Failure(Failure { class, ..Failure::new(Origin::Agent, text) }));
            }
            "finished" => say(at, Body::Lifecycle(Lifecycle::TurnEnded)),
            "running" => {
                self.failed = false;
                say(at, Body::Lifecycle(Lifecycle::TurnStarted));
            }
            _ => say(at, Body::Lifecycle(Lifecycle::Other)),
        }
    }

    /// A status message of an earlier version.
    fn status(&mut self, event: &Event<'_>, bytes: &[u8], say: &mut dyn FnMut(usize, Body<'_>)) {
        let id = word(event.id).unwrap_or_default();
        if event.level.as_str() != "error" {
            return say(0, Body::Lifecycle(Lifecycle::Other));
        }
        self.failed = true;
        let text = if event.message.is_some() { event.message.as_str() } else { &id };
        let class = class_of_status(&id);
        let failure = Failure { codes: vec![id.clone()], class, ends: true, ..Failure::new(Origin::Agent, text) };
        say(event.message.at(bytes), Body::Failure(failure));
    }

    /// An event of an earlier version.
    fn earlier(&mut self, event: Event<'_>, bytes: &[u8], say: &mut dyn FnMut(usize, Body<'_>)) {
        let text = if event.content.is_some() { &event.content } else { &event.message };
        if let Some(action) = word(event.action) {
            return match (&*action, event.source.as_str()) {
                ("message" | "system" | "recall", source) => {
                    let role = if source == "agent" && action == "message" { Role::Assistant } else { Role::User };
                    say(0, Body::Message(Message { role, text: text.as_str().into() }));
                }
                ("finish", _) => say(0, Body::Lifecycle(Lifecycle::TurnEnded)),
                ("change_agent_state" | "null" | "condensation", _) => say(0, Body::Lifecycle(Lifecycle::Other)),
                (name, _) => {
                    let (id, name) = (Cow::Borrowed(""), Cow::Borrowed(name));
                    say(0, Body::ToolCall(ToolCall { id, name, input: raw_text(event.args).into() }));
                }
            };
        }
        let observation = word(event.observation).unwrap_or_default();
        let extras = inner::<Extras<'_>>(event.extras).unwrap_or_default();
        match &*observation {
            "agent_state_changed" => {
                let reason = if extras.reason.is_some() { &extras.reason } else { &event.content };
                self.state(extras.agent_state.as_str(), reason.as_str(), reason.at(bytes), say);
            }
            "null" | "recall" | "think" => say(0, Body::Lifecycle(Lifecycle::Other)),
            _ => {
                let failed = observation == "error";
                let metadata = inner::<Metadata>(extras.metadata).unwrap_or_default();
                say(
                    if failed { text.at(bytes) } else { 0 },
                    Body::ToolResult(ToolResult {
                        id: Cow::Borrowed(""),
                        failed,
                        exit_code: metadata.exit_code.whole().or(extras.exit_code.whole()),
                        text: text.as_str().into(),
                    }),
                );
            }
        }
    }
}

/// The names of an exception: as written, and without the prefix that wraps the provider's own.
fn names(code: &str) -> Vec<Cow<'_, str>> {
    let own = code.strip_prefix("LLM").filter(|rest| !rest.is_empty());
    [Some(code), own].into_iter().flatten().filter(|name| !name.is_empty()).map(Cow::Borrowed).collect()
}

/// The failure with the name of the exception that its words begin with, as Python writes it.
fn with_name(mut failure: Failure<'_>) -> Failure<'_> {
    let name = failure.text.split_once(':').map_or("", |(name, _)| name.rsplit('.').next().unwrap_or(name)).to_owned();
    if (name.ends_with("Error") || name.ends_with("Exception")) && name.chars().all(|c| c.is_ascii_alphanumeric()) {
        failure.codes.extend(names(&name).into_iter().map(|name| Cow::Owned(name.into_owned())));
    }
    failure
}

/// The code under which the rules know what a classification calls so.
fn code_of(kind: &str) -> Option<&'static str> {
    match kind {
        "auth" => Some("authentication_error"),
        "quota" => Some("insufficient_quota"),
        "rate_limit" => Some("rate_limit"),
        _ => None,
    }
}

/// The class of exceptions of which the rules know no code.
fn class_of_name(code: &str) -> Option<Class> {
    match code {
        "LLMContextWindowExceedError" => Some(Class::TokenLimit),
        "LLMMalformedActionError" | "LLMNoActionError" | "LLMResponseError" | "LLMNoResponseError"
        | "FunctionCallConversionError" | "FunctionCallValidationError" | "FunctionCallNotExistsError" => {
            Some(Class::JsonParse)
        }
        "LLMTimeoutError" => Some(Class::Timeout),
        "UserCancelledError" => Some(Class::Interrupted),
        _ => None,
    }
}

/// The class of a status word such as `STATUS$ERROR_LLM_AUTHENTICATION`.
fn class_of_status(id: &str) -> Option<Class> {
    match id.split_once('$')?.1 {
        "ERROR_LLM_AUTHENTICATION" => Some(Class::AuthError),
        "ERROR_LLM_SERVICE_UNAVAILABLE" => Some(Class::Overloaded),
        "ERROR_LLM_INTERNAL_SERVER_ERROR" => Some(Class::ServerError),
        "ERROR_LLM_OUT_OF_CREDITS" => Some(Class::BudgetOver),
        "ERROR_LLM_CONTENT_POLICY_VIOLATION" => Some(Class::ContentPolicy),
        "AGENT_RATE_LIMITED_STOPPED_MESSAGE" => Some(Class::RateLimit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claude::told::{frame, lines, story};
    use super::*;

    const LIMIT: &str = include_str!("../../../fixtures/transcripts/openhands/rate_limit/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/openhands/clean_run/input.jsonl");
    const EARLIER: &str = include_str!("../../../fixtures/transcripts/openhands/earlier_trajectory/input.json");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_conversation_error_is_told_once_and_an_agent_error_is_a_tools() {
        assert_eq!(
            told(LIMIT),
            [
                "User: Fix the importer.",
                "call call_1 terminal {\"command\":\"make\"}",
                "result call_1 failed: Error validating args: Unterminated string in JSON at position 91",
                "TurnStarted",
                "provider failure [LLMRateLimitError RateLimitError rate_limit] ends: litellm.RateLimitError: ExampleException - slow down",
            ]
        );
    }

    #[test]
    fn what_is_talked_of_and_printed_is_content() {
        assert_eq!(
            told(CLEAN),
            [
                "User: Why 429 Too Many Requests?",
                "Assistant: The usage limit has been reached there, it says.",
                "call call_1 terminal {\"command\":\"grep -rn 429 .\"}",
                "result call_1 fine exit 1: litellm.RateLimitError: in a fixture",
                "Compacted",
                "TurnEnded",
            ]
        );
    }

    #[test]
    fn events_of_earlier_versions_are_read_in_a_list() {
        assert_eq!(
            lines(&FORMAT, EARLIER),
            [
                "2: User: Fix the importer.",
                "10: call  run {\n      \"command\": \"make\"\n    }",
                "19: result  fine exit 2: 429 tests failed",
                "34: result  failed: Error validating args",
                "41: agent failure [RateLimitError] ends: litellm.RateLimitError: ExampleException - slow down",
            ]
        );
    }

    #[test]
    fn states_and_errors_have_their_classes() {
        for (line, expected) in [
            (
                r#"{"kind":"ConversationErrorEvent","source":"environment","code":"LLMContextWindowExceedError","detail":"too much"}"#,
                "provider failure [LLMContextWindowExceedError ContextWindowExceedError] is token_limit ends: too much",
            ),
            (
                r#"{"kind":"ConversationErrorEvent","source":"environment","code":"MaxIterationsReached","detail":""}"#,
                "provider failure [MaxIterationsReached] ends: MaxIterationsReached",
            ),
            (
                r#"{"kind":"ConversationErrorEvent","source":"environment","code":"X","detail":"d","classification":{"kind":"quota"}}"#,
                "provider failure [X insufficient_quota] ends: d",
            ),
            (
                r#"{"kind":"ConversationStateUpdateEvent","source":"environment","key":"execution_status","value":"stuck"}"#,
                "agent failure [] is tool_repeat ends: the agent is stuck in a loop",
            ),
            (
                r#"{"kind":"ConversationStateUpdateEvent","source":"environment","key":"execution_status","value":"error"}"#,
                "agent failure [] ends: the agent is in the state: error",
            ),
            (
                r#"{"kind":"ConversationStateUpdateEvent","source":"environment","key":"execution_status","value":"waiting_for_confirmation"}"#,
                "agent failure [] is waiting_input: the agent waits for a confirmation",
            ),
            (
                r#"{"status_update":true,"type":"error","id":"STATUS$ERROR_LLM_OUT_OF_CREDITS","message":"no more"}"#,
                "agent failure [STATUS$ERROR_LLM_OUT_OF_CREDITS] is budget_over ends: no more",
            ),
            (
                r#"{"id":9,"source":"environment","observation":"agent_state_changed","content":"","extras":{"agent_state":"error","reason":"RuntimeError: Agent reached maximum iteration. Current iteration: 9"}}"#,
                "agent failure [RuntimeError] is max_turns ends: RuntimeError: Agent reached maximum iteration. Current iteration: 9",
            ),
            (
                r#"{"instance_id":"i","history":[{"source":"user","action":"message","args":{"content":"x"},"message":"x"}],"error":"AgentStuckInLoopError: stuck"}"#,
                "agent failure [AgentStuckInLoopError] ends: AgentStuckInLoopError: stuck",
            ),
        ] {
            assert_eq!(told(line).last().map(String::as_str), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_event_is_left_alone() {
        for text in [
            r#"{"kind":"AgentErrorEvent","error":"x"}"#,
            r#"{"kind":"OtherEvent","source":"agent"}"#,
            r#"{"source":"agent","action":"run"}"#,
            r#"{"source":"agent","action":{"x":1},"args":{}}"#,
            r#"{"status_update":true,"id":7}"#,
            r#"{"history":[{"attempt":1}],"error":"TimeoutError: x"}"#,
            "[1, 2]",
            "[{}]",
            "{",
        ] {
            assert!(!FORMAT.recognise(frame(text.as_bytes())), "{text}");
            assert_eq!(FORMAT.decoder().json(frame(text.as_bytes()), &mut |_| ()), Decoded::No, "{text}");
        }
        for line in LIMIT.lines().chain(CLEAN.lines()) {
            assert!(FORMAT.recognise(frame(line.as_bytes())), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), junk in "[\\[\\]{}:,\"a0]{0,6}") {
            let document = [LIMIT, CLEAN, EARLIER].concat();
            let at = at.index(document.len());
            let spoilt = format!("{}{junk}{}", &document[..document.floor_char_boundary(at)], &document[document.ceil_char_boundary(at + 1)..]);
            let mut decoder = FORMAT.decoder();
            for bytes in [&bytes[..], spoilt.as_bytes()].into_iter().chain(spoilt.lines().map(str::as_bytes)) {
                FORMAT.recognise(frame(bytes));
                decoder.json(frame(bytes), &mut |_| ());
                crate::engine::document::elements(bytes, &mut |element| {
                    FORMAT.recognise_element(&element);
                    decoder.element(&element, &mut |_| ());
                });
            }
        }
    }
}
