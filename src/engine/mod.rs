//! The pure core: bytes and a time in, events out. No I/O, clock, thread, async, environment or randomness.

pub mod format;

pub mod classify;

pub mod redact;
