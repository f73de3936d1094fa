//! What is certain of the lines that a pattern can match, before any is matched: how they open, what follows their
//! first word, how they end. The pre-scan looks for that.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::scan::ascii_part;
use crate::engine::json;

/// How many bytes of a line's own words are looked at first.
pub(super) const HEAD: usize = 3;

/// How many are looked at where the head is one that a rule waits for.
pub(super) const OPENING: usize = 8;

/// How many openings a single pattern may have.
const OPENINGS_PER_PATTERN: usize = 200;

/// How many ways of going on behind the first word a single pattern may have.
const WORDS_PER_PATTERN: usize = 64;

/// How many bytes are certain, at least and at most, on both sides of the blank behind the first word.
const WORD_MIN: usize = 5;
const WORD_SIDE: usize = 8;

/// How long the certain end of a line is at least and at most, in bytes.
const END_MIN: usize = 8;
const END_MAX: usize = 16;

/// How long the searched part of a pattern's own literal is at least, in bytes.
const KEY_MIN: usize = 5;

/// How the lines look that a pattern can match, folded and in lower case: each has one of these forms. All are empty
/// where nothing is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Forms {
    /// How their own words begin: [`OPENING`] bytes where so many are certain, at least [`HEAD`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<String>,
    /// How their first word ends, and what follows the blank behind it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<(String, String)>,
    /// How they end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<String>,
    /// What stands somewhere in them, if no more is certain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anywhere: Vec<String>,
}

impl Forms {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The forms of the built-in rules' patterns: what [`compute`] says of them, worked out beforehand because it takes most
/// of the time that the program needs to start. A test says when it is stale, and writes it.
const BUILT_IN: &str = include_str!("openings.json");

/// Returns the forms of a pattern of a rule with these stems.
pub(super) fn of(pattern: &str, stems: &[String]) -> Forms {
    // Each is asked for once, as a rule, and read only then.
    static MEMO: OnceLock<BTreeMap<String, &'static RawValue>> = OnceLock::new();
    let memo = MEMO.get_or_init(|| json::from_str(BUILT_IN).expect("a file that the tests load"));
    let known = memo.get(pattern).and_then(|forms| json::from_str(forms.get()).ok());
    let mut forms: Forms = known.unwrap_or_else(|| compute(pattern));
    if forms.is_empty() {
        forms.anywhere = stems.to_vec();
    }
    forms
}

/// Returns how everything begins that one of these patterns matches, if no other form is known of any.
pub(super) fn heads(patterns: &[String]) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for pattern in patterns {
        let forms = of(pattern, &[]);
        if forms.heads.is_empty() || !(forms.words.is_empty() && forms.ends.is_empty()) {
            return None;
        }
        all.extend(forms.heads);
    }
    Some(all)
}

fn compute(pattern: &str) -> Forms {
    let mut parser = ParserBuilder::new().utf8(false).unicode(false).build();
    let Ok(hir) = parser.parse(pattern) else { return Forms::default() };
    if let Some(heads) = prefixes(&hir) {
        return Forms { heads, ..Forms::default() };
    }
    if let Some(forms) = by_ways(&hir) {
        return forms;
    }
    if let Some(ends) = ends(&hir) {
        return Forms { ends, ..Forms::default() };
    }
    Forms { anywhere: required(&hir).unwrap_or_default(), ..Forms::default() }
}

/// Returns how everything begins that this matches, if that is certain.
fn prefixes(hir: &Hir) -> Option<Vec<String>> {
    let literals = Extractor::new()
        .kind(ExtractKind::Prefix)
        .limit_total(OPENINGS_PER_PATTERN)
        .limit_literal_len(OPENING)
        .limit_class(40)
        .extract(hir);
    let heads = literals.literals()?.iter().map(|literal| {
        // What is not ASCII is not looked up.
        let ascii = literal.as_bytes().iter().take_while(|byte| byte.is_ascii());
        let head: String = ascii.map(|byte| char::from(*byte)).collect();
        (head.len() >= HEAD).then_some(head)
    });
    heads.collect()
}

/// Takes each way apart in which a match can begin, and returns the forms of all of them.
fn by_ways(hir: &Hir) -> Option<Forms> {
    let mut ways = Vec::new();
    expand(vec![hir.clone()], &mut ways);
    if ways.len() > WORDS_PER_PATTERN {
        return None;
    }
    let mut forms = Forms::default();
    for way in ways {
        match prefixes(&Hir::concat(way.clone())) {
            Some(heads) => forms.heads.extend(heads),
            None => forms.words.extend(words(&way)?),
        }
    }
    forms.heads.sort_unstable();
    forms.heads.dedup();
    forms.words.sort_unstable();
    forms.words.dedup();
    (forms.words.len() <= WORDS_PER_PATTERN).then_some(forms)
}

/// Resolves the choices that a sequence begins with: one sequence each.
fn expand(way: Vec<Hir>, out: &mut Vec<Vec<Hir>>) {
    if out.len() > WORDS_PER_PATTERN {
        return;
    }
    let Some((first, rest)) = way.split_first() else {
        out.push(way);
        return;
    };
    let with = |front: &[Hir]| front.iter().chain(rest).cloned().collect::<Vec<_>>();
    match first.kind() {
        HirKind::Capture(group) => expand(with(&[(*group.sub).clone()]), out),
        HirKind::Concat(parts) => expand(with(parts), out),
        HirKind::Alternation(ways) => {
            for choice in ways {
                expand(with(std::slice::from_ref(choice)), out);
            }
        }
        HirKind::Repetition(repeated) if (repeated.min, repeated.max) == (0, Some(1)) => {
            expand(with(&[(*repeated.sub).clone()]), out);
            expand(with(&[]), out);
        }
        HirKind::Look(_) | HirKind::Empty => expand(with(&[]), out),
        _ => out.push(way),
    }
}

/// Returns how the first word ends and what follows it, if a sequence begins with an unbroken word.
fn words(way: &[Hir]) -> Option<Vec<(String, String)>> {
    let mut front = Vec::new();
    for (number, part) in way.iter().enumerate() {
        if let HirKind::Literal(literal) = part.kind()
            && let Some(blank) = literal.0.iter().position(|byte| *byte == b' ')
        {
            front.push(Hir::literal(&literal.0[..blank]));
            let mut back = vec![Hir::literal(&literal.0[blank + 1..])];
            back.extend_from_slice(&way[number + 1..]);
            let ends = certain(ExtractKind::Suffix, &Hir::concat(front))?;
            let begins = certain(ExtractKind::Prefix, &Hir::concat(back))?;
            let pairs = ends.iter().flat_map(|end| begins.iter().map(move |begin| (end, begin)));
            return pairs
                .map(|(end, begin)| {
                    let enough = !end.is_empty() && begin.len() >= 2 && end.len() + begin.len() >= WORD_MIN;
                    enough.then(|| (end.clone(), begin.clone()))
                })
                .collect();
        }
        if breaks(part) {
            return None;
        }
        front.push(part.clone());
    }
    None
}

/// Whether something may match that holds a blank.
fn breaks(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b' '),
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&b' '))
        }
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&' '))
        }
        HirKind::Repetition(repeated) => breaks(&repeated.sub),
        HirKind::Capture(group) => breaks(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(breaks),
    }
}

/// Returns how everything begins or ends that this matches: ASCII without a blank at that side, or `None` if it is not
/// certain or can be too many things.
fn certain(kind: ExtractKind, hir: &Hir) -> Option<Vec<String>> {
    let is_prefix = matches!(kind, ExtractKind::Prefix);
    let mut extractor = Extractor::new();
    extractor.kind(kind).limit_total(WORDS_PER_PATTERN).limit_class(10).limit_literal_len(WORD_SIDE);
    let mut literals = extractor.extract(hir);
    if !is_prefix {
        literals.dedup();
    }
    let texts = literals.literals()?.iter().map(|literal| {
        let bytes = literal.as_bytes();
        let ascii = if is_prefix {
            &bytes[..bytes.iter().take_while(|byte| byte.is_ascii()).count()]
        } else {
            &bytes[bytes.len() - bytes.iter().rev().take_while(|byte| byte.is_ascii()).count()..]
        };
        ascii.iter().map(|byte| char::from(*byte)).collect()
    });
    Some(texts.collect())
}

/// Returns how everything ends that this matches, if it ends where the line does.
fn ends(hir: &Hir) -> Option<Vec<String>> {
    let HirKind::Concat(parts) = hir.kind() else { return None };
    let (last, front) = parts.split_last()?;
    if *last.kind() != HirKind::Look(Look::End) {
        return None;
    }
    let mut extractor = Extractor::new();
    extractor.kind(ExtractKind::Suffix).limit_total(8).limit_class(2).limit_literal_len(END_MAX);
    let literals = extractor.extract(&Hir::concat(front.to_vec()));
    let ends = literals.literals()?.iter().map(|literal| {
        let text = std::str::from_utf8(literal.as_bytes()).ok()?;
        (text.is_ascii() && text.len() >= END_MIN).then(|| text.to_owned())
    });
    ends.collect()
}

/// Returns literals of which one stands in everything that this matches, or `None` if there is none worth searching.
fn required(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let text = String::from_utf8(literal.0.to_vec()).ok()?;
            (ascii_part(&text).len() >= KEY_MIN).then(|| vec![text])
        }
        HirKind::Capture(group) => required(&group.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => required(&repeated.sub),
        HirKind::Concat(parts) => parts
            .iter()
            .filter_map(required)
            .max_by_key(|literals| literals.iter().map(|text| ascii_part(text).len()).min()),
        HirKind::Alternation(ways) => {
            ways.iter().map(required).collect::<Option<Vec<_>>>().map(|ways| ways.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::classify::rules::{self, Rules};

    #[test]
    fn the_openings_and_the_json_worked_out_beforehand_are_those_of_the_built_in_rules() {
        let rules = Rules::parse(rules::DEFAULT_RULES).unwrap();
        let memo: BTreeMap<&str, Forms> =
            rules.line_patterns().map(|(pattern, _)| (pattern, compute(pattern))).collect();
        let table: serde_json::Value = toml::from_str(rules::DEFAULT_RULES).unwrap();
        for (name, written, fresh) in [
            ("openings.json", BUILT_IN, serde_json::to_string_pretty(&memo).unwrap() + "\n"),
            ("rules.json", rules::BUILT_IN, serde_json::to_string_pretty(&table).unwrap() + "\n"),
        ] {
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/classify/");
                std::fs::write(format!("{folder}{name}"), &fresh).unwrap();
            } else {
                assert!(fresh == written, "{name} is stale: UPDATE_EXPECT=1 cargo test --lib openings");
            }
        }
    }

    /// Nothing of the built-in rules has to be searched in every byte of every line.
    #[test]
    fn every_built_in_pattern_has_a_certain_form() {
        let rules = Rules::built_in();
        let unbound: Vec<&str> = rules
            .line_patterns()
            .filter(|(pattern, stems)| !of(pattern, stems).anywhere.is_empty())
            .map(|(pattern, _)| pattern)
            .collect();
        assert!(unbound.is_empty(), "{unbound:#?}");
    }

    #[test]
    fn what_is_certain_of_a_pattern() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(end, begin)| ((*end).to_owned(), (*begin).to_owned())).collect::<Vec<_>>()
        };
        for (pattern, forms) in [
            ("rate limit (?:hit|reached)", Forms { heads: texts(&["rate lim"]), ..Forms::default() }),
            (
                r"[\w.]+error: too many (?:calls|tokens)",
                Forms { words: pairs(&[("error:", "too many")]), ..Forms::default() },
            ),
            (
                r"(?:[\w.]*error: )?litellm\.\w+",
                Forms {
                    heads: texts(&["litellm."]),
                    words: pairs(&[("error:", "litellm.")]),
                    ..Forms::default()
                },
            ),
            (r".{0,40} gave up$", Forms { ends: texts(&[" gave up"]), ..Forms::default() }),
            // The first word may hold a blank: nothing is certain behind it.
            (r".*error: broken pipe", Forms { anywhere: texts(&["error: broken pipe"]), ..Forms::default() }),
            (r"\w+ \w+", Forms::default()),
        ] {
            assert_eq!(compute(pattern), forms, "{pattern}");
        }
    }
}
