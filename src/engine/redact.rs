//! Secrets out of anything that leaves: keys, tokens, passwords, cookies, private keys.
//!
//! Agents print what they were given, and their errors quote requests. Each rule keeps enough to recognise the kind
//! (`sk-ant-[redacted]`) and nothing of the value. When in doubt about a value behind a secret's name it goes; prose
//! about tokens and secrets stays. Every rule has literals that must be there before its expression is compiled.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
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
    let stripped = strip_controls(&clean);
    // An escape sequence may hide a secret from the first look, or its second half.
    let line = if stripped == clean { stripped } else { drop_joined(&redact(&stripped)) };
    let mut result = String::with_capacity(line.len().min(max_chars.saturating_mul(4)));
    let mut length = 0;
    for word in line.split_whitespace() {
        let space = (length > 0).then_some(' ');
        for letter in space.into_iter().chain(word.chars()) {
            if length == max_chars {
                cut = true;
                break;
            }
            result.push(letter);
            length += 1;
        }
    }
    if cut && max_chars > 0 {
        if length == max_chars {
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
    /// In lower case; found in any case.
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
    Rule { literals: TOKEN_LITERALS, find: tokens },
];

/// Applies every rule once; `None` when nothing changed.
fn pass(text: &str) -> Option<String> {
    static LITERALS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let literals = LITERALS.get_or_init(|| {
        let all = RULES.iter().flat_map(|rule| rule.literals);
        AhoCorasick::builder().ascii_case_insensitive(true).build(all).ok()
    });
    let mut due = [false; RULES.len()];
    match literals {
        Some(literals) => {
            for found in literals.find_overlapping_iter(text) {
                let mut literal = found.pattern().as_usize();
                for (rule, due) in RULES.iter().zip(&mut due) {
                    if literal < rule.literals.len() {
                        *due = true;
                        break;
                    }
                    literal -= rule.literals.len();
                }
            }
        }
        None => due = [true; RULES.len()],
    }
    let mut changed: Option<String> = None;
    for (rule, _) in RULES.iter().zip(due).filter(|(_, due)| *due) {
        let current = changed.as_deref().unwrap_or(text);
        let mut found = Vec::new();
        (rule.find)(current, &mut found);
        let mut result = String::new();
        let mut done = 0;
        for range in found {
            if range.start < done || &current[range.clone()] == MARK {
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
    r#"(?P<scheme>(?:bearer|basic|token|digest|apikey|negotiate|bot|key)[ \t]+)?(?P<value>[A-Za-z0-9._~+/=:@%$!*-]{4,})"#,
    r#"|\bbearer[ \t]+(?:token[ \t]+)?(?P<bearer>[A-Za-z0-9._~+/=-]{8,})"#
);

/// Values of `Authorization` headers, and what follows `Bearer`.
fn authorizations(text: &str, found: &mut Vec<Range<usize>>) {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(pattern) = compiled(&PATTERN, AUTHORIZATION) else { return };
    for header in pattern.captures_iter(text) {
        if let Some(value) = header.name("value") {
            let secret = header.name("scheme").is_some() || looks_random(value.as_str());
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
        if text[start..end].contains('=') {
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
        let secret = if name.name("sign").is_some() {
            value.len() >= 20 && looks_random(value)
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
            found.push(start..end);
            at = end;
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
        || word.contains("***")
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

const URL_PASSWORD: &str = r#"(?i)[a-z][a-z0-9+.-]{1,30}:\\?/\\?/(?:[^\s/?#@:"'`<>\\]{0,256}:([^\s/?#"'`<>\\]{1,512})|([a-z0-9_.~-]{20,256}))@"#;

/// Passwords, and tokens in the place of a user name, in URLs.
fn url_passwords(text: &str, found: &mut Vec<Range<usize>>) {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(pattern) = compiled(&PATTERN, URL_PASSWORD) else { return };
    for url in pattern.captures_iter(text) {
        if let Some(value) = url.get(1).or(url.get(2)) {
            let secret = url.get(1).is_some() || looks_random(value.as_str());
            if secret && !is_stand_in(value.as_str()) {
                found.push(value.range());
            }
        }
    }
}

/// Kinds of tokens that tell themselves by their beginning: what is kept of it, what may follow the kept part but
/// belongs to the secret, and the secret's letters and least length. Sources: the vendors' pages on key formats and
/// secret scanning.
const TOKEN: &str = concat!(
    // Behind no letter or digit, except those of an escape: `\n`, `%3D`, a colour.
    r"(?P<before>^|[^A-Za-z0-9]|\\[bfnrt]|%[0-9A-Fa-f]{2}|\[[0-9;]{0,16}m)(?:",
    r"(?P<anthropic>sk-ant-)[A-Za-z0-9_-]{6,}",
    r"|(?P<router>sk-or-(?:v1-)?|sk-proj-|sk-svcacct-|sk-admin-|sk_live_|sk_test_|rk_live_|rk_test_|pk_live_|whsec_)[A-Za-z0-9_-]{8,}",
    r"|(?P<openai>sk-)[A-Za-z0-9_-]{16,}",
    r"|(?P<google>AIza)[A-Za-z0-9_-]{16,}|(?P<ya29>ya29\.|GOCSPX-|1//0)[A-Za-z0-9_.-]{10,}",
    r"|(?P<aws>AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",
    r"|(?P<github>gh[posur]_|github_pat_)[A-Za-z0-9_]{10,}|(?P<gitlab>gl(?:pat|dt|rt|cbt|ptt|oas)-)[A-Za-z0-9_.-]{8,}",
    r"|(?P<slack>xox[a-z]-|xapp-)[A-Za-z0-9-]{8,}",
    r"|(?P<npm>npm_|hf_|gsk_|r8_|dop_v1_|shp(?:at|ca|pa|ss)_|sntrys_|figd_|lin_api_)[A-Za-z0-9_]{12,}",
    r"|(?P<xai>xai-|nvapi-|pplx-|csk-|tvly-|pypi-)[A-Za-z0-9_-]{12,}",
    r"|(?P<sendgrid>SG\.)[A-Za-z0-9_-]{12,}(?:\.[A-Za-z0-9_-]*)?|(?P<age>AGE-SECRET-KEY-)[A-Z0-9]{8,}",
    r"|(?P<jwt>eyJ)[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}",
    r"|(?P<webhook>hooks\.slack\.com/services/)[A-Za-z0-9/]{8,}",
    r")"
);

/// The beginnings that `TOKEN` knows, in lower case.
const TOKEN_LITERALS: &[&str] = &[
    "sk-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "pk_live_",
    "whsec_",
    "aiza",
    "ya29.",
    "gocspx-",
    "1//0",
    "akia",
    "asia",
    "abia",
    "acca",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "glptt-",
    "gloas-",
    "xox",
    "xapp-",
    "npm_",
    "hf_",
    "gsk_",
    "r8_",
    "dop_v1_",
    "shpat_",
    "shpca_",
    "shppa_",
    "shpss_",
    "sntrys_",
    "figd_",
    "lin_api_",
    "xai-",
    "nvapi-",
    "pplx-",
    "csk-",
    "tvly-",
    "pypi-",
    "sg.",
    "age-secret-key-",
    "eyj",
    "hooks.slack.com/services/",
];

/// Tokens that tell themselves by their beginning.
fn tokens(text: &str, found: &mut Vec<Range<usize>>) {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(pattern) = compiled(&PATTERN, TOKEN) else { return };
    for token in pattern.captures_iter(text) {
        let start = group(&token, 1).end;
        let end = group(&token, 0).end;
        let kept = (2..token.len()).find_map(|number| token.get(number)).map_or(start, |kept| kept.end());
        let value = &text[kept..end];
        // "sk-learn-contrib-examples" is a name. Vendors' generated values have digits or both cases.
        let may_be_words =
            ["openai", "router", "npm", "xai", "sendgrid"].iter().any(|kind| token.name(kind).is_some());
        if !may_be_words || looks_random(value) {
            found.push(kept..end);
        }
    }
}

/// Drops terminal escape sequences, control characters other than white space, and bidirectional overrides.
fn strip_controls(text: &str) -> String {
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
