//! Where bytes come from: files, whatever packs them, and live streams.
//!
//! Imports nothing of ours and knows nothing of sessions or formats. Start with [`walk`], which turns the
//! names a user gave into a list of inputs; then [`file`] for what has an end, [`stdin`] for what may not.

pub mod walk;

pub mod file;

pub mod stdin;
