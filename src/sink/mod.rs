//! Where events go: how they are written (one file a form), and to what.
//!
//! To add a form: `<name>.rs` beside this file with a type that implements [`Render`], and its arm in [`renderer`].

mod jsonl;
pub mod output;
pub mod queue;
mod text;

use crate::model::Event;

/// Writes an event as bytes.
pub trait Render: Send + Sync {
    /// Appends the event, with its line end.
    fn render(&self, event: &Event, out: &mut Vec<u8>);
}

/// A form of writing events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text {
        /// Whether to colour them.
        color: bool,
    },
}

/// Returns what writes events in this form.
pub fn renderer(form: Form) -> Box<dyn Render> {
    match form {
        Form::Json => Box::new(jsonl::Jsonl),
        Form::Text { color } => Box::new(text::Text::new(color)),
    }
}
