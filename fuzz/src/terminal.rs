//! Terminal text → readable text.

use session_doctor::engine::ansi::{is_terminal_text, redraws, strip};
use session_doctor::engine::framing::{Framer, count_lines};

use crate::draw::Draw;

/// How many bytes a stripped text may have for each byte of the line: `ESC [ 200 C` makes 200 spaces of six bytes, a
/// byte that is not UTF-8 makes three.
const GROWTH: usize = 40;

/// Holds what is made of terminal text to what it promises.
pub fn check(stream: &[u8]) {
    let readable =
        |line: &[u8]| -> Vec<String> { redraws(line).map(|part| strip(part).into_owned()).collect() };
    let mut whole = Vec::new();
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let shown = readable(line);
        for text in &shown {
            assert!(
                text.chars().all(|c| c == '\t' || !c.is_control()),
                "a control character stays: {text:?}"
            );
            assert_eq!(strip(text.as_bytes()), *text, "stripping twice changes something");
            assert!(text.len() <= line.len() * GROWTH, "{} bytes of {}", text.len(), line.len());
        }
        let plain =
            line.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\n')) && !line.contains(&0x7f);
        if plain && !is_terminal_text(line) {
            let text = String::from_utf8_lossy(line).replace('\n', "");
            assert_eq!(shown.concat(), text, "a line that needs no stripping changes by it");
        }
        whole.push(shown);
    }
    let mut cut = Vec::new();
    let mut framer = Framer::new(usize::MAX);
    for chunk in Draw::of(stream).cut(stream) {
        framer.push(chunk, |block| {
            cut.extend(block.bytes.split_inclusive(|byte| *byte == b'\n').map(readable));
            count_lines(block.bytes)
        });
    }
    framer.finish(|block| {
        cut.push(readable(block.bytes));
        count_lines(block.bytes)
    });
    assert_eq!(cut, whole, "the cut changes what is read");
}
