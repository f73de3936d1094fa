//! The words of the program as types: what is read (records), what is concluded (findings, alerts,
//! decisions) and what leaves (events).
//!
//! Imports nothing of ours and touches nothing. Read [`record`] for what comes in, [`event`] for what
//! goes out.

pub mod class;
pub mod event;
pub mod id;
pub mod record;
pub mod time;

pub use class::{Basis, Class, Health, Level, Life, Origin, Pressure, Severity, Strategy};
pub use event::{Event, EventBody, EventType};
pub use record::{Body, Failure, Record};
pub use time::Timestamp;
