//! SWE-agent: trajectory files (`.traj`), one JSON document a run.
//!
//! Only `info.exit_status` says how a run went. Observations are content, but for the one that the environment
//! itself writes when it gives up on a command; the history repeats it, with the prompt's state below.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::loose::{Loose, Number, Placed, inner, object};
use super::{Decode, Decoded, Element, Format, Frame, by_element};
use crate::model::record::{Lifecycle, Message, Role, ToolCall, ToolResult, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record};

/// The format.
pub(super) static FORMAT: SweAgent = SweAgent;

/// Trajectories of SWE-agent.
pub(super) struct SweAgent;

impl Format for SweAgent {
    fn name(&self) -> &'static str {
        "swe_agent"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let signs: [&[u8]; 2] = [b"\"trajectory\"", b"\"history\""];
        if !signs.iter().any(|sign| memchr::memmem::find(frame.bytes, sign).is_some()) {
            return false;
        }
        object::<Document<'_>>(frame.bytes).is_some_and(|document| {
            first::<Step<'_>>(document.trajectory).is_some_and(|step| step.is_one())
                || first::<Entry<'_>>(document.history).is_some_and(|entry| entry.is_one())
        })
    }

    fn recognise_element(&self, element: &Element<'_>) -> bool {
        if element.is_entry_of("trajectory") {
            return object::<Step<'_>>(element.bytes).is_some_and(|step| step.is_one());
        }
        element.is_entry_of("history") && object::<Entry<'_>>(element.bytes).is_some_and(|entry| entry.is_one())
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
        let bytes = element.bytes;
        if element.is_entry_of("trajectory")
            && let Some(step) = object::<Step<'_>>(bytes).filter(Step::is_one)
        {
            step.tell(bytes, out);
        } else if element.is_entry_of("history")
            && let Some(entry) = object::<Entry<'_>>(bytes).filter(Entry::is_one)
        {
            entry.tell(bytes, out);
        } else if element.is_member("info")
            && let Some(info) = object::<Info<'_>>(bytes)
        {
            info.tell(bytes, out);
        } else {
            return Decoded::No;
        }
        Decoded::Yes
    }
}

/// What the environment writes instead of a command's output.
const TIMED_OUT: &str = "EXECUTION TIMED OUT";

/// Whether an observation is the environment's own word that it gave up on the command.
fn timed_out(observation: &str) -> bool {
    let words = observation.trim_start();
    words.strip_prefix(TIMED_OUT).is_some_and(|rest| {
        let rest = rest.trim_start_matches([' ', '\r']);
        rest.is_empty() || rest.starts_with('\n') || rest.starts_with("BECAUSE ")
    })
}

/// The document.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    trajectory: Option<&'a RawValue>,
    #[serde(borrow, default)]
    history: Option<&'a RawValue>,
}

/// Reads the first entry of a list.
fn first<'a, T: Deserialize<'a>>(list: Option<&'a RawValue>) -> Option<T> {
    let mut entry = None;
    crate::engine::document::elements(list?.get().as_bytes(), &mut |element| {
        if entry.is_none() {
            entry = usize::try_from(element.offset).ok().map(|start| start..start + element.bytes.len());
        }
    });
    object(list?.get().as_bytes().get(entry?)?)
}

/// A step: what the model did, and what came of it.
#[derive(Deserialize)]
struct Step<'a> {
    #[serde(borrow, default)]
    action: Loose<'a>,
    #[serde(borrow, default)]
    observation: Placed<'a>,
    #[serde(borrow, default)]
    response: Loose<'a>,
    #[serde(borrow, default)]
    thought: Loose<'a>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
}

impl Step<'_> {
    fn is_one(&self) -> bool {
        self.action.0.is_some() && self.response.0.is_some() && self.thought.0.is_some() && self.state.is_some()
    }

    fn tell(self, bytes: &[u8], out: &mut dyn FnMut(Record<'_>)) {
        let failed = timed_out(self.observation.as_str());
        let at = if failed { self.observation.at(bytes) } else { 0 };
        let mut say = |at: usize, body: Body<'_>| out(Record { at, ..Record::new(body) });
        say(0, Body::Message(Message { role: Role::Assistant, text: self.thought.text().into() }));
        if self.action.is_some() {
            let input = self.action.text();
            say(0, Body::ToolCall(ToolCall { id: Cow::Borrowed(""), name: Cow::Borrowed("bash"), input: input.into() }));
        }
        say(at, result(failed, self.observation.as_str()));
    }
}

/// A command's result.
fn result(failed: bool, text: &str) -> Body<'_> {
    let text = if failed { text.trim() } else { text };
    Body::ToolResult(ToolResult { id: Cow::Borrowed(""), failed, exit_code: None, text: text.into() })
}

/// A message of the history: what the model was shown.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    role: Loose<'a>,
    #[serde(borrow, default)]
    content: Placed<'a>,
    #[serde(borrow, default)]
    agent: Loose<'a>,
    #[serde(default)]
    is_demo: Option<bool>,
}

impl Entry<'_> {
    fn is_one(&self) -> bool {
        self.agent.is_some() && matches!(self.role.as_str(), "system" | "user" | "assistant" | "tool")
    }

    /// The steps were told already, so here only the failed ones and the words.
    fn tell(self, bytes: &[u8], out: &mut dyn FnMut(Record<'_>)) {
        let text = self.content.as_str();
        let body = match self.role.as_str() {
            // A demonstration is somebody else's run.
            _ if self.is_demo == Some(true) => Body::Lifecycle(Lifecycle::Other),
            "user" | "tool" if timed_out(text) => {
                return out(Record { at: self.content.at(bytes), ..Record::new(result(true, text)) });
            }
            "assistant" => Body::Message(Message { role: Role::Assistant, text: text.into() }),
            _ => Body::Message(Message { role: Role::User, text: text.into() }),
        };
        out(Record::new(body));
    }
}

/// How the run went.
#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow, default, rename = "exit_status")]
    status: Placed<'a>,
    #[serde(borrow, default, rename = "model_stats")]
    stats: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Stats {
    #[serde(default, rename = "instance_cost")]
    cost: Number,
    #[serde(default, rename = "tokens_sent")]
    sent: Number,
    #[serde(default, rename = "tokens_received")]
    received: Number,
}

impl Info<'_> {
    fn tell(self, bytes: &[u8], out: &mut dyn FnMut(Record<'_>)) {
        if let Some(stats) = inner::<Stats>(self.stats) {
            out(Record::new(Body::Usage(Usage {
                scope: UsageScope::Run,
                input_tokens: stats.sent.count(),
                output_tokens: stats.received.count(),
                cost_usd: stats.cost.0,
                ..Usage::default()
            })));
        }
        let at = self.status.at(bytes);
        let status = self.status.as_str();
        // What it had done when it was stopped is submitted all the same: `submitted (exit_cost)`.
        let reason = status.strip_prefix("submitted (").and_then(|rest| rest.strip_suffix(')')).unwrap_or(status);
        let body = match reason {
            "submitted" | "exit_forfeit" | "exit_command" => Body::Lifecycle(Lifecycle::TurnEnded),
            _ if reason.starts_with("exit_") => Body::Failure(Failure {
                codes: vec![Cow::Borrowed(reason)],
                class: class(reason),
                ends: true,
                ..Failure::new(Origin::Agent, status)
            }),
            _ => return,
        };
        out(Record { at, ..Record::new(body) });
    }
}

/// Returns the class of the statuses for which no rule has a code.
fn class(reason: &str) -> Option<Class> {
    match reason {
        "exit_command_timeout" | "exit_total_execution_time" => Some(Class::Timeout),
        "exit_api" => Some(Class::ServerError),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claude::told::{frame, lines};
    use super::*;

    const TIMEOUT: &str = include_str!("../../../fixtures/transcripts/swe_agent/command_timeout/input.traj");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/swe_agent/clean_run/input.traj");

    fn failures(document: &str) -> Vec<String> {
        let mut all = lines(&FORMAT, document);
        all.retain(|line| line.contains(" failure ") || line.contains(" failed"));
        all
    }

    #[test]
    fn a_command_that_was_given_up_on_is_told_in_both_places_and_the_exit_last() {
        assert_eq!(
            lines(&FORMAT, TIMEOUT),
            [
                "4: Assistant: I'll run the solver.",
                "4: call  bash python solve.py",
                "6: result  failed: EXECUTION TIMED OUT",
                "18: User: Solve it.",
                "20: Assistant: I'll run the solver.",
                "31: result  failed: EXECUTION TIMED OUT\n(Open file: n/a)\nbash-$",
                "35: agent failure [exit_context] ends: submitted (exit_context)",
            ]
        );
    }

    #[test]
    fn what_commands_and_demonstrations_print_is_content() {
        assert_eq!(failures(CLEAN), Vec::<String>::new());
        assert_eq!(lines(&FORMAT, CLEAN).last().map(String::as_str), Some("26: TurnEnded"));
    }

    #[test]
    fn exit_statuses_are_told_apart() {
        for (status, expected) in [
            ("submitted", None),
            ("exit_forfeit", None),
            ("early_exit", None),
            ("exit_cost", Some("1: agent failure [exit_cost] ends: exit_cost")),
            ("submitted (exit_cost)", Some("1: agent failure [exit_cost] ends: submitted (exit_cost)")),
            ("exit_api", Some("1: agent failure [exit_api] is server_error ends: exit_api")),
            (
                "exit_command_timeout",
                Some("1: agent failure [exit_command_timeout] is timeout ends: exit_command_timeout"),
            ),
        ] {
            let step = r#"{"action":"ls","observation":"","response":"","thought":"","state":"{}"}"#;
            let document = format!(r#"{{"trajectory":[{step}],"info":{{"exit_status":"{status}"}}}}"#);
            assert_eq!(failures(&document), expected.into_iter().collect::<Vec<_>>(), "{status}");
        }
    }

    #[test]
    fn only_the_environments_whole_word_counts() {
        for observation in ["\nEXECUTION TIMED OUT", "EXECUTION TIMED OUT BECAUSE NO OUTPUT CAME", "EXECUTION TIMED OUT\nbash-$"] {
            assert!(timed_out(observation), "{observation}");
        }
        for observation in ["12: EXECUTION TIMED OUT", "EXECUTION TIMED OUT = 7", "execution timed out", "EXECUTION TIMED OUTSIDE"] {
            assert!(!timed_out(observation), "{observation}");
        }
    }

    #[test]
    fn what_is_no_trajectory_is_left_alone() {
        for text in [
            r#"{"trajectory":[{"action":"ls","observation":"x"}],"info":{"exit_status":"exit_cost"}}"#,
            r#"{"history":[{"role":"user","content":"x"}]}"#,
            r#"{"history":[{"attempt":1,"observation":"EXECUTION TIMED OUT"}]}"#,
            r#"{"trajectory":{"action":"ls"}}"#,
            "[]",
            "{",
        ] {
            assert!(!FORMAT.recognise(frame(text.as_bytes())), "{text}");
            assert_eq!(FORMAT.decoder().json(frame(text.as_bytes()), &mut |_| ()), Decoded::No, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), junk in "[\\[\\]{}:,\"a0]{0,6}") {
            let document = [TIMEOUT, CLEAN].concat();
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
