//! Where bytes come from: files, whatever packs them, and live streams.
//!
//! Imports nothing of ours and knows nothing of sessions or formats. Start with [`walk`], which turns the
//! names a user gave into a list of inputs; then [`mod@file`] for what has an end, [`stdin`] for what may not,
//! and [`follow`] for files that grow.

pub mod walk;

pub mod file;

pub mod stdin;

pub mod follow;

mod notices;

use std::io;

/// The operating system's words without Rust's " (os error N)".
pub(crate) fn os_words(error: &io::Error) -> String {
    let words = error.to_string();
    match words.rfind(" (os error ") {
        Some(at) => words[..at].to_lowercase(),
        None => words,
    }
}
