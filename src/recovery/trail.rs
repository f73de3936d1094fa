//! The places that a session can be taken back to: the model's messages, as far as they came.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::record::Place;

/// How many messages are remembered; the oldest goes. A session is taken back by one or two.
const MAX_MESSAGES: usize = 16;

/// How long an id may be, in bytes; what is longer is none.
const MAX_ID_BYTES: usize = 128;

/// The model's latest messages, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail(VecDeque<Mark>);

/// A message of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    message: String,
    /// The last of its records.
    record: String,
}

impl Trail {
    /// Takes note of a message, or of another record of it. Output and transcript tell the same ones.
    pub fn told(&mut self, place: &Place<'_>) {
        if place.record.len().max(place.message.len()) <= MAX_ID_BYTES {
            self.mark(&place.message, &place.record);
        }
    }

    /// Goes on with what was noted elsewhere.
    pub fn extend(&mut self, other: &Self) {
        for mark in &other.0 {
            self.mark(&mark.message, &mark.record);
        }
    }

    fn mark(&mut self, message: &str, record: &str) {
        if let Some(known) = self.0.iter_mut().find(|mark| mark.message == message) {
            record.clone_into(&mut known.record);
            return;
        }
        if self.0.len() == MAX_MESSAGES {
            self.0.pop_front();
        }
        self.0.push_back(Mark { message: message.to_owned(), record: record.to_owned() });
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets what came after a record.
    pub fn back_to(&mut self, record: &str) {
        if let Some(at) = self.0.iter().position(|mark| mark.record == record) {
            self.0.truncate(at + 1);
        }
    }

    /// Returns the record of the last message, or of the one before it if that is where we were before.
    pub fn last_but(&self, before: Option<&str>) -> Option<&str> {
        self.0.iter().rev().map(|mark| mark.record.as_str()).find(|record| Some(*record) != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(told: &[(&'static str, &'static str)]) -> Trail {
        let mut trail = Trail::default();
        for (message, record) in told {
            trail.told(&Place { record: (*record).into(), message: (*message).into() });
        }
        trail
    }

    #[test]
    fn a_message_of_several_records_is_one_place_and_the_transcript_repeats_it_in_vain() {
        let trail =
            trail(&[("m1", "r1"), ("m2", "r2"), ("m2", "r3"), ("m1", "r1"), ("m2", "r2"), ("m2", "r3")]);
        assert_eq!(trail.last_but(None), Some("r3"));
        assert_eq!(trail.last_but(Some("r3")), Some("r1"), "half a message is no place");
    }

    #[test]
    fn what_was_left_behind_is_no_place_any_more() {
        let mut trail = trail(&[("m1", "r1"), ("m2", "r2"), ("m3", "r3")]);
        trail.back_to("r2");
        assert_eq!(trail.last_but(None), Some("r2"));
        trail.back_to("unknown");
        assert_eq!(trail.last_but(Some("r2")), Some("r1"));
        trail.clear();
        assert_eq!(trail.last_but(None), None);
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut trail = Trail::default();
        for number in 0..1_000 {
            let id = number.to_string();
            trail.told(&Place { record: id.as_str().into(), message: id.as_str().into() });
        }
        let long = "x".repeat(MAX_ID_BYTES + 1);
        trail.told(&Place { record: long.as_str().into(), message: "m".into() });
        assert_eq!(trail.0.len(), MAX_MESSAGES);
        assert_eq!(trail.last_but(None), Some("999"));
    }
}
