//! Text → class: the two-step search finds what asking every rule about every line finds.

use std::borrow::Cow;
use std::cell::RefCell;

use jiff::tz::TimeZone;
use session_doctor::engine::ansi;
use session_doctor::engine::classify::rules::Rules;
use session_doctor::engine::classify::scan::Scanner;
use session_doctor::engine::classify::{self, Verdict};
use session_doctor::engine::fuzzing::read_line;
use session_doctor::model::Origin;
use session_doctor::model::record::Failure;

use crate::stream;

thread_local! {
    static SCANNER: RefCell<Scanner> = RefCell::new(Scanner::new(&Rules::built_in(), &[]));
}

/// Holds the built-in rules and their pre-scan to what they promise.
pub fn check(bytes: &[u8]) {
    SCANNER.with_borrow_mut(|scanner| scan(scanner, bytes));
    for line in bytes.split(|byte| *byte == b'\n') {
        let text = ansi::strip(line);
        words(&text);
        SCANNER.with_borrow_mut(|scanner| passes(&Rules::built_in(), scanner, &text));
        // Typography hides nothing, neither from the rules nor from the pre-scan.
        if text.len() < 1000 {
            let set = text.replace('\'', "\u{2019}").replace("...", "\u{2026}").replace('\u{b7}', "\u{2219}");
            let (plain, typeset) = (judge(&Rules::built_in(), &text), judge(&Rules::built_in(), &set));
            assert_eq!(typeset, plain, "{text:?} and {set:?}");
            SCANNER.with_borrow_mut(|scanner| passes(&Rules::built_in(), scanner, &set));
        }
    }
    // The same through the whole engine: one that explains asks every rule.
    stream::explained(&stream::OPTIONS, bytes);
}

/// Asserts that searching a block finds what asking each of its lines finds.
pub fn scan(scanner: &mut Scanner, block: &[u8]) {
    let lines: Vec<&[u8]> = block.split(|byte| *byte == b'\n').collect();
    let mut found: Vec<usize> = (0..lines.len()).filter(|line| scanner.has_form(lines[*line])).collect();
    let mut before = 0;
    scanner.hits(block, |at| {
        assert!(at >= before && at < block.len(), "hits come in order");
        before = at;
        found.push(block[..at].iter().filter(|byte| **byte == b'\n').count());
    });
    found.sort_unstable();
    found.dedup();
    let asked: Vec<usize> = (0..lines.len()).filter(|line| scanner.is_candidate(lines[*line])).collect();
    assert_eq!(found, asked);
}

fn judge(rules: &Rules, text: &str) -> Option<Verdict> {
    let (_, line) = read_line(Cow::Borrowed(text), &TimeZone::UTC);
    classify::line(rules, "claude", &line, None)
}

/// Asserts that a line that a rule finds gets through the pre-scan.
pub fn passes(rules: &Rules, scanner: &mut Scanner, text: &str) {
    let (_, line) = read_line(Cow::Borrowed(text), &TimeZone::UTC);
    let verdict = classify::line(rules, "claude", &line, None);
    if verdict.is_some() {
        assert!(classify::concerns(rules, "claude", &line), "{text:?}");
        assert!(scanner.is_candidate(text.as_bytes()), "{verdict:?} is kept back: {text:?}");
    }
    let traced = classify::line(rules, "claude", &line, Some(&mut Vec::new()));
    assert_eq!(traced, verdict, "explaining changes the verdict");
}

/// Asserts what holds for the words of a failure that a format vouches for.
fn words(text: &str) {
    let rules = Rules::built_in();
    for origin in [Origin::Provider, Origin::Agent] {
        let failure = Failure::new(origin, text);
        let verdict = classify::failure(&rules, "claude", &failure, None);
        let mut looks = Vec::new();
        assert_eq!(classify::failure(&rules, "claude", &failure, Some(&mut looks)), verdict);
        let Some(verdict) = verdict else { continue };
        assert_eq!(verdict.origin, origin);
        assert!(verdict.status.is_none_or(|status| (400..600).contains(&status)), "{verdict:?}");
        let known = rules.rules.iter().find(|rule| rule.id == verdict.rule);
        assert!(known.map_or(verdict.rule == "fallback", |rule| rule.class == verdict.class), "{verdict:?}");
        assert!(known.is_none_or(|rule| rule.origins.contains(&origin)), "{verdict:?} of {origin}");
        assert!(
            looks.iter().any(|look| look.fired && look.rule == verdict.rule) || verdict.rule == "fallback",
            "{verdict:?} is not among the explanations"
        );
    }
    let verdict = classify::tool_result(&rules, "claude", text, None);
    assert_eq!((verdict.origin, verdict.retry, verdict.status), (Origin::Tool, None, None));
}
