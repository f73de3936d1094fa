//! No secret gets out, and what is clean stays as it is.

use std::borrow::Cow;

use session_doctor::engine::redact::{excerpt, redact};

use crate::draw::Draw;

/// How secrets stand in texts; `{}` is the secret.
const SHAPES: &[&str] = &[
    "sk-ant-api03-{}",
    "sk-{}",
    "ghp_{}",
    "github_pat_{}",
    "xoxb-{}",
    "eyJ{}",
    "AIza{}",
    "Authorization: Bearer {}",
    "\"authorization\": \"Bearer {}\"",
    "{\\\"authorization\\\":\\\"Bearer {}\\\"}",
    "x-api-key: {}",
    "OPENAI_API_KEY={}",
    "\"api_key\": \"{}\"",
    "'client_secret': '{}'",
    "password={}",
    "{\\\"password\\\":\\\"{}\\\"}",
    "--api-key {}",
    "Cookie: sid={}",
    "https://user:{}@host/x",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
];

/// Letters and digits that no real key has, and no mutation puts in.
const NOISE: &str = "Lk2Jh1Gf0Cz8Yx6Wv4Ts2Qp1Nm9Kj7Hg5Ed3BaQ";

/// Holds texts with and without a secret to what redaction promises.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut draw = Draw::of(bytes);
    clean(&text, &mut draw);
    if text.contains(&NOISE[..12]) {
        return;
    }
    // Whatever stands around a secret, it goes.
    let mut at = draw.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let (before, after) = text.split_at(at);
    let shape = draw.pick(SHAPES).replace("{}", NOISE);
    let space = *draw.pick(&[" ", "\n", "\t"]);
    let planted = format!("{before}{space}{shape}{space}{after}");
    for (how, shown) in [
        ("redacted", redact(&planted).into_owned()),
        ("in an excerpt", excerpt(&planted, 400 + draw.below(2000))),
    ] {
        assert!(!shown.contains(&NOISE[..12]), "the secret of {shape:?} stays, {how}: {shown}");
    }
    clean(&planted, &mut draw);
}

fn clean(text: &str, draw: &mut Draw) {
    let once = redact(text);
    let twice = redact(&once);
    assert_eq!(twice, once, "redacting twice changes something: {text:?}");
    assert!(matches!(twice, Cow::Borrowed(_)), "what does not change is not copied");
    let most = *draw.pick(&[0, 1, 2, 20, 200, 5000]);
    let line = excerpt(text, most);
    assert!(line.chars().count() <= most, "{line}");
    assert!(!line.contains(char::is_control) && line.trim() == line && !line.contains("  "), "{line:?}");
    assert!(!line.contains(['\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}']), "{line:?}");
    shown_is_clean(&line);
}

/// Asserts that nothing in what is shown has the shape of a secret.
pub fn shown_is_clean(line: &str) {
    // Cut off somewhere, words may look like what they are not: a key without an end, a mark that is half gone.
    if line.ends_with('…') {
        return;
    }
    assert_eq!(redact(line), line, "what is shown holds what has the shape of a secret");
}
