//! Secrets out of anything that leaves: keys, tokens, passwords, cookies, private keys.
//!
//! Agents print what they were given, and their errors quote requests. Each rule keeps enough to recognise the kind
//! (`sk-ant-[redacted]`) and nothing of the value. When in doubt about a value behind a secret's name it goes; prose
//! about tokens and secrets stays. Every rule has literals that must be there before its expression is compiled.

pub mod argv;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use regex::{Captures, Regex};

/// What stands where a secret stood.
const MARK: &str = "[redacted]";

/// Bytes of a text that an excerpt is made from.
const MAX_EXCERPT_SOURCE: usize = 16 * 1024;

/// Bytes given up before the border of a text that was cut for an excerpt. A secret that reaches over the border may be
/// too short, or lack its end (`user:password` without `@host`), to be known for one.
const BORDER: usize = 1024;

/// Passes over one text. A second one changes something only where replacing one secret uncovers the shape of
/// another; the limit keeps the work bounded.
const MAX_PASSES: usize = 4;

/// Replaces the secrets in `text` by `[redacted]`, keeping what tells their kind. Doing it twice changes nothing more.
///
/// Borrows when nothing is replaced; most texts are searched once for the rules' literals and left alone.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut result = Cow::Borrowed(text);
    for _ in 0..MAX_PASSES {
        let Some(changed) = pass(&result) else { break };
        result = Cow::Owned(changed);
    }
    result
}

/// Makes one line of at most `max_chars` characters of `text`, fit to be shown and stored.
///
/// Secrets are redacted, escape sequences, control and bidirectional override characters dropped, and white space
/// folded; `…` is the last character when something was cut off. Only the first 16 KiB are looked at, and of a longer
/// text the last KiB of these is given up, so that no secret cut in two gets out.
pub fn excerpt(text: &str, max_chars: usize) -> String {
    let head = head(text, MAX_EXCERPT_SOURCE);
    let mut cut = head.len() < text.len();
    let mut clean = redact(head);
    if cut {
        let kept = self::head(&clean, clean.len().saturating_sub(BORDER)).to_owned();
        clean = Cow::Owned(kept);
    }
    // Most messages are one line of ASCII with nothing to fold, drop or cut.
    if !cut && matches!(clean, Cow::Borrowed(_)) && clean.len() <= max_chars && is_tidy(&clean) {
        return clean.into_owned();
    }
    let stripped = strip_controls(&clean);
    // An escape sequence may hide a secret from the first look, or its second half.
    let line = if stripped == clean { stripped } else { drop_joined(&redact(&stripped)) };
    // What stood in two lines may make sense in one: "password:", and the password below it.
    let (folded, folded_cut) = fold_space(&line, max_chars.saturating_add(BORDER));
    // What was looked at already, and is as it was, has no secret in it.
    let looked_at = matches!(&clean, Cow::Borrowed(clean) if *clean == folded);
    let line = if looked_at { Cow::Borrowed(folded.as_str()) } else { redact(&folded) };
    let mut result: String = line.chars().take(max_chars).collect();
    cut |= folded_cut || result.len() < line.len();
    if cut && max_chars > 0 {
        if result.chars().count() == max_chars {
            result.pop();
        }
        result.truncate(result.trim_end().len());
        result.push('…');
    }
    result
}

/// Returns the beginning of `text`, at most `most` bytes, cut between characters.
fn head(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Folds white space into single spaces, none at the ends, of at most the first `most` characters; tells whether there
/// are more.
fn fold_space(text: &str, most: usize) -> (String, bool) {
    let mut result = String::with_capacity(text.len().min(most));
    let mut length = 0;
    for word in text.split_whitespace() {
        let space = (length > 0).then_some(' ');
        for letter in space.into_iter().chain(word.chars()) {
            if length == most {
                return (result, true);
            }
            result.push(letter);
            length += 1;
        }
    }
    (result, false)
}

/// Whether a text is printable ASCII with single spaces between its words, none at the ends: what stripping and folding
/// leave as it is.
fn is_tidy(text: &str) -> bool {
    let bytes = text.as_bytes();
    let printable = bytes.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    let doubled = bytes.windows(2).fold(false, |any, pair| any | (pair == b"  "));
    printable && !doubled && !text.starts_with(' ') && !text.ends_with(' ')
}

/// Drops what an escape sequence had kept apart from a redacted secret: the rest of it, as far as can be told.
fn drop_joined(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for (number, part) in text.split(MARK).enumerate() {
        if number == 0 {
            result.push_str(part);
            continue;
        }
        result.push_str(MARK);
        let is_secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '=');
        result.push_str(part.trim_start_matches(is_secret));
    }
    result
}

/// A rule: literals of which one must be in the text, and what finds the secrets.
struct Rule {
    /// Found in any case.
    literals: &'static [&'static str],
    /// Finds the parts of a text to be replaced, in their order.
    find: fn(&str, &mut Vec<Range<usize>>),
}

/// The rules in the order of their application. What an earlier rule replaced, a later one does not see.
const RULES: &[Rule] = &[
    Rule { literals: &["private key"], find: private_keys },
    Rule { literals: &["authorization", "bearer"], find: authorizations },
    Rule { literals: &["cookie"], find: cookies },
    Rule { literals: SECRET_NAMES, find: assignments },
    Rule { literals: &["://", ":\\/\\/"], find: url_passwords },
    Rule { literals: &TOKEN_LITERALS, find: tokens },
];

/// The literals of all rules, by how they begin. An automaton over them takes longer to build than a first text to redact.
struct Literals {
    /// Beginnings, which rule it is, and the literal, in the order of beginnings.
    all: Vec<(u32, usize, &'static str)>,
    /// Which beginnings there are: a bit for each value of [`Self::bit`].
    heads: [u64; 1 << (Self::BITS_LOG2 - 6)],
}

impl Literals {
    const BITS_LOG2: u32 = 13;

    fn new() -> Self {
        let head = |literal: &str| literal.bytes().take(3).fold(0, Self::head);
        let literals =
            |(number, rule): (usize, &Rule)| rule.literals.iter().map(move |literal| (number, *literal));
        let all = RULES.iter().enumerate().flat_map(literals);
        let mut all: Vec<_> = all.map(|(number, literal)| (head(literal), number, literal)).collect();
        all.sort_unstable();
        let mut heads = [0; 1 << (Self::BITS_LOG2 - 6)];
        for (head, ..) in &all {
            let bit = Self::bit(*head);
            heads[bit / 64] |= 1 << (bit % 64);
        }
        Self { all, heads }
    }

    /// Returns the three bytes of which the last is this one, in small letters.
    fn head(before: u32, byte: u8) -> u32 {
        (before << 8 | u32::from(byte.to_ascii_lowercase())) & 0xff_ffff
    }

    fn bit(head: u32) -> usize {
        (head.wrapping_mul(0x9e37_79b1) >> (u32::BITS - Self::BITS_LOG2)) as usize
    }

    /// Tells which rules have a literal in the text.
    fn due(&self, text: &[u8]) -> [bool; RULES.len()] {
        let mut due = [false; RULES.len()];
        let mut head = 0;
        for (at, byte) in text.iter().enumerate() {
            head = Self::head(head, *byte);
            let bit = Self::bit(head);
            if at < 2 || self.heads[bit / 64] >> (bit % 64) & 1 == 0 {
                continue;
            }
            let first = self.all.partition_point(|(other, ..)| *other < head);
            for (_, number, literal) in self.all[first..].iter().take_while(|(other, ..)| *other == head) {
                let found = text[at - 2..].get(..literal.len());
                due[*number] |= found.is_some_and(|found| found.eq_ignore_ascii_case(literal.as_bytes()));
            }
        }
        due
    }
}

/// Applies every rule once; `None` when nothing changed.
fn pass(text: &str) -> Option<String> {
    static LITERALS: OnceLock<Literals> = OnceLock::new();
    let due = LITERALS.get_or_init(Literals::new).due(text.as_bytes());
    let mut changed: Option<String> = None;
    for (rule, _) in RULES.iter().zip(due).filter(|(_, due)| *due) {
        let current = changed.as_deref().unwrap_or(text);
        let mut found = Vec::new();
        (rule.find)(current, &mut found);
        let mut result = String::new();
        let mut done = 0;
        for range in found {
            if range.start < done {
                done = done.max(range.end);
                continue;
            }
            if &current[range.clone()] == MARK {
                continue;
            }
            result.push_str(&current[done..range.start]);
            result.push_str(MARK);
            done = range.end;
        }
        if done > 0 {
            result.push_str(&current[done..]);
            changed = Some(result);
        }
    }
    changed
}

/// Compiles `pattern` once, on first use. The patterns are constants and a test compiles each.
fn compiled(cell: &'static OnceLock<Option<Regex>>, pattern: &str) -> Option<&'static Regex> {
    cell.get_or_init(|| Regex::new(pattern).ok()).as_ref()
}

/// Returns the range of group `number`, empty at the match's start if it took no part.
fn group(found: &Captures<'_>, number: usize) -> Range<usize> {
    found.get(number).map_or(0..0, |part| part.range())
}

const PRIVATE_KEY: &str = r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)";

/// PEM private keys, from BEGIN to END or, when cut, to the end of the text.
fn private_keys(text: &str, found: &mut Vec<Range<usize>>) {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(pattern) = compiled(&PATTERN, PRIVATE_KEY) else { return };
    found.extend(pattern.captures_iter(text).map(|key| group(&key, 1)));
}

const AUTHORIZATION: &str = concat!(
    r#"(?i-u)authorization(?:\\*["'`][ \t]{0,4}(?:[:=,]|=>)|[ \t]{0,4}(?:[:=]|=>))[ \t]{0,4}\[?\\*["'`]?"#,
    r#"(?:(?P<scheme>bearer|basic|token|digest|apikey|negotiate|bot|key)[ \t]+|(?P<other>[A-Za-z][A-Za-z0-9-]{1,40})[ \t]+)?"#,
    r#"(?P<value>[A-Za-z0-9._~+/=:@%$!*-]{4,})"#,
    r#"|\bbearer[ \t]+(?:token[ \t]+)?(?P<bearer>[A-Za-z0-9._~+/=-]{8,})"#
);

/// Values of `Authorization` headers, and what follows `Bearer`.
fn authorizations(text: &str, found: &mut Vec<Range<usize>>) {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(pattern) = compiled(&PATTERN, AUTHORIZATION) else { return };
    for header in pattern.captures_iter(text) {
        if let Some(value) = header.name("value") {
            // Of two words the first is a scheme of its own ("Client-ID …"), or the value with a sentence behind it.
            if let Some(other) = header.name("other")
                && other.len() >= 12
                && other.as_str().bytes().any(|byte| byte.is_ascii_digit())
            {
                found.push(other.range());
            }
            // A scheme whose value is gone already is no value.
            let done = text[value.end()..].trim_start().starts_with(MARK);
            let secret = !done && (header.name("scheme").is_some() || looks_random(value.as_str()));
            if secret && !is_stand_in(value.as_str()) && !is_prose(value.as_str()) {
                found.push(value.range());
            }
        } else if let Some(value) = header.name("bearer")
            // "Bearer authentication" and "bearer certificates" are words.
            && looks_random(value.as_str())
        {
            found.push(value.range());
        }
    }
}

const COOKIE: &str = r#"(?i-u)\bcookie(?:\\*["'`][ \t]{0,4}[:,=]|[ \t]{0,4}[:=])[ \t]{0,4}(\\*["'`])?"#;

/// Values of `Cookie` and `Set-Cookie` headers, all of them.
fn cookies(text: &str, found: &mut Vec<Range<usize>>) {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(pattern) = compiled(&PATTERN, COOKIE) else { return };
    for name in pattern.captures_iter(text) {
        let start = group(&name, 0).end;
        let end = match name.get(1) {
            Some(quote) => quoted_end(text, start, quote.as_str()),
            None => cookie_end(text, start),
        };
        // What a first look took is gone with its line; what stands behind it now came from the next.
        let done = text[start..end].strip_prefix(MARK).is_some_and(|rest| !rest.starts_with(';'));
        if !done && text[start..end].contains('=') {
            found.push(start..end);
        }
    }
}

/// Returns where a cookie header without quotes around it ends: with its line, an escape, or a quote around it all.
fn cookie_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut inside = false;
    for at in start..bytes.len() {
        match bytes[at] {
            b'\n' | b'\r' | b'\\' => return at,
            b'\'' if !inside => return at,
            b'"' if inside => inside = false,
            b'"' if at > start && bytes[at - 1] == b'=' => inside = true,
            b'"' => return at,
            _ => {}
        }
    }
    bytes.len()
}

/// Parts of the names of secrets: every name that `ASSIGNMENT` knows holds one of these.
const SECRET_NAMES: &[&str] =
    &["key", "secret", "token", "passw", "passphrase", "pwd", "credential", "sig=", "signature"];

const ASSIGNMENT: &str = concat!(
    r#"(?i-u)(?P<flag>--)?(?P<name>[a-z0-9_.-]{0,64}?(?:(?P<plain>token|secret|credentials?)|"#,
    r#"(?P<password>password|passwd|passphrase|pwd)|(?P<sign>sig|signature)|api[_ -]?key|"#,
    r#"(?:access|account|private|encryption|signing|auth|secret)[_-]?key)(?:[_-]?[0-9]{1,2})?)"#,
    r#"\b(?P<close>\\*["'`])?"#,
    r#"(?:(?P<sep>[ \t]{0,4}(?:=>|:=|==?|:)[ \t]{0,4})|(?P<list>,[ \t]{0,2})|(?P<gap>[ \t]{1,4}))(?P<open>\\*["'`])?"#
);

/// Values behind the names of secrets: `key=value`, `key: value`, JSON (its quotes escaped or not), `--flag value`.
fn assignments(text: &str, found: &mut Vec<Range<usize>>) {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(pattern) = compiled(&PATTERN, ASSIGNMENT) else { return };
    let mut at = 0;
    while let Some(name) = pattern.captures_at(text, at) {
        let whole = group(&name, 0);
        let start = whole.end;
        at = start;
        // A name in front of a blank is one only as a flag, in front of a comma only as a quoted part of a pair.
        if name.name("gap").is_some() && name.name("flag").is_none()
            || name.name("list").is_some() && (name.name("close").is_none() || name.name("open").is_none())
        {
            continue;
        }
        let quote = name.name("open").map(|quote| quote.as_str());
        let end = match quote {
            Some(quote) => quoted_end(text, start, quote),
            None => bare_end(text, start),
        };
        let value = &text[start..end];
        if !value.bytes().any(|byte| byte.is_ascii_alphanumeric()) && value.is_ascii()
            || is_stand_in(value)
            || name.name("gap").is_some() && value.starts_with("--")
        {
            continue;
        }
        let key = name.name("name").map_or("", |name| name.as_str());
        // As a sentence goes on after a colon: "token: unexpected end", not "token=…" or "\"token\": …".
        let spoken = name.name("close").is_none()
            && name.name("sep").is_some_and(|sep| sep.as_str().ends_with([' ', '\t']));
        let is_list = name.name("list").is_some();
        let secret = if name.name("sign").is_some() {
            // Of URLs and JSON; "sig = …" in a program is its own affair.
            let is_field =
                name.name("close").is_some() || name.name("sep").is_some_and(|sep| sep.as_str() == "=");
            is_field && value.len() >= 20 && looks_random(value)
        } else if is_list {
            // A pair of a list of headers, or two columns of a table.
            value.len() >= 8 && looks_random(value)
        } else if name.name("password").is_some() {
            let is_directory = key.to_ascii_lowercase().ends_with("pwd")
                && (value.starts_with(['/', '~', '.']) || value.get(1..3) == Some(":\\"));
            !(is_directory || spoken && quote.is_none() && is_prose(value))
        } else if name.name("plain").is_some_and(|plain| plain.as_str() == key) {
            let is_count = value.len() < 12 && value.bytes().all(|byte| byte.is_ascii_digit());
            let is_word = is_prose(value) || spoken && !looks_random(value);
            value.len() >= 8 && !is_count && !is_word && !value.contains(char::is_whitespace)
                || key.eq_ignore_ascii_case("secret") && !spoken
        } else {
            let is_count = name.name("plain").is_some() && value.bytes().all(|byte| byte.is_ascii_digit());
            // "api_key: set ANTHROPIC_API_KEY" explains; "api_key: abc123" tells.
            !(is_count && value.len() < 12)
                && !(spoken && quote.is_none() && (is_prose(value) || value.len() < 6))
        };
        if secret {
            // Goes on inside: what looks like the value may be the name of another (`"secret": "api_key": "…"`).
            found.push(start..end);
        }
    }
}

/// Returns where the value ends that begins at `start` behind `quote`, a quotation mark with the backslashes before it.
fn quoted_end(text: &str, start: usize, quote: &str) -> usize {
    let bytes = text.as_bytes();
    let depth = quote.len() - 1;
    let mark = quote.as_bytes()[depth];
    let mut backslashes = 0;
    for (at, &byte) in bytes.iter().enumerate().skip(start) {
        if byte == b'\\' {
            backslashes += 1;
            continue;
        }
        // Fewer backslashes: the string around this one ends. More: a quotation mark inside the value.
        if byte == mark && backslashes <= depth {
            return at - backslashes;
        }
        backslashes = 0;
    }
    bytes.len()
}

/// Returns where a value without quotes ends: at white space, a quotation mark, or what separates fields.
fn bare_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let ends_field = |at: usize| {
        bytes.get(at).is_none_or(|next| next.is_ascii_whitespace() || b"\"'`,;)]}".contains(next))
    };
    if text[start..].starts_with(MARK) && ends_field(start + MARK.len()) {
        return start + MARK.len();
    }
    let mut at = start;
    while at < bytes.len() {
        let ends = match bytes[at] {
            b'"' | b'\'' | b'`' | b'&' | b';' | b'<' | b'>' | b'|' => true,
            b',' | b')' | b']' | b'}' => ends_field(at + 1),
            b'\\' => matches!(bytes.get(at + 1), Some(b'n' | b'r' | b't' | b'"' | b'\'' | b'\\')),
            byte => byte.is_ascii_whitespace(),
        };
        if ends {
            return at;
        }
        // The `;` in a colour's escape sequence separates no fields.
        if bytes[at..].starts_with(b"\x1b[") {
            at += 2 + bytes[at + 2..].iter().take_while(|byte| matches!(byte, b' '..=b'?')).count();
        }
        at += 1;
    }
    bytes.len()
}

/// Tells whether a value is no secret but what stands for one: a variable, a mask, a null, our own mark.
fn is_stand_in(value: &str) -> bool {
    let word = value.trim_matches(|c: char| matches!(c, ',' | '.' | ')' | '('));
    let lower = word.to_ascii_lowercase();
    let variable = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    value == MARK
        || value.contains('\u{1b}') && strip_controls(value).is_empty()
        || matches!(lower.as_str(), "" | "null" | "none" | "nil" | "true" | "false" | "undefined" | "string")
        || word.strip_prefix("${").is_some_and(|name| variable(name.trim_end_matches('}')))
        || word.strip_prefix('$').is_some_and(variable)
        || word.contains("***") && !word.contains(char::is_whitespace)
        || word.len() >= 3 && word.bytes().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-'))
        || ["process.env", "os.environ", "os.getenv"].iter().any(|code| word.starts_with(code))
}

/// Tells whether a value is a word that sentences about secrets go on with.
fn is_prose(value: &str) -> bool {
    let word = value.trim_end_matches(['.', ',', '!', '?', ':', ')', ';']).to_ascii_lowercase();
    word.is_empty()
        || !word.bytes().any(|byte| byte.is_ascii_alphanumeric())
        || matches!(
            word.as_str(),
            "a" | "an"
                | "the"
                | "is"
                | "are"
                | "was"
                | "be"
                | "been"
                | "must"
                | "should"
                | "can"
                | "cannot"
                | "could"
                | "may"
                | "not"
                | "no"
                | "and"
                | "or"
                | "at"
                | "in"
                | "on"
                | "of"
                | "for"
                | "from"
                | "to"
                | "with"
                | "expected"
                | "expecting"
                | "unexpected"
                | "invalid"
                | "incorrect"
                | "wrong"
                | "missing"
                | "required"
                | "needed"
                | "optional"
                | "expired"
                | "empty"
                | "too"
                | "set"
                | "unset"
                | "please"
                | "check"
                | "use"
                | "your"
                | "you"
                | "it"
                | "its"
                | "that"
                | "this"
                | "does"
                | "did"
                | "do"
                | "has"
                | "have"
                | "found"
                | "error"
                | "failed"
                | "failure"
                | "denied"
                | "unauthorized"
                | "bearer"
                | "basic"
                | "header"
                | "authentication"
                | "token"
                | "digest"
                | "negotiate"
                | "apikey"
                | "bot"
                | "key"
                | "auth"
                | "changed"
                | "updated"
                | "provided"
                | "supported"
                | "unknown"
                | "got"
                | "see"
        )
}

/// Tells whether a value has digits or letters of both cases, as generated ones do, or is longer than words are.
fn looks_random(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_digit()) || mixes_case(value) || value.len() >= 32
}

/// Tells whether small and capital letters are mixed in another way than in a word.
fn mixes_case(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_lowercase())
        && value.bytes().skip(1).any(|byte| byte.is_ascii_uppercase())
}

/// Passwords, and tokens in the place of a user name, in URLs. By hand, as it is wanted for every text with a URL and
/// compiling an expression takes longer than the program's start may (5 ms).
fn url_passwords(text: &str, found: &mut Vec<Range<usize>>) {
    let slashes = ["://", ":\\/\\/"];
    for (at, slashes) in slashes.iter().flat_map(|slashes| text.match_indices(slashes)) {
        if !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric()) {
            continue;
        }
        let start = at + slashes.len();
        let ends =
            |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`' | '<' | '>' | '\\');
        let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
        // A password may hold an @; a host does not.
        let Some(length) = text[start..end].rfind('@') else { continue };
        let user = &text[start..start + length];
        let (value, secret) = match user.find(':') {
            Some(colon) => (start + colon + 1..start + length, true),
            None => (start..start + length, user.len() >= 20 && looks_random(user)),
        };
        if secret && !is_stand_in(&text[value.clone()]) {
            found.push(value);
        }
    }
    found.sort_by_key(|range| range.start);
}

/// A kind of token that tells itself by its beginning.
struct Token {
    /// What is kept.
    prefix: &'static str,
    /// The bytes that the rest is made of, besides ASCII letters and digits.
    marks: &'static [u8],
    /// The least length of the rest. Less than what the vendor makes, for tokens that were cut.
    least: usize,
    /// Whether names of things begin like this as well ("sk-learn-contrib-examples"): then the rest must look made.
    may_be_words: bool,
}

const fn token(prefix: &'static str, marks: &'static [u8], least: usize, may_be_words: bool) -> Token {
    Token { prefix, marks, least, may_be_words }
}

/// The known kinds. Sources: the vendors' pages on the format of their keys, and on secret scanning.
const TOKENS: [Token; 60] = [
    token("sk-ant-", b"_-", 6, false),
    token("sk-or-v1-", b"_-", 8, true),
    token("sk-proj-", b"_-", 8, true),
    token("sk-svcacct-", b"_-", 8, true),
    token("sk-admin-", b"_-", 8, true),
    token("sk-", b"_-", 16, true),
    token("sk_live_", b"_", 8, true),
    token("sk_test_", b"_", 8, true),
    token("rk_live_", b"_", 8, true),
    token("rk_test_", b"_", 8, true),
    token("pk_live_", b"_", 8, true),
    token("whsec_", b"_+/=", 8, true),
    token("AIza", b"_-", 16, false),
    token("ya29.", b"_.-", 10, true),
    token("GOCSPX-", b"_-", 10, true),
    token("1//0", b"_-", 16, true),
    token("AKIA", b"", 12, false),
    token("ASIA", b"", 12, false),
    token("ABIA", b"", 12, false),
    token("ACCA", b"", 12, false),
    token("ghp_", b"_", 10, true),
    token("gho_", b"_", 10, true),
    token("ghs_", b"_", 10, true),
    token("ghu_", b"_", 10, true),
    token("ghr_", b"_", 10, true),
    token("github_pat_", b"_", 10, true),
    token("glpat-", b"_.-", 8, true),
    token("gldt-", b"_.-", 8, true),
    token("glrt-", b"_.-", 8, true),
    token("glcbt-", b"_.-", 8, true),
    token("glptt-", b"_.-", 8, true),
    token("gloas-", b"_.-", 8, true),
    token("xoxa-", b"-", 8, true),
    token("xoxb-", b"-", 8, true),
    token("xoxc-", b"-%", 8, true),
    token("xoxd-", b"-%", 8, true),
    token("xoxe-", b"-", 8, true),
    token("xoxe.", b"-.", 8, true),
    token("xoxp-", b"-", 8, true),
    token("xoxr-", b"-", 8, true),
    token("xoxs-", b"-", 8, true),
    token("xapp-", b"-", 8, true),
    token("hooks.slack.com/services/", b"/", 8, true),
    token("npm_", b"", 12, true),
    token("pypi-", b"_-", 16, true),
    token("hf_", b"", 12, true),
    token("gsk_", b"", 12, true),
    token("r8_", b"", 12, true),
    token("xai-", b"_-", 12, true),
    token("nvapi-", b"_-", 12, true),
    token("pplx-", b"_-", 12, true),
    token("csk-", b"_-", 12, true),
    token("tvly-", b"_-", 12, true),
    token("dop_v1_", b"", 12, true),
    token("shpat_", b"", 12, true),
    token("sntrys_", b"_=+/", 12, true),
    token("lin_api_", b"", 12, true),
    token("SG.", b"_.-", 20, true),
    token("AGE-SECRET-KEY-", b"", 8, false),
    token("eyJ", b"_.-", 12, false),
];

/// The beginnings of the known kinds.
const TOKEN_LITERALS: [&str; TOKENS.len()] = {
    let mut literals = [""; TOKENS.len()];
    let mut at = 0;
    while at < TOKENS.len() {
        literals[at] = TOKENS[at].prefix;
        at += 1;
    }
    literals
};

/// Tokens that tell themselves by their beginning.
fn tokens(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut all = Vec::new();
    for token in &TOKENS {
        for (at, _) in text.match_indices(token.prefix) {
            let start = at + token.prefix.len();
            let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || token.marks.contains(byte);
            let mut end = start + bytes[start..].iter().take_while(is_part).count();
            // A full stop ends a sentence.
            while end > start && bytes[end - 1] == b'.' {
                end -= 1;
            }
            if end - start >= token.least
                && begins_word(bytes, at)
                && (!token.may_be_words || looks_random(&text[start..end]))
            {
                all.push((at, start..end));
            }
        }
    }
    // Of two kinds that begin in one place the longer name is meant.
    all.sort_by_key(|(at, range)| (*at, std::cmp::Reverse(range.start)));
    found.extend(all.into_iter().map(|(_, range)| range));
}

/// Tells whether what begins at `at` is behind no letter or digit, except those of an escape: `\n`, `\u003d`, `%3D`, a
/// colour.
fn begins_word(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[..at];
    let hexadecimal = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match before {
        [] => true,
        [.., last] if !last.is_ascii_alphanumeric() => true,
        [.., b'\\', b'b' | b'f' | b'n' | b'r' | b't'] => true,
        [.., b'%', high, low] => hexadecimal(&[*high, *low]),
        [.., b'\\', b'u', a, b, c, d] => hexadecimal(&[*a, *b, *c, *d]),
        [rest @ .., b'm'] => {
            let numbers =
                rest.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b';').take(16).count();
            rest[..rest.len() - numbers].ends_with(b"[")
        }
        _ => false,
    }
}

/// Drops terminal escape sequences, control characters other than white space, and bidirectional overrides.
fn strip_controls(text: &str) -> String {
    // Most texts are plain ASCII. Looked at without a way out, so that it goes many bytes at a time.
    if text.bytes().fold(true, |plain, byte| plain & matches!(byte, b'\t'..=b'\r' | b' '..=b'~')) {
        return text.to_owned();
    }
    let mut result = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let introducer = match letter {
            '\u{1b}' => letters.next_if(|next| !next.is_ascii_control()),
            '\u{9b}' => Some('['),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => Some(']'),
            // Folded later; until then lines end where they ended.
            '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' => {
                result.push(letter);
                None
            }
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
            _ if letter.is_control() => None,
            _ => {
                result.push(letter);
                None
            }
        };
        match introducer {
            // CSI: parameters and intermediates, then one final byte.
            Some('[') => {
                while letters.next_if(|next| matches!(next, '\u{20}'..='\u{3f}')).is_some() {}
                letters.next_if(|next| matches!(next, '\u{40}'..='\u{7e}'));
            }
            // OSC, DCS, SOS, PM, APC: up to BEL or ST. One without its end takes its line only.
            Some(']' | 'P' | 'X' | '^' | '_') => {
                while let Some(next) = letters.next_if(|next| *next != '\n') {
                    match next {
                        '\u{7}' | '\u{9c}' => break,
                        '\u{1b}' => {
                            letters.next_if_eq(&'\\');
                            break;
                        }
                        _ => {}
                    }
                }
            }
            // Two-part escapes: an intermediate, then a final byte.
            Some('\u{20}'..='\u{2f}') => {
                letters.next_if(|next| matches!(next, '\u{30}'..='\u{7e}'));
            }
            _ => {}
        }
    }
    result
}

#[cfg(test)]
mod tests;
