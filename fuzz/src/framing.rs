//! Chunks → lines: however they are cut, the same lines, and no byte is lost count of.

use session_doctor::engine::framing::{Block, Framer, count_lines};

use crate::draw::Draw;

/// A line: its number, where it begins, its bytes, how many were left out.
type Line = (u64, u64, Vec<u8>, u64);

/// Takes a block apart.
fn lines(block: Block<'_>, out: &mut Vec<Line>) {
    assert!(!block.bytes.is_empty(), "a block holds something");
    let (mut number, mut offset) = (block.line, block.offset);
    let mut whole = 0;
    for line in block.bytes.split_inclusive(|byte| *byte == b'\n') {
        out.push((number, offset, line.to_vec(), block.omitted));
        number += 1;
        offset += line.len() as u64;
        whole += 1;
    }
    assert!(block.omitted == 0 || whole == 1, "a line that was cut goes alone");
}

/// Holds the framer to what a naive one finds.
pub fn check(stream: &[u8]) {
    let mut draw = Draw::of(stream);
    let limit = *draw.pick(&[0, 1, 2, 5, 40, 300, 1 << 20]);
    let before = if draw.once_in(2) { (0, 0) } else { (draw.below(1000) as u64, draw.below(9000) as u64) };
    let mut framer = Framer::new(limit);
    framer.begin_at(before.0, before.1);
    let mut told = Vec::new();
    for chunk in draw.cut(stream) {
        framer.push(chunk, |block| {
            lines(block, &mut told);
            count_lines(block.bytes)
        });
    }
    framer.finish(|block| {
        lines(block, &mut told);
        count_lines(block.bytes)
    });

    let (mut expected, mut number, mut offset) = (Vec::new(), before.0 + 1, before.1);
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let kept = line.len().min(limit.max(1));
        expected.push((number, offset, line[..kept].to_vec(), (line.len() - kept) as u64));
        number += 1;
        offset += line.len() as u64;
    }
    assert_eq!(told, expected, "limit {limit}");
    assert_eq!(framer.position(), (number - 1, before.1 + stream.len() as u64));
    let unended = u64::from(stream.last().is_some_and(|byte| *byte != b'\n'));
    assert_eq!(count_lines(stream) + unended, number - 1 - before.0);
}
