//! What we know of each agent's streams and files: one file per format.
//!
//! To add a format: write `<name>.rs` beside this file with `pub(super) static FORMAT: <Type>` implementing
//! [`Format`], add its word to the `formats!` list below (tried from top to bottom), and a folder
//! `fixtures/transcripts/<name>/`. No agent's JSON key appears anywhere else in the program.
//!
//! A decoder turns frames into [`Record`]s. It decides *where* a failure may be read (which field, which
//! line); *what* failure it is, the rules in `classify` decide.
//!
//! A whole-file trajectory comes as one JSON document. If it fits the limit it is decoded whole; if not, its
//! [`Element`]s come one by one. A format of such documents implements [`Decode::element`] and has
//! [`Decode::json`] go through the elements of a whole document too, so that both ways find the same.

use super::document::{self, Element};
use crate::model::Record;

/// Declares the formats: their modules, and the list in which they are tried.
macro_rules! formats {
    ($($name:ident)+) => {
        $(pub(super) mod $name;)+

        /// Every format, in the order in which they are tried.
        pub static FORMATS: &[&dyn Format] = &[$(&$name::FORMAT,)+];
    };
}

mod loose;

formats! {
    hook opencode copilot amp cursor goose pi qwen claude codex gemini mini swe_agent openhands aider markdown harness
    generic plain
}

pub use claude::status_line::{Quota, StatusLine};

/// The format with this name.
pub fn by_name(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// One whole line, or one whole JSON document that spans lines.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The bytes without the final line end.
    pub bytes: &'a [u8],
    /// The number of its first line, counted from 1.
    pub line: u64,
    /// Where it begins in the stream, in bytes.
    pub offset: u64,
    /// Whether its end was cut off because it is longer than the limit.
    pub truncated: bool,
}

/// Whether a decoder understood a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// It did (and may have had nothing to say about it).
    Yes,
    /// It is none of this format's.
    No,
}

/// All we know of one agent's bytes.
pub trait Format: Sync {
    /// The name used for `--agent` and in events.
    fn name(&self) -> &'static str;

    /// Tells whether this frame is, beyond doubt, of this format. Asked of JSON frames and of plain lines
    /// while the format of a stream is not known or its decoder does not understand a frame; must be cheap
    /// and must not claim what another agent could have written.
    fn recognise(&self, frame: Frame<'_>) -> bool;

    /// Tells whether this element of a document too large to be held is, beyond doubt, of this format.
    fn recognise_element(&self, element: &Element<'_>) -> bool {
        let _ = element;
        false
    }

    /// Returns how the plain lines begin (after a time stamp and a level; lower-case ASCII, three bytes at least) that
    /// [`Self::recognise`] claims: banners. It is asked about plain lines that begin so, and no others.
    fn banners(&self) -> &'static [&'static str] {
        &[]
    }

    /// Tells whether the decoder follows this format's plain text line by line.
    fn reads_text(&self) -> bool {
        false
    }

    /// Tells whether a message is one record. Where prose is told line by line, nothing can be said of its repetitions.
    fn tells_whole_messages(&self) -> bool {
        true
    }

    /// Returns how messages in the user's name begin that the agent wrote into its history itself, and that ask for no
    /// answer: notes of its commands, of where it is.
    fn own_notes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Tells, by the first lines of a file, whether each of its records of usage names the model and nothing before it
    /// can say more of the model's window, so that the end of the file is enough to know how full that is.
    fn tells_window_at_its_end(&self, head: &[u8]) -> bool {
        let _ = head;
        false
    }

    /// Returns a decoder for one stream, with nothing seen yet.
    fn decoder(&self) -> Box<dyn Decode + Send>;
}

/// Decodes one stream of a format.
pub trait Decode {
    /// Decodes a JSON frame (a line, or a document that spans lines, that is whole and begins with `{` or `[`).
    fn json(&mut self, frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded;

    /// Decodes an element of a document that is too large to be held; the place of a record counts from the first
    /// byte of the element. The default knows none.
    fn element(&mut self, element: &Element<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let _ = (element, out);
        Decoded::No
    }

    /// Decodes a line that is not JSON. The default leaves it to the rules for plain text.
    fn text(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let _ = (line, out);
        Decoded::No
    }
}

/// Decodes a whole document element by element, those that `last` picks at the end: what a trajectory says of how it
/// went stands in front of the story in some formats.
fn by_element(
    decoder: &mut dyn Decode,
    frame: Frame<'_>,
    last: fn(&Element<'_>) -> bool,
    out: &mut dyn FnMut(Record<'_>),
) -> Decoded {
    let mut decoded = Decoded::No;
    let mut later: Vec<(String, Element<'static>, usize)> = Vec::new();
    let mut decode = |element: &Element<'_>| {
        let start = usize::try_from(element.offset).unwrap_or(usize::MAX);
        let out = &mut |record: Record<'_>| out(Record { at: record.at.saturating_add(start), ..record });
        if decoder.element(element, out) == Decoded::Yes {
            decoded = Decoded::Yes;
        }
    };
    document::elements(frame.bytes, &mut |element| {
        if last(&element) {
            let place = Element { member: "", bytes: b"", ..element };
            later.push((element.member.to_owned(), place, element.bytes.len()));
        } else {
            decode(&element);
        }
    });
    for (member, place, length) in later {
        let start = usize::try_from(place.offset).unwrap_or(usize::MAX);
        let bytes = start.checked_add(length).and_then(|end| frame.bytes.get(start..end)).unwrap_or_default();
        decode(&Element { member: &member, bytes, ..place });
    }
    decoded
}
