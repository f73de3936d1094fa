//! Typography folded away, so that one pattern fits what many versions print.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// What nobody sees, which folding leaves out: the soft hyphen, zero-width spaces and joiners, marks of direction, the
/// byte order mark.
pub const INVISIBLE: [RangeInclusive<char>; 6] = [
    '\u{ad}'..='\u{ad}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{2064}',
    '\u{2066}'..='\u{2069}',
    '\u{feff}'..='\u{feff}',
];

/// Returns the text with typographic variants folded (`’` → `'`, `∙` → `·`, `…` → `...`, `—` → `-`, odd spaces → a
/// space) and without what is invisible, in its own case. Reset times are read from this.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{ff07}' => out.push('\''),
            '\u{2219}' | '\u{2022}' | '\u{2027}' | '\u{22c5}' | '\u{30fb}' => out.push('·'),
            '\u{2026}' => out.push_str("..."),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => out.push(' '),
            c if INVISIBLE.iter().any(|range| range.contains(&c)) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Returns the folded text in lower case (ASCII letters only: all patterns are ASCII but for `·`), runs of spaces as
/// one: terminals and log writers fill lines up.
pub fn fold_lower(text: &str) -> String {
    let mut folded = fold(text).into_owned();
    folded.make_ascii_lowercase();
    if folded.contains("  ") {
        let mut before = '\0';
        folded.retain(|c| std::mem::replace(&mut before, c) != ' ' || c != ' ');
    }
    folded
}

/// Returns whether folding may change any character of a text that is not ASCII, by the first two bytes of each.
pub fn may_change(text: &[u8]) -> bool {
    if text.is_ascii() {
        return false;
    }
    let mut from = 0;
    while let Some(high) = text[from..].iter().position(|byte| !byte.is_ascii()) {
        from += high;
        let changes = match text[from..] {
            [0xc2, next, ..] => matches!(next, 0xa0 | 0xad),
            [0xe2, next, ..] => matches!(next, 0x80 | 0x81 | 0x88 | 0x8b),
            [0xe3, next, ..] => matches!(next, 0x80 | 0x83),
            [0xef, next, ..] => matches!(next, 0xbb | 0xbc),
            // Cut in the middle.
            [0xc2 | 0xe2 | 0xe3 | 0xef] => true,
            _ => false,
        };
        if changes {
            return true;
        }
        from += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_one_sentence_become_one() {
        for text in ["You’ve hit your limit ∙ resets 3pm…", "You've hit your limit · resets 3pm..."] {
            assert_eq!(fold_lower(text), "you've hit your limit · resets 3pm...");
        }
        assert_eq!(fold_lower("Credit  balance is   too\u{a0} low"), "credit balance is too low");
        assert_eq!(fold("a\u{a0}b–c"), "a b-c");
        assert_eq!(fold("\u{feff}over\u{ad}loa\u{200b}d\u{2060}ed\u{202c}"), "overloaded");
    }

    #[test]
    fn what_folding_changes_is_known_by_two_bytes() {
        for c in ('\u{80}'..=char::MAX).filter(|c| fold(&c.to_string()) != c.to_string()) {
            assert!(may_change(format!("over{c}").as_bytes()), "{:x}", u32::from(c));
        }
        for text in ["✓ done", "→ next", "│ cell", "naïve", "日本語"] {
            assert!(!may_change(text.as_bytes()), "{text}");
        }
    }
}
