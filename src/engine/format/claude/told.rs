//! Writes records down in one line each, for the tests of this format and of those that speak its stream.

use super::*;

/// Returns the frame of a whole line.
pub(in crate::engine::format) fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, line: 1, offset: 0, truncated: false }
}

/// Returns what a decoder tells of these lines, usage and heartbeats left out.
pub(in crate::engine::format) fn story(format: &dyn Format, lines: &[&str]) -> Vec<String> {
    let mut all = everything(format, lines);
    all.retain(|record| !record.starts_with("usage") && !record.contains(") usage ") && record != "other");
    all
}

/// Returns what a decoder tells of these lines of text, each of which it must understand; heartbeats left out.
pub(in crate::engine::format) fn text_story(format: &dyn Format, lines: &[&str]) -> Vec<String> {
    let mut decoder = format.decoder();
    let mut told = Vec::new();
    for line in lines {
        assert_eq!(decoder.text(line, &mut |record| told.push(words(&record))), Decoded::Yes, "{line}");
    }
    told.retain(|record| record != "other");
    told
}

/// Returns all that a decoder tells of these lines, each of which it must understand.
pub(in crate::engine::format) fn everything(format: &dyn Format, lines: &[&str]) -> Vec<String> {
    let mut decoder = format.decoder();
    let mut told = Vec::new();
    for line in lines {
        let decoded = decoder.json(frame(line.as_bytes()), &mut |record| told.push(words(&record)));
        assert_eq!(decoded, Decoded::Yes, "{line}");
    }
    told
}

/// Returns what a decoder tells of a document, each record with its line in front; whole documents and those
/// that come in elements must tell the same.
pub(in crate::engine::format) fn lines(format: &dyn Format, document: &str) -> Vec<String> {
    use crate::engine::document::elements;
    let line = |at: usize| 1 + document.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    let telling = |record: &Record<'_>| !matches!(record.body, Body::Usage(_) | Body::Lifecycle(Lifecycle::Other));
    let mut whole = Vec::new();
    let frame = frame(document.as_bytes());
    assert!(format.recognise(frame), "{document}");
    let decoded = format.decoder().json(frame, &mut |record| {
        if telling(&record) {
            whole.push(format!("{}: {}", line(record.at), words(&record)));
        }
    });
    assert_eq!(decoded, Decoded::Yes, "{document}");
    let (mut parts, mut decoder) = (Vec::new(), None);
    elements(document.as_bytes(), &mut |element| {
        if decoder.is_none() && format.recognise_element(&element) {
            decoder = Some(format.decoder());
        }
        let start = usize::try_from(element.offset).unwrap();
        if let Some(decoder) = &mut decoder {
            decoder.element(&element, &mut |record| {
                if telling(&record) {
                    parts.push(format!("{}: {}", line(start + record.at), words(&record)));
                }
            });
        }
    });
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    assert_eq!(sorted(&whole), sorted(&parts));
    whole
}

fn words(record: &Record<'_>) -> String {
    let mut words = match &record.body {
        Body::Message(message) => format!("{:?}: {}", message.role, message.text),
        Body::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.input),
        Body::ToolResult(result) => {
            let state = if result.failed { "failed" } else { "fine" };
            let code = result.exit_code.map_or(String::new(), |code| format!(" exit {code}"));
            format!("result {} {state}{code}: {}", result.id, result.text)
        }
        Body::Failure(failure) => {
            let mut words = format!("{} failure", failure.origin);
            if let Some(status) = failure.status {
                words += &format!(" {status}");
            }
            words += &format!(" [{}]", failure.codes.join(" "));
            if let Some(class) = failure.class {
                words += &format!(" is {class}");
            }
            if let Some(retry) = failure.retry {
                let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
                let attempt = number(retry.attempt.map(u64::from));
                let most = number(retry.max_attempts.map(u64::from));
                words += &format!(" retry {attempt}/{most} in {}", number(retry.delay_ms));
            }
            if let Some(time) = failure.retry_at {
                words += &format!(" until {time}");
            }
            if failure.ends {
                words += " ends";
            }
            if !failure.structured {
                words += " read";
            }
            format!("{words}: {}", failure.text)
        }
        Body::Usage(usage) => format!(
            "usage {:?} in {:?} out {:?} read {:?} written {:?} window {:?} cost {:?}",
            usage.scope,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_creation_tokens,
            usage.context_limit,
            usage.cost_usd
        )
        .replace("Some(", "")
        .replace(')', ""),
        Body::Quota(quota) => format!("quota {} min {:?} {:?}", quota.minutes, quota.used_pct, quota.resets_at),
        Body::Lifecycle(Lifecycle::Other) => "other".to_owned(),
        Body::Lifecycle(Lifecycle::Started { cwd, model }) => format!("started {cwd:?} {model:?}"),
        Body::Lifecycle(lifecycle) => format!("{lifecycle:?}"),
        Body::Text(text) => format!("text {}", text.text),
    };
    if let Some(agent) = &record.subagent {
        words = format!("({agent}) {words}");
    }
    words
}
