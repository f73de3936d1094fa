//! What to do when an attempt has ended, or when a running one is in trouble.
//!
//! Pure: the facts of the attempt, the time and a random number are arguments; a [`Plan`] comes out, and nothing is
//! done. [`Facts`] collects what was seen of one attempt, [`Notes`] what a new session must know of the old one,
//! [`Run`] remembers the attempts so far and decides. A run can be stored and taken up again.

mod facts;
mod notes;
mod options;
mod plan;
mod prompts;
mod run;
mod trail;

pub use facts::{Facts, Sighting, Source};
pub use notes::{MAX_NOTES_BYTES, Notes};
pub use options::{Allowed, Options};
pub use plan::{Ended, Halt, HaltStatus, How, Kind, Plan, Silent, Start, StopReason, Typing};
pub use prompts::Prompts;
pub use run::{Chance, Moment, Run, STATE_VERSION, StateError};
pub use trail::Trail;

#[cfg(test)]
mod tests;
