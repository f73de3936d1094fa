//! Error bodies of model providers, alone on a line: what curl, a proxy or a small script prints.
//!
//! The last resort for JSON that no agent's format claims. Strict on purpose: the object must *be* the
//! error body, with at most a few envelope keys around it. A log record or a metric that holds one
//! somewhere is none.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::engine::json;
use super::loose::{Loose, Number};
use super::{Decode, Decoded, Format, Frame};
use crate::model::{Body, Failure, Origin, Record, Timestamp};

/// The format of bare provider errors.
pub(super) static FORMAT: Generic = Generic;

/// Makes decoders for bare provider errors; recognises nothing, as it is tried last anyway.
pub(super) struct Generic;

impl Format for Generic {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn recognise(&self, _frame: Frame<'_>) -> bool {
        false
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

struct Decoder;

impl Decode for Decoder {
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        // Most JSON lines are none of ours: an unknown key ends the parse at once, this ends it before.
        let head = &frame.bytes[..frame.bytes.len().min(HEAD_BYTES)];
        if memchr::memmem::find(head, b"\"error\"").is_none() {
            return Decoded::No;
        }
        let Some(text) = json::utf8(frame.bytes) else { return Decoded::No };
        let Some((error, time)) = whole_body(text) else { return Decoded::No };
        let retry_at = time.and_then(|time| Some(time.plus_millis(error.delay_ms?)));
        out(Record {
            time,
            ..Record::new(Body::Failure(Failure {
                status: error.status,
                codes: error.codes.into_iter().map(Cow::Owned).collect(),
                retry_at,
                ..Failure::new(Origin::Provider, error.message)
            }))
        });
        Decoded::Yes
    }
}

/// How far into a line the word `"error"` must have come: only envelope keys may stand before it.
const HEAD_BYTES: usize = 1024;

/// How long a server may ask to wait and be believed, in seconds: a year.
const MAX_DELAY_SECONDS: f64 = 366.0 * 86_400.0;

/// What a provider's error body says.
pub(super) struct ProviderError {
    /// The message.
    pub(super) message: String,
    /// The HTTP status.
    pub(super) status: Option<u16>,
    /// Machine codes, most specific first.
    pub(super) codes: Vec<String>,
    /// How long the provider asks to wait, in milliseconds.
    pub(super) delay_ms: Option<i64>,
}

/// Reads the error body that begins at the first `{"error":` in a message, whatever follows it.
pub(super) fn embedded(message: &str) -> Option<ProviderError> {
    let start = memchr::memmem::find(message.as_bytes(), b"{\"error\":")?;
    let mut stream = serde_json::Deserializer::from_str(&message[start..]).into_iter::<Envelope<'_>>();
    stream.next()?.ok()?.error()
}

/// The keys that may stand around an error body, and no others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Loose<'a>,
    #[serde(borrow, default)]
    object: Loose<'a>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Loose<'a>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(default, rename = "param")]
    _param: Option<IgnoredAny>,
    #[serde(default, alias = "status_code", alias = "statusCode")]
    status: Number,
    #[serde(borrow, default, alias = "time", alias = "ts", alias = "created")]
    timestamp: Option<&'a RawValue>,
    #[serde(default, rename = "request_id", alias = "requestId", alias = "user_id")]
    _request_id: Option<IgnoredAny>,
    #[serde(default, rename = "level")]
    _level: Option<IgnoredAny>,
    #[serde(default, rename = "msg")]
    _msg: Option<IgnoredAny>,
}

/// The object under `error`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Loose<'a>,
    #[serde(borrow, default)]
    message: Loose<'a>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Loose<'a>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
    #[serde(default, rename = "param")]
    _param: Option<IgnoredAny>,
    #[serde(default, rename = "errors", alias = "metadata", alias = "innererror", alias = "inner_error")]
    _more: Option<IgnoredAny>,
    #[serde(default, rename = "request_id")]
    _request_id: Option<IgnoredAny>,
    /// With `n_ctx`, of llama.cpp's server.
    #[serde(default, rename = "n_prompt_tokens")]
    _prompt_tokens: Option<IgnoredAny>,
    #[serde(default, rename = "n_ctx")]
    _context: Option<IgnoredAny>,
}

/// One of Google's `details`.
#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow, default)]
    reason: Loose<'a>,
    #[serde(borrow, default, rename = "retryDelay")]
    retry_delay: Loose<'a>,
    #[serde(borrow, default)]
    violations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Violation<'a> {
    #[serde(borrow, default, rename = "quotaId")]
    quota_id: Loose<'a>,
}

fn whole_body(text: &str) -> Option<(ProviderError, Option<Timestamp>)> {
    let envelope = if text.trim_start().starts_with('[') {
        json::from_str::<(Envelope<'_>,)>(text).ok()?.0
    } else {
        json::from_str::<Envelope<'_>>(text).ok()?
    };
    let time = envelope.timestamp.and_then(|raw| read_time(raw.get()));
    Some((envelope.error()?, time))
}

impl Envelope<'_> {
    fn error(self) -> Option<ProviderError> {
        let outer_status = self.status.http_status();
        let Some(error) = self.error else { return self.flat() };
        if !matches!(self.kind.as_str(), "" | "error") || self.object.is_some() || self.message.is_some() {
            return None;
        }
        let inner: Inner<'_> = json::from_str(error.get()).ok()?;
        if !inner.message.is_some() {
            return None;
        }
        let (code_status, code) = read_code(inner.code.or(self.code));
        let kind = Some(inner.kind.as_str()).filter(|kind| !matches!(*kind, "" | "None" | "null"));
        let status_word = Some(inner.status.as_str()).filter(|word| is_shouted(word));
        // A logged exception has a name in camel case; a provider's type is in snake case.
        if kind.is_some_and(|kind| !is_snake(kind)) {
            return None;
        }
        let evidence = code.is_some()
            || code_status.is_some()
            || status_word.is_some()
            || kind.is_some_and(|kind| kind.contains('_'));
        if !evidence {
            return None;
        }
        let (mut codes, delay_ms) = read_details(inner.details);
        let more = [code.as_deref(), kind, status_word].into_iter().flatten().map(str::to_owned);
        codes.extend(more);
        codes.dedup();
        let message = inner.message.text().into_owned();
        Some(ProviderError { message, status: code_status.or(outer_status), codes, delay_ms })
    }

    /// A body without an inner object, marked by `"object":"error"`.
    fn flat(self) -> Option<ProviderError> {
        if self.object.as_str() != "error" || !self.message.is_some() {
            return None;
        }
        let (code_status, code) = read_code(self.code);
        let mut codes: Vec<String> = code.into_iter().collect();
        if self.kind.is_some() {
            codes.push(self.kind.text().into_owned());
        }
        let status = code_status.or(self.status.http_status());
        Some(ProviderError { message: self.message.text().into_owned(), status, codes, delay_ms: None })
    }
}

/// A `code` is an HTTP status (as a number or in digits), or a name, or nothing that we know.
fn read_code(code: Option<&RawValue>) -> (Option<u16>, Option<String>) {
    let Some(raw) = code.map(RawValue::get) else { return (None, None) };
    if let Ok(Number(Some(number))) = json::from_str(raw) {
        return (Number(Some(number)).http_status(), None);
    }
    let Ok(Loose(Some(name))) = json::from_str::<Loose<'_>>(raw) else { return (None, None) };
    match name.parse::<f64>() {
        Ok(number) => (Number(Some(number)).http_status(), None),
        // `ENOENT` and its like come from the operating system, through somebody's log.
        Err(_) if matches!(&*name, "" | "None" | "null") || is_errno(&name) => (None, None),
        // `EMAIL_IN_USE` is an application's; of the providers, Google alone shouts, and writes that under `status`.
        Err(_) if name.contains('_') && !name.contains(|c: char| c.is_ascii_lowercase()) && !CANONICAL.contains(&&*name) => {
            (None, None)
        }
        Err(_) => (None, Some(name.into_owned())),
    }
}

/// The statuses that a provider may shout as a code.
const CANONICAL: [&str; 6] =
    ["RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED", "RATE_LIMITED"];

/// Google's reasons and quota ids, and the wait that it asks for.
fn read_details(details: Option<&RawValue>) -> (Vec<String>, Option<i64>) {
    let mut codes = Vec::new();
    let mut delay_ms = None;
    let details = details.and_then(|raw| json::from_str::<Vec<Detail<'_>>>(raw.get()).ok());
    for detail in details.unwrap_or_default() {
        delay_ms = delay_ms.or_else(|| read_delay(detail.retry_delay.as_str()));
        if detail.reason.is_some() {
            codes.push(detail.reason.text().into_owned());
        }
        let violations = detail.violations.and_then(|raw| json::from_str::<Vec<Violation<'_>>>(raw.get()).ok());
        for violation in violations.unwrap_or_default() {
            if violation.quota_id.is_some() {
                codes.push(violation.quota_id.text().into_owned());
            }
        }
    }
    (codes, delay_ms)
}

fn read_delay(text: &str) -> Option<i64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (0.0..MAX_DELAY_SECONDS).contains(&seconds).then_some((seconds * 1e3) as i64)
}

fn read_time(raw: &str) -> Option<Timestamp> {
    if let Ok(Number(Some(number))) = json::from_str(raw) {
        return Timestamp::from_epoch_guess(number);
    }
    Timestamp::parse_rfc3339(json::from_str::<Loose<'_>>(raw).ok()?.as_str())
}

fn is_snake(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.'))
}

fn is_shouted(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn is_errno(word: &str) -> bool {
    word.starts_with('E') && word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(line: &[u8]) -> Option<(Option<Timestamp>, Failure<'static>)> {
        let mut found = None;
        let frame = Frame { bytes: line, line: 1, offset: 0, truncated: false };
        let decoded = Decoder.json(frame, &mut |record| {
            let Body::Failure(failure) = record.body else { panic!("only failures are expected") };
            found = Some((
                record.time,
                Failure {
                    text: Cow::Owned(failure.text.into_owned()),
                    codes: failure.codes.into_iter().map(|code| Cow::Owned(code.into_owned())).collect(),
                    ..failure
                },
            ));
        });
        assert_eq!(decoded == Decoded::Yes, found.is_some());
        found
    }

    /// A body, and the status and codes that it says.
    type Case = (&'static str, Option<u16>, &'static [&'static str]);

    const BODIES: &[Case] = &[
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Busy"},"request_id":"req_0"}"#,
            None,
            &["overloaded_error"],
        ),
        (
            r#"{"error":{"message":"No money left.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            None,
            &["insufficient_quota"],
        ),
        (
            r#"{"error":{"message":"Slow down.","type":"tokens","param":null,"code":"rate_limit_exceeded"},"status":429}"#,
            Some(429),
            &["rate_limit_exceeded", "tokens"],
        ),
        (
            r#"{"error":{"code":503,"message":"Busy.","status":"UNAVAILABLE"}}"#,
            Some(503),
            &["UNAVAILABLE"],
        ),
        (
            r#"[{"error":{"code":400,"message":"Bad key.","status":"INVALID_ARGUMENT","details":[{"@type":"x/ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#,
            Some(400),
            &["API_KEY_INVALID", "INVALID_ARGUMENT"],
        ),
        (
            r#"{"object":"error","message":"Too long.","type":"invalid_request_message_order","param":null,"code":"3230"}"#,
            None,
            &["invalid_request_message_order"],
        ),
        (r#"{"error":{"message":"Wait.","type":"None","param":"None","code":"429"}}"#, Some(429), &[]),
        (
            r#"{"error":{"code":400,"message":"Too much.","type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":8}}"#,
            Some(400),
            &["exceed_context_size_error"],
        ),
    ];

    #[test]
    fn error_bodies_of_providers_are_failures_of_the_provider() {
        for (line, status, codes) in BODIES {
            let (_, failure) = decode(line.as_bytes()).unwrap_or_else(|| panic!("not decoded: {line}"));
            assert_eq!(failure.origin, Origin::Provider);
            assert_eq!((failure.status, failure.codes.iter().map(|code| &**code).collect::<Vec<_>>()), (*status, codes.to_vec()));
            assert!(failure.structured && failure.class.is_none() && !failure.text.is_empty());
        }
    }

    #[test]
    fn a_relative_delay_becomes_a_time_only_beside_a_time() {
        let body = r#""error":{"code":429,"message":"Wait.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x/QuotaFailure","violations":[{"quotaId":"RequestsPerDay"}]},{"@type":"x/RetryInfo","retryDelay":"90s"}]}"#;
        let (time, failure) = decode(format!("{{\"time\":\"2026-11-20T05:00:00Z\",{body}}}").as_bytes()).unwrap();
        assert_eq!(failure.retry_at, time.map(|time| time.plus_seconds(90)));
        assert_eq!(failure.codes, ["RequestsPerDay", "RESOURCE_EXHAUSTED"]);
        let (time, failure) = decode(format!("{{{body}}}").as_bytes()).unwrap();
        assert_eq!((time, failure.retry_at), (None, None));
    }

    #[test]
    fn what_only_holds_or_mentions_an_error_is_left_alone() {
        for line in [
            r#"{"metric":"http.429.count","value":3,"labels":{"class":"rate_limit"}}"#,
            r#"{"job":"nightly","error":{"message":"Slow down.","type":"rate_limit_error"}}"#,
            r#"{"level":"error","msg":"job failed","error":{"type":"TypeError","message":"x is undefined"}}"#,
            r#"{"level":"error","error":{"code":"ENOENT","message":"no such file"}}"#,
            r#"{"error":{"message":"That name is taken","code":"NAME_IN_USE"}}"#,
            r#"{"error":{"code":-32601,"message":"Method not found"}}"#,
            r#"{"error":"rate limit exceeded"}"#,
            r#"{"error":null,"status":"ok"}"#,
            r#"{"error":{"message":"","type":"rate_limit_error"}}"#,
            r#"{"error":{"message":"no code, no type"}}"#,
            r#"{"type":"error","message":"Reconnecting... 1/5 (rate limit)"}"#,
            r#"{"type":"tool_result","error":{"message":"Slow down.","type":"rate_limit_error"}}"#,
            r#"[{"error":{"code":503,"message":"Busy.","status":"UNAVAILABLE"}},1]"#,
            r#"{"object":"list","message":"error"}"#,
            "[]",
            "{}",
        ] {
            assert_eq!(decode(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_body_inside_a_message_is_found() {
        let error = embedded(r#"[API Error: {"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED"}}] more"#);
        assert_eq!(error.map(|error| (error.status, error.codes)), Some((Some(403), vec!["PERMISSION_DENIED".into()])));
        assert!(embedded(r#"see {"error": in the manual"#).is_none());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), case in 0..BODIES.len(), cut in 0usize..300) {
            decode(&bytes);
            let line = BODIES[case].0.as_bytes();
            decode(&line[..cut.min(line.len())]);
            embedded(&String::from_utf8_lossy(&line[..cut.min(line.len())]));
        }
    }
}
