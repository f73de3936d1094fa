//! session-doctor as a library: the pure engine and the program around it.
//!
//! ```text
//! bytes → frames → records → findings → alerts → decisions → events
//! ```
//!
//! Read `model` for the words, `engine` for the pure core.

pub mod model;

pub mod engine;

#[cfg(feature = "cli")]
pub mod profile;

#[cfg(feature = "cli")]
pub mod recovery;

#[cfg(feature = "cli")]
pub mod source;

#[cfg(feature = "cli")]
pub mod child;

#[cfg(feature = "cli")]
pub mod sink;

#[cfg(feature = "cli")]
pub mod runtime;

#[cfg(feature = "cli")]
pub mod settings;

#[cfg(feature = "cli")]
pub mod cli;
