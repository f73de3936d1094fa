//! The time, for those who may know it.

use crate::model::Timestamp;

/// Returns the time of day. It may jump; windows and deadlines live with that, as agents' own times do too.
pub fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}
