//! Terminal text → readable text: escape sequences out, redraws taken apart.

use std::borrow::Cow;

use memchr::{memchr2_iter, memchr3};

/// Returns the line without escape sequences and control characters (a tab stays).
///
/// Knows CSI (`ESC [ … final`), OSC, DCS, SOS, PM and APC strings (ended by BEL or `ESC \`), two-byte escapes,
/// and the C1 forms as UTF-8 (`U+009B` …). A cursor movement to the right becomes spaces (at most 200), as
/// full-screen programs draw gaps with it. Bytes that are not UTF-8 become U+FFFD.
pub fn strip(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    if !text.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f || byte == 0xc2) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.next() {
                Some('[') => skip_csi(&mut rest, &mut out),
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&mut rest),
                // Character set selections and similar carry one more byte.
                Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
                    rest.next();
                }
                _ => {}
            },
            '\u{9b}' => skip_csi(&mut rest, &mut out),
            '\u{9d}' | '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\t' => out.push('\t'),
            '\u{8}' => {
                out.pop();
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_csi(rest: &mut Chars<'_>, out: &mut String) {
    let mut number = 0usize;
    for c in rest.by_ref() {
        match c {
            '0'..='9' => number = (number * 10 + (c as usize - '0' as usize)).min(200),
            '\u{40}'..='\u{7e}' => {
                if c == 'C' {
                    out.extend(std::iter::repeat_n(' ', number.max(1)));
                }
                return;
            }
            '\u{20}'..='\u{3f}' => number = 0,
            // A broken sequence ends at the first byte that cannot belong to it.
            _ => return,
        }
    }
}

fn skip_string(rest: &mut Chars<'_>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                if rest.peek() == Some(&'\\') {
                    rest.next();
                }
                return;
            }
            _ => {}
        }
    }
}

/// Returns whether a line needs [`strip`] or [`redraws`]: it holds an escape, a carriage return inside, a
/// backspace, a bell, or a C1 control.
pub fn is_terminal_text(line: &[u8]) -> bool {
    let c1 = |at| matches!(line.get(at..), Some([0x07, ..] | [0xc2, 0x80..=0x9f, ..]));
    memchr3(0x1b, b'\r', 0x08, line).is_some() || memchr2_iter(0xc2, 0x07, line).any(c1)
}

/// Returns what a line showed, one after the other, where it was redrawn by carriage returns: `10%\r50%\rdone`
/// shows three texts. Carriage returns at the end belong to the line end and show nothing new.
pub fn redraws(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'\r').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_titles_and_movements_go() {
        for (line, text) in [
            ("plain", "plain"),
            ("\u{1b}[31mError\u{1b}[0m: no", "Error: no"),
            ("\u{1b}]0;title\u{7}hello", "hello"),
            ("\u{1b}]8;;https://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("rate\u{1b}[1Climit", "rate limit"),
            ("a\tb", "a\tb"),
            ("ab\u{8}c", "ac"),
            ("\u{1b}(Bx", "x"),
            ("\u{1b}[38;2;1;2;3mrgb", "rgb"),
            ("cut \u{1b}[3", "cut "),
            ("\u{9b}1mC1", "C1"),
        ] {
            assert_eq!(strip(line.as_bytes()), text, "{line:?}");
        }
    }

    #[test]
    fn a_redrawn_line_shows_each_text() {
        let shown: Vec<&[u8]> = redraws(b"10%\r50%\rdone\r").collect();
        assert_eq!(shown, [&b"10%"[..], b"50%", b"done"]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_control_stays(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = strip(&bytes);
            prop_assert!(text.chars().all(|c| c == '\t' || !c.is_control()));
        }
    }
}
