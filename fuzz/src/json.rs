//! JSON: what the reader makes of a line is what serde_json makes of it.

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use session_doctor::engine::json;

/// Holds the reader to serde_json, line by line.
pub fn check(stream: &[u8]) {
    for line in stream.split(|byte| *byte == b'\n') {
        let Ok(text) = std::str::from_utf8(line) else {
            assert!(json::from_slice::<IgnoredAny>(line).is_err(), "bytes that are no text are none of JSON");
            continue;
        };
        let theirs = serde_json::from_str::<Value>(text).ok();
        assert_eq!(json::from_str::<Value>(text).ok(), theirs, "read: {text}");
        let skipped = json::from_str::<IgnoredAny>(text).is_ok();
        let theirs = serde_json::from_str::<IgnoredAny>(text).is_ok();
        // An escape that does not exist is not looked for in what is skipped.
        assert!(
            skipped == theirs || (skipped && text.contains('\\')),
            "skipped: {skipped}, {theirs}: {text}"
        );
        let raw = json::from_str::<&RawValue>(text).ok().map(RawValue::get);
        assert_eq!(raw, skipped.then(|| text.trim_matches([' ', '\t', '\r', '\n'])), "raw: {text}");
    }
}
