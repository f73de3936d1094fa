//! Amp: `--stream-json`, which is Claude's stream with thread ids for sessions.
//!
//! A result that failed says why in an `error` of its own; everything else is as Claude Code says it.

use serde::Deserialize;

use crate::engine::json;
use super::claude::{Dialect, Flag, Maybe, Present, Str, Stream, first_object};
use super::{Decode, Decoded, Format, Frame};
use crate::model::Record;

/// The format of Sourcegraph's Amp.
pub(super) static FORMAT: Amp = Amp;

/// Recognises Amp's streams and makes decoders for them.
pub(super) struct Amp;

impl Format for Amp {
    fn name(&self) -> &'static str {
        "amp"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        is_amp(frame)
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder(Stream::new(&DIALECT)))
    }
}

/// Amp says what is so.
static DIALECT: Dialect = Dialect { reported: None, input_includes_cache: false };

struct Decoder(Stream);

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if is_amp(frame) { self.0.json(frame, out) } else { Decoded::No }
    }
}

/// The keys by which a record is known.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: Str<'a>,
    subtype: Str<'a>,
    session_id: Str<'a>,
    is_error: Flag,
    message: Maybe<MessageKeys>,
}

/// The keys by which a message is known.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MessageKeys {
    content: Present,
}

/// Whether a record is one of Claude's stream, in a thread of Amp's.
fn is_amp(frame: Frame<'_>) -> bool {
    let sign = |sign: &[u8]| memchr::memmem::find(frame.bytes, sign).is_some();
    if !sign(b"\"T-") {
        return false;
    }
    let Some(line) = first_object(frame).and_then(|text| json::from_str::<Envelope<'_>>(text).ok()) else {
        return false;
    };
    let thread = line.session_id.get().and_then(|id| id.strip_prefix("T-")).unwrap_or_default();
    let known = match line.kind.get().unwrap_or_default() {
        "user" | "assistant" => line.message.0.is_some_and(|message| message.content.0),
        "result" => line.is_error.0.is_some(),
        "" | "error" => false,
        _ => line.subtype.get().is_some(),
    };
    known && thread.len() >= 4 && thread.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::FORMATS;
    use super::super::claude::told::{everything, frame, story};
    use super::*;

    const OVERLOADED: &str = include_str!("../../../fixtures/transcripts/amp/overloaded/input.jsonl");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/amp/clean_run/input.jsonl");
    const CLAUDE: &str = include_str!("../../../fixtures/transcripts/claude/clean_run/input.jsonl");

    fn told(text: &str) -> Vec<String> {
        story(&FORMAT, &text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_failed_result_says_why() {
        assert_eq!(
            told(OVERLOADED),
            [
                "started Some(\"/home/dev/shop\") None",
                "User: List the files.",
                "provider failure [error_during_execution] ends: Model Provider Overloaded",
            ]
        );
    }

    #[test]
    fn a_good_run_has_no_failures_whatever_it_shows() {
        assert_eq!(
            told(CLEAN),
            [
                "started Some(\"/home/dev/shop\") None",
                "User: Why Rate Limit Hit?",
                "Assistant: I will look for it.",
                "call toolu_1 Bash {\"cmd\":\"grep -r 'Out of Credits' .\"}",
                "result toolu_1 failed: Model Provider Overloaded",
                "(toolu_2) Assistant: 429 is in the manual.",
                "Assistant: It is only in a test: Error: 529 overloaded.",
                "TurnEnded",
            ]
        );
        let mut usage = everything(&FORMAT, &CLEAN.lines().collect::<Vec<_>>());
        usage.retain(|record| record.starts_with("usage Request"));
        assert_eq!(usage, ["usage Request in 9 out 30 read 1000 written 200 window None cost None"]);
    }

    #[test]
    fn the_turn_limit_ends_a_run() {
        let line = r#"{"type":"result","subtype":"error_max_turns","is_error":true,"session_id":"T-0000-aaaa","error":"Enough.","num_turns":3}"#;
        assert_eq!(told(line), ["provider failure [error_max_turns] is max_turns ends: Enough."]);
    }

    #[test]
    fn claims_its_own_and_nothing_of_claudes() {
        for line in [OVERLOADED, CLEAN].iter().flat_map(|text| text.lines()) {
            let first = FORMATS.iter().find(|format| format.recognise(frame(line.as_bytes())));
            assert_eq!(first.map(|format| format.name()), Some("amp"), "{line}");
        }
        for line in CLAUDE.lines().chain([
            r#"{"type":"result","is_error":false,"session_id":"T-"}"#,
            r#"{"type":"result","is_error":false,"session_id":"T-not a thread"}"#,
            r#"{"type":"assistant","message":{"content":"T-0000-aaaa"},"session_id":"s"}"#,
            r#"{"type":"error","session_id":"T-0000-aaaa"}"#,
            r#"["T-0000-aaaa"]"#, "{}", "",
        ]) {
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
            let lines: Vec<&str> = [OVERLOADED, CLEAN].iter().flat_map(|text| text.lines()).collect();
            let line = lines[line.index(lines.len())].as_bytes();
            let cut = &line[..at.index(line.len() + 1)];
            let mut decoder = FORMAT.decoder();
            for bytes in [&bytes, cut, line] {
                FORMAT.recognise(frame(bytes));
                decoder.json(frame(bytes), &mut |_| {});
            }
        }
    }
}
