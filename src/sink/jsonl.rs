//! JSON Lines: the wire format.

use super::Render;
use crate::model::Event;

/// Writes an event as one JSON object a line.
pub(super) struct Jsonl;

impl Render for Jsonl {
    fn render(&self, event: &Event, out: &mut Vec<u8>) {
        let start = out.len();
        match serde_json::to_writer(&mut *out, event) {
            Ok(()) => out.push(b'\n'),
            // Events hold strings, numbers and lists, and memory takes all of them; half a line must not stay.
            Err(_) => out.truncate(start),
        }
    }
}
