//! Run documents of harnesses that no other format knows: attempts or steps in a list, as evaluation scripts and
//! home-made agents keep them.
//!
//! Nothing is known of their fields, so one shape alone is believed: a field of an entry whose *whole* value is a
//! report that a part which talks to a model failed (`planner error: llm err: TimeoutError: …`), the way programs wrap
//! one error in another. Fields that hold what tools, builds and people said are left out whatever they hold.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::Regex;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::loose::Placed;
use super::{Decode, Decoded, Element, Format, Frame, by_element};
use crate::engine::document;
use crate::model::record::Lifecycle;
use crate::model::{Body, Failure, Origin, Record};

/// The format.
pub(super) static FORMAT: Harness = Harness;

/// Run documents of unknown harnesses.
pub(super) struct Harness;

impl Format for Harness {
    fn name(&self) -> &'static str {
        "harness"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let mut found = false;
        if memchr::memmem::find(frame.bytes, b" error: ").is_some() {
            document::elements(frame.bytes, &mut |element| found = found || self.recognise_element(&element));
        }
        found
    }

    fn recognise_element(&self, element: &Element<'_>) -> bool {
        is_entry(element) && !reports(element.bytes).is_empty()
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

/// Whether an element is an entry of a list in which a run is told.
fn is_entry(element: &Element<'_>) -> bool {
    element.listed
        && element.bytes.first() == Some(&b'{')
        && matches!(element.member, "history" | "trajectory" | "steps" | "attempts" | "iterations" | "turns" | "rounds")
}

struct Decoder;

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if !FORMAT.recognise(frame) {
            return Decoded::No;
        }
        by_element(self, frame, |_| false, out)
    }

    fn element(&mut self, element: &Element<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if !is_entry(element) {
            return Decoded::No;
        }
        let reports = reports(element.bytes);
        if reports.is_empty() {
            out(Record::new(Body::Lifecycle(Lifecycle::Other)));
        }
        for report in reports {
            let text = report.as_str();
            let codes = exception(text).map(|name| Cow::Borrowed(name.rsplit('.').next().unwrap_or(name)));
            let codes = codes.into_iter().collect();
            out(Record {
                at: report.at(element.bytes),
                ..Record::new(Body::Failure(Failure { codes, ..Failure::new(Origin::Agent, text) }))
            });
        }
        Decoded::Yes
    }
}

/// Whether a field holds what somebody else said: a tool, a build, the model, a person.
fn is_content(key: &str) -> bool {
    const WORDS: &[&str] = &[
        "observation", "output", "stdout", "stderr", "content", "log", "logs", "text", "message", "prompt", "response",
        "diff", "patch", "code", "cluster", "trace", "traceback",
    ];
    key.split(['_', '-']).any(|word| WORDS.contains(&word))
}

/// The longest report, in bytes: what goes on for longer is a dump.
const MAX_REPORT: usize = 1000;

/// Returns the fields of an entry that are reports.
fn reports(entry: &[u8]) -> Vec<Placed<'_>> {
    if memchr::memmem::find(entry, b" error: ").is_none() {
        return Vec::new();
    }
    std::str::from_utf8(entry)
        .ok()
        .and_then(|text| serde_json::Deserializer::from_str(text).deserialize_map(Reports).ok())
        .unwrap_or_default()
}

/// Collects the reports among the fields of an object.
struct Reports;

impl<'de> Visitor<'de> for Reports {
    type Value = Vec<Placed<'de>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut reports = Vec::new();
        while let Some((key, value)) = map.next_entry::<Cow<'de, str>, Placed<'de>>()? {
            if value.is_string() && !is_content(&key) && is_report(value.as_str()) {
                reports.push(value);
            }
        }
        Ok(reports)
    }
}

fn report() -> &'static Regex {
    static REPORT: OnceLock<Regex> = OnceLock::new();
    REPORT.get_or_init(|| {
        Regex::new(
            r"(?x)^
            # The part that failed; it is one that talks to a model.
            (?: [a-z]\w* \s )? (?: llm | model | provider | completion | inference | chat | planner | proposer | generator
                | critic | judge | policy | reflector | summarizer | verifier | agent ) (?: \s (?: call | api | request ) )?
            \s error : \s
            # What it passed on, link by link.
            (?: [a-z][\w-]* (?: \s [\w-]+ )? \s err(?:or)? : \s ){0,3}
            (?: (?P<exception> [A-Za-z_][\w.]* (?: Error | Exception | Timeout ) ) : \s \S
              | (?: unparse?able | invalid | malformed ) \s (?: JSON | json ) \b .{0,60} $ )
            ",
        )
        .expect("a constant pattern that the tests compile")
    })
}

/// Whether a value is, as a whole, a report that a part which talks to a model failed.
fn is_report(value: &str) -> bool {
    value.len() <= MAX_REPORT && !value.contains('\n') && report().is_match(value)
}

/// Returns the name of the exception that a report ends in.
fn exception(value: &str) -> Option<&str> {
    report().captures(value)?.name("exception").map(|name| name.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claude::told::{frame, lines};
    use super::*;

    const FAILING: &str = include_str!("../../../fixtures/transcripts/harness/planner_errors/input.json");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/harness/clean_run/input.json");

    #[test]
    fn reports_are_failures_where_they_stand() {
        assert_eq!(
            lines(&FORMAT, FAILING),
            [
                "8: agent failure [TimeoutError]: planner error: api err: TimeoutError: The read operation timed out",
                "13: agent failure []: planner error: unparseable JSON from the model",
            ]
        );
    }

    #[test]
    fn only_the_shape_of_a_report_counts() {
        for value in [
            "model error: litellm.exceptions.RateLimitError: slow down",
            "llm call error: APITimeoutError: no answer",
            "first planner error: http client error: ConnectionError: reset",
            "judge error: malformed JSON in the verdict",
        ] {
            assert!(is_report(value), "{value}");
        }
        for value in [
            "compile error: TimeoutError: x",
            "The planner error: TimeoutError: x is handled by a retry",
            "planner error: it chose the wrong file",
            "planner error: unparseable JSON is what the old version reported whenever the answer had a fence around it, so it was dropped",
            "model error rate: 0.4",
            "model error: TimeoutError:",
            "planner error: TimeoutError: x\nTraceback",
            "",
        ] {
            assert!(!is_report(value), "{value}");
        }
    }

    #[test]
    fn documents_without_a_report_are_left_alone() {
        for text in [CLEAN, r#"{"history":["planner error: TimeoutError: x"]}"#, r#"{"note":"planner error: TimeoutError: x"}"#, r#"{"history":[{"output":"planner error: TimeoutError: x"}]}"#, r#"{"history":[{"x":["planner error: TimeoutError: x"]}]}"#, "[", "{}"] {
            assert!(!FORMAT.recognise(frame(text.as_bytes())), "{text}");
            assert_eq!(FORMAT.decoder().json(frame(text.as_bytes()), &mut |_| ()), Decoded::No, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), value in "(planner|é)? ?error: .{0,30}", at in any::<prop::sample::Index>(), junk in "[\\[\\]{}:,\"a0]{0,6}") {
            is_report(&value);
            exception(&value);
            let at = at.index(FAILING.len());
            let spoilt = format!("{}{junk}{}", &FAILING[..at], &FAILING[at..]);
            for bytes in [&bytes[..], spoilt.as_bytes()] {
                FORMAT.recognise(frame(bytes));
                FORMAT.decoder().json(frame(bytes), &mut |_| ());
            }
        }
    }
}
