//! The only place that waits.

pub mod signals;
