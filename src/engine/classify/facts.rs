//! What a message says beside its words: an HTTP status, machine codes in an error body, a retry in progress.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use crate::model::record::Retry;

/// Facts read from the (folded, lower-case) text of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A number between 400 and 599 right after an HTTP or status word, or as `"code": 429`.
    pub status: Option<u16>,
    /// Machine codes from an error body in the text: the values of `code`, `type`, `status`, `reason`.
    pub codes: Vec<String>,
    /// The text says that a retry is under way.
    pub retry: Option<Retry>,
}

/// How much of a message is looked at, in bytes. Error texts are short; what follows is a body or a dump.
pub const LOOK_AT: usize = 8 * 1024;

/// Returns the first `limit` bytes of a text, cut at a character.
pub fn head(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Reads the facts from a folded, lower-case text.
pub fn read(text: &str) -> Facts {
    let text = head(text, LOOK_AT);
    Facts { status: status(text), codes: codes(text), retry: retry(text) }
}

/// Compiles `pattern` once, on first use. Its classes are those of ASCII: with all letters of the world in `\w`,
/// they took 165 million instructions to compile, nine tenths of the time to the first event.
fn regex<'a>(cell: &'a OnceLock<Regex>, pattern: &str) -> &'a Regex {
    cell.get_or_init(|| {
        let built = RegexBuilder::new(pattern).unicode(false).build();
        built.expect("a constant pattern that the tests compile")
    })
}

/// What makes the number behind it a status, in any white space; the version of a protocol (`http/1.1`) does as well.
const STATUS_WORDS: [&str; 17] = [
    "http",
    "http status",
    "https status",
    "status",
    "status code",
    "error code",
    "api error",
    "client error",
    "server error",
    "rejected",
    "code",
    "statuscode",
    "http_code",
    "error_code",
    "apistatuserror",
    "capierror",
    "repeated",
];

/// The names of members whose number is a status.
const STATUS_MEMBERS: [&str; 5] = ["code", "status", "statuscode", "status_code", "http_status_code"];

/// What follows a status with which a message begins.
const STATUS_MEANINGS: [&str; 18] = [
    "{",
    "unauthorized",
    "forbidden",
    "too many",
    "bad request",
    "bad gateway",
    "internal server",
    "service unavailable",
    "payment",
    "not found",
    "client error",
    "server error",
    "gateway",
    "overloaded",
    "oauth",
    "incorrect",
    "invalid",
    "status code",
];

/// A number is a status only where the wording makes it one: bare digits never are. Of several the one counts whose
/// wording begins first.
///
/// By hand, as are the other facts that most failures are asked for: to compile an expression takes a tenth of the way
/// to the first event each. What the expressions were stands in the tests.
fn status(text: &str) -> Option<u16> {
    let text = text.as_bytes();
    let numbers = text.windows(3).enumerate().filter(|(at, digits)| {
        matches!(digits, [b'4' | b'5', second, third] if second.is_ascii_digit() && third.is_ascii_digit())
            && !text.get(at + 3).copied().is_some_and(is_word)
    });
    let told = numbers.filter_map(|(at, digits)| {
        let (before, behind) = (&text[..at], &text[at + 3..]);
        let starts = [behind_word(before), behind_member(before), begins(before, behind).then_some(0)];
        Some((starts.into_iter().flatten().min()?, digits))
    });
    let (_, digits) = told.min_by_key(|(start, _)| *start)?;
    Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// Whether the bytes are this phrase; its blanks stand for any white space.
fn is_phrase(bytes: &[u8], phrase: &str) -> bool {
    bytes.len() == phrase.len()
        && bytes.iter().zip(phrase.bytes()).all(|(byte, of)| *byte == of || of == b' ' && is_space(*byte))
}

/// Returns where the word of a status begins behind which a number stands, brackets and marks between them.
fn behind_word(before: &[u8]) -> Option<usize> {
    /// What may stand between them, each once and in this order.
    const BETWEEN: [fn(u8) -> bool; 7] = [
        is_quote,
        is_space,
        |byte| matches!(byte, b':' | b'=' | b'('),
        is_space,
        is_quote,
        |byte| byte == b'(',
        is_quote,
    ];
    let mut first = None;
    // Which of them may come next, seen from the end, a bit each.
    let (mut next, mut end) = (1u32 << BETWEEN.len(), before.len());
    loop {
        let word = &before[..end];
        let starts = STATUS_WORDS.iter().filter_map(|phrase| {
            let start = word.len().checked_sub(phrase.len())?;
            is_phrase(&word[start..], phrase).then_some(start)
        });
        let starts = starts
            .chain(protocol(word))
            .filter(|start| !before[..*start].last().copied().is_some_and(is_word));
        first = starts.chain(first).min();
        let Some(byte) = word.last() else { return first };
        let matches = (0..BETWEEN.len()).filter(|at| next >> (at + 1) != 0 && BETWEEN[*at](*byte));
        next = matches.fold(0, |next, at| next | 1 << at);
        if next == 0 {
            return first;
        }
        end -= 1;
    }
}

const fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// Returns where a protocol and its version begin, if nothing follows: `http/2`, `http/1.1`.
fn protocol(text: &[u8]) -> Option<usize> {
    let start = text.iter().rposition(|byte| *byte == b'/')?.checked_sub(4)?;
    let version = &text[start + 5..];
    let is_version = match version {
        [major] => major.is_ascii_digit(),
        [major, b'.', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    };
    (is_version && text[start..].starts_with(b"http")).then_some(start)
}

/// Returns where the member of an object begins whose value stands behind, in quotes or not.
fn behind_member(before: &[u8]) -> Option<usize> {
    let without =
        |bytes: &[u8], is: fn(u8) -> bool| bytes.len() - usize::from(bytes.last().copied().is_some_and(is));
    let rest = &before[..without(before, is_quote)];
    let rest = &rest[..without(rest, is_space)];
    let rest = rest.strip_suffix(b":")?;
    let rest = &rest[..without(rest, is_space)];
    let [rest @ .., b'"' | b'\''] = rest else { return None };
    let name = rest.iter().rposition(|byte| is_quote(*byte))?;
    STATUS_MEMBERS.iter().any(|member| rest[name + 1..] == *member.as_bytes()).then_some(name)
}

/// Whether the message begins with a number, alone or behind the name of an error, and goes on with what it means.
fn begins(before: &[u8], behind: &[u8]) -> bool {
    let named = || {
        let [rest @ .., space] = before else { return false };
        let Some(rest) = rest.strip_suffix(b"error:").filter(|_| is_space(*space)) else { return false };
        let name = match rest {
            [name @ .., space] if is_space(*space) => name,
            name => name,
        };
        !name.is_empty() && name.iter().all(|byte| is_word(*byte) || *byte == b'.')
    };
    let [space, behind @ ..] = behind else { return false };
    is_space(*space)
        && STATUS_MEANINGS
            .iter()
            .any(|phrase| behind.get(..phrase.len()).is_some_and(|head| is_phrase(head, phrase)))
        && (before.is_empty() || named())
}

/// Whose errors name themselves: `openai.RateLimitError`.
const RAISERS: [&str; 5] = ["litellm", "openai", "anthropic", "exceptions", "error"];

/// Returns the names of errors: that with which the text begins, and those of who raises errors.
fn error_names(text: &str) -> impl Iterator<Item = &str> {
    let word_behind = |at: usize| {
        let length = text.as_bytes()[at..].iter().take_while(|byte| is_word(**byte)).count();
        Some(&text[at..at + length]).filter(|word| (8..=45).contains(&word.len()) && word.ends_with("error"))
    };
    let first = word_behind(0).filter(|word| text[word.len()..].starts_with(": "));
    let raised = text.match_indices('.').filter_map(move |(dot, _)| {
        let before = &text.as_bytes()[..dot];
        let length = before.iter().rev().take_while(|byte| is_word(**byte)).count();
        let raiser = &text[dot - length..dot];
        RAISERS.contains(&raiser).then(|| word_behind(dot + 1)).flatten()
    });
    first.into_iter().chain(raised)
}

fn codes(text: &str) -> Vec<String> {
    static BOTO: OnceLock<Regex> = OnceLock::new();
    static NAMED: OnceLock<Regex> = OnceLock::new();
    static RAISED: OnceLock<Regex> = OnceLock::new();
    let mut codes: Vec<String> = Vec::new();
    let mut add = |code: &str| {
        if !codes.iter().any(|known| known == code) {
            codes.push(code.to_owned());
        }
    };
    // A message that is one word, or `exit_status: word`, is a code itself.
    let word = text.trim();
    let word = word.strip_prefix("exit_status: ").unwrap_or(word);
    if (4..=60).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        add(word);
    }
    if text.contains(['{', '=']) || text.contains("code: ") {
        body_codes(text).take(16).for_each(&mut add);
    }
    if text.contains("when calling the") {
        let boto = regex(&BOTO, r"an error occurred \((\w{3,60})\) when calling");
        if let Some(found) = boto.captures(text) {
            add(&found[1]);
        }
    }
    // `ConnectError: [resource_exhausted] Error`: a status by its name.
    if text.contains("error: [") {
        let named = regex(&NAMED, r"error: \[([a-z_]{4,40})\]");
        if let Some(found) = named.captures(text) {
            add(&found[1]);
        }
    }
    // `RetryError[<Future at 0x7f state=finished raised APIConnectionError>]`
    if text.contains("finished raised") {
        let raised = regex(&RAISED, r"finished raised (\w{3,40})>");
        if let Some(found) = raised.captures(text) {
            add(&found[1]);
        }
    }
    // `litellm.ContextWindowExceededError: litellm.BadRequestError: …`: the outermost is the most specific.
    if text.contains("error:") || text.contains("error(") {
        for name in error_names(text).take(4) {
            add(name);
        }
    }
    codes
}

/// What names a machine code in an error body.
const CODE_NAMES: [&[u8]; 8] =
    [b"code", b"type", b"status", b"reason", b"error_code", b"error_type", b"errortype", b"exit_status"];

/// Returns the values behind [`CODE_NAMES`], a colon or an equals sign between them: words in lower case, with or without
/// quotes, which may be escaped. By hand, since an expression takes as many steps for it as all else for a failure.
fn body_codes(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let is_space = |at: usize| matches!(bytes.get(at), Some(b'\t'..=b'\r' | b' '));
    let is_quote = |at: usize| matches!(bytes.get(at), Some(b'"' | b'\''));
    let is_backslash = |at: usize| bytes.get(at) == Some(&b'\\');
    let mut done = 0;
    memchr::memchr2_iter(b':', b'=', bytes).filter_map(move |mark| {
        let mut end = mark;
        for skipped in [&is_space as &dyn Fn(usize) -> bool, &is_quote, &is_backslash] {
            end -= usize::from(end > 0 && skipped(end - 1));
        }
        let start = end - (0..end).rev().take_while(|at| is_word(*at)).count();
        if start < done || !CODE_NAMES.contains(&&bytes[start..end]) {
            return None;
        }
        let mut value = mark + 1;
        for skipped in [&is_space as &dyn Fn(usize) -> bool, &is_backslash, &is_quote] {
            value += usize::from(skipped(value));
        }
        let fits = |byte: &&u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
        let length = bytes.get(value..)?.iter().take(61).take_while(fits).count();
        if !bytes.get(value)?.is_ascii_lowercase() {
            return None;
        }
        // The longest that ends where a word does.
        let length =
            (4..=length).rev().find(|length| is_word(value + length - 1) != is_word(value + length))?;
        done = value + length;
        Some(&text[value..done])
    })
}

fn retry(text: &str) -> Option<Retry> {
    static NOTICE: OnceLock<Regex> = OnceLock::new();
    static ATTEMPT: OnceLock<Regex> = OnceLock::new();
    if !(text.contains("retry") || text.contains("reconnecting") || text.contains("falling back from")) {
        return None;
    }
    let notice = regex(
        &NOTICE,
        r"(?x) (?:(?:·|[,;])\s)?\bretrying\sin\s(?P<s>[\d.]+)\s?(?P<unit>ms|s|sec|seconds?|minutes?|m)\b | (?:(?:·|[,;])\s)?\bretrying\s(?u:\S+)\sin\s(?P<s2>[\d.]+)\sseconds
          | (?:(?:·|[,;])\s)?\bretrying\safter\s(?P<ms>\d+)\s?ms | \bretrying\swith\sbackoff | \bwill\sretry\sin | ;\sretrying\s\d+/\d+ | ,\sretrying\b | ·\sretrying\b | \bretrying\s\(retry\(
          | ^reconnecting\b | ^falling\sback\sfrom | \bretrying\.\.\. ",
    );
    let found = notice.captures(text)?;
    if text.contains("max attempts reached") || text.contains("attempts exhausted") {
        return None;
    }
    let number = |name: &str| found.name(name).and_then(|number| number.as_str().parse::<f64>().ok());
    let delay_ms = match (number("s").or(number("s2")), number("ms")) {
        (_, Some(ms)) => Some(ms as u64),
        (Some(s), None) => Some(match found.name("unit").map(|unit| unit.as_str()) {
            Some("ms") => s as u64,
            Some(unit) if unit.starts_with('m') => (s * 60_000.0) as u64,
            _ => (s * 1_000.0) as u64,
        }),
        _ => None,
    };
    let attempt = regex(
        &ATTEMPT,
        r"\battempt #?(\d{1,4})(?:(?: of |/)(\d{1,4}))?|\breconnecting\.{0,3} (\d{1,4})/(\d{1,4})|retrying (\d{1,4})/(\d{1,4})",
    )
    .captures(text);
    let group = |index: usize| attempt.as_ref()?.get(index)?.as_str().parse().ok();
    Some(Retry {
        attempt: group(1).or_else(|| group(3)).or_else(|| group(5)),
        max_attempts: group(2).or_else(|| group(4)).or_else(|| group(6)),
        delay_ms,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_in_bodies_are_those_that_an_expression_finds(
            text in r#"((code|type|status|reason|error_code|xtype|é)?(\\|["'])?(\\|["'])?[ \x0b]?[:=]?[ ]?\\?["']?([a-z_.]{1,6}|[a-z.]{56,64}|_|Ab1|é|,|code)?){0,5}"#,
        ) {
            let body = regex::RegexBuilder::new(
                r#"\\?["']?\b(?:code|type|status|reason|error_code|error_type|errortype|exit_status)\\?["']?\s?[:=]\s?\\?["']?([a-z][a-z0-9_.]{3,60})\b"#,
            )
            .unicode(false)
            .build()
            .unwrap();
            let expected: Vec<&str> =
                body.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
            prop_assert_eq!(body_codes(&text).collect::<Vec<_>>(), expected, "{}", text);
        }
    }

    /// What makes statuses and names of errors, and what comes near it.
    fn words() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            prop::sample::select(STATUS_WORDS.to_vec()),
            prop::sample::select(STATUS_MEMBERS.to_vec()),
            prop::sample::select(STATUS_MEANINGS.to_vec()),
            prop::sample::select(RAISERS.to_vec()),
            prop::sample::select(vec![
                "\"", "'", " ", ":", "=", "(", ")", ".", "/", "_", "\n", "\u{b}", "é", "x", ": "
            ]),
            prop::sample::select(vec![
                "429", "500", "42", "4290", "999", "1", "http/1.1", "http/2", "https", "error:"
            ]),
            prop::sample::select(vec![
                "ratelimiterror",
                "aerror",
                "abcerror",
                "status\n",
                "api",
                "too",
                "\": ",
                "error: "
            ]),
        ];
        prop::collection::vec(word, 0..9).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn a_status_is_found_as_an_expression_would_find_it(text in words()) {
            let found = RegexBuilder::new(
                r#"(?x)
        (?: \b(?:http|https?\sstatus|status|status\scode|http/\d(?:\.\d)?|error\scode|api\serror|client\serror|server\serror|rejected|code|statuscode|http_code|error_code|apistatuserror|capierror|repeated)
            ["']? \s? [:=(]? \s? ["']? \(? ["']? ([45]\d\d) \b )
        | (?: ["'](?:code|status|statuscode|status_code|http_status_code)["'] \s? : \s? ["']? ([45]\d\d) \b )
        | (?: ^(?:[\w.]+\s?error:\s)? ([45]\d\d) \s (?:\{|unauthorized|forbidden|too\smany|bad\srequest|bad\sgateway|internal\sserver|service\sunavailable|payment|not\sfound|client\serror|server\serror|gateway|overloaded|oauth|incorrect|invalid|status\scode) )
        "#,
            )
            .unicode(false)
            .build()
            .unwrap();
            let number = found
                .captures(&text)
                .and_then(|found| (1..=3).find_map(|group| found.get(group)).map(|number| number.as_str().parse().unwrap()));
            prop_assert_eq!(status(&text), number);
        }

        #[test]
        fn names_of_errors_are_found_as_an_expression_would_find_them(text in words()) {
            let expression = r"\b(?:litellm|openai|anthropic|exceptions|error)\.(\w{3,40}error)\b|^(\w{3,40}error): ";
            let names = RegexBuilder::new(expression).unicode(false).build().unwrap();
            let names: Vec<&str> = names
                .captures_iter(&text)
                .map(|found| found.get(1).or(found.get(2)).unwrap().as_str())
                .collect();
            prop_assert_eq!(error_names(&text).collect::<Vec<_>>(), names);
        }
    }

    #[test]
    fn a_status_stands_after_a_status_word_only() {
        for (text, want) in [
            ("api error: 529 overloaded", Some(529)),
            ("error code: 429 - {'error'", Some(429)),
            ("request rejected (429) · x", Some(429)),
            ("unexpected status 502 bad gateway", Some(502)),
            ("last status: 429 too many requests", Some(429)),
            (r#"{"error":{"code":503,"message":""#, Some(503)),
            ("401 incorrect api key provided", Some(401)),
            ("402 client error: payment required for url", Some(402)),
            ("client error '429 too many requests' for url", Some(429)),
            ("execution failed: capierror: 400 400 bad request", Some(400)),
            ("error_code=429 error_message='busy'", Some(429)),
            ("\"http/1.1 401 unauthorized\"", Some(401)),
            ("processed 429 files", None),
            ("line 500 of 529", None),
            ("took 429ms", None),
            ("code 42900", None),
            ("错误 code 429", Some(429)),
            ("code 4２9", None),
        ] {
            assert_eq!(status(text), want, "{text}");
        }
    }

    #[test]
    fn codes_come_from_error_bodies_and_exception_names() {
        assert_eq!(
            codes(
                r#"api error: 400 {"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#
            ),
            ["error", "invalid_request_error"]
        );
        assert_eq!(
            codes("litellm.contextwindowexceedederror: litellm.badrequesterror: x"),
            ["contextwindowexceedederror", "badrequesterror"]
        );
        assert_eq!(
            codes("an error occurred (throttlingexception) when calling the converse operation"),
            ["throttlingexception"]
        );
        assert_eq!(codes("connect error: [unauthenticated] it says no more"), ["unauthenticated"]);
        assert_eq!(codes("you have used it up. error code: rate_limited"), ["rate_limited"]);
        assert_eq!(
            codes("retryerror[<future at 0x7f state=finished raised apiconnectionerror>]"),
            ["apiconnectionerror"]
        );
        assert_eq!(codes("error_code=insufficient_quota error_message='x'"), ["insufficient_quota"]);
    }

    #[test]
    fn retry_notices_tell_attempt_and_delay() {
        let full = |attempt, max, delay| Some(Retry { attempt, max_attempts: max, delay_ms: delay });
        for (text, want) in [
            ("rate limited · retrying in 8s · attempt 2 of 10", full(Some(2), Some(10), Some(8000))),
            ("reconnecting... 2/5 (stream disconnected)", full(Some(2), Some(5), None)),
            ("attempt 1 failed with status 503. retrying with backoff...", full(Some(1), None, None)),
            ("quota will reset after 5s.. retrying after 5834ms...", full(None, None, Some(5834))),
            ("retrying in 0.5 seconds...", full(None, None, Some(500))),
            ("retrying café in 2 seconds", full(None, None, Some(2000))),
            ("überlastet · retrying in 3s", full(None, None, Some(3000))),
            ("attempt 3 failed: x. max attempts reached", None),
            ("you can try again later", None),
        ] {
            assert_eq!(retry(text), want, "{text}");
        }
    }
}
